/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/lib/some_routes.h"

#include <time.h>

/* ------------------------------------------------------------------ deciding */

static void the_map_decides(void **state)
{
    (void)state;
    struct map m;
    map_init(&m);
    *vec_add(&m.nodes) = (struct map_node){.used = true, .incarnation = 5};
    *vec_add(&m.nodes) = (struct map_node){.used = true, .incarnation = 1};
    m.slots[7] = (struct map_slot){.epoch = 1, .primary = 0, .isr_n = 2, .isr = {0, 1}, .isr_incarnation = {5, 1}};
    m.slots[8] = (struct map_slot){.epoch = 1, .primary = 1, .isr_n = 2, .isr = {1, 0}, .isr_incarnation = {1, 5}};
    m.slots[9] = (struct map_slot){.epoch = 1, .primary = MAP_NOBODY};
    struct route_self self = {.map = &m, .place = 0, .incarnation = 5, .leased = true};
    assert_int_equal(route_slot(&self, 7, ROUTE_PLAIN, false).to, ROUTE_HERE);
    assert_int_equal(route_slot(&self, 8, ROUTE_PLAIN, false).to, ROUTE_FORWARD);
    assert_int_equal(route_slot(&self, 8, ROUTE_PLAIN, false).peer, 1);
    assert_int_equal(route_slot(&self, 8, ROUTE_AWARE, false).to, ROUTE_MOVED);
    assert_int_equal(route_slot(&self, 8, ROUTE_PEER, false).to, ROUTE_MOVED);
    assert_int_equal(route_slot(&self, 8, ROUTE_AWARE, true).to, ROUTE_HERE);
    assert_int_equal(route_slot(&self, 9, ROUTE_PLAIN, false).to, ROUTE_DOWN);
    self.leased = false;
    assert_int_equal(route_slot(&self, 7, ROUTE_PLAIN, false).to, ROUTE_DOWN);
    assert_int_equal(route_slot(&self, 8, ROUTE_AWARE, true).to, ROUTE_MOVED);
    self.reads_when_down = true;
    assert_int_equal(route_slot(&self, 8, ROUTE_AWARE, true).to, ROUTE_HERE);
    assert_int_equal(route_slot(&self, 7, ROUTE_PLAIN, false).to, ROUTE_DOWN);
    self.leased = true;
    self.incarnation = 6; /* restarted: the epoch was another run's */
    assert_int_equal(route_slot(&self, 7, ROUTE_PLAIN, false).to, ROUTE_DOWN);
    self.place = MAP_NOBODY;
    assert_int_equal(route_slot(&self, 7, ROUTE_PLAIN, false).to, ROUTE_FORWARD);
    map_free(&m);
}

/* ---------------------------------------------------------------- forwarding */

static void a_plain_client_finds_every_key_anywhere(void **state)
{
    (void)state;
    start();
    for (unsigned node = 0; node < SOME_NODES; node++)
        send_format(0, 1, "SET %s at%u", some_key(&w, node, 0), node);
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n+OK\r\n+OK\r\n");
    for (unsigned node = 0; node < SOME_NODES; node++)
        send_format(2, 1, "GET %s", some_key(&w, node, 0));
    some_carry(&w);
    some_expect(&w, 2, 1, "$3\r\nat0\r\n$3\r\nat1\r\n$3\r\nat2\r\n");
    send_format(1, 1, "GET %s", some_key(&w, 1, 0)); /* it really lives there */
    some_expect(&w, 1, 1, "$3\r\nat1\r\n");
    some_stop(&w);
}

static void replies_keep_the_order_of_requests(void **state)
{
    (void)state;
    start();
    const char *far = some_key(&w, 1, 0), *here = some_key(&w, 0, 0);
    send_format(0, 1, "SET %s 1\nSET %s 2\nGET %s\nNOSUCH\nGET %s", far, here, here, far);
    some_expect(&w, 0, 1, ""); /* the first is away */
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n+OK\r\n$1\r\n2\r\n-ERR unknown command 'NOSUCH', with args beginning with: \r\n$1\r\n1\r\n");
    some_stop(&w);
}

static void what_may_answer_later_waits_for_what_is_away(void **state)
{
    (void)state;
    start();
    const char *far = some_key(&w, 1, 0);
    send_format(0, 1, "SET %s 1", far);
    assert_int_equal(some_send(&w, 0, 1, "PING\nPING"), 0);
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n");
    assert_true(w.node[0].resumed[1]);
    assert_int_equal(some_send(&w, 0, 1, "PING"), 1);
    some_expect(&w, 0, 1, "+PONG\r\n");
    some_stop(&w);
}

/* No other node than its primary holds a write while slots have no copies, wherever it was written. */
static void wait_counts_nobody_and_comes_behind_what_is_away(void **state)
{
    (void)state;
    start();
    send_format(0, 1, "SET %s v", some_key(&w, 1, 0));
    assert_int_equal(some_send(&w, 0, 1, "WAIT 0 0"), 0); /* the write is not answered yet */
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n");
    some_send(&w, 0, 1, "WAIT 0 0");
    some_carry(&w);
    some_expect(&w, 0, 1, ":0\r\n");
    some_send(&w, 0, 1, "WAIT 1 100");
    some_carry(&w);
    some_expect(&w, 0, 1, "");
    some_later(&w, 110);
    some_expect(&w, 0, 1, ":0\r\n");
    some_stop(&w);
}

static void thousands_in_a_pipeline_stay_in_order(void **state)
{
    (void)state;
    start();
    enum { MANY = 6000, EACH = 50 };
    struct buf right;
    buf_init(&right, SIZE_MAX / 2);
    for (unsigned i = 0; i < MANY;) {
        char lines[EACH * 32], text[64];
        size_t n = 0;
        for (unsigned j = 0; j < EACH; j++, i++) {
            n += (size_t)snprintf(lines + n, sizeof(lines) - n, "%sINCRBY o%u %u", j > 0 ? "\n" : "", i % 97, i);
            unsigned sum = 0; /* each key's own order shows in its sums */
            for (unsigned k = i % 97; k <= i; k += 97)
                sum += k;
            int text_n = snprintf(text, sizeof(text), ":%u\r\n", sum);
            assert_int_equal(buf_add(&right, slice_of(text, (size_t)text_n)), ERR_OK);
        }
        for (size_t from = 0, taken; from < EACH; from += taken) { /* what is not taken comes again */
            char *at = lines;
            for (size_t k = 0; k < from; k++)
                at = strchr(at, '\n') + 1;
            taken = some_send(&w, 0, 1, at);
            if (taken < EACH - from)
                some_carry(&w);
        }
    }
    some_carry(&w);
    one_step(&w.node[0], (struct node_event){.type = NODE_RELEASE});
    assert_int_equal(w.node[0].got[1].n, right.n);
    assert_memory_equal(w.node[0].got[1].p, right.p, right.n);
    assert_int_equal(links_n(), 2); /* one to each of the others */
    buf_free(&right);
    some_stop(&w);
}

/* What comes in its turn is written behind what is there: one system call's worth of many. */
static void replies_from_elsewhere_leave_in_one_piece(void **state)
{
    (void)state;
    start();
    const char *far = some_key(&w, 1, 0);
    send_format(0, 1, "SET %s 1\nINCR %s\nGET %s\nINCR %s", far, far, far, far);
    struct some_link *l = only_link(0, 1);
    while (l->back.n == 0 && session_at(w.node[0].node, 1)->routing->turns_n > 0)
        assert_true(some_link_move(&w, l));
    const struct chain *out = &session_at(w.node[0].node, 1)->out;
    assert_int_equal(out->n, 5 + 4 + 7 + 4);
    assert_ptr_equal(out->head, out->tail);
    some_expect(&w, 0, 1, "+OK\r\n:2\r\n$1\r\n2\r\n:3\r\n");
    some_stop(&w);
}

static void resp3_has_its_own_link(void **state)
{
    (void)state;
    start();
    some_send(&w, 0, 1, "HELLO 3");
    one_step(&w.node[0], (struct node_event){.type = NODE_RELEASE});
    buf_clear(&w.node[0].got[1]);
    send_format(0, 1, "GET %s", some_key(&w, 1, 0));
    send_format(0, 2, "GET %s", some_key(&w, 1, 0));
    some_carry(&w);
    some_expect(&w, 0, 1, "_\r\n");
    some_expect(&w, 0, 2, "$-1\r\n");
    assert_int_equal(links_n(), 2);
    some_stop(&w);
}

/* --------------------------------------------------------------- who is aware */

static void whoever_asks_for_our_slots_alone_is_aware_in_the_end(void **state)
{
    (void)state;
    start();
    unsigned asked = 0;
    for (; asked < 40; asked++) /* 40 times log2(3) are 63.4 */
        send_format(0, 1, "GET %s", some_key(&w, 0, asked));
    assert_false(session_at(w.node[0].node, 1)->routing->settled);
    send_format(0, 1, "GET %s", some_key(&w, 0, 0)); /* the same slot says nothing new */
    assert_false(session_at(w.node[0].node, 1)->routing->settled);
    send_format(0, 1, "GET %s", some_key(&w, 0, asked));
    one_step(&w.node[0], (struct node_event){.type = NODE_RELEASE});
    buf_clear(&w.node[0].got[1]);
    const char *far = some_key(&w, 1, 0);
    char moved[64];
    (void)snprintf(moved, sizeof(moved), "-MOVED %u 10.0.0.2:7000\r\n", slot_of(slice_str(far)));
    send_format(0, 1, "GET %s", far);
    expect_begins(0, 1, moved);
    some_stop(&w);
}

static void one_foreign_slot_makes_plain_for_good(void **state)
{
    (void)state;
    start();
    send_format(0, 1, "GET %s", some_key(&w, 1, 0));
    some_carry(&w);
    for (unsigned i = 0; i < 60; i++)
        send_format(0, 1, "GET %s", some_key(&w, 0, i));
    send_format(0, 1, "SET %s v", some_key(&w, 2, 0));
    some_carry(&w);
    one_step(&w.node[0], (struct node_event){.type = NODE_RELEASE});
    struct slice got = buf_slice(&w.node[0].got[1]);
    assert_memory_equal(got.p + got.n - 5, "+OK\r\n", 5);
    some_stop(&w);
}

static void a_cluster_of_one_makes_nobody_aware(void **state)
{
    (void)state;
    start();
    memset(w.owner, 0, sizeof(w.owner));
    some_map(&w);
    for (unsigned i = 0; i < 200; i++)
        send_format(0, 1, "GET %s", some_key(&w, 0, i));
    assert_int_equal(session_at(w.node[0].node, 1)->routing->asker, ROUTE_PLAIN);
    some_stop(&w);
}

static void readonly_says_it_and_cluster_routing_commands(void **state)
{
    (void)state;
    start();
    some_send(&w, 0, 1, "READONLY");
    some_expect(&w, 0, 1, "+OK\r\n");
    send_format(0, 1, "GET %s", some_key(&w, 1, 0));
    expect_begins(0, 1, "-MOVED ");
    w.node[0].options.cluster_routing = CLUSTER_ROUTING_FORWARD;
    send_format(0, 1, "GET %s", some_key(&w, 1, 0));
    some_carry(&w);
    some_expect(&w, 0, 1, "$-1\r\n");
    w.node[0].options.cluster_routing = CLUSTER_ROUTING_REDIRECT;
    send_format(0, 2, "GET %s", some_key(&w, 1, 0));
    expect_begins(0, 2, "-MOVED ");
    some_stop(&w);
}

/* --------------------------------------------------------------- broken links */

static void a_write_that_was_not_sent_goes_again(void **state)
{
    (void)state;
    start();
    w.cut = true;
    send_format(0, 1, "SET %s v", some_key(&w, 1, 0));
    for (int i = 0; i < 5; i++)
        some_later(&w, 60);
    some_expect(&w, 0, 1, "");
    w.cut = false;
    some_later(&w, 60);
    some_expect(&w, 0, 1, "+OK\r\n");
    some_stop(&w);
}

static void patience_ends_with_an_error_that_libraries_retry(void **state)
{
    (void)state;
    start();
    w.cut = true;
    send_format(0, 1, "SET %s v", some_key(&w, 1, 0));
    for (int i = 0; i < 100; i++)
        some_later(&w, 60);
    expect_begins(0, 1, "-TRYAGAIN ");
    some_stop(&w);
}

static void a_write_that_was_sent_is_uncertain_and_a_read_goes_again(void **state)
{
    (void)state;
    start();
    const char *far = some_key(&w, 1, 0), *other = some_key(&w, 1, 1);
    send_format(0, 1, "SET %s old", other);
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n");
    w.stopped[1] = true;
    send_format(0, 1, "SET %s v\nGET %s", far, other);
    struct some_link *l = only_link(0, 1);
    one_step(&w.node[0], (struct node_event){.type = NODE_LINK_TOOK, .link = {.link = l->link}});
    some_link_break(&w, l);
    some_expect(&w, 0, 1, "-UNCERTAIN the write may or may not have been kept: the connection to its node broke\r\n");
    w.stopped[1] = false;
    some_later(&w, 20);
    some_expect(&w, 0, 1, "$3\r\nold\r\n");
    send_format(0, 1, "GET %s", far); /* it was never sent again */
    some_carry(&w);
    some_expect(&w, 0, 1, "$-1\r\n");
    some_stop(&w);
}

enum { DEEP = 100 * 1000, DEEP_CPU_S = 10 };

/* So many reads of one slot are on their way, and a write behind them: which of them may go again is known without a look
 * at all the others for each. */
static void a_deep_pipeline_that_is_lost_is_told_in_time_by_its_length(void **state)
{
    (void)state;
    start();
    const char *far = some_key(&w, 1, 0);
    w.stopped[1] = true;
    send_format(0, 1, "GET %s", far);
    some_carry(&w);
    struct node *n = w.node[0].node;
    struct peer_link *to = CONTAINER_OF(n->cluster->links.next, struct peer_link, in_cluster);
    struct session *s = CONTAINER_OF(to->sent.next, struct flight, in_where)->turn->session;
    struct slice get[] = {SLICE("GET"), slice_str(far)}, set[] = {SLICE("SET"), get[1], SLICE("v")};
    for (unsigned i = 0; i <= DEEP; i++) {
        struct request q = i < DEEP ? (struct request){.argv = get, .argc = 2} : (struct request){.argv = set, .argc = 3};
        peer_send(n, to, flight_new(n, turn_new(s, 0), spec_find(q.argv, q.argc), &q, slot_of(get[1])));
    }
    struct some_link *l = only_link(0, 1);
    all_is_taken(l); /* which gives it what was put, */
    all_is_taken(l); /* and that is taken, too */
    clock_t began = clock();
    some_link_break(&w, l);
    clock_t took = clock() - began;
    if (took > DEEP_CPU_S * CLOCKS_PER_SEC)
        fail_msg("it took %lld ms", (long long)took * 1000 / CLOCKS_PER_SEC);
    one_step(&w.node[0], (struct node_event){.type = NODE_RELEASE});
    static const char lost[] = "-TRYAGAIN the connection to its node broke\r\n", unsure[] = "-UNCERTAIN ";
    struct buf *got = &w.node[0].got[1];
    assert_true(got->n > (DEEP + 1) * strlen(lost) + strlen(unsure));
    assert_memory_equal(got->p + DEEP * strlen(lost), lost, strlen(lost));
    assert_memory_equal(got->p + (DEEP + 1) * strlen(lost), unsure, strlen(unsure));
    some_stop(&w);
}

static void what_the_socket_did_not_take_was_not_sent(void **state)
{
    (void)state;
    start();
    const char *far = some_key(&w, 1, 0);
    send_format(0, 1, "GET %s", far);
    some_carry(&w);
    some_expect(&w, 0, 1, "$-1\r\n");
    w.stopped[1] = true;
    send_format(0, 1, "SET %s v", far);
    some_link_break(&w, only_link(0, 1));
    some_expect(&w, 0, 1, "");
    w.stopped[1] = false;
    some_later(&w, 20);
    some_expect(&w, 0, 1, "+OK\r\n");
    some_stop(&w);
}

static void a_silent_node_is_hung_up(void **state)
{
    (void)state;
    start();
    w.stopped[1] = true;
    send_format(0, 1, "GET %s", some_key(&w, 1, 0));
    some_carry(&w);
    send_format(0, 1, "SET %s v", some_key(&w, 1, 1));
    some_carry(&w);
    for (unsigned i = 0; i < SOME_LINKS; i++)
        if (w.links[i].used)
            all_is_taken(&w.links[i]);
    for (int i = 0; i < 32; i++)
        some_later(&w, 100);
    one_step(&w.node[0], (struct node_event){.type = NODE_RELEASE});
    some_expect(&w, 0, 1, ""); /* the read before it still tries */
    w.stopped[1] = false;
    some_later(&w, 20);
    some_expect(&w, 0, 1, "$-1\r\n-UNCERTAIN the write may or may not have been kept: its node does not answer\r\n");
    some_stop(&w);
}

static void a_client_that_leaves_leaves_nothing_behind(void **state)
{
    (void)state;
    start();
    w.stopped[1] = true;
    send_format(0, 1, "SET %s v\nMGET %s %s", some_key(&w, 1, 0), some_key(&w, 1, 1), some_key(&w, 2, 1));
    some_carry(&w);
    one_step(&w.node[0], (struct node_event){.type = NODE_CLOSED, .closed = 1});
    w.stopped[1] = false;
    some_carry(&w);
    send_format(0, 2, "GET %s", some_key(&w, 1, 0)); /* replies still meet their requests */
    some_carry(&w);
    some_expect(&w, 0, 2, "$1\r\nv\r\n");
    some_stop(&w);
}

/* --------------------------------------------------------------- long replies */

static const struct peer_link *link_of_node(unsigned node)
{
    return CONTAINER_OF(w.node[node].node->cluster->links.next, struct peer_link, in_cluster);
}

/* Bytes of the first reply that this link has brought. */
static size_t link_given(unsigned node, uint32_t link)
{
    const struct list *links = &w.node[node].node->cluster->links;
    for (const struct list *l = links->next; l != links; l = l->next) {
        const struct peer_link *p = CONTAINER_OF(l, struct peer_link, in_cluster);
        if (p->id == link)
            return CONTAINER_OF(p->sent.next, struct flight, in_where)->passed + p->in.n;
    }
    fail_msg("the link is gone");
    return 0;
}

/* Two clients ask node 1; its answers are to be given by hand. */
static struct some_link *two_wait(void)
{
    start();
    const char *far = some_key(&w, 1, 0);
    w.stopped[1] = true;
    send_format(0, 1, "GET %s", far);
    send_format(0, 2, "GET %s", far);
    some_carry(&w);
    return only_link(0, 1);
}

static bool is_dropped(unsigned node, uint32_t conn)
{
    struct node_out *out = &w.node[node].out;
    for (size_t i = 0; i < out->drop.n; i++)
        if (out->drop.at[i] == conn)
            return true;
    return false;
}

static void a_long_reply_goes_on_as_it_comes(void **state)
{
    (void)state;
    struct some_link *l = two_wait();
    enum { LONG = 3000000 };
    answer_some(l, SLICE("$3000000\r\n"));
    answer_x(l, LONG / 2);
    assert_true(link_of_node(0)->in.cap < 256 * 1024);
    one_step(&w.node[0], (struct node_event){.type = NODE_RELEASE});
    assert_true(w.node[0].got[1].n > LONG / 2 - 128 * 1024);
    answer_x(l, LONG - LONG / 2);
    answer_some(l, SLICE("\r\n$1\r\nv\r\n"));
    some_expect(&w, 0, 2, "$1\r\nv\r\n");
    assert_int_equal(w.node[0].got[1].n, LONG + 12);
    assert_memory_equal(w.node[0].got[1].p + LONG + 8, "xx\r\n", 4);
    some_stop(&w);
}

static void the_rest_of_a_long_value_is_no_word_of_its_node(void **state)
{
    (void)state;
    start();
    const char *far = some_key(&w, 1, 0), *other = some_key(&w, 1, 1);
    send_format(1, 1, "SET %s 1", other);
    some_expect(&w, 1, 1, "+OK\r\n");
    w.stopped[1] = true;
    send_format(0, 1, "GET %s", far);
    send_format(0, 2, "GET %s\nINCR %s", other, other);
    some_carry(&w);
    struct some_link *l = only_link(0, 1);
    assert_true(some_deliver(&w, l)); /* all three run there */
    one_step(&w.node[1], (struct node_event){.type = NODE_RELEASE});
    buf_clear(&w.node[1].got[l->conn]); /* and are answered: by hand, below */
    all_is_taken(l);
    static char in[9 + 131072];
    memset(in, 'x', sizeof(in));
    memcpy(in, "$131092\r\n", 9);
    answer_some(l, slice_of(in, sizeof(in)));
    answer_some(l, SLICE("-STOPPED xxxxxxxxxxx\r\n"));
    if (l->used)
        answer_some(l, SLICE("$1\r\n1\r\n:2\r\n"));
    w.stopped[1] = false;
    for (int i = 0; i < 5; i++)
        some_later(&w, 30);
    some_expect(&w, 0, 2, "$1\r\n1\r\n:2\r\n");
    some_stop(&w);
}

static void a_long_reply_that_breaks_off_ends_its_connection(void **state)
{
    (void)state;
    struct some_link *l = two_wait();
    answer_some(l, SLICE("$3000000\r\n"));
    answer_x(l, 500000);
    w.stopped[1] = false;
    uint32_t link = l->link;
    some_link_drop(l);
    one_step(&w.node[0], (struct node_event){.type = NODE_LINK_CLOSED, .link = {.link = link}});
    assert_true(is_dropped(0, 1)); /* it has the beginning */
    one_step(&w.node[0], (struct node_event){.type = NODE_CLOSED, .closed = 1});
    for (int i = 0; i < 3; i++)
        some_later(&w, 30);
    some_expect(&w, 0, 2, "$-1\r\n"); /* the other one was asked for again */
    some_stop(&w);
}

static void what_waits_behind_another_is_bounded(void **state)
{
    (void)state;
    start();
    struct option_limit *limit = &w.node[0].options.client_output_buffer_limit.of[CLIENT_NORMAL];
    limit->hard = 1000000;
    const char *slow = some_key(&w, 2, 0), *far = some_key(&w, 1, 0);
    w.stopped[1] = w.stopped[2] = true;
    send_format(0, 1, "GET %s\nGET %s", slow, far);
    send_format(0, 2, "GET %s", far);
    some_carry(&w);
    struct some_link *l = only_link(0, 1);
    answer_some(l, SLICE("$3000000\r\n"));
    for (int i = 0; i < 20 && !is_dropped(0, 1); i++)
        answer_x(l, 64 * 1024);
    assert_true(is_dropped(0, 1));
    one_step(&w.node[0], (struct node_event){.type = NODE_CLOSED, .closed = 1});
    size_t given = link_given(0, l->link);
    assert_true(given < 1100000);
    answer_x(l, 3000010 - given);
    answer_some(l, SLICE("\r\n$1\r\nv\r\n")); /* and the link goes on for the others */
    some_expect(&w, 0, 2, "$1\r\nv\r\n");
    some_stop(&w);
}

static void parts_end_with_the_client_that_is_owed_too_much(void **state)
{
    (void)state;
    start();
    const char *one = some_key(&w, 0, 0), *two = some_key(&w, 0, 1), *three = some_key(&w, 0, 2);
    send_format(0, 2, "SETRANGE %s 5000 x\nSETRANGE %s 5000 x\nSETRANGE %s 5000 x", one, two, three);
    w.node[0].options.client_output_buffer_limit.of[CLIENT_NORMAL].hard = 4000;
    send_format(0, 1, "MGET %s %s %s", one, two, three);
    assert_true(is_dropped(0, 1));
    one_step(&w.node[0], (struct node_event){.type = NODE_CLOSED, .closed = 1});
    some_stop(&w);
}

static void who_asks_for_long_replies_has_few_under_way(void **state)
{
    (void)state;
    struct some_link *l = two_wait();
    answer_some(l, SLICE("$4000000\r\n"));
    answer_x(l, 4000000);
    answer_some(l, SLICE("\r\n$1\r\nv\r\n"));
    const char *far = some_key(&w, 1, 0);
    unsigned taken = 0;
    char line[64];
    (void)snprintf(line, sizeof(line), "GET %s", far);
    while (taken < 100 && some_send(&w, 0, 1, line) == 1)
        taken++;
    assert_int_equal(taken, 8); /* of about 32 MiB */
    for (unsigned i = 0; i < taken; i++) /* over the link that has become one for what is long (N18) */
        answer_some(l, SLICE("$1\r\nv\r\n"));
    assert_true(w.node[0].resumed[1]);
    some_stop(&w);
}

/* 12 clients write 2 MiB each, and their node takes nothing: the link is given 16 MiB and no more. */
static void a_link_is_given_no_more_than_it_takes(void **state)
{
    (void)state;
    start();
    enum { CLIENTS = 12, LONG = 2 * 1024 * 1024 };
    char *text = malloc(LONG + 128);
    const char *far = some_key(&w, 1, 0);
    w.stopped[1] = true;
    for (uint32_t i = 0; i < CLIENTS; i++) {
        if (i > 1)
            one_open(&w.node[0], i + 1);
        int head = sprintf(text, "*3\r\n$3\r\nSET\r\n$%zu\r\n%s\r\n$%d\r\n", strlen(far), far, LONG);
        memset(text + head, 'x', LONG);
        strcpy(text + head + LONG, "\r");
        assert_int_equal(some_send(&w, 0, i + 1, text), 1);
        if (i == 0)
            some_carry(&w); /* dialed */
    }
    free(text);
    assert_in_range(link_of_node(0)->left + link_of_node(0)->out.n, 16 * 1024 * 1024, 18 * 1024 * 1024);
    w.stopped[1] = false;
    for (int i = 0; i < 5; i++)
        some_later(&w, 20);
    for (uint32_t i = 0; i < CLIENTS; i++)
        some_expect(&w, 0, i + 1, "+OK\r\n");
    some_stop(&w);
}

/* ---------------------------------------------------------------- moving maps */

static void a_refusal_by_whoever_knows_more_is_tried_again(void **state)
{
    (void)state;
    start();
    const char *key = some_key(&w, 1, 0);
    w.owner[slot_of(slice_str(key))] = 2;
    some_map_make(&w);
    some_map_to(&w, 1);
    some_map_to(&w, 2); /* node 0 is late */
    send_format(0, 1, "APPEND %s a\nAPPEND %s b", key, key);
    some_carry(&w);
    some_later(&w, 30);
    some_expect(&w, 0, 1, "");
    some_map_to(&w, 0);
    some_carry(&w);
    some_later(&w, 30);
    some_expect(&w, 0, 1, ":1\r\n:2\r\n");
    some_stop(&w);
}

/* The second of two writes reaches its node after that has learned that the slot is its own, while the
 * first was refused before: it must not overtake. */
static void nothing_overtakes_what_was_refused(void **state)
{
    (void)state;
    start();
    const char *key = some_key(&w, 1, 0);
    w.owner[slot_of(slice_str(key))] = 2;
    some_map_make(&w);
    some_map_to(&w, 0);
    some_map_to(&w, 1); /* node 2 is late: it does not know yet */
    w.stopped[2] = true;
    send_format(0, 1, "APPEND %s a", key);
    some_carry(&w);
    w.stopped[2] = false;
    struct some_link *l = only_link(0, 2);
    assert_true(some_deliver(&w, l)); /* refused; the answer is on its way */
    w.stopped[2] = true;
    send_format(0, 1, "APPEND %s b", key);
    some_map_to(&w, 2); /* now it knows */
    w.stopped[2] = false;
    some_carry(&w);
    for (int i = 0; i < 5; i++)
        some_later(&w, 20);
    some_expect(&w, 0, 1, ":1\r\n:2\r\n");
    send_format(2, 1, "GET %s", key);
    some_expect(&w, 2, 1, "$2\r\nab\r\n");
    some_stop(&w);
}

static void a_slot_without_a_primary_is_a_pause(void **state)
{
    (void)state;
    start();
    const char *key = some_key(&w, 1, 0);
    w.owner[slot_of(slice_str(key))] = MAP_NOBODY;
    some_map(&w);
    send_format(0, 1, "SET %s v\nGET %s", key, key);
    some_later(&w, 500);
    some_expect(&w, 0, 1, "");
    some_send(&w, 0, 2, "READONLY");
    send_format(0, 2, "GET %s", key);
    some_expect(&w, 0, 2, "+OK\r\n");
    for (int i = 0; i < 21; i++)
        some_later(&w, 100);
    some_expect(&w, 0, 2, "-CLUSTERDOWN Hash slot not served\r\n"); /* who is aware may ask elsewhere */
    send_format(0, 2, "GET %s", key);
    some_later(&w, 500);
    w.owner[slot_of(slice_str(key))] = 0;
    some_map(&w);
    some_expect(&w, 0, 1, "+OK\r\n$1\r\nv\r\n"); /* and it has come here */
    some_expect(&w, 0, 2, "$1\r\nv\r\n");
    w.owner[slot_of(slice_str(key))] = MAP_NOBODY;
    some_map(&w);
    send_format(0, 1, "GET %s", key);
    for (int i = 0; i < 50; i++)
        some_later(&w, 100);
    some_expect(&w, 0, 1, "-CLUSTERDOWN Hash slot not served\r\n");
    some_stop(&w);
}

static void a_slot_whose_copies_are_all_down_is_refused_at_once(void **state)
{
    (void)state;
    start();
    const char *key = some_key(&w, 1, 0);
    unsigned slot = slot_of(slice_str(key));
    w.owner[slot] = MAP_NOBODY;
    some_map_make(&w);
    w.map.nodes.at[1].health = MAP_DOWN;
    some_map_to(&w, 0);
    send_format(0, 1, "GET %s", key);
    some_expect(&w, 0, 1, "-CLUSTERDOWN Hash slot not served\r\n");
    w.map.index++;
    w.map.nodes.at[1].health = MAP_UP; /* it is back: an election can follow */
    some_map_to(&w, 0);
    send_format(0, 1, "GET %s", key);
    some_later(&w, 500);
    some_expect(&w, 0, 1, "");
    some_stop(&w);
}

static void full_coverage_may_be_required(void **state)
{
    (void)state;
    start();
    const char *here = some_key(&w, 0, 0);
    w.owner[slot_of(slice_str(some_key(&w, 1, 0)))] = MAP_NOBODY;
    some_map(&w);
    some_send(&w, 0, 1, "READONLY");
    send_format(0, 1, "SET %s v", here);
    some_expect(&w, 0, 1, "+OK\r\n+OK\r\n");
    some_send(&w, 0, 1, "CONFIG SET cluster-require-full-coverage yes");
    send_format(0, 1, "SET %s w", here);
    for (int i = 0; i < 21; i++)
        some_later(&w, 100);
    some_expect(&w, 0, 1, "+OK\r\n-CLUSTERDOWN The cluster is down: not every slot is served, and "
                          "cluster-require-full-coverage is yes\r\n");
    some_send(&w, 0, 1, "PING");
    some_expect(&w, 0, 1, "+PONG\r\n");
    some_send(&w, 0, 1, "CLUSTER INFO");
    one_step(&w.node[0], (struct node_event){.type = NODE_RELEASE});
    assert_non_null(memmem(w.node[0].got[1].p, w.node[0].got[1].n, "cluster_state:fail", 18));
    buf_clear(&w.node[0].got[1]);
    w.owner[slot_of(slice_str(some_key(&w, MAP_NOBODY, 0)))] = 1;
    some_map(&w);
    send_format(0, 1, "GET %s", here);
    some_expect(&w, 0, 1, "$1\r\nv\r\n");
    some_stop(&w);
}

/* ---------------------------------------------------------------- split and merge */

static void commands_of_many_slots_are_split_and_merged(void **state)
{
    (void)state;
    start();
    const char *a = some_key(&w, 0, 0), *b = some_key(&w, 1, 0), *c = some_key(&w, 2, 0), *d = some_key(&w, 1, 1);
    send_format(0, 1, "MSET %s A %s B %s C\nMGET %s %s %s %s %s", a, b, c, c, d, a, b, c);
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n*5\r\n$1\r\nC\r\n$-1\r\n$1\r\nA\r\n$1\r\nB\r\n$1\r\nC\r\n");
    send_format(1, 1, "EXISTS %s %s %s %s\nTOUCH %s %s\nDEL %s %s\nUNLINK %s %s %s", a, b, c, d, a, b, a, d, a, b, c);
    some_carry(&w);
    some_expect(&w, 1, 1, ":3\r\n:2\r\n:1\r\n:2\r\n");
    some_send(&w, 0, 1, "HELLO 3");
    one_step(&w.node[0], (struct node_event){.type = NODE_RELEASE});
    buf_clear(&w.node[0].got[1]);
    send_format(0, 1, "MGET %s %s", a, b);
    some_carry(&w);
    some_expect(&w, 0, 1, "*2\r\n_\r\n_\r\n");
    some_stop(&w);
}

static void an_error_in_a_part_is_the_whole_answer(void **state)
{
    (void)state;
    start();
    const char *a = some_key(&w, 0, 0), *b = some_key(&w, 1, 0), *c = some_key(&w, 2, 0);
    send_format(0, 1, "MSET %s 1 %s 2", b, c);
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n");
    w.stopped[1] = true;
    send_format(0, 1, "MSET %s A %s B %s C", a, b, c);
    struct some_link *l = only_link(0, 1);
    all_is_taken(l);
    some_link_break(&w, l);
    some_carry(&w);
    expect_begins(0, 1, "-UNCERTAIN ");
    some_stop(&w);
}

/* What ran here while the others had not answered yet. */
static void a_part_whose_slot_was_lost_meanwhile_is_the_whole_answer(void **state)
{
    (void)state;
    start();
    const char *here = some_key(&w, 0, 0), *there = some_key(&w, 1, 0);
    send_format(0, 1, "GET %s", there);
    some_carry(&w);
    some_expect(&w, 0, 1, "$-1\r\n");
    w.stopped[1] = true;
    send_format(0, 1, "MSET %s A %s B", here, there);
    send_format(0, 2, "MGET %s %s", here, there);
    some_expect(&w, 0, 1, "");
    w.owner[slot_of(slice_str(here))] = 2;
    some_map(&w);
    w.stopped[1] = false;
    some_carry(&w);
    some_expect(&w, 0, 1, "-UNCERTAIN the write may or may not have been kept: its slot has another primary\r\n");
    expect_begins(0, 2, "-CLUSTERDOWN its slot has another primary");
    some_stop(&w);
}

static void other_commands_of_many_slots_are_refused(void **state)
{
    (void)state;
    start();
    send_format(0, 1, "RENAME %s %s", some_key(&w, 0, 0), some_key(&w, 0, 1));
    some_expect(&w, 0, 1, "-CROSSSLOT Keys in request don't hash to the same slot\r\n");
    some_send(&w, 0, 1, "MSET {t}a 1 {t}b 2");
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n");
    some_stop(&w);
}

/* ------------------------------------------------------------------ all nodes */

enum { WIDE_KEYS = 300 };

static void start_wide(void)
{
    start();
    w.node[0].options.cluster_routing = CLUSTER_ROUTING_FORWARD;
    for (unsigned i = 0; i < WIDE_KEYS; i++) {
        send_format(0, 1, "SET k%u v", i);
        some_carry(&w);
    }
    one_step(&w.node[0], (struct node_event){.type = NODE_RELEASE});
    buf_clear(&w.node[0].got[1]);
}

static void forward_makes_some_commands_cluster_wide(void **state)
{
    (void)state;
    start_wide();
    some_send(&w, 0, 1, "DBSIZE");
    some_carry(&w);
    some_expect(&w, 0, 1, ":300\r\n");
    some_send(&w, 1, 1, "DBSIZE"); /* auto: its own */
    one_step(&w.node[1], (struct node_event){.type = NODE_RELEASE});
    assert_memory_not_equal(w.node[1].got[1].p, ":300\r\n", 6);
    some_send(&w, 0, 1, "KEYS *");
    some_carry(&w);
    expect_begins(0, 1, "*300\r\n$");
    some_send(&w, 0, 1, "KEYS k7");
    some_carry(&w);
    some_expect(&w, 0, 1, "*1\r\n$2\r\nk7\r\n");
    some_send(&w, 0, 1, "RANDOMKEY");
    some_carry(&w);
    expect_begins(0, 1, "$");
    some_send(&w, 0, 1, "FLUSHALL nonsense");
    some_carry(&w);
    some_expect(&w, 0, 1, "-ERR syntax error\r\n");
    assert_int_equal(some_send(&w, 0, 1, "SET k0 w\nFLUSHALL\nPING"), 1); /* nothing is passed by it, or passes it */
    some_carry(&w);
    assert_int_equal(some_send(&w, 0, 1, "FLUSHALL\nPING"), 1);
    some_carry(&w);
    some_send(&w, 0, 1, "DBSIZE");
    some_carry(&w);
    some_send(&w, 0, 1, "RANDOMKEY");
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n+OK\r\n:0\r\n$-1\r\n");
    w.owner[7] = MAP_NOBODY; /* an answer would lack its keys */
    some_map(&w);
    some_send(&w, 0, 1, "DBSIZE");
    some_carry(&w);
    some_expect(&w, 0, 1, "-CLUSTERDOWN Hash slot not served\r\n");
    some_stop(&w);
}

/* 1 key at node 0, 3 at node 1, 60 at node 2: of 640 answers 10, 30 and 600 are likely. */
static void any_key_is_as_likely_as_any_other(void **state)
{
    (void)state;
    start();
    w.node[0].options.cluster_routing = CLUSTER_ROUTING_FORWARD;
    static const unsigned keys[SOME_NODES] = {1, 3, 60};
    for (unsigned node = 0; node < SOME_NODES; node++)
        for (unsigned i = 0; i < keys[node]; i++)
            send_format(node, 2, "SET %s v", some_key(&w, node, i));
    unsigned told[SOME_NODES] = {0};
    for (unsigned i = 0; i < 640; i++) {
        some_send(&w, 0, 1, "RANDOMKEY");
        some_carry(&w);
        one_step(&w.node[0], (struct node_event){.type = NODE_RELEASE});
        struct buf *got = &w.node[0].got[1];
        const char *key = memchr(got->p, '\n', got->n);
        assert_non_null(key);
        told[w.owner[slot_of(slice_of(key + 1, (size_t)(got->p + got->n - 3 - key)))]]++;
        buf_clear(got);
    }
    assert_in_range(told[0], 1, 40);
    assert_in_range(told[1], 8, 80);
    assert_in_range(told[2], 520, 631);
    some_stop(&w);
}

static void scan_walks_all_nodes(void **state)
{
    (void)state;
    start_wide();
    bool seen[WIDE_KEYS] = {false};
    unsigned found = 0, calls = 0;
    char cursor[32] = "0";
    do {
        send_format(0, 1, "SCAN %s COUNT 7", cursor);
        some_carry(&w);
        one_step(&w.node[0], (struct node_event){.type = NODE_RELEASE});
        struct buf *got = &w.node[0].got[1];
        char *text = malloc(got->n + 1), *rest = NULL;
        memcpy(text, got->p, got->n);
        text[got->n] = '\0';
        buf_clear(got);
        assert_memory_equal(text, "*2\r\n$", 5);
        (void)snprintf(cursor, sizeof(cursor), "%s", strtok_r(strchr(text + 5, '\n') + 1, "\r\n", &rest));
        for (char *word; (word = strtok_r(NULL, "\r\n", &rest)) != NULL;) {
            if (word[0] != 'k')
                continue;
            unsigned i = (unsigned)atoi(word + 1);
            assert_true(i < WIDE_KEYS && !seen[i]);
            seen[i] = true;
            found++;
        }
        free(text);
        assert_true(++calls < 2 * WIDE_KEYS);
    } while (strcmp(cursor, "0") != 0);
    assert_int_equal(found, WIDE_KEYS);
    some_send(&w, 0, 1, "SCAN x");
    some_carry(&w);
    some_expect(&w, 0, 1, "-ERR invalid cursor\r\n");
    some_send(&w, 0, 1, "SCAN 1000"); /* a node that serves nothing any more, and none is behind it */
    some_carry(&w);
    some_expect(&w, 0, 1, "*2\r\n$1\r\n0\r\n*0\r\n");
    some_stop(&w);
}

UNIT_TESTS("routing",
           TEST(the_map_decides, "the map and the lease decide whose a slot is"),
           TEST(a_plain_client_finds_every_key_anywhere, "a plain client finds every key at every node"),
           TEST(replies_keep_the_order_of_requests, "replies keep the order of requests, wherever they ran (replication 10)"),
           TEST(what_may_answer_later_waits_for_what_is_away, "what may answer later waits for what is away"),
           TEST(wait_counts_nobody_and_comes_behind_what_is_away, "WAIT counts nobody, and comes behind what is away"),
           TEST(thousands_in_a_pipeline_stay_in_order, "thousands in a pipeline stay in order (replication 10)"),
           TEST(replies_from_elsewhere_leave_in_one_piece, "replies from elsewhere leave in one piece"),
           TEST(resp3_has_its_own_link, "RESP3 has its own link"),
           TEST(whoever_asks_for_our_slots_alone_is_aware_in_the_end, "whoever asks for our slots alone is aware once chance is out"),
           TEST(one_foreign_slot_makes_plain_for_good, "one foreign slot before that makes plain for good"),
           TEST(a_cluster_of_one_makes_nobody_aware, "a cluster of one makes nobody aware"),
           TEST(readonly_says_it_and_cluster_routing_commands, "READONLY says it, and cluster-routing has the last word"),
           TEST(a_write_that_was_not_sent_goes_again, "a write that was not sent goes again"),
           TEST(patience_ends_with_an_error_that_libraries_retry, "patience ends with an error that libraries retry"),
           TEST(a_write_that_was_sent_is_uncertain_and_a_read_goes_again, "a write that was sent is uncertain, a read goes again (replication 9)"),
           TEST(a_deep_pipeline_that_is_lost_is_told_in_time_by_its_length,
                "a deep pipeline whose link breaks is answered in time by its length, reads before a write as well (10)"),
           TEST(what_the_socket_did_not_take_was_not_sent, "what the socket did not take was not sent"),
           TEST(a_silent_node_is_hung_up, "a silent node is hung up"),
           TEST(a_client_that_leaves_leaves_nothing_behind, "a client that leaves leaves nothing behind"),
           TEST(a_long_reply_goes_on_as_it_comes, "a long reply goes on to its client as it comes"),
           TEST(the_rest_of_a_long_value_is_no_word_of_its_node, "the rest of a long value is no word of its node (10)"),
           TEST(a_long_reply_that_breaks_off_ends_its_connection, "a long reply that breaks off ends its connection, and no other"),
           TEST(parts_end_with_the_client_that_is_owed_too_much, "the parts of a command end with the client that is owed too much"),
           TEST(what_waits_behind_another_is_bounded, "what waits behind another reply is bounded, and its link goes on"),
           TEST(who_asks_for_long_replies_has_few_under_way, "who asks for long replies has few under way"),
           TEST(a_link_is_given_no_more_than_it_takes, "a link is given 16 MiB more than it takes, and the rest in time"),
           TEST(a_refusal_by_whoever_knows_more_is_tried_again, "a refusal by whoever knows more is tried again"),
           TEST(nothing_overtakes_what_was_refused, "nothing overtakes what was refused (replication 10)"),
           TEST(a_slot_without_a_primary_is_a_pause, "a slot without a primary is a pause, then an error"),
           TEST(a_slot_whose_copies_are_all_down_is_refused_at_once,
                "a slot whose copies are all on nodes that are DOWN is refused at once (replication 22)"),
           TEST(full_coverage_may_be_required, "cluster-require-full-coverage refuses all while a slot is not served"),
           TEST(commands_of_many_slots_are_split_and_merged, "commands of many slots are split and merged"),
           TEST(an_error_in_a_part_is_the_whole_answer, "an error in a part is the whole answer"),
           TEST(a_part_whose_slot_was_lost_meanwhile_is_the_whole_answer,
                "a part that ran here and whose slot was lost before all had answered is the whole answer (9)"),
           TEST(other_commands_of_many_slots_are_refused, "other commands of many slots are refused"),
           TEST(forward_makes_some_commands_cluster_wide, "cluster-routing forward makes DBSIZE, KEYS, FLUSHALL ... cluster-wide"),
           TEST(any_key_is_as_likely_as_any_other, "and RANDOMKEY tells any key as likely as any other"),
           TEST(scan_walks_all_nodes, "and SCAN walks all nodes, each key told once"))

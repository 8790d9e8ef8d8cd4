/* SPDX-License-Identifier: BSD-3-Clause */

/* Node 2 of three is a proxy's data plane: it is no member, and clients see one server. */
#include "tests/lib/some_routes.h"

#include "core/map/map.h"
#include "node/stats.h"

enum { PROXY = 2 };

static void start_proxy(void)
{
    struct one *o = &w.node[PROXY];
    start();
    one_stop(o);
    *o = (struct one){.links = some_links, .words = some_words, .lease = {0}};
    o->identity = (struct node_identity){
        .seed = 3, .in_cluster = true, .is_proxy = true};
    one_begin(o, "appendonly no\ndatabases 1\ncluster-routing forward");
    one_open(o, 1);
    one_open(o, 2);
    for (unsigned slot = 0; slot < SLOTS; slot++)
        w.owner[slot] = (uint16_t)(slot % 2);
    some_map(&w);
}

static void end(void)
{
    for (unsigned i = 0; i < SOME_NODES; i++)
        one_stop(&w.node[i]);
    for (unsigned i = 0; i < SOME_LINKS; i++)
        if (w.links[i].used)
            some_link_drop(&w.links[i]);
    for (unsigned i = 0; i < SOME_NODES; i++)
        for (size_t k = 0; k < w.words_n[i]; k++)
            word_free(&w.words[i][k]);
    map_free(&w.map);
}

/* What the proxy answers to this line, all links having done what they could. */
#define says(line, text)                       \
    do {                                       \
        some_send(&w, PROXY, 1, line);         \
        some_carry(&w);                        \
        one_expect(&w.node[PROXY], 1, text);   \
    } while (0)

static void it_looks_like_one_server(void **state)
{
    (void)state;
    start_proxy();
    says("HELLO 2", "*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.2.4\r\n$5\r\nproto\r\n:2\r\n"
                    "$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n"
                    "$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n");
    says("SELECT 0", "+OK\r\n");
    says("SELECT 1", "-ERR DB index is out of range\r\n");
    says("CLUSTER SLOTS", "-ERR This instance has cluster support disabled\r\n");
    says("READONLY", "-ERR This instance has cluster support disabled\r\n");
    says("ROLE", "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n");
    says("PING", "+PONG\r\n");
    says("BGSAVE", "-ERR bgsave is refused: this is a proxy, which keeps no data; ask the nodes of its cluster\r\n");
    says("CLIENT QUORUM all", "+OK\r\n");
    end();
}

static void every_key_is_its(void **state)
{
    (void)state;
    start_proxy();
    says("SET a 1\nSET b 2\nINCR a\nGET b", "+OK\r\n+OK\r\n:2\r\n$1\r\n2\r\n");
    says("GET c", "$-1\r\n");
    says("MGET a b c", "*3\r\n$1\r\n2\r\n$1\r\n2\r\n$-1\r\n");
    says("MSET a 5 b 6 c 7 d 8", "+OK\r\n");
    says("DEL a nothing b", ":2\r\n");
    says("DBSIZE", ":2\r\n");
    says("MULTI\nSET {t}1 x\nINCR {t}2\nEXEC", "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n:1\r\n");
    says("RENAME a b", "-CROSSSLOT Keys in request don't hash to the same slot\r\n");
    says("FLUSHALL", "+OK\r\n");
    says("DBSIZE", ":0\r\n");
    says("WAIT 0 10", ":0\r\n");
    end();
}

static void replies_keep_their_order_through_two_nodes(void **state)
{
    (void)state;
    start_proxy();
    w.stopped[slot_of(SLICE("a")) % 2] = true;
    some_send(&w, PROXY, 1, "SET a 1\nSET b 2\nPING\nGET b");
    some_carry(&w);
    assert_true(slot_of(SLICE("a")) % 2 != slot_of(SLICE("b")) % 2);
    one_expect(&w.node[PROXY], 1, ""); /* b is answered, and waits for a */
    w.stopped[0] = w.stopped[1] = false;
    some_carry(&w);
    one_expect(&w.node[PROXY], 1, "+OK\r\n+OK\r\n");
    one_step(&w.node[PROXY], (struct node_event){.type = NODE_RELEASE});
    end();
}

/* What the bytes behind an argument are nobody says, so that what was written anew would differ. */
static void a_short_request_goes_on_as_it_came(void **state)
{
    (void)state;
    static const char raw[] = "*2\r\n$3\r\ngEt\r\n$1\r\na??", anew[] = "*2\r\n$3\r\nget\r\n$1\r\na\r\n";
    start_proxy();
    unsigned owner = slot_of(SLICE("a")) % 2;
    says("GET a", "$-1\r\n");
    says("GET a", "$-1\r\n"); /* over the connection that the next ones take */
    w.stopped[owner] = true;
    some_send(&w, PROXY, 1, "*1\r\n$4\r\nPING\r\n*2\r\n$3\r\ngEt\r\n$1\r\na??get a");
    some_carry(&w);
    bool found = false;
    for (unsigned i = 0; i < SOME_LINKS; i++) {
        struct some_link *l = &w.links[i];
        if (l->used && l->from == PROXY && l->there.n > 0) {
            found |= memmem(l->there.p, l->there.n, raw, sizeof(raw) - 1) != NULL &&
                    memmem(l->there.p, l->there.n, anew, sizeof(anew) - 1) != NULL;
            some_link_break(&w, l); /* both are sent again */
        }
    }
    assert_true(found);
    w.stopped[owner] = false;
    some_later(&w, 1000);
    one_expect(&w.node[PROXY], 1, "+PONG\r\n$-1\r\n$-1\r\n");
    end();
}

static void what_is_long_has_a_link_of_its_own(void **state)
{
    (void)state;
    enum { LONG = 100 * 1000 };
    start_proxy();
    char *line = mem_get(LONG + 64);
    int head = snprintf(line, 64, "SET {a}long ");
    memset(line + head, 'x', LONG);
    line[head + LONG] = '\0';
    says("SET {a}short 1", "+OK\r\n");
    assert_int_equal(links_n(), 1);
    says(line, "+OK\r\n"); /* a long request */
    assert_int_equal(links_n(), 2);
    some_send(&w, PROXY, 2, "GET {a}long"); /* a long reply makes the next of its session go there, */
    some_carry(&w);
    expect_begins(PROXY, 2, "$100000\r\n");
    some_send(&w, PROXY, 2, "GET {a}long");
    some_carry(&w);
    expect_begins(PROXY, 2, "$100000\r\n");
    assert_int_equal(links_n(), 3); /* one for reads, too */
    w.stopped[slot_of(SLICE("a")) % 2] = true;
    some_send(&w, PROXY, 2, "GET {a}long");
    some_send(&w, PROXY, 1, "GET {a}short\nINCR {a}short"); /* and the other's does not */
    some_carry(&w);
    struct peer_link *l;
    unsigned sent[2] = {0};
    for (struct list *at = w.node[PROXY].node->cluster->links.next; at != &w.node[PROXY].node->cluster->links; at = at->next) {
        l = CONTAINER_OF(at, struct peer_link, in_cluster);
        for (struct list *f = l->sent.next; f != &l->sent; f = f->next)
            sent[l->carries == CARRIES_LONG]++;
    }
    assert_int_equal(sent[0], 2);
    assert_int_equal(sent[1], 1);
    w.stopped[0] = w.stopped[1] = false;
    some_carry(&w);
    one_expect(&w.node[PROXY], 1, "$1\r\n1\r\n:2\r\n");
    mem_free(line);
    end();
}

/* The link over which the proxy sent what this client waits for now. */
static struct some_link *link_for(uint32_t conn)
{
    const struct session *s = session_at(w.node[PROXY].node, conn);
    const struct list *links = &w.node[PROXY].node->cluster->links;
    for (const struct list *at = links->next; at != links; at = at->next) {
        const struct peer_link *l = CONTAINER_OF(at, struct peer_link, in_cluster);
        for (const struct list *f = l->sent.next; f != &l->sent; f = f->next)
            if (CONTAINER_OF(f, struct flight, in_where)->session_id == s->id)
                return some_link_at(PROXY, l->id);
    }
    fail_msg("nothing of it is away");
    return NULL;
}

static void nobody_waits_behind_a_reply_that_turns_out_long(void **state)
{
    (void)state;
    enum { LONG = 1000 * 1000 };
    start_proxy();
    w.stopped[0] = w.stopped[1] = true;
    uint32_t first[2];
    for (unsigned round = 0; round < 4; round++) {
        uint32_t asks = 1 + round % 2, other = 2 - round % 2;
        for (uint32_t c = 1; c <= 2; c++)
            session_at(w.node[PROXY].node, c)->routing->reply_most = 0; /* as if they had just come */
        send_format(PROXY, asks, "GET {a}long");
        some_carry(&w);
        struct some_link *l = link_for(asks);
        all_is_taken(l);
        answer_some(l, SLICE("$1000000\r\n"));
        send_format(PROXY, other, "GET {a}short");
        some_carry(&w);
        struct some_link *free_one = link_for(other);
        assert_ptr_not_equal(l, free_one);
        answer_some(free_one, SLICE("$1\r\nv\r\n"));
        expect_begins(PROXY, other, "$1\r\nv\r\n");
        answer_x(l, LONG);
        answer_some(l, SLICE("\r\n"));
        expect_begins(PROXY, asks, "$1000000\r\nxx");
        if (round < 2)
            first[round] = l->link;
        else
            assert_int_equal(l->link, first[round % 2]); /* the two change places: no more are made */
    }
    assert_int_equal(links_n(), 2);
    end();
}

static void was_answered(uint32_t conn)
{
    session_at(w.node[PROXY].node, conn)->routing->reply_most = 5;
}

/* The node has both requests before it answers. */
static void nobody_waits_behind_who_just_came(void **state)
{
    (void)state;
    start_proxy();
    w.stopped[0] = w.stopped[1] = true;
    some_send(&w, PROXY, 1, "GET {a}long");
    was_answered(2);
    some_send(&w, PROXY, 2, "GET {a}short");
    some_carry(&w);
    assert_ptr_not_equal(link_for(1), link_for(2));
    answer_some(link_for(2), SLICE("$1\r\nv\r\n"));
    expect_begins(PROXY, 2, "$1\r\nv\r\n");
    end();
}

static void no_read_waits_with_anothers_write(void **state)
{
    (void)state;
    start_proxy();
    was_answered(1);
    was_answered(2);
    w.stopped[0] = w.stopped[1] = true;
    some_send(&w, PROXY, 1, "SET {a}1 v");
    some_send(&w, PROXY, 2, "GET {a}1");
    some_carry(&w);
    struct some_link *writes = link_for(1), *reads = link_for(2);
    assert_ptr_not_equal(writes, reads);
    answer_some(reads, SLICE("$1\r\nb\r\n"));
    one_expect(&w.node[PROXY], 2, "$1\r\nb\r\n");
    some_send(&w, PROXY, 1, "GET {a}1"); /* its own waits for it: it goes behind it, not after its answer */
    answer_some(writes, SLICE("+OK\r\n"));
    assert_ptr_equal(link_for(1), writes);
    some_send(&w, PROXY, 1, "SET {a}1 w"); /* so does a write behind that */
    answer_some(writes, SLICE("$1\r\nv\r\n+OK\r\n"));
    one_expect(&w.node[PROXY], 1, "+OK\r\n$1\r\nv\r\n+OK\r\n");
    some_send(&w, PROXY, 1, "GET {a}1");
    assert_ptr_equal(link_for(1), reads); /* nothing of it is away now */
    answer_some(reads, SLICE("$1\r\nw\r\n"));
    one_expect(&w.node[PROXY], 1, "$1\r\nw\r\n");
    assert_int_equal(links_n(), 2);
    end();
}

static void before_the_map_it_says_why(void **state)
{
    (void)state;
    struct one *o = &w.node[PROXY];
    start_proxy();
    one_stop(o);
    *o = (struct one){.links = some_links, .words = some_words};
    o->identity = (struct node_identity){.seed = 3, .in_cluster = true, .is_proxy = true};
    one_begin(o, "appendonly no\ndatabases 1\ncluster-routing forward");
    one_open(o, 1);
    struct word_view view = {.why_not = "10.0.0.1:17000: nobody answers there"};
    struct word word = {.type = WORD_VIEW, .view = &view};
    one_step(o, (struct node_event){.type = NODE_WORD, .word = &word});
    says("GET a", "-CLUSTERDOWN 10.0.0.1:17000: nobody answers there\r\n");
    says("MGET a b", "-CLUSTERDOWN 10.0.0.1:17000: nobody answers there\r\n");
    says("DBSIZE", "-CLUSTERDOWN 10.0.0.1:17000: nobody answers there\r\n");
    says("PING", "+PONG\r\n");
    some_map_to(&w, PROXY);
    says("GET a", "$-1\r\n");
    end();
}

static void it_tries_again_for_retry_timeout(void **state)
{
    (void)state;
    start_proxy();
    w.node[PROXY].options.retry_timeout = 2000;
    for (unsigned slot = 0; slot < SLOTS; slot++)
        w.owner[slot] = w.owner[slot] == 1 ? MAP_NOBODY : w.owner[slot];
    some_map(&w);
    const char *lost = slot_of(SLICE("a")) % 2 == 1 ? "GET a" : "GET b";
    some_send(&w, PROXY, 1, lost);
    for (unsigned i = 0; i < 19; i++)
        some_later(&w, 100);
    one_expect(&w.node[PROXY], 1, "");
    for (unsigned i = 0; i < 2; i++)
        some_later(&w, 100);
    one_expect(&w.node[PROXY], 1, "-CLUSTERDOWN Hash slot not served\r\n");
    end();
}

static void who_is_not_reached_is_not_taken_for_moving(void **state)
{
    (void)state;
    start_proxy();
    w.node[PROXY].options.retry_timeout = 1000;
    w.cut = true;
    some_send(&w, PROXY, 1, "SET a 1");
    for (unsigned i = 0; i < 12; i++)
        some_later(&w, 100);
    one_expect(&w.node[PROXY], 1, "-TRYAGAIN its node is not reached\r\n");
    end();
}

static void info_has(const char *text)
{
    struct buf *got = &w.node[PROXY].got[1];
    some_send(&w, PROXY, 1, "INFO upstreams");
    some_carry(&w);
    one_step(&w.node[PROXY], (struct node_event){.type = NODE_RELEASE});
    if (memmem(got->p, got->n, text, strlen(text)) == NULL)
        fail_msg("'%s' is not in '%.*s'", text, (int)got->n, got->p);
    buf_clear(got);
}

/* Both nodes have each slot, and are in sync. */
static void all_have_copies(void)
{
    some_map_make(&w);
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        struct map_slot *s = &w.map.slots[slot];
        s->isr_n = s->want_n = 2;
        s->isr[1] = s->want[1] = (uint16_t)(1 - s->primary);
        s->isr_incarnation[1] = 1;
        map_replicas_follow(s);
    }
}

/* GETs that ran at this node. */
static unsigned gets_at(unsigned node)
{
    return (unsigned)w.node[node].node->stats->commands[SPEC_GET].calls;
}

static void reads_go_where_read_from_says(void **state)
{
    (void)state;
    unsigned primary = slot_of(SLICE("a")) % 2, copy = 1 - primary;
    start_proxy();
    all_have_copies();
    some_map_to(&w, PROXY);
    some_map_to(&w, copy);
    says("GET a", "$-1\r\n");
    assert_int_equal(gets_at(primary), 1);
    w.node[PROXY].options.read_from = READ_FROM_REPLICA;
    says("GET a\nGET a", "$-1\r\n$-1\r\n");
    assert_int_equal(gets_at(primary), 1);
    assert_int_equal(gets_at(copy), 2);
    says("MULTI\nGET a\nEXEC", "+OK\r\n+QUEUED\r\n*1\r\n$-1\r\n"); /* the primary's, as writes are */
    assert_int_equal(gets_at(copy), 2);
    says("CLIENT QUORUM all\nGET a", "+OK\r\n$-1\r\n");
    says("CLIENT QUORUM cluster", "+OK\r\n");
    says("WATCH a\nGET a", "+OK\r\n$-1\r\n"); /* what it leads to is to hold only if nobody wrote before it */
    says("UNWATCH", "+OK\r\n");
    assert_int_equal(gets_at(copy), 2);
    w.stopped[primary] = true; /* a read behind the session's own write waits for it */
    some_send(&w, PROXY, 1, "SET a 1\nGET a");
    some_carry(&w);
    one_expect(&w.node[PROXY], 1, "");
    assert_int_equal(gets_at(copy), 2);
    some_send(&w, PROXY, 2, "GET a"); /* another's does not */
    some_carry(&w);
    one_expect(&w.node[PROXY], 2, "$-1\r\n");
    assert_int_equal(gets_at(copy), 3);
    w.stopped[primary] = false;
    some_carry(&w);
    end();
}

static void what_a_copy_does_not_answer_the_primary_does(void **state)
{
    (void)state;
    unsigned primary = slot_of(SLICE("a")) % 2, copy = 1 - primary;
    start_proxy();
    says("SET a 1", "+OK\r\n");
    w.node[PROXY].options.read_from = READ_FROM_REPLICA;
    all_have_copies();
    some_map_to(&w, PROXY); /* the copy itself does not know that it is in sync: MOVED */
    some_send(&w, PROXY, 1, "GET a");
    some_carry(&w);
    some_later(&w, 100);
    one_expect(&w.node[PROXY], 1, "$1\r\n1\r\n");
    assert_int_equal(gets_at(copy), 0);
    info_has("retries=1,");
    w.node[PROXY].options.read_from = READ_FROM_PRIMARY;
    some_map_to(&w, copy);
    says("GET a", "$1\r\n1\r\n"); /* and no link that said READONLY is used for it */
    assert_int_equal(gets_at(copy), 0);
    assert_int_equal(gets_at(primary), 2);
    end();
}

static void the_zone_decides(void **state)
{
    (void)state;
    start_proxy();
    all_have_copies();
    struct map *m = &w.map;
    unsigned slot = slot_of(SLICE("a"));
    (void)snprintf(m->nodes.at[0].zone, sizeof(m->nodes.at[0].zone), "west");
    (void)snprintf(m->nodes.at[1].zone, sizeof(m->nodes.at[1].zone), "east");
    assert_int_equal(route_read(m, slot, READ_FROM_NEAREST_ZONE, "west", 7), 0);
    assert_int_equal(route_read(m, slot, READ_FROM_NEAREST_ZONE, "east", 7), 1);
    assert_int_equal(route_read(m, slot, READ_FROM_NEAREST_ZONE, "north", 7), MAP_NOBODY);
    assert_int_equal(route_read(m, slot, READ_FROM_NEAREST_ZONE, "", 7), MAP_NOBODY);
    assert_int_equal(route_read(m, slot, READ_FROM_REPLICA, "", 7), 1 - m->slots[slot].primary);
    m->nodes.at[1 - m->slots[slot].primary].health = MAP_DOWN;
    assert_int_equal(route_read(m, slot, READ_FROM_REPLICA, "", 7), MAP_NOBODY);
    m->nodes.at[1 - m->slots[slot].primary].health = MAP_UP;
    m->nodes.at[1 - m->slots[slot].primary].incarnation = 2; /* in this run it is not in sync */
    assert_int_equal(route_read(m, slot, READ_FROM_REPLICA, "", 7), MAP_NOBODY);
    end();
}

static void each_upstream_has_a_line(void **state)
{
    (void)state;
    unsigned at = slot_of(SLICE("a")) % 2;
    char text[128];
    start_proxy();
    says("SET a 1\nGET a", "+OK\r\n$1\r\n1\r\n");
    (void)snprintf(text, sizeof(text), "upstream%u:addr=10.0.0.%u:7000,zone=,state=up,connections=1,in_flight=0,requests=2,"
                                       "retries=0,reconnects=0,p50_usec=", at, at + 1);
    info_has(text);
    (void)snprintf(text, sizeof(text), "upstream%u:addr=10.0.0.%u:7000,zone=,state=up,connections=0,in_flight=0,requests=0,",
                   1 - at, 2 - at);
    info_has(text);
    w.stopped[at] = true;
    some_send(&w, PROXY, 2, "GET a");
    some_carry(&w);
    info_has("in_flight=1,requests=3,");
    for (unsigned i = 0; i < SOME_LINKS; i++) /* it breaks before it took the read, which goes over the next */
        if (w.links[i].used && w.links[i].from == PROXY)
            some_link_break(&w, &w.links[i]);
    w.stopped[at] = false;
    some_carry(&w);
    some_later(&w, 100);
    one_expect(&w.node[PROXY], 2, "$1\r\n1\r\n");
    info_has("connections=1,in_flight=0,requests=4,retries=0,reconnects=1,");
    end();
}

/* Their files may be what is lacking, or not. */
static void spare_links_go_where_files_are_lacking(void **state)
{
    (void)state;
    start_proxy();
    some_send(&w, PROXY, 1, "MULTI");
    send_format(PROXY, 1, "SET %s 1\nEXEC", some_key(&w, 0, 0));
    some_carry(&w);
    one_expect(&w.node[PROXY], 1, "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n");
    assert_int_equal(links_n(), 1); /* a spare one now */
    for (unsigned lacks = 0; lacks < 2; lacks++) {
        send_format(PROXY, 2, "GET %s", some_key(&w, 1, 0));
        struct some_link *l = only_link(PROXY, 1);
        uint32_t link = l->link;
        assert_true(l->dialing);
        some_link_drop(l);
        one_step(&w.node[PROXY],
                 (struct node_event){.type = NODE_DIALED,
                                     .link = {.link = link,
                                              .dialed = lacks ? NODE_DIALED_NO_SOCKET : NODE_DIALED_REFUSED}});
        one_later(&w.node[PROXY], 0);
        assert_int_equal(links_n(), lacks ? 0 : 1);
        some_later(&w, 100);
        one_expect(&w.node[PROXY], 2, "$-1\r\n");
        some_link_break(&w, only_link(PROXY, 1));
    }
    end();
}

static void it_stops_once_all_is_answered(void **state)
{
    (void)state;
    start_proxy();
    struct one *o = &w.node[PROXY];
    w.stopped[0] = w.stopped[1] = true;
    some_send(&w, PROXY, 1, "SET a 1");
    some_carry(&w);
    one_step(o, (struct node_event){.type = NODE_STOP});
    assert_false(o->out.stop);
    assert_int_equal(some_send(&w, PROXY, 2, "SET b 1"), 0); /* nothing more is taken */
    w.stopped[0] = w.stopped[1] = false;
    some_carry(&w);
    one_expect(o, 1, "+OK\r\n");
    one_later(o, 100);
    assert_true(o->out.stop);
    assert_int_equal(o->out.exit_code, 0);
    end();
}

static void what_no_node_answers_is_told_at_a_stop(void **state)
{
    (void)state;
    start_proxy();
    struct one *o = &w.node[PROXY];
    o->options.shutdown_timeout = 2;
    says("SET a 1\nGET a", "+OK\r\n$1\r\n1\r\n"); /* there are links */
    w.stopped[0] = w.stopped[1] = true;
    some_send(&w, PROXY, 1, "SET a 2");
    some_send(&w, PROXY, 2, "GET a");
    all_is_taken(some_link_at(PROXY, link_for(1)->link));
    all_is_taken(some_link_at(PROXY, link_for(2)->link));
    one_step(o, (struct node_event){.type = NODE_STOP});
    one_later(o, 1900);
    one_expect(o, 1, "");
    one_later(o, 200);
    one_later(o, 0);
    expect_begins(PROXY, 1, "-UNCERTAIN the write may or may not have been kept: its proxy was stopped\r\n");
    expect_begins(PROXY, 2, "-TRYAGAIN ");
    one_later(o, 1000);
    assert_true(o->out.stop);
    end();
}

/* Nobody has more to say: a proxy does not wait for who does not read. */
static void who_does_not_read_keeps_no_proxy(void **state)
{
    (void)state;
    start_proxy();
    struct one *o = &w.node[PROXY];
    o->options.shutdown_timeout = 2;
    o->deaf[1] = true;
    some_send(&w, PROXY, 1, "SET a 1");
    some_carry(&w); /* there are links, and nothing is away */
    one_step(o, (struct node_event){.type = NODE_STOP});
    one_later(o, 1900);
    assert_false(o->out.stop);
    one_later(o, 200);
    assert_true(o->out.stop);
    end();
}

UNIT_TESTS("proxied",
           TEST(who_does_not_read_keeps_no_proxy, "a proxy that stops waits for who does not read for shutdown-timeout, no longer"),
           TEST(what_no_node_answers_is_told_at_a_stop, "a proxy that stops tells what became of what no node answered"),
           TEST(it_looks_like_one_server, "a proxy looks like one server that is in no cluster"),
           TEST(every_key_is_its, "every key is a proxy's, and what is of all keys is of all nodes"),
           TEST(replies_keep_their_order_through_two_nodes, "replies of two nodes leave in the order of the requests (N1)"),
           TEST(a_short_request_goes_on_as_it_came, "a short request goes on as it came, also when it is sent again (N24)"),
           TEST(what_is_long_has_a_link_of_its_own, "what is long goes over a link of its own (N18)"),
           TEST(nobody_waits_behind_a_reply_that_turns_out_long, "nobody waits behind a reply that turns out to be long (N18)"),
           TEST(nobody_waits_behind_who_just_came, "nobody waits behind the first read of who just came (N18)"),
           TEST(no_read_waits_with_anothers_write, "no read waits with a write of another's (N18)"),
           TEST(before_the_map_it_says_why, "before there is a map a proxy says why"),
           TEST(it_tries_again_for_retry_timeout, "what was not executed is tried again for retry-timeout (N11)"),
           TEST(who_is_not_reached_is_not_taken_for_moving, "what waited for a node that is not reached is told so"),
           TEST(reads_go_where_read_from_says, "reads go where read-from says, in their session's order (N20)"),
           TEST(what_a_copy_does_not_answer_the_primary_does, "what a copy does not answer the primary does (N20)"),
           TEST(the_zone_decides, "read-from nearest-zone asks who is in the proxy's zone, in sync and up"),
           TEST(each_upstream_has_a_line, "INFO upstreams tells of each node what is under way, retried, connected anew"),
           TEST(spare_links_go_where_files_are_lacking, "spare links are hung up where files are lacking, not where a node is not reached"),
           TEST(it_stops_once_all_is_answered, "a proxy stops once what is under way is answered"))

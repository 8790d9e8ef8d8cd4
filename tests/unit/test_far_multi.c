/* SPDX-License-Identifier: BSD-3-Clause */

/* Transactions and watches of slots elsewhere. */
#include "tests/lib/some_routes.h"

static void a_transaction_elsewhere_is_run_there_as_one(void **state)
{
    (void)state;
    start();
    const char *far = some_key(&w, 1, 0);
    send_format(0, 1, "MULTI\nSET %s 5\nINCR %s\nEXEC", far, far);
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n:6\r\n");
    send_format(0, 1, "MULTI\nSET %s 5\nSET %s 5\nEXEC", far, some_key(&w, 2, 0));
    some_expect(&w, 0, 1, "+OK\r\n+QUEUED\r\n+QUEUED\r\n-CROSSSLOT Keys in request don't hash to the same slot\r\n");
    send_format(0, 1, "GET %s", far);
    some_carry(&w);
    some_expect(&w, 0, 1, "$1\r\n6\r\n");
    some_stop(&w);
}

static void a_watch_elsewhere_is_kept_there(void **state)
{
    (void)state;
    start();
    const char *far = some_key(&w, 1, 0);
    send_format(0, 1, "WATCH %s", far);
    some_carry(&w);
    send_format(0, 1, "MULTI\nSET %s 1", far);
    send_format(1, 1, "SET %s 2", far); /* somebody else */
    some_send(&w, 0, 1, "EXEC");
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n+OK\r\n+QUEUED\r\n*-1\r\n");
    send_format(0, 1, "WATCH %s", far);
    some_carry(&w);
    send_format(0, 1, "MULTI\nINCR %s\nEXEC", far);
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n:3\r\n");
    send_format(0, 1, "WATCH %s", far);
    some_carry(&w);
    w.owner[slot_of(slice_str(far))] = 2; /* its epoch is another one (replication 10) */
    some_map(&w);
    send_format(0, 1, "MULTI\nINCR %s\nEXEC", far);
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n+OK\r\n+QUEUED\r\n*-1\r\n");
    some_stop(&w);
}

static void a_watch_dies_with_its_link(void **state)
{
    (void)state;
    start();
    const char *far = some_key(&w, 1, 0);
    send_format(0, 1, "WATCH %s", far);
    some_carry(&w);
    some_link_break(&w, only_link(0, 1));
    send_format(0, 1, "MULTI\nINCR %s\nEXEC", far);
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n+OK\r\n+QUEUED\r\n*-1\r\n");
    some_stop(&w);
}

/* Its link took it and broke: it would be asked again, without the watch. */
static void a_transaction_that_reads_is_not_asked_again_without_its_watch(void **state)
{
    (void)state;
    start();
    const char *far = some_key(&w, 1, 0);
    send_format(0, 1, "WATCH %s", far);
    some_carry(&w);
    send_format(1, 1, "SET %s 2", far);
    w.stopped[1] = true;
    send_format(0, 1, "MULTI\nGET %s\nEXEC", far);
    one_step(&w.node[0], (struct node_event){.type = NODE_LINK_TOOK, .link = {.link = only_link(0, 1)->link}});
    some_link_break(&w, only_link(0, 1));
    w.stopped[1] = false;
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n+OK\r\n+QUEUED\r\n*-1\r\n");
    some_stop(&w);
}

/* It waits for a primary; whom that is elected watches nothing. */
static void a_watch_ends_while_exec_waits(void **state)
{
    (void)state;
    start();
    const char *far = some_key(&w, 1, 0);
    unsigned slot = slot_of(slice_str(far));
    send_format(0, 1, "WATCH %s", far);
    some_carry(&w);
    w.owner[slot] = MAP_NOBODY;
    some_map(&w);
    send_format(0, 1, "MULTI\nGET %s\nEXEC", far);
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n+OK\r\n+QUEUED\r\n");
    w.owner[slot] = 1;
    some_map(&w);
    some_later(&w, 20);
    some_carry(&w);
    some_expect(&w, 0, 1, "*-1\r\n");
    some_stop(&w);
}

/* Its slot is about to be handed over, and then the lease ends: it was flown, and EXEC ran nothing. */
static void nothing_of_a_transaction_flies_before_exec(void **state)
{
    (void)state;
    start();
    const char *here = some_key(&w, 0, 0);
    some_send(&w, 0, 1, "READWRITE\nMULTI"); /* such a one, as other nodes, is told what is not served now */
    bits_add(&w.node[0].node->cluster->handing, slot_of(slice_str(here)));
    w.node[0].lease = w.node[0].now;
    send_format(0, 1, "SET %s 1\nEXEC", here);
    some_carry(&w);
    bits_remove(&w.node[0].node->cluster->handing, slot_of(slice_str(here)));
    some_expect(&w, 0, 1, "+OK\r\n+OK\r\n-CLUSTERDOWN The cluster is down: this node has lost contact with it\r\n"
                          "-EXECABORT Transaction discarded because of previous errors.\r\n");
    some_stop(&w);
}

static void a_watch_whose_slot_comes_here_is_lost(void **state)
{
    (void)state;
    start();
    const char *far = some_key(&w, 1, 0), *other = some_key(&w, 0, 0);
    send_format(0, 1, "WATCH %s", far);
    some_carry(&w);
    w.owner[slot_of(slice_str(far))] = 0;
    some_map(&w);
    send_format(0, 1, "MULTI\nSET %s 1\nEXEC\nGET %s", far, far);
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n+OK\r\n+QUEUED\r\n*-1\r\n$-1\r\n");
    send_format(0, 1, "WATCH %s\nMULTI\nSET %s 1\nEXEC", far, far); /* and the next is as any */
    some_expect(&w, 0, 1, "+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n");
    send_format(0, 1, "WATCH %s", other);
    w.owner[slot_of(slice_str(other))] = 1; /* and one that goes */
    some_map(&w);
    send_format(0, 1, "MULTI\nSET %s 1\nEXEC", other);
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n+OK\r\n+QUEUED\r\n*-1\r\n");
    some_stop(&w);
}

static void owner_is(const char *key, uint16_t place)
{
    w.owner[slot_of(slice_str(key))] = place;
    some_map(&w);
    some_later(&w, 20);
    some_carry(&w);
}

/* As any other command does, and then it watches. */
static void a_watch_waits_for_who_serves_its_slot(void **state)
{
    (void)state;
    for (uint16_t next = 0; next <= 1; next++) {
        start();
        const char *far = some_key(&w, 1, 0);
        for (unsigned touched = 0; touched < 2; touched++) {
            owner_is(far, MAP_NOBODY);
            send_format(0, 1, "WATCH %s", far);
            some_carry(&w);
            some_expect(&w, 0, 1, "");
            owner_is(far, next);
            some_expect(&w, 0, 1, "+OK\r\n");
            if (touched) {
                send_format(next, 2, "SET %s 5", far);
                some_expect(&w, next, 2, "+OK\r\n");
            }
            send_format(0, 1, "MULTI\nINCR %s\nEXEC", far);
            some_carry(&w);
            if (touched)
                some_expect(&w, 0, 1, "+OK\r\n+QUEUED\r\n*-1\r\n");
            else
                some_expect(&w, 0, 1, "+OK\r\n+QUEUED\r\n*1\r\n:1\r\n");
        }
        some_stop(&w);
    }
}

static unsigned owned_links_n(unsigned i)
{
    unsigned n = 0;
    const struct list *all = &w.node[i].node->sessions;
    for (const struct list *l = all->next; l != all; l = l->next)
        n += CONTAINER_OF(l, struct session, in_all)->routing->owns;
    return n;
}

/* It was sent to who has just lost the slot, and is run here in the end: the link is anybody's again. */
static void what_was_refused_elsewhere_keeps_no_link(void **state)
{
    (void)state;
    static const char *const asks[] = {"WATCH %s", "MULTI\nINCR %s\nEXEC"};
    for (unsigned i = 0; i < 2; i++) {
        start();
        const char *far = some_key(&w, 1, 0);
        w.owner[slot_of(slice_str(far))] = MAP_NOBODY;
        some_map_make(&w);
        some_map_to(&w, 1);
        send_format(0, 1, asks[i], far);
        some_carry(&w);
        assert_int_equal(owned_links_n(0), 1);
        owner_is(far, 0);
        if (i == 0)
            some_expect(&w, 0, 1, "+OK\r\n");
        else
            some_expect(&w, 0, 1, "+OK\r\n+QUEUED\r\n*1\r\n:1\r\n");
        assert_int_equal(owned_links_n(0), 0);
        some_stop(&w);
    }
}

/* Its link breaks before it is answered, and it is asked again: nothing of it is lost. */
static void a_watch_that_is_asked_again_is_whole(void **state)
{
    (void)state;
    start();
    const char *far = some_key(&w, 1, 0);
    w.stopped[1] = true;
    send_format(0, 1, "WATCH %s", far);
    some_carry(&w);
    all_is_taken(only_link(0, 1));
    some_link_break(&w, only_link(0, 1));
    w.stopped[1] = false;
    some_later(&w, 20);
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n");
    send_format(0, 1, "MULTI\nINCR %s\nEXEC", far);
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n+QUEUED\r\n*1\r\n:1\r\n");
    some_stop(&w);
}

/* The one of before is lost, and one more is no error. */
static void one_more_watch_of_a_slot_that_came_here_is_taken(void **state)
{
    (void)state;
    start();
    const char *far = some_key(&w, 1, 0);
    send_format(0, 1, "WATCH %s", far);
    some_carry(&w);
    owner_is(far, 0);
    send_format(0, 1, "WATCH %s\nMULTI\nINCR %s\nEXEC\nWATCH %s\nMULTI\nINCR %s\nEXEC", far, far, far, far);
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n+OK\r\n+OK\r\n+QUEUED\r\n*-1\r\n+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n:1\r\n");
    some_stop(&w);
}

/* Told UNCERTAIN, its client would go on with another slot, and be refused for the watch that it has all the same. */
static void a_watch_is_told_of_as_it_is_where_the_disk_stands_still(void **state)
{
    (void)state;
    some_start(&w, "appendonly yes\nappendfsync always");
    const char *far = some_key(&w, 1, 0), *here = some_key(&w, 0, 0);
    one_disk(&w.node[1]);
    send_format(0, 1, "SET %s v\nWATCH %s", here, far); /* the SET waits for this node's disk, and all behind it */
    some_carry(&w);
    some_expect(&w, 0, 1, "");
    for (int i = 0; i < 21; i++)
        some_later(&w, 100);
    some_expect(&w, 0, 1,
                "-UNCERTAIN the write may or may not have been kept: it waited too long for the disk, or for its replicas\r\n"
                "+OK\r\n");
    send_format(0, 1, "MULTI\nGET %s\nEXEC", far);
    some_carry(&w);
    for (int i = 0; i < 2; i++) {
        one_disk(&w.node[0]);
        some_later(&w, 10); /* under `always` a group is waited for */
    }
    some_expect(&w, 0, 1, "+OK\r\n+QUEUED\r\n*1\r\n$-1\r\n");
    some_stop(&w);
}

static void a_lost_watch_is_nil_in_the_protocol_of_its_client(void **state)
{
    (void)state;
    start();
    const char *far = some_key(&w, 1, 0);
    say_hello(0, 1, 3);
    send_format(0, 1, "WATCH %s", far);
    some_carry(&w);
    send_format(0, 1, "MULTI\nSET %s 1", far);
    send_format(1, 1, "SET %s 2", far);
    some_expect(&w, 1, 1, "+OK\r\n");
    some_send(&w, 0, 1, "EXEC");
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n+OK\r\n+QUEUED\r\n_\r\n"); /* as its node says */
    send_format(0, 1, "WATCH %s", far);
    some_carry(&w);
    some_link_break(&w, only_link(0, 1));
    send_format(0, 1, "MULTI\nINCR %s\nEXEC", far);
    some_expect(&w, 0, 1, "+OK\r\n+OK\r\n+QUEUED\r\n_\r\n"); /* lost before EXEC */
    send_format(0, 1, "WATCH %s", far);
    some_carry(&w);
    w.stopped[1] = true;
    send_format(0, 1, "MULTI\nINCR %s\nEXEC", far);
    some_link_break(&w, only_link(0, 1)); /* which did not take it */
    some_expect(&w, 0, 1, "+OK\r\n+OK\r\n+QUEUED\r\n_\r\n");
    w.stopped[1] = false;
    send_format(0, 1, "WATCH %s", far);
    some_carry(&w);
    send_format(0, 1, "MULTI\nINCR %s", far);
    w.owner[slot_of(slice_str(far))] = 2;
    some_map_make(&w);
    some_map_to(&w, 1); /* it refuses, and node 0 does not know yet why */
    some_send(&w, 0, 1, "EXEC");
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n+OK\r\n+QUEUED\r\n_\r\n");
    some_stop(&w);
}

static void whoever_says_hello_between_watch_and_exec_keeps_its_watch(void **state)
{
    (void)state;
    start();
    const char *far = some_key(&w, 1, 0);
    send_format(0, 1, "WATCH %s", far);
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n");
    say_hello(0, 1, 3);
    send_format(0, 1, "MULTI\nGET %s\nSET %s 1\nEXEC", far, far);
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n_\r\n+OK\r\n");
    send_format(0, 1, "WATCH %s", far);
    some_carry(&w);
    say_hello(0, 1, 2);
    send_format(1, 1, "SET %s 2", far); /* somebody else */
    send_format(0, 1, "MULTI\nSET %s 1\nEXEC", far);
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n+QUEUED\r\n*-1\r\n");
    some_stop(&w);
}

static void a_link_of_its_own_ends_with_its_session(void **state)
{
    (void)state;
    start();
    const char *far = some_key(&w, 1, 0);
    send_format(0, 1, "WATCH %s", far);
    some_carry(&w);
    assert_int_equal(links_n(), 1);
    one_step(&w.node[0], (struct node_event){.type = NODE_CLOSED, .closed = 1});
    assert_int_equal(links_n(), 0);
    send_format(0, 2, "SET %s 1", far);
    some_carry(&w);
    some_expect(&w, 0, 2, "+OK\r\n");
    some_stop(&w);
}

static void a_link_is_one_sessions_at_a_time(void **state)
{
    (void)state;
    start();
    one_open(&w.node[0], 3);
    const char *far = some_key(&w, 1, 0);
    for (unsigned client = 1; client <= 3; client++) {
        send_format(0, client, "MULTI\nINCR %s\nEXEC", far);
        some_carry(&w);
        expect_begins(0, client, "+OK\r\n+QUEUED\r\n*1\r\n:");
        assert_int_equal(links_n(), 1);
    }
    send_format(0, 1, "WATCH %s", far);
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n");
    assert_int_equal(links_n(), 1);
    send_format(0, 2, "MULTI\nINCR %s\nEXEC", far); /* not over the one that watches */
    some_carry(&w);
    some_expect(&w, 0, 2, "+OK\r\n+QUEUED\r\n*1\r\n:4\r\n");
    assert_int_equal(links_n(), 2);
    send_format(0, 1, "MULTI\nINCR %s\nEXEC", far);
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n+QUEUED\r\n*-1\r\n");
    say_hello(0, 3, 3);
    for (unsigned client = 1; client <= 3; client++) { /* nothing of what was watched is left */
        send_format(0, client, "MULTI\nGET %s\nINCR %s\nEXEC", far, far);
        some_carry(&w);
        expect_begins(0, client, "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n");
    }
    assert_int_equal(links_n(), 2);
    some_later(&w, 61 * 1000); /* nobody wanted them for a minute */
    assert_int_equal(links_n(), 0);
    some_stop(&w);
}

static void a_waits_link_ends_with_its_session(void **state)
{
    (void)state;
    start();
    one_open(&w.node[0], 3);
    send_format(0, 1, "SET %s v", some_key(&w, 1, 0));
    some_carry(&w);
    some_send(&w, 0, 1, "WAIT 3 0");
    some_carry(&w);
    assert_int_equal(links_n(), 2);
    one_step(&w.node[0], (struct node_event){.type = NODE_CLOSED, .closed = 1});
    assert_int_equal(links_n(), 1);
    send_format(0, 2, "SET %s v", some_key(&w, 1, 0));
    some_carry(&w);
    some_send(&w, 0, 2, "WAIT 0 0");
    some_carry(&w);
    some_expect(&w, 0, 2, "+OK\r\n:0\r\n");
    assert_int_equal(links_n(), 2);
    one_step(&w.node[0], (struct node_event){.type = NODE_CLOSED, .closed = 2});
    send_format(0, 3, "MULTI\nSET %s v\nEXEC", some_key(&w, 1, 0)); /* it is a spare one */
    some_carry(&w);
    some_expect(&w, 0, 3, "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n");
    assert_int_equal(links_n(), 2);
    some_stop(&w);
}

/* nil is what commands of a key answer that differs between the two. */
static void forwarded_replies_are_in_the_protocol_of_their_client(void **state)
{
    (void)state;
    for (unsigned protocol = 2; protocol <= 3; protocol++) {
        start();
        w.node[0].options.cluster_routing = CLUSTER_ROUTING_FORWARD;
        const char *far = some_key(&w, 1, 0), *nil = protocol == 2 ? "$-1\r\n" : "_\r\n";
        char right[256];
        say_hello(0, 1, protocol);
        send_format(0, 1, "GET %s\nMGET %s %s\nSET %s v XX", far, far, some_key(&w, 2, 0), far);
        some_carry(&w);
        (void)snprintf(right, sizeof(right), "%s*2\r\n%s%s%s", nil, nil, nil, nil);
        expect_begins(0, 1, right);
        some_send(&w, 0, 1, "RANDOMKEY");
        some_carry(&w);
        expect_begins(0, 1, nil);
        send_format(0, 1, "MULTI\nGET %s\nEXEC", far);
        some_carry(&w);
        (void)snprintf(right, sizeof(right), "+OK\r\n+QUEUED\r\n*1\r\n%s", nil);
        expect_begins(0, 1, right);
        some_stop(&w);
    }
}

/* Under cluster-routing forward; alone they are of one node, as cluster libraries expect. */
static void what_is_of_many_slots_aborts_a_transaction(void **state)
{
    (void)state;
    start();
    w.node[0].options.cluster_routing = CLUSTER_ROUTING_FORWARD;
    const char *a = some_key(&w, 0, 0), *b = some_key(&w, 1, 0);
    send_format(1, 1, "SET %s v", b);
    static const char *const wide[] = {"DBSIZE", "KEYS *", "SCAN 0", "RANDOMKEY", "FLUSHALL", "FLUSHDB"};
    for (size_t i = 0; i < sizeof(wide) / sizeof(wide[0]); i++) {
        send_format(0, 1, "MULTI\n%s\nSET %s v\nEXEC", wide[i], a);
        some_carry(&w);
        one_step(&w.node[0], (struct node_event){.type = NODE_RELEASE});
        struct slice got = buf_slice(&w.node[0].got[1]);
        assert_memory_equal(got.p, "+OK\r\n-CROSSSLOT ", 15);
        static const char end[] = "+QUEUED\r\n-EXECABORT Transaction discarded because of previous errors.\r\n";
        assert_memory_equal(got.p + got.n - (sizeof(end) - 1), end, sizeof(end) - 1);
        buf_clear(&w.node[0].got[1]);
    }
    send_format(0, 1, "MULTI\nMSET %s 1 %s 1\nEXEC\nMULTI\nDEL %s %s\nEXEC", a, b, a, b);
    some_carry(&w);
    expect_begins(0, 1, "+OK\r\n-CROSSSLOT ");
    send_format(0, 1, "MGET %s %s", a, b); /* nothing was run */
    some_carry(&w);
    some_expect(&w, 0, 1, "*2\r\n$-1\r\n$1\r\nv\r\n");
    memset(w.owner, 0, sizeof(w.owner)); /* who serves all slots runs them in a transaction, too */
    some_map(&w);
    some_send(&w, 0, 1, "MULTI\nDBSIZE\nFLUSHALL\nEXEC");
    some_expect(&w, 0, 1, "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:0\r\n+OK\r\n");
    some_stop(&w);
}

UNIT_TESTS("transactions elsewhere",
           TEST(a_transaction_elsewhere_is_run_there_as_one, "a transaction elsewhere is run there as one"),
           TEST(a_watch_elsewhere_is_kept_there, "a watch elsewhere is kept there, and dies with its epoch (10)"),
           TEST(a_watch_dies_with_its_link, "a watch dies with its link"),
           TEST(a_transaction_that_reads_is_not_asked_again_without_its_watch,
                "a transaction that reads is not asked again without its watch (10)"),
           TEST(a_watch_ends_while_exec_waits, "a watch ends with its slot's epoch while EXEC waits for a primary (10)"),
           TEST(nothing_of_a_transaction_flies_before_exec, "nothing of a transaction is run before its EXEC"),
           TEST(a_watch_whose_slot_comes_here_is_lost, "a watch whose slot comes here, or goes, is lost (10)"),
           TEST(a_watch_waits_for_who_serves_its_slot, "a watch waits for who serves its slot, be it this node (10)"),
           TEST(what_was_refused_elsewhere_keeps_no_link, "what was refused elsewhere and runs here keeps no link"),
           TEST(a_watch_that_is_asked_again_is_whole, "a watch whose link broke before it was answered is asked again, and is whole"),
           TEST(one_more_watch_of_a_slot_that_came_here_is_taken,
                "one more watch of a slot that came here is taken, and EXEC answers nil (10)"),
           TEST(a_watch_is_told_of_as_it_is_where_the_disk_stands_still,
                "a watch elsewhere is told of as it is where the disk stands still (9)"),
           TEST(a_lost_watch_is_nil_in_the_protocol_of_its_client, "a lost watch is nil in its client's protocol"),
           TEST(whoever_says_hello_between_watch_and_exec_keeps_its_watch, "a watch elsewhere outlives a HELLO"),
           TEST(a_link_of_its_own_ends_with_its_session, "a link of its own ends with its session"),
           TEST(a_link_is_one_sessions_at_a_time,
                "a link for transactions is one session's at a time, and the next one's after it (N23)"),
           TEST(a_waits_link_ends_with_its_session,
                "a link for WAIT ends with a session that goes meanwhile, and is spare after it (N23)"),
           TEST(forwarded_replies_are_in_the_protocol_of_their_client,
                "forwarded replies are in the protocol of their client"),
           TEST(what_is_of_many_slots_aborts_a_transaction, "what is of many slots aborts a transaction"))

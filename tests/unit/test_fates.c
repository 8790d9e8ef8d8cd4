/* SPDX-License-Identifier: BSD-3-Clause */

/* What becomes of replies that have not left when the lease or a slot is lost. */
#include "tests/lib/some_routes.h"
#include <time.h>

/* It is over, and does not come back within T/2. */
static void lose_lease(unsigned node)
{
    struct one *o = &w.node[node];
    o->lease = o->now;
    one_step(o, (struct node_event){.type = NODE_DUE});
    o->now.us += 500 * 1000;
    one_step(o, (struct node_event){.type = NODE_DUE});
}

static void without_a_lease_nothing_is_run(void **state)
{
    (void)state;
    start();
    const char *here = some_key(&w, 0, 0);
    w.node[0].lease = w.node[0].now;
    some_send(&w, 0, 1, "READONLY");
    send_format(0, 1, "SET %s v\nDBSIZE", here);
    some_expect(&w, 0, 1, "+OK\r\n");
    for (int i = 0; i < 21; i++)
        some_later(&w, 100);
    some_expect(&w, 0, 1, "-CLUSTERDOWN The cluster is down: this node has lost contact with it\r\n"
                          "-CLUSTERDOWN this node has lost contact with the cluster\r\n");
    send_format(0, 1, "SET %s v", here); /* it has been so for long */
    some_expect(&w, 0, 1, "-CLUSTERDOWN The cluster is down: this node has lost contact with it\r\n");
    send_format(0, 2, "SET %s v", here); /* a plain client waits for its return */
    some_later(&w, 50);
    some_expect(&w, 0, 2, "");
    w.node[0].lease = mono_after(w.node[0].now, 1000000);
    some_later(&w, 10);
    some_expect(&w, 0, 2, "+OK\r\n");
    some_stop(&w);
}

/* On the lesser side of a cut plain clients wait as through a failover, and then no more, each anew. */
static void who_is_without_a_lease_for_long_lets_nobody_wait(void **state)
{
    (void)state;
    start();
    const char *here = some_key(&w, 0, 0), *there = some_key(&w, 1, 0);
    lose_lease(0);
    w.cut = true;
    send_format(0, 1, "GET %s", here);
    send_format(0, 2, "SET %s v", there);
    some_later(&w, 3400);
    some_expect(&w, 0, 1, "");
    some_expect(&w, 0, 2, "");
    some_later(&w, 700);
    some_expect(&w, 0, 1, "-CLUSTERDOWN The cluster is down: this node has lost contact with it\r\n");
    expect_begins(0, 2, "-");
    send_format(0, 1, "GET %s", here);
    some_expect(&w, 0, 1, "-CLUSTERDOWN The cluster is down: this node has lost contact with it\r\n");
    send_format(0, 1, "SET %s v", there);
    some_expect(&w, 0, 1, "-CLUSTERDOWN The cluster is down: this node has lost contact with it\r\n");
    w.cut = false;
    w.node[0].lease = mono_after(w.node[0].now, 1000000);
    send_format(0, 1, "SET %s v\nSET %s v", here, there);
    some_later(&w, 10);
    some_expect(&w, 0, 1, "+OK\r\n+OK\r\n");
    some_stop(&w);
}

static void a_lease_that_is_over_at_release_closes_the_gates(void **state)
{
    (void)state;
    start();
    const char *here = some_key(&w, 0, 0);
    w.node[0].lease = mono_after(w.node[0].now, 1000);
    send_format(0, 1, "SET %s v\nGET %s\nPING\nINCR n{%s}", here, here, here);
    w.node[0].now.us += 1000; /* the process stood still */
    some_expect(&w, 0, 1, "");
    lose_lease(0);
    some_expect(&w, 0, 1, "-UNCERTAIN the write may or may not have been kept: this node has lost contact with the cluster\r\n"
                          "-CLUSTERDOWN this node has lost contact with the cluster\r\n+PONG\r\n"
                          "-UNCERTAIN the write may or may not have been kept: this node has lost contact with the cluster\r\n");
    some_stop(&w);
}

/* The process, or the machine, stood still: nobody has made anybody else primary when the lease comes back, or somebody
 * has, which is known here first (15, 16). */
static void a_lease_that_comes_back_lets_replies_leave(void **state)
{
    (void)state;
    start();
    struct one *o = &w.node[0];
    const char *kept = some_key(&w, 0, 0), *lost = some_key(&w, 0, 1);
    o->lease = mono_after(o->now, 1000);
    send_format(0, 1, "SET %s v\nGET %s", kept, kept);
    send_format(0, 2, "SET %s v", lost);
    o->now.us += 400 * 1000;
    one_step(o, (struct node_event){.type = NODE_DUE});
    some_expect(&w, 0, 1, "");
    w.owner[slot_of(slice_str(lost))] = 1;
    some_map(&w);
    expect_begins(0, 2, "-UNCERTAIN the write may or may not have been kept: its slot has another primary");
    some_expect(&w, 0, 1, "");
    o->lease = mono_after(o->now, 1000000);
    some_expect(&w, 0, 1, "+OK\r\n$1\r\nv\r\n");
    some_stop(&w);
}

/* The same of commands that leave the long way out: those of a cluster of one, whose clients cannot learn. */
static void short_commands_are_closed_as_all_are(void **state)
{
    (void)state;
    some_start(&w, "appendonly yes\nappendfsync always");
    const char *lost = some_key(&w, 1, 0), *kept = some_key(&w, 0, 1);
    memset(w.owner, 0, sizeof(w.owner));
    some_map(&w);
    send_format(0, 1, "SET %s v\nSET %s v\nGET %s", lost, kept, lost);
    some_expect(&w, 0, 1, ""); /* nothing is stored yet */
    w.owner[slot_of(slice_str(lost))] = 1;
    some_map(&w);
    one_disk(&w.node[0]);
    char right[256];
    (void)snprintf(right, sizeof(right),
                   "-UNCERTAIN the write may or may not have been kept: its slot has another primary\r\n+OK\r\n"
                   "-MOVED %u 10.0.0.2:7000\r\n", slot_of(slice_str(lost)));
    expect_begins(0, 1, right);
    w.owner[slot_of(slice_str(lost))] = 0;
    some_map(&w);
    some_later(&w, 10);
    one_disk(&w.node[0]);
    w.node[0].lease = mono_after(w.node[0].now, 1000);
    send_format(0, 1, "GET %s", kept);
    lose_lease(0);
    some_expect(&w, 0, 1, "-CLUSTERDOWN this node has lost contact with the cluster\r\n");
    send_format(0, 2, "GET %s", kept);
    some_expect(&w, 0, 2, "");
    some_stop(&w);
}

/* Owed when the lease is lost, or written and not gone yet: WAIT's numbers are not told, and what was
 * computed at once is no exception. */
static void what_is_owed_for_later_is_closed_with_the_lease(void **state)
{
    (void)state;
    some_start(&w, "appendonly yes\nappendfsync everysec");
    const char *lost = "-CLUSTERDOWN this node has lost contact with the cluster\r\n";
    const char *here = some_key(&w, 0, 0);
    one_disk(&w.node[0]);
    send_format(0, 1, "SET %s v", here);
    one_disk(&w.node[0]);
    some_expect(&w, 0, 1, "+OK\r\n");
    some_send(&w, 0, 1, "WAIT 1 0");
    send_format(0, 2, "SET %s w\nWAITAOF 1 0 0", here);
    while (w.node[0].got[2].n == 0)
        one_disk_next(&w.node[0]);
    some_expect(&w, 0, 2, "+OK\r\n"); /* it is written, and not synced */
    w.node[0].lease = w.node[0].now;
    expect_begins(0, 1, lost);
    expect_begins(0, 2, lost);
    assert_true(w.node[0].resumed[1] && w.node[0].resumed[2]);
    some_send(&w, 0, 1, "WAIT 0 0");
    expect_begins(0, 1, lost);
    w.node[0].lease = mono_after(w.node[0].now, 1000);
    some_send(&w, 0, 1, "WAIT 0 0");
    lose_lease(0);
    expect_begins(0, 1, lost);
    w.node[0].lease = mono_after(w.node[0].now, 5000);
    some_send(&w, 0, 1, "WAIT 1 2");
    w.node[0].now.us += 2000;
    one_step(&w.node[0], (struct node_event){.type = NODE_DUE}); /* it is answered, */
    lose_lease(0);
    expect_begins(0, 1, lost);
    some_stop(&w);
}

static void a_migration_ends_with_its_slot(void **state)
{
    (void)state;
    start();
    const char *here = some_key(&w, 0, 0);
    unsigned slot = slot_of(slice_str(here));
    send_format(0, 1, "SET %s v", here);
    some_expect(&w, 0, 1, "+OK\r\n");
    send_format(0, 1, "MIGRATE 10.1.1.1 6379 %s 0 1000", here);
    uint32_t link = w.node[0].node->last_link;
    w.owner[slot] = 1;
    some_map(&w);
    expect_begins(0, 1, "-CLUSTERDOWN its slot has another primary\r\n"); /* nothing was sent */
    w.owner[slot] = 0;
    some_map(&w);
    send_format(0, 1, "MIGRATE 10.1.1.1 6379 %s 0 1000", here);
    link = w.node[0].node->last_link;
    struct one *o = &w.node[0];
    o->links = NULL; /* this one's bytes are nobody's */
    one_step(o, (struct node_event){.type = NODE_DIALED, .link = {.link = link, .dialed = NODE_DIALED_OK}});
    one_step(o, (struct node_event){.type = NODE_LINK_TOOK, .link = {.link = link}});
    one_step(o, (struct node_event){.type = NODE_LINK_BYTES, .link = {.link = link, .in = SLICE("+OK\r\n")}});
    o->lease = o->now;
    expect_begins(0, 1, "-UNCERTAIN the write may or may not have been kept: this node has lost contact");
    one_step(o, (struct node_event){.type = NODE_LINK_BYTES, .link = {.link = link, .in = SLICE("+OK\r\n")}});
    o->lease = mono_after(o->now, 1000000);
    send_format(0, 1, "GET %s", here); /* it was not deleted without a lease */
    some_expect(&w, 0, 1, "$1\r\nv\r\n");
    some_stop(&w);
}

/* Its reply is written, and the lease is over before it left. */
static void the_reply_of_a_migration_is_closed_as_all_are(void **state)
{
    (void)state;
    start();
    const char *here = some_key(&w, 0, 0);
    struct one *o = &w.node[0];
    send_format(0, 1, "SET %s v\nMIGRATE 10.1.1.1 6379 %s 0 1000", here, here);
    some_expect(&w, 0, 1, "+OK\r\n");
    uint32_t link = o->node->last_link;
    o->links = NULL;
    o->lease = mono_after(o->now, 1000);
    one_step(o, (struct node_event){.type = NODE_DIALED, .link = {.link = link, .dialed = NODE_DIALED_OK}});
    one_step(o, (struct node_event){.type = NODE_LINK_BYTES, .link = {.link = link, .in = SLICE("+OK\r\n+OK\r\n")}});
    lose_lease(0);
    expect_begins(0, 1, "-UNCERTAIN the write may or may not have been kept: this node has lost contact");
    some_stop(&w);
}

static void a_lost_slot_closes_its_gates_and_no_others(void **state)
{
    (void)state;
    some_start(&w, "appendonly yes\nappendfsync always");
    const char *lost = some_key(&w, 0, 0), *kept = some_key(&w, 0, 1);
    send_format(0, 1, "SET %s v\nSET %s v\nGET %s", lost, kept, lost);
    some_expect(&w, 0, 1, ""); /* nothing is stored yet */
    w.owner[slot_of(slice_str(lost))] = 1;
    some_map(&w);
    one_disk(&w.node[0]);
    char right[256];
    (void)snprintf(right, sizeof(right),
                   "-UNCERTAIN the write may or may not have been kept: its slot has another primary\r\n+OK\r\n"
                   "-MOVED %u 10.0.0.2:7000\r\n", slot_of(slice_str(lost)));
    expect_begins(0, 1, right);
    some_stop(&w);
}

static void all_disks(void)
{
    for (int i = 0; i < 4; i++) {
        for (unsigned k = 0; k < SOME_NODES; k++)
            one_disk(&w.node[k]);
        some_later(&w, 10);
    }
}

/* Asked again, it would find the write that was sent behind it. */
static void a_read_is_not_asked_again_behind_a_write_that_ran(void **state)
{
    (void)state;
    some_start(&w, "appendonly yes\nappendfsync always");
    const char *key = some_key(&w, 1, 0);
    send_format(1, 1, "SET %s old", key);
    all_disks();
    some_expect(&w, 1, 1, "+OK\r\n");
    send_format(1, 1, "SET %s newer", key); /* what is read now is not stored */
    send_format(0, 1, "GET %s\nSET %s last", key, key);
    some_later(&w, 1);
    some_expect(&w, 0, 1, "");
    w.owner[slot_of(slice_str(key))] = 2;
    some_map(&w);
    all_disks();
    some_expect(&w, 0, 1, "-CLUSTERDOWN its slot has another primary\r\n"
                          "-UNCERTAIN the write may or may not have been kept: its slot has another primary\r\n");
    some_stop(&w);
}

static void no_gate_waits_for_longer_than_two_timeouts(void **state)
{
    (void)state;
    some_start(&w, "appendonly yes\nappendfsync always");
    const char *here = some_key(&w, 0, 0);
    send_format(0, 1, "SET %s v\nPING", here);
    some_expect(&w, 0, 1, "");
    for (int i = 0; i < 19; i++)
        some_later(&w, 100);
    some_expect(&w, 0, 1, "");
    send_format(0, 2, "SET %s w", here);
    for (int i = 0; i < 2; i++)
        some_later(&w, 100);
#define LATE "-UNCERTAIN the write may or may not have been kept: it waited too long for the disk, or for its replicas\r\n"
    some_expect(&w, 0, 1, LATE "+PONG\r\n"); /* which waits for nothing */
    some_expect(&w, 0, 2, ""); /* it has just come */
    one_disk(&w.node[0]);
    some_later(&w, 10); /* under `always` a group is waited for */
    one_disk(&w.node[0]);
    some_expect(&w, 0, 2, "+OK\r\n");
    send_format(0, 1, "GET %s", here);
    some_expect(&w, 0, 1, "$1\r\nw\r\n");
    some_stop(&w);
}

/* What it tells is stored where it was computed, or is no data: another client's record holds nothing up. */
static void replies_wait_for_the_disk_only_with_what_they_tell_of(void **state)
{
    (void)state;
    some_start(&w, "appendonly yes\nappendfsync always");
    const char *here = some_key(&w, 0, 0), *other = some_key(&w, 0, 1), *there = some_key(&w, 1, 0);
    send_format(1, 1, "SET %s v", there);
    all_disks();
    some_expect(&w, 1, 1, "+OK\r\n");
    send_format(0, 2, "SET %s w", here);
    send_format(0, 1, "GET %s\nGET %s", there, other);
    some_later(&w, 1);
    some_expect(&w, 0, 1, "$1\r\nv\r\n$-1\r\n");
    send_format(0, 1, "PING\nMULTI\nPING\nEXEC");
    some_expect(&w, 0, 1, "+PONG\r\n+OK\r\n+QUEUED\r\n*1\r\n+PONG\r\n");
    send_format(0, 1, "WATCH %s\nMULTI\nPING\nEXEC", here); /* whether it was touched is told */
    send_format(0, 2, "DBSIZE");
    some_later(&w, 1);
    some_expect(&w, 0, 1, "");
    some_expect(&w, 0, 2, "");
    all_disks();
    some_expect(&w, 0, 1, "+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n+PONG\r\n");
    some_expect(&w, 0, 2, "+OK\r\n:1\r\n");
    some_stop(&w);
}

/* Connection 5 is node 0's, which passes on what its clients ask. The lease is over soon. */
static void node_0_forwards(struct one *o)
{
    one_step(o, (struct node_event){.type = NODE_OPENED,
                                    .opened = {.conn = 5, .peer = SLICE("peer:1"), .local = SLICE("peer:2"),
                                               .use = USE_FORWARD2, .from = some_id(0), .incarnation = 1, .fd = 9}});
    o->lease = mono_after(o->now, 1000);
}

/* One connection carries what several clients ask. A read that was lost with the lease is asked again, unless its own
 * client has written since: it would see that. */
static void a_lost_read_sees_no_later_write_of_its_client(void **state)
{
    (void)state;
    for (unsigned writer = 1; writer <= 2; writer++) {
        start();
        struct one *o = &w.node[2];
        const char *key = some_key(&w, 2, 0);
        node_0_forwards(o);
        send_format(2, 5, "VONG.FOR 1 1 0 default 1 0\nGET %s\nVONG.FOR 1 1 0 default %u 0\nSET %s v", key, writer, key);
        lose_lease(2);
        expect_begins(2, 5, writer == 1 ? "-UNSERVED this node has lost contact" : "-CLUSTERDOWN this node has lost contact");
        some_stop(&w);
    }
}

/* The same where its reply waits behind another's: that one's slot is being handed over. */
static void a_lost_read_that_was_owed_sees_no_later_write_of_its_client(void **state)
{
    (void)state;
    for (unsigned writer = 1; writer <= 2; writer++) {
        start();
        struct one *o = &w.node[2];
        const char *key = some_key(&w, 2, 0), *moving = some_key(&w, 2, 1);
        node_0_forwards(o);
        bits_add(&o->node->cluster->handing, slot_of(slice_str(moving)));
        send_format(2, 5, "VONG.FOR 1 1 0 default 3 0\nGET %s", moving);
        send_format(2, 5, "VONG.FOR 1 1 0 default 1 0\nGET %s\nVONG.FOR 1 1 0 default %u 0\nSET %s v", key, writer, key);
        expect_begins(2, 5, "");
        lose_lease(2);
        char text[400];
        snprintf(text, sizeof(text), "-TRYAGAIN its slot is being handed over to another node\r\n%s this node has lost contact",
                 writer == 1 ? "-UNSERVED" : "-CLUSTERDOWN");
        expect_begins(2, 5, text);
        some_stop(&w);
    }
}

/* A forwarder's connection may owe very many: what becomes of each is not asked of all others. */
static void very_many_lost_reads_are_closed_at_once(void **state)
{
    (void)state;
    enum { STEPS = 3000, AT_ONCE = 63, SECONDS = 3 };
    start();
    struct one *o = &w.node[2];
    const char *key = some_key(&w, 2, 0);
    char lines[AT_ONCE * 64], *to = lines;
    node_0_forwards(o);
    for (unsigned i = 0; i < AT_ONCE; i++)
        to += snprintf(to, 64, "%sGET %s", i > 0 ? "\n" : "", key);
    send_format(2, 5, "VONG.FOR 1 1 0 default 1 0");
    for (unsigned i = 0; i < STEPS; i++)
        some_send(&w, 2, 5, lines);
    assert_int_equal(session_at(o->node, 5)->routing->marks.n, STEPS * AT_ONCE);
    clock_t begin = clock(); /* of this process: however busy the machine is */
    lose_lease(2);
    assert_true(clock() - begin < (clock_t)SECONDS * CLOCKS_PER_SEC);
    expect_begins(2, 5, "-CLUSTERDOWN this node has lost contact");
    some_stop(&w);
}

UNIT_TESTS("what becomes of replies",
           TEST(without_a_lease_nothing_is_run, "without a lease nothing is run (replication 7)"),
           TEST(who_is_without_a_lease_for_long_lets_nobody_wait,
                "who has no lease for longer than a failover takes refuses at once, what is others' as well (7)"),
           TEST(a_lease_that_is_over_at_release_closes_the_gates, "a lease that is over at the release closes the gates (7, 9)"),
           TEST(a_lease_that_comes_back_lets_replies_leave, "one that comes back opens them, but of slots that another has (7, 9)"),
           TEST(short_commands_are_closed_as_all_are, "short commands go a short way, and are closed as all are (7, 9)"),
           TEST(what_is_owed_for_later_is_closed_with_the_lease, "what is owed for later is closed with the lease (6, 7)"),
           TEST(a_migration_ends_with_its_slot, "MIGRATE ends with its slot, and with the lease (7, 9)"),
           TEST(the_reply_of_a_migration_is_closed_as_all_are, "its reply is closed as all are (7, 9)"),
           TEST(a_lost_slot_closes_its_gates_and_no_others, "a lost slot closes its gates and no others (9)"),
           TEST(a_read_is_not_asked_again_behind_a_write_that_ran,
                "a read whose slot was lost is not asked again behind a write that ran (10)"),
           TEST(replies_wait_for_the_disk_only_with_what_they_tell_of, "a reply waits for this node's disk only with what it tells of (replication 5, 6)"),
           TEST(no_gate_waits_for_longer_than_two_timeouts, "no gate waits for longer than two node timeouts (9)"),
           TEST(very_many_lost_reads_are_closed_at_once,
                "very many lost reads of a forwarder are closed at once (replication 9, 10)"),
           TEST(a_lost_read_sees_no_later_write_of_its_client,
                "a read that was lost is asked again, unless its client has written behind it (replication 10)"),
           TEST(a_lost_read_that_was_owed_sees_no_later_write_of_its_client,
                "the same of a read whose reply waited behind another's (replication 10)"))

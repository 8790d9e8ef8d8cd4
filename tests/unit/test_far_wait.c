/* SPDX-License-Identifier: BSD-3-Clause */

/* WAIT and WAITAOF of sessions whose writes other nodes have. */
#include "tests/lib/some_routes.h"

/* The newest records of this node are written, and not synced. */
static void written(unsigned node)
{
    struct node *n = w.node[node].node;
    one_step(&w.node[node], (struct node_event){.type = NODE_RELEASE});
    while (!lsn_reached(journal_stored(&n->journal), n->journal.appended))
        one_disk_next(&w.node[node]);
    assert_false(lsn_reached(n->journal.synced, n->journal.appended));
    some_carry(&w);
}

static void synced(unsigned node)
{
    one_disk(&w.node[node]);
    some_carry(&w);
}

/* Node 0's client wrote a key of each of these nodes ("10": of 1, then of 0): written, and not synced. */
static void start_with_writes(const char *nodes)
{
    some_start(&w, "appendonly yes\nappendfsync everysec");
    for (unsigned node = 0; node < SOME_NODES; node++)
        one_disk(&w.node[node]);
    for (const char *c = nodes; *c != '\0'; c++)
        send_format(0, 1, "SET %s v", some_key(&w, (unsigned)(*c - '0'), 0));
    some_carry(&w);
    for (const char *c = nodes; *c != '\0'; c++)
        written((unsigned)(*c - '0'));
}

static void waitaof_waits_for_the_disk_of_the_owner(void **state)
{
    (void)state;
    start_with_writes("1");
    some_expect(&w, 0, 1, "+OK\r\n");
    some_send(&w, 0, 1, "WAITAOF 1 0 0");
    some_carry(&w);
    some_later(&w, 4000); /* it may take longer than a node may be silent */
    some_expect(&w, 0, 1, "");
    assert_int_equal(some_send(&w, 0, 1, "PING"), 0);
    send_format(0, 2, "GET %s", some_key(&w, 1, 1)); /* nobody else waits */
    some_carry(&w);
    some_expect(&w, 0, 2, "$-1\r\n");
    synced(1);
    some_expect(&w, 0, 1, "*2\r\n:1\r\n:0\r\n");
    some_stop(&w);
}

static void its_numbers_are_the_least_of_all_nodes(void **state)
{
    (void)state;
    start_with_writes("012");
    some_expect(&w, 0, 1, "+OK\r\n+OK\r\n+OK\r\n");
    some_send(&w, 0, 1, "WAITAOF 1 0 100");
    some_carry(&w);
    synced(1);
    synced(2);
    some_expect(&w, 0, 1, "");
    some_later(&w, 110); /* this node's own disk is late */
    some_expect(&w, 0, 1, "*2\r\n:0\r\n:0\r\n");
    some_send(&w, 0, 1, "WAITAOF 1 0 0");
    some_carry(&w);
    some_expect(&w, 0, 1, "");
    synced(0);
    some_expect(&w, 0, 1, "*2\r\n:1\r\n:0\r\n");
    some_send(&w, 0, 1, "WAIT 1 50");
    some_carry(&w);
    some_expect(&w, 0, 1, "");
    some_later(&w, 60);
    some_expect(&w, 0, 1, ":0\r\n");
    some_send(&w, 0, 1, "WAITAOF 2 0 0");
    some_carry(&w);
    expect_begins(0, 1, "-ERR value is out of range");
    some_stop(&w);
}

static void a_node_that_was_restarted_has_synced_nothing_that_is_known(void **state)
{
    (void)state;
    start_with_writes("1");
    some_expect(&w, 0, 1, "+OK\r\n");
    w.map.nodes.at[1].incarnation = 2;
    some_map_make(&w);
    some_map_to(&w, 0);
    some_send(&w, 0, 1, "WAITAOF 1 0 0");
    some_expect(&w, 0, 1, "*2\r\n:0\r\n:0\r\n");
    some_send(&w, 0, 1, "WAITAOF 1 0 0"); /* told once */
    some_expect(&w, 0, 1, "*2\r\n:1\r\n:0\r\n");
    some_stop(&w);
}

static void a_wait_whose_link_breaks_is_not_asked_again(void **state)
{
    (void)state;
    start_with_writes("10");
    some_expect(&w, 0, 1, "+OK\r\n+OK\r\n");
    some_send(&w, 0, 1, "WAITAOF 1 0 0");
    some_carry(&w);
    for (unsigned i = 0; i < SOME_LINKS; i++)
        if (w.links[i].used)
            some_link_break(&w, &w.links[i]);
    synced(0);
    some_expect(&w, 0, 1, "-TRYAGAIN the connection to its node broke\r\n");
    some_send(&w, 0, 1, "WAITAOF 1 0 0");
    some_carry(&w);
    w.node[1].lease = w.node[1].now; /* the owner's word is worth nothing now */
    one_step(&w.node[1], (struct node_event){.type = NODE_DUE});
    some_carry(&w);
    some_expect(&w, 0, 1, "-CLUSTERDOWN this node has lost contact with the cluster\r\n");
    some_stop(&w);
}

static void whoever_leaves_while_it_waits_leaves_nothing(void **state)
{
    (void)state;
    start_with_writes("10");
    some_expect(&w, 0, 1, "+OK\r\n+OK\r\n");
    some_send(&w, 0, 1, "WAITAOF 1 0 5000");
    some_carry(&w);
    assert_int_equal(links_n(), 2);
    one_step(&w.node[0], (struct node_event){.type = NODE_CLOSED, .closed = 1});
    assert_int_equal(links_n(), 1);
    some_later(&w, 6000);
    synced(0);
    synced(1);
    assert_true(list_empty(&w.node[0].node->waiting) && list_empty(&w.node[1].node->waiting));
    some_stop(&w);
}

UNIT_TESTS("waiting for other nodes",
           TEST(waitaof_waits_for_the_disk_of_the_owner, "WAITAOF waits for the disk of whoever has the write"),
           TEST(its_numbers_are_the_least_of_all_nodes, "its numbers are the least of all nodes that have some"),
           TEST(a_node_that_was_restarted_has_synced_nothing_that_is_known,
                "a node that was restarted has synced nothing that is known, which is told once"),
           TEST(a_wait_whose_link_breaks_is_not_asked_again, "a wait whose link breaks is not asked again (9)"),
           TEST(whoever_leaves_while_it_waits_leaves_nothing, "whoever leaves while it waits leaves nothing behind"))

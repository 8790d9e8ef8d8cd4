/* SPDX-License-Identifier: BSD-3-Clause */

/* A node whose disk is in trouble or slow, among others: what its clients are told, where its slots go, and when it ends
 * (replication 14, 28). */
#include "tests/lib/some_routes.h"

static size_t judged[SOME_NODES]; /* so many of a node's words */

static void start_copied(const char *lines)
{
    memset(judged, 0, sizeof(judged));
    some_start(&w, lines);
    some_copied(&w);
}

/* What nodes proposed becomes the map. */
static bool govern(void)
{
    bool any = false;
    for (unsigned i = 0; i < SOME_NODES; i++)
        for (; judged[i] < w.words_n[i]; judged[i]++) {
            struct word *word = &w.words[i][judged[i]];
            if (word->type != WORD_PROPOSE)
                continue;
            (void)map_apply(&w.map, w.map.index + 1, word->entry.entry);
            any = true;
        }
    for (unsigned i = 0; any && i < SOME_NODES; i++)
        some_map_to(&w, i);
    return any;
}

/* Time goes on; node `but` does nothing for its disk (SOME_NODES: all do). */
static void go_on(int ms, unsigned but)
{
    for (int at = 0; at < ms; at += 25) {
        some_later(&w, 25);
        for (unsigned i = 0; i < SOME_NODES; i++)
            if (i != but)
                one_disk(&w.node[i]);
        some_carry(&w);
        (void)govern();
    }
}

static void disk_fails(unsigned node, enum err err, int system_errno)
{
    w.node[node].disk_err = err;
    w.node[node].disk_errno = system_errno;
}

static const struct map_slot *slot_at(const char *key)
{
    return &w.map.slots[slot_of(slice_str(key))];
}

static void a_failed_disk_gives_its_slots_away_and_the_node_ends(void **state)
{
    (void)state;
    start_copied("appendonly yes\nappendfsync always");
    const char *key = some_key(&w, 0, 0), *copy = some_key(&w, 2, 0); /* of which node 0 has the copy */
    send_format(0, 1, "SET %s early", key);
    go_on(100, SOME_NODES);
    some_expect(&w, 0, 1, "+OK\r\n");
    disk_fails(0, ERR_IO, EIO);
    send_format(0, 1, "SET %s late", key);
    send_format(0, 2, "GET %s", key);
    send_format(2, 1, "SET %s v", copy); /* waits for node 0 */
    some_later(&w, 1);
    one_disk(&w.node[2]);
    some_carry(&w);
    some_expect(&w, 2, 1, "");
    one_disk(&w.node[0]);
    some_expect(&w, 0, 1, "-UNCERTAIN the write may or may not have been kept: this node's disk is in trouble: Input/output error\r\n");
    some_expect(&w, 0, 2, "-CLUSTERDOWN this node's disk is in trouble: Input/output error\r\n"); /* no write's word for a read */
    assert_false(w.node[0].out.stop);
    for (int i = 0; i < 40 && !w.node[0].out.stop; i++)
        go_on(25, SOME_NODES);
    assert_true(w.node[0].out.stop);
    assert_int_equal(w.node[0].out.exit_code, 1);
    some_expect(&w, 2, 1, "+OK\r\n"); /* without it */
    assert_int_equal(slot_at(key)->primary, 1);
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        assert_true(w.map.slots[slot].primary == 1 || w.map.slots[slot].primary == 2);
        assert_int_equal(w.map.slots[slot].isr_n, 1 + (slot % SOME_NODES == 1)); /* its own, and what it had copies of */
    }
    send_format(1, 1, "GET %s", key); /* handed over from memory: nobody was told that it is lost */
    go_on(100, SOME_NODES);
    some_expect(&w, 1, 1, "$4\r\nlate\r\n");
    some_stop(&w);
}

static void what_waits_for_a_replica_alone_is_not_failed(void **state)
{
    (void)state;
    start_copied("appendonly yes\nappendfsync always");
    const char *key = some_key(&w, 0, 0), *other = some_key(&w, 0, 1);
    w.stopped[1] = true;
    send_format(0, 1, "SET %s v", key);
    go_on(50, 1); /* it is stored here */
    some_expect(&w, 0, 1, "");
    disk_fails(0, ERR_IO, EIO);
    send_format(0, 1, "SET %s v", other); /* behind it */
    send_format(0, 2, "PING\nSET %s v", other);
    go_on(50, 1);
    some_expect(&w, 0, 1, "");
    some_expect(&w, 0, 2, "+PONG\r\n-UNCERTAIN the write may or may not have been kept: this node's disk is in trouble: Input/output error\r\n");
    w.stopped[1] = false;
    go_on(50, SOME_NODES);
    some_expect(&w, 0, 1, "+OK\r\n-UNCERTAIN the write may or may not have been kept: this node's disk is in trouble: Input/output error\r\n");
    some_stop(&w);
}

#define FULL "-CLUSTERDOWN the newest write is not on this node's disk, which is full: make room on it\r\n"
#define FAILED                                                                                                                      \
    "-CLUSTERDOWN the newest write is not on this node's disk, which failed: once that is mended, CONFIG SET appendonly no and " \
    "then yes\r\n"

static void in_sync_alone_it_reads_on(void **state)
{
    (void)state;
    start_copied("appendonly yes\nappendfsync always");
    const char *key = some_key(&w, 0, 0), *other = some_key(&w, 0, 1);
    send_format(0, 1, "SET %s stored", other);
    go_on(50, SOME_NODES);
    some_expect(&w, 0, 1, "+OK\r\n");
    w.map.nodes.at[1].health = MAP_DOWN; /* its copies are no more in sync, and nobody else has any */
    w.map.nodes_ver = ++w.map.index;
    some_map_to(&w, 0);
    w.stopped[1] = true;
    go_on(200, 1);
    assert_int_equal(slot_at(key)->isr_n, 1);
    disk_fails(0, ERR_IO, EIO);
    send_format(0, 1, "SET %s v", key);
    go_on(50, 1);
    expect_begins(0, 1, "-UNCERTAIN ");
    send_format(0, 1, "GET %s\nGET %s\nSET %s w\nMULTI\nGET %s\nEXEC\nDBSIZE", other, key, key, key);
    send_format(2, 1, "GET %s\nGET %s", key, other); /* asked through another node */
    some_carry(&w);
    some_expect(&w, 0, 1, "$6\r\nstored\r\n" FAILED "-MISCONF Errors writing to the AOF file: Input/output error\r\n"
                          "+OK\r\n+QUEUED\r\n-EXECABORT Transaction discarded because of: CLUSTERDOWN the newest write is not on this "
                          "node's disk, which failed: once that is mended, CONFIG SET appendonly no and then yes\r\n" FAILED);
    some_expect(&w, 2, 1, FAILED "$6\r\nstored\r\n");
    go_on(2000, 1);
    assert_int_equal(slot_at(key)->primary, 0);
    assert_false(w.node[0].out.stop); /* it has what nobody else has */
    one_step(&w.node[0], (struct node_event){.type = NODE_STOP});
    some_carry(&w);
    assert_true(w.node[0].out.stop); /* who stops it waits for nothing but that who forwards hangs up */
    assert_int_equal(w.node[0].out.exit_code, 1);
    some_stop(&w);
}

/* What it tells of expiry is so after a restart as well. */
static void a_slot_without_copies_is_read_again_once_it_is_stored(void **state)
{
    (void)state;
    memset(judged, 0, sizeof(judged));
    some_start(&w, "appendonly yes\nappendfsync everysec");
    const char *key = some_key(&w, 0, 0), *other = some_key(&w, 0, 1);
    send_format(0, 1, "SET %s a\nSET %s b PX 100", key, other);
    go_on(50, SOME_NODES);
    some_expect(&w, 0, 1, "+OK\r\n+OK\r\n");
    disk_fails(0, ERR_FULL, ENOSPC);
    send_format(0, 1, "DEL %s", key);
    one_disk(&w.node[0]);
    expect_begins(0, 1, "-UNCERTAIN ");
    go_on(200, SOME_NODES);
    send_format(0, 1, "EXISTS %s\nGET %s", key, other);
    some_expect(&w, 0, 1, FULL "$-1\r\n");
    disk_fails(0, ERR_OK, 0);
    go_on(1200, SOME_NODES);
    send_format(0, 1, "EXISTS %s", key);
    some_expect(&w, 0, 1, ":0\r\n");
    some_stop(&w);
}

static void who_has_no_room_takes_and_acknowledges_nothing_until_it_has(void **state)
{
    (void)state;
    start_copied("appendonly yes\nappendfsync always");
    const char *key = some_key(&w, 0, 0), *copy = some_key(&w, 2, 0);
    unsigned slot = slot_of(slice_str(copy));
    disk_fails(0, ERR_FULL, ENOSPC);
    send_format(0, 1, "SET %s v", key);
    go_on(300, SOME_NODES);
    expect_begins(0, 1, "-UNCERTAIN ");
    assert_int_equal(slot_at(key)->primary, 1);
    for (int i = 0; i < 10; i++)
        send_format(2, 1, "APPEND %s v", copy);
    go_on(200, SOME_NODES);
    expect_begins(2, 1, ":1\r\n:2\r\n");
    assert_int_equal(w.node[0].node->slots[slot].at.seq, 0);
    assert_int_equal(slot_at(copy)->isr_n, 1);
    go_on(3000, SOME_NODES);
    assert_int_equal(w.node[0].node->slots[slot].at.seq, 0);
    assert_false(w.node[0].out.stop);
    disk_fails(0, ERR_OK, 0);
    go_on(4000, SOME_NODES); /* it is written again after a second; and who was removed is added again after one */
    assert_int_equal(w.node[0].node->slots[slot].at.seq, 10);
    assert_int_equal(slot_at(copy)->isr_n, 2);
    assert_int_equal(slot_at(key)->primary, 0); /* where it is wanted */
    send_format(0, 1, "GET %s", key);
    go_on(50, SOME_NODES);
    some_expect(&w, 0, 1, "$1\r\nv\r\n");
    some_stop(&w);
}

enum { GREAT_BYTES = 60000, GREAT_N = 2 * JOURNAL_BEHIND_BYTES / GREAT_BYTES };

static struct some_link *records_to(unsigned to)
{
    for (unsigned i = 0; i < SOME_LINKS; i++)
        if (w.links[i].used && w.links[i].from == 0 && w.links[i].to == to && w.links[i].use == USE_REPL)
            return &w.links[i];
    return NULL;
}

static void a_replica_whose_disk_is_slow_reads_no_further(void **state)
{
    (void)state;
    start_copied("appendonly yes\nappendfsync everysec\nclient-output-buffer-limit replica 0 0 0");
    const char *key = some_key(&w, 0, 0);
    const struct journal *j = &w.node[1].node->journal;
    char *line = malloc(GREAT_BYTES + 64);
    uint32_t link = records_to(1)->link;
    int n = snprintf(line, 64, "SET %s ", key);
    memset(line + n, 'v', GREAT_BYTES);
    line[n + GREAT_BYTES] = '\0';
    for (int i = 0; i < GREAT_N; i++) {
        assert_int_equal(some_send(&w, 0, 1, line), 1);
        some_carry(&w);
        one_disk(&w.node[0]);
    }
    free(line);
    assert_true(journal_is_behind(j));
    assert_true(journal_bytes(j) < JOURNAL_BEHIND_BYTES + 2 * GREAT_BYTES);
    go_on(2500, 1);
    assert_int_equal(slot_at(key)->isr_n, 1); /* without it */
    expect_begins(0, 1, "+OK\r\n");
    assert_int_equal(records_to(1)->link, link); /* it lives: that was heard all the time */
    go_on(2500, SOME_NODES);
    assert_false(journal_is_behind(j));
    assert_int_equal(w.node[1].node->slots[slot_of(slice_str(key))].at.seq, GREAT_N);
    assert_int_equal(slot_at(key)->isr_n, 2);
    some_stop(&w);
}

static void is_told_to_stop(unsigned node)
{
    one_step(&w.node[node], (struct node_event){.type = NODE_STOP});
    go_on(400, SOME_NODES);
}

static void what_is_on_its_way_to_who_stops_goes_to_its_heir(void **state)
{
    (void)state;
    start_copied("appendonly no");
    const char *key = some_key(&w, 0, 0);
    send_format(2, 1, "SET %s early", key);
    some_carry(&w);
    some_expect(&w, 2, 1, "+OK\r\n");
    struct some_link *l = w.links;
    while (!(l->used && l->from == 2 && l->to == 0 && l->use == USE_FORWARD2))
        l++;
    send_format(2, 1, "APPEND %s late", key);
    assert_true(l->there.n > 0);
    buf_clear(&l->there); /* it does not get there before the end */
    is_told_to_stop(0);
    assert_int_equal(slot_at(key)->primary, 1);
    assert_true(w.node[0].out.stop);
    some_expect(&w, 2, 1, ":9\r\n");
    some_stop(&w);
}

static void what_is_on_its_way_to_a_failed_disk_goes_to_its_heir(void **state)
{
    (void)state;
    start_copied("appendonly yes\nappendfsync always");
    const char *key = some_key(&w, 0, 0);
    send_format(2, 1, "SET %s early", key);
    go_on(100, SOME_NODES);
    some_expect(&w, 2, 1, "+OK\r\n");
    struct some_link *l = w.links;
    while (!(l->used && l->from == 2 && l->to == 0 && l->use == USE_FORWARD2))
        l++;
    disk_fails(0, ERR_IO, EIO);
    send_format(0, 1, "SET %s v", some_key(&w, 0, 1));
    send_format(2, 1, "APPEND %s late", key);
    assert_true(l->there.n > 0);
    buf_clear(&l->there); /* it does not get there before the end */
    for (int i = 0; i < 40 && !w.node[0].out.stop; i++)
        go_on(25, SOME_NODES);
    assert_true(w.node[0].out.stop);
    assert_int_equal(w.node[0].out.exit_code, 1);
    assert_int_equal(slot_at(key)->primary, 1);
    go_on(100, SOME_NODES);
    some_expect(&w, 2, 1, ":9\r\n");
    some_stop(&w);
}

static void who_stops_runs_nothing_more_of_whom_it_has_let_go(void **state)
{
    (void)state;
    for (int closes = 0; closes <= 1; closes++) {
        start_copied("appendonly no\nshutdown-timeout 60");
        const char *key = some_key(&w, 0, 0);
        one_step(&w.node[0], (struct node_event){.type = NODE_OPENED,
                                                 .opened = {.conn = 5, .peer = SLICE("peer:1"), .local = SLICE("peer:2"),
                                                            .use = USE_FORWARD2, .from = some_id(2), .incarnation = 1}});
        send_format(0, 5, "VONG.FOR 1 1 0 default 1 0\nSET %s early", key);
        go_on(25, SOME_NODES);
        some_expect(&w, 0, 5, "+OK\r\n");
        is_told_to_stop(0);
        some_expect(&w, 0, 5, "-STOPPED this node is being stopped: nothing more of this connection is run\r\n");
        send_format(0, 5, "SET %s late\nPING", key);
        go_on(100, SOME_NODES);
        some_expect(&w, 0, 5, "");
        assert_false(w.node[0].out.stop);
        if (closes)
            one_step(&w.node[0], (struct node_event){.type = NODE_CLOSED, .closed = 5});
        go_on(closes ? 25 : 1000, SOME_NODES); /* who does not hang up is not waited for any longer than T */
        assert_true(w.node[0].out.stop);
        some_stop(&w);
    }
}

UNIT_TESTS("leaving",
           TEST(what_is_on_its_way_to_who_stops_goes_to_its_heir,
                "what was forwarded to a node that stops and did not get there is run by who has the slot then (27)"),
           TEST(what_is_on_its_way_to_a_failed_disk_goes_to_its_heir,
                "what was forwarded to a node whose disk failed and did not get there is run by who has the slot then (27, 28)"),
           TEST(who_stops_runs_nothing_more_of_whom_it_has_let_go,
                "who stops says so to those who forward, runs nothing more of theirs, and waits for them to hang up (27)"),
           TEST(a_failed_disk_gives_its_slots_away_and_the_node_ends,
                "a failed disk: UNCERTAIN, its slots go elsewhere from memory, and the node ends with an error (28)"),
           TEST(what_waits_for_a_replica_alone_is_not_failed, "what is stored and waits for a replica is not failed with the disk (28)"),
           TEST(in_sync_alone_it_reads_on, "with a failed disk and no other in sync: what is stored is read on, what is not is refused; a stop is at once (28)"),
           TEST(a_slot_without_copies_is_read_again_once_it_is_stored,
                "on a full disk a slot whose newest record is not stored is read again once it is (6, 28)"),
           TEST(a_replica_whose_disk_is_slow_reads_no_further,
                "a replica whose disk is slow reads no further than it may keep, lives, and is left out until it has it all (14)"),
           TEST(who_has_no_room_takes_and_acknowledges_nothing_until_it_has,
                "on a full disk nothing is taken from primaries nor acknowledged; with room again it begins anew (28)"))

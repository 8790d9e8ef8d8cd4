/* SPDX-License-Identifier: BSD-3-Clause */

/* What clients see of slots that a node has copies of, and of who has copies of its own. */
#include "tests/lib/some_routes.h"

static void start_copied(void)
{
    some_start(&w, "appendonly no");
    some_copied(&w);
}

/* Of the keys some_key() names: the first of this node's. */
static unsigned slot_of_first(unsigned node)
{
    return slot_of(slice_str(some_key(&w, node, 0)));
}

static size_t keys_there(unsigned node, unsigned slot)
{
    return store_slot_keys_n(&w.node[node].node->store, slot);
}

static void set_one_of_each(void)
{
    for (unsigned node = 0; node < SOME_NODES; node++)
        send_format(0, 1, "SET %s v%u", some_key(&w, node, 0), node);
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n+OK\r\n+OK\r\n");
    for (unsigned node = 0; node < SOME_NODES; node++) {
        assert_int_equal(keys_there(node, slot_of_first(node)), 1);
        assert_int_equal(keys_there(some_next(node), slot_of_first(node)), 1);
    }
}

/* cluster.md, "Routing": as cluster libraries expect that add up over nodes. */
static void what_is_of_all_keys_is_of_its_own_slots(void **state)
{
    (void)state;
    char expected[64];
    start_copied();
    set_one_of_each();
    const char *own = some_key(&w, 1, 0);
    size_t own_n = strlen(own);
    some_send(&w, 1, 1, "DBSIZE");
    some_expect(&w, 1, 1, ":1\r\n");
    (void)snprintf(expected, sizeof(expected), "*1\r\n$%zu\r\n%s\r\n", own_n, own);
    some_send(&w, 1, 1, "KEYS *");
    expect_begins(1, 1, expected);
    (void)snprintf(expected, sizeof(expected), "*2\r\n$1\r\n0\r\n*1\r\n$%zu\r\n%s\r\n", own_n, own);
    some_send(&w, 1, 1, "SCAN 0 COUNT 1000");
    expect_begins(1, 1, expected);
    (void)snprintf(expected, sizeof(expected), "$%zu\r\n%s\r\n", own_n, own);
    for (unsigned i = 0; i < 20; i++) {
        some_send(&w, 1, 1, "RANDOMKEY");
        expect_begins(1, 1, expected);
    }
    send_format(1, 1, "CLUSTER COUNTKEYSINSLOT %u\nCLUSTER COUNTKEYSINSLOT %u", slot_of_first(1), slot_of_first(0));
    some_expect(&w, 1, 1, ":1\r\n:0\r\n");
    send_format(1, 1, "CLUSTER GETKEYSINSLOT %u 5", slot_of_first(0));
    some_expect(&w, 1, 1, "*0\r\n");
    some_send(&w, 1, 1, "INFO keyspace replication");
    one_step(&w.node[1], (struct node_event){.type = NODE_RELEASE});
    struct slice info = buf_slice(&w.node[1].got[1]);
    assert_non_null(memmem(info.p, info.n, SLICE("\r\ndb0:keys=1,").p, 13));
    assert_non_null(memmem(info.p, info.n, SLICE("\r\nreplica_keys:1\r\n").p, 18));
    buf_clear(&w.node[1].got[1]);
    some_send(&w, 1, 1, "FLUSHALL");
    some_carry(&w);
    some_expect(&w, 1, 1, "+OK\r\n");
    assert_int_equal(keys_there(1, slot_of_first(1)), 0);
    assert_int_equal(keys_there(2, slot_of_first(1)), 0); /* and so is its copy */
    assert_int_equal(keys_there(1, slot_of_first(0)), 1);
    some_send(&w, 1, 1, "DBSIZE");
    some_expect(&w, 1, 1, ":0\r\n");
    some_stop(&w);
}

/* replication 8: replicas never expire by themselves, they hide. */
static void a_copy_hides_what_has_expired_and_keeps_it(void **state)
{
    (void)state;
    start_copied();
    const char *key = some_key(&w, 0, 0);
    send_format(0, 1, "SET %s v PX 1000", key);
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n");
    send_format(1, 1, "READONLY\nGET %s", key);
    some_expect(&w, 1, 1, "+OK\r\n$1\r\nv\r\n");
    w.node[1].wall.ms += 1200; /* its primary's clock is behind */
    one_later(&w.node[1], 0);
    uint64_t appended = w.node[1].node->journal.appended.n;
    send_format(1, 1, "GET %s\nEXISTS %s\nTTL %s\nSTRLEN %s", key, key, key, key);
    some_expect(&w, 1, 1, "$-1\r\n:0\r\n:-2\r\n:0\r\n");
    some_send(&w, 1, 1, "KEYS *\nRANDOMKEY\nDBSIZE");
    some_expect(&w, 1, 1, "*0\r\n$-1\r\n:0\r\n");
    assert_int_equal(keys_there(1, slot_of_first(0)), 1);
    assert_int_equal(w.node[1].node->journal.appended.n, appended);
    assert_int_equal(w.node[1].node->cmd_stats.expired, 0);
    w.node[0].wall.ms += 1200;
    one_later(&w.node[0], 200); /* now it says so */
    some_carry(&w);
    assert_int_equal(keys_there(0, slot_of_first(0)), 0);
    assert_int_equal(keys_there(1, slot_of_first(0)), 0);
    some_stop(&w);
}

/* replication 8: expiry becomes a record only under a lease, though cluster-allow-reads-when-down lets reads go on. */
static void without_a_lease_nothing_is_said_to_have_expired(void **state)
{
    (void)state;
    some_start(&w, "appendonly no\ncluster-allow-reads-when-down yes");
    const char *key = some_key(&w, 0, 0);
    send_format(0, 1, "SET %s v PX 1000\nREADONLY", key);
    some_expect(&w, 0, 1, "+OK\r\n+OK\r\n");
    w.node[0].lease = w.node[0].now; /* is over */
    w.node[0].wall.ms += 1200;
    one_later(&w.node[0], 200);
    uint64_t appended = w.node[0].node->journal.appended.n;
    send_format(0, 1, "GET %s", key);
    some_expect(&w, 0, 1, "$-1\r\n");
    assert_int_equal(keys_there(0, slot_of_first(0)), 1);
    assert_int_equal(w.node[0].node->journal.appended.n, appended);
    some_stop(&w);
}

/* Its copies are out of reach, so that it never hears that they hold what it tells. */
static void a_primary_that_is_cut_off_is_read_as_copies_are(void **state)
{
    (void)state;
    some_start(&w, "appendonly no\ncluster-allow-reads-when-down yes");
    some_copied(&w);
    const char *key = some_key(&w, 0, 0);
    send_format(0, 1, "SET %s v", key);
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n");
    send_format(0, 1, "SET %s w", key); /* nobody hears of it */
    w.node[0].lease = w.node[0].now;    /* is over */
    one_later(&w.node[0], 200);
    send_format(0, 2, "READONLY\nGET %s\nEXISTS %s", key, key);
    some_expect(&w, 0, 2, "+OK\r\n$1\r\nw\r\n:1\r\n");
    some_stop(&w);
}

/* ------------------------------------------------------------------------ memory */

enum { VALUE_BYTES = 200 };

/* So many keys of each node, and the memory that node 1 has for its own and for copies of node 0's. */
static size_t fill(unsigned keys)
{
    for (unsigned i = 0; i < SOME_NODES * keys; i++) {
        send_format(0, 1, "SET %s %0*u", some_key(&w, i % SOME_NODES, i / SOME_NODES), VALUE_BYTES, i);
        some_carry(&w);
    }
    for (unsigned node = 0; node < SOME_NODES; node++) {
        assert_int_equal(store_keys_n(&w.node[node].node->store, 0), keys);
        assert_int_equal(store_aside_keys_n(&w.node[node].node->store), keys);
    }
    one_step(&w.node[0], (struct node_event){.type = NODE_RELEASE});
    buf_clear(&w.node[0].got[1]);
    return store_bytes(&w.node[1].node->store);
}

static void limit(unsigned node, size_t bytes, const char *policy)
{
    send_format(node, 2, "CONFIG SET maxmemory-policy %s maxmemory %zu", policy, bytes);
    some_expect(&w, node, 2, "+OK\r\n");
}

static size_t own_keys(unsigned node)
{
    return store_keys_n(&w.node[node].node->store, 0);
}

static size_t copies_at(unsigned node)
{
    return store_aside_keys_n(&w.node[node].node->store);
}

static void let_evict(void)
{
    for (unsigned i = 0; i < 500; i++)
        some_later(&w, 10);
    for (unsigned node = 0; node < SOME_NODES; node++)
        assert_int_equal(copies_at(some_next(node)), own_keys(node));
}

/* R13. Evicting what is a copy would be a record of somebody else's slot: its primary is asked to. */
static void memory_full_of_copies_has_their_primary_evict(void **state)
{
    (void)state;
    start_copied();
    size_t bytes = fill(200);
    limit(0, 0, "allkeys-lru");
    limit(2, 0, "allkeys-lru");
    limit(1, bytes / 4 * 3, "allkeys-lru");
    let_evict();
    send_format(1, 2, "SET %s v", some_key(&w, 1, 0));
    some_carry(&w);
    some_expect(&w, 1, 2, "+OK\r\n");
    assert_true(store_bytes(&w.node[1].node->store) <= bytes / 4 * 3);
    assert_in_range(copies_at(1), 100, 180); /* both gave something, */
    assert_in_range(own_keys(1), 100, 180);
    assert_in_range(copies_at(1) + own_keys(1), 270, 310); /* and not more than was wanted; */
    assert_int_equal(own_keys(2), 200); /* who has no copies there gave nothing */
    assert_false(w.node[0].node->evicting || w.node[1].node->evicting);
    some_stop(&w);
}

/* A node that owns nothing that could go is helped as well, and its own writers are not refused then. */
static void memory_full_of_copies_alone_has_their_primary_evict(void **state)
{
    (void)state;
    start_copied();
    fill(200);
    limit(0, 0, "volatile-ttl");
    limit(1, 0, "volatile-ttl");
    for (unsigned i = 0; i < 200; i++) {
        send_format(0, 1, "EXPIRE %s %u", some_key(&w, 0, i), 1000 + i);
        some_carry(&w);
    }
    size_t bytes = store_bytes(&w.node[1].node->store);
    limit(1, bytes - bytes / 10, "volatile-ttl");
    let_evict();
    assert_true(store_bytes(&w.node[1].node->store) <= bytes - bytes / 10);
    assert_int_equal(own_keys(1), 200);
    assert_in_range(own_keys(0), 120, 190);
    send_format(1, 2, "SET %s v", some_key(&w, 1, 0));
    some_carry(&w);
    some_expect(&w, 1, 2, "+OK\r\n");
    some_stop(&w);
}

/* Who is full as it comes back knows of nobody yet who could evict for it. */
static void a_full_copy_that_comes_back_refuses_nobody(void **state)
{
    (void)state;
    start_copied();
    fill(100);
    limit(0, 0, "volatile-ttl");
    for (unsigned i = 0; i < 100; i++) {
        send_format(0, 1, "EXPIRE %s 1000", some_key(&w, 0, i));
        some_carry(&w);
    }
    w.cut = true;
    for (unsigned i = 0; i < SOME_LINKS; i++)
        if (w.links[i].used && w.links[i].to == 1)
            some_link_break(&w, &w.links[i]);
    limit(1, store_bytes(&w.node[1].node->store) / 10 * 9, "volatile-ttl");
    some_later(&w, 10);
    w.cut = false;
    for (unsigned i = 0; i < 300; i++) {
        some_later(&w, 10);
        assert_false(repl_is_full(&w.node[0].node->cluster->replicas->repl, slot_of_first(0)));
    }
    assert_in_range(own_keys(0), 30, 90);
    some_stop(&w);
}

static void expect_writes(bool are_refused)
{
    send_format(0, 2, "SET %s v", some_key(&w, 0, 0));
    some_carry(&w);
    expect_begins(0, 2, are_refused ? "-OOM command not allowed when used memory > 'maxmemory' at a node with a copy.\r\n"
                                    : "+OK\r\n");
    send_format(0, 2, "MULTI\nSET %s v\nEXEC", some_key(&w, 0, 0));
    some_carry(&w);
    expect_begins(0, 2, are_refused ? "+OK\r\n+QUEUED\r\n-EXECABORT Transaction discarded because of: OOM"
                                    : "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n");
}

/* As at one server: what needs memory is refused, reads and DEL run. */
static void memory_that_nothing_may_leave_refuses_writes(const char *there, const char *at_primary)
{
    start_copied();
    size_t bytes = fill(50);
    limit(0, 0, at_primary);
    limit(1, bytes / 2, there);
    let_evict();
    for (unsigned i = 50; i < 60; i++) /* in place of the last ones of node 1's that it may evict itself */
        send_format(0, 1, "SET %s %0*u", some_key(&w, 0, i), VALUE_BYTES, i);
    some_carry(&w);
    buf_clear(&w.node[0].got[1]);
    let_evict();
    expect_writes(true);
    send_format(0, 2, "STRLEN %s\nDEL %s", some_key(&w, 0, 0), some_key(&w, 0, 1));
    some_carry(&w);
    some_expect(&w, 0, 2, ":200\r\n:1\r\n");
    send_format(2, 2, "SET %s v", some_key(&w, 2, 0)); /* has its copies elsewhere */
    some_carry(&w);
    some_expect(&w, 2, 2, "+OK\r\n");
    limit(1, 0, "noeviction");
    let_evict();
    expect_writes(false);
    some_stop(&w);
}

static void with_noeviction_a_full_copy_refuses_what_needs_memory(void **state)
{
    (void)state;
    memory_that_nothing_may_leave_refuses_writes("noeviction", "allkeys-lru");
}

static void a_primary_that_may_not_evict_refuses_instead(void **state)
{
    (void)state;
    memory_that_nothing_may_leave_refuses_writes("allkeys-lru", "noeviction");
}

/* Of whom it has little a full copy may want more than that is, until it counts again. */
static void who_asks_for_more_than_there_is_may_have_others_evict(void **state)
{
    (void)state;
    start_copied();
    for (unsigned i = 0; i < 100; i++)
        send_format(1, 1, "SET %s %02000u", some_key(&w, 1, i), i);
    for (unsigned i = 0; i < 10; i++)
        send_format(0, 1, "SET %s v", some_key(&w, 0, i));
    some_carry(&w);
    limit(0, 0, "allkeys-lru");
    limit(1, store_bytes(&w.node[1].node->store) / 2, "allkeys-lru");
    for (unsigned i = 0; i < 100; i++) {
        send_format(0, 2, "SET %s v", some_key(&w, 0, i));
        some_carry(&w);
        some_later(&w, 10);
        some_expect(&w, 0, 2, "+OK\r\n");
    }
    assert_true(own_keys(0) < 100);
    assert_in_range(own_keys(1), 30, 60);
    some_stop(&w);
}

/* Turns of 10 ms: each writes five keys, of which one may go at once, and lets one go of those there were. What is at node 1. */
static size_t write_on(unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        for (unsigned k = 0; k < 5; k++)
            send_format(0, 2, k == 0 ? "SET {%s}%u-%u %0*u EX 1000" : "SET {%s}%u-%u %0*u", some_key(&w, 0, 0), i, k, VALUE_BYTES, i);
        if (i % 8 == 0)
            send_format(0, 2, "EXPIRE %s 1000", some_key(&w, 0, i / 8)); /* which needs no memory */
        some_later(&w, 10);
        buf_clear(&w.node[0].got[2]);
    }
    return store_bytes(&w.node[1].node->store);
}

/* Of what fills it hardly anything may go, now and then: that does go, and makes no room to speak of. */
static void little_that_may_go_now_and_then_lets_no_memory_grow(void **state)
{
    (void)state;
    static const char *const there[] = {"volatile-lru", "allkeys-lru"};
    for (unsigned i = 0; i < 2; i++) {
        start_copied();
        size_t bytes = fill(150);
        limit(0, 0, "volatile-lru");
        limit(1, bytes, there[i]);
        size_t soon = write_on(0, 500), later = write_on(500, 1000);
        assert_true(later < soon + bytes / 10);
        some_stop(&w);
    }
}

static void eviction_takes_none_but_its_own(void **state)
{
    (void)state;
    start_copied();
    fill(25);
    limit(1, 1, "allkeys-lru");
    let_evict();
    send_format(1, 2, "SET %s v", some_key(&w, 1, 0));
    some_carry(&w);
    expect_begins(1, 2, "-OOM");
    assert_int_equal(own_keys(1), 0);
    assert_int_equal(copies_at(1), 25);
    assert_false(w.node[1].node->evicting); /* and does not go on looking */
    some_stop(&w);
}

static void a_writer_is_answered_though_others_do_not_evict(void **state)
{
    (void)state;
    start_copied();
    size_t bytes = fill(200);
    limit(1, bytes / 4, "allkeys-lru"); /* node 0, whose copies are more than that, evicts nothing */
    some_later(&w, 200);
    char set[64];
    (void)snprintf(set, sizeof(set), "SET %s v", some_key(&w, 1, 0));
    assert_int_equal(some_send(&w, 1, 2, set), 0); /* it waits */
    for (unsigned i = 0; i < 1000 && !w.node[1].resumed[2]; i++)
        some_later(&w, 10);
    assert_true(w.node[1].resumed[2]);
    some_send(&w, 1, 2, set);
    expect_begins(1, 2, "-OOM");
    some_stop(&w);
}

static uint64_t memory_figure(unsigned node, const char *name)
{
    char line[64];
    some_send(&w, node, 2, "INFO memory");
    one_step(&w.node[node], (struct node_event){.type = NODE_RELEASE});
    struct buf *got = &w.node[node].got[2];
    size_t n = (size_t)snprintf(line, sizeof(line), "\r\n%s:", name);
    const char *at = memmem(got->p, got->n, line, n);
    assert_non_null(at);
    uint64_t value = strtoull(at + n, NULL, 10);
    buf_clear(got);
    return value;
}

static void allocated_200000_beside(struct node_world *world, struct node_memory *to)
{
    const struct one *o = CONTAINER_OF(world, struct one, world);
    to->allocated = store_bytes(&o->node->store) + 200000;
}

/* What is on its way to a copy counts as of a link, and against no maxmemory: it is gone by itself. */
static void what_is_on_its_way_is_not_counted_for_eviction(void **state)
{
    (void)state;
    enum { BIG = 100000 };
    start_copied();
    w.node[0].world.memory = allocated_200000_beside;
    one_later(&w.node[0], 100);
    some_carry(&w);
    uint64_t links = memory_figure(0, "mem_cluster_links");
    assert_in_range(links, sizeof(struct repl_link), 1000000);
    assert_int_equal(memory_figure(0, "mem_not_counted_for_evict"), 0);
    assert_int_equal(w.node[0].node->memory_beside, 200000);
    char *line = calloc(1, BIG + 64);
    (void)snprintf(line, BIG + 64, "SET %s %0*u", some_key(&w, 0, 0), BIG, 1);
    some_send(&w, 0, 1, line);
    free(line);
    uint64_t on_its_way = memory_figure(0, "mem_not_counted_for_evict");
    assert_in_range(on_its_way, BIG, BIG + 500);
    assert_int_equal(memory_figure(0, "mem_cluster_links"), links + on_its_way);
    one_later(&w.node[0], 100);
    assert_in_range(w.node[0].node->memory_beside, 200000 - BIG - 600, 200000 - BIG);
    some_carry(&w);
    assert_int_equal(memory_figure(0, "mem_not_counted_for_evict"), 0);
    assert_in_range(memory_figure(0, "mem_cluster_links"), links, links + 1000);
    some_stop(&w);
}

/* ------------------------------------------------------------------- what is told */

#define ID_A "6100000000000000000000000000000000000000"
#define ID_B "6200000000000000000000000000000000000000"
#define ID_C "6300000000000000000000000000000000000000"

/* Slots in thirds, so that few ranges are told. */
static void start_thirds(void)
{
    some_start(&w, "appendonly no");
    for (unsigned slot = 0; slot < SLOTS; slot++)
        w.owner[slot] = (uint16_t)(slot / 5462);
    w.map.settings.write_quorum = 1;
    some_map(&w);
    some_copied(&w);
}

static bool told(unsigned node, const char *line, const char *text)
{
    struct buf *got = &w.node[node].got[1];
    some_send(&w, node, 1, line);
    one_step(&w.node[node], (struct node_event){.type = NODE_RELEASE});
    bool has = memmem(got->p, got->n, text, strlen(text)) != NULL;
    if (!has)
        print_message("%.*s\n", (int)got->n, got->p);
    buf_clear(got);
    return has;
}

#define SLOTS_NODE(ip, id) "*4\r\n$8\r\n" ip "\r\n:7000\r\n$40\r\n" id "\r\n*0\r\n"

static void slots_shards_and_replicas_tell_of_copies(void **state)
{
    (void)state;
    start_thirds();
    some_send(&w, 0, 1, "CLUSTER SLOTS");
    some_expect(&w, 0, 1, "*3\r\n"
                "*4\r\n:0\r\n:5461\r\n" SLOTS_NODE("10.0.0.1", ID_A) SLOTS_NODE("10.0.0.2", ID_B)
                "*4\r\n:5462\r\n:10923\r\n" SLOTS_NODE("10.0.0.2", ID_B) SLOTS_NODE("10.0.0.3", ID_C)
                "*4\r\n:10924\r\n:16383\r\n" SLOTS_NODE("10.0.0.3", ID_C) SLOTS_NODE("10.0.0.1", ID_A));
    assert_true(told(0, "CLUSTER REPLICAS " ID_A, "*1\r\n$"));
    assert_true(told(0, "CLUSTER REPLICAS " ID_A, ID_B " 10.0.0.2:7000@17000 slave " ID_A " 0 0 "));
    assert_true(told(0, "CLUSTER REPLICAS " ID_A, " 0-5461\r\n"));
    assert_true(told(0, "CLUSTER REPLICAS " ID_C, ID_A " 10.0.0.1:7000@17000 myself,slave " ID_C " 0 0 "));
    assert_true(told(0, "CLUSTER SHARDS", "$7\r\nreplica\r\n$18\r\nreplication-offset\r\n"));
    w.map.index++; /* node 1 was started again: what it has is not in sync, and nothing is read there */
    w.map.nodes_ver = w.map.index;
    w.map.nodes.at[1].incarnation = 2;
    some_map_to(&w, 0);
    some_send(&w, 0, 1, "CLUSTER SLOTS");
    expect_begins(0, 1, "*3\r\n*3\r\n:0\r\n:5461\r\n" SLOTS_NODE("10.0.0.1", ID_A) "*4\r\n:5462\r\n");
    assert_true(told(0, "CLUSTER SHARDS", "$6\r\nhealth\r\n$7\r\nloading\r\n"));
    some_stop(&w);
}

/* How far they are, in records and in milliseconds. */
static void info_and_role_tell_how_far_copies_are(void **state)
{
    (void)state;
    start_thirds();
    send_format(0, 1, "SET %s v", some_key(&w, 0, 0));
    some_later(&w, 20);
    some_expect(&w, 0, 1, "+OK\r\n");
    assert_true(told(0, "INFO replication", "\r\nconnected_slaves:1\r\nslave0:ip=10.0.0.2,port=7000,state=online,offset="));
    assert_true(told(0, "INFO replication", ",lag=0,slots=5462,in_sync=5462,lag_records=0,lag_ms=0\r\n"));
    assert_true(told(0, "INFO replication", "\r\nprimary_slots:5462\r\nreplica_slots:5460\r\nreplica_keys:0\r\n"
                                            "range0:slots=0-5461,in_sync=2,copies=2,lag_records=0,lag_ms=0\r\n"));
    uint64_t offset = node_offset(w.node[0].node);
    char role[96]; /* in the replica's count, which is the primary's */
    (void)snprintf(role, sizeof(role), "*1\r\n*3\r\n$8\r\n10.0.0.2\r\n$4\r\n7000\r\n$%d\r\n%llu\r\n",
                   snprintf(NULL, 0, "%llu", (unsigned long long)offset), (unsigned long long)offset);
    assert_true(told(0, "ROLE", role));
    w.stopped[1] = true;
    for (unsigned i = 0; i < 3; i++)
        send_format(0, 1, "SET %s w", some_key(&w, 0, 0));
    some_later(&w, 100);
    some_expect(&w, 0, 1, "+OK\r\n+OK\r\n+OK\r\n");
    assert_true(told(0, "INFO replication", ",in_sync=5462,lag_records=3,lag_ms=100\r\n"));
    assert_true(told(0, "INFO replication", "range0:slots=0-5461,in_sync=2,copies=2,lag_records=3,lag_ms=100\r\n"));
    assert_true(told(0, "ROLE", role));
    w.stopped[1] = false;
    some_carry(&w);
    assert_true(told(0, "INFO replication", "lag_records=0,lag_ms=0\r\n"));
    some_stop(&w);
}

/* A process that dies, or is started again, breaks its links: the map tells of it later. */
static void who_is_not_there_is_not_told_to_be_in_sync(void **state)
{
    (void)state;
    start_thirds();
    w.cut = true;
    for (unsigned i = 0; i < SOME_LINKS; i++)
        if (w.links[i].used && w.links[i].from == 0 && w.links[i].use == USE_REPL)
            some_link_break(&w, &w.links[i]);
    assert_true(told(0, "INFO replication", "range0:slots=0-5461,in_sync=1,copies=2,"));
    some_send(&w, 0, 1, "CLUSTER SLOTS");
    expect_begins(0, 1, "*3\r\n*3\r\n:0\r\n:5461\r\n" SLOTS_NODE("10.0.0.1", ID_A) "*4\r\n:5462\r\n");
    assert_true(told(0, "CLUSTER SHARDS", "$6\r\nhealth\r\n$7\r\nloading\r\n"));
    some_send(&w, 1, 1, "CLUSTER SLOTS"); /* its own run was in sync, as it knows */
    expect_begins(1, 1, "*3\r\n*4\r\n:0\r\n:5461\r\n");
    w.cut = false;
    for (unsigned i = 0; i < 20; i++)
        some_later(&w, 100);
    assert_true(told(0, "INFO replication", "range0:slots=0-5461,in_sync=2,copies=2,"));
    some_stop(&w);
}

/* ------------------------------------------------------------------------ WAIT */

/* With W = 1 the reply does not wait for the copy; WAIT does. */
static void start_quick(const char *lines)
{
    some_start(&w, lines);
    w.map.settings.write_quorum = 1;
    some_copied(&w);
    for (unsigned node = 0; node < SOME_NODES; node++)
        one_disk(&w.node[node]);
    some_carry(&w);
}

static void wait_counts_who_holds_what_was_written(void **state)
{
    (void)state;
    start_quick("appendonly no");
    some_send(&w, 0, 1, "WAIT 1 0"); /* nothing was written: as of all there is */
    some_expect(&w, 0, 1, ":1\r\n");
    w.stopped[1] = true;
    send_format(0, 1, "SET %s v", some_key(&w, 0, 0));
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n");
    some_send(&w, 0, 1, "WAIT 1 0");
    send_format(0, 2, "MULTI\nSET %s v\nWAIT 1 0\nEXEC", some_key(&w, 0, 0));
    some_carry(&w);
    some_expect(&w, 0, 1, "");
    some_expect(&w, 0, 2, "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n:1\r\n"); /* of what was before */
    w.stopped[1] = false;
    some_carry(&w);
    some_expect(&w, 0, 1, ":1\r\n");
    some_send(&w, 0, 1, "WAIT 2 50");
    some_later(&w, 60);
    some_expect(&w, 0, 1, ":1\r\n"); /* there is one copy */
    some_send(&w, 0, 1, "WAIT 2 0");
    some_expect(&w, 0, 1, "");
    w.owner[slot_of(slice_str(some_key(&w, 0, 0)))] = 2;
    some_map(&w);
    some_expect(&w, 0, 1, ":1\r\n"); /* it is another's: nothing more will be known here, */
    some_send(&w, 0, 1, "WAIT 1 0");
    some_expect(&w, 0, 1, ":0\r\n"); /* and what was known is not, any more */
    some_stop(&w);
}

static void wait_of_many_slots_and_of_other_nodes_counts_the_least(void **state)
{
    (void)state;
    start_quick("appendonly no");
    for (unsigned i = 0; i < 40; i++)
        send_format(2, 1, "SET %s v", some_key(&w, i % 2 == 0 ? 2 : 0, i));
    some_carry(&w);
    some_send(&w, 2, 1, "WAIT 1 0");
    some_carry(&w);
    expect_begins(2, 1, "+OK\r\n");
    w.stopped[1] = true; /* node 0's copies */
    send_format(2, 1, "SET %s v", some_key(&w, 0, 1));
    some_carry(&w);
    some_expect(&w, 2, 1, "+OK\r\n");
    some_send(&w, 2, 1, "WAIT 1 0");
    some_later(&w, 10);
    some_expect(&w, 2, 1, "");
    w.stopped[1] = false;
    some_carry(&w);
    some_expect(&w, 2, 1, ":1\r\n");
    some_stop(&w);
}

static void waitaof_counts_copies_that_are_on_a_disk(void **state)
{
    (void)state;
    start_quick("appendonly yes\nappendfsync everysec");
    send_format(0, 1, "SET %s v", some_key(&w, 0, 0));
    one_disk(&w.node[0]);
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n");
    some_send(&w, 0, 1, "WAITAOF 1 1 0");
    one_disk(&w.node[0]);
    some_carry(&w);
    some_expect(&w, 0, 1, "");
    some_later(&w, 100);
    some_expect(&w, 0, 1, "");
    for (unsigned i = 0; i < 20; i++) { /* the copy's disk gets on */
        some_later(&w, 100);
        one_disk(&w.node[1]);
        some_carry(&w);
    }
    some_expect(&w, 0, 1, "*2\r\n:1\r\n:1\r\n");
    some_stop(&w);
}

static void a_copy_that_writes_no_log_counts_for_no_waitaof(void **state)
{
    (void)state;
    start_quick("appendonly no");
    send_format(0, 1, "SET %s v", some_key(&w, 0, 0));
    some_carry(&w);
    some_send(&w, 0, 1, "WAITAOF 0 1 50");
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n");
    some_later(&w, 60);
    some_expect(&w, 0, 1, "*2\r\n:0\r\n:0\r\n");
    some_stop(&w);
}

/* --------------------------------------------------------------- CLIENT QUORUM */

/* Its own replies wait for so many, whoever is asked; nobody else's do. */
static void a_connection_may_ask_for_fewer_copies_than_the_cluster(void **state)
{
    (void)state;
    start_copied();
    const char *key = some_key(&w, 0, 0);
    some_send(&w, 0, 1, "CLIENT QUORUM 1");
    some_send(&w, 2, 1, "CLIENT QUORUM 1");
    some_expect(&w, 0, 1, "+OK\r\n");
    some_expect(&w, 2, 1, "+OK\r\n");
    w.stopped[1] = true; /* the copy */
    send_format(0, 1, "SET %s v", key);
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n");
    send_format(0, 2, "GET %s", key); /* W is all for others, reads as well (6) */
    some_carry(&w);
    some_expect(&w, 0, 2, "");
    send_format(2, 1, "APPEND %s w", key); /* forwarded */
    some_carry(&w);
    some_expect(&w, 2, 1, ":2\r\n");
    some_send(&w, 0, 1, "CLIENT QUORUM cluster");
    some_expect(&w, 0, 1, "+OK\r\n");
    send_format(0, 1, "GET %s", key);
    some_carry(&w);
    some_expect(&w, 0, 1, "");
    w.stopped[1] = false;
    some_carry(&w);
    some_expect(&w, 0, 1, "$2\r\nvw\r\n");
    some_expect(&w, 0, 2, "$1\r\nv\r\n");
    some_stop(&w);
}

static void a_connection_may_ask_for_more_copies_than_the_cluster(void **state)
{
    (void)state;
    start_quick("appendonly no");
    const char *key = some_key(&w, 0, 0);
    w.stopped[1] = true;
    send_format(0, 1, "SET %s v\nCLIENT QUORUM all", key);
    some_expect(&w, 0, 1, "+OK\r\n+OK\r\n");
    send_format(0, 1, "GET %s", key);
    some_carry(&w);
    some_expect(&w, 0, 1, "");
    w.stopped[1] = false;
    some_carry(&w);
    some_expect(&w, 0, 1, "$1\r\nv\r\n");
    w.stopped[1] = true; /* what is of many slots waits as well */
    send_format(0, 2, "MSET %s 1 %s 2", some_key(&w, 0, 1), some_key(&w, 0, 2));
    send_format(0, 1, "MSET %s 1 %s 2", some_key(&w, 0, 1), some_key(&w, 0, 2));
    some_carry(&w);
    some_expect(&w, 0, 2, "+OK\r\n");
    some_expect(&w, 0, 1, "");
    w.stopped[1] = false;
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n");
    some_send(&w, 0, 1, "CLIENT QUORUM 3"); /* more than there are: before it runs */
    send_format(0, 1, "SET %s w\nGET %s\nMULTI\nGET %s\nEXEC", key, key, key);
    expect_begins(0, 1, "+OK\r\n-NOREPLICAS Not enough good replicas to write.\r\n"
                        "-NOREPLICAS Not enough good replicas to read.\r\n+OK\r\n+QUEUED\r\n-EXECABORT");
    some_send(&w, 2, 1, "CLIENT QUORUM 3");
    send_format(2, 1, "SET %s w", key);
    some_carry(&w);
    expect_begins(2, 1, "+OK\r\n-NOREPLICAS");
    send_format(2, 1, "RESET\nSET %s w", key);
    some_carry(&w);
    some_expect(&w, 2, 1, "+RESET\r\n+OK\r\n");
    some_stop(&w);
}

static void a_quorum_that_is_none_is_refused(void **state)
{
    (void)state;
    start_copied();
    static const char *const wrong[] = {"0", "6", "most", "-1", "1x"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        send_format(0, 1, "CLIENT QUORUM %s", wrong[i]);
        some_expect(&w, 0, 1, "-ERR CLIENT QUORUM is majority, all, cluster, or a number from 1 to 5\r\n");
    }
    some_stop(&w);
}

/* ------------------------------------------------------------ too few copies */

static const char thin[] = "-NOREPLICAS Not enough good replicas to write.\r\n";

/* replication 5: before they run. */
static void with_too_few_copies_no_write_runs(void **state)
{
    (void)state;
    some_start(&w, "appendonly no");
    const char *key = some_key(&w, 0, 0), *far = some_key(&w, 1, 0);
    send_format(0, 1, "SET %s v", key);
    some_expect(&w, 0, 1, "+OK\r\n");
    w.map.settings.min_replicas = 1;
    some_map(&w);
    send_format(0, 1, "SET %s w", key);
    expect_begins(0, 1, thin);
    send_format(0, 1, "DEL %s", far); /* its owner says so */
    some_carry(&w);
    expect_begins(0, 1, thin);
    some_send(&w, 0, 1, "FLUSHALL");
    expect_begins(0, 1, thin);
    send_format(0, 1, "MULTI\nGET %s\nEXEC", key);
    some_expect(&w, 0, 1, "+OK\r\n+QUEUED\r\n*1\r\n$1\r\nv\r\n");
    for (unsigned node = 0; node < 2; node++) {
        send_format(0, 1, "MULTI\nSET %s w\nEXEC", node == 0 ? key : far);
        some_carry(&w);
        expect_begins(0, 1, "+OK\r\n+QUEUED\r\n-EXECABORT Transaction discarded because of: NOREPLICAS");
    }
    send_format(0, 1, "GET %s", key);
    some_expect(&w, 0, 1, "$1\r\nv\r\n");
    some_stop(&w);
}

/* Its newest record may be held by no W, and nothing that is waited for would change that. */
static void with_fewer_in_sync_than_are_to_hold_no_read_waits(void **state)
{
    (void)state;
    some_start(&w, "appendonly no");
    const char *key = some_key(&w, 0, 0), *far = some_key(&w, 1, 0);
    send_format(0, 1, "SET %s v", key);
    some_expect(&w, 0, 1, "+OK\r\n");
    w.map.settings.write_quorum = 2;
    some_map(&w);
    send_format(0, 1, "GET %s\nDBSIZE", key);
    some_expect(&w, 0, 1, "-NOREPLICAS Not enough good replicas to read.\r\n"
                          "-NOREPLICAS Not enough good replicas to read.\r\n");
    send_format(0, 1, "GET %s", far);
    some_carry(&w);
    some_expect(&w, 0, 1, "-NOREPLICAS Not enough good replicas to read.\r\n");
    w.map.settings.write_quorum = 1;
    some_map(&w);
    send_format(0, 1, "GET %s", key);
    some_expect(&w, 0, 1, "$1\r\nv\r\n");
    some_stop(&w);
}

static void what_waited_for_its_slot_is_refused_where_copies_are_too_few(void **state)
{
    (void)state;
    some_start(&w, "appendonly no");
    const char *key = some_key(&w, 1, 0);
    unsigned slot = slot_of_first(1);
    w.owner[slot] = MAP_NOBODY;
    w.map.settings.min_replicas = 1;
    some_map(&w);
    send_format(0, 1, "SET %s v\nGET %s", key, key);
    send_format(0, 2, "GET %s", key);
    some_carry(&w);
    some_expect(&w, 0, 1, "");
    w.owner[slot] = 0;
    some_map(&w);
    some_later(&w, 20);
    some_expect(&w, 0, 1, "-NOREPLICAS Not enough good replicas to write.\r\n$-1\r\n");
    some_expect(&w, 0, 2, "$-1\r\n");
    some_stop(&w);
}

UNIT_TESTS("copies",
           TEST(what_is_of_all_keys_is_of_its_own_slots,
                "DBSIZE, KEYS, SCAN, RANDOMKEY, FLUSHALL and counts of slots are of a node's own slots"),
           TEST(a_copy_hides_what_has_expired_and_keeps_it, "a copy hides what has expired, and keeps it (replication 8)"),
           TEST(without_a_lease_nothing_is_said_to_have_expired,
                "without a lease nothing is said to have expired (replication 8)"),
           TEST(a_primary_that_is_cut_off_is_read_as_copies_are,
                "cluster-allow-reads-when-down: after READONLY a primary that is cut off is read as its copies are"),
           TEST(with_too_few_copies_no_write_runs, "with too few copies no write runs, nor EXEC nor FLUSHALL (replication 5)"),
           TEST(with_fewer_in_sync_than_are_to_hold_no_read_waits,
                "where fewer are in sync than W no read waits for what cannot come (5, 9)"),
           TEST(what_waited_for_its_slot_is_refused_where_copies_are_too_few,
                "what waited for its slot is refused where copies are too few (5)"),
           TEST(wait_counts_who_holds_what_was_written, "WAIT counts who holds what its connection wrote"),
           TEST(wait_of_many_slots_and_of_other_nodes_counts_the_least,
                "WAIT of many slots, and of several nodes, counts the least"),
           TEST(waitaof_counts_copies_that_are_on_a_disk, "WAITAOF counts copies that are on a disk"),
           TEST(a_copy_that_writes_no_log_counts_for_no_waitaof, "a copy that writes no log counts for no WAITAOF"),
           TEST(a_connection_may_ask_for_fewer_copies_than_the_cluster,
                "CLIENT QUORUM 1: its own replies wait for no copy, those of others do (replication 5)"),
           TEST(a_connection_may_ask_for_more_copies_than_the_cluster,
                "CLIENT QUORUM all waits for all; for more than there are, nothing runs (5)"),
           TEST(a_quorum_that_is_none_is_refused, "CLIENT QUORUM of what is no number of copies is an error"),
           TEST(slots_shards_and_replicas_tell_of_copies, "CLUSTER SLOTS, SHARDS and REPLICAS tell of copies, range by range"),
           TEST(info_and_role_tell_how_far_copies_are, "INFO replication and ROLE tell how far copies are"),
           TEST(who_is_not_there_is_not_told_to_be_in_sync,
                "a copy that this node has lost is not told to be in sync, before the map knows (14)"),
           TEST(a_writer_is_answered_though_others_do_not_evict, "a writer is answered though others do not evict"),
           TEST(eviction_takes_none_but_its_own, "eviction takes none but keys of its own slots (N8)"),
           TEST(memory_full_of_copies_has_their_primary_evict,
                "memory is made by all whose keys fill it: this node's own, and those of copies by their primary (R13)"),
           TEST(memory_full_of_copies_alone_has_their_primary_evict,
                "memory full of copies where none of its own may go has their primary evict (R13)"),
           TEST(a_full_copy_that_comes_back_refuses_nobody,
                "a full copy that comes back refuses nobody while its primary could evict for it (R13)"),
           TEST(with_noeviction_a_full_copy_refuses_what_needs_memory,
                "with noeviction a full node with a copy has what needs memory refused, reads and DEL run (R13)"),
           TEST(a_primary_that_may_not_evict_refuses_instead, "a primary that may not evict for a copy refuses instead, once that has nothing of its own that may go (R13)"),
           TEST(who_asks_for_more_than_there_is_may_have_others_evict,
                "nobody is refused since a full copy wants more of a primary than that has, while its own may go (R13)"),
           TEST(little_that_may_go_now_and_then_lets_no_memory_grow,
                "what little may go now and then, and makes no room, lets nobody write on (R13)"),
           TEST(what_is_on_its_way_is_not_counted_for_eviction,
                "what is on its way to a copy is of mem_cluster_links, and counts against no maxmemory"))

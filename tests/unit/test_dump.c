/* SPDX-License-Identifier: BSD-3-Clause */

/* Slots sent whole, in parts, while they change (replication 23, 24). */
#include "tests/lib/some_routes.h"

#include "base/rng.h"
#include "tests/lib/load.h"

enum { KEYS = 400, PART = 300 };

static struct rng rng;
static char tag[32];
static unsigned slot;

static unsigned below(unsigned n)
{
    return (unsigned)rng_below(&rng, n);
}

static struct replicas *of(unsigned node)
{
    return w.node[node].node->cluster->replicas;
}

static struct some_link *records(unsigned from, unsigned to)
{
    for (unsigned i = 0; i < SOME_LINKS; i++)
        if (w.links[i].used && w.links[i].from == from && w.links[i].to == to && w.links[i].use == USE_REPL)
            return &w.links[i];
    return NULL;
}

/* A slot of node 0 with many keys, of which node 1 has nothing yet, and is not reached. */
static void begin(const char *lines, uint64_t seed)
{
    rng_seed(&rng, seed);
    some_start(&w, lines);
    some_copied(&w);
    (void)snprintf(tag, sizeof(tag), "%s", some_key(&w, 0, 0));
    slot = slot_of(slice_str(tag));
    of(0)->part_bytes = PART;
    w.cut = true;
    some_link_break(&w, records(0, 1));
    for (unsigned i = 0; i < KEYS; i++)
        send_format(0, 1, "SET {%s}%u value-%u", tag, i, i);
    some_later(&w, 10);
}

static struct position at(unsigned node)
{
    return w.node[node].node->slots[slot].at;
}

static bool is_building(void)
{
    return of(1)->in[0].used || of(1)->in[1].used;
}

/* The replica is reached again; some parts have come. */
static void begin_dump(void)
{
    w.cut = false;
    for (unsigned i = 0; i < 1000 && !(is_building() && of(1)->in[0].parts > 3); i++)
        some_later(&w, 1);
    assert_true(is_building());
}

struct compared {
    struct store *other;
    unsigned n;
};

static void compare(void *who, struct entry *e)
{
    struct compared *c = who;
    char a[NUM_I64_CHARS], b[NUM_I64_CHARS];
    struct key key = key_of(c->other, entry_key(e));
    struct entry *there = store_find(c->other, 0, &key);
    assert_non_null(there);
    assert_true(slice_equal(entry_value(e, a), entry_value(there, b)));
    assert_int_equal(entry_expiry(e).ms, entry_expiry(there).ms);
    c->n++;
}

static void assert_same(void)
{
    struct store *mine = &w.node[0].node->store;
    struct compared c = {.other = &w.node[1].node->store};
    assert_true(at(0).seq == at(1).seq && at(0).epoch == at(1).epoch);
    for (uint64_t cursor = 0; (cursor = store_slot_scan(mine, slot, cursor, 1000, compare, &c)) != 0;)
        ;
    assert_int_equal(c.n, store_slot_keys_n(mine, slot));
    assert_int_equal(c.n, store_slot_keys_n(c.other, slot));
    assert_true(store_spares_empty(c.other));
    store_check(mine);
    store_check(c.other);
}

static void end(void)
{
    some_stop(&w);
}

/* ---------------------------------------------------------------- exactness */

/* Of every kind: keys that were scanned, that were not, and both in one record. */
static void write_some(void)
{
    unsigned a = below(KEYS + 20), b = below(KEYS + 20), v = below(1000);
    switch (below(14)) {
    case 0: send_format(0, 1, "SET {%s}%u again-%u", tag, a, v); break;
    case 1: send_format(0, 1, "SET {%s}%u %u PX 1000000", tag, a, v); break;
    case 2: send_format(0, 1, "DEL {%s}%u {%s}%u", tag, a, tag, b); break;
    case 3: send_format(0, 1, "APPEND {%s}%u -%u", tag, a, v); break;
    case 4: send_format(0, 1, "RENAME {%s}%u {%s}%u", tag, a, tag, b); break;
    case 5: send_format(0, 1, "COPY {%s}%u {%s}%u REPLACE", tag, a, tag, b); break;
    case 6: send_format(0, 1, "MSET {%s}%u m%u {%s}%u n%u", tag, a, v, tag, b, v); break;
    case 7: send_format(0, 1, "BITOP XOR {%s}%u {%s}%u {%s}%u", tag, a, tag, b, tag, below(KEYS)); break;
    case 8: send_format(0, 1, "MULTI\nAPPEND {%s}%u x\nRENAME {%s}%u {%s}%u\nAPPEND {%s}%u y\nEXEC", tag, a, tag, a, tag, b, tag, b); break;
    case 9: send_format(0, 1, "INCR {%s}counter", tag); break;
    case 10: send_format(0, 1, "SETRANGE {%s}%u 700 z", tag, a); break; /* longer than a part */
    case 11: send_format(0, 1, "PERSIST {%s}%u", tag, a); break;
    case 12: send_format(0, 1, "GETDEL {%s}%u", tag, a); break;
    default:
        if (below(60) == 0)
            send_format(0, 1, "FLUSHALL");
    }
}

static void a_slot_is_sent_as_it_is_while_it_changes(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        begin("appendonly no\nrepl-backlog-size 0", seed);
        begin_dump();
        while (is_building()) {
            for (unsigned i = below(5); i > 0; i--)
                write_some();
            some_later(&w, 1);
        }
        assert_int_equal(of(0)->dumps_out, of(1)->dumps_in);
        assert_true(of(0)->dumps_bytes > 0);
        for (unsigned i = 0; i < 20; i++)
            write_some();
        some_later(&w, 10);
        assert_same();
        assert_int_equal(of(1)->dumps_in, 1); /* what came behind it came as records */
        end();
    }
}

static void the_scan_never_runs_ahead_of_what_is_said(void **state)
{
    (void)state;
    begin("appendonly no\nrepl-backlog-size 0", 1);
    begin_dump();
    while (is_building()) {
        some_later(&w, 1);
        assert_true(of(0)->out[0].queued <= 4 * PART);
    }
    some_later(&w, 10);
    assert_same();
    end();
}

static void a_big_value_goes_in_pieces(void **state)
{
    (void)state;
    begin("appendonly no\nrepl-backlog-size 0", 1);
    send_format(0, 1, "SETRANGE {%s}big 20000 end\nPEXPIRE {%s}big 1000000", tag, tag);
    begin_dump();
    size_t longest = 0;
    for (unsigned i = 0; is_building(); i++) {
        if (i == 20)
            send_format(0, 1, "APPEND {%s}big more\nSET {%s}other v", tag, tag);
        w.stopped[1] = true;
        some_later(&w, 1);
        longest = records(0, 1)->there.n > longest ? records(0, 1)->there.n : longest;
        w.stopped[1] = false;
        some_carry(&w);
    }
    some_later(&w, 10);
    assert_same();
    assert_true(longest < 8 * PART + 4096);
    end();
}

static bool was_sent(unsigned i)
{
    char text[64];
    struct store *s = &w.node[0].node->store;
    struct key key = key_of(s, slice_of(text, (size_t)snprintf(text, sizeof(text), "{%s}%u", tag, i)));
    return table_scan_passed(of(0)->out[0].cursor, key.hash);
}

static void records_that_come_faster_than_they_are_taken_hold_writers(void **state)
{
    (void)state;
    enum { MOST = 40000 };
    unsigned sent = 0, known = 0;
    begin("appendonly no\nrepl-backlog-size 0", 1);
    begin_dump();
    w.stopped[1] = true;
    while (!was_sent(known))
        known++;
    for (; sent < MOST && !dump_holds(w.node[0].node); sent++)
        send_format(0, 1, "SET {%s}%u %0200u", tag, known, sent);
    assert_true(sent < MOST);
    uint64_t seq = at(0).seq;
    send_format(0, 1, "SET {%s}held v", tag);
    assert_int_equal(at(0).seq, seq);
    w.stopped[1] = false;
    for (unsigned i = 0; i < 1000 && is_building(); i++)
        some_later(&w, 1);
    send_format(0, 1, "SET {%s}held v", tag); /* it was not taken */
    some_later(&w, 10);
    assert_int_equal(at(0).seq, seq + 1);
    assert_same();
    end();
}

/* Each is a record of a key that was scanned and of another that may not have been: the former is sent as it is. */
static void big_values_written_all_the_time_do_not_keep_it_from_its_end(void **state)
{
    (void)state;
    enum { TURNS = 20000 };
    unsigned turns = 0, known = 0;
    begin("appendonly no\nrepl-backlog-size 0", 1);
    for (unsigned i = 0; i < 10; i++)
        send_format(0, 1, "SETRANGE {%s}long-%u 2000 x", tag, i);
    begin_dump();
    while (!was_sent(known))
        known++;
    for (; turns < TURNS && is_building(); turns++) {
        for (unsigned i = 0; i < 10; i++)
            send_format(0, 1, "BITOP NOT {%s}%u {%s}long-%u", tag, known, tag, i);
        w.stopped[1] = true; /* the link is slower than that */
        some_later(&w, 1);
        w.stopped[1] = false;
        some_link_move(&w, records(0, 1));
    }
    assert_true(turns < TURNS);
    some_later(&w, 10);
    assert_same();
    end();
}

/* In steps: nobody is silent. */
static void wait_for(int64_t ms)
{
    for (; ms > 0; ms -= 10)
        some_later(&w, 10);
}

/* Slots of one part each. What its node has not taken waits in sockets before records of slots that it is in sync with. */
static void slots_sent_whole_wait_for_those_before_them(void **state)
{
    (void)state;
    enum { MANY = 600, AHEAD = 64 * 1024, ONE = 900, OVER = (2 + 8 * MANY / SLOTS) * ONE }; /* of few slots each has several */
    some_start(&w, "appendonly no\nrepl-backlog-size 0");
    some_copied(&w);
    w.cut = true;
    some_link_break(&w, records(0, 1));
    for (unsigned i = 0; i < MANY; i++)
        send_format(0, 1, "SET %s %0*u", some_key(&w, 0, i), ONE, i);
    some_later(&w, 10);
    uint64_t before = of(0)->dumps_bytes;
    w.cut = false;
    for (unsigned i = 0; i < 1000 && of(0)->dumps_bytes == before; i++)
        some_later(&w, 1);
    w.stopped[1] = true;
    uint64_t taken = of(0)->dumps_bytes;
    wait_for(100);
    assert_true(of(0)->dumps_bytes - taken < AHEAD + OVER);
    assert_true(of(0)->dumps_out < MANY);
    w.stopped[1] = false;
    for (unsigned i = 0; i < 1000 && of(0)->dumps_out < MANY; i++)
        some_later(&w, 1);
    assert_int_equal(of(0)->dumps_out, of(1)->dumps_in);
    for (unsigned i = 0; i < MANY; i++) {
        slot = slot_of(slice_str(some_key(&w, 0, i)));
        assert_same();
    }
    end();
}

static void disks(void)
{
    for (unsigned i = 0; i < SOME_NODES; i++)
        one_disk(&w.node[i]);
    some_later(&w, 1);
}

static bool is_said(void)
{
    return of(0)->out[0].used || of(0)->out[1].used;
}

/* Its disk hangs, and it says that it is alive. */
static void who_takes_nothing_holds_writers_for_a_while_only(void **state)
{
    (void)state;
    enum { MOST = 40000, HUNG = 1 << 30 };
    unsigned sent = 0, known = 0;
    begin("appendonly yes\nappendfsync everysec\nrepl-backlog-size 0", 1);
    disks();
    begin_dump();
    disks();
    assert_true(is_building());
    w.node[1].node->journal.file.size += HUNG;
    wait_for(100);
    while (!was_sent(known))
        known++;
    for (; sent < MOST && !dump_holds(w.node[0].node); sent++)
        send_format(0, 1, "SET {%s}%u %0200u", tag, known, sent);
    assert_true(sent < MOST);
    uint32_t session = records(0, 1)->link;
    int64_t most_ms = 2 * map_wait_us(&w.node[0].node->cluster->map) / 1000;
    wait_for(most_ms / 2);
    assert_true(dump_holds(w.node[0].node) && records(0, 1)->link == session);
    wait_for(most_ms);
    assert_false(dump_holds(w.node[0].node) || is_said());
    uint64_t seq = at(0).seq;
    send_format(0, 1, "SET {%s}free v", tag);
    assert_int_equal(at(0).seq, seq + 1);
    wait_for(most_ms);
    assert_false(is_said()); /* it is reached again, and pulls nothing */
    /* it goes on: its file is synced */
    for (unsigned i = 0; i < 2000 && at(1).seq != at(0).seq; i++)
        disks();
    assert_same();
    end();
}

/* ------------------------------------------------------------------ giving up */

static void a_new_session_begins_it_anew(void **state)
{
    (void)state;
    begin("appendonly no\nrepl-backlog-size 0", 1);
    begin_dump();
    some_link_break(&w, records(0, 1));
    some_later(&w, 1);
    assert_false(is_building());
    assert_true(store_spares_empty(&w.node[1].node->store));
    assert_false(of(0)->out[0].used || of(0)->out[1].used);
    assert_int_equal(at(1).seq, 0);
    for (unsigned i = 0; i < 1000 && at(1).seq == 0; i++)
        some_later(&w, 1);
    some_later(&w, 10);
    assert_same();
    assert_int_equal(of(1)->dumps_in, 1);
    end();
}

/* Node 1 is elected: what it was being sent is nothing, and what it has counts. */
static void a_new_epoch_gives_it_up(void **state)
{
    (void)state;
    begin("appendonly no\nrepl-backlog-size 0", 1);
    begin_dump();
    w.owner[slot] = 1;
    some_map(&w);
    some_later(&w, 10);
    assert_false(is_building());
    assert_false(of(0)->out[0].used || of(0)->out[1].used);
    assert_int_equal(store_slot_keys_n(&w.node[1].node->store, slot), 0);
    assert_int_equal(of(1)->dumps_in, 0);
    end();
}

/* -------------------------------------------------------------------- the log */

static struct loaded read_log(struct lineage *slots)
{
    struct aof_options o = {.dbs_n = 1, .slots = slots, .cut_torn = true, .dir = "dir"};
    struct load_file file = {"log", false, buf_slice(&w.node[1].file)};
    return load_files_as(&o, &file, 1, 4096, 10);
}

/* What a start makes of the replica's log: where the slot stands, and whether its spare table is what it holds. */
static void assert_log(bool swapped)
{
    struct lineage *slots = lineages_new(SLOTS);
    struct loaded l = read_log(slots);
    unsigned swaps = 0;
    assert_int_equal(l.verdict, AOF_WHOLE);
    for (const char *p = l.text; (p = strstr(p, "VONG.SPARE.SWAP")) != NULL; p++)
        swaps++;
    assert_true(swaps > 6);
    assert_int_equal(swaps % 2, swapped); /* there and back, but for the last one */
    assert_int_equal(slots[slot].at.seq, swapped ? at(1).seq : 0);
    loaded_free(&l);
    lineages_free(slots, SLOTS);
}

static void without_its_end_it_is_nothing_in_the_log(void **state)
{
    (void)state;
    begin("appendonly yes\nappendfsync everysec\nrepl-backlog-size 0", 1);
    disks();
    begin_dump();
    disks();
    assert_log(false);
    for (unsigned i = 0; i < 1000 && is_building(); i++)
        disks();
    for (unsigned i = 0; i < 10; i++)
        disks();
    assert_same();
    assert_log(true);
    end();
}

static void a_rewrite_begins_behind_its_end(void **state)
{
    (void)state;
    begin("appendonly no\nrepl-backlog-size 0", 1);
    begin_dump();
    some_later(&w, 1);
    struct rewrite *rw = &w.node[1].node->rewrite;
    assert_true(rw->must_wait);
    assert_int_equal(walk_begin(&w.node[1].node->store), ERR_LIMIT);
    rw->phase = REWRITE_AT_T; /* and none begins while one waits */
    for (unsigned i = 0; i < 1000 && is_building(); i++)
        some_later(&w, 1);
    assert_int_equal(at(1).seq, at(0).seq);
    w.cut = true;
    some_link_break(&w, records(0, 1));
    send_format(0, 1, "SET {%s}0 v", tag);
    w.cut = false;
    some_later(&w, 300);
    for (unsigned i = 0; i < 50; i++)
        some_later(&w, 1);
    assert_false(is_building());
    rw->phase = REWRITE_NONE;
    for (unsigned i = 0; i < 1000 && at(1).seq != at(0).seq; i++)
        some_later(&w, 1);
    some_later(&w, 10);
    assert_same();
    end();
}

UNIT_TESTS("dump",
           TEST(a_slot_is_sent_as_it_is_while_it_changes, "a slot's exact content comes in parts while writes go on, and records behind it (23, 24)"),
           TEST(the_scan_never_runs_ahead_of_what_is_said, "what was scanned and not said is bounded (24)"),
           TEST(a_big_value_goes_in_pieces, "a value longer than a part goes in pieces, also when it changes (24)"),
           TEST(records_that_come_faster_than_they_are_taken_hold_writers, "records that come faster than they are taken hold writers (24)"),
           TEST(big_values_written_all_the_time_do_not_keep_it_from_its_end, "a dump ends however many big values are written (24)"),
           TEST(slots_sent_whole_wait_for_those_before_them, "a slot that is sent whole waits for what was sent before it and not taken (24)"),
           TEST(who_takes_nothing_holds_writers_for_a_while_only, "a node that takes nothing of a dump holds writers for 2 T at most (24)"),
           TEST(a_new_session_begins_it_anew, "a new session gives a dump up, and begins it anew (23)"),
           TEST(a_new_epoch_gives_it_up, "a new epoch gives a dump up (23)"),
           TEST(without_its_end_it_is_nothing_in_the_log, "without its end mark a dump is nothing in the log (23)"),
           TEST(a_rewrite_begins_behind_its_end, "a rewrite begins when none is being built, and none is pulled before it has begun (23)"))

/* SPDX-License-Identifier: BSD-3-Clause */

/* A cluster's node by itself: what it records of its slots, and what it makes of such a log. */
#define _GNU_SOURCE
#include "node/own.h"

#include <stdio.h>

#include "core/repl/lineage.h"
#include "node/cluster.h"
#include "persist/record.h"
#include "tests/lib/one_node.h"

static void load_log(struct one *o, struct slice file, const char *name)
{
    bool is_base = strstr(name, ".base.") != NULL;
    one_step(o, (struct node_event){.type = NODE_LOAD_FILE,
                                    .load_file = {.name = name, .is_base = is_base, .size = file.n}});
    bool at_end = false;
    while (!at_end) {
        one_step(o, (struct node_event){.type = NODE_LOAD_BYTES, .load_bytes = {file, true}});
        at_end = o->out.load_used == file.n;
        file = slice_from(file, o->out.load_used);
    }
    one_step(o, (struct node_event){.type = NODE_LOAD_END});
}

static void start(struct one *o, struct slice file, const char *name)
{
    one_start_loading(o, "appendonly no");
    node_free(o->node);
    o->options.cluster_enabled = o->options.appendonly = true;
    o->node = node_new(&(struct node_identity){.seed = 1}, &o->options, &o->log, &o->world, o->now, o->wall);
    load_log(o, file, name);
}

static void ready(struct one *o)
{
    assert_string_equal(o->out.loaded.text, "");
    one_step(o, (struct node_event){.type = NODE_LOG_READY, .log_ready = {.handle = 2, .name = "log"}});
    one_disk(o);
}

/* An empty log, and every slot ours. */
static void start_owning(struct one *o, uint64_t epoch)
{
    start(o, SLICE(""), "log.1.incr.aof");
    ready(o);
    own_begin(o->node, 0, SLOTS - 1, epoch);
    one_open(o, 1);
}

/* The log's lines that begin with "#V": "slot epoch seq" each, the command's first word behind. */
static const char *records(const struct one *o)
{
    static char text[4096];
    size_t n = 0;
    text[0] = '\0';
    for (size_t at = 0; at + 3 < o->file.n;) {
        const char *line = o->file.p + at, *end = memchr(line, '\n', o->file.n - at);
        struct note note;
        assert_non_null(end);
        size_t line_n = (size_t)(end - line) + 1;
        assert_int_equal(note_get(slice_of(line, line_n), &note), ERR_OK);
        if (note.type == NOTE_RECORD) {
            const char *word = memchr(line + line_n, '\n', note.len);
            word = memchr(word + 1, '\n', 32);
            n += (size_t)snprintf(text + n, sizeof(text) - n, "%u %llu %llu %.*s\n", note.slot,
                                  (unsigned long long)note.at.epoch, (unsigned long long)note.at.seq,
                                  (int)strcspn(word + 1, "\r"), word + 1);
        }
        at += line_n + note.len;
    }
    return text;
}

static void records_carry_their_slots_positions(void **state)
{
    (void)state;
    struct one o;
    start_owning(&o, 7);
    one_send(&o, 1, "SET foo 1\nSET k 1\nSET foo 2\nMULTI\nSET {foo}x 1\nDEL foo\nEXEC");
    one_disk(&o);
    one_expect(&o, 1, "+OK\r\n+OK\r\n+OK\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n:1\r\n");
    own_begin(o.node, 7629, 7629, 9);
    one_send(&o, 1, "SET k 2");
    one_disk(&o);
    assert_string_equal(records(&o), "0 0 0 VONG.EPOCH\n"
                                     "12182 7 1 SET\n"
                                     "7629 7 1 SET\n"
                                     "12182 7 2 SET\n"
                                     "12182 7 3 MULTI\n"
                                     "0 0 0 VONG.EPOCH\n"
                                     "7629 9 2 SET\n");
    node_check(o.node);
    one_stop(&o);
}

static void a_flush_is_a_record_for_each_slot(void **state)
{
    (void)state;
    struct one o;
    start_owning(&o, 7);
    one_send(&o, 1, "SET foo 1\nSET k 1\nSET {k}2 1\nFLUSHALL\nFLUSHALL\nDBSIZE");
    one_disk(&o);
    one_expect(&o, 1, "+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n:0\r\n");
    assert_string_equal(records(&o), "0 0 0 VONG.EPOCH\n"
                                     "12182 7 1 SET\n"
                                     "7629 7 1 SET\n"
                                     "7629 7 2 SET\n"
                                     "7629 7 3 VONG.FLUSHSLOT\n"
                                     "12182 7 2 VONG.FLUSHSLOT\n");
    one_stop(&o);
}

static void what_a_reader_finds_due_is_recorded_in_its_slot(void **state)
{
    (void)state;
    struct one o;
    start_owning(&o, 7);
    one_send(&o, 1, "SET foo 1 PX 5\nSET k 1 PX 5\nSET a 1");
    one_disk(&o);
    o.wall.ms += 100;
    own_end(o.node, 7629); /* somebody else's from here on: k is hidden, and stays */
    buf_clear(&o.file);
    buf_clear(&o.got[1]);
    one_send(&o, 1, "KEYS *\nDBSIZE\nGET k");
    one_disk(&o);
    one_expect(&o, 1, "*1\r\n$1\r\na\r\n:1\r\n$-1\r\n");
    assert_string_equal(records(&o), "12182 7 2 DEL\n");
    one_later(&o, 1000); /* the active expiry leaves it alone, too, */
    one_send(&o, 1, "FLUSHALL\nDBSIZE"); /* and so does a flush */
    one_disk(&o);
    one_expect(&o, 1, "+OK\r\n:0\r\n");
    assert_int_equal(store_slot_keys_n(&o.node->store, 7629), 1);
    one_stop(&o);
}

/* What one node wrote, another reads; frees the first. */
static void restart(struct one *o)
{
    struct buf file = o->file;
    buf_init(&o->file, SIZE_MAX / 2);
    one_stop(o);
    start(o, buf_slice(&file), "log.1.incr.aof");
    assert_int_equal(o->out.loaded.verdict, AOF_WHOLE);
    buf_free(&file);
}

static void a_log_is_read_back_slot_by_slot(void **state)
{
    (void)state;
    struct one o;
    start_owning(&o, 7);
    one_send(&o, 1, "SET foo 1\nSET k 1\nSET gone 1\nFLUSHALL\nSET k 2\nINCR k");
    own_fence(o.node, 5, 6, 12);
    one_disk(&o);
    restart(&o);
    assert_int_equal(o.out.loaded.frozen_n, 0);
    assert_false(o.out.loaded.clean);
    const struct lineage *k = &o.node->slots[7629];
    assert_true(k->at.epoch == 7 && k->at.seq == 4 && k->starts_n == 1);
    assert_int_equal(o.node->slots[5].fence, 12);
    assert_int_equal(o.node->slots[7].fence, 0);
    ready(&o);
    own_begin(o.node, 0, SLOTS - 1, 8);
    one_open(&o, 1);
    one_send(&o, 1, "GET k\nDBSIZE\nSET k 9");
    one_disk(&o);
    one_expect(&o, 1, "$1\r\n3\r\n:1\r\n+OK\r\n");
    assert_true(k->at.epoch == 8 && k->at.seq == 5 && k->starts_n == 2);
    one_stop(&o);
}

static void another_clusters_slots_begin_anew(void **state)
{
    (void)state;
    struct one o;
    start_owning(&o, 7);
    one_send(&o, 1, "SET k 1\nSET k 2\nSET foo 1\nDEL foo");
    one_disk(&o);
    own_begin(o.node, 7629, 12182, 2); /* the node was in another one up to here */
    one_send(&o, 1, "SET k 3");
    one_disk(&o);
    const struct lineage *k = &o.node->slots[7629];
    assert_true(k->at.epoch == 2 && k->at.seq == 2 && k->starts_n == 2);
    node_check(o.node);
    restart(&o);
    assert_int_equal(o.out.loaded.frozen_n, 0);
    k = &o.node->slots[7629];
    assert_true(k->at.epoch == 2 && k->at.seq == 2 && k->epoch == 2);
    assert_true(o.node->slots[12182].epoch == 2 && o.node->slots[12183].epoch == 7);
    ready(&o);
    own_begin(o.node, 7629, 12182, 3);
    one_open(&o, 1);
    one_send(&o, 1, "GET k\nEXISTS foo");
    one_disk(&o);
    one_expect(&o, 1, "$1\r\n3\r\n:0\r\n");
    one_stop(&o);
}

static void a_fence_forces_a_sync(void **state)
{
    (void)state;
    struct one o;
    start_owning(&o, 7);
    one_disk(&o);
    journal_set_policy(&o.node->journal, JOURNAL_NO);
    struct lsn lsn = own_fence(o.node, 3, 4, 9);
    assert_false(lsn_reached(o.node->journal.synced, lsn));
    one_disk(&o);
    assert_true(lsn_reached(o.node->journal.synced, lsn));
    assert_true(own_fence(o.node, 4, 4, 8).n > lsn.n);
    assert_int_equal(o.node->slots[4].fence, 9); /* R3 */
    one_stop(&o);
}

static void a_clean_stop_is_told(void **state)
{
    (void)state;
    struct one o;
    start_owning(&o, 7);
    one_send(&o, 1, "SET foo 1");
    one_step(&o, (struct node_event){.type = NODE_STOP});
    for (int i = 0; i < 10 && !o.out.stop; i++)
        one_disk(&o);
    assert_true(o.out.stop);
    restart(&o);
    assert_true(o.out.loaded.clean);
    ready(&o);
    own_begin(o.node, 0, SLOTS - 1, 8);
    one_disk(&o);
    one_stop(&o);
}

/* ------------------------------------------------------------------ conversion */

static struct buf lone_log(const char *const *commands)
{
    struct chain log = {0};
    struct buf file;
    buf_init(&file, SIZE_MAX / 2);
    for (uint64_t seq = 1; *commands != NULL; seq++, commands++) {
        struct chain body = {0};
        chain_put(&body, slice_str(*commands));
        record_put(&log, SLOT_ALONE, (struct position){EPOCH_ALONE, seq}, &body);
        chain_free(&body, NULL);
    }
    assert_int_equal(buf_room(&file, log.n), ERR_OK);
    file.n = chain_copy(&log, file.p, log.n);
    chain_free(&log, NULL);
    return file;
}

static void a_lone_log_becomes_a_clusters(void **state)
{
    (void)state;
    static const char *const commands[] = {"*3\r\n$3\r\nSET\r\n$3\r\nfoo\r\n$1\r\n1\r\n",
                                           "*5\r\n$4\r\nMSET\r\n$1\r\nk\r\n$1\r\n2\r\n$1\r\na\r\n$1\r\n3\r\n", NULL};
    struct one o;
    struct buf file = lone_log(commands);
    start(&o, buf_slice(&file), "log.1.incr.aof");
    ready(&o);
    assert_string_equal(records(&o), "0 0 0 VONG.CLUSTER\n");
    own_begin(o.node, 0, SLOTS - 1, 1);
    one_open(&o, 1);
    one_send(&o, 1, "SET k 4\nDBSIZE");
    one_disk(&o);
    one_expect(&o, 1, "+OK\r\n:3\r\n");
    assert_int_equal(buf_add(&file, buf_slice(&o.file)), ERR_OK);
    one_stop(&o);
    start(&o, buf_slice(&file), "log.1.incr.aof");
    ready(&o);
    assert_int_equal(o.file.n, 0); /* only once */
    assert_int_equal(store_aside_keys_n(&o.node->store), 3);
    const struct lineage *k = &o.node->slots[7629], *none = &o.node->slots[1];
    assert_true(k->at.epoch == 1 && k->at.seq == 2 && k->starts_n == 2);
    assert_true(none->at.epoch == 0 && none->at.seq == 1);
    one_stop(&o);
    one_start_loading(&o, "");
    one_step(&o, (struct node_event){.type = NODE_LOAD_FILE, .load_file = {.name = "log", .size = file.n}});
    one_step(&o, (struct node_event){.type = NODE_LOAD_BYTES, .load_bytes = {buf_slice(&file), true}});
    one_step(&o, (struct node_event){.type = NODE_LOAD_END});
    assert_int_equal(o.out.loaded.verdict, AOF_REFUSED); /* and never back */
    assert_non_null(strstr(o.out.loaded.text, "set cluster-enabled yes"));
    one_stop(&o);
    buf_free(&file);
}

static void other_databases_are_not_converted(void **state)
{
    (void)state;
    static const char *const commands[] = {
        "*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n*3\r\n$3\r\nSET\r\n$3\r\nfoo\r\n$1\r\n1\r\n", NULL};
    struct one o;
    struct buf file = lone_log(commands);
    start(&o, buf_slice(&file), "log.1.incr.aof");
    assert_int_equal(o.out.loaded.verdict, AOF_REFUSED);
    assert_non_null(strstr(o.out.loaded.text, "another database than 0"));
    one_stop(&o);
    buf_free(&file);
}

struct kept {
    uint32_t clean_since, data_since;
};

/* The run `own` of a cluster's node reads this log, and notes what it goes on from. */
static struct kept run_after(uint32_t own, const struct run_note *before, bool clean, bool durable_lost, bool is_new)
{
    struct one o;
    struct chain c = {0};
    note_put_durable(&c, 0);
    if (before->incarnation > 0)
        note_put_run(&c, before);
    if (durable_lost)
        note_put_lost(&c, 12);
    if (clean)
        note_put_end(&c, c.n);
    size_t n;
    char *bytes = chain_flat(&c, NULL, &n);
    one_start_loading(&o, "appendonly no");
    node_free(o.node);
    o.options.cluster_enabled = o.options.appendonly = true;
    o.node = node_new(&(struct node_identity){.seed = 1, .in_cluster = true, .incarnation = own}, &o.options, &o.log,
                      &o.world, o.now, o.wall);
    load_log(&o, slice_of(bytes, n), "log.1.incr.aof");
    struct startup startup = {.names = {"dir", "log"}};
    if (!is_new)
        *vec_add(&startup.reads) = (struct startup_read){0};
    one_step(&o, (struct node_event){.type = NODE_LOG_READY,
                                     .log_ready = {.handle = 2, .name = "log", .startup = &startup}});
    one_disk(&o);
    struct kept kept = {o.node->cluster->clean_since, o.node->cluster->data_since};
    char text[64];
    snprintf(text, sizeof(text), "#R %u %u %u %d ", own, kept.clean_since, kept.data_since,
             o.options.appendfsync == APPENDFSYNC_ALWAYS);
    assert_non_null(memmem(o.file.p, o.file.n, text, strlen(text)));
    vec_free(&startup.reads);
    mem_free(bytes);
    one_stop(&o);
    return kept;
}

static void a_run_knows_what_the_runs_before_it_kept(void **state)
{
    (void)state;
    static const struct {
        uint32_t own;
        struct run_note before;
        bool clean, lost, is_new;
        struct kept kept;
    } rows[] = {
        {1, {0}, false, false, true, {1, 1}},
        {4, {3, 2, 1, false}, true, false, false, {2, 1}},  /* stopped in good order: as it was */
        {4, {3, 2, 1, false}, false, false, false, {4, 1}}, /* a crash under everysec */
        {4, {3, 2, 1, true}, false, false, false, {2, 1}},  /* a crash under always */
        {5, {3, 2, 1, true}, true, false, false, {5, 1}},   /* run 4 left no note */
        {4, {3, 2, 1, true}, true, true, false, {4, 4}},    /* cut by hand */
        {4, {0}, false, false, true, {4, 4}},               /* another directory */
        {4, {0}, false, false, false, {4, 1}},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct kept k = run_after(rows[i].own, &rows[i].before, rows[i].clean, rows[i].lost, rows[i].is_new);
        assert_int_equal(k.clean_since, rows[i].kept.clean_since);
        assert_int_equal(k.data_since, rows[i].kept.data_since);
    }
}

UNIT_TESTS("own",
           TEST(records_carry_their_slots_positions,
                "records carry slot and epoch, dense in each slot; an epoch's beginning is marked (replication 1, 23)"),
           TEST(a_flush_is_a_record_for_each_slot, "FLUSHALL is one record for each slot that holds something (8)"),
           TEST(what_a_reader_finds_due_is_recorded_in_its_slot,
                "what is due becomes a DEL of its slot; in slots of others it is hidden and stays (8)"),
           TEST(a_log_is_read_back_slot_by_slot, "a log is read back with positions, epochs and fences (20, 23, 25)"),
           TEST(another_clusters_slots_begin_anew,
                "who leaves a cluster for another begins its slots anew, in a lower epoch, too (1)"),
           TEST(a_fence_forces_a_sync, "a fence is synced at once whatever the policy, and never falls (20)"),
           TEST(a_clean_stop_is_told, "a clean stop leaves its mark (22)"),
           TEST(a_lone_log_becomes_a_clusters, "a lone log becomes a cluster's once, and never back"),
           TEST(other_databases_are_not_converted, "keys in other databases refuse the conversion"),
           TEST(a_run_knows_what_the_runs_before_it_kept, "a run knows since when nothing was lost, and whose data it has (22)"))

/* SPDX-License-Identifier: BSD-3-Clause */
#include "node/rewrite.h"

#include <stdio.h>

#include "base/list.h"
#include "persist/record.h"
#include "tests/lib/false_disk.h"
#include "tests/lib/load.h"
#include "tests/lib/unit.h"

enum { KEYS = 1500, FEW_KEYS = 200, RECORDS_MAX = 4000, MS = 1000 };

/* A store, its log and its disk, as a node has them. Record i sets key[i] to i. */
struct world {
    struct store_ops ops;
    struct store store;
    struct journal j;
    struct lineage slot, *slots; /* alone: &slot */
    unsigned slots_n;
    struct rewrite rw;
    struct log log;
    struct false_disk disk;
    struct disk_ops lanes[LANES];
    struct effects effects;
    struct rng rng;
    struct mono now;
    struct log_names names;
    unsigned key[RECORDS_MAX];
    size_t records, keys;
    bool value_is_big;
};

static struct world *world_of(struct store_ops *ops)
{
    return CONTAINER_OF(ops, struct world, ops);
}

static void walked(struct store_ops *ops, unsigned db, const struct entry *e)
{
    rewrite_walked(&world_of(ops)->rw, db, e);
}

static void no_line(struct log *log, enum log_level level, struct slice text)
{
    (void)log;
    (void)level;
    (void)text;
}

static void done_one(struct world *w, struct disk_op op)
{
    struct disk_done done = fd_perform(&w->disk, &op);
    if (disk_asker(done.token) == ASKER_JOURNAL)
        journal_done(&w->j, &done, w->now);
    else
        rewrite_done(&w->rw, &done);
    journal_check(&w->j);
}

/* The end of a node's step. */
static void step_end(struct world *w)
{
    struct disk_ops out = {0};
    rewrite_step(&w->rw, w->now, (struct wall){w->now.us / 1000}, true, &out);
    journal_flush(&w->j, w->now, &out);
    for (size_t i = 0; i < out.n; i++) {
        if (out.at[i].at_once)
            done_one(w, out.at[i]);
        else
            *vec_add(&w->lanes[out.at[i].lane]) = out.at[i];
    }
    vec_free(&out);
}

static bool lane_work(struct world *w, int lane)
{
    struct disk_ops *l = &w->lanes[lane];
    if (l->n == 0)
        return false;
    struct disk_op op = l->at[0];
    memmove(l->at, l->at + 1, --l->n * sizeof(op));
    done_one(w, op);
    step_end(w);
    return true;
}

static void settle(struct world *w)
{
    do {
        w->now.us += MS;
        step_end(w);
        while (lane_work(w, LANE_LOG) || lane_work(w, LANE_BACK))
            ;
    } while (w->rw.phase != REWRITE_NONE || !journal_is_idle(&w->j));
}

static void begin_from_disk(struct world *w, bool on, struct loaded *got)
{
    struct startup_file files[FD_NAMES];
    struct startup_found found = {.files = files};
    size_t prefix = strlen("appendonlydir/");
    for (size_t i = 0; i < w->disk.names.n; i++) {
        struct fd_name *f = &w->disk.names.at[i];
        if (strncmp(f->name, "appendonlydir/", prefix) == 0)
            files[found.files_n++] = (struct startup_file){slice_str(f->name + prefix), w->disk.inodes[f->inode].n};
    }
    found.manifest = fd_bytes(&w->disk, "appendonlydir/appendonly.aof.manifest");
    found.has_manifest = found.manifest.n > 0;
    struct startup s;
    assert_int_equal(startup_plan(&s, &w->names, &found), ERR_OK);
    struct load_file load[FD_NAMES];
    for (size_t i = 0; i < s.reads.n; i++)
        load[i] = (struct load_file){s.reads.at[i].path, s.reads.at[i].is_base, fd_bytes(&w->disk, s.reads.at[i].path)};
    struct aof_options o = {.dbs_n = 16, .slots = w->slots_n > 1 ? w->slots : NULL, .cut_torn = true, .dir = "dir"};
    *got = load_files_as(&o, load, s.reads.n, 1000, 32);
    assert_int_not_equal(got->verdict, AOF_REFUSED);
    struct steps steps = {0};
    struct disk_ops out = {0};
    if (on) {
        struct startup_end end = {.is_cut = got->verdict == AOF_CUT, .cut_file = got->r.bad_file,
                                  .cut_offset = got->r.bad_offset};
        startup_finish(&s, &end, &steps);
        while (!steps_idle(&steps)) {
            vec_clear(&out);
            steps_run(&steps, &out);
            struct disk_done done = fd_perform(&w->disk, &out.at[0]);
            steps_done(&steps, &done);
        }
        assert_null(steps.failed);
    }
    w->slot = got->r.alone;
    journal_init(&w->j, JOURNAL_EVERYSEC, !on, w->slots, w->slots_n, got->r.db);
    rewrite_init(&w->rw, &w->store, &w->j, &w->log, (struct wall){0});
    rewrite_found(&w->rw, &s);
    if (on)
        journal_start(&w->j, s.append_handle, s.append_path, s.append_size);
    vec_free(&out);
    steps_free(&steps);
    startup_free(&s);
}

static void world_init_as(struct world *w, uint64_t seed, bool on, struct lineage *slots, unsigned slots_n)
{
    *w = (struct world){.keys = FEW_KEYS, .now = {1000 * 1000 * 1000}, .names = {"appendonlydir", "appendonly.aof"}};
    w->ops = (struct store_ops){.walked = walked};
    w->log = (struct log){.level = LOG_LEVEL_WARNING, .line = no_line};
    w->slots = slots;
    w->slots_n = slots_n;
    w->disk.space = SIZE_MAX;
    rng_seed(&w->rng, seed);
    store_init(&w->store, 4, seed, &w->ops);
    struct loaded got;
    begin_from_disk(w, on, &got);
    loaded_free(&got);
}

static void world_init(struct world *w, uint64_t seed, bool on)
{
    world_init_as(w, seed, on, &w->slot, 1);
}

static void world_free(struct world *w)
{
    for (int lane = 0; lane < LANES; lane++) {
        for (size_t i = 0; i < w->lanes[lane].n; i++) {
            chain_free(&w->lanes[lane].at[i].bytes, NULL);
            mem_free(w->lanes[lane].at[i].names);
        }
        vec_free(&w->lanes[lane]);
    }
    rewrite_free(&w->rw);
    journal_free(&w->j);
    chain_free(&w->effects.bytes, NULL);
    store_free(&w->store);
    fd_free(&w->disk);
}

static void write_one(struct world *w)
{
    char name[32], value[3000];
    size_t i = w->records++;
    assert_true(i < RECORDS_MAX);
    unsigned k = w->key[i] = (unsigned)rng_below(&w->rng, w->keys);
    unsigned db = k % 3;
    size_t name_n = (size_t)snprintf(name, sizeof(name), "key:%u", k);
    size_t value_n = (size_t)snprintf(value, sizeof(value), w->value_is_big ? "%zu-%02800d" : "%zu-%d", i, 0);
    struct key key = key_of(&w->store, slice_of(name, name_n));
    assert_int_equal(store_put(&w->store, db, &key, slice_of(value, value_n), WALL_NEVER), ERR_OK);
    w->effects.db = w->j.db;
    effect_set(&w->effects, db, key.s, slice_of(value, value_n), NULL, WALL_NEVER);
    journal_append(&w->j, SLOT_ALONE, &w->effects.bytes, w->effects.db);
    w->effects.n = 0;
}

/* What was loaded is what the first r records made, r being the last one's seq. */
static void assert_state(const struct world *w, const struct loaded *got)
{
    size_t r = got->r.alone.at.seq, newest[KEYS], want[KEYS];
    memset(newest, 0xff, sizeof(newest));
    memset(want, 0xff, sizeof(want));
    assert_true(r <= w->records);
    for (size_t i = 0; i < r; i++)
        want[w->key[i]] = i;
    for (char *line = got->text; *line != '\0'; line = strchr(line, '\n') + 1) {
        unsigned db, k;
        size_t i;
        assert_int_equal(sscanf(line, "%u SET key:%u %zu-", &db, &k, &i), 3);
        assert_int_equal(db, k % 3);
        newest[k] = i;
    }
    assert_memory_equal(newest, want, sizeof(want));
}

static void restart_and_judge(struct world *w, uint64_t at_least)
{
    struct loaded got;
    rewrite_free(&w->rw);
    journal_free(&w->j);
    memset(w->disk.handles, 0, sizeof(w->disk.handles));
    begin_from_disk(w, true, &got);
    assert_true(got.r.alone.at.seq >= at_least);
    assert_state(w, &got);
    loaded_free(&got);
}

static size_t log_files(struct world *w)
{
    size_t n = 0;
    for (size_t i = 0; i < w->disk.names.n; i++)
        n += strstr(w->disk.names.at[i].name, "dir/appendonly.aof.") != NULL;
    return n;
}

static void a_rewrite_makes_the_log_short_and_keeps_everything(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1, true);
    for (size_t i = 0; i < 2000; i++) {
        write_one(&w);
        step_end(&w);
    }
    uint64_t before = rewrite_log_bytes(&w.rw);
    for (int round = 0; round < 3; round++) {
        assert_null(rewrite_log(&w.rw, w.now));
        assert_non_null(rewrite_log(&w.rw, w.now));
        for (size_t i = 0; i < 100; i++) {
            write_one(&w);
            step_end(&w);
            lane_work(&w, LANE_BACK);
            lane_work(&w, LANE_LOG);
        }
        settle(&w);
        assert_true(w.rw.past[REWRITE_LOG].ok);
        assert_true(rewrite_log_bytes(&w.rw) < before / 3);
        assert_int_equal(log_files(&w), 3); /* manifest, base, increment */
    }
    restart_and_judge(&w, w.records);
    world_free(&w);
}

/* Writes, turns of both threads and rewrites in any order, then a power cut: what is loaded is a
 * beginning of the history, and nothing that was synced is missing. */
static void a_power_cut_anywhere_in_a_rewrite_loses_nothing_synced(void **state)
{
    (void)state;
    size_t phases[REWRITE_CLEAN + 1] = {0};
    for (uint64_t seed = 0; seed < SPARE(250); seed++) {
        struct world w;
        world_init(&w, seed, true);
        w.value_is_big = seed % 3 == 0;
        w.keys = KEYS;
        for (size_t i = 0; i < 1000; i++)
            write_one(&w);
        size_t stop_at = 200 + rng_below(&w.rng, 1000);
        unsigned speed = 1 + (unsigned)rng_below(&w.rng, 6);
        journal_set_policy(&w.j, (enum journal_policy)rng_below(&w.rng, 3));
        for (size_t i = 0; i < stop_at; i++) {
            w.now.us += MS * 5;
            if (rng_below(&w.rng, 2) == 0 && w.records < RECORDS_MAX)
                write_one(&w);
            if (i % 300 == 150)
                (void)rewrite_log(&w.rw, w.now);
            step_end(&w);
            for (unsigned k = rng_below(&w.rng, 4) == 0 ? speed : 0; k > 0; k--)
                lane_work(&w, rng_below(&w.rng, 2) == 0 ? LANE_LOG : LANE_BACK);
        }
        phases[w.rw.phase]++;
        uint64_t synced = w.j.synced.n;
        if (seed % 4 != 0)
            fd_crash(&w.disk, &w.rng);
        else
            synced = w.j.written.n; /* kill -9: what was written is there */
        restart_and_judge(&w, synced);
        world_free(&w);
    }
    for (int phase = REWRITE_OPEN; phase <= REWRITE_END; phase++)
        if (phase != REWRITE_AT_T)
            assert_true(phases[phase] > SPARE(5));
}

static void a_step_that_fails_leaves_the_old_log_valid(void **state)
{
    (void)state;
    size_t failed = 0;
    for (size_t fail_at = 1; fail_at < 40; fail_at++) {
        struct world w;
        world_init(&w, fail_at, true);
        journal_set_policy(&w.j, JOURNAL_NO);
        for (size_t i = 0; i < 300; i++) {
            write_one(&w);
            step_end(&w);
        }
        assert_null(rewrite_log(&w.rw, w.now));
        w.disk.fail_at = fail_at;
        settle(&w);
        w.disk.fail_at = 0;
        failed += !w.rw.past[REWRITE_LOG].ok;
        if (w.j.state == JOURNAL_FAILED) { /* the failing one was the journal's own */
            world_free(&w);
            continue;
        }
        write_one(&w);
        settle(&w);
        assert_null(rewrite_log(&w.rw, w.now)); /* the next one goes through and tidies up */
        settle(&w);
        assert_true(w.rw.past[REWRITE_LOG].ok);
        restart_and_judge(&w, w.records);
        assert_int_equal(log_files(&w), 3);
        world_free(&w);
    }
    assert_true(failed > 10);
}

static void switched_on_the_log_begins_with_a_rewrite(void **state)
{
    (void)state;
    for (size_t fail_at = 0; fail_at < 25; fail_at += 4) {
        struct world w;
        world_init(&w, 9, false);
        for (size_t i = 0; i < 500; i++) {
            write_one(&w);
            step_end(&w);
        }
        assert_int_equal(journal_stored(&w.j).n, 500);
        assert_int_equal(w.disk.names.n, 0);
        w.disk.fail_at = fail_at;
        rewrite_turn(&w.rw, true, w.now);
        for (int i = 0; i < 4000 && (w.rw.wants_on || w.rw.phase != REWRITE_NONE); i++) {
            if (i % 100 == 0)
                write_one(&w);
            w.now.us += MS;
            step_end(&w);
            lane_work(&w, LANE_BACK);
            lane_work(&w, LANE_LOG);
        }
        settle(&w);
        assert_int_equal(w.j.state, JOURNAL_OK);
        write_one(&w);
        settle(&w);
        w.disk.fail_at = 0;
        restart_and_judge(&w, w.records);
        rewrite_turn(&w.rw, false, w.now);
        settle(&w);
        assert_int_equal(w.j.state, JOURNAL_OFF);
        world_free(&w);
    }
}

static void switched_off_a_rewrite_is_given_up(void **state)
{
    (void)state;
    for (size_t ops = 0; ops < 30; ops += SPARE_STEP) {
        struct world w;
        world_init(&w, ops, true);
        w.value_is_big = true;
        for (size_t i = 0; i < 500; i++) {
            write_one(&w);
            step_end(&w);
        }
        (void)rewrite_log(&w.rw, w.now);
        for (size_t i = 0; i < ops; i++) {
            step_end(&w);
            lane_work(&w, LANE_BACK);
        }
        rewrite_turn(&w.rw, false, w.now);
        settle(&w);
        assert_int_equal(w.j.state, JOURNAL_OFF);
        assert_false(walk_is_on(&w.store));
        restart_and_judge(&w, 500);
        world_free(&w);
    }
}

/* Whatever the moment: off and on again, the log is on in the end. */
static void off_and_on_again_it_is_on(void **state)
{
    (void)state;
    for (size_t ops = 0; ops < 60; ops += SPARE_STEP) {
        struct world w;
        world_init(&w, ops, false);
        for (size_t i = 0; i < 20; i++) {
            write_one(&w);
            step_end(&w);
        }
        rewrite_turn(&w.rw, true, w.now);
        for (size_t i = 0; i < ops; i++) {
            w.now.us += MS;
            step_end(&w);
            if (!lane_work(&w, LANE_BACK))
                lane_work(&w, LANE_LOG);
        }
        rewrite_turn(&w.rw, false, w.now);
        rewrite_turn(&w.rw, true, w.now);
        for (int i = 0; i < 4000 && (w.rw.wants_on || w.rw.phase != REWRITE_NONE); i++) {
            w.now.us += MS;
            step_end(&w);
            lane_work(&w, LANE_BACK);
            lane_work(&w, LANE_LOG);
        }
        settle(&w);
        assert_int_equal(w.j.state, JOURNAL_OK);
        assert_false(w.j.stopping);
        write_one(&w);
        settle(&w);
        restart_and_judge(&w, w.records);
        world_free(&w);
    }
}

/* The log thread has not closed a file yet, and the turn of its handle comes. */
static void a_handle_is_not_reused_before_its_close(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 3, true);
    write_one(&w);
    settle(&w);
    rewrite_turn(&w.rw, false, w.now);
    while (w.j.state != JOURNAL_OFF) {
        step_end(&w);
        if (w.j.state != JOURNAL_OFF)
            lane_work(&w, LANE_LOG);
    }
    assert_int_equal(w.lanes[LANE_LOG].n, 1);
    assert_int_equal(w.lanes[LANE_LOG].at[0].type, DISK_CLOSE);
    w.rw.increment_seq += HANDLES - HANDLE_INCREMENTS - 1; /* so many rewrites failed */
    rewrite_turn(&w.rw, true, w.now);
    for (int i = 0; i < 9; i++) {
        w.now.us += 1000 * MS;
        step_end(&w);
        lane_work(&w, LANE_BACK); /* the disk checks it */
    }
    settle(&w);
    assert_int_equal(w.j.state, JOURNAL_OK);
    restart_and_judge(&w, w.records);
    world_free(&w);
}

static void failures_take_no_file_from_the_log(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 3, true);
    for (int i = 0; i < 12; i++) { /* more than there are handles */
        write_one(&w);
        settle(&w);
        w.disk.fail_at = 5; /* the new increment is open by then */
        assert_null(rewrite_log(&w.rw, w.now));
        settle(&w);
        assert_false(w.rw.past[REWRITE_LOG].ok);
        w.disk.fail_at = 0;
        assert_int_equal(w.j.state, JOURNAL_OK);
    }
    write_one(&w);
    settle(&w);
    restart_and_judge(&w, w.records);
    world_free(&w);
}

static void a_backup_is_a_log_of_its_own(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 3, true);
    for (size_t i = 0; i < 500; i++) {
        write_one(&w);
        step_end(&w);
    }
    size_t as_of = w.records;
    assert_null(rewrite_backup(&w.rw, SLICE("/backups"), w.now, (struct wall){1234}));
    assert_string_equal(w.rw.backup_dir, "/backups/backup-1234");
    step_end(&w);
    for (size_t i = 0; i < 100; i++) {
        write_one(&w);
        step_end(&w);
    }
    settle(&w);
    assert_true(w.rw.past[REWRITE_BACKUP].ok);
    struct manifest m;
    char why[100];
    assert_int_equal(manifest_get(&m, fd_bytes(&w.disk, "/backups/backup-1234/appendonly.aof.manifest"), why, 100), ERR_OK);
    assert_int_equal(m.files.n, 1);
    struct load_file file = {m.files.at[0].name, true, fd_bytes(&w.disk, "/backups/backup-1234/appendonly.aof.1.base.aof")};
    struct loaded got = load_files(&file, 1, 5000, 100);
    assert_int_equal(got.verdict, AOF_WHOLE);
    assert_int_equal(got.r.alone.at.seq, as_of);
    assert_state(&w, &got);
    loaded_free(&got);
    manifest_free(&m);
    world_free(&w);
}

static void a_backup_that_fails_leaves_nothing_behind(void **state)
{
    (void)state;
    size_t failed = 0;
    for (size_t fail_at = 1; fail_at < 20; fail_at++) {
        struct world w;
        world_init(&w, fail_at, true);
        journal_set_policy(&w.j, JOURNAL_NO);
        for (size_t i = 0; i < 300; i++)
            write_one(&w);
        settle(&w);
        w.rw.next_space = MONO_NEVER; /* the failing step is the backup's */
        w.disk.fail_at = fail_at;
        assert_null(rewrite_backup(&w.rw, SLICE("/backups"), w.now, (struct wall){1234}));
        settle(&w);
        w.disk.fail_at = 0;
        size_t left = 0;
        for (size_t i = 0; i < w.disk.names.n; i++)
            left += strstr(w.disk.names.at[i].name, "backup-") != NULL;
        failed += !w.rw.past[REWRITE_BACKUP].ok;
        assert_int_equal(left, w.rw.past[REWRITE_BACKUP].ok ? 2 : 0);
        restart_and_judge(&w, w.records);
        world_free(&w);
    }
    assert_true(failed > 8 && failed < 19);
}

static void the_walk_waits_for_the_disk(void **state)
{
    (void)state;
    static struct world w;
    world_init(&w, 3, true);
    char name[32], *value = calloc(1, 20000);
    for (size_t i = 0; i < 2000; i++) {
        struct key key = key_of(&w.store, slice_of(name, (size_t)snprintf(name, sizeof(name), "big:%zu", i)));
        assert_int_equal(store_put(&w.store, 0, &key, slice_of(value, 20000), WALL_NEVER), ERR_OK);
    }
    (void)rewrite_log(&w.rw, w.now);
    while (w.rw.phase != REWRITE_WALK) {
        step_end(&w);
        lane_work(&w, LANE_BACK);
    }
    size_t most = 0;
    for (size_t i = 0; i < 5000; i++) { /* the disk does nothing */
        step_end(&w);
        most = rewrite_bytes(&w.rw) > most ? rewrite_bytes(&w.rw) : most;
    }
    assert_int_equal(w.rw.phase, REWRITE_WALK);
    assert_true(most > 1024 * 1024 && most < 6 * 1024 * 1024);
    assert_false(rewrite_is_full(&w.rw));
    assert_true(rewrite_due(&w.rw, w.now).us > w.now.us); /* and asks for no step */
    struct key key;
    for (size_t i = 0; i < 2000 && !rewrite_is_full(&w.rw); i++) { /* writers push old values out */
        key = key_of(&w.store, slice_of(name, (size_t)snprintf(name, sizeof(name), "big:%zu", i)));
        assert_int_equal(store_put(&w.store, 0, &key, SLICE("new"), WALL_NEVER), ERR_OK);
    }
    assert_true(rewrite_is_full(&w.rw));
    settle(&w);
    assert_true(w.rw.past[REWRITE_LOG].ok);
    assert_false(rewrite_is_full(&w.rw));
    free(value);
    world_free(&w);
}

static void it_begins_by_itself_when_the_log_has_grown(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 3, true);
    for (size_t i = 0; i < 100; i++) {
        write_one(&w);
        step_end(&w);
    }
    uint64_t bytes = rewrite_log_bytes(&w.rw);
    rewrite_auto(&w.rw, w.now, 100, bytes + 1);
    assert_false(w.rw.wants_log);
    rewrite_auto(&w.rw, w.now, 0, 1);
    assert_false(w.rw.wants_log);
    w.rw.base_bytes = bytes + 1;
    rewrite_auto(&w.rw, w.now, 100, 1);
    assert_false(w.rw.wants_log); /* bytes + base is twice the base, less one */
    w.rw.base_bytes = bytes;
    rewrite_auto(&w.rw, w.now, 100, 1);
    assert_true(w.rw.wants_log);
    settle(&w);
    assert_int_equal(w.rw.past[REWRITE_LOG].ok, true);
    assert_true(w.rw.past[REWRITE_LOG].seconds >= 0);
    world_free(&w);
}

/* ------------------------------------------------------------ of a cluster's slots */

static void mark(struct world *w, const char *text)
{
    struct chain bytes = {0};
    chain_put(&bytes, slice_str(text));
    journal_mark(&w->j, &bytes);
    chain_free(&bytes, NULL);
}

static void record(struct world *w, unsigned slot, uint64_t epoch)
{
    struct chain bytes = {0};
    struct buf flat;
    buf_init(&flat, SIZE_MAX / 2);
    struct position at = {epoch, w->slots[slot].at.seq + 1};
    chain_put(&bytes, SLICE("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n"));
    record_put_flat(&flat, slot, at, &bytes);
    journal_append_record(&w->j, slot, at, buf_slice(&flat));
    chain_free(&bytes, NULL);
    buf_free(&flat);
}

static void epoch_begins(struct world *w, unsigned slot, uint64_t epoch)
{
    struct chain bytes = {0};
    char text[128];
    int n = snprintf(text, sizeof(text), "*4\r\n$10\r\nVONG.EPOCH\r\n$1\r\n%u\r\n$4\r\n%u\r\n$4\r\n%u\r\n", (unsigned)epoch, slot, slot);
    chain_put(&bytes, slice_of(text, (size_t)n));
    journal_mark(&w->j, &bytes);
    chain_free(&bytes, NULL);
    lineage_begin(&w->slots[slot], epoch);
}

/* The base tells of slot after slot, in many steps; what it tells is all of one moment. */
static void histories_change_while_the_base_is_written(void **state)
{
    (void)state;
    enum { REPLACED = 5000, POPPED = 6000, EMPTIED = 7000, GROWN = 8000 };
    static const unsigned slots[] = {REPLACED, POPPED, EMPTIED, GROWN};
    struct world w;
    world_init_as(&w, 1, true, lineages_new(SLOTS), SLOTS);
    for (unsigned i = 0; i < 4; i++) {
        epoch_begins(&w, slots[i], 3);
        record(&w, slots[i], 3);
        record(&w, slots[i], 3);
    }
    record(&w, REPLACED, 5); /* of an epoch that begins with it */
    epoch_begins(&w, POPPED, 5);
    assert_null(rewrite_log(&w.rw, w.now));
    while (w.rw.phase != REWRITE_WALK || w.rw.then == NULL) {
        w.now.us += MS;
        step_end(&w);
        while (w.rw.phase != REWRITE_WALK && (lane_work(&w, LANE_LOG) || lane_work(&w, LANE_BACK)))
            ;
    }
    assert_true(w.rw.slot_at < REPLACED);
    struct epoch_start other[] = {{2, 1}, {4, 5}};
    assert_true(lineage_set(&w.slots[REPLACED], (struct position){4, 6}, other, 2));
    mark(&w, "*9\r\n$9\r\nVONG.DUMP\r\n$4\r\n5000\r\n$1\r\n4\r\n$1\r\n6\r\n$27\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n\r\n"
             "$1\r\n2\r\n$1\r\n1\r\n$1\r\n4\r\n$1\r\n5\r\n");
    record(&w, REPLACED, 4);
    record(&w, POPPED, 4); /* epoch 5 had no record, and its primary is none any more */
    lineage_clear(&w.slots[EMPTIED]);
    mark(&w, "*5\r\n$9\r\nVONG.DUMP\r\n$4\r\n7000\r\n$1\r\n0\r\n$1\r\n0\r\n$0\r\n\r\n");
    epoch_begins(&w, GROWN, 6);
    record(&w, GROWN, 6);
    settle(&w);
    assert_int_equal(w.rw.counts[REWRITE_LOG], 1);
    assert_true(w.rw.past[REWRITE_LOG].ok);
    struct lineage *was = w.slots;
    struct loaded got;
    w.slots = lineages_new(SLOTS);
    rewrite_free(&w.rw);
    journal_free(&w.j);
    memset(w.disk.handles, 0, sizeof(w.disk.handles));
    begin_from_disk(&w, true, &got);
    assert_int_equal(got.verdict, AOF_WHOLE);
    for (unsigned i = 0; i < 4; i++) {
        const struct lineage *a = &was[slots[i]], *b = &w.slots[slots[i]];
        assert_false(b->frozen);
        assert_true(a->at.seq == b->at.seq && a->at.epoch == b->at.epoch && a->starts_n == b->starts_n);
        assert_memory_equal(a->starts, b->starts, a->starts_n * sizeof(a->starts[0]));
        assert_true(a->logged == b->logged && a->turns == b->turns); /* what is told at run time and what is read */
    }
    loaded_free(&got);
    lineages_free(was, SLOTS);
    was = w.slots;
    world_free(&w);
    lineages_free(was, SLOTS);
}

UNIT_TESTS("rewrite",
           TEST(histories_change_while_the_base_is_written,
                "what the base tells of slots is as of one moment, whatever changes meanwhile (replication 23, 25)"),
           TEST(a_rewrite_makes_the_log_short_and_keeps_everything, "a rewrite makes the log short, keeps everything and deletes what is old"),
           TEST(a_power_cut_anywhere_in_a_rewrite_loses_nothing_synced, "a power cut or kill anywhere in a rewrite loses nothing stored (M1)"),
           TEST(a_step_that_fails_leaves_the_old_log_valid, "a step that fails leaves the old log valid, and the next rewrite goes through"),
           TEST(switched_on_the_log_begins_with_a_rewrite, "switched on, the log begins with a rewrite, tried until it succeeds"),
           TEST(switched_off_a_rewrite_is_given_up, "switched off, a rewrite is given up at any point"),
           TEST(off_and_on_again_it_is_on, "off and on again at any point of its beginning, the log is on"),
           TEST(a_handle_is_not_reused_before_its_close, "a handle is not used again before its CLOSE is done"),
           TEST(failures_take_no_file_from_the_log, "a rewrite that fails again and again takes no file from the log"),
           TEST(a_backup_is_a_log_of_its_own, "a backup is a log of its own, as of its beginning"),
           TEST(a_backup_that_fails_leaves_nothing_behind, "a backup that fails at any step leaves nothing behind"),
           TEST(the_walk_waits_for_the_disk, "the walk waits for a slow disk, and beyond a bound writers do"),
           TEST(it_begins_by_itself_when_the_log_has_grown, "it begins by itself when the log has grown by the percentage, not before"))

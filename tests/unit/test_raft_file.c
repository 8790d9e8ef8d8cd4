/* SPDX-License-Identifier: BSD-3-Clause */
#include "persist/raft_file.h"

#include <stdio.h>

#include "base/bounds.h"
#include "tests/lib/false_disk.h"
#include "tests/lib/unit.h"

struct bench {
    struct false_disk disk;
    struct raft_file file;
    uint64_t token;
};

static void work_off(struct bench *b)
{
    for (;;) {
        struct disk_ops ops = {0};
        raft_file_run(&b->file, &ops);
        size_t n = ops.n;
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(ops.at[i].lane, LANE_LOG);
            assert_int_equal(disk_asker(ops.at[i].token), ASKER_RAFT);
            struct disk_done done = fd_perform(&b->disk, &ops.at[i]);
            raft_file_done(&b->file, &done);
        }
        vec_free(&ops);
        if (n == 0)
            return;
    }
}

static enum err load(struct bench *b, struct raft_loaded *l)
{
    static struct raft_found found[FD_NAMES];
    for (size_t i = 0; i < b->disk.names.n; i++) {
        const char *name = b->disk.names.at[i].name;
        found[i] = (struct raft_found){slice_str(name + sizeof(RAFT_DIR)), fd_bytes(&b->disk, name)};
    }
    return raft_file_load(l, found, b->disk.names.n);
}

/* The process ends, and starts again. */
static void restart(struct bench *b, struct raft_loaded *l)
{
    raft_file_free(&b->file);
    memset(b->disk.handles, 0, sizeof(b->disk.handles));
    b->token = 0;
    assert_int_equal(load(b, l), ERR_OK);
    raft_file_init(&b->file, l);
}

static void begin(struct bench *b)
{
    struct raft_loaded l;
    *b = (struct bench){.disk.space = SIZE_MAX};
    restart(b, &l);
    assert_true(l.is_empty);
    raft_loaded_free(&l);
}

static void end(struct bench *b)
{
    raft_file_free(&b->file);
    fd_free(&b->disk);
}

static struct raft_peer peer_of(uint8_t i)
{
    return (struct raft_peer){.node.b = {i}, .data.b = {[15] = i}};
}

static void store(struct bench *b, struct raft_store s)
{
    s.token = ++b->token;
    raft_file_store(&b->file, &s);
}

static void store_state(struct bench *b, uint64_t term, uint8_t vote)
{
    store(b, (struct raft_store){.has_state = true, .term = term, .vote = peer_of(vote)});
}

static void store_entry(struct bench *b, uint64_t index, uint64_t term, struct slice bytes)
{
    struct raft_entry e = {term, RAFT_ENTRY_OWNER, bytes};
    store(b, (struct raft_store){.first = index, .entries = &e, .n = 1});
}

static void store_snapshot(struct bench *b, uint64_t index, uint64_t term, bool is_reset)
{
    struct raft_snapshot s = {.index = index, .term = term, .voters = {.n = 1, .at = {peer_of(1)}}, .bytes = SLICE("the map")};
    store(b, (struct raft_store){.snapshot = &s, .is_reset = is_reset});
}

/* The log as "first: term term ..." */
static void holds(const struct raft_loaded *l, const char *text)
{
    char got[256];
    int n = snprintf(got, sizeof(got), "%d:", (int)l->saved.first);
    for (size_t i = 0; i < l->saved.n; i++)
        n += snprintf(got + n, sizeof(got) - (size_t)n, " %d", (int)l->saved.entries[i].term);
    assert_string_equal(got, text);
}

static void what_was_stored_is_there_after_a_restart(void **state)
{
    (void)state;
    struct bench b;
    struct raft_loaded l;
    begin(&b);
    store_state(&b, 3, 2);
    store_entry(&b, 1, 2, SLICE("one"));
    assert_int_equal(raft_file_stored(&b.file), 0);
    work_off(&b);
    assert_int_equal(raft_file_stored(&b.file), 2);
    assert_int_equal(b.disk.syncs, 1); /* both in one frame */
    store_entry(&b, 2, 3, SLICE(""));
    work_off(&b);
    restart(&b, &l);
    holds(&l, "1: 2 3");
    assert_slice(l.saved.entries[0].bytes, "one");
    assert_int_equal(l.saved.term, 3);
    assert_int_equal(l.saved.vote.node.b[0], 2);
    assert_int_equal(l.torn_bytes, 0);
    raft_loaded_free(&l);
    store_state(&b, 4, 1);
    work_off(&b);
    restart(&b, &l); /* and what a second segment says goes on from the first */
    holds(&l, "1: 2 3");
    assert_int_equal(l.saved.term, 4);
    raft_loaded_free(&l);
    end(&b);
}

static void an_entry_replaces_those_from_its_index_on(void **state)
{
    (void)state;
    struct bench b;
    struct raft_loaded l;
    begin(&b);
    store_state(&b, 2, 1);
    for (uint64_t i = 1; i <= 4; i++)
        store_entry(&b, i, 1, SLICE("x"));
    work_off(&b);
    struct raft_entry e = {2, RAFT_ENTRY_OWNER, SLICE("y")};
    store(&b, (struct raft_store){.first = 3, .entries = &e, .n = 1});
    work_off(&b);
    restart(&b, &l);
    holds(&l, "1: 1 1 2");
    raft_loaded_free(&l);
    end(&b);
}

static void segments_behind_a_snapshot_go(void **state)
{
    (void)state;
    static const char big[RAFT_ENTRY_BYTES];
    struct bench b;
    struct raft_loaded l;
    begin(&b);
    store_state(&b, 1, 1);
    for (uint64_t i = 1; i <= 10; i++) {
        store_entry(&b, i, 1, slice_of(big, sizeof(big)));
        work_off(&b);
    }
    assert_int_equal(b.disk.names.n, 4);
    store_snapshot(&b, 5, 1, false); /* segment 1 has 1 to 3, segment 2 4 to 6 */
    work_off(&b);
    assert_int_equal(raft_file_stored(&b.file), b.token);
    assert_true(fd_find(&b.disk.names, "raft/log.1") == NULL && fd_find(&b.disk.names, "raft/log.2") != NULL);
    restart(&b, &l);
    holds(&l, "4: 1 1 1 1 1 1 1");
    assert_int_equal(l.saved.snapshot.index, 5);
    assert_int_equal(l.saved.snapshot.voters.n, 1);
    assert_slice(l.saved.snapshot.bytes, "the map");
    assert_int_equal(l.saved.term, 1); /* though it was said in a segment that is gone */
    raft_loaded_free(&l);
    end(&b);
}

/* The second segment begins behind entry 4, and then replaces 3: the first one may be gone by then. */
static void a_cut_before_a_segments_beginning_outlives_the_older_one(void **state)
{
    (void)state;
    struct bench b;
    struct raft_loaded l;
    begin(&b);
    store_state(&b, 2, 1);
    for (uint64_t i = 1; i <= 4; i++)
        store_entry(&b, i, 1, SLICE("x"));
    work_off(&b);
    restart(&b, &l);
    raft_loaded_free(&l);
    struct raft_entry e[] = {{2, RAFT_ENTRY_OWNER, SLICE("y")}, {2, RAFT_ENTRY_OWNER, SLICE("y")}};
    store(&b, (struct raft_store){.first = 3, .entries = e, .n = 2});
    store_entry(&b, 5, 2, SLICE("y"));
    work_off(&b);
    store_snapshot(&b, 4, 2, false);
    work_off(&b);
    assert_null(fd_find(&b.disk.names, "raft/log.1"));
    restart(&b, &l);
    holds(&l, "3: 2 2 2");
    raft_loaded_free(&l);
    end(&b);
}

static void an_installed_snapshot_empties_the_log(void **state)
{
    (void)state;
    struct bench b;
    struct raft_loaded l;
    begin(&b);
    store_state(&b, 7, 1);
    store_entry(&b, 1, 1, SLICE("x"));
    work_off(&b);
    store_snapshot(&b, 20, 6, true);
    store_entry(&b, 21, 7, SLICE("z"));
    work_off(&b);
    restart(&b, &l);
    holds(&l, "21: 7");
    assert_int_equal(l.saved.snapshot.term, 6);
    raft_loaded_free(&l);
    end(&b);
}

/* Between the snapshot's rename and the frame that says that the log is empty. */
static void a_snapshot_ahead_of_the_log_stands_for_it(void **state)
{
    (void)state;
    struct bench b, other;
    struct raft_loaded l;
    begin(&b);
    store_state(&b, 7, 1);
    store_entry(&b, 1, 1, SLICE("x"));
    work_off(&b);
    begin(&other);
    store_state(&other, 7, 1);
    store_snapshot(&other, 20, 6, true);
    work_off(&other);
    struct slice s = fd_bytes(&other.disk, "raft/snapshot");
    fd_add(&b.disk, fd_create(&b.disk, "raft/snapshot"), s.p, s.n);
    restart(&b, &l);
    holds(&l, "21:");
    raft_loaded_free(&l);
    store_entry(&b, 21, 7, SLICE("z"));
    work_off(&b);
    restart(&b, &l);
    holds(&l, "21: 7");
    raft_loaded_free(&l);
    end(&b);
    end(&other);
}

static struct fd_inode *inode(struct bench *b, const char *name)
{
    return &b->disk.inodes[fd_inode_of(&b->disk, name)];
}

static void three_frames(struct bench *b)
{
    begin(b);
    store_state(b, 2, 1);
    work_off(b);
    for (uint64_t i = 1; i <= 2; i++) {
        store_entry(b, i, 2, SLICE("some bytes of an entry"));
        work_off(b);
    }
}

/* The last write broken off at every byte, or its rest zeroes: what was stored before it is there. */
static void a_torn_tail_is_cut_wherever_it_tore(void **state)
{
    (void)state;
    struct bench b;
    three_frames(&b);
    size_t whole = inode(&b, "raft/log.1")->n;
    end(&b);
    size_t last = 20 + 22 + 22; /* a frame of one such entry, padding not counted */
    last += (8 - last % 8) % 8;
    for (size_t cut = 1; cut <= last; cut++)
        for (int zero = 0; zero < 2; zero++) {
            struct raft_loaded l;
            three_frames(&b);
            struct fd_inode *f = inode(&b, "raft/log.1");
            assert_int_equal(f->n, whole);
            if (zero != 0)
                memset(f->p + f->n - cut, 0, cut);
            else
                f->n -= cut;
            restart(&b, &l);
            bool is_padding = zero != 0 && cut <= last - (20 + 22 + 22);
            holds(&l, is_padding ? "1: 2 2" : "1: 2");
            raft_loaded_free(&l);
            store_entry(&b, is_padding ? 3 : 2, 2, SLICE("again"));
            work_off(&b);
            assert_int_equal(raft_file_stored(&b.file), b.token);
            restart(&b, &l);
            holds(&l, is_padding ? "1: 2 2 2" : "1: 2 2");
            assert_int_equal(l.torn_bytes, 0);
            raft_loaded_free(&l);
            end(&b);
        }
}

/* A kill -9 between a write and its sync leaves what only the page cache knows. A later segment may not rely on it. */
static void what_a_start_has_read_is_synced_first(void **state)
{
    (void)state;
    struct bench b;
    struct raft_loaded l;
    three_frames(&b);
    size_t whole = inode(&b, "raft/log.1")->n;
    inode(&b, "raft/log.1")->synced = whole - 40;
    restart(&b, &l);
    holds(&l, "1: 2 2");
    assert_int_equal(l.torn_bytes, 0);
    raft_loaded_free(&l);
    assert_false(raft_file_is_idle(&b.file)); /* it is not to be told of before */
    work_off(&b);
    assert_true(raft_file_is_idle(&b.file));
    assert_int_equal(inode(&b, "raft/log.1")->n, whole);
    assert_int_equal(inode(&b, "raft/log.1")->synced, whole);
    end(&b);
}

/* A byte of what was stored, each one in turn: refused, with the file and the remedy. Only in the last
 * frame it looks like a write that broke off. */
static void a_changed_byte_before_the_last_frame_is_damage(void **state)
{
    (void)state;
    struct bench b;
    three_frames(&b);
    struct fd_inode *f = inode(&b, "raft/log.1");
    size_t last = f->n - 64;
    for (size_t at = 0; at < f->n; at++) {
        struct raft_loaded l;
        f->p[at] ^= 0x20;
        enum err e = load(&b, &l);
        if (at < last) {
            bool is_padding = e == ERR_OK; /* zeroes between frames mean nothing */
            assert_true(is_padding ? l.saved.n == 2 : strstr(l.text, "raft/log.1 is damaged at offset ") != NULL);
            assert_true(is_padding || strstr(l.text, "move the directory raft away") != NULL);
        } else {
            assert_int_equal(e, ERR_OK);
            assert_true(l.saved.n == 1 || l.saved.n == 2);
        }
        raft_loaded_free(&l);
        f->p[at] ^= 0x20;
    }
    end(&b);
}

static void damage_in_an_older_segment_or_the_snapshot_is_refused(void **state)
{
    (void)state;
    struct bench b;
    struct raft_loaded l;
    three_frames(&b);
    restart(&b, &l);
    raft_loaded_free(&l);
    store_entry(&b, 3, 2, SLICE("in segment 2"));
    store_snapshot(&b, 2, 2, false);
    work_off(&b);
    assert_non_null(fd_find(&b.disk.names, "raft/log.2"));
    struct fd_inode *s = inode(&b, "raft/snapshot");
    for (size_t at = 0; at < s->n; at++) {
        s->p[at] ^= 1;
        assert_int_equal(load(&b, &l), ERR_CORRUPT);
        assert_non_null(strstr(l.text, "raft/snapshot is damaged"));
        raft_loaded_free(&l);
        s->p[at] ^= 1;
    }
    fd_drop_name(&b.disk.names, "raft/snapshot");
    assert_int_equal(load(&b, &l), ERR_CORRUPT); /* its segments are gone with it */
    raft_loaded_free(&l);
    end(&b);

    three_frames(&b);
    restart(&b, &l);
    raft_loaded_free(&l);
    store_entry(&b, 3, 2, SLICE("in segment 2"));
    work_off(&b);
    inode(&b, "raft/log.1")->n -= 16;
    assert_int_equal(load(&b, &l), ERR_CORRUPT);
    assert_non_null(strstr(l.text, "a later one exists"));
    raft_loaded_free(&l);
    end(&b);
}

static void a_failure_is_final_and_told(void **state)
{
    (void)state;
    for (size_t at = 1; at <= 4; at++) {
        struct bench b;
        char text[128];
        int number = 0;
        begin(&b);
        assert_null(raft_file_failed(&b.file, text, sizeof(text), &number));
        b.disk.fail_at = at; /* open, sync of the directory, write, sync */
        store_state(&b, 1, 1);
        work_off(&b);
        assert_string_equal(raft_file_failed(&b.file, text, sizeof(text), &number),
                            at == 1   ? "open in the directory raft failed"
                            : at == 2 ? "fsync of the directory in the directory raft failed"
                            : at == 3 ? "write in the directory raft failed"
                                      : "fsync in the directory raft failed");
        assert_int_equal(number, 5);
        store_state(&b, 2, 1);
        work_off(&b);
        assert_int_equal(raft_file_stored(&b.file), 0);
        end(&b);
    }
}

UNIT_TESTS("raft_file",
           TEST(what_was_stored_is_there_after_a_restart, "what was stored is there after a restart, one sync for what gathered"),
           TEST(an_entry_replaces_those_from_its_index_on, "an entry replaces those from its index on"),
           TEST(segments_behind_a_snapshot_go, "segments behind a snapshot go, and term and vote stay (G2)"),
           TEST(a_cut_before_a_segments_beginning_outlives_the_older_one,
                "a cut before a segment's beginning outlives the older segment (G2)"),
           TEST(an_installed_snapshot_empties_the_log, "an installed snapshot empties the log"),
           TEST(a_snapshot_ahead_of_the_log_stands_for_it, "a snapshot ahead of the log stands for all of it"),
           TEST(a_torn_tail_is_cut_wherever_it_tore, "a torn tail is cut wherever it tore, and writing goes on (G1)"),
           TEST(what_a_start_has_read_is_synced_first, "what a start has read is synced before anything else (G1)"),
           TEST(a_changed_byte_before_the_last_frame_is_damage, "a changed byte before the last frame is damage, with the remedy (G1)"),
           TEST(damage_in_an_older_segment_or_the_snapshot_is_refused, "damage in an older segment or the snapshot is refused (G1)"),
           TEST(a_failure_is_final_and_told, "a failure is final and told (replication 28)"))

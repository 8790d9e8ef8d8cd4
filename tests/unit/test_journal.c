/* SPDX-License-Identifier: BSD-3-Clause */
#include "persist/journal.h"

#include <stdio.h>

#include "base/mem.h"
#include "persist/record.h"
#include "tests/lib/false_disk.h"
#include "tests/lib/unit.h"

enum { HANDLE = 1, HANDLE_2 = 2, SECOND = 1000 * 1000, LONG_BYTES = 2 * 1024 * 1024 };

/* A journal, its disk, and the operations that the log thread has not done yet. */
struct world {
    struct journal j;
    struct lineage slot;
    struct false_disk disk;
    struct disk_ops queue;
    struct mono now;
};

static void world_open_file(struct world *w, uint32_t handle, const char *name)
{
    w->disk.handles[handle] = fd_create(&w->disk, name) + 1;
    journal_start(&w->j, handle, name, 0);
}

static void world_init(struct world *w, enum journal_policy policy)
{
    *w = (struct world){.now = {10 * SECOND}};
    w->disk.space = SIZE_MAX;
    w->slot = lineage_alone();
    journal_init(&w->j, policy, false, &w->slot, 1, 0);
}

static void world_start(struct world *w, enum journal_policy policy)
{
    world_init(w, policy);
    world_open_file(w, HANDLE, "incr");
}

static void world_free(struct world *w)
{
    for (size_t i = 0; i < w->queue.n; i++)
        chain_free(&w->queue.at[i].bytes, NULL);
    vec_free(&w->queue);
    journal_free(&w->j);
    fd_free(&w->disk);
}

static void append(struct world *w, const char *text)
{
    struct chain body = {0};
    chain_put(&body, slice_str(text));
    journal_append(&w->j, SLOT_ALONE, &body, 0);
    chain_free(&body, NULL);
}

static void append_long(struct world *w)
{
    char *text = mem_get(LONG_BYTES);
    memset(text, 'a', LONG_BYTES - 1);
    text[LONG_BYTES - 1] = '\0';
    append(w, text);
    mem_free(text);
}

static void flush(struct world *w);

static void perform(struct world *w, struct disk_op op)
{
    struct disk_done done = fd_perform(&w->disk, &op);
    journal_done(&w->j, &done, w->now);
    journal_check(&w->j);
}

/* The end of a step: what is at_once is done at once, the rest is the log thread's. */
static void flush(struct world *w)
{
    struct disk_ops out = {0};
    journal_flush(&w->j, w->now, &out);
    journal_check(&w->j);
    for (size_t i = 0; i < out.n; i++) {
        if (out.at[i].at_once)
            perform(w, out.at[i]);
        else
            *vec_add(&w->queue) = out.at[i];
    }
    vec_free(&out);
}

/* The log thread does the next n operations. */
static void work(struct world *w, size_t n)
{
    for (size_t i = 0; i < n && w->queue.n > 0; i++) {
        struct disk_op op = w->queue.at[0];
        memmove(w->queue.at, w->queue.at + 1, --w->queue.n * sizeof(op));
        perform(w, op);
        flush(w);
    }
}

static void under_no_and_everysec_a_gate_opens_after_the_write(void **state)
{
    (void)state;
    for (int policy = JOURNAL_NO; policy <= JOURNAL_EVERYSEC; policy++) {
        struct world w;
        world_start(&w, (enum journal_policy)policy);
        append(&w, "a");
        assert_int_equal(journal_stored(&w.j).n, 0);
        flush(&w);
        assert_int_equal(journal_stored(&w.j).n, 1);
        assert_int_equal(w.queue.n, policy == JOURNAL_EVERYSEC ? 1 : 0);
        world_free(&w);
    }
}

static void everysec_syncs_once_a_second_and_tells_it(void **state)
{
    (void)state;
    struct world w;
    world_start(&w, JOURNAL_EVERYSEC);
    append(&w, "a");
    flush(&w);
    work(&w, 9);
    assert_int_equal(w.disk.syncs, 1);
    uint64_t durable = w.j.file.durable;
    append(&w, "b");
    flush(&w);
    assert_int_equal(w.queue.n, 0); /* the second is not over */
    assert_int_equal(journal_due(&w.j).us, 11 * SECOND);
    char want[64], *line = strstr(fd_bytes(&w.disk, "incr").p, "#S ");
    snprintf(want, sizeof(want), "#S %llu ", (unsigned long long)durable);
    assert_non_null(line);
    assert_memory_equal(line, want, strlen(want)); /* J2 */
    w.now.us = 11 * SECOND;
    flush(&w);
    assert_int_equal(w.queue.n, 1);
    w.now.us = 13 * SECOND;
    append(&w, "c");
    flush(&w);
    flush(&w);
    assert_int_equal(w.queue.n, 1); /* J1: never two in flight */
    assert_int_equal(w.j.delayed_syncs, 1);
    assert_int_equal(journal_stored(&w.j).n, 3);
    work(&w, 1);
    assert_int_equal(w.j.synced.n, 2); /* c was written after the sync was asked for */
    world_free(&w);
}

static void always_is_a_group_commit(void **state)
{
    (void)state;
    struct world w;
    world_start(&w, JOURNAL_ALWAYS);
    append(&w, "a");
    flush(&w);
    append(&w, "b");
    flush(&w);
    append(&w, "c");
    flush(&w);
    assert_int_equal(w.disk.writes, 1);
    assert_int_equal(w.queue.n, 1); /* SYNC of a */
    assert_int_equal(journal_stored(&w.j).n, 0); /* written is not enough */
    work(&w, 1);
    assert_int_equal(journal_stored(&w.j).n, 1);
    assert_int_equal(w.disk.writes, 2); /* b c */
    work(&w, 1);
    assert_int_equal(journal_stored(&w.j).n, 3);
    assert_int_equal(w.disk.writes, 2);
    world_free(&w);
}

/* So many records are appended, synced within 400 us, and answered. */
static void commit(struct world *w, unsigned records)
{
    for (unsigned i = 0; i < records; i++)
        append(w, "a");
    w->now.us += 200;
    flush(w);
    w->now.us += 400;
    work(w, 1);
}

/* What one that was waited for waits for in turn takes longer: the copies. */
static void a_wait_in_vain_is_not_tried_again_at_once(void **state)
{
    (void)state;
    struct world w;
    unsigned waits = 0;
    world_start(&w, JOURNAL_ALWAYS);
    for (int i = 0; i < 200; i++) { /* two groups: what one commit answers comes in the next one but one */
        commit(&w, 4);
        append(&w, "a");
        flush(&w);
        waits += w.queue.n == 0;
        if (w.queue.n == 0)
            w.now.us += 200;
        flush(&w);
        w.now.us += 400;
        work(&w, 1);
    }
    assert_in_range(waits, 1, 20);
    commit(&w, 4);
    for (int i = 0; i < 200; i++) /* they are all back at once */
        commit(&w, 4);
    append(&w, "a");
    flush(&w);
    assert_int_equal(w.queue.n, 0); /* it is worth it again */
    world_free(&w);
}

static void a_change_of_policy_keeps_the_order(void **state)
{
    (void)state;
    struct world w;
    world_start(&w, JOURNAL_ALWAYS);
    append_long(&w); /* which the log thread writes */
    flush(&w);
    journal_set_policy(&w.j, JOURNAL_NO);
    append(&w, "b");
    flush(&w);
    assert_int_equal(w.disk.writes, 0); /* b may not overtake a */
    work(&w, 1);
    assert_int_equal(w.disk.writes, 2);
    assert_int_equal(journal_stored(&w.j).n, 2);
    journal_set_policy(&w.j, JOURNAL_ALWAYS);
    assert_int_equal(journal_stored(&w.j).n, 0);
    work(&w, 9);
    flush(&w);
    work(&w, 9);
    assert_int_equal(journal_stored(&w.j).n, 2); /* what was only written is synced now */
    world_free(&w);
}

static void what_is_under_way_is_waited_for_and_no_time(void **state)
{
    (void)state;
    struct world w;
    world_start(&w, JOURNAL_ALWAYS);
    w.disk.space = 0;
    append(&w, "a");
    flush(&w);
    work(&w, 9);
    assert_int_equal(w.j.state, JOURNAL_FULL);
    assert_true(journal_due(&w.j).us > w.now.us);
    w.now = journal_due(&w.j);
    flush(&w); /* tried again: the log thread has it */
    assert_int_equal(journal_due(&w.j).us, MONO_NEVER.us);
    work(&w, 9);
    assert_true(journal_due(&w.j).us > w.now.us);
    world_free(&w);
}

static void a_full_disk_is_tried_again_where_it_broke_off(void **state)
{
    (void)state;
    for (int policy = JOURNAL_NO; policy <= JOURNAL_ALWAYS; policy++) {
        for (size_t space = 0; space < 60; space += 7) {
            struct world w, plenty;
            world_init(&w, (enum journal_policy)policy);
            world_init(&plenty, JOURNAL_NO);
            world_open_file(&w, HANDLE, "incr");
            world_open_file(&plenty, HANDLE, "incr");
            append(&plenty, "first");
            append(&plenty, "second");
            flush(&plenty);
            w.disk.space = space;
            append(&w, "first");
            flush(&w);
            work(&w, 9);
            bool was_full = space < strlen("#V 0 1 1 5 01234567\r\nfirst");
            assert_int_equal(w.j.state, was_full ? JOURNAL_FULL : JOURNAL_OK);
            assert_int_equal(journal_stored(&w.j).n, was_full ? 0 : 1);
            journal_set_policy(&w.j, JOURNAL_NO); /* no more syncs: the bytes can be compared */
            w.j.tell_durable = was_full && space > 0; /* its line may not go between the parts of a record */
            append(&w, "second");
            w.disk.space = SIZE_MAX;
            flush(&w);
            assert_int_equal(journal_stored(&w.j).n, was_full ? 0 : 2); /* not before the second is over */
            w.now = mono_earlier(journal_due(&w.j), mono_after(w.now, SECOND));
            flush(&w);
            work(&w, 9);
            assert_int_equal(w.j.state, JOURNAL_OK);
            assert_int_equal(journal_stored(&w.j).n, 2);
            struct slice got = fd_bytes(&w.disk, "incr"), want = fd_bytes(&plenty.disk, "incr");
            assert_int_equal(got.n, want.n);
            assert_memory_equal(got.p, want.p, want.n);
            world_free(&w);
            world_free(&plenty);
        }
    }
}

static void a_failed_write_or_sync_is_final(void **state)
{
    (void)state;
    for (size_t which = 1; which <= 2; which++) {
        struct world w;
        world_start(&w, JOURNAL_ALWAYS);
        w.disk.fail_at = which;
        append(&w, "a");
        flush(&w);
        work(&w, 9);
        assert_int_equal(w.j.state, JOURNAL_FAILED); /* J4 */
        assert_string_equal(w.j.failed_doing, which == 1 ? "write" : "fsync");
        assert_int_equal(w.j.failed_errno, 5);
        append(&w, "b");
        w.now.us += 100 * SECOND;
        size_t ops = w.disk.ops_n;
        flush(&w);
        work(&w, 9);
        assert_int_equal(w.disk.ops_n, ops);
        assert_int_equal(journal_stored(&w.j).n, 0);
        world_free(&w);
    }
}

static void records_before_the_switch_go_to_the_old_file(void **state)
{
    (void)state;
    for (int policy = JOURNAL_NO; policy <= JOURNAL_ALWAYS; policy++) {
        struct world w;
        world_init(&w, (enum journal_policy)policy);
        world_open_file(&w, HANDLE, "old");
        append(&w, "one");
        flush(&w);
        append(&w, "two");
        w.j.db = 5;
        world_open_file(&w, HANDLE_2, "new");
        assert_int_equal(w.j.db, 0);
        assert_false(journal_may_start(&w.j));
        append(&w, "three");
        for (int i = 0; i < 9; i++) {
            w.now.us += SECOND;
            flush(&w);
            work(&w, 1);
            /* J3: what the new file says of durability came after the old one's */
            if (strstr(fd_bytes(&w.disk, "new").p != NULL ? fd_bytes(&w.disk, "new").p : "", "#S ") != NULL)
                assert_int_equal(w.disk.inodes[0].synced, w.disk.inodes[0].n);
        }
        assert_int_equal(journal_stored(&w.j).n, 3);
        assert_non_null(strstr(fd_bytes(&w.disk, "old").p, "two"));
        assert_null(strstr(fd_bytes(&w.disk, "old").p, "three"));
        assert_non_null(strstr(fd_bytes(&w.disk, "new").p, "three"));
        assert_int_equal(w.disk.inodes[0].synced, w.disk.inodes[0].n);
        assert_int_equal(w.disk.handles[HANDLE], 0); /* closed */
        assert_true(journal_may_start(&w.j));
        world_free(&w);
    }
}

static void records_wait_for_the_first_file(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, JOURNAL_EVERYSEC);
    append(&w, "early");
    flush(&w);
    assert_int_equal(journal_stored(&w.j).n, 0);
    world_open_file(&w, HANDLE, "incr");
    flush(&w);
    assert_int_equal(journal_stored(&w.j).n, 1);
    world_free(&w);
}

static void appendonly_no_opens_every_gate(void **state)
{
    (void)state;
    struct world w;
    world_start(&w, JOURNAL_ALWAYS);
    append(&w, "a");
    flush(&w);
    journal_stop(&w.j);
    append(&w, "b");
    flush(&w);
    assert_int_equal(journal_stored(&w.j).n, 0);
    work(&w, 9);
    flush(&w);
    assert_int_equal(w.j.state, JOURNAL_OFF);
    assert_int_equal(journal_stored(&w.j).n, 2);
    work(&w, 9);
    assert_int_equal(w.disk.handles[HANDLE], 0);
    assert_null(strstr(fd_bytes(&w.disk, "incr").p, "b\r"));
    append(&w, "c");
    assert_int_equal(journal_stored(&w.j).n, 3);
    assert_int_equal(w.slot.at.seq, 3); /* dense also over what was not written */
    world_free(&w);
}

/* Whatever the trouble: a write or a sync that failed, or a full disk. */
static void switched_off_in_trouble_it_is_off(void **state)
{
    (void)state;
    for (size_t trouble = 0; trouble <= 2; trouble++) {
        struct world w;
        world_init(&w, JOURNAL_ALWAYS);
        world_open_file(&w, HANDLE, "incr");
        if (trouble == 0)
            w.disk.space = 3;
        w.disk.fail_at = trouble;
        append(&w, "a");
        flush(&w);
        journal_stop(&w.j);
        flush(&w);
        assert_int_not_equal(w.j.state, JOURNAL_OFF); /* its operations are under way */
        work(&w, 9);
        flush(&w);
        assert_int_equal(w.j.state, JOURNAL_OFF);
        assert_false(w.j.stopping);
        assert_int_equal(journal_stored(&w.j).n, 1);
        assert_int_equal(journal_bytes(&w.j), 0);
        work(&w, 9);
        assert_false(journal_has_handle(&w.j, HANDLE));
        assert_int_equal(w.disk.handles[HANDLE], 0);
        w.disk.space = SIZE_MAX;
        world_open_file(&w, HANDLE_2, "next"); /* and on again */
        append(&w, "b");
        flush(&w);
        work(&w, 9);
        assert_int_equal(w.j.state, JOURNAL_OK);
        assert_int_equal(journal_stored(&w.j).n, 2);
        assert_non_null(strstr(fd_bytes(&w.disk, "next").p, "b"));
        world_free(&w);
    }
}

static void a_stop_syncs_whatever_the_policy(void **state)
{
    (void)state;
    struct world w;
    world_start(&w, JOURNAL_NO);
    append(&w, "a");
    journal_sync_soon(&w.j);
    assert_false(journal_is_idle(&w.j));
    flush(&w);
    assert_false(journal_is_idle(&w.j));
    work(&w, 9);
    assert_true(journal_is_idle(&w.j));
    assert_int_equal(w.j.synced.n, 1);
    world_free(&w);
}

/* What is acknowledged before it is synced must not be taken for kept after the next start. */
static void always_ends_once_the_log_says_so(void **state)
{
    (void)state;
    struct world w;
    world_start(&w, JOURNAL_ALWAYS);
    journal_run(&w.j, &(struct run_note){5, 3, 2, false});
    append(&w, "a");
    flush(&w);
    work(&w, 9);
    assert_non_null(strstr(fd_bytes(&w.disk, "incr").p, "#R 5 3 2 1 "));
    journal_set_policy(&w.j, JOURNAL_EVERYSEC);
    append(&w, "b");
    flush(&w);
    assert_true(w.queue.n > 0);
    assert_true(journal_stored(&w.j).n < w.j.appended.n);
    work(&w, 9);
    assert_non_null(strstr(fd_bytes(&w.disk, "incr").p, "#R 5 3 2 0 "));
    assert_int_equal(journal_stored(&w.j).n, w.j.appended.n);
    append(&w, "c");
    flush(&w);
    assert_int_equal(journal_stored(&w.j).n, w.j.appended.n); /* everysec from here on */
    journal_set_policy(&w.j, JOURNAL_ALWAYS);
    world_open_file(&w, HANDLE_2, "incr2");
    append(&w, "d");
    flush(&w);
    work(&w, 9);
    assert_memory_equal(fd_bytes(&w.disk, "incr2").p, "#R 5 3 2 0 ", 11); /* not all of the run was */
    world_free(&w);
}

UNIT_TESTS("journal",
           TEST(under_no_and_everysec_a_gate_opens_after_the_write, "under no and everysec a gate opens after the write"),
           TEST(everysec_syncs_once_a_second_and_tells_it, "everysec syncs once a second, never twice at a time, and tells it (J1, J2)"),
           TEST(always_is_a_group_commit, "always is a group commit: what gathers during a sync is the next batch"),
           TEST(a_wait_in_vain_is_not_tried_again_at_once, "after a wait in vain more and more commits go without one"),
           TEST(a_change_of_policy_keeps_the_order, "a change of policy keeps the order of the bytes"),
           TEST(what_is_under_way_is_waited_for_and_no_time, "while a full disk is tried again its answer is waited for, not a time"),
           TEST(a_full_disk_is_tried_again_where_it_broke_off, "a full disk is tried again where it broke off, after a second"),
           TEST(a_failed_write_or_sync_is_final, "a failed write or sync is final (J4)"),
           TEST(records_before_the_switch_go_to_the_old_file, "at a switch the old file gets what came before, and is synced first (J3)"),
           TEST(records_wait_for_the_first_file, "records made before the first file is open wait for it"),
           TEST(appendonly_no_opens_every_gate, "appendonly no stores what there is, then opens every gate"),
           TEST(switched_off_in_trouble_it_is_off, "switched off in trouble with the disk it is off, and may begin anew"),
           TEST(a_stop_syncs_whatever_the_policy, "a stop syncs whatever the policy"),
           TEST(always_ends_once_the_log_says_so, "each file tells its run, and `always` ends only once the log says so (replication 22)"))

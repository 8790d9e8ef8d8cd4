/* SPDX-License-Identifier: BSD-3-Clause */
#include "persist/aof.h"
#include "persist/journal.h"
#include "persist/record.h"

#include "base/rng.h"
#include "tests/lib/false_disk.h"
#include "tests/lib/load.h"
#include "tests/lib/unit.h"

enum { RECORDS = 100, SECOND = 1000 * 1000, HANDLE = 1, HANDLE_2 = 2 };

/* A log as a journal wrote it, with where each record ends and how far was durable. */
struct log {
    struct false_disk disk;
    struct journal j;
    struct lineage slot;
    struct mono now;
    size_t ends[2 * RECORDS + 1], ends_n; /* of the record's bytes in its file */
    size_t file_of[2 * RECORDS + 1];
    char *text[2 * RECORDS + 1];          /* what is loaded once so many records are */
};

static void put_words(struct chain *c, const char *words)
{
    char copy[4096], *argv[16];
    size_t argc = 0;
    snprintf(copy, sizeof(copy), "%s", words);
    for (char *w = strtok(copy, " "); w != NULL; w = strtok(NULL, " "))
        argv[argc++] = w;
    char head[64];
    snprintf(head, sizeof(head), "*%zu\r\n", argc);
    chain_put(c, slice_str(head));
    for (size_t i = 0; i < argc; i++) {
        snprintf(head, sizeof(head), "$%zu\r\n", strlen(argv[i]));
        chain_put(c, slice_str(head));
        chain_put(c, slice_str(argv[i]));
        chain_put(c, SLICE("\r\n"));
    }
}

static void log_flush(struct log *l)
{
    struct disk_ops out = {0};
    do {
        vec_clear(&out);
        journal_flush(&l->j, l->now, &out);
        for (size_t i = 0; i < out.n; i++) {
            struct disk_done done = fd_perform(&l->disk, &out.at[i]);
            journal_done(&l->j, &done, l->now);
        }
    } while (out.n > 0);
    vec_free(&out);
}

/* Record i: a SET, in another database now and then, or a transaction, or one that mimics our lines. */
static void log_record(struct log *l, size_t i, size_t file)
{
    char a[200], b[200], text[500];
    struct chain body = {0};
    unsigned db = (unsigned)(i / 10 % 3);
    if (db != l->j.db) {
        snprintf(a, sizeof(a), "SELECT %u", db);
        put_words(&body, a);
    }
    snprintf(a, sizeof(a), "SET key:%zu value:%zu PXAT 17000000%05zu", i, i * 7, i);
    snprintf(b, sizeof(b), i % 7 == 3 ? "APPEND fake #S#V#S%zu" : "DEL key:%zu", i / 2);
    bool is_multi = i % 5 == 4 || i % 7 == 3;
    if (is_multi)
        put_words(&body, "MULTI");
    put_words(&body, a);
    if (is_multi) {
        put_words(&body, b);
        put_words(&body, "EXEC");
    }
    journal_append(&l->j, SLOT_ALONE, &body, db);
    chain_free(&body, NULL);
    int n = snprintf(text, sizeof(text), "%u %s\n", db, a);
    if (is_multi)
        snprintf(text + n, sizeof(text) - (size_t)n, "%u %s\n", db, b);
    const char *before = l->text[l->ends_n];
    l->ends_n++;
    l->text[l->ends_n] = malloc(strlen(before) + strlen(text) + 1);
    sprintf(l->text[l->ends_n], "%s%s", before, text);
    log_flush(l);
    l->file_of[l->ends_n] = file;
    l->ends[l->ends_n] = l->disk.inodes[file].n;
}

static void log_start(struct log *l, enum journal_policy policy)
{
    *l = (struct log){.now = {10 * SECOND}};
    l->disk.space = SIZE_MAX;
    l->text[0] = calloc(1, 1);
    l->slot = lineage_alone();
    journal_init(&l->j, policy, false, &l->slot, 1, 0);
    l->disk.handles[HANDLE] = fd_create(&l->disk, "incr.1") + 1;
    journal_start(&l->j, HANDLE, "incr.1", 0);
}

/* every: so many records between two syncs under everysec. */
static void log_make(struct log *l, enum journal_policy policy, size_t every)
{
    log_start(l, policy);
    for (size_t i = 0; i < RECORDS; i++) {
        if (i % every == every - 1)
            l->now.us += SECOND;
        log_record(l, i, 0);
    }
}

static void log_free(struct log *l)
{
    for (size_t i = 0; i <= l->ends_n; i++)
        free(l->text[i]);
    journal_free(&l->j);
    fd_free(&l->disk);
}

static struct loaded log_load(struct log *l, size_t piece, size_t batch_max)
{
    struct load_file files[2] = {{"incr.1", false, fd_bytes(&l->disk, "incr.1")},
                                 {"incr.2", false, fd_bytes(&l->disk, "incr.2")}};
    return load_files(files, l->disk.inodes_n, piece, batch_max);
}

/* How many records were loaded, whole and right; fails the test if it is none of the prefixes. */
static size_t records_of(const struct log *l, const struct loaded *got)
{
    assert_true(got->r.alone.at.seq <= l->ends_n);
    assert_string_equal(got->text, l->text[got->r.alone.at.seq]);
    return got->r.alone.at.seq;
}

static size_t greatest_durable(struct slice bytes)
{
    size_t best = 0;
    for (size_t i = 0; i + 3 < bytes.n; i++) {
        const char *end = memchr(bytes.p + i, '\n', bytes.n - i);
        struct note n;
        if (memcmp(bytes.p + i, "#S ", 3) == 0 && end != NULL &&
            note_get(slice_of(bytes.p + i, (size_t)(end - bytes.p) - i + 1), &n) == ERR_OK && n.offset > best)
            best = n.offset;
    }
    return best;
}

static void a_log_is_read_back_in_any_pieces(void **state)
{
    (void)state;
    static const size_t pieces[] = {1, 2, 3, 7, 50, 1000, 1000000};
    for (int policy = JOURNAL_NO; policy <= JOURNAL_ALWAYS; policy++) {
        struct log l;
        log_make(&l, (enum journal_policy)policy, 10);
        for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
            struct loaded got = log_load(&l, pieces[i], 1 + i * 5);
            assert_int_equal(got.verdict, AOF_WHOLE);
            assert_int_equal(records_of(&l, &got), RECORDS);
            assert_int_equal(got.r.db, l.j.db);
            loaded_free(&got);
        }
        log_free(&l);
    }
}

/* What may be said of a file with one bad place, and nothing else. */
static void judge(struct log *l, struct loaded *got, size_t durable, size_t size, size_t last_end)
{
    size_t records = records_of(l, got);
    size_t at = got->r.bad_offset;
    char number[40];
    switch (got->verdict) {
    case AOF_WHOLE: break;
    case AOF_CUT:
        assert_true(at >= durable); /* A3 */
        assert_int_equal(got->r.bad_bytes, size - at);
        snprintf(number, sizeof(number), " %zu bytes", size - at);
        assert_non_null(strstr(got->r.text, number));
        break;
    case AOF_REFUSED:
        assert_true(at < durable);
        snprintf(number, sizeof(number), "at byte %zu", at);
        assert_non_null(strstr(got->r.text, number));
        assert_non_null(strstr(got->r.text, "incr.1"));
        assert_non_null(strstr(got->r.text, "vong-check-aof --fix"));
        break;
    }
    if (got->verdict != AOF_WHOLE)
        assert_true(at >= l->ends[records]); /* everything before the bad place was handed out */
    assert_true(l->ends[records] <= last_end);
}

static void each_byte_is_flipped_in_turn(void **state)
{
    (void)state;
    size_t whole = 0, cut = 0, refused = 0;
    for (int policy = JOURNAL_NO; policy <= JOURNAL_ALWAYS; policy++) {
        struct log l;
        log_make(&l, (enum journal_policy)policy, 10);
        struct fd_inode *f = &l.disk.inodes[0];
        for (size_t i = 0; i < f->n; i += SPARE_STEP) {
            static const unsigned char masks[] = {0x01, 0x20};
            for (size_t m = 0; m < sizeof(masks); m++) {
                f->p[i] ^= (char)masks[m];
                size_t durable = greatest_durable(slice_of(f->p, f->n));
                struct loaded got = log_load(&l, SIZE_MAX / 4, 32);
                judge(&l, &got, durable, f->n, f->n);
                if (got.verdict == AOF_WHOLE) /* an annotation became a comment: its command is still there */
                    assert_int_equal(got.r.alone.at.seq, RECORDS);
                whole += got.verdict == AOF_WHOLE;
                cut += got.verdict == AOF_CUT;
                refused += got.verdict == AOF_REFUSED;
                loaded_free(&got);
                f->p[i] ^= (char)masks[m];
            }
        }
        log_free(&l);
    }
    assert_true(whole > 0 && cut > SPARE(1000) && refused > SPARE(1000));
    print_message("# flips: %zu whole, %zu cut, %zu refused\n", whole, cut, refused);
}

static void the_file_is_cut_at_each_byte(void **state)
{
    (void)state;
    for (int policy = JOURNAL_NO; policy <= JOURNAL_ALWAYS; policy++) {
        struct log l;
        log_make(&l, (enum journal_policy)policy, 10);
        struct fd_inode *f = &l.disk.inodes[0];
        size_t records = RECORDS;
        for (size_t n = f->n - f->n % SPARE_STEP; n > 0;) {
            f->n = n -= SPARE_STEP;
            while (l.ends[records] > n)
                records--;
            struct loaded got = log_load(&l, 64, 3);
            assert_int_equal(records_of(&l, &got), records);
            assert_int_not_equal(got.verdict, AOF_REFUSED); /* nothing is left that says it was durable */
            judge(&l, &got, greatest_durable(slice_of(f->p, n)), n, n);
            loaded_free(&got);
        }
        log_free(&l);
    }
}

static void good_records_behind_a_torn_one_are_cut_too(void **state)
{
    (void)state;
    struct log l;
    log_make(&l, JOURNAL_EVERYSEC, 60); /* one sync at the first record, one at the 60th */
    struct fd_inode *f = &l.disk.inodes[0];
    memset(f->p + l.ends[80] + 3, 0, 20); /* a page that did not reach the disk */
    struct loaded got = log_load(&l, 100, 32);
    assert_int_equal(got.verdict, AOF_CUT);
    assert_int_equal(records_of(&l, &got), 80);
    assert_int_equal(got.r.bad_offset, l.ends[80]);
    loaded_free(&got);
    memset(f->p + l.ends[30] + 3, 0, 20);
    got = log_load(&l, 100, 32);
    assert_int_equal(got.verdict, AOF_REFUSED);
    assert_int_equal(records_of(&l, &got), 30);
    loaded_free(&got);
    log_free(&l);
}

static void a_value_that_looks_like_a_durable_line_is_none(void **state)
{
    (void)state;
    struct log l;
    log_start(&l, JOURNAL_NO);
    for (size_t i = 0; i < 5; i++)
        log_record(&l, i, 0);
    size_t torn = l.disk.inodes[0].n;
    fd_add(&l.disk, 0, "garbage\n", 8);
    struct chain fake = {0}, body = {0}, record = {0};
    note_put_durable(&fake, torn + 1);
    chain_put(&body, SLICE("*1\r\n$40\r\n\n"));
    chain_append(&body, &fake);
    record_put(&record, 0, (struct position){1, 7}, &body);
    char text[500];
    size_t n = chain_copy(&record, text, sizeof(text));
    fd_add(&l.disk, 0, text, n);
    struct loaded got = log_load(&l, 1000, 32);
    assert_int_equal(got.verdict, AOF_CUT);
    assert_int_equal(got.r.bad_offset, torn);
    loaded_free(&got);
    chain_free(&record, NULL);
    chain_free(&body, NULL);
    log_free(&l);
}

/* Two increments with a switch between; the power is cut at any moment after it. */
static void log_with_a_switch(struct log *l, enum journal_policy policy, size_t before, size_t after)
{
    log_start(l, policy);
    for (size_t i = 0; i < before; i++)
        log_record(l, i, 0);
    l->disk.handles[HANDLE_2] = fd_create(&l->disk, "incr.2") + 1;
    journal_start(&l->j, HANDLE_2, "incr.2", 0);
    for (size_t i = before; i < before + after; i++)
        log_record(l, i, 1);
}

static void the_second_file_says_that_the_first_was_durable(void **state)
{
    (void)state;
    for (int policy = JOURNAL_NO; policy <= JOURNAL_ALWAYS; policy++) {
        struct log l;
        log_with_a_switch(&l, (enum journal_policy)policy, 20, 20);
        struct fd_inode *f = &l.disk.inodes[0];
        for (size_t i = 0; i < f->n; i += SPARE_STEP) {
            f->p[i] ^= 0x10;
            struct loaded got = log_load(&l, 1000, 32);
            size_t records = records_of(&l, &got);
            assert_true(got.verdict == AOF_REFUSED || (got.verdict == AOF_WHOLE && records == 40));
            loaded_free(&got);
            f->p[i] ^= 0x10;
        }
        size_t n = f->n;
        for (f->n -= f->n % SPARE_STEP; f->n > 0;) { /* cut at any byte: also at a record's end, where the next file's seq tells it */
            f->n -= SPARE_STEP;
            struct loaded got = log_load(&l, 1000, 32);
            records_of(&l, &got);
            assert_int_equal(got.verdict, AOF_REFUSED);
            loaded_free(&got);
        }
        f->n = n;
        log_free(&l);
    }
}

static void a_power_cut_around_a_switch_costs_the_tail_only(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 11);
    size_t cuts = 0;
    for (int round = 0; round < SPARE(3000); round++) {
        struct log l;
        log_start(&l, JOURNAL_EVERYSEC);
        struct disk_ops queue = {0};
        size_t synced = 0, switch_at = 1 + rng_below(&rng, 30), stop_at = switch_at + rng_below(&rng, 10);
        for (size_t i = 0; i < stop_at; i++) {
            if (i == switch_at) {
                l.disk.handles[HANDLE_2] = fd_create(&l.disk, "incr.2") + 1;
                journal_start(&l.j, HANDLE_2, "incr.2", 0);
            }
            struct chain body = {0};
            put_words(&body, "SET a b");
            journal_append(&l.j, SLOT_ALONE, &body, 0);
            chain_free(&body, NULL);
            l.now.us += SECOND / 4;
            size_t from = queue.n;
            journal_flush(&l.j, l.now, &queue);
            for (size_t k = from; k < queue.n; k++) { /* the data thread's own */
                if (!queue.at[k].at_once)
                    continue;
                struct disk_done done = fd_perform(&l.disk, &queue.at[k]);
                memmove(queue.at + k, queue.at + k + 1, (queue.n - k - 1) * sizeof(queue.at[0]));
                queue.n--;
                k--;
                journal_done(&l.j, &done, l.now);
            }
            while (queue.n > 0 && rng_below(&rng, 3) == 0) { /* the log thread is slow */
                struct disk_done done = fd_perform(&l.disk, &queue.at[0]);
                memmove(queue.at, queue.at + 1, --queue.n * sizeof(queue.at[0]));
                journal_done(&l.j, &done, l.now);
            }
            synced = l.j.synced.n;
        }
        for (size_t i = 0; i < queue.n; i++)
            chain_free(&queue.at[i].bytes, NULL);
        vec_free(&queue);
        l.disk.lasting = l.disk.names; /* the names were made to last before the switch */
        fd_crash(&l.disk, &rng);
        struct loaded got = log_load(&l, 1000, 32);
        assert_int_not_equal(got.verdict, AOF_REFUSED);
        assert_true(got.r.alone.at.seq >= synced);
        cuts += got.verdict == AOF_CUT;
        loaded_free(&got);
        log_free(&l);
    }
    assert_true(cuts > SPARE(100));
}

static void a_disk_that_was_full_leaves_no_trace(void **state)
{
    (void)state;
    for (int policy = JOURNAL_NO; policy <= JOURNAL_ALWAYS; policy++) {
        for (size_t space = 0; space < 1500; space += 13 * SPARE_STEP) {
            struct log l;
            log_start(&l, (enum journal_policy)policy);
            l.disk.space = space;
            for (size_t i = 0; i < 20; i++) {
                if (l.j.state == JOURNAL_FULL && i % 5 == 0) {
                    l.disk.space = i == 10 ? SIZE_MAX : 7; /* a little room, not enough, then plenty */
                    l.now.us += 2 * SECOND;
                }
                log_record(&l, i, 0);
            }
            l.disk.space = SIZE_MAX;
            l.now.us += 2 * SECOND;
            log_flush(&l);
            l.now.us += 2 * SECOND;
            log_flush(&l);
            struct loaded got = log_load(&l, 1000, 32);
            assert_int_equal(got.verdict, AOF_WHOLE);
            assert_int_equal(records_of(&l, &got), 20);
            loaded_free(&got);
            log_free(&l);
        }
    }
}

/* --------------------------------------------------------------- bases, and Redis' own files */

static struct slice base_make(char *to, size_t to_n, size_t chunks)
{
    struct chain c = {0};
    note_put_base(&c, 0, (struct position){1, 500});
    for (size_t i = 0; i < chunks; i++) {
        struct chain body = {0};
        char words[100];
        snprintf(words, sizeof(words), "SET base:%zu value:%zu", i, i);
        if (i == 2)
            put_words(&body, "SELECT 2");
        put_words(&body, words);
        put_words(&body, words);
        note_put_chunk(&c, c.n, &body);
        chain_free(&body, NULL);
    }
    note_put_end(&c, c.n);
    size_t n = chain_copy(&c, to, to_n);
    chain_free(&c, NULL);
    return slice_of(to, n);
}

static void any_bad_byte_of_a_base_is_damage(void **state)
{
    (void)state;
    char bytes[4096];
    struct slice base = base_make(bytes, sizeof(bytes), 5);
    struct load_file file = {"base.1", true, base};
    struct loaded good = load_files(&file, 1, 10, 2);
    assert_int_equal(good.verdict, AOF_WHOLE);
    assert_int_equal(good.r.commands_n, 10);
    assert_int_equal(good.r.alone.at.seq, 500);
    for (size_t i = 0; i < 2 * base.n; i++) {
        if (i < base.n)
            bytes[i] ^= 0x10;
        else
            file.bytes.n = i - base.n;
        struct loaded got = load_files(&file, 1, 1000, 100);
        if (file.bytes.n > 0 && !(i == 1))
            assert_int_equal(got.verdict, AOF_REFUSED);
        assert_memory_equal(got.text, good.text, got.n); /* a beginning of what is right */
        loaded_free(&got);
        if (i < base.n)
            bytes[i] ^= 0x10;
    }
    loaded_free(&good);
}

static struct loaded load_text(const char *text, bool is_base)
{
    struct load_file file = {"file", is_base, slice_str(text)};
    return load_files(&file, 1, 5, 100);
}

static void half_a_line_of_ours_is_no_comment(void **state)
{
    (void)state;
    struct chain log = {0}, body = {0};
    put_words(&body, "SET k 1");
    record_put(&log, 0, (struct position){1, 1}, &body);
    chain_put(&log, SLICE("#V\0\0\0\0\0\0\0\0 8 1294554b\r\n*2\r\n$4\r\nINCR\r\n$1\r\nk\r\n"));
    char bytes[256];
    size_t n = chain_copy(&log, bytes, sizeof(bytes));
    struct load_file file = {"x.1.incr.aof", false, slice_of(bytes, n)};
    struct loaded l = load_files(&file, 1, 7, 8);
    assert_int_equal(l.verdict, AOF_CUT);
    assert_string_equal(l.text, "0 SET k 1\n");
    loaded_free(&l);
    chain_free(&log, NULL);
    chain_free(&body, NULL);
}

static void a_file_of_redis_is_read(void **state)
{
    (void)state;
    struct loaded got = load_text("*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n#TS:1700000000\r\n"
                                  "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n*1\r\n$5\r\nMULTI\r\n#TS:1\r\n"
                                  "*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n*1\r\n$4\r\nEXEC\r\n", false);
    assert_int_equal(got.verdict, AOF_WHOLE);
    assert_string_equal(got.text, "3 SET k v\n3 DEL k\n");
    assert_int_equal(got.r.alone.at.seq, 2); /* SELECT is no effect */
    assert_int_equal(got.r.db, 3);
    loaded_free(&got);
}

static void a_torn_file_of_redis_is_cut_at_its_last_whole_command(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t at;
    } rows[] = {
        {"*1\r\n$3\r\nONE\r\n*1\r\n$3\r\nTW", 13},
        {"*1\r\n$3\r\nONE\r\n*1\r\n$300\r\nTW", 13},
        {"*1\r\n$3\r\nONE\r\n*", 13},
        {"*1\r\n$3\r\nONE\r\n*1\r\n$5\r\nMULTI\r\n*1\r\n$3\r\nTWO\r\n", 13}, /* EXEC is missing */
        {"*1\r\n$3\r\nONE\r\n#TS:17", 13},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct loaded got = load_text(rows[i].text, false);
        assert_int_equal(got.verdict, AOF_CUT);
        assert_int_equal(got.r.bad_offset, rows[i].at);
        assert_string_equal(got.text, "0 ONE\n");
        loaded_free(&got);
    }
}

static void what_is_no_log_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_base;
        const char *says;
    } rows[] = {
        {"*1\r\n$3\r\nONE\r\nhello", false, "file is damaged at byte 13"},
        {"*1\r\n$3\r\nONE\r\n*0\r\n", false, "damaged at byte 13"},
        {"*1\r\n$3\r\nONEXX*1\r\n$3\r\nTWO\r\n", false, "damaged at byte 0"},
        {"*1\r\n$3\r\nONE\r\n*1\r\n$-1\r\n", false, "damaged at byte 13"},
        {"REDIS0010\xfa", true, "CONFIG SET aof-use-rdb-preamble no"},
        {"*2\r\n$6\r\nSELECT\r\n$2\r\n16\r\n", false, "`databases`"},
        {"*1\r\n$3\r\nON", true, "damaged at byte 0"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct loaded got = load_text(rows[i].text, rows[i].is_base);
        assert_int_equal(got.verdict, AOF_REFUSED);
        assert_non_null(strstr(got.r.text, rows[i].says));
        assert_non_null(strstr(got.r.text, "dir/file"));
        loaded_free(&got);
    }
}

static void records_missing_behind_a_base_are_damage(void **state)
{
    (void)state;
    char base_bytes[4096], text[300];
    struct slice base = base_make(base_bytes, sizeof(base_bytes), 1);
    for (uint64_t seq = 499; seq <= 503; seq++) {
        struct chain body = {0}, c = {0};
        put_words(&body, "SET a b");
        record_put(&c, 0, (struct position){1, seq}, &body);
        size_t n = chain_copy(&c, text, sizeof(text));
        struct load_file files[] = {{"base", true, base}, {"incr", false, slice_of(text, n)}};
        struct loaded got = load_files(files, 2, 100, 100);
        assert_int_equal(got.verdict, seq == 501 ? AOF_WHOLE : AOF_REFUSED);
        loaded_free(&got);
        chain_free(&c, NULL);
        chain_free(&body, NULL);
    }
}

UNIT_TESTS("aof_load",
           TEST(a_log_is_read_back_in_any_pieces, "a log is read back whole, however its bytes come"),
           TEST(each_byte_is_flipped_in_turn, "each byte of 100 records flipped: whole, a told cut or a refusal, never a wrong value (A1)"),
           TEST(the_file_is_cut_at_each_byte, "the file cut at each byte: all whole records are loaded, the rest is told (A1)"),
           TEST(good_records_behind_a_torn_one_are_cut_too, "good records behind a torn one are cut too; before the last #S nothing is (A3)"),
           TEST(a_value_that_looks_like_a_durable_line_is_none, "a value that looks like a #S line does not make a torn tail damage"),
           TEST(a_disk_that_was_full_leaves_no_trace, "a log whose disk was full on the way is whole"),
           TEST(the_second_file_says_that_the_first_was_durable, "after a switch a bad byte of the older increment is damage (J3, A3)"),
           TEST(a_power_cut_around_a_switch_costs_the_tail_only, "a power cut around a switch costs unsynced records only"),
           TEST(any_bad_byte_of_a_base_is_damage, "any bad or missing byte of a base is damage"),
           TEST(half_a_line_of_ours_is_no_comment, "half a line of ours is no comment: what is behind it is not let in"),
           TEST(a_file_of_redis_is_read, "a file of Redis is read: SELECT, MULTI and comments"),
           TEST(a_torn_file_of_redis_is_cut_at_its_last_whole_command, "a torn file of Redis is cut behind its last whole command or transaction"),
           TEST(what_is_no_log_is_refused, "what is no log is refused with file, offset and remedy"),
           TEST(records_missing_behind_a_base_are_damage, "records that are missing or there twice behind a base are damage (A2)"))

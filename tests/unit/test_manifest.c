/* SPDX-License-Identifier: BSD-3-Clause */
#include "persist/manifest.h"
#include "persist/startup.h"

#include <stdio.h>

#include "tests/lib/false_disk.h"
#include "tests/lib/unit.h"

static const struct log_names names = {"appendonlydir", "appendonly.aof"};

static void text_of(const struct manifest *m, char *to, size_t to_n)
{
    struct chain c = {0};
    manifest_put(m, &c);
    size_t n = chain_copy(&c, to, to_n - 1);
    to[n] = '\0';
    chain_free(&c, NULL);
}

static void a_manifest_comes_back(void **state)
{
    (void)state;
    struct log_names odd = {"dir", "my \"log\"\\\x01.aof"};
    for (int i = 0; i < 2; i++) {
        const struct log_names *n = i == 0 ? &names : &odd;
        struct manifest m = {0}, back;
        char text[2048], why[128];
        manifest_add_increment(&m, n, 4);
        manifest_add_increment(&m, n, 5);
        manifest_set_base(&m, n, 3, 12345);
        text_of(&m, text, sizeof(text));
        assert_int_equal(manifest_get(&back, slice_str(text), why, sizeof(why)), ERR_OK);
        assert_int_equal(back.files.n, 3);
        assert_true(back.base_is_sized && back.base_bytes == 12345);
        assert_string_equal(manifest_base(&back)->name, m.files.at[0].name);
        assert_int_equal(manifest_last_seq(&back, 'i'), 5);
        if (i == 0)
            assert_non_null(strstr(text, "\nfile appendonly.aof.3.base.aof seq 3 type b\n"
                                         "file appendonly.aof.4.incr.aof seq 4 type i\n"));
        manifest_free(&back);
        /* any flipped byte is found out, but for one that makes the first line a comment */
        for (size_t k = 0; k < strlen(text); k++) {
            text[k] ^= 1;
            enum err err = manifest_get(&back, slice_str(text), why, sizeof(why));
            assert_true(err == ERR_SYNTAX || (err == ERR_OK && (k == 1 || k == 2) && !back.base_is_sized));
            manifest_free(&back);
            text[k] ^= 1;
        }
        manifest_free(&m);
    }
}

static void manifests_of_redis_are_read_and_bad_ones_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says; /* NULL: good */
    } rows[] = {
        {"file appendonly.aof.1.base.aof seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n", NULL},
        {"# a comment\nfile a seq 1 type i other 5\n", NULL},
        {"seq 2 type h file \"a b\"\n", NULL},
        {"", "names no file"},
        {"file a seq 1 type i", "does not end"},
        {"file a seq 1\n", "line 1"},
        {"file a seq 1 type\n", "line 1"},
        {"file a seq x type i\n", "seq is no number"},
        {"file a seq 1 type q\n", "type is none"},
        {"file a/b seq 1 type i\n", "plain"},
        {"file \"a seq 1 type i\n", "quotes"},
        {"file a seq 1 type b\nfile b seq 2 type b\n", "line 2: it names two bases"},
        {"file a seq 2 type i\nfile b seq 2 type i\n", "line 2: its increments"},
        {"#M 1 00000000\nfile a seq 2 type i\n", "checksum"},
        {"#M x\nfile a seq 2 type i\n", "not well-formed"},
        {"\nfile a seq 1 type i\n", "line 1"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct manifest m;
        char why[128] = "";
        enum err err = manifest_get(&m, slice_str(rows[i].text), why, sizeof(why));
        assert_int_equal(err, rows[i].says == NULL ? ERR_OK : ERR_SYNTAX);
        if (rows[i].says != NULL)
            assert_non_null(strstr(why, rows[i].says));
        manifest_free(&m);
    }
}

static void run_steps(struct steps *s, struct false_disk *d, size_t at_most)
{
    struct disk_ops out = {0};
    for (size_t i = 0; i < at_most && !steps_idle(s); i++) {
        vec_clear(&out);
        steps_run(s, &out);
        struct disk_done done = fd_perform(d, &out.at[0]);
        steps_done(s, &done);
    }
    vec_free(&out);
}

/* A crash after each number of operations of a switch: one whole manifest is there. */
static void a_switch_of_manifests_survives_a_crash_anywhere(void **state)
{
    (void)state;
    struct manifest before = {0}, after = {0};
    manifest_add_increment(&before, &names, 1);
    manifest_add_increment(&after, &names, 1);
    manifest_add_increment(&after, &names, 2);
    size_t olds = 0, news = 0;
    for (size_t crash_at = 0; crash_at <= 14; crash_at++) {
        for (int seed = 0; seed < 20; seed++) {
            struct false_disk d = {.space = SIZE_MAX};
            struct steps s = {0};
            manifest_steps(&before, &names, &s, 0);
            run_steps(&s, &d, 99);
            manifest_steps(&after, &names, &s, 0);
            run_steps(&s, &d, crash_at);
            struct rng rng;
            rng_seed(&rng, (uint64_t)seed);
            fd_crash(&d, &rng);
            struct manifest m;
            char why[128];
            struct slice text = fd_bytes(&d, "appendonlydir/appendonly.aof.manifest");
            assert_int_equal(manifest_get(&m, text, why, sizeof(why)), ERR_OK);
            olds += m.files.n == 1;
            news += m.files.n == 2;
            if (crash_at >= 8)
                assert_int_equal(m.files.n, 2);
            manifest_free(&m);
            steps_free(&s);
            fd_free(&d);
        }
    }
    assert_true(olds > 0 && news > 0);
    manifest_free(&before);
    manifest_free(&after);
}

static void a_failed_step_drops_the_rest_and_is_told(void **state)
{
    (void)state;
    for (size_t fail = 2; fail <= 7; fail++) {
        struct manifest m = {0};
        manifest_add_increment(&m, &names, 1);
        struct false_disk d = {.space = SIZE_MAX, .fail_at = fail};
        struct steps s = {0};
        manifest_steps(&m, &names, &s, 3);
        run_steps(&s, &d, 99);
        bool closes = fail == 5; /* a failing CLOSE stops nothing */
        assert_true(steps_idle(&s));
        assert_true(closes == (s.failed == NULL));
        assert_int_equal(d.handles[3], 0);
        if (fail < 6)
            assert_true(closes == (fd_find(&d.names, "appendonlydir/appendonly.aof.manifest") != NULL));
        if (!closes)
            assert_int_equal(s.system_errno, 5);
        steps_forgive(&s);
        manifest_steps(&m, &names, &s, 3);
        run_steps(&s, &d, 99);
        assert_null(s.failed);
        assert_true(fd_bytes(&d, "appendonlydir/appendonly.aof.manifest").n > 0);
        steps_free(&s);
        fd_free(&d);
        manifest_free(&m);
    }
}

/* ------------------------------------------------------------------ start-up */

static struct startup_file file_of(const char *name, uint64_t size)
{
    return (struct startup_file){slice_str(name), size};
}

static void a_first_start_makes_an_increment_and_a_manifest(void **state)
{
    (void)state;
    struct startup s;
    struct startup_file strays[] = {file_of("appendonly.aof.1.incr.aof", 0), file_of("temp-appendonly.aof.manifest", 9),
                                    file_of("notes.txt", 5), file_of("appendonly.aof.x.incr.aof", 5)};
    struct startup_found found = {.files = strays, .files_n = 4};
    assert_int_equal(startup_plan(&s, &names, &found), ERR_OK);
    assert_int_equal(s.reads.n, 0);
    assert_int_equal(s.stray.n, 2);
    struct false_disk d = {.space = SIZE_MAX};
    fd_create(&d, "appendonlydir/notes.txt");
    fd_add(&d, fd_create(&d, "appendonlydir/temp-appendonly.aof.manifest"), "old", 3);
    struct steps steps = {0};
    startup_finish(&s, &(struct startup_end){0}, &steps);
    run_steps(&steps, &d, 99);
    assert_null(steps.failed);
    assert_string_equal(s.append_path, "appendonlydir/appendonly.aof.1.incr.aof");
    assert_int_not_equal(d.handles[s.append_handle], 0);
    fd_crash(&d, NULL);
    struct slice text = fd_bytes(&d, "appendonlydir/appendonly.aof.manifest");
    assert_true(text.n > 0 && memcmp(text.p, "#M 0 ", 5) == 0);
    assert_int_equal(d.names.n, 3);
    steps_free(&steps);
    fd_free(&d);
    startup_free(&s);
}

static const char *two_increments = "file appendonly.aof.2.base.aof seq 2 type b\n"
                                    "file appendonly.aof.1.base.aof seq 1 type h\n"
                                    "file appendonly.aof.4.incr.aof seq 4 type i\n"
                                    "file appendonly.aof.5.incr.aof seq 5 type i\n";

static void a_start_cuts_syncs_and_goes_on_in_the_last_increment(void **state)
{
    (void)state;
    struct startup s;
    struct startup_file files[] = {file_of("appendonly.aof.2.base.aof", 10), file_of("appendonly.aof.1.base.aof", 11),
                                   file_of("appendonly.aof.4.incr.aof", 12), file_of("appendonly.aof.5.incr.aof", 13)};
    struct startup_found found = {.files = files, .files_n = 4, .has_manifest = true, .manifest = slice_str(two_increments)};
    assert_int_equal(startup_plan(&s, &names, &found), ERR_OK);
    assert_int_equal(s.reads.n, 3);
    assert_int_equal(s.bytes, 35);
    assert_true(s.reads.at[0].is_base && !s.reads.at[1].is_base);
    struct false_disk d = {.space = SIZE_MAX};
    char path[DISK_NAME_BYTES];
    for (size_t i = 0; i < 4; i++) {
        snprintf(path, sizeof(path), "appendonlydir/%s", files[i].name.p);
        fd_add(&d, fd_create(&d, path), "0123456789abcdef", files[i].size);
    }
    struct steps steps = {0};
    startup_finish(&s, &(struct startup_end){.is_cut = true, .cut_file = 1, .cut_offset = 7}, &steps);
    run_steps(&steps, &d, 99);
    assert_null(steps.failed);
    fd_crash(&d, NULL);
    assert_int_equal(fd_bytes(&d, "appendonlydir/appendonly.aof.2.base.aof").n, 10);
    assert_int_equal(fd_bytes(&d, "appendonlydir/appendonly.aof.4.incr.aof").n, 7);
    assert_int_equal(fd_bytes(&d, "appendonlydir/appendonly.aof.5.incr.aof").n, 0);
    assert_int_equal(s.append_size, 0);
    assert_string_equal(s.append_path, "appendonlydir/appendonly.aof.5.incr.aof");
    struct manifest m;
    char why[128];
    assert_int_equal(manifest_get(&m, fd_bytes(&d, "appendonlydir/appendonly.aof.manifest"), why, sizeof(why)), ERR_OK);
    assert_int_equal(m.files.n, 3); /* the history is gone */
    assert_true(m.base_is_sized && m.base_bytes == 10);
    manifest_free(&m);
    steps_free(&steps);
    fd_free(&d);
    startup_free(&s);
}

static void what_is_missing_or_old_refuses_the_start(void **state)
{
    (void)state;
    struct startup_file base = file_of("appendonly.aof.2.base.aof", 10);
    struct startup_found rows[] = {
        {.files = &base, .files_n = 1},
        {.files = &base, .files_n = 1, .has_manifest = true, .manifest = slice_str(two_increments)},
        {.has_old_file = true},
        {.has_manifest = true, .manifest = SLICE("nonsense\n")},
        {.has_manifest = true},
        {.files = &base, .files_n = 1, .has_manifest = true, .manifest = SLICE("file appendonly.aof.2.base.aof seq 2 type b")},
    };
    static const char *says[] = {"appendonly.aof.manifest is missing", "appendonly.aof.4.incr.aof, which is missing",
                                 "mv appendonly.aof appendonlydir/", "manifest is damaged, line 1", "names no file",
                                 "does not end"};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct startup s;
        assert_int_equal(startup_plan(&s, &names, &rows[i]), ERR_CORRUPT);
        assert_non_null(strstr(s.text, says[i]));
        startup_free(&s);
    }
}

static void names_that_are_too_long_refuse_the_start(void **state)
{
    (void)state;
    char dir[LOG_DIR_BYTES + 1] = {0}, file[LOG_FILE_BYTES + 1] = {0};
    for (size_t over = 0; over <= 1; over++) {
        memset(dir, 'd', LOG_DIR_BYTES - 1 + over);
        memset(file, 'f', LOG_FILE_BYTES - 1);
        struct log_names long_names = {dir, file};
        struct startup_found found = {0};
        struct startup s;
        struct steps steps = {0};
        assert_int_equal(startup_plan(&s, &long_names, &found), over == 0 ? ERR_OK : ERR_CORRUPT);
        if (over == 0)
            startup_finish(&s, &(struct startup_end){0}, &steps); /* every path made of them fits */
        steps_free(&steps);
        startup_free(&s);
    }
}

static void a_base_of_another_size_refuses_the_start(void **state)
{
    (void)state;
    struct manifest m = {0};
    manifest_set_base(&m, &names, 1, 100);
    char text[512];
    text_of(&m, text, sizeof(text));
    for (uint64_t size = 99; size <= 101; size++) {
        struct startup_file file = file_of("appendonly.aof.1.base.aof", size);
        struct startup_found found = {.files = &file, .files_n = 1, .has_manifest = true, .manifest = slice_str(text)};
        struct startup s;
        assert_int_equal(startup_plan(&s, &names, &found), size == 100 ? ERR_OK : ERR_CORRUPT);
        if (size != 100)
            assert_non_null(strstr(s.text, "was written with 100"));
        startup_free(&s);
    }
    manifest_free(&m);
}

UNIT_TESTS("manifest",
           TEST(a_manifest_comes_back, "a manifest comes back, with any file name; no flipped byte is taken for good"),
           TEST(manifests_of_redis_are_read_and_bad_ones_refused, "Redis' manifests are read; bad ones are refused with the line"),
           TEST(a_switch_of_manifests_survives_a_crash_anywhere, "a crash anywhere in a switch leaves the old or the new manifest whole (M1)"),
           TEST(a_failed_step_drops_the_rest_and_is_told, "a failed step drops the rest, and the next try goes through"),
           TEST(a_first_start_makes_an_increment_and_a_manifest, "a first start makes an increment and a manifest, and deletes only what is ours"),
           TEST(a_start_cuts_syncs_and_goes_on_in_the_last_increment, "a start cuts the torn tail over two increments and goes on in the last"),
           TEST(what_is_missing_or_old_refuses_the_start, "a missing manifest or file, and the log of an old Redis, refuse the start with a remedy"),
           TEST(names_that_are_too_long_refuse_the_start, "names that would not fit refuse the start; the longest fit"),
           TEST(a_base_of_another_size_refuses_the_start, "a base that is shorter or longer than it was written refuses the start"))

/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/log.h"
#include "tests/lib/unit.h"

struct heard {
    struct log log;
    char text[LOG_LINE_BYTES];
    size_t n, lines;
    enum log_level level;
};

static void hear(struct log *log, enum log_level level, struct slice text)
{
    struct heard *h = (struct heard *)log; /* log is its first member */
    memcpy(h->text, text.p, text.n);
    h->n = text.n;
    h->level = level;
    h->lines++;
}

static void a_level_and_above(void **state)
{
    (void)state;
    struct heard h = {.log = {LOG_LEVEL_NOTICE, hear}};
    log_say(&h.log, LOG_LEVEL_VERBOSE, "not %s", "this");
    assert_int_equal(h.lines, 0);
    log_say(&h.log, LOG_LEVEL_NOTICE, "port %d", 6379);
    assert_int_equal(h.lines, 1);
    assert_int_equal(h.level, LOG_LEVEL_NOTICE);
    assert_slice(slice_of(h.text, h.n), "port 6379");
    log_say(&h.log, LOG_LEVEL_WARNING, "w");
    assert_int_equal(h.lines, 2);
}

static void a_long_line_is_cut(void **state)
{
    (void)state;
    struct heard h = {.log = {LOG_LEVEL_DEBUG, hear}};
    log_say(&h.log, LOG_LEVEL_NOTICE, "%*s", LOG_LINE_BYTES - 1, "x");
    assert_int_equal(h.n, LOG_LINE_BYTES - 1);
    assert_int_equal(h.text[h.n - 1], 'x');
    log_say(&h.log, LOG_LEVEL_NOTICE, "%*s", LOG_LINE_BYTES, "x");
    assert_int_equal(h.n, LOG_LINE_BYTES - 1);
    assert_memory_equal(h.text + h.n - 4, " ...", 4);
}

UNIT_TESTS("log", TEST(a_level_and_above, "a line below the level is not formed, others are"),
           TEST(a_long_line_is_cut, "a line one byte too long is cut and ends in dots"))

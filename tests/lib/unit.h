/* SPDX-License-Identifier: BSD-3-Clause */

/* What every unit test includes: cmocka, and one macro less to type.
 *
 *     static void a_gap_asks_for_a_sync(void **state) { ... }
 *     UNIT_TESTS("repl", TEST(a_gap_asks_for_a_sync, "a gap asks for a sync and changes nothing (R2)"))
 */
#ifndef TESTS_LIB_UNIT_H
#define TESTS_LIB_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/slice.h"

#define TEST(function, title) {title, function, NULL, NULL, NULL}
#define UNIT_TESTS(group, ...)                                       \
    int main(void)                                                   \
    {                                                                \
        const struct CMUnitTest tests[] = {__VA_ARGS__};             \
        return cmocka_run_group_tests_name(group, tests, NULL, NULL); \
    }

/* Beside a sanitizer, which looks at every access, a fifth of what is drawn at random is enough; and of places that are
 * all tried in turn each seventh. */
#ifdef __SANITIZE_ADDRESS__
#define SPARE(n) (((n) + 4) / 5)
enum { SPARE_STEP = 7 };
#else
#define SPARE(n) (n)
enum { SPARE_STEP = 1 };
#endif

/* The slice holds exactly this text. */
#define assert_slice(s, text)                              \
    do {                                                   \
        struct slice got_ = (s);                           \
        assert_int_equal(got_.n, sizeof(text) - 1);        \
        assert_memory_equal(got_.p, text, sizeof(text) - 1); \
    } while (0)

#endif

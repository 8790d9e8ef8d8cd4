/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/num.h"

#include <float.h>
#include <math.h>

#include "tests/lib/unit.h"

static void integers_there_and_back(void **state)
{
    (void)state;
    const int64_t rows[] = {0, 1, -1, 9, 10, 99, 100, 999, 1000, 9999, 10000, 12345678, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[NUM_I64_CHARS];
        size_t n = num_put_i64(text, rows[i]);
        int64_t back;
        assert_true(n <= sizeof(text));
        assert_true(num_get_i64(slice_of(text, n), &back));
        assert_true(back == rows[i]);
    }
}

static void integers_are_read_strictly(void **state)
{
    (void)state;
    const char *rows[] = {"", "-", "+1", " 1", "1 ", "01", "-0", "--1", "1a", "9223372036854775808",
                          "-9223372036854775809", "99999999999999999999", "0x10"};
    int64_t v;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_false(num_get_i64(slice_str(rows[i]), &v));
    uint64_t u;
    assert_true(num_get_u64(SLICE("18446744073709551615"), &u));
    assert_true(u == UINT64_MAX);
    assert_false(num_get_u64(SLICE("18446744073709551616"), &u));
}

static void floats_read_and_write_as_redis_does(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } rows[] = {{"10.50", "10.5"}, {"3.0e3", "3000"}, {"-0", "0"}, {"5", "5"}, {"inf", "inf"}, {"-inf", "-inf"},
                {"0.1", "0.1"}};
    char text[NUM_DOUBLE_CHARS];
    long double v;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_true(num_get_ld(slice_str(rows[i].in), &v));
        size_t n = num_put_ld(text, v);
        assert_int_equal(n, strlen(rows[i].out));
        assert_memory_equal(text, rows[i].out, n);
    }
    assert_false(num_get_ld(SLICE("nan"), &v));
    assert_false(num_get_ld(SLICE(" 1"), &v));
    assert_false(num_get_ld(SLICE("1 "), &v));
    assert_false(num_get_ld(SLICE("1\0"), &v));
    assert_false(num_get_ld(SLICE("1e5000"), &v));
    assert_false(num_get_ld(SLICE("1e-5000"), &v));
    assert_true(num_get_ld(SLICE("0e-5000"), &v));
    char zeros[5120];
    memset(zeros, '0', sizeof(zeros));
    assert_true(num_get_ld(slice_of(zeros, sizeof(zeros) - 1), &v));
    assert_false(num_get_ld(slice_of(zeros, sizeof(zeros)), &v));
}

static void the_longest_long_double_fits(void **state)
{
    (void)state;
    char text[NUM_DOUBLE_CHARS];
    assert_true(num_put_ld(text, LDBL_MAX) <= sizeof(text));
    assert_true(num_put_ld(text, -LDBL_MAX) <= sizeof(text));
}

UNIT_TESTS("num",
           TEST(integers_there_and_back, "integers come back as they went"),
           TEST(integers_are_read_strictly, "integers with blanks, signs, zeros or too many digits are refused"),
           TEST(floats_read_and_write_as_redis_does, "floats read and write as INCRBYFLOAT does"),
           TEST(the_longest_long_double_fits, "the longest long double fits its bound"))

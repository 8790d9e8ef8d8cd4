/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/slice.h"

#include <stdlib.h>

#include "tests/lib/unit.h"

enum { MAX = 100, APART = 2 * MAX };

static void fill(char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (char)(i * 7 + 1);
}

/* Over itself and beside, forwards and backwards, by any distance and length. */
static void copies_are_exact_even_where_they_overlap(void **state)
{
    (void)state;
    for (size_t n = 0; n <= MAX; n++)
        for (size_t to = 0; to <= APART; to++) {
            char got[APART + MAX], want[APART + MAX];
            fill(got, sizeof(got));
            fill(want, sizeof(want));
            memmove(want + to, want + MAX, n);
            assert_ptr_equal(slice_copy(got + to, slice_of(got + MAX, n)), got + to + n);
            assert_memory_equal(got, want, sizeof(got));
        }
}

static void equality_looks_at_each_byte_and_no_other(void **state)
{
    (void)state;
    for (size_t n = 0; n <= MAX; n++) {
        char *a = malloc(n + 1), *b = malloc(n + 1);
        fill(a, n);
        fill(b, n);
        a[n] = 'a';
        b[n] = 'b';
        assert_true(slice_equal(slice_of(a, n), slice_of(b, n)));
        for (size_t i = 0; i < n; i++) {
            b[i] = (char)(b[i] ^ 0x80);
            assert_false(slice_equal(slice_of(a, n), slice_of(b, n)));
            b[i] = (char)(b[i] ^ 0x80);
        }
        assert_false(slice_equal(slice_of(a, n), slice_of(b, n + 1)));
        free(a);
        free(b);
    }
}

static void words_are_the_first_eight_bytes(void **state)
{
    (void)state;
    for (size_t n = 0; n <= 16; n++) {
        char *exact = malloc(n > 0 ? n : 1);
        fill(exact, n);
        uint64_t want = 0;
        for (size_t i = 0; i < n && i < 8; i++)
            want |= (uint64_t)(unsigned char)exact[i] << (8 * i);
        assert_true(slice_word(slice_of(exact, n)) == want);
        free(exact);
    }
}

UNIT_TESTS("slice",
           TEST(copies_are_exact_even_where_they_overlap, "a copy is exact, even where it overlaps itself"),
           TEST(equality_looks_at_each_byte_and_no_other, "slices are equal by each of their bytes and no other"),
           TEST(words_are_the_first_eight_bytes, "a word is the first eight bytes"))

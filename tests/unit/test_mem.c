/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/mem.h"

#include "tests/lib/unit.h"

extern size_t nallocx(size_t n, int flags) __attribute__((weak));

static void assert_good(size_t n)
{
    size_t good = mem_good_size(n);
    assert_true(good >= n);
    assert_int_equal(mem_good_size(good), good);
    if (nallocx != NULL && n > 8) /* nothing of ours is smaller than a header */
        assert_int_equal(good, nallocx(n, 0));
}

static void sizes_are_the_allocators_own(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 100000; n++)
        assert_good(n);
    for (size_t n = 131072; n <= (size_t)1 << 40; n += n / 8 - 1)
        assert_good(n);
    assert_int_equal(mem_good_size(0), 16);
    assert_int_equal(mem_good_size(SIZE_MAX), SIZE_MAX); /* for the allocator to refuse */
}

UNIT_TESTS("mem", TEST(sizes_are_the_allocators_own,
                       "good sizes are the allocator's own, of every request"))

/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/bits.h"

#include "tests/lib/unit.h"

static void added_are_found_in_order(void **state)
{
    (void)state;
    static const unsigned at[] = {0, 1, 63, 64, 8191, SLOTS - 1};
    struct bits b = {{0}};
    for (unsigned i = 0; i < 6; i++)
        bits_add(&b, at[i]);
    assert_int_equal(bits_n(&b), 6);
    unsigned found = 0;
    for (unsigned s = bits_next(&b, 0); s < SLOTS; s = bits_next(&b, s + 1))
        assert_int_equal(s, at[found++]);
    assert_int_equal(found, 6);
}

static void removed_are_not_found(void **state)
{
    (void)state;
    struct bits b = {{0}};
    bits_add(&b, 64);
    bits_add(&b, 65);
    bits_remove(&b, 64);
    assert_false(bits_has(&b, 64));
    assert_true(bits_has(&b, 65));
    assert_int_equal(bits_next(&b, 0), 65);
    assert_int_equal(bits_next(&b, 66), SLOTS);
}

UNIT_TESTS("bits",
           TEST(added_are_found_in_order, "slots that were added are found in order, and no others"),
           TEST(removed_are_not_found, "a slot that was removed is not found, its neighbour is"))

/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/count.h"

#include "tests/lib/unit.h"

static void every_value_is_in_its_bucket(void **state)
{
    (void)state;
    uint64_t below = UINT64_MAX; /* the top of the bucket before */
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t top = histogram_bucket_top(i);
        assert_int_equal(histogram_bucket(top), i);
        assert_int_equal(histogram_bucket(below + 1), i);
        assert_true(top - (below + 1) <= top / HISTOGRAM_STEPS);
        below = top;
    }
    assert_int_equal(below, ((uint64_t)1 << HISTOGRAM_TOP_BITS) - 1);
    assert_int_equal(histogram_bucket(below + 1), HISTOGRAM_BUCKETS - 1);
    assert_int_equal(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

static void percentiles_are_right_to_one_percent(void **state)
{
    (void)state;
    static struct histogram h;
    assert_int_equal(histogram_percentile(&h, 50), 0);
    for (uint64_t v = 1; v <= 100000; v++)
        histogram_add(&h, v, 1);
    static const double percents[] = {0, 1, 50, 99, 99.9, 100, 200};
    static const uint64_t exact[] = {1, 1000, 50000, 99000, 99900, 100000, 100000};
    for (size_t i = 0; i < sizeof(exact) / sizeof(exact[0]); i++) {
        uint64_t got = histogram_percentile(&h, percents[i]);
        assert_true(got >= exact[i]);
        assert_true(got <= exact[i] + exact[i] / 100);
    }
}

static void edges_are_counted_whole(void **state)
{
    (void)state;
    static struct histogram h;
    histogram_add(&h, 1024, 1);
    histogram_add(&h, 1031, 1); /* the same bucket */
    histogram_add(&h, 1032, 1); /* the next one */
    assert_int_equal(histogram_upto(&h, 1023), 0);
    assert_int_equal(histogram_upto(&h, 1024), 2);
    assert_int_equal(histogram_upto(&h, 1032), 3);
    assert_int_equal(histogram_upto(&h, UINT64_MAX), 3);
}

UNIT_TESTS("count",
           TEST(every_value_is_in_its_bucket,
                "every value is in its bucket, each 1/128 wide at most"),
           TEST(percentiles_are_right_to_one_percent, "percentiles are right to one percent"),
           TEST(edges_are_counted_whole, "what does not exceed an edge's bucket is counted"))

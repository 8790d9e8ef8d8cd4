/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/count.h"

uint64_t histogram_bucket_top(size_t bucket)
{
    if (bucket < 2 * (size_t)HISTOGRAM_STEPS)
        return bucket;
    unsigned bits = (unsigned)(bucket / HISTOGRAM_STEPS) - 1;
    uint64_t step = bucket - (size_t)bits * HISTOGRAM_STEPS;
    return ((step + 1) << bits) - 1;
}

uint64_t histogram_percentile(const struct histogram *h, double percent)
{
    if (h->n == 0)
        return 0;
    double share = (percent < 100 ? percent : 100) / 100;
    uint64_t wanted = (uint64_t)(share * (double)h->n + 0.5);
    if (wanted == 0)
        wanted = 1;
    uint64_t seen = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->counts[i];
        if (seen >= wanted)
            return histogram_bucket_top(i);
    }
    return histogram_bucket_top(HISTOGRAM_BUCKETS - 1);
}

uint64_t histogram_upto(const struct histogram *h, uint64_t v)
{
    uint64_t seen = 0;
    for (size_t i = 0, last = histogram_bucket(v); i <= last; i++)
        seen += h->counts[i];
    return seen;
}

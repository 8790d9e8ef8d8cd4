/* SPDX-License-Identifier: BSD-3-Clause */

/* Counting durations: a histogram whose buckets are as wide as one part in 128 of what they hold.
 *
 *     0 1 2 ... 255 | 256 258 ... 510 | 512 516 ... 1020 | ...
 *       width 1     |    width 2      |     width 4      |     128 buckets a piece from there on
 *
 * So a percentile is known to 1 %, at any scale, for one increment per sample. The layout is that
 * of HdrHistogram with two significant digits (Tene), so that LATENCY HISTOGRAM tells the edges
 * that tools know. */
#ifndef BASE_COUNT_H
#define BASE_COUNT_H

#include <stddef.h>
#include <stdint.h>

enum { HISTOGRAM_STEPS = 128 };   /* buckets per power of two */
enum { HISTOGRAM_TOP_BITS = 30 }; /* greater values count as 2^30 - 1: about a second in ns */
enum { HISTOGRAM_BUCKETS = (HISTOGRAM_TOP_BITS - 6) * HISTOGRAM_STEPS };

struct histogram {
    uint64_t n;
    uint64_t counts[HISTOGRAM_BUCKETS];
};

static inline size_t histogram_bucket(uint64_t v)
{
    if (v >= (uint64_t)1 << HISTOGRAM_TOP_BITS)
        v = ((uint64_t)1 << HISTOGRAM_TOP_BITS) - 1;
    unsigned bits = v < 2 * HISTOGRAM_STEPS ? 0 : (unsigned)(63 - __builtin_clzll(v)) - 7;
    return (size_t)bits * HISTOGRAM_STEPS + (size_t)(v >> bits);
}

static inline void histogram_add(struct histogram *h, uint64_t v, uint64_t times)
{
    h->n += times;
    h->counts[histogram_bucket(v)] += times;
}

uint64_t histogram_bucket_top(size_t bucket); /* the greatest value that falls into it */

/* A value which at least `percent` of the samples do not exceed; 0 without samples. */
uint64_t histogram_percentile(const struct histogram *h, double percent);

/* How many samples do not exceed the bucket of v. */
uint64_t histogram_upto(const struct histogram *h, uint64_t v);

#endif

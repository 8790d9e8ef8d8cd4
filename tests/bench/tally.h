/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_BENCH_TALLY_H
#define TESTS_BENCH_TALLY_H
/* What a driver counts: operations, errors, and the latencies of what it sent at one time, in steps of
 * 1/32 of a power of two, with the worst of each tenth of a second. All in static memory. */
#include <stdint.h>

enum { TALLY_FINE = 32, TALLY_BUCKETS = 40 * TALLY_FINE, TALLY_TENTHS = 36000 };

struct tally {
    uint64_t done, errors;   /* the driver's to raise: operations answered, those with an error */
    uint64_t began_ns;
    uint64_t samples, count[TALLY_BUCKETS];
    double worst_us, tenth_us[TALLY_TENTHS];
    unsigned tenths;
};

uint64_t tally_now_ns(void);
void tally_begin(struct tally *t);
/* One answer, or the last of a pipeline, came now to what was sent at `sent_ns`. Returns now. */
uint64_t tally_latency(struct tally *t, uint64_t sent_ns);
/* One line of JSON: ops, seconds, rate, errors, p50, p99, p999, worst (microseconds), tenths. */
void tally_tell(const struct tally *t);

#endif

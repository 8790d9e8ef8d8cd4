/* SPDX-License-Identifier: BSD-3-Clause */

#define _GNU_SOURCE /* clock_gettime */

#include "tally.h"

#include <stddef.h>
#include <stdio.h>
#include <time.h>

uint64_t tally_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

void tally_begin(struct tally *t)
{
    t->began_ns = tally_now_ns();
}

uint64_t tally_latency(struct tally *t, uint64_t sent_ns)
{
    uint64_t now = tally_now_ns(), took_ns = now - sent_ns;
    uint64_t us16 = took_ns * 16 / 1000 + TALLY_FINE; /* sixteenths of a microsecond */
    unsigned power = 63U - (unsigned)__builtin_clzll(us16);
    size_t at = (power - 5) * TALLY_FINE + (size_t)(us16 >> (power - 5)) - TALLY_FINE;
    double us = (double)took_ns / 1e3;
    t->count[at < TALLY_BUCKETS ? at : TALLY_BUCKETS - 1]++;
    t->worst_us = us > t->worst_us ? us : t->worst_us;
    uint64_t tenth = (now - t->began_ns) / 100000000U;
    if (tenth < TALLY_TENTHS) {
        t->tenths = (unsigned)tenth + 1;
        t->tenth_us[tenth] = us > t->tenth_us[tenth] ? us : t->tenth_us[tenth];
    }
    t->samples++;
    return now;
}

static double percentile_us(const struct tally *t, double part)
{
    uint64_t want = (uint64_t)(part * (double)t->samples), seen = 0;
    size_t at = 0;
    while (at + 1 < TALLY_BUCKETS && (seen += t->count[at]) <= want)
        at++;
    double steps = (double)((at % TALLY_FINE + TALLY_FINE) << (at / TALLY_FINE));
    return (steps - TALLY_FINE) / 16;
}

void tally_tell(const struct tally *t)
{
    double seconds = (double)(tally_now_ns() - t->began_ns) / 1e9;
    printf("{\"ops\": %llu, \"seconds\": %.6f, \"rate\": %.1f, \"errors\": %llu, \"p50\": %.1f, \"p99\": %.1f, "
           "\"p999\": %.1f, \"worst\": %.1f, \"tenths\": [",
           (unsigned long long)t->done, seconds, (double)t->done / seconds, (unsigned long long)t->errors,
           percentile_us(t, 0.5), percentile_us(t, 0.99), percentile_us(t, 0.999), t->worst_us);
    for (unsigned i = 0; i < t->tenths; i++)
        printf("%s%.0f", i > 0 ? ", " : "", t->tenth_us[i]);
    printf("]}\n");
}

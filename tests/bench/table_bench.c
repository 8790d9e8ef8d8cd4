/* SPDX-License-Identifier: BSD-3-Clause */

#define _POSIX_C_SOURCE 200809L /* clock_gettime */

/* What the table costs by itself: table_bench [keys, default 1000000] [value bytes, default 32]
 *
 * Nanoseconds an operation, the hashing of the 16-byte key included; bytes a key of the table and
 * of the entries; the longest single insert and remove. A machine that is not ours alone
 * interrupts: lookups are the best of many short rounds, and a single operation's pause is the
 * shortest of three times the same work. `line` is what the memory itself takes to bring one line
 * of a batch: a hit needs two or three of them, and no code can be faster.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"
#include "store/table.h"

enum { BATCH = 32, KEY_N = 16, LOOKUPS = 400000, ROUNDS = 15, REPEATS = 3 };
static_assert(LOOKUPS % BATCH == 0, "whole batches");

static struct hash_secret secret;

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

static struct slice key_of(uint64_t i, char text[KEY_N])
{
    for (int at = KEY_N - 1; at >= 0; at--, i /= 10)
        text[at] = (char)('0' + i % 10);
    return slice_of(text, KEY_N);
}

/* The keys to be looked for, as they lie in read buffers: made beforehand, read in order. */
static char (*wanted_of(uint64_t from, uint64_t n))[KEY_N]
{
    char(*wanted)[KEY_N] = mem_get((size_t)LOOKUPS * KEY_N);
    struct rng rng;
    rng_seed(&rng, 2);
    for (size_t i = 0; i < LOOKUPS; i++)
        key_of(from + rng_below(&rng, n), wanted[i]);
    return wanted;
}

static uint64_t lookups_plain(const struct table *t, char (*wanted)[KEY_N])
{
    uint64_t sum = 0;
    for (size_t i = 0; i < LOOKUPS; i++) {
        struct slice key = slice_of(wanted[i], KEY_N);
        struct place *p = table_find(t, table_hash(t, key), key);
        sum += p != NULL ? place_entry(p)->value_n : 0;
    }
    return sum;
}

static uint64_t lookups_batched(const struct table *t, char (*wanted)[KEY_N])
{
    uint64_t sum = 0;
    for (size_t from = 0; from < LOOKUPS; from += BATCH) {
        uint64_t hash[BATCH];
        struct table_hint hint[BATCH];
        for (size_t i = 0; i < BATCH; i++) {
            hash[i] = table_hash(t, slice_of(wanted[from + i], KEY_N));
            table_prefetch_bucket(t, hash[i], &hint[i]);
        }
        for (size_t i = 0; i < BATCH; i++)
            table_prefetch_entry(t, hash[i], &hint[i]);
        for (size_t i = 0; i < BATCH; i++) {
            struct slice key = slice_of(wanted[from + i], KEY_N);
            struct place *p = table_find_hinted(t, hash[i], key, &hint[i]);
            sum += p != NULL ? place_entry(p)->value_n : 0;
        }
    }
    return sum;
}

static void measure(const char *what, const struct table *t, char (*wanted)[KEY_N],
                    uint64_t (*lookups)(const struct table *, char (*)[KEY_N]))
{
    double best = 1e99;
    uint64_t sum = 0;
    for (int round = 0; round < ROUNDS; round++) {
        double began = now_ns();
        sum += lookups(t, wanted);
        double took = (now_ns() - began) / LOOKUPS;
        best = took < best ? took : best;
    }
    printf("%-24s %8.1f ns   (sum %llu)\n", what, best, (unsigned long long)sum);
}

/* The memory alone: random lines of 64 MiB, prefetched in batches. */
static void measure_line(void)
{
    enum { LINES = 1 << 20 };
    char *memory = mem_zero((size_t)LINES * 64);
    double best = 1e99;
    uint64_t sum = 0;
    struct rng rng;
    rng_seed(&rng, 3);
    for (size_t i = 0; i < LINES; i++)
        memory[i * 64] = 1;
    for (int round = 0; round < ROUNDS; round++) {
        double began = now_ns();
        for (size_t done = 0; done < LOOKUPS; done += BATCH) {
            size_t at[BATCH];
            for (size_t i = 0; i < BATCH; i++) {
                at[i] = (rng_next(&rng) & (LINES - 1)) * 64;
                __builtin_prefetch(memory + at[i]);
            }
            for (size_t i = 0; i < BATCH; i++)
                sum += (uint64_t)memory[at[i]];
        }
        double took = (now_ns() - began) / LOOKUPS;
        best = took < best ? took : best;
    }
    printf("%-24s %8.1f ns   (sum %llu)\n", "line, batches of 32", best, (unsigned long long)sum);
    mem_free(memory);
}

static void fill(struct table *t, char (*keys)[KEY_N], uint64_t n, size_t value_n)
{
    static const char value[ENTRY_INLINE_MAX];
    size_t entry_bytes_sum = 0;
    double began = now_ns();
    for (uint64_t i = 0; i < n; i++) {
        struct slice key = slice_of(keys[i], KEY_N);
        struct entry *e = entry_new_string(key, slice_of(value, value_n), WALL_NEVER);
        check(e != NULL);
        table_insert(t, table_hash(t, key), e);
        entry_bytes_sum += entry_bytes(e);
    }
    printf("%-24s %8.1f ns   entry_new_string and table_insert\n", "insert",
           (now_ns() - began) / (double)n);
    printf("%-24s %8.2f B    entries %.2f B\n", "table per key", (double)table_bytes(t) / (double)n,
           (double)entry_bytes_sum / (double)n);
}

static void note(float *least, double took)
{
    if (*least == 0 || took < (double)*least)
        *least = (float)took;
}

static void report(const char *what, const float *least, uint64_t n)
{
    float worst = 0;
    double sum = 0;
    uint64_t above = 0;
    for (uint64_t i = 0; i < n; i++) {
        worst = least[i] > worst ? least[i] : worst;
        above += least[i] > 100e3F;
        sum += (double)least[i];
    }
    printf("%-24s %8.1f us   %llu above 100 us; mean %.1f ns with a clock read\n", what,
           (double)worst / 1e3, (unsigned long long)above, sum / (double)n);
}

/* Each insert and remove timed, in a table of its own that holds the entries of t as well. */
static void measure_pauses(const struct table *t, char (*keys)[KEY_N], uint64_t n)
{
    float *inserts = mem_zero(n * sizeof(float)), *removes = mem_zero(n * sizeof(float));
    for (int repeat = 0; repeat < REPEATS; repeat++) {
        struct table again;
        table_init(&again, &secret);
        for (uint64_t i = 0; i < n; i++) {
            struct slice key = slice_of(keys[i], KEY_N);
            uint64_t hash = table_hash(t, key);
            struct entry *e = place_entry(table_find(t, hash, key));
            double before = now_ns();
            table_insert(&again, hash, e);
            note(&inserts[i], now_ns() - before);
        }
        for (uint64_t i = 0; i < n; i++) {
            struct slice key = slice_of(keys[i], KEY_N);
            uint64_t hash = table_hash(t, key);
            double before = now_ns();
            table_remove(&again, hash, key);
            note(&removes[i], now_ns() - before);
        }
        check(table_bytes(&again) == 0);
    }
    report("worst insert", inserts, n);
    report("worst remove", removes, n);
    mem_free(inserts);
    mem_free(removes);
}

/* The keys 0 .. n - 1 in random order. */
static char (*keys_of(uint64_t n))[KEY_N]
{
    char(*keys)[KEY_N] = mem_get(n * KEY_N);
    struct rng rng;
    rng_seed(&rng, 1);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t j = rng_below(&rng, i + 1);
        memcpy(keys[i], keys[j], KEY_N);
        key_of(i, keys[j]);
    }
    return keys;
}

static void count(void *who, struct entry *e)
{
    (void)e;
    ++*(uint64_t *)who;
}

static void bury(void *who, struct entry *e)
{
    (void)who;
    entry_free(e, NULL);
}

int main(int argc, char **argv)
{
    uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    size_t value_n = argc > 2 ? strtoull(argv[2], NULL, 10) : 32;
    if (n == 0 || value_n > ENTRY_INLINE_MAX) {
        fprintf(stderr, "usage: table_bench [keys > 0] [value bytes <= %d]\n", ENTRY_INLINE_MAX);
        return 2;
    }
    struct table t;
    struct rng rng;
    rng_seed(&rng, 1);
    hash_secret_draw(&secret, &rng);
    table_init(&t, &secret);
    char(*keys)[KEY_N] = keys_of(n);
    char(*hits)[KEY_N] = wanted_of(0, n), (*misses)[KEY_N] = wanted_of(n, n);
    fill(&t, keys, n, value_n);
    measure_line();
    measure("hit, plain", &t, hits, lookups_plain);
    measure("hit, batches of 32", &t, hits, lookups_batched);
    measure("miss, plain", &t, misses, lookups_plain);
    measure("miss, batches of 32", &t, misses, lookups_batched);

    uint64_t seen = 0, cursor = 0;
    double began = now_ns();
    do
        cursor = table_scan(&t, cursor, 100, count, &seen);
    while (cursor != 0);
    printf("%-24s %8.1f ns   without reading the entries\n", "scan",
           (now_ns() - began) / (double)seen);
    measure_pauses(&t, keys, n);
    table_free(&t, bury, NULL);
    mem_free(keys);
    mem_free(hits);
    mem_free(misses);
    return 0;
}

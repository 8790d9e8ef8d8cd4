/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/segment.h"

#include "base/check.h"
#include "base/mem.h"

enum { SPLIT_AHEAD = 4 }; /* buckets whose keys are on their way from memory during a split */
enum { SPREAD_CHANCE = 8, SPREAD_KEYS_MAX = 16384 };

uint32_t segment_buckets_for(size_t keys_n)
{
    size_t n = keys_n * 8 / (7 * BUCKET_PLACES) + 1;
    check(n <= SEGMENT_BUCKETS_MAX); /* 400,000 keys of one hash: not with a keyed one */
    while (n > 1 && segment_room((uint32_t)n - 1) >= keys_n)
        n--;
    while (segment_room((uint32_t)n) < keys_n)
        n++;
    n = mem_good_size(n * sizeof(struct bucket)) / sizeof(struct bucket);
    return n < SEGMENT_BUCKETS_MAX ? (uint32_t)n : SEGMENT_BUCKETS_MAX;
}

void segment_spread(struct segment s, unsigned shift, uint32_t high, size_t spread[SPREAD_RANGES])
{
    for (uint32_t at = 0; at < s.n; at++)
        for (unsigned i = 0; i < BUCKET_PLACES; i++)
            if (s.b[at].tag[i] > TAG_COUNT)
                spread[(place_position(&s.b[at].place[i]) >> shift | high) >> 13]++;
}

/* Room for so many keys if all lay evenly, and some; and if all lay as in the densest range. */
static size_t spread_room(const size_t spread[SPREAD_RANGES], size_t *dense)
{
    size_t sum = 0, most = 0;
    for (unsigned i = 0; i < SPREAD_RANGES; i++) {
        sum += spread[i];
        most = spread[i] > most ? spread[i] : most;
    }
    /* Some more than others is chance; and no count of buckets helps keys that are all alike. */
    *dense = most > SPREAD_CHANCE ? (most - SPREAD_CHANCE) * SPREAD_RANGES : 0;
    if (*dense > SPREAD_KEYS_MAX)
        *dense = SPREAD_KEYS_MAX;
    return sum + sum / 8 + 1;
}

uint32_t segment_buckets_for_spread(const size_t spread[SPREAD_RANGES])
{
    size_t dense, even = spread_room(spread, &dense);
    return segment_buckets_for(even > dense ? even : dense);
}

bool segment_spread_is_even(const size_t spread[SPREAD_RANGES])
{
    size_t dense, even = spread_room(spread, &dense);
    return dense <= 2 * even;
}

struct segment segment_new(uint32_t n, unsigned depth)
{
    size_t bytes = n * sizeof(struct bucket);
    struct segment s = {mem_get_aligned(bytes, sizeof(struct bucket)), n, depth};
    for (uint32_t i = 0; i < n; i++) /* the places may stay as they are */
        memset(&s.b[i], 0, offsetof(struct bucket, place));
    s.b[0].tag[BUCKET_PLACES - 1] = TAG_COUNT;
    s.b[0].place[BUCKET_PLACES - 1].bits = 0;
    return s;
}

void segment_free(struct segment s)
{
    mem_free(s.b);
}

struct place *segment_put(struct segment s, uint32_t position, uint8_t tag, const struct entry *e)
{
    uint32_t at = home_of(s, position);
    uint64_t match;
    while ((match = bucket_match(&s.b[at], TAG_EMPTY)) == 0) {
        if (s.b[at].passed < PASSED_STUCK)
            s.b[at].passed++;
        at = bucket_after(s, at);
    }
    unsigned i = match_index(match);
    struct place *p = &s.b[at].place[i];
    s.b[at].tag[i] = tag;
    p->bits = (uint64_t)position << 48 | (uintptr_t)e;
    s.b[0].place[BUCKET_PLACES - 1].bits++;
    return p;
}

void segment_take(struct segment s, struct place *p)
{
    size_t offset = (size_t)((char *)p - (char *)s.b);
    struct bucket *holds = &s.b[offset / sizeof(struct bucket)];
    uint32_t at = home_of(s, place_position(p));
    for (; &s.b[at] != holds; at = bucket_after(s, at))
        if (s.b[at].passed < PASSED_STUCK)
            s.b[at].passed--;
    holds->tag[p - holds->place] = TAG_EMPTY;
    s.b[0].place[BUCKET_PLACES - 1].bits--;
}

void segment_pour(struct segment from, struct segment to, unsigned shift, uint32_t high)
{
    for (uint32_t at = 0; at < from.n; at++) {
        const struct bucket *b = &from.b[at];
        for (unsigned i = 0; i < BUCKET_PLACES; i++)
            if (b->tag[i] > TAG_COUNT)
                segment_put(to, place_position(&b->place[i]) >> shift | high, b->tag[i],
                            place_entry(&b->place[i]));
    }
    segment_free(from);
}

/* Inlined by force: gcc 12 takes a function that only prefetches for one that does nothing, and
 * drops the calls. */
static inline __attribute__((always_inline)) void bucket_prefetch(const struct bucket *b)
{
    for (unsigned i = 0; i < BUCKET_PLACES; i++)
        if (b->tag[i] > TAG_COUNT)
            __builtin_prefetch(place_entry(&b->place[i]));
}

void segment_split(struct segment from, struct segment half[2], const struct hash_secret *key,
                   uint64_t (*hash)(const struct hash_secret *key, struct slice s))
{
    size_t n[2] = {0, 0};
    for (uint32_t at = 0; at < from.n; at++)
        for (unsigned i = 0; i < BUCKET_PLACES; i++)
            if (from.b[at].tag[i] > TAG_COUNT)
                n[place_position(&from.b[at].place[i]) >> 15]++;
    for (unsigned side = 0; side < 2; side++)
        half[side] = n[side] > 0 ? segment_new(segment_buckets_for(n[side]), from.depth + 1)
                                 : (struct segment){NULL, 0, from.depth + 1};

    for (uint32_t at = 0; at < from.n && at < SPLIT_AHEAD; at++)
        bucket_prefetch(&from.b[at]);
    for (uint32_t at = 0; at < from.n; at++) {
        const struct bucket *b = &from.b[at];
        if (at + SPLIT_AHEAD < from.n)
            bucket_prefetch(&from.b[at + SPLIT_AHEAD]);
        for (unsigned i = 0; i < BUCKET_PLACES; i++) {
            if (b->tag[i] <= TAG_COUNT)
                continue;
            struct entry *e = place_entry(&b->place[i]);
            uint32_t position = position_of(hash(key, entry_key(e)), from.depth + 1);
            segment_put(half[place_position(&b->place[i]) >> 15], position, b->tag[i], e);
        }
    }
    segment_free(from);
}

size_t segment_visit_home(struct segment s, uint32_t home,
                          void (*visit)(void *who, struct entry *e), void *who)
{
    size_t visited = 0;
    uint32_t at = home;
    for (uint32_t i = 0; i < s.n; i++) {
        const struct bucket *b = &s.b[at];
        for (unsigned j = 0; j < BUCKET_PLACES; j++)
            if (b->tag[j] > TAG_COUNT && home_of(s, place_position(&b->place[j])) == home) {
                visit(who, place_entry(&b->place[j]));
                visited++;
            }
        if (b->passed == 0)
            break;
        at = bucket_after(s, at);
    }
    return visited;
}

/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/table.h"

#include "base/check.h"
#include "base/mem.h"

enum { DIRECTORY_KEYS = 64 }; /* the directory has at most one word for so many keys (T5) */
enum { SHRINK_EVERY = 32 };   /* removals between two looks at a segment of many buckets */
enum { SHRINK_SMALL = 16 };   /* buckets: looked at each time */
enum { RANDOM_TRIES = 128 };  /* misses before a random pick becomes a walk */

/* ------------------------------------------------------------ directory */

static uint64_t word_of(struct segment s)
{
    uint64_t address = (uintptr_t)s.b;
    check((address & 0xffff00000000003fu) == 0 && s.n <= SEGMENT_BUCKETS_MAX);
    return (uint64_t)s.n << 48 | address | s.depth;
}

static size_t index_of(const struct table *t, uint64_t hash)
{
    return t->depth > 0 ? hash >> (64 - t->depth) : 0;
}

/* Every word of the segment that has this hash. */
static void segment_set(struct table *t, uint64_t hash, struct segment s)
{
    uint64_t word = word_of(s);
    if (t->depth == 0) {
        t->word = word;
        return;
    }
    size_t span = (size_t)1 << (t->depth - s.depth);
    size_t from = index_of(t, hash) & ~(span - 1);
    for (size_t i = 0; i < span; i++)
        t->words[from + i] = word;
}

static size_t segment_bytes(struct segment s)
{
    return s.n * sizeof(struct bucket);
}

static size_t directory_bytes(unsigned depth)
{
    return depth > 0 ? mem_good_size(sizeof(uint64_t) << depth) : 0;
}

static void directory_replace(struct table *t, unsigned depth, uint64_t *words)
{
    t->bytes += directory_bytes(depth) - directory_bytes(t->depth);
    if (t->depth > 0)
        mem_free(t->words);
    t->depth = depth;
    if (depth > 0)
        t->words = words;
    else
        t->word = 0;
}

static void directory_double(struct table *t)
{
    size_t n = (size_t)1 << t->depth;
    uint64_t *words = mem_get(2 * n * sizeof(uint64_t));
    for (size_t i = 0; i < n; i++)
        words[2 * i] = words[2 * i + 1] = t->depth > 0 ? t->words[i] : t->word;
    directory_replace(t, t->depth + 1, words);
    t->deepest = 0;
}

/* No segment is as deep as the directory: half of it says all. */
static void directory_halve(struct table *t)
{
    unsigned depth = t->depth - 1;
    size_t n = (size_t)1 << depth;
    uint64_t first = t->words[0];
    uint64_t *words = depth > 0 ? mem_get(n * sizeof(uint64_t)) : NULL;
    uint32_t deepest = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t word = t->words[2 * i];
        deepest += table_segment_of(word).depth == depth;
        if (words != NULL)
            words[i] = word;
    }
    directory_replace(t, depth, words);
    if (depth == 0)
        t->word = first;
    t->deepest = deepest;
}

/* ------------------------------------------------------ growing, shrinking */

static void segment_resize(struct table *t, uint64_t hash, struct segment s, uint32_t n)
{
    struct segment to = segment_new(n, s.depth);
    t->bytes += segment_bytes(to) - segment_bytes(s);
    segment_pour(s, to, 0, 0);
    segment_set(t, hash, to);
}

/* Keys that differ only far behind, which a keyed hash does not give us, would double the directory
 * for nothing: their segment grows in buckets instead. */
static bool may_split(const struct table *t, struct segment s)
{
    if (s.depth < t->depth)
        return true;
    return t->depth < DEPTH_MAX && ((size_t)2 << t->depth) <= t->n / DIRECTORY_KEYS;
}

static void split(struct table *t, uint64_t hash, struct segment s)
{
    if (s.depth == t->depth)
        directory_double(t);
    struct segment half[2];
    t->bytes -= segment_bytes(s);
    segment_split(s, half, t->key, t->hash);
    uint64_t side = (uint64_t)1 << (63 - s.depth); /* the bit in which the halves differ */
    for (unsigned i = 0; i < 2; i++) {
        t->bytes += segment_bytes(half[i]);
        segment_set(t, i == 0 ? hash & ~side : hash | side, half[i]);
    }
    if (s.depth + 1 == t->depth)
        t->deepest += 2;
}

/* Two small siblings become one, and perhaps that one and its sibling, and so on; but not where all
 * keys would be in a corner of the one. */
static void merge(struct table *t, uint64_t hash)
{
    while (t->depth > 0) {
        struct segment s = table_segment_at(t, hash);
        if (s.depth == 0)
            return;
        uint64_t side = (uint64_t)1 << (64 - s.depth);
        struct segment other = table_segment_at(t, hash ^ side);
        size_t n = segment_keys_n(s) + segment_keys_n(other);
        if (other.depth != s.depth || n > SEGMENT_KEYS_MERGED)
            return;
        uint32_t high = hash & side ? 0x8000 : 0;
        size_t spread[SPREAD_RANGES] = {0};
        segment_spread(s, 1, high, spread);
        segment_spread(other, 1, high ^ 0x8000, spread);
        if (!segment_spread_is_even(spread))
            return;
        struct segment to = {NULL, 0, s.depth - 1};
        if (n > 0)
            to = segment_new(segment_buckets_for_spread(spread), s.depth - 1);
        t->bytes += segment_bytes(to) - segment_bytes(s) - segment_bytes(other);
        segment_pour(s, to, 1, high);
        segment_pour(other, to, 1, high ^ 0x8000);
        segment_set(t, hash, to);
        if (s.depth == t->depth)
            t->deepest -= 2;
        while (t->depth > 0 && t->deepest == 0)
            directory_halve(t);
    }
}

/* The segment has lost many keys: fewer buckets, none, or one segment with its sibling. Growing
 * again needs a fair share of its keys anew, so that a few keys coming and going cost nothing. */
static void shrink(struct table *t, uint64_t hash, struct segment s)
{
    size_t n = segment_keys_n(s);
    if (n == 0) {
        t->bytes -= segment_bytes(s);
        segment_free(s);
        segment_set(t, hash, (struct segment){NULL, 0, s.depth});
    } else {
        size_t spread[SPREAD_RANGES] = {0};
        segment_spread(s, 0, 0, spread);
        uint32_t buckets = segment_buckets_for_spread(spread);
        if (buckets < s.n)
            segment_resize(t, hash, s, buckets);
    }
    merge(t, hash);
}

/* A segment with room for one more. */
static struct segment segment_ready(struct table *t, uint64_t hash)
{
    struct segment s = table_segment_at(t, hash);
    while (segment_keys_n(s) >= SEGMENT_KEYS_MAX && may_split(t, s)) {
        split(t, hash, s);
        s = table_segment_at(t, hash);
    }
    if (s.n == 0) {
        s = segment_new(1, s.depth);
        t->bytes += segment_bytes(s);
        segment_set(t, hash, s);
    } else if (segment_keys_n(s) >= segment_room(s.n)) {
        segment_resize(t, hash, s, segment_buckets_for(segment_room(s.n + s.n / 8 + 1)));
        s = table_segment_at(t, hash);
    }
    return s;
}

/* ------------------------------------------------------------ one key */

void table_init(struct table *t, const struct hash_secret *key)
{
    *t = (struct table){.key = key, .hash = hash_secret, .deepest = 1, .version = 1};
}

struct place *table_find(const struct table *t, uint64_t hash, struct slice key)
{
    return segment_find(table_segment_at(t, hash), hash, key);
}

struct place *table_insert(struct table *t, uint64_t hash, struct entry *e)
{
    check(((uintptr_t)e & 0xffff000000000000u) == 0);
    struct segment s = segment_ready(t, hash);
    t->n++;
    t->version++;
    return segment_put(s, position_of(hash, s.depth), tag_of(hash), e);
}

struct entry *table_remove_at(struct table *t, uint64_t hash, struct place *p)
{
    struct segment s = table_segment_at(t, hash);
    struct entry *e = place_entry(p);
    segment_take(s, p);
    t->n--;
    t->version++;
    size_t n = segment_keys_n(s);
    if (n < (size_t)s.n * BUCKET_PLACES / 2 && (s.n <= SHRINK_SMALL || n % SHRINK_EVERY == 0))
        shrink(t, hash, s);
    return e;
}

struct entry *table_remove(struct table *t, uint64_t hash, struct slice key)
{
    struct place *p = table_find(t, hash, key);
    return p != NULL ? table_remove_at(t, hash, p) : NULL;
}

/* ------------------------------------------------------------ many keys */

/* The cursor behind the segment in which it is. */
static uint64_t cursor_behind(uint64_t cursor, struct segment s)
{
    unsigned below = CURSOR_BITS - s.depth;
    return ((cursor >> below) + 1) << below;
}

/* The cursor of the first position whose home is the next bucket. */
static uint64_t cursor_behind_home(uint64_t cursor, struct segment s, uint32_t home)
{
    if (home + 1 == s.n)
        return cursor_behind(cursor, s);
    unsigned below = CURSOR_BITS - s.depth;
    uint64_t position = (((uint64_t)home + 1) * 65536 + s.n - 1) / s.n;
    return (cursor >> below << below) + (position << (below - 16));
}

uint64_t table_scan(const struct table *t, uint64_t cursor, size_t want,
                    void (*visit)(void *who, struct entry *e), void *who)
{
    size_t visited = 0;
    while (cursor >> CURSOR_BITS == 0) {
        uint64_t hash = cursor << (64 - CURSOR_BITS);
        struct segment s = table_segment_at(t, hash);
        if (s.n == 0) {
            cursor = cursor_behind(cursor, s);
            continue;
        }
        if (visited >= want)
            return cursor;
        uint32_t home = home_of(s, position_of(hash, s.depth));
        visited += segment_visit_home(s, home, visit, who);
        cursor = cursor_behind_home(cursor, s, home);
    }
    return 0;
}

/* The keys of a bucket by chance, at most n of them; NULL buckets of an uneven directory are
 * missed like empty places. */
static size_t sample_bucket(const struct table *t, struct rng *rng, struct entry **out, size_t n)
{
    uint64_t hash = rng_next(rng);
    struct segment s = table_segment_at(t, hash);
    if (s.n == 0)
        return 0;
    const struct bucket *b = &s.b[home_of(s, position_of(hash, s.depth))];
    size_t got = 0;
    for (unsigned i = 0; i < BUCKET_PLACES && got < n; i++)
        if (b->tag[i] > TAG_COUNT)
            out[got++] = place_entry(&b->place[i]);
    return got;
}

static void note_first(void *who, struct entry *e)
{
    struct entry **first = who;
    if (*first == NULL)
        *first = e;
}

/* For tables of few keys in a directory of many: the first one from somewhere on. */
static struct entry *random_by_walk(const struct table *t, struct rng *rng)
{
    struct entry *first = NULL;
    table_scan(t, rng_next(rng) >> (64 - CURSOR_BITS), 1, note_first, &first);
    if (first == NULL)
        table_scan(t, 0, 1, note_first, &first);
    return first;
}

struct entry *table_random(const struct table *t, struct rng *rng)
{
    if (t->n == 0)
        return NULL;
    for (unsigned i = 0; i < RANDOM_TRIES; i++) {
        uint64_t hash = rng_next(rng);
        struct segment s = table_segment_at(t, hash);
        if (s.n == 0)
            continue;
        const struct bucket *b = &s.b[home_of(s, position_of(hash, s.depth))];
        unsigned at = (unsigned)((hash & 0xffff) * BUCKET_PLACES >> 16);
        if (b->tag[at] > TAG_COUNT) /* an empty place is no answer, or full buckets were slighted */
            return place_entry(&b->place[at]);
    }
    return random_by_walk(t, rng);
}

size_t table_sample(const struct table *t, struct rng *rng, struct entry **out, size_t n)
{
    size_t got = 0;
    if (t->n == 0)
        return 0;
    for (unsigned i = 0; got < n && i < RANDOM_TRIES; i++)
        got += sample_bucket(t, rng, out + got, n - got);
    if (got == 0 && n > 0)
        out[got++] = random_by_walk(t, rng);
    return got;
}

/* ------------------------------------------------------------ the end */

/* The buckets of a segment lose their keys, from `at` on, until `want` are gone;
 * the next bucket. */
static uint32_t segment_empty(struct segment s, uint32_t at, size_t want, size_t *gone,
                              void (*drop)(void *who, struct entry *e), void *who)
{
    size_t before = *gone;
    for (; at < s.n && *gone < want; at++)
        for (unsigned i = 0; i < BUCKET_PLACES; i++)
            if (s.b[at].tag[i] > TAG_COUNT) {
                s.b[at].tag[i] = TAG_EMPTY;
                drop(who, place_entry(&s.b[at].place[i]));
                ++*gone;
            }
    s.b[0].place[BUCKET_PLACES - 1].bits -= *gone - before;
    return at;
}

uint64_t table_free_some(struct table *t, uint64_t cursor, size_t want,
                         void (*drop)(void *who, struct entry *e), void *who)
{
    size_t gone = 0;
    t->version++;
    while (cursor >> CURSOR_BITS == 0) {
        uint64_t hash = cursor << (64 - CURSOR_BITS);
        struct segment s = table_segment_at(t, hash);
        if (s.n > 0) {
            if (gone >= want)
                return cursor;
            size_t before = gone;
            uint32_t at = s.n;
            if (drop == NULL)
                gone += segment_keys_n(s);
            else
                at = segment_empty(s, home_of(s, position_of(hash, s.depth)), want, &gone, drop,
                                   who);
            t->n -= gone - before;
            if (at < s.n)
                return cursor_behind_home(cursor, s, at - 1);
            t->bytes -= segment_bytes(s);
            segment_set(t, hash, (struct segment){NULL, 0, s.depth});
            segment_free(s);
        }
        cursor = cursor_behind(cursor, s);
    }
    check(t->n == 0);
    directory_replace(t, 0, NULL);
    t->deepest = 1;
    return 0;
}

void table_free(struct table *t, void (*drop)(void *who, struct entry *e), void *who)
{
    table_free_some(t, 0, SIZE_MAX, drop, who);
}

/* ------------------------------------------------------------ invariants */

static size_t segment_check(const struct table *t, uint64_t first, struct segment s)
{
    size_t n = 0;
    for (uint32_t at = 0; at < s.n; at++)
        for (unsigned i = 0; i < BUCKET_PLACES; i++) {
            if (s.b[at].tag[i] <= TAG_COUNT)
                continue;
            const struct place *p = &s.b[at].place[i];
            struct slice key = entry_key(place_entry(p));
            uint64_t hash = t->hash(t->key, key);
            check(s.depth == 0 || (hash ^ first) >> (64 - s.depth) == 0); /* T1 */
            check(place_position(p) == position_of(hash, s.depth));       /* T2 */
            check(s.b[at].tag[i] == tag_of(hash));                        /* T2 */
            check(segment_find(s, hash, key) == p);                       /* T3 */
            n++;
        }
    check(n == segment_keys_n(s));
    return n;
}

void table_check(const struct table *t)
{
    size_t n = 0, bytes = directory_bytes(t->depth);
    uint32_t deepest = 0;
    uint64_t cursor = 0;
    while (cursor >> CURSOR_BITS == 0) {
        uint64_t hash = cursor << (64 - CURSOR_BITS);
        struct segment s = table_segment_at(t, hash);
        check(s.depth <= t->depth);
        size_t span = (size_t)1 << (t->depth - s.depth);
        for (size_t i = 0; t->depth > 0 && i < span; i++)
            check(t->words[index_of(t, hash) + i] == word_of(s)); /* T1 */
        n += segment_check(t, hash, s);
        bytes += segment_bytes(s);
        deepest += s.depth == t->depth;
        cursor = cursor_behind(cursor, s);
    }
    check(n == t->n);
    check(bytes == t->bytes); /* T4 */
    check(deepest == t->deepest);
    check(t->depth == 0 || t->deepest > 0);
}

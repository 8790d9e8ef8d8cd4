/* SPDX-License-Identifier: BSD-3-Clause */

/* The hash table: a directory of segments, everything in the order of the hashes.
 *
 *     directory, indexed by the top 2 bits     segments (segment.h): some depth, some buckets
 *       00 ----------------------------------> depth 2, hashes 00...
 *       01 ----------------------------------> depth 2, hashes 01...
 *       10 --+-------------------------------> depth 1, hashes 1...
 *       11 --'
 *
 * A segment that has SEGMENT_KEYS_MAX keys is split in two, each one bit deeper; two that became
 * small are merged. The directory doubles when a segment as deep as itself is split. No operation
 * does more than that: one segment's worth of work, and now and then a copy of the directory, 8
 * bytes for about 1,500 keys.
 *
 * The table does not own its entries: a second one can hold some of the same. Whoever moves an
 * entry tells the places where it was. Hashes come from the caller, who needs them anyway: always
 * table_hash(t, key). */
#ifndef STORE_TABLE_H
#define STORE_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/rng.h"
#include "store/entry.h"
#include "store/segment.h"

enum { SEGMENT_KEYS_MAX = 2048 };                    /* a split: 0.13 ms (4096: 0.42, 1024: 0.07) */
enum { SEGMENT_KEYS_MERGED = SEGMENT_KEYS_MAX / 2 }; /* two of no more together become one */
enum { DEPTH_MAX = 32 };                             /* with 16 bits of position: the cursor's 48 */
enum { CURSOR_BITS = 48 };

struct table {
    union {
        uint64_t word;   /* depth 0: the directory itself */
        uint64_t *words; /* else 2^depth of them: address 48, buckets 16; the lowest 6: depth */
    };
    unsigned depth;
    uint32_t deepest; /* how many segments are as deep as the directory */
    size_t n;         /* keys */
    size_t bytes;     /* memory of segments and directory */
    uint64_t version; /* counts what makes places invalid, from 1 */
    const struct hash_secret *key;
    /* hash_secret; a test may put a bad one. */
    uint64_t (*hash)(const struct hash_secret *key, struct slice s);
};

/* What the first and the second pass over a batch found, for the third. */
struct table_hint {
    struct bucket *home; /* NULL: its segment has no key */
    struct place *place; /* of the second pass; NULL: no such key */
    const char *entry;   /* where it was, or NULL: to be fetched, never to be read */
    uint64_t version;    /* of the table then; 0: nothing was looked for */
    uint32_t position;
};

/* An empty table holds no memory. The key is borrowed as long as the table lives. */
void table_init(struct table *t, const struct hash_secret *key);

static inline size_t table_n(const struct table *t)
{
    return t->n;
}

static inline size_t table_bytes(const struct table *t) /* without the entries */
{
    return t->bytes;
}

static inline uint64_t table_hash(const struct table *t, struct slice key)
{
    return t->hash(t->key, key);
}

/* What a word of the directory says, and the segment of a hash. */
static inline struct segment table_segment_of(uint64_t word)
{
    return (struct segment){(struct bucket *)(uintptr_t)(word & 0x0000ffffffffffc0u),
                            (uint32_t)(word >> 48), (unsigned)(word & 63)};
}

static inline struct segment table_segment_at(const struct table *t, uint64_t hash)
{
    return table_segment_of(t->depth > 0 ? t->words[hash >> (64 - t->depth)] : t->word);
}

/* The place of the entry with this key, or NULL. Valid until the next insert or remove. An insert
 * is of a key that is not there; remove tells by NULL that it was not. */
struct place *table_find(const struct table *t, uint64_t hash, struct slice key);
struct place *table_insert(struct table *t, uint64_t hash, struct entry *e);
struct entry *table_remove(struct table *t, uint64_t hash, struct slice key);

/* The entry at this place, which is of this hash, leaves the table. */
struct entry *table_remove_at(struct table *t, uint64_t hash, struct place *p);

/* Three passes over a batch: bucket of each key, entry of each key, then find. The hint is only
 * used while the table has not changed since; between the first two it must not.
 *
 * What is fetched goes into the second cache: the first one has places for fewer lines on their way
 * (hot-path.md 5). Inlined by force: gcc 12 may drop calls of a function that only prefetches. */
enum { FETCH_FAR = 2 };

static inline __attribute__((always_inline)) void table_prefetch_bucket(const struct table *t,
                                                                        uint64_t hash,
                                                                        struct table_hint *hint)
{
    struct segment s = table_segment_at(t, hash);
    hint->position = position_of(hash, s.depth);
    hint->version = t->version;
    hint->home = s.b;
    if (s.b == NULL)
        return;
    hint->home += home_of(s, hint->position);
    __builtin_prefetch(hint->home, 0, FETCH_FAR);
    __builtin_prefetch(hint->home + 1, 0, FETCH_FAR); /* where every eighth key or so is */
}

static inline __attribute__((always_inline)) void table_prefetch_entry(const struct table *t,
                                                                       uint64_t hash,
                                                                       struct table_hint *hint)
{
    struct place *p = NULL;
    if (hint->home != NULL) {
        p = bucket_place(hint->home, tag_of(hash), hint->position);
        if (p == NULL && hint->home->passed > 0)
            p = segment_hint(table_segment_at(t, hash), hash);
    }
    hint->place = p;
    hint->entry = NULL;
    if (p != NULL) {
        const char *e = hint->entry = (const char *)place_entry(p);
        __builtin_prefetch(e, 0, FETCH_FAR);
        __builtin_prefetch(e + 64, 0, FETCH_FAR);
    }
}

/* The last piece of its way, shortly before it is needed. */
static inline __attribute__((always_inline)) void table_prefetch_near(const struct table_hint *hint)
{
    if (hint->entry == NULL)
        return;
    __builtin_prefetch(hint->entry);
    __builtin_prefetch(hint->entry + 64);
}

static inline struct place *table_find_hinted(const struct table *t, uint64_t hash,
                                              struct slice key, const struct table_hint *hint)
{
    struct place *p = hint->place;
    if (hint->version == t->version && (p == NULL || slice_equal(entry_key(place_entry(p)), key)))
        return p;
    return table_find(t, hash, key);
}

/* Visits entries in the order of their hashes, from a cursor on (0: the beginning), until at least
 * `want` were visited; the next cursor, 0: all were. A cursor is the first 48 bits of a hash.
 *
 * An entry that is in the table from the first call to the last is visited at least once, whatever
 * is inserted, removed, split or merged between the calls; more than once only if the table shrank
 * meanwhile. Nothing may be inserted or removed during a call. */
uint64_t table_scan(const struct table *t, uint64_t cursor, size_t want,
                    void (*visit)(void *who, struct entry *e), void *who);

/* Has a scan that returned this cursor (not 0) visited all entries of this hash? */
static inline bool table_scan_passed(uint64_t cursor, uint64_t hash)
{
    return hash >> (64 - CURSOR_BITS) < cursor;
}

/* An entry by chance, NULL if there is none; and up to n of them, in groups of neighbours, some
 * perhaps twice: how many it got, 0 only if there is none or n is 0. An entry's chance differs from
 * another's by as much as the segments' loads do: at most twofold, but where a sweep has been. */
struct entry *table_random(const struct table *t, struct rng *rng);
size_t table_sample(const struct table *t, struct rng *rng, struct entry **out, size_t n);

/* Empties the table in steps of `want` keys and what is left of a bucket, from a cursor on as
 * table_scan; drop gets each entry (NULL: nobody, and whole segments go at once). Returns the next
 * cursor, 0: the table is empty and holds no memory. Between the steps nothing is inserted.
 * table_free does it all at once. */
uint64_t table_free_some(struct table *t, uint64_t cursor, size_t want,
                         void (*drop)(void *who, struct entry *e), void *who);
void table_free(struct table *t, void (*drop)(void *who, struct entry *e), void *who);

/* Every invariant; reads everything. */
void table_check(const struct table *t);

#endif

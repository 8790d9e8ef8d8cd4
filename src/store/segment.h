/* SPDX-License-Identifier: BSD-3-Clause */

/* A piece of a table: n buckets for the keys whose hashes begin with the same `depth` bits.
 *
 *     hash    | depth bits | 16 bits: position |  ...  | 8 bits: tag |
 *     bucket  | tag tag tag tag tag tag tag passed | place place place place place place place |
 *                                                        16 bits position, 48 bits address
 *
 * A key's home is bucket position * n >> 16: a greater hash is never in an earlier home, whatever n
 * is, so a walk over the homes is a walk in hash order. A key whose home is full goes into the next
 * bucket with room, round the end to the first; each bucket it passed counts it in `passed`, and a
 * search goes on from a bucket only where that is not zero. A count that reached 255 stays there
 * until the segment is rebuilt, which is right, only slower.
 *
 * The last place of bucket 0 holds the number of keys, under a tag no key has. Because the position
 * is kept beside the address, growing and shrinking touch no entry; a split needs one more bit of
 * each hash, and so reads each key. */
#ifndef STORE_SEGMENT_H
#define STORE_SEGMENT_H

#include <assert.h>
#include <stdint.h>

#include "base/hash.h"
#include "store/entry.h"

enum { BUCKET_PLACES = 7 };
enum { SEGMENT_BUCKETS_MAX = 0xffff }; /* a directory word has 16 bits for it */
enum { TAG_EMPTY = 0, TAG_COUNT = 1 }; /* no key has these */
enum { PASSED_STUCK = 255 };

/* Where an entry is: stays valid until something is inserted into or removed from the table. */
struct place {
    uint64_t bits;
};

struct bucket {
    uint8_t tag[BUCKET_PLACES];
    uint8_t passed;
    struct place place[BUCKET_PLACES];
};
static_assert(sizeof(struct bucket) == 64, "a bucket is a cache line");

struct segment {
    struct bucket *b; /* NULL: no key */
    uint32_t n;       /* buckets */
    unsigned depth;
};

static inline struct entry *place_entry(const struct place *p)
{
    return (struct entry *)(uintptr_t)(p->bits & 0x0000ffffffffffffu);
}

/* The entry has moved to another address. */
static inline void place_set(struct place *p, struct entry *e)
{
    p->bits = (p->bits & 0xffff000000000000u) | (uintptr_t)e;
}

static inline uint32_t place_position(const struct place *p)
{
    return (uint32_t)(p->bits >> 48);
}

static inline uint32_t position_of(uint64_t hash, unsigned depth)
{
    return (uint32_t)(hash << depth >> 48);
}

static inline uint32_t home_of(struct segment s, uint32_t position)
{
    return (uint32_t)((uint64_t)position * s.n >> 16);
}

static inline uint32_t bucket_after(struct segment s, uint32_t at)
{
    return at + 1 == s.n ? 0 : at + 1;
}

static inline uint8_t tag_of(uint64_t hash)
{
    uint8_t tag = (uint8_t)hash;
    return (uint8_t)(tag <= TAG_COUNT ? tag + 2 : tag);
}

/* All seven tags compared at once: bit 8i + 7 is set where tag[i] is this one, exactly. */
static inline uint64_t bucket_match(const struct bucket *b, uint8_t tag)
{
    const uint64_t low = 0x7f7f7f7f7f7f7f7fu;
    uint64_t w;
    memcpy(&w, b, sizeof(w));
    w ^= 0x0101010101010101u * tag;
    return ~(((w & low) + low) | w | low) & 0x0080808080808080u;
}

static inline unsigned match_index(uint64_t match)
{
    return (unsigned)__builtin_ctzll(match) >> 3;
}

static inline size_t segment_keys_n(struct segment s)
{
    return s.b != NULL ? s.b[0].place[BUCKET_PLACES - 1].bits : 0;
}

/* How many keys n buckets take: 7/8 of the places, so that most keys are at home. */
static inline size_t segment_room(uint32_t n)
{
    size_t places = (size_t)n * BUCKET_PLACES;
    return places - places / 8 - 1;
}

/* How many buckets for so many keys: a whole allocation of the allocator's. */
uint32_t segment_buckets_for(size_t keys_n);

/* The keys of a segment counted by the eighth of its range in which they are, with positions
 * shifted as by segment_pour; and the buckets for keys so spread, with room for some more. Where
 * the keys of a range are dropped in its order, those that are left stand close together. */
enum { SPREAD_RANGES = 8 };
void segment_spread(struct segment s, unsigned shift, uint32_t high, size_t spread[SPREAD_RANGES]);
uint32_t segment_buckets_for_spread(const size_t spread[SPREAD_RANGES]);
bool segment_spread_is_even(const size_t spread[SPREAD_RANGES]);

struct segment segment_new(uint32_t n, unsigned depth); /* of no keys; n > 0 */
void segment_free(struct segment s);
struct place *segment_put(struct segment s, uint32_t position, uint8_t tag, const struct entry *e);
void segment_take(struct segment s, struct place *p);

/* All keys of `from` into `to`, with positions shifted right and `high` in front: resizing (0, 0)
 * and merging (1, which half). `from` is freed. */
void segment_pour(struct segment from, struct segment to, unsigned shift, uint32_t high);

/* Two segments, one bit deeper, of the keys of one, which is freed. A half without keys has no
 * buckets. */
void segment_split(struct segment from, struct segment half[2], const struct hash_secret *key,
                   uint64_t (*hash)(const struct hash_secret *key, struct slice s));

/* Calls for each entry whose home is this bucket; how many they were. */
size_t segment_visit_home(struct segment s, uint32_t home,
                          void (*visit)(void *who, struct entry *e), void *who);

/* The first place of a bucket with this tag and position, or NULL. */
static inline struct place *bucket_place(struct bucket *b, uint8_t tag, uint32_t position)
{
    for (uint64_t m = bucket_match(b, tag); m != 0; m &= m - 1)
        if (place_position(&b->place[match_index(m)]) == position)
            return &b->place[match_index(m)];
    return NULL;
}

/* The same of a segment: NULL: none is there. */
static inline struct place *segment_hint(struct segment s, uint64_t hash)
{
    uint32_t position = position_of(hash, s.depth);
    uint32_t at = home_of(s, position);
    for (uint32_t i = 0; i < s.n; i++) {
        struct bucket *b = &s.b[at];
        struct place *p = bucket_place(b, tag_of(hash), position);
        if (p != NULL)
            return p;
        if (b->passed == 0)
            return NULL;
        at = bucket_after(s, at);
    }
    return NULL;
}

static inline struct place *segment_find(struct segment s, uint64_t hash, struct slice key)
{
    uint32_t position = position_of(hash, s.depth);
    uint32_t at = home_of(s, position);
    uint8_t tag = tag_of(hash);
    for (uint32_t i = 0; i < s.n; i++) {
        struct bucket *b = &s.b[at];
        for (uint64_t m = bucket_match(b, tag); m != 0; m &= m - 1) {
            struct place *p = &b->place[match_index(m)];
            if (place_position(p) == position && slice_equal(entry_key(place_entry(p)), key))
                return p;
        }
        if (b->passed == 0)
            return NULL;
        at = bucket_after(s, at);
    }
    return NULL;
}

#endif

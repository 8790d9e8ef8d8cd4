/* SPDX-License-Identifier: BSD-3-Clause */

/* A slot's digest as of one moment T, while its keys go on changing (replication 29): 128 bits, the
 * same wherever the slot has the same keys, values and expiries, in whatever tables.
 *
 *     slot_digest_begin = T   slot_digest_step ... slot_digest_step -> true
 *                             in between, whoever changes a key first calls digest_hand_out
 *
 * Each entry is a pair of keyed hashes, the digest their sum: so the order does not matter in which
 * they come. The scan goes in the order of hashes, and what is before its cursor is in the sum
 * already. A key behind it that changes is put in as it was before its first change, and noted; so
 * are keys that come into being; the scan goes past those that are noted.
 *
 * Values longer than a piece are kept as they were (blobs have several readers), and put in
 * piece by piece. */
#ifndef STORE_SLOT_DIGEST_H
#define STORE_SLOT_DIGEST_H

#include "store/store.h"

enum { DIGEST_PIECE_BYTES = 64 * 1024 }; /* hashed at once: about 0.1 ms */
/* Keys: more would be a long step when their table grows. */
enum { DIGEST_NOTED_MOST = 64 * 1024 };

struct digest_item { /* of one key: what its pieces are hashed with */
    uint64_t key[2], expiry;
};

struct digest_big { /* a value on its way into the sum */
    struct digest_item item;
    struct blob *value;
    size_t said;
};

struct slot_digest {
    unsigned slot;
    struct hash_key key;
    uint64_t sum[2];
    uint64_t cursor; /* keys of hashes before it are in the sum; */
    bool scanned;    /* all are */
    /* the slot was emptied or replaced, or too many keys were changed: there is no digest */
    bool is_void;
    /* hashes of keys that are not to be scanned: a table of noted_cap places, 0: free */
    uint64_t *noted;
    size_t noted_n, noted_cap;
    VEC(struct digest_big) bigs;
};

/* Of what the slot holds now. One is under way in a store at most; it is not moved, and ended
 * in the end. */
void slot_digest_begin(struct store *s, struct slot_digest *d, unsigned slot, struct hash_key key);
/* Until about so many entries, or so many bytes of values, were looked at. True: it is
 * done, or void. */
bool slot_digest_step(struct store *s, struct slot_digest *d, size_t entries, size_t bytes);
void slot_digest_end(struct store *s, struct slot_digest *d);

/* ------------------------------------------------- for the store's own */

void digest_hand_out_now(struct slot_digest *d, uint64_t hash, struct entry *e);

/* Before the entry of this hash changes or leaves the table at this place of s->slots; NULL: before
 * it comes there. */
static inline void digest_hand_out(struct store *s, unsigned at, uint64_t hash, struct entry *e)
{
    if (__builtin_expect(s->digest != NULL, 0) && s->digest->slot == at)
        digest_hand_out_now(s->digest, hash, e);
}

/* The table there is another one, or emptied. */
static inline void digest_replaced(struct store *s, unsigned at)
{
    if (s->digest != NULL && s->digest->slot == at)
        s->digest->is_void = true;
}

#endif

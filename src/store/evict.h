/* SPDX-License-Identifier: BSD-3-Clause */

/* Whom to drop when memory is short, as Redis does it: by samples, with a pool of the best
 * candidates seen so far.
 *
 * An entry's clock has 24 bits. For LRU they are the second of its last access, modulo 2^24. For
 * LFU they are 16 bits of minutes, when the counter was last brought up to date, and a counter of 8
 * bits that grows with the logarithm of the accesses and shrinks with the minutes:
 *
 *     counter 255: stays; else it grows with probability 1 / ((counter - 5) * lfu-log-factor + 1),
 *     for counters up to 5: with certainty;
 *     it loses one for each lfu-decay-time minutes passed (0: never); new entries have 5. */
#ifndef STORE_EVICT_H
#define STORE_EVICT_H

#include "store/store.h"

enum { EVICT_LRU_MAX = ENTRY_CLOCK_MAX };
enum { EVICT_LFU_NEW = 5 }; /* so that a new key lives long enough to be used again */
enum { EVICT_POOL = 16 };
enum { EVICT_SAMPLES_MAX = 64 }; /* of maxmemory-samples, what is looked at in one go */

enum evict_policy {
    EVICT_VOLATILE_LRU,
    EVICT_VOLATILE_LFU,
    EVICT_VOLATILE_RANDOM,
    EVICT_VOLATILE_TTL,
    EVICT_ALLKEYS_LRU,
    EVICT_ALLKEYS_LFU,
    EVICT_ALLKEYS_RANDOM,
    EVICT_NOEVICTION
};

/* A key seen in a sample; it may be gone by the time it is looked for. */
struct evict_candidate {
    uint64_t score; /* greater: rather this one */
    uint64_t hash;
    unsigned at; /* the place of its table */
    char *key;   /* owned */
    size_t key_n, key_cap;
};

struct evict_pool {
    struct evict_candidate at[EVICT_POOL]; /* greatest score first */
    unsigned n;
    unsigned next_db; /* where the random policies go on */
    enum evict_policy policy;
};

void evict_pool_init(struct evict_pool *pool);
void evict_pool_free(struct evict_pool *pool);

/* Slots that keys may be taken of; has() is asked for one by chance, a few times. */
struct evict_from {
    bool (*has)(const struct evict_from *from, unsigned slot);
};

/* The entry to drop next and its database, or NULL: there is none to drop. Nothing is changed in
 * the store; the caller drops it, or is offered another one next time. from: of these slots alone;
 * NULL also where by chance none was found. It has a pool of its own. */
struct entry *evict_pick(struct store *s, enum evict_policy policy, unsigned samples,
                         struct evict_pool *pool, const struct evict_from *from, unsigned *db);

/* How many entries of a slot the policy could let go. */
size_t evict_candidates_n(const struct store *s, enum evict_policy policy, unsigned slot);

/* What OBJECT IDLETIME and OBJECT FREQ say, and RESTORE's IDLETIME and FREQ set. */
uint64_t evict_idle_seconds(const struct store *s, const struct entry *e);
uint8_t evict_frequency(const struct store *s, const struct entry *e);
void evict_set_idle_seconds(const struct store *s, struct entry *e, uint64_t seconds);
void evict_set_frequency(const struct store *s, struct entry *e, uint8_t frequency);

/* ------------------------------------------------- for the store's own */

uint32_t evict_clock_new(const struct store *s); /* of a new entry */
/* Of an entry just used, LFU. */
uint32_t evict_clock_used(struct store *s, const struct entry *e);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/evict.h"

#include <limits.h>

#include "base/check.h"
#include "base/mem.h"
#include "store/slots.h"

enum { LFU_MAX = 255 };
enum { SLOTS_TRIED = 64 };      /* for one of those that are meant: about 10 us */
enum { KEPT_KEY_BYTES = 1024 }; /* a longer candidate's memory is not kept for the next one */

/* ------------------------------------------------------------- the clocks */

uint32_t evict_clock_new(const struct store *s)
{
    return s->lfu ? (uint32_t)s->lfu_minutes << 8 | EVICT_LFU_NEW : s->lru_clock;
}

/* Minutes since the counter was brought up to date; the clock of 16 bits went round
 * at most once. */
static unsigned lfu_elapsed(const struct store *s, const struct entry *e)
{
    unsigned then = (unsigned)e->clock >> 8, now = s->lfu_minutes;
    return now >= then ? now - then : 65535 - then + now;
}

uint8_t evict_frequency(const struct store *s, const struct entry *e)
{
    unsigned counter = e->clock & 255;
    unsigned decay = s->lfu_decay_minutes > 0 ? (unsigned)s->lfu_decay_minutes : 0;
    unsigned periods = decay > 0 ? lfu_elapsed(s, e) / decay : 0;
    return (uint8_t)(periods < counter ? counter - periods : 0);
}

/* One access more, counted with the probability of evict.h. */
static unsigned lfu_grown(struct store *s, unsigned counter)
{
    if (counter == LFU_MAX)
        return counter;
    double above = counter > EVICT_LFU_NEW ? (double)(counter - EVICT_LFU_NEW) : 0;
    double chance = 1.0 / (above * s->lfu_log_factor + 1);
    double dice = (double)(rng_next(&s->rng) >> 11) * 0x1p-53;
    return dice < chance ? counter + 1 : counter;
}

uint32_t evict_clock_used(struct store *s, const struct entry *e)
{
    return (uint32_t)s->lfu_minutes << 8 | lfu_grown(s, evict_frequency(s, e));
}

uint64_t evict_idle_seconds(const struct store *s, const struct entry *e)
{
    uint64_t then = e->clock, now = s->lru_clock;
    return now >= then ? now - then : now + EVICT_LRU_MAX - then;
}

void evict_set_idle_seconds(const struct store *s, struct entry *e, uint64_t seconds)
{
    /* What lies before the clock's last turn is dated as old as can be told: half a turn. */
    uint64_t then = seconds <= s->lru_clock
                        ? s->lru_clock - seconds
                        : (s->lru_clock + (uint64_t)EVICT_LRU_MAX / 2) % EVICT_LRU_MAX;
    e->clock = then & EVICT_LRU_MAX;
}

void evict_set_frequency(const struct store *s, struct entry *e, uint8_t frequency)
{
    e->clock = ((uint32_t)s->lfu_minutes << 8 | frequency) & EVICT_LRU_MAX;
}

/* --------------------------------------------------------------- the pool */

void evict_pool_init(struct evict_pool *pool)
{
    *pool = (struct evict_pool){.policy = EVICT_NOEVICTION};
}

void evict_pool_free(struct evict_pool *pool)
{
    for (unsigned i = 0; i < EVICT_POOL; i++)
        mem_free(pool->at[i].key);
    evict_pool_init(pool);
}

/* Places from n on keep the memory of keys that were there. */
static void pool_remove(struct evict_pool *pool, unsigned i)
{
    struct evict_candidate gone = pool->at[i];
    if (gone.key_cap > KEPT_KEY_BYTES) {
        mem_free(gone.key);
        gone = (struct evict_candidate){0};
    }
    pool->n--;
    memmove(&pool->at[i], &pool->at[i + 1], (pool->n - i) * sizeof(pool->at[0]));
    pool->at[pool->n] = gone;
}

static bool candidate_set_key(struct evict_candidate *c, struct slice key)
{
    if (key.n > c->key_cap) {
        size_t cap = mem_good_size(key.n);
        char *p = mem_try_resize(c->key, cap);
        if (p == NULL)
            return false;
        c->key = p;
        c->key_cap = cap;
    }
    if (key.n > 0)
        memcpy(c->key, key.p, key.n);
    c->key_n = key.n;
    return true;
}

static void pool_add(struct evict_pool *pool, uint64_t score, unsigned at, uint64_t hash,
                     struct slice key)
{
    for (unsigned i = 0; i < pool->n; i++)
        if (pool->at[i].hash == hash && pool->at[i].at == at) {
            pool_remove(pool, i); /* seen before; its score may have changed */
            break;
        }
    unsigned to = 0;
    while (to < pool->n && pool->at[to].score >= score)
        to++;
    if (to == EVICT_POOL)
        return;
    unsigned last = pool->n < EVICT_POOL ? pool->n : EVICT_POOL - 1;
    if (!candidate_set_key(&pool->at[last], key))
        return; /* memory is short for so long a key: then another one is picked */
    struct evict_candidate c = pool->at[last];
    c.score = score;
    c.at = at;
    c.hash = hash;
    memmove(&pool->at[to + 1], &pool->at[to], (last - to) * sizeof(c));
    pool->at[to] = c;
    pool->n = last + 1;
}

/* --------------------------------------------------------------- the pick */

static bool is_volatile(enum evict_policy policy)
{
    return policy == EVICT_VOLATILE_LRU || policy == EVICT_VOLATILE_LFU ||
           policy == EVICT_VOLATILE_RANDOM || policy == EVICT_VOLATILE_TTL;
}

static enum slots_index index_for(enum evict_policy policy)
{
    return is_volatile(policy) ? SLOTS_DUES : SLOTS_KEYS;
}

size_t evict_candidates_n(const struct store *s, enum evict_policy policy, unsigned slot)
{
    return policy == EVICT_NOEVICTION ? 0 : table_n(slots_table(s, slot, index_for(policy)));
}

static uint64_t score_of(const struct store *s, enum evict_policy policy, const struct entry *e)
{
    if (policy == EVICT_VOLATILE_TTL)
        return (uint64_t)INT64_MAX - (uint64_t)entry_expiry(e).ms; /* an expiry is never negative */
    if (policy == EVICT_VOLATILE_LFU || policy == EVICT_ALLKEYS_LFU)
        return LFU_MAX - (uint64_t)evict_frequency(s, e);
    return evict_idle_seconds(s, e);
}

/* A slot by chance, of those that are meant; UINT_MAX: none of them came. */
static unsigned pick_slot(struct store *s, unsigned db, enum slots_index index,
                          const struct evict_from *from)
{
    for (unsigned i = 0; i < SLOTS_TRIED; i++) {
        unsigned at = slots_pick(s, db, index);
        if (from == NULL || from->has(from, at))
            return at;
    }
    return UINT_MAX;
}

/* Of a slotted store each sample is of a slot by chance: keys of one tag are often of one age. */
static void pool_sample(struct store *s, struct evict_pool *pool, unsigned db, unsigned samples,
                        const struct evict_from *from)
{
    enum slots_index index = index_for(pool->policy);
    unsigned most = s->is_slotted ? 1 : EVICT_SAMPLES_MAX;
    if (slots_sum(s, db, index) == 0)
        return;
    while (samples > 0) {
        struct entry *seen[EVICT_SAMPLES_MAX];
        unsigned want = samples < most ? samples : most;
        unsigned at = pick_slot(s, db, index, from);
        if (at == UINT_MAX)
            return;
        const struct table *t = slots_table(s, at, index);
        size_t n = table_sample(t, &s->rng, seen, want);
        for (size_t i = 0; i < n; i++)
            pool_add(pool, score_of(s, pool->policy, seen[i]), at,
                     table_hash(t, entry_key(seen[i])), entry_key(seen[i]));
        samples -= want;
    }
}

/* The best candidate that is still there. */
static struct entry *pool_pick(const struct store *s, struct evict_pool *pool,
                               const struct evict_from *from, unsigned *db)
{
    while (pool->n > 0) {
        const struct evict_candidate *c = &pool->at[0];
        const struct place *p = table_find(slots_table(s, c->at, index_for(pool->policy)), c->hash,
                                           slice_of(c->key, c->key_n));
        /* since it was seen */
        bool aside = store_slot_is_aside(s, c->at) || (from != NULL && !from->has(from, c->at));
        *db = slots_db(s, c->at);
        pool_remove(pool, 0);
        if (p != NULL && !aside)
            return place_entry(p);
    }
    return NULL;
}

static struct entry *pick_random(struct store *s, struct evict_pool *pool,
                                 const struct evict_from *from, unsigned *db)
{
    for (unsigned i = 0; i < s->dbs_n; i++) {
        *db = pool->next_db++ % s->dbs_n;
        enum slots_index index = index_for(pool->policy);
        unsigned at = slots_sum(s, *db, index) > 0 ? pick_slot(s, *db, index, from) : UINT_MAX;
        if (at != UINT_MAX)
            return table_random(slots_table(s, at, index), &s->rng);
    }
    return NULL;
}

struct entry *evict_pick(struct store *s, enum evict_policy policy, unsigned samples,
                         struct evict_pool *pool, const struct evict_from *from, unsigned *db)
{
    if (policy != pool->policy) { /* scores of one policy mean nothing to another */
        while (pool->n > 0)
            pool_remove(pool, pool->n - 1);
        pool->policy = policy;
    }
    if (policy == EVICT_NOEVICTION)
        return NULL;
    if (policy == EVICT_ALLKEYS_RANDOM || policy == EVICT_VOLATILE_RANDOM)
        return pick_random(s, pool, from, db);
    for (unsigned i = 0; i < s->dbs_n; i++)
        pool_sample(s, pool, i, samples > 0 ? samples : 1, from);
    return pool_pick(s, pool, from, db);
}

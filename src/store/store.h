/* SPDX-License-Identifier: BSD-3-Clause */

/* The keyspace: databases, in each one table per slot (alone: one slot), keys and values.
 *
 *     alone          db 0, 1, ... databases-1  -> one slot each -> keys: table of entries,
 *     in a cluster   db 0                      -> 16384 slots   -> dues: index of those that expire
 *
 * One array holds them all: a key's tables are slots[db + key.slot], where one of the two is 0.
 *
 * Everything that changes a key goes through here, because four things hang on each change: the
 * forkless walk (who changes an entry the walk has not reached hands its old value out first), the
 * expiry index, the count of bytes, and the watchers. A type does not know which key it has; a
 * handler (cmd/) does not touch a table.
 *
 * Time comes in as an argument; an entry past its expiry is still found here: hiding or dropping
 * it, with the DEL record that belongs to it, is cmd/exec's business (replication 8). */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bits.h"
#include "base/blob.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/moment.h"
#include "base/rng.h"
#include "base/slice.h"
#include "store/entry.h"
#include "store/table.h"

/* A key with its hash and slot, so that nobody computes them twice, and what the passes over a
 * batch found of it. */
struct key {
    struct slice s;
    uint64_t hash;
    unsigned slot;       /* 0 unless the store is slotted */
    unsigned hint_table; /* in slots: where they looked */
    struct table_hint hint;
};

/* Who is told of what happens to keys. All borrowed for the call. */
struct store_ops {
    /* A key was changed, dropped or came into being. Called only while store->watched > 0. */
    void (*touched)(struct store_ops *ops, unsigned db, struct slice key);
    /* A database will be emptied (replaced_by is db then) or swapped: every key that is in it, or
     * in what replaces it, is touched. Only while watched > 0. */
    void (*touched_all)(struct store_ops *ops, unsigned db, unsigned replaced_by);
    /* Every key of this slot of db 0 will be gone. Only while watched > 0. */
    void (*touched_slot)(struct store_ops *ops, unsigned slot);
    /* The walk hands out an entry as of its beginning. */
    void (*walked)(struct store_ops *ops, unsigned db, const struct entry *e);
    /* In a loop that may be long: some more of it is done, a millisecond's worth at most.
     * NULL: nobody asks. */
    void (*worked)(struct store_ops *ops);
};

struct store_slot {
    struct table keys;
    struct table dues;   /* the same entries, those that have an expiry; owns none */
    size_t entry_bytes;  /* of these entries and their blobs */
    double due_ms_sum;   /* of the expiries, for avg_ttl */
    uint64_t due_cursor; /* where the active expiry goes on */
};

struct store_group; /* slots.h */

enum { STORE_SPARES = 2 }; /* tables in which a slot's content is built out of sight */

struct store {
    /* slots_n, and behind them, slotted, the spare ones: in no count but that of bytes */
    struct store_slot *slots;
    struct store_group *groups; /* counts over them */
    unsigned slots_n, dbs_n;    /* as many as databases; slotted: SLOTS and 1 */
    bool is_slotted;            /* a slot of its own for each key's slot_of */
    struct bits aside;          /* slots that are copies of what another node answers for */
    struct hash_secret secret;
    struct rng rng;
    struct store_ops *ops;
    struct graves graves; /* big memory to be freed elsewhere; the owner empties it each turn */
    size_t entry_bytes;   /* of all entries and their blobs */
    size_t table_bytes;   /* of all tables */
    size_t dying_bytes;   /* of entries flushed and not yet freed; in no other count */
    uint64_t changes;     /* counts every change of a key */
    size_t watched;       /* how many watched keys there are; kept by the node */
    uint32_t lru_clock;   /* the entries' 24-bit clock, seconds; store_clock() each turn */
    uint16_t lfu_minutes; /* the same for LFU, minutes */
    bool lfu;             /* maxmemory-policy is one of the LFU ones */
    int lfu_log_factor, lfu_decay_minutes;
    struct store_walk *walk;    /* the walk under way, or NULL; walker.h */
    struct slot_digest *digest; /* the one under way, or NULL; slot_digest.h */
    /* of entries that the walk has, or that came after its beginning */
    uint8_t generation;
    uint8_t generations_n;         /* so many generations up to this one may be found in entries */
    struct list dying, dying_held; /* flushed tables, until they are freed; dying.h */
    unsigned due_db, due_slot;     /* where the active expiry goes on */
};

/* Alone: databases of one slot each. Slotted: one database of SLOTS. The store is
 * not moved afterwards. */
void store_init(struct store *s, unsigned dbs_n, uint64_t seed, struct store_ops *ops);
void store_init_slotted(struct store *s, uint64_t seed, struct store_ops *ops);
void store_free(struct store *s);
/* Of who loops over many keys or big values (S9). */
static inline void store_worked(const struct store *s)
{
    if (s->ops != NULL && s->ops->worked != NULL)
        s->ops->worked(s->ops);
}
void store_clock(struct store *s, struct wall now); /* each turn: what accesses are dated with */

/* For who goes on with store_prefetch_bucket: the hint is not set. */
static inline void key_set(struct key *k, const struct store *s, struct slice name)
{
    k->s = name;
    k->hash = hash_secret(&s->secret, name);
    k->slot = s->is_slotted ? slot_of(name) : 0;
}

static inline struct key key_of(const struct store *s, struct slice name)
{
    struct key k = {.hint_table = 0};
    key_set(&k, s, name);
    return k;
}

/* ------------------------------------------------------------------ look */

/* Where k's entry is; NULL: none. */
static inline struct place *store_place(const struct store *s, unsigned db, const struct key *k)
{
    const struct table *t = &s->slots[db + k->slot].keys;
    return k->hint_table == db + k->slot ? table_find_hinted(t, k->hash, k->s, &k->hint)
                                         : table_find(t, k->hash, k->s);
}

/* NULL: none */
static inline struct entry *store_find(struct store *s, unsigned db, const struct key *k)
{
    const struct place *p = store_place(s, db, k);
    return p != NULL ? place_entry(p) : NULL;
}

void store_used_lfu(struct store *s, struct entry *e);

/* An access: LRU clock or LFU counter. What is written anew for nothing would be
 * written to memory. */
static inline void store_used(struct store *s, struct entry *e)
{
    if (__builtin_expect(s->lfu, 0))
        store_used_lfu(s, e);
    else if (e->clock != s->lru_clock)
        e->clock = s->lru_clock & ENTRY_CLOCK_MAX;
}

/* Is its time over? In the very millisecond of its expiry an entry is still there, as in Redis. */
static inline bool store_is_due(const struct entry *e, struct wall now)
{
    return now.ms > entry_expiry(e).ms;
}

/* As of all that is of a database: without those aside. */
size_t store_keys_n(const struct store *s, unsigned db);
size_t store_dues_n(const struct store *s, unsigned db);
double store_due_ms_sum(const struct store *s, unsigned db); /* of all expiries */
/* entries, blobs, tables; without what is dying */
static inline size_t store_bytes(const struct store *s)
{
    return s->entry_bytes + s->table_bytes;
}
/* Of a database's tables of keys; O(slots). */
size_t store_keys_bytes(const struct store *s, unsigned db);
size_t store_dues_bytes(const struct store *s, unsigned db); /* of its indices of expiries */

/* The two passes over a batch before it runs (hot-path.md 1), each over all its keys. A key is then
 * looked for where they found it, as long as its table has not changed. Of many slots the tables
 * themselves are worth fetching, before the first pass. */
static inline __attribute__((always_inline)) void store_prefetch_table(const struct store *s,
                                                                       unsigned db,
                                                                       const struct key *k)
{
    const struct table *t = &s->slots[db + k->slot].keys;
    __builtin_prefetch(&t->word, 0, FETCH_FAR);
    __builtin_prefetch(&t->key, 0, FETCH_FAR);
}

static inline void store_prefetch_bucket(struct store *s, unsigned db, struct key *k)
{
    k->hint_table = db + k->slot;
    table_prefetch_bucket(&s->slots[k->hint_table].keys, k->hash, &k->hint);
}

static inline void store_prefetch_entry(struct store *s, struct key *k)
{
    table_prefetch_entry(&s->slots[k->hint_table].keys, k->hash, &k->hint);
}

/* ---------------------------------------------------------------- change
 *
 * The bytes of a key may lie in the store's own entry for store_drop only; those of a value may
 * always. */

/* Puts a string under k, whatever was there; until: WALL_NEVER or the expiry. ERR_NOMEM: nothing
 * changed. */
enum err store_put(struct store *s, unsigned db, const struct key *k, struct slice value,
                   struct wall until) MUST_CHECK;
/* The same with a blob, whose reference it takes on success. Small blobs are copied. */
enum err store_put_blob(struct store *s, unsigned db, const struct key *k, struct blob *value,
                        struct wall until) MUST_CHECK;
/* An integer as the value of k, which is there; its expiry stays. */
enum err store_put_number(struct store *s, unsigned db, const struct key *k, int64_t v) MUST_CHECK;
bool store_drop(struct store *s, unsigned db, const struct key *k); /* false: was not there */
/* k is there; WALL_NEVER takes the expiry away, which is never refused.
 * ERR_NOMEM: nothing changed. */
enum err store_set_expiry(struct store *s, unsigned db, const struct key *k,
                          struct wall until) MUST_CHECK;

/* The string at k made n bytes long (n > 0) in place for writing, k there or not; new bytes are
 * zero, the expiry stays. The bytes may be written until the next call here. NULL: memory was
 * refused, nothing changed. */
char *store_edit(struct store *s, unsigned db, const struct key *k, size_t n);

/* from's entry goes to another name or database with value and expiry; what was at the target is
 * dropped. from must be there. ERR_NOMEM: nothing changed. */
enum err store_move(struct store *s, unsigned db, const struct key *from, unsigned to_db,
                    const struct key *to) MUST_CHECK;
enum err store_copy(struct store *s, unsigned db, const struct key *from, unsigned to_db,
                    const struct key *to) MUST_CHECK;

/* O(slots): tables go to be freed in steps, or to the walk. */
void store_flush(struct store *s, unsigned db);
void store_swap(struct store *s, unsigned a, unsigned b); /* not slotted */

/* Work left over from flushes and cancelled walks: while there is some, the node calls store_idle
 * each turn with so many entries as it has time for. */
bool store_has_idle_work(const struct store *s);
void store_idle(struct store *s, size_t budget);

/* ------------------------------------------------------------------ many */

/* Visits entries from a cursor in table order, slot by slot; the next cursor, 0: done. See
 * table_scan's guarantee: a cursor is a slot, 14 bits, and the cursor in its table, 48. */
uint64_t store_scan(struct store *s, unsigned db, uint64_t cursor, size_t want,
                    void (*visit)(void *who, struct entry *e), void *who);
struct entry *store_random(struct store *s, unsigned db); /* NULL: empty */

/* -------------------------------------------------------------- one slot
 *
 * Of a slotted store. A slot that is aside is found by its keys and by its number only: no count of
 * a database has it, no scan, no flush, nothing that picks an entry by chance, for its age or its
 * expiry. */

void store_slot_set_aside(struct store *s, unsigned slot, bool aside);
static inline bool store_slot_is_aside(const struct store *s, unsigned slot)
{
    return bits_has(&s->aside, slot);
}
size_t store_aside_keys_n(const struct store *s); /* in all slots that are */
size_t store_slot_keys_n(const struct store *s, unsigned slot);
size_t store_slot_bytes(const struct store *s, unsigned slot); /* of its entries and their blobs */
uint64_t store_slot_scan(struct store *s, unsigned slot, uint64_t cursor, size_t want,
                         void (*visit)(void *who, struct entry *e), void *who);
/* The first from here on with keys, not aside; SLOTS: none. */
unsigned store_slot_next(const struct store *s, unsigned slot);
void store_slot_flush(struct store *s, unsigned slot); /* O(1) */

/* A slot's content built aside: to fill the spare table it changes places with the slot's, and
 * back. While one holds something no walk begins (S11). */
static inline unsigned store_spare(unsigned i)
{
    return SLOTS + i;
}
void store_spare_swap(struct store *s, unsigned i, unsigned slot);
/* Its content is the slot's from here on; O(1). */
void store_spare_take(struct store *s, unsigned i, unsigned slot);
void store_spare_flush(struct store *s, unsigned i); /* O(1) */
bool store_spares_empty(const struct store *s);

/* Every invariant (S1 to S3); reads everything. */
void store_check(struct store *s);

#endif

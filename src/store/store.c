/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/store.h"

#include "base/check.h"
#include "base/mem.h"
#include "store/dying.h"
#include "store/evict.h"
#include "store/walker.h"

static void db_init(struct store *s, struct store_db *d)
{
    *d = (struct store_db){0};
    table_init(&d->keys, &s->hash_key);
    table_init(&d->dues, &s->hash_key);
}

void store_init(struct store *s, unsigned dbs_n, uint64_t seed, struct store_ops *ops)
{
    *s = (struct store){.dbs_n = dbs_n, .ops = ops, .generations_n = 1};
    rng_seed(&s->rng, seed);
    s->hash_key = (struct hash_key){rng_next(&s->rng), rng_next(&s->rng)};
    s->dbs = mem_get(dbs_n * sizeof(*s->dbs));
    for (unsigned db = 0; db < dbs_n; db++)
        db_init(s, &s->dbs[db]);
}

void store_free(struct store *s)
{
    walk_free(s);
    for (unsigned db = 0; db < s->dbs_n; db++)
        dying_add(s, &s->dbs[db]);
    dying_free(s);
    graves_free(&s->graves);
    mem_free(s->dbs);
    *s = (struct store){0};
}

void store_clock(struct store *s, struct wall now)
{
    s->lru_clock = (uint32_t)(now.ms / 1000) & EVICT_LRU_MAX;
    s->lfu_minutes = (uint16_t)(now.ms / 60000);
}

/* ------------------------------------------------------------------ look */

static struct place *place_of(const struct store *s, unsigned db, const struct key *k)
{
    const struct table *t = &s->dbs[db].keys;
    const struct store_hint *h = &s->hints[k->hash % STORE_HINTS];
    if (h->hash == k->hash && h->db == db)
        return table_find_hinted(t, k->hash, k->s, h->at);
    return table_find(t, k->hash, k->s);
}

struct entry *store_find(struct store *s, unsigned db, const struct key *k)
{
    const struct place *p = place_of(s, db, k);
    return p != NULL ? place_entry(p) : NULL;
}

void store_used(struct store *s, struct entry *e)
{
    e->clock = evict_clock_used(s, e) & EVICT_LRU_MAX;
}

size_t store_keys_n(const struct store *s, unsigned db)
{
    return table_n(&s->dbs[db].keys);
}

size_t store_dues_n(const struct store *s, unsigned db)
{
    return table_n(&s->dbs[db].dues);
}

size_t store_bytes(const struct store *s)
{
    size_t sum = s->entry_bytes;
    for (unsigned db = 0; db < s->dbs_n; db++)
        sum += table_bytes(&s->dbs[db].keys) + table_bytes(&s->dbs[db].dues);
    return sum;
}

void store_prefetch_bucket(struct store *s, unsigned db, const struct key *k)
{
    table_prefetch_bucket(&s->dbs[db].keys, k->hash);
}

void store_prefetch_entry(struct store *s, unsigned db, const struct key *k)
{
    s->hints[k->hash % STORE_HINTS] = (struct store_hint){
        .hash = k->hash,
        .at = table_prefetch_entry(&s->dbs[db].keys, k->hash),
        .db = db,
    };
}

/* A hint tells a table's version, not which table it was. */
static void forget_hints(struct store *s)
{
    memset(s->hints, 0, sizeof(s->hints));
}

/* ---------------------------------------------------------------- change */

static void bytes_changed(struct store *s, struct store_db *d, size_t before, size_t after)
{
    s->entry_bytes += after - before;
    d->entry_bytes += after - before;
}

static void touched(struct store *s, unsigned db, struct slice key)
{
    s->changes++;
    if (s->watched > 0)
        s->ops->touched(s->ops, db, key);
}

/* The sum is of doubles, and differences leave rests behind: it begins anew where it can. */
static void due_sum(struct store_db *d, struct wall until, double sign)
{
    d->due_ms_sum = table_n(&d->dues) > 0 ? d->due_ms_sum + sign * (double)until.ms : 0;
}

static void due_add(struct store_db *d, uint64_t hash, struct entry *e)
{
    table_insert(&d->dues, hash, e);
    due_sum(d, entry_expiry(e), 1);
}

/* An entry on its way to another value or expiry, perhaps another address: what must be known from
 * before to put both tables and the counts right after. */
struct change {
    struct place *place, *due; /* due: in the index; NULL: it has no expiry */
    size_t bytes;
    struct wall until;
};

static struct change change_begin(struct store *s, unsigned db, const struct key *k,
                                  struct place *p)
{
    struct entry *e = place_entry(p);
    walk_hand_out(s, db, e); /* S6 */
    struct change c = {.place = p, .bytes = entry_bytes(e), .until = entry_expiry(e)};
    if (!wall_is_never(c.until)) {
        c.due = table_find(&s->dbs[db].dues, k->hash, k->s);
        check(c.due != NULL); /* S2 */
    }
    return c;
}

static void change_end(struct store *s, unsigned db, const struct key *k, const struct change *c,
                       struct entry *e)
{
    struct store_db *d = &s->dbs[db];
    struct wall until = entry_expiry(e);
    if (e != place_entry(c->place) || e->storage == ENTRY_BLOB) {
        place_set(c->place, e);
        bytes_changed(s, d, c->bytes, entry_bytes(e)); /* S3 */
    }
    if (c->due != NULL) {
        place_set(c->due, e);
        if (wall_is_never(until))
            table_remove_at(&d->dues, k->hash, c->due);
        due_sum(d, c->until, -1);
        if (!wall_is_never(until))
            due_sum(d, until, 1);
    } else if (!wall_is_never(until)) {
        due_add(d, k->hash, e);
    }
    touched(s, db, k->s);
}

/* Into the tables and counts; its key is not there. */
static void link_entry(struct store *s, unsigned db, const struct key *k, struct entry *e)
{
    struct store_db *d = &s->dbs[db];
    e->generation = s->generation & 3u; /* S6: the walk under way shall not have it */
    table_insert(&d->keys, k->hash, e);
    bytes_changed(s, d, 0, entry_bytes(e));
    if (!wall_is_never(entry_expiry(e)))
        due_add(d, k->hash, e);
    touched(s, db, entry_key(e));
}

/* Out of the tables and counts; the entry is the caller's. */
static struct entry *unlink_entry(struct store *s, unsigned db, uint64_t hash, struct place *p)
{
    struct store_db *d = &s->dbs[db];
    struct entry *e = place_entry(p);
    struct wall until = entry_expiry(e);
    walk_hand_out(s, db, e); /* S6 */
    touched(s, db, entry_key(e));
    table_remove_at(&d->keys, hash, p);
    bytes_changed(s, d, entry_bytes(e), 0);
    if (!wall_is_never(until)) {
        struct entry *due = table_remove(&d->dues, hash, entry_key(e));
        check(due == e); /* S2 */
        due_sum(d, until, -1);
    }
    return e;
}

static enum err put_new(struct store *s, unsigned db, const struct key *k, struct entry *e)
{
    if (e == NULL)
        return ERR_NOMEM;
    e->clock = evict_clock_new(s) & EVICT_LRU_MAX;
    link_entry(s, db, k, e);
    return ERR_OK;
}

/* A value put over another counts as an access for LRU; LFU's counter goes on. */
static void put_over(struct store *s, struct entry *e)
{
    if (!s->lfu)
        e->clock = s->lru_clock & EVICT_LRU_MAX;
}

enum err store_put(struct store *s, unsigned db, const struct key *k, struct slice value,
                   struct wall until)
{
    struct place *p = place_of(s, db, k);
    if (p == NULL)
        return put_new(s, db, k, entry_new_string(k->s, value, until));
    struct entry *e = place_entry(p);
    walk_hand_out(s, db, e); /* S6 */
    if (entry_put_same(e, value, until)) {
        put_over(s, e);
        touched(s, db, k->s);
        return ERR_OK;
    }
    struct change c = change_begin(s, db, k, p);
    TRY(entry_put(&e, value, until, &s->graves)); /* S4: nothing was changed before */
    put_over(s, e);
    change_end(s, db, k, &c, e);
    return ERR_OK;
}

enum err store_put_blob(struct store *s, unsigned db, const struct key *k, struct blob *value,
                        struct wall until)
{
    if (value->n <= ENTRY_INLINE_MAX) {
        TRY(store_put(s, db, k, blob_slice(value), until));
        blob_drop(value, &s->graves);
        return ERR_OK;
    }
    struct place *p = place_of(s, db, k);
    if (p == NULL)
        return put_new(s, db, k, entry_new_blob(k->s, value, until));
    struct change c = change_begin(s, db, k, p);
    struct entry *e = place_entry(p);
    TRY(entry_put_blob(&e, value, until, &s->graves));
    put_over(s, e);
    change_end(s, db, k, &c, e);
    return ERR_OK;
}

enum err store_put_number(struct store *s, unsigned db, const struct key *k, int64_t v)
{
    struct place *p = place_of(s, db, k);
    check(p != NULL);
    struct change c = change_begin(s, db, k, p);
    struct entry *e = place_entry(p);
    TRY(entry_put_number(&e, v, &s->graves));
    put_over(s, e);
    change_end(s, db, k, &c, e);
    return ERR_OK;
}

bool store_drop(struct store *s, unsigned db, const struct key *k)
{
    struct place *p = place_of(s, db, k);
    if (p == NULL)
        return false;
    entry_free(unlink_entry(s, db, k->hash, p), &s->graves);
    return true;
}

enum err store_set_expiry(struct store *s, unsigned db, const struct key *k, struct wall until)
{
    struct place *p = place_of(s, db, k);
    check(p != NULL);
    struct change c = change_begin(s, db, k, p);
    struct entry *e = place_entry(p);
    TRY(entry_set_expiry(&e, until));
    change_end(s, db, k, &c, e);
    return ERR_OK;
}

static char *edit_new(struct store *s, unsigned db, const struct key *k, size_t n)
{
    struct entry *e = entry_new_string(k->s, slice_of(NULL, 0), WALL_NEVER);
    if (e == NULL)
        return NULL;
    char *bytes = entry_edit(&e, n, &s->graves);
    if (bytes == NULL) {
        entry_free(e, &s->graves);
        return NULL;
    }
    e->clock = evict_clock_new(s) & EVICT_LRU_MAX;
    link_entry(s, db, k, e);
    return bytes;
}

char *store_edit(struct store *s, unsigned db, const struct key *k, size_t n)
{
    struct place *p = place_of(s, db, k);
    if (p == NULL)
        return edit_new(s, db, k, n);
    struct change c = change_begin(s, db, k, p);
    struct entry *e = place_entry(p);
    char *bytes = entry_edit(&e, n, &s->graves);
    if (bytes != NULL)
        change_end(s, db, k, &c, e);
    return bytes;
}

enum err store_move(struct store *s, unsigned db, const struct key *from, unsigned to_db,
                    const struct key *to)
{
    struct place *p = place_of(s, db, from);
    check(p != NULL);
    bool renamed = !slice_equal(from->s, to->s);
    if (!renamed && db == to_db)
        return ERR_OK;
    struct entry *made = NULL;
    if (renamed && (made = entry_copy(place_entry(p), to->s)) == NULL)
        return ERR_NOMEM;
    struct entry *e = unlink_entry(s, db, from->hash, p);
    store_drop(s, to_db, to);
    if (renamed)
        entry_free(e, &s->graves);
    link_entry(s, to_db, to, renamed ? made : e);
    return ERR_OK;
}

enum err store_copy(struct store *s, unsigned db, const struct key *from, unsigned to_db,
                    const struct key *to)
{
    const struct place *p = place_of(s, db, from);
    check(p != NULL);
    struct entry *made = entry_copy(place_entry(p), to->s);
    if (made == NULL)
        return ERR_NOMEM;
    made->clock = evict_clock_new(s) & EVICT_LRU_MAX;
    store_drop(s, to_db, to);
    link_entry(s, to_db, to, made);
    return ERR_OK;
}

void store_flush(struct store *s, unsigned db)
{
    struct store_db *d = &s->dbs[db];
    if (table_n(&d->keys) == 0)
        return;
    if (s->watched > 0)
        s->ops->touched_all(s->ops, db, db);
    s->changes += table_n(&d->keys);
    s->entry_bytes -= d->entry_bytes;
    struct store_dying *dying = dying_add(s, d);
    walk_flushed(s, db, &dying->keys, &dying->held);
    db_init(s, d);
    forget_hints(s);
}

void store_swap(struct store *s, unsigned a, unsigned b)
{
    if (a == b)
        return;
    if (s->watched > 0) {
        s->ops->touched_all(s->ops, a, b);
        s->ops->touched_all(s->ops, b, a);
    }
    struct store_db was = s->dbs[a];
    s->dbs[a] = s->dbs[b];
    s->dbs[b] = was;
    s->changes++;
    walk_swapped(s, a, b);
    forget_hints(s);
}

bool store_has_idle_work(const struct store *s)
{
    return dying_is_due(s) || walk_is_untidy(s);
}

void store_idle(struct store *s, size_t budget)
{
    dying_step(s, budget);
    walk_tidy(s, budget);
}

/* ------------------------------------------------------------------ many */

uint64_t store_scan(struct store *s, unsigned db, uint64_t cursor, size_t want,
                    void (*visit)(void *who, struct entry *e), void *who)
{
    return table_scan(&s->dbs[db].keys, cursor, want, visit, who);
}

struct entry *store_random(struct store *s, unsigned db)
{
    return table_random(&s->dbs[db].keys, &s->rng);
}

/* ------------------------------------------------------------ invariants */

struct audit {
    const struct store_db *d;
    size_t bytes, dues_n;
};

static void audit_entry(void *who, struct entry *e)
{
    struct audit *a = who;
    uint64_t hash = table_hash(&a->d->keys, entry_key(e));
    const struct place *due = table_find(&a->d->dues, hash, entry_key(e));
    bool has_expiry = !wall_is_never(entry_expiry(e));
    check((due != NULL) == has_expiry);            /* S2 */
    check(due == NULL || place_entry(due) == e);   /* S2 */
    a->bytes += entry_bytes(e);
    a->dues_n += has_expiry;
}

void store_check(struct store *s)
{
    size_t bytes = 0;
    for (unsigned db = 0; db < s->dbs_n; db++) {
        const struct store_db *d = &s->dbs[db];
        table_check(&d->keys); /* S1 */
        table_check(&d->dues);
        struct audit a = {.d = d};
        table_scan(&d->keys, 0, SIZE_MAX, audit_entry, &a);
        check(a.dues_n == table_n(&d->dues));  /* S2 */
        check(a.bytes == d->entry_bytes);      /* S3 */
        bytes += a.bytes;
    }
    check(bytes == s->entry_bytes); /* S3 */
}

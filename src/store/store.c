/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/store.h"

#include "base/bounds.h"
#include "base/check.h"
#include "base/mem.h"
#include "store/dying.h"
#include "store/evict.h"
#include "store/slot_digest.h"
#include "store/slots.h"
#include "store/walker.h"

/* Hints tell a version and a place in slots, but not which table it was: a place whose table is
 * replaced goes on counting. */
static void slot_init(struct store *s, struct store_slot *d, uint64_t version)
{
    *d = (struct store_slot){0};
    table_init(&d->keys, &s->secret);
    table_init(&d->dues, &s->secret);
    d->keys.version += version;
}

/* With the spare ones. */
static unsigned tables_n(const struct store *s)
{
    return s->slots_n + (s->is_slotted ? STORE_SPARES : 0);
}

static void init(struct store *s, unsigned slots_n, bool is_slotted, uint64_t seed,
                 struct store_ops *ops)
{
    *s = (struct store){
        .slots_n = slots_n, .is_slotted = is_slotted, .ops = ops, .generations_n = 1};
    list_init(&s->dying);
    list_init(&s->dying_held);
    rng_seed(&s->rng, seed);
    hash_secret_draw(&s->secret, &s->rng);
    s->slots = mem_get(tables_n(s) * sizeof(*s->slots));
    s->groups = slots_groups_new(slots_n);
    for (unsigned at = 0; at < tables_n(s); at++)
        slot_init(s, &s->slots[at], 0);
}

void store_init(struct store *s, unsigned dbs_n, uint64_t seed, struct store_ops *ops)
{
    init(s, dbs_n, false, seed, ops);
    s->dbs_n = dbs_n;
}

void store_init_slotted(struct store *s, uint64_t seed, struct store_ops *ops)
{
    init(s, SLOTS, true, seed, ops);
    s->dbs_n = 1;
}

void store_free(struct store *s)
{
    walk_free(s);
    for (unsigned at = 0; at < tables_n(s); at++)
        if (table_n(&s->slots[at].keys) > 0)
            dying_add(s, &s->slots[at]);
    dying_free(s);
    graves_free(&s->graves);
    mem_free(s->slots);
    mem_free(s->groups);
    *s = (struct store){0};
}

void store_clock(struct store *s, struct wall now)
{
    s->lru_clock = (uint32_t)(now.ms / 1000) & EVICT_LRU_MAX;
    s->lfu_minutes = (uint16_t)(now.ms / 60000);
}

/* ------------------------------------------------------------------ look */

static inline struct store_slot *slot_at(const struct store *s, unsigned db, const struct key *k)
{
    return &s->slots[db + k->slot];
}

void store_used_lfu(struct store *s, struct entry *e)
{
    e->clock = evict_clock_used(s, e) & EVICT_LRU_MAX;
}

size_t store_keys_n(const struct store *s, unsigned db)
{
    return slots_sum(s, db, SLOTS_KEYS);
}

size_t store_dues_n(const struct store *s, unsigned db)
{
    return slots_sum(s, db, SLOTS_DUES);
}

double store_due_ms_sum(const struct store *s, unsigned db)
{
    struct slots_range r = slots_of_db(s, db);
    double sum = 0;
    for (unsigned at = r.first; (at = slots_next(s, r, at, SLOTS_DUES)) < r.first + r.n; at++)
        sum += s->slots[at].due_ms_sum;
    return sum;
}

static size_t db_bytes(const struct store *s, unsigned db, enum slots_index index)
{
    struct slots_range r = slots_of_db(s, db);
    size_t sum = 0;
    for (unsigned at = r.first; (at = slots_next(s, r, at, index)) < r.first + r.n; at++)
        sum += table_bytes(slots_table(s, at, index));
    return sum;
}

size_t store_keys_bytes(const struct store *s, unsigned db)
{
    return db_bytes(s, db, SLOTS_KEYS);
}

size_t store_dues_bytes(const struct store *s, unsigned db)
{
    return db_bytes(s, db, SLOTS_DUES);
}

/* ---------------------------------------------------------------- change */

static inline struct slots_count *count_of(const struct store *s, const struct store_slot *d)
{
    size_t at = (size_t)(d - s->slots);
    struct store_group *g = &s->groups[at / SLOTS_GROUP];
    return store_slot_is_aside(s, (unsigned)at) ? &g->aside : &g->shown;
}

static void bytes_changed(struct store *s, struct store_slot *d, size_t before, size_t after)
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
static void due_sum(struct store_slot *d, struct wall until, double sign)
{
    d->due_ms_sum = table_n(&d->dues) > 0 ? d->due_ms_sum + sign * (double)until.ms : 0;
}

static void due_add(struct store *s, struct store_slot *d, uint64_t hash, struct entry *e)
{
    s->table_bytes -= table_bytes(&d->dues);
    table_insert(&d->dues, hash, e);
    s->table_bytes += table_bytes(&d->dues);
    count_of(s, d)->dues++;
    due_sum(d, entry_expiry(e), 1);
}

static void due_remove_at(struct store *s, struct store_slot *d, uint64_t hash, struct place *p)
{
    s->table_bytes -= table_bytes(&d->dues);
    table_remove_at(&d->dues, hash, p);
    s->table_bytes += table_bytes(&d->dues);
    count_of(s, d)->dues--;
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
    walk_hand_out(s, db + k->slot, e);            /* S6 */
    digest_hand_out(s, db + k->slot, k->hash, e); /* S12 */
    struct change c = {.place = p, .bytes = entry_bytes(e), .until = entry_expiry(e)};
    if (!wall_is_never(c.until)) {
        c.due = table_find(&slot_at(s, db, k)->dues, k->hash, k->s);
        check(c.due != NULL); /* S2 */
    }
    return c;
}

static void change_end(struct store *s, unsigned db, const struct key *k, const struct change *c,
                       struct entry *e)
{
    struct store_slot *d = slot_at(s, db, k);
    struct wall until = entry_expiry(e);
    if (e != place_entry(c->place) || e->storage == ENTRY_BLOB) {
        place_set(c->place, e);
        bytes_changed(s, d, c->bytes, entry_bytes(e)); /* S3 */
    }
    if (c->due != NULL) {
        place_set(c->due, e);
        if (wall_is_never(until))
            due_remove_at(s, d, k->hash, c->due);
        due_sum(d, c->until, -1);
        if (!wall_is_never(until))
            due_sum(d, until, 1);
    } else if (!wall_is_never(until)) {
        due_add(s, d, k->hash, e);
    }
    touched(s, db, k->s);
}

/* Into the tables and counts; its key is not there. */
static void link_entry(struct store *s, unsigned db, const struct key *k, struct entry *e)
{
    struct store_slot *d = slot_at(s, db, k);
    e->generation = s->generation & 3u;              /* S6: the walk under way shall not have it */
    digest_hand_out(s, db + k->slot, k->hash, NULL); /* S12: nor the digest */
    s->table_bytes -= table_bytes(&d->keys);
    table_insert(&d->keys, k->hash, e);
    s->table_bytes += table_bytes(&d->keys);
    count_of(s, d)->keys++;
    bytes_changed(s, d, 0, entry_bytes(e));
    if (!wall_is_never(entry_expiry(e)))
        due_add(s, d, k->hash, e);
    touched(s, db, entry_key(e));
}

/* Out of the tables and counts; the entry is the caller's. */
static struct entry *unlink_entry(struct store *s, unsigned db, const struct key *k,
                                  struct place *p)
{
    struct store_slot *d = slot_at(s, db, k);
    struct entry *e = place_entry(p);
    struct wall until = entry_expiry(e);
    walk_hand_out(s, db + k->slot, e);            /* S6 */
    digest_hand_out(s, db + k->slot, k->hash, e); /* S12 */
    touched(s, db, entry_key(e));
    s->table_bytes -= table_bytes(&d->keys);
    table_remove_at(&d->keys, k->hash, p);
    s->table_bytes += table_bytes(&d->keys);
    count_of(s, d)->keys--;
    bytes_changed(s, d, entry_bytes(e), 0);
    if (!wall_is_never(until)) {
        struct place *due = table_find(&d->dues, k->hash, entry_key(e));
        check(due != NULL && place_entry(due) == e); /* S2 */
        due_remove_at(s, d, k->hash, due);
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
    struct place *p = store_place(s, db, k);
    if (p == NULL)
        return put_new(s, db, k, entry_new_string(k->s, value, until));
    struct entry *e = place_entry(p);
    walk_hand_out(s, db + k->slot, e);            /* S6 */
    digest_hand_out(s, db + k->slot, k->hash, e); /* S12 */
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
    struct place *p = store_place(s, db, k);
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
    struct place *p = store_place(s, db, k);
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
    struct place *p = store_place(s, db, k);
    if (p == NULL)
        return false;
    entry_free(unlink_entry(s, db, k, p), &s->graves);
    return true;
}

enum err store_set_expiry(struct store *s, unsigned db, const struct key *k, struct wall until)
{
    struct place *p = store_place(s, db, k);
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
    struct place *p = store_place(s, db, k);
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
    struct place *p = store_place(s, db, from);
    check(p != NULL);
    bool renamed = !slice_equal(from->s, to->s);
    if (!renamed && db == to_db)
        return ERR_OK;
    struct entry *made = NULL;
    if (renamed && (made = entry_copy(place_entry(p), to->s)) == NULL)
        return ERR_NOMEM;
    struct entry *e = unlink_entry(s, db, from, p);
    store_drop(s, to_db, to);
    if (renamed)
        entry_free(e, &s->graves);
    link_entry(s, to_db, to, renamed ? made : e);
    return ERR_OK;
}

enum err store_copy(struct store *s, unsigned db, const struct key *from, unsigned to_db,
                    const struct key *to)
{
    const struct place *p = store_place(s, db, from);
    check(p != NULL);
    struct entry *made = entry_copy(place_entry(p), to->s);
    if (made == NULL)
        return ERR_NOMEM;
    made->clock = evict_clock_new(s) & EVICT_LRU_MAX;
    store_drop(s, to_db, to);
    link_entry(s, to_db, to, made);
    return ERR_OK;
}

/* Whoever is to be told was. */
static void slot_flush(struct store *s, unsigned at)
{
    store_worked(s); /* S9 */
    struct store_slot *d = &s->slots[at];
    if (at < s->slots_n) {
        struct slots_count *g = count_of(s, d);
        g->keys -= table_n(&d->keys);
        g->dues -= table_n(&d->dues);
    }
    s->changes += table_n(&d->keys);
    s->entry_bytes -= d->entry_bytes;
    s->table_bytes -= table_bytes(&d->keys) + table_bytes(&d->dues);
    uint64_t version = d->keys.version;
    walk_flushed(s, at, dying_add(s, d));
    digest_replaced(s, at);
    slot_init(s, d, version);
}

void store_flush(struct store *s, unsigned db)
{
    struct slots_range r = slots_of_db(s, db);
    if (s->watched > 0 && store_keys_n(s, db) > 0)
        s->ops->touched_all(s->ops, db, db);
    for (unsigned at = r.first; (at = slots_next(s, r, at, SLOTS_KEYS)) < r.first + r.n; at++)
        slot_flush(s, at);
}

static void tables_swap(struct store *s, unsigned a, unsigned b)
{
    struct store_slot was = s->slots[a];
    s->slots[a] = s->slots[b];
    s->slots[b] = was;
    uint64_t a_n = s->slots[a].keys.version, b_n = s->slots[b].keys.version;
    s->slots[a].keys.version = s->slots[b].keys.version = (a_n > b_n ? a_n : b_n) + 1;
    s->changes++;
    walk_swapped(s, a, b);
    digest_replaced(s, a);
    digest_replaced(s, b);
}

void store_swap(struct store *s, unsigned a, unsigned b)
{
    check(!s->is_slotted);
    if (a == b)
        return;
    if (s->watched > 0) {
        s->ops->touched_all(s->ops, a, b);
        s->ops->touched_all(s->ops, b, a);
    }
    count_of(s, &s->slots[a])->keys += table_n(&s->slots[b].keys) - table_n(&s->slots[a].keys);
    count_of(s, &s->slots[a])->dues += table_n(&s->slots[b].dues) - table_n(&s->slots[a].dues);
    count_of(s, &s->slots[b])->keys += table_n(&s->slots[a].keys) - table_n(&s->slots[b].keys);
    count_of(s, &s->slots[b])->dues += table_n(&s->slots[a].dues) - table_n(&s->slots[b].dues);
    tables_swap(s, a, b);
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

struct counting {
    void (*visit)(void *who, struct entry *e);
    void *who;
    size_t n;
};

static void count_visit(void *who, struct entry *e)
{
    struct counting *c = who;
    c->n++;
    c->visit(c->who, e);
}

enum { SCAN_PART = 1024 }; /* entries between two words that work goes on */

/* table_scan in parts (S9). */
static uint64_t scan_in_parts(struct store *s, unsigned at, uint64_t cursor, size_t want,
                              struct counting *c)
{
    while (c->n < want) {
        size_t left = want - c->n;
        cursor = table_scan(&s->slots[at].keys, cursor, left < SCAN_PART ? left : SCAN_PART,
                            count_visit, c);
        store_worked(s);
        if (cursor == 0)
            return 0;
    }
    return cursor;
}

static uint64_t cursor_of(uint64_t slot, uint64_t in_table)
{
    return slot << CURSOR_BITS | in_table;
}

/* What stays in its slot from the first call to the last is there when the cursor comes to the
 * slot, and within it table_scan's guarantee holds (T6). */
uint64_t store_scan(struct store *s, unsigned db, uint64_t cursor, size_t want,
                    void (*visit)(void *who, struct entry *e), void *who)
{
    struct slots_range r = slots_of_db(s, db);
    struct counting c = {visit, who, 0};
    uint64_t slot = cursor >> CURSOR_BITS, in_table = cursor & (cursor_of(1, 0) - 1);
    if (!s->is_slotted)
        return scan_in_parts(s, db, cursor, want, &c);
    while (slot < r.n && c.n < want) {
        if (!store_slot_is_aside(s, (unsigned)slot))
            in_table = scan_in_parts(s, (unsigned)slot, in_table, want, &c);
        else
            in_table = 0;
        if (in_table != 0)
            return cursor_of(slot, in_table);
        slot = slots_next(s, r, (unsigned)slot + 1, SLOTS_KEYS);
    }
    return slot < r.n ? cursor_of(slot, 0) : 0;
}

struct entry *store_random(struct store *s, unsigned db)
{
    if (store_keys_n(s, db) == 0)
        return NULL;
    return table_random(&s->slots[slots_pick(s, db, SLOTS_KEYS)].keys, &s->rng);
}

/* -------------------------------------------------------------- one slot */

size_t store_slot_keys_n(const struct store *s, unsigned slot)
{
    return table_n(&s->slots[slot].keys);
}

uint64_t store_slot_scan(struct store *s, unsigned slot, uint64_t cursor, size_t want,
                         void (*visit)(void *who, struct entry *e), void *who)
{
    struct counting c = {visit, who, 0};
    return scan_in_parts(s, slot, cursor, want, &c);
}

unsigned store_slot_next(const struct store *s, unsigned slot)
{
    return slots_next(s, slots_of_db(s, 0), slot, SLOTS_KEYS);
}

void store_slot_set_aside(struct store *s, unsigned slot, bool aside)
{
    struct store_slot *d = &s->slots[slot];
    check(s->is_slotted);
    struct slots_count *from = count_of(s, d);
    if (aside)
        bits_add(&s->aside, slot);
    else
        bits_remove(&s->aside, slot);
    struct slots_count *to = count_of(s, d);
    from->keys -= table_n(&d->keys);
    from->dues -= table_n(&d->dues);
    to->keys += table_n(&d->keys);
    to->dues += table_n(&d->dues);
}

size_t store_aside_keys_n(const struct store *s)
{
    size_t sum = 0;
    for (unsigned group = 0; group * SLOTS_GROUP < s->slots_n; group++)
        sum += s->groups[group].aside.keys;
    return sum;
}

void store_slot_flush(struct store *s, unsigned slot)
{
    check(s->is_slotted);
    if (table_n(&s->slots[slot].keys) == 0)
        return;
    if (s->watched > 0)
        s->ops->touched_slot(s->ops, slot);
    slot_flush(s, slot);
}

size_t store_slot_bytes(const struct store *s, unsigned slot)
{
    return s->slots[slot].entry_bytes;
}

/* ------------------------------------------------------------ spare tables */

void store_spare_swap(struct store *s, unsigned i, unsigned slot)
{
    check(s->is_slotted && i < STORE_SPARES && slot < s->slots_n);
    const struct store_slot *there = &s->slots[slot], *spare = &s->slots[store_spare(i)];
    struct slots_count *g = count_of(s, there);
    g->keys += table_n(&spare->keys) - table_n(&there->keys);
    g->dues += table_n(&spare->dues) - table_n(&there->dues);
    tables_swap(s, slot, store_spare(i));
}

void store_spare_flush(struct store *s, unsigned i)
{
    check(s->is_slotted && i < STORE_SPARES);
    if (table_n(&s->slots[store_spare(i)].keys) > 0)
        slot_flush(s, store_spare(i));
}

void store_spare_take(struct store *s, unsigned i, unsigned slot)
{
    if (s->watched > 0)
        s->ops->touched_slot(s->ops, slot);
    store_spare_swap(s, i, slot);
    store_spare_flush(s, i);
}

bool store_spares_empty(const struct store *s)
{
    for (unsigned at = s->slots_n; at < tables_n(s); at++)
        if (table_n(&s->slots[at].keys) > 0)
            return false;
    return true;
}

/* ------------------------------------------------------------ invariants */

struct audit {
    const struct store_slot *d;
    size_t bytes, dues_n;
};

static void audit_entry(void *who, struct entry *e)
{
    struct audit *a = who;
    uint64_t hash = table_hash(&a->d->keys, entry_key(e));
    const struct place *due = table_find(&a->d->dues, hash, entry_key(e));
    bool has_expiry = !wall_is_never(entry_expiry(e));
    check((due != NULL) == has_expiry);          /* S2 */
    check(due == NULL || place_entry(due) == e); /* S2 */
    a->bytes += entry_bytes(e);
    a->dues_n += has_expiry;
}

/* The counts of one slot's tables, added to sums. */
static void slot_check(const struct store_slot *d, struct slots_count *count, size_t *bytes,
                       size_t *tables)
{
    table_check(&d->keys); /* S1 */
    table_check(&d->dues);
    struct audit a = {.d = d};
    table_scan(&d->keys, 0, SIZE_MAX, audit_entry, &a);
    check(a.dues_n == table_n(&d->dues)); /* S2 */
    check(a.bytes == d->entry_bytes);     /* S3 */
    count->keys += table_n(&d->keys);
    count->dues += table_n(&d->dues);
    *bytes += a.bytes;
    *tables += table_bytes(&d->keys) + table_bytes(&d->dues);
}

void store_check(struct store *s)
{
    size_t bytes = 0, tables = 0;
    struct store_group group = {0};
    for (unsigned at = 0; at < s->slots_n; at++) {
        slot_check(&s->slots[at], store_slot_is_aside(s, at) ? &group.aside : &group.shown, &bytes,
                   &tables);
        if ((at + 1) % SLOTS_GROUP != 0 && at + 1 < s->slots_n)
            continue;
        check(memcmp(&group, &s->groups[at / SLOTS_GROUP], sizeof(group)) == 0); /* S8 */
        group = (struct store_group){0};
    }
    for (unsigned at = s->slots_n; at < tables_n(s); at++)
        slot_check(&s->slots[at], &group.aside, &bytes, &tables);
    check(bytes == s->entry_bytes);  /* S3 */
    check(tables == s->table_bytes); /* S3 */
}

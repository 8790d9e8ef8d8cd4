/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/slot_digest.h"

#include "base/check.h"
#include "base/mem.h"

enum { SCAN_CHUNK = 8 }; /* entries between two looks at what was spent */

void slot_digest_begin(struct store *s, struct slot_digest *d, unsigned slot, struct hash_key key)
{
    check(s->is_slotted && s->digest == NULL);
    *d = (struct slot_digest){.slot = slot, .key = key};
    s->digest = d;
}

void slot_digest_end(struct store *s, struct slot_digest *d)
{
    check(s->digest == d);
    s->digest = NULL;
    for (size_t i = 0; i < d->bigs.n; i++)
        blob_drop(d->bigs.at[i].value, &s->graves);
    vec_free(&d->bigs);
    mem_free(d->noted);
    d->noted = NULL;
}

/* ---------------------------------------------------------------------- sum */

static void add_piece(struct slot_digest *d, const struct digest_item *item, uint64_t number,
                      struct slice piece)
{
    for (unsigned i = 0; i < 2; i++)
        d->sum[i] += hash_keyed(&(struct hash_key){item->key[i] + number, item->expiry}, piece);
}

static void add_entry(struct slot_digest *d, struct entry *e)
{
    char scratch[NUM_I64_CHARS];
    struct blob *b = entry_blob(e);
    struct digest_item item = {.expiry = (uint64_t)entry_expiry(e).ms};
    for (uint64_t i = 0; i < 2; i++)
        item.key[i] = hash_keyed(&(struct hash_key){d->key.k0 + i, d->key.k1}, entry_key(e));
    if (b != NULL && b->n > DIGEST_PIECE_BYTES)
        *vec_add(&d->bigs) = (struct digest_big){.item = item, .value = blob_share(b)};
    else
        add_piece(d, &item, 0, entry_value(e, scratch));
}

/* The next piece of the last big value; how long it was. */
static size_t add_big(struct store *s, struct slot_digest *d)
{
    struct digest_big *big = &d->bigs.at[d->bigs.n - 1];
    struct slice piece =
        slice_head(slice_from(blob_slice(big->value), big->said), DIGEST_PIECE_BYTES);
    add_piece(d, &big->item, big->said / DIGEST_PIECE_BYTES, piece);
    big->said += piece.n;
    if (big->said == big->value->n) {
        blob_drop(big->value, &s->graves);
        d->bigs.n--;
    }
    return piece.n;
}

/* -------------------------------------------------------------------- noted */

/* Where it is, or would be. */
static uint64_t *noted_place(const struct slot_digest *d, uint64_t hash)
{
    size_t at = hash & (d->noted_cap - 1);
    while (d->noted[at] != 0 && d->noted[at] != hash)
        at = (at + 1) & (d->noted_cap - 1);
    return &d->noted[at];
}

static uint64_t mark_of(uint64_t hash) /* 0 is a free place */
{
    return hash == 0 ? 1 : hash;
}

static bool is_noted(const struct slot_digest *d, uint64_t hash)
{
    return d->noted_n > 0 && *noted_place(d, mark_of(hash)) != 0;
}

static void note(struct slot_digest *d, uint64_t hash)
{
    if (d->noted_n * 2 >= d->noted_cap) {
        struct slot_digest old = *d;
        d->noted_cap = old.noted_cap == 0 ? 64 : 2 * old.noted_cap;
        d->noted = mem_zero(d->noted_cap * sizeof(d->noted[0]));
        for (size_t i = 0; i < old.noted_cap; i++)
            if (old.noted[i] != 0)
                *noted_place(d, old.noted[i]) = old.noted[i];
        mem_free(old.noted);
    }
    *noted_place(d, mark_of(hash)) = mark_of(hash);
    d->noted_n++;
}

void digest_hand_out_now(struct slot_digest *d, uint64_t hash, struct entry *e)
{
    if (d->is_void || d->scanned || table_scan_passed(d->cursor, hash) || is_noted(d, hash))
        return;
    if (d->noted_n == DIGEST_NOTED_MOST) {
        d->is_void = true;
        return;
    }
    if (e != NULL)
        add_entry(d, e);
    note(d, hash);
}

/* --------------------------------------------------------------------- scan */

struct visit {
    struct store *s;
    struct slot_digest *d;
    size_t entries, bytes;
};

/* Where the table shrank meanwhile, some come that are before the cursor. */
static void visit(void *who, struct entry *e)
{
    struct visit *v = who;
    uint64_t hash = table_hash(&v->s->slots[v->d->slot].keys, entry_key(e));
    v->entries++;
    if (table_scan_passed(v->d->cursor, hash) || is_noted(v->d, hash))
        return;
    size_t n = entry_value_n(e);
    v->bytes += n <= DIGEST_PIECE_BYTES ? n : 0; /* a longer one's as it is put in */
    add_entry(v->d, e);
}

bool slot_digest_step(struct store *s, struct slot_digest *d, size_t entries, size_t bytes)
{
    struct visit v = {.s = s, .d = d};
    while (!d->is_void && v.entries < entries && v.bytes < bytes) {
        if (d->bigs.n > 0) {
            v.bytes += add_big(s, d);
            continue;
        }
        if (d->scanned)
            break;
        d->cursor = store_slot_scan(s, d->slot, d->cursor, SCAN_CHUNK, visit, &v);
        d->scanned = d->cursor == 0;
    }
    return d->is_void || (d->scanned && d->bigs.n == 0);
}

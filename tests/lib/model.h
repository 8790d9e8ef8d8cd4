/* SPDX-License-Identifier: BSD-3-Clause */

/* A naive keyspace beside the real one, and random changes made to both.
 *
 * A value is never changed once made, only replaced, so that a copy of the whole model as of one
 * moment costs little: what the walk's test compares with. */
#ifndef TESTS_LIB_MODEL_H
#define TESTS_LIB_MODEL_H

#include <stdlib.h>

#include "base/mem.h"
#include "store/store.h"
#include "tests/lib/unit.h"

enum { MODEL_DBS = 3 };
enum { MODEL_KEY_BYTES = 400 };

struct model_value {
    unsigned refs;
    size_t n;
    char p[];
};

struct model_key {
    struct model_value *value; /* NULL: no such key */
    struct wall until;
};

struct model {
    unsigned keys_n;
    struct model_key *at[MODEL_DBS];
    size_t changes_n; /* how many changes model_change made in all */
};

static struct model model_new(unsigned keys_n)
{
    struct model m = {.keys_n = keys_n};
    for (unsigned db = 0; db < MODEL_DBS; db++)
        m.at[db] = mem_zero(keys_n * sizeof(struct model_key));
    return m;
}

static void model_set(struct model_key *k, struct model_value *value, struct wall until)
{
    if (value != NULL)
        value->refs++;
    if (k->value != NULL && --k->value->refs == 0)
        mem_free(k->value);
    k->value = value;
    k->until = until;
}

static void model_drop_value(struct model_value *value)
{
    if (--value->refs == 0)
        mem_free(value);
}

static void model_clear(struct model *m, unsigned db)
{
    for (unsigned i = 0; i < m->keys_n; i++)
        model_set(&m->at[db][i], NULL, WALL_NEVER);
}

static void model_free(struct model *m)
{
    for (unsigned db = 0; db < MODEL_DBS; db++) {
        model_clear(m, db);
        mem_free(m->at[db]);
    }
}

static inline struct model model_copy(const struct model *m)
{
    struct model copy = model_new(m->keys_n);
    for (unsigned db = 0; db < MODEL_DBS; db++)
        for (unsigned i = 0; i < m->keys_n; i++)
            model_set(&copy.at[db][i], m->at[db][i].value, m->at[db][i].until);
    return copy;
}

static struct model_value *model_value_new(struct slice s)
{
    struct model_value *v = mem_get(sizeof(*v) + s.n);
    *v = (struct model_value){.refs = 1, .n = s.n};
    if (s.n > 0)
        memcpy(v->p, s.p, s.n);
    return v;
}

/* Key i: its number in ten digits, and for some a long tail. */
static struct slice model_key_name(unsigned i, char name[MODEL_KEY_BYTES])
{
    memset(name, 'k', MODEL_KEY_BYTES);
    unsigned rest = i;
    for (int digit = 9; digit >= 0; digit--, rest /= 10)
        name[digit] = (char)('0' + rest % 10);
    return slice_of(name, i % 64 == 63 ? MODEL_KEY_BYTES : 10 + i % 8);
}

static inline unsigned model_key_number(struct slice name)
{
    unsigned i = 0;
    for (int digit = 0; digit < 10; digit++)
        i = i * 10 + (unsigned)(name.p[digit] - '0');
    return i;
}

static char model_bytes[200 * 1024];

static struct slice model_random_value(struct rng *rng)
{
    static const size_t longest[] = {0, 8, 8, 40, 40, 100, 100, 1000, 1100, 3000};
    uint64_t kind = rng_below(rng, 12);
    if (kind == 0)
        return slice_of(model_bytes,
                        num_put_i64(model_bytes, (int64_t)(rng_next(rng) >> rng_below(rng, 64))));
    size_t n = kind == 11 && rng_below(rng, 20) == 0
                   ? 60 * 1024 + (size_t)rng_below(rng, 20 * 1024)
                   : (size_t)rng_below(rng, longest[(kind - 1) % 10] + 1);
    char fill = (char)('a' + rng_below(rng, 26));
    memset(model_bytes, fill, n);
    if (n > 0)
        model_bytes[rng_below(rng, n)] = '\0';
    return slice_of(model_bytes, n);
}

static struct wall model_random_until(struct rng *rng)
{
    return rng_below(rng, 3) == 0 ? (struct wall){(int64_t)rng_below(rng, 1000000)} : WALL_NEVER;
}

static void model_put(struct model_key *k, struct slice value, struct wall until)
{
    struct model_value *v = model_value_new(value);
    model_set(k, v, until);
    model_drop_value(v);
}

/* --------------------------------------------------------- the changes */

struct model_turn {
    struct model *m;
    struct store *s;
    struct rng *rng;
    unsigned db, to_db;
    struct key key, to;
    struct model_key *at, *to_at;
};

static void model_do_put(struct model_turn *t)
{
    struct slice value = model_random_value(t->rng);
    struct wall until = model_random_until(t->rng);
    model_put(t->at, value, until);
    assert_int_equal(store_put(t->s, t->db, &t->key, value, until), ERR_OK);
}

static void model_do_put_blob(struct model_turn *t)
{
    struct slice value = model_random_value(t->rng);
    struct wall until = model_random_until(t->rng);
    struct blob *b = blob_try(value.n);
    assert_non_null(b);
    memcpy(b->p, value.p, value.n);
    b->n = value.n;
    model_put(t->at, value, until);
    assert_int_equal(store_put_blob(t->s, t->db, &t->key, b, until), ERR_OK);
}

static void model_do_drop(struct model_turn *t)
{
    assert_int_equal(store_drop(t->s, t->db, &t->key), t->at->value != NULL);
    model_set(t->at, NULL, WALL_NEVER);
}

static void model_do_put_number(struct model_turn *t)
{
    int64_t v = (int64_t)rng_next(t->rng) >> rng_below(t->rng, 64);
    if (t->at->value == NULL)
        return;
    char text[NUM_I64_CHARS];
    model_put(t->at, slice_of(text, num_put_i64(text, v)), t->at->until);
    assert_int_equal(store_put_number(t->s, t->db, &t->key, v), ERR_OK);
}

static void model_do_expiry(struct model_turn *t)
{
    if (t->at->value == NULL)
        return;
    t->at->until = model_random_until(t->rng);
    assert_int_equal(store_set_expiry(t->s, t->db, &t->key, t->at->until), ERR_OK);
}

/* Longer or shorter, with some bytes of the middle written. */
static void model_do_edit(struct model_turn *t)
{
    struct model_value *was = t->at->value;
    size_t was_n = was != NULL ? was->n : 0;
    size_t n = 1 + (size_t)rng_below(t->rng, was_n + 1 + rng_below(t->rng, 300));
    struct model_value *v = mem_get(sizeof(*v) + n);
    *v = (struct model_value){.refs = 1, .n = n};
    memset(v->p, 0, n);
    if (was_n > 0)
        memcpy(v->p, was->p, was_n < n ? was_n : n);
    size_t at = (size_t)rng_below(t->rng, n);
    v->p[at] = 'E';
    char *p = store_edit(t->s, t->db, &t->key, n);
    assert_non_null(p);
    p[at] = 'E';
    model_set(t->at, v, was != NULL ? t->at->until : WALL_NEVER);
    model_drop_value(v);
}

static void model_do_move(struct model_turn *t)
{
    if (t->at->value == NULL)
        return;
    assert_int_equal(store_move(t->s, t->db, &t->key, t->to_db, &t->to), ERR_OK);
    if (t->at == t->to_at)
        return;
    model_set(t->to_at, t->at->value, t->at->until);
    model_set(t->at, NULL, WALL_NEVER);
}

static void model_do_copy(struct model_turn *t)
{
    if (t->at->value == NULL || t->at == t->to_at)
        return;
    assert_int_equal(store_copy(t->s, t->db, &t->key, t->to_db, &t->to), ERR_OK);
    model_set(t->to_at, t->at->value, t->at->until);
}

static void model_do_flush(struct model_turn *t)
{
    char name[MODEL_KEY_BYTES];
    if (!t->s->is_slotted || rng_below(t->rng, 8) == 0) {
        store_flush(t->s, t->db);
        model_clear(t->m, t->db);
        return;
    }
    store_slot_flush(t->s, t->key.slot);
    for (unsigned i = 0; i < t->m->keys_n; i++)
        if (key_of(t->s, model_key_name(i, name)).slot == t->key.slot)
            model_set(&t->m->at[0][i], NULL, WALL_NEVER);
}

static void model_do_swap(struct model_turn *t)
{
    if (t->s->is_slotted)
        return;
    store_swap(t->s, t->db, t->to_db);
    struct model_key *was = t->m->at[t->db];
    t->m->at[t->db] = t->m->at[t->to_db];
    t->m->at[t->to_db] = was;
}

/* One random change; drops_of_16: how many of sixteen are drops, so that the keyspace grows or
 * shrinks. */
static void model_change(struct model *m, struct store *s, struct rng *rng, unsigned drops_of_16)
{
    char name[MODEL_KEY_BYTES], to_name[MODEL_KEY_BYTES];
    unsigned i = (unsigned)rng_below(rng, m->keys_n), to_i = (unsigned)rng_below(rng, m->keys_n);
    if (rng_below(rng, 4) == 0)
        to_i = i; /* MOVE */
    struct model_turn t = {.m = m, .s = s, .rng = rng};
    t.db = (unsigned)rng_below(rng, s->dbs_n);
    t.to_db = (unsigned)rng_below(rng, s->dbs_n);
    t.key = key_of(s, model_key_name(i, name));
    t.to = key_of(s, model_key_name(to_i, to_name));
    t.at = &m->at[t.db][i];
    t.to_at = &m->at[t.to_db][to_i];
    m->changes_n++;
    static void (*const rows[])(struct model_turn *t) = {
        model_do_put,    model_do_put,  model_do_put,  model_do_put_blob, model_do_put_number,
        model_do_expiry, model_do_edit, model_do_move, model_do_copy,
    };
    if (rng_below(rng, 16) < drops_of_16)
        model_do_drop(&t);
    else if (rng_below(rng, 4 * m->keys_n) == 0)
        model_do_flush(&t);
    else if (rng_below(rng, 100) == 0)
        model_do_swap(&t);
    else
        rows[rng_below(rng, sizeof(rows) / sizeof(rows[0]))](&t);
}

/* --------------------------------------------------------- the comparison */

static inline void model_assert_equal(const struct model *m, struct store *s)
{
    char name[MODEL_KEY_BYTES], scratch[NUM_I64_CHARS];
    for (unsigned db = 0; db < s->dbs_n; db++) {
        size_t n = 0, dues_n = 0;
        for (unsigned i = 0; i < m->keys_n; i++) {
            struct key k = key_of(s, model_key_name(i, name));
            const struct entry *e = store_find(s, db, &k);
            const struct model_key *want = &m->at[db][i];
            assert_int_equal(e != NULL, want->value != NULL);
            if (e == NULL)
                continue;
            assert_true(slice_equal(entry_key(e), k.s));
            assert_true(
                slice_equal(entry_value(e, scratch), slice_of(want->value->p, want->value->n)));
            assert_true(entry_expiry(e).ms == want->until.ms);
            n++;
            dues_n += !wall_is_never(want->until);
        }
        assert_int_equal(store_keys_n(s, db), n);
        assert_int_equal(store_dues_n(s, db), dues_n);
    }
}

#endif

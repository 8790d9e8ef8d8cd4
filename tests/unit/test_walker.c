/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/walker.h"

#include "base/mem.h"
#include "tests/lib/model.h"
#include "tests/lib/unit.h"

/* Who receives a walk: takes each entry off a copy of the model made at T. */
struct receiver {
    struct store_ops ops;
    struct model then;
    size_t got;
};

static void receive(struct store_ops *ops, unsigned db, const struct entry *e)
{
    struct receiver *r = (struct receiver *)ops;
    struct slice name = entry_key(e);
    unsigned i = model_key_number(name);
    char want_name[MODEL_KEY_BYTES], scratch[NUM_I64_CHARS];
    assert_true(i < r->then.keys_n);
    assert_true(slice_equal(name, model_key_name(i, want_name)));
    struct model_key *want = &r->then.at[db][i];
    assert_non_null(want->value); /* of T, and not handed out before */
    assert_true(slice_equal(entry_value(e, scratch), slice_of(want->value->p, want->value->n)));
    assert_true(entry_expiry(e).ms == want->until.ms);
    model_set(want, NULL, WALL_NEVER);
    r->got++;
}

static void assert_all_received(const struct receiver *r)
{
    for (unsigned db = 0; db < MODEL_DBS; db++)
        for (unsigned i = 0; i < r->then.keys_n; i++)
            assert_null(r->then.at[db][i].value);
}

struct rig {
    struct receiver r;
    struct store s;
    struct model m;
    struct rng rng;
};

static void rig_init(struct rig *rig, unsigned keys_n, uint64_t seed)
{
    *rig = (struct rig){.r.ops.walked = receive, .m = model_new(keys_n)};
    rng_seed(&rig->rng, seed);
    store_init(&rig->s, MODEL_DBS, seed, &rig->r.ops);
}

static void rig_init_slotted(struct rig *rig, unsigned keys_n, uint64_t seed)
{
    *rig = (struct rig){.r.ops.walked = receive, .m = model_new(keys_n)};
    rng_seed(&rig->rng, seed);
    store_init_slotted(&rig->s, seed, &rig->r.ops);
}

static void rig_free(struct rig *rig)
{
    store_free(&rig->s);
    model_free(&rig->m);
}

static void rig_change(struct rig *rig, unsigned n, unsigned drops_of_16)
{
    for (unsigned i = 0; i < n; i++)
        model_change(&rig->m, &rig->s, &rig->rng, drops_of_16);
}

static void rig_begin(struct rig *rig)
{
    rig->r.then = model_copy(&rig->m);
    rig->r.got = 0;
    assert_int_equal(walk_begin(&rig->s), ERR_OK);
}

/* A walk with up to `changes` changes between two steps of up to `step` entries. */
static void rig_walk(struct rig *rig, unsigned changes, unsigned step, unsigned drops_of_16)
{
    rig_begin(rig);
    size_t total = walk_progress(&rig->s).total;
    do {
        rig_change(rig, (unsigned)rng_below(&rig->rng, changes + 1), drops_of_16);
        assert_int_equal(walk_progress(&rig->s).done, rig->r.got);
        if (rng_below(&rig->rng, 4) == 0)
            store_idle(&rig->s, 50);
    } while (!walk_step(&rig->s, 1 + (size_t)rng_below(&rig->rng, step), SIZE_MAX));
    assert_int_equal(rig->r.got, total);
    assert_all_received(&rig->r);
    assert_false(walk_is_on(&rig->s));
    model_free(&rig->r.then);
}

static void small_keyspaces_are_walked_as_of_then(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 30; seed++) {
        struct rig rig;
        rig_init(&rig, 10 + 10 * seed, seed);
        for (unsigned round = 0; round < 100; round++) {
            unsigned drops = round % 20 < 10 ? 2 : 9; /* tables grow for a while, then shrink */
            rig_change(&rig, (unsigned)rng_below(&rig.rng, 60), drops);
            rig_walk(&rig, 40, 60, drops);
            if (round % 10 == 0)
                model_assert_equal(&rig.m, &rig.s);
        }
        store_check(&rig.s);
        rig_free(&rig);
    }
}

static void slots_are_walked_as_of_then(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 8; seed++) {
        struct rig rig;
        rig_init_slotted(&rig, seed < 8 ? 10 + 40 * seed : 30000, seed);
        for (unsigned round = 0; round < 30; round++) {
            unsigned drops = round % 20 < 10 ? 2 : 9;
            rig_change(&rig, (unsigned)rng_below(&rig.rng, seed < 8 ? 60 : 9000), drops);
            rig_walk(&rig, 40, seed < 8 ? 60 : 2000, drops);
        }
        model_assert_equal(&rig.m, &rig.s);
        store_check(&rig.s);
        rig_free(&rig);
    }
}

static void keyspaces_that_split_and_merge_are_walked_as_of_then(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 15000, 99);
    rig_change(&rig, 40000, 1);
    for (unsigned round = 0; round < 30; round++) {
        unsigned drops = round % 6 < 3 ? 1 : 13;
        rig_walk(&rig, 600, 900, drops);
        store_check(&rig.s);
    }
    model_assert_equal(&rig.m, &rig.s);
    rig_free(&rig);
}

static void cancelled_walks_leave_nothing_behind(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 200, 5);
    rig_change(&rig, 400, 1);
    unsigned tidied = 0;
    for (unsigned round = 0; round < 2000; round++) {
        rig_begin(&rig);
        for (unsigned n = (unsigned)rng_below(&rig.rng, 4); n > 0 && walk_is_on(&rig.s); n--) {
            rig_change(&rig, 5, round % 50 < 25 ? 2 : 8);
            walk_step(&rig.s, 1 + (size_t)rng_below(&rig.rng, 90), SIZE_MAX);
        }
        walk_cancel(&rig.s);
        model_free(&rig.r.then);
        assert_false(walk_is_on(&rig.s));
        assert_int_equal(walk_progress(&rig.s).total, 0);
        rig_change(&rig, 5, round % 50 < 25 ? 2 : 8);
        while (walk_is_untidy(&rig.s)) {
            assert_int_equal(walk_begin(&rig.s), ERR_LIMIT);
            assert_true(store_has_idle_work(&rig.s));
            rig_change(&rig, 5, 4);
            store_idle(&rig.s, 40);
            tidied++;
        }
        if (rng_below(&rig.rng, 5) == 0)
            rig_walk(&rig, 10, 50, 3);
    }
    assert_true(tidied > 50); /* the generations did run out */
    model_assert_equal(&rig.m, &rig.s);
    rig_free(&rig);
}

static void a_second_walk_waits_for_the_first(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 10, 1);
    rig_change(&rig, 30, 1);
    rig_begin(&rig);
    assert_int_equal(walk_begin(&rig.s), ERR_LIMIT);
    while (!walk_step(&rig.s, 1, 1))
        ;
    assert_all_received(&rig.r);
    model_free(&rig.r.then);
    rig_begin(&rig); /* now it may */
    while (!walk_step(&rig.s, 1, 1))
        ;
    assert_all_received(&rig.r);
    model_free(&rig.r.then);
    rig_free(&rig);
}

static void an_empty_keyspace_is_walked_in_one_step(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 10, 1);
    rig_begin(&rig);
    struct key k = key_of(&rig.s, SLICE("new"));
    assert_int_equal(store_put(&rig.s, 0, &k, SLICE("v"), WALL_NEVER), ERR_OK);
    assert_true(walk_step(&rig.s, SIZE_MAX, SIZE_MAX));
    assert_int_equal(rig.r.got, 0);
    model_free(&rig.r.then);
    rig_free(&rig);
}

/* ------------------------------------------------------------- big values */

struct keeper {
    struct store_ops ops;
    struct blob *kept;
};

static void keep(struct store_ops *ops, unsigned db, const struct entry *e)
{
    (void)db;
    struct keeper *k = (struct keeper *)ops;
    assert_null(k->kept);
    k->kept = blob_share(entry_blob(e));
}

static void a_big_value_is_handed_out_by_reference(void **state)
{
    (void)state;
    enum { BIG = 1 << 20 };
    struct keeper keeper = {.ops.walked = keep};
    struct store s;
    store_init(&s, 1, 1, &keeper.ops);
    struct key k = key_of(&s, SLICE("big"));
    memset(store_edit(&s, 0, &k, BIG), 'a', BIG);
    const struct blob *before = entry_blob(store_find(&s, 0, &k));
    assert_int_equal(walk_begin(&s), ERR_OK);
    store_edit(&s, 0, &k, BIG)[7] = 'b';
    assert_ptr_equal(keeper.kept, before); /* the walk has the old bytes themselves ... */
    assert_int_equal(keeper.kept->p[7], 'a');
    const struct blob *own = entry_blob(store_find(&s, 0, &k));
    assert_ptr_not_equal(own, before); /* ... and the edit paid for a copy, once */
    store_edit(&s, 0, &k, BIG)[8] = 'b';
    assert_ptr_equal(entry_blob(store_find(&s, 0, &k)), own);
    assert_true(walk_step(&s, 10, SIZE_MAX));
    blob_drop(keeper.kept, NULL);
    store_free(&s);
}

static void steps_end_when_so_many_bytes_were_handed_out(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 4000, 1);
    char name[MODEL_KEY_BYTES];
    static char value[1000];
    for (unsigned i = 0; i < 4000; i++) {
        struct key k = key_of(&rig.s, model_key_name(i, name));
        struct slice v = slice_of(value, sizeof(value));
        model_put(&rig.m.at[1][i], v, WALL_NEVER);
        assert_int_equal(store_put(&rig.s, 1, &k, v, WALL_NEVER), ERR_OK);
    }
    rig_begin(&rig);
    unsigned steps = 0;
    size_t before = 0;
    while (!walk_step(&rig.s, SIZE_MAX, 100000)) {
        assert_true(rig.r.got - before < 200); /* a hundred, and what is left of a chunk */
        before = rig.r.got;
        steps++;
    }
    assert_true(steps > 25);
    assert_all_received(&rig.r);
    model_free(&rig.r.then);
    rig_free(&rig);
}

/* -------------------------------------------------------------- one by one */

static void rig_put(struct rig *rig, unsigned db, unsigned i, const char *value)
{
    char name[MODEL_KEY_BYTES];
    struct key k = key_of(&rig->s, model_key_name(i, name));
    model_put(&rig->m.at[db][i], slice_str(value), WALL_NEVER);
    assert_int_equal(store_put(&rig->s, db, &k, slice_str(value), WALL_NEVER), ERR_OK);
}

static void a_flushed_table_is_walked_and_then_freed(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1000, 1);
    for (unsigned i = 0; i < 1000; i++)
        rig_put(&rig, 2, i, "then");
    rig_begin(&rig);
    assert_false(walk_step(&rig.s, 100, SIZE_MAX));
    store_flush(&rig.s, 2);
    assert_false(store_has_idle_work(&rig.s)); /* the walk still needs it */
    rig_put(&rig, 2, 5, "later");
    store_flush(&rig.s, 2);
    assert_true(store_has_idle_work(&rig.s)); /* nobody needs that one */
    while (!walk_step(&rig.s, 100, SIZE_MAX))
        ;
    assert_int_equal(rig.r.got, 1000);
    while (store_has_idle_work(&rig.s))
        store_idle(&rig.s, 100);
    assert_int_equal(rig.s.dying_bytes, 0);
    model_free(&rig.r.then);
    rig_free(&rig);
}

static void a_swapped_and_renamed_key_goes_out_as_it_was(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 10, 1);
    rig_put(&rig, 0, 1, "one");
    rig_put(&rig, 1, 2, "two");
    rig_begin(&rig);
    char from[MODEL_KEY_BYTES], to[MODEL_KEY_BYTES];
    store_swap(&rig.s, 0, 1);
    struct key two = key_of(&rig.s, model_key_name(2, from));
    struct key three = key_of(&rig.s, model_key_name(3, to));
    assert_int_equal(store_move(&rig.s, 0, &two, 2, &three), ERR_OK);
    assert_int_equal(rig.r.got, 1); /* as 2 of database 1, which the receiver checks */
    store_flush(&rig.s, 1);
    while (!walk_step(&rig.s, 1, SIZE_MAX))
        ;
    assert_int_equal(rig.r.got, 2);
    model_free(&rig.r.then);
    rig_free(&rig);
}

UNIT_TESTS("walker",
           TEST(small_keyspaces_are_walked_as_of_then,
                "3,000 walks among random changes hand out each entry of T once, as it was (S6)"),
           TEST(slots_are_walked_as_of_then, "so do walks over the slots of a cluster's node (S6)"),
           TEST(keyspaces_that_split_and_merge_are_walked_as_of_then,
                "so do walks over tables that split and merge meanwhile (S6)"),
           TEST(cancelled_walks_leave_nothing_behind,
                "walks may be cancelled any number of times (S7)"),
           TEST(a_second_walk_waits_for_the_first, "a second walk waits for the first"),
           TEST(an_empty_keyspace_is_walked_in_one_step, "an empty keyspace is walked in one step"),
           TEST(a_big_value_is_handed_out_by_reference,
                "a big value is handed out by reference, and an edit pays one copy (S6)"),
           TEST(steps_end_when_so_many_bytes_were_handed_out,
                "a step ends when so many bytes were handed out"),
           TEST(a_flushed_table_is_walked_and_then_freed,
                "a flushed table is walked and only then freed (S5, S6)"),
           TEST(a_swapped_and_renamed_key_goes_out_as_it_was,
                "a key swapped and renamed goes out under its old name and database (S6)"))

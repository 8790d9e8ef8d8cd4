/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/expire.h"

#include "tests/lib/unit.h"

struct dropper {
    struct store *s;
    size_t n;
    bool refuses;
};

static void drop(void *who, unsigned db, struct slice key)
{
    struct dropper *d = who;
    struct key k = key_of(d->s, key);
    d->n++;
    if (!d->refuses)
        assert_true(store_drop(d->s, db, &k));
}

static void put(struct store *s, unsigned db, unsigned i, int64_t until_ms)
{
    char name[NUM_I64_CHARS];
    struct key k = key_of(s, slice_of(name, num_put_u64(name, i)));
    struct wall until = until_ms > 0 ? (struct wall){until_ms} : WALL_NEVER;
    assert_int_equal(store_put(s, db, &k, SLICE("value"), until), ERR_OK);
}

static const struct wall now = {1000000};

static void many_that_are_due_go_in_few_steps(void **state)
{
    (void)state;
    struct store s;
    store_init(&s, 16, 1, NULL);
    for (unsigned i = 0; i < 100000; i++)
        put(&s, i % 3, i, now.ms - 1 - i % 1000);
    for (unsigned i = 100000; i < 110000; i++)
        put(&s, i % 3, i, i % 2 == 0 ? 0 : now.ms + i);
    struct dropper d = {.s = &s};
    unsigned steps = 0;
    struct expire_done done;
    while ((done = expire_step(&s, now, 2000, drop, &d)).again_ms == 0) {
        assert_true(done.looked <= 2000 + 64);
        steps++;
    }
    assert_true(d.n >= 99000); /* it slows down when less than a tenth is due */
    assert_true(steps <= 60);
    assert_int_equal(done.again_ms, EXPIRE_IDLE_MS);
    for (unsigned rest = 0; d.n < 100000; rest++) {
        expire_step(&s, now, 2000, drop, &d);
        assert_true(rest < 200); /* but it goes round all of them */
    }
    size_t left = store_keys_n(&s, 0) + store_keys_n(&s, 1) + store_keys_n(&s, 2);
    assert_int_equal(left, 10000);
    assert_int_equal(store_dues_n(&s, 0) + store_dues_n(&s, 1) + store_dues_n(&s, 2), 5000);
    store_check(&s);
    store_free(&s);
}

static void a_key_lives_to_the_end_of_its_millisecond(void **state)
{
    (void)state;
    struct store s;
    store_init(&s, 1, 1, NULL);
    put(&s, 0, 1, now.ms);
    struct dropper d = {.s = &s};
    struct expire_done done = expire_step(&s, now, 100, drop, &d);
    assert_int_equal(d.n, 0);
    assert_int_equal(done.looked, 1);
    done = expire_step(&s, (struct wall){now.ms + 1}, 100, drop, &d);
    assert_int_equal(d.n, 1);
    assert_int_equal(done.due, 1);
    done = expire_step(&s, (struct wall){now.ms + 1}, 100, drop, &d);
    assert_true(done.again_ms == EXPIRE_NEVER_MS);
    store_free(&s);
}

static void little_is_looked_at_where_little_is_due(void **state)
{
    (void)state;
    struct store s;
    store_init(&s, 2, 1, NULL);
    for (unsigned i = 0; i < 20000; i++)
        put(&s, i % 2, i, i % 100 == 0 ? now.ms - 1 : now.ms + 1000);
    struct dropper d = {.s = &s};
    size_t looked = 0;
    for (unsigned i = 0; i < 50; i++) {
        struct expire_done done = expire_step(&s, now, 100000, drop, &d);
        looked += done.looked;
        assert_int_equal(done.again_ms, EXPIRE_IDLE_MS);
    }
    assert_true(looked < 50 * 2 * 4 * EXPIRE_LOOK);
    store_free(&s);
}

static void no_database_starves_another(void **state)
{
    (void)state;
    struct store s;
    store_init(&s, 3, 1, NULL);
    for (unsigned i = 0; i < 3000; i++)
        put(&s, i % 3, i, now.ms - 1);
    struct dropper d = {.s = &s};
    for (unsigned i = 0; i < 40; i++)
        expire_step(&s, now, 100, drop, &d);
    assert_int_equal(d.n, 3000);
    store_free(&s);
}

static void a_step_ends_where_nothing_may_be_dropped(void **state)
{
    (void)state;
    struct store s;
    store_init(&s, 1, 1, NULL);
    for (unsigned i = 0; i < 500; i++)
        put(&s, 0, i, now.ms - 1);
    struct dropper d = {.s = &s, .refuses = true};
    struct expire_done done = expire_step(&s, now, 1000000, drop, &d);
    assert_true(done.looked >= 500 && done.looked < 600); /* once round */
    assert_int_equal(store_keys_n(&s, 0), 500);
    store_free(&s);
}

UNIT_TESTS("expire",
           TEST(many_that_are_due_go_in_few_steps,
                "100,000 keys that are due go in few steps, others stay (S2)"),
           TEST(a_key_lives_to_the_end_of_its_millisecond,
                "a key lives to the end of its millisecond, and not longer"),
           TEST(little_is_looked_at_where_little_is_due, "little is looked at where little is due"),
           TEST(no_database_starves_another, "no database starves another"),
           TEST(a_step_ends_where_nothing_may_be_dropped,
                "a step goes once round where nothing may be dropped"))

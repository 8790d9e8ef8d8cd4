/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/slot_digest.h"

#include <stdio.h>

#include "tests/lib/unit.h"

enum { KEYS = 300 };

static const struct hash_key KEY = {11, 22};

static struct key key_at(const struct store *s, unsigned i, char name[32])
{
    int n = snprintf(name, 32, "{t}%u", i);
    return key_of(s, slice_of(name, (size_t)n));
}

static unsigned tag_slot(void)
{
    return slot_of(SLICE("{t}"));
}

static const char BIG[300 * 1024];

/* One random change; the same of the same rng in any store with the same keys. */
static void change(struct store *s, struct rng *rng)
{
    char name[32], other_name[32];
    struct key k = key_at(s, (unsigned)rng_below(rng, KEYS), name);
    struct key other = key_at(s, (unsigned)rng_below(rng, KEYS), other_name);
    bool there = store_find(s, 0, &k) != NULL;
    uint64_t kind = rng_below(rng, 8), n = rng_below(rng, 1000);
    struct wall until = {(int64_t)rng_below(rng, 1000000) + 1};
    char *bytes;
    switch (kind) {
    case 0:
        (void)store_drop(s, 0, &k);
        break;
    case 1:
        assert_int_equal(store_put(s, 0, &k, slice_of(BIG, 70000 + 1000 * (n % 200)), WALL_NEVER), ERR_OK);
        break;
    case 2:
        if (there)
            assert_int_equal(store_set_expiry(s, 0, &k, until), ERR_OK);
        break;
    case 3:
        bytes = store_edit(s, 0, &k, n % 50 == 0 ? 200000 : n + 1);
        assert_non_null(bytes);
        bytes[0] = (char)n;
        break;
    case 4:
        if (there)
            assert_int_equal(store_put_number(s, 0, &k, (int64_t)n), ERR_OK);
        break;
    case 5:
        if (there)
            assert_int_equal(store_move(s, 0, &k, 0, &other), ERR_OK);
        break;
    default: assert_int_equal(store_put(s, 0, &k, slice_of((const char *)&n, sizeof(n)), n % 3 == 0 ? until : WALL_NEVER), ERR_OK);
    }
}

static void all_of(struct store *s, struct slot_digest *d, struct hash_key key)
{
    slot_digest_begin(s, d, tag_slot(), key);
    while (!slot_digest_step(s, d, 10, 100000))
        ;
    assert_false(d->is_void);
    slot_digest_end(s, d);
}

static void it_is_of_the_moment_it_began(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct store a, b;
        struct rng rng, same;
        struct slot_digest of_a, of_b;
        store_init_slotted(&a, seed, NULL);
        store_init_slotted(&b, seed + 1000, NULL); /* another secret: another order */
        rng_seed(&rng, seed);
        rng_seed(&same, seed);
        for (unsigned i = 0; i < 600; i++) {
            change(&a, &rng);
            change(&b, &same);
        }
        all_of(&b, &of_b, KEY);
        slot_digest_begin(&a, &of_a, tag_slot(), KEY);
        unsigned steps = 0;
        for (; !slot_digest_step(&a, &of_a, 1, 1); steps++)
            for (unsigned i = 0; i < 3; i++)
                change(&a, &rng);
        assert_true(steps > 10);
        assert_memory_equal(of_a.sum, of_b.sum, sizeof(of_a.sum));
        slot_digest_end(&a, &of_a);
        all_of(&a, &of_a, KEY);
        assert_memory_not_equal(of_a.sum, of_b.sum, sizeof(of_a.sum));
        store_check(&a);
        store_free(&a);
        store_free(&b);
    }
}

static void any_difference_shows(void **state)
{
    (void)state;
    struct store s;
    struct slot_digest first, then;
    char name[32];
    store_init_slotted(&s, 1, NULL);
    for (unsigned i = 0; i < KEYS; i++) {
        struct key k = key_at(&s, i, name);
        assert_int_equal(store_put(&s, 0, &k, SLICE("value"), (struct wall){1000}), ERR_OK);
    }
    struct key k = key_at(&s, 7, name);
    assert_int_equal(store_put(&s, 0, &k, slice_of(BIG, sizeof(BIG)), (struct wall){1000}), ERR_OK);
    all_of(&s, &first, KEY);
    all_of(&s, &then, KEY);
    assert_memory_equal(first.sum, then.sum, sizeof(first.sum));
    all_of(&s, &then, (struct hash_key){11, 23});
    assert_memory_not_equal(first.sum, then.sum, sizeof(first.sum));

    struct blob *b = entry_blob(store_find(&s, 0, &k));
    b->p[sizeof(BIG) - 1] ^= 1; /* one bit of it */
    all_of(&s, &then, KEY);
    assert_memory_not_equal(first.sum, then.sum, sizeof(first.sum));
    b->p[sizeof(BIG) - 1] ^= 1;
    struct key other = key_at(&s, 8, name);
    assert_int_equal(store_set_expiry(&s, 0, &other, (struct wall){1001}), ERR_OK);
    all_of(&s, &then, KEY);
    assert_memory_not_equal(first.sum, then.sum, sizeof(first.sum));
    assert_int_equal(store_set_expiry(&s, 0, &other, (struct wall){1000}), ERR_OK);
    all_of(&s, &then, KEY);
    assert_memory_equal(first.sum, then.sum, sizeof(first.sum));
    store_free(&s);
}

static void of_a_slot_that_is_emptied_there_is_none(void **state)
{
    (void)state;
    struct store s;
    struct slot_digest d;
    char name[32];
    store_init_slotted(&s, 1, NULL);
    for (unsigned i = 0; i < KEYS; i++) {
        struct key k = key_at(&s, i, name);
        assert_int_equal(store_put(&s, 0, &k, SLICE("value"), WALL_NEVER), ERR_OK);
    }
    slot_digest_begin(&s, &d, tag_slot(), KEY);
    assert_false(slot_digest_step(&s, &d, 10, 1000));
    store_slot_flush(&s, tag_slot());
    assert_true(slot_digest_step(&s, &d, 10, 1000));
    assert_true(d.is_void);
    slot_digest_end(&s, &d);
    slot_digest_begin(&s, &d, tag_slot(), KEY);
    store_spare_swap(&s, 0, tag_slot());
    assert_true(slot_digest_step(&s, &d, 10, 1000) && d.is_void);
    slot_digest_end(&s, &d);
    store_free(&s);
}

UNIT_TESTS("slot_digest",
           TEST(it_is_of_the_moment_it_began, "while keys change it is of the slot as it was, each key once, in any table (S12)"),
           TEST(any_difference_shows, "a bit, an expiry, another key of the hashes: each makes another digest"),
           TEST(of_a_slot_that_is_emptied_there_is_none, "a slot that is emptied or replaced has none (S12)"))

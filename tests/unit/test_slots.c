/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/slots.h"

#include "base/bits.h"
#include "base/mem.h"
#include "store/evict.h"
#include "store/expire.h"
#include "tests/lib/unit.h"

enum { NAME_BYTES = 48 };

/* A key of the slot that the tag "{number}" has. */
static struct key tagged(const struct store *s, char name[NAME_BYTES], unsigned tag, unsigned i)
{
    name[0] = '{';
    size_t n = 1 + num_put_u64(name + 1, tag);
    name[n++] = '}';
    n += num_put_u64(name + n, i);
    return key_of(s, slice_of(name, n));
}

static unsigned put(struct store *s, unsigned tag, unsigned i, int64_t until_ms)
{
    char name[NAME_BYTES];
    struct key k = tagged(s, name, tag, i);
    struct wall until = until_ms > 0 ? (struct wall){until_ms} : WALL_NEVER;
    assert_int_equal(store_put(s, 0, &k, SLICE("v"), until), ERR_OK);
    return k.slot;
}

static bool drop(struct store *s, unsigned tag, unsigned i)
{
    char name[NAME_BYTES];
    struct key k = tagged(s, name, tag, i);
    return store_drop(s, 0, &k);
}

static void a_slot_is_counted_listed_and_flushed_alone(void **state)
{
    (void)state;
    struct store s;
    store_init_slotted(&s, 1, NULL);
    unsigned seven = put(&s, 7, 0, 5), eight = put(&s, 8, 0, 0);
    put(&s, 7, 1, 0);
    assert_int_equal(seven, slot_of(SLICE("7")));
    assert_int_not_equal(seven, eight);
    assert_int_equal(store_slot_keys_n(&s, seven), 2);
    assert_int_equal(store_slot_keys_n(&s, eight), 1);
    assert_int_equal(store_keys_n(&s, 0), 3);
    assert_int_equal(store_dues_n(&s, 0), 1);
    assert_int_equal(store_slot_next(&s, 0), seven < eight ? seven : eight);
    assert_int_equal(store_slot_next(&s, (seven > eight ? seven : eight) + 1), SLOTS);
    store_slot_flush(&s, seven);
    assert_int_equal(store_slot_keys_n(&s, seven), 0);
    assert_int_equal(store_keys_n(&s, 0), 1);
    assert_int_equal(store_dues_n(&s, 0), 0);
    store_check(&s);
    store_flush(&s, 0);
    assert_int_equal(store_keys_n(&s, 0), 0);
    store_check(&s);
    while (store_has_idle_work(&s))
        store_idle(&s, 1);
    assert_int_equal(s.dying_bytes, 0);
    store_free(&s);
}

/* ------------------------------------------------------------------- scan */

enum { TAGS = 300, OF_TAG = 40 };

struct seen {
    const struct store *s;
    unsigned n[TAGS * OF_TAG];
};

static void see(void *who, struct entry *e)
{
    struct seen *seen = who;
    struct slice key = entry_key(e);
    const char *close = memchr(key.p, '}', key.n);
    uint64_t tag, i;
    assert_true(num_get_u64(slice_of(key.p + 1, (size_t)(close - key.p) - 1), &tag));
    assert_true(num_get_u64(slice_from(key, (size_t)(close - key.p) + 1), &i));
    if (i < OF_TAG)
        seen->n[tag * OF_TAG + i]++;
}

static void a_scan_over_slots_misses_nothing_that_stays(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 20; seed++) {
        struct rng rng;
        struct store s;
        struct seen seen = {0};
        rng_seed(&rng, seed);
        store_init_slotted(&s, seed, NULL);
        for (unsigned tag = 0; tag < TAGS; tag += seed)
            for (unsigned i = 0; i < OF_TAG; i++)
                put(&s, tag, i, 0);
        size_t calls = 0;
        uint64_t cursor = 0;
        do {
            cursor = store_scan(&s, 0, cursor, 1 + (size_t)rng_below(&rng, 30), see, &seen);
            for (unsigned n = 0; n < 20; n++) {
                unsigned tag = (unsigned)rng_below(&rng, TAGS);
                unsigned i = OF_TAG + (unsigned)rng_below(&rng, 200);
                if (!drop(&s, tag, i))
                    put(&s, tag, i, 0);
            }
            calls++;
        } while (cursor != 0);
        for (unsigned tag = 0; tag < TAGS; tag++)
            for (unsigned i = 0; i < OF_TAG; i++)
                assert_true(tag % seed != 0 || seen.n[tag * OF_TAG + i] > 0);
        assert_true(calls < 100000);
        store_check(&s);
        store_free(&s);
    }
}

static void a_scan_of_few_keys_takes_few_calls(void **state)
{
    (void)state;
    struct store s;
    struct seen seen = {0};
    store_init_slotted(&s, 3, NULL);
    for (unsigned tag = 0; tag < 25; tag++)
        put(&s, tag, 0, 0);
    uint64_t cursor = 0;
    unsigned calls = 0;
    do {
        cursor = store_scan(&s, 0, cursor, 10, see, &seen);
        calls++;
    } while (cursor != 0);
    assert_int_equal(calls, 3);
    assert_int_equal(store_scan(&s, 0, UINT64_MAX, 10, see, &seen), 0); /* no cursor of ours */
    store_free(&s);
}

/* ----------------------------------------------------------------- by chance */

static void each_key_has_the_same_chance_whatever_its_slot(void **state)
{
    (void)state;
    struct store s;
    store_init_slotted(&s, 5, NULL);
    assert_null(store_random(&s, 0));
    unsigned many = put(&s, 1, 0, 0);
    for (unsigned i = 1; i < 900; i++)
        put(&s, 1, i, 0);
    for (unsigned tag = 2; tag < 102; tag++)
        put(&s, tag, 0, 0);
    unsigned of_many = 0;
    for (unsigned i = 0; i < 10000; i++)
        of_many += slot_of(entry_key(store_random(&s, 0))) == many;
    assert_in_range(of_many, 8800, 9200); /* nine tenths, by 6 standard deviations */
    store_free(&s);
}

static void eviction_finds_the_idlest_over_all_slots(void **state)
{
    (void)state;
    struct store s;
    struct evict_pool pool;
    unsigned db;
    store_init_slotted(&s, 5, NULL);
    evict_pool_init(&pool);
    for (unsigned tag = 0; tag < 1000; tag++) {
        store_clock(&s, (struct wall){tag < 500 ? 1000 : 900000});
        put(&s, tag, 0, 0);
    }
    unsigned old = 0;
    for (unsigned i = 0; i < 500; i++) {
        struct entry *e = evict_pick(&s, EVICT_ALLKEYS_LRU, 10, &pool, NULL, &db);
        struct key k = key_of(&s, entry_key(e));
        assert_int_equal(db, 0);
        old += evict_idle_seconds(&s, e) > 0;
        assert_true(store_drop(&s, db, &k));
    }
    assert_true(old > 480);
    assert_null(evict_pick(&s, EVICT_VOLATILE_RANDOM, 10, &pool, NULL, &db));
    assert_non_null(evict_pick(&s, EVICT_ALLKEYS_RANDOM, 10, &pool, NULL, &db));
    evict_pool_free(&pool);
    store_check(&s);
    store_free(&s);
}

static bool is_odd(const struct evict_from *from, unsigned slot)
{
    (void)from;
    return slot % 2 == 1;
}

static void eviction_from_some_slots_takes_of_these_alone(void **state)
{
    (void)state;
    static const enum evict_policy rows[] = {EVICT_ALLKEYS_LRU, EVICT_ALLKEYS_RANDOM};
    const struct evict_from odd = {is_odd};
    for (size_t row = 0; row < 2; row++) {
        struct store s;
        struct evict_pool pool;
        unsigned db, odd_n = 0;
        store_init_slotted(&s, 5, NULL);
        evict_pool_init(&pool);
        for (unsigned tag = 0; tag < 300; tag++) { /* what is idlest is elsewhere */
            char name[NAME_BYTES];
            unsigned slot = tagged(&s, name, tag, 0).slot;
            store_clock(&s, (struct wall){slot % 2 == 0 ? 1000 : 900000});
            put(&s, tag, 0, 0);
            odd_n += slot % 2;
            assert_true(evict_candidates_n(&s, rows[row], slot) > 0);
            assert_int_equal(evict_candidates_n(&s, EVICT_VOLATILE_TTL, slot), 0);
            assert_int_equal(evict_candidates_n(&s, EVICT_NOEVICTION, slot), 0);
        }
        for (; odd_n > 20; odd_n--) {
            struct entry *e = evict_pick(&s, rows[row], 5, &pool, &odd, &db);
            assert_non_null(e);
            struct key k = key_of(&s, entry_key(e));
            assert_int_equal(k.slot % 2, 1);
            assert_true(store_drop(&s, db, &k));
        }
        for (struct entry *e; (e = evict_pick(&s, rows[row], 5, &pool, &odd, &db)) != NULL;) {
            struct key k = key_of(&s, entry_key(e));
            assert_int_equal(k.slot % 2, 1);
            assert_true(store_drop(&s, db, &k));
        }
        evict_pool_free(&pool);
        store_free(&s);
    }
}

/* -------------------------------------------------------------------- expiry */

struct dropper {
    struct store *s;
    size_t n;
};

static void drop_due(void *who, unsigned db, struct slice key)
{
    struct dropper *d = who;
    struct key k = key_of(d->s, key);
    assert_true(store_drop(d->s, db, &k));
    d->n++;
}

static void what_is_due_goes_from_every_slot(void **state)
{
    (void)state;
    struct store s;
    struct dropper d = {.s = &s};
    struct wall now = {1000000};
    store_init_slotted(&s, 5, NULL);
    assert_true(expire_step(&s, now, 100, drop_due, &d).again_ms == EXPIRE_NEVER_MS);
    for (unsigned tag = 0; tag < 5000; tag++)
        put(&s, tag, 0, tag % 2 == 0 ? now.ms - 1 : 0);
    unsigned steps = 0;
    while (expire_step(&s, now, 400, drop_due, &d).again_ms == 0)
        steps++;
    assert_int_equal(d.n, 2500);
    assert_true(steps <= 2500 / 400 + 1);
    for (unsigned i = 0; i < 3; i++) /* few are due of many: a look, and on from there next time */
        put(&s, i, 1, now.ms + 1);
    for (unsigned tag = 0; tag < 3000; tag++)
        put(&s, tag, 2, now.ms + 1000);
    now.ms += 2;
    for (steps = 0; d.n < 2503; steps++) {
        assert_true(expire_step(&s, now, 400, drop_due, &d).looked <= 400);
        assert_true(steps < 3003 / EXPIRE_LOOK + 3);
    }
    store_check(&s);
    store_free(&s);
}

/* ---------------------------------------------------------------------- aside */

static void seen_in(void *who, struct entry *e)
{
    unsigned *n = who;
    n[slot_of(entry_key(e))]++;
}

/* S10: what else is of a database is not of a slot that is aside; a walk has all. */
static void a_slot_aside_is_in_no_count_scan_flush_expiry_or_eviction(void **state)
{
    (void)state;
    static unsigned seen[SLOTS];
    struct store s;
    struct evict_pool pool;
    struct wall now = {1000000};
    struct dropper d = {.s = &s};
    unsigned db, mine, copy;
    memset(seen, 0, sizeof(seen));
    store_init_slotted(&s, 5, NULL);
    evict_pool_init(&pool);
    copy = slot_of(SLICE("7"));
    store_slot_set_aside(&s, copy, true);
    for (unsigned i = 0; i < 100; i++) {
        put(&s, 7, i, now.ms - 1);
        mine = put(&s, 8, i, now.ms - 1);
    }
    put(&s, 8, 100, 0);
    store_check(&s);
    assert_int_equal(store_keys_n(&s, 0), 101);
    assert_int_equal(store_dues_n(&s, 0), 100);
    assert_int_equal(store_aside_keys_n(&s), 100);
    assert_int_equal(store_slot_keys_n(&s, copy), 100);
    for (unsigned i = 0; i < 300; i++)
        assert_int_equal(slot_of(entry_key(store_random(&s, 0))), mine);
    uint64_t from_copy = (uint64_t)copy << CURSOR_BITS;
    for (uint64_t cursor = copy < mine ? from_copy : 0, more = 1; more != 0; more = cursor)
        cursor = store_scan(&s, 0, cursor, 10, seen_in, seen);
    assert_true(seen[copy] == 0 && seen[mine] >= 101);
    assert_int_equal(slot_of(entry_key(evict_pick(&s, EVICT_ALLKEYS_LRU, 10, &pool, NULL, &db))), mine);
    store_slot_set_aside(&s, mine, true); /* what the pool knows of it is not picked, either */
    assert_null(evict_pick(&s, EVICT_ALLKEYS_LRU, 10, &pool, NULL, &db));
    assert_null(evict_pick(&s, EVICT_VOLATILE_RANDOM, 10, &pool, NULL, &db));
    assert_null(store_random(&s, 0));
    assert_int_equal(expire_step(&s, now, 1000, drop_due, &d).again_ms, EXPIRE_NEVER_MS);
    store_flush(&s, 0);
    assert_int_equal(store_aside_keys_n(&s), 201);
    store_slot_set_aside(&s, mine, false);
    while (expire_step(&s, now, 1000, drop_due, &d).again_ms == 0)
        ;
    assert_int_equal(d.n, 100);
    store_flush(&s, 0);
    assert_int_equal(store_keys_n(&s, 0), 0);
    assert_int_equal(store_slot_next(&s, 0), SLOTS);
    assert_int_equal(store_aside_keys_n(&s), 100);
    store_check(&s);
    evict_pool_free(&pool);
    store_free(&s);
}

static void an_empty_slot_costs_its_row_and_no_more(void **state)
{
    (void)state;
    struct store s;
    store_init_slotted(&s, 5, NULL);
    assert_true(sizeof(struct store_slot) <= 136);
    assert_int_equal(store_bytes(&s), 0);
    put(&s, 1, 1, 9);
    assert_true(store_bytes(&s) > 0);
    assert_true(drop(&s, 1, 1));
    assert_int_equal(store_bytes(&s), 0);
    store_free(&s);
}

UNIT_TESTS("slots",
           TEST(a_slot_is_counted_listed_and_flushed_alone,
                "a slot is counted, found and flushed by itself (S8)"),
           TEST(a_scan_over_slots_misses_nothing_that_stays,
                "a scan over slots misses nothing that stays, while they fill and empty (T6)"),
           TEST(a_scan_of_few_keys_takes_few_calls, "empty slots cost a scan no call"),
           TEST(each_key_has_the_same_chance_whatever_its_slot,
                "a key by chance: each has the same one, whatever its slot"),
           TEST(eviction_finds_the_idlest_over_all_slots, "eviction samples all slots"),
           TEST(eviction_from_some_slots_takes_of_these_alone, "eviction from some slots takes of these alone"),
           TEST(what_is_due_goes_from_every_slot, "what is due goes from every slot, many or few"),
           TEST(a_slot_aside_is_in_no_count_scan_flush_expiry_or_eviction,
                "a slot that is another node's is in nothing that is of a database as a whole (S10)"),
           TEST(an_empty_slot_costs_its_row_and_no_more,
                "an empty slot costs 136 bytes, and nothing once its keys have gone"))

/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/evict.h"

#include <stdio.h>

#include "tests/lib/unit.h"

static struct key key(struct store *s, unsigned i, char name[NUM_I64_CHARS])
{
    return key_of(s, slice_of(name, num_put_u64(name, i)));
}

static struct entry *put(struct store *s, unsigned db, unsigned i, int64_t until_ms)
{
    char name[NUM_I64_CHARS];
    struct key k = key(s, i, name);
    struct wall until = until_ms > 0 ? (struct wall){until_ms} : WALL_NEVER;
    assert_int_equal(store_put(s, db, &k, SLICE("value"), until), ERR_OK);
    return store_find(s, db, &k);
}

static unsigned number_of(const struct entry *e)
{
    uint64_t i;
    assert_true(num_get_u64(entry_key(e), &i));
    return (unsigned)i;
}

static void clock_at(struct store *s, int64_t seconds)
{
    store_clock(s, (struct wall){seconds * 1000});
}

/* Drops n keys of the first 10,000 and says how many of them were below 5,000. */
static unsigned evict_n(struct store *s, enum evict_policy policy, unsigned n)
{
    struct evict_pool pool;
    evict_pool_init(&pool);
    unsigned low = 0, db;
    for (unsigned i = 0; i < n; i++) {
        struct entry *e = evict_pick(s, policy, 5, &pool, NULL, &db);
        assert_non_null(e);
        low += number_of(e) < 5000;
        struct key k = key_of(s, entry_key(e));
        assert_true(store_drop(s, db, &k));
    }
    evict_pool_free(&pool);
    return low;
}

static void lru_prefers_what_was_used_long_ago(void **state)
{
    (void)state;
    struct store s;
    store_init(&s, 2, 1, NULL);
    for (unsigned i = 0; i < 10000; i++) {
        clock_at(&s, 100000 + i);
        put(&s, i % 2, i, 0);
    }
    clock_at(&s, 200000);
    unsigned low = evict_n(&s, EVICT_ALLKEYS_LRU, 2000);
    assert_true(low > 1950); /* by chance it were 1,000 */
    store_check(&s);
    store_free(&s);
}

static void put_aged(struct store *s, const char *kind, unsigned i)
{
    char name[32];
    int n = snprintf(name, sizeof(name), "%s%u", kind, i);
    struct key k = key_of(s, slice_of(name, (size_t)n));
    assert_int_equal(store_put(s, 0, &k, SLICE("value"), WALL_NEVER), ERR_OK);
}

/* 500 keys last used at 1,000, 65,000 at 1,010, 500 at 1,020; and then a new one for each that is dropped. */
static void old_used_and_new(struct store *s, unsigned *cold, unsigned *hot)
{
    struct evict_pool pool;
    unsigned db;
    evict_pool_init(&pool);
    clock_at(s, 1000);
    for (unsigned i = 0; i < 500; i++)
        put_aged(s, "cold", i);
    clock_at(s, 1010);
    for (unsigned i = 0; i < 65000; i++)
        put_aged(s, "middle", i);
    clock_at(s, 1020);
    for (unsigned i = 0; i < 500; i++)
        put_aged(s, "hot", i);
    for (unsigned i = 0; i < 25000; i++) {
        clock_at(s, 1030 + i / 5000);
        put_aged(s, "late", i);
        const struct entry *e = evict_pick(s, EVICT_ALLKEYS_LRU, 10, &pool, NULL, &db);
        assert_non_null(e);
        struct key k = key_of(s, entry_key(e));
        *cold += k.s.p[0] == 'c';
        *hot += k.s.p[0] == 'h';
        assert_true(store_drop(s, 0, &k));
    }
    evict_pool_free(&pool);
}

/* Samples come in buckets, of keys that are neighbours by their hash: whatever the hashes are, an old
 * key must be met as often as any other. */
static void lru_finds_the_old_under_every_seed(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct store s;
        unsigned cold = 0, hot = 0;
        store_init(&s, 1, seed * 0x9e3779b97f4a7c15, NULL);
        old_used_and_new(&s, &cold, &hot);
        assert_in_range(cold, 460, 500); /* by chance 190 */
        assert_int_equal(hot, 0);
        store_free(&s);
    }
}

static void lfu_prefers_what_is_seldom_used(void **state)
{
    (void)state;
    struct store s;
    store_init(&s, 1, 1, NULL);
    s.lfu = true;
    s.lfu_log_factor = 10;
    s.lfu_decay_minutes = 1;
    clock_at(&s, 1000000);
    for (unsigned i = 0; i < 10000; i++) {
        struct entry *e = put(&s, 0, i, 0);
        for (unsigned used = 0; i >= 5000 && used < 100; used++)
            store_used(&s, e);
    }
    unsigned low = evict_n(&s, EVICT_ALLKEYS_LFU, 2000);
    assert_true(low > 1950);
    store_free(&s);
}

static void the_nearest_expiry_goes_first(void **state)
{
    (void)state;
    struct store s;
    store_init(&s, 1, 1, NULL);
    for (unsigned i = 0; i < 10000; i++)
        put(&s, 0, i, 1000 + i);
    for (unsigned i = 10000; i < 11000; i++)
        put(&s, 0, i, 0);
    unsigned low = evict_n(&s, EVICT_VOLATILE_TTL, 2000);
    assert_true(low > 1950);
    assert_int_equal(store_keys_n(&s, 0) - store_dues_n(&s, 0), 1000);
    store_free(&s);
}

static void volatile_policies_take_only_what_has_an_expiry(void **state)
{
    (void)state;
    static const enum evict_policy rows[] = {EVICT_VOLATILE_LRU, EVICT_VOLATILE_LFU,
                                             EVICT_VOLATILE_RANDOM, EVICT_VOLATILE_TTL};
    for (unsigned row = 0; row < 4; row++) {
        struct store s;
        struct evict_pool pool;
        unsigned db = 99;
        store_init(&s, 3, 1, NULL);
        evict_pool_init(&pool);
        for (unsigned i = 0; i < 300; i++)
            put(&s, i % 3, i, i % 10 == 0 ? 5000 : 0);
        for (unsigned i = 0; i < 30; i++) {
            struct entry *e = evict_pick(&s, rows[row], 5, &pool, NULL, &db);
            assert_non_null(e);
            assert_int_equal(number_of(e) % 10, 0);
            assert_int_equal(number_of(e) % 3, db);
            struct key k = key_of(&s, entry_key(e));
            assert_true(store_drop(&s, db, &k));
        }
        assert_null(evict_pick(&s, rows[row], 5, &pool, NULL, &db));
        assert_int_equal(store_keys_n(&s, 0) + store_keys_n(&s, 1) + store_keys_n(&s, 2), 270);
        evict_pool_free(&pool);
        store_free(&s);
    }
}

static void allkeys_policies_take_everything_in_the_end(void **state)
{
    (void)state;
    static const enum evict_policy rows[] = {EVICT_ALLKEYS_LRU, EVICT_ALLKEYS_LFU,
                                             EVICT_ALLKEYS_RANDOM};
    for (unsigned row = 0; row < 3; row++) {
        struct store s;
        struct evict_pool pool;
        unsigned db;
        store_init(&s, 3, 1, NULL);
        evict_pool_init(&pool);
        for (unsigned i = 0; i < 300; i++)
            put(&s, i % 3, i, i % 2 == 0 ? 5000 : 0);
        for (unsigned i = 0; i < 300; i++) {
            struct entry *e = evict_pick(&s, rows[row], 5, &pool, NULL, &db);
            assert_non_null(e);
            struct key k = key_of(&s, entry_key(e));
            assert_true(store_drop(&s, db, &k));
        }
        assert_null(evict_pick(&s, rows[row], 5, &pool, NULL, &db));
        evict_pool_free(&pool);
        store_free(&s);
    }
}

static void noeviction_takes_nothing(void **state)
{
    (void)state;
    struct store s;
    struct evict_pool pool;
    unsigned db;
    store_init(&s, 1, 1, NULL);
    evict_pool_init(&pool);
    put(&s, 0, 1, 5000);
    assert_null(evict_pick(&s, EVICT_NOEVICTION, 5, &pool, NULL, &db));
    evict_pool_free(&pool);
    store_free(&s);
}

/* What stands in the pool may have been dropped, flushed or swapped since. */
static void candidates_that_are_gone_are_passed_over(void **state)
{
    (void)state;
    struct store s;
    struct evict_pool pool;
    unsigned db;
    store_init(&s, 2, 1, NULL);
    evict_pool_init(&pool);
    for (unsigned i = 0; i < 200; i++)
        put(&s, 0, i, 0);
    assert_non_null(evict_pick(&s, EVICT_ALLKEYS_LRU, 64, &pool, NULL, &db));
    assert_int_equal(pool.n, EVICT_POOL - 1);
    store_flush(&s, 0);
    struct entry *only = put(&s, 1, 7, 0);
    assert_ptr_equal(evict_pick(&s, EVICT_ALLKEYS_LRU, 5, &pool, NULL, &db), only);
    assert_int_equal(db, 1);
    assert_ptr_equal(evict_pick(&s, EVICT_VOLATILE_TTL, 5, &pool, NULL, &db), NULL);
    assert_int_equal(pool.n, 0); /* another policy, another pool */
    evict_pool_free(&pool);
    store_free(&s);
}

static void long_keys_are_evicted_too(void **state)
{
    (void)state;
    static char name[70000];
    struct store s;
    struct evict_pool pool;
    unsigned db;
    store_init(&s, 1, 1, NULL);
    evict_pool_init(&pool);
    for (char c = 'a'; c <= 'z'; c++) {
        memset(name, c, sizeof(name));
        struct key k = key_of(&s, slice_of(name, sizeof(name)));
        assert_int_equal(store_put(&s, 0, &k, SLICE("v"), WALL_NEVER), ERR_OK);
    }
    for (unsigned i = 0; i < 26; i++) {
        struct entry *e = evict_pick(&s, EVICT_ALLKEYS_LRU, 5, &pool, NULL, &db);
        assert_non_null(e);
        struct key k = key_of(&s, entry_key(e));
        assert_true(store_drop(&s, 0, &k));
    }
    evict_pool_free(&pool);
    store_free(&s);
}

/* ------------------------------------------------------------- the clocks */

static void idle_time_counts_seconds_and_survives_the_clocks_turn(void **state)
{
    (void)state;
    struct store s;
    store_init(&s, 1, 1, NULL);
    clock_at(&s, 1000);
    struct entry *e = put(&s, 0, 1, 0);
    assert_int_equal(evict_idle_seconds(&s, e), 0);
    clock_at(&s, 1100);
    assert_int_equal(evict_idle_seconds(&s, e), 100);
    store_used(&s, e);
    assert_int_equal(evict_idle_seconds(&s, e), 0);
    clock_at(&s, (1 << 24) - 10);
    store_used(&s, e);
    clock_at(&s, (1 << 24) + 10); /* modulo 2^24; Redis counts one less than the truth here */
    assert_int_equal(evict_idle_seconds(&s, e), 19);
    clock_at(&s, 5000);
    evict_set_idle_seconds(&s, e, 4000);
    assert_int_equal(evict_idle_seconds(&s, e), 4000);
    evict_set_idle_seconds(&s, e, 5000);
    assert_int_equal(evict_idle_seconds(&s, e), 5000);
    evict_set_idle_seconds(&s, e, 5001); /* before the clock's last turn */
    assert_true(evict_idle_seconds(&s, e) > 8000000);
    store_free(&s);
}

static void a_put_is_an_access_for_lru_and_none_for_lfu(void **state)
{
    (void)state;
    struct store s;
    store_init(&s, 1, 1, NULL);
    clock_at(&s, 1000);
    put(&s, 0, 1, 0);
    clock_at(&s, 1100);
    assert_int_equal(evict_idle_seconds(&s, put(&s, 0, 1, 0)), 0);
    s.lfu = true;
    evict_set_frequency(&s, put(&s, 0, 2, 0), 77);
    assert_int_equal(evict_frequency(&s, put(&s, 0, 2, 0)), 77);
    store_free(&s);
}

static void the_lfu_counter_grows_by_its_logarithm_and_decays(void **state)
{
    (void)state;
    struct store s;
    store_init(&s, 1, 1, NULL);
    s.lfu = true;
    s.lfu_log_factor = 10;
    s.lfu_decay_minutes = 2;
    clock_at(&s, 60 * 1000);
    struct entry *e = put(&s, 0, 1, 0);
    assert_int_equal(evict_frequency(&s, e), EVICT_LFU_NEW);
    store_used(&s, e);
    assert_int_equal(evict_frequency(&s, e), EVICT_LFU_NEW + 1); /* the first is certain */
    for (unsigned i = 0; i < 1000; i++)
        store_used(&s, e);
    unsigned after_1000 = evict_frequency(&s, e); /* Redis' documentation: 18 */
    assert_true(after_1000 >= 14 && after_1000 <= 24);
    for (unsigned i = 0; i < 1000000; i++)
        store_used(&s, e);
    assert_int_equal(evict_frequency(&s, e), 255); /* and 255 */
    clock_at(&s, 60 * 1001);
    assert_int_equal(evict_frequency(&s, e), 255); /* not before two minutes */
    clock_at(&s, 60 * 1020);
    assert_int_equal(evict_frequency(&s, e), 245);
    clock_at(&s, 60 * 2000);
    assert_int_equal(evict_frequency(&s, e), 0); /* never below */
    s.lfu_decay_minutes = 0;
    assert_int_equal(evict_frequency(&s, e), 255); /* 0: never */
    s.lfu_decay_minutes = 1;
    clock_at(&s, 60 * 65530);
    evict_set_frequency(&s, e, 100);
    clock_at(&s, 60 * 65540); /* the minutes turn at 65,536; Redis counts one less here */
    assert_int_equal(evict_frequency(&s, e), 91);
    s.lfu_log_factor = 0;
    evict_set_frequency(&s, e, 254);
    store_used(&s, e);
    assert_int_equal(evict_frequency(&s, e), 255);
    store_used(&s, e);
    assert_int_equal(evict_frequency(&s, e), 255);
    store_free(&s);
}

UNIT_TESTS("evict",
           TEST(lru_prefers_what_was_used_long_ago, "LRU prefers what was used long ago"),
           TEST(lru_finds_the_old_under_every_seed, "LRU finds the old under every seed"),
           TEST(lfu_prefers_what_is_seldom_used, "LFU prefers what is seldom used"),
           TEST(the_nearest_expiry_goes_first, "volatile-ttl prefers the nearest expiry"),
           TEST(volatile_policies_take_only_what_has_an_expiry,
                "volatile policies take only what has an expiry"),
           TEST(allkeys_policies_take_everything_in_the_end,
                "allkeys policies take everything in the end"),
           TEST(noeviction_takes_nothing, "noeviction takes nothing"),
           TEST(candidates_that_are_gone_are_passed_over,
                "candidates that are gone since are passed over"),
           TEST(long_keys_are_evicted_too, "long keys are evicted too"),
           TEST(idle_time_counts_seconds_and_survives_the_clocks_turn,
                "idle time counts seconds, and survives the clock's turn"),
           TEST(a_put_is_an_access_for_lru_and_none_for_lfu,
                "a put is an access for LRU and none for LFU"),
           TEST(the_lfu_counter_grows_by_its_logarithm_and_decays,
                "the LFU counter grows by its logarithm and decays by the minute"))

/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/table.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/unit.h"

static struct hash_secret secret;

/* What a table should hold: entry by key number, and how often a scan has seen it. */
struct model {
    struct table t;
    struct entry **at;
    unsigned *seen;
    size_t n, size;
    struct rng rng;
};

static struct slice key_text(size_t i, char text[24])
{
    return slice_of(text, (size_t)snprintf(text, 24, "key:%zu", i));
}

static size_t number_of(const struct entry *e)
{
    struct slice key = entry_key(e);
    return (size_t)strtoul(key.p + 4, NULL, 10); /* the value "x" behind the key ends the number */
}

static void model_begin(struct model *m, size_t size, uint64_t seed)
{
    *m = (struct model){.size = size, .at = calloc(size, sizeof(*m->at)), .seen = calloc(size, sizeof(unsigned))};
    rng_seed(&m->rng, seed);
    hash_secret_draw(&secret, &m->rng);
    table_init(&m->t, &secret);
}

static void model_add(struct model *m, size_t i)
{
    char text[24];
    struct slice key = key_text(i, text);
    m->at[i] = entry_new_string(key, SLICE("x"), WALL_NEVER);
    struct place *p = table_insert(&m->t, table_hash(&m->t, key), m->at[i]);
    assert_ptr_equal(place_entry(p), m->at[i]);
    m->n++;
}

static void model_remove(struct model *m, size_t i)
{
    char text[24];
    struct slice key = key_text(i, text);
    struct entry *e = table_remove(&m->t, table_hash(&m->t, key), key);
    assert_ptr_equal(e, m->at[i]);
    if (e != NULL) {
        entry_free(e, NULL);
        m->n--;
    }
    m->at[i] = NULL;
}

static void model_find(struct model *m, size_t i)
{
    char text[24];
    struct slice key = key_text(i, text);
    struct place *p = table_find(&m->t, table_hash(&m->t, key), key);
    assert_ptr_equal(p != NULL ? place_entry(p) : NULL, m->at[i]);
}

static void see(void *who, struct entry *e)
{
    struct model *m = who;
    m->seen[number_of(e)]++;
}

static void drop(void *who, struct entry *e)
{
    struct model *m = who;
    m->at[number_of(e)] = NULL;
    m->n--;
    entry_free(e, NULL);
}

static void model_end(struct model *m)
{
    table_free(&m->t, drop, m);
    assert_int_equal(m->n, 0);
    assert_int_equal(table_n(&m->t), 0);
    assert_int_equal(table_bytes(&m->t), 0);
    free(m->at);
    free(m->seen);
}

/* Random work that makes the table greater or smaller on the whole. */
static void model_work(struct model *m, size_t ops, unsigned adds_of_ten)
{
    for (size_t op = 0; op < ops; op++) {
        size_t i = rng_below(&m->rng, m->size);
        if (rng_below(&m->rng, 3) == 0)
            model_find(m, i);
        else if (rng_below(&m->rng, 10) < adds_of_ten && m->at[i] == NULL)
            model_add(m, i);
        else if (rng_below(&m->rng, 10) >= adds_of_ten && m->at[i] != NULL)
            model_remove(m, i);
        assert_int_equal(table_n(&m->t), m->n);
    }
    table_check(&m->t);
}

static void an_empty_table_holds_no_memory(void **state)
{
    (void)state;
    struct model m;
    model_begin(&m, 20000, 1);
    assert_int_equal(table_bytes(&m.t), 0);
    model_find(&m, 7);
    assert_null(table_random(&m.t, &m.rng));
    assert_int_equal(table_scan(&m.t, 0, 10, see, &m), 0);
    model_add(&m, 7);
    assert_int_equal(table_bytes(&m.t), 64);
    for (size_t i = 8; i < m.size; i++)
        model_add(&m, i);
    assert_true(m.t.depth > 0);
    for (size_t i = 7; i < m.size; i++)
        model_remove(&m, i);
    assert_int_equal(table_bytes(&m.t), 0);
    assert_int_equal(m.t.depth, 0);
    table_check(&m.t);
    model_end(&m);
}

static void a_million_operations_agree_with_a_map(void **state)
{
    (void)state;
    struct model m;
    model_begin(&m, 60000, 2);
    for (unsigned phase = 0; phase < 10; phase++) {
        model_work(&m, 100000, phase % 2 == 0 ? 9 : 1);
        for (size_t i = 0; i < m.size; i += 7)
            model_find(&m, i);
    }
    model_end(&m);
}

static void every_small_size_works(void **state)
{
    (void)state;
    struct model m;
    model_begin(&m, 300, 3);
    for (size_t n = 0; n < m.size; n++) {
        model_add(&m, n);
        table_check(&m.t);
        for (size_t i = 0; i < m.size; i++)
            model_find(&m, i);
    }
    for (size_t n = 0; n < m.size; n++) {
        model_remove(&m, (n * 7) % m.size);
        table_check(&m.t);
    }
    assert_int_equal(table_bytes(&m.t), 0);
    model_end(&m);
}

static uint64_t hash_all_equal(const struct hash_secret *key, struct slice s)
{
    (void)key;
    (void)s;
    return 0xfedcba9876543210;
}

static uint64_t hash_equal_prefix(const struct hash_secret *key, struct slice s)
{
    return 0xabcde00000000000 | hash_secret(key, s) >> 20;
}

static uint64_t hash_equal_tag(const struct hash_secret *key, struct slice s)
{
    return hash_secret(key, s) & ~(uint64_t)0xff;
}

static uint64_t hash_two_ends(const struct hash_secret *key, struct slice s)
{
    return hash_secret(key, s) % 2 == 0 ? 0 : UINT64_MAX;
}

static void bad_hashes_are_slow_and_right(void **state)
{
    (void)state;
    uint64_t (*const bad[])(const struct hash_secret *, struct slice) = {hash_all_equal, hash_equal_prefix,
                                                                      hash_equal_tag, hash_two_ends};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct model m;
        model_begin(&m, 6000, 4 + i);
        m.t.hash = bad[i];
        for (size_t k = 0; k < m.size; k++)
            model_add(&m, k);
        assert_true((size_t)64 << m.t.depth <= m.n); /* the directory does not explode (T5) */
        table_check(&m.t);
        model_work(&m, 2000, 5);
        memset(m.seen, 0, m.size * sizeof(unsigned));
        uint64_t cursor = 0;
        do
            cursor = table_scan(&m.t, cursor, 10, see, &m);
        while (cursor != 0);
        for (size_t k = 0; k < m.size; k++)
            assert_int_equal(m.seen[k], m.at[k] != NULL);
        assert_non_null(table_random(&m.t, &m.rng));
        for (size_t k = 0; k < m.size; k++)
            if (m.at[k] != NULL)
                model_remove(&m, k);
        assert_int_equal(table_bytes(&m.t), 0);
        model_end(&m);
    }
}

static void skewed_keys_do_not_hurt_the_others(void **state)
{
    (void)state;
    struct model m;
    model_begin(&m, 40000, 5);
    m.t.hash = hash_equal_prefix;
    for (size_t k = 0; k < m.size; k++)
        model_add(&m, k);
    table_check(&m.t);
    assert_true((size_t)64 << m.t.depth <= m.n);
    model_end(&m);
}

static void a_quiet_scan_sees_each_entry_once_in_order(void **state)
{
    (void)state;
    struct model m;
    model_begin(&m, 30000, 6);
    for (size_t i = 0; i < m.size; i++)
        model_add(&m, i);
    uint64_t cursor = 0;
    do {
        uint64_t next = table_scan(&m.t, cursor, 100, see, &m);
        assert_true(next > cursor || next == 0);
        assert_true(next >> 48 == 0);
        cursor = next;
        for (size_t i = 0; i < m.size; i += 101) {
            char text[24];
            bool passed = cursor == 0 || table_scan_passed(cursor, table_hash(&m.t, key_text(i, text)));
            assert_int_equal(m.seen[i], passed);
        }
    } while (cursor != 0);
    for (size_t i = 0; i < m.size; i++)
        assert_int_equal(m.seen[i], 1);
    assert_int_equal(table_scan(&m.t, (uint64_t)1 << 48, 1, see, &m), 0); /* no cursor of ours */
    assert_int_equal(table_scan(&m.t, UINT64_MAX, 1, see, &m), 0);
    model_end(&m);
}

/* Keys below `stable` stay through the whole scan; the others come and go. */
static void scan_with_changes(uint64_t seed, size_t want, bool grow_first)
{
    enum { STABLE = 3000, SIZE = 60000 };
    struct model m;
    model_begin(&m, SIZE, seed);
    for (size_t i = 0; i < (grow_first ? (size_t)STABLE : (size_t)SIZE); i++)
        model_add(&m, i);
    uint64_t cursor = 0;
    bool growing = grow_first;
    size_t depth_least = m.t.depth, depth_most = m.t.depth;
    do {
        cursor = table_scan(&m.t, cursor, want, see, &m);
        for (size_t op = 0; op < 20 * want; op++) {
            size_t i = STABLE + rng_below(&m.rng, SIZE - STABLE);
            if (growing && m.at[i] == NULL)
                model_add(&m, i);
            else if (!growing && m.at[i] != NULL)
                model_remove(&m, i);
        }
        if (m.n > SIZE - SIZE / 20)
            growing = false;
        if (m.n < STABLE + SIZE / 20)
            growing = true;
        depth_least = m.t.depth < depth_least ? m.t.depth : depth_least;
        depth_most = m.t.depth > depth_most ? m.t.depth : depth_most;
        for (size_t i = 0; cursor != 0 && i < STABLE; i += 37) {
            char text[24];
            if (table_scan_passed(cursor, table_hash(&m.t, key_text(i, text))))
                assert_true(m.seen[i] > 0);
        }
    } while (cursor != 0);
    assert_true(depth_most > depth_least); /* there were splits or merges */
    for (size_t i = 0; i < STABLE; i++)
        assert_true(m.seen[i] > 0);
    table_check(&m.t);
    model_end(&m);
}

static void a_scan_misses_nothing_that_stays(void **state)
{
    (void)state;
    for (uint64_t seed = 10; seed < 16; seed++) {
        scan_with_changes(seed, 1 + seed * 10 % 61, seed % 2 == 0);
        scan_with_changes(seed, 500, seed % 2 != 0);
    }
}

static void random_picks_are_fair(void **state)
{
    (void)state;
    enum { KEYS = 1000, PICKS = 200 * KEYS };
    struct model m;
    model_begin(&m, KEYS, 7);
    for (size_t i = 0; i < KEYS; i++)
        model_add(&m, i);
    for (size_t i = 0; i < PICKS; i++)
        m.seen[number_of(table_random(&m.t, &m.rng))]++;
    for (size_t i = 0; i < KEYS; i++)
        assert_in_range(m.seen[i], 100, 300);
    struct entry *out[50];
    memset(m.seen, 0, sizeof(unsigned) * KEYS);
    for (size_t i = 0; i < 200 * KEYS / 50; i++) {
        size_t n = table_sample(&m.t, &m.rng, out, 50);
        assert_int_equal(n, 50);
        for (size_t j = 0; j < n; j++)
            m.seen[number_of(out[j])]++;
    }
    for (size_t i = 0; i < KEYS; i++)
        assert_in_range(m.seen[i], 60, 600); /* neighbours of few share less */
    model_end(&m);
}

static void one_key_is_found_by_chance(void **state)
{
    (void)state;
    struct model m;
    model_begin(&m, 2, 8);
    model_add(&m, 1);
    struct entry *out[3];
    assert_ptr_equal(table_random(&m.t, &m.rng), m.at[1]);
    assert_true(table_sample(&m.t, &m.rng, out, 3) >= 1);
    assert_ptr_equal(out[0], m.at[1]);
    assert_int_equal(table_sample(&m.t, &m.rng, out, 0), 0);
    model_end(&m);
}

static void hints_hold_until_the_table_changes(void **state)
{
    (void)state;
    struct model m;
    model_begin(&m, 30000, 9);
    for (size_t i = 0; i < m.size - 100; i++)
        model_add(&m, i);
    for (size_t i = 0; i < m.size; i += 50) {
        char text[24];
        struct slice key = key_text(i, text);
        uint64_t hash = table_hash(&m.t, key);
        struct table_hint hint;
        table_prefetch_bucket(&m.t, hash, &hint);
        table_prefetch_entry(&m.t, hash, &hint);
        struct place *p = table_find_hinted(&m.t, hash, key, &hint);
        assert_ptr_equal(p != NULL ? place_entry(p) : NULL, m.at[i]);
        if (m.at[i] != NULL)
            model_remove(&m, i); /* the hint now points to what is no more */
        else
            model_add(&m, i);
        p = table_find_hinted(&m.t, hash, key, &hint);
        assert_ptr_equal(p != NULL ? place_entry(p) : NULL, m.at[i]);
    }
    model_end(&m);
}

static void an_index_holds_entries_of_another_table(void **state)
{
    (void)state;
    struct model m;
    model_begin(&m, 5000, 10);
    struct table dues;
    table_init(&dues, &secret);
    char text[24];
    for (size_t i = 0; i < m.size; i++) {
        model_add(&m, i);
        if (i % 3 == 0)
            table_insert(&dues, table_hash(&dues, key_text(i, text)), m.at[i]);
    }
    for (size_t i = 0; i < m.size; i += 3) { /* entries move: both are told */
        struct slice key = key_text(i, text);
        uint64_t hash = table_hash(&m.t, key);
        struct place *in_keys = table_find(&m.t, hash, key), *in_dues = table_find(&dues, hash, key);
        assert_int_equal(entry_put(&m.at[i], SLICE("x, and more than fits where it was"), WALL_NEVER, NULL), ERR_OK);
        place_set(in_keys, m.at[i]);
        place_set(in_dues, m.at[i]);
    }
    table_check(&m.t);
    table_check(&dues);
    assert_int_equal(table_n(&dues), (m.size + 2) / 3);
    table_free(&dues, NULL, NULL);
    assert_int_equal(table_bytes(&dues), 0);
    model_end(&m);
}

struct chunk {
    struct entry *at[400];
    size_t n;
};

static void chunk_add(void *who, struct entry *e)
{
    struct chunk *c = who;
    assert_true(c->n < 400);
    c->at[c->n++] = e;
}

/* Active expiry and slot moves do this. What is left of a segment must not crowd together. */
static void a_sweep_that_drops_what_it_visits_stays_quick(void **state)
{
    (void)state;
    struct model m;
    model_begin(&m, 50000, 14);
    for (size_t i = 0; i < m.size; i++)
        model_add(&m, i);
    uint64_t cursor = 0;
    size_t most = 0, in_order = 0;
    struct chunk *order = calloc(m.size, sizeof(*order));
    do {
        struct chunk *c = &order[in_order++];
        cursor = table_scan(&m.t, cursor, 16, chunk_add, c);
        most = c->n > most ? c->n : most;
        for (size_t i = 0; i < c->n; i++) {
            struct entry *e = table_remove(&m.t, table_hash(&m.t, entry_key(c->at[i])), entry_key(c->at[i]));
            assert_ptr_equal(e, c->at[i]);
        }
        if (in_order % 100 == 0)
            table_check(&m.t);
    } while (cursor != 0);
    assert_int_equal(table_n(&m.t), 0);
    assert_int_equal(table_bytes(&m.t), 0);
    assert_true(most < 64);
    for (size_t k = 0; k < in_order; k++) /* and all come back in that order, as a reload does */
        for (size_t i = 0; i < order[k].n; i++)
            table_insert(&m.t, table_hash(&m.t, entry_key(order[k].at[i])), order[k].at[i]);
    table_check(&m.t);
    assert_int_equal(table_n(&m.t), m.size);
    free(order);
    model_end(&m);
}

static void a_table_is_freed_in_steps(void **state)
{
    (void)state;
    struct model m;
    model_begin(&m, 50000, 11);
    for (size_t i = 0; i < m.size; i++)
        model_add(&m, i);
    uint64_t cursor = 0;
    size_t steps = 0, before = m.n;
    do {
        cursor = table_free_some(&m.t, cursor, 1000, drop, &m);
        assert_true(before - m.n <= 1000 + BUCKET_PLACES);
        assert_true(m.n < before);
        before = m.n;
        if (cursor != 0)
            table_check(&m.t);
        steps++;
    } while (cursor != 0);
    assert_true(steps > 10);
    assert_int_equal(table_bytes(&m.t), 0);
    model_add(&m, 3); /* and is a table as any other */
    model_find(&m, 3);
    model_end(&m);
}

static void a_key_costs_at_most_thirteen_bytes(void **state)
{
    (void)state;
    struct model m;
    model_begin(&m, 200000, 12);
    double sum = 0;
    size_t samples = 0;
    for (size_t i = 0; i < m.size; i++) {
        model_add(&m, i);
        if (i >= 1000 && i % 500 == 0) {
            double each = (double)table_bytes(&m.t) / (double)m.n;
            assert_true(each < 13.5);
            sum += each;
            samples++;
        }
    }
    assert_true(sum / (double)samples < 11.8);
    model_end(&m);
}

static void churn_leaves_no_trace(void **state)
{
    (void)state;
    struct model m;
    model_begin(&m, 3000, 13);
    for (size_t i = 0; i < 1500; i++)
        model_add(&m, i);
    for (size_t round = 0; round < 300000; round++) {
        size_t i = rng_below(&m.rng, m.size), j = rng_below(&m.rng, m.size);
        if (m.at[i] != NULL && m.at[j] == NULL) {
            model_remove(&m, i);
            model_add(&m, j);
        }
    }
    table_check(&m.t);
    size_t passed = 0, displaced = 0; /* T3: each pass belongs to a key that is there */
    assert_int_equal(m.t.depth, 0);
    const struct bucket *b = (const struct bucket *)(uintptr_t)(m.t.word & 0x0000ffffffffffc0u);
    struct segment s = {(struct bucket *)(uintptr_t)b, (uint32_t)(m.t.word >> 48), 0};
    for (uint32_t at = 0; at < s.n; at++) {
        passed += b[at].passed;
        for (unsigned i = 0; i < BUCKET_PLACES; i++)
            if (b[at].tag[i] > TAG_COUNT)
                displaced += (at + s.n - home_of(s, place_position(&b[at].place[i]))) % s.n;
    }
    assert_int_equal(passed, displaced);
    model_end(&m);
}

UNIT_TESTS("table",
           TEST(an_empty_table_holds_no_memory, "an empty table holds no memory, at first and again (T4)"),
           TEST(every_small_size_works, "every small size works, growing and shrinking (T1-T4)"),
           TEST(a_million_operations_agree_with_a_map, "a million random operations agree with a map (T1-T4)"),
           TEST(bad_hashes_are_slow_and_right, "equal hashes, prefixes or tags are slow and right (T5)"),
           TEST(skewed_keys_do_not_hurt_the_others, "the directory stays small for skewed keys (T5)"),
           TEST(a_quiet_scan_sees_each_entry_once_in_order, "a scan sees each entry once, in order (T6)"),
           TEST(a_scan_misses_nothing_that_stays, "a scan misses nothing that stays, whatever else changes (T6)"),
           TEST(random_picks_are_fair, "random picks are fair"),
           TEST(one_key_is_found_by_chance, "a single key is found by chance"),
           TEST(hints_hold_until_the_table_changes, "hints hold until the table changes"),
           TEST(an_index_holds_entries_of_another_table, "a second table holds entries of the first"),
           TEST(a_sweep_that_drops_what_it_visits_stays_quick, "a sweep that drops what it visits stays quick"),
           TEST(a_table_is_freed_in_steps, "a table is freed in steps"),
           TEST(a_key_costs_at_most_thirteen_bytes, "a key costs 13 bytes at most, 11.8 on average"),
           TEST(churn_leaves_no_trace, "keys that come and go leave no trace (T3)"))

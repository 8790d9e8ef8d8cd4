/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/repl/backlog.h"

#include <stdio.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/vec.h"
#include "tests/lib/unit.h"

enum { HEAD = 40 }; /* what lies before a record's bytes */

static uint64_t put(struct backlog *b, uint64_t seq, uint64_t before, struct slice bytes)
{
    return backlog_put(b, &(struct backlog_record){.at = {3, seq}, .before_epoch = 2, .before = before, .bytes = bytes});
}

static void a_record_is_found_whole_and_so_is_the_one_before_it(void **state)
{
    (void)state;
    struct backlog b;
    struct backlog_record r;
    backlog_init(&b, 4096);
    uint64_t first = put(&b, 1, 0, SLICE("one")), second = put(&b, 2, first, SLICE("second"));
    assert_true(first > 0 && second > first);
    assert_true(backlog_get(&b, second, &r));
    assert_true(r.at.epoch == 3 && r.at.seq == 2 && r.before_epoch == 2 && r.before == first);
    assert_slice(r.bytes, "second");
    assert_true(backlog_get(&b, r.before, &r));
    assert_int_equal(r.at.seq, 1);
    assert_slice(r.bytes, "one");
    assert_false(backlog_get(&b, r.before, &r)); /* 0: there was none */
    assert_false(backlog_get(&b, b.end, &r));    /* not yet */
    backlog_free(&b);
}

static void a_record_in_parts_is_kept_in_one_piece(void **state)
{
    (void)state;
    struct backlog b;
    struct backlog_record r;
    struct chain parts = {0};
    backlog_init(&b, 256 * 1024);
    uint64_t before = put(&b, 1, 0, SLICE("small"));
    for (unsigned i = 0; i < 3000; i++)
        chain_put(&parts, SLICE("0123456789"));
    uint64_t place = backlog_put(&b, &(struct backlog_record){.at = {3, 2}, .before = before, .parts = &parts});
    assert_true(backlog_get(&b, place, &r));
    assert_true(r.before == before && r.bytes.n == 30000);
    for (unsigned i = 0; i < 3000; i++)
        assert_memory_equal(r.bytes.p + 10 * (size_t)i, "0123456789", 10);
    for (unsigned i = 0; i < 4000; i++)
        chain_put(&parts, SLICE("0123456789"));
    assert_int_equal(backlog_put(&b, &(struct backlog_record){.at = {3, 3}, .before = place, .parts = &parts}), 0);
    chain_free(&parts, NULL);
    backlog_free(&b);
}

static void what_is_too_large_or_has_no_room_at_all_is_not_kept(void **state)
{
    (void)state;
    static char large[4096];
    struct backlog b;
    struct backlog_record r;
    backlog_init(&b, 4096);
    uint64_t small = put(&b, 1, 0, SLICE("small"));
    assert_int_equal(put(&b, 2, small, slice_of(large, 1024 - HEAD + 1)), 0);
    assert_true(backlog_get(&b, small, &r)); /* nothing made room for it */
    uint64_t most = put(&b, 3, 0, slice_of(large, 1024 - HEAD));
    assert_true(backlog_get(&b, most, &r));
    assert_int_equal(r.bytes.n, 1024 - HEAD);
    backlog_free(&b);
    for (uint64_t size = 0; size <= 64; size += 63) {
        backlog_init(&b, size);
        assert_int_equal(put(&b, 1, 0, SLICE("x")), 0);
        assert_false(backlog_get(&b, 64, &r));
        backlog_free(&b);
    }
}

static void another_size_forgets_and_no_old_place_comes_again(void **state)
{
    (void)state;
    struct backlog b;
    struct backlog_record r;
    backlog_init(&b, 1024);
    uint64_t old = 0, sizes[] = {8192, 0, 192, 64 * 7, 4096};
    for (unsigned seq = 1; seq <= 40; seq++)
        old = put(&b, seq, old, SLICE("0123456789"));
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        backlog_resize(&b, sizes[i]);
        assert_int_equal(b.asked, sizes[i]);
        assert_false(backlog_get(&b, old, &r));
        uint64_t place = put(&b, 50 + i, old, SLICE("x"));
        assert_true(sizes[i] >= 192 ? place > old : place == 0);
        if (place == 0)
            continue;
        assert_true(backlog_get(&b, place, &r));
        assert_false(backlog_get(&b, r.before, &r));
        old = place;
    }
    backlog_free(&b);
}

/* ---------------------------------------------------------- against every record ever put */

struct known {
    uint64_t place, slot, before;
    struct position at;
    size_t n;
    char fill;
};

static void same(const struct backlog *b, const struct known *k)
{
    struct backlog_record r;
    assert_true(backlog_get(b, k->place, &r));
    assert_true(r.at.epoch == k->at.epoch && r.at.seq == k->at.seq && r.before == k->before);
    assert_int_equal(r.bytes.n, k->n);
    for (size_t i = 0; i < k->n; i++)
        assert_int_equal(r.bytes.p[i], k->fill);
}

/* What is kept are the newest ones, whole, and of the room at most a half is lost to pieces at the ends. */
static void run(uint64_t seed)
{
    enum { RECORDS = 1500, MODEL_SLOTS = 3 };
    struct rng rng;
    struct backlog b;
    VEC(struct known) all = {0};
    uint64_t newest[MODEL_SLOTS] = {0}, seqs[MODEL_SLOTS] = {0};
    static char bytes[8192];
    rng_seed(&rng, seed);
    uint64_t size = 256 + rng_below(&rng, 8000);
    backlog_init(&b, size);
    size_t forgotten = 0;
    while (all.n < RECORDS) {
        struct backlog_record r;
        unsigned slot = (unsigned)rng_below(&rng, MODEL_SLOTS);
        size_t n = (size_t)rng_below(&rng, rng_below(&rng, 4) == 0 ? size / 2 : 30);
        struct known k = {.slot = slot, .before = newest[slot], .at = {1 + all.n / 100, ++seqs[slot]}, .n = n,
                          .fill = (char)rng_below(&rng, 256)};
        memset(bytes, k.fill, n);
        k.place = newest[slot] = backlog_put(&b, &(struct backlog_record){.at = k.at, .before_epoch = 1, .before = k.before,
                                                                         .bytes = slice_of(bytes, n)});
        assert_true((k.place == 0) == ((n + HEAD + 7) / 8 * 8 > b.size / 4));
        if (k.place != 0)
            *vec_add(&all) = k;
        size_t room = 0, i = all.n;
        for (; i > forgotten && backlog_get(&b, all.at[i - 1].place, &r); i--) {
            same(&b, &all.at[i - 1]);
            room += HEAD + all.at[i - 1].n;
        }
        assert_true(i == forgotten || room >= b.size / 4);
        for (size_t gone = i > 20 ? i - 20 : 0; gone < i; gone++)
            assert_false(backlog_get(&b, all.at[gone].place, &r));
        forgotten = i;
        if (rng_below(&rng, 400) == 0) {
            backlog_resize(&b, size = 256 + rng_below(&rng, 8000));
            forgotten = all.n;
        }
    }
    vec_free(&all);
    backlog_free(&b);
}

static void the_newest_are_kept_as_they_were(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++)
        run(seed);
}

UNIT_TESTS("backlog",
           TEST(a_record_is_found_whole_and_so_is_the_one_before_it,
                "a record is found as it was put, and by it the one before it in its slot (replication 23)"),
           TEST(a_record_in_parts_is_kept_in_one_piece, "a record in parts is kept in one piece, if it is not too large"),
           TEST(what_is_too_large_or_has_no_room_at_all_is_not_kept,
                "what is too large is not kept and costs nobody its place; without room nothing is kept"),
           TEST(another_size_forgets_and_no_old_place_comes_again, "another size forgets all; no old place is found again"),
           TEST(the_newest_are_kept_as_they_were,
                "any order of records and sizes: the newest are there as they were put, the older known as gone (23)"))

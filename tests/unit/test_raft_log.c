/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/raft/raft_log.h"

#include "base/bounds.h"
#include "base/rng.h"
#include "tests/lib/unit.h"

static void add(struct raft_log *l, uint64_t term, const char *text)
{
    raft_log_append(l, term, RAFT_ENTRY_OWNER, slice_str(text));
}

static void indexes_are_dense_and_begin_with_one(void **state)
{
    (void)state;
    struct raft_log l;
    raft_log_init(&l, 0, 0);
    assert_int_equal(raft_log_last(&l), 0);
    assert_int_equal(raft_log_last_term(&l), 0);
    add(&l, 1, "a");
    add(&l, 3, "b");
    assert_int_equal(raft_log_last(&l), 2);
    assert_int_equal(raft_log_last_term(&l), 3);
    assert_slice(raft_log_at(&l, 2)->bytes, "b");
    uint64_t term = 9;
    assert_true(raft_log_term(&l, 0, &term) && term == 0);
    assert_true(raft_log_term(&l, 2, &term) && term == 3);
    assert_false(raft_log_term(&l, 3, &term));
    raft_log_free(&l);
    assert_int_equal(l.bytes, 0);
}

static void what_is_dropped_leaves_its_term(void **state)
{
    (void)state;
    struct raft_log l;
    raft_log_init(&l, 10, 4);
    for (uint64_t t = 5; t < 9; t++)
        add(&l, t, "x");
    raft_log_drop_front(&l, 12);
    uint64_t term;
    assert_false(raft_log_term(&l, 11, &term));
    assert_true(raft_log_term(&l, 12, &term) && term == 6);
    assert_true(raft_log_has(&l, 12, 6) && !raft_log_has(&l, 12, 5));
    assert_int_equal(raft_log_last(&l), 14);
    raft_log_drop_front(&l, 14);
    assert_int_equal(raft_log_last(&l), 14);
    assert_int_equal(raft_log_last_term(&l), 8);
    add(&l, 8, "y");
    assert_slice(raft_log_at(&l, 15)->bytes, "y");
    raft_log_free(&l);
}

static void a_run_has_one_entry_at_least_and_then_keeps_its_bound(void **state)
{
    (void)state;
    struct raft_log l;
    raft_log_init(&l, 0, 0);
    static const char hundred[100];
    for (int i = 0; i < 5; i++)
        raft_log_append(&l, 1, RAFT_ENTRY_OWNER, slice_of(hundred, sizeof(hundred)));
    size_t one = 100 + RAFT_ENTRY_COST;
    assert_int_equal(raft_log_run(&l, 1, 1), 1);
    assert_int_equal(raft_log_run(&l, 1, 2 * one - 1), 1);
    assert_int_equal(raft_log_run(&l, 1, 2 * one), 2);
    assert_int_equal(raft_log_run(&l, 4, 100 * one), 2);
    assert_int_equal(raft_log_run(&l, 6, 100 * one), 0);
    raft_log_free(&l);
}

/* A log against a plain array, under operations drawn by a seed. */
static void a_log_is_as_a_plain_array(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 7);
    struct raft_log l;
    raft_log_init(&l, 0, 0);
    static uint64_t terms[1 << 16];
    uint64_t first = 1, last = 0;
    for (int i = 0; i < 20000; i++) {
        switch (rng_below(&rng, 8)) {
        case 0:
            if (last >= first) {
                uint64_t from = first + rng_below(&rng, last - first + 1);
                if (last - from < 8) {
                    raft_log_cut(&l, from);
                    last = from - 1;
                }
            }
            break;
        case 1:
            if (last >= first && last - first > 50) {
                first = first + rng_below(&rng, 30) + 1;
                raft_log_drop_front(&l, first - 1);
            }
            break;
        default:
            if (last < (1 << 16) - 1) {
                terms[last + 1] = (last > 0 ? terms[last] : 1) + rng_below(&rng, 2);
                last++;
                raft_log_append(&l, terms[last], RAFT_ENTRY_NOOP, slice_of(&terms[last], 8));
            }
        }
        assert_int_equal(raft_log_last(&l), last);
        assert_int_equal(raft_log_last_term(&l), last > 0 ? terms[last] : 0);
        assert_int_equal(l.bytes, l.n * (8 + RAFT_ENTRY_COST));
        for (uint64_t k = first; k <= last; k++)
            assert_memory_equal(raft_log_at(&l, k)->bytes.p, &terms[k], 8);
        uint64_t term;
        assert_true(raft_log_term(&l, first - 1, &term));
        assert_int_equal(term, first > 1 ? terms[first - 1] : 0);
    }
    raft_log_free(&l);
}

/* ------------------------------------------------------------------------- all small logs */

enum { LEN = 5, TERMS = 4 };

struct small {
    size_t n;
    uint64_t terms[LEN];
};

/* The k-th sequence of terms that never falls; false: it is none. */
static bool small_make(struct small *s, unsigned k)
{
    s->n = k % (LEN + 1);
    k /= LEN + 1;
    for (size_t i = 0; i < s->n; i++, k /= TERMS) {
        s->terms[i] = k % TERMS + 1;
        if (i > 0 && s->terms[i] < s->terms[i - 1])
            return false;
    }
    return k == 0;
}

static void small_log(struct raft_log *l, const struct small *s)
{
    raft_log_init(l, 0, 0);
    for (size_t i = 0; i < s->n; i++)
        raft_log_append(l, s->terms[i], RAFT_ENTRY_NOOP, (struct slice){0});
}

/* Up to where two logs are equal; -1: they contradict log matching and cannot occur. */
static int agreement(const struct small *a, const struct small *b)
{
    size_t same = 0;
    while (same < a->n && same < b->n && a->terms[same] == b->terms[same])
        same++;
    for (size_t i = same; i < a->n && i < b->n; i++)
        if (a->terms[i] == b->terms[i])
            return -1;
    return (int)same;
}

static void hint_holds(const struct small *a, const struct small *b, size_t agree)
{
    struct raft_log follower, leader;
    small_log(&follower, a);
    small_log(&leader, b);
    for (uint64_t prev = 1; prev <= b->n; prev++) {
        if (raft_log_has(&follower, prev, b->terms[prev - 1]))
            continue;
        uint64_t hint_term, unused;
        uint64_t hint = raft_log_hint(&follower, prev, b->terms[prev - 1], &hint_term);
        assert_true(hint >= agree && hint <= prev);
        uint64_t next = raft_log_hint(&leader, hint, hint_term, &unused);
        assert_true(next >= agree);   /* nothing that they share is sent again and again, */
        assert_true(next < prev);     /* and every refusal is a step back */
    }
    raft_log_free(&follower);
    raft_log_free(&leader);
}

static void a_hint_never_misses_where_two_logs_agree(void **state)
{
    (void)state;
    unsigned all = LEN + 1, pairs = 0;
    for (int i = 0; i < LEN; i++)
        all *= TERMS;
    static struct small logs[1 << 10];
    size_t n = 0;
    for (unsigned k = 0; k < all; k++)
        if (small_make(&logs[n], k))
            n++;
    assert_true(n > 100);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++) {
            int agree = agreement(&logs[i], &logs[k]);
            if (agree < 0)
                continue;
            hint_holds(&logs[i], &logs[k], (size_t)agree);
            pairs++;
        }
    assert_true(pairs > 1000);
}

static void a_log_is_newer_by_its_last_term_then_by_its_length(void **state)
{
    (void)state;
    struct raft_log l;
    raft_log_init(&l, 0, 0);
    assert_true(raft_log_is_upto_date(&l, 0, 0));
    add(&l, 1, "a");
    add(&l, 2, "b");
    for (uint64_t term = 0; term < 5; term++)
        for (uint64_t index = 0; index < 5; index++)
            assert_int_equal(raft_log_is_upto_date(&l, index, term), term > 2 || (term == 2 && index >= 2));
    raft_log_free(&l);
}

UNIT_TESTS("raft_log",
           TEST(indexes_are_dense_and_begin_with_one, "indexes are dense and begin with 1"),
           TEST(what_is_dropped_leaves_its_term, "what is dropped leaves the term of its last entry"),
           TEST(a_run_has_one_entry_at_least_and_then_keeps_its_bound,
                "a run has one entry at least, and beyond that keeps its bound"),
           TEST(a_log_is_as_a_plain_array, "under any operations a log is as a plain array"),
           TEST(a_hint_never_misses_where_two_logs_agree,
                "for all small logs: a refusal leads back, and never behind where two logs agree (F2)"),
           TEST(a_log_is_newer_by_its_last_term_then_by_its_length,
                "a log is newer by its last term, then by its length (dissertation 3.6.1)"))

/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/raft/raft_quorum.h"

#include <stdbool.h>

#include "tests/lib/unit.h"

enum { VALUES = 4 };

/* The definition itself: enough of them have reached v. */
static bool majority_has(const int64_t *values, size_t n, int64_t v)
{
    size_t have = 0;
    for (size_t i = 0; i < n; i++)
        have += values[i] >= v;
    return 2 * have > n;
}

static void a_majority_has_reached_it_and_nothing_above(void **state)
{
    (void)state;
    for (size_t n = 1; n <= RAFT_VOTERS_MAX; n++) {
        unsigned all = 1;
        for (size_t i = 0; i < n; i++)
            all *= VALUES;
        for (unsigned k = 0; k < all; k++) {
            int64_t values[RAFT_VOTERS_MAX];
            unsigned rest = k;
            for (size_t i = 0; i < n; i++, rest /= VALUES)
                values[i] = rest % VALUES;
            int64_t got = raft_quorum_reached(values, n);
            assert_true(majority_has(values, n, got));
            assert_false(majority_has(values, n, got + 1));
        }
    }
}

static void a_poll_is_open_exactly_while_it_could_go_both_ways(void **state)
{
    (void)state;
    for (size_t n = 1; n <= RAFT_VOTERS_MAX; n++)
        for (size_t yes = 0; yes <= n; yes++)
            for (size_t no = 0; yes + no <= n; no++) {
                bool won = 2 * yes > n, can_win = 2 * (n - no) > n;
                assert_int_equal(raft_quorum_poll(n, yes, no),
                                 won ? RAFT_POLL_WON : can_win ? RAFT_POLL_OPEN : RAFT_POLL_LOST);
            }
}

static void any_two_majorities_meet_also_one_voter_apart(void **state)
{
    (void)state;
    for (size_t n = 1; n < RAFT_VOTERS_MAX; n++) {
        assert_true(2 * raft_majority(n) > n);
        assert_true(raft_majority(n) + raft_majority(n + 1) > n + 1);
    }
}

UNIT_TESTS("raft_quorum",
           TEST(a_majority_has_reached_it_and_nothing_above, "a majority has reached it, and none has anything above"),
           TEST(a_poll_is_open_exactly_while_it_could_go_both_ways,
                "a poll is open exactly while it could still be won"),
           TEST(any_two_majorities_meet_also_one_voter_apart,
                "any two majorities meet, also of sets one voter apart (replication 18)"))

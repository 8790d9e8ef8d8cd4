/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/raft/raft_progress.h"

#include "tests/lib/unit.h"

enum { LAST = 4, DEPTH = 6 };

/* All that can happen, in all orders, up to a depth: the inequalities hold and match never falls. */
static unsigned long walk(const struct raft_progress *p, int depth)
{
    raft_progress_check(p);
    if (depth == 0)
        return 1;
    unsigned long seen = 0;
    for (size_t n = 1; n <= 2; n++) {
        if (p->state != RAFT_PROGRESS_REPLICATE || !raft_progress_may_send(p) || p->next + n > LAST + 1)
            continue;
        struct raft_progress q = *p;
        raft_progress_sent(&q, n, 10 * n);
        assert_int_equal(q.match, p->match);
        seen += walk(&q, depth - 1);
    }
    for (uint64_t match = 0; match <= LAST; match++) {
        struct raft_progress q = *p;
        assert_int_equal(raft_progress_accepted(&q, match), match > p->match);
        assert_true(q.match >= p->match && q.next >= p->next);
        assert_true(q.state == RAFT_PROGRESS_REPLICATE || q.match < q.snapshot_index);
        seen += walk(&q, depth - 1);
    }
    for (uint64_t prev = 0; prev <= LAST; prev++)
        for (uint64_t hint = 0; hint <= prev; hint++) {
            struct raft_progress q = *p;
            if (!raft_progress_refused(&q, prev, hint))
                continue;
            assert_int_equal(q.match, p->match);
            assert_true(q.next <= prev); /* a step back, */
            assert_true(q.state == RAFT_PROGRESS_PROBE && !q.waiting); /* and something to send at once */
            seen += walk(&q, depth - 1);
        }
    struct raft_progress q = *p;
    raft_progress_snapshot(&q, p->match + 1);
    assert_true(raft_progress_may_send(&q));
    return seen + walk(&q, depth - 1);
}

static void no_order_of_answers_breaks_it(void **state)
{
    (void)state;
    struct raft_progress p;
    raft_progress_init(&p, 3, (struct mono){0});
    assert_true(walk(&p, DEPTH) > 10000);
}

static void a_probe_is_one_message(void **state)
{
    (void)state;
    struct raft_progress p;
    raft_progress_init(&p, 5, (struct mono){0});
    assert_true(raft_progress_refused(&p, 4, 2));
    assert_true(raft_progress_may_send(&p));
    p.waiting = true;
    assert_false(raft_progress_may_send(&p));
    assert_true(raft_progress_accepted(&p, 2));
    assert_int_equal(p.state, RAFT_PROGRESS_REPLICATE);
    assert_int_equal(p.next, 3);
}

static void a_chunk_is_sent_again_only_after_a_while(void **state)
{
    (void)state;
    struct raft_progress p;
    raft_progress_init(&p, 5, (struct mono){0});
    raft_progress_snapshot(&p, 100);
    p.waiting = true;
    p.chunk_sent = (struct mono){1000};
    raft_progress_wants(&p, 0, (struct mono){1099}, 100);
    assert_true(p.waiting); /* it may still be on its way */
    raft_progress_wants(&p, 0, (struct mono){1100}, 100);
    assert_false(p.waiting);
    p.waiting = true;
    raft_progress_wants(&p, 4096, (struct mono){1001}, 100);
    assert_int_equal(p.snapshot_offset, 4096);
    assert_false(p.waiting);
}

static void the_window_bounds_messages_and_bytes(void **state)
{
    (void)state;
    struct raft_progress p;
    raft_progress_init(&p, 1, (struct mono){0});
    for (unsigned i = 0; i < RAFT_FLIGHTS; i++) {
        assert_true(raft_progress_may_send(&p));
        raft_progress_sent(&p, 2, 100);
    }
    assert_false(raft_progress_may_send(&p));
    assert_true(raft_progress_accepted(&p, 1)); /* the first message is not whole yet */
    assert_false(raft_progress_may_send(&p));
    assert_true(raft_progress_accepted(&p, 2));
    assert_true(raft_progress_may_send(&p));
    (void)raft_progress_accepted(&p, 2 * RAFT_FLIGHTS);
    assert_int_equal(p.flight_bytes, 0);
    raft_progress_sent(&p, 1, RAFT_FLIGHT_BYTES);
    assert_false(raft_progress_may_send(&p));
}

static void an_old_refusal_changes_nothing(void **state)
{
    (void)state;
    struct raft_progress p;
    raft_progress_init(&p, 9, (struct mono){0});
    assert_true(raft_progress_accepted(&p, 8));
    raft_progress_sent(&p, 1, 10);
    assert_false(raft_progress_refused(&p, 8, 2)); /* it has 8 */
    assert_false(raft_progress_refused(&p, 12, 2)); /* never sent */
    assert_int_equal(p.flights_n, 1);
    assert_true(raft_progress_refused(&p, 9, 9));
    assert_int_equal(p.next, 9);
    assert_false(raft_progress_refused(&p, 7, 2)); /* and once is enough */
}

static void a_snapshot_ends_when_it_is_installed(void **state)
{
    (void)state;
    struct raft_progress p;
    raft_progress_init(&p, 3, (struct mono){0});
    raft_progress_snapshot(&p, 20);
    assert_true(raft_progress_accepted(&p, 7));
    assert_int_equal(p.state, RAFT_PROGRESS_SNAPSHOT);
    assert_true(raft_progress_accepted(&p, 20));
    assert_int_equal(p.state, RAFT_PROGRESS_REPLICATE);
    assert_int_equal(p.next, 21);
}

UNIT_TESTS("raft_progress",
           TEST(no_order_of_answers_breaks_it, "no order of sends and answers breaks match < next or lowers match"),
           TEST(a_probe_is_one_message, "a probe is one message until it is answered"),
           TEST(a_chunk_is_sent_again_only_after_a_while, "a chunk under way is sent again only after a while"),
           TEST(the_window_bounds_messages_and_bytes, "what is in flight is bounded in messages and bytes"),
           TEST(an_old_refusal_changes_nothing, "an old refusal changes nothing"),
           TEST(a_snapshot_ends_when_it_is_installed, "a snapshot is over when it is on the follower's disk"))

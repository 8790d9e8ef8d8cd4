/* SPDX-License-Identifier: BSD-3-Clause */

/* 200 members in one process: a network with random delays and losses, every message as bytes. */
#include "base/mem.h"
#include "tests/lib/unit.h"
#include "wire/wire_member.h"

enum { MANY = 200, VOTERS = 5, T_MS = 1000, DELAYS_MS = 64, LOST_OF_1000 = 10 };

struct letter {
    uint16_t from, to;
    uint32_t n;
    char *bytes;
};

struct world {
    size_t n;
    struct rng rng;
    int64_t ms;
    struct member members[MANY];
    struct mono lease[MANY];
    uint64_t ahead[MANY];
    struct mono wake[MANY];
    bool dead[MANY];
    uint16_t cut_from, cut_to; /* one direction of one link; equal: none */
    VEC(struct letter) due[DELAYS_MS];
    size_t sent[MANY], received[MANY], most_bytes;
    size_t news[MEMBER_IS_NEW + 1][MANY];
    int64_t first_silent[MANY];
};

static struct node_id id(unsigned n)
{
    return (struct node_id){{(uint8_t)(n * 37), (uint8_t)n, 1}};
}

static void post(struct world *w, unsigned from, const struct member_msg *m)
{
    unsigned to = m->to.b[1];
    w->sent[from]++;
    if (rng_below(&w->rng, 1000) < LOST_OF_1000 ||
        (from == w->cut_from && to == w->cut_to && from != to))
        return;
    struct chain c = {0};
    put_member(&c, m);
    struct letter l = {(uint16_t)from, (uint16_t)to, (uint32_t)c.n, mem_get(c.n)};
    chain_copy(&c, l.bytes, c.n);
    chain_free(&c, NULL);
    if (l.n > w->most_bytes)
        w->most_bytes = l.n;
    uint64_t delay =
        1 + rng_below(&w->rng, 4) + (rng_below(&w->rng, 100) == 0 ? rng_below(&w->rng, 50) : 0);
    *vec_add(&w->due[((uint64_t)w->ms + delay) % DELAYS_MS]) = l;
}

static void step(struct world *w, unsigned i, struct member_event ev)
{
    struct member_out out;
    ev.now = (struct mono){w->ms * 1000};
    ev.progress = (uint64_t)w->ms;
    member_step(&w->members[i], &ev, &out);
    w->lease[i] = out.lease;
    w->ahead[i] = out.ahead;
    w->wake[i] = out.wake;
    for (size_t k = 0; k < out.msgs_n; k++)
        post(w, i, &out.msgs[k]);
    for (size_t k = 0; k < out.news_n; k++) {
        unsigned about = out.news[k].about.b[1];
        if (w->news[out.news[k].type][about]++ == 0 && out.news[k].type == MEMBER_IS_SILENT)
            w->first_silent[about] = w->ms;
    }
}

static void deliver(struct world *w, const struct letter *l)
{
    struct wire_reader r = {.from = WIRE_EITHER, .open = true};
    struct wire_in in;
    struct member_msg m;
    size_t used;
    w->received[l->to]++;
    assert_int_equal(wire_next(&r, slice_of(l->bytes, l->n), &in, &used), WIRE_FRAME);
    assert_int_equal(get_member(&in, &m), ERR_OK);
    if (!w->dead[l->to])
        step(w, l->to, (struct member_event){.type = MEMBER_RECV, .recv = {id(l->from), &m}});
    wire_reader_free(&r);
}

static void pass(struct world *w, int64_t ms)
{
    for (int64_t end = w->ms + ms; w->ms < end;) {
        w->ms++;
        size_t bucket = (size_t)w->ms % DELAYS_MS;
        for (size_t i = 0; i < w->due[bucket].n; i++) {
            struct letter l = w->due[bucket].at[i];
            deliver(w, &l);
            mem_free(l.bytes);
        }
        vec_clear(&w->due[bucket]);
        for (unsigned i = 0; i < w->n; i++)
            if (!w->dead[i] && mono_reached((struct mono){w->ms * 1000}, w->wake[i]))
                step(w, i, (struct member_event){.type = MEMBER_DUE});
    }
}

/* n members, the first five vote, the first leads; and two seconds to come together. */
static struct world *begin(size_t n)
{
    struct world *w = mem_zero(sizeof(*w));
    struct member_known known[MANY];
    struct member_voter voters[VOTERS];
    w->n = n;
    w->ms = 1000;
    rng_seed(&w->rng, 7);
    for (unsigned i = 0; i < n; i++)
        known[i] = (struct member_known){.id = id(i), .incarnation = 1};
    for (unsigned i = 0; i < VOTERS; i++)
        voters[i] = (struct member_voter){.node = id(i)};
    for (unsigned i = 0; i < n; i++) {
        struct node_id self = id(i);
        struct member_view view = {known, n, voters, VOTERS, i < VOTERS};
        member_init(&w->members[i], &self, 1, 100 + i, T_MS * 1000, (struct mono){w->ms * 1000});
        step(w, i, (struct member_event){.type = MEMBER_VIEW, .view = &view});
    }
    step(w, 0, (struct member_event){.type = MEMBER_LEADS, .leads = true});
    pass(w, 2000);
    memset(w->sent, 0, sizeof(w->sent));
    memset(w->received, 0, sizeof(w->received));
    return w;
}

static void end(struct world *w)
{
    for (size_t i = 0; i < DELAYS_MS; i++) {
        for (size_t k = 0; k < w->due[i].n; k++)
            mem_free(w->due[i].at[k].bytes);
        vec_free(&w->due[i]);
    }
    for (size_t i = 0; i < w->n; i++) {
        member_check(&w->members[i]);
        member_free(&w->members[i]);
    }
    mem_free(w);
}

static void two_hundred_keep_their_leases(void **state)
{
    (void)state;
    struct world *w = begin(MANY);
    for (int i = 0; i < 300; i++) {
        pass(w, 10);
        for (size_t k = 0; k < MANY; k++)
            assert_true(w->ms * 1000 < w->lease[k].us);
    }
    for (size_t type = 0; type <= MEMBER_IS_NEW; type++)
        for (size_t k = 0; k < MANY; k++)
            assert_int_equal(w->news[type][k], 0);
    end(w);
}

static void a_new_map_is_known_everywhere_soon(void **state)
{
    (void)state;
    struct world *w = begin(MANY);
    unsigned worst = 0;
    for (uint64_t version = 1; version <= 5; version++) {
        unsigned first = (unsigned)version * 31;
        step(w, first, (struct member_event){.type = MEMBER_COMMITTED, .committed = version});
        unsigned intervals = 0;
        for (size_t know = 0; know < MANY && intervals <= 8; intervals++) {
            pass(w, T_MS / 10);
            know = 0;
            for (size_t i = 0; i < MANY; i++)
                know += w->ahead[i] == version;
            if (know == MANY)
                break;
        }
        worst = intervals + 1 > worst ? intervals + 1 : worst;
        for (size_t i = 0; i < MANY; i++) {
            assert_int_equal(w->ahead[i], version);
            assert_int_equal(w->members[i].ahead_at.b[1], first);
        }
    }
    assert_in_range(worst, 2, 8);
    end(w);
}

/* Per second a node says 10 heartbeats to each voter, begins 3 exchanges 10 times and answers as many as
 * others begin with it; however many they are. A voter answers heartbeats beside that. */
static void messages_do_not_grow_with_the_cluster(void **state)
{
    (void)state;
    for (size_t n = 20; n <= MANY; n += MANY - 20) {
        struct world *w = begin(n);
        pass(w, 2000);
        size_t sum = 0;
        for (size_t i = VOTERS; i < n; i++) {
            assert_in_range(w->sent[i], 2 * (10 * VOTERS - 2 + 24 + 10),
                            2 * (10 * VOTERS + 36 + 60));
            sum += w->sent[i];
        }
        assert_in_range(sum / (n - VOTERS), 2 * (10 * VOTERS - 2 + 50), 2 * (10 * VOTERS + 64));
        for (size_t i = 0; i < VOTERS; i++)
            assert_true(w->sent[i] <= 2 * (10 * n + 10 * VOTERS + 36 + 60));
        assert_in_range(w->most_bytes, 200, 4096);
        end(w);
    }
}

static void one_way_is_not_dead_and_dead_is_seen(void **state)
{
    (void)state;
    struct world *w = begin(MANY);
    w->cut_from = 50; /* the leader does not hear it; others do */
    w->cut_to = 0;
    pass(w, 3000);
    assert_int_equal(w->news[MEMBER_IS_SILENT][50], 0);
    w->dead[60] = true;
    int64_t died = w->ms;
    pass(w, 1000);
    /* T/2 after its last heartbeat that anybody heard, which was at most T/10 and a delay old */
    assert_in_range(w->first_silent[60] - died, T_MS / 2 - T_MS / 10 - 10, T_MS / 2 + T_MS / 10);
    for (size_t k = 0; k < MANY; k++)
        assert_true(k == 60 || w->news[MEMBER_IS_SILENT][k] == 0);
    end(w);
}

static void what_was_said_of_a_member_reaches_all(void **state)
{
    (void)state;
    struct world *w = begin(MANY);
    pass(w, 1000);
    struct node_id about = id(150);
    w->dead[150] = true;
    pass(w, 20);
    step(w, 77, (struct member_event){.type = MEMBER_REFUSED, .refused = about});
    pass(w, 8 * T_MS / 10);
    for (size_t i = 0; i < MANY; i++) {
        const struct member_peer *p = rumors_find(&w->members[i].rumors, &about);
        assert_true(p->last.t > 0); /* known everywhere, by its turn */
        if (i != 150)
            assert_true(p->refused.us > p->risen.us);
    }
    assert_true(w->news[MEMBER_IS_SILENT][150] > 0);
    end(w);
}

UNIT_TESTS("many_members",
           TEST(two_hundred_keep_their_leases,
                "200 members keep their leases where one message of 100 is lost (15)"),
           TEST(a_new_map_is_known_everywhere_soon,
                "a new map is known of everywhere within 8 intervals of gossip"),
           TEST(messages_do_not_grow_with_the_cluster,
                "what a node says does not grow with the cluster (M7)"),
           TEST(one_way_is_not_dead_and_dead_is_seen,
                "a link that is dead one way is not taken for a dead node (16)"),
           TEST(what_was_said_of_a_member_reaches_all,
                "a refused connection is known everywhere within 8 intervals (16)"))

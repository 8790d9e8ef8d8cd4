/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/ring/placement.h"

#include "base/rng.h"
#include "tests/lib/unit.h"

/* -- Members come, go and weigh otherwise; each time the wish follows. ----------------------------- */

struct world {
    struct map m;
    struct map_slot *before; /* the wishes a step ago */
    struct placement next;
    unsigned sites, copies;  /* who may hold data; of a slot */
    double weights;
};

static struct world world_begin(uint32_t copies)
{
    struct world w = {.before = mem_get(SLOTS * sizeof(*w.before))};
    map_init(&w.m);
    w.m.settings.replication_factor = copies;
    return w;
}

static void world_end(struct world *w)
{
    map_free(&w->m);
    mem_free(w->before);
    placement_free(&w->next);
}

static uint16_t joins(struct world *w, uint32_t weight, unsigned zone)
{
    size_t i = 0;
    while (i < w->m.nodes.n && w->m.nodes.at[i].used)
        i++;
    struct map_node *n = i < w->m.nodes.n ? &w->m.nodes.at[i] : vec_add(&w->m.nodes);
    *n = (struct map_node){.used = true, .weight = weight};
    n->zone[0] = (char)(zone > 0 ? 'a' + zone : '\0');
    return (uint16_t)i;
}

static bool holds(const struct map_node *n)
{
    return n->used && !n->leaving && n->weight > 0;
}

static bool wished(const struct map_slot *s, uint16_t node)
{
    for (unsigned k = 0; k < s->want_n; k++)
        if (s->want[k] == node)
            return true;
    return false;
}

static void take_runs(struct world *w)
{
    unsigned next = 0;
    size_t slots = 0;
    for (size_t i = 0; i < w->next.runs.n; i++) {
        const struct map_run *run = &w->next.runs.at[i];
        assert_true(run->from >= next && run->to >= run->from && run->to < SLOTS);
        next = run->to + 1U;
        for (unsigned slot = run->from; slot <= run->to; slot++, slots++) {
            struct map_slot *s = &w->m.slots[slot];
            assert_false(s->want_n == run->n && memcmp(s->want, run->node, run->n * sizeof(run->node[0])) == 0);
            s->want_n = run->n;
            memcpy(s->want, run->node, sizeof(run->node));
        }
    }
    assert_int_equal(slots, w->next.slots_n);
}

static void place(struct world *w)
{
    memcpy(w->before, w->m.slots, SLOTS * sizeof(*w->before));
    placement_next(&w->next, &w->m);
    take_runs(w);
    w->sites = 0;
    w->weights = 0;
    for (size_t i = 0; i < w->m.nodes.n; i++) {
        struct map_node *n = &w->m.nodes.at[i];
        w->sites += holds(n);
        w->weights += holds(n) ? n->weight : 0;
        n->used = n->used && !n->leaving; /* who left is gone */
    }
    w->copies = w->m.settings.replication_factor < w->sites ? w->m.settings.replication_factor : w->sites;
}

static uint16_t any_member(const struct world *w, struct rng *r)
{
    size_t i;
    do
        i = (size_t)rng_below(r, w->m.nodes.n);
    while (!w->m.nodes.at[i].used);
    return (uint16_t)i;
}

/* -- What must hold ------------------------------------------------------------------------------- */

/* The fewest copies of a slot in one zone with which all find room; 1 while zones suffice. */
static unsigned zone_most(const struct world *w)
{
    unsigned in_zone[256] = {0};
    for (size_t i = 0; i < w->m.nodes.n; i++)
        if (holds(&w->m.nodes.at[i]))
            in_zone[(unsigned char)w->m.nodes.at[i].zone[0]]++;
    for (unsigned most = 1;; most++) {
        unsigned room = 0;
        for (unsigned z = 0; z < 256; z++)
            room += in_zone[z] < most ? in_zone[z] : most;
        if (room >= w->copies)
            return most;
    }
}

static void copies_are_apart(const struct world *w)
{
    unsigned most = zone_most(w);
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        const struct map_slot *s = &w->m.slots[slot];
        assert_int_equal(s->want_n, w->copies);
        for (unsigned k = 0; k < s->want_n; k++) {
            const struct map_node *n = &w->m.nodes.at[s->want[k]];
            assert_true(holds(n));
            unsigned alike = 0;
            for (unsigned j = 0; j < s->want_n; j++) {
                assert_true(j == k || s->want[j] != s->want[k]);
                alike += w->m.nodes.at[s->want[j]].zone[0] == n->zone[0];
            }
            assert_true(alike <= most);
        }
    }
}

/* Is everybody's share of the copies as great as its weight, or do zones or nodes hold as much as they can? */
static bool shares_are_weights(const struct world *w)
{
    double zone[256] = {0};
    unsigned in_zone[256] = {0}, most = zone_most(w);
    bool plain = true;
    for (size_t i = 0; i < w->m.nodes.n; i++) {
        const struct map_node *n = &w->m.nodes.at[i];
        if (!holds(n))
            continue;
        double share = w->copies * n->weight / w->weights;
        plain = plain && share <= 1;
        zone[(unsigned char)n->zone[0]] += share;
        in_zone[(unsigned char)n->zone[0]]++;
    }
    for (unsigned z = 0; z < 256; z++)
        plain = plain && zone[z] <= (in_zone[z] < most ? in_zone[z] : most) + 1e-9;
    return plain;
}

/* So few slots that the bound is no whole unit: then the next whole one; where zones bind, one more. */
static void is_within(unsigned slots, double fair, double slack, bool bound)
{
    double unit = PLACEMENT_UNIT, more = bound ? unit : 0;
    if (slots > fair * slack + more + 1e-6 && slots >= fair + unit + more)
        fail_msg("%u slots, where %.1f are fair", slots, fair);
}

static void shares_are_fair(const struct world *w)
{
    unsigned *lead = mem_zero(w->m.nodes.n * sizeof(unsigned)), *copy = mem_zero(w->m.nodes.n * sizeof(unsigned));
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        const struct map_slot *s = &w->m.slots[slot];
        lead[s->want[0]]++;
        for (unsigned k = 0; k < s->want_n; k++)
            copy[s->want[k]]++;
    }
    bool large = w->sites > 50, plain = shares_are_weights(w), zones = false;
    for (size_t i = 1; i < w->m.nodes.n; i++)
        zones = zones || (w->copies > 1 && w->m.nodes.at[i].zone[0] != w->m.nodes.at[0].zone[0]);
    for (size_t i = 0; i < w->m.nodes.n; i++) {
        if (!holds(&w->m.nodes.at[i]))
            continue;
        double fair = SLOTS * w->m.nodes.at[i].weight / w->weights;
        is_within(lead[i], fair, large ? 1.05 : 1.02, zones);
        if (plain)
            is_within(copy[i], fair * w->copies, large ? 1.10 : 1.05, zones);
    }
    mem_free(lead);
    mem_free(copy);
}

static void ranges_are_few(const struct world *w)
{
    unsigned n = 1;
    for (unsigned slot = 1; slot < SLOTS; slot++) {
        const struct map_slot *a = &w->m.slots[slot - 1], *b = &w->m.slots[slot];
        n += a->want_n != b->want_n || memcmp(a->want, b->want, a->want_n * sizeof(a->want[0])) != 0;
    }
    assert_true(n <= 4096);
}

/* Copies that somebody has to fetch, and how many more at least somebody must have now than before. */
static void moves_are_few(const struct world *w, double times)
{
    double moved = 0, gained = 0;
    int *more = mem_zero(w->m.nodes.n * sizeof(int));
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        const struct map_slot *was = &w->before[slot], *is = &w->m.slots[slot];
        for (unsigned k = 0; k < was->want_n; k++)
            more[was->want[k]]--;
        for (unsigned k = 0; k < is->want_n; k++) {
            more[is->want[k]]++;
            moved += !wished(was, is->want[k]);
        }
    }
    for (size_t i = 0; i < w->m.nodes.n; i++)
        gained += more[i] > 0 ? more[i] : 0;
    mem_free(more);
    if (moved > times * gained + 1)
        fail_msg("%.0f copies moved, %.0f had to", moved, gained);
}

static void holds_all(const struct world *w)
{
    copies_are_apart(w);
    shares_are_fair(w);
    if (w->sites <= 100)
        ranges_are_few(w);
}

/* -- The claims ----------------------------------------------------------------------------------- */

static void step(struct world *w, struct rng *r, uint32_t weights, unsigned zones)
{
    switch (rng_below(r, 5)) {
    case 0:
    case 1:
        if (w->sites > 1) {
            w->m.nodes.at[any_member(w, r)].leaving = true;
            break;
        } /* fallthrough */
    case 2:
    case 3:
        joins(w, 1 + (uint32_t)rng_below(r, weights), (unsigned)rng_below(r, zones));
        break;
    default: {
        struct map_node *n = &w->m.nodes.at[any_member(w, r)];
        n->weight = 1 + (uint32_t)rng_below(r, weights);
        n->health = MAP_DOWN; /* which changes nothing */
    }
    }
}

static void history(uint64_t seed, unsigned begins, unsigned steps)
{
    struct rng r;
    rng_seed(&r, seed);
    struct world w = world_begin(1 + (uint32_t)rng_below(&r, MAP_COPIES));
    uint32_t weights = 1 + (uint32_t)rng_below(&r, 10);
    unsigned zones = 1 + (unsigned)rng_below(&r, 6);
    for (unsigned i = 0; i < begins; i++)
        joins(&w, 1 + (uint32_t)rng_below(&r, weights), (unsigned)rng_below(&r, zones));
    place(&w);
    holds_all(&w);
    for (unsigned i = 0; i < steps; i++) {
        step(&w, &r, weights, zones);
        place(&w);
        holds_all(&w);
    }
    world_end(&w);
}

static void small_clusters_hold(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 1000; i++)
        history(i, 1 + i % 12, 2);
}

static void large_clusters_hold(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 48; i++)
        history(10000 + i, 13 + 4 * i, 3);
}

/* One more of the same weight takes its share from all, and when it leaves they take it back. */
static void what_need_not_move_stays(void **state)
{
    (void)state;
    for (uint32_t copies = 1; copies <= MAP_COPIES; copies++) {
        struct world w = world_begin(copies);
        for (unsigned n = 1; n <= 24; n++) {
            joins(&w, 1, 0);
            place(&w);
            moves_are_few(&w, 1.1);
            double share = (double)SLOTS * w.copies / n;
            if (n > copies) { /* else everybody has everything */
                size_t moved = 0;
                for (unsigned slot = 0; slot < SLOTS; slot++)
                    for (unsigned k = 0; k < w.copies; k++)
                        moved += !wished(&w.before[slot], w.m.slots[slot].want[k]);
                assert_true((double)moved <= 1.1 * share);
            }
        }
        struct rng r;
        rng_seed(&r, copies);
        for (unsigned n = 24; n > copies + 1; n--) {
            w.m.nodes.at[any_member(&w, &r)].leaving = true;
            place(&w);
            moves_are_few(&w, 1.1);
            holds_all(&w);
        }
        world_end(&w);
    }
}

static void nothing_new_moves_nothing(void **state)
{
    (void)state;
    struct world w = world_begin(3);
    for (unsigned i = 0; i < 17; i++)
        joins(&w, 1 + i % 4, i % 3);
    place(&w);
    w.m.nodes.at[3].health = MAP_DOWN; /* it keeps its share */
    joins(&w, 0, 1);                   /* an arbiter holds none */
    place(&w);
    assert_int_equal(w.next.runs.n, 0);
    assert_int_equal(w.next.slots_n, 0);
    world_end(&w);
}

static void nobody_holds_nothing(void **state)
{
    (void)state;
    struct world w = world_begin(2);
    placement_next(&w.next, &w.m);
    assert_int_equal(w.next.runs.n, 0);
    joins(&w, 0, 0);
    placement_next(&w.next, &w.m);
    assert_int_equal(w.next.runs.n, 0);
    world_end(&w);
}

/* Two and then three of one weight: as few arcs as that can be. */
static void a_small_ring_has_few_arcs(void **state)
{
    (void)state;
    struct world w = world_begin(1);
    joins(&w, 1, 0);
    place(&w);
    assert_int_equal(w.next.runs.n, 1);
    joins(&w, 1, 0);
    place(&w);
    assert_int_equal(w.next.runs.n, 1);
    assert_int_equal(w.next.slots_n, SLOTS / 2);
    joins(&w, 1, 0);
    place(&w);
    assert_true(w.next.runs.n <= 2);
    assert_in_range(w.next.slots_n, SLOTS / 3 - PLACEMENT_UNIT, SLOTS / 3 + PLACEMENT_UNIT);
    world_end(&w);
}

/* The same wishes, members and settings: the same answer. */
static void the_answer_is_a_function(void **state)
{
    (void)state;
    struct world a = world_begin(3), b = world_begin(3);
    for (unsigned i = 0; i < 60; i++) {
        joins(&a, 1 + i % 7, i % 5);
        joins(&b, 1 + i % 7, i % 5);
        place(&a);
        place(&b);
        assert_int_equal(a.next.runs.n, b.next.runs.n);
        assert_memory_equal(a.next.runs.at, b.next.runs.at, a.next.runs.n * sizeof(struct map_run));
    }
    world_end(&a);
    world_end(&b);
}

UNIT_TESTS("placement",
           TEST(small_clusters_hold, "shares are fair, copies apart, ranges few: 1,000 histories of few nodes (L1 - L4)"),
           TEST(large_clusters_hold, "and of up to 200 nodes (L1 - L4)"),
           TEST(what_need_not_move_stays, "a join or a leave moves at most 1.1 of what must move (L5)"),
           TEST(nothing_new_moves_nothing, "who is DOWN keeps its share, an arbiter gets none, nothing moves (L5, L6)"),
           TEST(nobody_holds_nothing, "without anybody to hold data there is no wish"),
           TEST(a_small_ring_has_few_arcs, "a small ring has few arcs"),
           TEST(the_answer_is_a_function, "equal maps have equal answers (L7)"))

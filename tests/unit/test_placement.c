/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/ring/placement.h"

#include "base/rng.h"
#include "tests/lib/unit.h"

/* -- Members come, go and weigh otherwise; each time the wish follows. ----------------------------- */

struct world {
    struct map m;
    struct map_slot *before; /* the slots a step ago */
    struct placement next;
    unsigned sites, copies;  /* who may hold data; of a slot */
    unsigned copies_ever;    /* the most there were */
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

static char zone_name(unsigned zone)
{
    return (char)(zone > 0 ? 'a' + zone : '\0');
}

static uint16_t joins(struct world *w, uint32_t weight, unsigned zone)
{
    size_t i = 0;
    while (i < w->m.nodes.n && w->m.nodes.at[i].used)
        i++;
    struct map_node *n = i < w->m.nodes.n ? &w->m.nodes.at[i] : vec_add(&w->m.nodes);
    *n = (struct map_node){.used = true, .weight = weight};
    n->zone[0] = zone_name(zone);
    return (uint16_t)i;
}

static bool holds(const struct map_node *n)
{
    return n->used && !n->leaving && n->weight > 0;
}

/* Is who is wished to lead the unit of this slot primary of one of its slots? */
static bool leads_some(const struct map_slot *s)
{
    for (unsigned i = 0; i < PLACEMENT_UNIT; i++)
        if (s[i].primary == s[i].want[0])
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

/* What is wished, and nothing more. */
static void wish(struct world *w)
{
    memcpy(w->before, w->m.slots, SLOTS * sizeof(*w->before));
    placement_next(&w->next, &w->m);
    take_runs(w);
    w->sites = 0;
    w->weights = 0;
    for (size_t i = 0; i < w->m.nodes.n; i++) {
        const struct map_node *n = &w->m.nodes.at[i];
        w->sites += holds(n);
        w->weights += holds(n) ? n->weight : 0;
    }
    w->copies = w->m.settings.replication_factor < w->sites ? w->m.settings.replication_factor : w->sites;
    w->copies_ever = w->copies > w->copies_ever ? w->copies : w->copies_ever;
}

/* The slot's copies and its primary are where they were wished. */
static void arrive(struct map_slot *s)
{
    memcpy(s->replicas, s->want, sizeof(s->want));
    memcpy(s->isr, s->want, sizeof(s->want));
    s->replicas_n = s->isr_n = s->want_n;
    s->primary = s->want[0];
}

/* All of them, and who left is gone. */
static void arrive_all(struct world *w)
{
    for (unsigned slot = 0; slot < SLOTS; slot++)
        arrive(&w->m.slots[slot]);
    for (size_t i = 0; i < w->m.nodes.n; i++)
        w->m.nodes.at[i].used = w->m.nodes.at[i].used && !w->m.nodes.at[i].leaving;
}

static void place(struct world *w)
{
    wish(w);
    arrive_all(w);
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

static bool zones_differ(const struct world *w)
{
    for (size_t i = 1; i < w->m.nodes.n; i++)
        if (w->m.nodes.at[i].zone[0] != w->m.nodes.at[0].zone[0])
            return true;
    return false;
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
    bool large = w->sites > 50, plain = shares_are_weights(w), zones = w->copies > 1 && zones_differ(w);
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

static bool weights_differ(const struct world *w)
{
    bool differ = false;
    for (size_t i = 0; i < w->m.nodes.n; i++)
        differ = differ || (holds(&w->m.nodes.at[i]) && w->m.nodes.at[i].weight * w->sites != w->weights);
    return differ;
}

/* With how many others each shares slots (L8). A heavy node among light ones needs more;
 * and a smaller RF drops copies, not partners. */
static void partners_are_few(const struct world *w)
{
    bool alike = !weights_differ(w);
    size_t n = w->m.nodes.n, sum = 0, width = (w->copies_ever - 1) * w->m.settings.scatter_width;
    bool *share = mem_zero(n * n * sizeof(bool));
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        const struct map_slot *s = &w->m.slots[slot];
        for (unsigned k = 0; k < s->want_n; k++)
            for (unsigned j = 0; j < s->want_n; j++)
                share[s->want[k] * n + s->want[j]] = j != k;
    }
    for (size_t i = 0; i < n; i++) {
        size_t partners = 0;
        for (size_t j = 0; j < n; j++)
            partners += share[i * n + j];
        sum += partners;
        if (alike && partners > 3 * width)
            fail_msg("%zu partners of %u nodes, %u copies", partners, w->sites, w->copies);
    }
    mem_free(share);
    if (sum > 2 * width * w->sites)
        fail_msg("%.1f partners in the mean, %u copies", (double)sum / w->sites, w->copies);
}

/* Copies that somebody has to fetch who was not to have them before. */
static unsigned copies_moved(const struct world *w)
{
    unsigned moved = 0;
    for (unsigned slot = 0; slot < SLOTS; slot++)
        for (unsigned k = 0; k < w->m.slots[slot].want_n; k++)
            moved += !map_wishes(&w->before[slot], w->m.slots[slot].want[k]);
    return moved;
}

static unsigned copies_to_fetch(const struct world *w)
{
    unsigned n = 0;
    for (unsigned slot = 0; slot < SLOTS; slot++)
        for (unsigned k = 0; k < w->m.slots[slot].want_n; k++)
            n += !map_replicas_have(&w->m.slots[slot], w->m.slots[slot].want[k]);
    return n;
}

static unsigned copies_of(const struct map_slot *slots, uint16_t node)
{
    unsigned n = 0;
    for (unsigned slot = 0; slot < SLOTS; slot++)
        n += map_wishes(&slots[slot], node);
    return n;
}

/* How many more at least somebody must have now than before. */
static unsigned copies_gained(const struct world *w)
{
    unsigned gained = 0;
    for (uint16_t i = 0; i < w->m.nodes.n; i++) {
        unsigned was = copies_of(w->before, i), is = copies_of(w->m.slots, i);
        gained += is > was ? is - was : 0;
    }
    return gained;
}

static void holds_all(const struct world *w)
{
    copies_are_apart(w);
    shares_are_fair(w);
    partners_are_few(w);
    if (w->sites <= 100)
        ranges_are_few(w);
}

/* -- Histories ------------------------------------------------------------------------------------ */

struct history {
    struct rng r;
    uint32_t weights;
    unsigned zones;
};

/* Of many joins and leaves. */
struct tally {
    unsigned n, over; /* so many moved more than 1.1 of what had to move */
};

static uint32_t a_weight(struct history *h)
{
    return 1 + (uint32_t)rng_below(&h->r, h->weights);
}

/* One joins or leaves: what had to move did, and little more. Where neither zones nor weights bind who may
 * have what, never more than 1.1 of it; where they do, rarely. */
static void comes_or_goes(struct world *w, struct history *h, struct tally *t)
{
    bool zones = zones_differ(w);
    if (w->sites > 1 && rng_below(&h->r, 2) == 0)
        w->m.nodes.at[any_member(w, &h->r)].leaving = true;
    else
        joins(w, a_weight(h), (unsigned)rng_below(&h->r, h->zones));
    wish(w);
    unsigned moved = copies_moved(w), gained = copies_gained(w), more = 4 * PLACEMENT_UNIT;
    t->n++;
    t->over += moved > 1.1 * gained + more;
    if (moved > (zones || h->weights > 1 ? 2.0 : 1.1) * gained + more)
        fail_msg("%u copies moved, %u had to", moved, gained);
}

/* Weights, zones, health, elections, RF: all that may change besides. */
static void changes(struct world *w, struct history *h)
{
    struct map_node *n = &w->m.nodes.at[any_member(w, &h->r)];
    switch (rng_below(&h->r, 5)) {
    case 0:
        n->weight = a_weight(h);
        break;
    case 1:
        n->zone[0] = zone_name((unsigned)rng_below(&h->r, h->zones));
        break;
    case 2:
        n->health = MAP_DOWN; /* which changes nothing */
        break;
    case 3:
        w->m.settings.replication_factor = 1 + (uint32_t)rng_below(&h->r, MAP_COPIES);
        break;
    default:
        for (unsigned slot = (unsigned)rng_below(&h->r, 7); slot < SLOTS; slot += 7) {
            struct map_slot *s = &w->m.slots[slot];
            s->primary = s->isr[0] = s->replicas[rng_below(&h->r, s->replicas_n)];
        }
    }
    wish(w);
}

static void history(uint64_t seed, unsigned begins, unsigned steps, struct tally *t)
{
    struct world w = world_begin(1 + (uint32_t)(seed % MAP_COPIES));
    struct history h;
    rng_seed(&h.r, seed);
    h.weights = 1 + (uint32_t)rng_below(&h.r, 2) * (uint32_t)rng_below(&h.r, 10);
    h.zones = 1 + (unsigned)rng_below(&h.r, 2) * (unsigned)rng_below(&h.r, 6);
    for (unsigned i = 0; i < begins; i++)
        joins(&w, a_weight(&h), (unsigned)rng_below(&h.r, h.zones));
    place(&w);
    holds_all(&w);
    for (unsigned i = 0; i < steps; i++) {
        if (rng_below(&h.r, 3) > 0)
            comes_or_goes(&w, &h, t);
        else
            changes(&w, &h);
        holds_all(&w);
        arrive_all(&w);
    }
    world_end(&w);
}

/* -- The claims ----------------------------------------------------------------------------------- */

static void small_clusters_hold(void **state)
{
    (void)state;
    struct tally t = {0};
    for (unsigned i = 0; i < SPARE(500); i++)
        history(i, 2 + i % 13, 3, &t);
    assert_true(t.over * 25 < t.n);
}

static void large_clusters_hold(void **state)
{
    (void)state;
    struct tally t = {0};
    for (unsigned i = 0; i < 93; i += 3 * SPARE_STEP)
        history(10000 + i, 15 + 2 * i, 6, &t);
    assert_true(t.over * 25 < t.n);
}

/* One more of the same weight gets its share from the others, and when one leaves they take it back. */
static void what_need_not_move_stays(void **state)
{
    (void)state;
    for (uint32_t copies = 1; copies <= MAP_COPIES; copies++) {
        struct world w = world_begin(copies);
        for (unsigned n = 1; n <= 60; n++) {
            uint16_t came = joins(&w, 1, 0);
            place(&w);
            unsigned moved = copies_moved(&w), share = SLOTS * w.copies / n;
            assert_true(moved <= 1.1 * share + PLACEMENT_UNIT);
            assert_true(copies_of(w.m.slots, came) >= (n > 50 ? 0.90 : 0.95) * share - PLACEMENT_UNIT);
        }
        struct rng r;
        rng_seed(&r, copies);
        for (unsigned n = 60; n > copies + 1; n--) {
            uint16_t goes = any_member(&w, &r);
            w.m.nodes.at[goes].leaving = true;
            place(&w);
            assert_true(copies_moved(&w) <= 1.1 * copies_of(w.before, goes) + PLACEMENT_UNIT);
            holds_all(&w);
        }
        world_end(&w);
    }
}

/* What was wished is not there yet when it is asked again: nobody else is to fetch anything, and where the
 * wish changes it is for who is primary. */
static void moves_under_way_go_on(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 40; i += SPARE_STEP) {
        struct rng r;
        rng_seed(&r, i);
        struct world w = world_begin(1 + i % MAP_COPIES);
        for (unsigned n = 0; n < 4 + 3 * i; n++)
            joins(&w, 1 + n % 3, n % (1 + i % 4));
        place(&w);
        joins(&w, 2, 0);
        w.m.nodes.at[any_member(&w, &r)].leaving = true;
        wish(&w);
        for (unsigned step = 0; step < 4; step++) {
            for (unsigned slot = (unsigned)rng_below(&r, 4); slot < SLOTS; slot += 4)
                arrive(&w.m.slots[slot]);
            wish(&w);
            assert_int_equal(copies_moved(&w), 0);
            for (unsigned slot = 0; slot < SLOTS; slot += PLACEMENT_UNIT)
                assert_true(w.m.slots[slot].want[0] == w.before[slot].want[0] || leads_some(&w.m.slots[slot]));
        }
        world_end(&w);
    }
}

/* A newcomer goes before it has anything: what was to be its stays where it is. */
static void who_goes_before_it_came_costs_nothing(void **state)
{
    (void)state;
    for (uint32_t copies = 1; copies <= MAP_COPIES; copies++) {
        struct world w = world_begin(copies);
        for (unsigned i = 0; i < 12; i++)
            joins(&w, 1, i % 3);
        place(&w);
        uint16_t came = joins(&w, 1, 1);
        wish(&w);
        assert_true(copies_of(w.m.slots, came) > 0);
        unsigned others = copies_to_fetch(&w) - copies_of(w.m.slots, came);
        w.m.nodes.at[came].leaving = true;
        wish(&w);
        assert_in_range(copies_to_fetch(&w), 0, others);
        world_end(&w);
    }
}

/* Its slots are led by others in sync, as an election left them. */
static void dies(struct world *w, uint16_t node, struct rng *r)
{
    w->m.nodes.at[node].health = MAP_DOWN;
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        struct map_slot *s = &w->m.slots[slot];
        if (s->primary == node)
            s->primary = slot % PLACEMENT_UNIT > 0 ? s[-1].primary : s->isr[1 + rng_below(r, s->isr_n - 1U)];
    }
}

static void the_dead_keep_their_copies_until_they_leave(void **state)
{
    /* Who was elected leads on, or has its share without that slot. */
    (void)state;
    for (unsigned i = 0; i < 60; i += SPARE_STEP) {
        struct rng r;
        rng_seed(&r, i);
        struct world w = world_begin(2 + i % 4);
        for (unsigned n = 0; n < 6 + i; n++)
            joins(&w, 1 + n % 2, n % (1 + i % 5));
        place(&w);
        uint16_t dead = any_member(&w, &r);
        dies(&w, dead, &r);
        wish(&w);
        assert_int_equal(copies_moved(&w), 0);
        assert_int_equal(copies_of(w.m.slots, dead), copies_of(w.before, dead));
        w.m.nodes.at[dead].leaving = true;
        wish(&w);
        holds_all(&w);
        unsigned *lead = mem_zero(w.m.nodes.n * sizeof(*lead));
        for (unsigned slot = 0; slot < SLOTS; slot++)
            lead[w.m.slots[slot].want[0]]++;
        for (unsigned slot = 0; slot < SLOTS; slot++) {
            const struct map_slot *s = &w.m.slots[slot];
            double fair = SLOTS * w.m.nodes.at[s->primary].weight / w.weights;
            if (w.before[slot].want[0] == dead && s->want[0] != s->primary)
                assert_true(lead[s->primary] >= 0.95 * fair - PLACEMENT_UNIT);
        }
        mem_free(lead);
        world_end(&w);
    }
}

/* As many copies as there are nodes; with each that joins one more, until RF is reached. */
static void few_nodes_have_all(void **state)
{
    (void)state;
    struct world w = world_begin(MAP_COPIES);
    for (unsigned n = 1; n <= MAP_COPIES + 2; n++) {
        joins(&w, 1, n % 2);
        place(&w);
        assert_int_equal(w.copies, n < MAP_COPIES ? n : MAP_COPIES);
        holds_all(&w);
        for (uint16_t i = 0; i < w.m.nodes.n && n <= MAP_COPIES; i++)
            assert_int_equal(copies_of(w.m.slots, i), SLOTS);
    }
    world_end(&w);
}

/* More copies are fetched by who is to have them and nobody else; fewer are dropped, and nothing moves. */
static void copies_become_more_and_fewer(void **state)
{
    (void)state;
    struct world w = world_begin(1);
    for (unsigned i = 0; i < 40; i++)
        joins(&w, 1, i % 5);
    place(&w);
    for (uint32_t copies = 2; copies <= MAP_COPIES; copies++) {
        w.m.settings.replication_factor = copies;
        place(&w);
        holds_all(&w);
        assert_in_range(copies_moved(&w), SLOTS, SLOTS + SLOTS / 25);
    }
    for (uint32_t copies = MAP_COPIES - 1; copies > 0; copies--) {
        w.m.settings.replication_factor = copies;
        place(&w);
        holds_all(&w);
        assert_in_range(copies_moved(&w), 0, SLOTS / 25);
    }
    world_end(&w);
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

static unsigned arcs(const struct world *w)
{
    unsigned n = 0;
    for (unsigned slot = 0; slot < SLOTS; slot++)
        n += w->m.slots[slot].want[0] != w->m.slots[(slot + SLOTS - 1) % SLOTS].want[0];
    return n;
}

/* As a new cluster's begin: each joins before anything has moved for the one before. */
static void who_joins_at_once_leads_long_arcs(void **state)
{
    (void)state;
    for (uint32_t copies = 2; copies <= 3; copies++)
        for (unsigned nodes = 3; nodes <= 6; nodes++) {
            struct world w = world_begin(copies);
            joins(&w, 1, 0);
            place(&w);
            while (w.sites < nodes) {
                joins(&w, 1, 0);
                wish(&w);
            }
            assert_in_range(arcs(&w), nodes, 8 * nodes);
            world_end(&w);
        }
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
           TEST(small_clusters_hold,
                "shares are fair, copies apart, partners and ranges few: 1,000 histories (L1 - L5, L8)"),
           TEST(large_clusters_hold, "and of up to 200 nodes (L1 - L5, L8)"),
           TEST(what_need_not_move_stays, "a join or a leave moves at most 1.1 of a share (L5)"),
           TEST(moves_under_way_go_on, "asked again while moves are under way nothing else moves (L5)"),
           TEST(who_goes_before_it_came_costs_nothing, "who goes before it came costs no copy (L5)"),
           TEST(the_dead_keep_their_copies_until_they_leave,
                "who is DOWN keeps its copies; evicted, it is followed by who was elected (L6, L9)"),
           TEST(few_nodes_have_all, "with fewer nodes than RF each has all, and RF follows the joins (L1)"),
           TEST(copies_become_more_and_fewer, "a greater RF fetches what it adds, a smaller one nothing (L5)"),
           TEST(nothing_new_moves_nothing, "nothing new, an arbiter, somebody DOWN: nothing moves (L5, L6)"),
           TEST(nobody_holds_nothing, "without anybody to hold data there is no wish"),
           TEST(a_small_ring_has_few_arcs, "a small ring has few arcs"),
           TEST(who_joins_at_once_leads_long_arcs, "who joins before others have moved leads long arcs, not every other unit"),
           TEST(the_answer_is_a_function, "equal maps have equal answers (L7)"))

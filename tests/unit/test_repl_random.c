/* SPDX-License-Identifier: BSD-3-Clause */

/* Records, messages, cuts, maps that come late, in-sync sets and elections in any order; no clock keeps anybody from
 * anything: a primary that was replaced goes on until it hears of it.
 *
 * Elections are as rules 20 and 21 say: who reports fences first, the greatest position wins. */
#include "base/rng.h"
#include "base/vec.h"
#include "tests/lib/repl_lab.h"

enum { SEEDS = 6 };

static struct lab l;
static bool w_changes;
static unsigned passes; /* over logs, in all runs */
static unsigned calm; /* of this run: how seldom a primary is called dead */
static struct rng rng;

struct waiting { /* a reply behind its gate */
    unsigned node, slot;
    uint64_t epoch, lsn;
    size_t made;
};
static VEC(struct waiting) waiting;
static VEC(size_t) acked[LAB_SLOTS]; /* records whose reply left, as numbers in l.made */

static unsigned below(unsigned n)
{
    return (unsigned)rng_below(&rng, n);
}

static void write_one(void)
{
    unsigned i = below(LAB_NODES), slot = below(LAB_SLOTS);
    const struct lab_node *n = &l.node[i];
    if (n->served[slot] == 0 || repl_refuses(&n->r, slot, 0))
        return;
    uint64_t lsn = lab_write(&l, i, slot);
    *vec_add(&waiting) = (struct waiting){i, slot, n->served[slot], lsn, l.made[slot].n - 1};
}

/* Replies leave as soon as they may; gates of an epoch that is over are closed (9). */
static void replies(void)
{
    size_t kept = 0;
    for (size_t i = 0; i < waiting.n; i++) {
        struct waiting w = waiting.at[i];
        if (l.node[w.node].served[w.slot] != w.epoch)
            continue;
        if (lab_is_held(&l, w.node, w.slot, w.lsn))
            *vec_add(&acked[w.slot]) = w.made;
        else
            waiting.at[kept++] = w;
    }
    waiting.n = kept;
}

/* What was acknowledged is held by W of its in-sync set; so whoever may be elected has it (5, 21). */
static void acked_is_on(unsigned i, unsigned slot)
{
    for (size_t k = 0; k < acked[slot].n; k++)
        assert_true(lab_has(&l, i, slot, &l.made[slot].at[acked[slot].at[k]]));
}

static bool greater(struct position a, struct position b)
{
    return a.epoch != b.epoch ? a.epoch > b.epoch : a.seq > b.seq;
}

static bool reports(unsigned i, unsigned slot)
{
    const struct lab_node *n = &l.node[i];
    return n->map.slots[slot].primary == MAP_NOBODY && n->map.slots[slot].epoch == l.map.slots[slot].epoch;
}

/* The greatest position that so many of the reporters hold. */
static struct position held_by(unsigned slot, const unsigned *who, unsigned n, unsigned holders)
{
    struct position c = {0, 0};
    for (unsigned i = 0; i < n; i++) {
        struct position p = l.node[who[i]].slots[slot].at;
        unsigned have = 0;
        for (unsigned k = 0; k < n; k++)
            have += !greater(p, l.node[who[k]].slots[slot].at);
        if (have >= holders && greater(p, c))
            c = p;
    }
    return c;
}

static void elect(unsigned slot)
{
    struct map_slot *s = &l.map.slots[slot];
    unsigned who[LAB_NODES], n = 0, best = 0, at_c = 0, w = map_w_weak(&l.map, s, s->isr_n);
    for (unsigned i = 0; i < s->isr_n; i++)
        if (reports(s->isr[i], slot))
            who[n++] = s->isr[i];
    unsigned need = s->isr_n + 1u > w ? s->isr_n + 1u - w : 1;
    if (s->primary != MAP_NOBODY || n < need)
        return;
    for (unsigned i = 1; i < n; i++)
        if (greater(l.node[who[i]].slots[slot].at, l.node[who[best]].slots[slot].at))
            best = i;
    acked_is_on(who[best], slot);
    unsigned u = s->isr_n - n, holders = w > u ? w - u : 1;
    struct position c = held_by(slot, who, n, holders);
    for (unsigned i = 0; i < n; i++)
        at_c += !greater(c, l.node[who[i]].slots[slot].at);
    char isr[LAB_NODES + 1] = {(char)('0' + who[best])};
    unsigned isr_n = 1;
    for (unsigned i = 0; i < n; i++)
        if (i != best && (at_c >= (w < n ? w : n) || !greater(c, l.node[who[i]].slots[slot].at)))
            isr[isr_n++] = (char)('0' + who[i]);
    lab_elect(&l, slot, who[best], isr);
}

/* At times the slot's primary hears of it at once, asks, and is called dead; who hears of that first is asked. */
static void set_w(unsigned slot)
{
    static const uint32_t some[] = {MAP_W_ALL, MAP_W_MAJORITY, 1, 2, 3};
    lab_set_w(&l, some[below(5)]);
    if (below(2) == 0)
        return;
    lab_map_to(&l, l.map.slots[slot].primary);
    lab_look(&l, l.map.slots[slot].primary);
    while (lab_decide(&l))
        ;
    lab_orphan(&l, slot);
    lab_map_to(&l, below(LAB_NODES));
    elect(slot);
}

static void move(void)
{
    unsigned from = below(LAB_NODES), to = below(LAB_NODES), slot = below(LAB_SLOTS), many = 1 + below(below(2) == 0 ? 3 : 30);
    switch (below(20)) {
    case 0: case 1: case 2: case 3: write_one(); break;
    case 4: case 5: case 6:
        while (many-- > 0)
            (void)lab_there(&l, from, to);
        break;
    case 7: case 8: case 9:
        while (many-- > 0)
            (void)lab_back(&l, from, to);
        break;
    case 10: case 11: lab_release(&l, from); break;
    case 12: case 13: lab_pump(&l, from, to); break;
    case 14:
        if (below(3) == 0)
            lab_map_to(&l, from);
        break;
    case 15: lab_later(&l, below(200)); break;
    case 16: (void)lab_decide(&l); break;
    case 17:
        if (below(6) == 0)
            lab_hang_up(&l, from, to);
        else
            lab_guest_gone(&l, from, to);
        break;
    case 18:
        l.node[from].stuck = below(4) == 0;
        lab_dial(&l, from);
        break;
    case 19:
        if (l.map.slots[slot].primary == MAP_NOBODY)
            elect(slot);
        else if (below(calm) == 0)
            lab_orphan(&l, slot);
        else if (w_changes && below(3) == 0)
            set_w(slot);
        else if (below(20) == 0)
            backlog_resize(&l.node[from].r.backlog, l.logs ? below(1024) : 1024 + below(64 * 1024));
        else if (below(40) == 0)
            lab_rewrite(&l.node[from]);
        break;
    default: break;
    }
}

/* Nothing disturbs any more: all come to hold the same, and every reply leaves. */
static void settle(void)
{
    for (unsigned i = 0; i < LAB_NODES; i++)
        l.node[i].stuck = false;
    for (unsigned slot = 0; slot < LAB_SLOTS; slot++) {
        if (l.map.slots[slot].primary == MAP_NOBODY) {
            lab_maps(&l);
            elect(slot);
        }
        assert_true(l.map.slots[slot].primary != MAP_NOBODY);
    }
    for (unsigned round = 0; round < 80; round++) {
        lab_maps(&l);
        for (unsigned from = 0; from < LAB_NODES; from++)
            for (unsigned to = 0; to < LAB_NODES; to++)
                lab_guest_gone(&l, from, to);
        lab_carry(&l);
        lab_later(&l, LAB_T_MS / 8);
        while (lab_decide(&l))
            ;
    }
    replies();
    for (unsigned slot = 0; slot < LAB_SLOTS; slot++) {
        unsigned primary = l.map.slots[slot].primary;
        assert_true(lab_is_held(&l, primary, slot, repl_newest(&l.node[primary].r, slot)));
        assert_int_equal(l.map.slots[slot].isr_n, LAB_NODES);
        assert_int_equal(l.map.slots[slot].formers, 0);
        for (unsigned i = 0; i < LAB_NODES; i++) {
            acked_is_on(i, slot);
            assert_int_equal(l.node[i].log[slot].n, l.node[primary].log[slot].n);
        }
    }
    assert_int_equal(waiting.n, 0);
}

/* It was in another one, whose positions are like those of this one. */
static void other_cluster(struct lab_node *n)
{
    enum { RECORDS = 30 };
    for (unsigned slot = 0; slot < LAB_SLOTS; slot++) {
        for (unsigned seq = 1; seq <= RECORDS; seq++)
            *vec_add(&n->logged[slot]) = (struct lab_record){{1 + seq / 10, seq}, 1, UINT64_MAX};
        *vec_add(&n->logged[slot]) = (struct lab_record){.at = {0, 0}};
        lineage_clear(&n->slots[slot]);
    }
}

static unsigned run(uint64_t seed, uint32_t w)
{
    enum { MOVES = 4000 };
    unsigned n = 0;
    rng_seed(&rng, seed);
    lab_start(&l, w);
    l.pump_bytes = 1 + below(500);
    calm = 4 + below(60);
    l.offers = below(2) == 0;
    l.logs = below(2) == 0;
    l.pass_n = 1 + below(20);
    for (unsigned i = 0; i < LAB_NODES; i++)
        other_cluster(&l.node[i]);
    for (unsigned slot = 0; slot < LAB_SLOTS; slot++)
        lab_elect(&l, slot, slot, slot == 0 ? "012" : slot == 1 ? "120" : "20");
    lab_maps(&l);
    for (unsigned i = 0; i < MOVES; i++) {
        move();
        replies();
        if (i % 64 == 0)
            lab_check(&l);
    }
    settle();
    lab_check(&l);
    for (unsigned slot = 0; slot < LAB_SLOTS; slot++) {
        n += (unsigned)acked[slot].n;
        vec_free(&acked[slot]);
    }
    vec_free(&waiting);
    passes += l.passes;
    lab_stop(&l);
    return n;
}

static void nothing_acknowledged_is_lost(uint32_t w)
{
    unsigned n = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        n += run(seed, w);
    assert_true(n > SEEDS * 10 && passes > SEEDS); /* it was about something */
}

static void with_w_all(void **state)
{
    (void)state;
    nothing_acknowledged_is_lost(MAP_W_ALL);
}

static void with_w_majority(void **state)
{
    (void)state;
    nothing_acknowledged_is_lost(MAP_W_MAJORITY);
}

static void with_w_changing(void **state)
{
    (void)state;
    w_changes = true;
    nothing_acknowledged_is_lost(MAP_W_MAJORITY);
    w_changes = false;
}

UNIT_TESTS("repl_random",
           TEST(with_w_all, "W all: in any order of things a log is a beginning of what was made, and nothing acknowledged is "
                            "lost (1, 2, 4, 5, 11, 12, 20, 21, 23)"),
           TEST(with_w_majority, "W majority: the same"),
           TEST(with_w_changing, "W changing all the while: the same, and in the end it is settled"))

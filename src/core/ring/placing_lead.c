/* SPDX-License-Identifier: BSD-3-Clause */

/* Who of a unit's copies leads it. A lead that moves costs a handover and no data; one that is
 * wished where the primary is already costs nothing. */
#include "core/ring/placing.h"

static void lead_give(struct placing *p, unsigned unit, uint16_t to)
{
    struct unit *u = &p->unit[unit];
    if (u->lead != NONE)
        p->lead[u->lead].have--;
    u->lead = to;
    p->lead[to].have++;
}

/* -- Who leads to begin with ------------------------------------------------------------------- */

/* Who led is gone: the primary that an election made; else who is in sync; of several who got the
 * unit before, as long as that is within its share, so that arcs are long; else who leads least for
 * its share. */
static uint16_t lead_heir(const struct placing *p, unsigned unit, uint16_t before)
{
    const struct unit *u = &p->unit[unit];
    uint16_t best = NONE;
    double least = 0;
    for (unsigned k = 0; k < u->n; k++) {
        uint16_t site = u->site[k];
        double load = p->lead[site].have / (p->lead[site].fair + 1e-9);
        load = load < 1e6 ? load : 1e6;
        if (site == before && p->lead[site].have + 1 <= p->lead[site].fair)
            load = -1;
        load += site == u->primary ? 0 : unit_held(u, site) ? 1e7 : 1e8;
        if (best == NONE || load < least) {
            best = site;
            least = load;
        }
    }
    return best;
}

static void leads_begin(struct placing *p)
{
    uint16_t heir = NONE;
    for (unsigned pass = 0; pass < 2; pass++) /* who stays is counted before who comes */
        for (unsigned u = 0; u < PLACEMENT_UNITS; u++) {
            const struct map_slot *s = &p->m->slots[u * PLACEMENT_UNIT];
            uint16_t was = s->want_n > 0 ? p->site_at[s->want[0]] : NONE;
            bool stays = was != NONE && unit_has(&p->unit[u], was);
            if (stays != (pass == 0))
                continue;
            heir = stays ? NONE : lead_heir(p, u, heir);
            lead_give(p, u, stays ? was : heir);
        }
}

/* Where another is primary than was wished, that one is wished, as far as the bounds allow. */
static void leads_adopt(struct placing *p)
{
    for (unsigned u = 0; u < PLACEMENT_UNITS; u++) {
        uint16_t now = p->unit[u].primary, wished = p->unit[u].lead;
        if (now == NONE || now == wished || !unit_has(&p->unit[u], now))
            continue;
        if (p->lead[now].have < p->lead[now].most && p->lead[wished].have > p->lead[wished].least)
            lead_give(p, u, now);
    }
}

/* -- Directly ---------------------------------------------------------------------------------- */

enum turn {
    TURN_NEEDS_MUST,
    TURN_NEEDS_RICH,
    TURN_NEEDS_ANY,
    TURN_GOAL_MUST,
    TURN_MOST_MUST,
    TURNS
};

static bool is_turn(const struct share *from, const struct share *to, enum turn turn)
{
    switch (turn) {
    case TURN_NEEDS_MUST: return to->have < to->quota && from->have > from->most;
    case TURN_NEEDS_RICH: return to->have < to->quota && from->have > from->goal;
    case TURN_NEEDS_ANY: return to->have < to->quota && from->have > from->quota;
    case TURN_GOAL_MUST: return to->have < to->goal && from->have > from->most;
    case TURN_MOST_MUST: return to->have < to->most && from->have > from->most;
    case TURNS: break;
    }
    return false;
}

/* First what moves no primary, or moves the wish to where the primary is; then to who has
 * a copy already. */
enum cost { COST_NONE, COST_HANDOVER, COST_COPY, COSTS };

static bool is_at_cost(const struct unit *u, uint16_t to, enum cost cost)
{
    if (cost == COST_NONE)
        return u->primary != u->lead;
    return cost == COST_COPY || unit_held(u, to);
}

static void leads_pass(struct placing *p, enum turn turn, enum cost cost)
{
    for (unsigned u = 0; u < PLACEMENT_UNITS; u++) {
        const struct unit *unit = &p->unit[u];
        for (unsigned k = 0; k < unit->n; k++) {
            uint16_t to = unit->site[k];
            if (to != unit->lead && is_at_cost(unit, to, cost) &&
                is_turn(&p->lead[unit->lead], &p->lead[to], turn))
                lead_give(p, u, to);
        }
    }
}

/* -- Round a corner ---------------------------------------------------------------------------- */

/* As with copies, from who leads too many to one that leads too few and has a copy. */
static uint16_t reach_lead(struct placing *p, uint16_t site, bool beyond)
{
    struct search *s = &p->search;
    search_begin(p, site);
    while (s->head < s->tail) {
        uint16_t taker = s->queue[s->head++];
        for (uint16_t at = p->first[taker]; at != NONE; at = p->next[at]) {
            uint16_t giver = p->unit[at / MAP_COPIES].lead;
            if (s->from[giver] != NONE)
                continue;
            search_reach(p, giver, taker, at / MAP_COPIES);
            const struct share *has = &p->lead[giver];
            if (has->have > (beyond ? has->most : has->quota))
                return giver;
        }
    }
    return NONE;
}

static bool lead_takes_over(struct placing *p, uint16_t site, bool beyond)
{
    const struct search *s = &p->search;
    uint16_t giver = reach_lead(p, site, beyond);
    if (giver == NONE)
        return false;
    for (; giver != site; giver = s->from[giver])
        lead_give(p, s->by[giver], s->from[giver]);
    return true;
}

/* Few that share all they have with one another alone are not reached by passing on leads. Then a
 * unit that one leads goes, lead and all, against a copy of another unit: two copies move. */
static bool lead_swaps(struct placing *p, uint16_t rich, uint16_t other)
{
    uint16_t give = p->first[rich], back = p->first[other];
    while (give != NONE && (p->unit[give / MAP_COPIES].lead != rich ||
                            !unit_may_take(p, give / MAP_COPIES, other, rich)))
        give = p->next[give];
    while (back != NONE && (p->unit[back / MAP_COPIES].lead == other ||
                            !unit_may_take(p, back / MAP_COPIES, rich, other)))
        back = p->next[back];
    if (give == NONE || back == NONE)
        return false;
    unit_replace(p, give / MAP_COPIES, rich, other);
    unit_replace(p, back / MAP_COPIES, other, rich);
    return true;
}

static void leads_swap(struct placing *p, uint16_t rich)
{
    const struct share *has = &p->lead[rich];
    for (uint16_t other = 0; other < p->n && has->have > has->most; other++)
        while (has->have > has->most && p->lead[other].have < p->lead[other].most &&
               lead_swaps(p, rich, other))
            ;
}

void leads_settle(struct placing *p, double slack)
{
    leads_begin(p);
    shares_bound(p->lead, p->n, slack);
    leads_adopt(p);
    for (int cost = 0; cost < COSTS; cost++)
        for (int turn = 0; turn < TURNS; turn++)
            leads_pass(p, (enum turn)turn, (enum cost)cost);
    for (uint16_t i = 0; i < p->n; i++)
        while (p->lead[i].have < p->lead[i].quota && lead_takes_over(p, i, false))
            ;
    for (uint16_t i = 0; i < p->n && shares_beyond(p->lead, p->n); i++)
        while (p->lead[i].have < p->lead[i].most && lead_takes_over(p, i, true))
            ;
    for (uint16_t i = 0; i < p->n; i++)
        leads_swap(p, i);
}

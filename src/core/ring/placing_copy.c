/* SPDX-License-Identifier: BSD-3-Clause */

/* Who has copies: what may stay, what is missing, and what has to move because somebody has too few
 * or too many. First what costs nothing, a copy that is there already, then the strain on partners,
 * then the circle's order, so that neighbouring units go together. */
#include <string.h>

#include "base/check.h"
#include "core/ring/placing.h"

/* -- Keep -------------------------------------------------------------------------------------- */

struct candidates {
    uint16_t site[MAP_COPIES];
    unsigned n;
};

static unsigned in_zone_of(const struct placing *p, const struct candidates *c, uint16_t site)
{
    unsigned n = 0;
    for (unsigned k = 0; k < c->n; k++)
        n += p->zone[c->site[k]] == p->zone[site];
    return n;
}

static bool is_crowded(const struct placing *p, const struct candidates *c)
{
    for (unsigned k = 0; k < c->n; k++)
        if (in_zone_of(p, c, c->site[k]) > p->zone_most)
            return true;
    return false;
}

/* Who leads stays: the primary, or who was wished to. */
static uint16_t candidates_lead(const struct placing *p, unsigned unit, const struct candidates *c)
{
    for (unsigned k = 0; k < c->n; k++)
        if (c->site[k] == p->unit[unit].primary)
            return c->site[k];
    return c->site[0];
}

/* Which of them goes: of a zone with too many, if there is one; not who leads; who has not got it
 * yet; who has most for its share. */
static unsigned worst_candidate(const struct placing *p, unsigned unit, const struct candidates *c,
                                const uint32_t *has)
{
    bool crowded = is_crowded(p, c);
    uint16_t leads = candidates_lead(p, unit, c);
    unsigned worst = c->n;
    double most = -1;
    for (unsigned k = 0; k < c->n; k++) {
        uint16_t site = c->site[k];
        if (crowded && in_zone_of(p, c, site) <= p->zone_most)
            continue;
        double load = has[site] / (p->copy[site].fair + 1e-9);
        load = (load < 1e6 ? load : 1e6) + (unit_held(&p->unit[unit], site) ? 0 : 1e7);
        if (site == leads)
            load = 0;
        if (load > most) {
            most = load;
            worst = k;
        }
    }
    return worst;
}

static struct candidates candidates_of(const struct placing *p, unsigned unit)
{
    const struct map_slot *s = &p->m->slots[unit * PLACEMENT_UNIT];
    struct candidates c = {.n = 0};
    for (unsigned k = 0; k < s->want_n; k++)
        if (p->site_at[s->want[k]] != NONE)
            c.site[c.n++] = p->site_at[s->want[k]];
    return c;
}

void copies_keep(struct placing *p)
{
    uint32_t *has = mem_zero((p->n + 1) * sizeof(*has));
    for (unsigned u = 0; u < PLACEMENT_UNITS; u++) {
        struct candidates c = candidates_of(p, u);
        for (unsigned k = 0; k < c.n; k++)
            has[c.site[k]]++;
    }
    for (unsigned u = 0; u < PLACEMENT_UNITS; u++) {
        struct candidates c = candidates_of(p, u);
        while (c.n > p->copies || is_crowded(p, &c)) {
            unsigned k = worst_candidate(p, u, &c, has);
            has[c.site[k]]--;
            c.n--;
            memmove(c.site + k, c.site + k + 1, (c.n - k) * sizeof(c.site[0]));
        }
        for (unsigned k = 0; k < c.n; k++)
            unit_add(p, u, c.site[k]);
    }
    mem_free(has);
}

/* -- Fill -------------------------------------------------------------------------------------- */

static bool beside(const struct placing *p, unsigned unit, uint16_t site)
{
    return (unit > 0 && unit_has(&p->unit[unit - 1], site)) ||
           (unit + 1 < PLACEMENT_UNITS && unit_has(&p->unit[unit + 1], site));
}

/* The less the better: within the bound, there already, in want of copies, no strain, beside one's
 * own, and least for one's share. */
static double fill_cost(const struct placing *p, unsigned unit, uint16_t site, uint16_t out)
{
    const struct share *s = &p->copy[site];
    double cost = s->have / (s->fair + 1.0);
    cost = cost < 9 ? cost : 9;
    cost += beside(p, unit, site) ? 0 : 10;
    cost += 20 * unit_strain(p, unit, site, out);
    cost += s->have < s->least ? 0 : s->have < s->goal ? 200 : 400;
    cost -= unit_held(&p->unit[unit], site) ? 10000 : 0;
    return cost + (s->have < s->most ? 0 : 100000);
}

/* True: some were missing. */
static bool copies_fill(struct placing *p)
{
    bool any = false;
    for (unsigned u = 0; u < PLACEMENT_UNITS; u++)
        while (p->unit[u].n < p->copies) {
            any = true;
            uint16_t best = NONE;
            double least = 0;
            for (uint16_t i = 0; i < p->n; i++) {
                if (!unit_may_take(p, u, i, NONE))
                    continue;
                double cost = fill_cost(p, u, i, NONE);
                if (best == NONE || cost < least) {
                    best = i;
                    least = cost;
                }
            }
            check(best != NONE); /* zone_most leaves room for all */
            unit_add(p, u, best);
        }
    return any;
}

/* -- Take: who has too few, directly from others ----------------------------------------------- */

enum giver { GIVER_MUST, GIVER_ANY, GIVERS }; /* has more than most; than least */
enum what {
    WHAT_NEW,     /* what this very computation gave the giver */
    WHAT_BACK,    /* what the taker has, and was to lose */
    WHAT_PENDING, /* what the giver has not yet */
    WHAT_ANY
};
struct terms {
    enum giver giver;
    enum what what;
    uint16_t last;    /* who gave last */
    unsigned refused; /* the least strain that was too much */
};

static bool may_give(const struct share *s, enum giver giver)
{
    return s->have > (giver == GIVER_MUST ? s->most : s->least);
}

static bool is_what(const struct placing *p, unsigned unit, enum what what, uint16_t taker,
                    uint16_t giver)
{
    switch (what) {
    case WHAT_NEW: return !unit_wished(p, unit, giver);
    case WHAT_BACK: return unit_held(&p->unit[unit], taker);
    case WHAT_PENDING: return !unit_held(&p->unit[unit], giver);
    case WHAT_ANY: break;
    }
    return true;
}

/* Who of a unit may give it to the taker: who gave the one before, so that runs stay whole;
 * or the richest. */
static uint16_t giver_of(const struct placing *p, unsigned unit, uint16_t taker,
                         const struct terms *t)
{
    const struct unit *u = &p->unit[unit];
    uint16_t best = NONE;
    for (unsigned k = 0; k < u->n; k++) {
        uint16_t site = u->site[k];
        const struct share *s = &p->copy[site];
        if (!may_give(s, t->giver) || !is_what(p, unit, t->what, taker, site) ||
            !unit_may_take(p, unit, taker, site))
            continue;
        if (site == t->last)
            return site;
        if (best == NONE || s->have * p->copy[best].fair > p->copy[best].have * s->fair)
            best = site;
    }
    return best;
}

/* Of the unit, if that strains partners no more. */
static bool site_takes_unit(struct placing *p, uint16_t taker, unsigned unit, struct terms *t,
                            unsigned strain)
{
    uint16_t from = unit_has(&p->unit[unit], taker) ? NONE : giver_of(p, unit, taker, t);
    if (from == NONE)
        return false;
    unsigned more = unit_strain(p, unit, taker, from);
    if (more > strain) {
        t->refused = more < t->refused ? more : t->refused;
        return false;
    }
    unit_replace(p, unit, from, taker);
    t->last = from;
    return true;
}

static const unsigned strains[] = {0, 2, 4, 6, 8, 12, 16, 24, UINT32_MAX};
enum { STRAINS = sizeof(strains) / sizeof(strains[0]) };

/* A unit with new partners is followed by all that strains less, now that they are partners. */
static void site_follows(struct placing *p, uint16_t taker, unsigned unit, struct terms *t,
                         unsigned below)
{
    const struct share *s = &p->copy[taker];
    for (unsigned i = 0; i < below; i++)
        for (unsigned k = 0; k < p->unit[unit].n; k++) {
            uint16_t next = NONE, other = p->unit[unit].site[k];
            for (uint16_t at = p->first[other]; other != taker && at != NONE && s->have < s->quota;
                 at = next) {
                next = p->next[at];
                site_takes_unit(p, taker, at / MAP_COPIES, t, strains[i]);
            }
        }
}

/* Along the circle. */
static void site_takes(struct placing *p, uint16_t taker, struct terms *t, unsigned i)
{
    const struct share *s = &p->copy[taker];
    for (unsigned u = 0; u < PLACEMENT_UNITS && s->have < s->quota; u++)
        if (site_takes_unit(p, taker, u, t, strains[i]) && p->is_wide)
            site_follows(p, taker, u, t, i);
}

/* With no more strain than must be. */
static void site_takes_all(struct placing *p, uint16_t taker, enum what what)
{
    const struct share *s = &p->copy[taker];
    for (int giver = 0; giver < GIVERS; giver++)
        for (unsigned i = 0; i < STRAINS && s->have < s->quota; i++) {
            struct terms t = {(enum giver)giver, what, NONE, UINT32_MAX};
            site_takes(p, taker, &t, i);
            while (i + 1 < STRAINS && strains[i + 1] < t.refused)
                i++;
        }
}

/* -- Give: who has too many, to who has room --------------------------------------------------- */

static uint16_t taker_for(const struct placing *p, unsigned unit, uint16_t giver, bool within_goal)
{
    uint16_t best = NONE;
    double least = 0;
    for (uint16_t i = 0; i < p->n; i++) {
        const struct share *s = &p->copy[i];
        if (s->have >= (within_goal ? s->goal : s->most) || !unit_may_take(p, unit, i, giver))
            continue;
        double cost = fill_cost(p, unit, i, giver);
        if (best == NONE || cost < least) {
            best = i;
            least = cost;
        }
    }
    return best;
}

static void site_gives(struct placing *p, uint16_t giver, bool pending, bool within_goal,
                       unsigned strain)
{
    const struct share *s = &p->copy[giver];
    for (unsigned u = 0; u < PLACEMENT_UNITS && s->have > s->most; u++) {
        if (!unit_has(&p->unit[u], giver) || (pending && unit_held(&p->unit[u], giver)))
            continue;
        uint16_t to = taker_for(p, u, giver, within_goal);
        if (to != NONE && unit_strain(p, u, to, giver) <= strain)
            unit_replace(p, u, giver, to);
    }
}

static void site_gives_all(struct placing *p, uint16_t giver)
{
    static const unsigned few[] = {2, 8, UINT32_MAX};
    for (unsigned i = 0; i < 12 && p->copy[giver].have > p->copy[giver].most; i++)
        site_gives(p, giver, i < 6, i % 6 < 3, few[i % 3]);
}

/* -- Round a corner ---------------------------------------------------------------------------- */

/* Over copies that this computation gave, or any; from who has more than its quota, or
 * (BEYOND) than most. */
enum reach { REACH_NEW, REACH_NEW_BEYOND, REACH_ANY, REACH_BEYOND };

/* A unit of the giver that the taker may have; PLACEMENT_UNITS: none. */
static unsigned unit_between(struct placing *p, uint16_t taker, uint16_t giver, bool new)
{
    uint32_t *refused = &p->refused[(size_t)taker * p->n + giver];
    if (*refused == p->changed[giver])
        return PLACEMENT_UNITS;
    for (uint16_t at = p->first[giver]; at != NONE; at = p->next[at]) {
        unsigned u = at / MAP_COPIES;
        if ((!new || !unit_wished(p, u, giver)) && unit_may_take(p, u, taker, giver))
            return u;
    }
    if (!new)
        *refused = p->changed[giver];
    return PLACEMENT_UNITS;
}

static bool is_beyond(enum reach reach)
{
    return reach == REACH_NEW_BEYOND || reach == REACH_BEYOND;
}

static bool is_source(const struct share *s, enum reach reach)
{
    return s->have > (is_beyond(reach) ? s->most : s->quota);
}

/* One unit twice in a path would not be judged with both changes. */
static bool on_path(const struct search *s, uint16_t site, uint16_t at, unsigned unit)
{
    for (; at != site; at = s->from[at])
        if (s->by[at] == unit)
            return true;
    return false;
}

/* The nearest who may give, over others who pass one on. */
static uint16_t reach_giver(struct placing *p, uint16_t site, enum reach reach)
{
    struct search *s = &p->search;
    search_begin(p, site);
    while (s->head < s->tail) {
        uint16_t taker = s->queue[s->head++];
        for (uint16_t giver = 0; giver < p->n; giver++) {
            if (s->from[giver] != NONE)
                continue;
            unsigned u = unit_between(p, taker, giver, reach <= REACH_NEW_BEYOND);
            if (u == PLACEMENT_UNITS || on_path(s, site, taker, u))
                continue;
            search_reach(p, giver, taker, u);
            if (is_source(&p->copy[giver], reach))
                return giver;
        }
    }
    return NONE;
}

static bool site_takes_over(struct placing *p, uint16_t site, enum reach reach)
{
    const struct search *s = &p->search;
    uint16_t giver = reach_giver(p, site, reach);
    if (giver == NONE)
        return false;
    for (; giver != site; giver = s->from[giver])
        unit_replace(p, s->by[giver], giver, s->from[giver]);
    return true;
}

static void sites_pass(struct placing *p, uint16_t site, enum reach reach)
{
    const struct share *s = &p->copy[site];
    bool beyond = is_beyond(reach);
    while (s->have < (beyond ? s->most : s->quota) && (!beyond || shares_beyond(p->copy, p->n)) &&
           site_takes_over(p, site, reach))
        ;
}

/* ---------------------------------------------------------------------------------------------- */

void copies_settle(struct placing *p, double slack)
{
    shares_bound(p->copy, p->n, slack);
    bool new = copies_fill(p);
    for (size_t i = 0; i < p->n; i++)
        share_quota(&p->copy[i]);
    for (uint16_t i = 0; i < p->n && new; i++)
        site_takes_all(p, i, WHAT_NEW);
    for (uint16_t i = 0; i < p->n && new; i++)
        sites_pass(p, i, REACH_NEW);
    for (uint16_t i = 0; i < p->n && new; i++)
        sites_pass(p, i, REACH_NEW_BEYOND);
    for (uint16_t i = 0; i < p->n; i++)
        share_excuse(&p->copy[i]);
    for (int what = WHAT_BACK; what <= WHAT_ANY; what++)
        for (uint16_t i = 0; i < p->n; i++)
            site_takes_all(p, i, (enum what)what);
    for (uint16_t i = 0; i < p->n; i++)
        site_gives_all(p, i);
    for (uint16_t i = 0; i < p->n; i++)
        sites_pass(p, i, REACH_ANY);
    /* A zone's room may be no whole number of quotas: what is over is borne by all
     * within the bound. */
    for (uint16_t i = 0; i < p->n; i++)
        sites_pass(p, i, REACH_BEYOND);
}

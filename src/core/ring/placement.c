/* SPDX-License-Identifier: BSD-3-Clause */

/* Placement in four movements, over units of four slots:
 *
 *     keep     every unit keeps the copies it may keep: not those of who left, nor two in one zone
 *     share    each node's fair share, then its quota: what it has, pressed between the bounds
 *     settle   units short of copies are filled; then who has less than its quota takes from who has
 *              more, at once, or round a corner:
 *
 *                  too many: A     unit 7: {A, B}     C may take A's place in unit 7 only if it is not in
 *                  too few:  C     unit 9: {B, D}     it already, nor its zone; else C takes B's place in
 *                                                     unit 9, and B takes A's in another
 *     lead     the same once more for who is first of each unit, among the copies it has
 *
 * Quotas are sticky: a node's is what it has, while that lies within its bounds, so a join moves what the
 * newcomer gets and a leave what the leaver had. Everything is decided by order and ratios: no chance. */
#include "core/ring/placement.h"

#include <math.h>
#include <string.h>

#include "base/check.h"

enum { NONE = UINT16_MAX };

/* Of copies, or of leads, counted in units. */
struct share {
    double fair;
    uint32_t have, quota;
    uint32_t most; /* the bound: a little over fair */
};

struct work {
    const struct map *m;
    size_t n;              /* sites: who may hold data */
    uint16_t *place;       /* of each site */
    uint16_t *site;        /* of each place; NONE */
    uint16_t *zone;        /* of each site */
    uint16_t *zone_n;      /* sites of each zone */
    size_t zones_n;
    double *wants;         /* of each zone, while shares are found */
    unsigned copies;       /* of a unit: RF, or fewer where there are fewer sites */
    unsigned zone_most;    /* copies of a unit in one zone */
    struct share *copy, *lead;
    uint16_t (*set)[MAP_COPIES]; /* sites, of each unit */
    uint8_t *set_n;
    uint16_t *from, *by;   /* of a search: who was reached, from whom, by which unit */
    uint16_t *queue;
};

/* -- Who is there --------------------------------------------------------------------------------- */

static bool may_hold(const struct map_node *n)
{
    return n->used && !n->leaving && n->weight > 0;
}

static uint16_t zone_find(struct work *w, size_t site)
{
    const char *name = w->m->nodes.at[w->place[site]].zone;
    for (size_t i = 0; i < site; i++)
        if (strcmp(w->m->nodes.at[w->place[i]].zone, name) == 0)
            return w->zone[i];
    return (uint16_t)w->zones_n++;
}

static void work_zones(struct work *w)
{
    for (size_t i = 0; i < w->n; i++) {
        w->zone[i] = zone_find(w, i);
        w->zone_n[w->zone[i]]++;
    }
    size_t room = 0;
    while (room < w->copies) { /* the fewest of a unit in one zone with which all find room */
        w->zone_most++;
        room = 0;
        for (size_t z = 0; z < w->zones_n; z++)
            room += w->zone_n[z] < w->zone_most ? w->zone_n[z] : w->zone_most;
    }
}

static void work_begin(struct work *w, const struct map *m)
{
    size_t places = m->nodes.n;
    *w = (struct work){.m = m};
    w->place = mem_get((places + 1) * sizeof(uint16_t));
    w->site = mem_get((places + 1) * sizeof(uint16_t));
    for (size_t i = 0; i < places; i++) {
        w->site[i] = NONE;
        if (!may_hold(&m->nodes.at[i]))
            continue;
        w->site[i] = (uint16_t)w->n;
        w->place[w->n++] = (uint16_t)i;
    }
    w->copies = m->settings.replication_factor < w->n ? m->settings.replication_factor : (unsigned)w->n;
    w->zone = mem_zero((w->n + 1) * sizeof(uint16_t));
    w->zone_n = mem_zero((w->n + 1) * sizeof(uint16_t));
    w->wants = mem_zero((w->n + 1) * sizeof(double));
    w->copy = mem_zero((w->n + 1) * sizeof(struct share));
    w->lead = mem_zero((w->n + 1) * sizeof(struct share));
    w->set = mem_get(PLACEMENT_UNITS * sizeof(*w->set));
    w->set_n = mem_zero(PLACEMENT_UNITS);
    w->from = mem_get((w->n + 1) * sizeof(uint16_t));
    w->by = mem_get((w->n + 1) * sizeof(uint16_t));
    w->queue = mem_get((w->n + 1) * sizeof(uint16_t));
    work_zones(w);
}

static void work_end(struct work *w)
{
    mem_free(w->place);
    mem_free(w->site);
    mem_free(w->zone);
    mem_free(w->zone_n);
    mem_free(w->wants);
    mem_free(w->copy);
    mem_free(w->lead);
    mem_free(w->set);
    mem_free(w->set_n);
    mem_free(w->from);
    mem_free(w->by);
    mem_free(w->queue);
}

/* -- Sets ----------------------------------------------------------------------------------------- */

static bool set_has(const struct work *w, unsigned unit, uint16_t site)
{
    for (unsigned k = 0; k < w->set_n[unit]; k++)
        if (w->set[unit][k] == site)
            return true;
    return false;
}

/* May the site have a copy of the unit, once `out` (NONE: nobody) has none any more? */
static bool set_may_take(const struct work *w, unsigned unit, uint16_t site, uint16_t out)
{
    unsigned in_zone = 0;
    for (unsigned k = 0; k < w->set_n[unit]; k++) {
        uint16_t other = w->set[unit][k];
        if (other == site)
            return false;
        in_zone += other != out && w->zone[other] == w->zone[site];
    }
    return in_zone < w->zone_most;
}

static void set_add(struct work *w, unsigned unit, uint16_t site)
{
    w->set[unit][w->set_n[unit]++] = site;
    w->copy[site].have++;
}

/* In the place of `out`, and so the lead if it had it. */
static void set_replace(struct work *w, unsigned unit, uint16_t out, uint16_t site)
{
    for (unsigned k = 0; k < w->set_n[unit]; k++)
        if (w->set[unit][k] == out)
            w->set[unit][k] = site;
    w->copy[out].have--;
    w->copy[site].have++;
}

static void sets_keep(struct work *w)
{
    for (unsigned u = 0; u < PLACEMENT_UNITS; u++) {
        const struct map_slot *s = &w->m->slots[u * PLACEMENT_UNIT];
        for (unsigned k = 0; k < s->want_n && w->set_n[u] < w->copies; k++) {
            uint16_t site = w->site[s->want[k]];
            if (site != NONE && set_may_take(w, u, site, NONE))
                set_add(w, u, site);
        }
    }
}

/* -- Shares --------------------------------------------------------------------------------------- */

static double weight_of(const struct work *w, size_t site)
{
    return w->m->nodes.at[w->place[site]].weight;
}

static double zone_room(const struct work *w, size_t zone)
{
    return (double)PLACEMENT_UNITS * (w->zone_n[zone] < w->zone_most ? w->zone_n[zone] : w->zone_most);
}

/* What each zone wants if a weight of 1 gets `level`; no site more than one copy of each unit. */
static void zones_want(struct work *w, double level)
{
    for (size_t z = 0; z < w->zones_n; z++)
        w->wants[z] = 0;
    for (size_t i = 0; i < w->n; i++)
        w->wants[w->zone[i]] += fmin(PLACEMENT_UNITS, level * weight_of(w, i));
}

/* The level at which a zone gets so much, or (NONE) all of them together, each within its room: by
 * halving. */
static double level_for(struct work *w, size_t zone, double total)
{
    double low = 0, high = PLACEMENT_UNITS; /* even a weight of 1 has a copy of all then */
    for (int i = 0; i < 60; i++) {
        double middle = (low + high) / 2, sum = 0;
        zones_want(w, middle);
        for (size_t z = 0; z < w->zones_n && zone == NONE; z++)
            sum += fmin(zone_room(w, z), w->wants[z]);
        if (zone != NONE)
            sum = w->wants[zone];
        if (sum < total)
            low = middle;
        else
            high = middle;
    }
    return high;
}

static void shares_fair(struct work *w)
{
    double weights = 0;
    for (size_t i = 0; i < w->n; i++)
        weights += weight_of(w, i);
    double level = level_for(w, NONE, (double)PLACEMENT_UNITS * w->copies);
    for (size_t z = 0; z < w->zones_n; z++) {
        zones_want(w, level);
        double room = zone_room(w, z);
        double here = w->wants[z] > room ? level_for(w, z, room) : level;
        for (size_t i = 0; i < w->n; i++)
            if (w->zone[i] == z)
                w->copy[i].fair = fmin(PLACEMENT_UNITS, here * weight_of(w, i));
    }
    for (size_t i = 0; i < w->n; i++)
        w->lead[i].fair = PLACEMENT_UNITS * weight_of(w, i) / weights;
}

/* Who has least for its share, and may have one more. */
static size_t share_poorest(const struct share *s, size_t n, bool bounded)
{
    size_t best = n;
    for (size_t i = 0; i < n; i++) {
        if (s[i].quota >= (bounded ? s[i].most : PLACEMENT_UNITS))
            continue;
        if (best == n || (s[i].quota + 1) * s[best].fair < (s[best].quota + 1) * s[i].fair)
            best = i;
    }
    return best;
}

static size_t share_richest(const struct share *s, size_t n)
{
    size_t best = n;
    for (size_t i = 0; i < n; i++)
        if (s[i].quota > 0 && (best == n || s[i].quota * s[best].fair > s[best].quota * s[i].fair))
            best = i;
    return best;
}

/* Quotas that sum up: what each has, pressed between fair and the bound. */
static void shares_settle(struct share *s, size_t n, uint32_t total, double slack)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t least = (uint32_t)floor(s[i].fair + 1e-6);
        s[i].most = (uint32_t)floor(s[i].fair * slack + 1e-6);
        if (s[i].most < least)
            s[i].most = least;
        s[i].quota = s[i].have < least ? least : s[i].have > s[i].most ? s[i].most : s[i].have;
        sum += s[i].quota;
    }
    for (; sum > total; sum--)
        s[share_richest(s, n)].quota--;
    for (; sum < total; sum++) {
        size_t i = share_poorest(s, n, true);
        if (i == n)
            i = share_poorest(s, n, false); /* so few units that a bound is no whole one */
        s[i].quota++;
    }
}

/* -- Settling ------------------------------------------------------------------------------------- */

static bool beside(const struct work *w, unsigned unit, uint16_t site)
{
    return (unit > 0 && set_has(w, unit - 1, site)) || (unit + 1 < PLACEMENT_UNITS && set_has(w, unit + 1, site));
}

/* The less the better: within the quota, beside one's own, and least for one's share. */
static double fill_cost(const struct work *w, unsigned unit, uint16_t site)
{
    const struct share *s = &w->copy[site];
    double cost = s->have / (s->fair + 1.0);
    cost = cost < 9 ? cost : 9;
    cost += beside(w, unit, site) ? 0 : 10;
    return cost + (s->have < s->quota ? 0 : 100);
}

static void sets_fill(struct work *w)
{
    for (unsigned u = 0; u < PLACEMENT_UNITS; u++)
        while (w->set_n[u] < w->copies) {
            uint16_t best = NONE;
            double least = 0;
            for (uint16_t i = 0; i < w->n; i++) {
                if (!set_may_take(w, u, i, NONE))
                    continue;
                double cost = fill_cost(w, u, i);
                if (best == NONE || cost < least) {
                    best = i;
                    least = cost;
                }
            }
            check(best != NONE); /* zone_most leaves room for all */
            set_add(w, u, best);
        }
}

/* Takes directly from who has more than its quota, along the circle: neighbours in one piece. */
static void site_takes(struct work *w, uint16_t site)
{
    for (unsigned u = 0; u < PLACEMENT_UNITS && w->copy[site].have < w->copy[site].quota; u++)
        for (unsigned k = 0; k < w->set_n[u]; k++) {
            uint16_t from = w->set[u][k];
            if (w->copy[from].have <= w->copy[from].quota || !set_may_take(w, u, site, from))
                continue;
            set_replace(w, u, from, site);
            break;
        }
}

/* A copy that is wished already: to move it costs, to place one elsewhere that is new does not. */
static bool is_old(const struct work *w, unsigned unit, uint16_t site)
{
    const struct map_slot *s = &w->m->slots[unit * PLACEMENT_UNIT];
    for (unsigned k = 0; k < s->want_n; k++)
        if (s->want[k] == w->place[site])
            return true;
    return false;
}

/* Round a corner: the nearest who has more than its quota, over others who pass one on. */
enum take { TAKE_NEW, TAKE_ANY, TAKE_BEYOND }; /* new copies; any; from who has more than its bound */
static bool site_takes_over(struct work *w, uint16_t site, enum take take)
{
    for (size_t i = 0; i < w->n; i++)
        w->from[i] = NONE;
    size_t head = 0, tail = 0;
    w->from[site] = site;
    w->queue[tail++] = site;
    uint16_t rich = NONE;
    while (head < tail && rich == NONE) {
        uint16_t taker = w->queue[head++];
        for (unsigned u = 0; u < PLACEMENT_UNITS && rich == NONE; u++)
            for (unsigned k = 0; k < w->set_n[u]; k++) {
                uint16_t giver = w->set[u][k];
                if (w->from[giver] != NONE || (take == TAKE_NEW && is_old(w, u, giver)) || !set_may_take(w, u, taker, giver))
                    continue;
                w->from[giver] = taker;
                w->by[giver] = (uint16_t)u;
                w->queue[tail++] = giver;
                const struct share *has = &w->copy[giver];
                if (has->have > (take == TAKE_BEYOND ? has->most : has->quota)) {
                    rich = giver;
                    break;
                }
            }
    }
    for (uint16_t giver = rich; giver != NONE && giver != site; giver = w->from[giver])
        set_replace(w, w->by[giver], giver, w->from[giver]);
    return rich != NONE;
}

static bool any_beyond(const struct share *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (s[i].have > s[i].most)
            return true;
    return false;
}

static void sets_settle(struct work *w)
{
    for (uint16_t i = 0; i < w->n; i++)
        while (w->copy[i].have < w->copy[i].quota && site_takes_over(w, i, TAKE_NEW))
            ;
    for (uint16_t i = 0; i < w->n; i++)
        site_takes(w, i);
    for (uint16_t i = 0; i < w->n; i++)
        while (w->copy[i].have < w->copy[i].quota && site_takes_over(w, i, TAKE_ANY))
            ;
    /* A zone's room may be no whole number of quotas: what is over is borne by all within the bound. */
    for (uint16_t i = 0; i < w->n && any_beyond(w->copy, w->n); i++)
        while (w->copy[i].have < w->copy[i].most && site_takes_over(w, i, TAKE_BEYOND))
            ;
}

/* -- Leads ---------------------------------------------------------------------------------------- */

static void lead_give(struct work *w, unsigned unit, unsigned k)
{
    uint16_t was = w->set[unit][0];
    w->set[unit][0] = w->set[unit][k];
    w->set[unit][k] = was;
    w->lead[was].have--;
    w->lead[w->set[unit][0]].have++;
}

/* As site_takes_over, from who leads too many to one that leads too few and has a copy. */
static bool lead_takes_over(struct work *w, uint16_t site)
{
    for (size_t i = 0; i < w->n; i++)
        w->from[i] = NONE;
    size_t head = 0, tail = 0;
    w->from[site] = site;
    w->queue[tail++] = site;
    uint16_t rich = NONE;
    while (head < tail && rich == NONE) {
        uint16_t taker = w->queue[head++];
        for (unsigned u = 0; u < PLACEMENT_UNITS && rich == NONE; u++) {
            uint16_t giver = w->set[u][0];
            if (w->from[giver] != NONE || !set_has(w, u, taker))
                continue;
            w->from[giver] = taker;
            w->by[giver] = (uint16_t)u;
            w->queue[tail++] = giver;
            if (w->lead[giver].have > w->lead[giver].quota)
                rich = giver;
        }
    }
    for (uint16_t giver = rich; giver != NONE && giver != site; giver = w->from[giver])
        for (unsigned k = 1, u = w->by[giver]; k < w->set_n[u]; k++)
            if (w->set[u][k] == w->from[giver]) {
                lead_give(w, u, k);
                break;
            }
    return rich != NONE;
}

/* Few that share all they have with one another alone are not reached by passing on leads. Then a unit
 * that one leads goes, lead and all, against a copy of another unit: two copies move. */
static bool lead_swaps(struct work *w, uint16_t rich, uint16_t other)
{
    unsigned give = 0, back = 0;
    while (give < PLACEMENT_UNITS && (w->set[give][0] != rich || !set_may_take(w, give, other, rich)))
        give++;
    while (back < PLACEMENT_UNITS && (w->set[back][0] == other || !set_has(w, back, other) ||
                                      !set_may_take(w, back, rich, other)))
        back++;
    if (give == PLACEMENT_UNITS || back == PLACEMENT_UNITS)
        return false;
    set_replace(w, give, rich, other);
    set_replace(w, back, other, rich);
    w->lead[rich].have--;
    w->lead[other].have++;
    return true;
}

static void leads_settle(struct work *w, double slack)
{
    for (unsigned u = 0; u < PLACEMENT_UNITS; u++)
        w->lead[w->set[u][0]].have++;
    shares_settle(w->lead, w->n, PLACEMENT_UNITS, slack);
    for (unsigned u = 0; u < PLACEMENT_UNITS; u++) /* directly */
        for (unsigned k = 1; k < w->set_n[u]; k++) {
            const struct share *now = &w->lead[w->set[u][0]], *next = &w->lead[w->set[u][k]];
            if (now->have > now->quota && next->have < next->quota)
                lead_give(w, u, k);
        }
    for (uint16_t i = 0; i < w->n; i++)
        while (w->lead[i].have < w->lead[i].quota && lead_takes_over(w, i))
            ;
    for (uint16_t rich = 0; rich < w->n; rich++)
        for (uint16_t other = 0; other < w->n && w->lead[rich].have > w->lead[rich].most; other++)
            while (w->lead[rich].have > w->lead[rich].most && w->lead[other].have < w->lead[other].most &&
                   lead_swaps(w, rich, other))
                ;
}

/* -- The answer ----------------------------------------------------------------------------------- */

static bool same_list(const struct map_run *a, const struct map_run *b)
{
    return a->n == b->n && memcmp(a->node, b->node, a->n * sizeof(a->node[0])) == 0;
}

static bool is_wished(const struct map_slot *s, const struct map_run *run)
{
    return s->want_n == run->n && memcmp(s->want, run->node, run->n * sizeof(run->node[0])) == 0;
}

static void placement_add(struct placement *p, const struct map_run *run)
{
    struct map_run *last = p->runs.n > 0 ? &p->runs.at[p->runs.n - 1] : NULL;
    p->slots_n++;
    if (last != NULL && last->to + 1 == run->from && same_list(last, run))
        last->to = run->to;
    else
        *vec_add(&p->runs) = *run;
}

void placement_next(struct placement *p, const struct map *m)
{
    vec_clear(&p->runs);
    p->slots_n = 0;
    struct work w;
    work_begin(&w, m);
    double slack = w.n > 50 ? 1.05 : 1.02;
    if (w.n > 0) {
        sets_keep(&w);
        shares_fair(&w);
        /* With one copy who has it leads it: the narrower bound. */
        shares_settle(w.copy, w.n, PLACEMENT_UNITS * w.copies, w.copies > 1 ? slack + (slack - 1) : slack);
        sets_fill(&w);
        sets_settle(&w);
        leads_settle(&w, slack);
    }
    for (unsigned slot = 0; w.n > 0 && slot < SLOTS; slot++) {
        unsigned u = slot / PLACEMENT_UNIT;
        struct map_run run = {(uint16_t)slot, (uint16_t)slot, w.set_n[u], {0}};
        for (unsigned k = 0; k < w.set_n[u]; k++)
            run.node[k] = w.place[w.set[u][k]];
        if (!is_wished(&m->slots[slot], &run))
            placement_add(p, &run);
    }
    work_end(&w);
}

void placement_free(struct placement *p)
{
    vec_free(&p->runs);
    p->slots_n = 0;
}

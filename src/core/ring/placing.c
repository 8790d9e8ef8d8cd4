/* SPDX-License-Identifier: BSD-3-Clause */

/* Sites, zones, and the sets of copies with what is derived of them: per site the list of
 * its copies, per pair of sites how many units they share. unit_add and unit_replace are
 * the only writers. */
#include "core/ring/placing.h"

#include <string.h>

#include "base/check.h"

/* -- Who is there ------------------------------------------------------------------------------ */

static bool may_hold(const struct map_node *n)
{
    return n->used && !n->leaving && n->weight > 0;
}

static uint16_t zone_find(struct placing *p, size_t site)
{
    const char *name = p->m->nodes.at[p->place[site]].zone;
    for (size_t i = 0; i < site; i++)
        if (strcmp(p->m->nodes.at[p->place[i]].zone, name) == 0)
            return p->zone[i];
    return (uint16_t)p->zones_n++;
}

static void begin_zones(struct placing *p)
{
    for (size_t i = 0; i < p->n; i++) {
        p->zone[i] = zone_find(p, i);
        p->zone_n[p->zone[i]]++;
    }
    size_t room = 0;
    while (room < p->copies) { /* the fewest of a unit in one zone with which all find room */
        p->zone_most++;
        room = 0;
        for (size_t z = 0; z < p->zones_n; z++)
            room += p->zone_n[z] < p->zone_most ? p->zone_n[z] : p->zone_most;
    }
}

static void begin_sites(struct placing *p)
{
    size_t places = p->m->nodes.n;
    p->place = mem_get((places + 1) * sizeof(uint16_t));
    p->site_at = mem_get((places + 1) * sizeof(uint16_t));
    for (size_t i = 0; i < places; i++) {
        p->site_at[i] = NONE;
        if (!may_hold(&p->m->nodes.at[i]))
            continue;
        p->site_at[i] = (uint16_t)p->n;
        p->place[p->n++] = (uint16_t)i;
    }
    uint32_t factor = p->m->settings.replication_factor;
    p->copies = factor < p->n ? factor : (unsigned)p->n;
}

static void begin_partners(struct placing *p)
{
    size_t others = p->n > 0 ? p->n - 1 : 0, width = p->m->settings.scatter_width;
    if (width + 1 < p->copies)
        width = p->copies - 1; /* a set alone makes so many */
    p->is_wide = others > width;
    p->width = (unsigned)(p->is_wide ? width : others);
    p->even = p->width > 0 ? 1.25 * (p->copies - 1) / p->width : 0;
    p->shared = mem_zero((p->n * p->n + 1) * sizeof(uint16_t));
    p->partners = mem_zero((p->n + 1) * sizeof(uint16_t));
}

/* -- What the map says ------------------------------------------------------------------------- */

/* Who is in sync in two of the four slots or more; who is primary of most. */
static void begin_held(struct placing *p, unsigned unit)
{
    const struct map_slot *s = &p->m->slots[unit * PLACEMENT_UNIT];
    struct unit *u = &p->unit[unit];
    unsigned most = 0;
    for (unsigned i = 0; i < PLACEMENT_UNIT; i++) {
        unsigned leads = 0;
        for (unsigned j = 0; j < PLACEMENT_UNIT; j++)
            leads += s[j].primary == s[i].primary;
        if (s[i].primary != MAP_NOBODY && leads > most) {
            most = leads;
            u->primary = p->site_at[s[i].primary];
        }
        for (unsigned k = 0; k < s[i].isr_n; k++) {
            uint16_t site = p->site_at[s[i].isr[k]];
            unsigned times = 0;
            for (unsigned j = 0; j < PLACEMENT_UNIT; j++)
                times += map_list_has(s[j].isr, s[j].isr_n, s[i].isr[k]);
            if (site != NONE && times * 2 >= PLACEMENT_UNIT && !unit_held(u, site))
                u->held[u->held_n++] = site;
        }
    }
}

void placing_begin(struct placing *p, const struct map *m)
{
    *p = (struct placing){.m = m};
    begin_sites(p);
    size_t n = p->n + 1;
    p->zone = mem_zero(n * sizeof(uint16_t));
    p->zone_n = mem_zero(n * sizeof(uint16_t));
    p->wants = mem_zero(n * sizeof(double));
    p->copy = mem_zero(n * sizeof(struct share));
    p->lead = mem_zero(n * sizeof(struct share));
    p->first = mem_get(n * sizeof(uint16_t));
    p->changed = mem_get(n * sizeof(uint32_t));
    p->refused = mem_zero(n * n * sizeof(uint32_t));
    p->unit = mem_zero(PLACEMENT_UNITS * sizeof(*p->unit));
    p->next = mem_get(PLACEMENT_UNITS * MAP_COPIES * sizeof(uint16_t));
    p->before = mem_get(PLACEMENT_UNITS * MAP_COPIES * sizeof(uint16_t));
    p->search.from = mem_get(n * sizeof(uint16_t));
    p->search.by = mem_get(n * sizeof(uint16_t));
    p->search.queue = mem_get(n * sizeof(uint16_t));
    for (size_t i = 0; i < p->n; i++) {
        p->first[i] = NONE;
        p->changed[i] = 1;
    }
    begin_zones(p);
    begin_partners(p);
    for (unsigned u = 0; u < PLACEMENT_UNITS; u++) {
        p->unit[u].lead = p->unit[u].primary = NONE;
        begin_held(p, u);
    }
}

void placing_end(struct placing *p)
{
    mem_free(p->place);
    mem_free(p->site_at);
    mem_free(p->zone);
    mem_free(p->zone_n);
    mem_free(p->wants);
    mem_free(p->copy);
    mem_free(p->lead);
    mem_free(p->first);
    mem_free(p->changed);
    mem_free(p->refused);
    mem_free(p->unit);
    mem_free(p->next);
    mem_free(p->before);
    mem_free(p->search.from);
    mem_free(p->search.by);
    mem_free(p->search.queue);
    mem_free(p->shared);
    mem_free(p->partners);
}

/* -- Sets -------------------------------------------------------------------------------------- */

bool unit_has(const struct unit *u, uint16_t site)
{
    return map_list_has(u->site, u->n, site);
}

bool unit_held(const struct unit *u, uint16_t site)
{
    return map_list_has(u->held, u->held_n, site);
}

bool unit_wished(const struct placing *p, unsigned unit, uint16_t site)
{
    const struct map_slot *s = &p->m->slots[unit * PLACEMENT_UNIT];
    return map_wishes(s, p->place[site]);
}

bool unit_may_take(const struct placing *p, unsigned unit, uint16_t site, uint16_t out)
{
    const struct unit *u = &p->unit[unit];
    unsigned in_zone = 0;
    for (unsigned k = 0; k < u->n; k++) {
        uint16_t other = u->site[k];
        if (other == site)
            return false;
        in_zone += other != out && p->zone[other] == p->zone[site];
    }
    return in_zone < p->zone_most;
}

static void link_copy(struct placing *p, unsigned unit, unsigned k)
{
    uint16_t at = (uint16_t)(unit * MAP_COPIES + k), site = p->unit[unit].site[k];
    p->before[at] = NONE;
    p->next[at] = p->first[site];
    if (p->first[site] != NONE)
        p->before[p->first[site]] = at;
    p->first[site] = at;
}

static void unlink_copy(struct placing *p, unsigned unit, unsigned k)
{
    uint16_t at = (uint16_t)(unit * MAP_COPIES + k), site = p->unit[unit].site[k];
    if (p->next[at] != NONE)
        p->before[p->next[at]] = p->before[at];
    if (p->before[at] != NONE)
        p->next[p->before[at]] = p->next[at];
    else
        p->first[site] = p->next[at];
}

static void share_more(struct placing *p, uint16_t a, uint16_t b)
{
    p->shared[b * p->n + a]++;
    if (p->shared[a * p->n + b]++ == 0) {
        p->partners[a]++;
        p->partners[b]++;
    }
}

static void share_less(struct placing *p, uint16_t a, uint16_t b)
{
    p->shared[b * p->n + a]--;
    if (--p->shared[a * p->n + b] == 0) {
        p->partners[a]--;
        p->partners[b]--;
    }
}

void unit_add(struct placing *p, unsigned unit, uint16_t site)
{
    struct unit *u = &p->unit[unit];
    for (unsigned k = 0; k < u->n; k++) {
        share_more(p, site, u->site[k]);
        p->changed[u->site[k]]++;
    }
    u->site[u->n++] = site;
    link_copy(p, unit, u->n - 1U);
    p->changed[site]++;
    p->copy[site].have++;
}

void unit_replace(struct placing *p, unsigned unit, uint16_t out, uint16_t site)
{
    struct unit *u = &p->unit[unit];
    for (unsigned k = 0; k < u->n; k++) {
        p->changed[u->site[k]]++;
        if (u->site[k] != out) {
            share_less(p, out, u->site[k]);
            share_more(p, site, u->site[k]);
            continue;
        }
        unlink_copy(p, unit, k);
        u->site[k] = site;
        link_copy(p, unit, k);
    }
    p->changed[site]++;
    p->copy[out].have--;
    p->copy[site].have++;
    if (u->lead == out) {
        u->lead = site;
        p->lead[out].have--;
        p->lead[site].have++;
    }
}

/* -- Partners ---------------------------------------------------------------------------------- */

/* Of a pair: a new one costs the more, the more partners either has; a known one nothing, until it
 * shares more than its even part. */
static unsigned pair_strain(const struct placing *p, uint16_t a, uint16_t b)
{
    unsigned shared = p->shared[a * p->n + b];
    if (shared == 0 && !p->is_wide)
        return 0;
    if (shared == 0) {
        unsigned most = p->partners[a] > p->partners[b] ? p->partners[a] : p->partners[b];
        return most < p->width ? 2 : 3 + (most - p->width) * 8 / p->width;
    }
    double fair = p->copy[a].fair < p->copy[b].fair ? p->copy[a].fair : p->copy[b].fair;
    double even = p->even * fair + 1;
    return shared <= even ? 0 : 1 + (unsigned)((shared - even) * 2 / even);
}

unsigned unit_strain(const struct placing *p, unsigned unit, uint16_t site, uint16_t out)
{
    const struct unit *u = &p->unit[unit];
    unsigned sum = 0;
    for (unsigned k = 0; k < u->n; k++)
        if (u->site[k] != out)
            sum += pair_strain(p, site, u->site[k]);
    return sum;
}

/* -- Searches ---------------------------------------------------------------------------------- */

void search_begin(struct placing *p, uint16_t from)
{
    struct search *s = &p->search;
    for (size_t i = 0; i < p->n; i++)
        s->from[i] = NONE;
    s->from[from] = from;
    s->queue[0] = from;
    s->head = 0;
    s->tail = 1;
}

void search_reach(struct placing *p, uint16_t site, uint16_t from, unsigned unit)
{
    p->search.from[site] = from;
    p->search.by[site] = (uint16_t)unit;
    p->search.queue[p->search.tail++] = site;
}

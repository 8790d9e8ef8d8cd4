/* SPDX-License-Identifier: BSD-3-Clause */

/* A site's fair share, and the bounds about it. */
#include <math.h>

#include "core/ring/placing.h"

static double weight_of(const struct placing *p, size_t site)
{
    return p->m->nodes.at[p->place[site]].weight;
}

static double zone_room(const struct placing *p, size_t zone)
{
    return (double)PLACEMENT_UNITS *
           (p->zone_n[zone] < p->zone_most ? p->zone_n[zone] : p->zone_most);
}

/* What each zone wants if a weight of 1 gets `level`; no site more than one copy of each unit. */
static void zones_want(struct placing *p, double level)
{
    for (size_t z = 0; z < p->zones_n; z++)
        p->wants[z] = 0;
    for (size_t i = 0; i < p->n; i++)
        p->wants[p->zone[i]] += fmin(PLACEMENT_UNITS, level * weight_of(p, i));
}

/* The level at which a zone gets so much, or (NONE) all of them together, each within its room: by
 * halving. */
static double level_for(struct placing *p, size_t zone, double total)
{
    double low = 0, high = PLACEMENT_UNITS; /* even a weight of 1 has a copy of all then */
    for (int i = 0; i < 60; i++) {
        double middle = (low + high) / 2, sum = 0;
        zones_want(p, middle);
        for (size_t z = 0; z < p->zones_n && zone == NONE; z++)
            sum += fmin(zone_room(p, z), p->wants[z]);
        if (zone != NONE)
            sum = p->wants[zone];
        if (sum < total)
            low = middle;
        else
            high = middle;
    }
    return high;
}

void shares_fair(struct placing *p)
{
    double weights = 0;
    for (size_t i = 0; i < p->n; i++)
        weights += weight_of(p, i);
    double level = level_for(p, NONE, (double)PLACEMENT_UNITS * p->copies);
    for (size_t z = 0; z < p->zones_n; z++) {
        zones_want(p, level);
        double room = zone_room(p, z);
        double here = p->wants[z] > room ? level_for(p, z, room) : level;
        for (size_t i = 0; i < p->n; i++)
            if (p->zone[i] == z)
                p->copy[i].fair = fmin(PLACEMENT_UNITS, here * weight_of(p, i));
    }
    for (size_t i = 0; i < p->n; i++)
        p->lead[i].fair = PLACEMENT_UNITS * weight_of(p, i) / weights;
}

void share_quota(struct share *s)
{
    s->quota = s->have * 4 < s->least * 3 ? s->goal : s->least;
}

void share_excuse(struct share *s)
{
    if (s->have < s->quota && s->have * 100 >= s->least * 85)
        s->quota = s->have;
}

/* Whole units; so few that the bound is none: the next one. */
void shares_bound(struct share *s, size_t n, double slack)
{
    for (size_t i = 0; i < n; i++) {
        s[i].goal = (uint32_t)floor(s[i].fair + 1e-6);
        s[i].least = (uint32_t)floor(s[i].fair * (1 - slack) + 1e-6);
        uint32_t next = (uint32_t)ceil(s[i].fair - 1e-6),
                 most = (uint32_t)floor(s[i].fair * (1 + slack) + 1e-6);
        s[i].most = most > next ? most : next;
        share_quota(&s[i]);
    }
}

bool shares_beyond(const struct share *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (s[i].have > s[i].most)
            return true;
    return false;
}

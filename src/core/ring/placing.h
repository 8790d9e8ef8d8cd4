/* SPDX-License-Identifier: BSD-3-Clause */

/* Inside placement: who may hold data (sites), the sets of four slots at a time (units), and
 * what each site has of them. Made from a map by placing_begin, gone with placing_end; no other
 * room sees it. */
#ifndef CORE_RING_PLACING_H
#define CORE_RING_PLACING_H

#include "core/ring/placement.h"

enum { NONE = UINT16_MAX };
enum { HELD_MOST = 2 * MAP_COPIES }; /* sites in sync in two of a unit's four slots or more */

/* Of copies, or of leads, counted in units. */
struct share {
    double fair;
    uint32_t have;
    uint32_t least, goal,
        most;       /* content is who has between least and most; goal is the whole fair share */
    uint32_t quota; /* what it is to have at least: who comes, or has far less than least, goal;
                                   else least */
};

struct unit {
    uint8_t n, held_n;
    uint16_t site[MAP_COPIES]; /* who is to have a copy */
    uint16_t lead;             /* one of them; NONE until leads are chosen */
    uint16_t
        held[HELD_MOST]; /* who has one in sync as the map stands: there nothing need be sent */
    uint16_t primary;    /* of them, who leads as the map stands; NONE */
};

/* A search over sites: who was reached, from whom, by which unit. */
struct search {
    uint16_t *from, *by, *queue;
    size_t head, tail;
};

struct placing {
    const struct map *m;
    size_t n;          /* sites */
    uint16_t *place;   /* of each site */
    uint16_t *site_at; /* of each place; NONE */
    uint16_t *zone;    /* of each site */
    uint16_t *zone_n;  /* sites of each zone */
    size_t zones_n;
    double *wants;      /* of each zone, while shares are found */
    unsigned copies;    /* of a unit: RF, or fewer where there are fewer sites */
    unsigned zone_most; /* copies of a unit in one zone */
    struct share *copy, *lead;
    struct unit *unit; /* PLACEMENT_UNITS */
    uint16_t *first;   /* of each site, the list of its copies: unit * MAP_COPIES + k; NONE */
    uint16_t *next, *before;
    bool is_wide;   /* more sites than one may have partners */
    unsigned width; /* partners a site is to have at most */
    double even; /* of its copies it shares so many with each partner, where all have equal parts */
    uint16_t *shared;   /* n * n: units two sites share */
    uint16_t *partners; /* of each site: others with which it shares any */
    uint32_t *changed;  /* of each site: counts the changes of its sets */
    uint32_t
        *refused; /* n * n: `changed` of a giver when no unit of it could go to that taker; 0 */
    struct search search;
};

void placing_begin(struct placing *p, const struct map *m);
void placing_end(struct placing *p);

/* -- Sets: placing.c */
bool unit_has(const struct unit *u, uint16_t site);
bool unit_held(const struct unit *u, uint16_t site);
bool unit_wished(const struct placing *p, unsigned unit, uint16_t site); /* by the wish before */
/* May the site have a copy of the unit, once `out` (NONE: nobody) has none any more? */
bool unit_may_take(const struct placing *p, unsigned unit, uint16_t site, uint16_t out);
void unit_add(struct placing *p, unsigned unit, uint16_t site);
void unit_replace(struct placing *p, unsigned unit, uint16_t out,
                  uint16_t site); /* and the lead with it */
/* What the site's coming would do to the partners of all: 0 is nothing new. */
unsigned unit_strain(const struct placing *p, unsigned unit, uint16_t site, uint16_t out);

void search_begin(struct placing *p, uint16_t from);
void search_reach(struct placing *p, uint16_t site, uint16_t from, unsigned unit);

/* -- Shares: placing_share.c */
void shares_fair(struct placing *p);
void shares_bound(struct share *s, size_t n, double slack); /* from fair and have: the others */
void share_quota(struct share *s);                          /* quota, from have as it is now */
void share_excuse(
    struct share *s); /* from its quota, if what it lacks is not worth that copies move */
bool shares_beyond(const struct share *s, size_t n); /* has anybody more than it may? */

/* -- The movements: placing_copy.c, placing_lead.c */
void copies_keep(struct placing *p);
void copies_settle(struct placing *p, double slack);
void leads_settle(struct placing *p, double slack);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */

/* What the map should wish next: the slots whose wish changes, as the runs of a MAP_PLACE.
 *
 * A pure function of the map's previous wish, members, weights, zones and settings. Sticky:
 * what need not move stays. Who is DOWN keeps its share (to evict it is a decision of its own:
 * a MAP_LEAVE); who leaves, and who has weight 0, gets none. Without anybody to hold data there
 * is no run. */
#ifndef CORE_RING_PLACEMENT_H
#define CORE_RING_PLACEMENT_H

#include "core/map/map_entry.h"

/* Slots are placed by the four: so a map of slots never has more than 4096 ranges. */
enum { PLACEMENT_UNIT = 4, PLACEMENT_UNITS = SLOTS / PLACEMENT_UNIT };

struct placement {
    VEC(struct map_run) runs; /* rising, none overlapping; empty: the wish stands as it is */
    size_t slots_n;           /* in them */
};

void placement_next(struct placement *p, const struct map *m); /* p: zeroed, or used before */
void placement_free(struct placement *p);

#endif

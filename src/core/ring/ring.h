/* SPDX-License-Identifier: BSD-3-Clause */

/* The ring as people look at it: CLUSTER RING.
 *
 * The circle of slots in a line for each copy, a sign for each 256 slots, first who is to lead;
 * then a line for each node: its sign, address, the slots it serves, those it has a copy of,
 * its share of what is led as a bar, its arcs (stretches of the circle it is to lead: its
 * virtual nodes), what waits to come and to go of them, its state. At most 100 columns where
 * addresses are IPv4. */
#ifndef CORE_RING_RING_H
#define CORE_RING_RING_H

#include "base/chain.h"
#include "core/map/map.h"

void ring_text(struct chain *to, const struct map *m); /* lines, each ended by "\n" */

#endif

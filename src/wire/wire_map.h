/* SPDX-License-Identifier: BSD-3-Clause */

/* An entry of the controller's log, and the whole map, as bytes: for the log's file, for snapshots,
 * and as one field of the messages that carry them.
 *
 * Both are RESP arrays of bulks, their kind first, so that redis-cli and people read them:
 *
 *     JOIN <member>            ELECT <base> <give up> "0-99=3,1 100-199=1"
 *
 * A map is several: MAP, a NODE for each member, a SLOTS for each run of slots that are alike. */
#ifndef WIRE_WIRE_MAP_H
#define WIRE_WIRE_MAP_H

#include "core/map/map_entry.h"
#include "wire/wire.h"

/* Its bytes, in one piece; the caller's: mem_free. */
char *map_entry_flat(const struct map_entry *e, size_t *n);
/* The bytes are exactly one entry. *e is on the heap: map_entry_free. After an error `why` tells
 * it, in WIRE_WHY_BYTES. Whether the entry fits a map is map_apply's to say. */
enum err get_map_entry(struct slice bytes, struct map_entry **e, char *why) MUST_CHECK;

void put_map(struct chain *to, const struct map *m);
/* The map as of entry `index`, which is told beside it. m is initialised; its content is replaced,
 * or after an error untouched. What is accepted is whole (map_wrong). */
enum err get_map(struct slice bytes, uint64_t index, struct map *m, char *why) MUST_CHECK;

#endif

/* SPDX-License-Identifier: BSD-3-Clause */

/* Records applied: at the start from the log, later on a replica from its primary. No client, no
 * condition, no expiry: what a record says is done (replication 8, 25). */
#ifndef NODE_REPLAY_H
#define NODE_REPLAY_H

#include "persist/aof.h"

struct node;

enum { REPLAY_ANY = SLOTS }; /* no slot: what this node's own log says */

/* Applies the batch's commands in their order, hashing and fetching ahead. NULL: all were
 * applied; else why *failed could not be: replay_foreign, if it names what is not of `slot` (3),
 * which is not touched. */
const char *replay_batch(struct node *n, const struct aof_batch *b, unsigned slot,
                         const struct aof_command **failed);
extern const char replay_foreign[];

#endif

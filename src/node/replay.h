/* SPDX-License-Identifier: BSD-3-Clause */

/* Records applied: at the start from the log, later on a replica from its primary. No client, no
 * condition, no expiry: what a record says is done (replication 8, 25). */
#ifndef NODE_REPLAY_H
#define NODE_REPLAY_H

#include "persist/aof.h"

struct node;

/* Applies the batch's commands in their order, hashing and fetching ahead. NULL: all were applied;
 * else why *failed could not be. */
const char *replay_batch(struct node *n, const struct aof_batch *b, const struct aof_command **failed);

#endif

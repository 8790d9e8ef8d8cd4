/* SPDX-License-Identifier: BSD-3-Clause */

/* Which slots this node is primary of, and since which epoch (replication 1, 20).
 *
 * Whoever knows (alone: the node itself; in a cluster: the map) says so here, between commands.
 * Records are made of owned slots only (N8); expiry and eviction touch no others. What a slot's
 * epochs began with goes to the log as marks: docs/internals/aof.md. */
#ifndef NODE_OWN_H
#define NODE_OWN_H

#include "base/bits.h"
#include "core/types.h"

struct node;

/* Primary of the slots from..to, both included, in this epoch, which none of them has seen yet in
 * this cluster. A slot that lacked records stands where they end; one of a former cluster begins
 * anew, with what it holds. */
void own_begin(struct node *n, unsigned from, unsigned to, uint64_t epoch);
void own_end(struct node *n, unsigned slot); /* no longer */

/* Senders of epochs up to this one are refused in these slots. On disk once the log has synced this
 * lsn, which it does at once. */
struct lsn own_fence(struct node *n, unsigned from, unsigned to, uint64_t epoch);

/* This node has no copy of these slots any more: they are deleted, with where it stood
 * in them (26). */
void own_drop(struct node *n, const struct bits *slots);

#endif

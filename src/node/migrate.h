/* SPDX-License-Identifier: BSD-3-Clause */

/* MIGRATE: keys on their way to another server, while everybody else is served. */
#ifndef NODE_MIGRATE_H
#define NODE_MIGRATE_H

#include "node/node.h"

struct session;

/* What the shell tells of a link. One that was hung up already may still be told of. */
void migrate_dialed(struct node *n, uint32_t link, enum node_dialed how, struct node_out *out);
void migrate_took(struct node *n, uint32_t link, size_t left, struct node_out *out);
void migrate_bytes(struct node *n, uint32_t link, struct slice in, struct node_out *out);
void migrate_closed(struct node *n, uint32_t link, struct node_out *out);
void migrate_due(struct node *n, struct session *s, struct node_out *out); /* its time is over */
/* Its connection is gone: what was not acknowledged stays here. */
void migrate_abandon(struct session *s, struct node_out *out);
/* In a cluster its slot or the lease is: nothing more leaves, and of what left nobody knows. */
void migrate_lost(struct node *n, struct session *s, const char *why, struct node_out *out);
unsigned migrate_slot(const struct session *s);
void migrate_forget(struct node *n, struct session *s); /* frees what it holds */
/* The store tells of changes: what is on its way and not acknowledged is not what is here. */
void migrate_touched(struct node *n, unsigned db, struct slice key);
void migrate_touched_all(struct node *n, unsigned db, unsigned replaced_by);
void migrate_touched_slot(struct node *n, unsigned slot);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */

/* Sessions that wait for acknowledgements, for time, or for the end of a pause. */
#ifndef NODE_WAITING_H
#define NODE_WAITING_H

#include <stdbool.h>

struct node;
struct flight;
struct node_out;
struct session;

/* After a disk, here or there, got on: who has what it waits for? */
void waiting_look(struct node *n, struct node_out *out);
void waiting_due(struct node *n, struct node_out *out); /* whose time is over? */
void waiting_forget(struct session *s);                 /* its connection is gone */
/* The lease was. */
void waiting_lost(struct node *n, struct session *s, const char *why, struct node_out *out);
/* This node's part of a WAIT over several: the session does wait, and the flight is
 * to be answered. */
bool waiting_flight(struct session *s, struct flight *f);
/* CLIENT UNBLOCK: false if it does not wait. */
bool waiting_unblock(struct node *n, struct session *s, bool with_error, struct node_out *out);

#endif

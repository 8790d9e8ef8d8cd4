/* SPDX-License-Identifier: BSD-3-Clause */

/* Transactions: queues of commands, and keys that are watched for their sake. */
#ifndef NODE_MULTI_H
#define NODE_MULTI_H

#include <stddef.h>

struct session;
struct watched;

struct watched *watched_new(void);
void watched_free(struct watched *w);        /* no session watches any more */
size_t multi_bytes(const struct session *s); /* memory of its queue */
size_t watched_n(const struct watched *w);   /* keys */

#endif

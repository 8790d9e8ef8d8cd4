/* SPDX-License-Identifier: BSD-3-Clause */

/* What this server says it is, and what a client says it is. */
#ifndef NODE_IDENTITY_H
#define NODE_IDENTITY_H

#include <stdbool.h>

#include "base/slice.h"
#include "node/node.h"

/* Libraries choose their features by this number; vong_version is the server's own. */
#define REDIS_VERSION "7.2.4"

struct call;
struct session;
struct node;

struct session_cost {         /* in bytes */
    struct node_client input; /* what the shell has of it */
    size_t multi;             /* what MULTI queued */
    size_t output;            /* replies that wait: chunks and values only referenced */
    size_t chunks;            /* the chunks alone */
    size_t parts;             /* how many pieces the output is of */
    size_t all;               /* with the shell's part */
};
struct session_cost session_cost(const struct node *n, const struct session *s);
bool session_name_or_reply(struct call *c, struct slice name); /* CLIENT SETNAME, HELLO SETNAME */

#endif

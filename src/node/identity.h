/* SPDX-License-Identifier: BSD-3-Clause */

/* What this server says it is, and what a client says it is. */
#ifndef NODE_IDENTITY_H
#define NODE_IDENTITY_H

#include <stdbool.h>

#include "base/slice.h"

/* Libraries choose their features by this number; vong_version is the server's own. */
#define REDIS_VERSION "7.2.4"

struct call;
struct session;
size_t session_bytes(const struct session *s); /* memory it holds */
bool session_name_or_reply(struct call *c, struct slice name); /* CLIENT SETNAME, HELLO SETNAME */

#endif

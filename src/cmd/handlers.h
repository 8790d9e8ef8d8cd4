/* SPDX-License-Identifier: BSD-3-Clause */

/* The prototypes of all handlers that touch nothing but the keyspace, from their rows:
 * a row without a handler does not link, a handler without a row has no prototype and
 * does not compile. */
#ifndef CMD_HANDLERS_H
#define CMD_HANDLERS_H

#include "cmd/exec.h"

#define CONTAINER
#define NODE(f)
#define DATA(f) void f(struct cmd *c);
#define CMD(id, name, arity, handler, ...) handler
#define SUB(container, id, name, sub, arity, handler, ...) handler
#include "cmd/commands.def"
#undef CONTAINER
#undef NODE
#undef DATA
#undef CMD
#undef SUB

#endif

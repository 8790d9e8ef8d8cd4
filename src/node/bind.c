/* SPDX-License-Identifier: BSD-3-Clause */

/* Rows of commands.def that need the session or the server, bound to their handlers. A row without
 * a handler does not link; a handler without a row is not reached and the compiler says so. */
#include "node/state.h"

node_handler *node_handler_of(const struct spec *spec)
{
#define CONTAINER NULL
#define DATA(f) NULL
#define NODE(f) f
#define CMD(id, name, arity, handler, ...) [SPEC_##id] = handler,
#define SUB(container, id, name, sub, arity, handler, ...) [SPEC_##container##_##id] = handler,
    static node_handler *const handlers[SPEC_N] = {
#include "cmd/commands.def"
    };
    return handlers[spec->id];
}

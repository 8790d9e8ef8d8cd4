/* SPDX-License-Identifier: BSD-3-Clause */

/* What NODE handlers share: answers of one form, secrets, and what is asked of the world. */
#ifndef NODE_CALL_H
#define NODE_CALL_H

#include "base/buf.h"
#include "node/state.h"

/* HELP: the container's name, these lines, and what HELP itself is. */
void call_help(struct call *c, const char *const *lines, size_t n);

/* "unknown subcommand or wrong number of arguments for '<argv[1]>'. Try <COMMAND> HELP." */
void call_usage_error(struct call *c);
void call_syntax_error(struct call *c);
void call_refused(struct call *c,
                  const char *why); /* there is no such thing here; why names what is */

/* Arguments that must show neither in MONITOR nor in the slow log: a bit each, the last bit for all
 * from the 64th on. */
uint64_t call_secrets(const struct slice *argv, uint32_t argc);

static inline bool call_is_secret(uint64_t secrets, uint32_t i)
{
    return (secrets >> (i < 63 ? i : 63) & 1) != 0;
}

/* A count that only the shell has; 0 if it does not tell. */
uint64_t world_count(struct node *n, const char *name);

/* Of a request that was kept; s may be NULL. */
struct call call_kept(struct node *n, struct session *s, const struct kept_request *k,
                      struct reply *r, struct node_out *out);

/* More text; these texts are bounded by what the node itself holds. */
void text_put(struct buf *b, struct slice s);
void text_putf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif

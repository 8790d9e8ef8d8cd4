/* SPDX-License-Identifier: BSD-3-Clause */

/* Messages of the slot protocol. */
#ifndef WIRE_WIRE_REPL_H
#define WIRE_WIRE_REPL_H

#include "base/vec.h"
#include "core/repl/repl_message.h"
#include "wire/wire.h"

/* Whoever says it with more rounds or wheres says it more than once. */
enum { REPL_ITEMS = 1024 };

/* What a message that was read points to; zeroed, kept from one to the next, freed in the end. */
struct repl_read {
    VEC(struct repl_round) rounds;
    VEC(struct repl_where) wheres;
    VEC(struct epoch_start) starts;
};

void put_repl(struct chain *to, const struct repl_message *m);
/* Any message of the slot protocol, or ERR_SYNTAX. Bytes are borrowed as argv is,
 * items of `read`. */
enum err get_repl(struct wire_in *in, struct repl_message *m, struct repl_read *read) MUST_CHECK;
void repl_read_free(struct repl_read *read);

#endif

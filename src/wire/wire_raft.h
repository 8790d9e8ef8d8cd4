/* SPDX-License-Identifier: BSD-3-Clause */

/* Messages of the controllers' consensus. */
#ifndef WIRE_WIRE_RAFT_H
#define WIRE_WIRE_RAFT_H

#include "core/raft/raft.h"
#include "wire/wire.h"

static inline bool wire_is_raft(enum wire_type type)
{
    return type >= WIRE_RAFT_PREVOTE && type <= WIRE_RAFT_TIMEOUT_NOW;
}

void put_raft(struct chain *to, const struct raft_msg *m);
/* in->type: wire_is_raft. Bytes are borrowed as argv is; free_raft in the end, if it was read. */
enum err get_raft(struct wire_in *in, struct raft_msg *m) MUST_CHECK;
void free_raft(struct raft_msg *m);

#endif

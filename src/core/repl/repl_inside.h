/* SPDX-License-Identifier: BSD-3-Clause */

/* What the files of this room share. */
#ifndef CORE_REPL_REPL_INSIDE_H
#define CORE_REPL_REPL_INSIDE_H

#include "core/repl/repl.h"

int64_t repl_timeout_us(const struct repl *r); /* T */
struct repl_peer *peer_at(struct repl *r, uint16_t place);
/* NULL: nothing is known of it. */
const struct repl_peer *peer_known(const struct repl *r, uint16_t place);

static inline int64_t peer_big_us(const struct repl_peer *peer)
{
    return (int64_t)peer->big_mib * REPL_MIB_US;
}

/* ---- repl_primary.c */
struct copy *copy_at(const struct repl *r, unsigned slot, uint16_t place); /* NULL: there is none */
bool copy_holds(const struct repl *r, const struct copy *c, uint64_t lsn);
void copy_turns(struct repl *r, unsigned slot, struct copy *c, enum copy_state state);
void primary_map(struct repl *r, unsigned slot, uint64_t epoch);
void primary_end(struct repl *r, unsigned slot);
void primary_mapped(struct repl *r); /* all slots were told of the map */
struct isr isr_of(const struct map_slot *s);
/* Members that hold it; this node, what it is taken to hold up to `own`. */
unsigned isr_holders(const struct repl *r, unsigned slot, const struct isr *set, uint64_t lsn,
                     uint64_t own);

/* ---- repl_replica.c */
void replica_map(struct repl *r, unsigned slot);
void replica_mapped(struct repl *r, const struct bits *slots); /* these were told of the map */
/* It does, in this round. */
bool replica_follows(const struct repl *r, uint16_t place, const struct repl_round *in);
/* SYNC of the slots that are followed over its link, which is new. */
void replica_ask(struct repl *r, uint16_t place);
void replica_ask_again(struct repl *r); /* those that were not answered */

/* ---- repl_memory.c */
void peer_is_full(struct repl *r, struct repl_peer *peer, bool full);
/* Its held was counted. */
void peer_wants(struct repl *r, struct repl_peer *peer, const struct repl_ack *a);

/* ---- repl_isr.c */
/* Is_new: this node's epoch of it began. */
void settle_map(struct repl *r, unsigned slot, bool is_new);
void isr_map(struct repl *r); /* the fate of what was proposed */
bool isr_is_at_rest(const struct repl *r, unsigned slot);
bool peer_lags(const struct repl *r, const struct repl_peer *peer);

#endif

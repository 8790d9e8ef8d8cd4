/* SPDX-License-Identifier: BSD-3-Clause */

/* The words of the slot protocol, seen by all (docs/internals/replication.md). */
#ifndef CORE_TYPES_H
#define CORE_TYPES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bounds.h"

/* Where a node stands in a slot: the epoch and the sequence number of its last record. */
struct position {
    uint64_t epoch;
    uint64_t seq; /* dense within the slot, goes on across epochs */
};

/* Alone, everything is one slot in its first epoch. */
enum { SLOT_ALONE = 0, EPOCH_ALONE = 1 };

/* A count, in this incarnation, of the records this node has appended over all its slots. */
struct lsn {
    uint64_t n;
};

static inline bool lsn_reached(struct lsn have, struct lsn want)
{
    return have.n >= want.n;
}

#endif

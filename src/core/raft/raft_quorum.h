/* SPDX-License-Identifier: BSD-3-Clause */

/* What a majority of n voters says: mathematics over plain arrays, n <= RAFT_VOTERS_MAX. */
#ifndef CORE_RAFT_RAFT_QUORUM_H
#define CORE_RAFT_RAFT_QUORUM_H

#include <stddef.h>
#include <stdint.h>

#include "base/bounds.h"

static inline size_t raft_majority(size_t n)
{
    return n / 2 + 1;
}

/* The greatest value that a majority has reached; n > 0. For indexes: what is on a majority of
 * disks. For times: since when a majority has been heard. */
int64_t raft_quorum_reached(const int64_t *values, size_t n);

enum raft_poll { RAFT_POLL_OPEN, RAFT_POLL_WON, RAFT_POLL_LOST };

/* n > 0 voters, of whom yes + no have answered. */
enum raft_poll raft_quorum_poll(size_t n, size_t yes, size_t no);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */

/* What a leader knows of one follower, and what it may send it next.
 *
 *     REPLICATE   entries, pipelined: next runs ahead of match, within bounds. So it begins.
 *     PROBE       after a refusal: messages without entries, one at a time, until the place is
 *                 found where the logs agree; then REPLICATE
 *     SNAPSHOT    next is in the log no more: chunks, one at a time, until it is installed; then
 *                 REPLICATE
 *
 * 0 <= match < next. match: known to be on the follower's disk and equal to ours. */
#ifndef CORE_RAFT_RAFT_PROGRESS_H
#define CORE_RAFT_RAFT_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bounds.h"
#include "base/moment.h"

enum raft_progress_state { RAFT_PROGRESS_PROBE, RAFT_PROGRESS_REPLICATE, RAFT_PROGRESS_SNAPSHOT };

struct raft_flight { /* one message with entries, not yet answered */
    uint64_t last;
    size_t bytes;
};

struct raft_progress {
    enum raft_progress_state state;
    uint64_t match, next;
    struct mono heard;        /* when it last answered in this term */
    bool waiting;             /* PROBE, SNAPSHOT: one was sent and is not answered */
    uint64_t snapshot_index;  /* SNAPSHOT: which one ... */
    uint64_t snapshot_offset; /* ... and where the chunk under way begins */
    struct mono chunk_sent;
    struct raft_flight flights[RAFT_FLIGHTS]; /* REPLICATE: a ring, oldest at `flight` */
    unsigned flight, flights_n;
    size_t flight_bytes;
};

void raft_progress_init(struct raft_progress *p, uint64_t next, struct mono heard); /* next > 0 */

/* May entries (REPLICATE), a probe (PROBE) or a chunk (SNAPSHOT) be sent now? */
bool raft_progress_may_send(const struct raft_progress *p);
/* n > 0 entries from next on, of so many bytes together, are sent; REPLICATE. */
void raft_progress_sent(struct raft_progress *p, size_t n, size_t bytes);
/* It has everything up to match on its disk. True: more than we knew. */
bool raft_progress_accepted(struct raft_progress *p, uint64_t match);
/* It refused what stood behind `prev`; the logs can agree at `hint` at the latest. False: an old
 * answer, nothing changed. */
bool raft_progress_refused(struct raft_progress *p, uint64_t prev, uint64_t hint);
void raft_progress_snapshot(struct raft_progress *p,
                            uint64_t index); /* from here on chunks, from offset 0 */
/* It wants the snapshot from this offset on. The chunk under way counts as lost after
 * patience_us. */
void raft_progress_wants(struct raft_progress *p, uint64_t offset, struct mono now,
                         int64_t patience_us);
void raft_progress_check(const struct raft_progress *p);

#endif

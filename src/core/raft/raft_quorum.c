/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/raft/raft_quorum.h"

#include "base/check.h"

int64_t raft_quorum_reached(const int64_t *values, size_t n)
{
    check(n > 0 && n <= RAFT_VOTERS_MAX);
    int64_t sorted[RAFT_VOTERS_MAX];
    for (size_t i = 0; i < n; i++) { /* insertion, the greatest first: n is tiny */
        size_t at = i;
        for (; at > 0 && sorted[at - 1] < values[i]; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = values[i];
    }
    return sorted[raft_majority(n) - 1];
}

enum raft_poll raft_quorum_poll(size_t n, size_t yes, size_t no)
{
    check(n > 0 && yes + no <= n);
    if (yes >= raft_majority(n))
        return RAFT_POLL_WON;
    return n - no < raft_majority(n) ? RAFT_POLL_LOST : RAFT_POLL_OPEN;
}

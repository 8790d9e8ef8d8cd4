/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/raft/raft_progress.h"

#include "base/check.h"

static void become(struct raft_progress *p, enum raft_progress_state state)
{
    p->state = state;
    p->waiting = false;
    p->flights_n = 0;
    p->flight_bytes = 0;
    p->snapshot_index = p->snapshot_offset = 0;
}

void raft_progress_init(struct raft_progress *p, uint64_t next, struct mono heard)
{
    *p = (struct raft_progress){.state = RAFT_PROGRESS_REPLICATE, .next = next, .heard = heard};
}

bool raft_progress_may_send(const struct raft_progress *p)
{
    if (p->state == RAFT_PROGRESS_REPLICATE)
        return p->flights_n < RAFT_FLIGHTS && p->flight_bytes < RAFT_FLIGHT_BYTES;
    return !p->waiting;
}

void raft_progress_sent(struct raft_progress *p, size_t n, size_t bytes)
{
    check(p->state == RAFT_PROGRESS_REPLICATE && raft_progress_may_send(p) && n > 0);
    p->next += n;
    p->flights[(p->flight + p->flights_n++) % RAFT_FLIGHTS] =
        (struct raft_flight){p->next - 1, bytes};
    p->flight_bytes += bytes;
}

bool raft_progress_accepted(struct raft_progress *p, uint64_t match)
{
    while (p->flights_n > 0 && p->flights[p->flight].last <= match) {
        p->flight_bytes -= p->flights[p->flight].bytes;
        p->flight = (p->flight + 1) % RAFT_FLIGHTS;
        p->flights_n--;
    }
    bool more = match > p->match;
    if (more)
        p->match = match;
    if (p->next <= p->match)
        p->next = p->match + 1;
    /* Who was in need of a snapshot and has it, or never needed it, is one like others. */
    if (p->state == RAFT_PROGRESS_SNAPSHOT && p->match >= p->snapshot_index)
        become(p, RAFT_PROGRESS_REPLICATE);
    else if (p->state == RAFT_PROGRESS_PROBE)
        become(p, RAFT_PROGRESS_REPLICATE);
    return more;
}

bool raft_progress_refused(struct raft_progress *p, uint64_t prev, uint64_t hint)
{
    /* What it has on its disk it cannot have refused: the answer is older than that. A probe is
     * refused where it stands, or not at all. */
    if (p->state == RAFT_PROGRESS_SNAPSHOT || prev <= p->match || prev >= p->next)
        return false;
    if (p->state == RAFT_PROGRESS_PROBE && prev != p->next - 1)
        return false;
    become(p, RAFT_PROGRESS_PROBE);
    p->next = (hint < prev ? hint : prev - 1) + 1;
    if (p->next <= p->match)
        p->next = p->match + 1;
    return true;
}

void raft_progress_snapshot(struct raft_progress *p, uint64_t index)
{
    become(p, RAFT_PROGRESS_SNAPSHOT);
    p->snapshot_index = index;
}

void raft_progress_wants(struct raft_progress *p, uint64_t offset, struct mono now,
                         int64_t patience_us)
{
    if (offset <= p->snapshot_offset && !mono_reached(now, mono_after(p->chunk_sent, patience_us)))
        return; /* said before the chunk under way came */
    p->snapshot_offset = offset;
    p->waiting = false;
}

void raft_progress_check(const struct raft_progress *p)
{
    check(p->match < p->next);
    check(p->flights_n <= RAFT_FLIGHTS);
    check(p->state == RAFT_PROGRESS_REPLICATE || p->flights_n == 0);
    uint64_t last = p->match;
    size_t bytes = 0;
    for (unsigned i = 0; i < p->flights_n; i++) {
        const struct raft_flight *f = &p->flights[(p->flight + i) % RAFT_FLIGHTS];
        check(f->last > last); /* all of them behind match, in order */
        last = f->last;
        bytes += f->bytes;
    }
    check(bytes == p->flight_bytes);
    check(p->flights_n == 0 || last < p->next);
}

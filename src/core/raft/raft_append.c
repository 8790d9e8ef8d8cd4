/* SPDX-License-Identifier: BSD-3-Clause */

/* The log on its way: the leader sends, a follower appends and answers, the leader counts. */
#include "base/check.h"
#include "core/raft/raft_parts.h"

/* ------------------------------------------------------------------------- a follower */

/* Is it what a leader could have sent? Terms never fall, and voters are voters. */
static bool is_sound(const struct raft_msg *m)
{
    uint64_t term = m->append.prev_term;
    if (m->append.prev_index > UINT64_MAX - m->append.n)
        return false;
    for (size_t i = 0; i < m->append.n; i++) {
        const struct raft_entry *e = &m->append.entries[i];
        struct raft_voters v;
        if (e->term < term || e->type == 0 || e->type >= RAFT_ENTRY_TYPES ||
            e->bytes.n > RAFT_ENTRY_BYTES)
            return false;
        if (e->type == RAFT_ENTRY_VOTERS && raft_voters_get(&v, e->bytes) != ERR_OK)
            return false;
        term = e->term;
    }
    return term <= m->term;
}

/* What is committed here can be no different there. Index 0 and what is dropped is not compared. */
static bool contradicts_committed(const struct raft *r, const struct raft_msg *m)
{
    for (size_t i = 0; i <= m->append.n; i++) {
        uint64_t index = m->append.prev_index + i, ours;
        uint64_t theirs = i == 0 ? m->append.prev_term : m->append.entries[i - 1].term;
        if (index > r->commit)
            return false;
        if (raft_log_term(&r->log, index, &ours) && ours != theirs)
            return true;
    }
    return false;
}

static void refuse(struct raft *r, const struct raft_msg *m)
{
    uint64_t term;
    uint64_t hint = raft_log_hint(&r->log, m->append.prev_index, m->append.prev_term, &term);
    if (hint < r->commit) { /* there they agree */
        hint = r->commit;
        check(raft_log_term(&r->log, hint, &term));
    }
    struct raft_msg *a = raft_say(r, RAFT_MSG_APPEND_ANSWER, &m->from);
    a->append_answer.refused = true;
    a->append_answer.prev_index = m->append.prev_index;
    a->append_answer.hint_index = hint;
    a->append_answer.hint_term = term;
}

/* Entries that are there already stay: a late, shorter message takes nothing back. */
static void take_entries(struct raft *r, const struct raft_msg *m)
{
    for (size_t i = 0; i < m->append.n; i++) {
        const struct raft_entry *e = &m->append.entries[i];
        uint64_t index = m->append.prev_index + 1 + i;
        if (index < r->log.first || raft_log_has(&r->log, index, e->term))
            continue;
        if (index <= raft_log_last(&r->log))
            raft_entries_cut(r, index);
        raft_entry_add(r, e->term, e->type, e->bytes);
    }
}

enum err raft_append_recv(struct raft *r, const struct raft_msg *m)
{
    if (!is_sound(m) || contradicts_committed(r, m))
        return ERR_CORRUPT;
    if (m->append.prev_index > r->commit &&
        !raft_log_has(&r->log, m->append.prev_index, m->append.prev_term)) {
        refuse(r, m);
        return ERR_OK;
    }
    take_entries(r, m);
    uint64_t upto = m->append.prev_index + m->append.n;
    if (upto > r->verified)
        r->verified = upto;
    raft_commit_to(r, m->append.commit < r->verified ? m->append.commit : r->verified);
    r->answer_due = true;
    return ERR_OK;
}

void raft_append_say_answer(struct raft *r)
{
    r->answer_due = false;
    r->answered = r->verified < r->stored ? r->verified : r->stored; /* F3 */
    raft_say(r, RAFT_MSG_APPEND_ANSWER, &r->leader)->append_answer.match = r->answered;
}

/* ------------------------------------------------------------------------- the leader */

/* An entry of an older term on a majority's disks may still be cut (figure 8): what is counted is
 * an entry of this term, and it takes with it what lies before. */
void raft_append_count(struct raft *r)
{
    int64_t match[RAFT_VOTERS_MAX];
    size_t n = 0;
    if (raft_is_voter(r))
        match[n++] = (int64_t)r->stored;
    for (size_t i = 0; i < r->members.n; i++)
        if (r->members.at[i].is_voter)
            match[n++] = (int64_t)r->members.at[i].progress.match;
    uint64_t index = (uint64_t)raft_quorum_reached(match, n);
    if (index <= r->commit || !raft_log_has(&r->log, index, r->term)) /* F4 */
        return;
    raft_commit_to(r, index);
    r->beat_due = (struct mono){INT64_MIN}; /* followers wait for it */
}

enum err raft_append_answered(struct raft *r, const struct raft_msg *m, struct mono now)
{
    struct raft_member *member = r->role == RAFT_LEADER ? raft_member_of(r, &m->from) : NULL;
    if (member == NULL)
        return ERR_OK;
    member->progress.heard = now;
    if (m->append_answer.refused) {
        uint64_t term, theirs = m->append_answer.hint_index;
        uint64_t hint = raft_log_hint(&r->log, theirs, m->append_answer.hint_term, &term);
        if (hint > theirs)
            hint = theirs; /* before what we hold: it needs the snapshot */
        (void)raft_progress_refused(&member->progress, m->append_answer.prev_index,
                                    hint); /* false: an old one */
        return ERR_OK;
    }
    if (m->append_answer.match > raft_log_last(&r->log))
        return ERR_CORRUPT;
    if (raft_progress_accepted(&member->progress, m->append_answer.match))
        raft_append_count(r);
    return ERR_OK;
}

static void say_append(struct raft *r, struct raft_member *m, size_t n)
{
    uint64_t prev = m->progress.next - 1, term;
    check(raft_log_term(&r->log, prev, &term));
    struct raft_msg *a = raft_say(r, RAFT_MSG_APPEND, &m->peer);
    a->append.prev_index = prev;
    a->append.prev_term = term;
    a->append.commit = r->commit;
    a->append.entries = n > 0 ? raft_log_at(&r->log, prev + 1) : NULL;
    a->append.n = n;
}

static void send_entries(struct raft *r, struct raft_member *m)
{
    struct raft_progress *p = &m->progress;
    while (p->next <= raft_log_last(&r->log) && raft_progress_may_send(p)) {
        size_t n = raft_log_run(&r->log, p->next, RAFT_APPEND_BYTES), bytes = 0;
        for (size_t i = 0; i < n; i++)
            bytes += raft_log_at(&r->log, p->next + i)->bytes.n + RAFT_ENTRY_COST;
        say_append(r, m, n);
        raft_progress_sent(p, n, bytes);
    }
}

static void send_to(struct raft *r, struct raft_member *m, bool beat, struct mono now)
{
    struct raft_progress *p = &m->progress;
    size_t before = r->box.n;
    if (p->state != RAFT_PROGRESS_SNAPSHOT && p->next < r->log.first)
        raft_progress_snapshot(p, r->snapshot.is.index);
    switch (p->state) {
    case RAFT_PROGRESS_SNAPSHOT:
        if (beat || raft_progress_may_send(p))
            raft_snapshot_say(r, m, now);
        return;
    case RAFT_PROGRESS_PROBE:
        beat = beat || raft_progress_may_send(p);
        p->waiting = true;
        break;
    case RAFT_PROGRESS_REPLICATE: send_entries(r, m); break;
    }
    if (beat && r->box.n == before)
        say_append(r, m, 0);
}

/* The successor is told to campaign when it has everything, and again with each heartbeat. */
static void send_transfer(struct raft *r, bool beat)
{
    struct raft_member *m = raft_member_of(r, &r->successor);
    if (m == NULL || !m->is_voter)
        r->successor = (struct raft_peer){0}; /* it was removed meanwhile */
    else if (m->progress.match == raft_log_last(&r->log) && (beat || !r->is_transfer_said)) {
        raft_say(r, RAFT_MSG_TIMEOUT_NOW, &m->peer);
        r->is_transfer_said = true;
    }
}

void raft_append_send(struct raft *r, struct mono now)
{
    bool beat = mono_reached(now, r->beat_due);
    if (beat)
        r->beat_due = mono_after(now, raft_beat_us(r));
    for (size_t i = 0; i < r->members.n; i++)
        send_to(r, &r->members.at[i], beat, now);
    if (!raft_peer_is_nobody(&r->successor))
        send_transfer(r, beat);
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* Who leads: campaigns, votes, and the end of a leadership. The only writer of `role`. */
#include "base/check.h"
#include "core/raft/raft_parts.h"

static const struct raft_peer nobody;

static struct mono drawn(struct raft *r, struct mono now, int64_t least, int64_t spread)
{
    return mono_after(now,
                      r->patience_us + least + (int64_t)rng_below(&r->rng, (uint64_t)spread + 1));
}

/* Drawn from [T/2, 0.6 T]: followers seldom campaign at once, and a failover fits into T. */
void raft_election_reset(struct raft *r, struct mono now)
{
    r->election_from = now;
    r->election_due = drawn(r, now, r->timeout_us / 2, r->timeout_us / 10);
}

/* A campaign that nobody won is tried again sooner: its voters are awake, and no leader is there to
 * be disturbed. */
static void retry_reset(struct raft *r, struct mono now)
{
    r->election_due = drawn(r, now, r->timeout_us / 8, r->timeout_us / 8);
}

static void votes_reset(struct raft *r)
{
    for (size_t i = 0; i < RAFT_VOTERS_MAX; i++)
        r->votes[i] = RAFT_VOTE_OPEN;
}

/* ------------------------------------------------------------------------- roles */

void raft_become_follower(struct raft *r, uint64_t term, const struct raft_peer *leader,
                          struct mono now)
{
    if (term > r->term || r->role == RAFT_LEADER || !raft_peer_equal(leader, &r->leader)) {
        r->verified = r->commit; /* what is committed is equal everywhere; the rest is to be seen */
        r->answered = 0;
        r->answer_due = false;
    }
    if (term > r->term)
        raft_state_set(r, term, &nobody);
    r->role = RAFT_FOLLOWER;
    r->leader = *leader;
    r->successor = nobody;
    vec_clear(&r->members);
    raft_election_reset(r, now);
}

static void become_precandidate(struct raft *r, struct mono now)
{
    check(r->role != RAFT_LEADER);
    r->role = RAFT_PRECANDIDATE;
    r->leader = nobody;
    r->verified = r->commit;
    r->answer_due = false;
    votes_reset(r);
    retry_reset(r, now);
}

static void become_candidate(struct raft *r, struct mono now, bool transfer)
{
    check(r->role == RAFT_PRECANDIDATE || (r->role == RAFT_FOLLOWER && transfer));
    raft_state_set(r, r->term + 1, &r->self);
    r->role = RAFT_CANDIDATE;
    r->leader = nobody;
    r->verified = r->commit;
    r->answer_due = false;
    r->transfer_wish = transfer;
    votes_reset(r);
    raft_election_reset(r, now);
}

static void become_leader(struct raft *r, struct mono now)
{
    check(r->role == RAFT_CANDIDATE && raft_state_is_stored(r));
    r->role = RAFT_LEADER;
    r->leader = r->self;
    r->patience_us = 0;
    r->successor = nobody;
    r->uncommitted_bytes = 0;
    for (uint64_t i = r->commit + 1; i <= raft_log_last(&r->log); i++)
        r->uncommitted_bytes += raft_log_at(&r->log, i)->bytes.n + RAFT_ENTRY_COST;
    vec_clear(&r->members);
    raft_members_update(r, now);
    r->noop = raft_log_last(&r->log) + 1;
    raft_entry_add(r, r->term, RAFT_ENTRY_NOOP, (struct slice){0});
    r->beat_due = now; /* it is known at once */
}

/* ------------------------------------------------------------------------- campaigns */

static void ask_votes(struct raft *r, enum raft_msg_type type, uint64_t campaign)
{
    for (size_t i = 0; i < r->voters.n; i++) {
        if (raft_is_self(r, &r->voters.at[i]))
            continue;
        struct raft_msg *m = raft_say(r, type, &r->voters.at[i]);
        m->vote.campaign = campaign;
        m->vote.last_index = raft_log_last(&r->log);
        m->vote.last_term = raft_log_last_term(&r->log);
        m->vote.transfer = type == RAFT_MSG_VOTE && r->transfer_wish;
    }
}

static void note_vote(struct raft *r, const struct raft_peer *from, bool granted)
{
    for (size_t i = 0; i < r->voters.n; i++)
        if (raft_peer_equal(&r->voters.at[i], from))
            r->votes[i] = granted ? RAFT_VOTE_YES : RAFT_VOTE_NO;
}

static void count_votes(struct raft *r, struct mono now)
{
    size_t yes = 0, no = 0;
    for (size_t i = 0; i < r->voters.n; i++) {
        yes += r->votes[i] == RAFT_VOTE_YES;
        no += r->votes[i] == RAFT_VOTE_NO;
    }
    switch (raft_quorum_poll(r->voters.n, yes, no)) {
    case RAFT_POLL_OPEN: return;
    case RAFT_POLL_LOST: raft_become_follower(r, r->term, &nobody, now); return;
    case RAFT_POLL_WON: break;
    }
    if (r->role == RAFT_PRECANDIDATE)
        become_candidate(r, now, false);
    else
        become_leader(r, now);
}

void raft_campaign(struct raft *r, struct mono now, bool transfer)
{
    if (transfer) {
        become_candidate(r, now, true);
        return;
    }
    become_precandidate(r, now);
    ask_votes(r, RAFT_MSG_PREVOTE, r->term + 1);
    note_vote(r, &r->self, true);
    count_votes(r, now);
}

static void cast_own_vote(struct raft *r, struct mono now)
{
    check(raft_state_is_stored(r)); /* F3 */
    ask_votes(r, RAFT_MSG_VOTE, r->term);
    retry_reset(r, now);
    note_vote(r, &r->self, true); /* nothing, where it is no voter any more (F6) */
    count_votes(r, now);
}

/* F11: whom nobody refused may still be voted for, by slow disks or over a bad link. A new term
 * would only be one more thing to store. */
bool raft_vote_asked_again(struct raft *r, struct mono now)
{
    if (r->role != RAFT_CANDIDATE)
        return false;
    for (size_t i = 0; i < r->voters.n; i++)
        if (r->votes[i] == RAFT_VOTE_NO)
            return false;
    ask_votes(r, RAFT_MSG_VOTE, r->term);
    retry_reset(r, now);
    return true;
}

/* F11: the disks of others may be as slow. Whom it votes for hears of it only now. Who stood still
 * for long meanwhile may be the one that all wait for. */
void raft_vote_stored(struct raft *r, struct mono now)
{
    int64_t took = now.us - r->state_asked.us, most = 4 * r->timeout_us;
    r->patience_us = took < most ? took : most;
    if (r->role == RAFT_CANDIDATE)
        cast_own_vote(r, now);
    else
        raft_election_reset(r, now);
}

/* ------------------------------------------------------------------------- votes */

bool raft_vote_is_sticky(const struct raft *r, const struct raft_msg *m, struct mono now)
{
    if (m->vote.transfer)
        return false;
    if (r->role == RAFT_LEADER)
        return true; /* it hears a majority, or it would not be one (F8) */
    return !raft_peer_is_nobody(&r->leader) &&
           !mono_reached(now, mono_after(r->heard, r->timeout_us / 2));
}

static bool may_vote(const struct raft *r, const struct raft_msg *m, struct mono now)
{
    if (raft_vote_is_sticky(r, m, now)) /* F7 */
        return false;
    if (!raft_log_is_upto_date(&r->log, m->vote.last_index, m->vote.last_term))
        return false;
    if (m->type == RAFT_MSG_PREVOTE)
        return m->vote.campaign > r->term;
    return m->vote.campaign == r->term && m->term == r->term &&
           (raft_peer_is_nobody(&r->vote) || raft_peer_equal(&r->vote, &m->from));
}

void raft_vote_recv(struct raft *r, const struct raft_msg *m, struct mono now)
{
    bool granted = may_vote(r, m, now);
    bool is_vote = m->type == RAFT_MSG_VOTE;
    if (granted && is_vote) {
        if (r->role == RAFT_PRECANDIDATE) /* F11: its own campaign would undo this */
            raft_become_follower(r, r->term, &nobody, now);
        if (raft_peer_is_nobody(&r->vote))
            raft_state_set(r, r->term, &m->from);
        raft_election_reset(r, now);
    }
    struct raft_msg *a =
        raft_say(r, is_vote ? RAFT_MSG_VOTE_ANSWER : RAFT_MSG_PREVOTE_ANSWER, &m->from);
    a->vote_answer.campaign = m->vote.campaign;
    a->vote_answer.granted = granted; /* it leaves once the vote is on disk (F3) */
}

void raft_vote_answer(struct raft *r, const struct raft_msg *m, struct mono now)
{
    bool is_vote = m->type == RAFT_MSG_VOTE_ANSWER;
    if (r->role != (is_vote ? RAFT_CANDIDATE : RAFT_PRECANDIDATE) ||
        m->vote_answer.campaign != r->term + (is_vote ? 0 : 1))
        return; /* of an earlier campaign */
    note_vote(r, &m->from, m->vote_answer.granted);
    count_votes(r, now);
}

/* ------------------------------------------------------------------------- check-quorum */

struct mono raft_vote_quorum_until(const struct raft *r, struct mono now)
{
    int64_t heard[RAFT_VOTERS_MAX];
    size_t n = 0;
    if (raft_is_voter(r))
        heard[n++] = now.us;
    for (size_t i = 0; i < r->members.n; i++)
        if (r->members.at[i].is_voter)
            heard[n++] = r->members.at[i].progress.heard.us;
    return mono_after((struct mono){raft_quorum_reached(heard, n)}, r->timeout_us / 2);
}

bool raft_vote_quorum_is_lost(const struct raft *r, struct mono now)
{
    return mono_reached(now, raft_vote_quorum_until(r, now));
}

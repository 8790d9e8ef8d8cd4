/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/raft/raft.h"

#include "base/check.h"
#include "core/raft/raft_parts.h"

static const struct raft_peer nobody;

/* ------------------------------------------------------------------------- peers and voters */

bool raft_peer_is_nobody(const struct raft_peer *p)
{
    return node_id_equal(&p->node, &nobody.node);
}

bool raft_voters_has(const struct raft_voters *v, const struct raft_peer *p)
{
    for (size_t i = 0; i < v->n; i++)
        if (raft_peer_equal(&v->at[i], p))
            return true;
    return false;
}

size_t raft_voters_put(char to[RAFT_VOTERS_BYTES], const struct raft_voters *v)
{
    char *p = to;
    for (size_t i = 0; i < v->n; i++) {
        memcpy(p, v->at[i].node.b, sizeof(v->at[i].node.b));
        p += sizeof(v->at[i].node.b);
        memcpy(p, v->at[i].data.b, sizeof(v->at[i].data.b));
        p += sizeof(v->at[i].data.b);
    }
    return (size_t)(p - to);
}

enum err raft_voters_get(struct raft_voters *v, struct slice bytes)
{
    *v = (struct raft_voters){0};
    if (bytes.n == 0 || bytes.n % RAFT_VOTER_BYTES != 0 || bytes.n > RAFT_VOTERS_BYTES)
        return ERR_SYNTAX;
    for (const char *p = bytes.p; p < bytes.p + bytes.n; p += RAFT_VOTER_BYTES) {
        struct raft_peer one;
        memcpy(one.node.b, p, sizeof(one.node.b));
        memcpy(one.data.b, p + sizeof(one.node.b), sizeof(one.data.b));
        if (raft_peer_is_nobody(&one) || raft_voters_has(v, &one))
            return ERR_SYNTAX;
        v->at[v->n++] = one;
    }
    return ERR_OK;
}

/* The newest voter set at or before index: in the log, else the snapshot's (F6). */
void raft_voters_as_of(const struct raft *r, uint64_t index, struct raft_voters *v, uint64_t *at)
{
    for (uint64_t i = index; i > r->snapshot.is.index; i--) {
        const struct raft_entry *e = raft_log_at(&r->log, i);
        if (e->type != RAFT_ENTRY_VOTERS)
            continue;
        check(raft_voters_get(v, e->bytes) == ERR_OK); /* looked at before it was appended */
        *at = i;
        return;
    }
    *v = r->snapshot.is.voters;
    *at = r->snapshot.is.index;
}

void raft_voters_refresh(struct raft *r)
{
    raft_voters_as_of(r, raft_log_last(&r->log), &r->voters, &r->voters_index);
    r->out.voters_changed = true;
}

const char *raft_refusal_text(enum raft_refusal why)
{
    switch (why) {
    case RAFT_ACCEPTED: return "accepted";
    case RAFT_NOT_LEADER: return "this node does not lead the controllers";
    case RAFT_LEAVING: return "the leader is handing over";
    case RAFT_TOO_BIG: return "the entry is too big";
    case RAFT_BEHIND: return "a majority of the voters does not follow";
    case RAFT_TOO_SOON:
        return "an earlier change, or the leader's first entry, is not committed yet";
    case RAFT_NOT_ONE: return "voters change by one at a time, and one remains";
    case RAFT_NO_SUCH_VOTER: return "no other voter could lead";
    }
    return "";
}

/* ----------------------------------------------- the log and what is asked of the disk */

struct raft_msg *raft_say(struct raft *r, enum raft_msg_type type, const struct raft_peer *to)
{
    struct raft_msg *m = vec_add(&r->box);
    *m = (struct raft_msg){.type = type, .from = r->self, .to = *to, .term = r->term};
    return m;
}

void raft_state_set(struct raft *r, uint64_t term, const struct raft_peer *vote)
{
    check(term >= r->term);
    if (term > r->term)
        r->box.n = 0; /* what waited to be said was of another term */
    r->term = term;
    r->vote = *vote;
    r->state_changed = true;
}

bool raft_state_is_stored(const struct raft *r)
{
    return !r->state_changed && r->state_token <= r->stored_token;
}

void raft_entry_add(struct raft *r, uint64_t term, enum raft_entry_type type, struct slice bytes)
{
    raft_log_append(&r->log, term, type, bytes);
    r->uncommitted_bytes += bytes.n + RAFT_ENTRY_COST;
    if (type == RAFT_ENTRY_VOTERS)
        raft_voters_refresh(r);
}

void raft_entries_cut(struct raft *r, uint64_t from)
{
    check(from > r->commit); /* F5 */
    raft_log_cut(&r->log, from);
    uint64_t last = from - 1;
    for (size_t i = 0; i < r->asked.n; i++)
        if (r->asked.at[i].last > last)
            r->asked.at[i].last = last;
    r->asked_last = r->asked_last < last ? r->asked_last : last;
    r->stored = r->stored < last ? r->stored : last;
    r->verified = r->verified < last ? r->verified : last;
    if (r->voters_index > last)
        raft_voters_refresh(r);
}

void raft_commit_to(struct raft *r, uint64_t index)
{
    check(index <= raft_log_last(&r->log)); /* F5 */
    for (; r->commit < index; r->commit++) {
        size_t n = raft_log_at(&r->log, r->commit + 1)->bytes.n + RAFT_ENTRY_COST;
        r->uncommitted_bytes -= r->uncommitted_bytes < n ? r->uncommitted_bytes : n;
    }
}

static void stored(struct raft *r, uint64_t token, struct mono now)
{
    check(token <= r->tokens);
    if (token <= r->stored_token)
        return;
    bool state_waits = !raft_state_is_stored(r);
    r->stored_token = token;
    size_t n = 0;
    for (; n < r->asked.n && r->asked.at[n].token <= token; n++)
        r->stored = r->asked.at[n].last;
    r->asked.n -= n;
    memmove(r->asked.at, r->asked.at + n, r->asked.n * sizeof(*r->asked.at));
    if (r->taken_token != 0 && r->taken_token <= token)
        raft_snapshot_stored(r);
    if (state_waits && raft_state_is_stored(r))
        raft_vote_stored(r, now);
    if (r->role == RAFT_LEADER)
        raft_append_count(r);
    else if (!raft_peer_is_nobody(&r->leader) && r->answered < r->verified &&
             r->answered < r->stored)
        r->answer_due = true;
}

/* ------------------------------------------------------------------------- members */

struct raft_member *raft_member_of(struct raft *r, const struct raft_peer *p)
{
    for (size_t i = 0; i < r->members.n; i++)
        if (raft_peer_equal(&r->members.at[i].peer, p))
            return &r->members.at[i];
    return NULL;
}

static bool is_wanted(const struct raft *r, const struct raft_peer *p)
{
    if (raft_voters_has(&r->voters, p))
        return true;
    for (size_t i = 0; i < r->learners.n; i++)
        if (raft_peer_equal(&r->learners.at[i], p))
            return true;
    return false;
}

static void member_want(struct raft *r, const struct raft_peer *p, struct mono now)
{
    if (raft_is_self(r, p))
        return;
    struct raft_member *m = raft_member_of(r, p);
    if (m == NULL) {
        m = vec_add(&r->members);
        m->peer = *p;
        raft_progress_init(&m->progress, raft_log_last(&r->log) + 1, now);
        r->beat_due = (struct mono){INT64_MIN}; /* where it stands is asked at once */
    }
    m->is_voter = raft_voters_has(&r->voters, p);
}

void raft_members_update(struct raft *r, struct mono now)
{
    if (r->role != RAFT_LEADER)
        return;
    size_t kept = 0;
    for (size_t i = 0; i < r->members.n; i++)
        if (is_wanted(r, &r->members.at[i].peer))
            r->members.at[kept++] = r->members.at[i];
    r->members.n = kept;
    for (size_t i = 0; i < r->voters.n; i++)
        member_want(r, &r->voters.at[i], now);
    for (size_t i = 0; i < r->learners.n; i++)
        member_want(r, &r->learners.at[i], now);
}

static void learners_set(struct raft *r, const struct raft_peer *at, size_t n, struct mono now)
{
    vec_clear(&r->learners);
    for (size_t i = 0; i < n; i++)
        *vec_add(&r->learners) = at[i];
    raft_members_update(r, now);
}

bool raft_contact(const struct raft *r, const struct raft_peer *p, struct mono *heard,
                  uint64_t *match)
{
    for (size_t i = 0; r->role == RAFT_LEADER && i < r->members.n; i++) {
        const struct raft_member *m = &r->members.at[i];
        if (!raft_peer_equal(&m->peer, p))
            continue;
        *heard = m->progress.heard;
        if (match != NULL)
            *match = m->progress.match;
        return true;
    }
    if (r->role == RAFT_LEADER || raft_peer_is_nobody(p) || !raft_peer_equal(&r->leader, p))
        return false;
    *heard = r->heard;
    if (match != NULL)
        *match = r->verified;
    return true;
}

/* ------------------------------------------------------------------------- proposals */

static enum raft_refusal propose(struct raft *r, enum raft_entry_type type, struct slice bytes)
{
    if (r->role != RAFT_LEADER)
        return RAFT_NOT_LEADER;
    if (!raft_peer_is_nobody(&r->successor))
        return RAFT_LEAVING;
    if (bytes.n > RAFT_ENTRY_BYTES)
        return RAFT_TOO_BIG;
    if (r->uncommitted_bytes >= RAFT_UNCOMMITTED_BYTES)
        return RAFT_BEHIND;
    raft_entry_add(r, r->term, type, bytes);
    r->out.proposed = raft_log_last(&r->log);
    return RAFT_ACCEPTED;
}

/* One more, or one less, and nobody twice (F6). */
static bool differ_by_one(const struct raft_voters *a, const struct raft_voters *b)
{
    const struct raft_voters *more = a->n > b->n ? a : b, *less = a->n > b->n ? b : a;
    if (more->n != less->n + 1)
        return false;
    for (size_t i = 0; i < less->n; i++)
        if (!raft_voters_has(more, &less->at[i]))
            return false;
    return true;
}

static enum raft_refusal propose_voters(struct raft *r, const struct raft_voters *v,
                                        struct mono now)
{
    char bytes[RAFT_VOTERS_BYTES];
    struct raft_voters again;
    if (r->role != RAFT_LEADER)
        return RAFT_NOT_LEADER;
    if (r->commit < r->voters_index || r->commit < r->noop)
        return RAFT_TOO_SOON; /* F6 */
    if (v->n == 0 || v->n > RAFT_VOTERS_MAX || !differ_by_one(&r->voters, v) ||
        raft_voters_get(&again, slice_of(bytes, raft_voters_put(bytes, v))) != ERR_OK)
        return RAFT_NOT_ONE;
    enum raft_refusal why =
        propose(r, RAFT_ENTRY_VOTERS, slice_of(bytes, raft_voters_put(bytes, v)));
    raft_members_update(r, now);
    return why;
}

static enum raft_refusal transfer(struct raft *r, const struct raft_peer *to, struct mono now)
{
    if (r->role != RAFT_LEADER)
        return RAFT_NOT_LEADER;
    const struct raft_member *best = NULL;
    for (size_t i = 0; i < r->members.n; i++) {
        const struct raft_member *m = &r->members.at[i];
        if (!m->is_voter || (!raft_peer_is_nobody(to) && !raft_peer_equal(to, &m->peer)))
            continue;
        if (raft_peer_is_nobody(to) &&
            mono_reached(now, mono_after(m->progress.heard, r->timeout_us / 4)))
            continue; /* it may be dead */
        if (best == NULL || m->progress.match > best->progress.match)
            best = m;
    }
    if (best == NULL)
        return RAFT_NO_SUCH_VOTER;
    r->successor = best->peer;
    r->is_transfer_said = false;
    r->transfer_due = mono_after(now, r->timeout_us / 2);
    return RAFT_ACCEPTED;
}

static void found(struct raft *r, struct mono now)
{
    check(raft_log_last(&r->log) == 0 && r->voters.n == 0);
    raft_become_follower(r, r->term + 1, &nobody, now);
    struct raft_voters alone = {.n = 1, .at = {r->self}};
    char bytes[RAFT_VOTERS_BYTES];
    raft_entry_add(r, r->term, RAFT_ENTRY_VOTERS, slice_of(bytes, raft_voters_put(bytes, &alone)));
    r->out.proposed = raft_log_last(&r->log);
    raft_campaign(r, now, false);
}

/* A leader has its own term's entries, and all that were committed before it. The term is taken on,
 * so that nobody who leads in an older one can append it all again. The disk hears of the cut with
 * the entries that come in place of these: a start before that finds what it did before. */
static enum err committed_elsewhere(struct raft *r, uint64_t index, uint64_t term, struct mono now)
{
    uint64_t ours;
    if (!raft_log_term(&r->log, index, &ours) || ours == term)
        return ERR_OK;
    if (index <= r->commit || (r->role == RAFT_LEADER && term <= r->term))
        return ERR_CORRUPT; /* F5 */
    if (r->role != RAFT_FOLLOWER || term > r->term)
        raft_become_follower(r, term > r->term ? term : r->term, &nobody, now);
    raft_entries_cut(r, index);
    return ERR_OK;
}

/* ------------------------------------------------------------------------- a step */

/* A message of an older term: who sent it learns of ours; what it says counts no more. */
static enum err recv_older(struct raft *r, const struct raft_msg *m, struct mono now)
{
    if (m->type == RAFT_MSG_APPEND || m->type == RAFT_MSG_SNAPSHOT)
        raft_say(r, RAFT_MSG_APPEND_ANSWER, &m->from)->append_answer.refused = true;
    else if (m->type == RAFT_MSG_PREVOTE || m->type == RAFT_MSG_VOTE)
        raft_vote_recv(r, m, now); /* refuses */
    return ERR_OK;
}

static bool is_leaders(const struct raft_msg *m)
{
    return m->type == RAFT_MSG_APPEND || m->type == RAFT_MSG_SNAPSHOT;
}

/* The leader of our term speaks. */
static enum err recv_leader(struct raft *r, const struct raft_msg *m, struct mono now)
{
    if (r->role == RAFT_LEADER ||
        (!raft_peer_is_nobody(&r->leader) && !raft_peer_equal(&r->leader, &m->from)))
        return ERR_CORRUPT; /* F1: a second one */
    if (r->role != RAFT_FOLLOWER || raft_peer_is_nobody(&r->leader))
        raft_become_follower(r, r->term, &m->from, now);
    r->heard = now;
    r->patience_us = 0;
    raft_election_reset(r, now);
    return m->type == RAFT_MSG_APPEND ? raft_append_recv(r, m) : raft_snapshot_recv(r, m);
}

static enum err recv(struct raft *r, const struct raft_msg *m, struct mono now)
{
    if (!raft_is_self(r, &m->to) || raft_is_self(r, &m->from) || raft_peer_is_nobody(&m->from))
        return ERR_OK; /* F9: for another data-id, or an echo */
    if (m->term < r->term && m->type != RAFT_MSG_PREVOTE_ANSWER) /* who grants one keeps its term */
        return recv_older(r, m, now);
    if (m->term > r->term && m->type != RAFT_MSG_PREVOTE) {
        if (m->type == RAFT_MSG_VOTE && raft_vote_is_sticky(r, m, now))
            return ERR_OK; /* F7 */
        raft_become_follower(r, m->term, is_leaders(m) ? &m->from : &nobody, now);
    }
    switch (m->type) {
    case RAFT_MSG_PREVOTE:
    case RAFT_MSG_VOTE: raft_vote_recv(r, m, now); return ERR_OK;
    case RAFT_MSG_PREVOTE_ANSWER:
    case RAFT_MSG_VOTE_ANSWER: raft_vote_answer(r, m, now); return ERR_OK;
    case RAFT_MSG_APPEND:
    case RAFT_MSG_SNAPSHOT: return recv_leader(r, m, now);
    case RAFT_MSG_APPEND_ANSWER: return raft_append_answered(r, m, now);
    case RAFT_MSG_SNAPSHOT_ANSWER: return raft_snapshot_answered(r, m, now);
    case RAFT_MSG_TIMEOUT_NOW:
        if (r->role == RAFT_FOLLOWER && raft_is_voter(r) && raft_peer_equal(&r->leader, &m->from))
            raft_campaign(r, now, true);
        return ERR_OK;
    case RAFT_MSG_TYPES: break;
    }
    return ERR_CORRUPT;
}

/* F6: a voter, or whom a change took out that is not known to be committed: perhaps nobody else
 * has that entry, and who has it votes for no log without it (4.2.2). */
static bool is_needed(const struct raft *r)
{
    struct raft_voters before;
    uint64_t at;
    if (raft_is_voter(r))
        return true;
    if (r->commit >= r->voters_index)
        return false;
    raft_voters_as_of(r, r->voters_index - 1, &before, &at);
    return raft_voters_has(&before, &r->self);
}

/* F11 */
static bool may_campaign(const struct raft *r)
{
    return is_needed(r) && raft_state_is_stored(r);
}

static void due(struct raft *r, struct mono now)
{
    if (r->role == RAFT_LEADER) {
        if (!raft_peer_is_nobody(&r->successor) && mono_reached(now, r->transfer_due))
            r->successor = nobody;
    } else if (may_campaign(r) && mono_reached(now, r->election_due)) {
        if (!raft_vote_asked_again(r, now))
            raft_campaign(r, now, false);
    }
}

static enum err dispatch(struct raft *r, const struct raft_event *ev)
{
    struct raft_out *out = &r->out;
    switch (ev->type) {
    case RAFT_DUE: due(r, ev->now); return ERR_OK;
    case RAFT_RECV: return recv(r, ev->msg, ev->now);
    case RAFT_STORED: stored(r, ev->token, ev->now); return ERR_OK;
    case RAFT_PROPOSE: out->refused = propose(r, RAFT_ENTRY_OWNER, ev->bytes); return ERR_OK;
    case RAFT_VOTERS: out->refused = propose_voters(r, ev->voters, ev->now); return ERR_OK;
    case RAFT_LEARNERS: learners_set(r, ev->learners.at, ev->learners.n, ev->now); return ERR_OK;
    case RAFT_TRANSFER: out->refused = transfer(r, &ev->to, ev->now); return ERR_OK;
    case RAFT_TAKEN: raft_snapshot_taken(r, ev->taken.index, ev->taken.bytes); return ERR_OK;
    case RAFT_COMMITTED:
        return committed_elsewhere(r, ev->committed.index, ev->committed.term, ev->now);
    case RAFT_FOUND: found(r, ev->now); return ERR_OK;
    }
    return ERR_SYNTAX;
}

/* ------------------------------------------------------------------------- a step's end */

static void ask_store(struct raft *r, struct mono now)
{
    struct raft_store *s = &r->out.store;
    uint64_t last = raft_log_last(&r->log);
    if (r->state_changed) {
        if (r->state_token <= r->stored_token)
            r->state_asked = now;
        s->has_state = true;
        s->term = r->term;
        s->vote = r->vote;
    }
    if (last > r->asked_last) {
        s->first = r->asked_last + 1;
        s->entries = raft_log_at(&r->log, s->first);
        s->n = (size_t)(last - r->asked_last);
    }
    if (!s->has_state && s->snapshot == NULL && s->n == 0)
        return;
    s->token = ++r->tokens;
    if (s->has_state)
        r->state_token = s->token;
    if (s->snapshot != NULL && !s->is_reset)
        r->taken_token = s->token;
    r->state_changed = false;
    r->asked_last = last;
    *vec_add(&r->asked) = (struct raft_asked){s->token, last};
}

static void hand_out_applied(struct raft *r)
{
    uint64_t upto = r->commit;
    if (upto - r->applied > RAFT_APPLY_ENTRIES)
        upto = r->applied + RAFT_APPLY_ENTRIES;
    if (upto == r->applied)
        return;
    r->out.apply_first = r->applied + 1;
    r->out.apply = raft_log_at(&r->log, r->out.apply_first);
    r->out.apply_n = (size_t)(upto - r->applied);
    r->applied = upto;
}

static struct mono wake(const struct raft *r, struct mono now)
{
    if (r->applied < r->commit)
        return now;
    if (r->role != RAFT_LEADER)
        return may_campaign(r) ? r->election_due : MONO_NEVER;
    struct mono t = mono_earlier(r->beat_due, raft_vote_quorum_until(r, now));
    return raft_peer_is_nobody(&r->successor) ? t : mono_earlier(t, r->transfer_due);
}

static void finish(struct raft *r, struct mono now)
{
    if (r->role == RAFT_LEADER)
        raft_append_send(r, now);
    /* Its own removal is committed, and told: it has nothing more to say. */
    if (r->role == RAFT_LEADER && !raft_is_voter(r) && r->commit >= r->voters_index)
        raft_become_follower(r, r->term, &nobody, now);
    ask_store(r, now);
    if (raft_state_is_stored(r)) { /* F3 */
        if (r->answer_due)
            raft_append_say_answer(r);
        r->out.msgs = r->box.at;
        r->out.msgs_n = r->box_out = r->box.n;
    }
    hand_out_applied(r);
    r->out.wake = wake(r, now);
}

enum err raft_step(struct raft *r, const struct raft_event *ev, struct raft_out *out)
{
    check(!r->inside);
    r->inside = true;
    r->out = (struct raft_out){0};
    if (r->box_out > 0)
        r->box.n = r->box_out = 0;
    if (r->role == RAFT_LEADER && raft_vote_quorum_is_lost(r, ev->now)) /* F8 */
        raft_become_follower(r, r->term, &nobody, ev->now);
    enum err e = dispatch(r, ev);
    finish(r, ev->now);
    *out = r->out;
    r->inside = false;
    return e;
}

/* ------------------------------------------------------------------------- birth and end */

/* Entries from `from` to `last` again; each was one of ours, but files are the world. */
static enum err load_entries(struct raft *r, const struct raft_saved *saved)
{
    uint64_t behind = r->snapshot.is.index;
    if (saved->n > 0 && (saved->first == 0 || saved->first > behind + 1))
        return ERR_CORRUPT;
    for (size_t i = 0; i < saved->n; i++) {
        const struct raft_entry *e = &saved->entries[i];
        struct raft_voters v;
        uint64_t index = saved->first + i;
        if (index == behind && e->term != r->snapshot.is.term)
            return ERR_CORRUPT;
        if (index <= behind)
            continue;
        if (e->term < raft_log_last_term(&r->log) || e->term > saved->term ||
            e->bytes.n > RAFT_ENTRY_BYTES)
            return ERR_CORRUPT;
        if (e->type == RAFT_ENTRY_VOTERS && raft_voters_get(&v, e->bytes) != ERR_OK)
            return ERR_CORRUPT;
        raft_log_append(&r->log, e->term, e->type, e->bytes);
    }
    return ERR_OK;
}

static enum err load(struct raft *r, const struct raft_saved *saved)
{
    if (saved == NULL)
        return ERR_OK;
    r->term = saved->term;
    r->vote = saved->vote;
    if (saved->snapshot.index > 0) {
        if (saved->snapshot.term > saved->term || saved->snapshot.voters.n == 0)
            return ERR_CORRUPT;
        TRY(raft_kept_set(&r->snapshot, &saved->snapshot));
        raft_log_init(&r->log, saved->snapshot.index, saved->snapshot.term);
    }
    return load_entries(r, saved);
}

enum err raft_init(struct raft *r, const struct raft_peer *self, uint64_t seed, int64_t timeout_us,
                   struct mono now, const struct raft_saved *saved)
{
    *r = (struct raft){.self = *self, .timeout_us = timeout_us, .beat_t = timeout_us};
    rng_seed(&r->rng, seed);
    raft_log_init(&r->log, 0, 0);
    buf_init(&r->snapshot.bytes, RAFT_SNAPSHOT_BYTES);
    buf_init(&r->incoming.bytes, RAFT_SNAPSHOT_BYTES);
    enum err e = load(r, saved);
    if (e != ERR_OK) {
        raft_free(r);
        return e;
    }
    r->commit = r->applied = r->verified = r->snapshot.is.index;
    r->stored = r->asked_last = raft_log_last(&r->log);
    raft_voters_refresh(r);
    raft_election_reset(r, now);
    return ERR_OK;
}

void raft_free(struct raft *r)
{
    raft_log_free(&r->log);
    buf_free(&r->snapshot.bytes);
    buf_free(&r->incoming.bytes);
    vec_free(&r->members);
    vec_free(&r->learners);
    vec_free(&r->asked);
    vec_free(&r->box);
}

void raft_set_timeout(struct raft *r, int64_t beat_t, int64_t timeout_us)
{
    r->beat_t = beat_t;
    r->timeout_us = timeout_us;
    raft_election_reset(r, r->election_from);
    r->beat_due = (struct mono){0}; /* at once: the next one's time follows from it */
}

/* ------------------------------------------------------------------------- invariants */

static void leader_check(const struct raft *r)
{
    check(raft_state_is_stored(r)); /* F3 */
    check(raft_is_self(r, &r->leader));
    check(r->noop <= raft_log_last(&r->log));
    for (size_t i = 0; i < r->members.n; i++) {
        const struct raft_member *m = &r->members.at[i];
        raft_progress_check(&m->progress);
        check(m->progress.match <= raft_log_last(&r->log));
        check(m->is_voter == raft_voters_has(&r->voters, &m->peer));
    }
}

void raft_check(const struct raft *r)
{
    uint64_t last = raft_log_last(&r->log), at;
    struct raft_voters v;
    check(r->applied <= r->commit && r->commit <= last);                                   /* F5 */
    check(r->log.first - 1 <= r->snapshot.is.index && r->snapshot.is.index <= r->applied); /* F10 */
    check(r->stored <= last && r->asked_last <= last);
    check(r->stored_token <= r->tokens && r->state_token <= r->tokens);
    check(raft_log_last_term(&r->log) <= r->term);
    check(r->kept_bytes <= r->log.bytes);
    raft_voters_as_of(r, last, &v, &at);
    check(at == r->voters_index && v.n == r->voters.n); /* F6 */
    if (r->role == RAFT_LEADER)
        leader_check(r);
    else
        check(r->verified <= last && r->verified >= r->commit);
    if (r->role == RAFT_CANDIDATE)
        check(raft_is_self(r, &r->vote));
}

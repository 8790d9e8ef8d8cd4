/* SPDX-License-Identifier: BSD-3-Clause */

/* A node's heartbeats and lease, a voter's answers, and gossip. What the leader makes of it:
 * member_eye.c. */
#include "core/member/member.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"

static const struct node_id nobody;

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

struct member_msg *member_say(struct member *m, const struct node_id *to, enum member_msg_type type)
{
    struct member_msg *msg = vec_add(&m->msgs);
    msg->type = type;
    msg->to = *to;
    return msg;
}

uint64_t member_voters_name(const struct member_voter *v, size_t n)
{
    static const struct hash_key key = {0x766f6e6776746572,
                                        0x73657420696e2075}; /* the same on every node */
    uint64_t name = 0;
    for (size_t i = 0; i < n; i++) {
        char bytes[sizeof(v->node.b) + sizeof(v->data.b)];
        memcpy(bytes, v[i].node.b, sizeof(v[i].node.b));
        memcpy(bytes + sizeof(v[i].node.b), v[i].data.b, sizeof(v[i].data.b));
        name += hash_keyed(&key, slice_of(bytes, sizeof(bytes)));
    }
    return name;
}

/* ------------------------------------------------------------------- lease */

static int descending(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left < right) - (left > right);
}

/* t_m: what a majority of the voters in use has echoed, or later; 0: none (M1). */
static int64_t majority_of(const struct member *m)
{
    int64_t t[RAFT_VOTERS_MAX];
    if (m->voters_n == 0)
        return 0;
    for (size_t i = 0; i < m->voters_n; i++)
        t[i] = m->voters[i].echoed;
    qsort(t, m->voters_n, sizeof(t[0]), descending);
    return t[m->voters_n / 2];
}

static struct mono lease_of(const struct member *m)
{
    return m->majority_t > 0 ? mono_after((struct mono){m->majority_t}, m->lease_t / 2)
                             : (struct mono){0};
}

static bool has_lease(const struct member *m, struct mono now)
{
    return !mono_reached(now, lease_of(m));
}

static struct member_vote *vote_of(struct member *m, const struct node_id *id)
{
    for (size_t i = 0; i < m->voters_n; i++)
        if (node_id_equal(&m->voters[i].id, id))
            return &m->voters[i];
    return NULL;
}

/* An echo or SEEN of a heartbeat. What it is about must have been sent, in this run, since the
 * voter set and the clock are as they are. */
static void take_echo(struct member *m, const struct node_id *from, const struct member_msg *msg)
{
    struct member_vote *v = vote_of(m, from);
    if (v == NULL || msg->echo.incarnation != m->incarnation || msg->echo.t > m->beaten ||
        msg->echo.t <= m->floor)
        return;
    int64_t *place = msg->type == MEMBER_ECHO ? &v->echoed : &v->seen;
    *place = later(*place, msg->echo.t);
    m->majority_t = later(m->majority_t, majority_of(m));
}

/* ------------------------------------------------------------------- rumors */

static void tell_probed(struct member *m, const struct node_id *to, const struct member_peer *p,
                        struct mono now)
{
    member_say(m, to, MEMBER_PROBED)->probed = rumor_of(p, now);
}

/* True: it was news. Those who asked for X are told that it is heard of again. */
static bool believe(struct member *m, const struct node_id *by, const struct rumor *said,
                    struct mono now)
{
    if (!rumor_take(&m->rumors, by, said, now, m->wait_t / 4))
        return false;
    for (size_t i = 0; i < PROBES_KEPT; i++)
        if (!mono_reached(now, m->probes[i].until) &&
            node_id_equal(&m->probes[i].about, &said->about)) {
            m->probes[i].until = now;
            tell_probed(m, &m->probes[i].by, rumors_find(&m->rumors, &said->about), now);
        }
    return true;
}

/* ------------------------------------------------------------------- voter */

/* The commit index 2 T before; 0: not known so far back. */
static uint64_t committed_before(const struct member *m, struct mono now)
{
    uint64_t index = 0;
    for (size_t i = 0; i < m->commits_n; i++)
        if (now.us - m->commits[i].at.us >= 2 * m->wait_t && m->commits[i].index > index)
            index = m->commits[i].index;
    return index;
}

/* Sampled with heartbeats of our own, T/10 apart: a commit is remembered up to T/10 too late, never
 * too early. */
static void note_commit(struct member *m, struct mono now)
{
    size_t last = (m->commits_next + COMMITS_KEPT - 1) % COMMITS_KEPT;
    if (m->commits[last].index == m->committed || now.us - m->commits[last].at.us < m->wait_t / 10)
        return;
    m->commits[m->commits_next].at = now;
    m->commits[m->commits_next].index = m->committed;
    m->commits_next = (m->commits_next + 1) % COMMITS_KEPT;
    if (m->commits_n < COMMITS_KEPT)
        m->commits_n++;
}

/* Rule 16, clause by clause (M3). The incarnation is the known one. */
static bool may_echo(const struct member *m, const struct member_known *known,
                     const struct member_msg *beat, struct mono now)
{
    if (beat->beat.voters != m->voters_name)
        return false;
    if (known->about == MEMBER_STOPS)
        return false;
    if (beat->beat.map_version < known->about_index)
        return false;
    return beat->beat.map_version >= committed_before(m, now);
}

/* What a voter makes of a heartbeat, its own included. */
static void take_beat(struct member *m, const struct node_id *from, const struct member_msg *beat,
                      struct mono now)
{
    struct member_peer *p = rumors_find(&m->rumors, from);
    if (p == NULL || !m->is_voter)
        return;
    if (beat->beat.incarnation != p->known.incarnation) { /* M4 */
        if (beat->beat.incarnation > p->known.incarnation)
            member_eye_restart(m, p, beat->beat.incarnation, now);
        return;
    }
    const struct rumor said = {.about = *from,
                               .incarnation = beat->beat.incarnation,
                               .t = beat->beat.t,
                               .has_lease = beat->beat.has_lease,
                               .map_version = beat->beat.map_version,
                               .load = beat->beat.load,
                               .refused_us = RUMOR_NEVER};
    if (believe(m, from, &said, now))
        member_eye_beat(m, p, beat, now);
    p->heard = now;
    struct member_msg answer = {
        .type = may_echo(m, &p->known, beat, now) ? MEMBER_ECHO : MEMBER_SEEN, .to = *from};
    answer.echo.incarnation = beat->beat.incarnation;
    answer.echo.t = beat->beat.t;
    answer.echo.map_version = m->committed;
    if (node_id_equal(from, &m->self))
        take_echo(m, from, &answer);
    else
        *vec_add(&m->msgs) = answer;
}

/* ------------------------------------------------------------------- heartbeats */

static void learn_ahead(struct member *m, uint64_t version, const struct node_id *who)
{
    if (version <= m->ahead)
        return;
    m->ahead = version;
    m->ahead_at = *who;
}

static void beat_all(struct member *m, struct mono now)
{
    struct member_msg beat = {.type = MEMBER_BEAT};
    beat.beat.incarnation = m->incarnation;
    beat.beat.voters = m->voters_name;
    beat.beat.map_version = m->applied;
    beat.beat.has_lease = has_lease(m, now);
    beat.beat.progress = m->progress;
    beat.beat.t = now.us;
    beat.beat.load = m->load;
    beat.beat.ages_n = m->voters_n;
    for (size_t i = 0; i < m->voters_n; i++) {
        int64_t newest = later(m->voters[i].echoed, m->voters[i].seen);
        beat.beat.ages_us[i] = newest > 0 ? now.us - newest : RUMOR_NEVER;
    }
    m->beaten = now.us;

    /* One rumor about itself, from which gossip takes what it tells. */
    struct member_peer *own = rumors_find(&m->rumors, &m->self);
    const struct rumor said = {.about = m->self,
                               .incarnation = m->incarnation,
                               .t = now.us,
                               .has_lease = beat.beat.has_lease,
                               .map_version = m->applied,
                               .load = m->load,
                               .refused_us = RUMOR_NEVER};
    for (size_t i = 0; i < m->voters_n; i++) {
        beat.to = m->voters[i].id;
        if (!node_id_equal(&beat.to, &m->self))
            *vec_add(&m->msgs) = beat;
    }
    if (m->is_voter)
        take_beat(m, &m->self, &beat, now);
    else if (own != NULL)
        believe(m, &m->self, &said, now);
}

static void beat_if_due(struct member *m, struct mono now)
{
    if (!mono_reached(now, m->beat_due))
        return;
    if (now.us <= m->beaten) { /* no two heartbeats have one t */
        m->beat_due = mono_after(now, 1);
        return;
    }
    m->beat_due = mono_after(now, m->lease_t / 10);
    note_commit(m, now);
    if (now.us - m->moved.us < m->lease_t) /* M2 */
        beat_all(m, now);
}

/* ------------------------------------------------------------------- gossip */

static void tell_rumors(struct member *m, const struct node_id *to, bool answers, struct mono now)
{
    struct member_msg *msg = member_say(m, to, MEMBER_GOSSIP);
    msg->gossip.answers = answers;
    msg->gossip.ahead = m->ahead;
    msg->gossip.who = m->ahead_at;
    msg->gossip.n = 0;
    struct member_peer *own = rumors_find(&m->rumors, &m->self);
    if (own != NULL && own->last.t > 0)
        msg->gossip.rumors[msg->gossip.n++] = rumor_of(own, now);
    msg->gossip.n += rumors_pick(&m->rumors, &m->self, msg->gossip.rumors + msg->gossip.n,
                                 RUMORS_MAX - msg->gossip.n, now);
}

static void gossip_if_due(struct member *m, struct mono now)
{
    if (!mono_reached(now, m->gossip_due))
        return;
    int64_t interval = m->lease_t / 10;
    m->gossip_due = mono_after(now, interval - interval / 8 +
                                        (int64_t)rng_below(&m->rng, (uint64_t)interval / 4 + 1));
    struct node_id told[GOSSIP_PEERS];
    size_t told_n = 0, all = m->rumors.peers.n;
    /* A few tries more than peers are wanted: who is DOWN, or drawn twice, is drawn over. */
    for (unsigned tries = 0; tries < 4 * GOSSIP_PEERS && told_n < GOSSIP_PEERS && all > 1;
         tries++) {
        const struct member_peer *p = &m->rumors.peers.at[rng_below(&m->rng, all)];
        bool is_out = p->known.health == MAP_DOWN || node_id_equal(&p->known.id, &m->self);
        for (size_t i = 0; i < told_n && !is_out; i++)
            is_out = node_id_equal(&told[i], &p->known.id);
        if (is_out)
            continue;
        told[told_n++] = p->known.id;
        tell_rumors(m, &told[told_n - 1], false, now);
    }
}

static void take_gossip(struct member *m, const struct node_id *from, const struct member_msg *msg,
                        struct mono now)
{
    if (rumors_find(&m->rumors, from) == NULL)
        return;
    learn_ahead(m, msg->gossip.ahead, &msg->gossip.who);
    for (size_t i = 0; i < msg->gossip.n; i++)
        if (!node_id_equal(&msg->gossip.rumors[i].about, &m->self))
            believe(m, from, &msg->gossip.rumors[i], now);
    if (!msg->gossip.answers)
        tell_rumors(m, from, true, now);
}

/* ------------------------------------------------------------------- probes */

/* Somebody does not hear `about`: tell if we do, else ask it, and tell then. */
static void take_probe(struct member *m, const struct node_id *from, const struct node_id *about,
                       struct mono now)
{
    struct member_peer *p = rumors_find(&m->rumors, about);
    if (p == NULL || rumors_find(&m->rumors, from) == NULL)
        return;
    if (p->last.t > 0 && now.us - p->risen.us <= m->wait_t / 8) {
        tell_probed(m, from, p, now);
        return;
    }
    if (node_id_equal(about,
                      &m->self)) /* our heartbeats have stopped: that is no sign of life (M2) */
        return;
    for (size_t i = 0; i < PROBES_KEPT; i++)
        if (mono_reached(now, m->probes[i].until)) {
            m->probes[i].by = *from;
            m->probes[i].about = *about;
            m->probes[i].until = mono_after(now, m->wait_t / 4);
            member_say(m, about, MEMBER_PROBE)->about = *about;
            return;
        }
}

static void take_probed(struct member *m, const struct node_id *from, const struct rumor *said,
                        struct mono now)
{
    if (!node_id_equal(&said->about, &m->self))
        believe(m, from, said, now);
}

/* ------------------------------------------------------------------- events */

static void take(struct member *m, const struct node_id *from, const struct member_msg *msg,
                 struct mono now)
{
    switch (msg->type) {
    case MEMBER_BEAT: take_beat(m, from, msg, now); break;
    case MEMBER_ECHO: take_echo(m, from, msg); break;
    case MEMBER_SEEN:
        take_echo(m, from, msg);
        learn_ahead(m, msg->echo.map_version, from);
        break;
    case MEMBER_GOSSIP: take_gossip(m, from, msg, now); break;
    case MEMBER_PROBE: take_probe(m, from, &msg->about, now); break;
    case MEMBER_PROBED: take_probed(m, from, &msg->probed, now); break;
    case MEMBER_MSG_TYPES: check(false); break;
    }
}

static void take_view(struct member *m, const struct member_view *view, struct mono now)
{
    check(view->voters_n <= RAFT_VOTERS_MAX);
    rumors_set(&m->rumors, view->nodes, view->nodes_n, now);
    m->is_voter = view->is_voter;
    uint64_t name = member_voters_name(view->voters, view->voters_n);
    if (name == m->voters_name && view->voters_n == m->voters_n)
        return;
    /* Echoes tell only of the set their heartbeat named; the lease there is holds until its end. */
    m->voters_name = name;
    m->voters_n = view->voters_n;
    for (size_t i = 0; i < view->voters_n; i++)
        m->voters[i] = (struct member_vote){.id = view->voters[i].node};
    m->floor = m->beaten;
    m->beat_due = now;
}

/* Echoes of heartbeats sent under a smaller timeout give no longer lease: it may be over, and
 * known to be (17). */
static void take_timeouts(struct member *m, int64_t lease_us, int64_t wait_us, struct mono now)
{
    if (lease_us > m->lease_t) {
        int64_t shift = lease_us / 2 - m->lease_t / 2; /* the lease there is holds until its end */
        m->majority_t = m->majority_t > shift ? m->majority_t - shift : 0;
        for (size_t i = 0; i < m->voters_n; i++)
            m->voters[i].echoed = 0;
        m->floor = m->beaten;
    }
    m->lease_t = lease_us;
    m->wait_t = wait_us;
    m->beat_due = m->gossip_due = now;
}

static void become_leading(struct member *m, bool leads, struct mono now)
{
    m->leads = leads;
    m->led = now; /* M5 */
    for (size_t i = 0; i < m->rumors.peers.n; i++)
        m->rumors.peers.at[i].told = (struct mono){0};
}

static void clock_apart(struct member *m, struct mono now)
{
    for (size_t i = 0; i < m->voters_n; i++)
        m->voters[i].echoed = m->voters[i].seen = 0;
    m->majority_t = 0;
    m->floor = m->beaten;
    m->beat_due = now;
}

static void dispatch(struct member *m, const struct member_event *ev)
{
    struct member_peer *p;
    switch (ev->type) {
    case MEMBER_DUE: break;
    case MEMBER_RECV: take(m, &ev->recv.from, ev->recv.msg, ev->now); break;
    case MEMBER_VIEW: take_view(m, ev->view, ev->now); break;
    case MEMBER_COMMITTED:
        check(ev->committed >= m->committed);
        m->committed = ev->committed;
        learn_ahead(m, m->committed, &m->self);
        break;
    case MEMBER_OWN:
        m->applied = ev->own.applied;
        m->load = ev->own.load;
        break;
    case MEMBER_REFUSED:
        p = rumors_find(&m->rumors, &ev->refused);
        if (p != NULL)
            rumor_refused(&m->rumors, p, ev->now);
        break;
    case MEMBER_LEADS: become_leading(m, ev->leads, ev->now); break;
    case MEMBER_TIMEOUTS:
        take_timeouts(m, ev->timeouts.lease_us, ev->timeouts.wait_us, ev->now);
        break;
    case MEMBER_CLOCK_APART: clock_apart(m, ev->now); break;
    }
}

void member_step(struct member *m, const struct member_event *ev, struct member_out *out)
{
    check(!m->inside && ev->now.us >= m->stepped.us);
    m->inside = true;
    vec_clear(&m->msgs);
    vec_clear(&m->news);
    if (ev->now.us - m->stepped.us > m->wait_t / 10)
        m->restarted = ev->now; /* M5 */
    m->stepped = ev->now;
    if (ev->progress != m->progress) {
        m->progress = ev->progress;
        m->moved = ev->now;
    }
    dispatch(m, ev);
    beat_if_due(m, ev->now);
    gossip_if_due(m, ev->now);
    if (m->leads || m->is_voter)
        member_eye(m, ev->now);
    struct mono wake = mono_earlier(m->beat_due, m->gossip_due);
    *out = (struct member_out){.msgs = m->msgs.at,
                               .msgs_n = m->msgs.n,
                               .news = m->news.at,
                               .news_n = m->news.n,
                               .lease = lease_of(m),
                               .ahead = m->ahead,
                               .ahead_at = m->ahead_at,
                               .wake = mono_earlier(wake, mono_after(ev->now, m->lease_t / 20))};
    m->inside = false;
}

void member_init(struct member *m, const struct node_id *self, uint32_t incarnation, uint64_t seed,
                 int64_t timeout_us, struct mono now)
{
    check(now.us > 0 && incarnation > 0 && timeout_us > 0 && !node_id_equal(self, &nobody));
    *m = (struct member){.self = *self,
                         .incarnation = incarnation,
                         .lease_t = timeout_us,
                         .wait_t = timeout_us,
                         .stepped = now,
                         .restarted = now,
                         .led = now,
                         .moved = now,
                         .beat_due = now,
                         .gossip_due = now};
    rng_seed(&m->rng, seed);
}

void member_free(struct member *m)
{
    rumors_free(&m->rumors);
    vec_free(&m->msgs);
    vec_free(&m->news);
}

void member_check(const struct member *m)
{
    check(m->lease_t > 0 && m->wait_t >= m->lease_t);
    check(m->majority_t <= m->beaten && m->beaten <= m->stepped.us); /* M1 */
    check(majority_of(m) <= m->majority_t);                          /* M1 */
    for (size_t i = 0; i < m->voters_n; i++) {
        check(m->voters[i].echoed == 0 ||
              (m->voters[i].echoed > m->floor && m->voters[i].echoed <= m->beaten)); /* M1 */
        check(m->voters[i].seen <= m->beaten);
    }
    check(m->commits_n <= COMMITS_KEPT);
    for (size_t i = 0; i < m->rumors.peers.n; i++) {
        const struct member_peer *p = &m->rumors.peers.at[i];
        check(i == 0 || memcmp(m->rumors.peers.at[i - 1].known.id.b, p->known.id.b,
                               sizeof(p->known.id.b)) < 0);
        check(p->last.incarnation == p->known.incarnation); /* M4 */
        check(p->heard.us <= m->stepped.us && p->risen.us <= m->stepped.us);
    }
    for (size_t i = 0; i < m->msgs.n; i++) {
        check(!node_id_equal(&m->msgs.at[i].to, &m->self));
        check(m->msgs.at[i].type != MEMBER_GOSSIP || m->msgs.at[i].gossip.n <= RUMORS_MAX); /* M7 */
    }
}

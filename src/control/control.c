/* SPDX-License-Identifier: BSD-3-Clause */

/* A step:
 *
 *     the event -> contact.c (frames) / keep.c (what is stored) / words
 *               -> raft, member; what they say goes to follow.c, steward.c, and to others
 *     then what is due, until nothing more follows; then what was said is carried out
 */
#include "control/control.h"

#include <stdio.h>

#include "base/check.h"
#include "base/mem.h"
#include "control/inside.h"
#include "wire/wire_map.h"
#include "wire/wire_member.h"
#include "wire/wire_raft.h"

/* ---------------------------------------------------------------- what others ask of it */

struct hello_self control_self(const struct control *c)
{
    struct hello_self s = {.id = c->identity.node,
                           .incarnation = c->identity.incarnation,
                           .secret = c->config.secret,
                           .map = &c->map};
    if (c->identity.in_cluster)
        s.cluster = c->identity.cluster;
    return s;
}

int64_t control_timeout_us(const struct control *c)
{
    return map_timeout_us(c->map.nodes.n > 0 ? &c->map.settings : &c->config.settings);
}

uint16_t control_place(const struct control *c)
{
    return map_find(&c->map, &c->identity.node);
}

uint16_t control_leader(const struct control *c)
{
    if (!raft_peer_is_nobody(&c->raft.leader) && raft_is_voter(&c->raft))
        return map_find(&c->map, &c->raft.leader.node);
    /* Who does not vote is not told who leads: any voter it reaches passes nothing
     * on, but knows. */
    /* who led, and votes no more, is to ask as well */
    bool is_other = c->leader_hint != control_place(c);
    return is_other && c->leader_hint < c->map.nodes.n && c->map.nodes.at[c->leader_hint].used
               ? c->leader_hint
               : MAP_NOBODY;
}

bool control_hear_leader(struct control *c, const struct node_id *id)
{
    uint16_t leader = map_find(&c->map, id);
    if (leader == MAP_NOBODY || leader == control_place(c))
        return false;
    c->leader_hint = leader;
    return true;
}

/* To whom a word for the leader goes: whoever does not lead answers who does. */
uint16_t control_passes_to(const struct control *c)
{
    uint16_t place = control_leader(c);
    if (place != MAP_NOBODY && (place == control_place(c) || contact_is_up(c, place)))
        return place;
    for (uint16_t i = 0; i < c->map.nodes.n; i++)
        if (c->map.nodes.at[i].used && i != control_place(c) && contact_is_up(c, i))
            return i; /* the one that is known was removed, or is away */
    return MAP_NOBODY;
}

bool control_is_lost(const struct control *c)
{
    if (c->map.index == 0)
        return true;
    for (uint16_t i = 0; i < c->map.nodes.n; i++)
        if (c->map.nodes.at[i].used && contact_is_up(c, i))
            return false;
    return map_members_n(&c->map) > 1;
}

void control_tell(struct control *c, struct word w)
{
    *vec_add(&c->out->words) = w;
}

void control_answer(struct control *c, uint64_t token, const char *why)
{
    struct word w = {.type = WORD_ANSWER, .answer = {.token = token}};
    if (why != NULL)
        snprintf(w.answer.error, sizeof(w.answer.error), "ERR %.200s", why);
    control_tell(c, w);
}

const struct map *control_map(const struct control *c)
{
    return &c->map;
}

bool control_leads(const struct control *c)
{
    return raft_leads(&c->raft);
}

size_t control_voters(const struct control *c)
{
    return c->voters.n;
}

bool control_votes(const struct control *c)
{
    return raft_voters_has(&c->voters, &c->raft.self);
}

const struct node_id *control_id(const struct control *c)
{
    return &c->identity.node;
}

uint32_t control_incarnation(const struct control *c)
{
    return c->identity.incarnation;
}

/* ---------------------------------------------------------------- heartbeats and gossip */

static void say_member_msgs(struct control *c, const struct member_msg *msgs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct chain *to = contact_to_id(c, &msgs[i].to);
        if (to != NULL)
            put_member(to, &msgs[i]);
    }
}

static void look_who_is_ahead(struct control *c, const struct member_out *m)
{
    uint16_t place = m->ahead > c->map.index ? map_find(&c->map, &m->ahead_at) : MAP_NOBODY;
    if (place != MAP_NOBODY)
        follow_ahead(c, place, m->ahead);
}

static void member_do(struct control *c, struct member_event *ev)
{
    struct member_out out;
    ev->now = c->now;
    ev->progress = c->pulse.progress;
    member_step(&c->member, ev, &out);
    c->lease = out.lease;
    c->member_wake = out.wake;
    say_member_msgs(c, out.msgs, out.msgs_n);
    for (size_t i = 0; i < out.news_n; i++)
        steward_news(c, &out.news[i]);
    look_who_is_ahead(c, &out);
}

/* The newest entry about each member in this node's own log, committed or not (16). */
static void know_uncommitted(struct control *c, struct member_known *known, size_t n)
{
    const struct raft_log *l = &c->raft.log;
    uint64_t from = c->map.index + 1 > l->first ? c->map.index + 1 : l->first;
    for (uint64_t i = from; i <= raft_log_last(l); i++) {
        const struct raft_entry *r = raft_log_at(l, i);
        struct map_entry *e;
        char why[WIRE_WHY_BYTES];
        if (r->type != RAFT_ENTRY_OWNER || get_map_entry(r->bytes, &e, why) != ERR_OK)
            continue;
        const struct node_id *about = e->type == MAP_RESTARTED ? &e->member.id : &e->about;
        bool counts = e->type == MAP_SUSPECTED || e->type == MAP_DOWNED || e->type == MAP_CLEARED ||
                      e->type == MAP_RESTARTED;
        for (size_t k = 0; counts && k < n; k++)
            if (node_id_equal(&known[k].id, about)) {
                known[k].about = MEMBER_STOPS;
                known[k].about_index = i;
                known[k].is_pending = true;
            }
        map_entry_free(e);
    }
}

/* What log and map say now; before anything that promises it leaves (C4). */
static void member_look(struct control *c)
{
    VEC(struct member_known) known = {0};
    struct member_voter voters[RAFT_VOTERS_MAX];
    const struct raft_voters *newest = follow_voters(c);
    for (uint16_t i = 0; i < c->map.nodes.n; i++) {
        const struct map_node *n = &c->map.nodes.at[i];
        if (!n->used)
            continue;
        *vec_add(&known) = (struct member_known){.id = n->id,
                                                 .incarnation = n->incarnation,
                                                 .about = n->health_index == 0  ? MEMBER_ABOUT_NONE
                                                          : n->health == MAP_UP ? MEMBER_ALLOWS
                                                                                : MEMBER_STOPS,
                                                 .about_index = n->health_index,
                                                 .health = (enum map_health)n->health,
                                                 .health_index = n->health_index};
    }
    know_uncommitted(c, known.at, known.n);
    for (size_t i = 0; i < newest->n; i++)
        voters[i] = (struct member_voter){newest->at[i].node, newest->at[i].data};
    struct member_view v = {known.at, known.n, voters, newest->n,
                            raft_voters_has(newest, &c->raft.self)};
    member_do(c, &(struct member_event){.type = MEMBER_VIEW, .view = &v});
    vec_free(&known);
}

/* While a change of T is not settled the smaller is for leases, the larger for
 * waits (replication, "Settings"). */
static void member_timeouts(struct control *c)
{
    bool none = c->map.nodes.n == 0;
    int64_t lease_us = none ? control_timeout_us(c) : map_lease_us(&c->map);
    int64_t wait_us = none ? control_timeout_us(c) : map_wait_us(&c->map);
    struct member_event ev = {.type = MEMBER_TIMEOUTS, .timeouts = {lease_us, wait_us}};
    if (lease_us == c->lease_us && wait_us == c->wait_us)
        return;
    c->lease_us = lease_us;
    c->wait_us = wait_us;
    raft_set_timeout(&c->raft, lease_us, wait_us);
    member_do(c, &ev);
}

void control_leads_or_not(struct control *c)
{
    member_do(c, &(struct member_event){.type = MEMBER_LEADS, .leads = c->told_leads});
}

/* Knows of no cluster yet, or no more. */
void control_member_anew(struct control *c)
{
    c->lease_us = c->wait_us = map_timeout_us(&c->config.settings);
    c->told_index = 0;
    c->told_leads = false;
    c->member_wake = c->now;
    c->lease = (struct mono){0};
    member_free(&c->member);
    member_init(&c->member, &c->identity.node, c->identity.incarnation, rng_next(&c->rng),
                c->wait_us, c->now);
}

/* Nobody listens at a member's port: it does not run, most likely (16). */
void control_refused(struct control *c, const struct node_id *who)
{
    member_do(c, &(struct member_event){.type = MEMBER_REFUSED, .refused = *who});
}

static void gone(struct control *c, const char *why)
{
    c->standing = STANDING_GONE;
    c->why_gone = why;
    log_say(c->log, LOG_LEVEL_WARNING, "%s: it serves nothing any more", why);
}

/* The log goes on from here: what was decided before is told in one line. */
static void say_members(struct control *c)
{
    size_t up = 0;
    for (size_t i = 0; i < c->map.nodes.n; i++)
        up += c->map.nodes.at[i].used && c->map.nodes.at[i].health == MAP_UP;
    log_say(c->log, LOG_LEVEL_NOTICE, "map %llu: a member of a cluster of %zu, %zu of them up",
            (unsigned long long)c->map.index, map_members_n(&c->map), up);
}

static const char removed[] = "this node was removed from its cluster";

/* It was forgotten while it asked to join, and asked on: it is a member again. */
static void look_back(struct control *c, uint16_t place)
{
    if (c->why_gone != removed || place == MAP_NOBODY ||
        c->map.nodes.at[place].incarnation != c->identity.incarnation)
        return;
    c->standing = STANDING_IN;
    c->why_gone = NULL;
    say_members(c);
}

/* Am I still a member, and is it me? */
static void look_at_own_place(struct control *c)
{
    uint16_t place = control_place(c);
    if (c->standing == STANDING_GONE)
        look_back(c, place);
    if (c->standing != STANDING_IN || c->map.index == 0)
        return;
    if (place == MAP_NOBODY && c->was_member)
        gone(c, removed);
    else if (place != MAP_NOBODY && c->map.nodes.at[place].incarnation > c->identity.incarnation)
        gone(c, "a later run of this node is a member: its data directory was copied, and the copy "
                "runs too");
    else if (place != MAP_NOBODY && !c->was_member)
        say_members(c);
    c->was_member |= place != MAP_NOBODY;
}

/* After anything that changed log, map or voters. */
static void follow_changes(struct control *c)
{
    if (!c->members_changed && !c->log_changed && c->told_index == c->map.index)
        return;
    bool nodes = c->members_changed;
    /* Entries of its own log were not committed when it last looked: some are now. */
    bool log = c->log_changed || raft_log_last(&c->raft.log) > c->told_index;
    c->members_changed = c->log_changed = false;
    member_timeouts(c);
    if (nodes || log)
        member_look(c);
    if (c->told_index != c->map.index) {
        c->told_index = c->map.index;
        member_do(c, &(struct member_event){.type = MEMBER_COMMITTED, .committed = c->map.index});
    }
    if (nodes)
        keep_peers(c);
    look_at_own_place(c);
}

/* ---------------------------------------------------------------- frames */

void control_opened(struct control *c, struct contact *k)
{
    switch ((enum contact_use)k->use) {
    case CONTACT_SEED: form_seed_opened(c, k); break;
    case CONTACT_NAMED: meet_opened(c, k); break;
    case CONTACT_HINT: form_hint_opened(c, k); break;
    case CONTACT_MEMBER: follow_former_run(c, k); break;
    case CONTACT_CALLER:
    case CONTACT_FOLLOWER: break;
    }
}

void control_missed(struct control *c, struct contact *k, const char *why)
{
    switch ((enum contact_use)k->use) {
    case CONTACT_SEED:
        if (c->standing == STANDING_OUT)
            form_seed_missed(c, k, why);
        break;
    case CONTACT_NAMED: meet_missed(c, k, why); break;
    case CONTACT_MEMBER:
    case CONTACT_HINT:
    case CONTACT_CALLER:
    case CONTACT_FOLLOWER: break;
    }
}

static enum err heard_raft(struct control *c, struct contact *k, struct wire_in *in, char *why)
{
    struct raft_msg m;
    struct raft_event ev = {.type = RAFT_RECV, .msg = &m};
    TRY(get_raft(in, &m));
    enum err e = keep_readable(c, &m, why);
    if (!node_id_equal(&m.from.node, &k->id)) {
        snprintf(why, WIRE_WHY_BYTES, "a message of consensus in another's name");
        e = ERR_SYNTAX;
    }
    if (e == ERR_OK && c->standing != STANDING_JOINED) /* C12; as if it were lost */
        keep_raft(c, &ev, NULL);
    free_raft(&m);
    return e;
}

static enum err heard_member(struct control *c, struct contact *k, struct wire_in *in)
{
    struct member_msg m;
    TRY(get_member(in, &m));
    member_do(c, &(struct member_event){.type = MEMBER_RECV, .recv = {k->id, &m}});
    return ERR_OK;
}

static enum err heard_log(struct control *c, struct contact *k, struct wire_in *in, char *why)
{
    struct wire_fetch fetch;
    struct wire_entries entries;
    struct wire_whole whole;
    if (in->type == WIRE_FETCH) {
        TRY(get_fetch(in, &fetch));
        follow_fetch(c, k, &fetch);
        return ERR_OK;
    }
    if (in->type == WIRE_ENTRIES) {
        TRY(get_entries(in, &entries));
        return follow_entries(c, k, &entries, why);
    }
    TRY(get_whole(in, &whole));
    return follow_map(c, k, &whole, why);
}

static enum err heard_proposal(struct control *c, struct contact *k, struct wire_in *in)
{
    struct wire_propose p;
    struct wire_proposed d;
    struct wire_report r;
    if (in->type == WIRE_PROPOSE) {
        TRY(get_propose(in, &p));
        ticket_from_peer(c, k, &p);
        return ERR_OK;
    }
    if (in->type == WIRE_PROPOSED) {
        TRY(get_proposed(in, &d));
        ticket_proposed(c, &d);
        return ERR_OK;
    }
    TRY(get_report(in, &r));
    uint16_t place = map_find(&c->map, &k->id);
    if (place != MAP_NOBODY)
        steward_report(c, place, &r);
    if (!raft_leads(&c->raft)) /* who does not vote learns from this who does lead */
        put_proposed(contact_answer(c, k), &(struct wire_proposed){.leader = c->raft.leader.node});
    mem_free(r.at);
    return ERR_OK;
}

static enum err heard_meeting(struct control *c, struct contact *k, struct wire_in *in, char *why)
{
    struct wire_join join;
    struct wire_joined joined;
    struct wire_meet meet;
    struct wire_met met;
    if (in->type == WIRE_JOIN) {
        TRY(get_join(in, &join));
        return form_join_asked(c, k, &join, why);
    }
    if (in->type == WIRE_JOINED) {
        TRY(get_joined(in, &joined));
        form_joined(c, k, &joined);
    } else if (in->type == WIRE_MEET) {
        TRY(get_meet(in, &meet));
        meet_called(c, k, &meet);
    } else {
        TRY(get_met(in, &met));
        meet_met(c, k, &met);
    }
    return ERR_OK;
}

static enum err heard_here(struct control *c, struct contact *k, struct wire_in *in)
{
    struct wire_here m;
    TRY(get_here(in, &m));
    form_heard_here(c, k, &m);
    return ERR_OK;
}

/* A stranger may ask to join or to meet, and a new member or a proxy for the map; a
 * member everything else. */
static bool may_say(const struct control *c, const struct contact *k, enum wire_type type)
{
    bool meets = type == WIRE_JOIN || type == WIRE_MEET;
    bool met = type == WIRE_JOINED || type == WIRE_MET;
    if (k->use == CONTACT_FOLLOWER)
        return type == WIRE_FETCH;
    if (k->use == CONTACT_CALLER)
        return meets || (type == WIRE_FETCH && map_find(&c->map, &k->id) != MAP_NOBODY);
    if (k->use == CONTACT_SEED || k->use == CONTACT_NAMED)
        return met || type == WIRE_ENTRIES || type == WIRE_WHOLE;
    return !meets && !met;
}

void control_heard(struct control *c, struct contact *k, struct wire_in *in)
{
    char why[WIRE_WHY_BYTES] = "";
    enum err e = ERR_SYNTAX;
    enum hello_refusal refusal;
    if (in->type == WIRE_REFUSED) {
        if (get_refused(in, &refusal, why) == ERR_OK)
            log_say(c->log, LOG_LEVEL_WARNING, "%s closes the connection: %s", k->peer, why);
        contact_end(c, k);
        return;
    }
    if (!may_say(c, k, in->type))
        snprintf(why, sizeof(why), "%s is not for this connection", wire_spec(in->type)->name);
    else if (wire_is_member(in->type))
        e = heard_member(c, k, in);
    else if (wire_is_raft(in->type))
        e = heard_raft(c, k, in, why);
    else if (in->type == WIRE_FETCH || in->type == WIRE_ENTRIES || in->type == WIRE_WHOLE)
        e = heard_log(c, k, in, why);
    else if (in->type == WIRE_PROPOSE || in->type == WIRE_PROPOSED || in->type == WIRE_REPORT)
        e = heard_proposal(c, k, in);
    else if (in->type == WIRE_HERE)
        e = heard_here(c, k, in);
    else if (in->type >= WIRE_JOIN && in->type <= WIRE_MET)
        e = heard_meeting(c, k, in, why);
    else
        snprintf(why, sizeof(why), "%s is over once the connection is open",
                 wire_spec(in->type)->name);
    if (e == ERR_OK)
        return;
    if (why[0] == '\0')
        wire_why(in, e, why);
    log_say(c->log, LOG_LEVEL_WARNING, "%s said what cannot be: %s", k->peer, why);
    put_refused(contact_answer(c, k), HELLO_MALFORMED, why);
    contact_end(c, k);
}

/* ---------------------------------------------------------------- words from the data plane */

static void ask(struct control *c, const struct word *w)
{
    struct map_entry e = {.base = c->map.index};
    switch (w->ask.what) {
    case ASK_MEET: meet_asked(c, w); return;
    case ASK_FAILOVER: failover_asked(c, w); return;
    case ASK_FORGET:
        e.type = MAP_LEAVE;
        e.about = w->ask.id;
        break;
    case ASK_SET:
        e.type = MAP_SET;
        e.set.value = w->ask.value;
        snprintf(e.set.name, sizeof(e.set.name), "%.*s", (int)sizeof(e.set.name) - 1, w->ask.text);
        break;
    }
    ticket_new(c, TICKET_ASK, w->ask.token, &e);
}

static void word(struct control *c, struct word *w)
{
    switch (w->type) {
    case WORD_ASK: ask(c, w); break;
    case WORD_APPLIED:
        member_do(c, &(struct member_event){.type = MEMBER_OWN,
                                            .own = {.applied = w->applied, .load = c->pulse.load}});
        break;
    case WORD_PROPOSE: follow_propose(c, w->entry.entry); break;
    case WORD_REPORT: follow_report(c, w); break;
    case WORD_CLOSED: meet_closed(c, w->closed); break;
    case WORD_ENTRY:
    case WORD_MAP:
    case WORD_ANSWER:
    case WORD_VIEW:
    case WORD_CLOSE: check(!"a word for the data plane"); break;
    }
    word_free(w);
}

/* ---------------------------------------------------------------- how things look from here */

static void why_no_service(struct control *c, char *text, size_t n)
{
    text[0] = '\0';
    if (c->standing == STANDING_OUT)
        snprintf(text, n, "not yet joined: %.140s",
                 c->why_not[0] != '\0' ? c->why_not : "no seed has answered yet");
    else if (c->standing == STANDING_GONE)
        snprintf(text, n, "%s", c->why_gone);
    else if (c->standing == STANDING_JOINED)
        snprintf(text, n, "this node has just joined, and its disk does not know that yet");
    else if (c->standing == STANDING_LEAVING)
        snprintf(text, n, "this node joins another cluster");
    else if (c->map.index == 0)
        snprintf(text, n, "no member of the cluster is reached, so there is no map yet");
    else if (mono_reached(c->now, c->lease))
        snprintf(text, n, "no lease: fewer than a majority of the %zu voters answer this node",
                 c->voters.n);
}

static struct word_peer view_of(struct control *c, uint16_t place)
{
    struct word_peer p = {.place = place};
    struct contact *link = place < c->peers.n ? c->peers.at[place].link : NULL;
    struct contact *guest = place < c->peers.n ? c->peers.at[place].guest : NULL;
    p.link_to = link != NULL && link->open;
    p.link_from = guest != NULL;
    if (p.link_to)
        p.link_since = link->since;
    const struct member_peer *m = rumors_find(&c->member.rumors, &c->map.nodes.at[place].id);
    if (m != NULL) {
        p.pong_received = m->heard;
        p.suspected_by = rumor_doubters(m, c->now, control_timeout_us(c));
    }
    return p;
}

static void view_due(struct control *c)
{
    struct word_view v = {.leader = c->raft.leader.node,
                          .term = c->raft.term,
                          .voters = (unsigned)c->voters.n,
                          .sent = c->sent,
                          .received = c->received};
    uint16_t leader = control_leader(c);
    if (leader != MAP_NOBODY)
        v.leader = c->map.nodes.at[leader].id;
    why_no_service(c, v.why_not, sizeof(v.why_not));
    bool news = !node_id_equal(&v.leader, &c->told.leader) || v.voters != c->told.voters ||
                strcmp(v.why_not, c->told.why_not) != 0;
    if (!news && !mono_reached(c->now, c->view_due))
        return;
    if (leader != MAP_NOBODY && leader != control_place(c) &&
        !node_id_equal(&v.leader, &c->told.leader)) {
        char name[MAP_NAME_BYTES];
        log_say(c->log, LOG_LEVEL_NOTICE, "node %s leads the controller",
                map_node_name(&c->map.nodes.at[leader], name));
    }
    c->told = v;
    c->view_due = mono_after(c->now, VIEW_US);
    struct word w = {.type = WORD_VIEW, .view = mem_get(sizeof(v))};
    *w.view = v;
    w.view->peers = mem_get((c->map.nodes.n + 1) * sizeof(*v.peers));
    for (uint16_t i = 0; i < c->map.nodes.n; i++)
        if (c->map.nodes.at[i].used)
            w.view->peers[w.view->peers_n++] = view_of(c, i);
    control_tell(c, w);
}

/* ---------------------------------------------------------------- a step */

/* Another voter is to lead. False: none that is heard could, and nothing is to be waited for. */
static bool hands_over(struct control *c)
{
    struct keep_fate fate = {.refused = RAFT_NOT_LEADER};
    if (c->raft.role != RAFT_LEADER || c->raft.voters.n == 1)
        return false;
    if (!mono_reached(c->now, c->transfer_retry))
        return true;
    c->transfer_retry = mono_after(c->now, control_timeout_us(c) / 10);
    keep_raft(c, &(struct raft_event){.type = RAFT_TRANSFER}, &fate);
    return fate.refused == RAFT_ACCEPTED;
}

static void stop_due(struct control *c)
{
    if (c->stopping && !c->out->stopped)
        c->out->stopped = mono_reached(c->now, c->stop_until) || !hands_over(c);
}

static void what_is_due(struct control *c)
{
    if (mono_reached(c->now, c->raft_wake))
        keep_raft(c, &(struct raft_event){.type = RAFT_DUE}, NULL);
    follow_changes(c);
    if (mono_reached(c->now, c->member_wake))
        member_do(c, &(struct member_event){.type = MEMBER_DUE});
    steward_step(c);
    tickets_due(c);
    follow_due(c);
    form_due(c);
    contacts_due(c);
    follow_changes(c);
    follow_serve(c);
    stop_due(c);
    view_due(c);
}

static void event(struct control *c, const struct control_event *ev)
{
    switch (ev->type) {
    case CONTROL_DUE: break;
    case CONTROL_GUEST: contact_guest(c, ev); break;
    case CONTROL_GUEST_BYTES: contact_bytes(c, ev->bytes.conn, false, ev->bytes.in); break;
    case CONTROL_GUEST_CLOSED: contact_closed(c, ev->closed, false); break;
    case CONTROL_DIALED: contact_dialed(c, ev); break;
    case CONTROL_LINK_BYTES: contact_bytes(c, ev->bytes.conn, true, ev->bytes.in); break;
    case CONTROL_LINK_CLOSED: contact_closed(c, ev->closed, true); break;
    case CONTROL_STORED: keep_stored(c, ev->disk); break;
    case CONTROL_WORD: word(c, ev->word); break;
    case CONTROL_ANNOUNCE: form_announce(c, ev->at); break;
    case CONTROL_LOADED: form_loaded(c, ev->new_data); break;
    case CONTROL_CLOCK_APART:
        member_do(c, &(struct member_event){.type = MEMBER_CLOCK_APART});
        break;
    case CONTROL_STOP:
        c->stopping = true;
        c->stop_until = mono_after(c->now, control_timeout_us(c));
        break;
    }
}

static struct mono wake_of(const struct control *c)
{
    struct mono wake = mono_earlier(c->view_due, c->stopping ? c->stop_until : MONO_NEVER);
    wake = mono_earlier(wake, mono_earlier(c->raft_wake, c->member_wake));
    wake = mono_earlier(wake, mono_earlier(contacts_wake(c), tickets_wake(c)));
    wake = mono_earlier(wake, form_wake(c));
    if (c->standing == STANDING_IN && control_place(c) != MAP_NOBODY)
        wake = mono_earlier(wake, c->want_due);
    return c->steward.term != 0 ? mono_earlier(wake, c->steward.wake) : wake;
}

static void out_clear(struct control_out *out)
{
    vec_clear(&out->dial);
    vec_clear(&out->send);
    vec_clear(&out->hang_up);
    vec_clear(&out->give);
    vec_clear(&out->words);
    out->disk.n = 0;
    out->stopped = out->failed = false;
}

/* Until this start's incarnation is on disk, and what it has read of the controllers' log lasts (a
 * kill -9 leaves a tail that only the page cache knows), who calls is not heard, and is told
 * nothing (C1). Who is in no cluster has time until it has loaded: nobody waits for it. */
static void event_when_new(struct control *c, const struct control_event *ev)
{
    if (ev->type == CONTROL_STORED)
        keep_stored(c, ev->disk);
    else if (ev->type == CONTROL_GUEST)
        *vec_add(&c->out->hang_up) = (struct control_hang_up){.conn = ev->guest.conn};
    else if (ev->type == CONTROL_WORD)
        word_free(ev->word);
    else if (ev->type == CONTROL_ANNOUNCE)
        form_announce(c, ev->at);
    else if (ev->type == CONTROL_LOADED)
        form_loaded(c, ev->new_data);
    else if (ev->type == CONTROL_STOP)
        c->out->stopped = true;
    if (keep_is_ready(c) && raft_file_is_idle(&c->file) && (c->loaded || c->identity.in_cluster))
        form_begin(c);
}

void control_step(struct control *c, const struct control_event *ev, struct control_out *out)
{
    check(c->out == NULL && ev->now.us >= c->now.us);
    out_clear(out);
    c->out = out;
    c->now = ev->now;
    c->pulse = ev->pulse;
    if (c->standing == STANDING_NEW)
        event_when_new(c, ev);
    else
        event(c, ev);
    if (c->standing != STANDING_NEW)
        what_is_due(c);
    keep_disk(c);
    contacts_carry(c);
    out->settled = c->loaded && keep_is_ready(c);
    out->wake = c->standing == STANDING_NEW ? MONO_NEVER : wake_of(c);
    out->lease = c->standing == STANDING_IN ? c->lease : (struct mono){0};
    c->out = NULL;
}

/* ---------------------------------------------------------------- beginning and end */

struct control *control_new(const struct control_config *config, struct identity *identity,
                            const struct raft_loaded *loaded, struct log *log, struct mono now)
{
    struct control *c = mem_zero(sizeof(*c));
    c->config = *config;
    c->log = log;
    c->now = now;
    c->standing = STANDING_NEW;
    rng_seed(&c->rng, config->seed);
    c->identity = *identity;
    *identity = (struct identity){0};
    map_init(&c->map);
    form_identity(c, !loaded->is_empty);
    control_member_anew(c);
    keep_begin(c, loaded);
    return c;
}

void control_check(const struct control *c)
{
    const char *wrong = c->map.index > 0 ? map_wrong(&c->map) : NULL;
    check(wrong == NULL);
    raft_check(&c->raft);
    member_check(&c->member);
    check(c->tail.n == 0 || c->tail_first + c->tail.n == c->map.index + 1); /* C2 */
    check(c->standing != STANDING_NEW || c->contacts.n == 0);               /* C1 */
}

void control_free(struct control *c)
{
    steward_free(c);
    follow_free(c);
    contacts_free(c);
    keep_free(c);
    member_free(&c->member);
    raft_free(&c->raft);
    map_free(&c->map);
    identity_free(&c->identity);
    mem_free(c);
}

void control_out_free(struct control_out *out)
{
    struct graves g = {0};
    for (size_t i = 0; i < out->send.n; i++)
        chain_free(&out->send.at[i].bytes, &g);
    for (size_t i = 0; i < out->words.n; i++)
        word_free(&out->words.at[i]);
    vec_free(&out->dial);
    vec_free(&out->send);
    vec_free(&out->hang_up);
    vec_free(&out->give);
    vec_free(&out->words);
    mem_free(out->disk.at);
}

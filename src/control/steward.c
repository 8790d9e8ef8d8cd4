/* SPDX-License-Identifier: BSD-3-Clause */

/* What the leader does: from what it sees of members, and from what the map says, the entries that are due.
 *
 *     silent -> SUSPECTED -> over -> DOWNED -> (restarted) RESTARTED | (well) CLEARED
 *     members or settings changed -> PLACE        slots without a primary -> reports -> ELECT
 *     leaving and named no more -> REMOVE         too few or dead voters -> one voter more or less
 *
 * Nothing before an entry of its own term is applied; nothing twice while the first is under way (C5). */
#include <stdio.h>

#include "base/check.h"
#include "base/mem.h"
#include "control/inside.h"
#include "core/ring/placement.h"
#include "wire/wire_map.h"

enum { VOTER_DOWN_US = 60 * 1000 * 1000 }; /* replication 18: a DOWN voter is replaced then */

static void ward_free(struct ward *w)
{
    map_entry_free(w->restart);
    *w = (struct ward){0};
}

void steward_free(struct control *c)
{
    struct steward *s = &c->steward;
    for (size_t i = 0; i < s->wards.n; i++)
        ward_free(&s->wards.at[i]);
    vec_free(&s->wards);
    mem_free(s->elections);
    *s = (struct steward){0};
}

static void begin(struct control *c)
{
    steward_free(c);
    c->steward.term = c->raft.term;
    c->steward.began = c->raft.applied;
    log_say(c->log, LOG_LEVEL_NOTICE, "this node leads the controller, term %llu", (unsigned long long)c->raft.term);
}

/* It leads, may decide, and knows nothing of former terms. */
static bool leads(struct control *c)
{
    if (!raft_leads(&c->raft) || c->stopping)
        return false;
    if (c->steward.term != c->raft.term)
        begin(c);
    return true;
}

static struct ward *ward_at(struct control *c, uint16_t place)
{
    struct steward *s = &c->steward;
    while (s->wards.n <= place)
        *vec_add(&s->wards) = (struct ward){0};
    struct ward *w = &s->wards.at[place];
    if (!node_id_equal(&w->id, &c->map.nodes.at[place].id)) {
        ward_free(w);
        w->id = c->map.nodes.at[place].id;
        w->down_since = MONO_NEVER;
    }
    return w;
}

/* False: it was not accepted; it is tried again, since what called for it is still so. */
static bool propose(struct control *c, const struct map_entry *e, uint64_t *index)
{
    char why[WIRE_WHY_BYTES];
    if (keep_propose_entry(c, e, index, why))
        return true;
    log_say(c->log, LOG_LEVEL_WARNING, "an entry of the controller's log was not accepted: %s", why);
    return false;
}

/* ------------------------------------------------------ who is silent, over, well, new */

static void propose_about(struct control *c, uint16_t place, enum map_entry_type type, const char *why)
{
    const struct map_node *n = &c->map.nodes.at[place];
    struct ward *w = ward_at(c, place);
    struct map_entry e = {.type = type, .base = c->map.index, .about = n->id, .incarnation = n->incarnation};
    if (w->proposed > c->map.index || !propose(c, &e, &w->proposed))
        return;
    char name[NODE_NAME_BYTES];
    log_say(c->log, LOG_LEVEL_NOTICE, "node %s: %s", say_node(n, name), why);
}

void steward_news(struct control *c, const struct member_news *news)
{
    uint16_t place = map_find(&c->map, &news->about);
    if (!leads(c) || place == MAP_NOBODY)
        return;
    const struct map_node *n = &c->map.nodes.at[place];
    if (news->incarnation < n->incarnation || (news->type != MEMBER_IS_NEW && news->incarnation != n->incarnation))
        return;
    switch (news->type) {
    case MEMBER_IS_SILENT:
        if (n->health == MAP_UP)
            propose_about(c, place, MAP_SUSPECTED, news->why);
        break;
    case MEMBER_IS_OVER:
        if (n->health == MAP_SUSPECT)
            propose_about(c, place, MAP_DOWNED, news->why);
        break;
    case MEMBER_IS_WELL:
        if (n->health != MAP_UP)
            propose_about(c, place, MAP_CLEARED, news->why);
        break;
    case MEMBER_IS_NEW: /* its former run may hold a lease, unless it can prove that it has ended (19) */
        if (n->health == MAP_UP && n->home == 0)
            propose_about(c, place, MAP_SUSPECTED, news->why);
        break;
    }
}

/* X says that it is here again, in another incarnation. */
void steward_wants_restart(struct control *c, const struct map_entry *e, char *why)
{
    uint16_t place = map_find(&c->map, &e->member.id);
    if (place == MAP_NOBODY) {
        snprintf(why, WIRE_WHY_BYTES, "no member of this cluster");
        return;
    }
    if (!leads(c)) {
        snprintf(why, WIRE_WHY_BYTES, "this node does not lead the controller");
        return;
    }
    struct ward *w = ward_at(c, place);
    map_entry_free(w->restart);
    w->restart = map_entry_copy(e);
    snprintf(why, WIRE_WHY_BYTES, "noted: its former run is let run out first");
}

/* The new run holds the lock that the former held, in the same boot: that one has ended (19). */
static bool is_at_home(const struct map_node *n, const struct map_entry *restart)
{
    return n->home != 0 && n->home == restart->member.home;
}

static void look_at_restart(struct control *c, uint16_t place)
{
    const struct map_node *n = &c->map.nodes.at[place];
    struct ward *w = ward_at(c, place);
    if (w->restart == NULL || w->proposed > c->map.index)
        return;
    if (w->restart->member.incarnation <= n->incarnation) {
        map_entry_free(w->restart);
        w->restart = NULL;
    } else if (n->health == MAP_DOWN || is_at_home(n, w->restart)) {
        propose(c, w->restart, &w->proposed);
    } else if (n->health == MAP_UP) {
        propose_about(c, place, MAP_SUSPECTED, "it was started again");
    }
}

/* ---------------------------------------------------------------- placement */

static void look_at_placement(struct control *c)
{
    struct steward *s = &c->steward;
    if (s->placed > c->map.index || (s->placed_nodes_ver == c->map.nodes_ver && s->placed_settings == c->settings_seen))
        return;
    struct placement p = {0};
    struct map_entry e = {.type = MAP_PLACE, .base = c->map.index};
    placement_next(&p, &c->map);
    e.runs.run = p.runs.at;
    e.runs.run_n = p.runs.n;
    if (p.runs.n == 0 || propose(c, &e, &s->placed)) {
        s->placed_nodes_ver = c->map.nodes_ver;
        s->placed_settings = c->settings_seen;
    }
    placement_free(&p);
}

/* --------------------------------------------------------------- elections */

static struct election *election_at(struct control *c, unsigned slot)
{
    struct steward *s = &c->steward;
    if (s->elections == NULL)
        s->elections = mem_zero(SLOTS * sizeof(*s->elections));
    struct election *e = &s->elections[slot];
    if (e->ver != c->map.slots[slot].ver)
        *e = (struct election){.ver = c->map.slots[slot].ver, .complete = MONO_NEVER};
    return e;
}

/* Where `place` stands in slots without a primary (replication 20). */
void steward_report(struct control *c, uint16_t place, const struct wire_report *m)
{
    if (!leads(c) || m->base > c->map.index)
        return;
    for (size_t i = 0; i < m->n; i++) {
        const struct map_slot *s = &c->map.slots[m->at[i].slot];
        if (s->primary != MAP_NOBODY || m->base < s->ver)
            continue;
        struct election *e = election_at(c, m->at[i].slot);
        struct vote_of_slot v = {place, m->incarnation, m->base, m->at[i].at};
        uint8_t k = 0;
        while (k < e->n && e->vote[k].place != place)
            k++;
        if (k == MAP_REPLICAS)
            continue;
        e->vote[k] = v;
        if (k == e->n)
            e->n++;
        c->steward.reported = true;
    }
}

/* A report counts while its node is live and of its known incarnation, and was made after what last was
 * said of it (20). */
static const struct vote_of_slot *vote_of(const struct control *c, const struct election *e, uint16_t place)
{
    const struct map_node *n = &c->map.nodes.at[place];
    for (uint8_t k = 0; k < e->n; k++) {
        const struct vote_of_slot *v = &e->vote[k];
        if (v->place == place && n->used && n->health == MAP_UP && v->incarnation == n->incarnation &&
            v->base >= n->health_index)
            return v;
    }
    return NULL;
}

/* Who is to be primary; MAP_NOBODY: it cannot be said yet. A slot has one copy: its last primary is all
 * of its isr (21 with |isr| = 1; in a later run 22, after T). */
static uint16_t winner(struct control *c, unsigned slot)
{
    const struct map_slot *s = &c->map.slots[slot];
    struct election *e = election_at(c, slot);
    const struct vote_of_slot *v = s->isr_n == 0 ? NULL : vote_of(c, e, s->isr[0]);
    if (v == NULL) {
        e->complete = MONO_NEVER;
        return MAP_NOBODY;
    }
    if (v->incarnation == s->isr_incarnation[0])
        return v->place;
    if (e->complete.us == MONO_NEVER.us)
        e->complete = c->now;
    struct mono due = mono_after(e->complete, control_timeout_us(c));
    if (mono_reached(c->now, due))
        return v->place;
    c->steward.elect_due = mono_earlier(c->steward.elect_due, due);
    return MAP_NOBODY;
}

/* Its one copy is on a node that is DOWN, and an operator said FORGET: the slot begins anew (22). */
static uint16_t heir(struct control *c, unsigned slot)
{
    const struct map_slot *s = &c->map.slots[slot];
    const struct map_node *last = s->isr_n == 0 ? NULL : &c->map.nodes.at[s->isr[0]];
    uint16_t to = s->want_n == 0 ? MAP_NOBODY : s->want[0];
    if (to == MAP_NOBODY || c->map.nodes.at[to].health != MAP_UP)
        return MAP_NOBODY;
    return last == NULL || (last->leaving && last->health == MAP_DOWN && to != s->isr[0]) ? to : MAP_NOBODY;
}

typedef uint16_t chooser(struct control *c, unsigned slot);

/* One ELECT for all slots for which `choose` names somebody. */
static void elect(struct control *c, chooser *choose, bool give_up)
{
    VEC(struct map_run) runs = {0};
    struct map_entry e = {.type = MAP_ELECT, .base = c->map.index};
    unsigned slots = 0;
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        uint16_t to = c->map.slots[slot].primary == MAP_NOBODY ? choose(c, slot) : MAP_NOBODY;
        if (to == MAP_NOBODY)
            continue;
        struct map_run *r = runs.n > 0 ? &runs.at[runs.n - 1] : NULL;
        slots++;
        if (r != NULL && r->to + 1U == slot && r->node[0] == to)
            r->to = (uint16_t)slot;
        else
            *vec_add(&runs) = (struct map_run){(uint16_t)slot, (uint16_t)slot, 1, {to}};
    }
    e.runs.run = runs.at;
    e.runs.run_n = runs.n;
    e.runs.give_up = give_up;
    if (runs.n > 0 && propose(c, &e, &c->steward.elected) && give_up)
        log_say(c->log, LOG_LEVEL_WARNING,
                "%u slots begin anew without their data: their only copies were on a node that was down when it was "
                "forgotten", slots);
    vec_free(&runs);
}

/* Looked at when the map or a report says something new, or the time of one has come. */
static void look_at_elections(struct control *c)
{
    struct steward *s = &c->steward;
    if (s->elected > c->map.index)
        return;
    if (s->looked == c->map.index && !s->reported && !mono_reached(c->now, s->elect_due)) {
        s->wake = mono_earlier(s->wake, s->elect_due);
        return;
    }
    s->looked = c->map.index;
    s->reported = false;
    s->elect_due = MONO_NEVER;
    elect(c, winner, false);
    if (s->elected <= c->map.index)
        elect(c, heir, true);
    s->wake = mono_earlier(s->wake, s->elect_due);
}

/* ------------------------------------------------------------- who left */

static bool is_named(const struct map *m, uint16_t place)
{
    for (unsigned slot = 0; slot < SLOTS; slot++)
        if (map_replicas_have(&m->slots[slot], place)) /* who is wished and who is in sync, all of them (P3) */
            return true;
    return false;
}

static void look_at_leaver(struct control *c, uint16_t place)
{
    const struct map_node *n = &c->map.nodes.at[place];
    struct raft_peer p = {n->id, n->voter};
    if (n->leaving && !is_named(&c->map, place) && !raft_voters_has(&c->raft.voters, &p))
        propose_about(c, place, MAP_REMOVE, "it left the cluster");
}

/* ------------------------------------------------------------------ voters */

static bool is_voter_node(const struct raft_voters *v, const struct node_id *id)
{
    for (size_t i = 0; i < v->n; i++)
        if (node_id_equal(&v->at[i].node, id))
            return true;
    return false;
}

/* A DOWN voter is not replaced at once: most come back (replication 18). */
static bool is_long_down(struct control *c, uint16_t place)
{
    if (c->map.nodes.at[place].health != MAP_DOWN)
        return false;
    struct mono due = mono_after(ward_at(c, place)->down_since, VOTER_DOWN_US);
    if (mono_reached(c->now, due))
        return true;
    c->steward.voters_due = mono_earlier(c->steward.voters_due, due);
    return false;
}

static bool may_vote(struct control *c, uint16_t place)
{
    const struct map_node *n = &c->map.nodes.at[place];
    return n->used && !n->leaving && (n->health != MAP_DOWN || is_voter_node(&c->raft.voters, &n->id));
}

static bool zone_is_new(const struct control *c, const uint16_t *chosen, size_t n, uint16_t place)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(c->map.nodes.at[chosen[i]].zone, c->map.nodes.at[place].zone) == 0)
            return false;
    return true;
}

/* The turns in which voters are chosen: those of now before others, new zones before old ones, and who is
 * down for long only for want of anybody else. */
enum { TURN_VOTERS_NEW_ZONE, TURN_OTHERS_NEW_ZONE, TURN_VOTERS, TURN_OTHERS, TURN_LONG_DOWN, TURNS };

static bool is_its_turn(struct control *c, int turn, uint16_t place, const uint16_t *chosen, size_t n)
{
    for (size_t k = 0; k < n; k++)
        if (chosen[k] == place)
            return false;
    if (!may_vote(c, place) || is_long_down(c, place) != (turn == TURN_LONG_DOWN))
        return false;
    if (turn == TURN_LONG_DOWN)
        return true;
    if (turn <= TURN_OTHERS_NEW_ZONE && !zone_is_new(c, chosen, n, place))
        return false;
    return is_voter_node(&c->raft.voters, &c->map.nodes.at[place].id) == (turn == TURN_VOTERS_NEW_ZONE || turn == TURN_VOTERS);
}

/* The voters there should be: as many as may be, an odd number. */
static size_t voters_wanted(struct control *c, uint16_t chosen[RAFT_VOTERS_MAX])
{
    size_t able = 0, n = 0, most = c->map.settings.voters;
    for (uint16_t i = 0; i < c->map.nodes.n; i++)
        able += may_vote(c, i);
    most = most < able ? most : able;
    if (most % 2 == 0 && most > 0)
        most--;
    for (int turn = 0; turn < TURNS; turn++)
        for (uint16_t i = 0; i < c->map.nodes.n && n < most; i++)
            if (is_its_turn(c, turn, i, chosen, n))
                chosen[n++] = i;
    return n;
}

static bool is_among(const struct control *c, const uint16_t *chosen, size_t n, const struct raft_peer *p)
{
    for (size_t k = 0; k < n; k++) {
        const struct map_node *m = &c->map.nodes.at[chosen[k]];
        if (node_id_equal(&m->id, &p->node) && data_id_equal(&m->voter, &p->data))
            return true;
    }
    return false;
}

/* One voter more, who has learned the log, or one less, towards who is wanted: who is to come goes before
 * who is to leave, so that there are never fewer. learner: who is to learn the log first. */
static bool next_voters(struct control *c, const uint16_t *chosen, size_t n, struct raft_voters *next,
                        struct raft_peer *learner)
{
    *next = c->raft.voters;
    for (size_t i = 0; i < n && next->n < RAFT_VOTERS_MAX; i++) {
        const struct map_node *m = &c->map.nodes.at[chosen[i]];
        struct raft_peer p = {m->id, m->voter};
        struct mono heard;
        uint64_t match;
        if (m->health != MAP_UP || is_voter_node(next, &m->id)) /* another one by now: the old one goes first */
            continue;
        *learner = p;
        if (!raft_contact(&c->raft, &p, &heard, &match) || match < c->steward.began)
            return false;
        next->at[next->n++] = p;
        return true;
    }
    for (size_t i = 0; i < next->n && next->n > 1; i++)
        if (!is_among(c, chosen, n, &next->at[i])) {
            next->at[i] = next->at[--next->n];
            return true;
        }
    return false;
}

static void change_voters(struct control *c)
{
    uint16_t chosen[RAFT_VOTERS_MAX];
    struct raft_voters next;
    struct raft_peer learner = {0};
    size_t n = voters_wanted(c, chosen);
    bool change = n > 0 && next_voters(c, chosen, n, &next, &learner);
    keep_learner(c, &learner);
    if (change)
        keep_voters(c, &next);
    else if (!raft_peer_is_nobody(&learner)) /* it is seen again how far it has come */
        c->steward.voters_due = mono_after(c->now, control_timeout_us(c) / 10);
}

/* Looked at when the map or the voters are others, or the time has come: it costs a look at every member. */
static void look_at_voters(struct control *c)
{
    struct steward *s = &c->steward;
    if (c->raft.voters_index > c->raft.applied)
        return;
    if (s->voters_map != c->map.index || s->voters_of != c->raft.voters_index || mono_reached(c->now, s->voters_due)) {
        s->voters_map = c->map.index;
        s->voters_of = c->raft.voters_index;
        s->voters_due = MONO_NEVER;
        change_voters(c);
    }
    s->wake = mono_earlier(s->wake, s->voters_due);
}

/* ----------------------------------------------------------------- its step */

static void look_at_member(struct control *c, uint16_t place)
{
    struct ward *w = ward_at(c, place);
    bool down = c->map.nodes.at[place].health == MAP_DOWN;
    if (!down)
        w->down_since = MONO_NEVER;
    else if (w->down_since.us == MONO_NEVER.us)
        w->down_since = c->now;
    look_at_restart(c, place);
    look_at_leaver(c, place);
}

void steward_step(struct control *c)
{
    struct steward *s = &c->steward;
    bool may = leads(c);
    if (may != c->told_leads) {
        c->told_leads = may;
        control_leads_or_not(c);
    }
    if (!may) {
        if (s->term != 0)
            steward_free(c);
        return;
    }
    s->wake = MONO_NEVER;
    for (uint16_t i = 0; i < c->map.nodes.n; i++)
        if (c->map.nodes.at[i].used)
            look_at_member(c, i);
    look_at_placement(c);
    look_at_elections(c);
    look_at_voters(c);
}

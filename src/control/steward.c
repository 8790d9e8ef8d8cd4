/* SPDX-License-Identifier: BSD-3-Clause */

/* What the leader does: from what it sees of members, and from what the map says, the entries
 * that are due.
 *
 *     silent -> SUSPECTED -> over -> DOWNED -> (restarted) RESTARTED | (well) CLEARED
 *     members or settings changed -> PLACE        slots without a primary -> reports -> ELECT
 *     leaving and named no more -> REMOVE         too few or dead voters -> one voter more or less
 *     a new cluster-node-timeout that all have applied -> TIMEOUT_SETTLED
 *
 * Nothing before an entry of its own term is applied; nothing twice while the first is
 * under way (C5). */
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

/* Nine megabytes: they are there while slots are without a primary. */
static void elections_free(struct steward *s)
{
    mem_free(s->elections);
    s->elections = NULL;
}

void steward_free(struct control *c)
{
    struct steward *s = &c->steward;
    for (size_t i = 0; i < s->wards.n; i++)
        ward_free(&s->wards.at[i]);
    vec_free(&s->wards);
    elections_free(s);
    *s = (struct steward){0};
}

static void begin(struct control *c)
{
    steward_free(c);
    c->steward.term = c->raft.term;
    c->steward.began = c->raft.applied;
    log_say(c->log, LOG_LEVEL_NOTICE, "this node leads the controller, term %llu",
            (unsigned long long)c->raft.term);
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
    log_say(c->log, LOG_LEVEL_WARNING, "an entry of the controller's log was not accepted: %s",
            why);
    return false;
}

/* ------------------------------------------------------ who is silent, over, well, new */

static void propose_about(struct control *c, uint16_t place, enum map_entry_type type,
                          const char *why)
{
    const struct map_node *n = &c->map.nodes.at[place];
    struct ward *w = ward_at(c, place);
    struct map_entry e = {
        .type = type, .base = c->map.index, .about = n->id, .incarnation = n->incarnation};
    if (w->proposed > c->map.index || !propose(c, &e, &w->proposed))
        return;
    char name[MAP_NAME_BYTES];
    log_say(c->log, LOG_LEVEL_NOTICE, "node %s: %s", map_node_name(n, name), why);
}

void steward_news(struct control *c, const struct member_news *news)
{
    uint16_t place = map_find(&c->map, &news->about);
    if (!leads(c) || place == MAP_NOBODY)
        return;
    const struct map_node *n = &c->map.nodes.at[place];
    if (news->incarnation < n->incarnation ||
        (news->type != MEMBER_IS_NEW && news->incarnation != n->incarnation))
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
        if (n->health == MAP_DOWN ||
            (n->health == MAP_SUSPECT && !ward_at(c, place)->mute && !ward_at(c, place)->forced))
            propose_about(c, place, MAP_CLEARED, news->why);
        break;
    case MEMBER_IS_NEW:
        /* its former run may hold a lease, unless it can prove that it has ended (19) */
        if (n->health == MAP_UP && n->home == 0)
            propose_about(c, place, MAP_SUSPECTED, news->why);
        break;
    }
}

/* ISR and HANDOVER share one (12); 0: another kind. */
static uint64_t count_of(const struct map_entry *e)
{
    return e->type == MAP_ISR ? e->isr.n : e->type == MAP_HANDOVER ? e->handover.n : 0;
}

/* Where its proposer's count is kept; NULL: it has none, or is no member's, or this node does not
 * lead. */
static struct ward *ward_counting(struct control *c, const struct map_entry *e)
{
    uint16_t place = map_find(&c->map, &e->about);
    return count_of(e) > 0 && place != MAP_NOBODY && leads(c) ? ward_at(c, place) : NULL;
}

bool steward_has(struct control *c, const struct map_entry *e)
{
    const struct ward *w = ward_counting(c, e);
    return w != NULL && w->counted_run == e->incarnation && count_of(e) <= w->counted;
}

void steward_appended(struct control *c, const struct map_entry *e)
{
    struct ward *w = ward_counting(c, e);
    if (w == NULL)
        return;
    w->counted_run = e->incarnation;
    w->counted = count_of(e);
}

/* However well it is heard, it is called DOWN before it is cleared. */
void steward_forces(struct control *c, const struct node_id *who, uint64_t index)
{
    uint16_t place = map_find(&c->map, who);
    char name[MAP_NAME_BYTES];
    if (place == MAP_NOBODY || c->map.nodes.at[place].health == MAP_DOWN)
        return;
    struct ward *w = ward_at(c, place);
    w->forced = true;
    w->proposed = index > w->proposed ? index : w->proposed;
    log_say(c->log, LOG_LEVEL_WARNING, "node %s is forced out: CLUSTER FAILOVER FORCE",
            map_node_name(&c->map.nodes.at[place], name));
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

static bool is_wished(const struct map *m, uint16_t place)
{
    for (unsigned slot = 0; slot < SLOTS; slot++)
        if (map_wishes(&m->slots[slot], place))
            return true;
    return false;
}

/* DOWN for so long that its copies are to be made elsewhere; or a former leader has
 * wished so (27). */
static bool is_evicted(struct control *c, uint16_t place)
{
    const struct map_node *n = &c->map.nodes.at[place];
    int64_t after_us = (int64_t)c->map.settings.evict_after_s * 1000000;
    if (!n->used || n->health != MAP_DOWN || n->leaving || n->weight == 0)
        return false;
    if (!is_wished(&c->map, place))
        return true;
    struct mono due =
        after_us == 0 ? MONO_NEVER : mono_after(ward_at(c, place)->down_since, after_us);
    if (!mono_reached(c->now, due))
        c->steward.evict_due = mono_earlier(c->steward.evict_due, due);
    return mono_reached(c->now, due);
}

/* If most are down nobody is evicted: then it is the few that are cut off. */
static bool most_are_down(const struct map *m)
{
    size_t down = 0, members = 0;
    for (size_t i = 0; i < m->nodes.n; i++) {
        members += m->nodes.at[i].used;
        down += m->nodes.at[i].used && m->nodes.at[i].health == MAP_DOWN;
    }
    return 2 * down > members;
}

/* The map as placement is to see it: who is evicted leaves. */
static void place(struct control *c, struct placement *p)
{
    struct map seen;
    bool any = false, most = most_are_down(&c->map);
    map_init(&seen);
    c->steward.evict_due = MONO_NEVER;
    for (uint16_t i = 0; i < c->map.nodes.n && !most; i++) {
        if (!is_evicted(c, i))
            continue;
        if (!any)
            map_copy(&seen, &c->map);
        any = true;
        seen.nodes.at[i].leaving = true;
        if (is_wished(&c->map, i)) {
            char name[MAP_NAME_BYTES];
            log_say(c->log, LOG_LEVEL_WARNING,
                    "node %s has been down for cluster-evict-after: its copies are made on others",
                    map_node_name(&c->map.nodes.at[i], name));
        }
    }
    placement_next(p, any ? &seen : &c->map);
    map_free(&seen);
}

static void look_at_placement(struct control *c)
{
    struct steward *s = &c->steward;
    bool same = s->placed_nodes_ver == c->map.nodes_ver && s->placed_settings == c->settings_seen;
    if (s->placed > c->map.index)
        return;
    if (same && !mono_reached(c->now, s->evict_due)) {
        s->wake = mono_earlier(s->wake, s->evict_due);
        return;
    }
    struct placement p = {0};
    struct map_entry e = {.type = MAP_PLACE, .base = c->map.index};
    place(c, &p);
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
        *e = (struct election){.ver = c->map.slots[slot].ver, .began = c->now};
    return e;
}

static void vote_take(struct control *c, unsigned slot, const struct vote_of_slot *v)
{
    struct election *e = election_at(c, slot);
    uint8_t k = 0;
    while (k < e->n && e->vote[k].report.place != v->report.place)
        k++;
    /* wishes came and went: who reported first is not asked any more, the others say it again */
    if (k == MAP_REPLICAS)
        return;
    if (k < e->n && e->vote[k].incarnation == v->incarnation && e->vote[k].base >= v->base)
        return; /* said again */
    e->vote[k] = *v;
    if (k == e->n)
        e->n++;
    bits_add(&c->steward.reported, slot);
    c->steward.any_reported = true;
}

/* Where `place` stands in slots without a primary (replication 20). */
void steward_report(struct control *c, uint16_t place, const struct wire_report *m)
{
    if (!leads(c) || m->base > c->map.index)
        return;
    const struct map_node *n = &c->map.nodes.at[place];
    if (m->incarnation == n->incarnation && m->base >= n->health_index)
        ward_at(c, place)->mute = false;
    for (size_t i = 0; i < m->n; i++) {
        const struct map_slot *s = &c->map.slots[m->at[i].slot];
        struct vote_of_slot v = {
            m->incarnation, m->base, {place, m->clean_since, m->data_since, m->at[i].at, c->now}};
        if (s->primary == MAP_NOBODY && m->base >= s->ver && map_replicas_have(s, place))
            vote_take(c, m->at[i].slot, &v);
    }
}

/* A report counts while its node is live and of its known incarnation, and was made after what was
 * last said of it (20). */
static unsigned reports_that_count(const struct control *c, const struct election *e,
                                   struct election_report to[MAP_REPLICAS])
{
    unsigned n = 0;
    for (uint8_t k = 0; k < e->n; k++) {
        const struct vote_of_slot *v = &e->vote[k];
        const struct map_node *who = &c->map.nodes.at[v->report.place];
        if (who->used && who->health == MAP_UP && v->incarnation == who->incarnation &&
            v->base >= who->health_index)
            to[n++] = v->report;
    }
    return n;
}

/* What one look at slots without a primary comes to. */
struct ballot {
    VEC(struct map_run) made, given_up;
    bool mute[MAP_NODES];
    unsigned lost_n;
};

static void ballot_put(struct ballot *b, unsigned slot, const struct election_choice *c)
{
    struct map_run run = {.from = (uint16_t)slot, .to = (uint16_t)slot, .n = c->n};
    memcpy(run.node, c->node, c->n * sizeof(run.node[0]));
    size_t n = c->give_up ? b->given_up.n : b->made.n;
    struct map_run *last = n == 0 ? NULL : c->give_up ? &b->given_up.at[n - 1] : &b->made.at[n - 1];
    if (last != NULL && last->to + 1U == slot && last->n == run.n &&
        memcmp(last->node, run.node, sizeof(run.node)) == 0)
        last->to = (uint16_t)slot;
    else if (c->give_up)
        *vec_add(&b->given_up) = run;
    else
        *vec_add(&b->made) = run;
}

static void look_at_election(struct control *c, unsigned slot, struct ballot *b)
{
    struct election_report report[MAP_REPLICAS];
    struct election_choice choice;
    const struct election *e = election_at(c, slot);
    struct election_view v = {.map = &c->map,
                              .slot = &c->map.slots[slot],
                              .report = report,
                              .now = c->now,
                              .began = e->began,
                              .said = c->steward.said,
                              .timeout_us = control_timeout_us(c)};
    v.report_n = reports_that_count(c, e, report);
    election_choose(&v, &choice);
    switch (choice.state) {
    case ELECTION_MADE: ballot_put(b, slot, &choice); break;
    case ELECTION_LOST: b->lost_n++; break;
    case ELECTION_WAITS:
        c->steward.elect_due = mono_earlier(c->steward.elect_due, choice.due);
        for (uint8_t i = 0; i < choice.mute_n; i++)
            b->mute[choice.mute[i]] = true;
        break;
    }
}

/* False: it was not accepted, or there is none. */
static bool elect(struct control *c, const struct map_run *run, size_t run_n, bool give_up)
{
    struct map_entry e = {.type = MAP_ELECT, .base = c->map.index, .runs = {run, run_n, give_up}};
    unsigned slots = 0;
    for (size_t i = 0; i < run_n; i++)
        slots += run[i].to - run[i].from + 1U;
    if (run_n == 0 || !propose(c, &e, &c->steward.elected))
        return false;
    if (give_up)
        log_say(c->log, LOG_LEVEL_WARNING,
                "%u slots begin anew with what is left of them: who was in sync was lost when it "
                "was forgotten",
                slots);
    return true;
}

/* Who is waited for and has said nothing for T is not waited for any longer: its lease
 * runs out (21). */
static void suspect_mute(struct control *c, const struct ballot *b)
{
    for (uint16_t i = 0; i < c->map.nodes.n; i++)
        if (b->mute[i]) {
            ward_at(c, i)->mute = true;
            propose_about(c, i, MAP_SUSPECTED,
                          "it does not say where it stands in slots without a primary");
        }
}

static void tell_lost(struct control *c, unsigned lost_n)
{
    struct steward *s = &c->steward;
    if (lost_n > s->lost_n)
        log_say(c->log, LOG_LEVEL_WARNING,
                "%u slots stay without a primary: the nodes that were in sync came back without "
                "their data. Start one of them with it; or CLUSTER FORGET them, to go on with what "
                "other copies hold, which may be nothing",
                lost_n);
    s->lost_n = lost_n;
}

/* Elections are looked at when a report says something new of them, all of them when the map does
 * or the time of one has come. */
static void look_at_elections(struct control *c)
{
    struct steward *s = &c->steward;
    if (s->elected > c->map.index || c->map.nodes.n == 0)
        return;
    bool all = s->looked_slots != c->map.slots_ver || s->looked_nodes != c->map.nodes_ver ||
               s->looked_settings != c->settings_seen || mono_reached(c->now, s->elect_due);
    if (all || s->any_reported) {
        struct ballot b = {.lost_n = 0};
        s->elect_due = all ? MONO_NEVER : s->elect_due;
        bool any = false;
        for (unsigned slot = 0; slot < SLOTS; slot++) {
            bool is_open = c->map.slots[slot].primary == MAP_NOBODY;
            any |= is_open;
            if (is_open && (all || bits_has(&s->reported, slot)))
                look_at_election(c, slot, &b);
        }
        if (!any)
            elections_free(s);
        s->reported = (struct bits){0};
        s->any_reported = false;
        s->looked_slots = c->map.slots_ver;
        s->looked_nodes = c->map.nodes_ver;
        s->looked_settings = c->settings_seen;
        suspect_mute(c, &b);
        if (!elect(c, b.made.at, b.made.n, false) && !elect(c, b.given_up.at, b.given_up.n, true) &&
            b.made.n + b.given_up.n > 0)
            s->looked_slots = 0; /* tried again, from the first */
        if (all)
            tell_lost(c, b.lost_n);
        else if (b.lost_n > 0)
            s->looked_slots = 0; /* counted with the others */
        vec_free(&b.made);
        vec_free(&b.given_up);
    }
    s->wake = mono_earlier(s->wake, s->elect_due);
}

/* ------------------------------------------------------------- who left */

static bool is_named(const struct map *m, uint16_t place)
{
    for (unsigned slot = 0; slot < SLOTS; slot++)
        if (map_replicas_have(&m->slots[slot],
                              place)) /* who is wished and who is in sync, all of them (P3) */
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
    return n->used && !n->leaving &&
           (n->health != MAP_DOWN || voters_have_node(&c->raft.voters, &n->id));
}

static bool zone_is_new(const struct control *c, const uint16_t *chosen, size_t n, uint16_t place)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(c->map.nodes.at[chosen[i]].zone, c->map.nodes.at[place].zone) == 0)
            return false;
    return true;
}

/* The turns in which voters are chosen: those of now before others, new zones before old ones, and
 * who is down for long only for want of anybody else. */
enum {
    TURN_VOTERS_NEW_ZONE,
    TURN_OTHERS_NEW_ZONE,
    TURN_VOTERS,
    TURN_OTHERS,
    TURN_LONG_DOWN,
    TURNS
};

static bool is_its_turn(struct control *c, int turn, uint16_t place, const uint16_t *chosen,
                        size_t n)
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
    return voters_have_node(&c->raft.voters, &c->map.nodes.at[place].id) ==
           (turn == TURN_VOTERS_NEW_ZONE || turn == TURN_VOTERS);
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

static bool is_among(const struct control *c, const uint16_t *chosen, size_t n,
                     const struct raft_peer *p)
{
    for (size_t k = 0; k < n; k++) {
        const struct map_node *m = &c->map.nodes.at[chosen[k]];
        if (node_id_equal(&m->id, &p->node) && data_id_equal(&m->voter, &p->data))
            return true;
    }
    return false;
}

static bool voter_is_up(const struct control *c, const struct raft_peer *p)
{
    uint16_t place = map_find(&c->map, &p->node);
    return place != MAP_NOBODY && c->map.nodes.at[place].health == MAP_UP &&
           data_id_equal(&c->map.nodes.at[place].voter, &p->data);
}

/* Of those who are to leave who is not there goes first, and nobody, there or not, while too few of
 * the others are there for a majority: they could decide nothing more, not even that. */
static bool one_voter_less(const struct control *c, const uint16_t *chosen, size_t n,
                           struct raft_voters *next)
{
    size_t up = 0, leaver = next->n;
    for (size_t i = 0; i < next->n; i++) {
        bool is_up = voter_is_up(c, &next->at[i]);
        up += is_up;
        if (!is_among(c, chosen, n, &next->at[i]) && (leaver == next->n || !is_up))
            leaver = i;
    }
    if (leaver == next->n || next->n == 1 ||
        2 * (up - voter_is_up(c, &next->at[leaver])) <= next->n - 1)
        return false;
    next->at[leaver] = next->at[--next->n];
    return true;
}

/* One voter more, who has learned the log, or one less, towards who is wanted: who is to come goes
 * before who is to leave, so that there are never fewer. learner: who is to learn the log first. */
static bool next_voters(struct control *c, const uint16_t *chosen, size_t n,
                        struct raft_voters *next, struct raft_peer *learner)
{
    *next = c->raft.voters;
    for (size_t i = 0; i < n && next->n < RAFT_VOTERS_MAX; i++) {
        const struct map_node *m = &c->map.nodes.at[chosen[i]];
        struct raft_peer p = {m->id, m->voter};
        struct mono heard;
        uint64_t match;
        /* another one by now: the old one goes first */
        if (m->health != MAP_UP || voters_have_node(next, &m->id))
            continue;
        *learner = p;
        if (!raft_contact(&c->raft, &p, &heard, &match) || match < c->steward.began)
            return false;
        next->at[next->n++] = p;
        return true;
    }
    return one_voter_less(c, chosen, n, next);
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

/* Looked at when the map or the voters are others, or the time has come: it costs a look
 * at every member. */
static void look_at_voters(struct control *c)
{
    struct steward *s = &c->steward;
    if (c->raft.voters_index > c->raft.applied)
        return;
    if (s->voters_map != c->map.index || s->voters_of != c->raft.voters_index ||
        mono_reached(c->now, s->voters_due)) {
        s->voters_map = c->map.index;
        s->voters_of = c->raft.voters_index;
        s->voters_due = MONO_NEVER;
        change_voters(c);
    }
    s->wake = mono_earlier(s->wake, s->voters_due);
}

/* ------------------------------------------------------- cluster-node-timeout */

/* Its lease is over, or it has told in its known run that it has applied the newest value: from
 * then on its lease is no longer than that. Of another run none counts before it has applied its
 * RESTARTED, which is newer still (16). */
static bool has_timeout(struct control *c, const struct map_node *n)
{
    const struct member_peer *p = rumors_find(&c->member.rumors, &n->id);
    return n->health == MAP_DOWN ||
           (p != NULL && p->last.t > 0 && p->known.incarnation == n->incarnation &&
            p->last.map_version >= c->map.timeout.ver);
}

static void look_at_timeout(struct control *c)
{
    struct map_entry e = {.type = MAP_TIMEOUT_SETTLED, .base = c->map.index};
    if (map_timeout_is_settled(&c->map) || c->steward.timeout_settled > c->map.index)
        return;
    for (size_t i = 0; i < c->map.nodes.n; i++)
        if (c->map.nodes.at[i].used && !has_timeout(c, &c->map.nodes.at[i]))
            return;
    propose(c, &e, &c->steward.timeout_settled);
}

/* ----------------------------------------------------------------- its step */

static void look_at_member(struct control *c, uint16_t place)
{
    struct ward *w = ward_at(c, place);
    const struct map_node *n = &c->map.nodes.at[place];
    uint64_t said_index = n->health_index > n->run_index ? n->health_index : n->run_index;
    bool down = n->health == MAP_DOWN;
    if (w->said_index != said_index) {
        w->said_index = said_index;
        c->steward.said[place] = c->now;
    }
    if (n->health != MAP_SUSPECT && w->proposed <= c->map.index)
        w->mute = w->forced = false;
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
    look_at_timeout(c);
}

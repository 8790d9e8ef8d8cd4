/* SPDX-License-Identifier: BSD-3-Clause */

/* What every node does: apply what is committed, tell the data plane, hand it on to who is behind,
 * and see its own proposals through.
 *
 *     consensus (voters) -.
 *                         +-> follow_entry, in order, once (C2) -> map, tail, data plane, tickets
 *     a peer that is ahead'
 */
#include <stdio.h>

#include "base/check.h"
#include "base/mem.h"
#include "control/inside.h"
#include "control/recover.h"
#include "wire/wire_map.h"

/* ------------------------------------------------------------------- the tail */

static void tail_drop_front(struct control *c, size_t n)
{
    if (n == 0)
        return;
    for (size_t i = 0; i < n; i++) {
        c->tail_bytes -= c->tail.at[i].n;
        mem_free(c->tail.at[i].bytes);
    }
    c->tail.n -= n;
    memmove(c->tail.at, c->tail.at + n, c->tail.n * sizeof(*c->tail.at));
    c->tail_first += n;
}

static void tail_add(struct control *c, uint64_t term, uint8_t type, struct slice bytes)
{
    struct tail_entry t = {.term = term, .type = type, .bytes = mem_get(bytes.n + 1), .n = bytes.n};
    if (c->tail.n >= TAIL_ENTRIES || c->tail_bytes + bytes.n > TAIL_BYTES)
        tail_drop_front(c, (c->tail.n + 1) / 2);
    if (bytes.n > 0)
        memcpy(t.bytes, bytes.p, bytes.n);
    *vec_add(&c->tail) = t;
    c->tail_bytes += bytes.n;
}

/* From this one on, as many as one answer takes. */
static void tail_entries(const struct control *c, uint64_t from, struct wire_entries *to)
{
    size_t bytes = 0;
    *to = (struct wire_entries){.first = from};
    if (raft_is_voter(&c->raft)) /* others have it from hearsay */
        to->leader = c->raft.leader.node;
    for (size_t i = from - c->tail_first; i < c->tail.n && to->n < FETCH_ENTRIES; i++) {
        const struct tail_entry *t = &c->tail.at[i];
        bytes += t->n;
        if (to->n > 0 && bytes > FETCH_BYTES)
            break;
        to->at[to->n++] = (struct wire_entry){t->term, t->type, slice_of(t->bytes, t->n)};
    }
}

/* This node's cluster is none of its any more. */
void follow_forget(struct control *c)
{
    struct word w = {.type = WORD_MAP, .map = mem_get(sizeof(struct map))};
    tail_drop_front(c, c->tail.n);
    map_free(&c->map);
    map_init(&c->map);
    c->voters = (struct raft_voters){0};
    c->members_changed = true;
    c->was_member = false;
    word_free(&c->report);
    c->report = (struct word){0};
    map_init(w.map);
    control_tell(c, w);
}

void follow_free(struct control *c)
{
    tail_drop_front(c, c->tail.n);
    vec_free(&c->tail);
    word_free(&c->report);
    for (size_t i = 0; i < c->tickets.n; i++)
        mem_free(c->tickets.at[i].bytes);
    vec_free(&c->tickets);
}

/* --------------------------------------------------------------- what is committed */

/* The data plane's index goes on with entries that are nothing to the map: heartbeats tell it, and
 * a voter echoes none that stands still (replication 16). */
static void tell_entry(struct control *c, uint64_t index, struct map_entry *e)
{
    control_tell(c, (struct word){.type = WORD_ENTRY, .entry = {.index = index, .entry = e}});
}

/* Who is in sync, and it is enough: many entries of each move of slots. */
static bool is_everyday(const struct map *m, const struct map_entry *e)
{
    bool enough = e->type == MAP_ISR;
    for (size_t i = 0; enough && i < e->isr.run_n; i++)
        enough = e->isr.run[i].n >= m->settings.replication_factor;
    return enough;
}

/* What was decided before this start is known here, or before this node joined, is the past
 * and alarms nobody. */
static void log_applied(struct control *c, uint64_t index, const struct map_entry *e,
                        const struct map_applied *a)
{
    char text[SAY_BYTES];
    say_entry(&c->map, e, text);
    if (a->is_void)
        log_say(c->log, LOG_LEVEL_VERBOSE, "map %llu: %s: void: %s", (unsigned long long)index,
                text, a->why_void != NULL ? a->why_void : "nothing changed");
    else
        log_say(c->log,
                c->was_member && !is_everyday(&c->map, e) ? LOG_LEVEL_NOTICE : LOG_LEVEL_VERBOSE,
                "map %llu: %s", (unsigned long long)index, text);
}

static void give_whole(struct control *c, struct chain *to)
{
    char voters[RAFT_VOTERS_BYTES];
    struct chain bytes = {0};
    put_map(&bytes, &c->map);
    size_t n;
    char *flat = chain_flat(&bytes, NULL, &n);
    put_whole(to,
              &(struct wire_whole){.index = c->map.index,
                                   .voters = slice_of(voters, raft_voters_put(voters, &c->voters)),
                                   .map = slice_of(flat, n)});
    mem_free(flat);
}

/* Who was removed is told so by the leader: gossip speaks of it no more. */
static void tell_removed(struct control *c, const struct node_id *id)
{
    struct chain *to = c->raft.role == RAFT_LEADER ? contact_to_id(c, id) : NULL;
    if (to != NULL)
        give_whole(c, to);
}

/* A run that another one has followed, on a copied directory perhaps, is to know. */
void follow_former_run(struct control *c, struct contact *k)
{
    uint16_t place = map_find(&c->map, &k->id);
    if (k->open && !k->over && k->use == CONTACT_MEMBER && place != MAP_NOBODY &&
        k->incarnation < c->map.nodes.at[place].incarnation)
        give_whole(c, contact_answer(c, k));
}

static void tell_former_runs(struct control *c)
{
    for (size_t i = 0; c->raft.role == RAFT_LEADER && i < c->contacts.n; i++)
        follow_former_run(c, c->contacts.at[i]);
}

/* Returns why it is void, or NULL. */
static const char *apply_owner(struct control *c, uint64_t index, struct slice bytes)
{
    struct map_entry *e;
    char why[WIRE_WHY_BYTES];
    enum err bad = get_map_entry(bytes, &e, why);
    check(bad == ERR_OK); /* C10 */
    struct map_applied a = map_apply(&c->map, index, e);
    log_applied(c, index, e, &a);
    c->members_changed |= a.nodes || a.settings;
    c->settings_seen += a.settings;
    if (e->type == MAP_REMOVE && !a.is_void)
        tell_removed(c, &e->about);
    else if (e->type == MAP_RESTARTED && !a.is_void)
        tell_former_runs(c);
    tell_entry(c, index, e);
    return !a.is_void ? NULL : a.why_void != NULL ? a.why_void : "it changed nothing";
}

static void tickets_decide(struct control *c, uint64_t index, uint64_t term, const char *why_void)
{
    for (size_t i = 0; i < c->tickets.n; i++) {
        struct ticket *t = &c->tickets.at[i];
        if (t->index != index)
            continue;
        if (t->term == term)
            ticket_end(c, t, why_void);
        else
            t->index = 0; /* another leader's entry stands there: it is passed on again */
    }
}

/* Who votes no more is sent nothing further by consensus, and would believe in the old voters until
 * it misses it: by then its lease, which they do not renew, is over (16). So it is told what made
 * it so, and what was before that. */
static void tell_unseated(struct control *c, const struct raft_voters *before)
{
    size_t n = 0, bytes = 0;
    struct wire_entries out;
    while (n < c->tail.n && n < FETCH_ENTRIES &&
           (n == 0 || bytes + c->tail.at[c->tail.n - 1 - n].n <= FETCH_BYTES))
        bytes += c->tail.at[c->tail.n - 1 - n++].n;
    tail_entries(c, c->tail_first + c->tail.n - n, &out);
    for (size_t i = 0; c->raft.role == RAFT_LEADER && i < before->n; i++) {
        struct chain *to = raft_voters_has(&c->voters, &before->at[i])
                               ? NULL
                               : contact_to_id(c, &before->at[i].node);
        if (to != NULL)
            put_entries(to, &out);
    }
}

void follow_entry(struct control *c, uint64_t index, uint64_t term, uint8_t type,
                  struct slice bytes)
{
    const char *why_void = NULL;
    if (index <= c->map.index)
        return; /* it came the other way already (C2) */
    check(index == c->map.index + 1);
    if (c->tail.n == 0)
        c->tail_first = index;
    tail_add(c, term, type, bytes);
    if (type == RAFT_ENTRY_OWNER) {
        why_void = apply_owner(c, index, bytes);
    } else {
        c->map.index = index;
        if (type == RAFT_ENTRY_VOTERS) {
            struct raft_voters before = c->voters;
            enum err bad = raft_voters_get(&c->voters, bytes);
            check(bad == ERR_OK); /* C10 */
            c->members_changed = true;
            tell_unseated(c, &before);
        }
        tell_entry(c, index, NULL);
    }
    tickets_decide(c, index, term, why_void);
}

void follow_whole(struct control *c, uint64_t index, const struct raft_voters *voters,
                  struct map *m)
{
    if (index <= c->map.index)
        return;
    struct word w = {.type = WORD_MAP, .map = mem_get(sizeof(struct map))};
    tail_drop_front(c, c->tail.n);
    map_copy(&c->map, m);
    c->map.index = index;
    c->voters = *voters;
    c->members_changed = true;
    map_init(w.map);
    map_copy(w.map, &c->map);
    control_tell(c, w);
    log_say(c->log, LOG_LEVEL_NOTICE, "map %llu: taken over whole, %zu members",
            (unsigned long long)index, map_members_n(&c->map));
    /* their fate was among what was skipped: to be seen by trying again */
    for (size_t i = 0; i < c->tickets.n; i++)
        if (c->tickets.at[i].index != 0 && c->tickets.at[i].index <= index)
            c->tickets.at[i].index = 0;
}

/* ------------------------------------------------------ from and to who is ahead */

const struct raft_voters *follow_voters(const struct control *c)
{
    return c->map.index >= c->raft.voters_index ? &c->voters : &c->raft.voters;
}

/* A voter has the log from the leader; one that was removed may not have heard of it. */
static bool consensus_brings_it(const struct control *c)
{
    struct mono heard;
    if (!raft_is_voter(&c->raft) || !raft_voters_has(follow_voters(c), &c->raft.self))
        return false;
    return c->raft.role == RAFT_LEADER ||
           (raft_contact(&c->raft, &c->raft.leader, &heard, NULL) &&
            !mono_reached(c->now, mono_after(heard, control_timeout_us(c) / 2)));
}

/* From who says he is ahead; the more so where a new group has begun that ours never
 * hears of (C11). */
void follow_ahead(struct control *c, uint16_t place, uint64_t index)
{
    struct chain *to;
    bool is_ours = recover_group(index) == recover_group(c->map.index) && consensus_brings_it(c);
    if (index <= c->map.index || is_ours || !mono_reached(c->now, c->fetch_due) ||
        (to = contact_to(c, place)) == NULL)
        return;
    put_fetch(to, &(struct wire_fetch){c->map.index + 1});
    c->fetch_due = mono_after(c->now, control_timeout_us(c) / 4);
}

void follow_fetch(struct control *c, struct contact *k, const struct wire_fetch *m)
{
    bool is_ahead = m->from <= c->map.index && c->map.index > 0;
    bool may_wait = k->use == CONTACT_FOLLOWER || k->use == CONTACT_MEMBER;
    k->wants = !is_ahead && may_wait ? m->from : 0;
    if (!is_ahead)
        return;
    if (c->tail.n == 0 || m->from < c->tail_first) {
        give_whole(c, contact_answer(c, k));
        return;
    }
    struct wire_entries out;
    tail_entries(c, m->from, &out);
    put_entries(contact_answer(c, k), &out);
}

/* It asked before there was what it asked for. */
void follow_serve(struct control *c)
{
    if (c->served_index == c->map.index)
        return;
    c->served_index = c->map.index;
    for (size_t i = 0; i < c->contacts.n; i++) {
        struct contact *k = c->contacts.at[i];
        if (k->open && !k->over && k->wants != 0)
            follow_fetch(c, k, &(struct wire_fetch){k->wants});
    }
}

enum err follow_readable(uint8_t type, struct slice bytes, char *why)
{
    struct map_entry *e;
    struct raft_voters v;
    if (type == RAFT_ENTRY_OWNER) {
        TRY(get_map_entry(bytes, &e, why));
        map_entry_free(e);
    } else if (type == RAFT_ENTRY_VOTERS && raft_voters_get(&v, bytes) != ERR_OK) {
        snprintf(why, WIRE_WHY_BYTES, "an entry is no voter set");
        return ERR_SYNTAX;
    }
    return ERR_OK;
}

/* Who does not vote keeps one question open, at the voter whose answer brought news last:
 * heartbeats would tell it too late that there is more, and clients wait for what it knows (26). */
static void ask_on(struct control *c, struct contact *k)
{
    if (k->open && !k->over && k->use == CONTACT_MEMBER && voters_have_node(&c->voters, &k->id) &&
        !consensus_brings_it(c) && control_place(c) != MAP_NOBODY)
        put_fetch(contact_answer(c, k), &(struct wire_fetch){c->map.index + 1});
}

/* What a peer sends is committed: it was applied there. But it is bytes of another process. */
enum err follow_entries(struct control *c, struct contact *k, const struct wire_entries *m,
                        char *why)
{
    uint64_t before = c->map.index;
    for (size_t i = 0; i < m->n; i++) {
        uint64_t index = m->first + i;
        if (index <= c->map.index)
            continue;
        if (index != c->map.index + 1)
            break; /* an older answer: what lies between is asked for again */
        TRY(follow_readable(m->at[i].type, m->at[i].bytes, why));
        keep_committed(c, index, m->at[i].term);
        follow_entry(c, index, m->at[i].term, m->at[i].type, m->at[i].bytes);
    }
    (void)control_hear_leader(c, &m->leader);
    c->fetch_due = c->now;
    if (c->map.index > before)
        ask_on(c, k);
    return ERR_OK;
}

enum err follow_map(struct control *c, struct contact *k, const struct wire_whole *m, char *why)
{
    uint64_t before = c->map.index;
    struct map map;
    struct raft_voters voters;
    snprintf(why, WIRE_WHY_BYTES, "the voters are no voter set");
    TRY(raft_voters_get(&voters, m->voters));
    map_init(&map);
    enum err e = get_map(m->map, m->index, &map, why);
    bool is_new = e == ERR_OK && m->index > c->map.index &&
                  recover_group(m->index) > recover_group(c->map.index);
    if (e == ERR_OK)
        follow_whole(c, m->index, &voters, &map);
    if (is_new)
        keep_leave_group(c);
    map_free(&map);
    c->fetch_due = c->now;
    if (c->map.index > before)
        ask_on(c, k);
    return e;
}

/* ---------------------------------------------------- what a node wants for itself */

/* Passed to the leader, or appended here. Its fate is what the map says later. */
static void pass(struct control *c, const struct map_entry *e)
{
    char why[WIRE_WHY_BYTES];
    bool leads = raft_leads(&c->raft);
    if (leads && e->type == MAP_RESTARTED) {
        steward_wants_restart(c, e, why);
        return;
    }
    uint16_t place = leads ? MAP_NOBODY : control_passes_to(c);
    struct chain *to = place == MAP_NOBODY ? NULL : contact_to(c, place);
    if (!leads && to == NULL)
        return;
    uint64_t index;
    size_t n;
    char *flat = map_entry_flat(e, &n);
    if (to != NULL)
        put_propose(to, &(struct wire_propose){.token = 0, .entry = slice_of(flat, n)});
    else if (!ticket_append(c, slice_of(flat, n), e, &index, why))
        log_say(c->log, LOG_LEVEL_VERBOSE, "a proposal of this node's was not accepted: %s", why);
    mem_free(flat);
}

void follow_propose(struct control *c, const struct map_entry *e) /* the data plane's */
{
    if (c->standing == STANDING_IN)
        pass(c, e);
}

static bool is_announced(const struct map_node *n, const struct map_member *m)
{
    return strcmp(n->at.ip, m->at.ip) == 0 && strcmp(n->at.hostname, m->at.hostname) == 0 &&
           n->at.port == m->at.port && n->at.cluster_port == m->at.cluster_port &&
           strcmp(n->zone, m->zone) == 0 && n->weight == m->weight && n->home == m->home &&
           data_id_equal(&n->data, &m->data);
}

bool follow_is_known(const struct control *c)
{
    uint16_t self = control_place(c);
    if (self == MAP_NOBODY)
        return false;
    const struct map_node *n = &c->map.nodes.at[self];
    const struct endpoint *at = &c->config.at;
    return n->incarnation == c->identity.incarnation && n->at.cluster_port == at->cluster_port &&
           (at->ip[0] == '\0' || strcmp(n->at.ip, at->ip) == 0);
}

/* A new run, a new address or data-id: said until the map has it, and once it is on disk. */
static void look_at_self(struct control *c, const struct map_node *n)
{
    struct map_entry e = {.member = form_self(c)};
    if (e.member.at.ip[0] == '\0')
        memcpy(e.member.at.ip, n->at.ip, sizeof(n->at.ip));
    if (n->incarnation != c->identity.incarnation)
        e.type = MAP_RESTARTED;
    else if (!is_announced(n, &e.member))
        e.type = MAP_ANNOUNCE;
    else
        return;
    if (keep_is_ready(c))
        pass(c, &e);
}

/* Where this node's data plane stands in slots without a primary goes to whoever leads, until the
 * map has a primary for them. */
static void pass_report(struct control *c)
{
    const struct word *w = &c->report;
    uint16_t place = control_passes_to(c);
    bool open = false;
    for (size_t i = 0; i < w->report.slots_n && !open; i++) {
        const struct map_slot *s = &c->map.slots[w->report.slots[i].slot];
        open = s->primary == MAP_NOBODY && s->ver <= w->report.base;
    }
    if (!open || place == MAP_NOBODY)
        return;
    for (size_t at = 0; at < w->report.slots_n; at += REPORT_SLOTS) {
        size_t left = w->report.slots_n - at;
        struct wire_report m = {.base = w->report.base,
                                .incarnation = w->report.incarnation,
                                .clean_since = w->report.clean_since,
                                .data_since = w->report.data_since,
                                .n = left < REPORT_SLOTS ? left : REPORT_SLOTS,
                                .at = w->report.slots + at};
        struct chain *to;
        if (c->raft.role == RAFT_LEADER)
            steward_report(c, control_place(c), &m);
        else if ((to = contact_to(c, place)) != NULL)
            put_report(to, &m);
    }
}

void follow_report(struct control *c, struct word *w) /* taken */
{
    word_free(&c->report);
    c->report = *w;
    w->report.slots = NULL;
    c->want_due = c->now;
}

void follow_due(struct control *c)
{
    uint16_t self = control_place(c);
    if (c->standing != STANDING_IN || self == MAP_NOBODY || !mono_reached(c->now, c->want_due))
        return;
    c->want_due = mono_after(c->now, control_timeout_us(c) / 4);
    look_at_self(c, &c->map.nodes.at[self]);
    /* so it is known what reports (replication 22) */
    if (data_id_equal(&c->map.nodes.at[self].data, &c->identity.data))
        pass_report(c);
}

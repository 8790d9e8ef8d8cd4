/* SPDX-License-Identifier: BSD-3-Clause */

/* Proposals on their way to being decided.
 *
 *     made -> appended here (the leader) or passed to the leader -> its place in the log is known
 *          -> applied: decided; or another entry stands there, or nothing is heard: passed on again
 *
 * An entry may so be appended twice; every kind is void the second time. */
#include <stdio.h>

#include "base/check.h"
#include "base/mem.h"
#include "control/inside.h"
#include "wire/wire_map.h"

static void answer_join(struct control *c, struct ticket *t, const char *why)
{
    struct contact *k = contact_find(c, (uint32_t)t->token, false);
    struct wire_joined m = {.cluster = c->map.cluster};
    if (k == NULL)
        return;
    if (map_find(&c->map, &k->id) != MAP_NOBODY)
        why = NULL; /* it asked twice */
    snprintf(m.why_not, sizeof(m.why_not), "%s", why != NULL ? why : "");
    put_joined(contact_answer(c, k), &m);
}

void ticket_end(struct control *c, struct ticket *t, const char *why)
{
    t->over = true;
    switch (t->who) {
    case TICKET_JOIN: answer_join(c, t, why); break;
    case TICKET_ASK: control_answer(c, t->token, why); break;
    }
}

void ticket_new(struct control *c, enum ticket_for who, uint64_t token, const struct map_entry *e)
{
    struct ticket t = {.number = ++c->last_ticket,
                       .who = who,
                       .token = token,
                       .retry = c->now,
                       .until = mono_after(c->now, TICKET_US)};
    t.bytes = map_entry_flat(e, &t.n);
    *vec_add(&c->tickets) = t;
    if (c->tickets.n > TICKETS_MAX)
        ticket_end(c, &c->tickets.at[c->tickets.n - 1],
                   "too many changes of the cluster are under way: try again");
}

/* What a client or a node asked for, here or elsewhere. Only FORCE asks for a SUSPECT. */
bool ticket_append(struct control *c, struct slice bytes, const struct map_entry *e,
                   uint64_t *index, char *why)
{
    if (steward_has(c, e)) {
        snprintf(why, WIRE_WHY_BYTES, "it is under way already");
        return false;
    }
    bool good = keep_propose(c, bytes, index, why);
    if (good && e->type == MAP_SUSPECTED)
        steward_forces(c, &e->about, *index);
    if (good)
        steward_appended(c, e);
    return good;
}

static bool append_own(struct control *c, struct ticket *t)
{
    struct map_entry *e;
    char why[WIRE_WHY_BYTES];
    if (get_map_entry(slice_of(t->bytes, t->n), &e, why) != ERR_OK)
        return false;
    bool good = ticket_append(c, slice_of(t->bytes, t->n), e, &t->index, why);
    map_entry_free(e);
    return good;
}

static void pass(struct control *c, struct ticket *t)
{
    t->retry = mono_after(c->now, control_timeout_us(c));
    if (c->raft.role == RAFT_LEADER) {
        if (raft_leads(&c->raft) && append_own(c, t))
            t->term = c->raft.term;
        else
            t->retry = mono_after(c->now, control_timeout_us(c) / 10);
        return;
    }
    uint16_t place = control_passes_to(c);
    struct chain *to = place == MAP_NOBODY ? NULL : contact_to(c, place);
    if (to == NULL) /* nobody leads, or is not reached: soon perhaps */
        t->retry = mono_after(c->now, control_timeout_us(c) / 10);
    else
        put_propose(to, &(struct wire_propose){t->number, slice_of(t->bytes, t->n)});
}

static struct ticket *find(struct control *c, uint64_t number)
{
    for (size_t i = 0; i < c->tickets.n; i++)
        if (c->tickets.at[i].number == number && !c->tickets.at[i].over)
            return &c->tickets.at[i];
    return NULL;
}

/* Behind `place`, in a circle: one that is reached. */
static uint16_t next_member(const struct control *c, uint16_t place)
{
    for (size_t i = 1; i <= c->map.nodes.n; i++) {
        uint16_t k = (uint16_t)((place + i) % c->map.nodes.n);
        if (c->map.nodes.at[k].used && k != control_place(c) && contact_is_up(c, k))
            return k;
    }
    return place;
}

void ticket_proposed(struct control *c, const struct wire_proposed *m)
{
    struct ticket *t = find(c, m->token);
    /* it does not know either: the next one may */
    if (!control_hear_leader(c, &m->leader) && m->index == 0)
        c->leader_hint = next_member(c, c->leader_hint);
    if (t == NULL)
        return;          /* given up, or what a node proposes for itself */
    if (m->index == 0) { /* not the leader any more, or it cannot now */
        t->retry = mono_after(c->now, control_timeout_us(c) / 10);
        return;
    }
    /* applied here before the answer came: tried again, it is void or decided */
    if (m->index <= c->map.index) {
        t->retry = c->now;
        return;
    }
    t->index = m->index;
    t->term = m->term;
}

/* Leader: a member's proposal. A node asks for its own restart here: the steward sees
 * to that one. */
void ticket_from_peer(struct control *c, struct contact *k, const struct wire_propose *m)
{
    struct wire_proposed back = {.token = m->token, .leader = c->raft.leader.node};
    struct map_entry *e;
    if (get_map_entry(m->entry, &e, back.why) == ERR_OK) {
        if (!raft_leads(&c->raft))
            snprintf(back.why, sizeof(back.why), "this node does not lead the controller");
        else if (e->type == MAP_RESTARTED)
            steward_wants_restart(c, e, back.why);
        else if (ticket_append(c, m->entry, e, &back.index, back.why))
            back.term = c->raft.term;
        map_entry_free(e);
    }
    put_proposed(contact_answer(c, k), &back);
}

void tickets_due(struct control *c)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->tickets.n; i++) {
        struct ticket *t = &c->tickets.at[i];
        if (t->over)
            continue;
        if (mono_reached(c->now, t->until))
            ticket_end(c, t,
                       "the controller has no leader, or no majority of its voters is reached");
        else if (mono_reached(c->now, t->retry) && t->index == 0)
            pass(c, t);
    }
    for (size_t i = 0; i < c->tickets.n; i++) {
        if (c->tickets.at[i].over)
            mem_free(c->tickets.at[i].bytes);
        else
            c->tickets.at[kept++] = c->tickets.at[i];
    }
    c->tickets.n = kept;
}

struct mono tickets_wake(const struct control *c)
{
    struct mono wake = MONO_NEVER;
    for (size_t i = 0; i < c->tickets.n; i++) {
        const struct ticket *t = &c->tickets.at[i];
        wake = mono_earlier(wake, t->until);
        if (t->index == 0)
            wake = mono_earlier(wake, t->retry);
    }
    return wake;
}

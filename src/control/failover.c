/* SPDX-License-Identifier: BSD-3-Clause */

/* CLUSTER FAILOVER: this node is to lead the slots it has copies of. A node shares its slots with
 * several others, each slot with its own; so it is of all that another leads, or of those of the
 * one that is named.
 *
 *     (nothing)   its copies in sync: it is wished first (PLACE); the primaries hand over, and
 *                 nothing is lost (26)
 *     FORCE       one primary, of a copy in sync: SUSPECT by an operator's word, then DOWN and an
 *                 election (16, 17, 21)
 *     TAKEOVER    its copies of slots without a primary, whose nodes in sync are gone: ELECT of
 *                 what this node holds (22)
 *
 * What is computed here is judged where it is applied, as all entries are. */
#include <stdio.h>

#include "base/check.h"
#include "control/inside.h"

struct choice {
    struct control *c;
    uint16_t self, of; /* of: whose slots; MAP_NOBODY: everybody's */
    VEC(struct map_run) runs;
    unsigned slots_n; /* that are asked for, changed or not */
};

static void choose(struct choice *f, unsigned slot, const struct map_run *as)
{
    struct map_run *last = f->runs.n > 0 ? &f->runs.at[f->runs.n - 1] : NULL;
    if (last != NULL && last->to + 1U == slot && last->n == as->n &&
        memcmp(last->node, as->node, sizeof(as->node)) == 0) {
        last->to = (uint16_t)slot;
        return;
    }
    struct map_run *run = vec_add(&f->runs);
    *run = *as;
    run->from = run->to = (uint16_t)slot;
}

static bool is_of(const struct choice *f, uint16_t primary)
{
    return primary != f->self && (f->of == MAP_NOBODY || primary == f->of);
}

/* Led by such a one, and this node is in sync. */
static bool is_followed(const struct choice *f, const struct map_slot *s)
{
    return s->primary != MAP_NOBODY && is_of(f, s->primary) &&
           map_isr_has(s, f->self, f->c->map.nodes.at[f->self].incarnation);
}

static void propose(struct choice *f, uint64_t token, enum map_entry_type type)
{
    struct map_entry e = {.type = type, .base = f->c->map.index};
    e.runs.run = f->runs.at;
    e.runs.run_n = f->runs.n;
    e.runs.give_up = type == MAP_ELECT;
    ticket_new(f->c, TICKET_ASK, token, &e);
}

/* ------------------------------------------------------------------------------- by wish */

static const char *hand_over(struct choice *f, const struct word *w)
{
    const struct map *m = &f->c->map;
    if (m->settings.rebalance_paused != 0)
        return "slots are not moved while that is paused: CLUSTER REBALANCE RESUME first";
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        const struct map_slot *s = &m->slots[slot];
        struct map_run as = {.n = 1, .node = {f->self}};
        bool wanted = false;
        for (unsigned i = 0; i < s->want_n; i++) {
            wanted |= s->want[i] == f->self;
            if (s->want[i] != f->self && as.n < s->want_n)
                as.node[as.n++] = s->want[i];
        }
        if (!wanted || !is_followed(f, s))
            continue;
        f->slots_n++;
        if (s->want[0] != f->self)
            choose(f, slot, &as);
    }
    if (f->slots_n == 0)
        return "this node has no copy in sync of such a slot: CLUSTER REPLICAS tells who has one, "
               "and it is to be sent there";
    if (f->runs.n > 0)
        propose(f, w->ask.token, MAP_PLACE);
    else
        control_answer(f->c, w->ask.token, NULL); /* they are on their way here already */
    return NULL;
}

/* ------------------------------------------------------------------------------ by force */

static const char *force(struct choice *f, const struct word *w)
{
    const struct map *m = &f->c->map;
    uint16_t primary = MAP_NOBODY;
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        const struct map_slot *s = &m->slots[slot];
        if (!is_followed(f, s) || s->primary == primary)
            continue;
        if (primary != MAP_NOBODY)
            return "this node has copies of several nodes' slots: name the one that is to be "
                   "forced out, CLUSTER FAILOVER FORCE <node-id>";
        primary = s->primary;
    }
    if (primary == MAP_NOBODY)
        return "this node has no copy in sync of such a slot; where there is none TAKEOVER goes on "
               "with an old one, once the primary is down";
    const struct map_node *n = &m->nodes.at[primary];
    struct map_entry e = {
        .type = MAP_SUSPECTED, .base = m->index, .about = n->id, .incarnation = n->incarnation};
    ticket_new(f->c, TICKET_ASK, w->ask.token, &e);
    return NULL;
}

/* ----------------------------------------------------------------------------- by giving up */

/* Somebody else was in sync, and may come to speak in an election. */
static bool others_live(const struct choice *f, const struct map_slot *s)
{
    for (unsigned i = 0; i < s->isr_n; i++)
        if (s->isr[i] != f->self && f->c->map.nodes.at[s->isr[i]].health != MAP_DOWN)
            return true;
    return false;
}

static const char *take_over(struct choice *f, const struct word *w)
{
    const struct map *m = &f->c->map;
    const struct map_run as = {.n = 1, .node = {f->self}};
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        const struct map_slot *s = &m->slots[slot];
        if (s->primary != MAP_NOBODY || !is_of(f, map_last(s)) || !map_replicas_have(s, f->self) ||
            others_live(f, s))
            continue;
        f->slots_n++;
        choose(f, slot, &as);
    }
    if (f->slots_n == 0)
        return "no such slot that this node has a copy of is without a primary while all who were "
               "in sync are down: TAKEOVER gives up what only those hold, and is for nothing else";
    log_say(f->c->log, LOG_LEVEL_WARNING,
            "CLUSTER FAILOVER TAKEOVER: %u slots are to begin anew with what this node holds of "
            "them; what only the nodes that are down hold is given up",
            f->slots_n);
    propose(f, w->ask.token, MAP_ELECT);
    return NULL;
}

void failover_asked(struct control *c, const struct word *w)
{
    const struct node_id nobody = {{0}};
    struct choice f = {.c = c, .self = control_place(c), .of = MAP_NOBODY};
    bool named = !node_id_equal(&w->ask.id, &nobody);
    const char *why = NULL;
    if (named)
        f.of = map_find(&c->map, &w->ask.id);
    if (f.self == MAP_NOBODY)
        why = "this node is in no cluster yet";
    else if (named && (f.of == MAP_NOBODY || f.of == f.self))
        why = "another member is to be named: the one whose slots this node is to lead";
    else if (w->ask.value == FAILOVER_TAKEOVER)
        why = take_over(&f, w);
    else
        why = w->ask.value == FAILOVER_FORCE ? force(&f, w) : hand_over(&f, w);
    if (why != NULL)
        control_answer(c, w->ask.token, why);
    vec_free(&f.runs);
}

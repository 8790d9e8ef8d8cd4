/* SPDX-License-Identifier: BSD-3-Clause */

/* One function per type of entry. Each says why the entry is void, or changes the map and returns
 * NULL; nothing is changed before the last reason to refuse, but what a void entry leaves behind as
 * well (a proposer's n). Where an entry is about many slots, each is judged alone: the reason of
 * the last slot that was refused counts if none was changed. */
#include "core/map/map_entry.h"

#include <string.h>

#include "base/check.h"
#include "core/map/map_setting.h"

static const char nobody_of_this_id[] = "no member has this id";
static const char other_run[] = "the node is known in another incarnation";

/* -- Nodes ------------------------------------------------------------------------------------- */

static struct map_node *node_at(const struct map *m, uint16_t place)
{
    return place < m->nodes.n && m->nodes.at[place].used ? &m->nodes.at[place] : NULL;
}

static struct map_node *node_of(const struct map *m, const struct node_id *id)
{
    uint16_t place = map_find(m, id);
    return place != MAP_NOBODY ? &m->nodes.at[place] : NULL;
}

static uint16_t place_of(const struct map *m, const struct map_node *n)
{
    return (uint16_t)(n - m->nodes.at);
}

static bool text_ends(const char *text, size_t bytes)
{
    return memchr(text, '\0', bytes) != NULL;
}

static const char *member_refused(const struct map_member *who)
{
    if (who->incarnation == 0)
        return "a member's incarnation is 1 or more";
    if (who->weight > MAP_WEIGHT)
        return "a member's weight is too great";
    if (!text_ends(who->at.ip, IP_BYTES) || !text_ends(who->at.hostname, HOSTNAME_BYTES) ||
        !text_ends(who->zone, ZONE_BYTES))
        return "a member's address or zone has no end";
    return NULL;
}

/* What a node says of itself. Texts are copied to their ends: equal entries make
 * equal maps (P1). */
static void node_takes(struct map_node *n, const struct map_member *who)
{
    n->id = who->id;
    n->data = who->data;
    n->voter = who->voter;
    n->incarnation = who->incarnation;
    n->weight = who->weight;
    n->home = who->home;
    n->at = (struct endpoint){.port = who->at.port, .cluster_port = who->at.cluster_port};
    memcpy(n->at.ip, who->at.ip, strlen(who->at.ip));
    memcpy(n->at.hostname, who->at.hostname, strlen(who->at.hostname));
    memset(n->zone, 0, ZONE_BYTES);
    memcpy(n->zone, who->zone, strlen(who->zone));
}

static bool node_says(const struct map_node *n, const struct map_member *who)
{
    return data_id_equal(&n->data, &who->data) && n->weight == who->weight &&
           n->home == who->home && n->at.port == who->at.port &&
           n->at.cluster_port == who->at.cluster_port && strcmp(n->at.ip, who->at.ip) == 0 &&
           strcmp(n->at.hostname, who->at.hostname) == 0 && strcmp(n->zone, who->zone) == 0;
}

static void node_add(struct map *m, uint64_t index, const struct map_member *who)
{
    size_t i = 0;
    while (i < m->nodes.n && m->nodes.at[i].used)
        i++;
    struct map_node *n = i < m->nodes.n ? &m->nodes.at[i] : vec_add(&m->nodes);
    memset(n, 0, sizeof(*n));
    node_takes(n, who);
    n->used = true;
    n->run_index = index;
    map_note(m, place_of(m, n));
}

static void node_health(struct map_node *n, uint64_t index, enum map_health health)
{
    n->health = (uint8_t)health;
    n->health_index = index;
}

/* Its slots are electing from here on, and stay so until an ELECT (19). The epoch stays:
 * it was had. */
static bool node_loses_slots(struct map *m, uint64_t index, uint16_t place)
{
    bool any = false;
    for (unsigned i = 0; i < SLOTS; i++) {
        struct map_slot *s = &m->slots[i];
        if (s->primary != place)
            continue;
        s->primary = MAP_NOBODY;
        s->ver = index;
        any = true;
    }
    return any;
}

/* -- Entries about nodes and settings ---------------------------------------------------------- */

static void slot_alone(struct map_slot *s, uint16_t place, uint32_t incarnation)
{
    s->primary = place;
    memset(s->isr, 0, sizeof(s->isr));
    memset(s->isr_incarnation, 0, sizeof(s->isr_incarnation));
    s->isr[0] = place;
    s->isr_incarnation[0] = incarnation;
    s->isr_n = 1;
    map_replicas_follow(s);
}

static const char *apply_found(struct map *m, uint64_t index, const struct map_entry *e)
{
    if (m->nodes.n > 0)
        return "there is a cluster already";
    const char *refused = member_refused(&e->found.first);
    if (refused != NULL)
        return refused;
    if (e->found.first.weight == 0)
        return "the first node must be able to hold data";
    if (map_settings_unfit(&e->found.settings) != NULL)
        return "a setting is out of its range";
    m->cluster = e->found.cluster;
    m->settings = e->found.settings;
    map_timeout_settle(m);
    node_add(m, index, &e->found.first);
    for (unsigned i = 0; i < SLOTS; i++) {
        struct map_slot *s = &m->slots[i];
        *s = (struct map_slot){.ver = index, .epoch = 1, .want_n = 1};
        slot_alone(s, 0, e->found.first.incarnation);
    }
    m->want_ver = index;
    return NULL;
}

static const char *apply_join(struct map *m, uint64_t index, const struct map_entry *e)
{
    if (m->nodes.n == 0)
        return "there is no cluster to join";
    const char *refused = member_refused(&e->member);
    if (refused != NULL)
        return refused;
    if (node_of(m, &e->member.id) != NULL)
        return "a member has this id";
    if (map_members_n(m) >= MAP_NODES)
        return "the cluster has as many nodes as it may";
    node_add(m, index, &e->member);
    return NULL;
}

static const char *apply_announce(struct map *m, const struct map_entry *e)
{
    const char *refused = member_refused(&e->member);
    if (refused != NULL)
        return refused;
    struct map_node *n = node_of(m, &e->member.id);
    if (n == NULL)
        return nobody_of_this_id;
    if (n->incarnation != e->member.incarnation)
        return other_run;
    if (!data_id_equal(&n->voter, &e->member.voter))
        return "a node is another voter only after a restart";
    if (node_says(n, &e->member))
        return "nothing in it is new";
    node_takes(n, &e->member);
    return NULL;
}

static const char *apply_suspected(struct map *m, uint64_t index, const struct map_entry *e)
{
    struct map_node *n = node_of(m, &e->about);
    if (n == NULL)
        return nobody_of_this_id;
    if (n->incarnation != e->incarnation)
        return other_run;
    if (n->health != MAP_UP)
        return "the node is SUSPECT or DOWN already";
    node_health(n, index, MAP_SUSPECT);
    return NULL;
}

/* The wait of rule 17 was for one SUSPECT; after a later CLEAR the lease may run again. */
static const char *apply_downed(struct map *m, uint64_t index, const struct map_entry *e,
                                struct map_applied *done)
{
    struct map_node *n = node_of(m, &e->about);
    if (n == NULL)
        return nobody_of_this_id;
    if (n->incarnation != e->incarnation)
        return other_run;
    if (n->health != MAP_SUSPECT || n->health_index > e->base)
        return "the node is not SUSPECT since then";
    node_health(n, index, MAP_DOWN);
    done->slots = node_loses_slots(m, index, place_of(m, n));
    return NULL;
}

static const char *apply_cleared(struct map *m, uint64_t index, const struct map_entry *e)
{
    struct map_node *n = node_of(m, &e->about);
    if (n == NULL)
        return nobody_of_this_id;
    if (n->incarnation != e->incarnation)
        return other_run;
    if (n->health == MAP_UP)
        return "the node is neither SUSPECT nor DOWN";
    node_health(n, index, MAP_UP);
    return NULL;
}

static const char *apply_restarted(struct map *m, uint64_t index, const struct map_entry *e,
                                   struct map_applied *done)
{
    const char *refused = member_refused(&e->member);
    if (refused != NULL)
        return refused;
    struct map_node *n = node_of(m, &e->member.id);
    if (n == NULL)
        return nobody_of_this_id;
    if (e->member.incarnation <= n->incarnation)
        return "the incarnation is not greater than the known one";
    node_takes(n, &e->member);
    node_health(n, index, MAP_UP);
    n->run_index = index;
    n->proposed_n = 0;
    done->slots = node_loses_slots(m, index, place_of(m, n));
    return NULL;
}

static const char *apply_leave(struct map *m, const struct map_entry *e)
{
    struct map_node *leaver = node_of(m, &e->about);
    if (leaver == NULL)
        return nobody_of_this_id;
    if (leaver->leaving)
        return "the node is leaving already";
    bool others = false;
    for (size_t i = 0; i < m->nodes.n; i++) {
        const struct map_node *n = &m->nodes.at[i];
        others = others || (n->used && n != leaver && !n->leaving && n->weight > 0);
    }
    if (!others && leaver->weight > 0)
        return "no other node could hold its data";
    leaver->leaving = true;
    return NULL;
}

static const char *apply_remove(struct map *m, const struct map_entry *e)
{
    struct map_node *n = node_of(m, &e->about);
    if (n == NULL)
        return nobody_of_this_id;
    if (!n->leaving)
        return "the node is not leaving";
    uint16_t place = place_of(m, n);
    for (unsigned i = 0; i < SLOTS; i++) {
        /* the primary is of the isr, and there are no other replicas (P3) */
        const struct map_slot *s = &m->slots[i];
        if (map_list_has(s->isr, s->isr_n, place))
            return "the node has copies of slots";
        if (map_wishes(s, place))
            return "the node is wished to have copies of slots";
    }
    map_unnote(m, place);
    memset(n, 0, sizeof(*n));
    return NULL;
}

/* What was in use stays so, for those who do not know of this SET yet, until it is settled. */
static void timeout_set(struct map *m, uint64_t index)
{
    uint32_t t = m->settings.node_timeout_ms;
    m->timeout.lease_ms = t < m->timeout.lease_ms ? t : m->timeout.lease_ms;
    m->timeout.wait_ms = t > m->timeout.wait_ms ? t : m->timeout.wait_ms;
    m->timeout.ver = index;
}

/* What was acknowledged before was so under another W(I); that no slot changed its ver: it
 * voids nobody's proposal. */
static void quorum_set(struct map *m, uint64_t index, unsigned former)
{
    unsigned present = map_quorum(&m->settings);
    for (unsigned i = 0; i < SLOTS; i++)
        m->slots[i].formers = (uint16_t)((m->slots[i].formers | 1u << former) & ~(1u << present));
    m->quorum_ver = index;
}

static const char *apply_set(struct map *m, uint64_t index, const struct map_entry *e,
                             struct map_applied *done)
{
    if (m->nodes.n == 0)
        return "there is no cluster";
    if (!text_ends(e->set.name, sizeof(e->set.name)))
        return "the setting's name has no end";
    const struct map_setting *row = map_setting_find(slice_str(e->set.name));
    if (row == NULL)
        return "there is no such setting";
    if (!map_setting_fits(row, e->set.value))
        return "the value is out of the setting's range";
    uint32_t *at = map_setting_at(&m->settings, row);
    unsigned quorum = map_quorum(&m->settings);
    *at = (uint32_t)e->set.value;
    if (map_quorum(&m->settings) != quorum) {
        quorum_set(m, index, quorum);
        done->slots = true;
    }
    if (at == &m->settings.node_timeout_ms)
        timeout_set(m, index);
    return NULL;
}

static const char *slot_settle(struct map_slot *s, uint16_t from, uint64_t base)
{
    if (s->primary != from)
        return "the proposer is not the slot's primary";
    if (s->ver > base)
        return "the slot has changed since";
    if (s->formers == 0)
        return "the slot is settled already";
    s->formers = 0;
    return NULL;
}

static const char *apply_settled(struct map *m, const struct map_entry *e)
{
    const struct map_node *from = node_of(m, &e->about);
    const char *why = "it names no slot";
    bool any = false;
    if (from == NULL)
        return nobody_of_this_id;
    if (from->incarnation != e->incarnation)
        return other_run;
    if (m->quorum_ver > e->base)
        return "write-quorum or replication-factor was set since";
    for (unsigned i = bits_next(&e->settled, 0); i < SLOTS; i = bits_next(&e->settled, i + 1)) {
        const char *refused = slot_settle(&m->slots[i], place_of(m, from), e->base);
        any |= refused == NULL;
        why = refused != NULL ? refused : why;
    }
    return any ? NULL : why;
}

static const char *apply_timeout_settled(struct map *m, const struct map_entry *e)
{
    if (m->timeout.ver > e->base)
        return "cluster-node-timeout was set since";
    if (map_timeout_is_settled(m))
        return "cluster-node-timeout is settled already";
    map_timeout_settle(m);
    return NULL;
}

/* -- Entries about slots ----------------------------------------------------------------------- */

static const char *run_refused(const struct map *m, const struct map_run *run, uint64_t base)
{
    if (run->from > run->to || run->to >= SLOTS || run->n == 0 || run->n > MAP_COPIES)
        return "a run of slots is none";
    for (unsigned i = 0; i < run->n; i++) {
        const struct map_node *n = node_at(m, run->node[i]);
        if (n == NULL)
            return "a run names a place that is empty";
        if (n->run_index > base)
            return "a run names a node that joined or restarted since";
        if (map_list_has(run->node, i, run->node[i]))
            return "a run names a node twice";
    }
    return NULL;
}

static const char *apply_place(struct map *m, uint64_t index, const struct map_entry *e)
{
    if (m->want_ver > e->base) /* this one was computed from an older map */
        return "slots were placed anew meanwhile: try again";
    const char *why = "nothing in it is new";
    bool any = false;
    for (size_t i = 0; i < e->runs.run_n; i++) {
        const struct map_run *run = &e->runs.run[i];
        const char *refused = run_refused(m, run, e->base);
        if (refused != NULL) {
            why = refused;
            continue;
        }
        for (unsigned slot = run->from; slot <= run->to; slot++) {
            struct map_slot *s = &m->slots[slot];
            memset(s->want, 0, sizeof(s->want));
            memcpy(s->want, run->node, run->n * sizeof(run->node[0]));
            s->want_n = run->n;
            map_replicas_follow(s);
        }
        any = true;
    }
    if (any)
        m->want_ver = index;
    return any ? NULL : why;
}

/* Rule 13: the new primary is live, nobody SUSPECT or DOWN is added; and who is named may have
 * a copy (21). */
static const char *elect_refused(const struct map *m, const struct map_slot *s,
                                 const struct map_run *run)
{
    for (unsigned i = 0; i < run->n; i++)
        if (!map_replicas_have(s, run->node[i]))
            return "a node without a copy would be elected";
    if (m->nodes.at[run->node[0]].health != MAP_UP)
        return "the new primary is SUSPECT or DOWN";
    for (unsigned i = 1; i < run->n; i++)
        if (m->nodes.at[run->node[i]].health != MAP_UP &&
            !map_list_has(s->isr, s->isr_n, run->node[i]))
            return "a node that is SUSPECT or DOWN would be added";
    return NULL;
}

/* A copy that lives, in the run in which it was in sync, is not given up for one that
 * was not (22). */
static const char *give_up_refused(const struct map *m, const struct map_slot *s,
                                   const struct map_run *run)
{
    if (map_list_has(s->isr, s->isr_n, run->node[0]))
        return NULL;
    for (unsigned i = 0; i < s->isr_n; i++) {
        const struct map_node *n = &m->nodes.at[s->isr[i]];
        if (n->health == MAP_UP && n->incarnation == s->isr_incarnation[i])
            return "a living node has a copy that would be given up";
    }
    return NULL;
}

static const char *slot_elect(struct map *m, struct map_slot *s, const struct map_run *run,
                              const struct map_entry *e)
{
    if (s->primary != MAP_NOBODY)
        return "the slot has a primary";
    if (s->ver > e->base)
        return "the slot has changed since";
    const char *refused = elect_refused(m, s, run);
    if (refused == NULL && e->runs.give_up)
        refused = give_up_refused(m, s, run);
    if (refused != NULL)
        return refused;
    s->primary = run->node[0];
    s->isr_n = run->n;
    memset(s->isr, 0, sizeof(s->isr));
    memset(s->isr_incarnation, 0, sizeof(s->isr_incarnation));
    for (unsigned i = 0; i < run->n; i++) {
        s->isr[i] = run->node[i];
        s->isr_incarnation[i] = m->nodes.at[run->node[i]].incarnation;
    }
    map_replicas_follow(s);
    m->given_up_n += e->runs.give_up;
    return NULL;
}

static void slot_changed(struct map_slot *s, uint64_t index)
{
    s->epoch++; /* P2: one primary, one epoch */
    s->ver = index;
}

static const char *apply_elect(struct map *m, uint64_t index, const struct map_entry *e)
{
    const char *why = "it names no slot";
    bool any = false;
    for (size_t i = 0; i < e->runs.run_n; i++) {
        const struct map_run *run = &e->runs.run[i];
        const char *refused = run_refused(m, run, e->base);
        for (unsigned slot = run->from; refused == NULL && slot <= run->to; slot++) {
            const char *slot_refused = slot_elect(m, &m->slots[slot], run, e);
            if (slot_refused != NULL) {
                why = slot_refused;
                continue;
            }
            slot_changed(&m->slots[slot], index);
            any = true;
        }
        if (refused != NULL)
            why = refused;
    }
    return any ? NULL : why;
}

/* The successor to the front; the others keep their order behind it. */
static void isr_lead(struct map_slot *s, unsigned at)
{
    uint16_t node = s->isr[at];
    uint32_t incarnation = s->isr_incarnation[at];
    memmove(s->isr + 1, s->isr, at * sizeof(s->isr[0]));
    memmove(s->isr_incarnation + 1, s->isr_incarnation, at * sizeof(s->isr_incarnation[0]));
    s->isr[0] = node;
    s->isr_incarnation[0] = incarnation;
    s->primary = node;
}

static const char *slot_handover(struct map_slot *s, uint16_t from, uint16_t to,
                                 const struct map_entry *e)
{
    if (s->primary != from)
        return "the proposer is not the slot's primary";
    if (s->ver > e->base)
        return "the slot has changed since";
    for (unsigned i = 1; i < s->isr_n; i++)
        if (s->isr[i] == to && s->isr_incarnation[i] == e->handover.to_incarnation) {
            isr_lead(s, i);
            map_replicas_follow(s);
            return NULL;
        }
    if (!e->handover.empty)
        return "the successor is not in sync";
    slot_alone(s, to, e->handover.to_incarnation);
    s->anew = s->epoch + 1; /* the one that begins with this */
    return NULL;
}

/* Who proposes; and the count, which a void one leaves behind as well (12). */
static const char *proposer_refused(struct map *m, const struct map_entry *e, uint64_t n)
{
    struct map_node *from = node_of(m, &e->about);
    if (from == NULL)
        return nobody_of_this_id;
    if (from->incarnation != e->incarnation)
        return other_run;
    if (n <= from->proposed_n)
        return "the proposer has made a newer proposal";
    from->proposed_n = n;
    return from->health == MAP_UP ? NULL : "the proposer is SUSPECT or DOWN";
}

static const char *handover_refused(struct map *m, const struct map_entry *e)
{
    const char *refused = proposer_refused(m, e, e->handover.n);
    if (refused != NULL)
        return refused;
    const struct map_node *to = node_of(m, &e->handover.to);
    if (to == NULL)
        return "no member has the successor's id";
    if (node_id_equal(&e->handover.to, &e->about))
        return "the successor is the proposer";
    if (to->incarnation != e->handover.to_incarnation)
        return "the successor is known in another incarnation";
    if (to->health != MAP_UP)
        return "the successor is SUSPECT or DOWN";
    return NULL;
}

static const char *apply_handover(struct map *m, uint64_t index, const struct map_entry *e)
{
    const char *why = handover_refused(m, e);
    if (why != NULL)
        return why;
    uint16_t from = map_find(m, &e->about), to = map_find(m, &e->handover.to);
    bool any = false;
    why = "it names no slot";
    for (unsigned i = bits_next(&e->handover.slots, 0); i < SLOTS;
         i = bits_next(&e->handover.slots, i + 1)) {
        const char *refused = slot_handover(&m->slots[i], from, to, e);
        if (refused != NULL) {
            why = refused;
            continue;
        }
        slot_changed(&m->slots[i], index);
        any = true;
    }
    return any ? NULL : why;
}

/* Who is kept is kept as it is; who is added, or is in sync in another run than before, is a
 * replica, live, and known in that run since before (11 - 13). */
static const char *isr_member_refused(const struct map *m, const struct map_slot *s,
                                      const struct map_isr_run *run, unsigned i, uint64_t base)
{
    uint16_t place = run->node[i];
    if (map_list_has(run->node, i, place))
        return "a run names a node twice";
    if (map_isr_has(s, place, run->incarnation[i]))
        return NULL;
    if (!map_replicas_have(s, place))
        return "a node that is no replica would be added";
    const struct map_node *n = &m->nodes.at[place];
    if (n->incarnation != run->incarnation[i] || n->run_index > base)
        return "a node would be added that joined or restarted since";
    return n->health == MAP_UP ? NULL : "a node that is SUSPECT or DOWN would be added";
}

static const char *slot_isr(const struct map *m, struct map_slot *s, const struct map_isr_run *run,
                            const struct map_entry *e, uint16_t from)
{
    if (s->primary != from)
        return "the proposer is not the slot's primary";
    if (s->ver > e->base)
        return "the slot has changed since";
    if (run->node[0] != from || run->incarnation[0] != e->incarnation)
        return "the primary would not be the first in sync";
    for (unsigned i = 0; i < run->n; i++) {
        const char *refused = isr_member_refused(m, s, run, i, e->base);
        if (refused != NULL)
            return refused;
    }
    memset(s->isr, 0, sizeof(s->isr));
    memset(s->isr_incarnation, 0, sizeof(s->isr_incarnation));
    memcpy(s->isr, run->node, run->n * sizeof(run->node[0]));
    memcpy(s->isr_incarnation, run->incarnation, run->n * sizeof(run->incarnation[0]));
    s->isr_n = run->n;
    map_replicas_follow(s);
    return NULL;
}

static const char *apply_isr(struct map *m, uint64_t index, const struct map_entry *e)
{
    const char *why = proposer_refused(m, e, e->isr.n);
    if (why != NULL)
        return why;
    uint16_t from = map_find(m, &e->about);
    bool any = false;
    why = "it names no slot";
    for (size_t i = 0; i < e->isr.run_n; i++) {
        const struct map_isr_run *run = &e->isr.run[i];
        const char *refused = NULL;
        if (run->from > run->to || run->to >= SLOTS || run->n == 0 || run->n > MAP_COPIES)
            refused = "a run of slots is none";
        for (unsigned slot = run->from; refused == NULL && slot <= run->to; slot++) {
            const char *slot_refused = slot_isr(m, &m->slots[slot], run, e, from);
            if (slot_refused != NULL) {
                why = slot_refused;
                continue;
            }
            m->slots[slot].ver = index; /* the epoch goes on */
            any = true;
        }
        if (refused != NULL)
            why = refused;
    }
    return any ? NULL : why;
}

/* -- All of them ------------------------------------------------------------------------------- */

static const char *apply_one(struct map *m, uint64_t index, const struct map_entry *e,
                             struct map_applied *done)
{
    switch (e->type) {
    case MAP_FOUND:
        done->nodes = done->slots = done->settings = true;
        return apply_found(m, index, e);
    case MAP_JOIN: done->nodes = true; return apply_join(m, index, e);
    case MAP_ANNOUNCE: done->nodes = true; return apply_announce(m, e);
    case MAP_SUSPECTED: done->nodes = true; return apply_suspected(m, index, e);
    case MAP_DOWNED: done->nodes = true; return apply_downed(m, index, e, done);
    case MAP_CLEARED: done->nodes = true; return apply_cleared(m, index, e);
    case MAP_RESTARTED: done->nodes = true; return apply_restarted(m, index, e, done);
    case MAP_LEAVE: done->nodes = true; return apply_leave(m, e);
    case MAP_REMOVE: done->nodes = true; return apply_remove(m, e);
    case MAP_SET: done->settings = true; return apply_set(m, index, e, done);
    case MAP_SETTLED: done->slots = true; return apply_settled(m, e);
    case MAP_TIMEOUT_SETTLED: done->settings = true; return apply_timeout_settled(m, e);
    case MAP_PLACE: done->slots = true; return apply_place(m, index, e);
    case MAP_ELECT: done->slots = true; return apply_elect(m, index, e);
    case MAP_HANDOVER: done->slots = true; return apply_handover(m, index, e);
    case MAP_ISR: done->slots = true; return apply_isr(m, index, e);
    case MAP_TYPES: break;
    }
    return "there is no such entry";
}

struct map_applied map_apply(struct map *m, uint64_t index, const struct map_entry *e)
{
    check(index > m->index); /* in order, each once */
    struct map_applied done = {0};
    const char *why = apply_one(m, index, e, &done);
    m->index = index;
    if (why != NULL)
        return (struct map_applied){.is_void = true, .why_void = why};
    if (done.nodes)
        m->nodes_ver = index;
    if (done.slots)
        m->slots_ver = index;
    return done;
}

static void run_slots(struct bits *slots, unsigned from, unsigned to)
{
    for (unsigned slot = from; slot <= to && slot < SLOTS; slot++)
        bits_add(slots, slot);
}

bool map_entry_slots(const struct map_entry *e, struct bits *slots)
{
    switch (e->type) {
    case MAP_PLACE:
    case MAP_ELECT:
        for (size_t i = 0; i < e->runs.run_n; i++)
            run_slots(slots, e->runs.run[i].from, e->runs.run[i].to);
        return true;
    case MAP_ISR:
        for (size_t i = 0; i < e->isr.run_n; i++)
            run_slots(slots, e->isr.run[i].from, e->isr.run[i].to);
        return true;
    case MAP_HANDOVER: bits_add_all(slots, &e->handover.slots); return true;
    case MAP_SETTLED: bits_add_all(slots, &e->settled); return true;
    case MAP_TIMEOUT_SETTLED: return true;
    case MAP_FOUND:
    case MAP_JOIN:
    case MAP_ANNOUNCE:
    case MAP_SUSPECTED:
    case MAP_DOWNED:
    case MAP_CLEARED:
    case MAP_RESTARTED:
    case MAP_LEAVE:
    case MAP_REMOVE:
    case MAP_SET:
    case MAP_TYPES: break;
    }
    return false;
}

static bool entry_has_runs(const struct map_entry *e)
{
    return e->type == MAP_PLACE || e->type == MAP_ELECT;
}

static void *runs_copy(const void *run, size_t n, size_t bytes)
{
    return n == 0 ? NULL : memcpy(mem_get(n * bytes), run, n * bytes);
}

struct map_entry *map_entry_copy(const struct map_entry *e)
{
    struct map_entry *copy = mem_get(sizeof(*copy));
    *copy = *e;
    if (entry_has_runs(e))
        copy->runs.run = runs_copy(e->runs.run, e->runs.run_n, sizeof(*e->runs.run));
    if (e->type == MAP_ISR)
        copy->isr.run = runs_copy(e->isr.run, e->isr.run_n, sizeof(*e->isr.run));
    return copy;
}

void map_entry_free(struct map_entry *e)
{
    if (e == NULL)
        return;
    if (entry_has_runs(e) && e->runs.run_n > 0)
        mem_free((void *)e->runs.run);
    if (e->type == MAP_ISR && e->isr.run_n > 0)
        mem_free((void *)e->isr.run);
    mem_free(e);
}

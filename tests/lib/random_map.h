/* SPDX-License-Identifier: BSD-3-Clause */

/* What tests of the map share: members by their number, random entries near what a map would take, and
 * everything a map says in one number. */
#ifndef TESTS_LIB_RANDOM_MAP_H
#define TESTS_LIB_RANDOM_MAP_H

#include "base/hash.h"
#include "base/rng.h"
#include "core/map/map_entry.h"
#include "core/map/map_setting.h"

static inline struct node_id id_of(unsigned node)
{
    return (struct node_id){.b = {(uint8_t)node, (uint8_t)(node >> 8)}};
}

static inline struct map_member member_of(unsigned node, uint32_t incarnation)
{
    struct map_member m = {.id = id_of(node), .incarnation = incarnation, .weight = 1};
    m.data.b[0] = (uint8_t)node;
    m.voter.b[1] = (uint8_t)node;
    m.at.port = (uint16_t)(7000 + node);
    m.at.cluster_port = (uint16_t)(17000 + node);
    memcpy(m.at.ip, "127.0.0.1", 10);
    memcpy(m.zone, "a", 2);
    return m;
}

static inline struct map_entry founding(void)
{
    struct map_entry e = {.type = MAP_FOUND};
    e.found.cluster.b[0] = 7;
    e.found.first = member_of(1, 1);
    map_settings_preset(&e.found.settings);
    return e;
}

/* Everything a map says, in one number. */
static inline uint64_t digest(const struct map *m)
{
    uint64_t d = crc64(0, slice_of(&m->cluster, sizeof(m->cluster)));
#define FIELD(x) d = crc64(d, slice_of(&(x), sizeof(x)))
    FIELD(m->index), FIELD(m->slots_ver), FIELD(m->nodes_ver), FIELD(m->want_ver), FIELD(m->given_up_n);
    FIELD(m->settings), FIELD(m->timeout), FIELD(m->quorum_ver);
    for (size_t i = 0; i < m->nodes.n; i++) {
        const struct map_node *n = &m->nodes.at[i];
        FIELD(n->used), FIELD(n->leaving), FIELD(n->health), FIELD(n->id), FIELD(n->data), FIELD(n->voter);
        FIELD(n->incarnation), FIELD(n->run_index), FIELD(n->health_index), FIELD(n->proposed_n), FIELD(n->at), FIELD(n->zone);
        FIELD(n->weight), FIELD(n->home);
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        const struct map_slot *s = &m->slots[i];
        FIELD(s->ver), FIELD(s->epoch), FIELD(s->primary), FIELD(s->replicas_n), FIELD(s->isr_n), FIELD(s->want_n);
        FIELD(s->replicas), FIELD(s->isr), FIELD(s->isr_incarnation), FIELD(s->want), FIELD(s->formers);
        FIELD(s->anew);
    }
#undef FIELD
    return d;
}

enum { RANDOM_NODES = 12 };

static inline uint32_t run_near(const struct map *m, struct rng *r, unsigned node)
{
    struct node_id id = id_of(node);
    uint16_t place = map_find(m, &id);
    uint32_t known = place != MAP_NOBODY ? m->nodes.at[place].incarnation : 1;
    return rng_below(r, 8) == 0 ? known + (uint32_t)rng_below(r, 3) - 1 : known;
}

struct random_runs { /* what a random entry may point to */
    struct map_run run[3];
    struct map_isr_run isr[3];
};

static inline void random_runs(const struct map *m, struct rng *r, struct map_entry *e, struct map_run *run)
{
    size_t n = 1 + (size_t)rng_below(r, 3);
    for (size_t i = 0; i < n; i++) {
        run[i] = (struct map_run){.n = (uint8_t)(1 + rng_below(r, MAP_COPIES))};
        run[i].from = (uint16_t)rng_below(r, rng_below(r, 4) == 0 ? SLOTS : 64);
        run[i].to = (uint16_t)(run[i].from + rng_below(r, 64));
        const struct map_slot *s = &m->slots[run[i].from];
        for (unsigned k = 0; k < run[i].n; k++)
            run[i].node[k] = rng_below(r, 4) == 0  ? (uint16_t)rng_below(r, RANDOM_NODES)
                             : k < s->replicas_n ? s->replicas[k]
                                                 : (uint16_t)rng_below(r, RANDOM_NODES);
    }
    if (rng_below(r, 4) == 0) /* now and then all to one, so that others can go */
        run[0].from = 0, run[0].to = SLOTS - 1, run[0].n = 1, n = 1;
    e->runs.run = run;
    e->runs.run_n = n;
    e->runs.give_up = rng_below(r, 2) == 0;
}

/* Mostly by a primary, of its own slots, and of replicas. */
static inline void random_isr(const struct map *m, struct rng *r, struct map_entry *e, struct map_isr_run *run)
{
    size_t n = (size_t)rng_below(r, 4);
    e->isr.n = m->index - rng_below(r, 3);
    e->isr.run = run;
    e->isr.run_n = n;
    for (size_t i = 0; i < n; i++) {
        run[i] = (struct map_isr_run){.n = (uint8_t)(1 + rng_below(r, MAP_COPIES))};
        run[i].from = (uint16_t)rng_below(r, rng_below(r, 4) == 0 ? SLOTS : 64);
        run[i].to = (uint16_t)(run[i].from + rng_below(r, 16));
        const struct map_slot *s = &m->slots[run[i].from];
        if (s->primary != MAP_NOBODY && i == 0 && rng_below(r, 8) != 0) {
            e->about = m->nodes.at[s->primary].id;
            e->incarnation = m->nodes.at[s->primary].incarnation;
        }
        for (unsigned k = 0; k < run[i].n; k++) {
            uint16_t place = k == 0 ? map_last(s) : s->replicas[rng_below(r, s->replicas_n)];
            if (rng_below(r, 16) == 0)
                place = (uint16_t)rng_below(r, RANDOM_NODES);
            run[i].node[k] = place;
            run[i].incarnation[k] = place < m->nodes.n && m->nodes.at[place].used && rng_below(r, 16) != 0
                                        ? m->nodes.at[place].incarnation
                                        : 1;
            if (k < s->isr_n && rng_below(r, 2) == 0) /* who is in sync stays so */
                run[i].node[k] = s->isr[k], run[i].incarnation[k] = s->isr_incarnation[k];
        }
    }
}

static inline void random_set(struct rng *r, struct map_entry *e)
{
    static const struct {
        char name[32];
        int64_t more; /* than what is drawn */
    } some[] = {{"cluster-scatter-width", 0}, {"cluster-node-timeout", 98}, {"write-quorum", -2}, {"replication-factor", 0}};
    size_t i = rng_below(r, sizeof(some) / sizeof(some[0]));
    e->set.value = (int64_t)rng_below(r, 9) + some[i].more;
    memcpy(e->set.name, some[i].name, sizeof(some[i].name));
}

static inline void random_entry(const struct map *m, struct rng *r, struct map_entry *e, struct random_runs *to)
{
    unsigned node = 1 + (unsigned)rng_below(r, RANDOM_NODES);
    *e = (struct map_entry){.type = (enum map_entry_type)(1 + rng_below(r, MAP_TYPES)), .about = id_of(node)};
    uint64_t behind = rng_below(r, 4) == 0 ? rng_below(r, 8) : 0;
    e->base = m->index > behind ? m->index - behind : 0;
    e->incarnation = run_near(m, r, node);
    struct map_member who = member_of(node, e->incarnation + (e->type == MAP_RESTARTED));
    who.weight = (uint32_t)rng_below(r, 4);
    who.home = rng_below(r, 3);
    if (e->type == MAP_FOUND)
        *e = founding();
    else if (e->type == MAP_PLACE || e->type == MAP_ELECT)
        random_runs(m, r, e, to->run);
    else if (e->type == MAP_ISR)
        random_isr(m, r, e, to->isr);
    else if (e->type == MAP_SET)
        random_set(r, e);
    else if (e->type == MAP_SETTLED) {
        unsigned from = (unsigned)rng_below(r, 64);
        for (unsigned i = 0; i < 32; i++)
            bits_add(&e->settled, from + i);
    } else if (e->type == MAP_HANDOVER) {
        unsigned heir = 1 + (unsigned)rng_below(r, RANDOM_NODES);
        e->handover.n = m->index - rng_below(r, 3);
        e->handover.to = id_of(heir);
        e->handover.to_incarnation = run_near(m, r, heir);
        e->handover.empty = rng_below(r, 4) == 0;
        unsigned of = rng_below(r, 2) == 0 ? SLOTS : 64;
        for (unsigned i = 0; i < of; i++)
            bits_add(&e->handover.slots, i);
    } else
        e->member = who;
}

#endif

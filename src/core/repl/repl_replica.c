/* SPDX-License-Identifier: BSD-3-Clause */

/* As replica: from whom, and behind what, a record may be appended (replication 2, 4, 23). */
#include "core/repl/repl_inside.h"

#include "base/check.h"

enum { WHERES_AT_ONCE = 1024 }; /* in one SYNC */

/* The slot's primary, if this node is to follow it and its link is there; else MAP_NOBODY. */
static uint16_t follows(const struct repl *r, unsigned slot)
{
    const struct map_slot *s = &r->map->slots[slot];
    if (s->primary == MAP_NOBODY || s->primary == r->self || !map_replicas_have(s, r->self))
        return MAP_NOBODY;
    const struct repl_peer *peer = peer_known(r, s->primary);
    return peer != NULL && peer->guest && peer->guest_incarnation == s->isr_incarnation[0]
               ? s->primary
               : MAP_NOBODY;
}

/* A frozen slot's is on no history: whatever its primary's backlog has, it needs a dump (25). */
static struct position position_of(const struct lineage *l)
{
    static const struct position none = {0, 0}, nowhere = {0, INT64_MAX};
    return l->frozen ? nowhere : l->at.seq == 0 ? none : l->at;
}

static void say(struct repl *r, uint16_t place, const struct repl_message *m)
{
    r->ops->say(r->ops, place, false, m);
}

static struct repl_where where_of(const struct repl *r, unsigned slot)
{
    const struct replica_slot *p = &r->replica[slot];
    return (struct repl_where){.in = {.slot = (uint16_t)slot, .epoch = p->epoch, .round = p->round},
                               .at = position_of(&r->slots[slot])};
}

static struct repl_where where_anew(struct repl *r, unsigned slot)
{
    struct replica_slot *p = &r->replica[slot];
    p->state = REPLICA_ASKED;
    r->asked = true;
    p->offered = false;
    p->primary = r->map->slots[slot].primary;
    p->epoch = r->map->slots[slot].epoch;
    p->round++;
    return where_of(r, slot);
}

static void sync_one(struct repl *r, unsigned slot)
{
    struct repl_where w = where_anew(r, slot);
    say(r, r->replica[slot].primary,
        &(struct repl_message){.type = REPL_SYNC, .n = 1, .wheres = &w});
}

/* Asked again, a question is of its old round: its answer may be on the way (23). */
static bool asks(struct repl *r, unsigned slot, uint16_t place, bool again, struct repl_where *w)
{
    uint8_t state = r->replica[slot].state;
    if (state > REPLICA_ASKED || (state == REPLICA_ASKED && !again) || follows(r, slot) != place)
        return false;
    *w = state == REPLICA_ASKED ? where_of(r, slot) : where_anew(r, slot);
    return true;
}

/* Who was followed until now still counts on what is acked here: it is told first of an epoch
 * beyond its own (4). */
static bool leaves(struct repl *r, unsigned slot, uint16_t place, struct repl_where *w)
{
    struct replica_slot *p = &r->replica[slot];
    if (p->state != REPLICA_LEAVES || p->primary != place)
        return false;
    p->state = REPLICA_NONE;
    p->epoch++;
    *w = where_of(r, slot);
    return follows(r, slot) != place; /* else it is asked in a moment */
}

enum question { LEAVES, ASKS, ASKS_AGAIN };

/* How many slots that was said of. */
static size_t ask_one(struct repl *r, uint16_t place, enum question q, const struct bits *slots)
{
    struct repl_where wheres[WHERES_AT_ONCE];
    size_t n = 0, all = 0;
    for (unsigned slot = bits_next(slots, 0); slot < SLOTS; slot = bits_next(slots, slot + 1)) {
        n += q == LEAVES ? leaves(r, slot, place, &wheres[n])
                         : asks(r, slot, place, q == ASKS_AGAIN, &wheres[n]);
        if (n == WHERES_AT_ONCE) {
            say(r, place, &(struct repl_message){.type = REPL_SYNC, .n = n, .wheres = wheres});
            all += n;
            n = 0;
        }
    }
    if (n > 0)
        say(r, place, &(struct repl_message){.type = REPL_SYNC, .n = n, .wheres = wheres});
    return all + n;
}

static size_t ask_all(struct repl *r, enum question q, const struct bits *slots)
{
    size_t all = 0;
    for (uint16_t place = 0; place < r->peers.n; place++)
        if (r->peers.at[place].guest)
            all += ask_one(r, place, q, slots);
    return all;
}

void replica_ask(struct repl *r, uint16_t place)
{
    struct bits all;
    bits_fill(&all);
    (void)ask_one(r, place, ASKS, &all);
}

/* Who could be asked at all was, when its link came or the map changed. */
void replica_ask_again(struct repl *r)
{
    struct bits all;
    if (!r->asked)
        return;
    bits_fill(&all);
    r->asked = ask_all(r, ASKS_AGAIN, &all) > 0;
}

void replica_mapped(struct repl *r, const struct bits *slots)
{
    (void)ask_all(r, LEAVES, slots);
    (void)ask_all(r, ASKS, slots);
}

/* A new epoch, another primary, or no copy here: nothing is appended until positions
 * were exchanged (2). */
void replica_map(struct repl *r, unsigned slot)
{
    struct replica_slot *p = &r->replica[slot];
    if (p->state == REPLICA_NONE)
        return;
    if (follows(r, slot) != p->primary || r->map->slots[slot].epoch != p->epoch)
        p->state = REPLICA_LEAVES;
}

void repl_map_jumps(struct repl *r)
{
    for (unsigned slot = 0; slot < SLOTS; slot++)
        if (r->replica[slot].state != REPLICA_NONE)
            r->replica[slot].state = REPLICA_LEAVES;
}

bool replica_follows(const struct repl *r, uint16_t place, const struct repl_round *in)
{
    if (in->slot >= SLOTS)
        return false;
    const struct replica_slot *p = &r->replica[in->slot];
    return p->state >= REPLICA_ASKED && p->primary == place && p->epoch == in->epoch &&
           p->round == in->round;
}

void repl_from(struct repl *r, uint16_t place, const struct repl_round *in)
{
    if (replica_follows(r, place, in) && r->replica[in->slot].state == REPLICA_ASKED)
        r->replica[in->slot].state = REPLICA_FOLLOWS;
}

static bool is_fenced(const struct lineage *l, uint64_t epoch)
{
    return epoch <= l->fence; /* 20 */
}

enum repl_verdict repl_may_append(struct repl *r, uint16_t place, const struct repl_append *m,
                                  struct position first)
{
    struct replica_slot *p = &r->replica[m->slot];
    const struct lineage *l = &r->slots[m->slot];
    /* of an earlier round, or of an epoch that is not applied here: SYNC was said, or will be */
    if (p->state <= REPLICA_ASKED || p->primary != place || p->epoch != m->epoch)
        return REPL_DROP;
    bool fits = !l->frozen && lineage_takes(l, first) &&
                (l->at.seq == 0 ? 0 : l->at.epoch) == m->before_epoch;
    if (fits && first.epoch <= m->epoch && !is_fenced(l, m->epoch))
        return REPL_TAKE; /* 2 */
    sync_one(r, m->slot); /* 4: before any ack of it */
    return REPL_DROP;
}

void repl_joined(struct repl *r, uint16_t place, uint64_t map, const struct repl_round *in,
                 uint64_t upto)
{
    struct replica_slot *p = in->slot < SLOTS ? &r->replica[in->slot] : NULL;
    if (!replica_follows(r, place, in) || p->state != REPLICA_FOLLOWS)
        return;
    /* it may yet apply that this copy was unwanted in between, and know nothing of it then: asked
     * in a while, once more (4) */
    if (map < r->map->slots[in->slot].ver) {
        p->round++;
        p->state = REPLICA_ASKED;
        r->asked = true;
        return;
    }
    p->join_map = map;
    p->join_at = upto;
    p->state = REPLICA_TO_JOIN;
    *vec_add(&r->to_join) = in->slot;
}

/* Acks tell nothing of what was sent while it caught up: its lsns may have been acked before (4).
 * So all of it is held before it joins; and on the disk if it is new to the in-sync set: it is of
 * any age, and he from whom it came may delete it next. */
static bool may_join(const struct repl *r, unsigned slot)
{
    const struct replica_slot *p = &r->replica[slot];
    uint64_t held =
        map_isr_has(&r->map->slots[slot], r->self, r->incarnation) ? r->stored : r->synced;
    return p->join_map <= r->map->index && p->join_at <= held;
}

static void joins_say(struct repl *r, uint16_t place, const struct repl_round *rounds, size_t n)
{
    if (n > 0)
        say(r, place, &(struct repl_message){.type = REPL_JOINS, .n = n, .rounds = rounds});
}

void repl_join(struct repl *r)
{
    struct repl_round rounds[WHERES_AT_ONCE];
    size_t n = 0, kept = 0;
    uint16_t to = MAP_NOBODY;
    for (size_t i = 0; i < r->to_join.n; i++) {
        uint16_t slot = r->to_join.at[i];
        struct replica_slot *p = &r->replica[slot];
        if (p->state != REPLICA_TO_JOIN)
            continue;
        if (!may_join(r, slot)) {
            r->to_join.at[kept++] = slot;
            continue;
        }
        if (p->primary != to || n == WHERES_AT_ONCE) {
            joins_say(r, to, rounds, n);
            n = 0;
        }
        to = p->primary;
        p->state = REPLICA_JOINED;
        rounds[n++] = (struct repl_round){.slot = slot, .epoch = p->epoch, .round = p->round};
    }
    joins_say(r, to, rounds, n);
    r->to_join.n = kept;
}

bool repl_may_swap(const struct repl *r, uint16_t place, const struct repl_round *in)
{
    return replica_follows(r, place, in) && r->replica[in->slot].state == REPLICA_FOLLOWS &&
           !is_fenced(&r->slots[in->slot], in->epoch);
}

void repl_offered(struct repl *r, uint16_t place, const struct repl_round *in)
{
    if (repl_may_swap(r, place, in))
        r->offers = r->replica[in->slot].offered = true;
}

bool repl_pull_next(struct repl *r, uint16_t *place, struct repl_round *in)
{
    unsigned best = SLOTS;
    for (unsigned slot = 0; r->offers && slot < SLOTS; slot++)
        if (r->replica[slot].state == REPLICA_FOLLOWS && r->replica[slot].offered &&
            (best == SLOTS || r->map->slots[slot].isr_n < r->map->slots[best].isr_n)) /* 24 */
            best = slot;
    r->offers = best != SLOTS;
    if (!r->offers)
        return false;
    struct replica_slot *p = &r->replica[best];
    p->offered = false;
    *place = p->primary;
    *in = (struct repl_round){.slot = (uint16_t)best, .epoch = p->epoch, .round = p->round};
    return true;
}

void repl_sync_again(struct repl *r, unsigned slot)
{
    if (r->replica[slot].state >= REPLICA_ASKED)
        sync_one(r, slot);
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* Changing in-sync sets (replication 11 to 14): a slot's next one is tried, in doubt from that
 * moment, proposed once what was acknowledged so far is held by it, and known when the map shows
 * its fate. One proposal of many slots is under way at a time. */
#include "core/repl/repl_inside.h"

#include "base/check.h"

/* 14: doubling for each removal ... */
enum { HOLD_OFF_US = 1000 * 1000, HOLD_OFF_MOST_US = 60 * HOLD_OFF_US };
/* ... within ten minutes. */
enum { REMOVAL_COUNTS_US = 600 * 1000 * 1000 };
enum { LAG_MOST_US = 500 * 1000 };

static int64_t lag_us(const struct repl *r)
{
    int64_t half = repl_timeout_us(r) / 2;
    return half < LAG_MOST_US ? half : LAG_MOST_US;
}

static unsigned least(const struct repl *r)
{
    return 1 + r->map->settings.min_replicas;
}

static bool isr_has(const struct isr *set, uint16_t place)
{
    for (unsigned i = 0; i < set->n; i++)
        if (set->node[i] == place)
            return true;
    return false;
}

static void isr_add(struct isr *set, uint16_t place, uint32_t incarnation)
{
    set->node[set->n] = place;
    set->incarnation[set->n++] = incarnation;
}

static bool is_live(const struct repl *r, uint16_t place, uint32_t incarnation)
{
    const struct map_node *n = &r->map->nodes.at[place];
    const struct repl_peer *peer = peer_known(r, place);
    return (peer == NULL || !peer->leaves) && n->used && n->health == MAP_UP &&
           n->incarnation == incarnation;
}

/* Since when it is behind; or it takes in a big record, since a piece of it came (14). Once that is
 * there whole, it has to be applied and stored, which is not told piece by piece. */
static struct mono lags_since(const struct repl_peer *peer)
{
    struct mono oldest = peer->samples[peer->samples_from].ran;
    return mono_after(mono_later(peer->grew, oldest), peer_big_us(peer));
}

bool peer_lags(const struct repl *r, const struct repl_peer *peer)
{
    return peer->samples_n > 0 && mono_reached(r->ran, mono_after(lags_since(peer), lag_us(r)));
}

static bool peer_takes_big(const struct repl *r, const struct repl_peer *peer)
{
    return peer->open && peer->bigs_n > 0 && !peer_lags(r, peer);
}

bool repl_takes_big(const struct repl *r, unsigned slot)
{
    const struct primary_slot *p = &r->primary[slot];
    for (unsigned k = 0; k < p->copies_n; k++)
        if (p->copies[k].state == COPY_JOINED && !copy_holds(r, &p->copies[k], p->newest) &&
            peer_takes_big(r, peer_known(r, p->copies[k].place)))
            return true;
    return false;
}

bool repl_peer_takes_big(const struct repl *r, uint16_t place)
{
    const struct repl_peer *peer = peer_known(r, place);
    return peer != NULL && peer_takes_big(r, peer);
}

bool repl_anyone_takes_big(const struct repl *r)
{
    bool any = false;
    for (size_t i = 0; i < r->peers.n && !any; i++)
        any = peer_takes_big(r, &r->peers.at[i]);
    return any;
}

/* Its oldest record of the slot that was not acknowledged is too old. */
static bool is_lagging(const struct repl *r, unsigned slot, const struct copy *c)
{
    if (c->state != COPY_JOINED)
        return mono_reached(r->now, mono_after(c->since, lag_us(r)));
    if (copy_holds(r, c, r->primary[slot].newest))
        return false;
    return peer_lags(r, peer_known(r, c->place));
}

/* Has it, who joined, kept up for as long as it must before it is added (14)? By its link: what it
 * is late with in other slots it would be late with here. */
static bool is_steady(const struct repl *r, const struct copy *c, const struct map_slot *s)
{
    const struct repl_peer *peer = peer_known(r, c->place);
    unsigned isr_n = s->isr_n;
    unsigned w = map_w_strict(r->map, s, isr_n), few = w > least(r) ? w : least(r);
    struct mono since = mono_later(c->since, peer->lagged);
    return c->removed.us == 0 || isr_n < few ||
           (!peer_lags(r, peer) && mono_reached(r->now, mono_after(since, c->hold_off_us)));
}

/* The members that stay; gone: those that do not, who may have to for want of others. */
static void members_stay(const struct repl *r, unsigned slot, struct isr *next, struct isr *gone)
{
    struct isr now = isr_of(&r->map->slots[slot]);
    for (unsigned i = 0; i < now.n; i++) {
        const struct copy *c = now.node[i] == r->self ? NULL : copy_at(r, slot, now.node[i]);
        bool stays = now.node[i] == r->self ||
                     (c != NULL && !c->bad && is_live(r, now.node[i], now.incarnation[i]) &&
                      !is_lagging(r, slot, c));
        isr_add(stays ? next : gone, now.node[i], now.incarnation[i]);
    }
}

/* What it has of the slot is on its disk, too, if it writes any: it is of any age, and he from whom
 * it came may delete it next. */
static bool is_whole(const struct repl *r, const struct copy *c)
{
    const struct repl_peer *peer = peer_known(r, c->place);
    return c->state == COPY_JOINED && (peer->has_no_log || peer->synced >= c->joined);
}

static void members_join(const struct repl *r, unsigned slot, struct isr *next)
{
    const struct primary_slot *p = &r->primary[slot];
    const struct map_slot *s = &r->map->slots[slot];
    for (unsigned k = 0; k < p->copies_n && next->n < MAP_COPIES; k++) {
        const struct copy *c = &p->copies[k];
        if (!isr_has(next, c->place) && !c->bad && is_whole(r, c) && copy_holds(r, c, c->joined) &&
            is_live(r, c->place, c->incarnation) && !is_lagging(r, slot, c) && is_steady(r, c, s))
            isr_add(next, c->place, c->incarnation);
    }
}

static bool is_too_few(const struct repl *r, unsigned slot, unsigned n)
{
    return n < map_w_strict(r->map, &r->map->slots[slot], n) || n < least(r);
}

/* Once all that placement wants are in sync, who is there beside them leaves (26); but after a
 * smaller replication-factor not before W of fewer is settled (14). */
static void members_drop(const struct repl *r, unsigned slot, struct isr *next)
{
    const struct map_slot *s = &r->map->slots[slot];
    for (unsigned i = 0; i < s->want_n; i++)
        if (!isr_has(next, s->want[i]))
            return;
    struct isr kept = {0};
    for (unsigned i = 0; i < next->n; i++)
        if (next->node[i] == r->self || map_wishes(s, next->node[i]))
            isr_add(&kept, next->node[i], next->incarnation[i]);
    if (!is_too_few(r, slot, kept.n))
        *next = kept;
}

static bool isr_has_run(const struct isr *set, uint16_t place, uint32_t incarnation)
{
    for (unsigned i = 0; i < set->n; i++)
        if (set->node[i] == place)
            return set->incarnation[i] == incarnation;
    return false;
}

/* The same members, in whatever order. */
static bool isr_is(const struct isr *a, const struct isr *b)
{
    bool same = a->n == b->n;
    for (unsigned i = 0; same && i < a->n; i++)
        same = isr_has_run(b, a->node[i], a->incarnation[i]);
    return same;
}

/* The in-sync set as it should be. False: as it is. */
static bool wish(const struct repl *r, unsigned slot, struct isr *next)
{
    struct isr gone = {0}, now = isr_of(&r->map->slots[slot]);
    *next = (struct isr){0};
    members_stay(r, slot, next, &gone);
    members_join(r, slot, next);
    members_drop(r, slot, next);
    for (unsigned i = 0; i < gone.n && is_too_few(r, slot, next->n); i++)
        if (!isr_has(next, gone.node[i]) && next->n < MAP_COPIES) /* 14: too few would be left */
            isr_add(next, gone.node[i], gone.incarnation[i]);
    return !isr_is(next, &now);
}

bool repl_isr_rests(const struct repl *r, unsigned slot)
{
    struct isr next;
    return !r->primary[slot].in_doubt && !wish(r, slot, &next);
}

/* ---------------------------------------------------------------- an attempt */

static void attempt_end(struct repl *r, unsigned slot)
{
    struct primary_slot *p = &r->primary[slot];
    r->proposed_slots -= p->proposed;
    r->doubt_n -= p->in_doubt;
    p->in_doubt = p->proposed = false;
    bits_remove(&r->doubt, slot);
}

/* Somebody in sync, who is to have a copy: not who leaves since others came. */
static bool is_to_leave(const struct repl *r, unsigned slot, const struct isr *next, uint16_t place)
{
    return !isr_has(next, place) && map_wishes(&r->map->slots[slot], place);
}

static void note_leaving(struct repl *r, unsigned slot)
{
    struct isr now = isr_of(&r->map->slots[slot]);
    for (unsigned i = 0; i < now.n; i++) {
        struct copy *c = copy_at(r, slot, now.node[i]);
        if (c != NULL)
            c->leaving = is_to_leave(r, slot, &r->primary[slot].next, now.node[i]);
    }
}

/* Of a proposal whose fate is known: one that was void has removed nobody. */
static void note_removals(struct repl *r, unsigned slot)
{
    struct primary_slot *p = &r->primary[slot];
    struct isr now = isr_of(&r->map->slots[slot]);
    for (unsigned k = 0; k < p->copies_n; k++) {
        struct copy *c = &p->copies[k];
        bool gone = c->leaving && !isr_has(&now, c->place);
        c->leaving = false;
        if (!gone)
            continue;
        bool again =
            c->removed.us != 0 && !mono_reached(r->now, mono_after(c->removed, REMOVAL_COUNTS_US));
        c->hold_off_us = !again                                  ? HOLD_OFF_US
                         : c->hold_off_us < HOLD_OFF_MOST_US / 2 ? 2 * c->hold_off_us
                                                                 : HOLD_OFF_MOST_US;
        c->removed = r->now;
    }
}

/* Somebody who is to be there leaves, or W are not there; else who is added, or leaves since others
 * came, can wait for those of other slots: each proposal is an agreement of the controllers. */
static bool is_urgent(const struct repl *r, unsigned slot, const struct isr *next)
{
    const struct map_slot *s = &r->map->slots[slot];
    bool urgent = is_too_few(r, slot, s->isr_n);
    for (unsigned i = 0; i < s->isr_n; i++)
        urgent |= is_to_leave(r, slot, next, s->isr[i]);
    return urgent;
}

/* Begins, changes or ends the attempt of a slot that is not proposed. */
static void attempt_look(struct repl *r, unsigned slot)
{
    struct primary_slot *p = &r->primary[slot];
    struct isr next;
    if (!wish(r, slot, &next)) {
        if (p->in_doubt)
            attempt_end(r, slot);
        return;
    }
    if (p->in_doubt && isr_is(&next, &p->next))
        return;
    r->doubt_n += !p->in_doubt;
    p->in_doubt = true;
    r->urgent |= is_urgent(r, slot, &next);
    p->next = next;
    p->floor = p->newest; /* what is beyond it needs W of the next as well, from now on (11) */
    bits_add(&r->doubt, slot);
}

static bool is_ready(const struct repl *r, unsigned slot)
{
    const struct primary_slot *p = &r->primary[slot];
    unsigned w = map_w_strict(r->map, &r->map->slots[slot], p->next.n);
    /* 11. What the disk did not take (28) was not acknowledged, and is here as long as this run. */
    return isr_holders(r, slot, &p->next, p->floor, r->kept) >= (w < p->next.n ? w : p->next.n);
}

static bool may_still(const struct repl *r, const struct isr *next)
{
    for (unsigned i = 1; i < next->n; i++)
        if (!is_live(r, next->node[i], next->incarnation[i]))
            return false;
    return true;
}

/* By the W of now, which may be greater than when the attempt began (14). */
static bool would_thin(const struct repl *r, unsigned slot, const struct isr *next)
{
    return next->n < r->map->slots[slot].isr_n && is_too_few(r, slot, next->n);
}

static void propose(struct repl *r, const struct bits *taken, struct repl_wishes *to)
{
    bool again = r->proposed_slots > 0;
    bool rests = again || r->map->nodes.at[r->self].health != MAP_UP; /* 13: it would be void */
    for (unsigned slot = bits_next(&r->doubt, 0); slot < SLOTS;
         slot = bits_next(&r->doubt, slot + 1)) {
        struct primary_slot *p = &r->primary[slot];
        if (p->proposed ? !may_still(r, &p->next)
                        : rests || bits_has(taken, slot) || !is_ready(r, slot))
            continue;
        if (would_thin(r, slot, &p->next))
            continue;
        if (!p->proposed)
            note_leaving(r, slot);
        r->proposed_slots += !p->proposed;
        p->proposed = true;
        *vec_add(&to->at) = (struct repl_wish){(uint16_t)slot, p->next};
    }
    to->propose = again || to->at.n > 0;
    if (!to->propose)
        return;
    to->n = again ? r->proposed_n : ++r->proposed_n; /* 12: the map takes one of these */
    r->propose_again = mono_after(r->now, repl_timeout_us(r) / 2);
    r->propose_next = mono_after(r->now, repl_timeout_us(r) / 20);
    r->urgent = false;
}

/* Its set is as it should be, and has every copy, joined: it stays so until a copy is no more, or
 * lags, or the map says otherwise. All of which is noted but lags. */
bool isr_is_at_rest(const struct repl *r, unsigned slot)
{
    const struct primary_slot *p = &r->primary[slot];
    const struct map_slot *s = &r->map->slots[slot];
    bool rests = !p->in_doubt && s->isr_n == p->copies_n + 1;
    for (unsigned k = 0; rests && k < p->copies_n; k++)
        rests = p->copies[k].state == COPY_JOINED && !p->copies[k].bad &&
                map_isr_has(s, p->copies[k].place, p->copies[k].incarnation);
    return rests;
}

static bool anyone_lags(const struct repl *r)
{
    for (size_t i = 0; i < r->peers.n; i++)
        if (peer_lags(r, &r->peers.at[i]))
            return true;
    return false;
}

/* Of slots with neither copies nor an attempt the set cannot change: the primary is alone, and
 * nobody else follows. all: else those alone that were not at rest. */
static void attempts_look(struct repl *r, const struct bits *taken, bool all)
{
    for (unsigned i = 0; i < SLOTS / 64; i++) {
        uint64_t of = (r->copied.w[i] & (all ? UINT64_MAX : r->restless.w[i])) | r->doubt.w[i];
        for (uint64_t w = of & ~taken->w[i]; w != 0; w &= w - 1) {
            unsigned slot = i * 64 + (unsigned)__builtin_ctzll(w);
            if (!r->primary[slot].proposed)
                attempt_look(r, slot);
            if (isr_is_at_rest(r, slot))
                of &= ~(w & -w);
        }
        r->restless.w[i] = of;
    }
}

/* ---------------------------------------------------------------- a changed W(I) */

void settle_map(struct repl *r, unsigned slot, bool is_new)
{
    bool unsettled = r->primary[slot].epoch != 0 && r->map->slots[slot].formers != 0;
    if (!unsettled)
        bits_remove(&r->unsettled, slot);
    else
        bits_add(&r->unsettled, slot);
    if (!unsettled || is_new || r->settle_ver != r->map->quorum_ver)
        bits_remove(&r->settling, slot);
}

/* What the present W wants of the in-sync set, and of the one in doubt: that was proposed under
 * another W perhaps. */
static bool is_settled(const struct repl *r, unsigned slot)
{
    const struct primary_slot *p = &r->primary[slot];
    uint64_t lsn = p->newest < r->settle_floor ? p->newest : r->settle_floor;
    struct isr now = isr_of(&r->map->slots[slot]);
    return isr_holders(r, slot, &now, lsn, r->stored) >= map_w(&r->map->settings, now.n) &&
           (!p->in_doubt ||
            isr_holders(r, slot, &p->next, lsn, r->stored) >= map_w(&r->map->settings, p->next.n));
}

static void settle_look(struct repl *r, struct repl_wishes *to)
{
    if (mono_reached(r->now, r->settle_again)) {
        r->settling = r->unsettled;
        r->settle_floor = r->appended;
        r->settle_again = mono_after(r->now, repl_timeout_us(r) / 2);
    }
    for (unsigned slot = bits_next(&r->settling, 0); slot < SLOTS;
         slot = bits_next(&r->settling, slot + 1)) {
        if (!is_settled(r, slot))
            continue;
        bits_remove(&r->settling, slot); /* until the next round: what was asked may be void */
        bits_add(&to->settled, slot);
        to->settles = true;
    }
}

void repl_look(struct repl *r, const struct bits *taken, bool may, struct repl_wishes *to)
{
    vec_clear(&to->at);
    to->propose = false;
    if (to->settles)
        to->settled = (struct bits){0};
    to->settles = false;
    if (((r->look || r->stirs) && mono_reached(r->now, r->look_next)) ||
        mono_reached(r->now, r->look_at)) {
        bool all = r->look || anyone_lags(r);
        r->look = r->stirs = false;
        r->look_at = mono_after(r->now, repl_timeout_us(r) / 10);
        r->look_next = mono_after(r->now, repl_timeout_us(r) / 50);
        attempts_look(r, taken, all);
        settle_look(r, to);
    }
    bool due = r->proposed_slots > 0 ? mono_reached(r->now, r->propose_again)
                                     : r->urgent || mono_reached(r->now, r->propose_next);
    if (may && r->doubt_n > 0 && due)
        propose(r, taken, to);
}

/* The fate of a proposal is known by the map's count alone; so is that of those before it (12). */
void isr_map(struct repl *r)
{
    if (r->self == MAP_NOBODY)
        return;
    const struct map_node *me = &r->map->nodes.at[r->self];
    if (me->incarnation != r->incarnation || me->proposed_n < r->proposed_n)
        return;
    r->proposed_n = me->proposed_n;
    for (unsigned slot = bits_next(&r->doubt, 0); slot < SLOTS && r->proposed_slots > 0;
         slot = bits_next(&r->doubt, slot + 1))
        if (r->primary[slot].proposed) {
            note_removals(r, slot);
            attempt_end(r, slot);
        }
}

struct mono repl_due(const struct repl *r)
{
    if (r->self == MAP_NOBODY || r->map->index == 0)
        return MONO_NEVER;
    bool soon = r->look || r->stirs;
    struct mono due = soon ? mono_earlier(r->look_at, r->look_next) : r->look_at;
    /* else it is not ready: an ack will come */
    bool waits = r->doubt_n > 0 && !mono_reached(r->now, r->propose_next);
    return waits ? mono_earlier(due, r->propose_next) : due;
}

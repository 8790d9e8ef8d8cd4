/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/repl/scrub.h"

#include "core/repl/repl_inside.h"

enum { TRIES_MOST = 8 };

static int64_t interval_us(const struct repl *r)
{
    unsigned n = r->scrub.slots_n;
    return r->scrub.period_us / (n > 0 ? n : 1);
}

void scrub_map(struct repl *r)
{
    r->scrub.slots_n = bits_n(&r->copied);
    r->scrub.next = mono_earlier(r->scrub.next, mono_after(r->now, interval_us(r)));
}

void scrub_period(struct repl *r, int64_t us)
{
    if (r->scrub.period_us == us)
        return;
    r->scrub.period_us = us;
    r->scrub.next = mono_after(r->now, interval_us(r));
}

struct mono scrub_due(const struct repl *r)
{
    const struct scrub *s = &r->scrub;
    bool any = s->slots_n > 0 && (s->period_us > 0 || s->hurries || s->again < SLOTS);
    return any && !s->on ? s->next : MONO_NEVER;
}

/* -------------------------------------------------------------------- which */

/* Of those to be compared before others; some may not be this node's yet. SLOTS: none. */
static unsigned soonest(const struct repl *r)
{
    unsigned slot = bits_next(&r->scrub.soon, 0);
    while (slot < SLOTS && !bits_has(&r->copied, slot))
        slot = bits_next(&r->scrub.soon, slot + 1);
    return slot;
}

void scrub_soon(struct repl *r, unsigned slot)
{
    bits_add(&r->scrub.soon, slot);
    r->scrub.hurries = true;
    r->scrub.next = mono_earlier(r->scrub.next, mono_after(r->now, repl_timeout_us(r) / 4));
}

static void rest(struct repl *r)
{
    r->scrub.hurries = soonest(r) < SLOTS;
    r->scrub.again = SLOTS;
    r->scrub.next = mono_after(r->now, r->scrub.hurries ? repl_timeout_us(r) / 4 : interval_us(r));
}

static unsigned choose(struct repl *r)
{
    struct scrub *s = &r->scrub;
    if (s->again < SLOTS && bits_has(&r->copied, s->again))
        return s->again;
    s->again = SLOTS;
    s->confirms = false;
    s->tries = 0;
    unsigned slot = soonest(r);
    if (slot < SLOTS) {
        bits_remove(&s->soon, slot);
        return slot;
    }
    slot = bits_next(&r->copied, s->at);
    if (slot == SLOTS)
        slot = bits_next(&r->copied, 0);
    s->at = slot + 1 < SLOTS ? slot + 1 : 0;
    return slot;
}

/* Not now: in a moment; after some of these not before the next round. */
static void put_off(struct repl *r, unsigned slot, uint64_t random)
{
    struct scrub *s = &r->scrub;
    int64_t moment = repl_timeout_us(r) / 4;
    if (++s->tries < TRIES_MOST) {
        s->again = slot;
        s->next = mono_after(r->now, moment + (int64_t)(random % (uint64_t)(moment + 1)));
        return;
    }
    s->skipped++;
    rest(r);
}

/* ---------------------------------------------------------------- a comparison */

static void member_add(struct scrub *s, uint16_t place, uint32_t round)
{
    s->member[s->member_n++] =
        (struct scrub_member){.place = place, .round = round, .answer = SCRUB_ASKED};
}

/* Who is in sync, all of them. */
static bool all_joined(const struct repl *r, unsigned slot)
{
    const struct map_slot *m = &r->map->slots[slot];
    for (unsigned i = 0; i < m->isr_n; i++) {
        const struct copy *c = m->isr[i] != r->self ? copy_at(r, slot, m->isr[i]) : NULL;
        if (m->isr[i] != r->self && (c == NULL || c->state != COPY_JOINED))
            return false;
    }
    return true;
}

bool scrub_begin(struct repl *r, struct hash_key random, struct repl_digest *ask)
{
    struct scrub *s = &r->scrub;
    unsigned slot = choose(r);
    if (slot == SLOTS)
        return false;
    const struct primary_slot *p = &r->primary[slot];
    s->member_n = 0;
    member_add(s, r->self, 0);
    for (unsigned k = 0; k < p->copies_n; k++)
        if (p->copies[k].state == COPY_JOINED && !p->copies[k].bad)
            member_add(s, p->copies[k].place, p->copies[k].round);
    /* in the end with whom there is */
    if (s->member_n == 1 || (!all_joined(r, slot) && s->tries + 1 < TRIES_MOST)) {
        put_off(r, slot, random.k0);
        return false;
    }
    s->on = true;
    s->slot = (uint16_t)slot;
    s->epoch = p->epoch;
    *ask = (struct repl_digest){.number = ++s->number, .at = r->slots[slot].at, .key = random};
    for (unsigned i = 1; i < s->member_n; i++) {
        ask->in =
            (struct repl_round){.slot = s->slot, .epoch = s->epoch, .round = s->member[i].round};
        r->ops->say(r->ops, s->member[i].place, true,
                    &(struct repl_message){.type = REPL_DIGEST, .digest = *ask});
    }
    return true;
}

static void member_told(struct scrub_member *m, const uint64_t sum[2])
{
    m->answer = sum != NULL ? SCRUB_TOLD : SCRUB_LOST;
    for (unsigned i = 0; sum != NULL && i < 2; i++)
        m->sum[i] = sum[i];
}

void scrub_own(struct repl *r, const uint64_t sum[2])
{
    if (r->scrub.on && r->scrub.member[0].answer == SCRUB_ASKED)
        member_told(&r->scrub.member[0], sum);
}

void scrub_digested(struct repl *r, uint16_t place, const struct repl_digested *m)
{
    struct scrub *s = &r->scrub;
    for (unsigned i = 1; s->on && i < s->member_n; i++)
        if (s->member[i].place == place && s->number == m->number && s->slot == m->in.slot &&
            s->epoch == m->in.epoch && s->member[i].round == m->in.round &&
            s->member[i].answer == SCRUB_ASKED)
            member_told(&s->member[i], m->has ? m->sum : NULL);
}

/* ------------------------------------------------------------------ judgement */

static bool is_still_there(const struct repl *r, const struct scrub_member *m)
{
    const struct copy *c = copy_at(r, r->scrub.slot, m->place);
    return c != NULL && c->state == COPY_JOINED && c->round == m->round &&
           !repl_has_left(r, m->place);
}

static bool all_told(struct repl *r)
{
    struct scrub *s = &r->scrub;
    bool all = true;
    for (unsigned i = 0; i < s->member_n; i++) {
        if (i > 0 && s->member[i].answer == SCRUB_ASKED && !is_still_there(r, &s->member[i]))
            s->member[i].answer = SCRUB_LOST;
        all &= s->member[i].answer != SCRUB_ASKED;
    }
    return all;
}

static bool any_lost(const struct scrub *s)
{
    for (unsigned i = 0; i < s->member_n; i++)
        if (s->member[i].answer == SCRUB_LOST)
            return true;
    return false;
}

static bool is_equal(const struct scrub_member *a, const struct scrub_member *b)
{
    return a->sum[0] == b->sum[0] && a->sum[1] == b->sum[1];
}

static unsigned equals_n(const struct scrub *s, unsigned i)
{
    unsigned n = 0;
    for (unsigned k = 0; k < s->member_n; k++)
        n += is_equal(&s->member[i], &s->member[k]);
    return n;
}

/* One that most are equal to; else this node's, and *most is false. */
static unsigned right_one(const struct scrub *s, bool *most)
{
    for (unsigned i = 0; i < s->member_n; i++)
        if ((*most = 2 * equals_n(s, i) > s->member_n))
            return i;
    return 0;
}

static void others_are_bad(struct repl *r, const struct scrub_found *f)
{
    for (unsigned i = 0; i < f->n; i++) {
        struct copy *c = copy_at(r, f->slot, f->at[i]);
        if (c != NULL)
            c->bad = true;
    }
    r->look = true;
}

static void mine_is_bad(struct repl *r)
{
    struct scrub *s = &r->scrub;
    bits_add(&r->bad, s->slot);
    for (unsigned i = 1; i < s->member_n; i++) {
        struct repl_round in = {.slot = s->slot, .epoch = s->epoch, .round = s->member[i].round};
        if (is_still_there(r, &s->member[i]))
            r->ops->say(r->ops, s->member[i].place, true,
                        &(struct repl_message){.type = REPL_COMPARE, .n = 1, .rounds = &in});
    }
}

/* They differ, and did before. */
static void weigh(struct repl *r, struct scrub_found *to)
{
    struct scrub *s = &r->scrub;
    bool most, mine = false;
    unsigned right = right_one(s, &most);
    for (unsigned i = 0; i < s->member_n; i++) {
        if (is_equal(&s->member[right], &s->member[i]))
            continue;
        mine |= i == 0;
        if (i > 0)
            to->at[to->n++] = s->member[i].place;
    }
    to->verdict = !most ? SCRUB_ALARM : mine ? SCRUB_MINE : SCRUB_OTHERS;
    bits_add(&s->differ, s->slot);
    if (most)
        others_are_bad(r, to);
    if (to->verdict == SCRUB_MINE)
        mine_is_bad(r);
}

bool scrub_judge(struct repl *r, struct scrub_found *to)
{
    struct scrub *s = &r->scrub;
    if (!s->on)
        return false;
    bool is_over = r->primary[s->slot].epoch != s->epoch;
    if (!is_over && !all_told(r))
        return false;
    *to = (struct scrub_found){.slot = s->slot, .copies = s->member_n, .verdict = SCRUB_VOID};
    s->on = false;
    if (is_over || any_lost(s)) {
        /* nodes in each other's way wait for different times */
        put_off(r, s->slot, s->number * 7919 + r->self * 104729u);
        return true;
    }
    if (equals_n(s, 0) == s->member_n) {
        to->verdict = SCRUB_EQUAL;
        bits_remove(&s->differ, s->slot);
    } else if (!s->confirms) {
        to->verdict = SCRUB_DIFFER;
        s->confirms = true;
        s->again = s->slot;
        s->next = r->now;
        return true;
    } else {
        weigh(r, to);
    }
    s->compared++;
    rest(r);
    return true;
}

bool scrub_is_mine_bad(const struct repl *r, unsigned slot)
{
    const struct primary_slot *p = &r->primary[slot];
    if (!bits_has(&r->bad, slot))
        return false;
    for (unsigned k = 0; k < p->copies_n; k++)
        if (p->copies[k].bad &&
            map_isr_has(&r->map->slots[slot], p->copies[k].place, p->copies[k].incarnation))
            return false; /* it is no heir: it leaves first */
    return true;
}

bool scrub_keeps(const struct repl *r, unsigned slot, uint16_t to)
{
    const struct scrub *s = &r->scrub;
    const struct copy *c = copy_at(r, slot, to);
    return (c != NULL && c->bad) || s->again == slot || (s->on && s->slot == slot) ||
           bits_has(&s->soon, slot);
}

bool scrub_discard(struct repl *r, unsigned slot, uint16_t place)
{
    struct copy *c = copy_at(r, slot, place);
    if (c == NULL)
        return false;
    c->bad = true;
    bits_add(&r->scrub.differ, slot);
    r->look = true;
    return true;
}

/* Its acks count no more, and nobody will elect it: what it has may go. */
static bool is_out(const struct repl *r, unsigned slot, const struct copy *c)
{
    return !r->primary[slot].in_doubt &&
           !map_isr_has(&r->map->slots[slot], c->place, c->incarnation);
}

void scrub_tell_bad(struct repl *r)
{
    struct scrub *s = &r->scrub;
    for (unsigned slot = bits_next(&s->differ, 0); slot < SLOTS;
         slot = bits_next(&s->differ, slot + 1)) {
        if (!bits_has(&r->copied, slot)) {
            bits_remove(&s->differ, slot); /* it is another's now */
            continue;
        }
        for (unsigned k = 0; k < r->primary[slot].copies_n; k++) {
            const struct copy *c = &r->primary[slot].copies[k];
            if (!c->bad || c->state != COPY_JOINED || !is_out(r, slot, c))
                continue;
            struct repl_round in = {
                .slot = (uint16_t)slot, .epoch = r->primary[slot].epoch, .round = c->round};
            r->ops->say(
                r->ops, c->place, true,
                &(struct repl_message){.type = REPL_BAD, .bad = {.in = in, .map = r->map->index}});
        }
    }
}

/* ----------------------------------------------------------------- as replica */

bool scrub_is_asked(const struct repl *r, uint16_t place, const struct repl_round *in)
{
    return replica_follows(r, place, in) && r->replica[in->slot].state == REPLICA_JOINED;
}

void scrub_compare(struct repl *r, uint16_t place, const struct repl_round *in)
{
    if (scrub_is_asked(r, place, in))
        bits_add(&r->scrub.soon, in->slot); /* once it is this node's */
}

bool scrub_may_digest(const struct repl *r, uint16_t place, const struct repl_digest *m)
{
    const struct lineage *l = &r->slots[m->in.slot];
    return scrub_is_asked(r, place, &m->in) && !l->frozen && l->at.seq == m->at.seq &&
           (l->at.seq == 0 || l->at.epoch == m->at.epoch);
}

bool scrub_may_reset(const struct repl *r, uint16_t place, const struct repl_round *in,
                     uint64_t map)
{
    return scrub_is_asked(r, place, in) && map <= r->map->index &&
           !map_isr_has(&r->map->slots[in->slot], r->self, r->incarnation);
}

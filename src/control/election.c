/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/election.h"

#include "base/check.h"

enum { LAST_WAIT = 10 }; /* 22: for a live copy that does not report, so many T at most */

static int position_cmp(struct position a, struct position b)
{
    if (a.epoch != b.epoch)
        return a.epoch > b.epoch ? 1 : -1;
    return a.seq == b.seq ? 0 : a.seq > b.seq ? 1 : -1;
}

static const struct election_report *report_of(const struct election_view *v, uint16_t place)
{
    for (unsigned i = 0; i < v->report_n; i++)
        if (v->report[i].place == place)
            return &v->report[i];
    return NULL;
}

static const struct map_node *node_of(const struct election_view *v, uint16_t place)
{
    return &v->map->nodes.at[place];
}

static bool is_other_data(const struct election_view *v, unsigned member,
                          const struct election_report *r)
{
    return v->slot->isr_incarnation[member] < r->data_since;
}

/* The report of the member, as it was in sync: of the same run, or of a later one if nothing was
 * lost since (22). */
static const struct election_report *own_report(const struct election_view *v, unsigned member)
{
    const struct map_slot *s = v->slot;
    const struct election_report *r = report_of(v, s->isr[member]);
    if (r == NULL || is_other_data(v, member, r))
        return NULL;
    bool same = node_of(v, r->place)->incarnation == s->isr_incarnation[member];
    return same || s->isr_incarnation[member] >= r->clean_since ? r : NULL;
}

/* -- Reports that are to be considered, in the order of `replicas` ----------------------------- */

struct field {
    const struct election_report *at[MAP_REPLICAS];
    unsigned n;
};

static int member_of(const struct map_slot *s, uint16_t place)
{
    for (unsigned i = 0; i < s->isr_n; i++)
        if (s->isr[i] == place)
            return (int)i;
    return -1;
}

static struct field members_own(const struct election_view *v)
{
    struct field f = {.n = 0};
    for (unsigned i = 0; i < v->slot->replicas_n; i++) {
        int member = member_of(v->slot, v->slot->replicas[i]);
        const struct election_report *r = member < 0 ? NULL : own_report(v, (unsigned)member);
        if (r != NULL)
            f.at[f.n++] = r;
    }
    return f;
}

/* Who was in sync goes before who was not: at equal positions it is elected. */
static struct field everybody(const struct election_view *v)
{
    struct field f = {.n = 0};
    for (int outside = 0; outside <= 1; outside++)
        for (unsigned i = 0; i < v->slot->replicas_n; i++) {
            const struct election_report *r = report_of(v, v->slot->replicas[i]);
            if (r != NULL && (member_of(v->slot, r->place) < 0) == (outside == 1))
                f.at[f.n++] = r;
        }
    return f;
}

static const struct election_report *greatest(const struct field *f)
{
    const struct election_report *best = f->at[0];
    for (unsigned i = 1; i < f->n; i++)
        if (position_cmp(f->at[i]->at, best->at) > 0)
            best = f->at[i];
    return best;
}

/* The greatest position that at least k of them hold. */
static struct position held_by(const struct field *f, unsigned k)
{
    struct position best = {0, 0};
    for (unsigned i = 0; i < f->n; i++) {
        unsigned holders = 0;
        for (unsigned j = 0; j < f->n; j++)
            holders += position_cmp(f->at[j]->at, f->at[i]->at) >= 0;
        if (holders >= k && position_cmp(f->at[i]->at, best) > 0)
            best = f->at[i]->at;
    }
    return best;
}

/* -- The choice -------------------------------------------------------------------------------- */

static void elect(struct election_choice *c, const struct field *f,
                  bool (*is_in)(const struct election_report *r,
                                const struct election_report *bound),
                  const struct election_report *bound, unsigned most)
{
    const struct election_report *winner = greatest(f);
    c->state = ELECTION_MADE;
    c->node[c->n++] = winner->place;
    for (unsigned i = 0; i < f->n && c->n < most; i++)
        if (f->at[i] != winner && is_in(f->at[i], bound))
            c->node[c->n++] = f->at[i]->place;
}

static bool is_at_or_beyond(const struct election_report *r, const struct election_report *bound)
{
    return position_cmp(r->at, bound->at) >= 0;
}

/* A position of the winner's last epoch is on its history; of an older one nothing
 * is known here. */
static bool is_of_its_epoch(const struct election_report *r, const struct election_report *bound)
{
    return r->at.epoch == bound->at.epoch;
}

/* 21: nothing beyond what max(1, W - u) of the reporters hold can have been acknowledged.
 * Of those behind that, the new isr has any only if enough are not: their acks count in the
 * new epoch alone. */
static void elect_members(const struct election_view *v, const struct field *f, bool one_is_enough,
                          struct election_choice *c)
{
    unsigned w = map_w_weak(v->map, v->slot, v->slot->isr_n), silent = v->slot->isr_n - f->n;
    if (one_is_enough) {
        elect(c, f, is_of_its_epoch, greatest(f), MAP_COPIES);
        return;
    }
    unsigned k = w > silent ? w - silent : 1, beyond = 0;
    struct election_report bound = {.at = held_by(f, k < f->n ? k : f->n)};
    for (unsigned i = 0; i < f->n; i++)
        beyond += is_at_or_beyond(f->at[i], &bound);
    if (beyond >= (w < f->n ? w : f->n))
        bound.at = (struct position){0, 0};
    elect(c, f, is_at_or_beyond, &bound, MAP_COPIES);
}

static void wait_until(struct election_choice *c, struct mono due)
{
    c->state = ELECTION_WAITS;
    c->due = mono_earlier(c->due, due);
}

/* 21: every member that is neither DOWN nor replaced has reported. Whether a restart replaces it,
 * its report tells; it is waited for no longer than T. */
static bool members_waited_for(const struct election_view *v, struct election_choice *c)
{
    const struct map_slot *s = v->slot;
    bool waits = false;
    for (unsigned i = 0; i < s->isr_n; i++) {
        const struct map_node *n = node_of(v, s->isr[i]);
        if (n->health == MAP_DOWN || report_of(v, s->isr[i]) != NULL)
            continue;
        struct mono due = mono_after(mono_later(v->began, v->said[s->isr[i]]), v->timeout_us);
        bool is_late = mono_reached(v->now, due);
        if (n->incarnation != s->isr_incarnation[i] && is_late)
            continue;
        waits = true;
        if (is_late && n->health == MAP_UP)
            c->mute[c->mute_n++] = s->isr[i];
        else if (!is_late)
            wait_until(c, due);
    }
    return !waits;
}

/* 22: what the members have said, in whichever run. */
struct muster {
    bool all;      /* every one has reported, or was given up by an operator */
    bool any_data; /* one of them has not lost its data */
    bool given_up;
    struct mono since;
};

static struct muster muster(const struct election_view *v)
{
    struct muster m = {.all = true, .since = v->began};
    for (unsigned i = 0; i < v->slot->isr_n; i++) {
        const struct map_node *n = node_of(v, v->slot->isr[i]);
        const struct election_report *r = report_of(v, v->slot->isr[i]);
        bool is_other = r != NULL && is_other_data(v, i, r),
             lost = is_other || (r == NULL && n->health == MAP_DOWN);
        if (lost && n->leaving)
            m.given_up = true;
        else if (r == NULL)
            m.all = false;
        if (r != NULL)
            m.since = mono_later(m.since, r->heard);
        m.any_data |= r != NULL && !is_other;
    }
    return m;
}

static bool all_live_reported(const struct election_view *v)
{
    for (unsigned i = 0; i < v->slot->replicas_n; i++)
        if (node_of(v, v->slot->replicas[i])->health == MAP_UP &&
            report_of(v, v->slot->replicas[i]) == NULL)
            return false;
    return true;
}

/* 22: too few reports of members, but all have come that there will be. */
static void elect_anybody(const struct election_view *v, struct election_choice *c)
{
    struct muster m = muster(v);
    struct field f = everybody(v);
    if (!m.all || f.n == 0)
        return;
    if (!m.any_data && !m.given_up) {
        c->state = ELECTION_LOST;
        return;
    }
    struct mono due = mono_after(m.since, v->timeout_us);
    if (mono_reached(v->now, due) && !all_live_reported(v))
        due = mono_after(m.since, LAST_WAIT * v->timeout_us);
    if (!mono_reached(v->now, due)) {
        wait_until(c, due);
        return;
    }
    const struct election_report *best = greatest(&f);
    unsigned most = v->map->settings.replication_factor;
    elect(c, &f, is_at_or_beyond, best, most < MAP_COPIES ? most : MAP_COPIES);
    c->give_up = m.given_up;
}

/* 22: with W = 1 what the live members say is enough after T, and may not be all
 * that was acknowledged. */
static bool one_elects(const struct election_view *v, struct election_choice *c)
{
    const struct map_slot *s = v->slot;
    struct field f = {.n = 0};
    struct mono since = v->began;
    for (unsigned i = 0; i < s->isr_n; i++) {
        const struct election_report *r = report_of(v, s->isr[i]);
        if (r != NULL && !is_other_data(v, i, r)) {
            f.at[f.n++] = r;
            since = mono_later(since, r->heard);
        } else if (r == NULL && node_of(v, s->isr[i])->health == MAP_UP) {
            return false;
        }
    }
    if (f.n == 0)
        return false;
    struct mono due = mono_after(since, v->timeout_us);
    if (mono_reached(v->now, due))
        elect_members(v, &f, true, c);
    else
        wait_until(c, due);
    return true;
}

void election_choose(const struct election_view *v, struct election_choice *c)
{
    const struct map_slot *s = v->slot;
    unsigned w = map_w_weak(v->map, s, s->isr_n);
    bool one_is_enough = map_w_was_one(v->map, s);
    struct field f = members_own(v);
    *c = (struct election_choice){.state = ELECTION_WAITS, .due = MONO_NEVER};
    check(s->primary == MAP_NOBODY && s->isr_n > 0);
    if (f.n > 0 && f.n + w > s->isr_n) { /* max(1, |isr| - W + 1) of them */
        if (members_waited_for(v, c))
            elect_members(v, &f, one_is_enough, c);
    } else if (!one_is_enough || !one_elects(v, c)) {
        elect_anybody(v, c);
    }
}

/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/scale.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "tests/sim/planes.h"
#include "wire/wire_member.h"
#include "wire/wire_raft.h"

enum { MS = 1000, SECOND = 1000 * MS };
enum { T_MS = 1000, GOSSIP_MS = T_MS / 10, INTERVALS = 8 };
enum { FORM_MS = 30000, CALM_MS = 20000, WHOLE_MS = 30000, CHANGES = 5, DEATHS = 3 };
enum { DOWN_MS = T_MS + 200, SPLIT_VOTE_MS = T_MS / 4 }; /* a campaign that met another is tried again so much later */

struct saying {
    uint64_t messages[SCALE_KINDS], bytes;
};

struct scale {
    struct planes planes; /* first */
    struct scale_figures *f;
    struct saying said[PLANES_MAX];
    bool counts;
    VEC(char) flat;
    uint32_t victim;     /* whose lease is nobody's care */
};

const char *scale_kind_name(enum scale_kind kind)
{
    static const char *const names[SCALE_KINDS] = {"heartbeats", "answers", "gossip", "consensus", "rest"};
    return names[kind];
}

/* ---------------------------------------------------------------- what is said */

static enum scale_kind kind_of(enum wire_type type)
{
    if (type == WIRE_BEAT)
        return SCALE_BEATS;
    if (type == WIRE_ECHO || type == WIRE_SEEN)
        return SCALE_ANSWERS;
    if (type == WIRE_GOSSIP)
        return SCALE_GOSSIP;
    return wire_is_raft(type) ? SCALE_RAFT : SCALE_REST;
}

static void said(struct planes *planes, struct plane *p, const struct chain *bytes)
{
    struct scale *w = (struct scale *)planes;
    struct wire_reader r = {.from = WIRE_EITHER, .open = true};
    struct wire_in in;
    size_t used;
    if (!w->counts)
        return;
    while (w->flat.n < bytes->n)
        *vec_add(&w->flat) = 0;
    struct slice left = slice_of(w->flat.at, chain_copy(bytes, w->flat.at, bytes->n));
    struct saying *s = &w->said[p->number];
    s->bytes += left.n;
    for (; left.n > 0 && wire_next(&r, left, &in, &used) == WIRE_FRAME; left = slice_from(left, used))
        s->messages[kind_of(in.type)]++;
    s->messages[SCALE_REST] += left.n > 0; /* a handshake's */
    wire_reader_free(&r);
}

static void mean_of(const struct scale *w, bool votes, struct scale_saying *to)
{
    double n = 0;
    *to = (struct scale_saying){.bytes = 0};
    for (size_t i = 0; i < w->planes.n; i++) {
        const struct saying *s = &w->said[i];
        if ((s->messages[SCALE_ANSWERS] > 0) != votes)
            continue;
        n++;
        to->bytes += (double)s->bytes;
        for (int k = 0; k < SCALE_KINDS; k++)
            to->messages[k] += (double)s->messages[k];
    }
    to->bytes /= n * CALM_MS / 1000;
    for (int k = 0; k < SCALE_KINDS; k++)
        to->messages[k] /= n * CALM_MS / 1000;
}

/* ---------------------------------------------------------------- waiting */

static int64_t ms_since(const struct scale *w, struct mono then)
{
    return (w->planes.now.us - then.us + MS - 1) / MS;
}

typedef bool condition(struct scale *w);

/* Looks each step_ms; false: not within ms, and that is told. */
static bool until(struct scale *w, int64_t ms, int64_t step_ms, condition *holds, const char *else_wrong)
{
    for (int64_t waited = 0; !holds(w); waited += step_ms) {
        if (waited >= ms)
            planes_wrong(&w->planes, else_wrong, w->victim);
        if (w->planes.wrong[0] != '\0')
            return false;
        planes_run(&w->planes, step_ms * MS);
    }
    return true;
}

static bool is_whole(struct scale *w)
{
    struct planes *p = &w->planes;
    unsigned slots = 0, voters = p->n >= 5 ? 5 : p->n >= 3 ? 3 : 1;
    if (!planes_agree(p) || planes_leader(p) == NULL || control_voters(p->at[0].control) != voters)
        return false;
    for (size_t i = 0; i < p->n; i++) {
        unsigned its = plane_has_lease(p, &p->at[i]) ? plane_slots(&p->at[i]) : 0;
        if (its == 0)
            return false;
        slots += its;
    }
    return slots == SLOTS;
}

/* Everybody's but the victim's. */
static bool all_have_leases(struct scale *w)
{
    struct planes *p = &w->planes;
    for (size_t i = 0; i < p->n; i++) {
        int64_t left = p->at[i].lease.us - plane_clock(&p->at[i]).us;
        if (i == w->victim)
            continue;
        if (left <= 0) {
            planes_wrong(p, "a lease ended although only another node died", (uint32_t)i);
            return false;
        }
        if (left / MS < w->f->lease_least_ms)
            w->f->lease_least_ms = left / MS;
    }
    return true;
}

/* ---------------------------------------------------------------- the story */

static void form(struct scale *w, unsigned n)
{
    struct mono began = w->planes.now;
    for (unsigned i = 0; i < n; i++)
        plane_start(&w->planes, plane_add(&w->planes, i == 0 ? -1 : 0));
    until(w, FORM_MS, 10, is_whole, "no cluster came to be");
    w->f->form_ms = ms_since(w, began);
}

static void calm(struct scale *w)
{
    struct planes *p = &w->planes;
    planes_run(p, 2 * T_MS * MS); /* what forming said last is over, and the last slots are handed */
    uint64_t index = control_map(p->at[0].control)->index;
    p->delay_least_us = 500;
    p->delay_mean_us = 2000;
    p->lost_of_1000 = 1;
    p->resend_us = 200 * MS;
    p->breaks_of_million = 10;
    w->f->lease_least_ms = T_MS;
    w->counts = true;
    for (int64_t ms = 0; ms < CALM_MS && all_have_leases(w); ms += 10)
        planes_run(p, 10 * MS);
    w->counts = false;
    w->f->lost = p->lost_n;
    w->f->broken = p->broken_n;
    mean_of(w, false, &w->f->plain);
    mean_of(w, true, &w->f->voter);
    for (size_t i = 0; i < p->n; i++) /* nobody was suspected, no leader changed */
        if (control_map(p->at[i].control)->index != index)
            planes_wrong(p, "in calm the map changed", (uint32_t)i);
}

static int64_t value; /* of the setting, to be everywhere */

static bool value_is_everywhere(struct scale *w)
{
    for (size_t i = 0; i < w->planes.n; i++)
        if (w->planes.at[i].data.map.settings.scatter_width != value)
            return false;
    return true;
}

static void change(struct scale *w)
{
    struct planes *p = &w->planes;
    for (unsigned i = 0; i < CHANGES; i++) {
        struct plane *at = &p->at[(7 + 31 * i) % p->n];
        struct word ask = {.type = WORD_ASK, .ask = {.token = i, .what = ASK_SET, .value = value = 2 + i}};
        struct mono asked = p->now;
        snprintf(ask.ask.text, sizeof(ask.ask.text), "cluster-scatter-width");
        plane_ask(p, at, ask);
        until(w, INTERVALS * GOSSIP_MS, 1, value_is_everywhere, "a setting is not everywhere after 8 intervals of gossip");
        if (ms_since(w, asked) > w->f->change_ms)
            w->f->change_ms = ms_since(w, asked);
        planes_run(p, (int64_t)rng_below(&p->rng, SECOND));
    }
}

/* ---------------------------------------------------------------- losses */

static bool is_down_in(const struct map *m, uint32_t victim)
{
    for (size_t i = 0; i < m->nodes.n; i++)
        if (m->nodes.at[i].used && m->nodes.at[i].at.cluster_port == plane_port(victim))
            return m->nodes.at[i].health == MAP_DOWN;
    return false;
}

static bool there_is_a_leader(struct scale *w)
{
    return all_have_leases(w) && planes_leader(&w->planes) != NULL;
}

static bool leader_says_down(struct scale *w)
{
    return there_is_a_leader(w) && is_down_in(control_map(planes_leader(&w->planes)->control), w->victim);
}

static bool all_know_down(struct scale *w)
{
    for (size_t i = 0; i < w->planes.n; i++)
        if (i != w->victim && !is_down_in(&w->planes.at[i].data.map, w->victim))
            return false;
    return all_have_leases(w);
}

static void keep_longest(int64_t *longest, int64_t ms)
{
    *longest = ms > *longest ? ms : *longest;
}

/* The victim dies, is DOWN, everybody knows; it comes back. From its death to DOWN. */
static int64_t lose(struct scale *w, uint32_t victim, int64_t within_ms)
{
    struct planes *p = &w->planes;
    planes_run(p, (int64_t)rng_below(&p->rng, T_MS * MS / 10)); /* between two heartbeats, anywhere */
    bool leads = planes_leader(p) == &p->at[victim];
    struct mono died = p->now;
    w->victim = victim;
    plane_kill(p, &p->at[victim], false);
    if (leads && until(w, within_ms, 1, there_is_a_leader, "nobody leads after the leader's death"))
        keep_longest(&w->f->leader_ms, ms_since(w, died));
    until(w, within_ms, 1, leader_says_down, "who died is not DOWN in time");
    int64_t ms = ms_since(w, died);
    if (ms > within_ms)
        planes_wrong(p, "who died is DOWN too late", victim);
    struct mono down = p->now;
    until(w, INTERVALS * GOSSIP_MS, 1, all_know_down, "a DOWN is not everywhere after 8 intervals of gossip");
    keep_longest(&w->f->known_ms, ms_since(w, down));
    plane_start(p, &p->at[victim]);
    until(w, WHOLE_MS, 10, is_whole, "who came back does not serve again");
    return ms;
}

static void losses(struct scale *w)
{
    unsigned late = 0;
    for (unsigned i = 0; i < DEATHS; i++) {
        uint32_t victim = (11 + 53 * i) % (uint32_t)w->planes.n;
        struct plane *leader = planes_leader(&w->planes);
        if (leader == NULL)
            return;
        victim = victim == leader->number ? (victim + 1) % (uint32_t)w->planes.n : victim;
        keep_longest(&w->f->down_ms, lose(w, victim, DOWN_MS));
    }
    for (unsigned i = 0; i < DEATHS && planes_leader(&w->planes) != NULL; i++) {
        int64_t ms = lose(w, planes_leader(&w->planes)->number, DOWN_MS + SPLIT_VOTE_MS);
        late += ms > DOWN_MS;
        keep_longest(&w->f->leader_down_ms, ms);
    }
    if (late > 1) /* one may fall on a split vote */
        planes_wrong(&w->planes, "leaders that died were DOWN too late", w->victim);
}

void scale_run(struct scale_figures *to, unsigned n, uint64_t seed, bool trace)
{
    struct scale *w = mem_zero(sizeof(*w));
    *to = (struct scale_figures){.n = n};
    planes_init(&w->planes, seed);
    w->planes.trace = trace;
    w->planes.said = said;
    w->f = to;
    w->victim = UINT32_MAX;
    form(w, n);
    if (w->planes.wrong[0] == '\0')
        calm(w);
    if (w->planes.wrong[0] == '\0')
        change(w);
    if (w->planes.wrong[0] == '\0')
        losses(w);
    to->digest = w->planes.digest;
    memcpy(to->wrong, w->planes.wrong, sizeof(to->wrong));
    planes_free(&w->planes);
    vec_free(&w->flat);
    mem_free(w);
}

/* ---------------------------------------------------------------- figures */

static double said_in_all(const struct scale_saying *s)
{
    double n = 0;
    for (int k = 0; k < SCALE_KINDS; k++)
        n += s->messages[k];
    return n;
}

/* Beyond the heartbeats to the voters, which the members send in any cluster, and the voters' answers. */
static double said_beyond(const struct scale_saying *s)
{
    return said_in_all(s) - s->messages[SCALE_BEATS] - s->messages[SCALE_ANSWERS];
}

const char *scale_grows(const struct scale_figures *few, const struct scale_figures *many)
{
    double members = (double)many->n / few->n;
    if (said_in_all(&many->plain) > 1.05 * said_in_all(&few->plain))
        return "what a member says grows with the cluster";
    if (said_beyond(&many->voter) > 1.05 * said_beyond(&few->voter))
        return "what a voter says beyond its answers to heartbeats grows with the cluster";
    if (many->voter.messages[SCALE_ANSWERS] > 1.1 * members * few->voter.messages[SCALE_ANSWERS])
        return "a voter gives more than an answer for a heartbeat";
    return NULL;
}

static void say_one(const char *who, const struct scale_saying *s)
{
    printf("#   %s says %.1f a second (", who, said_in_all(s));
    for (int k = 0; k < SCALE_KINDS; k++)
        printf("%s%.1f %s", k > 0 ? ", " : "", s->messages[k], scale_kind_name((enum scale_kind)k));
    printf("), %.1f KiB\n", s->bytes / 1024);
}

void scale_say(const struct scale_figures *f)
{
    printf("# %u control planes: a cluster after %lld ms; in calm %llu packets late, %llu connections broken, "
           "a lease's least rest %lld ms\n",
           f->n, (long long)f->form_ms, (unsigned long long)f->lost, (unsigned long long)f->broken,
           (long long)f->lease_least_ms);
    say_one("a member", &f->plain);
    say_one("a voter ", &f->voter);
    printf("#   at the most: a setting everywhere after %lld ms; DOWN after %lld ms, everywhere %lld ms later; of who "
           "leads after %lld ms, the next one leads after %lld ms\n",
           (long long)f->change_ms, (long long)f->down_ms, (long long)f->known_ms, (long long)f->leader_down_ms,
           (long long)f->leader_ms);
}

/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/election.h"

#include "base/mem.h"
#include "base/rng.h"
#include "tests/lib/unit.h"

enum { NODES = 5, T_US = 1000 };

/* -- A table for the clauses: nodes 0..4 in run 1, slot 0 electing; began at time 0. ----------------------- */

static struct map map;
static struct mono said[NODES];
static struct election_report reports[NODES];
static unsigned reports_n;
static struct mono now;
static struct election_choice chosen;

static void begin(unsigned isr_n, uint32_t w)
{
    map_init(&map);
    map.settings.replication_factor = isr_n;
    map.settings.write_quorum = w;
    struct map_slot *s = &map.slots[0];
    for (uint16_t i = 0; i < NODES; i++) {
        *vec_add(&map.nodes) = (struct map_node){.used = true, .incarnation = 1, .weight = 1};
        said[i] = (struct mono){0};
    }
    for (uint16_t i = 0; i < isr_n; i++) {
        s->isr[i] = s->want[i] = i;
        s->isr_incarnation[i] = 1;
    }
    s->isr_n = s->want_n = (uint8_t)isr_n;
    map_replicas_follow(s);
    reports_n = 0;
    now = (struct mono){0};
}

static void end(void)
{
    map_free(&map);
}

static struct map_node *node(unsigned place)
{
    return &map.nodes.at[place];
}

static void restarted(unsigned place)
{
    node(place)->incarnation++;
    said[place] = now;
}

static struct election_report *stands(uint16_t place, uint64_t epoch, uint64_t seq)
{
    struct election_report *r = &reports[reports_n++];
    *r = (struct election_report){place, node(place)->incarnation, 1, {epoch, seq}, now};
    return r;
}

static enum election_state choose(void)
{
    struct election_view v = {.map = &map, .slot = &map.slots[0], .report = reports, .report_n = reports_n,
                              .now = now, .said = said, .timeout_us = T_US};
    election_choose(&v, &chosen);
    return chosen.state;
}

static void isr_is(const char *places)
{
    assert_int_equal(chosen.state, ELECTION_MADE);
    assert_int_equal(chosen.n, strlen(places));
    for (unsigned i = 0; i < chosen.n; i++)
        assert_int_equal(chosen.node[i], places[i] - '0');
}

static void elects(const char *places)
{
    choose();
    isr_is(places);
}

static void waits_until(int64_t us)
{
    assert_int_equal(choose(), ELECTION_WAITS);
    assert_int_equal(chosen.due.us, us);
}

/* -- 21 -------------------------------------------------------------------------------------------------- */

static void so_many_reports_are_needed(void **state)
{
    (void)state;
    static const struct {
        unsigned isr_n;
        uint32_t w;
        unsigned needed;
    } rows[] = {{1, 0, 1}, {2, 0, 1}, {3, 0, 1}, {3, 2, 2}, {3, MAP_W_MAJORITY, 2}, {5, MAP_W_MAJORITY, 3}, {2, 3, 1}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        for (unsigned n = 0; n <= rows[i].isr_n; n++) {
            begin(rows[i].isr_n, rows[i].w);
            for (unsigned k = 0; k < rows[i].isr_n; k++) /* the others are DOWN: nobody is waited for */
                if (k < n)
                    stands((uint16_t)k, 1, 1);
                else
                    node(k)->health = MAP_DOWN;
            assert_int_equal(choose() == ELECTION_MADE, n >= rows[i].needed);
            end();
        }
}

/* From 2 to all: what was acknowledged is on two of them, perhaps. */
static void before_w_is_settled_the_weaker_counts(void **state)
{
    (void)state;
    begin(3, MAP_W_ALL);
    map.slots[0].formers = 1u << 2;
    stands(0, 1, 1);
    node(1)->health = node(2)->health = MAP_DOWN;
    assert_int_not_equal(choose(), ELECTION_MADE);
    node(1)->health = MAP_UP;
    stands(1, 1, 2);
    elects("1"); /* 2 may have been the other one that held it */
    map.slots[0].formers = 0;
    elects("10");
    map.slots[0].formers = 1u << 1; /* from 1: what the live say is enough after T (22) */
    now.us = T_US;
    elects("10");
    end();
}

static void every_living_member_is_waited_for(void **state)
{
    (void)state;
    begin(3, 0);
    stands(1, 1, 5);
    waits_until(T_US);
    node(0)->health = MAP_DOWN;
    now.us = T_US - 1;
    waits_until(T_US);
    assert_int_equal(chosen.mute_n, 0);
    now.us = T_US; /* it has said nothing for T: it is to be SUSPECT, and its lease runs out */
    waits_until(MONO_NEVER.us);
    assert_int_equal(chosen.mute_n, 1);
    assert_int_equal(chosen.mute[0], 2);
    node(2)->health = MAP_SUSPECT;
    waits_until(MONO_NEVER.us);
    assert_int_equal(chosen.mute_n, 0);
    node(2)->health = MAP_DOWN;
    elects("1");
    node(2)->health = MAP_UP; /* and CLEARED: T anew */
    said[2] = now;
    waits_until(2 * T_US);
    stands(2, 1, 7);
    elects("21"); /* W - u = 2 of the two hold 5 */
    end();
}

static void a_restart_is_waited_for_until_it_is_known_what_it_lost(void **state)
{
    (void)state;
    begin(2, 0);
    restarted(0);
    stands(1, 1, 5);
    waits_until(T_US);
    now.us = T_US;
    elects("1"); /* it loads still: it is not called SUSPECT for that */
    assert_int_equal(chosen.mute_n, 0);
    stands(0, 1, 9)->clean_since = 2;
    elects("1"); /* replaced: it lost the end, and what it has besides nobody acknowledged */
    reports[1].clean_since = 1;
    elects("01"); /* the member's own (22) */
    end();
}

static void the_greatest_position_wins(void **state)
{
    (void)state;
    begin(3, 0);
    stands(0, 1, 900);
    stands(1, 2, 3);
    stands(2, 2, 3);
    choose();
    assert_int_equal(chosen.node[0], 1); /* epochs before seqs; of equals the first of `replicas` */
    map.slots[0].want[1] = 2;
    map.slots[0].want[2] = 1;
    map_replicas_follow(&map.slots[0]);
    choose();
    assert_int_equal(chosen.node[0], 2);
    end();
}

static void the_new_set_holds_what_may_have_been_acknowledged(void **state)
{
    (void)state;
    begin(3, 2); /* any two of three acknowledged */
    node(0)->health = MAP_DOWN;
    stands(1, 1, 9);
    stands(2, 1, 4);
    elects("1"); /* u = 1: one reporter may hold what was acknowledged, so c = 9, and fewer than W are there */
    reports[1].at.seq = 9;
    elects("12");
    node(0)->health = MAP_UP;
    stands(0, 1, 4);
    reports[1].at.seq = 4; /* 4 9 4: u = 0, c = 4 */
    elects("102");
    reports[0].at.seq = reports[1].at.seq = 9; /* 4 9 9: two are at c = 9 or beyond, enough for all to be in it */
    elects("102");
    end();
    begin(3, 0);
    stands(0, 1, 1);
    stands(1, 1, 2);
    stands(2, 1, 3);
    elects("201"); /* all acknowledged: c = 1 */
    end();
}

static void who_was_not_in_sync_is_no_member(void **state)
{
    (void)state;
    begin(2, 0);
    map.slots[0].want[0] = 4; /* wished, and not in sync */
    map_replicas_follow(&map.slots[0]);
    stands(4, 1, 99);
    stands(1, 1, 5);
    waits_until(T_US);
    node(0)->health = MAP_DOWN;
    elects("1");
    end();
}

/* -- 22 -------------------------------------------------------------------------------------------------- */

static void too_few_reports_wait_for_all_members(void **state)
{
    (void)state;
    begin(3, 2);
    restarted(0), restarted(1);
    stands(0, 1, 5);
    stands(1, 1, 6);
    waits_until(MONO_NEVER.us); /* the third may hold what these lost */
    node(2)->health = MAP_DOWN;
    waits_until(MONO_NEVER.us);
    node(2)->health = MAP_UP;
    now.us = 50 * T_US;
    restarted(2);
    stands(2, 1, 6);
    waits_until(51 * T_US); /* since the last one said it */
    now.us = 51 * T_US;
    elects("12"); /* those at the greatest position, and no others */
    assert_false(chosen.give_up);
    end();
    begin(3, 2); /* the third is in the run that was in sync: it has said what it holds, too */
    restarted(0), restarted(1);
    stands(0, 1, 5);
    stands(1, 1, 6);
    stands(2, 1, 6);
    waits_until(T_US);
    now.us = T_US;
    elects("12");
    end();
}

static void any_replica_may_win_then(void **state)
{
    (void)state;
    begin(1, 0);
    map.slots[0].want[0] = 3;
    map.slots[0].want[1] = 4;
    map.slots[0].want_n = 2;
    map_replicas_follow(&map.slots[0]);
    restarted(0);
    stands(0, 1, 5);
    stands(3, 1, 7);
    now.us = T_US;
    waits_until(10 * T_US); /* node 4 lives and has not said yet */
    stands(4, 1, 0);
    elects("3");
    reports[1].at.seq = 5;
    elects("0"); /* at equal positions who was in sync */
    reports_n = 2;
    node(4)->health = MAP_SUSPECT;
    elects("0");
    node(4)->health = MAP_UP;
    now.us = 10 * T_US;
    elects("0");
    map.settings.replication_factor = 2;
    elects("03");
    end();
}

static void a_clean_restart_waits_for_nothing(void **state)
{
    (void)state;
    begin(1, 0);
    restarted(0);
    struct election_report *r = stands(0, 1, 5);
    waits_until(T_US);
    r->clean_since = 1;
    elects("0");
    node(0)->incarnation = 7; /* the chain of runs counts, not their number */
    elects("0");
    r->clean_since = 2;
    waits_until(T_US);
    end();
}

static void other_data_is_no_members(void **state)
{
    (void)state;
    begin(1, 0);
    restarted(0);
    struct election_report *r = stands(0, 0, 0);
    r->data_since = 2;
    now.us = 100 * T_US;
    assert_int_equal(choose(), ELECTION_LOST);
    restarted(0); /* another start makes it no better */
    assert_int_equal(choose(), ELECTION_LOST);
    node(0)->leaving = true; /* an operator's word */
    elects("0");
    assert_true(chosen.give_up);
    end();
    begin(2, 0);
    restarted(0), restarted(1);
    stands(0, 0, 0)->data_since = 2;
    stands(1, 1, 5);
    now.us = T_US;
    elects("1"); /* it is known to have nothing: that is a word, and the other one has data */
    assert_false(chosen.give_up);
    end();
}

static void who_is_forgotten_while_down_has_reported(void **state)
{
    (void)state;
    begin(2, 2);
    map.slots[0].want[0] = 3;
    map_replicas_follow(&map.slots[0]);
    node(0)->health = node(1)->health = MAP_DOWN;
    stands(3, 0, 0);
    now.us = T_US;
    waits_until(MONO_NEVER.us);
    node(0)->leaving = true;
    waits_until(MONO_NEVER.us);
    node(1)->leaving = true;
    elects("3");
    assert_true(chosen.give_up);
    reports_n = 0; /* and nobody else has said anything */
    waits_until(MONO_NEVER.us);
    node(1)->health = MAP_SUSPECT; /* dead, not only silent */
    waits_until(MONO_NEVER.us);
    end();
}

static void with_w_1_a_living_members_word_is_enough(void **state)
{
    (void)state;
    begin(3, 1);
    node(0)->health = MAP_DOWN;
    stands(1, 2, 9);
    waits_until(MONO_NEVER.us); /* node 2 lives */
    stands(2, 2, 4);
    waits_until(T_US);
    now.us = T_US;
    elects("12"); /* of one epoch: on one history */
    reports[1].at.epoch = 1;
    elects("1");
    node(0)->health = MAP_UP;
    stands(0, 2, 9);
    now.us = 0;
    elects("01"); /* all members: nothing is waited for */
    end();
    begin(2, 1); /* other data is no member's word, however far it is */
    restarted(1);
    stands(0, 1, 5);
    stands(1, 1, 9)->data_since = 2;
    waits_until(T_US);
    now.us = T_US;
    elects("0");
    restarted(0); /* of all of them: that elects nobody */
    reports_n = 0;
    stands(0, 1, 5)->data_since = 2;
    stands(1, 1, 9)->data_since = 2;
    now.us = 100 * T_US;
    assert_int_equal(choose(), ELECTION_LOST);
    end();
}

/* -- Nothing acknowledged is lost: a small world of one slot (S1) ----------------------------------------- */

enum { WRITES = 40, NOBODY = 99 };

struct place {
    unsigned log[WRITES], n; /* numbers of writes, in order */
    uint64_t made_in[WRITES]; /* epochs of theirs */
    uint32_t clean_since;
    bool up, joined;         /* reconciled in this epoch */
    bool is_reported;
};

struct story {
    struct rng r;
    struct place at[NODES];
    unsigned primary, writes, base_n; /* base_n: the primary's log at its election */
    bool acked[WRITES];
    unsigned elections, losses, clean;
};

static struct map_slot *slot(void)
{
    return &map.slots[0];
}

static bool chance(struct story *t, unsigned of)
{
    return rng_below(&t->r, of) == 0;
}

static bool is_member(const struct story *t, unsigned place)
{
    for (unsigned i = 0; i < slot()->isr_n; i++)
        if (slot()->isr[i] == place)
            return slot()->isr_incarnation[i] >= t->at[place].clean_since;
    return false;
}

static unsigned holders(const struct story *t, unsigned upto)
{
    unsigned n = 0;
    for (unsigned i = 0; i < slot()->isr_n; i++) {
        const struct place *p = &t->at[slot()->isr[i]];
        n += p->joined && node(slot()->isr[i])->incarnation == slot()->isr_incarnation[i] && p->n >= upto;
    }
    return n;
}

/* 5, 23: records in order; what W of the isr have joined with and hold is acknowledged. */
static void writes(struct story *t)
{
    struct place *p = &t->at[t->primary];
    unsigned w = map_w(&map.settings, slot()->isr_n);
    if (t->primary == NOBODY || w > slot()->isr_n)
        return;
    if (t->writes < WRITES && p->n < WRITES) {
        p->made_in[p->n] = slot()->epoch;
        p->log[p->n++] = t->writes++;
    }
    for (unsigned i = 0; i < NODES; i++) {
        struct place *q = &t->at[i];
        if (i == t->primary || !q->up || !map_replicas_have(slot(), (uint16_t)i) || chance(t, 3))
            continue;
        if (!q->joined) { /* on the primary's history it goes on from there, else a dump of the base */
            bool on = q->n <= p->n && (q->n == 0 || q->made_in[q->n - 1] == p->made_in[q->n - 1]);
            if (!on) {
                *q = (struct place){.n = t->base_n, .clean_since = q->clean_since, .up = true};
                memcpy(q->log, p->log, sizeof(q->log));
                memcpy(q->made_in, p->made_in, sizeof(q->made_in));
            }
            q->joined = true;
        }
        for (uint64_t k = rng_below(&t->r, 4); k > 0 && q->n < p->n; k--, q->n++) {
            q->log[q->n] = p->log[q->n];
            q->made_in[q->n] = p->made_in[q->n];
        }
    }
    for (unsigned i = 0; i < p->n; i++)
        if (p->made_in[i] == slot()->epoch && holders(t, i + 1) >= w)
            t->acked[p->log[i]] = true;
}

/* 11 - 14: the primary adds who holds all it must, and removes whom it does not need. */
static void proposes(struct story *t)
{
    struct map_slot *s = slot(), new = *s;
    unsigned all = t->primary == NOBODY ? 0 : t->at[t->primary].n;
    uint16_t who = (uint16_t)rng_below(&t->r, NODES);
    if (t->primary == NOBODY || who == t->primary)
        return;
    unsigned at = 0;
    while (at < s->isr_n && s->isr[at] != who)
        at++;
    if (at < s->isr_n && t->at[who].joined && s->isr_incarnation[at] == node(who)->incarnation) {
        new.isr_n--;
        for (unsigned i = at; i < new.isr_n; i++)
            new.isr[i] = s->isr[i + 1], new.isr_incarnation[i] = s->isr_incarnation[i + 1];
    } else if (t->at[who].up && t->at[who].joined && map_replicas_have(s, who)) {
        new.isr[at] = who;
        new.isr_incarnation[at] = node(who)->incarnation;
        if (at == s->isr_n)
            new.isr_n++;
    } else {
        return;
    }
    struct map_slot old = *s;
    *s = new;
    unsigned w = map_w(&map.settings, s->isr_n);
    if (w > s->isr_n || holders(t, all) < w)
        *s = old;
    map_replicas_follow(s);
}

static void ends(struct story *t)
{
    t->primary = NOBODY;
    slot()->primary = MAP_NOBODY;
    for (unsigned i = 0; i < NODES; i++)
        t->at[i].joined = t->at[i].is_reported = false;
}

/* A crash keeps what it keeps, a clean stop all. What is promised: fewer than W members are lost at a time. */
static void stops(struct story *t)
{
    unsigned who = (unsigned)rng_below(&t->r, NODES), lost = 1, w = map_w(&map.settings, slot()->isr_n);
    struct place *p = &t->at[who];
    bool clean = chance(t, 3), kept = !is_member(t, who);
    for (unsigned i = 0; i < slot()->isr_n; i++)
        lost += !t->at[slot()->isr[i]].up || !is_member(t, slot()->isr[i]);
    w = w < slot()->isr_n ? w : slot()->isr_n;
    if (!p->up || (!clean && !kept && lost + 1 > w))
        return;
    if (!clean) {
        p->n = (unsigned)rng_below(&t->r, p->n + 1);
        p->clean_since = node(who)->incarnation + 1;
        t->losses++;
    } else {
        t->clean++;
    }
    p->joined = p->is_reported = false;
    if (who == t->primary)
        ends(t);
    if (!clean && chance(t, 2)) {
        p->up = false; /* it stays away for now */
        node(who)->health = MAP_DOWN;
        return;
    }
    restarted(who);
}

static void comes_back(struct story *t)
{
    unsigned who = (unsigned)rng_below(&t->r, NODES);
    if (t->at[who].up)
        return;
    t->at[who].up = true;
    node(who)->health = MAP_UP;
    restarted(who);
}

/* A live one is called DOWN, or CLEARED: while nothing is lost this costs nothing but time. */
static void is_called_down(struct story *t)
{
    unsigned who = (unsigned)rng_below(&t->r, NODES);
    unsigned lost = 0;
    for (unsigned i = 0; i < slot()->isr_n; i++)
        lost += !t->at[slot()->isr[i]].up || !is_member(t, slot()->isr[i]) || node(slot()->isr[i])->health != MAP_UP;
    if (!t->at[who].up)
        return;
    if (node(who)->health == MAP_DOWN) {
        node(who)->health = MAP_UP;
        t->at[who].is_reported = false;
    } else if (lost == 0) {
        node(who)->health = MAP_DOWN;
        if (who == t->primary)
            ends(t);
    }
}

static void look(struct story *t)
{
    reports_n = 0;
    for (uint16_t i = 0; i < NODES; i++) {
        struct place *p = &t->at[i];
        if (chance(t, 2))
            p->is_reported = p->is_reported || p->up;
        if (!p->is_reported || node(i)->health != MAP_UP || !map_replicas_have(slot(), i))
            continue;
        struct election_report *r = stands(i, p->n == 0 ? 0 : p->made_in[p->n - 1], p->n);
        r->clean_since = p->clean_since;
        r->heard.us = 0;
    }
    now.us += T_US / 4;
    if (choose() != ELECTION_MADE)
        return;
    struct place *won = &t->at[chosen.node[0]];
    for (unsigned i = 0; i < WRITES; i++) {
        bool has = false;
        for (unsigned k = 0; k < won->n; k++)
            has = has || won->log[k] == i;
        assert_true(has || !t->acked[i]); /* S1 */
    }
    struct map_slot *s = slot();
    s->epoch++;
    s->primary = chosen.node[0];
    s->isr_n = chosen.n;
    for (unsigned i = 0; i < chosen.n; i++) {
        assert_true(map_replicas_have(s, chosen.node[i]));
        s->isr[i] = chosen.node[i];
        s->isr_incarnation[i] = node(chosen.node[i])->incarnation;
    }
    map_replicas_follow(s);
    t->primary = chosen.node[0];
    t->base_n = won->n;
    won->joined = true;
    t->elections++;
}

static void nothing_acknowledged_is_lost(void **state)
{
    (void)state;
    static const uint32_t quorums[] = {0, 2, MAP_W_MAJORITY, 3};
    unsigned elections = 0, losses = 0, clean = 0, acked = 0;
    for (uint64_t seed = 1; seed <= SPARE(20000); seed++) {
        struct story t = {.primary = 0};
        rng_seed(&t.r, seed);
        begin(2 + (unsigned)rng_below(&t.r, 2), quorums[rng_below(&t.r, 4)]);
        slot()->primary = 0;
        slot()->epoch = 1;
        for (unsigned i = 0; i < NODES; i++)
            t.at[i] = (struct place){.clean_since = 1, .up = true, .joined = i == 0};
        for (unsigned step = 0; step < 120; step++)
            switch (rng_below(&t.r, 8)) {
            case 0: stops(&t); break;
            case 1: comes_back(&t); break;
            case 2: proposes(&t); break;
            case 3:
                if (chance(&t, 4))
                    is_called_down(&t);
                break;
            default:
                if (t.primary == NOBODY)
                    look(&t);
                else
                    writes(&t);
            }
        elections += t.elections, losses += t.losses, clean += t.clean;
        for (unsigned i = 0; i < WRITES; i++)
            acked += t.acked[i];
        end();
    }
    assert_true(elections > SPARE(20000) && losses > SPARE(10000) && clean > SPARE(10000) && acked > SPARE(100000)); /* the walk saw something */
}

UNIT_TESTS("election",
           TEST(so_many_reports_are_needed, "|isr| - W + 1 reports of members are needed, and one at least (21)"),
           TEST(before_w_is_settled_the_weaker_counts, "before a changed W is settled the weaker counts (21)"),
           TEST(every_living_member_is_waited_for, "every member is waited for that is not DOWN; who is mute for T is to be SUSPECT (21)"),
           TEST(a_restart_is_waited_for_until_it_is_known_what_it_lost, "a restart is waited for until it is known what it lost, or for T (21, 22)"),
           TEST(the_greatest_position_wins, "the greatest position wins, of equals the first of replicas (21)"),
           TEST(the_new_set_holds_what_may_have_been_acknowledged, "the new isr is who holds what may have been acknowledged, or all if those are enough (21)"),
           TEST(who_was_not_in_sync_is_no_member, "who was not in sync is no member, however far it is (21)"),
           TEST(too_few_reports_wait_for_all_members, "too few reports: all members are waited for, in whichever run, then T (22)"),
           TEST(any_replica_may_win_then, "then any replica may win, those at its very position with it, and every live one is waited for, 10 T at most (22)"),
           TEST(a_clean_restart_waits_for_nothing, "a restart that lost nothing since is the member's own (22)"),
           TEST(other_data_is_no_members, "data of another data-id is no member's: alone it waits for an operator (22)"),
           TEST(who_is_forgotten_while_down_has_reported, "who is forgotten while DOWN counts as reported, and is given up (22)"),
           TEST(with_w_1_a_living_members_word_is_enough, "with W = 1 the living members' word is enough after T, of one history (21, 22)"),
           TEST(nothing_acknowledged_is_lost, "nothing acknowledged is lost while fewer than W members are (21, 22; S1)"))

/* SPDX-License-Identifier: BSD-3-Clause */

/* Who is in sync, and how that changes (replication 11 to 14): proposals are decided by the map's own rules. */
#include "tests/lib/repl_lab.h"

static struct lab l;

enum { LAG_MS = LAB_T_MS / 2, LOOK_MS = LAB_T_MS / 10 };

static void begin(uint32_t w, const char *isr)
{
    lab_start(&l, w);
    lab_elect(&l, 0, 0, isr);
    lab_maps(&l);
    lab_carry(&l);
}

static void end(void)
{
    lab_check(&l);
    lab_stop(&l);
}

/* Time goes by, all that is said arrives, nothing is decided. */
static void wait(int ms)
{
    for (int i = 0; i < ms; i += LOOK_MS / 2) {
        lab_carry(&l);
        lab_later(&l, LOOK_MS / 2);
    }
    lab_carry(&l);
}

static struct lab_proposal *newest(void)
{
    return l.proposals.n > 0 ? &l.proposals.at[l.proposals.n - 1] : NULL;
}

static bool wishes(const struct lab_proposal *p, const char *isr)
{
    if (p == NULL || p->at.n != 1 || p->at.at[0].next.n != strlen(isr))
        return false;
    for (unsigned i = 0; isr[i] != '\0'; i++)
        if (p->at.at[0].next.node[i] != isr[i] - '0')
            return false;
    return true;
}

static const struct lab_proposal *asked_to_settle(void)
{
    return newest() != NULL && newest()->settles ? newest() : NULL;
}

static bool in_doubt(void)
{
    return l.node[0].r.primary[0].in_doubt;
}

/* All that is proposed is decided and applied. */
static void decide(void)
{
    while (lab_decide(&l))
        ;
    lab_maps(&l);
    lab_carry(&l);
}

static bool isr_is(const char *isr)
{
    const struct map_slot *s = &l.map.slots[0];
    bool same = s->isr_n == strlen(isr);
    for (unsigned i = 0; same && isr[i] != '\0'; i++)
        same = s->isr[i] == isr[i] - '0';
    return same;
}

/* ------------------------------------------------------------------- removal */

static void a_member_that_lags_is_proposed_for_removal(void **state)
{
    (void)state;
    begin(MAP_W_ALL, "012");
    wait(2000);
    assert_null(newest());
    l.node[2].stuck = true;
    uint64_t lsn = lab_write(&l, 0, 0);
    wait(LAG_MS - 2 * LOOK_MS);
    assert_null(newest());
    wait(4 * LOOK_MS);
    assert_true(wishes(newest(), "01"));
    assert_false(lab_is_held(&l, 0, 0, lsn)); /* 12: of the old set, too */
    decide();
    assert_true(isr_is("01"));
    assert_true(lab_is_held(&l, 0, 0, lsn));
    assert_false(in_doubt());
    end();
}

/* Node 2 says that more came of what it was sent, or only that it lives. */
static void acks(bool grows)
{
    const struct repl_peer *peer = &l.node[0].r.peers.at[2];
    repl_heard(&l.node[0].r, 2);
    repl_acked(&l.node[0].r, 2, &(struct repl_ack){.held = peer->held, .synced = peer->synced, .grows = grows});
}

static void who_takes_in_a_big_record_does_not_lag(void **state)
{
    (void)state;
    begin(MAP_W_ALL, "012");
    l.node[2].stuck = true;
    uint64_t lsn = lab_write(&l, 0, 0);
    for (int ms = 0; ms < 10 * LAG_MS; ms += LAG_MS / 2) {
        wait(LAG_MS / 2);
        acks(true);
    }
    assert_null(newest());
    assert_false(lab_is_held(&l, 0, 0, lsn)); /* 4: nothing is held by that */
    wait(LAG_MS - 2 * LOOK_MS);
    acks(false);
    assert_null(newest());
    wait(4 * LOOK_MS);
    assert_true(wishes(newest(), "01"));
    end();
}

enum { BIG_MIB = 10, SIZE_MS = BIG_MIB * 64 };

/* The lsn of one more at node 0, which nobody carries. */
static uint64_t big_write(uint64_t seq)
{
    static char big[BIG_MIB * 1024 * 1024];
    struct lab_node *n = &l.node[0];
    lab_clock(&l, 0);
    lineage_take(&n->slots[0], (struct position){1, seq});
    repl_record(&n->r, 0, seq == 1 ? 0 : 1, ++n->appended, slice_of(big, sizeof(big)), NULL);
    n->stored = n->appended;
    return n->appended;
}

static void look_on(int ms)
{
    for (int i = 0; i < ms; i += LOOK_MS)
        lab_later(&l, LOOK_MS);
}

static void a_big_record_is_given_time_by_its_size(void **state)
{
    (void)state;
    begin(MAP_W_ALL, "012");
    big_write(1);
    look_on(LAG_MS + SIZE_MS - 2 * LOOK_MS);
    assert_null(newest());
    assert_false(repl_is_silent(&l.node[0].r, 1)); /* it has said nothing, and has been at it */
    assert_true(repl_takes_big(&l.node[0].r, 0));
    look_on(4 * LOOK_MS);
    assert_true(wishes(newest(), "0")); /* none of them has acknowledged it */
    assert_true(repl_is_silent(&l.node[0].r, 1));
    assert_false(repl_takes_big(&l.node[0].r, 0) || repl_anyone_takes_big(&l.node[0].r));
    lab_stop(&l);
}

/* However many there were before, and however closely they follow each other. */
static void time_is_given_for_big_records_that_are_not_held_alone(void **state)
{
    (void)state;
    begin(MAP_W_ALL, "01");
    struct repl *r = &l.node[0].r;
    uint64_t lsn = 0;
    for (uint64_t seq = 1; seq <= 40; seq++) {
        uint64_t before = lsn;
        lsn = big_write(seq);
        repl_heard(r, 1);
        repl_acked(r, 1, &(struct repl_ack){.held = before > 0 ? before : r->peers.at[1].held});
        assert_int_equal(r->peers.at[1].big_mib, BIG_MIB);
    }
    for (uint64_t seq = 41; seq <= 60; seq++) /* more than are told apart */
        lsn = big_write(seq);
    assert_int_equal(r->peers.at[1].big_mib, 21 * BIG_MIB);
    repl_acked(r, 1, &(struct repl_ack){.held = lsn - 1});
    assert_in_range(r->peers.at[1].big_mib, BIG_MIB, 6 * BIG_MIB);
    repl_acked(r, 1, &(struct repl_ack){.held = lsn});
    assert_int_equal(r->peers.at[1].big_mib, 0);
    assert_int_equal(r->peers.at[1].bigs_n, 0);
    lab_stop(&l);
}

/* What others said meanwhile is not read yet. */
static void a_primary_that_stood_still_holds_it_against_nobody(void **state)
{
    (void)state;
    begin(MAP_W_ALL, "012");
    lab_write(&l, 0, 0);
    l.now.us += 60 * INT64_C(1000000);
    lab_look(&l, 0);
    assert_null(newest());
    assert_false(repl_is_silent(&l.node[0].r, 1));
    assert_true(repl_lag_of(&l.node[0].r, 0, 1).us >= 60 * INT64_C(1000000)); /* as it is told: the truth */
    l.node[1].stuck = true; /* but what one misses from then on counts, however often it stands still */
    lab_carry(&l);
    for (int i = 0; i < 10; i++) {
        l.now.us += 5 * INT64_C(1000000);
        lab_look(&l, 0);
    }
    assert_true(wishes(newest(), "02"));
    assert_true(repl_is_silent(&l.node[0].r, 1));
    end();
}

/* Two records in one moment; the first is acknowledged, the second never. */
static void what_is_made_just_behind_another_is_missed_as_well(void **state)
{
    (void)state;
    begin(MAP_W_ALL, "01");
    lab_cut(&l, 0, 2);
    lab_write(&l, 0, 0);
    while (lab_there(&l, 0, 1))
        ;
    lab_release(&l, 1);
    l.node[1].stuck = true;
    uint64_t lsn = lab_write(&l, 0, 0); /* at the same time as the one before */
    wait(3 * LAG_MS);
    assert_true(wishes(newest(), "0"));
    decide();
    assert_true(lab_is_held(&l, 0, 0, lsn));
    end();
}

/* Nothing is written, but a reply that was computed from the slot waits for it (6). */
static void a_member_that_holds_nothing_never_joins_and_is_removed(void **state)
{
    (void)state;
    lab_start(&l, MAP_W_ALL);
    lab_elect(&l, 0, 0, "01");
    l.node[1].stuck = true;
    l.node[1].appended++; /* what it is about to store */
    l.link[0][2].cut = true;
    lab_maps(&l);
    lab_carry(&l);
    assert_int_equal(lab_copy(&l, 0, 0, 1), COPY_LIVE);
    assert_false(lab_is_held(&l, 0, 0, repl_newest(&l.node[0].r, 0)));
    wait(3 * LAG_MS);
    assert_true(wishes(newest(), "0"));
    decide();
    assert_true(lab_is_held(&l, 0, 0, repl_newest(&l.node[0].r, 0)));
    end();
}

static void a_link_that_comes_and_goes_does_not_put_off_the_removal(void **state)
{
    (void)state;
    begin(MAP_W_ALL, "01");
    lab_cut(&l, 0, 1);
    lab_write(&l, 0, 0);
    for (int i = 0; i < 30 && newest() == NULL; i++) {
        lab_mend(&l, 0, 1);
        lab_dial(&l, 0);
        while (lab_there(&l, 0, 1) || lab_back(&l, 0, 1)) /* it asks, and is cut off before the answer is there */
            ;
        lab_later(&l, LOOK_MS);
        lab_cut(&l, 0, 1);
        lab_release(&l, 0);
    }
    assert_true(wishes(newest(), "0"));
    end();
}

static void who_is_suspect_or_leaves_is_removed_at_once(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        begin(MAP_W_ALL, "012");
        if (kind == 0) {
            l.map.nodes.at[2].health = MAP_SUSPECT;
            l.map.nodes_ver = ++l.map.index;
            lab_maps(&l);
        } else {
            repl_leaves(&l.node[0].r, 2);
        }
        lab_look(&l, 0);
        assert_true(wishes(newest(), "01"));
        end();
    }
}

static void a_member_that_runs_anew_counts_no_more(void **state)
{
    (void)state;
    begin(MAP_W_ALL, "012");
    uint64_t lsn = lab_write(&l, 0, 0);
    lab_carry(&l);
    assert_true(lab_is_held(&l, 0, 0, lsn));
    l.map.nodes.at[2].incarnation = 2;
    l.map.nodes.at[2].run_index = l.map.nodes_ver = ++l.map.index;
    lab_hang_up(&l, 0, 2); /* as its node does, to whom the map tells it */
    lab_map_to(&l, 0);
    assert_true(lab_is_held(&l, 0, 0, lsn)); /* it was acknowledged, and stays so */
    lsn = lab_write(&l, 0, 0);
    lab_carry(&l);
    assert_false(lab_is_held(&l, 0, 0, lsn));
    lab_look(&l, 0);
    assert_true(wishes(newest(), "01"));
    lab_stop(&l);
}

/* Its later run follows, and holds everything: for the one that was in sync it says nothing. */
static void a_later_run_does_not_count_for_the_one_in_sync(void **state)
{
    (void)state;
    begin(MAP_W_ALL, "012");
    l.map.nodes.at[2].incarnation = 2;
    l.map.nodes.at[2].run_index = l.map.nodes_ver = ++l.map.index;
    lab_hang_up(&l, 0, 2);
    lab_guest_gone(&l, 0, 2);
    lab_maps(&l);
    lab_carry(&l);
    assert_int_equal(lab_copy(&l, 0, 0, 2), COPY_JOINED);
    uint64_t lsn = lab_write(&l, 0, 0);
    lab_carry(&l);
    assert_true(repl_holds(&l.node[0].r, 2, 0, lsn));
    assert_false(lab_is_held(&l, 0, 0, lsn));
    lab_look(&l, 0);
    decide();
    assert_true(isr_is("012") && l.map.slots[0].isr_incarnation[2] == 2);
    assert_true(lab_is_held(&l, 0, 0, lsn));
    end();
}

static void who_runs_anew_is_not_heard_over_its_old_link(void **state)
{
    (void)state;
    begin(MAP_W_ALL, "012");
    l.map.nodes.at[2].incarnation = 2;
    l.map.nodes.at[2].run_index = l.map.nodes_ver = ++l.map.index;
    lab_map_to(&l, 0); /* its link to the former run is there still, and that does not know */
    assert_int_equal(lab_copy(&l, 0, 0, 2), COPY_AWAY);
    lab_clock(&l, 2);
    repl_sync_again(&l.node[2].r, 0);
    while (lab_back(&l, 0, 2))
        ;
    assert_int_equal(lab_copy(&l, 0, 0, 2), COPY_AWAY);
    uint64_t lsn = lab_write(&l, 0, 0);
    lab_carry(&l);
    assert_false(lab_is_held(&l, 0, 0, lsn));
    lab_stop(&l);
}

static void nothing_is_proposed_that_leaves_too_few(void **state)
{
    (void)state;
    static const struct { uint32_t w, min; const char *isr, *next; } kinds[] = {
        {MAP_W_MAJORITY, 0, "01", NULL}, {MAP_W_MAJORITY, 0, "012", "01"}, {2, 0, "01", NULL}, {3, 0, "012", NULL},
        {MAP_W_ALL, 1, "01", NULL}, {MAP_W_ALL, 0, "01", "0"}, {1, 0, "01", "0"}, {1, 2, "012", NULL}};
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        lab_start(&l, kinds[k].w);
        l.map.settings.min_replicas = kinds[k].min;
        lab_elect(&l, 0, 0, kinds[k].isr);
        l.map.slots[0].want_n = l.map.slots[0].isr_n; /* nobody to take its place */
        map_replicas_follow(&l.map.slots[0]);
        lab_maps(&l);
        lab_carry(&l);
        unsigned last = l.map.slots[0].isr_n - 1u;
        lab_cut(&l, 0, last);
        lab_write(&l, 0, 0);
        wait(4 * LAG_MS);
        if (kinds[k].next == NULL) {
            assert_null(newest());
            assert_false(in_doubt());
        } else {
            assert_true(wishes(newest(), kinds[k].next));
        }
        end();
    }
}

static void member_turns(unsigned i, enum map_health health)
{
    l.map.nodes.at[i].health = health;
    l.map.nodes_ver = ++l.map.index;
    lab_maps(&l);
    lab_carry(&l);
}

/* With min-replicas, or W by number, who is lost stays a member. */
static void what_a_lost_member_held_is_read_and_nothing_more_is_written(void **state)
{
    (void)state;
    static const struct { uint32_t w, min; } kinds[] = {{2, 0}, {MAP_W_MAJORITY, 0}, {MAP_W_ALL, 1}};
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        lab_start(&l, kinds[k].w);
        l.map.settings.min_replicas = kinds[k].min;
        lab_elect(&l, 0, 0, "01");
        l.map.slots[0].want_n = 2; /* nobody to take its place */
        map_replicas_follow(&l.map.slots[0]);
        lab_maps(&l);
        lab_carry(&l);
        uint64_t acknowledged = lab_write(&l, 0, 0);
        lab_carry(&l);
        lab_cut(&l, 0, 1);
        assert_true(lab_is_held(&l, 0, 0, acknowledged));
        assert_false(repl_is_held(&l.node[0].r, 0, acknowledged, 3)); /* CLIENT QUORUM 3 */
        uint64_t under_way = lab_write(&l, 0, 0);
        wait(LAB_T_MS);
        assert_false(lab_is_held(&l, 0, 0, under_way));
        assert_false(repl_refuses(&l.node[0].r, 0, REPL_ASKS_NOTHING)); /* as far as is known */
        member_turns(1, MAP_SUSPECT);
        assert_true(repl_refuses(&l.node[0].r, 0, REPL_ASKS_NOTHING));
        assert_false(repl_refuses_read(&l.node[0].r, 0, REPL_ASKS_NOTHING));
        member_turns(1, MAP_DOWN);
        assert_true(repl_refuses(&l.node[0].r, 0, REPL_ASKS_NOTHING));
        assert_true(lab_is_held(&l, 0, 0, acknowledged));
        lab_mend(&l, 0, 1);
        member_turns(1, MAP_UP);
        assert_false(repl_refuses(&l.node[0].r, 0, REPL_ASKS_NOTHING));
        wait(LAB_T_MS);
        assert_true(lab_is_held(&l, 0, 0, under_way));
        end();
    }
}

/* What its primary was told in an epoch before says nothing of this one. */
static void what_was_held_in_another_epoch_is_asked_for_anew(void **state)
{
    (void)state;
    begin(2, "01");
    uint64_t lsn = lab_write(&l, 0, 0);
    lab_carry(&l);
    lab_cut(&l, 0, 1);
    assert_true(lab_is_held(&l, 0, 0, lsn));
    lab_elect(&l, 0, 0, "01");
    lab_map_to(&l, 0);
    assert_false(lab_is_held(&l, 0, 0, l.node[0].r.primary[0].newest));
    lab_stop(&l);
}

static void a_greater_w_counts_for_attempts_that_began_before_it(void **state)
{
    (void)state;
    begin(1, "012");
    l.map.nodes.at[0].health = MAP_SUSPECT; /* so that it waits */
    l.map.nodes_ver = ++l.map.index;
    lab_maps(&l);
    lab_cut(&l, 0, 1);
    lab_cut(&l, 0, 2);
    lab_write(&l, 0, 0);
    wait(4 * LAG_MS);
    assert_true(in_doubt());
    assert_int_equal(l.node[0].r.primary[0].next.n, 1);
    l.node[0].r.look = true;
    lab_look(&l, 0);
    l.map.nodes.at[0].health = MAP_UP;
    l.map.nodes_ver = ++l.map.index;
    lab_set_w(&l, 2);
    lab_maps(&l);
    lab_look(&l, 0); /* before attempts are looked at again */
    assert_null(newest());
    wait(LAB_T_MS);
    assert_int_equal(l.node[0].r.primary[0].next.n, 2); /* and that waits for who holds what was acknowledged (11) */
    assert_null(newest());
    end();
}

static void what_was_proposed_is_not_proposed_again_if_w_has_grown(void **state)
{
    (void)state;
    begin(1, "012");
    lab_cut(&l, 0, 1);
    lab_cut(&l, 0, 2);
    lab_write(&l, 0, 0);
    wait(4 * LAG_MS);
    assert_true(wishes(newest(), "0")); /* its fate stays open */
    lab_set_w(&l, 2);
    lab_maps(&l);
    wait(LAB_T_MS);
    assert_true(in_doubt());
    assert_int_equal(newest()->at.n, 0);
    end();
}

/* A smaller replication-factor wishes for fewer copies. */
static void who_is_wished_no_more_stays_until_w_of_fewer_is_settled(void **state)
{
    (void)state;
    begin(MAP_W_MAJORITY, "01");
    l.map.slots[0].want_n = 1;
    map_replicas_follow(&l.map.slots[0]);
    struct map_entry set = {.type = MAP_SET, .set = {"replication-factor", 1}};
    assert_false(map_apply(&l.map, l.map.index + 1, &set).is_void);
    lab_maps(&l);
    lab_look(&l, 0);
    assert_non_null(asked_to_settle());
    assert_int_equal(newest()->at.n, 0);
    assert_false(repl_refuses(&l.node[0].r, 0, REPL_ASKS_NOTHING));
    decide();
    assert_int_equal(l.map.slots[0].formers, 0);
    lab_later(&l, LOOK_MS);
    lab_look(&l, 0);
    assert_true(wishes(newest(), "0"));
    end();
}

/* The first of two members is lost and must stay: the set is the same in whatever order it is put down. */
static void a_lost_member_that_must_stay_makes_no_attempt(void **state)
{
    (void)state;
    begin(3, "012");
    lab_cut(&l, 0, 1);
    lab_write(&l, 0, 0);
    wait(4 * LAG_MS);
    assert_null(newest());
    assert_false(in_doubt());
    end();
}

static void a_lost_member_is_exchanged_for_one_that_caught_up(void **state)
{
    (void)state;
    lab_start(&l, 2);
    lab_elect(&l, 0, 0, "01");
    lab_maps(&l);
    l.link[0][2].cut = true;
    lab_hang_up(&l, 0, 2);
    lab_carry(&l);
    lab_cut(&l, 0, 1);
    lab_write(&l, 0, 0);
    wait(4 * LAG_MS);
    assert_null(newest()); /* too few would be left */
    lab_mend(&l, 0, 2);
    wait(2 * LOOK_MS);
    assert_true(wishes(newest(), "02")); /* in one entry */
    decide();
    assert_true(isr_is("02"));
    end();
}

/* ------------------------------------------------------------------ addition */

static void a_joiner_is_added_once_it_holds_what_was_acknowledged(void **state)
{
    (void)state;
    begin(MAP_W_ALL, "01");
    uint64_t before = lab_write(&l, 0, 0);
    l.node[2].stuck = true;
    lab_look(&l, 0); /* the attempt begins */
    assert_true(in_doubt());
    assert_null(newest());
    uint64_t lsn = lab_write(&l, 0, 0);
    lab_carry(&l);
    lab_look(&l, 0);
    assert_null(newest()); /* 11 */
    assert_false(lab_is_held(&l, 0, 0, lsn)); /* new replies wait for the joiner, too */
    assert_false(lab_is_held(&l, 0, 0, before));
    l.node[2].stuck = false;
    lab_carry(&l);
    lab_look(&l, 0);
    assert_true(wishes(newest(), "012"));
    assert_true(lab_is_held(&l, 0, 0, lsn));
    decide();
    assert_true(isr_is("012"));
    end();
}

/* Each proposal costs every node a look at its whole map: those of a joiner's slots go together, a loss does not wait. */
static void additions_wait_for_others_and_removals_do_not(void **state)
{
    (void)state;
    begin(MAP_W_ALL, "01");
    lab_later(&l, LOOK_MS);
    assert_true(wishes(newest(), "012"));
    decide();
    size_t before = l.proposals.n;
    lab_elect(&l, 1, 0, "01");
    lab_maps(&l);
    lab_carry(&l);
    lab_later(&l, LAB_T_MS / 50);
    assert_true(l.node[0].r.primary[1].in_doubt);
    assert_int_equal(l.proposals.n, before);
    struct mono due = repl_due(&l.node[0].r);
    assert_in_range(due.us - l.now.us, 1, LAB_T_MS * 1000 / 20); /* it wakes for that */
    lab_later(&l, (due.us - l.now.us) / 1000 + 1);
    assert_int_equal(l.proposals.n, before + 1);
    decide();
    assert_int_equal(l.map.slots[1].isr_n, 3);
    l.map.nodes.at[2].health = MAP_SUSPECT;
    l.map.index++;
    l.map.nodes_ver = l.map.index;
    lab_maps(&l);
    lab_later(&l, LAB_T_MS / 50);
    assert_int_equal(l.proposals.n, before + 2);
    assert_int_equal(newest()->at.n, 2);
    end();
}

static void a_joiner_that_falls_behind_ends_the_attempt(void **state)
{
    (void)state;
    begin(MAP_W_ALL, "01");
    l.node[2].stuck = true;
    lab_write(&l, 0, 0);
    lab_look(&l, 0);
    assert_true(in_doubt());
    wait(3 * LAG_MS);
    assert_false(in_doubt());
    assert_null(newest());
    assert_true(lab_is_held(&l, 0, 0, l.node[0].appended));
    end();
}

/* What it has of the slot is of any age, and whoever it came from may delete it next. */
static void who_is_not_in_sync_joins_once_it_has_synced(void **state)
{
    (void)state;
    begin(MAP_W_ALL, "01");
    lab_cut(&l, 0, 2);
    lab_write(&l, 0, 0);
    l.node[2].unsynced = true;
    lab_mend(&l, 0, 2);
    lab_carry(&l);
    assert_int_equal(l.node[2].stored, l.node[2].appended);
    assert_int_equal(lab_copy(&l, 0, 0, 2), COPY_LIVE);
    l.node[2].unsynced = false;
    lab_carry(&l);
    assert_int_equal(lab_copy(&l, 0, 0, 2), COPY_JOINED);
    end();
}

/* Node 1 comes back before the map says that it is out, so it joins without a sync; and nothing was recorded meanwhile: what
 * it has synced in the session before is as far as the slot is now. */
static void who_joined_as_a_member_is_added_again_once_it_has_synced(void **state)
{
    (void)state;
    begin(MAP_W_ALL, "012");
    lab_write(&l, 0, 0);
    lab_carry(&l);
    lab_cut(&l, 0, 1);
    wait(2 * LAG_MS);
    assert_true(wishes(newest(), "02"));
    l.node[1].slots[0].frozen = true; /* all of it comes anew */
    l.node[1].unsynced = true;
    lab_mend(&l, 0, 1);
    lab_carry(&l);
    assert_true(l.dumps == 1 && lab_copy(&l, 0, 0, 1) == COPY_JOINED);
    decide();
    assert_true(isr_is("02"));
    size_t proposals = l.proposals.n;
    wait(2000); /* 14: longer than who lagged has to keep up */
    assert_int_equal(l.proposals.n, proposals);
    l.node[1].unsynced = false;
    wait(2 * LOOK_MS);
    assert_true(wishes(newest(), "021"));
    end();
}

static void who_was_removed_for_lag_waits_and_twice_as_long_each_time(void **state)
{
    (void)state;
    begin(MAP_W_ALL, "01");
    lab_cut(&l, 0, 2);
    for (int round = 0, hold_off = 1000; round < 4; round++, hold_off *= 2) {
        l.node[1].stuck = true;
        lab_write(&l, 0, 0);
        wait(3 * LAG_MS);
        decide();
        assert_true(isr_is("0"));
        l.node[1].stuck = false;
        lab_hang_up(&l, 0, 1); /* it joins anew now */
        lab_guest_gone(&l, 0, 1);
        lab_carry(&l);
        size_t proposals = l.proposals.n;
        wait(hold_off - 2 * LOOK_MS);
        assert_int_equal(l.proposals.n, proposals);
        wait(4 * LOOK_MS);
        assert_true(wishes(newest(), "01"));
        decide();
        assert_true(isr_is("01"));
    }
    end();
}

/* It was joined all the while: that is no keeping up. */
static void who_lagged_over_a_link_that_held_waits_from_when_it_caught_up(void **state)
{
    (void)state;
    begin(MAP_W_ALL, "01");
    lab_cut(&l, 0, 2);
    wait(2000);
    for (int round = 0, hold_off = 1000; round < 3; round++, hold_off *= 2) {
        l.node[1].stuck = true;
        lab_write(&l, 0, 0);
        wait(3 * LAG_MS);
        decide();
        assert_true(isr_is("0"));
        l.node[1].stuck = false;
        size_t proposals = l.proposals.n;
        wait(hold_off / 2);
        lab_write(&l, 0, 0); /* which it holds at once */
        wait(hold_off / 2 - 2 * LOOK_MS);
        assert_int_equal(lab_copy(&l, 0, 0, 1), COPY_JOINED);
        assert_int_equal(l.proposals.n, proposals);
        wait(4 * LOOK_MS);
        assert_true(wishes(newest(), "01"));
        decide();
        assert_true(isr_is("01"));
    }
    end();
}

static void a_removal_that_is_void_does_not_count(void **state)
{
    (void)state;
    begin(MAP_W_ALL, "01");
    lab_cut(&l, 0, 2);
    l.node[1].stuck = true;
    lab_write(&l, 0, 0);
    wait(2 * LAG_MS);
    for (int i = 0; i < 6; i++) {
        l.map.slots[0].ver = ++l.map.index; /* it was computed from an older map (13) */
        l.map.slots_ver = l.map.index;
        decide();
        assert_true(isr_is("01"));
        wait(2 * LOOK_MS);
    }
    decide();
    assert_true(isr_is("0"));
    l.node[1].stuck = false;
    lab_hang_up(&l, 0, 1); /* it joins anew now */
    lab_guest_gone(&l, 0, 1);
    wait(1000 + 4 * LOOK_MS);
    assert_true(wishes(newest(), "01"));
    end();
}

static void a_primary_that_is_suspect_proposes_nothing(void **state)
{
    (void)state;
    begin(MAP_W_ALL, "012");
    l.map.nodes.at[0].health = MAP_SUSPECT;
    l.map.nodes_ver = ++l.map.index;
    lab_maps(&l);
    l.node[2].stuck = true;
    lab_write(&l, 0, 0);
    wait(4 * LAG_MS);
    assert_true(in_doubt());
    assert_null(newest());
    l.map.nodes.at[0].health = MAP_UP;
    l.map.nodes_ver = ++l.map.index;
    lab_maps(&l);
    wait(2 * LOOK_MS);
    assert_true(wishes(newest(), "01"));
    end();
}

static void where_members_are_few_none_waits(void **state)
{
    (void)state;
    begin(MAP_W_ALL, "01");
    lab_cut(&l, 0, 2);
    l.node[1].stuck = true;
    lab_write(&l, 0, 0);
    wait(3 * LAG_MS);
    decide();
    assert_true(isr_is("0"));
    l.map.settings.min_replicas = 1;
    l.map.index++;
    lab_maps(&l);
    l.node[1].stuck = false;
    lab_hang_up(&l, 0, 1);
    lab_guest_gone(&l, 0, 1);
    wait(2 * LOOK_MS);
    assert_true(wishes(newest(), "01"));
    end();
}

static void who_is_suspect_is_not_added(void **state)
{
    (void)state;
    begin(MAP_W_ALL, "01");
    l.map.nodes.at[2].health = MAP_SUSPECT;
    l.map.nodes_ver = ++l.map.index;
    lab_maps(&l);
    wait(4 * LOOK_MS);
    assert_null(newest());
    end();
}

/* --------------------------------------------------------------- doubt, its end */

static void doubt_lasts_until_the_map_shows_its_fate(void **state)
{
    (void)state;
    begin(MAP_W_ALL, "012");
    l.node[2].stuck = true;
    uint64_t lsn = lab_write(&l, 0, 0);
    wait(2 * LAG_MS);
    assert_true(wishes(newest(), "01"));
    uint64_t n = newest()->n;
    l.map.index++; /* other entries tell nothing */
    lab_maps(&l);
    assert_true(in_doubt());
    size_t said = l.proposals.n;
    wait(LAB_T_MS);
    assert_true(l.proposals.n > said); /* the way out */
    assert_int_equal(newest()->n, n);
    assert_true(wishes(newest(), "01"));
    assert_true(in_doubt());
    assert_false(lab_is_held(&l, 0, 0, lsn));
    l.node[1].stuck = true;
    l.node[2].stuck = false;
    uint64_t other = lab_write(&l, 0, 0);
    lab_carry(&l);
    assert_true(lab_is_held(&l, 0, 0, lsn));
    assert_false(lab_is_held(&l, 0, 0, other)); /* W of both sets */
    l.node[1].stuck = false;
    lab_carry(&l);
    assert_true(lab_is_held(&l, 0, 0, other));
    decide();
    assert_false(in_doubt());
    end();
}

/* The first was lost on its way, or is slow: it is void when it comes behind the second. */
/* However long the controllers take to agree: several times are under way when the first is decided. */
static void of_what_was_said_again_the_map_takes_the_first(void **state)
{
    (void)state;
    begin(MAP_W_ALL, "012");
    l.node[2].stuck = true;
    lab_write(&l, 0, 0);
    wait(2 * LAG_MS);
    size_t first = l.proposals.n - 1;
    wait(2 * LAB_T_MS);
    assert_true(l.proposals.n > first + 2);
    l.proposals_at = first;
    assert_true(lab_decide(&l));
    lab_maps(&l);
    assert_false(in_doubt());
    assert_true(isr_is("01"));
    uint64_t ver = l.map.slots[0].ver;
    size_t said = l.proposals.n;
    wait(2 * LAB_T_MS); /* nothing is left to be proposed */
    assert_int_equal(l.proposals.n, said);
    decide();
    assert_int_equal(l.map.slots[0].ver, ver);
    assert_true(isr_is("01"));
    end();
}

static void a_proposal_that_is_void_leaves_the_set_as_it_was(void **state)
{
    (void)state;
    begin(MAP_W_ALL, "012");
    l.node[2].stuck = true;
    lab_write(&l, 0, 0);
    wait(2 * LAG_MS);
    l.map.slots[0].ver = ++l.map.index; /* it was computed from an older map (13) */
    l.map.slots_ver = l.map.index;
    decide();
    assert_true(isr_is("012"));
    assert_false(in_doubt()); /* its fate is known all the same */
    wait(2 * LOOK_MS);
    assert_true(in_doubt()); /* and it is tried again */
    decide();
    assert_true(isr_is("01"));
    end();
}

/* Who was to be added has died meanwhile: n goes without it. */
static void a_joiner_that_dies_in_doubt_is_given_up(void **state)
{
    (void)state;
    begin(MAP_W_ALL, "01");
    lab_look(&l, 0);
    lab_carry(&l);
    lab_look(&l, 0);
    assert_true(wishes(newest(), "012"));
    l.proposals_at = l.proposals.n; /* it is lost */
    lab_cut(&l, 0, 2);
    l.map.nodes.at[2].health = MAP_SUSPECT;
    l.map.nodes_ver = ++l.map.index;
    lab_maps(&l);
    wait(LAB_T_MS);
    assert_int_equal(newest()->at.n, 0);
    assert_true(in_doubt());
    decide();
    assert_false(in_doubt());
    uint64_t lsn = lab_write(&l, 0, 0);
    assert_false(lab_is_held(&l, 0, 0, lsn));
    lab_carry(&l);
    assert_true(lab_is_held(&l, 0, 0, lsn));
    end();
}

static void a_new_epoch_ends_doubt(void **state)
{
    (void)state;
    begin(MAP_W_ALL, "012");
    l.node[2].stuck = true;
    lab_write(&l, 0, 0);
    wait(2 * LAG_MS);
    assert_true(in_doubt());
    lab_orphan(&l, 0);
    lab_maps(&l);
    assert_false(in_doubt());
    lab_elect(&l, 0, 0, "02");
    lab_maps(&l);
    while (lab_decide(&l))
        ;
    lab_maps(&l);
    assert_true(isr_is("02")); /* of the old epoch: void (13) */
    end();
}

/* --------------------------------------------------------- W changes ("Settings") */

static void a_greater_w_is_settled_once_what_was_acknowledged_is_so_held(void **state)
{
    (void)state;
    begin(1, "012");
    l.node[1].stuck = l.node[2].stuck = true;
    uint64_t lsn = lab_write(&l, 0, 0);
    lab_carry(&l);
    assert_true(lab_is_held(&l, 0, 0, lsn)); /* it may be acknowledged */
    lab_set_w(&l, 2);
    lab_maps(&l);
    assert_false(lab_is_held(&l, 0, 0, lsn)); /* the stricter one, from here on */
    assert_int_equal(map_w_weak(&l.map, &l.map.slots[0], 3), 1);
    lab_look(&l, 0);
    assert_null(asked_to_settle());
    l.node[2].stuck = false;
    lab_carry(&l);
    lab_later(&l, LOOK_MS);
    assert_non_null(asked_to_settle());
    assert_true(bits_has(&asked_to_settle()->settled, 0));
    assert_int_equal(bits_n(&asked_to_settle()->settled), 1); /* of the others it is no primary */
    decide();
    assert_int_equal(l.map.slots[0].formers, 0);
    assert_int_equal(map_w_weak(&l.map, &l.map.slots[0], 3), 2);
    assert_int_equal(l.map.slots[1].formers, 1u << 1);
    end();
}

static void a_smaller_w_waits_for_its_settling_as_well(void **state)
{
    (void)state;
    begin(MAP_W_ALL, "012");
    l.node[2].stuck = true;
    lab_set_w(&l, 2);
    lab_maps(&l);
    uint64_t lsn = lab_write(&l, 0, 0);
    lab_carry(&l);
    assert_false(lab_is_held(&l, 0, 0, lsn)); /* not before every election knows the weaker one */
    lab_later(&l, LOOK_MS);
    assert_non_null(asked_to_settle());
    decide();
    assert_true(lab_is_held(&l, 0, 0, lsn));
    end();
}

/* It was proposed under the old W: it may still apply. */
static void a_set_in_doubt_is_settled_with_the_other(void **state)
{
    (void)state;
    begin(2, "01");
    lab_look(&l, 0);
    lab_carry(&l);
    lab_look(&l, 0);
    assert_true(wishes(newest(), "012"));
    l.node[2].stuck = true;
    lab_write(&l, 0, 0);
    lab_carry(&l); /* it is held by 0 and 1 */
    lab_set_w(&l, MAP_W_ALL);
    lab_maps(&l);
    lab_later(&l, LOOK_MS);
    assert_true(in_doubt());
    assert_null(asked_to_settle());
    l.node[2].stuck = false;
    lab_carry(&l);
    lab_later(&l, LOOK_MS);
    assert_non_null(asked_to_settle());
    end();
}

/* Void, or lost: it is asked for again. What was asked before another SET is void. */
static void what_was_asked_in_vain_is_asked_again(void **state)
{
    (void)state;
    begin(2, "012");
    lab_set_w(&l, MAP_W_ALL);
    lab_maps(&l);
    lab_later(&l, LOOK_MS);
    assert_non_null(asked_to_settle());
    lab_set_w(&l, 3);
    decide();
    assert_true(l.map.slots[0].formers == (1u << 2 | 1u << MAP_W_ALL));
    size_t asked = l.proposals.n;
    lab_later(&l, LOOK_MS);
    assert_int_equal(l.proposals.n, asked + 1);
    l.proposals_at = l.proposals.n; /* it is lost */
    wait(2 * LOOK_MS);
    assert_int_equal(l.proposals.n, asked + 1);
    wait(LAB_T_MS);
    assert_true(l.proposals.n > asked + 1);
    decide();
    assert_int_equal(l.map.slots[0].formers, 0);
    end();
}

/* An isr that is too small for it never is. */
static void who_is_too_few_is_not_settled(void **state)
{
    (void)state;
    begin(1, "01");
    lab_cut(&l, 0, 2);
    lab_set_w(&l, 3);
    lab_maps(&l);
    assert_true(repl_refuses(&l.node[0].r, 0, REPL_ASKS_NOTHING));
    wait(3 * LAB_T_MS);
    assert_null(asked_to_settle());
    lab_set_w(&l, 1); /* and back: nothing is in the way */
    lab_maps(&l);
    wait(LAB_T_MS);
    decide();
    assert_int_equal(l.map.slots[0].formers, 0);
    assert_false(repl_refuses(&l.node[0].r, 0, REPL_ASKS_NOTHING));
    end();
}

UNIT_TESTS("repl_isr",
           TEST(a_greater_w_is_settled_once_what_was_acknowledged_is_so_held,
                "a greater W counts for replies at once, for elections once all that was acknowledged is so held (5, 21)"),
           TEST(a_smaller_w_waits_for_its_settling_as_well, "a smaller W counts for elections at once, for replies once it is settled (5, 21)"),
           TEST(a_set_in_doubt_is_settled_with_the_other, "W is settled for the in-sync set that is in doubt as well (12)"),
           TEST(what_was_asked_in_vain_is_asked_again, "what was asked in vain is asked again; before another SET it is void"),
           TEST(who_is_too_few_is_not_settled, "fewer in sync than a new W are not settled, and going back is"),
           TEST(a_member_that_lags_is_proposed_for_removal, "a member whose oldest record is too old is removed (14)"),
           TEST(who_takes_in_a_big_record_does_not_lag,
                "a member that takes in a big record piece by piece does not lag, nor does it hold it (4, 14)"),
           TEST(a_big_record_is_given_time_by_its_size, "a big record is given time by its size to be stored, and so is the link (14)"),
           TEST(time_is_given_for_big_records_that_are_not_held_alone, "time is given for what is not held of big records alone (14)"),
           TEST(a_primary_that_stood_still_holds_it_against_nobody,
                "a primary that stood still calls nobody late or silent for that (14)"),
           TEST(what_is_made_just_behind_another_is_missed_as_well, "no record is too close behind another to be missed (14)"),
           TEST(a_member_that_holds_nothing_never_joins_and_is_removed, "a member that does not hold what it was sent does not join, and is removed (4, 14)"),
           TEST(a_link_that_comes_and_goes_does_not_put_off_the_removal,
                "a link that comes and goes does not put the removal off (14)"),
           TEST(who_is_suspect_or_leaves_is_removed_at_once, "who is SUSPECT, or says that it leaves, is removed at once (14)"),
           TEST(a_member_that_runs_anew_counts_no_more, "a member that was restarted counts no more, and is removed (4, 14)"),
           TEST(a_later_run_does_not_count_for_the_one_in_sync, "a later run's acks do not count for the one that was in sync (4)"),
           TEST(who_runs_anew_is_not_heard_over_its_old_link, "a restarted member counts no more though its old link is there (4, 14)"),
           TEST(nothing_is_proposed_that_leaves_too_few, "no removal leaves fewer than W or 1 + min-replicas (14)"),
           TEST(what_a_lost_member_held_is_read_and_nothing_more_is_written,
                "where a lost member has to stay, what was acknowledged is read, and writes are refused (5, 6, 14)"),
           TEST(what_was_held_in_another_epoch_is_asked_for_anew, "what W held in one epoch says nothing of the next (21)"),
           TEST(a_greater_w_counts_for_attempts_that_began_before_it,
                "a greater W counts for attempts that began before it (14)"),
           TEST(what_was_proposed_is_not_proposed_again_if_w_has_grown,
                "what was proposed is not proposed again if a greater W forbids it; nothing is (12, 14)"),
           TEST(who_is_wished_no_more_stays_until_w_of_fewer_is_settled,
                "who is wished no more stays until W of fewer is settled (14, 26)"),
           TEST(a_lost_member_that_must_stay_makes_no_attempt, "a lost member that has to stay makes no attempt (12, 14)"),
           TEST(a_lost_member_is_exchanged_for_one_that_caught_up, "a lost member is exchanged in one entry (14)"),
           TEST(a_joiner_is_added_once_it_holds_what_was_acknowledged,
                "a joiner is proposed once it holds all that was acknowledged; replies wait for it before (11)"),
           TEST(additions_wait_for_others_and_removals_do_not,
                "additions of many slots go together within T/20, a removal goes at once (14)"),
           TEST(a_joiner_that_falls_behind_ends_the_attempt, "a joiner that falls behind ends the attempt (11)"),
           TEST(who_is_not_in_sync_joins_once_it_has_synced, "who is not in sync joins once what it has is synced (4)"),
           TEST(who_joined_as_a_member_is_added_again_once_it_has_synced,
                "who joined as a member, and is none any more, is added once it has synced in this session (4, 14)"),
           TEST(who_was_removed_for_lag_waits_and_twice_as_long_each_time,
                "who was removed for lag waits 1 s before it is added, twice as long each time (14)"),
           TEST(who_lagged_over_a_link_that_held_waits_from_when_it_caught_up,
                "who lagged over a link that held waits from the moment it caught up (14)"),
           TEST(a_removal_that_is_void_does_not_count, "a removal that is void does not count (14)"),
           TEST(a_primary_that_is_suspect_proposes_nothing, "a primary that is SUSPECT proposes nothing: it would be void (13)"),
           TEST(where_members_are_few_none_waits, "where members are too few none waits (14)"),
           TEST(who_is_suspect_is_not_added, "who is SUSPECT is not added (13)"),
           TEST(doubt_lasts_until_the_map_shows_its_fate, "in doubt W of both sets count, until the map shows n; the way out is n again (12)"),
           TEST(of_what_was_said_again_the_map_takes_the_first, "of what was said again the map takes the first, and that ends the doubt (12)"),
           TEST(a_proposal_that_is_void_leaves_the_set_as_it_was, "a void proposal ends its doubt and is tried again (12, 13)"),
           TEST(a_joiner_that_dies_in_doubt_is_given_up, "a joiner that dies in doubt is given up: n goes without it (12)"),
           TEST(a_new_epoch_ends_doubt, "a new epoch ends doubt (12)"))

/* SPDX-License-Identifier: BSD-3-Clause */

/* Where records go, and what may be said of them: one clause of the rules after the other. */
#include "tests/lib/repl_lab.h"

static struct lab l;

static void elected(uint32_t w, const char *isr)
{
    lab_start(&l, w);
    lab_elect(&l, 0, 0, isr);
    lab_maps(&l);
}

static void all_in_sync(uint32_t w)
{
    elected(w, "012");
    lab_carry(&l);
}

static void end(void)
{
    lab_check(&l);
    lab_stop(&l);
}

/* ------------------------------------------------------------ records and acks */

static void a_record_is_held_by_all_once_all_said_so(void **state)
{
    (void)state;
    all_in_sync(MAP_W_ALL);
    uint64_t lsn = lab_write(&l, 0, 0);
    assert_false(lab_is_held(&l, 0, 0, lsn));
    l.node[2].stuck = true;
    lab_carry(&l);
    assert_int_equal(l.node[2].log[0].n, 1); /* it is there, but not stored */
    assert_false(lab_is_held(&l, 0, 0, lsn));
    l.node[2].stuck = false;
    lab_carry(&l);
    assert_true(lab_is_held(&l, 0, 0, lsn));
    assert_int_equal(l.node[1].log[0].n, 1);
    end();
}

static void w_says_how_many(void **state)
{
    (void)state;
    static const struct { uint32_t w; unsigned need; } kinds[] = {{MAP_W_ALL, 3}, {MAP_W_MAJORITY, 2}, {1, 1}, {2, 2}, {3, 3}};
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        all_in_sync(kinds[k].w);
        for (unsigned i = 0; i < LAB_NODES; i++)
            l.node[i].stuck = true;
        uint64_t lsn = lab_write(&l, 0, 0);
        for (unsigned holders = 0; holders < LAB_NODES; holders++) {
            lab_carry(&l);
            assert_int_equal(lab_is_held(&l, 0, 0, lsn), holders >= kinds[k].need);
            l.node[holders].stuck = false;
        }
        lab_carry(&l);
        assert_true(lab_is_held(&l, 0, 0, lsn));
        end();
    }
}

static void few_members_refuse_writes(void **state)
{
    (void)state;
    static const struct { uint32_t w, min_replicas; } kinds[] = {{2, 0}, {MAP_W_ALL, 1}};
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        lab_start(&l, kinds[k].w);
        l.map.settings.min_replicas = kinds[k].min_replicas;
        lab_elect(&l, 0, 0, "0");
        lab_elect(&l, 1, 0, "01");
        lab_maps(&l);
        assert_true(repl_refuses(&l.node[0].r, 0, 0));
        assert_false(repl_refuses(&l.node[0].r, 1, 0));
        assert_int_equal(repl_refuses_read(&l.node[0].r, 0, 0), kinds[k].w == 2);
        assert_false(repl_refuses_read(&l.node[0].r, 1, 0));
        end();
    }
}

/* Everything up to the election may have been acknowledged: a reply that was computed from it waits too. */
static void what_was_there_at_the_election_counts_as_new(void **state)
{
    (void)state;
    elected(MAP_W_ALL, "01");
    l.node[0].stored = l.node[0].appended;
    assert_false(lab_is_held(&l, 0, 0, repl_newest(&l.node[0].r, 0)));
    lab_carry(&l);
    assert_true(lab_is_held(&l, 0, 0, repl_newest(&l.node[0].r, 0)));
    end();
}

static void acks_count_only_once_the_slot_has_joined(void **state)
{
    (void)state;
    lab_start(&l, MAP_W_ALL);
    lab_elect(&l, 0, 0, "01");
    lab_elect(&l, 1, 0, "01");
    lab_maps(&l);
    lab_carry(&l);
    l.node[1].stuck = true;
    lab_elect(&l, 0, 0, "01"); /* a new epoch, same primary: nothing is joined in it yet */
    lab_map_to(&l, 0);
    uint64_t other = lab_write(&l, 0, 1), mine = lab_write(&l, 0, 0);
    l.node[1].stuck = false;
    lab_carry(&l); /* node 1 has not applied the new epoch; all of the link is acked */
    assert_true(lab_is_held(&l, 0, 1, other));
    assert_false(lab_is_held(&l, 0, 0, mine));
    assert_int_equal(l.node[1].log[0].n, 0);
    lab_map_to(&l, 1);
    lab_carry(&l);
    assert_true(lab_is_held(&l, 0, 0, mine));
    end();
}

static void a_question_of_an_epoch_to_come_is_answered_when_it_is_applied(void **state)
{
    (void)state;
    lab_start(&l, MAP_W_ALL);
    lab_elect(&l, 0, 0, "01");
    lab_elect(&l, 1, 1, "10"); /* so both have a link to the other */
    lab_maps(&l);
    lab_carry(&l);
    lab_elect(&l, 0, 1, "10");
    lab_map_to(&l, 0);
    while (lab_there(&l, 1, 0) || lab_back(&l, 1, 0))
        ;
    assert_int_equal(l.node[1].r.peers.at[0].early.n, 1);
    lab_map_to(&l, 1);
    assert_int_equal(l.node[1].r.peers.at[0].early.n, 0);
    for (unsigned i = 0; i < 3; i++) { /* no time passes */
        lab_pump(&l, 1, 0);
        while (lab_there(&l, 1, 0) || lab_back(&l, 1, 0))
            ;
        lab_release(&l, 0);
    }
    assert_int_equal(lab_copy(&l, 1, 0, 0), COPY_JOINED);
    end();
}

static void joined_is_answered_once_the_named_map_is_applied(void **state)
{
    (void)state;
    elected(MAP_W_ALL, "01");
    lab_elect(&l, 1, 2, "2"); /* of no concern to the two, but a newer map */
    lab_map_to(&l, 0);
    lab_carry(&l);
    assert_int_equal(lab_copy(&l, 0, 0, 1), COPY_LIVE);
    uint64_t lsn = lab_write(&l, 0, 0);
    lab_carry(&l);
    assert_int_equal(l.node[1].log[0].n, 1);
    assert_false(lab_is_held(&l, 0, 0, lsn));
    lab_map_to(&l, 1);
    lab_carry(&l);
    assert_int_equal(lab_copy(&l, 0, 0, 1), COPY_JOINED);
    assert_true(lab_is_held(&l, 0, 0, lsn));
    end();
}

static void a_new_session_begins_without_acks(void **state)
{
    (void)state;
    all_in_sync(MAP_W_ALL);
    uint64_t lsn = lab_write(&l, 0, 0);
    lab_carry(&l);
    assert_true(lab_is_held(&l, 0, 0, lsn));
    lab_cut(&l, 0, 1);
    assert_true(lab_is_held(&l, 0, 0, lsn)); /* it was acknowledged */
    lsn = lab_write(&l, 0, 0);
    assert_false(lab_is_held(&l, 0, 0, lsn));
    lab_mend(&l, 0, 1);
    lab_dial(&l, 0);
    repl_acked(&l.node[0].r, 1, &(struct repl_ack){.held = lsn, .synced = lsn}); /* it says so, but has not joined */
    assert_false(lab_is_held(&l, 0, 0, lsn));
    lab_carry(&l);
    assert_true(lab_is_held(&l, 0, 0, lsn));
    end();
}

static void an_ack_of_what_was_not_sent_is_nothing(void **state)
{
    (void)state;
    all_in_sync(MAP_W_ALL);
    l.node[1].stuck = true;
    uint64_t lsn = lab_write(&l, 0, 0);
    lab_carry(&l);
    repl_acked(&l.node[0].r, 1, &(struct repl_ack){.held = lsn + 1, .synced = 0});
    repl_acked(&l.node[0].r, 1, &(struct repl_ack){.held = lsn - 1, .synced = lsn});
    assert_false(lab_is_held(&l, 0, 0, lsn));
    end();
}

/* The old primary knows of nothing: what it makes now is acknowledged by nobody, whatever clocks say. */
static void who_has_left_an_epoch_acknowledges_nothing_of_it(void **state)
{
    (void)state;
    for (int elected = 0; elected < 2; elected++) {
        all_in_sync(MAP_W_ALL);
        lab_orphan(&l, 0);
        if (elected)
            lab_elect(&l, 0, 1, "12");
        lab_map_to(&l, 1);
        lab_map_to(&l, 2);
        lab_carry(&l);
        uint64_t lsn = lab_write(&l, 0, 0);
        lab_carry(&l);
        assert_int_equal(l.node[1].log[0].n, 0);
        assert_false(lab_is_held(&l, 0, 0, lsn));
        for (int i = 0; i < 10; i++) {
            lab_later(&l, 100);
            lab_carry(&l);
        }
        assert_false(lab_is_held(&l, 0, 0, lsn));
        end();
    }
}

static void who_holds_no_copy_any_more_acknowledges_nothing(void **state)
{
    (void)state;
    all_in_sync(MAP_W_ALL);
    struct map_slot *s = &l.map.slots[0];
    s->isr_n = s->want_n = 2; /* node 2 leaves */
    s->ver = l.map.slots_ver = ++l.map.index;
    map_replicas_follow(s);
    lab_map_to(&l, 2);
    uint64_t lsn = lab_write(&l, 0, 0);
    lab_carry(&l);
    assert_int_equal(l.node[2].log[0].n, 0);
    assert_false(lab_is_held(&l, 0, 0, lsn));
    lab_map_to(&l, 0);
    lab_map_to(&l, 1);
    lab_carry(&l);
    assert_true(lab_is_held(&l, 0, 0, lsn));
    end();
}

/* --------------------------------------------------------------- the append rule */

static enum repl_verdict offer(unsigned to, uint16_t from, uint64_t epoch, uint64_t before_epoch, uint64_t e, uint64_t seq)
{
    struct repl_append m = {.slot = 0, .epoch = epoch, .before_epoch = before_epoch};
    lab_clock(&l, to);
    return repl_may_append(&l.node[to].r, from, &m, (struct position){e, seq});
}

static size_t said_back(unsigned from, unsigned to)
{
    return l.link[from][to].back.n - l.link[from][to].back_at;
}

/* Node 1 follows node 0 in epoch 2; its newest record is (2, 3), behind (1, 2). */
static void a_replica_at_2_3(void)
{
    elected(MAP_W_ALL, "01");
    lab_write(&l, 0, 0);
    lab_write(&l, 0, 0);
    lab_elect(&l, 0, 0, "01");
    lab_maps(&l);
    lab_write(&l, 0, 0);
    lab_carry(&l);
    assert_int_equal(l.node[1].slots[0].at.seq, 3);
}

static void what_does_not_fit_is_refused_clause_by_clause(void **state)
{
    (void)state;
    static const struct { uint16_t from; uint64_t epoch, before, e, seq; bool told; } wrong[] = {
        {2, 2, 2, 2, 4, false}, /* not of the primary */
        {0, 1, 2, 2, 4, false}, /* a sender of an older epoch, of which it has long been told */
        {0, 3, 2, 3, 4, false}, /* of one that is not applied here */
        {0, 2, 2, 2, 3, true},  /* a record it has */
        {0, 2, 2, 2, 5, true},  /* a gap */
        {0, 2, 1, 2, 4, true},  /* behind another (1, 3) than its own (2, 3) */
        {0, 2, 3, 2, 4, true},  /* the same */
        {0, 2, 2, 1, 4, true},  /* older than what it follows */
        {0, 2, 2, 3, 4, true},  /* newer than its sender */
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        a_replica_at_2_3();
        assert_int_equal(offer(1, wrong[i].from, wrong[i].epoch, wrong[i].before, wrong[i].e, wrong[i].seq), REPL_DROP);
        assert_int_equal(said_back(0, 1), wrong[i].told);
        if (wrong[i].told)
            assert_int_equal(l.link[0][1].back.at[l.link[0][1].back_at].m.type, REPL_SYNC);
        end();
    }
    a_replica_at_2_3();
    assert_int_equal(offer(1, 0, 2, 2, 2, 4), REPL_TAKE);
    l.node[1].slots[0].fence = 2; /* it has reported for the next election (20) */
    assert_int_equal(offer(1, 0, 2, 2, 2, 4), REPL_DROP);
    l.node[1].slots[0].fence = 1;
    lab_carry(&l);
    l.node[1].slots[0].frozen = true;
    assert_int_equal(offer(1, 0, 2, 2, 2, 4), REPL_DROP);
    lab_carry(&l);
    end();
}

static void a_refusal_is_said_before_the_ack(void **state)
{
    (void)state;
    a_replica_at_2_3();
    lab_write(&l, 0, 0);
    lab_lose(&l, 0, 1);
    uint64_t lsn = lab_write(&l, 0, 0);
    unsigned dumps = l.dumps;
    assert_true(lab_there(&l, 0, 1));
    lab_release(&l, 1);
    struct lab_link *k = &l.link[0][1];
    assert_int_equal(k->back.at[k->back_at].m.type, REPL_SYNC);
    assert_int_equal(k->back.at[k->back_at + 1].m.type, REPL_ACK);
    assert_true(k->back.at[k->back_at + 1].m.ack.held >= lsn);
    while (lab_back(&l, 0, 1))
        assert_false(lab_is_held(&l, 0, 0, lsn));
    lab_carry(&l);
    assert_true(lab_is_held(&l, 0, 0, lsn));
    assert_int_equal(l.dumps, dumps);
    end();
}

static void what_was_on_its_way_before_the_answer_is_passed_over(void **state)
{
    (void)state;
    a_replica_at_2_3();
    lab_write(&l, 0, 0);
    lab_lose(&l, 0, 1);
    for (int i = 0; i < 5; i++)
        lab_write(&l, 0, 0);
    unsigned syncs = l.syncs;
    lab_carry(&l);
    assert_int_equal(l.syncs, syncs + 1); /* one question for all that did not fit */
    assert_int_equal(l.node[1].log[0].n, 9);
    end();
}

/* ------------------------------------------------------------------ catching up */

/* Of two copies on one node, found behind at once. */
static void what_is_awaited_is_sent_first(void **state)
{
    (void)state;
    size_t bytes = 1024 * 1024;
    lab_start(&l, MAP_W_ALL);
    lab_elect(&l, 0, 0, "01");
    lab_elect(&l, 1, 0, "0");
    lab_maps(&l);
    for (int i = 0; i < 5; i++) {
        lab_write(&l, 0, 0);
        lab_write(&l, 0, 1);
    }
    while (lab_there(&l, 0, 1) || lab_back(&l, 0, 1))
        ;
    assert_int_equal(lab_copy(&l, 0, 0, 1), COPY_BEHIND);
    assert_int_equal(lab_copy(&l, 0, 1, 1), COPY_BEHIND);
    assert_true(repl_pump_awaited(&l.node[0].r, 1, &bytes));
    assert_int_equal(lab_copy(&l, 0, 0, 1), COPY_LIVE);
    assert_int_equal(lab_copy(&l, 0, 1, 1), COPY_BEHIND);
    assert_false(repl_is_pumped(&l.node[0].r, 1));
    assert_true(repl_pump(&l.node[0].r, 1, &bytes));
    assert_int_equal(lab_copy(&l, 0, 1, 1), COPY_LIVE);
    lab_carry(&l);
    end();
}

static void a_replica_is_sent_what_it_lacks_and_nothing_else(void **state)
{
    (void)state;
    all_in_sync(MAP_W_MAJORITY);
    lab_write(&l, 0, 0);
    lab_carry(&l);
    lab_cut(&l, 0, 2);
    for (int i = 0; i < 50; i++)
        lab_write(&l, 0, 0);
    lab_carry(&l);
    assert_int_equal(l.node[2].log[0].n, 1);
    lab_mend(&l, 0, 2);
    unsigned appends = l.appends;
    l.pump_bytes = 100; /* in small steps, and records are made between them */
    lab_dial(&l, 0);
    for (int i = 0; i < 10; i++) {
        lab_pump(&l, 0, 2);
        lab_there(&l, 0, 2);
        lab_release(&l, 2);
        lab_back(&l, 0, 2);
        lab_write(&l, 0, 0);
    }
    lab_carry(&l);
    assert_int_equal(l.node[2].log[0].n, 61);
    assert_int_equal(l.dumps, 0);
    assert_int_equal(l.appends, appends + 50 + 10 + 10); /* node 1 got the ten as well */
    assert_true(lab_is_held(&l, 0, 0, l.node[0].appended));
    end();
}

static void a_backlog_that_does_not_reach_back_makes_a_dump(void **state)
{
    (void)state;
    all_in_sync(MAP_W_MAJORITY);
    lab_write(&l, 0, 0);
    lab_carry(&l);
    lab_cut(&l, 0, 2);
    for (int i = 1; i < 1000; i++)
        lab_write(&l, 0, 0);
    lab_carry(&l);
    lab_mend(&l, 0, 2);
    lab_carry(&l);
    assert_int_equal(l.dumps, 1);
    assert_true(l.node[0].r.partial_n == 0 && l.node[0].r.partial_failed_n == 1 && l.node[0].r.partial_bytes == 0);
    assert_int_equal(lab_copy(&l, 0, 0, 2), COPY_JOINED);
    assert_int_equal(l.node[2].log[0].n, 1000);
    end();
}

static void who_has_nothing_of_many_records_gets_their_content(void **state)
{
    (void)state;
    all_in_sync(MAP_W_MAJORITY);
    lab_cut(&l, 0, 2);
    for (int i = 0; i < 30; i++)
        lab_write(&l, 0, 0);
    lab_carry(&l);
    unsigned appends = l.appends;
    lab_mend(&l, 0, 2);
    lab_carry(&l);
    assert_int_equal(l.dumps, 1); /* though the backlog has all of them */
    assert_int_equal(l.appends, appends);
    assert_int_equal(l.node[0].r.partial_failed_n, 0);
    assert_int_equal(lab_copy(&l, 0, 0, 2), COPY_JOINED);
    lab_write(&l, 0, 0);
    lab_carry(&l);
    assert_int_equal(l.node[2].log[0].n, 31);
    assert_int_equal(l.dumps, 1);
    end();
}

static void what_is_overwritten_while_it_catches_up_makes_a_dump(void **state)
{
    (void)state;
    all_in_sync(MAP_W_MAJORITY);
    lab_write(&l, 0, 0);
    lab_carry(&l);
    lab_cut(&l, 0, 2);
    for (int i = 1; i < 400; i++)
        lab_write(&l, 0, 0);
    lab_mend(&l, 0, 2);
    l.pump_bytes = 200;
    for (int i = 0; i < 20; i++) {
        lab_dial(&l, 0);
        lab_pump(&l, 0, 2);
        while (lab_there(&l, 0, 2) || lab_back(&l, 0, 2))
            ;
    }
    assert_int_equal(lab_copy(&l, 0, 0, 2), COPY_BEHIND);
    assert_true(l.node[2].log[0].n > 0);
    for (int i = 0; i < 1000; i++)
        lab_write(&l, 0, 0);
    lab_carry(&l);
    assert_int_equal(l.dumps, 1);
    assert_int_equal(l.node[2].log[0].n, 1400);
    end();
}

/* ------------------------------------------------------------------ out of the log */

/* Node 2 lacks more than the backlog has. */
static void away(unsigned records)
{
    all_in_sync(MAP_W_MAJORITY);
    l.logs = true;
    lab_write(&l, 0, 0);
    lab_carry(&l);
    lab_cut(&l, 0, 2);
    while (records-- > 0)
        lab_write(&l, 0, 0);
    lab_carry(&l);
    lab_mend(&l, 0, 2);
}

static void what_the_backlog_has_no_more_is_read_from_the_log(void **state)
{
    (void)state;
    away(1000);
    const struct repl *r = &l.node[0].r;
    unsigned appends = l.appends, frames = l.frames;
    l.pass_n = 10; /* and records are made between the pieces */
    lab_dial(&l, 0);
    for (int i = 0; i < 20; i++) {
        lab_pump(&l, 0, 2);
        while (lab_there(&l, 0, 2) || lab_back(&l, 0, 2))
            ;
        lab_release(&l, 2);
        lab_write(&l, 0, 0);
    }
    assert_int_equal(lab_copy(&l, 0, 0, 2), COPY_LOG);
    l.pass_n = 1000;
    lab_carry(&l);
    assert_int_equal(l.node[2].log[0].n, 1021);
    assert_int_equal(l.appends, appends + 1000 + 20 + 20); /* node 1 got the twenty as well */
    assert_true(l.dumps == 0 && l.passes == 1);
    assert_true(l.frames < frames + 100); /* records of a slot go together (3) */
    assert_true(r->partial_n == 1 && r->logged_n == 1 && r->logged_bytes == 1020 * sizeof(struct lab_record));
    assert_int_equal(lab_copy(&l, 0, 0, 2), COPY_JOINED);
    end();
}

/* What the log has of an epoch that nobody knows of any more is not sent. */
static void what_is_not_on_the_history_is_passed_over_in_the_log(void **state)
{
    (void)state;
    all_in_sync(MAP_W_MAJORITY);
    l.logs = true;
    lab_write(&l, 0, 0);
    lab_carry(&l);
    lab_cut(&l, 0, 1);
    lab_cut(&l, 0, 2);
    for (int i = 0; i < 5; i++)
        lab_write(&l, 0, 0); /* in node 0's log alone */
    lab_elect(&l, 0, 1, "12");
    lab_maps(&l);
    lab_cut(&l, 1, 2);
    lab_write(&l, 1, 0);
    lab_carry(&l); /* node 0 has it anew, by a dump: its log says so */
    assert_int_equal(l.dumps, 1);
    for (int i = 0; i < 1000; i++)
        lab_write(&l, 1, 0);
    lab_carry(&l);
    lab_elect(&l, 0, 0, "01");
    lab_maps(&l);
    lab_mend(&l, 0, 2);
    lab_carry(&l); /* node 2 stands before the dump */
    assert_int_equal(l.dumps, 2);
    lab_cut(&l, 0, 2);
    for (int i = 0; i < 1000; i++)
        lab_write(&l, 0, 0);
    lab_mend(&l, 0, 2);
    lab_carry(&l);
    assert_true(l.dumps == 2 && l.passes == 1);
    lab_check(&l);
    end();
}

/* At its start records were missing before these, and it was elected all the same (22, 25): they stay in the log. */
static void what_a_log_has_behind_a_gap_is_passed_over(void **state)
{
    (void)state;
    all_in_sync(MAP_W_MAJORITY);
    l.logs = true;
    lab_write(&l, 0, 0);
    lab_carry(&l);
    *vec_add(&l.node[0].logged[0]) = (struct lab_record){.at = {2, 3}};
    lab_elect(&l, 0, 1, "12");
    lab_elect(&l, 0, 0, "01");
    lab_maps(&l);
    lab_write(&l, 0, 0);
    lab_carry(&l);
    lab_cut(&l, 0, 2);
    for (int i = 0; i < 1000; i++)
        lab_write(&l, 0, 0);
    lab_mend(&l, 0, 2);
    lab_carry(&l);
    assert_true(l.dumps == 0 && l.passes == 1);
    assert_int_equal(l.node[2].log[0].n, 1002);
    end();
}

static void what_the_log_does_not_reach_makes_a_dump_at_once(void **state)
{
    (void)state;
    away(1000);
    lab_rewrite(&l.node[0]);
    lab_carry(&l);
    assert_true(l.dumps == 1 && l.passes == 0);
    end();
}

/* A rewrite takes the files away that were not read yet. */
static void what_the_log_loses_under_a_pass_makes_a_dump(void **state)
{
    (void)state;
    away(1000);
    l.pass_n = 10;
    lab_dial(&l, 0);
    for (int i = 0; i < 20; i++) {
        lab_pump(&l, 0, 2);
        while (lab_there(&l, 0, 2) || lab_back(&l, 0, 2))
            ;
    }
    assert_int_equal(lab_copy(&l, 0, 0, 2), COPY_LOG);
    lab_rewrite(&l.node[0]);
    lab_write(&l, 0, 0);
    lab_carry(&l);
    assert_true(l.dumps == 1 && l.node[0].r.partial_failed_n == 1);
    assert_int_equal(l.node[2].log[0].n, 1002);
    end();
}

/* Nor is the past of a slot sent to who has nothing of it. */
static void a_copy_that_has_nothing_gets_a_dump(void **state)
{
    (void)state;
    all_in_sync(MAP_W_MAJORITY);
    l.logs = true;
    lab_cut(&l, 0, 2);
    for (int i = 0; i < 1000; i++)
        lab_write(&l, 0, 0);
    lab_mend(&l, 0, 2);
    lab_carry(&l);
    assert_true(l.dumps == 1 && l.passes == 0);
    end();
}

/* Each pass ends short of what was made meanwhile, of which the backlog has nothing. */
static void passes_that_do_not_catch_up_end_in_a_dump(void **state)
{
    (void)state;
    away(1000);
    backlog_resize(&l.node[0].r.backlog, 0);
    l.unwritten_n = 1;
    l.pass_n = 2000;
    for (unsigned i = 0; i < 4; i++)
        lab_carry(&l);
    assert_true(l.dumps == 1 && l.passes == 3);
    end();
}

static void write_twenty(unsigned node)
{
    for (int i = 0; i < 20; i++)
        lab_write(&l, node, 0);
}

/* Node 2 is sent the forty records that it missed, and nothing else. */
static void assert_forty_come_from(unsigned node)
{
    unsigned appends = l.appends, frames = l.frames;
    const struct repl *r = &l.node[node].r;
    uint64_t bytes = r->partial_bytes, copies = r->partial_n;
    lab_mend(&l, node, 2);
    lab_carry(&l);
    assert_int_equal(l.node[2].log[0].n, 41);
    assert_int_equal(l.appends, appends + 40);
    assert_int_equal(l.frames, frames + 1); /* all of them together (3) */
    assert_int_equal(r->partial_bytes, bytes + 40 * sizeof(struct lab_record));
    assert_int_equal(r->partial_n, copies + 1);
    assert_int_equal(l.dumps, 0);
}

static void what_was_missed_comes_from_the_backlog_in_a_later_epoch_too(void **state)
{
    (void)state;
    all_in_sync(MAP_W_MAJORITY);
    lab_write(&l, 0, 0);
    lab_carry(&l);
    lab_cut(&l, 0, 2);
    write_twenty(0);
    lab_elect(&l, 0, 0, "01"); /* the same primary, and records of both epochs are missed */
    lab_maps(&l);
    write_twenty(0);
    lab_carry(&l);
    assert_forty_come_from(0);
    end();
}

/* Node 1 took the records that node 2 missed; its own come behind them. */
static void a_new_primary_sends_what_it_took_as_a_replica(void **state)
{
    (void)state;
    all_in_sync(MAP_W_MAJORITY);
    lab_write(&l, 0, 0);
    lab_carry(&l);
    lab_cut(&l, 0, 2);
    write_twenty(0);
    lab_carry(&l);
    lab_cut(&l, 1, 2);
    lab_elect(&l, 0, 1, "10");
    lab_maps(&l);
    write_twenty(1);
    lab_carry(&l);
    assert_forty_come_from(1);
    end();
}

/* Node 2 has its slot by a dump and is elected then: what lies before the dump it cannot send. */
static void what_came_by_a_dump_is_in_no_backlog(void **state)
{
    (void)state;
    all_in_sync(MAP_W_MAJORITY);
    lab_write(&l, 0, 0);
    lab_carry(&l);
    lab_cut(&l, 0, 1);
    lab_cut(&l, 0, 2);
    for (int i = 0; i < 1000; i++)
        lab_write(&l, 0, 0);
    lab_mend(&l, 0, 2);
    lab_carry(&l);
    assert_int_equal(l.dumps, 1);
    lab_elect(&l, 0, 2, "20");
    lab_maps(&l);
    lab_write(&l, 2, 0);
    lab_carry(&l); /* node 1 stands where node 2 stood, too, when the dump came */
    assert_int_equal(l.dumps, 2);
    assert_int_equal(l.node[1].log[0].n, 1002);
    assert_int_equal(l.node[0].log[0].n, 1002);
    end();
}

/* Node 2 kept the first five, had the next two by a dump, and kept the eighth: behind that it has no seventh. */
static void a_record_behind_a_dump_is_not_the_one_before_it(void **state)
{
    (void)state;
    all_in_sync(MAP_W_MAJORITY);
    for (int i = 0; i < 5; i++)
        lab_write(&l, 0, 0);
    lab_carry(&l);
    lab_cut(&l, 0, 2);
    lab_write(&l, 0, 0);
    lab_carry(&l);
    lab_cut(&l, 0, 1);
    lab_write(&l, 0, 0);
    backlog_resize(&l.node[0].r.backlog, 0);
    lab_mend(&l, 0, 2);
    lab_carry(&l);
    assert_int_equal(l.dumps, 1);
    lab_elect(&l, 0, 2, "21");
    lab_maps(&l);
    lab_write(&l, 2, 0);
    lab_carry(&l); /* node 1 lacks the seventh */
    assert_int_equal(l.dumps, 2);
    assert_int_equal(l.node[1].log[0].n, 8);
    end();
}

/* Of slots that are offered those with one copy come before the one with two. */
static void what_is_long_is_pulled_fewest_copies_first(void **state)
{
    (void)state;
    static const uint16_t order[LAB_SLOTS] = {1, 2, 0};
    lab_start(&l, 1);
    lab_elect(&l, 0, 0, "01");
    lab_elect(&l, 1, 0, "0");
    lab_elect(&l, 2, 0, "0");
    lab_maps(&l);
    assert_true(lab_there(&l, 0, 2)); /* the session begins: node 2 has said where it stands */
    struct repl *r = &l.node[2].r;
    struct repl_round in;
    uint16_t place;
    for (uint16_t slot = 0; slot < LAB_SLOTS; slot++) {
        in = (struct repl_round){slot, 1, r->replica[slot].round};
        repl_offered(r, 0, &in); /* too early: its FROM has not come */
        repl_from(r, 0, &in);
    }
    assert_false(repl_pull_next(r, &place, &in));
    for (uint16_t slot = 0; slot < LAB_SLOTS; slot++)
        repl_offered(r, 0, &(struct repl_round){slot, 1, r->replica[slot].round});
    repl_offered(r, 0, &(struct repl_round){0, 1, r->replica[0].round + 1});
    for (unsigned i = 0; i < LAB_SLOTS; i++) {
        assert_true(repl_pull_next(r, &place, &in));
        assert_int_equal(place, 0);
        assert_int_equal(in.slot, order[i]);
        assert_true(repl_may_swap(r, 0, &in));
    }
    assert_false(repl_pull_next(r, &place, &in));
    end();
}

static void a_dump_that_is_offered_waits_until_it_is_pulled(void **state)
{
    (void)state;
    all_in_sync(MAP_W_MAJORITY);
    lab_cut(&l, 0, 2);
    for (int i = 0; i < 1000; i++)
        lab_write(&l, 0, 0);
    lab_carry(&l);
    l.offers = true;
    lab_mend(&l, 0, 2);
    lab_dial(&l, 0);
    while (lab_copy(&l, 0, 0, 2) != COPY_DUMP) {
        (void)lab_there(&l, 0, 2);
        (void)lab_back(&l, 0, 2);
        lab_pump(&l, 0, 2);
    }
    struct repl_round in = repl_round_of(&l.node[0].r, 2, 0);
    lab_pump(&l, 0, 2);
    assert_true(repl_is_pulled(&l.node[0].r, 2, &in));
    assert_int_equal(l.dumps, 0);
    in.round--;
    assert_false(repl_is_pulled(&l.node[0].r, 2, &in)); /* what was said of an earlier round */
    lab_carry(&l);
    assert_int_equal(l.dumps, 1);
    assert_int_equal(lab_copy(&l, 0, 0, 2), COPY_JOINED);
    assert_int_equal(l.node[2].log[0].n, 1000);
    end();
}

/* Node 0 made records nobody else has; node 1 is elected without it and goes another way. */
static void another_history_makes_a_dump(void **state)
{
    (void)state;
    all_in_sync(MAP_W_ALL);
    lab_write(&l, 0, 0);
    lab_carry(&l);
    lab_cut(&l, 0, 1);
    lab_cut(&l, 0, 2);
    uint64_t lost = lab_write(&l, 0, 0);
    lab_write(&l, 0, 0);
    assert_false(lab_is_held(&l, 0, 0, lost));
    lab_orphan(&l, 0);
    lab_map_to(&l, 1);
    lab_map_to(&l, 2);
    lab_elect(&l, 0, 1, "12");
    lab_maps(&l);
    lab_write(&l, 1, 0);
    lab_carry(&l);
    assert_int_equal(l.dumps, 1);
    for (unsigned i = 0; i < LAB_NODES; i++) {
        assert_int_equal(l.node[i].log[0].n, 2);
        assert_int_equal(l.node[i].log[0].at[1].at.epoch, 2);
    }
    end();
}

static void a_slot_that_is_empty_at_its_primary_is_emptied(void **state)
{
    (void)state;
    all_in_sync(MAP_W_ALL);
    lab_cut(&l, 0, 1);
    lab_cut(&l, 0, 2);
    lab_write(&l, 0, 0);
    lab_orphan(&l, 0);
    lab_maps(&l);
    lab_elect(&l, 0, 1, "1");
    lab_maps(&l);
    lab_carry(&l);
    assert_int_equal(l.node[0].log[0].n, 0);
    assert_int_equal(lab_copy(&l, 1, 0, 0), COPY_JOINED);
    assert_int_equal(l.node[0].slots[0].fence, 1); /* R3 */
    end();
}

static void a_new_epoch_ends_a_catch_up_that_is_under_way(void **state)
{
    (void)state;
    all_in_sync(MAP_W_MAJORITY);
    lab_write(&l, 0, 0);
    lab_carry(&l);
    lab_cut(&l, 0, 2);
    for (int i = 1; i < 100; i++)
        lab_write(&l, 0, 0);
    lab_carry(&l);
    lab_mend(&l, 0, 2);
    l.pump_bytes = 100;
    lab_dial(&l, 0);
    for (int i = 0; i < 6; i++) {
        lab_pump(&l, 0, 2);
        while (lab_there(&l, 0, 2) || lab_back(&l, 0, 2))
            ;
    }
    assert_int_equal(lab_copy(&l, 0, 0, 2), COPY_BEHIND);
    lab_pump(&l, 0, 2); /* on its way */
    lab_elect(&l, 0, 1, "10");
    size_t before = l.node[2].log[0].n;
    lab_map_to(&l, 2);
    while (lab_there(&l, 0, 2))
        ;
    assert_int_equal(l.node[2].log[0].n, before); /* of the old epoch: not taken any more */
    lab_map_to(&l, 0);
    lab_map_to(&l, 1);
    lab_carry(&l);
    assert_int_equal(l.node[2].log[0].n, 100);
    assert_int_equal(lab_copy(&l, 1, 0, 2), COPY_JOINED);
    end();
}

static void a_dump_of_an_earlier_round_is_not_swapped_in(void **state)
{
    (void)state;
    all_in_sync(MAP_W_MAJORITY);
    lab_cut(&l, 0, 2);
    for (int i = 0; i < 1000; i++)
        lab_write(&l, 0, 0);
    lab_mend(&l, 0, 2);
    lab_dial(&l, 0);
    while (lab_copy(&l, 0, 0, 2) != COPY_DUMP) {
        lab_there(&l, 0, 2);
        lab_back(&l, 0, 2);
        size_t bytes = 1;
        if (lab_copy(&l, 0, 0, 2) == COPY_BEHIND)
            (void)repl_pump(&l.node[0].r, 2, &bytes);
    }
    lab_pump(&l, 0, 2); /* the dump is on its way */
    lab_clock(&l, 2);
    repl_sync_again(&l.node[2].r, 0);
    while (lab_there(&l, 0, 2))
        assert_int_equal(l.node[2].log[0].n, 0);
    lab_carry(&l);
    assert_int_equal(l.dumps, 2);
    assert_int_equal(l.node[2].log[0].n, 1000);
    end();
}

/* No map says so: it was fenced by the run before this one. */
static void a_dump_of_a_fenced_epoch_is_not_swapped_in(void **state)
{
    (void)state;
    elected(MAP_W_ALL, "01");
    lab_write(&l, 0, 0);
    lab_dial(&l, 0);
    while (lab_there(&l, 0, 2) || lab_back(&l, 0, 2))
        if (lab_copy(&l, 0, 0, 2) == COPY_BEHIND)
            l.node[2].slots[0].fence = l.map.slots[0].epoch;
    backlog_resize(&l.node[0].r.backlog, 0); /* what it lacks comes as a dump */
    lab_pump(&l, 0, 2);
    while (lab_there(&l, 0, 2))
        ;
    assert_true(l.dumps == 1 && l.node[2].log[0].n == 0);
    end();
}

/* Its log lost records, or what it applied did not do what it did at the primary. */
static void a_frozen_slot_is_made_anew_by_a_dump(void **state)
{
    (void)state;
    all_in_sync(MAP_W_ALL);
    lab_write(&l, 0, 0);
    lab_carry(&l);
    l.node[1].slots[0].frozen = true;
    lab_clock(&l, 1);
    repl_sync_again(&l.node[1].r, 0);
    lab_carry(&l);
    assert_false(l.node[1].slots[0].frozen);
    assert_int_equal(lab_copy(&l, 0, 0, 1), COPY_JOINED);
    assert_int_equal(l.dumps, 1); /* though the backlog has every record */
    end();
}

static void a_question_that_is_asked_again_does_not_undo_its_answer(void **state)
{
    (void)state;
    all_in_sync(MAP_W_MAJORITY);
    lab_cut(&l, 0, 2);
    for (int i = 0; i < 50; i++)
        lab_write(&l, 0, 0);
    lab_carry(&l);
    lab_mend(&l, 0, 2);
    lab_dial(&l, 0);
    for (int i = 0; i < 40; i++) { /* every message takes longer than it waits before it asks again */
        lab_later(&l, 150);
        lab_release(&l, 2);
        size_t there = l.link[0][2].there.n, back = l.link[0][2].back.n;
        lab_pump(&l, 0, 2);
        while (l.link[0][2].there_at < there && lab_there(&l, 0, 2))
            ;
        while (l.link[0][2].back_at < back && lab_back(&l, 0, 2))
            ;
        lab_release(&l, 1);
        while (lab_there(&l, 0, 1) || lab_back(&l, 0, 1))
            ;
    }
    assert_int_equal(l.node[2].log[0].n, 50);
    assert_int_equal(lab_copy(&l, 0, 0, 2), COPY_JOINED);
    end();
}

static void a_reconnect_supersedes_what_was_said_before(void **state)
{
    (void)state;
    all_in_sync(MAP_W_ALL);
    lab_write(&l, 0, 0);
    lab_hang_up(&l, 0, 1); /* node 1 does not know it yet */
    lab_write(&l, 0, 0);
    lab_open(&l, 0, 1);
    lab_carry(&l);
    assert_int_equal(l.link[0][1].guest, 2);
    assert_int_equal(l.node[1].log[0].n, 2);
    assert_true(lab_is_held(&l, 0, 0, l.node[0].appended));
    lab_guest_gone(&l, 0, 1); /* and learns of it now: the newer one stays */
    uint64_t lsn = lab_write(&l, 0, 0);
    lab_carry(&l);
    assert_true(lab_is_held(&l, 0, 0, lsn));
    end();
}

static void wants(unsigned n)
{
    struct map_slot *s = &l.map.slots[0];
    s->want_n = (uint8_t)n;
    map_replicas_follow(s);
    s->ver = l.map.slots_ver = ++l.map.index;
}

/* It sees two maps as one: that it was no replica between them only its primary knows. */
static void a_copy_that_was_unwanted_for_a_moment_follows_again(void **state)
{
    (void)state;
    lab_start(&l, MAP_W_ALL);
    lab_elect(&l, 0, 0, "01");
    lab_elect(&l, 1, 0, "012"); /* the link stays */
    lab_maps(&l);
    lab_carry(&l);
    assert_int_equal(lab_copy(&l, 0, 0, 2), COPY_JOINED);
    wants(2);
    lab_map_to(&l, 0);
    wants(3);
    lab_map_to(&l, 0);
    assert_int_equal(lab_copy(&l, 0, 0, 2), COPY_AWAY);
    repl_map_jumps(&l.node[2].r);
    lab_maps(&l);
    lab_carry(&l);
    assert_int_equal(lab_copy(&l, 0, 0, 2), COPY_JOINED);
    lab_write(&l, 0, 0);
    lab_carry(&l);
    assert_int_equal(l.node[2].log[0].n, 1);
    end();
}

/* Its map is ahead: its primary answers it by the map of before, and then goes through both. */
static void a_copy_that_asks_ahead_of_its_primary_follows_in_the_end(void **state)
{
    (void)state;
    struct map between, now;
    map_init(&between);
    map_init(&now);
    lab_start(&l, MAP_W_ALL);
    lab_elect(&l, 0, 0, "01");
    lab_elect(&l, 1, 0, "012");
    lab_maps(&l);
    lab_carry(&l);
    wants(2);
    lab_map_to(&l, 2);
    map_copy(&between, &l.map);
    wants(3);
    lab_map_to(&l, 2);
    map_copy(&now, &l.map);
    lab_carry(&l);
    map_copy(&l.map, &between);
    lab_map_to(&l, 0);
    map_copy(&l.map, &now);
    lab_maps(&l);
    for (int i = 0; i < 10; i++) {
        lab_later(&l, 100);
        lab_carry(&l);
    }
    assert_int_equal(lab_copy(&l, 0, 0, 2), COPY_JOINED);
    lab_write(&l, 0, 0);
    lab_carry(&l);
    assert_int_equal(l.node[2].log[0].n, 1);
    map_free(&between);
    map_free(&now);
    end();
}

UNIT_TESTS("repl",
           TEST(a_record_is_held_by_all_once_all_said_so, "a record is held once every member has stored it (5)"),
           TEST(w_says_how_many, "W all, majority or a number says how many members have to hold it (5)"),
           TEST(few_members_refuse_writes, "fewer members than W refuse commands, fewer than 1 + min-replicas writes (5)"),
           TEST(what_was_there_at_the_election_counts_as_new, "what was there at the election counts as acknowledged (11)"),
           TEST(acks_count_only_once_the_slot_has_joined, "an ack counts for no slot that has not joined in the present epoch (4)"),
           TEST(a_question_of_an_epoch_to_come_is_answered_when_it_is_applied,
                "a question of an epoch that is not applied yet is answered when it is (4, 23)"),
           TEST(joined_is_answered_once_the_named_map_is_applied, "JOINED is answered once the map it names is applied (4)"),
           TEST(a_new_session_begins_without_acks, "a reconnect unjoins; acks of before count no more (4)"),
           TEST(an_ack_of_what_was_not_sent_is_nothing, "an ack of more than was sent or held is none (4)"),
           TEST(who_has_left_an_epoch_acknowledges_nothing_of_it,
                "who has applied a slot's end or another epoch acknowledges nothing of the old one (2, 4)"),
           TEST(who_holds_no_copy_any_more_acknowledges_nothing, "who has left replicas acknowledges nothing (4)"),
           TEST(what_does_not_fit_is_refused_clause_by_clause, "a record is taken only if every clause holds (2)"),
           TEST(a_refusal_is_said_before_the_ack, "a refusal is said before any ack at or beyond it (4)"),
           TEST(what_was_on_its_way_before_the_answer_is_passed_over, "what was on its way before the answer is passed over (4)"),
           TEST(what_is_awaited_is_sent_first, "who is in sync is sent what it lacks before who is not (5, R16)"),
           TEST(a_replica_is_sent_what_it_lacks_and_nothing_else, "a replica is sent what it lacks and nothing else (23)"),
           TEST(what_the_backlog_has_no_more_is_read_from_the_log, "what the backlog has no more is read from the log, as long as records are made (23)"),
           TEST(what_is_not_on_the_history_is_passed_over_in_the_log, "what is not on the slot's history is passed over in the log (R14)"),
           TEST(what_a_log_has_behind_a_gap_is_passed_over, "what a log has behind a gap is passed over (R14, 25)"),
           TEST(what_the_log_does_not_reach_makes_a_dump_at_once, "what the log does not reach either makes a dump, and no pass over it (23)"),
           TEST(what_the_log_loses_under_a_pass_makes_a_dump, "what a rewrite takes away under a pass makes a dump (23)"),
           TEST(a_copy_that_has_nothing_gets_a_dump, "a copy that has nothing of a slot gets a dump, not its past (23)"),
           TEST(passes_that_do_not_catch_up_end_in_a_dump, "passes that do not catch up end in a dump (23)"),
           TEST(what_was_missed_comes_from_the_backlog_in_a_later_epoch_too, "what was missed comes from the backlog in a later epoch, too (23)"),
           TEST(a_new_primary_sends_what_it_took_as_a_replica, "a new primary sends from what it took as a replica (23)"),
           TEST(what_came_by_a_dump_is_in_no_backlog, "what came by a dump is in no backlog (R10, 23)"),
           TEST(a_record_behind_a_dump_is_not_the_one_before_it, "what was kept before a dump is not what came right before the next record (R10)"),
           TEST(a_backlog_that_does_not_reach_back_makes_a_dump, "what the backlog does not reach comes as a dump (23)"),
           TEST(who_has_nothing_of_many_records_gets_their_content,
                "who has nothing of a slot with many records gets its content, whatever the backlog has (23)"),
           TEST(a_dump_that_is_offered_waits_until_it_is_pulled, "a dump that is offered waits until it is pulled (24)"),
           TEST(what_is_long_is_pulled_fewest_copies_first, "of dumps that are offered the slot's with the fewest copies is pulled first (24)"),
           TEST(what_is_overwritten_while_it_catches_up_makes_a_dump,
                "what is overwritten while a replica catches up comes as a dump (23)"),
           TEST(another_history_makes_a_dump, "records of another history are replaced by a dump (23)"),
           TEST(a_slot_that_is_empty_at_its_primary_is_emptied, "a slot that is empty at its primary is emptied, but for its fence (R3, 23)"),
           TEST(a_new_epoch_ends_a_catch_up_that_is_under_way, "a new epoch ends a catch-up that is under way (2, 23)"),
           TEST(a_dump_of_an_earlier_round_is_not_swapped_in, "a dump that answers an earlier round is not swapped in (23)"),
           TEST(a_dump_of_a_fenced_epoch_is_not_swapped_in, "a dump of an epoch that is fenced is not swapped in (2, 20, 23)"),
           TEST(a_frozen_slot_is_made_anew_by_a_dump, "a frozen slot is made anew by a dump, whatever the backlog has (R4, 25)"),
           TEST(a_question_that_is_asked_again_does_not_undo_its_answer,
                "on a slow link a question that is asked again does not undo its answer (23)"),
           TEST(a_reconnect_supersedes_what_was_said_before, "a reconnect supersedes the older session (14)"),
           TEST(a_copy_that_was_unwanted_for_a_moment_follows_again,
                "a copy that was unwanted for a moment, which its node did not see, follows again (4)"),
           TEST(a_copy_that_asks_ahead_of_its_primary_follows_in_the_end,
                "a copy that asks while its map is ahead of its primary's follows in the end (4)"))

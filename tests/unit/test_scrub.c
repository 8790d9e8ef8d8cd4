/* SPDX-License-Identifier: BSD-3-Clause */

/* Copies are compared, and what is wrong is fetched anew (replication 29). */
#include "tests/lib/repl_lab.h"

static struct lab l;

enum { PERIOD_US = 60 * 1000 * 1000, LOOK_MS = LAB_T_MS / 20 };

static struct repl *of(unsigned i)
{
    return &l.node[i].r;
}

static void begin(const char *isr)
{
    lab_start(&l, MAP_W_ALL);
    lab_elect(&l, 0, 0, isr);
    lab_maps(&l);
    lab_carry(&l);
    for (unsigned i = 0; i < LAB_NODES; i++)
        scrub_period(of(i), PERIOD_US);
    for (unsigned i = 0; i < 5; i++)
        lab_write(&l, 0, 0);
    lab_carry(&l);
}

static void end(void)
{
    lab_check(&l);
    lab_stop(&l);
}

static void wait(int ms)
{
    for (int i = 0; i < ms; i += LOOK_MS) {
        lab_carry(&l);
        lab_later(&l, LOOK_MS);
    }
    lab_carry(&l);
}

/* What is proposed is decided and applied, and what follows is said. */
static void decide(void)
{
    while (lab_decide(&l))
        ;
    lab_maps(&l);
    wait(4 * LAB_T_MS / 10);
}

static void settle(void)
{
    for (unsigned i = 0; i < 4; i++) {
        wait(LAB_T_MS);
        decide();
    }
}

/* Its primary begins one, of the slot that is due. */
static void compare(unsigned i)
{
    struct repl_digest ask;
    uint64_t sum[2];
    lab_clock(&l, i);
    assert_true(scrub_begin(of(i), (struct hash_key){3, (uint64_t)l.now.us}, &ask));
    lab_sum(&l.node[i], ask.in.slot, &ask.key, sum);
    scrub_own(of(i), sum);
}

static struct scrub_found judged(unsigned i)
{
    struct scrub_found f;
    lab_clock(&l, i);
    assert_true(scrub_judge(of(i), &f));
    return f;
}

static struct scrub_found compared(unsigned i)
{
    compare(i);
    lab_carry(&l);
    return judged(i);
}

static void alter(unsigned node)
{
    l.node[node].log[0].at[2].value += 1000;
}

static bool in_sync(unsigned place)
{
    return map_isr_has(&l.map.slots[0], (uint16_t)place, 1);
}

/* -------------------------------------------------------------------------- */

static void equal_copies_are_compared_once_in_a_period(void **state)
{
    (void)state;
    begin("012");
    lab_elect(&l, 1, 0, "012");
    lab_elect(&l, 2, 0, "012");
    lab_maps(&l);
    lab_carry(&l);
    uint64_t written[3] = {0};
    unsigned seen[3] = {0};
    for (int ms = 0; ms < PERIOD_US / 1000; ms += 100) {
        wait(100);
        lab_clock(&l, 0);
        if (!mono_reached(l.now, scrub_due(of(0))))
            continue;
        compare(0);
        written[0] = lab_write(&l, 0, of(0)->scrub.slot); /* behind the mark: no part of it */
        lab_carry(&l);
        struct scrub_found f = judged(0);
        assert_int_equal(f.verdict, SCRUB_EQUAL);
        assert_int_equal(f.copies, 3);
        seen[f.slot]++;
    }
    assert_true(lab_is_held(&l, 0, of(0)->scrub.slot, written[0]));
    for (unsigned slot = 0; slot < 3; slot++)
        assert_int_equal(seen[slot], 1);
    assert_int_equal(of(0)->scrub.compared, 3);
    assert_int_equal(of(0)->scrub.skipped, 0);
    end();
}

static void the_odd_one_leaves_and_is_fetched_anew(void **state)
{
    (void)state;
    begin("012");
    alter(2);
    assert_int_equal(compared(0).verdict, SCRUB_DIFFER);
    assert_true(in_sync(2) && !of(0)->primary[0].in_doubt); /* not before it is confirmed */
    struct scrub_found f = compared(0);
    assert_int_equal(f.verdict, SCRUB_OTHERS);
    assert_true(f.n == 1 && f.at[0] == 2);
    wait(LAB_T_MS);
    assert_int_equal(l.node[2].log[0].n, 5); /* R12: the map has it in sync still */
    decide();
    assert_int_equal(of(0)->scrub.healed, 1);
    assert_true(bits_has(&of(0)->scrub.differ, 0));
    assert_int_equal(compared(0).verdict, SCRUB_EQUAL); /* the proof comes first */
    assert_false(bits_has(&of(0)->scrub.differ, 0));
    settle();
    assert_true(in_sync(2));
    end();
}

/* Another run of a node that is primary of nothing. */
static void runs_anew(unsigned i)
{
    struct lab_node *n = &l.node[i];
    for (unsigned k = 0; k < LAB_NODES; k++) {
        lab_cut(&l, i, k);
        lab_cut(&l, k, i);
    }
    repl_free(&n->r);
    map_free(&n->map);
    map_init(&n->map);
    repl_init(&n->r, &n->ops, &n->map, n->slots, 64 * 1024);
    l.map.nodes.at[i].incarnation++;
    l.map.nodes.at[i].run_index = l.map.nodes_ver = ++l.map.index;
    for (unsigned k = 0; k < LAB_NODES; k++) {
        lab_mend(&l, i, k);
        lab_mend(&l, k, i);
    }
    lab_maps(&l);
    scrub_period(of(i), PERIOD_US);
}

/* As on a disk that had not stored yet that it was deleted. */
static void has_again(unsigned i, const struct lab_record *records, unsigned n)
{
    struct lineage *at = &l.node[i].slots[0];
    lineage_clear(at);
    vec_clear(&l.node[i].log[0]);
    for (unsigned k = 0; k < n; k++) {
        if (k == 0)
            lineage_begin(at, records[k].at.epoch);
        lineage_take(at, records[k].at);
        *vec_add(&l.node[i].log[0]) = records[k];
    }
}

static void what_is_wrong_is_so_in_its_next_run(void **state)
{
    (void)state;
    for (int told = 0; told <= 1; told++) {
        begin("012");
        alter(2);
        struct lab_record had[5];
        for (unsigned k = 0; k < 5; k++)
            had[k] = l.node[2].log[0].at[k];
        assert_int_equal(compared(0).verdict, SCRUB_DIFFER);
        assert_int_equal(compared(0).verdict, SCRUB_OTHERS);
        l.node[2].stuck = true; /* it cannot store what it was told */
        wait(LAB_T_MS);
        if (told)
            decide();
        assert_int_equal(l.node[2].log[0].n == 5 && l.node[2].log[0].at[2].value == had[2].value, !told);
        has_again(2, had, 5);
        runs_anew(2);
        l.node[2].stuck = false;
        for (unsigned i = 0; i < 40 && !map_isr_has(&l.map.slots[0], 2, 2); i++)
            decide();
        assert_true(map_isr_has(&l.map.slots[0], 2, 2));
        assert_int_equal(l.node[2].log[0].n, 5);
        assert_int_equal(l.node[2].log[0].at[2].value, l.node[0].log[0].at[2].value);
        assert_int_equal(of(0)->scrub.healed, 1);
        assert_int_equal(compared(0).verdict, SCRUB_EQUAL);
        end();
    }
}

static void of_the_primary_another_takes_over_first(void **state)
{
    (void)state;
    begin("012");
    alter(0);
    assert_int_equal(compared(0).verdict, SCRUB_DIFFER);
    assert_false(scrub_is_mine_bad(of(0), 0));
    struct scrub_found f = compared(0);
    assert_int_equal(f.verdict, SCRUB_MINE);
    assert_true(scrub_is_mine_bad(of(0), 0));
    wait(LAB_T_MS);
    assert_int_equal(l.proposals.n, 0);
    lab_elect(&l, 0, 1, "102");
    lab_maps(&l);
    lab_carry(&l);
    assert_true(scrub_keeps(of(1), 0, 0)); /* it does not go back as it is */
    assert_true(scrub_due(of(1)).us <= l.now.us + LAB_T_MS * 1000 / 4);
    assert_int_equal(compared(1).verdict, SCRUB_DIFFER);
    f = compared(1);
    assert_int_equal(f.verdict, SCRUB_OTHERS);
    assert_true(f.n == 1 && f.at[0] == 0);
    settle();
    assert_int_equal(of(1)->scrub.healed, 1);
    assert_int_equal(compared(1).verdict, SCRUB_EQUAL);
    assert_false(scrub_keeps(of(1), 0, 0));
    settle();
    assert_true(in_sync(0));
    end();
}

static void of_two_nobody_can_tell_but_an_operator(void **state)
{
    (void)state;
    begin("01");
    lab_cut(&l, 0, 2);
    lab_carry(&l);
    alter(1);
    assert_int_equal(compared(0).verdict, SCRUB_DIFFER);
    assert_int_equal(compared(0).verdict, SCRUB_ALARM);
    settle();
    assert_true(in_sync(1) && bits_has(&of(0)->scrub.differ, 0));
    assert_int_equal(l.node[1].log[0].n, 5);
    assert_false(scrub_discard(of(0), 0, 0));
    assert_true(scrub_discard(of(0), 0, 1));
    scrub_soon(of(0), 0);
    settle();
    settle();
    assert_int_equal(of(0)->scrub.healed, 1);
    assert_true(in_sync(1));
    assert_int_equal(compared(0).verdict, SCRUB_EQUAL);
    lab_mend(&l, 0, 2);
    settle();
    end();
}

static void an_attempt_that_cannot_end_is_another(void **state)
{
    (void)state;
    begin("012");
    compare(0);
    lab_cut(&l, 0, 2);
    lab_carry(&l);
    assert_int_equal(judged(0).verdict, SCRUB_VOID);
    assert_false(of(0)->scrub.on);
    lab_mend(&l, 0, 2);
    settle();
    struct repl_digested late = {.in = {0, 1, 1}, .number = 1, .has = true};
    compare(0);
    scrub_digested(of(0), 2, &late); /* of the first one */
    lab_carry(&l);
    assert_int_equal(judged(0).verdict, SCRUB_EQUAL);
    for (unsigned i = 0; i < 8; i++) { /* this node's digest is void again and again */
        struct repl_digest ask;
        lab_clock(&l, 0);
        assert_true(scrub_begin(of(0), (struct hash_key){1, 2}, &ask));
        scrub_own(of(0), NULL);
        lab_carry(&l);
        assert_int_equal(judged(0).verdict, SCRUB_VOID);
        assert_int_equal(of(0)->scrub.skipped, i == 7);
    }
    assert_int_equal(of(0)->scrub.compared, 1);
    end();
}

UNIT_TESTS("scrub",
           TEST(equal_copies_are_compared_once_in_a_period, "all slots are compared within the period, as of one position (29)"),
           TEST(the_odd_one_leaves_and_is_fetched_anew, "of three the odd one, confirmed, leaves the in-sync set and is fetched anew (29, R12)"),
           TEST(what_is_wrong_is_so_in_its_next_run, "a wrong copy whose node is started anew is wrong until it was fetched anew (29, R12)"),
           TEST(of_the_primary_another_takes_over_first, "if the odd one is the primary's, another is primary before it is fetched anew (29)"),
           TEST(of_two_nobody_can_tell_but_an_operator, "of two both are kept until an operator gives one up (29)"),
           TEST(an_attempt_that_cannot_end_is_another, "a comparison that lost a copy, or a digest, is tried again, then left for the next round"))

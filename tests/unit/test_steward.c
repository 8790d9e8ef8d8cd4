/* SPDX-License-Identifier: BSD-3-Clause */

/* What the leader makes of who is DOWN: whose reports count, who is evicted, who votes (replication 18, 20, 27). */
#include "base/mem.h"
#include "tests/lib/planes_world.h"

static unsigned wishes_for(struct planes *w, const struct node_id *id)
{
    const struct map *m = control_map(planes_leader(w)->control);
    uint16_t place = map_find(m, id);
    unsigned n = 0;
    for (unsigned slot = 0; slot < SLOTS; slot++)
        n += m->slots[slot].want[0] == place;
    return n;
}

static void who_is_down_for_long_is_evicted(void **state)
{
    (void)state;
    begin(12, 4);
    assert_true(planes_until(&world, 10 * SECOND, whole));
    plane_set(&world, &world.at[1], "cluster-evict-after", 5);
    struct node_id id = *control_id(world.at[3].control);
    plane_kill(&world, &world.at[3], false);
    planes_run(&world, 4 * SECOND);
    assert_true(wishes_for(&world, &id) > SLOTS / 5);
    planes_run(&world, 4 * SECOND);
    assert_int_equal(wishes_for(&world, &id), 0);
    plane_kill(&world, planes_leader(&world), false); /* two of four, who decide nothing */
    planes_run(&world, 10 * SECOND);
    for (unsigned i = 0; i < 4; i++)
        if (world.at[i].control == NULL)
            plane_start(&world, &world.at[i]);
    assert_true(planes_until(&world, 40 * SECOND, whole));
    end();
}

/* Of seven five vote: so three can call four DOWN. */
static void while_most_are_down_nobody_is_evicted(void **state)
{
    (void)state;
    unsigned down[4], n = 0;
    begin(13, 7);
    assert_true(planes_until(&world, 20 * SECOND, whole));
    uint32_t leader = planes_leader(&world)->number;
    plane_set(&world, &world.at[leader], "cluster-evict-after", 5);
    for (int votes = 0; votes < 2; votes++) /* two that do not, two that do */
        for (unsigned i = 0; i < 7 && n < (votes ? 4 : 2); i++)
            if (control_votes(world.at[i].control) == votes && i != leader)
                down[n++] = i;
    struct node_id ids[4];
    for (unsigned i = 0; i < 4; i++) {
        ids[i] = *control_id(world.at[down[i]].control);
        plane_kill(&world, &world.at[down[i]], false);
    }
    planes_run(&world, 15 * SECOND);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(plane_health(&world, down[i]), MAP_DOWN);
        assert_int_not_equal(wishes_for(&world, &ids[i]), 0);
    }
    plane_start(&world, &world.at[down[3]]); /* now it is three of seven */
    planes_run(&world, 10 * SECOND);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(wishes_for(&world, &ids[i]), 0);
    assert_int_not_equal(wishes_for(&world, &ids[3]), 0);
    end();
}

/* -- Reports that count no more -------------------------------------------------------------------------- */

enum { PRIMARY, MEMBER, OTHER };
static uint32_t trio[3]; /* planes in sync with one slot */
static uint16_t its_slot;

static uint32_t plane_at(const struct map *m, uint16_t place)
{
    for (uint32_t i = 0; i < world.n; i++)
        if (world.at[i].control != NULL && node_id_equal(control_id(world.at[i].control), &m->nodes.at[place].id))
            return i;
    return UINT32_MAX;
}

static const struct map_slot *slot_in_map(void)
{
    return &control_map(planes_leader(&world)->control)->slots[its_slot];
}

static bool three_are_in_sync(struct planes *w)
{
    return planes_leader(w) != NULL && slot_in_map()->isr_n == 3;
}

/* Its three are to be ones without whom the voters are a majority still. */
static bool is_fit(const struct map *m, uint16_t slot, uint32_t leader)
{
    unsigned voters = 0;
    for (unsigned i = 0; i < 3; i++) {
        trio[i] = plane_at(m, m->slots[slot].want[i]);
        if (trio[i] == leader)
            return false;
        voters += control_votes(world.at[trio[i]].control);
    }
    return voters <= 2 && m->slots[slot].primary == m->slots[slot].want[0];
}

static void proposes(struct plane *p, uint64_t base, uint64_t n, struct map_isr_run *run)
{
    struct map_entry e = {.type = MAP_ISR, .base = base, .about = *control_id(p->control),
                          .incarnation = control_incarnation(p->control),
                          .isr = {.n = n, .run = run, .run_n = run != NULL}};
    plane_ask(&world, p, (struct word){.type = WORD_PROPOSE, .entry = {.entry = map_entry_copy(&e)}});
}

/* By itself. */
static void reports_nothing(uint32_t who)
{
    world.at[trio[who]].loads_until = (struct mono){MONO_NEVER.us - 1};
}

/* Of seven nodes three are in sync with a slot, W is 2; then the primary and OTHER die. MEMBER and OTHER report
 * what the test says. */
static void lose_two_of_three(uint64_t seed)
{
    planes_init(&world, seed);
    world.trace = getenv("TRACE") != NULL;
    for (unsigned i = 0; i < 7; i++) {
        struct plane *p = plane_add(&world, i == 0 ? -1 : 0);
        p->config.settings.replication_factor = 3;
        p->config.settings.write_quorum = 2;
        plane_start(&world, p);
    }
    assert_true(planes_until(&world, 20 * SECOND, whole));
    struct plane *leader = planes_leader(&world);
    const struct map *m = control_map(leader->control);
    for (its_slot = 0; !is_fit(m, its_slot, leader->number); its_slot++)
        assert_true(its_slot + 1 < SLOTS);
    struct plane *p = &world.at[trio[PRIMARY]];
    struct map_isr_run run = {.from = its_slot, .to = its_slot, .n = 3};
    for (unsigned i = 0; i < 3; i++) {
        run.node[i] = m->slots[its_slot].want[i];
        run.incarnation[i] = m->nodes.at[run.node[i]].incarnation;
    }
    proposes(p, m->index, ++p->data.proposed_n, &run);
    assert_true(planes_until(&world, 5 * SECOND, three_are_in_sync));
    reports_nothing(MEMBER);
    plane_kill(&world, p, false);
    plane_kill(&world, &world.at[trio[OTHER]], false);
    planes_run(&world, 3 * SECOND);
}

/* At `seq`, all of it since the run that was in sync. */
static void stands_at(uint32_t who, uint64_t seq)
{
    struct plane *p = &world.at[trio[who]];
    struct word r = {.type = WORD_REPORT, .report = {.base = p->data.map.index, .clean_since = 1, .slots_n = 1,
                                                     .incarnation = control_incarnation(p->control)}};
    r.report.slots = mem_get(sizeof(*r.report.slots));
    r.report.slots[0] = (struct word_position){its_slot, {1, seq}};
    plane_ask(&world, p, r);
    planes_run(&world, SECOND);
}

static bool other_is_back(struct planes *w)
{
    return planes_leader(w) != NULL && plane_health(&world, trio[OTHER]) == MAP_UP;
}

/* It holds what counts; two of the three are needed to know. */
static void other_comes_back(void)
{
    plane_start(&world, &world.at[trio[OTHER]]);
    assert_true(planes_until(&world, 10 * SECOND, other_is_back));
    planes_run(&world, 2 * SECOND);
    reports_nothing(OTHER);
    stands_at(OTHER, 5);
}

static void a_report_of_who_is_down_does_not_count(void **state)
{
    (void)state;
    lose_two_of_three(60);
    world.at[trio[MEMBER]].data.hung = true;
    planes_run(&world, 4 * SECOND);
    assert_int_equal(plane_health(&world, trio[MEMBER]), MAP_DOWN);
    stands_at(MEMBER, 3);
    other_comes_back();
    assert_int_equal(slot_in_map()->primary, MAP_NOBODY);
    world.at[trio[MEMBER]].data.hung = false;
    planes_run(&world, 3 * SECOND);
    assert_int_equal(plane_health(&world, trio[MEMBER]), MAP_UP);
    stands_at(MEMBER, 3);
    assert_int_equal(trio[OTHER], plane_at(control_map(planes_leader(&world)->control), slot_in_map()->primary));
    end();
}

static void a_report_of_before_a_clear_does_not_count(void **state)
{
    (void)state;
    lose_two_of_three(61);
    stands_at(MEMBER, 3);
    plane_freeze(&world, &world.at[trio[MEMBER]], true);
    planes_run(&world, 3 * SECOND);
    assert_int_not_equal(plane_health(&world, trio[MEMBER]), MAP_UP);
    plane_freeze(&world, &world.at[trio[MEMBER]], false);
    planes_run(&world, 3 * SECOND);
    assert_int_equal(plane_health(&world, trio[MEMBER]), MAP_UP);
    other_comes_back();
    assert_int_equal(slot_in_map()->primary, MAP_NOBODY);
    stands_at(MEMBER, 3);
    assert_int_equal(trio[OTHER], plane_at(control_map(planes_leader(&world)->control), slot_in_map()->primary));
    end();
}

/* -- Fewer voters ------------------------------------------------------------------------------------------ */

static bool the_leader_has_three_voters(struct planes *w)
{
    struct plane *leader = planes_leader(w);
    return leader != NULL && control_voters(leader->control) == 3;
}

static uint32_t last_down;

/* Five vote, then three are to, those at the map's first places; who is at two of them is away. */
static void fewer_vote_without(uint64_t seed, uint16_t one, uint16_t two)
{
    uint32_t down[2];
    begin(seed, 5);
    assert_true(planes_until(&world, 10 * SECOND, whole));
    down[0] = plane_at(control_map(world.at[0].control), one);
    down[1] = plane_at(control_map(world.at[0].control), two);
    for (unsigned i = 0; i < 2; i++)
        plane_kill(&world, &world.at[down[i]], false);
    planes_run(&world, 6 * SECOND);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(plane_health(&world, down[i]), MAP_DOWN);
    last_down = down[1];
    plane_set(&world, planes_leader(&world), "cluster-voters", 3);
    planes_run(&world, 6 * SECOND);
    assert_non_null(planes_leader(&world));
}

/* Three of five are there. While one goes that is there, the others would be two of four. */
static void who_is_away_leaves_the_voters_first(void **state)
{
    (void)state;
    for (uint16_t goes = 3; goes < 5; goes++) {
        fewer_vote_without(50, 1, goes);
        assert_true(the_leader_has_three_voters(&world));
        end();
    }
    fewer_vote_without(51, 1, 2);
    assert_int_equal(control_voters(planes_leader(&world)->control), 5);
    plane_start(&world, &world.at[last_down]);
    assert_true(planes_until(&world, 20 * SECOND, the_leader_has_three_voters));
    end();
}

/* -- Proposals that are said again -------------------------------------------------------------------------- */

/* How many entries came of it. */
static uint64_t proposes_thrice(struct plane *p, uint64_t n)
{
    uint64_t before = control_map(planes_leader(&world)->control)->index;
    for (unsigned i = 0; i < 3; i++)
        proposes(p, before, n, NULL);
    planes_run(&world, 2 * SECOND);
    return control_map(planes_leader(&world)->control)->index - before;
}

/* The leader's own, and what others pass to it. */
static void what_is_under_way_is_not_appended_again(void **state)
{
    (void)state;
    begin(53, 3);
    assert_true(planes_until(&world, 10 * SECOND, whole));
    planes_run(&world, 5 * SECOND);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(proposes_thrice(&world.at[i], 100), 1);
        assert_int_equal(proposes_thrice(&world.at[i], 99), 0);
        assert_int_equal(proposes_thrice(&world.at[i], 101), 1);
    }
    struct plane *leader = planes_leader(&world), *other = &world.at[leader == &world.at[0] ? 1 : 0];
    plane_kill(&world, leader, false);
    planes_run(&world, 10 * SECOND);
    assert_non_null(planes_leader(&world)); /* what the former one had may be lost with it */
    assert_int_equal(proposes_thrice(other, 101), 1);
    end();
}

UNIT_TESTS("steward",
           TEST(what_is_under_way_is_not_appended_again, "a proposal that the leader has under way is not appended again; a later leader takes it (replication 12)"),
           TEST(who_is_down_for_long_is_evicted, "who is DOWN for cluster-evict-after is wished for nothing, until it is back (replication 27)"),
           TEST(while_most_are_down_nobody_is_evicted, "while most are DOWN nobody is evicted (replication 27)"),
           TEST(a_report_of_who_is_down_does_not_count, "a report of who is DOWN does not count (replication 20)"),
           TEST(a_report_of_before_a_clear_does_not_count, "a report of before a CLEAR does not count (replication 20)"),
           TEST(who_is_away_leaves_the_voters_first, "where fewer are to vote who is away leaves first, and nobody without whom the others decide nothing (replication 18)"))

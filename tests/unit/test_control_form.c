/* SPDX-License-Identifier: BSD-3-Clause */

/* How nodes find a cluster, and become members of it. */
#include "persist/node_file.h"
#include "tests/lib/planes_world.h"
#include "tests/lib/unit.h"

static void clusters_meet(void **state)
{
    (void)state;
    planes_init(&world, 5);
    world.trace = getenv("TRACE") != NULL;
    for (int i = 0; i < 3; i++)
        plane_start(&world, plane_add(&world, -1));
    planes_run(&world, SECOND);
    for (uint16_t i = 1; i < 3; i++) {
        struct word ask = {.type = WORD_ASK, .ask = {.token = i, .what = ASK_MEET, .text = "10.0.0.1", .cluster_port = (uint16_t)(7000 + i)}};
        plane_ask(&world, &world.at[0], ask);
    }
    assert_true(planes_until(&world, 20 * SECOND, whole));
    assert_int_equal(world.at[0].answers.n, 2);
    assert_string_equal(world.at[0].answers.at[0].answer.error, "");
    end();
}

static void two_that_hold_keys_do_not_meet(void **state)
{
    (void)state;
    planes_init(&world, 5);
    world.trace = getenv("TRACE") != NULL;
    for (int i = 0; i < 2; i++) {
        plane_start(&world, plane_add(&world, -1));
        bits_add(&world.at[i].data.full, 77);
    }
    planes_run(&world, SECOND);
    plane_ask(&world, &world.at[0],
              (struct word){.type = WORD_ASK, .ask = {.what = ASK_MEET, .text = "10.0.0.1", .cluster_port = 7001}});
    planes_run(&world, 2 * SECOND);
    assert_int_equal(world.at[0].answers.n, 1);
    assert_non_null(strstr(world.at[0].answers.at[0].answer.error, "hold no key"));
    assert_int_equal(plane_slots(&world.at[0]), SLOTS);
    assert_int_equal(plane_slots(&world.at[1]), SLOTS);
    end();
}

/* -- What is on disk first ---------------------------------------------------------------------------- */

static bool last_is_member(struct planes *w)
{
    return map_find(control_map(w->at[0].control), control_id(w->at[w->n - 1].control)) != MAP_NOBODY;
}

static bool disk_has_cluster(const struct plane *p)
{
    static const char file[] = "nodes.conf";
    struct identity found = {0};
    struct sim_inode *f = sim_disk_file((struct sim_disk *)&p->disk, file);
    assert_int_equal(identity_get(&found, slice_of(f->p, f->n)), ERR_OK);
    bool in_cluster = found.in_cluster;
    identity_free(&found);
    return in_cluster;
}

/* Killed at any moment of its join it is none of the cluster's with keys. */
static void who_joins_follows_no_map_before_its_disk_knows(void **state)
{
    (void)state;
    begin(8, 3);
    assert_true(planes_until(&world, 10 * SECOND, whole));
    struct plane *p = plane_add(&world, 0);
    p->disk.slow_us = 2 * SECOND;
    plane_start(&world, p);
    assert_true(planes_until(&world, 20 * SECOND, last_is_member));
    planes_run(&world, SECOND);
    assert_false(disk_has_cluster(p));
    assert_int_equal(control_map(p->control)->index, 0);
    assert_non_null(strstr(p->view.why_not, "disk"));
    plane_kill(&world, p, false);
    p->disk.slow_us = 0;
    plane_start(&world, p);
    assert_true(planes_until(&world, 20 * SECOND, whole));
    assert_true(disk_has_cluster(p));
    end();
}

/* Else a start would find that it is a member, and what it once led alone. */
static void who_leaves_its_cluster_joins_once_its_disk_forgot_it(void **state)
{
    (void)state;
    begin(8, 2);
    struct plane *p = plane_add(&world, -1);
    plane_start(&world, p);
    planes_run(&world, 5 * SECOND);
    p->disk.slow_us = SECOND;
    struct word ask = {.type = WORD_ASK, .ask = {.token = 1, .what = ASK_MEET, .text = "10.0.0.1", .cluster_port = 7002}};
    plane_ask(&world, &world.at[0], ask);
    planes_run(&world, SECOND);
    assert_false(last_is_member(&world));
    p->disk.slow_us = 0;
    assert_true(planes_until(&world, 20 * SECOND, whole));
    end();
}

/* It asked a member that found no majority, and joined another cluster meanwhile. */
static void who_has_joined_waits_for_no_other_answer(void **state)
{
    (void)state;
    begin(9, 3);
    assert_true(planes_until(&world, 10 * SECOND, whole));
    plane_kill(&world, &world.at[1], false);
    plane_kill(&world, &world.at[2], false);
    planes_run(&world, 2 * SECOND);
    struct plane *p = plane_add(&world, 0);
    plane_start(&world, p); /* its JOIN waits */
    planes_run(&world, 3 * SECOND);
    plane_start(&world, plane_add(&world, -1));
    planes_run(&world, 3 * SECOND);
    world.awaited = "said what cannot be";
    plane_ask(&world, &world.at[4],
              (struct word){.type = WORD_ASK, .ask = {.what = ASK_MEET, .text = "10.0.0.1", .cluster_port = 7003}});
    planes_run(&world, 5 * SECOND);
    assert_int_equal(map_members_n(control_map(p->control)), 2);
    assert_int_equal(world.awaited_n, 0);
    end();
}

/* -- Where the map is not, or not right --------------------------------------------------------------- */

static void who_has_no_map_asks_until_somebody_has(void **state)
{
    (void)state;
    for (uint32_t first = 0; first < 6; first++) {
        begin(50 + first, 6); /* one of them does not vote, and keeps no log */
        assert_true(planes_until(&world, 10 * SECOND, whole));
        for (uint32_t i = 0; i < 6; i++)
            plane_kill(&world, &world.at[i], false);
        plane_start(&world, &world.at[first]);
        plane_start(&world, &world.at[(first + 1) % 6]);
        planes_run(&world, 3 * SECOND); /* they meet, and neither has a map: there is no majority */
        for (uint32_t i = 2; i < 6; i++)
            plane_start(&world, &world.at[(first + i) % 6]);
        assert_true(planes_until(&world, 30 * SECOND, whole));
        end();
    }
}

static void all_are_elsewhere_and_meet(void **state)
{
    (void)state;
    for (uint64_t seed = 60; seed < 60 + SPARE(5); seed++) {
        begin(seed, 3);
        assert_true(planes_until(&world, 10 * SECOND, whole));
        for (uint32_t i = 0; i < 3; i++)
            plane_kill(&world, &world.at[i], false);
        for (uint32_t i = 0; i < 3; i++) {
            world.at[i].config.at.cluster_port = (uint16_t)(8000 + i);
            world.at[i].config.join = SLICE("10.0.0.1:1@8000");
        }
        for (uint32_t i = 0; i < 3; i++) {
            plane_start(&world, &world.at[(seed + i) % 3]);
            planes_run(&world, (int64_t)rng_below(&world.rng, SECOND / 2));
        }
        assert_true(planes_until(&world, 30 * SECOND, whole));
        end();
    }
}

UNIT_TESTS("control_form", TEST(clusters_meet, "empty clusters meet and become one (C8)"),
           TEST(two_that_hold_keys_do_not_meet, "two that hold keys do not become one, and are told why (C8)"),
           TEST(who_joins_follows_no_map_before_its_disk_knows,
                "who joins follows no map before its disk knows that it is a member, and may be killed meanwhile (C12)"),
           TEST(who_leaves_its_cluster_joins_once_its_disk_forgot_it,
                "who leaves its cluster for another joins once its disk has forgotten the former (C12)"),
           TEST(who_has_joined_waits_for_no_other_answer, "who has joined waits for no other seed's answer (C12)"),
           TEST(who_has_no_map_asks_until_somebody_has, "who has no map asks until somebody has one (C2)"),
           TEST(all_are_elsewhere_and_meet, "members that all came back at other addresses meet by one that is known"))

/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/planes.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "control/recover.h"
#include "tests/lib/planes_world.h"
#include "tests/lib/unit.h"
#include "wire/hello.h"
#include "wire/wire_control.h"
#include "wire/wire_map.h"
#include "wire/wire_raft.h"

static void a_cluster_forms_by_itself(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= 7; n++) {
        begin(n, n);
        assert_true(planes_until(&world, 10 * SECOND, whole));
        end();
    }
}

static unsigned victim;

static bool victim_is_down(struct planes *w)
{
    (void)w;
    return plane_health(&world, victim) == MAP_DOWN;
}

/* Milliseconds from the end of the victim to the committed DOWN. */
static int64_t kill_one(uint64_t seed, bool leads)
{
    begin(seed, 3);
    assert_true(planes_until(&world, 10 * SECOND, whole));
    planes_run(&world, (int64_t)rng_below(&world.rng, SECOND));
    struct plane *leader = planes_leader(&world);
    victim = leads ? leader->number : (leader->number + 1) % 3;
    struct mono killed = world.now;
    plane_kill(&world, &world.at[victim], false);
    assert_true(planes_until(&world, 10 * SECOND, victim_is_down));
    int64_t ms = (world.now.us - killed.us) / 1000;
    plane_start(&world, &world.at[victim]);
    assert_true(planes_until(&world, 20 * SECOND, whole));
    end();
    return ms;
}

static void who_dies_is_down_within_the_timeout(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SPARE(10); seed++)
        assert_true(kill_one(seed, false) <= 1200);
}

/* A new leader comes first. Now and then two campaign at once, and it takes T/8 to T/4 longer. */
static void a_leader_that_dies_is_down_as_soon(void **state)
{
    (void)state;
    unsigned late = 0;
    for (uint64_t seed = 1; seed <= SPARE(10); seed++) {
        int64_t ms = kill_one(seed, true);
        late += ms > 1200;
        assert_true(ms <= 1450);
    }
    assert_true(late <= 3);
}

static void who_is_cut_off_has_no_lease_when_it_is_down(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SPARE(6); seed++) {
        begin(seed, 3);
        assert_true(planes_until(&world, 10 * SECOND, whole));
        victim = planes_leader(&world)->number;
        for (uint32_t k = 0; k < 3; k++)
            if (k != victim) {
                planes_cut(&world, victim, k, true);
                if (seed % 2 == 0) /* the other half: one way only */
                    planes_cut(&world, k, victim, true);
            }
        planes_run(&world, 5 * SECOND); /* check_leases looks all the while */
        assert_false(plane_has_lease(&world, &world.at[victim]));
        for (uint32_t k = 0; k < 3; k++) {
            planes_cut(&world, victim, k, false);
            planes_cut(&world, k, victim, false);
        }
        assert_true(planes_until(&world, 20 * SECOND, whole));
        end();
    }
}

static void a_minority_serves_nothing_and_says_why(void **state)
{
    (void)state;
    begin(1, 3);
    assert_true(planes_until(&world, 10 * SECOND, whole));
    plane_kill(&world, &world.at[1], false);
    plane_kill(&world, &world.at[2], false);
    planes_run(&world, 3 * SECOND);
    assert_false(plane_has_lease(&world, &world.at[0]));
    assert_non_null(strstr(world.at[0].view.why_not, "majority"));
    plane_start(&world, &world.at[1]);
    plane_start(&world, &world.at[2]);
    assert_true(planes_until(&world, 20 * SECOND, whole));
    end();
}

static void a_power_cut_of_all_is_survived(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SPARE(6); seed++) {
        begin(seed, 3);
        assert_true(planes_until(&world, 10 * SECOND, whole));
        for (uint32_t i = 0; i < 3; i++)
            plane_kill(&world, &world.at[i], true);
        planes_run(&world, SECOND);
        for (uint32_t i = 0; i < 3; i++)
            plane_start(&world, &world.at[i]);
        assert_true(planes_until(&world, 20 * SECOND, whole));
        end();
    }
}

static void a_hung_data_plane_costs_the_lease_after_the_timeout(void **state)
{
    (void)state;
    for (int patient = 0; patient < 2; patient++) {
        planes_init(&world, 3);
        world.trace = getenv("TRACE") != NULL;
        for (int i = 0; i < 3; i++) {
            plane_add(&world, i == 0 ? -1 : 0)->config.settings.node_timeout_ms = patient ? 15000 : 1000;
            plane_start(&world, &world.at[i]);
        }
        assert_true(planes_until(&world, 40 * SECOND, whole));
        world.at[1].data.hung = true;
        planes_run(&world, 10 * SECOND);
        assert_int_equal(plane_has_lease(&world, &world.at[1]), patient);
        victim = 1;
        assert_int_equal(plane_health(&world, 1), patient ? MAP_UP : MAP_DOWN);
        world.at[1].data.hung = false;
        assert_true(planes_until(&world, 40 * SECOND, whole));
        end();
    }
}

static void set_timeout(uint32_t by, int64_t ms)
{
    plane_set(&world, &world.at[by], "cluster-node-timeout", ms);
}

static bool timeout_is_settled(struct planes *w)
{
    struct plane *leader = planes_leader(w);
    return leader != NULL && map_timeout_is_settled(control_map(leader->control));
}

static bool victim_has_no_lease(struct planes *w)
{
    return !plane_has_lease(w, &w->at[victim]);
}

static void cut_off(uint32_t who, bool cut)
{
    for (uint32_t i = 0; i < world.n; i++) {
        if (i == who)
            continue;
        planes_cut(&world, who, i, cut);
        planes_cut(&world, i, who, cut);
    }
}

/* A cut and a SET of T at one moment: who is cut off does not hear of it. */
static void whose_lease_is_longer_is_waited_for(void **state)
{
    (void)state;
    planes_init(&world, 3);
    world.trace = getenv("TRACE") != NULL;
    for (int i = 0; i < 3; i++) {
        plane_add(&world, i == 0 ? -1 : 0)->config.settings.node_timeout_ms = 15000;
        plane_start(&world, &world.at[i]);
    }
    assert_true(planes_until(&world, 60 * SECOND, whole));
    planes_run(&world, 4 * SECOND);
    struct plane *leader = planes_leader(&world);
    victim = (leader->number + 1) % 3;
    cut_off(victim, true);
    set_timeout(leader->number, 1000);
    planes_run(&world, 3 * SECOND);
    const struct map *m = control_map(leader->control);
    assert_true(plane_has_lease(&world, &world.at[victim]));
    assert_int_not_equal(plane_health(&world, victim), MAP_DOWN);
    assert_int_equal(m->settings.node_timeout_ms, 1000);
    assert_int_equal(m->timeout.lease_ms, 1000);
    assert_int_equal(m->timeout.wait_ms, 15000);
    assert_true(planes_until(&world, 60 * SECOND, victim_is_down));
    assert_true(victim_has_no_lease(&world));
    assert_true(planes_until(&world, 2 * SECOND, timeout_is_settled));
    cut_off(victim, false);
    assert_true(planes_until(&world, 60 * SECOND, whole));
    end();
}

static bool leader_has_8000(struct planes *w)
{
    struct plane *leader = planes_leader(w);
    return leader != NULL && control_map(leader->control)->settings.node_timeout_ms == 8000;
}

/* Nobody is away: it takes one round of heartbeats. A greater one is settled as well, before leases are as long. */
static void a_timeout_is_settled_when_all_have_told_that_they_have_it(void **state)
{
    (void)state;
    begin(3, 3);
    assert_true(planes_until(&world, 10 * SECOND, whole));
    struct plane *leader = planes_leader(&world);
    const struct map *m = control_map(leader->control);
    set_timeout(0, 8000);
    assert_true(planes_until(&world, SECOND, leader_has_8000));
    assert_false(map_timeout_is_settled(m));
    assert_int_equal(m->timeout.lease_ms, 1000);
    assert_true(planes_until(&world, 2 * SECOND, timeout_is_settled));
    assert_int_equal(m->timeout.lease_ms, 8000);
    planes_run(&world, 8 * SECOND);
    assert_true(whole(&world));
    end();
}

/* A proxy at a node, outside of the simulated network: what it is answered. */
static void follower_says(struct plane *p, enum control_event_type type, struct chain *says, struct buf *answer)
{
    enum { CONN = 999999 };
    size_t n;
    char *flat = chain_flat(says, NULL, &n);
    struct control_event ev = {.type = type, .now = plane_clock(p), .pulse = {.progress = ++p->progress}};
    if (type == CONTROL_GUEST) {
        ev.guest.conn = CONN;
        ev.guest.peer = SLICE("10.0.0.9:1");
    } else {
        ev.bytes.conn = CONN;
        ev.bytes.in = slice_of(flat, n);
    }
    control_step(p->control, &ev, &p->out);
    buf_clear(answer);
    for (size_t i = 0; i < p->out.send.n; i++) {
        struct control_send *s = &p->out.send.at[i];
        size_t bytes;
        char *said = chain_flat(&s->bytes, NULL, &bytes);
        if (s->conn == CONN)
            assert_int_equal(buf_add(answer, slice_of(said, bytes)), ERR_OK);
        mem_free(said);
    }
    for (size_t i = 0; i < p->out.words.n; i++)
        word_free(&p->out.words.at[i]);
    p->out.send.n = p->out.words.n = 0;
    assert_int_equal(p->out.disk.n, 0);
    mem_free(flat);
}

static void follower_begins(struct plane *p, struct buf *answer)
{
    static const uint8_t nonce[HELLO_NONCE_BYTES] = {3};
    struct hello_self self = {.secret = p->config.secret};
    struct hello h = {0};
    struct chain says = {0};
    enum hello_verdict v = HELLO_MORE;
    follower_says(p, CONTROL_GUEST, &says, answer);
    hello_dial(&h, &self, HELLO_FOLLOW, NULL, nonce, &says);
    for (unsigned i = 0; i < 4 && v == HELLO_MORE; i++) {
        size_t used;
        follower_says(p, CONTROL_GUEST_BYTES, &says, answer);
        says = (struct chain){0};
        v = hello_step(&h, &self, buf_slice(answer), &used, &says);
    }
    assert_int_equal(v, HELLO_ACCEPTED);
    follower_says(p, CONTROL_GUEST_BYTES, &says, answer);
    hello_free(&h);
}

static bool follower_is_heard(struct plane *p, struct buf *answer)
{
    struct chain says = {0};
    put_fetch(&says, &(struct wire_fetch){1});
    follower_says(p, CONTROL_GUEST_BYTES, &says, answer);
    return answer->n > 0;
}

static void who_leaves_its_cluster_is_followed_no_more(void **state)
{
    (void)state;
    struct buf answer;
    buf_init(&answer, 1 << 24);
    planes_init(&world, 5);
    for (int i = 0; i < 2; i++)
        plane_start(&world, plane_add(&world, -1));
    planes_run(&world, SECOND);
    for (int i = 0; i < 2; i++) {
        follower_begins(&world.at[i], &answer);
        assert_true(follower_is_heard(&world.at[i], &answer));
    }
    struct word ask = {.type = WORD_ASK, .ask = {.token = 1, .what = ASK_MEET, .text = "10.0.0.1", .cluster_port = 7001}};
    plane_ask(&world, &world.at[0], ask);
    assert_true(planes_until(&world, 20 * SECOND, whole));
    unsigned heard = 0;
    for (int i = 0; i < 2; i++)
        heard += follower_is_heard(&world.at[i], &answer);
    assert_int_equal(heard, 1); /* whose cluster it is still */
    buf_free(&answer);
    end();
}

static bool two_are_left(struct planes *w)
{
    struct plane *leader = planes_leader(w);
    return leader != NULL && map_members_n(control_map(leader->control)) == 2;
}

static void who_is_forgotten_is_drained_and_gone(void **state)
{
    (void)state;
    begin(7, 3);
    assert_true(planes_until(&world, 10 * SECOND, whole));
    struct word ask = {.type = WORD_ASK, .ask = {.what = ASK_FORGET, .id = *control_id(world.at[2].control)}};
    plane_ask(&world, &world.at[1], ask);
    assert_true(planes_until(&world, 20 * SECOND, two_are_left));
    planes_run(&world, 2 * SECOND);
    assert_string_equal(world.at[1].answers.at[0].answer.error, "");
    assert_int_equal(plane_slots(&world.at[0]) + plane_slots(&world.at[1]), SLOTS);
    assert_non_null(strstr(world.at[2].view.why_not, "removed"));
    end();
}

/* A JOIN that was asked again meets its FORGET. */
static void who_is_forgotten_while_it_asks_to_join_is_a_member(void **state)
{
    (void)state;
    begin(7, 3);
    assert_true(planes_until(&world, 10 * SECOND, whole));
    const struct map *m = control_map(world.at[1].control);
    const struct map_node *was = &m->nodes.at[map_find(m, control_id(world.at[2].control))];
    struct map_entry e = {.type = MAP_JOIN,
                          .member = {.id = was->id, .data = was->data, .voter = was->voter, .incarnation = was->incarnation,
                                     .at = was->at, .weight = was->weight}};
    struct word ask = {.type = WORD_ASK, .ask = {.what = ASK_FORGET, .id = was->id}};
    plane_ask(&world, &world.at[1], ask);
    assert_true(planes_until(&world, 20 * SECOND, two_are_left));
    planes_run(&world, SECOND);
    assert_non_null(strstr(world.at[2].view.why_not, "removed"));
    plane_ask(&world, planes_leader(&world), (struct word){.type = WORD_PROPOSE, .entry = {.entry = map_entry_copy(&e)}});
    planes_run(&world, 5 * SECOND);
    assert_int_equal(map_members_n(control_map(world.at[2].control)), 3);
    assert_true(plane_has_lease(&world, &world.at[2]));
    assert_int_not_equal(plane_slots(&world.at[2]), 0);
    end();
}

static void a_dead_one_is_forgotten_and_its_slots_begin_anew(void **state)
{
    (void)state;
    begin(8, 4);
    assert_true(planes_until(&world, 10 * SECOND, whole));
    struct word ask = {.type = WORD_ASK, .ask = {.what = ASK_FORGET, .id = *control_id(world.at[3].control)}};
    plane_kill(&world, &world.at[3], false);
    planes_run(&world, 3 * SECOND);
    plane_ask(&world, &world.at[1], ask);
    planes_run(&world, 10 * SECOND);
    assert_int_equal(plane_slots(&world.at[0]) + plane_slots(&world.at[1]) + plane_slots(&world.at[2]), SLOTS);
    world.awaited = "Most likely it was forgotten"; /* members call on it no more, and refuse it */
    plane_start(&world, &world.at[3]);
    planes_run(&world, 5 * SECOND);
    assert_int_equal(world.awaited_n, 1);
    planes_run(&world, 10 * SECOND);
    assert_int_equal(world.awaited_n, 1); /* once */
    end();
}

static bool whole_of_four(struct planes *w)
{
    return whole(w) && map_members_n(control_map(w->at[0].control)) == 4;
}

/* A new node is where the map has the old one still: it does not call itself there. */
static void who_lost_its_disk_joins_anew(void **state)
{
    (void)state;
    begin(11, 4);
    assert_true(planes_until(&world, 10 * SECOND, whole));
    struct plane *p = &world.at[2];
    struct word ask = {.type = WORD_ASK, .ask = {.what = ASK_FORGET, .id = *control_id(p->control)}};
    plane_kill(&world, p, false);
    sim_disk_free(&p->disk);
    sim_disk_init(&p->disk, 1, &world.calendar);
    world.awaited = "at both ends";
    plane_start(&world, p);
    planes_run(&world, 5 * SECOND);
    assert_int_equal(map_members_n(control_map(p->control)), 5);
    assert_int_equal(world.awaited_n, 0);
    world.awaited = "drained";
    plane_ask(&world, &world.at[1], ask);
    assert_true(planes_until(&world, 20 * SECOND, whole_of_four));
    assert_int_equal(world.awaited_n, 0); /* who is DOWN hands nothing over */
    end();
}

static bool has_stopped(struct planes *w)
{
    return w->at[victim].stopped;
}

/* The leader is stopped; others: how many of them run. Milliseconds until it may end. */
static int64_t stop_leader(uint64_t seed, unsigned others)
{
    begin(seed, 3);
    assert_true(planes_until(&world, 10 * SECOND, whole));
    victim = planes_leader(&world)->number;
    for (unsigned i = 1; i <= 2 - others; i++)
        plane_kill(&world, &world.at[(victim + i) % 3], false);
    planes_run(&world, SECOND * 3 / 10); /* they are not heard any more, and it leads yet */
    assert_true(control_leads(world.at[victim].control));
    struct mono began = world.now;
    plane_stop(&world, &world.at[victim]);
    assert_true(planes_until(&world, 10 * SECOND, has_stopped));
    assert_true(others == 0 || !control_leads(world.at[victim].control));
    int64_t ms = (world.now.us - began.us) / 1000;
    end();
    return ms;
}

static void a_leader_that_is_stopped_hands_over(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SPARE(6); seed++)
        assert_true(stop_leader(seed, 2) < 100);
}

/* Everybody that runs tells of one that leads, and runs. */
static bool one_is_named(struct planes *w)
{
    const struct plane *leader = planes_leader(w);
    for (size_t i = 0; leader != NULL && i < w->n; i++)
        if (w->at[i].control != NULL && !node_id_equal(&w->at[i].view.leader, control_id(leader->control)))
            return false;
    return leader != NULL;
}

static void who_only_follows_learns_who_leads(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SPARE(3); seed++) {
        begin(seed, 7);
        assert_true(planes_until(&world, 20 * SECOND, whole));
        plane_kill(&world, planes_leader(&world), false);
        planes_run(&world, SECOND);
        assert_true(planes_until(&world, 10 * SECOND, one_is_named));
        end();
    }
}

static uint64_t awaited_index;

static bool the_leader_has_it(struct planes *w)
{
    const struct plane *leader = planes_leader(w);
    return leader != NULL && control_map(leader->control)->index >= awaited_index;
}

static bool all_have_it(struct planes *w)
{
    for (size_t i = 0; i < w->n; i++)
        if (control_map(w->at[i].control)->index < awaited_index)
            return false;
    return true;
}

/* Clients wait for it: of a slot that moves to such a node, or from it (26). */
static void who_only_follows_knows_at_once(void **state)
{
    (void)state;
    for (uint64_t seed = 11; seed < 11 + SPARE(3); seed++) {
        begin(seed, 7); /* two do not vote */
        assert_true(planes_until(&world, 20 * SECOND, whole));
        planes_run(&world, SECOND);
        for (uint32_t i = 0; i < 20; i++) {
            planes_run(&world, (int64_t)rng_below(&world.rng, SECOND / 10));
            awaited_index = control_map(planes_leader(&world)->control)->index + 1;
            plane_set(&world, planes_leader(&world), "cluster-scatter-width", 10 + i);
            assert_true(planes_until(&world, SECOND, the_leader_has_it));
            assert_true(planes_until(&world, SECOND / 100, all_have_it)); /* heartbeats are SECOND / 10 apart */
        }
        end();
    }
}

static void who_has_nobody_to_hand_over_to_stops_at_once(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SPARE(6); seed++)
        assert_int_equal(stop_leader(seed, 0), 0);
}

static bool is_said(struct planes *w)
{
    return w->awaited_n > 0;
}

/* A leader whose entries nobody can read decides nothing; nobody ends of it. */
static void what_cannot_be_read_is_not_taken(void **state)
{
    (void)state;
    begin(12, 4);
    assert_true(planes_until(&world, 10 * SECOND, whole));
    struct plane *leader = planes_leader(&world);
    victim = leader->number == 3 ? 2 : 3;
    world.word = "\r\nSUSPECTED\r\n";
    world.twisted = "\r\nSUSPICION\r\n";
    world.awaited = "said what cannot be: the map's SUSPICION";
    plane_kill(&world, &world.at[victim], false);
    planes_run(&world, 3 * SECOND);
    assert_int_not_equal(plane_health(&world, victim), MAP_DOWN);
    assert_true(is_said(&world));
    world.word = NULL;
    plane_start(&world, &world.at[victim]);
    assert_true(planes_until(&world, 20 * SECOND, whole));
    end();
}

static struct raft_peer peer_of(const struct plane *p)
{
    const struct map *m = control_map(p->control);
    const struct map_node *n = &m->nodes.at[map_find(m, control_id(p->control))];
    return (struct raft_peer){n->id, n->voter};
}

/* On the link that `from` has to `to`. */
static void say_snapshot(struct plane *from, struct plane *to, struct slice bytes)
{
    struct chain out = {0};
    struct raft_msg m = {.type = RAFT_MSG_SNAPSHOT, .from = peer_of(from), .to = peer_of(to), .term = 1000,
                         .snapshot = {.index = 1000, .term = 1000, .voters = {.n = 1, .at = {peer_of(from)}},
                                      .size = bytes.n, .crc = crc32c(0, bytes), .bytes = bytes}};
    size_t k = world.conns.n - 1;
    while (world.conns.at[k].a != from->number || world.conns.at[k].b != to->number || !world.conns.at[k].b_open)
        k--;
    put_raft(&out, &m);
    planes_send(&world, k, true, &out);
}

static void a_snapshot_that_cannot_be_read_is_not_taken(void **state)
{
    (void)state;
    begin(13, 3);
    assert_true(planes_until(&world, 10 * SECOND, whole));
    struct plane *leader = planes_leader(&world), *other = &world.at[(leader->number + 1) % 3];
    struct map m;
    map_init(&m);
    map_copy(&m, control_map(other->control));
    struct chain bytes = {0};
    size_t n;
    put_map(&bytes, &m);
    char *flat = chain_flat(&bytes, NULL, &n);
    world.awaited = "said what cannot be: a map of another index";
    say_snapshot(leader, other, slice_of(flat, n)); /* whole, but not as of entry 1000 */
    assert_true(planes_until(&world, SECOND, is_said));
    planes_run(&world, SECOND); /* they are connected again */
    world.awaited = "said what cannot be: the map's ";
    world.awaited_n = 0;
    say_snapshot(leader, other, SLICE("no map"));
    assert_true(planes_until(&world, SECOND, is_said));
    assert_true(planes_until(&world, 10 * SECOND, whole));
    mem_free(flat);
    map_free(&m);
    end();
}

/* Its checksums hold: another version wrote it, say. */
static void a_log_that_cannot_be_read_is_told_at_the_start(void **state)
{
    (void)state;
    char why[WIRE_WHY_BYTES] = "", voters[RAFT_VOTERS_BYTES];
    struct raft_voters v = {.n = 1, .at = {{.node.b = {1}}}};
    struct map_entry e = {.type = MAP_SET, .set = {.name = "replication-factor", .value = 1}};
    size_t n;
    char *flat = map_entry_flat(&e, &n);
    struct raft_entry entries[] = {{1, RAFT_ENTRY_NOOP, {0}},
                                   {1, RAFT_ENTRY_VOTERS, slice_of(voters, raft_voters_put(voters, &v))},
                                   {1, RAFT_ENTRY_OWNER, slice_of(flat, n)},
                                   {1, RAFT_ENTRY_OWNER, SLICE("*1\r\n$5\r\nMERGE\r\n")}};
    struct raft_saved saved = {.term = 1, .first = 1, .entries = entries, .n = 3};
    assert_int_equal(control_log_wrong(&saved, why), ERR_OK);
    saved.n = 4;
    assert_int_not_equal(control_log_wrong(&saved, why), ERR_OK);
    assert_string_equal(why, "the map's MERGE, field 1: not well-formed");
    saved.n = 3;
    saved.snapshot = (struct raft_snapshot){.index = 1, .term = 1, .voters = v, .bytes = SLICE("no map")};
    assert_int_not_equal(control_log_wrong(&saved, why), ERR_OK);
    mem_free(flat);
}

static void a_wrong_secret_is_refused(void **state)
{
    (void)state;
    begin(9, 1);
    struct plane *p = plane_add(&world, 0);
    p->config.secret = SLICE("another secret");
    plane_start(&world, p);
    planes_run(&world, 5 * SECOND);
    assert_int_equal(control_map(p->control)->index, 0);
    assert_non_null(strstr(p->view.why_not, "secret"));
    end();
}

static unsigned sickest; /* of the victim's healths on the way */

static bool victim_is_back(struct planes *w)
{
    struct plane *leader = planes_leader(w);
    if (leader == NULL)
        return false;
    unsigned now = plane_health(&world, victim);
    sickest = now > sickest ? now : sickest;
    const struct map *m = control_map(leader->control);
    const struct map_node *n = &m->nodes.at[map_find(m, control_id(w->at[victim].control))];
    return n->incarnation == control_incarnation(w->at[victim].control);
}

/* The worst health of a node that is killed and started again at once. */
static unsigned restart_one(uint64_t seed, bool homes, uint64_t then)
{
    begin_with(seed, 3, homes);
    assert_true(planes_until(&world, 10 * SECOND, whole));
    victim = (planes_leader(&world)->number + 1) % 3;
    plane_kill(&world, &world.at[victim], false);
    if (then != 0)
        world.at[victim].config.home = then;
    sickest = MAP_UP;
    plane_start(&world, &world.at[victim]);
    assert_true(planes_until(&world, 10 * SECOND, victim_is_back));
    assert_true(planes_until(&world, 20 * SECOND, whole));
    end();
    return sickest;
}

static void a_restart_at_home_waits_for_no_lease(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SPARE(6); seed++) {
        assert_int_equal(restart_one(seed, true, 0), MAP_UP);
        assert_int_equal(restart_one(seed, true, 4711), MAP_DOWN); /* elsewhere, or after a boot */
        assert_int_equal(restart_one(seed, false, 0), MAP_DOWN);   /* none is offered */
    }
}

static const struct map_node *victim_in_map(void)
{
    struct plane *leader = planes_leader(&world);
    assert_non_null(leader);
    const struct map *m = control_map(leader->control);
    return &m->nodes.at[map_find(m, control_id(world.at[victim].control))];
}

/* One is killed, started, and loads for so long; it is known in its new run. */
static void load_one(uint64_t seed, int64_t us, bool is_new)
{
    begin_with(seed, 3, true);
    assert_true(planes_until(&world, 10 * SECOND, whole));
    victim = (planes_leader(&world)->number + 1) % 3;
    plane_kill(&world, &world.at[victim], false);
    world.at[victim].loads_us = us;
    world.at[victim].is_new = is_new;
    plane_start(&world, &world.at[victim]);
    assert_true(planes_until(&world, 10 * SECOND, victim_is_back));
}

static unsigned second;

static bool second_is_down(struct planes *w)
{
    (void)w;
    return plane_health(&world, second) == MAP_DOWN;
}

/* Of three voters one loads and one dies: the two that are left decide that. */
static void who_loads_votes_and_serves_later(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SPARE(3); seed++) {
        load_one(seed, 60 * SECOND, false);
        planes_run(&world, 10 * SECOND);
        assert_int_equal(plane_health(&world, victim), MAP_UP);
        assert_true(plane_has_lease(&world, &world.at[victim]));
        assert_int_equal(plane_slots(&world.at[victim]), 0);
        second = (victim + 1) % 3;
        plane_kill(&world, &world.at[second], false);
        assert_true(planes_until(&world, 10 * SECOND, second_is_down));
        plane_start(&world, &world.at[second]);
        planes_run(&world, 10 * SECOND);
        assert_int_equal(plane_slots(&world.at[victim]), 0);
        assert_true(planes_until(&world, 60 * SECOND, whole));
        end();
    }
}

static void what_was_lost_is_known_before_it_reports(void **state)
{
    (void)state;
    load_one(3, 20 * SECOND, true);
    struct map_node before = *victim_in_map();
    planes_run(&world, 10 * SECOND);
    assert_memory_equal(&victim_in_map()->data, &before.data, sizeof(before.data));
    assert_int_equal(victim_in_map()->health, MAP_UP);
    assert_true(planes_until(&world, 30 * SECOND, whole));
    assert_memory_not_equal(&victim_in_map()->data, &before.data, sizeof(before.data));
    assert_memory_equal(&victim_in_map()->voter, &before.voter, sizeof(before.voter)); /* its log is whole */
    assert_int_equal(victim_in_map()->run_index, before.run_index);
    end();
}

static void who_is_in_no_cluster_founds_none_before_it_has_loaded(void **state)
{
    (void)state;
    planes_init(&world, 4);
    struct plane *p = plane_add(&world, -1);
    p->loads_us = 10 * SECOND;
    plane_start(&world, p);
    planes_run(&world, 9 * SECOND);
    assert_int_equal(control_map(p->control)->index, 0);
    assert_true(planes_until(&world, 5 * SECOND, whole));
    end();
}

static void a_copied_directory_serves_once(void **state)
{
    (void)state;
    begin_with(10, 3, true);
    assert_true(planes_until(&world, 10 * SECOND, whole));
    struct plane *copy = plane_add(&world, 0);
    copy->config.home = 100 + copy->number;
    sim_disk_free(&copy->disk);
    plane_copy_disk(&world, copy, &world.at[2]);
    plane_start(&world, copy);
    planes_run(&world, 10 * SECOND); /* check_leases looks all the while */
    assert_int_equal(plane_slots(&world.at[0]) + plane_slots(&world.at[1]) + plane_slots(copy), SLOTS);
    assert_false(plane_has_lease(&world, &world.at[2]));
    assert_non_null(strstr(world.at[2].view.why_not, "copied"));
    end();
}

/* -- Words for the leader, from who is not told who that is ---------------------------------------- */

static bool all_are_answered(struct planes *w)
{
    for (size_t i = 0; i < w->n; i++)
        if (w->at[i].control != NULL && w->at[i].answers.n == 0)
            return false;
    return true;
}

/* Each member asks for a change, and it is done. */
static void all_reach_the_leader(void)
{
    for (uint32_t i = 0; i < world.n; i++) {
        struct plane *p = &world.at[i];
        for (size_t k = 0; k < p->answers.n; k++)
            word_free(&p->answers.at[k]);
        vec_clear(&p->answers);
        if (p->control != NULL)
            plane_set(&world, p, "cluster-scatter-width", 10 + i);
    }
    assert_true(planes_until(&world, 15 * SECOND, all_are_answered));
    for (uint32_t i = 0; i < world.n; i++)
        if (world.at[i].control != NULL)
            assert_string_equal(world.at[i].answers.at[0].answer.error, "");
}

static bool somebody_leads(struct planes *w)
{
    return planes_leader(w) != NULL;
}

static void a_report_reaches_the_next_leader(void **state)
{
    (void)state;
    for (uint32_t i = 1; i < 4; i++) {
        begin(20, 4); /* one seed: the same one does not vote each time, and once it is that one's turn */
        assert_true(planes_until(&world, 10 * SECOND, whole));
        all_reach_the_leader(); /* so all know who leads, as long as it does */
        struct plane *former = planes_leader(&world);
        uint32_t apart = (former->number + i) % 4;
        plane_kill(&world, former, false);
        assert_true(planes_until(&world, 5 * SECOND, somebody_leads));
        plane_start(&world, former);
        assert_true(planes_until(&world, 20 * SECOND, whole));
        for (uint32_t k = 0; k < 4; k++)
            if (k != apart) {
                planes_cut(&world, apart, k, true);
                planes_cut(&world, k, apart, true);
            }
        planes_run(&world, 3 * SECOND); /* it is DOWN, and its slots have no primary */
        for (uint32_t k = 0; k < 4; k++)
            if (k != apart) {
                planes_cut(&world, apart, k, false);
                planes_cut(&world, k, apart, false);
            }
        assert_true(planes_until(&world, 20 * SECOND, whole));
        end();
    }
}

static bool three_vote(struct planes *w)
{
    for (size_t i = 0; i < w->n; i++)
        if (control_voters(w->at[i].control) != 3)
            return false;
    return true;
}

static void who_votes_no_more_finds_who_leads(void **state)
{
    (void)state;
    for (uint64_t seed = 30; seed < 30 + SPARE(3); seed++) {
        begin(seed, 5);
        assert_true(planes_until(&world, 10 * SECOND, whole));
        plane_set(&world, &world.at[0], "cluster-voters", 3);
        assert_true(planes_until(&world, 10 * SECOND, three_vote));
        struct plane *former = planes_leader(&world);
        plane_kill(&world, former, false);
        assert_true(planes_until(&world, 5 * SECOND, somebody_leads));
        plane_start(&world, former); /* it is there to be asked, and leads no more */
        assert_true(planes_until(&world, 20 * SECOND, planes_agree));
        all_reach_the_leader();
        end();
    }
}

static struct node_id gone_id;

static bool it_is_gone(struct planes *w)
{
    struct plane *leader = planes_leader(w);
    return leader != NULL && map_find(control_map(leader->control), &gone_id) == MAP_NOBODY;
}

static void a_leader_that_is_removed_is_asked_no_more(void **state)
{
    (void)state;
    for (uint64_t seed = 40; seed < 40 + SPARE(3); seed++) {
        begin(seed, 5);
        assert_true(planes_until(&world, 10 * SECOND, whole));
        all_reach_the_leader();
        struct plane *leader = planes_leader(&world);
        gone_id = *control_id(leader->control);
        plane_ask(&world, leader, (struct word){.type = WORD_ASK, .ask = {.what = ASK_FORGET, .id = gone_id}});
        assert_true(planes_until(&world, 30 * SECOND, it_is_gone));
        plane_kill(&world, leader, false);
        all_reach_the_leader();
        end();
    }
}

/* -- Voters that were named and never came about ----------------------------------------------------- */

static void cut_off_but_for(uint32_t one, uint32_t but_for, bool cut)
{
    for (uint32_t k = 0; k < world.n; k++)
        if (k != one && k != but_for) {
            planes_cut(&world, one, k, cut);
            planes_cut(&world, k, one, cut);
        }
}

/* A leader makes a fourth voter, tells nobody but that one of it, and is lost: the others never hear of
 * it, and that one follows them without a vote. */
static void a_voter_that_never_came_about_is_none(void **state)
{
    (void)state;
    for (uint64_t seed = 50; seed < 50 + SPARE(4); seed++) {
        begin(seed, 5);
        assert_true(planes_until(&world, 10 * SECOND, whole));
        plane_set(&world, &world.at[0], "cluster-voters", 3);
        assert_true(planes_until(&world, 10 * SECOND, three_vote));
        struct plane *former = planes_leader(&world);
        uint32_t named = 0;
        while (control_votes(world.at[named].control)) /* the first of those without a vote is the first to come */
            named++;
        world.awaited = "the controller is to have 4 voters";
        world.awaited_n = 0;
        plane_set(&world, former, "cluster-voters", 5);
        assert_true(planes_until(&world, 10 * SECOND, is_said));
        cut_off_but_for(former->number, named, true);
        planes_lose(&world, former->number);
        cut_off_but_for(named, former->number, true);
        planes_run(&world, SECOND / 5);
        plane_kill(&world, former, seed % 2 == 0);
        assert_true(planes_until(&world, 10 * SECOND, somebody_leads));
        plane_set(&world, planes_leader(&world), "cluster-voters", 3); /* so no other change of voters tells who they are */
        victim = named;
        assert_true(planes_until(&world, 10 * SECOND, victim_is_down));
        if (seed % 3 == 0) { /* what its disk has it has after a restart */
            plane_kill(&world, &world.at[named], false);
            plane_start(&world, &world.at[named]);
        }
        cut_off_but_for(named, former->number, false);
        planes_run(&world, 5 * SECOND);
        assert_true(plane_has_lease(&world, &world.at[named]));
        plane_kill(&world, &world.at[named], false);
        plane_start(&world, &world.at[named]);
        planes_run(&world, 5 * SECOND);
        assert_true(plane_has_lease(&world, &world.at[named]));
        cut_off_but_for(former->number, named, false);
        plane_start(&world, former);
        plane_set(&world, planes_leader(&world), "cluster-voters", 5);
        assert_true(planes_until(&world, 20 * SECOND, whole));
        end();
    }
}

/* Of seven two do not vote, and follow: a voter goes, or one of those. */
static void a_map_goes_whole_to_who_is_forgotten_alone(void **state)
{
    (void)state;
    for (unsigned votes = 0; votes < 2; votes++) {
        uint32_t who = 0;
        begin(45, 7);
        assert_true(planes_until(&world, 10 * SECOND, whole));
        struct plane *leader = planes_leader(&world);
        while (who == leader->number || control_votes(world.at[who].control) != (votes == 1))
            who++;
        gone_id = *control_id(world.at[who].control);
        world.awaited = "taken over whole";
        plane_ask(&world, leader, (struct word){.type = WORD_ASK, .ask = {.what = ASK_FORGET, .id = gone_id}});
        assert_true(planes_until(&world, 30 * SECOND, it_is_gone));
        planes_run(&world, 3 * SECOND);
        assert_non_null(strstr(world.at[who].view.why_not, "removed"));
        assert_int_equal(world.awaited_n, 1);
        uint64_t last = control_map(world.at[who].control)->index;
        plane_set(&world, planes_leader(&world), "write-quorum", 1);
        planes_run(&world, 5 * SECOND);
        assert_true(control_map(planes_leader(&world)->control)->index > last);
        assert_int_equal(control_map(world.at[who].control)->index, last);
        end();
    }
}

/* -- The majority of the voters is lost ----------------------------------------------------------------- */

static uint32_t voter[3]; /* of six: the others hold data only */

static void begin_with_three_voters(uint64_t seed)
{
    size_t n = 0;
    begin(seed, 6);
    assert_true(planes_until(&world, 10 * SECOND, whole));
    plane_set(&world, &world.at[0], "cluster-voters", 3);
    assert_true(planes_until(&world, 10 * SECOND, three_vote));
    for (uint32_t i = 0; i < 6; i++)
        if (control_votes(world.at[i].control))
            voter[n++] = i;
    assert_int_equal(n, 3);
}

/* Who runs has a lease, and the map of a group that was begun anew so often, in which there are three voters. */
static bool serves_in_group(struct planes *w, uint64_t group)
{
    if (planes_leader(w) == NULL)
        return false;
    for (size_t i = 0; i < w->n; i++) {
        const struct control *c = w->at[i].control;
        if (c != NULL && (!plane_has_lease(w, &w->at[i]) || recover_group(control_map(c)->index) != group ||
                          control_voters(c) != 3))
            return false;
    }
    return true;
}

static bool serves_anew(struct planes *w)
{
    return serves_in_group(w, 1);
}

static bool serves_anew_again(struct planes *w)
{
    return serves_in_group(w, 2);
}

static bool has_all_slots(struct planes *w)
{
    unsigned slots = 0;
    for (size_t i = 0; i < w->n; i++)
        slots += plane_slots(&w->at[i]);
    return slots == SLOTS && serves_anew(w);
}

static void lose_two_voters(void)
{
    plane_kill(&world, &world.at[voter[0]], true);
    plane_kill(&world, &world.at[voter[1]], true);
    planes_run(&world, 3 * SECOND);
    for (size_t i = 0; i < world.n; i++)
        assert_false(plane_has_lease(&world, &world.at[i]));
    plane_kill(&world, &world.at[voter[2]], true);
}

static void recover_third_voter(void)
{
    char why[WIRE_WHY_BYTES];
    lose_two_voters();
    assert_true(plane_recover(&world, &world.at[voter[2]], SIZE_MAX, why));
    assert_false(plane_recover(&world, &world.at[voter[2]], SIZE_MAX, why)); /* it is alone already */
    plane_start(&world, &world.at[voter[2]]);
}

static void one_voter_that_is_left_begins_anew(void **state)
{
    (void)state;
    for (uint64_t seed = 70; seed < 70 + SPARE(3); seed++) {
        begin_with_three_voters(seed);
        recover_third_voter();
        assert_true(planes_until(&world, 20 * SECOND, serves_anew));
        victim = voter[0];
        assert_true(planes_until(&world, 10 * SECOND, victim_is_down));
        end();
    }
}

/* Each attempt gets one operation further than the one before, on what that left. */
static void a_recovery_that_was_cut_short_is_done_again(void **state)
{
    (void)state;
    char why[WIRE_WHY_BYTES];
    for (uint64_t seed = 76; seed < 78; seed++) {
        begin_with_three_voters(seed);
        lose_two_voters();
        size_t most = 0;
        while (!plane_recover(&world, &world.at[voter[2]], most, why))
            assert_true(++most < 40);
        plane_start(&world, &world.at[voter[2]]);
        assert_true(planes_until(&world, 20 * SECOND, serves_anew));
        end();
    }
}

/* They are a majority of the former group, and could go on in it. */
static void who_was_lost_comes_back_to_the_new_group(void **state)
{
    (void)state;
    for (uint64_t seed = 80; seed < 80 + SPARE(3); seed++) {
        begin_with_three_voters(seed);
        recover_third_voter();
        assert_true(planes_until(&world, 20 * SECOND, serves_anew));
        plane_start(&world, &world.at[voter[0]]);
        plane_start(&world, &world.at[voter[1]]);
        assert_true(planes_until(&world, 30 * SECOND, has_all_slots));
        end();
    }
}

static void a_group_is_begun_anew_twice(void **state)
{
    (void)state;
    char why[WIRE_WHY_BYTES];
    begin_with_three_voters(90);
    recover_third_voter();
    assert_true(planes_until(&world, 20 * SECOND, serves_anew));
    unsigned last = 6;
    for (unsigned i = 0; i < 6; i++)
        if (world.at[i].control != NULL && control_votes(world.at[i].control)) {
            last = i;
            plane_kill(&world, &world.at[i], true);
        }
    assert_true(plane_recover(&world, &world.at[last], SIZE_MAX, why));
    plane_start(&world, &world.at[last]);
    planes_run(&world, 2 * SECOND);
    assert_int_equal(recover_group(control_map(world.at[last].control)->index), 2);
    for (unsigned i = 0; i < 6; i++) /* of three groups */
        if (world.at[i].control == NULL)
            plane_start(&world, &world.at[i]);
    assert_true(planes_until(&world, 30 * SECOND, serves_anew_again));
    end();
}

static void who_did_not_vote_cannot_begin_anew(void **state)
{
    (void)state;
    char why[WIRE_WHY_BYTES] = "";
    begin(91, 6);
    assert_true(planes_until(&world, 10 * SECOND, whole)); /* of six five vote */
    for (uint32_t i = 0; i < 6; i++) {
        bool votes = control_votes(world.at[i].control);
        plane_kill(&world, &world.at[i], false);
        if (votes)
            continue;
        assert_false(plane_recover(&world, &world.at[i], SIZE_MAX, why));
        assert_non_null(strstr(why, "did not vote"));
    }
    end();
}

UNIT_TESTS("control", TEST(a_cluster_forms_by_itself, "one to seven form a cluster: leases, voters, shares"),
           TEST(who_dies_is_down_within_the_timeout, "who dies is DOWN within T + 200 ms, and serves again after its restart (replication 16, 17, 22)"),
           TEST(a_leader_that_dies_is_down_as_soon, "a leader that dies is DOWN as soon, but for a split vote (replication 17)"),
           TEST(who_is_cut_off_has_no_lease_when_it_is_down, "who is cut off has no lease when it is DOWN (replication 15, 17)"),
           TEST(a_minority_serves_nothing_and_says_why, "a minority has no lease and says why"),
           TEST(a_power_cut_of_all_is_survived, "a power cut of all is survived (C1, C3)"),
           TEST(whose_lease_is_longer_is_waited_for, "a lower cluster-node-timeout is waited for until every lease is as short (replication 15 to 17)"),
           TEST(a_timeout_is_settled_when_all_have_told_that_they_have_it, "a cluster-node-timeout is settled when all have told that they have applied it"),
           TEST(a_hung_data_plane_costs_the_lease_after_the_timeout, "a data plane that hangs for T costs the lease, one that hangs shorter does not (replication 15)"),
           TEST(a_restart_at_home_waits_for_no_lease, "a restart that proves its former run's end waits for no lease (replication 19)"),
           TEST(who_loads_votes_and_serves_later, "who loads votes and keeps its lease, and serves once it has loaded (replication 15, 20)"),
           TEST(what_was_lost_is_known_before_it_reports, "who lost data is known as another copy before it reports, and votes on (replication 18, 22)"),
           TEST(who_is_in_no_cluster_founds_none_before_it_has_loaded, "who is in no cluster founds none before it has loaded"),
           TEST(who_leaves_its_cluster_is_followed_no_more, "a proxy at a node that leaves its cluster for another is disconnected"),
           TEST(who_is_forgotten_is_drained_and_gone, "who is forgotten is drained, then gone, and knows it"),
           TEST(a_dead_one_is_forgotten_and_its_slots_begin_anew, "a dead one is forgotten: its slots begin anew (replication 22); when it comes back it says what happened"),
           TEST(a_copied_directory_serves_once, "of a node and its copy one serves, and the other says why (replication 19)"),
           TEST(who_lost_its_disk_joins_anew, "who lost its disk joins anew; the node it was is forgotten (replication 18)"),
           TEST(a_leader_that_is_stopped_hands_over, "a leader that is stopped hands over first"),
           TEST(who_only_follows_learns_who_leads, "who only follows the log learns who leads"),
           TEST(who_only_follows_knows_at_once, "who only follows the log knows what is committed at once (C14)"),
           TEST(who_has_nobody_to_hand_over_to_stops_at_once, "a leader that is stopped with nobody to hand over to waits for nothing"),
           TEST(what_cannot_be_read_is_not_taken, "an entry that cannot be read is not taken, and ends nobody (C10)"),
           TEST(a_log_that_cannot_be_read_is_told_at_the_start, "a log that cannot be read is told before the start (C10)"),
           TEST(a_snapshot_that_cannot_be_read_is_not_taken, "a snapshot that cannot be read is not taken, and ends nobody (C10)"),
           TEST(a_report_reaches_the_next_leader, "a report reaches who leads now, whoever led when its node last asked (replication 20)"),
           TEST(who_votes_no_more_finds_who_leads, "who votes no more finds who leads"),
           TEST(a_voter_that_never_came_about_is_none,
                "a voter that a lost leader told of it, and nobody else, follows the others and has its lease (C13)"),
           TEST(a_map_goes_whole_to_who_is_forgotten_alone, "who is forgotten is told so by the whole map, which nobody else needs, and of nothing later (C14)"),
           TEST(who_is_forgotten_while_it_asks_to_join_is_a_member,
                "who is forgotten while it asks to join, and asks on, is a member"),
           TEST(a_leader_that_is_removed_is_asked_no_more, "a leader that was removed is asked no more"),
           TEST(a_recovery_that_was_cut_short_is_done_again, "a recovery that was cut short at any operation of the disk is done again (replication 18)"),
           TEST(one_voter_that_is_left_begins_anew, "of a majority lost for ever one voter that is left begins anew, and all follow (replication 18)"),
           TEST(who_was_lost_comes_back_to_the_new_group, "a lost majority that comes back goes on in the new group, not in its own (C11)"),
           TEST(a_group_is_begun_anew_twice, "a group is begun anew twice, and who knows of the first only follows (C11)"),
           TEST(who_did_not_vote_cannot_begin_anew, "who did not vote begins nothing anew, and is told why"),
           TEST(a_wrong_secret_is_refused, "a wrong secret is refused, and the refused one says why"))

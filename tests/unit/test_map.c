/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/map/map_entry.h"

#include "core/map/plane_word.h"
#include "tests/lib/random_map.h"
#include "tests/lib/unit.h"

/* -- What a test needs to say: node 1 founded the cluster; others join by their number. ------------ */

static const char *apply(struct map *m, const struct map_entry *e)
{
    struct map_applied done = map_apply(m, m->index + 1, e);
    assert_int_equal(done.is_void, done.why_void != NULL);
    assert_false(done.is_void && (done.nodes || done.slots || done.settings));
    return done.why_void;
}

static const char *applied(struct map *m, struct map_entry e)
{
    return apply(m, &e);
}

#define is_void(m, why, ...) assert_string_equal(applied(m, (struct map_entry){__VA_ARGS__}), why)
#define takes(m, ...) assert_null(applied(m, (struct map_entry){__VA_ARGS__}))

static struct map founded(unsigned nodes)
{
    struct map m;
    map_init(&m);
    struct map_entry e = founding();
    assert_null(apply(&m, &e));
    for (unsigned i = 2; i <= nodes; i++)
        takes(&m, .type = MAP_JOIN, .member = member_of(i, 1));
    return m;
}

static void end(struct map *m)
{
    assert_null(map_wrong(m));
    map_free(m);
}

static void down(struct map *m, unsigned node, uint32_t incarnation)
{
    takes(m, .type = MAP_SUSPECTED, .about = id_of(node), .incarnation = incarnation);
    takes(m, .type = MAP_DOWNED, .base = m->index, .about = id_of(node), .incarnation = incarnation);
}

static const char *runs(struct map *m, enum map_entry_type type, uint64_t base, bool give_up, struct map_run run)
{
    return applied(m, (struct map_entry){.type = type, .base = base, .runs = {&run, 1, give_up}});
}

static struct map_entry in_sync(const struct map *m, unsigned proposer, uint64_t n, const struct map_isr_run *run)
{
    struct node_id id = id_of(proposer);
    struct map_entry e = {.type = MAP_ISR, .base = m->index, .about = id};
    e.incarnation = m->nodes.at[map_find(m, &id)].incarnation;
    e.isr.n = n;
    e.isr.run = run;
    e.isr.run_n = run != NULL;
    return e;
}

/* Slots 0..9 are wished and in sync at nodes 1, 2 and 3, node 1, in its second run, the primary; it has made one
 * proposal. Everything else is node 1's alone. Node 4 holds nothing. */
static struct map with_copies(void)
{
    struct map m = founded(4);
    takes(&m, .type = MAP_RESTARTED, .member = member_of(1, 2));
    assert_null(runs(&m, MAP_ELECT, m.index, false, (struct map_run){0, SLOTS - 1, 1, {0}}));
    assert_null(runs(&m, MAP_PLACE, m.index, false, (struct map_run){0, 9, 3, {0, 1, 2}}));
    struct map_isr_run run = {0, 9, 3, {0, 1, 2}, {2, 1, 1}};
    struct map_entry e = in_sync(&m, 1, 1, &run);
    assert_null(apply(&m, &e));
    return m;
}

static struct map_entry handover(const struct map *m, unsigned from, uint32_t incarnation, uint64_t n, unsigned to)
{
    struct map_entry e = {.type = MAP_HANDOVER, .base = m->index, .about = id_of(from), .incarnation = incarnation};
    e.handover.n = n;
    e.handover.to = id_of(to);
    e.handover.to_incarnation = 1;
    bits_add(&e.handover.slots, 3);
    bits_add(&e.handover.slots, 5);
    return e;
}

/* -- Nodes --------------------------------------------------------------------------------------- */

static void the_first_has_every_slot(void **state)
{
    (void)state;
    struct map m;
    map_init(&m);
    is_void(&m, "there is no cluster to join", .type = MAP_JOIN, .member = member_of(2, 1));
    is_void(&m, "there is no cluster", .type = MAP_SET, .set = {"cluster-scatter-width", 4});
    struct map_entry e = founding();
    e.found.first.weight = 0;
    assert_string_equal(apply(&m, &e), "the first node must be able to hold data");
    e = founding();
    e.found.settings.voters = 2;
    assert_string_equal(apply(&m, &e), "a setting is out of its range");
    e = founding();
    assert_null(apply(&m, &e));
    for (unsigned i = 0; i < SLOTS; i++) {
        assert_int_equal(m.slots[i].epoch, 1);
        assert_true(map_is_primary(&m, i, 0, 1));
        assert_false(map_is_primary(&m, i, 0, 2));
    }
    assert_int_equal(m.slots_ver, m.index);
    assert_string_equal(apply(&m, &e), "there is a cluster already");
    end(&m);
}

static void who_joins_is_a_member(void **state)
{
    (void)state;
    struct map m = founded(3);
    assert_int_equal(map_members_n(&m), 3);
    struct node_id third = id_of(3), nobody = id_of(9);
    assert_int_equal(map_find(&m, &third), 2);
    assert_int_equal(map_find(&m, &nobody), MAP_NOBODY);
    is_void(&m, "a member has this id", .type = MAP_JOIN, .member = member_of(3, 5));
    is_void(&m, "a member's incarnation is 1 or more", .type = MAP_JOIN, .member = member_of(4, 0));
    struct map_member heavy = member_of(4, 1), endless = member_of(4, 1);
    heavy.weight = MAP_WEIGHT + 1;
    is_void(&m, "a member's weight is too great", .type = MAP_JOIN, .member = heavy);
    memset(endless.zone, 'z', ZONE_BYTES);
    is_void(&m, "a member's address or zone has no end", .type = MAP_JOIN, .member = endless);
    for (unsigned i = 4; i <= MAP_NODES; i++)
        takes(&m, .type = MAP_JOIN, .member = member_of(i, 1));
    is_void(&m, "the cluster has as many nodes as it may", .type = MAP_JOIN, .member = member_of(2000, 1));
    end(&m);
}

static struct node_id alike(unsigned n)
{
    return (struct node_id){{7, 8, (uint8_t)n}};
}

/* Ids that look for one another's places; places that are used again. */
static void who_is_a_member_is_found(void **state)
{
    (void)state;
    enum { ALIKE = 40 };
    struct map m = founded(20);
    uint16_t place[ALIKE];
    for (unsigned turn = 0; turn < 3; turn++) {
        for (unsigned i = 0; i < ALIKE; i++) {
            struct map_member who = member_of(100, 1);
            who.id = alike(i);
            if (map_find(&m, &who.id) == MAP_NOBODY)
                takes(&m, .type = MAP_JOIN, .member = who);
        }
        for (unsigned i = 0; i < ALIKE; i++) {
            struct node_id id = alike(i);
            place[i] = map_find(&m, &id);
            assert_true(place[i] != MAP_NOBODY && node_id_equal(&m.nodes.at[place[i]].id, &id));
        }
        for (unsigned i = turn; i < ALIKE; i += 3) {
            struct node_id id = alike(i);
            takes(&m, .type = MAP_LEAVE, .about = id);
            takes(&m, .type = MAP_REMOVE, .about = id);
            assert_int_equal(map_find(&m, &id), MAP_NOBODY);
        }
        struct map copy;
        map_init(&copy);
        map_copy(&copy, &m);
        for (unsigned i = 0; i < ALIKE; i++) {
            struct node_id id = alike(i);
            assert_int_equal(map_find(&copy, &id), i % 3 == turn ? MAP_NOBODY : place[i]);
        }
        map_free(&copy);
    }
    end(&m);
}

static void an_announcement_is_of_the_known_run(void **state)
{
    (void)state;
    struct map m = founded(2);
    struct map_member moved = member_of(2, 1);
    is_void(&m, "nothing in it is new", .type = MAP_ANNOUNCE, .member = moved);
    moved.weight = 3;
    memcpy(moved.zone, "b", 2);
    takes(&m, .type = MAP_ANNOUNCE, .member = moved);
    assert_int_equal(m.nodes.at[1].weight, 3);
    assert_string_equal(m.nodes.at[1].zone, "b");
    assert_int_equal(m.nodes_ver, m.index);
    moved.incarnation = 2;
    is_void(&m, "the node is known in another incarnation", .type = MAP_ANNOUNCE, .member = moved);
    moved.incarnation = 1;
    moved.data.b[3] = 1; /* what it holds is known once it has loaded (replication 22) */
    takes(&m, .type = MAP_ANNOUNCE, .member = moved);
    assert_memory_equal(&m.nodes.at[1].data, &moved.data, sizeof(moved.data));
    moved.voter.b[3] = 1; /* what it voted, as it begins (18) */
    is_void(&m, "a node is another voter only after a restart", .type = MAP_ANNOUNCE, .member = moved);
    is_void(&m, "no member has this id", .type = MAP_ANNOUNCE, .member = member_of(3, 1));
    end(&m);
}

static void down_takes_the_slots(void **state)
{
    (void)state;
    struct map m = founded(2);
    struct node_id one = id_of(1);
    is_void(&m, "the node is not SUSPECT since then", .type = MAP_DOWNED, .base = m.index, .about = one, .incarnation = 1);
    is_void(&m, "the node is neither SUSPECT nor DOWN", .type = MAP_CLEARED, .about = one, .incarnation = 1);
    is_void(&m, "the node is known in another incarnation", .type = MAP_SUSPECTED, .about = one, .incarnation = 2);
    is_void(&m, "no member has this id", .type = MAP_SUSPECTED, .about = id_of(9), .incarnation = 1);
    takes(&m, .type = MAP_SUSPECTED, .about = one, .incarnation = 1);
    uint64_t first_suspect = m.index;
    is_void(&m, "the node is SUSPECT or DOWN already", .type = MAP_SUSPECTED, .about = one, .incarnation = 1);
    assert_true(map_is_primary(&m, 8, 0, 1)); /* until it is DOWN */
    takes(&m, .type = MAP_CLEARED, .about = one, .incarnation = 1);
    takes(&m, .type = MAP_SUSPECTED, .about = one, .incarnation = 1);
    is_void(&m, "the node is not SUSPECT since then", .type = MAP_DOWNED, .base = first_suspect, .about = one,
            .incarnation = 1);
    is_void(&m, "the node is known in another incarnation", .type = MAP_DOWNED, .base = m.index, .about = one,
            .incarnation = 2);
    takes(&m, .type = MAP_DOWNED, .base = m.index, .about = one, .incarnation = 1);
    assert_int_equal(m.nodes.at[0].health_index, m.index);
    for (unsigned i = 0; i < SLOTS; i++) {
        assert_int_equal(m.slots[i].primary, MAP_NOBODY);
        assert_int_equal(map_last(&m.slots[i]), 0); /* where clients are told it was */
        assert_int_equal(m.slots[i].epoch, 1);
        assert_int_equal(m.slots[i].ver, m.index);
    }
    takes(&m, .type = MAP_CLEARED, .about = one, .incarnation = 1);
    assert_int_equal(m.slots[0].primary, MAP_NOBODY); /* eligible, and no more */
    end(&m);
}

static void a_restart_fails_the_old_run(void **state)
{
    (void)state;
    struct map m = founded(2);
    struct map_member again = member_of(1, 3);
    again.data.b[5] = 9;
    again.voter.b[6] = 9;
    again.at.port = 7777;
    is_void(&m, "the incarnation is not greater than the known one", .type = MAP_RESTARTED, .member = member_of(1, 1));
    is_void(&m, "no member has this id", .type = MAP_RESTARTED, .member = member_of(8, 2));
    takes(&m, .type = MAP_SUSPECTED, .about = id_of(1), .incarnation = 1);
    takes(&m, .type = MAP_RESTARTED, .member = again);
    const struct map_node *n = &m.nodes.at[0];
    assert_int_equal(n->health, MAP_UP);
    assert_int_equal(n->health_index, m.index);
    assert_int_equal(n->incarnation, 3);
    assert_int_equal(n->at.port, 7777);
    assert_memory_equal(&n->data, &again.data, sizeof(again.data));
    assert_memory_equal(&n->voter, &again.voter, sizeof(again.voter));
    assert_int_equal(m.slots[100].primary, MAP_NOBODY);
    assert_int_equal(m.slots[100].isr_incarnation[0], 1); /* it was in sync in the run that is over */
    is_void(&m, "the node is known in another incarnation", .type = MAP_SUSPECTED, .about = id_of(1), .incarnation = 1);
    assert_null(runs(&m, MAP_ELECT, m.index, false, (struct map_run){0, SLOTS - 1, 1, {0}}));
    assert_true(map_is_primary(&m, 100, 0, 3));
    assert_int_equal(m.slots[100].epoch, 2);
    end(&m);
}

static void who_left_is_removed_when_nothing_names_it(void **state)
{
    (void)state;
    struct map m = founded(2);
    struct map_member arbiter = member_of(3, 1);
    arbiter.weight = 0;
    takes(&m, .type = MAP_JOIN, .member = arbiter);
    is_void(&m, "the node is not leaving", .type = MAP_REMOVE, .about = id_of(3));
    takes(&m, .type = MAP_LEAVE, .about = id_of(3));
    is_void(&m, "the node is leaving already", .type = MAP_LEAVE, .about = id_of(3));
    takes(&m, .type = MAP_REMOVE, .about = id_of(3));
    is_void(&m, "no member has this id", .type = MAP_REMOVE, .about = id_of(3));
    takes(&m, .type = MAP_LEAVE, .about = id_of(1));
    is_void(&m, "no other node could hold its data", .type = MAP_LEAVE, .about = id_of(2));
    is_void(&m, "the node has copies of slots", .type = MAP_REMOVE, .about = id_of(1));
    for (unsigned i = 0; i < SLOTS; i++) { /* as if all had moved; the wish has not */
        m.slots[i].primary = m.slots[i].isr[0] = 1;
        m.slots[i].isr_incarnation[0] = 1;
        map_replicas_follow(&m.slots[i]);
    }
    is_void(&m, "the node is wished to have copies of slots", .type = MAP_REMOVE, .about = id_of(1));
    assert_null(runs(&m, MAP_PLACE, m.index, false, (struct map_run){0, SLOTS - 1, 1, {1}}));
    takes(&m, .type = MAP_REMOVE, .about = id_of(1));
    assert_int_equal(map_members_n(&m), 1);
    takes(&m, .type = MAP_JOIN, .member = member_of(4, 1));
    struct node_id fourth = id_of(4);
    assert_int_equal(map_find(&m, &fourth), 0); /* the hole is used again */
    end(&m);
}

static void settings_have_ranges(void **state)
{
    (void)state;
    struct map m = founded(1);
    is_void(&m, "there is no such setting", .type = MAP_SET, .set = {"maxmemory", 1});
    is_void(&m, "the value is out of the setting's range", .type = MAP_SET, .set = {"cluster-node-timeout", 99});
    is_void(&m, "the value is out of the setting's range", .type = MAP_SET, .set = {"cluster-voters", 4});
    is_void(&m, "the value is out of the setting's range", .type = MAP_SET, .set = {"cluster-scatter-width", -1});
    takes(&m, .type = MAP_SET, .set = {"cluster-node-timeout", 1000}); /* as it is: so be it */
    takes(&m, .type = MAP_SET, .set = {"Cluster-Node-Timeout", 100});
    assert_int_equal(m.settings.node_timeout_ms, 100);
    takes(&m, .type = MAP_SET, .set = {"write-quorum", MAP_W_MAJORITY});
    struct map_entry e = {.type = MAP_SET};
    memset(e.set.name, 'x', sizeof(e.set.name));
    assert_string_equal(apply(&m, &e), "the setting's name has no end");
    end(&m);
}

static void a_timeout_is_in_use_until_it_is_settled(void **state)
{
    (void)state;
    struct map m = founded(1); /* at 1000 ms */
    uint64_t before = m.index;
    is_void(&m, "cluster-node-timeout is settled already", .type = MAP_TIMEOUT_SETTLED, .base = m.index);
    takes(&m, .type = MAP_SET, .set = {"cluster-node-timeout", 300});
    assert_int_equal(map_lease_us(&m), 300000);
    assert_int_equal(map_wait_us(&m), 1000000);
    uint64_t base = m.index;
    takes(&m, .type = MAP_SET, .set = {"cluster-node-timeout", 5000}); /* all three are in use, perhaps */
    assert_int_equal(map_lease_us(&m), 300000);
    assert_int_equal(map_wait_us(&m), 5000000);
    is_void(&m, "cluster-node-timeout was set since", .type = MAP_TIMEOUT_SETTLED, .base = base);
    is_void(&m, "cluster-node-timeout was set since", .type = MAP_TIMEOUT_SETTLED, .base = before);
    takes(&m, .type = MAP_SET, .set = {"cluster-scatter-width", 4}); /* of another one it does not matter */
    takes(&m, .type = MAP_TIMEOUT_SETTLED, .base = m.index - 2);
    assert_int_equal(map_lease_us(&m), 5000000);
    assert_int_equal(map_wait_us(&m), 5000000);
    end(&m);
}

static const char *settled(struct map *m, uint64_t base, unsigned node, uint32_t incarnation, unsigned from, unsigned to)
{
    struct map_entry e = {.type = MAP_SETTLED, .base = base, .about = id_of(node), .incarnation = incarnation};
    for (unsigned i = from; i <= to; i++)
        bits_add(&e.settled, i);
    return apply(m, &e);
}

/* Node 1, in its second run, is the primary of all; slots 0..9 have three copies. */
static void a_quorum_is_settled_slot_by_slot(void **state)
{
    (void)state;
    struct map m = with_copies();
    uint64_t ver = m.slots[5].ver, before = m.index;
    assert_string_equal(settled(&m, m.index, 1, 2, 0, 9), "the slot is settled already");
    takes(&m, .type = MAP_SET, .set = {"write-quorum", 2});
    assert_int_equal(m.slots[5].formers, 1u << MAP_W_ALL);
    assert_int_equal(m.slots[5].ver, ver); /* it voids nobody's proposal */
    assert_int_equal(map_unsettled_n(&m), SLOTS);
    assert_int_equal(map_w_strict(&m, &m.slots[5], 3), 3);
    assert_int_equal(map_w_weak(&m, &m.slots[5], 3), 2);
    assert_int_equal(map_w_strict(&m, &m.slots[5], 1), 2);
    assert_int_equal(map_w_weak(&m, &m.slots[5], 1), 1);
    assert_false(map_w_was_one(&m, &m.slots[5]));
    assert_string_equal(settled(&m, before, 1, 2, 0, 9), "write-quorum or replication-factor was set since");
    assert_string_equal(settled(&m, m.index, 1, 1, 0, 9), "the node is known in another incarnation");
    assert_string_equal(settled(&m, m.index, 2, 1, 0, 9), "the proposer is not the slot's primary");
    assert_string_equal(settled(&m, m.index, 9, 1, 0, 9), "no member has this id");
    assert_string_equal(settled(&m, m.index, 1, 2, 1, 0), "it names no slot");
    assert_null(settled(&m, m.index, 1, 2, 0, 4));
    assert_int_equal(m.slots[4].formers, 0);
    assert_int_equal(map_unsettled_n(&m), SLOTS - 5);
    uint64_t base = m.index; /* the in-sync set changes: what was counted was another's */
    struct map_isr_run run = {5, 5, 2, {0, 1}, {2, 1}};
    struct map_entry e = in_sync(&m, 1, 2, &run);
    assert_null(apply(&m, &e));
    assert_string_equal(settled(&m, base, 1, 2, 5, 5), "the slot has changed since");
    takes(&m, .type = MAP_SET, .set = {"replication-factor", 3}); /* W(I) of a number does not go by it */
    assert_null(settled(&m, base, 1, 2, 6, 6));
    takes(&m, .type = MAP_SET, .set = {"write-quorum", MAP_W_MAJORITY});
    takes(&m, .type = MAP_SET, .set = {"replication-factor", 5}); /* here it does */
    assert_int_equal(m.slots[0].formers, 1u << 2 | 1u << (MAP_COPIES + 3));
    takes(&m, .type = MAP_SET, .set = {"write-quorum", 1});
    takes(&m, .type = MAP_SET, .set = {"write-quorum", 2}); /* back: the present one is no former one */
    assert_int_equal(m.slots[0].formers & 1u << 2, 0);
    assert_true(map_w_was_one(&m, &m.slots[0]));
    assert_int_equal(map_w_strict(&m, &m.slots[0], 2), 3); /* of a majority of five */
    down(&m, 1, 2);
    assert_string_equal(settled(&m, m.index, 1, 2, 0, 9), "the proposer is not the slot's primary");
    end(&m);
}

/* -- Slots --------------------------------------------------------------------------------------- */

static void a_wish_is_of_the_newest(void **state)
{
    (void)state;
    struct map m = founded(3);
    uint64_t base = m.index, ver = m.slots[5].ver;
    assert_null(runs(&m, MAP_PLACE, base, false, (struct map_run){5, 6, 2, {1, 2}}));
    assert_int_equal(m.slots[6].want_n, 2);
    assert_int_equal(m.slots[6].want[0], 1);
    assert_int_equal(m.slots[7].want[0], 0);
    assert_int_equal(m.slots[6].replicas_n, 3); /* who is wished, and who has it (26) */
    assert_int_equal(m.slots[6].replicas[0], 1);
    assert_int_equal(m.slots[6].replicas[2], 0);
    assert_int_equal(m.slots[6].isr_n, 1);
    assert_int_equal(m.slots[5].ver, ver); /* it voids nobody's proposal */
    assert_int_equal(m.slots_ver, m.index);
    assert_string_equal(runs(&m, MAP_PLACE, base, false, (struct map_run){8, 8, 1, {1}}), "slots were placed anew meanwhile: try again");
    base = m.index;
    takes(&m, .type = MAP_RESTARTED, .member = member_of(3, 2));
    assert_string_equal(runs(&m, MAP_PLACE, base, false, (struct map_run){8, 8, 1, {2}}),
                        "a run names a node that joined or restarted since");
    base = m.index;
    assert_string_equal(runs(&m, MAP_PLACE, base, false, (struct map_run){8, 8, 1, {3}}),
                        "a run names a place that is empty");
    assert_string_equal(runs(&m, MAP_PLACE, base, false, (struct map_run){8, 8, 2, {1, 1}}),
                        "a run names a node twice");
    assert_string_equal(runs(&m, MAP_PLACE, base, false, (struct map_run){9, 8, 1, {1}}), "a run of slots is none");
    assert_string_equal(runs(&m, MAP_PLACE, base, false, (struct map_run){9, SLOTS, 1, {1}}), "a run of slots is none");
    assert_string_equal(runs(&m, MAP_PLACE, base, false, (struct map_run){9, 9, 6, {1}}), "a run of slots is none");
    assert_string_equal(runs(&m, MAP_PLACE, base, false, (struct map_run){9, 9, 0, {1}}), "a run of slots is none");
    end(&m);
}

static void an_election_is_of_slots_without_a_primary(void **state)
{
    (void)state;
    struct map m = with_copies();
    assert_string_equal(runs(&m, MAP_ELECT, m.index, false, (struct map_run){3, 3, 1, {1}}), "the slot has a primary");
    down(&m, 1, 2);
    uint64_t stale = m.index - 1;
    struct map_run two = {0, 9, 2, {1, 2}};
    assert_string_equal(runs(&m, MAP_ELECT, stale, false, two), "the slot has changed since");
    assert_string_equal(runs(&m, MAP_ELECT, m.index, false, (struct map_run){0, 9, 1, {3}}),
                        "a node without a copy would be elected");
    assert_string_equal(runs(&m, MAP_ELECT, m.index, false, (struct map_run){0, 9, 1, {0}}),
                        "the new primary is SUSPECT or DOWN");
    takes(&m, .type = MAP_SUSPECTED, .about = id_of(3), .incarnation = 1);
    assert_null(runs(&m, MAP_ELECT, m.index, false, two)); /* it is SUSPECT, but it was in sync */
    assert_true(map_is_primary(&m, 4, 1, 1));
    assert_int_equal(m.slots[4].isr_n, 2);
    assert_int_equal(m.slots[4].replicas_n, 3);
    assert_int_equal(m.slots[4].epoch, 3);
    end(&m);
}

static void nobody_suspect_is_added(void **state)
{
    (void)state;
    struct map m = with_copies();
    down(&m, 1, 2);
    assert_null(runs(&m, MAP_ELECT, m.index, false, (struct map_run){0, 9, 1, {1}}));
    down(&m, 2, 1);
    takes(&m, .type = MAP_CLEARED, .about = id_of(2), .incarnation = 1);
    takes(&m, .type = MAP_SUSPECTED, .about = id_of(3), .incarnation = 1);
    assert_string_equal(runs(&m, MAP_ELECT, m.index, false, (struct map_run){0, 9, 2, {1, 2}}),
                        "a node that is SUSPECT or DOWN would be added");
    uint64_t base = m.index;
    takes(&m, .type = MAP_RESTARTED, .member = member_of(2, 2));
    assert_string_equal(runs(&m, MAP_ELECT, base, false, (struct map_run){0, 9, 1, {1}}),
                        "a run names a node that joined or restarted since");
    assert_null(runs(&m, MAP_ELECT, m.index, false, (struct map_run){0, 9, 1, {1}}));
    end(&m);
}

static void giving_up_is_said(void **state)
{
    (void)state;
    struct map m = founded(3);
    down(&m, 1, 1);
    struct map_run to_second = {0, SLOTS - 1, 1, {1}};
    assert_string_equal(runs(&m, MAP_ELECT, m.index, true, to_second), "a node without a copy would be elected");
    assert_null(runs(&m, MAP_PLACE, m.index, false, to_second));
    takes(&m, .type = MAP_CLEARED, .about = id_of(1), .incarnation = 1);
    assert_string_equal(runs(&m, MAP_ELECT, m.index, true, to_second),
                        "a living node has a copy that would be given up");
    takes(&m, .type = MAP_SUSPECTED, .about = id_of(1), .incarnation = 1);
    assert_null(runs(&m, MAP_ELECT, m.index, true, to_second));
    assert_int_equal(m.given_up_n, SLOTS);
    assert_int_equal(m.slots[1].replicas_n, 1);
    assert_int_equal(m.slots[1].replicas[0], 1);
    takes(&m, .type = MAP_LEAVE, .about = id_of(1));
    takes(&m, .type = MAP_REMOVE, .about = id_of(1));
    end(&m);
}

static void a_handover_goes_to_one_in_sync(void **state)
{
    (void)state;
    struct map m = with_copies();
    struct map_entry e = handover(&m, 1, 2, 2, 4);
    assert_string_equal(apply(&m, &e), "the successor is not in sync");
    e = handover(&m, 1, 2, 3, 3);
    assert_null(apply(&m, &e));
    const struct map_slot *s = &m.slots[3];
    assert_true(map_is_primary(&m, 3, 2, 1));
    assert_true(map_is_primary(&m, 4, 0, 2)); /* not named */
    assert_int_equal(s->epoch, 3);
    assert_int_equal(s->isr_n, 3);
    assert_int_equal(s->isr[1], 0); /* in the order they had */
    assert_int_equal(s->isr_incarnation[1], 2);
    assert_int_equal(s->isr[2], 1);
    e = handover(&m, 1, 2, 4, 2);
    assert_string_equal(apply(&m, &e), "the proposer is not the slot's primary");
    e = handover(&m, 3, 1, 1, 2);
    e.base = s->ver - 1;
    assert_string_equal(apply(&m, &e), "the slot has changed since");
    takes(&m, .type = MAP_RESTARTED, .member = member_of(2, 2));
    e = handover(&m, 3, 1, 2, 2);
    e.handover.to_incarnation = 2; /* as it is known, but not as it was in sync */
    assert_string_equal(apply(&m, &e), "the successor is not in sync");
    end(&m);
}

static void an_empty_slot_goes_where_it_is_sent(void **state)
{
    (void)state;
    struct map m = founded(2);
    struct map_entry e = handover(&m, 1, 1, 1, 2);
    e.handover.empty = true;
    assert_null(apply(&m, &e));
    const struct map_slot *s = &m.slots[5];
    assert_true(map_is_primary(&m, 5, 1, 1));
    assert_int_equal(s->replicas_n, 2); /* the wish is as it was */
    assert_int_equal(s->replicas[1], 1);
    assert_int_equal(s->isr_n, 1);
    assert_int_equal(s->epoch, 2);
    assert_int_equal(s->anew, 2);
    assert_int_equal(m.slots[4].anew, 0);
    down(&m, 2, 1);
    assert_int_equal(s->primary, MAP_NOBODY);
    assert_int_equal(s->anew, 2); /* whoever is elected */
    end(&m);
}

static void a_proposal_is_counted_even_if_void(void **state)
{
    (void)state;
    struct map m = with_copies();
    struct map_entry e = handover(&m, 1, 2, 7, 4);
    assert_string_equal(apply(&m, &e), "the successor is not in sync");
    assert_int_equal(m.nodes.at[0].proposed_n, 7);
    e = handover(&m, 1, 2, 7, 2);
    assert_string_equal(apply(&m, &e), "the proposer has made a newer proposal");
    e = handover(&m, 1, 1, 8, 2);
    assert_string_equal(apply(&m, &e), "the node is known in another incarnation");
    assert_int_equal(m.nodes.at[0].proposed_n, 7);
    e = handover(&m, 9, 1, 8, 2);
    assert_string_equal(apply(&m, &e), "no member has this id");
    e = handover(&m, 1, 2, 8, 9);
    assert_string_equal(apply(&m, &e), "no member has the successor's id");
    e = handover(&m, 1, 2, 9, 1);
    assert_string_equal(apply(&m, &e), "the successor is the proposer");
    e = handover(&m, 1, 2, 10, 2);
    e.handover.to_incarnation = 2;
    assert_string_equal(apply(&m, &e), "the successor is known in another incarnation");
    e = handover(&m, 1, 2, 11, 2);
    e.handover.slots = (struct bits){{0}};
    assert_string_equal(apply(&m, &e), "it names no slot");
    takes(&m, .type = MAP_SUSPECTED, .about = id_of(2), .incarnation = 1);
    e = handover(&m, 1, 2, 12, 2);
    assert_string_equal(apply(&m, &e), "the successor is SUSPECT or DOWN");
    takes(&m, .type = MAP_SUSPECTED, .about = id_of(1), .incarnation = 2);
    e = handover(&m, 1, 2, 13, 3);
    assert_string_equal(apply(&m, &e), "the proposer is SUSPECT or DOWN");
    assert_int_equal(m.nodes.at[0].proposed_n, 13);
    takes(&m, .type = MAP_RESTARTED, .member = member_of(1, 3));
    assert_int_equal(m.nodes.at[0].proposed_n, 0); /* each run counts anew */
    end(&m);
}

static void each_slot_is_judged_alone(void **state)
{
    (void)state;
    struct map m = with_copies();
    uint64_t base = m.index;
    struct map_entry e = handover(&m, 1, 2, 2, 2);
    bits_remove(&e.handover.slots, 5);
    assert_null(apply(&m, &e)); /* slot 3 moves on */
    e = handover(&m, 1, 2, 3, 3);
    e.base = base;
    assert_null(apply(&m, &e));
    assert_int_equal(m.slots[3].primary, 1);
    assert_int_equal(m.slots[5].primary, 2);
    end(&m);
}

static const char *proposes(struct map *m, uint64_t n, struct map_isr_run run)
{
    struct map_entry e = in_sync(m, 1, n, &run);
    return apply(m, &e);
}

static void the_primary_says_who_is_in_sync(void **state)
{
    (void)state;
    struct map m = with_copies();
    assert_null(proposes(&m, 2, (struct map_isr_run){0, 4, 2, {0, 2}, {2, 1}}));
    const struct map_slot *s = &m.slots[4];
    assert_int_equal(s->isr_n, 2);
    assert_int_equal(s->isr[1], 2);
    assert_int_equal(s->epoch, 2); /* it goes on */
    assert_int_equal(s->ver, m.index);
    assert_int_equal(m.slots_ver, m.index);
    assert_int_equal(s->replicas_n, 3); /* as wished */
    assert_int_equal(m.slots[5].isr_n, 3);
    assert_string_equal(proposes(&m, 3, (struct map_isr_run){0, 0, 2, {2, 0}, {1, 2}}),
                        "the primary would not be the first in sync");
    assert_string_equal(proposes(&m, 4, (struct map_isr_run){0, 0, 1, {0}, {1}}),
                        "the primary would not be the first in sync");
    assert_string_equal(proposes(&m, 5, (struct map_isr_run){0, 0, 3, {0, 2, 2}, {2, 1, 1}}), "a run names a node twice");
    assert_string_equal(proposes(&m, 6, (struct map_isr_run){0, SLOTS, 1, {0}, {2}}), "a run of slots is none");
    assert_string_equal(proposes(&m, 7, (struct map_isr_run){0, 0, MAP_COPIES + 1, {0}, {2}}), "a run of slots is none");
    struct map_isr_run run = {0, 0, 1, {1}, {1}};
    struct map_entry e = in_sync(&m, 2, 1, &run);
    assert_string_equal(apply(&m, &e), "the proposer is not the slot's primary");
    run = (struct map_isr_run){4, 5, 1, {0}, {2}};
    e = in_sync(&m, 1, 8, &run);
    e.base = m.slots[4].ver - 1;
    assert_null(apply(&m, &e)); /* slot 4 has changed since: each is judged alone */
    assert_int_equal(m.slots[4].isr_n, 2);
    assert_int_equal(m.slots[5].isr_n, 1);
    down(&m, 1, 2);
    assert_string_equal(proposes(&m, 9, (struct map_isr_run){0, 0, 1, {0}, {2}}), "the proposer is SUSPECT or DOWN");
    assert_int_equal(m.nodes.at[0].proposed_n, 9);
    end(&m);
}

static void who_is_added_lives_and_is_known(void **state)
{
    (void)state;
    struct map m = with_copies();
    uint64_t n = 2;
    assert_string_equal(proposes(&m, n++, (struct map_isr_run){0, 0, 2, {0, 3}, {2, 1}}),
                        "a node that is no replica would be added");
    assert_null(runs(&m, MAP_PLACE, m.index, false, (struct map_run){0, 9, 2, {0, 3}}));
    assert_null(proposes(&m, n++, (struct map_isr_run){0, 0, 4, {0, 3, 1, 2}, {2, 1, 1, 1}}));
    assert_int_equal(m.slots[0].replicas_n, 4);
    assert_null(proposes(&m, n++, (struct map_isr_run){0, 0, 2, {0, 3}, {2, 1}}));
    assert_int_equal(m.slots[0].replicas_n, 2); /* who is not wished leaves with the isr (26) */
    assert_string_equal(proposes(&m, n++, (struct map_isr_run){0, 0, 3, {0, 3, 1}, {2, 1, 1}}),
                        "a node that is no replica would be added");
    takes(&m, .type = MAP_SUSPECTED, .about = id_of(4), .incarnation = 1);
    assert_string_equal(proposes(&m, n++, (struct map_isr_run){1, 1, 2, {0, 3}, {2, 1}}),
                        "a node that is SUSPECT or DOWN would be added");
    takes(&m, .type = MAP_SUSPECTED, .about = id_of(2), .incarnation = 1);
    assert_null(proposes(&m, n++, (struct map_isr_run){1, 1, 2, {0, 1}, {2, 1}})); /* it is kept */
    uint64_t base = m.index;
    takes(&m, .type = MAP_RESTARTED, .member = member_of(2, 2));
    assert_string_equal(proposes(&m, n++, (struct map_isr_run){1, 1, 2, {0, 1}, {2, 3}}),
                        "a node would be added that joined or restarted since");
    struct map_isr_run run = {1, 1, 2, {0, 1}, {2, 2}};
    struct map_entry e = in_sync(&m, 1, n++, &run);
    e.base = base;
    assert_string_equal(apply(&m, &e), "a node would be added that joined or restarted since");
    assert_int_equal(m.slots[1].isr_incarnation[1], 1); /* its former run stays until the primary says otherwise */
    assert_null(proposes(&m, n++, run));
    assert_int_equal(m.slots[1].isr_incarnation[1], 2);
    end(&m);
}

static void an_empty_proposal_counts(void **state)
{
    (void)state;
    struct map m = with_copies();
    struct map_entry e = in_sync(&m, 1, 5, NULL);
    uint64_t slots = m.slots_ver;
    assert_string_equal(apply(&m, &e), "it names no slot");
    assert_int_equal(m.nodes.at[0].proposed_n, 5);
    assert_int_equal(m.slots_ver, slots);
    assert_string_equal(proposes(&m, 5, (struct map_isr_run){0, 0, 1, {0}, {2}}), "the proposer has made a newer proposal");
    e = handover(&m, 1, 2, 5, 2);
    assert_string_equal(apply(&m, &e), "the proposer has made a newer proposal"); /* they share the count */
    end(&m);
}

static void a_quorum_is_of_the_set(void **state)
{
    (void)state;
    struct map_settings s = {.replication_factor = 3};
    for (unsigned n = 1; n <= 5; n++)
        assert_int_equal(map_w(&s, n), n);
    s.write_quorum = 2;
    assert_int_equal(map_w(&s, 1), 2);
    assert_int_equal(map_w(&s, 4), 2);
    s.write_quorum = MAP_W_MAJORITY;
    assert_int_equal(map_w(&s, 1), 2);
    assert_int_equal(map_w(&s, 3), 2);
    assert_int_equal(map_w(&s, 4), 3);
}

/* -- All together -------------------------------------------------------------------------------- */

/* P2, from one look to the next. */
static void epochs_rise(const struct map *m, struct map *seen)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        const struct map_slot *now = &m->slots[i], *then = &seen->slots[i];
        assert_true(now->epoch >= then->epoch);
        if (now->epoch == then->epoch && now->primary != MAP_NOBODY) {
            assert_int_equal(now->primary, then->primary);
            assert_int_equal(now->isr_incarnation[0], then->isr_incarnation[0]);
        }
    }
    map_copy(seen, m);
}

static void whatever_comes_it_stays_whole(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 20);
    struct map m = founded(1), seen;
    map_init(&seen);
    map_copy(&seen, &m);
    unsigned done[MAP_TYPES] = {0};
    struct random_runs run;
    for (unsigned i = 0; i < 100000; i++) {
        struct map_entry e;
        random_entry(&m, &r, &e, &run);
        if (apply(&m, &e) == NULL && e.type < MAP_TYPES)
            done[e.type]++;
        if (i % 100 != 0)
            continue;
        assert_null(map_wrong(&m));
        epochs_rise(&m, &seen);
    }
    for (unsigned type = MAP_JOIN; type < MAP_TYPES; type++)
        assert_true(done[type] > 20); /* the walk was no walk beside the road */
    map_free(&seen);
    end(&m);
}

static void an_entry_changes_no_slots_but_those_it_names(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 22);
    struct map m = founded(1), before;
    map_init(&before);
    unsigned named = 0;
    struct random_runs run;
    for (unsigned i = 0; i < 1500; i++) {
        struct map_entry e;
        struct bits slots = {0};
        random_entry(&m, &r, &e, &run);
        map_copy(&before, &m);
        bool names = apply(&m, &e) == NULL && map_entry_slots(&e, &slots);
        for (unsigned slot = 0; names && slot < SLOTS; slot++)
            if (!bits_has(&slots, slot))
                assert_memory_equal(&m.slots[slot], &before.slots[slot], sizeof(m.slots[slot]));
        named += names;
    }
    assert_true(named > 100);
    map_free(&before);
    end(&m);
}

static void equal_entries_make_equal_maps(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 21);
    struct map a = founded(1), b = founded(1), c = founded(1);
    struct random_runs run;
    for (unsigned i = 0; i < 5000; i++) {
        struct map_entry e;
        random_entry(&a, &r, &e, &run);
        apply(&a, &e);
        struct map_entry *copy = map_entry_copy(&e);
        memset(&run, 0xee, sizeof(run)); /* what it pointed to is gone */
        apply(&b, copy);
        map_entry_free(copy);
        if (i % 500 == 0)
            assert_int_equal(digest(&a), digest(&b));
    }
    assert_int_equal(digest(&a), digest(&b));
    assert_int_not_equal(digest(&a), digest(&c));
    map_copy(&c, &a);
    assert_int_equal(digest(&a), digest(&c));
    map_free(&b);
    map_free(&c);
    end(&a);
}

static void a_word_frees_what_it_owns(void **state)
{
    (void)state;
    struct map_run run = {0, 1, 1, {0}};
    struct map_entry e = {.type = MAP_PLACE, .runs = {&run, 1, false}};
    struct word entry = {.type = WORD_ENTRY, .entry = {1, map_entry_copy(&e)}};
    struct word map = {.type = WORD_MAP, .map = mem_get(sizeof(struct map))};
    map_init(map.map);
    struct word view = {.type = WORD_VIEW, .view = mem_zero(sizeof(struct word_view))};
    view.view->peers = mem_zero(3 * sizeof(*view.view->peers));
    struct word report = {.type = WORD_REPORT, .report = {.slots = mem_zero(8)}};
    word_free(&entry); /* the sanitizer counts */
    word_free(&map);
    word_free(&view);
    word_free(&report);
    assert_null(entry.entry.entry);
}

UNIT_TESTS("map",
           TEST(the_first_has_every_slot, "the first node has every slot, at epoch 1 (P7)"),
           TEST(who_joins_is_a_member, "who joins is a member at once, under one id and within bounds"),
           TEST(who_is_a_member_is_found, "who is a member is found by its id, whoever had its place before"),
           TEST(an_announcement_is_of_the_known_run, "an announcement is of the known run"),
           TEST(down_takes_the_slots, "DOWN follows its SUSPECT and leaves no slot with its primary (P6)"),
           TEST(a_restart_fails_the_old_run, "a restart fails the old run and counts as CLEAR for the new (P6)"),
           TEST(who_left_is_removed_when_nothing_names_it, "who left is removed when nothing names it (P11)"),
           TEST(a_timeout_is_in_use_until_it_is_settled, "every cluster-node-timeout since the last one settled is in use (P12)"),
           TEST(a_quorum_is_settled_slot_by_slot, "a changed W or RF is settled by each slot's primary (P13)"),
           TEST(settings_have_ranges, "a setting has a name and a range (P8)"),
           TEST(a_wish_is_of_the_newest, "a wish is void after a newer one, and voids nobody (P4, P9)"),
           TEST(an_election_is_of_slots_without_a_primary, "an election is of slots without a primary (replication 13)"),
           TEST(nobody_suspect_is_added, "nobody SUSPECT, and no run begun since, is added (13, P9)"),
           TEST(giving_up_is_said, "copies are given up by an election that says so (22, P10)"),
           TEST(a_handover_goes_to_one_in_sync, "a handover goes to one in sync, and begins an epoch (26, P2, P3)"),
           TEST(an_empty_slot_goes_where_it_is_sent, "an empty slot goes where its primary sends it (P10)"),
           TEST(a_proposal_is_counted_even_if_void, "a proposal is counted even if it is void (12)"),
           TEST(each_slot_is_judged_alone, "each slot of an entry is judged alone by its ver (13, P4)"),
           TEST(the_primary_says_who_is_in_sync, "the slot's primary, and nobody else, says who is in sync (13, P5)"),
           TEST(who_is_added_lives_and_is_known, "who is added is a replica, live, and of its known run (13, 26)"),
           TEST(an_empty_proposal_counts, "a proposal of no slot counts: the way out of doubt (12)"),
           TEST(a_quorum_is_of_the_set, "W is of the set: all, a majority of RF or more, or a number"),
           TEST(whatever_comes_it_stays_whole, "whatever comes, the map stays whole and epochs rise (P2 - P9)"),
           TEST(an_entry_changes_no_slots_but_those_it_names, "an entry changes no slots but those it names (P14)"),
           TEST(equal_entries_make_equal_maps, "equal entries make equal maps (P1)"),
           TEST(a_word_frees_what_it_owns, "a word between the planes frees what it owns"))

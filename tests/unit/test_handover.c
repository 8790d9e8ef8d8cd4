/* SPDX-License-Identifier: BSD-3-Clause */

/* Slots that go to another node, and what the control plane is told of them. */
#include "tests/lib/some_routes.h"

static struct word *newest(unsigned node, enum word_type type)
{
    for (size_t i = w.words_n[node]; i-- > 0;)
        if (w.words[node][i].type == type)
            return &w.words[node][i];
    return NULL;
}

static void copies_are(const char *key, uint16_t first, uint16_t second, uint8_t in_sync)
{
    struct map_slot *s = &w.map.slots[slot_of(slice_str(key))];
    s->want[0] = first;
    s->want[1] = second;
    s->isr[1] = 1;
    s->isr_incarnation[1] = 1;
    s->want_n = 2;
    s->isr_n = in_sync;
    map_replicas_follow(s);
}

/* It has a copy of some slot, so there is a link on which it says how it is. */
static void node_2_is_heard(void)
{
    copies_are(some_key(&w, 0, 9), 0, 1, 2);
    some_map(&w);
    for (int i = 0; i < 5; i++)
        some_later(&w, 10);
}

static void an_empty_slot_goes_where_it_is_wanted(void **state)
{
    (void)state;
    start();
    node_2_is_heard();
    const char *key = some_key(&w, 0, 0), *full = some_key(&w, 0, 1), *gone = some_key(&w, 0, 2);
    unsigned slot = slot_of(slice_str(key)), kept = slot_of(slice_str(full)), emptied = slot_of(slice_str(gone));
    send_format(0, 1, "SET %s v", full);
    some_expect(&w, 0, 1, "+OK\r\n");
    send_format(0, 1, "SET %s v", gone);
    send_format(0, 1, "DEL %s", gone);
    some_expect(&w, 0, 1, "+OK\r\n:1\r\n");
    w.map.slots[slot].want[0] = w.map.slots[kept].want[0] = w.map.slots[emptied].want[0] = 1;
    some_map(&w);
    some_later(&w, 110);
    struct word *p = newest(0, WORD_PROPOSE);
    assert_non_null(p);
    assert_int_equal(p->entry.entry->type, MAP_HANDOVER);
    assert_int_equal(p->entry.entry->handover.n, 1);
    assert_true(bits_has(&p->entry.entry->handover.slots, slot));
    assert_false(bits_has(&p->entry.entry->handover.slots, kept)); /* it has a key */
    assert_false(bits_has(&p->entry.entry->handover.slots, emptied)); /* an old copy may have what was deleted */
    send_format(0, 1, "SET %s v", key); /* nothing of it is run until its fate is known */
    some_expect(&w, 0, 1, "");
    w.owner[slot] = 1;
    w.map.nodes.at[0].proposed_n = 1;
    some_map(&w);
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n");
    send_format(1, 1, "GET %s", key);
    some_expect(&w, 1, 1, "$1\r\nv\r\n");
    some_stop(&w);
}

/* Node 2 acknowledged a write that no other had, was called down, and is given the slot back by who
 * was elected with no record of it; it hears of that by the entry, or by a whole map. */
static void is_given_back_empty(bool by_map)
{
    start();
    const char *key = some_key(&w, 1, 0);
    unsigned slot = slot_of(slice_str(key));
    send_format(1, 1, "SET %s v", key);
    some_expect(&w, 1, 1, "+OK\r\n");
    w.owner[slot] = 0;
    some_map(&w);
    struct map_entry e = {.type = MAP_HANDOVER, .base = w.map.index, .about = some_id(0), .incarnation = 1};
    e.handover.n = 1;
    e.handover.empty = true;
    e.handover.to = some_id(1);
    e.handover.to_incarnation = 1;
    bits_add(&e.handover.slots, slot);
    struct word word = {.type = WORD_ENTRY, .entry = {w.map.index + 1, &e}};
    assert_false(map_apply(&w.map, w.map.index + 1, &e).is_void);
    if (by_map)
        word = (struct word){.type = WORD_MAP, .map = &w.map};
    for (unsigned i = 0; i < SOME_NODES; i++)
        one_step(&w.node[i], (struct node_event){.type = NODE_WORD, .word = &word});
    send_format(1, 1, "GET %s", key);
    some_expect(&w, 1, 1, "$-1\r\n");
    send_format(1, 1, "SET %s new", key);
    some_expect(&w, 1, 1, "+OK\r\n");
    w.owner[slot] = 1;
    some_map(&w); /* the same, later: what it holds now counts */
    send_format(1, 1, "GET %s", key);
    some_expect(&w, 1, 1, "$3\r\nnew\r\n");
    some_stop(&w);
}

static void what_an_election_lost_does_not_come_back(void **state)
{
    (void)state;
    is_given_back_empty(false);
    is_given_back_empty(true);
}

static void only_who_has_a_lease_gets_a_slot(void **state)
{
    (void)state;
    start();
    node_2_is_heard();
    unsigned slot = slot_of(slice_str(some_key(&w, 0, 0)));
    w.node[1].lease = w.node[1].now;
    some_later(&w, 1);
    w.map.slots[slot].want[0] = 1;
    some_map(&w);
    for (int i = 0; i < 10; i++)
        some_later(&w, 50);
    assert_null(newest(0, WORD_PROPOSE));
    w.node[1].lease = mono_after(w.node[1].now, 1000000);
    some_later(&w, 110);
    some_later(&w, 110);
    assert_true(bits_has(&newest(0, WORD_PROPOSE)->entry.entry->handover.slots, slot));
    some_stop(&w);
}

/* They wait in a turn behind what is away, as a part of what is split, and for a copy of another slot's record. */
static void what_was_answered_before_a_handover_stays_true(void **state)
{
    (void)state;
    some_start(&w, "appendonly yes\nappendfsync always");
    node_2_is_heard();
    const char *goes = some_key(&w, 0, 0), *copied = some_key(&w, 0, 9), *far = some_key(&w, 2, 0);
    for (int i = 0; i < 3; i++) {
        for (unsigned k = 0; k < SOME_NODES; k++)
            one_disk(&w.node[k]);
        some_later(&w, 10);
    }
    w.stopped[1] = w.stopped[2] = true;
    send_format(0, 1, "GET %s\nGET %s\nMGET %s %s", far, goes, goes, far);
    send_format(0, 2, "SET %s v\nGET %s", copied, goes);
    w.map.slots[slot_of(slice_str(goes))].want[0] = 1;
    some_map(&w);
    for (int i = 0; i < 5; i++) {
        one_disk(&w.node[0]);
        some_later(&w, 30);
    }
    assert_non_null(newest(0, WORD_PROPOSE));
    assert_int_equal(newest(0, WORD_PROPOSE)->entry.entry->type, MAP_HANDOVER);
    w.owner[slot_of(slice_str(goes))] = 1;
    w.map.nodes.at[0].proposed_n = 1;
    some_expect(&w, 0, 2, "");
    some_map(&w);
    w.stopped[2] = false;
    some_carry(&w);
    some_expect(&w, 0, 2, "");
    w.stopped[1] = false;
    for (int i = 0; i < 3; i++) { /* it follows anew, and joins once that record is synced */
        some_later(&w, 10);
        one_disk(&w.node[1]);
    }
    some_carry(&w);
    some_expect(&w, 0, 1, "$-1\r\n$-1\r\n*2\r\n$-1\r\n$-1\r\n");
    some_expect(&w, 0, 2, "+OK\r\n$-1\r\n");
    some_stop(&w);
}

static void a_handover_in_doubt_keeps_its_clients_waiting_and_proposes_anew(void **state)
{
    (void)state;
    start();
    node_2_is_heard();
    const char *key = some_key(&w, 0, 0);
    unsigned slot = slot_of(slice_str(key));
    w.map.slots[slot].want[0] = 1;
    some_map(&w);
    some_later(&w, 110);
    send_format(0, 1, "SET %s v", key);
    send_format(2, 1, "SET %s v", key); /* node 3 forwards it, is told TRYAGAIN after a moment, and tries again */
    for (int i = 0; i < 21; i++)
        some_later(&w, 100);
    some_expect(&w, 0, 1, "");
    some_expect(&w, 2, 1, "");
    assert_true(w.node[2].node->cluster->retried > 0);
    for (int i = 0; i < 21; i++)
        some_later(&w, 100);
    some_expect(&w, 0, 1, "-TRYAGAIN its slot is being handed over to another node\r\n");
    assert_int_equal(newest(0, WORD_PROPOSE)->entry.entry->handover.n, 1);
    w.map.settings.rebalance_paused = 1; /* nothing new begins, but what is in doubt does not stay so */
    some_map(&w);
    for (int i = 0; i < 21; i++)
        some_later(&w, 100);
    assert_int_equal(newest(0, WORD_PROPOSE)->entry.entry->handover.n, 1);
    assert_int_equal(bits_n(&newest(0, WORD_PROPOSE)->entry.entry->handover.slots), 0);
    w.map.nodes.at[0].proposed_n = 1; /* void: it stays here */
    some_map(&w);
    send_format(0, 1, "SET %s v", key);
    some_expect(&w, 0, 1, "+OK\r\n");
    some_stop(&w);
}

/* There is no moment in which all is stored; it is enough that what was recorded when it began is. */
static void a_handover_begins_under_a_steady_load(void **state)
{
    (void)state;
    some_start(&w, "appendonly yes\nappendfsync everysec");
    node_2_is_heard();
    const char *key = some_key(&w, 0, 0), *full = some_key(&w, 0, 1);
    unsigned slot = slot_of(slice_str(key));
    one_disk(&w.node[0]);
    w.map.slots[slot].want[0] = 1;
    some_map(&w);
    send_format(0, 1, "SET %s 1", full); /* its write is under way from here on */
    some_later(&w, 110);
    assert_true(bits_has(&w.node[0].node->cluster->handing, slot));
    assert_null(newest(0, WORD_PROPOSE)); /* a gate may wait for that record */
    send_format(0, 2, "SET %s v", key);
    send_format(0, 1, "SET %s 2", full);
    while (newest(0, WORD_PROPOSE) == NULL)
        one_disk_next(&w.node[0]);
    struct node *n = w.node[0].node;
    assert_false(lsn_reached(journal_stored(&n->journal), n->journal.appended));
    assert_true(bits_has(&newest(0, WORD_PROPOSE)->entry.entry->handover.slots, slot));
    some_expect(&w, 0, 2, "");
    w.owner[slot] = 1;
    w.map.nodes.at[0].proposed_n = 1;
    some_map(&w);
    some_carry(&w);
    one_disk(&w.node[1]);
    some_carry(&w);
    one_disk(&w.node[0]);
    some_expect(&w, 0, 2, "+OK\r\n");
    some_stop(&w);
}

/* Nothing runs in it until the fate is known: a record more would not be its successor's. */
static void in_a_slot_being_handed_over_nothing_expires_nor_is_evicted(void **state)
{
    (void)state;
    start();
    const char *key = some_key(&w, 0, 0);
    unsigned slot = slot_of(slice_str(key));
    copies_are(key, 1, 0, 2);
    w.map.settings.rebalance_paused = 1;
    some_map(&w);
    for (int i = 0; i < 5; i++)
        some_later(&w, 10);
    send_format(0, 1, "SET %s v PX 300\nSET {%s} v", key, key);
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n+OK\r\n");
    w.map.settings.rebalance_paused = 0;
    some_map(&w);
    for (int i = 0; i < 20 && newest(0, WORD_PROPOSE) == NULL; i++)
        some_later(&w, 10);
    assert_int_equal(newest(0, WORD_PROPOSE)->entry.entry->type, MAP_HANDOVER);
    for (unsigned node = 0; node < 2; node++) {
        send_format(node, 2, "CONFIG SET maxmemory-policy allkeys-random maxmemory %u", 1 - node);
        some_expect(&w, node, 2, "+OK\r\n");
    }
    for (int i = 0; i < 40; i++)
        some_later(&w, 10);
    assert_true(bits_has(&w.node[0].node->cluster->handing, slot));
    for (unsigned node = 0; node < 2; node++) {
        assert_int_equal(w.node[node].node->slots[slot].at.seq, 2);
        assert_int_equal(store_slot_keys_n(&w.node[node].node->store, slot), 2);
    }
    struct map_slot *s = &w.map.slots[slot];
    w.owner[slot] = s->primary = s->isr[0] = 1;
    s->isr[1] = 0;
    s->epoch++;
    s->ver = w.map.index + 1;
    w.map.nodes.at[0].proposed_n = 1;
    some_map(&w);
    for (int i = 0; i < 40; i++)
        some_later(&w, 10);
    for (unsigned node = 0; node < 2; node++) {
        assert_int_equal(w.node[node].node->slots[slot].at.seq, 4); /* both went, once, where it is now */
        assert_int_equal(store_slot_keys_n(&w.node[node].node->store, slot), 0);
    }
    assert_int_equal(w.node[1].node->evicted + w.node[1].node->cmd_stats.expired, 2);
    some_stop(&w);
}

/* Paused before it is proposed, it is not: the slot is served on. */
static void a_handover_that_is_not_wished_any_more_ends(void **state)
{
    (void)state;
    some_start(&w, "appendonly yes\nappendfsync everysec");
    node_2_is_heard();
    const char *key = some_key(&w, 0, 0), *full = some_key(&w, 0, 1);
    one_disk(&w.node[0]);
    w.map.slots[slot_of(slice_str(key))].want[0] = 1;
    some_map(&w);
    send_format(0, 1, "SET %s 1", full);
    some_later(&w, 110);
    send_format(0, 2, "SET %s v", key);
    w.map.settings.rebalance_paused = 1;
    some_map(&w);
    one_disk(&w.node[0]);
    one_disk(&w.node[0]);
    assert_null(newest(0, WORD_PROPOSE));
    some_expect(&w, 0, 2, "+OK\r\n");
    some_stop(&w);
}

/* One of W is gone and holds nothing more, so the handover would never be ready; and where each try follows the last at
 * the pace of the in-sync sets' looks, none of these would find the slot left alone. */
static void who_is_gone_is_taken_out_before_a_handover_is_tried(void **state)
{
    (void)state;
    for (int phase = 0; phase < 100; phase += 20) {
        start();
        const char *key = some_key(&w, 0, 0);
        struct map_slot *s = &w.map.slots[slot_of(slice_str(key))];
        copies_are(key, 1, 2, 3);
        s->isr[2] = 2;
        s->isr_incarnation[2] = 1;
        map_replicas_follow(s);
        w.stopped[2] = true;
        some_map(&w);
        for (int i = 0; i < 5; i++)
            some_later(&w, 10);
        some_later(&w, phase);
        send_format(0, 1, "SET %s v", key);
        for (int i = 0; i < 20; i++)
            some_later(&w, 10);
        assert_null(newest(0, WORD_PROPOSE));
        w.map.nodes.at[2].health = MAP_DOWN;
        some_map(&w);
        for (int i = 0; i < 30 && newest(0, WORD_PROPOSE) == NULL; i++)
            some_later(&w, 10);
        assert_non_null(newest(0, WORD_PROPOSE));
        assert_int_equal(newest(0, WORD_PROPOSE)->entry.entry->type, MAP_ISR);
        some_stop(&w);
    }
}

/* Until its lease is over the map has it as up. */
static void who_is_being_stopped_gets_no_slot(void **state)
{
    (void)state;
    start();
    w.map.settings.rebalance_paused = 1;
    copies_are(some_key(&w, 2, 0), 2, 1, 2); /* for this one it waits */
    some_map(&w);
    one_step(&w.node[1], (struct node_event){.type = NODE_STOP});
    copies_are(some_key(&w, 0, 0), 1, 0, 1); /* without a key: nothing is to be copied first */
    some_map(&w);
    some_later(&w, 110);
    w.map.settings.rebalance_paused = 0;
    some_map(&w);
    some_later(&w, 110);
    assert_null(newest(0, WORD_PROPOSE));
    w.cut = true;
    for (unsigned i = 0; i < SOME_LINKS; i++)
        if (w.links[i].used && w.links[i].to == 1)
            some_link_break(&w, &w.links[i]);
    some_later(&w, 110);
    assert_null(newest(0, WORD_PROPOSE));
    w.cut = false;
    send_format(1, 1, "SHUTDOWN ABORT"); /* it stays after all */
    for (int i = 0; i < 100 && newest(0, WORD_PROPOSE) == NULL; i++)
        some_later(&w, 10);
    assert_non_null(newest(0, WORD_PROPOSE));
    some_stop(&w);
}

static void the_control_plane_is_told(void **state)
{
    (void)state;
    start();
    assert_int_equal(newest(0, WORD_APPLIED)->applied, w.map.index);
    unsigned slot = slot_of(slice_str(some_key(&w, 0, 0)));
    w.owner[slot] = MAP_NOBODY;
    some_map(&w);
    struct word *r = newest(0, WORD_REPORT);
    assert_non_null(r);
    assert_int_equal(r->report.base, w.map.index);
    assert_int_equal(r->report.slots_n, 1);
    assert_int_equal(r->report.slots[0].slot, slot);
    assert_null(newest(1, WORD_REPORT)); /* it has no copy */
    some_stop(&w);
}

static void a_report_waits_for_its_fence_on_the_disk(void **state)
{
    (void)state;
    some_start(&w, "appendonly yes\nappendfsync everysec");
    const char *key = some_key(&w, 0, 0);
    send_format(0, 1, "SET %s v", key);
    one_disk(&w.node[0]);
    w.owner[slot_of(slice_str(key))] = MAP_NOBODY;
    some_map(&w);
    some_later(&w, 10);
    assert_null(newest(0, WORD_REPORT));
    one_disk(&w.node[0]);
    some_later(&w, 2000); /* an fsync each second */
    one_disk(&w.node[0]);
    struct word *r = newest(0, WORD_REPORT);
    assert_non_null(r);
    assert_int_equal(r->report.slots_n, 1);
    assert_true(r->report.slots[0].at.seq > 0);
    some_stop(&w);
}

static void a_node_without_keys_closes_for_another_cluster(void **state)
{
    (void)state;
    start();
    const char *here = some_key(&w, 0, 0);
    struct word word = {.type = WORD_CLOSE};
    send_format(0, 1, "SET %s v", here);
    some_expect(&w, 0, 1, "+OK\r\n");
    one_step(&w.node[0], (struct node_event){.type = NODE_WORD, .word = &word});
    assert_false(newest(0, WORD_CLOSED)->closed); /* it has a key, and goes on */
    send_format(0, 1, "DEL %s\nREADONLY", here);
    some_expect(&w, 0, 1, ":1\r\n+OK\r\n");
    one_step(&w.node[0], (struct node_event){.type = NODE_WORD, .word = &word});
    assert_true(newest(0, WORD_CLOSED)->closed);
    send_format(0, 1, "SET %s v", here);
    expect_begins(0, 1, "-CLUSTERDOWN ");
    struct map nothing;
    map_init(&nothing);
    struct word gone = {.type = WORD_MAP, .map = &nothing};
    one_step(&w.node[0], (struct node_event){.type = NODE_WORD, .word = &gone});
    map_free(&nothing);
    send_format(0, 1, "GET %s", here);
    expect_begins(0, 1, "-CLUSTERDOWN not yet joined");
    some_stop(&w);
}

UNIT_TESTS("handover",
           TEST(who_is_gone_is_taken_out_before_a_handover_is_tried,
                "a slot is handed over once its in-sync set is as it should be: who is gone is taken out first (14, 26)"),
           TEST(an_empty_slot_goes_where_it_is_wanted, "a slot that never had a record goes where it is wanted (26)"),
           TEST(what_an_election_lost_does_not_come_back,
                "what an election lost does not come back with a slot that begins anew (26)"),
           TEST(only_who_has_a_lease_gets_a_slot, "only a successor that says it has a lease gets a slot (7, 26)"),
           TEST(what_was_answered_before_a_handover_stays_true,
                "what was run before a handover is answered as it was: all of it was held (9, 26)"),
           TEST(a_handover_in_doubt_keeps_its_clients_waiting_and_proposes_anew,
                "a handover in doubt keeps its clients waiting and proposes n again, paused or not (12)"),
           TEST(a_handover_begins_under_a_steady_load, "a handover begins under a steady load (26)"),
           TEST(in_a_slot_being_handed_over_nothing_expires_nor_is_evicted,
                "in a slot that is being handed over nothing expires nor is evicted until it is its successor's (8, 26)"),
           TEST(a_handover_that_is_not_wished_any_more_ends, "and ends if it is not wished any more"),
           TEST(who_is_being_stopped_gets_no_slot, "who is being stopped gets no slot, nor gets one back (27)"),
           TEST(the_control_plane_is_told, "the control plane is told what was applied and where slots stand (20)"),
           TEST(a_report_waits_for_its_fence_on_the_disk, "a report waits until its fence is on the disk (20)"),
           TEST(a_node_without_keys_closes_for_another_cluster, "a node without keys closes for another cluster"))

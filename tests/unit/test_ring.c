/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/ring/ring.h"

#include <stdio.h>

#include "core/map/map_entry.h"
#include "core/map/map_setting.h"
#include "core/ring/placement.h"
#include "tests/lib/unit.h"

static struct map_member member(unsigned node, const char *zone, uint32_t weight)
{
    struct map_member m = {.id.b = {(uint8_t)node, 0xab}, .incarnation = 1, .weight = weight};
    m.at.port = (uint16_t)(7000 + node);
    snprintf(m.at.ip, IP_BYTES, "10.0.%u.%u", node / 100, node % 100);
    snprintf(m.zone, ZONE_BYTES, "%s", zone);
    return m;
}

static void apply(struct map *m, struct map_entry e)
{
    e.base = m->index;
    assert_null(map_apply(m, m->index + 1, &e).why_void);
}

static struct map founded(const char *zone)
{
    struct map m;
    map_init(&m);
    struct map_entry e = {.type = MAP_FOUND, .found.first = member(1, zone, 1)};
    map_settings_preset(&e.found.settings);
    e.found.settings.replication_factor = 1;
    apply(&m, e);
    return m;
}

static void place(struct map *m)
{
    struct placement p = {0};
    placement_next(&p, m);
    apply(m, (struct map_entry){.type = MAP_PLACE, .runs = {p.runs.at, p.runs.n, false}});
    placement_free(&p);
}

/* In memory of the test's own, ended. */
static char *picture(const struct map *m)
{
    struct chain c = {0};
    ring_text(&c, m);
    char *text = mem_zero(c.n + 1);
    chain_copy(&c, text, c.n);
    chain_free(&c, NULL);
    return text;
}

static void shows(const struct map *m, const char *expected)
{
    char *text = picture(m);
    assert_string_equal(text, expected);
    mem_free(text);
}

static void no_cluster_has_no_ring(void **state)
{
    (void)state;
    struct map m;
    map_init(&m);
    shows(&m, "no ring: this node is in no cluster\n");
    map_free(&m);
}

static void three_nodes_are_seen_at_a_glance(void **state)
{
    (void)state;
    struct map m = founded("");
    apply(&m, (struct map_entry){.type = MAP_JOIN, .member = member(2, "", 1)});
    apply(&m, (struct map_entry){.type = MAP_JOIN, .member = member(3, "", 2)});
    place(&m);
    struct map_entry give = {.type = MAP_HANDOVER, .about = member(1, "", 1).id, .incarnation = 1};
    give.handover.n = 1;
    give.handover.to = member(3, "", 1).id;
    give.handover.to_incarnation = 1;
    give.handover.empty = true;
    for (unsigned slot = 0; slot < SLOTS; slot++)
        if (m.slots[slot].want[0] == 2)
            bits_add(&give.handover.slots, slot);
    apply(&m, give);
    apply(&m, (struct map_entry){.type = MAP_SUSPECTED, .about = member(2, "", 1).id, .incarnation = 1});
    shows(&m, "16384 slots, 3 nodes, 5 arcs; 4096 slots wait to move (25.0%)\n"
              "\n"
              "   0               4096            8192            12288      16383\n"
              "  |bbbbbbbbbbbbbbbbccccccccccccccccccccccccccccccccaaaaaaaaaaaaaaaa|  who leads; a sign: 256 slots\n"
              "\n"
              "    node                  id       wght serves copies  share                arcs  to move     state\n"
              "  a 10.0.0.1:7001         01ab0000    1   8192   8192  25.0% #######           1  +0 -4096    up\n"
              "  b 10.0.0.2:7002         02ab0000    1      0      0  25.0% #######           2  +4096 -0    suspect\n"
              "  c 10.0.0.3:7003         03ab0000    2   8192   8192  50.0% #############     2              up\n");
    map_free(&m);
}

static void the_first_has_one_arc(void **state)
{
    (void)state;
    struct map m = founded("");
    char *text = picture(&m);
    assert_non_null(strstr(text, "16384 slots, 1 nodes, 1 arcs\n"));
    assert_non_null(strstr(text, "|aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa|"));
    mem_free(text);
    map_free(&m);
}

/* Two copies of each slot, wished where there is one yet. */
static void copies_are_drawn_below(void **state)
{
    (void)state;
    struct map m = founded("");
    m.settings.replication_factor = 2;
    apply(&m, (struct map_entry){.type = MAP_JOIN, .member = member(2, "", 1)});
    place(&m);
    shows(&m, "16384 slots, 2 nodes, 2 arcs, 2 copies; 8192 slots wait to move (50.0%); 16384 copies wait to be made\n"
              "\n"
              "   0               4096            8192            12288      16383\n"
              "  |bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa|  who leads; a sign: 256 slots\n"
              "  |aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb|  copy 2\n"
              "\n"
              "    node                  id       wght serves copies  share                arcs  to move     state\n"
              "  a 10.0.0.1:7001         01ab0000    1  16384  16384  50.0% #############     1  +0 -8192    up\n"
              "  b 10.0.0.2:7002         02ab0000    1      0      0  50.0% #############     1  +8192 -0    up\n");
    map_free(&m);
}

/* What waits, what is without a primary, who leaves, who cannot hold data: each is said. */
static void trouble_is_said(void **state)
{
    (void)state;
    struct map m = founded("north");
    apply(&m, (struct map_entry){.type = MAP_JOIN, .member = member(2, "south", 1)});
    apply(&m, (struct map_entry){.type = MAP_JOIN, .member = member(3, "south", 0)});
    apply(&m, (struct map_entry){.type = MAP_SUSPECTED, .about = member(1, "", 1).id, .incarnation = 1});
    apply(&m, (struct map_entry){.type = MAP_DOWNED, .about = member(1, "", 1).id, .incarnation = 1});
    apply(&m, (struct map_entry){.type = MAP_LEAVE, .about = member(1, "", 1).id});
    struct map_entry pause = {.type = MAP_SET, .set = {"rebalance-paused", 1}};
    apply(&m, pause);
    place(&m);
    char *text = picture(&m);
    assert_non_null(strstr(text, "16384 slots, 3 nodes, 1 arcs, 2 zones; 16384 slots wait to move (100.0%); "
                                 "16384 without a primary; rebalancing is paused\n"));
    assert_non_null(strstr(text, "zone north: 1 nodes, 0.0%\n"));
    assert_non_null(strstr(text, "zone south: 2 nodes, 100.0%\n"));
    assert_non_null(strstr(text, "leaving, down\n"));
    assert_non_null(strstr(text, "+16384 -0"));
    assert_non_null(strstr(text, "arbiter\n"));
    mem_free(text);
    map_free(&m);
}

static void many_nodes_have_a_line_each(void **state)
{
    (void)state;
    static const char *const zones[] = {"one", "two", "three"};
    struct map m = founded("one");
    for (unsigned i = 2; i <= 100; i++)
        apply(&m, (struct map_entry){.type = MAP_JOIN, .member = member(i, zones[i % 3], 1 + i % 4)});
    place(&m);
    char *text = picture(&m);
    unsigned lines = 0;
    for (char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1, lines++)
        assert_true(end - line <= 100);
    assert_in_range(lines, 100 + 3 + 2, 100 + 3 + 6);
    assert_null(strchr(text, '|')); /* more nodes than signs */
    mem_free(text);
    map_free(&m);
}

UNIT_TESTS("ring",
           TEST(no_cluster_has_no_ring, "a node in no cluster has no ring"),
           TEST(three_nodes_are_seen_at_a_glance, "three nodes are seen at a glance: circle, shares, moves, state"),
           TEST(copies_are_drawn_below, "copies are drawn below who leads, and what waits to be copied is said"),
           TEST(the_first_has_one_arc, "the first node has the whole circle"),
           TEST(trouble_is_said, "what waits, who leaves and what has no primary is said"),
           TEST(many_nodes_have_a_line_each, "a hundred nodes have a line each, of at most 100 columns"))

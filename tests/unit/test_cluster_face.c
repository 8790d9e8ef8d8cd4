/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/lib/some_nodes.h"

#include "core/ring/ring.h"
#include "core/map/map_setting.h"
#include "node/cluster.h"

static struct some w;

#define ID_A "6100000000000000000000000000000000000000"
#define ID_B "6200000000000000000000000000000000000000"
#define ID_C "6300000000000000000000000000000000000000"

/* Node 0 has 0-5460, node 1 5461-10922, node 2 the rest. */
static void start(void)
{
    some_start(&w, "appendonly no");
    for (unsigned slot = 0; slot < SLOTS; slot++)
        w.owner[slot] = (uint16_t)(slot / 5461 > 2 ? 2 : slot / 5461);
    some_map(&w);
}

static void nodes_are_lines(void **state)
{
    (void)state;
    start();
    w.map.nodes.at[1].health = MAP_SUSPECT;
    w.map.nodes.at[2].health = MAP_DOWN;
    (void)snprintf(w.map.nodes.at[2].at.hostname, HOSTNAME_BYTES, "c.example");
    some_map(&w);
    some_send(&w, 0, 1, "CLUSTER NODES");
    some_expect(&w, 0, 1,
                "$322\r\n"
                ID_A " 10.0.0.1:7000@17000 myself,master - 0 0 2 connected 0-5460\n"
                ID_B " 10.0.0.2:7000@17000 master,fail? - 0 0 2 disconnected 5461-10921\n"
                ID_C " 10.0.0.3:7000@17000,c.example master,fail - 0 0 2 disconnected 10922-16383\n\r\n");
    some_stop(&w);
}

static void slots_are_covered_even_without_a_primary(void **state)
{
    (void)state;
    start();
    for (unsigned slot = 5461; slot < 10922; slot++) { /* electing: shown under the last one */
        w.owner[slot] = MAP_NOBODY;
        w.map.slots[slot].isr_n = 1;
    }
    some_map(&w);
    some_send(&w, 0, 1, "CLUSTER SLOTS");
    some_expect(&w, 0, 1,
                "*3\r\n"
                "*3\r\n:0\r\n:5460\r\n*4\r\n$8\r\n10.0.0.1\r\n:7000\r\n$40\r\n" ID_A "\r\n*0\r\n"
                "*3\r\n:5461\r\n:10921\r\n*4\r\n$8\r\n10.0.0.2\r\n:7000\r\n$40\r\n" ID_B "\r\n*0\r\n"
                "*3\r\n:10922\r\n:16383\r\n*4\r\n$8\r\n10.0.0.3\r\n:7000\r\n$40\r\n" ID_C "\r\n*0\r\n");
    some_send(&w, 0, 1, "CLUSTER INFO");
    some_expect(&w, 0, 1,
                "$534\r\ncluster_state:ok\r\ncluster_slots_assigned:16384\r\ncluster_slots_ok:10923\r\n"
                "cluster_slots_pfail:0\r\ncluster_slots_fail:5461\r\ncluster_known_nodes:3\r\ncluster_size:3\r\n"
                "cluster_current_epoch:2\r\ncluster_my_epoch:2\r\ncluster_stats_messages_sent:0\r\n"
                "cluster_stats_messages_received:0\r\ntotal_cluster_links_buffer_limit_exceeded:0\r\n"
                "cluster_map_version:3\r\ncluster_controller_term:0\r\ncluster_controller_leader:\r\n"
                "cluster_controller_voters:0\r\ncluster_slots_given_up:0\r\ncluster_forwarded_commands:0\r\n"
                "cluster_forwarded_again:0\r\ncluster_uncertain_replies:0\r\n\r\n");
    some_stop(&w);
}

static void endpoints_are_told_as_preferred(void **state)
{
    (void)state;
    start();
    for (unsigned i = 0; i < SOME_NODES; i++)
        (void)snprintf(w.map.nodes.at[i].at.hostname, HOSTNAME_BYTES, "%c.example", 'a' + (int)i);
    w.map.nodes.at[2].at.hostname[0] = '\0';
    some_map(&w);
    w.node[0].options.cluster_preferred_endpoint_type = ENDPOINT_HOSTNAME;
    some_send(&w, 0, 1, "CLUSTER SLOTS");
    some_expect(&w, 0, 1,
                "*3\r\n"
                "*3\r\n:0\r\n:5460\r\n*4\r\n$9\r\na.example\r\n:7000\r\n$40\r\n" ID_A "\r\n*2\r\n$2\r\nip\r\n$8\r\n10.0.0.1\r\n"
                "*3\r\n:5461\r\n:10921\r\n*4\r\n$9\r\nb.example\r\n:7000\r\n$40\r\n" ID_B "\r\n*2\r\n$2\r\nip\r\n$8\r\n10.0.0.2\r\n"
                "*3\r\n:10922\r\n:16383\r\n*4\r\n$1\r\n?\r\n:7000\r\n$40\r\n" ID_C "\r\n*2\r\n$2\r\nip\r\n$8\r\n10.0.0.3\r\n");
    some_stop(&w);
}

static void shards_are_groups_of_slots(void **state)
{
    (void)state;
    start();
    for (unsigned slot = 0; slot < SLOTS; slot++)
        w.owner[slot] = slot == 7;
    some_map(&w);
    w.map.slots[9].isr_n = 2; /* a copy at node 2 */
    w.map.slots[9].isr[1] = 2;
    w.map.slots[9].isr_incarnation[1] = 1;
    map_replicas_follow(&w.map.slots[9]);
    some_map(&w);
#define NODE_TEXT(id, ip, role, health)                                                                            \
    "*14\r\n$2\r\nid\r\n$40\r\n" id "\r\n$4\r\nport\r\n:7000\r\n$2\r\nip\r\n$8\r\n" ip "\r\n$8\r\nendpoint\r\n$8\r\n" ip \
    "\r\n$4\r\nrole\r\n" role "\r\n$18\r\nreplication-offset\r\n:%llu\r\n$6\r\nhealth\r\n" health "\r\n"
    some_send(&w, 0, 1, "CLUSTER SHARDS");
    char right[2048];
    unsigned long long own = node_offset(w.node[0].node);
    int n = snprintf(right, sizeof(right),
                "*3\r\n"
                "*4\r\n$5\r\nslots\r\n*6\r\n:0\r\n:6\r\n:8\r\n:8\r\n:10\r\n:16383\r\n$5\r\nnodes\r\n*1\r\n"
                NODE_TEXT(ID_A, "10.0.0.1", "$6\r\nmaster", "$6\r\nonline")
                "*4\r\n$5\r\nslots\r\n*2\r\n:7\r\n:7\r\n$5\r\nnodes\r\n*1\r\n"
                NODE_TEXT(ID_B, "10.0.0.2", "$6\r\nmaster", "$6\r\nonline")
                "*4\r\n$5\r\nslots\r\n*2\r\n:9\r\n:9\r\n$5\r\nnodes\r\n*2\r\n"
                NODE_TEXT(ID_A, "10.0.0.1", "$6\r\nmaster", "$6\r\nonline")
                NODE_TEXT(ID_C, "10.0.0.3", "$7\r\nreplica", "$7\r\nloading"),
                own, 0ULL, own, 0ULL);
    one_step(&w.node[0], (struct node_event){.type = NODE_RELEASE});
    assert_int_equal(w.node[0].got[1].n, n);
    assert_memory_equal(w.node[0].got[1].p, right, (size_t)n);

    some_stop(&w);
}

static void the_ring_is_drawn(void **state)
{
    (void)state;
    start();
    some_send(&w, 0, 1, "CLUSTER RING");
    one_step(&w.node[0], (struct node_event){.type = NODE_RELEASE});
    struct chain drawn = {0};
    char right[4096];
    ring_text(&drawn, &w.map);
    int head = snprintf(right, sizeof(right), "$%zu\r\n", drawn.n);
    size_t n = (size_t)head + chain_copy(&drawn, right + head, sizeof(right) - (size_t)head);
    chain_free(&drawn, NULL);
    assert_int_equal(w.node[0].got[1].n, n + 2);
    assert_memory_equal(w.node[0].got[1].p, right, n);
    buf_clear(&w.node[0].got[1]);
    some_send(&w, 0, 1, "HELLO 3\nCLUSTER RING");
    one_step(&w.node[0], (struct node_event){.type = NODE_RELEASE});
    assert_non_null(memmem(w.node[0].got[1].p, w.node[0].got[1].n, "\r\ntxt:16384 slots, 3 nodes, ", 28));
    some_stop(&w);
}

static void small_questions(void **state)
{
    (void)state;
    start();
    some_send(&w, 0, 1, "CLUSTER MYID\nCLUSTER KEYSLOT foo\nCLUSTER KEYSLOT {foo}bar\nCLUSTER REPLICAS " ID_B
                        "\nCLUSTER REPLICAS x\nCLUSTER COUNT-FAILURE-REPORTS " ID_B "\nCLUSTER LINKS");
    some_expect(&w, 0, 1, "$40\r\n" ID_A "\r\n:12182\r\n:12182\r\n*0\r\n-ERR Unknown node x\r\n:0\r\n*0\r\n");
    some_send(&w, 2, 1, "SET foo 1\nSET {foo}x 2\nCLUSTER COUNTKEYSINSLOT 12182\nCLUSTER GETKEYSINSLOT 12182 1\n"
                        "CLUSTER COUNTKEYSINSLOT 16384\nCLUSTER GETKEYSINSLOT 1 -1\nCLUSTER COUNTKEYSINSLOT x");
    one_step(&w.node[2], (struct node_event){.type = NODE_RELEASE});
    struct slice got = buf_slice(&w.node[2].got[1]);
    assert_memory_equal(got.p, "+OK\r\n+OK\r\n:2\r\n*1\r\n$", 19);
    const char *rest = "-ERR Invalid slot\r\n-ERR Invalid slot or number of keys\r\n"
                       "-ERR value is not an integer or out of range\r\n";
    assert_memory_equal(got.p + got.n - strlen(rest), rest, strlen(rest));
    some_send(&w, 0, 1, "CLUSTER ADDSLOTS 1\nSELECT 1\nSELECT 0\nSWAPDB 0 1");
    some_expect(&w, 0, 1, "-ERR slots are placed by the controller; use CLUSTER MEET, FORGET or REBALANCE\r\n"
                          "-ERR SELECT is not allowed in cluster mode\r\n+OK\r\n"
                          "-ERR SWAPDB is not allowed in cluster mode\r\n");
    some_send(&w, 0, 1, "COPY {a}x {a}y DB 1\nMOVE {a}x 1"); /* {a} is node 2's: 15495 */
    some_carry(&w);
    some_expect(&w, 0, 1, "-ERR Copying to another database is not allowed in cluster mode\r\n"
                          "-ERR MOVE is not allowed in cluster mode\r\n");
    some_stop(&w);
}

static struct word *newest_ask(void)
{
    for (size_t i = w.words_n[0]; i-- > 0;)
        if (w.words[0][i].type == WORD_ASK)
            return &w.words[0][i];
    fail_msg("nothing was asked");
    return NULL;
}

static void answer(const char *error)
{
    struct word word = {.type = WORD_ANSWER, .answer = {.token = newest_ask()->ask.token}};
    (void)snprintf(word.answer.error, sizeof(word.answer.error), "%s", error);
    one_step(&w.node[0], (struct node_event){.type = NODE_WORD, .word = &word});
}

static void what_changes_the_cluster_is_asked_for(void **state)
{
    (void)state;
    start();
    some_send(&w, 0, 1, "CLUSTER MEET 10.0.0.9 7000");
    some_expect(&w, 0, 1, "");
    assert_int_equal(newest_ask()->ask.what, ASK_MEET);
    assert_string_equal(newest_ask()->ask.text, "10.0.0.9");
    assert_int_equal(newest_ask()->ask.port, 7000);
    assert_int_equal(some_send(&w, 0, 1, "PING"), 0);
    answer("");
    some_expect(&w, 0, 1, "+OK\r\n");
    some_send(&w, 0, 1, "CLUSTER FORGET " ID_B);
    assert_int_equal(newest_ask()->ask.what, ASK_FORGET);
    assert_int_equal(newest_ask()->ask.id.b[0], 'b');
    answer("ERR it is the last one");
    some_expect(&w, 0, 1, "-ERR it is the last one\r\n");
    some_send(&w, 0, 1, "CLUSTER SETTINGS SET cluster-node-timeout 2000");
    assert_int_equal(newest_ask()->ask.what, ASK_SET);
    assert_int_equal(newest_ask()->ask.value, 2000);
    some_later(&w, 30001); /* nobody answers */
    some_expect(&w, 0, 1, "-TRYAGAIN the cluster did not answer in time; CLUSTER NODES tells whether it was done\r\n");
    answer(""); /* too late for anybody */
    some_expect(&w, 0, 1, "");
    some_send(&w, 0, 1, "CLUSTER FAILOVER");
    assert_int_equal(newest_ask()->ask.what, ASK_FAILOVER);
    assert_int_equal(newest_ask()->ask.value, FAILOVER_HANDOVER);
    assert_int_equal(newest_ask()->ask.id.b[0], 0);
    answer("");
    some_expect(&w, 0, 1, "+OK\r\n");
    some_send(&w, 0, 1, "CLUSTER FAILOVER TAKEOVER " ID_B);
    assert_int_equal(newest_ask()->ask.value, FAILOVER_TAKEOVER);
    assert_int_equal(newest_ask()->ask.id.b[0], 'b');
    answer("");
    some_expect(&w, 0, 1, "+OK\r\n");
    some_send(&w, 0, 1, "CLUSTER REBALANCE PAUSE");
    assert_string_equal(newest_ask()->ask.text, "rebalance-paused");
    answer("");
    some_expect(&w, 0, 1, "+OK\r\n");
    some_send(&w, 0, 1, "CLUSTER SETTINGS SET nope 1\nCLUSTER SETTINGS SET cluster-voters 4\nCLUSTER MEET a b\n"
                        "CLUSTER MEET 1.2.3.4 99999\nCLUSTER FAILOVER x\nCLUSTER FAILOVER FORCE " ID_B " x\nCLUSTER FORGET x\nCLUSTER REBALANCE x");
    some_expect(&w, 0, 1,
                "-ERR there is no setting 'nope'; CLUSTER SETTINGS GET lists them\r\n"
                "-ERR '4' is no value of cluster-voters: it goes from 1 to 5 and is odd\r\n"
                "-ERR Invalid TCP base port specified: b\r\n-ERR Invalid node address specified: 1.2.3.4:99999\r\n"
                "-ERR Unknown node x\r\n-ERR syntax error\r\n-ERR Unknown node x\r\n-ERR syntax error\r\n");
    some_stop(&w);
}

static void settings_that_would_stop_all_writes_are_refused(void **state)
{
    (void)state;
    start();
    w.map.settings.replication_factor = 2;
    some_map(&w);
    some_send(&w, 0, 1, "CLUSTER SETTINGS SET write-quorum 0\nCLUSTER SETTINGS SET write-quorum 4294967295\n"
                        "CONFIG SET write-quorum 6\nCLUSTER SETTINGS SET write-quorum most");
    some_expect(&w, 0, 1,
                "-ERR '0' is no value of write-quorum: it is all, majority, or a number from 1 to 5\r\n"
                "-ERR '4294967295' is no value of write-quorum: it is all, majority, or a number from 1 to 5\r\n"
                "-ERR '6' is no value of write-quorum: it is all, majority, or a number from 1 to 5\r\n"
                "-ERR 'most' is no value of write-quorum: it is all, majority, or a number from 1 to 5\r\n");
    some_send(&w, 0, 1, "CLUSTER SETTINGS SET write-quorum 3\nCONFIG SET min-replicas-to-write 2");
    some_expect(&w, 0, 1,
                "-ERR write-quorum is more than replication-factor, so no write could ever be acknowledged: a greater "
                "replication-factor, or a smaller write-quorum, comes first\r\n"
                "-ERR min-replicas-to-write is not less than replication-factor, so every write would be refused: a greater "
                "replication-factor, or a smaller min-replicas-to-write, comes first\r\n");
    w.map.settings.write_quorum = 2;
    some_map(&w);
    some_send(&w, 0, 1, "CLUSTER SETTINGS SET replication-factor 1");
    some_expect(&w, 0, 1,
                "-ERR write-quorum is more than replication-factor, so no write could ever be acknowledged: a greater "
                "replication-factor, or a smaller write-quorum, comes first\r\n");
    w.map.settings.replication_factor = 1; /* as an earlier build's cluster may have it: out of there it goes step by step */
    some_map(&w);
    some_send(&w, 0, 1, "CLUSTER SETTINGS SET write-quorum 3");
    assert_int_equal(newest_ask()->ask.value, 3);
    some_stop(&w);
}

static void settling_is(const char *text)
{
    struct buf *got = &w.node[0].got[1];
    char all[200];
    size_t n = (size_t)snprintf(all, sizeof(all), "$8\r\nsettling\r\n%s", text);
    buf_clear(got);
    some_send(&w, 0, 1, "CLUSTER SETTINGS GET");
    one_step(&w.node[0], (struct node_event){.type = NODE_RELEASE});
    assert_true(got->n > n);
    assert_memory_equal(got->p + got->n - n, all, n);
    buf_clear(got);
}

static void what_settles_is_told(void **state)
{
    (void)state;
    start();
    settling_is("$2\r\nno\r\n");
    w.map.timeout.wait_ms = 9000;
    w.map.slots[7].formers = w.map.slots[9].formers = 1u << 2;
    some_map(&w);
    settling_is("$97\r\ncluster-node-timeout: leases of 1000, waits of 9000; "
                "write-quorum and replication-factor: 2 slots\r\n");
    some_stop(&w);
}

static void rebalance_status_tells_of_slots_with_keys(void **state)
{
    (void)state;
    start();
    const char *key = some_key(&w, 0, 0);
    char line[64];
    (void)snprintf(line, sizeof(line), "SET %s v", key);
    some_send(&w, 0, 1, line);
    some_expect(&w, 0, 1, "+OK\r\n");
    w.map.slots[slot_of(slice_str(key))].want[0] = 1;
    some_map(&w);
    some_send(&w, 0, 1, "CLUSTER REBALANCE STATUS");
    some_expect(&w, 0, 1, "*6\r\n$6\r\npaused\r\n$2\r\nno\r\n$23\r\nslots-being-handed-over\r\n:0\r\n"
                          "$23\r\nslots-waiting-with-keys\r\n:1\r\n");
    some_stop(&w);
}

static void config_speaks_of_the_maps_settings(void **state)
{
    (void)state;
    some_start(&w, "appendonly no\ncluster-voters 3");
    map_settings_preset(&w.map.settings);
    some_map(&w);
    some_send(&w, 0, 1, "CONFIG GET cluster-voters replication-factor\nCONFIG GET write-quorum");
    some_expect(&w, 0, 1, "*4\r\n$14\r\ncluster-voters\r\n$1\r\n5\r\n$18\r\nreplication-factor\r\n$1\r\n2\r\n"
                          "*2\r\n$12\r\nwrite-quorum\r\n$3\r\nall\r\n");
    some_send(&w, 0, 1, "CONFIG SET cluster-voters 4");
    some_expect(&w, 0, 1, "-ERR '4' is no value of cluster-voters: it goes from 1 to 5 and is odd\r\n");
    some_send(&w, 0, 1, "CONFIG SET maxclients 100 cluster-voters 1");
    some_expect(&w, 0, 1, "-ERR CONFIG SET failed (possibly related to argument 'cluster-voters') - the whole cluster has it "
                          "in common: set it alone\r\n");
    some_send(&w, 0, 1, "CONFIG SET write-quorum majority");
    some_expect(&w, 0, 1, ""); /* it waits for the decision */
    assert_int_equal(newest_ask()->ask.what, ASK_SET);
    assert_string_equal(newest_ask()->ask.text, "write-quorum");
    w.map.settings.write_quorum = MAP_W_MAJORITY;
    some_map(&w);
    answer("");
    some_send(&w, 0, 1, "CONFIG GET write-quorum");
    some_expect(&w, 0, 1, "+OK\r\n*2\r\n$12\r\nwrite-quorum\r\n$8\r\nmajority\r\n");
    struct buf file;
    buf_init(&file, OPTIONS_TEXT_MAX);
    options_rewrite(&w.node[0].options, SLICE("cluster-voters 3\n"), &file); /* CONFIG REWRITE */
    assert_non_null(memmem(file.p, file.n, "cluster-voters 5\n", 17));
    assert_non_null(memmem(file.p, file.n, "write-quorum \"majority\"\n", 24));
    buf_free(&file);
    some_send(&w, 0, 1, "CONFIG SET maxclients 100");
    some_expect(&w, 0, 1, "+OK\r\n");
    some_stop(&w);
}

UNIT_TESTS("the cluster's face",
           TEST(nodes_are_lines, "CLUSTER NODES is a line for each, as libraries parse it"),
           TEST(slots_are_covered_even_without_a_primary, "CLUSTER SLOTS covers all 16384, and INFO counts them"),
           TEST(endpoints_are_told_as_preferred, "cluster-preferred-endpoint-type decides how a node is called"),
           TEST(shards_are_groups_of_slots, "CLUSTER SHARDS groups slots by who serves them"),
           TEST(the_ring_is_drawn, "CLUSTER RING draws the circle of slots"),
           TEST(small_questions, "the small questions, and what a cluster does not allow"),
           TEST(what_changes_the_cluster_is_asked_for, "what changes the cluster is asked of the control plane"),
           TEST(config_speaks_of_the_maps_settings, "CONFIG GET, SET and REWRITE speak of the map's settings"),
           TEST(settings_that_would_stop_all_writes_are_refused, "a setting that would stop all writes is refused, with the remedy"),
           TEST(what_settles_is_told, "CLUSTER SETTINGS GET tells what is not settled yet"),
           TEST(rebalance_status_tells_of_slots_with_keys, "CLUSTER REBALANCE STATUS tells of slots that wait with keys"))

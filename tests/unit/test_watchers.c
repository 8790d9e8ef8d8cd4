/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "node/stats.h"
#include <stdio.h>

#include "tests/lib/one_node.h"

static const char *got(struct one *o, uint32_t conn)
{
    one_step(o, (struct node_event){.type = NODE_RELEASE});
    struct buf *b = &o->got[conn];
    assert_int_equal(buf_add(b, slice_of("", 1)), ERR_OK);
    b->n = 0;
    return b->p;
}

static void has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("no %s in %s", part, text);
}

static void monitors_see_what_ran(void **state)
{
    (void)state;
    struct one o;
    one_start(&o, "appendonly no");
    one_open(&o, 1);
    one_open(&o, 2);
    one_send(&o, 1, "MONITOR");
    one_expect(&o, 1, "+OK\r\n");
    one_send(&o, 2,
             "MULTI\nSET a \"x y\\x01\\n\"\nCONFIG GET port\nEXEC\nSELECT 3\nNOSUCH\nGET\nAUTH "
             "default secret\n"
             "HELLO 2 AUTH default secret SETNAME me");
    assert_string_equal(got(&o, 1),
                        "+1700000000.000000 [0 peer:1] \"MULTI\"\r\n"
                        "+1700000000.000000 [0 peer:1] \"SET\" \"a\" \"x y\\x01\\n\"\r\n"
                        "+1700000000.000000 [0 peer:1] \"EXEC\"\r\n"
                        "+1700000000.000000 [3 peer:1] \"SELECT\" \"3\"\r\n"
                        "+1700000000.000000 [3 peer:1] \"AUTH\" \"(redacted)\" \"(redacted)\"\r\n"
                        "+1700000000.000000 [3 peer:1] \"HELLO\" \"2\" \"AUTH\" \"(redacted)\" "
                        "\"(redacted)\" \"SETNAME\" \"me\"\r\n");
    one_send(&o, 1, "RESET");
    one_send(&o, 2, "PING");
    one_expect(&o, 1, "+RESET\r\n");
    one_stop(&o);
}

static void the_slow_log_is_cut_and_bounded(void **state)
{
    (void)state;
    struct one o;
    one_start(&o, "appendonly no\nslowlog-log-slower-than 0\nslowlog-max-len 2");
    one_open(&o, 1);
    char line[1024] = "MGET";
    for (int i = 1; i < 33; i++)
        strcat(line, " k");
    one_send(&o, 1, line); /* 33 arguments: one more than are kept */
    one_send(&o, 1, "SLOWLOG GET");
    has(got(&o, 1), "$22\r\n... (2 more arguments)\r\n$6\r\npeer:1\r\n$0\r\n\r\n");
    one_send(&o, 1, "SLOWLOG RESET");
    strcpy(line, "GET ");
    memset(line + 4, 'x', 129);
    one_send(&o, 1, line);
    one_send(&o, 1, "CONFIG SET requirepass secret");
    one_send(&o, 1, "CLIENT SETNAME me");
    got(&o, 1);
    one_send(&o, 1, "SLOWLOG GET -1");
    const char *text = got(&o, 1);
    assert_null(strstr(text, "secret"));
    has(text, "*2\r\n*6\r\n:5\r\n"); /* the newest two; ids go on over RESET */
    has(text, "*6\r\n:4\r\n");
    one_send(&o, 1, "CONFIG SET slowlog-max-len 10\nCONFIG SET requirepass secret");
    line[4 + 129] = '\0';
    one_send(&o, 1, line);
    got(&o, 1);
    one_send(&o, 1, "SLOWLOG GET");
    text = got(&o, 1);
    has(text, "... (1 more bytes)\r\n");
    has(text, "$10\r\n(redacted)\r\n");
    assert_null(strstr(text, "secret"));
    one_send(&o, 1, "CONFIG SET slowlog-log-slower-than -1\nSLOWLOG RESET\nGET k\nSLOWLOG LEN");
    has(got(&o, 1), "+OK\r\n+OK\r\n$-1\r\n:0\r\n");
    one_stop(&o);
}

static void latency_keeps_the_worst_of_a_second(void **state)
{
    (void)state;
    struct one o;
    one_start(&o, "appendonly no");
    one_open(&o, 1);
    latency_note(o.node, LATENCY_COMMAND, 500000000);
    one_send(&o, 1, "LATENCY LATEST");
    one_expect(&o, 1, "*0\r\n"); /* not asked for */
    one_send(&o, 1, "CONFIG SET latency-monitor-threshold 10");
    one_expect(&o, 1, "+OK\r\n");
    latency_note(o.node, LATENCY_COMMAND, 9999999);
    latency_note(o.node, LATENCY_COMMAND, 10000000);
    latency_note(o.node, LATENCY_COMMAND, 30000000);
    latency_note(o.node, LATENCY_COMMAND, 20000000);
    one_later(&o, 1000);
    latency_note(o.node, LATENCY_COMMAND, 15000000);
    latency_note(o.node, LATENCY_FAST_COMMAND, 11000000);
    one_send(&o, 1, "LATENCY HISTORY command");
    one_expect(&o, 1, "*2\r\n*2\r\n:1700000000\r\n:30\r\n*2\r\n:1700000001\r\n:15\r\n");
    one_send(&o, 1, "LATENCY LATEST");
    one_expect(&o, 1, "*2\r\n*4\r\n$7\r\ncommand\r\n:1700000001\r\n:15\r\n:30\r\n"
                      "*4\r\n$12\r\nfast-command\r\n:1700000001\r\n:11\r\n:11\r\n");
    one_send(&o, 1, "LATENCY GRAPH command");
    has(got(&o, 1), "command - high 30 ms, low 15 ms (all time high 30 ms)\n");
    one_send(&o, 1, "LATENCY DOCTOR");
    has(got(&o, 1), "command: 2 spikes, 22 ms on average, 30 ms at worst.");
    one_send(&o, 1, "LATENCY RESET none command\nLATENCY RESET\nLATENCY RESET\nLATENCY LATEST");
    one_expect(&o, 1, ":1\r\n:1\r\n:0\r\n*0\r\n");
    one_stop(&o);
}

static void latency_rings_forget_the_oldest(void **state)
{
    (void)state;
    struct one o;
    one_start(&o, "appendonly no\nlatency-monitor-threshold 1");
    one_open(&o, 1);
    for (int i = 0; i < 161; i++) {
        latency_note(o.node, LATENCY_COMMAND, 2000000);
        one_later(&o, 1000);
    }
    one_send(&o, 1, "LATENCY HISTORY command");
    const char *text = got(&o, 1);
    has(text, "*160\r\n*2\r\n:1700000001\r\n");
    assert_null(strstr(text, ":1700000000\r\n"));
    one_stop(&o);
}

/* The samples of all events, one line each, forgotten afterwards. */
static void latest(struct one *o, const char *text)
{
    one_send(o, 1, "LATENCY LATEST\nLATENCY RESET");
    one_disk(o);
    const char *p = got(o, 1);
    for (char *end; *text != '\0'; text = end + (*end == ' ')) {
        char name[64];
        end = strchrnul(text, ' ');
        snprintf(name, sizeof(name), "\r\n%.*s\r\n:", (int)(end - text), text);
        p = strstr(p, name);
        if (p == NULL)
            fail_msg("no %.*s", (int)(end - text), text);
    }
}

static void latency_tells_what_held_the_clients_up(void **state)
{
    (void)state;
    struct one o;
    one_start(&o, "latency-monitor-threshold 50\nappendfsync always");
    one_open(&o, 1);
    o.disk_ns = 60000000;
    one_send(&o, 1, "SET k v");
    one_disk(&o);
    latest(&o, "aof-write aof-write-alone aof-fsync-always");
    one_send(&o, 1, "CONFIG SET appendfsync everysec");
    one_later(&o, 2000);
    one_send(&o, 1, "SET k w");
    assert_int_equal(o.asked.n, 2); /* a write, then a sync that takes its time */
    one_disk_next(&o);
    one_send(&o, 1, "SET k x");
    struct disk_op sync = o.asked.at[0]; /* which is answered last */
    o.asked.at[0] = o.asked.at[1];
    o.asked.at[1] = sync;
    one_disk_next(&o);
    one_disk_next(&o);
    latest(&o, "aof-write aof-write-alone aof-write-pending-fsync");
    one_send(&o, 1, "SET d v PX 10");
    o.disk_ns = 0;
    one_disk(&o);
    o.watch_step_ns = 70000000;
    one_later(&o, 1000);
    latest(&o, "expire-cycle");
    o.watch_step_ns = 1000;
    one_send(&o, 1, "CONFIG SET maxmemory-policy allkeys-lru");
    o.watch_step_ns = 70000000;
    one_send(&o, 1, "CONFIG SET maxmemory 1");
    o.watch_step_ns = 1000;
    got(&o, 1);
    latest(&o, "eviction-cycle eviction-del");
    one_stop(&o);
}

static void commands_are_counted_by_what_became_of_them(void **state)
{
    (void)state;
    struct one o;
    one_start(&o, "appendonly no");
    one_open(&o, 1);
    one_send(&o, 1, "SET k v\nGET k\nGET k\nINCR k\nGET\nNOSUCH\nCLIENT ID");
    got(&o, 1);
    one_send(&o, 1, "INFO commandstats errorstats stats latencystats");
    const char *text = got(&o, 1);
    has(text, "cmdstat_get:calls=2,");
    has(text, ",rejected_calls=1,failed_calls=0\r\n");
    has(text, "cmdstat_incr:calls=1,");
    has(text, ",rejected_calls=0,failed_calls=1\r\n");
    has(text, "cmdstat_client|id:calls=1,");
    has(text, "errorstat_ERR:count=3\r\n");
    has(text, "total_error_replies:3\r\n");
    has(text, "keyspace_hits:2\r\n");
    has(text, "latency_percentiles_usec_get:p50=");
    one_send(&o, 1, "LATENCY HISTOGRAM get nosuch");
    has(got(&o, 1), "*2\r\n$3\r\nget\r\n*4\r\n$5\r\ncalls\r\n:2\r\n$14\r\nhistogram_usec\r\n");
    one_send(&o, 1, "CONFIG RESETSTAT\nINFO commandstats errorstats");
    text = got(&o, 1);
    assert_null(strstr(text, "cmdstat_get"));
    assert_null(strstr(text, "errorstat_ERR"));
    one_stop(&o);
}

static void a_batch_is_shared_by_its_brief_commands(void **state)
{
    (void)state;
    struct one o;
    one_start(&o, "appendonly no");
    one_open(&o, 1);
    one_send(&o, 1, "SET k v\nGET k\nGET k\nGET k");
    const struct command_stats *c = o.node->stats->commands;
    assert_int_equal(c[SPEC_SET].calls, 1);
    assert_int_equal(c[SPEC_GET].calls, 3);
    assert_int_equal(c[SPEC_SET].ns * 3, c[SPEC_GET].ns);
    assert_true(c[SPEC_SET].ns > 0);
    one_stop(&o);
}

static void config_rewrite_wants_a_file(void **state)
{
    (void)state;
    struct one o;
    one_start(&o, "appendonly no");
    one_open(&o, 1);
    one_send(&o, 1, "CONFIG REWRITE");
    one_expect(&o, 1, "-ERR The server is running without a config file\r\n");
    assert_false(o.out.rewrite_config);
    one_stop(&o);
}

static void new_doors_wait_for_the_shell(void **state)
{
    (void)state;
    struct one o;
    one_start(&o, "appendonly no");
    one_open(&o, 1);
    one_open(&o, 2);
    one_send(&o, 1, "CONFIG SET port 7001 timeout 5");
    assert_int_equal(o.out.listen->port, 7001);
    one_send(&o, 2, "CONFIG SET maxclients 77\nCONFIG SET bind 1.2.3.4");
    one_expect(&o, 1, "");
    one_expect(&o, 2,
               "+OK\r\n-ERR CONFIG SET failed (possibly related to argument 'bind') - another change of where "
               "this server is reached is under way\r\n");
    assert_int_equal(o.options.port, 6379);
    one_step(&o, (struct node_event){.type = NODE_LISTENING, .listens = true});
    assert_int_equal(o.out.options.n, 2);
    assert_true(o.resumed[1]);
    one_expect(&o, 1, "+OK\r\n");
    assert_int_equal(o.options.port, 7001);
    assert_int_equal(o.options.timeout, 5);
    assert_int_equal(o.options.maxclients, 77); /* set meanwhile */
    one_send(&o, 1, "CONFIG SET bind 1.2.3.4 timeout 9");
    one_step(&o, (struct node_event){.type = NODE_LISTENING, .listens = false});
    one_expect(&o, 1,
               "-ERR CONFIG SET failed (possibly related to argument 'bind') - Failed to bind to specified "
               "addresses.\r\n");
    assert_int_equal(o.options.timeout, 5);
    one_send(&o, 1, "CONFIG SET port 7001"); /* it is: nothing to wait for */
    assert_null(o.out.listen);
    one_expect(&o, 1, "+OK\r\n");
    one_stop(&o);
}

UNIT_TESTS("watchers",
           TEST(monitors_see_what_ran, "MONITOR shows what ran, after it ran, without secrets"),
           TEST(the_slow_log_is_cut_and_bounded,
                "the slow log keeps 32 arguments of 128 bytes, and so many entries"),
           TEST(latency_keeps_the_worst_of_a_second,
                "LATENCY keeps the worst of each second over the threshold"),
           TEST(latency_rings_forget_the_oldest, "LATENCY keeps 160 samples of an event"),
           TEST(latency_tells_what_held_the_clients_up,
                "LATENCY tells of writes and syncs of the log, expiry and eviction"),
           TEST(commands_are_counted_by_what_became_of_them,
                "calls, failures, rejections and errors are counted apart"),
           TEST(a_batch_is_shared_by_its_brief_commands,
                "the time of a batch is shared by its brief commands"),
           TEST(new_doors_wait_for_the_shell, "CONFIG SET of port or bind is all of it once the doors are open, or none"),
           TEST(config_rewrite_wants_a_file, "CONFIG REWRITE without a file is refused"))

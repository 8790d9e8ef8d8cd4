/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include <stdio.h>

#include "tests/lib/one_node.h"

/* Has the log got these bytes by now? */
#define log_has(o, text) (memmem((o)->file.p, (o)->file.n, text, sizeof(text) - 1) != NULL)

static void a_reply_waits_for_its_write(void **state)
{
    (void)state;
    struct one o;
    one_start(&o, "appendfsync everysec");
    one_open(&o, 1);
    assert_int_equal(one_send(&o, 1, "SET k v\nGET k"), 2);
    one_expect(&o, 1, "");
    one_disk_next(&o);
    one_expect(&o, 1, "+OK\r\n$1\r\nv\r\n");
    one_stop(&o);
}

static void under_always_it_waits_for_the_sync(void **state)
{
    (void)state;
    struct one o;
    one_start(&o, "appendfsync always");
    one_open(&o, 1);
    one_send(&o, 1, "SET k v");
    one_expect(&o, 1, "");
    assert_int_equal(o.asked.at[0].type, DISK_WRITE);
    one_disk_next(&o);
    one_expect(&o, 1, "");
    assert_int_equal(o.asked.at[0].type, DISK_SYNC);
    one_disk_next(&o);
    one_expect(&o, 1, "+OK\r\n");
    one_stop(&o);
}

static void a_read_waits_for_the_write_it_saw(void **state)
{
    (void)state;
    struct one o;
    one_start(&o, "appendfsync always");
    one_open(&o, 1);
    one_open(&o, 2);
    one_send(&o, 2, "GET k");
    one_expect(&o, 2, "$-1\r\n"); /* nothing was written yet: nothing to wait for */
    one_send(&o, 1, "SET k v");
    one_send(&o, 2, "GET k");
    one_expect(&o, 2, "");
    one_disk(&o);
    one_expect(&o, 2, "$1\r\nv\r\n");
    one_stop(&o);
}

static void gates_open_in_order(void **state)
{
    (void)state;
    struct one o;
    one_start(&o, "appendfsync always");
    one_open(&o, 1);
    one_send(&o, 1, "SET k 1");
    one_expect(&o, 1, "");
    one_send(&o, 1, "INCR k"); /* gathers while the first is written and synced: group commit */
    one_expect(&o, 1, "");
    one_disk_next(&o);
    one_disk_next(&o);
    one_expect(&o, 1, "+OK\r\n");
    one_disk(&o);
    one_expect(&o, 1, ":2\r\n");
    one_stop(&o);
}

static void a_commit_waits_for_those_just_answered(void **state)
{
    (void)state;
    struct one o;
    one_start(&o, "appendfsync always");
    one_open(&o, 1);
    one_open(&o, 2);
    one_send(&o, 1, "SET a 1");
    one_expect(&o, 1, "");
    one_send(&o, 2, "SET b 1");
    one_expect(&o, 2, "");
    o.now.us += 1000; /* the sync takes so long: half of it is the patience */
    one_disk_next(&o);
    one_disk_next(&o);
    one_expect(&o, 1, "+OK\r\n");
    assert_int_equal(o.asked.n, 0); /* b waits for the client just answered ... */
    one_send(&o, 1, "SET a 2");
    one_expect(&o, 1, "");
    assert_int_equal(o.asked.n, 2); /* ... who is back: one commit for both */
    one_disk_next(&o);
    one_disk_next(&o);
    one_expect(&o, 1, "+OK\r\n");
    one_expect(&o, 2, "+OK\r\n");
    one_send(&o, 2, "SET b 2");
    one_expect(&o, 2, "");
    assert_int_equal(o.asked.n, 2); /* no sync took any time: no patience */
    one_stop(&o);
}

static void batches_of_one_wave_are_one_write(void **state)
{
    (void)state;
    struct one o;
    char big[1000];
    one_start(&o, "appendfsync everysec");
    one_open(&o, 1);
    one_send_more(&o, 1, "SET a 1", true);
    assert_int_equal(o.asked.n, 0);
    one_send_more(&o, 1, "SET b 1", true);
    assert_int_equal(o.asked.n, 0);
    one_step(&o, (struct node_event){.type = NODE_REQUESTS}); /* nothing more came */
    assert_int_equal(o.asked.n, 2); /* WRITE, SYNC */
    one_expect(&o, 1, "");
    one_disk_next(&o);
    one_expect(&o, 1, "+OK\r\n+OK\r\n");
    one_disk(&o);
    memset(big, 'v', sizeof(big) - 1);
    memcpy(big, "SET a ", 6);
    big[sizeof(big) - 1] = '\0';
    unsigned batches = 0;
    for (; o.asked.n == 0 && batches < 1000; batches++)
        one_send_more(&o, 1, big, true);
    assert_in_range(batches, 100, 500); /* what is much does not wait for more */
    one_stop(&o);
}

static void a_transaction_is_one_record(void **state)
{
    (void)state;
    struct one o;
    one_start(&o, "appendfsync everysec");
    one_open(&o, 1);
    one_send(&o, 1, "MULTI\nSET a 1\nSELECT 2\nSET b 2\nEXEC");
    one_disk(&o);
    one_expect(&o, 1, "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n+OK\r\n+OK\r\n+OK\r\n");
    assert_true(log_has(&o, "#V 0 1 1 "));
    assert_false(log_has(&o, "#V 0 1 2 "));
    assert_true(log_has(&o, "MULTI\r\n*3\r\n$3\r\nSET"));
    assert_true(log_has(&o, "*2\r\n$6\r\nSELECT\r\n$1\r\n2\r\n*3\r\n$3\r\nSET"));
    assert_true(log_has(&o, "$4\r\nEXEC\r\n"));
    one_stop(&o);
}

static void a_failed_sync_answers_uncertain(void **state)
{
    (void)state;
    struct one o;
    one_start(&o, "appendfsync always");
    one_open(&o, 1);
    one_open(&o, 2);
    one_send(&o, 1, "SET k v\nSET l w");
    one_send(&o, 2, "GET k");
    one_expect(&o, 1, "");
    one_disk_next(&o); /* the write */
    o.disk_err = ERR_IO;
    one_disk(&o);
    one_expect(&o, 1,
               "-UNCERTAIN the write may or may not have been kept: Input/output error\r\n"
               "-UNCERTAIN the write may or may not have been kept: Input/output error\r\n");
    one_expect(&o, 2, "-UNCERTAIN the write may or may not have been kept: Input/output error\r\n");
    one_send(&o, 1, "SET k x");
    one_expect(&o, 1, "-MISCONF Errors writing to the AOF file: Input/output error\r\n");
    one_send(&o, 2, "GET l");
    one_expect(&o, 2, "$1\r\nw\r\n");
    one_stop(&o);
}

static void a_pause_holds_and_lets_go(void **state)
{
    (void)state;
    struct one o;
    one_start(&o, "appendonly no");
    one_open(&o, 1);
    one_open(&o, 2);
    one_send(&o, 1, "CLIENT PAUSE 100 WRITE");
    one_expect(&o, 1, "+OK\r\n");
    assert_int_equal(one_send(&o, 2, "GET k\nSET k v"), 1);
    one_expect(&o, 2, "$-1\r\n");
    assert_int_equal(one_send(&o, 2, "SET k v"), 0);
    one_later(&o, 99);
    assert_false(o.resumed[2]);
    one_later(&o, 1);
    assert_true(o.resumed[2]);
    assert_int_equal(one_send(&o, 2, "SET k v"), 1);
    one_expect(&o, 2, "+OK\r\n");
    one_stop(&o);
}

static void wait_answers_when_its_time_is_over(void **state)
{
    (void)state;
    struct one o;
    one_start(&o, "appendonly no");
    one_open(&o, 1);
    assert_int_equal(one_send(&o, 1, "WAIT 1 50\nPING"), 1);
    one_later(&o, 49);
    one_expect(&o, 1, "");
    one_later(&o, 1);
    one_expect(&o, 1, ":0\r\n");
    assert_true(o.resumed[1]);
    one_send(&o, 1, "WAIT 0 0");
    one_expect(&o, 1, ":0\r\n");
    one_stop(&o);
}

static void garbage_behind_a_wait_goes_not_before_it(void **state)
{
    (void)state;
    struct one o;
    one_start(&o, "appendonly no");
    one_open(&o, 1);
    one_send(&o, 1, "WAIT 1 50");
    one_step(&o, (struct node_event){.type = NODE_BAD_INPUT, .bad = {1, "Protocol error: garbage"}});
    one_expect(&o, 1, "");
    one_later(&o, 50);
    one_expect(&o, 1, ":0\r\n-ERR Protocol error: garbage\r\n");
    assert_true(o.closed[1]);
    one_stop(&o);
}

static void waitaof_asks_for_a_sync_and_waits_for_it(void **state)
{
    (void)state;
    struct one o;
    one_start(&o, "appendfsync everysec");
    one_open(&o, 1);
    one_send(&o, 1, "SET j v");
    one_disk(&o); /* with the sync that is due first of all: the next is due in a second */
    one_expect(&o, 1, "+OK\r\n");
    one_send(&o, 1, "SET k v\nWAITAOF 1 0 0");
    one_step(&o, (struct node_event){.type = NODE_RELEASE});
    one_disk_next(&o);
    one_expect(&o, 1, "+OK\r\n");
    assert_int_equal(o.asked.n, 1);
    assert_int_equal(o.asked.at[0].type, DISK_SYNC);
    one_disk_next(&o);
    one_expect(&o, 1, "*2\r\n:1\r\n:0\r\n");
    one_stop(&o);
}

static void reply_modes_say_nothing_when_asked(void **state)
{
    (void)state;
    struct one o;
    one_start(&o, "appendonly no");
    one_open(&o, 1);
    one_send(&o, 1, "CLIENT REPLY SKIP\nPING\nPING");
    one_expect(&o, 1, "+PONG\r\n");
    one_send(&o, 1, "CLIENT REPLY OFF\nPING\nCLIENT REPLY ON\nPING");
    one_expect(&o, 1, "+OK\r\n+PONG\r\n");
    one_stop(&o);
}

static void what_is_due_goes_with_its_record(void **state)
{
    (void)state;
    struct one o;
    one_start(&o, "appendfsync everysec");
    one_open(&o, 1);
    one_send(&o, 1, "SET k v PX 50\nSET l w PX 10000");
    one_disk(&o);
    one_later(&o, 1000);
    one_later(&o, 1000);
    one_disk(&o);
    assert_true(log_has(&o, "*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n"));
    assert_false(log_has(&o, "*2\r\n$3\r\nDEL\r\n$1\r\nl\r\n"));
    one_stop(&o);
}

static void closing_drops_what_is_owed(void **state)
{
    (void)state;
    struct one o;
    one_start(&o, "appendfsync always");
    one_open(&o, 1);
    one_send(&o, 1, "SET k v\nMULTI\nSET l w\nWATCH x");
    one_step(&o, (struct node_event){.type = NODE_RELEASE});
    one_step(&o, (struct node_event){.type = NODE_CLOSED, .closed = 1});
    one_disk(&o);
    one_open(&o, 1); /* the number has a new owner, who is owed nothing */
    one_expect(&o, 1, "");
    one_stop(&o);
}

static void stopping_waits_for_the_disk(void **state)
{
    (void)state;
    struct one o;
    one_start(&o, "appendfsync everysec");
    one_open(&o, 1);
    one_send(&o, 1, "SET k v");
    one_step(&o, (struct node_event){.type = NODE_STOP});
    assert_false(o.out.stop);
    bool stopped = false;
    while (o.asked.n > 0) {
        one_disk_next(&o);
        one_step(&o, (struct node_event){.type = NODE_DUE});
        stopped = o.out.stop;
        assert_true(o.asked.n == 0 || !stopped);
    }
    assert_true(stopped);
    assert_int_equal(o.node->journal.synced.n, 1);
    assert_int_equal(o.out.exit_code, 0);
    one_stop(&o);
}

static void eviction_goes_on_between_requests(void **state)
{
    (void)state;
    struct one o;
    char line[200];
    one_start(&o, "appendonly no\nmaxmemory-policy allkeys-lru");
    one_open(&o, 1);
    one_open(&o, 2);
    for (int i = 0; i < 1000; i++) {
        snprintf(line, sizeof(line), "SET k%d %0100d", i, i);
        one_send(&o, 1, line);
        one_expect(&o, 1, "+OK\r\n");
    }
    size_t limit = store_bytes(&o.node->store) / 4 * 3;
    snprintf(line, sizeof(line), "CONFIG SET maxmemory %zu", limit);
    one_send(&o, 1, line);
    one_expect(&o, 1, "+OK\r\n");
    uint64_t at_once = o.node->evicted;
    assert_true(at_once > 0 && store_bytes(&o.node->store) > limit);
    assert_int_equal(one_send(&o, 2, "SET another v"), 0); /* it waits, it is not refused */
    assert_int_equal(one_send(&o, 1, "EXISTS another"), 1);
    one_expect(&o, 1, ":0\r\n");
    for (int steps = 0; !o.resumed[2]; steps++) {
        assert_true(steps < 100);
        one_later(&o, 0);
    }
    assert_int_equal(one_send(&o, 2, "SET another v"), 1);
    one_expect(&o, 2, "+OK\r\n");
    while (o.node->evicting)
        one_later(&o, 0);
    assert_true(store_bytes(&o.node->store) <= limit);
    one_send(&o, 1, "CONFIG SET maxmemory-policy noeviction maxmemory 1");
    one_expect(&o, 1, "+OK\r\n");
    assert_int_equal(one_send(&o, 2, "SET another v"), 1);
    one_expect(&o, 2, "-OOM command not allowed when used memory > 'maxmemory'.\r\n");
    one_stop(&o);
}

/* The disk fails under a write, so that everything is read only from then on. */
static void start_failed(struct one *o, const char *before)
{
    one_start(o, "appendfsync always");
    one_open(o, 1);
    one_open(o, 2);
    one_send(o, 1, before);
    one_disk(o);
    one_step(o, (struct node_event){.type = NODE_RELEASE});
    buf_clear(&o->got[1]);
    one_send(o, 2, "SET other v");
    o->disk_err = ERR_IO;
    one_disk(o);
    one_expect(o, 2, "-UNCERTAIN the write may or may not have been kept: Input/output error\r\n");
}

static void what_expires_after_a_failure_stops_no_reads(void **state)
{
    (void)state;
    struct one o;
    start_failed(&o, "SET k v PX 50\nSET l w");
    o.wall.ms += 100;
    o.now.us += 100 * 1000;
    one_send(&o, 1, "GET k\nGET l");
    one_expect(&o, 1, "$-1\r\n$1\r\nw\r\n");
    one_send(&o, 2, "GET l");
    one_expect(&o, 2, "$1\r\nw\r\n");
    one_stop(&o);
}

static void the_errno_is_told(void **state)
{
    (void)state;
    struct one o;
    one_start(&o, "appendfsync always");
    one_open(&o, 1);
    one_send(&o, 1, "SET k v");
    o.disk_err = ERR_IO;
    o.disk_errno = EROFS;
    one_disk(&o);
    one_expect(&o, 1, "-UNCERTAIN the write may or may not have been kept: Read-only file system\r\n");
    one_send(&o, 1, "SET k v\nMULTI\nGET k\nEXEC");
    one_expect(&o, 1, "-MISCONF Errors writing to the AOF file: Read-only file system\r\n"
                      "+OK\r\n+QUEUED\r\n*1\r\n$1\r\nv\r\n");
    one_stop(&o);
}

static void switched_off_and_on_a_failed_log_begins_anew(void **state)
{
    (void)state;
    struct one o;
    start_failed(&o, "SET l w");
    one_send(&o, 1, "CONFIG SET appendonly no\nSET k v");
    one_expect(&o, 1, "+OK\r\n-MISCONF Errors writing to the AOF file: Input/output error\r\n");
    o.disk_err = ERR_OK;
    one_send(&o, 1, "SET k v\nGET other");
    one_expect(&o, 1, "+OK\r\n$1\r\nv\r\n");
    one_disk(&o);
    /* the handle and the name as a rewrite would start it: test_rewrite has how it comes to that */
    o.options.appendonly = true;
    journal_start(&o.node->journal, 3, "log2", 0);
    one_send(&o, 1, "SET k w");
    one_disk(&o);
    one_expect(&o, 1, "+OK\r\n");
    o.disk_err = ERR_IO; /* and fails anew: it is noticed */
    one_send(&o, 1, "SET k x");
    one_disk(&o);
    one_expect(&o, 1, "-UNCERTAIN the write may or may not have been kept: Input/output error\r\n");
    one_stop(&o);
}

static void switched_off_while_loading_it_is_off(void **state)
{
    (void)state;
    struct one o;
    one_start_loading(&o, "");
    one_open(&o, 1);
    one_send(&o, 1, "CONFIG SET appendonly no\nSET k v");
    one_expect(&o, 1, "+OK\r\n-LOADING Redis is loading the dataset in memory\r\n");
    one_loaded(&o);
    one_disk(&o);
    assert_int_equal(o.node->journal.state, JOURNAL_OFF);
    one_send(&o, 1, "SET k v");
    one_expect(&o, 1, "+OK\r\n");
    assert_int_equal(o.asked.n, 0);
    one_stop(&o);
}

static void a_cluster_s_node_says_that_it_loads(void **state)
{
    (void)state;
    struct one o = {.identity = {.seed = 1, .in_cluster = true}};
    one_begin(&o, "");
    one_open(&o, 1);
    one_send(&o, 1, "GET k\nMSET {a}1 x {b}1 y");
    one_expect(&o, 1, "-LOADING Redis is loading the dataset in memory\r\n"
                      "-LOADING Redis is loading the dataset in memory\r\n");
    one_loaded(&o);
    one_disk(&o);
    one_send(&o, 1, "GET k");
    one_expect(&o, 1, "-CLUSTERDOWN not yet joined\r\n");
    one_stop(&o);
}

static void a_pause_stops_expiry_and_eviction(void **state)
{
    (void)state;
    struct one o;
    one_start(&o, "appendonly no\nmaxmemory-policy allkeys-lru");
    one_open(&o, 1);
    one_open(&o, 2);
    one_send(&o, 1, "MSET l w m w\nSET k v PX 50\nCLIENT PAUSE 1000 WRITE\nCONFIG SET maxmemory 1");
    one_expect(&o, 1, "+OK\r\n+OK\r\n+OK\r\n+OK\r\n");
    for (int i = 0; i < 8; i++)
        one_later(&o, 100);
    /* what is due is hidden, and there nonetheless */
    one_send(&o, 1, "GET k\nEXISTS k\nTYPE k\nKEYS k\nWATCH k\nUNWATCH\nRANDOMKEY\nDBSIZE");
    one_step(&o, (struct node_event){.type = NODE_RELEASE});
    static const char begins[] = "$-1\r\n:0\r\n+none\r\n*0\r\n+OK\r\n+OK\r\n$1\r\n";
    assert_memory_equal(o.got[1].p, begins, sizeof(begins) - 1);
    assert_memory_equal(o.got[1].p + o.got[1].n - 4, ":3\r\n", 4);
    buf_clear(&o.got[1]);
    assert_int_equal(o.node->evicted, 0);
    assert_int_equal(o.node->cmd_stats.expired, 0);
    one_send(&o, 1, "CONFIG SET maxmemory 0\nCLIENT UNPAUSE\nGET k\nDBSIZE");
    one_expect(&o, 1, "+OK\r\n+OK\r\n$-1\r\n:2\r\n");
    one_stop(&o);
}

static void a_refused_writer_evicts_nothing(void **state)
{
    (void)state;
    struct one o;
    start_failed(&o, "SET l w");
    one_send(&o, 1, "CONFIG SET maxmemory-policy allkeys-lru maxmemory 1");
    one_expect(&o, 1, "+OK\r\n");
    one_send(&o, 1, "SET m v\nGET l");
    one_expect(&o, 1, "-MISCONF Errors writing to the AOF file: Input/output error\r\n$1\r\nw\r\n");
    one_stop(&o);
}

static void an_aborted_shutdown_is_owed_one_reply(void **state)
{
    (void)state;
    struct one o;
    one_start(&o, "appendfsync always");
    one_open(&o, 1);
    one_open(&o, 2);
    one_send(&o, 2, "SET k v");
    one_send(&o, 1, "SHUTDOWN");
    one_step(&o, (struct node_event){.type = NODE_RELEASE});
    one_send(&o, 2, "SHUTDOWN ABORT");
    one_step(&o, (struct node_event){.type = NODE_RELEASE});
    o.disk_err = ERR_IO;
    one_disk(&o);
    one_expect(&o, 1, "-UNCERTAIN the write may or may not have been kept: Input/output error\r\n");
    one_stop(&o);
}

static void a_late_reply_is_silent_too(void **state)
{
    (void)state;
    struct one o;
    one_start(&o, "appendonly no");
    one_open(&o, 1);
    one_send(&o, 1, "CLIENT REPLY OFF\nWAIT 1 50");
    one_later(&o, 50);
    one_send(&o, 1, "CLIENT REPLY ON");
    one_expect(&o, 1, "+OK\r\n");
    one_send(&o, 1, "CLIENT REPLY SKIP\nWAIT 1 50");
    one_later(&o, 50);
    one_send(&o, 1, "WAIT 1 50");
    one_later(&o, 50);
    one_expect(&o, 1, ":0\r\n");
    one_stop(&o);
}

static void a_pause_holds_transactions(void **state)
{
    (void)state;
    struct one o;
    one_start(&o, "appendonly no");
    for (uint32_t conn = 1; conn <= 3; conn++)
        one_open(&o, conn);
    one_send(&o, 2, "MULTI\nSET k v");
    one_send(&o, 3, "MULTI\nGET k");
    one_send(&o, 1, "CLIENT PAUSE 100 WRITE");
    assert_int_equal(one_send(&o, 2, "EXEC"), 0);
    assert_int_equal(one_send(&o, 3, "EXEC"), 1);
    one_expect(&o, 3, "+OK\r\n+QUEUED\r\n*1\r\n$-1\r\n");
    one_later(&o, 100);
    assert_int_equal(one_send(&o, 2, "EXEC"), 1);
    one_expect(&o, 2, "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n");
    one_stop(&o);
}

static void a_wait_may_be_longer_than_time(void **state)
{
    (void)state;
    struct one o;
    one_start(&o, "appendonly no");
    one_open(&o, 1);
    assert_int_equal(one_send(&o, 1, "WAIT 1 9223372036854775807\nPING"), 1);
    one_later(&o, 1000 * 1000);
    one_expect(&o, 1, "");
    one_stop(&o);
}

UNIT_TESTS("node",
           TEST(what_expires_after_a_failure_stops_no_reads, "what expires after the disk failed stops no reads"),
           TEST(switched_off_and_on_a_failed_log_begins_anew, "switched off and on, a failed log begins anew"),
           TEST(a_cluster_s_node_says_that_it_loads, "a cluster's node that loads says so, although it knows no map yet"),
           TEST(switched_off_while_loading_it_is_off, "switched off while it is loaded, the log is off"),
           TEST(a_pause_stops_expiry_and_eviction, "a pause stops expiry and eviction, too"),
           TEST(the_errno_is_told, "what the disk failed with is what writers are told"),
           TEST(a_refused_writer_evicts_nothing, "a writer who is refused for the disk evicts nothing"),
           TEST(an_aborted_shutdown_is_owed_one_reply, "an aborted SHUTDOWN is owed one reply when the disk fails"),
           TEST(a_late_reply_is_silent_too, "CLIENT REPLY OFF and SKIP hold for what is answered late"),
           TEST(a_pause_holds_transactions, "a pause of writes holds an EXEC that writes, and no other (N5)"),
           TEST(a_wait_may_be_longer_than_time, "the longest WAIT there can be waits"),
           TEST(a_reply_waits_for_its_write, "a reply waits for the write of its record (N2)"),
           TEST(under_always_it_waits_for_the_sync, "under always it waits for the sync (N2)"),
           TEST(a_read_waits_for_the_write_it_saw, "a read waits for the write it saw (N2, replication 6)"),
           TEST(gates_open_in_order, "gates open in order (N1)"),
           TEST(a_commit_waits_for_those_just_answered, "a commit waits a little for those just answered (group commit)"),
           TEST(batches_of_one_wave_are_one_write, "batches of one wave make one write (N2)"),
           TEST(a_transaction_is_one_record, "a transaction is one record, over databases too (N3)"),
           TEST(a_failed_sync_answers_uncertain, "after a failed sync: UNCERTAIN, then MISCONF, and reads go on"),
           TEST(a_pause_holds_and_lets_go, "a pause takes no writes and lets go on time (N5)"),
           TEST(wait_answers_when_its_time_is_over, "WAIT answers when its time is over"),
           TEST(garbage_behind_a_wait_goes_not_before_it, "garbage behind a WAIT is answered, and not before it (N1)"),
           TEST(waitaof_asks_for_a_sync_and_waits_for_it, "WAITAOF asks for a sync and waits for it"),
           TEST(reply_modes_say_nothing_when_asked, "CLIENT REPLY OFF and SKIP say nothing"),
           TEST(what_is_due_goes_with_its_record, "what is due goes, with its DEL in the log (replication 8)"),
           TEST(closing_drops_what_is_owed, "a closed connection is owed nothing"),
           TEST(eviction_goes_on_between_requests,
                "eviction goes on between requests; writers are refused where nothing may go"),
           TEST(stopping_waits_for_the_disk, "stopping waits until everything is synced"))

/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include <stdio.h>

#include "tests/lib/one_node.h"

struct said {
    uint32_t conn; /* 0: the end */
    const char *send, *expect;
};

static void play(struct one *o, const struct said *said)
{
    for (; said->conn != 0; said++) {
        one_send(o, said->conn, said->send);
        one_step(o, (struct node_event){.type = NODE_RELEASE});
        struct buf *got = &o->got[said->conn];
        assert_int_equal(buf_add(got, slice_of("", 1)), ERR_OK); /* an end for strings */
        assert_string_equal(got->p, said->expect);
        buf_clear(got);
    }
}

static void play_alone(const char *config, const struct said *said)
{
    struct one o;
    one_start(&o, config);
    one_open(&o, 1);
    one_open(&o, 2);
    play(&o, said);
    assert_int_equal(o.node->store.watched, 0); /* each case ends its watches */
    one_stop(&o);
}

static void what_touches_a_watched_key(void **state)
{
    (void)state;
    static const char *const touches[] = {"SET k v",    "SET k w",          "APPEND k x",
                                          "DEL k",      "RENAME k j",       "FLUSHDB",
                                          "FLUSHALL",   "EXPIRE k 100",     "INCR other\nSET k 1",
                                          "SWAPDB 0 1", "COPY j k REPLACE", "MULTI\nSET k 2\nEXEC"};
    for (size_t i = 0; i < sizeof(touches) / sizeof(touches[0]); i++) {
        struct one o;
        one_start(&o, "appendonly no");
        one_open(&o, 1);
        one_open(&o, 2);
        play(&o, (struct said[]){
                     {1, "MSET k v j w", "+OK\r\n"}, {1, "WATCH k", "+OK\r\n"}, {0, NULL, NULL}});
        one_send(&o, 2, touches[i]);
        play(&o, (struct said[]){{1, "MULTI\nGET j\nEXEC", "+OK\r\n+QUEUED\r\n*-1\r\n"},
                                 {1, "MULTI\nPING\nEXEC", "+OK\r\n+QUEUED\r\n*1\r\n+PONG\r\n"},
                                 {0, NULL, NULL}});
        assert_int_equal(o.node->store.watched, 0);
        one_stop(&o);
    }
}

static void what_does_not_touch_it(void **state)
{
    (void)state;
    static const char *const others[] = {
        "GET k",      "TTL k",        "SET j v",           "SELECT 1\nSET k v",
        "SET k v NX", "PERSIST k",    "SELECT 1\nFLUSHDB", "SWAPDB 2 3",
        "DEL none",   "EXPIRE none 1"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        struct one o;
        one_start(&o, "appendonly no");
        one_open(&o, 1);
        one_open(&o, 2);
        play(&o, (struct said[]){{1, "SET k v", "+OK\r\n"},
                                 {1, "WATCH k missing", "+OK\r\n"},
                                 {0, NULL, NULL}});
        one_send(&o, 2, others[i]);
        play(&o, (struct said[]){{1, "MULTI\nGET k\nEXEC", "+OK\r\n+QUEUED\r\n*1\r\n$1\r\nv\r\n"},
                                 {0, NULL, NULL}});
        assert_int_equal(o.node->store.watched, 0);
        one_stop(&o);
    }
}

static void a_swap_touches_what_it_changes(void **state)
{
    (void)state;
    play_alone("appendonly no", (struct said[]){
        {2, "SELECT 1\nSET k v\nSELECT 0", "+OK\r\n+OK\r\n+OK\r\n"},
        {1, "WATCH k", "+OK\r\n"}, /* missing here, there in the other one */
        {2, "SWAPDB 0 1", "+OK\r\n"},
        {1, "MULTI\nPING\nEXEC", "+OK\r\n+QUEUED\r\n*-1\r\n"},
        {1, "WATCH none", "+OK\r\n"}, /* in neither */
        {2, "SWAPDB 0 1\nFLUSHALL", "+OK\r\n+OK\r\n"},
        {1, "MULTI\nPING\nEXEC", "+OK\r\n+QUEUED\r\n*1\r\n+PONG\r\n"},
        {0, NULL, NULL}});
}

static void time_touches_what_was_alive(void **state)
{
    (void)state;
    struct one o;
    one_start(&o, "appendonly no\nenable-debug-command yes");
    one_open(&o, 1);
    play(&o, (struct said[]){{1, "DEBUG SET-ACTIVE-EXPIRE 0", "+OK\r\n"},
                             {1, "SET k v PX 10", "+OK\r\n"},
                             {1, "WATCH k", "+OK\r\n"},
                             {0, NULL, NULL}});
    one_later(&o, 10);
    play(&o, (struct said[]){{1, "MULTI\nPING\nEXEC", "+OK\r\n+QUEUED\r\n*-1\r\n"},
                             {1, "SET k v PX 10", "+OK\r\n"},
                             {0, NULL, NULL}});
    one_later(&o, 10);
    play(&o, (struct said[]){{1, "WATCH k", "+OK\r\n"}, /* expired already: its end is no news */
                             {1, "GET k", "$-1\r\n"},
                             {1, "MULTI\nPING\nEXEC", "+OK\r\n+QUEUED\r\n*1\r\n+PONG\r\n"},
                             {0, NULL, NULL}});
    assert_int_equal(o.node->store.watched, 0);
    one_stop(&o);
}

static void a_queue_with_an_error_is_not_run(void **state)
{
    (void)state;
    play_alone(
        "appendonly no",
        (struct said[]){
            {1, "MULTI\nSET k v\nGET\nSET k w\nEXEC",
             "+OK\r\n+QUEUED\r\n-ERR wrong number of arguments for 'get' command\r\n+QUEUED\r\n"
             "-EXECABORT Transaction discarded because of previous errors.\r\n"},
            {1, "EXISTS k", ":0\r\n"},
            {1, "MULTI\nNOSUCH\nEXEC",
             "+OK\r\n-ERR unknown command 'NOSUCH', with args beginning with: \r\n"
             "-EXECABORT Transaction discarded because of previous errors.\r\n"},
            /* an error while it runs stops nothing */
            {1, "MULTI\nSET k v\nINCR k\nGET k\nEXEC",
             "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n+OK\r\n-ERR value is not an integer or "
             "out of range\r\n"
             "$1\r\nv\r\n"},
            {0, NULL, NULL}});
}

static void words_of_transactions(void **state)
{
    (void)state;
    play_alone(
        "appendonly no",
        (struct said[]){
            {1, "EXEC", "-ERR EXEC without MULTI\r\n"},
            {1, "DISCARD", "-ERR DISCARD without MULTI\r\n"},
            {1, "MULTI\nMULTI\nWATCH k\nEXEC",
             "+OK\r\n-ERR MULTI calls can not be nested\r\n-ERR WATCH inside MULTI is not "
             "allowed\r\n*0\r\n"},
            {1, "WATCH k\nMULTI\nSET k v\nDISCARD\nEXISTS k",
             "+OK\r\n+OK\r\n+QUEUED\r\n+OK\r\n:0\r\n"},
            {1, "WATCH k\nUNWATCH\nSET k v\nMULTI\nUNWATCH\nEXEC",
             "+OK\r\n+OK\r\n+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n"},
            /* one's own write touches, too; UNWATCH forgives it */
            {1, "WATCH k\nSET k w\nMULTI\nEXEC", "+OK\r\n+OK\r\n+OK\r\n*-1\r\n"},
            {1, "WATCH k\nSET k w\nUNWATCH\nMULTI\nEXEC", "+OK\r\n+OK\r\n+OK\r\n+OK\r\n*0\r\n"},
            {1, "MULTI\nSELECT 3\nSET k v\nEXEC\nGET k",
             "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n+OK\r\n$1\r\nv\r\n"},
            {1, "MULTI\nRESET\nEXEC", "+OK\r\n+RESET\r\n-ERR EXEC without MULTI\r\n"},
            {1, "MULTI\nSHUTDOWN\nDISCARD",
             "+OK\r\n-ERR Command not allowed inside a transaction\r\n+OK\r\n"},
            {0, NULL, NULL}});
}

static void what_a_closed_connection_watched_is_forgotten(void **state)
{
    (void)state;
    struct one o;
    one_start(&o, "appendonly no");
    one_open(&o, 1);
    one_open(&o, 2);
    for (int i = 0; i < 40; i++) { /* the table of watched keys grows */
        char line[32];
        snprintf(line, sizeof(line), "WATCH key%d", i);
        one_send(&o, 1, line);
        one_send(&o, 2, line);
    }
    one_send(&o, 1, "MULTI\nSET a b");
    assert_int_equal(o.node->store.watched, 40);
    one_step(&o, (struct node_event){.type = NODE_CLOSED, .closed = 1});
    assert_int_equal(o.node->store.watched, 40);
    one_send(&o, 2, "SET key7 v"); /* touched: nothing more to learn from the others */
    assert_int_equal(o.node->store.watched, 0);
    one_stop(&o);
}

static void a_full_memory_refuses_the_whole(void **state)
{
    (void)state;
    play_alone("appendonly no",
               (struct said[]){{1, "SET j v\nMULTI\nSET k v", "+OK\r\n+OK\r\n+QUEUED\r\n"},
                               {2, "CONFIG SET maxmemory 1", "+OK\r\n"},
                               {1, "EXEC",
                                "-EXECABORT Transaction discarded because of: OOM command not "
                                "allowed when used memory > 'maxmemory'.\r\n"},
                               {1, "MULTI\nGET k\nEXEC", "+OK\r\n+QUEUED\r\n*1\r\n$-1\r\n"},
                               {0, NULL, NULL}});
}

static void an_exec_that_is_refused_ends_the_transaction(void **state)
{
    (void)state;
    play_alone("appendonly no",
               (struct said[]){{1, "WATCH k\nMULTI\nSET k v\nEXEC now",
                                "+OK\r\n+OK\r\n+QUEUED\r\n-EXECABORT Transaction discarded because of: wrong "
                                "number of arguments for 'exec' command\r\n"},
                               {1, "EXEC", "-ERR EXEC without MULTI\r\n"},
                               {1, "EXEC now",
                                "-EXECABORT Transaction discarded because of: wrong number of arguments "
                                "for 'exec' command\r\n"},
                               {1, "GET k", "$-1\r\n"},
                               {0, NULL, NULL}});
}

/* What was queued while there was room is refused as a whole where there is none any more. */
static void a_full_disk_refuses_the_whole(void **state)
{
    (void)state;
    struct one o;
    one_start(&o, "disk-reserve 1mb");
    one_open(&o, 1);
    play(&o, (struct said[]){{1, "MULTI\nSET k v", "+OK\r\n+QUEUED\r\n"}, {0, NULL, NULL}});
    o.node->rewrite.space = 1000;
    play(&o, (struct said[]){{1, "EXEC",
                              "-EXECABORT Transaction discarded because of: MISCONF Errors writing to the AOF "
                              "file: less space is left on the device than disk-reserve\r\n"},
                             {1, "MULTI\nGET k\nEXEC", "+OK\r\n+QUEUED\r\n*1\r\n$-1\r\n"},
                             {0, NULL, NULL}});
    one_stop(&o);
}

UNIT_TESTS(
    "multi", TEST(what_touches_a_watched_key, "what changes a watched key makes EXEC answer nil"),
    TEST(what_does_not_touch_it, "reads, other keys and other databases do not"),
    TEST(a_swap_touches_what_it_changes,
         "SWAPDB and FLUSHALL touch what is in one or the other, nothing else"),
    TEST(time_touches_what_was_alive, "a key that expires is touched, one that already had is not"),
    TEST(a_queue_with_an_error_is_not_run,
         "an error while queueing aborts, an error while running does not"),
    TEST(words_of_transactions, "MULTI, EXEC, DISCARD, WATCH, UNWATCH and RESET in every order"),
    TEST(what_a_closed_connection_watched_is_forgotten,
         "a closed connection's watches and queue are forgotten"),
    TEST(an_exec_that_is_refused_ends_the_transaction, "an EXEC that is refused itself ends the transaction"),
    TEST(a_full_disk_refuses_the_whole, "a disk that got full refuses the transaction as a whole"),
    TEST(a_full_memory_refuses_the_whole,
         "a queue with one command that needs memory is refused whole"))

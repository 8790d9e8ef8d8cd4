/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include <stdio.h>

#include "tests/lib/one_node.h"

static void tell(struct one *o, enum node_event_type type, enum node_dialed how, size_t left, const char *in)
{
    one_step(o, (struct node_event){.type = type,
                                    .link = {.link = o->dialed.link, .dialed = how, .left = left,
                                             .in = slice_of(in, strlen(in))}});
    node_check(o->node);
}

static void dialed(struct one *o)
{
    tell(o, NODE_DIALED, NODE_DIALED_OK, 0, "");
}

static void answers(struct one *o, const char *in)
{
    tell(o, NODE_LINK_BYTES, NODE_DIALED_OK, 0, in);
}

static void took(struct one *o, size_t left)
{
    tell(o, NODE_LINK_TOOK, NODE_DIALED_OK, left, "");
}

/* What was sent since the last time begins so. */
static void sent(struct one *o, const char *text)
{
    assert_true(o->sent.n >= strlen(text));
    assert_memory_equal(o->sent.p, text, strlen(text));
    if (text[0] == '\0')
        assert_int_equal(o->sent.n, 0);
    buf_clear(&o->sent);
}

static void begin(struct one *o, const char *conf, const char *lines, const char *migrate)
{
    one_start(o, conf);
    one_open(o, 1);
    one_open(o, 2);
    one_send(o, 2, lines);
    one_disk(o);
    one_step(o, (struct node_event){.type = NODE_RELEASE});
    buf_clear(&o->got[2]);
    buf_clear(&o->file);
    one_send(o, 1, migrate);
    node_check(o->node);
}

/* The same, up to where the key is under way. */
static void under_way(struct one *o, const char *conf, const char *lines, const char *migrate)
{
    begin(o, conf, lines, migrate);
    dialed(o);
    buf_clear(&o->sent);
    answers(o, "+OK\r\n");
    sent(o, "*");
    took(o, 0);
}

static void has(struct one *o, const char *request, const char *reply)
{
    one_send(o, 2, request);
    one_disk(o);
    one_step(o, (struct node_event){.type = NODE_RELEASE});
    assert_int_equal(buf_add(&o->got[2], slice_of("", 1)), ERR_OK);
    assert_string_equal(o->got[2].p, reply);
    buf_clear(&o->got[2]);
}

#define MIGRATE "MIGRATE there 7001 k 3 500"
#define CHANGED                                                                                       \
    "-IOERR error: a key changed here while it was on its way: nothing of it was deleted here, and " \
    "the target has it as it was before\r\n"

static void a_key_goes_step_by_step(void **state)
{
    (void)state;
    struct one o;
    begin(&o, "appendfsync always", "SET k v", MIGRATE);
    assert_string_equal(o.dialed_host, "there");
    assert_int_equal(o.dialed.port, 7001);
    assert_int_equal(one_send(&o, 1, "PING"), 0); /* N5 */
    sent(&o, "");
    dialed(&o);
    sent(&o, "*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n");
    answers(&o, "+O");
    sent(&o, ""); /* no key before the database is the right one */
    answers(&o, "K\r\n");
    sent(&o, "*4\r\n$7\r\nRESTORE\r\n$1\r\nk\r\n$1\r\n0\r\n$13\r\n");
    has(&o, "GET k", "$1\r\nv\r\n"); /* others are served, and it is still here */
    answers(&o, "+OK\r\n");
    assert_int_equal(o.hung_up, o.dialed.link);
    one_expect(&o, 1, ""); /* N2: its DEL is not stored yet */
    one_disk(&o);
    one_expect(&o, 1, "+OK\r\n");
    assert_true(o.resumed[1]);
    assert_non_null(memmem(o.file.p, o.file.n, "*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n", 20));
    has(&o, "EXISTS k", ":0\r\n");
    assert_int_equal(o.node->store.watched, 0);
    one_stop(&o);
}

static void a_password_goes_first(void **state)
{
    (void)state;
    struct one o;
    begin(&o, "appendonly no", "SET k v", MIGRATE " COPY REPLACE AUTH2 me secret");
    dialed(&o);
    sent(&o, "*3\r\n$4\r\nAUTH\r\n$2\r\nme\r\n$6\r\nsecret\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n");
    answers(&o, "-WRONGPASS no\r\n");
    answers(&o, "-NOAUTH Authentication required.\r\n");
    sent(&o, "");
    one_expect(&o, 1, "-ERR Target instance replied with error: WRONGPASS no\r\n");
    has(&o, "EXISTS k", ":1\r\n");
    one_stop(&o);
}

static void a_copy_leaves_it_here(void **state)
{
    (void)state;
    struct one o;
    under_way(&o, "appendonly no", "SET k v PX 1000", MIGRATE " COPY");
    answers(&o, "+OK\r\n");
    one_expect(&o, 1, "+OK\r\n");
    has(&o, "EXISTS k", ":1\r\n");
    one_stop(&o);
}

static void what_changed_meanwhile_stays(void **state)
{
    (void)state;
    static const char *const changes[] = {"SET k w", "APPEND k w", "EXPIRE k 100", "INCR k", "GETSET k 1", "SET k 1"};
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        struct one o;
        under_way(&o, "appendonly no", "SET k 1", MIGRATE);
        one_send(&o, 2, changes[i]);
        node_check(o.node);
        answers(&o, "+OK\r\n");
        one_expect(&o, 1, CHANGED);
        one_step(&o, (struct node_event){.type = NODE_RELEASE});
        buf_clear(&o.got[2]);
        has(&o, "EXISTS k", ":1\r\n");
        assert_int_equal(o.node->store.watched, 0);
        one_stop(&o);
    }
}

static void a_swapped_database_stays(void **state)
{
    (void)state;
    struct one o;
    under_way(&o, "appendonly no", "SET k v\nSELECT 1\nSET k w\nSELECT 0", MIGRATE);
    has(&o, "SWAPDB 0 1", "+OK\r\n");
    answers(&o, "+OK\r\n");
    one_expect(&o, 1, CHANGED);
    has(&o, "GET k", "$1\r\nw\r\n");
    has(&o, "SELECT 1\nGET k", "+OK\r\n$1\r\nv\r\n");
    one_stop(&o);
}

static void a_change_of_another_key_is_none(void **state)
{
    (void)state;
    struct one o;
    under_way(&o, "appendonly no", "SET k v", MIGRATE);
    has(&o, "SET kk v\nSELECT 1\nSET k v", "+OK\r\n+OK\r\n+OK\r\n");
    answers(&o, "+OK\r\n");
    one_expect(&o, 1, "+OK\r\n");
    one_stop(&o);
}

static void one_that_expires_on_its_way_has_moved(void **state)
{
    (void)state;
    struct one o;
    under_way(&o, "appendonly no", "SET k v PX 100", MIGRATE);
    one_later(&o, 400);
    has(&o, "EXISTS k", ":0\r\n");
    answers(&o, "+OK\r\n");
    one_expect(&o, 1, "+OK\r\n");
    one_stop(&o);
}

static void one_that_is_gone_before_it_goes_is_no_key(void **state)
{
    (void)state;
    struct one o;
    begin(&o, "appendonly no", "SET k v", MIGRATE);
    has(&o, "DEL k", ":1\r\n");
    dialed(&o);
    answers(&o, "+OK\r\n");
    one_expect(&o, 1, "+NOKEY\r\n");
    one_stop(&o);
}

/* With the one just past the bound. */
static void few_keys_are_under_way_at_a_time(void **state)
{
    (void)state;
    struct one o;
    char mset[2048] = "MSET", migrate[2048] = "MIGRATE there 7001 \"\" 0 500 KEYS";
    for (int i = 0; i < 65; i++) {
        sprintf(mset + strlen(mset), " k%d v", i);
        sprintf(migrate + strlen(migrate), " k%d k%d none", i, i);
    }
    under_way(&o, "appendonly no", mset, migrate);
    assert_int_equal(o.node->store.watched, 64);
    answers(&o, "-BUSYKEY Target key name already exists.\r\n");
    sent(&o, "*4\r\n$7\r\nRESTORE\r\n$3\r\nk64\r\n");
    for (int i = 1; i < 64; i++)
        answers(&o, "+OK\r\n");
    one_expect(&o, 1, "");
    answers(&o, "+OK\r\n");
    one_expect(&o, 1, "-ERR Target instance replied with error: BUSYKEY Target key name already exists.\r\n");
    has(&o, "DBSIZE\nEXISTS k0", ":1\r\n:1\r\n");
    one_stop(&o);
}

static void times_are_counted_from_the_last_sign(void **state)
{
    (void)state;
    struct one o;
    under_way(&o, "appendonly no", "SET k v", MIGRATE);
    one_later(&o, 499);
    took(&o, 7);
    one_later(&o, 499);
    one_expect(&o, 1, "");
    one_later(&o, 1);
    one_expect(&o, 1, "-IOERR error or timeout writing to target instance\r\n");
    answers(&o, "+OK\r\n"); /* too late: it was hung up */
    has(&o, "EXISTS k", ":1\r\n");
    one_stop(&o);
}

static void each_failure_has_its_word(void **state)
{
    (void)state;
    struct one o;
    begin(&o, "appendonly no", "SET k v", MIGRATE);
    one_later(&o, 500);
    one_expect(&o, 1, "-IOERR error or timeout connecting to the client\r\n");
    assert_int_equal(o.hung_up, o.dialed.link);
    one_send(&o, 1, MIGRATE);
    tell(&o, NODE_DIALED, NODE_DIALED_NOWHERE, 0, "");
    one_expect(&o, 1, "-IOERR error or timeout connecting to the client\r\n");
    one_send(&o, 1, MIGRATE);
    tell(&o, NODE_DIALED, NODE_DIALED_NO_SOCKET, 0, "");
    one_expect(&o, 1, "-IOERR error or timeout connecting to the client\r\n");
    one_send(&o, 1, MIGRATE);
    tell(&o, NODE_DIALED, NODE_DIALED_REFUSED, 0, "");
    one_expect(&o, 1, "-IOERR error or timeout writing to target instance\r\n");
    one_send(&o, 1, MIGRATE);
    dialed(&o);
    took(&o, 0);
    tell(&o, NODE_LINK_CLOSED, NODE_DIALED_OK, 0, "");
    one_expect(&o, 1, "-IOERR error or timeout reading to target instance\r\n");
    one_send(&o, 1, MIGRATE);
    dialed(&o);
    took(&o, 0);
    answers(&o, "*1\r\n+OK\r\n");
    one_expect(&o, 1, "-IOERR error or timeout reading to target instance\r\n");
    one_send(&o, 1, "MIGRATE there 65536 k 0 1");
    one_expect(&o, 1, "-IOERR error or timeout connecting to the client\r\n");
    has(&o, "EXISTS k", ":1\r\n");
    one_stop(&o);
}

static void who_leaves_hangs_up(void **state)
{
    (void)state;
    struct one o;
    under_way(&o, "appendonly no", "SET k v", MIGRATE);
    one_step(&o, (struct node_event){.type = NODE_CLOSED, .closed = 1});
    assert_int_equal(o.hung_up, o.dialed.link);
    assert_int_equal(o.node->store.watched, 0);
    answers(&o, "+OK\r\n");
    has(&o, "EXISTS k", ":1\r\n");
    one_stop(&o);
}

static void a_node_ends_with_keys_under_way(void **state)
{
    (void)state;
    struct one o;
    under_way(&o, "appendonly no", "SET k v", MIGRATE);
    one_stop(&o);
}

static void nothing_is_deleted_that_cannot_be_recorded(void **state)
{
    (void)state;
    struct one o;
    under_way(&o, "appendfsync always", "SET k v", MIGRATE);
    o.disk_err = ERR_IO;
    one_send(&o, 2, "SET other v");
    one_disk(&o);
    answers(&o, "+OK\r\n");
    one_expect(&o, 1,
               "-IOERR error: the target has the keys, and they stay here too: the log cannot be written, so "
               "nothing is deleted\r\n");
    buf_clear(&o.got[2]);
    has(&o, "EXISTS k", ":1\r\n");
    one_stop(&o);
}

static void words_are_checked_first(void **state)
{
    (void)state;
    struct one o;
    begin(&o, "appendonly no", "SET k v", "MIGRATE there 7001 k 3 x");
    one_expect(&o, 1, "-ERR value is not an integer or out of range\r\n");
    one_send(&o, 1, "MIGRATE there 7001 k 3 1 AUTH");
    one_expect(&o, 1, "-ERR syntax error\r\n");
    one_send(&o, 1, "MIGRATE there 7001 k 3 1 AUTH2 me");
    one_expect(&o, 1, "-ERR syntax error\r\n");
    one_send(&o, 1, "MIGRATE there 7001 k 3 1 KEYS k");
    one_expect(&o, 1,
               "-ERR When using MIGRATE KEYS option, the key argument must be set to the empty string\r\n");
    one_send(&o, 1, "MIGRATE there 7001 \"\" 3 1 KEYS");
    one_expect(&o, 1, "+NOKEY\r\n");
    one_send(&o, 1, "MULTI\n" MIGRATE "\nMIGRATE there 7001 none 3 1\nEXEC");
    one_expect(&o, 1,
               "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n-ERR MIGRATE is not supported: inside MULTI: it waits for another "
               "server, and a transaction never waits\r\n+NOKEY\r\n");
    one_send(&o, 1, "CLIENT REPLY SKIP\n" MIGRATE);
    tell(&o, NODE_DIALED, NODE_DIALED_NOWHERE, 0, "");
    one_expect(&o, 1, "");
    one_stop(&o);
}

UNIT_TESTS("migrate",
           TEST(a_key_goes_step_by_step, "a key is there before its DEL is here, and the reply last (N2, N5)"),
           TEST(a_password_goes_first, "a refused password sends no key"),
           TEST(a_copy_leaves_it_here, "COPY leaves the key here"),
           TEST(what_changed_meanwhile_stays, "a key that changed on its way is not deleted, even to the same value"),
           TEST(a_swapped_database_stays, "a database that was swapped meanwhile loses nothing"),
           TEST(a_change_of_another_key_is_none, "changes of other keys and databases do not matter"),
           TEST(one_that_expires_on_its_way_has_moved, "a key that expires on its way has moved"),
           TEST(one_that_is_gone_before_it_goes_is_no_key, "a key that is gone before it goes is no key"),
           TEST(few_keys_are_under_way_at_a_time, "64 keys are under way, and the 65th after a reply"),
           TEST(times_are_counted_from_the_last_sign, "the timeout counts from the last sign of life"),
           TEST(each_failure_has_its_word, "each failure has its word"),
           TEST(who_leaves_hangs_up, "who leaves hangs up, and the key stays"),
           TEST(a_node_ends_with_keys_under_way, "a node ends with keys under way"),
           TEST(nothing_is_deleted_that_cannot_be_recorded, "nothing is deleted that cannot be recorded"),
           TEST(words_are_checked_first, "words are checked as Redis does, and MULTI has its answer"))

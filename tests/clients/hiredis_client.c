/* SPDX-License-Identifier: BSD-3-Clause */

/* hiredis as C programs use it: blocking, pipelined, and asynchronous over libev.
 *
 * Every claim gets a connection of its own. A key begins with {h}, so that in a cluster one node has
 * them all; that node is asked for once, by following its -MOVED. */

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include <hiredis/hiredis.h>
#include <hiredis/async.h>
#include <hiredis/adapters/libev.h>

struct target {
    char host[256];
    int port;
    const char *restart;
};

struct test {
    const struct target *target;
    redisContext *c;
    const char *wrong; /* the first thing that was not as claimed */
    char said[512];    /* and what came instead */
};

/* ------------------------------------------------------------------ small words */

static void told(struct test *t, const char *what, const redisReply *r)
{
    if (t->wrong != NULL)
        return;
    t->wrong = what;
    if (r == NULL)
        snprintf(t->said, sizeof t->said, "no reply: %s", t->c->errstr);
    else
        snprintf(t->said, sizeof t->said, "type %d, integer %lld, text %.300s", r->type, r->integer,
                 r->str != NULL ? r->str : "(none)");
}

/* The next reply of the connection is as written: "+text", "-words" within an error, ":integer",
 * "$text", "_" for null, "*n" for an array of n. */
static bool reads_as(const redisReply *r, const char *as)
{
    const char *text = as + 1;
    if (r == NULL)
        return false;
    switch (as[0]) {
    case '+':
        return r->type == REDIS_REPLY_STATUS && strcmp(r->str, text) == 0;
    case '-':
        return r->type == REDIS_REPLY_ERROR && strstr(r->str, text) != NULL;
    case ':':
        return r->type == REDIS_REPLY_INTEGER && r->integer == strtoll(text, NULL, 10);
    case '$':
        return r->type == REDIS_REPLY_STRING && r->len == strlen(text) && memcmp(r->str, text, r->len) == 0;
    case '_':
        return r->type == REDIS_REPLY_NIL;
    case '*':
        return r->type == REDIS_REPLY_ARRAY && r->elements == strtoull(text, NULL, 10);
    default:
        return false;
    }
}

static void is(struct test *t, const char *as, const char *format, ...)
{
    if (t->wrong != NULL)
        return;
    va_list list;
    va_start(list, format);
    redisReply *r = redisvCommand(t->c, format, list);
    va_end(list);
    if (!reads_as(r, as))
        told(t, format, r);
    freeReplyObject(r);
}

static void next_is(struct test *t, const char *as)
{
    void *r = NULL;
    if (t->wrong != NULL)
        return;
    if (redisGetReply(t->c, &r) != REDIS_OK || !reads_as(r, as))
        told(t, as, r);
    freeReplyObject(r);
}

static void holds(struct test *t, bool so, const char *what)
{
    if (!so)
        told(t, what, NULL);
}

/* ----------------------------------------------------------------------- claims */

static void test_replies(struct test *t)
{
    is(t, "+PONG", "PING");
    is(t, "+OK", "SET {h}a %s", "value");
    is(t, "$value", "GET {h}a");
    is(t, ":5", "STRLEN {h}a");
    is(t, "_", "GET {h}nothing");
    is(t, "-wrong number of arguments for 'get' command", "GET");
    is(t, "-value is not an integer", "INCR {h}a");
    is(t, "*2", "MGET {h}a {h}nothing");
    is(t, ":1", "DEL {h}a");
}

static void test_binary(struct test *t)
{
    char every[256];
    for (int i = 0; i < 256; i++)
        every[i] = (char)i;
    is(t, "+OK", "SET {h}%b %b", every, sizeof every, every, sizeof every);
    if (t->wrong != NULL)
        return;
    redisReply *r = redisCommand(t->c, "GET {h}%b", every, sizeof every);
    if (r == NULL || r->type != REDIS_REPLY_STRING || r->len != sizeof every ||
        memcmp(r->str, every, sizeof every) != 0)
        told(t, "256 bytes come back as they went", r);
    freeReplyObject(r);
    is(t, "+OK", "SET {h}empty %b", every, (size_t)0);
    is(t, "$", "GET {h}empty");
    is(t, ":2", "DEL {h}empty {h}%b", every, sizeof every);
}

static void test_big(struct test *t)
{
    size_t n = 16u << 20;
    char *value = malloc(n);
    if (value == NULL) {
        holds(t, false, "16 MB of memory");
        return;
    }
    for (size_t i = 0; i < n; i++)
        value[i] = (char)(i * 7);
    is(t, "+OK", "SET {h}big %b", value, n);
    redisReply *r = t->wrong == NULL ? redisCommand(t->c, "GET {h}big") : NULL;
    if (r == NULL || r->type != REDIS_REPLY_STRING || r->len != n || memcmp(r->str, value, n) != 0)
        told(t, "16 MB come back as they went", r);
    freeReplyObject(r);
    is(t, ":1", "DEL {h}big");
    free(value);
}

static void test_pipeline(struct test *t)
{
    char as[32];
    is(t, "+OK", "SET {h}n 0");
    for (int i = 0; i < 20000; i++)
        redisAppendCommand(t->c, "INCR {h}n");
    redisAppendCommand(t->c, "NOSUCH {h}n");
    redisAppendCommand(t->c, "GET {h}n");
    for (int i = 1; i <= 20000; i++) {
        snprintf(as, sizeof as, ":%d", i);
        next_is(t, as);
    }
    next_is(t, "-unknown command");
    next_is(t, "$20000");
}

static void test_transaction(struct test *t)
{
    is(t, "+OK", "MULTI");
    is(t, "+QUEUED", "SET {h}m word");
    is(t, "+QUEUED", "INCR {h}m");
    is(t, "+QUEUED", "GET {h}m");
    redisReply *r = t->wrong == NULL ? redisCommand(t->c, "EXEC") : NULL;
    if (r == NULL || r->type != REDIS_REPLY_ARRAY || r->elements != 3 || !reads_as(r->element[0], "+OK") ||
        !reads_as(r->element[1], "-not an integer") || !reads_as(r->element[2], "$word"))
        told(t, "EXEC answers three replies, one of them an error", r);
    freeReplyObject(r);
    is(t, "-EXEC without MULTI", "EXEC");
    is(t, "+OK", "MULTI");
    is(t, "-wrong number of arguments", "GET");
    is(t, "-EXECABORT", "EXEC");
}

static void test_formatted(struct test *t)
{
    const char *argv[] = {"SET", "{h}two words", "a\r\nb"};
    const size_t lengths[] = {3, 12, 4};
    redisReply *r = redisCommandArgv(t->c, 3, argv, lengths);
    if (!reads_as(r, "+OK"))
        told(t, "SET by redisCommandArgv", r);
    freeReplyObject(r);
    is(t, "$a\r\nb", "GET %b", argv[1], lengths[1]);
}

static void test_timeout(struct test *t)
{
    struct timeval brief = {0, 150000}, patient = {60, 0};
    if (redisSetTimeout(t->c, brief) != REDIS_OK) {
        holds(t, false, "redisSetTimeout");
        return;
    }
    void *r = NULL;
    bool timed_out = redisGetReply(t->c, &r) == REDIS_ERR && t->c->err == REDIS_ERR_IO;
    freeReplyObject(r);
    holds(t, timed_out, "waiting for a reply nobody asked for times out");
    holds(t, redisReconnect(t->c) == REDIS_OK, "redisReconnect");
    holds(t, redisSetTimeout(t->c, patient) == REDIS_OK, "redisSetTimeout again");
    is(t, "+PONG", "PING");
}

struct counted {
    struct ev_loop *loop;
    int n, wrong, left;
};

static void on_reply(redisAsyncContext *ac, void *reply, void *data)
{
    struct counted *c = data;
    const redisReply *r = reply;
    c->n++;
    c->wrong += r == NULL || r->type != REDIS_REPLY_INTEGER || r->integer != c->n;
    if (--c->left == 0)
        redisAsyncDisconnect(ac);
}

static void on_end(const redisAsyncContext *ac, int status)
{
    struct counted *c = ac->data;
    c->wrong += status != REDIS_OK;
    ev_break(c->loop, EVBREAK_ALL);
}

static void on_alarm(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)w;
    (void)revents;
    ev_break(loop, EVBREAK_ALL);
}

static void test_async(struct test *t)
{
    is(t, "+OK", "SET {h}async 0");
    struct counted c = {.loop = ev_loop_new(EVFLAG_AUTO), .left = 10000};
    redisAsyncContext *ac = redisAsyncConnect(t->target->host, t->target->port);
    if (t->wrong != NULL || ac == NULL || ac->err != 0) {
        holds(t, false, "redisAsyncConnect");
        return;
    }
    ac->data = &c;
    redisLibevAttach(c.loop, ac);
    redisAsyncSetDisconnectCallback(ac, on_end);
    for (int i = 0; i < 10000; i++)
        redisAsyncCommand(ac, on_reply, &c, "INCR {h}async");
    ev_timer alarm;
    ev_timer_init(&alarm, on_alarm, 60.0, 0.0);
    ev_timer_start(c.loop, &alarm);
    ev_run(c.loop, 0);
    ev_timer_stop(c.loop, &alarm);
    ev_loop_destroy(c.loop);
    holds(t, c.n == 10000 && c.left == 0, "10,000 replies come");
    holds(t, c.wrong == 0, "replies come in order, and the end is orderly");
}

static void test_restart(struct test *t)
{
    is(t, "+OK", "SET {h}kept before");
    holds(t, system(t->target->restart) == 0, "the server is started again");
    void *r = NULL;
    redisAppendCommand(t->c, "GET {h}kept");
    holds(t, redisGetReply(t->c, &r) == REDIS_ERR && t->c->err != 0, "the old connection is at its end");
    freeReplyObject(r);
    holds(t, redisReconnect(t->c) == REDIS_OK, "redisReconnect");
    is(t, "$before", "GET {h}kept");
}

/* ------------------------------------------------------------------------- main */

static redisContext *dial(const struct target *t)
{
    struct timeval limit = {60, 0};
    redisContext *c = redisConnectWithTimeout(t->host, t->port, limit);
    if (c == NULL || c->err != 0) {
        printf("Bail out! no connection to %s:%d: %s\n", t->host, t->port, c == NULL ? "memory" : c->errstr);
        exit(1);
    }
    redisSetTimeout(c, limit);
    return c;
}

static void target_find(struct target *t)
{
    const char *host = getenv("VONG_HOST"), *port = getenv("VONG_PORT");
    const char *restart = getenv("VONG_RESTART");
    snprintf(t->host, sizeof t->host, "%s", host != NULL && *host != 0 ? host : "127.0.0.1");
    t->port = port != NULL && *port != 0 ? atoi(port) : 6379;
    t->restart = restart != NULL && *restart != 0 ? restart : NULL;

    redisContext *c = dial(t);
    redisReply *r = redisCommand(c, "GET {h}where");
    const char *colon = r != NULL && r->str != NULL ? strrchr(r->str, ':') : NULL;
    int slot;
    if (r != NULL && r->type == REDIS_REPLY_ERROR && colon != NULL &&
        sscanf(r->str, "MOVED %d %255[^:]", &slot, t->host) == 2)
        t->port = atoi(colon + 1);
    freeReplyObject(r);
    redisFree(c);
}

int main(void)
{
    static const struct {
        const char *title;
        void (*run)(struct test *t);
    } tests[] = {
        {"every kind of RESP2 reply is read as itself", test_replies},
        {"any byte may stand in a key and in a value", test_binary},
        {"a value of 16 MB comes back as it went", test_big},
        {"20,000 appended commands are answered in order, an error in its place", test_pipeline},
        {"MULTI queues, EXEC answers all, a bad command aborts", test_transaction},
        {"redisCommandArgv sends words with blanks and line ends", test_formatted},
        {"a read that times out leaves a client that can connect again", test_timeout},
        {"10,000 asynchronous commands over libev are answered in order", test_async},
        {"after a restart the old connection ends, and a new one finds what was written", test_restart},
    };
    int n = (int)(sizeof tests / sizeof *tests);
    struct target target;
    setvbuf(stdout, NULL, _IOLBF, 0);
    target_find(&target);
    for (int i = 0; i < n; i++) {
        if (tests[i].run == test_restart && target.restart == NULL) {
            printf("ok %d - %s # SKIP VONG_RESTART is not set: nobody can restart the server\n", i + 1,
                   tests[i].title);
            continue;
        }
        struct test t = {.target = &target, .c = dial(&target)};
        tests[i].run(&t);
        printf("%s %d - %s\n", t.wrong == NULL ? "ok" : "not ok", i + 1, tests[i].title);
        if (t.wrong != NULL)
            printf("# %s: %s\n", t.wrong, t.said);
        redisFree(t.c);
    }
    printf("1..%d\n", n);
    return 0;
}

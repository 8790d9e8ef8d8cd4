/* SPDX-License-Identifier: BSD-3-Clause */

#define _POSIX_C_SOURCE 200809L /* clock_gettime */

/* What a request costs without sockets: inproc [--keys N] [--rounds N] [--row NAME] [--log yes|no]
 *
 * Parse, hash, look up, run, reply, record: everything that node_step does, driven as the server
 * drives it, in batches of 32. One turn is a pipeline of 64 requests of one connection, two batches,
 * then the release of their replies, which are consumed at once. The log is on and its disk is
 * nothing: a write is answered as done. Keys have 16 bytes, values 64, and are drawn at random.
 *
 * Requests are written beforehand, a piece at a time that stays in the cache as a read buffer does;
 * only the turns are timed, in processor time. A row's figure is the median of its rounds; rounds of
 * all rows alternate, so that a disturbance of the machine meets every row. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"
#include "core/map/map_setting.h"
#include "tests/lib/still_world.h"

enum {
    BATCH = 32,
    TURN = 2 * BATCH,
    TURN_US = 50,
    PIECE = 16 * TURN,     /* requests written, then run */
    ROUND = 256 * TURN,    /* requests a round */
    VALUE_N = 64,
    REQUEST_MAX = 512,     /* bytes of the longest request: MGET of 10 */
    ROWS_MAX = 8,
    ROUNDS_MAX = 1001
};

struct bench {
    struct options options;
    struct log log;
    struct node_world world;
    struct node *node;
    struct node_out out;
    struct mono now;
    struct wall wall;
    struct rng rng;
    uint64_t keys;
    struct request_parser parser;
    struct request_arena arena;
    struct slice expected; /* of the first reply of a turn; empty: any */
    char piece[PIECE * REQUEST_MAX];
};

/* ------------------------------------------------------------------- the world */

static uint64_t clock_ns(clockid_t which)
{
    struct timespec t;
    clock_gettime(which, &t);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

static uint64_t stopwatch_ns(struct node_world *w)
{
    (void)w;
    return clock_ns(CLOCK_MONOTONIC);
}

static void log_line(struct log *log, enum log_level level, struct slice text)
{
    (void)log;
    (void)level;
    fprintf(stderr, "%.*s\n", (int)text.n, text.p);
}

static void step(struct bench *b, struct node_event *ev)
{
    ev->now = b->now;
    ev->wall = b->wall;
    ev->lease = mono_after(b->now, 1000000);
    node_step(b->node, ev, &b->out);
}

/* The disk that is nothing: whatever is asked for is done. */
static void step_and_store(struct bench *b, struct node_event *ev)
{
    enum { OPS_MAX = 16 };
    step(b, ev);
    while (b->out.disk.n > 0) {
        struct disk_op ops[OPS_MAX];
        size_t n = b->out.disk.n;
        check(n <= OPS_MAX);
        memcpy(ops, b->out.disk.at, n * sizeof(ops[0]));
        for (size_t i = 0; i < n; i++) {
            struct node_event done = {.type = NODE_DISK, .disk = {.lane = ops[i].lane, .token = ops[i].token,
                                                                  .written = ops[i].bytes.n}};
            chain_free(&ops[i].bytes, NULL);
            mem_free(ops[i].names);
            step(b, &done);
            check(b->out.disk.n == 0 || i + 1 == n); /* else the next answer would lose what was asked */
        }
    }
}

/* It serves every slot. */
static void found_cluster(struct bench *b, const struct node_identity *id)
{
    static struct map m;
    map_init(&m);
    map_settings_preset(&m.settings);
    m.index = m.slots_ver = m.nodes_ver = 1;
    *vec_add(&m.nodes) = (struct map_node){.used = true, .id = id->id, .incarnation = id->incarnation, .weight = 1};
    for (unsigned slot = 0; slot < SLOTS; slot++)
        m.slots[slot] = (struct map_slot){.ver = 1, .epoch = 1, .replicas_n = 1, .isr_n = 1, .isr_incarnation = {1},
                                          .want_n = 1};
    step_and_store(b, &(struct node_event){.type = NODE_WORD, .word = &(struct word){.type = WORD_MAP, .map = &m}});
    map_free(&m);
}

static void start(struct bench *b, bool with_log, bool in_cluster)
{
    struct node_identity id = {.seed = 1, .in_cluster = in_cluster, .id = {{1}}, .incarnation = 1};
    options_init(&b->options);
    b->options.appendonly = with_log;
    b->options.cluster_enabled = in_cluster;
    b->options.auto_aof_rewrite_percentage = 0;
    b->now.us = 1000000;
    b->wall.ms = 1700000000000;
    b->log = (struct log){.level = LOG_LEVEL_WARNING, .line = log_line};
    b->world = still_world(stopwatch_ns);
    rng_seed(&b->rng, 1);
    b->node = node_new(&id, &b->options, &b->log, &b->world, b->now, b->wall);
    if (with_log) {
        step_and_store(b, &(struct node_event){.type = NODE_LOAD_END});
        check(b->out.loaded.verdict == AOF_WHOLE);
        step_and_store(b, &(struct node_event){.type = NODE_LOG_READY, .log_ready = {1, "null", 0}});
    }
    if (in_cluster)
        found_cluster(b, &id);
    step_and_store(b, &(struct node_event){.type = NODE_OPENED, .opened = {.peer = SLICE("peer:1"),
                                                                          .local = SLICE("local:1")}});
}

static void stop(struct bench *b)
{
    step(b, &(struct node_event){.type = NODE_CLOSED, .closed = 0});
    node_free(b->node);
    node_out_free(&b->out);
    options_free(&b->options);
    request_arena_free(&b->arena);
}

/* -------------------------------------------------------------------- requests */

/* A word of 16 bytes: "key:" and 12 digits. */
static char *put_key(char *to, const char *prefix, uint64_t i)
{
    memcpy(to, "$16\r\n", 5);
    memcpy(to + 5, prefix, 4);
    for (int at = 20; at > 8; at--, i /= 10)
        to[at] = (char)('0' + i % 10);
    memcpy(to + 21, "\r\n", 2);
    return to + 23;
}

static char *put_text(char *to, const char *text)
{
    size_t n = strlen(text);
    memcpy(to, text, n);
    return to + n;
}

static uint64_t any_key(struct bench *b)
{
    return rng_below(&b->rng, b->keys);
}

static char *put_set_of(char *to, const char *prefix, uint64_t i)
{
    to = put_key(put_text(to, "*3\r\n$3\r\nSET\r\n"), prefix, i);
    to = put_text(to, "$64\r\n");
    memset(to, 'a' + (int)(i % 26), VALUE_N);
    return put_text(to + VALUE_N, "\r\n");
}

static char *put_set(struct bench *b, char *to)
{
    return put_set_of(to, "key:", any_key(b));
}

static char *put_get(struct bench *b, char *to)
{
    return put_key(put_text(to, "*2\r\n$3\r\nGET\r\n"), "key:", any_key(b));
}

static char *put_miss(struct bench *b, char *to)
{
    return put_key(put_text(to, "*2\r\n$3\r\nGET\r\n"), "no::", any_key(b));
}

static char *put_incr(struct bench *b, char *to)
{
    return put_key(put_text(to, "*2\r\n$4\r\nINCR\r\n"), "num:", any_key(b));
}

static char *put_mget(struct bench *b, char *to)
{
    to = put_text(to, "*11\r\n$4\r\nMGET\r\n");
    for (int i = 0; i < 10; i++)
        to = put_key(to, "key:", any_key(b));
    return to;
}

static char *put_ping(struct bench *b, char *to)
{
    (void)b;
    return put_text(to, "PING\r\n");
}

/* ----------------------------------------------------------------------- turns */

static size_t batch(struct bench *b, struct slice *in)
{
    static const struct request_limits limits = {.bulk_max_bytes = 512 << 20, .args_max = INT32_MAX};
    struct request requests[BATCH];
    struct node_request at[BATCH];
    size_t n = 0;
    while (n < BATCH && in->n > 0) {
        size_t got = request_next_plain(&b->parser, &limits, *in, &b->arena, &requests[n], BATCH - n), used;
        if (got == 0) {
            check(request_next(&b->parser, &limits, *in, &b->arena, &requests[n], &used) == REQUEST_WHOLE);
            got = 1;
        }
        for (size_t end = n + got; n < end; n++) {
            *in = slice_from(*in, requests[n].bytes);
            at[n] = (struct node_request){.conn = 0, .req = &requests[n]};
        }
    }
    step_and_store(b, &(struct node_event){.type = NODE_REQUESTS, .requests = {at, n}});
    for (size_t i = 0; i < n; i++) {
        check(at[i].taken);
        request_free(&requests[i]);
    }
    request_arena_reset(&b->arena);
    return n;
}

static void consume(struct bench *b)
{
    check(b->out.flush.n == 1);
    struct node_flush *f = &b->out.flush.at[0];
    struct slice head = slice_of(f->chain->head->p, f->chain->head->n);
    check(slice_equal(slice_head(head, b->expected.n), b->expected));
    check(f->upto == f->chain->n); /* all of it: what was recorded is stored */
    chain_consume(f->chain, f->upto, NULL);
}

/* What is measured; also the function to count for an instruction profile:
 *   valgrind --tool=callgrind --toggle-collect=turns ... */
void turns(struct bench *b, struct slice in);
__attribute__((noinline)) void turns(struct bench *b, struct slice in)
{
    while (in.n > 0) {
        b->now.us += TURN_US;
        b->wall.ms = 1700000000000 + b->now.us / 1000;
        for (size_t n = 0; n < TURN && in.n > 0;)
            n += batch(b, &in);
        step(b, &(struct node_event){.type = NODE_RELEASE});
        consume(b);
        if (mono_reached(b->now, b->out.wake))
            step_and_store(b, &(struct node_event){.type = NODE_DUE});
    }
}

static void fill(struct bench *b, const char *prefix, char *(*put)(char *, const char *, uint64_t))
{
    b->expected = (struct slice){"", 0};
    for (uint64_t i = 0; i < b->keys;) {
        char *to = b->piece;
        for (size_t n = 0; n < PIECE && i < b->keys; n++)
            to = put(to, prefix, i++);
        turns(b, slice_of(b->piece, (size_t)(to - b->piece)));
    }
}

static char *put_number_of(char *to, const char *prefix, uint64_t i)
{
    to = put_key(put_text(to, "*3\r\n$3\r\nSET\r\n"), prefix, i);
    return put_text(to, "$4\r\n1000\r\n");
}

/* ------------------------------------------------------------------------ rows */

static const struct row {
    const char *name, *what;
    char *(*put)(struct bench *, char *);
    const char *expected;
} rows[] = {
    {"get", "GET", put_get, "$64\r\n"},
    {"set", "SET", put_set, "+OK\r\n"},
    {"miss", "GET of no key", put_miss, "$-1\r\n"},
    {"incr", "INCR", put_incr, ":"},
    {"mget", "MGET of 10 keys", put_mget, "*10\r\n$64\r\n"},
    {"ping", "PING, inline", put_ping, "+PONG\r\n"},
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static double round_ns(struct bench *b, const struct row *row)
{
    uint64_t ns = 0;
    b->expected = slice_str(row->expected);
    for (size_t done = 0; done < ROUND; done += PIECE) {
        char *to = b->piece;
        for (size_t n = 0; n < PIECE; n++)
            to = row->put(b, to);
        struct slice in = slice_of(b->piece, (size_t)(to - b->piece));
        uint64_t began = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
        turns(b, in);
        ns += clock_ns(CLOCK_PROCESS_CPUTIME_ID) - began;
    }
    return (double)ns / ROUND;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(struct bench *b, const char *only, size_t rounds)
{
    static double took[ROWS][ROUNDS_MAX];
    for (size_t round = 0; round < rounds; round++)
        for (size_t i = 0; i < ROWS; i++)
            if (only == NULL || strcmp(only, rows[i].name) == 0)
                took[i][round] = round_ns(b, &rows[i]);
    printf("%-18s %8s %8s %8s   ns/op\n", "", "median", "least", "most");
    for (size_t i = 0; i < ROWS; i++) {
        if (only != NULL && strcmp(only, rows[i].name) != 0)
            continue;
        qsort(took[i], rounds, sizeof(double), by_size);
        printf("%-18s %8.1f %8.1f %8.1f\n", rows[i].what, took[i][rounds / 2], took[i][0],
               took[i][rounds - 1]);
    }
}

static bool row_exists(const char *name)
{
    for (size_t i = 0; i < ROWS; i++)
        if (strcmp(rows[i].name, name) == 0)
            return true;
    return false;
}

int main(int argc, char **argv)
{
    static struct bench b;
    const char *only = NULL;
    size_t rounds = 41;
    bool with_log = true, in_cluster = false;
    b.keys = 1000000;
    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--keys") == 0)
            b.keys = strtoull(value, NULL, 10);
        else if (strcmp(argv[i], "--rounds") == 0)
            rounds = strtoull(value, NULL, 10);
        else if (strcmp(argv[i], "--row") == 0 && row_exists(value))
            only = value;
        else if (strcmp(argv[i], "--log") == 0)
            with_log = strcmp(value, "no") != 0;
        else if (strcmp(argv[i], "--cluster") == 0)
            in_cluster = strcmp(value, "no") != 0;
        else
            b.keys = 0;
    }
    if (b.keys == 0 || rounds == 0 || rounds > ROUNDS_MAX) {
        fprintf(stderr, "usage: inproc [--keys N] [--rounds 1..%d] [--log yes|no] [--cluster no|yes]"
                        " [--row get|set|miss|incr|mget|ping]\n", ROUNDS_MAX);
        return 2;
    }
    start(&b, with_log, in_cluster);
    fill(&b, "key:", put_set_of);
    if (only == NULL || strcmp(only, "incr") == 0)
        fill(&b, "num:", put_number_of);
    measure(&b, only, rounds);
    stop(&b);
    return 0;
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* One node for unit tests: time is moved by hand, the disk answers when told to.
 *
 *     struct one o;  one_start(&o, "appendfsync always");
 *     one_open(&o, 1);
 *     one_send(&o, 1, "SET k v");           a step with one inline request
 *     one_expect(&o, 1, "");                 what may leave by now: nothing
 *     one_disk(&o);                          everything asked of the disk is done
 *     one_expect(&o, 1, "+OK\r\n");
 */
#ifndef TESTS_LIB_ONE_NODE_H
#define TESTS_LIB_ONE_NODE_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "node/node.h"
#include "node/state.h"
#include "tests/lib/still_world.h"
#include "tests/lib/unit.h"

enum { ONE_CONNS = 64 };

struct one {
    struct options options;
    struct log log;
    struct node_world world;
    uint64_t watch_ns, watch_step_ns; /* the stopwatch, and how much each look at it adds */
    uint64_t disk_ns;                 /* of the next answers */
    struct node *node;
    struct node_out out;
    struct mono now;
    struct wall wall;
    struct disk_ops asked;    /* not answered yet */
    struct buf file;          /* what WRITEs brought */
    struct buf got[ONE_CONNS]; /* what left so far */
    bool closed[ONE_CONNS], dropped[ONE_CONNS], resumed[ONE_CONNS];
    bool deaf[ONE_CONNS];     /* reads nothing */
    enum err disk_err;        /* of the next answers, */
    int disk_errno;           /* and its errno; 0: EIO */
    struct buf sent;          /* to other servers */
    struct node_dial dialed;  /* the newest */
    char dialed_host[64];
    uint32_t hung_up;         /* the newest link that was */
    struct mono lease;        /* in a cluster */
    struct node_identity identity; /* before one_begin */
    void (*links)(struct one *o);     /* several nodes: whoever carries between them */
    void (*words)(struct one *o, struct word *w); /* the same; a word is given away */
};

static uint64_t one_stopwatch(struct node_world *w)
{
    struct one *o = CONTAINER_OF(w, struct one, world);
    return o->watch_ns += o->watch_step_ns;
}

static void one_log(struct log *log, enum log_level level, struct slice text)
{
    (void)log;
    (void)level;
    (void)text;
}

static inline void one_links(struct one *o)
{
    if (o->out.dial.n > 0) {
        o->dialed = o->out.dial.at[o->out.dial.n - 1];
        assert_true(o->dialed.host.n < sizeof(o->dialed_host));
        memcpy(o->dialed_host, o->dialed.host.p, o->dialed.host.n);
        o->dialed_host[o->dialed.host.n] = '\0';
    }
    for (size_t i = 0; i < o->out.send.n; i++) {
        struct chain *bytes = &o->out.send.at[i].bytes;
        assert_int_equal(buf_room(&o->sent, bytes->n), ERR_OK);
        o->sent.n += chain_copy(bytes, o->sent.p + o->sent.n, bytes->n);
        chain_free(bytes, NULL);
    }
    if (o->out.hang_up.n > 0)
        o->hung_up = o->out.hang_up.at[o->out.hang_up.n - 1];
}

static inline void one_step(struct one *o, struct node_event ev)
{
    ev.now = o->now;
    ev.wall = o->wall;
    ev.lease = o->lease;
    node_step(o->node, &ev, &o->out);
    for (size_t i = 0; i < o->out.disk.n; i++)
        *vec_add(&o->asked) = o->out.disk.at[i];
    vec_clear(&o->out.disk);
    (o->links != NULL ? o->links : one_links)(o);
    for (size_t i = 0; i < o->out.words.n; i++)
        o->words(o, &o->out.words.at[i]);
    for (size_t i = 0; i < o->out.drop.n; i++)
        o->dropped[o->out.drop.at[i]] = true;
    for (size_t i = 0; i < o->out.resume.n; i++)
        o->resumed[o->out.resume.at[i]] = true;
    for (size_t i = 0; i < o->out.flush.n; i++) {
        struct node_flush *f = &o->out.flush.at[i];
        struct buf *to = &o->got[f->conn];
        if (o->deaf[f->conn])
            continue;
        assert_int_equal(buf_room(to, f->upto), ERR_OK);
        to->n += chain_copy(f->chain, to->p + to->n, f->upto);
        chain_consume(f->chain, f->upto, node_graves(o->node));
        if (f->close)
            o->closed[f->conn] = true;
    }
    graves_free(node_graves(o->node));
}

/* Answers the oldest operation. */
static inline void one_disk_next(struct one *o)
{
    assert_true(o->asked.n > 0);
    struct disk_op op = o->asked.at[0];
    o->asked.n--;
    memmove(o->asked.at, o->asked.at + 1, o->asked.n * sizeof(op));
    enum err err = o->disk_err == ERR_FULL && op.type != DISK_WRITE ? ERR_OK : o->disk_err;
    struct node_event ev = {.type = NODE_DISK, .disk = {.lane = op.lane, .token = op.token, .err = err, .ns = o->disk_ns}};
    if (err != ERR_OK)
        ev.disk.system_errno = o->disk_errno != 0 ? o->disk_errno : EIO;
    if (op.type == DISK_WRITE && err == ERR_OK) {
        assert_int_equal(buf_room(&o->file, op.bytes.n), ERR_OK);
        o->file.n += chain_copy(&op.bytes, o->file.p + o->file.n, op.bytes.n);
        ev.disk.written = op.bytes.n;
        chain_free(&op.bytes, NULL);
    } else {
        ev.disk.rest = op.bytes;
    }
    mem_free(op.names);
    one_step(o, ev);
    one_step(o, (struct node_event){.type = NODE_RELEASE});
}

/* The turn ends, and everything asked of the disk is done. */
static inline void one_disk(struct one *o)
{
    one_step(o, (struct node_event){.type = NODE_RELEASE});
    while (o->asked.n > 0)
        one_disk_next(o);
}

/* The log was read and held nothing. */
static inline void one_loaded(struct one *o)
{
    one_step(o, (struct node_event){.type = NODE_LOAD_END});
    assert_int_equal(o->out.loaded.verdict, AOF_WHOLE);
    one_step(o, (struct node_event){.type = NODE_LOG_READY, .log_ready = {.handle = 2, .name = "log"}});
}

/* lines: of a configuration, separated by '\n'. */
static inline void one_begin(struct one *o, const char *lines) /* o is zeroed but for what it is to be */
{
    o->now = (struct mono){1000000};
    o->wall = (struct wall){1700000000000};
    o->watch_step_ns = 1000;
    o->log = (struct log){.level = LOG_LEVEL_WARNING, .line = one_log};
    o->world = still_world(one_stopwatch);
    buf_init(&o->file, SIZE_MAX / 2);
    buf_init(&o->sent, SIZE_MAX / 2);
    for (int i = 0; i < ONE_CONNS; i++)
        buf_init(&o->got[i], SIZE_MAX / 2);
    options_init(&o->options);
    while (*lines != '\0') {
        size_t n = strcspn(lines, "\n");
        struct buf text;
        buf_init(&text, 4096);
        assert_int_equal(options_line(&o->options, slice_of(lines, n), &text), OPTIONS_LINE_TAKEN);
        buf_free(&text);
        lines += n + (lines[n] == '\n');
    }
    o->options.cluster_enabled = o->options.cluster_enabled || o->identity.in_cluster;
    o->node = node_new(&o->identity, &o->options, &o->log, &o->world, o->now, o->wall);
}

static inline void one_start_loading(struct one *o, const char *lines)
{
    *o = (struct one){.identity = {.seed = 1}};
    one_begin(o, lines);
}

static inline void one_start(struct one *o, const char *lines)
{
    one_start_loading(o, lines);
    if (o->options.appendonly)
        one_loaded(o);
}

static inline void one_stop(struct one *o)
{
    one_disk(o);
    node_free(o->node);
    node_out_free(&o->out);
    options_free(&o->options);
    mem_free(o->asked.at);
    buf_free(&o->file);
    buf_free(&o->sent);
    for (int i = 0; i < ONE_CONNS; i++)
        buf_free(&o->got[i]);
}

static inline void one_open(struct one *o, uint32_t conn)
{
    one_step(o, (struct node_event){.type = NODE_OPENED,
                                    .opened = {.conn = conn, .peer = SLICE("peer:1"), .local = SLICE("local:1")}});
}

/* Several inline requests, separated by '\n', in one batch; how many were taken. more: others follow at once. */
static inline size_t one_send_more(struct one *o, uint32_t conn, const char *lines, bool more)
{
    struct request_limits limits = {.bulk_max_bytes = INT32_MAX, .args_max = INT32_MAX};
    struct request_parser parser = {0};
    struct request_arena arena = {0};
    struct request requests[64];
    struct node_request batch[64];
    size_t n = 0, taken = 0;
    char *text = malloc(strlen(lines) + 2);
    struct slice in = slice_of(text, (size_t)(stpcpy(stpcpy(text, lines), "\n") - text));
    while (in.n > 0) {
        size_t used;
        assert_int_equal(request_next(&parser, &limits, in, &arena, &requests[n], &used), REQUEST_WHOLE);
        batch[n] = (struct node_request){.conn = conn, .req = &requests[n]};
        n++;
        in = slice_from(in, used);
    }
    one_step(o, (struct node_event){.type = NODE_REQUESTS, .requests = {batch, n, more}});
    for (size_t i = 0; i < n; i++) {
        taken += batch[i].taken;
        request_free(&requests[i]);
    }
    request_arena_free(&arena);
    free(text);
    return taken;
}

static inline size_t one_send(struct one *o, uint32_t conn, const char *lines)
{
    return one_send_more(o, conn, lines, false);
}

/* What left for this connection since the last time. */
#define one_expect(o, conn, text)                                             \
    do {                                                                      \
        one_step(o, (struct node_event){.type = NODE_RELEASE});               \
        assert_slice(buf_slice(&(o)->got[conn]), text);                       \
        buf_clear(&(o)->got[conn]);                                           \
    } while (0)

static inline void one_later(struct one *o, int64_t ms)
{
    o->now.us += ms * 1000;
    o->wall.ms += ms;
    one_step(o, (struct node_event){.type = NODE_DUE});
}

#endif

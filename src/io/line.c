/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "io/line.h"

#include "base/check.h"
#include "base/mem.h"

enum { LINE_READ_BYTES = 32 * 1024 }; /* of one line and turn: the others get their share */
enum { LOOKUPS_MAX = 1024 };          /* waiting for the thread; a client has one at most */

static bool has_descriptor(const struct line *l)
{
    return conn_fd(&l->conn) >= 0;
}

/* The descriptor goes at once, the struct with lines_bury. */
static void shut(struct line *l)
{
    if (has_descriptor(l))
        conn_close(&l->conn, l->of->loop);
    conn_init(&l->conn, -1, l->of->kind);
}

void line_drop(struct line *l)
{
    shut(l);
    chain_free(&l->out, l->of->graves);
    l->dead = true;
}

static void dialed(struct line *l, enum line_dialed how)
{
    if (how != LINE_THROUGH)
        line_drop(l);
    l->of->ops->dialed(l, how);
}

/* The next address, or none is left. */
static void connect_next(struct line *l)
{
    int fd;
    shut(l);
    enum err err = dial_next(&l->dial, &fd);
    if (err != ERR_OK) {
        dialed(l, err == ERR_IO ? LINE_NO_SOCKET : LINE_REFUSED);
        return;
    }
    conn_init(&l->conn, fd, l->of->kind);
    l->connecting = true;
    watch_want(l->of->loop, &l->conn.watch, WATCH_WRITE);
}

static void connect_or_not(struct line *l)
{
    if (l->found == ERR_OK)
        connect_next(l);
    else
        dialed(l, LINE_NOWHERE);
}

/* -------------------------------------------------------------------- names */

static void look_up(struct job *j)
{
    struct line *l = CONTAINER_OF(j, struct line, lookup);
    l->found = dial_names(&l->dial, l->host, l->port);
}

/* The thread is there once a name was asked for. */
static bool look_up_begin(struct line *l)
{
    struct lines *s = l->of;
    if (!s->names_started && lane_start(&s->names, "vong-names", LOOKUPS_MAX, s->loop) != ERR_OK)
        return false;
    s->names_started = true;
    l->lookup = (struct job){.run = look_up};
    l->looking_up = lane_give(&s->names, &l->lookup);
    return l->looking_up;
}

static void look_ups_collect(struct lines *s)
{
    struct job *j;
    while (s->names_started && (j = lane_take(&s->names)) != NULL) {
        struct line *l = CONTAINER_OF(j, struct line, lookup);
        l->looking_up = false;
        if (!l->dead)
            connect_or_not(l);
    }
}

/* ------------------------------------------------------------- what is asked */

static void begin(struct lines *s, struct line *l, int fd)
{
    l->of = s;
    l->end_by = MONO_NEVER;
    conn_init(&l->conn, fd, s->kind);
    *vec_add(&s->at) = l;
}

/* What comes of it is told later in the turn. */
void line_dial(struct lines *s, struct line *l, struct slice host, uint16_t port)
{
    begin(s, l, -1);
    l->port = port;
    l->found = ERR_NOT_FOUND;
    if (host.n < DIAL_HOST_BYTES && memchr(host.p, '\0', host.n) == NULL) {
        memcpy(l->host, host.p, host.n);
        l->found = dial_numeric(&l->dial, l->host, port);
        if (l->found != ERR_OK)
            (void)look_up_begin(l); /* false: it is told that there is no such host */
    }
    l->to_dial = !l->looking_up;
}

void line_take(struct lines *s, struct line *l, int fd)
{
    begin(s, l, fd);
    watch_want(s->loop, &l->conn.watch, WATCH_READ);
}

void line_send(struct line *l, struct chain *bytes)
{
    check(!l->dead && has_descriptor(l) && !l->connecting);
    chain_append(&l->out, bytes);
}

void line_end(struct line *l, struct mono by)
{
    if (!has_descriptor(l) || l->connecting || l->out.n == 0)
        line_drop(l);
    else
        l->end_by = by;
}

int line_give(struct line *l)
{
    int fd = conn_fd(&l->conn);
    check(fd >= 0 && l->out.n == 0);
    watch_stop(l->of->loop, &l->conn.watch);
    conn_init(&l->conn, -1, l->of->kind);
    l->dead = true;
    return fd;
}

/* ------------------------------------------------------------------ readiness */

static bool is_ending(const struct line *l)
{
    return l->end_by.us != MONO_NEVER.us;
}

static void closed(struct line *l)
{
    bool told = is_ending(l); /* who ended it knows */
    line_drop(l);
    if (!told)
        l->of->ops->closed(l);
}

static void write_out(struct line *l)
{
    size_t took = conn_write(&l->conn, &l->out, l->out.n, l->of->graves);
    if (l->conn.broken || (l->out.n == 0 && is_ending(l))) {
        closed(l);
        return;
    }
    watch_want(l->of->loop, &l->conn.watch,
               (uint8_t)((is_ending(l) ? 0 : WATCH_READ) | (l->out.n > 0 ? WATCH_WRITE : 0)));
    if (took > 0 && l->of->ops->took != NULL)
        l->of->ops->took(l);
}

static void readable(struct line *l)
{
    char bytes[LINE_READ_BYTES];
    size_t got;
    switch (conn_read(&l->conn, bytes, sizeof(bytes), &got)) {
    case CONN_NOTHING: break;
    case CONN_BYTES: l->of->ops->bytes(l, slice_of(bytes, got)); break;
    case CONN_ENDED:
    case CONN_BROKEN: closed(l); break;
    }
}

void line_ready(struct line *l, uint8_t events)
{
    if (l->dead)
        return;
    if (l->connecting) {
        l->connecting = false;
        watch_want(l->of->loop, &l->conn.watch, WATCH_READ);
        if (dial_is_through(conn_fd(&l->conn)))
            dialed(l, LINE_THROUGH);
        else
            connect_next(l);
        return;
    }
    l->conn.refused = l->conn.refused && (events & WATCH_WRITE) == 0;
    if (events & WATCH_READ && !is_ending(l)) /* first: what was said before a close is an answer */
        readable(l);
}

/* ---------------------------------------------------------------------- turns */

void lines_turn(struct lines *s, struct mono now)
{
    look_ups_collect(s);
    size_t n = s->at.n; /* who is dialed meanwhile has its turn in the next one */
    for (size_t i = 0; i < n; i++) {
        struct line *l = s->at.at[i];
        if (l->dead)
            continue;
        if (l->to_dial) {
            l->to_dial = false;
            connect_or_not(l);
        } else if (mono_reached(now, l->end_by)) {
            line_drop(l);
        }
    }
}

void lines_write(struct lines *s)
{
    for (size_t i = 0; i < s->at.n; i++) {
        struct line *l = s->at.at[i];
        if (!l->dead && l->out.n > 0 && !l->conn.refused)
            write_out(l);
    }
}

struct mono lines_due(const struct lines *s, struct mono now)
{
    struct mono due = MONO_NEVER;
    for (size_t i = 0; i < s->at.n; i++) {
        const struct line *l = s->at.at[i];
        if (l->dead)
            continue;
        if (l->to_dial || (l->out.n > 0 && !l->conn.refused))
            return now;
        due = mono_earlier(due, l->end_by);
    }
    return due;
}

void lines_bury(struct lines *s)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->at.n; i++) {
        struct line *l = s->at.at[i];
        if (l->dead && !l->looking_up)
            s->ops->free(l);
        else
            s->at.at[kept++] = l;
    }
    s->at.n = kept;
}

void lines_init(struct lines *s, struct loop *loop, uint8_t kind, const struct line_ops *ops,
                struct graves *graves)
{
    *s = (struct lines){.loop = loop, .kind = kind, .ops = ops, .graves = graves};
}

void lines_free(struct lines *s)
{
    struct job *j;
    if (s->names_started)
        lane_stop(&s->names);
    while (s->names_started && (j = lane_take(&s->names)) != NULL)
        CONTAINER_OF(j, struct line, lookup)->looking_up = false;
    for (size_t i = 0; i < s->at.n; i++)
        if (!s->at.at[i]->dead)
            line_drop(s->at.at[i]);
    lines_bury(s);
    vec_free(&s->at);
}

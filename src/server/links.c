/* SPDX-License-Identifier: BSD-3-Clause */

/* Links: connections that the node asked for, to other servers.
 *
 *     out.dial -> an address, or its name looked up by a thread -> connecting -> NODE_DIALED
 *     out.send -> written as the socket takes it -> NODE_LINK_TOOK
 *     what comes -> NODE_LINK_BYTES;  its end -> NODE_LINK_CLOSED
 *
 * A link that is over is dead until the end of the turn: events of it may still be in the loop's
 * list. One whose name is being looked up lives until the thread gives it back. */
#define _GNU_SOURCE
#include "server/server.h"

#include "base/check.h"
#include "base/mem.h"
#include "io/dial.h"

enum { LINK_READ_BYTES = 16 * 1024 }; /* replies are short */
enum { LOOKUPS_MAX = 1024 };          /* waiting for the thread; a client has one at most */

struct link {
    struct conn conn;
    struct job lookup;
    uint32_t id; /* the node's */
    uint16_t port;
    bool looking_up; /* the thread has it: no descriptor yet */
    bool connecting;
    bool dead;
    enum err found; /* of the lookup */
    struct dial dial;
    struct chain out; /* not written yet */
    char host[DIAL_HOST_BYTES];
};

static struct link *link_at(const struct server *s, uint32_t id)
{
    for (size_t i = 0; i < s->links.n; i++)
        if (s->links.at[i]->id == id && !s->links.at[i]->dead)
            return s->links.at[i];
    return NULL;
}

static bool has_descriptor(const struct link *l)
{
    return conn_fd(&l->conn) >= 0;
}

/* The descriptor goes at once, the struct at the end of the turn. */
static void link_shut(struct server *s, struct link *l)
{
    if (has_descriptor(l))
        conn_close(&l->conn, &s->loop);
    conn_init(&l->conn, -1, WATCHES_LINK);
}

static void link_die(struct server *s, struct link *l)
{
    link_shut(s, l);
    chain_free(&l->out, &s->graves);
    l->dead = true;
}

static void tell_dialed(struct server *s, struct link *l, enum node_dialed how)
{
    if (how != NODE_DIALED_OK)
        link_die(s, l);
    server_step(s,
                &(struct node_event){.type = NODE_DIALED, .link = {.link = l->id, .dialed = how}});
}

/* The next address, or none is left. */
static void link_connect(struct server *s, struct link *l)
{
    int fd;
    link_shut(s, l);
    enum err err = dial_next(&l->dial, &fd);
    if (err != ERR_OK) {
        tell_dialed(s, l, err == ERR_IO ? NODE_DIALED_NOWHERE : NODE_DIALED_REFUSED);
        return;
    }
    conn_init(&l->conn, fd, WATCHES_LINK);
    l->connecting = true;
    watch_want(&s->loop, &l->conn.watch, WATCH_WRITE);
}

/* -------------------------------------------------------------------- names */

static void look_up(struct job *j)
{
    struct link *l = CONTAINER_OF(j, struct link, lookup);
    l->found = dial_names(&l->dial, l->host, l->port);
}

/* The thread is there once a name was asked for. */
static bool look_up_begin(struct server *s, struct link *l)
{
    if (!s->names_started && lane_start(&s->names, "vong-names", LOOKUPS_MAX, &s->loop) != ERR_OK)
        return false;
    s->names_started = true;
    l->lookup = (struct job){.run = look_up};
    l->looking_up = lane_give(&s->names, &l->lookup);
    return l->looking_up;
}

static void look_ups_collect(struct server *s)
{
    struct job *j;
    while (s->names_started && (j = lane_take(&s->names)) != NULL) {
        struct link *l = CONTAINER_OF(j, struct link, lookup);
        l->looking_up = false;
        if (l->dead)
            continue;
        if (l->found == ERR_OK)
            link_connect(s, l);
        else
            tell_dialed(s, l, NODE_DIALED_NOWHERE);
    }
}

/* ------------------------------------------------------------- what is asked */

/* What comes of it is told later in the turn: nothing is stepped here, inside the taking of
 * an out. */
static void link_open(struct server *s, const struct node_dial *d)
{
    struct link *l = mem_zero(sizeof(*l));
    l->id = d->link;
    l->port = d->port;
    l->found = ERR_NOT_FOUND;
    conn_init(&l->conn, -1, WATCHES_LINK);
    *vec_add(&s->links) = l;
    if (d->host.n < DIAL_HOST_BYTES && memchr(d->host.p, '\0', d->host.n) == NULL) {
        memcpy(l->host, d->host.p, d->host.n);
        l->found = dial_numeric(&l->dial, l->host, l->port);
        if (l->found != ERR_OK)
            (void)look_up_begin(s, l); /* false: it is told that there is no such host */
    }
    if (!l->looking_up)
        *vec_add(&s->dialing) = l->id;
}

static void link_send(struct server *s, struct node_send *send)
{
    struct link *l = link_at(s, send->link);
    check(l != NULL && !l->connecting && !l->looking_up);
    chain_append(&l->out, &send->bytes);
    watch_want(&s->loop, &l->conn.watch, WATCH_READ | WATCH_WRITE);
}

void links_take_out(struct server *s)
{
    struct node_out *o = &s->out;
    for (size_t i = 0; i < o->dial.n; i++)
        link_open(s, &o->dial.at[i]);
    for (size_t i = 0; i < o->send.n; i++)
        link_send(s, &o->send.at[i]);
    for (size_t i = 0; i < o->hang_up.n; i++) {
        struct link *l = link_at(s, o->hang_up.at[i]);
        if (l != NULL)
            link_die(s, l);
    }
}

/* ------------------------------------------------------------------ readiness */

static void link_closed(struct server *s, struct link *l)
{
    link_die(s, l);
    server_step(s, &(struct node_event){.type = NODE_LINK_CLOSED, .link = {.link = l->id}});
}

static void link_writable(struct server *s, struct link *l)
{
    size_t took = conn_write(&l->conn, &l->out, l->out.n, &s->graves);
    if (l->conn.broken) {
        link_closed(s, l);
        return;
    }
    if (l->out.n == 0)
        watch_want(&s->loop, &l->conn.watch, WATCH_READ);
    if (took > 0)
        server_step(s, &(struct node_event){.type = NODE_LINK_TOOK,
                                            .link = {.link = l->id, .left = l->out.n}});
}

static void link_readable(struct server *s, struct link *l)
{
    char bytes[LINK_READ_BYTES];
    size_t got;
    switch (conn_read(&l->conn, bytes, sizeof(bytes), &got)) {
    case CONN_NOTHING: break;
    case CONN_BYTES:
        server_step(s, &(struct node_event){.type = NODE_LINK_BYTES,
                                            .link = {.link = l->id, .in = slice_of(bytes, got)}});
        break;
    case CONN_ENDED:
    case CONN_BROKEN: link_closed(s, l); break;
    }
}

void link_ready(struct server *s, struct watch *w, uint8_t events)
{
    struct link *l = CONTAINER_OF(CONTAINER_OF(w, struct conn, watch), struct link, conn);
    if (l->connecting) {
        l->connecting = false;
        watch_want(&s->loop, w, WATCH_READ);
        if (dial_is_through(conn_fd(&l->conn)))
            tell_dialed(s, l, NODE_DIALED_OK);
        else
            link_connect(s, l);
        return;
    }
    if (events & WATCH_READ) /* first: what the other side said before it closed is an answer */
        link_readable(s, l);
    if (events & WATCH_WRITE && !l->dead && l->out.n > 0)
        link_writable(s, l);
}

/* ---------------------------------------------------------------------- turns */

void links_turn(struct server *s)
{
    look_ups_collect(s);
    for (size_t i = 0; i < s->dialing.n; i++) {
        struct link *l = link_at(s, s->dialing.at[i]);
        if (l == NULL)
            continue;
        if (l->found == ERR_OK)
            link_connect(s, l);
        else
            tell_dialed(s, l, NODE_DIALED_NOWHERE);
    }
    vec_clear(&s->dialing);
}

void links_bury(struct server *s)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->links.n; i++) {
        struct link *l = s->links.at[i];
        if (l->dead && !l->looking_up)
            mem_free(l);
        else
            s->links.at[kept++] = l;
    }
    s->links.n = kept;
}

void links_free(struct server *s)
{
    if (s->names_started)
        lane_stop(&s->names); /* a name under way is waited for, as long as the resolver takes */
    while (s->names_started && lane_take(&s->names) != NULL)
        ;
    for (size_t i = 0; i < s->links.n; i++) {
        link_die(s, s->links.at[i]);
        mem_free(s->links.at[i]);
    }
    vec_free(&s->links);
    vec_free(&s->dialing);
}

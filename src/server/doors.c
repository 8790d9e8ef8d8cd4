/* SPDX-License-Identifier: BSD-3-Clause */

/* Where clients come in, and who is turned away at once. */
#define _GNU_SOURCE
#include "server/server.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

enum { ACCEPTS_PER_TURN = 128 }; /* the clients that are there are not to wait for a crowd */

static const char denied[] =
    "-DENIED Vong runs in protected mode: no password is set, so it serves clients of this machine "
    "only. To serve others, choose one: 1) set a password with 'requirepass' (CONFIG SET "
    "requirepass <password> from this machine, or in the configuration file); 2) switch the "
    "protection off with 'CONFIG SET protected-mode no', if only trusted machines can reach this "
    "port; 3) start the server with '--protected-mode no'.\r\n";
static const char too_many[] = "-ERR max number of clients reached\r\n";

static void turn_away(struct server *s, const struct guest *g, const char *text, size_t n)
{
    ssize_t ignored = write(g->fd, text, n); /* one try: the socket is new and empty */
    (void)ignored;
    close(g->fd);
    s->counts.rejected++;
}

static void welcome(struct server *s, const struct guest *g)
{
    bool may_come =
        g->is_loopback || !s->options->protected_mode || s->options->requirepass[0] != '\0';
    if (server_clients_n(s) >= s->options->maxclients) {
        turn_away(s, g, too_many, sizeof(too_many) - 1);
        return;
    }
    if (!may_come) {
        turn_away(s, g, denied, sizeof(denied) - 1);
        return;
    }
    struct client *c = client_open(s, g->fd);
    if (!g->is_unix)
        conn_keepalive(&c->conn, (int)s->options->tcp_keepalive);
    server_step(s, &(struct node_event){.type = NODE_OPENED,
                                        .opened = {.conn = c->id,
                                                   .peer = slice_str(g->peer),
                                                   .local = slice_str(g->local),
                                                   .is_unix = g->is_unix,
                                                   .is_loopback = g->is_loopback,
                                                   .fd = g->fd}});
    client_want(s, c);
}

void doors_accept(struct server *s, struct door *d)
{
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct guest g;
        switch (door_accept(d, &g)) {
        case DOOR_NOBODY: return;
        case DOOR_GUEST: welcome(s, &g); break;
        case DOOR_FAILED:
            log_say(&s->log.log, LOG_LEVEL_WARNING, "Cannot accept a connection at %s: %s", d->name,
                    strerror(errno));
            doors_want(s, false); /* the next cron tries again: who waits is not lost */
            return;
        }
    }
}

void doors_want(struct server *s, bool open)
{
    s->doors_shut = !open;
    for (size_t i = 0; i < s->doors.n; i++)
        watch_want(&s->loop, &s->doors.at[i]->watch, open ? WATCH_READ : 0);
}

void doors_close_all(struct doors *doors, struct loop *loop)
{
    for (size_t i = 0; i < doors->n; i++) {
        door_close(doors->at[i], loop);
        mem_free(doors->at[i]);
    }
    vec_free(doors);
}

bool doors_open_at(struct doors *to, const struct doors_where *where, char *why, size_t why_n)
{
    for (size_t i = 0; i < where->bind->n; i++) {
        const char *address = where->bind->at[i];
        bool may_miss = address[0] == '-', absent;
        struct door *d = mem_zero(sizeof(*d));
        if (door_open_tcp(d, address + may_miss, where->port, where->backlog, where->kind,
                          where->beside, &absent, why, why_n) == ERR_OK) {
            *vec_add(to) = d;
            continue;
        }
        mem_free(d);
        if (!may_miss || !absent)
            return false;
    }
    if (to->n > 0)
        return true;
    snprintf(why, why_n, "port %d: none of the addresses of 'bind' is there", where->port);
    return false;
}

static void let_beside(const struct doors *doors, bool beside)
{
    for (size_t i = 0; i < doors->n; i++)
        if (!doors->at[i]->is_unix)
            door_let_beside(doors->at[i], beside);
}

bool doors_open_beside(const struct doors *old, struct doors *to, const struct doors_where *where,
                       char *why, size_t why_n)
{
    let_beside(old, true);
    bool opened = doors_open_at(to, where, why, why_n);
    let_beside(old, false);
    let_beside(to, false);
    return opened;
}

static struct doors_where where_of(const struct options *o, bool beside)
{
    return (struct doors_where){.bind = &o->bind,
                                .port = (int)o->port,
                                .backlog = (int)o->tcp_backlog,
                                .kind = WATCHES_DOOR,
                                .beside = beside};
}

bool doors_open(struct server *s, bool beside, char *why, size_t why_n)
{
    const struct options *o = s->options;
    struct doors_where where = where_of(o, beside);
    if (o->port != 0 && !doors_open_at(&s->doors, &where, why, why_n))
        return false;
    if (o->unixsocket[0] != '\0' && !beside) {
        struct door *d = mem_zero(sizeof(*d));
        if (door_open_unix(d, o->unixsocket, (unsigned)o->unixsocketperm, (int)o->tcp_backlog,
                           WATCHES_DOOR, why, why_n) != ERR_OK) {
            mem_free(d);
            return false;
        }
        *vec_add(&s->doors) = d;
    }
    return true;
}

bool words_equal(const struct option_words *a, const struct option_words *b)
{
    for (size_t i = 0; i < a->n && i < b->n; i++)
        if (strcmp(a->at[i], b->at[i]) != 0)
            return false;
    return a->n == b->n;
}

/* Who knocked at a door before it closes is let in: by the limit of one turn, as ever. */
bool doors_move(struct server *s, const struct options *o, char *why, size_t why_n)
{
    struct doors old = {0}, new = {0};
    struct doors_where where = where_of(o, true);
    if (o->port == s->options->port && words_equal(&o->bind, &s->options->bind))
        return true;
    if (o->port != 0 && !doors_open_beside(&s->doors, &new, &where, why, why_n)) {
        doors_close_all(&new, &s->loop);
        return false;
    }
    for (size_t i = 0; i < s->doors.n; i++)
        *(s->doors.at[i]->is_unix ? vec_add(&new) : vec_add(&old)) = s->doors.at[i];
    for (size_t i = 0; i < old.n; i++)
        doors_accept(s, old.at[i]);
    vec_free(&s->doors);
    s->doors = new;
    doors_close_all(&old, &s->loop);
    doors_want(s, true);
    return true;
}

void doors_close(struct server *s)
{
    doors_close_all(&s->doors, &s->loop);
}

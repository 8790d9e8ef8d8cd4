/* SPDX-License-Identifier: BSD-3-Clause */

/* Links: connections that the node asked for, to other servers.
 *
 *     out.dial -> io/line -> NODE_DIALED; to a cluster port after the handshake (wire/hello)
 *     out.send -> written as the socket takes it -> NODE_LINK_TOOK
 *     what comes -> NODE_LINK_BYTES;  its end -> NODE_LINK_CLOSED */
#define _GNU_SOURCE
#include "server/server.h"

#include <sys/random.h>

#include "base/check.h"
#include "base/mem.h"
#include "wire/hello.h"

enum { GREETING_MAX_BYTES = 4096 }; /* of the other side's part of a handshake */

struct link {
    struct line line;
    struct server *server;
    uint32_t id; /* the node's */
    uint8_t use; /* enum peer_use */
    struct node_id peer;
    struct hello *hello; /* while it greets; NULL: it does not, or is through */
    struct buf unread;   /* of the greeting */
};

static struct link *link_of(struct line *l)
{
    return CONTAINER_OF(l, struct link, line);
}

static struct link *link_at(const struct server *s, uint32_t id)
{
    for (size_t i = 0; i < s->links.at.n; i++) {
        struct link *l = link_of(s->links.at.at[i]);
        if (l->id == id && !l->line.dead)
            return l;
    }
    return NULL;
}

static void tell_dialed(struct link *l, enum node_dialed how, uint32_t incarnation)
{
    if (how != NODE_DIALED_OK)
        line_drop(&l->line);
    server_step(l->server, &(struct node_event){
                               .type = NODE_DIALED,
                               .link = {.link = l->id, .dialed = how, .incarnation = incarnation}});
}

static void tell_bytes(struct link *l, struct slice in)
{
    if (in.n > 0 && !l->line.dead)
        server_step(l->server, &(struct node_event){.type = NODE_LINK_BYTES,
                                                    .link = {.link = l->id, .in = in}});
}

/* ------------------------------------------------------------------ the handshake */

static void greet(struct link *l)
{
    struct chain out = {0};
    uint8_t nonce[HELLO_NONCE_BYTES];
    check(getrandom(nonce, sizeof(nonce), 0) == (ssize_t)sizeof(nonce));
    l->hello = mem_zero(sizeof(*l->hello));
    buf_init(&l->unread, GREETING_MAX_BYTES);
    hello_dial(l->hello, &l->server->self, hello_purpose_of(l->use), &l->peer, nonce, &out);
    line_send(&l->line, &out);
}

static void greeting_end(struct link *l)
{
    if (l->hello == NULL)
        return;
    hello_free(l->hello);
    mem_free(l->hello);
    l->hello = NULL;
    buf_free(&l->unread);
}

static void greeting_refused(struct link *l, const char *why)
{
    log_say(&l->server->log.log, LOG_LEVEL_VERBOSE, "no commands or records go to %s:%u: %s",
            l->line.host, (unsigned)l->line.port, why);
    greeting_end(l);
    tell_dialed(l, NODE_DIALED_REFUSED, 0);
}

/* A copy's node asks at once what it is to get: that may come along with the last of the greeting.
 * Who is sent commands has nothing to say yet. */
static void greeting_is_over(struct link *l, struct slice in)
{
    uint32_t incarnation = l->hello->peer.incarnation;
    struct buf unread = l->unread;
    if (l->use != USE_REPL && unread.n + in.n > 0) {
        greeting_refused(l, "it speaks before it is asked");
        return;
    }
    buf_init(&l->unread, GREETING_MAX_BYTES);
    greeting_end(l);
    tell_dialed(l, NODE_DIALED_OK, incarnation);
    tell_bytes(l, buf_slice(&unread));
    tell_bytes(l, in);
    buf_free(&unread);
}

static void greeting_bytes(struct link *l, struct slice in)
{
    struct chain out = {0};
    size_t used = 0, taken = GREETING_MAX_BYTES - l->unread.n;
    taken = taken < in.n ? taken : in.n;
    if (taken == 0 || buf_add(&l->unread, slice_head(in, taken)) != ERR_OK) {
        greeting_refused(l, "its greeting is too long");
        return;
    }
    enum hello_verdict v =
        hello_step(l->hello, &l->server->self, buf_slice(&l->unread), &used, &out);
    buf_drop_front(&l->unread, used);
    line_send(&l->line, &out);
    if (v == HELLO_REFUSED)
        greeting_refused(l, l->hello->why);
    else if (v == HELLO_ACCEPTED)
        greeting_is_over(l, slice_from(in, taken));
    else if (taken < in.n)
        greeting_bytes(l, slice_from(in, taken));
}

/* ------------------------------------------------------------------- what comes */

static void link_dialed(struct line *line, enum line_dialed how)
{
    static const enum node_dialed node_says[] = {[LINE_THROUGH] = NODE_DIALED_OK,
                                                 [LINE_NOWHERE] = NODE_DIALED_NOWHERE,
                                                 [LINE_NO_SOCKET] = NODE_DIALED_NO_SOCKET,
                                                 [LINE_REFUSED] = NODE_DIALED_REFUSED};
    struct link *l = link_of(line);
    if (how == LINE_THROUGH && l->use != USE_NONE)
        greet(l);
    else
        tell_dialed(l, node_says[how], 0);
}

static void link_bytes(struct line *line, struct slice in)
{
    struct link *l = link_of(line);
    if (l->hello != NULL)
        greeting_bytes(l, in);
    else
        tell_bytes(l, in);
}

static void link_took(struct line *line)
{
    struct link *l = link_of(line);
    if (l->hello == NULL)
        server_step(l->server, &(struct node_event){.type = NODE_LINK_TOOK,
                                                    .link = {.link = l->id, .left = line->out.n}});
}

static void link_closed(struct line *line)
{
    struct link *l = link_of(line);
    if (l->hello != NULL)
        greeting_refused(l, "it closed the connection");
    else
        server_step(l->server,
                    &(struct node_event){.type = NODE_LINK_CLOSED, .link = {.link = l->id}});
}

static void link_free(struct line *line)
{
    struct link *l = link_of(line);
    greeting_end(l);
    mem_free(l);
}

const struct line_ops link_ops = {.dialed = link_dialed,
                                  .bytes = link_bytes,
                                  .took = link_took,
                                  .closed = link_closed,
                                  .free = link_free};

/* ------------------------------------------------------------- what is asked */

void links_take_out(struct server *s)
{
    struct node_out *o = &s->out;
    for (size_t i = 0; i < o->dial.n; i++) {
        struct node_dial *d = &o->dial.at[i];
        struct link *l = mem_zero(sizeof(*l));
        l->server = s;
        l->id = d->link;
        l->use = d->use;
        l->peer = d->peer;
        line_dial(&s->links, &l->line, d->host, d->port);
    }
    for (size_t i = 0; i < o->send.n; i++) {
        struct link *l = link_at(s, o->send.at[i].link);
        check(l != NULL);
        line_send(&l->line, &o->send.at[i].bytes);
    }
    for (size_t i = 0; i < o->hang_up.n; i++) {
        struct link *l = link_at(s, o->hang_up.at[i]);
        if (l != NULL)
            line_drop(&l->line);
    }
}

void link_ready(struct watch *w, uint8_t events)
{
    line_ready(CONTAINER_OF(CONTAINER_OF(w, struct conn, watch), struct line, conn), events);
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* Clients' input: read, parsed, run in batches.
 *
 * A wave reads the clients that are ready into one arena, one piece behind the other, and collects
 * their requests, whose arguments point into those pieces:
 *
 *     arena  [client 7: GET a, GET b, SE][client 3: PING][client 9: ...]
 *     batch   7 GET a | 7 GET b | 3 PING | ...
 *
 * Nothing is moved before the requests that point to it were run. When the wave ends, what is left
 * over of a client (the "SE") is copied into memory of its own; who has nothing left over has
 * none. */
#define _GNU_SOURCE
#include "server/server.h"

#include "base/check.h"
#include "io/clock.h"

/* a leftover up to this goes in front of the next piece */
enum { INPUT_COPIED_MAX_BYTES = 16 * 1024 };
/* more is judged after each batch, not once a turn */
enum { OUTPUT_LOOKED_AT_BYTES = 1024 * 1024 };

/* -------------------------------------------------------------- birth and death */

struct client *client_open(struct server *s, int fd)
{
    struct client *c = mem_zero(sizeof(*c));
    conn_init(&c->conn, fd, WATCHES_CLIENT);
    if (s->free_ids.n > 0) {
        c->id = s->free_ids.at[--s->free_ids.n];
    } else {
        c->id = (uint32_t)s->clients.n;
        (void)vec_add(&s->clients);
    }
    s->clients.at[c->id] = c;
    s->clients_n++;
    if (s->seats != NULL)
        atomic_fetch_add(&s->seats->clients, 1);
    c->active = s->now;
    c->over_since = MONO_NEVER;
    return c;
}

struct client *client_at(const struct server *s, uint32_t id)
{
    struct client *c = id < s->clients.n ? s->clients.at[id] : NULL;
    return c != NULL && !c->dead ? c : NULL;
}

void client_die(struct server *s, struct client *c)
{
    if (c->dead)
        return;
    c->dead = true;
    *vec_add(&s->dead) = c;
}

void client_feed(struct server *s, struct client *c, struct chain *bytes)
{
    check(c->place == INPUT_NONE);
    if (bytes->n == 0)
        return;
    c->in_cap = mem_good_size(bytes->n);
    c->in = mem_get(c->in_cap);
    c->in_n = chain_copy(bytes, c->in, c->in_cap);
    c->place = INPUT_OWN;
    chain_free(bytes, &s->graves);
    client_again(s, c);
}

void client_tell(const struct server *s, uint32_t id, struct node_client *to)
{
    *to = (struct node_client){0};
    const struct client *c = client_at(s, id);
    if (c == NULL)
        return;
    to->unread = c->in_n - c->in_at;
    /* the arena is nobody's own */
    to->unread_free = c->place == INPUT_OWN ? c->in_cap - to->unread : 0;
    to->args = request_parser_bytes(&c->parser) + (c->kept != NULL ? c->kept->bytes : 0);
    to->shell = sizeof(*c) + to->args + (c->place == INPUT_OWN ? c->in_cap : 0);
    to->owed_most = c->owed_most;
}

static void input_free(struct client *c)
{
    if (c->place == INPUT_OWN)
        mem_free_sized(c->in, c->in_cap);
    c->place = INPUT_NONE;
    c->in = NULL;
    c->in_at = c->in_n = c->in_cap = 0;
}

static void kept_free(struct client *c)
{
    if (c->kept == NULL)
        return;
    request_free(c->kept);
    mem_free(c->kept);
    c->kept = NULL;
}

/* What has been sent and not read makes the system reset the connection at its close, which can
 * cost the client the reply it was closed with: a piece of it is read and dropped. */
static void drain(struct server *s, struct client *c)
{
    size_t got;
    if (!c->conn.ended)
        (void)conn_read(&c->conn, s->arena, READ_ARENA_BYTES, &got);
}

static void forget_again(struct server *s, const struct client *c)
{
    size_t kept = 0;
    for (size_t i = 0; c->again && i < s->again.n; i++)
        if (s->again.at[i] != c)
            s->again.at[kept++] = s->again.at[i];
    if (c->again)
        s->again.n = kept;
}

void clients_bury(struct server *s)
{
    for (size_t i = 0; i < s->dead.n; i++) {
        struct client *c = s->dead.at[i];
        server_step(s, &(struct node_event){.type = NODE_CLOSED, .closed = c->id});
        drain(s, c);
        conn_close(&c->conn, &s->loop);
        input_free(c);
        kept_free(c);
        request_parser_free(&c->parser);
        forget_again(s, c);
        s->clients.at[c->id] = NULL;
        s->clients_n--;
        if (s->seats != NULL)
            atomic_fetch_sub(&s->seats->clients, 1);
        *vec_add(&s->free_ids) = c->id;
        mem_free(c);
    }
    vec_clear(&s->dead);
}

/* ---------------------------------------------------------------------- batches */

static void keep(struct client *c, struct request *r)
{
    check(c->kept == NULL); /* a request with big values ends its client's part of a batch */
    request_own(r);
    c->kept = mem_get(sizeof(*r));
    *c->kept = *r;
}

void clients_batch_judged(struct server *s)
{
    for (size_t i = 0; i < s->batch.n; i++) {
        struct batch_from *from = &s->batch.from[i];
        struct client *c = from->client;
        struct request *r = &s->batch.requests[i];
        if (c->out != NULL && c->out->n > OUTPUT_LOOKED_AT_BYTES && !c->dead)
            client_judge_output(s, c);
        if (s->batch.at[i].taken || c->dead) {
            request_free(r);
            continue;
        }
        if (r->blobs != NULL) {
            keep(c, r);
        } else if (!c->held) { /* the first of its requests that went back: read on from there */
            c->in_at = from->start;
            request_parser_free(&c->parser);
            request_free(r);
        } else {
            request_free(r);
        }
        c->held = true;
    }
    s->batch.n = 0;
    request_arena_reset(&s->slices);
}

/* more: of the same wave there is another behind it, or an empty one that ends it. */
static void batch_step(struct server *s, bool more)
{
    s->linger.requests += (unsigned)s->batch.n;
    s->turn_requests += s->batch.n;
    s->batch.has_more = more;
    server_step(s, &(struct node_event){.type = NODE_REQUESTS,
                                        .requests = {s->batch.at, s->batch.n, more}});
    check(s->batch.n == 0);
}

static void batch_run(struct server *s)
{
    if (s->batch.n > 0 || s->batch.has_more)
        batch_step(s, false);
}

/* The next n of batch.requests are this client's, the first of them at `start` of its input. */
static void batch_add(struct server *s, struct client *c, size_t start, size_t n)
{
    size_t i = s->batch.n, end = i + n;
    for (; i < end; i++) {
        s->batch.at[i] = (struct node_request){.conn = c->id, .req = &s->batch.requests[i]};
        s->batch.from[i] = (struct batch_from){.client = c, .start = start};
        start += s->batch.requests[i].bytes;
    }
    s->batch.n = end;
    if (s->batch.requests[end - 1].blobs != NULL) {
        s->turn_bytes += s->batch.requests[end - 1].bytes;
        batch_run(s);
    } else if (end == BATCH_MAX) {
        batch_step(s, true);
    }
}

/* ------------------------------------------------------------------------ feeding */

static void touch(struct server *s, struct client *c)
{
    if (c->touched)
        return;
    c->touched = true;
    *vec_add(&s->touched) = c;
}

static bool may_feed(const struct client *c)
{
    return !c->held && !c->paused && !c->bad && !c->dead && !c->closing;
}

static struct request_limits limits_of(const struct server *s, const struct client *c)
{
    bool known = s->options->requirepass[0] == '\0' || node_is_authenticated(s->node, c->id);
    return (struct request_limits){.bulk_max_bytes = s->options->proto_max_bulk_len,
                                   .args_max = known ? INT32_MAX : 10,
                                   .unauthenticated = !known};
}

static void feed_kept(struct server *s, struct client *c)
{
    struct request *r = c->kept;
    c->kept = NULL;
    s->batch.requests[s->batch.n] = *r;
    mem_free(r);
    batch_add(s, c, c->in_at, 1); /* it has blobs: it is run at once */
}

static void bad_input(struct server *s, struct client *c)
{
    batch_run(s); /* what came before it is answered before it */
    if (!may_feed(c))
        return; /* the bad bytes are met again when it goes on */
    c->bad = true;
    server_step(s, &(struct node_event){.type = NODE_BAD_INPUT, .bad = {c->id, c->parser.error}});
}

/* Requests of what the client has sent, until it is used up or may not go on. */
static void feed(struct server *s, struct client *c)
{
    touch(s, c);
    if (c->kept != NULL && may_feed(c))
        feed_kept(s, c);
    struct request_limits limits = limits_of(s, c);
    while (may_feed(c)) {
        size_t used = 0;
        struct slice in = slice_of(c->in + c->in_at, c->in_n - c->in_at);
        struct request *to = &s->batch.requests[s->batch.n];
        size_t start = c->in_at, max = BATCH_MAX - s->batch.n;
        size_t n = request_next_plain(&c->parser, &limits, in, &s->slices, to, max);
        if (n > 0) {
            for (size_t i = 0; i < n; i++)
                c->in_at += to[i].bytes;
            batch_add(s, c, start, n);
            continue;
        }
        switch (request_next(&c->parser, &limits, in, &s->slices, to, &used)) {
        case REQUEST_MORE: return;
        case REQUEST_BAD: bad_input(s, c); return;
        case REQUEST_NONE: c->in_at += used; break;
        case REQUEST_WHOLE:
            c->in_at += used;
            batch_add(s, c, start, 1);
            if (limits.unauthenticated) { /* an AUTH lifts the limits for what is behind it */
                batch_run(s);
                limits = limits_of(s, c);
            }
            break;
        }
    }
}

/* ------------------------------------------------------------------- the wave's end */

static void settle_input(struct client *c)
{
    size_t left = c->in_n - c->in_at;
    if (left == 0 || c->bad || c->closing) {
        input_free(c);
        return;
    }
    if (c->place == INPUT_OWN && left > c->in_cap / 4) {
        memmove(c->in, c->in + c->in_at, left);
    } else {
        size_t cap = mem_good_size(left);
        char *own = mem_get(cap);
        memcpy(own, c->in + c->in_at, left);
        input_free(c);
        c->in = own;
        c->in_cap = cap;
        c->place = INPUT_OWN;
    }
    c->in_at = 0;
    c->in_n = left;
}

static void settle(struct server *s, struct client *c)
{
    c->touched = false;
    settle_input(c);
    if (c->dead)
        return;
    int64_t max = s->options->client_query_buffer_limit;
    if (c->in_n + request_parser_bytes(&c->parser) > (size_t)max) {
        char peer[ADDRESS_TEXT_BYTES];
        address_of_peer(conn_fd(&c->conn), peer);
        log_say(&s->log.log, LOG_LEVEL_WARNING,
                "Closing client %s: its unprocessed input is over client-query-buffer-limit (%lld "
                "bytes)",
                peer, (long long)max);
        s->counts.input_limit_closed++;
        client_die(s, c);
        return;
    }
    if (c->conn.ended && may_feed(c) && !c->again && !c->ended_told) {
        c->ended_told = true;
        server_step(s, &(struct node_event){.type = NODE_ENDED, .ended = c->id});
    }
    client_want(s, c);
}

static void wave_end(struct server *s)
{
    batch_run(s);
    for (size_t i = 0; i < s->touched.n; i++)
        settle(s, s->touched.at[i]);
    vec_clear(&s->touched);
    s->arena_at = 0;
}

/* ------------------------------------------------------------------------- reading */

/* Room for the next piece, behind what is left over. */
static size_t make_room(struct server *s, struct client *c)
{
    if (c->in_n <= INPUT_COPIED_MAX_BYTES) {
        char *piece = s->arena + s->arena_at;
        size_t n = c->in_n;
        if (n > 0)
            memcpy(piece, c->in, n);
        input_free(c);
        c->in = piece;
        c->in_n = n;
        c->place = INPUT_ARENA;
        return READ_MAX_BYTES;
    }
    if (c->in_cap - c->in_n < READ_MAX_BYTES) {
        size_t cap = mem_good_size(c->in_n * 2 + READ_MAX_BYTES);
        c->in = mem_resize(c->in, cap);
        c->in_cap = cap;
    }
    return READ_MAX_BYTES;
}

/* Another node's long request is slow to come: that it comes is told now and then. */
static void grows(struct server *s, const struct client *c, size_t wanted, size_t wants)
{
    if (c->is_peer && wants > 0 && wanted / NODE_GROWS_BYTES != wants / NODE_GROWS_BYTES)
        server_step(s, &(struct node_event){.type = NODE_GROWS, .grows = c->id});
}

/* Bytes of a big bulk go straight to where they stay. True: it is whole, or its connection
 * ended. */
static bool read_big(struct server *s, struct client *c, char *to, size_t wants)
{
    size_t got;
    enum conn_got r =
        conn_read(&c->conn, to, wants < READ_BIG_MAX_BYTES ? wants : READ_BIG_MAX_BYTES, &got);
    request_parser_filled(&c->parser, got);
    s->counts.reads++;
    s->counts.read_bytes += got;
    s->turn_bytes += got;
    grows(s, c, wants, wants - got);
    return got == wants || r == CONN_ENDED || r == CONN_BROKEN;
}

static void read_piece(struct server *s, struct client *c)
{
    size_t got, room = make_room(s, c);
    (void)conn_read(&c->conn, c->in + c->in_n, room, &got);
    c->in_n += got;
    s->counts.reads++;
    s->counts.read_bytes += got;
    s->turn_bytes += got;
    if (c->in_n > s->counts.input_most)
        s->counts.input_most = c->in_n;
    if (c->place == INPUT_ARENA) {
        s->arena_at += (c->in_n + 63) & ~(size_t)63;
        if (c->in_n == 0)
            input_free(c);
    }
}

static void readable(struct server *s, struct client *c)
{
    if (c->touched || c->paused || c->bad || c->conn.ended) {
        client_want(s, c); /* it fires again when it is wanted */
        return;
    }
    if (s->arena_at + INPUT_COPIED_MAX_BYTES + READ_MAX_BYTES > READ_ARENA_BYTES)
        wave_end(s);
    c->active = s->now;
    if (c->window != s->linger.window) {
        c->window = s->linger.window;
        s->linger.clients++;
    }
    char *to;
    size_t wants = request_parser_wants(&c->parser, &to);
    if (wants == 0)
        read_piece(s, c);
    else if (!read_big(s, c, to, wants))
        return;
    if (c->conn.broken)
        client_die(s, c);
    if (c->conn.ended)
        c->ended_at = s->now;
    feed(s, c);
}

static void feed_again(struct server *s)
{
    size_t n = s->again.n; /* who comes back meanwhile has its turn in the next one */
    size_t done = 0;
    while (done < n && s->turn_bytes < TURN_BYTES) {
        struct client *c = s->again.at[done++];
        if (!c->dead) {
            c->again = false;
            feed(s, c);
        }
    }
    s->again.n -= done;
    if (s->again.n > 0)
        memmove(s->again.at, s->again.at + done, s->again.n * sizeof(s->again.at[0]));
}

void client_again(struct server *s, struct client *c)
{
    if (c->again || c->dead)
        return;
    c->again = true;
    *vec_add(&s->again) = c;
}

void clients_turn(struct server *s)
{
    s->turn_bytes = 0;
    feed_again(s);
    struct watch *w;
    while (!storage_is_behind(&s->storage) && s->turn_bytes < TURN_BYTES &&
           (w = loop_next(&s->loop)) != NULL) {
        uint8_t events = w->events;
        w->events = 0;
        if (w->kind == WATCHES_DOOR) {
            doors_accept(s, CONTAINER_OF(w, struct door, watch));
            continue;
        }
        if (w->kind == WATCHES_LINK) {
            link_ready(w, events);
            continue;
        }
        struct client *c = CONTAINER_OF(CONTAINER_OF(w, struct conn, watch), struct client, conn);
        if (events & WATCH_WRITE) {
            c->conn.refused = false;
            client_write(s, c);
        }
        if (events & WATCH_READ && !c->dead)
            readable(s, c);
    }
    wave_end(s);
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* Turns and flights: what a session is owed in its order, and the requests that are away for it.
 *
 * Order of one slot (replication 10): a flight goes only if the one before it of the same
 * session and slot is answered, or was sent over the very link it would go over now. All others
 * are parked and looked at again: when the map changes, when the one before is answered, a
 * little after a refusal. A flight is parked, too, while nobody serves its slot; that ends with
 * what is served, or with its patience. A write that was sent and whose answer did not come is
 * never sent again (9). */
#include <stdio.h>

#include "base/check.h"
#include "node/cluster.h"
#include "node/waiting.h"

enum { TURNS_MAX = 10000 };                    /* of one session; more of its input is not taken */
enum { TURNS_MAX_BYTES = 1024 * 1024 };        /* replication 5's bound, for what is held here */
enum { FIRST_TURNS = 256 };                    /* until the length of a reply is known */
enum { REPLIES_MAX_BYTES = 32 * 1024 * 1024 }; /* about so much is asked for at once */
/* A proxy has many clients, and they may all ask and not read: what is under way is
 * shared among them. */
enum { PROXY_FIRST_TURNS = 4, PROXY_REPLIES_MAX_BYTES = 512 * 1024 };
enum {
    PROXY_TURNS_BYTES = 64 * 1024 * 1024,
    PROXY_TURNS_MOST_BYTES = 128 * 1024,
    PROXY_TURNS_LEAST_BYTES = 8 * 1024
};
enum { TURN_BYTES = sizeof(struct turn) + sizeof(struct flight) };
/* Of an argument that is shared with the link; of a request with such. */
enum { SHARED_BYTES = CHAIN_REF_BYTES, SHARED_ARGS = 8 };
/* After a refusal: the map is on its way to one of the two. */
enum { AGAIN_US = 10 * 1000 };
/* Replication 26: others' replies are behind it on its link. */
enum { HANDOVER_US = 100 * 1000 };

/* -------------------------------------------------------------------- turns */

/* Who asks for long replies may have few under way: no node is told to keep its answers back, since
 * others wait for what is behind them on the link. */
static size_t turns_max(const struct routing *r)
{
    size_t most = r->proxied ? PROXY_REPLIES_MAX_BYTES : REPLIES_MAX_BYTES;
    size_t first = r->proxied ? PROXY_FIRST_TURNS : FIRST_TURNS;
    size_t n = r->reply_most > 0 ? most / r->reply_most : first;
    return n < 4 ? 4 : n > TURNS_MAX ? TURNS_MAX : n;
}

static size_t turns_max_bytes(const struct node *n)
{
    if (!n->identity.is_proxy)
        return TURNS_MAX_BYTES;
    size_t share = PROXY_TURNS_BYTES / (n->sessions_n > 0 ? n->sessions_n : 1);
    return share > PROXY_TURNS_MOST_BYTES    ? PROXY_TURNS_MOST_BYTES
           : share < PROXY_TURNS_LEAST_BYTES ? PROXY_TURNS_LEAST_BYTES
                                             : share;
}

bool turns_are_full(const struct node *n, const struct session *s)
{
    return s->routing->turns_n >= turns_max(s->routing) ||
           s->routing->turns_bytes >= turns_max_bytes(n);
}

struct turn *turn_new(struct session *s, size_t held_bytes)
{
    struct turn *t = mem_zero(sizeof(*t));
    t->session = s;
    t->held_bytes = held_bytes + TURN_BYTES;
    t->asked = routed_asked(s);
    t->client = routed_client(s);
    list_push(&s->routing->turns, &t->in_session);
    s->routing->turns_n++;
    s->routing->turns_bytes += t->held_bytes;
    return t;
}

static void turn_end(struct node *n, struct turn *t)
{
    struct routing *r = t->session->routing;
    list_drop(&t->in_session);
    r->turns_n--;
    r->turns_bytes -= t->held_bytes;
    chain_free(&t->bytes, &n->store.graves);
    gather_free(t->gather);
    mem_free_sized(t, sizeof(*t));
}

static void turn_holds(struct turn *t, size_t more)
{
    t->held_bytes += more;
    t->session->routing->turns_bytes += more;
}

static void turn_holds_less(struct turn *t, size_t less)
{
    t->held_bytes -= less;
    t->session->routing->turns_bytes -= less;
}

/* What is there of the reply that is next, and not whole. */
static bool turn_pass(struct node *n, struct turn *t)
{
    if (t->bytes.n == 0 || t->gather != NULL)
        return false;
    turn_holds_less(t, t->bytes.n);
    t->begun = true;
    if (t->silent)
        chain_free(&t->bytes, &n->store.graves);
    else
        chain_append(&t->session->out, &t->bytes);
    return true;
}

bool turns_begun(const struct session *s)
{
    const struct list *turns = &s->routing->turns;
    return !list_empty(turns) && CONTAINER_OF(turns->next, struct turn, in_session)->begun;
}

void turns_break(struct node *n, struct session *s, const char *why)
{
    log_say(n->log, LOG_LEVEL_WARNING, "Closing client %s: %s", s->peer, why);
    flights_forget(n, s);
    s->closing = true;
    session_produced(n, s);
}

/* What other nodes answered and its client has not read yet is bounded as all of its output is. */
static bool owes_too_much(const struct node *n, const struct session *s, size_t more)
{
    int64_t hard = n->options->client_output_buffer_limit.of[CLIENT_NORMAL].hard;
    return hard > 0 && s->routing->turns_bytes + more > (size_t)hard;
}

static void close_over(struct node *n, struct session *s, struct node_out *out)
{
    turns_break(n, s, "replies of other nodes wait, over the hard client-output-buffer-limit");
    *vec_add(&out->drop) = s->conn;
}

/* What is whole at the front of the order becomes output, and what is there of the
 * one behind it. */
void turns_deliver(struct node *n, struct session *s, struct node_out *out)
{
    struct routing *r = s->routing;
    bool any = false;
    while (!list_empty(&r->turns)) {
        struct turn *t = CONTAINER_OF(r->turns.next, struct turn, in_session);
        if (!t->done) {
            any |= turn_pass(n, t);
            break;
        }
        uint64_t begin = s->out.put;
        if (!t->silent && t->bytes.n > 0) {
            chain_append(&s->out, &t->bytes);
            s->fresh_replies += t->replies;
        }
        marks_put(n, s, begin, t->slot, t->kind, t->asked, t->client);
        turn_end(n, t);
        any = true;
    }
    if (!any)
        return;
    session_produced(n, s);
    bool room =
        !r->drains && r->turns_n < turns_max(r) / 2 && r->turns_bytes < turns_max_bytes(n) / 2;
    if (s->held == HELD_ROUTE && (r->turns_n == 0 || room)) {
        r->drains = false;
        session_let_go(n, s, out);
    }
}

/* ------------------------------------------------------------------ flights */

static struct list *bucket_of(struct node *n, uint64_t session_id, unsigned slot)
{
    uint64_t h = (session_id * SLOTS + slot) * UINT64_C(0x9e3779b97f4a7c15);
    return &n->cluster->order[h >> 52];
}

/* link: sent over that one; NULL: wherever it is. */
static struct flight *before_in(struct list *bucket, struct list *from, uint64_t session_id,
                                unsigned slot, const struct peer_link *link)
{
    for (struct list *l = from->prev; l != bucket; l = l->prev) {
        struct flight *f = CONTAINER_OF(l, struct flight, in_order);
        if (f->session_id == session_id && f->slot == slot && (link == NULL || f->link == link))
            return f;
    }
    return NULL;
}

/* Parts of one command to several nodes have no order among them. */
static struct flight *flight_before(struct node *n, struct flight *f)
{
    if (f->place != MAP_NOBODY)
        return NULL;
    return before_in(bucket_of(n, f->session_id, f->slot), &f->in_order, f->session_id, f->slot,
                     NULL);
}

bool flight_any(const struct node *n, const struct session *s, unsigned slot)
{
    struct list *bucket = bucket_of((struct node *)(uintptr_t)n, s->id, slot);
    return before_in(bucket, bucket, s->id, slot, NULL) != NULL;
}

/* The newest first, so that each tells the one before it, which most often is right before it. */
void flights_overtaken(struct node *n, struct list *sent, uint64_t taken)
{
    for (struct list *l = sent->prev; l != sent; l = l->prev) {
        struct flight *f = CONTAINER_OF(l, struct flight, in_where);
        if (!f->overtaken && (!f->is_write || f->begin >= taken))
            continue;
        struct list *bucket = bucket_of(n, f->session_id, f->slot);
        struct flight *before = before_in(bucket, &f->in_order, f->session_id, f->slot, f->link);
        if (before != NULL)
            before->overtaken = true;
    }
}

static int64_t patience_us(const struct node *n)
{
    if (n->identity.is_proxy)
        return n->options->retry_timeout * 1000;
    return 4 * map_timeout_us(&n->cluster->map.settings); /* longer than a failover */
}

/* What is long is copied once, to where the flight and what its link sends both have it. */
static struct blob *const *share_long(const struct slice *argv, struct blob *const *blobs,
                                      uint32_t argc, struct blob **to)
{
    bool any = false;
    if (argc > SHARED_ARGS)
        return blobs;
    for (uint32_t i = 0; i < argc; i++) {
        to[i] = blobs != NULL && blobs[i] != NULL ? blob_share(blobs[i])
                : argv[i].n >= SHARED_BYTES       ? blob_try(argv[i].n)
                                                  : NULL;
        if (to[i] != NULL && to[i]->n == 0) {
            memcpy(to[i]->p, argv[i].p, argv[i].n);
            to[i]->n = argv[i].n;
        }
        any |= to[i] != NULL;
    }
    return any ? to : NULL;
}

/* As its client wrote it, if that is one short piece. */
static struct flight *flight_keep(const struct spec *spec, const struct request *q)
{
    struct blob *shared[SHARED_ARGS];
    bool is_raw = q->raw != NULL && q->bytes < SHARED_BYTES;
    struct blob *const *keeps = is_raw ? NULL : share_long(q->argv, q->blobs, q->argc, shared);
    size_t room_n = is_raw ? kept_request_raw_room(q) : kept_request_room(q->argv, keeps, q->argc);
    struct flight *f = mem_get(sizeof(*f) + room_n);
    *f = (struct flight){.size = sizeof(*f) + room_n};
    if (is_raw)
        kept_request_put_raw(&f->request, f + 1, spec, q);
    else
        kept_request_put(&f->request, f + 1, room_n, spec, q->argv, keeps, q->argc);
    for (uint32_t i = 0; keeps == shared && i < q->argc; i++)
        if (shared[i] != NULL)
            blob_drop(shared[i], NULL); /* the flight's are left */
    return f;
}

struct flight *flight_new(struct node *n, struct turn *t, const struct spec *spec,
                          const struct request *q, unsigned slot)
{
    struct flight *f = flight_keep(spec, q);
    f->turn = t;
    f->session_id = t->session->id;
    f->slot = (uint16_t)slot;
    f->place = MAP_NOBODY;
    f->protocol = t->session->protocol;
    f->is_write = (spec->flags & (CMD_WRITE | CMD_MAY_REPLICATE)) != 0;
    f->born = n->now;
    f->until = mono_after(n->now, patience_us(n));
    f->why = "TRYAGAIN it is on its way";
    list_init(&f->in_where);
    list_push(bucket_of(n, f->session_id, slot), &f->in_order);
    return f;
}

void flight_free(struct flight *f)
{
    list_drop(&f->in_order);
    list_drop(&f->in_where);
    kept_request_drop(&f->request);
    mem_free_sized(f, f->size);
}

/* Who waited for this one may go. */
void flights_look_soon(struct node *n)
{
    if (!list_empty(&n->cluster->parked))
        n->cluster->parked_at = n->now;
}

bool flight_part(struct node *n, struct flight *f, struct slice in, struct node_out *out)
{
    struct turn *t = f->turn;
    if (t != NULL && owes_too_much(n, t->session, in.n)) {
        close_over(n, t->session, out);
        t = f->turn; /* NULL: nobody reads it now */
    }
    if (f->skip > 0 || (t != NULL && t->gather != NULL))
        return false;
    f->passed += in.n;
    if (t == NULL)
        return true;
    chain_put(&t->bytes, in);
    turn_holds(t, in.n);
    turns_deliver(n, t->session, out);
    return true;
}

void flight_again(struct node *n, struct flight *f)
{
    f->passed = 0;
    turn_holds_less(f->turn, f->turn->bytes.n);
    chain_free(&f->turn->bytes, &n->store.graves);
}

static void note_length(struct routing *r, size_t n)
{
    r->reply_most -= r->reply_most / 8;
    r->reply_most = n > r->reply_most ? n : r->reply_most;
}

/* The reply that is next goes to the output, where it lies in one piece with those before it. */
static void turn_answer(struct node *n, struct turn *t, struct slice reply)
{
    struct session *s = t->session;
    t->done = true;
    if (s->routing->turns.next != &t->in_session || t->silent || t->bytes.n > 0) {
        turn_holds(t, reply.n);
        chain_put(&t->bytes, reply);
        t->replies = 1;
        return;
    }
    uint64_t begin = s->out.put;
    chain_put(&s->out, reply);
    s->fresh_replies++;
    marks_put(n, s, begin, t->slot, (enum mark_kind)t->kind, t->asked, t->client);
    t->kind = MARK_FREE;
}

/* A proxy's statistics are of what it was asked for, with the time its clients waited; a node's of
 * what ran there. Of a command that was split, each part is one. */
static void note_answered(struct node *n, const struct flight *f, struct slice reply)
{
    const struct kept_request *q = &f->request;
    uint64_t ns = (uint64_t)(n->now.us - f->born.us) * 1000;
    bool failed = reply.p[0] == '-' && f->passed == 0;
    run_noted(n, f->turn->session, q->spec, q->argv, q->argc, ns, failed);
    if (failed) {
        char code[24];
        size_t k = 0;
        for (; k + 1 < reply.n && k < sizeof(code) - 1 && reply.p[k + 1] > ' '; k++)
            code[k] = reply.p[k + 1];
        code[k] = '\0';
        stats_error(n, code);
    }
}

void flight_answer(struct node *n, struct flight *f, struct slice reply, struct node_out *out)
{
    struct turn *t = f->turn;
    struct session *s = t != NULL ? t->session : NULL;
    if (n->identity.is_proxy && t != NULL)
        note_answered(n, f, reply);
    uint32_t part = f->part;
    size_t length = f->passed + reply.n;
    if (t != NULL && f->is_exec) {
        multi_forget(n, t->session);       /* nothing, if it ran here */
        far_multi_end(n, t->session, out); /* whatever became of it: nothing is watched any more */
    }
    if (t != NULL && f->request.spec->id == SPEC_WATCH)
        far_watch_answered(t->session, reply);
    if (t != NULL && f->on_own && s->routing->own != NULL)
        peer_give_back(n, s->routing->own); /* it was asked there, and ends elsewhere */
    flight_free(f);
    flights_look_soon(n);
    if (t == NULL)
        return;
    note_length(s->routing, length);
    if (t->gather != NULL) {
        turn_holds(t, reply.n);
        gather_part(t, part, reply);
    } else {
        turn_answer(n, t, reply);
    }
    if (t->done)
        turns_deliver(n, s, out);
    if (owes_too_much(n, s, 0))
        close_over(n, s, out);
}

void flight_error(struct node *n, struct flight *f, const char *text, struct node_out *out)
{
    char flat[512];
    struct chain bytes = {0};
    struct reply r = {.out = &bytes, .protocol = 2};
    reply_error(&r, slice_head(slice_str(text), sizeof(flat) - 8));
    if (!n->identity.is_proxy) /* which counts every answer */
        stats_error(n, r.error_code);
    size_t flat_n = chain_copy(&bytes, flat, sizeof(flat));
    chain_free(&bytes, NULL);
    flight_answer(n, f, slice_of(flat, flat_n), out);
}

void flight_unsure(struct node *n, struct flight *f, const char *why, struct node_out *out)
{
    char text[256];
    n->cluster->uncertain++;
    (void)snprintf(text, sizeof(text), "UNCERTAIN the write may or may not have been kept: %s",
                   why);
    flight_error(n, f, text, out);
}

void flight_park(struct node *n, struct flight *f, const char *why, int64_t again_us)
{
    struct cluster *c = n->cluster;
    f->by_primary |= f->by_copy && f->state == FLIGHT_SENT;
    f->state = FLIGHT_PARKED;
    f->link = NULL;
    f->why = why;
    if (list_empty(&f->in_where))
        list_push(&c->parked, &f->in_where);
    c->parked_at = mono_earlier(c->parked_at, mono_after(n->now, again_us));
}

/* Its slot has come here: it is run as if it had just been asked for. */
static void run_here(struct node *n, struct flight *f, struct node_out *out)
{
    struct turn *t = f->turn;
    struct session *s = t->session;
    struct chain bytes = {0};
    struct reply r = {.out = &bytes, .protocol = f->protocol};
    if (f->request.spec->id == SPEC_WATCH) {
        far_watch_answered(s, (struct slice){0});
    } else if (f->on_own && !f->is_exec) {
        /* it would wait for another server, and its turn cannot */
        flight_error(n, f, "TRYAGAIN its slot has come to this node", out);
        return;
    }
    uint32_t flags = f->is_exec ? s->multi->flags : f->request.spec->flags;
    const char *thin = f->is_wait ? NULL : routed_thin(n, f->slot, flags, t->asked);
    if (thin != NULL) {
        flight_error(n, f, thin, out);
        return;
    }
    t->kind = f->is_write ? MARK_WRITE : MARK_READ;
    t->slot = f->is_wait ? SLOT_LEASE : t->gather == NULL ? f->slot : SLOT_ANY;
    run_kept(n, s, &f->request, &r, out);
    if (waiting_flight(s, f)) /* it answers later */
        return;
    size_t flat_n;
    char *flat = chain_flat(&bytes, &n->store.graves, &flat_n);
    flight_answer(n, f, slice_of(flat, flat_n), out);
    mem_free(flat);
}

static void answer_moved(struct node *n, struct flight *f, uint16_t place, struct node_out *out)
{
    struct chain bytes = {0};
    struct reply r = {.out = &bytes, .protocol = 2};
    char flat[512];
    reply_moved(n, &r, f->slot, place);
    routed_refused(f->turn->session, f->slot);
    size_t flat_n = chain_copy(&bytes, flat, sizeof(flat));
    chain_free(&bytes, NULL);
    flight_answer(n, f, slice_of(flat, flat_n), out);
}

/* Nothing of it was run. */
static void give_up(struct node *n, struct flight *f, struct node_out *out)
{
    char text[256];
    bool coded = strncmp(f->why, "TRYAGAIN", 8) == 0;
    (void)snprintf(text, sizeof(text), "%s%s", coded ? "" : "CLUSTERDOWN ", f->why);
    routed_refused(f->turn->session, f->slot);
    flight_error(n, f, text, out);
}

static void go_forward(struct node *n, struct flight *f, const struct flight *before,
                       uint16_t place, struct node_out *out)
{
    struct peer_link *l = peer_link_of(n, f, before, place, out);
    if (l == NULL || (before != NULL && (before->state != FLIGHT_SENT || before->link != l))) {
        const char *full =
            f->on_own || f->is_wait
                ? "TRYAGAIN too many clients watch, wait or run transactions at its node: "
                  "cluster-own-connections says how many may"
                : "TRYAGAIN too much is under way to its node";
        flight_park(n, f, l == NULL ? full : f->why, AGAIN_US);
        return;
    }
    list_drop(&f->in_where);
    peer_send(n, l, f);
}

static bool is_handed_over(struct node *n, struct flight *f, enum route_asker who)
{
    if (f->slot >= SLOTS || !bits_has(&n->cluster->handing, f->slot))
        return false;
    if (!f->waits_handover && who == ROUTE_PEER)
        f->until = mono_earlier(f->until, mono_after(n->now, HANDOVER_US));
    f->waits_handover = true;
    return true;
}

/* It has had no lease for so long: likely it is on the lesser side of a cut, where nobody serves
 * anything. */
static bool is_cut_off(const struct node *n, int64_t for_us)
{
    const struct cluster *c = n->cluster;
    return !c->self.leased && c->unleased.us != 0 &&
           mono_reached(n->now, mono_after(c->unleased, for_us));
}

/* Nobody serves it for now. Who forwards waits by itself; who knows the map may ask elsewhere, but
 * an election, or a lease that is on its way, is over within 2 T: no library has to know how to
 * wait for that. */
static bool is_waited_for(struct node *n, struct flight *f, const struct route *r,
                          enum route_asker who)
{
    const struct cluster *c = n->cluster;
    int64_t most_us = 2 * map_timeout_us(&c->map.settings);
    if (r->to != ROUTE_DOWN || !r->soon || who == ROUTE_PEER || c->closed)
        return false;
    if (who == ROUTE_PLAIN)
        return !is_cut_off(n, patience_us(n));
    f->until = mono_earlier(f->until, mono_after(n->now, most_us));
    return !is_cut_off(n, most_us);
}

/* Reads of one slot that nobody asked more of, at a proxy that is told so; also while there
 * is no primary. */
static struct route read_route(struct node *n, struct flight *f, struct route r)
{
    const struct options *o = n->options;
    bool may = n->identity.is_proxy && o->read_from != READ_FROM_PRIMARY &&
               f->place == MAP_NOBODY && !f->by_primary && !f->on_own && !f->is_exec &&
               (f->request.spec->flags & CMD_READONLY) != 0 &&
               f->turn->asked == REPL_ASKS_NOTHING && !f->turn->session->routing->watches_far;
    uint16_t at =
        may ? route_read(&n->cluster->map, f->slot, o->read_from, o->cluster_zone, f->session_id)
            : MAP_NOBODY;
    f->by_copy = at != MAP_NOBODY && (r.to == ROUTE_FORWARD || r.to == ROUTE_DOWN);
    return f->by_copy ? (struct route){.to = ROUTE_FORWARD, .peer = at} : r;
}

void flight_go(struct node *n, struct flight *f, struct node_out *out)
{
    struct cluster *c = n->cluster;
    struct session *s = f->turn->session;
    struct flight *before = flight_before(n, f);
    enum route_asker who = f->turn->gather != NULL ? ROUTE_PLAIN : routed_asker(n, s);
    bool reads = s->routing->readonly && !f->is_write;
    if (f->is_exec && far_watch_is_over(n, s)) { /* it waited too long */
        far_multi_void(n, f, out);
        return;
    }
    if (is_handed_over(n, f, who)) {
        flight_park(n, f, "TRYAGAIN its slot is being handed over to another node", HANDOVER_US);
        return;
    }
    struct route r = f->place == MAP_NOBODY ? route_slot(&c->self, f->slot, who, reads)
                                            : route_node(&c->self, f->place);
    r = read_route(n, f, r);
    if (r.to == ROUTE_FORWARD && is_cut_off(n, patience_us(n))) {
        f->why = route_lost_contact;
        give_up(n, f, out);
        return;
    }
    if (r.to == ROUTE_FORWARD) {
        go_forward(n, f, before, r.peer, out);
        return;
    }
    if (before != NULL || is_waited_for(n, f, &r, who)) {
        flight_park(n, f, before != NULL ? f->why : r.why, AGAIN_US);
        return;
    }
    switch (r.to) {
    case ROUTE_HERE: run_here(n, f, out); break;
    case ROUTE_MOVED: answer_moved(n, f, r.peer, out); break;
    case ROUTE_DOWN:
        f->why = r.why;
        give_up(n, f, out);
        break;
    case ROUTE_FORWARD: break;
    }
}

/* In their order. One that is parked again goes behind those that were not looked at yet. */
void flights_look(struct node *n, struct node_out *out)
{
    struct cluster *c = n->cluster;
    if (!mono_reached(n->now, c->parked_at))
        return;
    struct list look;
    list_init(&look);
    c->parked_at = MONO_NEVER;
    while (!list_empty(&c->parked)) {
        struct list *l = c->parked.next;
        list_drop(l);
        list_push(&look, l);
    }
    while (!list_empty(&look)) {
        struct flight *f = CONTAINER_OF(look.next, struct flight, in_where);
        list_drop(&f->in_where);
        if (mono_reached(n->now, f->until))
            give_up(n, f, out);
        else
            flight_go(n, f, out);
    }
    /* the least patient of them is not known: they are looked at often */
    if (!list_empty(&c->parked))
        c->parked_at = mono_earlier(c->parked_at, mono_after(n->now, AGAIN_US));
}

void flights_forget(struct node *n, struct session *s)
{
    struct routing *r = s->routing;
    if (s->held == HELD_ROUTE)
        waiting_forget(s);
    for (size_t i = 0; i < ORDER_BUCKETS && r->turns_n > 0; i++) {
        for (struct list *l = n->cluster->order[i].next, *next; l != &n->cluster->order[i];
             l = next) {
            next = l->next;
            struct flight *f = CONTAINER_OF(l, struct flight, in_order);
            if (f->session_id != s->id)
                continue;
            f->turn = NULL;
            if (f->state == FLIGHT_PARKED)
                flight_free(f);
        }
    }
    while (!list_empty(&r->turns))
        turn_end(n, CONTAINER_OF(r->turns.next, struct turn, in_session));
}

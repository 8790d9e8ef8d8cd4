/* SPDX-License-Identifier: BSD-3-Clause */

/* Sessions and the reply gate.
 *
 * out.put counts every byte ever written for a session; what has left is out.put - out.n. A gate is
 * a place in that count and the record which the bytes before it wait for. Gates open in order:
 *
 *     left             open_end           gate: lsn 17         gate: lsn 21 = out.put
 *       |--- may leave ---|--- waits for 17 ---|--- waits for 21 ---|
 *
 * A turn leaves one gate per session at the most, on the newest record there is at its end: records
 * of one turn are written together anyway. */
#include "node/session.h"

#include "base/check.h"
#include "node/cluster.h"
#include "node/migrate.h"
#include "node/seats.h"
#include "node/state.h"
#include "node/waiting.h"

/* Replies waiting for their record, per connection, before no more of its input is
 * read (replication 5). */
enum { GATED_MAX_BYTES = 1024 * 1024 };
enum { MIB = 1024 * 1024 };

static void address_set(char *to, struct slice text)
{
    text = slice_head(text, SESSION_ADDRESS_BYTES - 1);
    memcpy(to, text.p, text.n);
    to[text.n] = '\0';
}

struct session *session_open(struct node *n, const struct node_event *ev)
{
    uint32_t conn = ev->opened.conn;
    while (n->by_conn.n <= conn)
        *vec_add(&n->by_conn) = NULL;
    check(n->by_conn.at[conn] == NULL);
    struct session *s = mem_zero(sizeof(*s));
    s->conn = conn;
    s->id = node_number(n, ++n->sessions_made);
    s->protocol = 2;
    s->fd = ev->opened.fd;
    s->is_unix = ev->opened.is_unix;
    s->is_loopback = ev->opened.is_loopback || ev->opened.is_unix;
    s->created = s->active = n->now;
    /* a node has proven itself */
    s->locked = n->options->requirepass[0] != '\0' && ev->opened.use == USE_NONE;
    if (n->cluster != NULL)
        s->routing = routing_new(ev->opened.use == USE_REPL ? 0 : ev->opened.use);
    if (n->identity.is_proxy)
        s->routing->proxied = true;
    if (ev->opened.use == USE_FORWARD2 || ev->opened.use == USE_FORWARD3)
        s->protocol = ev->opened.use;
    address_set(s->peer, ev->opened.peer);
    address_set(s->local, ev->opened.local);
    list_init(&s->watches);
    list_init(&s->in_monitors);
    list_push(&n->sessions, &s->in_all);
    n->by_conn.at[conn] = s;
    n->sessions_n++;
    return s;
}

void session_close(struct node *n, struct session *s)
{
    multi_forget(n, s);
    waiting_forget(s);
    migrate_forget(n, s);
    seats_forget(n, s);
    guest_close(n, s);
    routing_free(n, s);
    heap_remove(&n->held, &s->due);
    list_drop(&s->in_monitors);
    list_drop(&s->in_all);
    if (n->stopping == s)
        n->stopping = NULL;
    if (n->backing_up == s)
        n->backing_up = NULL;
    n->by_conn.at[s->conn] = NULL;
    n->sessions_n--;
    chain_free(&s->out, &n->store.graves);
    vec_free(&s->gates);
    mem_free(s->name);
    mem_free(s->bad_input);
    mem_free(s->lib_name);
    mem_free(s->lib_ver);
    mem_free(s);
}

struct session *session_by_id(const struct node *n, uint64_t id)
{
    for (struct list *l = n->sessions.next; l != &n->sessions; l = l->next) {
        struct session *s = CONTAINER_OF(l, struct session, in_all);
        if (s->id == id)
            return s;
    }
    return NULL;
}

struct reply session_reply(struct session *s)
{
    return (struct reply){.out = s->aside != NULL ? s->aside : &s->out, .protocol = s->protocol};
}

void session_produced(struct node *n, struct session *s)
{
    if (s->flush_noted)
        return;
    s->flush_noted = true;
    *vec_add(&n->to_flush) = s->conn;
}

void session_hold(struct node *n, struct session *s, enum session_held why, struct mono until)
{
    check(s->held == HELD_NOT);
    s->held = (uint8_t)why;
    if (until.us != MONO_NEVER.us)
        heap_add(&n->held, &s->due, until.us);
}

void session_let_go(struct node *n, struct session *s, struct node_out *out)
{
    s->held = HELD_NOT;
    heap_remove(&n->held, &s->due);
    *vec_add(&out->resume) = s->conn;
}

struct reply session_owed_reply(struct session *s, struct chain *silent)
{
    check(session_is_owed(s));
    struct reply r = session_reply(s);
    if (s->owed_silent)
        r.out = silent;
    return r;
}

void session_reply_bad_input(struct node *n, struct session *s, const char *text)
{
    struct reply r = session_reply(s);
    reply_errorf(&r, "ERR %s", text);
    s->fresh_replies++;
    stats_error(n, r.error_code);
}

void session_owed_done(struct node *n, struct session *s, struct chain *silent,
                       struct node_out *out)
{
    if (!s->owed_silent)
        s->fresh_replies++;
    chain_free(silent, &n->store.graves);
    if (s->bad_input != NULL)
        session_reply_bad_input(n, s, s->bad_input);
    session_produced(n, s);
    session_let_go(n, s, out);
}

void session_close_after_reply(struct node *n, struct session *s)
{
    s->closing = true;
    session_produced(n, s);
}

/* Records up to there nobody waits for this node's disk to store. */
static struct lsn settled(const struct node *n)
{
    struct lsn stored = journal_stored(&n->journal);
    return lsn_reached(stored, n->gate_floor) ? stored : n->gate_floor;
}

/* What replies that were written up to now wait for. In a cluster each that tells of a slot
 * is marked with that; others, those that other nodes gave among them, tell of nothing that
 * is stored here. */
static struct lsn need_of(const struct node *n, const struct session *s)
{
    return s->routing != NULL ? s->routing->need : n->journal.appended;
}

/* Everything written since the last turn waits for what it tells of; what is stored opens. */
static void gates_judge(struct node *n, struct session *s)
{
    struct lsn stored = settled(n);
    struct lsn need = need_of(n, s);
    size_t mark = 0;
    if (s->guest != NULL ||
        (s->gates.n == 0 && lsn_reached(stored, need) &&
         marks_held(n, s, &mark, s->out.put))) { /* nothing to wait for: no gate is made */
        s->open_end = s->out.put;
        s->fresh_replies = 0;
        return;
    }
    uint64_t last = s->gates.n > 0 ? s->gates.at[s->gates.n - 1].end : s->open_end;
    if (s->out.put > last) {
        const struct gate *newest = s->gates.n > 0 ? &s->gates.at[s->gates.n - 1] : NULL;
        if (newest == NULL || newest->need.n != need.n ||
            (s->routing != NULL && newest->since.us != n->now.us))
            *vec_add(&s->gates) = (struct gate){.need = need, .since = n->now};
        s->gates.at[s->gates.n - 1].end = s->out.put;
        s->gates.at[s->gates.n - 1].replies += s->fresh_replies;
    }
    s->fresh_replies = 0;
    size_t open = 0;
    while (open < s->gates.n && lsn_reached(stored, s->gates.at[open].need) &&
           marks_held(n, s, &mark, s->gates.at[open].end))
        s->open_end = s->gates.at[open++].end;
    s->gates.n -= open;
    if (s->gates.n > 0)
        memmove(s->gates.at, s->gates.at + open, s->gates.n * sizeof(s->gates.at[0]));
    else
        vec_free(&s->gates); /* an idle session holds no buffers */
}

static void session_judge(struct node *n, struct session *s, struct node_out *out)
{
    gates_judge(n, s);
    if (s->routing != NULL)
        marks_left(s);
    size_t shut = (size_t)(s->out.put - s->open_end);
    if (shut >= GATED_MAX_BYTES && s->held == HELD_NOT)
        session_hold(n, s, HELD_OUTPUT, MONO_NEVER);
    else if (shut < GATED_MAX_BYTES && s->held == HELD_OUTPUT)
        session_let_go(n, s, out);
    size_t upto = s->out.n - shut;
    /* half-closed clients wait for it */
    bool close = s->closing && shut == 0 && !session_is_owed(s) &&
                 (s->routing == NULL || s->routing->turns_n == 0);
    if (upto > 0 || close)
        *vec_add(&out->flush) =
            (struct node_flush){.conn = s->conn, .chain = &s->out, .upto = upto, .close = close};
}

void session_release(struct node *n, struct node_out *out)
{
    if (n->cluster != NULL)
        guests_ack(n);
    size_t kept = 0;
    for (size_t i = 0; i < n->gated.n; i++) {
        struct session *s = session_at(n, n->gated.at[i]);
        if (s == NULL || !s->gates_noted || s->flush_noted)
            continue; /* gone, or its number has a new owner; flush_noted ones are judged below */
        session_judge(n, s, out);
        s->gates_noted = s->gates.n > 0;
        if (s->gates_noted)
            n->gated.at[kept++] = s->conn;
    }
    n->gated.n = kept;
    for (size_t i = 0; i < n->to_flush.n; i++) {
        struct session *s = session_at(n, n->to_flush.at[i]);
        if (s == NULL || !s->flush_noted)
            continue;
        s->flush_noted = false;
        session_judge(n, s, out);
        s->gates_noted = s->gates.n > 0;
        if (s->gates_noted)
            *vec_add(&n->gated) = s->conn;
    }
    vec_clear(&n->to_flush);
}

/* Replies that wait for the disk will wait for ever, or too long: each is answered that its fate is
 * not known (replication 9, 28). */
static void gates_fail(struct node *n, struct session *s, const char *why)
{
    uint32_t owed = 0;
    for (size_t i = 0; i < s->gates.n; i++)
        owed += s->gates.at[i].replies;
    vec_free(&s->gates);
    chain_cut(&s->out, s->out.n - (size_t)(s->out.put - s->open_end), &n->store.graves);
    struct reply r = session_reply(s);
    while (owed-- > 0)
        reply_errorf(&r, "UNCERTAIN the write may or may not have been kept: %s", why);
    s->open_end = s->out.put;
    session_produced(n, s);
}

/* In a cluster each reply is marked with what it tells of. The first `kept` gates wait for replicas
 * alone, and stay. */
static void routed_gates_fail(struct node *n, struct session *s, size_t kept, const char *why)
{
    if (turns_begun(s)) {
        vec_free(&s->routing->marks); /* of what is cut off here */
        vec_free(&s->gates);
        chain_cut(&s->out, s->out.n - (size_t)(s->out.put - s->open_end), &n->store.graves);
        turns_break(n, s, why); /* in the middle of a reply nothing can be told */
        return;
    }
    replies_fail(n, s, kept > 0 ? s->gates.at[kept - 1].end : s->open_end, why);
    s->gates.n = kept;
    if (kept > 0) { /* what is told behind them waits for nothing else */
        struct lsn need = s->gates.at[kept - 1].need; /* N1: in order */
        *vec_add(&s->gates) = (struct gate){.need = need, .end = s->out.put, .since = n->now};
    } else {
        s->open_end = s->out.put;
    }
    session_produced(n, s);
}

static void gates_fail_unstored(struct node *n, struct session *s, const char *why)
{
    size_t kept = 0;
    gates_judge(n, s);
    if (s->routing != NULL)
        replies_fail_owed(n, s, why);
    while (s->routing != NULL && kept < s->gates.n &&
           lsn_reached(settled(n), s->gates.at[kept].need))
        kept++;
    if (kept == s->gates.n)
        return;
    if (s->routing != NULL)
        routed_gates_fail(n, s, kept, why);
    else
        gates_fail(n, s, why);
}

void session_fail_gates(struct node *n, const char *why)
{
    for (struct list *l = n->sessions.next; l != &n->sessions; l = l->next)
        gates_fail_unstored(n, CONTAINER_OF(l, struct session, in_all), why);
    n->gate_floor = n->journal.appended; /* what comes now waits for later records only */
}

/* While a node with a copy takes in a big record (14), no more than half of a gate's time passes.
 * The other half is for what comes of it: who fails to is removed from the in-sync set. */
static bool gate_waits_for_big(const struct node *n, const struct session *s, int64_t most_us)
{
    const struct gate *g = &s->gates.at[0];
    return mono_reached(n->now, mono_after(g->since, most_us / 2)) &&
           lsn_reached(settled(n), g->need) && marks_wait_for_big(n, s, g->end);
}

/* The end of its first gate's time; to store what is big here takes longer. */
static struct mono gate_due(const struct node *n, const struct session *s, int64_t most_us)
{
    const struct gate *g = &s->gates.at[0];
    int64_t mib = (int64_t)(journal_bytes(&n->journal) / MIB);
    return mono_after(g->since,
                      most_us + (lsn_reached(settled(n), g->need) ? 0 : mib * REPL_MIB_US));
}

struct mono session_gates_old(struct node *n, int64_t most_us, const char *why)
{
    struct mono due = MONO_NEVER;
    for (size_t i = 0; i < n->gated.n; i++) {
        struct session *s = session_at(n, n->gated.at[i]);
        if (s == NULL || s->gates.n == 0)
            continue;
        gates_judge(n, s);
        if (s->gates.n > 0 && gate_waits_for_big(n, s, most_us)) {
            struct mono least = {n->now.us - most_us / 2};
            for (size_t g = 0; g < s->gates.n; g++) /* those behind it wait for it too */
                s->gates.at[g].since = mono_later(s->gates.at[g].since, least);
            due = mono_earlier(due, mono_after(n->now, most_us / 20)); /* does it go on? */
            continue;
        }
        if (s->gates.n > 0 && mono_reached(n->now, gate_due(n, s, most_us)))
            routed_gates_fail(n, s, 0, why);
        if (s->gates.n > 0)
            due = mono_earlier(due, gate_due(n, s, most_us));
    }
    return due;
}

/* ------------------------------------------------------------ kept requests */

static size_t kept_head(uint32_t argc)
{
    return argc * (sizeof(struct slice) + sizeof(struct blob *));
}

size_t kept_request_room(const struct slice *argv, struct blob *const *blobs, uint32_t argc)
{
    size_t bytes = kept_head(argc);
    for (uint32_t i = 0; i < argc; i++)
        if (blobs == NULL || blobs[i] == NULL)
            bytes += argv[i].n;
    return bytes;
}

static struct kept_request kept_in(void *room, size_t room_n, const struct spec *spec,
                                   uint32_t argc)
{
    return (struct kept_request){
        .spec = spec,
        .argv = room,
        .argc = argc,
        .blobs = (struct blob **)(void *)((char *)room + argc * sizeof(struct slice)),
        .bytes = room_n};
}

void kept_request_put(struct kept_request *k, void *room, size_t room_n, const struct spec *spec,
                      const struct slice *argv, struct blob *const *blobs, uint32_t argc)
{
    *k = kept_in(room, room_n, spec, argc);
    char *to = (char *)room + kept_head(argc);
    for (uint32_t i = 0; i < argc; i++) {
        k->blobs[i] = blobs != NULL && blobs[i] != NULL ? blob_share(blobs[i]) : NULL;
        if (k->blobs[i] != NULL) {
            k->argv[i] = blob_slice(k->blobs[i]);
            k->bytes += blob_bytes(k->blobs[i]);
            continue;
        }
        if (argv[i].n > 0)
            memcpy(to, argv[i].p, argv[i].n);
        k->argv[i] = slice_of(to, argv[i].n);
        to += argv[i].n;
    }
}

size_t kept_request_raw_room(const struct request *q)
{
    return kept_head(q->argc) + q->bytes;
}

void kept_request_put_raw(struct kept_request *k, void *room, const struct spec *spec,
                          const struct request *q)
{
    char *raw = (char *)room + kept_head(q->argc);
    memcpy(raw, q->raw, q->bytes);
    *k = kept_in(room, kept_request_raw_room(q), spec, q->argc);
    k->raw = slice_of(raw, q->bytes);
    for (uint32_t i = 0; i < q->argc; i++) {
        k->argv[i] = slice_of(raw + (q->argv[i].p - q->raw), q->argv[i].n);
        k->blobs[i] = NULL;
    }
}

void kept_request_copy(struct kept_request *k, const struct spec *spec, const struct slice *argv,
                       struct blob *const *blobs, uint32_t argc)
{
    size_t room_n = kept_request_room(argv, blobs, argc);
    kept_request_put(k, mem_get(room_n), room_n, spec, argv, blobs, argc);
}

void kept_request_drop(struct kept_request *k)
{
    for (uint32_t i = 0; i < k->argc; i++)
        if (k->blobs[i] != NULL)
            blob_drop(k->blobs[i], NULL);
}

void kept_request_free(struct kept_request *k)
{
    kept_request_drop(k);
    mem_free(k->argv);
    *k = (struct kept_request){0};
}

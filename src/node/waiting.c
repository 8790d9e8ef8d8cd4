/* SPDX-License-Identifier: BSD-3-Clause */

/* Sessions that wait: for acknowledgements (WAIT, WAITAOF) or for the end of a pause.
 *
 * A session that waits is held: nothing further of it is taken, and its reply is written when what
 * it waits for has come or its time is over. Both happen here. */
#include "node/waiting.h"

#include <stdio.h>

#include "base/check.h"
#include "node/cluster.h"
#include "node/migrate.h"
#include "node/state.h"

struct waiting {
    struct list in_waiting;
    struct session *session;
    struct flight *flight; /* answered instead; NULL: the session is */
    bool aof;              /* WAITAOF: two numbers are answered */
    int64_t local, others;
    struct lsn need;
    /* of its slots: the first of them that too few hold, when it was looked at last */
    unsigned at;
};

static bool local_synced(const struct node *n, struct lsn need)
{
    return n->journal.state != JOURNAL_OFF && lsn_reached(n->journal.synced, need);
}

/* ------------------------------------------------- who holds what a session wrote
 *
 * Its slots are the few it wrote to, as long as they are few; else, and for a client of another
 * node's, all that are served here. What is held of a slot is asked up to its newest record at
 * most. */

static bool is_of_all(const struct routing *r)
{
    return r->forward != 0 || r->wrote_here_n == 0 || r->wrote_here_n > WROTE_SLOTS;
}

static unsigned slots_n(const struct routing *r)
{
    return is_of_all(r) ? SLOTS : r->wrote_here_n;
}

static unsigned slot_at(const struct waiting *w, unsigned at)
{
    const struct routing *r = w->session->routing;
    return is_of_all(r) ? at : r->wrote_here[at];
}

/* INT64_MAX: this one does not count. */
static int64_t holders_at(const struct node *n, const struct waiting *w, unsigned at)
{
    const struct cluster *c = n->cluster;
    if (is_of_all(w->session->routing) && c->served[at] == 0)
        return INT64_MAX;
    return repl_holders(&c->replicas->repl, slot_at(w, at), w->need.n, w->aof);
}

/* The least over its slots. Alone there is nobody else. */
static int64_t others_who_hold(const struct node *n, const struct waiting *w)
{
    int64_t least = INT64_MAX;
    for (unsigned at = 0; n->cluster != NULL && least > 0 && at < slots_n(w->session->routing);
         at++) {
        int64_t here = holders_at(n, w, at);
        least = here < least ? here : least;
    }
    return least == INT64_MAX ? 0 : least;
}

/* Of a slot that is another's by now nobody will tell this node more: it is not waited for, and
 * counts as none. */
static bool others_are_enough(const struct node *n, struct waiting *w)
{
    if (w->others <= 0 || n->cluster == NULL)
        return w->others <= 0;
    unsigned all = slots_n(w->session->routing);
    for (unsigned i = 0; i < all; i++) {
        unsigned at = (w->at + i) % all;
        if (n->cluster->served[slot_at(w, at)] == 0 || holders_at(n, w, at) >= w->others)
            continue;
        w->at = at; /* most likely it is what is missing next time, too */
        return false;
    }
    return true;
}

static bool is_met(const struct node *n, struct waiting *w)
{
    return (!w->aof || w->local <= 0 || local_synced(n, w->need)) && others_are_enough(n, w);
}

static void reply_waited(struct node *n, struct reply *r, const struct waiting *w)
{
    if (w->aof) {
        reply_array(r, 2);
        reply_i64(r, local_synced(n, w->need));
    }
    reply_i64(r, others_who_hold(n, w));
}

static struct mono after_ms(struct mono now, int64_t ms)
{
    return mono_after(now, ms > INT64_MAX / 1000 ? INT64_MAX : ms * 1000);
}

static void waiting_begin(struct call *c, bool aof, int64_t local, int64_t others,
                          int64_t timeout_ms)
{
    struct node *n = c->node;
    struct session *s = c->session;
    struct mono until = timeout_ms == 0 ? MONO_NEVER : after_ms(n->now, timeout_ms);
    struct lsn need = s->written;
    /* for a client of whoever forwards: all that it may have written */
    if (s->routing != NULL && s->routing->forward != 0)
        need = n->journal.appended;
    struct waiting now = {.session = s, .aof = aof, .local = local, .others = others, .need = need};
    /* A command that may not block (inside EXEC) answers at once with what there is. */
    if (n->in_exec || is_met(n, &now)) {
        reply_waited(n, c->reply, &now);
        return;
    }
    struct waiting *w = mem_get(sizeof(*w));
    *w = now;
    list_push(&n->waiting, &w->in_waiting);
    s->waiting = w;
    if (s->held == HELD_NOT)
        session_hold(n, s, HELD_WAIT, until);
    else if (until.us != MONO_NEVER.us) /* its turn holds it */
        heap_add(&n->held, &s->due, until.us);
    if (aof)
        journal_sync_soon(&n->journal);
}

void waiting_forget(struct session *s)
{
    if (s->waiting == NULL)
        return;
    list_drop(&s->waiting->in_waiting);
    mem_free(s->waiting);
    s->waiting = NULL;
}

bool waiting_flight(struct session *s, struct flight *f)
{
    if (s->waiting == NULL)
        return false;
    s->waiting->flight = f;
    return true;
}

static void flight_waited(struct node *n, struct session *s, struct node_out *out)
{
    struct flight *f = s->waiting->flight;
    struct chain bytes = {0};
    struct reply r = {.out = &bytes, .protocol = f->protocol};
    char flat[64];
    reply_waited(n, &r, s->waiting);
    size_t flat_n = chain_copy(&bytes, flat, sizeof(flat));
    chain_free(&bytes, NULL);
    heap_remove(&n->held, &s->due);
    waiting_forget(s);
    flight_answer(n, f, slice_of(flat, flat_n), out);
}

static void waiting_end(struct node *n, struct session *s, struct node_out *out)
{
    if (s->waiting->flight != NULL) {
        flight_waited(n, s, out);
        return;
    }
    struct chain silent = {0};
    struct reply r = session_owed_reply(s, &silent);
    uint64_t begin = s->out.put;
    reply_waited(n, &r, s->waiting);
    marks_put(n, s, begin, SLOT_LEASE, MARK_READ, REPL_ASKS_NOTHING, routed_client(s));
    waiting_forget(s);
    session_owed_done(n, s, &silent, out);
}

static void end_with_error(struct node *n, struct session *s, const char *text,
                           struct node_out *out)
{
    struct flight *f = s->waiting->flight;
    if (f != NULL) {
        heap_remove(&n->held, &s->due);
        waiting_forget(s);
        flight_error(n, f, text, out);
        return;
    }
    struct chain silent = {0};
    struct reply r = session_owed_reply(s, &silent);
    reply_error(&r, slice_str(text));
    stats_error(n, r.error_code);
    waiting_forget(s);
    session_owed_done(n, s, &silent, out);
}

void waiting_lost(struct node *n, struct session *s, const char *why, struct node_out *out)
{
    char text[128];
    (void)snprintf(text, sizeof(text), "CLUSTERDOWN %s", why);
    end_with_error(n, s, text, out);
}

void waiting_look(struct node *n, struct node_out *out)
{
    for (struct list *l = n->waiting.next, *next; l != &n->waiting; l = next) {
        next = l->next;
        struct waiting *w = CONTAINER_OF(l, struct waiting, in_waiting);
        if (is_met(n, w))
            waiting_end(n, w->session, out);
    }
}

bool waiting_unblock(struct node *n, struct session *s, bool with_error, struct node_out *out)
{
    /* other nodes are asked, too, and not to be unblocked */
    if (s->waiting == NULL || s->waiting->flight != NULL)
        return false;
    if (with_error)
        end_with_error(n, s, "UNBLOCKED client unblocked via CLIENT UNBLOCK", out);
    else
        waiting_end(n, s, out);
    return true;
}

/* Whoever's time is over: a WAIT answers with what it has, a MIGRATE that it failed; a
 * pause lets go. */
void waiting_due(struct node *n, struct node_out *out)
{
    struct heap_node *first;
    while ((first = heap_first(&n->held)) != NULL && first->due <= n->now.us) {
        struct session *s = CONTAINER_OF(first, struct session, due);
        if (s->waiting != NULL)
            waiting_end(n, s, out);
        else if (s->held == HELD_ASK)
            ask_due(n, s, out);
        else if (s->held == HELD_MIGRATE)
            migrate_due(n, s, out);
        else
            session_let_go(n, s, out);
    }
}

/* ----------------------------------------------------------------- commands */

/* The timeout at argv[at], in milliseconds. */
static bool timeout_or_reply(struct call *c, uint32_t at, int64_t *ms)
{
    if (!call_i64_or_reply(c, at, ms, "ERR timeout is not an integer or out of range"))
        return false;
    if (*ms >= 0)
        return true;
    reply_error(c->reply, SLICE("ERR timeout is negative"));
    return false;
}

void node_wait(struct call *c)
{
    int64_t others, timeout_ms;
    if (!call_i64_or_reply(c, 1, &others, NULL) || !timeout_or_reply(c, 2, &timeout_ms))
        return;
    waiting_begin(c, false, 0, others, timeout_ms);
}

void node_waitaof(struct call *c)
{
    int64_t local, others, timeout_ms;
    if (!call_i64_or_reply(c, 1, &local, NULL))
        return;
    if (local < 0 || local > 1) {
        reply_error(c->reply, SLICE("ERR value is out of range, value must between 0 and 1"));
        return;
    }
    if (!call_i64_or_reply(c, 2, &others, NULL))
        return;
    if (others < 0) {
        reply_error(c->reply, SLICE("ERR value is out of range, must be positive"));
        return;
    }
    if (!timeout_or_reply(c, 3, &timeout_ms))
        return;
    if (local > 0 && c->node->journal.state == JOURNAL_OFF) {
        reply_error(
            c->reply,
            SLICE("ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled."));
        return;
    }
    waiting_begin(c, true, local, others, timeout_ms);
}

/* CLIENT PAUSE milliseconds [WRITE|ALL]: a pause under way is never shortened nor weakened. */
void node_client_pause(struct call *c)
{
    struct node *n = c->node;
    bool writes_only = c->argc == 4 && slice_is(c->argv[3], "write");
    if (c->argc > 4 || (c->argc == 4 && !writes_only && !slice_is(c->argv[3], "all"))) {
        reply_error(c->reply, SLICE("ERR CLIENT PAUSE mode must be WRITE or ALL"));
        return;
    }
    int64_t ms;
    if (!timeout_or_reply(c, 2, &ms))
        return;
    bool under_way = pause_is_on(n);
    struct mono until = after_ms(n->now, ms);
    if (!under_way || until.us > n->pause_until.us)
        n->pause_until = until;
    n->pause_writes_only = writes_only && (!under_way || n->pause_writes_only);
    n->cmd_config.keeps_due = !due_may_drop(n);
    reply_ok(c->reply);
}

void node_client_unpause(struct call *c)
{
    struct node *n = c->node;
    n->pause_until = (struct mono){0};
    n->cmd_config.keeps_due = !due_may_drop(n);
    for (struct list *l = n->sessions.next; l != &n->sessions; l = l->next) {
        struct session *s = CONTAINER_OF(l, struct session, in_all);
        if (s->held == HELD_PAUSE)
            session_let_go(n, s, c->out);
    }
    reply_ok(c->reply);
}

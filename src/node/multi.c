/* SPDX-License-Identifier: BSD-3-Clause */

/* MULTI, EXEC and WATCH.
 *
 * A queued command is a copy; EXEC runs the copies one behind the other and their effects become
 * one record (N3). A watched key is found in a table of their own by whoever changes a key:
 *
 *     table -> watched_key "k" in 0 -> watch of session 7 -> watch of session 9
 *                                         |
 *     session 7 -> watch -> watch ...     (each watch is in both lists)
 *
 * A touched session is marked and its watches end: nothing further can be learned of them. */
#include "node/multi.h"

#include "base/check.h"
#include "node/call.h"

enum { WATCHED_FIRST_CAP = 16 };

struct watched_key {
    struct watched_key *next; /* in its bucket */
    struct list watches;
    uint64_t hash;
    unsigned db, slot;
    size_t n;
    char name[];
};

struct watched {
    struct watched_key **buckets; /* cap of them, a power of two; NULL while cap is 0 */
    size_t n, cap;
};

/* ------------------------------------------------------------ watched keys */

struct watched *watched_new(void)
{
    return mem_zero(sizeof(struct watched));
}

void watched_free(struct watched *w)
{
    check(w->n == 0);
    mem_free(w->buckets);
    mem_free(w);
}

size_t watched_n(const struct watched *w)
{
    return w->n;
}

static struct watched_key **watched_place(struct watched *w, unsigned db, const struct key *k)
{
    struct watched_key **at = &w->buckets[k->hash & (w->cap - 1)];
    while (*at != NULL && !((*at)->hash == k->hash && (*at)->db == db &&
                            slice_equal(slice_of((*at)->name, (*at)->n), k->s)))
        at = &(*at)->next;
    return at;
}

static void watched_grow(struct watched *w)
{
    size_t cap = w->cap > 0 ? w->cap * 2 : WATCHED_FIRST_CAP;
    struct watched_key **buckets = mem_zero(cap * sizeof(struct watched_key *));
    for (size_t i = 0; i < w->cap; i++) {
        for (struct watched_key *k = w->buckets[i], *next; k != NULL; k = next) {
            next = k->next;
            k->next = buckets[k->hash & (cap - 1)];
            buckets[k->hash & (cap - 1)] = k;
        }
    }
    mem_free(w->buckets);
    w->buckets = buckets;
    w->cap = cap;
}

static struct watched_key *watched_add(struct node *n, unsigned db, const struct key *k)
{
    struct watched *w = n->watched;
    if (w->n >= w->cap)
        watched_grow(w);
    struct watched_key **at = watched_place(w, db, k);
    if (*at != NULL)
        return *at;
    struct watched_key *made = mem_get(sizeof(*made) + k->s.n);
    *made = (struct watched_key){.hash = k->hash, .db = db, .slot = k->slot, .n = k->s.n};
    if (k->s.n > 0)
        memcpy(made->name, k->s.p, k->s.n);
    list_init(&made->watches);
    *at = made;
    w->n++;
    n->store.watched++;
    return made;
}

static struct key key_of_watched(const struct watched_key *k)
{
    return (struct key){.s = slice_of(k->name, k->n), .hash = k->hash, .slot = k->slot};
}

static void watched_drop(struct node *n, struct watched_key *k)
{
    struct key key = key_of_watched(k);
    struct watched_key **at = watched_place(n->watched, k->db, &key);
    check(*at == k);
    *at = k->next;
    n->watched->n--;
    n->store.watched--;
    mem_free(k);
}

/* ----------------------------------------------------------------- watches */

static void watch_end(struct node *n, struct watch *w)
{
    struct watched_key *k = w->key;
    list_drop(&w->in_session);
    list_drop(&w->in_key);
    mem_free(w);
    if (list_empty(&k->watches))
        watched_drop(n, k);
}

static void unwatch(struct node *n, struct session *s)
{
    while (!list_empty(&s->watches))
        watch_end(n, CONTAINER_OF(s->watches.next, struct watch, in_session));
}

static struct session_multi *multi_of(struct session *s)
{
    if (s->multi == NULL)
        s->multi = mem_zero(sizeof(*s->multi));
    return s->multi;
}

/* Ends every watch of k, with all others of the sessions that watched it. */
static void touched(struct node *n, struct watched_key *k)
{
    bool last = false;
    while (!last) {
        struct watch *w = CONTAINER_OF(k->watches.next, struct watch, in_key);
        struct session *s = w->session;
        last = k->watches.next->next == &k->watches; /* k dies with its last watch */
        multi_of(s)->dirty = true;
        unwatch(n, s);
    }
}

void watch_touched(struct node *n, unsigned db, struct slice name)
{
    struct key key = key_of(&n->store, name);
    if (n->watched->n == 0)
        return;
    struct watched_key *k = *watched_place(n->watched, db, &key);
    if (k != NULL)
        touched(n, k);
}

/* Keys that are neither before nor after were not touched. */
void watch_touched_all(struct node *n, unsigned db, unsigned replaced_by)
{
    struct watched *w = n->watched;
    for (size_t i = 0; i < w->cap; i++) {
        for (struct watched_key *k = w->buckets[i]; k != NULL;) {
            struct key key = key_of_watched(k);
            if (k->db != db || (store_find(&n->store, db, &key) == NULL &&
                                store_find(&n->store, replaced_by, &key) == NULL)) {
                k = k->next;
                continue;
            }
            touched(n, k);
            k = w->buckets[i]; /* other keys of the bucket may be gone, too */
        }
    }
}

void watch_touched_slot(struct node *n, unsigned slot)
{
    struct watched *w = n->watched;
    for (size_t i = 0; i < w->cap; i++) {
        for (struct watched_key *k = w->buckets[i]; k != NULL;) {
            struct key key = key_of_watched(k);
            bool is_there = k->slot == slot && store_find(&n->store, k->db, &key) != NULL;
            if (is_there)
                touched(n, k);
            k = is_there ? w->buckets[i] : k->next; /* other keys of the bucket may be gone, too */
        }
    }
}

void watch_slots_lost(struct node *n, const struct bits *slots)
{
    struct watched *w = n->watched;
    for (size_t i = 0; i < w->cap; i++) {
        for (struct watched_key *k = w->buckets[i]; k != NULL;) {
            bool lost = bits_has(slots, k->slot);
            if (lost)
                touched(n, k);
            k = lost ? w->buckets[i] : k->next;
        }
    }
}

static bool watched_is_due(const struct node *n, const struct entry *e)
{
    return e != NULL && entry_expiry(e).ms <= n->wall.ms;
}

/* A watched key that expired was changed by time, unless it already had when it was watched. */
static bool any_expired(struct node *n, const struct session *s)
{
    for (const struct list *l = s->watches.next; l != &s->watches; l = l->next) {
        const struct watch *w = CONTAINER_OF(l, struct watch, in_session);
        struct key key = key_of_watched(w->key);
        if (!w->expired && watched_is_due(n, store_find(&n->store, w->key->db, &key)))
            return true;
    }
    return false;
}

static void watch(struct call *c, const struct key *key)
{
    struct node *n = c->node;
    struct session *s = c->session;
    const struct entry *e = store_find(&n->store, s->db, key);
    bool expired = watched_is_due(n, e);
    if (expired && due_may_drop(n) && own_has(n, key->slot) &&
        commit_refuses(n) == NULL) { /* dropped now, so that its end touches nobody later */
        n->cmd_stats.expired++;
        effect_slot(&n->effects, key->slot);
        effect_del(&n->effects, s->db, key->s);
        store_drop(&n->store, s->db, key);
        expired = false;
    }
    struct watched_key *k = watched_add(n, s->db, key);
    for (const struct list *l = s->watches.next; l != &s->watches; l = l->next)
        if (CONTAINER_OF(l, struct watch, in_session)->key == k)
            return;
    struct watch *w = mem_get(sizeof(*w));
    *w = (struct watch){.session = s, .key = k, .expired = expired};
    list_push(&s->watches, &w->in_session);
    list_push(&k->watches, &w->in_key);
}

/* ------------------------------------------------------------------- queue */

static void multi_end(struct session *s)
{
    struct session_multi *m = s->multi;
    s->in_multi = false;
    s->multi = NULL;
    if (m == NULL)
        return;
    for (size_t i = 0; i < m->queue.n; i++)
        kept_request_free(&m->queue.at[i]);
    vec_free(&m->queue);
    mem_free(m);
}

void multi_forget(struct node *n, struct session *s)
{
    multi_end(s);
    unwatch(n, s);
}

void multi_refused(struct node *n, struct session *s, const struct spec *spec)
{
    if (spec != NULL && spec->id == SPEC_EXEC)
        multi_forget(n, s);
    else if (s->in_multi)
        s->multi->failed = true;
}

size_t multi_bytes(const struct session *s)
{
    if (s->multi == NULL)
        return 0;
    return s->multi->bytes + s->multi->queue.cap * sizeof(s->multi->queue.at[0]);
}

static bool runs_in_multi(const struct spec *spec)
{
    switch (spec->id) {
    case SPEC_EXEC:
    case SPEC_DISCARD:
    case SPEC_MULTI:
    case SPEC_WATCH:
    case SPEC_QUIT:
    case SPEC_RESET: return true;
    default: return false;
    }
}

bool multi_queues(struct call *c)
{
    struct session *s = c->session;
    if (!s->in_multi || runs_in_multi(c->spec))
        return false;
    struct session_multi *m = s->multi;
    reply_simple(c->reply, SLICE("QUEUED"));
    if (m->failed || m->dirty)
        return true; /* EXEC will not run it: no memory for it */
    struct kept_request *k = vec_add(&m->queue);
    kept_request_copy(k, c->spec, c->argv, c->blobs, c->argc);
    m->bytes += k->bytes;
    m->flags |= c->spec->flags;
    return true;
}

/* --------------------------------------------------------------- commands */

void node_multi(struct call *c)
{
    if (c->session->in_multi) {
        reply_error(c->reply, SLICE("ERR MULTI calls can not be nested"));
        return;
    }
    multi_of(c->session);
    c->session->in_multi = true;
    reply_ok(c->reply);
}

void node_discard(struct call *c)
{
    if (!c->session->in_multi) {
        reply_error(c->reply, SLICE("ERR DISCARD without MULTI"));
        return;
    }
    multi_forget(c->node, c->session);
    reply_ok(c->reply);
}

void node_watch(struct call *c)
{
    struct session *s = c->session;
    if (s->in_multi) {
        reply_error(c->reply, SLICE("ERR WATCH inside MULTI is not allowed"));
        return;
    }
    bool dirty = s->multi != NULL && s->multi->dirty;
    for (uint32_t i = 1; i < c->argc && !dirty; i++) {
        struct key key = key_of(&c->node->store, c->argv[i]);
        watch(c, &key);
    }
    reply_ok(c->reply);
}

void node_unwatch(struct call *c)
{
    struct session *s = c->session;
    unwatch(c->node, s);
    if (s->multi != NULL) {
        s->multi->dirty = false;
        if (!s->in_multi && !c->node->in_exec)
            multi_end(s);
    }
    reply_ok(c->reply);
}

#define EXECABORT_OF "EXECABORT Transaction discarded because of: "

/* What would be refused of the queue alone is refused of the whole. */
static bool refused_or_reply(struct call *c, const struct session_multi *m)
{
    struct node *n = c->node;
    uint64_t bytes = 0; /* of its one record */
    if ((m->flags & CMD_DENYOOM) != 0 && memory_short(n)) {
        reply_error(c->reply,
                    SLICE(EXECABORT_OF "OOM command not allowed when used memory > 'maxmemory'."));
        return true;
    }
    for (size_t i = 0; i < m->queue.n; i++)
        if ((m->queue.at[i].spec->flags & CMD_WRITE) != 0)
            bytes += commit_record_bytes(m->queue.at[i].argv, m->queue.at[i].argc);
    return (m->flags & CMD_WRITE) != 0 &&
           (commit_too_great_or_reply(n, EXECABORT_OF, bytes, c->reply) ||
            commit_refused_or_reply(n, EXECABORT_OF, c->reply));
}

static bool aborted_or_reply(struct call *c)
{
    struct session *s = c->session;
    struct session_multi *m = s->multi;
    if (!m->dirty && any_expired(c->node, s))
        m->dirty = true;
    if (m->failed)
        reply_error(c->reply, SLICE("EXECABORT Transaction discarded because of previous errors."));
    else if (m->dirty)
        reply_null_array(c->reply);
    else
        return refused_or_reply(c, m);
    return true;
}

void node_exec(struct call *c)
{
    struct node *n = c->node;
    struct session *s = c->session;
    if (!s->in_multi) {
        reply_error(c->reply, SLICE("ERR EXEC without MULTI"));
        return;
    }
    if (aborted_or_reply(c)) {
        multi_forget(n, s);
        return;
    }
    unwatch(n, s); /* our own writes touch nobody but others */
    struct session_multi *m = s->multi;
    s->multi = NULL;
    s->in_multi = false;
    n->in_exec = true;
    reply_array(c->reply, m->queue.n);
    for (size_t i = 0; i < m->queue.n; i++) {
        const struct kept_request *k = &m->queue.at[i];
        run_command(n, s, k->spec, k->argv, k->blobs, k->argc, c->reply, c->out);
    }
    n->in_exec = false;
    check(s->multi == NULL); /* no queued command begins a transaction, nor watches */
    s->multi = m;
    multi_end(s);
}

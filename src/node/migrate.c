/* SPDX-License-Identifier: BSD-3-Clause */

/* MIGRATE: keys go to another server, which keeps them before they leave here.
 *
 *     command -> out.dial -> DIALED -> AUTH, SELECT -> their replies -> RESTORE, RESTORE ...
 *                                              a RESTORE's +OK -> DEL here, with its record
 *
 * Redis stands still meanwhile; here only the client that asked is held. So a key may change while
 * it is on its way: it is dumped when it is sent, every change of it until its reply is noted (the
 * store tells), and a key that changed is not deleted: what is here is newer than what is there.
 * The client is told. The same keeps whoever migrates to itself from losing the key: the RESTORE
 * is a change.
 *
 * AUTH and SELECT are answered before anything else is sent, so that no key gets into a wrong
 * database. Few keys are under way at a time: a step stays short, and so does the look at them for
 * every change. Each DEL is a record of its own: they follow from replies, not from the command. */
#include "node/migrate.h"

#include <stdio.h>

#include "base/num.h"
#include "cmd/dump.h"
#include "node/call.h"
#include "node/cluster.h"
#include "resp/reply.h"

enum { UNDER_WAY_MAX = 64 }; /* keys sent and not answered */
/* More is not dumped before the link took what there is. */
enum { UNSENT_MAX_BYTES = 1024 * 1024 };
enum { ANSWER_MAX_BYTES = 64 * 1024 };          /* a reply of the target is one line */
enum { SHOWN_BYTES = 256 };                     /* of an error of the target */
static const int64_t timeout_default_ms = 1000; /* of a timeout of 0 or less, as in Redis */

enum migrate_phase { DIALING, GREETING, SENDING };

/* A key that was sent. */
struct moving {
    uint32_t arg; /* its place in argv */
    struct wall until;
    bool changed;
};

struct migration {
    struct list in_node;
    struct session *session;
    struct kept_request request;
    unsigned db, slot; /* of its keys, which in a cluster are in one */
    uint32_t link;
    enum migrate_phase phase;
    bool copy, replace;
    uint32_t user, password; /* places in argv; 0: none */
    uint32_t next, end;      /* keys not looked at yet, in argv */
    uint32_t greetings;      /* replies still to come before the first key */
    int64_t timeout_us;
    size_t unsent;
    bool any_sent, any_changed, any_kept;   /* kept: the disk refuses the DEL */
    struct moving under_way[UNDER_WAY_MAX]; /* a ring, oldest at `first` */
    uint32_t first, under_way_n;
    char refusal[SHOWN_BYTES]; /* the first error of the target; "": none */
    struct answer_reader *reader;
};

/* ------------------------------------------------------------------- options */

struct migrate_options {
    bool copy, replace;
    uint32_t user, password;
    uint32_t first, end; /* the keys */
    int64_t timeout_ms;
};

static bool words_or_reply(struct call *c, struct migrate_options *o)
{
    *o = (struct migrate_options){.first = 3, .end = 4};
    for (uint32_t i = 6; i < c->argc; i++) {
        uint32_t more = c->argc - 1 - i;
        if (slice_is(c->argv[i], "copy")) {
            o->copy = true;
        } else if (slice_is(c->argv[i], "replace")) {
            o->replace = true;
        } else if (slice_is(c->argv[i], "auth") && more >= 1) {
            o->password = ++i;
            o->user = 0;
        } else if (slice_is(c->argv[i], "auth2") && more >= 2) {
            o->user = ++i;
            o->password = ++i;
        } else if (slice_is(c->argv[i], "keys") && c->argv[3].n == 0) {
            o->first = i + 1;
            o->end = c->argc;
            return true;
        } else if (slice_is(c->argv[i], "keys")) {
            reply_error(
                c->reply,
                SLICE("ERR When using MIGRATE KEYS option, the key argument must be set to the "
                      "empty string"));
            return false;
        } else {
            call_syntax_error(c);
            return false;
        }
    }
    return true;
}

static bool options_or_reply(struct call *c, struct migrate_options *o)
{
    int64_t db;
    if (!words_or_reply(c, o) || !call_i64_or_reply(c, 5, &o->timeout_ms, NULL) ||
        !call_i64_or_reply(c, 4, &db, NULL))
        return false;
    if (o->timeout_ms <= 0)
        o->timeout_ms = timeout_default_ms;
    return true;
}

static struct entry *alive(struct node *n, unsigned db, struct slice name)
{
    struct key k = key_of(&n->store, name);
    struct entry *e = store_find(&n->store, db, &k);
    return e != NULL && !store_is_due(e, n->wall) ? e : NULL;
}

static bool any_alive(const struct call *c, const struct migrate_options *o)
{
    for (uint32_t i = o->first; i < o->end; i++)
        if (alive(c->node, c->session->db, c->argv[i]) != NULL)
            return true;
    return false;
}

/* ------------------------------------------------------------- its beginning */

static struct mono patience(const struct node *n, const struct migration *m)
{
    return mono_after(n->now, m->timeout_us);
}

/* MIGRATE host port key|"" db timeout [COPY] [REPLACE] [AUTH p | AUTH2 u p] [KEYS key...] */
void node_migrate(struct call *c)
{
    static const struct answer_limits limits = {.bytes_max = ANSWER_MAX_BYTES};
    struct node *n = c->node;
    struct migrate_options o;
    if (!options_or_reply(c, &o))
        return;
    if (!any_alive(c, &o)) {
        reply_simple(c->reply, SLICE("NOKEY"));
        return;
    }
    if (n->in_exec) {
        call_refused(c, "inside MULTI: it waits for another server, and a transaction never waits");
        return;
    }
    struct answer_reader *reader = answer_reader_new(&limits);
    int64_t port;
    if (reader == NULL || !num_get_i64(c->argv[2], &port) || port < 1 || port > UINT16_MAX) {
        answer_reader_free(reader);
        reply_error(c->reply, SLICE("IOERR error or timeout connecting to the client"));
        return;
    }
    struct session *s = c->session;
    struct migration *m = mem_zero(sizeof(*m));
    *m = (struct migration){.session = s,
                            .db = s->db,
                            .slot = key_of(&n->store, c->argv[o.first]).slot,
                            .link = ++n->last_link,
                            .copy = o.copy,
                            .replace = o.replace,
                            .user = o.user,
                            .password = o.password,
                            .next = o.first,
                            .end = o.end,
                            .reader = reader,
                            .timeout_us =
                                o.timeout_ms < INT64_MAX / 1000 ? o.timeout_ms * 1000 : INT64_MAX};
    kept_request_copy(&m->request, c->spec, c->argv, c->blobs, c->argc);
    list_push(&n->migrations, &m->in_node);
    s->migration = m;
    session_hold(n, s, HELD_MIGRATE, patience(n, m));
    *vec_add(&c->out->dial) =
        (struct node_dial){.link = m->link, .host = m->request.argv[1], .port = (uint16_t)port};
}

/* ------------------------------------------------------------------- its end */

static void under_way_forget(struct node *n, struct migration *m)
{
    n->store.watched -= m->under_way_n;
    m->under_way_n = 0;
}

void migrate_forget(struct node *n, struct session *s)
{
    struct migration *m = s->migration;
    if (m == NULL)
        return;
    under_way_forget(n, m);
    list_drop(&m->in_node);
    kept_request_free(&m->request);
    answer_reader_free(m->reader);
    mem_free(m);
    s->migration = NULL;
}

void migrate_abandon(struct session *s, struct node_out *out)
{
    if (s->migration != NULL)
        *vec_add(&out->hang_up) = s->migration->link;
}

/* The one reply: "+OK" like texts begin with '+', errors with their code. kind: what it tells of
 * the slot. */
static void end_as(struct node *n, struct migration *m, const char *text, enum mark_kind kind,
                   struct node_out *out)
{
    struct session *s = m->session;
    struct chain silent = {0};
    struct reply r = session_owed_reply(s, &silent);
    uint64_t begin = s->out.put;
    unsigned slot = m->slot;
    migrate_abandon(s, out);
    migrate_forget(n, s);
    if (text[0] == '+') {
        reply_simple(&r, slice_str(text + 1));
    } else {
        reply_error(&r, slice_str(text));
        stats_error(n, r.error_code);
    }
    marks_put(n, s, begin, slot, kind, REPL_ASKS_NOTHING, routed_client(s));
    session_owed_done(n, s, &silent, out);
}

static void migrate_end(struct node *n, struct migration *m, const char *text, struct node_out *out)
{
    end_as(n, m, text, MARK_WRITE, out);
}

unsigned migrate_slot(const struct session *s)
{
    return s->migration->slot;
}

void migrate_lost(struct node *n, struct session *s, const char *why, struct node_out *out)
{
    char text[SHOWN_BYTES];
    bool unsure = s->migration->any_sent;
    n->cluster->uncertain += unsure;
    if (!unsure)
        routed_refused(s, s->migration->slot);
    (void)snprintf(text, sizeof(text), "%s%s",
                   unsure ? "UNCERTAIN the write may or may not have been kept: " : "CLUSTERDOWN ",
                   why);
    end_as(n, s->migration, text, MARK_FREE, out);
}

static void end_well(struct node *n, struct migration *m, struct node_out *out)
{
    char text[SHOWN_BYTES + 64];
    if (m->refusal[0] != '\0') {
        (void)snprintf(text, sizeof(text), "ERR Target instance replied with error: %s",
                       m->refusal);
        migrate_end(n, m, text, out);
        return;
    }
    if (m->any_changed)
        migrate_end(
            n, m,
            "IOERR error: a key changed here while it was on its way: nothing of it was deleted "
            "here, and the target has it as it was before",
            out);
    else if (m->any_kept)
        migrate_end(
            n, m,
            "IOERR error: the target has the keys, and they stay here too: the log cannot be "
            "written, so nothing is deleted",
            out);
    else
        migrate_end(n, m, m->any_sent ? "+OK" : "+NOKEY", out);
}

/* The link failed or was silent for too long. What the target refused before says more. */
static void end_badly(struct node *n, struct migration *m, struct node_out *out)
{
    if (m->refusal[0] != '\0')
        end_well(n, m, out);
    else if (m->phase == DIALING)
        migrate_end(n, m, "IOERR error or timeout connecting to the client", out);
    else if (m->unsent > 0)
        migrate_end(n, m, "IOERR error or timeout writing to target instance", out);
    else
        migrate_end(n, m, "IOERR error or timeout reading to target instance", out);
}

void migrate_due(struct node *n, struct session *s, struct node_out *out)
{
    end_badly(n, s->migration, out);
}

/* ------------------------------------------------------------------- sending */

static void send_bytes(struct migration *m, struct chain *bytes, struct node_out *out)
{
    if (bytes->n == 0)
        return;
    m->unsent += bytes->n;
    *vec_add(&out->send) = (struct node_send){.link = m->link, .bytes = *bytes};
}

static void put_payload(struct chain *to, struct reply *r, const struct entry *e)
{
    char scratch[NUM_I64_CHARS], head[NUM_I64_CHARS + 3] = "$";
    struct slice value = entry_value(e, scratch);
    size_t n = 1 + num_put_u64(head + 1, dump_bytes(value));
    memcpy(head + n, "\r\n", 2);
    reply_raw(r, slice_of(head, n + 2));
    dump_put(to, value, entry_blob(e));
    reply_raw(r, SLICE("\r\n"));
}

/* RESTORE key ttl payload [REPLACE]: the time left, since the clock there may be another. */
static void put_restore(const struct node *n, struct migration *m, const struct entry *e,
                        struct chain *to)
{
    struct reply r = {.out = to, .protocol = 2};
    struct wall until = entry_expiry(e);
    int64_t left = wall_is_never(until) ? 0 : until.ms - n->wall.ms;
    reply_array(&r, m->replace ? 5 : 4);
    reply_bulk(&r, SLICE("RESTORE"));
    reply_bulk(&r, m->request.argv[m->next]);
    reply_bulk_i64(&r, wall_is_never(until) || left > 0 ? left : 1);
    put_payload(to, &r, e);
    if (m->replace)
        reply_bulk(&r, SLICE("REPLACE"));
}

static bool is_under_way(const struct migration *m, struct slice name)
{
    for (uint32_t i = 0; i < m->under_way_n; i++)
        if (slice_equal(m->request.argv[m->under_way[(m->first + i) % UNDER_WAY_MAX].arg], name))
            return true;
    return false;
}

/* As many keys as may be under way; with none left and none under way it is over. */
static void send_keys(struct node *n, struct migration *m, struct node_out *out)
{
    struct chain bytes = {0};
    while (m->next < m->end && m->under_way_n < UNDER_WAY_MAX &&
           m->unsent + bytes.n < UNSENT_MAX_BYTES) {
        struct slice name = m->request.argv[m->next];
        const struct entry *e = alive(n, m->db, name);
        if (e != NULL && !is_under_way(m, name)) { /* KEYS may name one twice */
            put_restore(n, m, e, &bytes);
            m->under_way[(m->first + m->under_way_n) % UNDER_WAY_MAX] =
                (struct moving){.arg = m->next, .until = entry_expiry(e)};
            m->under_way_n++;
            n->store.watched++;
            m->any_sent = true;
        }
        m->next++;
    }
    send_bytes(m, &bytes, out);
    if (m->next == m->end && m->under_way_n == 0)
        end_well(n, m, out);
}

static void greet(struct migration *m, struct node_out *out)
{
    struct chain bytes = {0};
    struct reply r = {.out = &bytes, .protocol = 2};
    const struct slice *argv = m->request.argv;
    if (m->password > 0) {
        reply_array(&r, m->user > 0 ? 3 : 2);
        reply_bulk(&r, SLICE("AUTH"));
        if (m->user > 0)
            reply_bulk(&r, argv[m->user]);
        reply_bulk(&r, argv[m->password]);
        m->greetings++;
    }
    reply_array(&r, 2);
    reply_bulk(&r, SLICE("SELECT"));
    reply_bulk(&r, argv[4]);
    m->greetings++;
    send_bytes(m, &bytes, out);
}

/* ------------------------------------------------------------------- answers */

static void note_refusal(struct migration *m, const struct answer *a)
{
    struct slice text = slice_head(a->text, sizeof(m->refusal) - 1);
    if (m->refusal[0] != '\0')
        return;
    memcpy(m->refusal, text.p, text.n);
    m->refusal[text.n] = '\0';
}

/* The target has it: it leaves here, if it is still what was sent. */
static void key_arrived(struct node *n, struct migration *m, const struct moving *k)
{
    struct slice name = m->request.argv[k->arg];
    struct key key = key_of(&n->store, name);
    if (m->copy)
        return;
    bool is_here = store_find(&n->store, m->db, &key) != NULL;
    if (k->changed || !is_here) { /* one that has expired here is one that expires there */
        m->any_changed |= is_here || k->until.ms > n->wall.ms;
        return;
    }
    if (commit_refuses(n) != NULL || !own_has(n, key.slot)) {
        m->any_kept = true;
        return;
    }
    effect_slot(&n->effects, key.slot);
    effect_del(&n->effects, m->db, name);
    store_drop(&n->store, m->db, &key);
    commit_effects(n);
    m->session->written = n->journal.appended;
}

/* One reply; false: it is none that can be. */
static bool answered(struct node *n, struct migration *m, const struct answer *a)
{
    if (a->kind != ANSWER_STATUS && a->kind != ANSWER_ERROR)
        return false;
    if (a->kind == ANSWER_ERROR)
        note_refusal(m, a);
    if (m->phase == GREETING) {
        m->greetings--;
        if (m->greetings == 0)
            m->phase = SENDING;
        if (m->greetings == 0 && m->refusal[0] != '\0')
            m->next = m->end; /* nothing is sent */
        return true;
    }
    if (m->phase != SENDING || m->under_way_n == 0)
        return false;
    struct moving k = m->under_way[m->first];
    m->first = (m->first + 1) % UNDER_WAY_MAX;
    m->under_way_n--;
    n->store.watched--;
    if (a->kind == ANSWER_STATUS)
        key_arrived(n, m, &k);
    return true;
}

/* -------------------------------------------------------------------- events */

/* Whose link it is, which is alive: the timeout counts from here. NULL: it was hung up. */
static struct migration *migration_at(struct node *n, uint32_t link)
{
    for (struct list *l = n->migrations.next; l != &n->migrations; l = l->next) {
        struct migration *m = CONTAINER_OF(l, struct migration, in_node);
        if (m->link != link)
            continue;
        heap_remove(&n->held, &m->session->due);
        heap_add(&n->held, &m->session->due, patience(n, m).us);
        return m;
    }
    return NULL;
}

void migrate_dialed(struct node *n, uint32_t link, enum node_dialed how, struct node_out *out)
{
    struct migration *m = migration_at(n, link);
    if (m == NULL)
        return;
    if (how == NODE_DIALED_NOWHERE || how == NODE_DIALED_NO_SOCKET) {
        end_badly(n, m, out);
        return;
    }
    m->phase = GREETING;
    if (how == NODE_DIALED_OK) {
        greet(m, out);
        return;
    }
    m->unsent = 1; /* Redis finds out at its first write, and says so */
    end_badly(n, m, out);
}

void migrate_took(struct node *n, uint32_t link, size_t left, struct node_out *out)
{
    struct migration *m = migration_at(n, link);
    if (m == NULL)
        return;
    m->unsent = left;
    if (m->phase == SENDING)
        send_keys(n, m, out);
}

void migrate_bytes(struct node *n, uint32_t link, struct slice in, struct node_out *out)
{
    struct migration *m = migration_at(n, link);
    if (m == NULL)
        return;
    bool good = answer_feed(m->reader, in) == ERR_OK;
    while (good) {
        struct answer *a = NULL;
        good = answer_next(m->reader, &a) == ERR_OK;
        if (a == NULL)
            break;
        good = answered(n, m, a);
        answer_free(a);
    }
    if (!good)
        end_badly(n, m, out);
    else if (m->phase == SENDING)
        send_keys(n, m, out);
}

void migrate_closed(struct node *n, uint32_t link, struct node_out *out)
{
    struct migration *m = migration_at(n, link);
    if (m != NULL)
        end_badly(n, m, out);
}

/* ------------------------------------------------------- what the store tells */

void migrate_touched(struct node *n, unsigned db, struct slice key)
{
    for (struct list *l = n->migrations.next; l != &n->migrations; l = l->next) {
        struct migration *m = CONTAINER_OF(l, struct migration, in_node);
        for (uint32_t i = 0; m->db == db && i < m->under_way_n; i++) {
            struct moving *k = &m->under_way[(m->first + i) % UNDER_WAY_MAX];
            k->changed |= slice_equal(m->request.argv[k->arg], key);
        }
    }
}

void migrate_touched_all(struct node *n, unsigned db, unsigned replaced_by)
{
    for (struct list *l = n->migrations.next; l != &n->migrations; l = l->next) {
        struct migration *m = CONTAINER_OF(l, struct migration, in_node);
        for (uint32_t i = 0; (m->db == db || m->db == replaced_by) && i < m->under_way_n; i++)
            m->under_way[(m->first + i) % UNDER_WAY_MAX].changed = true;
    }
}

void migrate_touched_slot(struct node *n, unsigned slot)
{
    for (struct list *l = n->migrations.next; l != &n->migrations; l = l->next) {
        struct migration *m = CONTAINER_OF(l, struct migration, in_node);
        for (uint32_t i = 0; i < m->under_way_n; i++) {
            struct moving *k = &m->under_way[(m->first + i) % UNDER_WAY_MAX];
            k->changed |= slot_of(m->request.argv[k->arg]) == slot;
        }
    }
}

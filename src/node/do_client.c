/* SPDX-License-Identifier: BSD-3-Clause */

/* CLIENT: a connection about itself, and an administrator about all of them. */
#include <stdio.h>

#include "base/num.h"
#include "node/call.h"
#include "node/identity.h"
#include "node/multi.h"
#include "node/seats.h"
#include "node/waiting.h"

/* Names stand in lines of blank-separated fields. */
static bool is_plain(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '!' || s.p[i] > '~')
            return false;
    return true;
}

static void text_keep(char **to, struct slice s)
{
    mem_free(*to);
    *to = s.n > 0 ? mem_text(s.p, s.n) : NULL;
}

bool session_name_or_reply(struct call *c, struct slice name)
{
    if (!is_plain(name)) {
        reply_error(
            c->reply,
            SLICE("ERR Client names cannot contain spaces, newlines or special characters."));
        return false;
    }
    text_keep(&c->session->name, name);
    return true;
}

/* --------------------------------------------------------------- the line */

static size_t put_flags(char *to, const struct session *s)
{
    const struct {
        bool on;
        char flag;
    } flags[] = {
        {s->is_monitor, 'O'},        {s->in_multi, 'x'},
        {s->held == HELD_WAIT, 'b'}, {s->multi != NULL && s->multi->dirty, 'd'},
        {s->closing, 'c'},           {s->is_unix, 'U'},
        {s->no_evict, 'e'},          {s->no_touch, 'T'},
    };
    size_t n = 0;
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        if (flags[i].on)
            to[n++] = flags[i].flag;
    if (n == 0)
        to[n++] = 'N';
    return n;
}

struct session_cost session_cost(const struct node *n, const struct session *s)
{
    struct session_cost c = {.multi = multi_bytes(s), .output = chain_bytes(&s->out)};
    n->world->client(n->world, s->conn, &c.input);
    for (const struct chain_part *p = s->out.head; p != NULL; p = p->next) {
        c.chunks += p->alloc;
        c.parts++;
    }
    c.all = c.input.shell + sizeof(*s) + c.output + c.multi + s->gates.cap * sizeof(s->gates.at[0]);
    return c;
}

static const char *or_empty(const char *text)
{
    return text != NULL ? text : "";
}

/* There is no buffer of replies beside the output (omem): rbs is its chunks, which are freed as
 * they leave, rbp the most that waited at once lately. */
static void put_memory(struct buf *b, const struct session *s, const struct session_cost *c)
{
    text_putf(b, " qbuf=%zu qbuf-free=%zu argv-mem=%zu multi-mem=%zu", c->input.unread,
              c->input.unread_free, c->input.args, c->multi);
    text_putf(b, " rbs=%zu rbp=%zu obl=%zu oll=%zu omem=%zu tot-mem=%zu", c->chunks,
              c->input.owed_most, s->out.n, c->parts, c->output, c->all);
}

static void put_line(struct buf *b, const struct node *n, const struct session *s)
{
    char flags[16];
    flags[put_flags(flags, s)] = '\0';
    long long age = (long long)((n->now.us - s->created.us) / 1000000);
    long long idle = (long long)((n->now.us - s->active.us) / 1000000);
    long long queued = s->in_multi ? (long long)s->multi->queue.n : -1;
    struct session_cost cost = session_cost(n, s);
    text_putf(b, "id=%llu addr=%s laddr=%s fd=%d name=", (unsigned long long)s->id, s->peer,
              s->local, s->fd);
    text_put(b, slice_str(or_empty(s->name)));
    text_putf(b, " age=%lld idle=%lld flags=%s db=%u sub=0 psub=0 ssub=0 multi=%lld", age, idle,
              flags, s->db, queued);
    put_memory(b, s, &cost);
    text_putf(b,
              " events=r%s cmd=%s user=default redir=-1 resp=%d lib-name=", s->out.n > 0 ? "w" : "",
              s->last != NULL ? s->last->name : "NULL", s->protocol);
    text_put(b, slice_str(or_empty(s->lib_name)));
    text_put(b, SLICE(" lib-ver="));
    text_put(b, slice_str(or_empty(s->lib_ver)));
    text_put(b, SLICE("\n"));
}

void node_client_info(struct call *c)
{
    struct buf b;
    buf_init(&b, SIZE_MAX);
    put_line(&b, c->node, c->session);
    reply_verbatim(c->reply, buf_slice(&b), "txt");
    buf_free(&b);
}

/* ------------------------------------------------------------- LIST, KILL */

enum client_kind { KIND_NONE, KIND_NORMAL, KIND_MASTER, KIND_REPLICA, KIND_PUBSUB };

static enum client_kind kind_or_reply(struct call *c, struct slice name)
{
    if (slice_is(name, "normal"))
        return KIND_NORMAL;
    if (slice_is(name, "master"))
        return KIND_MASTER;
    if (slice_is(name, "replica") || slice_is(name, "slave"))
        return KIND_REPLICA;
    if (slice_is(name, "pubsub"))
        return KIND_PUBSUB;
    name = slice_head(name, 128);
    reply_errorf(c->reply, "ERR Unknown client type '%.*s'", (int)name.n, name.p);
    return KIND_NONE;
}

/* Alone, and without publish/subscribe, every client is a normal one. */
static bool is_of_kind(enum client_kind kind)
{
    return kind == KIND_NONE || kind == KIND_NORMAL;
}

static bool list_ids_or_reply(struct call *c, struct buf *b)
{
    for (uint32_t i = 3; i < c->argc; i++) {
        int64_t id;
        if (!call_i64_or_reply(c, i, &id, "ERR Invalid client ID"))
            return false;
        const struct session *s = id > 0 ? session_by_id(c->node, (uint64_t)id) : NULL;
        if (s != NULL)
            put_line(b, c->node, s);
    }
    return true;
}

static bool list_or_reply(struct call *c, struct buf *b)
{
    if (c->argc > 3 && slice_is(c->argv[2], "id"))
        return list_ids_or_reply(c, b);
    enum client_kind kind = KIND_NONE;
    if (c->argc == 4 && slice_is(c->argv[2], "type")) {
        kind = kind_or_reply(c, c->argv[3]);
        if (kind == KIND_NONE)
            return false;
    } else if (c->argc != 2) {
        call_syntax_error(c);
        return false;
    }
    if (!is_of_kind(kind))
        return true;
    for (const struct list *l = c->node->sessions.next; l != &c->node->sessions; l = l->next)
        put_line(b, c->node, CONTAINER_OF(l, struct session, in_all));
    return true;
}

void node_client_list(struct call *c)
{
    struct buf b;
    buf_init(&b, SIZE_MAX);
    const struct seat_share *others = seats_others(c->node);
    bool listed = list_or_reply(c, &b);
    if (listed && others != NULL)
        text_put(&b, buf_slice(&others->text));
    if (listed)
        reply_verbatim(c->reply, buf_slice(&b), "txt");
    buf_free(&b);
}

struct kill {
    struct slice peer, local; /* p is NULL: any */
    int64_t id;               /* 0: any */
    enum client_kind kind;
    bool skip_me;
};

static bool kill_filter_or_reply(struct call *c, uint32_t i, struct kill *k)
{
    struct slice name = c->argv[i], value = c->argv[i + 1];
    if (slice_is(name, "id")) {
        if (num_get_i64(value, &k->id) && k->id > 0)
            return true;
        reply_error(c->reply, SLICE("ERR client-id should be greater than 0"));
        return false;
    }
    if (slice_is(name, "type"))
        return (k->kind = kind_or_reply(c, value)) != KIND_NONE;
    if (slice_is(name, "addr")) {
        k->peer = value;
        return true;
    }
    if (slice_is(name, "laddr")) {
        k->local = value;
        return true;
    }
    if (slice_is(name, "user")) {
        if (slice_equal(value, SLICE("default")))
            return true;
        value = slice_head(value, 128);
        reply_errorf(c->reply, "ERR No such user '%.*s'", (int)value.n, value.p);
        return false;
    }
    if (slice_is(name, "skipme") && (slice_is(value, "yes") || slice_is(value, "no"))) {
        k->skip_me = slice_is(value, "yes");
        return true;
    }
    call_syntax_error(c);
    return false;
}

static bool kill_fits(const struct kill *k, const struct session *s)
{
    return (k->peer.p == NULL || slice_equal(k->peer, slice_str(s->peer))) &&
           (k->local.p == NULL || slice_equal(k->local, slice_str(s->local))) &&
           (k->id == 0 || (uint64_t)k->id == s->id) && is_of_kind(k->kind) && !s->closing;
}

/* Whoever asks for its own end still gets the answer. */
static int64_t kill_all(struct call *c, const struct kill *k)
{
    int64_t killed = 0;
    for (struct list *l = c->node->sessions.next; l != &c->node->sessions; l = l->next) {
        struct session *s = CONTAINER_OF(l, struct session, in_all);
        if (!kill_fits(k, s) || (k->skip_me && s == c->session))
            continue;
        killed++;
        if (s == c->session) {
            session_close_after_reply(c->node, s);
            continue;
        }
        s->closing = true;
        *vec_add(&c->out->drop) = s->conn;
    }
    return killed;
}

static int64_t others_n(const struct call *c)
{
    const struct seat_share *others = seats_others(c->node);
    return others != NULL ? others->n : 0;
}

void node_client_kill(struct call *c)
{
    if (c->argc == 3) { /* the old form: an address, and an error if nobody has it */
        struct kill one = {.peer = c->argv[2]};
        if (kill_all(c, &one) + others_n(c) > 0)
            reply_ok(c->reply);
        else
            reply_error(c->reply, SLICE("ERR No such client"));
        return;
    }
    struct kill k = {.skip_me = true};
    for (uint32_t i = 2; i < c->argc; i += 2) {
        if (i + 1 == c->argc) {
            call_syntax_error(c);
            return;
        }
        if (!kill_filter_or_reply(c, i, &k))
            return;
    }
    reply_i64(c->reply, kill_all(c, &k) + others_n(c));
}

/* ------------------------------------------------------------- about itself */

void node_client_id(struct call *c)
{
    reply_i64(c->reply, (int64_t)c->session->id);
}

void node_client_getname(struct call *c)
{
    if (c->session->name != NULL)
        reply_bulk_str(c->reply, c->session->name);
    else
        reply_null(c->reply);
}

void node_client_setname(struct call *c)
{
    if (session_name_or_reply(c, c->argv[2]))
        reply_ok(c->reply);
}

void node_client_setinfo(struct call *c)
{
    char **to = NULL;
    if (slice_is(c->argv[2], "lib-name"))
        to = &c->session->lib_name;
    else if (slice_is(c->argv[2], "lib-ver"))
        to = &c->session->lib_ver;
    if (to == NULL) {
        struct slice option = slice_head(c->argv[2], 128);
        reply_errorf(c->reply, "ERR Unrecognized option '%.*s'", (int)option.n, option.p);
        return;
    }
    if (!is_plain(c->argv[3])) {
        reply_errorf(c->reply, "ERR %s cannot contain spaces, newlines or special characters.",
                     to == &c->session->lib_name ? "lib-name" : "lib-ver");
        return;
    }
    text_keep(to, c->argv[3]);
    reply_ok(c->reply);
}

static bool on_off_or_reply(struct call *c, bool *to)
{
    if (!slice_is(c->argv[2], "on") && !slice_is(c->argv[2], "off")) {
        call_syntax_error(c);
        return false;
    }
    *to = slice_is(c->argv[2], "on");
    return true;
}

void node_client_no_evict(struct call *c)
{
    if (on_off_or_reply(c, &c->session->no_evict))
        reply_ok(c->reply);
}

void node_client_no_touch(struct call *c)
{
    if (on_off_or_reply(c, &c->session->no_touch))
        reply_ok(c->reply);
}

/* There is no tracking in this version: always off. */
void node_client_trackinginfo(struct call *c)
{
    reply_map(c->reply, 3);
    reply_bulk(c->reply, SLICE("flags"));
    reply_set(c->reply, 1);
    reply_bulk(c->reply, SLICE("off"));
    reply_bulk(c->reply, SLICE("redirect"));
    reply_i64(c->reply, -1);
    reply_bulk(c->reply, SLICE("prefixes"));
    reply_array(c->reply, 0);
}

void node_client_getredir(struct call *c)
{
    reply_i64(c->reply, -1);
}

/* OFF and SKIP have no reply of their own; ON is heard also by who was off. */
void node_client_reply(struct call *c)
{
    struct session *s = c->session;
    if (slice_is(c->argv[2], "on")) {
        s->reply_mode = REPLY_ON;
        c->reply->out = &s->out;
        reply_ok(c->reply);
    } else if (slice_is(c->argv[2], "off")) {
        s->reply_mode = REPLY_OFF;
    } else if (slice_is(c->argv[2], "skip")) {
        if (s->reply_mode != REPLY_OFF)
            s->reply_mode = REPLY_SKIP_NEXT;
    } else {
        call_syntax_error(c);
    }
}

void node_client_unblock(struct call *c)
{
    bool with_error = false;
    if (c->argc > 4) {
        call_usage_error(c);
        return;
    }
    if (c->argc == 4) {
        with_error = slice_is(c->argv[3], "error");
        if (!with_error && !slice_is(c->argv[3], "timeout")) {
            reply_error(c->reply, SLICE("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"));
            return;
        }
    }
    int64_t id;
    if (!call_i64_or_reply(c, 2, &id, NULL))
        return;
    struct session *s = id > 0 ? session_by_id(c->node, (uint64_t)id) : NULL;
    bool here = s != NULL && waiting_unblock(c->node, s, with_error, c->out);
    reply_i64(c->reply, here || others_n(c) > 0);
}

void node_client_help(struct call *c)
{
    static const char *const lines[] = {
        "GETNAME",
        "    The name of this connection.",
        "GETREDIR",
        "    Where invalidations go: -1, there is no tracking.",
        "ID",
        "    The number of this connection; never used twice.",
        "INFO",
        "    The line of LIST about this connection.",
        "KILL <ip:port>",
        "    Close the connection from that address.",
        "KILL <filter> <value> [<filter> <value> ...]",
        "    Close those that fit all of: ID <id>, ADDR <ip:port>, LADDR <ip:port>,",
        "    TYPE (NORMAL|MASTER|REPLICA|PUBSUB), USER <name>, SKIPME (YES|NO).",
        "LIST [TYPE (NORMAL|MASTER|REPLICA|PUBSUB) | ID <id> [<id> ...]]",
        "    A line about each connection.",
        "NO-EVICT (ON|OFF)",
        "    Keep this connection when memory is short.",
        "NO-TOUCH (ON|OFF)",
        "    Let this connection's accesses leave no trace for LRU and LFU.",
        "PAUSE <milliseconds> [WRITE|ALL]",
        "    Hold back the commands, or the writes, of all clients for a while.",
        "QUORUM (<number>|majority|all|cluster)",
        "    How many copies this connection's replies wait for; cluster: as write-quorum says.",
        "REPLY (ON|OFF|SKIP)",
        "    Whether this connection gets replies.",
        "SETINFO (LIB-NAME|LIB-VER) <text>",
        "    Which library the client uses.",
        "SETNAME <name>",
        "    Name this connection.",
        "TRACKINGINFO",
        "    That there is no tracking.",
        "UNBLOCK <id> [TIMEOUT|ERROR]",
        "    End the waiting of another connection.",
        "UNPAUSE",
        "    End a PAUSE.",
    };
    call_help(c, lines, sizeof(lines) / sizeof(lines[0]));
}

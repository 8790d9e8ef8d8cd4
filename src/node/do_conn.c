/* SPDX-License-Identifier: BSD-3-Clause */

/* Who a connection is and what it speaks: HELLO, AUTH, SELECT, PING, RESET, QUIT. */
#include "base/num.h"
#include "node/call.h"
#include "node/cluster.h"
#include "node/identity.h"

/* Every byte is compared, whatever the first difference: the time tells nothing about the
 * password. */
static bool is_password(const struct options *o, struct slice given)
{
    struct slice right = slice_str(o->requirepass);
    unsigned char differs = given.n != right.n;
    for (size_t i = 0; i < given.n; i++)
        differs |= (unsigned char)(given.p[i] ^ right.p[right.n > 0 ? i % right.n : 0]);
    return differs == 0;
}

/* The only user is `default`; without a password it takes any. */
static bool authenticates(struct node *n, struct session *s, struct slice user,
                          struct slice password)
{
    if (!slice_equal(user, SLICE("default")))
        return false;
    if (n->options->requirepass[0] != '\0' && !is_password(n->options, password))
        return false;
    s->locked = false;
    return true;
}

static const char wrong_password[] =
    "WRONGPASS invalid username-password pair or user is disabled.";

void node_auth(struct call *c)
{
    if (c->argc > 3) {
        call_syntax_error(c);
        return;
    }
    if (c->argc == 2 && c->node->options->requirepass[0] == '\0') {
        reply_error(
            c->reply,
            SLICE("ERR AUTH <password> called without any password configured for the default "
                  "user. Are you sure your configuration is correct?"));
        return;
    }
    struct slice user = c->argc == 3 ? c->argv[1] : SLICE("default");
    if (authenticates(c->node, c->session, user, c->argv[c->argc - 1]))
        reply_ok(c->reply);
    else
        reply_error(c->reply, slice_str(wrong_password));
}

/* -------------------------------------------------------------------- HELLO */

struct hello {
    int64_t protocol; /* 0: as it is */
    bool with_user, with_name;
    struct slice user, password, name;
};

static bool hello_parse_or_reply(struct call *c, struct hello *h)
{
    *h = (struct hello){0};
    if (c->argc < 2)
        return true;
    if (!call_i64_or_reply(c, 1, &h->protocol,
                           "ERR Protocol version is not an integer or out of range"))
        return false;
    if (h->protocol < 2 || h->protocol > 3) {
        reply_error(c->reply, SLICE("NOPROTO unsupported protocol version"));
        return false;
    }
    for (uint32_t i = 2; i < c->argc; i++) {
        uint32_t more = c->argc - 1 - i;
        if (slice_is(c->argv[i], "auth") && more >= 2) {
            h->with_user = true;
            h->user = c->argv[++i];
            h->password = c->argv[++i];
        } else if (slice_is(c->argv[i], "setname") && more >= 1) {
            h->with_name = true;
            h->name = c->argv[++i];
        } else {
            struct slice option = slice_head(c->argv[i], 128);
            reply_errorf(c->reply, "ERR Syntax error in HELLO option '%.*s'", (int)option.n,
                         option.p);
            return false;
        }
    }
    return true;
}

static void hello_reply(struct call *c)
{
    struct reply *r = c->reply;
    reply_map(r, 7);
    reply_bulk(r, SLICE("server"));
    reply_bulk(r, SLICE("redis"));
    reply_bulk(r, SLICE("version"));
    reply_bulk(r, SLICE(REDIS_VERSION));
    reply_bulk(r, SLICE("proto"));
    reply_i64(r, c->session->protocol);
    reply_bulk(r, SLICE("id"));
    reply_i64(r, (int64_t)c->session->id);
    reply_bulk(r, SLICE("mode"));
    reply_bulk(r, node_is_member(c->node) ? SLICE("cluster") : SLICE("standalone"));
    reply_bulk(r, SLICE("role"));
    reply_bulk(r, SLICE("master"));
    reply_bulk(r, SLICE("modules"));
    reply_array(r, 0);
}

void node_hello(struct call *c)
{
    struct session *s = c->session;
    struct hello h;
    if (!hello_parse_or_reply(c, &h))
        return;
    if (h.with_user && !authenticates(c->node, s, h.user, h.password)) {
        reply_error(c->reply, slice_str(wrong_password));
        return;
    }
    if (s->locked) {
        reply_error(
            c->reply,
            SLICE("NOAUTH HELLO must be called with the client already authenticated, otherwise "
                  "the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the "
                  "client and select the RESP protocol version at the same time"));
        return;
    }
    if (h.with_name && !session_name_or_reply(c, h.name))
        return;
    if (h.protocol != 0)
        s->protocol = (uint8_t)h.protocol;
    c->reply->protocol = s->protocol;
    hello_reply(c);
}

/* --------------------------------------------------------------- the others */

void node_ping(struct call *c)
{
    if (c->argc > 2)
        reply_errorf(c->reply, "ERR wrong number of arguments for '%s' command", c->spec->name);
    else if (c->argc == 2)
        reply_bulk(c->reply, c->argv[1]);
    else
        reply_simple(c->reply, SLICE("PONG"));
}

void node_select(struct call *c)
{
    int64_t db;
    if (!call_i64_or_reply(c, 1, &db, NULL))
        return;
    if (db < INT32_MIN || db > INT32_MAX) {
        reply_error(
            c->reply,
            SLICE("ERR value is out of range, value must between -2147483648 and 2147483647"));
        return;
    }
    if (node_is_member(c->node) && db != 0) {
        reply_error(c->reply, SLICE("ERR SELECT is not allowed in cluster mode"));
        return;
    }
    if (db < 0 || db >= c->node->store.dbs_n) {
        reply_error(c->reply, SLICE("ERR DB index is out of range"));
        return;
    }
    c->session->db = (unsigned)db;
    reply_ok(c->reply);
}

void node_quit(struct call *c)
{
    reply_ok(c->reply);
    session_close_after_reply(c->node, c->session);
}

/* As if it had just connected, but for its id and its age. */
void node_reset(struct call *c)
{
    struct session *s = c->session;
    multi_forget(c->node, s);
    if (s->is_monitor) {
        s->is_monitor = false;
        list_drop(&s->in_monitors);
    }
    s->db = 0;
    s->protocol = 2;
    s->reply_mode = REPLY_ON;
    s->no_evict = s->no_touch = false;
    if (s->routing != NULL) {
        s->routing->readonly = false;
        s->routing->quorum = REPL_ASKS_NOTHING;
    }
    s->locked = c->node->options->requirepass[0] != '\0';
    mem_free(s->name);
    s->name = NULL;
    c->reply->protocol = 2;
    c->reply->out = &s->out; /* also after CLIENT REPLY OFF */
    reply_simple(c->reply, SLICE("RESET"));
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* CONFIG: the options of a running server. */
#include "base/check.h"
#include "node/call.h"
#include "node/cluster.h"
#include "node/seats.h"
#include "node/stats.h"

void node_config_get(struct call *c)
{
    struct options_got got = {0};
    options_get(c->node->options, c->argv + 2, c->argc - 2, &got);
    reply_map(c->reply, got.list.n);
    for (size_t i = 0; i < got.list.n; i++) {
        reply_bulk(c->reply, got.list.at[i].name);
        reply_bulk(c->reply, slice_of(got.text.p + got.list.at[i].at, got.list.at[i].n));
    }
    options_got_free(&got);
}

/* A password set in a running server is asked of those who come, not of those who are there. */
static void take(struct node *n, struct option_trial *t, struct node_out *out)
{
    bool any = false;
    options_take(n->options, t);
    for (size_t id = 0; id < OPTION_N; id++) {
        if (!t->changed[id])
            continue;
        any = true;
        *vec_add(&out->options) = (uint16_t)id;
    }
    if (any)
        options_applied(n);
    if (any && n->identity.seats_n > 1 && n->identity.seat == 0) /* which all others follow */
        seats_tell_options(n, t, out);
}

void config_follow(struct node *n, const struct option_pair *pairs, size_t pairs_n,
                   struct node_out *out)
{
    struct option_trial t;
    struct buf error;
    buf_init(&error, SIZE_MAX);
    bool set = options_try(n->options, pairs, pairs_n, true, &t, &error);
    if (set)
        take(n, &t, out);
    else /* it was taken where it was asked for, by the same rules */
        log_say(n->log, LOG_LEVEL_WARNING, "one thread does not follow a CONFIG SET: %.*s",
                (int)error.n, error.p);
    if (set)
        options_trial_free(&t);
    buf_free(&error);
}

static void reply_refused(struct reply *r, const struct buf *why)
{
    struct slice text = slice_head(buf_slice(why), 900);
    reply_errorf(r, "ERR %.*s", (int)text.n, text.p);
}

static const char not_announced[] = "Others cannot be told of it. Check server logs.";

/* What the shell follows, and says no to where it cannot; alone nobody is told anything. */
static const struct door_option {
    enum option id;
    bool in_cluster;
    const char *name, *failed;
} door_options[] = {
    {OPTION_port, false, "port", "Unable to listen on this port. Check server logs."},
    {OPTION_bind, false, "bind", "Failed to bind to specified addresses."},
    {OPTION_cluster_announce_ip, true, "cluster-announce-ip", not_announced},
    {OPTION_cluster_announce_port, true, "cluster-announce-port", not_announced},
    {OPTION_cluster_announce_bus_port, true, "cluster-announce-bus-port", not_announced},
    {OPTION_cluster_announce_hostname, true, "cluster-announce-hostname", not_announced},
};

/* The first of them that t changes; NULL: none. */
static const struct door_option *door_option(const struct node *n, const struct option_trial *t)
{
    for (size_t i = 0; i < sizeof(door_options) / sizeof(door_options[0]); i++)
        if (t->changed[door_options[i].id] && (n->cluster != NULL || !door_options[i].in_cluster))
            return &door_options[i];
    return NULL;
}

/* Sockets are the shell's: it opens them, and this session waits for its word. */
static bool listen_or_refuse(struct call *c, const struct door_option *door,
                             const struct option_trial *t, struct buf *error)
{
    struct node *n = c->node;
    if (n->in_exec)
        return options_set_failed(slice_str(door->name),
                                  "new sockets are waited for: not inside a transaction", error);
    if (n->wanted != NULL)
        return options_set_failed(slice_str(door->name),
                                  "another change of where this server is reached is under way",
                                  error);
    n->wanted = mem_get(sizeof(*t));
    *n->wanted = *t;
    c->out->listen = &n->wanted->options;
    session_hold(n, c->session, HELD_LISTEN, MONO_NEVER);
    return true;
}

static bool set_or_refuse(struct call *c, struct option_trial *t, struct buf *error)
{
    const struct door_option *door = door_option(c->node, t);
    if (door != NULL && c->node->identity.is_proxy) {
        options_trial_free(t);
        return options_set_failed(
            slice_str(door->name),
            "a proxy opens its doors at its start: change it in the configuration "
            "file or on the command line, and start it again",
            error);
    }
    if (door != NULL) {
        if (listen_or_refuse(c, door, t, error))
            return true;
        options_trial_free(t);
        return false;
    }
    take(c->node, t, c->out);
    options_trial_free(t);
    reply_ok(c->reply);
    return true;
}

/* What the whole cluster has in common is asked of it, alone: nothing could take back the other
 * options if it says no. False: there is no such option among them. */
static bool sets_map(struct call *c)
{
    for (uint32_t i = 2; i < c->argc; i += 2) {
        struct slice setting = setting_of_option(c->argv[i]);
        if (setting.n == 0)
            continue;
        if (c->argc > 4)
            reply_errorf(c->reply,
                         "ERR CONFIG SET failed (possibly related to argument '%.*s') - the whole "
                         "cluster has it in common: set it alone",
                         (int)c->argv[i].n, c->argv[i].p);
        else
            settings_set(c, setting, c->argv[3]);
        return true;
    }
    return false;
}

static void config_set(struct call *c, bool is_loopback)
{
    if ((c->argc & 1) != 0) {
        call_syntax_error(c);
        return;
    }
    if (node_is_member(c->node) && sets_map(c))
        return;
    size_t n = (c->argc - 2) / 2;
    struct option_pair *pairs = mem_get(n * sizeof(*pairs));
    for (size_t i = 0; i < n; i++)
        pairs[i] = (struct option_pair){c->argv[2 + 2 * i], c->argv[3 + 2 * i]};
    struct option_trial trial;
    struct buf error;
    buf_init(&error, SIZE_MAX);
    if (!options_try(c->node->options, pairs, n, is_loopback, &trial, &error) ||
        !set_or_refuse(c, &trial, &error))
        reply_refused(c->reply, &error);
    buf_free(&error);
    mem_free(pairs);
}

void node_config_set(struct call *c)
{
    config_set(c, c->session->is_loopback);
}

void config_set_for(struct node *n, const struct kept_request *k, bool is_loopback, struct reply *r,
                    struct node_out *out)
{
    struct call c = call_kept(n, NULL, k, r, out);
    config_set(&c, is_loopback);
}

/* The sessions that wait for the shell in this way: one after the other, NULL: no more. */
static struct session *next_held(struct node *n, enum session_held why)
{
    for (struct list *l = n->sessions.next; l != &n->sessions; l = l->next) {
        struct session *s = CONTAINER_OF(l, struct session, in_all);
        if (s->held == why)
            return s;
    }
    return NULL;
}

void config_listening(struct node *n, bool listens, struct node_out *out)
{
    struct option_trial *t = n->wanted;
    struct session *s = next_held(n, HELD_LISTEN); /* NULL: it is gone; what it asked for is done */
    struct chain silent = {0};
    struct buf error;
    buf_init(&error, SIZE_MAX);
    n->wanted = NULL;
    if (listens)
        take(n, t, out);
    else
        options_set_failed(slice_str(door_option(n, t)->name), door_option(n, t)->failed, &error);
    if (s != NULL) {
        struct reply r = session_owed_reply(s, &silent);
        if (listens)
            reply_ok(&r);
        else
            reply_refused(&r, &error);
        session_owed_done(n, s, &silent, out);
    }
    buf_free(&error);
    options_trial_free(t);
    mem_free(t);
}

void node_config_resetstat(struct call *c)
{
    stats_reset(c->node);
    reply_ok(c->reply);
}

/* --------------------------------------------------------- CONFIG REWRITE */

/* The file is the shell's: it reads and writes it, and this session waits for its word. */
void node_config_rewrite(struct call *c)
{
    char path[1024];
    struct node *n = c->node;
    if (n->world->fact(n->world, "config_file", path, sizeof(path)).n == 0) {
        reply_error(c->reply, SLICE("ERR The server is running without a config file"));
        return;
    }
    if (n->in_exec) {
        reply_error(
            c->reply,
            SLICE("ERR CONFIG REWRITE waits for the disk and cannot run inside a transaction"));
        return;
    }
    c->out->rewrite_config = true;
    session_hold(n, c->session, HELD_CONFIG, MONO_NEVER);
}

void config_rewritten(struct node *n, const char *failed, struct node_out *out)
{
    struct session *s;
    while ((s = next_held(n, HELD_CONFIG)) != NULL) {
        struct chain silent = {0};
        struct reply r = session_owed_reply(s, &silent);
        if (failed == NULL)
            reply_ok(&r);
        else
            reply_errorf(&r, "ERR Rewriting config file: %s", failed);
        session_owed_done(n, s, &silent, out);
    }
    if (failed == NULL)
        log_say(n->log, LOG_LEVEL_NOTICE, "the configuration file was rewritten");
    else
        log_say(n->log, LOG_LEVEL_WARNING, "the configuration file was not rewritten: %s", failed);
}

void node_config_help(struct call *c)
{
    static const char *const lines[] = {
        "GET <pattern> [<pattern> ...]",
        "    The options whose names fit, with their values.",
        "SET <option> <value> [<option> <value> ...]",
        "    Change options of the running server, all of them or none.",
        "RESETSTAT",
        "    Begin counting anew what INFO tells.",
        "REWRITE",
        "    Bring the configuration file up to date with what was SET.",
    };
    call_help(c, lines, sizeof(lines) / sizeof(lines[0]));
}

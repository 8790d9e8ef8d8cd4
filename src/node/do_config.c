/* SPDX-License-Identifier: BSD-3-Clause */

/* CONFIG: the options of a running server. */
#include "base/check.h"
#include "node/call.h"
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
static void set_applied(struct call *c, const bool *changed)
{
    bool any = false;
    for (size_t id = 0; id < OPTION_N; id++) {
        if (!changed[id])
            continue;
        any = true;
        *vec_add(&c->out->options) = (uint16_t)id;
    }
    if (any)
        options_applied(c->node);
}

void node_config_set(struct call *c)
{
    if ((c->argc & 1) != 0) {
        call_syntax_error(c);
        return;
    }
    size_t n = (c->argc - 2) / 2;
    struct option_pair *pairs = mem_get(n * sizeof(*pairs));
    for (size_t i = 0; i < n; i++)
        pairs[i] = (struct option_pair){c->argv[2 + 2 * i], c->argv[3 + 2 * i]};
    bool changed[OPTION_N] = {false};
    struct buf error;
    buf_init(&error, SIZE_MAX);
    if (options_set(c->node->options, pairs, n, c->session->is_loopback, changed, &error)) {
        set_applied(c, changed);
        reply_ok(c->reply);
    } else {
        struct slice text = slice_head(buf_slice(&error), 900);
        reply_errorf(c->reply, "ERR %.*s", (int)text.n, text.p);
    }
    buf_free(&error);
    mem_free(pairs);
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
    for (struct list *l = n->sessions.next; l != &n->sessions; l = l->next) {
        struct session *s = CONTAINER_OF(l, struct session, in_all);
        if (s->held != HELD_CONFIG)
            continue;
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

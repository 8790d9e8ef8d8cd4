/* SPDX-License-Identifier: BSD-3-Clause */

/* Small answers for administrators, and refusals that say what to do instead. */
#include "base/num.h"
#include "node/call.h"
#include "node/cluster.h"
#include "node/cluster_text.h"

/* Alone, a node is a master without replicas; its offset is how many records it made. */
void node_time(struct call *c)
{
    reply_array(c->reply, 2);
    reply_bulk_i64(c->reply, c->node->wall.ms / 1000);
    reply_bulk_i64(c->reply, node_second_us(c->node));
}

void node_role(struct call *c)
{
    if (node_is_member(c->node)) {
        cluster_role_reply(c->node, c->reply);
        return;
    }
    reply_array(c->reply, 3);
    reply_bulk(c->reply, SLICE("master"));
    reply_i64(c->reply, (int64_t)node_offset(c->node));
    reply_array(c->reply, 0);
}

void node_acl_whoami(struct call *c)
{
    reply_bulk(c->reply, SLICE("default"));
}

/* ----------------------------------------------------------------- SHUTDOWN */

enum shutdown_word {
    SHUTDOWN_NOSAVE = 1,
    SHUTDOWN_SAVE = 2,
    SHUTDOWN_NOW = 4,
    SHUTDOWN_FORCE = 8,
    SHUTDOWN_ABORT = 16
};

static bool shutdown_words_or_reply(struct call *c, unsigned *words)
{
    static const struct {
        const char *name;
        enum shutdown_word word;
    } names[] = {{"nosave", SHUTDOWN_NOSAVE},
                 {"save", SHUTDOWN_SAVE},
                 {"now", SHUTDOWN_NOW},
                 {"force", SHUTDOWN_FORCE},
                 {"abort", SHUTDOWN_ABORT}};
    *words = 0;
    for (uint32_t i = 1; i < c->argc; i++) {
        unsigned word = 0;
        for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++)
            if (slice_is(c->argv[i], names[k].name))
                word = names[k].word;
        *words |= word;
        if (word == 0) {
            call_syntax_error(c);
            return false;
        }
    }
    bool both = (*words & SHUTDOWN_SAVE) != 0 && (*words & SHUTDOWN_NOSAVE) != 0;
    if (both || ((*words & SHUTDOWN_ABORT) != 0 && *words != SHUTDOWN_ABORT)) {
        call_syntax_error(c);
        return false;
    }
    return true;
}

/* SAVE and NOSAVE make no difference: the log has everything. The end of the connection is the
 * reply. */
void node_shutdown(struct call *c)
{
    unsigned words;
    if (!shutdown_words_or_reply(c, &words))
        return;
    if (words == SHUTDOWN_ABORT) {
        if (stop_abort(c->node, c->out))
            reply_ok(c->reply);
        else
            reply_error(c->reply, SLICE("ERR No shutdown in progress."));
        return;
    }
    if (c->node->stop_asked) {
        reply_error(c->reply, SLICE("ERR a shutdown is in progress already"));
        return;
    }
    stop_begin(c->node, c->session, (words & SHUTDOWN_NOW) != 0);
}

/* ----------------------------------------------------------------- refusals */

static const char no_replication[] = "copies are of slots, in a cluster; other servers of "
                                     "this protocol load what BGSAVE or MIGRATE gives them";

void node_replicaof(struct call *c)
{
    if (slice_is(c->argv[1], "no") && slice_is(c->argv[2], "one")) {
        reply_ok(c->reply); /* so it is */
        return;
    }
    call_refused(c, no_replication);
}

void node_no_replication(struct call *c) /* SYNC, PSYNC, REPLCONF */
{
    call_refused(c, no_replication);
}

void node_failover(struct call *c)
{
    if (c->argc == 2 && slice_is(c->argv[1], "abort")) {
        reply_error(c->reply, SLICE("ERR No failover in progress."));
        return;
    }
    call_refused(c, "in a cluster slots change hands by themselves when their node stops or dies; "
                    "a lone node has nobody to fail over to");
}

void node_module_list(struct call *c)
{
    reply_array(c->reply, 0);
}

void node_no_modules(struct call *c) /* MODULE LOAD, LOADEX, UNLOAD */
{
    call_refused(
        c,
        "there are no modules; what one would do belongs into a client, a proxy, or a command of "
        "the server itself");
}

void node_module_help(struct call *c)
{
    static const char *const lines[] = {
        "LIST",
        "    No module: there are none here.",
        "LOAD, LOADEX, UNLOAD",
        "    Refused.",
    };
    call_help(c, lines, sizeof(lines) / sizeof(lines[0]));
}

/* There are no functions: nothing to flush. */
void node_function_flush(struct call *c)
{
    if (c->argc > 3) {
        call_usage_error(c);
        return;
    }
    if (c->argc == 3 && !slice_is(c->argv[2], "sync") && !slice_is(c->argv[2], "async")) {
        reply_error(c->reply, SLICE("ERR FUNCTION FLUSH only supports SYNC|ASYNC option"));
        return;
    }
    reply_ok(c->reply);
}

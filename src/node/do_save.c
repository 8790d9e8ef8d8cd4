/* SPDX-License-Identifier: BSD-3-Clause */

/* Copies of the data on disk: BGREWRITEAOF, BGSAVE, BACKUP and what INFO tells of them. */
#include "node/call.h"
#include "node/info.h"
#include "node/save.h"
#include "node/state.h"

void node_save(struct call *c)
{
    call_refused(c, "BGSAVE makes a backup while serving goes on");
}

void node_lastsave(struct call *c)
{
    reply_i64(c->reply, c->node->rewrite.past[REWRITE_BACKUP].success.ms / 1000);
}

static bool backup_or_reply(struct call *c, struct slice into)
{
    const char *refused = rewrite_backup(&c->node->rewrite, into, c->node->now, c->node->wall);
    if (refused != NULL)
        reply_error(c->reply, slice_str(refused));
    return refused == NULL;
}

void node_bgsave(struct call *c)
{
    if (c->argc > 2 || (c->argc == 2 && !slice_is(c->argv[1], "schedule"))) {
        call_syntax_error(c);
        return;
    }
    if (backup_or_reply(c, (struct slice){0}))
        reply_simple(c->reply, SLICE("Background saving started"));
}

/* BACKUP dir: the path of what is being written, once its first file is there; INFO tells when it
 * is whole. Inside a transaction nothing is waited for. */
void node_backup(struct call *c)
{
    struct node *n = c->node;
    if (!backup_or_reply(c, c->argv[1]))
        return;
    if (n->in_exec) {
        reply_bulk_str(c->reply, n->rewrite.backup_dir);
        return;
    }
    n->backing_up = c->session;
    session_hold(n, c->session, HELD_BACKUP, MONO_NEVER);
}

void backup_look(struct node *n, struct node_out *out)
{
    const char *refused;
    struct session *s = n->backing_up;
    if (s == NULL)
        return;
    bool opened = rewrite_backup_opened(&n->rewrite, &refused);
    if (!opened && refused == NULL)
        return;
    n->backing_up = NULL;
    struct chain silent = {0};
    struct reply r = session_owed_reply(s, &silent);
    if (opened)
        reply_bulk_str(&r, n->rewrite.backup_dir);
    else
        reply_errorf(&r, "ERR no backup can be made in %s: %s", n->rewrite.backup_dir, refused);
    session_owed_done(n, s, &silent, out);
}

void node_bgrewriteaof(struct call *c)
{
    const char *refused = rewrite_log(&c->node->rewrite, c->node->now);
    if (refused != NULL)
        reply_error(c->reply, slice_str(refused));
    else if (rewrite_is_on(&c->node->rewrite, REWRITE_LOG))
        reply_simple(c->reply, SLICE("Background append only file rewriting started"));
    else
        reply_simple(c->reply, SLICE("Background append only file rewriting scheduled"));
}

/* --------------------------------------------------------------------- INFO */

static int64_t under_way_seconds(const struct node *n, enum rewrite_kind kind)
{
    return rewrite_is_on(&n->rewrite, kind) ? (n->now.us - n->rewrite.begun.us) / 1000000 : -1;
}

static const char *status_of(const struct rewrite_past *past)
{
    return past->ok ? "ok" : "err";
}

void save_put_state(struct buf *b, struct node *n)
{
    const struct rewrite_past *past = &n->rewrite.past[REWRITE_BACKUP];
    struct walk_progress walk = walk_progress(&n->store);
    text_putf(b, "current_save_keys_processed:%zu\r\ncurrent_save_keys_total:%zu\r\n", walk.done,
              walk.total);
    text_putf(b, "rdb_changes_since_last_save:%llu\r\n", (unsigned long long)n->store.changes);
    text_putf(b, "rdb_bgsave_in_progress:%d\r\nrdb_last_save_time:%lld\r\n",
              rewrite_is_on(&n->rewrite, REWRITE_BACKUP), (long long)past->success.ms / 1000);
    text_putf(b,
              "rdb_last_bgsave_status:%s\r\nrdb_last_bgsave_time_sec:%lld\r\nrdb_current_bgsave_"
              "time_sec:%lld\r\n",
              status_of(past), (long long)past->seconds,
              (long long)under_way_seconds(n, REWRITE_BACKUP));
    text_putf(b, "rdb_saves:%llu\r\n", (unsigned long long)n->rewrite.counts[REWRITE_BACKUP]);
    text_put(b, SLICE("rdb_last_cow_size:0\r\nrdb_last_load_keys_expired:0\r\nrdb_last_load_keys_"
                      "loaded:0\r\n"));
}

void save_put_rewrite(struct buf *b, struct node *n)
{
    const struct rewrite *rw = &n->rewrite;
    const struct rewrite_past *past = &rw->past[REWRITE_LOG];
    bool is_on = rewrite_is_on(rw, REWRITE_LOG);
    text_putf(b,
              "aof_rewrite_in_progress:%d\r\naof_rewrite_scheduled:%d\r\naof_last_rewrite_time_sec:"
              "%lld\r\n",
              is_on, rw->wants_log || rw->wants_on, (long long)past->seconds);
    text_putf(b, "aof_current_rewrite_time_sec:%lld\r\naof_last_bgrewrite_status:%s\r\n",
              (long long)under_way_seconds(n, REWRITE_LOG), status_of(past));
    text_putf(b, "aof_rewrites:%llu\r\naof_rewrites_consecutive_failures:%u\r\n",
              (unsigned long long)rw->counts[REWRITE_LOG], rw->failures);
}

void save_put_sizes(struct buf *b, struct node *n)
{
    text_putf(b, "aof_current_size:%llu\r\naof_base_size:%llu\r\n",
              (unsigned long long)rewrite_log_bytes(&n->rewrite),
              (unsigned long long)n->rewrite.base_bytes);
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* The node as a function: one step per event. What each event does is in the file
 * of its subject. */
#include "node/node.h"

#include "base/check.h"
#include "node/cluster.h"
#include "node/migrate.h"
#include "node/seats.h"
#include "node/state.h"
#include "node/stats.h"
#include "node/waiting.h"

enum { WRITE_AT_ONCE_BYTES = 256 * 1024 }; /* so many are written whatever comes behind them */

/* ------------------------------------------------------- what the store tells */

static struct node *node_of(struct store_ops *ops)
{
    return CONTAINER_OF(ops, struct node, store_ops);
}

static void store_touched(struct store_ops *ops, unsigned db, struct slice key)
{
    watch_touched(node_of(ops), db, key);
    migrate_touched(node_of(ops), db, key);
}

static void store_touched_all(struct store_ops *ops, unsigned db, unsigned replaced_by)
{
    watch_touched_all(node_of(ops), db, replaced_by);
    migrate_touched_all(node_of(ops), db, replaced_by);
}

static void store_touched_slot(struct store_ops *ops, unsigned slot)
{
    watch_touched_slot(node_of(ops), slot);
    migrate_touched_slot(node_of(ops), slot);
}

static void store_walked(struct store_ops *ops, unsigned db, const struct entry *e)
{
    rewrite_walked(&node_of(ops)->rewrite, db, e);
}

static void store_told_of_work(struct store_ops *ops)
{
    struct node_world *w = node_of(ops)->world;
    w->worked(w);
}

/* ------------------------------------------------------------ birth and death */

/* Alone everything is one slot in its only epoch, and ours; in a cluster none
 * is, before own_begin. */
static void slots_init(struct node *n)
{
    if (n->options->cluster_enabled) {
        store_init_slotted(&n->store, rng_next(&n->rng), &n->store_ops);
        n->slots = lineages_new(SLOTS);
        for (unsigned slot = 0; slot < SLOTS; slot++)
            store_slot_set_aside(&n->store, slot, true);
        return;
    }
    store_init(&n->store, (unsigned)n->options->databases, rng_next(&n->rng), &n->store_ops);
    n->slots = lineages_new(1);
    n->slots[SLOT_ALONE] = lineage_alone();
    bits_add(&n->owned, SLOT_ALONE);
}

struct node *node_new(const struct node_identity *id, struct options *o, struct log *log,
                      struct node_world *w, struct mono now, struct wall wall)
{
    struct node *n = mem_zero(sizeof(*n));
    n->identity = *id;
    n->options = o;
    n->log = log;
    n->world = w;
    n->now = n->started = now;
    n->wall = wall;
    n->next_cron = now;
    n->store_ops = (struct store_ops){.touched = store_touched,
                                      .touched_all = store_touched_all,
                                      .touched_slot = store_touched_slot,
                                      .walked = store_walked,
                                      .worked = store_told_of_work};
    rng_seed(&n->rng, id->seed);
    list_init(&n->sessions);
    list_init(&n->monitors);
    list_init(&n->waiting);
    list_init(&n->migrations);
    n->seats = seats_new();
    slots_init(n);
    n->cluster = id->in_cluster ? cluster_new(id) : NULL;
    if (n->cluster != NULL)
        n->cluster->replicas = replicas_new(n);
    journal_init(&n->journal, JOURNAL_EVERYSEC, !o->appendonly, n->slots, node_slots_n(n), 0);
    rewrite_init(&n->rewrite, &n->store, &n->journal, log, wall);
    stats_init(n);
    options_applied(n);
    if (o->appendonly)
        load_begin(n);
    return n;
}

void node_free(struct node *n)
{
    while (!list_empty(&n->sessions))
        session_close(n, CONTAINER_OF(n->sessions.next, struct session, in_all));
    seats_free(n->seats);
    cluster_free(n);
    stats_free(n);
    load_free(n);
    rewrite_free(&n->rewrite);
    journal_free(&n->journal);
    effects_free(&n->effects);
    lineages_free(n->slots, node_slots_n(n));
    if (n->wanted != NULL)
        options_trial_free(n->wanted);
    mem_free(n->wanted);
    store_free(&n->store);
    evict_pool_free(&n->evict);
    vec_free(&n->by_conn);
    vec_free(&n->to_flush);
    vec_free(&n->gated);
    heap_free(&n->held);
    mem_free(n);
}

void node_pulse(const struct node *n, struct node_pulse *to)
{
    *to = (struct node_pulse){.has_data =
                                  store_keys_n(&n->store, 0) + store_aside_keys_n(&n->store) > 0,
                              .memory_bytes = n->stats->allocated,
                              .ops_per_s = (uint64_t)rate_of(&n->stats->ops)};
}

struct graves *node_graves(struct node *n)
{
    return &n->store.graves;
}

/* -------------------------------------------------------------------- a step */

static void out_clear(struct node_out *out)
{
    vec_clear(&out->flush);
    vec_clear(&out->drop);
    vec_clear(&out->resume);
    vec_clear(&out->disk);
    vec_clear(&out->dial);
    vec_clear(&out->send);
    vec_clear(&out->hang_up);
    vec_clear(&out->options);
    vec_clear(&out->words);
    vec_clear(&out->seats);
    out->rewrite_config = out->purge_memory = false;
    out->listen = NULL;
    out->sleep_us = 0;
    out->stop = false;
}

void node_out_free(struct node_out *out)
{
    vec_free(&out->flush);
    vec_free(&out->drop);
    vec_free(&out->resume);
    vec_free(&out->disk);
    vec_free(&out->dial);
    vec_free(&out->send);
    vec_free(&out->hang_up);
    vec_free(&out->options);
    vec_free(&out->words);
    vec_free(&out->seats);
}

static void bad_input(struct node *n, uint32_t conn, const char *text)
{
    struct session *s = session_at(n, conn);
    if (session_is_owed(s)) { /* N1: nothing goes before the reply of what it waits for */
        s->closing = true;
        s->bad_input = mem_get(strlen(text) + 1);
        memcpy(s->bad_input, text, strlen(text) + 1);
        return;
    }
    session_reply_bad_input(n, s, text);
    session_close_after_reply(n, s);
}

static void opened(struct node *n, const struct node_event *ev, struct node_out *out)
{
    struct session *s = session_open(n, ev);
    if (ev->opened.use == USE_REPL && !guest_open(n, s, ev)) { /* it is tried again */
        s->closing = true;
        *vec_add(&out->drop) = s->conn;
    }
}

static void closed(struct node *n, struct session *s, struct node_out *out)
{
    migrate_abandon(s, out);
    if (s->routing != NULL && s->routing->own != NULL)
        peer_hang_up(n, s->routing->own, "its client is gone", out);
    session_close(n, s);
}

/* What clients may have waited for. A sync that covers the write was asked for behind it. */
static void journal_timed(struct node *n, const struct disk_done *done)
{
    const struct journal *j = &n->journal;
    if (j->writing && done->token == j->write_token) {
        latency_note(n, LATENCY_AOF_WRITE, done->ns);
        bool pending = j->syncing && !lsn_reached(j->syncing_lsn, j->writing_lsn);
        latency_note(n, pending ? LATENCY_AOF_WRITE_PENDING_FSYNC : LATENCY_AOF_WRITE_ALONE,
                     done->ns);
    } else if (j->syncing && done->token == j->sync_token && j->policy == JOURNAL_ALWAYS) {
        latency_note(n, LATENCY_AOF_FSYNC_ALWAYS, done->ns);
    }
}

static void disk_done(struct node *n, const struct disk_done *ev, struct node_out *out)
{
    struct disk_done done = *ev;
    switch (disk_asker(done.token)) {
    case ASKER_JOURNAL:
        journal_timed(n, &done);
        journal_done(&n->journal, &done, n->now);
        commit_look(n);
        waiting_look(n, out);
        break;
    case ASKER_STEPS:
        rewrite_done(&n->rewrite, &done);
        backup_look(n, out);
        break;
    case ASKER_CATCH_UP: catch_up_done(n, &done); break;
    case ASKER_RAFT: check(!"the controllers' log has a performer of its own"); break;
    }
}

bool node_is_authenticated(const struct node *n, uint32_t conn)
{
    return !session_at(n, conn)->locked;
}

/* The batches of a turn make one write and, under `always`, one commit, which the
 * turn's release begins. */
static bool is_gone_on_with(const struct node *n, const struct node_event *ev)
{
    return ev->type == NODE_REQUESTS &&
           (n->journal.policy == JOURNAL_ALWAYS ||
            (ev->requests.more && journal_bytes(&n->journal) < WRITE_AT_ONCE_BYTES));
}

void node_step(struct node *n, const struct node_event *ev, struct node_out *out)
{
    check(!n->stepping);                  /* N6 */
    check(mono_reached(ev->now, n->now)); /* time is never earlier than last time */
    n->stepping = true;
    n->now = ev->now;
    n->wall = ev->wall;
    n->wall_us = ev->wall_us;
    n->effects.db = n->journal.db;
    store_clock(&n->store, n->wall);
    out_clear(out);
    if (n->cluster != NULL)
        cluster_step_begin(n, ev, out);
    n->cmd_config.keeps_due = !due_may_drop(n);
    switch (ev->type) {
    case NODE_OPENED: opened(n, ev, out); break;
    case NODE_REQUESTS: run_requests(n, ev->requests.at, ev->requests.n, out); break;
    case NODE_GROWS: guest_grows(n, session_at(n, ev->grows)); break;
    case NODE_BAD_INPUT: bad_input(n, ev->bad.conn, ev->bad.text); break;
    case NODE_CLOSED: closed(n, session_at(n, ev->closed), out); break;
    case NODE_ENDED: session_close_after_reply(n, session_at(n, ev->ended)); break;
    case NODE_DISK: disk_done(n, &ev->disk, out); break;
    case NODE_DUE: due_step(n, out); break;
    case NODE_RELEASE: session_release(n, out); break;
    case NODE_DIALED:
        if (!peer_dialed(n, ev->link.link, ev->link.dialed, out) &&
            !replicate_dialed(n, ev->link.link, ev->link.dialed, ev->link.incarnation, out))
            migrate_dialed(n, ev->link.link, ev->link.dialed, out);
        break;
    case NODE_LINK_TOOK:
        if (!peer_took(n, ev->link.link, ev->link.left) &&
            !replicate_took(n, ev->link.link, ev->link.left))
            migrate_took(n, ev->link.link, ev->link.left, out);
        break;
    case NODE_LINK_BYTES:
        if (replicate_bytes(n, ev->link.link, ev->link.in, out))
            waiting_look(n, out);
        else if (!peer_bytes(n, ev->link.link, ev->link.in, out))
            migrate_bytes(n, ev->link.link, ev->link.in, out);
        break;
    case NODE_LINK_CLOSED:
        if (!peer_closed(n, ev->link.link, out) && !replicate_closed(n, ev->link.link))
            migrate_closed(n, ev->link.link, out);
        break;
    case NODE_REWRITTEN: config_rewritten(n, ev->rewrite_failed, out); break;
    case NODE_LISTENING: config_listening(n, ev->listens, out); break;
    case NODE_WORD: cluster_word(n, ev->word, out); break;
    case NODE_SEAT: seats_take(n, ev->seat, out); break;
    case NODE_STOP: stop_begin(n, NULL, false); break;
    case NODE_LOAD_FILE: load_file(n, ev); break;
    case NODE_LOAD_BYTES: load_bytes(n, ev, out); break;
    case NODE_LOAD_END: load_end(n, out); break;
    case NODE_LOG_READY: load_ready(n, ev); break;
    }
    if (n->cluster != NULL)
        cluster_step_end(n, out);
    rewrite_step(&n->rewrite, n->now, n->wall, ev->type == NODE_DUE, &out->disk);
    if (!is_gone_on_with(n, ev))
        journal_flush(&n->journal, n->now, &out->disk);
    commit_look(n);
    commit_let_go(n, out);
    stop_look(n, out);
    if (n->identity.seats_n > 1)
        seats_step_end(n, out);
    out->wake = due_next(n);
    n->stepping = false;
}

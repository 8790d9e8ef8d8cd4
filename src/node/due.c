/* SPDX-License-Identifier: BSD-3-Clause */

/* What is due: the end of waits, expiry, freeing in steps, samples, and the end of the
 * process. (Eviction: memory.c.)
 *
 * Every piece has a budget small enough that a turn stays far under a millisecond; what is left
 * over asks for the next step at once, after the requests that came meanwhile. */
#include "base/check.h"
#include "node/cluster.h"
#include "node/seats.h"
#include "node/waiting.h"
#include "store/expire.h"

enum { LAST_WORDS_US = 500 * 1000 };  /* a proxy that stops: for answers to be read */
enum { CRON_US = 100 * 1000 };        /* samples, clocks: ten times a second */
enum { IDLE_BUDGET_ENTRIES = 1000 };  /* freed in one step: about 100 us */
enum { EXPIRE_BUDGET_ENTRIES = 400 }; /* looked at in one step, of which each may become a DEL */
enum { EXPIRE_AGAIN_US = 1000 };      /* while many are due: between steps of about 100 us */

/* ------------------------------------------------------------------- expiry */

/* Alone it is always ours to say what has expired; else it takes the lease (replication 8). */
bool due_may_drop(const struct node *n)
{
    return !pause_is_on(n) && (n->cluster == NULL || n->cluster->self.leased);
}

bool due_drop(struct node *n, unsigned db, struct key *k)
{
    /* replication 26 */
    bool handing = n->cluster != NULL && bits_has(&n->cluster->handing, k->slot);
    if (!own_has(n, k->slot) || handing)
        return false;
    effect_slot(&n->effects, k->slot);
    effect_del(&n->effects, db, k->s);
    store_drop(&n->store, db, k);
    commit_effects(n);
    return true;
}

static void expire_drop(void *who, unsigned db, struct slice name)
{
    struct node *n = who;
    struct key k = key_of(&n->store, name);
    n->cmd_stats.expired += due_drop(n, db, &k);
}

static void expire_some(struct node *n)
{
    if (!mono_reached(n->now, n->expire_at))
        return;
    n->expire_at = mono_after(n->now, CRON_US);
    if (n->expire_off || n->loading || !due_may_drop(n) || commit_refuses(n) != NULL)
        return;
    uint64_t began = latency_begin(n);
    struct expire_done done =
        expire_step(&n->store, n->wall, EXPIRE_BUDGET_ENTRIES, expire_drop, n);
    latency_end(n, LATENCY_EXPIRE_CYCLE, began);
    if (done.again_ms == 0)
        n->expire_at = mono_after(n->now, EXPIRE_AGAIN_US);
}

/* --------------------------------------------------------------------- stop */

void stop_begin(struct node *n, struct session *asked_by, bool at_once)
{
    if (n->stop_asked)
        return;
    n->stop_asked = true;
    n->stopping = asked_by;
    if (asked_by != NULL)
        session_hold(n, asked_by, HELD_STOP, MONO_NEVER);
    n->stop_until =
        at_once ? n->now : mono_after(n->now, (int64_t)n->options->shutdown_timeout * 1000000);
    if (n->identity.is_proxy) {
        log_say(n->log, LOG_LEVEL_NOTICE,
                "stopping: what is under way is answered, nothing more is taken");
        return;
    }
    log_say(n->log, LOG_LEVEL_NOTICE, "stopping: %s%s",
            n->cluster != NULL && !at_once ? "slots go to who is in sync with them, " : "",
            commit_refuses(n) == NULL ? "everything acknowledged is being made durable"
                                      : "the disk is in trouble");
    journal_sync_soon(&n->journal);
}

bool stop_abort(struct node *n, struct node_out *out)
{
    if (!n->stop_asked)
        return false;
    n->stop_asked = false;
    n->stop_until = MONO_NEVER;
    if (n->stopping != NULL) {
        struct chain silent = {0};
        struct reply r = session_owed_reply(n->stopping, &silent);
        reply_error(&r, SLICE("ERR Errors trying to SHUTDOWN. Check logs."));
        session_owed_done(n, n->stopping, &silent, out);
        n->stopping = NULL;
    }
    return true;
}

/* A proxy's clients wait for no answer, and have been sent what came. */
static bool is_drained(const struct node *n)
{
    for (const struct list *l = n->sessions.next; l != &n->sessions; l = l->next) {
        const struct session *s = CONTAINER_OF(l, struct session, in_all);
        if (s->routing->turns_n > 0 || s->out.n > 0)
            return false;
    }
    return true;
}

static void stop_proxy(struct node *n, struct node_out *out)
{
    seats_give_up(n, out); /* other threads may have ended */
    bool drained = is_drained(n);
    if (!drained && !mono_reached(n->now, n->stop_until))
        return;
    size_t given_up = drained ? 0 : peers_give_up(n, "its proxy was stopped", out);
    if (given_up > 0) {
        log_say(n->log, LOG_LEVEL_WARNING,
                "stopping after shutdown-timeout: %zu requests were not answered by their node, "
                "their clients are told so",
                given_up);
        n->stop_until = mono_after(n->now, LAST_WORDS_US);
        return;
    }
    if (!drained)
        log_say(n->log, LOG_LEVEL_WARNING,
                "stopping with replies that their clients have not read, or not to the end");
    out->stop = true;
    out->exit_code = 0;
}

/* 27: slots go to others, then who forwards goes there. */
static bool waits_for_others(struct node *n)
{
    if (mono_reached(n->now, n->stop_until))
        return false;
    if (!n->loading && !cluster_is_left(n))
        return true;
    if (routed_let_go(n))
        return false;
    /* who has not hung up by then hangs */
    int64_t patience_us = map_timeout_us(&n->cluster->map.settings);
    n->stop_until = mono_earlier(n->stop_until, mono_after(n->now, patience_us));
    return true;
}

void stop_look(struct node *n, struct node_out *out)
{
    if (!n->stop_asked)
        return;
    if (n->identity.is_proxy) {
        stop_proxy(n, out);
        return;
    }
    if (n->cluster != NULL && waits_for_others(n))
        return;
    const struct journal *j = &n->journal;
    const char *why = commit_refuses(n);
    bool failed = why != NULL; /* nobody was told that it is kept */
    if (!failed && !journal_is_idle(j))
        return;
    if (!failed && n->store.is_slotted && !journal_is_ended(j)) {
        journal_end(&n->journal); /* replication 22: its report will count as a member's */
        journal_flush(&n->journal, n->now, &out->disk);
        return;
    }
    if (failed)
        log_say(n->log, LOG_LEVEL_WARNING,
                "stopping with what is not stored: %s of %s failed: %s (errno %d)", j->failed_doing,
                j->file.name, why, j->failed_errno);
    out->stop = true;
    out->exit_code = failed ? 1 : 0;
}

/* --------------------------------------------------------------------- step */

void due_step(struct node *n, struct node_out *out)
{
    waiting_due(n, out);
    expire_some(n);
    memory_step(n);
    if (store_has_idle_work(&n->store))
        store_idle(&n->store, IDLE_BUDGET_ENTRIES);
    if (n->cluster != NULL) {
        replicate_turns(n);
        dump_step(n);
        compare_step(n);
    }
    if (mono_reached(n->now, n->next_cron)) {
        n->next_cron = mono_after(n->now, CRON_US);
        stats_sample(n);
        if (n->cluster != NULL)
            handover_look(n, out);
        rewrite_auto(&n->rewrite, n->now, n->options->auto_aof_rewrite_percentage,
                     (uint64_t)n->options->auto_aof_rewrite_min_size);
    }
}

struct mono due_next(const struct node *n)
{
    if (store_has_idle_work(&n->store) || n->evicting)
        return n->now;
    struct mono due = mono_earlier(n->next_cron, n->expire_at);
    const struct heap_node *first = heap_first(&n->held);
    if (first != NULL)
        due = mono_earlier(due, (struct mono){first->due});
    if (n->stop_asked && !mono_reached(n->now, n->stop_until))
        due = mono_earlier(due, n->stop_until);
    if (n->cluster != NULL)
        due = mono_earlier(due, cluster_due(n));
    return mono_earlier(due,
                        mono_earlier(journal_due(&n->journal), rewrite_due(&n->rewrite, n->now)));
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* Where a write becomes real: what the handlers left as effects becomes one record, gets its place
 * in the slot's history, and goes to the log (replication 1, 3, 8). */
#include <stdio.h>

#include "base/check.h"
#include "node/cluster.h"
#include "node/replicate.h"

static inline void append(struct node *n, unsigned slot, struct chain *bytes, unsigned db)
{
    check(own_has(n, slot)); /* N8 */
    if (commit_is_told(n, slot)) {
        replicate_record(n, slot, bytes, db);
        return;
    }
    struct lsn lsn = journal_append(&n->journal, slot, bytes, db);
    if (n->cluster != NULL)
        repl_record_alone(&n->cluster->replicas->repl, slot, lsn.n);
}

bool commit_is_told(const struct node *n, unsigned slot)
{
    return n->cluster != NULL && repl_has_copies(&n->cluster->replicas->repl, slot);
}

void commit_effects(struct node *n)
{
    struct effects *e = &n->effects;
    if (n->in_exec || e->n == 0)
        return;
    if (e->n > 1)
        effect_wrap(e); /* all or nothing wherever it is read (N3) */
    for (size_t i = 0; i < e->others.n; i++)
        append(n, e->others.at[i].slot, &e->others.at[i].bytes, e->db);
    if (e->n > e->others_n)
        append(n, e->slot, &e->bytes, e->db);
    /* what expired, found by a read: reads go on, nobody waits for it */
    if (commit_refuses(n) != NULL)
        n->gate_floor = n->journal.appended;
    if (e->others.n > 0)
        effects_done(e);
    e->n = e->expired = 0;
}

const char *commit_refuses(const struct node *n)
{
    switch (n->journal.state) {
    case JOURNAL_FULL:
    case JOURNAL_FAILED: return strerror(n->journal.failed_errno);
    case JOURNAL_OFF:
    case JOURNAL_OK: return NULL;
    }
    return NULL;
}

const char *commit_trouble(const struct node *n)
{
    const char *why = commit_refuses(n);
    if (why == NULL && n->journal.state != JOURNAL_OFF &&
        n->rewrite.space < (uint64_t)n->options->disk_reserve)
        why = "less space is left on the device than disk-reserve";
    return why;
}

#define MISCONF "MISCONF Errors writing to the AOF file: "

/* In a cluster replies of reads are refused as well, and who reads that is to know
 * what is meant. */
static void fail_gates(struct node *n, const char *why)
{
    char text[160];
    (void)snprintf(text, sizeof(text), "this node's disk is in trouble: %s", why);
    session_fail_gates(n, n->cluster == NULL ? why : text);
    if (n->cluster == NULL)
        return;
    (void)snprintf(n->cluster->misconf, sizeof(n->cluster->misconf), MISCONF "%s", why);
    replicate_disk_failed(n);
}

void commit_look(struct node *n)
{
    enum journal_state now = n->journal.state;
    if (now == n->disk_seen)
        return;
    const char *why = commit_refuses(n);
    if (why != NULL) {
        log_say(n->log, LOG_LEVEL_WARNING,
                "%s of %s failed: %s (errno %d); writes are refused, reads go on%s",
                n->journal.failed_doing, n->journal.file.name, why, n->journal.failed_errno,
                now == JOURNAL_FULL ? "; tried again every second: make room on the disk"
                                    : "; nothing is tried again over the same pages: once the disk "
                                      "is mended, CONFIG SET appendonly no "
                                      "and then yes, or restart the server");
        fail_gates(n, why);
    } else if (n->disk_seen == JOURNAL_FULL && now == JOURNAL_OK) {
        log_say(n->log, LOG_LEVEL_NOTICE, "the disk has room again: writes are accepted");
    }
    n->disk_seen = now;
}

bool commit_refused_or_reply(struct node *n, const char *before, struct reply *r)
{
    const char *why = commit_trouble(n);
    if (why == NULL)
        return false;
    reply_errorf(r, "%s" MISCONF "%s", before, why);
    return true;
}

/* ---------------------------------------------------- how great a record may be */

enum {
    RECORD_FRAME_BYTES = 128,
    ARG_FRAME_BYTES = 16
}; /* its line, MULTI and EXEC, words of the effect's own; "$...", "\r\n" */

uint64_t commit_record_bytes(const struct slice *argv, uint32_t argc)
{
    uint64_t bytes = RECORD_FRAME_BYTES;
    for (uint32_t i = 0; i < argc; i++)
        bytes += ARG_FRAME_BYTES + argv[i].n;
    return bytes;
}

bool commit_is_too_great(const struct node *n, uint64_t bytes)
{
    return n->cluster != NULL && bytes > (uint64_t)n->options->max_record;
}

bool commit_too_great_or_reply(const struct node *n, const char *before, uint64_t bytes,
                               struct reply *r)
{
    if (!commit_is_too_great(n, bytes))
        return false;
    reply_errorf(
        r,
        "%sits record of up to %llu bytes is over max-record (%llu): write in parts, as by APPEND",
        before, (unsigned long long)bytes, (unsigned long long)n->options->max_record);
    return true;
}

/* -------------------------------------------------------------- a disk that is behind */

bool commit_is_behind(const struct node *n)
{
    return rewrite_is_full(&n->rewrite) || journal_is_behind(&n->journal);
}

bool commit_holds(const struct node *n)
{
    return commit_is_behind(n) || memory_holds(n) ||
           (n->cluster != NULL && (dump_holds(n) || replicate_holds(n)));
}

void commit_let_go(struct node *n, struct node_out *out)
{
    if (!n->writers_held || commit_is_behind(n))
        return;
    n->writers_held = commit_holds(n);
    for (struct list *l = n->sessions.next; l != &n->sessions; l = l->next) {
        struct session *s = CONTAINER_OF(l, struct session, in_all);
        if (s->held == HELD_MEMORY && (!n->writers_held || s->guest != NULL))
            session_let_go(n, s, out);
    }
}

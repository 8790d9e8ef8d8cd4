/* SPDX-License-Identifier: BSD-3-Clause */

/* As replica: dumps that are built aside and swapped in (replication 23, 24). */
#include "base/check.h"
#include "node/cluster.h"
#include "node/slot_dump.h"
#include "node/replay.h"
#include "node/replicate.h"

/* With more waiting for the disk, or to be synced, nothing is pulled: else a write(2) would
 * wait for gigabytes. */
enum { PENDING_BYTES = 4 * 1024 * 1024, UNSYNCED_BYTES = 32 * 1024 * 1024 };

static struct replicas *of(const struct node *n)
{
    return n->cluster->replicas;
}

static struct dump_in *in_of(const struct node *n, uint16_t place, const struct repl_round *in)
{
    for (unsigned i = 0; i < DUMPS_AT_ONCE; i++) {
        struct dump_in *d = &of(n)->in[i];
        if (d->used && d->place == place && repl_round_is(&d->in, in))
            return d;
    }
    return NULL;
}

static unsigned number_of(const struct node *n, const struct dump_in *d)
{
    return (unsigned)(d - of(n)->in);
}

static void in_drop(struct node *n, struct dump_in *d)
{
    store_spare_flush(&n->store, number_of(n, d));
    d->used = false;
}

/* ---------------------------------------------------------------------- log */

/* <word> slot epoch seq <fourth> (epoch first-seq)...; without a record there is no history. */
static void note_whole(struct node *n, struct slice word, const struct repl_dumped *m,
                       struct slice fourth)
{
    struct effects e = {0};
    unsigned starts_n = m->at.seq > 0 ? m->starts_n : 0;
    effect_begin(&e, 0, 5 + 2 * starts_n);
    effect_arg(&e, word);
    effect_arg_i64(&e, m->in.slot);
    effect_arg_i64(&e, (int64_t)m->at.epoch);
    effect_arg_i64(&e, (int64_t)m->at.seq);
    effect_arg(&e, fourth);
    for (unsigned i = 0; i < starts_n; i++) {
        effect_arg_i64(&e, (int64_t)m->starts[i].epoch);
        effect_arg_i64(&e, (int64_t)m->starts[i].first);
    }
    journal_mark(&n->journal, &e.bytes);
    effects_free(&e);
}

/* VONG.PART spare slot part commands */
static void note_part(struct node *n, const struct dump_in *d, struct slice commands)
{
    struct effects e = {0};
    effect_begin(&e, 0, 5);
    effect_arg(&e, SLICE("VONG.PART"));
    effect_arg_i64(&e, number_of(n, d));
    effect_arg_i64(&e, d->in.slot);
    effect_arg_i64(&e, d->parts);
    effect_arg(&e, commands);
    journal_mark(&n->journal, &e.bytes);
    effects_free(&e);
}

/* -------------------------------------------------------------------- parts */

/* What was applied did not do what it did at the primary: all of it is worth nothing. */
static void is_bad(struct node *n, unsigned slot, const char *why)
{
    log_say(n->log, LOG_LEVEL_WARNING, "slot %u: %s in a dump. It is fetched anew", slot, why);
    repl_sync_again(&of(n)->repl, slot);
}

/* False: it was given up; *malformed, if the link is to end, too. */
static bool fill(struct node *n, struct dump_in *d, struct slice commands, const char **malformed)
{
    const struct aof_command *failed;
    aof_batch_clear(&of(n)->batch);
    if (aof_commands(commands, &of(n)->batch) != ERR_OK) {
        *malformed = "a dump holds what is no command";
        return false;
    }
    store_spare_swap(&n->store, number_of(n, d), d->in.slot);
    const char *why = replay_batch(n, &of(n)->batch, d->in.slot, &failed);
    store_spare_swap(&n->store, number_of(n, d), d->in.slot);
    if (why != NULL) {
        in_drop(n, d);
        is_bad(n, d->in.slot, why);
        *malformed = why == replay_foreign ? why : NULL;
        return false;
    }
    note_part(n, d, commands);
    d->parts++;
    return true;
}

const char *dump_part(struct node *n, struct repl_guest *g, const struct repl_dump *m)
{
    const char *malformed = NULL;
    struct dump_in *d = in_of(n, g->place, &m->in);
    if (d == NULL || !repl_may_swap(&of(n)->repl, g->place, &m->in))
        return NULL; /* of one that was given up */
    if (m->part != d->parts)
        return "a part of a dump is missing";
    (void)fill(n, d, m->bytes, &malformed);
    return malformed;
}

/* ---------------------------------------------------------------------- swap */

static bool take_position(struct node *n, const struct repl_dumped *m)
{
    struct lineage *l = &n->slots[m->in.slot];
    if (m->at.seq > 0)
        return lineage_set(l, m->at, m->starts, m->starts_n);
    lineage_clear(l);
    return true;
}

/* A dump of one part: the slot is what it says from here on, in memory and in the log. */
static const char *take_at_once(struct node *n, const struct repl_dumped *m)
{
    const struct aof_command *failed;
    aof_batch_clear(&of(n)->batch);
    if (aof_commands(m->bytes, &of(n)->batch) != ERR_OK)
        return "a dump holds what is no command";
    if (!take_position(n, m))
        return "a dump's history is none";
    store_slot_flush(&n->store, m->in.slot);
    const char *why = replay_batch(n, &of(n)->batch, m->in.slot, &failed);
    if (why != NULL) {
        store_slot_flush(&n->store, m->in.slot);
        lineage_clear(&n->slots[m->in.slot]); /* what it is not it does not report to be (20) */
        n->slots[m->in.slot].frozen = true;
        is_bad(n, m->in.slot, why);
        return why == replay_foreign ? why : NULL;
    }
    note_whole(n, SLICE("VONG.DUMP"), m, m->bytes);
    of(n)->dumps_in++;
    return NULL;
}

static const char *take_built(struct node *n, struct dump_in *d, const struct repl_dumped *m)
{
    char text[NUM_I64_CHARS];
    const char *malformed = NULL;
    unsigned spare = number_of(n, d);
    if (m->parts != d->parts)
        return "a part of a dump is missing";
    if (!fill(n, d, m->bytes, &malformed))
        return malformed;
    if (!take_position(n, m))
        return "a dump's history is none";
    store_spare_take(&n->store, spare, m->in.slot);
    note_whole(n, SLICE("VONG.PARTS"), m, slice_of(text, num_put_u64(text, spare)));
    d->used = false;
    of(n)->dumps_in++;
    return NULL;
}

const char *dump_whole(struct node *n, struct repl_guest *g, const struct repl_dumped *m)
{
    struct dump_in *d = in_of(n, g->place, &m->in);
    if (!repl_may_swap(&of(n)->repl, g->place, &m->in))
        return NULL; /* 2, 23 */
    if (d != NULL)
        return take_built(n, d, m);
    return m->parts == 0 ? take_at_once(n, m) : NULL;
}

/* --------------------------------------------------------------------- pulls */

static void say_pull(struct node *n, struct dump_in *d)
{
    struct session *s = of(n)->guests.at[d->place];
    d->told = d->parts;
    put_repl(&s->out,
             &(struct repl_message){.type = REPL_PULL, .pull = {.in = d->in, .parts = d->parts}});
    session_produced(n, s);
}

static bool disk_keeps_up(struct node *n)
{
    struct journal *j = &n->journal;
    bool keeps_up = !j->file.open || j->file.size - j->file.durable < UNSYNCED_BYTES;
    if (!keeps_up && j->state != JOURNAL_OFF)
        journal_sync_soon(j);
    return (keeps_up || j->state == JOURNAL_OFF) && j->pending.n < PENDING_BYTES;
}

static bool any_in(const struct replicas *r)
{
    bool any = false;
    for (unsigned i = 0; i < DUMPS_AT_ONCE; i++)
        any |= r->in[i].used;
    return any;
}

void dump_in_look(struct node *n)
{
    struct replicas *r = of(n);
    bool takes = (any_in(r) || r->repl.offers) && disk_keeps_up(n);
    for (unsigned i = 0; i < DUMPS_AT_ONCE; i++) {
        struct dump_in *d = &r->in[i];
        if (d->used && !repl_may_swap(&r->repl, d->place, &d->in))
            in_drop(n, d); /* 23: a new epoch, a fence, a new session, a newer one */
        if (d->used && d->parts > d->told && takes)
            say_pull(n, d);
        /* one that begins would be cut in two by a log that begins */
        if (!d->used && takes && !rewrite_is_beginning(&n->rewrite) &&
            repl_pull_next(&r->repl, &d->place, &d->in)) {
            d->used = true;
            d->parts = 0;
            say_pull(n, d);
        }
    }
    n->rewrite.must_wait = any_in(r);
}

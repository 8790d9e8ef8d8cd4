/* SPDX-License-Identifier: BSD-3-Clause */

/* Copies of slots are compared (replication 29). */
#include "node/compare.h"

#include <stdio.h>

#include "node/cluster.h"
#include "node/latency.h"
#include "node/own.h"
#include "node/replicate.h"

enum { STEP_ENTRIES = 256, STEP_BYTES = 2 * DIGEST_PIECE_BYTES }; /* about 0.2 ms */
enum { REST_US = 2000 }; /* between steps: a tenth of the processor, 60 MB/s */
/* With more keys noted the writers are faster than that: no rest. */
enum { HURRY_NOTED = 4096 };

static struct replicas *of(const struct node *n)
{
    return n->cluster->replicas;
}

/* ------------------------------------------------------------------- a digest */

static void answer(struct node *n, uint16_t place, const struct repl_round *in, uint64_t number,
                   const uint64_t *sum)
{
    struct session *s = place < of(n)->guests.n ? of(n)->guests.at[place] : NULL;
    struct repl_message m = {.type = REPL_DIGESTED,
                             .digested = {.in = *in, .number = number, .has = sum != NULL}};
    if (s == NULL || s->closing)
        return;
    for (unsigned i = 0; sum != NULL && i < 2; i++)
        m.digested.sum[i] = sum[i];
    put_repl(&s->out, &m);
    session_produced(n, s);
}

static void end(struct node *n)
{
    struct compare *c = &of(n)->compare;
    const uint64_t *sum = c->digest.is_void ? NULL : c->digest.sum;
    if (c->own)
        scrub_own(&of(n)->repl, sum);
    else if (scrub_is_asked(&of(n)->repl, c->place, &c->in))
        answer(n, c->place, &c->in, c->number, sum);
    compare_free(n);
}

void compare_free(struct node *n)
{
    struct compare *c = &of(n)->compare;
    if (c->used)
        slot_digest_end(&n->store, &c->digest);
    c->used = false;
}

static void begin(struct node *n, bool own, uint16_t place, const struct repl_digest *ask)
{
    struct compare *c = &of(n)->compare;
    *c = (struct compare){.used = true,
                          .own = own,
                          .place = place,
                          .in = ask->in,
                          .number = ask->number,
                          .next = n->now};
    slot_digest_begin(&n->store, &c->digest, ask->in.slot, ask->key);
    compare_step(n);
}

void compare_step(struct node *n)
{
    struct compare *c = &of(n)->compare;
    if (!c->used || !mono_reached(n->now, c->next))
        return;
    uint64_t began = latency_begin(n);
    bool over = slot_digest_step(&n->store, &c->digest, STEP_ENTRIES, STEP_BYTES);
    latency_end(n, LATENCY_SCRUB_CYCLE, began);
    c->next = mono_after(n->now, c->digest.noted_n > HURRY_NOTED ? 0 : REST_US);
    if (over)
        end(n);
}

/* ---------------------------------------------------------------- as replica */

void compare_asked(struct node *n, struct repl_guest *g, const struct repl_digest *m)
{
    if (of(n)->compare.used || !scrub_may_digest(&of(n)->repl, g->place, m))
        answer(n, g->place, &m->in, m->number, NULL);
    else
        begin(n, false, g->place, m);
}

void compare_bad(struct node *n, struct repl_guest *g, const struct repl_bad *m)
{
    struct bits slots = {0};
    if (!scrub_may_reset(&of(n)->repl, g->place, &m->in, m->map))
        return; /* it is said again */
    log_say(n->log, LOG_LEVEL_WARNING,
            "scrubbing: the copy of slot %u here is not what other nodes have: it is deleted and "
            "fetched anew",
            (unsigned)m->in.slot);
    bits_add(&slots, m->in.slot);
    own_drop(n, &slots);
    repl_sync_again(&of(n)->repl, m->in.slot);
}

/* ---------------------------------------------------------------- as primary */

enum { NAME_BYTES = IP_BYTES + 8, NAMES_BYTES = MAP_REPLICAS * NAME_BYTES };

static const char *names(const struct node *n, const struct scrub_found *f, char to[NAMES_BYTES])
{
    size_t at = 0;
    to[0] = '\0';
    for (unsigned i = 0; i < f->n; i++) {
        const struct endpoint *e = &n->cluster->map.nodes.at[f->at[i]].at;
        at += (size_t)snprintf(to + at, NAME_BYTES, "%s%s:%u", i > 0 ? " " : "", e->ip,
                               (unsigned)e->port);
    }
    return to;
}

static void say(struct node *n, const struct scrub_found *f)
{
    char who[NAMES_BYTES];
    unsigned slot = f->slot;
    switch (f->verdict) {
    case SCRUB_EQUAL:
    case SCRUB_VOID:
    case SCRUB_DIFFER: return;
    case SCRUB_ALARM:
        log_say(n->log, LOG_LEVEL_WARNING,
                "scrubbing: the %u copies of slot %u are not equal, and none is in the majority, "
                "so that nobody can tell which are right: all are kept. CLUSTER SCRUB %u DISCARD "
                "<node-id> has a copy fetched anew from here; others: %s",
                f->copies, slot, slot, names(n, f, who));
        return;
    case SCRUB_OTHERS:
        log_say(n->log, LOG_LEVEL_WARNING,
                "scrubbing: of %u copies of slot %u these are not equal to most: %s. They are "
                "fetched anew",
                f->copies, slot, names(n, f, who));
        return;
    case SCRUB_MINE:
        log_say(n->log, LOG_LEVEL_WARNING,
                "scrubbing: of %u copies of slot %u the one here is not equal to most: the slot "
                "goes to another node, and the copy is then fetched anew",
                f->copies, slot);
        return;
    }
}

void compare_look(struct node *n)
{
    struct replicas *r = of(n);
    struct scrub_found found;
    struct repl_digest ask;
    scrub_period(&r->repl, n->options->cluster_scrub_period * 1000000);
    if (scrub_judge(&r->repl, &found))
        say(n, &found);
    if (r->compare.used || !n->cluster->self.leased || n->cluster->leaves ||
        !mono_reached(n->now, scrub_due(&r->repl)))
        return;
    struct hash_key random = {rng_next(&n->rng), rng_next(&n->rng)};
    if (scrub_begin(&r->repl, random, &ask))
        begin(n, true, n->cluster->self.place, &ask);
}

struct mono compare_due(const struct node *n)
{
    const struct compare *c = &of(n)->compare;
    return c->used                                          ? c->next
           : n->cluster->self.leased && !n->cluster->leaves ? scrub_due(&of(n)->repl)
                                                            : MONO_NEVER;
}

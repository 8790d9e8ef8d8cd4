/* SPDX-License-Identifier: BSD-3-Clause */

/* In a cluster, each request is asked first whose it is.
 *
 * Most are ours, or nobody's: they run as they do alone, and their reply is marked with the slot.
 * What is another's becomes a turn and a flight, or a refusal. A connection of another node's is
 * never forwarded for: its commands run here, or are refused. */
#include <stdio.h>

#include "base/check.h"
#include "node/cluster.h"
#include "node/seats.h"

static const double chance_is_out_bits = 64; /* cluster.md, "Routing" */

/* ------------------------------------------------------------- who asks, and how */

enum route_asker routed_asker(const struct node *n, const struct session *s)
{
    const struct routing *r = s->routing;
    if (r->forward != 0)
        return ROUTE_PEER;
    switch (n->options->cluster_routing) {
    case CLUSTER_ROUTING_FORWARD: return ROUTE_PLAIN;
    case CLUSTER_ROUTING_REDIRECT: return ROUTE_AWARE;
    case CLUSTER_ROUTING_AUTO: break;
    }
    return (enum route_asker)r->asker;
}

static void settle(struct routing *r, enum route_asker asker)
{
    r->asker = (uint8_t)asker;
    r->settled = true;
    mem_free(r->seen);
    r->seen = NULL;
}

void routed_says_cluster(struct session *s)
{
    if (s->routing->forward == 0)
        settle(s->routing, ROUTE_AWARE);
}

/* Who asks for this node's slots alone, over so many that it cannot be chance, knows the map. */
static void learn(const struct node *n, struct routing *r, unsigned slot)
{
    const struct cluster *c = n->cluster;
    if (c->served[slot] == 0) {
        settle(r, ROUTE_PLAIN);
        return;
    }
    if (c->mine_n == SLOTS)
        return;
    if (r->seen == NULL)
        r->seen = mem_zero(sizeof(*r->seen));
    if (bits_has(r->seen, slot))
        return;
    bits_add(r->seen, slot);
    r->chance_bits += c->slot_bits;
    if (r->chance_bits >= chance_is_out_bits)
        settle(r, ROUTE_AWARE);
}

/* As run_request does for what runs here. */
bool routed_silent(struct session *s)
{
    if (s->reply_mode == REPLY_SKIP_NEXT)
        s->reply_mode = REPLY_SKIP;
    bool silent = s->reply_mode != REPLY_ON;
    if (s->reply_mode == REPLY_SKIP)
        s->reply_mode = REPLY_ON;
    return silent;
}

/* ------------------------------------------------------------------ refusals */

static void put_refusal(struct node *n, struct session *s, struct chain *bytes,
                        struct node_out *out)
{
    struct turn *t = turn_new(s, bytes->n);
    t->silent = routed_silent(s);
    chain_append(&t->bytes, bytes);
    t->replies = 1;
    t->done = true;
    multi_refused(n, s, NULL);
    s->active = n->now;
    turns_deliver(n, s, out);
}

void routed_refuse(struct node *n, struct session *s, const char *text, struct node_out *out)
{
    struct chain bytes = {0};
    struct reply r = {.out = &bytes, .protocol = s->protocol};
    reply_error(&r, slice_str(text));
    stats_error(n, r.error_code);
    put_refusal(n, s, &bytes, out);
}

void routed_refuse_down(struct node *n, struct session *s, const char *why, struct node_out *out)
{
    struct chain bytes = {0};
    struct reply r = {.out = &bytes, .protocol = s->protocol};
    reply_errorf(&r, "CLUSTERDOWN %s", why);
    stats_error(n, r.error_code);
    put_refusal(n, s, &bytes, out);
}

void routed_refuse_moved(struct node *n, struct session *s, unsigned slot, uint16_t place,
                         struct node_out *out)
{
    struct chain bytes = {0};
    struct reply r = {.out = &bytes, .protocol = s->protocol};
    reply_moved(n, &r, slot, place);
    stats_error(n, r.error_code);
    put_refusal(n, s, &bytes, out);
}

static const char *why_thin(const struct node *n, unsigned slot, uint32_t flags, uint32_t asked)
{
    bool writes = (flags & CMD_WRITE) != 0;
    const struct repl *r = &n->cluster->replicas->repl;
    if (writes && repl_is_unstored(r, slot) && commit_refuses(n) != NULL)
        return n->cluster->misconf;
    /* 28: gone if this run ends before it is stored, so nobody may know of it */
    if (!writes && repl_is_unstored(r, slot))
        return n->journal.state == JOURNAL_FAILED
                   ? "CLUSTERDOWN the newest write is not on this node's disk, which failed: once "
                     "that is mended, CONFIG SET appendonly no and then yes"
                   : "CLUSTERDOWN the newest write is not on this node's disk, which is full: make "
                     "room on it";
    if (writes ? repl_refuses(r, slot, asked) : repl_refuses_read(r, slot, asked))
        return writes ? "NOREPLICAS Not enough good replicas to write."
                      : "NOREPLICAS Not enough good replicas to read.";
    if ((flags & CMD_DENYOOM) && repl_is_full(r, slot))
        return "OOM command not allowed when used memory > 'maxmemory' at a node with a copy.";
    return NULL;
}

const char *routed_thin(const struct node *n, unsigned slot, uint32_t flags, uint32_t asked)
{
    const struct cluster *c = n->cluster;
    const char *why = NULL;
    if (slot < SLOTS)
        return (asked != REPL_ASKS_NOTHING && c->served[slot] != 0) || bits_has(&c->thin, slot)
                   ? why_thin(n, slot, flags, asked)
                   : NULL;
    for (unsigned i = bits_next(&c->thin, 0); i < SLOTS && why == NULL;
         i = bits_next(&c->thin, i + 1))
        why = why_thin(n, i, flags, REPL_ASKS_NOTHING);
    return why;
}

/* Who forwards would ask again on CLUSTERDOWN, as if its slot were moving. */
static void refuse_thin(struct node *n, struct session *s, unsigned slot, const char *why,
                        struct node_out *out)
{
    char text[256];
    size_t code = strcspn(why, " ");
    bool passes =
        s->routing->forward == 0 || !slice_equal(slice_of(why, code), SLICE("CLUSTERDOWN"));
    if (!passes)
        routed_refused(s, slot);
    (void)snprintf(text, sizeof(text), "%s%s", passes ? "" : "UNSERVED", passes ? why : why + code);
    routed_refuse(n, s, text, out);
}

/* ------------------------------------------- connections of those who forward */

void routed_refused(struct session *s, unsigned slot)
{
    struct routing *r = s->routing;
    if (r->forward == 0)
        return;
    r->refused_n++;
    if (slot >= SLOTS)
        return;
    for (size_t i = 0; i < r->refused.n; i++) {
        if (r->refused.at[i].slot == slot) {
            r->refused.at[i].at = r->refused_n;
            return;
        }
    }
    *vec_add(&r->refused) = (struct refused_slot){.slot = (uint16_t)slot, .at = r->refused_n};
}

/* Sent before its sender knew that an earlier one of the slot was refused? */
static bool overtakes(struct routing *r, unsigned slot)
{
    size_t kept = 0;
    bool found = false;
    for (size_t i = 0; i < r->refused.n; i++) {
        if (r->refused.at[i].at <= r->for_now.refused)
            continue; /* all that comes now was sent by one who knew */
        found |= r->refused.at[i].slot == slot;
        r->refused.at[kept++] = r->refused.at[i];
    }
    r->refused.n = kept;
    if (kept == 0)
        vec_free(&r->refused);
    return found;
}

static void take_for(struct node *n, struct session *s, const struct request *q,
                     struct node_out *out)
{
    if (forward_for_get(q->argv, q->argc, &s->routing->for_now))
        return;
    log_say(n->log, LOG_LEVEL_WARNING,
            "A node at %s sent a VONG.FOR that cannot be read; its connection is closed", s->peer);
    s->closing = true;
    *vec_add(&out->drop) = s->conn;
}

/* What is on its way here would be of unknown fate at this node's end. */
bool routed_let_go(struct node *n)
{
    bool none = true;
    for (struct list *l = n->sessions.next; l != &n->sessions; l = l->next) {
        struct session *s = CONTAINER_OF(l, struct session, in_all);
        if (s->routing->forward == 0 || s->closing)
            continue;
        none = false;
        if (s->routing->let_go || session_is_owed(s) || s->routing->turns_n > 0)
            continue;
        struct reply r = session_reply(s);
        reply_error(
            &r,
            SLICE("STOPPED this node is being stopped: nothing more of this connection is run"));
        s->fresh_replies++;
        s->routing->let_go = true;
        session_produced(n, s);
    }
    return none;
}

/* ------------------------------------------------------------------ one slot */

/* At a proxy, MONITOR shows what its clients ask, wherever it runs. */
static void show(struct node *n, const struct session *s, const struct request *q)
{
    if (n->identity.is_proxy && node_is_monitored(n))
        monitor_feed(n, s, q->argv, q->argc);
}

static void fly(struct node *n, struct session *s, const struct spec *spec, const struct request *q,
                unsigned slot, struct node_out *out)
{
    struct turn *t = turn_new(s, q->bytes);
    t->silent = routed_silent(s);
    s->active = n->now;
    s->last = spec;
    show(n, s, q);
    struct flight *f = flight_new(n, t, spec, q, slot);
    f->on_own = spec->id == SPEC_MIGRATE || (spec->flags & CMD_BLOCKING) != 0;
    f->held_us = f->on_own ? -1 : 0;
    flight_go(n, f, out);
}

/* Without a watch, commands that read no data tell of no slot, whatever is under way in others. */
static enum mark_kind kind_of_exec(const struct session *s)
{
    uint32_t flags = s->multi != NULL ? s->multi->flags : 0;
    if ((flags & CMD_WRITE) != 0)
        return MARK_WRITE;
    bool tells = (flags & (CMD_READONLY | CMD_MAY_REPLICATE)) != 0 || !list_empty(&s->watches) ||
                 (s->multi != NULL && s->multi->dirty);
    return tells ? MARK_READ : MARK_FREE;
}

/* Its reply will wait in a turn if others are before it. */
enum routed routed_run(struct session *s, struct routed_here *here, unsigned slot,
                       const struct spec *spec)
{
    /* +QUEUED tells nothing of a slot */
    bool queued = s->in_multi && (spec == NULL || spec->id != SPEC_EXEC);
    bool data = !queued && spec != NULL &&
                (spec->flags & (CMD_WRITE | CMD_READONLY | CMD_MAY_REPLICATE)) != 0;
    here->slot = (uint16_t)slot;
    here->kind = !data ? MARK_FREE : (spec->flags & CMD_READONLY) != 0 ? MARK_READ : MARK_WRITE;
    if (spec != NULL && spec->id == SPEC_EXEC)
        here->kind = kind_of_exec(s);
    here->begin = s->out.put;
    here->fresh = s->fresh_replies;
    here->turn = NULL;
    if (s->routing->turns_n > 0) {
        here->turn = turn_new(s, 0);
        s->aside = &here->turn->bytes;
    }
    return ROUTED_RUN;
}

/* What is loaded are the slots it served last; without a map it does not know which those are. Who
 * forwards takes it for one that serves: to be tried again, where nothing ran. */
static bool is_loading(const struct node *n, unsigned slot, enum route_asker who)
{
    const struct cluster *c = n->cluster;
    return n->loading && (who == ROUTE_PEER || map_last(&c->map.slots[slot]) == c->self.place);
}

static enum routed one_slot(struct node *n, struct session *s, const struct spec *spec,
                            const struct request *q, unsigned slot, struct routed_here *here,
                            struct node_out *out)
{
    struct cluster *c = n->cluster;
    struct routing *r = s->routing;
    if (!r->settled)
        learn(n, r, slot);
    enum route_asker who = routed_asker(n, s);
    bool overtaking = who == ROUTE_PEER && overtakes(r, slot);
    if (who == ROUTE_PEER && (overtaking || r->for_now.epoch > c->map.slots[slot].epoch)) {
        if (!overtaking)
            routed_refused(s, slot);
        else
            r->refused_n++; /* the slot's count stays: what is sent again in order passes */
        routed_refuse(n, s, "TRYAGAIN the map is on its way", out);
        return ROUTED_TAKEN;
    }
    if (is_loading(n, slot, who)) {
        routed_refused(s, slot);
        routed_refuse(n, s, "LOADING Redis is loading the dataset in memory", out);
        return ROUTED_TAKEN;
    }
    struct route to =
        route_slot(&c->self, slot, who, r->readonly && (spec->flags & CMD_READONLY) != 0);
    if (s->in_multi && (to.to == ROUTE_HERE || to.to == ROUTE_FORWARD ||
                        (to.to == ROUTE_DOWN && to.soon && who == ROUTE_PLAIN)))
        return routed_run(s, here, slot, spec); /* it is queued: EXEC asks again */
    /* nothing of a transaction flies before EXEC */
    bool waits =
        !s->in_multi && (bits_has(&c->handing, slot) || (r->turns_n > 0 && flight_any(n, s, slot)));
    const char *thin = routed_thin(n, slot, spec->flags, routed_asked(s));
    if (to.to == ROUTE_HERE && !waits && thin != NULL) {
        refuse_thin(n, s, slot, thin, out);
        return ROUTED_TAKEN;
    }
    if (to.to == ROUTE_HERE && !waits)
        return routed_run(s, here, slot, spec);
    if (!waits && to.to == ROUTE_MOVED) {
        routed_refused(s, slot);
        routed_refuse_moved(n, s, slot, to.peer, out);
    } else if (to.to == ROUTE_DOWN && !waits && (who == ROUTE_PEER || s->in_multi || !to.soon)) {
        routed_refused(s, slot);
        routed_refuse_down(n, s, to.why, out);
    } else {
        fly(n, s, spec, q, slot, out);
    }
    return ROUTED_TAKEN;
}

/* ------------------------------------------------------------------- requests */

void routed_hold(struct node *n, struct session *s, bool drains)
{
    s->routing->drains |= drains;
    session_hold(n, s, HELD_ROUTE, MONO_NEVER);
}

/* What is too great for a record need not travel first. */
static bool is_refused_anyway(const struct node *n, const struct session *s,
                              const struct spec *spec, const struct request *q)
{
    return spec == NULL || !spec_arity_fits(spec, q->argc) || spec->handler == SPEC_CONTAINER ||
           s->locked || (s->in_multi && (spec->flags & CMD_NO_MULTI) != 0) ||
           ((spec->flags & CMD_WRITE) != 0 && (spec->flags & CMD_SPLITS) == 0 &&
            commit_is_too_great(n, commit_record_bytes(q->argv, q->argc)));
}

static enum routed many_slots(struct node *n, struct session *s, const struct spec *spec,
                              const struct request *q, struct node_out *out)
{
    struct routing *r = s->routing;
    enum route_asker who = routed_asker(n, s);
    if (!r->settled)
        settle(r, ROUTE_PLAIN); /* no cluster library sends such a one */
    bool redirects = n->options->cluster_routing == CLUSTER_ROUTING_REDIRECT;
    if ((spec->flags & CMD_SPLITS) == 0 || who == ROUTE_PEER || redirects || s->in_multi) {
        routed_refuse(n, s, route_crossslot, out);
    } else if ((spec->flags & CMD_WRITE) != 0 &&
               gather_is_too_great(n, spec, q)) { /* else some parts would run */
        routed_refuse(n, s,
                      "ERR the record of one of its slots would be over max-record: write in parts",
                      out);
    } else {
        show(n, s, q);
        gather_begin(n, s, spec, q, out);
    }
    return ROUTED_TAKEN;
}

/* DBSIZE, KEYS, SCAN ... of the whole cluster. Nothing of the session is before them
 * or behind them. */
static enum routed all_slots(struct node *n, struct session *s, const struct spec *spec,
                             const struct request *q, struct node_out *out)
{
    if (s->in_multi) { /* to count, or to flush, a part and say nothing would be worse */
        char text[128];
        (void)snprintf(text, sizeof(text),
                       "CROSSSLOT %s is of all nodes, and a transaction of one slot", spec->name);
        routed_refuse(n, s, text, out);
        return ROUTED_TAKEN;
    }
    if (s->routing->turns_n > 0) {
        routed_hold(n, s, true);
        return ROUTED_HELD;
    }
    show(n, s, q);
    gather_wide(n, s, spec, q, out);
    return ROUTED_TAKEN;
}

static enum routed no_slot(struct node *n, struct session *s, const struct spec *spec,
                           const struct request *q, struct routed_here *here, struct node_out *out)
{
    bool waits = spec->id == SPEC_WAIT || spec->id == SPEC_WAITAOF;
    bool data =
        waits || (spec->handler == SPEC_DATA && (spec->flags & (CMD_WRITE | CMD_READONLY)) != 0);
    bool is_proxy = n->identity.is_proxy;
    if (data && !is_proxy && !n->cluster->self.leased) { /* replication 7: it tells of slots */
        routed_refuse_down(n, s, "this node has lost contact with the cluster", out);
        return ROUTED_TAKEN;
    }
    bool counts = data && !waits && !s->in_multi;
    const char *thin = counts ? routed_thin(n, SLOT_ANY, spec->flags, REPL_ASKS_NOTHING) : NULL;
    if (thin != NULL) {
        refuse_thin(n, s, SLOT_ANY, thin, out);
        return ROUTED_TAKEN;
    }
    if (waits && !s->in_multi && (is_proxy || s->routing->wrote.n > 0)) {
        gather_waits(n, s, spec, q, out);
        return ROUTED_TAKEN;
    }
    (void)routed_run(s, here, waits ? SLOT_LEASE : SLOT_ANY, spec);
    if (waits && !s->in_multi)
        here->kind = MARK_READ;
    return ROUTED_RUN;
}

enum routed routed_begin(struct node *n, struct session *s, const struct spec *spec,
                         struct request *q, struct routed_here *here, struct node_out *out)
{
    struct routing *r = s->routing;
    unsigned slot = 0;
    *here = (struct routed_here){
        .slot = SLOT_ANY, .kind = MARK_FREE, .begin = s->out.put, .fresh = s->fresh_replies};
    if (s->held != HELD_NOT || s->closing)
        return ROUTED_RUN;
    /* what is away comes back first, and nothing is begun */
    if (n->stop_asked && n->identity.is_proxy) {
        routed_hold(n, s, true);
        return ROUTED_HELD;
    }
    if (r->let_go)
        return ROUTED_TAKEN; /* its sender reads of it on this connection */
    if (r->forward != 0 && slice_is(q->argv[0], "vong.for")) {
        take_for(n, s, q, out);
        return ROUTED_TAKEN;
    }
    if (turns_are_full(n, s)) {
        routed_hold(n, s, false);
        return ROUTED_HELD;
    }
    if (is_refused_anyway(n, s, spec, q))
        return routed_run(s, here, SLOT_ANY, NULL);
    bool keyed = spec->keys_n > 0;
    if (spec->handler == SPEC_NODE && r->turns_n > 0 &&
        (!keyed || spec->id == SPEC_WATCH || spec->id == SPEC_MIGRATE)) {
        routed_hold(n, s, true); /* it may answer later, or change what the session is */
        return ROUTED_HELD;
    }
    if (seats_are_asked(n, spec)) {
        if (s->in_multi)
            routed_refuse(n, s,
                          "ERR this is asked of all threads of the proxy: not inside a transaction",
                          out);
        else
            seats_ask(n, s, spec, q, out);
        return ROUTED_TAKEN;
    }
    if (spec->id == SPEC_WATCH || spec->id == SPEC_EXEC || spec->id == SPEC_UNWATCH ||
        spec->id == SPEC_DISCARD || spec->id == SPEC_RESET)
        return far_multi_begin(n, s, spec, q, here, out);
    if (keyed && n->cluster->map.index == 0 && n->loading) {
        routed_refuse(n, s, "LOADING Redis is loading the dataset in memory", out);
        return ROUTED_TAKEN;
    }
    bool of_slots = keyed || (n->identity.is_proxy && gather_is_wide(spec));
    if (of_slots && n->cluster->map.index == 0) {
        routed_refuse_down(
            n, s, n->cluster->view.why_not[0] != '\0' ? n->cluster->view.why_not : "not yet joined",
            out);
        return ROUTED_TAKEN;
    }
    switch (keyed ? route_keys(spec, q->argv, q->argc, &slot) : ROUTE_NO_KEY) {
    case ROUTE_ONE_SLOT: return one_slot(n, s, spec, q, slot, here, out);
    case ROUTE_MANY_SLOTS: return many_slots(n, s, spec, q, out);
    case ROUTE_NO_KEY: break;
    }
    if (n->options->cluster_routing == CLUSTER_ROUTING_FORWARD && r->forward == 0 &&
        gather_is_wide(spec) && !(s->in_multi && n->cluster->mine_n == SLOTS))
        return all_slots(n, s, spec, q, out);
    return no_slot(n, s, spec, q, here, out);
}

/* A short command of one key's slot, of which routed_begin would find that it just runs here: the
 * slot is served here under the lease, nothing of the session is away, and there is nothing to
 * learn of it. */
bool routed_is_direct(const struct node *n, const struct session *s, const struct spec *spec,
                      unsigned slot)
{
    const struct cluster *c = n->cluster;
    const struct routing *r = s->routing;
    if (c->served[slot] == 0 || !c->self.leased || c->self.refuses || bits_has(&c->handing, slot))
        return false;
    if (spec->first == 0 || spec->first != spec->last || r->turns_n > 0 ||
        routed_asked(s) != REPL_ASKS_NOTHING)
        return false;
    if (bits_has(&c->thin, slot))
        return false;
    if (r->forward != 0)
        return !r->let_go && r->refused.n == 0 && r->for_now.epoch <= c->served[slot];
    return r->settled || c->mine_n == SLOTS || (r->seen != NULL && bits_has(r->seen, slot));
}

void routed_end(struct node *n, struct session *s, struct routed_here *here, struct node_out *out)
{
    struct turn *t = here->turn;
    s->aside = NULL;
    if (t == NULL) {
        marks_put(n, s, here->begin, here->slot, here->kind, routed_asked(s), routed_client(s));
        return;
    }
    t->replies = s->fresh_replies - here->fresh;
    s->fresh_replies = here->fresh;
    t->kind = here->kind;
    t->slot = here->slot;
    t->done = true;
    t->held_bytes += t->bytes.n;
    s->routing->turns_bytes += t->bytes.n;
    turns_deliver(n, s, out);
}

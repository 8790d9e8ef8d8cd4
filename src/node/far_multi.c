/* SPDX-License-Identifier: BSD-3-Clause */

/* Transactions of slots elsewhere.
 *
 * MULTI queues here, wherever its keys are. EXEC asks where they are: elsewhere, the whole
 * goes at once
 *
 *     VONG.FOR ... MULTI SET a 1 GET a EXEC   ->   +OK +QUEUED +QUEUED *2 ...
 *
 * over a link of this session's own (replication 10), and the last reply is the client's. A WATCH
 * goes over the same link; what it watches there lives as long as that link and its slot's epoch,
 * else EXEC answers nil. Where its slot comes here while it waits, it watches here. Until EXEC is
 * answered nothing further of the session is taken. */
#include <stdio.h>

#include "base/check.h"
#include "node/cluster.h"
#include "node/multi.h"

/* The one slot of the queue; ROUTE_NO_KEY: it has no keys. */
static enum route_keys queue_slot(const struct session *s, unsigned *slot)
{
    bool any = false;
    for (size_t i = 0; s->multi != NULL && i < s->multi->queue.n; i++) {
        const struct kept_request *k = &s->multi->queue.at[i];
        unsigned at = 0;
        enum route_keys keys =
            k->spec->keys_n > 0 ? route_keys(k->spec, k->argv, k->argc, &at) : ROUTE_NO_KEY;
        if (keys == ROUTE_MANY_SLOTS || (keys == ROUTE_ONE_SLOT && any && at != *slot))
            return ROUTE_MANY_SLOTS;
        if (keys == ROUTE_ONE_SLOT)
            *slot = at;
        any |= keys == ROUTE_ONE_SLOT;
    }
    return any ? ROUTE_ONE_SLOT : ROUTE_NO_KEY;
}

void far_multi_end(struct node *n, struct session *s, struct node_out *out)
{
    struct routing *r = s->routing;
    if (r->own != NULL && r->watches_far)
        peer_hang_up(n, r->own, "its watches are over",
                     out); /* and with it what is watched there */
    r->watches_far = r->watch_lost = r->watch_held = false;
}

/* What is watched lives as long as its link and its slot's epoch (replication 10). */
bool far_watch_is_over(const struct node *n, const struct session *s)
{
    const struct routing *r = s->routing;
    return r->watches_far &&
           (r->watch_lost || n->cluster->map.slots[r->watch_slot].epoch != r->watch_epoch);
}

/* It may have waited for a primary until now: from here on a change of its slot's epoch is its
 * end. Nothing else of the session is under way. */
void far_watch_sent(const struct node *n, struct session *s)
{
    struct routing *r = s->routing;
    if (r->watch_held)
        return;
    r->watch_epoch = n->cluster->map.slots[r->watch_slot].epoch;
    r->watch_lost = false; /* with a link that took an earlier try of this one */
}

/* A WATCH that was refused, or that runs here after all, watches nothing there; an earlier one may,
 * or did: it is over with its epoch, and EXEC tells. */
void far_watch_answered(struct session *s, struct slice reply)
{
    struct routing *r = s->routing;
    if (!r->watches_far)
        return;
    r->watch_held |= reply.n > 0 && reply.p[0] == '+';
    if (!r->watch_held)
        r->watches_far = r->watch_lost = false;
}

static struct flight *fly_own(struct node *n, struct session *s, const struct spec *spec,
                              const struct request *q, unsigned slot)
{
    struct turn *t = turn_new(s, q->bytes + multi_bytes(s));
    t->silent = routed_silent(s);
    s->active = n->now;
    s->last = spec;
    struct flight *f = flight_new(n, t, spec, q, slot);
    f->on_own = true;
    return f;
}

/* A refused EXEC is the end of its transaction. */
static enum routed exec_refused(struct node *n, struct session *s, const char *text,
                                struct node_out *out)
{
    multi_forget(n, s);
    far_multi_end(n, s, out);
    routed_refuse(n, s, text, out);
    return ROUTED_TAKEN;
}

static enum routed exec_thin(struct node *n, struct session *s, const char *why,
                             struct node_out *out)
{
    char text[256];
    (void)snprintf(text, sizeof(text), "EXECABORT Transaction discarded because of: %s", why);
    return exec_refused(n, s, text, out);
}

static enum routed exec_lost(struct node *n, struct session *s, struct node_out *out)
{
    struct turn *t = turn_new(s, 0);
    struct reply r = {.out = &t->bytes, .protocol = s->protocol};
    multi_forget(n, s);
    far_multi_end(n, s, out);
    t->silent = routed_silent(s);
    reply_null_array(&r);
    t->replies = 1;
    t->done = true;
    turns_deliver(n, s, out);
    return ROUTED_TAKEN;
}

static enum routed exec_begin(struct node *n, struct session *s, const struct spec *spec,
                              struct request *q, struct routed_here *here, struct node_out *out)
{
    struct cluster *c = n->cluster;
    struct routing *r = s->routing;
    unsigned slot = r->watch_slot;
    if (!s->in_multi || s->multi->failed) {
        far_multi_end(n, s, out);
        return routed_run(s, here, SLOT_ANY, spec);
    }
    enum route_keys keys = queue_slot(s, &slot);
    if (keys == ROUTE_MANY_SLOTS || (r->watches_far && slot != r->watch_slot))
        return exec_refused(n, s, route_crossslot, out);
    if (far_watch_is_over(n, s))
        return exec_lost(n, s, out);
    if (keys == ROUTE_NO_KEY && !r->watches_far)
        return routed_run(s, here, SLOT_ANY, spec);
    struct route to = route_slot(&c->self, slot, routed_asker(n, s), false);
    bool runs = to.to == ROUTE_HERE && !bits_has(&c->handing, slot);
    const char *thin = runs ? routed_thin(n, slot, s->multi->flags, routed_asked(s)) : NULL;
    if (thin != NULL)
        return exec_thin(n, s, thin, out);
    if (runs)
        return routed_run(s, here, slot, spec);
    if (to.to == ROUTE_MOVED) {
        multi_forget(n, s);
        routed_refused(s, slot);
        routed_refuse_moved(n, s, slot, to.peer, out);
        return ROUTED_TAKEN;
    }
    /* what is watched here cannot be asked there */
    if (s->multi->dirty || !list_empty(&s->watches))
        return exec_lost(n, s, out);
    struct flight *f = fly_own(n, s, spec, q, slot);
    f->is_exec = true;
    f->is_write = (s->multi->flags & (CMD_WRITE | CMD_MAY_REPLICATE)) != 0;
    routed_hold(n, s, true);
    flight_go(n, f, out);
    return ROUTED_TAKEN;
}

static enum routed watch_begin(struct node *n, struct session *s, const struct spec *spec,
                               struct request *q, struct routed_here *here, struct node_out *out)
{
    struct cluster *c = n->cluster;
    struct routing *r = s->routing;
    unsigned slot;
    if (s->in_multi)
        return routed_run(s, here, SLOT_ANY, spec); /* an error, which it tells itself */
    if (route_keys(spec, q->argv, q->argc, &slot) == ROUTE_MANY_SLOTS ||
        (r->watches_far && slot != r->watch_slot)) {
        routed_refuse(n, s, route_crossslot, out);
        return ROUTED_TAKEN;
    }
    struct route to = route_slot(&c->self, slot, routed_asker(n, s), false);
    if (to.to == ROUTE_HERE) /* what was watched elsewhere is over with its epoch: EXEC tells */
        return routed_run(s, here, slot, spec);
    if (to.to == ROUTE_MOVED) {
        routed_refused(s, slot);
        routed_refuse_moved(n, s, slot, to.peer, out);
        return ROUTED_TAKEN;
    }
    if (to.to == ROUTE_FORWARD && !list_empty(&s->watches)) { /* of slots that are here */
        routed_refuse(n, s, route_crossslot, out);
        return ROUTED_TAKEN;
    }
    r->watches_far = true;
    r->watch_slot = (uint16_t)slot;
    flight_go(n, fly_own(n, s, spec, q, slot), out);
    return ROUTED_TAKEN;
}

enum routed far_multi_begin(struct node *n, struct session *s, const struct spec *spec,
                            struct request *q, struct routed_here *here, struct node_out *out)
{
    switch (spec->id) {
    case SPEC_WATCH: return watch_begin(n, s, spec, q, here, out);
    case SPEC_EXEC: return exec_begin(n, s, spec, q, here, out);
    default: break;
    }
    if (spec->id != SPEC_DISCARD || s->in_multi)
        far_multi_end(n, s, out);
    return routed_run(s, here, SLOT_ANY, spec);
}

uint32_t far_multi_put(struct session *s, struct chain *to)
{
    struct reply r = {.out = to, .protocol = 2};
    reply_array(&r, 1);
    reply_bulk(&r, SLICE("MULTI"));
    for (size_t i = 0; i < s->multi->queue.n; i++)
        peer_put_request(to, &s->multi->queue.at[i]);
    return (uint32_t)s->multi->queue.n + 1;
}

/* With far watches there is one answer: they are over with it. */
void far_multi_answered(struct node *n, struct flight *f, struct slice reply, struct node_out *out)
{
    struct session *s = f->turn->session;
    s->routing->watches_far = s->routing->watch_lost = s->routing->watch_held = false;
    flight_answer(n, f, reply, out);
}

void far_multi_void(struct node *n, struct flight *f, struct node_out *out)
{
    far_multi_answered(n, f, f->protocol == 2 ? SLICE("*-1\r\n") : SLICE("_\r\n"), out);
}

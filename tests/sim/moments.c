/* SPDX-License-Identifier: BSD-3-Clause */

/* Trouble at a bad moment: a host is hit right when it has half of something. Chance alone hits the millisecond in which
 * a dump is half built, a copy follows and has not joined, or a proposal's fate is open, in one seed of hundreds; and most
 * rules of the slot protocol are about those. So what brings such a moment about is done, with clients that are busy, and
 * then it is waited for. */
#include "base/check.h"
#include "node/cluster.h"
#include "node/replicate.h"
#include "tests/sim/hosts.h"

enum { SECOND_US = 500 * 1000, AWAIT_US = 5000 * 1000, BUSY_US = 3000 * 1000 };
enum { /* bits */
    MOMENT_DUMP_IN = 1,  /* a dump begins to be built here, */
    MOMENT_DUMP_OUT = 2, /* or to be sent */
    MOMENT_FOLLOWS = 4,  /* a copy was sent what it lacked, and JOINED with it, and has not joined */
    MOMENT_JOINS = 8,    /* JOINED came, and is not answered */
    MOMENT_PROPOSES = 16, /* in-sync sets were proposed */
    MOMENT_KNOWS = 32,   /* ... and their fate is known */
    MOMENT_HANDS = 64,   /* a handover was proposed */
    MOMENT_SERVES = 128, /* it serves more slots than before */
    MOMENTS_N = 8,
    MOMENTS_OVER = MOMENT_KNOWS /* those that come when something ends */
};

static bool has_follower(const struct repl *r)
{
    for (unsigned slot = bits_next(&r->copied, 0); slot < SLOTS; slot = bits_next(&r->copied, slot + 1))
        for (unsigned k = 0; k < r->primary[slot].copies_n; k++)
            if (r->primary[slot].copies[k].state == COPY_LIVE)
                return true;
    return false;
}

/* What it is in the midst of; and how many slots it serves. */
static unsigned moments_of(const struct host *h, unsigned *serves)
{
    const struct cluster *c = h->node->cluster;
    const struct replicas *r = c->replicas;
    unsigned m = r->repl.to_join.n > 0 ? MOMENT_JOINS : 0;
    for (unsigned i = 0; i < DUMPS_AT_ONCE; i++)
        m |= (r->in[i].used && r->in[i].parts > 0 ? MOMENT_DUMP_IN : 0u) |
             (r->out[i].used && r->out[i].parts > 0 ? MOMENT_DUMP_OUT : 0u);
    m |= h->world->awaited == MOMENT_FOLLOWS && has_follower(&r->repl) ? MOMENT_FOLLOWS : 0u; /* which takes long to find */
    m |= r->repl.proposed_slots > 0 ? MOMENT_PROPOSES | MOMENT_KNOWS : 0u;
    m |= c->handing_until.us != MONO_NEVER.us ? MOMENT_HANDS : 0u;
    *serves = (unsigned)bits_n(&h->node->owned);
    return m;
}

/* A link that breaks makes copies follow anew; a death moves slots, changes in-sync sets, and needs dumps when it is over. */
bool moments_await(struct hosts *w, struct host *h)
{
    w->awaited = 1u << rng_below(&w->rng, MOMENTS_N);
    w->busy_until_us = w->planes.now.us + BUSY_US;
    w->await_until_us = w->planes.now.us + AWAIT_US;
    for (size_t i = 0; i < w->planes.n; i++)
        w->host[i].moments = 0, w->host[i].serves = SLOTS;
    if (rng_below(&w->rng, 2) == 0)
        (void)plights_lag(w, &w->host[rng_below(&w->rng, w->planes.n)]);
    if ((w->awaited & (MOMENT_FOLLOWS | MOMENT_JOINS)) != 0)
        planes_break(&w->planes, h->plane->number);
    else if (w->awaited != MOMENT_HANDS)
        plights_end_host(w, h, rng_below(&w->rng, 2) == 0);
    return false; /* it counts when it comes */
}

/* It dies, or nobody hears any more what it has just said; and perhaps another dies right after it. */
static void hit(struct hosts *w, struct host *h, unsigned moment)
{
    uint64_t how = rng_below(&w->rng, 4);
    hosts_say(w, "host %u is hit at a bad moment, %u", h->plane->number, moment);
    w->fired[PLIGHT_MOMENT]++;
    w->awaited = 0;
    if (how < 2) {
        (void)plights_isolate(w, h->plane);
        planes_lose(&w->planes, h->plane->number);
    } else {
        plights_end_host(w, h, how == 2);
    }
    if (rng_below(&w->rng, 3) == 0)
        planes_plan(&w->planes, &w->second_due, mono_after(w->planes.now, hosts_draw(&w->rng, SECOND_US)));
}

void moments_look(struct hosts *w)
{
    for (size_t i = 0; i < w->planes.n && w->awaited != 0; i++) {
        struct host *h = &w->host[i];
        if (h->node == NULL || h->loading != LOADED) {
            h->moments = h->serves = 0;
            continue;
        }
        unsigned served = h->serves, before = h->moments, now = h->moments = moments_of(h, &h->serves);
        unsigned come = (now & ~before & ~(unsigned)MOMENTS_OVER) | (before & ~now & MOMENTS_OVER) |
                        (h->serves > served ? MOMENT_SERVES : 0u);
        if ((come & w->awaited) != 0)
            hit(w, h, come & w->awaited);
    }
    if (w->planes.now.us >= w->await_until_us)
        w->awaited = 0;
}

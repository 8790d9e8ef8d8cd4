/* SPDX-License-Identifier: BSD-3-Clause */

/* Proxies in the world of many nodes: each is a data plane that owns no slot and a relay that follows the map for it,
 * as vong-proxy's threads do. They are killed, stopped, stopped in good order, cut off from a node, slowed down. */
#include <stdio.h>

#include "base/check.h"
#include "node/cluster.h"
#include "tests/sim/hosts.h"

enum { BACK_US = 1000 * 1000, STILL_MAX_US = 3000 * 1000, LAG_MAX_US = 100 * 1000, SEEDS_N = 3 };

static uint64_t draw(struct proxy *p, uint64_t n)
{
    return rng_below(&p->host.world->rng, n);
}

/* -------------------------------------------------------------------------- the map's thread */

static void tell(struct proxy *p, const struct relay_news *n)
{
    struct word word = {.type = WORD_ENTRY, .entry = {.index = n->index}};
    if (n->index == 0) {
        word = (struct word){.type = WORD_MAP, .map = mem_get(sizeof(*word.map))};
        map_init(word.map);
        map_copy(word.map, relay_map(p->relay));
    } else if (n->entry != NULL) {
        word.entry.entry = map_entry_copy(n->entry);
    }
    host_word(p->host.plane, &word);
}

static struct tie *tie_of(struct proxy *p, uint32_t link)
{
    for (size_t i = 0; i < p->host.ties.n; i++)
        if (p->host.ties.at[i]->of_map && p->host.ties.at[i]->link == link)
            return p->host.ties.at[i];
    return NULL;
}

static void step(struct proxy *p, struct relay_event *ev)
{
    struct host *h = &p->host;
    struct planes *w = &h->world->planes;
    struct relay_out *o = &p->out;
    ev->now = plane_clock(h->plane);
    relay_step(p->relay, ev, o);
    relay_check(p->relay);
    for (size_t i = 0; i < o->dial.n; i++)
        tie_dial(h, &(struct tie){.link = o->dial.at[i].link, .of_map = true}, o->dial.at[i].port);
    for (size_t i = 0; i < o->send.n; i++)
        planes_send(w, tie_of(p, o->send.at[i].link)->conn, true, &o->send.at[i].bytes);
    for (size_t i = 0; i < o->hang_up.n; i++) {
        struct tie *t = tie_of(p, o->hang_up.at[i]);
        planes_close(w, t->conn, true);
        tie_free(h, t);
    }
    for (size_t i = 0; i < o->news.n; i++)
        tell(p, &o->news.at[i]);
    planes_plan(w, &p->due, o->wake);
}

void proxy_dialed(struct proxy *p, struct tie *t, bool through)
{
    struct relay_event ev = {.type = RELAY_DIALED, .link = t->link, .through = through};
    for (size_t i = 0; i < sizeof(ev.nonce); i++)
        ev.nonce[i] = (uint8_t)draw(p, 256);
    if (!through)
        tie_free(&p->host, t);
    step(p, &ev);
}

void proxy_bytes(struct proxy *p, struct tie *t, struct slice in)
{
    step(p, &(struct relay_event){.type = RELAY_BYTES, .link = t->link, .in = in});
}

void proxy_closed(struct proxy *p, struct tie *t)
{
    uint32_t link = t->link;
    tie_free(&p->host, t);
    step(p, &(struct relay_event){.type = RELAY_CLOSED, .link = link});
}

/* ------------------------------------------------------------------------- birth and death */

static void start(struct proxy *p)
{
    struct host *h = &p->host;
    struct hosts *w = h->world;
    uint32_t number = FIRST_PROXY + (uint32_t)(p - w->proxy);
    struct node_identity id = {.seed = rng_next(&w->rng), .process_id = 1, .in_cluster = true, .is_proxy = true};
    memset(id.run_id, 'p', sizeof(id.run_id) - 1);
    hosts_say(w, "proxy %u starts", number);
    h->proxy = p;
    h->plane = plane_end(&w->planes, number);
    h->plane->config.secret = w->planes.at[0].config.secret;
    options_init(&h->options);
    h->options.of_proxy = h->options.cluster_enabled = true;
    h->options.cluster_routing = CLUSTER_ROUTING_FORWARD;
    h->options.appendonly = false;
    h->options.databases = 1;
    host_begin(h, &id);
    p->relay = relay_new(&(struct relay_config){.seeds = slice_str(p->seeds), .secret = h->plane->config.secret,
                                                .seed = rng_next(&w->rng), .log = &h->log});
    step(p, &(struct relay_event){.type = RELAY_DUE});
    planes_plan(&w->planes, &h->wake, w->planes.now);
}

void proxies_begin(struct hosts *w)
{
    for (size_t i = 0; i < w->proxies_n; i++) {
        struct proxy *p = &w->proxy[i];
        for (size_t k = 0, at = 0; k < w->first_n && k < SEEDS_N; k++)
            at += (size_t)snprintf(p->seeds + at, sizeof(p->seeds) - at, "%s10.0.0.1:1@%u", at > 0 ? "," : "",
                                   (unsigned)plane_port((uint32_t)k));
        p->host.world = w;
        start(p);
    }
}

void proxy_kill(struct proxy *p)
{
    if (p->relay == NULL)
        return;
    hosts_say(p->host.world, "proxy %u ends", p->host.plane->number);
    heap_remove(&p->host.world->planes.calendar, &p->due);
    host_kill(&p->host, false);
    relay_free(p->relay);
    relay_out_free(&p->out);
    p->relay = NULL;
    p->out = (struct relay_out){0};
}

void proxy_ended(struct proxy *p)
{
    proxy_kill(p);
    planes_plan(&p->host.world->planes, &p->host.back,
                mono_after(p->host.world->planes.now, hosts_draw(&p->host.world->rng, BACK_US)));
}

static void freeze(struct proxy *p, bool frozen)
{
    host_freeze(&p->host, frozen, frozen);
    if (!frozen && p->relay != NULL) /* what it was told before may have been its end */
        planes_plan(&p->host.world->planes, &p->due, p->host.world->planes.now);
}

/* It goes on, or is started again. */
static void come_back(struct proxy *p)
{
    if (p->relay == NULL)
        start(p);
    else
        freeze(p, false);
}

bool proxies_due(struct hosts *w, struct heap_node *n)
{
    for (size_t i = 0; i < w->proxies_n; i++) {
        struct proxy *p = &w->proxy[i];
        if (n == &p->due && !p->host.plane->data_frozen)
            step(p, &(struct relay_event){.type = RELAY_DUE});
        else if (n == &p->host.back)
            come_back(p);
        else if (n != &p->due && !host_due(&p->host, n))
            continue;
        return true;
    }
    return false;
}

bool proxies_have_map(struct hosts *w)
{
    for (size_t i = 0; i < w->proxies_n; i++)
        if (w->proxy[i].relay == NULL || w->proxy[i].host.node->cluster->map.index == 0)
            return false;
    return true;
}

/* -------------------------------------------------------------------------------- trouble */

static void cut(struct proxy *p)
{
    struct hosts *w = p->host.world;
    uint32_t from = p->host.plane->number, to = (uint32_t)draw(p, w->planes.n);
    uint64_t way = draw(p, 3);
    hosts_say(w, "proxy %u and %u: %s", from, to, way == 0 ? "it is not heard" : way == 1 ? "it does not hear" : "cut");
    planes_cut(&w->planes, from, to, way != 1);
    planes_cut(&w->planes, to, from, way != 0);
    planes_plan(&w->planes, &w->mend_due, mono_after(w->planes.now, hosts_draw(&w->rng, STILL_MAX_US)));
}

bool proxies_trouble(struct hosts *w)
{
    struct proxy *p = &w->proxy[rng_below(&w->rng, w->proxies_n)];
    if (p->relay == NULL || p->host.plane->data_frozen)
        return false;
    switch (draw(p, 6)) {
    case 0: proxy_ended(p); break;
    case 1:
        hosts_say(w, "proxy %u is told to stop", p->host.plane->number);
        host_stop(&p->host);
        break;
    case 2:
        hosts_say(w, "proxy %u stands still", p->host.plane->number);
        freeze(p, true);
        planes_plan(&w->planes, &p->host.back, mono_after(w->planes.now, 1 + (int64_t)draw(p, STILL_MAX_US)));
        break;
    case 3: p->host.plane->lag_us = (int64_t)draw(p, LAG_MAX_US); break;
    case 4: planes_break(&w->planes, p->host.plane->number); break;
    default: cut(p);
    }
    return true;
}

void proxies_calm(struct hosts *w)
{
    for (size_t i = 0; i < w->proxies_n; i++)
        w->proxy[i].host.plane->lag_us = 0;
}

void proxies_end(struct hosts *w)
{
    for (size_t i = 0; i < w->proxies_n; i++)
        planes_plan(&w->planes, &w->proxy[i].host.back, w->planes.now);
}

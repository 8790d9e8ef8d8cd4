/* SPDX-License-Identifier: BSD-3-Clause */
#include "node/upstream.h"

#include "node/call.h"
#include "node/cluster.h"
#include "node/stats.h"

static void renew(struct upstream *u, const struct node_id *id)
{
    if (node_id_equal(&u->id, id))
        return;
    mem_free(u->latency);
    *u = (struct upstream){.id = *id};
}

static struct upstream *reach(struct upstreams *all, size_t place)
{
    while (all->n <= place)
        *vec_add(all) = (struct upstream){0};
    return &all->at[place];
}

static struct upstream *upstream_at(struct node *n, uint16_t place)
{
    struct upstream *u = reach(&n->cluster->upstreams, place);
    renew(u, &n->cluster->map.nodes.at[place].id);
    return u;
}

/* Only a proxy counts; and nothing of a node whose place may be another's by now. */
static struct upstream *upstream_of(struct node *n, const struct peer_link *l)
{
    return n->identity.is_proxy && peer_is_member(n, l) ? upstream_at(n, l->place) : NULL;
}

void upstream_note(struct node *n, const struct peer_link *l, enum upstream_event what)
{
    struct upstream *u = upstream_of(n, l);
    if (u == NULL)
        return;
    switch (what) {
    case UPSTREAM_SENT: u->requests++; break;
    case UPSTREAM_RETRIED: u->retried++; break;
    case UPSTREAM_LOST: u->lost++; break;
    case UPSTREAM_DIALED:
        u->reconnects += u->lost > 0;
        u->lost -= u->lost > 0;
        break;
    }
}

void upstream_answered(struct node *n, const struct peer_link *l, uint64_t ns)
{
    struct upstream *u = upstream_of(n, l);
    if (u == NULL)
        return;
    if (u->latency == NULL)
        u->latency = mem_zero(sizeof(*u->latency));
    histogram_add(u->latency, ns, 1);
}

void upstreams_count(struct node *n)
{
    struct cluster *c = n->cluster;
    for (size_t i = 0; i < c->upstreams.n; i++)
        c->upstreams.at[i].links = c->upstreams.at[i].in_flight = 0;
    for (const struct list *l = c->links.next; l != &c->links; l = l->next) {
        const struct peer_link *p = CONTAINER_OF(l, struct peer_link, in_cluster);
        if (p->place >= c->map.nodes.n)
            continue;
        struct upstream *u = upstream_at(n, p->place);
        u->links++;
        for (const struct list *f = p->sent.next; f != &p->sent; f = f->next)
            u->in_flight++;
    }
}

void upstreams_add(struct upstreams *to, const struct upstreams *from)
{
    for (size_t i = 0; i < from->n; i++) {
        const struct upstream *more = &from->at[i];
        struct upstream *u = reach(to, i);
        if (more->requests == 0 && more->links == 0)
            continue;
        renew(u, &more->id);
        u->requests += more->requests;
        u->retried += more->retried;
        u->reconnects += more->reconnects;
        u->links += more->links;
        u->in_flight += more->in_flight;
        histogram_more(&u->latency, more->latency);
    }
}

void upstreams_free(struct upstreams *u)
{
    for (size_t i = 0; i < u->n; i++)
        mem_free(u->at[i].latency);
    vec_free(u);
}

static const char *health_of(const struct map_node *at)
{
    return at->health == MAP_UP ? "up" : at->health == MAP_DOWN ? "down" : "suspect";
}

void upstreams_put(const struct node *n, const struct upstreams *u, struct buf *to)
{
    static const struct upstream none;
    const struct map *m = &n->cluster->map;
    for (size_t i = 0, line = 0; i < m->nodes.n; i++) {
        const struct map_node *at = &m->nodes.at[i];
        const struct upstream *of =
            i < u->n && node_id_equal(&u->at[i].id, &at->id) ? &u->at[i] : &none;
        if (!at->used)
            continue;
        text_putf(to, "upstream%zu:addr=%s:%u,zone=%s,state=%s,connections=%llu,in_flight=%llu",
                  line++, at->at.ip, (unsigned)at->at.port, at->zone, health_of(at),
                  (unsigned long long)of->links, (unsigned long long)of->in_flight);
        text_putf(to, ",requests=%llu,retries=%llu,reconnects=%llu",
                  (unsigned long long)of->requests, (unsigned long long)of->retried,
                  (unsigned long long)of->reconnects);
        for (size_t k = 0; k < 3; k++) {
            static const double percents[] = {50, 99, 99.9};
            static const char *const names[] = {"p50", "p99", "p99.9"};
            text_putf(to, ",%s_usec=%.1f", names[k],
                      of->latency != NULL
                          ? (double)histogram_percentile(of->latency, percents[k]) / 1000
                          : 0.0);
        }
        text_put(to, SLICE("\r\n"));
    }
}

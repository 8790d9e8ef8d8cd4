/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/map/seeds.h"

#include "base/bounds.h"
#include "base/num.h"

static bool seed_get(struct slice s, char host[HOSTNAME_BYTES], uint16_t *port)
{
    uint64_t p, cp;
    size_t colon = s.n, at;
    while (colon > 0 && s.p[colon - 1] != ':')
        colon--;
    if (colon < 2 || colon - 1 >= HOSTNAME_BYTES)
        return false;
    struct slice ports = slice_from(s, colon);
    for (at = 0; at < ports.n && ports.p[at] != '@'; at++)
        ;
    if (!num_get_u64(slice_head(ports, at), &p) || p == 0 || p > UINT16_MAX)
        return false;
    cp = p + CLUSTER_PORT_OFFSET;
    if (at < ports.n && !num_get_u64(slice_from(ports, at + 1), &cp))
        return false;
    if (cp == 0 || cp > UINT16_MAX)
        return false;
    memcpy(host, s.p, colon - 1);
    host[colon - 1] = '\0';
    *port = (uint16_t)cp;
    return true;
}

/* The first; *seeds is what is left behind it. */
static struct slice seed_next(struct slice *seeds)
{
    const char *comma = memchr(seeds->p, ',', seeds->n);
    struct slice one = slice_head(*seeds, comma == NULL ? seeds->n : (size_t)(comma - seeds->p));
    *seeds = slice_from(*seeds, one.n + 1);
    return one;
}

const char *seeds_wrong(struct slice seeds)
{
    char host[HOSTNAME_BYTES];
    uint16_t port;
    while (seeds.n > 0)
        if (!seed_get(seed_next(&seeds), host, &port))
            return "each seed is host:port, or host:port@cluster-port, with commas between";
    return NULL;
}

bool seeds_at(struct slice seeds, size_t n, char host[HOSTNAME_BYTES], uint16_t *port)
{
    while (seeds.n > 0) {
        struct slice one = seed_next(&seeds);
        if (n-- == 0)
            return seed_get(one, host, port);
    }
    return false;
}

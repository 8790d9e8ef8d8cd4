/* SPDX-License-Identifier: BSD-3-Clause */

/* Where a command goes: here, to another node, back to the client, or nowhere for now.
 *
 * One decision, asked of the map and never of the network. It knows no session: whoever asks says
 * what he is (cluster.md, "Routing"). */
#ifndef NODE_ROUTE_H
#define NODE_ROUTE_H

#include "cmd/keys.h"
#include "conf/options.h"
#include "core/map/map.h"

/* Who asks. */
enum route_asker {
    ROUTE_PLAIN, /* a client that knows no cluster: what is elsewhere is fetched for it */
    ROUTE_AWARE, /* its library knows the map, and refreshes it when it is told */
    ROUTE_PEER   /* a node or a proxy forwards: nothing is forwarded again */
};

enum route_to {
    ROUTE_HERE,
    ROUTE_FORWARD, /* to `peer` */
    ROUTE_MOVED,   /* the client is told that it is `peer`'s */
    ROUTE_DOWN     /* nobody serves it now, why */
};

struct route {
    enum route_to to;
    uint16_t peer;   /* place in the map */
    const char *why; /* DOWN: behind "CLUSTERDOWN " */
    /* DOWN: it may be served again within a failover: worth a plain client's wait */
    bool soon;
};

/* The `why` of a node without a lease. */
extern const char route_lost_contact[];
/* An error, with its code. */
extern const char route_crossslot[];

struct route_self {
    const struct map *map;
    uint16_t place;       /* of this node; MAP_NOBODY: not in the map (a proxy) */
    uint32_t incarnation; /* of this run */
    bool leased;          /* its lease is valid now */
    bool reads_when_down; /* cluster-allow-reads-when-down */
    /* not every slot is served, and that is required: cluster-require-full-coverage */
    bool refuses;
};

/* One slot's command. reads: it is a read of a connection that said READONLY. */
struct route route_slot(const struct route_self *self, unsigned slot, enum route_asker who,
                        bool reads);

/* Who answers reads in the primary's place: in sync, up, and in this zone where that counts.
 * Of several one by chance, the same for the same dice while the map is as it is. MAP_NOBODY:
 * the primary does. */
uint16_t route_read(const struct map *m, unsigned slot, enum read_from from, const char *zone,
                    uint64_t dice);

/* A command to all of this node's slots. */
struct route route_node(const struct route_self *self, uint16_t place);

/* Which slots a command's keys are in. */
enum route_keys { ROUTE_NO_KEY, ROUTE_ONE_SLOT, ROUTE_MANY_SLOTS };
enum route_keys route_keys(const struct spec *spec, const struct slice *argv, uint32_t argc,
                           unsigned *slot);

#endif

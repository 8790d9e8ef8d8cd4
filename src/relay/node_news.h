/* SPDX-License-Identifier: BSD-3-Clause */

/* What a proxy's log tells of its nodes, a line for each change: who joined, died, came back or
 * left, and what that is to clients; when all slots are served again; and who is not reached from
 * here while the cluster does not call it DOWN. */
#ifndef RELAY_NODE_NEWS_H
#define RELAY_NODE_NEWS_H

#include "base/log.h"
#include "base/moment.h"
#include "base/vec.h"
#include "core/map/map.h"

struct known_node {
    struct map_node is; /* as it was last looked at */
    struct mono missed; /* since then no try to reach it was through; NEVER: the last was */
    bool said;          /* that it is not reached */
};

struct node_news {             /* zeroed at first */
    VEC(struct known_node) at; /* by places */
    uint64_t nodes_ver;
    unsigned unserved; /* slots without a primary */
};

/* The map changed, by one entry or as a whole. Of the first one it is told who is DOWN, and whether
 * slots are not served. */
void node_news_look(struct node_news *w, const struct map *m, struct log *log);
/* A try to reach this node failed: why. Of who is no member, nothing is told. */
void node_news_missed(struct node_news *w, const struct map *m, const struct node_id *id,
                      const char *why, struct mono now, struct log *log);
void node_news_reached(struct node_news *w, const struct map *m, const struct node_id *id,
                       struct log *log);
void node_news_free(struct node_news *w);

#endif

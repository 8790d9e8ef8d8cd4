/* SPDX-License-Identifier: BSD-3-Clause */

/* What a proxy knows of each node that it forwards to, for INFO upstreams. */
#ifndef NODE_UPSTREAM_H
#define NODE_UPSTREAM_H

#include "base/buf.h"
#include "base/count.h"
#include "base/vec.h"
#include "core/types.h"

struct node;
struct peer_link;

struct upstream {
    struct node_id id;         /* whose figures these are: its place may become another's */
    uint64_t requests;         /* sent */
    uint64_t retried;          /* of those, what was to be sent once more */
    uint64_t lost, reconnects; /* connections that broke and have no successor yet; successors */
    uint64_t links, in_flight; /* now: as upstreams_count found them */
    /* of answers, in nanoseconds from the sending; NULL: none came yet */
    struct histogram *latency;
};

struct upstreams { /* a vec, by places in the map */
    struct upstream *at;
    size_t n, cap;
};

enum upstream_event { UPSTREAM_DIALED, UPSTREAM_SENT, UPSTREAM_RETRIED, UPSTREAM_LOST };

/* Both do nothing at a node that is no proxy. */
void upstream_note(struct node *n, const struct peer_link *l, enum upstream_event what);
void upstream_answered(struct node *n, const struct peer_link *l, uint64_t ns);
void upstreams_count(struct node *n);
void upstreams_add(struct upstreams *to, const struct upstreams *from);
void upstreams_free(struct upstreams *u);
/* A line each. */
void upstreams_put(const struct node *n, const struct upstreams *u, struct buf *to);

#endif

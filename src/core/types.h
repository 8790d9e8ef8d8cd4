/* SPDX-License-Identifier: BSD-3-Clause */

/* The words of the slot protocol, seen by all (docs/internals/replication.md). */
#ifndef CORE_TYPES_H
#define CORE_TYPES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/bounds.h"

/* A storage node, for life: random, made with its data directory; printed as 40 hex digits. */
struct node_id {
    uint8_t b[20];
};

/* What a directory holds, as long as nothing of it was lost. A node has two: one of its
 * appendonlydir, new when that was created or lost more than a torn tail, by which it is a copy
 * (replication 22); and one of its controllers' log, new when there is none, by which it is a voter
 * (18). With another it is another copy, or another voter, though the same node. */
struct data_id {
    uint8_t b[16];
};

/* A start of a node is its `incarnation`, uint32_t: 1 at the first, one more before the first
 * heartbeat of each (replication, "Words"); 0: none. */

/* One cluster, given at its founding. Nodes of another cluster are refused. */
struct cluster_id {
    uint8_t b[20];
};

static inline bool cluster_id_equal(const struct cluster_id *a, const struct cluster_id *b)
{
    return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

/* Where a node is reached. Texts end in NUL and hold no blank, comma, colon (but of an IPv6
 * address) or '@'. */
enum { IP_BYTES = 46, HOSTNAME_BYTES = 254, ZONE_BYTES = 64 };
struct endpoint {
    char ip[IP_BYTES];             /* what peers dial and clients are told */
    char hostname[HOSTNAME_BYTES]; /* cluster-announce-hostname; empty: none */
    uint16_t port;                 /* for clients */
    uint16_t cluster_port;         /* for nodes and proxies */
};

/* What a connection between the data planes of two nodes is for, as its handshake says: clients'
 * commands, to be answered in RESP2 or RESP3, or the records of slots. */
enum peer_use { USE_NONE = 0, USE_FORWARD2 = 2, USE_FORWARD3 = 3, USE_REPL = 4 };

/* Where a node stands in a slot: the epoch and the sequence number of its last record. */
struct position {
    uint64_t epoch;
    uint64_t seq; /* dense within the slot, goes on across epochs */
};

/* Alone, everything is one slot in its first epoch. */
enum { SLOT_ALONE = 0, EPOCH_ALONE = 1 };

/* A count, in this incarnation, of the records this node has appended over all its slots. */
struct lsn {
    uint64_t n;
};

static inline bool node_id_equal(const struct node_id *a, const struct node_id *b)
{
    return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

static inline bool data_id_equal(const struct data_id *a, const struct data_id *b)
{
    return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

static inline bool lsn_reached(struct lsn have, struct lsn want)
{
    return have.n >= want.n;
}

#endif

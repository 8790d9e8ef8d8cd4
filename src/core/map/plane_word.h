/* SPDX-License-Identifier: BSD-3-Clause */

/* Words between the two planes of a node: the control plane (control/), which knows who is alive
 * and what the map says next, and the data plane (node/), which serves. They run on two threads and
 * share nothing; the shell carries the words, in order each way, and may be late. What a word
 * points to is its own and travels with it (word_free).
 *
 * One thing more goes across, as an atomic and not as a word: the lease, downwards, in every event
 * of the data plane; and the data plane's progress, upwards (replication 15). */
#ifndef CORE_MAP_PLANE_WORD_H
#define CORE_MAP_PLANE_WORD_H

#include "base/moment.h"
#include "core/map/map_entry.h"

enum word_type {
    /* to the data plane */
    WORD_ENTRY = 1, /* committed: apply it to your map */
    WORD_MAP,       /* the whole map, in place of yours: the start, or a snapshot came */
    WORD_ANSWER,    /* to an ASK */
    /* how the cluster looks from here, now and then: for CLUSTER INFO, NODES, LINKS, logs */
    WORD_VIEW,
    /* this node leaves its cluster for another, if it holds no key: serve nothing from now on, and
     * say CLOSED; a WORD_MAP without members follows, or if it holds keys nothing */
    WORD_CLOSE,
    /* to the control plane */
    WORD_ASK,     /* a client wants the cluster changed */
    WORD_APPLIED, /* my map is at this index */
    WORD_PROPOSE, /* this entry, please: HANDOVER. Its fate is told by the map alone (12) */
    /* where I stand in these electing slots (20); again after whatever was said of this node */
    WORD_REPORT,
    WORD_CLOSED /* to CLOSE: it is, or it holds keys and goes on */
};

enum word_ask {
    ASK_MEET = 1, /* host, port, cluster_port (0: port + 10000) */
    ASK_FORGET,   /* id */
    ASK_SET,      /* name, value: a setting of the map */
    ASK_FAILOVER  /* value: enum word_failover; id: whose slots; all zero: everybody's */
};

enum word_failover {
    FAILOVER_HANDOVER, /* their primaries hand over */
    FAILOVER_FORCE,    /* the primary is called down */
    FAILOVER_TAKEOVER  /* there is none: what this node holds goes on, whatever is lost with that */
};

struct word_position { /* of a slot, in a REPORT */
    uint16_t slot;
    struct position at;
};

/* One member as the control plane sees it. */
struct word_peer {
    uint16_t place;          /* in the map's nodes */
    bool link_to, link_from; /* connections from here to it, and back */
    struct mono ping_sent, pong_received;
    struct mono link_since;
    uint32_t suspected_by; /* how many members do not hear it, as gossip tells */
};

struct word_view {
    struct node_id leader; /* of the controller; all zero: none known */
    uint64_t term;
    unsigned voters;         /* of the controller, as committed; 0: not known */
    uint64_t sent, received; /* messages on the cluster port */
    char why_not[160];       /* why this node is in no cluster, or has no lease; empty: it has */
    struct word_peer *peers;
    size_t peers_n;
};

struct word {
    enum word_type type;
    union {
        struct {
            uint64_t index;
            struct map_entry *entry;
        } entry; /* ENTRY, PROPOSE (index unused) */
        struct map *map;
        uint64_t applied;
        bool closed;
        struct {
            uint64_t token;
            char error[256]; /* with its prefix: "ERR ..."; empty: it was done */
        } answer;
        struct word_view *view;
        struct {
            uint64_t token;
            enum word_ask what;
            char text[256]; /* host; or name */
            uint16_t port, cluster_port;
            struct node_id id;
            int64_t value;
        } ask;
        struct {
            uint64_t base; /* the map index it answers */
            uint32_t incarnation;
            /* nothing that was on its disk was lost since that run of the node began: so it stands
             * for who was in sync in that run, or a later one (22) */
            uint32_t clean_since;
            /* before that run its log was another, or lost more than a torn tail since (22) */
            uint32_t data_since;
            struct word_position *slots;
            size_t slots_n;
        } report;
    };
};

void word_free(struct word *w); /* what it owns */
#endif

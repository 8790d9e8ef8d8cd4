/* SPDX-License-Identifier: BSD-3-Clause */

/* The cluster map: who is there, and who serves which slot, as agreed.
 *
 * A value. It is changed by committed entries of the controller's log and by nothing else
 * (map_entry.h), so equal logs make equal maps on every node, bit for bit; it knows no time and
 * nobody's health but what an entry said of it. The control plane of each node has one, and its
 * data plane another, which is applied a moment later. Applied in order; `index` says how far.
 *
 * A node is spoken of by its place in `nodes`, which it keeps until it is removed; the hole
 * is used again. */
#ifndef CORE_MAP_MAP_H
#define CORE_MAP_MAP_H

#include "base/err.h"
#include "base/vec.h"
#include "core/types.h"

enum { MAP_COPIES = 5 };                /* the greatest replication factor, and the greatest isr */
enum { MAP_REPLICAS = 2 * MAP_COPIES }; /* who is wished, and who is in sync still */
enum { MAP_NOBODY = UINT16_MAX };       /* no place: the slot has no primary */
enum { MAP_NODES = 1000 };              /* more than the gossip was tried with is refused at JOIN */
enum { MAP_GUESSES = 2048 };            /* twice that: most ids have a cell to themselves */
/* The greatest weight: a share of 1/16384 stays a slot or so. */
enum { MAP_WEIGHT = 1000 };

enum map_health {
    MAP_UP,
    MAP_SUSPECT, /* the leader has not heard it: its lease runs out (replication 16) */
    MAP_DOWN     /* its lease is over; its slots have no primary until an election (17, 19) */
};

struct map_node {
    bool used;      /* false: a hole */
    bool leaving;   /* CLUSTER FORGET: it is drained, then removed */
    uint8_t health; /* enum map_health */
    struct node_id id;
    struct data_id data, voter; /* of its appendonlydir, and of its controllers' log */
    uint32_t incarnation;       /* the known one: of its JOIN or newest RESTART, */
    /* which had this index: who computed before it knew another run, or another node */
    uint64_t run_index;
    uint64_t health_index; /* the newest entry SUSPECT, DOWN, CLEAR or RESTART about it; 0: none */
    uint64_t proposed_n; /* the greatest n of its proposals in this incarnation (replication 12) */
    struct endpoint at;
    char zone[ZONE_BYTES]; /* empty: none given */
    uint32_t weight;       /* its share of the ring; 0: an arbiter, which holds no data */
    /* of its run: the boot of its machine and the lock of its directory; 0: not told (19) */
    uint64_t home;
};

struct map_slot {
    uint64_t ver;   /* index of the last entry that changed it, but for `want` */
    uint64_t epoch; /* of its present or last primary; 0: there is no cluster */
    /* the last epoch to begin with the slot handed over as empty, or 0: records of those before
     * count no more (26, P15) */
    uint64_t anew;
    uint16_t primary; /* or MAP_NOBODY: it is electing (replication 20) */
    uint8_t replicas_n, isr_n, want_n;
    /* who holds or is to hold a copy, in order of preference: `want`, then who is in the isr and
     * not wished (map_replicas_follow) */
    uint16_t replicas[MAP_REPLICAS];
    /* who is in sync; first the primary, or while there is none the last one, */
    uint16_t isr[MAP_COPIES];
    /* each in the run in which it was; the primary's is its epoch's */
    uint32_t isr_incarnation[MAP_COPIES];
    uint16_t want[MAP_COPIES]; /* what placement wishes; the first is to be primary */
    /* a bit per quorum (map_quorum) under which something may have been acknowledged that the
     * present one does not hold for yet: until it is settled ("Settings") */
    uint16_t formers;
};

/* Their names, ranges and defaults: map_setting.h. */
struct map_settings {
    uint32_t replication_factor; /* RF */
    uint32_t write_quorum;       /* W: MAP_W_ALL, MAP_W_MAJORITY, or a number */
    uint32_t node_timeout_ms;    /* T */
    uint32_t min_replicas;       /* min-replicas-to-write */
    uint32_t voters;             /* cluster-voters: at most so many, 1, 3 or 5 */
    uint32_t evict_after_s;      /* DOWN for so long: its copies are made elsewhere; 0: never */
    /* with how many others a node shares slots, where the cluster is large */
    uint32_t scatter_width;
    uint32_t rebalance_paused; /* 1: placement's wishes wait */
};
enum { MAP_W_ALL = 0, MAP_W_MAJORITY = UINT32_MAX };

/* T while a change of it is not settled: somebody may not know of it yet ("Settings"). */
struct map_timeout {
    uint32_t lease_ms; /* the least value that may be in use, of which leases are, */
    /* and the greatest, of which suspicion and waits are; equal: it is settled */
    uint32_t wait_ms;
    uint64_t ver; /* index of the newest SET of it */
};

struct map {
    struct cluster_id cluster;
    uint64_t index; /* of the newest entry applied; 0: there is no cluster yet */
    /* of the newest that changed a slot: who keeps something derived compares it */
    uint64_t slots_ver;
    uint64_t nodes_ver; /* the same for nodes, but for proposed_n */
    /* the newest PLACE: wishes are one computation, and stale or fresh as one */
    uint64_t want_ver;
    uint64_t given_up_n; /* slots that went on without who was in sync, ever (replication 22) */
    struct map_settings settings;
    struct map_timeout timeout;
    /* index of the newest SET that changed W(I): what was asked before does not settle it */
    uint64_t quorum_ver;
    VEC(struct map_node) nodes;
    /* by id: a place + 1, where map_find looks before it searches; 0: none */
    uint16_t guess[MAP_GUESSES];
    struct map_slot *slots; /* SLOTS of them; owned */
};

void map_init(struct map *m);
void map_free(struct map *m);
/* To is initialised; its content is replaced. */
void map_copy(struct map *to, const struct map *from);

/* Its place; MAP_NOBODY: not there. */
uint16_t map_find(const struct map *m, const struct node_id *id);
size_t map_members_n(const struct map *m);      /* without holes */
void map_note(struct map *m, uint16_t place);   /* who is there is found at once from now on, */
void map_unnote(struct map *m, uint16_t place); /* and no more: before it is removed */

/* For people, as logs have it: its id's beginning, and where clients find it. Returns name. */
enum { MAP_NAME_BYTES = 80 };
const char *map_node_name(const struct map_node *n, char name[MAP_NAME_BYTES]);

/* The primary of a slot, in the run it was made primary in. */
static inline bool map_is_primary(const struct map *m, unsigned slot, uint16_t node,
                                  uint32_t incarnation)
{
    const struct map_slot *s = &m->slots[slot];
    return s->primary == node && s->isr_n > 0 && s->isr[0] == node &&
           s->isr_incarnation[0] == incarnation;
}

/* It is in sync, in this run. */
static inline bool map_isr_has(const struct map_slot *s, uint16_t node, uint32_t incarnation)
{
    for (unsigned i = 0; i < s->isr_n; i++)
        if (s->isr[i] == node)
            return s->isr_incarnation[i] == incarnation;
    return false;
}

static inline bool map_list_has(const uint16_t *list, unsigned n, uint16_t place)
{
    for (unsigned i = 0; i < n; i++)
        if (list[i] == place)
            return true;
    return false;
}

static inline bool map_replicas_have(const struct map_slot *s, uint16_t node)
{
    return map_list_has(s->replicas, s->replicas_n, node);
}

/* Placement wishes a copy there. */
static inline bool map_wishes(const struct map_slot *s, uint16_t node)
{
    return map_list_has(s->want, s->want_n, node);
}

/* T, the newest value. */
static inline int64_t map_timeout_us(const struct map_settings *s)
{
    return (int64_t)s->node_timeout_ms * 1000;
}
/* T, as leases and what keeps a connection alive have it; and as suspicion and waits do. */
static inline int64_t map_lease_us(const struct map *m)
{
    return (int64_t)m->timeout.lease_ms * 1000;
}
static inline int64_t map_wait_us(const struct map *m)
{
    return (int64_t)m->timeout.wait_ms * 1000;
}
static inline bool map_timeout_is_settled(const struct map *m)
{
    return m->timeout.lease_ms == m->timeout.wait_ms;
}
void map_timeout_settle(struct map *m); /* the newest value, for all */

/* How many of an in-sync set of isr_n must hold a record before its reply leaves: W(I)
 * (replication, "Words"). It may be more than isr_n: then nothing is written (5). */
unsigned map_w(const struct map_settings *s, unsigned isr_n);
/* The same of one slot while W or RF changes: replies and proposals take the stricter, elections
 * the weaker value. */
unsigned map_w_strict(const struct map *m, const struct map_slot *s, unsigned isr_n);
unsigned map_w_weak(const struct map *m, const struct map_slot *s, unsigned isr_n);
/* W may have been 1 when something of the slot was acknowledged: what the live say is enough in
 * the end (22). */
bool map_w_was_one(const struct map *m, const struct map_slot *s);

/* What W and RF make of W(I), as a number: all, 1 to 5, a majority with RF 1 to 5. */
enum { MAP_QUORUMS = 1 + 2 * MAP_COPIES };
unsigned map_quorum(const struct map_settings *s);
unsigned map_unsettled_n(const struct map *m); /* slots in which it is not settled */

/* After `want` or `isr` changed: `replicas` is what follows from them, so the isr never
 * leaves it (26). */
void map_replicas_follow(struct map_slot *s);

/* The primary, or while there is none the last one, where clients are told the slot was. */
static inline uint16_t map_last(const struct map_slot *s)
{
    return s->isr_n > 0 ? s->isr[0] : MAP_NOBODY;
}

/* Every invariant (P3, P6 ...); returns, for tests and the simulator, what does not
 * hold, or NULL. */
const char *map_wrong(const struct map *m);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */

/* Every entry of the controller's log that changes the map: check and apply.
 *
 * An entry is proposed by whoever may (the leader, or a slot's primary), passed to the leader, appended,
 * and takes effect where and when it is applied; there it is judged against the map as it is then, and
 * may be void, whole or for some slots (replication 13). Its bytes: wire/wire_map.c. */
#ifndef CORE_MAP_MAP_ENTRY_H
#define CORE_MAP_MAP_ENTRY_H

#include "base/bits.h"
#include "core/map/map.h"

enum map_entry_type {
    MAP_FOUND = 1, /* the first one: cluster, settings, and the node that has every slot */
    MAP_JOIN,      /* a node, from now on a member; void if its id is known or the map is full */
    MAP_ANNOUNCE,  /* new addresses, zone or weight of a member, in its known incarnation */
    MAP_SUSPECTED, /* replication 16 */
    MAP_DOWNED,    /* 17, 19: unconditional; its slots have no primary from here on */
    MAP_CLEARED,   /* 17 */
    MAP_RESTARTED, /* 19: void unless the incarnation is greater than the known one */
    MAP_LEAVE,     /* CLUSTER FORGET: from now on it is drained */
    MAP_REMOVE,    /* it holds no copy: it is gone. A removed id is never taken back: it joins anew */
    MAP_SET,       /* a setting; void if out of its range */
    MAP_PLACE,     /* what placement wishes, for the slots that change */
    MAP_ELECT,     /* 21, 22: new primaries for slots without one */
    MAP_HANDOVER,  /* 26: the primary gives slots to another */
    MAP_TYPES
};

struct map_member { /* JOIN, FOUND, ANNOUNCE, RESTARTED: what a node says of itself */
    struct node_id id;
    struct data_id data;
    uint32_t incarnation;
    struct endpoint at;
    char zone[ZONE_BYTES];
    uint32_t weight;
};

/* So many consecutive slots with one list. */
struct map_run {
    uint16_t from, to;        /* both included */
    uint8_t n;
    uint16_t node[MAP_COPIES]; /* places; the first is, or is to be, the primary */
};

struct map_entry {
    enum map_entry_type type;
    uint64_t base;        /* the map index it was computed from: of entries about slots (13) */
    struct node_id about; /* SUSPECTED, DOWNED, CLEARED, LEAVE, REMOVE; who proposes: HANDOVER */
    uint32_t incarnation; /* of `about`, as the proposer knew it; DOWNED: the one that is over */
    union {
        struct {
            struct cluster_id cluster;
            struct map_settings settings;
            struct map_member first;
        } found;
        struct map_member member; /* JOIN, ANNOUNCE, RESTARTED */
        struct {
            char name[32];        /* as the directive is called: "replication-factor" */
            int64_t value;
        } set;
        struct {
            const struct map_run *run; /* borrowed: PLACE, and ELECT: the winner and the new isr */
            size_t run_n;
        } runs;
        struct {
            uint64_t n;            /* rising with each proposal of this incarnation (12) */
            struct node_id to;
            uint32_t to_incarnation;
            struct bits slots;
        } handover;
    };
};

/* What applying one did, for those who follow the map. */
struct map_applied {
    bool is_void;          /* it changed nothing but the index, and perhaps a proposer's n */
    const char *why_void;  /* static text */
    bool nodes, slots, settings; /* which part changed */
};

/* Entries are applied in order: index > m->index. Never fails; a void entry counts. */
/* A copy with what it points to, on the heap; and its end. */
struct map_entry *map_entry_copy(const struct map_entry *e);
void map_entry_free(struct map_entry *e);

struct map_applied map_apply(struct map *m, uint64_t index, const struct map_entry *e);

#endif

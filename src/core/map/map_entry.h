/* SPDX-License-Identifier: BSD-3-Clause */

/* Every entry of the controller's log that changes the map: check and apply.
 *
 * An entry is proposed by whoever may (the leader, or a slot's primary), passed to the leader,
 * appended, and takes effect where and when it is applied; there it is judged against the map as it
 * is then, and may be void, whole or for some slots (replication 13). `base` is the index the
 * proposer's map had: a node that joined or restarted, and a slot that changed, after it are not
 * what the proposer judged. Its bytes: wire/wire_map.c. */
#ifndef CORE_MAP_MAP_ENTRY_H
#define CORE_MAP_MAP_ENTRY_H

#include "base/bits.h"
#include "core/map/map.h"

enum map_entry_type {
    /* the first one: cluster, settings, and the node that has every slot, at epoch 1 */
    MAP_FOUND = 1,
    MAP_JOIN, /* a node, from now on a member; void if its id is known or the map is full */
    /* new addresses, zone or weight of a member, in its known incarnation; and its data-id, which
     * it knows once it has loaded */
    MAP_ANNOUNCE,
    MAP_SUSPECTED, /* replication 16 */
    /* 17, 19: its slots have no primary from here on. Void unless X is SUSPECT, since base or
     * before: after a CLEAR its lease may run again */
    MAP_DOWNED,
    MAP_CLEARED, /* 17: eligible again, and no more */
    /* 19: void unless the incarnation is greater than the known one; counts as CLEARED */
    MAP_RESTARTED,
    /* CLUSTER FORGET: from now on it is drained; void for the last that can hold data */
    MAP_LEAVE,
    /* it left and nothing names it any more: it is gone. A removed id may only join anew */
    MAP_REMOVE,
    MAP_SET, /* a setting; void if unknown or out of its range (map_setting.h) */
    /* what placement wishes, for the slots that change; void if there is a newer wish */
    MAP_PLACE,
    MAP_ELECT,    /* 21, 22: new primaries for slots without one */
    MAP_HANDOVER, /* 26: the primary gives slots to another */
    /* 11 - 14: the primary proposes who is in sync from now on. With no slot it raises n, and no
     * more: the way out of doubt (12) */
    MAP_ISR,
    /* the primary's: what was acknowledged in these slots is held by the present W of their
     * in-sync sets, and of those in doubt. Void if W or RF was set since base, and for a
     * slot that changed */
    MAP_SETTLED,
    /* whoever may have a lease has applied the newest SET of cluster-node-timeout: it is settled.
     * Void if there is one since base */
    MAP_TIMEOUT_SETTLED,
    MAP_TYPES
};

struct map_member { /* JOIN, FOUND, ANNOUNCE, RESTARTED: what a node says of itself */
    struct node_id id;
    struct data_id data, voter; /* of its appendonlydir, and of its controllers' log */
    uint32_t incarnation;
    struct endpoint at;
    char zone[ZONE_BYTES];
    uint32_t weight;
    uint64_t home;
};

/* So many consecutive slots with one list. */
struct map_run {
    uint16_t from, to; /* both included */
    uint8_t n;
    uint16_t node[MAP_COPIES]; /* places; the first is, or is to be, the primary */
};

/* So many consecutive slots with one in-sync set: (place, incarnation), the primary first. */
struct map_isr_run {
    uint16_t from, to;
    uint8_t n;
    uint16_t node[MAP_COPIES];
    uint32_t incarnation[MAP_COPIES];
};
/* Of one entry at most: they fit one of the log (RAFT_ENTRY_BYTES). */
enum { MAP_ISR_RUNS = SLOTS / 2 };

struct map_entry {
    enum map_entry_type type;
    /* the map index it was computed from: DOWNED, PLACE, ELECT, HANDOVER, ISR (13), both SETTLED */
    uint64_t base;
    /* SUSPECTED, DOWNED, CLEARED, LEAVE, REMOVE; who proposes: HANDOVER, ISR, SETTLED */
    struct node_id about;
    uint32_t incarnation; /* of `about`, as the proposer knew it; DOWNED: the one that is over */
    union {
        struct {
            struct cluster_id cluster;
            struct map_settings settings;
            struct map_member first;
        } found;
        struct map_member member; /* JOIN, ANNOUNCE, RESTARTED */
        struct {
            char name[32]; /* as the directive is called: "replication-factor" */
            int64_t value;
        } set;
        struct {
            const struct map_run *run; /* borrowed: PLACE, and ELECT: the winner and the new isr */
            size_t run_n;
            /* ELECT, by an operator's word: who is in sync and lost is given up, and the
             * slot goes on with what the first of the nodes named holds, which may
             * be nothing (22) */
            bool give_up;
        } runs;
        struct {
            /* rising with each proposal of this incarnation, ISR or HANDOVER (12) */
            uint64_t n;
            struct node_id to;
            uint32_t to_incarnation;
            /* the proposer vouches that the slots hold nothing: `to` need hold no copy, and
             * where it is not in sync the slot begins anew there (P15). The proposer runs
             * nothing on them until the fate is known */
            bool empty;
            struct bits slots;
        } handover;
        struct {
            uint64_t n;                    /* as above */
            const struct map_isr_run *run; /* borrowed */
            size_t run_n;
        } isr;
        struct bits settled; /* SETTLED: its slots */
    };
};

/* What applying one did, for those who follow the map. */
struct map_applied {
    bool is_void; /* it changed nothing but the index, and perhaps a proposer's n */
    /* static text; NULL: not void. Of a slot, where some changed and some did not: NULL */
    const char *why_void;
    bool nodes, slots, settings; /* which part changed */
};

/* Entries are applied in order: index > m->index. Never fails; a void entry counts. */
struct map_applied map_apply(struct map *m, uint64_t index, const struct map_entry *e);

/* The slots that it may change are added; false: those of some node, or all. */
bool map_entry_slots(const struct map_entry *e, struct bits *slots);

/* A copy with what it points to, on the heap; and its end. */
struct map_entry *map_entry_copy(const struct map_entry *e);
void map_entry_free(struct map_entry *e);

#endif

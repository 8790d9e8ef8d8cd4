/* SPDX-License-Identifier: BSD-3-Clause */

/* A cluster of N whole control planes (planes.h): does it form, hold and fail over as a small one does, and
 * what does each member say for it?
 *
 *     form      all start at once, and join the first
 *     calm      60 s over a network that delays, loses and breaks a little: every lease holds, nobody is doubted
 *     change    settings, set at one node: applied by every data plane within 8 intervals of gossip
 *     loss      a node dies, then who leads, again and again: DOWN in time, known in time, all others' leases hold */
#ifndef SCALE_H
#define SCALE_H

#include <stdbool.h>
#include <stdint.h>

enum scale_kind { SCALE_BEATS, SCALE_ANSWERS, SCALE_GOSSIP, SCALE_RAFT, SCALE_REST, SCALE_KINDS };
const char *scale_kind_name(enum scale_kind kind);

struct scale_saying { /* a second, of one of them on average */
    double messages[SCALE_KINDS];
    double bytes;
};

struct scale_figures {
    unsigned n;
    struct scale_saying plain, voter; /* in calm; answers are those to others' heartbeats */
    int64_t form_ms;                  /* from the start to leases, shares and voters everywhere */
    int64_t change_ms;                /* the longest from CLUSTER SETTINGS SET to the last data plane */
    int64_t down_ms, leader_down_ms;  /* the longest from the death of a node, of who leads, to its DOWN, */
    int64_t leader_ms;                /* to the next leader, */
    int64_t known_ms;                 /* and from DOWN to the last data plane */
    int64_t lease_least_ms;           /* that was left of any lease at any moment of calm */
    uint64_t lost, broken;            /* packets and connections, in calm */
    uint64_t digest;                  /* of the whole run */
    char wrong[256];                  /* what did not hold; empty: all did */
};

void scale_run(struct scale_figures *to, unsigned n, uint64_t seed, bool trace);
/* What grows with the cluster although it must not; NULL: nothing. few: the smaller one. */
const char *scale_grows(const struct scale_figures *few, const struct scale_figures *many);
void scale_say(const struct scale_figures *f);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */

/* The start of a node in the false world: its log is read from a sim_disk and made writable, as the shell
 * does it (server/loading.c), here and now. */
#ifndef SIM_START_H
#define SIM_START_H

#include "node/node.h"
#include "persist/startup.h"
#include "tests/sim/sim_disk.h"

struct sim_start {
    struct sim_disk *disk;
    struct rng *rng;
    const struct node_out *out;
    void (*step)(struct sim_start *s, struct node_event *ev);
    void (*say)(struct sim_start *s, const char *text);
    bool says_steps;   /* each step of the mending is told */
    bool may_lack;     /* slots that lack records are no reason to refuse */
    int dies_at;       /* the so-manieth step is the last; 0: none */
    struct startup plan;
    struct node_loaded loaded;
    bool is_new;       /* there was no log */
    char refusal[1024]; /* empty: it was not refused */
};

/* What lies there is read, then mended and the node's; false: refused, or it died on the way. Between the two a
 * cluster's node says what it has read. */
bool sim_start_read(struct sim_start *s);
bool sim_start_mend(struct sim_start *s);
void sim_start_free(struct sim_start *s);

#endif

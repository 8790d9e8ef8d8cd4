/* SPDX-License-Identifier: BSD-3-Clause */

/* Many control planes in one process, over a false network and false disks, in virtual time.
 *
 *     calendar   packets, disk operations and wake-ups; the earliest is taken, time jumps to it
 *     wire       connections whose bytes take a drawn time each way, in order; a cut between two hosts
 *                swallows what is said, and breaks the connections when it heals
 *     data       in place of a data plane: a map that follows, reports and gives empty slots away
 *
 * It checks at every step what must hold between them: one leader a term, equal entries make equal maps,
 * no two valid leases for one slot. */
#ifndef PLANES_H
#define PLANES_H

#include "base/heap.h"
#include "base/rng.h"
#include "control/control.h"
#include "tests/sim/sim_disk.h"

enum { PLANES_MAX = 256 };

struct plane_conn { /* between two hosts; either end may be gone */
    uint32_t a, b;       /* who dialed, who accepted */
    uint32_t link, guest; /* the numbers they know it by */
    bool a_open, b_open; /* that end is there */
    bool stalled;        /* what is said is lost: it breaks once there is no cut any more */
    struct mono a_free, b_free; /* bytes towards that end arrive no earlier: they keep their order */
};

enum packet_type { PACKET_DIAL, PACKET_BYTES, PACKET_CLOSED };
struct packet {
    struct heap_node due;
    struct planes *world;
    enum packet_type type;
    size_t conn;         /* BYTES, CLOSED, DIAL's answer */
    bool to_a;
    char *bytes;
    size_t n;
};

struct plane_data { /* the false data plane */
    struct map map;
    struct bits full;    /* slots that hold keys */
    uint64_t proposed_n;
    struct bits giving;  /* offered to another: nothing is served there until the map tells (26) */
    struct position at[SLOTS];
    bool hung;           /* its loop stands still */
};

struct plane {
    struct planes *world;
    uint32_t number;
    struct control *control; /* NULL: it is down */
    struct control_out out;
    struct sim_disk disk;
    struct heap_node wake, pulse;
    struct plane_data data;
    struct mono lease;
    struct log log;
    struct control_config config;
    bool frozen;             /* SIGSTOP: it is stepped no more, what comes waits */
    VEC(struct packet *) waiting;
    uint32_t guests_n;
    uint64_t progress;
    struct word_view view;   /* the newest; without peers */
    VEC(struct word) answers;
    uint64_t seed_n;
    uint64_t checked;        /* the map's index when all its invariants were looked at */
};

struct planes {
    uint64_t seed;
    struct rng rng;
    struct heap calendar;
    struct mono now;
    size_t n;
    struct plane at[PLANES_MAX];
    VEC(struct plane_conn) conns;
    bool cut[PLANES_MAX][PLANES_MAX]; /* what [from] says to [to] is lost */
    int64_t delay_least_us, delay_mean_us;
    unsigned loss_of_1000;   /* connections that break at a packet */
    bool trace;
    uint64_t packets_n, bytes_n;
    char wrong[256];         /* what did not hold; empty: all did */
};

void planes_init(struct planes *w, uint64_t seed);
void planes_free(struct planes *w);
/* A host with an empty disk; join: a number, or -1: it founds a cluster. */
struct plane *plane_add(struct planes *w, int join);
void plane_copy_disk(struct planes *w, struct plane *to, const struct plane *from); /* to's is begun anew */
void plane_start(struct planes *w, struct plane *p);
void plane_kill(struct planes *w, struct plane *p, bool power); /* kill -9, or its power too */
void plane_freeze(struct planes *w, struct plane *p, bool frozen);
void planes_cut(struct planes *w, uint32_t from, uint32_t to, bool cut); /* one way */
void planes_run(struct planes *w, int64_t us);
/* Runs until `done` holds; false: it did not within us. */
bool planes_until(struct planes *w, int64_t us, bool (*done)(struct planes *w));
struct plane *planes_leader(struct planes *w); /* NULL: none, or more than one (of different terms) */
bool planes_agree(struct planes *w);           /* all that run are in one cluster of all of them, with equal maps */
void plane_ask(struct planes *w, struct plane *p, struct word ask);
bool plane_has_lease(const struct planes *w, const struct plane *p);
unsigned plane_slots(const struct plane *p);   /* slots it is primary of, by its own map */

#endif

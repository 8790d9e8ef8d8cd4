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

enum { PLANES_CLIENTS = PLANES_MAX - 1 }; /* where clients are: an end (plane_end), and nothing cuts it off */

struct plane_conn { /* between two hosts; either end may be gone */
    uint32_t a, b;       /* who dialed, who accepted */
    bool a_data, b_data; /* that end is not a control plane's but planes_ops' */
    void *a_owner, *b_owner; /* of such an end: whose it is */
    uint32_t link, guest; /* the numbers they know it by */
    bool a_open, b_open; /* that end is there */
    bool stalled;        /* what is said is lost: it breaks once there is no cut any more, */
    bool broken;         /* and of what is under way in it then nothing arrives */
    struct mono a_free, b_free; /* bytes towards that end arrive no earlier: they keep their order */
};

enum packet_type { PACKET_DIAL, PACKET_GUEST, PACKET_BYTES, PACKET_CLOSED };
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
    struct bits giving;  /* offered to another: nothing is served there until the map tells (26), */
    struct mono again;   /* and if that takes so long, offered anew (12) */
    struct bits own;     /* slots it is primary of, by its map as of: */
    uint64_t own_ver;
    bool hung;           /* its loop stands still */
};

struct plane;
struct planes;

/* Who stands in place of the false data planes: data planes of a better kind, and their clients. */
struct planes_ops {
    void (*word)(struct plane *p, struct word *word); /* from the control plane; what it owns is taken */
    void (*pulse)(struct plane *p, struct control_pulse *to);
    void (*given)(struct plane *p, size_t conn, struct control_give *g); /* b is its now; what g owns is taken */
    void (*accepted)(struct planes *w, size_t conn);
    void (*dialed)(struct planes *w, size_t conn, enum control_dialed how);
    void (*bytes)(struct planes *w, size_t conn, bool at_a, struct slice in);
    void (*closed)(struct planes *w, size_t conn, bool at_a);
    bool (*due)(struct planes *w, struct heap_node *n); /* false: it is none of yours */
    void (*look)(struct planes *w);                     /* after each event */
    void (*settled)(struct plane *p);                   /* what was loaded is known on its disk */
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
    bool frozen;             /* it is stepped no more, what comes waits; */
    bool data_frozen;        /* the same of its data plane (SIGSTOP is both) */
    bool stopped;            /* as it was asked to: plane_kill ends it */
    bool is_end;             /* ops: no control plane is there, and it listens and dials nevertheless */
    struct node_id id_if_new; /* ops: what it is called if its directory does not say */
    bool is_new;             /* what its data plane has is new, or lost more than a tail */
    int64_t loads_us;        /* so long does its data plane load, from its next start on */
    struct mono loads_until; /* MONO_NEVER: it has */
    int64_t lag_us;          /* so much later arrives what it says, and what is said to it */
    bool failed;             /* ops: the disk of its log failed: its process ends */
    bool settling;           /* ops: it has loaded, and that is not on its disk yet */
    int32_t rate_ppm;        /* its clock gains so much on the world's */
    int64_t skew_us;         /* ... and has gained this, up to: */
    struct mono skewed;
    VEC(struct packet *) waiting;
    VEC(struct disk_done) stored; /* while it is frozen */
    VEC(size_t) links, guests; /* by number: its connection + 1 */
    uint64_t progress;
    struct word_view view;   /* the newest; without peers */
    VEC(struct word) answers;
    uint64_t seed_n;
    uint64_t checked;        /* the map's index when all its invariants were looked at */
};

struct planes {
    const struct planes_ops *ops; /* NULL: data planes are false */
    uint64_t digest;              /* of all that arrived, and when */
    uint64_t seed;
    struct rng rng;
    struct heap calendar;
    struct mono now;
    size_t n;
    struct plane at[PLANES_MAX];
    VEC(struct plane_conn) conns;
    bool cut[PLANES_MAX][PLANES_MAX]; /* what [from] says to [to] is lost */
    int64_t delay_least_us, delay_mean_us;
    unsigned lost_of_1000;   /* packets that have to be sent again: they, and what is behind them, come so much later: */
    int64_t resend_us;
    int64_t mib_us;          /* a MiB between two hosts takes so long, and what is behind it waits; 0: no time */
    unsigned breaks_of_million; /* packets at which their connection breaks */
    bool trace;
    bool forges_echoes;      /* a break of rule 16: who is only SEEN gets an echo */
    const char *word, *twisted; /* of equal length: whoever says the one is heard to say the other; NULL: none */
    const char *awaited;     /* lines with this text in anybody's log are counted; NULL: none */
    unsigned awaited_n;
    uint64_t packets_n, bytes_n, lost_n, broken_n;
    void (*said)(struct planes *w, struct plane *p, const struct chain *bytes); /* NULL, or: a control plane sends this */
    uint64_t at_once_n;           /* events since time last moved */
    char wrong[256];         /* what did not hold; empty: all did */
};

void planes_init(struct planes *w, uint64_t seed);
void planes_free(struct planes *w);
/* A host with an empty disk; join: a number, or -1: it founds a cluster. */
struct plane *plane_add(struct planes *w, int join);
void plane_copy_disk(struct planes *w, struct plane *to, const struct plane *from); /* to's is begun anew */
void plane_start(struct planes *w, struct plane *p);
void plane_loaded(struct planes *w, struct plane *p, bool is_new); /* ops: its data plane has read its log */
void plane_kill(struct planes *w, struct plane *p, bool power); /* kill -9, or its power too */
struct plane *plane_end(struct planes *w, uint32_t number); /* an is_end, of a number that no host has */
/* The controller begins anew with what lies on its disk; it is down. False: it may not, why; or it lost its power
 * behind so many operations of the disk. */
bool plane_recover(struct planes *w, struct plane *p, size_t most, char why[WIRE_WHY_BYTES]);
void plane_freeze(struct planes *w, struct plane *p, bool frozen);
void plane_stop(struct planes *w, struct plane *p); /* asks; then p->stopped */
void planes_cut(struct planes *w, uint32_t from, uint32_t to, bool cut); /* one way */
void planes_break(struct planes *w, uint32_t host); /* all its connections, at once */
void planes_lose(struct planes *w, uint32_t host); /* what is under way between it and those it is cut off from */
void planes_run(struct planes *w, int64_t us);
/* Runs until `done` holds; false: it did not within us. */
bool planes_until(struct planes *w, int64_t us, bool (*done)(struct planes *w));
struct plane *planes_leader(struct planes *w); /* NULL: none, or more than one (of different terms) */
bool planes_agree(struct planes *w);           /* all that run are in one cluster of all of them, with equal maps */
unsigned plane_health(struct planes *w, uint32_t number); /* as the leader's map has it; UINT32_MAX: there is none */
uint16_t plane_port(uint32_t number);     /* its cluster port */
struct mono plane_clock(struct plane *p); /* what its own clock shows */
void planes_wrong(struct planes *w, const char *what, uint32_t who);
void planes_plan(struct planes *w, struct heap_node *n, struct mono at);
int64_t planes_drawn(struct planes *w); /* a packet's time under way */
/* Connections of planes_ops' own: to a client port, or a cluster port (then the other end is a guest). */
size_t planes_dial(struct planes *w, uint32_t from, uint32_t to, bool client_port, void *owner);
void planes_send(struct planes *w, size_t conn, bool from_a, struct chain *bytes); /* taken */
void planes_close(struct planes *w, size_t conn, bool at_a);
void plane_clock_apart(struct planes *w, struct plane *p);
void plane_ask(struct planes *w, struct plane *p, struct word ask);
void plane_set(struct planes *w, struct plane *p, const char *name, int64_t value); /* asks for a setting of the map */
bool plane_has_lease(const struct planes *w, struct plane *p);
unsigned plane_slots(const struct plane *p);   /* slots it is primary of, by its own map */

#endif

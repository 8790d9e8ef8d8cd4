/* SPDX-License-Identifier: BSD-3-Clause */

/* The false world: one process, one thread, virtual time, one seed.
 *
 *     calendar   a heap of what is due; the earliest is taken, time jumps to it, it is handled
 *     node       the real one; what the shell does for it is done here, with delays drawn (sim_node.c)
 *     disk       sim_disk.h
 *     clients    write and read through the real codecs, and know what they must be answered (sim_load.c)
 *     troubles   crashes, full and failing disks, rot, stalls, cuts, a wall clock that jumps (sim_trouble.c)
 *
 * Each part has a generator of its own drawn from the seed, so that one more choice in one of them
 * leaves the others' alone. */
#ifndef SIM_H
#define SIM_H

#include "base/heap.h"
#include "base/log.h"
#include "conf/options.h"
#include "node/node.h"
#include "resp/reply.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_model.h"

enum { SIM_CLIENTS = 6, SIM_AUDITOR = SIM_CLIENTS, SIM_CONNS = SIM_CLIENTS + 1 };
enum { SIM_BATCH = 32 };
enum { SIM_TEXT_BYTES = 512 * 1024 * 1024 };

/* ------------------------------------------------------------------------- clients */

/* One request, from being sent to being answered. */
struct sim_call {
    struct slice *argv; /* one allocation with the bytes */
    uint32_t argc;
    bool taken;         /* the node executed it (or queued it in MULTI) */
    bool judged;        /* the model was asked */
    bool refused;       /* answered with an error that says nothing was done */
    char *text;         /* the reply written into the session's output; NULL: none yet */
    uint64_t write;     /* the model's newest write when it had run */
    uint64_t own_write; /* WAITAOF: the newest one of this connection */
    struct mono sent;
};

struct sim_client {
    unsigned number; /* and its connection's */
    bool open;       /* the node knows the connection */
    bool held;
    bool asleep;     /* it does not read its replies for a while */
    bool closing;
    unsigned db;
    bool in_multi, multi_failed;
    VEC(size_t) queued;        /* calls inside MULTI, counted as calls_n counts */
    struct heap_node due;      /* it sends, comes back, or wakes up */
    struct heap_node wire_due; /* bytes arrive */
    struct buf wire, in;       /* on their way; arrived and unread */
    size_t in_at;
    struct request_parser parser;
    VEC(struct request) kept;  /* went back: fed first when it is let go */
    VEC(struct sim_call) calls;
    size_t calls_done, taken_n, peeked_n; /* of calls: answered, taken, their reply seen in the output */
    uint64_t own_write;
    uint64_t answered_n;
    struct mono refused_at;    /* the newest refusal for the disk's sake */
    struct chain *out;
    size_t upto;
    enum appendfsync policy;   /* the weakest in force when these bytes were let go */
    struct answer_reader *peek, *got;
    uint64_t peeked_put;
};

/* ------------------------------------------------------------------------ the world */

enum sim_trouble {
    TROUBLE_KILL, TROUBLE_POWER, TROUBLE_SLOW, TROUBLE_FULL, TROUBLE_FAIL_SYNC, TROUBLE_FAIL_WRITE,
    TROUBLE_ROT, TROUBLE_STALL, TROUBLE_CUT, TROUBLE_ASLEEP, TROUBLE_WALL, TROUBLE_START, TROUBLES
};
const char *sim_trouble_name(enum sim_trouble t);

/* A reply that left at this time let it be known that writes up to this one were made. */
struct sim_told {
    struct mono at;
    uint64_t write;
    enum appendfsync policy;
};

struct sim_rot { /* the bit that turned while the node was down */
    bool there;
    char name[DISK_NAME_BYTES];
    size_t at;
    unsigned char bit;
    bool is_told; /* a mark behind it says that it was durable: it must be noticed */
};

enum sim_process { PROCESS_DOWN, PROCESS_UP, PROCESS_STUCK /* the start was refused */ };

struct sim_turn { /* the shell's */
    struct heap_node due;      /* of the next turn */
    struct heap_node release;  /* of the release of this one */
    bool releasing;
    struct mono wake;
    struct node_request at[SIM_BATCH];
    struct request requests[SIM_BATCH];
    struct sim_client *from[SIM_BATCH];
    size_t n;
    VEC(struct disk_done) done;
    struct request_arena slices;
};

struct sim {
    uint64_t seed;
    enum sim_break broken;
    struct heap calendar;
    struct mono now;
    int64_t wall_offset_ms;
    struct rng rng, node_rng, load_rng, trouble_rng;

    enum sim_process process;
    struct node *node;
    struct options options;
    struct node_world node_world;
    uint64_t stopwatch;
    struct log log;
    struct node_out out;
    struct sim_turn turn;
    struct sim_disk disk;
    uint64_t starts_n;
    int ended_with;            /* the exit code, when it ended by itself */
    int start_dies_at;         /* the start's so-manieth step is its last; 0: none */
    char last_refusal[1024];   /* why the newest start was refused */
    bool last_cut;             /* the newest start cut a torn tail */
    bool last_clean;           /* ... found the end mark of a clean stop */
    bool slotted;              /* a cluster's node that has all slots, in a new epoch at each start */
    uint64_t epoch;
    unsigned group;            /* slotted: keys of a command or transaction are of one slot */
    bool in_transaction;

    struct sim_client clients[SIM_CONNS];
    bool load_on;              /* clients go on sending */
    bool has_operator;         /* a node whose disk failed is started anew */
    struct model model;
    VEC(struct sim_told) told;
    uint64_t durable;          /* writes up to this one outlast a power cut */
    enum appendfsync policy;   /* what CONFIG SET said last */
    enum appendfsync start_policy;
    bool failed;               /* the log's disk failed in this run of the node */
    bool full_seen;            /* it was full in this run */
    struct mono failed_at;

    struct heap_node trouble_due[TROUBLES], room_due, quick_due, restart_due;
    struct sim_rot rot;
    uint64_t lowest;           /* of the crashes since the last audit; UINT64_MAX: none */
    struct mono old_enough;    /* under everysec: what was told before the crash by then */
    bool has_trouble[TROUBLES];
    uint64_t fired[TROUBLES];

    uint64_t ops_n, acked_n, crashes_n, audits_n, lost_n; /* totals */
    bool trace_on;
    struct buf *trace_to;      /* a scenario's answer; NULL: none */
    uint64_t digest;           /* of the whole trace */
    bool wrong;                /* a check failed: the run ends */
    char why[1024];
};

/* ---- sim.c */
void sim_init(struct sim *s, uint64_t seed, enum sim_break broken);
void sim_free(struct sim *s);
bool sim_next(struct sim *s, struct mono until); /* the earliest thing due by then is handled; false: none */
void sim_run_until(struct sim *s, struct mono until);
struct wall sim_wall(const struct sim *s);
void sim_trace(struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_wrong(struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
int64_t sim_exponential(struct rng *r, int64_t mean_us);
void sim_plan(struct sim *s, struct heap_node *n, int64_t after_us); /* at another time, if it was planned */
void sim_run_seed(struct sim *s); /* one seed, from its draw to its verdict */

/* ---- sim_node.c */
void sim_node_start(struct sim *s);
void sim_node_crash(struct sim *s, bool power);
void sim_node_stop(struct sim *s); /* SIGTERM */
void sim_node_turn_soon(struct sim *s);
bool sim_node_due(struct sim *s, struct heap_node *due); /* true: it was ours */
void sim_node_open(struct sim *s, struct sim_client *c);
void sim_node_close(struct sim *s, struct sim_client *c);
void sim_node_run_now(struct sim *s, struct sim_client *c); /* its input is executed here and now */

/* ---- sim_load.c */
void sim_load_init(struct sim *s);
void sim_load_free(struct sim *s);
bool sim_load_due(struct sim *s, struct heap_node *due);
void sim_client_say(struct sim *s, struct sim_client *c, const struct slice *argv, uint32_t argc);
void sim_client_gone(struct sim *s, struct sim_client *c); /* the connection is no more */
void sim_client_come(struct sim *s, struct sim_client *c); /* ... or there is one */
void sim_load_peek(struct sim *s, bool again); /* after a step: what was written for whom */
void sim_load_judge(struct sim *s, struct sim_client *c, size_t call); /* in the order of execution */
void sim_load_deliver(struct sim *s, struct sim_client *c); /* c->upto bytes of c->out leave */

/* ---- sim_check.c */
void sim_policy(struct sim *s, enum appendfsync policy); /* CONFIG SET was executed */
void sim_tell(struct sim *s, uint64_t write, enum appendfsync policy); /* a reply that knows of it left */
void sim_crash(struct sim *s, bool power); /* the node dies: what may be missing then? */
void sim_restart(struct sim *s);           /* and comes back, if it can: what is missing? */
void sim_audit(struct sim *s, uint64_t lowest); /* what is there is asked for and compared */

/* ---- sim_trouble.c */
void sim_trouble_init(struct sim *s);
bool sim_trouble_due(struct sim *s, struct heap_node *due);
void sim_trouble_end(struct sim *s); /* everything heals */
bool sim_rot_at(struct sim *s, const char *name, size_t at, unsigned bit); /* false: there is no such byte */
bool sim_rot(struct sim *s);         /* one bit turns; false: there is nothing to rot */
void sim_unrot(struct sim *s);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */

/* The insides of a node, for the files of this room alone. */
#ifndef NODE_STATE_H
#define NODE_STATE_H

#include "base/bits.h"
#include "base/heap.h"
#include "base/log.h"
#include "cmd/exec.h"
#include "node/latency.h"
#include "node/node.h"
#include "node/rewrite.h"
#include "node/session.h"
#include "persist/journal.h"
#include "store/evict.h"

enum { NODE_BATCH = 32 }; /* hot-path.md: 16 is nearly as good, 64 no better */

/* Where a NODE handler stands: one command of one session. It writes exactly one reply, or holds
 * the session (session_hold) and replies when it is let go. */
struct call {
    struct node *node;
    struct session *session;
    const struct spec *spec;
    const struct slice *argv;
    struct blob *const *blobs; /* NULL, or argc */
    uint32_t argc;
    struct reply *reply;
    struct node_out *out;
};
typedef void node_handler(struct call *c);

/* Commands too short to time, of one kind: they get their share of the batch. */
struct brief_run {
    const struct spec *spec;
    uint32_t calls, failed;
};

/* The start: what was read back so far. */
struct load {
    struct aof_reader reader;
    struct aof_batch batch;
    uint64_t bytes_done, bytes_total;
    bool clean; /* as the shell was told */
};

/* Of a node in a cluster that is over maxmemory. */
struct shortage {
    size_t over; /* bytes over maxmemory, when it was looked at last; */
    size_t left; /* so many of these are primaries' elsewhere to evict */
    /* keys that could go, as counted last: its own; copies whose primary can be asked */
    uint64_t own, others;
    size_t over_then;     /* `over` at that count; */
    unsigned stuck;       /* so many counts without its getting less; */
    struct mono count_at; /* the next one */
};

struct node {
    struct options *options; /* borrowed of the shell, which loaded them */
    struct log *log;
    struct node_world *world;
    struct node_identity identity;
    struct store store;
    struct store_ops store_ops; /* the node is found from it by CONTAINER_OF */
    struct journal journal;
    struct rewrite rewrite;
    bool writers_held;            /* some wait until commit_holds no more */
    struct option_trial *wanted;  /* do_config.c: a CONFIG SET that waits for NODE_LISTENING */
    struct cmd_config cmd_config; /* what the options say to handlers */
    struct cmd_stats cmd_stats, replay_stats; /* of clients; of records applied */
    struct rng rng;

    struct mono now, started;
    struct wall wall;
    unsigned wall_us; /* into wall.ms: for people */
    bool stepping;    /* a step is never inside another */

    /* sessions (session.c) */
    VEC(struct session *) by_conn; /* NULL where there is none */
    struct list sessions;          /* all, oldest first */
    struct list monitors;
    struct list waiting;    /* waiting.c */
    struct list migrations; /* migrate.c */
    uint32_t last_link;
    size_t sessions_n;
    uint64_t sessions_made;
    VEC(uint32_t) to_flush;  /* connections whose output is not judged yet */
    VEC(uint32_t) gated;     /* connections with shut gates, each once */
    struct lsn gate_floor;   /* gates up to here were failed: nothing waits for them any more */
    struct heap held;        /* sessions by when they are let go at the latest */
    struct mono pause_until; /* CLIENT PAUSE; 0: none */
    bool pause_writes_only;

    /* records (commit.c); the lsn is the journal's */
    struct lineage *slots;  /* where each stands: one, or SLOTS */
    struct bits owned;      /* own.h; alone: slot 0 */
    struct effects effects; /* of what runs now */
    bool in_exec;           /* effects are collected into one record */

    /* the batch that runs (run.c) */
    struct brief_run brief[NODE_BATCH];
    size_t brief_n;
    uint64_t alone_ns; /* of the commands that were timed alone */
    bool time_all;     /* slowlog or latency limits so low that every command is timed */

    struct stats *stats;       /* stats.c: counters, per command and in all */
    struct watched *watched;   /* multi.c: who watches what */
    struct cluster *cluster;   /* cluster.h; NULL: alone */
    struct seats_state *seats; /* seats.h: other threads of a proxy */
    bool is_watched;           /* monitors there want to see what runs here */
    struct slowlog *slowlog;   /* slowlog.c */
    struct latency *latency;   /* latency.c: events over latency-monitor-threshold */
    struct evict_pool evict;   /* store/evict */
    size_t memory_limit;       /* maxmemory in bytes; 0: none */
    size_t memory_beside;      /* used memory that is not the store's, sampled by the cron */
    size_t memory_peak;
    uint64_t evicted;
    bool evicting;            /* over maxmemory: goes on between requests */
    struct shortage shortage; /* memory.c */
    bool loading;
    struct load *load; /* while loading */
    struct mono next_cron, expire_at;
    enum journal_state disk_seen; /* as commit_look saw it last */
    bool expire_off;              /* DEBUG SET-ACTIVE-EXPIRE 0 */
    struct session *stopping;     /* who asked for SHUTDOWN, or NULL */
    /* who asked for the backup that is not begun on disk yet, or NULL */
    struct session *backing_up;
    bool stop_asked;
    struct mono stop_until; /* so long it waits for others to take its slots (replication 27) */
};

static inline unsigned node_slots_n(const struct node *n)
{
    return n->store.is_slotted ? SLOTS : 1;
}

static inline bool own_has(const struct node *n, unsigned slot) /* own.h */
{
    return bits_has(&n->owned, slot);
}

/* The k-th of this node's; a proxy's threads have each their own numbers. */
static inline uint64_t node_number(const struct node *n, uint64_t k)
{
    return k * (n->identity.seats_n > 0 ? n->identity.seats_n : 1) + n->identity.seat;
}

/* Clients are told of a cluster; a proxy hides it (N17). */
static inline bool node_is_member(const struct node *n)
{
    return n->cluster != NULL && !n->identity.is_proxy;
}

static inline bool node_is_monitored(const struct node *n)
{
    return !list_empty(&n->monitors) || n->is_watched;
}

/* What clients are told as the replication offset. */
static inline uint64_t node_offset(const struct node *n)
{
    return n->store.is_slotted ? n->journal.appended.n : n->slots[SLOT_ALONE].at.seq;
}

static inline int64_t node_second_us(const struct node *n) /* microseconds into the second */
{
    return n->wall.ms % 1000 * 1000 + n->wall_us;
}

/* ---- session.c */
struct session *session_open(struct node *n, const struct node_event *ev);
void session_close(struct node *n, struct session *s);                        /* frees it */
static inline struct session *session_at(const struct node *n, uint32_t conn) /* NULL: gone */
{
    return conn < n->by_conn.n ? n->by_conn.at[conn] : NULL;
}
struct session *session_by_id(const struct node *n, uint64_t id); /* NULL: none */
/* Bytes were written into s->out: they are gated on the newest record and judged at RELEASE. */
void session_produced(struct node *n, struct session *s);
/* No further input is taken until session_let_go; until: MONO_NEVER or when session_due comes. */
void session_hold(struct node *n, struct session *s, enum session_held why, struct mono until);
void session_let_go(struct node *n, struct session *s, struct node_out *out);
/* The reply of a command that held its session, and what follows it: the session goes on. silent,
 * empty before, takes what nobody is to read. */
struct reply session_owed_reply(struct session *s, struct chain *silent);
void session_owed_done(struct node *n, struct session *s, struct chain *silent,
                       struct node_out *out);
/* A protocol error. */
void session_reply_bad_input(struct node *n, struct session *s, const char *text);
void session_close_after_reply(struct node *n, struct session *s);
void session_release(struct node *n, struct node_out *out); /* RELEASE: fills out->flush */
/* The disk is in trouble: every gate that waits for it. */
void session_fail_gates(struct node *n, const char *why);
/* So do those of sessions whose oldest one has been shut for so long; when the next one
 * will have been. */
struct mono session_gates_old(struct node *n, int64_t most_us, const char *why);
struct reply session_reply(struct session *s); /* a writer into its output */
/* A copy that outlives the event, and back. */
void kept_request_copy(struct kept_request *k, const struct spec *spec, const struct slice *argv,
                       struct blob *const *blobs, uint32_t argc);
void kept_request_free(struct kept_request *k);
/* The same in memory of the caller's, of kept_request_room() bytes aligned as for pointers; dropped
 * before that is freed. */
size_t kept_request_room(const struct slice *argv, struct blob *const *blobs, uint32_t argc);
void kept_request_put(struct kept_request *k, void *room, size_t room_n, const struct spec *spec,
                      const struct slice *argv, struct blob *const *blobs, uint32_t argc);
/* The same, of one whose bytes are in one piece, as that piece. */
size_t kept_request_raw_room(const struct request *q);
void kept_request_put_raw(struct kept_request *k, void *room, const struct spec *spec,
                          const struct request *q);
void kept_request_drop(struct kept_request *k);

/* argv[i] as a number, or text (NULL: Redis' default one) was answered. */
bool call_i64_or_reply(struct call *c, uint32_t i, int64_t *v, const char *text);

/* ---- waiting.c */
static inline bool pause_is_on(const struct node *n)
{
    return n->pause_until.us != 0 && !mono_reached(n->now, n->pause_until);
}

/* ---- run.c */
/* One command of an EXEC runs, every check passed, with its own count and time. */
void run_command(struct node *n, struct session *s, const struct spec *spec,
                 const struct slice *argv, struct blob *const *blobs, uint32_t argc,
                 struct reply *r, struct node_out *out);
/* One that waited in a turn (cluster.h): checked, run and counted as if it had just come. */
void run_kept(struct node *n, struct session *s, const struct kept_request *k, struct reply *r,
              struct node_out *out);
/* A command is over: its time, its count, and the slow log. */
void run_noted(struct node *n, const struct session *s, const struct spec *spec,
               const struct slice *argv, uint32_t argc, uint64_t ns, bool failed);
void run_requests(struct node *n, struct node_request *at, size_t count, struct node_out *out);
node_handler *node_handler_of(const struct spec *spec); /* bind.c: from commands.def */

/* ---- commit.c */
/* Records of this slot go to replicas, too. */
bool commit_is_told(const struct node *n, unsigned slot);
/* Why writes are refused now; NULL: they are not. */
const char *commit_refuses(const struct node *n);
const char *commit_trouble(const struct node *n); /* the same, also below disk-reserve */
void commit_look(struct node *n);                 /* did the disk get into trouble, or out of it? */
void commit_effects(struct node *n); /* what n->effects holds becomes one record; none if empty */
/* MISCONF, behind `before`: writes are refused now. */
bool commit_refused_or_reply(struct node *n, const char *before, struct reply *r);
/* false: it is to be asked whether they are refused */
static inline bool commit_is_open(const struct node *n)
{
    return n->journal.state == JOURNAL_OFF ||
           (n->journal.state == JOURNAL_OK &&
            n->rewrite.space >= (uint64_t)n->options->disk_reserve);
}
/* A record of this command has at most so many bytes: no effect of a write has more than its
 * arguments, but for a frame. In a cluster one that may be over max-record is refused before it
 * runs (replication 24). */
uint64_t commit_record_bytes(const struct slice *argv, uint32_t argc);
bool commit_is_too_great(const struct node *n, uint64_t bytes);
bool commit_too_great_or_reply(const struct node *n, const char *before, uint64_t bytes,
                               struct reply *r);
/* Too much waits for the disk: whoever brings more waits. */
bool commit_is_behind(const struct node *n);
bool commit_holds(const struct node *n); /* the same, or too much is to be evicted: writers wait */
/* Writers that waited, once they need not. */
void commit_let_go(struct node *n, struct node_out *out);

/* ---- load.c */
void load_begin(struct node *n);
void load_free(struct node *n);
void load_file(struct node *n, const struct node_event *ev);
void load_bytes(struct node *n, const struct node_event *ev, struct node_out *out);
void load_end(struct node *n, struct node_out *out);
void load_ready(struct node *n, const struct node_event *ev);

/* ---- apply.c */
void options_applied(struct node *n); /* options changed: what is derived from them follows */

/* ---- due.c */
/* What is due, or in maxmemory's way: not in a pause, nor without a lease. */
bool due_may_drop(const struct node *n);
/* By a record; false: it is not ours to say that it is gone. */
bool due_drop(struct node *n, unsigned db, struct key *k);
void due_step(struct node *n, struct node_out *out);
struct mono due_next(const struct node *n);
/* The process ends once everything is stored; asked_by (may be NULL) is held until then. */
void stop_begin(struct node *n, struct session *asked_by, bool at_once);
bool stop_abort(struct node *n, struct node_out *out); /* SHUTDOWN ABORT; false: none under way */
void stop_look(struct node *n, struct node_out *out);

/* ---- memory.c */
bool memory_short(struct node *n);       /* over maxmemory, and the policy lets nothing go */
bool memory_holds(const struct node *n); /* far over it while eviction goes on: writers wait */
void memory_step(struct node *n); /* what is left of eviction, and what others want evicted here */
struct repl_guest;
struct repl_ack;
struct replicas;
void memory_begin(struct replicas *r);
/* What a primary of copies here is told of this node's memory. */
void memory_tell(struct node *n, const struct repl_guest *g, struct repl_ack *to);

/* ---- multi.c */
bool multi_queues(struct call *c); /* in MULTI and not one of those that run: queued, answered */
/* A command was refused (NULL: there is none such): inside MULTI, EXEC will abort; EXEC
 * itself ends it. */
void multi_refused(struct node *n, struct session *s, const struct spec *spec);
/* MULTI and WATCH, as by DISCARD or a closed connection. */
void multi_forget(struct node *n, struct session *s);
void watch_touched(struct node *n, unsigned db, struct slice key);
void watch_touched_all(struct node *n, unsigned db, unsigned replaced_by);
void watch_touched_slot(struct node *n, unsigned slot);
/* Whatever is watched there is touched. */
void watch_slots_lost(struct node *n, const struct bits *slots);

/* ---- monitor.c */
/* After it ran. */
void monitor_feed(struct node *n, const struct session *s, const struct slice *argv, uint32_t argc);
void monitors_show(struct node *n, struct slice lines);

/* ---- do_save.c */
/* After the disk answered: BACKUP may be, too. */
void backup_look(struct node *n, struct node_out *out);

/* ---- do_config.c */
/* As set at another seat. */
void config_follow(struct node *n, const struct option_pair *pairs, size_t pairs_n,
                   struct node_out *out);
/* Another seat's CONFIG SET. */
void config_set_for(struct node *n, const struct kept_request *k, bool is_loopback, struct reply *r,
                    struct node_out *out);
/* So is CONFIG SET of port or bind. */
void config_listening(struct node *n, bool listens, struct node_out *out);
/* CONFIG REWRITE is answered. */
void config_rewritten(struct node *n, const char *failed, struct node_out *out);

/* ---- stats.c */
void stats_init(struct node *n);
void stats_free(struct node *n);
/* So many calls that took ns each, so many of which failed. */
void stats_calls(struct node *n, const struct spec *spec, uint64_t calls, uint64_t ns,
                 uint64_t failed);
void stats_turn(struct node *n); /* a step with requests begins */
void stats_rejected(struct node *n, const struct spec *spec);
/* Ten times a second: instantaneous_*, memory_beside, memory_peak. */
void stats_sample(struct node *n);
void stats_error(struct node *n, const char *code); /* every error reply */

/* ---- slowlog.c */
void slowlog_note(struct node *n, const struct session *s, const struct slice *argv, uint32_t argc,
                  uint64_t ns);

/* Every NODE handler of commands.def: void node_x(struct call *c). */
#define CONTAINER
#define DATA(f)
#define NODE(f) void f(struct call *c);
#define CMD(id, name, arity, handler, ...) handler
#define SUB(container, id, name, sub, arity, handler, ...) handler
#include "cmd/commands.def"
#undef CONTAINER
#undef DATA
#undef NODE
#undef CMD
#undef SUB

#endif

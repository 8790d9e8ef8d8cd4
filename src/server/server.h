/* SPDX-License-Identifier: BSD-3-Clause */

/* The shell of one node: turns the world into events and carries the outs away.
 *
 * A turn:
 *     wait                   until a descriptor is ready, a lane has answered, or something is due
 *     answers of the lanes   NODE_DISK
 *     the control plane      NODE_WORD; who brings other nodes' commands; the pulse
 *     what is due            NODE_DUE
 *     links                  NODE_DIALED; who is ready comes among the clients
 *     clients                accept; read all that are ready, at most READ_MAX_BYTES each; parse;
 *                            run in batches over all of them: NODE_REQUESTS
 *     release                NODE_RELEASE with a fresh clock, then one writev per client
 *     bury                   who was closed is freed; big memory goes to the reaper
 *
 * It decides nothing about data. Its own are the limits that protect it: how much one client may
 * send, leave unread, or idle. */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "conf/options.h"
#include "io/conn.h"
#include "io/line.h"
#include "io/logfile.h"
#include "io/reaper.h"
#include "node/node.h"
#include "resp/request.h"
#include "server/control_thread.h"
#include "server/doors.h"
#include "server/storage.h"
#include "wire/hello.h"

enum { READ_MAX_BYTES = 64 * 1024 }; /* of one client and turn: the others get their share */
/* the same, into a big bulk: nothing is executed for it */
enum { READ_BIG_MAX_BYTES = 1024 * 1024 };
/* Of all: then what was run is released, and what fired waits for the next turn, so that nobody is
 * silent for as long as many big requests take. */
enum { TURN_BYTES = 8 * 1024 * 1024 };
enum { READ_ARENA_BYTES = 1024 * 1024 }; /* of all clients in one wave; stays in the cache */
enum { BATCH_MAX = 32 };                 /* hot-path.md: 16 is nearly as good, 64 no better */
enum { CRON_US = 100 * 1000 };           /* how often idle and slow clients are looked at */

enum watch_kind { WATCHES_DOOR = 1, WATCHES_CLIENT, WATCHES_LINK };

/* Where a client's unread input lies. */
enum input_place { INPUT_NONE, INPUT_ARENA, INPUT_OWN };

struct client {
    struct conn conn;
    uint32_t id;   /* its number for the node, and its place in server->clients */
    uint8_t place; /* enum input_place */
    bool touched;  /* in this wave: pending requests may point into its input */
    bool held;     /* the node takes none of its requests until it says resume */
    bool paused;   /* its output is over the soft limit: nothing more is executed for it */
    bool bad;      /* it sent what cannot be parsed: its input is over */
    bool ended_told;
    bool closing;    /* to be closed once `upto` is 0 */
    bool is_peer;    /* another node, which brings its clients' commands */
    bool dead;       /* to be freed at the end of the turn */
    bool again;      /* in server->again */
    uint32_t window; /* the newest linger window it was active in */
    char *in;        /* unread input: in[in_at] to in[in_n] */
    size_t in_at, in_n, in_cap;
    struct request_parser parser;
    struct request *kept;   /* not taken, and its big values are no longer in the input */
    struct chain *out;      /* the node's, once something was owed */
    size_t upto;            /* so much of out may leave */
    size_t owed_most;       /* the most that was in out, since the cron looked last */
    struct mono active;     /* the newest input, or output taken */
    struct mono over_since; /* over the soft output limit; MONO_NEVER: not */
    struct mono ended_at;
};

struct batch {
    struct node_request at[BATCH_MAX];
    struct request requests[BATCH_MAX];
    struct batch_from {
        struct client *client;
        size_t start; /* where it began in the client's input */
    } from[BATCH_MAX];
    size_t n;
    bool has_more; /* of this wave some ran, and it is yet to be ended */
};

/* Is it worth waiting a little for more requests? */
struct linger {
    uint32_t window; /* number of the window under way; a window is 64 turns */
    unsigned turns, clients, requests;
    struct mono since;
    bool on;
};

/* What INFO tells of the shell's work. */
struct server_counts {
    uint64_t rejected, turns, reads, writes, read_bytes, written_bytes;
    uint64_t input_limit_closed, output_limit_closed;
    /* the longest unread input and output of a client, in the last seconds */
    uint64_t input_most, output_most;
};

struct server;

/* What the threads of a proxy have in common: each of them is a shell of its own (proxy/). */
struct seats {
    unsigned n;
    char run_id[RUN_ID_BYTES];
    atomic_llong clients; /* of all, for maxclients */
    atomic_uint reopens;  /* how often the log file was to be opened again */
    atomic_bool stop;     /* one of them was asked to stop: all do */
    atomic_int log_level; /* as CONFIG SET it last */
    void (*turn)(
        struct server *s); /* what the others have to tell this one, in each of its turns */
    void (*send)(struct server *s, unsigned to, struct seat_word *w); /* taken */
};

struct server {
    struct options *options;
    struct seats *seats;     /* NULL: a node, which is alone in its process */
    unsigned seat;           /* which of them this is */
    unsigned reopened;       /* its log file, so often */
    const char *config_file; /* absolute; "": none */
    struct logfile log;
    struct loop loop;
    struct storage storage;
    struct reaper reaper;
    struct control_thread control; /* in a cluster; else zeroed */
    struct hello_self self;        /* who this node is there, for links that forward */
    struct words words;            /* from the control plane */
    /* what this directory held is gone, or it is new: another copy (replication 22) */
    bool new_data;
    struct node *node;
    struct node_world world;
    /* as the C library told last; zeros with jemalloc, which is asked each time */
    struct node_memory memory;
    struct mono ask_memory; /* not before */
    struct node_out out;
    struct mono now;
    struct wall wall;
    unsigned wall_us; /* into wall.ms */
    struct mono wake; /* the node's */
    struct mono cron;
    int64_t sleep_us;   /* DEBUG SLEEP, at the end of the turn */
    bool has_directory; /* no other server writes a log here: */
    int directory_lock; /* never closed: the lock lasts as long as the process */
    bool stop_told, stop;
    bool rewrite_config; /* asked for by the newest step */
    bool loading;        /* turns do not wait: they are taken between pieces of the log */
    int exit_code;
    struct graves graves;
    VEC(struct disk_done) done; /* of operations done at once, for the node */

    struct doors doors;
    const struct options *listen; /* the newest step wants doors as these say */
    bool doors_shut;              /* no descriptor was left: tried again by the next cron */

    VEC(struct client *) clients; /* by id; NULL: free */
    VEC(uint32_t) free_ids;
    size_t clients_n, cron_at;
    struct server_counts counts;
    VEC(struct client *) touched, again, dead;
    struct lines links;
    bool links_waited;    /* in the turn before this one */
    size_t turn_requests; /* so many ran in this one, */
    size_t turn_bytes;    /* and so much was read and run of what clients sent */
    char *arena;          /* READ_ARENA_BYTES */
    size_t arena_at;
    struct request_arena slices;
    struct batch batch;
    struct linger linger;
};

/* ---- server.c */
void run_id_make(char to[RUN_ID_BYTES]); /* by chance, in hex: 40 digits, and a zero */
/* threads, the node; nothing is served yet */
bool server_start(struct server *s, char *why, size_t why_n);
void server_free(struct server *s);
void server_step(struct server *s, struct node_event *ev); /* and all that follows from its out */
void server_turn(struct server *s);
void server_look_at_clock(struct server *s);
/* Clients of the process, for maxclients. */
static inline int64_t server_clients_n(const struct server *s)
{
    return s->seats != NULL ? (int64_t)atomic_load(&s->seats->clients) : (int64_t)s->clients_n;
}

/* ---- doors.c */
/* beside: others of this process listen there, too, and its unix socket is theirs */
bool doors_open(struct server *s, bool beside, char *why, size_t why_n);
/* to o's bind and port, unless they are there */
bool doors_move(struct server *s, const struct options *o, char *why, size_t why_n);
void doors_close(struct server *s);
void doors_accept(struct server *s, struct door *d);
void doors_want(struct server *s, bool open);

/* ---- clients.c */
struct client *client_open(struct server *s, int fd);
struct client *client_at(const struct server *s, uint32_t id); /* NULL: gone or going */
void client_die(struct server *s, struct client *c); /* closed and freed at the end of the turn */
void client_tell(const struct server *s, uint32_t id, struct node_client *to); /* for CLIENT LIST */
/* Bytes that came before it was ours: its input, fed in the next wave. They are taken. */
void client_feed(struct server *s, struct client *c, struct chain *bytes);
/* its unread input is fed in the next wave */
void client_again(struct server *s, struct client *c);
void clients_turn(struct server *s);         /* everything that became ready */
void clients_batch_judged(struct server *s); /* after NODE_REQUESTS: what was not taken goes back */
void clients_bury(struct server *s);

/* ---- outputs.c */
void client_write(struct server *s, struct client *c);
void client_want(struct server *s, struct client *c);         /* tells the loop what it waits for */
void client_judge_output(struct server *s, struct client *c); /* client-output-buffer-limit */
void clients_cron(struct server *s);

/* ---- links.c */
extern const struct line_ops link_ops;
void links_take_out(struct server *s); /* what a step asks for */
void link_ready(struct watch *w, uint8_t events);

/* ---- config_read.c */
/* The file, those it includes, and then the arguments; false: text says where and what. */
bool config_read(struct options *o, const char *file, char *const *args, size_t args_n, char *text,
                 size_t text_n);

/* ---- loading.c */
/* the log; false: refused, or stopped */
bool server_load(struct server *s, char *why, size_t why_n);

/* ---- in_cluster.c: with cluster-enabled yes only */
bool cluster_prepare(struct server *s, char *why, size_t why_n); /* what can be refused at once */
bool cluster_run(struct server *s); /* false: there is no thread for it */
/* The log is read, and its files may be mended once it is on disk which copy this is. Clients are
 * served meanwhile. False: asked to stop. */
bool cluster_settle(struct server *s);
/* CONFIG SET of where this node is reached, in two steps: what can be refused, and the rest. */
bool cluster_move_begin(struct server *s, const struct options *to, struct control_move *m,
                        char *why, size_t why_n);
void cluster_move_end(struct server *s, struct control_move *m, bool moves);
void cluster_turn(struct server *s);
void cluster_take_out(struct server *s);
struct mono cluster_lease(const struct server *s);
void cluster_stop(struct server *s); /* waits for it, a bounded time */

/* ---- world.c */
void world_init(struct node_world *w);
void world_purge_memory(void); /* MEMORY PURGE */

#endif

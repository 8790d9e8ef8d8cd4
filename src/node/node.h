/* SPDX-License-Identifier: BSD-3-Clause */

/* The data plane of one node, as a function.
 *
 *     node_step(node, event, out)
 *
 * An event goes in (requests, "this was stored", "this time has come"); what must now be written to
 * whom, stored, closed or freed comes out. No socket, no file, no clock and no randomness of its
 * own: the shell (server/) and the simulator (tests/sim) drive the same machine.
 *
 * In an event everything is borrowed for the call. In an out everything belongs to the node until
 * its next step, but what an out's comment says is taken.
 *
 * A turn of the shell:
 *     NODE_OPENED / NODE_REQUESTS / NODE_CLOSED ...  as they came; after each step its out.disk is
 *     NODE_DISK for what was done                    performed (at_once) or queued
 *     NODE_RELEASE with a fresh clock                out.flush names what may be written to clients
 */
#ifndef NODE_NODE_H
#define NODE_NODE_H

#include "base/chain.h"
#include "base/moment.h"
#include "base/vec.h"
#include "conf/options.h"
#include "core/map/plane_word.h"
#include "persist/aof.h"
#include "persist/disk.h"
#include "resp/request.h"

/* Connections are small numbers chosen by the shell, reused only after NODE_CLOSED. */

struct node_request {
    uint32_t conn;
    struct request *req;
    /* out: it was executed or queued by the node; else feed it again after out.resume */
    bool taken;
};

enum node_event_type {
    NODE_OPENED = 1, /* a connection was accepted */
    NODE_REQUESTS,   /* a batch, oldest first; several of one connection in their order */
    /* more came of a long request of another node's: NODE_GROWS_BYTES since it began, or since it
     * was told last */
    NODE_GROWS,
    NODE_BAD_INPUT, /* a protocol error on a connection: it is answered and closed */
    /* the client sends no more (half-closed), all it sent was taken: it gets what it is still owed,
     * then is closed */
    NODE_ENDED,
    NODE_CLOSED,  /* the connection is gone (its output with it) */
    NODE_DISK,    /* a disk operation is done */
    NODE_DUE,     /* out.wake has come */
    NODE_RELEASE, /* end of the turn: which replies may leave? */
    /* links to other servers, opened by out.dial; none of these after
     * NODE_LINK_CLOSED or out.hang_up */
    NODE_DIALED,      /* the link is there, or not: then nothing more is told of it */
    NODE_LINK_TOOK,   /* it took bytes of out.send */
    NODE_LINK_BYTES,  /* it brought some */
    NODE_LINK_CLOSED, /* it broke, or the other side ended it */
    NODE_REWRITTEN,   /* out.rewrite_config was done, or failed */
    NODE_LISTENING,   /* out.listen was followed, or not */
    /* a proxy: a word of another of its threads (seats.h); what it holds may be taken */
    NODE_SEAT,
    NODE_STOP, /* SIGTERM, SIGINT */
    NODE_WORD, /* a word of the control plane (core/map/plane_word.h) */
    /* the start, with appendonly yes: each file of the log in order, its bytes, then the verdict */
    NODE_LOAD_FILE,
    NODE_LOAD_BYTES, /* out.load_used, out.load_want */
    NODE_LOAD_END,   /* out.loaded */
    /* files are mended as out.loaded asked, the newest increment is open for appending */
    NODE_LOG_READY
};

enum { NODE_GROWS_BYTES = 1024 * 1024 }; /* replication 14 */

enum node_dialed {
    NODE_DIALED_OK,
    NODE_DIALED_NOWHERE,   /* there is no such host */
    NODE_DIALED_NO_SOCKET, /* the system gave none: too many files are open, or it lacks memory */
    NODE_DIALED_REFUSED    /* it is not reached, or nobody listens there */
};

struct node_event {
    enum node_event_type type;
    struct mono now;
    struct wall wall;
    unsigned wall_us;  /* into wall.ms, 0 to 999: TIME, MONITOR and INFO show it */
    struct mono lease; /* in a cluster: until when this node may serve (replication 7) */
    union {
        struct {
            uint32_t conn;
            struct slice peer, local; /* "127.0.0.1:50312"; "/path:0" for a unix socket */
            bool is_unix, is_loopback;
            /* enum peer_use: a connection of the cluster port, proven; USE_NONE: a client */
            uint8_t use;
            struct node_id from;  /* who opened that, */
            uint32_t incarnation; /* in this run */
            int fd;               /* for CLIENT LIST only */
        } opened;
        struct {
            struct node_request *at;
            size_t n;
            /* it will go on before anything waits: what this batch writes may be written with
             * the next one's */
            bool more;
        } requests;
        struct {
            uint32_t conn;
            const char *text; /* "Protocol error: ..." */
        } bad;
        uint32_t closed, ended, grows; /* the connection */
        struct {
            uint32_t link;
            enum node_dialed dialed; /* NODE_DIALED, */
            uint32_t incarnation;    /* OK, at a cluster port: of the run that answered */
            size_t left;             /* NODE_LINK_TOOK: bytes that still wait to be taken */
            struct slice in;         /* NODE_LINK_BYTES */
        } link;
        const struct word *word; /* NODE_WORD */
        struct seat_word *seat;  /* NODE_SEAT */
        /* NODE_REWRITTEN: why not, as strerror tells; NULL: it was written */
        const char *rewrite_failed;
        bool listens; /* NODE_LISTENING: the doors are as asked; else they are as before */
        struct disk_done disk;
        struct {
            const char *name;
            bool is_base;
            uint64_t size, bytes_total; /* of this file; of all */
        } load_file;
        struct {
            struct slice in; /* what is unread of the file; */
            bool at_end;     /* it ends where the file does */
        } load_bytes;
        struct {
            uint32_t handle; /* as of DISK_OPEN */
            const char *name;
            uint64_t size;
            /* what was found and made; NULL: there can be no rewrite */
            const struct startup *startup;
        } log_ready;
    };
};

struct node_loaded {
    enum aof_verdict verdict;
    unsigned bad_file; /* AOF_CUT: this file is cut at bad_offset, those behind it are emptied */
    uint64_t bad_offset;
    uint64_t commands_n;
    /* durable records were cut by hand: a new data-id, durable before NODE_LOG_READY (replication
     * 22), which settles it */
    bool lost;
    /* the run before this one was stopped in good order, everything stored (22) */
    bool clean;
    unsigned frozen_n; /* slots that lack records, and take none until they have synced (25) */
    char text[1024];   /* of AOF_CUT and AOF_REFUSED: for the log */
};

struct node_flush {
    uint32_t conn;
    struct chain *chain; /* the shell writes from its head and consumes what was written */
    size_t upto;         /* so many bytes may leave */
    bool close;          /* and close once they left */
};

/* Between the threads of a proxy, in order from each to each. */
struct seat_word;
struct seat_send {
    unsigned to;
    /* the shell's from then on: to be freed once the other node has had it */
    struct seat_word *word;
};
void seat_word_free(struct seat_word *w);

/* Links are numbers chosen by the node, each used once. */
struct node_dial {
    uint32_t link;
    struct slice host; /* an address or a name */
    uint16_t port;
    /* enum peer_use: to `peer` at its cluster port, and NODE_DIALED_OK once VONG.HELLO was
     * answered; USE_NONE: a server somewhere, told as soon as it is connected */
    uint8_t use;
    struct node_id peer; /* who must answer there */
};
struct node_send {
    uint32_t link;
    struct chain bytes;
};

struct node_out {
    VEC(struct node_flush) flush; /* of NODE_RELEASE only */
    VEC(uint32_t) drop;           /* close at once, output unwritten */
    VEC(uint32_t) resume;         /* sessions that were held and go on: feed them again */
    struct disk_ops disk;         /* taken by the shell, in order */
    VEC(struct node_dial) dial;
    VEC(struct node_send) send;  /* bytes taken by the shell, in order */
    VEC(uint32_t) hang_up;       /* these links are closed at once, unsent bytes dropped */
    VEC(struct word) words;      /* to the control plane, taken by the shell, in order */
    VEC(struct seat_send) seats; /* to other threads of a proxy, taken by the shell, in order */
    /* which options CONFIG SET changed (enum option), for the shell's part */
    VEC(uint16_t) options;
    struct mono wake; /* NODE_DUE at this time at the latest */
    /* the shell reads its configuration file, options_rewrite()s it, writes it aside and renames
     * it, then steps NODE_REWRITTEN */
    bool rewrite_config;
    /* not NULL: clients come in where its `port` and `bind` say, and nowhere else; new doors open
     * before old ones close. Other nodes, too, and they are told of what its cluster-announce-*
     * say. Then step NODE_LISTENING, until which it stays */
    const struct options *listen;
    /* of NODE_LOAD_BYTES: drop so many; 0: come again with load_want or more */
    size_t load_used;
    size_t load_want;
    size_t load_commands;      /* so many were in what was used */
    struct node_loaded loaded; /* of NODE_LOAD_END */
    bool purge_memory;         /* MEMORY PURGE: the allocator gives back what it can */
    int64_t sleep_us;          /* DEBUG SLEEP: the shell sleeps, so that nothing is served */
    bool stop;                 /* end the process with exit_code; all disk work is done */
    int exit_code;
};

/* What the shell knows and the node's answers need. Callbacks for statistics and INFO only: nothing
 * the node decides depends on them. */
struct node_memory {
    size_t allocated, active, resident, metadata, retained; /* of the allocator; 0: not known */
    size_t rss;
};
struct node_client {    /* in bytes */
    size_t unread;      /* input that was not executed yet; */
    size_t unread_free; /* room behind it, in a buffer of the client's own */
    size_t args;        /* arguments received of a request that is not whole, or not taken yet */
    size_t shell;       /* all memory of the shell for it, these included */
    size_t owed_most;   /* the most output that waited at once, in the last second or two */
};
struct node_world {
    uint64_t (*stopwatch_ns)(struct node_world *w); /* never goes back */
    /* in long loops, each millisecond or oftener (replication 15) */
    void (*worked)(struct node_world *w);
    void (*memory)(struct node_world *w, struct node_memory *to);
    /* for CLIENT LIST */
    void (*client)(struct node_world *w, uint32_t conn, struct node_client *to);
    /* INFO's lines that only the process knows: the named field into to, or nothing if it
     * is not known.
     *   os gcc_version executable config_file multiplexing_api mem_allocator vong_version
     *   process_supervised total_system_memory used_cpu_{sys,user}{,_children,_main_thread}
     *   rejected_connections total_net_input_bytes total_net_output_bytes
     *   total_reads_processed total_writes_processed eventloop_cycles
     *   client_recent_max_input_buffer client_query_buffer_limit_disconnections
     *   client_output_buffer_limit_disconnections */
    struct slice (*fact)(struct node_world *w, const char *name, char *to, size_t to_n);
};

enum { RUN_ID_BYTES = 40 + 1 };

struct node_identity {
    char run_id[RUN_ID_BYTES];
    uint64_t seed; /* of every random choice */
    int process_id;
    /* the map says which slots are ours (cluster-enabled); and who this is there: */
    bool in_cluster;
    bool is_proxy; /* in_cluster, too: no member; it owns nothing, and clients see one server */
    unsigned seat, seats_n; /* which of a proxy's threads, of so many; 0, 0: there are none */
    struct node_id id;
    uint32_t incarnation;
};

struct node;
struct node *node_new(const struct node_identity *id, struct options *o, struct log *log,
                      struct node_world *w, struct mono now, struct wall wall);
/* Clears out first. */
void node_step(struct node *n, const struct node_event *ev, struct node_out *out);
void node_check(const struct node *n); /* every invariant, in one function */
void node_free(struct node *n);
void node_out_free(struct node_out *out);
/* Else its requests have narrow limits. */
bool node_is_authenticated(const struct node *n, uint32_t conn);
/* What the control plane is told of it (replication 15). */
struct node_pulse {
    bool has_data; /* it holds keys */
    uint64_t memory_bytes, ops_per_s;
};
void node_pulse(const struct node *n, struct node_pulse *to);
struct graves *node_graves(struct node *n); /* big memory to free; the shell empties it each turn */

#endif

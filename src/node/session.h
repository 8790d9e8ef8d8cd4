/* SPDX-License-Identifier: BSD-3-Clause */

/* One client: who it is, what it speaks, what it waits for, and what it is owed.
 *
 * It knows its connection by number only. Replies are written into `out` as commands run;
 * which of its bytes may leave is said by gates: "up to here once this record is stored"
 * (replication 5, 6). */
#ifndef NODE_SESSION_H
#define NODE_SESSION_H

#include <assert.h>

#include "base/chain.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/moment.h"
#include "base/vec.h"
#include "cmd/spec.h"
#include "core/types.h"
#include "resp/request.h"

/* Why a session's input is not taken for now. */
enum session_held {
    HELD_NOT,
    HELD_WAIT,    /* WAIT, WAITAOF: until enough acknowledge or its time is over */
    HELD_PAUSE,   /* CLIENT PAUSE */
    HELD_OUTPUT,  /* 1 MiB of gated output (replication 5) */
    HELD_MEMORY,  /* writers while the rewrite's buffer is full */
    HELD_MIGRATE, /* MIGRATE: until the other server has answered or its time is over */
    HELD_CONFIG,  /* CONFIG REWRITE: until the shell has written the file */
    HELD_LISTEN,  /* CONFIG SET of port or bind: until the shell's doors are open */
    HELD_BACKUP,  /* BACKUP: until its first file is there */
    HELD_ROUTE,   /* enough of its commands are under way to other nodes, or must come back first */
    HELD_SEATS,   /* until a proxy's other threads have answered (seats.h) */
    HELD_ASK,     /* CLUSTER MEET, FORGET ...: until the control plane has answered */
    HELD_STOP     /* SHUTDOWN: until the process ends or it failed */
};

enum session_reply_mode { REPLY_ON, REPLY_OFF, REPLY_SKIP_NEXT, REPLY_SKIP };

enum { SESSION_ADDRESS_BYTES = 64 }; /* "[<ipv6>]:65535"; longer socket paths are cut */

/* Bytes of out up to `end` (out.put as it was then) may leave once `need` is stored. */
struct gate {
    struct lsn need;
    uint64_t end;
    struct mono since;
    uint32_t replies; /* how many replies lie behind it: as many are owed if it never opens */
};

/* A command kept for later: copied, since what came with the event is borrowed. */
struct kept_request {
    const struct spec *spec;
    struct slice *argv; /* one allocation: the slices, then their bytes; blobs are shared instead */
    struct blob **blobs; /* argc of them, NULL where argv[i] was copied */
    struct slice raw;    /* argv lies in it, as its client wrote it; empty: not so */
    uint32_t argc;
    size_t bytes; /* memory it holds */
};

struct watch {
    struct list in_session;
    struct list in_key;
    struct session *session;
    struct watched_key *key;
    bool expired; /* it already was, and could not be dropped */
};

/* What few sessions need, apart from what every one has. */
struct session_multi {
    VEC(struct kept_request) queue;
    size_t bytes;
    bool failed;    /* a command could not be queued: EXEC answers EXECABORT */
    bool dirty;     /* a watched key was touched: EXEC answers nil */
    uint32_t flags; /* of all queued commands together: enum cmd_flag */
};

struct session {
    /* What makes a session's requests unlike those of most others: 0 together, nothing of it. */
    union {
        struct {
            uint8_t held;       /* enum session_held */
            uint8_t reply_mode; /* enum session_reply_mode */
            bool locked;        /* it has to authenticate first */
            bool in_multi;
            bool closing; /* what is owed is flushed, then it is closed; no input is taken */
            bool no_touch;
        };
        uint64_t unusual;
    };
    uint32_t conn;
    uint8_t protocol; /* 2 or 3 */
    bool is_monitor;
    bool is_unix, is_loopback;
    bool no_evict;
    bool owed_silent; /* what it is held for is answered to nobody: CLIENT REPLY OFF or SKIP */
    bool flush_noted; /* it is in node->to_flush */
    unsigned db;
    int fd;
    uint64_t id;
    struct chain out;
    VEC(struct gate) gates; /* shut ones, oldest first */
    uint64_t open_end;      /* bytes of out before this place may leave */
    uint32_t fresh_replies; /* written since the gates were last judged */
    bool gates_noted;       /* it is in node->gated */
    struct mono created, active;
    const struct spec *last;     /* the newest command */
    struct session_multi *multi; /* NULL: neither MULTI nor a touched WATCH */
    struct list watches;         /* struct watch */
    struct heap_node due;        /* of what it is held for */
    struct waiting *waiting;     /* what it waits for: waiting.c's */
    struct migration *migration; /* migrate.c's */
    struct routing *routing;     /* in a cluster; NULL: alone (cluster.h) */
    /* it is a primary's node, not a client (replicate.h); NULL: it is not */
    struct repl_guest *guest;
    /* what it is answered now goes here, not to out: replies before it are still away */
    struct chain *aside;
    struct list in_monitors;
    struct list in_all;              /* node->sessions_all, oldest first */
    struct lsn written;              /* the newest record it made: WAIT, WAITAOF */
    char *name, *lib_name, *lib_ver; /* owned; NULL: none */
    char *bad_input; /* owned: the protocol error behind what it waits for; NULL: none */
    char peer[SESSION_ADDRESS_BYTES], local[SESSION_ADDRESS_BYTES];
};

static_assert(HELD_NOT == 0 && REPLY_ON == 0, "nothing unusual is 0");

/* Held by a command that answers when it is let go. */
static inline bool session_is_owed(const struct session *s)
{
    return s->held == HELD_WAIT || s->held == HELD_MIGRATE || s->held == HELD_CONFIG ||
           s->held == HELD_BACKUP || s->held == HELD_LISTEN || s->held == HELD_SEATS ||
           s->held == HELD_ASK || s->held == HELD_STOP;
}

#endif

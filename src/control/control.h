/* SPDX-License-Identifier: BSD-3-Clause */

/* The control plane of one node, as a function: who is alive, who leads, what the map says next.
 *
 *     control_step(control, event, out)
 *
 * It owns one member (heartbeats, leases, gossip), one raft (the controller's log) and one
 * map, which know nothing of one another; it carries words between them, to the other nodes
 * over the cluster port, and to the data plane of its own node (core/map/plane_word.h). No
 * socket, file, clock or randomness of its own: the shell (server/) gives it a thread, the
 * simulator many of them none.
 *
 * In an event everything is borrowed for the call. In an out everything belongs to the control
 * plane until its next step, but what an out's comment says is taken.
 *
 * Connections: a *link* was dialed from here, a *guest* came in on the cluster port. Every frame of
 * ours goes over the link to its receiver; answers come back on the same connection. A guest whose
 * handshake says that it brings commands or records is given to the data plane. */
#ifndef CONTROL_CONTROL_H
#define CONTROL_CONTROL_H

#include "base/chain.h"
#include "base/log.h"
#include "base/moment.h"
#include "base/vec.h"
#include "core/map/plane_word.h"
#include "core/member/rumor.h"
#include "core/raft/raft.h"
#include "core/types.h"
#include "persist/disk.h"
#include "persist/node_file.h"
#include "persist/raft_file.h"
#include "wire/hello.h"

enum control_event_type {
    CONTROL_DUE = 1, /* out.wake has come */
    CONTROL_GUEST,   /* a connection was accepted */
    CONTROL_GUEST_BYTES,
    CONTROL_GUEST_CLOSED,
    CONTROL_DIALED, /* the link is there, or not: then nothing more is told of it */
    CONTROL_LINK_BYTES,
    CONTROL_LINK_CLOSED,
    CONTROL_STORED,   /* a disk operation is done */
    CONTROL_WORD,     /* from the data plane */
    CONTROL_ANNOUNCE, /* this node is reached elsewhere from now on */
    CONTROL_LOADED,   /* the data plane has read its log; out.settled follows */
    /* wall and mono have moved apart: the lease is void until a fresh echo (replication 7) */
    CONTROL_CLOCK_APART,
    CONTROL_STOP /* leave: lead no more, then out.stopped */
};

enum control_dialed {
    CONTROL_DIALED_OK,
    /* the host is there, nobody listens: shortens the wait (replication 16) */
    CONTROL_DIALED_REFUSED,
    CONTROL_DIALED_NOWHERE /* not reached, no such host */
};

/* What the shell reads off the data plane without asking it. */
struct control_pulse {
    uint64_t progress; /* of its loop (replication 15) */
    bool has_data;     /* it holds keys */
    struct member_load load;
};

struct control_event {
    enum control_event_type type;
    struct mono now; /* never earlier than last time */
    struct control_pulse pulse;
    union {
        struct {
            uint32_t conn;
            struct slice peer;                /* its address and port, for logs */
            uint8_t nonce[HELLO_NONCE_BYTES]; /* from the system's randomness */
        } guest;
        struct {
            uint32_t conn; /* or link */
            struct slice in;
        } bytes;
        uint32_t closed;
        struct {
            uint32_t link;
            enum control_dialed how;
            struct slice local; /* our own address on it: what others may reach us by */
            uint8_t nonce[HELLO_NONCE_BYTES];
        } dialed;
        struct disk_done *disk;    /* its rest is taken */
        struct word *word;         /* what it points to is taken */
        const struct endpoint *at; /* ANNOUNCE; as in control_config */
        /* LOADED: the appendonlydir is new, or lost more than a torn tail: a new data-id */
        bool new_data;
    };
};

struct control_dial {
    uint32_t link; /* chosen here, each used once */
    struct slice host;
    uint16_t port;
};
struct control_send {
    uint32_t conn; /* a guest, or a link */
    bool is_link;
    struct chain bytes; /* taken, in order */
};
struct control_hang_up {
    uint32_t conn;
    bool is_link;
    bool after_sent; /* what was sent leaves first: a refusal is to be read */
};
struct control_give { /* this guest is the data plane's from now on */
    uint32_t conn;
    uint8_t use; /* enum peer_use */
    struct node_id from;
    uint32_t incarnation; /* of `from` */
    struct chain unread;  /* bytes behind the handshake; taken */
};

struct control_out {
    VEC(struct control_dial) dial;
    VEC(struct control_send) send;
    VEC(struct control_hang_up) hang_up;
    VEC(struct control_give) give;
    struct disk_ops disk;   /* taken, in order */
    VEC(struct word) words; /* to the data plane, taken, in order */
    struct mono lease;      /* valid until; {0}: none */
    struct mono wake;       /* CONTROL_DUE at this time at the latest */
    /* after CONTROL_LOADED: the data-id is on disk. The directory may not look as if nothing in it
     * were new, or lost, before that */
    bool settled;
    bool stopped; /* after CONTROL_STOP */
    /* the controller's log is lost to us: end the process; the cause was logged (replication 28) */
    bool failed;
};

/* What the shell knows of this node at its start. Borrowed for the life of the control plane. */
struct control_config {
    struct endpoint at; /* announced; ip empty: as the first connection out of here shows */
    char zone[ZONE_BYTES];
    uint32_t weight;
    const char *node_file; /* cluster-config-file's name below dir */
    /* Of the machine's boot and of the lock on the directory: who has the same knows that
     * the former run has ended. 0: none is offered, so a restart waits for the former run's
     * lease (replication 19). */
    uint64_t home;
    struct slice secret; /* cluster-secret; empty: none */
    struct slice
        join; /* cluster-join: "host:port[@cport][,...]"; empty: found a cluster, if in none */
    struct map_settings settings; /* of a cluster that is founded */
    uint64_t seed; /* of every choice, and of new ids: from the system's randomness */
};

struct control;
/* A member votes and is heard from its start on, and may be a leader, while its data plane loads:
 * that takes long. What hangs on what was loaded waits for CONTROL_LOADED: founding, joining and
 * reports. identity and loaded: what lay on disk, as persist/ read it. identity may be empty (never
 * started); it is taken. */
struct control *control_new(const struct control_config *config, struct identity *identity,
                            const struct raft_loaded *loaded, struct log *log, struct mono now);
/* Clears out first. */
void control_step(struct control *c, const struct control_event *ev, struct control_out *out);
void control_check(const struct control *c); /* every invariant */
void control_free(struct control *c);
void control_out_free(struct control_out *out);
/* Can all of a log that was found be read? An error: control_new must not have it; why says
 * what is wrong. */
enum err control_log_wrong(const struct raft_saved *saved, char why[WIRE_WHY_BYTES]) MUST_CHECK;
const struct map *control_map(const struct control *c); /* for the simulator's checks */
bool control_leads(const struct control *c);
size_t control_voters(const struct control *c);            /* of the newest committed set */
bool control_votes(const struct control *c);               /* this node is one of them */
const struct node_id *control_id(const struct control *c); /* this node's, and of this start: */
uint32_t control_incarnation(const struct control *c);

#endif

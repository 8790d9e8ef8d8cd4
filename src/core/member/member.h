/* SPDX-License-Identifier: BSD-3-Clause */

/* Heartbeats, leases, suspicion, gossip: rules 15 to 17 of docs/internals/replication.md.
 *
 *     member_step(member, event, out)
 *
 * A node beats to every voter each T/10; a voter echoes, or only says SEEN; a majority of echoes
 * is a lease until T/2 after the heartbeat. The leader looks at who falls silent and says what
 * entry about whom is due: its owner appends it. What log and map say comes in by MEMBER_VIEW.
 *
 * In an event everything is borrowed for the call; in an out everything belongs to the room
 * until the next step. Time is `now`; a `t` is the sender's and never compared with another's. */
#ifndef CORE_MEMBER_MEMBER_H
#define CORE_MEMBER_MEMBER_H

#include "base/err.h"
#include "core/member/rumor.h"

/* ------------------------------------------------------------------------- messages */

enum member_msg_type {
    MEMBER_BEAT = 1, /* node to voter */
    MEMBER_ECHO,     /* voter to node: counts for the lease */
    MEMBER_SEEN,     /* voter to node: heard, and no more */
    MEMBER_GOSSIP,   /* any to any; `answers` false: one comes back */
    MEMBER_PROBE,    /* have you heard from `about`? to `about` itself: are you there? */
    MEMBER_PROBED,   /* this newly; nothing is said where nothing was heard */
    MEMBER_MSG_TYPES
};

struct member_msg {
    enum member_msg_type type;
    struct node_id to; /* of an out's */
    union {
        struct {
            uint32_t incarnation;
            uint64_t voters;      /* the set it uses: member_voters_name */
            uint64_t map_version; /* that its data plane has applied */
            bool has_lease;
            uint64_t progress; /* of its data plane */
            int64_t t;         /* its clock now, > 0 */
            struct member_load load;
            size_t ages_n; /* of the voters it uses, */
            /* since the newest t that each echoed or has SEEN; RUMOR_NEVER */
            int64_t ages_us[RAFT_VOTERS_MAX];
        } beat;
        struct {
            uint32_t incarnation; /* the beat's */
            int64_t t;
            uint64_t map_version; /* SEEN: the voter's own; ECHO: unused */
        } echo;
        struct {
            bool answers;
            uint64_t ahead;     /* the newest map version known ... */
            struct node_id who; /* ... and who has it */
            size_t n;
            struct rumor rumors[RUMORS_MAX];
        } gossip;
        struct node_id about; /* PROBE */
        struct rumor probed;
    };
};

/* ------------------------------------------------------------------------- events */

struct member_voter {
    struct node_id node;
    struct data_id data; /* with another data-id it is another voter (18) */
};

struct member_view {
    const struct member_known
        *nodes; /* every member, this node included once it is one; in any order */
    size_t nodes_n;
    const struct member_voter
        *voters;     /* the newest set in this node's own log, committed or not (16) */
    size_t voters_n; /* at most RAFT_VOTERS_MAX */
    bool is_voter;   /* this node, with its data-id */
};

enum member_event_type {
    MEMBER_DUE = 1, /* out.wake has come */
    MEMBER_RECV,
    MEMBER_VIEW,      /* log or map say something new: before any promise of it leaves (16) */
    MEMBER_COMMITTED, /* the index of the newest committed entry that the map counts */
    MEMBER_OWN,       /* what the own data plane has applied, and its load */
    MEMBER_REFUSED,   /* a connection to this member was refused by its host */
    MEMBER_LEADS, /* this node leads and has applied an entry of its own term, or leads no more */
    MEMBER_TIMEOUTS,   /* T: while it changes, the smaller for leases and the larger for waits */
    MEMBER_CLOCK_APART /* wall and mono have moved apart: no lease until a fresh echo (7) */
};

struct member_event {
    enum member_event_type type;
    struct mono now;   /* > 0, never earlier than last time */
    uint64_t progress; /* of the data plane, as it is now (15) */
    union {
        struct {
            struct node_id from; /* as its handshake proved */
            const struct member_msg *msg;
        } recv;
        const struct member_view *view;
        uint64_t committed;
        struct {
            uint64_t applied;
            struct member_load load;
        } own;
        struct node_id refused;
        bool leads;
        struct {
            int64_t lease_us, wait_us;
        } timeouts;
    };
};

enum member_news_type {
    MEMBER_IS_SILENT = 1, /* SUSPECTED is due (16) */
    MEMBER_IS_OVER,       /* DOWNED may follow (17) */
    MEMBER_IS_WELL,       /* CLEARED may follow (17) */
    MEMBER_IS_NEW         /* RESTARTED is due: `incarnation` (15, 19) */
};

/* For the leader's owner, said again each T/4 while it holds and the log says nothing newer. */
struct member_news {
    enum member_news_type type;
    struct node_id about;
    uint32_t incarnation; /* the known one; NEW: the one that beats */
    const char *why;      /* static text, for the log */
};

struct member_out {
    const struct member_msg *msgs; /* order matters per receiver; none is for this node itself */
    size_t msgs_n;
    const struct member_news *news;
    size_t news_n;
    struct mono lease; /* valid while now is earlier; {0}: none */
    uint64_t ahead;    /* the newest map version known of, and who has it */
    struct node_id ahead_at;
    struct mono wake; /* step MEMBER_DUE then */
};

/* ------------------------------------------------------------------------- the room */

enum { COMMITS_KEPT = 32 }; /* samples, T/10 apart: three T of them, and two are asked for (16) */
enum {
    PROBES_KEPT = 16
}; /* under way for others; more are not taken, and the asker asks elsewhere */

struct member_vote { /* a voter as this node uses it */
    struct node_id id;
    int64_t echoed, seen; /* the newest t; 0: none */
};

/* Others read; only the room writes. */
struct member {
    struct node_id self;
    uint32_t incarnation;
    struct rumors rumors;
    int64_t lease_t, wait_t; /* T, in us */
    bool leads, is_voter;

    /* private */
    struct rng rng;
    bool inside;
    struct mono stepped;   /* the last step */
    struct mono restarted; /* the end of the last gap of this loop (M5) */
    struct mono led;       /* since when this node leads */
    uint64_t progress;
    struct mono moved; /* when progress last changed */
    uint64_t applied, committed;
    struct member_load load;
    struct member_vote voters[RAFT_VOTERS_MAX];
    size_t voters_n;
    uint64_t voters_name;
    int64_t floor;      /* heartbeats before it tell nothing of the voter set and clock in use */
    int64_t majority_t; /* t_m; 0: none */
    int64_t beaten;     /* t of the newest heartbeat sent */
    struct {
        struct mono at;
        uint64_t index;
    } commits[COMMITS_KEPT]; /* a ring */
    size_t commits_n, commits_next;
    struct {
        struct node_id by, about;
        struct mono until;
    } probes[PROBES_KEPT];
    struct mono beat_due, gossip_due;
    uint64_t ahead;
    struct node_id ahead_at;
    VEC(struct member_msg) msgs;
    VEC(struct member_news) news;
};

void member_init(struct member *m, const struct node_id *self, uint32_t incarnation, uint64_t seed,
                 int64_t timeout_us, struct mono now);
void member_free(struct member *m);
void member_step(struct member *m, const struct member_event *ev, struct member_out *out);
void member_check(const struct member *m);

/* The name of a voter set: equal for equal sets, in any order. */
uint64_t member_voters_name(const struct member_voter *v, size_t n);

/* ------------------------------------------------------- between the files of this room */

struct member_msg *member_say(struct member *m, const struct node_id *to,
                              enum member_msg_type type);
void member_eye(struct member *m, struct mono now); /* the leader's look at everybody */
void member_eye_restart(struct member *m, struct member_peer *p, uint32_t incarnation,
                        struct mono now);
void member_eye_beat(struct member *m, struct member_peer *p, const struct member_msg *beat,
                     struct mono now);

#endif

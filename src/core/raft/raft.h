/* SPDX-License-Identifier: BSD-3-Clause */

/* Consensus on one log, as in Ongaro's dissertation "Consensus: Bridging Theory and Practice":
 * pre-vote, check-quorum, one-at-a-time voter changes, snapshots, learners, transfer of leadership.
 *
 *     raft_step(raft, event, out):  a message, "this was stored", a proposal, the time
 *                                   -> what to store, to send, to apply, and when to wake
 *
 * The disk is one more peer: `out.store` says what must be on disk, in this order, under a token,
 * and RAFT_STORED brings the token back. What promises something (a vote, an answer to APPEND, the
 * leader's own share of a majority) waits here until its token is back; what is in `out.msgs` may
 * be sent at once. A failed store has no event: the process ends (replication 28).
 *
 * In an event everything is borrowed for the call; in an out everything belongs to the room until
 * the next step. */
#ifndef CORE_RAFT_RAFT_H
#define CORE_RAFT_RAFT_H

#include "base/buf.h"
#include "base/moment.h"
#include "base/rng.h"
#include "base/vec.h"
#include "core/raft/raft_log.h"
#include "core/raft/raft_progress.h"
#include "core/raft/raft_quorum.h"
#include "core/types.h"

/* A node and its Raft log: the same node with another data-id is another peer (replication 18). */
struct raft_peer {
    struct node_id node; /* all zero: nobody */
    struct data_id data;
};

static inline bool raft_peer_equal(const struct raft_peer *a, const struct raft_peer *b)
{
    return node_id_equal(&a->node, &b->node) && data_id_equal(&a->data, &b->data);
}

bool raft_peer_is_nobody(const struct raft_peer *p);

struct raft_voters {
    size_t n; /* 0: none yet, this node belongs to no group */
    struct raft_peer at[RAFT_VOTERS_MAX];
};

bool raft_voters_has(const struct raft_voters *v, const struct raft_peer *p);

/* The bytes of a RAFT_ENTRY_VOTERS and of a snapshot's voters: per voter 20 bytes of id, 16 of
 * data-id. */
enum { RAFT_VOTER_BYTES = 36, RAFT_VOTERS_BYTES = RAFT_VOTERS_MAX * RAFT_VOTER_BYTES };
size_t raft_voters_put(char to[RAFT_VOTERS_BYTES], const struct raft_voters *v);
enum err raft_voters_get(struct raft_voters *v, struct slice bytes)
    MUST_CHECK; /* ERR_SYNTAX; never 0 voters, nor one twice */

/* The state machine as of entry `index`. */
struct raft_snapshot {
    uint64_t index, term;      /* index 0: there is none */
    struct raft_voters voters; /* as of that entry */
    struct slice bytes;        /* the owner's, at most RAFT_SNAPSHOT_BYTES */
};

/* ------------------------------------------------------------------------- messages */

enum raft_msg_type {
    RAFT_MSG_PREVOTE = 1, /* vote */
    RAFT_MSG_PREVOTE_ANSWER,
    RAFT_MSG_VOTE,
    RAFT_MSG_VOTE_ANSWER,
    RAFT_MSG_APPEND, /* without entries: a heartbeat */
    RAFT_MSG_APPEND_ANSWER,
    RAFT_MSG_SNAPSHOT, /* one chunk; without bytes: a heartbeat */
    RAFT_MSG_SNAPSHOT_ANSWER,
    RAFT_MSG_TIMEOUT_NOW, /* campaign at once: the leader is leaving. No more fields */
    RAFT_MSG_TYPES
};

struct raft_msg {
    enum raft_msg_type type;
    struct raft_peer from, to; /* who is not `to` drops it */
    uint64_t term;             /* the sender's */
    union {
        struct {
            uint64_t campaign; /* the term that is asked for: PREVOTE: term + 1; VOTE: term */
            uint64_t last_index, last_term;
            bool transfer; /* at the leader's own wish: those who hear it vote nevertheless */
        } vote;
        struct {
            uint64_t campaign;
            bool granted;
        } vote_answer;
        struct {
            uint64_t prev_index, prev_term, commit;
            const struct raft_entry *entries; /* prev_index + 1 and on */
            size_t n;
        } append;
        struct {
            bool refused;
            uint64_t match;      /* on disk here and equal to the leader's; if not refused */
            uint64_t prev_index; /* refused: of the APPEND, */
            uint64_t hint_index, hint_term; /* and where the logs can agree at the latest */
        } append_answer;
        struct {
            uint64_t index, term; /* of the snapshot */
            struct raft_voters voters;
            uint64_t size; /* of the whole */
            uint32_t crc;  /* crc32c of the whole */
            uint64_t offset;
            struct slice bytes; /* at most RAFT_CHUNK_BYTES */
        } snapshot;
        struct {
            uint64_t index;  /* of the snapshot */
            uint64_t offset; /* the next byte wanted; the size: all is here and not yet on disk */
        } snapshot_answer;
    };
};

/* ------------------------------------------------------------------------- events */

enum raft_event_type {
    RAFT_DUE = 1, /* the time in out.wake has come, or may have */
    RAFT_RECV,
    RAFT_STORED,  /* everything up to this token is on disk */
    RAFT_PROPOSE, /* leader: an entry of the owner's */
    RAFT_VOTERS,  /* leader: the voters shall be these: one more or one less than now */
    /* who else gets the log; remembered, of use while leader; voters among them are passed over */
    RAFT_LEARNERS,
    RAFT_TRANSFER, /* leader: another voter shall lead, before a stop */
    /* the owner's snapshot as of the applied entry `index`: kept, stored, the log cut behind it */
    RAFT_TAKEN,
    /* Heard elsewhere than from a leader: this entry is committed. What is here in its place, and
     * behind that, never will be, and is cut. */
    RAFT_COMMITTED,
    RAFT_FOUND /* this node alone is the group from now on: a new cluster. Its log is empty */
};

struct raft_event {
    enum raft_event_type type;
    struct mono now; /* never earlier than last time */
    union {
        const struct raft_msg *msg;       /* RECV */
        uint64_t token;                   /* STORED */
        struct slice bytes;               /* PROPOSE */
        const struct raft_voters *voters; /* VOTERS */
        struct {
            const struct raft_peer *at;
            size_t n;
        } learners;
        struct raft_peer to; /* TRANSFER; nobody: whoever is furthest */
        struct {
            uint64_t index;
            struct slice bytes;
        } taken;
        struct {
            uint64_t index, term;
        } committed;
    };
};

/* Why a proposal, a change of voters or a transfer was not begun. */
enum raft_refusal {
    RAFT_ACCEPTED,
    RAFT_NOT_LEADER,   /* raft.leader tells who, if known */
    RAFT_LEAVING,      /* a transfer is under way */
    RAFT_TOO_BIG,      /* beyond RAFT_ENTRY_BYTES */
    RAFT_BEHIND,       /* RAFT_UNCOMMITTED_BYTES wait for a majority: later */
    RAFT_TOO_SOON,     /* 18: an earlier change, or this leader's first entry, is not committed */
    RAFT_NOT_ONE,      /* not one voter more or less, none left, or beyond RAFT_VOTERS_MAX */
    RAFT_NO_SUCH_VOTER /* TRANSFER: to nobody who could */
};
const char *raft_refusal_text(enum raft_refusal why); /* static */

/* What must be on disk, in this order. Entries say by their index what they replace, there too. */
struct raft_store {
    uint64_t token; /* rises by 1; 0: nothing */
    bool has_state;
    uint64_t term;                        /* has_state */
    struct raft_peer vote;                /* has_state */
    const struct raft_snapshot *snapshot; /* NULL: none */
    bool is_reset;                        /* with a snapshot: the log is empty behind it now */
    uint64_t first;                       /* entries[0]'s index */
    const struct raft_entry *entries;
    size_t n;
};

struct raft_out {
    struct raft_store store;
    const struct raft_msg *msgs; /* order matters per receiver */
    size_t msgs_n;
    const struct raft_snapshot
        *restore; /* not NULL: the state machine is this from now on; before `apply` */
    /* committed entries, each once, in order, all types: applied when raft_step returned */
    uint64_t apply_first;
    const struct raft_entry *apply;
    size_t apply_n;
    enum raft_refusal refused; /* of PROPOSE, VOTERS, TRANSFER, FOUND */
    /* the index of what was accepted; it holds if it is applied with the term of now */
    uint64_t proposed;
    bool voters_changed; /* the newest voter set in the log: raft.voters (replication 16) */
    struct mono wake;    /* step RAFT_DUE then */
};

/* ------------------------------------------------------------------------- the room */

enum raft_role { RAFT_FOLLOWER, RAFT_PRECANDIDATE, RAFT_CANDIDATE, RAFT_LEADER };

struct raft_member { /* whom a leader sends the log */
    struct raft_peer peer;
    bool is_voter;
    struct raft_progress progress;
};

struct raft_kept {           /* a snapshot and its bytes */
    struct raft_snapshot is; /* bytes: in `bytes` */
    struct buf bytes;
    uint32_t crc;
};

enum raft_ballot { RAFT_VOTE_OPEN, RAFT_VOTE_YES, RAFT_VOTE_NO };

struct raft_asked { /* a store under way */
    uint64_t token, last;
};

/* Others read; only the room writes. */
struct raft {
    struct raft_peer self;
    enum raft_role role;
    uint64_t term;
    struct raft_peer vote, leader; /* nobody: none, unknown */
    struct raft_voters voters;     /* the newest in the log, committed or not */
    uint64_t voters_index;         /* of that entry, or the snapshot's */
    struct raft_log log;
    uint64_t commit, applied,
        stored;                /* indexes; stored: what lies in this log is on disk up to there */
    struct raft_kept snapshot; /* the newest one */

    /* private */
    int64_t timeout_us; /* T, of waits; */
    int64_t beat_t;     /* and of heartbeats, which is less while T changes */
    struct rng rng;
    bool inside;
    struct mono heard; /* the leader, last */
    struct mono election_from, election_due;
    int64_t patience_us; /* what storing a term or vote took last, since a leader was heard */
    VEC(struct raft_member) members; /* leader */
    VEC(struct raft_peer) learners;
    enum raft_ballot votes[RAFT_VOTERS_MAX]; /* candidates: as voters.at */
    bool transfer_wish;                      /* candidate: TIMEOUT_NOW made us */
    uint64_t noop;                           /* leader: its first entry */
    size_t uncommitted_bytes;                /* leader */
    struct mono beat_due;                    /* leader */
    struct raft_peer successor;              /* leader: nobody: no transfer; ... */
    struct mono transfer_due;                /* ... given up then */
    bool is_transfer_said;
    uint64_t verified;         /* not leader: equal to the leader's log up to here */
    bool answer_due;           /* an APPEND is to be answered, once the term is on disk */
    uint64_t answered;         /* what was told last */
    struct raft_kept incoming; /* a snapshot in chunks, ... */
    uint64_t incoming_size;    /* ... whole when so big */
    size_t kept_bytes;         /* of the entries up to the snapshot's */
    uint64_t taken_token; /* an own snapshot is being stored; the log is cut when it is; 0: none */
    uint64_t tokens, stored_token;
    uint64_t state_token; /* of the newest term and vote; above stored_token: not on disk yet */
    bool state_changed;
    struct mono state_asked; /* when that was asked to be stored which is not on disk yet */
    uint64_t asked_last;     /* entries up to here were asked to be stored */
    VEC(struct raft_asked) asked;
    VEC(struct raft_msg) box; /* messages that wait for the term to be on disk, or are out */
    size_t box_out;
    struct raft_out out;
};

/* What raft_file's load gave; all borrowed. */
struct raft_saved {
    uint64_t term;
    struct raft_peer vote;
    struct raft_snapshot snapshot;
    uint64_t first; /* index of entries[0]; n = 0: no entries behind the snapshot */
    const struct raft_entry *entries;
    size_t n;
};

/* saved: NULL for a node whose log is empty. ERR_CORRUPT: entries and snapshot do not fit together,
 * or a voters entry is no voter set. timeout_us: cluster-node-timeout. The owner restores
 * saved->snapshot by itself; apply goes on behind it. */
enum err raft_init(struct raft *r, const struct raft_peer *self, uint64_t seed, int64_t timeout_us,
                   struct mono now, const struct raft_saved *saved) MUST_CHECK;
void raft_free(struct raft *r);

/* ERR_CORRUPT: a message contradicts what is committed here, or is no message of ours; nothing was
 * changed by it. ERR_NOMEM: a snapshot's chunk was not taken, it comes again. out is valid in any
 * case. */
enum err raft_step(struct raft *r, const struct raft_event *ev, struct raft_out *out) MUST_CHECK;
/* The whole snapshot, if this SNAPSHOT would be its last piece: for the owner to read before it is
 * stepped. NULL: it would not. The caller's: mem_free. */
char *raft_snapshot_whole(const struct raft *r, const struct raft_msg *m, size_t *n);
void raft_check(const struct raft *r);
void raft_set_timeout(struct raft *r, int64_t beat_t,
                      int64_t timeout_us); /* T has changed; step RAFT_DUE after it */

static inline bool raft_is_voter(const struct raft *r)
{
    return raft_voters_has(&r->voters, &r->self);
}

/* Leader, and an entry of its own term is applied: it may decide (replication 17, 18). */
static inline bool raft_leads(const struct raft *r)
{
    return r->role == RAFT_LEADER && r->applied >= r->noop;
}

/* Leader: what p has on its disk, and when it last answered; follower: p being the leader, when it
 * was heard. False: not known. match may be NULL. */
bool raft_contact(const struct raft *r, const struct raft_peer *p, struct mono *heard,
                  uint64_t *match);

/* Bytes of log behind the newest snapshot: how worth while another one is. */
static inline size_t raft_log_waste(const struct raft *r)
{
    return r->log.bytes - r->kept_bytes;
}

#endif

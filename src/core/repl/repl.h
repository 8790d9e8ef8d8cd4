/* SPDX-License-Identifier: BSD-3-Clause */

/* The slot protocol of one node, for all its slots: as primary of some, replica of others.
 *
 *     as primary                                     as replica
 *     repl_record      -> APPEND to who follows      repl_may_append  -> append, drop, or say SYNC
 *     SYNC heard       -> what that one lacks        repl_from, repl_joined
 *     JOINS, ACK heard -> who holds what             what was appended and is stored: ACK (node/)
 *     repl_is_held     -> may the reply leave?
 *     repl_look        -> which in-sync sets are to change
 *
 * A copy of a slot at one replica, as its primary sees it:
 *
 *     AWAY -> BEHIND -> LIVE -> JOINED   it is in the backlog's reach: sent what it lacks, then all
 *       |      | ^ \                     there is
 *       |      v |  \                    it is in that of the log's increments: sent what a pass
 *       |      LOG   |                   over these finds (node/catch_up), then BEHIND
 *       |            v
 *       \----------> DUMP -> BEHIND      in neither, or it has what nobody else has: a dump first;
 *                                        a long one is offered, and made once it is pulled
 *
 * What is to be said goes through `say` at once. */
#ifndef CORE_REPL_REPL_H
#define CORE_REPL_REPL_H

#include "base/bits.h"
#include "base/buf.h"
#include "base/moment.h"
#include "base/vec.h"
#include "core/map/map.h"
#include "core/repl/backlog.h"
#include "core/repl/repl_message.h"
#include "core/repl/scrub.h"

enum copy_state {
    COPY_AWAY,   /* no link, or it has not said where it stands in this epoch */
    COPY_BEHIND, /* it is being sent what it lacks, out of the backlog */
    COPY_LOG,    /* ... out of the log, or waits for that */
    COPY_DUMP,   /* it needs a dump, or is being sent one */
    COPY_LIVE,   /* it is sent every record as it is made; JOINED was said */
    COPY_JOINED  /* and answered: its acks count, once they reach `joined` (4) */
};

struct copy {
    uint16_t place;
    uint8_t state;
    uint32_t incarnation;
    uint32_t round; /* of its newest SYNC */
    bool offered;   /* DUMP: OFFER was said */
    /* its content is wrong: it leaves the in-sync set, and is to be fetched anew (29); */
    bool bad;
    bool heals;          /* it is being fetched */
    bool leaving;        /* a set without it was proposed */
    uint8_t passes;      /* over the log for it, since it said where it stands */
    bool in_pass;        /* LOG: the one under way is for it */
    bool logged;         /* some of what it was sent came out of the log */
    struct buf run;      /* LOG: was read and not said yet: records one behind the other, */
    uint64_t run_from;   /* from this seq on */
    uint64_t next;       /* BEHIND, LOG: the seq it is sent next */
    VEC(uint64_t) todo;  /* BEHIND: where the records it is sent next lie in the backlog, */
    size_t todo_at;      /* and how many of them it was sent; */
    struct blob *big;    /* a big one that is next, as far as it was copied; or NULL */
    uint64_t joined;     /* LIVE, JOINED: the lsn JOINED named */
    struct mono since;   /* it is JOINED, or is not */
    struct mono removed; /* it was last taken out of the in-sync set for lag; 0: never */
    int64_t hold_off_us; /* so long it has to keep up before it is added again (14) */
};

/* In-sync sets, as (place, incarnation). */
struct isr {
    uint8_t n;
    uint16_t node[MAP_COPIES]; /* the primary first */
    uint32_t incarnation[MAP_COPIES];
};

struct primary_slot {
    uint64_t epoch;      /* in which this node is its primary; 0: it is not */
    uint64_t newest;     /* lsn of its newest record, or of its election */
    uint64_t acked;      /* up to here W held it when a copy was lost; 0: nothing in this epoch */
    struct copy *copies; /* of its replicas but this node; owned */
    uint8_t copies_n;
    /* `next` counts beside the map's in-sync set, from now until its fate is known (12) */
    bool in_doubt;
    bool proposed; /* and it was proposed */
    /* newest when the attempt began: nothing beyond it was acknowledged then (11) */
    uint64_t floor;
    struct isr next;
};

enum replica_state {
    REPLICA_NONE,
    REPLICA_LEAVES,  /* its primary is to be told that nothing more is taken in its epoch */
    REPLICA_ASKED,   /* SYNC was said; what comes before its FROM is of an earlier round */
    REPLICA_FOLLOWS, /* FROM came: what is sent fits */
    /* JOINED came; answered once the map it names is applied, and what came before it is stored */
    REPLICA_TO_JOIN,
    REPLICA_JOINED
};

struct replica_slot {
    uint8_t state;
    bool offered;     /* FOLLOWS: a long dump is to be pulled */
    uint16_t primary; /* place */
    uint32_t round;   /* of the newest SYNC, over all epochs */
    uint64_t epoch;   /* for which positions were exchanged; 0: none yet */
    uint64_t join_map;
    /* lsn of this node: what it was sent until JOINED is in the log up to there */
    uint64_t join_at;
};

/* To apply and store a MiB of a big record may take so long: a slow disk on a busy machine (14). */
enum { REPL_MIB_US = 64 * 1000 };
enum { REPL_SAMPLES = 32, REPL_BIGS = 16 };
struct repl_peer { /* one other node, by place */
    uint32_t incarnation;
    unsigned wanted; /* so many slots this node is primary of have a copy there */
    bool open;       /* the link to it is through; incarnation: whose */
    bool leaves;     /* it said that it holds nothing more */
    bool has_no_log; /* and that it keeps nothing on a disk */
    bool leased;     /* and, newly, that it has a lease */
    /* its memory is, and nothing that helps is evicted for it: what would need more is refused */
    bool full;
    uint64_t wants; /* so many bytes are to be evicted for it, */
    /* and up to this lsn some were: what it says it wants, before it holds that, is too much */
    uint64_t relieved;
    bool guest; /* its link to here is; */
    uint32_t guest_incarnation;
    uint64_t sent;         /* lsn of the newest frame */
    uint64_t held, synced; /* as it said */
    uint64_t join_last;    /* the greatest `joined` of its copies that joined */
    struct mono said;
    struct mono heard;  /* by repl's `ran`, as is */
    struct mono grew;   /* it said last that a big record arrives there, piece by piece */
    struct mono lagged; /* until then it did, by `now`, when an ack came that may have ended it */
    /* big ones it was sent and does not hold, oldest first: a ring, whose last stands for several
     * where there are more; and how much they all are */
    struct big_sent {
        uint64_t lsn, mib;
    } bigs[REPL_BIGS];
    unsigned bigs_from, bigs_n;
    uint64_t big_mib;
    struct lag_sample { /* a ring: this lsn was made at, or is missed since */
        uint64_t lsn;
        struct mono at, ran;
    } samples[REPL_SAMPLES];
    unsigned samples_from, samples_n;
    VEC(uint16_t) awaited; /* slots with a BEHIND copy there that is in sync, */
    VEC(uint16_t) behind;  /* any other such, */
    VEC(uint16_t) logs;    /* a LOG copy, */
    size_t logs_at;        /* so many of these were looked at to be said */
    VEC(uint16_t) dumps;   /* and with one that needs a dump; or had */
    /* what it asked of epochs that are not applied here yet: answered when they are */
    VEC(struct repl_where) early;
};

struct repl_ops {
    /* Is put on the link to (to_replica) or from that node. Borrowed. */
    void (*say)(struct repl_ops *ops, uint16_t place, bool to_replica,
                const struct repl_message *m);
    /* Are so many records of the slot to be read back from the log: is there one, and would a dump
     * likely be longer? */
    bool (*may_log)(struct repl_ops *ops, unsigned slot, uint64_t records);
};

struct repl {
    struct repl_ops *ops;
    const struct map *map; /* borrowed: the data plane's */
    struct lineage *slots; /* borrowed: where each stands */
    uint16_t self;         /* place; MAP_NOBODY: none */
    uint32_t incarnation;
    struct mono now;
    /* as `now`, but it hardly goes on while this node stood still: others were not heard then */
    struct mono ran;
    uint64_t appended, stored, synced; /* lsns of this node's log, as told last */
    /* at or behind `stored`: what its disk did not take it has in memory, and nobody waits
     * for it (28) */
    uint64_t kept;
    struct bits unstored;   /* slots whose newest record is one of those, perhaps; none once */
    uint64_t unstored_upto; /* the log is stored up to here */
    struct backlog backlog;
    /* copies brought up to date by what they lacked, or not; what was sent of it */
    uint64_t partial_n, partial_failed_n, partial_bytes;
    uint64_t logged_n, logged_bytes; /* of these, out of the log */
    /* SLOTS: of each slot's newest record in the backlog, as primary or replica; 0: not kept */
    uint64_t *places;
    struct primary_slot *primary; /* SLOTS */
    struct replica_slot *replica; /* SLOTS */
    VEC(struct repl_peer) peers;
    struct bits copied; /* slots it is primary of that have copies elsewhere */
    /* slots it is primary of in which W(I) is not settled; those of this round, in which */
    struct bits unsettled;
    /* SETTLED is asked for once their records up to settle_floor are held */
    struct bits settling;
    uint64_t settle_floor;
    uint64_t settle_ver;       /* the map's quorum_ver in which they are */
    struct mono settle_again;  /* the next round begins */
    struct bits doubt;         /* slots in_doubt; */
    unsigned doubt_n;          /* so many */
    unsigned proposed_slots;   /* of which proposed, and the fate is not known */
    uint64_t proposed_n;       /* the newest proposal's of this incarnation */
    struct mono propose_again; /* it may be lost: said again, with the same n (12) */
    struct mono propose_next;  /* not before, unless */
    bool urgent;               /* some attempt cannot wait */
    bool offers;               /* some dump may have been offered that is not pulled */
    bool wanted;               /* some peer wants memory, */
    bool full_turned;          /* and whether one is full is not as it was told last */
    bool look;                 /* any in-sync set may be due for a change, */
    bool stirs;                /* or one of the restless, */
    struct bits restless;      /* which else are as time goes by */
    struct bits bad;           /* this node's own copy is wrong: another is to be primary (29) */
    struct mono look_at, look_next; /* at the latest, and at the earliest */
    struct mono ask_again;          /* SYNCs that were not answered */
    struct scrub scrub;
    VEC(uint16_t) to_join; /* slots that are, or were, TO_JOIN */
    bool asked;            /* some slot may be ASKED */
};

/* Before anything else of a step: what time it is, and where this node's log stands. kept: where
 * its disk failed it, up to what it was told to everybody. */
void repl_clock(struct repl *r, struct mono now, uint64_t appended, uint64_t stored,
                uint64_t synced, uint64_t kept);
/* Something came from there, over the link to it. */
static inline void repl_heard(struct repl *r, uint16_t place)
{
    r->peers.at[place].heard = r->ran;
}

/* The disk failed, and nobody waits any more for what it has not stored (28). */
void repl_disk_failed(struct repl *r);
bool repl_disk_caught_up(struct repl *r); /* it has stored that now */
/* In sync alone, with a newest record that its disk has not stored: what is read of it may be gone
 * with this run. */
bool repl_is_unstored(const struct repl *r, unsigned slot);

void repl_init(struct repl *r, struct repl_ops *ops, const struct map *map, struct lineage *slots,
               uint64_t backlog_bytes);
void repl_free(struct repl *r);
void repl_check(const struct repl *r); /* R1 ... */

/* ---- the map and the links */

/* The applied map changed, in no slots but these. served: by slot, the epoch in which this node is
 * its primary, or 0; r->appended is not before the beginning of one that is new. NULL: neither
 * slots nor nodes changed. */
void repl_map(struct repl *r, uint16_t self, uint32_t incarnation, const uint64_t *served,
              const struct bits *slots);
/* Before repl_map: the map is another one, whole. A copy here may have been unwanted in between,
 * and wanted again; its primary, which saw that, waits to hear where it stands. */
void repl_map_jumps(struct repl *r);
void repl_peer_opened(struct repl *r, uint16_t place, uint32_t incarnation); /* the link to it */
void repl_peer_closed(struct repl *r, uint16_t place);
void repl_guest_opened(struct repl *r, uint16_t place, uint32_t incarnation); /* its link to here */
void repl_guest_closed(struct repl *r, uint16_t place);

/* ---- as primary */

/* A record of a slot that it is primary of was appended: at its position, behind one of
 * before_epoch. A big one is in parts (else NULL), in place of bytes. */
void repl_record(struct repl *r, unsigned slot, uint64_t before_epoch, uint64_t lsn,
                 struct slice bytes, const struct chain *parts);
/* Records of it are to be told. */
static inline bool repl_has_copies(const struct repl *r, unsigned slot)
{
    return bits_has(&r->copied, slot);
}
/* One of a slot without copies, which is told nobody. */
static inline void repl_record_alone(struct repl *r, unsigned slot, uint64_t lsn)
{
    r->primary[slot].newest = r->appended = lsn;
}
void repl_wheres(struct repl *r, uint16_t place, const struct repl_where *w, size_t n); /* SYNC */
void repl_joins(struct repl *r, uint16_t place, const struct repl_round *in);
void repl_acked(struct repl *r, uint16_t place, const struct repl_ack *a);
/* Sends what replicas there lack, until so many bytes were said, or looked for as long as that
 * takes: what is left of them is told. False: there is more. Those first that are in sync, for
 * which replies wait; or these alone. */
bool repl_pump(struct repl *r, uint16_t place, size_t *bytes);
bool repl_pump_awaited(struct repl *r, uint16_t place, size_t *bytes);
/* No replica there lacks anything that is to be had from the backlog. */
static inline bool repl_is_pumped(const struct repl *r, uint16_t place)
{
    return r->peers.at[place].awaited.n == 0 && r->peers.at[place].behind.n == 0;
}
/* Copies there lack what the backlog has no more, and the log's increments may have. A pass over
 * these, from the oldest on to all that is written, begins: for how many. */
bool repl_wants_log(const struct repl *r, uint16_t place);
unsigned repl_log_begins(struct repl *r, uint16_t place);
/* It found a record. Is that one the next of a copy there? Then it is kept, whole, until it is said
 * with others of its slot: the log has those of all slots by turns. */
bool repl_log_takes(struct repl *r, uint16_t place, unsigned slot, struct position at);
void repl_log_record(struct repl *r, uint16_t place, unsigned slot, struct position at,
                     struct slice bytes);
/* A big one is said at once, in parts. */
void repl_log_big(struct repl *r, uint16_t place, unsigned slot, struct position at,
                  const struct chain *parts);
/* Until so many were said. False: there is more. */
bool repl_log_say(struct repl *r, uint16_t place, size_t bytes);
/* It is over, or cannot go on: the backlog may reach now, or there will be another, or dumps. */
void repl_log_ends(struct repl *r, uint16_t place);
/* A slot whose copy there needs a dump, which is to be said now, or offered; SLOTS: none. */
unsigned repl_wants_dump(struct repl *r, uint16_t place);
/* Of that copy's dump. */
struct repl_round repl_round_of(const struct repl *r, uint16_t place, unsigned slot);
void repl_offer(struct repl *r, uint16_t place, unsigned slot);
/* Does it still want that one? */
bool repl_is_pulled(const struct repl *r, uint16_t place, const struct repl_round *in);
/* A dump of this slot as of its newest record was said whole: records follow as they are made. */
void repl_dump_said(struct repl *r, uint16_t place, unsigned slot);

/* What one connection asks for in place of the cluster's W: a number, MAP_W_MAJORITY, or */
enum { REPL_ASKS_NOTHING = 0, REPL_ASKS_ALL = UINT32_MAX - 1 };
/* Do W of its in-sync set, and of every one proposed, hold the slot's records up to lsn
 * (5, 6, 12)? */
bool repl_is_held(const struct repl *r, unsigned slot, uint64_t lsn, uint32_t asked);
/* Is a copy that does not hold all of it taking in a big record, in its time for that (14)? */
bool repl_takes_big(const struct repl *r, unsigned slot);
bool repl_anyone_takes_big(const struct repl *r); /* of any slot */
bool repl_peer_takes_big(const struct repl *r, uint16_t place);
/* Does that one? */
bool repl_holds(const struct repl *r, uint16_t place, unsigned slot, uint64_t lsn);
/* How many other nodes hold (synced: have on their disk) the slot's records up to lsn; 0: it
 * is another's slot. */
unsigned repl_holders(const struct repl *r, unsigned slot, uint64_t lsn, bool synced);
/* What a reply computed from the slot now is to wait for; 0: there are no copies, and this
 * disk is well. */
static inline uint64_t repl_newest(const struct repl *r, unsigned slot)
{
    return repl_has_copies(r, slot) || bits_has(&r->unstored, slot) ? r->primary[slot].newest : 0;
}
static inline __attribute__((always_inline)) void repl_prefetch(const struct repl *r, unsigned slot)
{
    if (repl_has_copies(r, slot))
        __builtin_prefetch(&r->primary[slot]);
}
/* Before a record of it is made, or kept as a copy: what repl_prefetch and this fetched has
 * pointers to the rest. */
static inline __attribute__((always_inline)) void repl_prefetch_place(const struct repl *r,
                                                                      unsigned slot)
{
    __builtin_prefetch(&r->places[slot], 1);
    __builtin_prefetch(&r->replica[slot]);
}
static inline __attribute__((always_inline)) void repl_prefetch_copies(const struct repl *r,
                                                                       unsigned slot)
{
    if (!repl_has_copies(r, slot))
        return;
    __builtin_prefetch(r->primary[slot].copies);
    __builtin_prefetch(&r->map->slots[slot]);
}
/* How far a replica of a slot is behind, as its primary knows. */
struct repl_lag {
    /* that it is not known to hold: at most so many, since those of other slots count */
    uint64_t records;
    int64_t us; /* so long it has not held the oldest of them; or has not followed */
};
struct repl_lag repl_lag_of(const struct repl *r, unsigned slot, uint16_t place);
/* The records of all slots up to there; in a slot that has not as many in sync as were asked for,
 * by the cluster's W. */
bool repl_all_held(const struct repl *r, uint64_t lsn, uint32_t asked);
/* It is being stopped: it holds nothing more (27). */
void repl_leaves(struct repl *r, uint16_t place);
bool repl_has_left(const struct repl *r, uint16_t place);
/* Would it serve at once what it is made primary of? So it said when it was heard last (26). */
bool repl_may_lead(const struct repl *r, uint16_t place);
/* Writes to it are refused now (NOREPLICAS), since too few are in sync (5); so are reads that ask
 * for more of them. */
bool repl_refuses(const struct repl *r, unsigned slot, uint32_t asked);
bool repl_refuses_read(const struct repl *r, unsigned slot, uint32_t asked);

/* ---- memory of the nodes with copies (R13) */

static inline bool repl_is_wanted(const struct repl *r) /* something is to be evicted for others */
{
    return r->wanted;
}
bool repl_wants(const struct repl *r, unsigned slot); /* in this slot */
/* So much of it was, by records up to now. */
void repl_relieved(struct repl *r, unsigned slot, uint64_t bytes);
void repl_unrelieved(struct repl *r); /* no more is, until it is asked for again */
/* May what needs memory not run in this slot, since a copy's node has none? */
bool repl_is_full(const struct repl *r, unsigned slot);
bool repl_full_turned(struct repl *r); /* for some slot that changed since this was asked last */

/* ---- as replica */

enum repl_verdict { REPL_TAKE, REPL_DROP };
/* first: of the first record in m->bytes. What does not fit is answered with SYNC, before any ack
 * of it (2, 4). */
enum repl_verdict repl_may_append(struct repl *r, uint16_t place, const struct repl_append *m,
                                  struct position first);
void repl_from(struct repl *r, uint16_t place, const struct repl_round *in);
/* upto: lsn of this node's newest record. */
void repl_joined(struct repl *r, uint16_t place, uint64_t map, const struct repl_round *in,
                 uint64_t upto);
void repl_join(struct repl *r); /* the log got on, or the map: who may join says so */
/* May a dump that answers this round be swapped in now (2, 23)? */
bool repl_may_swap(const struct repl *r, uint16_t place, const struct repl_round *in);
/* A record of its primary's was appended here: it is kept for who follows this node one day. */
void repl_keep(struct repl *r, unsigned slot, uint64_t before_epoch, struct slice bytes);
void repl_offered(struct repl *r, uint16_t place, const struct repl_round *in);
/* Which of those offered is to be pulled next, which then is no more: the slot with the fewest
 * copies. False: none. */
bool repl_pull_next(struct repl *r, uint16_t *place, struct repl_round *in);
void repl_sync_again(struct repl *r, unsigned slot); /* a dump was no good: from the beginning */

/* ---- changing in-sync sets (11 to 14) */

struct repl_wish {
    uint16_t slot;
    struct isr next;
};
struct repl_wishes {
    VEC(struct repl_wish) at;
    uint64_t n;          /* of the proposal */
    bool propose;        /* also with none: the way out of doubt */
    struct bits settled; /* SETTLED is to be asked for in these */
    bool settles;        /* there are such */
};
/* Is its in-sync set as it should be, and none tried or proposed? Only then is it
 * handed over (26). */
bool repl_isr_rests(const struct repl *r, unsigned slot);
/* What is to be proposed now; `to` is cleared first. taken: slots whose primary is being
 * moved, which are left alone. may: false: another proposal of this node's is under way;
 * SETTLED is none. */
void repl_look(struct repl *r, const struct bits *taken, bool may, struct repl_wishes *to);

/* ---- time */

/* A few times in T/10: says ALIVE where nothing else was said, and SYNC again where it
 * was not answered. */
void repl_alive(struct repl *r);
bool repl_is_silent(const struct repl *r, uint16_t place); /* its link is to be closed (14) */
struct mono repl_due(const struct repl *r);                /* repl_look, at the latest */

#endif

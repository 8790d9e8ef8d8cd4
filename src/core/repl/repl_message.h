/* SPDX-License-Identifier: BSD-3-Clause */

/* What primaries and replicas say to one another over a replication link, which the
 * primary's node dialed to the replica's; one link for all the slots the two share. A
 * session of the protocol is one connection: what is said on it is of it, in order
 * (replication 3, 4). Their bytes: wire/wire_repl.c. */
#ifndef CORE_REPL_REPL_MESSAGE_H
#define CORE_REPL_REPL_MESSAGE_H

#include "base/chain.h"
#include "base/hash.h"
#include "core/repl/lineage.h"

enum repl_message_type {
    /* of the primary's node */
    REPL_FROM = 1, /* rounds: here begins the answer to that SYNC, behind the position it named */
    REPL_APPEND,   /* append */
    /* lsn, map, rounds: they have been sent everything up to lsn, and are sent what follows */
    REPL_JOINED,
    REPL_ALIVE,  /* lsn: all up to it has been sent; nothing else was to say */
    REPL_DUMP,   /* dump: a part of a slot's content */
    REPL_DUMPED, /* dumped: the last part, and it was whole */
    REPL_OFFER,  /* rounds: they need dumps of many parts, to be pulled */
    REPL_DIGEST, /* digest: the slot's is wanted as of here (29) */
    /* bad: what you have of it is wrong, and you are not in sync any more: it is to
     * be deleted (29) */
    REPL_BAD,
    /* rounds: of these my own copy is wrong: whoever of you is primary next compares
     * them first (29) */
    REPL_COMPARE,
    /* of the replica's */
    REPL_SYNC, /* wheres: there it stands; what is sent does not fit, or nothing was sent yet */
    /* rounds: the map that JOINED named is applied here, and all that came before it is held */
    REPL_JOINS,
    REPL_ACK,      /* ack */
    REPL_PULL,     /* pull: a dump that was offered is wanted, or goes on */
    REPL_DIGESTED, /* digested: what was asked for; or it is not to be had now */
    REPL_LEAVING   /* text: it is being stopped, it will hold nothing more (27) */
};

/* Where a replica stands in a slot. Each time it says so is a round: what is on its way from before
 * it was heard is told by that from what answers it. */
struct repl_round {
    uint16_t slot;
    uint64_t epoch; /* of the slot, as the one who says it has applied it */
    uint32_t round;
};
static inline bool repl_round_is(const struct repl_round *a, const struct repl_round *b)
{
    return a->slot == b->slot && a->epoch == b->epoch && a->round == b->round;
}
struct repl_where {
    struct repl_round in;
    struct position at;
};

struct repl_append {
    uint64_t lsn; /* of the last record in bytes */
    uint16_t slot;
    uint64_t epoch;            /* the sender's of the slot: records may be of older ones (2) */
    uint64_t before_epoch;     /* of the record before the first one of bytes; 0: there is none */
    struct slice bytes;        /* consecutive whole records of the slot, as in the log */
    const struct chain *parts; /* to be said, where it is not NULL: in place of bytes */
    struct blob *blob;         /* heard: bytes are the whole of it; or NULL */
};

struct repl_dump {
    struct repl_round in;
    uint32_t part;      /* 0, 1, ... */
    struct slice bytes; /* whole commands; of a dump's parts together, the slot's content */
};

struct repl_dumped {
    struct repl_round in;
    uint32_t parts;     /* before this one: 0, all of it is here */
    struct slice bytes; /* as of a part */
    struct position at; /* the content is as of this record, */
    unsigned starts_n;  /* which has this history */
    const struct epoch_start *starts;
};

struct repl_pull {
    struct repl_round in;
    uint32_t parts; /* so many have been taken; 0: it may begin */
};

struct repl_digest {
    struct repl_round in; /* of the SYNC by which it came to follow */
    uint64_t number;      /* of the comparison, at this primary */
    struct position at;   /* where the slot stands */
    struct hash_key key;
};

struct repl_digested {
    struct repl_round in;
    uint64_t number;
    bool has;
    uint64_t sum[2];
};

struct repl_bad {
    struct repl_round in;
    uint64_t map; /* the one that shows it, or a later one, is to be applied there */
};

struct repl_ack {
    /* lsns of the primary's; synced falls where more came with one up to which all was synced */
    uint64_t held, synced;
    bool has_no_log; /* nothing is synced there, ever: it is not waited for */
    bool leased;     /* it may serve what it is made primary of (7) */
    /* more came of a message that is not whole yet: it is at work on a big record (14) */
    bool grows;
    /* it is over its maxmemory, and there is nothing that could be evicted for it */
    bool full;
    /* it is over by so many bytes of this primary's slots, which that one is to evict */
    uint64_t wants;
    uint64_t dumps; /* so many bytes came with DUMPED in this session */
};

struct repl_message {
    enum repl_message_type type;
    uint64_t lsn, map; /* JOINED, ALIVE; JOINED */
    size_t n;          /* of rounds or wheres */
    union {
        const struct repl_round *rounds;
        const struct repl_where *wheres;
        struct repl_append append;
        struct repl_dump dump;
        struct repl_dumped dumped;
        struct repl_pull pull;
        struct repl_digest digest;
        struct repl_digested digested;
        struct repl_bad bad;
        struct repl_ack ack;
        struct slice text;
    };
};

#endif

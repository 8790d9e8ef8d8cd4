/* SPDX-License-Identifier: BSD-3-Clause */

/* Scrubbing (replication 29): copies of a slot are compared, one slot at a time, all of them
 * within a period.
 *
 *     primary                                replicas that have joined
 *     DIGEST slot, at its position  ------>  at that very point of the stream: its digest begins,
 *     its own digest begins                  in small steps (node/)
 *     all answers are here          <------  DIGESTED
 *
 *       all equal ------------------------>  the next slot
 *       not equal: once more, with another key
 *       not equal again:
 *         most of them are equal --------->  the others are wrong. They leave the in-sync set; once
 *                                            the map shows it they are told BAD: such a copy is
 *                                            deleted, durably, and fetched anew. If the primary's
 *                                            is, it tells the others to COMPARE when one of them is
 *                                            primary, and hands the slot over
 *         else --------------------------->  nobody can tell: alarm, and all are kept
 *
 * A digest is keyed anew each time. Who has no time for one, or changes state meanwhile, makes
 * the attempt void. */
#ifndef CORE_REPL_SCRUB_H
#define CORE_REPL_SCRUB_H

#include "base/bits.h"
#include "base/moment.h"
#include "core/map/map.h"
#include "core/repl/repl_message.h"

struct repl;

struct scrub_member {
    uint16_t place; /* [0]: this node */
    uint32_t round; /* of the copy there when it was asked */
    enum scrub_answer { SCRUB_ASKED, SCRUB_TOLD, SCRUB_LOST } answer;
    uint64_t sum[2]; /* TOLD */
};

struct scrub {
    int64_t period_us; /* 0: nothing is compared but what is asked for */
    unsigned slots_n;  /* it is primary of, with copies elsewhere */
    struct mono next;  /* when, at the earliest, */
    unsigned at;       /* the round goes on from this slot; */
    /* before that this one, which could not be compared or is to be confirmed; SLOTS: none */
    unsigned again;
    unsigned tries;   /* of it */
    bool confirms;    /* it differed */
    struct bits soon; /* before others, too; */
    bool hurries;     /* some are this node's */
    bool on;          /* one is being compared: */
    uint16_t slot;
    uint64_t epoch, number;
    struct scrub_member member[MAP_REPLICAS + 1];
    unsigned member_n;
    struct bits differ; /* slots whose copies were not equal when they were compared last */
    /* counts: slots compared; not compared in a round; copies fetched anew */
    uint64_t compared, skipped, healed;
};

enum scrub_verdict {
    SCRUB_EQUAL,  /* they are */
    SCRUB_VOID,   /* it is tried again, or left until the next round */
    SCRUB_DIFFER, /* not equal: to be confirmed */
    SCRUB_ALARM,  /* not equal, and nobody can tell which is right */
    SCRUB_OTHERS, /* not equal: these copies are wrong, */
    SCRUB_MINE    /* or this node's */
};
struct scrub_found {
    enum scrub_verdict verdict;
    uint16_t slot;
    unsigned copies; /* compared */
    /* OTHERS, MINE, ALARM: whose differ from the one of most, or from this node's */
    uint16_t at[MAP_REPLICAS];
    unsigned n;
};

void scrub_period(struct repl *r, int64_t us);
void scrub_map(struct repl *r);              /* other slots have copies elsewhere, perhaps */
struct mono scrub_due(const struct repl *r); /* when scrub_begin may find something to do */
/* One is compared from here on: its replicas were asked, and the caller digests it at this very
 * moment. False: none is. random: for this once. */
bool scrub_begin(struct repl *r, struct hash_key random, struct repl_digest *ask);
/* This node's own; NULL: there is none. */
void scrub_own(struct repl *r, const uint64_t sum[2]);
void scrub_digested(struct repl *r, uint16_t place, const struct repl_digested *m);
/* Is the comparison over? Then what comes of it was begun. */
bool scrub_judge(struct repl *r, struct scrub_found *to);
void scrub_tell_bad(struct repl *r); /* now and then: BAD, to who may be told */
/* Its own copy is wrong: it is to be handed to one that is in sync. */
bool scrub_is_mine_bad(const struct repl *r, unsigned slot);
/* It is not to be handed to that one now: what it has is wrong, or the copies are to
 * be compared first. */
bool scrub_keeps(const struct repl *r, unsigned slot, uint16_t to);
void scrub_soon(struct repl *r, unsigned slot); /* it is compared before others */
/* That copy is wrong, says an operator; false: there is none. */
bool scrub_discard(struct repl *r, unsigned slot, uint16_t place);

/* ---- as replica */
/* Does it stand where its primary stood? */
bool scrub_may_digest(const struct repl *r, uint16_t place, const struct repl_digest *m);
bool scrub_is_asked(const struct repl *r, uint16_t place, const struct repl_round *in); /* still */
void scrub_compare(struct repl *r, uint16_t place, const struct repl_round *in); /* COMPARE */
/* It is out of the in-sync set, as its primary says: the copy is to be deleted here. */
bool scrub_may_reset(const struct repl *r, uint16_t place, const struct repl_round *in,
                     uint64_t map);

#endif

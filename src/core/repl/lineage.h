/* SPDX-License-Identifier: BSD-3-Clause */

/* Where a slot stands, and how it came there (replication 23, 25).
 *
 *     epoch   |  0  |      3      |    4    | 9 ...
 *     seq     | 1 2 | 3 4 5 6 7 8 | 9 10 11 | 12
 *     starts   (0,1)  (3,3)         (4,9)     (9,12)
 *
 * A position lies on this history if its epoch is among the starts and its seq is below the next
 * epoch's first. Where an epoch ended without a record its start is taken out when the next one
 * begins; of more than LINEAGE_EPOCHS the oldest are forgotten.
 *
 * `logged` and `turns` say what of it can be read back from the log's increments. Where a slot's
 * content was replaced, dropped, or taken over from another cluster, a mark in the log says so: a
 * turn. What lies before its last turn is not its history, whatever position it names. */
#ifndef CORE_REPL_LINEAGE_H
#define CORE_REPL_LINEAGE_H

#include "core/types.h"

enum { LINEAGE_EPOCHS = 64 };

struct epoch_start {
    uint64_t epoch, first; /* the seq of its first record, or of the one it would have */
};

struct lineage {
    struct position at;         /* of the newest record; seq 0: there is none */
    uint64_t epoch;             /* the newest begun: the next record is of it */
    uint64_t fence;             /* senders of epochs up to here are refused (replication 20) */
    struct epoch_start *starts; /* oldest first; NULL while there are none */
    uint8_t starts_n, starts_cap;
    bool frozen; /* records are missing: nothing is taken until it has synced (25) */
    /* so many are in the increments of this node's log; behind the last of them, or
     * the base, are */
    uint32_t turns;
    uint64_t logged; /* all records after this seq */
};

/* Alone there is one, in its only epoch. */
static inline struct lineage lineage_alone(void)
{
    return (struct lineage){.at = {EPOCH_ALONE, 0}, .epoch = EPOCH_ALONE};
}

struct lineage *lineages_new(unsigned n); /* mem_get; zeroed: no epoch has begun */
void lineages_free(struct lineage *l, unsigned n);
void lineage_reset(struct lineage *l); /* as new */
void lineage_clear(struct lineage *l); /* a turn: as new, but for its fence (R3) */

/* The position of the next record, which it takes (R1). */
static inline struct position lineage_next(struct lineage *l)
{
    l->at = (struct position){l->epoch, l->at.seq + 1};
    return l->at;
}

/* May a record of this position be the next: behind the newest one, of its epoch or a later one?
 * Epochs that began here without a record do not count (23). */
bool lineage_takes(const struct lineage *l, struct position p);
void lineage_take(struct lineage *l, struct position p); /* it is */

/* For these two, once *l is there. */
static inline __attribute__((always_inline)) void lineage_prefetch_starts(const struct lineage *l)
{
    if (l->starts_n > 0)
        __builtin_prefetch(&l->starts[l->starts_n - 1]);
}

/* From here on records are of this epoch, which is newer than any before, or the first. */
void lineage_begin(struct lineage *l, uint64_t epoch);

/* Does the history have this position, or is it none at all? Of forgotten epochs nobody knows. */
bool lineage_has(const struct lineage *l, struct position p);

/* What is to be done with a record of this position that was read back (25). GAP: the slot is to be
 * frozen. */
enum lineage_fit { LINEAGE_NEXT, LINEAGE_KNOWN, LINEAGE_GAP };
enum lineage_fit lineage_fit(const struct lineage *l, struct position p);

/* The epoch of the record at this seq of the history; 0: of none, seq being 0. */
uint64_t lineage_epoch_of(const struct lineage *l, uint64_t seq);

/* A turn: the history as it was told: starts in their order, position and newest epoch. False:
 * it is none. */
bool lineage_set(struct lineage *l, struct position at, const struct epoch_start *starts,
                 unsigned n);

/* A base as of that moment, when it stood at seq behind so many turns, took the place of what
 * was logged before. */
void lineage_based(struct lineage *l, uint64_t seq, uint32_t turns);

void lineage_check(const struct lineage *l); /* R1 to R3 */

#endif

/* SPDX-License-Identifier: BSD-3-Clause */

/* What clients asked of a few keys of one slot and were answered, and whether some order explains it.
 *
 * Commands and transactions are atomic on the slot, so the order is sought for all its keys together: each
 * answered one took place at one moment between its call and its answer, one that nobody knows the fate of
 * at a moment behind its call, or never. A key holds a number, or what was appended to it, as one number
 * (history_appended); 0: it is not there. Values written are unique, so that a value read names its write.
 *
 * Where keys are evicted, each of them may go at any moment, between two that the order has. Where a group was
 * given up, what is left of it may be of any age: each key holds what it held at some time before, or nothing. */
#ifndef HISTORY_H
#define HISTORY_H

#include "base/moment.h"
#include "base/vec.h"

enum { HISTORY_KEYS = 4, HISTORY_PARTS = 4 };

enum history_part_type {
    HISTORY_GET, HISTORY_SET, HISTORY_DEL, HISTORY_INCR, HISTORY_APPEND,
    HISTORY_IS /* it ran only because the key held this value (WATCH) */
};

struct history_part {
    uint8_t type, key;
    int64_t value;  /* SET, APPEND: what was written; IS: what must be there */
    int64_t answer; /* GET, DEL, INCR: what was answered; APPEND: how many are there now */
};

struct history_op {
    int64_t call, answer;
    bool unsure;         /* perhaps it was done, perhaps it will be: `answer` is void, and what parts were answered */
    bool is_loss;        /* a power cut: what was done later than `since` may be undone, from the newest on; */
    bool gives_up;       /* or, `since` is void: what is left may be of any age */
    int64_t since;
    uint32_t after;      /* place + 1 of one that was sent before it on its connection; 0: none */
    uint32_t parts_n;
    struct history_part parts[HISTORY_PARTS];
};

struct history {
    VEC(struct history_op) ops; /* in the order of their calls */
    bool evicts;
};

enum history_verdict { HISTORY_GOOD, HISTORY_BAD, HISTORY_UNDECIDED /* too many orders to try */ };

struct history_judged {
    enum history_verdict verdict;
    size_t stuck;   /* BAD: the first answered one that no order reached */
    uint64_t tries; /* orders begun */
};

struct history_judged history_judge(const struct history *h);

/* What a key holds when `value` is appended to what it held. */
int64_t history_appended(int64_t held, int64_t value);

#endif

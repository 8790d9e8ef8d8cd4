/* SPDX-License-Identifier: BSD-3-Clause */

/* What clients asked of a few keys of one slot and were answered, and whether some order explains it.
 *
 * Commands and transactions are atomic on the slot, so the order is sought for all its keys together: each
 * answered one took place at one moment between its call and its answer, one that nobody knows the fate of
 * at a moment behind its call, or never. A key holds a number; 0: it is not there. Values written are
 * unique, so that a value read names its write. */
#ifndef HISTORY_H
#define HISTORY_H

#include "base/moment.h"
#include "base/vec.h"

enum { HISTORY_KEYS = 3, HISTORY_PARTS = 4 };

enum history_part_type { HISTORY_GET, HISTORY_SET, HISTORY_DEL, HISTORY_INCR, HISTORY_IS };

struct history_part {
    uint8_t type, key;
    int64_t value; /* SET: what; GET, DEL, INCR: what was answered; IS: what must be there */
};

struct history_op {
    int64_t call, answer;
    bool unsure;         /* perhaps it was done, perhaps it will be: `answer` is void, and what parts were answered */
    bool is_loss;        /* a power cut: what was done later than `since` may be undone, from the newest on */
    int64_t since;
    uint32_t after;      /* place + 1 of one that was sent before it on its connection; 0: none */
    uint32_t parts_n;
    struct history_part parts[HISTORY_PARTS];
};

struct history {
    VEC(struct history_op) ops; /* in the order of their calls */
};

enum history_verdict { HISTORY_GOOD, HISTORY_BAD, HISTORY_UNDECIDED /* too many orders to try */ };

/* BAD: *stuck is the first answered one that no order reached. */
enum history_verdict history_judge(const struct history *h, size_t *stuck);

#endif

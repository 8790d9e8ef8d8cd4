/* SPDX-License-Identifier: BSD-3-Clause */

/* Histories whose verdict is known: wrong ones that a checker must reject, and for each a right one that is
 * nearly it. No run of a cluster's seeds counts before all of them are judged as they should be.
 *
 * As text, ops parted by ';', parts by '+'; keys are a, b, c (numbers) and d (what was appended):
 *
 *     1-2 set a 5            called at 1, answered at 2
 *     1-? incr c             nobody knows its fate
 *     3-4 incr c 2 + get d 7 8      a transaction, with its answers
 *     3-4 after 1 get a 5    on its connection it was sent behind the first op
 *     9 loss 4               a power cut at 9: what was done later than 4 may be gone */
#ifndef PLANTED_H
#define PLANTED_H

#include "tests/sim/history.h"

struct planted {
    const char *what;
    const char *wrong, *right;
};

enum { PLANTED = 20 };
extern const struct planted planted_rows[PLANTED];

void planted_read(struct history *to, const char *text); /* to is empty; its ops are to be freed */
const char *planted_misjudged(void); /* the first that is judged wrong; NULL: none */

#endif

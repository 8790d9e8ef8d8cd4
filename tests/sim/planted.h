/* SPDX-License-Identifier: BSD-3-Clause */

/* Histories whose verdict is known: wrong ones that a checker must reject, and for each a right one that is
 * nearly it. No run of a cluster's seeds counts before all of them are judged as they should be.
 *
 * Ops as history_text.h has them, parted by ';'; in front "evicts;" where any key may go at any moment. */
#ifndef PLANTED_H
#define PLANTED_H

#include "tests/sim/history.h"

struct planted {
    const char *what;
    const char *wrong, *right;
};

enum { PLANTED = 34 };
extern const struct planted planted_rows[PLANTED];

void planted_read(struct history *to, const char *text); /* to is empty; its ops are to be freed */
const char *planted_misjudged(void); /* the first that is judged wrong; NULL: none */

#endif

/* SPDX-License-Identifier: BSD-3-Clause */

/* What was asked and answered, as text. Parts are parted by '+'; keys are a, b, c (numbers) and d (what was
 * appended), and 0 is a key that is not there:
 *
 *     1-2 set a 5            called at 1, answered at 2
 *     1-? incr c             nobody knows its fate
 *     3-4 incr c 2 + get d 7 8      a transaction, with its answers
 *     3-4 after 1 get a 5    on its connection it was sent behind the first op
 *     3-4 is a 5 + set b 6   it ran because a, which was watched, was 5
 *     9 loss 4               a power cut at 9: what was done later than 4 may be gone
 *     9 given up             at 9 what is left may be of any age */
#ifndef HISTORY_TEXT_H
#define HISTORY_TEXT_H

#include "base/err.h"
#include "tests/sim/history.h"

/* Reads one, and goes on to what stands behind it. false: *p is where it is none. */
MUST_CHECK bool history_op_read(const char **p, struct history_op *op);

#endif

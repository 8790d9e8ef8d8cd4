/* SPDX-License-Identifier: BSD-3-Clause */

/* Where one reply ends, without building it: what is passed on as it came.
 *
 * RESP2 and RESP3. A reply is a count of values that are still to come: a bulk or a line takes one
 * from it, an array of n adds n; so nesting costs no memory, and a reply in pieces is gone on with
 * where it broke off. The streamed types of RESP3, which no server sends unasked, are not taken. */
#ifndef RESP_FRAME_H
#define RESP_FRAME_H

#include <stdint.h>

#include "base/slice.h"

enum { FRAME_LINE_MAX_BYTES = 64 * 1024 }; /* "+...", "-...": longer ones are not replies */

/* Zeroed before each reply. */
struct frame {
    size_t at;     /* bytes of it looked at; beyond what is there while a bulk is under way */
    uint64_t left; /* values to come; 0: it has not begun */
};

enum frame_found {
    FRAME_MORE,  /* not whole: the same bytes again, and more */
    FRAME_WHOLE, /* its bytes are the first f->at of in */
    FRAME_BAD    /* no reply */
};

/* in begins where the reply does. */
enum frame_found frame_end(struct frame *f, struct slice in);

/* Of a reply that is not whole, all that is there and was looked at may be passed on: how many
 * bytes of in. What comes is to be given from behind them. */
static inline size_t frame_pass(struct frame *f, struct slice in)
{
    size_t n = f->at < in.n ? f->at : in.n;
    f->at -= n;
    return n;
}

/* The head of a whole reply: how many elements follow it, and where the first begins. False: it is
 * no array (or set, or push), or a null one. */
bool frame_array(struct slice reply, uint64_t *n, size_t *first);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */

/* The thread that frees big memory: giving many pages back to the system takes milliseconds that
 * the data thread has not got. */
#ifndef IO_REAPER_H
#define IO_REAPER_H

#include "base/blob.h"
#include "io/lane.h"

struct reaper {
    struct lane lane;
};

enum err reaper_start(struct reaper *r, struct loop *loop) MUST_CHECK;
void reaper_bury(struct reaper *r, struct graves *g); /* what lies in g; g is empty then */
void reaper_collect(struct reaper *r);                /* once a turn: its own bookkeeping */
void reaper_stop(struct reaper *r);

#endif

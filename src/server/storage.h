/* SPDX-License-Identifier: BSD-3-Clause */

/* Performs what the node asks of the disk: blindly, in order within each lane.
 *
 * An operation marked at_once is done here and now. The others travel to their lane's thread with
 * their bytes; those bytes come back with the answer, since references to shared values are counted
 * on the data thread only. */
#ifndef SERVER_STORAGE_H
#define SERVER_STORAGE_H

#include "io/lane.h"
#include "persist/disk.h"

enum { STORAGE_FILES = 64 }; /* handles; the log uses two, a rewrite and a backup a few */
/* under way in a lane; further ones wait, and clients are not read */
enum { STORAGE_LANE_JOBS = 256 };

struct storage_lane {
    struct lane lane;
    struct list waiting; /* operations that found the lane full */
    size_t waiting_n;
};

struct storage {
    struct storage_lane lanes[LANES];
    int fds[STORAGE_FILES]; /* -1: not open. Used by one lane at a time: OPEN was answered before */
    struct graves *graves;  /* of the asker's thread */
};

/* Without threads: for operations at_once only, and nothing to stop. */
void storage_init(struct storage *s, struct graves *graves);
/* names: of the lanes' threads */
enum err storage_start(struct storage *s, const char *const names[LANES], struct loop *loop,
                       struct graves *graves) MUST_CHECK;
/* what the lanes hold is done first; its answers are dropped */
void storage_stop(struct storage *s);

/* Takes op. True: it was done at once, *done is its answer. */
bool storage_perform(struct storage *s, struct disk_op *op, struct disk_done *done);
bool storage_next_done(struct storage *s, struct disk_done *done); /* an answer from a lane */
bool storage_is_behind(const struct storage *s);                   /* a lane is full */

#endif

/* SPDX-License-Identifier: BSD-3-Clause */

/* A thread that does slow things one after the other, and a way back.
 *
 *     owner:   lane_give(l, job) -> queue -> thread: job->run(job) -> done list -> loop_call
 *     owner:   while ((job = lane_take(l)) ...)        in the order they were given
 *
 * A job belongs to the thread from give to take. The queue is bounded: give refuses when it is
 * full, and the owner then holds back whatever makes more work. */
#ifndef IO_LANE_H
#define IO_LANE_H

#include <pthread.h>

#include "io/loop.h"

struct job {
    struct list in;
    void (*run)(struct job *job); /* on the lane's thread */
};

struct lane {
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows, up to `given` */
    pthread_cond_t work;
    struct list queue, done;
    bool stop;
    size_t given; /* the owner's: jobs given and not taken back */
    size_t max;
    struct loop *loop;
};

enum err lane_start(struct lane *l, const char *name, size_t max, struct loop *loop) MUST_CHECK;
bool lane_give(struct lane *l, struct job *j) MUST_CHECK; /* false: full, nothing happened */
struct job *lane_take(struct lane *l);                    /* a job that is done, or NULL */
void lane_stop(struct lane *l); /* what was given is done first; then take what is left */

#endif

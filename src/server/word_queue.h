/* SPDX-License-Identifier: BSD-3-Clause */

/* Words on their way from one plane's thread to the other's (core/map/plane_word.h).
 *
 *     one thread:  word_put  -> the queue -> loop_call:  the other's wait ends
 *     the other:   words_take -> all that came, in order
 *
 * Nobody waits and nothing is lost that matters, so the queue is bounded by what words mean: of
 * those that tell how things are (MAP, VIEW, APPLIED, REPORT) the newest is all there is; entries
 * that pile up give way to the whole map; a proposal may be void anyway, and is told so by the map
 * alone; and a client asks, and is answered, once at a time. */
#ifndef SERVER_WORD_QUEUE_H
#define SERVER_WORD_QUEUE_H

#include <pthread.h>

#include "base/vec.h"
#include "core/map/plane_word.h"
#include "io/loop.h"

enum { WORD_ENTRIES_MAX = 4096 }; /* minutes of the busiest map; a map is not much bigger */
enum { WORD_PROPOSALS_MAX = 64 }; /* one follows another by the tenth of a second */

struct words { /* a vec */
    struct word *at;
    size_t n, cap;
};

struct word_queue {
    pthread_mutex_t lock; /* guards what follows */
    struct words words;
    size_t entries_n, proposals_n;
    uint64_t whole; /* entries up to this index went with a map in their place */
    struct loop *to;
};

void word_queue_init(struct word_queue *q, struct loop *to);
void word_queue_free(struct word_queue *q);

/* w is taken. whole: the map as of w or later, should entries pile up; NULL: w is no entry. */
void word_put(struct word_queue *q, struct word *w, const struct map *whole);
void words_take(struct word_queue *q,
                struct words *to); /* to: emptied before, and kept for its room */

#endif

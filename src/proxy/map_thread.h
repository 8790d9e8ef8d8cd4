/* SPDX-License-Identifier: BSD-3-Clause */

/* The thread that follows the cluster's map, and tells those that serve.
 *
 *     nodes' cluster ports <-> lines <-> relay_step -> words, to each thread's queue
 */
#ifndef PROXY_MAP_THREAD_H
#define PROXY_MAP_THREAD_H

#include <pthread.h>
#include <stdatomic.h>

#include "io/line.h"
#include "io/logfile.h"
#include "relay/relay.h"
#include "server/word_queue.h"

struct map_thread {
    /* the starter's */
    struct relay_config config;
    struct word_queue **to; /* of to_n threads; stay until it has ended */
    size_t to_n;
    const atomic_uint *reopens; /* of the log file */
    const atomic_int *log_level;
    struct logfile log; /* opened */
    /* between the threads */
    atomic_bool has_map, stop;

    pthread_t thread;
    struct loop loop;
    struct lines links;
    struct graves graves;
    struct relay *relay;
    struct relay_out out;
    struct mono now;
    unsigned reopened;
    bool why_told;
};

bool map_thread_run(struct map_thread *t)
    MUST_CHECK;                             /* false: the system gives no thread, or no loop */
void map_thread_stop(struct map_thread *t); /* and waits for it */

#endif

/* SPDX-License-Identifier: BSD-3-Clause */

/* The control plane's thread: a loop of its own, the cluster port, its links, its files.
 *
 *     data thread                                  control thread
 *     words, as they come      -- up ---------->   CONTROL_WORD
 *     progress, keys, load     -- atomics ----->   each event's pulse
 *     the log is loaded        -- an atomic --->   CONTROL_LOADED
 *     may go on                <-- an atomic --    out.settled
 *     NODE_WORD               <------ down --      out.words
 *     each event's lease      <-- an atomic --     out.lease
 *     NODE_OPENED, forwarding <------ given --     out.give: who brings clients' commands
 *
 * A turn: wait until something is ready or due; step each thing; one write for each connection.
 * What is to be stored goes to two lanes of its own: it never waits behind the data's. */
#ifndef SERVER_CONTROL_THREAD_H
#define SERVER_CONTROL_THREAD_H

#include <pthread.h>
#include <stdatomic.h>

#include "control/control.h"
#include "io/line.h"
#include "io/listen.h"
#include "server/cluster_files.h"
#include "server/doors.h"
#include "server/storage.h"
#include "server/word_queue.h"

/* A connection that passed the cluster port's handshake and brings clients' commands. */
struct given {
    int fd;               /* the taker's */
    uint8_t use;          /* enum peer_use */
    struct node_id from;  /* who brings it, */
    uint32_t incarnation; /* in this run */
    struct chain unread;  /* bytes behind the handshake; the taker's */
    char peer[ADDRESS_TEXT_BYTES], local[ADDRESS_TEXT_BYTES];
};
struct givens { /* a vec */
    struct given *at;
    size_t n, cap;
};

/* Where this node is reached from now on. */
struct control_move {
    bool asked;
    struct doors doors; /* none: at the old ones */
    struct endpoint at; /* announced */
};

enum has_loaded { LOADED_NOT, LOADED_SAME, LOADED_NEW /* control.h: new_data */ };

struct control_thread {
    /* between the threads */
    struct word_queue up, down;
    atomic_llong lease; /* of the data plane, us; 0: none */
    atomic_ullong progress, memory, ops;
    atomic_bool has_data;
    atomic_int log_level;
    atomic_bool stop_asked, stopped, over;
    atomic_int loaded;    /* enum has_loaded: by the data plane */
    atomic_bool settled;  /* and what it is by now is on disk */
    pthread_mutex_t lock; /* guards given, move, and doors once it runs */
    struct givens given;
    struct control_move move;
    struct loop *data_loop;

    /* the control thread's, once it runs */
    pthread_t thread;
    bool is_running; /* the starter knows */
    struct log log, *log_to;
    struct control_config config;
    struct cluster_files files;
    struct control *control;
    struct control_out out;
    struct loop loop;
    struct storage storage;
    struct doors doors;
    struct lines links, guests;
    uint32_t last_guest;
    struct graves graves;
    struct words words;
    struct mono now, wake;
    struct mono compared; /* when the clocks were; */
    struct wall compared_wall;
    bool loaded_told, stop_told;
};

/* t is zeroed; its config, files and doors are there, and its own from here on. to: the loop of the
 * data thread, which words and guests wake. */
enum err control_thread_init(struct control_thread *t, struct loop *to, struct log *log) MUST_CHECK;
/* Opened, before there is a loop: nobody is accepted before the thread runs. */
bool control_thread_doors(struct control_thread *t, struct doors_where *where, char *why,
                          size_t why_n);
bool control_thread_run(struct control_thread *t)
    MUST_CHECK; /* false: the system gives no thread */
/* The log is read; then t->settled, and `to` is woken. */
void control_thread_loaded(struct control_thread *t, bool new_data);
/* The data thread has done some work (replication 15). It alone counts, so it need not lock. */
static inline void control_thread_progress(struct control_thread *t)
{
    unsigned long long n = atomic_load_explicit(&t->progress, memory_order_relaxed);
    atomic_store_explicit(&t->progress, n + 1, memory_order_relaxed);
}
/* In two steps, so that the data thread's doors can be opened between: doors at this port, beside
 * the old ones, while the control thread goes on; then these take their place, and `at` is
 * announced. False: why says what is wrong. */
bool control_thread_move_doors(struct control_thread *t, struct control_move *m,
                               struct doors_where *where, char *why, size_t why_n);
void control_thread_move(struct control_thread *t,
                         struct control_move *m);   /* its doors are taken */
void control_thread_stop(struct control_thread *t); /* asks; then t->stopped, and `to` is woken */
void control_thread_take_given(struct control_thread *t, struct givens *to); /* the taker's */
void control_thread_free(struct control_thread *t); /* also of one that never ran */

#endif

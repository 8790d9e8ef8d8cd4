/* SPDX-License-Identifier: BSD-3-Clause */

/* One vong-proxy: so many threads that serve clients, and one that follows the map. */
#ifndef PROXY_PROXY_H
#define PROXY_PROXY_H

#include "proxy/map_thread.h"
#include "server/server.h"

/* Words of other threads (node/seats.h), in order. */
struct seat_words { /* a vec */
    struct seat_word **at;
    size_t n, cap;
};

/* A thread that serves, in its seat. */
struct worker {
    struct server server;
    struct options options; /* its own: the same as the others' */
    pthread_t thread;       /* but the first, which is the process' own */
    bool is_running;
    pthread_mutex_t lock; /* guards words */
    struct seat_words words;
    atomic_bool has_words; /* so that who has none takes no lock */
};

struct proxy {
    struct seats seats;
    struct worker *workers; /* seats.n of them */
    struct word_queue **queues;
    struct map_thread map;
    bool ready_told;
};

/* Everything that can be refused with a line on the terminal. p is zeroed; options: as read;
 * config_file: absolute, or "". */
bool proxy_prepare(struct proxy *p, const struct options *options, const char *config_file,
                   char *why, size_t why_n);
bool proxy_start(struct proxy *p, char *why, size_t why_n); /* threads, loops */
void proxy_serve(struct proxy *p);                          /* until it is asked to stop */
void proxy_free(struct proxy *p);

#endif

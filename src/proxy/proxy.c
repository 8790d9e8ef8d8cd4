/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "proxy/proxy.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/check.h"
#include "io/signals.h"
#include "server/process.h"

static struct proxy *proxy_of(const struct server *s)
{
    return CONTAINER_OF(s->seats, struct proxy, seats);
}

static struct worker *worker_of(struct server *s)
{
    return CONTAINER_OF(s, struct worker, server);
}

static void wake_all(struct proxy *p)
{
    for (unsigned i = 0; i < p->seats.n; i++)
        loop_call(&p->workers[i].server.loop);
}

/* ------------------------------------------------------------- between the threads */

/* Of what lies there the other thread takes all at once: one call is enough. */
static void send_word(struct server *s, unsigned to, struct seat_word *word)
{
    struct worker *w = &proxy_of(s)->workers[to];
    pthread_mutex_lock(&w->lock);
    bool first = w->words.n == 0;
    *vec_add(&w->words) = word;
    atomic_store(&w->has_words, true);
    pthread_mutex_unlock(&w->lock);
    if (first)
        loop_call(&w->server.loop);
}

static void words_free(struct seat_words *words)
{
    for (size_t i = 0; i < words->n; i++)
        seat_word_free(words->at[i]);
    vec_free(words);
}

static void take_words(struct worker *w)
{
    if (!atomic_load(&w->has_words))
        return;
    pthread_mutex_lock(&w->lock);
    struct seat_words words = w->words;
    w->words = (struct seat_words){0};
    atomic_store(&w->has_words, false);
    pthread_mutex_unlock(&w->lock);
    for (size_t i = 0; i < words.n; i++)
        server_step(&w->server, &(struct node_event){.type = NODE_SEAT, .seat = words.at[i]});
    words_free(&words);
}

static void worker_turn(struct server *s)
{
    struct proxy *p = proxy_of(s);
    take_words(worker_of(s));
    if (s->seat > 0)
        return;
    if (!p->ready_told && atomic_load(&p->map.has_map)) {
        p->ready_told = true;
        log_say(&s->log.log, LOG_LEVEL_NOTICE, "Ready to accept connections");
        process_tell_supervisor(s->options, &s->log.log, "READY=1");
    }
    if (signals_stop_asked() && !atomic_exchange(&p->seats.stop, true))
        wake_all(p);
}

static void worker_run(struct worker *w)
{
    struct server *s = &w->server;
    struct proxy *p = proxy_of(s);
    doors_want(s, true);
    while (!s->stop)
        server_turn(s);
    if (!atomic_exchange(&p->seats.stop, true)) /* SHUTDOWN at this one (P5) */
        wake_all(p);
}

static void *worker_main(void *arg)
{
    worker_run(arg);
    return NULL;
}

/* ------------------------------------------------------------------------- the start */

static bool worker_prepare(struct proxy *p, unsigned i, const struct options *options,
                           const char *config_file, char *why, size_t why_n)
{
    struct worker *w = &p->workers[i];
    struct server *s = &w->server;
    options_copy(&w->options, options);
    check(pthread_mutex_init(&w->lock, NULL) == 0);
    s->options = &w->options;
    s->seats = &p->seats;
    s->seat = i;
    s->config_file = config_file;
    s->self.secret = slice_str(w->options.cluster_secret);
    if (logfile_open(&s->log, w->options.logfile, w->options.loglevel) != ERR_OK) {
        (void)snprintf(why, why_n, "cannot open the log file %s: %s", w->options.logfile,
                       strerror(errno));
        return false;
    }
    if (i == 0)
        process_fit_descriptors(&w->options, &s->log.log);
    else
        w->options.maxclients = p->workers[0].options.maxclients;
    if (!doors_open(s, i > 0, why,
                    why_n)) /* the first is alone there: another process' port is refused (P4) */
        return false;
    for (size_t k = 0; i == 0 && p->seats.n > 1 && k < s->doors.n; k++)
        if (!s->doors.at[k]->is_unix)
            door_let_beside(s->doors.at[k], true);
    return true;
}

bool proxy_prepare(struct proxy *p, const struct options *options, const char *config_file,
                   char *why, size_t why_n)
{
    p->seats.n = (unsigned)options->threads;
    p->seats.turn = worker_turn;
    p->seats.send = send_word;
    atomic_store(&p->seats.log_level, (int)options->loglevel);
    run_id_make(p->seats.run_id);
    p->workers = mem_zero(p->seats.n * sizeof(p->workers[0]));
    for (unsigned i = 0; i < p->seats.n; i++)
        if (!worker_prepare(p, i, options, config_file, why, why_n))
            return false;
    if (logfile_open(&p->map.log, options->logfile, options->loglevel) != ERR_OK) {
        (void)snprintf(why, why_n, "cannot open the log file %s: %s", options->logfile,
                       strerror(errno));
        return false;
    }
    return true;
}

static bool worker_start(struct worker *w)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    w->is_running = pthread_create(&w->thread, NULL, worker_main, w) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (w->is_running)
        (void)pthread_setname_np(w->thread, "vong-clients"); /* for people who look at top -H */
    return w->is_running;
}

bool proxy_start(struct proxy *p, char *why, size_t why_n)
{
    const struct options *o = &p->workers[0].options;
    p->queues = mem_get(p->seats.n * sizeof(struct word_queue *));
    for (unsigned i = 0; i < p->seats.n; i++) {
        if (!server_start(&p->workers[i].server, why, why_n))
            return false;
        p->queues[i] = &p->workers[i].server.control.down;
    }
    p->map.to = p->queues;
    p->map.to_n = p->seats.n;
    p->map.reopens = &p->seats.reopens;
    p->map.log_level = &p->seats.log_level;
    p->map.config = (struct relay_config){.seeds = slice_str(o->cluster),
                                          .secret = slice_str(o->cluster_secret)};
    /* so few never fall short */
    check(getrandom(&p->map.config.seed, sizeof(p->map.config.seed), 0) ==
          (ssize_t)sizeof(p->map.config.seed));
    (void)snprintf(why, why_n, "cannot start the threads");
    if (!map_thread_run(&p->map))
        return false;
    for (unsigned i = 1; i < p->seats.n; i++)
        if (!worker_start(&p->workers[i]))
            return false;
    return true;
}

void proxy_serve(struct proxy *p)
{
    worker_run(&p->workers[0]);
    process_tell_supervisor(p->workers[0].server.options, &p->workers[0].server.log.log,
                            "STOPPING=1");
    for (unsigned i = 1; i < p->seats.n; i++)
        pthread_join(p->workers[i].thread, NULL);
    map_thread_stop(&p->map);
}

static void send_nobody(struct server *s, unsigned to, struct seat_word *word)
{
    (void)s;
    (void)to;
    seat_word_free(word);
}

void proxy_free(struct proxy *p)
{
    p->seats.send = send_nobody; /* who is freed may have something to say to who is no more */
    for (unsigned i = 0; i < p->seats.n; i++) {
        struct worker *w = &p->workers[i];
        server_free(&w->server);
        logfile_close(&w->server.log);
        words_free(&w->words);
        pthread_mutex_destroy(&w->lock);
        options_free(&w->options);
    }
    mem_free(p->queues);
    mem_free(p->workers);
}

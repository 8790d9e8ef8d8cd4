/* SPDX-License-Identifier: BSD-3-Clause */

/* The turn, and what a step's out asks of the shell. */
#define _GNU_SOURCE
#include "server/server.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/check.h"
#include "io/clock.h"
#include "io/file.h"
#include "io/signals.h"

enum { LINGER_TURNS = 64, LINGER_CLIENTS = 12 }; /* hot-path.md: fewer clients lose by waiting */
enum { BEHIND_PAUSE_US = 200 };                  /* a lane is full: let its thread work */

void server_look_at_clock(struct server *s)
{
    s->now = clock_mono();
    s->wall = clock_wall(&s->wall_us);
}

/* -------------------------------------------------------------- birth and death */

void run_id_make(char to[RUN_ID_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char random[RUN_ID_BYTES - 1];
    /* small ones never fall short */
    check(getrandom(random, sizeof(random), 0) == (ssize_t)sizeof(random));
    for (size_t i = 0; i < sizeof(random); i++)
        to[i] = digits[random[i] & 15];
    to[sizeof(random)] = '\0';
}

static void identify(struct node_identity *id)
{
    run_id_make(id->run_id);
    check(getrandom(&id->seed, sizeof(id->seed), 0) == (ssize_t)sizeof(id->seed));
    id->process_id = (int)getpid();
}

/* To clients the threads of a proxy are one server. */
static void identify_seat(const struct server *s, struct node_identity *id)
{
    id->is_proxy = true;
    memcpy(id->run_id, s->seats->run_id, sizeof(id->run_id));
    id->seat = s->seat;
    id->seats_n = s->seats->n;
}

bool server_start(struct server *s, char *why, size_t why_n)
{
    static const char *const lanes[LANES] = {[LANE_LOG] = "vong-log", [LANE_BACK] = "vong-back"};
    snprintf(why, why_n, "cannot start the event loop or its threads");
    if (loop_init(&s->loop) != ERR_OK)
        return false;
    if (s->seat == 0)
        signals_catch(&s->loop, s->seats != NULL ? "vong-proxy" : "vong-server");
    if (s->seats == NULL && storage_start(&s->storage, lanes, &s->loop, &s->graves) != ERR_OK)
        return false;
    if (reaper_start(&s->reaper, &s->loop) != ERR_OK)
        return false;
    if (s->seats != NULL)
        word_queue_init(&s->control.down, &s->loop);
    else if (s->options->cluster_enabled &&
             control_thread_init(&s->control, &s->loop, &s->log.log) != ERR_OK)
        return false;
    lines_init(&s->links, &s->loop, WATCHES_LINK, &link_ops, &s->graves);
    clock_sharpen();
    server_look_at_clock(s);
    s->wake = s->cron = s->now;
    s->arena = mem_get(READ_ARENA_BYTES);
    struct node_identity id = {0};
    identify(&id);
    if (s->seats != NULL)
        identify_seat(s, &id);
    id.in_cluster = s->options->cluster_enabled;
    id.id = s->self.id;
    id.incarnation = s->self.incarnation;
    world_init(&s->world);
    s->node = node_new(&id, s->options, &s->log.log, &s->world, s->now, s->wall);
    return true;
}

void server_free(struct server *s)
{
    doors_close(s);
    for (size_t i = 0; i < s->clients.n; i++)
        if (s->clients.at[i] != NULL)
            client_die(s, s->clients.at[i]);
    clients_bury(s);
    if (s->seats == NULL)
        storage_stop(&s->storage);
    lines_free(&s->links);
    if (s->seats == NULL)
        control_thread_free(&s->control);
    else
        word_queue_free(&s->control.down);
    node_free(s->node);
    node_out_free(&s->out);
    graves_free(&s->graves);
    reaper_stop(&s->reaper);
    request_arena_free(&s->slices);
    mem_free(s->arena);
    vec_free(&s->clients);
    vec_free(&s->free_ids);
    vec_free(&s->touched);
    vec_free(&s->again);
    vec_free(&s->dead);
    vec_free(&s->done);
    vec_free(&s->words);
    loop_free(&s->loop);
}

/* -------------------------------------------------------------------------- steps */

/* CONFIG SET changed something that the shell does. */
static void option_changed(struct server *s, uint16_t id)
{
    if (id == OPTION_loglevel)
        s->log.log.level = s->options->loglevel;
    if (id == OPTION_loglevel && s->seats != NULL)
        atomic_store(&s->seats->log_level, (int)s->options->loglevel);
    else if (id == OPTION_loglevel && s->options->cluster_enabled)
        atomic_store(&s->control.log_level, (int)s->options->loglevel);
    if (id == OPTION_tcp_keepalive)
        for (size_t i = 0; i < s->clients.n; i++)
            if (s->clients.at[i] != NULL)
                conn_keepalive(&s->clients.at[i]->conn, (int)s->options->tcp_keepalive);
    if (id == OPTION_client_output_buffer_limit)
        for (size_t i = 0; i < s->clients.n; i++)
            if (s->clients.at[i] != NULL)
                client_judge_output(s, s->clients.at[i]);
}

/* All but the flushes, which only a RELEASE has. */
static void take_out(struct server *s)
{
    struct node_out *o = &s->out;
    for (size_t i = 0; i < o->drop.n; i++) {
        struct client *c = client_at(s, o->drop.at[i]);
        if (c != NULL)
            client_die(s, c);
    }
    for (size_t i = 0; i < o->resume.n; i++) {
        struct client *c = client_at(s, o->resume.at[i]);
        if (c == NULL)
            continue;
        c->held = false;
        client_again(s, c);
    }
    check(s->seats == NULL || o->disk.n == 0); /* a proxy keeps nothing */
    for (size_t i = 0; i < o->disk.n; i++) {
        struct disk_done done;
        if (storage_perform(&s->storage, &o->disk.at[i], &done))
            *vec_add(&s->done) = done;
    }
    links_take_out(s);
    cluster_take_out(s);
    for (size_t i = 0; i < o->options.n; i++)
        option_changed(s, o->options.at[i]);
    for (size_t i = 0; i < o->seats.n; i++)
        s->seats->send(s, o->seats.at[i].to, o->seats.at[i].word);
    if (o->rewrite_config)
        s->rewrite_config = true;
    if (o->listen != NULL)
        s->listen = o->listen;
    if (o->purge_memory)
        world_purge_memory();
    s->wake = o->wake;
    s->sleep_us += o->sleep_us;
    if (o->stop) {
        s->stop = true;
        s->exit_code = o->exit_code;
    }
}

static void step(struct server *s, struct node_event *ev)
{
    ev->now = s->now;
    ev->wall = s->wall;
    ev->wall_us = s->wall_us;
    ev->lease = cluster_lease(s);
    node_step(s->node, ev, &s->out);
    control_thread_progress(&s->control);
    if (ev->type == NODE_REQUESTS)
        clients_batch_judged(s); /* who is held is known before who may go on */
    take_out(s);
}

/* CONFIG REWRITE. The file is small, and whoever asks waits for it. */
static void rewrite_config(struct server *s)
{
    struct node_event ev = {.type = NODE_REWRITTEN};
    char *old = NULL;
    size_t n = 0;
    struct buf text;
    buf_init(&text, SIZE_MAX / 2);
    s->rewrite_config = false;
    errno = 0;
    enum err err = file_load(s->config_file, &old, &n);
    /* one that was deleted is written anew, as by Redis */
    if (err == ERR_OK || err == ERR_NOT_FOUND) {
        options_rewrite(s->options, slice_of(old, n), &text);
        err = file_replace(s->config_file, buf_slice(&text));
    }
    ev.rewrite_failed = err == ERR_OK ? NULL : strerror(errno);
    step(s, &ev);
    mem_free(old);
    buf_free(&text);
}

static bool move(struct server *s, const struct options *to, char *why, size_t why_n)
{
    struct control_move m = {0};
    bool in_cluster = s->options->cluster_enabled;
    if (in_cluster && !cluster_move_begin(s, to, &m, why, why_n))
        return false;
    bool moves = doors_move(s, to, why, why_n);
    if (in_cluster)
        cluster_move_end(s, &m, moves);
    return moves;
}

/* CONFIG SET of bind, port or what is announced. */
static void move_doors(struct server *s)
{
    char why[256];
    struct node_event ev = {.type = NODE_LISTENING};
    const struct options *to = s->listen;
    s->listen = NULL;
    ev.listens = move(s, to, why, sizeof(why));
    if (ev.listens)
        log_say(&s->log.log, LOG_LEVEL_NOTICE, "listening at port %lld now", (long long)to->port);
    else
        log_say(&s->log.log, LOG_LEVEL_WARNING, "the doors stay as they are: %s", why);
    step(s, &ev);
}

static void step_done(struct server *s)
{
    for (size_t i = 0; i < s->done.n; i++) {
        struct node_event ev = {.type = NODE_DISK, .disk = s->done.at[i]};
        step(s, &ev);
    }
    vec_clear(&s->done);
    if (s->rewrite_config)
        rewrite_config(s);
    if (s->listen != NULL)
        move_doors(s);
}

void server_step(struct server *s, struct node_event *ev)
{
    step(s, ev);
    step_done(s);
}

/* ------------------------------------------------------------------------ a turn */

static void release(struct server *s)
{
    struct node_event ev = {.type = NODE_RELEASE};
    server_look_at_clock(s);
    step(s, &ev);
    for (size_t i = 0; i < s->out.flush.n; i++) {
        struct node_flush *f = &s->out.flush.at[i];
        struct client *c = client_at(s, f->conn);
        if (c == NULL)
            continue;
        c->out = f->chain;
        c->upto = f->upto;
        c->closing = f->close;
        client_write(s, c);
    }
    step_done(s);
}

/* Each thread of a proxy has the log file open. */
static bool is_to_reopen(struct server *s)
{
    if (s->seats == NULL)
        return signals_reopen_asked();
    if (s->seat == 0 && signals_reopen_asked())
        atomic_fetch_add(&s->seats->reopens, 1);
    unsigned asked = atomic_load(&s->seats->reopens);
    bool is_new = asked != s->reopened;
    s->reopened = asked;
    return is_new;
}

static void take_signals(struct server *s)
{
    bool others_stop = s->seats != NULL && atomic_load(&s->seats->stop);
    if (is_to_reopen(s))
        logfile_reopen(&s->log);
    if (s->stop_told || !(signals_stop_asked() || others_stop))
        return;
    s->stop_told = true;
    if (s->seat == 0)
        log_say(&s->log.log, LOG_LEVEL_NOTICE, "Asked to stop: finishing what was begun");
    server_step(s, &(struct node_event){.type = NODE_STOP});
}

/* A little patience lets requests gather: fewer wake-ups for the same work. */
static void linger(struct server *s)
{
    struct linger *l = &s->linger;
    int64_t us = s->options->linger_usec;
    if (++l->turns >= LINGER_TURNS) {
        int64_t passed = s->now.us - l->since.us;
        l->on = l->clients >= LINGER_CLIENTS && (int64_t)l->requests * us >= passed;
        *l = (struct linger){.window = l->window + 1, .since = s->now, .on = l->on};
    }
    if (l->on && us > 0)
        clock_sleep_us(us);
}

static struct mono next_wake(const struct server *s)
{
    if (s->again.n > 0 || s->stop || s->loading)
        return s->now;
    bool cron = s->clients_n > 0 || s->doors_shut;
    struct mono wake = mono_earlier(s->wake, lines_due(&s->links, s->now));
    return cron ? mono_earlier(wake, s->cron) : wake;
}

static void bury(struct server *s)
{
    clients_bury(s);
    lines_bury(&s->links);
    struct graves *of_node = node_graves(s->node);
    reaper_bury(&s->reaper, of_node);
    reaper_bury(&s->reaper, &s->graves);
    reaper_collect(&s->reaper);
}

/* Clients that were answered in this turn are about to come back: what goes to other servers waits
 * for the next one, which does not wait, so that two turns cost them one message. */
static void links_write(struct server *s)
{
    bool wait = s->turn_requests > 1 && !s->links_waited && !s->stop;
    s->links_waited = wait;
    s->turn_requests = 0;
    if (!wait)
        lines_write(&s->links);
}

void server_turn(struct server *s)
{
    loop_wait(&s->loop, s->now, next_wake(s));
    s->counts.turns++;
    server_look_at_clock(s);
    take_signals(s);
    struct disk_done done;
    while (s->seats == NULL && storage_next_done(&s->storage, &done))
        server_step(s, &(struct node_event){.type = NODE_DISK, .disk = done});
    if (mono_reached(s->now, s->wake))
        server_step(s, &(struct node_event){.type = NODE_DUE});
    if (s->options->cluster_enabled)
        cluster_turn(s);
    lines_turn(&s->links, s->now);
    clients_turn(s);
    clients_cron(s);
    release(s);
    links_write(s);
    bury(s);
    if (s->sleep_us > 0)
        clock_sleep_us(s->sleep_us);
    s->sleep_us = 0;
    if (storage_is_behind(&s->storage))
        clock_sleep_us(BEHIND_PAUSE_US);
    else if (!s->loading)
        linger(s);
}

/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "proxy/map_thread.h"

#include <signal.h>
#include <stdio.h>
#include <sys/random.h>

#include "base/check.h"
#include "io/clock.h"

enum { WATCHES_MAP_LINK = 1 };
enum { SILENCE_MS = 3000 };           /* what is not acknowledged for so long: the host is gone */
enum { LAST_WORDS_US = 1000 * 1000 }; /* why it is closed is to be read */

struct map_link {
    struct line line;
    struct map_thread *thread;
    uint32_t id;
};

static struct map_link *link_of(struct line *l)
{
    return CONTAINER_OF(l, struct map_link, line);
}

static struct line *line_at(struct map_thread *t, uint32_t id)
{
    for (size_t i = 0; i < t->links.at.n; i++)
        if (link_of(t->links.at.at[i])->id == id && !t->links.at.at[i]->dead)
            return t->links.at.at[i];
    return NULL;
}

/* ---------------------------------------------------------------------- outs */

static void tell_why(struct map_thread *t)
{
    for (size_t i = 0; i < t->to_n; i++) {
        struct word w = {.type = WORD_VIEW, .view = mem_zero(sizeof(*w.view))};
        (void)snprintf(w.view->why_not, sizeof(w.view->why_not), "%s", relay_why(t->relay));
        word_put(t->to[i], &w, NULL);
    }
}

static void tell_news(struct map_thread *t, const struct relay_news *n)
{
    const struct map *map = relay_map(t->relay);
    for (size_t i = 0; i < t->to_n; i++) {
        struct word w = {.type = WORD_ENTRY, .entry = {.index = n->index}};
        if (n->index == 0) {
            w = (struct word){.type = WORD_MAP, .map = mem_get(sizeof(*w.map))};
            map_init(w.map);
            map_copy(w.map, map);
        } else if (n->entry != NULL) {
            w.entry.entry = map_entry_copy(n->entry);
        }
        word_put(t->to[i], &w, map);
    }
}

static void take_out(struct map_thread *t)
{
    struct relay_out *o = &t->out;
    for (size_t i = 0; i < o->dial.n; i++) {
        struct map_link *l = mem_zero(sizeof(*l));
        l->thread = t;
        l->id = o->dial.at[i].link;
        line_dial(&t->links, &l->line, o->dial.at[i].host, o->dial.at[i].port);
    }
    for (size_t i = 0; i < o->send.n; i++) {
        struct line *l = line_at(t, o->send.at[i].link);
        if (l != NULL)
            line_send(l, &o->send.at[i].bytes);
        else /* it broke, which is told in this turn */
            chain_free(&o->send.at[i].bytes, &t->graves);
    }
    for (size_t i = 0; i < o->hang_up.n; i++) {
        struct line *l = line_at(t, o->hang_up.at[i]);
        if (l != NULL)
            line_end(l, mono_after(t->now, LAST_WORDS_US));
    }
    for (size_t i = 0; i < o->news.n; i++)
        tell_news(t, &o->news.at[i]);
    if (o->why_changed || !t->why_told)
        tell_why(t);
    t->why_told = true;
    if (o->news.n > 0)
        atomic_store(&t->has_map, relay_map(t->relay)->index > 0);
}

static void step(struct map_thread *t, struct relay_event *ev)
{
    ev->now = t->now;
    relay_step(t->relay, ev, &t->out);
    take_out(t);
}

/* ---------------------------------------------------------------------- connections */

static void link_dialed(struct line *l, enum line_dialed how)
{
    struct map_link *m = link_of(l);
    struct relay_event ev = {.type = RELAY_DIALED, .link = m->id, .through = how == LINE_THROUGH};
    if (ev.through)
        conn_give_up_after(&l->conn, SILENCE_MS);
    /* so few never fall short */
    check(getrandom(ev.nonce, sizeof(ev.nonce), 0) == (ssize_t)sizeof(ev.nonce));
    step(m->thread, &ev);
}

static void link_bytes(struct line *l, struct slice in)
{
    struct map_link *m = link_of(l);
    step(m->thread, &(struct relay_event){.type = RELAY_BYTES, .link = m->id, .in = in});
}

static void link_closed(struct line *l)
{
    struct map_link *m = link_of(l);
    step(m->thread, &(struct relay_event){.type = RELAY_CLOSED, .link = m->id});
}

static void link_free(struct line *l)
{
    mem_free(link_of(l));
}

static const struct line_ops map_link_ops = {
    .dialed = link_dialed, .bytes = link_bytes, .closed = link_closed, .free = link_free};

/* ---------------------------------------------------------------------- turns */

static void look_at_log(struct map_thread *t)
{
    unsigned asked = atomic_load(t->reopens);
    t->log.log.level = (enum log_level)atomic_load(t->log_level);
    if (asked != t->reopened)
        logfile_reopen(&t->log);
    t->reopened = asked;
}

static void turn(struct map_thread *t)
{
    struct watch *w;
    loop_wait(&t->loop, t->now, mono_earlier(t->out.wake, lines_due(&t->links, t->now)));
    t->now = clock_mono();
    look_at_log(t);
    lines_turn(&t->links, t->now);
    while ((w = loop_next(&t->loop)) != NULL) {
        uint8_t events = w->events;
        w->events = 0;
        line_ready(CONTAINER_OF(CONTAINER_OF(w, struct conn, watch), struct line, conn), events);
    }
    if (mono_reached(t->now, t->out.wake))
        step(t, &(struct relay_event){.type = RELAY_DUE});
    lines_write(&t->links);
    lines_bury(&t->links);
    graves_free(&t->graves);
}

static void *map_thread_main(void *arg)
{
    struct map_thread *t = arg;
    t->now = clock_mono();
    step(t, &(struct relay_event){.type = RELAY_DUE});
    while (!atomic_load(&t->stop))
        turn(t);
    return NULL;
}

bool map_thread_run(struct map_thread *t)
{
    sigset_t all, before;
    if (loop_init(&t->loop) != ERR_OK)
        return false;
    lines_init(&t->links, &t->loop, WATCHES_MAP_LINK, &map_link_ops, &t->graves);
    t->config.log = &t->log.log;
    t->relay = relay_new(&t->config);
    sigfillset(&all); /* signals are the first serving thread's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool runs = pthread_create(&t->thread, NULL, map_thread_main, t) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (runs)
        (void)pthread_setname_np(t->thread, "vong-map"); /* for people who look at top -H */
    return runs;
}

void map_thread_stop(struct map_thread *t)
{
    atomic_store(&t->stop, true);
    loop_call(&t->loop);
    pthread_join(t->thread, NULL);
    lines_free(&t->links);
    relay_free(t->relay);
    relay_out_free(&t->out);
    graves_free(&t->graves);
    loop_free(&t->loop);
    logfile_close(&t->log);
}

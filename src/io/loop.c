/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "io/loop.h"

#include "base/check.h"

static void on_io(struct ev_loop *ev, ev_io *io, int revents)
{
    struct loop *l = ev_userdata(ev);
    struct watch *w = CONTAINER_OF(io, struct watch, io);
    if (revents & (EV_READ | EV_ERROR))
        w->events |= WATCH_READ;
    if (revents & (EV_WRITE | EV_ERROR))
        w->events |= WATCH_WRITE;
    if (list_empty(&w->fired))
        list_push(&l->fired, &w->fired);
}

static void on_timer(struct ev_loop *ev, ev_timer *t, int revents)
{
    (void)t;
    (void)revents;
    struct loop *l = ev_userdata(ev);
    l->timer_due = MONO_NEVER; /* it has stopped itself */
}

static void on_call(struct ev_loop *ev, ev_async *a, int revents)
{
    (void)ev; /* its work is done by ending the wait */
    (void)a;
    (void)revents;
}

enum err loop_init(struct loop *l)
{
    l->ev = ev_loop_new(EVFLAG_AUTO);
    if (l->ev == NULL)
        return ERR_IO;
    ev_set_userdata(l->ev, l);
    list_init(&l->fired);
    ev_timer_init(&l->timer, on_timer, 0., 0.);
    l->timer_due = MONO_NEVER;
    ev_async_init(&l->call, on_call);
    ev_async_start(l->ev, &l->call);
    return ERR_OK;
}

void loop_free(struct loop *l)
{
    ev_timer_stop(l->ev, &l->timer);
    ev_async_stop(l->ev, &l->call);
    ev_loop_destroy(l->ev);
    l->ev = NULL;
}

static void arm(struct loop *l, struct mono now, struct mono wake)
{
    if (wake.us == l->timer_due.us)
        return;
    ev_timer_stop(l->ev, &l->timer);
    l->timer_due = wake;
    if (wake.us == MONO_NEVER.us)
        return;
    ev_now_update(l->ev); /* libev counts from its own last reading */
    ev_timer_set(&l->timer, (double)(wake.us - now.us) / 1e6, 0.);
    ev_timer_start(l->ev, &l->timer);
}

void loop_wait(struct loop *l, struct mono now, struct mono wake)
{
    if (mono_reached(now, wake) || !list_empty(&l->fired)) {
        ev_run(l->ev, EVRUN_NOWAIT);
        return;
    }
    arm(l, now, wake);
    ev_run(l->ev, EVRUN_ONCE);
}

struct watch *loop_next(struct loop *l)
{
    if (list_empty(&l->fired))
        return NULL;
    struct list *first = l->fired.next;
    list_drop(first);
    return CONTAINER_OF(first, struct watch, fired);
}

void loop_call(struct loop *l)
{
    ev_async_send(l->ev, &l->call);
}

void watch_init(struct watch *w, int fd, uint8_t kind)
{
    *w = (struct watch){.kind = kind};
    list_init(&w->fired);
    ev_io_init(&w->io, on_io, fd, 0);
}

void watch_want(struct loop *l, struct watch *w, uint8_t events)
{
    if (w->wanted == events)
        return;
    ev_io_stop(l->ev, &w->io);
    w->wanted = events;
    w->events &= events;
    if (events == 0)
        return;
    ev_io_set(&w->io, watch_fd(w),
              (events & WATCH_READ ? EV_READ : 0) | (events & WATCH_WRITE ? EV_WRITE : 0));
    ev_io_start(l->ev, &w->io);
}

void watch_stop(struct loop *l, struct watch *w)
{
    watch_want(l, w, 0);
    list_drop(&w->fired);
}

const char *loop_backend(const struct loop *l)
{
    switch (ev_backend(l->ev)) {
    case EVBACKEND_EPOLL: return "epoll";
    case EVBACKEND_POLL: return "poll";
    case EVBACKEND_SELECT: return "select";
    default: return "libev";
    }
}

/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "io/loop.h"

#include <sys/timerfd.h>
#include <unistd.h>

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

static void on_timer(struct ev_loop *ev, ev_io *timer, int revents)
{
    (void)revents;
    struct loop *l = ev_userdata(ev);
    uint64_t times;
    if (read(timer->fd, &times, sizeof(times)) == (ssize_t)sizeof(times))
        l->timer_due = MONO_NEVER;
}

static void on_call(struct ev_loop *ev, ev_async *a, int revents)
{
    (void)ev; /* its work is done by ending the wait */
    (void)a;
    (void)revents;
}

enum err loop_init(struct loop *l)
{
    int timer = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC); /* clock_mono's */
    l->ev = timer >= 0 ? ev_loop_new(EVFLAG_AUTO) : NULL;
    if (l->ev == NULL && timer >= 0)
        close(timer);
    if (l->ev == NULL)
        return ERR_IO;
    ev_set_userdata(l->ev, l);
    list_init(&l->fired);
    ev_io_init(&l->timer, on_timer, timer, EV_READ);
    ev_io_start(l->ev, &l->timer);
    l->timer_due = MONO_NEVER;
    ev_async_init(&l->call, on_call);
    ev_async_start(l->ev, &l->call);
    return ERR_OK;
}

void loop_free(struct loop *l)
{
    ev_io_stop(l->ev, &l->timer);
    ev_async_stop(l->ev, &l->call);
    ev_loop_destroy(l->ev);
    close(l->timer.fd);
    l->ev = NULL;
}

/* A timer of our own, which is set only for what is due earlier than it is set for: with a timeout
 * of each wait's own the machine's clock would be programmed anew at each wait, twice. */
static void arm(struct loop *l, struct mono wake)
{
    struct itimerspec at = {.it_value = {wake.us / 1000000, wake.us % 1000000 * 1000}};
    if (mono_reached(wake, l->timer_due))
        return;
    l->timer_due = wake;
    check(timerfd_settime(l->timer.fd, TFD_TIMER_ABSTIME, &at, NULL) == 0);
}

void loop_wait(struct loop *l, struct mono now, struct mono wake)
{
    bool waits = !mono_reached(now, wake) && list_empty(&l->fired);
    if (waits)
        arm(l, wake);
    ev_run(l->ev, waits ? EVRUN_ONCE : EVRUN_NOWAIT);
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

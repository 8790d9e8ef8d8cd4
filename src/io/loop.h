/* SPDX-License-Identifier: BSD-3-Clause */

/* Waiting for the world.
 *
 *     loop_wait(l, now, wake)         until a descriptor is ready, a thread calls, or wake is there
 *     while ((w = loop_next(l)) ...)  what became ready: w->kind says what kind of owner it has
 *
 * Callbacks of libev do one thing here: they note that a watch fired. Whoever owns the loop works
 * through the list afterwards, in whatever order and portion it likes; a watch that is still ready
 * fires again on the next wait (readiness is a level, not an edge). */
#ifndef IO_LOOP_H
#define IO_LOOP_H

#include <ev.h>
#include <stdatomic.h>

#include "base/err.h"
#include "base/list.h"
#include "base/moment.h"

enum { WATCH_READ = 1, WATCH_WRITE = 2 };

struct watch {
    ev_io io;
    struct list fired; /* in loop.fired while there is something to do */
    uint8_t events;    /* WATCH_READ | WATCH_WRITE: what is ready */
    uint8_t wanted;
    uint8_t kind; /* the owner's word for what this watch is embedded in */
};

struct loop {
    struct ev_loop *ev;
    ev_io timer; /* of a timerfd */
    ev_async call;
    struct mono timer_due; /* for what the timer is armed */
    struct list fired;
};

enum err loop_init(struct loop *l) MUST_CHECK;
void loop_free(struct loop *l);

/* now: a fresh reading. wake <= now: a look without waiting. It may end early, for a wake that an
 * earlier call asked for. */
void loop_wait(struct loop *l, struct mono now, struct mono wake);
/* NULL: nothing more; its events are for the caller to clear */
struct watch *loop_next(struct loop *l);
const char *loop_backend(const struct loop *l); /* "epoll": for INFO */
void loop_call(struct loop *l);                 /* from any thread: ends the wait */

void watch_init(struct watch *w, int fd, uint8_t kind);
void watch_want(struct loop *l, struct watch *w, uint8_t events);
void watch_stop(struct loop *l, struct watch *w); /* before its descriptor is closed */

static inline int watch_fd(const struct watch *w)
{
    return w->io.fd;
}

#endif

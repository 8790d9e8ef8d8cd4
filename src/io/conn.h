/* SPDX-License-Identifier: BSD-3-Clause */

/* One stream socket: bytes in, a chain out.
 *
 * The connection owns its descriptor and no buffer. Reading goes wherever the caller says; writing
 * takes from a chain's head what the socket takes. The wish to write is made known to the loop only
 * after the socket refused, so that an ordinary reply costs one system call. */
#ifndef IO_CONN_H
#define IO_CONN_H

#include <sys/types.h>

#include "base/chain.h"
#include "io/loop.h"

struct conn {
    struct watch watch;
    bool ended;   /* the other side sends no more; it may still read */
    bool broken;  /* nothing can be sent any more */
    bool refused; /* the last write was not taken whole: wait for WATCH_WRITE */
};

/* A socket takes megabytes at once, which is milliseconds: others have their turn before. */
enum { CONN_WRITE_MAX_BYTES = 256 * 1024 };

enum conn_got { CONN_BYTES, CONN_NOTHING, CONN_ENDED, CONN_BROKEN };

void conn_init(struct conn *c, int fd, uint8_t kind); /* fd: connected, non-blocking; taken */
void conn_close(struct conn *c, struct loop *l);
enum conn_got conn_read(struct conn *c, char *to, size_t n, size_t *got);

/* One writev of at most the first upto bytes, and CONN_WRITE_MAX_BYTES; those written are consumed.
 * Returns how many. */
size_t conn_write(struct conn *c, struct chain *from, size_t upto, struct graves *g);

void conn_keepalive(struct conn *c, int seconds); /* tcp-keepalive; 0: off */
/* What was sent and is not acknowledged for so long ends the connection. */
void conn_give_up_after(struct conn *c, int ms);

static inline int conn_fd(const struct conn *c)
{
    return watch_fd(&c->watch);
}

#endif

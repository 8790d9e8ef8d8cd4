/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "io/conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE_PIECES = 128 };

void conn_init(struct conn *c, int fd, uint8_t kind)
{
    *c = (struct conn){0};
    watch_init(&c->watch, fd, kind);
}

void conn_close(struct conn *c, struct loop *l)
{
    watch_stop(l, &c->watch);
    close(conn_fd(c));
}

enum conn_got conn_read(struct conn *c, char *to, size_t n, size_t *got)
{
    ssize_t r;
    do
        r = read(conn_fd(c), to, n);
    while (r < 0 && errno == EINTR);
    *got = r > 0 ? (size_t)r : 0;
    if (r > 0)
        return CONN_BYTES;
    if (r == 0) {
        c->ended = true;
        return CONN_ENDED;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return CONN_NOTHING;
    c->ended = c->broken = true;
    return CONN_BROKEN;
}

size_t conn_write(struct conn *c, struct chain *from, size_t upto, struct graves *g)
{
    struct chain_piece pieces[WRITE_PIECES];
    struct iovec iov[WRITE_PIECES];
    size_t n = chain_pieces(from, pieces, WRITE_PIECES,
                            upto < CONN_WRITE_MAX_BYTES ? upto : CONN_WRITE_MAX_BYTES);
    for (size_t i = 0; i < n; i++)
        iov[i] = (struct iovec){(void *)pieces[i].p, pieces[i].n};
    ssize_t r;
    do
        r = n == 1 ? write(conn_fd(c), iov[0].iov_base, iov[0].iov_len)
                   : writev(conn_fd(c), iov, (int)n);
    while (r < 0 && errno == EINTR);
    if (r < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
        c->broken = true;
    size_t done = r > 0 ? (size_t)r : 0;
    c->refused = done < upto;
    if (done > 0)
        chain_consume(from, done, g);
    return done;
}

void conn_give_up_after(struct conn *c, int ms)
{
    unsigned most =
        (unsigned)ms; /* a socket that refuses it waits as long as the system thinks right */
    (void)setsockopt(conn_fd(c), IPPROTO_TCP, TCP_USER_TIMEOUT, &most, sizeof(most));
}

void conn_keepalive(struct conn *c, int seconds)
{
    int on = seconds > 0, fd = conn_fd(c);
    if (setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) != 0 || !on)
        return;
    /* Three probes, spread over the second part of the time. A socket that refuses these keeps the
     * system's own, longer, times. */
    int between = seconds / 3 > 0 ? seconds / 3 : 1, probes = 3;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof(seconds));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &between, sizeof(between));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
}

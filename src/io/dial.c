/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "io/dial.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static_assert(sizeof(struct sockaddr_in6) <= DIAL_ADDRESS_WORDS * sizeof(uint32_t) &&
                  sizeof(struct sockaddr_in) <= sizeof(struct sockaddr_in6),
              "either fits struct dial");

static enum err look_up(struct dial *d, const char *host, uint16_t port, int flags)
{
    char service[8];
    snprintf(service, sizeof(service), "%u", (unsigned)port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | flags},
                    *found;
    *d = (struct dial){0};
    if (host[0] == '\0' || getaddrinfo(host, service, &hints, &found) != 0)
        return ERR_NOT_FOUND;
    for (const struct addrinfo *a = found; a != NULL && d->n < DIAL_ADDRESSES; a = a->ai_next)
        if ((a->ai_family == AF_INET || a->ai_family == AF_INET6) &&
            a->ai_addrlen <= sizeof(d->at[0]))
            memcpy(d->at[d->n++], a->ai_addr, a->ai_addrlen);
    freeaddrinfo(found);
    return d->n > 0 ? ERR_OK : ERR_NOT_FOUND;
}

enum err dial_numeric(struct dial *d, const char *host, uint16_t port)
{
    return look_up(d, host, port, AI_NUMERICHOST);
}

enum err dial_names(struct dial *d, const char *host, uint16_t port)
{
    return look_up(d, host, port, 0);
}

enum err dial_next(struct dial *d, int *fd)
{
    while (d->next < d->n) {
        struct sockaddr_in6 at;
        memcpy(&at, d->at[d->next++], sizeof(at));
        int on = 1, got = socket(at.sin6_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (got < 0 && errno != EAFNOSUPPORT)
            return ERR_IO;
        if (got < 0)
            continue;
        /* what is sent is whole */
        (void)setsockopt(got, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        socklen_t n =
            at.sin6_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
        if (connect(got, (const struct sockaddr *)&at, n) == 0 || errno == EINPROGRESS ||
            errno == EINTR) {
            *fd = got;
            return ERR_OK;
        }
        close(got);
    }
    return ERR_NOT_FOUND;
}

bool dial_is_through(int fd)
{
    int e = 0;
    socklen_t n = sizeof(e);
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &n) == 0 && e == 0;
}

/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "io/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void address_text(const struct sockaddr_storage *a, char *to, size_t n, bool *is_loopback)
{
    char host[INET6_ADDRSTRLEN] = "?";
    *is_loopback = false;
    if (a->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)a;
        inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
        *is_loopback = ntohl(v4->sin_addr.s_addr) >> 24 == 127;
        snprintf(to, n, "%s:%u", host, ntohs(v4->sin_port));
    } else if (a->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const void *)a;
        inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
        *is_loopback = IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
        snprintf(to, n, "[%s]:%u", host, ntohs(v6->sin6_port));
    } else {
        snprintf(to, n, "?:0");
    }
}

static enum err open_at(struct door *d, const struct sockaddr *at, socklen_t at_n, int backlog,
                        uint8_t kind, bool beside)
{
    int fd = socket(at->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0)
        return ERR_IO;
    bool ok = true;
    if (at->sa_family == AF_INET6)
        ok = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0;
    if (at->sa_family != AF_UNIX)
        ok = ok && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0;
    if (beside)
        ok = ok && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0;
    if (!ok || bind(fd, at, at_n) != 0 || listen(fd, backlog) != 0) {
        int kept = errno;
        close(fd);
        errno = kept;
        return ERR_IO;
    }
    watch_init(&d->watch, fd, kind);
    d->is_unix = at->sa_family == AF_UNIX;
    return ERR_OK;
}

enum err door_open_tcp(struct door *d, const char *address, int port, int backlog, uint8_t kind,
                       bool beside, bool *absent, char *why, size_t why_n)
{
    bool any6 = strcmp(address, "::*") == 0, any4 = strcmp(address, "*") == 0;
    char service[8];
    snprintf(service, sizeof(service), "%d", port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV},
                    *found;
    hints.ai_family = any6 ? AF_INET6 : any4 ? AF_INET : AF_UNSPEC;
    snprintf(d->name, sizeof(d->name), "%s:%d", address, port);
    *absent = false;
    int e = getaddrinfo(any6 || any4 ? NULL : address, service, &hints, &found);
    if (e != 0) {
        *absent = true;
        snprintf(why, why_n, "%s: %s", d->name, gai_strerror(e));
        return ERR_IO;
    }
    enum err err = ERR_IO;
    for (const struct addrinfo *a = found; a != NULL && err != ERR_OK; a = a->ai_next)
        err = open_at(d, a->ai_addr, a->ai_addrlen, backlog, kind, beside);
    if (err != ERR_OK) {
        *absent = errno == EADDRNOTAVAIL || errno == EAFNOSUPPORT || errno == EPROTONOSUPPORT ||
                  errno == ENOPROTOOPT || errno == ESOCKTNOSUPPORT || errno == EPFNOSUPPORT;
        snprintf(why, why_n, "%s: %s", d->name, strerror(errno));
    }
    freeaddrinfo(found);
    return err;
}

void door_let_beside(struct door *d, bool beside)
{
    int on = beside;
    /* fails: bind does */
    (void)setsockopt(watch_fd(&d->watch), SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
}

/* Is a living process behind this socket? Then its path is not ours to take. */
static bool unix_is_answered(const struct sockaddr_un *at)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool answered = connect(fd, (const void *)at, sizeof(*at)) == 0 || errno == EAGAIN;
    close(fd);
    return answered;
}

enum err door_open_unix(struct door *d, const char *path, unsigned perm, int backlog, uint8_t kind,
                        char *why, size_t why_n)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(d->name, sizeof(d->name), "%s", path);
    if (strlen(path) >= sizeof(at.sun_path)) {
        snprintf(why, why_n, "%s: longer than the %zu bytes of a unix socket's path", path,
                 sizeof(at.sun_path) - 1);
        return ERR_LIMIT;
    }
    strcpy(at.sun_path, path);
    struct stat st;
    if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode)) {
        if (unix_is_answered(&at)) {
            snprintf(why, why_n, "%s: %s", path, strerror(EADDRINUSE));
            return ERR_IO;
        }
        unlink(path); /* left by a process that is gone; bind tells if it could not be removed */
    }
    if (open_at(d, (const void *)&at, sizeof(at), backlog, kind, false) != ERR_OK ||
        (perm != 0 && chmod(path, perm) != 0)) {
        snprintf(why, why_n, "%s: %s", path, strerror(errno));
        return ERR_IO;
    }
    return ERR_OK;
}

void door_close(struct door *d, struct loop *l)
{
    watch_stop(l, &d->watch);
    close(watch_fd(&d->watch));
    if (d->is_unix)
        unlink(d->name);
}

enum door_got door_accept(struct door *d, struct guest *g)
{
    struct sockaddr_storage peer = {0}, local = {0};
    socklen_t peer_n = sizeof(peer), local_n = sizeof(local);
    do
        g->fd = accept4(watch_fd(&d->watch), (void *)&peer, &peer_n, SOCK_NONBLOCK | SOCK_CLOEXEC);
    while (g->fd < 0 && (errno == EINTR || errno == ECONNABORTED));
    if (g->fd < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? DOOR_NOBODY : DOOR_FAILED;
    g->is_unix = d->is_unix;
    if (d->is_unix) {
        snprintf(g->peer, sizeof(g->peer), "%.*s:0", (int)sizeof(g->peer) - 3, d->name);
        memcpy(g->local, g->peer, sizeof(g->local));
        g->is_loopback = true;
        return DOOR_GUEST;
    }
    bool ignored;
    int on = 1;
    (void)getsockname(g->fd, (void *)&local, &local_n); /* fails: "?:0" is shown */
    address_text(&peer, g->peer, sizeof(g->peer), &g->is_loopback);
    address_text(&local, g->local, sizeof(g->local), &ignored);
    /* a reply is written whole */
    (void)setsockopt(g->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return DOOR_GUEST;
}

void address_of_peer(int fd, char to[ADDRESS_TEXT_BYTES])
{
    struct sockaddr_storage peer = {0};
    socklen_t peer_n = sizeof(peer);
    bool ignored;
    (void)getpeername(fd, (void *)&peer, &peer_n); /* gone already: "?:0" is shown */
    address_text(&peer, to, ADDRESS_TEXT_BYTES, &ignored);
    if (peer.ss_family == AF_UNIX)
        snprintf(to, ADDRESS_TEXT_BYTES, "unix socket");
}

void address_here(int fd, char to[ADDRESS_TEXT_BYTES])
{
    struct sockaddr_storage local = {0};
    socklen_t local_n = sizeof(local);
    bool ignored;
    (void)getsockname(fd, (void *)&local, &local_n); /* fails: "?:0" is shown */
    address_text(&local, to, ADDRESS_TEXT_BYTES, &ignored);
}

void address_ip_here(int fd, char to[ADDRESS_TEXT_BYTES])
{
    struct sockaddr_storage local = {0};
    socklen_t local_n = sizeof(local);
    if (getsockname(fd, (void *)&local, &local_n) != 0 ||
        getnameinfo((void *)&local, local_n, to, ADDRESS_TEXT_BYTES, NULL, 0, NI_NUMERICHOST) != 0)
        to[0] = '\0';
}

/* SPDX-License-Identifier: BSD-3-Clause */

#define _GNU_SOURCE /* accept4 */

/* The floor: a libev server that reads, counts requests by their '*' and answers "+OK" to each. What it
 * costs is the kernel and the loop; no server of one thread with blocking waits can cost less.
 *
 *     echo PORT */
#include <arpa/inet.h>
#include <errno.h>
#include <ev.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_BYTES = 64 * 1024 };

static void die(const char *what)
{
    fprintf(stderr, "echo: %s: %s\n", what, strerror(errno));
    exit(1);
}

static size_t count_stars(const char *p, size_t n)
{
    size_t stars = 0;
    const char *end = p + n;
    while ((p = memchr(p, '*', (size_t)(end - p))) != NULL) {
        stars++;
        p++;
    }
    return stars;
}

static void answer(int fd, size_t n)
{
    static char oks[5 * READ_BYTES];
    if (oks[0] == '\0')
        for (size_t i = 0; i < READ_BYTES; i++)
            memcpy(oks + 5 * i, "+OK\r\n", 5);
    size_t total = 5 * n, sent = 0;
    while (sent < total) {
        ssize_t got = write(fd, oks + sent, total - sent);
        if (got < 0 && errno != EAGAIN)
            return; /* the next read tells that it is gone */
        sent += got > 0 ? (size_t)got : 0;
    }
}

static void readable(EV_P_ ev_io *w, int events)
{
    static char buffer[READ_BYTES];
    (void)events;
    ssize_t n = read(w->fd, buffer, sizeof(buffer));
    if (n > 0) {
        answer(w->fd, count_stars(buffer, (size_t)n));
    } else if (n == 0 || errno != EAGAIN) {
        ev_io_stop(EV_A_ w);
        close(w->fd);
        free(w);
    }
}

static void acceptable(EV_P_ ev_io *w, int events)
{
    int yes = 1;
    (void)events;
    int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)) != 0)
        die("TCP_NODELAY");
    ev_io *client = malloc(sizeof(*client));
    if (client == NULL)
        die("memory");
    ev_io_init(client, readable, fd, EV_READ);
    ev_io_start(EV_A_ client);
}

int main(int argc, char **argv)
{
    int port = argc == 2 ? atoi(argv[1]) : 0, yes = 1;
    if (port <= 0 || port > 65535) {
        fprintf(stderr, "usage: echo PORT\n");
        return 2;
    }
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) != 0 ||
        bind(fd, (struct sockaddr *)&here, sizeof(here)) != 0 || listen(fd, 511) != 0)
        die("listen");
    struct ev_loop *loop = ev_default_loop(0);
    ev_io listener;
    ev_io_init(&listener, acceptable, fd, EV_READ);
    ev_io_start(loop, &listener);
    ev_run(loop, 0);
    return 0;
}

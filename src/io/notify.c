/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "io/notify.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

bool notify_wanted(void)
{
    const char *to = getenv("NOTIFY_SOCKET");
    return to != NULL && (to[0] == '/' || to[0] == '@') && to[1] != '\0';
}

bool notify_systemd(const char *message)
{
    if (!notify_wanted())
        return false;
    const char *to = getenv("NOTIFY_SOCKET");
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    size_t n = strlen(to);
    if (n >= sizeof(at.sun_path))
        return false;
    memcpy(at.sun_path, to, n);
    if (at.sun_path[0] == '@')
        at.sun_path[0] = '\0'; /* an abstract name */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    socklen_t at_n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    size_t message_n = strlen(message);
    ssize_t sent = sendto(fd, message, message_n, MSG_NOSIGNAL, (const void *)&at, at_n);
    close(fd);
    return sent == (ssize_t)message_n;
}

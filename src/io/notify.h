/* SPDX-License-Identifier: BSD-3-Clause */

/* A word to systemd (Type=notify): a datagram to the socket it named, no library needed. */
#ifndef IO_NOTIFY_H
#define IO_NOTIFY_H

#include <stdbool.h>

bool notify_wanted(void);                 /* NOTIFY_SOCKET is set */
bool notify_systemd(const char *message); /* "READY=1", "STOPPING=1", "STATUS=..." */

#endif

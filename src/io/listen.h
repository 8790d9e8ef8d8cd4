/* SPDX-License-Identifier: BSD-3-Clause */

/* Doors: TCP over IPv4 and IPv6, and unix sockets. */
#ifndef IO_LISTEN_H
#define IO_LISTEN_H

#include "io/loop.h"

/* "[v6%scope]:port", or a unix path of at most 107 bytes and ":0" */
enum { ADDRESS_TEXT_BYTES = 128 };

struct door {
    struct watch watch;
    bool is_unix;
    char name[ADDRESS_TEXT_BYTES]; /* for the log */
};

struct guest {
    int fd; /* non-blocking, close-on-exec; the caller's */
    bool is_unix, is_loopback;
    char peer[ADDRESS_TEXT_BYTES], local[ADDRESS_TEXT_BYTES];
};

/* "*", "::*" or an address. why: filled with one line when it fails; *absent: this machine has no
 * such address or family, which a bind with a '-' before it forgives. beside: also where another
 * door of this process is that was told door_let_beside; both are told again, false, once one of
 * them goes. */
enum err door_open_tcp(struct door *d, const char *address, int port, int backlog, uint8_t kind,
                       bool beside, bool *absent, char *why, size_t why_n) MUST_CHECK;
void door_let_beside(struct door *d, bool beside);
enum err door_open_unix(struct door *d, const char *path, unsigned perm, int backlog, uint8_t kind,
                        char *why, size_t why_n) MUST_CHECK;
void door_close(struct door *d, struct loop *l);

/* FAILED: errno tells; no descriptor left, say */
enum door_got { DOOR_GUEST, DOOR_NOBODY, DOOR_FAILED };
enum door_got door_accept(struct door *d, struct guest *g);

/* Who is at the other end of a connected socket, for a log line. */
void address_of_peer(int fd, char to[ADDRESS_TEXT_BYTES]);
void address_here(int fd, char to[ADDRESS_TEXT_BYTES]); /* and at this one */
void address_ip_here(int fd,
                     char to[ADDRESS_TEXT_BYTES]); /* without port and brackets; empty: unknown */

#endif

/* SPDX-License-Identifier: BSD-3-Clause */

/* Connecting to another server without waiting for it.
 *
 *     dial_numeric(d, host, port)    an address: known at once
 *     dial_names(d, host, port)      a name: may take many seconds, so on another thread
 *     dial_next(d, &fd)              the next of the addresses: a socket that is being connected
 *     dial_is_through(fd)            once the socket may be written: is it? else dial_next */
#ifndef IO_DIAL_H
#define IO_DIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum { DIAL_ADDRESSES = 8 };     /* of one name; a host has few that lead to one server */
enum { DIAL_ADDRESS_WORDS = 7 }; /* a sockaddr_in6; a sockaddr_in is smaller */
enum { DIAL_HOST_BYTES = 256 };  /* a name has at most 253, an address with its zone fewer */

struct dial {
    uint32_t at[DIAL_ADDRESSES][DIAL_ADDRESS_WORDS]; /* the system's, as they are */
    unsigned n, next;
};

/* ERR_NOT_FOUND: it is no address; it may be a name. */
enum err dial_numeric(struct dial *d, const char *host, uint16_t port) MUST_CHECK;
enum err dial_names(struct dial *d, const char *host, uint16_t port) MUST_CHECK;

/* A non-blocking, close-on-exec socket, the caller's. ERR_NOT_FOUND: no address is left; ERR_IO:
 * the system gave no socket. */
enum err dial_next(struct dial *d, int *fd) MUST_CHECK;
bool dial_is_through(int fd);

#endif

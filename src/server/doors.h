/* SPDX-License-Identifier: BSD-3-Clause */

/* Doors at one port of several addresses: of the clients, and of the cluster. */
#ifndef SERVER_DOORS_H
#define SERVER_DOORS_H

#include "conf/options.h"
#include "io/listen.h"

struct doors {
    struct door **at; /* owned; each stays where it is: the loop watches it */
    size_t n, cap;
};

struct doors_where {
    const struct option_words *bind; /* a '-' before an address: it may be absent */
    int port, backlog;
    uint8_t kind; /* of the watches */
    bool beside;  /* as door_open_tcp has it */
};

/* False: why says which could not be opened; those that could are in `to`. */
bool doors_open_at(struct doors *to, const struct doors_where *where, char *why, size_t why_n);
/* The same beside `old`, which stay: to take their place. */
bool doors_open_beside(const struct doors *old, struct doors *to, const struct doors_where *where,
                       char *why, size_t why_n);
bool words_equal(const struct option_words *a, const struct option_words *b);
void doors_close_all(struct doors *doors, struct loop *loop);

#endif

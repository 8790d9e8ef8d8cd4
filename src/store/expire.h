/* SPDX-License-Identifier: BSD-3-Clause */

/* Active expiry: what is due goes even if nobody asks for it.
 *
 * The index of the keys that have an expiry is gone round by a cursor, some at a step. While a
 * tenth or more of those looked at were due, a step goes on up to its budget; else it is content
 * with a look. So it costs next to nothing where little is due, and where much is, it takes what it
 * is given. What is due and not yet found is hidden by whoever looks it up. */
#ifndef STORE_EXPIRE_H
#define STORE_EXPIRE_H

#include "store/store.h"

enum { EXPIRE_LOOK = 64 };        /* entries of a database that each step looks at */
enum { EXPIRE_IDLE_MS = 100 };    /* between steps that found little */
#define EXPIRE_NEVER_MS INT64_MAX /* no key has an expiry */

struct expire_done {
    size_t looked, due;
    int64_t again_ms; /* when to step again: 0: much is left to do */
};

/* Looks at about `budget` entries at most. drop records that the key is gone and drops it, and does
 * nothing else to the store; the key may lie in the entry. */
struct expire_done expire_step(struct store *s, struct wall now, size_t budget,
                               void (*drop)(void *who, unsigned db, struct slice key), void *who);

#endif

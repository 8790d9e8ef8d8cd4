/* SPDX-License-Identifier: BSD-3-Clause */

/* Tables that were flushed: out of sight at once, freed in steps.
 *
 * A flush takes a slot's tables over as they are. While a walk still needs them they are held,
 * and freed after it. */
#ifndef STORE_DYING_H
#define STORE_DYING_H

#include "store/store.h"

struct store_dying {
    struct list in; /* store.dying or, while the walk needs it, store.dying_held */
    struct table keys, dues;
    uint64_t cursor; /* of the table that is being freed: dues first */
    bool dues_done;
};

/* Takes its tables and bytes. */
struct store_dying *dying_add(struct store *s, struct store_slot *slot);
void dying_hold(struct store *s, struct store_dying *d);    /* not to be freed for now */
void dying_release(struct store *s, struct store_dying *d); /* ... and again */
bool dying_is_due(const struct store *s);                   /* is there something to free? */
void dying_step(struct store *s, size_t budget);            /* about so many entries of it */
void dying_free(struct store *s);                           /* everything, held or not */

#endif

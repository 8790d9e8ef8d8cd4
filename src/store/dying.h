/* SPDX-License-Identifier: BSD-3-Clause */

/* Databases that were flushed: out of sight at once, freed in steps.
 *
 * A flush takes a database's tables over as they are. While a walk still needs them they are held,
 * and freed after it. */
#ifndef STORE_DYING_H
#define STORE_DYING_H

#include "store/store.h"

struct store_dying {
    struct store_dying *next;
    struct table keys, dues;
    uint64_t cursor; /* of the table that is being freed: dues first */
    bool dues_done;
    bool held; /* by the walk */
};

struct store_dying *dying_add(struct store *s, struct store_db *db); /* takes its tables and bytes */
bool dying_is_due(const struct store *s);             /* is there something to free? */
void dying_step(struct store *s, size_t budget);      /* about so many entries of it */
void dying_free(struct store *s);                     /* everything, held or not */

#endif

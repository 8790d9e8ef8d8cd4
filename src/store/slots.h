/* SPDX-License-Identifier: BSD-3-Clause */

/* The tables of a database, one per slot: which of them hold something, and one by chance.
 *
 *     slots    0 1 2 ... 127 | 128 ... 255 | ...     most of them empty
 *     groups        0        |      1      | ...     how many keys, and keys with an expiry, in
 *                                                    each; apart, of slots that are aside
 *
 * A change counts in one place; the next slot that holds something, or the slot of a key by chance,
 * is found by a look at 128 groups and then at 128 slots. */
#ifndef STORE_SLOTS_H
#define STORE_SLOTS_H

#include "store/store.h"

enum { SLOTS_GROUP = 128 };

struct store_group {
    struct slots_count {
        size_t keys, dues;
    } shown, aside;
};

enum slots_index { SLOTS_KEYS, SLOTS_DUES }; /* what of a slot is meant */

struct store_group *slots_groups_new(unsigned slots_n);

/* The tables of a database: from `first` so many. */
struct slots_range {
    unsigned first, n;
};
static inline struct slots_range slots_of_db(const struct store *s, unsigned db)
{
    return s->is_slotted ? (struct slots_range){0, s->slots_n} : (struct slots_range){db, 1};
}

static inline unsigned slots_db(const struct store *s, unsigned at) /* whose table `at` is */
{
    return s->is_slotted ? 0 : at;
}

static inline const struct table *slots_table(const struct store *s, unsigned at,
                                              enum slots_index index)
{
    return index == SLOTS_KEYS ? &s->slots[at].keys : &s->slots[at].dues;
}

/* Of slots that are not aside: */
size_t slots_sum(const struct store *s, unsigned db, enum slots_index index);
/* The first table from `at` on that is not empty; the range's end: none. */
unsigned slots_next(const struct store *s, struct slots_range r, unsigned at,
                    enum slots_index index);
/* The table of an entry by chance, each entry's chance being the same. The database
 * is not empty. */
unsigned slots_pick(struct store *s, unsigned db, enum slots_index index);

/* The first slot from `at` on with keys, aside or not; slots_n: none. */
unsigned slots_next_any(const struct store *s, unsigned at);

#endif

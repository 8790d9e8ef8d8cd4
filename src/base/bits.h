/* SPDX-License-Identifier: BSD-3-Clause */

/* A set of slots. Zeroed is empty. */
#ifndef BASE_BITS_H
#define BASE_BITS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bounds.h"

struct bits {
    uint64_t w[SLOTS / 64];
};

static inline bool bits_has(const struct bits *b, unsigned slot)
{
    return (b->w[slot / 64] >> (slot % 64) & 1) != 0;
}

static inline void bits_add(struct bits *b, unsigned slot)
{
    b->w[slot / 64] |= UINT64_C(1) << (slot % 64);
}

static inline void bits_remove(struct bits *b, unsigned slot)
{
    b->w[slot / 64] &= ~(UINT64_C(1) << (slot % 64));
}

static inline void bits_add_all(struct bits *b, const struct bits *others)
{
    for (unsigned i = 0; i < SLOTS / 64; i++)
        b->w[i] |= others->w[i];
}

void bits_fill(struct bits *b); /* every slot is in it */
unsigned bits_n(const struct bits *b);
/* The first slot at or after `from` that is in it; SLOTS: none.
 *
 *     for (unsigned s = bits_next(b, 0); s < SLOTS; s = bits_next(b, s + 1)) */
unsigned bits_next(const struct bits *b, unsigned from);

#endif

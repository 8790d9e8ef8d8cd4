/* SPDX-License-Identifier: BSD-3-Clause */

#include "base/bits.h"

#include <string.h>

unsigned bits_n(const struct bits *b)
{
    unsigned n = 0;
    for (unsigned i = 0; i < SLOTS / 64; i++)
        n += (unsigned)__builtin_popcountll(b->w[i]);
    return n;
}

unsigned bits_next(const struct bits *b, unsigned from)
{
    for (unsigned i = from / 64; i < SLOTS / 64; i++) {
        uint64_t w = b->w[i];
        if (i == from / 64)
            w &= ~UINT64_C(0) << (from % 64);
        if (w != 0)
            return i * 64 + (unsigned)__builtin_ctzll(w);
    }
    return SLOTS;
}

void bits_fill(struct bits *b)
{
    memset(b->w, 0xff, sizeof(b->w));
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* Which arguments of a request are keys.
 *
 * The keys of any command are a few ranges of its arguments. Nothing else may look for keys. */
#ifndef CMD_KEYS_H
#define CMD_KEYS_H

#include "cmd/spec.h"

enum { KEYS_RANGES_MAX = 3 };

struct key_range {
    uint32_t first, last, step; /* arguments first, first + step, ... up to last, both included */
    uint32_t flags;             /* enum key_flag, as COMMAND GETKEYSANDFLAGS tells them */
};

struct keys {
    size_t n;
    struct key_range ranges[KEYS_RANGES_MAX];
};

/* The keys of a request whose arity fits. False: the arguments are such that the keys cannot be
 * told; running the command would fail, too. */
bool keys_of(const struct spec *spec, const struct slice *argv, size_t argc, struct keys *keys);

/* Walks the keys:  struct key_at key = {0}; while (keys_next(&keys, &key)) ... argv[key.at] ... */
struct key_at {
    uint32_t at, flags;
    size_t range;
};
bool keys_next(const struct keys *keys, struct key_at *key);
size_t keys_n(const struct keys *keys);

#endif

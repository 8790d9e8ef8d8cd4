/* SPDX-License-Identifier: BSD-3-Clause */

/* A heap of things that are due: the earliest is at hand, any member leaves in O(log n).
 *
 * Members carry a struct heap_node and remember their own place, so that a timer cancelled in the
 * middle needs no search. Equal times leave in the order they came. The heap owns its array, never
 * the members; a member is in one heap at most. */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/vec.h"

struct heap_node {
    int64_t due;    /* set by heap_add */
    uint64_t order; /* among equals */
    size_t place;   /* index + 1; 0: in no heap */
};

struct heap {
    VEC(struct heap_node *) nodes;
    uint64_t added;
};

void heap_add(struct heap *h, struct heap_node *n, int64_t due); /* n is in no heap */
void heap_remove(struct heap *h, struct heap_node *n);           /* nothing if it is in none */
struct heap_node *heap_first(const struct heap *h);              /* NULL: empty */
void heap_free(struct heap *h);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */

/* The smallest is always at [0]; the children of [i] are [2i+1] and [2i+2]:
 *
 *            [0] 3ms
 *           /       \
 *      [1] 8ms     [2] 5ms
 */
#include "base/heap.h"

#include "base/check.h"

static bool before(const struct heap_node *a, const struct heap_node *b)
{
    return a->due != b->due ? a->due < b->due : a->order < b->order;
}

static void put_at(struct heap *h, size_t i, struct heap_node *n)
{
    h->nodes.at[i] = n;
    n->place = i + 1;
}

static void rise(struct heap *h, size_t i, struct heap_node *n)
{
    while (i > 0 && before(n, h->nodes.at[(i - 1) / 2])) {
        put_at(h, i, h->nodes.at[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    put_at(h, i, n);
}

static void sink(struct heap *h, size_t i, struct heap_node *n)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= h->nodes.n)
            break;
        if (child + 1 < h->nodes.n && before(h->nodes.at[child + 1], h->nodes.at[child]))
            child++;
        if (!before(h->nodes.at[child], n))
            break;
        put_at(h, i, h->nodes.at[child]);
        i = child;
    }
    put_at(h, i, n);
}

void heap_add(struct heap *h, struct heap_node *n, int64_t due)
{
    check(n->place == 0);
    n->due = due;
    n->order = h->added++;
    *vec_add(&h->nodes) = n;
    rise(h, h->nodes.n - 1, n);
}

void heap_remove(struct heap *h, struct heap_node *n)
{
    if (n->place == 0)
        return;
    size_t i = n->place - 1;
    check(h->nodes.at[i] == n);
    struct heap_node *last = h->nodes.at[--h->nodes.n];
    n->place = 0;
    if (last == n)
        return;
    if (before(last, n))
        rise(h, i, last);
    else
        sink(h, i, last);
}

struct heap_node *heap_first(const struct heap *h)
{
    return h->nodes.n > 0 ? h->nodes.at[0] : NULL;
}

void heap_free(struct heap *h)
{
    vec_free(&h->nodes);
}

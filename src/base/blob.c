/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/blob.h"

#include "base/check.h"

static size_t blob_size(size_t cap)
{
    return cap > SIZE_MAX - sizeof(struct blob) ? SIZE_MAX : sizeof(struct blob) + cap;
}

struct blob *blob_try(size_t cap)
{
    struct blob *b = mem_try(blob_size(cap));
    if (b == NULL)
        return NULL;
    b->refs = 1;
    b->n = 0;
    b->cap = cap;
    return b;
}

struct blob *blob_try_grow(struct blob *b, size_t cap)
{
    check(b->refs == 1); /* nobody may see the bytes move */
    struct blob *moved = mem_try_resize(b, blob_size(cap));
    if (moved != NULL)
        moved->cap = cap;
    return moved;
}

void blob_drop(struct blob *b, struct graves *g)
{
    check(b->refs > 0);
    if (--b->refs > 0)
        return;
    if (g != NULL && b->cap >= GRAVE_MIN_BYTES)
        graves_bury(g, b);
    else
        mem_free_sized(b, blob_size(b->cap));
}

size_t blob_bytes(const struct blob *b)
{
    return mem_good_size(blob_size(b->cap));
}

void graves_bury(struct graves *g, void *p)
{
    *vec_add(&g->dead) = p;
}

void graves_free(struct graves *g)
{
    for (size_t i = 0; i < g->dead.n; i++)
        mem_free(g->dead.at[i]);
    vec_free(&g->dead);
}

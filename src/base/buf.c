/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/buf.h"

#include "base/check.h"
#include "base/mem.h"

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

void buf_free(struct buf *b)
{
    mem_free(b->p);
    *b = (struct buf){.max = b->max};
}

enum err buf_room(struct buf *b, size_t n)
{
    if (n > b->max - b->n) /* not b->n + n > b->max: that wraps */
        return ERR_LIMIT;
    size_t want = b->n + n;
    if (want <= b->cap)
        return ERR_OK;
    size_t cap = b->cap < 64 ? 64 : b->cap;
    while (cap < want)
        cap = cap > b->max / 2 ? b->max : cap * 2;
    cap = mem_good_size(cap);
    char *p = mem_try_resize(b->p, cap);
    if (p == NULL)
        return ERR_NOMEM;
    b->p = p;
    b->cap = cap;
    return ERR_OK;
}

enum err buf_add(struct buf *b, struct slice s)
{
    TRY(buf_room(b, s.n));
    if (s.n > 0)
        memcpy(b->p + b->n, s.p, s.n);
    b->n += s.n;
    return ERR_OK;
}

void buf_drop_front(struct buf *b, size_t n)
{
    check(n <= b->n);
    b->n -= n;
    if (b->n > 0)
        memmove(b->p, b->p + n, b->n);
}

void buf_clear(struct buf *b)
{
    b->n = 0;
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* Owned bytes with an end given at birth. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/err.h"
#include "base/slice.h"

struct buf {
    char *p; /* owned; NULL while empty and never filled */
    size_t n;
    size_t cap;
    size_t max; /* n never exceeds it */
};

void buf_init(struct buf *b, size_t max);
void buf_free(struct buf *b); /* and empty, max kept */
/* n more bytes fit at p + n, or ERR_LIMIT, ERR_NOMEM */
enum err buf_room(struct buf *b, size_t n) MUST_CHECK;
enum err buf_add(struct buf *b, struct slice s) MUST_CHECK; /* all of s, or nothing and an error */
void buf_drop_front(struct buf *b, size_t n);               /* n <= b->n; moves the rest down */
void buf_clear(struct buf *b);                              /* keeps the memory */

static inline struct slice buf_slice(const struct buf *b)
{
    return (struct slice){b->p, b->n};
}

#endif

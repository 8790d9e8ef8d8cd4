/* SPDX-License-Identifier: BSD-3-Clause */

/* Bytes with several readers: the value of a big string, shared by the keyspace, by outputs that
 * have not been written yet and by records on their way to the log.
 *
 * Only who holds the single reference may change the bytes. References are counted without atomics:
 * they are taken and dropped on the data thread only; what travels to another thread is a chain
 * whose references are dropped when it comes back. The last drop of a big blob hands its memory to
 * the graves, so that giving pages back to the system happens on the reaper thread. */
#ifndef BASE_BLOB_H
#define BASE_BLOB_H

#include <stdint.h>

#include "base/slice.h"
#include "base/vec.h"

struct blob {
    uint32_t refs;
    size_t n;   /* bytes in use */
    size_t cap; /* bytes there is room for */
    char p[];
};

enum { GRAVE_MIN_BYTES = 64 * 1024 }; /* smaller frees cost less than the trip to another thread */

/* Memory waiting to be freed elsewhere: plain blocks of mem_get. */
struct graves {
    VEC(void *) dead;
};

/* one reference, n = 0; NULL when memory is refused */
struct blob *blob_try(size_t cap) MUST_CHECK;
/* refs must be 1; may move; NULL: b untouched */
struct blob *blob_try_grow(struct blob *b, size_t cap) MUST_CHECK;
void blob_drop(struct blob *b, struct graves *g); /* g may be NULL: freed at once */
void graves_bury(struct graves *g, void *p);      /* takes p */
void graves_free(struct graves *g);               /* frees what lies in it, here and now */

static inline struct blob *blob_share(struct blob *b)
{
    b->refs++;
    return b;
}

static inline struct slice blob_slice(const struct blob *b)
{
    return (struct slice){b->p, b->n};
}

/* Memory a blob of this capacity takes. */
size_t blob_bytes(const struct blob *b);

#endif

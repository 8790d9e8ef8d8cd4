/* SPDX-License-Identifier: BSD-3-Clause */

/* Memory: the only place that names malloc.
 *
 * What we bound ourselves comes from mem_get, which does not fail (a true shortage stops the
 * process). What the outside world sized goes through mem_try and may be refused. Sizes are rounded
 * by the allocator; mem_good_size tells to what, so that whoever accounts or grows can use all of
 * it. jemalloc, linked by the programs, gives sized frees; the plain allocator serves tests. */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

#include "base/err.h"

void *mem_get(size_t n);                            /* never NULL; contents undefined */
void *mem_zero(size_t n);                           /* never NULL; zeroed */
void *mem_try(size_t n) MUST_CHECK;                 /* NULL when refused */
void *mem_resize(void *p, size_t n);                /* as realloc, never NULL */
void *mem_try_resize(void *p, size_t n) MUST_CHECK; /* NULL when refused, p then untouched */
void *mem_get_aligned(size_t n, size_t align);      /* align: a power of two; never NULL */
/* A copy with a NUL behind it; p may be NULL where n is 0. */
char *mem_text(const char *p, size_t n);
void mem_free(void *p);                 /* NULL is nothing */
void mem_free_sized(void *p, size_t n); /* n: what was asked for; faster */

/* How many bytes the allocator hands out for a request of n. */
size_t mem_good_size(size_t n);

#endif

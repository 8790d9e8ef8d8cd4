/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/mem.h"

#include <stdint.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

/* jemalloc's, where the program links it. Weak, so that tests and sanitizers run without. */
extern size_t nallocx(size_t n, int flags) __attribute__((weak));
extern void sdallocx(void *p, size_t n, int flags) __attribute__((weak));

void *mem_try(size_t n)
{
    return malloc(n > 0 ? n : 1);
}

void *mem_get(size_t n)
{
    void *p = mem_try(n);
    check(p != NULL);
    return p;
}

void *mem_zero(size_t n)
{
    void *p = calloc(1, n > 0 ? n : 1);
    check(p != NULL);
    return p;
}

char *mem_text(const char *p, size_t n)
{
    char *text = mem_get(n + 1);
    if (n > 0)
        memcpy(text, p, n);
    text[n] = '\0';
    return text;
}

void *mem_try_resize(void *p, size_t n)
{
    return realloc(p, n > 0 ? n : 1);
}

void *mem_resize(void *p, size_t n)
{
    void *q = mem_try_resize(p, n);
    check(q != NULL);
    return q;
}

void *mem_get_aligned(size_t n, size_t align)
{
    void *p = aligned_alloc(align, (n + align - 1) & ~(align - 1));
    check(p != NULL);
    return p;
}

void mem_free(void *p)
{
    if (p != NULL) /* jemalloc looks NULL up like any address: 40 instructions */
        free(p);
}

void mem_free_sized(void *p, size_t n)
{
    if (p != NULL && sdallocx != NULL)
        sdallocx(p, n > 0 ? n : 1, 0);
    else
        free(p);
}

/* jemalloc's classes, four to a doubling, without the call: an entry's size is asked for several
 * times in the life of a command. */
size_t mem_good_size(size_t n)
{
    if (n == 0)
        return 16;
    bool by_classes = n > 128 && nallocx != NULL;
    size_t step = by_classes ? (size_t)1 << (61 - __builtin_clzll(n - 1)) : 16;
    return n > SIZE_MAX - step ? n : (n + step - 1) & ~(step - 1);
}

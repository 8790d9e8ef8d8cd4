/* SPDX-License-Identifier: BSD-3-Clause */

/* A growing array of one type.
 *
 *     VEC(struct gate) gates = {0};
 *     *vec_add(&gates) = (struct gate){...};
 *     for (size_t i = 0; i < gates.n; i++) ... gates.at[i] ...
 *
 * Adding may move the elements: pointers into the array die with the next vec_add. */
#ifndef BASE_VEC_H
#define BASE_VEC_H

#include <stddef.h>

#include "base/mem.h"

#define VEC(...)         \
    struct {             \
        __VA_ARGS__ *at; \
        size_t n;        \
        size_t cap;      \
    }

/* Room for one more at the end, counted; its address. */
#define vec_add(v)                                                                             \
    (((v)->n < (v)->cap ? (void)0                                                              \
                        : (void)((v)->cap = (v)->cap > 0 ? (v)->cap * 2 : 8,                   \
                                 (v)->at = mem_resize((v)->at, (v)->cap * sizeof(*(v)->at)))), \
     &(v)->at[(v)->n++])

#define vec_clear(v) ((void)((v)->n = 0))
#define vec_free(v) ((void)(mem_free((v)->at), (v)->at = NULL, (v)->n = 0, (v)->cap = 0))

#endif

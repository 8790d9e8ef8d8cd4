/* SPDX-License-Identifier: BSD-3-Clause */

/* A line taken apart into words as redis-cli, inline requests and configuration files do:
 * "..." with \n \r \t \b \a \xHH and any other \c for c, '...' with \' alone, blanks between. */
#ifndef BASE_WORDS_H
#define BASE_WORDS_H

#include "base/err.h"
#include "base/slice.h"
#include "base/vec.h"

struct words {
    VEC(struct slice) list; /* the words; they point into text */
    char *text;             /* owned */
};

/* ERR_SYNTAX: quotes that do not close, or a closing quote followed by no blank. */
/* w: zeroed, or freed before */
enum err words_split(struct words *w, struct slice line) MUST_CHECK;
void words_free(struct words *w);

#endif

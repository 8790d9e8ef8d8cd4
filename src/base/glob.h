/* SPDX-License-Identifier: BSD-3-Clause */

/* Patterns as KEYS, SCAN and CONFIG GET read them: * ? [abc] [a-z] [^a] and \c for c itself.
 * An empty text matches an empty pattern alone; KEYS and SCAN take "*" for everything before they
 * ask. */
#ifndef BASE_GLOB_H
#define BASE_GLOB_H

#include "base/slice.h"

bool glob_match(struct slice pattern, struct slice text, bool any_case);

/* No byte of it is special: it can only match itself. */
bool glob_is_plain(struct slice pattern);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */

/* Where the reason of a refusal goes, for whoever reads a configuration. */
#ifndef SERVER_WHY_H
#define SERVER_WHY_H

#include <stdbool.h>
#include <stddef.h>

struct why {
    char *text;
    size_t n;
};

/* Always false: the refusal itself. */
bool why_say(struct why *why, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif

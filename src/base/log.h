/* SPDX-License-Identifier: BSD-3-Clause */

/* Levels and lines. Who logs forms the line here; the shell's `line` decides where it goes and puts
 * the time before it. A line that is too long is cut and ends in "...". */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/slice.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_VERBOSE, LOG_LEVEL_NOTICE, LOG_LEVEL_WARNING };

enum { LOG_LINE_BYTES = 1024 }; /* Redis' bound: a line is for people */

struct log {
    enum log_level level; /* less important lines are not formed at all */
    void (*line)(struct log *log, enum log_level level, struct slice text); /* text: borrowed */
};

void log_say(struct log *log, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif

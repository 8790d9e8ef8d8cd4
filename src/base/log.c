/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

void log_say(struct log *log, enum log_level level, const char *format, ...)
{
    if (level < log->level)
        return;
    char text[LOG_LINE_BYTES];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    size_t kept = n < 0 ? 0 : (size_t)n;
    if (kept >= sizeof(text)) {
        kept = sizeof(text) - 1;
        memcpy(text + kept - 3, "...", 3);
    }
    log->line(log, level, slice_of(text, kept));
}

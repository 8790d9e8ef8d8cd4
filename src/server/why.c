/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/why.h"

#include <stdarg.h>
#include <stdio.h>

bool why_say(struct why *why, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(why->text, why->n, format, args);
    va_end(args);
    return false;
}

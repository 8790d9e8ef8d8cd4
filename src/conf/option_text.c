/* SPDX-License-Identifier: BSD-3-Clause */

/* Building the texts of options: replies, errors, lines of a file. */
#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"
#include "conf/option_value.h"

void option_say(struct buf *to, struct slice s)
{
    enum err e = buf_add(to, s);
    check(e == ERR_OK); /* the caller's buf is made for a whole file */
}

static void say_args(struct buf *to, const char *format, va_list args)
{
    char text[768];
    int n = vsnprintf(text, sizeof(text), format, args);
    check(n >= 0);
    option_say(to, slice_of(text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1));
}

void option_sayf(struct buf *to, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say_args(to, format, args);
    va_end(args);
}

bool option_refuse(struct buf *error, const char *format, ...)
{
    buf_clear(error);
    va_list args;
    va_start(args, format);
    say_args(error, format, args);
    va_end(args);
    return false;
}

static const char *escape_of(char c)
{
    switch (c) {
    case '\\': return "\\\\";
    case '"': return "\\\"";
    case '\n': return "\\n";
    case '\r': return "\\r";
    case '\t': return "\\t";
    case '\a': return "\\a";
    case '\b': return "\\b";
    default: return NULL;
    }
}

void option_say_quoted(struct buf *to, struct slice s)
{
    option_say(to, SLICE("\""));
    for (size_t i = 0; i < s.n; i++) {
        const char *escape = escape_of(s.p[i]);
        if (escape != NULL)
            option_say(to, slice_str(escape));
        else if (s.p[i] >= ' ' && s.p[i] <= '~')
            option_say(to, slice_of(s.p + i, 1));
        else
            option_sayf(to, "\\x%02x", (unsigned)(unsigned char)s.p[i]);
    }
    option_say(to, SLICE("\""));
}

/* SPDX-License-Identifier: BSD-3-Clause */
#include "resp/resp_write.h"

#include <stdio.h>

#include "base/check.h"
#include "base/num.h"

enum { LINE_MAX_BYTES = 1024 }; /* a formatted line; what is longer is cut */

void reply_raw(struct reply *r, struct slice s)
{
    chain_put(r->out, s);
}

void reply_simple(struct reply *r, struct slice s)
{
    chain_put(r->out, SLICE("+"));
    chain_put(r->out, s);
    chain_put(r->out, SLICE("\r\n"));
}

/* "<mark><v>\r\n" into room that is there; its length. */
static inline size_t put_head(char *to, char mark, int64_t v)
{
    to[0] = mark;
    size_t n = 1 + (v >= 0 ? num_put_u64(to + 1, (uint64_t)v) : num_put_i64(to + 1, v));
    memcpy(to + n, "\r\n", 2);
    return n + 2;
}

static void reply_head(struct reply *r, char mark, int64_t v)
{
    char *to = chain_room(r->out, NUM_I64_CHARS + 3);
    chain_fill(r->out, put_head(to, mark, v));
}

void reply_i64(struct reply *r, int64_t v)
{
    reply_head(r, ':', v);
}

void reply_bulk(struct reply *r, struct slice s)
{
    if (s.n > CHAIN_CHUNK_BYTES / 2) {
        reply_head(r, '$', (int64_t)s.n);
        chain_put(r->out, s);
        chain_put(r->out, SLICE("\r\n"));
        return;
    }
    char *to = chain_room(r->out, s.n + NUM_I64_CHARS + 5);
    size_t n = put_head(to, '$', (int64_t)s.n);
    memcpy(slice_copy(to + n, s), "\r\n", 2);
    chain_fill(r->out, n + s.n + 2);
}

void reply_bulk_str(struct reply *r, const char *s)
{
    reply_bulk(r, slice_str(s));
}

void reply_bulk_i64(struct reply *r, int64_t v)
{
    char text[NUM_I64_CHARS];
    reply_bulk(r, slice_of(text, num_put_i64(text, v)));
}

void reply_bulk_blob(struct reply *r, struct blob *b, size_t at, size_t n)
{
    reply_head(r, '$', (int64_t)n);
    chain_put_blob(r->out, b, at, n);
    chain_put(r->out, SLICE("\r\n"));
}

void reply_bulk_parts(struct reply *r, const struct chain *parts)
{
    reply_head(r, '$', (int64_t)parts->n);
    chain_share(r->out, parts);
    chain_put(r->out, SLICE("\r\n"));
}

static struct slice format_line(char *to, const char *format, va_list args)
{
    int n = vsnprintf(to, LINE_MAX_BYTES, format, args);
    check(n >= 0);
    return slice_of(to, n < LINE_MAX_BYTES ? (size_t)n : LINE_MAX_BYTES - 1);
}

void reply_bulkf(struct reply *r, const char *format, ...)
{
    char line[LINE_MAX_BYTES];
    va_list args;
    va_start(args, format);
    reply_bulk(r, format_line(line, format, args));
    va_end(args);
}

void reply_verbatim(struct reply *r, struct slice s, const char *kind)
{
    if (r->protocol < 3) {
        reply_bulk(r, s);
        return;
    }
    reply_head(r, '=', (int64_t)s.n + 4);
    chain_put(r->out, slice_of(kind, 3));
    chain_put(r->out, SLICE(":"));
    chain_put(r->out, s);
    chain_put(r->out, SLICE("\r\n"));
}

void reply_null(struct reply *r)
{
    chain_put(r->out, r->protocol < 3 ? SLICE("$-1\r\n") : SLICE("_\r\n"));
}

void reply_null_array(struct reply *r)
{
    chain_put(r->out, r->protocol < 3 ? SLICE("*-1\r\n") : SLICE("_\r\n"));
}

void reply_double(struct reply *r, double v)
{
    char text[32];
    struct slice s = slice_of(text, num_put_double(text, v));
    if (r->protocol < 3) {
        reply_bulk(r, s);
        return;
    }
    chain_put(r->out, SLICE(","));
    chain_put(r->out, s);
    chain_put(r->out, SLICE("\r\n"));
}

void reply_array(struct reply *r, size_t n)
{
    reply_head(r, '*', (int64_t)n);
}

void reply_map(struct reply *r, size_t n)
{
    reply_head(r, r->protocol < 3 ? '*' : '%', (int64_t)(r->protocol < 3 ? 2 * n : n));
}

void reply_set(struct reply *r, size_t n)
{
    reply_head(r, r->protocol < 3 ? '*' : '~', (int64_t)n);
}

void reply_error(struct reply *r, struct slice text)
{
    char line[LINE_MAX_BYTES];
    text = slice_head(text, sizeof(line));
    size_t code_n = 0;
    for (size_t i = 0; i < text.n; i++) {
        line[i] = text.p[i] == '\r' || text.p[i] == '\n' ? ' ' : text.p[i];
        if (line[i] != ' ' && code_n == i && i < sizeof(r->error_code) - 1)
            code_n++;
    }
    memcpy(r->error_code, line, code_n);
    r->error_code[code_n] = '\0';
    r->errors++;
    chain_put(r->out, SLICE("-"));
    chain_put(r->out, slice_of(line, text.n));
    chain_put(r->out, SLICE("\r\n"));
}

void reply_errorf(struct reply *r, const char *format, ...)
{
    char line[LINE_MAX_BYTES];
    va_list args;
    va_start(args, format);
    reply_error(r, format_line(line, format, args));
    va_end(args);
}

void reply_later_begin(struct reply *r, struct reply_later *l)
{
    *l = (struct reply_later){.outer = r->out};
    r->out = &l->inner;
}

void reply_later_end(struct reply *r, struct reply_later *l, size_t n)
{
    check(r->out == &l->inner);
    r->out = l->outer;
    reply_array(r, n);
    chain_append(r->out, &l->inner);
}

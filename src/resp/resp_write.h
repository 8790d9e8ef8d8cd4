/* SPDX-License-Identifier: BSD-3-Clause */

/* Replies in RESP2 or RESP3, as the session speaks.
 *
 * Callers say what a reply is (a map, a double, nothing); how it looks to an older client is
 * decided here: a map is a flat array in RESP2, a double a bulk, a null "$-1". */
#ifndef RESP_RESP_WRITE_H
#define RESP_RESP_WRITE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/chain.h"
#include "base/slice.h"

struct reply {
    struct chain *out;
    int protocol;        /* 2 or 3 */
    uint32_t errors;     /* error replies written so far: exec tells failures by its change */
    char error_code[24]; /* the first word of the newest error, without '-', terminated */
};

void reply_raw(struct reply *r, struct slice s); /* already encoded */
static inline void reply_ok(struct reply *r)
{
    memcpy(chain_room(r->out, 5), "+OK\r\n", 5);
    chain_fill(r->out, 5);
}
void reply_simple(struct reply *r, struct slice s); /* "+s" */
void reply_i64(struct reply *r, int64_t v);
void reply_bulk(struct reply *r, struct slice s);
void reply_bulk_str(struct reply *r, const char *s);
void reply_bulk_i64(struct reply *r, int64_t v);
/* Which stay; long ones are referenced. */
void reply_bulk_parts(struct reply *r, const struct chain *parts);
/* Long parts are referenced. */
void reply_bulk_blob(struct reply *r, struct blob *b, size_t at, size_t n);
void reply_bulkf(struct reply *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
void reply_verbatim(struct reply *r, struct slice s, const char *kind); /* kind: 3 letters, "txt" */
void reply_null(struct reply *r);                                       /* "$-1" or "_" */
void reply_null_array(struct reply *r);                                 /* "*-1" or "_" */
void reply_double(struct reply *r, double v);
void reply_array(struct reply *r, size_t n);
void reply_map(struct reply *r, size_t n); /* n pairs follow */
void reply_set(struct reply *r, size_t n);

/* An error whose text begins with its code: "ERR syntax error", without '-' and line end. Line
 * breaks inside become blanks. */
void reply_error(struct reply *r, struct slice text);
void reply_errorf(struct reply *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* An array whose length is known only at its end: a mark, the elements, then the length. The
 * elements are collected apart. */
struct reply_later {
    struct chain *outer;
    struct chain inner;
};
void reply_later_begin(struct reply *r, struct reply_later *l);
void reply_later_end(struct reply *r, struct reply_later *l, size_t n); /* an array of n */

#endif

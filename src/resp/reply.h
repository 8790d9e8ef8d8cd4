/* SPDX-License-Identifier: BSD-3-Clause */

/* Replies that somebody must understand, read through hiredis' reader: an answer is a tree.
 *
 * hiredis was written for clients who trust their server. What it does not bound is bounded here:
 * the bytes that wait for their reply to be whole, and the elements that are only announced. It
 * speaks RESP2: whoever reads replies with it asks for that. */
#ifndef RESP_REPLY_H
#define RESP_REPLY_H

#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

enum answer_kind {
    ANSWER_NONE, /* of an array: an element that has not come */
    ANSWER_STATUS,
    ANSWER_ERROR, /* without '-' */
    ANSWER_INTEGER,
    ANSWER_STRING,
    ANSWER_NIL,
    ANSWER_ARRAY
};

struct answer {
    enum answer_kind kind;
    int64_t integer;
    struct slice text;       /* of STATUS, ERROR and STRING; the answer's own */
    struct answer *elements; /* of ARRAY */
    size_t n;
};

struct answer_limits {
    size_t bytes_max;    /* fed and not yet read as a whole reply */
    size_t elements_max; /* of one array */
};

struct answer_reader;

/* NULL: hiredis got no memory. */
struct answer_reader *answer_reader_new(const struct answer_limits *l);
void answer_reader_free(struct answer_reader *r);

/* ERR_LIMIT: nothing was taken. Bytes are copied. */
enum err answer_feed(struct answer_reader *r, struct slice in) MUST_CHECK;

/* The next whole reply, the caller's; NULL: feed more. ERR_SYNTAX: no reply; ERR_LIMIT: an array
 * beyond its bound. After an error the reader says the same for ever. */
enum err answer_next(struct answer_reader *r, struct answer **a) MUST_CHECK;
void answer_free(struct answer *a); /* NULL is nothing */

#endif

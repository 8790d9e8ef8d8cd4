/* SPDX-License-Identifier: BSD-3-Clause */

/* Requests: RESP arrays of bulks, and inline lines.
 *
 * Parsed in place: argv are slices of the caller's read buffer, and nothing is allocated for a
 * request that lies in it whole. A request that arrives in pieces is resumed where it broke off, so
 * that every byte is looked at once. A bulk of REQUEST_BIG_BYTES or more that is not there yet gets
 * a blob of its own, which the socket then fills directly and the keyspace may keep.
 *
 * The format is Redis': https://redis.io/docs/latest/develop/reference/protocol-spec/ ; error texts
 * and leniencies (an empty array is nothing, the two bytes behind a bulk are not looked at) are
 * those of redis-server 7. */
#ifndef RESP_REQUEST_H
#define RESP_REQUEST_H

#include <stdint.h>

#include "base/blob.h"
#include "base/slice.h"
#include "base/vec.h"

/* Redis' own bound for an inline line and a length line. */
enum { REQUEST_INLINE_MAX_BYTES = 64 * 1024 };
enum { REQUEST_BIG_BYTES = 32 * 1024 }; /* from here a bulk is received into a blob */

struct request {
    struct slice *argv;  /* in the arena or in `own` */
    struct blob **blobs; /* NULL, or argc of them: the blob that argv[i] is the whole of, or NULL */
    uint32_t argc;
    bool owns;    /* something dies with it: blobs, or own, which is not set otherwise */
    size_t bytes; /* how many the request took */
    /* those bytes in one piece, with argv in it; NULL: they came in several, or in a rare form */
    const char *raw;
    void *own[3]; /* memory that dies with the request */
};

struct request_limits {
    int64_t bulk_max_bytes; /* proto-max-bulk-len */
    int64_t args_max;       /* INT32_MAX; 10 before authentication */
    bool unauthenticated;   /* bulks are then bounded to 16 KiB */
};

/* Slices for the argv of many requests; reset when all of them are done with. */
struct request_arena {
    VEC(struct slice *) full; /* chunks used up */
    struct slice *at;
    size_t left;
};

struct request_span {
    size_t at, n;      /* place in the connection's unread input */
    struct blob *blob; /* or the whole of this blob */
};

struct request_parser {
    bool open; /* a request has begun and is not whole */
    int64_t args_left;
    int64_t bulk_left; /* of the bulk under way; -1: its length line is not read yet */
    size_t at;         /* bytes of the input parsed so far, from the request's first byte */
    size_t bytes;      /* received into blobs of this request */
    VEC(struct request_span) spans;
    struct blob *big;  /* the blob being filled */
    const char *error; /* after REQUEST_BAD: the text behind "-ERR " */
    char error_text[64];
};

enum request_read {
    REQUEST_MORE,  /* not whole: read more, behind what is there or into request_parser_wants */
    REQUEST_WHOLE, /* *req is filled; its first `used` bytes may be dropped once it was executed */
    REQUEST_NONE,  /* `used` bytes were no request (an empty line or array): call again */
    REQUEST_BAD    /* a protocol error: answer, then close */
};

/* The next request from in, which is all that is unread of the connection and begins where the last
 * WHOLE or NONE ended (the same bytes again, and more, after MORE). */
enum request_read request_next(struct request_parser *p, const struct request_limits *l,
                               struct slice in, struct request_arena *arena, struct request *req,
                               size_t *used);

/* The same for many at once: fills up to `max` requests that lie in `in` one behind the other,
 * whole and in no way unusual, which nearly all are; how many those are. They used as many bytes as
 * they say. What stands behind them is for request_next. */
size_t request_next_plain(const struct request_parser *p, const struct request_limits *l,
                          struct slice in, struct request_arena *arena, struct request *to,
                          size_t max);

/* While a big bulk is under way: where its next bytes belong, and how many may be read there
 * (0: read into the buffer as usual). */
size_t request_parser_wants(struct request_parser *p, char **to);
void request_parser_filled(struct request_parser *p, size_t n);
size_t request_parser_bytes(const struct request_parser *p); /* memory held */
void request_parser_free(struct request_parser *p);

/* For one that outlives the input it points into: its small arguments are copied, and its own. */
void request_own(struct request *req);
void request_free_owned(struct request *req);

/* After it was executed. Nearly none owns anything. */
static inline void request_free(struct request *req)
{
    if (req->owns)
        request_free_owned(req);
}

void request_arena_reset(struct request_arena *a);
void request_arena_free(struct request_arena *a);

#endif

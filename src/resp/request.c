/* SPDX-License-Identifier: BSD-3-Clause */
#include "resp/request.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/words.h"

enum { ARENA_CHUNK_SLICES = 1024 };
enum { UNAUTHENTICATED_BULK_MAX_BYTES = 16384 }; /* what nobody vouches for gets no memory */
enum { FAST_ARGS_MAX = ARENA_CHUNK_SLICES };     /* more are not reserved before they arrive */

/* ------------------------------------------------------------------ memory */

static struct slice *arena_take(struct request_arena *a, size_t n)
{
    if (n > ARENA_CHUNK_SLICES)
        return NULL;
    if (a->left < n) {
        a->at = mem_get(ARENA_CHUNK_SLICES * sizeof(struct slice));
        a->left = ARENA_CHUNK_SLICES;
        *vec_add(&a->full) = a->at;
    }
    struct slice *got = a->at;
    a->at += n;
    a->left -= n;
    return got;
}

void request_arena_reset(struct request_arena *a)
{
    if (a->full.n == 0)
        return;
    for (size_t i = 1; i < a->full.n; i++)
        mem_free(a->full.at[i]);
    a->full.n = 1;
    a->at = a->full.at[0];
    a->left = ARENA_CHUNK_SLICES;
}

void request_arena_free(struct request_arena *a)
{
    for (size_t i = 0; i < a->full.n; i++)
        mem_free(a->full.at[i]);
    vec_free(&a->full);
    *a = (struct request_arena){0};
}

void request_own(struct request *req)
{
    size_t bytes = req->argc * sizeof(struct slice);
    for (uint32_t i = 0; i < req->argc; i++)
        bytes += req->blobs == NULL || req->blobs[i] == NULL ? req->argv[i].n : 0;
    struct slice *argv = mem_get(bytes);
    char *to = (char *)(argv + req->argc);
    for (uint32_t i = 0; i < req->argc; i++) {
        argv[i] = req->argv[i];
        if ((req->blobs != NULL && req->blobs[i] != NULL) || argv[i].n == 0)
            continue;
        memcpy(to, argv[i].p, argv[i].n);
        argv[i].p = to;
        to += argv[i].n;
    }
    if (!req->owns)
        memset(req->own, 0, sizeof(req->own));
    mem_free(req->own[0]);
    req->own[0] = argv;
    req->argv = argv;
    req->owns = true;
    req->raw = NULL;
}

void request_free_owned(struct request *req)
{
    if (req->blobs != NULL)
        for (uint32_t i = 0; i < req->argc; i++)
            if (req->blobs[i] != NULL)
                blob_drop(req->blobs[i], NULL);
    for (size_t i = 0; i < sizeof(req->own) / sizeof(req->own[0]); i++)
        mem_free(req->own[i]);
    *req = (struct request){0};
}

void request_parser_free(struct request_parser *p)
{
    for (size_t i = 0; i < p->spans.n; i++)
        if (p->spans.at[i].blob != NULL)
            blob_drop(p->spans.at[i].blob, NULL);
    if (p->big != NULL)
        blob_drop(p->big, NULL);
    vec_free(&p->spans);
    *p = (struct request_parser){0};
}

size_t request_parser_bytes(const struct request_parser *p)
{
    return p->bytes + (p->big != NULL ? p->big->n : 0) + p->spans.cap * sizeof(struct request_span);
}

size_t request_parser_wants(struct request_parser *p, char **to)
{
    if (p->big == NULL)
        return 0;
    *to = p->big->p + p->big->n;
    return p->big->cap - p->big->n;
}

void request_parser_filled(struct request_parser *p, size_t n)
{
    check(n <= p->big->cap - p->big->n);
    p->big->n += n;
}

/* ----------------------------------------------------------------- refusals */

static enum request_read bad(struct request_parser *p, const char *text)
{
    p->error = text;
    return REQUEST_BAD;
}

static enum request_read bad_dollar(struct request_parser *p, char got)
{
    static const char head[] = "Protocol error: expected '$', got '";
    memcpy(p->error_text, head, sizeof(head) - 1);
    p->error_text[sizeof(head) - 1] = got;
    memcpy(p->error_text + sizeof(head), "'", 2);
    return bad(p, p->error_text);
}

/* ------------------------------------------------------------- length lines */

enum line { LINE_MORE, LINE_OK, LINE_NO_NUMBER, LINE_TOO_LONG };

/* "<number>\r\n" at in[*at]; behind it then. */
static inline enum line line_number(struct slice in, size_t *at, int64_t *v)
{
    const char *p = in.p + *at;
    size_t left = in.n - *at;
    if (left >= 3 && p[1] == '\r') { /* one digit: nearly all there are */
        unsigned d = (unsigned char)p[0] - (unsigned)'0';
        if (d > 9)
            return LINE_NO_NUMBER;
        *v = d;
        *at += 3;
        return LINE_OK;
    }
    const char *end = memchr(p, '\r', left);
    if (end == NULL || (size_t)(end - p) + 1 >= left) {
        size_t line_n = end == NULL ? left : (size_t)(end - p);
        return line_n > REQUEST_INLINE_MAX_BYTES ? LINE_TOO_LONG : LINE_MORE;
    }
    if (!num_get_i64(slice_of(p, (size_t)(end - p)), v))
        return LINE_NO_NUMBER;
    *at += (size_t)(end - p) + 2;
    return LINE_OK;
}

/* "*<n>\r\n" at the begin of in. */
static enum request_read read_count(struct request_parser *p, const struct request_limits *l,
                                    struct slice in, size_t *at, int64_t *count)
{
    *at = 1;
    switch (line_number(in, at, count)) {
    case LINE_MORE: return REQUEST_MORE;
    case LINE_TOO_LONG: return bad(p, "Protocol error: too big mbulk count string");
    case LINE_NO_NUMBER: return bad(p, "Protocol error: invalid multibulk length");
    case LINE_OK: break;
    }
    if (*count > INT32_MAX)
        return bad(p, "Protocol error: invalid multibulk length");
    if (*count > l->args_max)
        return bad(p, "Protocol error: unauthenticated multibulk length");
    return *count <= 0 ? REQUEST_NONE : REQUEST_WHOLE;
}

/* "$<n>\r\n" at in[*at]. */
static inline enum request_read read_length(struct request_parser *p,
                                            const struct request_limits *l, struct slice in,
                                            size_t *at, int64_t *n)
{
    size_t here = *at + 1;
    if (*at >= in.n)
        return REQUEST_MORE;
    if (in.p[*at] != '$') {
        /* The type is judged once its line is whole, as Redis does. */
        if (memchr(in.p + *at, '\r', in.n - *at) == NULL)
            return in.n - *at > REQUEST_INLINE_MAX_BYTES
                       ? bad(p, "Protocol error: too big bulk count string")
                       : REQUEST_MORE;
        return bad_dollar(p, in.p[*at]);
    }
    switch (line_number(in, &here, n)) {
    case LINE_MORE: return REQUEST_MORE;
    case LINE_TOO_LONG: return bad(p, "Protocol error: too big bulk count string");
    case LINE_NO_NUMBER: return bad(p, "Protocol error: invalid bulk length");
    case LINE_OK: break;
    }
    if (*n < 0 || *n > l->bulk_max_bytes)
        return bad(p, "Protocol error: invalid bulk length");
    if (l->unauthenticated && *n > UNAUTHENTICATED_BULK_MAX_BYTES)
        return bad(p, "Protocol error: unauthenticated bulk length");
    *at = here;
    return REQUEST_WHOLE;
}

/* ------------------------------------------------------------------- arrays */

enum { SHORT_LENGTH_MAX = 99 };

/* A length and what is behind its line. */
struct length {
    const char *p; /* NULL: it is not whole, or unusual */
    size_t n;
};

/* "<mark><n>\r\n" at p with a number of 2 to 8 canonical digits. */
static struct length long_length(const char *p, const char *end, char mark)
{
    enum { DIGITS_MAX = 8 };
    const struct length none = {NULL, 0};
    if (*p++ != mark || *p == '0')
        return none;
    const char *first = p, *last = end - p > DIGITS_MAX + 2 ? p + DIGITS_MAX : end - 2;
    size_t sum = 0;
    for (; p < last; p++) {
        unsigned d = (unsigned char)*p - (unsigned)'0';
        if (d > 9)
            break;
        sum = sum * 10 + d;
    }
    return p == first || *p != '\r' ? none : (struct length){p + 2, sum};
}

/* The same for any number of canonical digits up to 8. Nearly all have one or two, and are judged
 * as one word; its end may be one byte behind the input's. */
static inline struct length plain_length(const char *p, const char *end, char mark)
{
    const uint32_t first = (unsigned char)mark, cr = '\r';
    uint32_t w;
    if (end - p < (ptrdiff_t)sizeof(w))
        return (struct length){NULL, 0};
    memcpy(&w, p, sizeof(w)); /* little-endian is checked by configure */
    uint32_t a = (w >> 8 & 0xff) - '0', b = (w >> 16 & 0xff) - '0';
    if ((w & 0x00ff00ff) == (first | cr << 16))
        return (struct length){a <= 9 ? p + 4 : NULL, a};
    if ((w & 0xff0000ff) == (first | cr << 24) && a - 1 <= 8 && b <= 9)
        return (struct length){p + 5, 10 * a + b};
    return long_length(p, end, mark);
}

/* One request that is all there and in no way unusual, without looking twice at anything, its
 * arguments into argv: where it ends. NULL where there is something to say or to wait for. */
static inline const char *read_plain(const struct request_limits *l, const char *begin,
                                     const char *end, struct slice *argv, size_t args_max,
                                     struct request *req)
{
    struct length count = plain_length(begin, end, '*');
    const char *p = count.p;
    if (p == NULL || count.n - 1 >= args_max)
        return NULL;
    for (size_t i = 0; i < count.n; i++) {
        struct length bulk = plain_length(p, end, '$');
        p = bulk.p;
        if (p == NULL || end - p < (ptrdiff_t)bulk.n + 2)
            return NULL;
        if (bulk.n > SHORT_LENGTH_MAX && (int64_t)bulk.n > l->bulk_max_bytes)
            return NULL;
        argv[i] = slice_of(p, bulk.n);
        p += bulk.n + 2;
    }
    req->argv = argv;
    req->blobs = NULL;
    req->argc = (uint32_t)count.n;
    req->owns = false;
    req->bytes = (size_t)(p - begin);
    req->raw = begin;
    return p;
}

size_t request_next_plain(const struct request_parser *p, const struct request_limits *l,
                          struct slice in, struct request_arena *arena, struct request *to,
                          size_t max)
{
    size_t n = 0, left = arena->left;
    if (p->open || l->unauthenticated || l->bulk_max_bytes < SHORT_LENGTH_MAX || in.n == 0 ||
        in.p[0] != '*')
        return 0;
    struct slice *argv = arena->at;
    for (const char *at = in.p, *end = in.p + in.n; n < max; n++) {
        at = read_plain(l, at, end, argv, left, &to[n]);
        if (at == NULL)
            break;
        argv += to[n].argc;
        left -= to[n].argc;
    }
    arena->at = argv;
    arena->left = left;
    return n;
}

/* The whole request at once, into the arena. MORE leaves no trace. */
static enum request_read read_fast(struct request_parser *p, const struct request_limits *l,
                                   struct slice in, struct request_arena *arena,
                                   struct request *req, size_t *used)
{
    int64_t count;
    size_t at;
    enum request_read r = read_count(p, l, in, &at, &count);
    if (r == REQUEST_NONE)
        *used = at;
    if (r != REQUEST_WHOLE)
        return r;
    if (count > FAST_ARGS_MAX)
        return REQUEST_MORE;
    struct request_arena before = *arena;
    struct slice *argv = arena_take(arena, (size_t)count);
    for (int64_t i = 0; i < count; i++) {
        int64_t n = 0;
        r = read_length(p, l, in, &at, &n);
        if (r == REQUEST_WHOLE && in.n - at < (size_t)n + 2)
            r = REQUEST_MORE;
        if (r != REQUEST_WHOLE) {
            if (arena->full.n == before.full.n) { /* no new chunk: give the slices back */
                arena->at = before.at;
                arena->left = before.left;
            }
            return r;
        }
        argv[i] = slice_of(in.p + at, (size_t)n);
        at += (size_t)n + 2;
    }
    *req = (struct request){.argv = argv, .argc = (uint32_t)count, .bytes = at};
    *used = at;
    return REQUEST_WHOLE;
}

/* One more argument of a request that comes in pieces; WHOLE when it is there. */
static enum request_read slow_argument(struct request_parser *p, const struct request_limits *l,
                                       struct slice in)
{
    if (p->bulk_left < 0) {
        enum request_read r = read_length(p, l, in, &p->at, &p->bulk_left);
        if (r != REQUEST_WHOLE)
            return r;
        if (p->bulk_left >= REQUEST_BIG_BYTES && in.n - p->at < (size_t)p->bulk_left + 2) {
            p->big = blob_try((size_t)p->bulk_left);
            if (p->big == NULL)
                return bad(p, "Protocol error: out of memory for a bulk of this length");
        }
    }
    if (p->big != NULL) {
        size_t take = p->big->cap - p->big->n;
        if (take > in.n - p->at)
            take = in.n - p->at;
        memcpy(p->big->p + p->big->n, in.p + p->at, take);
        p->big->n += take;
        p->at += take;
        if (p->big->n < p->big->cap || in.n - p->at < 2)
            return REQUEST_MORE;
        p->at += 2;
        p->bytes += p->big->cap;
        *vec_add(&p->spans) = (struct request_span){.blob = p->big};
        p->big = NULL;
    } else {
        size_t n = (size_t)p->bulk_left;
        if (in.n - p->at < n + 2)
            return REQUEST_MORE;
        *vec_add(&p->spans) = (struct request_span){.at = p->at, .n = n};
        p->at += n + 2;
    }
    p->bulk_left = -1;
    return REQUEST_WHOLE;
}

/* The collected spans become a request, which takes their blobs. */
static void slow_finish(struct request_parser *p, struct slice in, struct request_arena *arena,
                        struct request *req)
{
    size_t n = p->spans.n;
    *req = (struct request){.argc = (uint32_t)n, .bytes = p->at + p->bytes};
    req->argv = arena_take(arena, n);
    if (req->argv == NULL)
        req->argv = req->own[0] = mem_get(n * sizeof(struct slice));
    if (p->bytes > 0)
        req->blobs = req->own[1] = mem_zero(n * sizeof(struct blob *));
    req->owns = req->own[0] != NULL || req->blobs != NULL;
    for (size_t i = 0; i < n; i++) {
        struct request_span *s = &p->spans.at[i];
        req->argv[i] = s->blob != NULL ? blob_slice(s->blob) : slice_of(in.p + s->at, s->n);
        if (s->blob != NULL)
            req->blobs[i] = s->blob;
    }
    p->spans.n = 0;
    request_parser_free(p);
}

static enum request_read read_slow(struct request_parser *p, const struct request_limits *l,
                                   struct slice in, struct request_arena *arena,
                                   struct request *req, size_t *used)
{
    if (!p->open) {
        int64_t count;
        size_t at;
        enum request_read r = read_count(p, l, in, &at, &count);
        if (r != REQUEST_WHOLE)
            return r;
        *p = (struct request_parser){.open = true, .args_left = count, .bulk_left = -1, .at = at};
    }
    for (; p->args_left > 0; p->args_left--) {
        enum request_read r = slow_argument(p, l, in);
        if (r != REQUEST_WHOLE)
            return r;
    }
    *used = p->at;
    slow_finish(p, in, arena, req);
    return REQUEST_WHOLE;
}

/* ------------------------------------------------------------------- inline */

static enum request_read read_inline(struct request_parser *p, struct slice in, struct request *req,
                                     size_t *used)
{
    const char *end = memchr(in.p, '\n', in.n);
    if (end == NULL)
        return in.n > REQUEST_INLINE_MAX_BYTES ? bad(p, "Protocol error: too big inline request")
                                               : REQUEST_MORE;
    struct slice line = slice_of(in.p, (size_t)(end - in.p));
    *used = line.n + 1;
    if (line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    struct words w = {0};
    if (words_split(&w, line) != ERR_OK) {
        words_free(&w);
        return bad(p, "Protocol error: unbalanced quotes in request");
    }
    if (w.list.n == 0) {
        words_free(&w);
        return REQUEST_NONE;
    }
    *req = (struct request){.argv = w.list.at,
                            .argc = (uint32_t)w.list.n,
                            .bytes = *used,
                            .owns = true,
                            .own = {w.list.at, w.text}};
    return REQUEST_WHOLE;
}

enum request_read request_next(struct request_parser *p, const struct request_limits *l,
                               struct slice in, struct request_arena *arena, struct request *req,
                               size_t *used)
{
    if (!p->open) {
        if (in.n == 0)
            return REQUEST_MORE;
        if (in.p[0] != '*')
            return read_inline(p, in, req, used);
        if (request_next_plain(p, l, in, arena, req, 1) > 0) {
            *used = req->bytes;
            return REQUEST_WHOLE;
        }
        enum request_read r = read_fast(p, l, in, arena, req, used);
        if (r != REQUEST_MORE)
            return r;
    }
    return read_slow(p, l, in, arena, req, used);
}

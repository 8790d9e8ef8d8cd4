/* SPDX-License-Identifier: BSD-3-Clause */
#include "resp/request.h"

#include <hiredis/read.h>
#include <stdlib.h>

#include <stdio.h>

#include "base/buf.h"
#include "base/rng.h"
#include "tests/lib/unit.h"

static const struct request_limits limits = {.bulk_max_bytes = 512 * 1024 * 1024, .args_max = INT32_MAX};

/* A connection fed in pieces: what was read of its input so far, as text "a|b;c|d;" or "!error". */
struct feed {
    struct request_parser parser;
    struct request_arena arena;
    const struct request_limits *limits;
    struct buf unread;
    struct buf seen;
    bool bad;
};

static void feed_init(struct feed *f)
{
    *f = (struct feed){.limits = &limits};
    buf_init(&f->unread, SIZE_MAX / 2);
    buf_init(&f->seen, SIZE_MAX / 2);
}

static void feed_free(struct feed *f)
{
    request_parser_free(&f->parser);
    request_arena_free(&f->arena);
    buf_free(&f->unread);
    buf_free(&f->seen);
}

static void saw(struct feed *f, struct slice s)
{
    assert_int_equal(buf_add(&f->seen, s), ERR_OK);
}

static void feed(struct feed *f, struct slice in)
{
    while (in.n > 0 && !f->bad) {
        char *to;
        size_t want = request_parser_wants(&f->parser, &to);
        if (want > 0) { /* as the socket would: straight into the blob */
            size_t take = want < in.n ? want : in.n;
            memcpy(to, in.p, take);
            request_parser_filled(&f->parser, take);
            in = slice_from(in, take);
        } else {
            assert_int_equal(buf_add(&f->unread, slice_of(in.p, in.n)), ERR_OK);
            in.n = 0;
        }
        for (;;) {
            struct request req;
            size_t used = 0;
            enum request_read r = request_next(&f->parser, f->limits, buf_slice(&f->unread), &f->arena, &req, &used);
            if (r == REQUEST_MORE)
                break;
            if (r == REQUEST_BAD) {
                f->bad = true;
                saw(f, SLICE("!"));
                saw(f, slice_str(f->parser.error));
                break;
            }
            if (r == REQUEST_WHOLE) {
                for (uint32_t i = 0; i < req.argc; i++) {
                    saw(f, req.argv[i]);
                    saw(f, i + 1 < req.argc ? SLICE("|") : SLICE(";"));
                }
                request_free(&req);
            }
            buf_drop_front(&f->unread, used);
            request_arena_reset(&f->arena);
        }
    }
}

static void expect_with(const struct request_limits *l, struct slice in, struct slice want, size_t piece)
{
    struct feed f;
    feed_init(&f);
    f.limits = l;
    for (size_t at = 0; at < in.n; at += piece)
        feed(&f, slice_head(slice_from(in, at), piece));
    assert_int_equal(f.seen.n, want.n);
    if (want.n > 0)
        assert_memory_equal(f.seen.p, want.p, want.n);
    feed_free(&f);
}

struct row {
    struct slice in, want;
};

static void every_cut_reads_the_same(void **state)
{
    (void)state;
    const struct row rows[] = {
        {SLICE("*1\r\n$4\r\nPING\r\n"), SLICE("PING;")},
        {SLICE("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\n$4\r\nPING\r\n"), SLICE("GET|k;PING;")},
        {SLICE("*3\r\n$3\r\nSET\r\n$0\r\n\r\n$3\r\n\r\n\0\r\n"), SLICE("SET||\r\n\0;")},
        {SLICE("*0\r\n*-1\r\n\r\n   \r\nPING\r\n"), SLICE("PING;")},
        {SLICE("set k \"a b\\x41\\n\" 'c\\'d' e\n"), SLICE("set|k|a bA\n|c'd|e;")},
        {SLICE("*1\r\n$0010\r\n"), SLICE("!Protocol error: invalid bulk length")},
        {SLICE("*1\r\n$10\r\n0123456789\r\nPING\r\n"), SLICE("0123456789;PING;")},
        {SLICE("*1\r\n+PING\r\n"), SLICE("!Protocol error: expected '$', got '+'")},
        {SLICE("*abc\r\n"), SLICE("!Protocol error: invalid multibulk length")},
        {SLICE("*2147483648\r\n"), SLICE("!Protocol error: invalid multibulk length")},
        {SLICE("*1\r\n$-1\r\n"), SLICE("!Protocol error: invalid bulk length")},
        {SLICE("*1\r\n$536870913\r\n"), SLICE("!Protocol error: invalid bulk length")},
        {SLICE("PING \"unbalanced\r\n"), SLICE("!Protocol error: unbalanced quotes in request")},
        {SLICE("PING \"x\"y\r\n"), SLICE("!Protocol error: unbalanced quotes in request")},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        for (size_t piece = 1; piece <= rows[i].in.n; piece++)
            expect_with(&limits, rows[i].in, rows[i].want, piece);
}

static void what_nobody_vouches_for_is_narrow(void **state)
{
    (void)state;
    const struct request_limits narrow = {.bulk_max_bytes = 512 * 1024 * 1024, .args_max = 10, .unauthenticated = true};
    expect_with(&narrow, SLICE("*11\r\n"), SLICE("!Protocol error: unauthenticated multibulk length"), 1);
    expect_with(&narrow, SLICE("*1\r\n$16385\r\n"), SLICE("!Protocol error: unauthenticated bulk length"), 1);
    expect_with(&narrow, SLICE("*1\r\n$16384\r\n"), SLICE(""), 1);
}

static void lines_without_an_end_are_refused(void **state)
{
    (void)state;
    static const struct {
        char first;
        const char *want;
    } rows[] = {{'x', "!Protocol error: too big inline request"}, {'*', "!Protocol error: too big mbulk count string"}};
    char *line = malloc(REQUEST_INLINE_MAX_BYTES + 2);
    memset(line, '1', REQUEST_INLINE_MAX_BYTES + 2);
    for (size_t i = 0; i < 2; i++) {
        line[0] = rows[i].first;
        expect_with(&limits, slice_of(line, REQUEST_INLINE_MAX_BYTES), SLICE(""), 4096);
        expect_with(&limits, slice_of(line, REQUEST_INLINE_MAX_BYTES + 2), slice_str(rows[i].want), 4096);
    }
    free(line);
}

static void a_big_bulk_goes_straight_into_a_blob(void **state)
{
    (void)state;
    enum { N = 300000 };
    char *text = malloc(N + 64);
    size_t head = (size_t)sprintf(text, "*2\r\n$4\r\nECHO\r\n$%d\r\n", N);
    memset(text + head, 'v', N);
    memcpy(text + head + N, "\r\n*1\r\n$4\r\nPING\r\n", 16);
    for (size_t piece = 1000; piece < N; piece += 77777) {
        struct feed f;
        feed_init(&f);
        for (size_t at = 0; at < head + N + 16; at += piece) {
            feed(&f, slice_head(slice_of(text + at, head + N + 16 - at), piece));
            assert_true(f.unread.n < 2 * piece + 64); /* P3: the value is not collected twice */
        }
        assert_int_equal(f.seen.n, 5 + N + 1 + 5);
        assert_memory_equal(f.seen.p + 5 + N, ";PING;", 6);
        feed_free(&f);
    }
    free(text);
}

static void nothing_is_reserved_for_an_announcement(void **state)
{
    (void)state;
    struct feed f;
    feed_init(&f);
    feed(&f, SLICE("*1000000000\r\n$3\r\nSET\r\n"));
    assert_true(request_parser_bytes(&f.parser) < 4096);
    feed_free(&f);
}

/* ----------------------------------------- held to hiredis' reading */

static void random_array(struct rng *rng, struct buf *to)
{
    char line[64];
    size_t argc = 1 + rng_below(rng, 6);
    if (rng_below(rng, 40) == 0)
        argc = 1 + rng_below(rng, 2000);
    assert_int_equal(buf_add(to, slice_of(line, (size_t)sprintf(line, "*%zu\r\n", argc))), ERR_OK);
    for (size_t i = 0; i < argc; i++) {
        size_t n = rng_below(rng, 50) == 0 ? rng_below(rng, 50000) : rng_below(rng, 20);
        assert_int_equal(buf_add(to, slice_of(line, (size_t)sprintf(line, "$%zu\r\n", n))), ERR_OK);
        assert_int_equal(buf_room(to, n + 2), ERR_OK);
        for (size_t j = 0; j < n; j++)
            to->p[to->n++] = (char)rng_below(rng, 256);
        assert_int_equal(buf_add(to, SLICE("\r\n")), ERR_OK);
    }
}

static void *reader_string(const redisReadTask *task, char *p, size_t n)
{
    struct buf *seen = task->privdata;
    assert_int_equal(buf_add(seen, slice_of(p, n)), ERR_OK);
    bool last = task->parent != NULL && (size_t)task->idx + 1 == (size_t)task->parent->elements;
    assert_int_equal(buf_add(seen, last ? SLICE(";") : SLICE("|")), ERR_OK);
    return seen;
}

static void *reader_array(const redisReadTask *task, int n)
{
    (void)n;
    return task->privdata;
}

static void reader_free(void *p)
{
    (void)p;
}

static void hiredis_reads_the_same(void **state)
{
    (void)state;
    redisReplyObjectFunctions functions = {.createString = reader_string, .createArray = reader_array,
                                           .freeObject = reader_free};
    struct rng rng;
    rng_seed(&rng, 7);
    for (int round = 0; round < 300; round++) {
        struct buf in, theirs;
        buf_init(&in, SIZE_MAX / 2);
        buf_init(&theirs, SIZE_MAX / 2);
        size_t requests = 1 + rng_below(&rng, 5);
        for (size_t i = 0; i < requests; i++)
            random_array(&rng, &in);

        redisReader *reader = redisReaderCreateWithFunctions(&functions);
        reader->privdata = &theirs;
        reader->maxbuf = 0;
        assert_int_equal(redisReaderFeed(reader, in.p, in.n), REDIS_OK);
        for (size_t i = 0; i < requests; i++) {
            void *got = NULL;
            assert_int_equal(redisReaderGetReply(reader, &got), REDIS_OK);
            assert_non_null(got);
        }
        redisReaderFree(reader);

        struct feed f;
        feed_init(&f);
        for (size_t at = 0; at < in.n;) {
            size_t piece = 1 + rng_below(&rng, rng_below(&rng, 2) == 0 ? 40 : in.n);
            feed(&f, slice_head(slice_from(buf_slice(&in), at), piece));
            at += piece;
        }
        assert_int_equal(f.seen.n, theirs.n);
        assert_memory_equal(f.seen.p, theirs.p, theirs.n);
        feed_free(&f);
        buf_free(&in);
        buf_free(&theirs);
    }
}

/* A third parser would agree with neither: up to any cut, all at once are those one by one. */
static void many_at_once_are_those_one_by_one(void **state)
{
    (void)state;
    struct slice in = SLICE("*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$12\r\nk23456789012\r\n*1\r\n$0\r\n\r\n"
                            "*11\r\n$1\r\n0\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\n4\r\n$1\r\n5\r\n$1\r\n6\r\n"
                            "$1\r\n7\r\n$1\r\n8\r\n$1\r\n9\r\n$100\r\n"
                            "0123456789012345678901234567890123456789012345678901234567890123456789"
                            "012345678901234567890123456789\r\n*1\r\n$4\r\nPING\r\nPING\r\n");
    struct request_parser parser = {0};
    struct request_arena arena = {0};
    struct request many[8], one;
    size_t used;
    assert_int_equal(request_next(&parser, &limits, SLICE("*1\r\n$1\r\nx\r\n"), &arena, &one, &used), REQUEST_WHOLE);
    for (size_t cut = 0; cut <= in.n; cut++) {
        char *exact = malloc(cut + 1); /* so that a byte too many is seen */
        memcpy(exact, in.p, cut);
        struct slice head = slice_of(exact, cut);
        size_t n = request_next_plain(&parser, &limits, head, &arena, many, 8);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(request_next(&parser, &limits, head, &arena, &one, &used), REQUEST_WHOLE);
            assert_int_equal(many[i].bytes, used);
            assert_int_equal(many[i].argc, one.argc);
            assert_true(many[i].raw == head.p && one.raw == head.p);
            for (uint32_t k = 0; k < one.argc; k++)
                assert_true(many[i].argv[k].p == one.argv[k].p && many[i].argv[k].n == one.argv[k].n);
            head = slice_from(head, used);
        }
        if (cut == in.n)
            assert_int_equal(n, 5); /* but the inline one */
        request_arena_reset(&arena);
        free(exact);
    }
    assert_int_equal(request_next(&parser, &limits, SLICE("PING\r\n"), &arena, &one, &used), REQUEST_WHOLE);
    assert_true(one.raw == NULL);
    request_free(&one);
    struct request_limits narrow = {.bulk_max_bytes = INT32_MAX, .args_max = 10, .unauthenticated = true};
    assert_int_equal(request_next_plain(&parser, &narrow, in, &arena, many, 8), 0);
    request_arena_free(&arena);
}

UNIT_TESTS("request",
           TEST(many_at_once_are_those_one_by_one, "many at once are those that come one by one, up to any cut"),
           TEST(every_cut_reads_the_same, "every cut of the input reads the same (P2, P4)"),
           TEST(what_nobody_vouches_for_is_narrow, "before authentication arrays and bulks are narrow"),
           TEST(lines_without_an_end_are_refused, "a line without an end is refused past 64 KiB"),
           TEST(a_big_bulk_goes_straight_into_a_blob, "a big bulk is received into a blob of its own (P3)"),
           TEST(nothing_is_reserved_for_an_announcement, "an announced billion of arguments reserves nothing (P3)"),
           TEST(hiredis_reads_the_same, "hiredis reads the same requests out of the same bytes"))

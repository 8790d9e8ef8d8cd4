/* SPDX-License-Identifier: BSD-3-Clause */

/* The request parser: an input read whole and read byte by byte must come to the same requests (P2,
 * P4), and no input may make it read beyond what it was given. */
#include <stdlib.h>

#include "base/buf.h"
#include "base/check.h"
#include "resp/request.h"
#include "tests/fuzz/fuzz.h"

const char fuzz_name[] = "the request parser";
FUZZ_EXAMPLES(FUZZ_EXAMPLE("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nhello\r\n*1\r\n$4\r\nPING\r\n"),
              FUZZ_EXAMPLE("SET k \"a\\x41\\n\" 'b\\'c'\r\nPING\r\n"), FUZZ_EXAMPLE("*0\r\n*-1\r\n\r\n*1\r\n$0\r\n\r\n"),
              FUZZ_EXAMPLE("*2\r\n$3\r\nGET\r\n$40000\r\nxyz"), FUZZ_EXAMPLE("*1000\r\n$1\r\na\r\n$1\r\nb\r\n"));

static const struct request_limits limits = {.bulk_max_bytes = 1024 * 1024, .args_max = INT32_MAX};

static void note(struct buf *seen, struct slice s)
{
    check(buf_add(seen, slice_of(&s.n, sizeof(s.n))) == ERR_OK);
    check(buf_add(seen, s) == ERR_OK);
}

/* Those that are in no way unusual come together. */
static size_t read_plain(const struct request_parser *parser, struct slice in, struct request_arena *arena,
                         struct buf *seen)
{
    struct request many[3];
    size_t used = 0, n = request_next_plain(parser, &limits, in, arena, many, 3);
    for (size_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < many[i].argc; k++)
            note(seen, many[i].argv[k]);
        note(seen, SLICE(";"));
        used += many[i].bytes;
        request_free(&many[i]);
    }
    return used;
}

static void read_all(struct slice in, size_t piece, struct buf *seen)
{
    struct request_parser parser = {0};
    struct request_arena arena = {0};
    size_t at = 0, have = 0;
    bool bad = false;
    while (have < in.n && !bad) {
        have = in.n - have > piece ? have + piece : in.n;
        for (enum request_read r = REQUEST_NONE; r != REQUEST_MORE && !bad;) {
            struct request req;
            size_t used = 0;
            char *exact = malloc(have - at + 1);
            memcpy(exact, in.p + at, have - at);
            at += read_plain(&parser, slice_of(exact, have - at), &arena, seen);
            memmove(exact, in.p + at, have - at);
            r = request_next(&parser, &limits, slice_of(exact, have - at), &arena, &req, &used);
            if (r == REQUEST_WHOLE) {
                for (uint32_t i = 0; i < req.argc; i++)
                    note(seen, req.argv[i]);
                note(seen, SLICE(";"));
                request_free(&req);
            }
            if (r == REQUEST_BAD) {
                note(seen, slice_str(parser.error));
                bad = true;
            }
            if (r == REQUEST_WHOLE || r == REQUEST_NONE) {
                check(used > 0 && used <= have - at);
                at += used;
            }
            request_arena_reset(&arena);
            free(exact);
        }
    }
    request_parser_free(&parser);
    request_arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct slice in = slice_of(p, n);
    struct buf whole, pieces;
    buf_init(&whole, SIZE_MAX / 2);
    buf_init(&pieces, SIZE_MAX / 2);
    read_all(in, n > 0 ? n : 1, &whole);
    read_all(in, 1, &pieces);
    check(slice_equal(buf_slice(&whole), buf_slice(&pieces)));
    buf_free(&whole);
    buf_free(&pieces);
    return 0;
}

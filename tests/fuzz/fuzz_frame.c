/* SPDX-License-Identifier: BSD-3-Clause */

/* Where a reply ends: read whole, and read byte by byte, it ends at the same place; and no
 * RESP2 reply is whole for hiredis' reader before it is here. */
#include <stdlib.h>

#include "base/check.h"
#include "resp/frame.h"
#include "resp/reply.h"
#include "tests/fuzz/fuzz.h"

const char fuzz_name[] = "the end of a reply";
FUZZ_EXAMPLES(FUZZ_EXAMPLE("*3\r\n$3\r\nabc\r\n:12\r\n*2\r\n$-1\r\n+OK\r\n"),
              FUZZ_EXAMPLE("-ERR no\r\n"), FUZZ_EXAMPLE("%2\r\n+a\r\n:1\r\n+b\r\n~1\r\n,1.5\r\n"),
              FUZZ_EXAMPLE("|1\r\n+ttl\r\n:1\r\n*1\r\n#t\r\n"), FUZZ_EXAMPLE("*-1\r\n$5\r\nhello\r\n"),
              FUZZ_EXAMPLE("=7\r\ntxt:abc\r\n_\r\n(12\r\n>2\r\n+a\r\n+b\r\n"), FUZZ_EXAMPLE("$0\r\n\r\n*0\r\n:0\r\n"));

/* All that is there in pieces: how it ends is noted for each reply. */
static size_t ends(struct slice in, size_t piece, size_t *to, size_t to_n)
{
    struct frame f = {0};
    size_t n = 0, begin = 0, have = 0;
    while (have < in.n) {
        have = in.n - have > piece ? have + piece : in.n;
        enum frame_found found = FRAME_WHOLE;
        while (found == FRAME_WHOLE && n < to_n && begin < have) {
            char *exact = malloc(have - begin + 1);
            memcpy(exact, in.p + begin, have - begin);
            found = frame_end(&f, slice_of(exact, have - begin));
            free(exact);
            if (found != FRAME_WHOLE)
                break;
            check(f.at > 0 && f.at <= have - begin);
            begin += f.at;
            to[n++] = begin;
            f = (struct frame){0};
        }
        if (found == FRAME_BAD)
            break;
    }
    return n;
}

/* Without its last byte it is no whole reply for hiredis either, as far as that reads it at all. */
static void not_earlier(struct slice in, size_t end)
{
    static const struct answer_limits limits = {.bytes_max = 1024 * 1024, .elements_max = 1024 * 1024};
    struct answer_reader *r = answer_reader_new(&limits);
    struct answer *a = NULL;
    check(r != NULL);
    if (strchr("+-:$*", in.p[0]) != NULL && answer_feed(r, slice_head(in, end - 1)) == ERR_OK) {
        bool early = answer_next(r, &a) == ERR_OK && a != NULL;
        answer_free(a);
        check(!early);
    }
    answer_reader_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    enum { MANY = 64 };
    struct slice in = slice_of(p, n);
    size_t whole[MANY], bytes[MANY];
    size_t found = ends(in, n + 1, whole, MANY);
    check(ends(in, 1, bytes, MANY) == found);
    check(found == 0 || memcmp(whole, bytes, found * sizeof(whole[0])) == 0);
    if (found > 0)
        not_earlier(in, whole[0]);
    return 0;
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* Frames between nodes: the first byte says who speaks and whether the connection is open. What is read
 * as a message by its getter is written again, and must be read back as the same bytes (W2); nothing may
 * read beyond what it was given. Before the handshake the bytes go to the handshake itself. */
#include <stdlib.h>

#include "base/check.h"
#include "tests/fuzz/fuzz.h"
#include "wire/hello.h"
#include "wire/wire_member.h"
#include "wire/wire_repl.h"

const char fuzz_name[] = "the frames between nodes";

#define HEX20 "0101010101010101010101010101010101010101"
#define HEX20B "0202020202020202020202020202020202020202"
#define HEX32 "0303030303030303030303030303030303030303030303030303030303030303"
FUZZ_EXAMPLES(
    FUZZ_EXAMPLE("a*7\r\n$10\r\nVONG.HELLO\r\n$1\r\n1\r\n$40\r\n" HEX20B "\r\n$40\r\n" HEX20
                 "\r\n$1\r\n3\r\n$7\r\ncontrol\r\n$64\r\n" HEX32
                 "\r\n*2\r\n$10\r\nVONG.PROOF\r\n$0\r\n\r\n"),
    FUZZ_EXAMPLE("d*5\r\n$14\r\nVONG.CHALLENGE\r\n$40\r\n" HEX20B "\r\n$40\r\n" HEX20
                 "\r\n$1\r\n3\r\n$64\r\n" HEX32 "\r\n*2\r\n$12\r\nVONG.WELCOME\r\n$0\r\n\r\n"),
    FUZZ_EXAMPLE("o*3\r\n$12\r\nVONG.REFUSED\r\n$5\r\nproof\r\n$2\r\nno\r\n"),
    FUZZ_EXAMPLE("o*3\r\n$12\r\nVONG.REFUSED\r\n$7\r\nunknown\r\n$0\r\n\r\n"),
    FUZZ_EXAMPLE(
        "o*12\r\n$9\r\nVONG.BEAT\r\n$1\r\n3\r\n$3\r\n123\r\n$1\r\n7\r\n$1\r\n1\r\n$2\r\n99\r\n$"
        "4\r\n1000\r\n$1\r\n5\r\n$1\r\n6\r\n"
        "$1\r\n2\r\n$0\r\n\r\n$3\r\n100\r\n*3\r\n$9\r\nVONG.ECHO\r\n$1\r\n3\r\n$4\r\n1000\r\n"
        "*4\r\n$9\r\nVONG.SEEN\r\n$1\r\n3\r\n$4\r\n1000\r\n$1\r\n8\r\n"),
    FUZZ_EXAMPLE("o*14\r\n$11\r\nVONG.GOSSIP\r\n$1\r\n0\r\n$1\r\n8\r\n$40\r\n" HEX20
                 "\r\n$1\r\n1\r\n$40\r\n" HEX20
                 "\r\n$1\r\n3\r\n$4\r\n1000\r\n$1\r\n1\r\n$1\r\n7\r\n$1\r\n5\r\n$1\r\n6\r\n$"
                 "3\r\n100\r\n$0\r\n\r\n"
                 "*2\r\n$10\r\nVONG.PROBE\r\n$40\r\n" HEX20
                 "\r\n*10\r\n$11\r\nVONG.PROBED\r\n$40\r\n" HEX20
                 "\r\n$1\r\n3\r\n$4\r\n1000\r\n$1\r\n1\r\n$1\r\n7\r\n$1\r\n5\r\n$1\r\n6\r\n$"
                 "3\r\n100\r\n$2\r\n12\r\n"),
    FUZZ_EXAMPLE("o*5\r\n$14\r\nVONG.REPL.FROM\r\n$1\r\n1\r\n$1\r\n5\r\n$1\r\n3\r\n$1\r\n1\r\n"
                 "*6\r\n$16\r\nVONG.REPL.APPEND\r\n$2\r\n12\r\n$1\r\n5\r\n$1\r\n3\r\n$1\r\n2\r\n$3\r\n#V \r\n"
                 "*7\r\n$16\r\nVONG.REPL.JOINED\r\n$2\r\n12\r\n$1\r\n9\r\n$1\r\n1\r\n$1\r\n5\r\n$1\r\n3\r\n$1\r\n1\r\n"),
    FUZZ_EXAMPLE("o*7\r\n$14\r\nVONG.REPL.SYNC\r\n$1\r\n1\r\n$1\r\n5\r\n$1\r\n3\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n7\r\n"
                 "*5\r\n$15\r\nVONG.REPL.JOINS\r\n$1\r\n1\r\n$1\r\n5\r\n$1\r\n3\r\n$1\r\n1\r\n"
                 "*3\r\n$13\r\nVONG.REPL.ACK\r\n$2\r\n12\r\n$2\r\n11\r\n"
                 "*2\r\n$17\r\nVONG.REPL.LEAVING\r\n$4\r\ndisk\r\n"),
    FUZZ_EXAMPLE("o*6\r\n$14\r\nVONG.REPL.DUMP\r\n$1\r\n5\r\n$1\r\n3\r\n$1\r\n1\r\n$1\r\n0\r\n$1\r\nx\r\n"
                 "*10\r\n$16\r\nVONG.REPL.DUMPED\r\n$1\r\n5\r\n$1\r\n3\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n3\r\n$1\r\n7\r\n"
                 "$1\r\n1\r\n$1\r\n3\r\n$1\r\n1\r\n*2\r\n$15\r\nVONG.REPL.ALIVE\r\n$2\r\n12\r\n"));

static void shake_hands(bool dials, struct slice in)
{
    struct hello_self self = {.cluster = {{2}}, .id = {{7}}, .incarnation = 1};
    memset(self.cluster.b, 2, sizeof(self.cluster.b));
    const uint8_t nonce[HELLO_NONCE_BYTES] = {9};
    struct hello h;
    struct chain out = {0};
    size_t used;
    if (dials)
        hello_dial(&h, &self, HELLO_CONTROL, NULL, nonce, &out);
    else
        hello_answer(&h, &self, nonce);
    enum hello_verdict v = hello_step(&h, &self, in, &used, &out);
    check(used <= in.n);
    check(v != HELLO_REFUSED || h.why[0] != '\0' || h.by_peer);
    hello_free(&h);
    chain_free(&out, NULL);
}

static bool again_repl(struct wire_in *in, struct chain *out)
{
    struct repl_read read = {0};
    struct repl_message m;
    bool good = get_repl(in, &m, &read) == ERR_OK;
    if (good)
        put_repl(out, &m);
    repl_read_free(&read);
    return good;
}

/* Reads the message and writes it again; false: it was refused. */
static bool again(struct wire_in *in, struct chain *out)
{
    struct member_msg msg;
    if (wire_is_member(in->type)) {
        if (get_member(in, &msg) != ERR_OK)
            return false;
        put_member(out, &msg);
        return true;
    }
    if (in->type >= WIRE_REPL_FROM && in->type <= WIRE_REPL_LEAVING)
        return again_repl(in, out);
    enum hello_refusal refusal;
    char text[WIRE_WHY_BYTES];
    switch ((int)in->type) {
    case WIRE_REFUSED:
        if (get_refused(in, &refusal, text) != ERR_OK)
            return false;
        if (refusal < HELLO_REFUSALS_N)
            put_refused(out, refusal, text);
        return refusal < HELLO_REFUSALS_N;
    default:
        check(in->type < WIRE_TYPES);
        return false; /* the handshake's, which shake_hands reads */
    }
}

static void read_open(struct slice in, int depth)
{
    struct wire_reader r = {.from = WIRE_EITHER, .open = true};
    struct wire_in frame;
    size_t used = 0;
    for (size_t at = 0; wire_next(&r, slice_from(in, at), &frame, &used) == WIRE_FRAME;
         at += used) {
        struct chain out = {0};
        check(used > 0 && used <= in.n - at);
        if (again(&frame, &out)) {
            char *bytes = malloc(out.n);
            size_t n = chain_copy(&out, bytes, out.n);
            check(depth == 0 ||
                  (n <= in.n && memcmp(bytes, in.p, n) == 0)); /* once read it is canonical */
            if (depth == 0)
                read_open(slice_of(bytes, n), 1);
            free(bytes);
        }
        chain_free(&out, NULL);
    }
    wire_reader_free(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    if (n == 0)
        return 0;
    struct slice rest = slice_of(p + 1, n - 1);
    if (p[0] == 'a' || p[0] == 'd')
        shake_hands(p[0] == 'd', rest);
    else
        read_open(rest, 0);
    return 0;
}

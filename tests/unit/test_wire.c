/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire/wire.h"

#include <stdlib.h>

#include "tests/lib/unit.h"

/* One frame, from its text. */
static enum wire_read read_text(struct wire_reader *r, const char *text, struct wire_in *in)
{
    size_t used = 0;
    enum wire_read got = wire_next(r, slice_str(text), in, &used);
    if (got == WIRE_FRAME)
        assert_int_equal(used, strlen(text));
    return got;
}

static void a_frame_is_found_by_its_row(void **state)
{
    (void)state;
    struct wire_reader r = {.from = WIRE_DIALS};
    struct wire_in in;
    assert_int_equal(read_text(&r, "*2\r\n$10\r\nVONG.PROOF\r\n$2\r\nab\r\n", &in), WIRE_FRAME);
    assert_int_equal(in.type, WIRE_PROOF);
    struct slice s;
    assert_int_equal(wire_get_bytes(&in, 2, &s), ERR_OK);
    assert_slice(s, "ab");
    assert_int_equal(wire_get_end(&in), ERR_OK);
    assert_int_equal(read_text(&r, "*2\r\n$10\r\nvong.proof\r\n$0\r\n\r\n", &in), WIRE_FRAME);
    wire_reader_free(&r);
}

static void frames_are_read_however_they_are_cut(void **state)
{
    (void)state;
    static const char text[] = "*2\r\n$10\r\nVONG.PROOF\r\n$3\r\none\r\n*3\r\n$12\r\nVONG."
                               "REFUSED\r\n$5\r\nproof\r\n$2\r\nno\r\n";
    for (size_t cut = 0; cut < sizeof(text); cut++) {
        struct wire_reader r = {.from = WIRE_DIALS};
        struct wire_in in;
        size_t at = 0, frames = 0, have = cut;
        for (int round = 0; round < 2; round++, have = sizeof(text) - 1) {
            size_t used = 0;
            while (wire_next(&r, slice_of(text + at, have - at), &in, &used) == WIRE_FRAME) {
                assert_int_equal(in.type, frames == 0 ? WIRE_PROOF : WIRE_REFUSED);
                frames++;
                at += used;
            }
            assert_int_equal(r.why[0], '\0');
        }
        assert_int_equal(frames, 2);
        wire_reader_free(&r);
    }
}

static void refused(enum wire_side from, bool open, const char *frame, const char *why)
{
    struct wire_reader r = {.from = from, .open = open};
    struct wire_in in;
    assert_int_equal(read_text(&r, frame, &in), WIRE_BAD);
    assert_string_equal(r.why, why);
    assert_int_equal(read_text(&r, "*2\r\n$10\r\nVONG.PROOF\r\n$0\r\n\r\n", &in),
                     WIRE_BAD); /* for ever */
    assert_string_equal(r.why, why);
    wire_reader_free(&r);
}

static void what_is_no_message_is_named(void **state)
{
    (void)state;
    refused(
        WIRE_DIALS, false, "*1\r\n$4\r\nPING\r\n",
        "no message between nodes is called 'PING'; is this the port for clients that was meant?");
    refused(
        WIRE_DIALS, false, "GET /\x01 HTTP/1.1\r\n",
        "no message between nodes is called 'GET'; is this the port for clients that was meant?");
    refused(
        WIRE_DIALS, false, "*1\r\n$3\r\n\x16\x03'\r\n",
        "no message between nodes is called '\?\?''; is this the port for clients that was meant?");
    refused(WIRE_DIALS, false, "*0\r\n", "an empty frame");
    refused(WIRE_DIALS, false, "*1\r\n+x\r\n", "Protocol error: expected '$', got '+'");
    refused(WIRE_DIALS, false, "*1\r\n$10\r\nVONG.PROOF\r\n", "VONG.PROOF: not so many fields");
    refused(WIRE_DIALS, false, "*3\r\n$10\r\nVONG.PROOF\r\n$0\r\n\r\n$0\r\n\r\n",
            "VONG.PROOF: not so many fields");
    refused(WIRE_ANSWERS, false, "*2\r\n$10\r\nVONG.PROOF\r\n$0\r\n\r\n",
            "VONG.PROOF comes from the other end of a connection");
    refused(WIRE_DIALS, true, "*2\r\n$10\r\nVONG.PROOF\r\n$0\r\n\r\n",
            "VONG.PROOF after the handshake");
}

static void nothing_is_given_before_the_handshake(void **state)
{
    (void)state;
    refused(WIRE_DIALS, false, "*17\r\n$10\r\nVONG.HELLO\r\n",
            "Protocol error: unauthenticated multibulk length");
    refused(WIRE_DIALS, false, "*2\r\n$10\r\nVONG.HELLO\r\n$16385\r\n",
            "Protocol error: unauthenticated bulk length");
    struct wire_reader r = {.from = WIRE_DIALS};
    struct wire_in in;
    assert_int_equal(read_text(&r, "*2\r\n$10\r\nVONG.HELLO\r\n$16384\r\n", &in), WIRE_MORE);
    wire_reader_free(&r);
}

/* A frame made of puts, and `in` at its first field. */
struct made {
    struct chain chain;
    struct wire_reader reader;
    struct wire_in in;
    char *bytes;
};

static void made_read(struct made *m)
{
    m->bytes = malloc(m->chain.n);
    size_t n = chain_copy(&m->chain, m->bytes, m->chain.n), used;
    m->reader.from = WIRE_EITHER;
    assert_int_equal(wire_next(&m->reader, slice_of(m->bytes, n), &m->in, &used), WIRE_FRAME);
    assert_int_equal(used, n);
}

static void made_free(struct made *m)
{
    free(m->bytes);
    chain_free(&m->chain, NULL);
    wire_reader_free(&m->reader);
}

static void each_kind_of_field_comes_back(void **state)
{
    (void)state;
    struct made m = {0};
    const uint8_t bytes[3] = {0x00, 0xAF, 0x9};
    wire_put_head(&m.chain, WIRE_HELLO, 9);
    wire_put_u64(&m.chain, UINT64_MAX);
    wire_put_i64(&m.chain, INT64_MIN);
    wire_put_bool(&m.chain, true);
    wire_put_bytes(&m.chain, SLICE("a\0b"));
    wire_put_word(&m.chain, "word");
    wire_put_hex(&m.chain, bytes, 3);
    wire_put_u64(&m.chain, UINT32_MAX);
    wire_put_u64(&m.chain, UINT16_MAX);
    wire_put_bool(&m.chain, false);
    made_read(&m);
    uint64_t u;
    int64_t i;
    bool yes, no;
    struct slice s;
    char text[5];
    uint8_t back[3];
    uint32_t u32;
    uint16_t u16;
    assert_int_equal(wire_get_u64(&m.in, &u), ERR_OK);
    assert_true(u == UINT64_MAX);
    assert_int_equal(wire_get_i64(&m.in, &i), ERR_OK);
    assert_true(i == INT64_MIN);
    assert_int_equal(wire_get_bool(&m.in, &yes), ERR_OK);
    assert_true(yes);
    assert_int_equal(wire_get_bytes(&m.in, 3, &s), ERR_OK);
    assert_slice(s, "a\0b");
    assert_int_equal(wire_get_text(&m.in, text, 5), ERR_OK);
    assert_string_equal(text, "word");
    assert_int_equal(wire_get_hex(&m.in, back, 3), ERR_OK);
    assert_memory_equal(back, bytes, 3);
    assert_int_equal(wire_get_u32(&m.in, &u32), ERR_OK);
    assert_true(u32 == UINT32_MAX);
    assert_int_equal(wire_get_u16(&m.in, &u16), ERR_OK);
    assert_int_equal(u16, UINT16_MAX);
    assert_int_equal(wire_get_bool(&m.in, &no), ERR_OK);
    assert_false(no);
    assert_int_equal(wire_get_end(&m.in), ERR_OK);
    made_free(&m);
}

static void a_wrong_field_is_named_and_stays(void **state)
{
    (void)state;
    struct made m = {0};
    wire_put_head(&m.chain, WIRE_REFUSED, 2);
    wire_put_word(&m.chain, "65536");
    wire_put_bytes(&m.chain, SLICE("ab\0cd"));
    made_read(&m);
    uint16_t u16;
    uint64_t u;
    bool b;
    int64_t i;
    uint8_t hex[2];
    char text[8], why[WIRE_WHY_BYTES];
    struct slice s;
    assert_int_equal(wire_get_end(&m.in), ERR_SYNTAX);
    assert_int_equal(wire_get_u16(&m.in, &u16), ERR_RANGE);
    wire_why(&m.in, ERR_RANGE, why);
    assert_string_equal(why, "VONG.REFUSED, field 1: a number is out of range");
    assert_int_equal(wire_get_bool(&m.in, &b), ERR_RANGE);
    assert_int_equal(wire_get_hex(&m.in, hex, 2), ERR_SYNTAX); /* five digits */
    assert_int_equal(wire_get_bytes(&m.in, 4, &s), ERR_LIMIT);
    assert_int_equal(wire_get_text(&m.in, text, 5), ERR_LIMIT);
    assert_int_equal(wire_get_u64(&m.in, &u), ERR_OK);
    assert_int_equal(wire_get_u64(&m.in, &u), ERR_SYNTAX);
    assert_int_equal(wire_get_i64(&m.in, &i), ERR_SYNTAX);
    assert_int_equal(wire_get_text(&m.in, text, 8), ERR_SYNTAX); /* a NUL inside */
    assert_int_equal(wire_get_bytes(&m.in, 5, &s), ERR_OK);
    assert_int_equal(wire_get_bytes(&m.in, 5, &s), ERR_SYNTAX); /* none left */
    wire_why(&m.in, ERR_SYNTAX, why);
    assert_string_equal(why, "VONG.REFUSED, field 3: not well-formed");
    made_free(&m);
}

static void a_count_is_believed_only_with_its_fields(void **state)
{
    (void)state;
    struct made m = {0};
    wire_put_head(&m.chain, WIRE_HELLO, 5);
    wire_put_u64(&m.chain, 2);
    for (int i = 0; i < 4; i++)
        wire_put_u64(&m.chain, 7);
    made_read(&m);
    size_t n = 0;
    assert_int_equal(wire_get_count(&m.in, 1, 2, &n), ERR_RANGE);
    assert_int_equal(wire_get_count(&m.in, 8, 3, &n), ERR_RANGE);
    assert_int_equal(m.in.at, 1);
    assert_int_equal(wire_get_count(&m.in, 2, 2, &n), ERR_OK);
    assert_int_equal(n, 2);
    made_free(&m);
}

static void every_row_is_whole(void **state)
{
    (void)state;
    for (enum wire_type t = 0; t < WIRE_TYPES; t++) {
        const struct wire_spec *s = wire_spec(t);
        assert_memory_equal(s->name, "VONG.", 5);
        assert_true(s->least <= s->most && s->most < WIRE_FIELDS_MAX);
        assert_true(s->side == WIRE_DIALS || s->side == WIRE_ANSWERS || s->side == WIRE_EITHER);
        assert_true(strlen(s->text) > 10);
        for (enum wire_type other = 0; other < t; other++)
            assert_string_not_equal(wire_spec(other)->name, s->name);
    }
    /* The handshake's fit what may be said before it is through. */
    for (enum wire_type t = WIRE_HELLO; t <= WIRE_REFUSED; t++)
        assert_true(wire_spec(t)->most < WIRE_HELLO_FIELDS_MAX);
    assert_int_equal(wire_spec(WIRE_CHALLENGE)->side, WIRE_ANSWERS);
    assert_int_equal(wire_spec(WIRE_WELCOME)->side, WIRE_ANSWERS);
}

UNIT_TESTS(
    "wire", TEST(a_frame_is_found_by_its_row, "a frame is found by its row, in any case (W1)"),
    TEST(frames_are_read_however_they_are_cut, "frames are read however they are cut"),
    TEST(what_is_no_message_is_named, "what is no message is refused by name, and for ever (W3)"),
    TEST(nothing_is_given_before_the_handshake, "before the handshake little is read (W4)"),
    TEST(each_kind_of_field_comes_back, "each kind of field comes back as it was put (W2)"),
    TEST(a_wrong_field_is_named_and_stays, "a wrong field is named, and stays the next (W3)"),
    TEST(a_count_is_believed_only_with_its_fields,
         "a count is believed only with its fields there (W5)"),
    TEST(every_row_is_whole, "every row of wire.def is whole (W1)"))

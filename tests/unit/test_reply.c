/* SPDX-License-Identifier: BSD-3-Clause */
#include "resp/reply.h"

#include <stdlib.h>

#include "tests/lib/unit.h"

static const struct answer_limits roomy = {.bytes_max = 1024, .elements_max = 16};

static struct answer *only(struct answer_reader *r, const char *bytes)
{
    struct answer *a = NULL, *none = NULL;
    assert_int_equal(answer_feed(r, slice_str(bytes)), ERR_OK);
    assert_int_equal(answer_next(r, &a), ERR_OK);
    assert_non_null(a);
    assert_int_equal(answer_next(r, &none), ERR_OK);
    assert_null(none);
    return a;
}

static void each_kind_is_read(void **state)
{
    (void)state;
    struct answer_reader *r = answer_reader_new(&roomy);
    struct answer *a = only(r, "+OK\r\n");
    assert_int_equal(a->kind, ANSWER_STATUS);
    assert_slice(a->text, "OK");
    answer_free(a);
    a = only(r, "-ERR no\r\n");
    assert_int_equal(a->kind, ANSWER_ERROR);
    assert_slice(a->text, "ERR no");
    answer_free(a);
    a = only(r, ":-42\r\n");
    assert_int_equal(a->kind, ANSWER_INTEGER);
    assert_int_equal(a->integer, -42);
    answer_free(a);
    a = only(r, "$-1\r\n");
    assert_int_equal(a->kind, ANSWER_NIL);
    answer_free(a);
    a = only(r, "$0\r\n\r\n");
    assert_int_equal(a->kind, ANSWER_STRING);
    assert_slice(a->text, "");
    answer_free(a);
    a = only(r, "*0\r\n");
    assert_int_equal(a->kind, ANSWER_ARRAY);
    assert_int_equal(a->n, 0);
    answer_free(a);
    answer_reader_free(r);
}

/* Whatever the cut, the same tree. */
static void a_nested_reply_is_read_at_every_cut(void **state)
{
    (void)state;
    const char *bytes = "*3\r\n$3\r\na\r\n\r\n*2\r\n:7\r\n$-1\r\n+done\r\n";
    size_t n = strlen(bytes);
    for (size_t cut = 0; cut <= n; cut++) {
        struct answer_reader *r = answer_reader_new(&roomy);
        struct answer *a = NULL;
        assert_int_equal(answer_feed(r, slice_of(bytes, cut)), ERR_OK);
        assert_int_equal(answer_next(r, &a), ERR_OK);
        assert_true((a != NULL) == (cut == n));
        if (a == NULL) {
            assert_int_equal(answer_feed(r, slice_of(bytes + cut, n - cut)), ERR_OK);
            assert_int_equal(answer_next(r, &a), ERR_OK);
        }
        assert_int_equal(a->kind, ANSWER_ARRAY);
        assert_int_equal(a->n, 3);
        assert_slice(a->elements[0].text, "a\r\n");
        assert_int_equal(a->elements[1].n, 2);
        assert_int_equal(a->elements[1].elements[0].integer, 7);
        assert_int_equal(a->elements[1].elements[1].kind, ANSWER_NIL);
        assert_slice(a->elements[2].text, "done");
        answer_free(a);
        answer_reader_free(r);
    }
}

static void replies_come_in_their_order(void **state)
{
    (void)state;
    struct answer_reader *r = answer_reader_new(&roomy);
    struct answer *a;
    assert_int_equal(answer_feed(r, SLICE(":1\r\n:2\r\n:")), ERR_OK);
    for (int64_t i = 1; i <= 2; i++) {
        assert_int_equal(answer_next(r, &a), ERR_OK);
        assert_int_equal(a->integer, i);
        answer_free(a);
    }
    assert_int_equal(answer_next(r, &a), ERR_OK);
    assert_null(a);
    answer_reader_free(r); /* what is half read goes with it */
}

static void an_announced_array_beyond_the_bound_is_refused(void **state)
{
    (void)state;
    struct answer_reader *r = answer_reader_new(&roomy);
    struct answer *a;
    assert_int_equal(answer_feed(r, SLICE("*16\r\n")), ERR_OK);
    assert_int_equal(answer_next(r, &a), ERR_OK);
    answer_reader_free(r);
    r = answer_reader_new(&roomy);
    assert_int_equal(answer_feed(r, SLICE("*17\r\n")), ERR_OK);
    assert_int_equal(answer_next(r, &a), ERR_LIMIT);
    assert_null(a);
    assert_int_equal(answer_next(r, &a), ERR_LIMIT);
    answer_reader_free(r);
}

static void bytes_that_wait_are_bounded(void **state)
{
    (void)state;
    char many[1025];
    memset(many, 'x', sizeof(many));
    memcpy(many, "$2000\r\n", 7);
    struct answer_reader *r = answer_reader_new(&roomy);
    struct answer *a;
    assert_int_equal(answer_feed(r, slice_of(many, 1025)), ERR_LIMIT);
    assert_int_equal(answer_feed(r, slice_of(many, 1024)), ERR_OK);
    assert_int_equal(answer_feed(r, SLICE("x")), ERR_LIMIT);
    assert_int_equal(answer_next(r, &a), ERR_OK);
    assert_null(a);
    answer_reader_free(r);
    /* What was read as whole no longer counts. */
    r = answer_reader_new(&roomy);
    for (int i = 0; i < 300; i++) {
        assert_int_equal(answer_feed(r, SLICE("+eight\r\n")), ERR_OK);
        assert_int_equal(answer_next(r, &a), ERR_OK);
        answer_free(a);
    }
    answer_reader_free(r);
}

static void what_is_no_reply_is_an_error(void **state)
{
    (void)state;
    static const char *const wrong[] = {"GET k\r\n", "_\r\n", ":x\r\n", "*1\r\n?\r\n", "$-2\r\n"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct answer_reader *r = answer_reader_new(&roomy);
        struct answer *a;
        assert_int_equal(answer_feed(r, slice_str(wrong[i])), ERR_OK);
        assert_int_equal(answer_next(r, &a), ERR_SYNTAX);
        assert_null(a);
        answer_reader_free(r);
    }
}

UNIT_TESTS("reply", TEST(each_kind_is_read, "each kind of reply is read"),
           TEST(a_nested_reply_is_read_at_every_cut, "a nested reply is read the same at every cut"),
           TEST(replies_come_in_their_order, "replies come in their order"),
           TEST(an_announced_array_beyond_the_bound_is_refused, "an array beyond the bound is refused before its elements"),
           TEST(bytes_that_wait_are_bounded, "bytes that wait for their reply are bounded"),
           TEST(what_is_no_reply_is_an_error, "what is no RESP2 reply is an error"))

/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/entry.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/rng.h"
#include "tests/lib/unit.h"

/* The last test asks for more than there is: a sanitizer shall refuse it, as malloc does. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static char bytes[200 * 1024];

static struct slice filled(size_t n, char c)
{
    memset(bytes, c, n);
    return slice_of(bytes, n);
}

static void assert_value(const struct entry *e, struct slice want)
{
    char scratch[NUM_I64_CHARS];
    assert_true(slice_equal(entry_value(e, scratch), want));
    assert_int_equal(entry_value_n(e), want.n);
}

static void keys_and_values_of_every_length_come_back(void **state)
{
    (void)state;
    const size_t key_n[] = {0, 1, 16, 0xfffe, 0xffff, 0x10000, 150000};
    const size_t value_n[] = {0, 1, 44, 45, ENTRY_INLINE_MAX, ENTRY_INLINE_MAX + 1, 16384, 100000};
    char *key_bytes = malloc(150000);
    memset(key_bytes, 'k', 150000);
    for (size_t i = 0; i < sizeof(key_n) / sizeof(key_n[0]); i++)
        for (size_t j = 0; j < sizeof(value_n) / sizeof(value_n[0]); j++)
            for (int with_expiry = 0; with_expiry < 2; with_expiry++) {
                struct wall until = with_expiry ? (struct wall){-5} : WALL_NEVER;
                struct slice key = slice_of(key_bytes, key_n[i]), value = filled(value_n[j], '\0');
                struct entry *e = entry_new_string(key, value, until);
                assert_non_null(e);
                assert_true(slice_equal(entry_key(e), key));
                assert_value(e, value);
                assert_true(entry_expiry(e).ms == until.ms);
                assert_int_equal(e->encoding, value.n > 44 ? ENTRY_ENC_RAW : ENTRY_ENC_EMBSTR);
                assert_int_equal(entry_blob(e) != NULL, value.n > ENTRY_INLINE_MAX);
                assert_true(entry_bytes(e) >= 8 + key.n + value.n);
                entry_free(e, NULL);
            }
    free(key_bytes);
}

static void canonical_integers_are_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool number;
    } rows[] = {{"0", true}, {"-1", true}, {"9223372036854775807", true}, {"-9223372036854775808", true},
                {"9223372036854775808", false}, {"01", false}, {"+1", false}, {"-0", false}, {"", false},
                {"1 ", false}, {"1234567", true}, {"12345678", true}, {"3.0", false}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        for (size_t key_n = 0; key_n < 20; key_n++) {
            int64_t v, direct = 0;
            struct entry *e = entry_new_string(filled(key_n, 'k'), slice_str(rows[i].text), WALL_NEVER);
            assert_value(e, slice_str(rows[i].text));
            assert_int_equal(entry_number(e, &v), rows[i].number);
            assert_int_equal(e->encoding, rows[i].number ? ENTRY_ENC_INT : ENTRY_ENC_EMBSTR);
            if (num_get_i64(slice_str(rows[i].text), &direct))
                assert_true(v == direct);
            /* never a larger allocation than the digits would take */
            assert_true(entry_bytes(e) <= mem_good_size(8 + key_n + strlen(rows[i].text)));
            entry_free(e, NULL);
        }
}

static void sixteen_byte_keys_take_the_expected_classes(void **state)
{
    (void)state;
    static const struct {
        size_t value_n, bytes;
    } rows[] = {{8, 32}, {32, 64}, {100, 128}};
    struct slice key = SLICE("0123456789abcdef");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct entry *e = entry_new_string(key, filled(rows[i].value_n, 'v'), WALL_NEVER);
        assert_int_equal(entry_bytes(e), rows[i].bytes);
        entry_free(e, NULL);
    }
    struct entry *e = entry_new_string(key, SLICE("-9223372036854775808"), WALL_NEVER);
    assert_int_equal(entry_bytes(e), 32);
    entry_free(e, NULL);
}

static void a_value_of_the_same_class_is_written_in_place(void **state)
{
    (void)state;
    struct entry *e = entry_new_string(SLICE("0123456789abcdef"), filled(30, 'a'), WALL_NEVER);
    struct entry *before = e;
    e->clock = 0xabcdef;
    e->generation = 3;
    assert_int_equal(entry_put(&e, filled(40, 'b'), WALL_NEVER, NULL), ERR_OK);
    assert_ptr_equal(e, before);
    assert_value(e, filled(40, 'b'));
    assert_int_equal(entry_put(&e, filled(41, 'c'), WALL_NEVER, NULL), ERR_OK); /* 65 bytes: the next class */
    assert_ptr_not_equal(e, NULL);
    assert_value(e, filled(41, 'c'));
    assert_int_equal(e->clock, 0xabcdef);
    assert_int_equal(e->generation, 3);
    assert_slice(entry_key(e), "0123456789abcdef");
    entry_free(e, NULL);

    e = entry_new_string(SLICE("n"), SLICE("1234567890"), WALL_NEVER);
    before = e;
    for (int64_t v = -70000; v < 70000; v += 777) {
        int64_t got;
        assert_int_equal(entry_put_number(&e, v, NULL), ERR_OK);
        assert_true(entry_number(e, &got) && got == v);
    }
    assert_ptr_equal(e, before);
    assert_int_equal(entry_put(&e, SLICE("7"), WALL_NEVER, NULL), ERR_OK);
    assert_ptr_equal(e, before);
    entry_free(e, NULL);

    e = entry_new_string(SLICE("b"), filled(10000, 'a'), WALL_NEVER);
    struct blob *blob = entry_blob(e);
    assert_int_equal(entry_put(&e, filled(9990, 'b'), WALL_NEVER, NULL), ERR_OK);
    assert_ptr_equal(entry_blob(e), blob);
    assert_value(e, filled(9990, 'b'));
    blob_share(blob); /* an output still reads it: its bytes must stay */
    assert_int_equal(entry_put(&e, filled(9990, 'c'), WALL_NEVER, NULL), ERR_OK);
    assert_ptr_not_equal(entry_blob(e), blob);
    assert_int_equal(blob->p[0], 'b');
    assert_value(e, filled(9990, 'c'));
    blob_drop(blob, NULL);
    entry_free(e, NULL);
}

static void a_value_may_lie_within_the_entry(void **state)
{
    (void)state;
    const size_t n[] = {50, ENTRY_INLINE_MAX, 5000};
    for (size_t i = 0; i < sizeof(n) / sizeof(n[0]); i++) {
        struct entry *e = entry_new_string(SLICE("key"), filled(n[i], 'a'), WALL_NEVER);
        struct slice value = entry_value(e, NULL);
        assert_int_equal(entry_put(&e, slice_from(value, 3), WALL_NEVER, NULL), ERR_OK);
        assert_value(e, filled(n[i] - 3, 'a'));
        value = entry_value(e, NULL);
        assert_int_equal(entry_put(&e, slice_head(value, 2), (struct wall){9}, NULL), ERR_OK);
        assert_value(e, SLICE("aa"));
        entry_free(e, NULL);
    }
}

static void expiry_comes_and_goes(void **state)
{
    (void)state;
    const size_t n[] = {0, 5, 20, 31, 32, 33, 100, 1024, 5000};
    for (size_t i = 0; i < sizeof(n) / sizeof(n[0]); i++)
        for (size_t key_n = 0; key_n < 40; key_n++) {
            char key[40];
            memset(key, 'k', sizeof(key));
            struct entry *e = entry_new_string(slice_of(key, key_n), filled(n[i], '1'), WALL_NEVER);
            e->clock = 77;
            for (int64_t ms = 1; ms < 4; ms++) {
                assert_int_equal(entry_set_expiry(&e, (struct wall){ms}), ERR_OK);
                assert_true(entry_expiry(e).ms == ms);
                assert_int_equal(entry_set_expiry(&e, (struct wall){ms + 9}), ERR_OK);
                assert_true(entry_expiry(e).ms == ms + 9);
                assert_value(e, filled(n[i], '1'));
                assert_int_equal(entry_set_expiry(&e, WALL_NEVER), ERR_OK);
                assert_true(wall_is_never(entry_expiry(e)));
                assert_value(e, filled(n[i], '1'));
                assert_true(slice_equal(entry_key(e), slice_of(key, key_n)));
            }
            assert_int_equal(e->clock, 77);
            entry_free(e, NULL);
        }
}

static void a_copy_shares_the_blob(void **state)
{
    (void)state;
    const char *values[] = {"short", "12345678901", NULL};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct slice value = values[i] != NULL ? slice_str(values[i]) : filled(3000, 'b');
        struct entry *e = entry_new_string(SLICE("from"), value, (struct wall){5});
        e->encoding = ENTRY_ENC_RAW;
        struct entry *copy = entry_copy(e, SLICE("another name"));
        assert_slice(entry_key(copy), "another name");
        assert_value(copy, value);
        assert_true(entry_expiry(copy).ms == 5);
        assert_int_equal(copy->encoding, ENTRY_ENC_RAW);
        assert_ptr_equal(entry_blob(copy), entry_blob(e));
        entry_free(e, NULL);
        assert_value(copy, value);
        entry_free(copy, NULL);
    }
}

static void big_memory_goes_to_the_graves(void **state)
{
    (void)state;
    struct graves g = {0};
    struct entry *e = entry_new_string(SLICE("k"), filled(100000, 'v'), WALL_NEVER);
    entry_free(e, &g);
    assert_int_equal(g.dead.n, 1);
    e = entry_new_string(filled(100000, 'k'), SLICE("v"), WALL_NEVER);
    assert_int_equal(entry_put(&e, filled(30000, 'v'), WALL_NEVER, &g), ERR_OK);
    assert_int_equal(g.dead.n, 2); /* the entry moved, long key and all */
    entry_free(e, &g);
    assert_int_equal(g.dead.n, 3);
    graves_free(&g);
}

/* A plain array says what the bytes should be, while edits, puts and expiries follow each other. */
static void random_changes_agree_with_an_array(void **state)
{
    (void)state;
    static char want[9000];
    size_t n = 0;
    struct wall until = WALL_NEVER;
    struct rng rng;
    rng_seed(&rng, 1);
    struct entry *e = entry_new_string(SLICE("key"), SLICE(""), until);
    for (unsigned round = 0; round < 60000; round++) {
        size_t m = rng_below(&rng, rng_below(&rng, 4) == 0 ? 9000 : 80);
        char c = (char)('0' + rng_below(&rng, 12)); /* digits make numbers */
        switch (rng_below(&rng, 5)) {
        case 0:
            n = m;
            memset(want, c, n);
            assert_int_equal(entry_put(&e, filled(n, c), until, NULL), ERR_OK);
            break;
        case 1: {
            char *p = entry_edit(&e, m, NULL);
            if (m > n)
                memset(want + n, 0, m - n);
            assert_memory_equal(p, want, m);
            memset(p + m / 2, c, m - m / 2);
            memset(want + m / 2, c, m - m / 2);
            n = m;
            assert_int_equal(e->encoding, ENTRY_ENC_RAW);
            break;
        }
        case 2:
            until = rng_below(&rng, 2) == 0 ? WALL_NEVER : (struct wall){(int64_t)round};
            assert_int_equal(entry_set_expiry(&e, until), ERR_OK);
            break;
        case 3:
            n = num_put_i64(want, (int64_t)rng_next(&rng) >> (m % 64));
            int64_t v = 0;
            assert_true(num_get_i64(slice_of(want, n), &v));
            assert_int_equal(entry_put_number(&e, v, NULL), ERR_OK);
            assert_int_equal(e->encoding, ENTRY_ENC_INT);
            break;
        default: {
            struct blob *b = blob_try(m);
            memset(b->p, c, m);
            b->n = n = m;
            memset(want, c, m);
            assert_int_equal(entry_put_blob(&e, b, until, NULL), ERR_OK);
            assert_ptr_equal(entry_blob(e), b);
            break;
        }
        }
        assert_value(e, slice_of(want, n));
        assert_true(entry_expiry(e).ms == until.ms);
        assert_slice(entry_key(e), "key");
    }
    entry_free(e, NULL);
}

static void what_memory_refuses_changes_nothing(void **state)
{
    (void)state;
    struct slice absurd = slice_of("x", SIZE_MAX / 4);
    assert_null(entry_new_string(absurd, SLICE("v"), WALL_NEVER));
    struct entry *e = entry_new_string(SLICE("k"), SLICE("old"), (struct wall){7}), *before = e;
    assert_int_equal(entry_put(&e, absurd, WALL_NEVER, NULL), ERR_NOMEM);
    assert_null(entry_edit(&e, SIZE_MAX / 4, NULL));
    assert_ptr_equal(e, before);
    assert_value(e, SLICE("old"));
    assert_true(entry_expiry(e).ms == 7);
    assert_int_equal(entry_put(&e, filled(2000, 'b'), (struct wall){7}, NULL), ERR_OK);
    assert_null(entry_edit(&e, SIZE_MAX / 4, NULL));
    assert_value(e, filled(2000, 'b'));
    entry_free(e, NULL);
}

UNIT_TESTS("entry",
           TEST(keys_and_values_of_every_length_come_back, "keys and values of every length come back"),
           TEST(canonical_integers_are_numbers, "canonical integers are numbers, at no cost (E2)"),
           TEST(sixteen_byte_keys_take_the_expected_classes, "16 byte keys: values of 8, 32, 100 take 32, 64, 128"),
           TEST(a_value_of_the_same_class_is_written_in_place, "a value of the same class is written in place"),
           TEST(a_value_may_lie_within_the_entry, "a value may lie within the entry it goes to"),
           TEST(expiry_comes_and_goes, "an expiry comes and goes, the rest stays"),
           TEST(a_copy_shares_the_blob, "a copy has another key and shares the blob"),
           TEST(big_memory_goes_to_the_graves, "big memory goes to the graves"),
           TEST(random_changes_agree_with_an_array, "random changes agree with a plain array (E1)"),
           TEST(what_memory_refuses_changes_nothing, "what memory refuses changes nothing (E3)"))

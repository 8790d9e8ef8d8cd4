/* SPDX-License-Identifier: BSD-3-Clause */
#include "persist/record.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/rng.h"
#include "tests/lib/unit.h"

static char *text_of(const struct chain *c)
{
    char *text = malloc(c->n + 1);
    chain_copy(c, text, c->n);
    text[c->n] = '\0';
    return text;
}

/* The line a slow hand would write. */
static size_t by_hand(char *to, size_t to_n, const char *words, const char *body)
{
    uint32_t crc = crc32c(crc32c(0, slice_str(words)), slice_str(body));
    return (size_t)snprintf(to, to_n, "%s%08x\r\n%s", words, crc, body);
}

static void a_record_is_written_as_the_format_says(void **state)
{
    (void)state;
    static const uint64_t seqs[] = {0, 1, 9, 10, 99, 12345678, UINT64_MAX};
    const char *body = "*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n";
    for (size_t i = 0; i < sizeof(seqs) / sizeof(seqs[0]); i++) {
        struct chain log = {0}, bytes = {0};
        chain_put(&bytes, slice_str(body));
        record_put(&log, 16383, (struct position){7, seqs[i]}, &bytes);
        assert_true(chain_empty(&bytes));
        char words[200], want[300];
        snprintf(words, sizeof(words), "#V 16383 7 %llu %zu ", (unsigned long long)seqs[i], strlen(body));
        size_t n = by_hand(want, sizeof(want), words, body);
        char *got = text_of(&log);
        assert_int_equal(log.n, n);
        assert_string_equal(got, want);
        free(got);
        chain_free(&log, NULL);
        chain_free(&bytes, NULL);
    }
}

/* Sequences over every change of a length: of the seq, of the body, of epoch and slot. */
static void written_in_place_it_is_the_same(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 6);
    struct chain log = {0}, there = {0}, bytes = {0};
    struct record_line line = {.n = 0};
    struct position at = {1, 0};
    for (unsigned i = 0; i < 3000; i++) {
        char body[1200];
        size_t room, n = rng_below(&rng, rng_below(&rng, 2) == 0 ? 120 : 1200);
        for (size_t k = 0; k < n; k++)
            body[k] = (char)rng_next(&rng);
        at.seq = i == 2000 ? 99999999990 : i == 2500 ? 7 : at.seq + 1;
        at.epoch += i == 1000 || i == 2500;
        uint32_t slot = i < 2800 ? 0 : (uint32_t)rng_below(&rng, SLOTS);
        char *to = record_room(&there, &line, &room);
        assert_true(room >= 800);
        n = n < room ? n : room;
        memcpy(to, body, n);
        record_put_there(&there, &line, slot, at, to, n);
        chain_put(&bytes, slice_of(body, n));
        record_put(&log, slot, at, &bytes);
        if (rng_below(&rng, 50) == 0)
            record_seal(&line);
    }
    record_seal(&line);
    char *want = text_of(&log), *got = text_of(&there);
    assert_int_equal(there.n, log.n);
    assert_memory_equal(got, want, log.n);
    free(want);
    free(got);
    chain_free(&log, NULL);
    chain_free(&there, NULL);
    chain_free(&bytes, NULL);
}

static void a_record_of_any_size_comes_back(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 5);
    static const size_t sizes[] = {0, 1, 7, 100, 511, 4095, 4096, 4097, 16383, 16384, 70000, 1000000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct chain log = {0}, bytes = {0};
        char *body = malloc(sizes[i] + 1);
        for (size_t k = 0; k < sizes[i]; k++)
            body[k] = (char)rng_next(&rng);
        for (size_t at = 0, take; at < sizes[i]; at += take) { /* in parts, as handlers write them */
            take = 1 + rng_below(&rng, 9000);
            take = take < sizes[i] - at ? take : sizes[i] - at;
            chain_put(&bytes, slice_of(body + at, take));
        }
        record_put(&log, 0, (struct position){1, 77}, &bytes);
        char *got = text_of(&log);
        size_t line_n = (size_t)(strchr(got, '\n') - got) + 1;
        struct note note;
        assert_true(note_is_ours(slice_of(got, line_n)));
        assert_int_equal(note_get(slice_of(got, line_n), &note), ERR_OK);
        assert_int_equal(note.type, NOTE_RECORD);
        assert_int_equal(note.len, sizes[i]);
        assert_int_equal(note.at.seq, 77);
        assert_int_equal(log.n, line_n + sizes[i]);
        assert_memory_equal(got + line_n, body, sizes[i]);
        assert_true(note_holds(&note, slice_of(got + line_n, sizes[i])));
        free(got);
        free(body);
        chain_free(&log, NULL);
        chain_free(&bytes, NULL);
    }
}

static void a_shared_blob_is_recorded_by_reference(void **state)
{
    (void)state;
    struct blob *blob = blob_try(CHAIN_REF_BYTES);
    memset(blob->p, 'x', CHAIN_REF_BYTES);
    blob->n = CHAIN_REF_BYTES;
    struct chain log = {0}, bytes = {0};
    chain_put_blob(&bytes, blob, 0, blob->n);
    assert_int_equal(blob->refs, 2);
    record_put(&log, 0, (struct position){1, 1}, &bytes);
    assert_int_equal(blob->refs, 2);
    chain_free(&log, NULL);
    assert_int_equal(blob->refs, 1);
    blob_drop(blob, NULL);
}

static void every_line_comes_back_and_no_flipped_bit_does(void **state)
{
    (void)state;
    for (int type = 0; type <= NOTE_RUN; type++) {
        struct chain c = {0}, body = {0};
        chain_put(&body, SLICE("abc"));
        switch (type) {
        case NOTE_RECORD: record_put(&c, 3, (struct position){4, 5}, &body); break;
        case NOTE_DURABLE: note_put_durable(&c, 123456789012); break;
        case NOTE_BASE: note_put_base(&c, 3, (struct position){4, 5}); break;
        case NOTE_CHUNK: note_put_chunk(&c, 99, &body); break;
        case NOTE_FORERUNNER: note_put_forerunner(&c, 97); break;
        case NOTE_LOST: note_put_lost(&c, 96); break;
        case NOTE_RUN: note_put_run(&c, &(struct run_note){9, 7, 8, true}); break;
        default: note_put_end(&c, 98); break;
        }
        char *text = text_of(&c);
        size_t line_n = (size_t)(strchr(text, '\n') - text) + 1;
        struct note n;
        assert_int_equal(note_get(slice_of(text, line_n), &n), ERR_OK);
        assert_int_equal((int)n.type, type);
        if (type == NOTE_RECORD || type == NOTE_BASE)
            assert_true(n.slot == 3 && n.at.epoch == 4 && n.at.seq == 5);
        if (type == NOTE_RUN)
            assert_true(n.run.incarnation == 9 && n.run.clean_since == 7 && n.run.data_since == 8 && n.run.always);
        if (type == NOTE_DURABLE)
            assert_true(n.offset == 123456789012);
        assert_true(note_holds(&n, slice_of(text + line_n, n.len)) || n.len == 0);
        for (size_t bit = 0; bit < 8 * c.n; bit++) {
            text[bit / 8] ^= (char)(1 << bit % 8);
            struct slice line = slice_of(text, line_n);
            bool good = note_is_ours(line) && note_get(line, &n) == ERR_OK && (int)n.type == type &&
                        n.len <= c.n - line_n && note_holds(&n, slice_of(text + line_n, n.len));
            assert_false(good);
            text[bit / 8] ^= (char)(1 << bit % 8);
        }
        free(text);
        chain_free(&c, NULL);
        chain_free(&body, NULL);
    }
}

static void lines_not_quite_ours_are_told_apart(void **state)
{
    (void)state;
    static const char *comments[] = {"#TS:1700000000\r\n", "# V 0 1\r\n", "#\r\n", "#X 1\r\n", "#v 0 1 1 1 00000000\r\n"};
    for (size_t i = 0; i < sizeof(comments) / sizeof(comments[0]); i++)
        assert_false(note_is_ours(slice_str(comments[i])));
    static const char *words[] = {"#S 01 ", "#S  1 ", "#S -1 ", "#S ", "#S 1 2 ", "#S 18446744073709551616 ",
                                  "#V 16384 1 1 0 ", "#B 0 1 ", "#S 1"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        char line[300];
        size_t n = by_hand(line, sizeof(line), words[i], "");
        struct note note;
        assert_true(note_is_ours(slice_of(line, n)));
        assert_int_equal(note_get(slice_of(line, n), &note), ERR_SYNTAX);
    }
}

static void a_checksum_is_eight_lowercase_digits(void **state)
{
    (void)state;
    char line[300];
    size_t n = by_hand(line, sizeof(line), "#S 1 ", "");
    struct note note;
    assert_int_equal(note_get(slice_of(line, n), &note), ERR_OK);
    for (size_t at = n - 10; at < n - 2; at++) {
        char was = line[at];
        for (int c = 0; c < 256; c++) {
            line[at] = (char)c;
            bool is_digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
            enum err want = !is_digit ? ERR_SYNTAX : line[at] == was ? ERR_OK : ERR_CORRUPT;
            assert_int_equal(note_get(slice_of(line, n), &note), want);
        }
        line[at] = was;
    }
}

UNIT_TESTS("record",
           TEST(a_record_is_written_as_the_format_says, "a record is its line, its crc and its bytes"),
           TEST(written_in_place_it_is_the_same, "written in place a record is the same, whatever was before it"),
           TEST(a_record_of_any_size_comes_back, "a record of any size comes back byte for byte"),
           TEST(a_shared_blob_is_recorded_by_reference, "a big value is referenced by its record, not copied"),
           TEST(every_line_comes_back_and_no_flipped_bit_does, "each kind of line comes back; with any bit flipped it does not"),
           TEST(lines_not_quite_ours_are_told_apart, "comments of others are no lines of ours; ill-formed lines of ours are refused"),
           TEST(a_checksum_is_eight_lowercase_digits, "a checksum is eight lowercase hex digits, and nothing beside them"))

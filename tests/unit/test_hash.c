/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/hash.h"

#include <stdlib.h>

#include "tests/lib/unit.h"

static unsigned crc16_by_bits(const char *p, size_t n) /* as the polynomial says it */
{
    unsigned crc = 0;
    for (size_t i = 0; i < n * 8; i++) {
        unsigned bit = ((unsigned char)p[i / 8] >> (7 - i % 8) & 1) ^ crc >> 15;
        crc = (crc << 1 & 0xffff) ^ (bit != 0 ? 0x1021 : 0);
    }
    return crc;
}

static void checksums_are_the_known_ones(void **state)
{
    (void)state;
    struct slice digits = SLICE("123456789");
    assert_int_equal(crc16(digits), 0x31c3);
    assert_int_equal(crc32c(0, digits), 0xe3069283);
    assert_true(crc64(0, digits) == 0xe9c6d914c4b8d9ca);
    char bytes[200];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(i * 7);
    for (size_t n = 0; n <= sizeof(bytes); n++) { /* however the bytes are cut */
        uint32_t whole = crc32c(0, slice_of(bytes, n)), each = 0;
        for (size_t i = 0; i < n; i++)
            each = crc32c(each, slice_of(bytes + i, 1));
        assert_int_equal(whole, each);
        assert_int_equal(crc16(slice_of(bytes, n)), crc16_by_bits(bytes, n));
    }
}

enum { LENGTH_MAX = 70, HASHES = LENGTH_MAX * 8 + LENGTH_MAX + 1 };

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Zeros of each length, and those of the greatest with one bit set: hashes of every two differ. */
static void expect_all_different(const struct hash_secret *secret)
{
    static uint64_t seen[HASHES];
    size_t n = 0;
    for (size_t length = 0; length <= LENGTH_MAX; length++) {
        char *exact = calloc(1, length + 1); /* so that a byte too many is seen */
        seen[n++] = hash_secret(secret, slice_of(exact, length));
        free(exact);
    }
    for (size_t bit = 0; bit < LENGTH_MAX * 8; bit++) {
        char bytes[LENGTH_MAX] = {0};
        bytes[bit / 8] = (char)(1 << bit % 8);
        seen[n++] = hash_secret(secret, slice_of(bytes, sizeof(bytes)));
    }
    qsort(seen, n, sizeof(seen[0]), by_size);
    for (size_t i = 1; i < n; i++)
        assert_true(seen[i - 1] != seen[i]);
}

/* A flipped bit of a key of any length flips each bit of its hash with an even chance. */
static void expect_avalanche(const struct hash_secret *secret)
{
    struct rng rng;
    rng_seed(&rng, 3);
    for (size_t length = 1; length <= 40; length++) {
        unsigned flips[64] = {0};
        enum { TRIES = 2000 };
        for (unsigned i = 0; i < TRIES; i++) {
            char bytes[40];
            for (size_t k = 0; k < length; k++)
                bytes[k] = (char)rng_next(&rng);
            uint64_t before = hash_secret(secret, slice_of(bytes, length));
            uint64_t bit = rng_below(&rng, length * 8);
            bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
            uint64_t changed = before ^ hash_secret(secret, slice_of(bytes, length));
            for (unsigned k = 0; k < 64; k++)
                flips[k] += (unsigned)(changed >> k & 1);
        }
        for (unsigned k = 0; k < 64; k++)
            assert_in_range(flips[k], TRIES * 2 / 5, TRIES * 3 / 5);
    }
}

static void a_secret_hash_tells_keys_apart(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 1);
    struct hash_secret one, other;
    hash_secret_draw(&one, &rng);
    hash_secret_draw(&other, &rng);
    for (int i = 0; i < 2; i++) { /* with the instruction where there is one, and without */
        expect_all_different(&one);
        expect_avalanche(&one);
        assert_true(hash_secret(&one, SLICE("key:000000000001")) != hash_secret(&other, SLICE("key:000000000001")));
        one.by_instruction = other.by_instruction = false;
    }
}

UNIT_TESTS("hash", TEST(checksums_are_the_known_ones, "checksums are those of the standards, however the bytes are cut"),
           TEST(a_secret_hash_tells_keys_apart, "a secret hash spreads every bit and the length of a key, by either way"))

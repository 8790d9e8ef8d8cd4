/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/hash.h"

#include <assert.h>

#include "base/bounds.h"
#include "base/check.h"

static inline uint64_t rotl(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

struct sip {
    uint64_t a, b, c, d;
};

static inline void sip_round(struct sip *v)
{
    v->a += v->b;
    v->b = rotl(v->b, 13) ^ v->a;
    v->a = rotl(v->a, 32);
    v->c += v->d;
    v->d = rotl(v->d, 16) ^ v->c;
    v->a += v->d;
    v->d = rotl(v->d, 21) ^ v->a;
    v->c += v->b;
    v->b = rotl(v->b, 17) ^ v->c;
    v->c = rotl(v->c, 32);
}

uint64_t hash_keyed(const struct hash_key *key, struct slice s)
{
    struct sip v = {key->k0 ^ 0x736f6d6570736575u, key->k1 ^ 0x646f72616e646f6du,
                    key->k0 ^ 0x6c7967656e657261u, key->k1 ^ 0x7465646279746573u};
    const char *p = s.p;
    size_t left = s.n;
    for (; left >= 8; left -= 8, p += 8) {
        uint64_t m = load64(p);
        v.d ^= m;
        sip_round(&v);
        v.a ^= m;
    }
    uint64_t last = (uint64_t)s.n << 56;
    if (left > 0 && s.n >= 8) { /* the rest stands at the end of the last eight bytes there are */
        last |= load64(p + left - 8) >> (64 - 8 * left);
    } else {
        for (size_t i = 0; i < left; i++)
            last |= (uint64_t)(unsigned char)p[i] << (8 * i);
    }
    v.d ^= last;
    sip_round(&v);
    v.a ^= last;
    v.c ^= 0xff;
    sip_round(&v);
    sip_round(&v);
    sip_round(&v);
    return v.a ^ v.b ^ v.c ^ v.d;
}

#if defined(__x86_64__)
#define HASH_TARGET __attribute__((target("aes")))
typedef long long hash_block __attribute__((vector_size(16)));

static bool hash_has_instruction(void)
{
    return __builtin_cpu_supports("aes");
}

static inline hash_block load128(const char *p)
{
    hash_block b;
    memcpy(&b, p, sizeof(b));
    return b;
}

/* All of up to 16 bytes, in pieces that overlap: with the length, which goes in apart, another block
 * for each string. */
static inline hash_block load_short(const char *p, size_t n)
{
    return (hash_block){(long long)slice_word(slice_of(p, n)),
                        n >= 8 ? (long long)load64(p + n - 8) : 0};
}

#define HASH_ROUND(x, key) __builtin_ia32_aesenc128(x, key)

HASH_TARGET static uint64_t hash_by_instruction(const struct hash_secret *secret, struct slice s)
{
    const hash_block *key = (const hash_block *)(const void *)secret->rounds;
    const hash_block *chain = key + 1 + HASH_ROUNDS;
    const char *p = s.p;
    size_t left = s.n;
    hash_block x = key[0];
    for (; left > 16; left -= 16, p += 16) {
        x ^= load128(p);
        for (unsigned i = 0; i < HASH_CHAIN_ROUNDS; i++)
            x = HASH_ROUND(x, chain[i]);
    }
    x ^= s.n >= 16 ? load128(p + left - 16) : load_short(p, left);
    x = HASH_ROUND(x, key[1]);
    x ^= (hash_block){(long long)s.n, 0}; /* behind a round, so that no block undoes it */
    x = HASH_ROUND(x, key[2]);
    x = HASH_ROUND(x, key[3]);
    x = HASH_ROUND(x, key[4]);
    x = HASH_ROUND(x, key[5]);
    x = HASH_ROUND(x, key[6]);
    x = HASH_ROUND(x, key[7]);
    x = HASH_ROUND(x, key[8]);
    x = HASH_ROUND(x, key[9]);
    x = HASH_ROUND(x, key[10]);
    return (uint64_t)x[0];
}
static_assert(HASH_ROUNDS == 10, "as many as are written out");
#endif

void hash_secret_draw(struct hash_secret *secret, struct rng *rng)
{
    *secret = (struct hash_secret){.sip = {rng_next(rng), rng_next(rng)}};
    for (unsigned i = 0; i < HASH_ROUND_KEYS; i++)
        for (unsigned half = 0; half < 2; half++)
            secret->rounds[i][half] = rng_next(rng);
#ifdef HASH_TARGET
    secret->by_instruction = hash_has_instruction();
#endif
}

uint64_t hash_secret(const struct hash_secret *secret, struct slice s)
{
#ifdef HASH_TARGET
    if (secret->by_instruction)
        return hash_by_instruction(secret, s);
#endif
    return hash_keyed(&secret->sip, s);
}

/* The tables are made by the compiler's preprocessor from the polynomials, so that they are
 * constants without a page of numbers. */
#define STEP16(x) ((uint16_t)(((x) << 1) ^ (((x)&0x8000) ? 0x1021 : 0)))
#define BITS16(x) STEP16(STEP16(STEP16(STEP16((uint16_t)((x) << 12)))))
#define R16_4(x) BITS16(x), BITS16((x) + 1), BITS16((x) + 2), BITS16((x) + 3)

uint16_t crc16(struct slice s)
{
    static const uint16_t nibble[16] = {R16_4(0), R16_4(4), R16_4(8), R16_4(12)};
    uint16_t crc = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned byte = (unsigned char)s.p[i];
        crc = (uint16_t)(crc << 4) ^ nibble[crc >> 12 ^ byte >> 4];
        crc = (uint16_t)(crc << 4) ^ nibble[crc >> 12 ^ (byte & 15)];
    }
    return crc;
}

unsigned slot_of(struct slice key)
{
    const char *open = key.n > 0 ? memchr(key.p, '{', key.n) : NULL;
    if (open != NULL) {
        struct slice rest = slice_from(key, (size_t)(open - key.p) + 1);
        const char *close = rest.n > 0 ? memchr(rest.p, '}', rest.n) : NULL;
        if (close != NULL && close != rest.p)
            key = slice_head(rest, (size_t)(close - rest.p));
    }
    return crc16(key) & (SLOTS - 1);
}

#define STEP_R(x, poly) ((x) >> 1 ^ (((x)&1) ? (poly) : 0))
#define BITS_R(x, poly) STEP_R(STEP_R(STEP_R(STEP_R(x, poly), poly), poly), poly)

#define POLY32 0x82f63b78u
#define R32(x) BITS_R((uint32_t)(x), POLY32)
#define R32_4(x) R32(x), R32((x) + 1), R32((x) + 2), R32((x) + 3)

static uint32_t crc32c_by_table(uint32_t crc, struct slice s)
{
    static const uint32_t nibble[16] = {R32_4(0), R32_4(4), R32_4(8), R32_4(12)};
    for (size_t i = 0; i < s.n; i++) {
        crc ^= (unsigned char)s.p[i];
        crc = crc >> 4 ^ nibble[crc & 15];
        crc = crc >> 4 ^ nibble[crc & 15];
    }
    return crc;
}

#if defined(__x86_64__)
#define CRC32C_TARGET __attribute__((target("sse4.2")))
static bool crc32c_has_instruction(void)
{
    return __builtin_cpu_supports("sse4.2");
}
#define CRC32C_8(crc, v) ((uint32_t)__builtin_ia32_crc32di(crc, v))
#define CRC32C_4(crc, v) __builtin_ia32_crc32si(crc, v)
#define CRC32C_2(crc, v) __builtin_ia32_crc32hi(crc, v)
#define CRC32C_1(crc, v) __builtin_ia32_crc32qi(crc, v)
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
#define CRC32C_TARGET
static bool crc32c_has_instruction(void)
{
    return true;
}
#define CRC32C_8(crc, v) __builtin_aarch64_crc32cx(crc, v)
#define CRC32C_4(crc, v) __builtin_aarch64_crc32cw(crc, v)
#define CRC32C_2(crc, v) __builtin_aarch64_crc32ch(crc, v)
#define CRC32C_1(crc, v) __builtin_aarch64_crc32cb(crc, v)
#endif

#ifdef CRC32C_TARGET
CRC32C_TARGET static uint32_t crc32c_by_instruction(uint32_t crc, struct slice s)
{
    const char *p = s.p;
    size_t left = s.n;
    for (; left >= 32; left -= 32, p += 32) {
        crc = CRC32C_8(crc, load64(p));
        crc = CRC32C_8(crc, load64(p + 8));
        crc = CRC32C_8(crc, load64(p + 16));
        crc = CRC32C_8(crc, load64(p + 24));
    }
    for (; left >= 8; left -= 8, p += 8)
        crc = CRC32C_8(crc, load64(p));
    if (left & 4) {
        crc = CRC32C_4(crc, load32(p));
        p += 4;
    }
    if (left & 2) {
        uint16_t v;
        memcpy(&v, p, sizeof(v));
        crc = CRC32C_2(crc, v);
        p += 2;
    }
    return left & 1 ? CRC32C_1(crc, (unsigned char)*p) : crc;
}
#endif

uint32_t crc32c(uint32_t crc, struct slice s)
{
#ifdef CRC32C_TARGET
    if (crc32c_has_instruction())
        return ~crc32c_by_instruction(~crc, s);
#endif
    return ~crc32c_by_table(~crc, s);
}

#define POLY64 0x95ac9329ac4bc9b5u
#define R64(x) BITS_R((uint64_t)(x), POLY64)
#define R64_4(x) R64(x), R64((x) + 1), R64((x) + 2), R64((x) + 3)

uint64_t crc64(uint64_t crc, struct slice s)
{
    static const uint64_t nibble[16] = {R64_4(0), R64_4(4), R64_4(8), R64_4(12)};
    for (size_t i = 0; i < s.n; i++) {
        crc ^= (unsigned char)s.p[i];
        crc = crc >> 4 ^ nibble[crc & 15];
        crc = crc >> 4 ^ nibble[crc & 15];
    }
    return crc;
}

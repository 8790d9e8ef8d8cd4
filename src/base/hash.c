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

/* All of up to 16 bytes, in pieces that overlap: with the length, which goes in apart, another
 * block for each string. */
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
#define NEXT16(x) (((x) << 1 & 0xffff) ^ ((x)&0x8000 ? 0x1021 : 0))
enum { /* crcs of a single bit: number i of a byte with n bytes behind it is B_ni */
       B_00 = 0x1021,
       B_01 = NEXT16(B_00),
       B_02 = NEXT16(B_01),
       B_03 = NEXT16(B_02),
       B_04 = NEXT16(B_03),
       B_05 = NEXT16(B_04),
       B_06 = NEXT16(B_05),
       B_07 = NEXT16(B_06),
       B_10 = NEXT16(B_07),
       B_11 = NEXT16(B_10),
       B_12 = NEXT16(B_11),
       B_13 = NEXT16(B_12),
       B_14 = NEXT16(B_13),
       B_15 = NEXT16(B_14),
       B_16 = NEXT16(B_15),
       B_17 = NEXT16(B_16),
       B_20 = NEXT16(B_17),
       B_21 = NEXT16(B_20),
       B_22 = NEXT16(B_21),
       B_23 = NEXT16(B_22),
       B_24 = NEXT16(B_23),
       B_25 = NEXT16(B_24),
       B_26 = NEXT16(B_25),
       B_27 = NEXT16(B_26),
       B_30 = NEXT16(B_27),
       B_31 = NEXT16(B_30),
       B_32 = NEXT16(B_31),
       B_33 = NEXT16(B_32),
       B_34 = NEXT16(B_33),
       B_35 = NEXT16(B_34),
       B_36 = NEXT16(B_35),
       B_37 = NEXT16(B_36)
};
#define IF16(x, i, n) ((x) >> (i)&1 ? B_##n##i : 0)
#define R16(x, n)                                                                    \
    (IF16(x, 0, n) ^ IF16(x, 1, n) ^ IF16(x, 2, n) ^ IF16(x, 3, n) ^ IF16(x, 4, n) ^ \
     IF16(x, 5, n) ^ IF16(x, 6, n) ^ IF16(x, 7, n))
#define R16_4(x, n) R16(x, n), R16((x) + 1, n), R16((x) + 2, n), R16((x) + 3, n)
#define R16_16(x, n) R16_4(x, n), R16_4((x) + 4, n), R16_4((x) + 8, n), R16_4((x) + 12, n)
#define R16_64(x, n) R16_16(x, n), R16_16((x) + 16, n), R16_16((x) + 32, n), R16_16((x) + 48, n)
#define R16_256(n) R16_64(0, n), R16_64(64, n), R16_64(128, n), R16_64(192, n)

/* Of each key in a cluster. Four bytes at a time, looked up side by side. */
uint16_t crc16(struct slice s)
{
    static const uint16_t behind[4][256] = {{R16_256(0)}, {R16_256(1)}, {R16_256(2)}, {R16_256(3)}};
    const unsigned char *p = (const unsigned char *)s.p;
    unsigned crc = 0;
    size_t left = s.n;
    for (; left >= 4; left -= 4, p += 4)
        crc = behind[3][p[0] ^ crc >> 8] ^ behind[2][p[1] ^ (crc & 255)] ^ behind[1][p[2]] ^
              behind[0][p[3]];
    for (; left > 0; left--, p++)
        crc = (crc << 8 & 0xffff) ^ behind[0][*p ^ crc >> 8];
    return (uint16_t)crc;
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

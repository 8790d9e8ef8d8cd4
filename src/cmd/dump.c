/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/dump.h"

#include "base/hash.h"
#include "base/num.h"

enum { DUMP_STRING = 0 }; /* the type */
enum { FOOTER_BYTES = 2 + 8 };
enum { HEAD_MAX_BYTES = 1 + 9 }; /* type and length, or type and integer */

/* The first byte of a value: two bits say what follows. */
enum { LENGTH_6 = 0, LENGTH_14 = 1, LENGTH_LONG = 2, ENCODED = 3 };
enum { LENGTH_32 = 0x80, LENGTH_64 = 0x81 };
enum { ENCODED_INT8, ENCODED_INT16, ENCODED_INT32, ENCODED_LZF };

static size_t put_bytes_high_first(unsigned char *to, uint64_t v, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        to[i] = (unsigned char)(v >> 8 * (n - 1 - i));
    return n;
}

static size_t put_bytes_low_first(unsigned char *to, uint64_t v, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        to[i] = (unsigned char)(v >> 8 * i);
    return n;
}

static size_t put_length(unsigned char *to, uint64_t n)
{
    if (n < 1 << 6) {
        to[0] = (unsigned char)n;
        return 1;
    }
    if (n < 1 << 14) {
        to[0] = (unsigned char)(LENGTH_14 << 6 | n >> 8);
        to[1] = (unsigned char)n;
        return 2;
    }
    to[0] = n <= UINT32_MAX ? LENGTH_32 : LENGTH_64;
    return 1 + put_bytes_high_first(to + 1, n, n <= UINT32_MAX ? 4 : 8);
}

/* Type and value as far as they do not come from the string itself; *bare: it is all there. */
static size_t put_front(unsigned char *to, struct slice value, bool *bare)
{
    int64_t v;
    to[0] = DUMP_STRING;
    *bare = value.n <= 11 && num_get_i64(value, &v) && v >= INT32_MIN && v <= INT32_MAX;
    if (!*bare)
        return 1 + put_length(to + 1, value.n);
    unsigned how = v >= INT8_MIN && v <= INT8_MAX     ? ENCODED_INT8
                   : v >= INT16_MIN && v <= INT16_MAX ? ENCODED_INT16
                                                      : ENCODED_INT32;
    to[1] = (unsigned char)(ENCODED << 6 | how);
    return 2 + put_bytes_low_first(to + 2, (uint64_t)v, 1u << how);
}

size_t dump_bytes(struct slice value)
{
    unsigned char front[HEAD_MAX_BYTES];
    bool bare;
    return put_front(front, value, &bare) + (bare ? 0 : value.n) + FOOTER_BYTES;
}

void dump_put(struct chain *to, struct slice value, struct blob *blob)
{
    unsigned char front[HEAD_MAX_BYTES], footer[FOOTER_BYTES];
    bool bare;
    struct slice head = slice_of(front, put_front(front, value, &bare));
    struct slice version = slice_of(footer, put_bytes_low_first(footer, DUMP_VERSION, 2));
    uint64_t crc = crc64(0, head);
    chain_put(to, head);
    if (!bare) {
        crc = crc64(crc, value);
        if (blob != NULL)
            chain_put_blob(to, blob, 0, blob->n);
        else
            chain_put(to, value);
    }
    put_bytes_low_first(footer + 2, crc64(crc, version), 8);
    chain_put(to, slice_of(footer, sizeof(footer)));
}

static uint64_t get_bytes_high_first(const char *from, unsigned n)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < n; i++)
        v = v << 8 | (unsigned char)from[i];
    return v;
}

static uint64_t get_bytes_low_first(const char *from, unsigned n)
{
    uint64_t v = 0;
    for (unsigned i = n; i-- > 0;)
        v = v << 8 | (unsigned char)from[i];
    return v;
}

bool dump_is_whole(struct slice payload)
{
    if (payload.n < FOOTER_BYTES)
        return false;
    const char *footer = payload.p + payload.n - FOOTER_BYTES;
    return get_bytes_low_first(footer, 2) <= DUMP_VERSION &&
           get_bytes_low_first(footer + 2, 8) == crc64(0, slice_head(payload, payload.n - 8));
}

/* A length from the front of *s, which is taken off; *encoded: it is a way of encoding instead. */
static bool get_length(struct slice *s, uint64_t *n, bool *encoded)
{
    *encoded = false;
    if (s->n == 0)
        return false;
    unsigned first = (unsigned char)s->p[0], bytes = 0;
    if (first >> 6 == LENGTH_14)
        bytes = 1;
    else if (first >> 6 == LENGTH_LONG && first != LENGTH_32 && first != LENGTH_64)
        return false;
    else if (first >> 6 == LENGTH_LONG)
        bytes = first == LENGTH_32 ? 4 : 8;
    if (s->n < 1 + bytes)
        return false;
    uint64_t low = get_bytes_high_first(s->p + 1, bytes);
    *encoded = first >> 6 == ENCODED;
    *n = first >> 6 == LENGTH_LONG ? low : ((uint64_t)(first & 0x3f) << 8 * bytes | low);
    *s = slice_from(*s, 1 + bytes);
    return true;
}

/* LZF: a control byte below 32 is followed by so many bytes and one more as they are; else its
 * upper three bits (7: plus the next byte) and 2 are how many bytes are repeated from as far back
 * as its lower five bits and the next byte say, and 1. True if it gives exactly n bytes. */
static bool lzf_expand(struct slice from, char *to, size_t n)
{
    size_t at = 0;
    for (size_t i = 0; i < from.n;) {
        size_t control = (unsigned char)from.p[i++];
        if (control < 32) {
            size_t run = control + 1;
            if (run > from.n - i || run > n - at)
                return false;
            memcpy(to + at, from.p + i, run);
            at += run;
            i += run;
            continue;
        }
        size_t run = control >> 5;
        if (run == 7) {
            if (i == from.n)
                return false;
            run += (unsigned char)from.p[i++];
        }
        run += 2;
        if (i == from.n)
            return false;
        size_t back = ((control & 31) << 8 | (unsigned char)from.p[i++]) + 1;
        if (back > at || run > n - at)
            return false;
        for (; run > 0; run--, at++)
            to[at] = to[at - back]; /* byte by byte: it may repeat what it just wrote */
    }
    return at == n;
}

static enum err blob_of(struct slice s, struct blob **value)
{
    *value = blob_try(s.n);
    if (*value == NULL)
        return ERR_NOMEM;
    if (s.n > 0)
        memcpy((*value)->p, s.p, s.n);
    (*value)->n = s.n;
    return ERR_OK;
}

static enum err get_integer(struct slice s, unsigned how, struct blob **value)
{
    unsigned bytes = 1u << how;
    if (s.n < bytes)
        return ERR_CORRUPT;
    uint64_t raw = get_bytes_low_first(s.p, bytes);
    int64_t v = (int64_t)(raw << (64 - 8 * bytes)) >> (64 - 8 * bytes); /* with its sign */
    char text[NUM_I64_CHARS];
    return blob_of(slice_of(text, num_put_i64(text, v)), value);
}

static enum err get_compressed(struct slice s, struct blob **value)
{
    enum { EXPANDS_AT_MOST = 264 }; /* three bytes to so many */
    uint64_t packed, n;
    bool encoded, encoded_too;
    if (!get_length(&s, &packed, &encoded) || !get_length(&s, &n, &encoded_too) || encoded ||
        encoded_too)
        return ERR_CORRUPT;
    if (packed > s.n || n / EXPANDS_AT_MOST > packed)
        return ERR_CORRUPT;
    struct blob *b = blob_try(n);
    if (b == NULL)
        return ERR_NOMEM;
    if (!lzf_expand(slice_head(s, packed), b->p, n)) {
        blob_drop(b, NULL);
        return ERR_CORRUPT;
    }
    b->n = n;
    *value = b;
    return ERR_OK;
}

enum err dump_get(struct slice payload, struct blob **value)
{
    struct slice s = slice_head(payload, payload.n - FOOTER_BYTES);
    uint64_t n;
    bool encoded;
    if (s.n == 0 || s.p[0] != DUMP_STRING)
        return ERR_CORRUPT;
    s = slice_from(s, 1);
    if (!get_length(&s, &n, &encoded))
        return ERR_CORRUPT;
    if (encoded && n <= ENCODED_INT32)
        return get_integer(s, (unsigned)n, value);
    if (encoded)
        return n == ENCODED_LZF ? get_compressed(s, value) : ERR_CORRUPT;
    return n <= s.n ? blob_of(slice_head(s, n), value) : ERR_CORRUPT;
}

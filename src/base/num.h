/* SPDX-License-Identifier: BSD-3-Clause */

/* Strings <-> integers and doubles, exactly.
 *
 * Reading is strict, as the protocol wants it: the whole slice, no blanks, no leading '+', no
 * leading zeros but "0" itself. Writing gives no terminator; the length is returned. */
#ifndef BASE_NUM_H
#define BASE_NUM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum { NUM_I64_CHARS = 20 };      /* "-9223372036854775808" */
enum { NUM_DOUBLE_CHARS = 5500 }; /* a long double in %.17Lf: up to 4933 digits before the point */

size_t num_put_i64(char *to, int64_t v); /* at most NUM_I64_CHARS */
size_t num_put_u64_any(char *to, uint64_t v);
extern const char num_pairs[]; /* "00" to "99" */
unsigned num_chars_any(uint64_t v);
static inline size_t num_chars(uint64_t v) /* as many as num_put_u64 writes */
{
    return v < 10 ? 1 : v < 100 ? 2 : v < 1000 ? 3 : num_chars_any(v);
}
static inline size_t num_put_two(char *to, uint64_t v) /* both digits of v < 100 */
{
    memcpy(to, num_pairs + 2 * v, 2);
    return 2;
}
static inline size_t num_put_u64(char *to, uint64_t v) /* at most NUM_I64_CHARS */
{
    if (v < 10) {
        to[0] = (char)('0' + v);
        return 1;
    }
    if (v >= 1000)
        return num_put_u64_any(to, v);
    size_t hundreds = v >= 100;
    if (hundreds) {
        to[0] = (char)('0' + v / 100);
        v %= 100;
    }
    memcpy(to + hundreds, num_pairs + 2 * v, 2);
    return 2 + hundreds;
}
/* exactly `digits`, lowercase, zero-padded */
void num_put_hex(char *to, uint64_t v, unsigned digits);
void num_put_hex_bytes(char *to, const uint8_t *b, size_t n); /* two digits each */

bool num_get_i64(struct slice s, int64_t *v);
bool num_get_u64(struct slice s, uint64_t *v);
bool num_get_hex(struct slice s, uint64_t *v); /* 1 to 16 lowercase or uppercase digits */

/* As INCRBYFLOAT reads and writes (Redis: long double, "inf" allowed, "nan" not; human form
 * without exponent, trailing zeros dropped). */
bool num_get_ld(struct slice s, long double *v);
size_t num_put_ld(char *to, long double v); /* at most NUM_DOUBLE_CHARS */

/* The shortest text that reads back as the same double (RESP3's doubles), "inf", "-inf", "nan". */
size_t num_put_double(char *to, double v); /* at most 32 */

#endif

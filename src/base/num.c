/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/num.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"

const char num_pairs[] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
    "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
    "8081828384858687888990919293949596979899";

unsigned num_chars_any(uint64_t v)
{
    unsigned n = 1;
    for (; v >= 10000; v /= 10000)
        n += 4;
    return v < 10 ? n : v < 100 ? n + 1 : v < 1000 ? n + 2 : n + 3;
}

size_t num_put_u64_any(char *to, uint64_t v)
{
    unsigned n = num_chars_any(v);
    unsigned at = n;
    while (v >= 100) {
        memcpy(to + (at -= 2), num_pairs + 2 * (v % 100), 2);
        v /= 100;
    }
    if (v >= 10)
        memcpy(to + (at -= 2), num_pairs + 2 * v, 2);
    else
        to[--at] = (char)('0' + v);
    return n;
}

size_t num_put_i64(char *to, int64_t v)
{
    if (v >= 0)
        return num_put_u64(to, (uint64_t)v);
    *to = '-';
    return 1 + num_put_u64(to + 1, 0 - (uint64_t)v);
}

void num_put_hex(char *to, uint64_t v, unsigned digits)
{
    while (digits-- > 0) {
        to[digits] = "0123456789abcdef"[v & 15];
        v >>= 4;
    }
}

void num_put_hex_bytes(char *to, const uint8_t *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        num_put_hex(to + 2 * i, b[i], 2);
}

bool num_get_u64(struct slice s, uint64_t *v)
{
    if (s.n == 0 || s.n > NUM_I64_CHARS || (s.p[0] == '0' && s.n > 1))
        return false;
    uint64_t sum = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned d = (unsigned char)s.p[i] - (unsigned)'0';
        if (d > 9 || sum > UINT64_MAX / 10 || sum * 10 > UINT64_MAX - d)
            return false;
        sum = sum * 10 + d;
    }
    *v = sum;
    return true;
}

bool num_get_i64(struct slice s, int64_t *v)
{
    bool minus = s.n > 0 && s.p[0] == '-';
    uint64_t sum;
    if (!num_get_u64(slice_from(s, minus), &sum) || (minus && sum == 0))
        return false;
    if (sum > (uint64_t)INT64_MAX + minus)
        return false;
    *v = minus ? (int64_t)(0 - sum) : (int64_t)sum;
    return true;
}

bool num_get_hex(struct slice s, uint64_t *v)
{
    if (s.n == 0 || s.n > 16)
        return false;
    uint64_t sum = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = lower_of(s.p[i]);
        if (c >= '0' && c <= '9')
            sum = sum << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            sum = sum << 4 | (uint64_t)(c - 'a' + 10);
        else
            return false;
    }
    *v = sum;
    return true;
}

bool num_get_ld(struct slice s, long double *v)
{
    char text[5 * 1024]; /* Redis' own bound */
    if (s.n == 0 || s.n >= sizeof(text) || memchr(s.p, 0, s.n) != NULL)
        return false;
    if ((s.p[0] >= '\t' && s.p[0] <= '\r') || s.p[0] == ' ')
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    char *end;
    long double got = strtold(text, &end);
    if (end != text + s.n || isnan(got))
        return false;
    /* What is too small for it strtold gives as 0: only zeros are one. */
    char digit = lower_of(text[strspn(text, "+-0.xX")]);
    if (got == 0 && digit != '\0' && digit != 'e' && digit != 'p')
        return false;
    /* strtold gives HUGE_VAL for what is too great: only a written infinity is one. */
    if (isinf(got) && lower_of(text[strspn(text, "+-")]) != 'i')
        return false;
    *v = got;
    return true;
}

size_t num_put_ld(char *to, long double v)
{
    if (isinf(v)) {
        memcpy(to, v > 0 ? "inf" : "-inf", v > 0 ? 3 : 4);
        return v > 0 ? 3 : 4;
    }
    int got = snprintf(to, NUM_DOUBLE_CHARS, "%.17Lf", v);
    check(got > 0 && got < NUM_DOUBLE_CHARS);
    size_t n = (size_t)got;
    if (memchr(to, '.', n) != NULL) {
        while (to[n - 1] == '0')
            n--;
        if (to[n - 1] == '.')
            n--;
    }
    if (n == 2 && to[0] == '-' && to[1] == '0') {
        to[0] = '0';
        n = 1;
    }
    return n;
}

size_t num_put_double(char *to, double v)
{
    if (isnan(v))
        return (size_t)snprintf(to, 32, "nan");
    if (isinf(v))
        return (size_t)snprintf(to, 32, v > 0 ? "inf" : "-inf");
    for (int precision = 15;; precision++) {
        int n = snprintf(to, 32, "%.*g", precision, v);
        check(n > 0 && n < 32);
        if (precision >= 17 || strtod(to, NULL) == v)
            return (size_t)n;
    }
}

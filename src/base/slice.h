/* SPDX-License-Identifier: BSD-3-Clause */

/* Borrowed bytes.
 *
 * A slice never owns what it points to and is never stored past the call that got it. Who wants to
 * keep the bytes copies them into a buf or a blob. */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const char *p; /* may be NULL only where n is 0 */
    size_t n;
};

/* A slice of a string literal, its length known to the compiler. */
#define SLICE(literal) ((struct slice){"" literal, sizeof(literal) - 1})

static inline struct slice slice_of(const void *p, size_t n)
{
    return (struct slice){p, n};
}

static inline struct slice slice_str(const char *s)
{
    return (struct slice){s, strlen(s)};
}

/* Eight bytes as a number; the first is the lowest (little-endian is checked by configure). */
static inline uint64_t load64(const char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static inline uint32_t load32(const char *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

/* The first eight bytes as one number; of shorter ones all, the pieces overlapping. */
static inline uint64_t slice_word(struct slice s)
{
    if (s.n >= 8)
        return load64(s.p);
    if (s.n >= 4)
        return load32(s.p) | (uint64_t)load32(s.p + s.n - 4) << (8 * (s.n - 4));
    if (s.n == 0)
        return 0;
    const unsigned char *p = (const unsigned char *)s.p;
    return p[0] | (uint64_t)p[s.n / 2] << (8 * (s.n / 2)) | (uint64_t)p[s.n - 1] << (8 * (s.n - 1));
}

/* Words and keys have 8 to 16 bytes more often than not: two pieces, which overlap,
 * without a call. */
static inline bool slice_equal(struct slice a, struct slice b)
{
    if (a.n != b.n)
        return false;
    if (a.n - 8 <= 8)
        return ((load64(a.p) ^ load64(b.p)) | (load64(a.p + a.n - 8) ^ load64(b.p + a.n - 8))) == 0;
    return a.n == 0 || memcmp(a.p, b.p, a.n) == 0;
}

struct slice_piece {
    uint64_t a, b;
};

/* All bytes of s to `to`, where they may overlap; what is behind them there. Up to 64 go in pieces
 * that overlap each other, without a call: all are read before any is written. */
static inline char *slice_copy(char *to, struct slice s)
{
    struct slice_piece w, x, y, z;
    if (s.n - 16 <= 16) {
        memcpy(&w, s.p, 16);
        memcpy(&z, s.p + s.n - 16, 16);
        memcpy(to, &w, 16);
        memcpy(to + s.n - 16, &z, 16);
    } else if (s.n - 32 <= 32) {
        memcpy(&w, s.p, 16);
        memcpy(&x, s.p + 16, 16);
        memcpy(&y, s.p + s.n - 32, 16);
        memcpy(&z, s.p + s.n - 16, 16);
        memcpy(to, &w, 16);
        memcpy(to + 16, &x, 16);
        memcpy(to + s.n - 32, &y, 16);
        memcpy(to + s.n - 16, &z, 16);
    } else if (s.n - 8 < 8) {
        uint64_t head = load64(s.p), tail = load64(s.p + s.n - 8);
        memcpy(to, &head, 8);
        memcpy(to + s.n - 8, &tail, 8);
    } else if (s.n > 0) {
        memmove(to, s.p, s.n);
    }
    return to + s.n;
}

/* The part from `at` on; at most all of it is skipped. */
static inline struct slice slice_from(struct slice s, size_t at)
{
    if (at > s.n)
        at = s.n;
    return (struct slice){s.p + at, s.n - at};
}

/* At most the first n bytes. */
static inline struct slice slice_head(struct slice s, size_t n)
{
    return (struct slice){s.p, n < s.n ? n : s.n};
}

static inline char lower_of(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Equal but for the case of ASCII letters: how the protocol compares its own words. */
static inline bool slice_is(struct slice s, const char *word)
{
    for (size_t i = 0; i < s.n; i++)
        if (word[i] == '\0' || lower_of(s.p[i]) != lower_of(word[i]))
            return false;
    return word[s.n] == '\0';
}

#endif

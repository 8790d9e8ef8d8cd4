/* SPDX-License-Identifier: BSD-3-Clause */
#include "resp/frame.h"

#include "base/num.h"

/* Of one array; Redis' own bound is smaller. */
static const uint64_t elements_max = UINT32_MAX;
static const uint64_t left_max = UINT64_C(1) << 48; /* of all that is nested: cannot wrap */
static const int64_t bulk_max = INT64_C(1) << 40;

/* The line from `at` on, without its end; *next: what is behind it. */
static enum frame_found line_at(struct slice in, size_t at, struct slice *line, size_t *next)
{
    struct slice rest = slice_from(in, at);
    const char *end = rest.n > 0 ? memchr(rest.p, '\n', rest.n) : NULL;
    if (end == NULL)
        return rest.n > FRAME_LINE_MAX_BYTES ? FRAME_BAD : FRAME_MORE;
    size_t n = (size_t)(end - rest.p);
    if (n == 0 || rest.p[n - 1] != '\r' || n > FRAME_LINE_MAX_BYTES)
        return FRAME_BAD;
    *line = slice_head(rest, n - 1);
    *next = at + n + 1;
    return FRAME_WHOLE;
}

/* A length: -1 (a null) to max. */
static bool length_of(struct slice line, int64_t max, int64_t *n)
{
    return line.n > 1 && num_get_i64(slice_from(line, 1), n) && *n >= -1 && *n <= max;
}

static bool add_left(struct frame *f, int64_t n, uint64_t each)
{
    if (n > 0)
        f->left += (uint64_t)n * each;
    return f->left <= left_max;
}

/* The value whose line this is, all but a bulk's bytes, which are skipped unseen. */
static bool value(struct frame *f, struct slice line)
{
    int64_t n;
    if (line.n == 0)
        return false;
    f->left--;
    switch (line.p[0]) {
    case '+':
    case '-':
    case ':':
    case ',':
    case '#':
    case '_':
    case '(': return true;
    case '$':
    case '!':
    case '=':
        if (!length_of(line, bulk_max, &n))
            return false;
        f->at += n >= 0 ? (size_t)n + 2 : 0;
        return true;
    case '*':
    case '~':
    case '>': return length_of(line, (int64_t)elements_max, &n) && add_left(f, n, 1);
    case '%': return length_of(line, (int64_t)elements_max, &n) && add_left(f, n, 2);
    case '|': /* what is said about the value that follows */
        f->left++;
        return length_of(line, (int64_t)elements_max, &n) && add_left(f, n, 2);
    default: return false;
    }
}

enum frame_found frame_end(struct frame *f, struct slice in)
{
    if (f->left == 0 && f->at == 0)
        f->left = 1;
    while (f->left > 0) {
        if (f->at >= in.n)
            return FRAME_MORE;
        struct slice line;
        size_t next;
        enum frame_found found = line_at(in, f->at, &line, &next);
        if (found != FRAME_WHOLE)
            return found;
        f->at = next;
        if (!value(f, line))
            return FRAME_BAD;
    }
    if (f->at > in.n)
        return FRAME_MORE;
    return FRAME_WHOLE;
}

bool frame_array(struct slice reply, uint64_t *n, size_t *first)
{
    struct slice line;
    int64_t got;
    if (line_at(reply, 0, &line, first) != FRAME_WHOLE || line.n == 0)
        return false;
    if (line.p[0] != '*' && line.p[0] != '~' && line.p[0] != '>')
        return false;
    if (!length_of(line, (int64_t)elements_max, &got) || got < 0)
        return false;
    *n = (uint64_t)got;
    return true;
}

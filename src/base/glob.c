/* SPDX-License-Identifier: BSD-3-Clause */

/* One pass with one mark: behind the newest '*' we remember where it stood and what it has eaten.
 *
 *     pattern  a*b?c          on a mismatch go back to the mark, let the star eat one byte more
 *               ^ mark        and try again; an older star never needs another look, since what
 *     text     aXXbXbYc       follows it up to the newest was found at its earliest place
 *
 * So the cost is at most pattern times text, whoever wrote the pattern. The odd corners are
 * Redis': bytes compare as signed in a range, a range may be written backwards, a class may lack
 * its closing bracket, an escaped byte in a class is never folded, and an empty text matches only
 * an empty pattern. */
#include "base/glob.h"

static bool byte_equal(char a, char b, bool any_case)
{
    return any_case ? lower_of(a) == lower_of(b) : a == b;
}

static bool in_range(char from, char to, char c, bool any_case)
{
    signed char low = (signed char)from, high = (signed char)to, it = (signed char)c;
    if (low > high) {
        low = (signed char)to;
        high = (signed char)from;
    }
    if (any_case) { /* after the order was settled: Redis folds the ends last */
        low = (signed char)lower_of((char)low);
        high = (signed char)lower_of((char)high);
        it = (signed char)lower_of(c);
    }
    return it >= low && it <= high;
}

/* The class whose '[' is at p[*at]; *at moves to its last byte. */
static bool class_matches(struct slice p, size_t *at, char c, bool any_case)
{
    size_t i = *at + 1;
    bool negated = i < p.n && p.p[i] == '^';
    bool found = false;
    if (negated)
        i++;
    for (; i < p.n && p.p[i] != ']'; i++) {
        if (p.p[i] == '\\' && i + 1 < p.n) {
            i++;
            found = found || p.p[i] == c;
        } else if (i + 2 < p.n && p.p[i + 1] == '-') {
            found = in_range(p.p[i], p.p[i + 2], c, any_case) || found;
            i += 2;
        } else {
            found = byte_equal(p.p[i], c, any_case) || found;
        }
    }
    *at = i < p.n ? i : p.n - 1;
    return found != negated;
}

/* Whether the element at p[*at] (no star) matches c; *at moves behind it. */
static bool element_matches(struct slice p, size_t *at, char c, bool any_case)
{
    bool matches;
    if (p.p[*at] == '?') {
        matches = true;
    } else if (p.p[*at] == '[') {
        matches = class_matches(p, at, c, any_case);
    } else {
        if (p.p[*at] == '\\' && *at + 1 < p.n)
            ++*at;
        matches = byte_equal(p.p[*at], c, any_case);
    }
    ++*at;
    return matches;
}

bool glob_match(struct slice p, struct slice text, bool any_case)
{
    if (text.n == 0)
        return p.n == 0;
    size_t at = 0, in = 0;
    size_t mark = 0, mark_in = 0; /* behind the newest star; mark 0: there was none */
    while (in < text.n) {
        if (at < p.n && p.p[at] == '*') {
            mark = ++at;
            mark_in = in;
        } else if (at < p.n && element_matches(p, &at, text.p[in], any_case)) {
            in++;
        } else {
            if (mark == 0)
                return false;
            at = mark;
            in = ++mark_in;
        }
    }
    while (at < p.n && p.p[at] == '*')
        at++;
    return at == p.n;
}

bool glob_is_plain(struct slice p)
{
    for (size_t i = 0; i < p.n; i++)
        if (p.p[i] == '*' || p.p[i] == '?' || p.p[i] == '[')
            return false;
    return true;
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* Edit distance: the fewest letters to insert, delete or replace, or neighbours to swap (the
 * commonest slip of fingers). Three rows of the usual table are enough; names are short. */
#include "conf/option_near.h"

enum { NAME_MAX_NEAR = 64 }; /* no directive is as long */

static size_t least_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t distance(struct slice a, struct slice b)
{
    size_t rows[3][NAME_MAX_NEAR + 1];
    for (size_t j = 0; j <= b.n; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *two_above = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            char x = lower_of(a.p[i - 1]), y = lower_of(b.p[j - 1]);
            size_t best = above[j - 1] + (x != y);
            best = least_of(best, least_of(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && x == lower_of(b.p[j - 2]) && y == lower_of(a.p[i - 2]))
                best = least_of(best, two_above[j - 2] + 1);
            row[j] = best;
        }
    }
    return rows[a.n % 3][b.n];
}

void near_offer(struct near *near, const char *candidate)
{
    struct slice other = slice_str(candidate);
    if (near->name.n > NAME_MAX_NEAR || other.n > NAME_MAX_NEAR)
        return;
    size_t d = distance(near->name, other);
    size_t enough = near->name.n < 4 ? 1 : near->name.n / 3; /* a third of it may be wrong */
    if (d > enough || (near->best != NULL && d >= near->distance))
        return;
    near->best = candidate;
    near->distance = d;
}

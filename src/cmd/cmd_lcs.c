/* SPDX-License-Identifier: BSD-3-Clause */

/* LCS: the longest common subsequence of two strings.
 *
 * The textbook table: at(i, j) is the length for the first i bytes of a and the first j of b.
 * Walking it back from its last corner gives the sequence from its end, and with it the ranges in
 * which a and b run side by side. */
#include "base/mem.h"
#include "base/num.h"
#include "cmd/handlers.h"

struct lcs {
    struct slice a, b;
    uint32_t *table; /* (a.n + 1) rows of b.n + 1 */
    bool only_length, ranges, with_lengths;
    int64_t least; /* ranges shorter than this are not told */
};

/* Positions of a range, both ends belonging to it. */
struct lcs_range {
    bool open;
    size_t a_from, a_to, b_from, b_to;
};

static uint32_t *lcs_at(const struct lcs *l, size_t i, size_t j)
{
    return &l->table[i * (l->b.n + 1) + j];
}

static bool lcs_options_or_reply(struct cmd *c, struct lcs *l)
{
    for (uint32_t i = 3; i < c->argc; i++) {
        if (slice_is(c->argv[i], "idx")) {
            l->ranges = true;
        } else if (slice_is(c->argv[i], "len")) {
            l->only_length = true;
        } else if (slice_is(c->argv[i], "withmatchlen")) {
            l->with_lengths = true;
        } else if (slice_is(c->argv[i], "minmatchlen") && i + 1 < c->argc) {
            if (!arg_i64_or_reply(c, ++i, &l->least, NULL))
                return false;
        } else {
            reply_syntax_error(c);
            return false;
        }
    }
    if (l->only_length && l->ranges) {
        reply_error(c->reply,
                    SLICE("ERR If you want both the length and indexes, please just use IDX."));
        return false;
    }
    return true;
}

static bool lcs_table_or_reply(struct cmd *c, struct lcs *l)
{
    if (l->a.n >= UINT32_MAX - 1 || l->b.n >= UINT32_MAX - 1) {
        reply_error(c->reply, SLICE("ERR String too long for LCS"));
        return false;
    }
    size_t bytes;
    bool fits = !__builtin_mul_overflow((l->a.n + 1) * (l->b.n + 1), sizeof(uint32_t), &bytes);
    if (fits && bytes > (uint64_t)c->config->string_max_bytes) {
        reply_error(c->reply, SLICE("ERR Insufficient memory, transient memory for LCS exceeds "
                                    "proto-max-bulk-len"));
        return false;
    }
    l->table = fits ? mem_try(bytes) : NULL;
    if (l->table == NULL)
        reply_error(c->reply,
                    SLICE("ERR Insufficient memory, failed allocating transient memory for LCS"));
    return l->table != NULL;
}

static void lcs_fill(const struct cmd *c, struct lcs *l)
{
    memset(l->table, 0, (l->b.n + 1) * sizeof(uint32_t));
    for (size_t i = 1; i <= l->a.n; i++) {
        const uint32_t *above = lcs_at(l, i - 1, 0);
        uint32_t *row = lcs_at(l, i, 0);
        char ch = l->a.p[i - 1];
        row[0] = 0;
        store_worked(c->store);
        for (size_t j = 1; j <= l->b.n; j++) {
            if (ch == l->b.p[j - 1])
                row[j] = above[j - 1] + 1;
            else
                row[j] = above[j] > row[j - 1] ? above[j] : row[j - 1];
        }
    }
}

static size_t lcs_tell(struct cmd *c, const struct lcs *l, struct lcs_range *range)
{
    int64_t n = (int64_t)(range->a_to - range->a_from + 1);
    range->open = false;
    if (n < l->least)
        return 0;
    reply_array(c->reply, l->with_lengths ? 3 : 2);
    reply_array(c->reply, 2);
    reply_i64(c->reply, (int64_t)range->a_from);
    reply_i64(c->reply, (int64_t)range->a_to);
    reply_array(c->reply, 2);
    reply_i64(c->reply, (int64_t)range->b_from);
    reply_i64(c->reply, (int64_t)range->b_to);
    if (l->with_lengths)
        reply_i64(c->reply, n);
    return 1;
}

/* Back from the corner: the sequence into to (NULL: not wanted), or its ranges as replies; how many
 * ranges. A range ends where the two do not run on side by side, or where a string begins. */
static size_t lcs_walk(struct cmd *c, const struct lcs *l, char *to)
{
    struct lcs_range range = {.open = false};
    size_t told = 0;
    size_t left = *lcs_at(l, l->a.n, l->b.n);
    for (size_t i = l->a.n, j = l->b.n; i > 0 && j > 0;) {
        if (l->a.p[i - 1] != l->b.p[j - 1]) {
            if (*lcs_at(l, i - 1, j) > *lcs_at(l, i, j - 1))
                i--;
            else
                j--;
            if (range.open && to == NULL)
                told += lcs_tell(c, l, &range);
            continue;
        }
        i--;
        j--;
        if (to != NULL) {
            to[--left] = l->a.p[i];
            continue;
        }
        if (!range.open)
            range = (struct lcs_range){true, i, i, j, j};
        else
            range.a_from = i, range.b_from = j;
        if (i == 0 || j == 0)
            told += lcs_tell(c, l, &range);
    }
    return told;
}

static void lcs_reply_ranges(struct cmd *c, const struct lcs *l)
{
    struct reply_later later;
    reply_map(c->reply, 2);
    reply_bulk(c->reply, SLICE("matches"));
    reply_later_begin(c->reply, &later);
    size_t told = lcs_walk(c, l, NULL);
    reply_later_end(c->reply, &later, told);
    reply_bulk(c->reply, SLICE("len"));
    reply_i64(c->reply, *lcs_at(l, l->a.n, l->b.n));
}

static void lcs_reply_bytes(struct cmd *c, const struct lcs *l)
{
    size_t n = *lcs_at(l, l->a.n, l->b.n);
    struct blob *whole = blob_try(n);
    if (whole == NULL) {
        reply_nomem(c);
        return;
    }
    lcs_walk(c, l, whole->p);
    whole->n = n;
    reply_bulk_blob(c->reply, whole, 0, n);
    blob_drop(whole, &c->store->graves);
}

/* LCS key1 key2 [LEN] [IDX] [MINMATCHLEN n] [WITHMATCHLEN] */
void cmd_lcs(struct cmd *c)
{
    struct key ka = cmd_key(c, 1), kb = cmd_key(c, 2);
    struct entry *ea = look_read(c, c->db, &ka);
    struct entry *eb = look_read(c, c->db, &kb);
    if ((ea != NULL && ea->type != ENTRY_STRING) || (eb != NULL && eb->type != ENTRY_STRING)) {
        reply_error(c->reply, SLICE("ERR The specified keys must contain string values"));
        return;
    }
    char scratch_a[NUM_I64_CHARS], scratch_b[NUM_I64_CHARS];
    struct lcs l = {.a = ea != NULL ? entry_value(ea, scratch_a) : SLICE(""),
                    .b = eb != NULL ? entry_value(eb, scratch_b) : SLICE("")};
    if (!lcs_options_or_reply(c, &l) || !lcs_table_or_reply(c, &l))
        return;
    lcs_fill(c, &l);
    if (l.ranges)
        lcs_reply_ranges(c, &l);
    else if (l.only_length)
        reply_i64(c->reply, *lcs_at(&l, l.a.n, l.b.n));
    else
        lcs_reply_bytes(c, &l);
    mem_free(l.table);
}

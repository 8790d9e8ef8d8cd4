/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/history.h"

#include <string.h>

#include "base/mem.h"

enum { TRIES_MAX = 400 * 1000, CANDIDATES_MAX = 64 };

struct state {
    int64_t at[HISTORY_KEYS];
};

struct step { /* of the order that is being tried */
    size_t op;
    struct state after;
};

struct search {
    const struct history *h;
    bool *done;
    struct step *path;
    size_t depth, deepest, stuck, tries, losses_left;
    uint64_t *seen; /* hashes; a table of seen_cap */
    size_t seen_n, seen_cap;
};

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static void seen_place(uint64_t *table, size_t cap, uint64_t hash, bool *new)
{
    size_t i = (size_t)hash & (cap - 1);
    while (table[i] != 0 && table[i] != hash)
        i = (i + 1) & (cap - 1);
    *new = table[i] == 0;
    table[i] = hash;
}

static void seen_grow(struct search *s)
{
    size_t cap = s->seen_cap == 0 ? 1024 : 2 * s->seen_cap;
    uint64_t *to = mem_zero(cap * sizeof(*to));
    bool new;
    for (size_t i = 0; i < s->seen_cap; i++)
        if (s->seen[i] != 0)
            seen_place(to, cap, s->seen[i], &new);
    mem_free(s->seen);
    s->seen = to;
    s->seen_cap = cap;
}

/* Was this reached before: the same ones done, the same state? While something may be undone, the way
 * counts as well. */
static bool is_new(struct search *s, uint64_t done_hash, const struct state *at, uint64_t way)
{
    uint64_t hash = done_hash;
    bool new;
    for (size_t i = 0; i < HISTORY_KEYS; i++)
        hash = mix(hash + (uint64_t)at->at[i] + 0x9e37 * i);
    if (s->losses_left > 0)
        hash = mix(hash ^ way);
    if (2 * s->seen_n >= s->seen_cap)
        seen_grow(s);
    seen_place(s->seen, s->seen_cap, hash | 1, &new);
    s->seen_n += new;
    return new;
}

static bool apply(const struct history_op *op, struct state *at)
{
    for (uint32_t i = 0; i < op->parts_n; i++) {
        const struct history_part *p = &op->parts[i];
        int64_t *key = &at->at[p->key];
        int64_t answer = p->value;
        switch (p->type) {
        case HISTORY_GET: answer = *key; break;
        case HISTORY_SET: *key = p->value; break;
        case HISTORY_INCR: answer = ++*key; break;
        case HISTORY_DEL:
            answer = *key != 0;
            *key = 0;
            break;
        default:
            if (*key != p->value)
                return false; /* known of one without an answer, too */
        }
        if (answer != p->value && !op->unsure)
            return false;
    }
    return true;
}

static bool writes(const struct history_op *op)
{
    for (uint32_t i = 0; i < op->parts_n; i++)
        if (op->parts[i].type != HISTORY_GET && op->parts[i].type != HISTORY_IS)
            return true;
    return false;
}

/* Those that may be next, the one answered first in front, those without an answer behind. */
static size_t candidates(struct search *s, size_t *to)
{
    const struct history_op *ops = s->h->ops.at;
    int64_t first_answer = INT64_MAX;
    size_t n = 0;
    for (size_t i = 0; i < s->h->ops.n && ops[i].call <= first_answer; i++)
        if (!s->done[i] && !ops[i].unsure && ops[i].answer < first_answer)
            first_answer = ops[i].answer;
    for (size_t i = 0; i < s->h->ops.n && ops[i].call <= first_answer && n < CANDIDATES_MAX; i++) {
        bool waits = ops[i].after > 0 && !s->done[ops[i].after - 1] && !ops[ops[i].after - 1].unsure;
        if (s->done[i] || waits || (ops[i].unsure && !writes(&ops[i])))
            continue; /* of what nobody was told and nothing tells, nothing is asked */
        size_t at = n++;
        int64_t answer = ops[i].unsure ? INT64_MAX : ops[i].answer;
        for (; at > 0 && (ops[to[at - 1]].unsure ? INT64_MAX : ops[to[at - 1]].answer) > answer; at--)
            to[at] = to[at - 1];
        to[at] = i;
    }
    return n;
}

static enum history_verdict go_on(struct search *s, const struct state *at, uint64_t done_hash, uint64_t way);

static enum history_verdict go_to(struct search *s, size_t i, const struct state *next, uint64_t done_hash, uint64_t way)
{
    uint64_t hash = done_hash ^ mix(i + 1);
    uint64_t next_way = mix(way ^ mix(i + 1));
    if (!is_new(s, hash, next, next_way))
        return HISTORY_BAD;
    s->path[s->depth++] = (struct step){i, *next};
    enum history_verdict v = go_on(s, next, hash, next_way);
    s->depth--;
    return v;
}

/* A power cut: any state from now back to the last write that must have lasted. */
static enum history_verdict lose(struct search *s, size_t i, const struct state *at, uint64_t done_hash, uint64_t way)
{
    const struct history_op *loss = &s->h->ops.at[i];
    enum history_verdict v = go_to(s, i, at, done_hash, way);
    for (size_t k = s->depth; v == HISTORY_BAD && k-- > 0;) {
        const struct history_op *op = &s->h->ops.at[s->path[k].op];
        if (op->is_loss || (writes(op) && !op->unsure && op->answer < loss->since))
            break;
        struct state before = k > 0 ? s->path[k - 1].after : (struct state){{0}};
        v = go_to(s, i, &before, done_hash, mix(way + k));
    }
    return v;
}

static enum history_verdict go_on(struct search *s, const struct state *at, uint64_t done_hash, uint64_t way)
{
    size_t next[CANDIDATES_MAX], n = candidates(s, next);
    if (n == 0 || s->h->ops.at[next[0]].unsure)
        return HISTORY_GOOD; /* all that were answered are in the order */
    if (s->depth >= s->deepest) {
        s->deepest = s->depth;
        s->stuck = next[0];
    }
    if (++s->tries > TRIES_MAX)
        return HISTORY_UNDECIDED;
    for (size_t k = 0; k < n; k++) {
        const struct history_op *op = &s->h->ops.at[next[k]];
        struct state after = *at;
        enum history_verdict v = HISTORY_BAD;
        if (!op->is_loss && !apply(op, &after))
            continue;
        s->done[next[k]] = true;
        s->losses_left -= op->is_loss;
        v = op->is_loss ? lose(s, next[k], at, done_hash, way) : go_to(s, next[k], &after, done_hash, way);
        s->done[next[k]] = false;
        s->losses_left += op->is_loss;
        if (v != HISTORY_BAD)
            return v;
    }
    return HISTORY_BAD;
}

enum history_verdict history_judge(const struct history *h, size_t *stuck)
{
    struct search s = {.h = h, .done = mem_zero(h->ops.n + 1), .path = mem_zero((h->ops.n + 1) * sizeof(struct step))};
    struct state empty = {{0}};
    for (size_t i = 0; i < h->ops.n; i++)
        s.losses_left += h->ops.at[i].is_loss;
    enum history_verdict v = go_on(&s, &empty, 0, 0);
    *stuck = s.stuck;
    mem_free(s.done);
    mem_free(s.path);
    mem_free(s.seen);
    return v;
}

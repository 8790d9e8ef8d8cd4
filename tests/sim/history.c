/* SPDX-License-Identifier: BSD-3-Clause */

/* The order is built from its beginning; where nothing fits, the last choice is taken back (Wing and
 * Gong). What was reached before, the same ones done and the same state, is not tried again (Lowe).
 *
 * One whose fate is unknown is put into the order as late as can be: right before an answered one that is
 * explained by it. Earlier it would change nothing that anybody was told; and if the next one overwrites it
 * unseen, it may as well come never. So it is tried only where it helps, and not at each place. And who has no key
 * in common with what must be next waits: the order of the two would change nothing.
 *
 * An eviction, too, comes as late as can be: right before one that does not find its key. And what is left of a key
 * that was given up is known from who reads it: until then it is LEFT, with the place of the op that gave it up.
 *
 *     chain     of unknown ones, now at the end of the order: the next answered one must need it */
#include "tests/sim/history.h"

#include <string.h>

#include "base/mem.h"

enum { TRIES_MAX = 400 * 1000, CANDIDATES_MAX = 64, COUNT_AT_BIT = 44, ALL_KEYS = (1 << HISTORY_KEYS) - 1 };
#define LEFT INT64_MIN
#define SOME INT64_MAX /* value or other */

struct state {
    int64_t at[HISTORY_KEYS];
};

struct step { /* of the order that is being tried */
    size_t op;
    struct state after;
    uint64_t way;
    size_t kept; /* of a loss: so many steps before it were not undone, by it or by one before it */
};

struct chain_of {
    size_t n, last;
    unsigned keys;     /* that it is about, a bit each */
    bool several;      /* one of them is about more than one key */
    bool parting;      /* a loss may come between any two of those that are next: then none is put off */
    struct state base; /* before it */
};

struct search {
    const struct history *h;
    size_t *sure, sure_n, low; /* places of answered ones; those before `low` are done */
    size_t *unsure, unsure_n;  /* ... of those that write and whose fate is unknown */
    size_t *alike;             /* of each: the first that does the same */
    size_t *losses, losses_n, losses_done;
    bool *done;
    struct step *path;
    size_t depth, deepest, stuck;
    uint64_t tries;
    uint64_t *seen; /* hashes; a table of seen_cap */
    size_t seen_n, seen_cap;
};

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static uint64_t state_hash(const struct state *at)
{
    uint64_t hash = 1;
    for (size_t i = 0; i < HISTORY_KEYS; i++)
        hash = mix(hash + (uint64_t)at->at[i] + 0x9e37 * i);
    return hash;
}

int64_t history_appended(int64_t held, int64_t value)
{
    uint64_t hash = mix((uint64_t)held ^ mix((uint64_t)value + 1)) & ((UINT64_C(1) << COUNT_AT_BIT) - 1);
    return (int64_t)((((uint64_t)held >> COUNT_AT_BIT) + 1) << COUNT_AT_BIT | hash);
}

/* ------------------------------------------------------------------- what was tried before */

static bool seen_place(uint64_t *table, size_t cap, uint64_t hash)
{
    size_t i = (size_t)hash & (cap - 1);
    while (table[i] != 0 && table[i] != hash)
        i = (i + 1) & (cap - 1);
    bool is_new = table[i] == 0;
    table[i] = hash;
    return is_new;
}

static void seen_grow(struct search *s)
{
    size_t cap = s->seen_cap == 0 ? 1024 : 2 * s->seen_cap;
    uint64_t *to = mem_zero(cap * sizeof(*to));
    for (size_t i = 0; i < s->seen_cap; i++)
        if (s->seen[i] != 0)
            seen_place(to, cap, s->seen[i]);
    mem_free(s->seen);
    s->seen = to;
    s->seen_cap = cap;
}

/* While something may be undone, what a loss may go back to counts as well. */
static bool is_new(struct search *s, uint64_t done_hash, const struct state *at, uint64_t way)
{
    uint64_t hash = mix(done_hash ^ state_hash(at));
    if (s->losses_done < s->losses_n)
        hash = mix(hash ^ way);
    if (2 * s->seen_n >= s->seen_cap)
        seen_grow(s);
    bool new = seen_place(s->seen, s->seen_cap, hash | 1);
    s->seen_n += new;
    return new;
}

/* ------------------------------------------------------------------------- what one does */

static bool is_left(int64_t held)
{
    return held < 0;
}

/* May a key that was given up have held this? SOME: whatever. Nothing is counted or appended more often than was asked. */
static bool may_be_left(const struct history *h, int64_t held, unsigned key, int64_t value)
{
    int64_t count = value >> COUNT_AT_BIT > 0 ? value >> COUNT_AT_BIT : value, asked = 0;
    for (size_t i = 0; i < h->ops.n; i++)
        for (uint32_t k = 0; k < h->ops.at[i].parts_n; k++) {
            const struct history_part *p = &h->ops.at[i].parts[k];
            if (p->key == key && p->type == HISTORY_SET && (p->value == value || value == SOME) && i < (size_t)(held - LEFT))
                return true;
            asked += p->key == key && (p->type == HISTORY_INCR || p->type == HISTORY_APPEND);
        }
    return value == SOME ? asked > 0 : count >= 0 && count <= asked;
}

/* What was left there is what this one tells of it; where it tells nothing, nobody knows it still. */
static bool take_left(const struct history *h, const struct history_part *p, bool unsure, int64_t *key)
{
    int64_t was = p->answer;
    if (p->type == HISTORY_SET || p->type == HISTORY_APPEND || (unsure && p->type != HISTORY_IS))
        return true;
    if (p->type == HISTORY_IS)
        was = p->value;
    else if (p->type != HISTORY_GET)
        was = p->type == HISTORY_INCR ? p->answer - 1 : p->answer > 0 ? SOME : 0;
    if (!may_be_left(h, *key, p->key, was))
        return false;
    *key = was;
    return true;
}

static bool apply_part(const struct history *h, const struct history_part *p, bool unsure, int64_t *key)
{
    int64_t answer = p->answer;
    if (is_left(*key) && !take_left(h, p, unsure, key))
        return false;
    if (is_left(*key)) {
        *key = p->type == HISTORY_SET ? p->value : p->type == HISTORY_DEL ? 0 : *key;
        return true;
    }
    switch ((enum history_part_type)p->type) {
    case HISTORY_GET: answer = *key; break;
    case HISTORY_SET: *key = p->value; break;
    case HISTORY_INCR: answer = ++*key; break;
    case HISTORY_DEL:
        answer = *key != 0;
        *key = 0;
        break;
    case HISTORY_APPEND:
        *key = history_appended(*key, p->value);
        answer = *key >> COUNT_AT_BIT;
        break;
    case HISTORY_IS: return *key == p->value; /* known of one without an answer, too */
    }
    return answer == p->answer || unsure;
}

/* The keys, a bit each, that are not as it found them. */
static unsigned apply_parts(const struct history *h, const struct history_op *op, struct state *at)
{
    unsigned other = 0;
    for (uint32_t i = 0; i < op->parts_n; i++)
        if (!apply_part(h, &op->parts[i], op->unsure, &at->at[op->parts[i].key]))
            other |= 1u << op->parts[i].key;
    return other;
}

static void evict(struct state *at, unsigned keys)
{
    for (unsigned k = 0; k < HISTORY_KEYS; k++)
        if ((keys >> k & 1) != 0)
            at->at[k] = 0;
}

/* Keys that are not as it found them may have been evicted before it. */
static bool apply(const struct history *h, const struct history_op *op, struct state *at)
{
    struct state before = *at;
    unsigned other = apply_parts(h, op, at);
    if (other == 0 || !h->evicts)
        return other == 0;
    evict(&before, other);
    *at = before;
    return apply_parts(h, op, at) == 0;
}

static unsigned keys_of(const struct history_op *op, bool written)
{
    unsigned keys = 0;
    for (uint32_t i = 0; i < op->parts_n; i++)
        if (!written || (op->parts[i].type != HISTORY_GET && op->parts[i].type != HISTORY_IS))
            keys |= 1u << op->parts[i].key;
    return keys;
}

static bool writes(const struct history_op *op)
{
    return keys_of(op, true) != 0;
}

static bool is_one(unsigned keys)
{
    return (keys & (keys - 1)) == 0;
}

/* It leaves every state that explains it as it was, if what it finds there is known. */
static bool only_looks(const struct history_op *op)
{
    bool looks = !op->is_loss;
    for (uint32_t i = 0; i < op->parts_n; i++) {
        const struct history_part *p = &op->parts[i];
        looks &= p->type == HISTORY_GET || p->type == HISTORY_IS || (p->type == HISTORY_DEL && p->answer == 0);
    }
    return looks;
}

static bool appends_to(const struct history_op *op, unsigned key)
{
    for (uint32_t i = 0; i < op->parts_n; i++)
        if (op->parts[i].type == HISTORY_APPEND && op->parts[i].key == key)
            return true;
    return false;
}

/* What was before it does not show behind it: one SET or DEL. */
static bool overwrites(const struct history_op *op)
{
    return op->parts_n == 1 && (op->parts[0].type == HISTORY_SET || op->parts[0].type == HISTORY_DEL);
}

/* Did anybody perhaps see this value? */
static bool is_seen(const struct history *h, unsigned key, int64_t value)
{
    for (size_t i = 0; i < h->ops.n; i++)
        for (uint32_t k = 0; k < h->ops.at[i].parts_n; k++) {
            const struct history_part *p = &h->ops.at[i].parts[k];
            bool counts = p->type == HISTORY_INCR || p->type == HISTORY_APPEND;
            if (p->key == key && (counts || (p->type == HISTORY_GET && p->answer == value) ||
                                  (p->type == HISTORY_IS && p->value == value)))
                return true;
        }
    return false;
}

/* The same is done by both, as far as anybody could tell. */
static bool is_same(const struct history *h, const struct history_op *a, const struct history_op *b)
{
    bool same = a->parts_n == b->parts_n;
    for (uint32_t i = 0; same && i < a->parts_n; i++) {
        const struct history_part *p = &a->parts[i], *q = &b->parts[i];
        same = p->type == q->type && p->key == q->key &&
               (p->value == q->value || (p->type == HISTORY_SET && !is_seen(h, p->key, p->value) && !is_seen(h, p->key, q->value)));
    }
    return same;
}

/* ------------------------------------------------------------------------------ the search */

/* The answered one that was sent before it on its connection and is to be in the order first; NULL: none. */
static const struct history_op *awaited(const struct search *s, const struct history_op *op)
{
    const struct history_op *ops = s->h->ops.at;
    while (op->after > 0 && ops[op->after - 1].unsure)
        op = &ops[op->after - 1];
    return op->after > 0 && !s->done[op->after - 1] ? &ops[op->after - 1] : NULL;
}

/* The one answered first: whatever comes before it was called before this moment. */
static const struct history_op *most_urgent(const struct search *s)
{
    const struct history_op *ops = s->h->ops.at, *first = NULL;
    for (size_t i = s->low; i < s->sure_n && (first == NULL || ops[s->sure[i]].call <= first->answer); i++)
        if (!s->done[s->sure[i]] && (first == NULL || ops[s->sure[i]].answer < first->answer))
            first = &ops[s->sure[i]];
    return first;
}

static unsigned joined(const struct search *s, const struct history_op *op, unsigned keys)
{
    unsigned its = op->is_loss ? ALL_KEYS : keys_of(op, false);
    if ((its & keys) == 0)
        return keys;
    const struct history_op *before = awaited(s, op);
    return keys | its | (before != NULL ? keys_of(before, false) : 0);
}

/* What was answered before this moment is undone by none of the losses to come. */
static int64_t lasts_before(const struct search *s)
{
    int64_t least = INT64_MAX;
    for (size_t i = s->losses_done; i < s->losses_n; i++) {
        int64_t since = s->h->ops.at[s->losses[i]].since;
        least = since < least ? since : least;
    }
    return least;
}

static bool is_parting(const struct search *s, const struct history_op *urgent)
{
    return s->losses_done < s->losses_n && urgent->answer >= lasts_before(s);
}

/* The keys that the most urgent one has to do with, if need be by way of others that may come before it. Those of
 * other keys may as well come behind it, so they wait: but not where a loss could part them. */
static unsigned focus(const struct search *s, const struct history_op *urgent)
{
    const struct history_op *ops = s->h->ops.at;
    unsigned keys = urgent->is_loss ? ALL_KEYS : keys_of(urgent, false), before;
    if (is_parting(s, urgent))
        return ALL_KEYS;
    do {
        before = keys;
        for (size_t i = s->low; i < s->sure_n && ops[s->sure[i]].call <= urgent->answer; i++)
            if (!s->done[s->sure[i]])
                keys = joined(s, &ops[s->sure[i]], keys);
        for (size_t i = 0; i < s->unsure_n && ops[s->unsure[i]].call <= urgent->answer; i++)
            if (!s->done[s->unsure[i]])
                keys = joined(s, &ops[s->unsure[i]], keys);
    } while (keys != before);
    return keys;
}

/* Answered ones that may be next, the one answered first in front; SIZE_MAX: too many. */
static size_t candidates(const struct search *s, size_t *to, unsigned keys, int64_t until)
{
    const struct history_op *ops = s->h->ops.at;
    size_t n = 0;
    for (size_t i = s->low; i < s->sure_n && ops[s->sure[i]].call <= until; i++) {
        const struct history_op *op = &ops[s->sure[i]];
        bool touches = op->is_loss || op->parts_n == 0 || (keys_of(op, false) & keys) != 0;
        if (s->done[s->sure[i]] || !touches || awaited(s, op) != NULL)
            continue;
        if (n == CANDIDATES_MAX)
            return SIZE_MAX;
        size_t at = n++;
        for (; at > 0 && ops[to[at - 1]].answer > op->answer; at--)
            to[at] = to[at - 1];
        to[at] = s->sure[i];
    }
    return n;
}

static enum history_verdict go_on(struct search *s, const struct state *at, const struct chain_of *chain,
                                  uint64_t done_hash, uint64_t way);

/* After so many steps of the path. */
static struct state state_at(const struct search *s, size_t steps)
{
    return steps > 0 ? s->path[steps - 1].after : (struct state){{0}};
}

static bool is_equal(struct state a, struct state b)
{
    return memcmp(&a, &b, sizeof(a)) == 0;
}

static enum history_verdict go_to(struct search *s, size_t i, const struct state *next, size_t kept, uint64_t done_hash,
                                  uint64_t way)
{
    static const struct chain_of none;
    const struct history_op *op = &s->h->ops.at[i];
    uint64_t hash = done_hash ^ mix(i + 1);
    if (s->losses_done < s->losses_n && op->answer < lasts_before(s))
        way = state_hash(next); /* as far as lose() goes back */
    else if (!is_equal(state_at(s, s->depth), *next))
        way = mix(way ^ state_hash(next));
    if (!is_new(s, hash, next, way))
        return HISTORY_BAD;
    s->path[s->depth++] = (struct step){i, *next, way, kept};
    enum history_verdict v = go_on(s, next, &none, hash, way);
    s->depth--;
    return v;
}

/* A power cut: any state from now back to the last that somebody was told of in time. What an earlier one undid does
 * not come back; but what it left may go. */
static enum history_verdict lose(struct search *s, size_t i, const struct state *at, uint64_t done_hash, uint64_t way)
{
    const struct history_op *loss = &s->h->ops.at[i];
    enum history_verdict v = go_to(s, i, at, s->depth, done_hash, way);
    for (size_t k = s->depth; v == HISTORY_BAD && k > 0;) {
        const struct step *last = &s->path[k - 1];
        const struct history_op *op = &s->h->ops.at[last->op];
        if ((!op->unsure && op->answer < loss->since) || op->gives_up)
            break; /* before what was given up is what is left of it */
        k = op->is_loss ? last->kept : k - 1;
        struct state before = state_at(s, k);
        if ((writes(op) || s->h->evicts) && !is_equal(before, last->after))
            v = go_to(s, i, &before, k, done_hash, k > 0 ? s->path[k - 1].way : 0);
    }
    return v;
}

/* What is left is known from who reads it next. */
static enum history_verdict give_up(struct search *s, size_t i, uint64_t done_hash, uint64_t way)
{
    struct state left;
    for (unsigned k = 0; k < HISTORY_KEYS; k++)
        left.at[k] = LEFT + (int64_t)i;
    return go_to(s, i, &left, s->depth, done_hash, way);
}

/* Would it be answered the same if one of the chain's keys were as before the chain? Then the chain's ones of
 * that key come later, or never. */
static bool needs(const struct search *s, const struct chain_of *chain, const struct history_op *op, const struct state *at)
{
    if (chain->parting)
        return true;
    if ((keys_of(op, false) & chain->keys) == 0)
        return false;
    for (unsigned k = 0; k < HISTORY_KEYS && !chain->several; k++) {
        struct state without = *at;
        without.at[k] = chain->base.at[k];
        if ((chain->keys >> k & 1) != 0 && !appends_to(op, k) && apply(s->h, op, &without))
            return false;
    }
    return true;
}

static enum history_verdict try_sure(struct search *s, size_t i, const struct state *at, const struct chain_of *chain,
                                     uint64_t done_hash, uint64_t way)
{
    const struct history_op *op = &s->h->ops.at[i];
    struct state after = *at;
    enum history_verdict v;
    if (chain->n > 0 && (op->gives_up || (op->is_loss && !chain->parting) || !needs(s, chain, op, at)))
        return HISTORY_BAD;
    if (!op->is_loss && !apply(s->h, op, &after))
        return HISTORY_BAD;
    size_t low = s->low;
    s->done[i] = true;
    s->losses_done += op->is_loss && !op->gives_up;
    while (s->low < s->sure_n && s->done[s->sure[s->low]])
        s->low++;
    if (op->gives_up)
        v = give_up(s, i, done_hash, way);
    else if (op->is_loss)
        v = lose(s, i, at, done_hash, way);
    else
        v = go_to(s, i, &after, s->depth, done_hash, way);
    s->low = low;
    s->done[i] = false;
    s->losses_done -= op->is_loss && !op->gives_up;
    return v;
}

/* May it be the chain's next? Of equal ones the first, of those that do not touch each other in their order, and
 * none that hides the one before it. */
static bool lengthens(const struct search *s, const struct chain_of *chain, size_t nth, unsigned keys)
{
    const struct history_op *ops = s->h->ops.at, *op = &ops[s->unsure[nth]];
    if (s->done[s->unsure[nth]] || (keys_of(op, false) & keys) == 0 || awaited(s, op) != NULL)
        return false;
    for (size_t i = 0; i < nth; i++) {
        const struct history_op *other = &ops[s->unsure[i]];
        if (!s->done[s->unsure[i]] && s->alike[i] == s->alike[nth] && awaited(s, other) == NULL)
            return false;
    }
    if (chain->n == 0 || chain->parting)
        return true;
    const struct history_op *last = &ops[chain->last];
    unsigned its = keys_of(last, false);
    if ((its & keys_of(op, false)) == 0)
        return chain->last < s->unsure[nth];
    return !overwrites(op) || keys_of(last, true) != keys_of(op, true);
}

static enum history_verdict try_unsure(struct search *s, size_t nth, const struct state *at,
                                       const struct chain_of *chain, uint64_t done_hash, uint64_t way)
{
    size_t i = s->unsure[nth];
    const struct history_op *op = &s->h->ops.at[i];
    struct state after = *at;
    struct chain_of longer = *chain;
    if (!apply(s->h, op, &after))
        return HISTORY_BAD;
    if (chain->n == 0)
        longer.base = *at;
    longer.n++;
    longer.last = i;
    longer.keys |= keys_of(op, false);
    longer.several |= !is_one(keys_of(op, false));
    if (s->losses_done < s->losses_n)
        way = mix(way ^ state_hash(&after));
    s->done[i] = true;
    s->path[s->depth++] = (struct step){i, after, way, s->depth};
    enum history_verdict v = go_on(s, &after, &longer, done_hash ^ mix(i + 1), way);
    s->depth--;
    s->done[i] = false;
    return v;
}

/* What it is about may have been evicted before it, if it counts or appends there; else that would not show. Nor would
 * then what the chain did there before. */
static enum history_verdict try_evicted(struct search *s, size_t nth, const struct state *at,
                                        const struct chain_of *chain, uint64_t done_hash, uint64_t way)
{
    const struct history_op *op = &s->h->ops.at[s->unsure[nth]];
    unsigned counted = 0;
    enum history_verdict v = HISTORY_BAD;
    for (uint32_t i = 0; s->h->evicts && i < op->parts_n; i++)
        if ((op->parts[i].type == HISTORY_INCR || op->parts[i].type == HISTORY_APPEND) && at->at[op->parts[i].key] != 0)
            counted |= 1u << op->parts[i].key;
    if (!chain->several && !chain->parting)
        counted &= ~chain->keys;
    for (unsigned gone = counted; gone != 0 && v == HISTORY_BAD; gone = (gone - 1) & counted) {
        struct state left = *at;
        evict(&left, gone);
        v = try_unsure(s, nth, &left, chain, done_hash, way);
    }
    return v;
}

static bool looks_now(const struct search *s, size_t i, const struct state *at)
{
    struct state after = *at;
    return only_looks(&s->h->ops.at[i]) && apply(s->h, &s->h->ops.at[i], &after) && is_equal(after, *at);
}

static enum history_verdict go_on(struct search *s, const struct state *at, const struct chain_of *chain,
                                  uint64_t done_hash, uint64_t way)
{
    size_t next[CANDIDATES_MAX];
    const struct history_op *urgent = most_urgent(s);
    if (urgent == NULL)
        return HISTORY_GOOD; /* all that were answered are in the order */
    unsigned keys = focus(s, urgent);
    size_t n = candidates(s, next, keys, urgent->answer);
    if (n == SIZE_MAX || ++s->tries > TRIES_MAX)
        return HISTORY_UNDECIDED;
    if (s->depth >= s->deepest) {
        s->deepest = s->depth;
        s->stuck = (size_t)(urgent - s->h->ops.at);
    }
    for (size_t k = 0; k < n && chain->n == 0; k++)
        if (looks_now(s, next[k], at)) /* it may as well come now: no other order is better */
            return try_sure(s, next[k], at, chain, done_hash, way);
    enum history_verdict v = HISTORY_BAD;
    struct chain_of here = *chain;
    here.parting = is_parting(s, urgent);
    for (size_t k = 0; k < n && v == HISTORY_BAD; k++)
        v = try_sure(s, next[k], at, &here, done_hash, way);
    for (size_t k = 0; v == HISTORY_BAD && k < s->unsure_n && s->h->ops.at[s->unsure[k]].call <= urgent->answer; k++)
        if (lengthens(s, chain, k, keys)) {
            v = try_unsure(s, k, at, &here, done_hash, way);
            if (v == HISTORY_BAD)
                v = try_evicted(s, k, at, &here, done_hash, way);
        }
    return v;
}

struct history_judged history_judge(const struct history *h)
{
    static const struct chain_of none;
    size_t n = h->ops.n;
    struct search s = {.h = h, .done = mem_zero(n + 1), .path = mem_zero((n + 1) * sizeof(struct step)),
                       .sure = mem_zero((n + 1) * sizeof(size_t)), .unsure = mem_zero((n + 1) * sizeof(size_t)),
                       .alike = mem_zero((n + 1) * sizeof(size_t)), .losses = mem_zero((n + 1) * sizeof(size_t))};
    struct state empty = {{0}};
    for (size_t i = 0; i < n; i++) {
        const struct history_op *op = &h->ops.at[i];
        if (op->is_loss && !op->gives_up)
            s.losses[s.losses_n++] = i;
        if (!op->unsure)
            s.sure[s.sure_n++] = i;
        else if (writes(op)) /* of what nobody was told and nothing tells, nothing is asked */
            s.unsure[s.unsure_n++] = i;
    }
    for (size_t i = 0; i < s.unsure_n; i++)
        while (s.alike[i] < i && !is_same(h, &h->ops.at[s.unsure[s.alike[i]]], &h->ops.at[s.unsure[i]]))
            s.alike[i]++;
    enum history_verdict v = go_on(&s, &empty, &none, 0, 0);
    mem_free(s.done);
    mem_free(s.path);
    mem_free(s.sure);
    mem_free(s.unsure);
    mem_free(s.alike);
    mem_free(s.losses);
    mem_free(s.seen);
    return (struct history_judged){v, s.stuck, s.tries};
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* The checker of histories that the simulator relies on. */
#include "tests/sim/planted.h"

#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "tests/lib/unit.h"

static enum history_verdict verdict_of(const char *text)
{
    struct history h = {0};
    planted_read(&h, text);
    enum history_verdict v = history_judge(&h).verdict;
    vec_free(&h.ops);
    return v;
}

static void planted_ones_are_judged_right(void **state)
{
    (void)state;
    for (size_t i = 0; i < PLANTED; i++) {
        if (verdict_of(planted_rows[i].wrong) != HISTORY_BAD)
            fail_msg("accepted: %s", planted_rows[i].what);
        if (verdict_of(planted_rows[i].right) != HISTORY_GOOD)
            fail_msg("rejected: what is nearly %s", planted_rows[i].what);
    }
    assert_null(planted_misjudged());
}

/* ------------------------------------------------------------ against every order there is */

enum { FEW = 7 };

static bool run(const struct history_op *op, int64_t *at)
{
    for (uint32_t i = 0; i < op->parts_n; i++) {
        const struct history_part *p = &op->parts[i];
        int64_t *key = &at[p->key], answer = p->answer;
        if (p->type == HISTORY_IS && *key != p->value)
            return false;
        if (p->type == HISTORY_GET)
            answer = *key;
        if (p->type == HISTORY_DEL)
            answer = *key != 0;
        if (p->type == HISTORY_DEL)
            *key = 0;
        if (p->type == HISTORY_SET)
            *key = p->value;
        if (p->type == HISTORY_INCR)
            answer = ++*key;
        if (p->type == HISTORY_APPEND) {
            *key = history_appended(*key, p->value);
            answer = *key >> 44;
        }
        if (answer != p->answer && !op->unsure)
            return false;
    }
    return true;
}

/* states[k]: after k of the order's ops, those that a loss undid left out. */
struct naive {
    const struct history *h;
    unsigned done;
    int64_t states[2 * FEW + 1][HISTORY_KEYS];
    int64_t answers[2 * FEW + 1]; /* INT64_MAX: it may be undone whenever */
    size_t n;
};

static bool some_order(struct naive *s);

static bool then(struct naive *s, size_t i, const int64_t *at, int64_t answer)
{
    memcpy(s->states[++s->n], at, sizeof(s->states[0]));
    s->answers[s->n] = answer;
    s->done |= 1u << i;
    bool good = some_order(s);
    s->done &= ~(1u << i);
    s->n--;
    return good;
}

static bool may_be_next(const struct naive *s, size_t i)
{
    const struct history_op *ops = s->h->ops.at, *op = &ops[i];
    for (size_t k = 0; k < s->h->ops.n; k++)
        if ((s->done >> k & 1) == 0 && k != i && !ops[k].unsure && ops[k].answer < op->call)
            return false;
    size_t after = op->after;
    while (after > 0 && ops[after - 1].unsure)
        after = ops[after - 1].after;
    return (s->done >> i & 1) == 0 && (after == 0 || (s->done >> (after - 1) & 1) != 0);
}

/* Each key of a and b may hold again what a SET before gave it, or nothing; of c and d there is nothing in such histories. */
static bool some_left(struct naive *s, size_t i, int64_t *at, uint8_t key)
{
    const struct history_op *ops = s->h->ops.at;
    if (key == 2)
        return then(s, i, at, ops[i].answer);
    at[key] = 0;
    bool good = some_left(s, i, at, key + 1);
    for (size_t k = 0; k < i && !good; k++)
        for (uint32_t n = 0; n < ops[k].parts_n && !good; n++) {
            at[key] = ops[k].parts[n].value;
            good = ops[k].parts[n].type == HISTORY_SET && ops[k].parts[n].key == key && some_left(s, i, at, key + 1);
        }
    return good;
}

/* It is next, or it is so behind evictions of keys that it is about: those of others may come later. */
static bool some_eviction(struct naive *s, size_t i, const int64_t *before)
{
    const struct history_op *op = &s->h->ops.at[i];
    unsigned held = 0;
    for (uint32_t k = 0; s->h->evicts && k < op->parts_n; k++)
        held |= before[op->parts[k].key] != 0 ? 1u << op->parts[k].key : 0;
    for (unsigned gone = 0; gone <= held; gone++) {
        int64_t at[HISTORY_KEYS];
        for (unsigned k = 0; k < HISTORY_KEYS; k++)
            at[k] = (gone >> k & 1) != 0 ? 0 : before[k];
        if ((gone & ~held) == 0 && run(op, at) && then(s, i, at, op->unsure ? INT64_MAX : op->answer))
            return true;
    }
    return false;
}

static bool some_order(struct naive *s)
{
    const struct history_op *ops = s->h->ops.at;
    bool all = true;
    for (size_t i = 0; i < s->h->ops.n; i++)
        all &= ops[i].unsure || (s->done >> i & 1) != 0;
    if (all)
        return true;
    for (size_t i = 0; i < s->h->ops.n; i++) {
        int64_t at[HISTORY_KEYS];
        memcpy(at, s->states[s->n], sizeof(at));
        if (!may_be_next(s, i))
            continue;
        if (ops[i].gives_up ? some_left(s, i, at, 0) : !ops[i].is_loss && some_eviction(s, i, at))
            return true;
        for (size_t k = s->n; ops[i].is_loss && !ops[i].gives_up; k--) {
            struct naive left = *s;
            left.n = k;
            if (then(&left, i, s->states[k], ops[i].answer))
                return true;
            if (k == 0 || s->answers[k] < ops[i].since)
                break;
        }
    }
    return false;
}

/* Of a few keys and moments, so that many are nearly right; some as if they had been run in some order. */
static void draw_history(struct rng *r, struct history *h)
{
    int64_t at[HISTORY_KEYS] = {0}, of_age[HISTORY_KEYS] = {0}, now = 1, value = 0;
    size_t n = 2 + rng_below(r, FEW - 1);
    bool has_losses = rng_below(r, 4) == 0, has_given_up = !has_losses && rng_below(r, 4) == 0;
    h->evicts = rng_below(r, 4) == 0;
    for (size_t i = 0; i < n; i++) {
        struct history_op *op = vec_add(&h->ops);
        now += (int64_t)rng_below(r, 3);
        *op = (struct history_op){.call = now, .answer = now + 1 + (int64_t)rng_below(r, 6),
                                  .unsure = rng_below(r, 3) == 0, .parts_n = 1 + (rng_below(r, 4) == 0),
                                  .after = i > 0 && rng_below(r, 4) == 0 ? (uint32_t)i : 0};
        if (has_losses && rng_below(r, 4) == 0) {
            *op = (struct history_op){.call = now, .answer = now, .is_loss = true, .since = now - (int64_t)rng_below(r, 6)};
            continue;
        }
        if (rng_below(r, 2) == 0)
            memcpy(of_age, at, sizeof(at));
        if (has_given_up && rng_below(r, 4) == 0) {
            *op = (struct history_op){.call = now, .answer = now, .is_loss = true, .gives_up = true};
            memcpy(at, of_age, sizeof(at));
            continue;
        }
        if (h->evicts && rng_below(r, 3) == 0)
            at[rng_below(r, HISTORY_KEYS)] = 0;
        for (uint32_t k = 0; k < op->parts_n; k++) {
            static const uint8_t types[4][3] = {{HISTORY_GET, HISTORY_SET, HISTORY_DEL},
                                                {HISTORY_GET, HISTORY_SET, HISTORY_IS},
                                                {HISTORY_GET, HISTORY_INCR, HISTORY_DEL},
                                                {HISTORY_GET, HISTORY_APPEND, HISTORY_APPEND}};
            struct history_part *p = &op->parts[k];
            p->key = (uint8_t)(has_given_up ? rng_below(r, 2) : rng_below(r, 2) == 0 ? 2 : rng_below(r, HISTORY_KEYS));
            p->type = types[p->key][rng_below(r, 3)];
            p->value = p->type == HISTORY_IS ? at[p->key] : ++value;
        }
        struct history_op ran = *op;
        ran.unsure = true; /* it runs, whatever was to be answered */
        int64_t before[HISTORY_KEYS];
        memcpy(before, at, sizeof(at));
        if (op->unsure && rng_below(r, 2) == 0)
            continue;
        for (uint32_t k = 0; k < op->parts_n; k++) {
            struct history_op one = {.parts_n = 1, .unsure = true, .parts = {ran.parts[k]}};
            int64_t had = at[one.parts[0].key];
            if (!run(&one, at))
                continue;
            bool count = one.parts[0].type == HISTORY_APPEND, del = one.parts[0].type == HISTORY_DEL;
            int64_t has = at[one.parts[0].key];
            op->parts[k].answer = del ? had != 0 : count ? has >> 44 : one.parts[0].type == HISTORY_SET ? 0 : has;
            if (rng_below(r, 12) == 0)
                op->parts[k].answer = del ? had == 0 : op->parts[k].answer + (one.parts[0].type != HISTORY_SET);
        }
    }
}

static void tell(const struct history *h)
{
    static const char *const words[] = {"get", "set", "del", "incr", "append", "is"};
    printf("# %s\n", h->evicts ? "evicts" : "");
    for (size_t i = 0; i < h->ops.n; i++) {
        const struct history_op *op = &h->ops.at[i];
        printf("# %lld-%lld%s", (long long)op->call, (long long)op->answer, op->unsure ? "?" : "");
        if (op->is_loss)
            printf(op->gives_up ? " given up" : " loss %lld", (long long)op->since);
        if (op->after > 0)
            printf(" after %u", op->after);
        for (uint32_t k = 0; k < op->parts_n; k++)
            printf(" %s %c %lld -> %lld", words[op->parts[k].type], 'a' + op->parts[k].key, (long long)op->parts[k].value,
                   (long long)op->parts[k].answer);
        printf("\n");
    }
}

static void every_order_says_the_same(void **state)
{
    (void)state;
    struct rng r;
    size_t good_n = 0, bad_n = 0;
    rng_seed(&r, 11);
    for (unsigned i = 0; i < 40000; i++) {
        struct history h = {0};
        draw_history(&r, &h);
        struct naive s = {.h = &h};
        bool good = some_order(&s);
        struct history_judged judged = history_judge(&h);
        if (judged.verdict != (good ? HISTORY_GOOD : HISTORY_BAD))
            tell(&h);
        if (judged.verdict != (good ? HISTORY_GOOD : HISTORY_BAD))
            fail_msg("history %u: %s by trying every order, %s by the checker", i, good ? "right" : "wrong",
                     judged.verdict == HISTORY_GOOD ? "right" : "wrong");
        good_n += good;
        bad_n += !good;
        vec_free(&h.ops);
    }
    printf("# %zu right, %zu wrong\n", good_n, bad_n);
    assert_true(good_n > 5000 && bad_n > 5000);
}

/* -------------------------------------------------------------------------- long ones */

/* One slot, some ten ops at any time: each takes effect somewhere between its call and its answer; of one in fifty
 * the fate is unknown, and it was done a little later, or never. */
static void draw_long(struct rng *r, struct history *h, size_t n)
{
    enum { LATER = 20 };
    static const uint8_t types[4][4] = {{HISTORY_GET, HISTORY_SET, HISTORY_SET, HISTORY_DEL},
                                        {HISTORY_GET, HISTORY_SET, HISTORY_SET, HISTORY_DEL},
                                        {HISTORY_GET, HISTORY_INCR, HISTORY_INCR, HISTORY_DEL},
                                        {HISTORY_GET, HISTORY_APPEND, HISTORY_APPEND, HISTORY_DEL}};
    int64_t at[HISTORY_KEYS] = {0};
    VEC(size_t) later = {0};
    for (size_t i = 0; i < n; i++) {
        if (h->evicts && rng_below(r, 6) == 0)
            at[rng_below(r, HISTORY_KEYS)] = 0;
        int64_t moment = 10 * (int64_t)(i + 1) + 1000;
        struct history_op *op = vec_add(&h->ops);
        *op = (struct history_op){.call = 10 * (int64_t)i + 1000 - (int64_t)rng_below(r, 50), .parts_n = 1,
                                  .answer = moment + (int64_t)rng_below(r, 50), .unsure = rng_below(r, 50) == 0};
        op->call = i > 0 && op->call < h->ops.at[i - 1].call ? h->ops.at[i - 1].call : op->call;
        struct history_part *p = &op->parts[0];
        p->key = (uint8_t)rng_below(r, HISTORY_KEYS);
        p->type = types[p->key][rng_below(r, 4)];
        p->value = p->type == HISTORY_GET || p->type == HISTORY_DEL || p->type == HISTORY_INCR ? 0 : (int64_t)i + 1;
        if (op->unsure) {
            *vec_add(&later) = i;
        } else {
            struct history_op ran = *op;
            int64_t had = at[p->key];
            ran.unsure = true;
            run(&ran, at);
            p->answer = p->type == HISTORY_DEL ? had != 0 : p->type == HISTORY_APPEND ? at[p->key] >> 44 : at[p->key];
            p->answer = p->type == HISTORY_SET ? 0 : p->answer;
        }
        if (later.n > 0 && rng_below(r, LATER) == 0) {
            size_t which = later.at[--later.n];
            if (rng_below(r, 2) == 0)
                run(&h->ops.at[which], at);
        }
    }
    vec_free(&later);
}

static void long_ones_take_few_tries(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 5);
    for (unsigned i = 0; i < 40; i++) {
        struct history h = {.evicts = i >= 20};
        draw_long(&r, &h, h.evicts ? 500 : 2000);
        struct history_judged judged = history_judge(&h);
        printf("# %zu operations%s, %llu tries\n", h.ops.n, h.evicts ? " and evictions" : "",
               (unsigned long long)judged.tries);
        assert_int_equal(judged.verdict, HISTORY_GOOD);
        assert_true(judged.tries < 60 * 1000);
        vec_free(&h.ops);
    }
}

UNIT_TESTS("history",
           TEST(planted_ones_are_judged_right, "planted wrong histories are rejected, their right twins accepted"),
           TEST(every_order_says_the_same, "the verdict is that of trying every order, for 40,000 small histories"),
           TEST(long_ones_take_few_tries, "2,000 operations of one slot, 500 where keys are evicted, are judged in a few tries each"))

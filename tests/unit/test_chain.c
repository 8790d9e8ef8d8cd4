/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/chain.h"

#include <stdlib.h>

#include "base/rng.h"
#include "tests/lib/unit.h"

enum { ALL_MAX = 1 << 20 };

/* What ought to be in the chain, and what is. */
struct twin {
    struct chain c;
    char *want;
    size_t n;
    uint64_t put;
};

static void expect_equal(const struct twin *t)
{
    static char got[ALL_MAX];
    assert_int_equal(t->c.n, t->n);
    assert_int_equal(t->c.put, t->put);
    assert_int_equal(chain_copy(&t->c, got, ALL_MAX), t->n);
    if (t->n > 0)
        assert_memory_equal(got, t->want, t->n);
}

static void put(struct twin *t, struct rng *rng)
{
    size_t n = rng_below(rng, 3) == 0 ? rng_below(rng, 40000) : rng_below(rng, 100);
    char *to = t->want + t->n;
    for (size_t i = 0; i < n; i++)
        to[i] = (char)rng_next(rng);
    if (n <= CHAIN_CHUNK_BYTES && rng_below(rng, 2) == 0) {
        char *room = chain_room(&t->c, n);
        if (n > 0) {
            memcpy(room, to, n);
            chain_fill(&t->c, n);
        }
    } else if (rng_below(rng, 3) == 0) {
        struct chain from = {0};
        struct blob *b = blob_try(n);
        memcpy(b->p, to, n);
        b->n = n;
        chain_put(&from, slice_of(to, n / 3));
        chain_put_blob(&from, b, n / 3, n - n / 3);
        blob_drop(b, NULL);
        chain_consume(&from, n / 4, NULL);
        chain_put(&t->c, slice_of(to, n / 4));
        chain_share(&t->c, &from);
        assert_int_equal(from.n, n - n / 4);
        chain_free(&from, NULL);
    } else if (rng_below(rng, 2) == 0) {
        struct blob *b = blob_try(n);
        memcpy(b->p, to, n);
        b->n = n;
        chain_put_blob(&t->c, b, 0, n);
        blob_drop(b, NULL);
    } else {
        struct chain from = {0};
        chain_put(&from, slice_of(to, n));
        chain_append(&t->c, &from);
        assert_int_equal(from.n, 0);
    }
    t->n += n;
    t->put += n;
}

static void bytes_come_out_as_they_went_in(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 1);
    struct twin t = {.want = malloc(ALL_MAX)};
    for (unsigned i = 0; i < 5000; i++) {
        size_t n = rng_below(&rng, t.n + 1);
        switch (t.n > ALL_MAX / 2 ? 6 : rng_below(&rng, 10)) {
        case 5: /* only so much stays */
            t.put -= t.n - n;
            t.n = n;
            chain_cut(&t.c, n, NULL);
            break;
        case 6: /* so much has left */
            chain_consume(&t.c, n, NULL);
            t.n -= n;
            memmove(t.want, t.want + n, t.n);
            break;
        case 7:
            if (i % 8 == 0) {
                chain_clear(&t.c);
                t.n = t.put = 0;
            }
            break;
        default: put(&t, &rng);
        }
        expect_equal(&t);
    }
    chain_free(&t.c, NULL);
    assert_int_equal(chain_bytes(&t.c), 0);
    free(t.want);
}

static void a_cleared_chain_keeps_one_chunk(void **state)
{
    (void)state;
    struct chain c = {0};
    chain_put(&c, SLICE("a"));
    const char *chunk = c.head->p;
    for (int i = 0; i < 2000; i++)
        chain_put(&c, SLICE("0123456789"));
    chain_clear(&c);
    assert_true(chain_empty(&c));
    chain_put(&c, SLICE("b"));
    assert_ptr_equal(c.head->p, chunk);
    assert_null(c.head->next);
    chain_free(&c, NULL);
    chain_clear(&c);
    assert_int_equal(chain_bytes(&c), 0);
}

UNIT_TESTS("chain", TEST(bytes_come_out_as_they_went_in, "bytes leave a chain as they went in, however it is used (B4)"),
           TEST(a_cleared_chain_keeps_one_chunk, "a cleared chain keeps its first chunk and nothing else"))

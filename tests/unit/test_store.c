/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/store.h"

#include <stdio.h>

#include "base/bounds.h"
#include "base/mem.h"
#include "store/walker.h"
#include "tests/lib/model.h"
#include "tests/lib/unit.h"

/* ------------------------------------------------- memory that is refused */

/* The linker leads mem_try and mem_try_resize here (--wrap). refuse_at: 0: never; n: the n-th. */
static unsigned refuse_at;

void *__real_mem_try(size_t n);
void *__wrap_mem_try(size_t n);
void *__real_mem_try_resize(void *p, size_t n);
void *__wrap_mem_try_resize(void *p, size_t n);

static bool refused(void)
{
    return refuse_at > 0 && --refuse_at == 0;
}

void *__wrap_mem_try(size_t n)
{
    return refused() ? NULL : __real_mem_try(n);
}

void *__wrap_mem_try_resize(void *p, size_t n)
{
    return refused() ? NULL : __real_mem_try_resize(p, n);
}

/* ---------------------------------------------------------------- fixture */

struct told {
    struct store_ops ops;
    size_t touched, touched_all, walked, worked;
    unsigned db;
    char key[64];
    size_t key_n;
};

static void note_touched(struct store_ops *ops, unsigned db, struct slice key)
{
    struct told *t = (struct told *)ops;
    t->touched++;
    t->db = db;
    t->key_n = key.n < sizeof(t->key) ? key.n : sizeof(t->key);
    memcpy(t->key, key.p, t->key_n);
}

static void note_touched_all(struct store_ops *ops, unsigned db, unsigned replaced_by)
{
    (void)db;
    (void)replaced_by;
    ((struct told *)ops)->touched_all++;
}

static void note_walked(struct store_ops *ops, unsigned db, const struct entry *e)
{
    (void)db;
    (void)e;
    ((struct told *)ops)->walked++;
}

static void note_worked(struct store_ops *ops)
{
    ((struct told *)ops)->worked++;
}

static struct told told_new(void)
{
    return (struct told){.ops = {.touched = note_touched, .touched_all = note_touched_all, .walked = note_walked,
                                   .worked = note_worked}};
}

static struct key key(struct store *s, const char *name)
{
    return key_of(s, slice_str(name));
}

static void put(struct store *s, unsigned db, const char *name, const char *value, int64_t until_ms)
{
    struct key k = key(s, name);
    struct wall until = until_ms > 0 ? (struct wall){until_ms} : WALL_NEVER;
    assert_int_equal(store_put(s, db, &k, slice_str(value), until), ERR_OK);
}

static struct entry *get(struct store *s, unsigned db, const char *name)
{
    struct key k = key(s, name);
    return store_find(s, db, &k);
}

static void assert_value(struct store *s, unsigned db, const char *name, const char *value)
{
    char scratch[NUM_I64_CHARS];
    const struct entry *e = get(s, db, name);
    assert_non_null(e);
    assert_true(slice_equal(entry_value(e, scratch), slice_str(value)));
}

/* ------------------------------------------------------------------ tests */

/* Three sizes alone, then slotted. */
static void random_changes_agree_with_a_naive_keyspace(void **state)
{
    (void)state;
    static const unsigned sizes[] = {20, 300, 6000, 20, 300, 6000};
    for (unsigned i = 0; i < 6; i++) {
        struct rng rng;
        rng_seed(&rng, 7 + i);
        struct told told = told_new();
        struct store s;
        if (i < 3)
            store_init(&s, MODEL_DBS, 11 + i, &told.ops);
        else
            store_init_slotted(&s, 11 + i, &told.ops);
        struct model m = model_new(sizes[i]);
        for (unsigned turn = 0; turn < 40; turn++) {
            for (unsigned n = 0; n < 40 + sizes[i]; n++)
                model_change(&m, &s, &rng, turn % 8 < 4 ? 2 : 10);
            model_assert_equal(&m, &s);
            store_check(&s);
            store_idle(&s, 1000);
            graves_free(&s.graves);
        }
        assert_true(s.changes > 0);
        assert_int_equal(told.touched, 0); /* nobody watched */
        store_free(&s);
        model_free(&m);
    }
}

static void hints_of_a_batch_are_never_wrong(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 3);
    struct store s;
    store_init(&s, MODEL_DBS, 5, NULL);
    struct model m = model_new(200);
    char name[MODEL_KEY_BYTES];
    for (unsigned turn = 0; turn < 2000; turn++) {
        for (unsigned n = 0; n < 32; n++) {
            struct key k = key_of(&s, model_key_name((unsigned)rng_below(&rng, 200), name));
            unsigned db = (unsigned)rng_below(&rng, MODEL_DBS);
            store_prefetch_bucket(&s, db, &k);
            store_prefetch_entry(&s, &k);
        }
        for (unsigned n = 0; n < 3; n++)
            model_change(&m, &s, &rng, turn % 200 < 100 ? 2 : 8);
        if (turn % 16 == 0)
            model_assert_equal(&m, &s);
    }
    store_free(&s);
    model_free(&m);
}

/* Tables of as many changes: their versions are equal. */
static void hints_do_not_survive_a_swap_or_a_flush(void **state)
{
    (void)state;
    struct store s;
    store_init(&s, 2, 1, NULL);
    put(&s, 0, "a", "1", 0);
    put(&s, 1, "b", "2", 0);
    struct key a = key(&s, "a");
    store_prefetch_bucket(&s, 0, &a);
    store_prefetch_entry(&s, &a);
    store_swap(&s, 0, 1);
    assert_null(store_find(&s, 0, &a));
    store_prefetch_bucket(&s, 1, &a);
    store_prefetch_entry(&s, &a);
    store_flush(&s, 1);
    put(&s, 1, "c", "3", 0);
    assert_null(store_find(&s, 1, &a));
    store_free(&s);
}

static void only_watched_stores_tell(void **state)
{
    (void)state;
    struct told told = told_new();
    struct store s;
    store_init(&s, 2, 1, &told.ops);
    put(&s, 0, "a", "1", 0);
    assert_int_equal(told.touched, 0);
    s.watched = 1;
    put(&s, 0, "a", "2", 0);
    assert_int_equal(told.touched, 1);
    assert_slice(slice_of(told.key, told.key_n), "a");
    struct key a = key(&s, "a"), b = key(&s, "b");
    assert_int_equal(store_set_expiry(&s, 0, &a, (struct wall){5}), ERR_OK);
    assert_int_equal(told.touched, 2);
    assert_int_equal(store_copy(&s, 0, &a, 1, &b), ERR_OK);
    assert_int_equal(told.touched, 3); /* the target only */
    assert_int_equal(told.db, 1);
    assert_int_equal(store_move(&s, 0, &a, 0, &b), ERR_OK);
    assert_int_equal(told.touched, 5); /* both names */
    assert_false(store_drop(&s, 0, &a));
    assert_int_equal(told.touched, 5);
    assert_true(store_drop(&s, 0, &b));
    assert_int_equal(told.touched, 6);
    store_flush(&s, 0); /* empty: nothing happens to any key */
    assert_int_equal(told.touched_all, 0);
    store_flush(&s, 1);
    assert_int_equal(told.touched_all, 1);
    store_swap(&s, 0, 1);
    assert_int_equal(told.touched_all, 3);
    store_free(&s);
}

static void count_entry(void *who, struct entry *e)
{
    (void)e;
    ++*(size_t *)who;
}

static void scan_tells(struct store *s, struct told *told, unsigned n)
{
    size_t seen = 0;
    for (unsigned i = 0; i < n; i++) {
        char name[16];
        snprintf(name, sizeof(name), "k%u", i);
        put(s, 0, name, "v", 0);
    }
    assert_int_equal(told->worked, 0); /* a change of one key is no loop */
    assert_int_equal(store_scan(s, 0, 0, SIZE_MAX, count_entry, &seen), 0);
    assert_int_equal(seen, n);
    assert_in_range(told->worked, n / 2048, n);
}

static void a_long_loop_tells_that_work_goes_on(void **state)
{
    (void)state;
    struct told told = told_new();
    struct store s;
    store_init(&s, 1, 1, &told.ops);
    scan_tells(&s, &told, 20000);
    store_free(&s);
    told.worked = 0;
    store_init_slotted(&s, 1, &told.ops);
    scan_tells(&s, &told, 20000);
    told.worked = 0;
    store_flush(&s, 0);
    assert_in_range(told.worked, 10000, SLOTS); /* a slot each */
    store_free(&s);
}

static void a_drop_may_be_given_the_entrys_own_key(void **state)
{
    (void)state;
    struct told told = told_new();
    struct store s;
    store_init(&s, 1, 1, &told.ops);
    s.watched = 1;
    put(&s, 0, "doomed", "v", 77);
    struct key k = key_of(&s, entry_key(get(&s, 0, "doomed")));
    assert_true(store_drop(&s, 0, &k));
    assert_slice(slice_of(told.key, told.key_n), "doomed");
    assert_int_equal(store_keys_n(&s, 0), 0);
    assert_int_equal(store_bytes(&s), 0);
    store_free(&s);
}

static void a_value_may_come_from_its_own_entry(void **state)
{
    (void)state;
    struct store s;
    store_init(&s, 1, 1, NULL);
    put(&s, 0, "k", "0123456789", 0);
    char scratch[NUM_I64_CHARS];
    struct key k = key(&s, "k");
    struct slice value = slice_from(entry_value(get(&s, 0, "k"), scratch), 8);
    assert_int_equal(store_put(&s, 0, &k, value, (struct wall){9}), ERR_OK);
    assert_value(&s, 0, "k", "89");
    store_check(&s);
    store_free(&s);
}

static void a_put_in_the_same_size_stays_where_it_is(void **state)
{
    (void)state;
    struct store s;
    store_init(&s, 1, 1, NULL);
    put(&s, 0, "k", "abcdefgh", 0);
    const struct entry *before = get(&s, 0, "k");
    put(&s, 0, "k", "ABCDEFGH", 0);
    assert_ptr_equal(get(&s, 0, "k"), before);
    assert_value(&s, 0, "k", "ABCDEFGH");
    store_free(&s);
}

static void appending_copies_each_byte_a_bounded_number_of_times(void **state)
{
    (void)state;
    struct store s;
    store_init(&s, 1, 1, NULL);
    struct key k = key(&s, "log");
    const struct blob *last = NULL;
    size_t last_cap = 0, moves = 0;
    for (size_t n = 10; n <= 1000000; n += 10) {
        char *p = store_edit(&s, 0, &k, n);
        assert_non_null(p);
        p[n - 1] = 'x';
        const struct blob *b = entry_blob(store_find(&s, 0, &k));
        size_t cap = b != NULL ? b->cap : 0;
        moves += b != last || cap != last_cap;
        last = b;
        last_cap = cap;
    }
    assert_true(moves < 60); /* a million bytes, a quarter more each time */
    assert_int_equal(store_find(&s, 0, &k)->encoding, ENTRY_ENC_RAW);
    store_check(&s);
    store_free(&s);
}

static void an_edit_leaves_other_readers_their_bytes(void **state)
{
    (void)state;
    struct store s;
    store_init(&s, 1, 1, NULL);
    struct key k = key(&s, "big"), copy = key(&s, "copy");
    memset(store_edit(&s, 0, &k, 100000), 'a', 100000);
    struct blob *reader = blob_share(entry_blob(store_find(&s, 0, &k)));
    assert_int_equal(store_copy(&s, 0, &k, 0, &copy), ERR_OK);
    store_edit(&s, 0, &k, 100001)[50] = 'b';
    assert_int_equal(reader->p[50], 'a');
    assert_int_equal(entry_blob(store_find(&s, 0, &copy))->p[50], 'a');
    assert_int_equal(entry_blob(store_find(&s, 0, &k))->p[50], 'b');
    const struct blob *own = entry_blob(store_find(&s, 0, &k));
    store_edit(&s, 0, &k, 100001)[51] = 'b';
    assert_ptr_equal(entry_blob(store_find(&s, 0, &k)), own); /* alone now: no second copy */
    blob_drop(reader, NULL);
    store_check(&s);
    store_free(&s);
}

static void a_blob_goes_in_without_a_copy_and_to_the_graves(void **state)
{
    (void)state;
    struct store s;
    store_init(&s, 1, 1, NULL);
    struct key k = key(&s, "k");
    struct blob *b = blob_try(GRAVE_MIN_BYTES);
    memset(b->p, 'v', b->n = GRAVE_MIN_BYTES);
    assert_int_equal(store_put_blob(&s, 0, &k, b, WALL_NEVER), ERR_OK);
    assert_ptr_equal(entry_blob(store_find(&s, 0, &k)), b);
    assert_int_equal(b->refs, 1);
    assert_true(store_drop(&s, 0, &k));
    assert_int_equal(s.graves.dead.n, 1);
    struct blob *small = blob_try(5000);
    memcpy(small->p, "12", small->n = 2);
    assert_int_equal(store_put_blob(&s, 0, &k, small, WALL_NEVER), ERR_OK);
    assert_null(entry_blob(store_find(&s, 0, &k)));
    assert_int_equal(store_find(&s, 0, &k)->encoding, ENTRY_ENC_INT);
    store_free(&s);
}

static void a_flush_is_seen_at_once_and_freed_in_steps(void **state)
{
    (void)state;
    struct store s;
    store_init(&s, 2, 1, NULL);
    char name[MODEL_KEY_BYTES];
    for (unsigned i = 0; i < 50000; i++) {
        struct key k = key_of(&s, model_key_name(i, name));
        assert_int_equal(store_put(&s, 1, &k, SLICE("value"), (struct wall){1000}), ERR_OK);
    }
    put(&s, 0, "stays", "1", 0);
    size_t of_db_0 = s.slots[0].entry_bytes, all = s.entry_bytes;
    assert_false(store_has_idle_work(&s));
    store_flush(&s, 1);
    assert_int_equal(store_keys_n(&s, 1), 0);
    assert_int_equal(store_dues_n(&s, 1), 0);
    assert_int_equal(s.entry_bytes, of_db_0);
    assert_int_equal(s.dying_bytes, all - of_db_0);
    put(&s, 1, "new", "2", 50);
    unsigned steps = 0;
    size_t before = s.dying_bytes;
    while (store_has_idle_work(&s)) {
        store_idle(&s, 1000);
        assert_true(before - s.dying_bytes <= 1007 * 512); /* no key is longer than that */
        before = s.dying_bytes;
        steps++;
    }
    assert_true(steps >= 50 && steps < 200);
    assert_int_equal(s.dying_bytes, 0);
    assert_value(&s, 1, "new", "2");
    assert_value(&s, 0, "stays", "1");
    store_check(&s);
    store_free(&s);
}

static void average_expiry_is_kept(void **state)
{
    (void)state;
    struct store s;
    store_init(&s, 1, 1, NULL);
    put(&s, 0, "a", "1", 1000);
    put(&s, 0, "b", "1", 3000);
    assert_true(s.slots[0].due_ms_sum == 4000);
    put(&s, 0, "a", "1", 2000);
    assert_true(s.slots[0].due_ms_sum == 5000);
    put(&s, 0, "a", "1", 0);
    assert_true(s.slots[0].due_ms_sum == 3000);
    struct key b = key(&s, "b");
    assert_true(store_drop(&s, 0, &b));
    assert_true(s.slots[0].due_ms_sum == 0);
    store_free(&s);
}

/* ------------------------------------------------------- memory is refused */

static char long_value[70000];

static enum err put_short(struct store *s, const struct key *k)
{
    return store_put(s, 0, k, SLICE("quite another value, and a longer one"), (struct wall){12});
}

static enum err put_long(struct store *s, const struct key *k)
{
    return store_put(s, 0, k, slice_of(long_value, sizeof(long_value)), WALL_NEVER);
}

static enum err put_blob(struct store *s, const struct key *k)
{
    struct blob *b = mem_get(sizeof(*b) + 5000);
    *b = (struct blob){.refs = 1, .n = 5000, .cap = 5000};
    memset(b->p, 'p', 5000);
    enum err err = store_put_blob(s, 0, k, b, (struct wall){12});
    if (err != ERR_OK) {
        assert_int_equal(b->refs, 1); /* still ours */
        blob_drop(b, NULL);
    }
    return err;
}

static enum err edit(struct store *s, const struct key *k)
{
    return store_edit(s, 0, k, 60) != NULL ? ERR_OK : ERR_NOMEM;
}

static enum err edit_long(struct store *s, const struct key *k)
{
    return store_edit(s, 0, k, 90000) != NULL ? ERR_OK : ERR_NOMEM;
}

static enum err rename_it(struct store *s, const struct key *k)
{
    struct key to = key(s, "another name");
    return store_find(s, 0, k) != NULL ? store_move(s, 0, k, 0, &to) : ERR_OK;
}

static enum err copy_it(struct store *s, const struct key *k)
{
    struct key to = key(s, "another name");
    return store_find(s, 0, k) != NULL ? store_copy(s, 0, k, 1, &to) : ERR_OK;
}

static enum err expire_it(struct store *s, const struct key *k)
{
    return store_find(s, 0, k) != NULL ? store_set_expiry(s, 0, k, (struct wall){99}) : ERR_OK;
}

static enum err number_it(struct store *s, const struct key *k)
{
    return store_find(s, 0, k) != NULL ? store_put_number(s, 0, k, INT64_MIN) : ERR_OK;
}

/* The store before: some neighbours, the target of renames, and k in one of several shapes. */
static void prepare(struct store *s, unsigned shape)
{
    put(s, 0, "another name", "target", 30);
    put(s, 1, "another name", "target", 0);
    struct key k = key(s, "k");
    if (shape == 1)
        put(s, 0, "k", "5", 0);
    if (shape == 2)
        put(s, 0, "k", "short", 10);
    if (shape == 3)
        assert_non_null(store_edit(s, 0, &k, 2000));
}

struct sums {
    size_t entry_bytes, bytes, keys_n, dues_n;
    uint64_t changes;
    char value[2000]; /* no padding: sums are compared byte for byte */
    size_t value_n;
    int64_t until;
};

static struct sums sums_of(struct store *s)
{
    struct sums sums = {s->entry_bytes, store_bytes(s), store_keys_n(s, 0), store_dues_n(s, 0),
                        s->changes, "", 0, -1};
    const struct entry *e = get(s, 0, "k");
    if (e != NULL) {
        char scratch[NUM_I64_CHARS];
        struct slice value = entry_value(e, scratch);
        memcpy(sums.value, value.p, value.n);
        sums.value_n = value.n;
        sums.until = entry_expiry(e).ms;
    }
    return sums;
}

static void what_memory_refuses_changes_nothing(void **state)
{
    (void)state;
    static enum err (*const acts[])(struct store *s, const struct key *k) = {
        put_short, put_long, put_blob, edit, edit_long, rename_it, copy_it, expire_it, number_it};
    unsigned refusals = 0;
    for (unsigned act = 0; act < sizeof(acts) / sizeof(acts[0]); act++)
        for (unsigned shape = 0; shape < 4; shape++)
            for (unsigned at = 1;; at++) {
                struct told told = told_new();
                struct store s;
                store_init(&s, 2, 1, &told.ops);
                prepare(&s, shape);
                struct sums before = sums_of(&s);
                struct key k = key(&s, "k");
                s.watched = 1;
                refuse_at = at;
                enum err err = acts[act](&s, &k);
                bool was_refused = refuse_at == 0;
                refuse_at = 0;
                if (err != ERR_OK) {
                    assert_int_equal(err, ERR_NOMEM);
                    struct sums after = sums_of(&s);
                    assert_memory_equal(&before, &after, sizeof(before));
                    assert_value(&s, 0, "another name", "target");
                    assert_value(&s, 1, "another name", "target");
                    assert_int_equal(told.touched, 0);
                    refusals++;
                }
                store_check(&s);
                store_free(&s);
                if (!was_refused)
                    break;
                assert_true(at < 20);
            }
    assert_true(refusals > 30);
}

UNIT_TESTS("store",
           TEST(random_changes_agree_with_a_naive_keyspace,
                "random changes agree with a naive keyspace (S1, S2, S3)"),
           TEST(hints_of_a_batch_are_never_wrong, "hints of a batch are never wrong"),
           TEST(hints_do_not_survive_a_swap_or_a_flush, "hints do not survive a swap or a flush"),
           TEST(only_watched_stores_tell, "touched keys are told while somebody watches, not else"),
           TEST(a_long_loop_tells_that_work_goes_on, "a long loop tells that work goes on (S9)"),
           TEST(a_drop_may_be_given_the_entrys_own_key, "a drop may be given the entry's own key"),
           TEST(a_value_may_come_from_its_own_entry, "a value may come from its own entry"),
           TEST(a_put_in_the_same_size_stays_where_it_is, "a put of the same size stays where it is"),
           TEST(appending_copies_each_byte_a_bounded_number_of_times,
                "appending copies each byte a bounded number of times"),
           TEST(an_edit_leaves_other_readers_their_bytes, "an edit leaves other readers their bytes"),
           TEST(a_blob_goes_in_without_a_copy_and_to_the_graves,
                "a blob goes in without a copy, and big memory to the graves (S5)"),
           TEST(a_flush_is_seen_at_once_and_freed_in_steps,
                "a flush is seen at once and freed in steps (S3, S5)"),
           TEST(average_expiry_is_kept, "the sum of expiries follows every change"),
           TEST(what_memory_refuses_changes_nothing,
                "what memory refuses changes nothing and is not told (S4)"))

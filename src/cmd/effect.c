/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/effect.h"

#include "base/num.h"

enum { EFFECT_SHORT_BYTES = 4096 };      /* key and value of a SET written in one go */
enum { HEAD_BYTES = NUM_I64_CHARS + 3 }; /* "$<n>\r\n" */

static void put_raw(struct effects *e, struct slice s)
{
    chain_put(&e->bytes, s);
}

/* "<mark><v>\r\n" into room that is there; its end. */
static inline char *head_into(char *to, char mark, size_t v)
{
    *to++ = mark;
    to += num_put_u64(to, v);
    memcpy(to, "\r\n", 2);
    return to + 2;
}

static inline char *bulk_into(char *to, struct slice s)
{
    to = slice_copy(head_into(to, '$', s.n), s);
    memcpy(to, "\r\n", 2);
    return to + 2;
}

static void put_head(struct effects *e, char mark, size_t v)
{
    char *to = chain_room(&e->bytes, HEAD_BYTES);
    chain_fill(&e->bytes, (size_t)(head_into(to, mark, v) - to));
}

/* More follows: the window takes only the first command. */
static void window_back(struct effects *e)
{
    if (e->window_n > 0)
        put_raw(e, slice_of(e->window, e->window_n));
    e->window_n = e->window_max = 0;
}

static void command_begin(struct effects *e, unsigned db)
{
    char text[NUM_I64_CHARS];
    window_back(e);
    e->n++;
    if (__builtin_expect(e->db == db, 1))
        return;
    e->db = db;
    put_raw(e, SLICE("*2\r\n$6\r\nSELECT\r\n"));
    effect_arg(e, slice_of(text, num_put_u64(text, db)));
}

/* The same where all of it takes so many bytes at most: where they go. */
static char *short_begin(struct effects *e, unsigned db, size_t bytes)
{
    if (e->n == 0 && bytes <= e->window_max && e->db == db) {
        e->n = 1;
        return e->window;
    }
    command_begin(e, db);
    return chain_room(&e->bytes, bytes);
}

static void short_end(struct effects *e, const char *from, const char *to)
{
    if (e->window_max > 0)
        e->window_n = (size_t)(to - from);
    else
        chain_fill(&e->bytes, (size_t)(to - from));
}

void effect_begin(struct effects *e, unsigned db, size_t argc)
{
    if (e->off)
        return;
    command_begin(e, db);
    put_head(e, '*', argc);
}

void effect_arg(struct effects *e, struct slice s)
{
    if (e->off)
        return;
    if (s.n <= EFFECT_SHORT_BYTES) {
        char *to = chain_room(&e->bytes, s.n + HEAD_BYTES + 2);
        chain_fill(&e->bytes, (size_t)(bulk_into(to, s) - to));
        return;
    }
    put_head(e, '$', s.n);
    put_raw(e, s);
    put_raw(e, SLICE("\r\n"));
}

void effect_arg_i64(struct effects *e, int64_t v)
{
    char text[NUM_I64_CHARS];
    effect_arg(e, slice_of(text, num_put_i64(text, v)));
}

void effect_arg_blob(struct effects *e, struct blob *b)
{
    if (e->off)
        return;
    put_head(e, '$', b->n);
    chain_put_blob(&e->bytes, b, 0, b->n);
    put_raw(e, SLICE("\r\n"));
}

/* Few words, all short: how many bytes they take at most in one piece, else 0. */
static size_t short_bytes(const struct slice *argv, size_t argc)
{
    size_t n = (argc + 1) * (HEAD_BYTES + 2);
    if (argc > 8)
        return 0;
    for (size_t i = 0; i < argc; i++) {
        if (argv[i].n > EFFECT_SHORT_BYTES / 8)
            return 0;
        n += argv[i].n;
    }
    return n;
}

void effect_argv(struct effects *e, unsigned db, const struct slice *argv,
                 struct blob *const *blobs, size_t argc)
{
    if (e->off)
        return;
    size_t bytes = short_bytes(argv, argc);
    if (bytes > 0) {
        char *from = short_begin(e, db, bytes), *to = head_into(from, '*', argc);
        for (size_t i = 0; i < argc; i++)
            to = bulk_into(to, argv[i]);
        short_end(e, from, to);
        return;
    }
    effect_begin(e, db, argc);
    for (size_t i = 0; i < argc; i++)
        if (blobs != NULL && blobs[i] != NULL)
            effect_arg_blob(e, blobs[i]);
        else
            effect_arg(e, argv[i]);
}

void effect_del(struct effects *e, unsigned db, struct slice key)
{
    effect_begin(e, db, 2);
    effect_arg(e, SLICE("DEL"));
    effect_arg(e, key);
}

/* The command there is most of, in one piece. */
static void set_short(struct effects *e, unsigned db, struct slice key, struct slice value)
{
    static const char begin[] = "*3\r\n$3\r\nSET\r\n";
    char *from = short_begin(e, db, sizeof(begin) + 2 * (HEAD_BYTES + 2) + key.n + value.n);
    memcpy(from, begin, sizeof(begin) - 1);
    char *to = bulk_into(from + sizeof(begin) - 1, key);
    short_end(e, from, bulk_into(to, value));
}

void effect_set(struct effects *e, unsigned db, struct slice key, struct slice value,
                struct blob *blob, struct wall until)
{
    if (e->off)
        return;
    bool expires = !wall_is_never(until);
    if (!expires && value.n <= EFFECT_SHORT_BYTES && key.n <= EFFECT_SHORT_BYTES) {
        set_short(e, db, key, value);
        return;
    }
    effect_begin(e, db, expires ? 5 : 3);
    effect_arg(e, SLICE("SET"));
    effect_arg(e, key);
    if (blob != NULL)
        effect_arg_blob(e, blob);
    else
        effect_arg(e, value);
    if (expires) {
        effect_arg(e, SLICE("PXAT"));
        effect_arg_i64(e, until.ms);
    }
}

void effect_expire(struct effects *e, unsigned db, struct slice key, struct wall until)
{
    bool expires = !wall_is_never(until);
    effect_begin(e, db, expires ? 3 : 2);
    effect_arg(e, expires ? SLICE("PEXPIREAT") : SLICE("PERSIST"));
    effect_arg(e, key);
    if (expires)
        effect_arg_i64(e, until.ms);
}

void effect_flush_slot(struct effects *e, unsigned slot)
{
    effect_slot(e, slot);
    effect_begin(e, 0, 2);
    effect_arg(e, SLICE("VONG.FLUSHSLOT"));
    effect_arg_i64(e, slot);
}

void effect_turn(struct effects *e, unsigned slot)
{
    uint32_t n = e->n - e->others_n;
    if (n > 0) {
        window_back(e);
        *vec_add(&e->others) = (struct effects_of_slot){e->bytes, n, e->slot};
        e->others_n = e->n;
        e->bytes = (struct chain){0};
    }
    e->slot = slot;
}

static void wrap(struct chain *bytes, uint32_t n)
{
    if (n < 2)
        return;
    struct chain whole = {0};
    chain_put(&whole, SLICE("*1\r\n$5\r\nMULTI\r\n"));
    chain_append(&whole, bytes);
    chain_put(&whole, SLICE("*1\r\n$4\r\nEXEC\r\n"));
    *bytes = whole;
}

void effect_wrap(struct effects *e)
{
    wrap(&e->bytes, e->n - e->others_n);
    for (size_t i = 0; i < e->others.n; i++)
        wrap(&e->others.at[i].bytes, e->others.at[i].n);
}

void effects_done(struct effects *e)
{
    for (size_t i = 0; i < e->others.n; i++)
        chain_free(&e->others.at[i].bytes, NULL); /* emptied, it may keep a chunk */
    vec_clear(&e->others);
    e->n = e->others_n = e->expired = 0;
}

void effects_free(struct effects *e)
{
    effects_done(e);
    chain_free(&e->bytes, NULL);
    vec_free(&e->others);
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* Databases as a whole, and what needs no key at all. */
#include "base/glob.h"
#include "base/num.h"
#include "base/vec.h"
#include "cmd/handlers.h"
#include "core/types.h"

/* -------------------------------------------------------------- KEYS, SCAN */

/* What a walk over a database collects: names into a chain, entries that are due apart, since
 * nothing may be dropped while the table is visited. */
struct names {
    struct cmd *c;
    struct reply reply;
    struct chain said;
    struct slice pattern;
    bool all;  /* the pattern matches everything */
    bool none; /* a type that nothing here has */
    size_t n;
    VEC(struct entry *) due;
};

static struct names names_of(struct cmd *c, struct slice pattern)
{
    return (struct names){.c = c, .pattern = pattern, .all = slice_equal(pattern, SLICE("*"))};
}

static void name_visit(void *who, struct entry *e)
{
    struct names *names = who;
    struct slice key = entry_key(e);
    if (!names->all && !glob_match(names->pattern, key, false))
        return;
    if (is_due(names->c, e)) {
        *vec_add(&names->due) = e;
    } else if (!names->none) {
        reply_bulk(&names->reply, key);
        names->n++;
    }
}

static uint64_t names_collect(struct names *names, uint64_t cursor, size_t want)
{
    struct cmd *c = names->c;
    names->reply = (struct reply){.out = &names->said, .protocol = c->reply->protocol};
    return store_scan(c->store, c->db, cursor, want, name_visit, names);
}

static bool drop_due_entry(struct cmd *c, const struct entry *e)
{
    struct key k = key_of(c->store, entry_key(e));
    return drop_due(c, c->db, &k);
}

static void names_reply(struct names *names)
{
    struct cmd *c = names->c;
    reply_array(c->reply, names->n);
    chain_append(c->reply->out, &names->said);
    for (size_t i = 0; i < names->due.n; i++)
        drop_due_entry(c, names->due.at[i]);
    vec_free(&names->due);
}

/* KEYS pattern */
void cmd_keys(struct cmd *c)
{
    struct names names = names_of(c, c->argv[1]);
    names_collect(&names, 0, SIZE_MAX);
    names_reply(&names);
}

/* As C's strtoul reads it: a sign is allowed and a minus wraps around; "" is 0. */
static bool cursor_or_reply(struct cmd *c, uint64_t *cursor)
{
    struct slice s = c->argv[1];
    bool sign = s.n > 0 && (s.p[0] == '-' || s.p[0] == '+');
    bool minus = sign && s.p[0] == '-', good = !sign || s.n > 1;
    uint64_t v = 0;
    for (size_t i = sign; good && i < s.n; i++) {
        unsigned digit = (unsigned char)s.p[i] - (unsigned)'0';
        good = digit <= 9 && !__builtin_mul_overflow(v, (uint64_t)10, &v) &&
               !__builtin_add_overflow(v, (uint64_t)digit, &v);
    }
    if (!good)
        reply_error(c->reply, SLICE("ERR invalid cursor"));
    *cursor = minus ? 0 - v : v;
    return good;
}

static bool scan_options_or_reply(struct cmd *c, struct names *names, int64_t *want)
{
    *want = 10;
    for (uint32_t i = 2; i < c->argc; i += 2) {
        bool more = i + 1 < c->argc;
        if (more && slice_is(c->argv[i], "count")) {
            if (!arg_i64_or_reply(c, i + 1, want, NULL))
                return false;
            if (*want >= 1)
                continue;
        } else if (more && slice_is(c->argv[i], "match")) {
            names->pattern = c->argv[i + 1];
            names->all = slice_equal(names->pattern, SLICE("*"));
            continue;
        } else if (more && slice_is(c->argv[i], "type")) {
            names->none = !slice_is(c->argv[i + 1], "string");
            continue;
        }
        reply_syntax_error(c);
        return false;
    }
    return true;
}

/* SCAN cursor [MATCH pattern] [COUNT n] [TYPE type] */
void cmd_scan(struct cmd *c)
{
    struct names names = names_of(c, SLICE("*"));
    uint64_t cursor;
    int64_t want;
    if (!cursor_or_reply(c, &cursor) || !scan_options_or_reply(c, &names, &want))
        return;
    cursor = names_collect(&names, cursor, (size_t)want);
    char text[NUM_I64_CHARS];
    reply_array(c->reply, 2);
    reply_bulk(c->reply, slice_of(text, num_put_u64(text, cursor)));
    names_reply(&names);
}

/* Those that are due are dropped on the way, so it ends; while they are kept, one of them may be
 * all there is, and is told as by Redis. */
void cmd_randomkey(struct cmd *c)
{
    enum { TRIES = 100 };
    struct entry *e;
    for (int kept = 0; (e = store_random(c->store, c->db)) != NULL && is_due(c, e) && kept < TRIES;)
        kept += !drop_due_entry(c, e);
    if (e == NULL)
        reply_null(c->reply);
    else
        reply_bulk(c->reply, entry_key(e));
}

void cmd_dbsize(struct cmd *c)
{
    reply_i64(c->reply, (int64_t)store_keys_n(c->store, c->db));
}

/* ------------------------------------------------------- FLUSHDB, FLUSHALL */

/* SYNC or ASYNC makes no difference: a flush takes no time, the memory is freed in steps. */
static bool flush_option_or_reply(struct cmd *c)
{
    if (c->argc == 1 ||
        (c->argc == 2 && (slice_is(c->argv[1], "sync") || slice_is(c->argv[1], "async"))))
        return true;
    reply_syntax_error(c);
    return false;
}

static bool flush(struct cmd *c, unsigned db)
{
    if (store_keys_n(c->store, db) == 0)
        return false;
    store_flush(c->store, db);
    return true;
}

/* In a cluster: a record for each slot of ours that holds something (replication 8). */
static void flush_slots(struct cmd *c)
{
    for (unsigned slot = 0; (slot = store_slot_next(c->store, slot)) < SLOTS; slot++) {
        store_slot_flush(c->store, slot);
        effect_flush_slot(c->effects, slot);
    }
    reply_ok(c->reply);
}

void cmd_flushdb(struct cmd *c)
{
    if (!flush_option_or_reply(c))
        return;
    if (c->store->is_slotted) {
        flush_slots(c);
        return;
    }
    if (flush(c, c->db)) {
        effect_begin(c->effects, c->db, 1);
        effect_arg(c->effects, SLICE("FLUSHDB"));
    }
    reply_ok(c->reply);
}

void cmd_flushall(struct cmd *c)
{
    if (!flush_option_or_reply(c))
        return;
    if (c->store->is_slotted) {
        flush_slots(c);
        return;
    }
    bool any = false;
    for (unsigned db = 0; db < c->store->dbs_n; db++)
        any |= flush(c, db);
    if (any) {
        effect_begin(c->effects, c->db, 1);
        effect_arg(c->effects, SLICE("FLUSHALL"));
    }
    reply_ok(c->reply);
}

/* SWAPDB a b */
void cmd_swapdb(struct cmd *c)
{
    int a, b;
    if (c->store->is_slotted) {
        reply_error(c->reply, SLICE("ERR SWAPDB is not allowed in cluster mode"));
        return;
    }
    if (!arg_int_or_reply(c, 1, &a, "ERR invalid first DB index") ||
        !arg_int_or_reply(c, 2, &b, "ERR invalid second DB index"))
        return;
    int n = (int)c->store->dbs_n;
    if (a < 0 || a >= n || b < 0 || b >= n) {
        reply_error(c->reply, SLICE("ERR DB index is out of range"));
        return;
    }
    if (a != b) { /* slotted there is but one */
        store_swap(c->store, (unsigned)a, (unsigned)b);
        effect_same(c);
    }
    reply_ok(c->reply);
}

/* ---------------------------------------------------------- without a key */

/* MEMORY USAGE key [SAMPLES n] */
void cmd_memory_usage(struct cmd *c)
{
    enum { PLACE_BYTES = 9 }; /* in the table: the pointer and its tag */
    for (uint32_t i = 3; i < c->argc; i += 2) {
        int64_t samples;
        bool known = slice_is(c->argv[i], "samples") && i + 1 < c->argc;
        if (known && !arg_i64_or_reply(c, i + 1, &samples, NULL))
            return;
        if (!known || samples < 0) {
            reply_syntax_error(c);
            return;
        }
    }
    struct key k = cmd_key(c, 2);
    struct entry *e = store_find(c->store, c->db, &k); /* due or not, it takes its memory */
    if (e == NULL)
        reply_null(c->reply);
    else
        reply_i64(c->reply, (int64_t)entry_bytes(e) + PLACE_BYTES);
}

void cmd_echo(struct cmd *c)
{
    if (c->blobs != NULL && c->blobs[1] != NULL)
        reply_bulk_blob(c->reply, c->blobs[1], 0, c->blobs[1]->n);
    else
        reply_bulk(c->reply, c->argv[1]);
}

/* LOLWUT [VERSION n ...]: a drawing by chance, and who drew it. */
void cmd_lolwut(struct cmd *c)
{
    enum { ROWS = 8, COLUMNS = 40 };
    static const char marks[] = " .:-=+*#";
    int64_t version;
    if (c->argc >= 3 && slice_is(c->argv[1], "version") && !arg_i64_or_reply(c, 2, &version, NULL))
        return;
    char text[ROWS * (COLUMNS + 1) + 64];
    char *to = text;
    for (int row = 0; row < ROWS; row++) {
        for (int column = 0; column < COLUMNS; column++)
            *to++ = marks[rng_below(c->rng, (uint64_t)(row + 1))];
        *to++ = '\n';
    }
    static const char signature[] = "\nVong, drawn by chance\n";
    memcpy(to, signature, sizeof(signature) - 1);
    to += sizeof(signature) - 1;
    reply_verbatim(c->reply, slice_of(text, (size_t)(to - text)), "txt");
}

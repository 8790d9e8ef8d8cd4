/* SPDX-License-Identifier: BSD-3-Clause */

/* Strings: SET and GET with their kin, counters, ranges.
 *
 * Times are absolute from the moment they are read, and that is how effects have them. An effect is
 * a plain SET where the command was conditional or knew more than its arguments; where it is a pure
 * function of its arguments and the key (INCRBY, APPEND, SETRANGE), it is the command itself. */
#include <math.h>

#include "base/check.h"
#include "base/num.h"
#include "cmd/handlers.h"

/* ---------------------------------------------------------------- options */

enum set_option {
    SET_NX = 1,
    SET_XX = 2,
    SET_GET = 4,
    SET_KEEPTTL = 8,
    SET_EX = 16,
    SET_PX = 32,
    SET_EXAT = 64,
    SET_PXAT = 128,
    SET_PERSIST = 256
};

struct set_options {
    unsigned flags;   /* enum set_option */
    uint32_t time_at; /* the argument with the time; 0: none */
};

enum { SET_RELATIVE = SET_EX | SET_PX, SET_TIMES = SET_EX | SET_PX | SET_EXAT | SET_PXAT };

/* What each word excludes; a word may be repeated. */
static const struct set_word {
    const char *word;
    uint16_t flag, excludes;
    bool timed, of_set, of_getex;
} set_words[] = {
    {"nx", SET_NX, SET_XX, false, true, false},
    {"xx", SET_XX, SET_NX, false, true, false},
    {"get", SET_GET, 0, false, true, false},
    {"keepttl", SET_KEEPTTL, SET_TIMES, false, true, false},
    {"persist", SET_PERSIST, SET_TIMES, false, false, true},
    {"ex", SET_EX, SET_KEEPTTL | SET_PERSIST | (SET_TIMES & ~SET_EX), true, true, true},
    {"px", SET_PX, SET_KEEPTTL | SET_PERSIST | (SET_TIMES & ~SET_PX), true, true, true},
    {"exat", SET_EXAT, SET_KEEPTTL | SET_PERSIST | (SET_TIMES & ~SET_EXAT), true, true, true},
    {"pxat", SET_PXAT, SET_KEEPTTL | SET_PERSIST | (SET_TIMES & ~SET_PXAT), true, true, true},
};

static const struct set_word *set_word_of(struct slice arg, bool getex)
{
    for (size_t i = 0; i < sizeof(set_words) / sizeof(set_words[0]); i++)
        if ((getex ? set_words[i].of_getex : set_words[i].of_set) &&
            slice_is(arg, set_words[i].word))
            return &set_words[i];
    return NULL;
}

static bool set_options_or_reply(struct cmd *c, uint32_t at, bool getex, struct set_options *o)
{
    *o = (struct set_options){0};
    for (; at < c->argc; at++) {
        const struct set_word *w = set_word_of(c->argv[at], getex);
        if (w == NULL || (o->flags & w->excludes) || (w->timed && at + 1 == c->argc)) {
            reply_syntax_error(c);
            return false;
        }
        o->flags |= w->flag;
        if (w->timed)
            o->time_at = ++at;
    }
    return true;
}

static bool bad_time(struct cmd *c)
{
    reply_errorf(c->reply, "ERR invalid expire time in '%s' command", c->spec->name);
    return false;
}

/* argv[at] as an expiry, in the unit and from the beginning that the flag says. */
static bool time_or_reply(struct cmd *c, uint32_t at, unsigned flags, struct wall *until)
{
    int64_t ms;
    if (!arg_i64_or_reply(c, at, &ms, NULL))
        return false;
    if (ms <= 0)
        return bad_time(c);
    if ((flags & (SET_EX | SET_EXAT)) && __builtin_mul_overflow(ms, 1000, &ms))
        return bad_time(c);
    if ((flags & SET_RELATIVE) && __builtin_add_overflow(ms, c->now.ms, &ms))
        return bad_time(c);
    *until = until_at(ms);
    return true;
}

/* -------------------------------------------------------------------- SET */

/* argv[i] becomes the value of k, and the effect says so. */
static bool set_or_reply(struct cmd *c, const struct key *k, uint32_t i, struct wall until)
{
    if (!put_arg_or_reply(c, c->db, k, i, until))
        return false;
    effect_set(c->effects, c->db, k->s, c->argv[i], c->blobs != NULL ? c->blobs[i] : NULL, until);
    return true;
}

/* A SET whose time is over before it began leaves nothing. */
static void set_over(struct cmd *c, const struct key *k)
{
    if (store_drop(c->store, c->db, k))
        effect_del(c->effects, c->db, k->s);
}

static void set_with_options(struct cmd *c)
{
    struct set_options o;
    struct wall until = WALL_NEVER;
    if (!set_options_or_reply(c, 3, false, &o))
        return;
    if (o.time_at != 0 && !time_or_reply(c, o.time_at, o.flags, &until))
        return;

    struct key k = cmd_key(c, 1);
    bool get = (o.flags & SET_GET) != 0;
    struct entry *old = get ? look_read(c, c->db, &k) : look_write(c, c->db, &k);
    if (get && !is_string_or_reply(c, old))
        return;
    bool refused = ((o.flags & SET_NX) && old != NULL) || ((o.flags & SET_XX) && old == NULL);
    if (refused) {
        if (get && old != NULL)
            reply_entry(c, old);
        else
            reply_null(c->reply);
        return;
    }
    if ((o.flags & SET_KEEPTTL) && old != NULL)
        until = entry_expiry(old);

    /* The old value is said before it is replaced; if memory is then refused, that instead. */
    struct reply *r = c->reply;
    struct chain said = {0}, *out = r->out;
    r->out = &said;
    if (!get)
        reply_ok(r);
    else if (old != NULL)
        reply_entry(c, old);
    else
        reply_null(r);
    r->out = out;
    /* a kept time is the key's own: it is due when it is due */
    if (o.time_at != 0 && is_over(c, until))
        set_over(c, &k);
    else if (!set_or_reply(c, &k, 2, until)) {
        chain_free(&said, &c->store->graves);
        return;
    }
    chain_append(out, &said);
}

/* SET key value [NX|XX] [GET] [EX s|PX ms|EXAT s|PXAT ms|KEEPTTL] */
void cmd_set(struct cmd *c)
{
    if (c->argc > 3) {
        set_with_options(c);
        return;
    }
    /* Nothing is asked of what was there before, nor whether it was due: it goes either way. */
    if (c->blobs != NULL) {
        if (set_or_reply(c, c->first, 2, WALL_NEVER))
            reply_ok(c->reply);
        return;
    }
    const struct slice *value = &c->argv[2];
    if (store_put(c->store, c->db, c->first, *value, WALL_NEVER) != ERR_OK) {
        reply_nomem(c);
        return;
    }
    effect_set(c->effects, c->db, c->first->s, *value, NULL, WALL_NEVER);
    reply_ok(c->reply);
}

void cmd_setnx(struct cmd *c)
{
    struct key k = cmd_key(c, 1);
    if (look_write(c, c->db, &k) != NULL)
        reply_i64(c->reply, 0);
    else if (set_or_reply(c, &k, 2, WALL_NEVER))
        reply_i64(c->reply, 1);
}

static void set_until(struct cmd *c, unsigned unit)
{
    struct wall until;
    if (!time_or_reply(c, 2, unit, &until))
        return;
    struct key k = cmd_key(c, 1);
    if (set_or_reply(c, &k, 3, until))
        reply_ok(c->reply);
}

/* SETEX key seconds value */
void cmd_setex(struct cmd *c)
{
    set_until(c, SET_EX);
}

/* PSETEX key milliseconds value */
void cmd_psetex(struct cmd *c)
{
    set_until(c, SET_PX);
}

/* -------------------------------------------------------------------- GET */

void cmd_get(struct cmd *c)
{
    struct entry *e = look_read(c, c->db, c->first);
    if (e == NULL)
        reply_null(c->reply);
    else if (is_string_or_reply(c, e))
        reply_entry(c, e);
}

/* GETEX key [EX s|PX ms|EXAT s|PXAT ms|PERSIST] */
void cmd_getex(struct cmd *c)
{
    struct set_options o;
    if (!set_options_or_reply(c, 2, true, &o))
        return;
    struct key k = cmd_key(c, 1);
    struct entry *e = look_read(c, c->db, &k);
    if (e == NULL) {
        reply_null(c->reply);
        return;
    }
    struct wall until = WALL_NEVER;
    if (!is_string_or_reply(c, e) ||
        (o.time_at != 0 && !time_or_reply(c, o.time_at, o.flags, &until)))
        return;

    if (o.time_at != 0 && is_over(c, until)) {
        reply_entry(c, e);
        effect_del(c->effects, c->db, k.s);
        store_drop(c->store, c->db, &k);
        return;
    }
    bool changes = o.time_at != 0 || ((o.flags & SET_PERSIST) && !wall_is_never(entry_expiry(e)));
    if (changes && !expire_or_reply(c, &k, until))
        return;
    reply_entry(c, changes ? store_find(c->store, c->db, &k) : e); /* it may have moved */
}

void cmd_getdel(struct cmd *c)
{
    struct key k = cmd_key(c, 1);
    struct entry *e = look_read(c, c->db, &k);
    if (e == NULL) {
        reply_null(c->reply);
        return;
    }
    if (!is_string_or_reply(c, e))
        return;
    reply_entry(c, e);
    effect_del(c->effects, c->db, k.s);
    store_drop(c->store, c->db, &k);
}

/* GETSET key value */
void cmd_getset(struct cmd *c)
{
    struct key k = cmd_key(c, 1);
    struct entry *old = look_read(c, c->db, &k);
    if (!is_string_or_reply(c, old))
        return;
    struct reply *r = c->reply;
    struct chain said = {0}, *out = r->out;
    r->out = &said;
    if (old != NULL)
        reply_entry(c, old);
    else
        reply_null(r);
    r->out = out;
    if (set_or_reply(c, &k, 2, WALL_NEVER))
        chain_append(out, &said);
    else
        chain_free(&said, &c->store->graves);
}

/* ------------------------------------------------------------ several keys */

void cmd_mget(struct cmd *c)
{
    enum { TOGETHER = 16 }; /* their cache misses overlap */
    struct key keys[TOGETHER];
    reply_array(c->reply, c->argc - 1);
    for (uint32_t i = 1, n; i < c->argc; i += n) {
        cmd_goes_on(c, i / TOGETHER);
        n = c->argc - i < TOGETHER ? c->argc - i : TOGETHER;
        for (uint32_t j = 0; j < n; j++)
            key_set(&keys[j], c->store, c->argv[i + j]);
        for (uint32_t j = 0; j < n; j++)
            store_prefetch_bucket(c->store, c->db, &keys[j]);
        for (uint32_t j = 0; j < n; j++)
            store_prefetch_entry(c->store, &keys[j]);
        for (uint32_t j = 0; j < n; j++) {
            struct entry *e = look_read(c, c->db, &keys[j]);
            if (e != NULL && e->type == ENTRY_STRING)
                reply_entry(c, e);
            else
                reply_null(c->reply);
        }
    }
}

/* If memory is refused on the way, what was set so far stays and is recorded as what it is. */
static bool set_pairs_or_reply(struct cmd *c)
{
    uint32_t done = 1;
    for (; done < c->argc; done += 2) {
        cmd_goes_on(c, done / 2);
        struct key k = cmd_key(c, done);
        if (!put_arg_or_reply(c, c->db, &k, done + 1, WALL_NEVER))
            break;
    }
    if (done > 1) {
        effect_begin(c->effects, c->db, done);
        effect_arg(c->effects, SLICE("MSET"));
        for (uint32_t i = 1; i < done; i++)
            if (c->blobs != NULL && c->blobs[i] != NULL)
                effect_arg_blob(c->effects, c->blobs[i]);
            else
                effect_arg(c->effects, c->argv[i]);
    }
    return done == c->argc;
}

static bool pairs_or_reply(struct cmd *c)
{
    if (c->argc % 2 == 1)
        return true;
    reply_errorf(c->reply, "ERR wrong number of arguments for '%s' command", c->spec->name);
    return false;
}

void cmd_mset(struct cmd *c)
{
    if (pairs_or_reply(c) && set_pairs_or_reply(c))
        reply_ok(c->reply);
}

void cmd_msetnx(struct cmd *c)
{
    if (!pairs_or_reply(c))
        return;
    for (uint32_t i = 1; i < c->argc; i += 2) {
        struct key k = cmd_key(c, i);
        if (look_write(c, c->db, &k) != NULL) {
            reply_i64(c->reply, 0);
            return;
        }
    }
    if (set_pairs_or_reply(c))
        reply_i64(c->reply, 1);
}

/* ---------------------------------------------------------------- numbers */

static enum err put_number(struct cmd *c, const struct key *k, const struct entry *e, int64_t v)
{
    char text[NUM_I64_CHARS];
    if (e != NULL)
        return store_put_number(c->store, c->db, k, v);
    return store_put(c->store, c->db, k, slice_of(text, num_put_i64(text, v)), WALL_NEVER);
}

static void incr_by(struct cmd *c, int64_t by)
{
    struct key k = cmd_key(c, 1);
    struct entry *e = look_write(c, c->db, &k);
    int64_t v = 0;
    if (!is_string_or_reply(c, e))
        return;
    if (e != NULL && !entry_number(e, &v)) {
        reply_error(c->reply, SLICE("ERR value is not an integer or out of range"));
        return;
    }
    if (__builtin_add_overflow(v, by, &v)) {
        reply_error(c->reply, SLICE("ERR increment or decrement would overflow"));
        return;
    }
    if (put_number(c, &k, e, v) != ERR_OK) {
        reply_nomem(c);
        return;
    }
    effect_same(c);
    reply_i64(c->reply, v);
}

void cmd_incr(struct cmd *c)
{
    incr_by(c, 1);
}

void cmd_decr(struct cmd *c)
{
    incr_by(c, -1);
}

void cmd_incrby(struct cmd *c)
{
    int64_t by;
    if (arg_i64_or_reply(c, 2, &by, NULL))
        incr_by(c, by);
}

void cmd_decrby(struct cmd *c)
{
    int64_t by;
    if (!arg_i64_or_reply(c, 2, &by, NULL))
        return;
    if (by == INT64_MIN)
        reply_error(c->reply, SLICE("ERR decrement would overflow"));
    else
        incr_by(c, -by);
}

static bool float_or_reply(struct cmd *c, struct slice s, long double *v)
{
    if (num_get_ld(s, v))
        return true;
    reply_error(c->reply, SLICE("ERR value is not a valid float"));
    return false;
}

/* The effect has the result: another processor might add another way. */
void cmd_incrbyfloat(struct cmd *c)
{
    struct key k = cmd_key(c, 1);
    struct entry *e = look_write(c, c->db, &k);
    struct wall until = e != NULL ? entry_expiry(e) : WALL_NEVER;
    char scratch[NUM_I64_CHARS];
    long double v = 0, by;
    if (!is_string_or_reply(c, e) ||
        (e != NULL && !float_or_reply(c, entry_value(e, scratch), &v)) ||
        !float_or_reply(c, c->argv[2], &by))
        return;
    v += by;
    if (isnan(v) || isinf(v)) {
        reply_error(c->reply, SLICE("ERR increment would produce NaN or Infinity"));
        return;
    }
    char text[NUM_DOUBLE_CHARS];
    struct slice sum = slice_of(text, num_put_ld(text, v));
    if (store_put(c->store, c->db, &k, sum, until) != ERR_OK) {
        reply_nomem(c);
        return;
    }
    e = store_find(c->store, c->db, &k);
    e->encoding = (sum.n <= ENTRY_EMBSTR_MAX ? ENTRY_ENC_EMBSTR : ENTRY_ENC_RAW) & 3;
    effect_set(c->effects, c->db, k.s, sum, NULL, until);
    reply_bulk(c->reply, sum);
}

/* ------------------------------------------------------------------ pieces */

static bool fits_or_reply(struct cmd *c, uint64_t at, size_t n)
{
    int64_t max = c->config->string_max_bytes;
    if (c->replay || (at <= (uint64_t)max && n <= (uint64_t)max - at))
        return true;
    reply_error(c->reply, SLICE("ERR string exceeds maximum allowed size (proto-max-bulk-len)"));
    return false;
}

/* APPEND key value */
void cmd_append(struct cmd *c)
{
    struct key k = cmd_key(c, 1);
    struct slice more = c->argv[2];
    struct entry *e = look_write(c, c->db, &k);
    if (!is_string_or_reply(c, e))
        return;
    size_t n = e != NULL ? entry_value_n(e) : 0;
    if (e != NULL && !fits_or_reply(c, n, more.n))
        return;
    if (n == 0) {
        if (!put_arg_or_reply(c, c->db, &k, 2, e != NULL ? entry_expiry(e) : WALL_NEVER))
            return;
        if (e != NULL)
            store_find(c->store, c->db, &k)->encoding = ENTRY_ENC_RAW;
    } else {
        char *to = store_edit(c->store, c->db, &k, n + more.n);
        if (to == NULL) {
            reply_nomem(c);
            return;
        }
        memcpy(to + n, more.p, more.n);
    }
    effect_same(c);
    reply_i64(c->reply, (int64_t)(n + more.n));
}

void cmd_strlen(struct cmd *c)
{
    struct key k = cmd_key(c, 1);
    struct entry *e = look_read(c, c->db, &k);
    if (is_string_or_reply(c, e))
        reply_i64(c->reply, e != NULL ? (int64_t)entry_value_n(e) : 0);
}

/* SETRANGE key offset value */
void cmd_setrange(struct cmd *c)
{
    int64_t at;
    if (!arg_i64_or_reply(c, 2, &at, NULL))
        return;
    if (at < 0) {
        reply_error(c->reply, SLICE("ERR offset is out of range"));
        return;
    }
    struct key k = cmd_key(c, 1);
    struct slice part = c->argv[3];
    struct entry *e = look_write(c, c->db, &k);
    if (!is_string_or_reply(c, e))
        return;
    size_t n = e != NULL ? entry_value_n(e) : 0;
    if (part.n == 0) {
        reply_i64(c->reply, (int64_t)n);
        return;
    }
    if (!fits_or_reply(c, (uint64_t)at, part.n))
        return;
    size_t end = (size_t)at + part.n;
    char *to = store_edit(c->store, c->db, &k, end > n ? end : n);
    if (to == NULL) {
        reply_nomem(c);
        return;
    }
    memcpy(to + at, part.p, part.n);
    effect_same(c);
    reply_i64(c->reply, (int64_t)(end > n ? end : n));
}

/* GETRANGE key start end, and SUBSTR: both ends belong to it, negative ones count from the end. */
void cmd_getrange(struct cmd *c)
{
    int64_t start, end;
    if (!arg_i64_or_reply(c, 2, &start, NULL) || !arg_i64_or_reply(c, 3, &end, NULL))
        return;
    struct key k = cmd_key(c, 1);
    struct entry *e = look_read(c, c->db, &k);
    if (!is_string_or_reply(c, e))
        return;
    char scratch[NUM_I64_CHARS];
    struct slice s = e != NULL ? entry_value(e, scratch) : SLICE("");
    int64_t n = (int64_t)s.n;
    bool crossed = start < 0 && end < 0 && start > end;
    if (start < 0)
        start = start + n < 0 ? 0 : start + n;
    if (end < 0)
        end = end + n < 0 ? 0 : end + n;
    if (end >= n)
        end = n - 1;
    if (crossed || start > end) {
        reply_bulk(c->reply, SLICE(""));
        return;
    }
    size_t part = (size_t)(end - start + 1);
    if (entry_blob(e) != NULL)
        reply_bulk_blob(c->reply, entry_blob(e), (size_t)start, part);
    else
        reply_bulk(c->reply, slice_of(s.p + start, part));
}

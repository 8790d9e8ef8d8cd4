/* SPDX-License-Identifier: BSD-3-Clause */

/* Keys, whatever they hold: deleting, expiring, renaming, copying, looking at them. */
#include "base/check.h"
#include "base/num.h"
#include "cmd/handlers.h"
#include "store/evict.h"

/* -------------------------------------------------------------- DEL, EXISTS */

/* A key that was due is one that was not there. */
void cmd_del(struct cmd *c)
{
    uint32_t gone = 0;
    for (uint32_t i = 1; i < c->argc; i++) {
        cmd_goes_on(c, i);
        struct key k = cmd_key(c, i);
        struct entry *e = store_find(c->store, c->db, &k);
        if (e == NULL)
            continue;
        if (is_due(c, e)) {
            drop_due(c, c->db, &k);
        } else {
            store_drop(c->store, c->db, &k);
            gone++;
        }
    }
    if (gone > 0)
        effect_same(c);
    reply_i64(c->reply, gone);
}

/* Freeing is never done here: what is big goes to the graves either way. */
void cmd_unlink(struct cmd *c)
{
    cmd_del(c);
}

static void count_keys(struct cmd *c,
                       struct entry *(*find)(struct cmd *, unsigned, const struct key *))
{
    uint32_t n = 0;
    for (uint32_t i = 1; i < c->argc; i++) {
        cmd_goes_on(c, i);
        struct key k = cmd_key(c, i);
        n += find(c, c->db, &k) != NULL;
    }
    reply_i64(c->reply, n);
}

void cmd_exists(struct cmd *c)
{
    count_keys(c, look_quiet);
}

void cmd_touch(struct cmd *c)
{
    count_keys(c, look_read);
}

void cmd_type(struct cmd *c)
{
    struct key k = cmd_key(c, 1);
    reply_simple(c->reply, look_quiet(c, c->db, &k) != NULL ? SLICE("string") : SLICE("none"));
}

/* ------------------------------------------------------------------ expiry */

enum expire_option { EXPIRE_NX = 1, EXPIRE_XX = 2, EXPIRE_GT = 4, EXPIRE_LT = 8 };

static bool expire_options_or_reply(struct cmd *c, unsigned *options)
{
    static const char *const words[] = {"nx", "xx", "gt", "lt"};
    *options = 0;
    for (uint32_t i = 3; i < c->argc; i++) {
        unsigned w = 0;
        while (w < 4 && !slice_is(c->argv[i], words[w]))
            w++;
        if (w == 4) {
            struct slice shown = slice_head(c->argv[i], 512);
            reply_errorf(c->reply, "ERR Unsupported option %.*s", (int)shown.n, shown.p);
            return false;
        }
        *options |= 1u << w;
    }
    const char *clash = NULL;
    if ((*options & EXPIRE_NX) && (*options & ~(unsigned)EXPIRE_NX))
        clash = "ERR NX and XX, GT or LT options at the same time are not compatible";
    else if ((*options & EXPIRE_GT) && (*options & EXPIRE_LT))
        clash = "ERR GT and LT options at the same time are not compatible";
    if (clash != NULL)
        reply_error(c->reply, slice_str(clash));
    return clash == NULL;
}

/* argv[2], in units of so many milliseconds from `base` on, as a moment. */
static bool moment_or_reply(struct cmd *c, int64_t base_ms, int64_t unit_ms, struct wall *when)
{
    int64_t ms;
    if (!arg_i64_or_reply(c, 2, &ms, NULL))
        return false;
    if (__builtin_mul_overflow(ms, unit_ms, &ms) || __builtin_add_overflow(ms, base_ms, &ms)) {
        reply_errorf(c->reply, "ERR invalid expire time in '%s' command", c->spec->name);
        return false;
    }
    *when = until_at(ms);
    return true;
}

/* Do the options let a key that expires at `has` expire at `when`? Never is after all moments. */
static bool expire_permitted(unsigned options, struct wall has, struct wall when)
{
    if ((options & EXPIRE_NX) && !wall_is_never(has))
        return false;
    if ((options & EXPIRE_XX) && wall_is_never(has))
        return false;
    if ((options & EXPIRE_GT) && when.ms <= has.ms)
        return false;
    return !(options & EXPIRE_LT) || when.ms < has.ms;
}

static void expire(struct cmd *c, int64_t base_ms, int64_t unit_ms)
{
    unsigned options;
    struct wall when;
    if (!expire_options_or_reply(c, &options) || !moment_or_reply(c, base_ms, unit_ms, &when))
        return;
    struct key k = cmd_key(c, 1);
    struct entry *e = look_write(c, c->db, &k);
    if (e == NULL || !expire_permitted(options, entry_expiry(e), when)) {
        reply_i64(c->reply, 0);
        return;
    }
    if (is_over(c, when)) {
        effect_del(c->effects, c->db, k.s);
        store_drop(c->store, c->db, &k);
    } else if (!expire_or_reply(c, &k, when)) {
        return;
    }
    reply_i64(c->reply, 1);
}

/* EXPIRE key seconds [NX|XX|GT|LT ...]; the others alike, from another base or in another unit. */
void cmd_expire(struct cmd *c)
{
    expire(c, c->now.ms, 1000);
}

void cmd_pexpire(struct cmd *c)
{
    expire(c, c->now.ms, 1);
}

void cmd_expireat(struct cmd *c)
{
    expire(c, 0, 1000);
}

void cmd_pexpireat(struct cmd *c)
{
    expire(c, 0, 1);
}

/* -2: no such key, -1: no expiry; else what is left of it, or the moment itself. */
static void reply_expiry(struct cmd *c, bool absolute, int64_t unit_ms)
{
    struct key k = cmd_key(c, 1);
    struct entry *e = look_quiet(c, c->db, &k);
    if (e == NULL || wall_is_never(entry_expiry(e))) {
        reply_i64(c->reply, e == NULL ? -2 : -1);
        return;
    }
    int64_t ms = entry_expiry(e).ms - (absolute ? 0 : c->now.ms);
    if (ms < 0)
        ms = 0;
    reply_i64(c->reply, unit_ms == 1 ? ms : ms / 1000 + (ms % 1000 >= 500));
}

void cmd_ttl(struct cmd *c)
{
    reply_expiry(c, false, 1000);
}

void cmd_pttl(struct cmd *c)
{
    reply_expiry(c, false, 1);
}

void cmd_expiretime(struct cmd *c)
{
    reply_expiry(c, true, 1000);
}

void cmd_pexpiretime(struct cmd *c)
{
    reply_expiry(c, true, 1);
}

void cmd_persist(struct cmd *c)
{
    struct key k = cmd_key(c, 1);
    struct entry *e = look_write(c, c->db, &k);
    bool had = e != NULL && !wall_is_never(entry_expiry(e));
    if (!had || expire_or_reply(c, &k, WALL_NEVER))
        reply_i64(c->reply, had);
}

/* ------------------------------------------------------ RENAME, MOVE, COPY */

static void rename_key(struct cmd *c, bool only_new)
{
    struct key from = cmd_key(c, 1), to = cmd_key(c, 2);
    if (look_write(c, c->db, &from) == NULL) {
        reply_error(c->reply, SLICE("ERR no such key"));
        return;
    }
    bool done = false;
    if (!slice_equal(from.s, to.s) && (look_write(c, c->db, &to) == NULL || !only_new)) {
        if (store_move(c->store, c->db, &from, c->db, &to) != ERR_OK) {
            reply_nomem(c);
            return;
        }
        effect_same(c);
        done = true;
    }
    if (only_new)
        reply_i64(c->reply, done);
    else
        reply_ok(c->reply);
}

void cmd_rename(struct cmd *c)
{
    rename_key(c, false);
}

void cmd_renamenx(struct cmd *c)
{
    rename_key(c, true);
}

static bool db_or_reply(struct cmd *c, uint32_t i, unsigned *db)
{
    int v;
    if (!arg_int_or_reply(c, i, &v, NULL))
        return false;
    if (v < 0 || (unsigned)v >= c->store->dbs_n) {
        reply_error(c->reply, SLICE("ERR DB index is out of range"));
        return false;
    }
    *db = (unsigned)v;
    return true;
}

static void reply_same_object(struct cmd *c)
{
    reply_error(c->reply, SLICE("ERR source and destination objects are the same"));
}

/* MOVE key db */
void cmd_move(struct cmd *c)
{
    unsigned to;
    if (c->store->is_slotted) {
        reply_error(c->reply, SLICE("ERR MOVE is not allowed in cluster mode"));
        return;
    }
    if (!db_or_reply(c, 2, &to))
        return;
    if (to == c->db) {
        reply_same_object(c);
        return;
    }
    struct key k = cmd_key(c, 1);
    if (look_write(c, c->db, &k) == NULL || look_write(c, to, &k) != NULL) {
        reply_i64(c->reply, 0);
        return;
    }
    if (store_move(c->store, c->db, &k, to, &k) != ERR_OK) {
        reply_nomem(c);
        return;
    }
    effect_same(c);
    reply_i64(c->reply, 1);
}

/* COPY from to [DB n] [REPLACE] */
void cmd_copy(struct cmd *c)
{
    unsigned db = c->db;
    bool replace = false;
    for (uint32_t i = 3; i < c->argc; i++) {
        if (slice_is(c->argv[i], "replace")) {
            replace = true;
        } else if (slice_is(c->argv[i], "db") && i + 1 < c->argc) {
            if (c->store->is_slotted && !slice_equal(c->argv[i + 1], SLICE("0"))) {
                reply_error(
                    c->reply,
                    SLICE("ERR Copying to another database is not allowed in cluster mode"));
                return;
            }
            if (!db_or_reply(c, ++i, &db))
                return;
        } else {
            reply_syntax_error(c);
            return;
        }
    }
    struct key from = cmd_key(c, 1), to = cmd_key(c, 2);
    if (db == c->db && slice_equal(from.s, to.s)) {
        reply_same_object(c);
        return;
    }
    if (look_read(c, c->db, &from) == NULL || (look_write(c, db, &to) != NULL && !replace)) {
        reply_i64(c->reply, 0);
        return;
    }
    if (store_copy(c->store, c->db, &from, db, &to) != ERR_OK) {
        reply_nomem(c);
        return;
    }
    effect_same(c);
    reply_i64(c->reply, 1);
}

/* -------------------------------------------------------------------- SORT */

static bool sort_options_or_reply(struct cmd *c, bool may_store, uint32_t *store_at)
{
    *store_at = 0;
    for (uint32_t i = 2; i < c->argc; i++) {
        struct slice word = c->argv[i];
        uint32_t left = c->argc - i - 1;
        int64_t limit;
        if (slice_is(word, "asc") || slice_is(word, "desc") || slice_is(word, "alpha"))
            continue;
        if (slice_is(word, "limit") && left >= 2) {
            if (!arg_i64_or_reply(c, i + 1, &limit, NULL) ||
                !arg_i64_or_reply(c, i + 2, &limit, NULL))
                return false;
            i += 2;
        } else if (may_store && slice_is(word, "store") && left >= 1) {
            *store_at = ++i;
        } else if ((slice_is(word, "by") || slice_is(word, "get")) && left >= 1) {
            i++;
        } else {
            reply_syntax_error(c);
            return false;
        }
    }
    return true;
}

/* There is nothing to sort among strings: a key that is there has the wrong type, and storing the
 * sorted nothing deletes the target. */
static void sort(struct cmd *c, bool may_store)
{
    uint32_t store_at;
    if (!sort_options_or_reply(c, may_store, &store_at))
        return;
    struct key k = cmd_key(c, 1);
    struct entry *e = store_at != 0 ? look_write(c, c->db, &k) : look_read(c, c->db, &k);
    if (e != NULL) {
        reply_error(c->reply,
                    SLICE("WRONGTYPE Operation against a key holding the wrong kind of value"));
        return;
    }
    if (store_at == 0) {
        reply_array(c->reply, 0);
        return;
    }
    struct key target = cmd_key(c, store_at);
    if (store_drop(c->store, c->db, &target))
        effect_del(c->effects, c->db, target.s);
    reply_i64(c->reply, 0);
}

/* SORT key [BY pattern] [LIMIT at n] [GET pattern ...] [ASC|DESC] [ALPHA] [STORE target] */
void cmd_sort(struct cmd *c)
{
    sort(c, true);
}

void cmd_sort_ro(struct cmd *c)
{
    sort(c, false);
}

/* ------------------------------------------------------------------ OBJECT */

static struct entry *object_or_reply(struct cmd *c)
{
    struct key k = cmd_key(c, 2);
    struct entry *e = look_quiet(c, c->db, &k);
    if (e == NULL)
        reply_null(c->reply);
    return e;
}

void cmd_object_encoding(struct cmd *c)
{
    struct entry *e = object_or_reply(c);
    if (e == NULL)
        return;
    reply_bulk(c->reply, e->encoding == ENTRY_ENC_INT      ? SLICE("int")
                         : e->encoding == ENTRY_ENC_EMBSTR ? SLICE("embstr")
                                                           : SLICE("raw"));
}

/* Nothing is shared here; Redis shares its small integers and says so with the greatest int. */
void cmd_object_refcount(struct cmd *c)
{
    enum { SHARED_INTEGERS = 10000, SHARED_REFCOUNT = INT32_MAX };
    struct entry *e = object_or_reply(c);
    int64_t v;
    if (e == NULL)
        return;
    bool shared =
        e->encoding == ENTRY_ENC_INT && entry_number(e, &v) && v >= 0 && v < SHARED_INTEGERS;
    reply_i64(c->reply, shared ? SHARED_REFCOUNT : 1);
}

void cmd_object_idletime(struct cmd *c)
{
    struct entry *e = object_or_reply(c);
    if (e == NULL)
        return;
    if (c->config->lfu)
        reply_error(c->reply,
                    SLICE("ERR An LFU maxmemory policy is selected, idle time not tracked. "
                          "Please note that when switching between policies at runtime LRU "
                          "and LFU data will take some time to adjust."));
    else
        reply_i64(c->reply, (int64_t)evict_idle_seconds(c->store, e));
}

void cmd_object_freq(struct cmd *c)
{
    struct entry *e = object_or_reply(c);
    if (e == NULL)
        return;
    if (!c->config->lfu)
        reply_error(c->reply,
                    SLICE("ERR An LFU maxmemory policy is not selected, access frequency not "
                          "tracked. Please note that when switching between policies at "
                          "runtime LRU and LFU data will take some time to adjust."));
    else
        reply_i64(c->reply, evict_frequency(c->store, e));
}

void cmd_object_help(struct cmd *c)
{
    static const char *const lines[] = {
        "OBJECT <subcommand> [<arg> ...]. What it can tell of a key:",
        "ENCODING <key>",
        "    How the value is represented: int, embstr or raw.",
        "FREQ <key>",
        "    How often it is used, on a logarithmic scale (LFU policies only).",
        "IDLETIME <key>",
        "    Seconds since it was last used (all policies but the LFU ones).",
        "REFCOUNT <key>",
        "    How many references there are to the value.",
        "HELP",
        "    These lines.",
    };
    reply_array(c->reply, sizeof(lines) / sizeof(lines[0]));
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        reply_simple(c->reply, slice_str(lines[i]));
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* DEBUG, as far as test harnesses use it; refused unless enable-debug-command allows it. These may
 * take long: they are no part of serving. */
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/num.h"
#include "node/call.h"
#include "node/replay.h"
#include "store/evict.h"

static void debug_sleep(struct call *c)
{
    char text[64];
    struct slice s = slice_head(c->argv[2], sizeof(text) - 1);
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    double seconds = strtod(text, NULL);
    if (seconds > 0 && seconds < 1e6)
        c->out->sleep_us += (int64_t)(seconds * 1e6);
    reply_ok(c->reply);
}

/* ------------------------------------------------------------------- digest */

enum { DIGEST_WORDS = 3, DIGEST_HEX = 40 };

struct digest {
    uint64_t at[DIGEST_WORDS];
};

/* The same on every machine and in any order: sums of keyed hashes, with keys known to all. */
static void digest_add(struct digest *d, uint64_t salt, const struct entry *e, bool with_key)
{
    char scratch[NUM_I64_CHARS];
    struct slice value = entry_value(e, scratch);
    bool expires = !wall_is_never(entry_expiry(e));
    for (uint64_t i = 0; i < DIGEST_WORDS; i++) {
        uint64_t key = salt + 1;
        if (with_key)
            key = hash_keyed(&(struct hash_key){i, salt}, entry_key(e));
        d->at[i] += hash_keyed(&(struct hash_key){key, i + 2 * expires}, value);
    }
}

static struct slice digest_text(const struct digest *d, char to[DIGEST_HEX])
{
    num_put_hex(to, d->at[0], 16);
    num_put_hex(to + 16, d->at[1], 16);
    num_put_hex(to + 32, d->at[2] & 0xffffffff, 8);
    return slice_of(to, DIGEST_HEX);
}

struct digest_walk {
    struct digest digest;
    unsigned db;
};

static void digest_visit(void *who, struct entry *e)
{
    struct digest_walk *w = who;
    digest_add(&w->digest, w->db, e, true);
}

static void debug_digest(struct call *c)
{
    struct store *s = &c->node->store;
    struct digest_walk w = {0};
    for (w.db = 0; w.db < s->dbs_n; w.db++) {
        uint64_t cursor = 0;
        do
            cursor = store_scan(s, w.db, cursor, 1000, digest_visit, &w);
        while (cursor != 0);
    }
    char text[DIGEST_HEX];
    reply_simple(c->reply, digest_text(&w.digest, text));
}

static void debug_digest_value(struct call *c)
{
    struct store *s = &c->node->store;
    reply_array(c->reply, c->argc - 2);
    for (uint32_t i = 2; i < c->argc; i++) {
        struct key k = key_of(s, c->argv[i]);
        const struct entry *e = store_find(s, c->session->db, &k);
        struct digest d = {0};
        if (e != NULL)
            digest_add(&d, 0, e, false);
        char text[DIGEST_HEX];
        reply_simple(c->reply, digest_text(&d, text));
    }
}

/* ------------------------------------------------------------------- reload */

struct reload_walk {
    struct effects effects;
    unsigned db;
};

static void reload_visit(void *who, struct entry *e)
{
    struct reload_walk *w = who;
    char scratch[NUM_I64_CHARS];
    effect_set(&w->effects, w->db, entry_key(e), entry_value(e, scratch), entry_blob(e),
               entry_expiry(e));
}

/* The whole keyspace as the commands a new log would begin with. */
static struct buf keyspace_bytes(struct store *s)
{
    struct reload_walk w = {0};
    for (w.db = 0; w.db < s->dbs_n; w.db++) {
        uint64_t cursor = 0;
        do
            cursor = store_scan(s, w.db, cursor, 1000, reload_visit, &w);
        while (cursor != 0);
    }
    struct buf b;
    buf_init(&b, SIZE_MAX);
    for (const struct chain_part *p = w.effects.bytes.head; p != NULL; p = p->next)
        text_put(&b, slice_of(p->p, p->n));
    chain_free(&w.effects.bytes, &s->graves);
    return b;
}

static const char *reload_from(struct node *n, struct slice in)
{
    struct aof_reader *reader = mem_zero(sizeof(*reader));
    struct aof_batch batch = {0};
    const char *why = NULL;
    aof_open(reader, &(struct aof_options){.dbs_n = n->store.dbs_n, .dir = ""});
    aof_file(reader, "DEBUG RELOAD", true, in.n);
    while (in.n > 0 && why == NULL) {
        aof_batch_clear(&batch);
        size_t used = aof_feed(reader, in, true, &batch, 1000);
        const struct aof_command *failed;
        why = replay_batch(n, &batch, REPLAY_ANY, &failed);
        in = slice_from(in, used);
    }
    aof_batch_free(&batch);
    mem_free(reader);
    return why;
}

/* Everything is encoded as the log would have it, dropped, and read back: what would survive a
 * restart is what is there afterwards. The log itself is not touched. */
static void debug_reload(struct call *c)
{
    struct node *n = c->node;
    struct buf b = keyspace_bytes(&n->store);
    for (unsigned db = 0; db < n->store.dbs_n; db++)
        store_flush(&n->store, db);
    const char *why = reload_from(n, buf_slice(&b));
    buf_free(&b);
    check(why == NULL); /* what we encode, we can read */
    reply_ok(c->reply);
}

/* ------------------------------------------------------------------ the rest */

static void debug_object(struct call *c)
{
    struct store *s = &c->node->store;
    struct key k = key_of(s, c->argv[2]);
    const struct entry *e = store_find(s, c->session->db, &k);
    if (e == NULL) {
        reply_error(c->reply, SLICE("ERR no such key"));
        return;
    }
    static const char *const encodings[] = {
        [ENTRY_ENC_INT] = "int", [ENTRY_ENC_EMBSTR] = "embstr", [ENTRY_ENC_RAW] = "raw"};
    char line[256];
    int n = snprintf(
        line, sizeof(line),
        "Value at:0x0 refcount:1 encoding:%s serializedlength:%zu lru:%u lru_seconds_idle:%llu",
        encodings[e->encoding], entry_value_n(e) + 1, (unsigned)e->clock,
        (unsigned long long)evict_idle_seconds(s, e));
    reply_simple(c->reply, slice_of(line, (size_t)n));
}

static void debug_set_active_expire(struct call *c)
{
    int64_t on = 0;
    c->node->expire_off = !(num_get_i64(c->argv[2], &on) && on != 0);
    reply_ok(c->reply);
}

static void debug_log(struct call *c)
{
    struct slice text = slice_head(c->argv[2], LOG_LINE_BYTES / 2);
    log_say(c->node->log, LOG_LEVEL_WARNING, "DEBUG LOG: %.*s", (int)text.n, text.p);
    reply_ok(c->reply);
}

static void debug_error(struct call *c)
{
    reply_error(c->reply, c->argv[2]);
}

enum { POPULATE_NAME_BYTES = 256, POPULATE_VALUE_MAX = 512 * 1024 * 1024 };

static bool populate_one(struct node *n, unsigned db, struct slice prefix, int64_t i,
                         struct buf *value)
{
    char name[POPULATE_NAME_BYTES];
    int name_n = snprintf(name, sizeof(name), "%.*s:%lld", (int)prefix.n, prefix.p, (long long)i);
    struct key k = key_of(&n->store, slice_of(name, (size_t)name_n));
    if (store_find(&n->store, db, &k) != NULL || !own_has(n, k.slot))
        return true;
    char head[32];
    int head_n = snprintf(head, sizeof(head), "value:%lld", (long long)i);
    struct slice s = value->n > 0 ? buf_slice(value) : slice_of(head, (size_t)head_n);
    if (value->n > 0)
        memcpy(value->p, head, (size_t)head_n < value->n ? (size_t)head_n : value->n);
    if (store_put(&n->store, db, &k, s, WALL_NEVER) != ERR_OK)
        return false;
    effect_slot(&n->effects, k.slot);
    effect_set(&n->effects, db, k.s, s, NULL, WALL_NEVER);
    if (!n->in_exec)
        commit_effects(n); /* a record each: one of all would not be bounded */
    return true;
}

/* POPULATE count [prefix] [size]: keys that are not there yet come into being. */
static void debug_populate(struct call *c)
{
    int64_t count, size = 0;
    if (!call_i64_or_reply(c, 2, &count, NULL) ||
        (c->argc == 5 && !call_i64_or_reply(c, 4, &size, NULL)))
        return;
    struct slice prefix =
        slice_head(c->argc > 3 ? c->argv[3] : SLICE("key"), POPULATE_NAME_BYTES - 32);
    if (count < 0 || size < 0 || size > POPULATE_VALUE_MAX) {
        reply_error(c->reply, SLICE("ERR value is out of range"));
        return;
    }
    struct buf value;
    buf_init(&value, SIZE_MAX);
    if (size > 0) {
        bool room = buf_room(&value, (size_t)size) == ERR_OK;
        check(room);
        memset(value.p, 0, (size_t)size);
        value.n = (size_t)size;
    }
    bool whole = true;
    for (int64_t i = 0; i < count && whole; i++)
        whole = populate_one(c->node, c->session->db, prefix, i, &value);
    buf_free(&value);
    if (whole)
        reply_ok(c->reply);
    else
        reply_error(c->reply, SLICE("OOM memory was refused by the system"));
}

/* ------------------------------------------------------------------ dispatch */

static void debug_help(struct call *c)
{
    static const char *const lines[] = {
        "DIGEST",
        "    One number for all keys, values and whether they expire; equal if these are.",
        "DIGEST-VALUE <key> [<key> ...]",
        "    One number for each of these values.",
        "ERROR <text>",
        "    Answer this error.",
        "LOADAOF, RELOAD",
        "    Encode everything as the log would, drop it, and read it back.",
        "LOG <text>",
        "    Write a line to the log.",
        "OBJECT <key>",
        "    How a key is kept.",
        "POPULATE <count> [<prefix> [<size>]]",
        "    Make keys.",
        "SET-ACTIVE-EXPIRE (0|1)",
        "    Whether keys that are due are dropped before somebody asks for them.",
        "SLEEP <seconds>",
        "    Serve nobody for a while.",
    };
    call_help(c, lines, sizeof(lines) / sizeof(lines[0]));
}

static bool is_allowed_or_reply(struct call *c)
{
    enum protection p = c->node->options->enable_debug_command;
    if (p == PROTECTION_YES || (p == PROTECTION_LOCAL && c->session->is_loopback))
        return true;
    reply_error(
        c->reply,
        SLICE("ERR DEBUG command not allowed. If the enable-debug-command option is set to "
              "\"local\", you can run it from a local connection, otherwise you need to set this "
              "option in the configuration file, and then restart the server."));
    return false;
}

void node_debug(struct call *c)
{
    static const struct {
        const char *name;
        uint32_t least, most; /* arguments, with DEBUG and the name */
        void (*run)(struct call *c);
    } subs[] = {
        {"digest", 2, 2, debug_digest},  {"digest-value", 2, UINT32_MAX, debug_digest_value},
        {"error", 3, 3, debug_error},    {"help", 2, 2, debug_help},
        {"loadaof", 2, 2, debug_reload}, {"log", 3, 3, debug_log},
        {"object", 3, 3, debug_object},  {"populate", 3, 5, debug_populate},
        {"reload", 2, 2, debug_reload},  {"set-active-expire", 3, 3, debug_set_active_expire},
        {"sleep", 3, 3, debug_sleep},
    };
    if (!is_allowed_or_reply(c))
        return;
    for (size_t i = 0; i < sizeof(subs) / sizeof(subs[0]); i++) {
        if (!slice_is(c->argv[1], subs[i].name) || c->argc < subs[i].least ||
            c->argc > subs[i].most)
            continue;
        subs[i].run(c);
        return;
    }
    call_usage_error(c);
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* What commands answer and, above all, what they leave as effects. Replies are compared with a live
 * redis-server elsewhere (tests/fuzz/differential.py); what a record says is seen only here. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/words.h"
#include "cmd/exec.h"
#include "tests/lib/unit.h"

/* ------------------------------------------------- memory that is refused */

/* The linker leads mem_try here (--wrap). refuse_at: 0: never; n: the n-th. */
static unsigned refuse_at;

void *__real_mem_try(size_t n);
void *__wrap_mem_try(size_t n);

void *__wrap_mem_try(size_t n)
{
    return refuse_at > 0 && --refuse_at == 0 ? NULL : __real_mem_try(n);
}

/* ---------------------------------------------------------------- fixture */

enum { DBS = 4, TEXT_BYTES = 4096 };

struct world {
    struct store store;
    struct store_ops ops;
    struct effects effects;
    struct chain said;
    struct cmd_config config;
    struct cmd_stats stats;
    struct rng rng;
    struct wall now;
    unsigned db;
    int protocol;
    bool replay;
    char reply[TEXT_BYTES];
    char effect[TEXT_BYTES];
};

static void world_init(struct world *w)
{
    *w = (struct world){.now = {1000}, .protocol = 2, .config = {.string_max_bytes = 512 << 20}};
    store_init(&w->store, DBS, 7, &w->ops);
    store_clock(&w->store, w->now);
    rng_seed(&w->rng, 7);
}

static void world_free(struct world *w)
{
    chain_free(&w->effects.bytes, NULL);
    chain_free(&w->said, NULL);
    store_free(&w->store);
}

static void run_argv(struct world *w, const struct slice *argv, struct blob *const *blobs,
                     size_t argc)
{
    const struct spec *spec = spec_find(argv, argc);
    assert_non_null(spec);
    assert_true(spec_arity_fits(spec, argc));
    struct reply reply = {.out = &w->said, .protocol = w->protocol};
    struct cmd c = {.spec = spec,
                    .argv = argv,
                    .blobs = blobs,
                    .argc = (uint32_t)argc,
                    .db = w->db,
                    .now = w->now,
                    .store = &w->store,
                    .reply = &reply,
                    .effects = &w->effects,
                    .config = &w->config,
                    .stats = &w->stats,
                    .rng = &w->rng,
                    .replay = w->replay};
    struct key first;
    if (spec->first > 0) {
        first = key_of(&w->store, argv[spec->first]);
        c.first = &first;
    }
    w->effects.off = w->replay;
    /* Now and then a short effect may be written elsewhere; it means the same. */
    char window[400];
    effect_window(&w->effects, window, rng_below(&w->rng, 2) * rng_below(&w->rng, sizeof(window)));
    cmd_exec(&c);
    if (w->effects.window_n > 0) {
        assert_true(w->effects.n == 1 && chain_empty(&w->effects.bytes));
        chain_put(&w->effects.bytes, slice_of(window, w->effects.window_n));
    }
    effect_window(&w->effects, NULL, 0);
}

static struct slice flat(const struct chain *c, char *to)
{
    assert_true(c->n < TEXT_BYTES);
    return slice_of(to, chain_copy(c, to, TEXT_BYTES));
}

/* "<mark><n>\r\n" from the front of *s. */
static long head_take(struct slice *s, char mark)
{
    assert_true(s->n > 0 && s->p[0] == mark);
    const char *end = memchr(s->p, '\n', s->n);
    assert_non_null(end);
    long n = strtol(s->p + 1, NULL, 10);
    *s = slice_from(*s, (size_t)(end + 1 - s->p));
    return n;
}

/* The effects as text: "SET k v; DEL x". */
static void effects_take(struct world *w)
{
    char bytes[TEXT_BYTES];
    struct slice s = flat(&w->effects.bytes, bytes);
    size_t n = 0;
    for (uint32_t commands = 0; s.n > 0; commands++) {
        if (commands > 0)
            n += (size_t)sprintf(w->effect + n, "; ");
        long argc = head_take(&s, '*');
        for (long i = 0; i < argc; i++) {
            long len = head_take(&s, '$');
            n += (size_t)sprintf(w->effect + n, "%s%.*s", i > 0 ? " " : "", (int)len, s.p);
            s = slice_from(s, (size_t)len + 2);
        }
    }
    w->effect[n] = '\0';
    chain_free(&w->effects.bytes, NULL);
    w->effects.n = w->effects.expired = 0;
}

/* How many bytes one reply takes. */
static size_t reply_bytes(struct slice s)
{
    const char *end = memchr(s.p, '\n', s.n);
    assert_non_null(end);
    size_t line = (size_t)(end + 1 - s.p);
    long n = strtol(s.p + 1, NULL, 10);
    if (s.p[0] == '$' || s.p[0] == '=')
        return n < 0 ? line : line + (size_t)n + 2;
    long parts = s.p[0] == '*' || s.p[0] == '~' ? n : s.p[0] == '%' ? 2 * n : 0;
    size_t at = line;
    for (long i = 0; i < parts; i++)
        at += reply_bytes(slice_from(s, at));
    return at;
}

/* The reply as text, its line ends as blanks; there must be exactly one. */
static void reply_take(struct world *w)
{
    char bytes[TEXT_BYTES];
    struct slice s = flat(&w->said, bytes);
    assert_int_equal(reply_bytes(s), s.n);
    size_t n = 0;
    for (size_t i = 0; i + 2 < s.n; i++)
        if (s.p[i] != '\r')
            w->reply[n++] = s.p[i] == '\n' ? ' ' : s.p[i];
    w->reply[n] = '\0';
    chain_free(&w->said, NULL);
}

static void run(struct world *w, const char *line)
{
    struct words words = {0};
    assert_int_equal(words_split(&words, slice_str(line)), ERR_OK);
    run_argv(w, words.list.at, NULL, words.list.n);
    words_free(&words);
    reply_take(w);
    effects_take(w);
}

/* A command, its reply and its effect (NULL: none); "+5" instead of a command lets 5 ms pass. */
struct row {
    const char *line, *reply, *effect;
};

static void run_rows(struct world *w, const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (rows[i].line[0] == '+') {
            w->now.ms += strtol(rows[i].line + 1, NULL, 10);
            continue;
        }
        run(w, rows[i].line);
        const char *effect = rows[i].effect != NULL ? rows[i].effect : "";
        if (strcmp(w->reply, rows[i].reply) != 0 || strcmp(w->effect, effect) != 0)
            fail_msg("%s\nanswered %s\n  wanted %s\n    left %s\n  wanted %s", rows[i].line,
                     w->reply, rows[i].reply, w->effect, effect);
    }
}

static void check_rows(const struct row *rows, size_t n)
{
    struct world w;
    world_init(&w);
    run_rows(&w, rows, n);
    store_check(&w.store);
    world_free(&w);
}

#define CHECK_ROWS(...)                                                                            \
    do {                                                                                           \
        static const struct row rows_[] = {__VA_ARGS__};                                           \
        check_rows(rows_, sizeof(rows_) / sizeof(rows_[0]));                                       \
    } while (0)

/* ------------------------------------------------------------------- tests */

static void set_effects(void **state)
{
    (void)state;
    CHECK_ROWS({"SET k v", "+OK", "SET k v"}, {"SET k w EX 10", "+OK", "SET k w PXAT 11000"},
               {"SET k x KEEPTTL", "+OK", "SET k x PXAT 11000"}, {"SET k y NX", "$-1", NULL},
               {"SET k y NX GET", "$1 x", NULL},
               {"SET k y XX GET PX 5", "$1 x", "SET k y PXAT 1005"}, {"SET none y XX", "$-1", NULL},
               {"SET none y XX GET", "$-1", NULL}, {"SETNX k z", ":0", NULL},
               {"SETNX n z", ":1", "SET n z"}, {"SETEX k 2 a", "+OK", "SET k a PXAT 3000"},
               {"PSETEX k 2 a", "+OK", "SET k a PXAT 1002"}, {"GETSET k b", "$1 a", "SET k b"},
               {"TTL k", ":-1", NULL}, {"MSET a 1 b 2", "+OK", "MSET a 1 b 2"},
               {"MSETNX a 1 c 2", ":0", NULL}, {"MSETNX c 1 d 2", ":1", "MSET c 1 d 2"});
}

static void times_over(void **state)
{
    (void)state;
    CHECK_ROWS({"SET k v PXAT 1000", "+OK", NULL}, {"EXISTS k", ":0", NULL},
               {"SET k v PXAT 1001", "+OK", "SET k v PXAT 1001"},
               {"SET k v PXAT 1", "+OK", "DEL k"}, {"SET k v", "+OK", "SET k v"},
               {"EXPIRE k -1", ":1", "DEL k"}, {"EXPIRE k -1", ":0", NULL},
               {"SET k v", "+OK", "SET k v"}, {"GETEX k PXAT 999", "$1 v", "DEL k"},
               {"SET k v", "+OK", "SET k v"}, {"DUMP k", "$13 ", NULL});
}

static void due_keys(void **state)
{
    (void)state;
    CHECK_ROWS(
        {"SET k v PX 5", "+OK", "SET k v PXAT 1005"}, {"+5", NULL, NULL}, {"GET k", "$1 v", NULL},
        {"+1", NULL, NULL}, {"GET k", "$-1", "DEL k"}, {"GET k", "$-1", NULL},
        {"SET k 5 PX 1", "+OK", "SET k 5 PXAT 1007"}, {"+2", NULL, NULL},
        {"INCR k", ":1", "DEL k; INCR k"}, {"SET k 5 PX 1", "+OK", "SET k 5 PXAT 1009"},
        {"+2", NULL, NULL}, {"DEL k", ":0", "DEL k"}, {"SET k 5 PX 1", "+OK", "SET k 5 PXAT 1011"},
        {"+2", NULL, NULL}, {"KEYS *", "*0", "DEL k"}, {"SET k 5 PX 1", "+OK", "SET k 5 PXAT 1013"},
        {"+2", NULL, NULL}, {"SCAN 0 TYPE hash", "*2 $1 0 *0", "DEL k"},
        {"SET k 5 PX 1", "+OK", "SET k 5 PXAT 1015"}, {"+2", NULL, NULL},
        {"RANDOMKEY", "$-1", "DEL k"});
}

static void expiry_effects(void **state)
{
    (void)state;
    CHECK_ROWS(
        {"SET k v", "+OK", "SET k v"}, {"EXPIRE k 10 XX", ":0", NULL},
        {"EXPIRE k 10 GT", ":0", NULL}, {"EXPIRE k 10 LT", ":1", "PEXPIREAT k 11000"},
        {"EXPIRE k 10 NX", ":0", NULL}, {"PEXPIRE k 9999 GT", ":0", NULL},
        {"PEXPIRE k 10001 GT XX", ":1", "PEXPIREAT k 11001"},
        {"EXPIREAT k 20", ":1", "PEXPIREAT k 20000"},
        {"PEXPIREAT k 20500", ":1", "PEXPIREAT k 20500"}, {"TTL k", ":20", NULL},
        {"PTTL k", ":19500", NULL}, {"EXPIRETIME k", ":21", NULL},
        {"PEXPIRETIME k", ":20500", NULL},
        {"EXPIRE k 10 NX GT",
         "-ERR NX and XX, GT or LT options at the same time are not compatible", NULL},
        {"EXPIRE k 9223372036854775807", "-ERR invalid expire time in 'expire' command", NULL},
        {"GETEX k", "$1 v", NULL}, {"GETEX k PERSIST", "$1 v", "PERSIST k"},
        {"GETEX k PERSIST", "$1 v", NULL}, {"GETEX k EX 10", "$1 v", "PEXPIREAT k 11000"},
        {"PERSIST k", ":1", "PERSIST k"}, {"PERSIST k", ":0", NULL},
        {"PEXPIREAT k 9223372036854775807", ":1", "PEXPIREAT k 9223372036854775806"});
}

static void string_effects(void **state)
{
    (void)state;
    CHECK_ROWS({"INCRBY n 7", ":7", "INCRBY n 7"}, {"DECR n", ":6", "DECR n"},
               {"INCRBYFLOAT n 0.5", "$3 6.5", "SET n 6.5"},
               {"INCR n", "-ERR value is not an integer or out of range", NULL},
               {"PEXPIREAT n 5000", ":1", "PEXPIREAT n 5000"},
               {"INCRBYFLOAT n 0.5", "$1 7", "SET n 7 PXAT 5000"},
               {"OBJECT ENCODING n", "$6 embstr", NULL}, {"INCR n", ":8", "INCR n"},
               {"OBJECT ENCODING n", "$3 int", NULL}, {"PTTL n", ":4000", NULL},
               {"APPEND s ab", ":2", "APPEND s ab"}, {"APPEND s cd", ":4", "APPEND s cd"},
               {"SETRANGE s 6 x", ":7", "SETRANGE s 6 x"}, {"SETRANGE s 6 ''", ":7", NULL},
               {"SETRANGE e 6 ''", ":0", NULL}, {"SETBIT s 7 1", ":1", NULL},
               {"SETBIT s 7 0", ":1", "SETBIT s 7 0"}, {"GETDEL s", "$7 `bcd", "DEL s"},
               {"GETDEL s", "$-1", NULL}, {"SETBIT b 7 0", ":0", "SETBIT b 7 0"},
               {"BITFIELD b GET u8 0", "*1 :0", NULL}, {"BITFIELD b SET u8 0 0", "*1 :0", NULL},
               {"BITFIELD b SET u8 0 3 GET u8 0", "*2 :0 :3", "BITFIELD b SET u8 0 3 GET u8 0"},
               {"BITFIELD b OVERFLOW FAIL INCRBY u2 6 1", "*1 $-1", NULL},
               {"BITOP NOT t b", ":1", "BITOP NOT t b"}, {"BITOP AND t x y", ":0", "DEL t"},
               {"BITOP AND t x y", ":0", NULL});
}

static void key_effects(void **state)
{
    (void)state;
    CHECK_ROWS({"MSET a 1 b 2 c 3", "+OK", "MSET a 1 b 2 c 3"}, {"DEL x y", ":0", NULL},
               {"DEL a x", ":1", "DEL a x"}, {"UNLINK x", ":0", NULL}, {"RENAME b b", "+OK", NULL},
               {"RENAMENX b b", ":0", NULL}, {"RENAMENX b c", ":0", NULL},
               {"RENAME b c", "+OK", "RENAME b c"}, {"RENAME b c", "-ERR no such key", NULL},
               {"COPY c d", ":1", "COPY c d"}, {"COPY c d", ":0", NULL},
               {"COPY c d REPLACE DB 2", ":1", "COPY c d REPLACE DB 2"},
               {"COPY c d DB 4", "-ERR DB index is out of range", NULL},
               {"MOVE c 0", "-ERR source and destination objects are the same", NULL},
               {"MOVE c 1", ":1", "MOVE c 1"}, {"MOVE c 1", ":0", NULL},
               {"SWAPDB 0 0", "+OK", NULL}, {"SWAPDB 0 1", "+OK", "SWAPDB 0 1"},
               {"GET c", "$1 2", NULL}, {"SORT nosuch STORE c", ":0", "DEL c"},
               {"SORT nosuch STORE c", ":0", NULL}, {"FLUSHDB", "+OK", NULL},
               {"FLUSHALL ASYNC", "+OK", "FLUSHALL"}, {"FLUSHALL", "+OK", NULL},
               {"SET k v", "+OK", "SET k v"}, {"FLUSHDB SYNC", "+OK", "FLUSHDB"});
}

static void databases(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    run(&w, "SET k v");
    w.db = 2;
    run(&w, "SET k v PX 5");
    assert_string_equal(w.effect, "SELECT 2; SET k v PXAT 1005");
    run(&w, "SET l v");
    assert_string_equal(w.effect, "SET l v");
    w.db = 0;
    w.now.ms += 6;
    run(&w, "MOVE k 2");
    assert_string_equal(w.reply, ":1");
    assert_string_equal(w.effect, "DEL k; SELECT 0; MOVE k 2");
    run(&w, "GET k");
    assert_string_equal(w.effect, "");
    world_free(&w);
}

static void wrapping(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    struct effects *e = &w.effects;
    effect_del(e, 0, SLICE("a"));
    effect_wrap(e);
    assert_int_equal(e->n, 1);
    effects_take(&w);
    assert_string_equal(w.effect, "DEL a");
    effect_del(e, 3, SLICE("a"));
    effect_set(e, 3, SLICE("a"), SLICE("b"), NULL, WALL_NEVER);
    assert_int_equal(e->n, 2);
    effect_wrap(e);
    effects_take(&w);
    assert_string_equal(w.effect, "MULTI; SELECT 3; DEL a; SET a b; EXEC");
    world_free(&w);
}

static void big_values(void **state)
{
    (void)state;
    enum { BIG = 100000 };
    struct world w;
    world_init(&w);
    struct blob *b = blob_try(BIG);
    memset(b->p, 'x', BIG);
    b->n = BIG;
    struct slice set[] = {SLICE("SET"), SLICE("k"), blob_slice(b)},
                 get[] = {SLICE("GET"), SLICE("k")};
    struct blob *blobs[] = {NULL, NULL, b};
    run_argv(&w, set, blobs, 3);
    assert_int_equal(b->refs, 3); /* ours, the keyspace's, the record's */
    run_argv(&w, get, NULL, 2);
    assert_int_equal(b->refs, 4);
    size_t texts = w.effects.bytes.n;
    assert_int_equal(texts, BIG + strlen("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000\r\n\r\n"));
    chain_free(&w.said, NULL);
    chain_free(&w.effects.bytes, NULL);
    w.effects.n = 0;
    run(&w, "APPEND k y");
    assert_string_equal(w.reply, ":100001");
    assert_int_equal(b->p[0], 'x');
    assert_int_equal(b->n, BIG); /* who still reads it sees no change */
    run(&w, "DEL k");
    assert_int_equal(b->refs, 1);
    blob_drop(b, NULL);
    world_free(&w);
}

static void replayed(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    w.replay = true;
    run(&w, "SET k 1 PXAT 500");
    run(&w, "INCR k");
    assert_string_equal(w.reply, ":2");
    run(&w, "PEXPIREAT k 400");
    run(&w, "EXISTS k");
    assert_string_equal(w.reply, ":1");
    assert_string_equal(w.effect, "");
    run(&w, "SET k v PXAT 500");
    w.replay = false;
    run(&w, "GET k");
    assert_string_equal(w.reply, "$-1");
    assert_string_equal(w.effect, "DEL k");
    world_free(&w);
}

static void refused_memory(void **state)
{
    (void)state;
    static const char *const lines[] = {"SET k 0123456789012345678901234567890123456789",
                                        "SET n 0123456789012345678901234567890123456789",
                                        "MSET k 0123456789012345678901234567890123456789",
                                        "APPEND k 0123456789012345678901234567890123456789",
                                        "SETRANGE k 100 x",
                                        "SETBIT k 999 1",
                                        "COPY k n",
                                        "RENAME k n-with-a-long-name-of-forty-bytes-or-so",
                                        "PEXPIREAT k 5000",
                                        "GETEX k PX 5000",
                                        "GETSET k 0123456789012345678901234567890123456789",
                                        "SET k 0123456789012345678901234567890123456789 GET",
                                        "BITOP NOT n k",
                                        "LCS k k",
                                        "INCRBY n 5",
                                        "INCRBYFLOAT n 5.5",
                                        "BITFIELD n SET u8 1000 3",
                                        "SORT nosuch",
                                        "PSETEX n 5 v"};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        bool refused = true;
        for (unsigned at = 1; refused; at++) {
            struct world w;
            world_init(&w);
            run(&w, "SET k v");
            refuse_at = at;
            run(&w, lines[i]);
            refused = refuse_at == 0;
            refuse_at = 0;
            if (w.reply[0] == '-')
                assert_string_equal(w.effect, "");
            if (refused && w.reply[0] == '-') {
                run(&w, "GET k");
                assert_string_equal(w.reply, "$1 v");
                run(&w, "TTL k");
                assert_string_equal(w.reply, ":-1");
                run(&w, "EXISTS n");
                assert_string_equal(w.reply, ":0");
            }
            store_check(&w.store);
            world_free(&w);
        }
    }
}

static void counted(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    run(&w, "SET k v PX 5");
    run(&w, "MGET k x k");
    assert_int_equal(w.stats.hits, 2);
    assert_int_equal(w.stats.misses, 1);
    w.now.ms += 6;
    run(&w, "EXISTS k");
    assert_int_equal(w.stats.misses, 2);
    assert_int_equal(w.stats.expired, 1);
    assert_int_equal(w.effects.n, 0);
    world_free(&w);
}

/* --------------------------------------------------- effects do the same */

static const char *word_by_chance(struct rng *r, const char *const *words, size_t n)
{
    return words[rng_below(r, n)];
}

static void line_by_chance(struct rng *r, char *line)
{
    static const char *const keys[] = {"a", "b", "c", "d"};
    static const char *const values[] = {"1",
                                         "-7",
                                         "v",
                                         "0.5",
                                         "''",
                                         "a-value-that-is-no-number-at-all",
                                         "9223372036854775807",
                                         "\"\\x00\\xff\\x80\""};
    static const char *const forms[] = {"SET %k %v",
                                        "SET %k %v PX %t",
                                        "SET %k %v KEEPTTL GET",
                                        "SET %k %v PXAT %t",
                                        "SET %k %v XX EX 1",
                                        "GETEX %k PX %t",
                                        "GETEX %k PERSIST",
                                        "GETDEL %k",
                                        "GETSET %k %v",
                                        "MSET %k %v %k %v",
                                        "MSETNX %k %v %k %v",
                                        "APPEND %k %v",
                                        "SETRANGE %k %t %v",
                                        "INCR %k",
                                        "DECRBY %k 3",
                                        "INCRBYFLOAT %k 0.1",
                                        "SETBIT %k %t 1",
                                        "SETBIT %k %t 0",
                                        "BITOP OR %k %k %k",
                                        "BITOP AND %k %k %k",
                                        "BITFIELD %k OVERFLOW FAIL INCRBY i5 %t 7 SET u3 %t 9",
                                        "DEL %k %k",
                                        "PEXPIRE %k %t",
                                        "PEXPIRE %k %t GT",
                                        "PEXPIREAT %k %t NX",
                                        "PERSIST %k",
                                        "RENAME %k %k",
                                        "RENAMENX %k %k",
                                        "COPY %k %k DB %d REPLACE",
                                        "MOVE %k %d",
                                        "SWAPDB %d %d",
                                        "SORT %k STORE %k",
                                        "GET %k",
                                        "SCAN 0",
                                        "RANDOMKEY",
                                        "EXISTS %k"};
    const char *form = rng_below(r, 400) == 0
                           ? "FLUSHDB"
                           : word_by_chance(r, forms, sizeof(forms) / sizeof(forms[0]));
    for (; *form != '\0'; form++) {
        if (*form != '%') {
            *line++ = *form;
            continue;
        }
        form++;
        if (*form == 'k')
            line += sprintf(line, "%s", word_by_chance(r, keys, sizeof(keys) / sizeof(keys[0])));
        else if (*form == 'v')
            line +=
                sprintf(line, "%s", word_by_chance(r, values, sizeof(values) / sizeof(values[0])));
        else
            line += sprintf(line, "%d", (int)rng_below(r, *form == 'd' ? DBS : 60));
    }
    *line = '\0';
}

/* Runs what lies in the effects of `from`, as a replica or a loader would. */
static void effects_replay(struct world *from, struct world *to)
{
    char bytes[TEXT_BYTES];
    struct slice s = flat(&from->effects.bytes, bytes);
    while (s.n > 0) {
        struct slice argv[16];
        long argc = head_take(&s, '*');
        for (long i = 0; i < argc; i++) {
            long len = head_take(&s, '$');
            argv[i] = slice_head(s, (size_t)len);
            s = slice_from(s, (size_t)len + 2);
        }
        if (slice_is(argv[0], "select")) {
            to->db = (unsigned)(argv[1].p[0] - '0');
        } else {
            run_argv(to, argv, NULL, (size_t)argc);
            chain_free(&to->said, NULL);
        }
    }
    chain_free(&from->effects.bytes, NULL);
    from->effects.n = from->effects.expired = 0;
}

struct twin {
    struct store *other;
    unsigned db;
};

static void same_in_other(void *who, struct entry *e)
{
    struct twin *twin = who;
    char scratch[NUM_I64_CHARS], scratch_other[NUM_I64_CHARS];
    struct key k = key_of(twin->other, entry_key(e));
    struct entry *o = store_find(twin->other, twin->db, &k);
    assert_non_null(o);
    assert_true(slice_equal(entry_value(e, scratch), entry_value(o, scratch_other)));
    assert_true(entry_expiry(e).ms == entry_expiry(o).ms);
}

static void stores_are_equal(struct store *a, struct store *b)
{
    for (unsigned db = 0; db < DBS; db++) {
        struct twin twin = {b, db};
        assert_int_equal(store_keys_n(a, db), store_keys_n(b, db));
        store_scan(a, db, 0, SIZE_MAX, same_in_other, &twin);
    }
}

static void effects_do_the_same(void **state)
{
    (void)state;
    struct world w, copy;
    world_init(&w);
    world_init(&copy);
    copy.replay = true;
    copy.now.ms = 1000000; /* a replica's clock is nobody's business */
    for (unsigned i = 0; i < 60000; i++) {
        char line[256];
        struct words words = {0};
        line_by_chance(&w.rng, line);
        w.db = (unsigned)rng_below(&w.rng, 2);
        w.now.ms += (int64_t)rng_below(&w.rng, 4);
        uint64_t changes = w.store.changes;
        assert_int_equal(words_split(&words, slice_str(line)), ERR_OK);
        run_argv(&w, words.list.at, NULL, words.list.n);
        words_free(&words);
        reply_take(&w);
        if (w.store.changes == changes)
            assert_int_equal(w.effects.n, 0);
        effects_replay(&w, &copy);
        if (i % 16 == 0)
            stores_are_equal(&w.store, &copy.store);
    }
    stores_are_equal(&copy.store, &w.store);
    store_check(&w.store);
    world_free(&w);
    world_free(&copy);
}

UNIT_TESTS(
    "cmd", TEST(set_effects, "SET and its kin leave a plain SET with an absolute time, or nothing"),
    TEST(times_over, "a time that is over deletes, and is recorded as DEL"),
    TEST(due_keys,
         "a key is there in the millisecond of its expiry, and dropped with a DEL behind it"),
    TEST(expiry_effects, "expiries are recorded as PEXPIREAT and PERSIST"),
    TEST(string_effects, "changes of strings are recorded as themselves, floats as results"),
    TEST(key_effects,
         "renames, copies, moves and flushes are recorded only where they change something"),
    TEST(databases, "effects in another database begin with its SELECT"),
    TEST(wrapping, "several effects are wrapped into MULTI and EXEC, one is not"),
    TEST(big_values, "a big value is referenced by keyspace, record and reply"),
    TEST(replayed, "on replay nothing expires and nothing is recorded"),
    TEST(refused_memory, "where memory is refused nothing changes and nothing is recorded"),
    TEST(counted, "hits, misses and expired keys are counted"),
    TEST(effects_do_the_same,
         "60,000 random commands: replaying their effects gives the same keys"))

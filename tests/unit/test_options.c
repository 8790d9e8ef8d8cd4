/* SPDX-License-Identifier: BSD-3-Clause */
#include "conf/options.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/unit.h"

struct bench {
    struct options o;
    struct buf text;
    bool changed[OPTION_N];
};

static int begin(void **state)
{
    static struct bench b;
    options_init(&b.o);
    buf_init(&b.text, OPTIONS_TEXT_MAX);
    *state = &b;
    return 0;
}

static int end(void **state)
{
    struct bench *b = *state;
    options_free(&b->o);
    buf_free(&b->text);
    return 0;
}

static void assert_text(struct slice got, const char *text)
{
    if (!slice_equal(got, slice_str(text)))
        fail_msg("'%.*s' instead of '%s'", (int)got.n, got.p, text);
}

static void takes(struct bench *b, const char *line)
{
    if (options_line(&b->o, slice_str(line), &b->text) != OPTIONS_LINE_TAKEN)
        fail_msg("'%s': %.*s", line, (int)b->text.n, b->text.p);
}

static void refuses(struct bench *b, const char *line, const char *why)
{
    if (options_line(&b->o, slice_str(line), &b->text) != OPTIONS_LINE_BAD)
        fail_msg("'%s' was taken", line);
    assert_text(buf_slice(&b->text), why);
}

static bool set_all(struct bench *b, const struct option_pair *pairs, size_t n, bool is_local)
{
    struct option_trial trial;
    if (!options_try(&b->o, pairs, n, is_local, &trial, &b->text))
        return false;
    options_take(&b->o, &trial);
    memcpy(b->changed, trial.changed, sizeof(b->changed));
    options_trial_free(&trial);
    return true;
}

static bool set(struct bench *b, const char *name, const char *value)
{
    struct option_pair pair = {slice_str(name), slice_str(value)};
    return set_all(b, &pair, 1, false);
}

static void sets(struct bench *b, const char *name, const char *value)
{
    if (!set(b, name, value))
        fail_msg("'%s' '%s': %.*s", name, value, (int)b->text.n, b->text.p);
}

static void set_fails(struct bench *b, const char *name, const char *value, const char *why)
{
    if (set(b, name, value))
        fail_msg("'%s' '%s' was taken", name, value);
    char text[512];
    snprintf(text, sizeof(text), "CONFIG SET failed (possibly related to argument '%s') - %s", name,
             why);
    assert_text(buf_slice(&b->text), text);
}

static void shows(struct bench *b, const char *name, const char *value)
{
    struct slice pattern = slice_str(name);
    struct options_got got;
    options_get(&b->o, &pattern, 1, &got);
    assert_int_equal(got.list.n, 1);
    assert_text(slice_of(got.text.p + got.list.at[0].at, got.list.at[0].n), value);
    assert_text(got.list.at[0].name, name);
    options_got_free(&got);
}

static void defaults_are_our_own(void **state)
{
    struct bench *b = *state;
    assert_int_equal(b->o.port, 6379);
    assert_true(b->o.appendonly);
    assert_int_equal(b->o.appendfsync, APPENDFSYNC_EVERYSEC);
    assert_int_equal(b->o.maxmemory_policy, MAXMEMORY_NOEVICTION);
    assert_int_equal(b->o.linger_usec, 20);
    assert_int_equal(b->o.disk_reserve, 256 << 20);
    assert_int_equal(b->o.max_record, 64 << 20);
    assert_int_equal(b->o.aof_retain_size, 1 << 30);
    assert_int_equal(b->o.enable_debug_command, PROTECTION_NO);
    assert_int_equal(b->o.client_output_buffer_limit.of[CLIENT_NORMAL].hard, 256 << 20);
    assert_int_equal(b->o.bind.n, 2);
    assert_string_equal(b->o.bind.at[1], "-::*");
    assert_int_equal(b->o.latency_tracking_info_percentiles.n, 3);
    assert_string_equal(b->o.requirepass, "");
}

static void lines_are_read(void **state)
{
    struct bench *b = *state;
    takes(b, "");
    takes(b, "   # port 1");
    takes(b, "\tPORT 7000\r");
    assert_int_equal(b->o.port, 7000);
    takes(b, "requirepass \"a\\x41 \\\"b\"");
    assert_string_equal(b->o.requirepass, "aA \"b");
    takes(b, "requirepass 'it\\'s'");
    assert_string_equal(b->o.requirepass, "it's");
    takes(b, "bind 10.0.0.1 -::1");
    assert_int_equal(b->o.bind.n, 2);
    takes(b, "bind \"\"");
    assert_int_equal(b->o.bind.n, 0);
    takes(b, "unixsocketperm 700");
    assert_int_equal(b->o.unixsocketperm, 0700);
    takes(b, "slave-priority 3");
    assert_int_equal(b->o.replica_priority, 3);
    takes(b, "lua-replicate-commands yes");
    takes(b, "appendfsync ALWAYS");
    assert_int_equal(b->o.appendfsync, APPENDFSYNC_ALWAYS);
    assert_int_equal(options_line(&b->o, SLICE("include /etc/vong/*.conf"), &b->text),
                     OPTIONS_LINE_INCLUDE);
    assert_text(buf_slice(&b->text), "/etc/vong/*.conf");
}

static void bad_lines_say_why(void **state)
{
    struct bench *b = *state;
    refuses(b, "prot 1", "unknown directive 'prot': did you mean 'port'?");
    refuses(b, "apendonly yes", "unknown directive 'apendonly': did you mean 'appendonly'?");
    refuses(b, "inculde x", "unknown directive 'inculde': did you mean 'include'?");
    refuses(b, "frobnicate 1", "unknown directive 'frobnicate'");
    refuses(b, "port", "wrong number of arguments");
    refuses(b, "databases 2147483647", "argument must be between 1 and 1000000 inclusive");
    refuses(b, "port 1 2", "wrong number of arguments");
    refuses(b, "port \"1", "Unbalanced quotes in configuration line");
    refuses(b, "port \"1\"2", "Unbalanced quotes in configuration line");
    refuses(b, "port 65536", "argument must be between 0 and 65535 inclusive");
    refuses(b, "port x", "argument couldn't be parsed into an integer");
    refuses(b, "unixsocketperm 8", "argument couldn't be parsed as an octal number");
    refuses(b, "unixsocketperm 1000", "argument must be between 0 and 777 inclusive");
    refuses(b, "appendonly maybe", "argument must be 'yes' or 'no'");
    refuses(b, "loglevel x",
            "argument(s) must be one of the following: debug, verbose, notice, warning");
    refuses(b, "appendfilename a/b", "appendfilename can't be a path, just a filename");
    refuses(b, "appenddirname \"\"", "appenddirname can't be empty");
    refuses(b, "include", "wrong number of arguments");
    refuses(b, "save 1", "Invalid save parameters");
    refuses(b, "requirepass \"a\\x00b\"", "argument must not contain a zero byte");
    refuses(b, "bind 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17",
            "Too many bind addresses specified.");
    assert_int_equal(b->o.port, 6379);
}

static void what_is_not_here_is_refused(void **state)
{
    struct bench *b = *state;
    takes(b, "tls-port 0");
    refuses(b, "tls-port 6380", "tls-port is refused: TLS is not in this version; put stunnel or a "
                                "proxy in front");
    refuses(b, "slaveof 10.0.0.1 6379",
            "replicaof is refused: copies are of slots, in a cluster: see cluster-enabled and replication-factor");
    refuses(b, "user ann on", "user is refused: access lists are not in this version; use "
                              "requirepass");
    refuses(b, "loadmodule x.so", "loadmodule is refused: there are no modules");
}

static void lines_too_long_are_refused(void **state)
{
    struct bench *b = *state;
    enum { ROOM = OPTIONS_VALUE_MAX + 64 };
    char *line = malloc(ROOM);
    memset(line, 'x', ROOM);
    memcpy(line, "requirepass ", 12);
    assert_int_equal(options_line(&b->o, slice_of(line, OPTIONS_VALUE_MAX), &b->text),
                     OPTIONS_LINE_TAKEN);
    assert_int_equal(options_line(&b->o, slice_of(line, OPTIONS_VALUE_MAX + 1), &b->text),
                     OPTIONS_LINE_BAD);
    struct option_pair pair = {SLICE("requirepass"), slice_of(line, OPTIONS_VALUE_MAX)};
    assert_true(set_all(b, &pair, 1, false));
    pair.value.n++;
    assert_false(set_all(b, &pair, 1, false));
    pair.name = slice_of(line, ROOM);
    assert_false(set_all(b, &pair, 1, false));
    assert_true(b->text.n < 512);
    free(line);
}

static void memory_has_units(void **state)
{
    static const struct {
        const char *text;
        int64_t bytes;
    } rows[] = {{"0", 0},           {"100", 100},         {"1b", 1},          {"1k", 1000},
                {"1KB", 1024},      {"2m", 2000000},      {"2mb", 2 << 20},   {"3G", 3000000000},
                {"3gb", 3LL << 30}, {"9223372036854775807", INT64_MAX}, {"", 0}};
    struct bench *b = *state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sets(b, "maxmemory", rows[i].text);
        assert_int_equal(b->o.maxmemory, rows[i].bytes);
    }
    static const char *const bad[] = {"-1", "1x", "1 mb", "9223372036854775808", "9007199254740993kb",
                                      "10%"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        set_fails(b, "maxmemory", bad[i], "argument must be a memory value");
    set_fails(b, "proto-max-bulk-len", "1048575",
              "argument must be between 1048576 and 9223372036854775807 inclusive");
    sets(b, "proto-max-bulk-len", "1048576");
    sets(b, "maxmemory-clients", "100%");
    shows(b, "maxmemory-clients", "100%");
    set_fails(b, "maxmemory-clients", "101%", "percentage argument must be less or equal to 100");
    set_fails(b, "maxmemory-clients", "-5", "argument must be a memory or percent value");
}

static void set_speaks_as_redis(void **state)
{
    struct bench *b = *state;
    assert_false(set(b, "nosuch", "1"));
    assert_text(buf_slice(&b->text),
                "Unknown option or number of arguments for CONFIG SET - 'nosuch'");
    set_fails(b, "appenddirname", "other", "can't set immutable config");
    set_fails(b, "databases", "3", "can't set immutable config");
    set_fails(b, "DIR", "/tmp", "can't set protected config");
    set_fails(b, "timeout", "-1", "argument must be between 0 and 2147483647 inclusive");
    set_fails(b, "maxmemory-policy", "foo",
              "argument(s) must be one of the following: volatile-lru, volatile-lfu, "
              "volatile-random, volatile-ttl, allkeys-lru, allkeys-lfu, allkeys-random, noeviction");
    set_fails(b, "shutdown-on-sigterm", "save nosave",
              "shutdown options SAVE and NOSAVE can't be used simultaneously");
    set_fails(b, "oom-score-adj-values", "1 2", "wrong number of arguments");
    set_fails(b, "oom-score-adj-values", "1 2 -2001",
              "Invalid oom-score-adj-values, elements must be between -2000 and 2000.");
    set_fails(b, "latency-tracking-info-percentiles", "1 200",
              "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]");
    set_fails(b, "latency-tracking-info-percentiles", "x",
              "Invalid latency-tracking-info-percentiles parameters");
    set_fails(b, "notify-keyspace-events", "xyzw",
              "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.");
    set_fails(b, "save", "10  1", "Invalid save parameters");
    set_fails(b, "client-output-buffer-limit", "normal 1 2",
              "Wrong number of arguments in buffer limit configuration.");
    set_fails(b, "client-output-buffer-limit", "master 1 2 3",
              "Invalid client class specified in buffer limit configuration.");
    set_fails(b, "client-output-buffer-limit", "normal x 2 3",
              "Error in hard, soft or soft_seconds setting in buffer limit configuration.");
    set_fails(b, "dbfilename", "x.rdb", "can't set protected config");
    takes(b, "enable-protected-configs local");
    set_fails(b, "dbfilename", "x.rdb", "can't set protected config");
    struct option_pair pair = {SLICE("dbfilename"), SLICE("x.rdb")};
    assert_true(set_all(b, &pair, 1, true));
}

static void several_or_none(void **state)
{
    struct bench *b = *state;
    struct option_pair pairs[] = {{SLICE("timeout"), SLICE("7")},
                                  {SLICE("requirepass"), SLICE("secret")},
                                  {SLICE("maxclients"), SLICE("0")}};
    assert_false(set_all(b, pairs, 3, false));
    assert_text(buf_slice(&b->text), "CONFIG SET failed (possibly related to argument "
                                     "'maxclients') - argument must be between 1 and 4294967295 "
                                     "inclusive");
    assert_int_equal(b->o.timeout, 0);
    assert_string_equal(b->o.requirepass, "");
    pairs[2].value = SLICE("10000");
    const char *borrowed = b->o.appenddirname;
    assert_true(set_all(b, pairs, 3, false));
    assert_true(b->changed[OPTION_timeout]);
    assert_true(b->changed[OPTION_requirepass]);
    assert_false(b->changed[OPTION_maxclients]); /* it was 10000 before */
    assert_int_equal(b->o.timeout, 7);
    assert_ptr_equal(b->o.appenddirname, borrowed); /* what did not change stays where it is */
    pairs[2].name = SLICE("TIMEOUT");
    assert_false(set_all(b, pairs, 3, false));
    assert_text(buf_slice(&b->text), "CONFIG SET failed (possibly related to argument 'TIMEOUT') - "
                                     "duplicate parameter");
}

static void get_shows_as_redis(void **state)
{
    struct bench *b = *state;
    sets(b, "client-output-buffer-limit", "replica 1mb 2k 3");
    shows(b, "client-output-buffer-limit",
          "normal 268435456 67108864 60 slave 1048576 2000 3 pubsub 33554432 8388608 60");
    sets(b, "notify-keyspace-events", "KEA");
    shows(b, "notify-keyspace-events", "AKE");
    sets(b, "notify-keyspace-events", "Kgx");
    shows(b, "notify-keyspace-events", "gxK");
    sets(b, "notify-keyspace-events", "An");
    shows(b, "notify-keyspace-events", "A");
    sets(b, "notify-keyspace-events", "Kng");
    shows(b, "notify-keyspace-events", "gnK");
    sets(b, "latency-tracking-info-percentiles", "50.5 99.990");
    shows(b, "latency-tracking-info-percentiles", "50.5 99.99");
    sets(b, "latency-tracking-info-percentiles", "");
    shows(b, "latency-tracking-info-percentiles", "");
    sets(b, "save", "10 1 20 2");
    shows(b, "save", "10 1 20 2");
    shows(b, "bind", "* -::*");
    shows(b, "APPENDFSYNC", "everysec");
    shows(b, "use-exit-on-panic", "no");
    sets(b, "hash-max-ziplist-entries", "7");
    shows(b, "hash-max-listpack-entries", "7");
    struct slice patterns[] = {SLICE("hash-max-z*"), SLICE("HASH-*-entries"), SLICE("hash-max-*"),
                               SLICE("nosuch"), SLICE("use-exit*")};
    struct options_got got;
    options_get(&b->o, patterns, 5, &got);
    assert_int_equal(got.list.n, 4); /* each name once, no hidden one */
    options_got_free(&got);
}

static void what_get_shows_set_takes(void **state)
{
    struct bench *b = *state;
    struct slice all = SLICE("*");
    struct options_got got;
    options_get(&b->o, &all, 1, &got);
    assert_true(got.list.n > 200);
    size_t set_n = 0;
    for (size_t i = 0; i < got.list.n; i++) {
        struct option_got g = got.list.at[i];
        struct option_pair pair = {g.name, slice_of(got.text.p + g.at, g.n)};
        if (set_all(b, &pair, 1, true)) {
            set_n++;
            for (size_t k = 0; k < OPTION_N; k++)
                assert_false(b->changed[k]);
        } else if (strstr(b->text.p, "can't set") == NULL) {
            fail_msg("%.*s", (int)b->text.n, b->text.p);
        }
    }
    assert_true(set_n > 130);
    options_got_free(&got);
}

static void save_lines_add_up(void **state)
{
    struct bench *b = *state;
    takes(b, "save 900 1");
    takes(b, "save 300 10 60 10000");
    shows(b, "save", "900 1 300 10 60 10000");
    takes(b, "save \"\"");
    shows(b, "save", "");
    takes(b, "save 5 1");
    shows(b, "save", "5 1");
    sets(b, "save", "6 1");
    shows(b, "save", "6 1");
    takes(b, "client-output-buffer-limit pubsub 1 1 1");
    takes(b, "client-output-buffer-limit normal 0 0 0 replica 1 1 1");
    shows(b, "client-output-buffer-limit", "normal 0 0 0 slave 1 1 1 pubsub 1 1 1");
}

static void rewritten(struct bench *b, const char *old, const char *text)
{
    struct buf to;
    buf_init(&to, OPTIONS_TEXT_MAX);
    options_rewrite(&b->o, slice_str(old), &to);
    assert_text(buf_slice(&to), text);
    buf_free(&to);
}

static void rewrite_keeps_the_rest(void **state)
{
    struct bench *b = *state;
    const char *old = "# head\n\nhz   10\n# between\nmaxmemory 100mb\nhz 20\n\ninclude x\nsave 10 1\n"
                      "save 20 2\nrequirepass \"a\\x20b\"\n";
    static const char *const lines[] = {"hz 20", "maxmemory 100mb", "save 10 1", "save 20 2",
                                        "requirepass \"a b\""};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        takes(b, lines[i]);
    rewritten(b, old,
              "# head\n\nhz 20\n# between\nmaxmemory 100mb\n\ninclude x\nsave 10 1\nsave 20 2\n"
              "requirepass \"a\\x20b\"\n");
    sets(b, "maxmemory", "5gb");
    sets(b, "save", "");
    sets(b, "requirepass", "p\"w");
    sets(b, "slowlog-max-len", "3");
    sets(b, "notify-keyspace-events", "Ex");
    const char *new = "# head\n\nhz 20\n# between\nmaxmemory 5gb\n\ninclude x\nsave \"\"\n"
                      "requirepass \"p\\\"w\"\n\n# Generated by CONFIG REWRITE\n"
                      "notify-keyspace-events \"xE\"\nslowlog-max-len 3\n";
    rewritten(b, old, new);
    rewritten(b, new, new);
    sets(b, "slowlog-max-len", "4");
    sets(b, "timeout", "9");
    rewritten(b, "timeout 8\n# Generated by CONFIG REWRITE\nmaxmemory 5gb\nslowlog-max-len x",
              "timeout 9\n# Generated by CONFIG REWRITE\nmaxmemory 5gb\nslowlog-max-len 4\n"
              "hz 20\nrequirepass \"p\\\"w\"\nnotify-keyspace-events \"xE\"\n");
}

static void rewrite_reads_back(void **state)
{
    struct bench *b = *state;
    static const char *const lines[] = {
        "requirepass \"\\x01\\xff '\\\"\\\\\\n\"", "bind 127.0.0.1 -::1", "maxmemory 3000000",
        "client-output-buffer-limit normal 1kb 2 3", "hash-max-listpack-value 1kb", "zset-max-ziplist-value 64", "latency-tracking-info-percentiles 1.25 100",
        "unixsocketperm 770", "maxmemory-clients 5%", "shutdown-on-sigint now force",
        "proc-title-template \"\"", "save 1 2", "appendfsync no", "tcp-backlog 7", "logfile a"};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        takes(b, lines[i]);
    struct buf file, again;
    buf_init(&file, OPTIONS_TEXT_MAX);
    buf_init(&again, OPTIONS_TEXT_MAX);
    options_rewrite(&b->o, SLICE(""), &file);
    struct bench other = {0};
    options_init(&other.o);
    buf_init(&other.text, OPTIONS_TEXT_MAX);
    size_t begin_at = 0;
    for (size_t i = 0; i < file.n; i++) {
        if (file.p[i] != '\n')
            continue;
        assert_int_equal(options_line(&other.o, slice_of(file.p + begin_at, i - begin_at),
                                      &other.text),
                         OPTIONS_LINE_TAKEN);
        begin_at = i + 1;
    }
    options_rewrite(&other.o, SLICE(""), &again);
    assert_true(slice_equal(buf_slice(&file), buf_slice(&again)));
    assert_string_equal(other.o.requirepass, "\x01\xff '\"\\\n");
    options_free(&other.o);
    buf_free(&other.text);
    buf_free(&file);
    buf_free(&again);
}

static void arguments_are_lines(void **state)
{
    (void)state;
    struct buf lines;
    buf_init(&lines, OPTIONS_TEXT_MAX);
    char *args[] = {"--port", "7000",         "--bind",     "1.2.3.4", "::1", "--save", "--logfile",
                    "--x",    "--loglevel debug", "--requirepass", "a \"b", "--save"};
    options_args(args, sizeof(args) / sizeof(args[0]), &lines);
    assert_text(buf_slice(&lines), "port \"7000\"\nbind \"1.2.3.4\" \"::1\"\nsave \"\"\n"
                                   "logfile \"--x\"\nloglevel debug\nrequirepass \"a \\\"b\"\n"
                                   "save \"\"\n");
    buf_clear(&lines);
    options_args(NULL, 0, &lines);
    assert_int_equal(lines.n, 0);
    buf_free(&lines);
}

static void idle_ones_are_told(void **state)
{
    struct bench *b = *state;
    takes(b, "port 7000");
    takes(b, "rdbcompression yes");
    takes(b, "rdbchecksum yes");
    takes(b, "save 900 1");
    buf_clear(&b->text);
    options_notes(&b->o, &b->text);
    assert_text(buf_slice(&b->text),
                "save has no effect here: the log keeps every write; BACKUP makes copies\n"
                "Without effect here, and given with their default: rdbcompression, rdbchecksum\n");
    assert_true(options_is_sensitive(SLICE("RequirePass")));
    assert_false(options_is_sensitive(SLICE("port")));
    assert_false(options_is_sensitive(SLICE("nosuch")));
}

/* Reads a file of the source tree, or one of the machine's. */
static void file_parses(struct bench *b, FILE *f, const char *name)
{
    char line[2048];
    size_t n = 0;
    while (fgets(line, sizeof(line), f) != NULL) {
        n++;
        if (options_line(&b->o, slice_str(line), &b->text) != OPTIONS_LINE_TAKEN)
            fail_msg("%s:%zu: %.*s", name, n, (int)b->text.n, b->text.p);
    }
    fclose(f);
}

/* The sample with its commented directives switched on: "# name value" with one '#' and no blank
 * before the name is a directive at its default. */
static void one_sample_parses(struct bench *b, const char *name)
{
    char path[1024], line[2048];
    const char *srcdir = getenv("srcdir");
    snprintf(path, sizeof(path), "%s/conf/%s", srcdir != NULL ? srcdir : ".", name);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    file_parses(b, f, path);
    f = fopen(path, "r");
    assert_non_null(f);
    struct bench fresh = {0};
    options_init(&fresh.o);
    fresh.o.of_proxy = b->o.of_proxy;
    size_t directives = 0;
    while (fgets(line, sizeof(line), f) != NULL) {
        if (line[0] != '#' || line[1] < 'a' || line[1] > 'z')
            continue;
        directives++;
        if (options_line(&b->o, slice_str(line + 1), &b->text) != OPTIONS_LINE_TAKEN)
            fail_msg("%s: %s%.*s", path, line, (int)b->text.n, b->text.p);
    }
    fclose(f);
    assert_true(directives >= 30);
    struct buf ours, defaults;
    buf_init(&ours, OPTIONS_TEXT_MAX);
    buf_init(&defaults, OPTIONS_TEXT_MAX);
    options_rewrite(&b->o, SLICE(""), &ours);
    options_rewrite(&fresh.o, SLICE(""), &defaults);
    assert_true(slice_equal(buf_slice(&ours), buf_slice(&defaults)));
    buf_free(&ours);
    buf_free(&defaults);
    options_free(&fresh.o);
}

static void sample_parses(void **state)
{
    one_sample_parses(*state, "vong-server.conf");
}

static void proxys_sample_parses(void **state)
{
    struct bench *b = *state;
    b->o.of_proxy = true;
    one_sample_parses(b, "vong-proxy.conf");
}

static void each_program_has_its_own(void **state)
{
    struct bench *b = *state;
    struct options_got got;
    const struct slice all = SLICE("*"), seeds = SLICE("cluster");
    assert_int_equal(options_line(&b->o, SLICE("cluster 10.0.0.1:6379"), &b->text), OPTIONS_LINE_BAD);
    options_get(&b->o, &seeds, 1, &got);
    assert_int_equal(got.list.n, 0);
    options_got_free(&got);
    b->o.of_proxy = true;
    assert_int_equal(options_line(&b->o, SLICE("cluster 10.0.0.1:6379"), &b->text), OPTIONS_LINE_TAKEN);
    assert_int_equal(options_line(&b->o, SLICE("maxmemory 1gb"), &b->text), OPTIONS_LINE_BAD);
    assert_slice(buf_slice(&b->text), "unknown directive 'maxmemory'");
    options_get(&b->o, &all, 1, &got);
    for (size_t i = 0; i < got.list.n; i++)
        assert_false(slice_is(got.list.at[i].name, "cluster-enabled"));
    assert_true(got.list.n > 20 && got.list.n < 60);
    options_got_free(&got);
    const struct slice told = SLICE("maxmemory"); /* tools ask for it, and are told */
    options_get(&b->o, &told, 1, &got);
    assert_int_equal(got.list.n, 1);
    options_got_free(&got);
}

/* The directives of Debian's /etc/redis/redis.conf of 7.0.15, without its comments. */
static void debians_file_parses(void **state)
{
    struct bench *b = *state;
    char path[1024];
    const char *srcdir = getenv("srcdir");
    snprintf(path, sizeof(path), "%s/tests/unit/debian-redis.conf", srcdir != NULL ? srcdir : ".");
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    file_parses(b, f, path);
    assert_true(b->o.daemonize);
    assert_string_equal(b->o.dir, "/var/lib/redis");
    assert_string_equal(b->o.bind.at[1], "-::1");
    assert_false(b->o.appendonly);
    buf_clear(&b->text);
    options_notes(&b->o, &b->text);
    size_t line_n = 0, lines = 0;
    for (size_t i = 0; i < b->text.n; i++) {
        line_n = b->text.p[i] == '\n' ? 0 : line_n + 1;
        lines += line_n == 0;
        assert_true(line_n < LOG_LINE_BYTES);
    }
    assert_true(lines >= 3);
}

#define CASE(function, title) {title, function, begin, end, NULL}

UNIT_TESTS("options", CASE(defaults_are_our_own, "defaults are Redis' but for the ones we chose"),
           CASE(lines_are_read, "a line is a name in any case and words with Redis' quotes"),
           CASE(bad_lines_say_why, "a bad line says why and changes nothing"),
           CASE(what_is_not_here_is_refused, "what this version cannot do is refused with a reason (C5)"),
           CASE(lines_too_long_are_refused, "a value one byte too long is refused"),
           CASE(memory_has_units, "memory has units, and the step past each edge is refused"),
           CASE(set_speaks_as_redis, "CONFIG SET fails with Redis' words"),
           CASE(several_or_none, "CONFIG SET sets all or nothing and tells what changed (C2)"),
           CASE(get_shows_as_redis, "CONFIG GET shows values, aliases and patterns as Redis does"),
           CASE(what_get_shows_set_takes, "what CONFIG GET shows CONFIG SET takes, without a change (C3)"),
           CASE(save_lines_add_up, "save lines add up in a file and replace in CONFIG SET"),
           CASE(rewrite_keeps_the_rest, "CONFIG REWRITE changes what changed and keeps the rest"),
           CASE(rewrite_reads_back, "CONFIG REWRITE's file reads back as the same options (C4)"),
           CASE(arguments_are_lines, "the command line becomes lines, save without a value is save \"\""),
           CASE(idle_ones_are_told, "directives without effect are told, each with its reason (C5)"),
           CASE(sample_parses, "the sample parses, and what it comments out are the defaults"),
           CASE(proxys_sample_parses, "so does vong-proxy's"),
           CASE(each_program_has_its_own, "a server's directive is unknown to a proxy, and a proxy's to a server"),
           CASE(debians_file_parses, "Debian's redis.conf parses unedited, and its notes fit the log"))

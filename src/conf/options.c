/* SPDX-License-Identifier: BSD-3-Clause */
#include "conf/options.h"

#include "base/check.h"
#include "base/glob.h"
#include "base/words.h"
#include "conf/option_near.h"
#include "conf/option_value.h"

_Static_assert(sizeof(enum appendfsync) == sizeof(int), "enum fields are copied as ints");

static const struct option_choice choices_supervised[] = {{"upstart", SUPERVISED_UPSTART},
                                                          {"systemd", SUPERVISED_SYSTEMD},
                                                          {"auto", SUPERVISED_AUTO},
                                                          {"no", SUPERVISED_NO},
                                                          {NULL, 0}};
static const struct option_choice choices_protection[] = {
    {"no", PROTECTION_NO}, {"yes", PROTECTION_YES}, {"local", PROTECTION_LOCAL}, {NULL, 0}};
static const struct option_choice choices_appendfsync[] = {{"everysec", APPENDFSYNC_EVERYSEC},
                                                           {"always", APPENDFSYNC_ALWAYS},
                                                           {"no", APPENDFSYNC_NO},
                                                           {NULL, 0}};
static const struct option_choice choices_maxmemory_policy[] = {
    {"volatile-lru", MAXMEMORY_VOLATILE_LRU},
    {"volatile-lfu", MAXMEMORY_VOLATILE_LFU},
    {"volatile-random", MAXMEMORY_VOLATILE_RANDOM},
    {"volatile-ttl", MAXMEMORY_VOLATILE_TTL},
    {"allkeys-lru", MAXMEMORY_ALLKEYS_LRU},
    {"allkeys-lfu", MAXMEMORY_ALLKEYS_LFU},
    {"allkeys-random", MAXMEMORY_ALLKEYS_RANDOM},
    {"noeviction", MAXMEMORY_NOEVICTION},
    {NULL, 0}};
static const struct option_choice choices_log_level[] = {{"debug", LOG_LEVEL_DEBUG},
                                                         {"verbose", LOG_LEVEL_VERBOSE},
                                                         {"notice", LOG_LEVEL_NOTICE},
                                                         {"warning", LOG_LEVEL_WARNING},
                                                         {NULL, 0}};
static const struct option_choice choices_syslog_facility[] = {
    {"user", SYSLOG_USER},     {"local0", SYSLOG_LOCAL0},
    {"local1", SYSLOG_LOCAL1}, {"local2", SYSLOG_LOCAL2},
    {"local3", SYSLOG_LOCAL3}, {"local4", SYSLOG_LOCAL4},
    {"local5", SYSLOG_LOCAL5}, {"local6", SYSLOG_LOCAL6},
    {"local7", SYSLOG_LOCAL7}, {NULL, 0}};
static const struct option_choice choices_oom_score_adj[] = {{"no", OOM_SCORE_ADJ_NO},
                                                             {"yes", OOM_SCORE_ADJ_RELATIVE},
                                                             {"relative", OOM_SCORE_ADJ_RELATIVE},
                                                             {"absolute", OOM_SCORE_ADJ_ABSOLUTE},
                                                             {NULL, 0}};
static const struct option_choice choices_pubsub_default[] = {
    {"allchannels", PUBSUB_DEFAULT_ALL}, {"resetchannels", PUBSUB_DEFAULT_RESET}, {NULL, 0}};
static const struct option_choice choices_sanitize[] = {
    {"no", SANITIZE_NO}, {"yes", SANITIZE_YES}, {"clients", SANITIZE_CLIENTS}, {NULL, 0}};
static const struct option_choice choices_propagation_error[] = {
    {"ignore", PROPAGATION_IGNORE},
    {"panic", PROPAGATION_PANIC},
    {"panic-on-replicas", PROPAGATION_PANIC_REPLICAS},
    {NULL, 0}};
static const struct option_choice choices_diskless_load[] = {{"disabled", DISKLESS_DISABLED},
                                                             {"on-empty-db", DISKLESS_WHEN_EMPTY},
                                                             {"swapdb", DISKLESS_SWAPDB},
                                                             {NULL, 0}};
static const struct option_choice choices_endpoint_type[] = {{"ip", ENDPOINT_IP},
                                                             {"hostname", ENDPOINT_HOSTNAME},
                                                             {"unknown-endpoint", ENDPOINT_UNKNOWN},
                                                             {NULL, 0}};
static const struct option_choice choices_cluster_routing[] = {
    {"auto", CLUSTER_ROUTING_AUTO},
    {"forward", CLUSTER_ROUTING_FORWARD},
    {"redirect", CLUSTER_ROUTING_REDIRECT},
    {NULL, 0}};
static const struct option_choice choices_read_from[] = {{"primary", READ_FROM_PRIMARY},
                                                         {"replica", READ_FROM_REPLICA},
                                                         {"nearest-zone", READ_FROM_NEAREST_ZONE},
                                                         {NULL, 0}};
static const struct option_choice choices_tls_auth[] = {
    {"no", TLS_AUTH_NO}, {"yes", TLS_AUTH_YES}, {"optional", TLS_AUTH_OPTIONAL}, {NULL, 0}};

/* The rows' words. */
enum {
    LIVE = 0,
    FIXED = OPTION_FIXED,
    PROTECTED = OPTION_PROTECTED,
    SENSITIVE = OPTION_SENSITIVE,
    HIDDEN = OPTION_HIDDEN,
    IDLE = OPTION_IDLE,
    REFUSED = OPTION_REFUSED,
    PROXY = OPTION_PROXY,
    PROXY_ONLY = OPTION_PROXY_ONLY,
    PROXY_TOLD = OPTION_PROXY_TOLD
};
#define CHOICES_BOOL NULL
#define CHOICES_INT NULL
#define CHOICES_OCTAL NULL
#define CHOICES_MEM NULL
#define CHOICES_MEMPCT NULL
#define CHOICES_ENUM(tag) choices_##tag
#define CHOICES_STR NULL
#define CHOICES_WORDS NULL
#define CHOICES_SAVE NULL
#define CHOICES_PERCENTILES NULL
#define CHOICES_LIMITS NULL
#define CHOICES_EVENTS NULL
#define OPTION_TYPE_ENUM(tag) OPTION_TYPE_ENUM

const struct option_row option_rows[OPTION_N] = {
#define OPT(kind, field, label, alt, bits, initial, min, max, reason, help) \
    {.name = label,                                                         \
     .alias = alt,                                                          \
     .default_text = initial,                                               \
     .note = reason,                                                        \
     .choices = CHOICES_##kind,                                             \
     .least = min,                                                          \
     .most = max,                                                           \
     .offset = offsetof(struct options, field),                             \
     .size = sizeof(((struct options *)0)->field),                          \
     .type = OPTION_TYPE_##kind,                                            \
     .flags = bits,                                                         \
     .id = OPTION_##field},
#define BARE(...)
#include "conf/options.def"
};

enum bare_kind { REFUSE, IGNORE, INCLUDE };

static const struct bare_row {
    const char *name;
    enum bare_kind kind;
    const char *note;
} bare_rows[] = {
#define OPT(...)
#define BARE(label, what, reason) {.name = label, .kind = what, .note = reason},
#include "conf/options.def"
};

enum { NAME_SHOWN = 128 }; /* of a name that a client made up */

static void *field_of(const struct options *o, const struct option_row *row)
{
    return (char *)(uintptr_t)o + row->offset;
}

/* ---- finding ---- */

static const struct option_row *row_find(struct slice name)
{
    for (size_t i = 0; i < OPTION_N; i++)
        if (slice_is(name, option_rows[i].name) ||
            (option_rows[i].alias != NULL && slice_is(name, option_rows[i].alias)))
            return &option_rows[i];
    return NULL;
}

/* A directive of this program's. */
static bool has_row(const struct options *o, const struct option_row *row)
{
    if (o->of_proxy)
        return (row->flags & (OPTION_PROXY | OPTION_PROXY_ONLY)) != 0;
    return (row->flags & OPTION_PROXY_ONLY) == 0;
}

static const struct option_row *row_of(const struct options *o, struct slice name)
{
    const struct option_row *row = row_find(name);
    return row != NULL && has_row(o, row) ? row : NULL;
}

static const struct bare_row *bare_find(struct slice name)
{
    for (size_t i = 0; i < sizeof(bare_rows) / sizeof(bare_rows[0]); i++)
        if (slice_is(name, bare_rows[i].name))
            return &bare_rows[i];
    return NULL;
}

static bool refuse_unknown(const struct options *o, struct slice name, struct buf *error)
{
    struct near near = {.name = name};
    for (size_t i = 0; i < OPTION_N; i++) {
        if (!has_row(o, &option_rows[i]))
            continue;
        near_offer(&near, option_rows[i].name);
        if (option_rows[i].alias != NULL)
            near_offer(&near, option_rows[i].alias);
    }
    near_offer(&near, "include");
    buf_clear(error);
    option_say(error, SLICE("unknown directive '"));
    option_say(error, slice_head(name, NAME_SHOWN));
    option_say(error, SLICE("'"));
    if (near.best != NULL)
        option_sayf(error, ": did you mean '%s'?", near.best);
    return false;
}

/* ---- whole structs ---- */

static void set_default(struct options *o, const struct option_row *row)
{
    struct words words = {0};
    struct buf error;
    buf_init(&error, OPTIONS_TEXT_MAX);
    struct slice whole = slice_str(row->default_text);
    bool set;
    if (option_takes_words(row)) {
        enum err split = words_split(&words, whole);
        check(split == ERR_OK);
        set = option_parse(row, field_of(o, row), words.list.at, words.list.n, false, &error);
    } else {
        set = option_parse(row, field_of(o, row), &whole, 1, false, &error);
    }
    check(set); /* a row's default is a value of its type */
    words_free(&words);
    buf_free(&error);
}

void options_init(struct options *o)
{
    memset(o, 0, sizeof(*o));
    for (size_t i = 0; i < OPTION_N; i++)
        set_default(o, &option_rows[i]);
}

void options_free(struct options *o)
{
    for (size_t i = 0; i < OPTION_N; i++)
        option_drop(&option_rows[i], field_of(o, &option_rows[i]));
}

void options_copy(struct options *o, const struct options *from)
{
    memcpy(o, from, sizeof(*o));
    for (size_t i = 0; i < OPTION_N; i++)
        option_copy(&option_rows[i], field_of(o, &option_rows[i]), field_of(from, &option_rows[i]));
}

static bool values_equal(const struct option_row *row, const struct options *a,
                         const struct options *b)
{
    struct buf first, second;
    buf_init(&first, OPTIONS_TEXT_MAX);
    buf_init(&second, OPTIONS_TEXT_MAX);
    option_print(row, field_of(a, row), OPTION_FOR_GET, &first);
    option_print(row, field_of(b, row), OPTION_FOR_GET, &second);
    bool equal = slice_equal(buf_slice(&first), buf_slice(&second));
    buf_free(&first);
    buf_free(&second);
    return equal;
}

static bool is_default(const struct options *o, const struct option_row *row)
{
    struct options fresh;
    memset(&fresh, 0, sizeof(fresh));
    set_default(&fresh, row);
    bool equal = values_equal(row, o, &fresh);
    option_drop(row, field_of(&fresh, row));
    return equal;
}

/* ---- changing ---- */

static bool assign(struct options *o, const struct option_row *row, const struct slice *words,
                   size_t n, bool more, struct buf *error)
{
    if (!option_parse(row, field_of(o, row), words, n, more, error))
        return false;
    if ((row->flags & OPTION_REFUSED) != 0 && !is_default(o, row))
        return option_refuse(error, "%s is refused: %s", row->name, row->note);
    o->given[row->id] = true;
    return true;
}

static struct slice trimmed(struct slice s)
{
    while (s.n > 0 && (s.p[0] == ' ' || (s.p[0] >= '\t' && s.p[0] <= '\r')))
        s = slice_from(s, 1);
    while (s.n > 0 && (s.p[s.n - 1] == ' ' || (s.p[s.n - 1] >= '\t' && s.p[s.n - 1] <= '\r')))
        s.n--;
    return s;
}

static enum options_line_is bare_line(const struct bare_row *bare, const struct slice *words,
                                      size_t n, struct buf *text)
{
    if (bare->kind == IGNORE)
        return OPTIONS_LINE_TAKEN;
    if (bare->kind == INCLUDE && n == 1) {
        buf_clear(text);
        option_say(text, words[0]);
        return OPTIONS_LINE_INCLUDE;
    }
    if (bare->kind == INCLUDE)
        option_refuse(text, "wrong number of arguments");
    else
        option_refuse(text, "%s is refused: %s", bare->name, bare->note);
    return OPTIONS_LINE_BAD;
}

static enum options_line_is words_line(struct options *o, const struct slice *words, size_t n,
                                       struct buf *text)
{
    const struct bare_row *bare = bare_find(words[0]);
    if (bare != NULL)
        return bare_line(bare, words + 1, n - 1, text);
    const struct option_row *row = row_of(o, words[0]);
    bool taken = row != NULL ? assign(o, row, words + 1, n - 1, o->given[row->id], text)
                             : refuse_unknown(o, words[0], text);
    return taken ? OPTIONS_LINE_TAKEN : OPTIONS_LINE_BAD;
}

enum options_line_is options_line(struct options *o, struct slice line, struct buf *text)
{
    buf_clear(text);
    line = trimmed(line);
    if (line.n == 0 || line.p[0] == '#')
        return OPTIONS_LINE_TAKEN;
    if (line.n > OPTIONS_VALUE_MAX) {
        option_refuse(text, "a line of more than %d bytes", OPTIONS_VALUE_MAX);
        return OPTIONS_LINE_BAD;
    }
    struct words words = {0};
    enum options_line_is is = OPTIONS_LINE_TAKEN;
    if (words_split(&words, line) != ERR_OK) {
        option_refuse(text, "Unbalanced quotes in configuration line");
        is = OPTIONS_LINE_BAD;
    } else if (words.list.n > 0) {
        is = words_line(o, words.list.at, words.list.n, text);
    }
    words_free(&words);
    return is;
}

/* CONFIG SET's value of a directive with several words: single blanks part them, as in Redis. */
static bool assign_parted(struct options *o, const struct option_row *row, struct slice value,
                          struct buf *error)
{
    VEC(struct slice) words = {0};
    size_t begin = 0;
    for (size_t i = 0; value.n > 0 && i <= value.n; i++) {
        if (i < value.n && value.p[i] != ' ')
            continue;
        *vec_add(&words) = slice_of(value.p + begin, i - begin);
        begin = i + 1;
    }
    bool set = assign(o, row, words.at, words.n, false, error);
    vec_free(&words);
    return set;
}

bool options_set_failed(struct slice name, const char *why, struct buf *error)
{
    buf_clear(error);
    option_say(error, SLICE("CONFIG SET failed (possibly related to argument '"));
    option_say(error, slice_head(name, NAME_SHOWN));
    option_say(error, SLICE("') - "));
    option_say(error, slice_str(why));
    return false;
}

static bool may_change(const struct options *o, const struct option_row *row, bool is_local)
{
    return (row->flags & OPTION_PROTECTED) == 0 || o->enable_protected_configs == PROTECTION_YES ||
           (o->enable_protected_configs == PROTECTION_LOCAL && is_local);
}

static const char fixed_at_proxy[] =
    "can't set immutable config: change it in the configuration file or on the "
    "command line, and start the proxy again";

/* What can be said before any value is looked at. */
static bool may_set_or_reply(const struct options *o, const struct option_pair *pairs, size_t n,
                             bool is_local, struct buf *error)
{
    bool seen[OPTION_N] = {false};
    for (size_t i = 0; i < n; i++) {
        const struct option_row *row = row_of(o, pairs[i].name);
        if (row == NULL) {
            buf_clear(error);
            option_say(error, SLICE("Unknown option or number of arguments for CONFIG SET - '"));
            option_say(error, slice_head(pairs[i].name, NAME_SHOWN));
            option_say(error, SLICE("'"));
            return false;
        }
        if (!may_change(o, row, is_local))
            return options_set_failed(pairs[i].name, "can't set protected config", error);
        if ((row->flags & OPTION_FIXED) != 0)
            return options_set_failed(
                pairs[i].name, o->of_proxy ? fixed_at_proxy : "can't set immutable config", error);
        if (seen[row->id])
            return options_set_failed(pairs[i].name, "duplicate parameter", error);
        if (pairs[i].value.n > OPTIONS_VALUE_MAX)
            return options_set_failed(pairs[i].name, "argument is too long", error);
        seen[row->id] = true;
    }
    return true;
}

bool options_try(const struct options *o, const struct option_pair *pairs, size_t n, bool is_local,
                 struct option_trial *t, struct buf *error)
{
    memset(t, 0, sizeof(*t));
    buf_clear(error);
    if (!may_set_or_reply(o, pairs, n, is_local, error))
        return false;
    options_copy(&t->options, o);
    struct buf why;
    buf_init(&why, OPTIONS_TEXT_MAX);
    bool set = true;
    for (size_t i = 0; set && i < n; i++) {
        const struct option_row *row = row_find(pairs[i].name);
        set = option_takes_words(row) ? assign_parted(&t->options, row, pairs[i].value, &why)
                                      : assign(&t->options, row, &pairs[i].value, 1, false, &why);
        if (!set) {
            option_say(&why, slice_of("", 1)); /* its end */
            options_set_failed(slice_str(row->name), why.p, error);
        } else {
            t->changed[row->id] = !values_equal(row, o, &t->options);
        }
    }
    buf_free(&why);
    if (!set)
        options_trial_free(t);
    return set;
}

static void field_swap(const struct option_row *row, char *a, char *b)
{
    for (size_t i = 0; i < row->size; i++) {
        char kept = a[i];
        a[i] = b[i];
        b[i] = kept;
    }
}

/* What is replaced goes to t: both are freed as any options are. */
void options_take(struct options *o, struct option_trial *t)
{
    for (size_t i = 0; i < OPTION_N; i++) {
        const struct option_row *row = &option_rows[i];
        o->given[i] = o->given[i] || t->options.given[i];
        if (t->changed[i])
            field_swap(row, field_of(o, row), field_of(&t->options, row));
    }
}

void options_trial_free(struct option_trial *t)
{
    options_free(&t->options);
    memset(t, 0, sizeof(*t));
}

const char *options_name(enum option id)
{
    return option_rows[id].name;
}

bool options_is_sensitive(struct slice name)
{
    const struct option_row *row = row_find(name);
    return row != NULL && (row->flags & OPTION_SENSITIVE) != 0;
}

/* ---- asking ---- */

/* A row has up to two names, and each is shown at most once. */
static void got_add(const struct options *o, const struct option_row *row, struct slice name,
                    struct options_got *got)
{
    size_t at = got->text.n;
    option_print(row, field_of(o, row), OPTION_FOR_GET, &got->text);
    *vec_add(&got->list) = (struct option_got){name, at, got->text.n - at};
}

static void get_pattern(const struct options *o, struct slice pattern, bool shown[OPTION_N][2],
                        struct options_got *got)
{
    bool plain = glob_is_plain(pattern);
    for (size_t i = 0; i < OPTION_N; i++) {
        const struct option_row *row = &option_rows[i];
        bool told = o->of_proxy && (row->flags & OPTION_PROXY_TOLD) != 0;
        if (!(told || has_row(o, row)) || (!plain && (row->flags & OPTION_HIDDEN) != 0))
            continue;
        const char *names[2] = {row->name, row->alias};
        for (size_t k = 0; k < 2; k++) {
            if (names[k] == NULL || shown[i][k])
                continue;
            if (plain ? !slice_is(pattern, names[k])
                      : !glob_match(pattern, slice_str(names[k]), true))
                continue;
            shown[i][k] = true;
            got_add(o, row, plain ? pattern : slice_str(names[k]), got);
        }
    }
}

void options_get(const struct options *o, const struct slice *patterns, size_t n,
                 struct options_got *got)
{
    bool shown[OPTION_N][2] = {{false}};
    *got = (struct options_got){0};
    buf_init(&got->text, OPTIONS_TEXT_MAX);
    for (size_t i = 0; i < n; i++)
        get_pattern(o, patterns[i], shown, got);
}

void options_got_free(struct options_got *got)
{
    vec_free(&got->list);
    buf_free(&got->text);
}

static void say_rest(struct buf *lines, struct buf *rest)
{
    if (rest->n == 0)
        return;
    option_say(lines, SLICE("Without effect here, and given with their default: "));
    option_say(lines, buf_slice(rest));
    option_say(lines, SLICE("\n"));
    buf_clear(rest);
}

void options_notes(const struct options *o, struct buf *lines)
{
    /* with its words before and one name more, a line */
    enum { REST_BYTES = LOG_LINE_BYTES - 256 };
    struct buf rest;
    buf_init(&rest, OPTIONS_TEXT_MAX);
    for (size_t i = 0; i < OPTION_N; i++) {
        const struct option_row *row = &option_rows[i];
        if (!o->given[i] || (row->flags & OPTION_IDLE) == 0)
            continue;
        if (!is_default(o, row)) {
            option_sayf(lines, "%s has no effect here: %s\n", row->name, row->note);
            continue;
        }
        option_sayf(&rest, "%s%s", rest.n > 0 ? ", " : "", row->name);
        if (rest.n > REST_BYTES)
            say_rest(lines, &rest);
    }
    say_rest(lines, &rest);
    buf_free(&rest);
}

/* ---- files and arguments ---- */

static bool is_option_word(struct slice arg)
{
    return slice_equal(slice_head(arg, 2), SLICE("--"));
}

void options_args(char *const *args, size_t n, struct buf *lines)
{
    bool has_value = true; /* the newest name has one, so that "--" begins the next */
    for (size_t i = 0; i < n; i++) {
        struct slice arg = slice_str(args[i]);
        if (!is_option_word(arg) || !has_value) {
            option_say(lines, SLICE(" "));
            option_say_quoted(lines, arg);
            has_value = true;
            continue;
        }
        if (lines->n > 0)
            option_say(lines, SLICE("\n"));
        option_say(lines, slice_from(arg, 2));
        has_value = memchr(arg.p, ' ', arg.n) != NULL; /* "--port 6380" as one argument */
        if (slice_is(arg, "--save") && (i + 1 == n || is_option_word(slice_str(args[i + 1])))) {
            option_say(lines, SLICE(" \"\"")); /* Redis' exception: alone it is save "" */
            has_value = true;
        }
    }
    if (lines->n > 0)
        option_say(lines, SLICE("\n"));
}

/* What one line of a file is about: an option, or none (a comment, an include, damage). */
static const struct option_row *row_of_line(const struct options *o, struct slice line)
{
    line = trimmed(line);
    if (line.n == 0 || line.p[0] == '#')
        return NULL;
    struct words words = {0};
    const struct option_row *row = NULL;
    if (words_split(&words, line) == ERR_OK && words.list.n > 0)
        row = row_of(o, words.list.at[0]);
    words_free(&words);
    return row;
}

static struct slice next_line(struct slice *rest)
{
    const char *end = rest->n > 0 ? memchr(rest->p, '\n', rest->n) : NULL;
    struct slice line = slice_head(*rest, end != NULL ? (size_t)(end - rest->p) : rest->n);
    *rest = slice_from(*rest, line.n + (end != NULL));
    return line;
}

static bool lines_add_up(const struct option_row *row)
{
    return row->type == OPTION_TYPE_SAVE || row->type == OPTION_TYPE_LIMITS;
}

static const char rewrite_mark[] = "# Generated by CONFIG REWRITE";

/* The first pass: what the old text says, and how many lines it takes to say it. */
static bool read_old(struct options *was, struct slice old, size_t lines[OPTION_N])
{
    bool marked = false;
    struct buf text;
    buf_init(&text, OPTIONS_TEXT_MAX);
    while (old.n > 0) {
        struct slice line = next_line(&old);
        const struct option_row *row = row_of_line(was, line);
        marked = marked || slice_equal(line, slice_str(rewrite_mark));
        if (row == NULL)
            continue;
        lines[row->id]++;
        if (options_line(was, line, &text) == OPTIONS_LINE_BAD)
            lines[row->id]++; /* never kept as it was */
    }
    buf_free(&text);
    return marked;
}

void options_rewrite(const struct options *o, struct slice old, struct buf *to)
{
    struct options was;
    options_init(&was);
    was.of_proxy = o->of_proxy;
    size_t lines[OPTION_N] = {0};
    bool written[OPTION_N] = {false};
    bool marked = read_old(&was, old, lines);
    while (old.n > 0) {
        struct slice line = next_line(&old);
        const struct option_row *row = row_of_line(o, line);
        bool keep = row == NULL ||
                    ((lines[row->id] == 1 || lines_add_up(row)) && values_equal(row, o, &was));
        if (keep) {
            option_say(to, line);
            option_say(to, SLICE("\n"));
        } else if (!written[row->id]) {
            option_print(row, field_of(o, row), OPTION_FOR_FILE, to);
        }
        if (row != NULL)
            written[row->id] = true;
    }
    for (size_t i = 0; i < OPTION_N; i++) {
        const struct option_row *row = &option_rows[i];
        if (written[i] || !has_row(o, row) || is_default(o, row))
            continue;
        if (!marked)
            option_sayf(to, "\n%s\n", rewrite_mark);
        marked = true;
        option_print(row, field_of(o, row), OPTION_FOR_FILE, to);
    }
    options_free(&was);
}

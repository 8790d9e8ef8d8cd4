/* SPDX-License-Identifier: BSD-3-Clause */

/* One parser and one printer for each type of value. The error texts are Redis', since scripts and
 * test suites read them. */
#include "conf/option_value.h"

#include "base/check.h"
#include "base/num.h"

/* ---- numbers ---- */

/* "64mb": 1k is 1000, 1kb is 1024; no word at all is 0. */
static bool get_memory(struct slice s, int64_t *v)
{
    static const struct {
        const char *word;
        int64_t times;
    } units[] = {{"", 1},        {"b", 1},        {"k", 1000},       {"kb", 1 << 10},
                 {"m", 1000000}, {"mb", 1 << 20}, {"g", 1000000000}, {"gb", 1 << 30}};
    size_t digits = 0;
    int64_t n = 0;
    for (; digits < s.n && s.p[digits] >= '0' && s.p[digits] <= '9'; digits++) {
        int digit = s.p[digits] - '0';
        if (n > (INT64_MAX - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (!slice_is(slice_from(s, digits), units[i].word))
            continue;
        if (n > INT64_MAX / units[i].times)
            return false;
        *v = n * units[i].times;
        return true;
    }
    return false;
}

static bool get_octal(struct slice s, int64_t *v)
{
    int64_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '7' || n > INT64_MAX / 8)
            return false;
        n = n * 8 + (s.p[i] - '0');
    }
    *v = n;
    return s.n > 0;
}

static bool parse_number(const struct option_row *row, int64_t *to, struct slice s,
                         struct buf *error)
{
    int64_t v;
    if (row->type == OPTION_TYPE_MEMPCT && s.n > 1 && s.p[s.n - 1] == '%' &&
        num_get_i64(slice_head(s, s.n - 1), &v) && v >= 0) {
        if (-v < row->least)
            return option_refuse(error, "percentage argument must be less or equal to %lld",
                                 (long long)-row->least);
        *to = -v;
        return true;
    }
    if (row->type == OPTION_TYPE_MEMPCT && !get_memory(s, &v))
        return option_refuse(error, "argument must be a memory or percent value");
    if (row->type == OPTION_TYPE_MEM && !get_memory(s, &v))
        return option_refuse(error, "argument must be a memory value");
    if (row->type == OPTION_TYPE_OCTAL && !get_octal(s, &v))
        return option_refuse(error, "argument couldn't be parsed as an octal number");
    if (row->type == OPTION_TYPE_INT && !num_get_i64(s, &v))
        return option_refuse(error, "argument couldn't be parsed into an integer");
    int64_t least = row->type == OPTION_TYPE_MEMPCT ? 0 : row->least;
    if (v >= least && v <= row->most) {
        *to = v;
        return true;
    }
    if (row->type == OPTION_TYPE_OCTAL)
        return option_refuse(error, "argument must be between %llo and %llo inclusive",
                             (unsigned long long)row->least, (unsigned long long)row->most);
    return option_refuse(error, "argument must be between %lld and %lld inclusive",
                         (long long)least, (long long)row->most);
}

/* ---- words ---- */

static bool parse_bool(bool *to, struct slice s, struct buf *error)
{
    if (!slice_is(s, "yes") && !slice_is(s, "no"))
        return option_refuse(error, "argument must be 'yes' or 'no'");
    *to = slice_is(s, "yes");
    return true;
}

static const struct option_choice *choice_of(const struct option_choice *choices, struct slice s)
{
    for (; choices->word != NULL; choices++)
        if (slice_is(s, choices->word))
            return choices;
    return NULL;
}

static bool refuse_choice(const struct option_choice *choices, struct buf *error)
{
    buf_clear(error);
    option_say(error, SLICE("argument(s) must be one of the following: "));
    for (size_t i = 0; choices[i].word != NULL; i++)
        option_sayf(error, "%s%s", i > 0 ? ", " : "", choices[i].word);
    return false;
}

static bool parse_enum(const struct option_row *row, void *to, struct slice s, struct buf *error)
{
    const struct option_choice *choice = choice_of(row->choices, s);
    if (choice == NULL)
        return refuse_choice(row->choices, error);
    memcpy(to, &choice->value, sizeof(choice->value)); /* an enum is as wide as an int */
    return true;
}

static bool is_file_name(const struct option_row *row)
{
    return row->id == OPTION_appendfilename || row->id == OPTION_appenddirname ||
           row->id == OPTION_dbfilename;
}

static bool parse_string(const struct option_row *row, char **to, struct slice s, struct buf *error)
{
    if (is_file_name(row) && memchr(s.n > 0 ? s.p : "", '/', s.n) != NULL)
        return option_refuse(error, "%s can't be a path, just a %s", row->name,
                             row->id == OPTION_appenddirname ? "dirname" : "filename");
    if (is_file_name(row) && s.n == 0)
        return option_refuse(error, "%s can't be empty", row->name);
    mem_free(*to);
    *to = mem_text(s.p, s.n);
    return true;
}

static void words_drop(struct option_words *w)
{
    for (size_t i = 0; i < w->n; i++)
        mem_free(w->at[i]);
    mem_free(w->at);
    *w = (struct option_words){NULL, 0};
}

static void words_append(struct option_words *w, struct slice s)
{
    w->at = mem_resize(w->at, (w->n + 1) * sizeof(*w->at));
    w->at[w->n++] = mem_text(s.p, s.n);
}

static bool parse_stop(const struct slice *words, size_t n, struct buf *error)
{
    static const struct option_choice choices[] = {{"default", 0}, {"save", 1},  {"nosave", 2},
                                                   {"now", 4},     {"force", 8}, {NULL, 0}};
    int seen = 0;
    for (size_t i = 0; i < n; i++) {
        const struct option_choice *choice = choice_of(choices, words[i]);
        if (choice == NULL)
            return refuse_choice(choices, error);
        seen |= choice->value;
    }
    if ((seen & 3) == 3)
        return option_refuse(error,
                             "shutdown options SAVE and NOSAVE can't be used simultaneously");
    return true;
}

static bool parse_oom(const struct slice *words, size_t n, struct buf *error)
{
    if (n != 3)
        return option_refuse(error, "wrong number of arguments");
    for (size_t i = 0; i < n; i++) {
        int64_t v;
        if (!num_get_i64(words[i], &v) || v < -2000 || v > 2000)
            return option_refuse(error, "Invalid oom-score-adj-values, elements must be between "
                                        "-2000 and 2000.");
    }
    return true;
}

enum { BIND_MAX = 16 }; /* Redis' */

static bool parse_words(const struct option_row *row, struct option_words *to,
                        const struct slice *words, size_t n, struct buf *error)
{
    if (row->id == OPTION_bind && n > BIND_MAX)
        return option_refuse(error, "Too many bind addresses specified.");
    if (row->id == OPTION_oom_score_adj_values && !parse_oom(words, n, error))
        return false;
    if ((row->id == OPTION_shutdown_on_sigterm || row->id == OPTION_shutdown_on_sigint) &&
        !parse_stop(words, n, error))
        return false;
    words_drop(to);
    for (size_t i = 0; i < n; i++)
        words_append(to, words[i]);
    return true;
}

/* ---- the particular ones ---- */

enum { SAVE_WORDS_MAX = 256 }; /* lines of a file add up, but not without end */

static bool parse_save(struct option_words *to, const struct slice *words, size_t n, bool more,
                       struct buf *error)
{
    bool valid = n % 2 == 0 && (more ? to->n : 0) + n <= SAVE_WORDS_MAX;
    for (size_t i = 0; valid && i < n; i++) {
        int64_t v;
        valid = num_get_i64(words[i], &v) && v >= (i % 2 == 0 ? 1 : 0) && v <= INT32_MAX;
    }
    if (!valid)
        return option_refuse(error, "Invalid save parameters");
    if (!more || n == 0)
        words_drop(to);
    for (size_t i = 0; i < n; i++)
        words_append(to, words[i]);
    return true;
}

static bool parse_percentiles(struct option_percentiles *to, const struct slice *words, size_t n,
                              struct buf *error)
{
    if (n > OPTION_PERCENTILES_MAX)
        return option_refuse(error, "at most %d percentiles", OPTION_PERCENTILES_MAX);
    for (size_t i = 0; i < n; i++) {
        long double v;
        if (!num_get_ld(words[i], &v))
            return option_refuse(error, "Invalid latency-tracking-info-percentiles parameters");
        if (v < 0 || v > 100)
            return option_refuse(error, "latency-tracking-info-percentiles parameters should sit "
                                        "between [0.0,100.0]");
        to->at[i] = (double)v;
    }
    to->n = n;
    return true;
}

static const char *const class_words[CLIENT_CLASSES] = {"normal", "slave", "pubsub"};

static bool class_get(struct slice s, enum client_class *c)
{
    if (slice_is(s, "normal"))
        *c = CLIENT_NORMAL;
    else if (slice_is(s, "slave") || slice_is(s, "replica"))
        *c = CLIENT_REPLICA;
    else if (slice_is(s, "pubsub"))
        *c = CLIENT_PUBSUB;
    else
        return false;
    return true;
}

static bool parse_limits(struct option_limits *to, const struct slice *words, size_t n,
                         struct buf *error)
{
    if (n % 4 != 0 || n == 0)
        return option_refuse(error, "Wrong number of arguments in buffer limit configuration.");
    for (size_t i = 0; i < n; i += 4) {
        enum client_class c;
        struct option_limit limit;
        if (!class_get(words[i], &c))
            return option_refuse(error,
                                 "Invalid client class specified in buffer limit configuration.");
        if (!get_memory(words[i + 1], &limit.hard) || !get_memory(words[i + 2], &limit.soft) ||
            !num_get_i64(words[i + 3], &limit.soft_seconds) || limit.soft_seconds < 0)
            return option_refuse(error, "Error in hard, soft or soft_seconds setting in buffer "
                                        "limit configuration.");
        to->of[c] = limit;
    }
    return true;
}

/* Bit i stands for event_letters[i]; 'A' for the first EVENTS_ALL of them. */
static const char event_letters[] = "g$lshzxetdnKEm";
enum { EVENTS_ALL = 10, EVENTS_NEW = 10 };

static bool parse_events(int64_t *to, struct slice s, struct buf *error)
{
    int64_t events = 0;
    for (size_t i = 0; i < s.n; i++) {
        const char *letter = s.p[i] != '\0' ? strchr(event_letters, s.p[i]) : NULL;
        if (letter != NULL)
            events |= 1LL << (letter - event_letters);
        else if (s.p[i] == 'A')
            events |= (1LL << EVENTS_ALL) - 1;
        else
            return option_refuse(error, "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.");
    }
    *to = events;
    return true;
}

static void print_events(int64_t events, struct buf *to)
{
    int64_t all = (1LL << EVENTS_ALL) - 1;
    bool has_all = (events & all) == all;
    if (has_all) {
        option_say(to, SLICE("A"));
        events &= ~(all | 1LL << EVENTS_NEW); /* Redis shows no 'n' beside 'A' */
    }
    for (size_t i = 0; event_letters[i] != '\0'; i++)
        if ((events >> i & 1) != 0)
            option_say(to, slice_of(event_letters + i, 1));
}

bool option_takes_words(const struct option_row *row)
{
    return row->type >= OPTION_TYPE_WORDS && row->type < OPTION_TYPE_EVENTS;
}

bool option_parse(const struct option_row *row, void *field, const struct slice *words, size_t n,
                  bool more, struct buf *error)
{
    if (option_takes_words(row)) {
        if (n == 1 && words[0].n == 0)
            n = 0;
    } else if (n != 1) {
        return option_refuse(error, "wrong number of arguments");
    }
    for (size_t i = 0; i < n; i++)
        if (words[i].n > 0 && memchr(words[i].p, '\0', words[i].n) != NULL)
            return option_refuse(error, "argument must not contain a zero byte");
    switch (row->type) {
    case OPTION_TYPE_BOOL: return parse_bool(field, words[0], error);
    case OPTION_TYPE_INT:
    case OPTION_TYPE_OCTAL:
    case OPTION_TYPE_MEM:
    case OPTION_TYPE_MEMPCT: return parse_number(row, field, words[0], error);
    case OPTION_TYPE_ENUM: return parse_enum(row, field, words[0], error);
    case OPTION_TYPE_STR: return parse_string(row, field, words[0], error);
    case OPTION_TYPE_WORDS: return parse_words(row, field, words, n, error);
    case OPTION_TYPE_SAVE: return parse_save(field, words, n, more, error);
    case OPTION_TYPE_PERCENTILES: return parse_percentiles(field, words, n, error);
    case OPTION_TYPE_LIMITS: return parse_limits(field, words, n, error);
    case OPTION_TYPE_EVENTS: return parse_events(field, words[0], error);
    }
    check(false);
    return false;
}

/* ---- printing ---- */

static void print_memory(int64_t v, enum option_style style, struct buf *to)
{
    static const char *const units[] = {"", "kb", "mb", "gb"};
    size_t unit = 0;
    while (style == OPTION_FOR_FILE && unit < 3 && v > 0 && v % 1024 == 0) {
        v /= 1024;
        unit++;
    }
    option_sayf(to, "%lld%s", (long long)v, units[unit]);
}

static const char *choice_word(const struct option_row *row, int value)
{
    for (const struct option_choice *c = row->choices; c->word != NULL; c++)
        if (c->value == value)
            return c->word;
    check(false);
    return NULL;
}

static bool needs_quotes(const char *s)
{
    for (const char *p = s; *p != '\0'; p++)
        if (*p <= ' ' || *p > '~' || *p == '"' || *p == '\'' || *p == '\\')
            return true;
    return *s == '\0';
}

static void print_words(const struct option_words *w, enum option_style style, struct buf *to)
{
    for (size_t i = 0; i < w->n; i++) {
        if (i > 0)
            option_say(to, SLICE(" "));
        if (style == OPTION_FOR_FILE && needs_quotes(w->at[i]))
            option_say_quoted(to, slice_str(w->at[i]));
        else
            option_say(to, slice_str(w->at[i]));
    }
    if (style == OPTION_FOR_FILE && w->n == 0)
        option_say(to, SLICE("\"\""));
}

static void print_percentiles(const struct option_percentiles *p, enum option_style style,
                              struct buf *to)
{
    for (size_t i = 0; i < p->n; i++) {
        if (i > 0)
            option_say(to, SLICE(" "));
        size_t begin = to->n;
        option_sayf(to, "%f", p->at[i]);
        while (to->n > begin && to->p[to->n - 1] == '0')
            to->n--;
        if (to->n > begin && to->p[to->n - 1] == '.')
            to->n--;
    }
    if (style == OPTION_FOR_FILE && p->n == 0)
        option_say(to, SLICE("\"\""));
}

static void print_limits(const struct option_limits *l, enum option_style style, struct buf *to)
{
    for (size_t i = 0; i < CLIENT_CLASSES; i++) {
        option_sayf(to, "%s%s ", i > 0 ? " " : "", class_words[i]);
        print_memory(l->of[i].hard, style, to);
        option_say(to, SLICE(" "));
        print_memory(l->of[i].soft, style, to);
        option_sayf(to, " %lld", (long long)l->of[i].soft_seconds);
    }
}

static void print_string(const char *s, enum option_style style, struct buf *to)
{
    if (style == OPTION_FOR_FILE)
        option_say_quoted(to, slice_str(s));
    else
        option_say(to, slice_str(s));
}

static void print_value(const struct option_row *row, const void *field, enum option_style style,
                        struct buf *to)
{
    int64_t number = 0;
    int choice = 0;
    switch (row->type) {
    case OPTION_TYPE_BOOL:
        option_say(to, *(const bool *)field ? SLICE("yes") : SLICE("no"));
        return;
    case OPTION_TYPE_ENUM:
        memcpy(&choice, field, sizeof(choice));
        option_say(to, slice_str(choice_word(row, choice)));
        return;
    case OPTION_TYPE_STR: print_string(*(char *const *)field, style, to); return;
    case OPTION_TYPE_WORDS:
    case OPTION_TYPE_SAVE: print_words(field, style, to); return;
    case OPTION_TYPE_PERCENTILES: print_percentiles(field, style, to); return;
    case OPTION_TYPE_LIMITS: print_limits(field, style, to); return;
    case OPTION_TYPE_INT:
    case OPTION_TYPE_OCTAL:
    case OPTION_TYPE_MEM:
    case OPTION_TYPE_MEMPCT:
    case OPTION_TYPE_EVENTS: break;
    }
    memcpy(&number, field, sizeof(number));
    if (row->type == OPTION_TYPE_MEMPCT && number < 0)
        option_sayf(to, "%lld%%", (long long)-number);
    else if (row->type == OPTION_TYPE_MEM || row->type == OPTION_TYPE_MEMPCT)
        print_memory(number, style, to);
    else if (row->type == OPTION_TYPE_OCTAL)
        option_sayf(to, "%llo", (unsigned long long)number);
    else if (row->type == OPTION_TYPE_INT)
        option_sayf(to, "%lld", (long long)number);
    else if (style == OPTION_FOR_GET)
        print_events(number, to);
    else {
        option_say(to, SLICE("\""));
        print_events(number, to);
        option_say(to, SLICE("\""));
    }
}

void option_print(const struct option_row *row, const void *field, enum option_style style,
                  struct buf *to)
{
    if (style == OPTION_FOR_FILE)
        option_sayf(to, "%s ", row->name);
    print_value(row, field, style, to);
    if (style == OPTION_FOR_FILE)
        option_say(to, SLICE("\n"));
}

/* ---- ownership ---- */

void option_copy(const struct option_row *row, void *to, const void *from)
{
    if (row->type == OPTION_TYPE_STR) {
        *(char **)to = mem_text(*(char *const *)from, strlen(*(char *const *)from));
    } else if (row->type == OPTION_TYPE_WORDS || row->type == OPTION_TYPE_SAVE) {
        const struct option_words *w = from;
        struct option_words *copy = to;
        *copy = (struct option_words){NULL, 0};
        for (size_t i = 0; i < w->n; i++)
            words_append(copy, slice_str(w->at[i]));
    }
}

void option_drop(const struct option_row *row, void *field)
{
    if (row->type == OPTION_TYPE_STR) {
        mem_free(*(char **)field);
        *(char **)field = NULL;
    } else if (row->type == OPTION_TYPE_WORDS || row->type == OPTION_TYPE_SAVE) {
        words_drop(field);
    }
}

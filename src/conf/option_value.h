/* SPDX-License-Identifier: BSD-3-Clause */

/* The types of values: words -> field -> text. Only options.c and its neighbours look in here. */
#ifndef CONF_OPTION_VALUE_H
#define CONF_OPTION_VALUE_H

#include "conf/options.h"

enum option_type {
    OPTION_TYPE_BOOL,
    OPTION_TYPE_INT,
    OPTION_TYPE_OCTAL,
    OPTION_TYPE_MEM,
    OPTION_TYPE_MEMPCT,
    OPTION_TYPE_ENUM,
    OPTION_TYPE_STR,
    OPTION_TYPE_WORDS, /* from here on a directive takes several words */
    OPTION_TYPE_SAVE,
    OPTION_TYPE_PERCENTILES,
    OPTION_TYPE_LIMITS,
    OPTION_TYPE_EVENTS /* one word again */
};

struct option_choice {
    const char *word; /* NULL ends the list */
    int value;
};

struct option_row {
    const char *name, *alias; /* alias may be NULL */
    const char *default_text;
    const char *note; /* why it has no effect, or is refused */
    const struct option_choice *choices;
    int64_t least, most;
    size_t offset, size; /* of the field in struct options */
    enum option_type type;
    unsigned flags;
    enum option id;
};

enum option_flag {
    OPTION_FIXED = 1,
    OPTION_PROTECTED = 2,
    OPTION_SENSITIVE = 4,
    OPTION_HIDDEN = 8,
    OPTION_IDLE = 16,
    OPTION_REFUSED = 32,
    OPTION_PROXY = 64,       /* vong-proxy has it, too */
    OPTION_PROXY_ONLY = 128, /* it alone has it */
    OPTION_PROXY_TOLD = 256  /* its CONFIG GET tells it, and nothing sets it */
};

extern const struct option_row option_rows[OPTION_N];

enum option_style { OPTION_FOR_GET, OPTION_FOR_FILE };

bool option_takes_words(const struct option_row *row);

/* The field's new value from its words; `more`: a later line of the same file adds to it where
 * lines add up. On false, error holds the reason and the field may be half changed: set a copy. */
bool option_parse(const struct option_row *row, void *field, const struct slice *words, size_t n,
                  bool more, struct buf *error) MUST_CHECK;

/* FOR_GET: what CONFIG GET shows. FOR_FILE: whole lines, name included, each ended. */
void option_print(const struct option_row *row, const void *field, enum option_style style,
                  struct buf *to);

void option_copy(const struct option_row *row, void *to, const void *from); /* to: overwritten */
void option_drop(const struct option_row *row, void *field);

/* Text built up; more than a buf may hold is a bug here. */
void option_say(struct buf *to, struct slice s);
void option_sayf(struct buf *to, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool option_refuse(struct buf *error, const char *format, ...) /* replaces; false */
    __attribute__((format(printf, 2, 3)));

/* "..." with what is not printable escaped, as words_split reads it. */
void option_say_quoted(struct buf *to, struct slice s);

#endif

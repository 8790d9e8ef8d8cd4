/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/history_text.h"

#include <stdlib.h>
#include <string.h>

static bool skip(const char **p, const char *word)
{
    while (**p == ' ')
        ++*p;
    bool is = strncmp(*p, word, strlen(word)) == 0;
    *p += is ? strlen(word) : 0;
    return is;
}

static bool number(const char **p, int64_t *v)
{
    char *end;
    (void)skip(p, "");
    *v = strtoll(*p, &end, 10);
    bool is = end != *p;
    *p = end;
    return is;
}

static bool read_part(const char **p, struct history_part *part, bool unsure)
{
    static const char *const words[] = {"get", "set", "del", "incr", "append", "is"};
    int64_t v;
    size_t type = 0;
    while (type < sizeof(words) / sizeof(words[0]) && !skip(p, words[type]))
        type++;
    (void)skip(p, "");
    if (type == sizeof(words) / sizeof(words[0]) || **p < 'a' || **p >= 'a' + HISTORY_KEYS)
        return false;
    *part = (struct history_part){.type = (uint8_t)type, .key = (uint8_t)(*(*p)++ - 'a')};
    if (type == HISTORY_SET || type == HISTORY_APPEND || type == HISTORY_IS) {
        if (!number(p, &part->value))
            return false;
    }
    if (type == HISTORY_GET && part->key == HISTORY_KEYS - 1)
        while (number(p, &v))
            part->answer = history_appended(part->answer, v);
    else if (type != HISTORY_SET && type != HISTORY_IS && !unsure)
        return number(p, &part->answer);
    return true;
}

bool history_op_read(const char **p, struct history_op *op)
{
    int64_t v;
    *op = (struct history_op){.answer = INT64_MAX};
    if (!number(p, &op->call))
        return false;
    op->gives_up = skip(p, "given up");
    if (op->gives_up) {
        op->is_loss = true;
        op->answer = op->call;
        return true;
    }
    if (skip(p, "loss")) {
        op->is_loss = true;
        op->answer = op->call;
        return number(p, &op->since);
    }
    if (!skip(p, "-"))
        return false;
    op->unsure = skip(p, "?");
    if (!op->unsure && !number(p, &op->answer))
        return false;
    if (skip(p, "after")) {
        if (!number(p, &v) || v < 1 || v > UINT32_MAX)
            return false;
        op->after = (uint32_t)v;
    }
    do {
        if (op->parts_n == HISTORY_PARTS || !read_part(p, &op->parts[op->parts_n++], op->unsure))
            return false;
    } while (skip(p, "+"));
    return true;
}

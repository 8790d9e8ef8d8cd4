/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/words.h"

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || c == '\0';
}

static int hex_digit(char c)
{
    c = lower_of(c);
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static char unescaped(char c)
{
    switch (c) {
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'b': return '\b';
    case 'a': return '\a';
    default: return c;
    }
}

/* Reads a quoted part whose opening quote was at in[at - 1]; the place behind the closing one, or
 * 0. */
static size_t word_quoted(struct slice in, size_t at, char quote, char **to)
{
    while (at < in.n && in.p[at] != quote) {
        char c = in.p[at++];
        if (c == '\\' && at < in.n && quote == '"') {
            int high = in.p[at] == 'x' && at + 2 < in.n ? hex_digit(in.p[at + 1]) : -1;
            int low = high >= 0 ? hex_digit(in.p[at + 2]) : -1;
            c = low >= 0 ? (char)(high * 16 + low) : unescaped(in.p[at]);
            at += low >= 0 ? 3 : 1;
        } else if (c == '\\' && at < in.n && in.p[at] == '\'') {
            c = in.p[at++];
        }
        *(*to)++ = c;
    }
    if (at >= in.n || (at + 1 < in.n && !is_blank(in.p[at + 1])))
        return 0;
    return at + 1;
}

enum err words_split(struct words *w, struct slice line)
{
    w->text = mem_get(line.n);
    char *to = w->text;
    size_t at = 0;
    for (;;) {
        while (at < line.n && is_blank(line.p[at]))
            at++;
        if (at == line.n)
            return ERR_OK;
        char *begin = to;
        while (at < line.n && !is_blank(line.p[at])) {
            char c = line.p[at++];
            if (c != '"' && c != '\'') {
                *to++ = c;
                continue;
            }
            at = word_quoted(line, at, c, &to);
            if (at == 0)
                return ERR_SYNTAX;
            break;
        }
        *vec_add(&w->list) = slice_of(begin, (size_t)(to - begin));
    }
}

void words_free(struct words *w)
{
    mem_free(w->text);
    w->text = NULL;
    vec_free(&w->list);
}

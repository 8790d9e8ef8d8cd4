/* SPDX-License-Identifier: BSD-3-Clause */

/* Reads the notation of spec_args.h, one argument at a time. */
#include "cmd/spec_args.h"

static bool is_at(struct slice s, char c)
{
    return s.n > 0 && s.p[0] == c;
}

static bool skip(struct slice *s, char c)
{
    if (!is_at(*s, c))
        return false;
    *s = slice_from(*s, 1);
    return true;
}

/* Up to the first of the characters in `ends`, which stays. */
static struct slice take_until(struct slice *s, const char *ends)
{
    size_t n = 0;
    while (n < s->n && strchr(ends, s->p[n]) == NULL)
        n++;
    struct slice taken = slice_head(*s, n);
    *s = slice_from(*s, n);
    return taken;
}

/* What is between the bracket at the front and the one that closes it; ends behind both. */
static bool take_children(struct slice *s, struct slice *children)
{
    size_t depth = 0;
    bool quoted = false;

    for (size_t i = 0; i < s->n; i++) {
        char c = s->p[i];
        if (c == '\'')
            quoted = !quoted;
        if (quoted)
            continue;
        if (c == '(' || c == '{')
            depth++;
        if ((c == ')' || c == '}') && --depth == 0) {
            *children = slice_of(s->p + 1, i - 1);
            bool matches = c == (s->p[0] == '(' ? ')' : '}');
            *s = slice_from(*s, i + 1);
            return matches && children->n > 0;
        }
    }
    return false;
}

#define X(type, text) text,
static const char *const type_names[] = {ARG_TYPE_ROWS(X)};
#undef X

const char *arg_type_name(enum arg_type type)
{
    return type_names[type];
}

/* Names may have colons themselves ("ip:port"): a type is one only if it is known. */
static bool split_type(struct slice *name, enum arg_type *type)
{
    size_t colon = name->n;
    while (colon > 0 && name->p[colon - 1] != ':')
        colon--;
    if (colon == 0)
        return false;
    for (unsigned t = ARG_STRING; t <= ARG_UNIX_TIME; t++)
        if (slice_equal(slice_from(*name, colon), slice_str(type_names[t]))) {
            *type = (enum arg_type)t;
            *name = slice_head(*name, colon - 1);
            return true;
        }
    return false;
}

#define ENDS " (){}@=?*+^~"

static bool take_token(struct slice *s, struct slice *token)
{
    if (!skip(s, '\'')) {
        *token = take_until(s, ENDS);
        return token->n > 0;
    }
    *token = take_until(s, "'");
    return skip(s, '\'');
}

static bool take_marks(struct slice *s, struct spec_arg *arg)
{
    arg->optional = skip(s, '?');
    arg->multiple = skip(s, '*');
    arg->multiple_token = skip(s, '+');
    if (skip(s, '^') && (arg->since = take_until(s, ENDS)).n == 0)
        return false;
    if (skip(s, '~') && (arg->deprecated = take_until(s, ENDS)).n == 0)
        return false;
    return s->n == 0 || (skip(s, ' ') && s->n > 0);
}

bool spec_args_next(struct slice *list, struct spec_arg *arg)
{
    struct slice s = *list;
    *arg = (struct spec_arg){.key_spec = -1, .name = take_until(&s, ENDS)};

    bool typed = split_type(&arg->name, &arg->type);
    if (arg->name.n == 0)
        return false;
    if (is_at(s, '(') || is_at(s, '{')) {
        arg->type = s.p[0] == '(' ? ARG_ONEOF : ARG_BLOCK;
        if (typed || !take_children(&s, &arg->children))
            return false;
        typed = true;
    }
    if (skip(&s, '@')) {
        if (s.n == 0 || s.p[0] < '0' || s.p[0] > '9')
            return false;
        arg->key_spec = s.p[0] - '0';
        s = slice_from(s, 1);
    }
    if (skip(&s, '=')) {
        if (!take_token(&s, &arg->token))
            return false;
        if (!typed)
            arg->type = ARG_PURE_TOKEN;
    }
    if (!take_marks(&s, arg))
        return false;
    *list = s;
    return true;
}

size_t spec_args_n(struct slice list)
{
    struct spec_arg arg;
    size_t n = 0;
    while (spec_args_next(&list, &arg))
        n++;
    return n;
}

bool spec_args_are_well_formed(struct slice list)
{
    struct spec_arg arg;
    while (spec_args_next(&list, &arg))
        if (arg.children.n > 0 && !spec_args_are_well_formed(arg.children))
            return false;
    return list.n == 0;
}

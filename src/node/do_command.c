/* SPDX-License-Identifier: BSD-3-Clause */

/* COMMAND: the rows of commands.def, as clients and redis-cli ask for them. */
#include "base/glob.h"
#include "cmd/keys.h"
#include "cmd/spec_args.h"
#include "node/call.h"

static size_t set_bits_n(uint32_t bits)
{
    size_t n = 0;
    for (; bits != 0; bits &= bits - 1)
        n++;
    return n;
}

static size_t top_n(void)
{
    size_t n = 0;
    for (size_t i = 0; i < SPEC_N; i++)
        n += specs[i].sub_at == 0;
    return n;
}

/* --------------------------------------------------------------------- INFO */

static void reply_flags(struct reply *r, uint32_t flags)
{
    size_t n = 0;
    for (unsigned bit = 0; bit < CMD_FLAG_N; bit++)
        n += (flags >> bit & 1) != 0 && cmd_flag_name(bit) != NULL;
    reply_set(r, n);
    for (unsigned bit = 0; bit < CMD_FLAG_N; bit++)
        if ((flags >> bit & 1) != 0 && cmd_flag_name(bit) != NULL)
            reply_simple(r, slice_str(cmd_flag_name(bit)));
}

static void reply_categories(struct reply *r, uint32_t categories)
{
    reply_set(r, set_bits_n(categories));
    for (unsigned bit = 0; bit < ACL_CATEGORY_N; bit++) {
        if ((categories >> bit & 1) == 0)
            continue;
        char name[32] = "@";
        struct slice text = slice_str(acl_category_name(bit));
        memcpy(name + 1, text.p, text.n);
        reply_simple(r, slice_of(name, text.n + 1));
    }
}

static void reply_key_flags(struct reply *r, uint32_t flags)
{
    reply_set(r, set_bits_n(flags));
    for (unsigned bit = 0; bit < KEY_FLAG_N; bit++)
        if ((flags >> bit & 1) != 0)
            reply_simple(r, slice_str(key_flag_name(bit)));
}

static void reply_pair(struct reply *r, const char *name, int64_t v)
{
    reply_bulk_str(r, name);
    reply_i64(r, v);
}

static void reply_begin(struct reply *r, const struct key_spec *k)
{
    static const char *const types[] = {
        [BEGIN_UNKNOWN] = "unknown", [BEGIN_INDEX] = "index", [BEGIN_KEYWORD] = "keyword"};
    reply_bulk(r, SLICE("begin_search"));
    reply_map(r, 2);
    reply_bulk(r, SLICE("type"));
    reply_bulk_str(r, types[k->begin]);
    reply_bulk(r, SLICE("spec"));
    switch ((enum key_begin)k->begin) {
    case BEGIN_UNKNOWN: reply_map(r, 0); break;
    case BEGIN_INDEX:
        reply_map(r, 1);
        reply_pair(r, "index", k->at);
        break;
    case BEGIN_KEYWORD:
        reply_map(r, 2);
        reply_bulk(r, SLICE("keyword"));
        reply_bulk_str(r, k->keyword);
        reply_pair(r, "startfrom", k->at);
        break;
    }
}

static void reply_extent(struct reply *r, const struct key_spec *k)
{
    static const char *const types[] = {
        [EXTENT_UNKNOWN] = "unknown", [EXTENT_RANGE] = "range", [EXTENT_COUNTED] = "keynum"};
    reply_bulk(r, SLICE("find_keys"));
    reply_map(r, 2);
    reply_bulk(r, SLICE("type"));
    reply_bulk_str(r, types[k->extent]);
    reply_bulk(r, SLICE("spec"));
    switch ((enum key_extent)k->extent) {
    case EXTENT_UNKNOWN: reply_map(r, 0); break;
    case EXTENT_RANGE:
        reply_map(r, 3);
        reply_pair(r, "lastkey", k->last);
        reply_pair(r, "keystep", k->step);
        reply_pair(r, "limit", k->limit);
        break;
    case EXTENT_COUNTED:
        reply_map(r, 3);
        reply_pair(r, "keynumidx", k->count);
        reply_pair(r, "firstkey", k->first);
        reply_pair(r, "keystep", k->step);
        break;
    }
}

static void reply_key_specs(struct reply *r, const struct spec *s)
{
    reply_set(r, s->keys_n);
    for (size_t i = 0; i < s->keys_n; i++) {
        reply_map(r, 3);
        reply_bulk(r, SLICE("flags"));
        reply_key_flags(r, s->keys[i].flags);
        reply_begin(r, &s->keys[i]);
        reply_extent(r, &s->keys[i]);
    }
}

static void reply_tips(struct reply *r, struct slice tips)
{
    size_t n = tips.n > 0;
    for (size_t i = 0; i < tips.n; i++)
        n += tips.p[i] == ' ';
    reply_set(r, n);
    while (tips.n > 0) {
        size_t end = 0;
        while (end < tips.n && tips.p[end] != ' ')
            end++;
        reply_bulk(r, slice_head(tips, end));
        tips = slice_from(tips, end + 1);
    }
}

/* Subcommands have none of their own: this goes one level deep. */
static void reply_info(struct reply *r, const struct spec *s)
{
    reply_array(r, 10);
    reply_bulk_str(r, s->name);
    reply_i64(r, s->arity);
    reply_flags(r, s->flags);
    reply_i64(r, s->first);
    reply_i64(r, s->last);
    reply_i64(r, s->step);
    reply_categories(r, s->categories);
    reply_tips(r, slice_str(s->tips));
    reply_key_specs(r, s);
    bool has_subs = spec_has_subs(s);
    reply_set(r, has_subs ? spec_subs_n(s) : 0);
    if (!has_subs)
        return;
    for (const struct spec *sub = spec_next_sub(s); sub != NULL; sub = spec_next_sub(sub))
        reply_info(r, sub);
}

static void reply_info_all(struct reply *r)
{
    reply_array(r, top_n());
    for (size_t i = 0; i < SPEC_N; i++)
        if (specs[i].sub_at == 0)
            reply_info(r, &specs[i]);
}

void node_command(struct call *c)
{
    reply_info_all(c->reply);
}

void node_command_info(struct call *c)
{
    if (c->argc == 2) {
        reply_info_all(c->reply);
        return;
    }
    reply_array(c->reply, c->argc - 2);
    for (uint32_t i = 2; i < c->argc; i++) {
        const struct spec *s = spec_find_name(c->argv[i]);
        if (s != NULL)
            reply_info(c->reply, s);
        else
            reply_null(c->reply);
    }
}

void node_command_count(struct call *c)
{
    reply_i64(c->reply, (int64_t)top_n());
}

/* --------------------------------------------------------------------- DOCS */

static void reply_text(struct reply *r, const char *name, struct slice text)
{
    reply_bulk_str(r, name);
    reply_bulk(r, text);
}

static void reply_args(struct reply *r, struct slice list);

static void reply_arg(struct reply *r, const struct spec_arg *a)
{
    size_t flags_n = (size_t)a->optional + a->multiple + a->multiple_token;
    bool has_key = a->key_spec >= 0;
    reply_map(r, 2 + (size_t)has_key + (a->token.p != NULL) + (a->since.n > 0) +
                     (a->deprecated.n > 0) + (flags_n > 0) + (a->children.n > 0));
    reply_text(r, "name", a->name);
    reply_text(r, "type", slice_str(arg_type_name(a->type)));
    if (has_key)
        reply_pair(r, "key_spec_index", a->key_spec);
    if (a->token.p != NULL)
        reply_text(r, "token", a->token);
    if (a->since.n > 0)
        reply_text(r, "since", a->since);
    if (a->deprecated.n > 0)
        reply_text(r, "deprecated_since", a->deprecated);
    if (flags_n > 0) {
        reply_bulk(r, SLICE("flags"));
        reply_set(r, flags_n);
        if (a->optional)
            reply_simple(r, SLICE("optional"));
        if (a->multiple)
            reply_simple(r, SLICE("multiple"));
        if (a->multiple_token)
            reply_simple(r, SLICE("multiple_token"));
    }
    if (a->children.n > 0) {
        reply_bulk(r, SLICE("arguments"));
        reply_args(r, a->children);
    }
}

/* As deep as the rows of commands.def nest, which is three. */
static void reply_args(struct reply *r, struct slice list)
{
    reply_array(r, spec_args_n(list));
    struct spec_arg a;
    while (spec_args_next(&list, &a))
        reply_arg(r, &a);
}

static void reply_doc_flags(struct reply *r, bool deprecated, bool syscmd)
{
    reply_bulk(r, SLICE("doc_flags"));
    reply_set(r, (size_t)deprecated + syscmd);
    if (deprecated)
        reply_simple(r, SLICE("deprecated"));
    if (syscmd)
        reply_simple(r, SLICE("syscmd"));
}

/* A name and what is to be known of it. */
static void reply_docs(struct reply *r, const struct spec *s)
{
    bool deprecated = s->deprecated_since != NULL, syscmd = (s->flags & CMD_SYSCMD) != 0;
    bool has_args = s->args[0] != '\0', has_subs = spec_has_subs(s);
    reply_bulk_str(r, s->name);
    reply_map(r, 3 + (size_t)(s->complexity != NULL) + (deprecated || syscmd) + deprecated +
                     (s->replaced_by != NULL) + has_args + has_subs);
    reply_text(r, "summary", slice_str(s->summary));
    reply_text(r, "since", slice_str(s->since));
    reply_text(r, "group", slice_str(spec_group_name(s->group)));
    if (s->complexity != NULL)
        reply_text(r, "complexity", slice_str(s->complexity));
    if (deprecated || syscmd)
        reply_doc_flags(r, deprecated, syscmd);
    if (deprecated)
        reply_text(r, "deprecated_since", slice_str(s->deprecated_since));
    if (s->replaced_by != NULL)
        reply_text(r, "replaced_by", slice_str(s->replaced_by));
    if (has_args) {
        reply_bulk(r, SLICE("arguments"));
        reply_args(r, slice_str(s->args));
    }
    if (!has_subs)
        return;
    reply_bulk(r, SLICE("subcommands"));
    reply_map(r, spec_subs_n(s));
    for (const struct spec *sub = spec_next_sub(s); sub != NULL; sub = spec_next_sub(sub))
        reply_docs(r, sub);
}

void node_command_docs(struct call *c)
{
    if (c->argc == 2) {
        reply_map(c->reply, top_n());
        for (size_t i = 0; i < SPEC_N; i++)
            if (specs[i].sub_at == 0)
                reply_docs(c->reply, &specs[i]);
        return;
    }
    size_t known = 0;
    for (uint32_t i = 2; i < c->argc; i++)
        known += spec_find_name(c->argv[i]) != NULL;
    reply_map(c->reply, known);
    for (uint32_t i = 2; i < c->argc; i++) {
        const struct spec *s = spec_find_name(c->argv[i]);
        if (s != NULL)
            reply_docs(c->reply, s);
    }
}

/* --------------------------------------------------------------------- LIST */

struct list_filter {
    struct slice pattern; /* p is NULL: none */
    uint32_t categories;  /* 0: any */
    bool nothing;         /* of a module, or of a category that there is not */
};

static bool filter_or_reply(struct call *c, struct list_filter *f)
{
    *f = (struct list_filter){0};
    if (c->argc == 2)
        return true;
    if (c->argc == 5 && slice_is(c->argv[2], "filterby")) {
        if (slice_is(c->argv[3], "module")) {
            f->nothing = true;
            return true;
        }
        if (slice_is(c->argv[3], "aclcat")) {
            f->categories = acl_category_find(c->argv[4]);
            f->nothing = f->categories == 0;
            return true;
        }
        if (slice_is(c->argv[3], "pattern")) {
            f->pattern = c->argv[4];
            return true;
        }
    }
    call_syntax_error(c);
    return false;
}

static bool filter_fits(const struct list_filter *f, const struct spec *s)
{
    if (f->nothing || (f->categories != 0 && (s->categories & f->categories) == 0))
        return false;
    return f->pattern.p == NULL || glob_match(f->pattern, slice_of(s->name, s->name_n), true);
}

void node_command_list(struct call *c)
{
    struct list_filter f;
    if (!filter_or_reply(c, &f))
        return;
    size_t n = 0;
    for (size_t i = 0; i < SPEC_N; i++)
        n += filter_fits(&f, &specs[i]);
    reply_array(c->reply, n);
    for (size_t i = 0; i < SPEC_N; i++)
        if (filter_fits(&f, &specs[i]))
            reply_bulk_str(c->reply, specs[i].name);
}

/* ------------------------------------------------------------------ GETKEYS */

static bool keys_or_reply(struct call *c, struct keys *keys)
{
    const struct slice *argv = c->argv + 2;
    size_t argc = c->argc - 2;
    const struct spec *s = spec_find(argv, argc);
    *keys = (struct keys){0};
    if (s == NULL) {
        reply_error(c->reply, SLICE("ERR Invalid command specified"));
        return false;
    }
    if (s->keys_n == 0 && s->finder == FIND_BY_SPECS) {
        reply_error(c->reply, SLICE("ERR The command has no key arguments"));
        return false;
    }
    if (!spec_arity_fits(s, argc)) {
        reply_error(c->reply, SLICE("ERR Invalid number of arguments specified for command"));
        return false;
    }
    if (!keys_of(s, argv, argc, keys) ||
        (keys_n(keys) == 0 && (s->flags & CMD_NO_MANDATORY_KEYS) == 0)) {
        reply_error(c->reply, SLICE("ERR Invalid arguments specified for command"));
        return false;
    }
    return true;
}

void node_command_getkeys(struct call *c)
{
    struct keys keys;
    if (!keys_or_reply(c, &keys))
        return;
    reply_array(c->reply, keys_n(&keys));
    struct key_at key = {0};
    while (keys_next(&keys, &key))
        reply_bulk(c->reply, c->argv[2 + key.at]);
}

void node_command_getkeysandflags(struct call *c)
{
    struct keys keys;
    if (!keys_or_reply(c, &keys))
        return;
    reply_array(c->reply, keys_n(&keys));
    struct key_at key = {0};
    while (keys_next(&keys, &key)) {
        reply_array(c->reply, 2);
        reply_bulk(c->reply, c->argv[2 + key.at]);
        reply_key_flags(c->reply, key.flags);
    }
}

void node_command_help(struct call *c)
{
    static const char *const lines[] = {
        "(nothing)",
        "    What is known of every command.",
        "COUNT",
        "    How many commands there are.",
        "DOCS [<command> ...]",
        "    What these commands do and take, or all.",
        "GETKEYS <request>",
        "    Which arguments of a request are keys.",
        "GETKEYSANDFLAGS <request>",
        "    The same, and what is done with each.",
        "INFO [<command> ...]",
        "    What is known of these commands, or of all.",
        "LIST [FILTERBY (MODULE <name> | ACLCAT <category> | PATTERN <pattern>)]",
        "    The names of these commands, or of all.",
    };
    call_help(c, lines, sizeof(lines) / sizeof(lines[0]));
}

/* SPDX-License-Identifier: BSD-3-Clause */
#include "node/call.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"
#include "base/num.h"

enum { NAME_BYTES = 64, ECHO_BYTES = 128 };

static struct slice upper(struct slice s, char to[NAME_BYTES])
{
    s = slice_head(s, NAME_BYTES);
    for (size_t i = 0; i < s.n; i++)
        to[i] = s.p[i] >= 'a' && s.p[i] <= 'z' ? (char)(s.p[i] - 'a' + 'A') : s.p[i];
    return slice_of(to, s.n);
}

/* The command's own name, or that of the container it is in. */
static struct slice upper_name(const struct spec *spec, char to[NAME_BYTES])
{
    return upper(slice_of(spec->name, spec->sub_at > 0 ? spec->sub_at - 1u : spec->name_n), to);
}

void call_help(struct call *c, const char *const *lines, size_t n)
{
    char name[NAME_BYTES], head[NAME_BYTES + 64];
    struct slice command = upper_name(c->spec, name);
    int head_n =
        snprintf(head, sizeof(head),
                 "%.*s <subcommand> [<argument> ...]. Subcommands:", (int)command.n, command.p);
    reply_array(c->reply, n + 3);
    reply_simple(c->reply, slice_of(head, (size_t)head_n));
    for (size_t i = 0; i < n; i++)
        reply_simple(c->reply, slice_str(lines[i]));
    reply_simple(c->reply, SLICE("HELP"));
    reply_simple(c->reply, SLICE("    This text."));
}

void call_usage_error(struct call *c)
{
    char name[NAME_BYTES];
    struct slice command = upper_name(c->spec, name);
    struct slice sub = slice_head(c->argv[1], ECHO_BYTES);
    reply_errorf(c->reply,
                 "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try %.*s HELP.",
                 (int)sub.n, sub.p, (int)command.n, command.p);
}

void call_syntax_error(struct call *c)
{
    reply_error(c->reply, SLICE("ERR syntax error"));
}

void call_refused(struct call *c, const char *why)
{
    char name[NAME_BYTES], sub_name[NAME_BYTES];
    struct slice command = upper_name(c->spec, name), sub = SLICE("");
    if (c->spec->sub_at > 0)
        sub = upper(slice_from(slice_str(c->spec->name), c->spec->sub_at), sub_name);
    reply_errorf(c->reply, "ERR %.*s%s%.*s is not supported: %s", (int)command.n, command.p,
                 sub.n > 0 ? " " : "", (int)sub.n, sub.p, why);
}

/* ------------------------------------------------------------------ secrets */

static uint64_t bit_of(uint32_t i)
{
    return (uint64_t)1 << (i < 63 ? i : 63);
}

static uint64_t hello_secrets(const struct slice *argv, uint32_t argc)
{
    uint64_t bits = 0;
    for (uint32_t i = 2; i + 2 < argc; i++)
        if (slice_is(argv[i], "auth"))
            bits |= bit_of(i + 1) | bit_of(i + 2);
    return bits;
}

static uint64_t migrate_secrets(const struct slice *argv, uint32_t argc)
{
    uint64_t bits = 0;
    for (uint32_t i = 6; i + 1 < argc; i++) {
        if (slice_is(argv[i], "auth"))
            bits |= bit_of(i + 1);
        if (slice_is(argv[i], "auth2"))
            bits |= bit_of(i + 1) | (i + 2 < argc ? bit_of(i + 2) : 0);
    }
    return bits;
}

static uint64_t config_secrets(const struct slice *argv, uint32_t argc)
{
    uint64_t bits = 0;
    if (argc < 4 || !slice_is(argv[1], "set"))
        return 0;
    for (uint32_t i = 2; i + 1 < argc; i += 2)
        if (options_is_sensitive(argv[i]))
            bits |= bit_of(i + 1);
    return bits;
}

uint64_t call_secrets(const struct slice *argv, uint32_t argc)
{
    if (slice_is(argv[0], "auth"))
        return ~(uint64_t)1;
    if (slice_is(argv[0], "hello"))
        return hello_secrets(argv, argc);
    if (slice_is(argv[0], "config"))
        return config_secrets(argv, argc);
    if (slice_is(argv[0], "migrate"))
        return migrate_secrets(argv, argc);
    return 0;
}

/* --------------------------------------------------------------------- text */

uint64_t world_count(struct node *n, const char *name)
{
    char text[NAME_BYTES];
    uint64_t v = 0;
    return num_get_u64(n->world->fact(n->world, name, text, sizeof(text)), &v) ? v : 0;
}

void text_put(struct buf *b, struct slice s)
{
    enum err e = buf_add(b, s);
    check(e == ERR_OK); /* born without a limit; a true shortage of memory stops the process */
}

void text_putf(struct buf *b, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    check(n >= 0 && (size_t)n < sizeof(line));
    text_put(b, slice_of(line, (size_t)n));
}

struct call call_kept(struct node *n, struct session *s, const struct kept_request *k,
                      struct reply *r, struct node_out *out)
{
    return (struct call){.node = n,
                         .session = s,
                         .spec = k->spec,
                         .argv = k->argv,
                         .blobs = k->blobs,
                         .argc = k->argc,
                         .reply = r,
                         .out = out};
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* A list, newest last, from whose front the oldest leave. An entry is one allocation: what a client
 * sent is cut to 32 arguments of 128 bytes, so an entry is bounded however big the command was. */
#include "node/slowlog.h"

#include <stdio.h>

#include "base/num.h"
#include "node/call.h"

enum { SLOW_ARGS = 32, SLOW_ARG_BYTES = 128 };
enum { SLOW_NOTE_BYTES = 48 }; /* "... (4294967295 more arguments)" */
enum { SLOW_SHOWN = 10 };      /* SLOWLOG GET without a count */

struct slow_entry {
    struct list link;
    uint64_t id;
    int64_t seconds, us;
    struct slice peer, name;
    size_t bytes; /* of all of it */
    uint32_t argc;
    struct slice argv[];
};

struct slowlog {
    struct list entries;
    size_t n;
    uint64_t next_id;
};

struct slowlog *slowlog_new(void)
{
    struct slowlog *l = mem_zero(sizeof(*l));
    list_init(&l->entries);
    return l;
}

static void drop_oldest(struct slowlog *l)
{
    struct slow_entry *e = CONTAINER_OF(l->entries.next, struct slow_entry, link);
    list_drop(&e->link);
    mem_free(e);
    l->n--;
}

static void slowlog_clear(struct slowlog *l)
{
    while (l->n > 0)
        drop_oldest(l);
}

void slowlog_free(struct slowlog *l)
{
    if (l == NULL)
        return;
    slowlog_clear(l);
    mem_free(l);
}

/* An argument as it is kept; note holds what is put in its place or behind its head. */
static size_t kept_arg(const struct slice *argv, uint32_t argc, uint64_t secrets, uint32_t i,
                       char *to)
{
    if (argc > SLOW_ARGS && i == SLOW_ARGS - 1)
        return (size_t)snprintf(to, SLOW_NOTE_BYTES, "... (%u more arguments)",
                                argc - SLOW_ARGS + 1);
    struct slice arg = call_is_secret(secrets, i) ? SLICE("(redacted)") : argv[i];
    struct slice head = slice_head(arg, SLOW_ARG_BYTES);
    if (head.n > 0)
        memcpy(to, head.p, head.n);
    if (head.n == arg.n)
        return head.n;
    return head.n +
           (size_t)snprintf(to + head.n, SLOW_NOTE_BYTES, "... (%zu more bytes)", arg.n - head.n);
}

static struct slice put_text(char **to, struct slice s)
{
    if (s.n > 0)
        memcpy(*to, s.p, s.n);
    struct slice put = slice_of(*to, s.n);
    *to += s.n;
    return put;
}

static struct slow_entry *entry_of(const struct session *s, const struct slice *argv, uint32_t argc)
{
    uint32_t kept = argc < SLOW_ARGS ? argc : SLOW_ARGS;
    uint64_t secrets = call_secrets(argv, argc);
    char args[SLOW_ARGS][SLOW_ARG_BYTES + SLOW_NOTE_BYTES];
    size_t args_n[SLOW_ARGS];
    struct slice peer = slice_str(s->peer), name = slice_str(s->name != NULL ? s->name : "");
    size_t bytes = peer.n + name.n;
    for (uint32_t i = 0; i < kept; i++)
        bytes += args_n[i] = kept_arg(argv, argc, secrets, i, args[i]);
    bytes += sizeof(struct slow_entry) + kept * sizeof(struct slice);
    struct slow_entry *e = mem_get(bytes);
    e->bytes = bytes;
    char *to = (char *)&e->argv[kept];
    e->argc = kept;
    e->peer = put_text(&to, peer);
    e->name = put_text(&to, name);
    for (uint32_t i = 0; i < kept; i++)
        e->argv[i] = put_text(&to, slice_of(args[i], args_n[i]));
    return e;
}

void slowlog_note(struct node *n, const struct session *s, const struct slice *argv, uint32_t argc,
                  uint64_t ns)
{
    int64_t limit = n->options->slowlog_log_slower_than;
    if (limit < 0 || n->options->slowlog_max_len == 0 || ns / 1000 < (uint64_t)limit)
        return;
    struct slowlog *l = n->slowlog;
    struct slow_entry *e = entry_of(s, argv, argc);
    e->id = node_number(n, l->next_id++);
    e->seconds = n->wall.ms / 1000;
    e->us = (int64_t)(ns / 1000);
    list_push(&l->entries, &e->link);
    l->n++;
    while (l->n > (size_t)n->options->slowlog_max_len)
        drop_oldest(l);
}

/* ------------------------------------------------------------------ other seats' */

static struct slice moved(struct slice s, const struct slow_entry *from, struct slow_entry *to)
{
    return slice_of((char *)to + (s.p - (const char *)from), s.n);
}

static struct slow_entry *slow_entry_copy(const struct slow_entry *from)
{
    struct slow_entry *e = mem_get(from->bytes);
    memcpy(e, from, from->bytes);
    list_init(&e->link);
    e->peer = moved(from->peer, from, e);
    e->name = moved(from->name, from, e);
    for (uint32_t i = 0; i < e->argc; i++)
        e->argv[i] = moved(from->argv[i], from, e);
    return e;
}

void slowlog_add(struct slowlog **to, const struct slowlog *from)
{
    if (from == NULL)
        return;
    if (*to == NULL)
        *to = slowlog_new();
    /* both are in the order of time: one pass through both */
    struct list *at = (*to)->entries.next;
    for (const struct list *l = from->entries.next; l != &from->entries; l = l->next) {
        const struct slow_entry *e = CONTAINER_OF(l, struct slow_entry, link);
        while (at != &(*to)->entries &&
               CONTAINER_OF(at, struct slow_entry, link)->seconds <= e->seconds)
            at = at->next;
        list_push(at, &slow_entry_copy(e)->link); /* in front of it */
        (*to)->n++;
    }
}

/* ----------------------------------------------------------------- commands */

void node_slowlog_get(struct call *c)
{
    struct slowlog *l = c->node->slowlog;
    int64_t count = SLOW_SHOWN;
    if (c->argc > 3) {
        call_usage_error(c);
        return;
    }
    if (c->argc == 3 && (!num_get_i64(c->argv[2], &count) || count < -1)) {
        reply_error(c->reply, SLICE("ERR count should be greater than or equal to -1"));
        return;
    }
    size_t shown = count < 0 || (uint64_t)count > l->n ? l->n : (size_t)count;
    reply_array(c->reply, shown);
    for (struct list *at = l->entries.prev; shown > 0; at = at->prev, shown--) {
        const struct slow_entry *e = CONTAINER_OF(at, struct slow_entry, link);
        reply_array(c->reply, 6);
        reply_i64(c->reply, (int64_t)e->id);
        reply_i64(c->reply, e->seconds);
        reply_i64(c->reply, e->us);
        reply_array(c->reply, e->argc);
        for (uint32_t i = 0; i < e->argc; i++)
            reply_bulk(c->reply, e->argv[i]);
        reply_bulk(c->reply, e->peer);
        reply_bulk(c->reply, e->name);
    }
}

void node_slowlog_len(struct call *c)
{
    reply_i64(c->reply, (int64_t)c->node->slowlog->n);
}

void node_slowlog_reset(struct call *c)
{
    slowlog_clear(c->node->slowlog);
    reply_ok(c->reply);
}

void node_slowlog_help(struct call *c)
{
    static const char *const lines[] = {
        "GET [<count>]",
        "    The newest slow commands, ten or as many as asked for, -1 for all: id, unix time,",
        "    microseconds, arguments, client address, client name.",
        "LEN",
        "    How many are remembered.",
        "RESET",
        "    Forget them.",
    };
    call_help(c, lines, sizeof(lines) / sizeof(lines[0]));
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* MONITOR: every command that ran, as a line to each session that asked for it. Commands of
 * administrators are not shown, nor are secrets. */
#include <stdio.h>

#include "node/call.h"
#include "node/seats.h"

/* Text in quotes, as redis-cli would type it. */
static void put_quoted(struct buf *to, struct slice s)
{
    text_put(to, SLICE("\""));
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i], text[8];
        size_t n = 2;
        text[0] = '\\';
        switch (c) {
        case '\\':
        case '"': text[1] = c; break;
        case '\n': text[1] = 'n'; break;
        case '\r': text[1] = 'r'; break;
        case '\t': text[1] = 't'; break;
        case '\a': text[1] = 'a'; break;
        case '\b': text[1] = 'b'; break;
        default:
            if (c >= 0x20 && c < 0x7f) {
                text[0] = c;
                n = 1;
            } else {
                n = (size_t)snprintf(text, sizeof(text), "\\x%02x", (unsigned char)c);
            }
        }
        text_put(to, slice_of(text, n));
    }
    text_put(to, SLICE("\""));
}

static void put_line(struct buf *to, const struct node *n, const struct session *s,
                     const struct slice *argv, uint32_t argc)
{
    uint64_t secrets = call_secrets(argv, argc);
    char head[64 + SESSION_ADDRESS_BYTES];
    struct slice peer = slice_str(s->peer);
    if (s->is_unix && peer.n > 2 && memcmp(peer.p + peer.n - 2, ":0", 2) == 0)
        peer.n -= 2;
    int head_n = snprintf(head, sizeof(head), "+%lld.%06lld [%u %s%.*s]",
                          (long long)(n->wall.ms / 1000), (long long)node_second_us(n), s->db,
                          s->is_unix ? "unix:" : "", (int)peer.n, peer.p);
    text_put(to, slice_of(head, (size_t)head_n));
    for (uint32_t i = 0; i < argc; i++) {
        text_put(to, SLICE(" "));
        put_quoted(to, call_is_secret(secrets, i) ? SLICE("(redacted)") : argv[i]);
    }
    text_put(to, SLICE("\r\n"));
}

void monitors_show(struct node *n, struct slice lines)
{
    for (struct list *l = n->monitors.next; l != &n->monitors; l = l->next) {
        struct session *m = CONTAINER_OF(l, struct session, in_monitors);
        if (m->closing)
            continue;
        chain_put(&m->out, lines);
        session_produced(n, m);
    }
}

void monitor_feed(struct node *n, const struct session *s, const struct slice *argv, uint32_t argc)
{
    const struct spec *spec = spec_find(argv, argc);
    if (spec == NULL || n->loading || (spec->flags & (CMD_ADMIN | CMD_SKIP_MONITOR)) != 0)
        return;
    struct buf line;
    buf_init(&line, SIZE_MAX / 2);
    put_line(&line, n, s, argv, argc);
    monitors_show(n, buf_slice(&line));
    seats_show(n, buf_slice(&line));
    buf_free(&line);
}

void node_monitor(struct call *c)
{
    struct session *s = c->session;
    if (c->node->in_exec) {
        reply_error(c->reply, SLICE("ERR MONITOR isn't allowed for DENY BLOCKING client"));
        return;
    }
    if (!s->is_monitor) {
        s->is_monitor = true;
        list_push(&c->node->monitors, &s->in_monitors);
    }
    reply_ok(c->reply);
}

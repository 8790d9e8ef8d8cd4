/* SPDX-License-Identifier: BSD-3-Clause */

#define _GNU_SOURCE /* epoll */

/* A load for etcd over gRPC, as cheap as `driver` is, so that it is the server that is measured:
 *
 *     etcd_driver --port P [--clients 50] [--command get|set] [--keys 10000] [--value 64] [--seconds 1 | --fill]
 *
 * Each client has a connection and one call under way: KV.Put, or KV.Range of one key, linearizable as etcd has it by default.
 * HTTP/2 is spoken as far as such calls need it (RFC 9113, 7541): headers go out as literals that
 * nobody has to remember; what comes in is not decoded. A call succeeded if its stream brought a message before it ended; one
 * that failed has trailers alone. What is told is as `driver` tells it. */
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

#include "bench.h"
#include "tally.h"

enum { CLIENTS_MAX = 1000, VALUE_MAX = 4096, FRAME_HEAD = 9, IN_MAX = 65536, WINDOW = 65535, KEY_BYTES = 16 };
enum frame { FRAME_DATA = 0, FRAME_HEADERS = 1, FRAME_RESET = 3, FRAME_SETTINGS = 4, FRAME_PING = 6, FRAME_GOAWAY = 7, FRAME_WINDOW = 8 };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4 };

struct client {
    int fd;
    uint32_t stream;       /* of the call that is under way */
    bool answered;         /* it brought a message */
    int64_t may_send;      /* bytes of DATA that etcd takes from this connection */
    uint32_t taken;        /* bytes of DATA from it that it was not given room for again */
    unsigned char in[IN_MAX];
    size_t in_n;
    uint64_t sent_ns;
};

struct load {
    int epoll;
    unsigned port, clients_n;
    bool set, fill, is_wrong;
    uint64_t keys, next_key, random, deadline_ns;
    size_t value_n;
    double seconds;
    unsigned char call[VALUE_MAX + 512]; /* HEADERS and DATA of a call; stream and key are written anew each time */
    size_t call_n, data_at, key_at;
    struct tally tally;
    struct client clients[CLIENTS_MAX];
};

static void send_all(int fd, const void *bytes, size_t n)
{
    const char *p = bytes;
    while (n > 0) { /* the socket blocks */
        ssize_t got = send(fd, p, n, MSG_NOSIGNAL);
        if (got < 0)
            die("send");
        p += got;
        n -= (size_t)got;
    }
}

/* ---------------------------------------------------------------------- frames */

static void put_u32(unsigned char *to, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        to[i] = (unsigned char)(v >> (24 - 8 * i));
}

static uint32_t get_u32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put_head(unsigned char *to, size_t n, enum frame type, unsigned flags, uint32_t stream)
{
    put_u32(to, (uint32_t)n << 8 | type);
    to[4] = (unsigned char)flags;
    put_u32(to + 5, stream);
}

static void send_frame(int fd, enum frame type, unsigned flags, const void *bytes, size_t n)
{
    unsigned char out[FRAME_HEAD + 8];
    put_head(out, n, type, flags, 0);
    if (n > 0)
        memcpy(out + FRAME_HEAD, bytes, n);
    send_all(fd, out, FRAME_HEAD + n);
}

/* ----------------------------------------------------------------------- calls */

static void add(struct load *l, const void *bytes, size_t n)
{
    memcpy(l->call + l->call_n, bytes, n);
    l->call_n += n;
}

/* A literal of RFC 7541 6.2.2, neither indexed nor Huffman coded; all lengths here are below 127. */
static void add_header(struct load *l, const char *index, size_t index_n, const char *value)
{
    unsigned char n = (unsigned char)strlen(value);
    add(l, index, index_n);
    add(l, &n, 1);
    add(l, value, n);
}

/* Protobuf: tag, length (a varint), bytes. */
static void add_field(struct load *l, unsigned number, const void *bytes, size_t n)
{
    unsigned char head[4] = {(unsigned char)(number << 3 | 2)};
    size_t head_n = 1;
    for (size_t rest = n;; rest >>= 7) {
        head[head_n++] = (unsigned char)((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
        if (rest <= 0x7f)
            break;
    }
    add(l, head, head_n);
    add(l, bytes, n);
}

static void write_call(struct load *l)
{
    static char value[VALUE_MAX];
    memset(value, 'x', sizeof(value));
    l->call_n = FRAME_HEAD;
    add(l, "\x83\x86", 2); /* :method POST, :scheme http */
    add_header(l, "\x04", 1, l->set ? "/etcdserverpb.KV/Put" : "/etcdserverpb.KV/Range"); /* :path */
    add_header(l, "\x01", 1, "127.0.0.1");                                               /* :authority */
    add_header(l, "\x0f\x10", 2, "application/grpc");                                    /* content-type */
    add_header(l, "\x00\x02te", 4, "trailers");
    put_head(l->call, l->call_n - FRAME_HEAD, FRAME_HEADERS, END_HEADERS, 0);
    l->data_at = l->call_n;
    l->call_n += FRAME_HEAD + 5;
    size_t message_at = l->call_n;
    l->key_at = l->call_n + 2;
    add_field(l, 1, "key:000000000000", KEY_BYTES);
    if (l->set)
        add_field(l, 2, value, l->value_n);
    size_t message_n = l->call_n - message_at;
    put_head(l->call + l->data_at, message_n + 5, FRAME_DATA, END_STREAM, 0);
    l->call[message_at - 5] = 0; /* gRPC: not compressed */
    put_u32(l->call + message_at - 4, (uint32_t)message_n);
}

static uint64_t next_key(struct load *l)
{
    if (l->fill)
        return l->next_key++;
    l->random ^= l->random << 13; /* xorshift64 */
    l->random ^= l->random >> 7;
    l->random ^= l->random << 17;
    return (uint64_t)((unsigned __int128)l->random * l->keys >> 64);
}

static bool is_over(const struct load *l, uint64_t now)
{
    return l->fill ? l->next_key >= l->keys : now >= l->deadline_ns;
}

static void send_call(struct load *l, struct client *c, uint64_t now)
{
    uint64_t key = next_key(l);
    for (int at = KEY_BYTES - 1; at >= 4; at--, key /= 10)
        l->call[l->key_at + (size_t)at] = (unsigned char)('0' + key % 10);
    c->stream += 2;
    c->answered = false;
    c->may_send -= (int64_t)(l->call_n - l->data_at - FRAME_HEAD);
    if (c->may_send < 0 || c->stream > INT32_MAX) {
        fprintf(stderr, "etcd_driver: no room is given on a connection, or it has no stream left\n");
        exit(1);
    }
    put_u32(l->call + 5, c->stream);
    put_u32(l->call + l->data_at + 5, c->stream);
    c->sent_ns = now;
    send_all(c->fd, l->call, l->call_n);
}

/* --------------------------------------------------------------------- answers */

/* True: the call is over. */
static bool take_frame(struct load *l, struct client *c, const unsigned char *head, const unsigned char *body, size_t n)
{
    enum frame type = (enum frame)head[3];
    unsigned flags = head[4];
    uint32_t stream = get_u32(head + 5) & INT32_MAX;
    if (type == FRAME_RESET || type == FRAME_GOAWAY) {
        fprintf(stderr, "etcd_driver: etcd ends a %s\n", type == FRAME_RESET ? "stream" : "connection");
        exit(1);
    }
    if (type == FRAME_SETTINGS && (flags & ACK) == 0)
        send_frame(c->fd, FRAME_SETTINGS, ACK, NULL, 0);
    else if (type == FRAME_PING && (flags & ACK) == 0 && n == 8)
        send_frame(c->fd, FRAME_PING, ACK, body, n);
    else if (type == FRAME_WINDOW && stream == 0 && n == 4)
        c->may_send += get_u32(body);
    if ((type != FRAME_DATA && type != FRAME_HEADERS) || stream != c->stream)
        return false;
    c->answered |= type == FRAME_DATA;
    c->taken += type == FRAME_DATA ? (uint32_t)n : 0;
    if (c->taken > WINDOW / 2) {
        unsigned char more[4];
        put_u32(more, c->taken);
        send_frame(c->fd, FRAME_WINDOW, 0, more, sizeof(more));
        c->taken = 0;
    }
    if ((flags & END_STREAM) == 0)
        return false;
    l->tally.done++;
    l->tally.errors += !c->answered;
    return true;
}

static bool readable(struct load *l, struct client *c)
{
    ssize_t got = recv(c->fd, c->in + c->in_n, sizeof(c->in) - c->in_n, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN))
        die("etcd closed a connection");
    c->in_n += got > 0 ? (size_t)got : 0;
    size_t at = 0;
    bool over = false;
    while (c->in_n - at >= FRAME_HEAD) {
        size_t n = get_u32(c->in + at) >> 8;
        if (n > IN_MAX - FRAME_HEAD) {
            fprintf(stderr, "etcd_driver: a frame of %zu bytes\n", n);
            exit(1);
        }
        if (c->in_n - at < FRAME_HEAD + n)
            break;
        over |= take_frame(l, c, c->in + at, c->in + at + FRAME_HEAD, n);
        at += FRAME_HEAD + n;
    }
    memmove(c->in, c->in + at, c->in_n - at);
    c->in_n -= at;
    if (!over)
        return true;
    uint64_t now = tally_latency(&l->tally, c->sent_ns);
    if (is_over(l, now))
        return false;
    send_call(l, c, now);
    return true;
}

/* ----------------------------------------------------------------------- a run */

static void open_client(struct load *l, struct client *c)
{
    c->fd = dial(l->port, l->epoll, c);
    c->stream = UINT32_MAX; /* the first is 1 */
    c->may_send = WINDOW;
    send_all(c->fd, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    send_frame(c->fd, FRAME_SETTINGS, 0, NULL, 0);
}

static void run(struct load *l)
{
    enum { EVENTS = 128 };
    struct epoll_event events[EVENTS];
    unsigned busy = 0;
    tally_begin(&l->tally);
    l->deadline_ns = l->tally.began_ns + (uint64_t)(l->seconds * 1e9);
    for (; busy < l->clients_n && !is_over(l, l->tally.began_ns); busy++)
        send_call(l, &l->clients[busy], tally_now_ns());
    while (busy > 0) {
        int n = epoll_wait(l->epoll, events, EVENTS, -1);
        if (n < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < n; i++)
            busy -= !readable(l, events[i].data.ptr);
    }
}

static void set_option(struct load *l, const char *name, const char *value)
{
    if (strcmp(name, "--port") == 0)
        l->port = (unsigned)atoi(value);
    else if (strcmp(name, "--clients") == 0)
        l->clients_n = (unsigned)atoi(value);
    else if (strcmp(name, "--command") == 0)
        l->set = strcmp(value, "set") == 0;
    else if (strcmp(name, "--keys") == 0)
        l->keys = strtoull(value, NULL, 10);
    else if (strcmp(name, "--value") == 0)
        l->value_n = strtoull(value, NULL, 10);
    else if (strcmp(name, "--seconds") == 0)
        l->seconds = strtod(value, NULL);
    else
        l->is_wrong = true;
}

int main(int argc, char **argv)
{
    static struct load l = {.clients_n = 50, .keys = 10000, .value_n = 64, .seconds = 1};
    l.random = tally_now_ns() | 1;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--fill") == 0)
            l.fill = l.set = true;
        else
            set_option(&l, argv[i], i + 1 < argc ? argv[i + 1] : ""), i++;
    }
    if (l.is_wrong || l.port == 0 || l.clients_n == 0 || l.clients_n > CLIENTS_MAX || l.value_n > VALUE_MAX || l.keys == 0 ||
        l.keys > 1000000000000) {
        fprintf(stderr, "usage: etcd_driver --port P [--clients 1..%d] [--command get|set] [--keys N] [--value 0..%d]\n"
                        "                   [--seconds S | --fill]\n", CLIENTS_MAX, VALUE_MAX);
        return 2;
    }
    l.epoll = epoll_create1(0);
    write_call(&l);
    for (unsigned i = 0; i < l.clients_n; i++)
        open_client(&l, &l.clients[i]);
    run(&l);
    tally_tell(&l.tally);
    return l.tally.errors > 0;
}

/* SPDX-License-Identifier: BSD-3-Clause */

#define _GNU_SOURCE /* epoll */

/* A load for any server that speaks Redis' protocol, cheaper than the server it drives:
 *
 *     driver --port P [--clients 50] [--pipeline 1] [--command get|set] [--keys 1000000]
 *            [--value 64] [--tags ab,cd,...] [--wait 0] [--rest 0] [--seconds 1 | --fill]
 *     driver --slots LOW-HIGH:PORT,... as above
 *
 * Each client sends a pipeline, waits for all its replies, and sends the next. Keys have 16 bytes and
 * are drawn at random from --keys; --fill sets each of them once, in order. With --tags they begin with
 * one of these hash tags, of two characters each, and so lie in their slots alone. With --slots each client has a connection to
 * every node and asks for a key where its slot is, as a cluster library does; what was moved since is an error.
 * With --wait N each pipeline ends with "WAIT N 0", and is over when that is answered: fewer than N is an error. With --rest the
 * driver sleeps so many microseconds before it looks for replies again: a load below what the server can bear. One line of JSON
 * tells what was done, how long it took, the latencies of pipelines in microseconds, and the worst of each
 * tenth of a second. SIGTERM ends it early. Replies are counted, not built; an error among them is an error. */
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "tally.h"

enum {
    CLIENTS_MAX = 1000,
    PIPELINE_MAX = 1024,
    VALUE_MAX = 16384,
    READ_BYTES = 256 * 1024,
    NODES_MAX = 8,
    SLOTS = 16384,
    WAIT_MAX = 64,             /* bytes of a WAIT */
    KEY_BYTES = 16,
    TAG_CHARS = 2,             /* "{ab}": as long as "key:" */
    TAG_AT = TAG_CHARS + 1     /* before the digits of a key */
};

struct client;

/* A client's connection to one node. */
struct line {
    struct client *client;
    int fd;
    unsigned owed;   /* replies not yet here */
    size_t skip;     /* bytes of a bulk still to come */
    char text[32];   /* the begin of a reply whose line is not whole */
    size_t text_n;
};

struct client {
    struct line lines[NODES_MAX];
    unsigned busy; /* lines that owe something */
    uint64_t sent_ns;
};

struct load {
    int epoll;
    unsigned nodes_n, ports[NODES_MAX];
    uint8_t node_of[SLOTS];
    unsigned clients_n, pipeline, rest_us, wait_for;
    bool set, fill;
    bool is_wrong;    /* what it was told on the command line */
    uint64_t keys, next_key, random;
    size_t value_n, request_n, key_at, wait_n;
    const char *tags; /* "ab,cd"; NULL: keys have none */
    size_t tags_n;
    double seconds;
    uint64_t deadline_ns;
    char *request, wait[WAIT_MAX];  /* what each is a copy of, but for its key */
    char *batch[NODES_MAX];         /* what is about to be sent to each */
    size_t batch_n[NODES_MAX];
    uint16_t crc[256];
    struct tally tally;
    struct client clients[CLIENTS_MAX];
};

static volatile sig_atomic_t told_to_stop;

static void stop(int number)
{
    (void)number;
    told_to_stop = 1;
}

/* -------------------------------------------------------------------- requests */

static void write_requests(struct load *l)
{
    char one[VALUE_MAX + 128];
    int n = snprintf(one, sizeof(one), "*%d\r\n$3\r\n%s\r\n$16\r\n%s", l->set ? 3 : 2, l->set ? "SET" : "GET",
                     l->tags_n > 0 ? "{--}" : "key:");
    l->key_at = (size_t)n;
    n += snprintf(one + n, sizeof(one) - (size_t)n, "%012d\r\n", 0);
    if (l->set) {
        n += snprintf(one + n, sizeof(one) - (size_t)n, "$%zu\r\n", l->value_n);
        memset(one + n, 'x', l->value_n);
        n += (int)l->value_n;
        n += snprintf(one + n, sizeof(one) - (size_t)n, "\r\n");
    }
    l->request_n = (size_t)n;
    l->request = malloc(l->request_n);
    if (l->wait_for > 0)
        l->wait_n = (size_t)snprintf(l->wait, sizeof(l->wait), "*3\r\n$4\r\nWAIT\r\n$1\r\n%u\r\n$1\r\n0\r\n",
                                     l->wait_for);
    for (unsigned i = 0; i < l->nodes_n; i++)
        if ((l->batch[i] = malloc(l->request_n * l->pipeline + l->wait_n)) == NULL)
            die("memory");
    if (l->request == NULL)
        die("memory");
    memcpy(l->request, one, l->request_n);
}

/* CRC16 of XMODEM, a table of its remainders by the high byte. */
static void make_crc(uint16_t crc[256])
{
    for (unsigned i = 0; i < 256; i++) {
        unsigned c = i << 8;
        for (int bit = 0; bit < 8; bit++)
            c = c << 1 ^ ((c & 0x8000) != 0 ? 0x1021U : 0U);
        crc[i] = (uint16_t)c;
    }
}

static unsigned node_of(const struct load *l, const char *key)
{
    unsigned crc = 0;
    if (l->nodes_n == 1)
        return 0;
    const char *end = key + KEY_BYTES;
    if (l->tags_n > 0)
        key++, end = key + TAG_CHARS;
    for (; key < end; key++)
        crc = (crc << 8 ^ l->crc[(crc >> 8 ^ (unsigned char)*key) & 0xff]) & 0xffff;
    return l->node_of[crc % SLOTS];
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
    return told_to_stop || (l->fill ? l->next_key >= l->keys : now >= l->deadline_ns);
}

/* Returns the node it is for. */
static unsigned add_request(struct load *l)
{
    uint64_t key = next_key(l);
    char *digits = l->request + l->key_at;
    if (l->tags_n > 0)
        memcpy(digits - TAG_AT, l->tags + key % l->tags_n * (TAG_CHARS + 1), TAG_CHARS);
    for (int at = 11; at >= 0; at--, key /= 10)
        digits[at] = (char)('0' + key % 10);
    unsigned node = node_of(l, digits - (KEY_BYTES - 12));
    memcpy(l->batch[node] + l->batch_n[node], l->request, l->request_n);
    l->batch_n[node] += l->request_n;
    return node;
}

static void send_pipeline(struct load *l, struct client *c, uint64_t now)
{
    unsigned n = l->pipeline;
    if (l->fill && l->keys - l->next_key < n)
        n = (unsigned)(l->keys - l->next_key);
    memset(l->batch_n, 0, sizeof(l->batch_n));
    for (unsigned i = 0; i < n; i++)
        c->lines[add_request(l)].owed++;
    c->sent_ns = now;
    for (unsigned i = 0; i < l->nodes_n; i++) {
        if (l->batch_n[i] == 0)
            continue;
        memcpy(l->batch[i] + l->batch_n[i], l->wait, l->wait_n);
        size_t total = l->batch_n[i] + l->wait_n, sent = 0;
        c->lines[i].owed += l->wait_n > 0;
        c->busy++;
        while (sent < total) { /* the socket blocks: a pipeline fits its buffer, or waits for room */
            ssize_t got = send(c->lines[i].fd, l->batch[i] + sent, total - sent, MSG_NOSIGNAL);
            if (got < 0)
                die("send");
            sent += (size_t)got;
        }
    }
}

/* --------------------------------------------------------------------- replies */

/* The line of a reply is whole: a status, an integer, an error, or a bulk that follows. */
static void take_line(struct load *l, struct line *c, const char *line)
{
    c->owed--;
    if (line[0] == ':' && l->wait_n > 0) { /* of nothing else that is sent */
        if (strtoul(line + 1, NULL, 10) < l->wait_for)
            l->tally.errors++;
        return;
    }
    l->tally.done++;
    if (line[0] == '-') {
        if (l->tally.errors++ == 0)
            fprintf(stderr, "driver: %.30s\n", line);
    } else if (line[0] == '$' && line[1] != '-') {
        c->skip = strtoull(line + 1, NULL, 10) + 2;
    } else if (line[0] != '+' && line[0] != ':' && line[0] != '$' && line[0] != '_') {
        fprintf(stderr, "driver: not a reply: %.10s\n", line);
        exit(1);
    }
}

static void take_replies(struct load *l, struct line *c, const char *p, size_t n)
{
    while (n > 0) {
        if (c->skip > 0) {
            size_t skip = c->skip < n ? c->skip : n;
            c->skip -= skip;
            p += skip;
            n -= skip;
            continue;
        }
        const char *end = memchr(p, '\n', n);
        size_t line_n = end != NULL ? (size_t)(end - p) + 1 : n;
        if (c->text_n == 0 && end != NULL) {
            take_line(l, c, p);
        } else {
            size_t room = sizeof(c->text) - 1 - c->text_n, take = line_n < room ? line_n : room;
            memcpy(c->text + c->text_n, p, take);
            c->text_n += take;
            c->text[c->text_n] = '\0';
            if (end != NULL) {
                c->text_n = 0;
                take_line(l, c, c->text);
            }
        }
        p += line_n;
        n -= line_n;
    }
}

/* False: its client has no more to do. */
static bool readable(struct load *l, struct line *c)
{
    static char buffer[READ_BYTES];
    ssize_t n = recv(c->fd, buffer, sizeof(buffer), MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN))
        die("the server closed a connection");
    if (n < 0)
        return true;
    take_replies(l, c, buffer, (size_t)n);
    if (c->owed > 0 || c->skip > 0 || --c->client->busy > 0)
        return true;
    uint64_t now = tally_latency(&l->tally, c->client->sent_ns);
    if (is_over(l, now))
        return false;
    send_pipeline(l, c->client, now);
    return true;
}

/* ----------------------------------------------------------------------- a run */

static void open_line(struct load *l, struct client *client, unsigned node)
{
    struct line *c = &client->lines[node];
    c->client = client;
    c->fd = dial(l->ports[node], l->epoll, c);
}

static void run(struct load *l)
{
    enum { EVENTS = 128 };
    struct epoll_event events[EVENTS];
    unsigned busy = 0;
    tally_begin(&l->tally);
    l->deadline_ns = l->tally.began_ns + (uint64_t)(l->seconds * 1e9);
    for (; busy < l->clients_n && !is_over(l, l->tally.began_ns); busy++)
        send_pipeline(l, &l->clients[busy], tally_now_ns());
    while (busy > 0) {
        int n = epoll_wait(l->epoll, events, EVENTS, -1);
        if (n < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < n; i++)
            busy -= !readable(l, events[i].data.ptr);
        if (l->rest_us > 0)
            nanosleep(&(struct timespec){.tv_nsec = l->rest_us * 1000L}, NULL);
    }
}

/* "ab,cd,...": each of two characters. */
static void set_tags(struct load *l, const char *tags)
{
    size_t n = strlen(tags);
    if (n % (TAG_CHARS + 1) != TAG_CHARS)
        l->is_wrong = true;
    for (size_t i = TAG_CHARS; i < n; i += TAG_CHARS + 1)
        if (tags[i] != ',')
            l->is_wrong = true;
    l->tags = tags;
    l->tags_n = (n + 1) / (TAG_CHARS + 1);
}

/* "LOW-HIGH:PORT,...": all slots, or what is asked of them is an error. */
static void set_slots(struct load *l, const char *at)
{
    for (;; at++) {
        unsigned low, high, port, node = 0;
        int n;
        if (sscanf(at, "%u-%u:%u%n", &low, &high, &port, &n) != 3 || low > high || high >= SLOTS || port == 0) {
            l->is_wrong = true;
            return;
        }
        while (node < l->nodes_n && l->ports[node] != port)
            node++;
        if (node == NODES_MAX) {
            l->is_wrong = true;
            return;
        }
        l->ports[node] = port;
        l->nodes_n = node == l->nodes_n ? node + 1 : l->nodes_n;
        memset(l->node_of + low, (int)node, high - low + 1);
        at += n;
        if (*at != ',')
            break;
    }
    l->is_wrong |= *at != '\0';
}

static void set_option(struct load *l, const char *name, const char *value)
{
    if (strcmp(name, "--port") == 0)
        l->ports[0] = (unsigned)atoi(value), l->nodes_n = 1;
    else if (strcmp(name, "--slots") == 0)
        set_slots(l, value);
    else if (strcmp(name, "--clients") == 0)
        l->clients_n = (unsigned)atoi(value);
    else if (strcmp(name, "--pipeline") == 0)
        l->pipeline = (unsigned)atoi(value);
    else if (strcmp(name, "--command") == 0)
        l->set = strcmp(value, "set") == 0;
    else if (strcmp(name, "--keys") == 0)
        l->keys = strtoull(value, NULL, 10);
    else if (strcmp(name, "--value") == 0)
        l->value_n = strtoull(value, NULL, 10);
    else if (strcmp(name, "--tags") == 0)
        set_tags(l, value);
    else if (strcmp(name, "--wait") == 0)
        l->wait_for = (unsigned)atoi(value);
    else if (strcmp(name, "--rest") == 0)
        l->rest_us = (unsigned)atoi(value);
    else if (strcmp(name, "--seconds") == 0)
        l->seconds = strtod(value, NULL);
    else
        l->is_wrong = true;
}

int main(int argc, char **argv)
{
    static struct load l = {.clients_n = 50, .pipeline = 1, .keys = 1000000, .value_n = 64, .seconds = 1};
    l.random = tally_now_ns() | 1;
    make_crc(l.crc);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--fill") == 0)
            l.fill = l.set = true;
        else
            set_option(&l, argv[i], i + 1 < argc ? argv[i + 1] : ""), i++;
    }
    if (l.is_wrong || l.nodes_n == 0 || l.ports[0] == 0 || l.wait_for > 9 || l.clients_n == 0 || l.clients_n > CLIENTS_MAX || l.pipeline == 0 ||
        l.pipeline > PIPELINE_MAX || l.rest_us > 999999 || l.value_n > VALUE_MAX || l.keys == 0 || l.keys > 1000000000000) {
        fprintf(stderr, "usage: driver --port P | --slots LOW-HIGH:PORT,... [--clients 1..%d] [--pipeline 1..%d]\n"
                        "              [--command get|set] [--keys N] [--value 0..%d] [--tags ab,cd,...] [--wait 0..9]\n"
                        "              [--rest US] [--seconds S | --fill]\n",
                CLIENTS_MAX, PIPELINE_MAX, VALUE_MAX);
        return 2;
    }
    if (sigaction(SIGTERM, &(struct sigaction){.sa_handler = stop}, NULL) != 0)
        die("sigaction");
    l.epoll = epoll_create1(0);
    write_requests(&l);
    for (unsigned i = 0; i < l.clients_n; i++)
        for (unsigned node = 0; node < l.nodes_n; node++)
            open_line(&l, &l.clients[i], node);
    run(&l);
    tally_tell(&l.tally);
    free(l.request);
    for (unsigned i = 0; i < l.nodes_n; i++)
        free(l.batch[i]);
    return l.tally.errors > 0;
}

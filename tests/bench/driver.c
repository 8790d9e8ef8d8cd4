/* SPDX-License-Identifier: BSD-3-Clause */

#define _GNU_SOURCE /* epoll */

/* A load for any server that speaks Redis' protocol, cheaper than the server it drives:
 *
 *     driver --port P [--clients 50] [--pipeline 1] [--command get|set] [--keys 1000000]
 *            [--value 64] [--tags ab,cd,...] [--rest 0] [--seconds 1 | --fill]
 *
 * Each client sends a pipeline, waits for all its replies, and sends the next. Keys have 16 bytes and
 * are drawn at random from --keys; --fill sets each of them once, in order. With --tags they begin with
 * one of these hash tags, of two characters each, and so lie in their slots alone. With --rest the driver
 * sleeps so many microseconds before it looks for replies again: a load below what the server can bear. One line of JSON tells
 * what was done, how long it took, the latencies of pipelines in microseconds, and the worst of each
 * tenth of a second. SIGTERM ends it early. Replies are counted, not built; an error among them is an error. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    CLIENTS_MAX = 1000,
    PIPELINE_MAX = 1024,
    VALUE_MAX = 4096,
    READ_BYTES = 256 * 1024,
    FINE = 32,                 /* latencies are counted in steps of 1/32 of a power of two */
    BUCKETS = 40 * FINE,
    TENTHS_MAX = 36000,
    TAG_CHARS = 2,             /* "{ab}": as long as "key:" */
    TAG_AT = TAG_CHARS + 1     /* before the digits of a key */
};

struct client {
    int fd;
    unsigned owed;   /* replies not yet here */
    size_t skip;     /* bytes of a bulk still to come */
    char line[32];   /* the begin of a reply whose line is not whole */
    size_t line_n;
    uint64_t sent_ns;
};

struct load {
    int epoll, port;
    unsigned clients_n, pipeline, rest_us;
    bool set, fill;
    bool is_wrong;    /* what it was told on the command line */
    uint64_t keys, next_key, random;
    size_t value_n, request_n, key_at;
    const char *tags; /* "ab,cd"; NULL: keys have none */
    size_t tags_n;
    double seconds;
    char *requests; /* a pipeline, whose keys are written anew each time */
    uint64_t done, errors, pipelines, began_ns, deadline_ns;
    uint64_t count[BUCKETS];
    double worst_us, tenth_us[TENTHS_MAX];
    size_t tenths;
    struct client clients[CLIENTS_MAX];
};

static volatile sig_atomic_t told_to_stop;

static void stop(int number)
{
    (void)number;
    told_to_stop = 1;
}

static void die(const char *what)
{
    fprintf(stderr, "driver: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
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
    l->requests = malloc(l->request_n * l->pipeline);
    if (l->requests == NULL)
        die("memory");
    for (unsigned i = 0; i < l->pipeline; i++)
        memcpy(l->requests + i * l->request_n, one, l->request_n);
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

static void send_pipeline(struct load *l, struct client *c, uint64_t now)
{
    unsigned n = l->pipeline;
    if (l->fill && l->keys - l->next_key < n)
        n = (unsigned)(l->keys - l->next_key);
    for (unsigned i = 0; i < n; i++) {
        char *digits = l->requests + i * l->request_n + l->key_at;
        uint64_t key = next_key(l);
        if (l->tags_n > 0)
            memcpy(digits - TAG_AT, l->tags + key % l->tags_n * (TAG_CHARS + 1), TAG_CHARS);
        for (int at = 11; at >= 0; at--, key /= 10)
            digits[at] = (char)('0' + key % 10);
    }
    c->owed = n;
    c->sent_ns = now;
    size_t total = n * l->request_n, sent = 0;
    while (sent < total) { /* the socket blocks: a pipeline fits its buffer, or waits for room */
        ssize_t got = send(c->fd, l->requests + sent, total - sent, MSG_NOSIGNAL);
        if (got < 0)
            die("send");
        sent += (size_t)got;
    }
}

/* --------------------------------------------------------------------- replies */

static void note_latency(struct load *l, uint64_t took_ns, uint64_t now)
{
    uint64_t us16 = took_ns * 16 / 1000 + FINE; /* sixteenths of a microsecond */
    unsigned power = 63U - (unsigned)__builtin_clzll(us16);
    size_t at = (power - 5) * FINE + (size_t)(us16 >> (power - 5)) - FINE;
    double us = (double)took_ns / 1e3;
    l->count[at < BUCKETS ? at : BUCKETS - 1]++;
    l->worst_us = us > l->worst_us ? us : l->worst_us;
    size_t tenth = (size_t)((now - l->began_ns) / 100000000U);
    if (tenth < TENTHS_MAX) {
        l->tenths = tenth + 1;
        l->tenth_us[tenth] = us > l->tenth_us[tenth] ? us : l->tenth_us[tenth];
    }
    l->pipelines++;
}

static double percentile_us(const struct load *l, double part)
{
    uint64_t want = (uint64_t)(part * (double)l->pipelines), seen = 0;
    size_t at = 0;
    while (at + 1 < BUCKETS && (seen += l->count[at]) <= want)
        at++;
    double steps = (double)((at % FINE + FINE) << (at / FINE));
    return (steps - FINE) / 16;
}

/* The line of a reply is whole: a status, an integer, an error, or a bulk that follows. */
static void take_line(struct load *l, struct client *c, const char *line)
{
    if (line[0] == '-') {
        if (l->errors++ == 0)
            fprintf(stderr, "driver: %.30s\n", line);
    } else if (line[0] == '$' && line[1] != '-') {
        c->skip = strtoull(line + 1, NULL, 10) + 2;
    } else if (line[0] != '+' && line[0] != ':' && line[0] != '$' && line[0] != '_') {
        fprintf(stderr, "driver: not a reply: %.10s\n", line);
        exit(1);
    }
    c->owed--;
    l->done++;
}

static void take_replies(struct load *l, struct client *c, const char *p, size_t n)
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
        if (c->line_n == 0 && end != NULL) {
            take_line(l, c, p);
        } else {
            size_t room = sizeof(c->line) - 1 - c->line_n, take = line_n < room ? line_n : room;
            memcpy(c->line + c->line_n, p, take);
            c->line_n += take;
            c->line[c->line_n] = '\0';
            if (end != NULL) {
                c->line_n = 0;
                take_line(l, c, c->line);
            }
        }
        p += line_n;
        n -= line_n;
    }
}

static bool readable(struct load *l, struct client *c)
{
    static char buffer[READ_BYTES];
    ssize_t n = recv(c->fd, buffer, sizeof(buffer), MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN))
        die("the server closed a connection");
    if (n < 0)
        return true;
    take_replies(l, c, buffer, (size_t)n);
    if (c->owed > 0 || c->skip > 0)
        return true;
    uint64_t now = now_ns();
    note_latency(l, now - c->sent_ns, now);
    if (is_over(l, now))
        return false;
    send_pipeline(l, c, now);
    return true;
}

/* ----------------------------------------------------------------------- a run */

static void open_client(struct load *l, struct client *c)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)l->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int yes = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof(to)) != 0)
        die("connect");
    if (setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)) != 0)
        die("TCP_NODELAY");
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &ev) != 0)
        die("epoll_ctl");
}

static void run(struct load *l)
{
    enum { EVENTS = 128 };
    struct epoll_event events[EVENTS];
    unsigned busy = 0;
    l->began_ns = now_ns();
    l->deadline_ns = l->began_ns + (uint64_t)(l->seconds * 1e9);
    for (; busy < l->clients_n && !is_over(l, l->began_ns); busy++)
        send_pipeline(l, &l->clients[busy], now_ns());
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

static void tell(const struct load *l)
{
    double seconds = (double)(now_ns() - l->began_ns) / 1e9;
    printf("{\"ops\": %llu, \"seconds\": %.6f, \"rate\": %.1f, \"errors\": %llu, \"p50\": %.1f, \"p99\": %.1f, "
           "\"p999\": %.1f, \"worst\": %.1f, \"tenths\": [",
           (unsigned long long)l->done, seconds, (double)l->done / seconds, (unsigned long long)l->errors,
           percentile_us(l, 0.5), percentile_us(l, 0.99), percentile_us(l, 0.999), l->worst_us);
    for (size_t i = 0; i < l->tenths; i++)
        printf("%s%.0f", i > 0 ? ", " : "", l->tenth_us[i]);
    printf("]}\n");
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

static void set_option(struct load *l, const char *name, const char *value)
{
    if (strcmp(name, "--port") == 0)
        l->port = atoi(value);
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
    l.random = now_ns() | 1;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--fill") == 0)
            l.fill = l.set = true;
        else
            set_option(&l, argv[i], i + 1 < argc ? argv[i + 1] : ""), i++;
    }
    if (l.is_wrong || l.port == 0 || l.clients_n == 0 || l.clients_n > CLIENTS_MAX || l.pipeline == 0 ||
        l.pipeline > PIPELINE_MAX || l.rest_us > 999999 || l.value_n > VALUE_MAX || l.keys == 0 || l.keys > 1000000000000) {
        fprintf(stderr, "usage: driver --port P [--clients 1..%d] [--pipeline 1..%d] [--command get|set]\n"
                        "              [--keys N] [--value 0..%d] [--tags ab,cd,...] [--rest US] [--seconds S | --fill]\n",
                CLIENTS_MAX, PIPELINE_MAX, VALUE_MAX);
        return 2;
    }
    if (sigaction(SIGTERM, &(struct sigaction){.sa_handler = stop}, NULL) != 0)
        die("sigaction");
    l.epoll = epoll_create1(0);
    write_requests(&l);
    for (unsigned i = 0; i < l.clients_n; i++)
        open_client(&l, &l.clients[i]);
    run(&l);
    tell(&l);
    free(l.requests);
    return l.errors > 0;
}

/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "io/line.h"

#include <arpa/inet.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"
#include "io/clock.h"
#include "tests/lib/unit.h"

enum { A_WHILE_US = 60 * 1000 * 1000 }; /* until what must happen is given up */

/* A line, and what was told of it. */
struct told {
    struct line line;
    unsigned dialed, bytes_n, took, closed, freed;
    enum line_dialed how;
    char bytes[64];
};

static struct loop loop;
static struct lines lines;
static struct graves graves;
static int door = -1; /* listens at */
static uint16_t port;

static struct told *told_of(struct line *l)
{
    return CONTAINER_OF(l, struct told, line);
}

static void on_dialed(struct line *l, enum line_dialed how)
{
    told_of(l)->dialed++;
    told_of(l)->how = how;
}

static void on_bytes(struct line *l, struct slice in)
{
    struct told *t = told_of(l);
    assert_true(in.n <= sizeof(t->bytes) - t->bytes_n);
    memcpy(t->bytes + t->bytes_n, in.p, in.n);
    t->bytes_n += (unsigned)in.n;
}

static void on_took(struct line *l)
{
    told_of(l)->took++;
}

static void on_closed(struct line *l)
{
    told_of(l)->closed++;
}

static void on_free(struct line *l)
{
    told_of(l)->freed++;
}

static const struct line_ops ops = {on_dialed, on_bytes, on_took, on_closed, on_free};

static void begin(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(at);
    assert_int_equal(loop_init(&loop), ERR_OK);
    graves = (struct graves){0};
    lines_init(&lines, &loop, 3, &ops, &graves);
    door = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(door, (const void *)&at, n), 0);
    assert_int_equal(listen(door, 8), 0);
    assert_int_equal(getsockname(door, (void *)&at, &n), 0);
    port = ntohs(at.sin_port);
}

static void end(void)
{
    lines_free(&lines);
    graves_free(&graves);
    loop_free(&loop);
    close(door);
}

/* One turn, as the shell makes it, but for lines_bury. */
static void turn(void)
{
    struct watch *w;
    struct mono now = clock_mono();
    loop_wait(&loop, now, mono_earlier(mono_after(now, 10 * 1000), lines_due(&lines, now)));
    lines_turn(&lines, clock_mono());
    while ((w = loop_next(&loop)) != NULL) {
        uint8_t events = w->events;
        w->events = 0;
        assert_int_equal(w->kind, 3);
        line_ready(CONTAINER_OF(CONTAINER_OF(w, struct conn, watch), struct line, conn), events);
    }
    lines_write(&lines);
}

#define TURN_UNTIL(condition)                                    \
    do {                                                         \
        struct mono until_ = mono_after(clock_mono(), A_WHILE_US); \
        while (!(condition)) {                                   \
            assert_false(mono_reached(clock_mono(), until_));    \
            turn();                                              \
        }                                                        \
    } while (0)

static void dial(struct told *t, const char *host, uint16_t to)
{
    line_dial(&lines, &t->line, slice_str(host), to);
}

static void say(struct told *t, const char *text)
{
    struct chain bytes = {0};
    chain_put(&bytes, slice_str(text));
    line_send(&t->line, &bytes);
    assert_true(chain_empty(&bytes)); /* taken */
}

/* A line that is through, and the other end of it. */
static int through(struct told *t)
{
    dial(t, "127.0.0.1", port);
    assert_int_equal(t->dialed, 0); /* nothing is called from inside line_dial */
    TURN_UNTIL(t->dialed > 0);
    assert_int_equal(t->how, LINE_THROUGH);
    int fd = accept(door, NULL, NULL);
    assert_true(fd >= 0);
    return fd;
}

static void bytes_go_both_ways(void **state)
{
    (void)state;
    struct told t = {0};
    char got[16] = "";
    begin();
    int other = through(&t);
    say(&t, "ask");
    assert_int_equal(t.took, 0); /* nor from inside line_send */
    TURN_UNTIL(t.took == 1);
    assert_int_equal(read(other, got, sizeof(got)), 3);
    assert_memory_equal(got, "ask", 3);
    assert_int_equal(write(other, "answer", 6), 6);
    TURN_UNTIL(t.bytes_n == 6);
    assert_memory_equal(t.bytes, "answer", 6);
    assert_int_equal(write(other, "last", 4), 4);
    close(other);
    TURN_UNTIL(t.closed > 0);
    assert_int_equal(t.bytes_n, 10); /* what was said before the end came first */
    for (int i = 0; i < 3; i++)
        turn();
    assert_int_equal(t.closed, 1);
    assert_int_equal(t.freed, 0); /* events of it may still be in the loop's list */
    lines_bury(&lines);
    assert_int_equal(t.freed, 1);
    end();
    assert_int_equal(t.freed, 1);
}

static size_t read_there(int fd)
{
    static char got[256 * 1024];
    ssize_t n = recv(fd, got, sizeof(got), MSG_DONTWAIT);
    return n > 0 ? (size_t)n : 0;
}

static void what_is_long_goes_in_several_turns(void **state)
{
    (void)state;
    enum { LONG = 3 * CONN_WRITE_MAX_BYTES };
    static const char x[LONG];
    struct told t = {0};
    struct chain bytes = {0};
    size_t got = 0;
    begin();
    int other = through(&t);
    chain_put(&bytes, slice_of(x, LONG));
    line_send(&t.line, &bytes);
    for (unsigned writes = 1; writes <= 2; writes++) { /* the second one waits until the loop says that there is room */
        lines_write(&lines);
        assert_int_equal(t.took, 1);
        assert_in_range(t.line.out.n, LONG - CONN_WRITE_MAX_BYTES, LONG - 1);
    }
    TURN_UNTIL((got += read_there(other)) == LONG);
    assert_true(chain_empty(&t.line.out));
    close(other);
    end();
}

static void who_is_not_reached_is_told_why(void **state)
{
    (void)state;
    struct told refused = {0}, long_name = {0}, no_name = {0}, with_nul = {0};
    char name[DIAL_HOST_BYTES + 1];
    memset(name, 'a', DIAL_HOST_BYTES);
    name[DIAL_HOST_BYTES] = '\0';
    begin();
    close(door); /* nobody listens there any more */
    door = -1;
    dial(&refused, "127.0.0.1", port);
    dial(&long_name, name, port); /* a byte longer than a name may be */
    dial(&no_name, "", port);
    line_dial(&lines, &with_nul.line, slice_of("127.0.0.1\0x", 11), port);
    TURN_UNTIL(refused.dialed > 0 && long_name.dialed > 0 && no_name.dialed > 0 && with_nul.dialed > 0);
    assert_int_equal(refused.how, LINE_REFUSED);
    assert_int_equal(long_name.how, LINE_NOWHERE);
    assert_int_equal(no_name.how, LINE_NOWHERE);
    assert_int_equal(with_nul.how, LINE_NOWHERE);
    assert_true(refused.line.dead && long_name.line.dead);
    lines_bury(&lines);
    assert_int_equal(refused.freed + long_name.freed + no_name.freed + with_nul.freed, 4);
    end();
    assert_int_equal(refused.closed + long_name.closed + no_name.closed + with_nul.closed, 0);
}

/* Who is told so may close what it can do without. */
static void files_that_are_lacking_are_told(void **state)
{
    (void)state;
    struct told t = {0};
    struct rlimit before, none;
    begin();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){0, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    dial(&t, "127.0.0.1", port);
    turn();
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(t.dialed, 1);
    assert_int_equal(t.how, LINE_NO_SOCKET);
    assert_true(t.line.dead);
    end();
}

static void a_name_is_looked_up_elsewhere(void **state)
{
    (void)state;
    struct told t = {0}, dropped = {0};
    begin();
    dial(&t, "127.0.0.1", port);
    assert_false(lines.names_started); /* an address needs no thread */
    line_drop(&t.line);
    dial(&dropped, "localhost", port);
    assert_true(lines.names_started);
    line_drop(&dropped.line);
    struct told named = {0};
    dial(&named, "localhost", port);
    TURN_UNTIL(named.dialed > 0);
    assert_int_equal(named.how, LINE_THROUGH);
    assert_int_equal(dropped.dialed + t.dialed, 0);
    lines_bury(&lines);
    assert_int_equal(dropped.freed, 1); /* the thread has given it back */
    end();
}

static void nothing_is_told_of_who_was_dropped(void **state)
{
    (void)state;
    struct told t = {0};
    char got[4];
    begin();
    int other = through(&t);
    assert_int_equal(write(other, "late", 4), 4);
    say(&t, "never");
    line_drop(&t.line);
    assert_true(t.line.dead);
    for (int i = 0; i < 3; i++)
        turn();
    assert_int_equal(t.bytes_n + t.took + t.closed, 0);
    assert_true(read(other, got, sizeof(got)) <= 0); /* unsent bytes are lost */
    lines_bury(&lines);
    assert_int_equal(t.freed, 1);
    close(other);
    end();
}

static void who_ends_says_all_and_reads_no_more(void **state)
{
    (void)state;
    struct told t = {0};
    char got[16];
    begin();
    int other = through(&t);
    assert_int_equal(write(other, "unread", 6), 6);
    say(&t, "last words");
    line_end(&t.line, mono_after(clock_mono(), A_WHILE_US));
    assert_false(t.line.dead);
    TURN_UNTIL(t.line.dead);
    assert_int_equal(read(other, got, sizeof(got)), 10);
    assert_memory_equal(got, "last words", 10);
    assert_int_equal(t.bytes_n + t.closed, 0); /* who ended it knows */
    close(other);

    struct told silent = {0};
    other = through(&silent);
    line_end(&silent.line, mono_after(clock_mono(), A_WHILE_US)); /* nothing is to be said: now */
    assert_true(silent.line.dead);
    close(other);
    end();
}

/* The other side reads nothing: what waits is given up when its time has come, and not before. */
static void an_end_has_its_time(void **state)
{
    (void)state;
    static char much[1024 * 1024];
    struct told t = {0};
    struct chain bytes = {0};
    begin();
    int other = through(&t);
    for (int i = 0; i < 32; i++)
        chain_put(&bytes, slice_of(much, sizeof(much)));
    line_send(&t.line, &bytes);
    struct mono now = clock_mono(), by = mono_after(now, A_WHILE_US);
    assert_int_equal(lines_due(&lines, now).us, now.us); /* it has something to say: now, */
    line_end(&t.line, by);
    TURN_UNTIL(t.line.conn.refused);
    assert_int_equal(lines_due(&lines, now).us, by.us); /* and refused, at its end (I3) */
    lines_turn(&lines, (struct mono){by.us - 1});
    assert_false(t.line.dead);
    lines_turn(&lines, by);
    assert_true(t.line.dead);
    assert_int_equal(t.closed, 0);
    close(other);
    end();
}

static void a_descriptor_is_taken_and_given(void **state)
{
    (void)state;
    struct told t = {0};
    int pair[2];
    begin();
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    line_take(&lines, &t.line, pair[0]);
    assert_int_equal(write(pair[1], "hello", 5), 5);
    TURN_UNTIL(t.bytes_n == 5);
    int fd = line_give(&t.line);
    assert_int_equal(fd, pair[0]);
    assert_true(t.line.dead);
    assert_int_equal(write(pair[1], "you", 3), 3);
    for (int i = 0; i < 3; i++)
        turn();
    lines_bury(&lines);
    assert_int_equal(t.freed, 1);
    assert_int_equal(t.bytes_n + t.closed, 5); /* nothing more is told of it, */
    char got[8];
    assert_int_equal(read(fd, got, sizeof(got)), 3); /* and it is open: the caller's (I2) */
    close(fd);
    close(pair[1]);
    end();
}

UNIT_TESTS("line",
           TEST(bytes_go_both_ways, "bytes go both ways, and the end is told once, behind them (S8)"),
           TEST(what_is_long_goes_in_several_turns, "what is long goes in several turns, others' between them (I3)"),
           TEST(who_is_not_reached_is_told_why, "who is not reached, or no host, is told apart, and is dead (S8)"),
           TEST(files_that_are_lacking_are_told, "who cannot be dialed since too many files are open is told so (S8)"),
           TEST(a_name_is_looked_up_elsewhere, "a name is looked up by a thread, an address needs none (S8)"),
           TEST(nothing_is_told_of_who_was_dropped, "nothing is told of a line that was dropped (S8)"),
           TEST(who_ends_says_all_and_reads_no_more, "a line that ends says all it has, and reads no more"),
           TEST(an_end_has_its_time, "a line that is not read ends at its time, and not before"),
           TEST(a_descriptor_is_taken_and_given, "a descriptor that is given is the taker's (I2)"))

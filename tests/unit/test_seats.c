/* SPDX-License-Identifier: BSD-3-Clause */

/* Three threads of a proxy, each a node: clients see one server (proxy/README.md P6). */
#define _GNU_SOURCE /* memmem */
#include "node/seats.h"

#include "tests/lib/one_node.h"

enum { SEATS = 3 };

static struct one seats[SEATS];
static struct {
    struct seat_send at[256];
    unsigned from[256];
    size_t n, next;
} way;

/* Words travel when they are carried. */
static void collect(struct one *o)
{
    for (size_t i = 0; i < o->out.seats.n; i++) {
        assert_true(way.n < 256);
        way.at[way.n++] = o->out.seats.at[i];
    }
    assert_int_equal(o->out.send.n, 0);
}

static void carry(void)
{
    while (way.next < way.n) {
        struct seat_send *s = &way.at[way.next++];
        one_step(&seats[s->to], (struct node_event){.type = NODE_SEAT, .seat = s->word});
        seat_word_free(s->word);
    }
    way.n = way.next = 0;
}

static void start(void)
{
    for (unsigned i = 0; i < SEATS; i++) {
        seats[i] = (struct one){.links = collect};
        seats[i].identity = (struct node_identity){
            .seed = i + 1, .in_cluster = true, .is_proxy = true, .seat = i, .seats_n = SEATS, .run_id = "r"};
        seats[i].options.of_proxy = true;
        one_begin(&seats[i], "databases 1\nappendonly no\ncluster-routing forward\nslowlog-log-slower-than 0");
        one_open(&seats[i], 1);
    }
}

static void end(void)
{
    for (; way.next < way.n; way.next++)
        seat_word_free(way.at[way.next].word);
    way.n = way.next = 0;
    for (unsigned i = 0; i < SEATS; i++)
        one_stop(&seats[i]);
}

static void send(unsigned seat, const char *line)
{
    one_send(&seats[seat], 1, line);
    carry();
    one_step(&seats[seat], (struct node_event){.type = NODE_RELEASE});
}

#define says(seat, line, text)                                                \
    do {                                                                      \
        send(seat, line);                                                     \
        one_expect(&seats[seat], 1, text);                                    \
    } while (0)

/* What it answers has this in it. */
static void tells(unsigned seat, const char *line, const char *text)
{
    struct buf *got = &seats[seat].got[1];
    send(seat, line);
    if (got->n == 0 || memmem(got->p, got->n, text, strlen(text)) == NULL)
        fail_msg("'%s' is not in '%.*s'", text, (int)got->n, got->p);
    buf_clear(got);
}

static void forget_all(void)
{
    for (unsigned i = 0; i < SEATS; i++) {
        one_step(&seats[i], (struct node_event){.type = NODE_RELEASE});
        buf_clear(&seats[i].got[1]);
    }
}

static void what_info_tells_is_of_all(void **state)
{
    (void)state;
    start();
    one_open(&seats[2], 2);
    tells(0, "INFO clients", "connected_clients:4\r\n");
    tells(1, "INFO", "total_connections_received:4\r\n");
    send(0, "PING");
    send(1, "PING");
    send(2, "NONSENSE");
    forget_all();
    tells(2, "INFO commandstats", "cmdstat_ping:calls=2,");
    tells(1, "INFO errorstats", "errorstat_ERR:count=1\r\n");
    tells(1, "INFO latencystats", "latency_percentiles_usec_ping:p50=");
    tells(0, "LATENCY HISTOGRAM ping", "$5\r\ncalls\r\n:2\r\n");
    says(1, "CONFIG RESETSTAT", "+OK\r\n");
    tells(0, "INFO stats", "total_error_replies:0\r\n");
    end();
}

static long clients_bytes(unsigned seat)
{
    static const char name[] = "clients.normal\r\n:";
    struct buf *got = &seats[seat].got[1];
    send(seat, "MEMORY STATS");
    const char *at = memmem(got->p, got->n, name, sizeof(name) - 1);
    assert_non_null(at);
    long n = strtol(at + sizeof(name) - 1, NULL, 10);
    buf_clear(got);
    return n;
}

static void what_clients_cost_is_of_all(void **state)
{
    (void)state;
    start();
    long before = clients_bytes(0);
    for (uint32_t i = 2; i < 6; i++)
        one_open(&seats[2], i);
    long more = clients_bytes(0) - before;
    assert_true(before > 0 && more > 0);
    assert_int_equal(clients_bytes(1) - before, more);
    end();
}

static void a_second_answer_is_as_the_first(void **state)
{
    (void)state;
    start();
    send(1, "PING");
    forget_all();
    for (unsigned i = 0; i < 3; i++) /* the sum is made for each answer, and left nowhere */
        tells(0, "INFO commandstats", "cmdstat_ping:calls=1,");
    tells(1, "INFO commandstats", "cmdstat_ping:calls=1,");
    end();
}

static void each_client_is_listed_once(void **state)
{
    (void)state;
    start();
    says(0, "CLIENT ID", ":3\r\n");
    says(1, "CLIENT ID", ":4\r\n");
    says(2, "CLIENT ID", ":5\r\n");
    says(2, "CLIENT SETNAME third", "+OK\r\n");
    tells(0, "CLIENT LIST", "id=5 ");
    tells(0, "CLIENT LIST", "name=third");
    tells(1, "CLIENT LIST", "id=3 ");
    tells(1, "CLIENT LIST ID 5", "id=5 ");
    says(1, "CLIENT LIST ID 77", "$0\r\n\r\n");
    says(1, "CLIENT LIST TYPE nothing", "-ERR Unknown client type 'nothing'\r\n");
    end();
}

static void any_client_is_killed(void **state)
{
    (void)state;
    start();
    says(0, "CLIENT KILL ID 5", ":1\r\n");
    assert_true(seats[2].dropped[1]);
    one_step(&seats[2], (struct node_event){.type = NODE_CLOSED, .closed = 1});
    says(0, "CLIENT KILL ID 5", ":0\r\n");
    says(0, "CLIENT KILL nobody:1", "-ERR No such client\r\n");
    says(0, "CLIENT KILL ADDR peer:1", ":1\r\n"); /* not itself */
    assert_true(seats[1].dropped[1] && !seats[0].dropped[1]);
    one_step(&seats[1], (struct node_event){.type = NODE_CLOSED, .closed = 1});
    one_open(&seats[1], 1);
    says(0, "CLIENT KILL peer:1", "+OK\r\n");
    assert_true(seats[0].closed[1]); /* itself too, after its answer */
    one_open(&seats[2], 1);
    says(2, "CLIENT UNBLOCK 77", ":0\r\n");
    end();
}

static void the_slow_log_is_one(void **state)
{
    (void)state;
    start();
    send(1, "ECHO first");
    for (unsigned i = 0; i < SEATS; i++)
        one_later(&seats[i], 2000);
    send(2, "ECHO second");
    forget_all();
    says(0, "SLOWLOG LEN", ":2\r\n");
    tells(0, "SLOWLOG GET 2", "$6\r\nsecond\r\n"); /* SLOWLOG itself, of now, and the newest before it */
    tells(2, "SLOWLOG GET -1", "$5\r\nfirst\r\n");
    says(1, "SLOWLOG RESET", "+OK\r\n");
    says(0, "SLOWLOG LEN", ":1\r\n"); /* RESET itself, which is over after it */
    end();
}

static void latency_is_of_all(void **state)
{
    (void)state;
    start();
    for (unsigned i = 0; i < SEATS; i++)
        seats[i].options.latency_monitor_threshold = 1;
    seats[1].watch_step_ns = seats[2].watch_step_ns = 5000000;
    send(1, "ECHO a");
    send(2, "ECHO a");
    seats[1].watch_step_ns = seats[2].watch_step_ns = 0;
    forget_all();
    tells(0, "LATENCY LATEST", "*1\r\n*4\r\n$12\r\nfast-command\r\n");
    tells(0, "LATENCY HISTORY fast-command", "*1\r\n*2\r\n"); /* both in one second: the worst */
    tells(0, "LATENCY GRAPH fast-command", "fast-command - high ");
    says(0, "LATENCY RESET", ":1\r\n");
    says(2, "LATENCY LATEST", "*0\r\n");
    end();
}

static void what_is_set_is_set_in_one_order(void **state)
{
    (void)state;
    start();
    one_send(&seats[1], 1, "CONFIG SET maxclients 11");
    one_send(&seats[2], 1, "CONFIG SET maxclients 12");
    carry();
    one_expect(&seats[1], 1, "+OK\r\n");
    one_expect(&seats[2], 1, "+OK\r\n");
    for (unsigned i = 0; i < SEATS; i++)
        assert_int_equal(seats[i].options.maxclients, seats[0].options.maxclients);
    says(0, "CONFIG SET maxclients 13", "+OK\r\n");
    for (unsigned i = 0; i < SEATS; i++)
        assert_int_equal(seats[i].options.maxclients, 13);
    says(2, "CONFIG SET maxclients none",
         "-ERR CONFIG SET failed (possibly related to argument 'maxclients') - argument couldn't be parsed into an integer\r\n");
    says(1, "CONFIG SET requirepass secret", "+OK\r\n");
    one_open(&seats[2], 2);
    one_send(&seats[2], 2, "PING");
    one_expect(&seats[2], 2, "-NOAUTH Authentication required.\r\n");
    end();
}

static void monitor_shows_all(void **state)
{
    (void)state;
    start();
    says(0, "MONITOR", "+OK\r\n");
    carry();
    send(2, "ECHO there");
    carry();
    one_step(&seats[0], (struct node_event){.type = NODE_RELEASE});
    struct buf *got = &seats[0].got[1];
    assert_non_null(memmem(got->p, got->n, "\"ECHO\" \"there\"\r\n", 16));
    buf_clear(got);
    one_step(&seats[0], (struct node_event){.type = NODE_CLOSED, .closed = 1});
    carry();
    assert_false(seats[2].node->is_watched);
    one_send(&seats[2], 1, "ECHO alone");
    assert_int_equal(way.n, 0);
    end();
}

static void a_pause_holds_all(void **state)
{
    (void)state;
    start();
    says(1, "CLIENT PAUSE 10000", "+OK\r\n");
    assert_int_equal(one_send(&seats[2], 1, "PING"), 0);
    assert_int_equal(one_send(&seats[0], 1, "PING"), 0);
    says(1, "CLIENT UNPAUSE", "+OK\r\n");
    assert_true(seats[2].resumed[1] && seats[0].resumed[1]);
    end();
}

static void who_is_gone_is_answered_nothing(void **state)
{
    (void)state;
    start();
    one_send(&seats[0], 1, "INFO");
    assert_int_equal(one_send(&seats[0], 1, "PING"), 0); /* its turn comes behind the answer */
    one_step(&seats[0], (struct node_event){.type = NODE_CLOSED, .closed = 1});
    carry();
    one_open(&seats[0], 1);
    says(0, "PING", "+PONG\r\n");
    says(0, "MULTI", "+OK\r\n");
    says(0, "INFO", "-ERR this is asked of all threads of the proxy: not inside a transaction\r\n");
    says(0, "EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n");
    end();
}

static void a_stop_waits_for_no_seat(void **state)
{
    (void)state;
    start();
    one_open(&seats[0], 2);
    one_send(&seats[0], 1, "CLIENT LIST");
    one_send(&seats[0], 2, "LATENCY RESET");
    one_step(&seats[0], (struct node_event){.type = NODE_STOP});
    one_step(&seats[0], (struct node_event){.type = NODE_RELEASE});
    one_expect(&seats[0], 2, ":0\r\n"); /* nobody has told anything yet */
    assert_non_null(memmem(seats[0].got[1].p, seats[0].got[1].n, "id=3 ", 5)); /* with what is known */
    one_later(&seats[0], 100);
    assert_true(seats[0].out.stop);
    carry(); /* answers of those who go on are nobody's */
    end();
}

UNIT_TESTS("seats",
           TEST(what_info_tells_is_of_all, "what INFO tells is of all threads (P6)"),
           TEST(what_clients_cost_is_of_all, "what MEMORY STATS tells of clients is of all threads (P6)"),
           TEST(a_second_answer_is_as_the_first, "an answer over all threads changes nothing at any"),
           TEST(each_client_is_listed_once, "each client has one number, and any thread lists all (P6)"),
           TEST(any_client_is_killed, "a client is killed wherever it is (P6)"),
           TEST(the_slow_log_is_one, "the slow log is one, newest first (P6)"),
           TEST(latency_is_of_all, "LATENCY is of all threads (P6)"),
           TEST(what_is_set_is_set_in_one_order, "CONFIG SET is taken by all threads in one order (P3)"),
           TEST(monitor_shows_all, "MONITOR shows what all threads run, and costs nothing once it is over (P6)"),
           TEST(a_pause_holds_all, "CLIENT PAUSE holds the clients of all threads (P6)"),
           TEST(who_is_gone_is_answered_nothing, "an answer that nobody waits for is dropped; none is given inside MULTI"),
           TEST(a_stop_waits_for_no_seat, "a stop waits for no other thread (P5)"))

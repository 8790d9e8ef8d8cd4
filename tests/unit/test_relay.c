/* SPDX-License-Identifier: BSD-3-Clause */
#include "relay/relay.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/mem.h"
#include "core/raft/raft_log.h"
#include "tests/lib/random_map.h"
#include "tests/lib/unit.h"
#include "wire/wire_control.h"
#include "wire/wire_map.h"

enum { SECOND = 1000 * 1000, FAR_ENDS = 1024, PORTS = 8 };

/* The other end of a link: a node that says what the test has it say. */
struct far_end {
    bool used, dialed, open;
    uint16_t port;
    struct hello hello;
    struct hello_self self;
    struct buf unread;
    uint64_t asked; /* the newest VONG.FETCH */
};

static struct {
    struct relay *relay;
    struct relay_out out;
    struct mono now;
    struct far_end ends[FAR_ENDS]; /* by link */
    bool dead[PORTS];              /* nobody listens at port 1000 + n */
    unsigned dials[PORTS];
    struct cluster_id cluster;
    struct map map;                /* what the nodes' is; they listen from port 1000 on */
    uint64_t told[64];             /* indexes of news, as they came */
    size_t told_n;
    struct log log;
    unsigned lines;
    char said[4096]; /* the lines, '|' between them; its beginning */
    size_t said_n;
} w;

static void count_line(struct log *log, enum log_level level, struct slice text)
{
    (void)log;
    if (level < LOG_LEVEL_NOTICE)
        return;
    w.lines++;
    if (text.n + 2 > sizeof(w.said) - w.said_n)
        return;
    memcpy(w.said + w.said_n, text.p, text.n);
    w.said_n += text.n;
    memcpy(w.said + w.said_n++, "|", 2);
}

static void take_out(void)
{
    struct relay_out o = w.out;
    w.out = (struct relay_out){.wake = o.wake}; /* what it answers to is stepped from here */
    for (size_t i = 0; i < o.news.n; i++)
        w.told[w.told_n++ % 64] = o.news.at[i].index;
    for (size_t i = 0; i < o.hang_up.n; i++)
        w.ends[o.hang_up.at[i]].used = false;
    for (size_t i = 0; i < o.dial.n; i++) {
        struct far_end *e = &w.ends[o.dial.at[i].link];
        unsigned n = o.dial.at[i].port - 1000U;
        assert_true(o.dial.at[i].link < FAR_ENDS && n < PORTS);
        w.dials[n]++;
        *e = (struct far_end){.used = true, .port = o.dial.at[i].port};
    }
    for (size_t i = 0; i < o.send.n; i++) {
        struct far_end *e = &w.ends[o.send.at[i].link];
        char flat[4096];
        size_t n = chain_copy(&o.send.at[i].bytes, flat, sizeof(flat));
        if (e->used)
            assert_int_equal(buf_add(&e->unread, slice_of(flat, n)), ERR_OK);
        chain_free(&o.send.at[i].bytes, NULL);
    }
    relay_out_free(&o);
}

static void step(struct relay_event ev)
{
    ev.now = w.now;
    relay_step(w.relay, &ev, &w.out);
    relay_check(w.relay);
    take_out();
}

static void begin(const char *seeds)
{
    memset(&w, 0, sizeof(w));
    w.log = (struct log){.level = LOG_LEVEL_DEBUG, .line = count_line};
    memset(w.cluster.b, 0xC1, sizeof(w.cluster.b));
    map_init(&w.map);
    struct relay_config c = {
        .seeds = slice_str(seeds), .secret = SLICE("s3cret"), .seed = 7, .log = &w.log};
    w.relay = relay_new(&c);
    step((struct relay_event){.type = RELAY_DUE});
}

static void end(void)
{
    for (size_t i = 0; i < FAR_ENDS; i++) {
        hello_free(&w.ends[i].hello);
        buf_free(&w.ends[i].unread);
    }
    relay_free(w.relay);
    relay_out_free(&w.out);
    map_free(&w.map);
}

static void bring(uint32_t link, struct chain *bytes)
{
    size_t n;
    char *flat = chain_flat(bytes, NULL, &n);
    step((struct relay_event){.type = RELAY_BYTES, .link = link, .in = slice_of(flat, n)});
    mem_free(flat);
}

/* Every dial is answered, and what was said is heard, once. */
static bool carry_one(uint32_t link)
{
    struct far_end *e = &w.ends[link];
    static const uint8_t nonce[HELLO_NONCE_BYTES] = {2};
    if (!e->used)
        return false;
    if (!e->dialed) {
        unsigned n = e->port - 1000U;
        struct relay_event ev = {.type = RELAY_DIALED, .link = link, .through = !w.dead[n]};
        e->used = e->dialed = ev.through;
        e->self = (struct hello_self){.cluster = w.cluster, .id = id_of(n + 1), .incarnation = 1,
                                      .secret = SLICE("s3cret")};
        buf_init(&e->unread, 1 << 20);
        if (ev.through)
            hello_answer(&e->hello, &e->self, nonce);
        step(ev);
        return true;
    }
    if (e->unread.n == 0)
        return false;
    struct chain out = {0};
    size_t used = 0;
    if (!e->open) {
        enum hello_verdict v = hello_step(&e->hello, &e->self, buf_slice(&e->unread), &used, &out);
        assert_true(v != HELLO_ACCEPTED || e->hello.purpose == HELLO_FOLLOW);
        e->open = v == HELLO_ACCEPTED;
    } else {
        struct wire_reader reader = {.from = WIRE_DIALS, .open = true};
        struct wire_in in;
        struct wire_fetch fetch;
        if (wire_next(&reader, buf_slice(&e->unread), &in, &used) == WIRE_FRAME &&
            in.type == WIRE_FETCH && get_fetch(&in, &fetch) == ERR_OK)
            e->asked = fetch.from;
        wire_reader_free(&reader);
    }
    buf_drop_front(&e->unread, used);
    if (out.n > 0)
        bring(link, &out);
    return used > 0;
}

static void carry(void)
{
    bool any = true;
    while (any) {
        any = false;
        for (uint32_t i = 1; i < FAR_ENDS; i++)
            any |= carry_one(i);
    }
}

static void pass(int64_t us)
{
    for (int64_t i = 0; i < us; i += 50 * 1000) {
        w.now = mono_after(w.now, 50 * 1000);
        if (mono_reached(w.now, w.out.wake))
            step((struct relay_event){.type = RELAY_DUE});
        carry();
    }
}

/* n members, the i-th of which is at port 1000 + i. */
static void make_map(unsigned n)
{
    struct map_entry e = founding();
    e.found.cluster = w.cluster;
    e.found.first.at.cluster_port = 1000;
    (void)snprintf(e.found.first.at.ip, IP_BYTES, "10.0.0.1");
    (void)map_apply(&w.map, 1, &e);
    for (unsigned i = 1; i < n; i++) {
        struct map_entry join = {.type = MAP_JOIN, .member = member_of(i + 1, 1)};
        join.member.at.cluster_port = (uint16_t)(1000 + i);
        (void)snprintf(join.member.at.ip, IP_BYTES, "10.0.0.1");
        (void)map_apply(&w.map, 1 + i, &join);
    }
}

static uint32_t open_link(unsigned nth)
{
    for (uint32_t i = 1; i < FAR_ENDS; i++)
        if (w.ends[i].used && w.ends[i].open && nth-- == 0)
            return i;
    return 0;
}

static unsigned open_n(void)
{
    unsigned n = 0;
    while (open_link(n) != 0)
        n++;
    return n;
}

static void send_whole(uint32_t link)
{
    struct chain map = {0}, out = {0};
    size_t n;
    put_map(&map, &w.map);
    char *flat = chain_flat(&map, NULL, &n);
    put_whole(&out, &(struct wire_whole){w.map.index, SLICE(""), slice_of(flat, n)});
    mem_free(flat);
    bring(link, &out);
    carry();
}

static void send_entry(uint32_t link, uint64_t index, const struct map_entry *e)
{
    struct chain out = {0};
    size_t n;
    char *flat = map_entry_flat(e, &n);
    struct wire_entries *m = mem_zero(sizeof(*m));
    m->first = index;
    m->n = 1;
    m->at[0] = (struct wire_entry){3, RAFT_ENTRY_OWNER, slice_of(flat, n)};
    put_entries(&out, m);
    mem_free(m);
    mem_free(flat);
    bring(link, &out);
    carry();
}

/* SUSPECTED node 2, as entry `index`. */
static void send_suspected(uint32_t link, uint64_t index)
{
    send_entry(link, index, &(struct map_entry){.type = MAP_SUSPECTED, .about = id_of(2), .incarnation = 1});
}

/* What the log said since it was last asked. */
static void expect_said(const char *lines)
{
    assert_string_equal(w.said, lines);
    w.said[w.said_n = 0] = '\0';
}

static void the_map_is_found_at_a_seed_and_followed(void **state)
{
    (void)state;
    begin("10.0.0.1:1@1000");
    make_map(5);
    carry();
    assert_int_equal(open_n(), 1);
    assert_int_equal(w.ends[open_link(0)].asked, 1);
    assert_int_equal(relay_map(w.relay)->index, 0);
    send_whole(open_link(0));
    assert_int_equal(relay_map(w.relay)->index, w.map.index);
    assert_int_equal(w.told_n, 1);
    assert_int_equal(w.told[0], 0); /* the whole of it */
    assert_memory_equal(relay_map(w.relay)->cluster.b, w.cluster.b, sizeof(w.cluster.b));
    pass(SECOND); /* others of it are followed, too (Y4) */
    assert_int_equal(open_n(), RELAY_LINKS);
    for (unsigned i = 0; i < RELAY_LINKS; i++)
        assert_int_equal(w.ends[open_link(i)].asked, w.map.index + 1);
    end();
}

static void an_entry_is_told_once_whoever_brings_it(void **state)
{
    (void)state;
    begin("10.0.0.1:1@1000");
    make_map(3);
    carry();
    send_whole(open_link(0));
    pass(SECOND);
    uint64_t next = w.map.index + 1;
    send_suspected(open_link(1), next);
    send_suspected(open_link(0), next);
    assert_int_equal(w.told_n, 2);
    assert_int_equal(w.told[1], next);
    assert_int_equal(relay_map(w.relay)->nodes.at[1].health, MAP_SUSPECT);
    assert_int_equal(w.ends[open_link(1)].asked, next + 1);
    send_suspected(open_link(0), next + 5); /* what lies between has not come: it waits */
    assert_int_equal(w.told_n, 2);
    assert_int_equal(relay_map(w.relay)->index, next);
    end();
}

static void who_cannot_be_reached_is_tried_again_after_a_pause(void **state)
{
    (void)state;
    begin("10.0.0.1:1@1000,10.0.0.1:1@1001");
    w.dead[0] = w.dead[1] = true;
    carry();
    pass(10 * SECOND);
    assert_true(w.dials[0] >= 10 && w.dials[1] >= 10);
    assert_true(w.dials[0] + w.dials[1] <= 42); /* four a second */
    assert_true(w.lines <= 4);                  /* and the log is not full of it */
    assert_non_null(strstr(relay_why(w.relay), "nobody answers there"));
    w.dead[1] = false;
    pass(SECOND);
    assert_int_equal(open_n(), 1);
    end();
}

static void what_cannot_be_read_ends_its_connection_alone(void **state)
{
    (void)state;
    begin("10.0.0.1:1@1000");
    make_map(3);
    carry();
    send_whole(open_link(0));
    pass(SECOND);
    assert_int_equal(open_n(), 3);
    uint32_t bad = open_link(0);
    struct chain out = {0};
    struct wire_entries *m = mem_zero(sizeof(*m));
    m->first = w.map.index + 1;
    m->n = 1;
    m->at[0] = (struct wire_entry){3, RAFT_ENTRY_OWNER, SLICE("no entry")};
    put_entries(&out, m);
    mem_free(m);
    bring(bad, &out);
    assert_false(w.ends[bad].used);
    assert_int_equal(relay_map(w.relay)->index, w.map.index);
    assert_int_equal(w.told_n, 1);
    pass(SECOND);
    assert_int_equal(open_n(), 3);
    end();
}

static void a_node_of_another_cluster_is_refused(void **state)
{
    (void)state;
    begin("10.0.0.1:1@1000");
    make_map(2);
    carry();
    send_whole(open_link(0));
    w.cluster.b[0] ^= 1; /* whoever is dialed from now on */
    pass(2 * SECOND);
    assert_int_equal(open_n(), 1);
    assert_true(w.dials[1] > 1);
    assert_int_equal(w.told_n, 1);
    end();
}

/* It was alone in its own, and joined another. */
static void a_node_that_joins_another_cluster_is_followed_no_more(void **state)
{
    (void)state;
    begin("10.0.0.1:1@1000");
    make_map(1);
    carry();
    uint32_t link = open_link(0);
    send_whole(link);
    struct cluster_id first = w.cluster;
    w.map.cluster.b[0] ^= 1;
    w.map.index += 7;
    send_whole(link);
    assert_false(w.ends[link].used);
    assert_memory_equal(relay_map(w.relay)->cluster.b, first.b, sizeof(first.b));
    assert_int_equal(w.told_n, 1);
    end();
}

static void one_is_left_for_another_from_time_to_time(void **state)
{
    (void)state;
    begin("10.0.0.1:1@1000");
    make_map(6);
    carry();
    send_whole(open_link(0));
    pass(120 * SECOND);
    unsigned seen = 0;
    for (unsigned i = 0; i < 6; i++)
        seen += w.dials[i] > 0;
    assert_int_equal(seen, 6);
    assert_int_equal(open_n(), RELAY_LINKS);
    end();
}

static void news(struct map_entry e)
{
    uint64_t next = relay_map(w.relay)->index + 1;
    e.base = next - 1;
    for (unsigned i = 0; i < 2; i++) /* the second brings nothing new */
        send_entry(open_link(i), next, &e);
}

static void who_dies_and_comes_back_is_named_once(void **state)
{
    (void)state;
    const struct map_run all = {.to = SLOTS - 1, .n = 1, .node = {0}};
    begin("10.0.0.1:1@1000");
    make_map(3);
    carry();
    send_whole(open_link(0));
    pass(SECOND);
    expect_said("map 3: a cluster of 3 is followed|");
    news((struct map_entry){.type = MAP_SUSPECTED, .about = id_of(1), .incarnation = 1});
    news((struct map_entry){.type = MAP_CLEARED, .about = id_of(1), .incarnation = 1});
    news((struct map_entry){.type = MAP_SUSPECTED, .about = id_of(1), .incarnation = 1});
    expect_said("");
    news((struct map_entry){.type = MAP_DOWNED, .about = id_of(1), .incarnation = 1});
    expect_said("map 7: node 01000000 (10.0.0.1:7001) is DOWN: requests for its 16384 slots wait until they are served, for "
                "retry-timeout at most; writes that it had not answered are UNCERTAIN|");
    struct map_entry back = {.type = MAP_RESTARTED, .member = member_of(1, 2)};
    back.member.at.cluster_port = 1000;
    (void)snprintf(back.member.at.ip, IP_BYTES, "10.0.0.1");
    news(back);
    expect_said("map 8: node 01000000 (10.0.0.1:7001) is back, started anew: requests for its 16384 slots wait until they are "
                "served, for retry-timeout at most; writes that it had not answered are UNCERTAIN|");
    news((struct map_entry){.type = MAP_ELECT, .runs = {.run = &all, .run_n = 1}});
    expect_said("map 9: all slots are served|");
    news((struct map_entry){.type = MAP_SUSPECTED, .about = id_of(3), .incarnation = 1});
    news((struct map_entry){.type = MAP_DOWNED, .about = id_of(3), .incarnation = 1});
    expect_said("map 11: node 03000000 (10.0.0.1:7003) is DOWN|");
    news((struct map_entry){.type = MAP_CLEARED, .about = id_of(3), .incarnation = 1});
    expect_said("map 12: node 03000000 (10.0.0.1:7003) is back: it is heard well again|");
    news((struct map_entry){.type = MAP_JOIN, .member = member_of(4, 1)});
    expect_said("map 13: node 04000000 (127.0.0.1:7004) joins|");
    end();
}

/* A young cluster's map comes as its entries. */
static void what_was_decided_before_is_no_news(void **state)
{
    (void)state;
    struct map_entry founded = founding();
    struct chain out = {0};
    size_t n[3];
    char *flat[3];
    begin("10.0.0.1:1@1000");
    make_map(1); /* the cluster's id */
    carry();
    founded.found.cluster = w.cluster;
    flat[0] = map_entry_flat(&founded, &n[0]);
    flat[1] = map_entry_flat(&(struct map_entry){.type = MAP_JOIN, .member = member_of(2, 1)}, &n[1]);
    flat[2] = map_entry_flat(&(struct map_entry){.type = MAP_SUSPECTED, .about = id_of(2), .incarnation = 1}, &n[2]);
    struct wire_entries *m = mem_zero(sizeof(*m));
    m->first = 1;
    for (m->n = 0; m->n < 3; m->n++)
        m->at[m->n] = (struct wire_entry){3, RAFT_ENTRY_OWNER, slice_of(flat[m->n], n[m->n])};
    put_entries(&out, m);
    mem_free(m);
    for (unsigned i = 0; i < 3; i++)
        mem_free(flat[i]);
    bring(open_link(0), &out);
    assert_int_equal(relay_map(w.relay)->index, 3);
    expect_said("map 3: a cluster of 2 is followed|");
    send_entry(open_link(0), 4, &(struct map_entry){.type = MAP_DOWNED, .about = id_of(2), .incarnation = 1, .base = 3});
    expect_said("map 4: node 02000000 (127.0.0.1:7002) is DOWN|");
    end();
}

static void who_is_not_reached_is_named_once(void **state)
{
    (void)state;
    begin("10.0.0.1:1@1000");
    make_map(3);
    w.dead[1] = true;
    carry();
    send_whole(open_link(0));
    expect_said("map 3: a cluster of 3 is followed|");
    pass(3 * SECOND);
    expect_said(""); /* the cluster may have a word for it */
    pass(60 * SECOND);
    expect_said("node 02000000 (10.0.0.1:7002) is not reached at its cluster port 1001: nobody answers there; the cluster has "
                "not called it DOWN, so requests for its slots wait for it, for retry-timeout at most|");
    w.dead[1] = false;
    pass(20 * SECOND);
    expect_said("node 02000000 (10.0.0.1:7002) is reached again|");
    end();
}

static void a_cluster_that_is_lost_and_found_is_told_each_time(void **state)
{
    (void)state;
    begin("10.0.0.1:1@1000");
    make_map(1);
    carry();
    send_whole(open_link(0));
    expect_said("map 1: a cluster of 1 is followed|");
    for (unsigned i = 0; i < 2; i++) {
        w.dead[0] = true;
        uint32_t link = open_link(0);
        w.ends[link].used = false;
        step((struct relay_event){.type = RELAY_CLOSED, .link = link});
        pass(3 * SECOND);
        expect_said("no node of the cluster is followed: 10.0.0.1:1000: nobody answers there; others are tried, and it again|");
        w.dead[0] = false;
        pass(3 * SECOND);
        expect_said("the map is followed at 10.0.0.1:1000|");
    }
    end();
}

UNIT_TESTS("relay",
           TEST(the_map_is_found_at_a_seed_and_followed, "the map is found at a seed, then followed at several nodes (Y4)"),
           TEST(an_entry_is_told_once_whoever_brings_it, "an entry is told once, in order, whoever brings it (Y1)"),
           TEST(who_cannot_be_reached_is_tried_again_after_a_pause, "who cannot be reached is tried again, after a pause (Y5)"),
           TEST(what_cannot_be_read_ends_its_connection_alone, "what cannot be read ends its connection and nothing else (Y2)"),
           TEST(a_node_of_another_cluster_is_refused, "a node of another cluster is refused (Y3)"),
           TEST(a_node_that_joins_another_cluster_is_followed_no_more, "a node that joins another cluster is followed no more (Y3)"),
           TEST(one_is_left_for_another_from_time_to_time, "one that is followed is left for another from time to time (Y4)"),
           TEST(who_dies_and_comes_back_is_named_once, "who dies, comes back or joins is named, once (Y6)"),
           TEST(what_was_decided_before_is_no_news, "what was decided before the proxy came is no news (Y6)"),
           TEST(who_is_not_reached_is_named_once, "who is not reached, and not called DOWN, is named, once (Y6)"),
           TEST(a_cluster_that_is_lost_and_found_is_told_each_time, "a cluster that is lost and found is told of each time"))

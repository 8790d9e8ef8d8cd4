/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire/wire_member.h"

#include "tests/lib/unit.h"

struct sent {
    struct chain bytes;
    char text[16 * 1024];
    struct wire_reader reader;
    struct wire_in in;
};

static enum err travel(struct sent *s, const struct member_msg *m, enum wire_type type,
                       struct member_msg *back)
{
    *s = (struct sent){.reader = {.from = WIRE_DIALS, .open = true}};
    put_member(&s->bytes, m);
    size_t used = 0, n = chain_copy(&s->bytes, s->text, sizeof(s->text));
    assert_int_equal(n, s->bytes.n);
    assert_int_equal(wire_next(&s->reader, slice_of(s->text, n), &s->in, &used), WIRE_FRAME);
    assert_int_equal(s->in.type, type);
    assert_true(wire_is_member(type));
    memset(back, 0, sizeof(*back));
    enum err e = get_member(&s->in, back);
    chain_free(&s->bytes, NULL);
    wire_reader_free(&s->reader);
    return e;
}

static void comes_back(const struct member_msg *m, enum wire_type type)
{
    struct sent s;
    struct member_msg back;
    assert_int_equal(travel(&s, m, type, &back), ERR_OK);
    assert_memory_equal(&back, m, sizeof(back)); /* both were zeroed */
}

static void refused(const struct member_msg *m, enum wire_type type, enum err e, uint32_t at)
{
    struct sent s;
    struct member_msg back;
    assert_int_equal(travel(&s, m, type, &back), e);
    assert_int_equal(s.in.at, at);
}

static struct rumor a_rumor(uint8_t n)
{
    struct rumor r;
    memset(&r, 0, sizeof(r));
    r.about = (struct node_id){{n, 0xFE}};
    r.incarnation = UINT32_MAX;
    r.t = INT64_MAX;
    r.has_lease = n % 2 == 0;
    r.map_version = UINT64_MAX;
    r.load = (struct member_load){UINT64_MAX, n};
    r.age_us = n;
    r.refused_us = n % 3 == 0 ? RUMOR_NEVER : 0;
    return r;
}

static void heartbeats_come_back(void **state)
{
    (void)state;
    for (size_t n = 0; n <= RAFT_VOTERS_MAX; n++) {
        struct member_msg m;
        memset(&m, 0, sizeof(m));
        m.type = MEMBER_BEAT;
        m.beat.incarnation = 3;
        m.beat.voters = UINT64_MAX;
        m.beat.map_version = 7;
        m.beat.has_lease = true;
        m.beat.progress = UINT64_MAX;
        m.beat.t = 1;
        m.beat.load = (struct member_load){4, 5};
        m.beat.ages_n = n;
        for (size_t i = 0; i < n; i++)
            m.beat.ages_us[i] = i % 2 == 0 ? (int64_t)i * 1000 : RUMOR_NEVER;
        comes_back(&m, WIRE_BEAT);
        m.beat.t = 0;
        refused(&m, WIRE_BEAT, ERR_RANGE, 6);
    }
}

static void echoes_come_back(void **state)
{
    (void)state;
    struct member_msg m;
    memset(&m, 0, sizeof(m));
    m.type = MEMBER_ECHO;
    m.echo.incarnation = 9;
    m.echo.t = INT64_MAX;
    comes_back(&m, WIRE_ECHO);
    m.type = MEMBER_SEEN;
    m.echo.map_version = 12;
    comes_back(&m, WIRE_SEEN);
    m.echo.t = 0;
    refused(&m, WIRE_SEEN, ERR_RANGE, 2);
}

static void gossip_comes_back(void **state)
{
    (void)state;
    for (size_t n = 0; n <= RUMORS_MAX; n++) {
        struct member_msg m;
        memset(&m, 0, sizeof(m));
        m.type = MEMBER_GOSSIP;
        m.gossip.answers = n % 2 == 0;
        m.gossip.ahead = n;
        m.gossip.who = (struct node_id){{9, 9}};
        m.gossip.n = n;
        for (size_t i = 0; i < n; i++)
            m.gossip.rumors[i] = a_rumor((uint8_t)i);
        comes_back(&m, WIRE_GOSSIP);
    }
}

static void probes_come_back(void **state)
{
    (void)state;
    struct member_msg m;
    memset(&m, 0, sizeof(m));
    m.type = MEMBER_PROBE;
    m.about = (struct node_id){{1, 2, 3}};
    comes_back(&m, WIRE_PROBE);
    memset(&m, 0, sizeof(m));
    m.type = MEMBER_PROBED;
    m.probed = a_rumor(5);
    comes_back(&m, WIRE_PROBED);
    m.probed.t = 0;
    refused(&m, WIRE_PROBED, ERR_RANGE, 3);
}

static void an_age_beyond_a_year_is_none(void **state)
{
    (void)state;
    static const char text[] =
        "*10\r\n$11\r\nVONG.PROBED\r\n$40\r\n0101010101010101010101010101010101010101\r\n$"
        "1\r\n1\r\n$1\r\n1\r\n"
        "$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n$14\r\n31536000000001\r\n$0\r\n\r\n";
    struct wire_reader r = {.from = WIRE_DIALS, .open = true};
    struct wire_in in;
    struct member_msg m;
    size_t used;
    assert_int_equal(wire_next(&r, slice_of(text, sizeof(text) - 1), &in, &used), WIRE_FRAME);
    assert_int_equal(get_member(&in, &m), ERR_RANGE);
    assert_int_equal(in.at, 8);
    wire_reader_free(&r);
}

UNIT_TESTS("wire_member",
           TEST(heartbeats_come_back, "BEAT comes back as it was put, and its t is above 0 (W2)"),
           TEST(echoes_come_back, "ECHO and SEEN come back as they were put (W2)"),
           TEST(gossip_comes_back, "GOSSIP comes back with each number of rumors (W2)"),
           TEST(probes_come_back, "PROBE and PROBED come back as they were put (W2)"),
           TEST(an_age_beyond_a_year_is_none, "an age beyond a year is none (W2)"))

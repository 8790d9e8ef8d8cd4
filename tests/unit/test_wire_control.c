/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire/wire_control.h"

#include "base/mem.h"
#include "tests/lib/unit.h"

/* What was put, as the other side reads it. */
struct sent {
    struct chain bytes;
    char text[64 * 1024];
    struct wire_reader reader;
    struct wire_in in;
};

static struct wire_in *arrive(struct sent *s, enum wire_side from, enum wire_type type)
{
    size_t used = 0, n = chain_copy(&s->bytes, s->text, sizeof(s->text));
    assert_int_equal(n, s->bytes.n);
    s->reader = (struct wire_reader){.from = from, .open = true};
    assert_int_equal(wire_next(&s->reader, slice_of(s->text, n), &s->in, &used), WIRE_FRAME);
    assert_int_equal(used, n);
    assert_int_equal(s->in.type, type);
    return &s->in;
}

static void sent_free(struct sent *s)
{
    struct graves g = {0};
    chain_free(&s->bytes, &g);
    wire_reader_free(&s->reader);
}

static const struct cluster_id cluster = {{1, 2, 3, 250, 255}};

static void joining_comes_back(void **state)
{
    (void)state;
    struct sent s = {0};
    struct wire_join join;
    put_join(&s.bytes, &(struct wire_join){SLICE("an\r\nentry")});
    assert_int_equal(get_join(arrive(&s, WIRE_DIALS, WIRE_JOIN), &join), ERR_OK);
    assert_slice(join.entry, "an\r\nentry");
    sent_free(&s);

    struct sent t = {0};
    struct wire_joined was = {.cluster = cluster, .why_not = "the map is full"}, is;
    put_joined(&t.bytes, &was);
    assert_int_equal(get_joined(arrive(&t, WIRE_ANSWERS, WIRE_JOINED), &is), ERR_OK);
    assert_memory_equal(is.cluster.b, cluster.b, sizeof(cluster.b));
    assert_string_equal(is.why_not, was.why_not);
    sent_free(&t);
}

static void meeting_comes_back(void **state)
{
    (void)state;
    struct sent s = {0};
    struct wire_meet meet;
    put_meet(&s.bytes, &(struct wire_meet){.cluster = cluster, .members_n = 7, .has_data = true, .ip = "fe80::1", .cluster_port = 17001});
    assert_int_equal(get_meet(arrive(&s, WIRE_DIALS, WIRE_MEET), &meet), ERR_OK);
    assert_int_equal(meet.members_n, 7);
    assert_true(meet.has_data && meet.cluster_port == 17001);
    assert_string_equal(meet.ip, "fe80::1");
    sent_free(&s);

    for (int m = 0; m <= MET_NEITHER + 1; m++) {
        struct sent t = {0};
        struct wire_met is;
        put_met(&t.bytes, &(struct wire_met){.met = (enum met)m, .why = "both hold data"});
        enum err e = get_met(arrive(&t, WIRE_ANSWERS, WIRE_MET), &is);
        assert_int_equal(e, m >= MET_I_JOIN && m <= MET_NEITHER ? ERR_OK : ERR_RANGE);
        if (e == ERR_OK)
            assert_int_equal(is.met, m);
        sent_free(&t);
    }
}

static void addresses_come_back(void **state)
{
    (void)state;
    struct sent s = {0};
    struct wire_here was = {.id = {{9, 8, 7}}, .ip = "fe80::2", .cluster_port = 65535}, is;
    put_here(&s.bytes, &was);
    assert_int_equal(get_here(arrive(&s, WIRE_ANSWERS, WIRE_HERE), &is), ERR_OK);
    assert_memory_equal(is.id.b, was.id.b, sizeof(was.id.b));
    assert_string_equal(is.ip, "fe80::2");
    assert_int_equal(is.cluster_port, 65535);
    sent_free(&s);
}

static void proposals_come_back(void **state)
{
    (void)state;
    struct sent s = {0}, t = {0};
    struct wire_propose p;
    put_propose(&s.bytes, &(struct wire_propose){.token = UINT64_MAX, .entry = SLICE("e")});
    assert_int_equal(get_propose(arrive(&s, WIRE_DIALS, WIRE_PROPOSE), &p), ERR_OK);
    assert_true(p.token == UINT64_MAX);
    assert_slice(p.entry, "e");
    sent_free(&s);

    struct wire_proposed is;
    put_proposed(&t.bytes, &(struct wire_proposed){.token = 3, .index = 9, .term = 2, .leader = {{7, 8}}, .why = ""});
    assert_int_equal(get_proposed(arrive(&t, WIRE_ANSWERS, WIRE_PROPOSED), &is), ERR_OK);
    assert_true(is.token == 3 && is.index == 9 && is.term == 2 && is.leader.b[1] == 8 && is.why[0] == '\0');
    sent_free(&t);
}

static void the_log_comes_back(void **state)
{
    (void)state;
    struct sent f = {0}, s = {0}, t = {0};
    struct wire_fetch fetch;
    put_fetch(&f.bytes, &(struct wire_fetch){.from = 5});
    assert_int_equal(get_fetch(arrive(&f, WIRE_DIALS, WIRE_FETCH), &fetch), ERR_OK);
    assert_int_equal(fetch.from, 5);
    sent_free(&f);

    struct wire_entries was = {.first = 5, .n = FETCH_ENTRIES}, is;
    for (size_t i = 0; i < FETCH_ENTRIES; i++)
        was.at[i] = (struct wire_entry){i, (uint8_t)(1 + i % 3), slice_of("abcdef", i % 7)};
    put_entries(&s.bytes, &was);
    assert_int_equal(get_entries(arrive(&s, WIRE_DIALS, WIRE_ENTRIES), &is), ERR_OK);
    assert_true(is.first == 5 && is.n == FETCH_ENTRIES);
    for (size_t i = 0; i < FETCH_ENTRIES; i++) {
        assert_true(is.at[i].type == was.at[i].type && is.at[i].term == was.at[i].term);
        assert_true(slice_equal(is.at[i].bytes, was.at[i].bytes));
    }
    sent_free(&s);

    struct wire_whole whole;
    put_whole(&t.bytes, &(struct wire_whole){.index = 12, .voters = SLICE("v"), .map = SLICE("m")});
    assert_int_equal(get_whole(arrive(&t, WIRE_ANSWERS, WIRE_WHOLE), &whole), ERR_OK);
    assert_true(whole.index == 12 && whole.voters.n == 1 && whole.map.n == 1);
    sent_free(&t);
}

static void a_type_of_entry_that_is_none_is_refused(void **state)
{
    (void)state;
    for (unsigned type = 0; type <= 4; type += 4) {
        struct sent s = {0};
        struct wire_entries was = {.first = 5, .n = 1}, is;
        was.at[0] = (struct wire_entry){1, (uint8_t)type, SLICE("x")};
        put_entries(&s.bytes, &was);
        assert_int_equal(get_entries(arrive(&s, WIRE_DIALS, WIRE_ENTRIES), &is), ERR_RANGE);
        sent_free(&s);
    }
}

static void a_report_comes_back_and_its_slots_are_slots(void **state)
{
    (void)state;
    struct word_position at[3] = {{0, {1, 0}}, {SLOTS - 1, {UINT64_MAX, UINT64_MAX}}, {SLOTS, {1, 1}}};
    for (size_t n = 0; n <= 3; n++) {
        struct sent s = {0};
        struct wire_report is;
        put_report(&s.bytes, &(struct wire_report){77, 4, 3, 2, n, at});
        enum err e = get_report(arrive(&s, WIRE_DIALS, WIRE_REPORT), &is);
        assert_int_equal(e, n < 3 ? ERR_OK : ERR_RANGE);
        if (e == ERR_OK) {
            assert_true(is.base == 77 && is.incarnation == 4 && is.clean_since == 3 && is.data_since == 2 &&
                        is.n == n);
            for (size_t i = 0; i < n; i++)
                assert_true(is.at[i].slot == at[i].slot && is.at[i].at.epoch == at[i].at.epoch &&
                            is.at[i].at.seq == at[i].at.seq);
            mem_free(is.at);
        }
        sent_free(&s);
    }
}

UNIT_TESTS("wire_control", TEST(joining_comes_back, "JOIN and JOINED come back as they were put (W2)"),
           TEST(meeting_comes_back, "MEET and MET come back, in their range (W2)"),
           TEST(addresses_come_back, "where a member is reached comes back as it went"),
           TEST(proposals_come_back, "PROPOSE and PROPOSED come back as they were put (W2)"),
           TEST(the_log_comes_back, "entries and the whole map come back as they were put (W2)"),
           TEST(a_type_of_entry_that_is_none_is_refused, "a type of entry that is none is refused (W3)"),
           TEST(a_report_comes_back_and_its_slots_are_slots, "a report comes back, and its slots are slots (W2, W3)"))

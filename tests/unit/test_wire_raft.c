/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire/wire_raft.h"

#include "base/bounds.h"
#include "base/rng.h"
#include "tests/lib/unit.h"

static struct raft_peer peer_of(uint8_t node, uint8_t data)
{
    return (struct raft_peer){.node.b = {[0] = 250, [19] = node}, .data.b = {[0] = data, [15] = 9}};
}

/* One message of each type, every field with a value of its own. */
static struct raft_msg sample(enum raft_msg_type type, const struct raft_entry *entries, size_t n)
{
    struct raft_msg m = {.type = type, .from = peer_of(1, 2), .to = peer_of(3, 4), .term = UINT64_MAX};
    switch (type) {
    case RAFT_MSG_PREVOTE:
    case RAFT_MSG_VOTE:
        m.vote.campaign = 11;
        m.vote.last_index = 12;
        m.vote.last_term = 13;
        m.vote.transfer = true;
        break;
    case RAFT_MSG_PREVOTE_ANSWER:
    case RAFT_MSG_VOTE_ANSWER:
        m.vote_answer.campaign = 14;
        m.vote_answer.granted = true;
        break;
    case RAFT_MSG_APPEND:
        m.append.prev_index = 15;
        m.append.prev_term = 16;
        m.append.commit = 17;
        m.append.entries = entries;
        m.append.n = n;
        break;
    case RAFT_MSG_APPEND_ANSWER:
        m.append_answer.refused = true;
        m.append_answer.match = 18;
        m.append_answer.prev_index = 19;
        m.append_answer.hint_index = 20;
        m.append_answer.hint_term = 21;
        break;
    case RAFT_MSG_SNAPSHOT:
        m.snapshot.index = 22;
        m.snapshot.term = 23;
        m.snapshot.voters = (struct raft_voters){.n = 2, .at = {peer_of(5, 6), peer_of(7, 8)}};
        m.snapshot.size = 24;
        m.snapshot.crc = UINT32_MAX;
        m.snapshot.offset = 24 - 5;
        m.snapshot.bytes = SLICE("bytes");
        break;
    case RAFT_MSG_SNAPSHOT_ANSWER:
        m.snapshot_answer.index = 26;
        m.snapshot_answer.offset = 27;
        break;
    case RAFT_MSG_TIMEOUT_NOW:
    case RAFT_MSG_TYPES: break;
    }
    return m;
}

struct post {
    struct chain bytes;
    char *text;
    size_t n;
    struct wire_reader reader;
    struct wire_in in;
};

static void post_open(struct post *p)
{
    size_t used;
    p->n = p->bytes.n;
    p->text = mem_get(p->n + 1);
    chain_copy(&p->bytes, p->text, p->n);
    p->reader = (struct wire_reader){.from = WIRE_ANSWERS, .open = true};
    assert_int_equal(wire_next(&p->reader, slice_of(p->text, p->n), &p->in, &used), WIRE_FRAME);
    assert_int_equal(used, p->n);
    assert_true(wire_is_raft(p->in.type));
}

static void post_free(struct post *p)
{
    chain_free(&p->bytes, NULL);
    wire_reader_free(&p->reader);
    mem_free(p->text);
}

static const struct raft_entry two[] = {{5, RAFT_ENTRY_NOOP, {0}}, {6, RAFT_ENTRY_OWNER, SLICE("a\r\n$b")}};

static const enum wire_type rows[RAFT_MSG_TYPES] = {
    [RAFT_MSG_PREVOTE] = WIRE_RAFT_PREVOTE,   [RAFT_MSG_PREVOTE_ANSWER] = WIRE_RAFT_PREVOTE_ANSWER,
    [RAFT_MSG_VOTE] = WIRE_RAFT_VOTE,         [RAFT_MSG_VOTE_ANSWER] = WIRE_RAFT_VOTE_ANSWER,
    [RAFT_MSG_APPEND] = WIRE_RAFT_APPEND,     [RAFT_MSG_APPEND_ANSWER] = WIRE_RAFT_APPEND_ANSWER,
    [RAFT_MSG_SNAPSHOT] = WIRE_RAFT_SNAPSHOT, [RAFT_MSG_SNAPSHOT_ANSWER] = WIRE_RAFT_SNAPSHOT_ANSWER,
    [RAFT_MSG_TIMEOUT_NOW] = WIRE_RAFT_TIMEOUT_NOW};

/* Equal messages have equal bytes, and these were read back. */
static void every_message_comes_back_as_it_was(void **state)
{
    (void)state;
    for (enum raft_msg_type type = RAFT_MSG_PREVOTE; type < RAFT_MSG_TYPES; type++) {
        struct post p = {0}, again = {0};
        struct raft_msg was = sample(type, two, 2), is;
        put_raft(&p.bytes, &was);
        post_open(&p);
        assert_int_equal(p.in.type, rows[type]);
        assert_int_equal(get_raft(&p.in, &is), ERR_OK);
        assert_int_equal(is.type, type);
        assert_true(is.term == was.term && raft_peer_equal(&is.from, &was.from) && raft_peer_equal(&is.to, &was.to));
        put_raft(&again.bytes, &is);
        post_open(&again);
        assert_int_equal(again.n, p.n);
        assert_memory_equal(again.text, p.text, p.n);
        free_raft(&is);
        post_free(&p);
        post_free(&again);
    }
}

static void fields_arrive_in_their_places(void **state)
{
    (void)state;
    struct post p = {0};
    struct raft_msg was = sample(RAFT_MSG_APPEND, two, 2), m;
    put_raft(&p.bytes, &was);
    post_open(&p);
    assert_int_equal(get_raft(&p.in, &m), ERR_OK);
    assert_true(m.append.prev_index == 15 && m.append.prev_term == 16 && m.append.commit == 17 && m.append.n == 2);
    assert_slice(m.append.entries[1].bytes, "a\r\n$b");
    assert_int_equal(m.append.entries[0].type, RAFT_ENTRY_NOOP);
    free_raft(&m);
    post_free(&p);

    struct post q = {0};
    was = sample(RAFT_MSG_SNAPSHOT, NULL, 0);
    put_raft(&q.bytes, &was);
    post_open(&q);
    assert_int_equal(get_raft(&q.in, &m), ERR_OK);
    assert_true(m.snapshot.index == 22 && m.snapshot.size == 24 && m.snapshot.offset == 19);
    assert_true(m.snapshot.voters.n == 2 && raft_peer_equal(&m.snapshot.voters.at[1], &was.snapshot.voters.at[1]));
    assert_slice(m.snapshot.bytes, "bytes");
    post_free(&q);
}

static void the_greatest_append_fits(void **state)
{
    (void)state;
    static struct raft_entry many[RAFT_APPEND_BYTES / RAFT_ENTRY_COST];
    size_t n = sizeof(many) / sizeof(*many);
    for (size_t i = 0; i < n; i++)
        many[i] = (struct raft_entry){7, RAFT_ENTRY_OWNER, {0}};
    struct post p = {0};
    struct raft_msg was = sample(RAFT_MSG_APPEND, many, n), m;
    put_raft(&p.bytes, &was);
    post_open(&p);
    assert_int_equal(get_raft(&p.in, &m), ERR_OK);
    assert_int_equal(m.append.n, n);
    free_raft(&m);
    post_free(&p);
}

/* A digit or a letter changed anywhere: another message or none, never a crash or a leak. */
static void a_changed_byte_is_read_strictly(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 5);
    unsigned refused = 0, read = 0;
    for (int round = 0; round < 3000; round++) {
        struct post p = {0};
        struct raft_msg m = sample((enum raft_msg_type)(1 + rng_below(&rng, RAFT_MSG_TYPES - 1)), two, 2);
        put_raft(&p.bytes, &m);
        p.n = p.bytes.n;
        p.text = mem_get(p.n + 1);
        chain_copy(&p.bytes, p.text, p.n);
        p.text[rng_below(&rng, p.n)] = (char)rng_below(&rng, 256);
        p.reader = (struct wire_reader){.from = WIRE_ANSWERS, .open = true};
        size_t used;
        if (wire_next(&p.reader, slice_of(p.text, p.n), &p.in, &used) == WIRE_FRAME && wire_is_raft(p.in.type) &&
            get_raft(&p.in, &m) == ERR_OK) {
            read++;
            assert_true(m.type != RAFT_MSG_SNAPSHOT || m.snapshot.offset <= m.snapshot.size);
            free_raft(&m);
        } else {
            refused++;
        }
        post_free(&p);
    }
    assert_true(refused > 500 && read > 100);
}

UNIT_TESTS("wire_raft",
           TEST(every_message_comes_back_as_it_was, "every message comes back as it was, under its own name (W2)"),
           TEST(fields_arrive_in_their_places, "fields arrive in their places (W2)"),
           TEST(the_greatest_append_fits, "the greatest VONG.RAFT.APPEND fits into a frame"),
           TEST(a_changed_byte_is_read_strictly, "a changed byte is another message or a refusal (W3)"))

/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire/wire_repl.h"

#include "tests/lib/unit.h"

static struct repl_read storage;

/* There and back; the message as it was read. */
static enum err travel(const struct repl_message *m, enum wire_type type, struct repl_message *back, uint32_t *at)
{
    static char text[256 * 1024];
    static struct wire_reader reader;
    struct chain bytes = {0};
    struct wire_in in;
    size_t used = 0;
    wire_reader_free(&reader);
    reader = (struct wire_reader){.from = type >= WIRE_REPL_SYNC ? WIRE_ANSWERS : WIRE_DIALS, .open = true};
    put_repl(&bytes, m);
    size_t n = chain_copy(&bytes, text, sizeof(text));
    assert_int_equal(n, bytes.n);
    chain_free(&bytes, NULL);
    assert_int_equal(wire_next(&reader, slice_of(text, n), &in, &used), WIRE_FRAME);
    assert_int_equal(used, n);
    assert_int_equal(in.type, type);
    enum err err = get_repl(&in, back, &storage);
    *at = in.at;
    return err;
}

static struct repl_message comes_back(const struct repl_message *m, enum wire_type type)
{
    struct repl_message back;
    uint32_t at;
    assert_int_equal(travel(m, type, &back, &at), ERR_OK);
    assert_int_equal(back.type, m->type);
    return back;
}

static void rounds_come_back(void **state)
{
    (void)state;
    static struct repl_round rounds[REPL_ITEMS];
    static const struct { enum repl_message_type type; enum wire_type wire; } kinds[] = {
        {REPL_FROM, WIRE_REPL_FROM}, {REPL_JOINED, WIRE_REPL_JOINED}, {REPL_JOINS, WIRE_REPL_JOINS},
        {REPL_OFFER, WIRE_REPL_OFFER}, {REPL_COMPARE, WIRE_REPL_COMPARE}};
    for (unsigned i = 0; i < REPL_ITEMS; i++)
        rounds[i] = (struct repl_round){(uint16_t)(SLOTS - 1 - i), (uint64_t)INT64_MAX - i, UINT32_MAX - i};
    for (unsigned k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        struct repl_message m = {.type = kinds[k].type, .lsn = UINT64_MAX, .map = 7, .n = REPL_ITEMS, .rounds = rounds};
        struct repl_message back = comes_back(&m, kinds[k].wire);
        assert_int_equal(back.n, REPL_ITEMS);
        for (unsigned i = 0; i < REPL_ITEMS; i++)
            assert_true(back.rounds[i].slot == rounds[i].slot && back.rounds[i].epoch == rounds[i].epoch &&
                        back.rounds[i].round == rounds[i].round);
        assert_true(m.type != REPL_JOINED || (back.lsn == UINT64_MAX && back.map == 7));
    }
}

static void positions_come_back(void **state)
{
    (void)state;
    static struct repl_where wheres[REPL_ITEMS];
    for (unsigned i = 0; i < REPL_ITEMS; i++)
        wheres[i] = (struct repl_where){{(uint16_t)i, i + 1, i + 2}, {i, INT64_MAX}};
    struct repl_message m = {.type = REPL_SYNC, .n = REPL_ITEMS, .wheres = wheres};
    struct repl_message back = comes_back(&m, WIRE_REPL_SYNC);
    assert_int_equal(back.n, REPL_ITEMS);
    for (unsigned i = 0; i < REPL_ITEMS; i++)
        assert_true(back.wheres[i].in.slot == i && back.wheres[i].in.epoch == i + 1 && back.wheres[i].in.round == i + 2 &&
                    back.wheres[i].at.epoch == i && back.wheres[i].at.seq == INT64_MAX);
}

static void records_and_acks_come_back(void **state)
{
    (void)state;
    struct repl_message m = {.type = REPL_APPEND, .append = {.lsn = 9, .slot = 16383, .epoch = 4, .before_epoch = 3,
                                                             .bytes = SLICE("#V ...\r\n*1\r\n")}};
    struct repl_message back = comes_back(&m, WIRE_REPL_APPEND);
    assert_true(back.append.lsn == 9 && back.append.slot == 16383 && back.append.epoch == 4 &&
                back.append.before_epoch == 3 && slice_equal(back.append.bytes, m.append.bytes));
    m = (struct repl_message){.type = REPL_ACK, .ack = {.held = UINT64_MAX, .synced = 5, .has_no_log = true, .leased = true}};
    back = comes_back(&m, WIRE_REPL_ACK);
    assert_true(back.ack.held == UINT64_MAX && back.ack.synced == 5 && back.ack.has_no_log && back.ack.leased && !back.ack.grows);
    m.ack = (struct repl_ack){.grows = true};
    back = comes_back(&m, WIRE_REPL_ACK);
    assert_true(back.ack.grows && !back.ack.has_no_log && !back.ack.leased && !back.ack.full && back.ack.wants == 0);
    m.ack = (struct repl_ack){.full = true, .wants = UINT64_MAX, .dumps = 7};
    back = comes_back(&m, WIRE_REPL_ACK);
    assert_true(back.ack.full && back.ack.wants == UINT64_MAX && back.ack.dumps == 7 && !back.ack.grows);
    struct chain parts = {0};
    chain_put(&parts, SLICE("#V ..."));
    chain_put(&parts, SLICE("\r\n*1\r\n"));
    m = (struct repl_message){.type = REPL_APPEND, .append = {.lsn = 9, .slot = 7, .epoch = 4, .parts = &parts}};
    back = comes_back(&m, WIRE_REPL_APPEND);
    assert_true(back.append.lsn == 9 && slice_equal(back.append.bytes, SLICE("#V ...\r\n*1\r\n")));
    chain_free(&parts, NULL);
    m = (struct repl_message){.type = REPL_ALIVE, .lsn = 77};
    assert_int_equal(comes_back(&m, WIRE_REPL_ALIVE).lsn, 77);
    m = (struct repl_message){.type = REPL_LEAVING, .text = SLICE("disk")};
    assert_true(slice_equal(comes_back(&m, WIRE_REPL_LEAVING).text, SLICE("disk")));
}

static void dumps_come_back(void **state)
{
    (void)state;
    struct epoch_start starts[LINEAGE_EPOCHS];
    for (unsigned i = 0; i < LINEAGE_EPOCHS; i++)
        starts[i] = (struct epoch_start){i + 3, i + 1};
    struct repl_message m = {.type = REPL_DUMP, .dump = {.in = {5, 6, 7}, .part = 3, .bytes = SLICE("x")}};
    struct repl_message back = comes_back(&m, WIRE_REPL_DUMP);
    assert_true(back.dump.in.slot == 5 && back.dump.in.epoch == 6 && back.dump.in.round == 7 && back.dump.part == 3 &&
                slice_equal(back.dump.bytes, SLICE("x")));
    m = (struct repl_message){.type = REPL_DUMPED, .dumped = {.in = {5, 6, 7}, .parts = 4, .bytes = SLICE("y"), .at = {66, 64},
                                                             .starts_n = LINEAGE_EPOCHS, .starts = starts}};
    back = comes_back(&m, WIRE_REPL_DUMPED);
    assert_true(back.dumped.parts == 4 && slice_equal(back.dumped.bytes, SLICE("y")) && back.dumped.at.epoch == 66 && back.dumped.at.seq == 64);
    assert_int_equal(back.dumped.starts_n, LINEAGE_EPOCHS);
    assert_memory_equal(back.dumped.starts, starts, sizeof(starts));
    m = (struct repl_message){.type = REPL_PULL, .pull = {.in = {5, 6, 7}, .parts = 8}};
    back = comes_back(&m, WIRE_REPL_PULL);
    assert_true(back.pull.in.slot == 5 && back.pull.in.epoch == 6 && back.pull.in.round == 7 && back.pull.parts == 8);
}

static void digests_come_back(void **state)
{
    (void)state;
    struct repl_message m = {.type = REPL_DIGEST, .digest = {.in = {5, 6, 7}, .number = 8, .at = {9, 10}, .key = {UINT64_MAX, 12}}};
    struct repl_message back = comes_back(&m, WIRE_REPL_DIGEST);
    assert_true(repl_round_is(&back.digest.in, &m.digest.in) && back.digest.number == 8 && back.digest.at.epoch == 9 &&
                back.digest.at.seq == 10 && back.digest.key.k0 == UINT64_MAX && back.digest.key.k1 == 12);
    m = (struct repl_message){.type = REPL_DIGESTED, .digested = {.in = {5, 6, 7}, .number = 8, .has = true, .sum = {1, UINT64_MAX}}};
    back = comes_back(&m, WIRE_REPL_DIGESTED);
    assert_true(repl_round_is(&back.digested.in, &m.digested.in) && back.digested.number == 8 && back.digested.has &&
                back.digested.sum[0] == 1 && back.digested.sum[1] == UINT64_MAX);
    m = (struct repl_message){.type = REPL_BAD, .bad = {.in = {5, 6, 7}, .map = 13}};
    back = comes_back(&m, WIRE_REPL_BAD);
    assert_true(repl_round_is(&back.bad.in, &m.bad.in) && back.bad.map == 13);
}

/* The second field of what is told is beyond its range. */
static void what_is_out_of_range_is_named(void **state)
{
    (void)state;
    struct repl_message back, m = {.type = REPL_ACK, .ack = {.held = 5, .synced = 6}};
    uint32_t at;
    assert_int_equal(travel(&m, WIRE_REPL_ACK, &back, &at), ERR_RANGE);
    assert_int_equal(at, 2);
    m = (struct repl_message){.type = REPL_APPEND, .append = {.slot = SLOTS, .bytes = SLICE("")}};
    assert_int_equal(travel(&m, WIRE_REPL_APPEND, &back, &at), ERR_RANGE);
    assert_int_equal(at, 2);
    repl_read_free(&storage);
}

UNIT_TESTS("wire_repl",
           TEST(rounds_come_back, "FROM, JOINED, JOINS, OFFER and COMPARE come back as they were"),
           TEST(positions_come_back, "SYNC comes back as it was"),
           TEST(records_and_acks_come_back, "APPEND, ACK, ALIVE and LEAVING come back as they were"),
           TEST(dumps_come_back, "DUMP, DUMPED and PULL come back as they were"),
           TEST(digests_come_back, "DIGEST, DIGESTED and BAD come back as they were"),
           TEST(what_is_out_of_range_is_named, "a slot beyond the last, and more synced than held, are refused (W3)"))

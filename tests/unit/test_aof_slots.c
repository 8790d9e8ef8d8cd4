/* SPDX-License-Identifier: BSD-3-Clause */

/* The log of a cluster's node read back: what fits, what is passed over, what freezes. */
#include "tests/lib/load.h"

#include "base/mem.h"
#include "base/vec.h"
#include "persist/record.h"
#include "tests/lib/unit.h"

struct bytes {
    struct chain chain;
    char *p;
};

static void mark(struct chain *to, const char *command)
{
    struct chain body = {0};
    chain_put(&body, slice_str(command));
    record_put(to, 0, (struct position){0, 0}, &body);
    chain_free(&body, NULL);
}

static void epoch(struct chain *to, const char *number)
{
    char text[128];
    snprintf(text, sizeof(text), "*4\r\n$10\r\nVONG.EPOCH\r\n$%zu\r\n%s\r\n$1\r\n0\r\n$5\r\n16383\r\n", strlen(number),
             number);
    mark(to, text);
}

static void set(struct chain *to, unsigned slot, uint64_t e, uint64_t seq, char value)
{
    char text[] = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\n?\r\n";
    struct chain body = {0};
    text[sizeof(text) - 4] = value;
    chain_put(&body, slice_str(text));
    record_put(to, slot, (struct position){e, seq}, &body);
    chain_free(&body, NULL);
}

static struct slice taken(struct bytes *b)
{
    b->p = mem_get(b->chain.n + 1);
    size_t n = chain_copy(&b->chain, b->p, b->chain.n);
    chain_free(&b->chain, NULL);
    return slice_of(b->p, n);
}

static void a_record_tells_its_first_key(void **state)
{
    (void)state;
    static const char *const none[] = {"*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n*1\r\n$4\r\nEXEC\r\n",
                                       "*2\r\n$3\r\nDEL\r\n$9\r\nk\r\n", "GET k\r\n", ""};
    struct bytes b = {{0}, NULL};
    struct slice key = {0};
    set(&b.chain, 7, 3, 1, 'v');
    assert_true(aof_first_key(taken(&b), &key));
    assert_slice(key, "k");
    mem_free(b.p);
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        struct chain body = {0};
        chain_put(&body, slice_str(none[i]));
        record_put(&b.chain, 7, (struct position){3, 1}, &body);
        chain_free(&body, NULL);
        assert_false(aof_first_key(taken(&b), &key));
        mem_free(b.p);
    }
    assert_false(aof_first_key(SLICE("#V 7"), &key));
}

struct read {
    struct loaded l;
    struct lineage *slots;
};

static struct read read_back(const struct load_file *files, size_t n)
{
    struct read r = {.slots = lineages_new(SLOTS)};
    struct aof_options o = {.dbs_n = 1, .slots = r.slots, .cut_torn = true, .dir = "dir"};
    r.l = load_files_as(&o, files, n, 7, 3);
    return r;
}

static void read_free(struct read *r)
{
    loaded_free(&r->l);
    lineages_free(r->slots, SLOTS);
}

static void what_succeeds_is_applied_and_a_gap_freezes_its_slot(void **state)
{
    (void)state;
    struct bytes log = {0};
    epoch(&log.chain, "3");
    set(&log.chain, 5, 3, 1, 'a');
    set(&log.chain, 6, 3, 1, 'b');
    set(&log.chain, 5, 3, 3, 'c'); /* 2 is missing */
    set(&log.chain, 5, 3, 4, 'd');
    set(&log.chain, 6, 3, 2, 'e');
    set(&log.chain, 6, 4, 3, 'f'); /* an epoch that begins with it, as at a replica */
    struct load_file file = {"log.1.incr.aof", false, taken(&log)};
    struct read r = read_back(&file, 1);
    assert_int_equal(r.l.verdict, AOF_WHOLE);
    assert_string_equal(r.l.text, "0 SET k a\n0 SET k b\n0 SET k e\n0 SET k f\n");
    assert_true(r.slots[5].frozen && r.slots[5].at.seq == 1);
    assert_true(!r.slots[6].frozen && r.slots[6].at.epoch == 4 && r.slots[6].at.seq == 3);
    assert_false(r.slots[7].frozen);
    read_free(&r);
    mem_free(log.p);
}

static void what_the_base_has_is_passed_over(void **state)
{
    (void)state;
    struct bytes base = {0}, log = {0};
    struct chain body = {0};
    note_put_base(&base.chain, 0, (struct position){0, 0});
    chain_put(&body, SLICE("*8\r\n$9\r\nVONG.SLOT\r\n$1\r\n5\r\n$1\r\n4\r\n$1\r\n3\r\n$1\r\n3\r\n$1\r\n1\r\n$1\r\n4\r\n$1\r\n3\r\n"
                           "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nB\r\n"));
    note_put_chunk(&base.chain, base.chain.n, &body);
    chain_free(&body, NULL);
    note_put_end(&base.chain, base.chain.n);
    epoch(&log.chain, "3");
    set(&log.chain, 5, 3, 1, 'a');
    set(&log.chain, 5, 3, 2, 'b');
    epoch(&log.chain, "4");
    set(&log.chain, 5, 4, 3, 'c');
    set(&log.chain, 5, 4, 4, 'd'); /* behind the base */
    struct load_file files[] = {{"log.1.base.aof", true, taken(&base)}, {"log.1.incr.aof", false, taken(&log)}};
    struct read r = read_back(files, 2);
    assert_int_equal(r.l.verdict, AOF_WHOLE);
    assert_string_equal(r.l.text, "0 SET k B\n0 SET k d\n");
    assert_true(r.slots[5].at.epoch == 4 && r.slots[5].at.seq == 4 && r.slots[5].starts_n == 2);
    assert_false(r.slots[5].frozen);
    assert_true(r.slots[5].logged == 3 && r.slots[5].turns == 0); /* it has those before, too, but who would know? */
    read_free(&r);
    struct loaded alone = load_files(files, 2, 50, 9);
    assert_int_equal(alone.verdict, AOF_REFUSED);
    assert_non_null(strstr(alone.r.text, "set cluster-enabled yes"));
    loaded_free(&alone);
    mem_free(base.p);
    mem_free(log.p);
}

static void a_tail_lost_to_the_byte_is_noticed(void **state)
{
    (void)state;
    struct bytes first = {0}, second = {0};
    epoch(&first.chain, "3");
    set(&first.chain, 5, 3, 1, 'a');
    size_t kept = first.chain.n;
    set(&first.chain, 6, 3, 1, 'b');
    note_put_forerunner(&second.chain, first.chain.n);
    set(&second.chain, 5, 3, 2, 'c'); /* would fit, but what was before it is gone */
    struct load_file files[] = {{"log.1.incr.aof", false, taken(&first)}, {"log.2.incr.aof", false, taken(&second)}};
    struct read r = read_back(files, 2);
    assert_int_equal(r.l.verdict, AOF_WHOLE);
    assert_string_equal(r.l.text, "0 SET k a\n0 SET k b\n0 SET k c\n");
    read_free(&r);
    files[0].bytes.n = kept;
    r = read_back(files, 2);
    assert_int_equal(r.l.verdict, AOF_CUT);
    assert_true(r.l.r.bad_file == 1 && r.l.r.bad_offset == 0);
    assert_string_equal(r.l.text, "0 SET k a\n");
    read_free(&r);
    mem_free(first.p);
    mem_free(second.p);
}

static void ends_and_losses_are_told_until_something_follows(void **state)
{
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        struct bytes log = {0};
        epoch(&log.chain, "3");
        note_put_lost(&log.chain, 100);
        note_put_lost(&log.chain, 20);
        if (kind == 1)
            note_put_lost(&log.chain, 0);
        note_put_end(&log.chain, log.chain.n);
        if (kind == 2)
            set(&log.chain, 5, 3, 1, 'a');
        if (kind == 3)
            note_put_durable(&log.chain, 0);
        struct load_file file = {"log.1.incr.aof", false, taken(&log)};
        struct read r = read_back(&file, 1);
        assert_int_equal(r.l.verdict, AOF_WHOLE);
        assert_int_equal(r.l.r.lost_bytes, kind == 1 ? 0 : 120);
        assert_int_equal(r.l.r.is_clean, kind < 2);
        read_free(&r);
        mem_free(log.p);
    }
}

static void marks_that_are_none_refuse_the_start(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "*3\r\n$10\r\nVONG.EPOCH\r\n$1\r\n3\r\n$1\r\n0\r\n",
        "*4\r\n$10\r\nVONG.EPOCH\r\n$1\r\n3\r\n$1\r\n2\r\n$1\r\n1\r\n",
        "*4\r\n$10\r\nVONG.FENCE\r\n$1\r\n3\r\n$1\r\n2\r\n$5\r\n16384\r\n",
        "*4\r\n$9\r\nVONG.SLOT\r\n$1\r\n3\r\n$1\r\n2\r\n$1\r\n1\r\n",
        "*6\r\n$9\r\nVONG.SLOT\r\n$1\r\n3\r\n$1\r\n2\r\n$1\r\n9\r\n$1\r\n3\r\n$1\r\n1\r\n",
        "*2\r\n$12\r\nVONG.CLUSTER\r\n$1\r\n1\r\n",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct bytes log = {0};
        mark(&log.chain, wrong[i]);
        struct load_file file = {"log.1.incr.aof", false, taken(&log)};
        struct read r = read_back(&file, 1);
        assert_int_equal(r.l.verdict, AOF_REFUSED);
        read_free(&r);
        mem_free(log.p);
    }
}

static void a_lone_log_is_told_from_a_clusters(void **state)
{
    (void)state;
    struct bytes log = {0};
    set(&log.chain, 0, 1, 1, 'a');
    set(&log.chain, 0, 1, 2, 'b');
    struct load_file file = {"log.1.incr.aof", false, taken(&log)};
    struct read r = read_back(&file, 1);
    assert_int_equal(r.l.verdict, AOF_WHOLE);
    assert_int_equal(r.l.r.form, AOF_FORM_LONE);
    assert_int_equal(r.l.r.alone.at.seq, 2);
    assert_string_equal(r.l.text, "0 SET k a\n0 SET k b\n");
    read_free(&r);
    mem_free(log.p);
}

/* Slot 5 is `content` as of (4, 7), behind epochs 2 and 4; seq "0": it is empty. */
static void dump(struct chain *to, const char *seq, const char *content, const char *starts)
{
    char text[512];
    unsigned words = starts[0] == '\0' ? 5 : 9;
    snprintf(text, sizeof(text), "*%u\r\n$9\r\nVONG.DUMP\r\n$1\r\n5\r\n$1\r\n%s\r\n$1\r\n%s\r\n$%zu\r\n%s\r\n%s", words,
             seq[0] == '0' ? "0" : "4", seq, strlen(content), content, starts);
    mark(to, text);
}

static const char two_sets[] = "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$1\r\n2\r\n";
static const char two_starts[] = "$1\r\n2\r\n$1\r\n1\r\n$1\r\n4\r\n$1\r\n5\r\n";

static void a_dump_replaces_content_position_and_history(void **state)
{
    (void)state;
    struct bytes log = {0};
    epoch(&log.chain, "3");
    set(&log.chain, 5, 3, 1, 'a');
    set(&log.chain, 5, 3, 9, 'b'); /* a gap: frozen */
    dump(&log.chain, "7", two_sets, two_starts);
    set(&log.chain, 5, 4, 8, 'c');
    set(&log.chain, 6, 3, 1, 'd');
    struct load_file file = {"log.1.incr.aof", false, taken(&log)};
    struct read r = read_back(&file, 1);
    assert_int_equal(r.l.verdict, AOF_WHOLE);
    assert_string_equal(r.l.text, "0 SET k a\n0 VONG.FLUSHSLOT 5\n0 SET a 1\n0 SET b 2\n0 SET k c\n0 SET k d\n");
    const struct lineage *l = &r.slots[5];
    assert_true(!l->frozen && l->at.epoch == 4 && l->at.seq == 8 && l->starts_n == 2);
    assert_true(l->logged == 7 && l->turns == 1); /* 8 may be read back, behind the dump */
    assert_true(l->starts[0].epoch == 2 && l->starts[0].first == 1 && l->starts[1].epoch == 4 && l->starts[1].first == 5);
    read_free(&r);
    mem_free(log.p);
}

static struct slice mark_alone(struct bytes *b, const char *command)
{
    mark(&b->chain, command);
    return taken(b);
}

/* Where what a log says before a mark is no history of these slots (lineage.h). */
static void marks_tell_where_histories_turn(void **state)
{
    (void)state;
    static const struct {
        const char *command;
        int from, to; /* -1: nowhere */
    } marks[] = {{"*6\r\n$9\r\nVONG.SLOT\r\n$1\r\n7\r\n$1\r\n0\r\n$1\r\n1\r\n$1\r\n0\r\n$1\r\n1\r\n", 7, 7},
                 {"*5\r\n$9\r\nVONG.DUMP\r\n$4\r\n7000\r\n$1\r\n0\r\n$1\r\n0\r\n$0\r\n\r\n", 7000, 7000},
                 {"*7\r\n$10\r\nVONG.PARTS\r\n$2\r\n12\r\n$1\r\n4\r\n$1\r\n6\r\n$1\r\n1\r\n$1\r\n4\r\n$1\r\n5\r\n", 12, 12},
                 {"*3\r\n$9\r\nVONG.DROP\r\n$1\r\n3\r\n$5\r\n16383\r\n", 3, SLOTS - 1},
                 {"*1\r\n$12\r\nVONG.CLUSTER\r\n", 0, SLOTS - 1},
                 {"*4\r\n$10\r\nVONG.EPOCH\r\n$1\r\n4\r\n$1\r\n0\r\n$1\r\n9\r\n", -1, -1},
                 {"*4\r\n$10\r\nVONG.FENCE\r\n$1\r\n4\r\n$1\r\n0\r\n$1\r\n9\r\n", -1, -1},
                 {"*5\r\n$9\r\nVONG.PART\r\n$1\r\n0\r\n$1\r\n5\r\n$1\r\n0\r\n$0\r\n\r\n", -1, -1},
                 {"*3\r\n$9\r\nVONG.DROP\r\n$1\r\n3\r\n$5\r\n16384\r\n", -1, -1},
                 {"*2\r\n$9\r\nVONG.DUMP\r\n$1\r\nx\r\n", -1, -1},
                 {"*1\r\n$9\r\nVONG.DROP\r\n", -1, -1}};
    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        struct bytes b = {0};
        unsigned from, to;
        bool is_turn = aof_turns(mark_alone(&b, marks[i].command), &from, &to);
        assert_true(is_turn == (marks[i].from >= 0));
        assert_true(!is_turn || ((int)from == marks[i].from && (int)to == marks[i].to));
        mem_free(b.p);
    }
}

static void an_empty_dump_empties_its_slot_but_for_the_fence(void **state)
{
    (void)state;
    struct bytes log = {0};
    epoch(&log.chain, "3");
    mark(&log.chain, "*4\r\n$10\r\nVONG.FENCE\r\n$1\r\n3\r\n$1\r\n5\r\n$1\r\n5\r\n");
    set(&log.chain, 5, 3, 1, 'a');
    dump(&log.chain, "0", "", "");
    struct load_file file = {"log.1.incr.aof", false, taken(&log)};
    struct read r = read_back(&file, 1);
    assert_int_equal(r.l.verdict, AOF_WHOLE);
    assert_string_equal(r.l.text, "0 SET k a\n0 VONG.FLUSHSLOT 5\n");
    assert_true(r.slots[5].at.seq == 0 && r.slots[5].starts_n == 0 && r.slots[5].fence == 3);
    read_free(&r);
    mem_free(log.p);
}

/* Without its end it is ignored, wherever it was cut. */
static void a_torn_dump_changes_nothing(void **state)
{
    (void)state;
    struct bytes log = {0};
    epoch(&log.chain, "3");
    set(&log.chain, 5, 3, 1, 'a');
    size_t whole = log.chain.n;
    dump(&log.chain, "7", two_sets, two_starts);
    size_t end = log.chain.n;
    struct load_file file = {"log.1.incr.aof", false, taken(&log)};
    for (size_t n = whole + 1; n < end; n++) {
        file.bytes.n = n;
        struct read r = read_back(&file, 1);
        assert_int_equal(r.l.verdict, AOF_CUT);
        assert_true(r.l.r.bad_offset == whole);
        assert_string_equal(r.l.text, "0 SET k a\n");
        assert_true(r.slots[5].at.epoch == 3 && r.slots[5].at.seq == 1 && r.slots[5].starts_n == 1);
        read_free(&r);
    }
    mem_free(log.p);
}

static void a_dump_that_is_none_refuses_the_start(void **state)
{
    (void)state;
    static const struct { const char *seq, *content, *starts; } wrong[] = {
        {"0", "", two_starts}, {"7", two_sets, ""}, {"9", "*1\r\n", two_starts}, {"3", "", two_starts}};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct bytes log = {0};
        dump(&log.chain, wrong[i].seq, wrong[i].content, wrong[i].starts);
        struct load_file file = {"log.1.incr.aof", false, taken(&log)};
        struct read r = read_back(&file, 1);
        assert_int_equal(r.l.verdict, AOF_REFUSED);
        read_free(&r);
        mem_free(log.p);
    }
}

UNIT_TESTS("aof_slots",
           TEST(a_record_tells_its_first_key, "the first key of a record is found without its crc; of none, nothing is"),
           TEST(a_dump_replaces_content_position_and_history,
                "a dump replaces what its slot held, its position and its history, and thaws it (replication 23, 25)"),
           TEST(marks_tell_where_histories_turn, "marks tell where a slot's history turns (R14)"),
           TEST(an_empty_dump_empties_its_slot_but_for_the_fence, "an empty dump empties its slot, but for the fence (20, 23)"),
           TEST(a_torn_dump_changes_nothing, "a dump that is cut off anywhere changes nothing (23)"),
           TEST(a_dump_that_is_none_refuses_the_start, "a dump that is not well-formed refuses the start"),
           TEST(what_succeeds_is_applied_and_a_gap_freezes_its_slot,
                "what succeeds its slot's position is applied, a gap freezes that slot alone (replication 25)"),
           TEST(what_the_base_has_is_passed_over, "what the base has is passed over, by slot (25)"),
           TEST(a_tail_lost_to_the_byte_is_noticed, "a tail lost to the byte before a switch is noticed (A3)"),
           TEST(ends_and_losses_are_told_until_something_follows,
                "end marks and losses are told, until something follows or they are settled (22)"),
           TEST(marks_that_are_none_refuse_the_start, "marks that are not well-formed refuse the start"),
           TEST(a_lone_log_is_told_from_a_clusters, "a lone log is told from a cluster's"))

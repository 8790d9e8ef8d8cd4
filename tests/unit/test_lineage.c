/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/repl/lineage.h"

#include "tests/lib/unit.h"

static void write(struct lineage *l, unsigned n)
{
    while (n-- > 0)
        lineage_next(l);
}

static struct position at(uint64_t epoch, uint64_t seq)
{
    return (struct position){epoch, seq};
}

/* Epochs 3 (seq 1 to 4), 5 (none), 6 (5 to 7), 9 (none yet). */
static struct lineage some(void)
{
    struct lineage l = {0};
    lineage_begin(&l, 3);
    write(&l, 4);
    lineage_begin(&l, 5);
    lineage_begin(&l, 6);
    write(&l, 3);
    lineage_begin(&l, 9);
    lineage_check(&l);
    return l;
}

static void seqs_go_on_across_epochs(void **state)
{
    (void)state;
    struct lineage l = some();
    assert_int_equal(l.at.epoch, 6);
    assert_int_equal(l.at.seq, 7);
    assert_int_equal(l.starts_n, 3); /* 5 is gone */
    struct position next = lineage_next(&l);
    assert_int_equal(next.epoch, 9);
    assert_int_equal(next.seq, 8);
    lineage_reset(&l);
}

static void a_history_knows_its_positions(void **state)
{
    (void)state;
    struct lineage l = some();
    assert_true(lineage_has(&l, at(0, 0)));
    assert_true(lineage_has(&l, at(3, 1)) && lineage_has(&l, at(3, 4)));
    assert_false(lineage_has(&l, at(3, 5))); /* there 6 had begun */
    assert_false(lineage_has(&l, at(5, 5)));
    assert_true(lineage_has(&l, at(6, 5)) && lineage_has(&l, at(6, 7)));
    assert_false(lineage_has(&l, at(6, 4)));
    assert_false(lineage_has(&l, at(6, 8)));
    assert_false(lineage_has(&l, at(9, 8)));
    lineage_reset(&l);
}

static void each_seq_has_an_epoch(void **state)
{
    (void)state;
    struct lineage l = some();
    assert_true(lineage_epoch_of(&l, 0) == 0 && lineage_epoch_of(&l, 1) == 3 && lineage_epoch_of(&l, 4) == 3);
    assert_true(lineage_epoch_of(&l, 5) == 6 && lineage_epoch_of(&l, 7) == 6);
    lineage_reset(&l);
}

static void turns_and_bases_bound_what_is_logged(void **state)
{
    (void)state;
    struct lineage l = some();
    struct epoch_start start = {9, 1};
    assert_true(l.logged == 0 && l.turns == 0);
    lineage_based(&l, 5, 0); /* as of a while ago */
    assert_true(l.logged == 5 && l.turns == 0);
    assert_true(lineage_set(&l, at(9, 20), &start, 1));
    assert_true(l.logged == 20 && l.turns == 1);
    write(&l, 3);
    lineage_based(&l, 7, 0); /* as of before the turn */
    assert_true(l.logged == 20 && l.turns == 1);
    lineage_based(&l, 22, 1);
    assert_true(l.logged == 22 && l.turns == 0);
    lineage_clear(&l);
    assert_true(l.logged == 0 && l.turns == 1);
    lineage_check(&l);
    lineage_reset(&l);
}

static void what_is_read_back_fits_or_not(void **state)
{
    (void)state;
    struct lineage l = some(), none = {0};
    assert_int_equal(lineage_fit(&l, at(9, 8)), LINEAGE_NEXT);
    assert_int_equal(lineage_fit(&l, at(9, 9)), LINEAGE_GAP);
    assert_int_equal(lineage_fit(&l, at(6, 8)), LINEAGE_NEXT); /* epoch 9 had no record: its primary was none (23) */
    assert_int_equal(lineage_fit(&l, at(10, 8)), LINEAGE_NEXT); /* an epoch that begins with it */
    assert_int_equal(lineage_fit(&l, at(6, 7)), LINEAGE_KNOWN);
    assert_int_equal(lineage_fit(&l, at(3, 1)), LINEAGE_KNOWN);
    assert_int_equal(lineage_fit(&l, at(4, 5)), LINEAGE_GAP); /* another lineage's */
    assert_int_equal(lineage_fit(&none, at(1, 1)), LINEAGE_NEXT);
    assert_int_equal(lineage_fit(&none, at(1, 2)), LINEAGE_GAP);
    lineage_reset(&l);
}

static void sixty_four_epochs_are_kept(void **state)
{
    (void)state;
    struct lineage l = {0};
    for (unsigned epoch = 1; epoch <= 100; epoch++) {
        lineage_begin(&l, epoch);
        write(&l, 2);
        lineage_check(&l);
    }
    assert_int_equal(l.starts_n, LINEAGE_EPOCHS);
    assert_false(lineage_has(&l, at(36, 71)));
    assert_true(lineage_has(&l, at(37, 73)));
    assert_int_equal(lineage_fit(&l, at(36, 71)), LINEAGE_KNOWN); /* forgotten, and long behind */
    lineage_reset(&l);
}

static void a_told_history_is_taken_if_it_is_one(void **state)
{
    (void)state;
    struct lineage l = {.fence = 4};
    struct epoch_start starts[] = {{3, 1}, {6, 5}, {9, 8}};
    assert_true(lineage_set(&l, at(6, 7), starts, 3));
    lineage_check(&l);
    assert_int_equal(l.epoch, 9);
    assert_int_equal(l.fence, 4);
    assert_int_equal(lineage_fit(&l, at(9, 8)), LINEAGE_NEXT);
    assert_false(lineage_set(&l, at(6, 8), starts, 3)); /* 8 is not of 6 */
    assert_false(lineage_set(&l, at(6, 6), starts, 3)); /* 9 began behind 7 */
    assert_false(lineage_set(&l, at(6, 7), starts, 0));
    assert_false(lineage_set(&l, at(0, 0), starts, 3));
    struct epoch_start wrong[] = {{6, 1}, {3, 5}};
    assert_false(lineage_set(&l, at(3, 6), wrong, 2));
    assert_int_equal(l.at.seq, 7); /* as before */
    lineage_reset(&l);
}

/* At a replica epochs begin with their first record, and one that began here without any is none. */
static void what_is_taken_ends_epochs_without_records(void **state)
{
    (void)state;
    struct lineage l = some(), none = {0};
    assert_false(lineage_takes(&l, at(5, 8))); /* older than the newest record */
    assert_false(lineage_takes(&l, at(9, 9)) || lineage_takes(&l, at(9, 7)));
    assert_true(lineage_takes(&l, at(7, 8))); /* 9 had no record here */
    lineage_take(&l, at(7, 8));
    lineage_check(&l);
    assert_true(l.epoch == 7 && l.at.epoch == 7 && l.at.seq == 8 && l.starts_n == 3 && l.starts[2].first == 8);
    assert_false(lineage_has(&l, at(9, 8)));
    lineage_begin(&l, 8);
    lineage_take(&l, at(7, 9)); /* of the epoch before the empty one */
    lineage_check(&l);
    assert_true(l.epoch == 7 && l.starts_n == 3 && l.at.seq == 9);
    lineage_begin(&l, 9);
    lineage_take(&l, at(9, 10)); /* of the very one that began */
    lineage_check(&l);
    assert_true(l.starts_n == 4 && l.starts[3].epoch == 9 && l.starts[3].first == 10);
    assert_true(lineage_takes(&none, at(7, 1)));
    assert_false(lineage_takes(&none, at(7, 2)));
    lineage_begin(&none, 3);
    lineage_take(&none, at(2, 1));
    lineage_check(&none);
    assert_true(none.starts_n == 1 && none.starts[0].epoch == 2 && none.epoch == 2);
    lineage_reset(&l);
    lineage_reset(&none);
}

UNIT_TESTS("lineage",
           TEST(what_is_taken_ends_epochs_without_records,
                "a record that is taken ends epochs that began without one (R1, R2, 23)"),
           TEST(seqs_go_on_across_epochs, "seqs go on across epochs; an empty one leaves no trace (R1, R2)"),
           TEST(a_history_knows_its_positions, "a history knows which positions lie on it (replication 23)"),
           TEST(each_seq_has_an_epoch, "each seq of a history has an epoch (23)"),
           TEST(turns_and_bases_bound_what_is_logged, "turns and bases bound what can be read back (R14)"),
           TEST(what_is_read_back_fits_or_not, "a record read back is next, known, or behind a gap (25)"),
           TEST(sixty_four_epochs_are_kept, "64 epochs are kept, the oldest forgotten (23)"),
           TEST(a_told_history_is_taken_if_it_is_one, "a history that was told is taken if it is one (R2)"))

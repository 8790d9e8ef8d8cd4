/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/word_queue.h"

#include "base/check.h"
#include "base/mem.h"
#include "io/clock.h"
#include "tests/lib/unit.h"

static struct loop loop;
static struct word_queue queue;
static struct words taken;
static struct map map;

static void begin(void)
{
    assert_int_equal(loop_init(&loop), ERR_OK);
    word_queue_init(&queue, &loop);
    taken = (struct words){0};
    map_init(&map);
}

static void end(void)
{
    for (size_t i = 0; i < taken.n; i++)
        word_free(&taken.at[i]);
    vec_free(&taken);
    word_queue_free(&queue);
    map_free(&map);
    loop_free(&loop);
}

static void take(void)
{
    for (size_t i = 0; i < taken.n; i++)
        word_free(&taken.at[i]);
    words_take(&queue, &taken);
}

static void put(struct word w)
{
    word_put(&queue, &w, NULL);
}

static void put_entry(uint64_t index)
{
    struct word w = {.type = WORD_ENTRY, .entry = {.index = index}};
    map.index = index;
    word_put(&queue, &w, &map);
}

static void put_map(uint64_t index)
{
    struct word w = {.type = WORD_MAP, .map = mem_get(sizeof(map))};
    map_init(w.map);
    w.map->index = index;
    put(w);
}

static void put_view(uint64_t term)
{
    struct word w = {.type = WORD_VIEW, .view = mem_zero(sizeof(*w.view))};
    w.view->term = term;
    put(w);
}

static void words_come_in_their_order_and_once(void **state)
{
    (void)state;
    begin();
    put((struct word){.type = WORD_ASK, .ask = {.token = 1}});
    put_entry(1);
    put((struct word){.type = WORD_ANSWER, .answer = {.token = 2}});
    put_entry(2);
    put((struct word){.type = WORD_CLOSE});
    put((struct word){.type = WORD_CLOSED});
    take();
    static const enum word_type order[] = {WORD_ASK,   WORD_ENTRY, WORD_ANSWER,
                                           WORD_ENTRY, WORD_CLOSE, WORD_CLOSED};
    assert_int_equal(taken.n, 6);
    for (size_t i = 0; i < taken.n; i++)
        assert_int_equal(taken.at[i].type, order[i]);
    take();
    assert_int_equal(taken.n, 0);
    end();
}

/* A wait that nothing else ends: what was put calls the other thread, once until all was taken. */
static void the_other_thread_is_called(void **state)
{
    (void)state;
    begin();
    put_entry(1);
    put_entry(2);
    struct mono now = clock_mono();
    loop_wait(&loop, now, mono_after(now, 60 * 1000 * 1000));
    assert_true(clock_mono().us - now.us < 50 * 1000 * 1000);
    take();
    put_entry(3);
    now = clock_mono();
    loop_wait(&loop, now, mono_after(now, 60 * 1000 * 1000));
    assert_true(clock_mono().us - now.us < 50 * 1000 * 1000);
    end();
}

static void of_what_is_so_the_newest_is_all(void **state)
{
    (void)state;
    begin();
    for (uint64_t i = 1; i <= 5; i++) {
        put_view(i);
        put((struct word){.type = WORD_APPLIED, .applied = i});
        put((struct word){.type = WORD_REPORT, .report = {.base = i}});
    }
    take();
    assert_int_equal(taken.n, 3);
    assert_int_equal(taken.at[0].view->term, 5);
    assert_int_equal(taken.at[1].applied, 5);
    assert_int_equal(taken.at[2].report.base, 5);
    end();
}

static void a_map_takes_the_place_of_what_led_to_it(void **state)
{
    (void)state;
    begin();
    put_entry(1);
    put((struct word){.type = WORD_ASK, .ask = {.token = 1}});
    put_map(7);
    put_map(9);
    put_entry(10);
    take();
    assert_int_equal(taken.n, 3);
    assert_int_equal(taken.at[0].type, WORD_ASK);
    assert_int_equal(taken.at[1].map->index, 9);
    assert_int_equal(taken.at[2].entry.index, 10);
    end();
}

/* As many as fit wait; one more, and the map stands for all of them, before what else waits. */
static void entries_that_pile_up_give_way_to_the_map(void **state)
{
    (void)state;
    begin();
    put((struct word){.type = WORD_ASK, .ask = {.token = 1}});
    for (uint64_t i = 1; i <= WORD_ENTRIES_MAX; i++)
        put_entry(i);
    take();
    assert_int_equal(taken.n, 1 + WORD_ENTRIES_MAX);
    put((struct word){.type = WORD_ASK, .ask = {.token = 2}});
    for (uint64_t i = 1; i <= WORD_ENTRIES_MAX + 1; i++)
        put_entry(WORD_ENTRIES_MAX + i);
    put_entry(2 * WORD_ENTRIES_MAX + 1); /* it is in the map already */
    put_entry(2 * WORD_ENTRIES_MAX + 2);
    take();
    assert_int_equal(taken.n, 3);
    assert_int_equal(taken.at[0].type, WORD_MAP);
    assert_int_equal(taken.at[0].map->index, 2 * WORD_ENTRIES_MAX + 1);
    assert_int_equal(taken.at[1].ask.token, 2);
    assert_int_equal(taken.at[2].entry.index, 2 * WORD_ENTRIES_MAX + 2);
    for (uint64_t i = 1; i <= WORD_ENTRIES_MAX; i++) /* it counts from the start again */
        put_entry(3 * WORD_ENTRIES_MAX + i);
    take();
    assert_int_equal(taken.n, WORD_ENTRIES_MAX);
    end();
}

/* A map of a cluster that begins anew, whose entries count from 1. */
static void entries_behind_a_lower_map_are_not_lost(void **state)
{
    (void)state;
    begin();
    for (uint64_t i = 1; i <= WORD_ENTRIES_MAX + 1; i++)
        put_entry(i);
    put_map(0);
    put_entry(1);
    take();
    assert_int_equal(taken.n, 2);
    assert_int_equal(taken.at[0].map->index, 0);
    assert_int_equal(taken.at[1].entry.index, 1);
    end();
}

static void proposals_are_bounded(void **state)
{
    (void)state;
    begin();
    for (int turn = 0; turn < 2; turn++) {
        for (uint64_t i = 1; i <= WORD_PROPOSALS_MAX + 1; i++)
            put((struct word){.type = WORD_PROPOSE, .entry = {.index = i}});
        take();
        assert_int_equal(taken.n, WORD_PROPOSALS_MAX);
        assert_int_equal(taken.at[WORD_PROPOSALS_MAX - 1].entry.index, WORD_PROPOSALS_MAX);
    }
    end();
}

static void what_nobody_took_is_freed(void **state)
{
    (void)state;
    begin();
    put_view(1);
    put_map(3);
    put_entry(4);
    end();
}

UNIT_TESTS("word_queue",
           TEST(words_come_in_their_order_and_once, "words come in their order, each once (S9)"),
           TEST(the_other_thread_is_called, "the first word of a batch ends the other thread's wait (S9)"),
           TEST(of_what_is_so_the_newest_is_all, "of views, what is applied and reports the newest is all there is (S9)"),
           TEST(a_map_takes_the_place_of_what_led_to_it, "a map takes the place of the entries and maps before it (S9)"),
           TEST(entries_that_pile_up_give_way_to_the_map, "one entry more than may wait, and the map stands for all, first (S9)"),
           TEST(entries_behind_a_lower_map_are_not_lost, "a map that begins anew is followed by its own entries (S9)"),
           TEST(proposals_are_bounded, "a proposal more than may wait is dropped; after a take as many may wait again (S9)"),
           TEST(what_nobody_took_is_freed, "words that nobody took are freed with the queue"))

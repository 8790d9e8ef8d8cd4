/* SPDX-License-Identifier: BSD-3-Clause */
#include "io/loop.h"

#include "io/clock.h"
#include "tests/lib/unit.h"

enum { SHORT_US = 20 * 1000, LONG_US = 60 * 1000 * 1000 };

static struct loop loop;

/* As every owner of a loop does: it asks again until it is there. How often it waited: not at all if the machine was busy
 * elsewhere for so long. */
static unsigned wait_until(struct mono wake)
{
    unsigned waits = 0;
    for (struct mono now = clock_mono(); !mono_reached(now, wake); now = clock_mono()) {
        loop_wait(&loop, now, wake);
        waits++;
    }
    return waits;
}

static void a_wait_ends_at_its_wake(void **state)
{
    (void)state;
    assert_int_equal(loop_init(&loop), ERR_OK);
    for (int i = 0; i < 3; i++)
        assert_in_range(wait_until(mono_after(clock_mono(), SHORT_US)), 0, 1);
    loop_free(&loop);
}

static void of_two_wakes_the_earlier_ends_a_wait(void **state)
{
    (void)state;
    assert_int_equal(loop_init(&loop), ERR_OK);
    struct mono now = clock_mono();
    loop_call(&loop); /* ends the first wait at once */
    loop_wait(&loop, now, mono_after(now, LONG_US));
    (void)wait_until(mono_after(now, SHORT_US));
    assert_true(clock_mono().us - now.us < LONG_US / 2);
    loop_free(&loop);
}

static void a_wake_that_is_not_asked_for_any_more_ends_one_wait(void **state)
{
    (void)state;
    assert_int_equal(loop_init(&loop), ERR_OK);
    struct mono now = clock_mono();
    loop_call(&loop);
    loop_wait(&loop, now, mono_after(now, SHORT_US));
    unsigned waits = wait_until(mono_after(now, 3 * SHORT_US));
    waits += wait_until(mono_after(clock_mono(), SHORT_US));
    assert_in_range(waits, 0, 3);
    loop_free(&loop);
}

UNIT_TESTS("loop", TEST(a_wait_ends_at_its_wake, "a wait ends once, when its wake is there"),
           TEST(of_two_wakes_the_earlier_ends_a_wait,
                "a wake that is earlier than the last asked for ends the wait"),
           TEST(a_wake_that_is_not_asked_for_any_more_ends_one_wait,
                "a wake that is not asked for any more ends one wait early and no other"))

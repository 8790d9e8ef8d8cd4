/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "io/clock.h"

#include <errno.h>
#include <sys/prctl.h>
#include <time.h>

#include "base/check.h"

static struct timespec read_clock(clockid_t id)
{
    struct timespec t;
    check(clock_gettime(id, &t) == 0);
    return t;
}

struct mono clock_mono(void)
{
    struct timespec t = read_clock(CLOCK_BOOTTIME);
    return (struct mono){(int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000};
}

struct wall clock_wall(unsigned *us)
{
    struct timespec t = read_clock(CLOCK_REALTIME);
    *us = (unsigned)(t.tv_nsec / 1000 % 1000);
    return (struct wall){(int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000};
}

uint64_t clock_stopwatch_ns(void)
{
    struct timespec t = read_clock(CLOCK_MONOTONIC);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void clock_sleep_us(int64_t us)
{
    if (us <= 0)
        return;
    struct timespec left = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        continue;
}

void clock_sharpen(void)
{
    (void)prctl(PR_SET_TIMERSLACK, 1000UL); /* refused: sleeps are 50 us longer, nothing worse */
}

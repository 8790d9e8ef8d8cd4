/* SPDX-License-Identifier: BSD-3-Clause */

/* The two clocks, read once a turn: a reading costs more than a GET. */
#ifndef IO_CLOCK_H
#define IO_CLOCK_H

#include "base/moment.h"

struct mono clock_mono(void); /* CLOCK_BOOTTIME: goes on while the machine sleeps, as leases must */
struct wall clock_wall(unsigned *us); /* us: into the millisecond */
uint64_t clock_stopwatch_ns(void);    /* for timing; never goes back */
void clock_sleep_us(int64_t us);      /* of the calling thread; goes on after a signal */
void clock_sharpen(void); /* short sleeps of this thread end within a microsecond or so */

#endif

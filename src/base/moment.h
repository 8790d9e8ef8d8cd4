/* SPDX-License-Identifier: BSD-3-Clause */

/* Two clocks that do not mix.
 *
 * mono is for waiting (CLOCK_BOOTTIME, never goes back); wall is for expiry and for people only,
 * and may jump. They are two types so that the compiler notices the day somebody adds them up. */
#ifndef BASE_MOMENT_H
#define BASE_MOMENT_H

#include <stdbool.h>
#include <stdint.h>

struct mono {
    int64_t us; /* microseconds; only differences have a meaning */
};

struct wall {
    int64_t ms; /* milliseconds since 1970; WALL_NEVER: no expiry */
};

#define MONO_NEVER ((struct mono){INT64_MAX})
#define WALL_NEVER ((struct wall){INT64_MAX})

static inline bool mono_reached(struct mono now, struct mono due)
{
    return now.us >= due.us;
}

static inline struct mono mono_after(struct mono t, int64_t us)
{
    return t.us > INT64_MAX - us ? MONO_NEVER : (struct mono){t.us + us};
}

static inline struct mono mono_later(struct mono a, struct mono b)
{
    return a.us > b.us ? a : b;
}

static inline struct mono mono_earlier(struct mono a, struct mono b)
{
    return a.us < b.us ? a : b;
}

static inline bool wall_is_never(struct wall t)
{
    return t.ms == INT64_MAX;
}

#endif

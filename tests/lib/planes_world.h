/* SPDX-License-Identifier: BSD-3-Clause */

/* One world of control planes, for the tests of one program. */
#ifndef TESTS_LIB_PLANES_WORLD_H
#define TESTS_LIB_PLANES_WORLD_H

#include <stdlib.h>

#include "tests/lib/unit.h"
#include "tests/sim/planes.h"

enum { SECOND = 1000 * 1000 };

static struct planes world;

/* homes: each has a home to tell of. */
static void begin_with(uint64_t seed, unsigned n, bool homes)
{
    planes_init(&world, seed);
    world.trace = getenv("TRACE") != NULL;
    for (unsigned i = 0; i < n; i++) {
        struct plane *p = plane_add(&world, i == 0 ? -1 : 0);
        p->config.home = homes ? 100 + i : 0;
        plane_start(&world, p);
    }
}

static void begin(uint64_t seed, unsigned n)
{
    begin_with(seed, n, false);
}

static void end(void)
{
    assert_string_equal(world.wrong, "");
    planes_free(&world);
}

/* Everybody runs, has a lease, a share of the slots, and the controller has as many voters as it may. */
static bool whole(struct planes *w)
{
    unsigned slots = 0;
    if (!planes_agree(w))
        return false;
    for (size_t i = 0; i < w->n; i++) {
        struct plane *p = &w->at[i];
        unsigned its = plane_slots(p);
        if (!plane_has_lease(w, p) || (p->config.weight > 0 && its == 0))
            return false;
        slots += its;
    }
    return slots == SLOTS && control_voters(w->at[0].control) == (w->n >= 5 ? 5 : w->n >= 3 ? 3 : 1);
}

#endif

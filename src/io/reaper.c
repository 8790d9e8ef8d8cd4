/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "io/reaper.h"

#include "base/mem.h"

/* one entry a turn at most; full: freed by the giver, slowly but bounded */
enum { REAPER_QUEUE_MAX = 1024 };

struct burial {
    struct job job;
    struct graves graves;
};

static void free_graves(struct job *j)
{
    graves_free(&CONTAINER_OF(j, struct burial, job)->graves);
}

enum err reaper_start(struct reaper *r, struct loop *loop)
{
    return lane_start(&r->lane, "vong-reaper", REAPER_QUEUE_MAX, loop);
}

void reaper_bury(struct reaper *r, struct graves *g)
{
    if (g->dead.n == 0)
        return;
    struct burial *b = mem_get(sizeof(*b));
    *b = (struct burial){.job = {.run = free_graves}, .graves = *g};
    *g = (struct graves){0};
    if (lane_give(&r->lane, &b->job))
        return;
    graves_free(&b->graves);
    mem_free(b);
}

void reaper_collect(struct reaper *r)
{
    struct job *j;
    while ((j = lane_take(&r->lane)) != NULL)
        mem_free(CONTAINER_OF(j, struct burial, job));
}

void reaper_stop(struct reaper *r)
{
    lane_stop(&r->lane);
    reaper_collect(r);
}

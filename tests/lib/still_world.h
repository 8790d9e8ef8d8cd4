/* SPDX-License-Identifier: BSD-3-Clause */

/* What a node is told of a process that is not there: nothing. */
#ifndef TESTS_LIB_STILL_WORLD_H
#define TESTS_LIB_STILL_WORLD_H

#include "node/node.h"

static void still_memory(struct node_world *w, struct node_memory *to)
{
    (void)w;
    *to = (struct node_memory){0};
}

static void still_client(struct node_world *w, uint32_t conn, struct node_client *to)
{
    (void)w, (void)conn;
    *to = (struct node_client){0};
}

static struct slice still_fact(struct node_world *w, const char *name, char *to, size_t to_n)
{
    (void)w, (void)name, (void)to, (void)to_n;
    return (struct slice){"", 0};
}

static void still_worked(struct node_world *w)
{
    (void)w;
}

static inline struct node_world still_world(uint64_t (*stopwatch_ns)(struct node_world *w))
{
    return (struct node_world){stopwatch_ns, still_worked, still_memory, still_client, still_fact};
}

#endif

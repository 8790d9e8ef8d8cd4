/* SPDX-License-Identifier: BSD-3-Clause */

/* What INFO and MEMORY tell of the node as a whole. */
#ifndef NODE_INFO_H
#define NODE_INFO_H

#include <stddef.h>
#include <stdint.h>

struct node;

/* How far a is above b, of which it is a part. */
struct memory_gap {
    double ratio; /* 0: not known */
    int64_t bytes;
};

/* Memory now, of the process and by purpose. */
struct memory_account {
    /* as the allocator tells; used is the store's alone if it does not */
    size_t used, peak, rss, startup;
    size_t allocated, active, resident;
    size_t dataset;  /* entries and their values */
    size_t overhead; /* used for all that is no data */
    size_t clients;  /* sessions with their output */
    size_t links;    /* to other nodes, with what is under way there */
    size_t log;      /* records on their way to the disk */
    double dataset_percent, peak_percent;
    struct memory_gap allocator_fragmentation; /* active over allocated */
    struct memory_gap allocator_rss;           /* resident over active */
    struct memory_gap rss_overhead;            /* rss over resident */
    struct memory_gap fragmentation;           /* rss over used */
};
struct memory_account memory_account(struct node *n);

/* enum figure (seats.h), each: of this node alone; and those of two, put together. */
void info_figures(struct node *n, uint64_t *to);
void info_figures_add(uint64_t *to, const uint64_t *more);

#endif

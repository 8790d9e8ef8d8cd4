/* SPDX-License-Identifier: BSD-3-Clause */

/* What INFO and MEMORY tell of the node as a whole. */
#ifndef NODE_INFO_H
#define NODE_INFO_H

#include <stddef.h>
#include <stdint.h>

struct node;

/* Memory now, of the process and by purpose. */
struct memory_account {
    size_t used, peak, rss,
        startup; /* as the allocator tells; used is the store's alone if it does not */
    size_t allocated, active, resident;
    size_t dataset;                  /* entries and their values */
    size_t overhead;                 /* used for all that is no data */
    size_t clients, log; /* sessions with their output; records on their way to the disk */
    double dataset_percent, peak_percent;
    double fragmentation;            /* rss / used */
};
struct memory_account memory_account(struct node *n);

int64_t node_started_seconds(const struct node *n); /* wall clock */

#endif

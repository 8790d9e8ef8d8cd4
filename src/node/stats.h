/* SPDX-License-Identifier: BSD-3-Clause */

/* What the node counts: per command, per error, in all, and what changes between samples. */
#ifndef NODE_STATS_H
#define NODE_STATS_H

#include "base/count.h"
#include "cmd/spec.h"

struct node;

struct command_stats {
    uint64_t calls, ns, rejected, failed;
    struct histogram
        *latency; /* of nanoseconds; NULL until it was called with latency-tracking on */
};

enum {
    ERROR_KINDS_MAX = 128
}; /* more would be made by clients, as with EVAL: they share the last */

struct error_stats {
    char code[24];
    uint64_t n;
};

/* A rate over the last samples: 16 of them, as Redis has it. */
enum { RATE_SAMPLES = 16 };
struct rate {
    double of[RATE_SAMPLES]; /* per second */
    unsigned next;
    uint64_t last; /* the count at the newest sample */
};

struct stats {
    struct command_stats commands[SPEC_N];
    struct error_stats errors[ERROR_KINDS_MAX];
    size_t errors_n;
    uint64_t calls, error_replies;
    struct rate ops, input, output;
    uint64_t turns; /* steps with requests: calls / turns is how many came at a time */
    int64_t sampled_us;
    size_t allocated, rss;       /* of the process, at the newest sample */
    size_t startup;              /* allocated before any data */
    uint64_t connections_before; /* CONFIG RESETSTAT: the counts from before do not show */
    uint64_t input_before, output_before, rejected_before;
};

void stats_reset(struct node *n); /* CONFIG RESETSTAT */
/* What may be added; *to is made where it is NULL. */
void stats_add(struct stats **to, const struct stats *from);
void histogram_more(struct histogram **to, const struct histogram *from); /* the same */
void stats_copy_free(struct stats *s); /* one that stats_add made; NULL: nothing */
/* Memory of the backlog; of connections to other nodes, without those that are sessions; and of
 * what is on its way to replicas, or was read back for them, and to the log, which counts against
 * no maxmemory: evicting for it would make more of it. */
size_t stats_backlog_bytes(const struct node *n);
size_t stats_backlog_held(const struct node *n); /* of these, with records */
size_t stats_links_bytes(const struct node *n);
size_t stats_uncounted_bytes(const struct node *n);
double rate_of(const struct rate *r);

#endif

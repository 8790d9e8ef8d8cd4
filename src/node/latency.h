/* SPDX-License-Identifier: BSD-3-Clause */

/* Events that took longer than latency-monitor-threshold: a series of samples per kind of event. */
#ifndef NODE_LATENCY_H
#define NODE_LATENCY_H

#include <stdint.h>

/* X(event, Redis' name for it, what LATENCY DOCTOR advises). Only what is measured has a row. */
#define LATENCY_EVENTS(X)                                                                       \
    X(LATENCY_COMMAND, "command",                                                               \
      "SLOWLOG GET names the commands; split big ones, or run them elsewhere.")                 \
    X(LATENCY_FAST_COMMAND, "fast-command",                                                     \
      "No command here is slow by itself: was the processor taken away?")                       \
    X(LATENCY_AOF_WRITE, "aof-write", "The disk is slow to write: look at its load.")           \
    X(LATENCY_AOF_WRITE_ALONE, "aof-write-alone",                                               \
      "Writes alone are slow: is the disk shared, or full?")                                    \
    X(LATENCY_AOF_WRITE_PENDING_FSYNC, "aof-write-pending-fsync",                               \
      "Writes wait for a sync under way: a faster disk, or appendfsync no, helps.")             \
    X(LATENCY_AOF_FSYNC_ALWAYS, "aof-fsync-always",                                             \
      "Every write waits for a sync: a disk with a protected cache, or appendfsync everysec, "  \
      "helps.")                                                                                 \
    X(LATENCY_EXPIRE_CYCLE, "expire-cycle", "Much expires at the same time: spread the times.") \
    X(LATENCY_EVICTION_CYCLE, "eviction-cycle",                                                 \
      "maxmemory is reached faster than keys go: raise it.")                                    \
    X(LATENCY_EVICTION_DEL, "eviction-del", "A single key is slow to evict: it is a big one.")  \
    X(LATENCY_SCRUB_CYCLE, "scrub-cycle",                                                       \
      "Comparing copies takes long steps: is the processor taken away?")

#define X(event, ...) event,
enum latency_event { LATENCY_EVENTS(X) LATENCY_EVENT_N };
#undef X

struct latency;
struct node;

struct latency *latency_new(void);
void latency_free(struct latency *l); /* NULL: nothing */
/* A NULL is empty; *to is made where there is more. */
void latency_add(struct latency **to, const struct latency *from);
void latency_note(struct node *n, enum latency_event event, uint64_t ns);

/* For what is timed for this alone: no clock is read unless somebody wants to know. */
uint64_t latency_begin(struct node *n); /* 0: nobody does */
void latency_end(struct node *n, enum latency_event event, uint64_t began);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */

/* Events that took longer than latency-monitor-threshold: a series of samples per kind of event. */
#ifndef NODE_LATENCY_H
#define NODE_LATENCY_H

struct latency;

struct latency *latency_new(void);
void latency_free(struct latency *l);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */

/* A scenario of a cluster: its lines, one by one, and what is to be seen of it.
 *
 * Whole nodes as in hosts.h, but nothing is left to luck: packets take half a millisecond, operations of a
 * disk one, words between planes a microsecond. Nodes are numbered from 1. What is told, with the
 * milliseconds since the cluster was there, and by whom:
 *
 *     leads and leases, when they come and go; what a new map says of nodes, of settings and, in sum, of
 *     slots; of the slots of keys that were named, each; what clients are answered */
#ifndef SCENE_H
#define SCENE_H

#include "base/buf.h"
#include "base/words.h"

struct scene;

struct scene *scene_new(struct buf *to); /* borrowed: what is told is added */
void scene_free(struct scene *s);
bool scene_time(const struct words *w, size_t i, int64_t *us); /* "10ms", "3s" */
bool scene_line(struct scene *s, const struct words *w); /* false: scene_mistake says why */
const char *scene_mistake(const struct scene *s);
const char *scene_wrong(const struct scene *s); /* what did not hold in the world; NULL: all did */

#endif

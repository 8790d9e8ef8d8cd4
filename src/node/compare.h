/* SPDX-License-Identifier: BSD-3-Clause */

/* Digests of slots, for scrubbing (core/repl/scrub.h): this node's own as primary, or one that a
 * primary asked for. One at a time, in small steps between which others are served. */
#ifndef NODE_COMPARE_H
#define NODE_COMPARE_H

#include "core/repl/repl.h"
#include "store/slot_digest.h"

struct node;
struct repl_guest;

struct compare {
    bool used;
    bool own;             /* as primary; else: */
    uint16_t place;       /* of who asked, */
    struct repl_round in; /* in this round */
    uint64_t number;
    struct slot_digest digest;
    struct mono next; /* the next step */
};

void compare_look(struct node *n); /* end of a step: what was found, whether one is to begin */
void compare_step(struct node *n); /* a fraction of a millisecond's work */
struct mono compare_due(const struct node *n);
void compare_asked(struct node *n, struct repl_guest *g, const struct repl_digest *m);
void compare_bad(struct node *n, struct repl_guest *g, const struct repl_bad *m);
void compare_free(struct node *n);

#endif

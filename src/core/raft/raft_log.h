/* SPDX-License-Identifier: BSD-3-Clause */

/* The part of the replicated log that is in memory.
 *
 *     (first - 1, before_term)  [first] ... [last]
 *       known, not held            held
 *
 * Entries lie in one array, so that a run of them is a pointer and a count. Indexes begin with 1
 * and are dense; terms never fall. The log owns the bytes of its entries. */
#ifndef CORE_RAFT_RAFT_LOG_H
#define CORE_RAFT_RAFT_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

enum raft_entry_type {
    RAFT_ENTRY_NOOP = 1, /* a new leader's first: no bytes */
    RAFT_ENTRY_VOTERS,   /* the voters from here on (raft_voters_put) */
    RAFT_ENTRY_OWNER,    /* the owner's: opaque here */
    RAFT_ENTRY_TYPES
};

struct raft_entry {
    uint64_t term;
    enum raft_entry_type type;
    struct slice bytes; /* at most RAFT_ENTRY_BYTES */
};

struct raft_log {
    struct raft_entry *at; /* at[0] is entry `first` */
    size_t n, cap;
    uint64_t first;       /* even if none is held */
    uint64_t before_term; /* of entry first - 1; 0 before the first of all */
    size_t bytes;         /* of all entries held, RAFT_ENTRY_COST each included */
};

/* What an entry costs besides its bytes, so that empty ones count too. */
enum { RAFT_ENTRY_COST = 64 };

void raft_log_init(struct raft_log *l, uint64_t index,
                   uint64_t term); /* empty, behind that entry */
void raft_log_free(struct raft_log *l);

static inline uint64_t raft_log_last(const struct raft_log *l)
{
    return l->first + l->n - 1;
}

uint64_t raft_log_last_term(const struct raft_log *l);

/* The term of entry index; false: it is not known (before first - 1, or behind last). */
bool raft_log_term(const struct raft_log *l, uint64_t index, uint64_t *term);
bool raft_log_has(const struct raft_log *l, uint64_t index,
                  uint64_t term); /* that very entry, or first - 1 */
const struct raft_entry *raft_log_at(const struct raft_log *l,
                                     uint64_t index); /* first <= index <= last */

/* Copies the bytes. term is not below that of the last. */
void raft_log_append(struct raft_log *l, uint64_t term, enum raft_entry_type type,
                     struct slice bytes);
void raft_log_cut(struct raft_log *l, uint64_t from); /* entries from..last go; first <= from */
void raft_log_drop_front(struct raft_log *l, uint64_t upto); /* entries ..upto go; upto <= last */

/* How many entries from `from` on weigh at most max_bytes together: at least one, if there is
 * one. */
size_t raft_log_run(const struct raft_log *l, uint64_t from, size_t max_bytes);

/* Is a log that ends in (index, term) at least as new as this one (5.4.1)? */
bool raft_log_is_upto_date(const struct raft_log *l, uint64_t index, uint64_t term);

/* Two logs disagree at or before `index`, where the other one has an entry of `term`: they can
 * agree only at or before what is returned, the greatest index <= index whose term is not above
 * `term`. Not below first - 1. *hint_term: the term there. */
uint64_t raft_log_hint(const struct raft_log *l, uint64_t index, uint64_t term,
                       uint64_t *hint_term);

#endif

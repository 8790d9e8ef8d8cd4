/* SPDX-License-Identifier: BSD-3-Clause */

/* The forkless walk: every entry as of one moment T, while the keyspace goes on changing.
 *
 *     walk_begin = T   walk_step ... walk_step -> true
 *                      in between, whoever changes an entry first calls walk_hand_out
 *
 * Each entry has the number of a generation, two bits. At T the store's generation moves on by one,
 * so that no entry has it; the walk and walk_hand_out give an entry to ops->walked only if it is
 * not of the store's generation, and make it so. Entries that come into being later are born with
 * it. That is all there is to "exactly once": tables may grow, shrink, be swapped or flushed,
 * entries may be moved, in whatever order the walk meets them (S6).
 *
 * After a whole walk every entry has the store's generation, so nothing needs resetting. A
 * cancelled walk leaves one generation more behind; when all four may be in use, the walk goes on
 * in store_idle without handing anything out, and the next one can begin after it. */
#ifndef STORE_WALKER_H
#define STORE_WALKER_H

#include "store/store.h"

/* The moment T. ERR_LIMIT: a walk is under way, the last one is still being tidied up, or a spare
 * table is in use. */
enum err walk_begin(struct store *s) MUST_CHECK;

/* Hands out entries until about so many, or so many bytes of keys and values, were. True: all were,
 * and the walk is over. A walk must be under way. */
bool walk_step(struct store *s, size_t entries, size_t bytes);
void walk_cancel(struct store *s); /* nothing more is handed out; no walk under way: nothing */
bool walk_is_on(const struct store *s);

struct walk_progress {
    size_t done, total; /* entries as of T */
};
struct walk_progress walk_progress(const struct store *s); /* zeros without a walk */

/* ------------------------------------------------- for the store's own */

void walk_hand_out_now(struct store *s, unsigned at, struct entry *e);

/* Before an entry is changed or leaves the table at this place of s->slots. */
static inline void walk_hand_out(struct store *s, unsigned at, struct entry *e)
{
    if (s->walk != NULL && e->generation != s->generation)
        walk_hand_out_now(s, at, e);
}

void walk_swapped(struct store *s, unsigned a, unsigned b); /* after the swap */

struct store_dying;
/* The tables there were emptied, what they held is in d now. The walk holds it while
 * it needs it. */
void walk_flushed(struct store *s, unsigned at, struct store_dying *d);
void walk_tidy(struct store *s, size_t budget); /* goes on with a cancelled walk, if there is one */
bool walk_is_untidy(const struct store *s);
void walk_free(struct store *s);

#endif

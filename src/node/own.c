/* SPDX-License-Identifier: BSD-3-Clause */
#include "node/own.h"

#include "base/check.h"
#include "node/state.h"

/* <name> <epoch> <from> <to> */
static struct lsn mark(struct node *n, struct slice name, unsigned from, unsigned to, uint64_t epoch)
{
    struct effects e = {0};
    effect_begin(&e, 0, 4);
    effect_arg(&e, name);
    effect_arg_i64(&e, (int64_t)epoch);
    effect_arg_i64(&e, from);
    effect_arg_i64(&e, to);
    struct lsn lsn = journal_mark(&n->journal, &e.bytes);
    effects_free(&e);
    return lsn;
}

void own_begin(struct node *n, unsigned from, unsigned to, uint64_t epoch)
{
    check(!n->loading && n->effects.n == 0);
    check(n->store.is_slotted && to < SLOTS && epoch <= INT64_MAX);
    mark(n, SLICE("VONG.EPOCH"), from, to, epoch);
    for (unsigned slot = from; slot <= to; slot++) {
        struct lineage *l = &n->slots[slot];
        l->frozen = false;
        lineage_begin(l, epoch); /* replication 1: never an old one again */
        bits_add(&n->owned, slot);
    }
}

void own_end(struct node *n, unsigned slot)
{
    check(n->store.is_slotted && n->effects.n == 0);
    bits_remove(&n->owned, slot);
}

struct lsn own_fence(struct node *n, unsigned from, unsigned to, uint64_t epoch)
{
    check(!n->loading && n->store.is_slotted && to < SLOTS && epoch <= INT64_MAX);
    for (unsigned slot = from; slot <= to; slot++)
        if (n->slots[slot].fence < epoch)
            n->slots[slot].fence = epoch; /* R3 */
    journal_sync_soon(&n->journal);
    return mark(n, SLICE("VONG.FENCE"), from, to, epoch);
}

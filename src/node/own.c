/* SPDX-License-Identifier: BSD-3-Clause */
#include "node/own.h"

#include "base/check.h"
#include "node/state.h"

/* <name> <epoch> <from> <to> */
static struct lsn mark(struct node *n, struct slice name, unsigned from, unsigned to,
                       uint64_t epoch)
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

/* VONG.SLOT slot 0 1 0 1: what it holds is what a lone server's slot would */
static void begin_anew(struct node *n, unsigned slot)
{
    static const struct epoch_start start = {0, 1};
    struct effects e = {0};
    effect_begin(&e, 0, 6);
    effect_arg(&e, SLICE("VONG.SLOT"));
    effect_arg_i64(&e, slot);
    for (int64_t i = 0; i < 4; i++)
        effect_arg_i64(&e, i % 2);
    journal_mark(&n->journal, &e.bytes);
    effects_free(&e);
    check(lineage_set(&n->slots[slot], (struct position){0, 1}, &start, 1));
}

/* Epochs rise for as long as a cluster lives: one that does not is another cluster's, and the log's
 * are of one that this node has left, or whose node file was deleted. */
static void leave_former_cluster(struct node *n, unsigned from, unsigned to, uint64_t epoch)
{
    unsigned left = 0;
    for (unsigned slot = from; slot <= to; slot++) {
        const struct lineage *l = &n->slots[slot];
        if (l->starts_n == 0 || l->epoch < epoch)
            continue;
        begin_anew(n, slot);
        left++;
    }
    if (left > 0)
        log_say(n->log, LOG_LEVEL_NOTICE,
                "%u slots were another cluster's: what this node holds of them goes on in this one",
                left);
}

void own_begin(struct node *n, unsigned from, unsigned to, uint64_t epoch)
{
    check(!n->loading && n->effects.n == 0);
    check(n->store.is_slotted && to < SLOTS && epoch > 0 && epoch <= INT64_MAX);
    leave_former_cluster(n, from, to, epoch);
    mark(n, SLICE("VONG.EPOCH"), from, to, epoch);
    for (unsigned slot = from; slot <= to; slot++) {
        struct lineage *l = &n->slots[slot];
        l->frozen = false;
        lineage_begin(l, epoch); /* replication 1: never an old one again */
        bits_add(&n->owned, slot);
        store_slot_set_aside(&n->store, slot, false);
    }
}

void own_end(struct node *n, unsigned slot)
{
    check(n->store.is_slotted && n->effects.n == 0);
    bits_remove(&n->owned, slot);
    store_slot_set_aside(&n->store, slot, true);
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

/* VONG.DROP from to */
static void run_drop(struct node *n, unsigned from, unsigned to)
{
    struct effects e = {0};
    effect_begin(&e, 0, 3);
    effect_arg(&e, SLICE("VONG.DROP"));
    effect_arg_i64(&e, from);
    effect_arg_i64(&e, to);
    for (unsigned slot = from; slot <= to; slot++) {
        check(!own_has(n, slot));
        lineage_clear(&n->slots[slot]);
        store_slot_flush(&n->store, slot);
    }
    journal_mark(&n->journal, &e.bytes);
    effects_free(&e);
}

void own_drop(struct node *n, const struct bits *slots)
{
    for (unsigned from = bits_next(slots, 0), to; from < SLOTS; from = bits_next(slots, to + 1)) {
        to = from;
        while (to + 1 < SLOTS && bits_has(slots, to + 1))
            to++;
        run_drop(n, from, to);
    }
}

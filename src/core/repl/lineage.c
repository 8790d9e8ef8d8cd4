/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/repl/lineage.h"

#include "base/check.h"
#include "base/mem.h"

struct lineage *lineages_new(unsigned n)
{
    return mem_zero(n * sizeof(struct lineage));
}

void lineage_reset(struct lineage *l)
{
    mem_free(l->starts);
    *l = (struct lineage){0};
}

void lineage_clear(struct lineage *l)
{
    struct lineage cleared = {.fence = l->fence, .turns = l->turns + 1};
    lineage_reset(l);
    *l = cleared;
}

void lineage_based(struct lineage *l, uint64_t seq, uint32_t turns)
{
    if (l->turns == turns)
        l->logged = seq;
    l->turns -= turns;
}

void lineages_free(struct lineage *l, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        lineage_reset(&l[i]);
    mem_free(l);
}

static void starts_room(struct lineage *l, unsigned n)
{
    if (n <= l->starts_cap)
        return;
    unsigned cap = l->starts_cap == 0 ? 1 : 2u * l->starts_cap; /* most slots see few epochs */
    while (cap < n)
        cap *= 2;
    l->starts = mem_resize(l->starts, cap * sizeof(l->starts[0]));
    l->starts_cap = (uint8_t)cap;
}

static void starts_add(struct lineage *l, struct epoch_start start)
{
    if (l->starts_n == LINEAGE_EPOCHS) {
        memmove(l->starts, l->starts + 1, (LINEAGE_EPOCHS - 1) * sizeof(l->starts[0]));
        l->starts_n--;
    }
    starts_room(l, l->starts_n + 1u);
    l->starts[l->starts_n++] = start;
}

void lineage_begin(struct lineage *l, uint64_t epoch)
{
    check(epoch > l->epoch || l->starts_n == 0);
    uint64_t first = l->at.seq + 1;
    if (l->starts_n > 0 && l->starts[l->starts_n - 1].first == first)
        l->starts_n--; /* it had no record */
    starts_add(l, (struct epoch_start){epoch, first});
    l->epoch = epoch;
}

/* How many starts have a record: all, or all but the last. */
static unsigned starts_used(const struct lineage *l)
{
    return l->starts_n > 0 && l->starts[l->starts_n - 1].first > l->at.seq ? l->starts_n - 1u
                                                                           : l->starts_n;
}

bool lineage_takes(const struct lineage *l, struct position p)
{
    unsigned used = starts_used(l);
    return p.seq == l->at.seq + 1 && p.epoch >= (used > 0 ? l->starts[used - 1].epoch : 0);
}

void lineage_take(struct lineage *l, struct position p)
{
    check(lineage_takes(l, p));
    unsigned used = starts_used(l);
    if (l->starts_n == 0 || l->starts[l->starts_n - 1].epoch != p.epoch) {
        l->starts_n = (uint8_t)used;
        if (used == 0 || l->starts[used - 1].epoch != p.epoch)
            starts_add(l, (struct epoch_start){p.epoch, p.seq});
    }
    l->epoch = p.epoch;
    l->at = p;
}

bool lineage_has(const struct lineage *l, struct position p)
{
    if (p.seq == 0)
        return true; /* whoever has nothing is behind everybody */
    for (unsigned i = l->starts_n; i-- > 0;) {
        if (l->starts[i].epoch != p.epoch)
            continue;
        uint64_t last = i + 1u < l->starts_n ? l->starts[i + 1].first - 1 : l->at.seq;
        return p.seq >= l->starts[i].first && p.seq <= last;
    }
    return false;
}

uint64_t lineage_epoch_of(const struct lineage *l, uint64_t seq)
{
    for (unsigned i = l->starts_n; seq > 0 && i-- > 0;)
        if (l->starts[i].first <= seq)
            return l->starts[i].epoch;
    return 0;
}

enum lineage_fit lineage_fit(const struct lineage *l, struct position p)
{
    if (lineage_takes(l, p))
        return LINEAGE_NEXT;
    if (p.seq > l->at.seq)
        return LINEAGE_GAP;
    bool forgotten = l->starts_n > 0 && p.epoch < l->starts[0].epoch && p.seq < l->starts[0].first;
    return forgotten || lineage_has(l, p) ? LINEAGE_KNOWN : LINEAGE_GAP;
}

bool lineage_set(struct lineage *l, struct position at, const struct epoch_start *starts,
                 unsigned n)
{
    if (n == 0 || n > LINEAGE_EPOCHS || at.seq == 0 || at.seq > INT64_MAX)
        return false;
    for (unsigned i = 1; i < n; i++)
        if (starts[i].epoch <= starts[i - 1].epoch || starts[i].first <= starts[i - 1].first)
            return false;
    struct lineage made = {.at = at,
                           .epoch = starts[n - 1].epoch,
                           .fence = l->fence,
                           .turns = l->turns + 1,
                           .logged = at.seq};
    for (unsigned i = 0; i < n; i++)
        starts_add(&made, starts[i]);
    if (made.starts[n - 1].first > at.seq + 1 || !lineage_has(&made, at)) {
        lineage_reset(&made);
        return false;
    }
    lineage_reset(l);
    *l = made;
    return true;
}

void lineage_check(const struct lineage *l)
{
    check(l->starts_n <= LINEAGE_EPOCHS);
    check(l->logged <= l->at.seq);
    for (unsigned i = 1; i < l->starts_n; i++) {
        check(l->starts[i].epoch > l->starts[i - 1].epoch); /* R2 */
        check(l->starts[i].first > l->starts[i - 1].first); /* R2 */
    }
    if (l->starts_n == 0)
        return;
    const struct epoch_start *last = &l->starts[l->starts_n - 1];
    check(last->epoch == l->epoch && last->first <= l->at.seq + 1); /* R1 */
    check(l->at.seq == 0 || l->frozen || l->starts[0].first > l->at.seq || lineage_has(l, l->at));
}

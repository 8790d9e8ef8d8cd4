/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/slots.h"

#include "base/check.h"
#include "base/mem.h"

struct store_group *slots_groups_new(unsigned slots_n)
{
    return mem_zero((slots_n / SLOTS_GROUP + 1) * sizeof(struct store_group));
}

static size_t group_n(const struct store *s, unsigned group, enum slots_index index)
{
    return index == SLOTS_KEYS ? s->groups[group].shown.keys : s->groups[group].shown.dues;
}

static size_t slot_n(const struct store *s, unsigned at, enum slots_index index)
{
    return store_slot_is_aside(s, at) ? 0 : table_n(slots_table(s, at, index));
}

size_t slots_sum(const struct store *s, unsigned db, enum slots_index index)
{
    if (!s->is_slotted)
        return slot_n(s, db, index);
    size_t sum = 0;
    for (unsigned group = 0; group * SLOTS_GROUP < s->slots_n; group++)
        sum += group_n(s, group, index);
    return sum;
}

unsigned slots_next(const struct store *s, struct slots_range r, unsigned at,
                    enum slots_index index)
{
    unsigned end = r.first + r.n;
    while (at < end) {
        if (slot_n(s, at, index) > 0)
            return at;
        at++;
        while (at % SLOTS_GROUP == 0 && at < end && group_n(s, at / SLOTS_GROUP, index) == 0)
            at += SLOTS_GROUP;
    }
    return end;
}

unsigned slots_next_any(const struct store *s, unsigned at)
{
    while (at < s->slots_n && table_n(&s->slots[at].keys) == 0) {
        at++;
        while (at % SLOTS_GROUP == 0 && at < s->slots_n &&
               s->groups[at / SLOTS_GROUP].shown.keys == 0 &&
               s->groups[at / SLOTS_GROUP].aside.keys == 0)
            at += SLOTS_GROUP;
    }
    return at < s->slots_n ? at : s->slots_n;
}

unsigned slots_pick(struct store *s, unsigned db, enum slots_index index)
{
    if (!s->is_slotted)
        return db;
    uint64_t rest = rng_below(&s->rng, slots_sum(s, db, index));
    unsigned group = 0;
    for (; rest >= group_n(s, group, index); group++)
        rest -= group_n(s, group, index);
    unsigned at = group * SLOTS_GROUP;
    for (; rest >= slot_n(s, at, index); at++)
        rest -= slot_n(s, at, index);
    return at;
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* Slots without a key go to the node that placement wishes (replication 26; nothing is to be copied).
 *
 * From the proposal until its fate is known nothing of the slots is run: their commands are parked.
 * The fate is told by this node's own applied map alone; until it is, the way out is another proposal
 * with a greater n (12). */
#include "base/check.h"
#include "node/cluster.h"

static bool may_take(const struct map *m, uint16_t place)
{
    const struct map_node *to = place < m->nodes.n ? &m->nodes.at[place] : NULL;
    return to != NULL && to->used && to->health == MAP_UP && !to->leaving && to->weight > 0;
}

/* Whom this slot is for, if that is another and can take it; else MAP_NOBODY. */
static uint16_t wanted(const struct cluster *c, unsigned slot)
{
    const struct map_slot *s = &c->map.slots[slot];
    if (c->served[slot] == 0 || s->want_n == 0 || s->want[0] == c->self.place || !may_take(&c->map, s->want[0]))
        return MAP_NOBODY;
    return s->want[0];
}

static void propose(struct node *n, uint16_t to, const struct bits *slots, struct node_out *out)
{
    struct cluster *c = n->cluster;
    struct map_entry e = {.type = MAP_HANDOVER, .base = c->map.index, .about = c->id,
                          .incarnation = c->self.incarnation};
    e.handover.n = ++c->proposed_n;
    e.handover.empty = true;
    e.handover.to = c->map.nodes.at[to].id;
    e.handover.to_incarnation = c->map.nodes.at[to].incarnation;
    e.handover.slots = *slots;
    for (unsigned slot = bits_next(slots, 0); slot < SLOTS; slot = bits_next(slots, slot + 1))
        bits_add(&c->handing, slot); /* those of an earlier one are still in doubt */
    c->handing_until = mono_after(n->now, (int64_t)c->map.settings.node_timeout_ms * 2000);
    *vec_add(&out->words) = (struct word){.type = WORD_PROPOSE, .entry = {.entry = map_entry_copy(&e)}};
}

bool handover_waits(const struct node *n, unsigned slot)
{
    return wanted(n->cluster, slot) != MAP_NOBODY && store_slot_keys_n(&n->store, slot) > 0;
}

void handover_look(struct node *n, struct node_out *out)
{
    struct cluster *c = n->cluster;
    struct bits slots = {0};
    uint16_t to = MAP_NOBODY;
    bool in_doubt = c->handing_until.us != MONO_NEVER.us, paused = c->map.settings.rebalance_paused != 0;
    if (n->loading || !c->self.leased || c->self.place == MAP_NOBODY ||
        (in_doubt ? !mono_reached(n->now, c->handing_until) : paused))
        return;
    if (c->proposed_n < c->map.nodes.at[c->self.place].proposed_n)
        c->proposed_n = c->map.nodes.at[c->self.place].proposed_n;
    if (!lsn_reached(journal_stored(&n->journal), n->journal.appended))
        return; /* a gate may wait for a record of one of them */
    for (unsigned slot = 0; slot < SLOTS && !paused; slot++) {
        uint16_t w = wanted(c, slot);
        if (w == MAP_NOBODY || (to != MAP_NOBODY && w != to) || store_slot_keys_n(&n->store, slot) > 0)
            continue;
        to = w;
        bits_add(&slots, slot);
    }
    if (to != MAP_NOBODY) {
        propose(n, to, &slots, out);
    } else if (in_doubt) { /* the wish is gone; an empty proposal voids the one in doubt */
        propose(n, c->self.place, &slots, out);
    }
}

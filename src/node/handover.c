/* SPDX-License-Identifier: BSD-3-Clause */

/* Slots without a key go to the node that placement wishes (replication 26; nothing is to be copied).
 *
 *     begun: nothing of the slots is run any more       commands of theirs are parked
 *       -> all that was recorded until then is stored   no gate waits for a record of theirs
 *       -> proposed, its fate not known                 in doubt: told by this node's own applied map alone
 *
 * Until it is known the way out is another proposal with a greater n (12). */
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

/* What is not run for now: what is about to be proposed, and what is in doubt. */
static void handing_is(struct cluster *c)
{
    for (size_t i = 0; i < SLOTS / 64; i++)
        c->handing.w[i] = c->doubted.w[i] | c->preparing.w[i];
}

static void propose(struct node *n, uint16_t to, const struct bits *slots, struct node_out *out)
{
    struct cluster *c = n->cluster;
    struct map_entry e = {.type = MAP_HANDOVER, .base = c->map.index, .about = c->id,
                          .incarnation = c->self.incarnation};
    if (c->proposed_n < c->map.nodes.at[c->self.place].proposed_n)
        c->proposed_n = c->map.nodes.at[c->self.place].proposed_n;
    e.handover.n = ++c->proposed_n;
    e.handover.empty = true;
    e.handover.to = c->map.nodes.at[to].id;
    e.handover.to_incarnation = c->map.nodes.at[to].incarnation;
    e.handover.slots = *slots;
    for (size_t i = 0; i < SLOTS / 64; i++)
        c->doubted.w[i] |= slots->w[i]; /* those of an earlier one still are */
    c->handing_until = mono_after(n->now, (int64_t)c->map.settings.node_timeout_ms * 2000);
    *vec_add(&out->words) = (struct word){.type = WORD_PROPOSE, .entry = {.entry = map_entry_copy(&e)}};
}

bool handover_waits(const struct node *n, unsigned slot)
{
    return wanted(n->cluster, slot) != MAP_NOBODY && store_slot_keys_n(&n->store, slot) > 0;
}

void handover_fate_known(struct cluster *c)
{
    c->doubted = (struct bits){0};
    c->handing_until = MONO_NEVER;
    handing_is(c);
}

/* Gates that were failed wait for nothing any more, nor does this. */
static bool all_stored(const struct node *n, struct lsn upto)
{
    return lsn_reached(journal_stored(&n->journal), upto) || lsn_reached(n->gate_floor, upto);
}

/* It is not to be any more: paused, wished otherwise, or the disk is in trouble. */
static void forget_unwished(struct node *n)
{
    struct cluster *c = n->cluster;
    bool all = c->map.settings.rebalance_paused != 0 || commit_refuses(n) != NULL;
    for (unsigned slot = bits_next(&c->preparing, 0); slot < SLOTS; slot = bits_next(&c->preparing, slot + 1))
        if (all || wanted(c, slot) != c->preparing_for)
            bits_remove(&c->preparing, slot);
    handing_is(c);
    c->parked_at = n->now;
}

void handover_go_on(struct node *n, struct node_out *out)
{
    struct cluster *c = n->cluster;
    if (c->preparing_for == MAP_NOBODY || !c->self.leased || !all_stored(n, c->prepared_at))
        return;
    forget_unwished(n);
    if (bits_next(&c->preparing, 0) < SLOTS)
        propose(n, c->preparing_for, &c->preparing, out);
    c->preparing = (struct bits){0};
    c->preparing_for = MAP_NOBODY;
    handing_is(c);
}

static uint16_t choose(const struct node *n, struct bits *slots)
{
    uint16_t to = MAP_NOBODY;
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        uint16_t w = wanted(n->cluster, slot);
        if (w == MAP_NOBODY || (to != MAP_NOBODY && w != to) || store_slot_keys_n(&n->store, slot) > 0)
            continue;
        to = w;
        bits_add(slots, slot);
    }
    return to;
}

void handover_look(struct node *n, struct node_out *out)
{
    struct cluster *c = n->cluster;
    struct bits slots = {0};
    bool in_doubt = c->handing_until.us != MONO_NEVER.us;
    bool refused = c->map.settings.rebalance_paused != 0 || commit_refuses(n) != NULL;
    if (n->loading || !c->self.leased || c->self.place == MAP_NOBODY || c->preparing_for != MAP_NOBODY ||
        (in_doubt ? !mono_reached(n->now, c->handing_until) : refused))
        return;
    uint16_t to = refused ? MAP_NOBODY : choose(n, &slots);
    if (to != MAP_NOBODY) {
        c->preparing = slots;
        c->preparing_for = to;
        c->prepared_at = n->journal.appended;
        handing_is(c);
    } else if (in_doubt) { /* the wish is gone; an empty proposal voids the one in doubt */
        propose(n, c->self.place, &slots, out);
    }
}

/* SPDX-License-Identifier: BSD-3-Clause */
#include "node/route.h"

#include "base/check.h"
#include "base/hash.h"

const char route_lost_contact[] = "The cluster is down: this node has lost contact with it";
const char route_crossslot[] = "CROSSSLOT Keys in request don't hash to the same slot";

static struct route down(const char *why)
{
    return (struct route){.to = ROUTE_DOWN, .peer = MAP_NOBODY, .why = why, .soon = true};
}

/* An election can follow only where somebody lives who was in sync (replication 21, 22). */
static struct route electing(const struct map *m, const struct map_slot *s)
{
    struct route r = down("Hash slot not served");
    r.soon = false;
    for (unsigned i = 0; i < s->isr_n; i++)
        r.soon |= m->nodes.at[s->isr[i]].health != MAP_DOWN;
    return r;
}

struct route route_slot(const struct route_self *self, unsigned slot, enum route_asker who,
                        bool reads)
{
    const struct map_slot *s = &self->map->slots[slot];
    /* in sync: what it has is not older than what the primary acknowledged */
    if (reads && self->place != MAP_NOBODY && map_isr_has(s, self->place, self->incarnation) &&
        ((self->leased && !self->refuses) || self->reads_when_down))
        return (struct route){.to = ROUTE_HERE, .peer = self->place};
    if (s->primary == MAP_NOBODY)
        return electing(self->map, s);
    if (self->refuses)
        return down("The cluster is down: not every slot is served, and "
                    "cluster-require-full-coverage is yes");
    if (s->primary == self->place) {
        if (!map_is_primary(self->map, slot, self->place, self->incarnation))
            return down("Hash slot not served: this node was restarted, and an election follows");
        if (!self->leased) /* replication 7 */
            return down(route_lost_contact);
        return (struct route){.to = ROUTE_HERE, .peer = self->place};
    }
    check(s->primary < self->map->nodes.n);
    return (struct route){.to = who == ROUTE_PLAIN ? ROUTE_FORWARD : ROUTE_MOVED,
                          .peer = s->primary};
}

uint16_t route_read(const struct map *m, unsigned slot, enum read_from from, const char *zone,
                    uint64_t dice)
{
    const struct map_slot *s = &m->slots[slot];
    uint16_t fit[MAP_COPIES];
    unsigned n = 0;
    for (unsigned i = 0; from != READ_FROM_PRIMARY && i < s->isr_n; i++) {
        const struct map_node *at = &m->nodes.at[s->isr[i]];
        bool near =
            from == READ_FROM_NEAREST_ZONE && zone[0] != '\0' && strcmp(at->zone, zone) == 0;
        bool wanted = from == READ_FROM_REPLICA ? s->isr[i] != s->primary : near;
        if (wanted && at->used && at->health == MAP_UP && at->incarnation == s->isr_incarnation[i])
            fit[n++] = s->isr[i];
    }
    return n > 0 ? fit[dice % n] : MAP_NOBODY;
}

struct route route_node(const struct route_self *self, uint16_t place)
{
    const struct map_node *to = &self->map->nodes.at[place];
    if (place == self->place)
        return self->leased ? (struct route){.to = ROUTE_HERE, .peer = place}
                            : down(route_lost_contact);
    if (!to->used || to->health == MAP_DOWN)
        return down("a node that serves a part of it is down");
    return (struct route){.to = ROUTE_FORWARD, .peer = place};
}

enum route_keys route_keys(const struct spec *spec, const struct slice *argv, uint32_t argc,
                           unsigned *slot)
{
    if (spec->first == 1 && spec->last == 1 && spec->keys_n == 1 && argc > 1) {
        *slot = slot_of(argv[1]); /* nearly every command */
        return ROUTE_ONE_SLOT;
    }
    struct keys keys;
    struct key_at key = {0};
    if (spec->keys_n == 0 || !keys_of(spec, argv, argc, &keys))
        return ROUTE_NO_KEY;
    bool any = false;
    while (keys_next(&keys, &key)) {
        unsigned s = slot_of(argv[key.at]);
        if (any && s != *slot)
            return ROUTE_MANY_SLOTS;
        *slot = s;
        any = true;
    }
    return any ? ROUTE_ONE_SLOT : ROUTE_NO_KEY;
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* The value itself: its beginning, its end, a copy, and whether it is whole. What changes it is in
 * map_entry.c. */
#include "core/map/map.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/num.h"
#include "core/map/map_setting.h"

void map_init(struct map *m)
{
    *m = (struct map){0};
    map_settings_preset(&m->settings);
    map_timeout_settle(m);
    m->slots = mem_zero(SLOTS * sizeof(*m->slots));
    for (unsigned i = 0; i < SLOTS; i++)
        m->slots[i].primary = MAP_NOBODY;
}

void map_free(struct map *m)
{
    vec_free(&m->nodes);
    mem_free(m->slots);
    m->slots = NULL;
}

void map_copy(struct map *to, const struct map *from)
{
    if (to == from)
        return;
    struct map_slot *slots = to->slots;
    vec_free(&to->nodes);
    *to = *from;
    to->slots = slots;
    memcpy(slots, from->slots, SLOTS * sizeof(*slots));
    to->nodes.at = NULL;
    to->nodes.n = to->nodes.cap = 0;
    for (size_t i = 0; i < from->nodes.n; i++)
        *vec_add(&to->nodes) = from->nodes.at[i];
}

/* Ids are random: a node's first cells are others' first cells seldom. */
enum { TRIES = 4 };

static size_t cell_of(const struct node_id *id, unsigned turn)
{
    return (((unsigned)id->b[0] << 8 | id->b[1]) + turn) % MAP_GUESSES;
}

void map_note(struct map *m, uint16_t place)
{
    for (unsigned turn = 0; turn < TRIES; turn++) {
        uint16_t *guess = &m->guess[cell_of(&m->nodes.at[place].id, turn)];
        if (*guess == 0) {
            *guess = (uint16_t)(place + 1);
            return;
        }
    }
}

void map_unnote(struct map *m, uint16_t place)
{
    for (unsigned turn = 0; turn < TRIES; turn++) {
        uint16_t *guess = &m->guess[cell_of(&m->nodes.at[place].id, turn)];
        if (*guess == place + 1)
            *guess = 0;
    }
}

uint16_t map_find(const struct map *m, const struct node_id *id)
{
    for (unsigned turn = 0; turn < TRIES; turn++) {
        uint16_t guess = m->guess[cell_of(id, turn)];
        if (guess != 0 && m->nodes.at[guess - 1].used &&
            node_id_equal(&m->nodes.at[guess - 1].id, id))
            return (uint16_t)(guess - 1);
    }
    for (size_t i = 0; i < m->nodes.n; i++)
        if (m->nodes.at[i].used && node_id_equal(&m->nodes.at[i].id, id))
            return (uint16_t)i;
    return MAP_NOBODY;
}

size_t map_members_n(const struct map *m)
{
    size_t n = 0;
    for (size_t i = 0; i < m->nodes.n; i++)
        n += m->nodes.at[i].used;
    return n;
}

const char *map_node_name(const struct map_node *n, char name[MAP_NAME_BYTES])
{
    char id[9] = {0};
    num_put_hex_bytes(id, n->id.b, 4);
    snprintf(name, MAP_NAME_BYTES, "%s (%s:%u)", id, n->at.ip, (unsigned)n->at.port);
    return name;
}

unsigned map_quorum(const struct map_settings *s)
{
    return s->write_quorum == MAP_W_MAJORITY ? MAP_COPIES + s->replication_factor : s->write_quorum;
}

static unsigned quorum_w(unsigned quorum, unsigned isr_n)
{
    if (quorum == MAP_W_ALL)
        return isr_n;
    if (quorum <= MAP_COPIES)
        return quorum;
    unsigned factor = quorum - MAP_COPIES;
    return (isr_n > factor ? isr_n : factor) / 2 + 1;
}

unsigned map_w(const struct map_settings *s, unsigned isr_n)
{
    return quorum_w(map_quorum(s), isr_n);
}

/* The greatest, or the least, of the present W(I) and those that are not settled. */
static unsigned w_among(const struct map *m, const struct map_slot *s, unsigned isr_n,
                        bool greatest)
{
    unsigned w = map_w(&m->settings, isr_n);
    for (unsigned left = s->formers; left != 0; left &= left - 1) {
        unsigned its = quorum_w((unsigned)__builtin_ctz(left), isr_n);
        if (greatest ? its > w : its < w)
            w = its;
    }
    return w;
}

unsigned map_w_strict(const struct map *m, const struct map_slot *s, unsigned isr_n)
{
    return w_among(m, s, isr_n, true);
}

unsigned map_w_weak(const struct map *m, const struct map_slot *s, unsigned isr_n)
{
    return w_among(m, s, isr_n, false);
}

bool map_w_was_one(const struct map *m, const struct map_slot *s)
{
    return m->settings.write_quorum == 1 || (s->formers & 1u << 1) != 0;
}

unsigned map_unsettled_n(const struct map *m)
{
    unsigned n = 0;
    for (unsigned i = 0; i < SLOTS; i++)
        n += m->slots[i].formers != 0;
    return n;
}

void map_timeout_settle(struct map *m)
{
    m->timeout.lease_ms = m->timeout.wait_ms = m->settings.node_timeout_ms;
}

void map_replicas_follow(struct map_slot *s)
{
    unsigned n = s->want_n;
    memset(s->replicas, 0, sizeof(s->replicas));
    memcpy(s->replicas, s->want, n * sizeof(s->want[0]));
    for (unsigned i = 0; i < s->isr_n; i++)
        if (!map_wishes(s, s->isr[i]))
            s->replicas[n++] = s->isr[i];
    s->replicas_n = (uint8_t)n;
}

/* Members, each once. */
static bool list_whole(const struct map *m, const uint16_t *list, unsigned n)
{
    if (n > MAP_COPIES)
        return false;
    for (unsigned i = 0; i < n; i++)
        if (list[i] >= m->nodes.n || !m->nodes.at[list[i]].used || map_list_has(list, i, list[i]))
            return false;
    return true;
}

static const char *node_wrong(const struct map *m, size_t place)
{
    const struct map_node *n = &m->nodes.at[place];
    if (!n->used)
        return NULL;
    if (map_find(m, &n->id) != place)
        return "a node is in two places";
    if (n->health > MAP_DOWN || n->incarnation == 0 || n->weight > MAP_WEIGHT)
        return "a node's health, incarnation or weight is none";
    if (n->run_index > n->health_index && n->health_index != 0)
        return "something was said of a run that had not begun (P9)";
    if (n->run_index == 0 || n->run_index > m->nodes_ver || n->health_index > m->nodes_ver)
        return "nodes_ver is behind a node";
    return NULL;
}

static const char *primary_wrong(const struct map *m, const struct map_slot *s)
{
    if (s->primary == MAP_NOBODY)
        return NULL;
    if (s->isr[0] != s->primary)
        return "the primary is not the first of its isr (P3)";
    const struct map_node *n = &m->nodes.at[s->primary];
    if (n->health == MAP_DOWN)
        return "a slot's primary is DOWN (P6)";
    if (n->incarnation != s->isr_incarnation[0])
        return "a slot's primary is of another incarnation (P6)";
    return NULL;
}

static const char *slot_wrong(const struct map *m, const struct map_slot *s)
{
    if (s->epoch == 0 || s->isr_n == 0 || s->want_n == 0)
        return "a slot has no epoch, no isr or no wish (P7)";
    if (s->anew > s->epoch)
        return "a slot begins anew in an epoch to come (P15)";
    if (s->ver == 0 || s->ver > m->slots_ver)
        return "slots_ver is behind a slot";
    if (!list_whole(m, s->isr, s->isr_n) || !list_whole(m, s->want, s->want_n))
        return "a slot names a node twice, or one that is no member (P7)";
    struct map_slot right = *s;
    map_replicas_follow(&right);
    if (s->replicas_n != right.replicas_n ||
        memcmp(s->replicas, right.replicas, sizeof(s->replicas)) != 0)
        return "the replicas are not who is wished and who is in sync (P3)";
    if (s->formers >> MAP_QUORUMS != 0 || (s->formers >> map_quorum(&m->settings) & 1) != 0)
        return "a slot's former quorum is none, or the present one (P13)";
    for (unsigned i = 0; i < s->isr_n; i++)
        if (s->isr_incarnation[i] == 0 ||
            s->isr_incarnation[i] > m->nodes.at[s->isr[i]].incarnation)
            return "the isr knows a run that has not begun (P9)";
    return primary_wrong(m, s);
}

const char *map_wrong(const struct map *m)
{
    if (m->slots_ver > m->index || m->nodes_ver > m->index || m->want_ver > m->slots_ver)
        return "a part of the map is ahead of its index";
    if (m->nodes.n > MAP_NODES)
        return "too many nodes";
    if (map_settings_unfit(&m->settings) != NULL)
        return "a setting is out of its range (P8)";
    if (m->timeout.lease_ms == 0 || m->timeout.lease_ms > m->settings.node_timeout_ms ||
        m->timeout.wait_ms < m->settings.node_timeout_ms || m->timeout.ver > m->index ||
        m->quorum_ver > m->index)
        return "cluster-node-timeout is not within what is in use of it (P12)";
    if (m->nodes.n == 0)
        return m->slots_ver == 0 ? NULL : "slots without nodes";
    const char *wrong = NULL;
    for (size_t i = 0; i < m->nodes.n && wrong == NULL; i++)
        wrong = node_wrong(m, i);
    for (unsigned i = 0; i < SLOTS && wrong == NULL; i++)
        wrong = slot_wrong(m, &m->slots[i]);
    return wrong;
}

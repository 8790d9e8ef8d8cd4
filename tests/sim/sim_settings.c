/* SPDX-License-Identifier: BSD-3-Clause */

/* Settings that change while a cluster runs: cluster-node-timeout, write-quorum and replication-factor, which are
 * settled, and what it began with in the end (replication, "Settings"). */
#include <stdio.h>

#include "core/map/map_setting.h"
#include "tests/sim/hosts.h"

static bool ask(struct hosts *w, struct plane *p, const char *name, int64_t value)
{
    struct word word = {.type = WORD_ASK, .ask = {.what = ASK_SET, .value = value}};
    snprintf(word.ask.text, sizeof(word.ask.text), "%s", name);
    hosts_say(w, "host %u: %s is to be %lld", p->number, name, (long long)value);
    plane_ask(&w->planes, p, word);
    return true;
}

bool settings_change(struct hosts *w, struct host *h)
{
    static const int64_t timeouts[] = {400, 700, 1000, 2500};
    const struct map_settings *s = &control_map(h->plane->control)->settings;
    bool number = s->write_quorum != MAP_W_ALL && s->write_quorum != MAP_W_MAJORITY;
    uint64_t pick = rng_below(&w->rng, w->copies > 1 ? 3 : 1);
    uint32_t least = number ? s->write_quorum : 1;
    if (pick == 0)
        return ask(w, h->plane, "cluster-node-timeout", timeouts[rng_below(&w->rng, 4)]);
    if (pick == 1)
        return ask(w, h->plane, "replication-factor", least + (int64_t)rng_below(&w->rng, w->copies + 1 - least));
    switch (rng_below(&w->rng, 3)) {
    case 0: return ask(w, h->plane, "write-quorum", MAP_W_ALL);
    case 1: return ask(w, h->plane, "write-quorum", MAP_W_MAJORITY);
    default: break;
    }
    return ask(w, h->plane, "write-quorum", 1 + (int64_t)rng_below(&w->rng, s->replication_factor));
}

void settings_look(struct hosts *w)
{
    struct plane *leader = planes_leader(&w->planes);
    if (!w->settings_back || leader == NULL)
        return;
    const struct map_settings *now = &control_map(leader->control)->settings;
    const struct map_settings *first = &w->host[0].plane->config.settings;
    if (now->node_timeout_ms != first->node_timeout_ms)
        ask(w, leader, "cluster-node-timeout", first->node_timeout_ms);
    if (now->replication_factor != first->replication_factor)
        ask(w, leader, "replication-factor", first->replication_factor);
    if (now->write_quorum != first->write_quorum)
        ask(w, leader, "write-quorum", first->write_quorum);
}

static void propose(struct hosts *w, struct plane *p, struct map_entry e)
{
    e.base = control_map(p->control)->index;
    plane_ask(&w->planes, p, (struct word){.type = WORD_PROPOSE, .entry = {.entry = map_entry_copy(&e)}});
}

void settings_skip(struct hosts *w)
{
    struct plane *leader = planes_leader(&w->planes);
    const struct map *m = leader == NULL ? NULL : control_map(leader->control);
    if (m == NULL || (m->timeout.ver <= w->skipped && m->quorum_ver <= w->skipped))
        return;
    w->skipped = m->timeout.ver > m->quorum_ver ? m->timeout.ver : m->quorum_ver;
    propose(w, leader, (struct map_entry){.type = MAP_TIMEOUT_SETTLED});
    for (size_t i = 0; i < m->nodes.n; i++) {
        struct map_entry e = {.type = MAP_SETTLED, .about = m->nodes.at[i].id, .incarnation = m->nodes.at[i].incarnation};
        for (unsigned slot = 0; slot < SLOTS; slot++)
            bits_add(&e.settled, slot);
        if (m->nodes.at[i].used)
            propose(w, leader, e);
    }
}

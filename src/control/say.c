/* SPDX-License-Identifier: BSD-3-Clause */

/* Entries and nodes as an operator reads them in the log. */
#include <stdio.h>

#include "base/num.h"
#include "control/inside.h"
#include "core/map/map_setting.h"

static const char *say_id(const struct map *m, const struct node_id *id, char name[MAP_NAME_BYTES])
{
    uint16_t place = map_find(m, id);
    struct map_node stranger = {.id = *id};
    return map_node_name(place == MAP_NOBODY ? &stranger : &m->nodes.at[place], name);
}

static bool is_down(const struct map *m, const struct node_id *id)
{
    uint16_t place = map_find(m, id);
    return place != MAP_NOBODY && m->nodes.at[place].health == MAP_DOWN;
}

static const char *say_member(const struct map_member *m, char name[MAP_NAME_BYTES])
{
    struct map_node n = {.id = m->id, .at = m->at};
    return map_node_name(&n, name);
}

static unsigned slots_of(const struct map_entry *e)
{
    unsigned n = 0;
    for (size_t i = 0; i < e->runs.run_n; i++)
        n += e->runs.run[i].to - e->runs.run[i].from + 1U;
    return n;
}

/* Who serves them now, if it is one for all: so it is where a node is back. */
static void say_elect(const struct map *m, const struct map_entry *e, char text[SAY_BYTES])
{
    char a[MAP_NAME_BYTES];
    uint16_t winner = e->runs.run_n > 0 ? e->runs.run[0].node[0] : MAP_NOBODY;
    for (size_t i = 1; i < e->runs.run_n; i++)
        if (e->runs.run[i].node[0] != winner)
            winner = MAP_NOBODY;
    if (!e->runs.give_up && winner < m->nodes.n && m->nodes.at[winner].used)
        snprintf(text, SAY_BYTES, "node %s serves %u slots that had no primary",
                 map_node_name(&m->nodes.at[winner], a), slots_of(e));
    else
        snprintf(text, SAY_BYTES, "%u slots get a primary%s", slots_of(e),
                 e->runs.give_up ? ", without their data" : "");
}

static void say_isr(const struct map *m, const struct map_entry *e, char text[SAY_BYTES])
{
    char a[MAP_NAME_BYTES];
    unsigned slots = 0, least = MAP_COPIES, most = 0;
    for (size_t i = 0; i < e->isr.run_n; i++) {
        const struct map_isr_run *run = &e->isr.run[i];
        slots += run->to - run->from + 1U;
        least = run->n < least ? run->n : least;
        most = run->n > most ? run->n : most;
    }
    if (slots == 0)
        snprintf(text, SAY_BYTES, "node %s: what it proposed before is void",
                 say_id(m, &e->about, a));
    else if (least < most)
        snprintf(text, SAY_BYTES, "node %s: %u of its slots have %u to %u copies in sync now",
                 say_id(m, &e->about, a), slots, least, most);
    else
        snprintf(text, SAY_BYTES, "node %s: %u of its slots have %u %s in sync now",
                 say_id(m, &e->about, a), slots, most, most == 1 ? "copy" : "copies");
}

static void say_setting(const struct map_entry *e, char text[SAY_BYTES])
{
    char value[MAP_SETTING_CHARS];
    const struct map_setting *row = map_setting_find(slice_str(e->set.name));
    struct slice v = row == NULL ? slice_of(value, num_put_i64(value, e->set.value))
                                 : map_setting_text(row, e->set.value, value);
    snprintf(text, SAY_BYTES, "%s is %.*s", e->set.name, (int)v.n, v.p);
}

/* m: as it is before the entry, or after it. */
void say_entry(const struct map *m, const struct map_entry *e, char text[SAY_BYTES])
{
    char a[MAP_NAME_BYTES], b[MAP_NAME_BYTES];
    switch (e->type) {
    case MAP_FOUND:
        snprintf(text, SAY_BYTES, "cluster founded by node %s", say_member(&e->found.first, a));
        return;
    case MAP_JOIN: snprintf(text, SAY_BYTES, "node %s joins", say_member(&e->member, a)); return;
    case MAP_ANNOUNCE:
        snprintf(text, SAY_BYTES, "node %s is reached there now", say_member(&e->member, a));
        return;
    case MAP_SUSPECTED:
        snprintf(text, SAY_BYTES, "node %s is SUSPECT: it is not heard, its lease runs out",
                 say_id(m, &e->about, a));
        return;
    case MAP_DOWNED:
        snprintf(text, SAY_BYTES, "node %s is DOWN: its slots have no primary",
                 say_id(m, &e->about, a));
        return;
    case MAP_CLEARED:
        snprintf(text, SAY_BYTES, "node %s is back: it is heard well again",
                 say_id(m, &e->about, a));
        return;
    case MAP_RESTARTED:
        snprintf(text, SAY_BYTES, "node %s is back, started anew: incarnation %u",
                 say_member(&e->member, a), (unsigned)e->member.incarnation);
        return;
    case MAP_LEAVE:
        snprintf(text, SAY_BYTES, "node %s leaves: it is %s", say_id(m, &e->about, a),
                 is_down(m, &e->about) ? "DOWN and hands nothing over" : "drained");
        return;
    case MAP_REMOVE:
        snprintf(text, SAY_BYTES, "node %s is no member any more", say_id(m, &e->about, a));
        return;
    case MAP_SET: say_setting(e, text); return;
    case MAP_PLACE:
        snprintf(text, SAY_BYTES, "who is to have %u slots is decided anew", slots_of(e));
        return;
    case MAP_ELECT: say_elect(m, e, text); return;
    case MAP_HANDOVER:
        snprintf(text, SAY_BYTES, "node %s hands %u slots to %s", say_id(m, &e->about, a),
                 bits_n(&e->handover.slots), say_id(m, &e->handover.to, b));
        return;
    case MAP_ISR: say_isr(m, e, text); return;
    case MAP_SETTLED:
        snprintf(text, SAY_BYTES,
                 "node %s: write-quorum and replication-factor are settled in %u of its slots",
                 say_id(m, &e->about, a), bits_n(&e->settled));
        return;
    case MAP_TIMEOUT_SETTLED:
        snprintf(text, SAY_BYTES,
                 "cluster-node-timeout is settled: every node that may serve knows it");
        return;
    case MAP_TYPES: break;
    }
    snprintf(text, SAY_BYTES, "an entry of no known kind");
}

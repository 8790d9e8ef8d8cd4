/* SPDX-License-Identifier: BSD-3-Clause */
#include "relay/node_news.h"

/* Node timeouts: who is dead is DOWN by then, which is told in place of this. */
enum { MISSED_TIMES = 4 };

/* Those whose last primary was at this place; MAP_NOBODY: whoever it was. */
static unsigned slots_unserved(const struct map *m, uint16_t last)
{
    unsigned n = 0;
    for (unsigned slot = 0; slot < SLOTS; slot++)
        n += m->slots[slot].primary == MAP_NOBODY &&
             (last == MAP_NOBODY || map_last(&m->slots[slot]) == last);
    return n;
}

/* ------------------------------------------------------------------- the map's word */

static void say(const struct map *m, const struct map_node *n, const char *what, struct log *log)
{
    char name[MAP_NAME_BYTES];
    log_say(log, LOG_LEVEL_NOTICE, "map %llu: node %s %s", (unsigned long long)m->index,
            map_node_name(n, name), what);
}

/* With its lease, or its run, it lost what it served (core/map P6). */
static void say_lost(const struct map *m, uint16_t place, const char *what, struct log *log)
{
    const struct map_node *is = &m->nodes.at[place];
    unsigned slots = slots_unserved(m, place);
    char name[MAP_NAME_BYTES];
    if (slots == 0)
        say(m, is, what, log);
    else
        log_say(log, LOG_LEVEL_WARNING,
                "map %llu: node %s %s: requests for its %u slots wait until they are served, for "
                "retry-timeout at most; writes that it had not answered are UNCERTAIN",
                (unsigned long long)m->index, map_node_name(is, name), what, slots);
}

/* A whole map may bring another node in the place of one that left. */
static void say_changed(const struct map *m, uint16_t place, const struct map_node *was,
                        struct log *log)
{
    const struct map_node *is = &m->nodes.at[place];
    bool same = was->used && is->used && node_id_equal(&was->id, &is->id);
    if (was->used && !same)
        say(m, was, "is no member any more", log);
    if (is->used && !same)
        say(m, is, "joins", log);
    if (!same)
        return;
    if (is->health == MAP_DOWN && was->health != MAP_DOWN)
        say_lost(m, place, "is DOWN", log);
    else if (is->incarnation != was->incarnation)
        say_lost(m, place, "is back, started anew", log);
    else if (is->health != MAP_DOWN && was->health == MAP_DOWN)
        say(m, is, "is back: it is heard well again", log);
}

static void look_at_nodes(struct node_news *w, const struct map *m, struct log *log)
{
    static const struct known_node nobody = {.missed = {INT64_MAX}};
    bool first = w->at.n == 0;
    while (w->at.n < m->nodes.n)
        *vec_add(&w->at) = nobody;
    for (uint16_t i = 0; i < m->nodes.n; i++) {
        struct known_node *k = &w->at.at[i];
        const struct map_node *is = &m->nodes.at[i];
        if (!first)
            say_changed(m, i, &k->is, log);
        else if (is->used && is->health == MAP_DOWN)
            say_lost(m, i, "is DOWN", log);
        if (!is->used || is->health == MAP_DOWN || !node_id_equal(&k->is.id, &is->id))
            *k = nobody;
        k->is = *is;
    }
    w->nodes_ver = m->nodes_ver;
}

void node_news_look(struct node_news *w, const struct map *m, struct log *log)
{
    bool first = w->at.n == 0, nodes = w->nodes_ver != m->nodes_ver;
    unsigned before = w->unserved;
    if (nodes)
        look_at_nodes(w, m, log);
    /* slots lose their primary only by entries that change a node */
    if (!nodes && before == 0)
        return;
    w->unserved = slots_unserved(m, MAP_NOBODY);
    if (first && w->unserved > 0)
        log_say(log, LOG_LEVEL_WARNING,
                "map %llu: no node serves %u slots: requests for them wait, for retry-timeout at "
                "most",
                (unsigned long long)m->index, w->unserved);
    else if (before > 0 && w->unserved == 0)
        log_say(log, LOG_LEVEL_NOTICE, "map %llu: all slots are served",
                (unsigned long long)m->index);
}

/* ------------------------------------------------------------------- seen from here */

static struct known_node *known(struct node_news *w, const struct map *m, const struct node_id *id)
{
    uint16_t place = map_find(m, id);
    return place < w->at.n ? &w->at.at[place] : NULL;
}

void node_news_missed(struct node_news *w, const struct map *m, const struct node_id *id,
                      const char *why, struct mono now, struct log *log)
{
    struct known_node *k = known(w, m, id);
    char name[MAP_NAME_BYTES];
    if (k == NULL || k->said || k->is.health == MAP_DOWN)
        return;
    k->missed = mono_earlier(k->missed, now);
    if (!mono_reached(now, mono_after(k->missed, MISSED_TIMES * map_timeout_us(&m->settings))))
        return;
    k->said = true;
    log_say(log, LOG_LEVEL_WARNING,
            "node %s is not reached at its cluster port %u: %s; the cluster has not called it "
            "DOWN, so requests for its slots wait for it, for retry-timeout at most",
            map_node_name(&k->is, name), (unsigned)k->is.at.cluster_port, why);
}

void node_news_reached(struct node_news *w, const struct map *m, const struct node_id *id,
                       struct log *log)
{
    struct known_node *k = known(w, m, id);
    char name[MAP_NAME_BYTES];
    if (k == NULL)
        return;
    if (k->said)
        log_say(log, LOG_LEVEL_NOTICE, "node %s is reached again", map_node_name(&k->is, name));
    k->missed = MONO_NEVER;
    k->said = false;
}

void node_news_free(struct node_news *w)
{
    vec_free(&w->at);
}

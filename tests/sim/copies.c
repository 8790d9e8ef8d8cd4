/* SPDX-License-Identifier: BSD-3-Clause */

/* Copies of slots: who is in sync, as far as anybody knows; what their ends may lose of what was promised;
 * and, when all is over, whether they are equal. */
#include <stdio.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/num.h"
#include "node/cluster.h"
#include "tests/sim/hosts.h"

enum { UP_US = 1000 * 1000 };

static unsigned group_slot(unsigned g)
{
    char key[16];
    snprintf(key, sizeof(key), "{g%u}", g);
    return slot_of(slice_str(key));
}

static uint8_t host_of(const struct hosts *w, const struct map *m, uint16_t place)
{
    uint8_t i = 0;
    while (i < w->planes.n && memcmp(&w->planes.at[i].id_if_new, &m->nodes.at[place].id, sizeof(struct node_id)) != 0)
        i++;
    return i;
}

static const struct map_node *node_of(const struct hosts *w, const struct map *m, unsigned host)
{
    uint16_t place = map_find(m, &w->planes.at[host].id_if_new);
    return place == MAP_NOBODY ? NULL : &m->nodes.at[place];
}

/* ------------------------------------------------------------------------ who is in sync */

static int find(const struct in_sync *s, uint8_t host, uint32_t incarnation)
{
    for (unsigned i = 0; i < s->n; i++)
        if (s->host[i] == host && s->incarnation[i] == incarnation)
            return (int)i;
    return -1;
}

/* --------------------------------------------------------------------------------- losses */

/* What this member of an in-sync set may lack begins there; now: nothing. What it was sent before it joined, of any age,
 * it had synced by then (4); but who was elected for want of others (22) may have been in the midst of that: if its disk
 * lacks anything of the time before, it may lack all. */
static int64_t lacks_from(const struct hosts *w, const struct in_sync *s, unsigned i)
{
    const struct host *h = &w->host[s->host[i]];
    int64_t from = w->planes.now.us;
    for (size_t run = s->incarnation[i]; run <= h->lacks.n; run++)
        if (run > 0 && h->lacks.at[run - 1] < from)
            from = h->lacks.at[run - 1];
    return s->elected[i] && from < s->since[i] ? 0 : from;
}

/* W of them held what was acknowledged, at the worst those who lack most; one that lacks nothing of it is enough. */
static int64_t lost_from(const struct hosts *w, const struct in_sync *s)
{
    int64_t from[MAP_COPIES];
    for (unsigned i = 0; i < s->n; i++) {
        int64_t its = lacks_from(w, s, i);
        unsigned at = i;
        for (; at > 0 && from[at - 1] > its; at--)
            from[at] = from[at - 1];
        from[at] = its;
    }
    return from[(s->needed < s->n ? s->needed : s->n) - 1];
}

static void lost(struct hosts *w, unsigned g, int64_t since)
{
    int64_t now = w->planes.now.us;
    w->losses_n++;
    *vec_add(&w->histories[g].ops) = (struct history_op){.call = now, .answer = now, .is_loss = true, .since = since};
}

/* What is left of the group may be of any age. */
static void given_up(struct hosts *w, unsigned g)
{
    hosts_say(w, "group %u may be given up", g);
    w->given_up_n++;
    lost(w, g, 0);
    w->histories[g].ops.at[w->histories[g].ops.n - 1].gives_up = true;
}

/* From now on the group's slot may lack what the whole set lacks. */
static void may_lack(struct hosts *w, unsigned g, const struct in_sync *s)
{
    int64_t from = lost_from(w, s);
    if (from == 0)
        given_up(w, g);
    else if (from < w->planes.now.us)
        lost(w, g, from);
}

static bool is_behind(struct position a, struct position b)
{
    return a.epoch != b.epoch ? a.epoch < b.epoch : a.seq < b.seq;
}

/* Where it is in the group's slot, or was when the run ended that the map knows of; NULL: it loads. */
static const struct position *place_of(const struct host *h, const struct map_node *n, unsigned g)
{
    if (h->ended_run == n->incarnation)
        return &h->ended_at[g];
    return h->node != NULL && h->loading == LOADED ? &h->node->slots[group_slot(g)].at : NULL;
}

/* Of who is elected now, and those that were in sync and have been up for a while, as the map has it, the place of whoever
 * has most of the slot; NULL: there is none. */
static const struct position *most_of(const struct hosts *w, const struct map *m, unsigned g, const struct in_sync *s)
{
    uint16_t elected = m->slots[group_slot(g)].primary;
    const struct position *most = NULL;
    if (elected != MAP_NOBODY)
        most = place_of(&w->host[host_of(w, m, elected)], &m->nodes.at[elected], g);
    for (unsigned i = 0; i < s->n; i++) {
        const struct host *h = &w->host[s->host[i]];
        const struct map_node *n = node_of(w, m, s->host[i]);
        bool is_up = n != NULL && n->health == MAP_UP && w->planes.now.us - h->health_us > UP_US;
        const struct position *at = is_up ? place_of(h, n, g) : NULL;
        if (at != NULL && (most == NULL || is_behind(*most, *at)))
            most = at;
    }
    return most;
}

/* With W = 1 its primary alone held what was acknowledged: once another is elected, what no member that is up had from it
 * is lost, and nothing before that (22, "What is promised"). */
static void one_lost(struct hosts *w, const struct map *m, unsigned g, const struct in_sync *before)
{
    unsigned slot = group_slot(g);
    int64_t since = INT64_MAX;
    const struct position *most = most_of(w, m, g, before);
    if (!before->electing || m->slots[slot].primary == MAP_NOBODY || !map_w_was_one(m, &m->slots[slot]) || most == NULL)
        return;
    for (uint64_t epoch = m->slots[slot].epoch - 1; epoch >= most->epoch && epoch > 0 && since == INT64_MAX; epoch--)
        since = hosts_recorded_us(w, slot, epoch, most->seq + 1);
    if (since != INT64_MAX)
        lost(w, g, since);
}

void copies_left(struct host *h)
{
    h->ended_run = control_incarnation(h->plane->control);
    for (unsigned g = 0; g < GROUPS; g++)
        h->ended_at[g] = h->node->slots[group_slot(g)].at;
}

void copies_ended(struct hosts *w, struct host *h, int64_t since)
{
    int64_t now = w->planes.now.us;
    uint32_t incarnation = control_incarnation(h->plane->control);
    while (h->lacks.n < incarnation)
        *vec_add(&h->lacks) = INT64_MAX;
    h->lacks.at[incarnation - 1] = since < now ? since : INT64_MAX;
    for (unsigned g = 0; g < GROUPS; g++) {
        const struct in_sync *s = &w->in_sync[g];
        bool is_in = false;
        for (unsigned i = 0; i < s->n; i++)
            is_in |= s->host[i] == h->plane->number;
        if (is_in)
            may_lack(w, g, s);
    }
}

/* ------------------------------------------------------------------------------ as maps come */

static void say_in_sync(struct hosts *w, unsigned g, bool primary)
{
    const struct in_sync *s = &w->in_sync[g];
    char text[16 * MAP_COPIES] = "";
    for (unsigned i = 0, n = 0; i < s->n; i++)
        n += (unsigned)snprintf(text + n, sizeof(text) - n, " %u/%u", s->host[i], s->incarnation[i]);
    hosts_say(w, "map %llu: group %u, slot %u:%s in sync%s", (unsigned long long)w->copies_index, g, group_slot(g),
              text, primary ? "" : ", no primary");
}

/* Did a primary ask for this in-sync set? From then on replies needed W of it, too (12), and elections may be of it alone. */
static bool is_proposed(const struct hosts *w, unsigned g, const struct in_sync *s)
{
    for (unsigned k = 0; k < PROPOSALS; k++) {
        const struct in_sync *p = &w->proposed[g][k];
        if (s->n > 0 && p->n == s->n && memcmp(p->host, s->host, s->n * sizeof(s->host[0])) == 0 &&
            memcmp(p->incarnation, s->incarnation, s->n * sizeof(s->incarnation[0])) == 0)
            return true;
    }
    return false;
}

static bool leaves(const struct map_slot *s, const struct map_isr_run *run)
{
    for (unsigned i = 0; i < s->isr_n; i++)
        if (!map_list_has(run->node, run->n, s->isr[i]))
            return true;
    return false;
}

/* Members leave only if enough of them stay; others may come in their place (14). */
static void check_leaves(struct hosts *w, const struct map *m, unsigned slot, const struct map_isr_run *run)
{
    const struct map_slot *s = &m->slots[slot];
    unsigned strict = map_w_strict(m, s, run->n), least = 1 + m->settings.min_replicas;
    if (run->n < s->isr_n && leaves(s, run) && (run->n < strict || run->n < least))
        planes_wrong(&w->planes, "members of an in-sync set are to leave, and too few stay (14)", host_of(w, m, s->isr[0]));
}

void copies_proposed(struct hosts *w, const struct map *m, const struct map_entry *e)
{
    for (size_t i = 0; i < e->isr.run_n; i++)
        for (unsigned g = 0; g < GROUPS; g++) {
            const struct map_isr_run *run = &e->isr.run[i];
            if (group_slot(g) < run->from || group_slot(g) > run->to)
                continue;
            struct in_sync now = {.n = run->n}, *p = w->proposed[g];
            for (unsigned k = 0; k < run->n; k++) {
                now.host[k] = host_of(w, m, run->node[k]);
                now.incarnation[k] = run->incarnation[k];
            }
            check_leaves(w, m, group_slot(g), run);
            memmove(p + 1, p, (PROPOSALS - 1) * sizeof(*p));
            *p = now;
        }
}

/* Who is to be forgotten and goes DOWN before it is drained is given up with what it holds: FORGET counts as its report,
 * an empty one (22). */
static void look_given_up(struct hosts *w, const struct map *m)
{
    for (size_t i = 0; i < w->planes.n; i++) {
        struct host *h = &w->host[i];
        uint16_t place = h->is_leaving && h->node != NULL ? map_find(m, control_id(h->plane->control)) : MAP_NOBODY;
        bool down = place != MAP_NOBODY && m->nodes.at[place].health == MAP_DOWN;
        if (down && !h->given_up)
            copies_ended(w, h, 0);
        h->given_up = down;
    }
}

static void look_healths(struct hosts *w, const struct map *m)
{
    for (unsigned i = 0; i < w->planes.n; i++) {
        const struct map_node *n = node_of(w, m, i);
        if (n == NULL || n->health_index == w->host[i].health_index)
            continue;
        w->host[i].health_index = n->health_index;
        w->host[i].health_us = w->planes.now.us;
    }
}

/* With W = all an election leaves out no member that is up in the run that was in sync: it is waited for, and holds what
 * was acknowledged (21). Up for a while: an ELECT may have been on its way when it was cleared. */
static void check_elected(struct hosts *w, const struct map *m, const struct in_sync *before, const struct in_sync *s)
{
    for (unsigned i = 0; i < before->n && before->electing && !s->electing && before->needed == before->n; i++) {
        const struct map_node *n = node_of(w, m, before->host[i]);
        if (n != NULL && n->health == MAP_UP && n->incarnation == before->incarnation[i] &&
            w->planes.now.us - w->host[before->host[i]].health_us > UP_US &&
            find(s, before->host[i], before->incarnation[i]) < 0)
            planes_wrong(&w->planes, "an election did not wait for a member that is up (21)", before->host[i]);
    }
}

void copies_alter(struct hosts *w)
{
    for (unsigned g = 0; g < GROUPS && !w->altered; g++) {
        const struct in_sync *s = &w->in_sync[g];
        struct host *h = s->n > 1 ? &w->host[s->host[1]] : NULL;
        char key[16];
        snprintf(key, sizeof(key), "{g%u}a", g);
        w->altered = h != NULL && h->node != NULL && h->loading == LOADED && host_alter(h, slice_str(key));
        if (w->altered)
            hosts_say(w, "host %u: the value of %s is altered", h->plane->number, key);
    }
}

void copies_scrubbed(struct hosts *w)
{
    for (unsigned i = 0; i < w->planes.n; i++) {
        const struct node *n = w->host[i].node;
        const struct scrub *s = n != NULL ? &n->cluster->replicas->repl.scrub : NULL;
        if (s != NULL && (s->healed > 0 || bits_next(&s->differ, 0) < SLOTS))
            planes_wrong(&w->planes, "copies of a slot were found not to be equal (29)", i);
    }
}

/* Where no member of the set came back in the run that was in sync, whoever has most of the slot is elected (22): also of
 * what an end before took from the set, and what was read meanwhile lacked. */
static bool may_revive(const struct hosts *w, const struct map *m, unsigned g, const struct in_sync *before)
{
    uint16_t primary = m->slots[group_slot(g)].primary;
    bool any = false;
    for (unsigned i = 0; i < before->n && primary != MAP_NOBODY; i++)
        if (before->host[i] == host_of(w, m, primary))
            return false;
    for (size_t i = 0; i < w->histories[g].ops.n && !any; i++)
        any = w->histories[g].ops.at[i].is_loss;
    return any && before->n > 0 && before->electing && primary != MAP_NOBODY;
}

void copies_look(struct hosts *w, const struct map *m)
{
    if (m->index <= w->copies_index)
        return;
    if (w->copies > 1)
        copies_scrubbed(w);
    bool is_next = m->index == w->copies_index + 1;
    w->copies_index = m->index;
    look_given_up(w, m);
    look_healths(w, m);
    for (unsigned g = 0; g < GROUPS; g++) {
        const struct map_slot *slot = &m->slots[group_slot(g)];
        struct in_sync before = w->in_sync[g], *s = &w->in_sync[g];
        s->n = 0;
        s->electing = slot->primary == MAP_NOBODY;
        s->needed = map_w_weak(m, slot, slot->isr_n);
        for (unsigned i = 0; i < slot->isr_n; i++) {
            uint8_t host = host_of(w, m, slot->isr[i]);
            if (host == w->planes.n)
                continue; /* the slot's last one was forgotten */
            s->host[s->n] = host;
            s->incarnation[s->n] = slot->isr_incarnation[i];
            int was = find(&before, host, slot->isr_incarnation[i]);
            s->since[s->n] = was >= 0 ? before.since[was] : w->planes.now.us;
            s->elected[s->n] = was >= 0 ? before.elected[was] : before.electing;
            s->n++;
        }
        one_lost(w, m, g, &before);
        if (may_revive(w, m, g, &before))
            given_up(w, g);
        if (is_next) /* else nobody knows who was up when */
            check_elected(w, m, &before, s);
        before.needed = s->needed;
        before.electing = s->electing;
        if (memcmp(&before, s, sizeof(before)) == 0)
            continue;
        say_in_sync(w, g, slot->primary != MAP_NOBODY);
        if (is_proposed(w, g, s)) /* "What is promised": the smaller set counts from then on; its members may have ended since */
            may_lack(w, g, s);
    }
}

/* ------------------------------------------------------------------------------ in the end */

static unsigned members_n(const struct map *m)
{
    unsigned n = 0;
    for (size_t i = 0; i < m->nodes.n; i++)
        n += m->nodes.at[i].used && !m->nodes.at[i].leaving && m->nodes.at[i].weight > 0;
    return n;
}

bool copies_are_full(struct planes *planes)
{
    struct hosts *w = (struct hosts *)planes;
    const struct map *m = &w->host[0].node->cluster->map;
    unsigned members = members_n(m), wanted = w->copies < members ? w->copies : members;
    for (unsigned s = 0; s < SLOTS; s++)
        if (m->slots[s].primary == MAP_NOBODY || m->slots[s].isr_n < wanted)
            return false;
    return true;
}

static void sum_up(void *who, struct entry *e)
{
    uint64_t *sum = who;
    char scratch[NUM_I64_CHARS];
    *sum += hash_keyed(&(struct hash_key){hash_keyed(&(struct hash_key){1, 2}, entry_key(e)), 3},
                       entry_value(e, scratch));
}

static uint64_t content(struct host *h, unsigned slot)
{
    uint64_t sum = 0, cursor = 0;
    do
        cursor = store_slot_scan(&h->node->store, slot, cursor, 1000, sum_up, &sum);
    while (cursor != 0);
    return sum;
}

void copies_compare(struct hosts *w)
{
    const struct map *m = &w->host[0].node->cluster->map;
    for (unsigned slot = 0; slot < SLOTS && w->planes.wrong[0] == '\0'; slot++) {
        const struct map_slot *s = &m->slots[slot];
        struct host *first = &w->host[host_of(w, m, s->isr[0])];
        for (unsigned i = 1; i < s->isr_n; i++) {
            struct host *h = &w->host[host_of(w, m, s->isr[i])];
            struct position p = first->node->slots[slot].at, q = h->node->slots[slot].at;
            if (p.epoch == q.epoch && p.seq == q.seq && content(first, slot) == content(h, slot))
                continue;
            hosts_say(w, "slot %u: host %u is at %llu/%llu with %zu keys, host %u at %llu/%llu with %zu", slot,
                      first->plane->number, (unsigned long long)p.epoch, (unsigned long long)p.seq,
                      store_slot_keys_n(&first->node->store, slot), h->plane->number, (unsigned long long)q.epoch,
                      (unsigned long long)q.seq, store_slot_keys_n(&h->node->store, slot));
            planes_wrong(&w->planes, "trouble is over, and copies are not equal", h->plane->number);
        }
    }
}

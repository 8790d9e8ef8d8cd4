/* SPDX-License-Identifier: BSD-3-Clause */

/* Copies of slots: who is in sync, as far as anybody knows; what their ends may lose of what was promised;
 * and, when all is over, whether they are equal. */
#include <stdio.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/num.h"
#include "node/cluster.h"
#include "tests/sim/hosts.h"

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

/* ------------------------------------------------------------------------ who is in sync */

static int64_t in_sync_since(const struct in_sync *s, uint8_t host, uint32_t incarnation, int64_t otherwise)
{
    for (unsigned i = 0; i < s->n; i++)
        if (s->host[i] == host && s->incarnation[i] == incarnation)
            return s->since[i];
    return otherwise;
}

/* --------------------------------------------------------------------------------- losses */

/* What this member of an in-sync set may lack begins there; now: nothing. What was copied to it may be as old as
 * can be: where its disk lacks anything of its time before it was in sync, it may lack all. */
static int64_t lacks_from(const struct hosts *w, const struct in_sync *s, unsigned i)
{
    const struct host *h = &w->host[s->host[i]];
    int64_t from = w->planes.now.us;
    for (size_t run = s->incarnation[i]; run <= h->lacks.n; run++)
        if (run > 0 && h->lacks.at[run - 1] < from)
            from = h->lacks.at[run - 1];
    return w->copies > 1 && from < s->since[i] ? 0 : from;
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

/* From now on the group's slot may lack what the whole set lacks. */
static void may_lack(struct hosts *w, unsigned g, const struct in_sync *s)
{
    int64_t now = w->planes.now.us, from = lost_from(w, s);
    if (from >= now)
        return;
    w->losses_n++;
    *vec_add(&w->histories[g].ops) = (struct history_op){.call = now, .answer = now, .is_loss = true, .since = from};
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

/* Did a primary ask for this in-sync set? */
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

void copies_proposed(struct hosts *w, const struct map *m, const struct map_entry *e)
{
    for (size_t i = 0; i < e->isr.run_n; i++)
        for (unsigned g = 0; g < GROUPS; g++) {
            const struct map_isr_run *run = &e->isr.run[i];
            if (group_slot(g) < run->from || group_slot(g) > run->to)
                continue;
            struct in_sync *p = w->proposed[g];
            memmove(p + 1, p, (PROPOSALS - 1) * sizeof(*p));
            *p = (struct in_sync){.n = run->n};
            for (unsigned k = 0; k < run->n; k++) {
                p->host[k] = host_of(w, m, run->node[k]);
                p->incarnation[k] = run->incarnation[k];
            }
        }
}

/* Who is to be forgotten and goes DOWN before it is drained is given up with what it holds (22). */
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

void copies_look(struct hosts *w, const struct map *m)
{
    if (m->index <= w->copies_index)
        return;
    w->copies_index = m->index;
    look_given_up(w, m);
    for (unsigned g = 0; g < GROUPS; g++) {
        const struct map_slot *slot = &m->slots[group_slot(g)];
        struct in_sync before = w->in_sync[g], *s = &w->in_sync[g];
        s->n = 0;
        s->needed = map_w_weak(m, slot, slot->isr_n);
        for (unsigned i = 0; i < slot->isr_n; i++) {
            uint8_t host = host_of(w, m, slot->isr[i]);
            if (host == w->planes.n)
                continue; /* the slot's last one was forgotten */
            s->host[s->n] = host;
            s->incarnation[s->n] = slot->isr_incarnation[i];
            s->since[s->n] = in_sync_since(&before, host, slot->isr_incarnation[i], w->planes.now.us);
            s->n++;
        }
        before.needed = s->needed;
        if (memcmp(&before, s, sizeof(before)) == 0)
            continue;
        say_in_sync(w, g, slot->primary != MAP_NOBODY);
        if (is_proposed(w, g, s)) /* of the smaller set while a change is proposed: its members may have ended since */
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

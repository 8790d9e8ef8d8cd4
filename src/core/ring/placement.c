/* SPDX-License-Identifier: BSD-3-Clause */

/* Placement in four movements, over units of four slots:
 *
 *     keep     every unit keeps the copies it may keep: not those of who left, nor two in one zone
 *     fill     units short of copies get them: where one is already, else of who has least and is a
 *              partner
 *     settle   who has too few copies takes from who has more, who has too many gives: at once, or
 *              round a corner:
 *
 *                  too many: A     unit 7: {A, B}     C may take A's place in unit 7 only if it is
 *                  too few:  C     unit 9: {B, D}     not in it already, nor its zone; else C
 *                                                     takes B's place in unit 9, and B A's in
 *                                                     another
 *     lead     the same once more for who is first of each unit, among the copies it has
 *
 * Between least and most of its share a site is content: so a join moves what the newcomer gets and
 * a leave what the leaver had. Everything is decided by order and ratios: no chance. */
#include "core/ring/placement.h"

#include <string.h>

#include "core/ring/placing.h"

static bool same_list(const struct map_run *a, const struct map_run *b)
{
    return a->n == b->n && memcmp(a->node, b->node, a->n * sizeof(a->node[0])) == 0;
}

static bool is_wished(const struct map_slot *s, const struct map_run *run)
{
    return s->want_n == run->n && memcmp(s->want, run->node, run->n * sizeof(run->node[0])) == 0;
}

static void placement_add(struct placement *p, const struct map_run *run)
{
    struct map_run *last = p->runs.n > 0 ? &p->runs.at[p->runs.n - 1] : NULL;
    p->slots_n++;
    if (last != NULL && last->to + 1 == run->from && same_list(last, run))
        last->to = run->to;
    else
        *vec_add(&p->runs) = *run;
}

/* Who leads, then the others in the order they had. */
static struct map_run run_of(const struct placing *w, unsigned slot)
{
    const struct unit *u = &w->unit[slot / PLACEMENT_UNIT];
    struct map_run run = {
        .from = (uint16_t)slot, .to = (uint16_t)slot, .n = 1, .node = {w->place[u->lead]}};
    for (unsigned k = 0; k < u->n; k++)
        if (u->site[k] != u->lead)
            run.node[run.n++] = w->place[u->site[k]];
    return run;
}

/* By which part somebody may lead more than is fair: 2 %, from 50 nodes on slowly more, so that a
 * leave does not tighten the bound at once; 5 % from 100 on. */
static double slack_of(size_t n)
{
    return n <= 50 ? 0.02 : n >= 100 ? 0.05 : 0.02 + 0.03 * (double)(n - 50) / 50;
}

void placement_next(struct placement *p, const struct map *m)
{
    vec_clear(&p->runs);
    p->slots_n = 0;
    struct placing w;
    placing_begin(&w, m);
    double slack = slack_of(w.n);
    if (w.n > 0) {
        shares_fair(&w);
        copies_keep(&w);
        copies_settle(&w, w.copies > 1 ? 2 * slack : slack); /* of one copy who has it leads it */
        leads_settle(&w, slack);
    }
    for (unsigned slot = 0; w.n > 0 && slot < SLOTS; slot++) {
        struct map_run run = run_of(&w, slot);
        if (!is_wished(&m->slots[slot], &run))
            placement_add(p, &run);
    }
    placing_end(&w);
}

void placement_free(struct placement *p)
{
    vec_free(&p->runs);
    p->slots_n = 0;
}

/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/walker.h"

#include "base/check.h"
#include "base/mem.h"
#include "store/dying.h"
#include "store/slots.h"

enum { GENERATIONS = 4 }; /* what two bits can tell apart */
enum { WALK_CHUNK = 32 }; /* entries between two looks at the budget */
enum { WALK_AHEAD = 16 }; /* entries fetched into the cache before their turn */

/* One table as of T, which held something. */
struct walk_part {
    unsigned db;              /* the number of its database then */
    struct table *keys;       /* where it is now; NULL: nothing is wanted of it any more */
    struct store_dying *held; /* of a flushed table: until the walk is through it */
};

struct store_walk {
    struct walk_part *parts;
    struct walk_part **of; /* by its place in s->slots now; NULL: empty at T, or flushed since */
    unsigned parts_n, at;  /* the parts before `at` are done */
    uint64_t cursor;       /* in the part `at` */
    bool mute;             /* cancelled: generations are set, nothing is handed out */
    struct walk_progress progress;
};

enum err walk_begin(struct store *s)
{
    if (s->walk != NULL || !store_spares_empty(s))
        return ERR_LIMIT;                  /* S11 */
    check(s->generations_n < GENERATIONS); /* S7 */
    struct store_walk *w = mem_get(sizeof(*w));
    *w = (struct store_walk){
        .parts = mem_get(s->slots_n * sizeof(*w->parts)),
        .of = mem_zero((s->slots_n + STORE_SPARES) * sizeof(*w->of)),
    };
    for (unsigned at = 0; (at = slots_next_any(s, at)) < s->slots_n; at++) {
        w->of[at] = &w->parts[w->parts_n];
        w->parts[w->parts_n++] =
            (struct walk_part){.db = slots_db(s, at), .keys = &s->slots[at].keys};
        w->progress.total += table_n(&s->slots[at].keys);
    }
    s->generation = (s->generation + 1u) & (GENERATIONS - 1u);
    s->generations_n++;
    s->walk = w;
    return ERR_OK;
}

static void part_release(struct store *s, struct walk_part *part)
{
    if (part->held != NULL)
        dying_release(s, part->held);
    part->held = NULL;
    part->keys = NULL;
}

void walk_free(struct store *s)
{
    struct store_walk *w = s->walk;
    if (w == NULL)
        return;
    for (unsigned i = 0; i < w->parts_n; i++)
        part_release(s, &w->parts[i]);
    mem_free(w->parts);
    mem_free(w->of);
    mem_free(w);
    s->walk = NULL;
}

/* ------------------------------------------------------------------ steps */

/* Entries on their way from the table to ops->walked, so that the cache has them by then. */
struct visit {
    struct store *s;
    unsigned db;
    struct entry *ahead[WALK_AHEAD];
    unsigned first, n;
    size_t entries, bytes;
};

static size_t told_bytes(const struct entry *e)
{
    const struct blob *b = entry_blob(e);
    return entry_key(e).n + (b != NULL ? b->n : e->value_n);
}

static void hand_out(struct store *s, unsigned db, struct entry *e)
{
    e->generation = s->generation & (GENERATIONS - 1u);
    if (s->walk->mute)
        return;
    s->walk->progress.done++;
    s->ops->walked(s->ops, db, e);
}

static void visit_oldest(struct visit *v)
{
    struct entry *e = v->ahead[v->first];
    v->first = (v->first + 1) % WALK_AHEAD;
    v->n--;
    v->entries++; /* also where it was handed out before: the look at it cost the time */
    if (e->generation == v->s->generation)
        return;
    v->bytes += told_bytes(e);
    hand_out(v->s, v->db, e);
}

static void visit(void *who, struct entry *e)
{
    struct visit *v = who;
    if (v->n == WALK_AHEAD)
        visit_oldest(v);
    __builtin_prefetch(e);
    __builtin_prefetch((const char *)e + 64);
    v->ahead[(v->first + v->n++) % WALK_AHEAD] = e;
}

bool walk_step(struct store *s, size_t entries, size_t bytes)
{
    struct store_walk *w = s->walk;
    check(w != NULL);
    struct visit v = {.s = s};
    while (w->at < w->parts_n) {
        struct walk_part *part = &w->parts[w->at];
        if (v.entries >= entries || v.bytes >= bytes)
            return false;
        v.db = part->db;
        w->cursor =
            part->keys != NULL ? table_scan(part->keys, w->cursor, WALK_CHUNK, visit, &v) : 0;
        while (v.n > 0)
            visit_oldest(&v);
        if (w->cursor == 0) {
            part_release(s, part);
            w->at++;
        }
    }
    check(w->mute || w->progress.done == w->progress.total); /* S6 */
    s->generations_n = 1;                                    /* S7 */
    walk_free(s);
    return true;
}

void walk_cancel(struct store *s)
{
    if (!walk_is_on(s))
        return;
    if (s->generations_n < GENERATIONS) {
        walk_free(s);
        return;
    }
    s->walk->mute = true;
    for (unsigned i = 0; i < s->walk->parts_n; i++)
        if (s->walk->parts[i].held != NULL)
            part_release(s, &s->walk->parts[i]); /* these entries never come back */
}

bool walk_is_on(const struct store *s)
{
    return s->walk != NULL && !s->walk->mute;
}

bool walk_is_untidy(const struct store *s)
{
    return s->walk != NULL && s->walk->mute;
}

void walk_tidy(struct store *s, size_t budget)
{
    if (walk_is_untidy(s))
        walk_step(s, budget, SIZE_MAX);
}

struct walk_progress walk_progress(const struct store *s)
{
    return walk_is_on(s) ? s->walk->progress : (struct walk_progress){0};
}

/* ---------------------------------------------------------------- changes */

void walk_hand_out_now(struct store *s, unsigned at, struct entry *e)
{
    const struct walk_part *part = s->walk->of[at];
    check(part != NULL); /* S6: what came into an empty table has the store's generation */
    hand_out(s, part->db, e);
}

void walk_swapped(struct store *s, unsigned a, unsigned b)
{
    struct store_walk *w = s->walk;
    if (w == NULL)
        return;
    struct walk_part *part = w->of[a];
    w->of[a] = w->of[b];
    w->of[b] = part;
    if (w->of[a] != NULL && w->of[a]->keys != NULL)
        w->of[a]->keys = &s->slots[a].keys;
    if (w->of[b] != NULL && w->of[b]->keys != NULL)
        w->of[b]->keys = &s->slots[b].keys;
}

void walk_flushed(struct store *s, unsigned at, struct store_dying *d)
{
    struct store_walk *w = s->walk;
    if (w == NULL || w->of[at] == NULL)
        return;
    struct walk_part *part = w->of[at];
    w->of[at] = NULL;
    if (part->keys == NULL)
        return;
    if (w->mute) {
        part_release(s, part);
        return;
    }
    part->keys = &d->keys;
    part->held = d;
    dying_hold(s, d);
}

/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/dying.h"

#include "base/check.h"
#include "base/mem.h"

struct store_dying *dying_add(struct store *s, struct store_slot *slot)
{
    struct store_dying *d = mem_get(sizeof(*d));
    *d = (struct store_dying){.keys = slot->keys, .dues = slot->dues};
    list_push(&s->dying, &d->in);
    s->dying_bytes += slot->entry_bytes;
    return d;
}

void dying_hold(struct store *s, struct store_dying *d)
{
    list_drop(&d->in);
    list_push(&s->dying_held, &d->in);
}

void dying_release(struct store *s, struct store_dying *d)
{
    list_drop(&d->in);
    list_push(&s->dying, &d->in);
}

bool dying_is_due(const struct store *s)
{
    return !list_empty(&s->dying);
}

enum { DYING_AHEAD = 16 }; /* entries fetched into the cache before their turn */

struct dropper {
    struct store *s;
    struct entry *ahead[DYING_AHEAD];
    unsigned first, n;
};

static void drop_oldest(struct dropper *d)
{
    struct entry *e = d->ahead[d->first];
    d->first = (d->first + 1) % DYING_AHEAD;
    d->n--;
    d->s->dying_bytes -= entry_bytes(e);
    entry_free(e, &d->s->graves);
}

static void drop(void *who, struct entry *e)
{
    struct dropper *d = who;
    if (d->n == DYING_AHEAD)
        drop_oldest(d);
    __builtin_prefetch(e);
    d->ahead[(d->first + d->n++) % DYING_AHEAD] = e;
}

/* One table's worth of a step; true: it is empty. */
static bool table_dies(struct store *s, struct table *t, uint64_t *cursor, size_t *budget,
                       void (*drop_entry)(void *who, struct entry *e))
{
    size_t before = table_n(t);
    struct dropper d = {.s = s};
    *cursor = table_free_some(t, *cursor, *budget, drop_entry, &d);
    while (d.n > 0)
        drop_oldest(&d);
    size_t done = before - table_n(t);
    *budget = done < *budget ? *budget - done : 0;
    return *cursor == 0;
}

void dying_step(struct store *s, size_t budget)
{
    while (!list_empty(&s->dying) && budget > 0) {
        struct store_dying *d = CONTAINER_OF(s->dying.next, struct store_dying, in);
        if (!d->dues_done) {
            d->dues_done = table_dies(s, &d->dues, &d->cursor, &budget, NULL);
            continue;
        }
        if (table_dies(s, &d->keys, &d->cursor, &budget, drop)) {
            list_drop(&d->in);
            mem_free(d);
        }
    }
}

void dying_free(struct store *s)
{
    check(list_empty(&s->dying_held)); /* the walk is over */
    dying_step(s, SIZE_MAX);
    check(s->dying_bytes == 0); /* S3 */
}

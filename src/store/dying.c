/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/dying.h"

#include "base/check.h"
#include "base/mem.h"

struct store_dying *dying_add(struct store *s, struct store_db *db)
{
    struct store_dying *d = mem_get(sizeof(*d));
    *d = (struct store_dying){.next = s->dying, .keys = db->keys, .dues = db->dues};
    s->dying = d;
    s->dying_bytes += db->entry_bytes;
    return d;
}

bool dying_is_due(const struct store *s)
{
    for (const struct store_dying *d = s->dying; d != NULL; d = d->next)
        if (!d->held)
            return true;
    return false;
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
    for (struct store_dying **at = &s->dying; *at != NULL && budget > 0;) {
        struct store_dying *d = *at;
        if (d->held) {
            at = &d->next;
            continue;
        }
        if (!d->dues_done) {
            d->dues_done = table_dies(s, &d->dues, &d->cursor, &budget, NULL);
            continue;
        }
        if (table_dies(s, &d->keys, &d->cursor, &budget, drop)) {
            *at = d->next;
            mem_free(d);
        }
    }
}

void dying_free(struct store *s)
{
    for (struct store_dying *d = s->dying; d != NULL; d = d->next)
        d->held = false;
    while (s->dying != NULL)
        dying_step(s, SIZE_MAX);
    check(s->dying_bytes == 0); /* S3 */
}

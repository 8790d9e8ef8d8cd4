/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/expire.h"

#include "store/slots.h"

enum { EXPIRE_CHUNK = 32 }; /* entries of one scan */

/* What one scan found. It may visit more than a chunk, where hashes are alike; what finds no room
 * is found the next time round. */
struct found {
    struct wall now;
    struct entry *due[2 * EXPIRE_CHUNK];
    size_t due_n, looked;
};

static void visit(void *who, struct entry *e)
{
    struct found *f = who;
    f->looked++;
    if (store_is_due(e, f->now) && f->due_n < 2 * EXPIRE_CHUNK)
        f->due[f->due_n++] = e;
}

struct step {
    struct store *s;
    struct wall now;
    size_t budget;
    void (*drop)(void *who, unsigned db, struct slice key);
    void *who;
    struct expire_done done;
};

/* The slot whose turn it is, which has some due or not. The database has some. */
static struct store_slot *slot_now(struct store *s, unsigned db)
{
    struct slots_range r = slots_of_db(s, db);
    unsigned at = slots_next(s, r, s->is_slotted ? s->due_slot : db, SLOTS_DUES);
    if (at == r.first + r.n)
        at = slots_next(s, r, r.first, SLOTS_DUES);
    s->due_slot = at;
    return &s->slots[at];
}

/* True: the budget ended while much was due. */
static bool step_db(struct step *step, unsigned db)
{
    struct store *s = step->s;
    size_t looked = 0;
    bool many = true;
    size_t all = store_dues_n(s, db);
    while (store_dues_n(s, db) > 0 && looked < all && (many || looked < EXPIRE_LOOK)) {
        if (step->done.looked >= step->budget)
            return many;
        struct found f = {.now = step->now};
        struct store_slot *d = slot_now(s, db);
        d->due_cursor = table_scan(&d->dues, d->due_cursor, EXPIRE_CHUNK, visit, &f);
        if (d->due_cursor == 0)
            s->due_slot++;
        for (size_t i = 0; i < f.due_n; i++)
            step->drop(step->who, db, entry_key(f.due[i]));
        if (f.looked > 0) /* not the mere end of a round */
            many = f.due_n * 10 >= f.looked;
        looked += f.looked;
        step->done.looked += f.looked;
        step->done.due += f.due_n;
    }
    return false;
}

struct expire_done expire_step(struct store *s, struct wall now, size_t budget,
                               void (*drop)(void *who, unsigned db, struct slice key), void *who)
{
    struct step step = {s, now, budget, drop, who, {.again_ms = EXPIRE_NEVER_MS}};
    for (unsigned i = 0; i < s->dbs_n; i++) {
        unsigned db = s->due_db % s->dbs_n;
        if (step_db(&step, db)) {
            step.done.again_ms = 0;
            return step.done; /* goes on with this one */
        }
        s->due_db = db + 1;
        if (store_dues_n(s, db) > 0)
            step.done.again_ms = EXPIRE_IDLE_MS;
    }
    return step.done;
}

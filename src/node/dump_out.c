/* SPDX-License-Identifier: BSD-3-Clause */

/* As primary: slots sent whole (replication 23, 24). */
#include "node/slot_dump.h"

#include "base/check.h"
#include "cmd/keys.h"
#include "node/cluster.h"
#include "node/replicate.h"

enum { DUMP_WINDOW = 4 }; /* parts said and not taken */
/* Between two parts; between two looks at their bytes. */
enum { SCAN_ENTRIES = 256, SCAN_CHUNK = 8 };
/* With more unsent on the link nothing is put behind it. */
enum { LINK_BYTES = 256 * 1024 };
/* Of slots that are sent at once, not taken there: records behind them are waited for, if the copy
 * is in sync with their slot, and sockets hold megabytes. */
enum { AHEAD_BYTES = 64 * 1024 };
enum { STEP_PARTS = 2 }; /* of one dump in a turn, while dumps_left */
/* 4 MB; behind a big value records wait longer. */
enum { HOLD_PARTS = 70, HOLD_BIG_PARTS = 16 * HOLD_PARTS };
enum { END_PARTS = 4 }; /* that go at once at the end, before records of other slots */

/* Commands, or a big value on its way in pieces. */
struct item {
    struct list in;
    struct effects fx;
    struct blob *big; /* NULL: commands */
    bool waits;       /* big, and of a record: it counts in `queued` */
    size_t said;
    struct wall until;
    size_t key_n;
    char key[];
};

static struct replicas *of(const struct node *n)
{
    return n->cluster->replicas;
}

/* -------------------------------------------------------------------- queue */

static struct item *item_new(struct dump_out *d, struct slice key)
{
    struct item *i = mem_get(sizeof(*i) + key.n);
    *i = (struct item){.until = WALL_NEVER, .key_n = key.n};
    (void)slice_copy(i->key, key);
    list_push(&d->queue, &i->in);
    return i;
}

static void item_free(struct node *n, struct item *i)
{
    list_drop(&i->in);
    effects_free(&i->fx);
    if (i->big != NULL)
        blob_drop(i->big, &n->store.graves);
    mem_free(i);
}

static struct item *item_first(const struct dump_out *d)
{
    return list_empty(&d->queue) ? NULL : CONTAINER_OF(d->queue.next, struct item, in);
}

/* Where the next command goes. */
static struct item *item_open(struct dump_out *d)
{
    struct item *last = list_empty(&d->queue) ? NULL : CONTAINER_OF(d->queue.prev, struct item, in);
    if (last != NULL && last->big == NULL && last->fx.bytes.n < d->part_bytes)
        return last;
    return item_new(d, (struct slice){"", 0});
}

static void queue_clear(struct node *n, struct dump_out *d)
{
    while (!list_empty(&d->queue))
        item_free(n, item_first(d));
    d->queued = d->bigs = d->scan_bigs = 0;
}

static void put_entry(struct dump_out *d, struct entry *e, bool waits)
{
    char scratch[NUM_I64_CHARS];
    struct blob *b = entry_blob(e);
    if (b != NULL && b->n > d->part_bytes) {
        struct item *i = item_new(d, entry_key(e));
        i->big = blob_share(b);
        i->waits = waits;
        i->until = entry_expiry(e);
        d->bigs++;
        d->scan_bigs += !waits;
        d->queued += waits ? b->n : 0;
        return;
    }
    struct item *i = item_open(d);
    size_t before = i->fx.bytes.n;
    effect_set(&i->fx, 0, entry_key(e), entry_value(e, scratch), b, entry_expiry(e));
    d->queued += i->fx.bytes.n - before;
}

static void put_command(struct dump_out *d, const struct slice *argv, size_t argc)
{
    struct item *i = item_open(d);
    size_t before = i->fx.bytes.n;
    effect_argv(&i->fx, 0, argv, NULL, argc);
    d->queued += i->fx.bytes.n - before;
}

/* ------------------------------------------------------------------ records */

static bool has_passed(const struct dump_out *d, const struct key *k)
{
    return d->scanned || table_scan_passed(d->cursor, k->hash);
}

/* The key as it is now, in place of what was done to it. */
static void put_state(struct node *n, struct dump_out *d, const struct key *k)
{
    struct entry *e = store_find(&n->store, 0, k);
    const struct slice del[] = {SLICE("DEL"), k->s};
    if (e != NULL)
        put_entry(d, e, true);
    else
        put_command(d, del, 2);
}

static bool is_flush(struct slice word)
{
    return slice_equal(word, SLICE("VONG.FLUSHSLOT"));
}

/* How many keys of a record's command there are, and how many of them were scanned; these are put
 * as they are. */
struct seen {
    unsigned keys, passed;
};
static struct seen look_at(struct node *n, struct dump_out *d, const struct slice *argv,
                           uint32_t argc, bool puts)
{
    struct seen seen = {0};
    struct keys keys;
    struct key_at at = {0};
    const struct spec *spec = spec_find(argv, argc);
    check(spec != NULL && keys_of(spec, argv, argc, &keys)); /* it was made here (8) */
    while (keys_next(&keys, &at)) {
        struct key k = key_of(&n->store, argv[at.at]);
        seen.keys++;
        if (!has_passed(d, &k))
            continue;
        seen.passed++;
        if (puts)
            put_state(n, d, &k);
    }
    return seen;
}

/* A command on keys that were all scanned is said as it is, one on keys that were not is none of
 * ours. Where one has both kinds, the record's scanned keys are said as they are after it. */
static void follow(struct node *n, struct dump_out *d, const struct aof_batch *b)
{
    bool is_mixed = false, flushes = false;
    for (size_t i = 0; i < b->commands.n; i++) {
        const struct slice *argv = aof_argv(b, i);
        if (is_flush(argv[0])) {
            flushes = true;
            continue;
        }
        struct seen seen = look_at(n, d, argv, b->commands.at[i].argc, false);
        is_mixed |= seen.passed > 0 && seen.passed < seen.keys;
    }
    if (flushes) {
        char text[NUM_I64_CHARS];
        const struct slice flush[] = {SLICE("VONG.FLUSHSLOT"),
                                      slice_of(text, num_put_u64(text, d->in.slot))};
        queue_clear(n, d);
        put_command(d, flush, 2);
    }
    for (size_t i = 0; i < b->commands.n; i++) {
        const struct slice *argv = aof_argv(b, i);
        uint32_t argc = b->commands.at[i].argc;
        if (!is_flush(argv[0]) && look_at(n, d, argv, argc, is_mixed || flushes).passed > 0 &&
            !is_mixed && !flushes)
            put_command(d, argv, argc);
    }
}

/* Bytes. Once all is scanned it is to end: each part that is said leaves room for half a one. */
static size_t most_queued(const struct dump_out *d)
{
    if (d->bigs > 0)
        return d->part_bytes * HOLD_BIG_PARTS;
    uint32_t said = d->scanned ? (d->parts - d->scanned_at) / 2 : 0;
    return d->part_bytes * (said < HOLD_PARTS - END_PARTS ? HOLD_PARTS - said : END_PARTS);
}

/* With all scanned and said, big values go out of what records still bring one by one. */
static bool is_full(const struct dump_out *d)
{
    bool ends = d->scanned && d->scan_bigs == 0 && d->bigs > 0;
    return ends || d->queued >= most_queued(d);
}

bool dump_is_of(const struct node *n, unsigned slot)
{
    bool any = false;
    for (unsigned i = 0; i < DUMPS_AT_ONCE; i++)
        any |= of(n)->out[i].used && of(n)->out[i].in.slot == slot;
    return any;
}

void dump_record(struct node *n, unsigned slot, struct slice record)
{
    struct replicas *r = of(n);
    struct note note;
    size_t used;
    bool parsed = false;
    for (unsigned i = 0; i < DUMPS_AT_ONCE; i++) {
        struct dump_out *d = &r->out[i];
        if (!d->used || d->in.slot != slot)
            continue;
        if (!parsed) {
            aof_batch_clear(&r->record_batch);
            check(aof_record(record, &note, &r->record_batch, &used) == ERR_OK);
            parsed = true;
        }
        bool was_full = is_full(d);
        follow(n, d, &r->record_batch);
        d->moved = is_full(d) && !was_full ? n->now : d->moved;
    }
}

/* --------------------------------------------------------------------- scan */

static void scanned(void *who, struct entry *e)
{
    put_entry(who, e, false);
}

static void scan(struct node *n, struct dump_out *d)
{
    size_t before = d->queued;
    d->scanned_at = d->parts;
    for (unsigned i = 0;
         i < SCAN_ENTRIES && d->queued - before < d->part_bytes && d->scan_bigs == 0 && !d->scanned;
         i += SCAN_CHUNK) {
        d->cursor = store_slot_scan(&n->store, d->in.slot, d->cursor, SCAN_CHUNK, scanned, d);
        d->scanned = d->cursor == 0;
    }
}

/* -------------------------------------------------------------------- parts */

static void link_say(struct repl_link *l, const struct repl_message *m)
{
    put_repl(&l->out, m);
    l->dump_left = link_unsent(l);
}

/* VONG.BIG key bytes value, APPEND key value ..., PEXPIREAT */
static void big_piece(struct node *n, struct dump_out *d, struct item *i, struct effects *to)
{
    struct slice key = slice_of(i->key, i->key_n);
    struct slice piece = slice_head(slice_from(blob_slice(i->big), i->said), d->part_bytes);
    effect_begin(to, 0, i->said == 0 ? 4 : 3);
    effect_arg(to, i->said == 0 ? SLICE("VONG.BIG") : SLICE("APPEND"));
    effect_arg(to, key);
    if (i->said == 0)
        effect_arg_i64(to, (int64_t)i->big->n);
    effect_arg(to, piece);
    i->said += piece.n;
    d->queued -= i->waits ? piece.n : 0;
    if (i->said < i->big->n)
        return;
    if (!wall_is_never(i->until))
        effect_expire(to, 0, key, i->until);
    d->bigs--;
    d->scan_bigs -= !i->waits;
    item_free(n, i);
}

/* The next part's commands, out of the queue; to be freed. */
static struct slice part_take(struct node *n, struct dump_out *d)
{
    struct item *i = item_first(d);
    struct effects piece = {0};
    size_t bytes;
    if (i != NULL && i->big != NULL) {
        big_piece(n, d, i, &piece);
    } else if (i != NULL) {
        d->queued -= i->fx.bytes.n;
        chain_append(&piece.bytes, &i->fx.bytes);
        item_free(n, i);
    }
    const char *flat = chain_flat(&piece.bytes, NULL, &bytes);
    effects_free(&piece);
    return slice_of(flat, bytes);
}

static void count_said(struct node *n, size_t bytes)
{
    struct replicas *r = of(n);
    r->dumps_bytes += bytes;
    r->dumps_left -= bytes < r->dumps_left ? bytes : r->dumps_left;
}

static void part_say(struct node *n, struct dump_out *d, struct repl_link *l)
{
    struct slice commands = part_take(n, d);
    count_said(n, commands.n);
    d->moved = n->now;
    link_say(l,
             &(struct repl_message){.type = REPL_DUMP,
                                    .dump = {.in = d->in, .part = d->parts++, .bytes = commands}});
    mem_free((char *)commands.p);
}

static bool is_last(const struct dump_out *d)
{
    return list_empty(&d->queue) || d->queue.next->next == &d->queue;
}

/* What is left goes at once, and from here on the copy is sent records as they are made. */
static void end(struct node *n, struct dump_out *d, struct repl_link *l)
{
    const struct lineage *at = &n->slots[d->in.slot];
    while (!is_last(d))
        part_say(n, d, l);
    struct slice last = part_take(n, d);
    count_said(n, last.n);
    l->dumps_said += last.n;
    link_say(l, &(struct repl_message){.type = REPL_DUMPED,
                                       .dumped = {.in = d->in,
                                                  .parts = d->parts,
                                                  .bytes = last,
                                                  .at = at->at,
                                                  .starts_n = at->starts_n,
                                                  .starts = at->starts}});
    mem_free((char *)last.p);
    of(n)->dumps_out++;
    repl_dump_said(&of(n)->repl, d->place, d->in.slot);
}

/* ------------------------------------------------------------------- dumps */

static void out_free(struct node *n, struct dump_out *d)
{
    queue_clear(n, d);
    d->used = false;
}

static void out_begin(struct dump_out *d, uint16_t place, const struct repl_round *in,
                      size_t part_bytes)
{
    *d = (struct dump_out){.used = true, .place = place, .in = *in, .part_bytes = part_bytes};
    list_init(&d->queue);
}

/* It fits into one part: nobody needs to wait for anything. */
static void say_at_once(struct node *n, struct repl_link *l, unsigned slot)
{
    struct dump_out d;
    struct repl_round in = repl_round_of(&of(n)->repl, l->place, slot);
    out_begin(&d, l->place, &in, SIZE_MAX);
    while (!d.scanned)
        scan(n, &d);
    end(n, &d, l);
    out_free(n, &d);
}

void dump_taken(struct node *n, uint16_t place, uint64_t bytes)
{
    struct repl_link *l = of(n)->links.at[place];
    l->dumps_taken = bytes < l->dumps_said ? bytes : l->dumps_said;
}

void dump_look(struct node *n, struct repl_link *l)
{
    struct replicas *r = of(n);
    unsigned slot;
    while (link_unsent(l) < LINK_BYTES && l->dumps_said - l->dumps_taken < AHEAD_BYTES &&
           (slot = repl_wants_dump(&r->repl, l->place)) != SLOTS) {
        if (store_slot_bytes(&n->store, slot) > r->part_bytes)
            repl_offer(&r->repl, l->place, slot);
        else if (r->dumps_left > 0)
            say_at_once(n, l, slot);
        else
            return; /* it still wants it: the next turn goes on */
    }
}

void dump_pulled(struct node *n, uint16_t place, const struct repl_pull *p)
{
    struct replicas *r = of(n);
    for (unsigned i = 0; i < DUMPS_AT_ONCE; i++) {
        struct dump_out *d = &r->out[i];
        if (!d->used || d->place != place || !repl_round_is(&d->in, &p->in))
            continue;
        if (p->parts > d->taken && p->parts <= d->parts)
            d->taken = p->parts;
        return;
    }
    for (size_t i = 0; i < r->pulls.n; i++)
        if (r->pulls.at[i].place == place && repl_round_is(&r->pulls.at[i].in, &p->in))
            return;
    if (p->parts == 0 && repl_is_pulled(&r->repl, place, &p->in))
        *vec_add(&r->pulls) = (struct dump_pull){place, p->in};
}

/* Of those that wait, and still do, the one of the slot with the fewest copies. */
static bool pull_take(struct node *n, struct dump_pull *next)
{
    struct replicas *r = of(n);
    const struct map_slot *slots = n->cluster->map.slots;
    size_t best = 0;
    for (size_t i = 0; i < r->pulls.n;) {
        if (!repl_is_pulled(&r->repl, r->pulls.at[i].place, &r->pulls.at[i].in)) {
            r->pulls.at[i] = r->pulls.at[--r->pulls.n];
            best = 0;
            i = 0;
            continue;
        }
        if (slots[r->pulls.at[i].in.slot].isr_n < slots[r->pulls.at[best].in.slot].isr_n)
            best = i;
        i++;
    }
    if (r->pulls.n == 0)
        return false;
    *next = r->pulls.at[best];
    r->pulls.at[best] = r->pulls.at[--r->pulls.n];
    return true;
}

static struct repl_link *link_of(const struct node *n, uint16_t place)
{
    struct repl_link *l = place < of(n)->links.n ? of(n)->links.at[place] : NULL;
    return l != NULL && l->open ? l : NULL;
}

/* Its session, epoch and round are still those it was begun for (23). */
static bool is_wanted(const struct node *n, const struct dump_out *d)
{
    return link_of(n, d->place) != NULL && repl_is_pulled(&of(n)->repl, d->place, &d->in);
}

static bool may_say(const struct node *n, const struct dump_out *d)
{
    return d->parts - d->taken < DUMP_WINDOW && link_unsent(link_of(n, d->place)) < LINK_BYTES;
}

/* Nothing is left but what records brought, and that is soon said. */
static bool is_at_end(const struct dump_out *d)
{
    return d->scanned && d->bigs == 0 && (is_last(d) || d->queued < d->part_bytes * END_PARTS);
}

static void go_on(struct node *n, struct dump_out *d)
{
    for (unsigned i = 0; i < STEP_PARTS && of(n)->dumps_left > 0 && may_say(n, d); i++) {
        struct repl_link *l = link_of(n, d->place);
        /* every other part is the scan's, however much records bring: it adds less than goes out */
        if (!d->scanned && (d->queued < d->part_bytes || d->parts > d->scanned_at + 1) &&
            d->scan_bigs == 0)
            scan(n, d);
        if (is_at_end(d)) {
            end(n, d, l);
            out_free(n, d);
            return;
        }
        if (!list_empty(&d->queue))
            part_say(n, d, l);
    }
}

void dump_step(struct node *n)
{
    struct dump_pull next;
    for (unsigned i = 0; i < DUMPS_AT_ONCE; i++) {
        struct dump_out *d = &of(n)->out[i];
        if (d->used && !is_wanted(n, d))
            out_free(n, d);
        if (!d->used && pull_take(n, &next))
            out_begin(d, next.place, &next.in, of(n)->part_bytes);
        if (d->used)
            go_on(n, d);
    }
}

bool dump_is_due(const struct node *n)
{
    bool has_room = false;
    if (of(n)->dumps_left == 0)
        return true;
    for (unsigned i = 0; i < DUMPS_AT_ONCE; i++) {
        const struct dump_out *d = &of(n)->out[i];
        has_room |= !d->used;
        if (d->used && (!is_wanted(n, d) || may_say(n, d)))
            return true;
    }
    return has_room && of(n)->pulls.n > 0;
}

bool dump_holds(const struct node *n)
{
    for (unsigned i = 0; i < DUMPS_AT_ONCE; i++) {
        const struct dump_out *d = &of(n)->out[i];
        if (d->used && is_full(d))
            return true;
    }
    return false;
}

bool dump_is_stuck(const struct node *n, uint16_t place)
{
    for (unsigned i = 0; i < DUMPS_AT_ONCE; i++) {
        const struct dump_out *d = &of(n)->out[i];
        if (d->used && d->place == place && is_full(d) &&
            mono_reached(n->now, mono_after(d->moved, 2 * map_wait_us(&n->cluster->map))))
            return true;
    }
    return false;
}

void dump_free(struct node *n)
{
    for (unsigned i = 0; i < DUMPS_AT_ONCE; i++)
        if (of(n)->out[i].used)
            out_free(n, &of(n)->out[i]);
    vec_free(&of(n)->pulls);
}

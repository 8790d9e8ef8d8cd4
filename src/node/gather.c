/* SPDX-License-Identifier: BSD-3-Clause */

/* One command split over slots, and its replies merged: MGET, MSET, DEL, UNLINK, EXISTS, TOUCH; or,
 * under cluster-routing forward, over all nodes: DBSIZE, KEYS, SCAN, RANDOMKEY, FLUSHALL, FLUSHDB.
 *
 *     MGET a b c d   ->  [MGET a d] to node 1   [MGET b c] here     (by slot, in their order)
 *                    <-  *2 $1 A $1 D           *2 $1 B $-1
 *     *4 $1 A $1 B $-1 $1 D
 *
 * Each part is atomic, the whole is not. Parts are asked for in RESP2 and rewritten.
 *
 * For RANDOMKEY each node is asked for a key and for how many it has: each key is as likely
 * as any other.
 *
 * SCAN goes from node to node, by their places in the map. A node's own cursor is a slot and 48
 * bits of a hash (store_scan), the last ten of which are 0 until its table is that deep: the
 * place stands there. */
#include "base/check.h"
#include "base/hash.h"
#include "base/num.h"
#include "node/cluster.h"

struct gather_part {
    char *reply; /* owned; NULL: none yet */
    size_t n;
    size_t at; /* the next element of an array */
};

struct gather {
    const struct spec *spec;
    uint8_t protocol;
    uint32_t parts_n, waits;
    struct gather_part *parts;
    uint32_t keys_n;
    uint16_t *part_of; /* of each key in its order */
    uint64_t dice;     /* RANDOMKEY: whose key it is */
    /* SCAN: the node that is asked, and the one behind it; MAP_NOBODY: it is the last */
    uint16_t place, next;
};

enum { PLACES = 1024 };
static const uint64_t behind_all = UINT64_MAX / PLACES * PLACES; /* a cursor whose slot is none */
static_assert((int)MAP_NODES <= (int)PLACES, "a place fits into a cursor");

void gather_free(struct gather *g)
{
    if (g == NULL)
        return;
    for (uint32_t i = 0; i < g->parts_n; i++)
        mem_free(g->parts[i].reply);
    mem_free(g->parts);
    mem_free(g->part_of);
    mem_free(g);
}

/* ------------------------------------------------------------------ splitting */

/* Gives each key its part; parts in the order in which their slots come first. slots[i]:
 * of part i. */
static void assign(struct gather *g, const struct request *q, uint32_t step, uint16_t *slots)
{
    uint16_t *part_at = mem_zero(SLOTS * sizeof(*part_at)); /* + 1; 0: none */
    for (uint32_t k = 0; k < g->keys_n; k++) {
        unsigned slot = slot_of(q->argv[1 + k * step]);
        if (part_at[slot] == 0) {
            slots[g->parts_n] = (uint16_t)slot;
            part_at[slot] = (uint16_t)++g->parts_n;
        }
        g->part_of[k] = (uint16_t)(part_at[slot] - 1);
    }
    mem_free(part_at);
}

static uint32_t step_of(const struct spec *spec)
{
    return spec->step > 0 ? (uint32_t)spec->step : 1;
}

bool gather_is_too_great(const struct node *n, const struct spec *spec, const struct request *q)
{
    uint32_t step = step_of(spec);
    bool any = false;
    if (!commit_is_too_great(n, commit_record_bytes(q->argv, q->argc)))
        return false;
    uint64_t *bytes = mem_zero(SLOTS * sizeof(*bytes));
    for (uint32_t at = 1; at < q->argc; at += step) {
        uint64_t *of = &bytes[slot_of(q->argv[at])];
        *of += commit_record_bytes(&q->argv[at], step < q->argc - at ? step : q->argc - at);
        any |= commit_is_too_great(n, *of);
    }
    mem_free(bytes);
    return any;
}

static struct flight *part_new(struct node *n, struct turn *t, const struct request *q,
                               uint32_t step, uint32_t part, uint16_t slot, struct slice *argv,
                               struct blob **blobs)
{
    const struct gather *g = t->gather;
    uint32_t argc = 1;
    argv[0] = q->argv[0];
    blobs[0] = NULL;
    for (uint32_t k = 0; k < g->keys_n; k++) {
        for (uint32_t i = 0; i < step && g->part_of[k] == part; i++) {
            uint32_t from = 1 + k * step + i;
            blobs[argc] = q->blobs != NULL ? q->blobs[from] : NULL;
            argv[argc++] = q->argv[from];
        }
    }
    struct request some = {.argv = argv, .blobs = blobs, .argc = argc};
    struct flight *f = flight_new(n, t, g->spec, &some, slot);
    f->part = part;
    f->protocol = 2;
    return f;
}

/* With the last answer their turn is gone. With too much of what they answer their session's turns
 * are, and the flights that are left. */
static void go_all(struct node *n, struct session *s, struct flight *const *flights,
                   uint32_t parts_n, struct node_out *out)
{
    for (uint32_t i = 0; i < parts_n && !list_empty(&s->routing->turns); i++)
        flight_go(n, flights[i], out);
}

void gather_begin(struct node *n, struct session *s, const struct spec *spec,
                  const struct request *q, struct node_out *out)
{
    uint32_t step = step_of(spec);
    struct turn *t = turn_new(s, q->bytes);
    struct gather *g = mem_zero(sizeof(*g));
    t->silent = routed_silent(s);
    t->gather = g;
    s->active = n->now;
    s->last = spec;
    g->spec = spec;
    g->protocol = s->protocol;
    g->keys_n = (q->argc - 1) / step;
    g->part_of = mem_get(g->keys_n * sizeof(g->part_of[0]));
    uint16_t *slots = mem_get(SLOTS * sizeof(*slots));
    assign(g, q, step, slots);
    g->waits = g->parts_n;
    g->parts = mem_zero(g->parts_n * sizeof(g->parts[0]));
    struct slice *argv = mem_get(q->argc * sizeof(*argv));
    struct blob **blobs = mem_get(q->argc * sizeof(*blobs));
    struct flight **flights = mem_get(g->parts_n * sizeof(*flights));
    uint32_t parts_n = g->parts_n;
    for (uint32_t i = 0; i < parts_n; i++)
        flights[i] = part_new(n, t, q, step, i, slots[i], argv, blobs);
    go_all(n, s, flights, parts_n, out);
    mem_free(flights);
    mem_free(blobs);
    mem_free(argv);
    mem_free(slots);
}

/* ------------------------------------------------------------------ all nodes */

bool gather_is_wide(const struct spec *spec)
{
    return spec->id == SPEC_DBSIZE || spec->id == SPEC_KEYS || spec->id == SPEC_SCAN ||
           spec->id == SPEC_RANDOMKEY || spec->id == SPEC_FLUSHALL || spec->id == SPEC_FLUSHDB;
}

/* Which nodes serve slots; false: a slot is served by none, and an answer would lack its keys. */
static bool serving(const struct map *m, bool at[PLACES])
{
    memset(at, 0, PLACES * sizeof(at[0]));
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        if (m->slots[slot].primary == MAP_NOBODY)
            return false;
        at[m->slots[slot].primary] = true;
    }
    return true;
}

static uint16_t serving_from(const bool at[PLACES], unsigned place)
{
    while (place < PLACES && !at[place])
        place++;
    return place < PLACES ? (uint16_t)place : MAP_NOBODY;
}

static struct gather *wide_new(struct node *n, struct turn *t, const struct spec *spec,
                               uint32_t parts_n)
{
    struct gather *g = mem_zero(sizeof(*g));
    g->spec = spec;
    g->protocol = t->session->protocol;
    g->waits = g->parts_n = parts_n;
    g->parts = mem_zero(parts_n * sizeof(g->parts[0]));
    g->dice = rng_next(&n->rng);
    t->gather = g;
    return g;
}

static struct flight *wide_part(struct node *n, struct turn *t, const struct spec *spec,
                                const struct request *q, uint32_t part, uint16_t place)
{
    struct flight *f = flight_new(n, t, spec, q, SLOT_ANY);
    f->place = place;
    f->part = part;
    f->protocol = 2;
    return f;
}

static void ask_all(struct node *n, struct turn *t, const struct spec *spec,
                    const struct request *q, const bool at[PLACES], struct node_out *out)
{
    struct slice count = SLICE("DBSIZE");
    struct request counting = {.argv = &count, .argc = 1};
    struct flight *flights[2 * PLACES];
    uint16_t places[PLACES];
    uint32_t nodes_n = 0;
    for (uint16_t place = serving_from(at, 0); place != MAP_NOBODY;
         place = serving_from(at, place + 1U))
        places[nodes_n++] = place;
    bool counts = spec->id == SPEC_RANDOMKEY;
    uint32_t parts_n = counts ? 2 * nodes_n : nodes_n;
    wide_new(n, t, spec, parts_n);
    for (uint32_t i = 0; i < nodes_n; i++)
        flights[i] = wide_part(n, t, spec, q, i, places[i]);
    for (uint32_t i = nodes_n; i < parts_n; i++)
        flights[i] = wide_part(n, t, spec_find_top(count), &counting, i, places[i - nodes_n]);
    go_all(n, t->session, flights, parts_n, out);
}

static void scan_one(struct node *n, struct turn *t, const struct spec *spec,
                     const struct request *q, const bool at[PLACES], struct node_out *out)
{
    uint64_t cursor = 0;
    char text[NUM_I64_CHARS];
    struct slice *argv = mem_get(q->argc * sizeof(*argv));
    bool good = num_get_u64(q->argv[1], &cursor); /* else whoever is asked says that it is none */
    uint16_t asked = (uint16_t)(cursor % PLACES), place = serving_from(at, asked);
    if (place == MAP_NOBODY) { /* what served the last slots when it began serves none now */
        place = serving_from(at, 0);
        cursor = behind_all;
    } else if (place != asked) {
        cursor = 0;
    }
    struct gather *g = wide_new(n, t, spec, 1);
    g->place = place;
    g->next = cursor == behind_all ? MAP_NOBODY : serving_from(at, place + 1U);
    memcpy(argv, q->argv, q->argc * sizeof(*argv));
    if (good)
        argv[1] = slice_of(text, num_put_u64(text, cursor / PLACES * PLACES));
    struct request some = {.argv = argv, .argc = q->argc};
    struct flight *f = wide_part(n, t, spec, &some, 0, place);
    mem_free(argv);
    flight_go(n, f, out);
}

void gather_wide(struct node *n, struct session *s, const struct spec *spec,
                 const struct request *q, struct node_out *out)
{
    bool at[PLACES];
    if (!serving(&n->cluster->map, at)) {
        routed_refuse_down(n, s, "Hash slot not served", out);
        return;
    }
    struct turn *t = turn_new(s, q->bytes);
    t->silent = routed_silent(s);
    s->active = n->now;
    s->last = spec;
    routed_hold(n, s, true);
    if (spec->id == SPEC_SCAN)
        scan_one(n, t, spec, q, at, out);
    else
        ask_all(n, t, spec, q, at, out);
}

/* ------------------------------------------------------------------ WAIT, WAITAOF */

/* Each node that has writes of the session answers for itself; this one too, if it has any. */

static int64_t patience_of(const struct request *q)
{
    int64_t ms;
    if (!num_get_i64(q->argv[q->argc - 1], &ms) || ms < 0)
        return 0; /* whoever is asked says so */
    return ms == 0 || ms > INT64_MAX / 4000 ? -1 : ms * 1000;
}

/* Nodes that are gone, or were started again, and may have lost what was written: that
 * is told once. */
static bool forget_lost(const struct node *n, struct routing *r)
{
    const struct map *m = &n->cluster->map;
    size_t kept = 0, before = r->wrote.n;
    for (size_t i = 0; i < before; i++) {
        struct wrote w = r->wrote.at[i];
        const struct map_node *at = w.place < m->nodes.n ? &m->nodes.at[w.place] : NULL;
        if (at != NULL && at->used && at->health != MAP_DOWN && at->incarnation == w.incarnation)
            r->wrote.at[kept++] = w;
    }
    r->wrote.n = kept;
    return kept < before;
}

void gather_waits(struct node *n, struct session *s, const struct spec *spec,
                  const struct request *q, struct node_out *out)
{
    struct routing *r = s->routing;
    struct flight *flights[PLACES];
    uint32_t parts_n = 0, places_n;
    uint16_t places[PLACES];
    bool lost = forget_lost(n, r), at[PLACES];
    for (size_t i = 0; i < r->wrote.n; i++)
        places[parts_n++] = r->wrote.at[i].place;
    if (s->written.n > 0)
        places[parts_n++] = n->cluster->self.place;
    /* a proxy's session that wrote nothing: any node answers for what it did not write */
    if (parts_n == 0 && !lost) {
        if (!serving(&n->cluster->map, at)) {
            routed_refuse_down(n, s, "Hash slot not served", out);
            return;
        }
        places[parts_n++] = serving_from(at, 0);
    }
    places_n = parts_n;
    struct turn *t = turn_new(s, q->bytes);
    t->silent = routed_silent(s);
    s->active = n->now;
    s->last = spec;
    routed_hold(n, s, true);
    wide_new(n, t, spec, places_n + lost);
    for (uint32_t i = 0; i < places_n; i++) {
        flights[i] = wide_part(n, t, spec, q, i, places[i]);
        flights[i]->is_wait = true;
        flights[i]->held_us = patience_of(q);
    }
    if (lost)
        gather_part(t, places_n,
                    spec->id == SPEC_WAIT ? SLICE(":0\r\n") : SLICE("*2\r\n:0\r\n:0\r\n"));
    if (t->done)
        turns_deliver(n, s, out);
    go_all(n, s, flights, places_n, out);
}

/* -------------------------------------------------------------------- merging */

static struct slice part_reply(const struct gather_part *p)
{
    return slice_of(p->reply, p->n);
}

/* The error that tells most: that something is not known, else the first. */
static const struct gather_part *worst(const struct gather *g)
{
    const struct gather_part *found = NULL;
    for (uint32_t i = 0; i < g->parts_n; i++) {
        const struct gather_part *p = &g->parts[i];
        if (p->reply[0] != '-')
            continue;
        if (p->n > 11 && memcmp(p->reply, "-UNCERTAIN ", 11) == 0)
            return p;
        found = found != NULL ? found : p;
    }
    return found;
}

static bool part_i64(const struct gather_part *p, int64_t *v)
{
    struct slice text = part_reply(p);
    return text.p[0] == ':' && text.n >= 4 && num_get_i64(slice_of(text.p + 1, text.n - 3), v);
}

static bool merge_sum(const struct gather *g, struct reply *r)
{
    int64_t sum = 0;
    for (uint32_t i = 0; i < g->parts_n; i++) {
        int64_t v;
        if (!part_i64(&g->parts[i], &v))
            return false;
        sum += v;
    }
    reply_i64(r, sum);
    return true;
}

static bool merge_array(const struct gather *g, struct reply *r)
{
    for (uint32_t i = 0; i < g->parts_n; i++) {
        uint64_t n;
        if (!frame_array(part_reply(&g->parts[i]), &n, &g->parts[i].at))
            return false;
    }
    reply_array(r, g->keys_n);
    for (uint32_t k = 0; k < g->keys_n; k++) {
        struct gather_part *p = &g->parts[g->part_of[k]];
        struct slice rest = slice_from(part_reply(p), p->at);
        struct frame f = {0};
        if (frame_end(&f, rest) != FRAME_WHOLE)
            return false;
        if (f.at == 5 && memcmp(rest.p, "$-1\r\n", 5) == 0)
            reply_null(r);
        else
            reply_raw(r, slice_head(rest, f.at));
        p->at += f.at;
    }
    return true;
}

static bool merge_keys(const struct gather *g, struct reply *r)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < g->parts_n; i++) {
        uint64_t n;
        if (!frame_array(part_reply(&g->parts[i]), &n, &g->parts[i].at))
            return false;
        sum += n;
    }
    reply_array(r, sum);
    for (uint32_t i = 0; i < g->parts_n; i++)
        reply_raw(r, slice_from(part_reply(&g->parts[i]), g->parts[i].at));
    return true;
}

/* Keys before the end of part `last`; one whose keys have all expired has none. */
static bool keys_upto(const struct gather *g, uint32_t last, uint64_t *keys)
{
    *keys = 0;
    for (uint32_t i = 0; i <= last; i++) {
        int64_t counted;
        if (!part_i64(&g->parts[g->parts_n / 2 + i], &counted) || counted < 0)
            return false;
        if (!slice_equal(part_reply(&g->parts[i]), SLICE("$-1\r\n")))
            *keys += counted > 0 ? (uint64_t)counted : 1; /* it has come since it was counted */
    }
    return true;
}

static bool merge_random(const struct gather *g, struct reply *r)
{
    uint32_t nodes_n = g->parts_n / 2, i = 0;
    uint64_t all, upto;
    if (!keys_upto(g, nodes_n - 1, &all))
        return false;
    if (all == 0) {
        reply_null(r);
        return true;
    }
    while (keys_upto(g, i, &upto) && upto <= g->dice % all)
        i++;
    reply_raw(r, part_reply(&g->parts[i]));
    return true;
}

/* The node's cursor becomes the cluster's. */
static bool merge_scan(const struct gather *g, struct reply *r)
{
    struct slice text = part_reply(&g->parts[0]);
    struct frame f = {0};
    uint64_t elements, cursor;
    size_t at;
    char digits[NUM_I64_CHARS];
    if (!frame_array(text, &elements, &at) || elements != 2 ||
        frame_end(&f, slice_from(text, at)) != FRAME_WHOLE)
        return false;
    struct slice bulk = slice_of(text.p + at, f.at);
    const char *line = memchr(bulk.p, '\n', bulk.n);
    size_t head = (size_t)(line - bulk.p) + 1;
    if (bulk.n < head + 3 || !num_get_u64(slice_of(bulk.p + head, bulk.n - head - 2), &cursor) ||
        cursor % PLACES != 0)
        return false;
    if (cursor != 0)
        cursor += g->place;
    else if (g->next != MAP_NOBODY)
        cursor = g->next;
    reply_array(r, 2);
    reply_bulk(r, slice_of(digits, num_put_u64(digits, cursor)));
    reply_raw(r, slice_from(text, at + f.at));
    return true;
}

static bool waited(const struct gather_part *p, int64_t *local, int64_t *others)
{
    struct slice text = part_reply(p);
    struct gather_part numbers[2];
    uint64_t elements;
    size_t at;
    *local = INT64_MAX;
    if (text.p[0] != '*')
        return part_i64(p, others);
    if (!frame_array(text, &elements, &at) || elements != 2)
        return false;
    char *first = p->reply + at, *second = memchr(first, '\n', p->n - at);
    if (second == NULL)
        return false;
    numbers[0] = (struct gather_part){.reply = first, .n = (size_t)(second + 1 - first)};
    numbers[1] = (struct gather_part){.reply = second + 1, .n = p->n - at - numbers[0].n};
    return numbers[1].n > 0 && part_i64(&numbers[0], local) && part_i64(&numbers[1], others);
}

/* What holds everywhere. */
static bool merge_waits(const struct gather *g, struct reply *r)
{
    int64_t local = INT64_MAX, others = INT64_MAX;
    for (uint32_t i = 0; i < g->parts_n; i++) {
        int64_t at_local, at_others;
        if (!waited(&g->parts[i], &at_local, &at_others))
            return false;
        local = local < at_local ? local : at_local;
        others = others < at_others ? others : at_others;
    }
    if (g->spec->id == SPEC_WAITAOF) {
        reply_array(r, 2);
        reply_i64(r, local);
    }
    reply_i64(r, others);
    return true;
}

static bool merge_parts(const struct gather *g, struct reply *r)
{
    switch (g->spec->id) {
    case SPEC_MGET: return merge_array(g, r);
    case SPEC_KEYS: return merge_keys(g, r);
    case SPEC_SCAN: return merge_scan(g, r);
    case SPEC_WAIT:
    case SPEC_WAITAOF: return merge_waits(g, r);
    case SPEC_RANDOMKEY: return merge_random(g, r);
    case SPEC_MSET:
    case SPEC_FLUSHALL:
    case SPEC_FLUSHDB: reply_ok(r); return true;
    default: return merge_sum(g, r);
    }
}

static void merge(struct turn *t)
{
    const struct gather *g = t->gather;
    struct reply r = {.out = &t->bytes, .protocol = g->protocol};
    const struct gather_part *bad = worst(g);
    bool merged = true;
    t->replies = 1;
    t->done = true;
    if (t->lost)
        return; /* it lies there (9) */
    if (bad != NULL)
        reply_raw(&r, part_reply(bad));
    else
        merged = merge_parts(g, &r);
    if (!merged) {
        chain_free(&t->bytes, NULL);
        reply_error(&r,
                    SLICE("ERR a node answered a part of this command with what cannot be merged"));
    }
}

void gather_part(struct turn *t, uint32_t part, struct slice reply)
{
    struct gather *g = t->gather;
    struct gather_part *p = &g->parts[part];
    check(p->reply == NULL && reply.n > 0);
    p->reply = mem_get(reply.n);
    p->n = reply.n;
    memcpy(p->reply, reply.p, reply.n);
    if (--g->waits == 0)
        merge(t);
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* Three nodes' core/repl joined by hand: their maps, logs, disks and links are here, and nothing moves by itself.
 *
 *     struct lab l;  lab_start(&l, MAP_W_ALL);
 *     lab_elect(&l, 0, 0, "012");  lab_maps(&l);      slot 0: node 0 is primary, all are in sync
 *     lab_carry(&l);                                  links open, all that is said arrives
 *     uint64_t lsn = lab_write(&l, 0, 0);
 *     assert_false(lab_is_held(&l, 0, 0, lsn));  lab_carry(&l);  assert_true(...);
 *
 * Every record ever made is known, so a log that is no beginning of what primaries made is found out
 * (lab_check). */
#ifndef TESTS_LIB_REPL_LAB_H
#define TESTS_LIB_REPL_LAB_H

#include <string.h>

#include "base/list.h"
#include "base/mem.h"
#include "core/map/map_entry.h"
#include "core/repl/repl.h"
#include "tests/lib/unit.h"

enum { LAB_NODES = 3, LAB_SLOTS = 3, LAB_T_MS = 1000 };

struct lab_record { /* as it travels */
    struct position at;
    uint64_t before_epoch, value;
};

struct lab_message {
    struct repl_message m; /* what it names is owned */
    void *items;
    struct lab_record *content; /* of a dump */
    size_t content_n;
};

struct lab_due {
    uint64_t theirs, mine;
};

struct lab_link { /* from a primary's node to a replica's */
    bool open;
    bool cut;         /* it cannot be opened */
    unsigned session; /* how often it was opened */
    VEC(struct lab_message) there, back;
    size_t there_at, back_at; /* so many were delivered */
    unsigned guest;           /* the session the replica knows; 0: none */
    struct lab_pass {         /* over the primary's log */
        bool on;
        size_t at[LAB_SLOTS]; /* of what is logged there */
        uint32_t turns[LAB_SLOTS];
    } pass;
    VEC(struct lab_due) due;  /* the replica's, of that session */
    struct repl_ack told;
    bool asked;
};

struct lab_node {
    struct repl r;
    struct repl_ops ops;
    struct lab *lab;
    uint16_t place;
    struct map map;
    struct lineage *slots;
    uint64_t *served;
    VEC(struct lab_record) log[LAB_SLOTS];
    VEC(struct lab_record) logged[LAB_SLOTS]; /* its increments: whatever was appended, and turns, which have no position */
    uint64_t appended, stored, synced;
    bool stuck;    /* its disk: nothing is stored */
    bool unsynced; /* what is stored is not synced */
};

struct lab_proposal {
    uint16_t from;
    uint64_t base, n;
    VEC(struct repl_wish) at;
    bool settles; /* it is a SETTLED, of these slots */
    struct bits settled;
};

struct lab {
    struct lab_node node[LAB_NODES];
    struct lab_link link[LAB_NODES][LAB_NODES];
    struct map map; /* as agreed */
    struct mono now;
    size_t pump_bytes;
    bool offers; /* dumps are offered, and made once they are pulled */
    bool logs;   /* what the backlog has no more may be read from the log: pass_n records at a time */
    unsigned pass_n, passes;
    unsigned unwritten_n; /* so many of each slot's newest are not in its file yet */
    VEC(struct lab_record) made[LAB_SLOTS]; /* each record ever made */
    VEC(struct lab_proposal) proposals;
    size_t proposals_at; /* so many were decided */
    unsigned dumps, appends, frames, syncs; /* delivered: of appends, how many messages they came in */
};

/* ------------------------------------------------------------------ messages */

static inline void lab_message_free(struct lab_message *m)
{
    mem_free(m->items);
    mem_free(m->content);
    *m = (struct lab_message){0};
}

static inline void *lab_copied(const void *p, size_t n)
{
    void *made = mem_get(n + 1);
    if (n > 0)
        memcpy(made, p, n);
    return made;
}

static inline struct lab_message lab_message_of(const struct repl_message *m)
{
    struct lab_message to = {.m = *m};
    switch (m->type) {
    case REPL_FROM:
    case REPL_OFFER:
    case REPL_COMPARE:
    case REPL_JOINED:
    case REPL_JOINS: to.m.rounds = to.items = lab_copied(m->rounds, m->n * sizeof(m->rounds[0])); break;
    case REPL_SYNC: to.m.wheres = to.items = lab_copied(m->wheres, m->n * sizeof(m->wheres[0])); break;
    case REPL_APPEND:
        to.items = lab_copied(m->append.bytes.p, m->append.bytes.n);
        to.m.append.bytes = slice_of(to.items, m->append.bytes.n);
        break;
    case REPL_DUMPED:
        to.m.dumped.starts = to.items = lab_copied(m->dumped.starts, m->dumped.starts_n * sizeof(m->dumped.starts[0]));
        break;
    case REPL_ALIVE:
    case REPL_DUMP:
    case REPL_PULL:
    case REPL_DIGEST:
    case REPL_BAD:
    case REPL_DIGESTED:
    case REPL_ACK:
    case REPL_LEAVING: break;
    }
    return to;
}

static inline void lab_say(struct repl_ops *ops, uint16_t place, bool to_replica, const struct repl_message *m)
{
    struct lab_node *n = CONTAINER_OF(ops, struct lab_node, ops);
    struct lab_link *l = to_replica ? &n->lab->link[n->place][place] : &n->lab->link[place][n->place];
    if (to_replica) {
        assert_true(l->open);
        *vec_add(&l->there) = lab_message_of(m);
    } else if (l->open && l->guest == l->session) { /* else to nobody: the primary has hung up */
        *vec_add(&l->back) = lab_message_of(m);
    }
}

static inline bool lab_may_log(struct repl_ops *ops, unsigned slot, uint64_t records)
{
    (void)slot;
    (void)records;
    return CONTAINER_OF(ops, struct lab_node, ops)->lab->logs;
}

/* ---------------------------------------------------------------- birth, end */

static inline void lab_clock(struct lab *l, unsigned i)
{
    struct lab_node *n = &l->node[i];
    repl_clock(&n->r, l->now, n->appended, n->stored, n->synced, 0);
}

static inline void lab_start(struct lab *l, uint32_t w)
{
    memset(l, 0, sizeof(*l));
    l->now = (struct mono){1000000};
    l->pump_bytes = 1024 * 1024;
    l->pass_n = 1000;
    map_init(&l->map);
    l->map.index = l->map.nodes_ver = l->map.slots_ver = 1;
    l->map.settings.replication_factor = LAB_NODES;
    l->map.settings.write_quorum = w;
    l->map.settings.node_timeout_ms = LAB_T_MS;
    l->map.settings.min_replicas = 0;
    for (uint16_t i = 0; i < LAB_NODES; i++) {
        *vec_add(&l->map.nodes) = (struct map_node){.used = true, .incarnation = 1, .weight = 1, .run_index = 1,
                                                    .id = {{(uint8_t)('a' + i)}}};
        struct lab_node *n = &l->node[i];
        n->lab = l;
        n->place = i;
        n->ops = (struct repl_ops){.say = lab_say, .may_log = lab_may_log};
        n->slots = lineages_new(SLOTS);
        n->served = mem_zero(SLOTS * sizeof(n->served[0]));
        map_init(&n->map);
        repl_init(&n->r, &n->ops, &n->map, n->slots, 64 * 1024);
    }
}

static inline void lab_link_clear(struct lab_link *k)
{
    for (; k->there_at < k->there.n; k->there_at++)
        lab_message_free(&k->there.at[k->there_at]);
    for (; k->back_at < k->back.n; k->back_at++)
        lab_message_free(&k->back.at[k->back_at]);
    vec_free(&k->there);
    vec_free(&k->back);
    k->there_at = k->back_at = 0;
}

static inline void lab_stop(struct lab *l)
{
    for (unsigned i = 0; i < LAB_NODES; i++) {
        struct lab_node *n = &l->node[i];
        for (unsigned k = 0; k < LAB_NODES; k++) {
            lab_link_clear(&l->link[i][k]);
            vec_free(&l->link[i][k].due);
        }
        repl_free(&n->r);
        lineages_free(n->slots, SLOTS);
        mem_free(n->served);
        map_free(&n->map);
        for (unsigned slot = 0; slot < LAB_SLOTS; slot++)
            vec_free(&n->log[slot]);
        for (unsigned slot = 0; slot < LAB_SLOTS; slot++)
            vec_free(&n->logged[slot]);
    }
    for (unsigned slot = 0; slot < LAB_SLOTS; slot++)
        vec_free(&l->made[slot]);
    for (size_t i = 0; i < l->proposals.n; i++)
        vec_free(&l->proposals.at[i].at);
    vec_free(&l->proposals);
    map_free(&l->map);
}

/* --------------------------------------------------------------------- links */

static inline void lab_open(struct lab *l, unsigned from, unsigned to)
{
    struct lab_link *k = &l->link[from][to];
    assert_false(k->open);
    k->open = true;
    k->session++;
    lab_clock(l, from);
    repl_peer_opened(&l->node[from].r, (uint16_t)to, l->map.nodes.at[to].incarnation);
}

/* The replica learns of it later, or from the next session. */
static inline void lab_hang_up(struct lab *l, unsigned from, unsigned to)
{
    struct lab_link *k = &l->link[from][to];
    if (!k->open)
        return;
    k->open = k->pass.on = false;
    lab_link_clear(k);
    lab_clock(l, from);
    repl_peer_closed(&l->node[from].r, (uint16_t)to);
}

static inline void lab_guest_gone(struct lab *l, unsigned from, unsigned to)
{
    struct lab_link *k = &l->link[from][to];
    if (k->guest == 0 || (k->open && k->guest == k->session))
        return;
    k->guest = 0;
    lab_clock(l, to);
    repl_guest_closed(&l->node[to].r, (uint16_t)from);
}

static inline void lab_cut(struct lab *l, unsigned from, unsigned to)
{
    l->link[from][to].cut = true;
    lab_hang_up(l, from, to);
    lab_guest_gone(l, from, to);
}

static inline void lab_mend(struct lab *l, unsigned from, unsigned to)
{
    l->link[from][to].cut = false;
}

/* Links that are wanted are opened, those that are not are closed. */
static inline void lab_dial(struct lab *l, unsigned from)
{
    const struct repl *r = &l->node[from].r;
    for (unsigned to = 0; to < LAB_NODES && to < r->peers.n; to++) {
        struct lab_link *k = &l->link[from][to];
        if (k->open && (!r->peers.at[to].wanted || repl_is_silent(r, (uint16_t)to))) {
            lab_hang_up(l, from, to);
            lab_guest_gone(l, from, to);
        } else if (!k->open && !k->cut && r->peers.at[to].wanted) {
            lab_open(l, from, to);
        }
    }
}

/* ------------------------------------------------------------------- the map */

/* In the agreed map: a slot's primary, and its in-sync set as places, the primary first. */
static inline void lab_elect(struct lab *l, unsigned slot, unsigned primary, const char *isr)
{
    struct map_slot *s = &l->map.slots[slot];
    s->ver = l->map.slots_ver = ++l->map.index;
    s->epoch++;
    s->primary = (uint16_t)primary;
    s->want_n = LAB_NODES;
    s->isr_n = 0;
    for (unsigned i = 0; i < LAB_NODES; i++)
        s->want[i] = (uint16_t)((primary + i) % LAB_NODES);
    for (; *isr != '\0'; isr++) {
        s->isr[s->isr_n] = (uint16_t)(*isr - '0');
        s->isr_incarnation[s->isr_n++] = l->map.nodes.at[*isr - '0'].incarnation;
    }
    assert_int_equal(s->isr[0], primary);
    map_replicas_follow(s);
}

static inline void lab_orphan(struct lab *l, unsigned slot) /* its primary is called dead */
{
    l->map.slots[slot].primary = MAP_NOBODY;
    l->map.slots[slot].ver = l->map.slots_ver = ++l->map.index;
}

/* Where a slot has no primary, who has a copy fences the last epoch, once it has applied that (20). */
static inline void lab_fence(struct lab_node *n)
{
    for (unsigned slot = 0; slot < LAB_SLOTS; slot++) {
        const struct map_slot *s = &n->map.slots[slot];
        if (s->primary == MAP_NOBODY && map_replicas_have(s, n->place) && n->slots[slot].fence < s->epoch)
            n->slots[slot].fence = s->epoch;
    }
}

static inline void lab_map_to(struct lab *l, unsigned i) /* it applies the agreed map */
{
    struct lab_node *n = &l->node[i];
    if (n->map.index == l->map.index)
        return;
    map_copy(&n->map, &l->map);
    for (unsigned slot = 0; slot < LAB_SLOTS; slot++) {
        uint64_t epoch = map_is_primary(&n->map, slot, n->place, n->map.nodes.at[i].incarnation) ? n->map.slots[slot].epoch : 0;
        if (epoch != 0 && epoch != n->served[slot]) {
            lineage_begin(&n->slots[slot], epoch);
            n->appended++;
        }
        n->served[slot] = epoch;
    }
    lab_clock(l, i);
    struct bits all;
    bits_fill(&all);
    repl_map(&n->r, n->place, n->map.nodes.at[i].incarnation, n->served, &all);
    lab_fence(n);
    lab_dial(l, i);
    repl_check(&n->r);
}

static inline void lab_maps(struct lab *l)
{
    for (unsigned i = 0; i < LAB_NODES; i++)
        lab_map_to(l, i);
}

/* ------------------------------------------------------------------- records */

static inline uint64_t lab_write(struct lab *l, unsigned i, unsigned slot)
{
    struct lab_node *n = &l->node[i];
    struct lineage *at = &n->slots[slot];
    assert_true(n->served[slot] != 0);
    struct lab_record rec = {.before_epoch = at->at.seq == 0 ? 0 : at->at.epoch, .value = l->made[slot].n * 10 + i};
    lab_clock(l, i);
    lineage_take(at, (struct position){at->epoch, at->at.seq + 1});
    rec.at = at->at;
    *vec_add(&n->log[slot]) = *vec_add(&n->logged[slot]) = rec;
    *vec_add(&l->made[slot]) = rec;
    n->appended++;
    repl_record(&n->r, slot, rec.before_epoch, n->appended, slice_of((const char *)&rec, sizeof(rec)), NULL);
    return n->appended;
}

static inline bool lab_is_held(struct lab *l, unsigned i, unsigned slot, uint64_t lsn)
{
    lab_clock(l, i);
    return repl_is_held(&l->node[i].r, slot, lsn, 0);
}

static inline void lab_send_more(struct lab *l, struct lab_node *n, unsigned to)
{
    size_t bytes = l->pump_bytes;
    (void)repl_pump(&n->r, (uint16_t)to, &bytes);
}

static inline void lab_dump(struct lab *l, unsigned from, unsigned to, unsigned slot)
{
    struct lab_node *n = &l->node[from];
    const struct lineage *at = &n->slots[slot];
    struct repl_message m = {.type = REPL_DUMPED,
                             .dumped = {.in = repl_round_of(&n->r, (uint16_t)to, slot), .at = at->at,
                                        .starts_n = at->starts_n, .starts = at->starts}};
    struct lab_message made = lab_message_of(&m);
    made.content_n = n->log[slot].n;
    made.content = lab_copied(n->log[slot].at, n->log[slot].n * sizeof(struct lab_record));
    *vec_add(&l->link[from][to].there) = made;
    repl_dump_said(&n->r, (uint16_t)to, slot);
}

static inline void lab_pulled(struct lab *l, unsigned from, unsigned to, const struct repl_pull *p)
{
    if (repl_is_pulled(&l->node[from].r, (uint16_t)to, &p->in))
        lab_dump(l, from, to, p->in.slot);
}

/* The replica pulls what it was offered, over whatever link. */
static inline void lab_pull(struct lab *l, unsigned i)
{
    struct repl_pull p = {.parts = 0};
    uint16_t place;
    while (repl_pull_next(&l->node[i].r, &place, &p.in))
        lab_say(&l->node[i].ops, place, false, &(struct repl_message){.type = REPL_PULL, .pull = p});
}

/* Its log is rewritten: what is appended from now on is all there is of it beside a base. */
static inline void lab_rewrite(struct lab_node *n)
{
    for (unsigned slot = 0; slot < LAB_SLOTS; slot++) {
        lineage_based(&n->slots[slot], n->slots[slot].at.seq, n->slots[slot].turns);
        vec_clear(&n->logged[slot]);
    }
    for (unsigned to = 0; to < LAB_NODES; to++)
        for (unsigned slot = 0; slot < LAB_SLOTS; slot++)
            n->lab->link[n->place][to].pass.at[slot] = 0;
}

static inline void lab_pass_begin(struct lab_node *n, struct lab_pass *p, uint16_t to)
{
    *p = (struct lab_pass){.on = true};
    assert_true(repl_log_begins(&n->r, to) > 0);
    n->lab->passes++;
    for (unsigned slot = 0; slot < LAB_SLOTS; slot++)
        p->turns[slot] = n->slots[slot].turns;
}

/* As node/catch_up does, but slot by slot. */
static inline void lab_pass(struct lab *l, unsigned from, unsigned to)
{
    struct lab_node *n = &l->node[from];
    struct lab_pass *p = &l->link[from][to].pass;
    unsigned left = l->pass_n;
    if (!p->on && repl_wants_log(&n->r, (uint16_t)to))
        lab_pass_begin(n, p, (uint16_t)to);
    for (unsigned slot = 0; p->on && slot < LAB_SLOTS; slot++)
        for (; p->at[slot] + l->unwritten_n < n->logged[slot].n && left > 0; p->at[slot]++, left--) {
            struct lab_record rec = n->logged[slot].at[p->at[slot]];
            if (rec.at.seq == 0)
                p->turns[slot] -= p->turns[slot] > 0;
            else if (p->turns[slot] == 0 && repl_log_takes(&n->r, (uint16_t)to, slot, rec.at))
                repl_log_record(&n->r, (uint16_t)to, slot, rec.at, slice_of((const char *)&rec, sizeof(rec)));
        }
    if (!p->on || left == 0 || !repl_log_say(&n->r, (uint16_t)to, l->pump_bytes))
        return;
    p->on = false;
    repl_log_ends(&n->r, (uint16_t)to);
    lab_send_more(l, n, to);
}

static inline void lab_pump(struct lab *l, unsigned from, unsigned to)
{
    struct lab_node *n = &l->node[from];
    unsigned slot;
    if (!l->link[from][to].open)
        return;
    lab_clock(l, from);
    lab_send_more(l, n, to);
    lab_pass(l, from, to);
    while ((slot = repl_wants_dump(&n->r, (uint16_t)to)) != SLOTS) {
        if (l->offers)
            repl_offer(&n->r, (uint16_t)to, slot);
        else
            lab_dump(l, from, to, slot);
    }
}

/* ---------------------------------------------------------------- the replica */

static inline void lab_append(struct lab *l, struct lab_node *n, uint16_t from, const struct repl_append *m)
{
    struct repl_append one = *m;
    l->frames++;
    for (size_t at = 0; at < m->bytes.n; at += sizeof(struct lab_record)) {
        struct lab_record rec;
        memcpy(&rec, m->bytes.p + at, sizeof(rec));
        l->appends++;
        if (repl_may_append(&n->r, from, &one, rec.at) == REPL_DROP)
            break;
        lineage_take(&n->slots[m->slot], rec.at);
        *vec_add(&n->log[m->slot]) = *vec_add(&n->logged[m->slot]) = rec;
        n->appended++;
        repl_keep(&n->r, m->slot, one.before_epoch, slice_of(m->bytes.p + at, sizeof(rec)));
        one.before_epoch = rec.at.epoch;
    }
}

static inline void lab_swap(struct lab *l, struct lab_node *n, uint16_t from, const struct lab_message *m)
{
    const struct repl_dumped *d = &m->m.dumped;
    l->dumps++;
    if (!repl_may_swap(&n->r, from, &d->in))
        return;
    if (d->at.seq == 0)
        lineage_clear(&n->slots[d->in.slot]);
    else
        assert_true(lineage_set(&n->slots[d->in.slot], d->at, d->starts, d->starts_n));
    vec_clear(&n->log[d->in.slot]);
    *vec_add(&n->logged[d->in.slot]) = (struct lab_record){.at = {0, 0}};
    for (size_t i = 0; i < m->content_n; i++)
        *vec_add(&n->log[d->in.slot]) = m->content[i];
    n->appended++;
}

/* ------------------------------------------------------------------ scrubbing */

/* What a slot holds here is its records; a digest of it takes no time. */
static inline void lab_sum(const struct lab_node *n, unsigned slot, const struct hash_key *key, uint64_t sum[2])
{
    sum[0] = sum[1] = 0;
    for (size_t i = 0; i < n->log[slot].n; i++)
        for (unsigned w = 0; w < 2; w++)
            sum[w] += hash_keyed(&(struct hash_key){key->k0 + w, key->k1},
                                 slice_of((const char *)&n->log[slot].at[i].value, sizeof(uint64_t)));
}

static inline void lab_digest_asked(struct lab_node *n, uint16_t from, const struct repl_digest *m)
{
    struct repl_message back = {.type = REPL_DIGESTED, .digested = {.in = m->in, .number = m->number}};
    back.digested.has = scrub_may_digest(&n->r, from, m);
    lab_sum(n, m->in.slot, &m->key, back.digested.sum);
    lab_say(&n->ops, from, false, &back);
}

static inline void lab_bad(struct lab_node *n, uint16_t from, const struct repl_bad *m)
{
    if (!scrub_may_reset(&n->r, from, &m->in, m->map))
        return;
    lineage_clear(&n->slots[m->in.slot]);
    *vec_add(&n->logged[m->in.slot]) = (struct lab_record){.at = {0, 0}};
    vec_clear(&n->log[m->in.slot]);
    n->appended++;
    repl_sync_again(&n->r, m->in.slot);
}

static inline void lab_got(struct lab *l, unsigned from, unsigned to, uint64_t lsn)
{
    *vec_add(&l->link[from][to].due) = (struct lab_due){lsn, l->node[to].appended};
}

/* One message reaches the replica. False: there is none. */
static inline bool lab_there(struct lab *l, unsigned from, unsigned to)
{
    struct lab_link *k = &l->link[from][to];
    struct lab_node *n = &l->node[to];
    if (!k->open || k->there_at == k->there.n)
        return false;
    struct lab_message m = k->there.at[k->there_at++];
    lab_clock(l, to);
    if (k->guest != k->session) {
        k->guest = k->session;
        k->told = (struct repl_ack){0};
        vec_clear(&k->due);
        repl_guest_opened(&n->r, (uint16_t)from, l->map.nodes.at[from].incarnation);
    }
    switch (m.m.type) {
    case REPL_FROM:
        for (size_t i = 0; i < m.m.n; i++)
            repl_from(&n->r, (uint16_t)from, &m.m.rounds[i]);
        break;
    case REPL_APPEND:
        lab_append(l, n, (uint16_t)from, &m.m.append);
        lab_got(l, from, to, m.m.append.lsn);
        break;
    case REPL_JOINED:
        for (size_t i = 0; i < m.m.n; i++)
            repl_joined(&n->r, (uint16_t)from, m.m.map, &m.m.rounds[i], n->appended);
        lab_got(l, from, to, m.m.lsn);
        break;
    case REPL_ALIVE:
        k->asked = true;
        lab_got(l, from, to, m.m.lsn);
        break;
    case REPL_DUMPED: lab_swap(l, n, (uint16_t)from, &m); break;
    case REPL_OFFER:
        for (size_t i = 0; i < m.m.n; i++)
            repl_offered(&n->r, (uint16_t)from, &m.m.rounds[i]);
        lab_pull(l, to);
        break;
    case REPL_DIGEST: lab_digest_asked(n, (uint16_t)from, &m.m.digest); break;
    case REPL_BAD: lab_bad(n, (uint16_t)from, &m.m.bad); break;
    case REPL_COMPARE:
        for (size_t i = 0; i < m.m.n; i++)
            scrub_compare(&n->r, (uint16_t)from, &m.m.rounds[i]);
        break;
    case REPL_PULL:
    case REPL_DUMP:
    case REPL_DIGESTED:
    case REPL_SYNC:
    case REPL_JOINS:
    case REPL_ACK:
    case REPL_LEAVING: fail_msg("no message of a primary");
    }
    lab_message_free(&m);
    repl_check(&n->r);
    return true;
}

/* One message to the replica is lost, as no link does: what comes behind it does not fit. */
static inline void lab_lose(struct lab *l, unsigned from, unsigned to)
{
    struct lab_link *k = &l->link[from][to];
    assert_true(k->there_at < k->there.n);
    lab_message_free(&k->there.at[k->there_at++]);
}

/* What a replica has stored it says, to each who sent it; before it joins. */
static inline void lab_release(struct lab *l, unsigned i)
{
    struct lab_node *n = &l->node[i];
    if (!n->stuck)
        n->stored = n->appended;
    if (!n->unsynced)
        n->synced = n->stored;
    lab_clock(l, i);
    for (unsigned from = 0; from < LAB_NODES; from++) {
        struct lab_link *k = &l->link[from][i];
        struct repl_ack now = k->told;
        size_t over = 0;
        if (k->guest == 0)
            continue;
        for (size_t d = 0; d < k->due.n && k->due.at[d].mine <= n->stored; d++)
            now.held = k->due.at[d].theirs > now.held ? k->due.at[d].theirs : now.held;
        for (; over < k->due.n && k->due.at[over].mine <= n->synced; over++)
            now.synced = k->due.at[over].theirs > now.synced ? k->due.at[over].theirs : now.synced;
        k->due.n -= over;
        if (over > 0)
            memmove(k->due.at, k->due.at + over, k->due.n * sizeof(k->due.at[0]));
        if (k->due.n > 0 && k->due.at[0].theirs > 0 && k->due.at[0].theirs <= now.synced)
            now.synced = k->due.at[0].theirs - 1;
        if (!k->asked && now.held == k->told.held && now.synced == k->told.synced)
            continue;
        k->asked = false;
        k->told = now;
        lab_say(&n->ops, (uint16_t)from, false, &(struct repl_message){.type = REPL_ACK, .ack = now});
    }
    repl_join(&n->r);
}

/* One message reaches the primary. */
static inline bool lab_back(struct lab *l, unsigned from, unsigned to)
{
    struct lab_link *k = &l->link[from][to];
    struct repl *r = &l->node[from].r;
    if (!k->open || k->back_at == k->back.n)
        return false;
    struct lab_message m = k->back.at[k->back_at++];
    lab_clock(l, from);
    repl_heard(r, (uint16_t)to);
    switch (m.m.type) {
    case REPL_SYNC:
        l->syncs += (unsigned)m.m.n;
        repl_wheres(r, (uint16_t)to, m.m.wheres, m.m.n);
        break;
    case REPL_JOINS:
        for (size_t i = 0; i < m.m.n; i++)
            repl_joins(r, (uint16_t)to, &m.m.rounds[i]);
        break;
    case REPL_ACK: repl_acked(r, (uint16_t)to, &m.m.ack); break;
    case REPL_PULL: lab_pulled(l, from, to, &m.m.pull); break;
    case REPL_DIGESTED: scrub_digested(r, (uint16_t)to, &m.m.digested); break;
    case REPL_LEAVING: repl_leaves(r, (uint16_t)to); break;
    case REPL_FROM:
    case REPL_APPEND:
    case REPL_JOINED:
    case REPL_ALIVE:
    case REPL_DUMP:
    case REPL_OFFER:
    case REPL_DIGEST:
    case REPL_BAD:
    case REPL_COMPARE:
    case REPL_DUMPED: fail_msg("no message of a replica");
    }
    lab_message_free(&m);
    repl_check(r);
    return true;
}

/* ------------------------------------------------------------ proposals, time */

static inline void lab_look(struct lab *l, unsigned i)
{
    struct repl_wishes w = {0};
    struct bits taken = {0};
    lab_clock(l, i);
    repl_look(&l->node[i].r, &taken, true, &w);
    if (w.propose) {
        struct lab_proposal *p = vec_add(&l->proposals);
        *p = (struct lab_proposal){.from = (uint16_t)i, .base = l->node[i].map.index, .n = w.n};
        for (size_t k = 0; k < w.at.n; k++)
            *vec_add(&p->at) = w.at.at[k];
    }
    if (w.settles)
        *vec_add(&l->proposals) = (struct lab_proposal){.from = (uint16_t)i, .base = l->node[i].map.index,
                                                        .settles = true, .settled = w.settled};
    vec_free(&w.at);
    repl_check(&l->node[i].r);
}

/* write-quorum is another one from now on, in the agreed map. */
static inline void lab_set_w(struct lab *l, uint32_t w)
{
    struct map_entry e = {.type = MAP_SET, .set = {"write-quorum", w}};
    assert_false(map_apply(&l->map, l->map.index + 1, &e).is_void);
}

/* The oldest undecided proposal enters the agreed map, or is void; false: there is none. */
static inline bool lab_decide(struct lab *l)
{
    if (l->proposals_at == l->proposals.n)
        return false;
    const struct lab_proposal *p = &l->proposals.at[l->proposals_at++];
    struct map_isr_run runs[LAB_SLOTS];
    struct map_entry e = {.type = MAP_ISR, .base = p->base, .about = l->map.nodes.at[p->from].id, .incarnation = 1};
    if (p->settles) {
        e.type = MAP_SETTLED;
        e.settled = p->settled;
        (void)map_apply(&l->map, l->map.index + 1, &e);
        return true;
    }
    assert_true(p->at.n <= LAB_SLOTS);
    for (size_t i = 0; i < p->at.n; i++) {
        const struct repl_wish *w = &p->at.at[i];
        runs[i] = (struct map_isr_run){.from = w->slot, .to = w->slot, .n = w->next.n};
        memcpy(runs[i].node, w->next.node, sizeof(runs[i].node));
        memcpy(runs[i].incarnation, w->next.incarnation, sizeof(runs[i].incarnation));
    }
    e.isr.n = p->n;
    e.isr.run = runs;
    e.isr.run_n = p->at.n;
    (void)map_apply(&l->map, l->map.index + 1, &e);
    return true;
}

/* Nothing is under way any more; maps stay as they are. */
static inline void lab_carry(struct lab *l)
{
    unsigned moves = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (unsigned i = 0; i < LAB_NODES; i++)
            lab_release(l, i);
        for (unsigned from = 0; from < LAB_NODES; from++) {
            lab_dial(l, from);
            for (unsigned to = 0; to < LAB_NODES; to++) {
                lab_pump(l, from, to);
                while (lab_there(l, from, to) || lab_back(l, from, to))
                    moved = true;
            }
        }
        assert_true(++moves < 1000); /* they do not talk for ever */
    }
}

static inline void lab_later(struct lab *l, int64_t ms)
{
    while (ms > 0) { /* none of them stands still */
        int64_t step = ms < LAB_T_MS / 20 ? ms : LAB_T_MS / 20;
        ms -= step;
        l->now.us += step * 1000;
        for (unsigned i = 0; i < LAB_NODES; i++)
            lab_clock(l, i);
    }
    for (unsigned i = 0; i < LAB_NODES; i++) {
        lab_clock(l, i);
        repl_alive(&l->node[i].r);
        lab_look(l, i);
    }
}

/* ---------------------------------------------------------------------- truth */

/* A log is a beginning of what primaries made, one behind the other (1, 2). */
static inline void lab_check(const struct lab *l)
{
    for (unsigned i = 0; i < LAB_NODES; i++) {
        const struct lab_node *n = &l->node[i];
        repl_check(&n->r);
        for (unsigned slot = 0; slot < LAB_SLOTS; slot++) {
            struct position before = {0, 0};
            assert_int_equal(n->log[slot].n, n->slots[slot].at.seq);
            for (size_t k = 0; k < n->log[slot].n; k++) {
                const struct lab_record *rec = &n->log[slot].at[k];
                assert_int_equal(rec->at.seq, k + 1);
                assert_int_equal(rec->before_epoch, before.epoch);
                assert_memory_equal(rec, &l->made[slot].at[rec->value / 10], sizeof(*rec));
                before = rec->at;
            }
            assert_true(n->log[slot].n == 0 || before.epoch == n->slots[slot].at.epoch);
        }
    }
}

static inline bool lab_has(const struct lab *l, unsigned i, unsigned slot, const struct lab_record *rec)
{
    const struct lab_node *n = &l->node[i];
    return rec->at.seq <= n->log[slot].n && n->log[slot].at[rec->at.seq - 1].value == rec->value;
}

static inline enum copy_state lab_copy(const struct lab *l, unsigned primary, unsigned slot, unsigned place)
{
    const struct primary_slot *p = &l->node[primary].r.primary[slot];
    for (unsigned k = 0; k < p->copies_n; k++)
        if (p->copies[k].place == place)
            return (enum copy_state)p->copies[k].state;
    fail_msg("it has no copy of it");
    return COPY_AWAY;
}

#endif

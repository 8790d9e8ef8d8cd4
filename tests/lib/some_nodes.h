/* SPDX-License-Identifier: BSD-3-Clause */

/* Three nodes of a cluster in one process, their links carried by hand and their maps made by hand.
 *
 *     struct some w;  some_start(&w, "");
 *     some_send(&w, 0, 1, "GET k");      client 1 of node 0
 *     some_carry(&w);                    links take and bring until nothing is under way
 *     some_expect(&w, 0, 1, "$-1\r\n");
 *
 * owner[slot] is whose a slot is; some_map() tells all nodes, some_map_to() one. */
#ifndef TESTS_LIB_SOME_NODES_H
#define TESTS_LIB_SOME_NODES_H

#define _GNU_SOURCE
#include <stdio.h>

#include "base/hash.h"
#include "tests/lib/fed.h"
#include "tests/lib/one_node.h"

enum { SOME_NODES = 3, SOME_LINKS = 64, SOME_FIRST_LINK_CONN = 16, SOME_WORDS = 64 };

struct some_link {
    bool used, dialing, open;
    unsigned from, to;
    uint32_t link, conn; /* its names at the two ends */
    uint8_t use;
    struct buf there, back; /* bytes on their way */
};

struct some {
    struct one node[SOME_NODES];
    struct some_link links[SOME_LINKS];
    uint16_t owner[SLOTS]; /* or MAP_NOBODY */
    struct map map;
    struct word words[SOME_NODES][SOME_WORDS]; /* what each told, oldest first */
    size_t words_n[SOME_NODES];
    bool cut;              /* nothing is dialed: refused */
    bool stopped[SOME_NODES]; /* takes nothing from links */
    uint32_t next_conn;
    size_t copied_most; /* of what was given to a link at once, all but the values it shares */
};

static struct some *some_now; /* whose nodes step: cmocka runs one test at a time */

static inline unsigned some_index(const struct one *o)
{
    return (unsigned)(o - some_now->node);
}

static inline void some_words(struct one *o, struct word *w)
{
    unsigned i = some_index(o);
    if (some_now->words_n[i] == SOME_WORDS) {
        word_free(w);
        return;
    }
    some_now->words[i][some_now->words_n[i]++] = *w;
}

static inline struct some_link *some_link_at(unsigned from, uint32_t link)
{
    for (unsigned i = 0; i < SOME_LINKS; i++) {
        struct some_link *l = &some_now->links[i];
        if (l->used && l->from == from && l->link == link)
            return l;
    }
    return NULL;
}

static inline void some_link_drop(struct some_link *l)
{
    buf_free(&l->there);
    buf_free(&l->back);
    *l = (struct some_link){0};
}

static inline void some_links(struct one *o)
{
    unsigned from = some_index(o);
    for (size_t i = 0; i < o->out.dial.n; i++) {
        const struct node_dial *d = &o->out.dial.at[i];
        struct some_link *l = some_now->links;
        while (l->used)
            l++;
        assert_true(l < some_now->links + SOME_LINKS);
        *l = (struct some_link){.used = true, .dialing = true, .from = from, .link = d->link, .use = d->use,
                                .to = (unsigned)(d->peer.b[0] - 'a')};
        buf_init(&l->there, SIZE_MAX / 2);
        buf_init(&l->back, SIZE_MAX / 2);
    }
    for (size_t i = 0; i < o->out.send.n; i++) {
        struct node_send *s = &o->out.send.at[i];
        struct some_link *l = some_link_at(from, s->link);
        assert_true(l != NULL && l->open);
        assert_int_equal(buf_room(&l->there, s->bytes.n), ERR_OK);
        l->there.n += chain_copy(&s->bytes, l->there.p + l->there.n, s->bytes.n);
        size_t copied = 0;
        for (const struct chain_part *part = s->bytes.head; part != NULL; part = part->next)
            copied += part->blob == NULL ? part->n : 0;
        some_now->copied_most = copied > some_now->copied_most ? copied : some_now->copied_most;
        chain_free(&s->bytes, NULL);
    }
    for (size_t i = 0; i < o->out.hang_up.n; i++) {
        struct some_link *l = some_link_at(from, o->out.hang_up.at[i]);
        if (l == NULL)
            continue;
        uint32_t conn = l->conn;
        unsigned to = l->to;
        bool open = l->open;
        some_link_drop(l);
        if (open)
            one_step(&some_now->node[to], (struct node_event){.type = NODE_CLOSED, .closed = conn});
    }
}

static inline struct node_id some_id(unsigned i)
{
    struct node_id id = {{0}};
    id.b[0] = (uint8_t)('a' + i);
    return id;
}

/* The map as `owner` says; a slot that changes hands gets its next epoch. */
static inline void some_map_make(struct some *w)
{
    struct map *m = &w->map;
    m->index++;
    m->slots_ver = m->nodes_ver = m->index;
    while (m->nodes.n < SOME_NODES) {
        struct map_node *n = vec_add(&m->nodes);
        *n = (struct map_node){.used = true, .incarnation = 1, .weight = 1, .id = some_id((unsigned)m->nodes.n - 1)};
        (void)snprintf(n->at.ip, sizeof(n->at.ip), "10.0.0.%u", (unsigned)m->nodes.n);
        n->at.port = 7000;
        n->at.cluster_port = 17000;
    }
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        struct map_slot *s = &m->slots[slot];
        if (s->epoch > 0 && s->primary == w->owner[slot])
            continue;
        s->ver = m->index;
        s->primary = w->owner[slot];
        s->epoch += s->primary != MAP_NOBODY;
        if (s->primary == MAP_NOBODY)
            continue;
        s->isr_n = s->want_n = 1;
        s->isr[0] = s->want[0] = s->primary;
        s->isr_incarnation[0] = 1;
        map_replicas_follow(s);
    }
}

static inline void some_map_to(struct some *w, unsigned i)
{
    struct word word = {.type = WORD_MAP, .map = &w->map};
    one_step(&w->node[i], (struct node_event){.type = NODE_WORD, .word = &word});
    node_check(w->node[i].node);
}

static inline void some_map(struct some *w)
{
    some_map_make(w);
    for (unsigned i = 0; i < SOME_NODES; i++)
        some_map_to(w, i);
}

static inline void some_start(struct some *w, const char *lines)
{
    memset(w, 0, sizeof(*w));
    some_now = w;
    w->next_conn = SOME_FIRST_LINK_CONN;
    map_init(&w->map);
    w->map.settings = (struct map_settings){.replication_factor = 1, .node_timeout_ms = 1000};
    for (unsigned slot = 0; slot < SLOTS; slot++)
        w->owner[slot] = (uint16_t)(slot % SOME_NODES);
    for (unsigned i = 0; i < SOME_NODES; i++) {
        struct one *o = &w->node[i];
        o->links = some_links;
        o->words = some_words;
        o->lease = (struct mono){INT64_C(1000000000000)};
        o->identity = (struct node_identity){.seed = i + 1, .in_cluster = true, .id = some_id(i), .incarnation = 1};
        one_begin(o, lines);
        if (o->options.appendonly)
            one_loaded(o);
        one_open(o, 1);
        one_open(o, 2);
    }
    some_map(w);
}

/* ------------------------------------------------------------------- carrying */

/* What lies there goes in; what is not taken stays. */
static inline bool some_deliver(struct some *w, struct some_link *l)
{
    struct fed fed;
    fed_read(&fed, buf_slice(&l->there), l->conn);
    if (fed.n > 0)
        one_step(&w->node[l->to], (struct node_event){.type = NODE_REQUESTS, .requests = {fed.batch, fed.n}});
    return fed_end(&fed, &l->there) > 0;
}

static inline void some_link_break(struct some *w, struct some_link *l)
{
    unsigned from = l->from, to = l->to;
    uint32_t link = l->link, conn = l->conn;
    bool open = l->open;
    some_link_drop(l);
    if (open)
        one_step(&w->node[to], (struct node_event){.type = NODE_CLOSED, .closed = conn});
    one_step(&w->node[from], open ? (struct node_event){.type = NODE_LINK_CLOSED, .link = {.link = link}}
                                  : (struct node_event){.type = NODE_DIALED,
                                                        .link = {.link = link, .dialed = NODE_DIALED_REFUSED}});
}

static inline bool some_dial(struct some *w, struct some_link *l)
{
    if (w->cut) {
        some_link_break(w, l);
        return true;
    }
    l->conn = w->next_conn;
    w->next_conn = w->next_conn + 1 < ONE_CONNS ? w->next_conn + 1 : SOME_FIRST_LINK_CONN;
    l->dialing = false;
    l->open = true;
    one_step(&w->node[l->to], (struct node_event){.type = NODE_OPENED,
                                                  .opened = {.conn = l->conn, .peer = SLICE("peer:1"),
                                                             .local = SLICE("local:1"), .use = l->use,
                                                             .from = some_id(l->from), .incarnation = 1}});
    one_step(&w->node[l->from], (struct node_event){.type = NODE_DIALED,
                                                    .link = {.link = l->link, .dialed = NODE_DIALED_OK, .incarnation = 1}});
    return true;
}

/* One move of one link; false: it is quiet. */
static inline bool some_link_move(struct some *w, struct some_link *l)
{
    if (!l->used || (w->stopped[l->to] && !l->dialing))
        return false;
    if (l->dialing)
        return some_dial(w, l);
    struct one *to = &w->node[l->to];
    uint32_t conn = l->conn;
    if (to->dropped[conn]) {
        to->dropped[conn] = false;
        some_link_break(w, l);
        return true;
    }
    bool moved = l->there.n > 0 && some_deliver(w, l);
    if (moved)
        one_step(&w->node[l->from], (struct node_event){.type = NODE_LINK_TOOK, .link = {.link = l->link}});
    one_step(to, (struct node_event){.type = NODE_RELEASE});
    struct buf *got = &to->got[conn];
    if (!l->used || got->n == 0)
        return moved;
    assert_int_equal(buf_add(&l->back, buf_slice(got)), ERR_OK);
    buf_clear(got);
    struct buf back = l->back;
    buf_init(&l->back, SIZE_MAX / 2);
    one_step(&w->node[l->from], (struct node_event){.type = NODE_LINK_BYTES,
                                                    .link = {.link = l->link, .in = buf_slice(&back)}});
    buf_free(&back);
    return true;
}

static inline void some_carry(struct some *w)
{
    for (bool moved = true; moved;) {
        moved = false;
        for (unsigned i = 0; i < SOME_LINKS; i++)
            moved |= some_link_move(w, &w->links[i]);
    }
    for (unsigned i = 0; i < SOME_NODES; i++)
        node_check(w->node[i].node);
}

static inline void some_later(struct some *w, int64_t ms)
{
    for (unsigned i = 0; i < SOME_NODES; i++)
        one_later(&w->node[i], ms);
    some_carry(w);
}

static inline unsigned some_next(unsigned node)
{
    return (node + 1) % SOME_NODES;
}

/* Each slot has a copy at the node behind its primary's, in sync. */
static inline void some_copied(struct some *w)
{
    struct map *m = &w->map;
    m->index++;
    m->slots_ver = m->index;
    m->settings.replication_factor = 2;
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        struct map_slot *s = &m->slots[slot];
        s->ver = m->index;
        s->isr_n = s->want_n = 2;
        s->isr[0] = s->want[0] = s->primary;
        s->isr[1] = s->want[1] = (uint16_t)some_next(s->primary);
        s->isr_incarnation[0] = s->isr_incarnation[1] = 1;
        map_replicas_follow(s);
    }
    for (unsigned i = 0; i < SOME_NODES; i++)
        some_map_to(w, i);
    for (unsigned i = 0; i < 5; i++)
        some_later(w, 10);
}

static inline size_t some_send(struct some *w, unsigned node, uint32_t conn, const char *lines)
{
    return one_send(&w->node[node], conn, lines);
}

#define some_expect(w, i, conn, text) one_expect(&(w)->node[i], conn, text)

static inline void some_stop(struct some *w)
{
    w->stopped[0] = w->stopped[1] = w->stopped[2] = true;
    for (unsigned i = 0; i < SOME_LINKS; i++)
        if (w->links[i].used)
            some_link_drop(&w->links[i]);
    for (unsigned i = 0; i < SOME_NODES; i++) {
        one_stop(&w->node[i]);
        for (size_t j = 0; j < w->words_n[i]; j++)
            word_free(&w->words[i][j]);
    }
    map_free(&w->map);
}

/* The n-th key of those "k0", "k1" ... that are this node's; static text, good for a few calls. */
static inline const char *some_key(const struct some *w, unsigned node, unsigned n)
{
    static char text[16][16];
    static unsigned next;
    char *to = text[next++ % 16];
    for (unsigned i = 0;; i++) {
        (void)snprintf(to, sizeof(text[0]), "k%u", i);
        if (w->owner[slot_of(slice_str(to))] == node && n-- == 0)
            return to;
    }
}

#endif

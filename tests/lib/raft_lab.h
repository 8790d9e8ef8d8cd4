/* SPDX-License-Identifier: BSD-3-Clause */

/* A few rafts on a bench: time, disk and post are moved by hand.
 *
 * Node i is peer_of(i). A log is given as terms: "1 1 4" is three entries; the first is the voters'. What a
 * node sends lies in its `sent` until the test delivers, drops or looks at it; what it asks of the disk
 * is done at once, or when the test says so. */
#ifndef TESTS_LIB_RAFT_LAB_H
#define TESTS_LIB_RAFT_LAB_H

#include <stdio.h>
#include <stdlib.h>

#include "core/raft/raft.h"
#include "tests/lib/unit.h"

enum { LAB_NODES = 6, LAB_SENT = 256, MS = 1000, LAB_T = 1000 * MS, LAB_SNAPSHOT = 300 * 1000 };

struct lab_sent {
    struct raft_msg m;
    struct raft_entry *entries; /* copies, with their bytes */
    char *bytes;                /* of a snapshot's chunk */
};

struct lab_node {
    struct raft r;
    bool is_there, holds; /* holds: stores are answered by lab_store alone */
    uint64_t token;       /* asked last */
    struct lab_sent sent[LAB_SENT];
    size_t sent_n;
    uint64_t applied;     /* last one handed out, in order */
    uint64_t restored;
    size_t commands;      /* entries of the owner applied */
    struct raft_out out;  /* of the last step */
    enum err err;
};

struct lab {
    struct lab_node node[LAB_NODES]; /* 1 .. */
    struct mono now;
};

static inline struct raft_peer peer_of(unsigned i)
{
    struct raft_peer p = {0};
    p.node.b[19] = (uint8_t)i;
    p.data.b[15] = 1;
    return p;
}

static inline struct raft_voters voters_of(unsigned from, unsigned to)
{
    struct raft_voters v = {0};
    for (unsigned i = from; i <= to; i++)
        v.at[v.n++] = peer_of(i);
    return v;
}

static inline void lab_sent_free(struct lab_sent *s)
{
    for (size_t i = 0; s->entries != NULL && i < s->m.append.n; i++)
        free((char *)s->entries[i].bytes.p);
    free(s->entries);
    free(s->bytes);
    *s = (struct lab_sent){0};
}

static inline char *lab_copy(struct slice s)
{
    char *p = malloc(s.n + 1);
    assert_non_null(p);
    if (s.n > 0)
        memcpy(p, s.p, s.n);
    return p;
}

static inline void lab_keep(struct lab_node *n, const struct raft_msg *m)
{
    assert_true(n->sent_n < LAB_SENT);
    struct lab_sent *s = &n->sent[n->sent_n++];
    *s = (struct lab_sent){.m = *m};
    if (m->type == RAFT_MSG_APPEND) {
        s->entries = calloc(m->append.n + 1, sizeof(*s->entries));
        for (size_t i = 0; i < m->append.n; i++) {
            s->entries[i] = m->append.entries[i];
            s->entries[i].bytes.p = lab_copy(m->append.entries[i].bytes);
        }
        s->m.append.entries = s->entries;
    } else if (m->type == RAFT_MSG_SNAPSHOT) {
        s->bytes = lab_copy(m->snapshot.bytes);
        s->m.snapshot.bytes.p = s->bytes;
    }
}

static inline void lab_step(struct lab *l, unsigned i, struct raft_event ev);

static inline void lab_take_out(struct lab_node *n, const struct raft_out *out)
{
    for (size_t i = 0; i < out->msgs_n; i++)
        lab_keep(n, &out->msgs[i]);
    if (out->restore != NULL)
        n->applied = n->restored = out->restore->index;
    if (out->apply_n > 0) {
        assert_int_equal(out->apply_first, n->applied + 1); /* contiguous, each once */
        n->applied += out->apply_n;
    }
    for (size_t i = 0; i < out->apply_n; i++)
        n->commands += out->apply[i].type == RAFT_ENTRY_OWNER;
    if (out->store.token != 0) {
        assert_int_equal(out->store.token, n->token + 1);
        n->token = out->store.token;
    }
}

/* The disk has done what it was asked for. */
static inline void lab_store(struct lab *l, unsigned i)
{
    lab_step(l, i, (struct raft_event){.type = RAFT_STORED, .token = l->node[i].token});
}

static inline void lab_step(struct lab *l, unsigned i, struct raft_event ev)
{
    struct lab_node *n = &l->node[i];
    uint64_t before = n->token;
    ev.now = l->now;
    n->err = raft_step(&n->r, &ev, &n->out);
    raft_check(&n->r);
    lab_take_out(n, &n->out);
    if (!n->holds && n->token != before) {
        struct raft_out out = n->out;
        enum err err = n->err;
        lab_store(l, i);
        n->out.refused = out.refused; /* of the event that the test gave */
        n->out.proposed = out.proposed;
        n->err = err;
    }
}

/* terms: NULL: an empty log. */
static inline void lab_start(struct lab *l, unsigned i, struct raft_voters v, const char *terms, uint64_t term)
{
    struct lab_node *n = &l->node[i];
    struct raft_peer self = peer_of(i);
    struct raft_entry e[64];
    char voters[RAFT_VOTERS_BYTES];
    struct raft_saved saved = {.term = term, .first = 1, .entries = e};
    for (const char *p = terms; p != NULL && *p != '\0'; saved.n++) {
        char *end;
        e[saved.n] = (struct raft_entry){.term = strtoull(p, &end, 10), .type = RAFT_ENTRY_OWNER, .bytes = SLICE("x")};
        p = end;
    }
    if (saved.n > 0) {
        e[0].type = RAFT_ENTRY_VOTERS;
        e[0].bytes = slice_of(voters, raft_voters_put(voters, &v));
    }
    assert_int_equal(raft_init(&n->r, &self, i, LAB_T, l->now, &saved), ERR_OK);
    n->is_there = true;
    raft_check(&n->r);
}

static inline void lab_drop_sent(struct lab *l, unsigned i)
{
    for (size_t k = 0; k < l->node[i].sent_n; k++)
        lab_sent_free(&l->node[i].sent[k]);
    l->node[i].sent_n = 0;
}

static inline void lab_free(struct lab *l)
{
    for (unsigned i = 1; i < LAB_NODES; i++) {
        lab_drop_sent(l, i);
        if (l->node[i].is_there)
            raft_free(&l->node[i].r);
    }
}

static inline void lab_recv(struct lab *l, unsigned i, struct raft_msg m)
{
    m.to = peer_of(i);
    lab_step(l, i, (struct raft_event){.type = RAFT_RECV, .msg = &m});
}

/* Everything that lies sent is delivered, and what that makes them send, until nothing is under way. */
static inline void lab_deliver(struct lab *l)
{
    bool more = true;
    for (int round = 0; more; round++) {
        assert_true(round < 1000);
        more = false;
        for (unsigned i = 1; i < LAB_NODES; i++) {
            struct lab_sent all[LAB_SENT];
            size_t n = l->node[i].sent_n;
            memcpy(all, l->node[i].sent, n * sizeof(*all));
            l->node[i].sent_n = 0;
            for (size_t k = 0; k < n; k++) {
                unsigned to = all[k].m.to.node.b[19];
                more = true;
                if (l->node[to].is_there)
                    lab_step(l, to, (struct raft_event){.type = RAFT_RECV, .msg = &all[k].m});
                lab_sent_free(&all[k]);
            }
        }
    }
}

static inline void lab_due(struct lab *l, unsigned i)
{
    lab_step(l, i, (struct raft_event){.type = RAFT_DUE});
}

static inline void lab_pass(struct lab *l, int64_t us)
{
    l->now = mono_after(l->now, us);
}

/* Node i campaigns now, and everybody hears everybody. */
static inline void lab_elect(struct lab *l, unsigned i)
{
    lab_pass(l, LAB_T); /* nobody is loyal to a leader any more */
    lab_due(l, i);
    lab_deliver(l);
}

static inline void lab_propose(struct lab *l, unsigned i, struct slice bytes)
{
    lab_step(l, i, (struct raft_event){.type = RAFT_PROPOSE, .bytes = bytes});
}

static inline const struct raft_msg *lab_find(const struct lab *l, unsigned i, enum raft_msg_type type)
{
    for (size_t k = l->node[i].sent_n; k > 0; k--)
        if (l->node[i].sent[k - 1].m.type == type)
            return &l->node[i].sent[k - 1].m;
    return NULL;
}

/* Terms of the log, as lab_start reads them. */
static inline const char *lab_terms(const struct raft *r, char *to, size_t to_n)
{
    size_t at = 0;
    to[0] = '\0';
    for (uint64_t i = r->log.first; i <= raft_log_last(&r->log); i++)
        at += (size_t)snprintf(to + at, to_n - at, "%s%d", at > 0 ? " " : "", (int)raft_log_at(&r->log, i)->term);
    return to;
}

#endif

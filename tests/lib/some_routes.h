/* SPDX-License-Identifier: BSD-3-Clause */

/* What tests of routing say to three nodes (some_nodes.h), and see of their links. */
#ifndef TESTS_LIB_SOME_ROUTES_H
#define TESTS_LIB_SOME_ROUTES_H

#include "tests/lib/some_nodes.h"

#include "node/cluster.h"

static struct some w; /* whose nodes these are */

static inline void send_format(unsigned node, uint32_t conn, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static inline void send_format(unsigned node, uint32_t conn, const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    some_send(&w, node, conn, line);
}

/* What left for this connection of this node since the last time begins with text. */
static inline void expect_begins(unsigned node, uint32_t conn, const char *text)
{
    one_step(&w.node[node], (struct node_event){.type = NODE_RELEASE});
    struct buf *got = &w.node[node].got[conn];
    assert_true(got->n >= strlen(text));
    assert_memory_equal(got->p, text, strlen(text));
    buf_clear(got);
}

static inline void start(void)
{
    some_start(&w, "appendonly no");
}

static inline unsigned links_n(void)
{
    unsigned n = 0;
    for (unsigned i = 0; i < SOME_LINKS; i++)
        n += w.links[i].used;
    return n;
}

static inline struct some_link *only_link(unsigned from, unsigned to)
{
    for (unsigned i = 0; i < SOME_LINKS; i++)
        if (w.links[i].used && w.links[i].from == from && w.links[i].to == to)
            return &w.links[i];
    fail_msg("there is no such link");
    return NULL;
}

/* What was given to it has left. */
static inline void all_is_taken(const struct some_link *l)
{
    one_step(&w.node[l->from], (struct node_event){.type = NODE_LINK_TOOK, .link = {.link = l->link}});
}

/* As the node at its other end would answer, in pieces. */
static inline void answer_some(const struct some_link *l, struct slice in)
{
    one_step(&w.node[l->from], (struct node_event){.type = NODE_LINK_BYTES, .link = {.link = l->link, .in = in}});
}

static inline void answer_x(const struct some_link *l, size_t n)
{
    char x[32 * 1024];
    memset(x, 'x', sizeof(x));
    for (size_t piece; n > 0; n -= piece) {
        piece = n < sizeof(x) ? n : sizeof(x);
        answer_some(l, slice_of(x, piece));
    }
}

/* What is said to it and not looked at. */
static inline void say_hello(unsigned node, uint32_t conn, unsigned protocol)
{
    send_format(node, conn, "HELLO %u", protocol);
    one_step(&w.node[node], (struct node_event){.type = NODE_RELEASE});
    buf_clear(&w.node[node].got[conn]);
}

#endif

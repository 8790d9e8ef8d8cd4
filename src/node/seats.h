/* SPDX-License-Identifier: BSD-3-Clause */

/* The threads of a proxy, each of them a node of its own, as the one server that clients see (N19).
 *
 *     INFO at seat 1      ASK to 0, 2, 3   ->  each tells its figures, or does its part
 *                         TOLD, TOLD, TOLD ->  with the last the command runs here, over the sum
 *     CONFIG SET at 1     ASK to 0         ->  there it is set, and FOLLOW goes to all others: one
 *                                              order for all
 *     MONITOR at 1        WANT to 0, 2, 3  ->  LINES of what they run, once a step
 *
 * No seat waits for another: who asks holds the session that asked. Words between two seats
 * keep their order. */
#ifndef NODE_SEATS_H
#define NODE_SEATS_H

#include "base/buf.h"
#include "node/node.h"
#include "node/session.h"
#include "node/upstream.h"

enum { SEATS_MAX = 64 };

/* What INFO tells of the node, and is of its thread: X(figure, whether the most counts
 * or the sum). */
#define SEAT_FIGURES(X)           \
    X(FIGURE_CLIENTS, false)      \
    X(FIGURE_BLOCKED, false)      \
    X(FIGURE_TIMED, false)        \
    X(FIGURE_WATCHED, false)      \
    X(FIGURE_CLIENT_BYTES, false) \
    X(FIGURE_LINK_BYTES, false)   \
    X(FIGURE_CONNECTIONS, false)  \
    X(FIGURE_INPUT_BYTES, false)  \
    X(FIGURE_OUTPUT_BYTES, false) \
    X(FIGURE_REJECTED, false)     \
    X(FIGURE_READS, false)        \
    X(FIGURE_WRITES, false)       \
    X(FIGURE_CYCLES, false)       \
    X(FIGURE_INPUT_LIMIT, false)  \
    X(FIGURE_OUTPUT_LIMIT, false) \
    X(FIGURE_INPUT_MOST, true)    \
    X(FIGURE_OUTPUT_MOST, true)   \
    X(FIGURE_LINKS, false)        \
    X(FIGURE_OWN_LINKS, false)    \
    X(FIGURE_SENT, false)         \
    X(FIGURE_PARKED, false)       \
    X(FIGURE_FORWARDED, false)    \
    X(FIGURE_RETRIED, false)      \
    X(FIGURE_BY_COPIES, false)    \
    X(FIGURE_UNCERTAIN, false)

enum figure {
#define X(figure, most) figure,
    SEAT_FIGURES(X)
#undef X
        FIGURES_N
};

/* What seats told, added up. */
struct seat_share {
    int64_t n;       /* what the command answered as a number, an OK being 1 */
    struct buf text; /* what it answered as text, one behind the other */
    uint64_t figures[FIGURES_N];
    struct stats *stats; /* NULL: not asked for; the same of the two below */
    struct slowlog *slowlog;
    struct latency *latency;
    struct upstreams upstreams; /* with stats */
};

enum seat_word_type { SEAT_ASK = 1, SEAT_TOLD, SEAT_FOLLOW, SEAT_WANT, SEAT_LINES };

struct seat_word {
    enum seat_word_type type;
    unsigned from;
    uint64_t token;              /* ASK, TOLD */
    struct kept_request request; /* ASK; FOLLOW: name value ... */
    bool is_loopback;            /* ASK: who asks is on this machine */
    bool wanted;                 /* WANT */
    struct seat_share share;     /* TOLD */
    struct buf lines;            /* LINES */
};

struct spec;
struct seats_state;

struct seats_state *seats_new(void);
void seats_free(struct seats_state *st);
/* Is this command answered by all seats? There is one seat alone: no. */
bool seats_are_asked(const struct node *n, const struct spec *spec);
void seats_ask(struct node *n, struct session *s, const struct spec *spec, const struct request *q,
               struct node_out *out);
/* Nobody waits for its answer any more. */
void seats_forget(struct node *n, const struct session *s);
/* At the end: what was told so far is the answer. */
void seats_give_up(struct node *n, struct node_out *out);
void seats_take(struct node *n, struct seat_word *w, struct node_out *out);
/* All others follow. */
void seats_tell_options(struct node *n, const struct option_trial *t, struct node_out *out);
/* A line for monitors of other seats; it leaves with the step. */
void seats_show(struct node *n, struct slice line);
void seats_step_end(struct node *n, struct node_out *out);
/* What seats told of the command that runs, added up. Figures, slow log and latency: this seat's
 * are in it; where each seat runs the command: the others' alone. NULL: it is this node's alone. */
const struct seat_share *seats_others(const struct node *n);

#endif

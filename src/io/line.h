/* SPDX-License-Identifier: BSD-3-Clause */

/* Lines: connections to other servers, dialed or accepted, without waiting for anything.
 *
 *     line_dial -> an address, or its name looked up by a thread -> connecting -> ops.dialed
 *     line_take -> one that was accepted
 *     line_send -> written once a turn, as the socket takes it -> ops.took
 *     what comes -> ops.bytes; its end -> ops.closed, once, and not after line_drop
 *
 * Nothing is called from inside line_dial, line_send or line_drop: only from lines_turn, line_ready
 * and lines_write. A line that is over is dead until lines_bury: events of it may still be in the
 * loop's list. One whose name is being looked up lives until the thread gives it back. */
#ifndef IO_LINE_H
#define IO_LINE_H

#include "base/vec.h"
#include "io/conn.h"
#include "io/dial.h"
#include "io/lane.h"

enum line_dialed {
    LINE_THROUGH,
    LINE_NOWHERE,   /* there is no such host */
    LINE_NO_SOCKET, /* the system gave none: too many files are open, or it lacks memory */
    LINE_REFUSED    /* it is not reached, or nobody listens there */
};

struct line;
struct line_ops {
    void (*dialed)(struct line *l, enum line_dialed how); /* not THROUGH: it is dead */
    void (*bytes)(struct line *l, struct slice in);       /* borrowed */
    void (*took)(struct line *l);   /* bytes left; l->out.n still wait. NULL: nobody asks */
    void (*closed)(struct line *l); /* it broke, or the other side ended it: it is dead */
    void (*free)(struct line *l);   /* its memory, after its end */
};

struct line { /* embedded in its owner's */
    struct conn conn;
    struct lines *of;
    struct job lookup;
    struct dial dial;
    struct chain out;   /* not written yet */
    struct mono end_by; /* line_end: dead then at the latest; MONO_NEVER: it goes on */
    uint16_t port;
    bool to_dial;    /* what is known of its address is told by the next lines_turn */
    bool looking_up; /* the thread has it: no descriptor yet */
    bool connecting;
    bool dead;
    enum err found; /* of the lookup */
    char host[DIAL_HOST_BYTES];
};

struct lines {
    struct loop *loop;
    const struct line_ops *ops;
    struct graves *graves;
    uint8_t kind; /* of the watches */
    VEC(struct line *) at;
    struct lane names;  /* looks names up; */
    bool names_started; /* there is none before the first name */
};

void lines_init(struct lines *s, struct loop *loop, uint8_t kind, const struct line_ops *ops,
                struct graves *graves);
void lines_free(
    struct lines *s); /* a name under way is waited for, as long as the resolver takes */

void line_dial(struct lines *s, struct line *l, struct slice host, uint16_t port);
void line_take(struct lines *s, struct line *l, int fd);
void line_send(struct line *l, struct chain *bytes); /* taken */
void line_drop(struct line *l);                      /* now; unsent bytes are lost */
void line_end(struct line *l, struct mono by); /* once what is to be sent is written; not read */
/* The descriptor leaves the loop and is the caller's; the line is dead. Nothing waits in out. */
int line_give(struct line *l);

void line_ready(struct line *l, uint8_t events); /* what the loop told of it */
void lines_turn(struct lines *s,
                struct mono now);  /* addresses that are known now; ends that are due */
void lines_write(struct lines *s); /* one writev for each that has something to say */
struct mono lines_due(const struct lines *s, struct mono now);
void lines_bury(struct lines *s);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */

/* The newest records this node has made or taken, for replicas that lack a few (replication 23).
 *
 * A ring of bytes. A record lies in one piece behind a head that names the record before it in its
 * slot, so what a replica lacks is found by going back from the slot's newest one:
 *
 *     | ... [slot 7 seq 4] [slot 9 seq 1] [slot 7 seq 5] [slot 7 seq 6] free ... oldest ... |
 *                 ^------------------------------|  ^-----------|
 *
 * A place counts bytes ever put in and never comes again; one that was overwritten is known as
 * such. Place 0 is no record's. */
#ifndef CORE_REPL_BACKLOG_H
#define CORE_REPL_BACKLOG_H

#include "base/chain.h"
#include "core/types.h"

struct backlog {
    char *ring;      /* owned; NULL: nothing is kept */
    uint64_t asked;  /* bytes; */
    uint64_t size;   /* in whole pieces */
    uint64_t oldest; /* the first place that is still whole; */
    uint64_t end;    /* and where the next record goes */
};

struct backlog_record {
    struct position at;
    uint64_t before_epoch;     /* of the record before it in its slot; 0: there was none */
    uint64_t before;           /* that one's place; 0: not known */
    struct slice bytes;        /* borrowed until the next put */
    const struct chain *parts; /* to be put, where it is not NULL: in place of bytes */
};

void backlog_init(struct backlog *b, uint64_t size); /* 0: keeps nothing */
void backlog_free(struct backlog *b);
void backlog_resize(struct backlog *b, uint64_t size); /* what it held is forgotten */
/* The record's place, or 0: it is too large to be kept. */
uint64_t backlog_put(struct backlog *b, const struct backlog_record *r);
/* False: it is no longer there, or never was. */
bool backlog_get(const struct backlog *b, uint64_t place, struct backlog_record *r);

#endif

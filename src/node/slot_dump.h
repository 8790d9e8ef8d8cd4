/* SPDX-License-Identifier: BSD-3-Clause */

/* Slot dumps: a slot's exact content, sent while it goes on changing, and built aside
 * (replication 23, 24).
 *
 *     primary                                          replica
 *     OFFER, of a slot that is longer than a part -->  PULL: two at once, fewest copies first
 *     scan, in the order of hashes:  | | | | c . . .
 *       keys before the cursor c were sent; what a     parts are applied to a spare table (store.h)
 *       record does to them is sent behind; what it    and noted in the log (VONG.PART); PULL tells
 *       does to keys from c on is sent with them       how many were taken
 *     the end of the scan: DUMPED, its position ---->  the tables change places, VONG.PARTS in the
 *                                                      log
 *
 * So all that was said is at each moment the exact state of the keys before the cursor, and at the
 * end of the slot at its newest record, from which on the copy is sent records as they are made:
 * the backlog need hold nothing. It always ends: each key is scanned once, and a record is sent at
 * most once; where records come faster than they are taken, writers wait (dump_holds), and the
 * more so the longer the scan is over: not for ever, a link on which nothing is taken meanwhile is
 * closed.
 *
 * Parts go over the record link, so that their order among the slot's records is that of the
 * link: at most DUMP_WINDOW of them are on their way, which is what records of other slots may
 * find before them. */
#ifndef NODE_SLOT_DUMP_H
#define NODE_SLOT_DUMP_H

#include "base/list.h"
#include "cmd/effect.h"
#include "core/repl/repl.h"
#include "store/store.h"

struct node;
struct repl_link;
struct repl_guest;

enum { DUMPS_AT_ONCE = STORE_SPARES }; /* out, and in (24) */
enum { DUMP_PART_BYTES = 60 * 1024 };

struct dump_out {
    bool used;
    uint16_t place;
    struct repl_round in;
    size_t part_bytes;
    uint64_t cursor;        /* keys of hashes before it were scanned; */
    bool scanned;           /* all were */
    struct list queue;      /* of items, oldest first: not said yet */
    size_t queued;          /* bytes of it that records brought, and small ones of the scan; */
    size_t bigs, scan_bigs; /* how many items are big values, and how many of these the scan's */
    uint32_t parts, taken;  /* said; the replica has taken */
    uint32_t scanned_at;    /* parts when it was scanned last */
    struct mono moved;      /* a part was said last, or later: writers began to wait */
};

struct dump_in { /* its content is the spare table of the same number */
    bool used;
    uint16_t place;
    struct repl_round in;
    uint32_t parts, told;
};

struct dump_pull {
    uint16_t place;
    struct repl_round in;
};

/* ---- dump_out.c: as primary */
/* What copies there need is said, or offered. */
void dump_look(struct node *n, struct repl_link *l);
void dump_pulled(struct node *n, uint16_t place, const struct repl_pull *p);
void dump_taken(struct node *n, uint16_t place, uint64_t bytes); /* of those said whole */
bool dump_is_of(const struct node *n, unsigned slot);            /* one of it is being sent */
/* One was made of a slot with copies. */
void dump_record(struct node *n, unsigned slot, struct slice record);
void dump_step(struct node *n); /* once a turn, behind replicate_turns */
bool dump_is_due(const struct node *n);
bool dump_holds(const struct node *n); /* too much waits to be said: writers wait */
/* They have for 2 T, and nothing was taken there. */
bool dump_is_stuck(const struct node *n, uint16_t place);
void dump_free(struct node *n);

/* ---- dump_in.c: as replica */
/* Why it is malformed, or NULL. */
const char *dump_part(struct node *n, struct repl_guest *g, const struct repl_dump *m);
const char *dump_whole(struct node *n, struct repl_guest *g, const struct repl_dumped *m);
/* End of a step: what is void is dropped, what was taken is told, more is pulled. */
void dump_in_look(struct node *n);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */

/* As primary: records read back from the log's increments, for copies that lack more than the
 * backlog has (replication 23).
 *
 *     increments   | 5 ............ | 6 .................... | 7 ....... written | not yet written
 *     a pass          ------------------------------------------------------->  then: the backlog
 *
 * A pass goes over them once for all slots that a node lacks, a piece a turn and as fast as
 * its link takes what is found; what is not of these slots is passed over by its line alone,
 * and of what is a few MiB are held, to be said slot by slot. It ends where the log does, at
 * what is written by then: what is behind that is in the backlog. Where a rewrite removes a
 * file before it was read, or it cannot be read, the pass is over, and who lacks what was in
 * it is sent whole slots. */
#ifndef NODE_CATCH_UP_H
#define NODE_CATCH_UP_H

#include "base/buf.h"
#include "base/moment.h"
#include "core/types.h"
#include "persist/disk.h"
#include "persist/record.h"

struct node;
struct repl_link;

enum { PASSES_AT_ONCE = 2 }; /* a third node that comes back waits */

struct log_pass {
    bool used;
    uint32_t link; /* what is found goes there */
    uint16_t place;
    struct endpoint to; /* whose it is, for log lines */
    unsigned slots;     /* it began for so many */
    /* SLOTS: so many of each slot's (lineage.h) are to be passed before its records count */
    uint32_t *turns;
    uint64_t increment; /* the file's number, and */
    uint64_t offset;    /* where in it `in` begins */
    struct buf in;      /* read, and not looked at */
    /* a big record, as far as it is read: it begins at `offset`, and `in` is empty; or NULL */
    struct blob *big;
    struct note big_note; /* its line, */
    uint32_t big_crc;     /* and the crc of that and what there is of its body */
    uint64_t token;       /* of the READ under way; 0: none */
    uint64_t asked;       /* bytes that it is to bring */
    bool is_present;      /* it was asked of the file that records go to now: there is as much */
    bool at_end;          /* of the file */
    int failed;           /* why it could not be read: errno; 0: it could */
    /* it goes no further than so many bytes: records may come faster than they are read */
    uint64_t left;
    uint64_t held;  /* bytes of records that are not said yet, or some that are; */
    bool says;      /* they are being said, before more is read */
    uint64_t bytes; /* read, over all files, */
    uint64_t sent;  /* and of these kept to be said */
    struct mono begun;
};

/* Is what is appended now in one of the manifest's files? Not while the log is off, or is
 * only being begun. */
bool catch_up_may(const struct node *n);
/* At the end of a step. True: a pass for this link is over, and its copies are to be
 * looked at again. */
bool catch_up_look(struct node *n, struct repl_link *l, struct disk_ops *disk);
void catch_up_done(struct node *n, struct disk_done *done); /* of ASKER_CATCH_UP */
void catch_up_drop(struct node *n, uint32_t link);          /* the link is gone */

#endif

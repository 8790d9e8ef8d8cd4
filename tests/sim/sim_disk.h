/* SPDX-License-Identifier: BSD-3-Clause */

/* A disk that takes time, fills, fails, and forgets.
 *
 *     names    what a process sees: name -> inode
 *     lasting  what a power cut leaves of the names; SYNC_DIR brings changes over
 *     inode    bytes, of which the first `synced` outlast a power cut
 *
 * Operations are performed as persist/disk.h promises: in order within a lane, each taking a drawn
 * time, at_once writes here and now. A sync covers what was there when it began. A kill leaves what
 * processes see, but for what the lanes had not done; a power cut leaves what lasts, and any piece of the
 * rest: a cut tail, zeros or rubbish in some of its blocks, some of the changed names. */
#ifndef SIM_DISK_H
#define SIM_DISK_H

#include "base/heap.h"
#include "base/list.h"
#include "base/moment.h"
#include "base/rng.h"
#include "base/vec.h"
#include "persist/disk.h"

enum { SIM_HANDLES = 64 };

/* What the false world does wrong on purpose: one of them at a time must be noticed (tests/sim/breaks.list). */
enum sim_break {
    BREAK_NONE,
    BREAK_SYNC_LIES,        /* a SYNC of the log is answered and not done */
    BREAK_SYNC_EARLY,       /* ... is answered when it begins */
    BREAK_BASE_SYNC_LIES,   /* a SYNC in the background lane is answered and not done */
    BREAK_DIR_SYNC_LIES,    /* a SYNC_DIR is answered and not done */
    BREAK_WRITE_LOST,       /* now and then a WRITE is answered and not done */
    BREAK_FULL_LIES,        /* a WRITE cut short by a full disk is answered as whole */
    BREAK_ERROR_HIDDEN,     /* a failing SYNC is answered as done */
    BREAK_TAIL_NOT_CUT,     /* the start cuts no torn tail */
    BREAK_REPLY_EARLY,      /* replies are shown to clients whatever their gate says */
    BREAK_REPLY_SWAPPED,    /* now and then two replies of a connection change places */
    BREAK_ROT_UNSEEN,       /* rot mends the checksum of the record it hits */
    BREAK_MARKS_IGNORED,    /* #S lines are hidden from the start */
    BREAK_FILE_SKIPPED,     /* the start does not read the last file */
    /* of many nodes (hosts.h) */
    BREAK_OF_MANY,
    BREAK_RELEASE_UNLEASED = BREAK_OF_MANY, /* at a release every lease is valid (replication 7) */
    BREAK_RUN_UNLEASED,     /* before a command runs it is (7) */
    BREAK_SENT_DENIED,      /* what a link sent is said not to be: it is sent again when it broke (9) */
    BREAK_OVERTAKES,        /* a forwarded command's reply overtakes the one before it (10) */
    BREAK_ECHO_SUSPECT,     /* who is SUSPECT gets echoes (16) */
    BREAK_DOWN_EARLY,       /* who leads runs on a clock three times as fast: DOWN does not wait (17) */
    BREAK_SAME_INCARNATION, /* a start forgets that there was the one before it (19) */
    BREAK_FENCE_LOST,       /* a fence is told and not on the disk (20) */
    BREAK_HANDS_MORE,       /* slots are handed over that are still served (26) */
    /* of several copies */
    BREAK_OF_COPIES,
    BREAK_ACKS_EARLY = BREAK_OF_COPIES, /* what was sent to a replica is acknowledged there and then (5) */
    BREAK_CLEAN_LIES,       /* reports say that no run ever lost anything (22) */
    BREAK_SETTLE_SKIPPED,   /* a changed setting is called settled at once ("Settings") */
    BREAK_COPY_ALTERED,     /* a value is altered in the memory of a node that has a copy of it (29) */
    /* of proxies */
    BREAK_OF_PROXIES,
    BREAK_PROXY_RESENDS = BREAK_OF_PROXIES, /* what a proxy's link sent is said not to be: it is sent again when it broke (9) */
    BREAK_REPLIES_STRAY,    /* what a proxy answers one client is told to another */
    BREAKS
};
const char *sim_break_name(enum sim_break b);
enum sim_break sim_break_of(const char *name); /* BREAKS: there is none of that name */

struct sim_inode {
    char *p;
    size_t n, cap, synced;
    bool broken; /* an operation failed with ERR_IO */
};

struct sim_name {
    char name[DISK_NAME_BYTES];
    size_t inode;
};

struct sim_dir {
    VEC(struct sim_name) at;
};

struct sim_dir_change {
    uint64_t id;
    char name[DISK_NAME_BYTES]; /* is now this inode, or gone */
    bool gone;
    size_t inode;
    char from[DISK_NAME_BYTES]; /* and this name is gone; "": none */
};

struct sim_lane {
    VEC(struct disk_op) queue; /* the first is under way */
    struct heap_node due;      /* of its end */
    uint64_t change_id;        /* of a SYNC_DIR: the changes before it */
    size_t size;               /* of a SYNC: the bytes it covers */
    bool told;                 /* BREAK_SYNC_EARLY: it was answered */
};

struct sim_disk {
    VEC(struct sim_inode) inodes;
    struct sim_dir names, lasting;
    VEC(struct sim_dir_change) changes; /* of names, not lasting yet */
    uint64_t changes_n;
    size_t handles[SIM_HANDLES]; /* inode + 1 */
    struct sim_lane lanes[LANES];
    struct rng rng;
    struct heap *calendar;
    struct mono now;

    /* troubles */
    size_t room;              /* bytes that still fit; SIZE_MAX: plenty */
    bool fail_sync, fail_write; /* the next one in the log's lane fails */
    int64_t slow_us;          /* added to every SYNC */
    int64_t fixed_us;         /* every operation takes this long; 0: drawn */
    enum sim_break broken;

    /* what happened */
    uint64_t failed_n, full_n, writes_n, syncs_n, done_n; /* done_n: in the lanes */
    int64_t longest_sync_us; /* since it was last zeroed, the one under way included */
};

void sim_disk_init(struct sim_disk *d, uint64_t seed, struct heap *calendar);
void sim_disk_free(struct sim_disk *d);

/* Takes op. True: it was done at once, *done is its answer. */
bool sim_disk_take(struct sim_disk *d, struct disk_op *op, struct disk_done *done);
/* The heap node is a lane's and has come: the operation is done. False: nothing is to be answered. */
bool sim_disk_due(struct sim_disk *d, struct heap_node *due, struct disk_done *done);

void sim_disk_kill(struct sim_disk *d);
void sim_disk_power_cut(struct sim_disk *d);

/* The disk as the start sees it; NULL: no such file. */
struct sim_inode *sim_disk_file(struct sim_disk *d, const char *name);

#endif

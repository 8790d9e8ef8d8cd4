/* SPDX-License-Identifier: BSD-3-Clause */

/* The disk as one more peer: what the pure side asks of it, and what comes back.
 *
 * Operations are performed blindly, in the order given within a lane. The log's lane is the log
 * thread's; the background lane writes bases and deletes files. A WRITE marked at_once is done by
 * the caller's own thread before the turn ends (a write(2) into the page cache; never a sync). Each
 * operation is answered by one DISK_DONE with its token, in order within its lane, at_once ones at
 * once.
 *
 * After an operation failed with ERR_IO nothing further is tried on that file: what is asked of it
 * fails with ERR_IO too, but CLOSE. ERR_FULL leaves the file usable; what was not written comes
 * back. Operations on names (RENAME, UNLINK, TRUNCATE) are asked for only once what they depend on
 * has succeeded: the performer need not know what belongs together (steps.h). */
#ifndef PERSIST_DISK_H
#define PERSIST_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/chain.h"
#include "base/err.h"

enum disk_lane { LANE_LOG, LANE_BACK, LANES };

enum disk_op_type {
    /* file := name, for appending at its end; created if absent, with its directory */
    DISK_OPEN,
    DISK_WRITE, /* bytes behind the end of file */
    DISK_SYNC,  /* fdatasync(file) */
    DISK_CLOSE,
    DISK_RENAME,   /* name -> to, replacing */
    DISK_SYNC_DIR, /* the directory of name */
    DISK_UNLINK,   /* a file or an empty directory; that there is no such is no error */
    DISK_TRUNCATE, /* name to `size` bytes, synced */
    DISK_SPACE,    /* how many bytes are free for us where `name` is: in done.written */
    /* of `name` the bytes from `offset` on, `size` at most; fewer: the file ends there */
    DISK_READ
};

enum { DISK_NAME_BYTES = 320 }; /* appenddirname + '/' + appendfilename + suffixes */

struct disk_names {
    char name[DISK_NAME_BYTES], to[DISK_NAME_BYTES]; /* below dir */
};

struct disk_op {
    enum disk_op_type type;
    enum disk_lane lane;
    bool at_once;
    /* a handle that the asker chose at OPEN; small numbers, reused after CLOSE */
    uint32_t file;
    uint64_t token; /* comes back */
    uint64_t size, offset;
    struct chain bytes; /* the performer takes them */
    /* of an operation that names files; mem_get, the performer takes it */
    struct disk_names *names;
};

struct disk_done {
    enum disk_lane lane;
    uint64_t token;
    enum err err;     /* ERR_OK, ERR_FULL, ERR_IO */
    int system_errno; /* for the log line */
    uint64_t ns;      /* how long it took */
    uint64_t written; /* bytes of a WRITE that reached the file, also when it failed */
    /* of a failed WRITE: the bytes that did not, of a READ those that were read; the
     * asker takes them */
    struct chain rest;
};

struct disk_ops { /* a vec */
    struct disk_op *at;
    size_t n, cap;
};

/* Who asked is in the token's upper byte. */
enum disk_asker { ASKER_JOURNAL = 1, ASKER_STEPS, ASKER_RAFT, ASKER_CATCH_UP };

static inline enum disk_asker disk_asker(uint64_t token)
{
    return (enum disk_asker)(token >> 56);
}

#endif

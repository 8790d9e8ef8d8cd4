/* SPDX-License-Identifier: BSD-3-Clause */

/* The way back when a majority of the voters is lost for ever (replication 18): what one of them
 * has on its disk becomes the beginning of a new group, of which it is the only voter.
 *
 *     recover_look     the files of a stopped voter -> what they say, for an operator to compare
 *     recover_begin    decides what they are to be
 *     recover_step     asks for the next operation of the disk, until r->stage is RECOVER_DONE:
 *                      the files are that then
 *
 * Entries that only the lost ones had are gone, so nothing of theirs may ever be taken for
 * something of the new group's (C11): its log begins at an index, in a term, and its slots at an
 * epoch, that they cannot have reached; this node votes as another voter; and no slot has a
 * primary, so what counts is what nodes report that they hold. */
#ifndef CONTROL_RECOVER_H
#define CONTROL_RECOVER_H

#include "base/log.h"
#include "core/map/map.h"
#include "core/raft/raft.h"
#include "persist/node_file.h"
#include "persist/raft_file.h"
#include "wire/wire.h"

/* The k-th recovery of a cluster begins its log at k times this: more entries than a
 * group ever commits. */
#define RECOVER_INDEXES UINT64_C(1000000000)
enum { RECOVER_WHAT_BYTES = DISK_NAME_BYTES + 64 };
enum { RECOVER_TERMS = 1 << 20, RECOVER_EPOCHS = 1 << 20 };

/* How many recoveries there had been when it was appended. */
static inline uint64_t recover_group(uint64_t index)
{
    return index / RECOVER_INDEXES;
}

enum recover_stage {
    RECOVER_LOOKS,
    RECOVER_BEGUN,
    RECOVER_TERM,
    RECOVER_SNAPSHOT,
    RECOVER_NODE_FILE,
    RECOVER_DONE
};

struct recover {
    /* as of the log's end; after recover_begin: what the new group begins with */
    struct map map;
    struct raft_voters voters; /* as of the log's end */
    uint64_t last, last_term;  /* where that is */
    /* private */
    struct identity identity; /* borrowed from the caller, but for what is changed */
    uint64_t term;
    struct raft_file file;
    struct steps steps;
    const char *node_file;
    enum recover_stage stage;
};

/* ERR_NOT_FOUND: this directory is none to recover from; why says so. Both are borrowed for r's
 * life; node_file: the name of the identity's. r is to be freed in any case. */
enum err recover_look(struct recover *r, const struct identity *identity,
                      const struct raft_loaded *loaded, const char *node_file,
                      char why[WIRE_WHY_BYTES]) MUST_CHECK;
/* voter: random, this node's from now on, unless it has one of a recovery that was cut short. */
void recover_begin(struct recover *r, const struct data_id *voter);
/* done: NULL at first, then the answer to what was asked for. Until r->stage is RECOVER_DONE; a
 * crash before that is followed by another recovery. */
void recover_step(struct recover *r, struct disk_done *done, struct disk_ops *out);
/* NULL: all is well. Else what failed. */
const char *recover_failed(const struct recover *r, char to[RECOVER_WHAT_BYTES], int *system_errno);
void recover_free(struct recover *r);

#endif

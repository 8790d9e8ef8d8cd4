/* SPDX-License-Identifier: BSD-3-Clause */

/* The controllers' log on disk (docs/internals/raft.md): what core/raft asks to be stored, as
 * operations.
 *
 *     raft_file_store(f, out->store)    gathers
 *     raft_file_run(f, ops)             asks for the next operation, if none is under way
 *     raft_file_done(f, done)           of ASKER_RAFT
 *     raft_file_stored(f)               the token up to which all is on disk: hand in RAFT_STORED
 *
 * What gathers while an operation is under way becomes one frame: group commit. A frame is one
 * write and one sync; it holds whole or not at all. The first failure is final: raft_file_failed()
 * tells it, and the process ends (replication 28).
 *
 * Its operations are for LANE_LOG of a performer of their own: they never wait behind the
 * data's. */
#ifndef PERSIST_RAFT_FILE_H
#define PERSIST_RAFT_FILE_H

#include "core/raft/raft.h"
#include "persist/steps.h"

#define RAFT_DIR "raft" /* below dir; raft/log.<n>, raft/snapshot */

/* ------------------------------------------------------------------------- the start */

struct raft_found {    /* a file below RAFT_DIR, read whole */
    struct slice name; /* without directory */
    struct slice bytes;
};

struct raft_segment {
    uint64_t number;
    uint64_t last; /* the greatest index of an entry in it */
};

/* Where the log ends, and what goes with it: each segment opens with this. */
struct raft_end {
    uint64_t last, last_term, term;
    struct raft_peer vote;
};

struct raft_loaded {
    struct raft_saved saved; /* its entries' bytes lie in what was found */
    bool is_empty;           /* nothing was ever stored here: saved is all zero */
    uint64_t
        torn_bytes; /* of a last write that broke off: told in the log, and cut by raft_file_init */
    /* private */
    VEC(struct raft_entry) entries;
    uint64_t base, base_term; /* entries begin behind this one */
    bool is_base_loose;       /* it is where the log ended when the first segment left began */
    struct raft_end end;      /* as the files tell it, before the snapshot was fitted in */
    bool is_fitted;           /* they differ: the next frame says so */
    uint64_t frames;          /* the last one's number */
    VEC(struct raft_segment) segments;
    VEC(uint64_t) stray; /* segments that are no part of the log: deleted by raft_file_init */
    /* the newest, to be cut and synced: of its end perhaps nobody but the page cache knows. 0:
     * there is none */
    uint64_t cut_segment, cut_at;
    bool has_aside;
    char text[1024]; /* of a refusal: what is wrong, and what to do */
};

/* found: any order; borrowed for the loaded's life. ERR_CORRUPT: damage that is no torn tail:
 * text. */
enum err raft_file_load(struct raft_loaded *l, const struct raft_found *found, size_t n) MUST_CHECK;
void raft_loaded_free(struct raft_loaded *l);

/* ------------------------------------------------------------------------- writing */

enum {
    RAFT_SEGMENT_BYTES = 4 * 1024 * 1024
}; /* then the next one: what lies behind a snapshot is deleted whole */

struct raft_file {
    struct steps steps;
    struct chain body; /* of the next frame */
    bool has_body;
    struct chain snapshot;   /* the file to be put in place first */
    uint64_t snapshot_index; /* 0: none */
    uint64_t gathered_token, asked_token, stored_token;
    uint64_t frames;
    struct raft_end gathered, asked;
    uint64_t greatest; /* index of an entry gathered */
    uint64_t asked_snapshot, durable_snapshot;
    VEC(struct raft_segment) segments;
    bool is_open; /* a segment of this process */
    uint32_t handle;
    uint64_t size; /* of it */
};

/* loaded: of raft_file_load; what it found torn is cut first of all, and the rest synced. Nothing
 * that was loaded may be told of before the file is idle. */
void raft_file_init(struct raft_file *f, const struct raft_loaded *l);
void raft_file_free(struct raft_file *f);
void raft_file_store(struct raft_file *f, const struct raft_store *s); /* s->token != 0; copies */
void raft_file_run(struct raft_file *f, struct disk_ops *out);
void raft_file_done(struct raft_file *f, struct disk_done *done);

/* The log becomes empty, as if nothing was ever stored: this node left its group. Asked for while
 * it is idle; it is empty once it is idle again. A crash between leaves a shorter log. */
void raft_file_forget(struct raft_file *f);
bool raft_file_is_empty(const struct raft_file *f); /* no file of it is left */

static inline bool raft_file_is_idle(const struct raft_file *f)
{
    return steps_idle(&f->steps) && f->stored_token == f->gathered_token;
}

static inline uint64_t raft_file_stored(const struct raft_file *f)
{
    return f->stored_token;
}

/* NULL: all is well. Else "fsync in the directory raft failed", and the errno. */
const char *raft_file_failed(const struct raft_file *f, char *to, size_t to_n, int *system_errno);

#endif

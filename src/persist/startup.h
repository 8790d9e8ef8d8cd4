/* SPDX-License-Identifier: BSD-3-Clause */

/* The start: what lies in the log's directory -> what is to be read -> what makes it writable.
 *
 *     startup_plan      names and sizes, the manifest's bytes -> reads, or a refusal
 *     (aof.h reads the files in the order of reads)
 *     startup_finish    the reader's verdict -> steps: cuts, syncs, the manifest, the increment to
 *                       append to
 *
 * Once the steps are done, records go to `append_path`. */
#ifndef PERSIST_STARTUP_H
#define PERSIST_STARTUP_H

#include "persist/aof.h"
#include "persist/manifest.h"

struct startup_file {
    struct slice name; /* without directory */
    uint64_t size;
};

struct startup_found {
    const struct startup_file *files; /* in appenddirname; none if there is no such directory */
    size_t files_n;
    bool has_manifest;
    struct slice manifest;
    bool has_old_file; /* dir/appendfilename: the log of a Redis before 7 */
};

struct startup_read {
    char path[DISK_NAME_BYTES]; /* below dir */
    bool is_base;
    uint64_t size;
};

struct startup {
    struct log_names names;
    struct manifest manifest;
    bool changed; /* the manifest on disk must follow */
    VEC(struct startup_read) reads;
    VEC(struct manifest_file) stray; /* no part of the log: deleted in the end */
    uint64_t bytes;                  /* of all reads */
    uint32_t append_handle;
    char append_path[DISK_NAME_BYTES];
    uint64_t append_size;
    char text[1024]; /* of a refusal */
};

/* Handles: one for what is written aside, one for a base, the rest for increments in turn. */
enum { HANDLE_ASIDE, HANDLE_BASE, HANDLE_INCREMENTS, HANDLES = HANDLE_INCREMENTS + 8 };

static inline uint32_t increment_handle(uint64_t seq)
{
    return (uint32_t)(HANDLE_INCREMENTS + seq % (HANDLES - HANDLE_INCREMENTS));
}

/* ERR_CORRUPT: refused, text says why and what to do. names: borrowed for the startup's life. */
enum err startup_plan(struct startup *s, const struct log_names *names,
                      const struct startup_found *found) MUST_CHECK;
/* What the reader said: where the torn tail begins, if it found one. is_clean: the log ends with
 * the end mark of a clean stop, which is no longer true of the run that begins: a durable line
 * behind it says so. */
struct startup_end {
    bool is_cut, is_clean;
    unsigned cut_file;
    uint64_t cut_offset;
};
void startup_finish(struct startup *s, const struct startup_end *end, struct steps *steps);
void startup_free(struct startup *s);

#endif

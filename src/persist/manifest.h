/* SPDX-License-Identifier: BSD-3-Clause */

/* Which files make up the log, as Redis 7 writes it down:
 *
 *     #M <bytes of the base> <crc>
 *     file appendonly.aof.2.base.aof seq 2 type b
 *     file appendonly.aof.5.incr.aof seq 5 type i
 *
 * The first line is a comment to Redis, and missing where Redis wrote the manifest. Its crc is over
 * the line up to and with the blank before it, then over all other bytes. A 'b'ase holds everything
 * up to a moment, 'i'ncrements what followed, in order of their seq; 'h'istory is to be deleted. */
#ifndef PERSIST_MANIFEST_H
#define PERSIST_MANIFEST_H

#include "base/chain.h"
#include "base/err.h"
#include "base/vec.h"
#include "persist/steps.h"

enum { MANIFEST_NAME_BYTES = 256 };

struct manifest_file {
    char name[MANIFEST_NAME_BYTES]; /* without directory */
    uint64_t seq;
    char type; /* b, h, i */
};

struct manifest {
    VEC(struct manifest_file) files; /* base first, history, increments by seq */
    uint64_t base_bytes;             /* meant only where base_is_sized */
    bool base_is_sized;
};

/* What the options call the log. Both outlive whoever was handed them. */
struct log_names {
    const char *dir;  /* appenddirname */
    const char *file; /* appendfilename */
};
enum { LOG_DIR_BYTES = 160, LOG_FILE_BYTES = 120 }; /* their longest, so that every name fits */

/* text says what is wrong, with the line. */
enum err manifest_get(struct manifest *m, struct slice bytes, char *text, size_t text_n) MUST_CHECK;
void manifest_put(const struct manifest *m, struct chain *to);
void manifest_free(struct manifest *m);
void manifest_copy(struct manifest *to, const struct manifest *from); /* to: zeroed */

const struct manifest_file *manifest_base(const struct manifest *m); /* NULL: none */
bool manifest_has(const struct manifest *m, struct slice name);
uint64_t manifest_last_seq(const struct manifest *m, char type); /* 0: none */
void manifest_set_base(struct manifest *m, const struct log_names *names, uint64_t seq,
                       uint64_t bytes);
void manifest_add_increment(struct manifest *m, const struct log_names *names, uint64_t seq);
void manifest_drop(struct manifest *m, size_t i);

/* Paths below `dir`, into DISK_NAME_BYTES. */
void log_path(char *to, const struct log_names *names, const char *file);
void log_base_path(char *to, const struct log_names *names, uint64_t seq);
void log_increment_path(char *to, const struct log_names *names, uint64_t seq);
void log_manifest_path(char *to, const struct log_names *names);
/* A base, increment or leftover of ours. */
bool log_is_our_name(const struct log_names *names, struct slice file);

/* The steps that put this manifest in the place of the one on disk: aside, synced, renamed, the
 * directory synced. file: a handle for the time being. */
void manifest_steps(const struct manifest *m, const struct log_names *names, struct steps *s,
                    uint32_t file);
/* It, and what was written aside. */
void manifest_unlink_steps(const struct log_names *names, struct steps *s);

#endif

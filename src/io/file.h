/* SPDX-License-Identifier: BSD-3-Clause */

/* Files: system calls that are gone on with after a signal, and whose partial writes are continued.
 *
 * Nothing here retries what the system refused. A failure is ERR_FULL (no space, over a quota or a
 * size limit) or ERR_IO, and errno keeps the reason. */
#ifndef IO_FILE_H
#define IO_FILE_H

#include <stdint.h>

#include "base/chain.h"
#include "base/err.h"
#include "base/vec.h"

enum err file_open_append(const char *name, int *fd) MUST_CHECK; /* created if absent */
enum err file_open_read(const char *name, int *fd, uint64_t *size) MUST_CHECK;
enum err file_read(int fd, char *to, size_t n, size_t *got) MUST_CHECK; /* got < n: the end */
/* Of a file from `offset` on, n bytes at most, behind what the chain holds. */
enum err file_read_at(const char *name, uint64_t offset, uint64_t n, struct chain *to) MUST_CHECK;
/* All of the chain's bytes, which stay in it. written: how many reached the file, also on
 * failure. */
enum err file_write(int fd, const struct chain *bytes, uint64_t *written) MUST_CHECK;
enum err file_sync(int fd) MUST_CHECK;
enum err file_close(int fd) MUST_CHECK;
enum err file_rename(const char *from, const char *to) MUST_CHECK;
/* or an empty directory; one that is not there is no failure */
enum err file_unlink(const char *name) MUST_CHECK;
enum err file_truncate(const char *name, uint64_t size) MUST_CHECK; /* and synced */
enum err file_sync_dir_of(const char *name) MUST_CHECK; /* the directory that name stands in */

/* The directory that name stands in is made, and made durable, if it is not there. */
enum err file_make_dir_of(const char *name) MUST_CHECK;
/* free for us, where name is or would be */
enum err file_space(const char *name, uint64_t *bytes) MUST_CHECK;

/* Names and sizes of what lies in a directory. ERR_NOT_FOUND: there is no such directory. */
struct file_listed {
    char *name; /* owned */
    uint64_t size;
};
struct file_list {
    VEC(struct file_listed) files;
};
enum err file_list_dir(const char *dir, struct file_list *l) MUST_CHECK;
void file_list_free(struct file_list *l);

/* Whole small files: configuration, manifests. Text is mem_get's, with a 0 behind it. */
enum err file_load(const char *name, char **text, size_t *n) MUST_CHECK;
enum err file_replace(const char *name, struct slice text) MUST_CHECK; /* aside, synced, renamed */

/* Held until the process ends. ERR_LIMIT: another process holds it. */
enum err file_lock(const char *name, int *fd) MUST_CHECK;
/* Which file of this machine it is, as long as it is open and until the next boot. False: it lies
 * on a filesystem whose locks and numbers may not be this kernel's own. */
bool file_place(int fd, uint64_t *device, uint64_t *inode);

#endif

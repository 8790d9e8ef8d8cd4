/* SPDX-License-Identifier: BSD-3-Clause */

/* A disk for tests: performs disk_ops in memory, and can be full, fail, and lose what was not synced.
 *
 * Names point to inodes. SYNC makes an inode's bytes last, SYNC_DIR the names. A crash keeps what
 * lasts and, as the test chooses, a piece of the rest. */
#ifndef TESTS_LIB_FALSE_DISK_H
#define TESTS_LIB_FALSE_DISK_H

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/rng.h"
#include "persist/disk.h"

#ifndef FD_FILES
#define FD_FILES 64 /* ever made; a longer test asks for more */
#endif
enum { FD_INODES = FD_FILES, FD_NAMES = 64, FD_HANDLES = 16 };

struct fd_inode {
    char *p;
    size_t n, synced;
};

struct fd_name {
    char name[DISK_NAME_BYTES];
    int inode;
};

struct fd_dir {
    struct fd_name at[FD_NAMES];
    size_t n;
};

struct false_disk {
    struct fd_inode inodes[FD_INODES];
    size_t inodes_n;
    struct fd_dir names, lasting;
    int handles[FD_HANDLES]; /* inode + 1 */
    bool broken[FD_HANDLES]; /* an operation failed with ERR_IO */
    size_t space;            /* bytes left; SIZE_MAX: plenty */
    size_t fail_at, ops_n;   /* the fail_at-th operation from now fails with ERR_IO; 0: none */
    size_t syncs, writes, reads, read_bytes;
};

static inline struct fd_name *fd_find(struct fd_dir *d, const char *name)
{
    for (size_t i = 0; i < d->n; i++)
        if (strcmp(d->at[i].name, name) == 0)
            return &d->at[i];
    return NULL;
}

static inline void fd_drop_name(struct fd_dir *d, const char *name)
{
    struct fd_name *f = fd_find(d, name);
    if (f != NULL)
        *f = d->at[--d->n];
}

static inline int fd_inode_of(struct false_disk *d, const char *name)
{
    struct fd_name *f = fd_find(&d->names, name);
    return f != NULL ? f->inode : -1;
}

static inline int fd_create(struct false_disk *d, const char *name)
{
    int inode = fd_inode_of(d, name);
    if (inode >= 0)
        return inode;
    check(d->inodes_n < FD_INODES && d->names.n < FD_NAMES);
    struct fd_name *f = &d->names.at[d->names.n++];
    strcpy(f->name, name);
    return f->inode = (int)d->inodes_n++;
}

static inline void fd_add(struct false_disk *d, int inode, const char *p, size_t n)
{
    struct fd_inode *f = &d->inodes[inode];
    f->p = realloc(f->p, f->n + n + 1);
    memcpy(f->p + f->n, p, n);
    f->n += n;
    f->p[f->n] = '\0';
}

static inline void fd_write(struct false_disk *d, struct disk_op *op, struct disk_done *done)
{
    size_t n = op->bytes.n < d->space ? op->bytes.n : d->space;
    char *p = malloc(n + 1);
    chain_copy(&op->bytes, p, n);
    fd_add(d, d->handles[op->file] - 1, p, n);
    free(p);
    chain_consume(&op->bytes, n, NULL);
    d->writes++;
    d->space -= d->space == SIZE_MAX ? 0 : n;
    done->written = n;
    done->err = chain_empty(&op->bytes) ? ERR_OK : ERR_FULL;
    done->rest = op->bytes;
}

static inline void fd_rename(struct false_disk *d, const char *from, const char *to)
{
    int inode = fd_inode_of(d, from);
    check(inode >= 0);
    fd_drop_name(&d->names, to);
    strcpy(fd_find(&d->names, from)->name, to);
}

static inline void fd_read(struct false_disk *d, struct disk_op *op, struct disk_done *done)
{
    int inode = fd_inode_of(d, op->names->name);
    done->err = inode >= 0 ? ERR_OK : ERR_IO;
    done->system_errno = inode >= 0 ? 0 : 2;
    if (inode < 0)
        return;
    const struct fd_inode *f = &d->inodes[inode];
    size_t at = op->offset < f->n ? (size_t)op->offset : f->n;
    chain_put(&done->rest, slice_head(slice_of(f->p + at, f->n - at), (size_t)op->size));
    d->reads++;
    d->read_bytes += done->rest.n;
}

static inline void fd_do(struct false_disk *d, struct disk_op *op, struct disk_done *done)
{
    switch (op->type) {
    case DISK_OPEN:
        check(d->handles[op->file] == 0); /* a handle is reused only after its CLOSE */
        d->handles[op->file] = fd_create(d, op->names->name) + 1;
        d->broken[op->file] = false;
        break;
    case DISK_WRITE: fd_write(d, op, done); break;
    case DISK_SYNC: {
        struct fd_inode *f = &d->inodes[d->handles[op->file] - 1];
        f->synced = f->n;
        d->syncs++;
        break;
    }
    case DISK_CLOSE: break;
    case DISK_RENAME: fd_rename(d, op->names->name, op->names->to); break;
    case DISK_SYNC_DIR: d->lasting = d->names; break;
    case DISK_UNLINK: fd_drop_name(&d->names, op->names->name); break;
    case DISK_TRUNCATE: {
        struct fd_inode *f = &d->inodes[fd_create(d, op->names->name)];
        check(op->size <= f->n);
        f->n = f->synced = op->size;
        break;
    }
    case DISK_SPACE: done->written = d->space; break;
    case DISK_READ: fd_read(d, op, done); break;
    }
}

static inline bool fd_has_handle(const struct disk_op *op)
{
    return op->type == DISK_WRITE || op->type == DISK_SYNC || op->type == DISK_CLOSE;
}

/* One operation, performed and answered. */
static inline struct disk_done fd_perform(struct false_disk *d, struct disk_op *op)
{
    struct disk_done done = {.lane = op->lane, .token = op->token};
    check(!fd_has_handle(op) || d->handles[op->file] != 0);
    bool fails = d->fail_at != 0 && --d->fail_at == 0;
    if (fd_has_handle(op) && d->broken[op->file])
        fails = true;
    if (fails && op->type != DISK_CLOSE) {
        done.err = ERR_IO;
        done.system_errno = 5;
        done.rest = op->bytes;
        if (fd_has_handle(op))
            d->broken[op->file] = true;
    } else {
        fd_do(d, op, &done);
    }
    if (op->type == DISK_CLOSE)
        d->handles[op->file] = 0;
    mem_free(op->names);
    d->ops_n++;
    return done;
}

/* Power is cut: of the names either all or what lasts; of each file what lasts and, if rng is given,
 * a random piece more, possibly of zeros. */
static inline void fd_crash(struct false_disk *d, struct rng *rng)
{
    if (rng == NULL || rng_below(rng, 2) == 0)
        d->names = d->lasting;
    memset(d->handles, 0, sizeof(d->handles));
    for (size_t i = 0; i < d->inodes_n; i++) {
        struct fd_inode *f = &d->inodes[i];
        size_t more = rng != NULL && f->n > f->synced ? rng_below(rng, f->n - f->synced + 1) : 0;
        f->n = f->synced + more;
        if (more > 0 && rng_below(rng, 4) == 0)
            memset(f->p + f->synced + more / 2, 0, more - more / 2);
        f->synced = f->n;
    }
    d->lasting = d->names;
}

static inline struct slice fd_bytes(struct false_disk *d, const char *name)
{
    int inode = fd_inode_of(d, name);
    return inode < 0 ? (struct slice){0} : slice_of(d->inodes[inode].p, d->inodes[inode].n);
}

static inline void fd_free(struct false_disk *d)
{
    for (size_t i = 0; i < d->inodes_n; i++)
        free(d->inodes[i].p);
}

#endif

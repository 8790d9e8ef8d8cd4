/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "io/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/mem.h"

enum { FILE_PIECES = 64, FILE_NAME_BYTES = 4096 };

static enum err err_of_errno(void)
{
    return errno == ENOSPC || errno == EDQUOT || errno == EFBIG ? ERR_FULL : ERR_IO;
}

static enum err err_of(int result)
{
    return result == 0 ? ERR_OK : err_of_errno();
}

static int open_patiently(const char *name, int flags, mode_t mode)
{
    int fd;
    do
        fd = open(name, flags | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR);
    return fd;
}

enum err file_open_append(const char *name, int *fd)
{
    *fd = open_patiently(name, O_WRONLY | O_CREAT | O_APPEND, 0644);
    return *fd >= 0 ? ERR_OK : err_of_errno();
}

enum err file_open_read(const char *name, int *fd, uint64_t *size)
{
    *fd = open_patiently(name, O_RDONLY, 0);
    if (*fd < 0)
        return errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
    struct stat st;
    if (fstat(*fd, &st) != 0) {
        close(*fd);
        return ERR_IO;
    }
    *size = (uint64_t)st.st_size;
    return ERR_OK;
}

enum err file_read(int fd, char *to, size_t n, size_t *got)
{
    *got = 0;
    while (*got < n) {
        ssize_t r = read(fd, to + *got, n - *got);
        if (r == 0)
            return ERR_OK;
        if (r < 0 && errno != EINTR)
            return ERR_IO;
        if (r > 0)
            *got += (size_t)r;
    }
    return ERR_OK;
}

static enum err read_at(int fd, uint64_t offset, uint64_t n, struct chain *to)
{
    while (n > 0) {
        char *room = chain_room(to, CHAIN_CHUNK_BYTES);
        ssize_t r = pread(fd, room, n < CHAIN_CHUNK_BYTES ? n : CHAIN_CHUNK_BYTES, (off_t)offset);
        if (r == 0)
            return ERR_OK;
        if (r < 0 && errno != EINTR)
            return ERR_IO;
        if (r > 0) {
            chain_fill(to, (size_t)r);
            offset += (uint64_t)r;
            n -= (uint64_t)r;
        }
    }
    return ERR_OK;
}

enum err file_read_at(const char *name, uint64_t offset, uint64_t n, struct chain *to)
{
    int fd = open_patiently(name, O_RDONLY, 0);
    if (fd < 0)
        return ERR_IO;
    enum err err = read_at(fd, offset, n, to);
    int why = errno;
    close(fd);
    errno = why;
    return err;
}

/* The iovec's first bytes are done with. */
static void skip(struct iovec **v, int *v_n, size_t done)
{
    while (*v_n > 0 && done >= (*v)->iov_len) {
        done -= (*v)->iov_len;
        (*v)++;
        (*v_n)--;
    }
    if (*v_n > 0) {
        (*v)->iov_base = (char *)(*v)->iov_base + done;
        (*v)->iov_len -= done;
    }
}

static enum err write_pieces(int fd, struct iovec *v, int v_n, uint64_t *written)
{
    while (v_n > 0) {
        ssize_t r = writev(fd, v, v_n);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return err_of_errno();
        *written += (uint64_t)r;
        skip(&v, &v_n, (size_t)r);
    }
    return ERR_OK;
}

enum err file_write(int fd, const struct chain *bytes, uint64_t *written)
{
    *written = 0;
    const struct chain_part *part = bytes->head;
    while (part != NULL) {
        struct iovec v[FILE_PIECES];
        int n = 0;
        for (; part != NULL && n < FILE_PIECES; part = part->next)
            if (part->n > 0)
                v[n++] = (struct iovec){(void *)part->p, part->n};
        TRY(write_pieces(fd, v, n, written));
    }
    return ERR_OK;
}

enum err file_sync(int fd)
{
    int r;
    do
        r = fdatasync(fd);
    while (r != 0 && errno == EINTR);
    return err_of(r);
}

enum err file_close(int fd)
{
    /* it is closed in any case */
    return close(fd) == 0 || errno == EINTR ? ERR_OK : err_of_errno();
}

enum err file_rename(const char *from, const char *to)
{
    return err_of(rename(from, to));
}

enum err file_unlink(const char *name)
{
    if (unlink(name) == 0 || errno == ENOENT || (errno == EISDIR && rmdir(name) == 0))
        return ERR_OK;
    return ERR_IO;
}

static enum err sync_and_close(int fd, enum err so_far)
{
    int kept = errno;
    if (so_far == ERR_OK) {
        so_far = file_sync(fd);
        kept = errno;
    }
    if (close(fd) != 0 && so_far == ERR_OK)
        return err_of_errno();
    errno = kept;
    return so_far;
}

enum err file_truncate(const char *name, uint64_t size)
{
    int fd = open_patiently(name, O_WRONLY, 0);
    if (fd < 0)
        return err_of_errno();
    return sync_and_close(fd, err_of(ftruncate(fd, (off_t)size)));
}

/* "a/b" -> "a"; "b" -> "."; "/b" -> "/" */
static enum err dir_of(const char *name, char dir[FILE_NAME_BYTES])
{
    const char *slash = strrchr(name, '/');
    size_t n = slash == NULL ? 0 : (size_t)(slash - name);
    if (n >= FILE_NAME_BYTES) {
        errno = ENAMETOOLONG;
        return ERR_IO;
    }
    if (n == 0) {
        strcpy(dir, slash == NULL ? "." : "/");
        return ERR_OK;
    }
    memcpy(dir, name, n);
    dir[n] = '\0';
    return ERR_OK;
}

enum err file_make_dir_of(const char *name)
{
    char dir[FILE_NAME_BYTES];
    TRY(dir_of(name, dir));
    if (mkdir(dir, 0755) == 0)
        return file_sync_dir_of(dir);
    return errno == EEXIST ? ERR_OK : err_of_errno();
}

enum err file_space(const char *name, uint64_t *bytes)
{
    char dir[FILE_NAME_BYTES];
    struct statvfs fs;
    TRY(dir_of(name, dir));
    if (statvfs(dir, &fs) != 0 && (errno != ENOENT || statvfs(".", &fs) != 0))
        return ERR_IO;
    *bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    return ERR_OK;
}

enum err file_sync_dir_of(const char *name)
{
    char dir[FILE_NAME_BYTES];
    TRY(dir_of(name, dir));
    int fd = open_patiently(dir, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return ERR_IO;
    int r;
    do
        r = fsync(fd);
    while (r != 0 && errno == EINTR);
    enum err err = err_of(r);
    int kept = errno;
    close(fd);
    errno = kept;
    return err;
}

enum err file_list_dir(const char *dir, struct file_list *l)
{
    *l = (struct file_list){0};
    DIR *d = opendir(dir);
    if (d == NULL)
        return errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
    enum err err = ERR_OK;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(d);
        struct stat st;
        if (entry == NULL) {
            err = errno == 0 ? ERR_OK : ERR_IO;
            break;
        }
        if (fstatat(dirfd(d), entry->d_name, &st, 0) != 0 || !S_ISREG(st.st_mode))
            continue; /* gone meanwhile, or no file */
        struct file_listed *f = vec_add(&l->files);
        size_t n = strlen(entry->d_name) + 1;
        f->name = mem_get(n);
        memcpy(f->name, entry->d_name, n);
        f->size = (uint64_t)st.st_size;
    }
    closedir(d);
    return err;
}

void file_list_free(struct file_list *l)
{
    for (size_t i = 0; i < l->files.n; i++)
        mem_free(l->files.at[i].name);
    vec_free(&l->files);
}

enum err file_load(const char *name, char **text, size_t *n)
{
    int fd;
    uint64_t size;
    *text = NULL;
    TRY(file_open_read(name, &fd, &size));
    size_t cap = (size_t)size + 1; /* one more than it says: the end is seen, not believed */
    enum err err;
    *n = 0;
    for (;;) {
        size_t got;
        *text = mem_resize(*text, cap + 1);
        err = file_read(fd, *text + *n, cap - *n, &got);
        *n += got;
        if (err != ERR_OK || *n < cap)
            break;
        cap *= 2;
    }
    close(fd);
    (*text)[*n] = '\0';
    if (err != ERR_OK) {
        mem_free(*text);
        *text = NULL;
    }
    return err;
}

enum err file_replace(const char *name, struct slice text)
{
    char aside[FILE_NAME_BYTES];
    if ((size_t)snprintf(aside, sizeof(aside), "%s-%ld.tmp", name, (long)getpid()) >=
        sizeof(aside)) {
        errno = ENAMETOOLONG;
        return ERR_IO;
    }
    struct stat st;
    mode_t mode = stat(name, &st) == 0 ? st.st_mode & 07777 : 0644;
    int fd = open_patiently(aside, O_WRONLY | O_CREAT | O_TRUNC, mode);
    if (fd < 0)
        return err_of_errno();
    struct iovec v = {(void *)text.p, text.n};
    uint64_t written = 0;
    enum err err = sync_and_close(fd, write_pieces(fd, &v, text.n > 0, &written));
    if (err == ERR_OK)
        err = file_rename(aside, name);
    if (err == ERR_OK)
        return file_sync_dir_of(name);
    int kept = errno;
    unlink(aside);
    errno = kept;
    return err;
}

bool file_place(int fd, uint64_t *device, uint64_t *inode)
{
    /* Overlays are not among them: what lies below may be anything. */
    static const long own[] = {BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, F2FS_SUPER_MAGIC, TMPFS_MAGIC,
                               XFS_SUPER_MAGIC};
    struct statfs fs;
    struct stat st;
    if (fstatfs(fd, &fs) != 0 || fstat(fd, &st) != 0)
        return false;
    *device = (uint64_t)st.st_dev;
    *inode = (uint64_t)st.st_ino;
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        if ((long)fs.f_type == own[i])
            return true;
    return false;
}

enum err file_lock(const char *name, int *fd)
{
    *fd = open_patiently(name, O_RDWR | O_CREAT, 0644);
    if (*fd < 0)
        return err_of_errno();
    if (flock(*fd, LOCK_EX | LOCK_NB) == 0)
        return ERR_OK;
    enum err err = errno == EWOULDBLOCK ? ERR_LIMIT : ERR_IO;
    int kept = errno;
    close(*fd);
    errno = kept;
    return err;
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* A disk that misbehaves on demand: loaded into a server with LD_PRELOAD.
 *
 * The file named by BAD_DISK holds rules, one a line, and is read at each call, so that a test
 * turns trouble on and off while the server runs:
 *
 *     <call> <errno> <sleep ms> <part of the path>     errno 0: the call is only slow
 *
 * call: sync (fdatasync, fsync), write (write, writev), open, rename, unlink. A path's part "*" is
 * any path with appendonlydir, raft/ or backup- in it; nothing else is ever touched. A rule that fired is
 * counted in the file <BAD_DISK>.fired by one byte.
 *
 * To the file named by BAD_DISK_SYNCED each sync that was done adds a line, "<inode> <size>": what a power cut
 * would leave of that file. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* Neither of the calls below may come back into this file: bare system calls. */
static size_t read_rules(const char *name, char *to, size_t n)
{
    long fd = syscall(SYS_openat, AT_FDCWD, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    long got = syscall(SYS_read, fd, to, n - 1);
    syscall(SYS_close, fd);
    return got < 0 ? 0 : (size_t)got;
}

static void add(const char *name, const char *text)
{
    long fd = syscall(SYS_openat, AT_FDCWD, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd >= 0) {
        syscall(SYS_write, fd, text, strlen(text));
        syscall(SYS_close, fd);
    }
}

static void count(const char *name)
{
    char fired[PATH_MAX];
    snprintf(fired, sizeof(fired), "%s.fired", name);
    add(fired, ".");
}

static void pause_ms(int ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
    while (nanosleep(&t, &t) != 0 && errno == EINTR)
        ;
}

/* true: the call fails, with errno set. */
static bool is_bad(const char *call, const char *path)
{
    const char *control = getenv("BAD_DISK");
    char rules[4096];
    if (control == NULL || (strstr(path, "appendonlydir") == NULL && strstr(path, "raft/") == NULL &&
                            strstr(path, "backup-") == NULL))
        return false;
    rules[read_rules(control, rules, sizeof(rules))] = '\0';
    char *rest = rules;
    for (char *line; (line = strtok_r(rest, "\n", &rest)) != NULL;) {
        char which[16], part[256];
        int error, ms;
        if (sscanf(line, "%15s %d %d %255s", which, &error, &ms, part) != 4 ||
            strcmp(which, call) != 0 || (strcmp(part, "*") != 0 && strstr(path, part) == NULL))
            continue;
        count(control);
        pause_ms(ms);
        errno = error;
        return error != 0;
    }
    return false;
}

static bool is_bad_fd(const char *call, int fd)
{
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof(path) - 1);
    if (n < 0)
        return false;
    path[n] = '\0';
    return is_bad(call, path);
}

/* What is added while it runs may last or not: the size counts as it was before. */
static int sync_noted(long call, int fd)
{
    const char *name = getenv("BAD_DISK_SYNCED");
    struct stat before;
    char line[64];
    if (is_bad_fd("sync", fd))
        return -1;
    bool is_known = name != NULL && fstat(fd, &before) == 0 && S_ISREG(before.st_mode);
    int r = (int)syscall(call, fd);
    if (r == 0 && is_known) {
        snprintf(line, sizeof(line), "%llu %lld\n", (unsigned long long)before.st_ino, (long long)before.st_size);
        add(name, line);
    }
    return r;
}

int fdatasync(int fd)
{
    return sync_noted(SYS_fdatasync, fd);
}

int fsync(int fd)
{
    return sync_noted(SYS_fsync, fd);
}

ssize_t write(int fd, const void *p, size_t n)
{
    return is_bad_fd("write", fd) ? -1 : syscall(SYS_write, fd, p, n);
}

ssize_t writev(int fd, const struct iovec *v, int n)
{
    return is_bad_fd("write", fd) ? -1 : syscall(SYS_writev, fd, v, n);
}

int open(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(more, mode_t) : 0;
    va_end(more);
    return is_bad("open", path) ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int rename(const char *from, const char *to)
{
    return is_bad("rename", to) ? -1 : (int)syscall(SYS_rename, from, to);
}

int unlink(const char *path)
{
    return is_bad("unlink", path) ? -1 : (int)syscall(SYS_unlink, path);
}

/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "io/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/list.h"
#include "io/signals.h"

static void write_line(struct log *log, enum log_level level, struct slice text)
{
    static const char marks[] = ".-*#";
    struct logfile *f = CONTAINER_OF(log, struct logfile, log);
    struct timespec now;
    struct tm parts;
    char line[LOG_LINE_BYTES + 96], date[40];
    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &parts);
    strftime(date, sizeof(date), "%d %b %Y %H:%M:%S", &parts);
    int n = snprintf(line, sizeof(line), "%ld:M %s.%03ld %c %.*s\n", (long)getpid(), date,
                     now.tv_nsec / 1000000, marks[level], (int)text.n, text.p);
    ssize_t ignored = write(f->fd, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
    (void)ignored; /* a full disk under the log stops nothing else */
}

static int open_log(const char *path)
{
    return path[0] == '\0' ? STDOUT_FILENO
                           : open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

enum err logfile_open(struct logfile *f, const char *path, enum log_level level)
{
    int fd = open_log(path);
    if (fd < 0)
        return ERR_IO;
    tzset(); /* reads the time zone now, not with clients waiting */
    *f = (struct logfile){.log = {level, write_line}, .path = path, .fd = fd};
    signals_crash_to(path[0] == '\0' ? -1 : fd);
    return ERR_OK;
}

void logfile_reopen(struct logfile *f)
{
    if (f->path[0] == '\0')
        return;
    int fd = open_log(f->path);
    if (fd < 0) {
        log_say(&f->log, LOG_LEVEL_WARNING, "Cannot reopen the log file %s: %s", f->path,
                strerror(errno));
        return;
    }
    /* its number stays: another thread may be writing a line to it at this moment */
    if (dup3(fd, f->fd, O_CLOEXEC) < 0)
        log_say(&f->log, LOG_LEVEL_WARNING, "Cannot reopen the log file %s: %s", f->path,
                strerror(errno));
    close(fd);
    log_say(&f->log, LOG_LEVEL_NOTICE, "Log file opened again");
}

void logfile_close(struct logfile *f)
{
    signals_crash_to(-1);
    if (f->path[0] != '\0')
        close(f->fd);
    f->fd = -1;
}

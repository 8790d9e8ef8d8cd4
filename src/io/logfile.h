/* SPDX-License-Identifier: BSD-3-Clause */

/* Where log lines go: a file, or standard output. One line, one write(2).
 *
 *     4711:M 21 Nov 2026 09:15:40.123 * Ready to accept connections
 *
 * The mark before the text is the level: . debug, - verbose, * notice, # warning. */
#ifndef IO_LOGFILE_H
#define IO_LOGFILE_H

#include "base/err.h"
#include "base/log.h"

struct logfile {
    struct log log;
    const char *path; /* borrowed; "": standard output */
    int fd;
};

enum err logfile_open(struct logfile *f, const char *path, enum log_level level) MUST_CHECK;
/* after its file was moved away; fails: goes on as before */
void logfile_reopen(struct logfile *f);
void logfile_close(struct logfile *f);

#endif

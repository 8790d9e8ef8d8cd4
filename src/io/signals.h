/* SPDX-License-Identifier: BSD-3-Clause */

/* Signals: noted by the handler, looked at once a turn.
 *
 * SIGTERM, SIGINT   stop; a second one ends the process at once
 * SIGHUP            reopen the log file
 * SIGPIPE, SIGXFSZ  ignored: a write says so itself
 * SIGSEGV and kin   a stack trace, then the default action (a core file, if there may be one) */
#ifndef IO_SIGNALS_H
#define IO_SIGNALS_H

#include "io/loop.h"

void signals_catch(struct loop *l, const char *program); /* named where it crashes; stays */
bool signals_stop_asked(void);                           /* once per process */
bool signals_reopen_asked(void);                         /* forgets it */
void signals_crash_to(int fd); /* where stack traces go besides stderr; -1: nowhere */

#endif

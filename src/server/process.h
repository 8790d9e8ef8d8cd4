/* SPDX-License-Identifier: BSD-3-Clause */

/* What every program of ours does as a process, whatever it serves. */
#ifndef SERVER_PROCESS_H
#define SERVER_PROCESS_H

#include "conf/options.h"

/* Each client is a file: their limit is raised to what maxclients, and a proxy's connections to its
 * nodes, need; or maxclients is lowered. */
void process_fit_descriptors(struct options *o, struct log *log);
bool process_daemonize(void); /* false: errno tells */
void process_write_pidfile(const struct options *o, struct log *log);
void process_tell_supervisor(const struct options *o, struct log *log, const char *message);
void process_tell_notes(const struct options *o,
                        struct log *log); /* of directives without effect */
/* Was it asked for --help or --version, first of all? Then it has told. */
bool process_told(int argc, char **argv, const char *name, const char *usage);
/* Was this one, which is no directive, among the arguments? It is taken out. */
bool process_takes(const char *mode, char **argv, int *argc);

#endif

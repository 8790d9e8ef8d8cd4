/* SPDX-License-Identifier: BSD-3-Clause */

/* vong-server [conf] [--directive value ...] */
#define _GNU_SOURCE
#include "config.h"
#include "server/server.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "io/file.h"
#include "server/cluster_config.h"
#include "server/process.h"
#include "server/recovering.h"

static const char usage[] =
    "Usage: vong-server [file] [--directive value ...]\n"
    "       vong-server --check-config [file] [--directive value ...]\n"
    "       vong-server --controller-log [file] [--directive value ...]\n"
    "       vong-server --recover-controller [file] [--directive value ...]\n"
    "       vong-server --help | --version\n"
    "\n"
    "A key-value store that speaks Redis' protocol. The file and the directives are those of\n"
    "redis.conf; vong.conf(5) tells what each does here; vong-server(8) tells the rest. Examples:\n"
    "\n"
    "  vong-server                                    with the defaults, in this directory\n"
    "  vong-server /etc/vong/vong-server.conf --port 7777\n"
    "  vong-server --dir /var/lib/vong --appendfsync always --maxmemory 2gb\n"
    "\n"
    "SIGTERM and SIGINT finish what was begun, sync the log and end; SIGHUP opens the log file "
    "again.\n";

static int refuse(const char *what)
{
    fprintf(stderr, "vong-server: %s\n", what);
    return 1;
}

static int refuse_errno(const char *what, const char *which)
{
    fprintf(stderr, "vong-server: %s %s: %s\n", what, which, strerror(errno));
    return 1;
}

/* Two servers appending to one log would destroy it. One without a log may begin to write one, by
 * CONFIG SET or a rewrite: it does not need the directory, but touches no log without it. */
static bool lock_directory(struct server *s, char *why, size_t why_n)
{
    const struct options *o = s->options;
    enum err err = file_lock("vong-server.lock", &s->directory_lock);
    s->has_directory = err == ERR_OK;
    if (!o->appendonly && !o->cluster_enabled)
        return true;
    if (err == ERR_LIMIT)
        snprintf(why, why_n,
                 "directory %s is in use by another vong-server (it holds %s/vong-server.lock)",
                 o->dir, o->dir);
    else if (err != ERR_OK)
        snprintf(why, why_n, "directory %s is not writable: %s", o->dir, strerror(errno));
    return err == ERR_OK;
}

/* Everything that can be refused with a line on the terminal, before going to the background. */
static int prepare(struct server *s, char *why, size_t why_n)
{
    struct options *o = s->options;
    if (chdir(o->dir) != 0)
        return refuse_errno("cannot change to directory", o->dir);
    if (logfile_open(&s->log, o->logfile, o->loglevel) != ERR_OK)
        return refuse_errno("cannot open the log file", o->logfile);
    if (!lock_directory(s, why, why_n))
        return refuse(why);
    process_fit_descriptors(o, &s->log.log);
    if (!doors_open(s, false, why, why_n) ||
        (o->cluster_enabled && !cluster_prepare(s, why, why_n)))
        return refuse(why);
    if (o->daemonize && !process_daemonize())
        return refuse_errno("cannot go to the", "background");
    return 0;
}

/* A refusal after the terminal may be gone: it is told in the log as well. */
static int refuse_late(struct server *s, const char *why)
{
    log_say(&s->log.log, LOG_LEVEL_WARNING, "%s", why);
    if (s->log.path[0] != '\0' || s->options->daemonize)
        return refuse(why);
    return 1;
}

static int end(struct server *s, int code)
{
    if (s->options->pidfile[0] != '\0')
        unlink(s->options->pidfile);
    server_free(s);
    logfile_close(&s->log);
    return code;
}

static int serve(struct server *s)
{
    char why[1100];
    int failed = prepare(s, why, sizeof(why));
    if (failed != 0)
        return failed;
    log_say(&s->log.log, LOG_LEVEL_NOTICE, "Vong %s starting, pid %ld, port %lld, in %s",
            PACKAGE_VERSION, (long)getpid(), (long long)s->options->port, s->options->dir);
    process_tell_notes(s->options, &s->log.log);
    if (!server_start(s, why, sizeof(why)))
        return refuse_late(s, why);
    process_write_pidfile(s->options, &s->log.log);
    if (s->options->cluster_enabled && !cluster_run(s))
        return end(s, refuse_late(s, "cannot start the control plane's thread"));
    doors_want(s, true);
    if (!server_load(s, why, sizeof(why)) && !s->stop)
        return end(s, refuse_late(s, why));
    if (!s->stop) {
        log_say(&s->log.log, LOG_LEVEL_NOTICE, "Ready to accept connections");
        process_tell_supervisor(s->options, &s->log.log, "READY=1");
    }
    while (!s->stop)
        server_turn(s);
    process_tell_supervisor(s->options, &s->log.log, "STOPPING=1");
    cluster_stop(s);
    log_say(&s->log.log, LOG_LEVEL_NOTICE, s->exit_code == 0 ? "Everything is stored. Bye" : "Bye");
    return end(s, s->exit_code);
}

/* What a start would refuse whatever else is on this machine. */
static int check_config(const struct options *o)
{
    char why[1100];
    struct control_config config;
    if (o->cluster_enabled && !cluster_configure(&config, o, why, sizeof(why)))
        return refuse(why);
    puts("The configuration is good.");
    return 0;
}

int main(int argc, char **argv)
{
    struct options options;
    struct server server = {.options = &options, .config_file = ""};
    char absolute[PATH_MAX];
    int at = 1;
    if (process_told(argc, argv, "vong-server", usage))
        return 0;
    bool only_check = process_takes("--check-config", argv, &argc);
    bool tells_log = process_takes("--controller-log", argv, &argc);
    bool recovers = process_takes("--recover-controller", argv, &argc);
    const char *file = at < argc && strncmp(argv[at], "--", 2) != 0 ? argv[at++] : NULL;
    if (file != NULL && realpath(file, absolute) != NULL)
        server.config_file = absolute;
    char why[LOG_LINE_BYTES];
    options_init(&options);
    int code = 0;
    if (!config_read(&options, file, argv + at, (size_t)(argc - at), why, sizeof(why)))
        code = refuse(why);
    else if (only_check)
        code = check_config(&options);
    else if (tells_log || recovers)
        code = recovering_run(&options, recovers && !tells_log);
    else
        code = serve(&server);
    options_free(&options);
    return code;
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* vong-proxy [conf] [--directive value ...] */
#define _GNU_SOURCE
#include "config.h"
#include "proxy/proxy.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/map/seeds.h"
#include "server/process.h"

enum { PROXY_PORT = 7379 };

static const char usage[] =
    "Usage: vong-proxy [file] --cluster host:port[@cluster-port][,...] [--directive value ...]\n"
    "       vong-proxy --check-config [file] [--directive value ...]\n"
    "       vong-proxy --help | --version\n"
    "\n"
    "Makes a cluster of vong-servers look like one server, at port 7379. It keeps nothing: as "
    "many\n"
    "as one likes may run side by side. vong.conf(5) tells what each directive does. Examples:\n"
    "\n"
    "  vong-proxy --cluster 10.0.0.1:6379,10.0.0.2:6379 --cluster-secret s3cret\n"
    "  vong-proxy /etc/vong/vong-proxy.conf --port 6379 --threads 4\n"
    "\n"
    "SIGTERM and SIGINT answer what is under way and end; SIGHUP opens the log file again.\n";

static int refuse(const char *what)
{
    fprintf(stderr, "vong-proxy: %s\n", what);
    return 1;
}

/* It forwards everything, has no member's place, and keeps nothing. */
static bool settle_options(struct options *o, char *why, size_t why_n)
{
    const char *wrong = seeds_wrong(slice_str(o->cluster));
    o->cluster_enabled = true;
    o->cluster_routing = CLUSTER_ROUTING_FORWARD;
    o->appendonly = false;
    o->databases = 1;
    o->repl_backlog_size = 0;
    if (o->cluster[0] == '\0')
        (void)snprintf(
            why, why_n,
            "which cluster? Name a node of it, or several: --cluster host:port[,host:port]");
    else if (wrong != NULL)
        (void)snprintf(why, why_n, "cluster '%.200s': %s", o->cluster, wrong);
    else if (o->read_from == READ_FROM_NEAREST_ZONE && o->cluster_zone[0] == '\0')
        (void)snprintf(why, why_n,
                       "read-from nearest-zone: which zone? Say where this proxy is by "
                       "cluster-zone, as nodes do");
    else
        return true;
    return false;
}

static int serve(const struct options *o, const char *config_file)
{
    char why[1100];
    struct proxy *p = mem_zero(sizeof(*p));
    if (chdir(o->dir) != 0) {
        (void)snprintf(why, sizeof(why), "cannot change to directory %s: %s", o->dir,
                       strerror(errno));
        return refuse(why);
    }
    if (!proxy_prepare(p, o, config_file, why, sizeof(why)))
        return refuse(why);
    if (o->daemonize && !process_daemonize())
        return refuse("cannot go to the background");
    struct log *log = &p->workers[0].server.log.log;
    log_say(log, LOG_LEVEL_NOTICE,
            "Vong proxy %s starting, pid %ld, port %lld, %u thread%s, for the cluster of %s",
            PACKAGE_VERSION, (long)getpid(), (long long)o->port, p->seats.n,
            p->seats.n > 1 ? "s" : "", o->cluster);
    if (!proxy_start(p, why, sizeof(why))) {
        log_say(log, LOG_LEVEL_WARNING, "%s", why);
        return refuse(why);
    }
    process_write_pidfile(o, log);
    proxy_serve(p);
    log_say(log, LOG_LEVEL_NOTICE, "Bye");
    if (o->pidfile[0] != '\0')
        unlink(o->pidfile);
    proxy_free(p);
    mem_free(p);
    return 0;
}

static int run(int argc, char **argv)
{
    struct options options;
    char absolute[PATH_MAX], why[LOG_LINE_BYTES];
    const char *config_file = "";
    bool only_check = process_takes("--check-config", argv, &argc);
    int at = 1, code = 0;
    const char *file = at < argc && strncmp(argv[at], "--", 2) != 0 ? argv[at++] : NULL;
    if (file != NULL && realpath(file, absolute) != NULL)
        config_file = absolute;
    options_init(&options);
    options.of_proxy = true;
    options.port = PROXY_PORT;
    if (!config_read(&options, file, argv + at, (size_t)(argc - at), why, sizeof(why)) ||
        !settle_options(&options, why, sizeof(why)))
        code = refuse(why);
    else if (only_check)
        puts("The configuration is good.");
    else
        code = serve(&options, config_file);
    options_free(&options);
    return code;
}

int main(int argc, char **argv)
{
    return process_told(argc, argv, "vong-proxy", usage) ? 0 : run(argc, argv);
}

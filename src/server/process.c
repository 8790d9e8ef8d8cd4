/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "config.h"
#include "server/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "io/notify.h"

/* doors, files of the log, the loop, the log file; with a margin */
enum { OTHER_DESCRIPTORS = 128 };
/* of each thread of a proxy: to its nodes, besides those that clients have alone */
enum { UPSTREAM_DESCRIPTORS = 256 };

/* Of so many, those that are kept from clients: for its nodes a proxy keeps half of too few. */
static rlim_t kept_free(const struct options *o, rlim_t all)
{
    rlim_t n = OTHER_DESCRIPTORS;
    if (o->of_proxy)
        n += (rlim_t)(o->threads * (UPSTREAM_DESCRIPTORS + o->cluster_own_connections));
    return o->of_proxy && n > all / 2 ? all / 2 : n;
}

void process_fit_descriptors(struct options *o, struct log *log)
{
    struct rlimit limit;
    rlim_t want = (rlim_t)o->maxclients + kept_free(o, RLIM_INFINITY);
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= want)
        return;
    struct rlimit raised = {want, limit.rlim_max > want ? limit.rlim_max : want};
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) {
        log_say(log, LOG_LEVEL_NOTICE,
                "Raised the limit of open files to %llu, for maxclients %lld",
                (unsigned long long)want, (long long)o->maxclients);
        return;
    }
    raised = (struct rlimit){limit.rlim_max, limit.rlim_max};
    rlim_t got = setrlimit(RLIMIT_NOFILE, &raised) == 0 ? limit.rlim_max : limit.rlim_cur;
    if (got >= want)
        return;
    long long asked = o->maxclients;
    o->maxclients = got > kept_free(o, got) ? (int64_t)(got - kept_free(o, got)) : 1;
    log_say(log, LOG_LEVEL_WARNING,
            "Only %llu files may be open (ulimit -n): maxclients is now %lld. For %lld clients "
            "permit %llu files",
            (unsigned long long)got, (long long)o->maxclients, asked, (unsigned long long)want);
}

bool process_daemonize(void)
{
    pid_t child = fork();
    if (child < 0)
        return false;
    if (child > 0)
        _exit(0);
    setsid();
    int null = open("/dev/null", O_RDWR);
    if (null < 0)
        return false;
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    if (null > STDERR_FILENO)
        close(null);
    return true;
}

void process_write_pidfile(const struct options *o, struct log *log)
{
    if (o->pidfile[0] == '\0')
        return;
    FILE *f = fopen(o->pidfile, "w");
    if (f == NULL || fprintf(f, "%ld\n", (long)getpid()) < 0 || fclose(f) != 0)
        log_say(log, LOG_LEVEL_WARNING, "Cannot write the pidfile %s: %s", o->pidfile,
                strerror(errno));
}

void process_tell_supervisor(const struct options *o, struct log *log, const char *message)
{
    enum supervised who = o->supervised;
    if (who == SUPERVISED_SYSTEMD || who == SUPERVISED_AUTO) {
        if (notify_wanted() && !notify_systemd(message))
            log_say(log, LOG_LEVEL_WARNING, "systemd did not take the message %s", message);
    } else if (who == SUPERVISED_UPSTART && strcmp(message, "READY=1") == 0) {
        raise(SIGSTOP); /* upstart waits for it, and continues us */
    }
}

void process_tell_notes(const struct options *o, struct log *log)
{
    struct buf lines;
    buf_init(&lines, SIZE_MAX / 2);
    options_notes(o, &lines);
    struct slice text = buf_slice(&lines);
    while (text.n > 0) {
        const char *end = memchr(text.p, '\n', text.n);
        size_t n = end == NULL ? text.n : (size_t)(end - text.p);
        log_say(log, LOG_LEVEL_NOTICE, "%.*s", (int)n, text.p);
        text = slice_from(text, n + 1);
    }
    buf_free(&lines);
}

bool process_told(int argc, char **argv, const char *name, const char *usage)
{
    const char *asked = argc > 1 ? argv[1] : "";
    bool help = strcmp(asked, "--help") == 0 || strcmp(asked, "-h") == 0;
    bool version = strcmp(asked, "--version") == 0 || strcmp(asked, "-v") == 0;
    if (help)
        fputs(usage, stdout);
    else if (version)
        printf("%s %s\n", name, PACKAGE_VERSION);
    return help || version;
}

/* It may stand wherever a directive may; as a directive's value it is one. */
bool process_takes(const char *mode, char **argv, int *argc)
{
    bool found = false, has_value = true; /* has_value: as options_args has it */
    int kept = 1;
    for (int i = 1; i < *argc; i++) {
        if (has_value && strcmp(argv[i], mode) == 0) {
            found = true;
            continue;
        }
        bool is_name = has_value && strncmp(argv[i], "--", 2) == 0;
        has_value = !is_name || strchr(argv[i], ' ') != NULL || strcasecmp(argv[i], "--save") == 0;
        argv[kept++] = argv[i];
    }
    argv[ *argc = kept] = NULL;
    return found;
}

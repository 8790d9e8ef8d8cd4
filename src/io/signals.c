/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "io/signals.h"

#include <execinfo.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

/* A handler is given no argument of ours: these few are the room's only globals. */
static atomic_int stops, reopens, crash_fd = -1;
static struct loop *caller;
static const char *crasher;

static void on_stop(int number)
{
    (void)number;
    if (atomic_fetch_add(&stops, 1) > 0)
        _exit(1);
    loop_call(caller);
}

static void on_reopen(int number)
{
    (void)number;
    atomic_store(&reopens, 1);
    loop_call(caller);
}

static void say(int fd, const char *text)
{
    ssize_t ignored = write(fd, text, strlen(text));
    (void)ignored;
}

static void tell_crash(int fd, const char *what, void *const *frames, int n)
{
    say(fd, "\n");
    say(fd, crasher);
    say(fd, " crashed: ");
    say(fd, what);
    say(fd, ". Stack trace:\n");
    backtrace_symbols_fd(frames, n, fd);
}

static void on_crash(int number)
{
    void *frames[64];
    int n = backtrace(frames, 64), fd = atomic_load(&crash_fd);
    const char *what = number == SIGSEGV   ? "SIGSEGV"
                       : number == SIGBUS  ? "SIGBUS"
                       : number == SIGFPE  ? "SIGFPE"
                       : number == SIGABRT ? "SIGABRT"
                                           : "SIGILL";
    tell_crash(STDERR_FILENO, what, frames, n);
    if (fd >= 0)
        tell_crash(fd, what, frames, n);
    raise(number); /* the default action is back: SA_RESETHAND */
}

static void handle(int number, void (*handler)(int), int flags)
{
    struct sigaction a = {.sa_handler = handler, .sa_flags = flags};
    sigemptyset(&a.sa_mask);
    sigaction(number, &a, NULL);
}

void signals_catch(struct loop *l, const char *program)
{
    static const int crashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    void *warm[1];
    backtrace(warm, 1); /* loads what it needs now, not in a broken process */
    caller = l;
    crasher = program;
    handle(SIGTERM, on_stop, SA_RESTART);
    handle(SIGINT, on_stop, SA_RESTART);
    handle(SIGHUP, on_reopen, SA_RESTART);
    handle(SIGPIPE, SIG_IGN, 0);
    handle(SIGXFSZ, SIG_IGN, 0);
    for (size_t i = 0; i < sizeof(crashes) / sizeof(crashes[0]); i++)
        handle(crashes[i], on_crash, (int)(SA_RESETHAND | SA_NODEFER));
}

bool signals_stop_asked(void)
{
    return atomic_load(&stops) > 0;
}

bool signals_reopen_asked(void)
{
    return atomic_load(&reopens) != 0 && atomic_exchange(&reopens, 0) != 0;
}

void signals_crash_to(int fd)
{
    atomic_store(&crash_fd, fd);
}

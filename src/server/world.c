/* SPDX-License-Identifier: BSD-3-Clause */

/* What only the process knows, for INFO: memory, processor time, what it runs on. */
#define _GNU_SOURCE
#include "config.h"
#include "server/server.h"

#include <fcntl.h>
#ifdef HAVE_MALLINFO2
#include <malloc.h>
#endif
#include <stdio.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "io/clock.h"

#ifdef HAVE_JEMALLOC
#include <jemalloc/jemalloc.h>

static size_t allocator_says(const char *name)
{
    size_t value = 0, n = sizeof(value);
    return mallctl(name, &value, &n, NULL, 0) == 0 ? value : 0;
}

static void allocator(struct server *s, struct node_memory *to)
{
    (void)s;
    uint64_t epoch = 1;
    size_t n = sizeof(epoch);
    (void)mallctl("epoch", &epoch, &n, &epoch, n); /* fails: the numbers are a little older */
    to->allocated = allocator_says("stats.allocated");
    to->active = allocator_says("stats.active");
    to->resident = allocator_says("stats.resident");
    to->metadata = allocator_says("stats.metadata");
    to->retained = allocator_says("stats.retained");
}

void world_purge_memory(void)
{
    char name[64];
    snprintf(name, sizeof(name), "arena.%u.purge", (unsigned)MALLCTL_ARENAS_ALL);
    (void)mallctl(name, NULL, NULL, NULL, 0); /* fails: memory stays with the process */
}

static const char allocator_name[] = "jemalloc-" JEMALLOC_VERSION;
#else
/* of the time, at the most one part in so many goes into asking it */
enum { ALLOCATOR_SHARE = 100 };

/* The C library looks through all it has free, which can take long: then it is seldom asked. */
static void allocator(struct server *s, struct node_memory *to)
{
#ifdef HAVE_MALLINFO2
    struct mono before = clock_mono();
    if (mono_reached(before, s->ask_memory)) {
        struct mallinfo2 m = mallinfo2();
        struct mono after = clock_mono();
        s->memory = (struct node_memory){.allocated = m.uordblks + m.hblkhd,
                                         .active = m.arena + m.hblkhd,
                                         .resident = m.arena + m.hblkhd};
        s->ask_memory = mono_after(after, (after.us - before.us) * ALLOCATOR_SHARE);
    }
#endif
    *to = s->memory;
}

void world_purge_memory(void) {} /* it gives back by itself */

static const char allocator_name[] = "libc";
#endif

static size_t resident_pages(void)
{
    char text[128];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    unsigned long all, resident;
    return sscanf(text, "%lu %lu", &all, &resident) == 2 ? resident : 0;
}

static void memory(struct node_world *w, struct node_memory *to)
{
    *to = (struct node_memory){0};
    allocator(CONTAINER_OF(w, struct server, world), to);
    to->rss = resident_pages() * (size_t)sysconf(_SC_PAGESIZE);
}

static void client(struct node_world *w, uint32_t conn, struct node_client *to)
{
    client_tell(CONTAINER_OF(w, struct server, world), conn, to);
}

static void worked(struct node_world *w)
{
    control_thread_progress(&CONTAINER_OF(w, struct server, world)->control);
}

static uint64_t stopwatch_ns(struct node_world *w)
{
    (void)w;
    return clock_stopwatch_ns();
}

/* ------------------------------------------------------------------------- facts */

static int fact_os(struct server *s, char *to, size_t n)
{
    (void)s;
    struct utsname u;
    return uname(&u) == 0 ? snprintf(to, n, "%s %s %s", u.sysname, u.release, u.machine) : 0;
}

static int fact_executable(struct server *s, char *to, size_t n)
{
    (void)s;
    ssize_t r = readlink("/proc/self/exe", to, n);
    return r < 0 ? 0 : (int)r;
}

static int fact_config_file(struct server *s, char *to, size_t n)
{
    return snprintf(to, n, "%s", s->config_file);
}

static int fact_allocator(struct server *s, char *to, size_t n)
{
    (void)s;
    return snprintf(to, n, "%s", allocator_name);
}

static int fact_compiler(struct server *s, char *to, size_t n)
{
    (void)s;
    return snprintf(to, n, "%d.%d.%d", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
}

static int fact_loop(struct server *s, char *to, size_t n)
{
    return snprintf(to, n, "%s", loop_backend(&s->loop));
}

static int fact_system_memory(struct server *s, char *to, size_t n)
{
    (void)s;
    return snprintf(to, n, "%llu",
                    (unsigned long long)sysconf(_SC_PHYS_PAGES) *
                        (unsigned long long)sysconf(_SC_PAGESIZE));
}

static int fact_supervised(struct server *s, char *to, size_t n)
{
    static const char *const words[] = {"no", "upstart", "systemd", "auto"};
    return snprintf(to, n, "%s", words[s->options->supervised]);
}

static int fact_version(struct server *s, char *to, size_t n)
{
    (void)s;
    return snprintf(to, n, "%s", PACKAGE_VERSION);
}

static int fact_seats(struct server *s, char *to, size_t n)
{
    return s->seats != NULL ? snprintf(to, n, "%u", s->seats->n) : 0;
}

static int fact_seat(struct server *s, char *to, size_t n)
{
    return s->seats != NULL ? snprintf(to, n, "%u", s->seat) : 0;
}

static int fact_all_clients(struct server *s, char *to, size_t n)
{
    return snprintf(to, n, "%lld", (long long)server_clients_n(s));
}

static int cpu_seconds(int who, bool system, char *to, size_t n)
{
    struct rusage u;
    if (getrusage(who, &u) != 0)
        return 0;
    struct timeval t = system ? u.ru_stime : u.ru_utime;
    return snprintf(to, n, "%ld.%06ld", (long)t.tv_sec, (long)t.tv_usec);
}

static const struct {
    const char *name;
    int (*tell)(struct server *s, char *to, size_t n);
} facts[] = {
    {"os", fact_os},
    {"executable", fact_executable},
    {"config_file", fact_config_file},
    {"mem_allocator", fact_allocator},
    {"gcc_version", fact_compiler},
    {"multiplexing_api", fact_loop},
    {"total_system_memory", fact_system_memory},
    {"process_supervised", fact_supervised},
    {"vong_version", fact_version},
    {"proxy_threads", fact_seats},
    {"proxy_thread", fact_seat},
    {"proxy_clients", fact_all_clients},
};

static const struct {
    const char *name;
    int who;
    bool system;
} cpu_facts[] = {
    {"used_cpu_sys", RUSAGE_SELF, true},
    {"used_cpu_user", RUSAGE_SELF, false},
    {"used_cpu_sys_children", RUSAGE_CHILDREN, true},
    {"used_cpu_user_children", RUSAGE_CHILDREN, false},
    {"used_cpu_sys_main_thread", RUSAGE_THREAD, true},
    {"used_cpu_user_main_thread", RUSAGE_THREAD, false},
};

static const struct {
    const char *name;
    size_t at; /* in struct server_counts */
} count_facts[] = {
    {"rejected_connections", offsetof(struct server_counts, rejected)},
    {"total_net_input_bytes", offsetof(struct server_counts, read_bytes)},
    {"total_net_output_bytes", offsetof(struct server_counts, written_bytes)},
    {"total_reads_processed", offsetof(struct server_counts, reads)},
    {"total_writes_processed", offsetof(struct server_counts, writes)},
    {"eventloop_cycles", offsetof(struct server_counts, turns)},
    {"client_recent_max_input_buffer", offsetof(struct server_counts, input_most)},
    {"client_recent_max_output_buffer", offsetof(struct server_counts, output_most)},
    {"client_query_buffer_limit_disconnections",
     offsetof(struct server_counts, input_limit_closed)},
    {"client_output_buffer_limit_disconnections",
     offsetof(struct server_counts, output_limit_closed)},
};

static int count_fact(const struct server *s, size_t at, char *to, size_t n)
{
    uint64_t count;
    memcpy(&count, (const char *)&s->counts + at, sizeof(count));
    return snprintf(to, n, "%llu", (unsigned long long)count);
}

static struct slice fact(struct node_world *w, const char *name, char *to, size_t to_n)
{
    struct server *s = CONTAINER_OF(w, struct server, world);
    int n = 0;
    for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++)
        if (strcmp(name, facts[i].name) == 0)
            n = facts[i].tell(s, to, to_n);
    for (size_t i = 0; i < sizeof(cpu_facts) / sizeof(cpu_facts[0]); i++)
        if (strcmp(name, cpu_facts[i].name) == 0)
            n = cpu_seconds(cpu_facts[i].who, cpu_facts[i].system, to, to_n);
    for (size_t i = 0; i < sizeof(count_facts) / sizeof(count_facts[0]); i++)
        if (strcmp(name, count_facts[i].name) == 0)
            n = count_fact(s, count_facts[i].at, to, to_n);
    size_t told = n > 0 ? (size_t)n : 0;
    return slice_of(to, told < to_n ? told : to_n - 1);
}

void world_init(struct node_world *w)
{
    *w = (struct node_world){stopwatch_ns, worked, memory, client, fact};
}

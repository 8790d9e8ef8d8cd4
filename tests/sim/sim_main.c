/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE

/* vong-sim: seeds through the false world, or a scenario with its exact answer. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/num.h"
#include "tests/sim/hosts.h"
#include "tests/sim/planted.h"
#include "tests/sim/scale.h"
#include "tests/sim/scenario.h"
#include "tests/sim/sim.h"

enum { OPS_LEAST = 1000, TROUBLES_LEAST = 3, PLANES_LIST = 4, PLANES_LEAST = 6 };

struct task {
    uint64_t seed, seeds_n;
    bool trace, until_wrong, twice, peace, memory;
    enum sim_break broken;
    unsigned nodes_n; /* 0: the world of one node */
    unsigned copies;  /* of each slot */
    unsigned proxies; /* through which clients ask as well */
    unsigned planes[PLANES_LIST]; /* clusters of so many control planes; 0: that is all */
};

struct totals {
    uint64_t seeds, counted, wrong, ops, acked, crashes, lost, starts, audits, fired[TROUBLES];
    int64_t us;
};

static void usage(FILE *to)
{
    fprintf(to, "Usage: vong-sim [--nodes N [--copies N] [--proxies N] [--peace] [--memory]] [--seed N] [--seeds N] [--trace] [--twice] [--break RULE] [--until-wrong]\n"
                "       vong-sim --planes N[,N...] [--seed N] [--trace] [--twice]\n"
                "       vong-sim SCENARIO.txt\n"
                "Runs a node in a false world; --nodes: a cluster of so many (2 to 8), with so\n"
                "many --copies of each slot (1 to 5, one if it is not said); half of the clients ask through\n"
                "--proxies (at most 3, none if it is not said). --peace: nodes join and\n"
                "leave, nothing else happens, and no client may be refused anything. --memory: keys are evicted. --planes: clusters of so many\n"
                "control planes (6 to 254) one after the other; what each of them says is to be the same. --seeds: that many seeds from N on. --twice: each one two\n"
                "times, and the traces must be equal. --break: the world breaks a promise, and it must be\n"
                "noticed; --until-wrong ends with code 0 once it was. RULE is one of:\n");
    for (int b = 1; b < BREAKS; b++)
        fprintf(to, "  %s\n", sim_break_name((enum sim_break)b));
}

static uint64_t fired_n(const struct sim *s)
{
    uint64_t n = 0;
    for (int t = 0; t < TROUBLES; t++)
        n += s->fired[t];
    return n;
}

static void add(struct totals *t, const struct sim *s)
{
    t->seeds++;
    t->counted += s->ops_n >= OPS_LEAST && fired_n(s) >= TROUBLES_LEAST && s->now.us >= 60 * 1000000;
    t->wrong += s->wrong;
    t->ops += s->ops_n;
    t->acked += s->acked_n;
    t->crashes += s->crashes_n;
    t->lost += s->lost_n;
    t->starts += s->starts_n;
    t->audits += s->audits_n;
    t->us += s->now.us;
    for (int i = 0; i < TROUBLES; i++)
        t->fired[i] += s->fired[i];
}

static uint64_t run_one(const struct task *task, uint64_t seed, struct totals *totals)
{
    struct sim *s = malloc(sizeof(*s));
    sim_init(s, seed, task->broken);
    s->trace_on = task->trace;
    sim_run_seed(s);
    if (s->wrong)
        printf("# seed %llu: %s\n", (unsigned long long)seed, s->why);
    uint64_t digest = s->digest;
    add(totals, s);
    sim_free(s);
    free(s);
    return digest;
}

static void say(const struct totals *t)
{
    printf("# %llu seeds, %llu of them count; %lld virtual seconds, %llu requests, %llu answered\n",
           (unsigned long long)t->seeds, (unsigned long long)t->counted, (long long)(t->us / 1000000),
           (unsigned long long)t->ops, (unsigned long long)t->acked);
    printf("# %llu crashes, %llu starts, %llu audits, %llu unpromised writes lost\n", (unsigned long long)t->crashes,
           (unsigned long long)t->starts, (unsigned long long)t->audits, (unsigned long long)t->lost);
    printf("# troubles:");
    for (int i = 0; i < TROUBLES; i++)
        printf("%s %s %llu", i > 0 ? "," : "", sim_trouble_name((enum sim_trouble)i),
               (unsigned long long)t->fired[i]);
    printf("\n");
}

/* ----------------------------------------------------------------------- many nodes */

struct many_totals {
    uint64_t seeds, counted, wrong, calls, answers, refused, loading, unsure, undecided, records, losses, given_up, evicted, fired[PLIGHTS];
    int64_t us;
};

static void add_many(struct many_totals *t, const struct hosts *w)
{
    uint64_t fired = 0;
    for (int i = 0; i < PLIGHTS; i++) {
        fired += w->fired[i];
        t->fired[i] += w->fired[i];
    }
    t->seeds++;
    t->counted += w->calls_n >= OPS_LEAST && fired >= TROUBLES_LEAST && w->planes.now.us >= 60 * 1000000;
    t->wrong += w->planes.wrong[0] != '\0';
    t->calls += w->calls_n;
    t->answers += w->answers_n;
    t->refused += w->refused_n;
    t->loading += w->loading_n;
    t->unsure += w->unsure_n;
    t->undecided += w->undecided_n;
    t->records += w->records_n;
    t->losses += w->losses_n;
    t->given_up += w->given_up_n;
    t->evicted += w->evicted_n;
    t->us += w->planes.now.us;
}

/* A node's own check that fails ends the process: it is to be known of which seed. */
static volatile sig_atomic_t seed_high, seed_low;

static void aborted(int signal)
{
    char text[] = "# the seed was 00000000000000000000\n";
    uint64_t seed = (uint64_t)(uint32_t)seed_high << 32 | (uint32_t)seed_low;
    for (size_t i = sizeof(text) - 3; seed > 0; i--, seed /= 10)
        text[i] = (char)('0' + seed % 10);
    (void)signal;
    (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
}

static uint64_t run_many_one(const struct task *task, uint64_t seed, struct many_totals *totals)
{
    struct hosts *w = malloc(sizeof(*w));
    seed_high = (sig_atomic_t)(seed >> 32);
    seed_low = (sig_atomic_t)(uint32_t)seed;
    hosts_init(w, seed, task->nodes_n, task->broken);
    hosts_copies(w, task->copies);
    w->proxies_n = task->proxies;
    w->peace = task->peace;
    w->short_of_memory = task->memory;
    w->planes.trace = task->trace;
    hosts_run_seed(w);
    if (w->planes.wrong[0] != '\0')
        printf("# seed %llu: %s\n", (unsigned long long)seed, w->planes.wrong);
    uint64_t digest = w->planes.digest;
    add_many(totals, w);
    hosts_free(w);
    free(w);
    return digest;
}

static void say_many(const struct many_totals *t)
{
    printf("# %llu seeds, %llu of them count; %lld virtual seconds, %llu commands, %llu answers, %llu refused "
           "(%llu LOADING), %llu of unknown fate\n",
           (unsigned long long)t->seeds, (unsigned long long)t->counted, (long long)(t->us / 1000000),
           (unsigned long long)t->calls, (unsigned long long)t->answers, (unsigned long long)t->refused,
           (unsigned long long)t->loading, (unsigned long long)t->unsure);
    printf("# %llu records, %llu ends that might lose some of a history's, %llu of them whatever was there, %llu histories with too many orders, %llu keys evicted\n",
           (unsigned long long)t->records, (unsigned long long)t->losses, (unsigned long long)t->given_up, (unsigned long long)t->undecided,
           (unsigned long long)t->evicted);
    printf("# troubles:");
    for (int i = 0; i < PLIGHTS; i++)
        printf("%s %s %llu", i > 0 ? "," : "", plight_name((enum plight)i), (unsigned long long)t->fired[i]);
    printf("\n");
}

static int run_many(const struct task *task)
{
    struct many_totals t = {0};
    uint64_t unequal = 0;
    const char *misjudged = planted_misjudged();
    if (misjudged != NULL) {
        printf("# the checker of histories misjudges %s: no run counts\n", misjudged);
        return 1;
    }
    for (uint64_t i = 0; i < task->seeds_n && !(task->until_wrong && t.wrong > 0); i++) {
        struct many_totals again = {0};
        uint64_t digest = run_many_one(task, task->seed + i, &t);
        if (task->twice && run_many_one(task, task->seed + i, &again) != digest) {
            printf("# seed %llu: two runs, two traces\n", (unsigned long long)(task->seed + i));
            unequal++;
        }
    }
    say_many(&t);
    if (task->until_wrong) {
        printf("# %s: noticed after %llu seeds\n", sim_break_name(task->broken), (unsigned long long)t.seeds);
        return t.wrong > 0 ? 0 : 1;
    }
    bool good = unequal == 0 && t.wrong == 0 && t.counted * 10 >= t.seeds * 9 && t.undecided * 100 <= t.seeds * GROUPS;
    return good ? 0 : 1;
}

static int run_seeds(const struct task *task)
{
    struct totals t = {0};
    uint64_t unequal = 0;
    for (uint64_t i = 0; i < task->seeds_n && !(task->until_wrong && t.wrong > 0); i++) {
        uint64_t digest = run_one(task, task->seed + i, &t);
        if (!task->twice)
            continue;
        struct totals again = {0};
        if (run_one(task, task->seed + i, &again) != digest) {
            printf("# seed %llu: two runs, two traces\n", (unsigned long long)(task->seed + i));
            unequal++;
        }
    }
    say(&t);
    bool good = unequal == 0 && t.counted * 10 >= t.seeds * 9;
    if (task->until_wrong) {
        printf("# %s: noticed after %llu seeds\n", sim_break_name(task->broken), (unsigned long long)t.seeds);
        return t.wrong > 0 ? 0 : 1;
    }
    good = good && t.wrong == 0;
    return good ? 0 : 1;
}

/* --------------------------------------------------------------- many control planes */

static int run_planes(const struct task *task)
{
    struct scale_figures first = {0}, f, again;
    const char *grows = NULL;
    bool good = true;
    for (size_t i = 0; i < PLANES_LIST && task->planes[i] != 0 && good; i++) {
        scale_run(&f, task->planes[i], task->seed, task->trace);
        scale_say(&f);
        if (task->twice) {
            scale_run(&again, task->planes[i], task->seed, task->trace);
            good = again.digest == f.digest;
            if (!good)
                printf("# %u control planes: two runs, two traces\n", f.n);
        }
        if (f.wrong[0] != '\0')
            printf("# %u control planes, seed %llu: %s\n", f.n, (unsigned long long)task->seed, f.wrong);
        else if (first.n == 0)
            first = f;
        else if ((grows = scale_grows(&first, &f)) != NULL)
            printf("# from %u to %u control planes %s\n", first.n, f.n, grows);
        good = good && f.wrong[0] == '\0' && grows == NULL;
    }
    return good ? 0 : 1;
}

/* "20,60,200" */
static bool numbers(const char *text, unsigned to[PLANES_LIST])
{
    struct slice left = text != NULL ? slice_str(text) : (struct slice){0};
    size_t n = 0;
    while (left.n > 0) {
        const char *comma = memchr(left.p, ',', left.n);
        struct slice one = slice_head(left, comma == NULL ? left.n : (size_t)(comma - left.p));
        uint64_t v;
        if (n == PLANES_LIST || !num_get_u64(one, &v) || v < PLANES_LEAST || v >= PLANES_CLIENTS)
            return false;
        to[n++] = (unsigned)v;
        left = slice_from(left, one.n + (comma != NULL));
    }
    return n > 0;
}

static bool number(const char *text, uint64_t *v)
{
    return text != NULL && num_get_u64(slice_str(text), v);
}

int main(int argc, char **argv)
{
    struct task task = {.seed = 1, .seeds_n = 1, .copies = 1};
    struct sigaction once = {.sa_handler = aborted, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGABRT, &once, NULL);
    sigaction(SIGSEGV, &once, NULL);
    setvbuf(stdout, NULL, _IOLBF, 0); /* what was found is seen although a long run is cut short */
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i], *next = i + 1 < argc ? argv[i + 1] : NULL;
        bool good = true;
        if (strcmp(a, "--trace") == 0) {
            task.trace = true;
        } else if (strcmp(a, "--twice") == 0) {
            task.twice = true;
        } else if (strcmp(a, "--peace") == 0) {
            task.peace = true;
        } else if (strcmp(a, "--memory") == 0) {
            task.memory = true;
        } else if (strcmp(a, "--until-wrong") == 0) {
            task.until_wrong = true;
        } else if (strcmp(a, "--seed") == 0) {
            good = number(next, &task.seed), i++;
        } else if (strcmp(a, "--nodes") == 0) {
            uint64_t n = 0;
            good = number(next, &n) && n >= 2 && n <= HOSTS_MAX, i++;
            task.nodes_n = (unsigned)n;
        } else if (strcmp(a, "--copies") == 0) {
            uint64_t n = 0;
            good = number(next, &n) && n >= 1 && n <= MAP_COPIES, i++;
            task.copies = (unsigned)n;
        } else if (strcmp(a, "--proxies") == 0) {
            uint64_t n = 0;
            good = number(next, &n) && n <= PROXIES_MAX, i++;
            task.proxies = (unsigned)n;
        } else if (strcmp(a, "--planes") == 0) {
            good = numbers(next, task.planes), i++;
        } else if (strcmp(a, "--seeds") == 0) {
            good = number(next, &task.seeds_n), i++;
        } else if (strcmp(a, "--break") == 0) {
            task.broken = next != NULL ? sim_break_of(next) : BREAKS, i++;
            good = task.broken != BREAKS;
        } else if (strcmp(a, "--help") == 0) {
            usage(stdout);
            return 0;
        } else {
            return a[0] != '-' && argc == 2 ? scenario_run(a) : (usage(stderr), 2);
        }
        if (!good) {
            usage(stderr);
            return 2;
        }
    }
    if (task.planes[0] != 0)
        return run_planes(&task);
    if (task.broken >= BREAK_OF_MANY && task.nodes_n == 0)
        task.nodes_n = 3;
    if (task.broken >= BREAK_OF_COPIES && task.copies == 1)
        task.copies = 2;
    if (task.broken >= BREAK_OF_PROXIES && task.proxies == 0)
        task.proxies = 2;
    return task.nodes_n > 0 ? run_many(&task) : run_seeds(&task);
}

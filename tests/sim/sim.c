/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/sim.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"
#include "base/hash.h"
#include "tests/lib/still_world.h"

enum { TROUBLE_US = 60 * 1000 * 1000, HEALING_US = 10 * 1000 * 1000, QUIET_US = 3 * 1000 * 1000 };
enum { PROGRESS_US = 5 * 1000 * 1000 }; /* so long after trouble everybody must have been answered */

/* ------------------------------------------------------------------------------ trace */

void sim_trace(struct sim *s, const char *format, ...)
{
    static const struct hash_key key = {0x7ace, 0x5eed};
    char line[1400];
    int head = snprintf(line, sizeof(line), "[%8lld.%03lld] ", (long long)(s->now.us / 1000),
                        (long long)(s->now.us % 1000));
    va_list args;
    va_start(args, format);
    int more = vsnprintf(line + head, sizeof(line) - (size_t)head, format, args);
    va_end(args);
    size_t n = (size_t)head + (size_t)more < sizeof(line) ? (size_t)head + (size_t)more : sizeof(line) - 1;
    s->digest = hash_keyed(&key, slice_of(line, n)) + 31 * s->digest;
    if (s->trace_on)
        printf("%s\n", line);
    if (s->trace_to != NULL) {
        text_add(s->trace_to, "[%6lld] %s\n", (long long)(s->now.us / 1000), line + head);
    }
}

void sim_wrong(struct sim *s, const char *format, ...)
{
    va_list args;
    if (s->wrong)
        return;
    va_start(args, format);
    vsnprintf(s->why, sizeof(s->why), format, args);
    va_end(args);
    s->wrong = true;
    sim_trace(s, "WRONG: %s", s->why);
}

static void log_line(struct log *log, enum log_level level, struct slice text)
{
    struct sim *s = CONTAINER_OF(log, struct sim, log);
    (void)level;
    sim_trace(s, "log: %.*s", (int)text.n, text.p);
}

/* ------------------------------------------------------------------------------- time */

void sim_plan(struct sim *s, struct heap_node *n, int64_t after_us)
{
    heap_remove(&s->calendar, n);
    heap_add(&s->calendar, n, s->now.us + after_us);
}

int64_t sim_exponential(struct rng *r, int64_t mean_us)
{
    double u = ((double)rng_below(r, 1u << 30) + 1) / (double)(1u << 30);
    return 1 + (int64_t)(-log(u) * (double)mean_us);
}

struct wall sim_wall(const struct sim *s)
{
    return (struct wall){1700000000000 + s->now.us / 1000 + s->wall_offset_ms};
}

bool sim_next(struct sim *s, struct mono until)
{
    struct heap_node *due = heap_first(&s->calendar);
    if (s->wrong || due == NULL || due->due > until.us)
        return false;
    check(due->due >= s->now.us);
    s->now.us = s->disk.now.us = due->due;
    if (!sim_node_due(s, due) && !sim_load_due(s, due))
        check(sim_trouble_due(s, due));
    return true;
}

void sim_run_until(struct sim *s, struct mono until)
{
    while (sim_next(s, until))
        ;
    if (!s->wrong)
        s->now.us = s->disk.now.us = until.us;
}

/* ------------------------------------------------------------------- birth and death */

static uint64_t stopwatch(struct node_world *w)
{
    return CONTAINER_OF(w, struct sim, node_world)->stopwatch += 1000;
}

void sim_init(struct sim *s, uint64_t seed, enum sim_break broken)
{
    memset(s, 0, sizeof(*s));
    s->seed = seed;
    s->broken = broken;
    s->now.us = 1000;
    s->lowest = UINT64_MAX;
    rng_seed(&s->rng, seed);
    rng_seed(&s->node_rng, rng_next(&s->rng));
    rng_seed(&s->load_rng, rng_next(&s->rng));
    rng_seed(&s->trouble_rng, rng_next(&s->rng));
    s->node_world = still_world(stopwatch);
    s->log = (struct log){LOG_LEVEL_NOTICE, log_line};
    sim_disk_init(&s->disk, rng_next(&s->rng), &s->calendar);
    s->disk.broken = broken;
    s->disk.now = s->now;
    s->start_policy = APPENDFSYNC_EVERYSEC;
    sim_load_init(s);
}

void sim_free(struct sim *s)
{
    s->load_on = s->has_operator = false;
    if (s->process == PROCESS_UP)
        sim_node_crash(s, false);
    sim_load_free(s);
    sim_disk_free(&s->disk);
    model_free(&s->model);
    vec_free(&s->told);
    vec_free(&s->turn.done);
    request_arena_free(&s->turn.slices);
    node_out_free(&s->out);
    heap_free(&s->calendar);
}

/* --------------------------------------------------------------------------- one seed */

static void begin(struct sim *s)
{
    static const enum appendfsync policies[] = {APPENDFSYNC_ALWAYS, APPENDFSYNC_EVERYSEC, APPENDFSYNC_EVERYSEC,
                                                APPENDFSYNC_NO};
    s->start_policy = policies[rng_below(&s->rng, 4)];
    s->slotted = s->model.slotted = rng_below(&s->rng, 3) == 0;
    if (s->slotted)
        sim_trace(s, "the node is a cluster's, with all slots");
    sim_trouble_init(s);
    s->load_on = s->has_operator = true;
    sim_node_start(s);
    if (s->process != PROCESS_UP)
        sim_wrong(s, "the first start failed: %s", s->last_refusal);
    for (size_t i = 0; i < SIM_CLIENTS; i++)
        sim_plan(s, &s->clients[i].due, 1000 * (int64_t)i);
}

/* Trouble is over: the node is there again, everybody is answered, and writes are taken. */
static void ask_progress(struct sim *s)
{
    uint64_t answered[SIM_CLIENTS];
    sim_trouble_end(s);
    sim_run_until(s, mono_after(s->now, PROGRESS_US));
    if (s->process != PROCESS_UP)
        sim_wrong(s, "the node is not back after trouble");
    for (size_t i = 0; i < SIM_CLIENTS && !s->wrong; i++)
        answered[i] = s->clients[i].answered_n;
    sim_run_until(s, mono_after(s->now, HEALING_US - PROGRESS_US));
    for (size_t i = 0; i < SIM_CLIENTS && !s->wrong; i++)
        if (s->clients[i].answered_n == answered[i])
            sim_wrong(s, "client %zu is not answered after trouble", i);
    for (size_t i = 0; i < SIM_CLIENTS && !s->wrong; i++)
        if (s->failed || s->clients[i].refused_at.us > s->now.us - (HEALING_US - PROGRESS_US))
            sim_wrong(s, "writes are refused after trouble");
}

/* Nobody asks any more: told to stop, the node stores everything, and a power cut takes nothing. */
static void end(struct sim *s)
{
    s->load_on = s->has_operator = false;
    sim_run_until(s, mono_after(s->now, QUIET_US));
    for (size_t i = 0; i < SIM_CLIENTS && !s->wrong; i++)
        if (s->clients[i].calls_done < s->clients[i].calls.n)
            sim_wrong(s, "client %zu was not answered in the end", i);
    if (s->wrong)
        return;
    sim_audit(s, s->model.writes_n);
    s->ended_with = -1;
    sim_node_stop(s);
    sim_run_until(s, mono_after(s->now, QUIET_US));
    if (s->ended_with != 0)
        sim_wrong(s, "told to stop, the node did not end with code 0");
    if (s->wrong)
        return;
    s->durable = s->model.writes_n;
    s->lowest = UINT64_MAX;
    sim_crash(s, true);
    sim_restart(s);
    if (!s->wrong && s->process != PROCESS_UP)
        sim_wrong(s, "the last start failed");
    if (!s->wrong && s->slotted && !s->last_clean)
        sim_wrong(s, "the last start found no end mark of the clean stop before it");
}

void sim_run_seed(struct sim *s)
{
    begin(s);
    sim_run_until(s, mono_after(s->now, TROUBLE_US));
    if (!s->wrong)
        ask_progress(s);
    if (!s->wrong)
        end(s);
    sim_trace(s, "end: %llu requests, %llu answered, %llu crashes, %llu writes lost",
              (unsigned long long)s->ops_n, (unsigned long long)s->acked_n, (unsigned long long)s->crashes_n,
              (unsigned long long)s->lost_n);
}

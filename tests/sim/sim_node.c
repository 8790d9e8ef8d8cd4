/* SPDX-License-Identifier: BSD-3-Clause */

/* The shell of one node, in the false world: turns, batches, releases, the start, and its end.
 *
 * A turn is two moments: what came is executed, and a little later replies may leave. A crash may fall
 * between them. */
#include <stdio.h>

#include "base/check.h"
#include "node/own.h"
#include "tests/sim/sim.h"
#include "tests/sim/sim_start.h"

enum { TURN_MAX_US = 60, RELEASE_MAX_US = 100, STALL_US = 600 * 1000 };

/* --------------------------------------------------------------------------- steps */

static void end_process(struct sim *s, int code)
{
    sim_trace(s, "node ends with code %d", code);
    s->ended_with = code;
    sim_crash(s, false);
    if (s->has_operator)
        sim_plan(s, &s->restart_due, 300 * 1000);
}

static void trace_done(struct sim *s, const struct disk_done *done)
{
    bool journal = disk_asker(done->token) == ASKER_JOURNAL;
    if (done->err == ERR_OK)
        return;
    sim_trace(s, "disk %s: %s", journal ? "of the log" : "in the background", err_text(done->err));
    if (!journal)
        return;
    if (done->err == ERR_IO && !s->failed) {
        s->failed = true;
        s->failed_at = s->now;
        if (s->has_operator && s->restart_due.place == 0)
            sim_plan(s, &s->restart_due, 500 * 1000 + sim_exponential(&s->node_rng, 1000 * 1000));
    }
}

static void take_out(struct sim *s)
{
    struct node_out *o = &s->out;
    for (size_t i = 0; i < o->drop.n; i++) {
        struct sim_client *c = &s->clients[o->drop.at[i]];
        c->closing = c->open;
        c->upto = 0;
    }
    for (size_t i = 0; i < o->resume.n; i++)
        s->clients[o->resume.at[i]].held = false;
    for (size_t i = 0; i < o->disk.n; i++) {
        struct disk_done done;
        if (sim_disk_take(&s->disk, &o->disk.at[i], &done))
            *vec_add(&s->turn.done) = done;
    }
    s->turn.wake = o->wake;
}

static void step(struct sim *s, struct node_event *ev)
{
    ev->now = s->now;
    ev->wall = sim_wall(s);
    node_step(s->node, ev, &s->out);
    node_check(s->node);
    graves_free(node_graves(s->node));
    take_out(s);
}

/* Answers of operations done at once belong to the same turn. */
static void step_done(struct sim *s)
{
    for (size_t i = 0; i < s->turn.done.n; i++) {
        struct disk_done done = s->turn.done.at[i];
        trace_done(s, &done);
        struct node_event ev = {.type = NODE_DISK, .disk = done};
        step(s, &ev);
        sim_load_peek(s, done.err != ERR_OK);
    }
    vec_clear(&s->turn.done);
}

/* ------------------------------------------------------------------------- requests */

/* A request that goes back: the input it points into goes on. */
static void request_keep(struct sim_client *c, struct request *r)
{
    request_own(r);
    *vec_add(&c->kept) = *r;
}

static void run_batch(struct sim *s)
{
    struct sim_turn *t = &s->turn;
    size_t n = t->n, calls[SIM_BATCH];
    if (n == 0)
        return;
    t->n = 0;
    struct node_event ev = {.type = NODE_REQUESTS, .requests = {t->at, n}};
    step(s, &ev);
    for (size_t i = 0; i < n; i++) {
        struct sim_client *c = t->from[i];
        if (!t->at[i].taken) {
            request_keep(c, &t->requests[i]);
            continue;
        }
        calls[i] = c->taken_n++;
        c->calls.at[calls[i]].taken = true;
        request_free(&t->requests[i]);
    }
    sim_load_peek(s, false);
    for (size_t i = 0; i < n; i++) {
        if (t->at[i].taken)
            sim_load_judge(s, t->from[i], calls[i]);
        else
            t->from[i]->held = true;
    }
    request_arena_reset(&t->slices);
    step_done(s);
}

static void batch_add(struct sim *s, struct sim_client *c)
{
    struct sim_turn *t = &s->turn;
    size_t i = t->n++;
    t->at[i] = (struct node_request){.conn = c->number, .req = &t->requests[i]};
    t->from[i] = c;
    if (t->n == SIM_BATCH || t->requests[i].blobs != NULL)
        run_batch(s);
}

/* What was kept comes first, and is kept again if it is not taken. */
static void feed_kept(struct sim *s, struct sim_client *c)
{
    size_t n = c->kept.n;
    struct request *kept = c->kept.at;
    memset(&c->kept, 0, sizeof(c->kept));
    for (size_t i = 0; i < n; i++) {
        if (c->held) {
            *vec_add(&c->kept) = kept[i];
            continue;
        }
        s->turn.requests[s->turn.n] = kept[i];
        batch_add(s, c);
    }
    mem_free(kept);
}

static void feed(struct sim *s, struct sim_client *c)
{
    static const struct request_limits limits = {.bulk_max_bytes = 512 * 1024 * 1024, .args_max = INT32_MAX};
    while (c->open && !c->held && !c->closing) {
        size_t used = 0;
        if (c->kept.n > 0) { /* what went back comes before what is new */
            feed_kept(s, c);
            run_batch(s);
            continue;
        }
        struct slice in = slice_of(c->in.p + c->in_at, c->in.n - c->in_at);
        enum request_read r =
            request_next(&c->parser, &limits, in, &s->turn.slices, &s->turn.requests[s->turn.n], &used);
        check(r != REQUEST_BAD);
        if (r == REQUEST_MORE)
            return;
        c->in_at += used;
        if (r == REQUEST_WHOLE)
            batch_add(s, c);
    }
}

static void feed_all(struct sim *s)
{
    size_t first = rng_below(&s->node_rng, SIM_CONNS);
    for (size_t i = 0; i < SIM_CONNS; i++)
        feed(s, &s->clients[(first + i) % SIM_CONNS]);
    run_batch(s);
    for (size_t i = 0; i < SIM_CONNS; i++) {
        struct sim_client *c = &s->clients[i];
        buf_drop_front(&c->in, c->in_at);
        c->in_at = 0;
    }
}

/* ----------------------------------------------------------------------------- turns */

void sim_node_turn_soon(struct sim *s)
{
    if (s->process != PROCESS_UP || s->turn.releasing)
        return;
    int64_t after = 1 + (int64_t)rng_below(&s->node_rng, TURN_MAX_US);
    if (s->turn.due.place == 0 || s->turn.due.due > s->now.us + after)
        sim_plan(s, &s->turn.due, after);
}

static void turn(struct sim *s)
{
    step_done(s);
    if (mono_reached(s->now, s->turn.wake)) {
        struct node_event ev = {.type = NODE_DUE};
        step(s, &ev);
        sim_load_peek(s, false);
        step_done(s);
    }
    feed_all(s);
    s->turn.releasing = true;
    sim_plan(s, &s->turn.release, 1 + (int64_t)rng_below(&s->node_rng, RELEASE_MAX_US));
}

static bool has_input(const struct sim *s)
{
    for (size_t i = 0; i < SIM_CONNS; i++) {
        const struct sim_client *c = &s->clients[i];
        if (c->open && !c->held && (c->kept.n > 0 || c->in.n > 0))
            return true;
    }
    return s->turn.done.n > 0;
}

static void plan_next_turn(struct sim *s, bool more)
{
    if (more)
        sim_node_turn_soon(s);
    int64_t wait = s->turn.wake.us > s->now.us ? s->turn.wake.us - s->now.us : 1;
    if (s->turn.wake.us != MONO_NEVER.us && (s->turn.due.place == 0 || s->turn.due.due > s->now.us + wait))
        sim_plan(s, &s->turn.due, wait);
}

static void note_flush(struct sim *s)
{
    for (size_t i = 0; i < s->out.flush.n; i++) {
        struct node_flush *f = &s->out.flush.at[i];
        struct sim_client *c = &s->clients[f->conn];
        c->policy = c->upto == 0 || s->policy < c->policy ? s->policy : c->policy;
        c->out = f->chain;
        c->upto = f->upto;
        c->closing = c->closing || f->close;
    }
}

static void release(struct sim *s)
{
    bool arrived = has_input(s);
    struct node_event ev = {.type = NODE_RELEASE};
    s->turn.releasing = false;
    step(s, &ev);
    bool stop = s->out.stop;
    int code = s->out.exit_code;
    note_flush(s);
    for (size_t i = 0; i < SIM_CONNS; i++) {
        struct sim_client *c = &s->clients[i];
        if (!c->open || c->asleep)
            continue;
        sim_load_deliver(s, c);
        if (c->closing && c->upto == 0) {
            sim_node_close(s, c);
            sim_client_gone(s, c);
        }
    }
    if (stop)
        end_process(s, code);
    else
        plan_next_turn(s, arrived || has_input(s));
}

void sim_node_stop(struct sim *s)
{
    struct node_event ev = {.type = NODE_STOP};
    step(s, &ev);
    plan_next_turn(s, true);
}

bool sim_node_due(struct sim *s, struct heap_node *due)
{
    if (due == &s->turn.due) {
        heap_remove(&s->calendar, due);
        turn(s);
        return true;
    }
    if (due == &s->turn.release) {
        heap_remove(&s->calendar, due);
        release(s);
        return true;
    }
    for (size_t i = 0; i < LANES; i++) {
        if (due != &s->disk.lanes[i].due)
            continue;
        struct disk_done done;
        if (sim_disk_due(&s->disk, due, &done))
            *vec_add(&s->turn.done) = done;
        else
            chain_free(&done.rest, NULL);
        sim_node_turn_soon(s);
        return true;
    }
    return false;
}

/* ----------------------------------------------------------------------- connections */

void sim_node_open(struct sim *s, struct sim_client *c)
{
    check(s->process == PROCESS_UP && !c->open);
    struct node_event ev = {.type = NODE_OPENED,
                            .opened = {.conn = c->number, .peer = SLICE("127.0.0.1:50312"),
                                       .local = SLICE("127.0.0.1:6379"), .is_loopback = true, .fd = 9}};
    c->open = true;
    step(s, &ev);
    plan_next_turn(s, false);
}

void sim_node_close(struct sim *s, struct sim_client *c)
{
    check(c->open);
    c->open = false;
    struct node_event ev = {.type = NODE_CLOSED, .closed = c->number};
    step(s, &ev);
}

void sim_node_run_now(struct sim *s, struct sim_client *c)
{
    feed(s, c);
    run_batch(s);
    buf_drop_front(&c->in, c->in_at);
    c->in_at = 0;
    if (!s->turn.releasing)
        plan_next_turn(s, true);
}

/* --------------------------------------------------------------------------- the start */

struct starting {
    struct sim_start start;
    struct sim *sim;
};

static void start_step(struct sim_start *start, struct node_event *ev)
{
    step(CONTAINER_OF(start, struct starting, start)->sim, ev);
}

static void start_say(struct sim_start *start, const char *text)
{
    sim_trace(CONTAINER_OF(start, struct starting, start)->sim, "%s", text);
}

static bool load(struct sim *s)
{
    struct starting t = {.sim = s,
                         .start = {.disk = &s->disk, .rng = &s->node_rng, .out = &s->out, .step = start_step,
                                   .say = start_say, .dies_at = s->start_dies_at,
                                   .says_steps = s->trace_to == NULL || s->start_dies_at > 0}};
    bool good = sim_start_read(&t.start) && sim_start_mend(&t.start);
    sim_start_free(&t.start);
    memcpy(s->last_refusal, t.start.refusal, sizeof(s->last_refusal));
    s->last_cut = t.start.loaded.verdict == AOF_CUT;
    s->last_clean = t.start.loaded.clean;
    if (!good)
        return false;
    if (s->slotted)
        own_begin(s->node, 0, SLOTS - 1, ++s->epoch);
    step_done(s);
    return true;
}

static void node_birth(struct sim *s)
{
    struct node_identity id = {.seed = rng_next(&s->node_rng), .process_id = 1};
    memset(id.run_id, 'a', sizeof(id.run_id) - 1);
    options_init(&s->options);
    s->options.appendfsync = s->policy = s->start_policy;
    s->options.cluster_enabled = s->slotted;
    s->options.auto_aof_rewrite_min_size = 64 * 1024;
    s->turn.wake = MONO_NEVER;
    s->failed = false;
    s->full_seen = s->disk.room != SIZE_MAX;
    s->disk.longest_sync_us = 0;
    s->node = node_new(&id, &s->options, &s->log, &s->node_world, s->now, sim_wall(s));
}

static void node_death(struct sim *s)
{
    for (size_t i = 0; i < s->turn.done.n; i++)
        chain_free(&s->turn.done.at[i].rest, NULL);
    vec_clear(&s->turn.done);
    node_free(s->node);
    s->node = NULL;
    options_free(&s->options);
    heap_remove(&s->calendar, &s->turn.due);
    heap_remove(&s->calendar, &s->turn.release);
    s->turn.releasing = false;
    s->process = PROCESS_DOWN;
}

void sim_node_start(struct sim *s)
{
    check(s->process != PROCESS_UP);
    s->starts_n++;
    s->last_refusal[0] = '\0';
    node_birth(s);
    s->process = PROCESS_UP;
    if (load(s)) {
        sim_trace(s, "node is ready");
        plan_next_turn(s, true);
        return;
    }
    node_death(s);
    if (s->last_refusal[0] != '\0')
        s->process = PROCESS_STUCK;
}

void sim_node_crash(struct sim *s, bool power)
{
    if (s->process == PROCESS_UP) {
        for (size_t i = 0; i < SIM_CONNS; i++) {
            if (!s->clients[i].open)
                continue;
            s->clients[i].open = false;
            sim_client_gone(s, &s->clients[i]);
        }
        node_death(s);
    }
    s->crashes_n++;
    if (power)
        sim_disk_power_cut(&s->disk);
    else
        sim_disk_kill(&s->disk);
}

/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/sim_start.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"

enum { PIECE_MAX_BYTES = 3000 };

__attribute__((format(printf, 2, 3))) static void say(struct sim_start *s, const char *format, ...)
{
    char text[1300];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    s->say(s, text);
}

static const struct log_names names = {.dir = "appendonlydir", .file = "appendonly.aof"};

static bool refuse(struct sim_start *s, const char *why)
{
    snprintf(s->refusal, sizeof(s->refusal), "%s", why);
    say(s, "start refused: %s", why);
    return false;
}

static bool plan_start(struct sim_start *s, struct startup *plan)
{
    VEC(struct startup_file) files = {0};
    char path[DISK_NAME_BYTES];
    for (size_t i = 0; i < s->disk->names.at.n; i++) {
        const struct sim_name *f = &s->disk->names.at.at[i];
        if (strncmp(f->name, "appendonlydir/", 14) == 0)
            *vec_add(&files) = (struct startup_file){slice_str(f->name + 14), s->disk->inodes.at[f->inode].n};
    }
    log_manifest_path(path, &names);
    const struct sim_inode *m = sim_disk_file(s->disk, path);
    struct startup_found found = {.files = files.at, .files_n = files.n, .has_manifest = m != NULL,
                                  .manifest = m != NULL ? slice_of(m->p, m->n) : (struct slice){0}};
    bool good = startup_plan(plan, &names, &found) == ERR_OK;
    vec_free(&files);
    return good || refuse(s, plan->text);
}

static void hide_marks(char *p, size_t n)
{
    for (size_t i = 0; i + 3 < n; i++)
        if ((i == 0 || p[i - 1] == '\n') && memcmp(p + i, "#S ", 3) == 0)
            p[i + 1] = '-';
}

/* In pieces of any size, each at an address of its own, so that a tool sees who reads beyond it. */
static void load_file(struct sim_start *s, const struct startup_read *r, uint64_t total)
{
    const struct sim_inode *f = sim_disk_file(s->disk, r->path);
    const char *slash = strrchr(r->path, '/');
    struct node_event open = {.type = NODE_LOAD_FILE,
                              .load_file = {.name = slash + 1, .is_base = r->is_base, .size = r->size,
                                            .bytes_total = total}};
    s->step(s, &open);
    size_t done = 0, have = 0;
    bool ended = false;
    while (!ended) {
        bool at_end = have == f->n;
        char *piece = mem_get(have - done + 1);
        if (have > done)
            memcpy(piece, f->p + done, have - done);
        if (s->disk->broken == BREAK_MARKS_IGNORED)
            hide_marks(piece, have - done);
        struct node_event ev = {.type = NODE_LOAD_BYTES, .load_bytes = {slice_of(piece, have - done), at_end}};
        s->step(s, &ev);
        mem_free(piece);
        done += s->out->load_used;
        ended = at_end && done == f->n;
        if (s->out->load_used > 0 || at_end)
            continue;
        size_t more = 1 + rng_below(s->rng, PIECE_MAX_BYTES);
        if (s->out->load_want > have - done && s->out->load_want - (have - done) > more)
            more = s->out->load_want - (have - done);
        have += more < f->n - have ? more : f->n - have;
    }
}

static const char *const op_names[] = {"open", "write", "sync", "close", "rename", "sync directory of", "unlink",
                                       "truncate", "space"};

/* Cuts, syncs, the manifest: here and now, unless the start dies on the way. */
static bool mend(struct sim_start *s, struct startup *plan, const struct node_loaded *loaded)
{
    struct steps steps = {0};
    struct disk_ops ops = {0};
    int steps_n = 0;
    bool dead = false;
    struct startup_end end = {.is_cut = loaded->verdict == AOF_CUT, .is_clean = loaded->clean,
                              .cut_file = loaded->bad_file, .cut_offset = loaded->bad_offset};
    startup_finish(plan, &end, &steps);
    for (steps_run(&steps, &ops); ops.n > 0 && !dead; steps_run(&steps, &ops)) {
        struct disk_op op = ops.at[0];
        struct disk_done done;
        ops.n = 0;
        if (s->says_steps)
            say(s, "start: %s %s", op_names[op.type], op.names != NULL ? op.names->name : "");
        bool told = sim_disk_take(s->disk, &op, &done);
        dead = ++steps_n == s->dies_at;
        if (!told && !dead)
            (void)sim_disk_due(s->disk, &s->disk->lanes[op.lane].due, &done);
        if (!dead)
            steps_done(&steps, &done);
    }
    bool good = steps.failed == NULL && !dead;
    if (steps.failed != NULL)
        say(s, "start failed: %s %s", steps.failed, steps.failed_name);
    vec_free(&ops);
    steps_free(&steps);
    return good;
}

bool sim_start_read(struct sim_start *s)
{
    struct startup *plan = &s->plan;
    if (!plan_start(s, plan))
        return false;
    size_t n = plan->reads.n - (s->disk->broken == BREAK_FILE_SKIPPED && plan->reads.n > 1);
    s->is_new = plan->reads.n == 0;
    for (size_t i = 0; i < n; i++)
        load_file(s, &plan->reads.at[i], plan->bytes);
    struct node_event end = {.type = NODE_LOAD_END};
    s->step(s, &end);
    s->loaded = s->out->loaded;
    if (s->loaded.verdict == AOF_REFUSED)
        return refuse(s, s->loaded.text);
    if (s->loaded.frozen_n > 0 && !s->may_lack)
        return refuse(s, "slots lack records");
    if (s->loaded.verdict == AOF_CUT)
        say(s, "start: %s", s->loaded.text);
    return true;
}

bool sim_start_mend(struct sim_start *s)
{
    struct startup *plan = &s->plan;
    if (!mend(s, plan, &s->loaded))
        return false;
    struct node_event ready = {.type = NODE_LOG_READY,
                               .log_ready = {plan->append_handle, plan->append_path, plan->append_size, plan}};
    s->step(s, &ready);
    return true;
}

void sim_start_free(struct sim_start *s)
{
    startup_free(&s->plan);
}

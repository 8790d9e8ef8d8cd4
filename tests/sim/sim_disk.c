/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/sim_disk.h"

#include "base/check.h"

enum { BLOCK_BYTES = 512 }; /* what a disk writes whole or not at all */
enum { EIO_NUMBER = 5, ENOSPC_NUMBER = 28 };

static const char *const break_names[BREAKS] = {
    "none", "sync-lies", "sync-early", "base-sync-lies", "dir-sync-lies", "write-lost", "full-lies",
    "error-hidden", "tail-not-cut", "reply-early", "reply-swapped", "rot-unseen",
    "marks-ignored", "file-skipped", "release-unleased", "run-unleased", "sent-denied", "overtakes",
    "echo-suspect", "down-early", "same-incarnation", "fence-lost", "hands-more",
    "acks-early", "clean-lies", "settle-skipped", "copy-altered",
    "proxy-resends", "replies-stray"};

const char *sim_break_name(enum sim_break b)
{
    return break_names[b];
}

enum sim_break sim_break_of(const char *name)
{
    int b = 0;
    while (b < BREAKS && strcmp(name, break_names[b]) != 0)
        b++;
    return (enum sim_break)b;
}

static bool one_in(struct sim_disk *d, uint64_t n)
{
    return rng_below(&d->rng, n) == 0;
}

/* ---------------------------------------------------------------------- names */

static struct sim_name *dir_find(struct sim_dir *dir, const char *name)
{
    for (size_t i = 0; i < dir->at.n; i++)
        if (strcmp(dir->at.at[i].name, name) == 0)
            return &dir->at.at[i];
    return NULL;
}

static void dir_drop(struct sim_dir *dir, const char *name)
{
    struct sim_name *f = dir_find(dir, name);
    if (f != NULL)
        *f = dir->at.at[--dir->at.n];
}

static void dir_set(struct sim_dir *dir, const char *name, size_t inode)
{
    struct sim_name *f = dir_find(dir, name);
    if (f == NULL) {
        f = vec_add(&dir->at);
        memcpy(f->name, name, strlen(name) + 1);
    }
    f->inode = inode;
}

static void dir_apply(struct sim_dir *dir, const struct sim_dir_change *c)
{
    if (c->from[0] != '\0')
        dir_drop(dir, c->from);
    if (c->gone)
        dir_drop(dir, c->name);
    else
        dir_set(dir, c->name, c->inode);
}

static void dir_copy(struct sim_dir *to, const struct sim_dir *from)
{
    to->at.n = 0;
    for (size_t i = 0; i < from->at.n; i++)
        *vec_add(&to->at) = from->at.at[i];
}

static void change(struct sim_disk *d, const char *name, bool gone, size_t inode, const char *from)
{
    struct sim_dir_change *c = vec_add(&d->changes);
    memset(c, 0, sizeof(*c));
    c->id = ++d->changes_n;
    c->gone = gone;
    c->inode = inode;
    memcpy(c->name, name, strlen(name) + 1);
    memcpy(c->from, from, strlen(from) + 1);
    dir_apply(&d->names, c);
}

static bool same_dir(const char *a, const char *b)
{
    const char *slash_a = strrchr(a, '/'), *slash_b = strrchr(b, '/');
    size_t n_a = slash_a != NULL ? (size_t)(slash_a - a) : 0, n_b = slash_b != NULL ? (size_t)(slash_b - b) : 0;
    return n_a == n_b && memcmp(a, b, n_a) == 0;
}

static void sync_dir(struct sim_disk *d, const char *name, uint64_t upto)
{
    size_t kept = 0;
    for (size_t i = 0; i < d->changes.n; i++) {
        struct sim_dir_change *c = &d->changes.at[i];
        if (c->id <= upto && same_dir(c->name, name))
            dir_apply(&d->lasting, c);
        else
            d->changes.at[kept++] = *c;
    }
    d->changes.n = kept;
}

/* ---------------------------------------------------------------------- bytes */

static void inode_add(struct sim_inode *f, const char *p, size_t n)
{
    if (n == 0)
        return;
    if (f->cap - f->n < n) {
        f->cap = 2 * (f->n + n) + 64;
        f->p = mem_resize(f->p, f->cap);
    }
    memcpy(f->p + f->n, p, n);
    f->n += n;
}

static size_t inode_new(struct sim_disk *d)
{
    *vec_add(&d->inodes) = (struct sim_inode){0};
    return d->inodes.n - 1;
}

static struct sim_inode *of_handle(struct sim_disk *d, uint32_t handle)
{
    check(handle < SIM_HANDLES && d->handles[handle] != 0);
    return &d->inodes.at[d->handles[handle] - 1];
}

/* The first n bytes of the chain are written and taken from it. */
static void write_some(struct sim_inode *f, struct chain *bytes, size_t n)
{
    char *p = mem_get(n + 1);
    chain_copy(bytes, p, n);
    inode_add(f, p, n);
    mem_free(p);
    chain_consume(bytes, n, NULL);
}

/* ----------------------------------------------------------------- operations */

static enum err do_open(struct sim_disk *d, const struct disk_op *op)
{
    check(op->file < SIM_HANDLES && d->handles[op->file] == 0); /* reused after CLOSE only */
    struct sim_name *f = dir_find(&d->names, op->names->name);
    if (f == NULL && d->room == 0)
        return ERR_FULL;
    size_t inode = f != NULL ? f->inode : inode_new(d);
    if (f == NULL)
        change(d, op->names->name, false, inode, "");
    d->inodes.at[inode].broken = false;
    d->handles[op->file] = inode + 1;
    return ERR_OK;
}

static enum err do_write(struct sim_disk *d, struct disk_op *op, struct disk_done *done)
{
    struct sim_inode *f = of_handle(d, op->file);
    size_t n = op->bytes.n;
    d->writes_n++;
    if (f->broken)
        return ERR_IO;
    if (d->fail_write && op->lane == LANE_LOG) {
        d->fail_write = false;
        f->broken = true;
        done->written = rng_below(&d->rng, n + 1);
        write_some(f, &op->bytes, done->written);
        return ERR_IO;
    }
    if (d->broken == BREAK_WRITE_LOST && op->lane == LANE_LOG && one_in(d, 50)) {
        chain_consume(&op->bytes, n, NULL);
        done->written = n;
        return ERR_OK;
    }
    done->written = n < d->room ? n : d->room;
    d->room -= d->room == SIZE_MAX ? 0 : done->written;
    write_some(f, &op->bytes, done->written);
    if (done->written == n)
        return ERR_OK;
    d->full_n++;
    if (d->broken != BREAK_FULL_LIES)
        return ERR_FULL;
    done->written = n;
    chain_consume(&op->bytes, op->bytes.n, NULL);
    return ERR_OK;
}

static enum err do_sync(struct sim_disk *d, const struct disk_op *op, size_t size)
{
    struct sim_inode *f = of_handle(d, op->file);
    d->syncs_n++;
    if (f->broken)
        return ERR_IO;
    if (d->fail_sync && op->lane == LANE_LOG) {
        d->fail_sync = false;
        if (d->broken == BREAK_ERROR_HIDDEN)
            return ERR_OK;
        f->broken = true;
        return ERR_IO;
    }
    bool lies = (d->broken == BREAK_SYNC_LIES && op->lane == LANE_LOG) ||
                (d->broken == BREAK_BASE_SYNC_LIES && op->lane == LANE_BACK);
    if (!lies && f->synced < size)
        f->synced = size;
    return ERR_OK;
}

static enum err do_rename(struct sim_disk *d, const struct disk_op *op)
{
    struct sim_name *f = dir_find(&d->names, op->names->name);
    check(f != NULL);
    size_t inode = f->inode;
    change(d, op->names->to, false, inode, op->names->name);
    return ERR_OK;
}

static enum err do_truncate(struct sim_disk *d, const struct disk_op *op)
{
    struct sim_inode *f = sim_disk_file(d, op->names->name);
    check(f != NULL && op->size <= f->n);
    f->n = f->synced = (size_t)op->size;
    return ERR_OK;
}

static enum err do_unlink(struct sim_disk *d, const struct disk_op *op)
{
    if (dir_find(&d->names, op->names->name) == NULL)
        return ERR_OK;
    change(d, op->names->name, true, 0, "");
    return ERR_OK;
}

static enum err do_read(struct sim_disk *d, struct disk_op *op)
{
    const struct sim_inode *f = sim_disk_file(d, op->names->name);
    if (f == NULL || f->broken)
        return ERR_IO;
    size_t at = op->offset < f->n ? (size_t)op->offset : f->n;
    chain_put(&op->bytes, slice_head(slice_of(f->p + at, f->n - at), (size_t)op->size));
    return ERR_OK;
}

static enum err run(struct sim_disk *d, struct disk_op *op, struct disk_done *done)
{
    struct sim_lane *l = &d->lanes[op->lane];
    switch (op->type) {
    case DISK_OPEN: return do_open(d, op);
    case DISK_WRITE: return do_write(d, op, done);
    case DISK_SYNC: return do_sync(d, op, l->size);
    case DISK_CLOSE:
        d->handles[op->file] = 0; /* nothing to close where its OPEN failed */
        return ERR_OK;
    case DISK_RENAME: return do_rename(d, op);
    case DISK_SYNC_DIR:
        if (d->broken != BREAK_DIR_SYNC_LIES)
            sync_dir(d, op->names->name, l->change_id);
        return ERR_OK;
    case DISK_UNLINK: return do_unlink(d, op);
    case DISK_TRUNCATE: return d->broken == BREAK_TAIL_NOT_CUT ? ERR_OK : do_truncate(d, op);
    case DISK_SPACE: done->written = d->room; return ERR_OK;
    case DISK_READ: return do_read(d, op);
    }
    return ERR_IO;
}

static struct disk_done perform(struct sim_disk *d, struct disk_op *op)
{
    struct disk_done done = {.lane = op->lane, .token = op->token};
    done.err = run(d, op, &done);
    done.system_errno = done.err == ERR_OK ? 0 : done.err == ERR_FULL ? ENOSPC_NUMBER : EIO_NUMBER;
    d->failed_n += done.err == ERR_IO;
    if (op->type == DISK_READ || (op->type == DISK_WRITE && done.err != ERR_OK)) {
        done.rest = op->bytes;
        op->bytes = (struct chain){0};
    }
    chain_free(&op->bytes, NULL);
    mem_free(op->names);
    return done;
}

/* ---------------------------------------------------------------------- lanes */

static int64_t time_of(struct sim_disk *d, const struct disk_op *op)
{
    if (d->fixed_us > 0)
        return d->fixed_us + (op->type == DISK_SYNC ? d->slow_us : 0);
    if (op->type == DISK_SYNC || op->type == DISK_SYNC_DIR)
        return 100 + (int64_t)rng_below(&d->rng, 4000) + d->slow_us;
    return 10 + (int64_t)rng_below(&d->rng, 150);
}

static void lane_begin(struct sim_disk *d, struct sim_lane *l)
{
    if (l->queue.n == 0 || l->due.place != 0)
        return;
    const struct disk_op *op = &l->queue.at[0];
    int64_t us = time_of(d, op);
    l->told = false;
    if (op->type == DISK_SYNC) {
        l->size = of_handle(d, op->file)->n;
        if (us > d->longest_sync_us)
            d->longest_sync_us = us;
    }
    l->change_id = d->changes_n;
    heap_add(d->calendar, &l->due, d->now.us + us);
}

bool sim_disk_take(struct sim_disk *d, struct disk_op *op, struct disk_done *done)
{
    if (op->at_once) {
        check(op->type == DISK_WRITE);
        *done = perform(d, op);
        return true;
    }
    struct sim_lane *l = &d->lanes[op->lane];
    *vec_add(&l->queue) = *op;
    lane_begin(d, l);
    if (d->broken == BREAK_SYNC_EARLY && op->type == DISK_SYNC && op->lane == LANE_LOG && l->queue.n == 1) {
        l->told = true;
        *done = (struct disk_done){.lane = op->lane, .token = op->token};
        return true;
    }
    return false;
}

static struct disk_op lane_take(struct sim_lane *l)
{
    struct disk_op op = l->queue.at[0];
    l->queue.n--;
    memmove(l->queue.at, l->queue.at + 1, l->queue.n * sizeof(op));
    return op;
}

bool sim_disk_due(struct sim_disk *d, struct heap_node *due, struct disk_done *done)
{
    struct sim_lane *l = CONTAINER_OF(due, struct sim_lane, due);
    heap_remove(d->calendar, due);
    struct disk_op op = lane_take(l);
    bool told = l->told;
    d->done_n++;
    *done = perform(d, &op);
    lane_begin(d, l);
    return !told;
}

static void lanes_empty(struct sim_disk *d)
{
    for (size_t i = 0; i < LANES; i++) {
        struct sim_lane *l = &d->lanes[i];
        heap_remove(d->calendar, &l->due);
        for (size_t k = 0; k < l->queue.n; k++) {
            chain_free(&l->queue.at[k].bytes, NULL);
            mem_free(l->queue.at[k].names);
        }
        l->queue.n = 0;
    }
    memset(d->handles, 0, sizeof(d->handles));
}

/* -------------------------------------------------------------------- crashes */

/* What was under way is done, done in part, or not. */
static void half_do(struct sim_disk *d, struct sim_lane *l)
{
    if (l->queue.n == 0 || one_in(d, 3))
        return;
    struct disk_op *op = &l->queue.at[0];
    if (op->type == DISK_WRITE && one_in(d, 2)) {
        struct sim_inode *f = of_handle(d, op->file);
        if (!f->broken && d->room == SIZE_MAX)
            write_some(f, &op->bytes, rng_below(&d->rng, op->bytes.n + 1));
        return;
    }
    struct disk_op whole = lane_take(l);
    struct disk_done done = perform(d, &whole);
    chain_free(&done.rest, NULL);
}

void sim_disk_kill(struct sim_disk *d)
{
    for (size_t i = 0; i < LANES; i++)
        half_do(d, &d->lanes[i]);
    lanes_empty(d);
    for (size_t i = 0; i < d->inodes.n; i++)
        d->inodes.at[i].broken = false;
}

/* Of what was not synced: how much is there, and which of its blocks are what they should be. */
static void tear(struct sim_disk *d, struct sim_inode *f)
{
    if (f->n > f->synced) {
        f->n = f->synced + (one_in(d, 3) ? 0 : rng_below(&d->rng, f->n - f->synced + 1));
        uint64_t kind = rng_below(&d->rng, 4); /* 0, 1: only cut */
        for (size_t at = f->synced; kind >= 2 && at < f->n; at = (at / BLOCK_BYTES + 1) * BLOCK_BYTES) {
            size_t end = (at / BLOCK_BYTES + 1) * BLOCK_BYTES;
            end = end < f->n ? end : f->n;
            bool wrong = one_in(d, 2);
            for (size_t i = at; wrong && i < end; i++)
                f->p[i] = kind == 2 ? '\0' : (char)rng_below(&d->rng, 256);
        }
    }
    f->synced = f->n;
    f->broken = false;
}

static void lose_names(struct sim_disk *d)
{
    uint64_t kind = rng_below(&d->rng, 4); /* none, all, the first few, any */
    size_t few = kind == 0 ? 0 : kind == 2 ? rng_below(&d->rng, d->changes.n + 1) : d->changes.n;
    for (size_t i = 0; i < few; i++)
        if (kind != 3 || one_in(d, 2))
            dir_apply(&d->lasting, &d->changes.at[i]);
    d->changes.n = 0;
    dir_copy(&d->names, &d->lasting);
}

void sim_disk_power_cut(struct sim_disk *d)
{
    for (size_t i = 0; i < LANES; i++)
        half_do(d, &d->lanes[i]);
    lanes_empty(d);
    for (size_t i = 0; i < d->inodes.n; i++)
        tear(d, &d->inodes.at[i]);
    lose_names(d);
}

/* --------------------------------------------------------------- birth, death */

struct sim_inode *sim_disk_file(struct sim_disk *d, const char *name)
{
    struct sim_name *f = dir_find(&d->names, name);
    return f != NULL ? &d->inodes.at[f->inode] : NULL;
}

void sim_disk_init(struct sim_disk *d, uint64_t seed, struct heap *calendar)
{
    *d = (struct sim_disk){.room = SIZE_MAX, .calendar = calendar};
    rng_seed(&d->rng, seed);
}

void sim_disk_free(struct sim_disk *d)
{
    lanes_empty(d);
    for (size_t i = 0; i < d->inodes.n; i++)
        mem_free(d->inodes.at[i].p);
    vec_free(&d->inodes);
    vec_free(&d->names.at);
    vec_free(&d->lasting.at);
    vec_free(&d->changes);
    for (size_t i = 0; i < LANES; i++)
        vec_free(&d->lanes[i].queue);
}

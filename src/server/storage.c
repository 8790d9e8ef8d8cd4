/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "server/storage.h"

#include <errno.h>

#include "base/check.h"
#include "base/mem.h"
#include "io/clock.h"
#include "io/file.h"

struct storage_job {
    struct job job;
    struct storage *storage;
    struct disk_op op;
    struct disk_done done;
};

static enum err open_file(struct storage *s, const struct disk_op *op)
{
    check(s->fds[op->file] < 0); /* a handle is reused after its CLOSE only */
    TRY(file_make_dir_of(op->names->name));
    return file_open_append(op->names->name, &s->fds[op->file]);
}

static enum err close_file(struct storage *s, const struct disk_op *op)
{
    int fd = s->fds[op->file];
    s->fds[op->file] = -1;
    return fd < 0 ? ERR_OK : file_close(fd); /* its OPEN failed: nothing to close */
}

static enum err run(struct storage *s, struct disk_op *op, struct disk_done *done)
{
    check(op->file < STORAGE_FILES);
    int fd = s->fds[op->file];
    errno = EBADF;
    switch (op->type) {
    case DISK_OPEN: return open_file(s, op);
    case DISK_WRITE: return fd < 0 ? ERR_IO : file_write(fd, &op->bytes, &done->written);
    case DISK_SYNC: return fd < 0 ? ERR_IO : file_sync(fd);
    case DISK_CLOSE: return close_file(s, op);
    case DISK_RENAME: return file_rename(op->names->name, op->names->to);
    case DISK_SYNC_DIR: return file_sync_dir_of(op->names->name);
    case DISK_UNLINK: return file_unlink(op->names->name);
    case DISK_TRUNCATE: return file_truncate(op->names->name, op->size);
    case DISK_SPACE: return file_space(op->names->name, &done->written);
    case DISK_READ: return file_read_at(op->names->name, op->offset, op->size, &op->bytes);
    }
    return ERR_IO;
}

/* On whichever thread the operation belongs to. */
static void perform(struct storage *s, struct disk_op *op, struct disk_done *done)
{
    *done = (struct disk_done){.lane = op->lane, .token = op->token};
    uint64_t began = clock_stopwatch_ns();
    done->err = run(s, op, done);
    done->system_errno = done->err == ERR_OK ? 0 : errno;
    done->ns = clock_stopwatch_ns() - began;
}

/* On the asker's thread: what the operation held is given back. */
static void settle(struct storage *s, struct disk_op *op, struct disk_done *done)
{
    if (op->type == DISK_WRITE && done->err != ERR_OK) {
        chain_consume(&op->bytes, done->written, s->graves);
        done->rest = op->bytes;
        op->bytes = (struct chain){0};
    } else if (op->type == DISK_READ) {
        done->rest = op->bytes;
        op->bytes = (struct chain){0};
    }
    chain_free(&op->bytes, s->graves);
    mem_free(op->names);
}

static void job_run(struct job *j)
{
    struct storage_job *job = CONTAINER_OF(j, struct storage_job, job);
    perform(job->storage, &job->op, &job->done);
}

/* In the order of asking: nobody overtakes one that waits for room. */
static void give_waiting(struct storage_lane *l)
{
    while (!list_empty(&l->waiting)) {
        struct list *first = l->waiting.next;
        list_drop(first);
        if (!lane_give(&l->lane, CONTAINER_OF(first, struct job, in))) {
            /* back to the front: behind the head, before the first */
            list_push(l->waiting.next, first);
            return;
        }
        l->waiting_n--;
    }
}

bool storage_perform(struct storage *s, struct disk_op *op, struct disk_done *done)
{
    if (op->at_once) {
        perform(s, op, done);
        settle(s, op, done);
        return true;
    }
    struct storage_lane *l = &s->lanes[op->lane];
    struct storage_job *job = mem_get(sizeof(*job));
    *job = (struct storage_job){.job = {.run = job_run}, .storage = s, .op = *op};
    list_init(&job->job.in);
    list_push(&l->waiting, &job->job.in);
    l->waiting_n++;
    give_waiting(l);
    return false;
}

bool storage_next_done(struct storage *s, struct disk_done *done)
{
    for (size_t i = 0; i < LANES; i++) {
        struct job *j = lane_take(&s->lanes[i].lane);
        if (j == NULL)
            continue;
        struct storage_job *job = CONTAINER_OF(j, struct storage_job, job);
        *done = job->done;
        settle(s, &job->op, done);
        mem_free(job);
        give_waiting(&s->lanes[i]);
        return true;
    }
    return false;
}

bool storage_is_behind(const struct storage *s)
{
    for (size_t i = 0; i < LANES; i++)
        if (s->lanes[i].waiting_n > 0)
            return true;
    return false;
}

void storage_init(struct storage *s, struct graves *graves)
{
    *s = (struct storage){.graves = graves};
    for (size_t i = 0; i < STORAGE_FILES; i++)
        s->fds[i] = -1;
}

enum err storage_start(struct storage *s, const char *const names[LANES], struct loop *loop,
                       struct graves *graves)
{
    storage_init(s, graves);
    for (size_t i = 0; i < LANES; i++) {
        list_init(&s->lanes[i].waiting);
        TRY(lane_start(&s->lanes[i].lane, names[i], STORAGE_LANE_JOBS, loop));
    }
    return ERR_OK;
}

static void drop_answers(struct storage *s)
{
    struct disk_done done;
    while (storage_next_done(s, &done))
        chain_free(&done.rest, s->graves);
}

void storage_stop(struct storage *s)
{
    for (size_t i = 0; i < LANES; i++)
        lane_stop(&s->lanes[i].lane);
    drop_answers(s);
    for (size_t i = 0; i < STORAGE_FILES; i++)
        if (s->fds[i] >= 0 && file_close(s->fds[i]) == ERR_OK)
            s->fds[i] = -1;
}

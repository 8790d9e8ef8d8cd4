/* SPDX-License-Identifier: BSD-3-Clause */
#include "persist/steps.h"

#include "base/check.h"

static const char *const verbs[] = {
    [DISK_OPEN] = "open",     [DISK_WRITE] = "write",
    [DISK_SYNC] = "fsync",    [DISK_CLOSE] = "close",
    [DISK_RENAME] = "rename", [DISK_SYNC_DIR] = "fsync of the directory",
    [DISK_UNLINK] = "unlink", [DISK_TRUNCATE] = "truncate",
    [DISK_SPACE] = "statvfs", [DISK_READ] = "read",
};

static void copy_name(char to[DISK_NAME_BYTES], const char *name)
{
    size_t n = strlen(name);
    check(n < DISK_NAME_BYTES);
    memcpy(to, name, n + 1);
}

static enum disk_asker asker_of(const struct steps *s)
{
    return s->asker == 0 ? ASKER_STEPS : s->asker;
}

static struct disk_op *step(struct steps *s, enum disk_op_type type, uint32_t file,
                            const char *name)
{
    check(file < 64);
    struct disk_op *op = vec_add(&s->queue);
    *op = (struct disk_op){
        .type = type, .lane = s->asker == ASKER_RAFT ? LANE_LOG : LANE_BACK, .file = file};
    if (name != NULL) {
        op->names = mem_zero(sizeof(*op->names));
        copy_name(op->names->name, name);
    }
    return op;
}

void step_open(struct steps *s, uint32_t file, const char *name)
{
    if (s->failed == NULL)
        step(s, DISK_OPEN, file, name);
}

void step_write(struct steps *s, uint32_t file, struct chain *bytes)
{
    if (s->failed == NULL) {
        step(s, DISK_WRITE, file, NULL)->bytes = *bytes;
        *bytes = (struct chain){0};
    }
    chain_free(bytes, NULL);
}

void step_sync(struct steps *s, uint32_t file)
{
    if (s->failed == NULL)
        step(s, DISK_SYNC, file, NULL);
}

void step_close(struct steps *s, uint32_t file)
{
    step(s, DISK_CLOSE, file, NULL);
}

void step_rename(struct steps *s, const char *from, const char *to)
{
    if (s->failed == NULL)
        copy_name(step(s, DISK_RENAME, 0, from)->names->to, to);
}

void step_sync_dir(struct steps *s, const char *name)
{
    if (s->failed == NULL)
        step(s, DISK_SYNC_DIR, 0, name);
}

void step_unlink(struct steps *s, const char *name)
{
    if (s->failed == NULL)
        step(s, DISK_UNLINK, 0, name);
}

void step_truncate(struct steps *s, const char *name, uint64_t size)
{
    if (s->failed == NULL)
        step(s, DISK_TRUNCATE, 0, name)->size = size;
}

void step_space(struct steps *s, const char *name)
{
    if (s->failed == NULL)
        step(s, DISK_SPACE, 0, name);
}

/* ---------------------------------------------------------------------- */

static struct disk_op *under_way(struct steps *s)
{
    return &s->queue.at[s->next];
}

void steps_run(struct steps *s, struct disk_ops *out)
{
    if (s->under_way || s->next == s->queue.n)
        return;
    struct disk_op *op = under_way(s);
    op->token = (uint64_t)asker_of(s) << 56 | ++s->tokens;
    if (op->names != NULL)
        copy_name(s->doing, op->names->name);
    *vec_add(out) = *op; /* with bytes and names: they are the performer's now */
    op->size = op->bytes.n;
    op->bytes = (struct chain){0};
    op->names = NULL;
    s->under_way = true;
}

void steps_drop(struct steps *s)
{
    size_t kept = s->next + s->under_way;
    uint64_t open = s->open;
    if (s->under_way && under_way(s)->type == DISK_OPEN)
        open |= (uint64_t)1 << under_way(s)->file;
    for (size_t i = kept; i < s->queue.n; i++) {
        struct disk_op *op = &s->queue.at[i];
        if (op->type == DISK_CLOSE && (open >> op->file & 1) != 0) {
            s->queue.at[kept++] = *op;
            continue;
        }
        chain_free(&op->bytes, NULL);
        mem_free(op->names);
    }
    s->queue.n = kept;
}

void steps_done(struct steps *s, struct disk_done *done)
{
    check(s->under_way && disk_asker(done->token) == asker_of(s));
    enum disk_op_type type = under_way(s)->type;
    uint64_t handle = (uint64_t)1 << under_way(s)->file;
    if (type == DISK_OPEN && done->err == ERR_OK)
        s->open |= handle;
    if (type == DISK_CLOSE)
        s->open &= ~handle;
    s->under_way = false;
    s->next++;
    if (type == DISK_SPACE)
        s->space =
            done->err == ERR_OK ? done->written : UINT64_MAX; /* not knowing it stops nothing */
    chain_free(&done->rest, NULL);
    if (done->err != ERR_OK && type != DISK_CLOSE && type != DISK_SPACE && s->failed == NULL) {
        s->system_errno = done->system_errno;
        s->failed = verbs[type];
        copy_name(s->failed_name, s->doing);
        steps_drop(s);
    }
    if (s->next == s->queue.n)
        s->next = s->queue.n = 0;
}

bool steps_idle(const struct steps *s)
{
    return !s->under_way && s->next == s->queue.n;
}

size_t steps_bytes(const struct steps *s)
{
    size_t n = 0;
    for (size_t i = s->next; i < s->queue.n; i++)
        n += i == s->next && s->under_way ? s->queue.at[i].size : s->queue.at[i].bytes.n;
    return n;
}

void steps_forgive(struct steps *s)
{
    s->failed = NULL;
}

void steps_free(struct steps *s)
{
    for (size_t i = s->next; i < s->queue.n; i++) {
        chain_free(&s->queue.at[i].bytes, NULL);
        mem_free(s->queue.at[i].names);
    }
    vec_free(&s->queue);
}

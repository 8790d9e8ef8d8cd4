/* SPDX-License-Identifier: BSD-3-Clause */
#include "persist/startup.h"

#include <stdarg.h>
#include <stdio.h>

#include "persist/record.h"

__attribute__((format(printf, 2, 3))) static enum err refuse(struct startup *s, const char *format,
                                                             ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(s->text, sizeof(s->text), format, args);
    va_end(args);
    return ERR_CORRUPT;
}

static const struct startup_file *found_file(const struct startup_found *found, const char *name)
{
    for (size_t i = 0; i < found->files_n; i++)
        if (slice_equal(found->files[i].name, slice_str(name)))
            return &found->files[i];
    return NULL;
}

/* No manifest: a first start, unless something is lost. */
static enum err plan_fresh(struct startup *s, const struct startup_found *found)
{
    const char *file = s->names.file, *dir = s->names.dir;
    for (size_t i = 0; i < found->files_n; i++) {
        struct slice name = found->files[i].name;
        if (found->files[i].size > 0 && log_is_our_name(&s->names, name) &&
            memcmp(name.p, "temp-", 5) != 0)
            return refuse(
                s,
                "%s/ holds %.*s, but %s.manifest is missing: restore it from a backup, or move the "
                "directory away to start with an empty keyspace",
                dir, (int)name.n, name.p, file);
    }
    if (found->has_old_file)
        return refuse(s,
                      "%s is the log of a Redis before 7, which had no %s/. If it has no RDB "
                      "preamble: `mkdir %s; mv %s %s/%s.1.base.aof; echo 'file %s.1.base.aof seq 1 "
                      "type b' >%s/%s.manifest`, and start again",
                      file, dir, dir, file, dir, file, file, dir, file);
    return ERR_OK;
}

static enum err plan_read(struct startup *s, const struct startup_found *found,
                          const struct manifest_file *f)
{
    const struct startup_file *there = found_file(found, f->name);
    if (there == NULL)
        return refuse(s, "%s/%s.manifest names %s, which is missing: restore it from a backup",
                      s->names.dir, s->names.file, f->name);
    if (f->type == 'b' && s->manifest.base_is_sized && there->size != s->manifest.base_bytes)
        return refuse(
            s,
            "%s/%s has %llu bytes, but was written with %llu: restore it from a backup, or let "
            "`vong-check-aof --fix` keep what is whole",
            s->names.dir, f->name, (unsigned long long)there->size,
            (unsigned long long)s->manifest.base_bytes);
    struct startup_read *read = vec_add(&s->reads);
    *read = (struct startup_read){.is_base = f->type == 'b', .size = there->size};
    log_path(read->path, &s->names, f->name);
    s->bytes += there->size;
    return ERR_OK;
}

static enum err plan_manifest(struct startup *s, const struct startup_found *found)
{
    char why[128];
    if (manifest_get(&s->manifest, found->manifest, why, sizeof(why)) != ERR_OK)
        return refuse(s, "%s/%s.manifest is damaged, %s: restore it from a backup", s->names.dir,
                      s->names.file, why);
    for (size_t i = s->manifest.files.n; i-- > 0;) {
        if (s->manifest.files.at[i].type == 'h') { /* a rewrite's last step was not reached */
            *vec_add(&s->stray) = s->manifest.files.at[i];
            manifest_drop(&s->manifest, i);
            s->changed = true;
        }
    }
    const struct manifest_file *base = manifest_base(&s->manifest);
    if (base != NULL)
        TRY(plan_read(s, found, base));
    for (size_t i = 0; i < s->manifest.files.n; i++)
        if (s->manifest.files.at[i].type == 'i')
            TRY(plan_read(s, found, &s->manifest.files.at[i]));
    return ERR_OK;
}

static void note_strays(struct startup *s, const struct startup_found *found)
{
    for (size_t i = 0; i < found->files_n; i++) {
        struct slice name = found->files[i].name;
        if (name.n >= MANIFEST_NAME_BYTES || !log_is_our_name(&s->names, name) ||
            manifest_has(&s->manifest, name))
            continue;
        struct manifest_file *f = vec_add(&s->stray);
        *f = (struct manifest_file){.type = 'h'};
        memcpy(f->name, name.p, name.n);
    }
}

enum err startup_plan(struct startup *s, const struct log_names *names,
                      const struct startup_found *found)
{
    *s = (struct startup){.names = *names};
    if (strlen(names->dir) >= LOG_DIR_BYTES || strlen(names->file) >= LOG_FILE_BYTES)
        return refuse(s, "appenddirname must be shorter than %d bytes, appendfilename than %d",
                      LOG_DIR_BYTES, LOG_FILE_BYTES);
    TRY(found->has_manifest ? plan_manifest(s, found) : plan_fresh(s, found));
    note_strays(s, found);
    return ERR_OK;
}

static size_t write_durable(struct steps *steps, uint32_t handle, uint64_t size)
{
    struct chain line = {0};
    note_put_durable(&line, size);
    size_t n = line.n;
    step_write(steps, handle, &line);
    return n;
}

/* The increment that records go on in: the last one, or a first one. Its predecessors must be
 * durable before it says that it is (J3). */
static void finish_increments(struct startup *s, const struct startup_end *end, struct steps *steps)
{
    size_t cut_file = end->is_cut ? end->cut_file : SIZE_MAX;
    uint64_t last = manifest_last_seq(&s->manifest, 'i');
    size_t n = s->reads.n;
    for (size_t i = 0; i < n; i++) {
        uint64_t size = i < cut_file ? s->reads.at[i].size : i == cut_file ? end->cut_offset : 0;
        const char *path = s->reads.at[i].path;
        if (size < s->reads.at[i].size)
            step_truncate(steps, path, size);
        bool goes_on = last != 0 && i == n - 1;
        uint32_t handle = goes_on ? increment_handle(last) : HANDLE_ASIDE;
        step_open(steps, handle, path);
        if (goes_on && end->is_clean) {
            step_sync(steps, handle); /* J2 */
            size += write_durable(steps, handle, size);
        }
        step_sync(steps, handle);
        if (!goes_on) {
            step_close(steps, handle);
            continue;
        }
        s->append_size = size;
        memcpy(s->append_path, path, DISK_NAME_BYTES);
        s->append_handle = handle;
    }
    if (last != 0)
        return;
    const struct manifest_file *base = manifest_base(&s->manifest);
    uint64_t seq = base != NULL ? base->seq + 1 : 1;
    manifest_add_increment(&s->manifest, &s->names, seq);
    s->changed = true;
    s->append_handle = increment_handle(seq);
    log_increment_path(s->append_path, &s->names, seq);
    step_unlink(steps, s->append_path);
    step_open(steps, s->append_handle, s->append_path);
    /* A first line that lasts: whatever a power cut leaves behind it is then known for a torn tail
     * of ours and not for a file of somebody else's. */
    s->append_size = write_durable(steps, s->append_handle, 0);
    step_sync(steps, s->append_handle);
}

void startup_finish(struct startup *s, const struct startup_end *end, struct steps *steps)
{
    finish_increments(s, end, steps);
    if (s->changed) {
        const struct manifest_file *base = manifest_base(&s->manifest);
        if (base != NULL && !s->manifest.base_is_sized) {
            s->manifest.base_bytes = s->reads.at[0].size;
            s->manifest.base_is_sized = true;
        }
        manifest_steps(&s->manifest, &s->names, steps, HANDLE_ASIDE);
    } else {
        /* What was read may be a rename that a kill overtook: what follows relies on it. */
        char path[DISK_NAME_BYTES];
        log_manifest_path(path, &s->names);
        step_sync_dir(steps, path);
    }
    for (size_t i = 0; i < s->stray.n; i++) {
        char path[DISK_NAME_BYTES];
        log_path(path, &s->names, s->stray.at[i].name);
        if (strcmp(path, s->append_path) != 0)
            step_unlink(steps, path);
    }
}

void startup_free(struct startup *s)
{
    manifest_free(&s->manifest);
    vec_free(&s->reads);
    vec_free(&s->stray);
}

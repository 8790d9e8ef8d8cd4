/* SPDX-License-Identifier: BSD-3-Clause */

/* The start: the log is read and handed to the node, clients meanwhile get -LOADING.
 *
 * What lies in the directory, what of it is to be read and how it is made writable is planned by
 * persist/startup; what the bytes mean is the node's. Here they are only read, in big pieces, with
 * a turn for the clients, and for what the control plane says, every few milliseconds. */
#define _GNU_SOURCE
#include "server/server.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "io/clock.h"
#include "io/file.h"
#include "io/notify.h"
#include "persist/startup.h"

enum { LOAD_PIECE_BYTES = 1024 * 1024 };
enum { LOAD_TURN_US = 4000 };            /* a client that asks for INFO waits no longer */
enum { LOAD_TOLD_US = 2 * 1000 * 1000 }; /* a line in the log */

struct loading {
    struct server *server;
    struct startup plan;
    char *why;
    size_t why_n;
    char *piece; /* unread: piece[at] to piece[n] */
    size_t at, n, cap;
    uint64_t read, total;
    struct mono begun, turned, told;
};

static bool refuse(struct loading *l, const char *doing, const char *name)
{
    snprintf(l->why, l->why_n, "cannot %s %s: %s", doing, name, strerror(errno));
    return false;
}

static bool stopped(struct loading *l)
{
    snprintf(l->why, l->why_n, "stopped while the log was loaded");
    return false;
}

/* ---------------------------------------------------------------------- the plan */

static bool plan(struct loading *l, const struct file_list *list, struct slice manifest,
                 bool has_manifest)
{
    const struct options *o = l->server->options;
    struct log_names names = {.dir = o->appenddirname, .file = o->appendfilename};
    VEC(struct startup_file) files = {0};
    for (size_t i = 0; i < list->files.n; i++)
        *vec_add(&files) =
            (struct startup_file){slice_str(list->files.at[i].name), list->files.at[i].size};
    struct startup_found found = {.files = files.at,
                                  .files_n = files.n,
                                  .has_manifest = has_manifest,
                                  .manifest = manifest,
                                  .has_old_file = access(o->appendfilename, F_OK) == 0};
    bool good = startup_plan(&l->plan, &names, &found) == ERR_OK;
    l->server->new_data |= !has_manifest;
    if (!good)
        snprintf(l->why, l->why_n, "%s", l->plan.text);
    else if (!has_manifest && o->dbfilename[0] != '\0' && access(o->dbfilename, F_OK) == 0)
        log_say(&l->server->log.log, LOG_LEVEL_WARNING,
                "%s is a snapshot of Redis, which is not read: this start begins with no keys. To "
                "bring them over, let Redis write its log: CONFIG SET aof-use-rdb-preamble no, "
                "CONFIG SET appendonly yes; then copy its %s here",
                o->dbfilename, o->appenddirname);
    vec_free(&files);
    return good;
}

static bool look(struct loading *l)
{
    const struct options *o = l->server->options;
    struct log_names names = {.dir = o->appenddirname, .file = o->appendfilename};
    struct file_list list;
    char path[DISK_NAME_BYTES], *manifest = NULL;
    size_t n = 0;
    enum err err = file_list_dir(o->appenddirname, &list);
    if (err != ERR_OK && err != ERR_NOT_FOUND)
        return refuse(l, "read directory", o->appenddirname);
    log_manifest_path(path, &names);
    err = file_load(path, &manifest, &n);
    bool good = err == ERR_OK || err == ERR_NOT_FOUND
                    ? plan(l, &list, slice_of(manifest, n), err == ERR_OK)
                    : refuse(l, "read", path);
    mem_free(manifest);
    file_list_free(&list);
    return good;
}

/* -------------------------------------------------------------------- the reading */

static void tell_progress(struct loading *l)
{
    struct server *s = l->server;
    l->told = s->now;
    log_say(&s->log.log, LOG_LEVEL_NOTICE, "Loading the log: %llu of %llu MB (%d%%)",
            (unsigned long long)(l->read >> 20), (unsigned long long)(l->total >> 20),
            l->total > 0 ? (int)(l->read * 100 / l->total) : 100);
}

/* False: asked to stop. */
static bool serve_meanwhile(struct loading *l)
{
    struct server *s = l->server;
    server_look_at_clock(s);
    if (s->now.us - l->turned.us < LOAD_TURN_US)
        return true;
    server_turn(s);
    l->turned = s->now;
    if (s->now.us - l->told.us > LOAD_TOLD_US)
        tell_progress(l);
    return !s->stop;
}

/* More of the file behind what is unread; at least want bytes in all, if the file has them. That
 * may be a great value: clients and the control plane are not to wait for all of it (replication
 * 15). */
static bool fill(struct loading *l, int fd, const char *path, size_t want, bool *at_end)
{
    size_t left = l->n - l->at, got;
    if (left > 0)
        memmove(l->piece, l->piece + l->at, left);
    l->at = 0;
    l->n = left;
    size_t cap = (want > left ? want : left) + LOAD_PIECE_BYTES;
    if (cap > l->cap) {
        l->piece = mem_resize(l->piece, cap);
        l->cap = cap;
    }
    while (l->n < l->cap && !*at_end) {
        size_t part = l->cap - l->n < LOAD_PIECE_BYTES ? l->cap - l->n : LOAD_PIECE_BYTES;
        if (file_read(fd, l->piece + l->n, part, &got) != ERR_OK)
            return refuse(l, "read", path);
        *at_end = got < part;
        l->n += got;
        l->read += got;
        control_thread_progress(&l->server->control);
        if (!serve_meanwhile(l))
            return stopped(l);
    }
    return true;
}

/* key-load-delay, of so many commands; it may be changed meanwhile. */
static int64_t delay_us(const struct loading *l, size_t commands)
{
    int64_t delay = l->server->options->key_load_delay;
    return delay >= 0 ? delay * (int64_t)commands : (int64_t)commands / -delay;
}

static bool slow_down(struct loading *l, size_t commands)
{
    for (int64_t slept = 0; slept < delay_us(l, commands); slept += LOAD_TURN_US) {
        int64_t left = delay_us(l, commands) - slept;
        clock_sleep_us(left < LOAD_TURN_US ? left : LOAD_TURN_US);
        if (!serve_meanwhile(l))
            return stopped(l);
    }
    return true;
}

static bool feed(struct loading *l, int fd, const char *path)
{
    struct server *s = l->server;
    bool at_end = false;
    size_t want = 0;
    l->at = l->n = 0;
    for (;;) {
        if (want > 0 || l->at == l->n) {
            if (at_end && l->at == l->n)
                return true;
            if (!at_end && !fill(l, fd, path, want, &at_end))
                return false;
        }
        server_step(s, &(struct node_event){
                           .type = NODE_LOAD_BYTES,
                           .load_bytes = {slice_of(l->piece + l->at, l->n - l->at), at_end}});
        l->at += s->out.load_used;
        want = s->out.load_used > 0 ? 0 : s->out.load_want;
        if (want > 0 && at_end && l->at < l->n && want > l->n - l->at)
            return refuse(l, "make sense of the end of", path);
        if (!slow_down(l, s->out.load_commands))
            return false;
        if (!serve_meanwhile(l))
            return stopped(l);
    }
}

static bool read_file(struct loading *l, const struct startup_read *r)
{
    struct server *s = l->server;
    int fd;
    uint64_t size;
    if (file_open_read(r->path, &fd, &size) != ERR_OK)
        return refuse(l, "open", r->path);
    const char *slash = strrchr(r->path, '/');
    server_step(s, &(struct node_event){.type = NODE_LOAD_FILE,
                                        .load_file = {.name = slash != NULL ? slash + 1 : r->path,
                                                      .is_base = r->is_base,
                                                      .size = r->size,
                                                      .bytes_total = l->total}});
    bool good = feed(l, fd, r->path);
    close(fd);
    return good;
}

/* --------------------------------------------------------------------- the mending */

/* Cuts, syncs, the manifest, the increment to go on in: one after the other, here and now. */
static bool mend(struct loading *l, const struct node_loaded *loaded)
{
    struct server *s = l->server;
    struct steps steps = {0};
    struct disk_ops ops = {0};
    struct startup_end end = {.is_cut = loaded->verdict == AOF_CUT,
                              .is_clean = loaded->clean,
                              .cut_file = loaded->bad_file,
                              .cut_offset = loaded->bad_offset};
    startup_finish(&l->plan, &end, &steps);
    for (steps_run(&steps, &ops); ops.n > 0; steps_run(&steps, &ops)) {
        struct disk_op op = ops.at[0];
        struct disk_done done;
        op.at_once = true;
        ops.n = 0;
        if (storage_perform(&s->storage, &op, &done))
            steps_done(&steps, &done);
    }
    bool good = steps.failed == NULL;
    if (!good)
        snprintf(l->why, l->why_n, "cannot %s %s: %s", steps.failed, steps.failed_name,
                 strerror(steps.system_errno));
    vec_free(&ops);
    steps_free(&steps);
    return good;
}

static bool judge(struct loading *l)
{
    struct server *s = l->server;
    server_step(s, &(struct node_event){.type = NODE_LOAD_END});
    struct node_loaded loaded = s->out.loaded;
    if (loaded.verdict == AOF_REFUSED) {
        snprintf(l->why, l->why_n, "%s", loaded.text);
        return false;
    }
    s->new_data |= loaded.lost;
    if (loaded.verdict == AOF_CUT)
        log_say(&s->log.log, LOG_LEVEL_WARNING, "%s", loaded.text);
    s->loading = false; /* turns may wait */
    if (!cluster_settle(s))
        return stopped(l);
    if (!mend(l, &loaded))
        return false;
    if (l->total > 0)
        log_say(&s->log.log, LOG_LEVEL_NOTICE,
                "Loaded %llu commands from %llu MB of log in %.3f seconds",
                (unsigned long long)loaded.commands_n, (unsigned long long)(l->total >> 20),
                (double)(clock_mono().us - l->begun.us) / 1e6);
    server_step(s, &(struct node_event){.type = NODE_LOG_READY,
                                        .log_ready = {.handle = l->plan.append_handle,
                                                      .name = l->plan.append_path,
                                                      .size = l->plan.append_size,
                                                      .startup = &l->plan}});
    return true;
}

/* appendonly no: what lies there is not read, but known, should a rewrite or a backup want a
 * name. */
static void know(struct loading *l)
{
    struct server *s = l->server;
    if (!s->has_directory)
        snprintf(l->why, l->why_n, "directory %s is in use by another vong-server, or not writable",
                 s->options->dir);
    if (s->has_directory && look(l))
        server_step(
            s, &(struct node_event){.type = NODE_LOG_READY, .log_ready = {.startup = &l->plan}});
    else
        log_say(&s->log.log, LOG_LEVEL_WARNING,
                "appendonly no, and no rewrite or backup can be made: %s", l->why);
    startup_free(&l->plan);
}

bool server_load(struct server *s, char *why, size_t why_n)
{
    struct loading l = {.server = s, .why = why, .why_n = why_n};
    if (!s->options->appendonly) {
        s->new_data = true;
        if (!cluster_settle(s))
            return stopped(&l);
        know(&l);
        return true;
    }
    bool good = look(&l);
    l.total = l.plan.bytes;
    l.begun = l.told = l.turned = s->now;
    s->loading = true;
    for (size_t i = 0; i < l.plan.reads.n && good; i++)
        good = read_file(&l, &l.plan.reads.at[i]);
    good = good && judge(&l);
    s->loading = false;
    mem_free(l.piece);
    startup_free(&l.plan);
    return good;
}

/* SPDX-License-Identifier: BSD-3-Clause */
#include "node/rewrite.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "persist/record.h"

/* A turn's share of the walk: well under 1 ms. */
enum { STEP_ENTRIES = 256, STEP_BYTES = 64 * 1024 };
enum { STEP_SLOTS = 2048 };       /* ... of what is told of slots before it */
enum { PIECE_BYTES = 64 * 1024 }; /* of commands under one crc */
enum { WRITE_BYTES = 256 * 1024 };
enum { SYNC_BYTES = 32 * 1024 * 1024 }; /* so that no SYNC has much to do */
/* Unwritten: the walk, the writers wait. */
enum { PAUSE_BYTES = 4 * 1024 * 1024, FULL_BYTES = 16 * 1024 * 1024 };
enum { RETRY_US = 1000 * 1000, AUTO_RETRY_US = 60 * 1000 * 1000, AUTO_RETRY_DOUBLINGS = 6 };
enum { SPACE_US = 1000 * 1000 };

void rewrite_init(struct rewrite *rw, struct store *store, struct journal *journal, struct log *log,
                  struct wall now)
{
    *rw = (struct rewrite){.store = store,
                           .journal = journal,
                           .log = log,
                           .space = UINT64_MAX,
                           .steps = {.space = UINT64_MAX}};
    rw->past[REWRITE_LOG] = (struct rewrite_past){.ok = true, .seconds = -1};
    rw->past[REWRITE_BACKUP] = (struct rewrite_past){.ok = true, .seconds = -1, .success = now};
}

static void slots_forget(struct rewrite *rw)
{
    vec_free(&rw->starts);
    mem_free(rw->then);
    rw->then = NULL;
}

void rewrite_free(struct rewrite *rw)
{
    steps_free(&rw->steps);
    manifest_free(&rw->manifest);
    manifest_free(&rw->next);
    vec_free(&rw->old);
    effects_free(&rw->entries);
    chain_free(&rw->pieces, NULL);
    slots_forget(rw);
}

void rewrite_found(struct rewrite *rw, const struct startup *s)
{
    rw->is_found = true;
    size_t dir_n = strlen(s->names.dir), file_n = strlen(s->names.file);
    /* startup_plan refuses longer ones */
    check(dir_n < sizeof(rw->dir) && file_n < sizeof(rw->file));
    memcpy(rw->dir, s->names.dir, dir_n + 1);
    memcpy(rw->file, s->names.file, file_n + 1);
    rw->names = (struct log_names){rw->dir, rw->file};
    manifest_copy(&rw->manifest, &s->manifest);
    rw->base_seq = manifest_last_seq(&s->manifest, 'b');
    rw->increment_seq = manifest_last_seq(&s->manifest, 'i');
    rw->base_bytes = rw->older_bytes = 0;
    for (size_t i = 0; i < s->reads.n; i++) {
        if (s->reads.at[i].is_base)
            rw->base_bytes = s->reads.at[i].size;
        else if (i + 1 < s->reads.n)
            rw->older_bytes += s->reads.at[i].size;
    }
}

uint64_t rewrite_log_bytes(const struct rewrite *rw)
{
    return rw->base_bytes + rw->older_bytes + (rw->journal->file.open ? rw->journal->file.size : 0);
}

bool rewrite_is_on(const struct rewrite *rw, enum rewrite_kind kind)
{
    return rw->phase != REWRITE_NONE && rw->kind == kind;
}

bool rewrite_backup_opened(const struct rewrite *rw, const char **refused)
{
    *refused = rw->steps.failed != NULL ? strerror(rw->steps.system_errno) : NULL;
    return *refused == NULL && (rw->steps.open >> HANDLE_BASE & 1) != 0;
}

size_t rewrite_bytes(const struct rewrite *rw)
{
    return rw->entries.bytes.n + rw->pieces.n +
           (rw->phase == REWRITE_WALK ? steps_bytes(&rw->steps) : 0);
}

bool rewrite_is_full(const struct rewrite *rw)
{
    return rewrite_bytes(rw) > FULL_BYTES;
}

/* -------------------------------------------------------------------- begin */

static void begin(struct rewrite *rw, enum rewrite_kind kind, struct mono now)
{
    rw->kind = kind;
    rw->counts[kind]++;
    rw->failed = rw->cancelled = false;
    rw->begun = now;
    steps_forgive(&rw->steps);
    log_say(rw->log, LOG_LEVEL_NOTICE,
            kind == REWRITE_LOG ? "The log is being rewritten" : "A backup is being made");
}

/* One whose handle is free: after some failures it would be the turn of a file in use again. */
static uint64_t increment_next(struct rewrite *rw)
{
    do
        rw->increment_seq++;
    while (journal_has_handle(rw->journal, increment_handle(rw->increment_seq)));
    return rw->increment_seq;
}

static void begin_log(struct rewrite *rw, struct mono now)
{
    char path[DISK_NAME_BYTES];
    rw->wants_log = false;
    rw->turning_on = rw->wants_on;
    begin(rw, REWRITE_LOG, now);
    manifest_copy(&rw->next, &rw->manifest);
    rw->phase = REWRITE_OPEN;
    if (rw->journal->state == JOURNAL_OFF && !rw->turning_on)
        return; /* the base alone */
    uint64_t seq = increment_next(rw);
    log_increment_path(path, &rw->names, seq);
    step_unlink(&rw->steps, path);
    step_open(&rw->steps, increment_handle(seq), path);
    step_sync(&rw->steps, increment_handle(seq));
    if (rw->turning_on)
        return; /* what an older log holds does not go on in this one: it is named with its base */
    manifest_add_increment(&rw->next, &rw->names, seq);
    manifest_steps(&rw->next, &rw->names, &rw->steps, HANDLE_ASIDE);
}

const char *rewrite_log(struct rewrite *rw, struct mono now)
{
    if (rewrite_is_on(rw, REWRITE_LOG))
        return "ERR Background append only file rewriting already in progress";
    if (!rw->is_found)
        return "ERR neither a log nor a backup can be written: the server's own log says why";
    rw->wants_log = true;
    if (rw->phase == REWRITE_NONE && !rw->journal->stopping) /* else once it is off */
        begin_log(rw, now);
    return NULL;
}

const char *rewrite_backup(struct rewrite *rw, struct slice into, struct mono now, struct wall wall)
{
    if (!rw->is_found)
        return "ERR neither a log nor a backup can be written: the server's own log says why";
    if (rewrite_is_on(rw, REWRITE_BACKUP))
        return "ERR Background save already in progress";
    if (rewrite_is_on(rw, REWRITE_LOG))
        return "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE "
               "SCHEDULE in order to schedule a BGSAVE whenever possible.";
    if (into.n > LOG_DIR_BYTES - 32 || (into.n > 0 && memchr(into.p, 0, into.n) != NULL))
        return "ERR the directory's name is too long";
    snprintf(rw->backup_dir, sizeof(rw->backup_dir), "%.*s%sbackup-%lld", (int)into.n, into.p,
             into.n > 0 ? "/" : "", (long long)wall.ms);
    rw->backup = (struct log_names){rw->backup_dir, rw->names.file};
    begin(rw, REWRITE_BACKUP, now);
    rw->phase = REWRITE_AT_T;
    return NULL;
}

/* ------------------------------------------------------------------ failing */

static void abandon_name(struct rewrite *rw, uint64_t seq, const char *kind)
{
    struct manifest_file *f = vec_add(&rw->old);
    snprintf(f->name, sizeof(f->name), "%s.%llu.%s.aof", rw->names.file, (unsigned long long)seq,
             kind);
}

static void base_forget(struct rewrite *rw)
{
    effects_free(&rw->entries);
    chain_free(&rw->pieces, NULL);
    rw->entries = (struct effects){0};
    slots_forget(rw);
}

static void tell_failure(const struct rewrite *rw)
{
    const struct steps *s = &rw->steps;
    const char *what = rw->kind == REWRITE_LOG ? "Rewriting the log" : "The backup";
    if (s->failed != NULL)
        log_say(rw->log, LOG_LEVEL_WARNING,
                "%s failed: %s of %s: %s (errno %d). What was there before is untouched", what,
                s->failed, s->failed_name, strerror(s->system_errno), s->system_errno);
    else
        log_say(rw->log, LOG_LEVEL_NOTICE, "%s is given up: the log was %s", what,
                rw->cancelled ? "switched off" : "lost to an earlier failure");
}

/* Nothing of it is of use, whatever its manifest says by now. */
static void backup_remove(struct rewrite *rw)
{
    char path[DISK_NAME_BYTES];
    manifest_unlink_steps(&rw->backup, &rw->steps);
    log_base_path(path, &rw->backup, 1);
    step_unlink(&rw->steps, path);
    step_unlink(&rw->steps, rw->backup_dir);
}

/* The old log stays valid; what was made is deleted where nothing on disk can name it. */
static void fail(struct rewrite *rw)
{
    struct steps *s = &rw->steps;
    char path[DISK_NAME_BYTES];
    log_base_path(path, &rw->names, rw->base_seq);
    /* so no manifest came to name it */
    bool base_broke = s->failed != NULL && strcmp(s->failed_name, path) == 0;
    tell_failure(rw);
    steps_forgive(s);
    if ((s->open >> HANDLE_BASE & 1) != 0)
        step_close(s, HANDLE_BASE);
    walk_cancel(rw->store);
    if (rw->kind == REWRITE_BACKUP) {
        backup_remove(rw);
    } else if (rw->phase == REWRITE_WALK || (rw->phase == REWRITE_END && base_broke)) {
        step_unlink(s, path);
    } else if (rw->phase == REWRITE_OPEN || rw->phase == REWRITE_AT_T) {
        if ((s->open >> increment_handle(rw->increment_seq) & 1) != 0)
            step_close(s, increment_handle(rw->increment_seq));
        /* the manifest may name it: it stays for now */
        abandon_name(rw, rw->increment_seq, "incr");
    } else if (rw->phase == REWRITE_END) {
        abandon_name(rw, rw->base_seq, "base");
    }
    if (rw->turning_on && rw->journal->state != JOURNAL_OFF)
        journal_stop(rw->journal);
    base_forget(rw);
    rw->failed = true;
    rw->failures++;
    rw->phase = REWRITE_CLEAN;
}

/* --------------------------------------------------------------- the moment T */

/* What the base is to say of a cluster's slots: it is said in many steps, and a dump or a new epoch
 * changes a history meanwhile. */
static void slots_note(struct rewrite *rw)
{
    const struct journal *j = rw->journal;
    if (j->slots_n == 1)
        return;
    rw->then = mem_get(j->slots_n * sizeof(*rw->then));
    rw->slot_at = 0;
    rw->start_at = 0;
    for (unsigned slot = 0; slot < j->slots_n; slot++) {
        const struct lineage *l = &j->slots[slot];
        unsigned n = l->at.seq > 0 ? l->starts_n : 0;
        rw->then[slot] = (struct slot_then){l->at, l->epoch, l->fence, n, l->turns};
        for (unsigned i = 0; i < n; i++)
            *vec_add(&rw->starts) = l->starts[i];
    }
}

static bool may_begin_walk(struct rewrite *rw)
{
    bool moves = rw->kind == REWRITE_LOG && (rw->journal->state != JOURNAL_OFF || rw->turning_on);
    if (rw->must_wait || (moves && !journal_may_start(rw->journal)))
        return false;
    return walk_begin(rw->store) == ERR_OK;
}

static void at_t(struct rewrite *rw)
{
    char path[DISK_NAME_BYTES];
    if (!may_begin_walk(rw))
        return;
    if (rw->kind == REWRITE_LOG && (rw->journal->state != JOURNAL_OFF || rw->turning_on)) {
        if (rw->journal->file.open)
            rw->older_bytes += rw->journal->file.size + rw->journal->pending.n;
        log_increment_path(path, &rw->names, rw->increment_seq);
        journal_start(rw->journal, increment_handle(rw->increment_seq), path, 0);
        /* the journal closes it */
        rw->steps.open &= ~((uint64_t)1 << increment_handle(rw->increment_seq));
    }
    const struct log_names *names = rw->kind == REWRITE_LOG ? &rw->names : &rw->backup;
    log_base_path(path, names, rw->kind == REWRITE_LOG ? ++rw->base_seq : 1);
    step_unlink(&rw->steps, path);
    step_open(&rw->steps, HANDLE_BASE, path);
    slots_note(rw);
    rw->asked = rw->synced = 0;
    note_put_base(&rw->pieces, SLOT_ALONE,
                  rw->then == NULL ? rw->journal->slots[SLOT_ALONE].at : (struct position){0, 0});
    rw->base_size = rw->pieces.n;
    rw->phase = REWRITE_WALK;
}

/* --------------------------------------------------------------------- walk */

static void piece_end(struct rewrite *rw)
{
    if (rw->entries.n == 0)
        return;
    size_t before = rw->pieces.n;
    note_put_chunk(&rw->pieces, rw->base_size, &rw->entries.bytes);
    rw->base_size += rw->pieces.n - before;
    rw->entries.n = 0;
}

static void pieces_write(struct rewrite *rw)
{
    rw->asked += rw->pieces.n;
    step_write(&rw->steps, HANDLE_BASE, &rw->pieces);
    if (rw->asked - rw->synced >= SYNC_BYTES) {
        step_sync(&rw->steps, HANDLE_BASE);
        rw->synced = rw->asked;
    }
}

void rewrite_walked(struct rewrite *rw, unsigned db, const struct entry *e)
{
    char scratch[NUM_I64_CHARS];
    effect_set(&rw->entries, db, entry_key(e), entry_value(e, scratch), entry_blob(e),
               entry_expiry(e));
    if (rw->entries.bytes.n >= PIECE_BYTES)
        piece_end(rw);
    if (rw->pieces.n >= WRITE_BYTES)
        pieces_write(rw);
}

/* VONG.SLOT slot epoch seq (epoch first-seq)... */
static void slot_put(struct rewrite *rw, unsigned slot)
{
    const struct slot_then *then = &rw->then[slot];
    effect_begin(&rw->entries, 0, 4 + 2 * then->starts_n);
    effect_arg(&rw->entries, SLICE("VONG.SLOT"));
    effect_arg_i64(&rw->entries, slot);
    effect_arg_i64(&rw->entries, (int64_t)then->at.epoch);
    effect_arg_i64(&rw->entries, (int64_t)then->at.seq);
    for (size_t end = rw->start_at + then->starts_n; rw->start_at < end; rw->start_at++) {
        effect_arg_i64(&rw->entries, (int64_t)rw->starts.at[rw->start_at].epoch);
        effect_arg_i64(&rw->entries, (int64_t)rw->starts.at[rw->start_at].first);
    }
}

static void range_put(struct rewrite *rw, struct slice name, uint64_t epoch, unsigned from,
                      unsigned to)
{
    effect_begin(&rw->entries, 0, 4);
    effect_arg(&rw->entries, name);
    effect_arg_i64(&rw->entries, (int64_t)epoch);
    effect_arg_i64(&rw->entries, from);
    effect_arg_i64(&rw->entries, to);
}

/* Of so many slots what is to be told: position and history; where there is no record yet, the
 * epoch; and fences. Runs of slots that are alike are told in one. */
static void slots_put(struct rewrite *rw, unsigned count)
{
    unsigned end =
        rw->journal->slots_n - rw->slot_at < count ? rw->journal->slots_n : rw->slot_at + count;
    for (unsigned slot = rw->slot_at, to; slot < end; slot = to) {
        const struct slot_then *then = &rw->then[slot];
        to = slot + 1;
        if (then->at.seq > 0)
            slot_put(rw, slot);
        while (then->at.seq == 0 && to < end && rw->then[to].at.seq == 0 &&
               rw->then[to].epoch == then->epoch && rw->then[to].fence == then->fence)
            to++;
        if (then->at.seq == 0 && then->epoch > 0)
            range_put(rw, SLICE("VONG.EPOCH"), then->epoch, slot, to - 1);
        if (then->fence > 0)
            range_put(rw, SLICE("VONG.FENCE"), then->fence, slot, to - 1);
        if (rw->entries.bytes.n >= PIECE_BYTES)
            piece_end(rw);
    }
    rw->slot_at = end;
    piece_end(rw);
}

/* The base is whole: it becomes the log's first file, or the backup's only one. */
static void end_walk(struct rewrite *rw)
{
    piece_end(rw);
    size_t before = rw->pieces.n;
    note_put_end(&rw->pieces, rw->base_size);
    rw->base_size += rw->pieces.n - before;
    pieces_write(rw);
    step_sync(&rw->steps, HANDLE_BASE);
    step_close(&rw->steps, HANDLE_BASE);
    rw->entries.db = 0;
    manifest_free(&rw->next);
    if (rw->kind == REWRITE_BACKUP) {
        manifest_set_base(&rw->next, &rw->backup, 1, rw->base_size);
        manifest_steps(&rw->next, &rw->backup, &rw->steps, HANDLE_ASIDE);
    } else {
        manifest_set_base(&rw->next, &rw->names, rw->base_seq, rw->base_size);
        if (rw->journal->state != JOURNAL_OFF)
            manifest_add_increment(&rw->next, &rw->names, rw->increment_seq);
        manifest_steps(&rw->next, &rw->names, &rw->steps, HANDLE_ASIDE);
    }
    rw->phase = REWRITE_END;
}

static void walk(struct rewrite *rw)
{
    if (rw->then != NULL && rw->slot_at < rw->journal->slots_n) {
        slots_put(rw, STEP_SLOTS);
        return;
    }
    if (rewrite_bytes(rw) < PAUSE_BYTES && walk_step(rw->store, STEP_ENTRIES, STEP_BYTES))
        end_walk(rw);
}

/* ----------------------------------------------------------------------- end */

/* What the increments hold of slots begins at T now (23). */
static void slots_based(struct rewrite *rw)
{
    for (unsigned slot = 0; rw->then != NULL && slot < rw->journal->slots_n; slot++)
        lineage_based(&rw->journal->slots[slot], rw->then[slot].at.seq, rw->then[slot].turns);
}

/* The new manifest is on disk: what it does not name may go. */
static void end(struct rewrite *rw)
{
    if (rw->kind == REWRITE_LOG) {
        char path[DISK_NAME_BYTES];
        for (size_t i = 0; i < rw->manifest.files.n; i++)
            if (!manifest_has(&rw->next, slice_str(rw->manifest.files.at[i].name)))
                *vec_add(&rw->old) = rw->manifest.files.at[i];
        manifest_copy(&rw->manifest, &rw->next);
        for (size_t i = 0; i < rw->old.n; i++) {
            log_path(path, &rw->names, rw->old.at[i].name);
            step_unlink(&rw->steps, path);
        }
        vec_clear(&rw->old);
        slots_based(rw);
        rw->base_bytes = rw->base_size;
        rw->older_bytes = 0;
        rw->failures = 0;
        if (rw->turning_on && !rw->cancelled) /* off and on again meanwhile: the log begins anew */
            rw->wants_on = false;
    }
    slots_forget(rw);
    rw->phase = REWRITE_CLEAN;
}

static void clean(struct rewrite *rw, struct mono now, struct wall wall)
{
    struct rewrite_past *past = &rw->past[rw->kind];
    past->ok = !rw->failed;
    past->seconds = (now.us - rw->begun.us) / 1000000;
    if (!rw->failed) {
        past->success = wall;
        log_say(rw->log, LOG_LEVEL_NOTICE, "%s%s: %llu bytes",
                rw->kind == REWRITE_LOG ? "The log is rewritten" : "A backup is in ",
                rw->kind == REWRITE_LOG ? "" : rw->backup_dir, (unsigned long long)rw->base_size);
    }
    steps_forgive(&rw->steps); /* a file that could not be deleted is deleted at the next start */
    rw->retry = mono_after(now, RETRY_US);
    rw->turning_on = false;
    rw->phase = REWRITE_NONE;
}

/* --------------------------------------------------------------------- steps */

static void ask_space(struct rewrite *rw, struct mono now)
{
    if (rw->journal->state == JOURNAL_OFF || !mono_reached(now, rw->next_space) ||
        rw->steps.failed != NULL)
        return;
    rw->next_space = mono_after(now, SPACE_US);
    step_space(&rw->steps, rw->names.dir);
}

/* What is switched on waits for the end of what was switched off. */
static bool is_wanted(const struct rewrite *rw)
{
    return (rw->wants_log && !rw->journal->stopping) ||
           (rw->wants_on && rw->journal->state == JOURNAL_OFF);
}

static void begin_what_waits(struct rewrite *rw, struct mono now)
{
    if (rw->phase != REWRITE_NONE || !steps_idle(&rw->steps) || !mono_reached(now, rw->retry))
        return;
    if (is_wanted(rw))
        begin_log(rw, now);
}

/* It cannot come to its end: a step failed, or the log it belongs to is gone. */
static bool is_doomed(const struct rewrite *rw)
{
    if (rw->phase == REWRITE_NONE || rw->phase == REWRITE_CLEAN)
        return false;
    if (rw->steps.failed != NULL)
        return true;
    return rw->kind == REWRITE_LOG && rw->phase != REWRITE_END &&
           (rw->cancelled || rw->journal->state == JOURNAL_FAILED);
}

static void advance(struct rewrite *rw, struct mono now, struct wall wall, bool walks)
{
    struct steps *s = &rw->steps;
    if (is_doomed(rw))
        steps_drop(s);
    if (is_doomed(rw) && steps_idle(s))
        fail(rw);
    bool ready = steps_idle(s);
    switch (rw->phase) {
    case REWRITE_NONE: break;
    case REWRITE_OPEN:
        if (ready && !is_doomed(rw)) {
            manifest_copy(&rw->manifest, &rw->next);
            rw->phase = REWRITE_AT_T;
            at_t(rw);
        }
        break;
    case REWRITE_AT_T:
        if (!is_doomed(rw))
            at_t(rw);
        break;
    case REWRITE_WALK:
        if (walks && !is_doomed(rw))
            walk(rw);
        break;
    case REWRITE_END:
        if (ready)
            end(rw);
        break;
    case REWRITE_CLEAN:
        if (ready)
            clean(rw, now, wall);
        break;
    }
}

void rewrite_step(struct rewrite *rw, struct mono now, struct wall wall, bool walks,
                  struct disk_ops *out)
{
    if (!rw->is_found)
        return;
    begin_what_waits(rw, now);
    advance(rw, now, wall, walks);
    ask_space(rw, now);
    steps_run(&rw->steps, out);
}

void rewrite_done(struct rewrite *rw, struct disk_done *done)
{
    steps_done(&rw->steps, done);
    rw->space = rw->steps.space;
}

struct mono rewrite_due(const struct rewrite *rw, struct mono now)
{
    if (!rw->is_found)
        return MONO_NEVER;
    if (rw->phase == REWRITE_WALK && !is_doomed(rw) && rewrite_bytes(rw) < PAUSE_BYTES)
        return now;
    if (rw->phase == REWRITE_AT_T)
        return mono_after(now, 1000);
    if (rw->phase == REWRITE_NONE && is_wanted(rw))
        return steps_idle(&rw->steps) ? rw->retry : MONO_NEVER;
    return rw->journal->state != JOURNAL_OFF ? rw->next_space : MONO_NEVER;
}

/* ------------------------------------------------------------------ by itself */

void rewrite_turn(struct rewrite *rw, bool on, struct mono now)
{
    rw->wants_on = on;
    rw->retry = now;
    if (on)
        return;
    rw->cancelled = rewrite_is_on(rw, REWRITE_LOG);
    journal_stop(rw->journal);
}

void rewrite_auto(struct rewrite *rw, struct mono now, int64_t percentage, uint64_t min_bytes)
{
    uint64_t bytes = rewrite_log_bytes(rw);
    if (rw->journal->state != JOURNAL_OK || rw->phase != REWRITE_NONE || percentage == 0 ||
        bytes < min_bytes)
        return;
    uint64_t base = rw->base_bytes > 0 ? rw->base_bytes : 1;
    if (bytes < base ||
        (bytes - base) / base * 100 + (bytes - base) % base * 100 / base < (uint64_t)percentage)
        return;
    unsigned doublings = rw->failures < AUTO_RETRY_DOUBLINGS ? rw->failures : AUTO_RETRY_DOUBLINGS;
    if (rw->failures > 0 &&
        !mono_reached(now, mono_after(rw->retry, (int64_t)AUTO_RETRY_US << doublings)))
        return;
    rw->wants_log = true;
}

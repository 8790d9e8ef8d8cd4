/* SPDX-License-Identifier: BSD-3-Clause */
#include "persist/journal.h"

#include "base/check.h"

enum { SYNC_EVERY_US = 1000 * 1000 };
enum { FULL_RETRY_US = 1000 * 1000 };
enum { GATHER_MAX_US = 1000 }; /* a commit waits no longer for company than this, or half a sync */
enum { GATHER_REST_MAX = 63 }; /* commits that do not wait after waits in vain, at the most */
/* More is written by the log thread: the loop is not held up. */
enum { AT_ONCE_BYTES = 1024 * 1024 };

void journal_init(struct journal *j, enum journal_policy policy, bool off, struct lineage *slots,
                  unsigned slots_n, unsigned db)
{
    *j = (struct journal){.state = off ? JOURNAL_OFF : JOURNAL_OK,
                          .policy = policy,
                          .wanted_policy = policy,
                          .slots = slots,
                          .slots_n = slots_n,
                          .db = db};
}

void journal_free(struct journal *j)
{
    chain_free(&j->pending, NULL);
    chain_free(&j->next, NULL);
}

static void file_set(struct journal_file *f, uint32_t handle, const char *name, uint64_t size)
{
    *f = (struct journal_file){
        .open = true, .handle = handle, .size = size, .durable = size, .whole = size};
    size_t n = strlen(name);
    check(n < sizeof(f->name));
    memcpy(f->name, name, n + 1);
}

static inline struct chain *end_of(struct journal *j)
{
    return j->switching ? &j->next : &j->pending;
}

/* ------------------------------------------------------- which run writes (replication 22) */

static void run_tell(struct journal *j)
{
    if (j->run.incarnation == 0 || j->state == JOURNAL_OFF || j->state == JOURNAL_FAILED ||
        j->stopping)
        return;
    j->ended = false;
    j->run_told.n = ++j->appended.n;
    note_put_run(end_of(j), &j->run);
}

/* What comes now may be lost although it was acknowledged: that is known to the log first. */
static void always_ends(struct journal *j)
{
    if (!j->run.always)
        return;
    j->run.always = false;
    run_tell(j);
    j->sync_wanted = true;
}

static void policy_follow(struct journal *j)
{
    bool is_on = j->state == JOURNAL_OK || j->state == JOURNAL_FULL;
    if (j->policy == JOURNAL_ALWAYS && is_on && !lsn_reached(j->synced, j->run_told))
        return;
    j->policy = j->wanted_policy;
}

void journal_run(struct journal *j, const struct run_note *run)
{
    j->run = *run;
    j->run.always = j->policy == JOURNAL_ALWAYS && j->wanted_policy == JOURNAL_ALWAYS;
    run_tell(j);
}

void journal_set_policy(struct journal *j, enum journal_policy policy)
{
    j->wanted_policy = policy;
    if (policy != JOURNAL_ALWAYS)
        always_ends(j);
    policy_follow(j);
}

bool journal_may_start(const struct journal *j)
{
    return (j->state == JOURNAL_OFF || j->state == JOURNAL_OK) && !j->switching && !j->stopping &&
           !j->old.open;
}

void journal_start(struct journal *j, uint32_t handle, const char *name, uint64_t size)
{
    check(journal_may_start(j));
    if (j->state == JOURNAL_OK && j->file.open) {
        file_set(&j->to, handle, name, size);
        j->switching = true;
        j->switch_lsn = j->appended;
        j->db = 0;
        return;
    }
    if (j->state == JOURNAL_OFF)
        j->db = 0;
    file_set(&j->file, handle, name, size);
    j->state = JOURNAL_OK;
    j->tell_durable = size > 0;
    run_tell(j);
}

void journal_stop(struct journal *j)
{
    if (j->state == JOURNAL_OFF)
        return;
    always_ends(j);
    j->stopping = true;
    j->sync_wanted = true;
}

/* One more. True: it is not written. */
static inline bool counts_only(struct journal *j)
{
    j->appended.n++;
    j->ended = false;
    if (j->state == JOURNAL_OFF)
        j->written = j->synced = j->appended;
    return j->state == JOURNAL_OFF || j->stopping || j->state == JOURNAL_FAILED;
}

static inline struct lsn append(struct journal *j, unsigned slot, struct position at,
                                struct chain *bytes)
{
    if (counts_only(j)) {
        chain_clear(bytes);
        return j->appended;
    }
    record_put(end_of(j), slot, at, bytes);
    return j->appended;
}

struct lsn journal_append(struct journal *j, unsigned slot, struct chain *bytes, unsigned db)
{
    j->db = db;
    return append(j, slot, lineage_next(&j->slots[slot]), bytes);
}

struct lsn journal_append_record(struct journal *j, unsigned slot, struct position at,
                                 struct slice record)
{
    lineage_take(&j->slots[slot], at);
    if (counts_only(j))
        return j->appended;
    chain_put(end_of(j), record);
    return j->appended;
}

struct lsn journal_append_parts(struct journal *j, unsigned slot, struct position at,
                                const struct chain *record)
{
    lineage_take(&j->slots[slot], at);
    if (!counts_only(j))
        chain_share(end_of(j), record);
    return j->appended;
}

struct lsn journal_append_in(struct journal *j, unsigned slot, struct position at,
                             struct slice record, struct blob *b)
{
    lineage_take(&j->slots[slot], at);
    if (!counts_only(j))
        chain_put_blob(end_of(j), b, (size_t)(record.p - b->p), record.n);
    return j->appended;
}

struct lsn journal_mark(struct journal *j, struct chain *bytes)
{
    return append(j, 0, (struct position){0, 0}, bytes);
}

void journal_settle_loss(struct journal *j)
{
    if (j->state != JOURNAL_OFF)
        note_put_lost(end_of(j), 0);
}

/* #S first, where it is due: a line that it shifts would tell a wrong offset. */
void journal_end(struct journal *j)
{
    check(journal_is_idle(j) && !j->switching);
    j->ended = true;
    if (j->state != JOURNAL_OK || !j->file.open || j->is_broken_off)
        return;
    note_put_durable(&j->pending, j->file.whole); /* J2 */
    j->tell_durable = false;
    note_put_end(&j->pending, j->file.size + j->pending.n);
    j->sync_wanted = true;
}

/* ------------------------------------------------------------- the disk */

enum { TOKEN_HANDLE_BIT = 48 }; /* a token tells its handle, too */

static uint64_t token_next(struct journal *j, uint32_t handle)
{
    return (uint64_t)ASKER_JOURNAL << 56 | (uint64_t)handle << TOKEN_HANDLE_BIT | ++j->tokens;
}

static struct disk_op *ask(struct journal *j, struct disk_ops *out, enum disk_op_type type,
                           uint32_t handle)
{
    struct disk_op *op = vec_add(out);
    check(handle < 64);
    *op = (struct disk_op){
        .type = type, .lane = LANE_LOG, .file = handle, .token = token_next(j, handle)};
    return op;
}

static void ask_close(struct journal *j, struct journal_file *f, struct disk_ops *out)
{
    if (!f->open)
        return;
    ask(j, out, DISK_CLOSE, f->handle);
    j->closing |= (uint64_t)1 << f->handle;
    f->open = false;
}

/* Whom the wait was for are back, or a quarter of them is not: they wait for something else
 * (copies), and as many commits more go without it each time. */
static void gather_end(struct journal *j)
{
    uint64_t came = j->appended.n - j->written.n - j->gather_left;
    if (j->gather_n == 0)
        return;
    j->gather_vain = 4 * came >= 3 * (j->gather_n - j->gather_left) ? 0 : 2 * j->gather_vain + 1;
    if (j->gather_vain > GATHER_REST_MAX)
        j->gather_vain = GATHER_REST_MAX;
    j->gather_rest = j->gather_vain;
    j->gather_n = 0;
}

static void ask_write(struct journal *j, struct disk_ops *out)
{
    check(j->line.open_n == 0);
    gather_end(j);
    if (j->tell_durable && !j->is_broken_off) {
        struct chain line = {0};
        note_put_durable(&line, j->file.whole); /* J2 */
        chain_append(&line, &j->pending);
        j->pending = line;
        j->tell_durable = false;
    }
    struct disk_op *op = ask(j, out, DISK_WRITE, j->file.handle);
    op->at_once = j->pending.n <= AT_ONCE_BYTES;
    op->bytes = j->pending;
    j->write_token = op->token;
    j->writing = true;
    j->writing_n = j->pending.n;
    j->writing_lsn = j->switching ? j->switch_lsn : j->appended;
    j->file.size += j->pending.n;
    j->pending = (struct chain){0};
}

static void ask_sync(struct journal *j, struct mono now, struct disk_ops *out)
{
    struct journal_file *f = j->old.open ? &j->old : &j->file; /* J3 */
    struct disk_op *op = ask(j, out, DISK_SYNC, f->handle);
    j->sync_token = op->token;
    j->syncing = true;
    j->syncing_old = j->old.open;
    j->sync_late = false;
    j->syncing_size = f->size;
    j->syncing_whole = j->is_broken_off && f == &j->file ? j->broken_at : f->size;
    j->syncing_lsn = j->writing ? j->writing_lsn : j->written;
    if (j->old.open && j->switch_lsn.n < j->syncing_lsn.n)
        j->syncing_lsn = j->switch_lsn;
    j->last_sync = now;
}

static bool is_unsynced(const struct journal *j)
{
    return j->file.open && (j->file.durable < j->file.size || j->old.open);
}

static bool sync_is_due(struct journal *j, struct mono now)
{
    if (!is_unsynced(j))
        return false;
    bool second_over = mono_reached(now, mono_after(j->last_sync, SYNC_EVERY_US));
    if (j->syncing) {
        if (j->policy == JOURNAL_EVERYSEC && second_over && !j->sync_late) {
            j->sync_late = true;
            j->delayed_syncs++;
        }
        return false;
    }
    if (j->old.open || j->sync_wanted || j->policy == JOURNAL_ALWAYS)
        return true;
    return j->policy == JOURNAL_EVERYSEC && second_over;
}

static void close_when_synced(struct journal *j, struct journal_file *f, struct disk_ops *out)
{
    if (f->durable == f->size && !j->syncing)
        ask_close(j, f, out);
}

/* Everything for the old file was handed over: from here on it is the new one's turn. */
static void switch_files(struct journal *j)
{
    j->old = j->file;
    j->file = j->to;
    j->to.open = false;
    chain_free(&j->pending, NULL); /* its memory: it is empty */
    if (j->slots_n > 1)            /* seqs tell of a lost tail alone, but not over many slots */
        note_put_forerunner(&j->pending, j->old.size);
    if (j->run.incarnation > 0)
        note_put_run(&j->pending, &j->run);
    chain_append(&j->pending, &j->next);
    j->switching = false;
    /* #S 0: the files before this one are durable */
    j->tell_durable = j->old.durable == j->old.size;
    if (j->syncing)
        j->syncing_old = true;
}

static void off(struct journal *j)
{
    j->state = JOURNAL_OFF;
    j->stopping = j->sync_wanted = j->switching = j->is_broken_off = j->tell_durable = false;
    j->written = j->synced = j->appended;
    policy_follow(j);
}

static void finish_stop(struct journal *j, struct disk_ops *out)
{
    if (j->writing || j->syncing || j->switching || j->old.open || !chain_empty(&j->pending) ||
        is_unsynced(j))
        return;
    close_when_synced(j, &j->file, out);
    off(j);
}

/* Switched off while the disk is in trouble: what it did not take is dropped, as
 * everybody was told. */
static void give_up(struct journal *j, struct disk_ops *out)
{
    if (j->writing || j->syncing)
        return;
    chain_free(&j->pending, NULL);
    chain_free(&j->next, NULL);
    ask_close(j, &j->old, out);
    ask_close(j, &j->file, out);
    ask_close(j, &j->to, out);
    off(j);
}

/* Under `always` whoever was just answered is about to come back. Without a little patience two
 * groups of clients would form, each waiting through the other's sync, and each sync would
 * serve half of them: so the next commit begins when as many records are there as were answered
 * and left over. */
static bool is_gathering(const struct journal *j, struct mono now)
{
    return j->policy == JOURNAL_ALWAYS && !j->sync_wanted && !j->switching && !j->stopping &&
           j->appended.n - j->written.n < j->gather_n && !mono_reached(now, j->gather_until);
}

static void gather(struct journal *j, uint64_t answered, struct mono now)
{
    int64_t patience = (now.us - j->last_sync.us) / 2;
    j->gather_until = now;
    if (j->gather_rest > 0) {
        j->gather_rest--;
        return;
    }
    j->gather_left = j->appended.n - j->written.n;
    j->gather_n = answered + j->gather_left;
    j->gather_until = mono_after(now, patience < GATHER_MAX_US ? patience : GATHER_MAX_US);
}

/* Else the end of what is under way is waited for. */
static bool may_write(const struct journal *j)
{
    return !j->writing && !(j->policy == JOURNAL_ALWAYS && (j->syncing || j->old.open));
}

void journal_flush(struct journal *j, struct mono now, struct disk_ops *out)
{
    if (j->stopping && (j->state == JOURNAL_FAILED || j->state == JOURNAL_FULL)) {
        give_up(j, out);
        return;
    }
    if (j->state == JOURNAL_OFF || j->state == JOURNAL_FAILED || !j->file.open)
        return;
    close_when_synced(j, &j->old, out);
    bool writes = may_write(j) && !(j->state == JOURNAL_FULL && !mono_reached(now, j->retry));
    if (writes && j->switching && chain_empty(&j->pending)) {
        switch_files(j);
        close_when_synced(j, &j->old, out);
    }
    if (writes && !chain_empty(&j->pending) && !is_gathering(j, now))
        ask_write(j, out);
    if (sync_is_due(j, now))
        ask_sync(j, now, out);
    if (j->stopping)
        finish_stop(j, out);
}

static void fail(struct journal *j, const struct disk_done *done, const char *doing)
{
    j->failed_errno = done->system_errno;
    j->failed_doing = doing;
}

static void write_done(struct journal *j, struct disk_done *done, struct mono now)
{
    j->writing = false;
    if (done->err == ERR_OK) {
        check(done->written == j->writing_n);
        j->written = j->writing_lsn;
        j->is_broken_off = false;
        if (j->state == JOURNAL_FULL)
            j->state = JOURNAL_OK;
        return;
    }
    fail(j, done, "write");
    if (done->err != ERR_FULL) {
        j->state = JOURNAL_FAILED; /* J4 */
        chain_free(&done->rest, NULL);
        return;
    }
    /* What reached the file stays: the rest goes on where it broke off. */
    check(done->rest.n == j->writing_n - done->written);
    j->file.size -= done->rest.n;
    if (!j->is_broken_off && done->written > 0) {
        j->is_broken_off = true;
        j->broken_at = j->file.size - done->written;
    }
    if (j->syncing && !j->syncing_old && j->syncing_size > j->file.size) {
        j->syncing_size = j->file.size; /* a SYNC asked for with this WRITE covers what it wrote */
        j->syncing_whole = j->is_broken_off ? j->broken_at : j->file.size;
        j->syncing_lsn = j->written;
    }
    chain_append(&done->rest, &j->pending);
    j->pending = done->rest;
    done->rest = (struct chain){0};
    j->state = JOURNAL_FULL;
    j->retry = mono_after(now, FULL_RETRY_US);
}

static void sync_done(struct journal *j, const struct disk_done *done, struct mono now)
{
    j->syncing = false;
    if (done->err != ERR_OK) {
        fail(j, done, "fsync");
        j->state = JOURNAL_FAILED; /* J4 */
        return;
    }
    struct journal_file *f = j->syncing_old ? &j->old : &j->file;
    f->durable = j->syncing_size;
    f->whole = j->syncing_whole;
    gather(j, j->syncing_lsn.n - j->synced.n, now);
    j->synced = j->syncing_lsn;
    if (f->durable == f->size || !j->syncing_old)
        j->tell_durable = true;
    if (!is_unsynced(j))
        j->sync_wanted = false;
}

void journal_done(struct journal *j, struct disk_done *done, struct mono now)
{
    bool is_write = j->writing && done->token == j->write_token;
    bool is_sync = j->syncing && done->token == j->sync_token;
    if (!is_write && !is_sync) {
        j->closing &= ~((uint64_t)1 << (done->token >> TOKEN_HANDLE_BIT & 63));
    } else if (j->state == JOURNAL_FAILED) {
        chain_free(&done->rest, NULL);
        j->writing = j->writing && !is_write;
        j->syncing = j->syncing && !is_sync;
    } else if (is_write) {
        write_done(j, done, now);
    } else {
        sync_done(j, done, now);
        policy_follow(j);
    }
}

struct mono journal_due(const struct journal *j)
{
    if (j->state == JOURNAL_FULL)
        return may_write(j) ? j->retry : MONO_NEVER;
    if (j->state == JOURNAL_OK && j->policy == JOURNAL_ALWAYS && !j->writing && !j->syncing &&
        !chain_empty(&j->pending))
        return j->gather_until;
    if (j->state != JOURNAL_OK || j->syncing || j->policy != JOURNAL_EVERYSEC || !is_unsynced(j))
        return MONO_NEVER;
    return mono_after(j->last_sync, SYNC_EVERY_US);
}

/* ------------------------------------------------------------- questions */

void journal_sync_soon(struct journal *j)
{
    if (j->state != JOURNAL_OFF)
        j->sync_wanted = true;
}

bool journal_has_handle(const struct journal *j, uint32_t handle)
{
    return (j->file.open && handle == j->file.handle) || (j->to.open && handle == j->to.handle) ||
           (j->old.open && handle == j->old.handle) || (j->closing >> handle & 1) != 0;
}

struct lsn journal_stored(const struct journal *j)
{
    return j->policy == JOURNAL_ALWAYS ? j->synced : j->written;
}

bool journal_is_idle(const struct journal *j)
{
    if (j->state == JOURNAL_OFF)
        return true;
    return lsn_reached(j->written, j->appended) && !j->writing && !j->syncing &&
           !(j->sync_wanted && is_unsynced(j));
}

bool journal_is_behind(const struct journal *j)
{
    return j->state == JOURNAL_OK && journal_bytes(j) > JOURNAL_BEHIND_BYTES;
}

size_t journal_bytes(const struct journal *j)
{
    return j->pending.n + j->next.n + (j->writing ? j->writing_n : 0);
}

void journal_check(const struct journal *j)
{
    check(j->written.n <= j->appended.n);
    check(j->synced.n <= j->written.n);
    /* J2 */
    check(!j->file.open || (j->file.whole <= j->file.durable && j->file.durable <= j->file.size));
    check(!j->old.open || j->old.durable <= j->old.size);
    check(!j->switching || j->to.open);
    check(j->switching || chain_empty(&j->next));
    check(!(j->old.open && j->syncing && !j->syncing_old)); /* J3 */
}

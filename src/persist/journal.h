/* SPDX-License-Identifier: BSD-3-Clause */

/* The log's end: records that are appended but not yet stored, and what the disk is asked for.
 *
 *     append -> pending -> WRITE under way -> written -> synced
 *
 * One WRITE at a time, one SYNC at a time (J1). A batch is written by the data thread at the end
 * of its step, one of more than a megabyte by the log thread, which syncs: once a second under
 * `everysec`. Under `always` each WRITE is synced, and the next batch is what gathered
 * meanwhile: group commit.
 *
 * After each SYNC the next batch opens with a #S line that tells how far the file is durable (J2).
 * A SYNC of a new increment is asked for only after the old one's succeeded: a #S in a later file
 * says that the earlier ones are durable whole (J3). A failed SYNC, and a failed WRITE but for want
 * of space, is final (J4): nothing is tried again over the same pages. */
#ifndef PERSIST_JOURNAL_H
#define PERSIST_JOURNAL_H

#include "base/chain.h"
#include "base/moment.h"
#include "core/repl/lineage.h"
#include "persist/disk.h"
#include "persist/record.h"

enum journal_policy { JOURNAL_NO, JOURNAL_EVERYSEC, JOURNAL_ALWAYS }; /* appendfsync */

enum journal_state {
    JOURNAL_OFF, /* appendonly no: nothing is written, every gate is open */
    JOURNAL_OK,
    JOURNAL_FULL,  /* no space: writers are refused, the rest is tried again every second */
    JOURNAL_FAILED /* final until it is stopped: what is not stored by now never will be */
};

enum { JOURNAL_BEHIND_BYTES = 64 * 1024 * 1024 }; /* more than this unwritten: writers wait */

struct journal_file {
    bool open;
    uint32_t handle;
    uint64_t size;    /* with the WRITE under way */
    uint64_t durable; /* of which synced */
    /* of which whole records: what #S tells. The rest of one broken off by a full disk may yet be
     * lost in a power cut, and its beginning is then no damage */
    uint64_t whole;
    char name[DISK_NAME_BYTES];
};

struct journal {
    enum journal_state state;
    /* the latter once it is on the disk that `always` ended */
    enum journal_policy policy, wanted_policy;
    struct lineage *slots; /* borrowed: where each stands */
    unsigned slots_n;      /* 1 alone */
    unsigned db;           /* the database the log's end stands in: effects begin from it */

    struct lsn appended, written, synced;
    struct chain pending;    /* appended and not handed to the disk */
    struct chain next;       /* while switching: what belongs to the next file */
    struct record_line line; /* of the newest record */
    struct run_note run;     /* of this process, in a cluster: each file's first line tells it */
    struct lsn run_told;     /* its newest line */
    bool switching;
    bool stopping;      /* appendonly no: OFF once all is stored */
    bool ended;         /* #E is the newest */
    bool tell_durable;  /* the next batch opens with #S, */
    bool is_broken_off; /* but not the one that goes on within a record, after a full disk */

    struct journal_file file; /* where records go; none at first: they wait */
    struct journal_file to;   /* while switching: where they go next */
    struct journal_file old;  /* after it, until it is synced and closed */
    struct lsn switch_lsn;    /* the newest record of the old file, or of what goes there */

    uint64_t closing; /* handles whose CLOSE is under way, a bit for each */

    bool writing, syncing, syncing_old;
    size_t writing_n;
    struct lsn writing_lsn, syncing_lsn;
    uint64_t syncing_size, syncing_whole;
    uint64_t broken_at;           /* where the batch began that is broken off */
    bool sync_wanted;             /* at once, whatever the policy */
    bool sync_late;               /* the sync under way is counted in delayed_syncs */
    struct mono last_sync, retry; /* last_sync: when it was asked for */
    /* under `always`: as many records make a commit at once; 0: any. So many of them ... */
    uint64_t gather_n;
    uint64_t gather_left;     /* ... were there when the wait began */
    struct mono gather_until; /* fewer do from then on */
    /* so many commits are to go without a wait since the last one, and are yet to */
    unsigned gather_vain, gather_rest;
    uint64_t tokens, write_token, sync_token;

    int failed_errno;         /* of the newest trouble */
    const char *failed_doing; /* "write", "fsync" */
    /* aof_delayed_fsync: a second was over and the last one still under way */
    uint64_t delayed_syncs;
};

/* off: appendonly no. slots: of which records are made; slots_n: 1 or SLOTS. db: the one that the
 * file ends in to which journal_start will append. */
void journal_init(struct journal *j, enum journal_policy policy, bool off, struct lineage *slots,
                  unsigned slots_n, unsigned db);
void journal_free(struct journal *j);

/* Records go to this file from now on. It is open, `size` bytes long and all of it synced. While
 * another file is in use, what was appended so far still goes to that one, and what follows begins
 * with db 0: an increment's first record names its database. */
void journal_start(struct journal *j, uint32_t handle, const char *name, uint64_t size);
/* False: a switch is under way, or the disk is in trouble. */
bool journal_may_start(const struct journal *j);
/* appendonly no: what is appended is stored, then OFF, and the file is closed. In trouble with the
 * disk, what is not stored is dropped. */
void journal_stop(struct journal *j);

/* One record of these commands; bytes is emptied (as by record_put). db: the database
 * they end in. */
struct lsn journal_append(struct journal *j, unsigned slot, struct chain *bytes, unsigned db);
/* A record as it is: made by this node, or by the slot's primary. Its position is taken
 * by the slot. */
struct lsn journal_append_record(struct journal *j, unsigned slot, struct position at,
                                 struct slice record);
/* The same, without a copy of what is big: of one in parts, and of one that lies in b. */
struct lsn journal_append_parts(struct journal *j, unsigned slot, struct position at,
                                const struct chain *record);
struct lsn journal_append_in(struct journal *j, unsigned slot, struct position at,
                             struct slice record, struct blob *b);
/* One command that is no record: what a cluster's node notes of its slots. */
struct lsn journal_mark(struct journal *j, struct chain *bytes);
/* This run of a cluster's node writes from here on: #R says so (`always` is the journal's own to
 * say), again in each new file, and before `always` ends, by journal_set_policy or journal_stop. */
void journal_run(struct journal *j, const struct run_note *run);
void journal_settle_loss(struct journal *j); /* losses noted so far are known: #L 0 */
/* All is stored and nothing more will come: #E says so. What is appended afterwards
 * makes it void. */
void journal_end(struct journal *j);
static inline bool journal_is_ended(const struct journal *j)
{
    return j->ended;
}

/* The same in one go: where the commands of the next record may be written, *n bytes at most, until
 * anything else is asked of the journal; NULL: nowhere now. Then that they were, so many bytes.
 * Before the flush journal_seal finishes those records. */
static inline char *journal_window(struct journal *j, size_t *n)
{
    *n = 0;
    if (j->state != JOURNAL_OK || j->stopping)
        return NULL;
    return record_room(j->switching ? &j->next : &j->pending, &j->line, n);
}
static inline void journal_append_there(struct journal *j, unsigned slot, const char *bytes,
                                        size_t n)
{
    j->appended.n++;
    j->ended = false;
    record_put_there(j->switching ? &j->next : &j->pending, &j->line, slot,
                     lineage_next(&j->slots[slot]), bytes, n);
}
static inline void journal_seal(struct journal *j)
{
    record_seal(&j->line);
}

/* At the end of every step, and when journal_due has come. */
void journal_flush(struct journal *j, struct mono now, struct disk_ops *out);
/* Of ASKER_JOURNAL. */
void journal_done(struct journal *j, struct disk_done *done, struct mono now);
struct mono journal_due(const struct journal *j);

void journal_set_policy(struct journal *j, enum journal_policy policy);
/* At the next flush, whatever the policy: SHUTDOWN, WAITAOF. */
void journal_sync_soon(struct journal *j);

/* Up to which record a gate is open: written, or synced under `always`. */
struct lsn journal_stored(const struct journal *j);
/* Bytes of the present file that were written. */
static inline uint64_t journal_readable(const struct journal *j)
{
    return j->file.size - (j->writing ? j->writing_n : 0);
}
/* All that was appended is written, and synced if asked for. */
bool journal_is_idle(const struct journal *j);
/* Too much waits for a disk that is well, but slow. */
bool journal_is_behind(const struct journal *j);
/* In use, or its CLOSE is under way. */
bool journal_has_handle(const struct journal *j, uint32_t handle);
size_t journal_bytes(const struct journal *j); /* not yet written: aof_buffer_length */
void journal_check(const struct journal *j);

#endif

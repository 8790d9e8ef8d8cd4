/* SPDX-License-Identifier: BSD-3-Clause */

/* The log made short again, and backups, without a fork.
 *
 *     open      the new increment is opened, the manifest names it: durable, nothing goes there yet
 *     T         from here on records go to the new increment; the walk over the keyspace begins
 *     walk      entries as of T become the new base, a piece a turn; who changes an entry that was
 *               not walked yet hands out its old value first
 *     end       the base is synced, then the manifest names it instead of all that is older
 *     clean     what is older is deleted
 *
 * A backup is the walk and the end, into a directory of its own. At each moment the manifest on
 * disk names a whole log (M1): a step that fails leaves the old one valid, and is told and
 * tried again later. Memory is bounded: while much waits for the disk the walk stops, and
 * beyond that writers do. */
#ifndef NODE_REWRITE_H
#define NODE_REWRITE_H

#include "base/log.h"
#include "base/moment.h"
#include "cmd/effect.h"
#include "persist/journal.h"
#include "persist/manifest.h"
#include "persist/startup.h"
#include "store/walker.h"

enum rewrite_kind { REWRITE_LOG, REWRITE_BACKUP };
enum rewrite_phase {
    REWRITE_NONE,
    REWRITE_OPEN,
    REWRITE_AT_T,
    REWRITE_WALK,
    REWRITE_END,
    REWRITE_CLEAN
};

struct rewrite_past { /* of each kind: for INFO, LASTSAVE */
    bool ok;
    int64_t seconds; /* that the last one took; -1: there was none */
    /* when the last good one ended; of a backup at first: when the node began */
    struct wall success;
};

struct slot_then {
    struct position at;
    uint64_t epoch, fence;
    /* so many of rewrite.starts are its own, behind those of the slots before it */
    unsigned starts_n;
    uint32_t turns;
};

struct rewrite {
    struct store *store;
    struct journal *journal;
    struct log *log;
    /* dir and file, as the start found them: options may move their texts */
    struct log_names names;
    char dir[LOG_DIR_BYTES], file[LOG_FILE_BYTES];
    struct steps steps;
    struct manifest manifest;         /* as on disk */
    struct manifest next;             /* as it will be */
    VEC(struct manifest_file) old;    /* in no manifest any more: to be deleted after a success */
    uint64_t base_seq, increment_seq; /* the greatest ever used: a name is never used twice */
    uint64_t base_bytes;              /* aof_base_size */
    uint64_t older_bytes;             /* of the increments before the present one */

    enum rewrite_kind kind;
    enum rewrite_phase phase;
    bool failed;              /* of the one under way */
    bool cancelled;           /* appendonly no: the log that it would make is not wanted */
    bool turning_on;          /* appendonly no -> yes: the log begins with this rewrite */
    bool wants_on, wants_log; /* to be begun when it can be */
    /* a slot is being built aside: the moment T would cut that in two */
    bool must_wait;
    bool is_found; /* rewrite_found was called: the manifest is known */
    struct mono begun, retry;
    unsigned failures;       /* one after the other: the next automatic one waits */
    struct log_names backup; /* dir is backup_dir */
    char backup_dir[DISK_NAME_BYTES];

    /* the base being written */
    struct effects entries; /* walked, not yet a piece */
    struct chain pieces;    /* not yet handed to the disk */
    uint64_t base_size, asked, synced;
    /* in a cluster: the slots as of T, to the end; those before slot_at are told */
    struct slot_then *then;
    unsigned slot_at;
    VEC(struct epoch_start) starts; /* their histories; the next slot's are at */
    size_t start_at;

    struct rewrite_past past[2];
    uint64_t counts[2]; /* how many of each kind were begun */
    struct mono next_space;
    /* free bytes on the log's disk, as of the last look; UINT64_MAX: not known */
    uint64_t space;
};

void rewrite_init(struct rewrite *rw, struct store *store, struct journal *journal, struct log *log,
                  struct wall now);
void rewrite_free(struct rewrite *rw);
/* What the start found and made: names, and the manifest on disk. Before it nothing
 * can be rewritten. */
void rewrite_found(struct rewrite *rw, const struct startup *s);

/* NULL: begun, or scheduled. Else the error to be answered. into: of a backup: below which
 * directory; rw->backup_dir says where it goes. */
const char *rewrite_log(struct rewrite *rw, struct mono now);
const char *rewrite_backup(struct rewrite *rw, struct slice into, struct mono now,
                           struct wall wall);
void rewrite_turn(struct rewrite *rw, bool on, struct mono now); /* CONFIG SET appendonly */
/* Ten times a second. */
void rewrite_auto(struct rewrite *rw, struct mono now, int64_t percentage, uint64_t min_bytes);

/* At the end of each step, with walks in one step of a turn. */
void rewrite_step(struct rewrite *rw, struct mono now, struct wall wall, bool walks,
                  struct disk_ops *out);
void rewrite_done(struct rewrite *rw, struct disk_done *done);               /* of ASKER_STEPS */
void rewrite_walked(struct rewrite *rw, unsigned db, const struct entry *e); /* store_ops.walked */
struct mono rewrite_due(const struct rewrite *rw, struct mono now);

bool rewrite_is_on(const struct rewrite *rw, enum rewrite_kind kind);
/* Of the backup under way: is its first file there? Else *refused says why it cannot be, or
 * NULL: not yet. */
bool rewrite_backup_opened(const struct rewrite *rw, const char **refused);
static inline bool rewrite_is_beginning(const struct rewrite *rw) /* T is near */
{
    return rw->phase == REWRITE_OPEN || rw->phase == REWRITE_AT_T;
}
bool rewrite_is_full(const struct rewrite *rw);       /* writers wait */
uint64_t rewrite_log_bytes(const struct rewrite *rw); /* aof_current_size */
size_t rewrite_bytes(const struct rewrite *rw);       /* memory held for the base */

#endif

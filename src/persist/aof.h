/* SPDX-License-Identifier: BSD-3-Clause */

/* The log read back: bytes of its files in, commands out, and a verdict at the end.
 *
 *     aof_open(r, options)
 *     for each file, base first:
 *         aof_file(r, name, is_base, size)
 *         while there are bytes:  used = aof_feed(r, unread bytes, at_end, batch, max)
 *                                 run batch, drop `used` bytes; read on if nothing was used
 *     aof_verdict(r)
 *
 * A command is handed out only after its record's crc held (A1) and its seq is the next (A2). At
 * the first bad byte nothing more is handed out; what follows is read on for one thing alone: does
 * a later #S line say that the bad place had been durable? If so it is damage, and the start is
 * refused; else it is a torn tail, which nobody was promised, and is cut (A3).
 *
 * In a cluster each slot has a position of its own (o.slots). A record that is not its slot's next
 * is passed over if the slot has it (a base may be newer than the increment), and else freezes the
 * slot (replication 25). What the log says of slots, VONG.SLOT and its like, is taken here; of
 * VONG.* only effects are handed out, and where those of a dump's parts go: VONG.SPARE.SWAP spare
 * slot, the two tables change places, and VONG.SPARE.EMPTY spare slot. At the end spare tables are
 * to be emptied.
 *
 * The tail may begin in one increment and go on in the next: between the two lies the moment of a
 * switch, when the older one's last bytes were not synced yet (journal.h, J3). */
#ifndef PERSIST_AOF_H
#define PERSIST_AOF_H

#include "base/slice.h"
#include "base/vec.h"
#include "core/repl/lineage.h"
#include "persist/disk.h"
#include "persist/record.h"

struct aof_command {
    uint32_t first, argc; /* in the batch's args */
    unsigned db;
    uint64_t offset; /* of its record in the file, for messages */
};

/* What one feed handed out. The args point into the bytes that were fed. SELECT, MULTI and EXEC are
 * not among the commands: each knows its database, and a record is whole or not there at all. */
struct aof_batch {
    VEC(struct aof_command) commands;
    VEC(struct slice) args;
};

static inline const struct slice *aof_argv(const struct aof_batch *b, size_t command)
{
    return b->args.at + b->commands.at[command].first;
}

enum aof_verdict {
    AOF_WHOLE,
    AOF_CUT,    /* a torn tail: everything from bad_file at bad_offset on is to be cut */
    AOF_REFUSED /* r->text says file, offset and what to do */
};

/* How the files are written: as by a lone node (or Redis), or by a cluster's. */
enum aof_form { AOF_FORM_OPEN /* nothing was read that tells */, AOF_FORM_LONE, AOF_FORM_CLUSTER };

struct aof_options {
    unsigned dbs_n;
    /* SLOTS of them, zeroed: a cluster's node reads. NULL: alone, a cluster's files are refused. A
     * lone log that a cluster's node reads leaves them as they are */
    struct lineage *slots;
    bool cut_torn; /* aof-load-truncated */
    const char
        *dir; /* where the files are, for messages; "": not told. Lives as long as the reader */
};

enum { AOF_SPARES = 2 }; /* so many dumps may be unended at once */
struct aof_parts {       /* of a dump that has no end yet */
    unsigned slot;
    uint64_t n; /* so many came */
};

struct aof_reader {
    struct aof_options o;
    struct aof_parts parts[AOF_SPARES];
    enum aof_form form;
    struct lineage alone; /* of a lone log */
    uint64_t lost_bytes;  /* durable ones, cut by hand, of which no run has known yet */
    struct run_note run;  /* the newest that wrote, as told */
    /* the last thing in the log is the end mark of a run that was stopped */
    bool is_clean;
    uint64_t size_before; /* of the file before this one */
    unsigned db;          /* the database the last file ends in, so far */
    uint64_t commands_n, records_n;

    /* the file */
    unsigned files_n; /* begun so far; the present one is files_n - 1 */
    char name[DISK_NAME_BYTES];
    bool is_base;
    bool is_marked;     /* a base that opens with #B: it is in chunks and has an end mark */
    bool is_ended;      /* the end mark was read */
    bool has_notes;     /* a line of ours was valid in it */
    bool had_notes;     /* so it was in a file before it: the log is ours */
    bool has_records;   /* annotated ones */
    bool had_increment; /* the file before it was one */
    uint64_t size, offset;
    uint64_t checked; /* bytes from offset on whose crc held */
    uint64_t record;  /* where the present record began */
    size_t want;      /* bytes from the first unused one without which nothing can be said */

    /* the first bad place */
    bool is_bad;
    bool bad_in_base, bad_base_is_marked, bad_was_durable;
    bool bad_is_before; /* the end of the file before: this one's first record is not the next */
    /* what is no command is a torn record only where records were written */
    bool bad_is_foreign, bad_has_notes;
    unsigned bad_file;
    char bad_name[DISK_NAME_BYTES];
    uint64_t bad_offset, bad_bytes; /* bytes from there on, over all files */
    const char *bad_why;

    bool is_refused;
    char text[1024]; /* why it is refused, or what is cut */
};

void aof_open(struct aof_reader *r, const struct aof_options *o);
void aof_file(struct aof_reader *r, const char *name, bool is_base, uint64_t size);

/* How many of the unread bytes are done with once the batch has run; 0: at least aof_want() of them
 * are needed at once. at_end: in ends where the file does (all of it is then used in the end).
 * About max commands at most are added to the batch, which the caller has cleared. */
size_t aof_feed(struct aof_reader *r, struct slice in, bool at_end, struct aof_batch *batch,
                size_t max);
size_t aof_want(const struct aof_reader *r);

enum aof_verdict aof_verdict(struct aof_reader *r); /* after the last file's last byte */

/* A command could not be run: the start is refused. why: "unknown command 'X'". */
void aof_refuse(struct aof_reader *r, const struct aof_command *c, const char *why);

/* One record in memory: the first one of `in`, its end in *used, its commands added to the batch,
 * which points into `in`. ERR_SYNTAX, ERR_CORRUPT: it is none. */
enum err aof_record(struct slice in, struct note *n, struct aof_batch *b, size_t *used) MUST_CHECK;
/* The first key of its first command, for who fetches ahead: nothing of it was checked. False:
 * none was found. */
bool aof_first_key(struct slice record, struct slice *key);
/* Is this mark (#V 0 0 0) a turn (lineage.h) of the slots from..to? */
bool aof_turns(struct slice mark, unsigned *from, unsigned *to);
/* Commands one behind the other, as in a record or a dump. */
enum err aof_commands(struct slice in, struct aof_batch *b) MUST_CHECK;

/* What a lone log becomes in a cluster, as VONG.CLUSTER says: every slot stands at (0, 1). */
void aof_convert(struct lineage *slots);

void aof_batch_clear(struct aof_batch *b);
void aof_batch_free(struct aof_batch *b);

#endif

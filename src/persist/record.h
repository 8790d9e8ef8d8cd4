/* SPDX-License-Identifier: BSD-3-Clause */

/* Records and the other annotation lines of the log, there and back (docs/internals/aof.md).
 *
 *     #V <slot> <epoch> <seq> <len> <crc>\r\n  then len bytes: one command, or MULTI ... EXEC
 *     #S <durable offset> <crc>\r\n            the file was durable up to there
 *     #B <slot> <epoch> <seq> <crc>\r\n        a base: everything up to seq
 *     #C <offset> <len> <crc>\r\n              in a base, at that offset: len bytes of commands
 *     #E <offset> <crc>\r\n                    the end of a base, or of a run that was stopped
 *     #P <bytes> <crc>\r\n                     so long is the increment before this one
 *     #L <bytes> <crc>\r\n                     so many durable bytes were cut here by hand; 0: and
 *                                              that is settled
 *     #R <incarnation> <clean since> <data since> <always> <crc>\r\n
 *                                              which run of a cluster's node writes from here on
 *
 * A seq of 0 (with slot 0 and epoch 0) is no record's: a mark, what a cluster's node notes
 * of its slots.
 *
 * Numbers are decimal without leading zeros. crc is CRC-32C in 8 lowercase hex digits, over the
 * line from its '#' up to and with the blank before the crc, then over the len bytes. The same
 * bytes are the record in memory, on disk and on the wire. */
#ifndef PERSIST_RECORD_H
#define PERSIST_RECORD_H

#include "base/buf.h"
#include "base/chain.h"
#include "base/err.h"
#include "core/types.h"

enum { NOTE_LINE_BYTES = 128 }; /* no line of ours is longer; Redis 7 skips up to 1023 */

enum note_type {
    NOTE_RECORD,
    NOTE_DURABLE,
    NOTE_BASE,
    NOTE_CHUNK,
    NOTE_END,
    NOTE_FORERUNNER,
    NOTE_LOST,
    NOTE_RUN
};

/* A run of a cluster's node, as its log tells of it (replication 22). */
struct run_note {
    uint32_t incarnation; /* 0: none is told */
    uint32_t clean_since; /* nothing of its log was lost since that run of it began */
    /* before that run its data was other data: a new directory, or durable records were lost */
    uint32_t data_since;
    bool always; /* so far all of it was under appendfsync always */
};

struct note {
    enum note_type type;
    uint32_t slot;        /* RECORD, BASE */
    struct position at;   /* RECORD, BASE */
    uint64_t offset;      /* DURABLE, CHUNK, END; FORERUNNER, LOST: bytes */
    uint64_t len;         /* RECORD, CHUNK: the bytes that follow the line */
    struct run_note run;  /* RUN */
    uint32_t line_n;      /* of the line, its end included */
    uint32_t crc;         /* as written */
    uint32_t crc_of_line; /* of the line's own part: the crc goes on over the len bytes */
};

/* The bytes of body behind *log as one record; body is empty afterwards, but may keep a chunk of
 * memory for the next one (chain_free it in the end). */
void record_put(struct chain *log, uint32_t slot, struct position at, struct chain *body);

/* The same in one piece, where it is wanted as one: behind what `to` holds. */
void record_put_flat(struct buf *to, uint32_t slot, struct position at, struct chain *body);

/* The same without a copy, for short bodies: they are written where they stay, behind room for
 * their line. A line is mostly that of the record before it, as long and but for the last digits of
 * its seq. The crcs of up to RECORDS_OPEN are computed together, by record_seal: one after the
 * other each would wait for its bytes to be written, and for itself. */
enum { RECORDS_OPEN = 32 };
struct record_line {
    /* "#V <slot> <epoch> <seq>" of the newest one, but for its last two digits */
    char text[NOTE_LINE_BYTES];
    uint32_t n; /* 0: there was none */
    uint32_t slot;
    uint64_t epoch;
    uint64_t seqs;    /* seq / 100 */
    uint32_t whole_n; /* of the newest line, its end included */
    uint32_t open_n;
    struct record_open {
        char *p;          /* of its line */
        uint32_t words_n; /* up to its crc */
        uint32_t body_n;
    } open[RECORDS_OPEN];
};
enum { RECORD_ROOM_BYTES = 1024 }; /* a chunk with less left is not gone on with */

/* Where a body may be written, and how many bytes; until something else is put into log. */
static inline char *record_room(struct chain *log, const struct record_line *line, size_t *n)
{
    char *at = chain_room(log, RECORD_ROOM_BYTES);
    *n = log->left - NOTE_LINE_BYTES;
    return at + line->whole_n;
}
void record_put_there(struct chain *log, struct record_line *line, uint32_t slot,
                      struct position at, const char *body, size_t n);
void record_seal(struct record_line *line); /* before the bytes go anywhere */

void note_put_durable(struct chain *to, uint64_t offset);
void note_put_base(struct chain *to, uint32_t slot, struct position at);
/* Body as for record_put. */
void note_put_chunk(struct chain *to, uint64_t offset, struct chain *body);
void note_put_end(struct chain *to, uint64_t offset);
void note_put_forerunner(struct chain *to, uint64_t bytes);
void note_put_lost(struct chain *to, uint64_t bytes);
void note_put_run(struct chain *to, const struct run_note *run);

/* Is this the beginning of one of our lines? Other lines that begin with '#' are comments. */
bool note_is_ours(struct slice line);

/* Reads a line, its end included, that note_is_ours. The crc of lines without len is checked here;
 * of the others by note_holds. ERR_SYNTAX, ERR_CORRUPT. */
enum err note_get(struct slice line, struct note *n) MUST_CHECK;
bool note_holds(const struct note *n, struct slice body); /* body: the len bytes */

#endif

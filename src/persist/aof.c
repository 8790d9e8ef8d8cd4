/* SPDX-License-Identifier: BSD-3-Clause */
#include "persist/aof.h"

#include <stdio.h>

#include "base/check.h"
#include "base/num.h"
#include "persist/record.h"

enum { ARGS_MAX = 1024 * 1024 * 1024 };
enum { COMMENT_MAX_BYTES = 1024 };           /* what Redis skips */
enum { SCAN_RECORD_BYTES = 64 * 1024 * 1024 }; /* behind a bad place, greater ones are not looked over */
enum { NUMBER_LINE_BYTES = 24 };             /* "$9223372036854775807\r\n" and some */

void aof_open(struct aof_reader *r, const struct aof_options *o)
{
    *r = (struct aof_reader){.o = *o, .position = {EPOCH_ALONE, 0}};
}

void aof_batch_clear(struct aof_batch *b)
{
    vec_clear(&b->commands);
    vec_clear(&b->args);
}

void aof_batch_free(struct aof_batch *b)
{
    vec_free(&b->commands);
    vec_free(&b->args);
}

size_t aof_want(const struct aof_reader *r)
{
    return r->want;
}

/* ------------------------------------------------------------- bad places */

static size_t bad(struct aof_reader *r, const char *why)
{
    r->is_bad = true;
    r->bad_in_base = r->is_base;
    r->bad_base_is_marked = r->is_base && r->is_marked;
    r->bad_has_notes = r->has_notes || r->had_notes;
    r->bad_file = r->files_n - 1;
    memcpy(r->bad_name, r->name, sizeof(r->name));
    r->bad_offset = r->offset;
    r->bad_bytes = r->size - r->offset;
    r->bad_why = why;
    return 0;
}

/* The record goes on beyond the end of the file. */
static size_t bad_short(struct aof_reader *r)
{
    return bad(r, "the file ends within a record");
}

static const char *slash_of(const struct aof_reader *r)
{
    return r->o.dir[0] != '\0' ? "/" : "";
}

void aof_refuse(struct aof_reader *r, const struct aof_command *c, const char *why)
{
    r->is_refused = true;
    snprintf(r->text, sizeof(r->text), "%s%s%s: at byte %llu: %s", r->o.dir, slash_of(r), r->name, (unsigned long long)c->offset, why);
}

static size_t refuse(struct aof_reader *r, const char *why)
{
    struct aof_command at = {.offset = r->offset};
    aof_refuse(r, &at, why);
    return 0;
}

/* More bytes than in are needed, about n: later, or never. */
static size_t wait_for(struct aof_reader *r, struct slice in, size_t n, bool at_end)
{
    uint64_t left = r->size - r->offset;
    if (at_end || in.n >= left)
        return bad_short(r);
    r->want = n < left ? n : left;
    return 0;
}

/* ---------------------------------------------------------------- commands */

enum parsed { PARSED, PARSED_SHORT, PARSED_NEVER /* the file ends before */, PARSED_BAD };

struct parse {
    struct slice in;
    size_t at;   /* parsed so far */
    size_t want; /* PARSED_SHORT: so many bytes of in would help */
    uint64_t in_max; /* so many bytes of in there can ever be */
};

/* "<letter><digits>\r\n" */
static enum parsed parse_number(struct parse *p, char letter, uint64_t *v)
{
    const char *at = p->in.p + p->at, *end = p->in.p + p->in.n;
    p->want = p->at + NUMBER_LINE_BYTES;
    if (at == end)
        return PARSED_SHORT;
    if (*at++ != letter)
        return PARSED_BAD;
    if (end - at >= 3 && at[0] >= '0' && at[0] <= '9' && at[1] == '\r' && at[2] == '\n') { /* most of them */
        *v = (uint64_t)(at[0] - '0');
        p->at += 4;
        return PARSED;
    }
    uint64_t sum = 0;
    const char *digits = at;
    for (; at < end && *at >= '0' && *at <= '9'; at++) {
        sum = sum * 10 + (uint64_t)(*at - '0');
        if (sum > INT64_MAX / 16)
            return PARSED_BAD;
    }
    if (end - at >= 2 && at[0] == '\r' && at[1] == '\n' && at > digits) {
        *v = sum;
        p->at = (size_t)(at + 2 - p->in.p);
        return PARSED;
    }
    bool may_go_on = at == end || (end - at == 1 && at[0] == '\r' && at > digits);
    return may_go_on ? PARSED_SHORT : PARSED_BAD;
}

static enum parsed parse_bulk(struct parse *p, struct slice *s)
{
    uint64_t n;
    enum parsed got = parse_number(p, '$', &n);
    if (got != PARSED)
        return got;
    if (p->in.n - p->at < n + 2) {
        p->want = p->at + n + 2;
        return p->want > p->in_max ? PARSED_NEVER : PARSED_SHORT;
    }
    *s = slice_of(p->in.p + p->at, n);
    p->at += n;
    if (p->in.p[p->at] != '\r' || p->in.p[p->at + 1] != '\n')
        return PARSED_BAD;
    p->at += 2;
    return PARSED;
}

/* One command from p->at on; its words at the end of args. */
static enum parsed parse_command(struct parse *p, struct aof_batch *b, uint32_t *argc)
{
    size_t args_n = b->args.n;
    uint64_t n = 0;
    enum parsed got = parse_number(p, '*', &n);
    if (got == PARSED && (n == 0 || n > ARGS_MAX))
        got = PARSED_BAD;
    for (uint64_t i = 0; i < n && got == PARSED; i++) {
        struct slice s;
        got = parse_bulk(p, &s);
        if (got == PARSED)
            *vec_add(&b->args) = s;
    }
    *argc = (uint32_t)n;
    if (got != PARSED)
        b->args.n = args_n;
    return got;
}

enum word { WORD_OTHER, WORD_SELECT, WORD_MULTI, WORD_EXEC };

static enum word word_of(struct slice name, uint32_t argc)
{
    if (name.n == 6 && argc == 2 && slice_is(name, "select"))
        return WORD_SELECT;
    if (name.n == 5 && argc == 1 && slice_is(name, "multi"))
        return WORD_MULTI;
    if (name.n == 4 && argc == 1 && slice_is(name, "exec"))
        return WORD_EXEC;
    return WORD_OTHER;
}

/* The words just parsed become a command of the batch, or change where the next ones stand. */
static enum word hand_out(struct aof_reader *r, struct aof_batch *b, uint32_t argc)
{
    uint32_t first = (uint32_t)(b->args.n - argc);
    const struct slice *argv = b->args.at + first;
    enum word word = word_of(argv[0], argc);
    if (word == WORD_OTHER) {
        *vec_add(&b->commands) =
            (struct aof_command){.first = first, .argc = argc, .db = r->db, .offset = r->record};
        r->commands_n++;
        return word;
    }
    if (word == WORD_SELECT) {
        uint64_t db;
        if (num_get_u64(argv[1], &db) && db < r->o.dbs_n)
            r->db = (unsigned)db;
        else
            refuse(r, "a record is for a database that `databases` does not permit: raise it, and start again");
    }
    b->args.n = first;
    return word;
}

/* One command of what is known to be as it was written. */
static size_t take_checked(struct aof_reader *r, struct slice in, struct aof_batch *b)
{
    struct parse p = {.in = slice_head(in, r->checked), .in_max = r->checked};
    uint32_t argc;
    check(p.in.n == r->checked); /* the caller gives the same bytes again */
    if (parse_command(&p, b, &argc) != PARSED)
        return refuse(r, "a record whose checksum holds is no command: it was not written by vong-server");
    hand_out(r, b, argc);
    r->checked -= p.at;
    return p.at;
}

/* ------------------------------------------------------- lines beginning with # */

/* The length of the line with its end; 0: it goes on beyond in, or is longer than max. */
static size_t line_length(struct slice in, size_t max)
{
    struct slice head = slice_head(in, max);
    const char *end = memchr(head.p, '\n', head.n);
    return end != NULL ? (size_t)(end - head.p) + 1 : 0;
}

/* Between two increments a tail may have been lost to the byte; behind a base nothing can be. */
static size_t bad_gap(struct aof_reader *r)
{
    bad(r, "records are missing before this one");
    r->bad_is_before = !r->has_records;
    r->bad_was_durable = !r->has_records && (!r->had_increment || r->has_notes);
    return 0;
}

static size_t take_record(struct aof_reader *r, struct slice in, const struct note *n, bool at_end)
{
    if (n->len > r->size - r->offset - n->line_n)
        return bad_short(r);
    if (in.n - n->line_n < n->len)
        return wait_for(r, in, n->line_n + n->len, at_end);
    if (!note_holds(n, slice_of(in.p + n->line_n, n->len)))
        return bad(r, "the checksum of a record does not hold");
    if (n->type == NOTE_CHUNK) {
        if (n->offset != r->offset || !r->is_marked)
            return bad(r, "a piece of a base is not where it belongs");
    } else {
        if (r->is_marked)
            return bad(r, "a record stands in a base");
        if (n->slot != SLOT_ALONE || n->at.epoch != EPOCH_ALONE)
            return refuse(r, "the files are those of a cluster's node: set cluster-enabled yes");
        if (n->at.seq != r->position.seq + 1)
            return bad_gap(r);
        r->position.seq++;
        r->records_n++;
        r->has_records = true;
    }
    r->has_notes = true;
    r->checked = n->len;
    return n->line_n;
}

/* Lines without bytes behind them. */
static size_t take_line(struct aof_reader *r, const struct note *n)
{
    bool in_place = false;
    if (n->type == NOTE_BASE) {
        in_place = r->is_base && r->offset == 0;
        if (in_place && (n->slot != SLOT_ALONE || n->at.epoch != EPOCH_ALONE))
            return refuse(r, "the base is that of a cluster's node: set cluster-enabled yes");
        r->is_marked = true;
        r->position = n->at;
    } else if (n->type == NOTE_END) {
        in_place = r->is_marked && n->offset == r->offset;
        r->is_ended = true;
    } else {
        in_place = !r->is_base && n->offset <= r->offset;
    }
    if (!in_place)
        return bad(r, "an annotation line is not where it belongs");
    r->has_notes = true;
    return n->line_n;
}

/* Plain text, as people and Redis write it. What a crash leaves of a line of ours (zeros, rubbish) is none: taken for a comment,
 * it would let in the command behind it, without the records that were lost before it. */
static bool is_comment(struct slice line)
{
    size_t n = line.n;
    while (n > 0 && (line.p[n - 1] == '\n' || line.p[n - 1] == '\r'))
        n--;
    for (size_t i = 0; i < n; i++)
        if ((line.p[i] < ' ' && line.p[i] != '\t') || line.p[i] == 0x7f)
            return false;
    return true;
}

static size_t take_annotation(struct aof_reader *r, struct slice in, bool at_end)
{
    bool ours = note_is_ours(in);
    size_t max = ours ? NOTE_LINE_BYTES : COMMENT_MAX_BYTES;
    size_t n = line_length(in, max);
    if (n == 0)
        return in.n < max ? wait_for(r, in, max, at_end) : bad(r, "an annotation line does not end");
    if (!ours && !is_comment(slice_head(in, n)))
        return bad(r, "an annotation line is not text");
    if (!ours)
        return r->is_marked ? bad(r, "a base holds a line that does not belong there") : n;
    struct note note;
    enum err err = note_get(slice_head(in, n), &note);
    if (err == ERR_CORRUPT)
        return bad(r, "the checksum of an annotation line does not hold");
    if (err != ERR_OK)
        return bad(r, "an annotation line is not well-formed");
    if (note.type == NOTE_RECORD || note.type == NOTE_CHUNK)
        return take_record(r, in, &note, at_end);
    return take_line(r, &note);
}

/* ------------------------------------------- commands without annotation */

/* Parses one command, or MULTI ... EXEC with comments in between, from p on. */
static enum parsed parse_unit(struct aof_reader *r, struct parse *p, struct aof_batch *b, bool *is_effect)
{
    bool in_multi = false;
    for (;;) {
        if (in_multi && p->at < p->in.n && p->in.p[p->at] == '#') {
            size_t n = line_length(slice_from(p->in, p->at), COMMENT_MAX_BYTES);
            p->want = p->in.n + 1;
            if (n == 0)
                return p->in.n - p->at < COMMENT_MAX_BYTES ? PARSED_SHORT : PARSED_BAD;
            p->at += n;
            continue;
        }
        uint32_t argc;
        enum parsed got = parse_command(p, b, &argc);
        if (got != PARSED)
            return got;
        enum word word = hand_out(r, b, argc);
        if (word == WORD_MULTI)
            in_multi = true;
        else if (!in_multi || word == WORD_EXEC) {
            *is_effect = word != WORD_SELECT;
            return PARSED;
        }
    }
}

/* As Redis writes them: the next seq is theirs. A zero is a page that a power cut kept from the disk. */
static size_t take_foreign(struct aof_reader *r, struct slice in, bool at_end, struct aof_batch *b)
{
    if (r->is_marked)
        return bad(r, "a base holds bytes that do not belong there");
    size_t commands_n = b->commands.n, args_n = b->args.n;
    unsigned db = r->db;
    struct parse p = {.in = in, .in_max = r->size - r->offset};
    bool is_effect;
    enum parsed got = parse_unit(r, &p, b, &is_effect);
    if (got == PARSED) {
        r->position.seq += is_effect;
        r->records_n += is_effect;
        return p.at;
    }
    r->commands_n -= b->commands.n - commands_n;
    b->commands.n = commands_n;
    b->args.n = args_n;
    r->db = db;
    if (got == PARSED_SHORT)
        return wait_for(r, in, p.want > 2 * in.n ? p.want : 2 * in.n, at_end);
    if (got == PARSED_NEVER)
        return bad_short(r);
    r->bad_is_foreign = in.p[0] != '\0';
    return bad(r, "here begins neither a command nor an annotation");
}

/* -------------------------------------------------- behind the bad place */

/* Is there a line that says the bad place was durable? */
static void scan_note(struct aof_reader *r, const struct note *n)
{
    if (n->type != NOTE_RECORD && (n->type != NOTE_DURABLE || n->offset > r->offset))
        return;
    bool same_file = r->files_n - 1 == r->bad_file;
    if (same_file)
        r->bad_has_notes = true;
    if (n->type == NOTE_RECORD)
        return;
    if (!same_file || n->offset > r->bad_offset || r->bad_is_before)
        r->bad_was_durable = true;
}

/* A line that may be ours at the beginning of in. A record that holds is passed over whole: its value
 * may look like anything. */
static size_t scan_line(struct aof_reader *r, struct slice in, bool at_end)
{
    size_t n = line_length(in, NOTE_LINE_BYTES);
    if (n == 0) {
        if (in.n >= NOTE_LINE_BYTES || at_end)
            return 1;
        r->want = NOTE_LINE_BYTES;
        return 0;
    }
    struct note note;
    if (!note_is_ours(in) || note_get(slice_head(in, n), &note) != ERR_OK)
        return 1;
    if (note.len > SCAN_RECORD_BYTES || note.len > r->size - r->offset)
        return 1;
    if (note.len > in.n - n) {
        r->want = at_end ? 0 : n + note.len;
        return at_end ? 1 : 0;
    }
    if (note.len > 0 && !note_holds(&note, slice_of(in.p + n, note.len)))
        return 1;
    scan_note(r, &note);
    return n + note.len;
}

static size_t scan(struct aof_reader *r, struct slice in, bool at_end)
{
    if (in.p[0] == '#') /* not only where a line begins: the line end before may be what is bad */
        return scan_line(r, in, at_end);
    const char *next = memchr(in.p, '#', in.n);
    return next != NULL ? (size_t)(next - in.p) : in.n;
}

/* ---------------------------------------------------------------- the files */

void aof_file(struct aof_reader *r, const char *name, bool is_base, uint64_t size)
{
    if (r->files_n > 0 && r->offset != r->size && !r->is_refused)
        refuse(r, "the file's size is not what it was");
    r->had_increment = r->files_n > 0 && !r->is_base;
    r->files_n++;
    snprintf(r->name, sizeof(r->name), "%s", name);
    r->is_base = is_base;
    r->had_notes = r->had_notes || r->has_notes;
    r->is_marked = r->is_ended = r->has_notes = r->has_records = false;
    r->size = size;
    r->offset = r->checked = 0;
    r->db = 0;
    if (r->is_bad)
        r->bad_bytes += size;
}

/* One item from the beginning of in, which is not empty. 0: more is needed, or it is bad. */
static size_t take(struct aof_reader *r, struct slice in, bool at_end, struct aof_batch *b)
{
    if (r->checked > 0)
        return take_checked(r, in, b);
    r->record = r->offset;
    if (r->is_ended)
        return bad(r, "bytes follow the end mark of a base");
    if (in.p[0] == '#')
        return take_annotation(r, in, at_end);
    if (r->offset == 0 && in.n >= 5 && memcmp(in.p, "REDIS", 5) == 0)
        return refuse(r, "the file has an RDB preamble. On the Redis side: CONFIG SET aof-use-rdb-preamble no, "
                         "then BGREWRITEAOF, and copy the directory again");
    return take_foreign(r, in, at_end, b);
}

/* Behind a bad place: an increment of Redis' own was not begun by a switch of ours. */
static void see_foreign_file(struct aof_reader *r, struct slice in)
{
    if (r->offset == 0 && r->files_n - 1 > r->bad_file && (in.p[0] == '*' || in.p[0] == 'R'))
        r->bad_was_durable = true;
}

size_t aof_feed(struct aof_reader *r, struct slice in, bool at_end, struct aof_batch *batch, size_t max)
{
    size_t used = 0;
    r->want = 0;
    if (in.n > r->size - r->offset && !r->is_refused)
        refuse(r, "the file's size is not what it was");
    while (used < in.n && batch->commands.n < max) {
        struct slice rest = slice_from(in, used);
        size_t n;
        if (r->is_refused) {
            n = rest.n;
        } else if (r->is_bad) {
            see_foreign_file(r, rest);
            n = scan(r, rest, at_end);
        } else {
            n = take(r, rest, at_end, batch);
            if (n == 0 && (r->is_bad || r->is_refused))
                continue;
        }
        if (n == 0)
            break;
        used += n;
        r->offset += n;
    }
    if (at_end && used == in.n && r->is_marked && !r->is_ended && !r->is_bad && !r->is_refused)
        bad(r, "the base has no end mark");
    return used;
}

enum aof_verdict aof_verdict(struct aof_reader *r)
{
    if (r->is_refused)
        return AOF_REFUSED;
    if (!r->is_bad)
        return AOF_WHOLE;
    const char *dir = r->o.dir, *slash = slash_of(r), *name = r->bad_name;
    unsigned long long at = r->bad_offset, bytes = r->bad_bytes;
    if (r->bad_in_base || r->bad_was_durable || (r->bad_is_foreign && !r->bad_has_notes)) {
        snprintf(r->text, sizeof(r->text),
                 "%s%s%s is damaged at byte %llu: %s. That is no torn tail, %llu bytes from there on are at stake: "
                 "restore the directory from a backup, or let `vong-check-aof --fix` cut there, and start again",
                 dir, slash, name, at, r->bad_why, bytes);
        return AOF_REFUSED;
    }
    if (!r->o.cut_torn) {
        snprintf(r->text, sizeof(r->text),
                 "%s%s%s has a torn tail at byte %llu: %s. Set aof-load-truncated to yes, or let `vong-check-aof "
                 "--fix` cut its %llu bytes, and start again",
                 dir, slash, name, at, r->bad_why, bytes);
        return AOF_REFUSED;
    }
    snprintf(r->text, sizeof(r->text), "%s%s%s: a torn tail is cut at byte %llu: %s. %llu bytes, never synced, are dropped",
             dir, slash, name, at, r->bad_why, bytes);
    return AOF_CUT;
}

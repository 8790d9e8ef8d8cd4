/* SPDX-License-Identifier: BSD-3-Clause */
#include "persist/aof.h"

#include <stdio.h>

#include "base/check.h"
#include "base/num.h"
#include "persist/record.h"

enum { ARGS_MAX = 1024 * 1024 * 1024 };
enum { COMMENT_MAX_BYTES = 1024 }; /* what Redis skips */
/* Behind a bad place, greater ones are not looked over. */
enum { SCAN_RECORD_BYTES = 64 * 1024 * 1024 };
enum { NUMBER_LINE_BYTES = 24 }; /* "$9223372036854775807\r\n" and some */

void aof_open(struct aof_reader *r, const struct aof_options *o)
{
    *r = (struct aof_reader){.o = *o, .alone = lineage_alone()};
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

static const char foreign_form[] =
    "the files are those of a cluster's node: set cluster-enabled yes";

static const char *slash_of(const struct aof_reader *r)
{
    return r->o.dir[0] != '\0' ? "/" : "";
}

void aof_refuse(struct aof_reader *r, const struct aof_command *c, const char *why)
{
    r->is_refused = true;
    snprintf(r->text, sizeof(r->text), "%s%s%s: at byte %llu: %s", r->o.dir, slash_of(r), r->name,
             (unsigned long long)c->offset, why);
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
    size_t at;       /* parsed so far */
    size_t want;     /* PARSED_SHORT: so many bytes of in would help */
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
    /* most of them */
    if (end - at >= 3 && at[0] >= '0' && at[0] <= '9' && at[1] == '\r' && at[2] == '\n') {
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

/* The length of the line with its end; 0: it goes on beyond in, or is longer than max. */
static size_t line_length(struct slice in, size_t max)
{
    struct slice head = slice_head(in, max);
    const char *end = memchr(head.p, '\n', head.n);
    return end != NULL ? (size_t)(end - head.p) + 1 : 0;
}

/* ------------------------------------------------------------ of a cluster's slots */

static const struct slice mark_words[] = {
    {"VONG.SLOT", 9}, {"VONG.EPOCH", 10}, {"VONG.FENCE", 10}, {"VONG.CLUSTER", 12},
    {"VONG.DUMP", 9}, {"VONG.DROP", 9},   {"VONG.PART", 9},   {"VONG.PARTS", 10}};
enum mark {
    MARK_SLOT,
    MARK_EPOCH,
    MARK_FENCE,
    MARK_CLUSTER,
    MARK_DUMP,
    MARK_DROP,
    MARK_PART,
    MARK_PARTS,
    MARKS
};

static enum mark mark_of(struct slice name)
{
    enum mark mark = MARK_SLOT;
    while (mark < MARKS && !slice_equal(name, mark_words[mark]))
        mark++;
    return mark;
}

/* The numbers behind the first word: at most `max` of them; how many, 0: something else
 * is among them. */
static unsigned mark_numbers(const struct slice *argv, uint32_t argc, uint64_t *v, unsigned max)
{
    if (argc - 1 > max)
        return 0;
    for (uint32_t i = 1; i < argc; i++)
        if (!num_get_u64(argv[i], &v[i - 1]))
            return 0;
    return argc - 1;
}

/* VONG.SLOT slot epoch seq (epoch first-seq)... */
static bool mark_slot(struct aof_reader *r, const struct slice *argv, uint32_t argc)
{
    uint64_t v[3 + 2 * LINEAGE_EPOCHS];
    struct epoch_start starts[LINEAGE_EPOCHS];
    unsigned n = mark_numbers(argv, argc, v, 3 + 2 * LINEAGE_EPOCHS);
    if (n < 5 || n % 2 == 0 || v[0] >= SLOTS)
        return false;
    for (unsigned i = 0; i < (n - 3) / 2; i++)
        starts[i] = (struct epoch_start){v[3 + 2 * i], v[4 + 2 * i]};
    return lineage_set(&r->o.slots[v[0]], (struct position){v[1], v[2]}, starts, (n - 3) / 2);
}

enum err aof_commands(struct slice in, struct aof_batch *b)
{
    struct parse p = {.in = in, .in_max = in.n};
    while (p.at < in.n) {
        uint32_t argc;
        if (parse_command(&p, b, &argc) != PARSED)
            return ERR_SYNTAX;
        uint32_t first = (uint32_t)(b->args.n - argc);
        enum word word = word_of(b->args.at[first], argc);
        if (word == WORD_OTHER)
            *vec_add(&b->commands) = (struct aof_command){.first = first, .argc = argc};
        else
            b->args.n = first;
    }
    return ERR_OK;
}

enum err aof_record(struct slice in, struct note *n, struct aof_batch *b, size_t *used)
{
    size_t line_n = line_length(in, NOTE_LINE_BYTES);
    if (line_n == 0)
        return ERR_SYNTAX;
    TRY(note_get(slice_head(in, line_n), n));
    if (n->type != NOTE_RECORD || n->at.seq == 0 || n->len > in.n - line_n)
        return ERR_SYNTAX;
    struct slice body = slice_of(in.p + line_n, (size_t)n->len);
    if (!note_holds(n, body))
        return ERR_CORRUPT;
    *used = line_n + body.n;
    return aof_commands(body, b);
}

bool aof_first_key(struct slice record, struct slice *key)
{
    struct parse p = {.in = record, .at = line_length(record, NOTE_LINE_BYTES), .in_max = record.n};
    uint64_t argc;
    struct slice name;
    return p.at > 0 && parse_number(&p, '*', &argc) == PARSED && argc > 1 &&
           parse_bulk(&p, &name) == PARSED && parse_bulk(&p, key) == PARSED;
}

/* The first `n` numbers behind the first word. */
static bool turn_numbers(struct parse *p, unsigned n, uint64_t *v)
{
    struct slice word;
    for (unsigned i = 0; i < n; i++)
        if (parse_bulk(p, &word) != PARSED || !num_get_u64(word, &v[i]) || v[i] >= SLOTS)
            return false;
    return true;
}

bool aof_turns(struct slice mark, unsigned *from, unsigned *to)
{
    struct parse p = {.in = mark, .at = line_length(mark, NOTE_LINE_BYTES), .in_max = mark.n};
    uint64_t argc, v[2] = {0, SLOTS - 1};
    struct slice name;
    if (parse_number(&p, '*', &argc) != PARSED || argc == 0 || parse_bulk(&p, &name) != PARSED)
        return false;
    bool good = false;
    switch (mark_of(name)) {
    case MARK_SLOT:
    case MARK_DUMP:
    case MARK_PARTS:
        good = turn_numbers(&p, 1, v);
        v[1] = v[0];
        break;
    case MARK_DROP: good = turn_numbers(&p, 2, v); break;
    case MARK_CLUSTER: good = true; break;
    case MARK_EPOCH:
    case MARK_FENCE:
    case MARK_PART:
    case MARKS: break;
    }
    *from = (unsigned)v[0];
    *to = (unsigned)v[1];
    return good;
}

/* A word for who runs the batch, whose other arguments follow. */
static void hand_word(struct aof_reader *r, struct aof_batch *b, struct slice word, uint32_t argc)
{
    *vec_add(&b->commands) =
        (struct aof_command){.first = (uint32_t)b->args.n, .argc = argc, .offset = r->record};
    *vec_add(&b->args) = word;
}

/* The spare table changes places with the slot's, or is emptied. */
static void hand_spare(struct aof_reader *r, struct aof_batch *b, struct slice word,
                       struct slice spare, struct slice slot)
{
    hand_word(r, b, word, 3);
    *vec_add(&b->args) = spare;
    *vec_add(&b->args) = slot;
}

/* slot epoch seq x (epoch first-seq)..., behind the first word: where the slot stands by a dump. */
static bool dump_position(struct aof_reader *r, const struct slice *argv, uint32_t argc)
{
    VEC(struct slice) rest = {0};
    for (uint32_t i = 0; i < argc; i++)
        if (i != 4)
            *vec_add(&rest) = argv[i];
    uint64_t v[3];
    bool good = argc > 6 && mark_slot(r, rest.at, argc - 1);
    if (argc == 5 && mark_numbers(rest.at, 4, v, 3) == 3 && v[0] < SLOTS && v[2] == 0) {
        lineage_clear(&r->o.slots[v[0]]);
        good = true;
    }
    vec_free(&rest);
    return good;
}

/* VONG.PART spare slot part commands: of a dump that is built aside. Part 0 begins it anew. What
 * never gets its VONG.PARTS is nothing (23). */
static bool mark_part(struct aof_reader *r, const struct slice *argv, uint32_t argc,
                      struct aof_batch *b)
{
    uint64_t v[3];
    if (argc != 5 || mark_numbers(argv, 4, v, 3) != 3 || v[0] >= AOF_SPARES || v[1] >= SLOTS)
        return false;
    struct aof_parts *p = &r->parts[v[0]];
    struct slice spare = argv[1], slot = argv[2], commands = argv[4];
    if (v[2] == 0) {
        *p = (struct aof_parts){.slot = (unsigned)v[1]};
        hand_spare(r, b, SLICE("VONG.SPARE.EMPTY"), spare, slot);
    }
    if (p->n != v[2] || p->slot != v[1])
        return false;
    p->n++;
    hand_spare(r, b, SLICE("VONG.SPARE.SWAP"), spare, slot);
    bool good = aof_commands(commands, b) == ERR_OK;
    hand_spare(r, b, SLICE("VONG.SPARE.SWAP"), spare, slot);
    return good;
}

/* VONG.PARTS slot epoch seq spare (epoch first-seq)...: what was built there is all the slot holds
 * from here on. */
static bool mark_parts(struct aof_reader *r, const struct slice *argv, uint32_t argc,
                       struct aof_batch *b)
{
    uint64_t slot, spare;
    if (argc < 5 || !num_get_u64(argv[1], &slot) || !num_get_u64(argv[4], &spare) ||
        spare >= AOF_SPARES)
        return false;
    struct slice which = argv[4], where = argv[1];
    struct aof_parts *p = &r->parts[spare];
    if (p->n == 0 || p->slot != slot || !dump_position(r, argv, argc))
        return false;
    p->n = 0;
    hand_spare(r, b, SLICE("VONG.SPARE.SWAP"), which, where);
    hand_spare(r, b, SLICE("VONG.SPARE.EMPTY"), which, where);
    return true;
}

/* VONG.DUMP slot epoch seq commands (epoch first-seq)...: all the slot holds from here on, in place
 * of what it held. */
static bool mark_dump(struct aof_reader *r, const struct slice *argv, uint32_t argc,
                      struct aof_batch *b)
{
    if (argc < 5)
        return false;
    struct slice commands = argv[4], slot = argv[1];
    if (!dump_position(r, argv, argc))
        return false;
    hand_word(r, b, SLICE("VONG.FLUSHSLOT"), 2);
    *vec_add(&b->args) = slot;
    return aof_commands(commands, b) == ERR_OK;
}

/* VONG.DROP from to: this node has no copy of these slots any more. */
static bool mark_drop(struct aof_reader *r, const struct slice *argv, uint32_t argc,
                      struct aof_batch *b)
{
    uint64_t v[2];
    if (mark_numbers(argv, argc, v, 2) != 2 || v[0] > v[1] || v[1] >= SLOTS)
        return false;
    for (uint64_t slot = v[0]; slot <= v[1]; slot++)
        lineage_clear(&r->o.slots[slot]);
    struct slice from = argv[1], to = argv[2];
    hand_word(r, b, SLICE("VONG.FLUSHSLOT"), 3);
    *vec_add(&b->args) = from;
    *vec_add(&b->args) = to;
    return true;
}

/* VONG.EPOCH epoch from to: it begins in these slots, both included, each behind its newest record.
 * A base may be newer than the increment that says so. Where records are missing the next one
 * freezes the slot again. */
static void epoch_begin(struct lineage *l, uint64_t epoch)
{
    if (epoch <= l->epoch && l->starts_n > 0)
        return;
    l->frozen = false;
    lineage_begin(l, epoch);
}

/* VONG.FENCE epoch from to */
static void fence_raise(struct lineage *l, uint64_t epoch)
{
    if (epoch > l->fence)
        l->fence = epoch; /* R3 */
}

static bool mark_range(struct aof_reader *r, const struct slice *argv, uint32_t argc,
                       void (*take)(struct lineage *l, uint64_t epoch))
{
    uint64_t v[3];
    if (mark_numbers(argv, argc, v, 3) != 3 || v[1] > v[2] || v[2] >= SLOTS)
        return false;
    for (uint64_t slot = v[1]; slot <= v[2]; slot++)
        take(&r->o.slots[slot], v[0]);
    return true;
}

void aof_convert(struct lineage *slots)
{
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        lineage_clear(&slots[slot]);
        lineage_begin(&slots[slot], 0);
        lineage_next(&slots[slot]);
        slots[slot].logged = slots[slot].at.seq; /* that one is no record */
    }
}

static void take_mark(struct aof_reader *r, const struct slice *argv, uint32_t argc,
                      struct aof_batch *b)
{
    bool good = false;
    if (r->o.slots == NULL) {
        refuse(r, foreign_form);
        return;
    }
    switch (mark_of(argv[0])) {
    case MARK_SLOT: good = mark_slot(r, argv, argc); break;
    case MARK_EPOCH: good = mark_range(r, argv, argc, epoch_begin); break;
    case MARK_FENCE: good = mark_range(r, argv, argc, fence_raise); break;
    case MARK_CLUSTER:
        good = argc == 1;
        aof_convert(r->o.slots);
        break;
    case MARK_DUMP: good = mark_dump(r, argv, argc, b); break;
    case MARK_DROP: good = mark_drop(r, argv, argc, b); break;
    case MARK_PART: good = mark_part(r, argv, argc, b); break;
    case MARK_PARTS: good = mark_parts(r, argv, argc, b); break;
    case MARKS: break;
    }
    r->form = AOF_FORM_CLUSTER;
    if (!good)
        refuse(r,
               "a mark of a cluster's node is not well-formed: it was not written by vong-server");
}

/* The words just parsed become a command of the batch, or change where the next ones stand. */
static enum word hand_out(struct aof_reader *r, struct aof_batch *b, uint32_t argc)
{
    uint32_t first = (uint32_t)(b->args.n - argc);
    const struct slice *argv = b->args.at + first;
    if (r->checked > 0 && argv[0].n > 5 && argv[0].p[0] == 'V' && mark_of(argv[0]) != MARKS) {
        size_t commands_n = b->commands.n;
        take_mark(r, argv, argc, b);
        if (b->commands.n == commands_n)
            b->args.n = first;
        return WORD_OTHER;
    }
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
        else if (r->o.slots == NULL)
            refuse(r, "a record is for a database that `databases` does not permit: raise it, and "
                      "start again");
        else
            refuse(r, "a record is for another database than 0, and a cluster has no other: start "
                      "with cluster-enabled no, empty the other databases, BGREWRITEAOF, and start "
                      "again once it is done");
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
        return refuse(
            r, "a record whose checksum holds is no command: it was not written by vong-server");
    hand_out(r, b, argc);
    r->checked -= p.at;
    return p.at;
}

/* ------------------------------------------------------- lines beginning with # */

/* Between two increments a tail may have been lost to the byte; behind a base nothing can be. */
static size_t bad_gap(struct aof_reader *r)
{
    bad(r, "records are missing before this one");
    r->bad_is_before = !r->has_records;
    r->bad_was_durable = !r->has_records && (!r->had_increment || r->has_notes);
    return 0;
}

static size_t take_alone(struct aof_reader *r, const struct note *n)
{
    if (n->slot != SLOT_ALONE || n->at.epoch != EPOCH_ALONE)
        return refuse(r, foreign_form);
    if (n->at.seq != r->alone.at.seq + 1)
        return bad_gap(r);
    lineage_next(&r->alone);
    r->checked = n->len;
    return n->line_n;
}

/* replication 25 */
static size_t take_of_slot(struct aof_reader *r, const struct note *n)
{
    struct lineage *l = &r->o.slots[n->slot];
    r->form = AOF_FORM_CLUSTER;
    enum lineage_fit fit = l->frozen ? LINEAGE_KNOWN : lineage_fit(l, n->at);
    if (fit == LINEAGE_GAP)
        l->frozen = true; /* R4 */
    if (fit != LINEAGE_NEXT)
        return n->line_n + n->len;
    lineage_take(l, n->at);
    r->checked = n->len;
    return n->line_n;
}

/* A lone log begins with seq 1 of epoch 1, or a base; before a cluster's first record
 * its epoch began. */
static bool is_lone(const struct aof_reader *r, const struct note *n)
{
    if (r->o.slots == NULL || r->form == AOF_FORM_LONE)
        return true;
    return r->form == AOF_FORM_OPEN && n->slot == SLOT_ALONE && n->at.epoch == EPOCH_ALONE;
}

static size_t take_positioned(struct aof_reader *r, const struct note *n)
{
    bool lone = is_lone(r, n);
    if (lone)
        r->form = AOF_FORM_LONE;
    size_t used = lone ? take_alone(r, n) : take_of_slot(r, n);
    if (used > 0) {
        r->records_n++;
        r->has_records = r->has_notes = true;
    }
    return used;
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
        r->is_clean = false;
        if (n->at.seq > 0)
            return take_positioned(r, n);
        if (r->o.slots == NULL)
            return refuse(r, foreign_form);
    }
    r->has_notes = true;
    r->checked = n->len;
    return n->line_n;
}

/* A cluster's base has no position of its own: #B 0 0 0. */
static bool take_base(struct aof_reader *r, const struct note *n)
{
    bool of_cluster = n->at.epoch == 0;
    if (!r->is_base || r->offset != 0)
        return false;
    if (n->slot != SLOT_ALONE || (!of_cluster && n->at.epoch != EPOCH_ALONE) ||
        (of_cluster && r->o.slots == NULL))
        refuse(r, foreign_form);
    r->form = of_cluster ? AOF_FORM_CLUSTER : AOF_FORM_LONE;
    r->is_marked = true;
    if (!of_cluster)
        r->alone.at = n->at;
    return true;
}

static bool take_end(struct aof_reader *r, const struct note *n)
{
    if (n->offset != r->offset || (r->is_base && !r->is_marked))
        return false;
    r->is_ended = r->is_base;
    r->is_clean = !r->is_base;
    return true;
}

/* Lines without bytes behind them. */
static size_t take_line(struct aof_reader *r, const struct note *n)
{
    bool in_place = false;
    r->is_clean = false;
    switch (n->type) {
    case NOTE_BASE: in_place = take_base(r, n); break;
    case NOTE_END: in_place = take_end(r, n); break;
    case NOTE_DURABLE: in_place = !r->is_base && n->offset <= r->offset; break;
    case NOTE_FORERUNNER:
        in_place = !r->is_base;
        if (in_place && r->had_increment && n->offset != r->size_before)
            return bad_gap(r);
        break;
    case NOTE_LOST:
        in_place = true;
        r->lost_bytes = n->offset > 0 ? r->lost_bytes + n->offset : 0;
        break;
    case NOTE_RUN:
        in_place = !r->is_base;
        r->run = n->run;
        break;
    case NOTE_RECORD:
    case NOTE_CHUNK: break;
    }
    if (r->is_refused)
        return 0;
    if (!in_place)
        return bad(r, "an annotation line is not where it belongs");
    r->has_notes = true;
    return n->line_n;
}

/* Plain text, as people and Redis write it. What a crash leaves of a line of ours (zeros, rubbish)
 * is none: taken for a comment, it would let in the command behind it, without the records that
 * were lost before it. */
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
        return in.n < max ? wait_for(r, in, max, at_end)
                          : bad(r, "an annotation line does not end");
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
static enum parsed parse_unit(struct aof_reader *r, struct parse *p, struct aof_batch *b,
                              bool *is_effect)
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

/* As Redis writes them: the next seq is theirs. A zero is a page that a power cut kept
 * from the disk. */
static size_t take_foreign(struct aof_reader *r, struct slice in, bool at_end, struct aof_batch *b)
{
    if (r->is_marked)
        return bad(r, "a base holds bytes that do not belong there");
    if (r->form == AOF_FORM_CLUSTER) {
        r->bad_is_foreign = in.p[0] != '\0';
        return bad(r, "here begins no annotation");
    }
    size_t commands_n = b->commands.n, args_n = b->args.n;
    unsigned db = r->db;
    struct parse p = {.in = in, .in_max = r->size - r->offset};
    bool is_effect;
    enum parsed got = parse_unit(r, &p, b, &is_effect);
    if (got == PARSED) {
        r->form = AOF_FORM_LONE;
        r->alone.at.seq += is_effect;
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

/* A line that may be ours at the beginning of in. A record that holds is passed over whole: its
 * value may look like anything. */
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

/* What the base says of slots is no turn in an increment (A5). */
static void increments_begin(struct aof_reader *r)
{
    for (unsigned slot = 0; r->o.slots != NULL && slot < SLOTS; slot++)
        lineage_based(&r->o.slots[slot], r->o.slots[slot].at.seq, r->o.slots[slot].turns);
}

void aof_file(struct aof_reader *r, const char *name, bool is_base, uint64_t size)
{
    if (r->files_n > 0 && r->offset != r->size && !r->is_refused)
        refuse(r, "the file's size is not what it was");
    r->had_increment = r->files_n > 0 && !r->is_base;
    if (!is_base && !r->had_increment)
        increments_begin(r);
    r->files_n++;
    snprintf(r->name, sizeof(r->name), "%s", name);
    r->size_before = r->size;
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
        return refuse(
            r,
            "the file has an RDB preamble. On the Redis side: CONFIG SET aof-use-rdb-preamble no, "
            "then BGREWRITEAOF, and copy the directory again");
    return take_foreign(r, in, at_end, b);
}

/* Behind a bad place: an increment of Redis' own was not begun by a switch of ours. */
static void see_foreign_file(struct aof_reader *r, struct slice in)
{
    if (r->offset == 0 && r->files_n - 1 > r->bad_file && (in.p[0] == '*' || in.p[0] == 'R'))
        r->bad_was_durable = true;
}

size_t aof_feed(struct aof_reader *r, struct slice in, bool at_end, struct aof_batch *batch,
                size_t max)
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
                 "%s%s%s is damaged at byte %llu: %s. That is no torn tail, %llu bytes from there "
                 "on are at stake: restore the directory from a backup, or let `vong-check-aof "
                 "--fix` cut there, and start again",
                 dir, slash, name, at, r->bad_why, bytes);
        return AOF_REFUSED;
    }
    if (!r->o.cut_torn) {
        snprintf(r->text, sizeof(r->text),
                 "%s%s%s has a torn tail at byte %llu: %s. Set aof-load-truncated to yes, or let "
                 "`vong-check-aof --fix` cut its %llu bytes, and start again",
                 dir, slash, name, at, r->bad_why, bytes);
        return AOF_REFUSED;
    }
    snprintf(r->text, sizeof(r->text),
             "%s%s%s: a torn tail is cut at byte %llu: %s. %llu bytes, never synced, are dropped",
             dir, slash, name, at, r->bad_why, bytes);
    return AOF_CUT;
}

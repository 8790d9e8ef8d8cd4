/* SPDX-License-Identifier: BSD-3-Clause */
#include "persist/raft_file.h"

#include <stdio.h>

#include "base/bounds.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/num.h"

/* Numbers are big-endian, so that a dump of the file can be read. */

enum { HANDLE_SNAPSHOT, HANDLE_EVEN, HANDLE_ODD };

static const char snapshot_name[] = RAFT_DIR "/snapshot", aside_name[] = RAFT_DIR "/temp-snapshot";

static void put_u32(struct chain *c, uint32_t v)
{
    char b[4] = {(char)(v >> 24), (char)(v >> 16), (char)(v >> 8), (char)v};
    chain_put(c, slice_of(b, sizeof(b)));
}

static void put_u64(struct chain *c, uint64_t v)
{
    put_u32(c, (uint32_t)(v >> 32));
    put_u32(c, (uint32_t)v);
}

static uint32_t u32_at(const char *p)
{
    const unsigned char *b = (const unsigned char *)p;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static uint64_t u64_at(const char *p)
{
    return (uint64_t)u32_at(p) << 32 | u32_at(p + 4);
}

static void segment_name(char to[DISK_NAME_BYTES], uint64_t number)
{
    snprintf(to, DISK_NAME_BYTES, RAFT_DIR "/log.%llu", (unsigned long long)number);
}

static uint32_t crc_of_chain(const struct chain *c)
{
    uint32_t crc = 0;
    for (const struct chain_part *part = c->head; part != NULL; part = part->next)
        crc = crc32c(crc, slice_of(part->p, part->n));
    return crc;
}

/* ------------------------------------------------------------------------- items and frames
 *
 *     frame:  "VRFT" <crc 4> <number 8> <body's length 4>, body, zeroes up to a multiple of 8
 *             the crc is CRC-32C of the number, the length and the body
 *     items:  'S' <term 8> <vote 36>             term and vote
 *             'L' <index 8> <term 8>             where the log ended when this segment began
 *             'E' <index 8> <term 8> <type 1> <length 4>, bytes
 *                                                an entry; those from its index on are no more
 *             'R' <index 8> <term 8>             the log is empty behind this one */

static const char frame_magic[4] = {'V', 'R', 'F', 'T'}, snapshot_magic[4] = {'V', 'R', 'S', 'N'};
enum {
    FRAME_HEAD = 20,
    FRAME_ALIGN = 8,
    STATE_ITEM = 45,
    PLACE_ITEM = 17,
    ENTRY_ITEM = 22,
    SNAPSHOT_HEAD = 36
};

static void put_item_state(struct chain *c, uint64_t term, const struct raft_peer *vote)
{
    chain_put(c, SLICE("S"));
    put_u64(c, term);
    chain_put(c, slice_of(vote->node.b, sizeof(vote->node.b)));
    chain_put(c, slice_of(vote->data.b, sizeof(vote->data.b)));
}

static void put_item_place(struct chain *c, const char *kind, uint64_t index, uint64_t term)
{
    chain_put(c, slice_of(kind, 1));
    put_u64(c, index);
    put_u64(c, term);
}

static void put_item_entry(struct chain *c, uint64_t index, const struct raft_entry *e)
{
    put_item_place(c, "E", index, e->term);
    char type = (char)e->type;
    chain_put(c, slice_of(&type, 1));
    put_u32(c, (uint32_t)e->bytes.n);
    chain_put(c, e->bytes);
}

static void put_frame(struct chain *to, uint64_t number, struct chain *body)
{
    static const char zeroes[FRAME_ALIGN];
    struct chain counted = {0};
    size_t n = body->n;
    put_u64(&counted, number);
    put_u32(&counted, (uint32_t)n);
    chain_append(&counted, body);
    chain_put(to, slice_of(frame_magic, sizeof(frame_magic)));
    put_u32(to, crc_of_chain(&counted));
    chain_append(to, &counted);
    chain_put(to, slice_of(zeroes, (FRAME_ALIGN - (FRAME_HEAD + n) % FRAME_ALIGN) % FRAME_ALIGN));
}

/* A whole frame at `at`? */
static bool frame_at(struct slice file, size_t at, uint64_t *number, struct slice *body,
                     size_t *next)
{
    struct slice s = slice_from(file, at);
    if (s.n < FRAME_HEAD || memcmp(s.p, frame_magic, sizeof(frame_magic)) != 0)
        return false;
    uint32_t n = u32_at(s.p + 16);
    if (n > s.n - FRAME_HEAD || crc32c(0, slice_of(s.p + 8, 12 + (size_t)n)) != u32_at(s.p + 4))
        return false;
    *number = u64_at(s.p + 8);
    *body = slice_of(s.p + FRAME_HEAD, n);
    *next = at + FRAME_HEAD + n + (FRAME_ALIGN - (FRAME_HEAD + n) % FRAME_ALIGN) % FRAME_ALIGN;
    return *next <= file.n; /* without the zeroes behind it, it is not whole either */
}

/* ------------------------------------------------------------------------- the snapshot's file
 *
 *     "VRSN" <crc 4> <index 8> <term 8> <voters' length 4> <length 8>, voters, bytes
 *     the crc is CRC-32C of all that follows it */

static void put_snapshot(struct chain *to, const struct raft_snapshot *s)
{
    char voters[RAFT_VOTERS_BYTES];
    size_t voters_n = raft_voters_put(voters, &s->voters);
    struct chain counted = {0};
    put_u64(&counted, s->index);
    put_u64(&counted, s->term);
    put_u32(&counted, (uint32_t)voters_n);
    put_u64(&counted, s->bytes.n);
    chain_put(&counted, slice_of(voters, voters_n));
    chain_put(&counted, s->bytes);
    chain_put(to, slice_of(snapshot_magic, sizeof(snapshot_magic)));
    put_u32(to, crc_of_chain(&counted));
    chain_append(to, &counted);
}

static enum err get_snapshot(struct slice file, struct raft_snapshot *s)
{
    if (file.n < SNAPSHOT_HEAD || memcmp(file.p, snapshot_magic, sizeof(snapshot_magic)) != 0 ||
        crc32c(0, slice_from(file, 8)) != u32_at(file.p + 4))
        return ERR_CORRUPT;
    size_t voters_n = u32_at(file.p + 24), left = file.n - SNAPSHOT_HEAD;
    uint64_t n = u64_at(file.p + 28);
    if (voters_n > left || n != left - voters_n || n > RAFT_SNAPSHOT_BYTES)
        return ERR_CORRUPT;
    *s = (struct raft_snapshot){.index = u64_at(file.p + 8), .term = u64_at(file.p + 16)};
    s->bytes = slice_from(file, SNAPSHOT_HEAD + voters_n);
    return raft_voters_get(&s->voters, slice_of(file.p + SNAPSHOT_HEAD, voters_n)) == ERR_OK
               ? ERR_OK
               : ERR_CORRUPT;
}

/* ------------------------------------------------------------------------- loading */

static enum err refuse(struct raft_loaded *l, const char *file, uint64_t at, const char *what)
{
    snprintf(l->text, sizeof(l->text),
             "%s is damaged at offset %llu: %s. The node may not vote on from it. If other voters "
             "are alive, move the directory " RAFT_DIR
             " away and start again: the node then joins them with an empty log, as a new voter. "
             "Otherwise bring the file back from a copy of this very directory",
             file, (unsigned long long)at, what);
    return ERR_CORRUPT;
}

static uint64_t loaded_last(const struct raft_loaded *l)
{
    return l->base + l->entries.n;
}

static uint64_t loaded_last_term(const struct raft_loaded *l)
{
    return l->entries.n > 0 ? l->entries.at[l->entries.n - 1].term : l->base_term;
}

static void load_place(struct raft_loaded *l, uint64_t index, uint64_t term)
{
    l->base = index;
    l->base_term = term;
    l->entries.n = 0;
}

/* Returns what does not fit; NULL: all is well. */
static const char *load_entry(struct raft_loaded *l, struct raft_segment *segment, struct slice s,
                              size_t *used)
{
    uint64_t index = u64_at(s.p + 1), term = u64_at(s.p + 9);
    unsigned type = (unsigned char)s.p[17];
    uint32_t n = u32_at(s.p + 18);
    if (type == 0 || type >= RAFT_ENTRY_TYPES || n > RAFT_ENTRY_BYTES || n > s.n - ENTRY_ITEM)
        return "an entry in it is none";
    if (index <= l->base && l->is_base_loose && index > 0)
        load_place(l, index - 1, 0); /* the segment's beginning knew of entries that this one cut */
    if (index <= l->base || index > loaded_last(l) + 1)
        return "an entry does not follow the one before it";
    l->entries.n = (size_t)(index - l->base - 1);
    if (term < loaded_last_term(l))
        return "an entry is of an older term than the one before it";
    *vec_add(&l->entries) = (struct raft_entry){
        .term = term, .type = (enum raft_entry_type)type, .bytes = slice_of(s.p + ENTRY_ITEM, n)};
    if (index > segment->last)
        segment->last = index;
    *used = ENTRY_ITEM + n;
    return NULL;
}

static const char *load_item(struct raft_loaded *l, struct raft_segment *segment, struct slice s,
                             size_t *used)
{
    char kind = s.p[0];
    if (kind == 'S' && s.n >= STATE_ITEM) {
        l->saved.term = u64_at(s.p + 1);
        memcpy(l->saved.vote.node.b, s.p + 9, sizeof(l->saved.vote.node.b));
        memcpy(l->saved.vote.data.b, s.p + 29, sizeof(l->saved.vote.data.b));
        *used = STATE_ITEM;
        return NULL;
    }
    if ((kind == 'L' || kind == 'R') && s.n >= PLACE_ITEM) {
        uint64_t index = u64_at(s.p + 1), term = u64_at(s.p + 9);
        bool is_first = l->segments.n == 1 && l->base == 0 && l->entries.n == 0;
        if (kind == 'R' || is_first) {
            load_place(l, index, term);
            l->is_base_loose = is_first && kind == 'L';
        } else if (index != loaded_last(l) || term != loaded_last_term(l))
            return "the segment does not follow the one before it";
        *used = PLACE_ITEM;
        return NULL;
    }
    if (kind == 'E' && s.n >= ENTRY_ITEM)
        return load_entry(l, segment, s, used);
    return "it holds what is no item";
}

static bool is_zero(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] != 0)
            return false;
    return true;
}

/* A later frame proves that what lies before it was on disk whole: each is written once the one
 * before is synced. */
static bool later_frame_follows(const struct raft_loaded *l, struct slice file, size_t at)
{
    uint64_t number;
    struct slice body;
    size_t next;
    for (at += (FRAME_ALIGN - at % FRAME_ALIGN) % FRAME_ALIGN; at < file.n; at += FRAME_ALIGN)
        if (frame_at(file, at, &number, &body, &next) && number > l->frames)
            return true;
    return false;
}

/* *is_whole: every byte of it is frames, or zero. False: they end at *end, and what follows is
 * torn. */
static enum err load_segment(struct raft_loaded *l, struct slice file, uint64_t number, size_t *end,
                             bool *is_whole)
{
    char name[DISK_NAME_BYTES];
    uint64_t frame;
    struct slice body;
    size_t next;
    segment_name(name, number);
    *vec_add(&l->segments) = (struct raft_segment){.number = number};
    struct raft_segment *segment = &l->segments.at[l->segments.n - 1];
    size_t at = 0;
    for (; frame_at(file, at, &frame, &body, &next); at = next) {
        if (l->frames != 0 && frame != l->frames + 1)
            return refuse(l, name, at, "a frame is missing before it");
        for (size_t used = 0; body.n > 0; body = slice_from(body, used)) {
            const char *wrong = load_item(l, segment, body, &used);
            if (wrong != NULL)
                return refuse(l, name, at, wrong);
        }
        l->frames = frame;
    }
    *end = at;
    *is_whole = is_zero(slice_from(file, at));
    if (!*is_whole && later_frame_follows(l, file, at))
        return refuse(l, name, at, "a frame that was stored does not hold");
    return ERR_OK;
}

static const struct raft_found *found_number(const struct raft_found *found, size_t n,
                                             uint64_t number)
{
    char name[DISK_NAME_BYTES];
    segment_name(name, number);
    for (size_t i = 0; i < n; i++)
        if (slice_equal(found[i].name, slice_str(name + sizeof(RAFT_DIR))))
            return &found[i];
    return NULL;
}

/* Which segments make the log: the newest and those before it without a gap. Older ones were to be
 * deleted, and a power cut kept them. */
static void number_segments(struct raft_loaded *l, const struct raft_found *found, size_t n,
                            uint64_t *from, uint64_t *to)
{
    *to = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t number;
        if (found[i].name.n > 4 && memcmp(found[i].name.p, "log.", 4) == 0 &&
            num_get_u64(slice_from(found[i].name, 4), &number) && number > *to)
            *to = number;
    }
    for (*from = *to; *from > 1 && found_number(found, n, *from - 1) != NULL;)
        (*from)--;
    for (size_t i = 0; i < n; i++) {
        uint64_t number;
        if (found[i].name.n > 4 && memcmp(found[i].name.p, "log.", 4) == 0 &&
            num_get_u64(slice_from(found[i].name, 4), &number) && number < *from)
            *vec_add(&l->stray) = number;
    }
}

static enum err load_segments(struct raft_loaded *l, const struct raft_found *found, size_t n)
{
    uint64_t from, to;
    char name[DISK_NAME_BYTES];
    number_segments(l, found, n, &from, &to);
    for (uint64_t number = from; number <= to && to > 0; number++) {
        size_t end;
        bool is_whole;
        const struct raft_found *file = found_number(found, n, number);
        TRY(load_segment(l, file->bytes, number, &end, &is_whole));
        if (end < file->bytes.n && number < to) {
            segment_name(name, number); /* the next one was begun when this one was synced */
            return refuse(l, name, end, "it is not whole, and a later one exists");
        }
        l->torn_bytes = is_whole ? 0 : file->bytes.n - end;
        l->cut_segment = number;
        l->cut_at = end;
    }
    return ERR_OK;
}

/* The snapshot stands for everything up to its index. Where the log does not have that very entry,
 * it stands for all of it: it was installed, and the log was of another history or shorter. */
static void fit_snapshot(struct raft_loaded *l)
{
    const struct raft_snapshot *s = &l->saved.snapshot;
    bool has = s->index <= loaded_last(l);
    l->end = (struct raft_end){loaded_last(l), loaded_last_term(l), l->saved.term, l->saved.vote};
    if (has) {
        uint64_t term =
            s->index == l->base ? l->base_term : l->entries.at[s->index - l->base - 1].term;
        has = term == s->term;
    }
    if (!has) {
        load_place(l, s->index, s->term);
        l->is_fitted = true;
    }
    l->saved.first = l->base + 1;
    l->saved.entries = l->entries.at;
    l->saved.n = l->entries.n;
}

enum err raft_file_load(struct raft_loaded *l, const struct raft_found *found, size_t n)
{
    *l = (struct raft_loaded){0};
    for (size_t i = 0; i < n; i++) {
        if (slice_equal(found[i].name, SLICE("temp-snapshot")))
            l->has_aside = true;
        if (slice_equal(found[i].name, SLICE("snapshot")) &&
            get_snapshot(found[i].bytes, &l->saved.snapshot) != ERR_OK)
            return refuse(l, snapshot_name, 0, "its checksum or its form does not hold");
    }
    TRY(load_segments(l, found, n));
    if (l->base > l->saved.snapshot.index)
        return refuse(l, RAFT_DIR, 0, "entries are missing between the snapshot and the log");
    fit_snapshot(l);
    l->is_empty = l->frames == 0 && l->saved.snapshot.index == 0;
    if (l->frames == 0 && l->saved.snapshot.index > 0)
        return refuse(l, RAFT_DIR, 0,
                      "there is a snapshot, and the log that tells term and vote is missing");
    return ERR_OK;
}

void raft_loaded_free(struct raft_loaded *l)
{
    vec_free(&l->entries);
    vec_free(&l->segments);
    vec_free(&l->stray);
}

/* ------------------------------------------------------------------------- writing */

static void gather_reset(struct raft_file *f, uint64_t index, uint64_t term)
{
    put_item_place(&f->body, "R", index, term);
    f->has_body = true;
    f->gathered.last = index;
    f->gathered.last_term = term;
}

void raft_file_init(struct raft_file *f, const struct raft_loaded *l)
{
    char name[DISK_NAME_BYTES];
    *f = (struct raft_file){.steps = {.asker = ASKER_RAFT},
                            .frames = l->frames,
                            .gathered = l->end,
                            .asked = l->end,
                            .durable_snapshot = l->saved.snapshot.index};
    if (l->is_fitted)
        gather_reset(f, l->base, l->base_term);
    for (size_t i = 0; i < l->segments.n; i++)
        *vec_add(&f->segments) = l->segments.at[i];
    for (size_t i = 0; i < l->stray.n; i++) {
        segment_name(name, l->stray.at[i]);
        step_unlink(&f->steps, name);
    }
    if (l->has_aside)
        step_unlink(&f->steps, aside_name);
    if (l->cut_segment == 0)
        return;
    segment_name(name, l->cut_segment);
    if (l->cut_at > 0) {
        step_truncate(&f->steps, name, l->cut_at);
        return;
    }
    f->segments.n--; /* it never held anything */
    step_unlink(&f->steps, name);
    step_sync_dir(&f->steps, name); /* its number is used again */
}

void raft_file_free(struct raft_file *f)
{
    steps_free(&f->steps);
    chain_free(&f->body, NULL);
    chain_free(&f->snapshot, NULL);
    vec_free(&f->segments);
}

static void gather_snapshot(struct raft_file *f, const struct raft_store *s)
{
    chain_free(&f->snapshot, NULL);
    put_snapshot(&f->snapshot, s->snapshot);
    f->snapshot_index = s->snapshot->index;
    if (s->is_reset)
        gather_reset(f, s->snapshot->index, s->snapshot->term);
}

void raft_file_store(struct raft_file *f, const struct raft_store *s)
{
    check(s->token > f->gathered_token);
    f->gathered_token = s->token;
    if (s->has_state) {
        put_item_state(&f->body, s->term, &s->vote);
        f->has_body = true;
        f->gathered.term = s->term;
        f->gathered.vote = s->vote;
    }
    if (s->snapshot != NULL)
        gather_snapshot(f, s);
    for (size_t i = 0; i < s->n; i++)
        put_item_entry(&f->body, s->first + i, &s->entries[i]);
    if (s->n > 0) {
        f->has_body = true;
        f->gathered.last = s->first + s->n - 1;
        f->gathered.last_term = s->entries[s->n - 1].term;
        if (f->gathered.last > f->greatest)
            f->greatest = f->gathered.last;
    }
}

static void ask_snapshot(struct raft_file *f)
{
    step_open(&f->steps, HANDLE_SNAPSHOT, aside_name);
    step_write(&f->steps, HANDLE_SNAPSHOT, &f->snapshot);
    step_sync(&f->steps, HANDLE_SNAPSHOT);
    step_close(&f->steps, HANDLE_SNAPSHOT);
    step_rename(&f->steps, aside_name, snapshot_name);
    step_sync_dir(&f->steps, snapshot_name);
    f->asked_snapshot = f->snapshot_index;
    f->snapshot_index = 0;
}

/* A segment begins with what a reader needs who finds none before it. */
static void ask_segment(struct raft_file *f, struct chain *to)
{
    char name[DISK_NAME_BYTES];
    uint64_t number = f->segments.n > 0 ? f->segments.at[f->segments.n - 1].number + 1 : 1;
    if (f->is_open)
        step_close(&f->steps, f->handle);
    f->is_open = true;
    f->handle = number % 2 == 0 ? HANDLE_EVEN : HANDLE_ODD;
    f->size = 0;
    segment_name(name, number);
    *vec_add(&f->segments) = (struct raft_segment){.number = number};
    step_open(&f->steps, f->handle, name);
    step_sync_dir(&f->steps, name);
    struct chain body = {0};
    put_item_place(&body, "L", f->asked.last, f->asked.last_term);
    put_item_state(&body, f->asked.term, &f->asked.vote);
    put_frame(to, ++f->frames, &body);
}

static void ask_frame(struct raft_file *f)
{
    struct chain bytes = {0};
    if (!f->is_open || f->size + f->body.n > RAFT_SEGMENT_BYTES)
        ask_segment(f, &bytes);
    put_frame(&bytes, ++f->frames, &f->body);
    f->has_body = false;
    f->asked = f->gathered;
    f->size += bytes.n;
    struct raft_segment *segment = &f->segments.at[f->segments.n - 1];
    if (f->greatest > segment->last)
        segment->last = f->greatest;
    f->greatest = 0;
    step_write(&f->steps, f->handle, &bytes);
    step_sync(&f->steps, f->handle);
}

/* Segments before the newest whose entries the snapshot on disk stands for. */
static void ask_removals(struct raft_file *f)
{
    char name[DISK_NAME_BYTES];
    size_t n = 0;
    for (; n + 1 < f->segments.n && f->segments.at[n].last <= f->durable_snapshot; n++) {
        segment_name(name, f->segments.at[n].number);
        step_unlink(&f->steps, name);
    }
    f->segments.n -= n;
    memmove(f->segments.at, f->segments.at + n, f->segments.n * sizeof(*f->segments.at));
}

void raft_file_run(struct raft_file *f, struct disk_ops *out)
{
    if (steps_idle(&f->steps) && f->steps.failed == NULL && f->asked_token < f->gathered_token) {
        if (f->snapshot_index > 0)
            ask_snapshot(f);
        if (f->has_body)
            ask_frame(f);
        f->asked_token = f->gathered_token;
    }
    steps_run(&f->steps, out);
}

void raft_file_done(struct raft_file *f, struct disk_done *done)
{
    steps_done(&f->steps, done);
    if (!steps_idle(&f->steps) || f->steps.failed != NULL)
        return;
    f->stored_token = f->asked_token;
    if (f->asked_snapshot > 0) {
        f->durable_snapshot = f->asked_snapshot;
        f->asked_snapshot = 0;
        ask_removals(f);
    }
}

void raft_file_forget(struct raft_file *f)
{
    char name[DISK_NAME_BYTES];
    struct steps steps = f->steps;
    check(raft_file_is_idle(f));
    if (f->is_open)
        step_close(&steps, f->handle);
    while (f->segments.n > 0) { /* from the end: what is left is a log */
        segment_name(name, f->segments.at[--f->segments.n].number);
        step_unlink(&steps, name);
    }
    step_unlink(&steps, snapshot_name);
    step_sync_dir(&steps, snapshot_name);
    vec_free(&f->segments);
    *f = (struct raft_file){.steps = steps};
}

bool raft_file_is_empty(const struct raft_file *f)
{
    return f->segments.n == 0 && f->durable_snapshot == 0;
}

const char *raft_file_failed(const struct raft_file *f, char *to, size_t to_n, int *system_errno)
{
    if (f->steps.failed == NULL)
        return NULL;
    snprintf(to, to_n, "%s in the directory " RAFT_DIR " failed", f->steps.failed);
    *system_errno = f->steps.system_errno;
    return to;
}

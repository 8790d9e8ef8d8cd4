/* SPDX-License-Identifier: BSD-3-Clause */
#include "node/catch_up.h"

#include "base/check.h"
#include "node/cluster.h"
#include "node/replicate.h"
#include "node/state.h"

enum { READ_BYTES = 256 * 1024 };      /* a turn's share: about a millisecond (N22) */
enum { READ_BIG_BYTES = 1024 * 1024 }; /* ... of a big record, which is of more than that */
/* Kept until it is said, a slot's records together. */
enum { HOLD_BYTES = 4 * 1024 * 1024 };
/* It reads at most twice the increments as they were, and so much: others wait for its place. */
enum { MORE_BYTES = 16 * 1024 * 1024 };
enum { RECORD_MOST_BYTES = 1024 * 1024 * 1024 }; /* a longer one is none: values are shorter */

static struct replicas *of(const struct node *n)
{
    return n->cluster->replicas;
}

static void big_drop(struct node *n, struct log_pass *p)
{
    if (p->big != NULL)
        blob_drop(p->big, &n->store.graves);
    p->big = NULL;
}

static void pass_free(struct node *n, struct log_pass *p)
{
    big_drop(n, p);
    mem_free(p->turns);
    buf_free(&p->in);
    *p = (struct log_pass){0};
}

static struct log_pass *pass_of(const struct node *n, uint32_t link)
{
    for (unsigned i = 0; i < PASSES_AT_ONCE; i++)
        if (of(n)->passes[i].used && of(n)->passes[i].link == link)
            return &of(n)->passes[i];
    return NULL;
}

void catch_up_drop(struct node *n, uint32_t link)
{
    struct log_pass *p = pass_of(n, link);
    if (p != NULL)
        pass_free(n, p);
}

/* --------------------------------------------------------------------- files */

/* The first increment with this number or a greater one; NULL: there is none. */
static const struct manifest_file *increment_from(const struct node *n, uint64_t number)
{
    const struct manifest *m = &n->rewrite.manifest;
    for (size_t i = 0; i < m->files.n; i++)
        if (m->files.at[i].type == 'i' && m->files.at[i].seq >= number)
            return &m->files.at[i];
    return NULL;
}

static bool is_present(const struct node *n, const struct manifest_file *f)
{
    char path[DISK_NAME_BYTES];
    log_path(path, &n->rewrite.names, f->name);
    return n->journal.file.open && strcmp(path, n->journal.file.name) == 0;
}

bool catch_up_may(const struct node *n)
{
    const struct manifest *m = &n->rewrite.manifest;
    if (!n->rewrite.is_found ||
        (n->journal.state != JOURNAL_OK && n->journal.state != JOURNAL_FULL))
        return false;
    for (size_t i = 0; i < m->files.n; i++)
        if (m->files.at[i].type == 'i' && is_present(n, &m->files.at[i]))
            return true;
    return false;
}

/* --------------------------------------------------------------------- items */

enum item { ITEM_TAKEN, ITEM_WANTS_MORE, ITEM_BAD, ITEM_NO_ROOM };

/* A mark: a turn of some slots, perhaps. */
static enum item take_mark(struct log_pass *p, const struct note *note, struct slice whole)
{
    unsigned from, to;
    if (!note_holds(note, slice_from(whole, note->line_n)))
        return ITEM_BAD;
    if (!aof_turns(whole, &from, &to))
        return ITEM_TAKEN;
    for (unsigned slot = from; slot <= to; slot++)
        p->turns[slot] -= p->turns[slot] > 0;
    return ITEM_TAKEN;
}

/* What is read of it from now on goes there, and from there on the link as it is: a copy of all of
 * it, or a look at all of it, would keep everybody waiting (N22). */
static enum item big_begin(struct log_pass *p, const struct note *note, struct slice in)
{
    p->big = blob_try((size_t)(note->line_n + note->len));
    if (p->big == NULL)
        return ITEM_NO_ROOM;
    memcpy(p->big->p, in.p, in.n);
    p->big->n = in.n;
    p->big_note = *note;
    p->big_crc = crc32c(note->crc_of_line, slice_from(in, note->line_n));
    return ITEM_WANTS_MORE;
}

static size_t big_left(const struct log_pass *p)
{
    return (size_t)(p->big_note.line_n + p->big_note.len) - p->big->n;
}

static void big_goes_on(struct log_pass *p, const struct chain *more)
{
    check(more->n <= big_left(p));
    struct slice piece = slice_of(p->big->p + p->big->n, more->n);
    p->big->n += chain_copy(more, p->big->p + p->big->n, more->n);
    p->big_crc = crc32c(p->big_crc, piece);
}

/* It is whole. Who wanted it when it began may have it by now, or be away. */
static enum item take_big(struct node *n, struct log_pass *p)
{
    struct repl *r = &of(n)->repl;
    const struct note *note = &p->big_note;
    size_t big_n = p->big->n;
    if (p->big_crc != note->crc)
        return ITEM_BAD;
    if (repl_log_takes(r, p->place, note->slot, note->at)) {
        struct chain parts = {0};
        chain_put_blob(&parts, p->big, 0, big_n);
        repl_log_big(r, p->place, note->slot, note->at, &parts);
        chain_free(&parts, &n->store.graves);
        p->sent += big_n;
    }
    big_drop(n, p);
    p->offset += big_n;
    p->left -= big_n < p->left ? big_n : p->left;
    return ITEM_TAKEN;
}

/* The item at the beginning of `in`: so many bytes of the file are done with, which may be more
 * than were read. */
static enum item take_item(struct node *n, struct log_pass *p, struct slice in, uint64_t *used)
{
    struct repl *r = &of(n)->repl;
    struct note note;
    const char *end = memchr(in.p, '\n', in.n < NOTE_LINE_BYTES ? in.n : NOTE_LINE_BYTES);
    if (end == NULL && in.n < NOTE_LINE_BYTES)
        return ITEM_WANTS_MORE;
    if (end == NULL || note_get(slice_head(in, (size_t)(end + 1 - in.p)), &note) != ERR_OK)
        return ITEM_BAD;
    *used = note.line_n + note.len;
    if (note.type != NOTE_RECORD)
        return note.len == 0 ? ITEM_TAKEN : ITEM_BAD; /* pieces are a base's */
    bool is_mark = note.at.seq == 0;
    if (!is_mark && (p->turns[note.slot] > 0 || !repl_log_takes(r, p->place, note.slot, note.at)))
        return ITEM_TAKEN;
    if (note.len > RECORD_MOST_BYTES)
        return ITEM_BAD;
    if (in.n < *used)
        return is_mark || *used <= READ_BIG_BYTES ? ITEM_WANTS_MORE : big_begin(p, &note, in);
    struct slice whole = slice_head(in, (size_t)*used);
    if (is_mark)
        return take_mark(p, &note, whole);
    if (!note_holds(&note, slice_from(whole, note.line_n)))
        return ITEM_BAD;
    repl_log_record(r, p->place, note.slot, note.at, whole);
    p->sent += whole.n;
    p->held += whole.n;
    return ITEM_TAKEN;
}

/* Whatever is whole of what was read. */
static enum item take_items(struct node *n, struct log_pass *p)
{
    size_t at = 0;
    enum item got = p->big == NULL    ? ITEM_TAKEN
                    : big_left(p) > 0 ? ITEM_WANTS_MORE
                                      : take_big(n, p);
    while (at < p->in.n && got == ITEM_TAKEN) {
        uint64_t used = 0;
        got = take_item(n, p, slice_from(buf_slice(&p->in), at), &used);
        if (got != ITEM_TAKEN)
            break;
        if (used > p->in.n - at && p->at_end)
            got = ITEM_BAD;
        p->offset += used;
        p->left -= used < p->left ? used : p->left;
        at = used < p->in.n - at ? at + (size_t)used : p->in.n;
    }
    buf_drop_front(&p->in, p->big != NULL ? p->in.n : at);
    return got;
}

/* ---------------------------------------------------------------------- a pass */

static struct log_pass *pass_begin(struct node *n, const struct repl_link *l)
{
    struct repl *r = &of(n)->repl;
    struct log_pass *p = of(n)->passes;
    while (p < of(n)->passes + PASSES_AT_ONCE && p->used)
        p++;
    if (p == of(n)->passes + PASSES_AT_ONCE)
        return NULL;
    unsigned slots = repl_log_begins(r, l->place);
    if (slots == 0) { /* who waited follows by now, or is away */
        repl_log_ends(r, l->place);
        return NULL;
    }
    *p = (struct log_pass){.used = true,
                           .link = l->id,
                           .place = l->place,
                           .slots = slots,
                           .to = n->cluster->map.nodes.at[l->place].at,
                           .begun = n->now};
    p->turns = mem_get(SLOTS * sizeof(p->turns[0]));
    for (unsigned slot = 0; slot < SLOTS; slot++)
        p->turns[slot] = n->slots[slot].turns;
    buf_init(&p->in, SIZE_MAX / 2);
    p->left = 2 * (rewrite_log_bytes(&n->rewrite) - n->rewrite.base_bytes) + MORE_BYTES;
    return p;
}

/* why: NULL, or why it ends before the log does. */
static void pass_end(struct node *n, struct log_pass *p, const char *why)
{
    const struct endpoint *to = &p->to;
    char path[DISK_NAME_BYTES];
    log_increment_path(path, &n->rewrite.names, p->increment);
    if (why != NULL)
        log_say(n->log, LOG_LEVEL_WARNING,
                "the node at %s:%u cannot be sent what it lacks of %u slots out of the log (%s, "
                "byte %llu): %s. It may be sent whole slots",
                to->ip, (unsigned)to->cluster_port, p->slots,
                p->increment > 0 ? path : "before its first file", (unsigned long long)p->offset,
                why);
    else
        log_say(n->log, LOG_LEVEL_NOTICE,
                "the node at %s:%u was sent %llu bytes of what it lacks of %u slots out of the "
                "log, of %llu read in %lld ms",
                to->ip, (unsigned)to->cluster_port, (unsigned long long)p->sent, p->slots,
                (unsigned long long)p->bytes, (long long)(n->now.us - p->begun.us) / 1000);
    repl_log_ends(&of(n)->repl, p->place);
    pass_free(n, p);
}

/* Asks for more of the file. False: all that is written of the present one was read. */
static bool read_on(struct node *n, struct log_pass *p, const struct manifest_file *f,
                    struct disk_ops *disk)
{
    uint64_t at = p->offset + p->in.n + (p->big != NULL ? p->big->n : 0), most = UINT64_MAX;
    uint64_t size = p->big == NULL                 ? READ_BYTES
                    : big_left(p) < READ_BIG_BYTES ? big_left(p)
                                                   : READ_BIG_BYTES;
    p->is_present = is_present(n, f);
    if (p->is_present)
        most = journal_readable(&n->journal) > at ? journal_readable(&n->journal) - at : 0;
    p->asked = size < most ? size : most;
    if (p->asked == 0)
        return false;
    p->token = (uint64_t)ASKER_CATCH_UP << 56 | ++of(n)->pass_tokens;
    struct disk_op *op = vec_add(disk);
    *op = (struct disk_op){.type = DISK_READ,
                           .lane = LANE_BACK,
                           .token = p->token,
                           .offset = at,
                           .size = p->asked,
                           .names = mem_zero(sizeof(*op->names))};
    log_path(op->names->name, &n->rewrite.names, f->name);
    return true;
}

/* The file to go on with; NULL: it is no more. */
static const struct manifest_file *pass_file(const struct node *n, struct log_pass *p)
{
    const struct manifest_file *f = increment_from(n, p->increment + p->at_end);
    check(f != NULL); /* the present one is behind all others */
    if (p->increment != 0 && !p->at_end)
        return f->seq == p->increment ? f : NULL;
    p->increment = f->seq;
    p->offset = 0;
    p->at_end = false;
    return f;
}

/* Looks at what was read. NULL, or why the pass cannot go on. */
static const char *pass_takes(struct node *n, struct log_pass *p)
{
    if (p->failed != 0)
        return strerror(p->failed);
    if (!catch_up_may(n))
        return "the log was switched off";
    enum item got = take_items(n, p);
    if (got == ITEM_BAD)
        return "here is no record, or its checksum does not hold: BGREWRITEAOF writes the log anew";
    if (got == ITEM_NO_ROOM)
        return "there is no memory for a record that is here";
    return p->at_end && (p->is_present || p->in.n > 0 || p->big != NULL)
               ? "the file ends before it should"
               : NULL;
}

/* What is held is said, as far as there is room on the link. False: there is not, or it
 * is full now. */
static bool pass_says(struct node *n, struct log_pass *p, const struct repl_link *l)
{
    while (link_unsent(l) < LINK_ROOM_BYTES)
        if (repl_log_say(&of(n)->repl, p->place, LINK_ROOM_BYTES)) {
            p->says = false;
            p->held = 0;
            return true;
        }
    return false;
}

/* A pass that waits for no READ goes on, until it waits for one or for its link. True: it is over;
 * *why, where it had to be. */
static bool pass_step(struct node *n, struct log_pass *p, const struct repl_link *l,
                      struct disk_ops *disk, const char **why)
{
    *why = NULL;
    for (;;) {
        if (p->says && !pass_says(n, p, l))
            return false;
        *why = pass_takes(n, p);
        if (*why != NULL)
            return true;
        const struct manifest_file *f = pass_file(n, p);
        if (f == NULL) {
            *why = "a rewrite of the log has removed it";
            return true;
        }
        bool goes_on = p->held < HOLD_BYTES && p->left > 0;
        if (goes_on && (link_unsent(l) >= LINK_ROOM_BYTES || read_on(n, p, f, disk)))
            return false;
        if (p->held == 0)
            return true;
        p->says = true;
    }
}

bool catch_up_look(struct node *n, struct repl_link *l, struct disk_ops *disk)
{
    struct log_pass *p = pass_of(n, l->id);
    const char *why;
    /* one pass is for all that need it */
    bool may_begin = repl_is_pumped(&of(n)->repl, l->place);
    if (p == NULL && may_begin && repl_wants_log(&of(n)->repl, l->place))
        p = pass_begin(n, l);
    if (p == NULL || p->token != 0 || !pass_step(n, p, l, disk, &why))
        return false;
    pass_end(n, p, why);
    return true;
}

void catch_up_done(struct node *n, struct disk_done *done)
{
    struct log_pass *p = of(n)->passes;
    while (p < of(n)->passes + PASSES_AT_ONCE && !(p->used && p->token == done->token))
        p++;
    if (p < of(n)->passes + PASSES_AT_ONCE) {
        size_t got = done->rest.n;
        p->token = 0;
        p->bytes += got;
        p->failed = done->err == ERR_OK ? 0 : done->system_errno;
        p->at_end = got < p->asked;
        if (p->big != NULL) {
            big_goes_on(p, &done->rest);
        } else {
            check(buf_room(&p->in, got) == ERR_OK);
            p->in.n += chain_copy(&done->rest, p->in.p + p->in.n, got);
        }
    }
    chain_free(&done->rest, NULL);
}

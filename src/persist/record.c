/* SPDX-License-Identifier: BSD-3-Clause */
#include "persist/record.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/num.h"

/* Up to here a body is copied: cheaper than handing over its parts. */
enum { RECORD_COPY_BYTES = 4096 };
enum { CRC_CHARS = 8 };
enum { NOTE_MIN_BYTES = 3 + 1 + 1 + CRC_CHARS + 2 }; /* "#S 0 <crc>\r\n" */

/* Eight hex digits: the nibbles are spread over eight bytes, then all made digits at once. */
static inline void put_crc(char *to, uint32_t crc)
{
    uint64_t x = crc;
    x = (x << 32 | x >> 16) & 0x0000ffff0000ffffu;
    x = (x << 16 | x >> 8) & 0x00ff00ff00ff00ffu;
    x = (x << 8 | x >> 4) & 0x0f0f0f0f0f0f0f0fu;
    uint64_t letters = (x + 0x0606060606060606u) >> 4 & 0x0101010101010101u;
    x += 0x3030303030303030u + letters * ('a' - '0' - 10);
    memcpy(to, &x, CRC_CHARS);
}

static inline char *put_number(char *to, uint64_t v)
{
    if (v < 10)
        *to++ = (char)('0' + v);
    else
        to += num_put_u64(to, v);
    *to++ = ' ';
    return to;
}

static inline char *put_head(char *to, char letter)
{
    to[0] = '#';
    to[1] = letter;
    to[2] = ' ';
    return to + 3;
}

static inline char *put_tail(char *to, uint32_t crc)
{
    put_crc(to, crc);
    to[CRC_CHARS] = '\r';
    to[CRC_CHARS + 1] = '\n';
    return to + CRC_CHARS + 2;
}

/* "#V <slot> <epoch> <seq> <bytes> ": its end. */
static inline char *put_words(char *to, uint32_t slot, struct position at, size_t bytes)
{
    to = put_head(to, 'V');
    to = put_number(to, slot);
    to = put_number(to, at.epoch);
    to = put_number(to, at.seq);
    return put_number(to, bytes);
}

static uint32_t crc_of_chain(uint32_t crc, const struct chain *c)
{
    for (const struct chain_part *part = c->head; part != NULL; part = part->next)
        crc = crc32c(crc, slice_of(part->p, part->n));
    return crc;
}

/* Finishes the line whose words end at `at`, and moves the body behind it. */
static void put_line_and_body(struct chain *log, char *line, char *at, struct chain *body)
{
    uint32_t crc = crc32c(0, slice_of(line, (size_t)(at - line)));
    if (body->n > RECORD_COPY_BYTES) {
        at = put_tail(at, crc_of_chain(crc, body));
        chain_fill(log, (size_t)(at - line));
        chain_append(log, body);
        return;
    }
    char *bytes = at + CRC_CHARS + 2;
    size_t n = chain_copy(body, bytes, body->n);
    put_tail(at, crc32c(crc, slice_of(bytes, n)));
    chain_fill(log, (size_t)(bytes - line) + n);
    chain_clear(body);
}

static char *room_for(struct chain *log, const struct chain *body)
{
    return chain_room(log, NOTE_LINE_BYTES + (body->n > RECORD_COPY_BYTES ? 0 : body->n));
}

void record_put(struct chain *log, uint32_t slot, struct position at, struct chain *body)
{
    char *line = room_for(log, body);
    put_line_and_body(log, line, put_words(line, slot, at, body->n), body);
}

void record_put_flat(struct buf *to, uint32_t slot, struct position at, struct chain *body)
{
    check(buf_room(to, NOTE_LINE_BYTES + body->n) == ERR_OK);
    char *line = to->p + to->n, *end = put_words(line, slot, at, body->n);
    char *bytes = end + CRC_CHARS + 2;
    size_t n = chain_copy(body, bytes, body->n);
    uint32_t crc = crc32c(0, slice_of(line, (size_t)(end - line)));
    put_tail(end, crc32c(crc, slice_of(bytes, n)));
    to->n += (size_t)(bytes - line) + n;
    chain_clear(body);
}

enum { SEQS_OF_A_LINE = 100 };

/* The words up to the last two digits of the seq. */
static void line_begin(struct record_line *line, uint32_t slot, uint64_t epoch, uint64_t seqs)
{
    char *to = put_head(line->text, 'V');
    to = put_number(to, slot);
    to = put_number(to, epoch);
    to += seqs > 0 ? num_put_u64(to, seqs) : 0;
    line->n = (uint32_t)(to - line->text);
    line->slot = slot;
    line->epoch = epoch;
    line->seqs = seqs;
}

void record_put_there(struct chain *log, struct record_line *line, uint32_t slot,
                      struct position at, const char *body, size_t n)
{
    uint64_t seqs = at.seq / SEQS_OF_A_LINE, rest = at.seq % SEQS_OF_A_LINE;
    if (seqs != line->seqs || slot != line->slot || at.epoch != line->epoch || line->n == 0)
        line_begin(line, slot, at.epoch, seqs);
    size_t words_n = line->n + (seqs > 0 || rest > 9 ? 2 : 1) + 1 + num_chars(n) + 1;
    line->whole_n = (uint32_t)(words_n + CRC_CHARS + 2);
    char *begin = log->at, *to = begin;
    if (begin + line->whole_n != body)
        memmove(begin + line->whole_n, body, n);
    to = slice_copy(to, slice_of(line->text, line->n));
    to += seqs > 0 ? num_put_two(to, rest) : num_put_u64(to, rest);
    *to++ = ' ';
    to = put_number(to, n);
    memcpy(to + CRC_CHARS, "\r\n", 2);
    if (line->open_n == RECORDS_OPEN)
        record_seal(line);
    line->open[line->open_n++] = (struct record_open){begin, (uint32_t)words_n, (uint32_t)n};
    chain_fill(log, line->whole_n + n);
}

void record_seal(struct record_line *line)
{
    for (uint32_t i = 0; i < line->open_n; i++) {
        const struct record_open *o = &line->open[i];
        uint32_t crc = crc32c(0, slice_of(o->p, o->words_n));
        put_crc(o->p + o->words_n,
                crc32c(crc, slice_of(o->p + o->words_n + CRC_CHARS + 2, o->body_n)));
    }
    line->open_n = 0;
}

void note_put_chunk(struct chain *to, uint64_t offset, struct chain *body)
{
    char *line = room_for(to, body);
    char *at = put_head(line, 'C');
    at = put_number(at, offset);
    at = put_number(at, body->n);
    put_line_and_body(to, line, at, body);
}

static void put_line(struct chain *to, char *line, char *at)
{
    at = put_tail(at, crc32c(0, slice_of(line, (size_t)(at - line))));
    chain_fill(to, (size_t)(at - line));
}

static void put_one(struct chain *to, char letter, uint64_t v)
{
    char *line = chain_room(to, NOTE_LINE_BYTES);
    put_line(to, line, put_number(put_head(line, letter), v));
}

void note_put_durable(struct chain *to, uint64_t offset)
{
    put_one(to, 'S', offset);
}

void note_put_end(struct chain *to, uint64_t offset)
{
    put_one(to, 'E', offset);
}

void note_put_forerunner(struct chain *to, uint64_t bytes)
{
    put_one(to, 'P', bytes);
}

void note_put_lost(struct chain *to, uint64_t bytes)
{
    put_one(to, 'L', bytes);
}

void note_put_run(struct chain *to, const struct run_note *run)
{
    char *line = chain_room(to, NOTE_LINE_BYTES);
    char *end = put_number(put_head(line, 'R'), run->incarnation);
    end = put_number(end, run->clean_since);
    end = put_number(end, run->data_since);
    put_line(to, line, put_number(end, run->always));
}

void note_put_base(struct chain *to, uint32_t slot, struct position at)
{
    char *line = chain_room(to, NOTE_LINE_BYTES);
    char *end = put_number(put_head(line, 'B'), slot);
    end = put_number(end, at.epoch);
    put_line(to, line, put_number(end, at.seq));
}

/* ---------------------------------------------------------------- reading */

/* How many numbers stand between the letter and the crc. */
static const struct note_form {
    char letter;
    uint8_t numbers;
    bool has_body;
} forms[] = {
    [NOTE_RECORD] = {'V', 4, true}, [NOTE_DURABLE] = {'S', 1, false},
    [NOTE_BASE] = {'B', 3, false},  [NOTE_CHUNK] = {'C', 2, true},
    [NOTE_END] = {'E', 1, false},   [NOTE_FORERUNNER] = {'P', 1, false},
    [NOTE_LOST] = {'L', 1, false},  [NOTE_RUN] = {'R', 4, false},
};
enum { FORMS = sizeof(forms) / sizeof(forms[0]) };

static const struct note_form *form_of(struct slice line)
{
    if (line.n < 3 || line.p[0] != '#' || line.p[2] != ' ')
        return NULL;
    for (size_t i = 0; i < FORMS; i++)
        if (forms[i].letter == line.p[1])
            return &forms[i];
    return NULL;
}

bool note_is_ours(struct slice line)
{
    return form_of(line) != NULL;
}

/* A number and the blank behind it: canonical, so that one record has one spelling. */
static const char *get_number(const char *p, const char *end, uint64_t *v)
{
    uint64_t sum = 0;
    const char *begin = p;
    for (; p < end && *p >= '0' && *p <= '9'; p++) {
        uint64_t digit = (uint64_t)(*p - '0');
        if (p - begin >= NUM_I64_CHARS - 1 &&
            (sum > UINT64_MAX / 10 || sum * 10 > UINT64_MAX - digit))
            return NULL;
        sum = sum * 10 + digit;
    }
    if (p == begin || p == end || *p != ' ' || (*begin == '0' && p - begin > 1))
        return NULL;
    *v = sum;
    return p + 1;
}

/* Eight digits are judged and read at once, as put_crc writes them: a digit is 0x30 to 0x39, a
 * letter 0x61 to 0x66, and no byte may carry into the next one. */
static bool get_crc(const char *p, uint32_t *crc)
{
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    uint64_t x;
    memcpy(&x, p, CRC_CHARS);
    if (x & tops)
        return false;
    uint64_t letters = (x >> 6 & ones) * 0xff;
    uint64_t digit = (x & ~letters) | (letters & ones * '0');
    uint64_t letter = (x & letters) | (~letters & ones * 'a');
    uint64_t low = (digit + ones * (0x80 - '0')) & (letter + ones * (0x80 - 'a'));
    uint64_t high = (digit + ones * (0x7f - '9')) | (letter + ones * (0x7f - 'f'));
    if ((low & tops) != tops || (high & tops) != 0)
        return false;
    x = (x & ones * 0xf) + (letters & ones * 9);
    x = (x << 4 | x >> 8) & 0x00ff00ff00ff00ffu;
    x = (x << 8 | x >> 16) & 0x0000ffff0000ffffu;
    *crc = (uint32_t)(x << 16 | x >> 32);
    return true;
}

static enum err note_fill(struct note *n, const uint64_t *v)
{
    switch (n->type) {
    case NOTE_RECORD:
        n->len = v[3];
        /* fall through */
    case NOTE_BASE:
        if (v[0] >= SLOTS)
            return ERR_SYNTAX;
        n->slot = (uint32_t)v[0];
        n->at = (struct position){v[1], v[2]};
        return ERR_OK;
    case NOTE_CHUNK:
        n->len = v[1];
        /* fall through */
    case NOTE_DURABLE:
    case NOTE_END:
    case NOTE_FORERUNNER:
    case NOTE_LOST: n->offset = v[0]; return ERR_OK;
    case NOTE_RUN:
        if (v[0] == 0 || v[0] > UINT32_MAX || v[1] == 0 || v[1] > v[0] || v[2] == 0 ||
            v[2] > v[0] || v[3] > 1)
            return ERR_SYNTAX;
        n->run = (struct run_note){(uint32_t)v[0], (uint32_t)v[1], (uint32_t)v[2], v[3] == 1};
        return ERR_OK;
    }
    return ERR_SYNTAX;
}

enum err note_get(struct slice line, struct note *n)
{
    const struct note_form *form = form_of(line);
    if (form == NULL || line.n < NOTE_MIN_BYTES || line.n > NOTE_LINE_BYTES)
        return ERR_SYNTAX;
    const char *end = line.p + line.n - CRC_CHARS - 2;
    const char *p = line.p + 3;
    uint64_t v[4] = {0};
    for (unsigned i = 0; i < form->numbers; i++) {
        p = get_number(p, end, &v[i]);
        if (p == NULL)
            return ERR_SYNTAX;
    }
    *n = (struct note){.type = (enum note_type)(form - forms), .line_n = (uint32_t)line.n};
    if (p != end || p[CRC_CHARS] != '\r' || p[CRC_CHARS + 1] != '\n' || !get_crc(p, &n->crc))
        return ERR_SYNTAX;
    n->crc_of_line = crc32c(0, slice_of(line.p, (size_t)(end - line.p)));
    TRY(note_fill(n, v));
    if (!form->has_body && n->crc != n->crc_of_line)
        return ERR_CORRUPT;
    return ERR_OK;
}

bool note_holds(const struct note *n, struct slice body)
{
    check(body.n == n->len);
    return crc32c(n->crc_of_line, body) == n->crc;
}

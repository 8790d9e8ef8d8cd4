/* SPDX-License-Identifier: BSD-3-Clause */
#include "persist/manifest.h"

#include <stdio.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/num.h"
#include "base/words.h"

enum { LINE_MAX_BYTES = 1024 }; /* as in Redis */

/* ---------------------------------------------------------------- reading */

static bool is_type(char c)
{
    return c == 'b' || c == 'h' || c == 'i';
}

/* The words of one line into f; NULL, or what is wrong. */
static const char *file_of_words(const struct slice *w, size_t n, struct manifest_file *f)
{
    if (n < 6 || n % 2 != 0)
        return "a line wants `file`, `seq` and `type`, each with its value";
    for (size_t i = 0; i < n; i += 2) {
        struct slice v = w[i + 1];
        if (slice_is(w[i], "file")) {
            if (v.n == 0 || v.n >= sizeof(f->name) || memchr(v.p, '/', v.n) != NULL ||
                memchr(v.p, 0, v.n) != NULL)
                return "a file's name must be a plain one";
            memcpy(f->name, v.p, v.n);
        } else if (slice_is(w[i], "seq")) {
            if (!num_get_u64(v, &f->seq))
                return "a seq is no number";
        } else if (slice_is(w[i], "type")) {
            if (v.n != 1 || !is_type(v.p[0]))
                return "a type is none of b, h, i";
            f->type = v.p[0];
        }
    }
    return f->name[0] != '\0' && f->seq > 0 && f->type != 0
               ? NULL
               : "a line lacks `file`, `seq` or `type`";
}

static const char *add_file(struct manifest *m, const struct manifest_file *f)
{
    if (f->type == 'b' && manifest_base(m) != NULL)
        return "it names two bases";
    if (f->type == 'i' && f->seq <= manifest_last_seq(m, 'i'))
        return "its increments are not in the order of their seq";
    *vec_add(&m->files) = *f;
    return NULL;
}

static const char *get_line(struct manifest *m, struct slice line)
{
    struct words w = {0};
    struct manifest_file f = {0};
    const char *wrong = "its quotes do not close";
    if (words_split(&w, line) == ERR_OK) {
        wrong = file_of_words(w.list.at, w.list.n, &f);
        if (wrong == NULL)
            wrong = add_file(m, &f);
    }
    words_free(&w);
    return wrong;
}

static const struct slice mark = {"#M ", 3};

/* "#M <bytes> <crc>\n", in front of rest. */
static const char *get_mark(struct manifest *m, struct slice line, struct slice rest)
{
    uint64_t crc;
    const char *wrong = "its first line is not well-formed";
    if (line.n < mark.n + 2 + 8)
        return wrong;
    struct slice bytes = slice_of(line.p + mark.n, line.n - mark.n - 9);
    if (line.p[line.n - 9] != ' ' || !num_get_u64(bytes, &m->base_bytes) ||
        !num_get_hex(slice_of(line.p + line.n - 8, 8), &crc))
        return wrong;
    if (crc32c(crc32c(0, slice_of(line.p, line.n - 8)), rest) != crc)
        return "its checksum does not hold";
    m->base_is_sized = true;
    return NULL;
}

enum err manifest_get(struct manifest *m, struct slice bytes, char *text, size_t text_n)
{
    *m = (struct manifest){0};
    const char *wrong = NULL;
    size_t at = 0, line_no = 0;
    while (at < bytes.n && wrong == NULL) {
        const char *end = memchr(bytes.p + at, '\n', bytes.n - at);
        struct slice line = slice_of(bytes.p + at, end != NULL ? (size_t)(end - bytes.p) - at : 0);
        line_no++;
        if (end == NULL || line.n >= LINE_MAX_BYTES) {
            wrong = "a line does not end";
            break;
        }
        at += line.n + 1;
        if (line_no == 1 && line.n >= mark.n && slice_equal(slice_head(line, mark.n), mark))
            wrong = get_mark(m, line, slice_from(bytes, at));
        else if (line.n == 0 || line.p[0] != '#')
            wrong = get_line(m, line);
    }
    if (wrong == NULL && m->files.n == 0)
        wrong = "it names no file";
    if (wrong == NULL)
        return ERR_OK;
    snprintf(text, text_n, "line %zu: %s", line_no, wrong);
    manifest_free(m);
    return ERR_SYNTAX;
}

/* ---------------------------------------------------------------- writing */

static bool is_plain(unsigned char c)
{
    return c > ' ' && c < 0x7f && c != '"' && c != '\\';
}

/* A name with blanks or other odd bytes goes into quotes. */
static void put_name(struct chain *to, const char *name)
{
    bool quoted = false;
    for (const char *c = name; *c != '\0'; c++)
        quoted |= !is_plain((unsigned char)*c);
    if (!quoted) {
        chain_put(to, slice_str(name));
        return;
    }
    chain_put(to, SLICE("\""));
    for (const char *c = name; *c != '\0'; c++) {
        char text[5] = {*c, '\0'};
        if (!is_plain((unsigned char)*c) && *c != ' ')
            snprintf(text, sizeof(text), *c == '"' || *c == '\\' ? "\\%c" : "\\x%02x",
                     (unsigned char)*c);
        chain_put(to, slice_str(text));
    }
    chain_put(to, SLICE("\""));
}

void manifest_put(const struct manifest *m, struct chain *to)
{
    struct chain lines = {0};
    char text[64];
    for (size_t i = 0; i < m->files.n; i++) {
        const struct manifest_file *f = &m->files.at[i];
        chain_put(&lines, SLICE("file "));
        put_name(&lines, f->name);
        int n = snprintf(text, sizeof(text), " seq %llu type %c\n", (unsigned long long)f->seq,
                         f->type);
        chain_put(&lines, slice_of(text, (size_t)n));
    }
    int n = snprintf(text, sizeof(text), "#M %llu ", (unsigned long long)m->base_bytes);
    uint32_t crc = crc32c(0, slice_of(text, (size_t)n));
    for (const struct chain_part *part = lines.head; part != NULL; part = part->next)
        crc = crc32c(crc, slice_of(part->p, part->n));
    if (m->base_is_sized || manifest_base(m) == NULL) {
        n += snprintf(text + n, sizeof(text) - (size_t)n, "%08x\n", crc);
        chain_put(to, slice_of(text, (size_t)n));
    }
    chain_append(to, &lines);
}

void manifest_free(struct manifest *m)
{
    vec_free(&m->files);
}

void manifest_copy(struct manifest *to, const struct manifest *from)
{
    vec_clear(&to->files);
    for (size_t i = 0; i < from->files.n; i++)
        *vec_add(&to->files) = from->files.at[i];
    to->base_bytes = from->base_bytes;
    to->base_is_sized = from->base_is_sized;
}

/* --------------------------------------------------------------- the value */

const struct manifest_file *manifest_base(const struct manifest *m)
{
    for (size_t i = 0; i < m->files.n; i++)
        if (m->files.at[i].type == 'b')
            return &m->files.at[i];
    return NULL;
}

bool manifest_has(const struct manifest *m, struct slice name)
{
    for (size_t i = 0; i < m->files.n; i++)
        if (slice_equal(slice_str(m->files.at[i].name), name))
            return true;
    return false;
}

uint64_t manifest_last_seq(const struct manifest *m, char type)
{
    uint64_t last = 0;
    for (size_t i = 0; i < m->files.n; i++)
        if (m->files.at[i].type == type && m->files.at[i].seq > last)
            last = m->files.at[i].seq;
    return last;
}

void manifest_drop(struct manifest *m, size_t i)
{
    memmove(m->files.at + i, m->files.at + i + 1, (m->files.n - i - 1) * sizeof(m->files.at[0]));
    m->files.n--;
}

static void file_name(char *to, size_t n, const struct log_names *names, uint64_t seq,
                      const char *kind)
{
    int got = snprintf(to, n, "%s.%llu.%s.aof", names->file, (unsigned long long)seq, kind);
    check(got > 0 && (size_t)got < n);
}

/* In Redis' order: the base first. */
void manifest_set_base(struct manifest *m, const struct log_names *names, uint64_t seq,
                       uint64_t bytes)
{
    for (size_t i = 0; i < m->files.n; i++)
        check(m->files.at[i].type != 'b');
    (void)vec_add(&m->files);
    memmove(m->files.at + 1, m->files.at, (m->files.n - 1) * sizeof(m->files.at[0]));
    m->files.at[0] = (struct manifest_file){.seq = seq, .type = 'b'};
    file_name(m->files.at[0].name, MANIFEST_NAME_BYTES, names, seq, "base");
    m->base_bytes = bytes;
    m->base_is_sized = true;
}

void manifest_add_increment(struct manifest *m, const struct log_names *names, uint64_t seq)
{
    check(seq > manifest_last_seq(m, 'i'));
    struct manifest_file *f = vec_add(&m->files);
    *f = (struct manifest_file){.seq = seq, .type = 'i'};
    file_name(f->name, MANIFEST_NAME_BYTES, names, seq, "incr");
}

/* ------------------------------------------------------------------- paths */

void log_path(char *to, const struct log_names *names, const char *file)
{
    int n = snprintf(to, DISK_NAME_BYTES, "%s/%s", names->dir, file);
    check(n > 0 && n < DISK_NAME_BYTES);
}

void log_base_path(char *to, const struct log_names *names, uint64_t seq)
{
    char name[MANIFEST_NAME_BYTES];
    file_name(name, sizeof(name), names, seq, "base");
    log_path(to, names, name);
}

void log_increment_path(char *to, const struct log_names *names, uint64_t seq)
{
    char name[MANIFEST_NAME_BYTES];
    file_name(name, sizeof(name), names, seq, "incr");
    log_path(to, names, name);
}

static void manifest_path(char *to, const struct log_names *names, const char *before)
{
    int n = snprintf(to, DISK_NAME_BYTES, "%s/%s%s.manifest", names->dir, before, names->file);
    check(n > 0 && n < DISK_NAME_BYTES);
}

void log_manifest_path(char *to, const struct log_names *names)
{
    manifest_path(to, names, "");
}

/* "<file>.<digits>.base.aof", "<file>.<digits>.incr.aof", "temp-<file>.manifest" */
bool log_is_our_name(const struct log_names *names, struct slice file)
{
    char temp[MANIFEST_NAME_BYTES];
    int n = snprintf(temp, sizeof(temp), "temp-%s.manifest", names->file);
    if (n > 0 && slice_equal(file, slice_of(temp, (size_t)n)))
        return true;
    struct slice head = slice_str(names->file);
    if (file.n < head.n + 1 || !slice_equal(slice_head(file, head.n), head) ||
        file.p[head.n] != '.')
        return false;
    size_t at = head.n + 1, digits = at;
    while (at < file.n && file.p[at] >= '0' && file.p[at] <= '9')
        at++;
    struct slice tail = slice_from(file, at);
    return at > digits &&
           (slice_equal(tail, SLICE(".base.aof")) || slice_equal(tail, SLICE(".incr.aof")));
}

void manifest_steps(const struct manifest *m, const struct log_names *names, struct steps *s,
                    uint32_t file)
{
    char temp[DISK_NAME_BYTES], path[DISK_NAME_BYTES];
    struct chain bytes = {0};
    manifest_path(temp, names, "temp-");
    log_manifest_path(path, names);
    manifest_put(m, &bytes);
    step_unlink(s, temp); /* what a crash or a failure left */
    step_open(s, file, temp);
    step_write(s, file, &bytes);
    step_sync(s, file);
    step_close(s, file);
    step_sync_dir(s, path); /* M1: the files it names have their names for good */
    step_rename(s, temp, path);
    step_sync_dir(s, path);
}

void manifest_unlink_steps(const struct log_names *names, struct steps *s)
{
    char path[DISK_NAME_BYTES];
    log_manifest_path(path, names);
    step_unlink(s, path);
    manifest_path(path, names, "temp-");
    step_unlink(s, path);
}

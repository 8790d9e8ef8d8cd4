/* SPDX-License-Identifier: BSD-3-Clause */

/* vong-check-aof: reads a log as a start would, without running it, and says what it finds.
 *
 * With --fix the log is cut at the first bad byte: that file ends there, and those behind it are
 * emptied. A base that is cut gets its end mark anew, and the manifest its size. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"
#include "persist/aof.h"
#include "persist/manifest.h"
#include "persist/record.h"

enum { READ_BYTES = 1024 * 1024, BATCH = 1024, PATH_BYTES = 4096 };

struct log_file {
    char name[MANIFEST_NAME_BYTES];
    bool is_base;
    uint64_t size;
};

struct checked {
    char dir[PATH_BYTES];
    char manifest_name[MANIFEST_NAME_BYTES]; /* "": a single file */
    struct manifest manifest;
    VEC(struct log_file) files;
    struct aof_reader reader;
    struct lineage *slots; /* of a cluster's node */
};

static bool complain(const char *doing, const char *name)
{
    fprintf(stderr, "vong-check-aof: cannot %s %s: %s\n", doing, name, strerror(errno));
    return false;
}

static bool path_of(const struct checked *c, const char *name, char to[PATH_BYTES])
{
    int n = snprintf(to, PATH_BYTES, "%s/%s", c->dir, name);
    if (n > 0 && n < PATH_BYTES)
        return true;
    fprintf(stderr, "vong-check-aof: the name of %s is too long\n", name);
    return false;
}

/* ---------------------------------------------------------------- what there is */

static bool add_file(struct checked *c, const char *name, bool is_base)
{
    char path[PATH_BYTES];
    struct stat st;
    if (!path_of(c, name, path))
        return false;
    if (stat(path, &st) != 0)
        return complain("find", path);
    struct log_file *f = vec_add(&c->files);
    *f = (struct log_file){.is_base = is_base, .size = (uint64_t)st.st_size};
    snprintf(f->name, sizeof(f->name), "%s", name);
    return true;
}

/* The one file of the directory that ends in ".manifest". */
static bool find_manifest(struct checked *c)
{
    DIR *d = opendir(c->dir);
    if (d == NULL)
        return complain("read", c->dir);
    size_t found = 0;
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        size_t n = strlen(e->d_name);
        if (n < 10 || n >= MANIFEST_NAME_BYTES || strcmp(e->d_name + n - 9, ".manifest") != 0 ||
            strncmp(e->d_name, "temp-", 5) == 0)
            continue;
        found++;
        memcpy(c->manifest_name, e->d_name, n + 1);
    }
    closedir(d);
    if (found != 1)
        fprintf(stderr, "vong-check-aof: %s holds %s\n", c->dir,
                found == 0 ? "no manifest" : "more than one manifest");
    return found == 1;
}

static bool read_manifest(struct checked *c)
{
    char path[PATH_BYTES], text[64 * 1024], why[128];
    if (!path_of(c, c->manifest_name, path))
        return false;
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return complain("open", path);
    size_t n = fread(text, 1, sizeof(text), f);
    bool failed = ferror(f) != 0;
    fclose(f);
    if (failed)
        return complain("read", path);
    if (manifest_get(&c->manifest, slice_of(text, n), why, sizeof(why)) != ERR_OK) {
        fprintf(stderr, "vong-check-aof: %s is damaged, %s\n", path, why);
        return false;
    }
    /* the base is first; history is no part of the log */
    for (size_t i = 0; i < c->manifest.files.n; i++)
        if (c->manifest.files.at[i].type == 'b' && !add_file(c, c->manifest.files.at[i].name, true))
            return false;
    for (size_t i = 0; i < c->manifest.files.n; i++)
        if (c->manifest.files.at[i].type == 'i' &&
            !add_file(c, c->manifest.files.at[i].name, false))
            return false;
    return true;
}

/* A directory, a manifest, or one file alone. */
static bool look(struct checked *c, const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return complain("find", path);
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    if (S_ISDIR(st.st_mode))
        snprintf(c->dir, sizeof(c->dir), "%s", path);
    else
        snprintf(c->dir, sizeof(c->dir), "%.*s", slash != NULL ? (int)(slash - path) : 1,
                 slash != NULL ? path : ".");
    if (S_ISDIR(st.st_mode))
        return find_manifest(c) && read_manifest(c);
    size_t n = strlen(name);
    if (n >= MANIFEST_NAME_BYTES) {
        errno = ENAMETOOLONG;
        return complain("open", path);
    }
    if (n > 9 && strcmp(name + n - 9, ".manifest") == 0) {
        memcpy(c->manifest_name, name, n + 1);
        return read_manifest(c);
    }
    return add_file(c, name, n > 9 && strcmp(name + n - 9, ".base.aof") == 0);
}

/* -------------------------------------------------------------------- reading */

/* What is unread stays at the front; more is read behind it whenever nothing could be used. */
static bool feed(struct checked *c, FILE *f)
{
    struct aof_batch batch = {0};
    char *p = NULL;
    size_t n = 0, cap = 0, used = 0;
    bool at_end = false;
    do {
        if (used == 0 && !at_end) {
            size_t want =
                aof_want(&c->reader) > n + READ_BYTES ? aof_want(&c->reader) : n + READ_BYTES;
            if (want > cap)
                p = mem_resize(p, cap = want);
            n += fread(p + n, 1, cap - n, f);
            at_end = n < cap;
        }
        aof_batch_clear(&batch);
        used = aof_feed(&c->reader, slice_of(p, n), at_end, &batch, BATCH);
        memmove(p, p + used, n - used);
        n -= used;
    } while (n > 0 || !at_end);
    aof_batch_free(&batch);
    mem_free(p);
    return ferror(f) == 0;
}

static bool read_files(struct checked *c)
{
    struct aof_options o = {.dbs_n = UINT32_MAX, .slots = c->slots, .cut_torn = true, .dir = ""};
    char path[PATH_BYTES];
    aof_open(&c->reader, &o);
    for (size_t i = 0; i < c->files.n; i++) {
        struct log_file *lf = &c->files.at[i];
        FILE *f = path_of(c, lf->name, path) ? fopen(path, "re") : NULL;
        if (f == NULL)
            return complain("open", path);
        aof_file(&c->reader, lf->name, lf->is_base, lf->size);
        bool good = feed(c, f);
        fclose(f);
        if (!good)
            return complain("read", path);
    }
    return true;
}

/* --------------------------------------------------------------------- cutting */

static bool write_synced(const char *path, const char *mode, const struct chain *bytes)
{
    char *p = mem_get(bytes->n);
    FILE *f = fopen(path, mode);
    chain_copy(bytes, p, bytes->n);
    bool good = f != NULL && fwrite(p, 1, bytes->n, f) == bytes->n && fflush(f) == 0 &&
                fsync(fileno(f)) == 0;
    mem_free(p);
    if (f != NULL && fclose(f) != 0)
        good = false;
    return good ? true : complain("write", path);
}

static bool cut(struct checked *c, size_t file, uint64_t size)
{
    char path[PATH_BYTES];
    if (!path_of(c, c->files.at[file].name, path))
        return false;
    if (truncate(path, (off_t)size) != 0)
        return complain("cut", path);
    printf("%s: cut at byte %llu\n", c->files.at[file].name, (unsigned long long)size);
    c->files.at[file].size = size;
    return true;
}

/* What was durable is gone: a cluster's node then counts as another copy (replication 22). */
static bool note_loss(struct checked *c)
{
    char path[PATH_BYTES];
    struct chain bytes = {0};
    struct log_file *f = &c->files.at[c->reader.bad_file];
    note_put_lost(&bytes, c->reader.bad_bytes);
    f->size += bytes.n;
    bool good = path_of(c, f->name, path) && write_synced(path, "ae", &bytes);
    chain_free(&bytes, NULL);
    return good;
}

/* A cut base ends where it was cut; the manifest must know its new size. */
static bool mend_base(struct checked *c, bool has_marks)
{
    char path[PATH_BYTES], temp[PATH_BYTES];
    struct chain bytes = {0};
    bool good = path_of(c, c->files.at[0].name, path);
    if (good && has_marks) {
        note_put_end(&bytes, c->files.at[0].size);
        c->files.at[0].size += bytes.n;
        good = write_synced(path, "ae", &bytes);
    }
    chain_free(&bytes, NULL);
    if (!good || c->manifest_name[0] == '\0' || !path_of(c, c->manifest_name, path))
        return good;
    if (snprintf(temp, sizeof(temp), "%s/temp-%s", c->dir, c->manifest_name) >= (int)sizeof(temp))
        return false;
    c->manifest.base_bytes = c->files.at[0].size;
    manifest_put(&c->manifest, &bytes);
    good =
        write_synced(temp, "we", &bytes) && (rename(temp, path) == 0 || complain("rename", temp));
    chain_free(&bytes, NULL);
    return good;
}

static bool fix(struct checked *c, bool is_torn)
{
    const struct aof_reader *r = &c->reader;
    /* the last first: a crash leaves a log that is cut later */
    for (size_t i = c->files.n; i-- > r->bad_file;)
        if (!cut(c, i, i == r->bad_file ? r->bad_offset : 0))
            return false;
    if (!is_torn && !note_loss(c))
        return false;
    if (r->bad_in_base && !mend_base(c, r->bad_offset > 0 && r->bad_base_is_marked))
        return false;
    sync();
    printf("%llu bytes were dropped\n", (unsigned long long)r->bad_bytes);
    return true;
}

static void tell_whole(const struct checked *c)
{
    const struct aof_reader *r = &c->reader;
    printf("whole: %zu files, %llu records, %llu commands, ", c->files.n,
           (unsigned long long)r->records_n, (unsigned long long)r->commands_n);
    if (r->form != AOF_FORM_CLUSTER) {
        printf("up to seq %llu\n", (unsigned long long)r->alone.at.seq);
        return;
    }
    unsigned used = 0, frozen = 0;
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        used += c->slots[slot].at.seq > 0;
        frozen += c->slots[slot].frozen;
    }
    printf("in %u slots\n", used);
    if (frozen > 0)
        printf("%u slots lack records: they stand where the gap is, and are brought up to date by "
               "their primaries\n",
               frozen);
}

static int check_and_fix(struct checked *c, bool fixes)
{
    if (!read_files(c))
        return 1;
    const struct aof_reader *r = &c->reader;
    bool is_torn = false;
    switch (aof_verdict(&c->reader)) {
    case AOF_WHOLE: tell_whole(c); return 0;
    case AOF_CUT:
        is_torn = true;
        printf("torn tail: ");
        break;
    case AOF_REFUSED:
        if (!r->is_bad) {
            printf("%s\n", r->text);
            return 1;
        }
        printf("damage: ");
        break;
    }
    printf("%s at byte %llu: %s; %llu bytes from there on\n", r->bad_name,
           (unsigned long long)r->bad_offset, r->bad_why, (unsigned long long)r->bad_bytes);
    if (fixes)
        return fix(c, is_torn) ? 0 : 1;
    printf("`vong-check-aof --fix` cuts there\n");
    return 1;
}

static const char help[] =
    "usage: vong-check-aof [--fix] DIRECTORY | MANIFEST | FILE\n"
    "\n"
    "Reads the log of a vong-server, or one that Redis 7 wrote without RDB preamble, and says\n"
    "whether it is whole: every checksum, every sequence number, every command. The server must\n"
    "not be running.\n"
    "\n"
    "  --fix      cut the log at the first bad byte, and say how many bytes that dropped\n"
    "  --help     this text\n"
    "  --version  the version\n"
    "\n"
    "Exit code: 0 if the log is whole, or was made so; else 1.\n";

int main(int argc, char **argv)
{
    bool fixes = false;
    const char *path = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(help, stdout);
            return 0;
        }
        if (strcmp(argv[i], "--version") == 0) {
            puts("vong-check-aof " PACKAGE_VERSION);
            return 0;
        }
        if (strcmp(argv[i], "--fix") == 0)
            fixes = true;
        else if (argv[i][0] != '-' && path == NULL)
            path = argv[i];
        else
            path = ""; /* an unknown option, or two paths */
    }
    if (path == NULL || *path == '\0') {
        fputs(help, stderr);
        return 1;
    }
    static struct checked c;
    c.slots = lineages_new(SLOTS);
    int code = look(&c, path) ? check_and_fix(&c, fixes) : 1;
    manifest_free(&c.manifest);
    vec_free(&c.files);
    lineages_free(c.slots, SLOTS);
    return code;
}

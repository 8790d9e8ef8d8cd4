/* SPDX-License-Identifier: BSD-3-Clause */

/* Files of a log read back for a test: the commands that were handed out, as text. */
#ifndef TESTS_LIB_LOAD_H
#define TESTS_LIB_LOAD_H

#include <stdio.h>
#include <stdlib.h>

#include "persist/aof.h"

struct load_file {
    const char *name;
    bool is_base;
    struct slice bytes;
};

struct loaded {
    enum aof_verdict verdict;
    struct aof_reader r;
    char *text; /* "0 SET k v\n1 DEL k\n": database and words of each command */
    size_t n, cap;
};

static inline void load_note(struct loaded *l, const struct aof_batch *b)
{
    for (size_t i = 0; i < b->commands.n; i++) {
        const struct aof_command *c = &b->commands.at[i];
        const struct slice *argv = aof_argv(b, i);
        size_t need = 32;
        for (uint32_t k = 0; k < c->argc; k++)
            need += argv[k].n + 1;
        if (l->cap - l->n < need)
            l->text = realloc(l->text, l->cap = 2 * (l->cap + need));
        l->n += (size_t)sprintf(l->text + l->n, "%u", c->db);
        for (uint32_t k = 0; k < c->argc; k++) {
            l->text[l->n++] = ' ';
            memcpy(l->text + l->n, argv[k].p, argv[k].n);
            l->n += argv[k].n;
        }
        l->text[l->n++] = '\n';
    }
}

/* As a program reads: `piece` more bytes whenever nothing could be used. The bytes are at an address
 * of their own each time, so that a tool sees who reads beyond them. */
static inline void load_one(struct loaded *l, const struct load_file *f, size_t piece, size_t batch_max)
{
    struct aof_batch batch = {0};
    size_t done = 0, have = 0;
    aof_file(&l->r, f->name, f->is_base, f->bytes.n);
    do {
        bool at_end = have == f->bytes.n;
        char *copy = malloc(have - done + 1);
        if (have > done)
            memcpy(copy, f->bytes.p + done, have - done);
        aof_batch_clear(&batch);
        size_t used = aof_feed(&l->r, slice_of(copy, have - done), at_end, &batch, batch_max);
        load_note(l, &batch);
        free(copy);
        done += used;
        if (used == 0 && have < f->bytes.n) {
            size_t want = aof_want(&l->r) > have - done ? aof_want(&l->r) - (have - done) : 1;
            want = want > piece ? want : piece;
            have += want < f->bytes.n - have ? want : f->bytes.n - have;
        }
    } while (done < f->bytes.n);
    aof_feed(&l->r, (struct slice){0}, true, &batch, batch_max); /* nothing is left to say but "the end" */
    aof_batch_free(&batch);
}

static inline struct loaded load_files_as(const struct aof_options *o, const struct load_file *files, size_t n,
                                          size_t piece, size_t batch_max)
{
    struct loaded l = {0};
    l.text = calloc(1, l.cap = 64);
    aof_open(&l.r, o);
    for (size_t i = 0; i < n; i++)
        load_one(&l, &files[i], piece, batch_max);
    l.verdict = aof_verdict(&l.r);
    if (l.n == l.cap)
        l.text = realloc(l.text, l.cap + 1);
    l.text[l.n] = '\0';
    return l;
}

static inline struct loaded load_files(const struct load_file *files, size_t n, size_t piece, size_t batch_max)
{
    struct aof_options o = {.dbs_n = 16, .cut_torn = true, .dir = "dir"};
    return load_files_as(&o, files, n, piece, batch_max);
}

static inline void loaded_free(struct loaded *l)
{
    free(l->text);
}

#endif

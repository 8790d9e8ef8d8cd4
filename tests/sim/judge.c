/* SPDX-License-Identifier: BSD-3-Clause */

/* vong-judge: histories of real processes before the simulator's checker.
 *
 * On standard input, of each group of keys a line `history NAME`, then its ops in the order of their calls, a
 * line each (history_text.h). Of each history it prints
 *
 *     good|bad|undecided NAME LINE      bad: the line that no order reached; else 0
 *
 * Code 0: all were judged good; 1: not all; 2: a line could not be read. */
#define _POSIX_C_SOURCE 200809L /* getline */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "tests/sim/history_text.h"
#include "tests/sim/planted.h"

enum { NAME_BYTES = 64 };

struct court {
    char name[NAME_BYTES]; /* of the history that is read; "": none yet */
    size_t begins;         /* the line its first op is on */
    struct history h;
    bool all_good;
};

static bool is_in_order(const struct history *h)
{
    const struct history_op *op = &h->ops.at[h->ops.n - 1];
    return op->after < h->ops.n && op->call <= op->answer && (h->ops.n == 1 || op[-1].call <= op->call);
}

static void judge(struct court *c)
{
    static const char *const words[] = {[HISTORY_GOOD] = "good", [HISTORY_BAD] = "bad", [HISTORY_UNDECIDED] = "undecided"};
    if (c->name[0] == '\0')
        return;
    struct history_judged j = history_judge(&c->h);
    printf("%s %s %zu\n", words[j.verdict], c->name, j.verdict == HISTORY_BAD ? c->begins + j.stuck : 0);
    c->all_good &= j.verdict == HISTORY_GOOD;
}

/* false: it is no line. */
static bool read_line(struct court *c, const char *line, size_t nth)
{
    static const char begin[] = "history ";
    if (strncmp(line, begin, strlen(begin)) == 0) {
        judge(c);
        vec_clear(&c->h.ops);
        c->begins = nth + 1;
        int n = snprintf(c->name, sizeof(c->name), "%s", line + strlen(begin));
        return n > 0 && n < NAME_BYTES;
    }
    return c->name[0] != '\0' && history_op_read(&line, vec_add(&c->h.ops)) && *line == '\0' && is_in_order(&c->h);
}

int main(void)
{
    struct court c = {.all_good = true};
    char *line = NULL;
    size_t cap = 0, nth = 1;
    const char *misjudged = planted_misjudged();
    if (misjudged != NULL) {
        fprintf(stderr, "vong-judge: the planted history of %s is judged wrong: no other verdict counts\n", misjudged);
        return 2;
    }
    for (ssize_t n; (n = getline(&line, &cap, stdin)) > 0; nth++) {
        line[n - (line[n - 1] == '\n')] = '\0';
        if (!read_line(&c, line, nth)) {
            fprintf(stderr, "vong-judge: line %zu is no op, or earlier than the one before it: %s\n", nth, line);
            return 2;
        }
    }
    judge(&c);
    vec_free(&c.h.ops);
    free(line);
    return c.all_good ? 0 : 1;
}

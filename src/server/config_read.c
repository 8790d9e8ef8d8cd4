/* SPDX-License-Identifier: BSD-3-Clause */

/* Where the configuration comes from: a file, the files it includes, the command line. Later lines
 * win. What a line means is conf/options.c's. */
#define _GNU_SOURCE
#include "server/server.h"

#include <ctype.h>
#include <errno.h>
#include <glob.h>
#include <stdio.h>

#include "io/file.h"
#include "server/why.h"

enum { INCLUDE_DEPTH_MAX = 16 }; /* a file that includes itself ends here */

static bool read_file(struct options *o, const char *file, unsigned depth, struct why *why);

/* Redis' habit: a pattern that matches nothing includes nothing, a plain name must be there. */
static bool include(struct options *o, const char *pattern, unsigned depth, struct why *why)
{
    glob_t found;
    if (depth >= INCLUDE_DEPTH_MAX)
        return why_say(why, "%s: includes are nested more than %d deep", pattern,
                       INCLUDE_DEPTH_MAX);
    int r = glob(pattern, 0, NULL, &found);
    if (r == GLOB_NOMATCH)
        return strpbrk(pattern, "*?[") != NULL || read_file(o, pattern, depth + 1, why);
    if (r != 0)
        return why_say(why, "%s: cannot look for these files", pattern);
    bool good = true;
    for (size_t i = 0; i < found.gl_pathc && good; i++)
        good = read_file(o, found.gl_pathv[i], depth + 1, why);
    globfree(&found);
    return good;
}

/* Names the directive where the reason does not; never its value, which may be a password. */
static bool say_refused(struct why *why, const char *where, unsigned long number, struct slice line,
                        struct slice text)
{
    char place[32] = "", in[80] = "";
    if (number > 0)
        snprintf(place, sizeof(place), ", line %lu", number);
    while (line.n > 0 && isspace((unsigned char)line.p[0]))
        line = slice_from(line, 1);
    size_t n = 0;
    while (n < line.n && n < 60 && !isspace((unsigned char)line.p[n]))
        n++;
    if (n > 0 && memmem(text.p, text.n, line.p, n) == NULL)
        snprintf(in, sizeof(in), "%.*s: ", (int)n, line.p);
    return why_say(why, "%s%s: %s%.*s", where, place, in, (int)text.n, text.p);
}

static bool read_line(struct options *o, struct slice line, const char *where, unsigned long number,
                      unsigned depth, struct why *why)
{
    struct buf text;
    buf_init(&text, LOG_LINE_BYTES * 8);
    bool good = true;
    switch (options_line(o, line, &text)) {
    case OPTIONS_LINE_TAKEN: break;
    case OPTIONS_LINE_BAD: good = say_refused(why, where, number, line, buf_slice(&text)); break;
    case OPTIONS_LINE_INCLUDE: {
        char pattern[4096];
        snprintf(pattern, sizeof(pattern), "%.*s", (int)text.n, text.p);
        good = include(o, pattern, depth, why);
        break;
    }
    }
    buf_free(&text);
    return good;
}

static bool read_lines(struct options *o, struct slice text, const char *where, bool numbered,
                       unsigned depth, struct why *why)
{
    for (unsigned long number = 1; text.n > 0; number++) {
        const char *end = memchr(text.p, '\n', text.n);
        size_t n = end == NULL ? text.n : (size_t)(end - text.p);
        if (!read_line(o, slice_head(text, n), where, numbered ? number : 0, depth, why))
            return false;
        text = slice_from(text, n + 1);
    }
    return true;
}

static bool read_file(struct options *o, const char *file, unsigned depth, struct why *why)
{
    char *text;
    size_t n;
    errno = 0;
    if (file_load(file, &text, &n) != ERR_OK)
        return why_say(why, "%s: cannot be read: %s", file, strerror(errno));
    bool good = read_lines(o, slice_of(text, n), file, true, depth, why);
    mem_free(text);
    return good;
}

bool config_read(struct options *o, const char *file, char *const *args, size_t args_n, char *text,
                 size_t text_n)
{
    struct why why = {text, text_n};
    if (file != NULL && !read_file(o, file, 0, &why))
        return false;
    struct buf lines;
    buf_init(&lines, SIZE_MAX / 2);
    options_args(args, args_n, &lines);
    bool good = read_lines(o, buf_slice(&lines), "command line", false, 0, &why);
    buf_free(&lines);
    if (good && o->min_replicas_to_write > 0 && !o->cluster_enabled)
        return why_say(
            &why,
            "min-replicas-to-write %lld: a node that is in no cluster has no replicas, so every "
            "write would be refused; leave it at 0, or set cluster-enabled yes",
            (long long)o->min_replicas_to_write);
    return good;
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* Lines of a scenario (docs/internals/simulator.md); of one that begins with `nodes`, a cluster's: scene.c.
 *
 *     appendfsync P        in force from the next start on
 *     seed N               of what is drawn: delays, and what a power cut leaves (before all else)
 *     start                the node, which is then asked for everything it has
 *     client N: WORDS      it connects if it is not there yet
 *     hang up N            it closes its connection
 *     run 10ms|3s          time passes
 *     run 5 ops            ... until so many operations of the disk's lanes are done
 *     kill | power cut | stop
 *     disk full N | disk room | disk fail sync | disk fail write | disk slow 500ms
 *     rot NAME AT BIT      one bit turns; a refused start is told and the bit turned back
 *     dies at step N       the next start is cut short there
 *     files                what there is: bytes, and how many of them would outlast a power cut */
#include "tests/sim/scenario.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/num.h"
#include "base/words.h"
#include "tests/sim/scene.h"
#include "tests/sim/sim.h"

enum { SCENARIO_BYTES = 1024 * 1024, OPERATION_US = 1000 };

struct scenario {
    struct sim *sim;
    struct scene *scene; /* of a cluster; NULL: it is of one node */
    struct buf *answer;
    const char *path;
    struct buf text;
    size_t answers_at;  /* in text: behind "----" */
    char title[200];
    unsigned line;
    char wrong[300];    /* the scenario's own mistake */
};

static bool mistake(struct scenario *sc, const char *what)
{
    snprintf(sc->wrong, sizeof(sc->wrong), "line %u: %s", sc->line, what);
    return false;
}

static bool word_is(const struct words *w, size_t i, const char *text)
{
    return i < w->list.n && slice_is(w->list.at[i], text);
}

static bool number_of(const struct words *w, size_t i, uint64_t *v)
{
    return i < w->list.n && num_get_u64(w->list.at[i], v);
}

/* -------------------------------------------------------------------------- lines */

static bool do_client(struct scenario *sc, const struct words *w)
{
    struct sim *s = sc->sim;
    struct slice n = w->list.at[1];
    uint64_t number;
    if (w->list.n < 3 || !num_get_u64(slice_head(n, n.n - 1), &number) || n.p[n.n - 1] != ':' ||
        number >= SIM_CLIENTS)
        return mistake(sc, "client N: WORDS");
    struct sim_client *c = &s->clients[number];
    if (s->process != PROCESS_UP)
        return mistake(sc, "the node is down");
    if (!c->open)
        sim_client_come(s, c);
    sim_client_say(s, c, w->list.at + 2, (uint32_t)w->list.n - 2);
    return true;
}

static bool do_run(struct scenario *sc, const struct words *w)
{
    struct sim *s = sc->sim;
    int64_t us;
    uint64_t ops;
    if (word_is(w, 2, "ops") && number_of(w, 1, &ops)) {
        uint64_t until = s->disk.done_n + ops;
        while (s->disk.done_n < until && sim_next(s, mono_after(s->now, 60 * 1000000)))
            ;
        return true;
    }
    if (!scene_time(w, 1, &us))
        return mistake(sc, "run 10ms, run 3s or run 5 ops");
    sim_run_until(s, mono_after(s->now, us));
    return true;
}

static bool do_disk(struct scenario *sc, const struct words *w)
{
    struct sim *s = sc->sim;
    uint64_t room;
    if (word_is(w, 1, "full") && number_of(w, 2, &room)) {
        s->disk.room = room;
        s->full_seen = true;
    } else if (word_is(w, 1, "room")) {
        s->disk.room = SIZE_MAX;
    } else if (word_is(w, 1, "fail") && word_is(w, 2, "sync")) {
        s->disk.fail_sync = true;
    } else if (word_is(w, 1, "fail") && word_is(w, 2, "write")) {
        s->disk.fail_write = true;
    } else if (!word_is(w, 1, "slow") || !scene_time(w, 2, &s->disk.slow_us)) {
        return mistake(sc, "disk full N, room, fail sync, fail write or slow 500ms");
    }
    return true;
}

static bool do_rot(struct scenario *sc, const struct words *w)
{
    struct sim *s = sc->sim;
    uint64_t at, bit;
    char name[DISK_NAME_BYTES];
    if (!number_of(w, 2, &at) || !number_of(w, 3, &bit) || bit > 7)
        return mistake(sc, "rot NAME AT BIT");
    snprintf(name, sizeof(name), "%.*s", (int)w->list.at[1].n, w->list.at[1].p);
    return sim_rot_at(s, name, at, (unsigned)bit) || mistake(sc, "there is no such byte");
}

static bool do_files(struct scenario *sc)
{
    const struct sim_disk *d = &sc->sim->disk;
    for (size_t i = 0; i < d->names.at.n; i++) {
        const struct sim_inode *f = &d->inodes.at[d->names.at.at[i].inode];
        sim_trace(sc->sim, "%s %zu (%zu)", d->names.at.at[i].name, f->n, f->synced);
    }
    return true;
}

static bool do_appendfsync(struct scenario *sc, const struct words *w)
{
    sc->sim->start_policy = word_is(w, 1, "always") ? APPENDFSYNC_ALWAYS
                            : word_is(w, 1, "no")   ? APPENDFSYNC_NO
                                                    : APPENDFSYNC_EVERYSEC;
    return true;
}

static bool do_seed(struct scenario *sc, const struct words *w)
{
    uint64_t seed;
    if (!number_of(w, 1, &seed) || sc->sim->starts_n > 0)
        return mistake(sc, "seed N, before the start");
    struct buf *trace_to = sc->sim->trace_to;
    sim_free(sc->sim);
    sim_init(sc->sim, seed, BREAK_NONE);
    sc->sim->disk.fixed_us = OPERATION_US;
    sc->sim->trace_to = trace_to;
    return true;
}

static bool do_line(struct scenario *sc, const struct words *w)
{
    struct sim *s = sc->sim;
    uint64_t n;
    if (word_is(w, 0, "nodes") && sc->scene == NULL && s->starts_n == 0)
        sc->scene = scene_new(sc->answer);
    if (sc->scene != NULL)
        return scene_line(sc->scene, w) || mistake(sc, scene_mistake(sc->scene));
    if (word_is(w, 0, "appendfsync"))
        return do_appendfsync(sc, w);
    if (word_is(w, 0, "seed"))
        return do_seed(sc, w);
    if (word_is(w, 0, "client") && w->list.n > 1)
        return do_client(sc, w);
    if (word_is(w, 0, "run"))
        return do_run(sc, w);
    if (word_is(w, 0, "disk"))
        return do_disk(sc, w);
    if (word_is(w, 0, "rot"))
        return do_rot(sc, w);
    if (word_is(w, 0, "files"))
        return do_files(sc);
    if (word_is(w, 0, "start")) {
        sim_restart(s);
    } else if (word_is(w, 0, "kill") || word_is(w, 0, "power")) {
        sim_crash(s, word_is(w, 0, "power"));
    } else if (word_is(w, 0, "stop") && s->process == PROCESS_UP) {
        sim_node_stop(s);
    } else if (word_is(w, 0, "dies") && number_of(w, 3, &n)) {
        s->start_dies_at = (int)n;
    } else if (word_is(w, 0, "hang") && number_of(w, 2, &n) && n < SIM_CLIENTS && s->clients[n].open) {
        sim_node_close(s, &s->clients[n]);
        sim_client_gone(s, &s->clients[n]);
    } else {
        return mistake(sc, "not a line of a scenario");
    }
    return true;
}

/* -------------------------------------------------------------------------- files */

static bool load(struct scenario *sc)
{
    FILE *f = fopen(sc->path, "r");
    char piece[4096];
    size_t n;
    if (f == NULL)
        return mistake(sc, "the file cannot be opened");
    while ((n = fread(piece, 1, sizeof(piece), f)) > 0)
        check(buf_add(&sc->text, slice_of(piece, n)) == ERR_OK);
    fclose(f);
    check(buf_add(&sc->text, slice_of("", 1)) == ERR_OK);
    sc->text.n--;
    const char *answers = strstr(sc->text.p, "\n----\n");
    sc->answers_at = answers != NULL ? (size_t)(answers - sc->text.p) + 6 : sc->text.n;
    return true;
}

static bool play(struct scenario *sc)
{
    size_t end = sc->answers_at < sc->text.n || sc->text.n == 0 ? sc->answers_at : sc->text.n;
    for (size_t at = 0; at < end;) {
        const char *p = sc->text.p + at, *nl = memchr(p, '\n', end - at);
        size_t n = nl != NULL ? (size_t)(nl - p) : end - at;
        struct slice line = slice_of(p, n);
        struct words w = {0};
        at += n + 1;
        sc->line++;
        if (n > 2 && p[0] == '#' && sc->title[0] == '\0')
            snprintf(sc->title, sizeof(sc->title), "%.*s", (int)n - 2, p + 2);
        if (n == 0 || p[0] == '#' || slice_equal(line, SLICE("----")))
            continue;
        bool good = words_split(&w, line) == ERR_OK ? do_line(sc, &w) : mistake(sc, "quotes do not close");
        words_free(&w);
        if (!good)
            return false;
    }
    const char *why = sc->scene != NULL ? scene_wrong(sc->scene) : sc->sim->wrong ? sc->sim->why : NULL;
    if (why != NULL)
        snprintf(sc->wrong, sizeof(sc->wrong), "%.290s", why);
    return why == NULL;
}

static void rewrite(struct scenario *sc, struct slice answer)
{
    FILE *f = fopen(sc->path, "w");
    if (f == NULL)
        return;
    bool has = sc->answers_at < sc->text.n || strstr(sc->text.p, "\n----\n") != NULL;
    fwrite(sc->text.p, 1, has ? sc->answers_at : sc->text.n, f);
    if (!has)
        fputs("----\n", f);
    fwrite(answer.p, 1, answer.n, f);
    fclose(f);
}

static void show(const char *what, struct slice s)
{
    printf("# %s:\n", what);
    for (size_t at = 0; at < s.n;) {
        const char *nl = memchr(s.p + at, '\n', s.n - at);
        size_t n = nl != NULL ? (size_t)(nl - (s.p + at)) : s.n - at;
        printf("#   %.*s\n", (int)n, s.p + at);
        at += n + 1;
    }
}

int scenario_run(const char *path)
{
    struct buf answer;
    struct scenario sc = {.path = path, .answer = &answer};
    bool good = true;
    buf_init(&sc.text, SCENARIO_BYTES);
    buf_init(&answer, SCENARIO_BYTES);
    sc.sim = malloc(sizeof(*sc.sim));
    sim_init(sc.sim, 1, BREAK_NONE);
    sc.sim->disk.fixed_us = OPERATION_US;
    good = load(&sc);
    sc.sim->trace_to = &answer;
    good = good && play(&sc);
    if (good && getenv("VONG_REWRITE") != NULL)
        rewrite(&sc, buf_slice(&answer));
    else if (good)
        good = slice_equal(slice_from(buf_slice(&sc.text), sc.answers_at), buf_slice(&answer));
    printf("1..1\n%s 1 - %s\n", good ? "ok" : "not ok", sc.title[0] != '\0' ? sc.title : path);
    if (!good) {
        printf("# %s\n", sc.wrong);
        show("expected", slice_from(buf_slice(&sc.text), sc.answers_at));
        show("seen", buf_slice(&answer));
    }
    sc.sim->trace_to = NULL;
    if (sc.scene != NULL)
        scene_free(sc.scene);
    sim_free(sc.sim);
    free(sc.sim);
    buf_free(&sc.text);
    buf_free(&answer);
    return good ? 0 : 1;
}

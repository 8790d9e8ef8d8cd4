/* SPDX-License-Identifier: BSD-3-Clause */

/* A ring of 160 samples for each event, one per second at the most: the worst of it. */
#include "node/latency.h"

#include <stdio.h>
#include <stdlib.h>

#include "node/call.h"
#include "node/seats.h"
#include "node/stats.h"

enum { SAMPLES = 160 };

static const struct {
    const char *name, *advice;
} events[] = {
#define X(event, name, advice) [event] = {name, advice},
    LATENCY_EVENTS(X)
#undef X
};

struct sample {
    int64_t seconds;
    uint32_t ms; /* 0: none yet */
};

struct series {
    struct sample at[SAMPLES];
    size_t next;
    uint32_t worst_ms;
};

struct latency {
    struct series *of[LATENCY_EVENT_N]; /* NULL: it never took so long */
};

struct latency *latency_new(void)
{
    return mem_zero(sizeof(struct latency));
}

static void series_drop(struct latency *l, size_t event)
{
    mem_free(l->of[event]);
    l->of[event] = NULL;
}

void latency_free(struct latency *l)
{
    if (l == NULL)
        return;
    for (size_t i = 0; i < LATENCY_EVENT_N; i++)
        series_drop(l, i);
    mem_free(l);
}

static struct sample *newest(struct series *s)
{
    return &s->at[(s->next + SAMPLES - 1) % SAMPLES];
}

static int by_time(const void *a, const void *b)
{
    int64_t x = ((const struct sample *)a)->seconds, y = ((const struct sample *)b)->seconds;
    return x < y ? -1 : x > y;
}

static size_t samples_n(const struct series *s)
{
    size_t n = 0;
    for (size_t i = 0; i < SAMPLES; i++)
        n += s->at[i].ms > 0;
    return n;
}

/* The i-th oldest of those that are. */
static const struct sample *sample_at(const struct series *s, size_t n, size_t i)
{
    return &s->at[(s->next + SAMPLES - n + i) % SAMPLES];
}

/* In their order, one a second: the worst; the newest stay. */
static void series_add(struct series *to, const struct series *from)
{
    struct sample all[2 * SAMPLES];
    size_t to_n = samples_n(to), from_n = samples_n(from), n = 0;
    for (size_t i = 0; i < to_n; i++)
        all[n++] = *sample_at(to, to_n, i);
    for (size_t i = 0; i < from_n; i++)
        all[n++] = *sample_at(from, from_n, i);
    qsort(all, n, sizeof(all[0]), by_time);
    uint32_t worst = to->worst_ms > from->worst_ms ? to->worst_ms : from->worst_ms;
    *to = (struct series){.worst_ms = worst};
    for (size_t i = 0; i < n; i++) {
        struct sample *last = newest(to);
        if (last->ms > 0 && last->seconds == all[i].seconds) {
            last->ms = last->ms > all[i].ms ? last->ms : all[i].ms;
            continue;
        }
        to->at[to->next] = all[i];
        to->next = (to->next + 1) % SAMPLES;
    }
}

void latency_add(struct latency **to, const struct latency *from)
{
    if (from == NULL)
        return;
    if (*to == NULL)
        *to = latency_new();
    for (size_t i = 0; i < LATENCY_EVENT_N; i++) {
        if (from->of[i] == NULL)
            continue;
        if ((*to)->of[i] == NULL)
            (*to)->of[i] = mem_zero(sizeof(struct series));
        series_add((*to)->of[i], from->of[i]);
    }
}

static size_t series_n(const struct latency *l)
{
    size_t n = 0;
    for (size_t i = 0; i < LATENCY_EVENT_N; i++)
        n += l->of[i] != NULL;
    return n;
}

/* LATENCY_EVENT_N: there is none of this name. */
static size_t event_named(struct latency *l, struct slice name)
{
    size_t i = 0;
    while (i < LATENCY_EVENT_N && (l->of[i] == NULL || !slice_is(name, events[i].name)))
        i++;
    return i;
}

uint64_t latency_begin(struct node *n)
{
    return n->options->latency_monitor_threshold > 0 ? n->world->stopwatch_ns(n->world) : 0;
}

void latency_end(struct node *n, enum latency_event event, uint64_t began)
{
    if (began > 0)
        latency_note(n, event, n->world->stopwatch_ns(n->world) - began);
}

void latency_note(struct node *n, enum latency_event event, uint64_t ns)
{
    int64_t limit = n->options->latency_monitor_threshold;
    uint64_t ms = ns / 1000000;
    if (limit <= 0 || ms < (uint64_t)limit)
        return;
    struct series **place = &n->latency->of[event];
    if (*place == NULL)
        *place = mem_zero(sizeof(**place));
    struct series *s = *place;
    uint32_t v = ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
    if (v > s->worst_ms)
        s->worst_ms = v;
    struct sample *last = newest(s);
    if (last->ms > 0 && last->seconds == n->wall.ms / 1000) {
        if (v > last->ms)
            last->ms = v;
        return;
    }
    s->at[s->next] = (struct sample){.seconds = n->wall.ms / 1000, .ms = v};
    s->next = (s->next + 1) % SAMPLES;
}

/* ----------------------------------------------------------------- commands */

void node_latency_latest(struct call *c)
{
    struct latency *l = c->node->latency;
    reply_array(c->reply, series_n(l));
    for (size_t i = 0; i < LATENCY_EVENT_N; i++) {
        struct series *s = l->of[i];
        if (s == NULL)
            continue;
        reply_array(c->reply, 4);
        reply_bulk_str(c->reply, events[i].name);
        reply_i64(c->reply, newest(s)->seconds);
        reply_i64(c->reply, newest(s)->ms);
        reply_i64(c->reply, s->worst_ms);
    }
}

void node_latency_history(struct call *c)
{
    struct latency *l = c->node->latency;
    size_t event = event_named(l, c->argv[2]);
    const struct series *s = event < LATENCY_EVENT_N ? l->of[event] : NULL;
    size_t n = s != NULL ? samples_n(s) : 0;
    reply_array(c->reply, n);
    for (size_t i = 0; i < n; i++) {
        reply_array(c->reply, 2);
        reply_i64(c->reply, sample_at(s, n, i)->seconds);
        reply_i64(c->reply, sample_at(s, n, i)->ms);
    }
}

void node_latency_reset(struct call *c)
{
    struct latency *l = c->node->latency;
    const struct seat_share *others = seats_others(c->node);
    int64_t dropped = 0;
    for (size_t i = 0; i < LATENCY_EVENT_N; i++) {
        bool named = c->argc == 2;
        for (uint32_t k = 2; k < c->argc; k++)
            named = named || slice_is(c->argv[k], events[i].name);
        bool there = others != NULL && others->latency != NULL && others->latency->of[i] != NULL;
        if (!named || (l->of[i] == NULL && !there))
            continue;
        series_drop(l, i);
        dropped++;
    }
    reply_i64(c->reply, dropped);
}

enum { GRAPH_ROWS = 4, GRAPH_COLUMNS = 80 };

/* Newest samples at the right, a column each, taller for longer; below each how long ago it was. */
static void graph_put(struct buf *b, const char *event, const struct series *s, int64_t now)
{
    size_t n = samples_n(s);
    size_t shown = n < GRAPH_COLUMNS ? n : GRAPH_COLUMNS;
    uint32_t low = UINT32_MAX, high = 0;
    for (size_t i = n - shown; i < n; i++) {
        uint32_t ms = sample_at(s, n, i)->ms;
        low = ms < low ? ms : low;
        high = ms > high ? ms : high;
    }
    text_putf(b, "%s - high %u ms, low %u ms (all time high %u ms)\n", event, high, low,
              s->worst_ms);
    for (size_t i = 0; i < GRAPH_COLUMNS; i++)
        text_put(b, SLICE("-"));
    for (uint32_t row = GRAPH_ROWS; row > 0; row--) {
        text_put(b, SLICE("\n"));
        for (size_t i = n - shown; i < n; i++) {
            uint32_t over = sample_at(s, n, i)->ms - low, range = high > low ? high - low : 1;
            uint32_t height = 1 + (uint32_t)((uint64_t)over * (GRAPH_ROWS - 1) / range);
            text_put(b, height > row ? SLICE("|") : height == row ? SLICE("#") : SLICE(" "));
        }
    }
    text_put(b, SLICE("\n"));
    for (size_t line = 0; line < 3; line++) {
        text_put(b, SLICE("\n"));
        for (size_t i = n - shown; i < n; i++) {
            int64_t ago = now - sample_at(s, n, i)->seconds;
            char unit = ago < 60 ? 's' : ago < 3600 ? 'm' : ago < 86400 ? 'h' : 'd';
            int64_t v = ago < 60      ? ago
                        : ago < 3600  ? ago / 60
                        : ago < 86400 ? ago / 3600
                                      : ago / 86400;
            char text[24];
            int text_n = snprintf(text, sizeof(text), "%lld%c", (long long)v, unit);
            text_put(b, line < (size_t)text_n ? slice_of(text + line, 1) : SLICE(" "));
        }
    }
    text_put(b, SLICE("\n"));
}

void node_latency_graph(struct call *c)
{
    struct latency *l = c->node->latency;
    size_t event = event_named(l, c->argv[2]);
    if (event == LATENCY_EVENT_N) {
        struct slice name = slice_head(c->argv[2], 256);
        reply_errorf(c->reply, "ERR No samples available for event '%.*s'", (int)name.n, name.p);
        return;
    }
    struct buf b;
    buf_init(&b, SIZE_MAX);
    graph_put(&b, events[event].name, l->of[event], c->node->wall.ms / 1000);
    reply_verbatim(c->reply, buf_slice(&b), "txt");
    buf_free(&b);
}

void node_latency_doctor(struct call *c)
{
    struct latency *l = c->node->latency;
    struct buf b;
    buf_init(&b, SIZE_MAX);
    if (c->node->options->latency_monitor_threshold <= 0)
        text_put(&b, SLICE("Nothing is measured: set latency-monitor-threshold to the milliseconds "
                           "that matter to you.\n"));
    else if (series_n(l) == 0)
        text_put(&b, SLICE("Nothing took longer than latency-monitor-threshold so far.\n"));
    for (size_t i = 0; i < LATENCY_EVENT_N; i++) {
        const struct series *s = l->of[i];
        size_t n = s != NULL ? samples_n(s) : 0;
        uint64_t sum = 0;
        for (size_t k = 0; k < n; k++)
            sum += sample_at(s, n, k)->ms;
        if (n > 0)
            text_putf(&b, "%s: %zu spikes, %llu ms on average, %u ms at worst.\n    %s\n",
                      events[i].name, n, (unsigned long long)(sum / n), s->worst_ms,
                      events[i].advice);
    }
    reply_verbatim(c->reply, buf_slice(&b), "txt");
    buf_free(&b);
}

void node_latency_help(struct call *c)
{
    static const char *const lines[] = {
        "DOCTOR",
        "    What was slow, in words.",
        "GRAPH <event>",
        "    The samples of an event as a picture.",
        "HISTORY <event>",
        "    Time and milliseconds of each sample of an event.",
        "LATEST",
        "    Time, newest and worst milliseconds of each event.",
        "RESET [<event> ...]",
        "    Forget the samples, of all events or of these.",
        "HISTOGRAM [<command> ...]",
        "    How many calls of a command took how many microseconds.",
    };
    call_help(c, lines, sizeof(lines) / sizeof(lines[0]));
}

/* ---------------------------------------------------------------- histogram */

enum { HISTOGRAM_FIRST_NS = 1024 };

static void reply_histogram(struct call *c, const struct command_stats *s)
{
    reply_map(c->reply, 2);
    reply_bulk(c->reply, SLICE("calls"));
    reply_i64(c->reply, (int64_t)s->calls);
    reply_bulk(c->reply, SLICE("histogram_usec"));
    int64_t pairs[2 * 64];
    size_t n = 0;
    uint64_t before = 0;
    for (uint64_t edge = HISTOGRAM_FIRST_NS; before < s->latency->n; edge *= 2) {
        uint64_t upto = histogram_upto(s->latency, edge);
        if (upto == before)
            continue;
        pairs[n++] = (int64_t)(histogram_bucket_top(histogram_bucket(edge)) / 1000);
        pairs[n++] = (int64_t)upto;
        before = upto;
    }
    reply_map(c->reply, n / 2);
    for (size_t i = 0; i < n; i++)
        reply_i64(c->reply, pairs[i]);
}

static const struct command_stats *measured(struct call *c, const struct spec *spec)
{
    const struct command_stats *s = &c->node->stats->commands[spec->id];
    return s->latency != NULL && s->latency->n > 0 ? s : NULL;
}

/* The command itself, or of a container each of its subcommands, where it was ever called. */
static size_t histogram_put(struct call *c, const struct spec *spec)
{
    size_t n = 0;
    const struct command_stats *s = measured(c, spec);
    if (s != NULL) {
        reply_bulk_str(c->reply, spec->name);
        reply_histogram(c, s);
        n++;
    }
    if (!spec_has_subs(spec))
        return n;
    for (const struct spec *sub = spec_next_sub(spec); sub != NULL; sub = spec_next_sub(sub)) {
        if ((s = measured(c, sub)) == NULL)
            continue;
        reply_bulk_str(c->reply, sub->name);
        reply_histogram(c, s);
        n++;
    }
    return n;
}

void node_latency_histogram(struct call *c)
{
    struct chain *outer = c->reply->out;
    struct chain inner = {0};
    c->reply->out = &inner;
    size_t n = 0;
    if (c->argc == 2) {
        for (size_t i = 0; i < SPEC_N; i++)
            n += specs[i].sub_at == 0 ? histogram_put(c, &specs[i]) : 0;
    } else {
        for (uint32_t i = 2; i < c->argc; i++) {
            const struct spec *spec = spec_find_name(c->argv[i]);
            n += spec != NULL ? histogram_put(c, spec) : 0;
        }
    }
    c->reply->out = outer;
    reply_map(c->reply, n);
    chain_append(outer, &inner);
}

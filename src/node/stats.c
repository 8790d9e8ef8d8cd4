/* SPDX-License-Identifier: BSD-3-Clause */
#include "node/stats.h"

#include "node/call.h"
#include "node/cluster.h"
#include "node/latency.h"
#include "node/multi.h"
#include "node/replicate.h"
#include "node/slowlog.h"

void stats_init(struct node *n)
{
    n->stats = mem_zero(sizeof(*n->stats));
    n->stats->sampled_us = n->now.us;
    n->slowlog = slowlog_new();
    n->latency = latency_new();
    n->watched = watched_new();
    struct node_memory m = {0};
    n->world->memory(n->world, &m);
    n->stats->allocated = m.allocated;
    /* it is there from the start, and no part of what an empty server takes */
    size_t backlog = stats_backlog_bytes(n);
    n->stats->startup = m.allocated > backlog ? m.allocated - backlog : 0;
    n->stats->rss = m.rss;
}

void stats_free(struct node *n)
{
    stats_copy_free(n->stats);
    slowlog_free(n->slowlog);
    latency_free(n->latency);
    watched_free(n->watched);
}

void stats_copy_free(struct stats *s)
{
    for (size_t i = 0; s != NULL && i < SPEC_N; i++)
        mem_free(s->commands[i].latency);
    mem_free(s);
}

/* The hot path: three sums and one bucket. */
void stats_calls(struct node *n, const struct spec *spec, uint64_t calls, uint64_t ns,
                 uint64_t failed)
{
    struct command_stats *c = &n->stats->commands[spec->id];
    n->stats->calls += calls;
    c->calls += calls;
    c->ns += calls * ns;
    c->failed += failed;
    if (!n->options->latency_tracking)
        return;
    if (__builtin_expect(c->latency == NULL, 0))
        c->latency = mem_zero(sizeof(*c->latency));
    histogram_add(c->latency, ns, calls);
}

void stats_turn(struct node *n)
{
    n->stats->turns++;
}

void stats_rejected(struct node *n, const struct spec *spec)
{
    n->stats->commands[spec->id].rejected++;
}

static void error_add(struct stats *s, const char *code, uint64_t times)
{
    s->error_replies += times;
    for (size_t i = 0; i < s->errors_n; i++) {
        if (strcmp(s->errors[i].code, code) == 0) {
            s->errors[i].n += times;
            return;
        }
    }
    if (s->errors_n == ERROR_KINDS_MAX) {
        s->errors[ERROR_KINDS_MAX - 1].n += times;
        return;
    }
    struct error_stats *e = &s->errors[s->errors_n++];
    size_t code_n = strlen(code);
    if (code_n >= sizeof(e->code))
        code_n = sizeof(e->code) - 1;
    memcpy(e->code, code, code_n);
    e->code[code_n] = '\0';
    e->n = times;
}

void stats_error(struct node *n, const char *code)
{
    error_add(n->stats, code, 1);
}

static void rate_add(struct rate *r, uint64_t count, int64_t us)
{
    uint64_t more = count > r->last ? count - r->last : 0; /* it was reset in between */
    r->of[r->next] = us > 0 ? (double)more * 1e6 / (double)us : 0;
    r->next = (r->next + 1) % RATE_SAMPLES;
    r->last = count;
}

double rate_of(const struct rate *r)
{
    double sum = 0;
    for (size_t i = 0; i < RATE_SAMPLES; i++)
        sum += r->of[i];
    return sum / RATE_SAMPLES;
}

size_t stats_backlog_bytes(const struct node *n)
{
    const struct backlog *b = n->cluster != NULL ? &n->cluster->replicas->repl.backlog : NULL;
    return b != NULL && b->ring != NULL ? b->size : 0;
}

size_t stats_backlog_held(const struct node *n)
{
    const struct backlog *b = n->cluster != NULL ? &n->cluster->replicas->repl.backlog : NULL;
    return b != NULL ? b->end - b->oldest : 0;
}

static size_t passes_bytes(const struct replicas *r)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < PASSES_AT_ONCE; i++)
        bytes += r->passes[i].in.cap + r->passes[i].held;
    return bytes;
}

size_t stats_links_bytes(const struct node *n)
{
    size_t bytes = 0;
    if (n->cluster == NULL)
        return 0;
    const struct replicas *r = n->cluster->replicas;
    for (size_t i = 0; i < r->links.n; i++)
        if (r->links.at[i] != NULL)
            bytes +=
                sizeof(struct repl_link) + r->links.at[i]->in.cap + link_unsent(r->links.at[i]);
    bytes += passes_bytes(r);
    for (const struct list *l = n->cluster->links.next; l != &n->cluster->links; l = l->next) {
        const struct peer_link *p = CONTAINER_OF(l, struct peer_link, in_cluster);
        bytes += sizeof(*p) + p->in.cap + p->out.n + p->left;
    }
    return bytes;
}

size_t stats_uncounted_bytes(const struct node *n)
{
    size_t bytes = journal_bytes(&n->journal);
    const struct replicas *r = n->cluster != NULL ? n->cluster->replicas : NULL;
    for (size_t i = 0; r != NULL && i < r->links.n; i++)
        bytes += r->links.at[i] != NULL ? link_unsent(r->links.at[i]) : 0;
    return r != NULL ? bytes + passes_bytes(r) : bytes;
}

/* Memory that is not the store's counts against maxmemory too: buffers, sessions, the allocator's
 * waste; but for stats_uncounted_bytes. Where the allocator tells nothing, the store's count is
 * all there is. */
void stats_sample(struct node *n)
{
    struct stats *s = n->stats;
    struct node_memory m = {0};
    n->world->memory(n->world, &m);
    /* what is dying asks nobody to make room */
    size_t store = store_bytes(&n->store) + n->store.dying_bytes;
    size_t apart = store + stats_uncounted_bytes(n);
    n->memory_beside = m.allocated > apart ? m.allocated - apart : 0;
    s->allocated = m.allocated > store ? m.allocated : store;
    s->rss = m.rss;
    if (s->allocated > n->memory_peak)
        n->memory_peak = s->allocated;
    int64_t us = n->now.us - s->sampled_us;
    s->sampled_us = n->now.us;
    rate_add(&s->ops, s->calls, us);
    rate_add(&s->input, world_count(n, "total_net_input_bytes"), us);
    rate_add(&s->output, world_count(n, "total_net_output_bytes"), us);
}

void histogram_more(struct histogram **to, const struct histogram *from)
{
    if (from == NULL)
        return;
    if (*to == NULL)
        *to = mem_zero(sizeof(**to));
    (*to)->n += from->n;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        (*to)->counts[i] += from->counts[i];
}

/* Sampled at about the same time; the newest of one are added to the newest of the other. */
static void rate_more(struct rate *to, const struct rate *from)
{
    for (unsigned i = 0; i < RATE_SAMPLES; i++)
        to->of[(to->next + i) % RATE_SAMPLES] += from->of[(from->next + i) % RATE_SAMPLES];
}

void stats_add(struct stats **to, const struct stats *from)
{
    if (from == NULL)
        return;
    if (*to == NULL)
        *to = mem_zero(sizeof(**to));
    struct stats *s = *to;
    for (size_t i = 0; i < SPEC_N; i++) {
        struct command_stats *c = &s->commands[i];
        const struct command_stats *more = &from->commands[i];
        c->calls += more->calls;
        c->ns += more->ns;
        c->rejected += more->rejected;
        c->failed += more->failed;
        histogram_more(&c->latency, more->latency);
    }
    for (size_t i = 0; i < from->errors_n; i++)
        error_add(s, from->errors[i].code, from->errors[i].n);
    s->calls += from->calls;
    s->turns += from->turns;
    rate_more(&s->ops, &from->ops);
    rate_more(&s->input, &from->input);
    rate_more(&s->output, &from->output);
    s->startup = from->startup; /* of the process, as the next two */
    s->allocated = from->allocated;
    s->rss = from->rss;
}

void stats_reset(struct node *n)
{
    struct stats *s = n->stats;
    for (size_t i = 0; i < SPEC_N; i++) {
        mem_free(s->commands[i].latency);
        s->commands[i] = (struct command_stats){0};
    }
    s->errors_n = 0;
    s->calls = s->error_replies = 0;
    s->turns = 0;
    s->ops = s->input = s->output = (struct rate){0};
    s->connections_before = n->sessions_made;
    s->input_before = s->input.last = world_count(n, "total_net_input_bytes");
    s->output_before = s->output.last = world_count(n, "total_net_output_bytes");
    s->rejected_before = world_count(n, "rejected_connections");
    n->cmd_stats = (struct cmd_stats){0};
    n->evicted = 0;
    n->memory_peak = s->allocated;
}

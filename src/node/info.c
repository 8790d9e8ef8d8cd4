/* SPDX-License-Identifier: BSD-3-Clause */

/* INFO: sections of "name:value" lines, under the names that monitoring tools read. What has no
 * meaning here but is asked for by tools is told with the value it would have: none, zero, ok. */
#include "node/info.h"

#include <stdio.h>

#include "node/call.h"
#include "node/cluster.h"
#include "node/cluster_text.h"
#include "node/identity.h"
#include "node/multi.h"
#include "node/save.h"
#include "node/seats.h"
#include "node/stats.h"

enum { FACT_BYTES = 512 };

static void put_count(struct buf *b, const char *name, uint64_t v)
{
    text_put(b, slice_str(name));
    text_putf(b, ":%llu\r\n", (unsigned long long)v);
}

static void put_word(struct buf *b, const char *name, const char *text)
{
    text_put(b, slice_str(name));
    text_put(b, SLICE(":"));
    text_put(b, slice_str(text));
    text_put(b, SLICE("\r\n"));
}

/* What the shell knows, or `otherwise`. */
static void put_fact_of(struct buf *b, struct node *n, const char *name, const char *of,
                        const char *otherwise)
{
    char text[FACT_BYTES];
    struct slice fact = n->world->fact(n->world, of, text, sizeof(text));
    text_put(b, slice_str(name));
    text_put(b, SLICE(":"));
    text_put(b, fact.n > 0 ? fact : slice_str(otherwise));
    text_put(b, SLICE("\r\n"));
}

static void put_fact(struct buf *b, struct node *n, const char *name, const char *otherwise)
{
    put_fact_of(b, n, name, name, otherwise);
}

static void put_zeros(struct buf *b, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        put_count(b, names[i], 0);
}
#define PUT_ZEROS(b, ...)                                           \
    do {                                                            \
        static const char *const zeros_[] = {__VA_ARGS__};          \
        put_zeros((b), zeros_, sizeof(zeros_) / sizeof(zeros_[0])); \
    } while (0)

/* "name:123" and "name_human:123B". */
static void put_bytes(struct buf *b, const char *name, uint64_t v)
{
    static const char units[] = "KMGTP";
    put_count(b, name, v);
    text_put(b, slice_str(name));
    if (v < 1024) {
        text_putf(b, "_human:%lluB\r\n", (unsigned long long)v);
        return;
    }
    double d = (double)v / 1024;
    size_t unit = 0;
    for (; d >= 1024 && unit + 1 < sizeof(units) - 1; unit++)
        d /= 1024;
    text_putf(b, "_human:%.2f%c\r\n", d, units[unit]);
}

static uint64_t since(uint64_t v, uint64_t before)
{
    return v > before ? v - before : 0;
}

/* ------------------------------------------------------------- figures of a seat */

static void session_figures(const struct node *n, uint64_t *to)
{
    for (const struct list *l = n->sessions.next; l != &n->sessions; l = l->next) {
        const struct session *s = CONTAINER_OF(l, struct session, in_all);
        to[FIGURE_BLOCKED] += s->held == HELD_WAIT;
        to[FIGURE_TIMED] += s->held == HELD_WAIT && s->due.place != 0;
        to[FIGURE_CLIENT_BYTES] += session_cost(n, s).all;
    }
}

static void proxy_figures(const struct node *n, uint64_t *to)
{
    struct proxy_view v = cluster_proxy_view(n);
    to[FIGURE_LINKS] = v.links;
    to[FIGURE_OWN_LINKS] = v.own_links;
    to[FIGURE_SENT] = v.sent;
    to[FIGURE_PARKED] = v.parked;
    to[FIGURE_FORWARDED] = n->cluster->forwarded;
    to[FIGURE_RETRIED] = n->cluster->retried;
    to[FIGURE_BY_COPIES] = n->cluster->by_copies;
    to[FIGURE_UNCERTAIN] = n->cluster->uncertain;
}

void info_figures(struct node *n, uint64_t *to)
{
    static const struct {
        enum figure figure;
        const char *fact;
    } facts[] = {
        {FIGURE_READS, "total_reads_processed"},
        {FIGURE_WRITES, "total_writes_processed"},
        {FIGURE_CYCLES, "eventloop_cycles"},
        {FIGURE_INPUT_MOST, "client_recent_max_input_buffer"},
        {FIGURE_OUTPUT_MOST, "client_recent_max_output_buffer"},
        {FIGURE_INPUT_LIMIT, "client_query_buffer_limit_disconnections"},
        {FIGURE_OUTPUT_LIMIT, "client_output_buffer_limit_disconnections"},
    };
    const struct stats *s = n->stats;
    memset(to, 0, FIGURES_N * sizeof(to[0]));
    for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++)
        to[facts[i].figure] = world_count(n, facts[i].fact);
    to[FIGURE_CLIENTS] = n->sessions_n;
    to[FIGURE_WATCHED] = watched_n(n->watched);
    to[FIGURE_CONNECTIONS] = n->sessions_made - s->connections_before;
    to[FIGURE_INPUT_BYTES] = since(world_count(n, "total_net_input_bytes"), s->input_before);
    to[FIGURE_OUTPUT_BYTES] = since(world_count(n, "total_net_output_bytes"), s->output_before);
    to[FIGURE_REJECTED] = since(world_count(n, "rejected_connections"), s->rejected_before);
    session_figures(n, to);
    to[FIGURE_LINK_BYTES] = stats_links_bytes(n);
    if (n->identity.is_proxy)
        proxy_figures(n, to);
}

void info_figures_add(uint64_t *to, const uint64_t *more)
{
    static const bool is_most[FIGURES_N] = {
#define X(figure, most) [figure] = most,
        SEAT_FIGURES(X)
#undef X
    };
    for (size_t i = 0; i < FIGURES_N; i++)
        to[i] = !is_most[i] ? to[i] + more[i] : to[i] > more[i] ? to[i] : more[i];
}

/* Of all seats, this one included, or of this node where it is the only one. */
static void figures_told(struct node *n, uint64_t *to)
{
    const struct seat_share *all = seats_others(n);
    if (all != NULL)
        memcpy(to, all->figures, sizeof(all->figures));
    else
        info_figures(n, to);
}

static int64_t started_seconds(const struct node *n)
{
    return (n->wall.ms - (n->now.us - n->started.us) / 1000) / 1000;
}

/* ----------------------------------------------------------------- sections */

static void put_server(struct buf *b, struct node *n)
{
    int64_t up = (n->now.us - n->started.us) / 1000000;
    put_word(b, "redis_version", REDIS_VERSION);
    put_word(b, "server_name", "vong");
    put_fact(b, n, "vong_version", "");
    put_word(b, "redis_git_sha1", "00000000");
    put_count(b, "redis_git_dirty", 0);
    put_word(b, "redis_build_id", "0");
    put_word(b, "redis_mode", node_is_member(n) ? "cluster" : "standalone");
    put_fact(b, n, "os", "");
    put_count(b, "arch_bits", 8 * sizeof(void *));
    put_fact(b, n, "monotonic_clock", "POSIX clock_gettime");
    put_fact(b, n, "multiplexing_api", "");
    put_word(b, "atomicvar_api", "c11-builtin");
    put_fact(b, n, "gcc_version", "0.0.0");
    put_count(b, "process_id", (uint64_t)n->identity.process_id);
    put_fact(b, n, "process_supervised", "no");
    put_word(b, "run_id", n->identity.run_id);
    put_count(b, "tcp_port", (uint64_t)n->options->port);
    put_count(b, "server_time_usec", (uint64_t)n->wall.ms * 1000 + n->wall_us);
    put_count(b, "uptime_in_seconds", (uint64_t)up);
    put_count(b, "uptime_in_days", (uint64_t)up / 86400);
    put_count(b, "hz", (uint64_t)n->options->hz);
    put_count(b, "configured_hz", (uint64_t)n->options->hz);
    put_count(b, "lru_clock", n->store.lru_clock);
    put_fact(b, n, "executable", "");
    put_fact(b, n, "config_file", "");
    put_count(b, "io_threads_active", 0);
}

static void put_clients(struct buf *b, struct node *n)
{
    uint64_t figures[FIGURES_N];
    figures_told(n, figures);
    put_count(b, "connected_clients", figures[FIGURE_CLIENTS]);
    put_count(b, "cluster_connections", 0);
    put_count(b, "maxclients", (uint64_t)n->options->maxclients);
    put_count(b, "client_recent_max_input_buffer", figures[FIGURE_INPUT_MOST]);
    put_count(b, "client_recent_max_output_buffer", figures[FIGURE_OUTPUT_MOST]);
    put_count(b, "blocked_clients", figures[FIGURE_BLOCKED]);
    put_count(b, "tracking_clients", 0);
    put_count(b, "clients_in_timeout_table", figures[FIGURE_TIMED]);
    put_count(b, "total_watched_keys", figures[FIGURE_WATCHED]);
}

static struct memory_gap gap(size_t a, size_t b)
{
    return (struct memory_gap){b > 0 ? (double)a / (double)b : 0, (int64_t)a - (int64_t)b};
}

struct memory_account memory_account(struct node *n)
{
    struct node_memory m = {0};
    n->world->memory(n->world, &m);
    struct memory_account a = {
        .allocated = m.allocated, .active = m.active, .resident = m.resident, .rss = m.rss};
    a.used = m.allocated > 0 ? m.allocated : store_bytes(&n->store);
    if (a.used > n->memory_peak)
        n->memory_peak = a.used;
    a.peak = n->memory_peak;
    a.startup = n->stats->startup;
    a.dataset = n->store.entry_bytes < a.used ? n->store.entry_bytes : a.used;
    a.overhead = a.used - a.dataset;
    uint64_t figures[FIGURES_N];
    figures_told(n, figures);
    a.clients = figures[FIGURE_CLIENT_BYTES];
    a.links = figures[FIGURE_LINK_BYTES];
    a.log = journal_bytes(&n->journal);
    size_t net = a.used > a.startup ? a.used - a.startup : 1;
    a.dataset_percent = 100.0 * (double)a.dataset / (double)net;
    if (a.dataset_percent > 100)
        a.dataset_percent = 100;
    a.peak_percent = a.peak > 0 ? 100.0 * (double)a.used / (double)a.peak : 0;
    a.allocator_fragmentation = gap(a.active, a.allocated);
    a.allocator_rss = gap(a.resident, a.active);
    a.rss_overhead = gap(a.rss, a.resident);
    a.fragmentation = gap(a.rss, a.used);
    return a;
}

static void put_gap(struct buf *b, const char *name, struct memory_gap g)
{
    text_putf(b, "%s_ratio:%.2f\r\n%s_bytes:%lld\r\n", name, g.ratio, name, (long long)g.bytes);
}

static void put_policy(struct buf *b, const struct node *n)
{
    struct slice name = SLICE("maxmemory-policy");
    struct options_got got = {0};
    options_get(n->options, &name, 1, &got);
    text_put(b, SLICE("maxmemory_policy:"));
    text_put(b, slice_of(got.text.p + got.list.at[0].at, got.list.at[0].n));
    text_put(b, SLICE("\r\n"));
    options_got_free(&got);
}

static void put_memory(struct buf *b, struct node *n)
{
    uint64_t figures[FIGURES_N];
    figures_told(n, figures);
    struct memory_account a = memory_account(n);
    put_bytes(b, "used_memory", a.used);
    put_bytes(b, "used_memory_rss", a.rss);
    put_bytes(b, "used_memory_peak", a.peak);
    text_putf(b, "used_memory_peak_perc:%.2f%%\r\n", a.peak_percent);
    put_count(b, "used_memory_overhead", a.overhead);
    put_count(b, "used_memory_startup", a.startup);
    put_count(b, "used_memory_dataset", a.dataset);
    text_putf(b, "used_memory_dataset_perc:%.2f%%\r\n", a.dataset_percent);
    put_count(b, "allocator_allocated", a.allocated);
    put_count(b, "allocator_active", a.active);
    put_count(b, "allocator_resident", a.resident);
    put_bytes(b, "total_system_memory", world_count(n, "total_system_memory"));
    put_bytes(b, "used_memory_lua", 0);
    PUT_ZEROS(b, "used_memory_vm_eval", "used_memory_scripts_eval", "number_of_cached_scripts",
              "number_of_functions", "number_of_libraries", "used_memory_vm_functions");
    put_bytes(b, "used_memory_vm_total", 0);
    put_count(b, "used_memory_functions", 0);
    put_bytes(b, "used_memory_scripts", 0);
    put_bytes(b, "maxmemory", (uint64_t)n->options->maxmemory);
    put_policy(b, n);
    put_gap(b, "allocator_frag", a.allocator_fragmentation);
    put_gap(b, "allocator_rss", a.allocator_rss);
    put_gap(b, "rss_overhead", a.rss_overhead);
    put_gap(b, "mem_fragmentation", a.fragmentation);
    put_count(b, "mem_not_counted_for_evict", stats_uncounted_bytes(n));
    put_count(b, "mem_replication_backlog", stats_backlog_bytes(n));
    put_count(b, "mem_total_replication_buffers", stats_backlog_bytes(n));
    put_count(b, "mem_clients_slaves", 0);
    put_count(b, "mem_clients_normal", figures[FIGURE_CLIENT_BYTES]);
    put_count(b, "mem_cluster_links", a.links);
    put_count(b, "mem_aof_buffer", a.log);
    put_fact(b, n, "mem_allocator", "libc");
    put_count(b, "active_defrag_running", 0);
    put_count(b, "lazyfree_pending_objects", n->store.dying_bytes > 0);
    put_count(b, "lazyfreed_objects", 0);
}

/* What is left to read, at the speed of what was read. */
static void put_loading(struct buf *b, struct node *n)
{
    uint64_t total = n->load->bytes_total, done = n->load->bytes_done;
    uint64_t began = (uint64_t)started_seconds(n);
    uint64_t took = (uint64_t)(n->now.us - n->started.us) / 1000000;
    uint64_t left = total > done ? total - done : 0;
    put_count(b, "loading_start_time", began);
    put_count(b, "loading_total_bytes", total);
    put_count(b, "loading_loaded_bytes", done);
    text_putf(b, "loading_loaded_perc:%.2f\r\n",
              total > 0 ? 100.0 * (double)done / (double)total : 0.0);
    put_count(b, "loading_eta_seconds", done > 0 ? took * left / done : 1);
}

static void put_persistence(struct buf *b, struct node *n)
{
    const struct journal *j = &n->journal;
    bool is_on = j->state != JOURNAL_OFF;
    put_count(b, "loading", n->loading);
    put_count(b, "async_loading", 0);
    PUT_ZEROS(b, "current_cow_peak", "current_cow_size", "current_cow_size_age");
    text_put(b, SLICE("current_fork_perc:0.00\r\n"));
    save_put_state(b, n);
    put_count(b, "aof_enabled", is_on);
    save_put_rewrite(b, n);
    put_word(b, "aof_last_write_status", commit_refuses(n) == NULL ? "ok" : "err");
    put_count(b, "aof_last_cow_size", 0);
    PUT_ZEROS(b, "module_fork_in_progress", "module_fork_last_cow_size");
    if (is_on) {
        save_put_sizes(b, n);
        put_count(b, "aof_pending_rewrite", 0);
        put_count(b, "aof_buffer_length", journal_bytes(j));
        put_count(b, "aof_pending_bio_fsync", j->syncing);
        put_count(b, "aof_delayed_fsync", j->delayed_syncs);
    }
    if (n->loading)
        put_loading(b, n);
}

static void put_traffic(struct buf *b, struct node *n, const uint64_t *figures)
{
    const struct stats *s = n->stats;
    put_count(b, "total_connections_received", figures[FIGURE_CONNECTIONS]);
    put_count(b, "total_commands_processed", s->calls);
    put_count(b, "instantaneous_ops_per_sec", (uint64_t)rate_of(&s->ops));
    put_count(b, "total_net_input_bytes", figures[FIGURE_INPUT_BYTES]);
    put_count(b, "total_net_output_bytes", figures[FIGURE_OUTPUT_BYTES]);
    PUT_ZEROS(b, "total_net_repl_input_bytes", "total_net_repl_output_bytes");
    text_putf(b, "instantaneous_input_kbps:%.2f\r\n", rate_of(&s->input) / 1024);
    text_putf(b, "instantaneous_output_kbps:%.2f\r\n", rate_of(&s->output) / 1024);
    text_put(
        b, SLICE("instantaneous_input_repl_kbps:0.00\r\ninstantaneous_output_repl_kbps:0.00\r\n"));
    put_count(b, "rejected_connections", figures[FIGURE_REJECTED]);
}

/* Copies of slots that were sent what they lacked out of the backlog, or of the log; where
 * neither reached, whole. */
static void put_syncs(struct buf *b, const struct cluster *c)
{
    static const struct replicas none;
    const struct replicas *r = c != NULL ? c->replicas : &none;
    put_count(b, "sync_full", r->dumps_out);
    put_count(b, "sync_partial_ok", r->repl.partial_n);
    put_count(b, "sync_partial_err", r->repl.partial_failed_n);
    put_count(b, "sync_full_bytes", r->dumps_bytes);
    put_count(b, "sync_partial_bytes", r->repl.partial_bytes);
    put_count(b, "sync_partial_log", r->repl.logged_n);
    put_count(b, "sync_partial_log_bytes", r->repl.logged_bytes);
}

static void put_stats(struct buf *b, struct node *n)
{
    uint64_t figures[FIGURES_N];
    figures_told(n, figures);
    const struct stats *s = n->stats;
    put_traffic(b, n, figures);
    put_syncs(b, n->cluster);
    put_count(b, "expired_keys", n->cmd_stats.expired);
    text_put(b, SLICE("expired_stale_perc:0.00\r\n"));
    PUT_ZEROS(b, "expired_time_cap_reached_count", "expire_cycle_cpu_milliseconds");
    put_count(b, "evicted_keys", n->evicted);
    PUT_ZEROS(b, "evicted_clients", "total_eviction_exceeded_time",
              "current_eviction_exceeded_time");
    put_count(b, "keyspace_hits", n->cmd_stats.hits);
    put_count(b, "keyspace_misses", n->cmd_stats.misses);
    PUT_ZEROS(b, "pubsub_channels", "pubsub_patterns", "pubsubshard_channels", "latest_fork_usec",
              "total_forks", "migrate_cached_sockets", "slave_expires_tracked_keys",
              "active_defrag_hits", "active_defrag_misses", "active_defrag_key_hits",
              "active_defrag_key_misses", "total_active_defrag_time", "current_active_defrag_time",
              "tracking_total_keys", "tracking_total_items", "tracking_total_prefixes",
              "unexpected_error_replies");
    put_count(b, "total_error_replies", s->error_replies);
    put_count(b, "dump_payload_sanitizations", 0);
    put_count(b, "total_reads_processed", figures[FIGURE_READS]);
    put_count(b, "total_writes_processed", figures[FIGURE_WRITES]);
    PUT_ZEROS(b, "io_threaded_reads_processed", "io_threaded_writes_processed");
    put_count(b, "client_query_buffer_limit_disconnections", figures[FIGURE_INPUT_LIMIT]);
    put_count(b, "client_output_buffer_limit_disconnections", figures[FIGURE_OUTPUT_LIMIT]);
    PUT_ZEROS(b, "reply_buffer_shrinks", "reply_buffer_expands");
    put_count(b, "eventloop_cycles", figures[FIGURE_CYCLES]);
    put_count(b, "turns_with_commands", s->turns);
    text_putf(b, "commands_per_turn:%.2f\r\n",
              s->turns > 0 ? (double)s->calls / (double)s->turns : 0.0);
    PUT_ZEROS(b, "acl_access_denied_auth", "acl_access_denied_cmd", "acl_access_denied_key",
              "acl_access_denied_channel");
}

static void put_replication(struct buf *b, struct node *n)
{
    put_word(b, "role", "master");
    if (node_is_member(n))
        cluster_followers_text(n, b);
    else
        put_count(b, "connected_slaves", 0);
    put_word(b, "master_failover_state", "no-failover");
    put_word(b, "master_replid", n->identity.run_id);
    put_word(b, "master_replid2", "0000000000000000000000000000000000000000");
    put_count(b, "master_repl_offset", node_offset(n));
    put_word(b, "second_repl_offset", "-1");
    put_count(b, "repl_backlog_active", stats_backlog_bytes(n) > 0);
    put_count(b, "repl_backlog_size", (uint64_t)n->options->repl_backlog_size);
    PUT_ZEROS(b, "repl_backlog_first_byte_offset");
    put_count(b, "repl_backlog_histlen", stats_backlog_held(n));
    if (node_is_member(n))
        cluster_copies_text(n, b);
}

static void put_cpu(struct buf *b, struct node *n)
{
    static const char *const names[] = {"used_cpu_sys",
                                        "used_cpu_user",
                                        "used_cpu_sys_children",
                                        "used_cpu_user_children",
                                        "used_cpu_sys_main_thread",
                                        "used_cpu_user_main_thread"};
    bool all_are_main = n->identity.seats_n > 1; /* each of them runs commands */
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        put_fact_of(b, n, names[i], names[all_are_main && i >= 4 ? i - 4 : i], "0.000000");
}

static void put_nothing(struct buf *b, struct node *n)
{
    (void)b;
    (void)n;
}

static void put_commandstats(struct buf *b, struct node *n)
{
    for (size_t i = 0; i < SPEC_N; i++) {
        const struct command_stats *c = &n->stats->commands[i];
        if (c->calls == 0 && c->rejected == 0 && c->failed == 0)
            continue;
        double us = (double)c->ns / 1000;
        text_putf(b,
                  "cmdstat_%s:calls=%llu,usec=%llu,usec_per_call=%.2f,rejected_calls=%llu,failed_"
                  "calls=%llu\r\n",
                  specs[i].name, (unsigned long long)c->calls, (unsigned long long)(c->ns / 1000),
                  c->calls > 0 ? us / (double)c->calls : 0.0, (unsigned long long)c->rejected,
                  (unsigned long long)c->failed);
    }
}

static void put_errorstats(struct buf *b, struct node *n)
{
    for (size_t i = 0; i < n->stats->errors_n; i++)
        text_putf(b, "errorstat_%s:count=%llu\r\n", n->stats->errors[i].code,
                  (unsigned long long)n->stats->errors[i].n);
}

/* "p99.9=1.234", the percentile without needless zeros. */
static void put_percentile(struct buf *b, const struct histogram *h, double percent)
{
    char name[32];
    int n = snprintf(name, sizeof(name), "%f", percent);
    while (n > 0 && name[n - 1] == '0')
        n--;
    if (n > 0 && name[n - 1] == '.')
        n--;
    text_putf(b, "p%.*s=%.3f", n, name, (double)histogram_percentile(h, percent) / 1000);
}

static void put_latencystats(struct buf *b, struct node *n)
{
    const struct option_percentiles *p = &n->options->latency_tracking_info_percentiles;
    for (size_t i = 0; i < SPEC_N; i++) {
        const struct histogram *h = n->stats->commands[i].latency;
        if (h == NULL || h->n == 0)
            continue;
        text_putf(b, "latency_percentiles_usec_%s:", specs[i].name);
        for (size_t k = 0; k < p->n; k++) {
            text_put(b, k > 0 ? SLICE(",") : SLICE(""));
            put_percentile(b, h, p->at[k]);
        }
        text_put(b, SLICE("\r\n"));
    }
}

static void put_cluster(struct buf *b, struct node *n)
{
    put_count(b, "cluster_enabled", node_is_member(n));
}

static void put_keyspace(struct buf *b, struct node *n)
{
    for (unsigned db = 0; db < n->store.dbs_n; db++) {
        size_t keys = store_keys_n(&n->store, db), dues = store_dues_n(&n->store, db);
        if (keys == 0)
            continue;
        double left =
            dues > 0 ? store_due_ms_sum(&n->store, db) / (double)dues - (double)n->wall.ms : 0;
        text_putf(b, "db%u:keys=%zu,expires=%zu,avg_ttl=%.0f\r\n", db, keys, dues,
                  left > 0 ? left : 0.0);
    }
}

static void put_proxy(struct buf *b, struct node *n)
{
    uint64_t figures[FIGURES_N];
    figures_told(n, figures);
    struct proxy_view v = cluster_proxy_view(n);
    put_fact(b, n, "proxy_threads", "1");
    put_fact(b, n, "proxy_thread", "0");
    put_fact(b, n, "proxy_clients", "0");
    put_count(b, "map_index", n->cluster->map.index);
    put_count(b, "cluster_nodes", v.nodes);
    put_count(b, "cluster_nodes_up", v.up);
    put_count(b, "slots_served", v.slots_served);
    put_count(b, "upstream_connections", figures[FIGURE_LINKS]);
    put_count(b, "upstream_connections_own", figures[FIGURE_OWN_LINKS]);
    put_count(b, "requests_under_way", figures[FIGURE_SENT]);
    put_count(b, "requests_waiting", figures[FIGURE_PARKED]);
    put_count(b, "requests_forwarded", figures[FIGURE_FORWARDED]);
    put_count(b, "reads_by_replicas", figures[FIGURE_BY_COPIES]);
    put_count(b, "requests_retried", figures[FIGURE_RETRIED]);
    put_count(b, "writes_uncertain", figures[FIGURE_UNCERTAIN]);
}

static void put_upstreams(struct buf *b, struct node *n)
{
    const struct seat_share *others = seats_others(n);
    if (others == NULL)
        upstreams_count(n);
    upstreams_put(n, others != NULL ? &others->upstreams : &n->cluster->upstreams, b);
}

/* --------------------------------------------------------------------- INFO */

enum section_of { OF_SERVERS = 1, OF_PROXIES = 2, OF_BOTH = 3 };

struct section {
    const char *name, *title;
    void (*put)(struct buf *b, struct node *n);
    bool by_default;
    uint8_t of; /* enum section_of */
};

static const struct section sections[] = {
    {"server", "Server", put_server, true, OF_BOTH},
    {"clients", "Clients", put_clients, true, OF_BOTH},
    {"memory", "Memory", put_memory, true, OF_BOTH},
    {"persistence", "Persistence", put_persistence, true, OF_BOTH},
    {"stats", "Stats", put_stats, true, OF_BOTH},
    {"replication", "Replication", put_replication, true, OF_BOTH},
    {"proxy", "Proxy", put_proxy, true, OF_PROXIES},
    {"upstreams", "Upstreams", put_upstreams, true, OF_PROXIES},
    {"cpu", "CPU", put_cpu, true, OF_BOTH},
    {"modules", "Modules", put_nothing, true, OF_BOTH},
    {"commandstats", "Commandstats", put_commandstats, false, OF_BOTH},
    {"errorstats", "Errorstats", put_errorstats, true, OF_BOTH},
    {"latencystats", "Latencystats", put_latencystats, false, OF_BOTH},
    {"cluster", "Cluster", put_cluster, true, OF_BOTH},
    {"keyspace", "Keyspace", put_keyspace, true, OF_SERVERS},
};
enum { SECTIONS_N = sizeof(sections) / sizeof(sections[0]) };

static bool is_asked_for(const struct call *c, const struct section *s)
{
    if (c->argc == 1)
        return s->by_default;
    for (uint32_t i = 1; i < c->argc; i++) {
        struct slice name = c->argv[i];
        if (slice_is(name, "all") || slice_is(name, "everything") || slice_is(name, s->name) ||
            (slice_is(name, "default") && s->by_default))
            return true;
    }
    return false;
}

void node_info(struct call *c)
{
    struct buf b;
    uint8_t of = c->node->identity.is_proxy ? OF_PROXIES : OF_SERVERS;
    buf_init(&b, SIZE_MAX);
    for (size_t i = 0; i < SECTIONS_N; i++) {
        if ((sections[i].of & of) == 0 || !is_asked_for(c, &sections[i]))
            continue;
        text_putf(&b, "%s# %s\r\n", b.n > 0 ? "\r\n" : "", sections[i].title);
        sections[i].put(&b, c->node);
    }
    reply_verbatim(c->reply, buf_slice(&b), "txt");
    buf_free(&b);
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* MEMORY, but for USAGE, which is a matter of the keyspace. */
#include "node/call.h"
#include "node/info.h"
#include "node/stats.h"

static void reply_named(struct reply *r, const char *name, size_t v)
{
    reply_bulk_str(r, name);
    reply_i64(r, (int64_t)v);
}

static void reply_measure(struct reply *r, const char *name, double v)
{
    reply_bulk_str(r, name);
    reply_double(r, v);
}

static void reply_gap(struct reply *r, const char *ratio, const char *bytes, struct memory_gap g)
{
    reply_measure(r, ratio, g.ratio);
    reply_bulk_str(r, bytes);
    reply_i64(r, g.bytes);
}

/* Of each database with keys: what its two tables take. */
static size_t reply_databases(struct reply *r, const struct store *s)
{
    size_t keys = 0;
    for (unsigned db = 0; db < s->dbs_n; db++) {
        size_t n = store_keys_n(s, db);
        keys += n;
        if (n == 0)
            continue;
        reply_bulkf(r, "db.%u", db);
        reply_map(r, 3);
        reply_named(r, "overhead.hashtable.main", store_keys_bytes(s, db));
        reply_named(r, "overhead.hashtable.expires", store_dues_bytes(s, db));
        reply_named(r, "overhead.hashtable.slot-to-keys", 0);
    }
    return keys;
}

static size_t databases_n(const struct store *s)
{
    size_t n = 0;
    for (unsigned db = 0; db < s->dbs_n; db++)
        n += store_keys_n(s, db) > 0;
    return n;
}

void node_memory_stats(struct call *c)
{
    struct reply *r = c->reply;
    const struct store *s = &c->node->store;
    struct memory_account a = memory_account(c->node);
    reply_map(r, 27 + databases_n(s));
    reply_named(r, "peak.allocated", a.peak);
    reply_named(r, "total.allocated", a.used);
    reply_named(r, "startup.allocated", a.startup);
    reply_named(r, "replication.backlog", stats_backlog_bytes(c->node));
    reply_named(r, "clients.slaves", 0);
    reply_named(r, "clients.normal", a.clients);
    reply_named(r, "cluster.links", a.links);
    reply_named(r, "aof.buffer", a.log);
    reply_named(r, "lua.caches", 0);
    reply_named(r, "functions.caches", 0);
    size_t keys = reply_databases(r, s);
    size_t net = a.used > a.startup ? a.used - a.startup : 0;
    reply_named(r, "overhead.total", a.overhead);
    reply_named(r, "keys.count", keys);
    reply_named(r, "keys.bytes-per-key", keys > 0 ? net / keys : 0);
    reply_named(r, "dataset.bytes", a.dataset);
    reply_measure(r, "dataset.percentage", a.dataset_percent);
    reply_measure(r, "peak.percentage", a.peak_percent);
    reply_named(r, "allocator.allocated", a.allocated);
    reply_named(r, "allocator.active", a.active);
    reply_named(r, "allocator.resident", a.resident);
    reply_gap(r, "allocator-fragmentation.ratio", "allocator-fragmentation.bytes",
              a.allocator_fragmentation);
    reply_gap(r, "allocator-rss.ratio", "allocator-rss.bytes", a.allocator_rss);
    reply_gap(r, "rss-overhead.ratio", "rss-overhead.bytes", a.rss_overhead);
    reply_gap(r, "fragmentation", "fragmentation.bytes", a.fragmentation);
}

enum { SMALL_BYTES = 5 * 1024 * 1024 }; /* below this, ratios say nothing */

static void doctor_put(struct buf *b, const struct memory_account *a)
{
    if (a->used < SMALL_BYTES) {
        text_put(b, SLICE("There is too little data to tell anything.\n"));
        return;
    }
    size_t before = b->n;
    if (a->peak > a->used + a->used / 2)
        text_put(
            b,
            SLICE(
                "The peak was more than 1.5 times what is used now: the difference is free for new "
                "data, but may stay with the process. MEMORY PURGE gives back what it can.\n"));
    if (a->fragmentation.ratio > 1.4)
        text_put(
            b,
            SLICE("The process holds more than 1.4 times what it asked for: memory is fragmented, "
                  "or was freed and not given back. MEMORY PURGE, or a restart, helps.\n"));
    if (a->clients > a->used / 4)
        text_put(b, SLICE("Connections hold more than a quarter of the memory: CLIENT LIST shows "
                          "by omem who does not read, client-output-buffer-limit bounds it.\n"));
    if (b->n == before)
        text_put(b, SLICE("Nothing unusual.\n"));
}

void node_memory_doctor(struct call *c)
{
    struct memory_account a = memory_account(c->node);
    struct buf b;
    buf_init(&b, SIZE_MAX);
    doctor_put(&b, &a);
    reply_verbatim(c->reply, buf_slice(&b), "txt");
    buf_free(&b);
}

void node_memory_malloc_stats(struct call *c)
{
    struct node_memory m = {0};
    c->node->world->memory(c->node->world, &m);
    char name[64];
    struct slice allocator =
        c->node->world->fact(c->node->world, "mem_allocator", name, sizeof(name));
    struct buf b;
    buf_init(&b, SIZE_MAX);
    text_put(&b, SLICE("allocator: "));
    text_put(&b, allocator);
    text_putf(
        &b,
        "\nallocated: %zu\nactive: %zu\nmetadata: %zu\nresident: %zu\nretained: %zu\nrss: %zu\n",
        m.allocated, m.active, m.metadata, m.resident, m.retained, m.rss);
    reply_verbatim(c->reply, buf_slice(&b), "txt");
    buf_free(&b);
}

void node_memory_purge(struct call *c)
{
    c->out->purge_memory = true;
    reply_ok(c->reply);
}

void node_memory_help(struct call *c)
{
    static const char *const lines[] = {
        "DOCTOR",
        "    What is unusual about the memory, in words.",
        "MALLOC-STATS",
        "    What the allocator tells.",
        "PURGE",
        "    Give free memory back to the system.",
        "STATS",
        "    Memory by purpose.",
        "USAGE <key> [SAMPLES <count>]",
        "    What a key and its value take.",
    };
    call_help(c, lines, sizeof(lines) / sizeof(lines[0]));
}

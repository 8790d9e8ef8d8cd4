/* SPDX-License-Identifier: BSD-3-Clause */

/* The world of many nodes: what must hold after each event, and one seed from its draw to its verdict. */
#include "tests/sim/hosts.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"
#include "base/mem.h"
#include "node/cluster.h"
#include "persist/record.h"

enum { SECOND_US = 1000 * 1000 };
enum { FORM_US = 20 * SECOND_US, TROUBLE_US = 48 * SECOND_US, HEAL_US = 20 * SECOND_US, QUIET_US = 8 * SECOND_US };
enum { MEMORY_LEAST = 300, MEMORY_SPREAD = 1500 }; /* a node has 1200 to 3000 bytes of keys, else */
enum { FULL_US = 70 * SECOND_US /* who lagged again and again is added after a minute (14) */ };

void hosts_say(struct hosts *w, const char *format, ...)
{
    va_list args;
    if (!w->planes.trace)
        return;
    va_start(args, format);
    printf("[%9.3f] ", (double)w->planes.now.us / 1e6);
    vprintf(format, args);
    printf("\n");
    va_end(args);
}

int64_t hosts_draw(struct rng *from, int64_t mean_us)
{
    double u = ((double)rng_below(from, 1u << 30) + 1) / (double)(1u << 30);
    return 1 + (int64_t)(-log(u) * (double)mean_us);
}

struct host *hosts_at(struct hosts *w, uint32_t number)
{
    return number >= FIRST_PROXY ? &w->proxy[number - FIRST_PROXY].host : &w->host[number];
}

struct host *hosts_of(struct plane *p)
{
    return hosts_at((struct hosts *)p->world, p->number);
}

bool hosts_leased(struct host *h)
{
    return h->node != NULL && plane_has_lease(&h->world->planes, h->plane);
}

/* ------------------------------------------------------------- equal place, equal record */

static struct record_seen *record_place(struct hosts *w, uint64_t key)
{
    size_t i = (size_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (w->records_cap - 1);
    while (w->records[i].key != 0 && w->records[i].key != key)
        i = (i + 1) & (w->records_cap - 1);
    return &w->records[i];
}

static void records_grow(struct hosts *w)
{
    struct record_seen *old = w->records;
    size_t n = w->records_cap;
    w->records_cap = n == 0 ? 4096 : 2 * n;
    w->records = mem_zero(w->records_cap * sizeof(*w->records));
    for (size_t i = 0; i < n; i++)
        if (old[i].key != 0)
            *record_place(w, old[i].key) = old[i];
    mem_free(old);
}

static uint64_t record_key(unsigned slot, uint64_t epoch, uint64_t seq)
{
    return ((uint64_t)slot << 50) ^ (epoch << 32) ^ seq;
}

int64_t hosts_recorded_us(struct hosts *w, unsigned slot, uint64_t epoch, uint64_t seq)
{
    const struct record_seen *r = w->records_cap > 0 ? record_place(w, record_key(slot, epoch, seq)) : NULL;
    return r != NULL && r->key != 0 ? r->us : INT64_MAX;
}

static void record_seen(struct hosts *w, struct host *h, const struct note *n)
{
    uint64_t key = record_key(n->slot, n->at.epoch, n->at.seq);
    if (n->at.seq == 0)
        return; /* a mark */
    if (2 * w->records_n >= w->records_cap)
        records_grow(w);
    struct record_seen *r = record_place(w, key);
    if (r->key == 0) {
        *r = (struct record_seen){key, n->crc, (uint32_t)n->len, w->planes.now.us};
        w->records_n++;
    } else if (r->crc != n->crc || r->len != n->len) {
        hosts_say(w, "slot %u epoch %llu seq %llu", n->slot, (unsigned long long)n->at.epoch,
                  (unsigned long long)n->at.seq);
        planes_wrong(&w->planes, "two records at one slot, epoch and seq (1, 2)", h->plane->number);
    }
}

void hosts_record(struct hosts *w, struct host *h, const struct chain *bytes)
{
    size_t n = bytes->n;
    char *p = mem_get(n + 1);
    chain_copy(bytes, p, n);
    for (size_t i = 0; i + 3 < n; i++) {
        struct note note;
        if (memcmp(p + i, "#V ", 3) != 0 || (i > 0 && p[i - 1] != '\n'))
            continue;
        const char *end = memchr(p + i, '\n', n - i);
        if (end != NULL && note_get(slice_of(p + i, (size_t)(end + 1 - (p + i))), &note) == ERR_OK) {
            record_seen(w, h, &note);
            i += note.line_n + note.len - 1;
        }
    }
    mem_free(p);
}

/* -------------------------------------------------------------------- after each event */

bool hosts_serves(struct host *h, struct bits *to)
{
    if (!hosts_leased(h) || h->node->cluster->closed)
        return false;
    for (size_t i = 0; i < SLOTS / 64; i++)
        to->w[i] = h->node->owned.w[i] & ~h->node->cluster->doubted.w[i];
    return true;
}

static bool bits_meet(const struct bits *a, const struct bits *b)
{
    for (size_t k = 0; k < SLOTS / 64; k++)
        if ((a->w[k] & b->w[k]) != 0)
            return true;
    return false;
}

/* Within one cluster: who has founded one and met no other has all slots to itself. */
static void check_alone(struct hosts *w)
{
    struct bits its[HOSTS_MAX];
    bool serves[HOSTS_MAX];
    for (size_t i = 0; i < w->planes.n; i++) {
        serves[i] = hosts_serves(&w->host[i], &its[i]);
        for (size_t k = 0; k < i && serves[i]; k++)
            if (serves[k] && bits_meet(&its[i], &its[k]) &&
                cluster_id_equal(&w->host[i].node->cluster->map.cluster, &w->host[k].node->cluster->map.cluster))
                planes_wrong(&w->planes, "two may acknowledge for one slot (7)", (uint32_t)i);
    }
}

/* Who is DOWN has no lease, whatever it believes (17). */
static void check_down(struct hosts *w, const struct map *m)
{
    for (size_t at = 0; at < m->nodes.n; at++)
        for (size_t i = 0; m->nodes.at[at].health == MAP_DOWN && i < w->planes.n; i++) {
            const struct host *h = &w->host[i];
            if (m->nodes.at[at].used && h->node != NULL && node_id_equal(&m->nodes.at[at].id, control_id(h->plane->control)) &&
                m->nodes.at[at].incarnation == control_incarnation(h->plane->control) && hosts_leased(&w->host[i]))
                planes_wrong(&w->planes, "it is DOWN and has a lease (17)", (uint32_t)i);
        }
}

static void check_equal(struct hosts *w, size_t i)
{
    const struct map *m = control_map(w->host[i].plane->control);
    for (size_t k = 0; k < w->planes.n; k++) {
        if (k == i || w->host[k].node == NULL)
            continue;
        const struct map *other = control_map(w->host[k].plane->control);
        if (other->index == m->index && cluster_id_equal(&m->cluster, &other->cluster) &&
            memcmp(m->slots, other->slots, SLOTS * sizeof(m->slots[0])) != 0)
            planes_wrong(&w->planes, "equal indexes, different maps", (uint32_t)i);
    }
}

static void look(struct planes *planes)
{
    struct hosts *w = (struct hosts *)planes;
    uint64_t newest = 0;
    if (planes->wrong[0] != '\0')
        return; /* a start that was refused leaves a node without its control plane */
    plights_look(w);
    if (w->broken == BREAK_SETTLE_SKIPPED)
        settings_skip(w);
    if (w->broken == BREAK_COPY_ALTERED && !w->altered)
        copies_alter(w);
    check_alone(w);
    if (w->ops->look != NULL)
        w->ops->look(w);
    for (size_t i = 0; i < planes->n; i++) {
        struct host *h = &w->host[i];
        if (h->node == NULL)
            continue;
        const struct map *m = control_map(h->plane->control);
        newest = m->index > newest ? m->index : newest;
        bool leads = w->broken == BREAK_DOWN_EARLY && control_leads(h->plane->control);
        plane_clock(h->plane);
        if (w->broken == BREAK_DOWN_EARLY)
            h->plane->rate_ppm = leads ? 2000000 : 0;
        if (w->seen_index[i] == m->index)
            continue;
        w->seen_index[i] = m->index;
        copies_look(w, m);
        if (rng_below(&w->load_rng, 4) == 0)
            check_equal(w, i);
    }
    for (size_t i = 0; i < planes->n; i++)
        if (w->host[i].node != NULL && control_map(w->host[i].plane->control)->index == newest) {
            check_down(w, control_map(w->host[i].plane->control));
            return;
        }
}

static bool due(struct planes *planes, struct heap_node *n)
{
    struct hosts *w = (struct hosts *)planes;
    if ((char *)n < (char *)w || (char *)n >= (char *)(w + 1))
        return false;
    for (size_t i = 0; i < planes->n; i++)
        if (host_due(&w->host[i], n))
            return true;
    return proxies_due(w, n) || w->ops->due(w, n) || plights_due(w, n);
}

static void word(struct plane *p, struct word *word)
{
    host_word(p, word);
}

static void accepted(struct planes *w, size_t conn)
{
    host_accepted((struct hosts *)w, conn);
}

static void dialed(struct planes *w, size_t conn, enum control_dialed how)
{
    host_dialed((struct hosts *)w, conn, how);
}

static void bytes(struct planes *w, size_t conn, bool at_a, struct slice in)
{
    host_bytes((struct hosts *)w, conn, at_a, in);
}

static void closed(struct planes *w, size_t conn, bool at_a)
{
    host_closed((struct hosts *)w, conn, at_a);
}

static const struct planes_ops ops = {.word = word, .pulse = host_pulse, .given = host_given, .accepted = accepted,
                                      .dialed = dialed, .bytes = bytes, .closed = closed, .due = due, .look = look,
                                      .settled = host_settled};

/* ----------------------------------------------------------------------- birth and death */

void hosts_init(struct hosts *w, uint64_t seed, unsigned n, enum sim_break broken)
{
    memset(w, 0, sizeof(*w));
    planes_init(&w->planes, seed);
    w->planes.ops = &ops;
    w->ops = &callers_ops;
    w->word_max_us = 200;
    w->release_max_us = 100;
    w->planes.forges_echoes = broken == BREAK_ECHO_SUSPECT;
    w->seed = seed;
    w->broken = broken;
    w->first_n = n;
    w->copies = 1;
    w->quorum = MAP_W_ALL;
    w->part_bytes = DUMP_PART_BYTES;
    w->backlog_bytes = 1024 * 1024;
    rng_seed(&w->rng, rng_next(&w->planes.rng));
    rng_seed(&w->load_rng, rng_next(&w->planes.rng));
    w->policy = rng_below(&w->rng, 2) == 0 ? APPENDFSYNC_ALWAYS : APPENDFSYNC_EVERYSEC;
    for (unsigned i = 0; i < HOSTS_MAX; i++)
        w->host[i].world = w;
}

/* Of those with three copies one in four asks for a majority of them; of all with copies one in eight for one alone. */
void hosts_copies(struct hosts *w, unsigned copies)
{
    struct rng own;
    w->copies = copies;
    if (copies > 2 && rng_below(&w->rng, 4) == 0)
        w->quorum = MAP_W_MAJORITY;
    if (copies > 1 && w->seed % 8 == 4)
        w->quorum = 1;
    rng_seed(&own, w->seed);
    bool dumps = w->seed % 4 == 0; /* there are moments to be hit in them (moments.c) */
    if (rng_below(&own, 2) == 0 || dumps) /* next to nothing is kept: slots are sent whole ... */
        w->backlog_bytes = (int64_t)rng_below(&own, 4096);
    if (rng_below(&own, 2) == 0 || dumps) /* ... in many parts */
        w->part_bytes = 1 + (dumps ? 0 : (size_t)rng_below(&own, 64));
    if (rng_below(&own, 2) == 0) /* what is sent out of logs is bounded by rewrites (23) */
        w->rewrite_bytes = 1 + (int64_t)rng_below(&own, 64 * 1024);
}

/* Keys are evicted then. */
static void memory_draw(struct hosts *w)
{
    static const enum maxmemory_policy policies[] = {MAXMEMORY_ALLKEYS_LRU, MAXMEMORY_ALLKEYS_LFU, MAXMEMORY_ALLKEYS_RANDOM};
    struct rng own;
    rng_seed(&own, w->seed ^ UINT64_C(1) << 63);
    bool drawn = rng_below(&own, 12) == 0 && w->copies > 1 && !w->peace && w->broken == BREAK_NONE;
    if (!drawn && !w->short_of_memory)
        return;
    w->maxmemory = MEMORY_LEAST + (int64_t)rng_below(&own, MEMORY_SPREAD);
    w->maxmemory_policy = policies[rng_below(&own, 3)];
}

struct host *hosts_add(struct hosts *w, int join)
{
    struct host *h = &w->host[w->planes.n];
    h->plane = plane_add(&w->planes, join);
    h->plane->config.settings.replication_factor = w->copies;
    h->plane->config.settings.write_quorum = w->quorum;
    sim_disk_init(&h->disk, rng_next(&w->rng), &w->planes.calendar);
    h->disk.fixed_us = h->plane->disk.fixed_us = w->disk_us;
    h->disk.broken = w->broken == BREAK_FENCE_LOST ? BREAK_SYNC_LIES : BREAK_NONE;
    return h;
}

void hosts_join(struct hosts *w)
{
    host_start(hosts_add(w, w->planes.n == 0 ? -1 : 0));
}

static void host_free(struct host *h)
{
    vec_free(&h->doors);
    vec_free(&h->ties);
    vec_free(&h->took);
    vec_free(&h->lacks);
    vec_free(&h->done);
    vec_free(&h->down.words);
    vec_free(&h->up.words);
    heap_remove(&h->world->planes.calendar, &h->back);
    heap_remove(&h->world->planes.calendar, &h->load);
}

void hosts_free(struct hosts *w)
{
    for (size_t i = 0; i < w->planes.n; i++) {
        host_kill(&w->host[i], false);
        sim_disk_free(&w->host[i].disk);
        host_free(&w->host[i]);
    }
    for (size_t i = 0; i < w->proxies_n; i++) {
        proxy_kill(&w->proxy[i]);
        host_free(&w->proxy[i].host);
    }
    for (unsigned i = 0; i < CALLERS; i++)
        answer_reader_free(w->callers[i].reader);
    for (unsigned i = 0; i < GROUPS; i++)
        vec_free(&w->histories[i].ops);
    mem_free(w->records);
    for (unsigned i = 0; i < PLIGHTS; i++)
        heap_remove(&w->planes.calendar, &w->plight_due[i]);
    for (unsigned i = 0; i < CALLERS; i++)
        heap_remove(&w->planes.calendar, &w->callers[i].due);
    heap_remove(&w->planes.calendar, &w->mend_due);
    heap_remove(&w->planes.calendar, &w->second_due);
    heap_remove(&w->planes.calendar, &w->calm_due);
    heap_remove(&w->planes.calendar, &w->tick_due);
    planes_free(&w->planes);
}

/* --------------------------------------------------------------------------- one seed */

/* All members run, have a lease, and know the same map; every slot has a primary that may serve. */
static bool is_whole(struct planes *planes)
{
    struct hosts *w = (struct hosts *)planes;
    struct bits its;
    uint64_t index = 0;
    unsigned served = 0;
    for (size_t i = 0; i < planes->n; i++) {
        struct host *h = &w->host[i];
        if (h->forgotten)
            continue;
        if (!hosts_serves(h, &its) || h->plane->frozen || h->plane->data_frozen)
            return false;
        uint64_t its_index = h->node->cluster->map.index;
        if (index != 0 && its_index != index)
            return false;
        index = its_index;
        served += (unsigned)bits_n(&its);
    }
    return served == SLOTS && proxies_have_map(w);
}

static bool are_answered(struct planes *planes)
{
    struct hosts *w = (struct hosts *)planes;
    for (unsigned i = 0; i < CALLERS; i++)
        if (w->callers[i].good_n < w->callers[i].awaited_n)
            return false;
    return true;
}

/* Each in three seconds, but who was seeking a node then: where most are gone for good it may ask many in vain. */
static void ask_callers(struct hosts *w)
{
    for (unsigned i = 0; i < CALLERS; i++)
        w->callers[i].awaited_n = w->callers[i].good_n + 1;
    planes_run(&w->planes, 3 * SECOND_US);
    for (unsigned i = 0; i < CALLERS; i++)
        if (w->callers[i].good_n < w->callers[i].awaited_n && w->callers[i].open)
            planes_wrong(&w->planes, "trouble is over, and a caller is not answered", i);
    if (!planes_until(&w->planes, HEAL_US, are_answered))
        planes_wrong(&w->planes, "trouble is over, and a caller finds no node", 0);
}

/* Trouble is over: every slot is served again in time, and every caller is answered. */
static void ask_progress(struct hosts *w)
{
    plights_end(w);
    if (!planes_until(&w->planes, HEAL_US, is_whole)) {
        for (size_t i = 0; i < w->planes.n; i++)
            hosts_say(w, "host %zu: lease %d, serves %u, offers %u, leads %d, applied %llu of %llu: %s", i,
                      hosts_leased(&w->host[i]), w->host[i].node != NULL ? bits_n(&w->host[i].node->owned) : 0,
                      w->host[i].node != NULL ? bits_n(&w->host[i].node->cluster->handing) : 0,
                      w->host[i].node != NULL && control_leads(w->planes.at[i].control),
                      (unsigned long long)(w->host[i].node != NULL ? w->host[i].node->cluster->map.index : 0),
                      (unsigned long long)w->seen_index[i], w->planes.at[i].view.why_not);
        planes_wrong(&w->planes, "trouble is over, and not every slot is served", 0);
        return;
    }
    hosts_say(w, "all is well");
    for (size_t i = 0; i < w->planes.n; i++)
        w->evicted_n += w->host[i].node != NULL ? w->host[i].node->evicted : 0;
    planes_run(&w->planes, QUIET_US);
    ask_callers(w);
    callers_end(w);
    if (!planes_until(&w->planes, FULL_US, copies_are_full))
        planes_wrong(&w->planes, "trouble is over, and a slot has too few copies in sync (14)", 0);
    planes_run(&w->planes, SECOND_US);
    if (w->planes.wrong[0] == '\0')
        copies_compare(w);
    if (w->planes.wrong[0] == '\0')
        copies_scrubbed(w);
}

static void judge(struct hosts *w)
{
    for (unsigned g = 0; g < GROUPS && w->planes.wrong[0] == '\0'; g++) {
        w->histories[g].evicts = w->maxmemory > 0;
        struct history_judged judged = history_judge(&w->histories[g]);
        size_t stuck = judged.stuck;
        w->undecided_n += judged.verdict == HISTORY_UNDECIDED;
        if (judged.verdict != HISTORY_BAD)
            continue;
        const struct history *h = &w->histories[g];
        char text[200];
        snprintf(text, sizeof(text), "no order explains the answers of group %u: the one called at %lld us", g,
                 (long long)h->ops.at[stuck].call);
        for (size_t i = 0; i < h->ops.n && w->planes.trace; i++) {
            const struct history_op *op = &h->ops.at[i];
            printf("  %s%10lld .. %10lld%s", i == stuck ? "->" : "  ", (long long)op->call, (long long)op->answer,
                   op->unsure ? " UNSURE" : "");
            if (op->is_loss)
                printf(op->gives_up ? " GIVEN UP" : " LOSS since %lld", (long long)op->since);
            for (uint32_t k = 0; k < op->parts_n; k++)
                printf(" %s %u %lld -> %lld",
                       (const char *[]){"GET", "SET", "DEL", "INCR", "APPEND", "IS"}[op->parts[k].type],
                       op->parts[k].key, (long long)op->parts[k].value, (long long)op->parts[k].answer);
            printf("\n");
        }
        planes_wrong(&w->planes, text, g);
    }
}

void hosts_run_seed(struct hosts *w)
{
    memory_draw(w);
    for (size_t i = 0; i < w->first_n; i++)
        hosts_join(w);
    proxies_begin(w);
    if (!planes_until(&w->planes, FORM_US, is_whole))
        planes_wrong(&w->planes, "no cluster came to be", 0);
    hosts_say(w, "the cluster is there");
    callers_begin(w);
    plights_begin(w);
    planes_run(&w->planes, TROUBLE_US);
    if (w->planes.wrong[0] == '\0')
        ask_progress(w);
    judge(w);
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* Troubles of many hosts: each seed draws which kinds there are; each kind comes at times of its own. */
#include "base/check.h"
#include "node/cluster.h"
#include "tests/sim/hosts.h"

enum { DOWN_US = 1500 * 1000, CUT_US = 2500 * 1000, STALL_MAX_US = 3300 * 1000, TICK_US = 500 * 1000 };
enum { LOAD_MAX_US = 4000 * 1000, LAG_MAX_US = 400 * 1000 };
enum { EVERYSEC_US = 1300 * 1000, HOSTS_MOST = 5, PEACE_TIMES = 4 };

static const struct {
    const char *name;
    int64_t every_us;
} kinds[PLIGHTS] = {
    [PLIGHT_KILL] = {"kill", 9000 * 1000},
    [PLIGHT_POWER] = {"power cut", 11000 * 1000},
    [PLIGHT_STOP] = {"stopped process", 9000 * 1000},
    [PLIGHT_STALL] = {"stall before a reply", 6000 * 1000},
    [PLIGHT_STALL_DATA] = {"hung data plane", 9000 * 1000},
    [PLIGHT_STALL_CONTROL] = {"hung control plane", 9000 * 1000},
    [PLIGHT_CUT] = {"cut", 7000 * 1000},
    [PLIGHT_CUT_ONE_WAY] = {"one-way cut", 7000 * 1000},
    [PLIGHT_LEADER] = {"isolated leader", 10000 * 1000},
    [PLIGHT_SLOW] = {"slow disk", 8000 * 1000},
    [PLIGHT_WALL] = {"wall clock jump", 6000 * 1000},
    [PLIGHT_DRIFT] = {"clock drift", 6000 * 1000},
    [PLIGHT_JOIN] = {"join", 12000 * 1000},
    [PLIGHT_FORGET] = {"forget", 15000 * 1000},
    [PLIGHT_LOADING] = {"long load", 9000 * 1000},
    [PLIGHT_FULL] = {"full disk", 9000 * 1000},
    [PLIGHT_FAIL] = {"failing disk", 15000 * 1000},
    [PLIGHT_FAIL_RAFT] = {"failing disk of the controller", 15000 * 1000},
    [PLIGHT_LAG] = {"slow network", 7000 * 1000},
    [PLIGHT_BREAK] = {"broken connections", 4000 * 1000},
    [PLIGHT_LEAVE] = {"stop in good order", 16000 * 1000},
    [PLIGHT_PROXY] = {"proxy in trouble", 4000 * 1000},
    [PLIGHT_SETTINGS] = {"changed setting", 4000 * 1000},
    [PLIGHT_MOMENT] = {"hit at a bad moment", 6000 * 1000},
    [PLIGHT_LOSS] = {"lost packets", 7000 * 1000},
};

const char *plight_name(enum plight p)
{
    return kinds[p].name;
}

static uint64_t draw(struct hosts *w, uint64_t n)
{
    return rng_below(&w->rng, n);
}

static void plan(struct hosts *w, struct heap_node *n, int64_t us)
{
    planes_plan(&w->planes, n, mono_after(w->planes.now, us));
}

/* --------------------------------------------------------------------------- ends of hosts */

/* Under everysec a power cut takes what was done in the last second or so, wherever this host served (C). Its end
 * takes what a full or failed disk did not: reads had shown it (28). */
void plights_may_lose(struct hosts *w, struct host *h, bool power)
{
    int64_t now = w->planes.now.us, since = now, synced = now;
    enum journal_state state = h->node->journal.state;
    if (state == JOURNAL_FAILED && h->bad_disk_us < now) /* nothing was synced since */
        synced = h->bad_disk_us;
    int64_t young = synced - (EVERYSEC_US + 3 * h->disk.longest_sync_us + STALL_MAX_US);
    if (h->loading == LOADED) /* else of the run before nothing more was synced */
        h->unsynced_us = young;
    if (power && w->policy != APPENDFSYNC_ALWAYS)
        since = young < h->unsynced_us ? young : h->unsynced_us;
    if ((state == JOURNAL_FULL || state == JOURNAL_FAILED) && h->bad_disk_us < since)
        since = h->bad_disk_us;
    if (h->is_leaving)
        since = 0; /* who dies while FORGET drains it is given up with what it holds (22) */
    if (h->loading == LOADED)
        copies_left(h);
    copies_ended(w, h, since);
}

void plights_end_host(struct hosts *w, struct host *h, bool power)
{
    hosts_say(w, "host %u %s", h->plane->number, power ? "loses its power" : "is killed");
    plights_may_lose(w, h, power);
    host_kill(h, power);
    h->disk.fail_sync = h->disk.fail_write = h->plane->disk.fail_sync = h->plane->disk.fail_write = false;
    plan(w, &h->back, hosts_draw(&w->rng, DOWN_US));
}

/* It goes on, or is started again. */
static void come_back(struct hosts *w, struct host *h)
{
    static const char file[] = "nodes.conf";
    if (h->forgotten)
        return;
    if (h->node != NULL && h->node->journal.state == JOURNAL_FAILED) {
        hosts_say(w, "host %u is started anew, its disk had failed", h->plane->number);
        plights_end_host(w, h, false);
        return;
    }
    if (h->node != NULL) {
        if (h->plane->frozen || h->plane->data_frozen)
            hosts_say(w, "host %u goes on", h->plane->number);
        host_freeze(h, false, false);
        return;
    }
    struct sim_inode *f = sim_disk_file(&h->plane->disk, file);
    if (w->broken == BREAK_SAME_INCARNATION && f != NULL) {
        struct identity who = {0};
        struct chain text = {0};
        check(identity_get(&who, slice_of(f->p, f->n)) == ERR_OK);
        if (who.incarnation > 1) {
            who.incarnation--;
            identity_put(&text, &who);
            check(text.n <= f->cap);
            f->n = f->synced = chain_copy(&text, f->p, text.n);
        }
        chain_free(&text, NULL);
        identity_free(&who);
    }
    host_start(h);
}

static struct host *some_host(struct hosts *w)
{
    struct host *h = &w->host[draw(w, w->planes.n)];
    bool up = h->node != NULL && !h->plane->frozen && !h->plane->data_frozen;
    return up ? h : NULL;
}

static bool stand_still(struct hosts *w, struct host *h, bool data, bool control)
{
    hosts_say(w, "host %u stands still:%s%s", h->plane->number, data ? " data" : "", control ? " control" : "");
    host_freeze(h, data, control);
    plan(w, &h->back, 300 * 1000 + (int64_t)draw(w, 3000 * 1000));
    return true;
}

/* --------------------------------------------------------------------------------- cuts */

static bool cut(struct hosts *w, uint32_t a, uint32_t b, bool one_way)
{
    if (a == b)
        return false;
    hosts_say(w, "%u %s %u", a, one_way ? "is not heard by" : "is cut off from", b);
    planes_cut(&w->planes, a, b, true);
    if (!one_way)
        planes_cut(&w->planes, b, a, true);
    plan(w, &w->mend_due, hosts_draw(&w->rng, CUT_US));
    return true;
}

bool plights_isolate(struct hosts *w, struct plane *p)
{
    bool one_way = draw(w, 3) == 0;
    for (uint32_t i = 0; p != NULL && i < w->planes.n; i++)
        (void)cut(w, p->number, i, one_way);
    return p != NULL;
}

static void mend(struct hosts *w)
{
    hosts_say(w, "no cuts any more");
    for (uint32_t i = 0; i < PLANES_MAX; i++)
        for (uint32_t k = 0; k < PLANES_MAX; k++)
            if (w->planes.cut[i][k])
                planes_cut(&w->planes, i, k, false);
}

/* ------------------------------------------------------------------------------ clocks, disks */

static bool wall_jump(struct hosts *w, struct host *h)
{
    h->wall_ms += (int64_t)draw(w, 6000) - 3000;
    hosts_say(w, "host %u: its wall clock jumps", h->plane->number);
    plane_clock_apart(&w->planes, h->plane);
    return true;
}

/* As far as bounded drift goes: two clocks may be 5 % apart, and the wait of rule 17 has 10 %. */
static bool drift(struct hosts *w, struct host *h)
{
    plane_clock(h->plane);
    h->plane->rate_ppm = (int32_t)draw(w, 50000);
    return true;
}

static bool slow(struct hosts *w, struct host *h)
{
    int64_t us = 20 * 1000 + (int64_t)draw(w, 600 * 1000);
    hosts_say(w, "host %u: syncs take %lld us longer", h->plane->number, (long long)us);
    h->disk.slow_us = us;
    if (draw(w, 2) == 0)
        h->plane->disk.slow_us = us;
    plan(w, &w->calm_due, hosts_draw(&w->rng, CUT_US));
    return true;
}

/* From now on, unless it is so already. */
static void disk_is_bad(struct hosts *w, struct host *h)
{
    if (h->node->journal.state == JOURNAL_OK)
        h->bad_disk_us = w->planes.now.us;
}

static bool fill(struct hosts *w, struct host *h)
{
    h->disk.room = draw(w, 2) == 0 ? 0 : draw(w, 2000);
    disk_is_bad(w, h);
    hosts_say(w, "host %u: its disk has room for %zu bytes", h->plane->number, h->disk.room);
    plan(w, &w->calm_due, hosts_draw(&w->rng, CUT_US));
    return true;
}

/* The next sync or write fails; an operator comes after a while. */
static bool fail_disk(struct hosts *w, struct host *h, bool of_raft)
{
    struct sim_disk *d = of_raft ? &h->plane->disk : &h->disk;
    bool sync = draw(w, 2) == 0;
    hosts_say(w, "host %u: a %s of its %slog is to fail", h->plane->number, sync ? "sync" : "write",
              of_raft ? "controller's " : "");
    *(sync ? &d->fail_sync : &d->fail_write) = true;
    if (of_raft)
        return true; /* it ends by itself */
    disk_is_bad(w, h);
    plan(w, &h->back, 500 * 1000 + hosts_draw(&w->rng, DOWN_US));
    return true;
}

bool plights_lag(struct hosts *w, struct host *h)
{
    h->plane->lag_us = 2000 + (int64_t)draw(w, draw(w, 2) == 0 ? 20 * 1000 : LAG_MAX_US);
    hosts_say(w, "host %u: its network is %lld us slower", h->plane->number, (long long)h->plane->lag_us);
    plan(w, &w->calm_due, hosts_draw(&w->rng, CUT_US));
    return true;
}

/* A packet here and there has to be sent again: it comes late, and so does what is behind it in its connection alone. */
static bool lose(struct hosts *w)
{
    w->planes.lost_of_1000 = 1 + (unsigned)draw(w, 10);
    w->planes.resend_us = 20 * 1000 + (int64_t)draw(w, 200 * 1000);
    hosts_say(w, "%u packets of 1000 come %lld us late", w->planes.lost_of_1000, (long long)w->planes.resend_us);
    plan(w, &w->calm_due, hosts_draw(&w->rng, CUT_US));
    return true;
}

/* -------------------------------------------------------------------------- members */

static bool join(struct hosts *w)
{
    if (w->planes.n >= (w->peace ? HOSTS_MAX : HOSTS_MOST) || w->host[0].forgotten)
        return false;
    hosts_join(w);
    return true;
}

/* What a node holds that is DOWN is given up with it (22): an operator looks first. */
static bool is_down(const struct map *m, const struct host *h)
{
    uint16_t place = map_find(m, control_id(h->plane->control));
    return place == MAP_NOBODY || m->nodes.at[place].health != MAP_UP;
}

/* Who stays beside it: among fewer than three write-quorum may want more copies than there can be. */
static unsigned others_n(const struct hosts *w, const struct map *m, const struct host *beside)
{
    unsigned n = 0;
    for (size_t i = 0; i < w->planes.n; i++)
        n += &w->host[i] != beside && !w->host[i].is_leaving &&
             map_find(m, &w->planes.at[i].id_if_new) != MAP_NOBODY;
    return n;
}

static bool forget(struct hosts *w, struct host *h)
{
    struct plane *leader = planes_leader(&w->planes);
    if (h->plane->number == 0 || leader == NULL || leader == h->plane || h->loading != LOADED ||
        is_down(control_map(leader->control), h) || others_n(w, control_map(leader->control), h) < 3)
        return false;
    hosts_say(w, "host %u is to be forgotten", h->plane->number);
    plane_ask(&w->planes, leader,
              (struct word){.type = WORD_ASK, .ask = {.what = ASK_FORGET, .id = *control_id(h->plane->control)}});
    h->is_leaving = true;
    return true;
}

/* SIGTERM: it hands its slots over first. Where another one is away, or stops as well, or copies are missing, there
 * may be nobody to hand them to. */
static bool leave(struct hosts *w, struct host *h)
{
    for (size_t i = 0; i < w->planes.n; i++)
        if (!w->host[i].forgotten && (w->host[i].node == NULL || w->host[i].node->stop_asked))
            return false;
    if (w->copies < 2 || h->plane->number == 0 || h->is_leaving || h->loading != LOADED || !copies_are_full(&w->planes))
        return false;
    hosts_say(w, "host %u is told to stop", h->plane->number);
    host_stop(h);
    return true;
}

/* An operator comes for it, whether it has ended by itself or not. */
static void look_failed(struct hosts *w)
{
    for (size_t i = 0; i < w->planes.n; i++) {
        struct host *h = &w->host[i];
        bool failed = h->node == NULL ? !h->forgotten : h->node->journal.state == JOURNAL_FAILED;
        if (failed && h->back.place == 0)
            plan(w, &h->back, hosts_draw(&w->rng, DOWN_US));
    }
}

/* Who is no member any more is switched off. */
static void look_forgotten(struct hosts *w)
{
    struct plane *leader = planes_leader(&w->planes);
    for (size_t i = 0; leader != NULL && i < w->planes.n; i++) {
        struct host *h = &w->host[i];
        if (!h->is_leaving || h->forgotten || h->node == NULL || leader == h->plane ||
            map_find(control_map(leader->control), control_id(h->plane->control)) != MAP_NOBODY)
            continue;
        hosts_say(w, "host %zu is forgotten", i);
        h->forgotten = true;
        host_kill(h, false);
    }
}

/* -------------------------------------------------------------------------------- all */

static void end_some(struct hosts *w)
{
    struct host *h = some_host(w);
    if (h != NULL)
        plights_end_host(w, h, draw(w, 2) == 0);
}

static bool fire(struct hosts *w, enum plight p)
{
    struct host *h = some_host(w);
    if (p == PLIGHT_LEADER)
        return plights_isolate(w, planes_leader(&w->planes));
    if (p == PLIGHT_JOIN)
        return join(w);
    if (p == PLIGHT_PROXY)
        return proxies_trouble(w);
    if (h == NULL)
        return false;
    switch (p) {
    case PLIGHT_KILL: plights_end_host(w, h, false); return true;
    case PLIGHT_POWER: plights_end_host(w, h, true); return true;
    case PLIGHT_LOADING:
        h->load_us = 100 * 1000 + (int64_t)draw(w, LOAD_MAX_US);
        plights_end_host(w, h, draw(w, 2) == 0);
        return true;
    case PLIGHT_STOP: return stand_still(w, h, true, true);
    case PLIGHT_STALL: h->stall_next = true; return true;
    case PLIGHT_STALL_DATA: return stand_still(w, h, true, false);
    case PLIGHT_STALL_CONTROL: return stand_still(w, h, false, true);
    case PLIGHT_CUT:
    case PLIGHT_CUT_ONE_WAY: return cut(w, h->plane->number, (uint32_t)draw(w, w->planes.n), p == PLIGHT_CUT_ONE_WAY);
    case PLIGHT_SLOW: return slow(w, h);
    case PLIGHT_WALL: return wall_jump(w, h);
    case PLIGHT_DRIFT: return drift(w, h);
    case PLIGHT_FORGET: return forget(w, h);
    case PLIGHT_FULL: return fill(w, h);
    case PLIGHT_FAIL:
    case PLIGHT_FAIL_RAFT: return fail_disk(w, h, p == PLIGHT_FAIL_RAFT);
    case PLIGHT_LAG: return plights_lag(w, h);
    case PLIGHT_BREAK:
        hosts_say(w, "host %u: its connections break", h->plane->number);
        planes_break(&w->planes, h->plane->number);
        return true;
    case PLIGHT_LEAVE: return leave(w, h);
    case PLIGHT_SETTINGS: return settings_change(w, h);
    case PLIGHT_MOMENT: return moments_await(w, h);
    case PLIGHT_LOSS: return lose(w);
    case PLIGHT_LEADER:
    case PLIGHT_JOIN:
    case PLIGHT_PROXY:
    case PLIGHTS: break;
    }
    return false;
}

static void calm(struct hosts *w)
{
    for (size_t i = 0; i < w->planes.n; i++) {
        struct host *h = &w->host[i];
        h->disk.slow_us = h->plane->disk.slow_us = h->plane->lag_us = 0;
        h->disk.room = SIZE_MAX;
    }
    proxies_calm(w);
    w->planes.lost_of_1000 = 0;
}

void plights_look(struct hosts *w)
{
    moments_look(w);
    for (size_t i = 0; i < w->planes.n; i++)
        if (w->planes.at[i].failed && w->host[i].node != NULL) {
            hosts_say(w, "host %zu ends: the log of its controller is lost to it", i);
            plights_end_host(w, &w->host[i], false);
        }
}

static void plan_next(struct hosts *w, enum plight p)
{
    plan(w, &w->plight_due[p], hosts_draw(&w->rng, kinds[p].every_us / (w->peace ? PEACE_TIMES : 1)));
}

bool plights_due(struct hosts *w, struct heap_node *n)
{
    for (int p = 0; p < PLIGHTS; p++) {
        if (n != &w->plight_due[p])
            continue;
        w->fired[p] += fire(w, (enum plight)p);
        plan_next(w, (enum plight)p);
        return true;
    }
    for (size_t i = 0; i < w->planes.n; i++)
        if (n == &w->host[i].back) {
            come_back(w, &w->host[i]);
            return true;
        }
    if (n == &w->mend_due)
        mend(w);
    else if (n == &w->second_due)
        end_some(w);
    else if (n == &w->calm_due)
        calm(w);
    else if (n == &w->tick_due)
        settings_look(w), look_forgotten(w), look_failed(w), plan(w, n, TICK_US);
    else
        return false;
    return true;
}

void plights_begin(struct hosts *w)
{
    int n = 0;
    rng_seed(&w->rng, ~w->seed); /* how the cluster came to be is no matter */
    uint64_t one_in = 2 + draw(w, 3);
    w->has[PLIGHT_JOIN] = w->has[PLIGHT_FORGET] = w->has[PLIGHT_LEAVE] = w->peace;
    while (n < 2 && !w->peace)
        for (int p = n = 0; p < PLIGHTS_DRAWN; p++) {
            w->has[p] = draw(w, one_in) == 0;
            n += w->has[p];
        }
    w->has[PLIGHT_SETTINGS] = !w->peace && (w->seed % 4 == 1 || w->broken == BREAK_SETTLE_SKIPPED);
    w->has[PLIGHT_PROXY] = w->proxies_n > 0 && !w->peace;
    w->has[PLIGHT_MOMENT] = !w->peace && w->copies > 1 && w->seed % 2 == 0;
    w->has[PLIGHT_LOSS] = !w->peace && w->copies > 1 && w->seed % 4 == 2;
    for (int p = 0; p < PLIGHTS; p++)
        if (w->has[p])
            plan_next(w, (enum plight)p);
    plan(w, &w->tick_due, TICK_US);
}

void plights_end(struct hosts *w)
{
    hosts_say(w, "trouble is over");
    w->settings_back = w->has[PLIGHT_SETTINGS];
    for (int p = 0; p < PLIGHTS; p++)
        heap_remove(&w->planes.calendar, &w->plight_due[p]);
    heap_remove(&w->planes.calendar, &w->mend_due);
    heap_remove(&w->planes.calendar, &w->second_due);
    w->awaited = 0;
    mend(w);
    calm(w);
    proxies_end(w);
    for (size_t i = 0; i < w->planes.n; i++) {
        struct host *h = &w->host[i];
        plane_clock(h->plane);
        h->plane->rate_ppm = 0;
        h->stall_next = false;
        h->disk.fail_sync = h->disk.fail_write = h->plane->disk.fail_sync = h->plane->disk.fail_write = false;
        plan(w, &h->back, 1 + (int64_t)draw(w, 2000 * 1000)); /* a majority, then all */
    }
}

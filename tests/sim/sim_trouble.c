/* SPDX-License-Identifier: BSD-3-Clause */

/* Troubles: each seed draws which of them exist; each that does comes at times of its own. */
#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/num.h"
#include "persist/record.h"
#include "tests/sim/sim.h"

enum { ASLEEP_US = 700 * 1000, STALL_US = 600 * 1000, DOWN_US = 300 * 1000 };

static const struct {
    const char *name;
    int64_t every_us;
} kinds[TROUBLES] = {
    [TROUBLE_KILL] = {"kill", 6000 * 1000},
    [TROUBLE_POWER] = {"power cut", 8000 * 1000},
    [TROUBLE_SLOW] = {"slow syncs", 8000 * 1000},
    [TROUBLE_FULL] = {"full disk", 9000 * 1000},
    [TROUBLE_FAIL_SYNC] = {"failing fsync", 15000 * 1000},
    [TROUBLE_FAIL_WRITE] = {"failing write", 15000 * 1000},
    [TROUBLE_ROT] = {"rot", 10000 * 1000},
    [TROUBLE_STALL] = {"stall", 4000 * 1000},
    [TROUBLE_CUT] = {"cut connection", 2500 * 1000},
    [TROUBLE_ASLEEP] = {"slow reader", 2500 * 1000},
    [TROUBLE_WALL] = {"wall clock jump", 7000 * 1000},
    [TROUBLE_START] = {"crash while starting", 8000 * 1000},
};

const char *sim_trouble_name(enum sim_trouble t)
{
    return kinds[t].name;
}

static uint64_t draw(struct sim *s, uint64_t n)
{
    return rng_below(&s->trouble_rng, n);
}

/* -------------------------------------------------------------------------------- rot */

/* Does a mark in p say that `at` was durable? In a later file any mark does. */
static bool has_mark(const struct sim_inode *f, size_t from, size_t at)
{
    for (size_t i = from; i + 3 < f->n; i++) {
        if (memcmp(f->p + i, "#S ", 3) != 0 || (i > 0 && f->p[i - 1] != '\n'))
            continue;
        const char *end = memchr(f->p + i, '\n', f->n - i);
        struct note n;
        if (end == NULL || note_get(slice_of(f->p + i, (size_t)(end + 1 - (f->p + i))), &n) != ERR_OK)
            continue;
        if (n.type == NOTE_DURABLE && n.offset > at)
            return true;
    }
    return false;
}

static uint64_t seq_of(const char *name)
{
    uint64_t seq = 0;
    for (const char *p = name; *p != '\0'; p++)
        if (*p == '.' && p[1] >= '0' && p[1] <= '9')
            seq = strtoull(p + 1, NULL, 10);
    return seq;
}

static bool is_told(struct sim *s, const char *name, size_t at)
{
    const struct sim_inode *f = sim_disk_file(&s->disk, name);
    if (strstr(name, ".incr.") == NULL)
        return strstr(name, ".base.") != NULL;
    if (has_mark(f, at, at))
        return true;
    for (size_t i = 0; i < s->disk.names.at.n; i++) {
        const struct sim_name *other = &s->disk.names.at.at[i];
        const struct sim_inode *g = &s->disk.inodes.at[other->inode];
        bool later = strstr(other->name, ".incr.") != NULL && seq_of(other->name) > seq_of(name);
        if (later && g->n > 3 && memcmp(g->p, "#S ", 3) == 0)
            return true;
    }
    return false;
}

/* Rot that mends the checksum of the record it hits: nobody could notice, and the test must. */
static void mend_crc(struct sim_inode *f, size_t at)
{
    for (size_t i = at; i > 0; i--) {
        if (memcmp(f->p + i - 1, "#V ", 3) != 0 || (i > 1 && f->p[i - 2] != '\n'))
            continue;
        const char *end = memchr(f->p + i - 1, '\n', f->n - (i - 1));
        struct note n;
        if (end == NULL || note_get(slice_of(f->p + i - 1, (size_t)(end + 1 - (f->p + i - 1))), &n) != ERR_OK)
            return;
        size_t body = i - 1 + n.line_n;
        if (body + n.len > f->n || at < body)
            return;
        uint32_t crc = crc32c(n.crc_of_line, slice_of(f->p + body, n.len));
        num_put_hex(f->p + body - 10, crc, 8);
        return;
    }
}

bool sim_rot_at(struct sim *s, const char *name, size_t at, unsigned bit)
{
    struct sim_inode *f = sim_disk_file(&s->disk, name);
    struct sim_rot *r = &s->rot;
    if (f == NULL || at >= f->n)
        return false;
    *r = (struct sim_rot){.there = true, .at = at, .bit = (unsigned char)(1u << bit)};
    memcpy(r->name, name, strlen(name) + 1);
    r->is_told = is_told(s, r->name, r->at);
    f->p[r->at] = (char)((unsigned char)f->p[r->at] ^ r->bit);
    if (s->broken == BREAK_ROT_UNSEEN)
        mend_crc(f, r->at);
    sim_trace(s, "rot in %s at %zu, bit %u%s", r->name, r->at, bit, r->is_told ? "" : " (in a tail)");
    return true;
}

bool sim_rot(struct sim *s)
{
    size_t n = s->disk.names.at.n;
    if (n == 0)
        return false;
    char name[DISK_NAME_BYTES];
    memcpy(name, s->disk.names.at.at[draw(s, n)].name, sizeof(name));
    size_t size = sim_disk_file(&s->disk, name)->n;
    return size > 0 && sim_rot_at(s, name, draw(s, size), (unsigned)draw(s, 8));
}

void sim_unrot(struct sim *s)
{
    struct sim_inode *f = sim_disk_file(&s->disk, s->rot.name);
    if (f != NULL && s->rot.at < f->n)
        f->p[s->rot.at] = (char)((unsigned char)f->p[s->rot.at] ^ s->rot.bit);
    s->rot.there = false;
}

/* ---------------------------------------------------------------------------- troubles */

enum { RESTART_US = 500 * 1000 };

static void down(struct sim *s, bool power)
{
    if (s->process == PROCESS_UP)
        sim_crash(s, power);
    s->disk.fail_sync = s->disk.fail_write = false;
    if (s->restart_due.place == 0)
        sim_plan(s, &s->restart_due, sim_exponential(&s->trouble_rng, DOWN_US));
}

static struct sim_client *some_client(struct sim *s)
{
    struct sim_client *c = &s->clients[draw(s, SIM_CLIENTS)];
    return c->open && !c->asleep ? c : NULL;
}

static bool cut(struct sim *s)
{
    struct sim_client *c = some_client(s);
    if (c == NULL || s->turn.releasing)
        return false;
    sim_trace(s, "client %u is cut off", c->number);
    sim_node_close(s, c);
    sim_client_gone(s, c);
    return true;
}

static bool fall_asleep(struct sim *s)
{
    struct sim_client *c = some_client(s);
    if (c == NULL)
        return false;
    c->asleep = true;
    sim_plan(s, &c->due, sim_exponential(&s->trouble_rng, ASLEEP_US));
    return true;
}

static bool fill(struct sim *s)
{
    s->disk.room = draw(s, 2) == 0 ? 0 : draw(s, 2000);
    s->full_seen = true;
    sim_trace(s, "the disk has room for %zu bytes", s->disk.room);
    sim_plan(s, &s->room_due, 200 * 1000 + sim_exponential(&s->trouble_rng, 2000 * 1000));
    return true;
}

static bool slow(struct sim *s)
{
    s->disk.slow_us = 100 * 1000 + (int64_t)draw(s, 1500 * 1000);
    sim_trace(s, "syncs take %lld us longer", (long long)s->disk.slow_us);
    sim_plan(s, &s->quick_due, sim_exponential(&s->trouble_rng, 2500 * 1000));
    return true;
}

static bool stall(struct sim *s)
{
    if (s->process != PROCESS_UP || s->turn.releasing)
        return false;
    sim_trace(s, "the node stands still");
    sim_plan(s, &s->turn.due, (int64_t)draw(s, STALL_US));
    return true;
}

/* True: it happened. */
static bool fire(struct sim *s, enum sim_trouble t)
{
    bool up = s->process == PROCESS_UP;
    switch (t) {
    case TROUBLE_KILL:
    case TROUBLE_POWER: down(s, t == TROUBLE_POWER); return up;
    case TROUBLE_SLOW: return slow(s);
    case TROUBLE_FULL: return fill(s);
    case TROUBLE_FAIL_SYNC: s->disk.fail_sync = up; return up;
    case TROUBLE_FAIL_WRITE: s->disk.fail_write = up; return up;
    case TROUBLE_ROT:
        down(s, false);
        return !s->rot.there && sim_rot(s);
    case TROUBLE_STALL: return stall(s);
    case TROUBLE_CUT: return cut(s);
    case TROUBLE_ASLEEP: return fall_asleep(s);
    case TROUBLE_WALL: s->wall_offset_ms += (int64_t)draw(s, 3000); return true;
    case TROUBLE_START:
        s->start_dies_at = 1 + (int)draw(s, 8);
        down(s, draw(s, 2) == 0);
        return true;
    case TROUBLES: break;
    }
    return false;
}

/* After the start or instead of it. */
static void restarted(struct sim *s)
{
    s->start_dies_at = 0;
    if (s->process == PROCESS_DOWN && !s->wrong) {
        sim_crash(s, draw(s, 2) == 0);
        sim_plan(s, &s->restart_due, sim_exponential(&s->trouble_rng, DOWN_US));
    }
}

bool sim_trouble_due(struct sim *s, struct heap_node *due)
{
    if (due == &s->room_due || due == &s->quick_due) {
        heap_remove(&s->calendar, due);
        sim_trace(s, due == &s->room_due ? "the disk has room again" : "syncs are quick again");
        if (due == &s->room_due)
            s->disk.room = SIZE_MAX;
        else
            s->disk.slow_us = 0;
        return true;
    }
    if (due == &s->restart_due) {
        heap_remove(&s->calendar, due);
        if (s->process == PROCESS_UP) {
            down(s, false);
            heap_remove(&s->calendar, due); /* it is started now: once, not again and again */
        }
        sim_restart(s);
        restarted(s);
        return true;
    }
    for (int t = 0; t < TROUBLES; t++) {
        if (due != &s->trouble_due[t])
            continue;
        heap_remove(&s->calendar, due);
        s->fired[t] += fire(s, (enum sim_trouble)t);
        sim_plan(s, &s->trouble_due[t], sim_exponential(&s->trouble_rng, kinds[t].every_us));
        return true;
    }
    return false;
}

void sim_trouble_init(struct sim *s)
{
    uint64_t one_in = 2 + draw(s, 3); /* few kinds in some seeds, most of them in others */
    int n = 0;
    while (n < 2)
        for (int t = n = 0; t < TROUBLES; t++) {
            s->has_trouble[t] = draw(s, one_in) == 0;
            n += s->has_trouble[t];
        }
    for (int t = 0; t < TROUBLES; t++)
        if (s->has_trouble[t])
            sim_plan(s, &s->trouble_due[t], sim_exponential(&s->trouble_rng, kinds[t].every_us));
}

void sim_trouble_end(struct sim *s)
{
    for (int t = 0; t < TROUBLES; t++)
        heap_remove(&s->calendar, &s->trouble_due[t]);
    heap_remove(&s->calendar, &s->room_due);
    heap_remove(&s->calendar, &s->quick_due);
    s->disk.room = SIZE_MAX;
    s->disk.slow_us = 0;
    s->disk.fail_sync = s->disk.fail_write = false;
    if (s->restart_due.place != 0) /* a failed node, or none: the operator is not late now */
        sim_plan(s, &s->restart_due, RESTART_US);
    sim_trace(s, "trouble is over");
}

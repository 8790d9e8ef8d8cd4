/* SPDX-License-Identifier: BSD-3-Clause */

#include "core/ring/ring.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { CELLS = 64, CELL_SLOTS = SLOTS / CELLS, BAR_COLUMNS = 13 };
static const char signs[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

struct ring_node {
    unsigned serves, wish; /* slots whose primary it is, and is to be */
    unsigned copies;       /* slots it is in sync in, those it serves among them */
    unsigned arcs;
    unsigned comes, goes; /* slots it is to lead and does not, and the other way round */
};

struct ring {
    const struct map *m;
    struct ring_node *node; /* by place */
    size_t members, zones, moves, electing, arcs;
    size_t to_copy;  /* copies that are wished where none is in sync */
    unsigned copies; /* wished of a slot, at most */
    unsigned most;   /* the greatest wish: the longest bar */
};

__attribute__((format(printf, 2, 3))) static void say(struct chain *to, const char *format, ...)
{
    char line[512]; /* the longest has an address of 46, a zone of 64 */
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    check(n >= 0 && (size_t)n < sizeof(line));
    chain_put(to, slice_of(line, (size_t)n));
}

/* -- Counting ---------------------------------------------------------------------------------- */

static uint16_t lead_of(const struct map_slot *s)
{
    return s->want_n > 0 ? s->want[0] : MAP_NOBODY;
}

static void count_copies(struct ring *r, const struct map_slot *s)
{
    for (unsigned k = 0; k < s->isr_n; k++)
        r->node[s->isr[k]].copies++;
    for (unsigned k = 0; k < s->want_n; k++)
        r->to_copy += !map_list_has(s->isr, s->isr_n, s->want[k]);
    r->copies = s->want_n > r->copies ? s->want_n : r->copies;
}

static void count_slot(struct ring *r, unsigned slot)
{
    const struct map_slot *s = &r->m->slots[slot];
    uint16_t lead = lead_of(s);
    check(lead < r->m->nodes.n); /* P7 */
    count_copies(r, s);
    uint16_t before = lead_of(&r->m->slots[(slot + SLOTS - 1) % SLOTS]); /* it is a circle */
    r->node[lead].wish++;
    r->node[lead].arcs += lead != before;
    r->arcs += lead != before;
    if (s->primary == MAP_NOBODY)
        r->electing++;
    else
        r->node[s->primary].serves++;
    if (s->primary == lead)
        return;
    r->moves++;
    r->node[lead].comes++;
    if (s->primary != MAP_NOBODY)
        r->node[s->primary].goes++;
}

static bool same_zone(const struct ring *r, size_t a, size_t b)
{
    return r->m->nodes.at[b].used && strcmp(r->m->nodes.at[a].zone, r->m->nodes.at[b].zone) == 0;
}

/* The first member of its zone: the zone is told there. */
static bool begins_zone(const struct ring *r, size_t place)
{
    for (size_t i = 0; i < place; i++)
        if (same_zone(r, place, i))
            return false;
    return r->m->nodes.at[place].used;
}

static void count_all(struct ring *r)
{
    for (unsigned slot = 0; slot < SLOTS; slot++)
        count_slot(r, slot);
    for (size_t i = 0; i < r->m->nodes.n; i++) {
        r->members += r->m->nodes.at[i].used;
        r->zones += begins_zone(r, i);
        r->most = r->node[i].wish > r->most ? r->node[i].wish : r->most;
        if (r->node[i].arcs == 0 && r->node[i].wish == SLOTS) /* a circle without a border */
            r->node[i].arcs = 1, r->arcs = 1;
    }
}

/* -- Telling ----------------------------------------------------------------------------------- */

/* The n-th member has the n-th sign. */
static char sign_of(const struct ring *r, size_t place)
{
    size_t nth = 0;
    for (size_t i = 0; i < place; i++)
        nth += r->m->nodes.at[i].used;
    return nth < sizeof(signs) - 1 ? signs[nth] : ' ';
}

static uint16_t wished_at(const struct map_slot *s, unsigned k)
{
    return k < s->want_n ? s->want[k] : MAP_NOBODY;
}

/* Who is to have the k-th copy of most of the cell's slots; the earlier one of two. */
static uint16_t cell_of(const struct ring *r, unsigned cell, unsigned k)
{
    uint16_t best = MAP_NOBODY;
    unsigned most = 0;
    for (unsigned a = cell * CELL_SLOTS; a < (cell + 1) * CELL_SLOTS; a++) {
        unsigned n = 0;
        uint16_t who = wished_at(&r->m->slots[a], k);
        for (unsigned b = cell * CELL_SLOTS; b < (cell + 1) * CELL_SLOTS; b++)
            n += wished_at(&r->m->slots[b], k) == who;
        if (n > most) {
            most = n;
            best = who;
        }
    }
    return best;
}

static void say_circle(struct chain *to, const struct ring *r)
{
    if (r->members >= sizeof(signs))
        return; /* more nodes than signs: the lines below tell it alone */
    say(to, "\n   %-16d%-16d%-16d%-11d%d\n", 0, SLOTS / 4, SLOTS / 2, SLOTS / 4 * 3, SLOTS - 1);
    for (unsigned k = 0; k < r->copies; k++) {
        char circle[CELLS + 1];
        for (unsigned cell = 0; cell < CELLS; cell++) {
            uint16_t who = cell_of(r, cell, k);
            circle[cell] = who != MAP_NOBODY ? sign_of(r, who) : ' ';
        }
        circle[CELLS] = '\0';
        if (k == 0)
            say(to, "  |%s|  who leads; a sign: %d slots\n", circle, CELL_SLOTS);
        else
            say(to, "  |%s|  copy %u\n", circle, k + 1);
    }
}

static double percent(size_t slots)
{
    return 100.0 * (double)slots / SLOTS;
}

static const char *state_of(const struct map_node *n)
{
    if (n->leaving)
        return n->health == MAP_DOWN ? "leaving, down" : "leaving";
    if (n->health != MAP_UP)
        return n->health == MAP_DOWN ? "down" : "suspect";
    return n->weight == 0 ? "arbiter" : "up";
}

static void say_node(struct chain *to, const struct ring *r, size_t place)
{
    static const char bar[] = "#############";
    const struct map_node *n = &r->m->nodes.at[place];
    const struct ring_node *c = &r->node[place];
    char address[IP_BYTES + 8], moves[32] = "";
    bool v6 = strchr(n->at.ip, ':') != NULL;
    snprintf(address, sizeof(address), v6 ? "[%s]:%u" : "%s:%u", n->at.ip, n->at.port);
    if (c->comes + c->goes > 0)
        snprintf(moves, sizeof(moves), "+%u -%u", c->comes, c->goes);
    int length = r->most > 0 ? (int)((c->wish * BAR_COLUMNS + r->most / 2) / r->most) : 0;
    say(to, "  %c %-21s %02x%02x%02x%02x %4u %6u %6u %5.1f%% %-13.*s %5u  %-11s %s\n",
        sign_of(r, place), address, n->id.b[0], n->id.b[1], n->id.b[2], n->id.b[3], n->weight,
        c->serves, c->copies, percent(c->wish), length, bar, c->arcs, moves, state_of(n));
}

static void say_zone(struct chain *to, const struct ring *r, size_t first)
{
    const char *name = r->m->nodes.at[first].zone;
    size_t nodes = 0, wish = 0;
    for (size_t i = first; i < r->m->nodes.n; i++) {
        nodes += same_zone(r, first, i);
        wish += same_zone(r, first, i) ? r->node[i].wish : 0;
    }
    if (r->zones > 1)
        say(to, "zone %s: %zu nodes, %.1f%%\n", name[0] != '\0' ? name : "(none)", nodes,
            percent(wish));
    for (size_t i = first; i < r->m->nodes.n; i++)
        if (same_zone(r, first, i))
            say_node(to, r, i);
}

void ring_text(struct chain *to, const struct map *m)
{
    if (m->nodes.n == 0) {
        say(to, "no ring: this node is in no cluster\n");
        return;
    }
    struct ring r = {.m = m, .node = mem_zero(m->nodes.n * sizeof(*r.node))};
    count_all(&r);
    say(to, "%d slots, %zu nodes, %zu arcs", SLOTS, r.members, r.arcs);
    if (r.copies > 1)
        say(to, ", %u copies", r.copies);
    if (r.zones > 1)
        say(to, ", %zu zones", r.zones);
    if (r.moves > 0)
        say(to, "; %zu slots wait to move (%.1f%%)", r.moves, percent(r.moves));
    if (r.to_copy > 0 && r.copies > 1)
        say(to, "; %zu copies wait to be made", r.to_copy);
    if (r.electing > 0)
        say(to, "; %zu without a primary", r.electing);
    say(to, m->settings.rebalance_paused && r.moves + r.to_copy > 0 ? "; rebalancing is paused\n"
                                                                    : "\n");
    say_circle(to, &r);
    say(to, "\n    %-21s %-8s %4s %6s %6s %6s %-13s %5s  %-11s %s\n", "node", "id", "wght",
        "serves", "copies", "share", "", "arcs", "to move", "state");
    for (size_t i = 0; i < m->nodes.n; i++)
        if (begins_zone(&r, i))
            say_zone(to, &r, i);
    mem_free(r.node);
}

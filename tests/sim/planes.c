/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "tests/sim/planes.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"
#include "control/recover.h"
#include "core/map/map_setting.h"
#include "tests/sim/sim_disk.h"

enum { FIRST_PORT = 7000, PULSE_US = 20 * 1000, RAFT_FILES = 64 };
enum { MIB = 1024 * 1024 };
enum { NO_ANSWER_US = 1000 * 1000, AT_ONCE_MOST = 200 * 1000 };
enum { CHECKED = 8 };           /* so many look at all invariants of each map, at least */
enum { AGAIN_US = 2000 * 1000 }; /* an offer whose fate is unknown is made anew then, as node/handover does */

int64_t planes_drawn(struct planes *w)
{
    double u = (double)(rng_next(&w->rng) >> 11) * 0x1.0p-53;
    double x = 0;
    while (u > 0.001 && x < 7) { /* an exponential, without the mathematics library's rounding */
        u *= 0.5;
        x += 0.6931;
    }
    return w->delay_least_us + (int64_t)(x * (double)w->delay_mean_us * ((double)rng_below(&w->rng, 1000) / 1000.0));
}

/* ---------------------------------------------------------------- the step of one */

static void take_out(struct planes *w, struct plane *p);

void planes_wrong(struct planes *w, const char *what, uint32_t who)
{
    if (w->wrong[0] != '\0')
        return;
    snprintf(w->wrong, sizeof(w->wrong), "at %lld us: %.180s (host %u)", (long long)w->now.us, what, who);
    if (w->trace)
        printf("WRONG %s\n", w->wrong);
}

void planes_plan(struct planes *w, struct heap_node *n, struct mono at)
{
    heap_remove(&w->calendar, n);
    if (at.us != MONO_NEVER.us)
        heap_add(&w->calendar, n, at.us > w->now.us ? at.us : w->now.us);
}

static void step(struct planes *w, struct plane *p, struct control_event *ev)
{
    if (p->failed) { /* about to end: what the event owns ends with it */
        if (ev->type == CONTROL_WORD)
            word_free(ev->word);
        if (ev->type == CONTROL_STORED)
            chain_free(&ev->disk->rest, NULL);
        return;
    }
    ev->now = plane_clock(p);
    ev->pulse = (struct control_pulse){.progress = p->progress, .has_data = bits_n(&p->data.full) > 0};
    if (w->ops != NULL)
        w->ops->pulse(p, &ev->pulse);
    control_step(p->control, ev, &p->out);
    if (p->checked != control_map(p->control)->index) {
        p->checked = control_map(p->control)->index;
        if ((p->checked + p->number) % (w->n / CHECKED + 1) == 0) /* equal indexes are equal maps: check_maps */
            control_check(p->control);
    }
    take_out(w, p);
}

struct mono plane_clock(struct plane *p)
{
    p->skew_us += (p->world->now.us - p->skewed.us) * p->rate_ppm / 1000000;
    p->skewed = p->world->now;
    return mono_after(p->world->now, p->skew_us);
}

static void nonce_fill(struct planes *w, uint8_t *nonce)
{
    for (size_t i = 0; i < HELLO_NONCE_BYTES; i++)
        nonce[i] = (uint8_t)rng_below(&w->rng, 256);
}

/* ---------------------------------------------------------------- the network */

static struct packet *packet_new(struct planes *w, enum packet_type type, size_t conn, bool to_a)
{
    struct packet *k = mem_zero(sizeof(*k));
    *k = (struct packet){.world = w, .type = type, .conn = conn, .to_a = to_a};
    return k;
}

static void packet_free(struct packet *k)
{
    mem_free(k->bytes);
    mem_free(k);
}

static void post(struct planes *w, struct packet *k, int64_t us)
{
    struct plane_conn *c = &w->conns.at[k->conn];
    struct mono *free = k->to_a ? &c->a_free : &c->b_free;
    int64_t line_us = c->a == PLANES_CLIENTS ? 0 : (int64_t)k->n * w->mib_us / MIB;
    us += w->at[c->a].lag_us + w->at[c->b].lag_us;
    if (w->lost_of_1000 > 0 && rng_below(&w->rng, 1000) < w->lost_of_1000) {
        us += w->resend_us;
        w->lost_n++;
    }
    struct mono at = mono_after(w->now, us);
    if (!mono_reached(at, mono_after(*free, line_us)))
        at = mono_after(*free, line_us);
    *free = at;
    heap_add(&w->calendar, &k->due, at.us);
}

static bool is_cut(const struct planes *w, const struct plane_conn *c, bool to_a)
{
    return to_a ? w->cut[c->b][c->a] : w->cut[c->a][c->b];
}

void planes_close(struct planes *w, size_t conn, bool at_a)
{
    struct plane_conn *c = &w->conns.at[conn];
    bool *open = at_a ? &c->a_open : &c->b_open;
    if (!*open)
        return;
    *open = false;
    if (c->stalled || is_cut(w, c, !at_a))
        c->stalled = true; /* the other end is told when there is no cut any more */
    else
        post(w, packet_new(w, PACKET_CLOSED, conn, !at_a), planes_drawn(w));
}

/* Who listens at this port; where nobody does, nobody is: PLANES_CLIENTS runs no plane. */
static uint32_t host_at(const struct planes *w, uint16_t port)
{
    for (uint32_t i = 0; i < w->n; i++)
        if (w->at[i].config.at.cluster_port == port)
            return i;
    return PLANES_CLIENTS;
}

static size_t dial(struct planes *w, struct plane_conn c)
{
    c.a_open = true;
    *vec_add(&w->conns) = c;
    bool lost = w->cut[c.a][c.b] || w->cut[c.b][c.a];
    post(w, packet_new(w, PACKET_DIAL, w->conns.n - 1, false), lost ? NO_ANSWER_US : planes_drawn(w));
    return w->conns.n - 1;
}

size_t planes_dial(struct planes *w, uint32_t from, uint32_t to, bool client_port, void *owner)
{
    return dial(w, (struct plane_conn){.a = from, .b = to, .a_data = true, .b_data = client_port, .a_owner = owner});
}

static bool is_there(const struct plane *p)
{
    return p->control != NULL || p->is_end;
}

/* The listener answers, or nobody does. A frozen one answers, too: its kernel does. */
static void dialed(struct planes *w, struct packet *k)
{
    struct plane_conn *c = &w->conns.at[k->conn];
    struct plane *a = &w->at[c->a], *b = &w->at[c->b];
    struct control_event ev = {.type = CONTROL_DIALED, .dialed = {.link = c->link, .local = SLICE("10.0.0.1")}};
    if (!c->a_open || !is_there(a))
        return;
    if (w->cut[c->a][c->b] || w->cut[c->b][c->a])
        ev.dialed.how = CONTROL_DIALED_NOWHERE;
    else if (!is_there(b) || c->b == PLANES_CLIENTS)
        ev.dialed.how = CONTROL_DIALED_REFUSED;
    c->a_open = c->b_open = ev.dialed.how == CONTROL_DIALED_OK;
    if (c->b_open) {
        *vec_add(&b->guests) = k->conn + 1;
        c->guest = (uint32_t)b->guests.n;
        heap_add(&w->calendar, &packet_new(w, PACKET_GUEST, k->conn, false)->due, w->now.us);
    }
    if (c->a_data) {
        w->ops->dialed(w, k->conn, ev.dialed.how);
        return;
    }
    nonce_fill(w, ev.dialed.nonce);
    step(w, a, &ev);
}

static void guest(struct planes *w, struct packet *k)
{
    struct plane_conn *c = &w->conns.at[k->conn];
    struct plane *b = &w->at[c->b];
    struct control_event ev = {.type = CONTROL_GUEST, .guest = {.conn = c->guest, .peer = SLICE("10.0.0.2:1234")}};
    if (!c->b_open || !is_there(b))
        return;
    if (c->b_data) {
        w->ops->accepted(w, k->conn);
        return;
    }
    nonce_fill(w, ev.guest.nonce);
    step(w, b, &ev);
}

static void deliver(struct planes *w, struct packet *k)
{
    struct plane_conn *c = &w->conns.at[k->conn];
    struct plane *p = &w->at[k->to_a ? c->a : c->b];
    bool *open = k->to_a ? &c->a_open : &c->b_open;
    bool is_data = k->to_a ? c->a_data : c->b_data;
    if (!*open || !is_there(p) || c->stalled || (c->broken && k->type == PACKET_BYTES))
        return;
    struct control_event ev = {0};
    *open = k->type == PACKET_BYTES;
    if (is_data) {
        if (k->type == PACKET_BYTES)
            w->ops->bytes(w, k->conn, k->to_a, slice_of(k->bytes, k->n));
        else
            w->ops->closed(w, k->conn, k->to_a);
        return;
    }
    if (k->type == PACKET_BYTES) {
        ev.type = k->to_a ? CONTROL_LINK_BYTES : CONTROL_GUEST_BYTES;
        ev.bytes.conn = k->to_a ? c->link : c->guest;
        ev.bytes.in = slice_of(k->bytes, k->n);
    } else {
        ev.type = k->to_a ? CONTROL_LINK_CLOSED : CONTROL_GUEST_CLOSED;
        ev.closed = k->to_a ? c->link : c->guest;
    }
    step(w, p, &ev);
}

static void arrive(struct planes *w, struct packet *k)
{
    static const struct hash_key key = {0x7ace, 0x5eed};
    struct plane_conn *c = &w->conns.at[k->conn];
    bool at_a = k->type == PACKET_DIAL || k->to_a;
    struct plane *p = &w->at[at_a ? c->a : c->b];
    if ((at_a ? c->a_data : c->b_data) ? p->data_frozen : p->frozen) {
        *vec_add(&p->waiting) = k;
        return;
    }
    w->digest = 31 * w->digest + hash_keyed(&key, slice_of(k->bytes, k->n)) + (uint64_t)w->now.us;
    switch (k->type) {
    case PACKET_DIAL: dialed(w, k); break;
    case PACKET_GUEST: guest(w, k); break;
    case PACKET_BYTES:
    case PACKET_CLOSED: deliver(w, k); break;
    }
    packet_free(k);
}

/* What a plane calls by this number, if its end is there still. */
static size_t conn_of(struct planes *w, const struct plane *p, uint32_t number, bool is_link)
{
    size_t n = is_link ? p->links.n : p->guests.n;
    size_t at = number - 1 < n ? (is_link ? p->links.at : p->guests.at)[number - 1] : 0;
    if (at == 0)
        return SIZE_MAX;
    const struct plane_conn *c = &w->conns.at[at - 1];
    return (is_link ? c->a_open && !c->a_data : c->b_open && !c->b_data) ? at - 1 : SIZE_MAX;
}

/* Each VONG.SEEN <incarnation> <t> <map version> becomes a VONG.ECHO <incarnation> <t>. */
static void forge_echoes(struct chain *bytes)
{
    static const char seen[] = "*4\r\n$9\r\nVONG.SEEN\r\n", echo[] = "*3\r\n$9\r\nVONG.ECHO\r\n";
    size_t n = bytes->n, head = sizeof(seen) - 1;
    char *p = mem_get(n + 1);
    struct chain to = {0};
    chain_copy(bytes, p, n);
    for (size_t at = 0; at < n;) {
        bool found = n - at > head && memcmp(p + at, seen, head) == 0;
        if (!found) {
            chain_put(&to, slice_of(p + at++, 1));
            continue;
        }
        size_t end = at + head;
        for (int lines = 0; lines < 4 && end < n; end++)
            lines += p[end] == '\n';
        chain_put(&to, slice_str(echo));
        chain_put(&to, slice_of(p + at + head, end - at - head));
        for (int lines = 0; lines < 2 && end < n; end++)
            lines += p[end] == '\n';
        at = end;
    }
    mem_free(p);
    chain_free(bytes, NULL);
    *bytes = to;
}

/* Packets hold whole messages. */
static void twist(const struct planes *w, char *p, size_t n)
{
    size_t len = strlen(w->word);
    for (char *at; (at = memmem(p, n, w->word, len)) != NULL; n -= (size_t)(at + len - p), p = at + len)
        memcpy(at, w->twisted, len);
}

/* In one packet, or where a line takes its time in one for each MiB. */
static void send_packets(struct planes *w, size_t conn, bool from_a, struct chain *bytes)
{
    while (bytes->n > 0) {
        size_t n = w->mib_us > 0 && bytes->n > MIB ? MIB : bytes->n;
        struct packet *k = packet_new(w, PACKET_BYTES, conn, !from_a);
        k->bytes = mem_get(n);
        k->n = chain_copy(bytes, k->bytes, n);
        chain_consume(bytes, n, NULL);
        if (w->word != NULL)
            twist(w, k->bytes, n);
        post(w, k, planes_drawn(w));
    }
}

void planes_send(struct planes *w, size_t conn, bool from_a, struct chain *bytes)
{
    struct plane_conn *c = &w->conns.at[conn];
    if (w->forges_echoes)
        forge_echoes(bytes);
    size_t n = bytes->n;
    w->packets_n++;
    w->bytes_n += n;
    if (n > 0 && !c->stalled) {
        if (is_cut(w, c, !from_a)) {
            c->stalled = true;
        } else {
            send_packets(w, conn, from_a, bytes);
        }
    }
    chain_free(bytes, NULL);
}

/* It breaks by itself: both ends are told. */
static void break_off(struct planes *w, size_t conn)
{
    w->broken_n++;
    post(w, packet_new(w, PACKET_CLOSED, conn, true), planes_drawn(w));
    post(w, packet_new(w, PACKET_CLOSED, conn, false), planes_drawn(w));
}

static void send(struct planes *w, struct plane *p, struct control_send *s)
{
    size_t at = conn_of(w, p, s->conn, s->is_link);
    if (at == SIZE_MAX) {
        chain_free(&s->bytes, NULL);
        return;
    }
    if (w->said != NULL)
        w->said(w, p, &s->bytes);
    planes_send(w, at, s->is_link, &s->bytes);
    if (w->breaks_of_million > 0 && rng_below(&w->rng, 1000000) < w->breaks_of_million)
        break_off(w, at);
}

void planes_cut(struct planes *w, uint32_t from, uint32_t to, bool cut)
{
    w->cut[from][to] = cut;
    for (size_t i = 0; i < w->conns.n && !cut; i++) {
        struct plane_conn *c = &w->conns.at[i];
        if (!c->stalled || is_cut(w, c, true) || is_cut(w, c, false))
            continue;
        c->stalled = false;
        c->broken = true; /* something was lost in it: both ends find out */
        post(w, packet_new(w, PACKET_CLOSED, i, true), planes_drawn(w));
        post(w, packet_new(w, PACKET_CLOSED, i, false), planes_drawn(w));
    }
}

void planes_break(struct planes *w, uint32_t host)
{
    for (size_t i = 0; i < w->conns.n; i++) {
        struct plane_conn *c = &w->conns.at[i];
        if ((c->a != host && c->b != host) || !c->a_open || !c->b_open || c->stalled)
            continue;
        post(w, packet_new(w, PACKET_CLOSED, i, true), planes_drawn(w));
        post(w, packet_new(w, PACKET_CLOSED, i, false), planes_drawn(w));
    }
}

void planes_lose(struct planes *w, uint32_t host)
{
    for (size_t i = 0; i < w->conns.n; i++) {
        struct plane_conn *c = &w->conns.at[i];
        if ((c->a == host || c->b == host) && (c->a_open || c->b_open))
            c->stalled |= is_cut(w, c, true) || is_cut(w, c, false);
    }
}

/* ---------------------------------------------------------------- the false data plane */

static void tell(struct planes *w, struct plane *p, struct word word)
{
    struct control_event ev = {.type = CONTROL_WORD, .word = &word};
    step(w, p, &ev);
}

static uint16_t self_of(const struct plane *p)
{
    return map_find(&p->data.map, control_id(p->control));
}

/* The slots it is primary of, by its own map. */
static const struct bits *own_of(struct plane *p)
{
    struct plane_data *d = &p->data;
    if (d->own_ver == d->map.slots_ver)
        return &d->own;
    uint16_t self = self_of(p);
    uint32_t incarnation = control_incarnation(p->control);
    d->own = (struct bits){{0}};
    d->own_ver = d->map.slots_ver;
    for (unsigned s = 0; self != MAP_NOBODY && s < SLOTS; s++)
        if (map_is_primary(&d->map, s, self, incarnation))
            bits_add(&d->own, s);
    return &d->own;
}

/* Whose slots are to be elsewhere and hold nothing, to one of those they are for. */
static uint16_t data_gives(struct plane *p, struct bits *slots)
{
    const struct map *m = &p->data.map;
    const struct bits *own = own_of(p);
    uint16_t self = self_of(p), to = MAP_NOBODY;
    for (unsigned s = bits_next(own, 0); s < SLOTS; s = bits_next(own, s + 1)) {
        const struct map_slot *slot = &m->slots[s];
        if (slot->want_n == 0 || slot->want[0] == self || bits_has(&p->data.full, s) ||
            m->nodes.at[slot->want[0]].health != MAP_UP)
            continue;
        if (to == MAP_NOBODY)
            to = slot->want[0];
        if (slot->want[0] == to)
            bits_add(slots, s);
    }
    return to;
}

/* One offer at a time; the map tells its fate. */
static void data_hand_over(struct planes *w, struct plane *p)
{
    struct plane_data *d = &p->data;
    struct map *m = &d->map;
    uint16_t self = self_of(p), to;
    struct map_entry e = {.type = MAP_HANDOVER, .base = m->index};
    if (self == MAP_NOBODY || m->settings.rebalance_paused)
        return;
    if (m->nodes.at[self].proposed_n < d->proposed_n && !mono_reached(w->now, d->again))
        return;
    if (m->nodes.at[self].proposed_n >= d->proposed_n)
        d->giving = (struct bits){{0}};
    e.handover.empty = true;
    to = data_gives(p, &e.handover.slots);
    if (to == MAP_NOBODY)
        return;
    for (unsigned s = bits_next(&e.handover.slots, 0); s < SLOTS; s = bits_next(&e.handover.slots, s + 1))
        bits_add(&d->giving, s);
    e.about = m->nodes.at[self].id;
    e.incarnation = m->nodes.at[self].incarnation;
    e.handover.n = ++d->proposed_n;
    e.handover.to = m->nodes.at[to].id;
    e.handover.to_incarnation = m->nodes.at[to].incarnation;
    d->again = mono_after(w->now, AGAIN_US);
    tell(w, p, (struct word){.type = WORD_PROPOSE, .entry = {.entry = map_entry_copy(&e)}});
}

static void data_report(struct planes *w, struct plane *p)
{
    struct map *m = &p->data.map;
    uint16_t self = self_of(p);
    struct word r = {.type = WORD_REPORT, .report = {.base = m->index}};
    if (self == MAP_NOBODY || m->nodes.at[self].health != MAP_UP || p->loads_until.us != MONO_NEVER.us)
        return;
    r.report.incarnation = r.report.clean_since = control_incarnation(p->control);
    r.report.slots = mem_get(SLOTS * sizeof(*r.report.slots));
    for (unsigned s = 0; s < SLOTS; s++) {
        const struct map_slot *slot = &m->slots[s];
        if (slot->primary == MAP_NOBODY && map_replicas_have(slot, self))
            r.report.slots[r.report.slots_n++] = (struct word_position){(uint16_t)s, {0}};
    }
    if (r.report.slots_n > 0 && m->nodes.at[self].incarnation == r.report.incarnation)
        tell(w, p, r);
    else
        word_free(&r);
}

/* Its data plane loads, or has. */
static void load_look(struct planes *w, struct plane *p)
{
    if (!mono_reached(w->now, p->loads_until))
        return;
    p->loads_until = MONO_NEVER;
    step(w, p, &(struct control_event){.type = CONTROL_LOADED, .new_data = p->is_new});
    p->is_new = false;
    if (w->ops == NULL)
        data_report(w, p);
}

void plane_loaded(struct planes *w, struct plane *p, bool is_new)
{
    p->settling = true;
    step(w, p, &(struct control_event){.type = CONTROL_LOADED, .new_data = is_new});
}

/* Of these alone can follow that a slot of this node's has no primary, that it is to have a copy, or that it may report
 * again. */
static bool asks_for_report(const struct map_entry *e)
{
    return e != NULL && (e->type == MAP_DOWNED || e->type == MAP_CLEARED || e->type == MAP_RESTARTED || e->type == MAP_PLACE);
}

static void data_heard(struct planes *w, struct plane *p, struct word *word)
{
    struct plane_data *d = &p->data;
    bool reports = word->type == WORD_MAP || (word->type == WORD_ENTRY && asks_for_report(word->entry.entry));
    switch (word->type) {
    case WORD_ENTRY:
        if (word->entry.entry != NULL)
            map_apply(&d->map, word->entry.index, word->entry.entry);
        d->map.index = word->entry.index;
        break;
    case WORD_MAP:
        map_copy(&d->map, word->map);
        d->own_ver = 0;
        d->own = (struct bits){{0}};
        break;
    case WORD_VIEW: p->view = *word->view; break;
    case WORD_ANSWER: *vec_add(&p->answers) = *word; return;
    case WORD_CLOSE:
        tell(w, p, (struct word){.type = WORD_CLOSED, .closed = bits_n(&d->full) == 0});
        break;
    case WORD_ASK:
    case WORD_APPLIED:
    case WORD_PROPOSE:
    case WORD_REPORT:
    case WORD_CLOSED: check(!"a word for the control plane");
    }
    if (word->type == WORD_ENTRY || word->type == WORD_MAP) {
        tell(w, p, (struct word){.type = WORD_APPLIED, .applied = d->map.index});
        if (reports)
            data_report(w, p);
        data_hand_over(w, p);
    }
    word_free(word);
}

/* ---------------------------------------------------------------- outs */

static void take_disk(struct planes *w, struct plane *p)
{
    for (size_t i = 0; i < p->out.disk.n; i++) {
        struct disk_done done;
        p->disk.now = w->now;
        check(!sim_disk_take(&p->disk, &p->out.disk.at[i], &done));
    }
    p->out.disk.n = 0;
}

static void take_out(struct planes *w, struct plane *p)
{
    struct control_out *o = &p->out;
    VEC(struct word) words = {0};
    if (o->failed) { /* nothing that it says now is to be said */
        check(w->ops != NULL);
        p->failed = true;
        p->lease = (struct mono){0};
        for (size_t i = 0; i < o->disk.n; i++) {
            chain_free(&o->disk.at[i].bytes, NULL);
            mem_free(o->disk.at[i].names);
        }
        o->disk.n = 0;
        return;
    }
    p->lease = o->lease;
    planes_plan(w, &p->wake, o->wake.us == MONO_NEVER.us ? MONO_NEVER : (struct mono){o->wake.us - p->skew_us});
    take_disk(w, p);
    for (size_t i = 0; i < o->dial.n; i++) {
        check(o->dial.at[i].link == p->links.n + 1);
        *vec_add(&p->links) = dial(w, (struct plane_conn){.a = p->number, .link = o->dial.at[i].link,
                                                          .b = host_at(w, o->dial.at[i].port)}) + 1;
    }
    for (size_t i = 0; i < o->send.n; i++)
        send(w, p, &o->send.at[i]);
    for (size_t i = 0; i < o->hang_up.n; i++) {
        size_t at = conn_of(w, p, o->hang_up.at[i].conn, o->hang_up.at[i].is_link);
        if (at != SIZE_MAX)
            planes_close(w, at, o->hang_up.at[i].is_link);
    }
    p->stopped |= o->stopped;
    for (size_t i = 0; i < o->give.n; i++) {
        size_t at = conn_of(w, p, o->give.at[i].conn, false);
        check(w->ops != NULL);
        if (at != SIZE_MAX)
            w->ops->given(p, at, &o->give.at[i]);
        else
            chain_free(&o->give.at[i].unread, NULL);
    }
    o->give.n = 0;
    for (size_t i = 0; i < o->words.n; i++)
        *vec_add(&words) = o->words.at[i];
    o->send.n = o->words.n = 0;
    for (size_t i = 0; i < words.n; i++)
        if (w->ops != NULL)
            w->ops->word(p, &words.at[i]);
        else
            data_heard(w, p, &words.at[i]);
    vec_free(&words);
    if (p->settling && o->settled) {
        p->settling = false;
        w->ops->settled(p);
    }
}

/* ---------------------------------------------------------------- hosts */

static void line(struct log *log, enum log_level level, struct slice text)
{
    struct plane *p = CONTAINER_OF(log, struct plane, log);
    const char *awaited = p->world->awaited;
    p->world->awaited_n += awaited != NULL && memmem(text.p, text.n, awaited, strlen(awaited)) != NULL;
    if (p->world->trace)
        printf("[%9.3f] %u %s%.*s\n", (double)p->world->now.us / 1e6, p->number, level == LOG_LEVEL_WARNING ? "! " : "",
               (int)text.n, text.p);
}

struct plane *plane_end(struct planes *w, uint32_t number)
{
    w->at[number] = (struct plane){.world = w, .number = number, .is_end = true};
    return &w->at[number];
}

uint16_t plane_port(uint32_t number)
{
    return (uint16_t)(FIRST_PORT + number);
}

struct plane *plane_add(struct planes *w, int join)
{
    struct plane *p = &w->at[w->n];
    check(w->n < PLANES_CLIENTS);
    *p = (struct plane){.world = w, .number = (uint32_t)w->n++, .log = {LOG_LEVEL_VERBOSE, line}};
    static char seeds[PLANES_MAX][32];
    if (join >= 0)
        snprintf(seeds[p->number], sizeof(seeds[0]), "10.0.0.1:1@%d", FIRST_PORT + join);
    p->config = (struct control_config){.at = {.ip = "10.0.0.1", .port = (uint16_t)(1000 + p->number),
                                               .cluster_port = plane_port(p->number)},
                                        .weight = 1,
                                        .node_file = "nodes.conf",
                                        .secret = SLICE("a secret"),
                                        .join = join >= 0 ? slice_str(seeds[p->number]) : (struct slice){0}};
    map_settings_preset(&p->config.settings);
    p->config.settings.replication_factor = 1;
    sim_disk_init(&p->disk, rng_next(&w->rng), &w->calendar);
    return p;
}

void plane_copy_disk(struct planes *w, struct plane *to, const struct plane *from)
{
    sim_disk_init(&to->disk, rng_next(&w->rng), &w->calendar);
    for (size_t i = 0; i < from->disk.names.at.n; i++) {
        const struct sim_name *name = &from->disk.names.at.at[i];
        const struct sim_inode *f = &from->disk.inodes.at[name->inode];
        struct sim_inode copy = {.p = mem_get(f->n + 1), .n = f->n, .cap = f->n + 1, .synced = f->n};
        struct sim_name same = *name;
        memcpy(copy.p, f->p, f->n);
        same.inode = to->disk.inodes.n;
        *vec_add(&to->disk.inodes) = copy;
        *vec_add(&to->disk.names.at) = same;
        *vec_add(&to->disk.lasting.at) = same;
    }
}

/* Files of the controller's log as the start finds them. */
static size_t find_raft(struct plane *p, struct raft_found found[RAFT_FILES])
{
    static const char dir[] = RAFT_DIR "/";
    size_t n = 0;
    for (size_t i = 0; i < p->disk.names.at.n; i++) {
        const struct sim_name *name = &p->disk.names.at.at[i];
        const struct sim_inode *f = &p->disk.inodes.at[name->inode];
        if (strncmp(name->name, dir, sizeof(dir) - 1) != 0)
            continue;
        check(n < RAFT_FILES);
        found[n++] = (struct raft_found){slice_str(name->name + sizeof(dir) - 1), slice_of(f->p, f->n)};
    }
    return n;
}

void plane_start(struct planes *w, struct plane *p)
{
    struct raft_found found[RAFT_FILES];
    struct raft_loaded loaded = {0};
    struct identity identity = {0};
    struct sim_inode *file = sim_disk_file(&p->disk, "nodes.conf");
    check(p->control == NULL);
    p->stopped = false;
    if (file != NULL && identity_get(&identity, slice_of(file->p, file->n)) != ERR_OK)
        planes_wrong(w, "the node's file is damaged", p->number);
    if (raft_file_load(&loaded, found, find_raft(p, found)) != ERR_OK)
        planes_wrong(w, loaded.text, p->number);
    char why[WIRE_WHY_BYTES];
    if (control_log_wrong(&loaded.saved, why) != ERR_OK)
        planes_wrong(w, why, p->number);
    p->config.seed = w->seed * 1000 + p->number * 100 + ++p->seed_n;
    p->is_new |= file == NULL;
    p->loads_until = w->ops != NULL ? MONO_NEVER : mono_after(w->now, p->loads_us);
    p->settling = p->failed = false;
    if (!identity.is_known && w->ops != NULL) { /* the data plane knows it already */
        identity.node = p->id_if_new;
        identity.is_known = true;
    }
    map_init(&p->data.map);
    p->data.proposed_n = p->data.own_ver = 0;
    p->data.giving = p->data.own = (struct bits){{0}};
    vec_clear(&p->links); /* its numbers begin anew */
    p->control = control_new(&p->config, &identity, &loaded, &p->log, w->now);
    raft_loaded_free(&loaded);
    planes_plan(w, &p->wake, w->now);
    planes_plan(w, &p->pulse, w->now);
    load_look(w, p);
}

/* As --recover-controller does, in no time. */
static bool recover(struct planes *w, struct plane *p, struct recover *r, size_t most)
{
    struct disk_ops ops = {0};
    struct disk_done done;
    struct data_id voter = {{(uint8_t)p->number, (uint8_t)++p->seed_n, 'v'}};
    p->disk.now = w->now;
    recover_begin(r, &voter);
    recover_step(r, NULL, &ops);
    size_t i = 0;
    for (; i < ops.n && i < most; i++) {
        struct sim_lane *lane = &p->disk.lanes[ops.at[i].lane];
        check(!sim_disk_take(&p->disk, &ops.at[i], &done));
        heap_remove(&w->calendar, &lane->due);
        check(sim_disk_due(&p->disk, &lane->due, &done));
        recover_step(r, &done, &ops);
    }
    for (; i < ops.n; i++) {
        chain_free(&ops.at[i].bytes, NULL);
        mem_free(ops.at[i].names);
    }
    mem_free(ops.at);
    if (r->stage != RECOVER_DONE)
        sim_disk_power_cut(&p->disk);
    return r->stage == RECOVER_DONE;
}

bool plane_recover(struct planes *w, struct plane *p, size_t most, char why[WIRE_WHY_BYTES])
{
    struct raft_found found[RAFT_FILES];
    struct raft_loaded loaded;
    struct identity identity = {0};
    struct recover r;
    struct sim_inode *file = sim_disk_file(&p->disk, "nodes.conf");
    check(p->control == NULL && file != NULL);
    check(identity_get(&identity, slice_of(file->p, file->n)) == ERR_OK);
    check(raft_file_load(&loaded, found, find_raft(p, found)) == ERR_OK);
    bool good = recover_look(&r, &identity, &loaded, "nodes.conf", why) == ERR_OK;
    if (good)
        good = recover(w, p, &r, most);
    recover_free(&r);
    raft_loaded_free(&loaded);
    identity_free(&identity);
    return good;
}

void plane_kill(struct planes *w, struct plane *p, bool power)
{
    for (size_t i = 0; i < w->conns.n; i++) {
        struct plane_conn *c = &w->conns.at[i];
        if (c->a == p->number)
            planes_close(w, i, true);
        if (c->b == p->number)
            planes_close(w, i, false);
    }
    for (size_t i = 0; i < p->stored.n; i++)
        chain_free(&p->stored.at[i].rest, NULL);
    vec_clear(&p->stored);
    p->data_frozen = false;
    plane_freeze(w, p, false);
    if (p->is_end) {
        p->is_end = false;
        vec_free(&p->guests);
        return;
    }
    heap_remove(&w->calendar, &p->wake);
    heap_remove(&w->calendar, &p->pulse);
    control_free(p->control);
    control_out_free(&p->out);
    p->out = (struct control_out){0};
    p->control = NULL;
    p->lease = (struct mono){0};
    map_free(&p->data.map);
    p->disk.now = w->now;
    if (power)
        sim_disk_power_cut(&p->disk);
    else
        sim_disk_kill(&p->disk);
}

static void tell_stored(struct planes *w, struct plane *p);

void plane_freeze(struct planes *w, struct plane *p, bool frozen)
{
    p->frozen = frozen;
    if (frozen)
        return;
    tell_stored(w, p);
    struct packet **waiting = p->waiting.at;
    size_t n = p->waiting.n;
    memset(&p->waiting, 0, sizeof(p->waiting));
    for (size_t i = 0; i < n; i++) /* all that came, in its order */
        arrive(w, waiting[i]);
    mem_free(waiting);
    if (p->control != NULL) {
        planes_plan(w, &p->wake, w->now);
        planes_plan(w, &p->pulse, w->now);
    }
}

void plane_stop(struct planes *w, struct plane *p)
{
    step(w, p, &(struct control_event){.type = CONTROL_STOP});
}

void plane_clock_apart(struct planes *w, struct plane *p)
{
    step(w, p, &(struct control_event){.type = CONTROL_CLOCK_APART});
}

unsigned plane_health(struct planes *w, uint32_t number)
{
    struct plane *leader = planes_leader(w);
    if (leader == NULL)
        return UINT32_MAX;
    const struct map *m = control_map(leader->control);
    for (uint16_t i = 0; i < m->nodes.n; i++)
        if (m->nodes.at[i].used && m->nodes.at[i].at.cluster_port == plane_port(number))
            return m->nodes.at[i].health;
    return UINT32_MAX;
}

void plane_ask(struct planes *w, struct plane *p, struct word ask)
{
    tell(w, p, ask);
}

void plane_set(struct planes *w, struct plane *p, const char *name, int64_t value)
{
    struct word ask = {.type = WORD_ASK, .ask = {.what = ASK_SET, .value = value}};
    snprintf(ask.ask.text, sizeof(ask.ask.text), "%s", name);
    plane_ask(w, p, ask);
}

/* ---------------------------------------------------------------- what must hold */

bool plane_has_lease(const struct planes *w, struct plane *p)
{
    (void)w;
    return p->control != NULL && !mono_reached(plane_clock(p), p->lease);
}

unsigned plane_slots(const struct plane *p)
{
    uint16_t self = p->control == NULL ? MAP_NOBODY : self_of(p);
    unsigned n = 0;
    for (unsigned s = 0; self != MAP_NOBODY && s < SLOTS; s++)
        n += map_is_primary(&p->data.map, s, self, control_incarnation(p->control));
    return n;
}

struct plane *planes_leader(struct planes *w)
{
    struct plane *found = NULL;
    for (size_t i = 0; i < w->n; i++) {
        if (w->at[i].control == NULL || !control_leads(w->at[i].control))
            continue;
        if (found != NULL)
            return NULL;
        found = &w->at[i];
    }
    return found;
}

bool planes_agree(struct planes *w)
{
    const struct map *first = NULL;
    size_t up = 0;
    for (size_t i = 0; i < w->n; i++) {
        const struct plane *p = &w->at[i];
        if (p->control == NULL)
            continue;
        const struct map *m = control_map(p->control);
        if (first == NULL)
            first = m;
        if (m->index == 0 || m->index != first->index || !cluster_id_equal(&m->cluster, &first->cluster))
            return false;
        up++;
    }
    return first != NULL && map_members_n(first) >= up;
}

static bool same_cluster(const struct plane *a, const struct plane *b)
{
    return cluster_id_equal(&a->data.map.cluster, &b->data.map.cluster);
}

/* What it may serve now, word by word of the bits; NULL: it has no lease. */
static const struct bits *served_by(struct planes *w, struct plane *p, struct bits *to)
{
    if (!plane_has_lease(w, p))
        return NULL;
    const struct bits *own = own_of(p);
    for (size_t k = 0; k < SLOTS / 64; k++)
        to->w[k] = own->w[k] & ~p->data.giving.w[k];
    return to;
}

static bool bits_meet(const struct bits *a, const struct bits *b)
{
    for (size_t k = 0; k < SLOTS / 64; k++)
        if ((a->w[k] & b->w[k]) != 0)
            return true;
    return false;
}

/* One slot of a cluster, two who may serve it at once: what leases are for. */
static void check_leases(struct planes *w)
{
    struct bits all = {{0}}, its, others;
    for (size_t i = 0; i < w->n; i++) {
        struct plane *p = &w->at[i];
        if (served_by(w, p, &its) == NULL)
            continue;
        for (size_t k = 0; k < i && bits_meet(&all, &its); k++)
            if (served_by(w, &w->at[k], &others) != NULL && bits_meet(&others, &its) && same_cluster(p, &w->at[k])) {
                planes_wrong(w, "two may serve one slot", p->number);
                return;
            }
        for (size_t k = 0; k < SLOTS / 64; k++)
            all.w[k] |= its.w[k];
    }
}

static bool same_map(const struct map *a, const struct map *b)
{
    return memcmp(a->slots, b->slots, SLOTS * sizeof(*a->slots)) == 0 && a->nodes.n == b->nodes.n &&
           (a->nodes.n == 0 || memcmp(a->nodes.at, b->nodes.at, a->nodes.n * sizeof(a->nodes.at[0])) == 0);
}

/* Neighbours, as they stand, that have the same index of the same cluster; of many some. */
static void check_maps(struct planes *w)
{
    size_t first = rng_below(&w->rng, w->n);
    const struct map *before = NULL;
    for (size_t i = 0; i < w->n && i <= CHECKED; i++) {
        const struct plane *p = &w->at[(first + i) % w->n];
        if (p->control == NULL)
            continue;
        const struct map *m = control_map(p->control);
        if (before != NULL && m->index == before->index && m->index > 0 &&
            cluster_id_equal(&m->cluster, &before->cluster) && !same_map(m, before))
            planes_wrong(w, "equal indexes, different maps", p->number);
        before = m;
    }
}

/* ---------------------------------------------------------------- time */

static void pulse(struct planes *w, struct plane *p)
{
    if (!p->data.hung && !p->data_frozen)
        p->progress++;
    load_look(w, p);
    if (w->ops == NULL && p->data.proposed_n > 0 && mono_reached(w->now, p->data.again)) {
        data_hand_over(w, p);
        if (mono_reached(w->now, p->data.again)) /* there was nothing to offer */
            p->data.again = mono_after(w->now, AGAIN_US);
    }
    planes_plan(w, &p->pulse, mono_after(w->now, PULSE_US));
}

static void tell_stored(struct planes *w, struct plane *p)
{
    for (size_t i = 0; i < p->stored.n && p->control != NULL; i++)
        step(w, p, &(struct control_event){.type = CONTROL_STORED, .disk = &p->stored.at[i]});
    vec_clear(&p->stored);
}

static void due(struct planes *w, struct heap_node *n)
{
    if ((char *)n < (char *)w->at || (char *)n >= (char *)(w->at + PLANES_MAX)) {
        if (w->ops == NULL || !w->ops->due(w, n))
            arrive(w, CONTAINER_OF(n, struct packet, due));
        return;
    }
    struct plane *p = &w->at[(size_t)((char *)n - (char *)w->at) / sizeof(*p)];
    struct disk_done done;
    if (p->frozen && n != &p->disk.lanes[LANE_LOG].due && n != &p->disk.lanes[LANE_BACK].due)
        return;
    if (n == &p->wake) {
        step(w, p, &(struct control_event){.type = CONTROL_DUE});
    } else if (n == &p->pulse) {
        pulse(w, p);
    } else {
        p->disk.now = w->now;
        if (sim_disk_due(&p->disk, n, &done))
            *vec_add(&p->stored) = done;
        if (!p->frozen)
            tell_stored(w, p);
    }
}

static bool turn(struct planes *w, struct mono until)
{
    struct heap_node *n = heap_first(&w->calendar);
    if (n == NULL || n->due > until.us || w->wrong[0] != '\0')
        return false;
    heap_remove(&w->calendar, n);
    bool moved = n->due > w->now.us;
    w->at_once_n = moved ? 0 : w->at_once_n + 1;
    if (w->at_once_n == AT_ONCE_MOST)
        planes_wrong(w, "time stands still: somebody wants to be woken in the past", 0);
    w->now = (struct mono){n->due > w->now.us ? n->due : w->now.us};
    due(w, n);
    if (w->ops != NULL) {
        w->ops->look(w);
    } else if (moved && rng_below(&w->rng, w->n) < 4) {
        check_leases(w);
        if (rng_below(&w->rng, w->n) == 0)
            check_maps(w);
    }
    return true;
}

void planes_run(struct planes *w, int64_t us)
{
    struct mono until = mono_after(w->now, us);
    while (turn(w, until))
        ;
    w->now = until;
}

bool planes_until(struct planes *w, int64_t us, bool (*done)(struct planes *w))
{
    struct mono until = mono_after(w->now, us);
    while (!done(w))
        if (!turn(w, until))
            return false;
    return true;
}

void planes_init(struct planes *w, uint64_t seed)
{
    memset(w, 0, sizeof(*w));
    w->seed = seed;
    w->now.us = 1000 * 1000;
    w->delay_least_us = 100;
    w->delay_mean_us = 300;
    plane_end(w, PLANES_CLIENTS);
    rng_seed(&w->rng, seed);
}

void planes_free(struct planes *w)
{
    for (size_t i = 0; i < w->n; i++) {
        struct plane *p = &w->at[i];
        if (p->control != NULL)
            plane_kill(w, p, false);
        for (size_t k = 0; k < p->answers.n; k++)
            word_free(&p->answers.at[k]);
        vec_free(&p->answers);
        vec_free(&p->waiting);
        vec_free(&p->stored);
        vec_free(&p->links);
        vec_free(&p->guests);
        sim_disk_free(&p->disk);
    }
    for (struct heap_node *n; (n = heap_first(&w->calendar)) != NULL;) {
        heap_remove(&w->calendar, n);
        packet_free(CONTAINER_OF(n, struct packet, due));
    }
    heap_free(&w->calendar);
    vec_free(&w->conns);
}

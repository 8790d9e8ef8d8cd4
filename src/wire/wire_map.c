/* SPDX-License-Identifier: BSD-3-Clause */

/* Lists, runs and sets of slots are one field each, a text: a placement of 16384 runs is one field,
 * and a frame's fields are bounded. */
#include "wire/wire_map.h"

#include <stdio.h>

#include "base/num.h"
#include "core/map/map_setting.h"
#include "resp/resp_write.h"

/* -- Texts within a field ---------------------------------------------------------------------- */

struct text {
    VEC(char) chars;
};

static void text_char(struct text *t, char c)
{
    *vec_add(&t->chars) = c;
}

static void text_u64(struct text *t, uint64_t v)
{
    char digits[NUM_I64_CHARS];
    size_t n = num_put_u64(digits, v);
    for (size_t i = 0; i < n; i++)
        text_char(t, digits[i]);
}

static void text_list(struct text *t, const uint16_t *list, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (i > 0)
            text_char(t, ',');
        text_u64(t, list[i]);
    }
}

static void text_range(struct text *t, unsigned from, unsigned to)
{
    if (t->chars.n > 0)
        text_char(t, ' ');
    text_u64(t, from);
    text_char(t, '-');
    text_u64(t, to);
}

static void put_text(struct chain *to, struct text *t)
{
    wire_put_bytes(to, slice_of(t->chars.at, t->chars.n));
    vec_free(&t->chars);
}

/* A number at the front, taken away. */
static enum err take_u64(struct slice *s, uint64_t max, uint64_t *v)
{
    size_t n = 0;
    while (n < s->n && s->p[n] >= '0' && s->p[n] <= '9')
        n++;
    if (!num_get_u64(slice_head(*s, n), v))
        return ERR_SYNTAX;
    if (*v > max)
        return ERR_RANGE;
    *s = slice_from(*s, n);
    return ERR_OK;
}

static bool take_char(struct slice *s, char c)
{
    if (s->n == 0 || s->p[0] != c)
        return false;
    *s = slice_from(*s, 1);
    return true;
}

static enum err take_list(struct slice *s, uint16_t *list, uint8_t *n)
{
    *n = 0;
    do {
        uint64_t v;
        if (*n == MAP_COPIES)
            return ERR_LIMIT;
        TRY(take_u64(s, MAP_NODES - 1, &v));
        list[(*n)++] = (uint16_t)v;
    } while (take_char(s, ','));
    return ERR_OK;
}

static enum err take_range(struct slice *s, uint16_t *from, uint16_t *to)
{
    uint64_t a, b;
    TRY(take_u64(s, SLOTS - 1, &a));
    if (!take_char(s, '-'))
        return ERR_SYNTAX;
    TRY(take_u64(s, SLOTS - 1, &b));
    *from = (uint16_t)a;
    *to = (uint16_t)b;
    return a <= b ? ERR_OK : ERR_RANGE;
}

/* The field as a text of its own; `in` stands behind it only once the text was right. */
static enum err peek_text(const struct wire_in *in, struct slice *s)
{
    struct wire_in at = *in;
    return wire_get_bytes(&at, RAFT_ENTRY_BYTES, s);
}

/* -- <runs>: "0-99=3,1 100-199=1" -------------------------------------------------------------- */

static void put_runs(struct chain *to, const struct map_run *run, size_t n)
{
    struct text t = {0};
    for (size_t i = 0; i < n; i++) {
        text_range(&t, run[i].from, run[i].to);
        text_char(&t, '=');
        text_list(&t, run[i].node, run[i].n);
    }
    put_text(to, &t);
}

static enum err take_runs(struct slice s, struct map_run *run, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && !take_char(&s, ' '))
            return ERR_SYNTAX;
        run[i] = (struct map_run){0};
        TRY(take_range(&s, &run[i].from, &run[i].to));
        if (!take_char(&s, '='))
            return ERR_SYNTAX;
        TRY(take_list(&s, run[i].node, &run[i].n));
    }
    return s.n == 0 ? ERR_OK : ERR_SYNTAX;
}

/* The field as a text, and how many runs are in it. */
static enum err peek_runs(const struct wire_in *in, struct slice *s, size_t max, size_t *n)
{
    TRY(peek_text(in, s));
    *n = s->n > 0;
    for (size_t i = 0; i < s->n; i++)
        *n += s->p[i] == ' ';
    return *n <= max ? ERR_OK : ERR_LIMIT;
}

static enum err get_runs(struct wire_in *in, struct map_entry *e)
{
    struct slice s;
    size_t n;
    TRY(peek_runs(in, &s, SLOTS, &n));
    struct map_run *run = n > 0 ? mem_get(n * sizeof(*run)) : NULL;
    e->runs.run = run;
    e->runs.run_n = n;
    TRY(take_runs(s, run, n)); /* who called frees it with the entry */
    in->at++;
    return ERR_OK;
}

/* -- <isr runs>: "0-99=3/7,1/2 100-199=3/7", each a place and its incarnation ------------------ */

static void put_isr_runs(struct chain *to, const struct map_isr_run *run, size_t n)
{
    struct text t = {0};
    for (size_t i = 0; i < n; i++) {
        text_range(&t, run[i].from, run[i].to);
        for (unsigned k = 0; k < run[i].n; k++) {
            text_char(&t, k == 0 ? '=' : ',');
            text_u64(&t, run[i].node[k]);
            text_char(&t, '/');
            text_u64(&t, run[i].incarnation[k]);
        }
    }
    put_text(to, &t);
}

static enum err take_isr_run(struct slice *s, struct map_isr_run *run)
{
    uint64_t place, incarnation;
    TRY(take_range(s, &run->from, &run->to));
    while (take_char(s, run->n == 0 ? '=' : ',')) {
        if (run->n == MAP_COPIES)
            return ERR_LIMIT;
        TRY(take_u64(s, MAP_NODES - 1, &place));
        if (!take_char(s, '/'))
            return ERR_SYNTAX;
        TRY(take_u64(s, UINT32_MAX, &incarnation));
        run->node[run->n] = (uint16_t)place;
        run->incarnation[run->n++] = (uint32_t)incarnation;
    }
    return run->n > 0 ? ERR_OK : ERR_SYNTAX;
}

static enum err get_isr_runs(struct wire_in *in, struct map_entry *e)
{
    struct slice s;
    size_t n;
    TRY(peek_runs(in, &s, MAP_ISR_RUNS, &n));
    struct map_isr_run *run = n > 0 ? mem_zero(n * sizeof(*run)) : NULL;
    e->isr.run = run;
    e->isr.run_n = n;
    for (size_t i = 0; i < n; i++) { /* who called frees it with the entry */
        if (i > 0 && !take_char(&s, ' '))
            return ERR_SYNTAX;
        TRY(take_isr_run(&s, &run[i]));
    }
    if (s.n > 0)
        return ERR_SYNTAX;
    in->at++;
    return ERR_OK;
}

/* -- <slots>: "0-99 200-200", rising ----------------------------------------------------------- */

static void put_slots(struct chain *to, const struct bits *b)
{
    struct text t = {0};
    for (unsigned from = bits_next(b, 0); from < SLOTS;) {
        unsigned end = from;
        while (end + 1 < SLOTS && bits_has(b, end + 1))
            end++;
        text_range(&t, from, end);
        from = end + 1 < SLOTS ? bits_next(b, end + 1) : SLOTS;
    }
    put_text(to, &t);
}

static enum err get_slots(struct wire_in *in, struct bits *b)
{
    struct slice s;
    TRY(peek_text(in, &s));
    unsigned next = 0;
    while (s.n > 0) {
        uint16_t from, to;
        TRY(take_range(&s, &from, &to));
        if (from < next)
            return ERR_RANGE;
        for (unsigned slot = from; slot <= to; slot++)
            bits_add(b, slot);
        next = to + 1U;
        if (s.n > 0 && (!take_char(&s, ' ') || s.n == 0))
            return ERR_SYNTAX;
    }
    in->at++;
    return ERR_OK;
}

/* -- <member>: id, data-id, voter's data-id, incarnation, ip, hostname, port, cluster port, zone,
 *    weight, home */

enum { MEMBER_FIELDS = 11, SETTING_FIELDS = 2 * MAP_SETTINGS };

static void put_member(struct chain *to, const struct map_member *m)
{
    wire_put_id(to, &m->id);
    wire_put_hex(to, m->data.b, sizeof(m->data.b));
    wire_put_hex(to, m->voter.b, sizeof(m->voter.b));
    wire_put_u64(to, m->incarnation);
    wire_put_word(to, m->at.ip);
    wire_put_word(to, m->at.hostname);
    wire_put_u64(to, m->at.port);
    wire_put_u64(to, m->at.cluster_port);
    wire_put_word(to, m->zone);
    wire_put_u64(to, m->weight);
    wire_put_u64(to, m->home);
}

static enum err get_member(struct wire_in *in, struct map_member *m)
{
    TRY(wire_get_id(in, &m->id));
    TRY(wire_get_hex(in, m->data.b, sizeof(m->data.b)));
    TRY(wire_get_hex(in, m->voter.b, sizeof(m->voter.b)));
    TRY(wire_get_u32(in, &m->incarnation));
    TRY(wire_get_text(in, m->at.ip, IP_BYTES));
    TRY(wire_get_text(in, m->at.hostname, HOSTNAME_BYTES));
    TRY(wire_get_u16(in, &m->at.port));
    TRY(wire_get_u16(in, &m->at.cluster_port));
    TRY(wire_get_text(in, m->zone, ZONE_BYTES));
    TRY(wire_get_u32(in, &m->weight));
    return wire_get_u64(in, &m->home);
}

/* -- <settings>: name, value; every row of the table, in its order ----------------------------- */

static void put_settings(struct chain *to, const struct map_settings *s)
{
    for (size_t i = 0; i < MAP_SETTINGS; i++) {
        wire_put_word(to, map_setting_rows[i].name);
        wire_put_u64(to, map_setting_value(s, &map_setting_rows[i]));
    }
}

static enum err get_settings(struct wire_in *in, struct map_settings *s)
{
    for (size_t i = 0; i < MAP_SETTINGS; i++) {
        struct wire_in at = *in;
        struct slice name;
        TRY(wire_get_bytes(&at, 64, &name));
        if (map_setting_find(name) != &map_setting_rows[i])
            return ERR_SYNTAX;
        *in = at;
        TRY(wire_get_u32(in, map_setting_at(s, &map_setting_rows[i])));
    }
    return ERR_OK;
}

/* -- Entries ----------------------------------------------------------------------------------- */

static const char *const entry_names[MAP_TYPES] = {
    [MAP_FOUND] = "FOUND",
    [MAP_JOIN] = "JOIN",
    [MAP_ANNOUNCE] = "ANNOUNCE",
    [MAP_SUSPECTED] = "SUSPECTED",
    [MAP_DOWNED] = "DOWNED",
    [MAP_CLEARED] = "CLEARED",
    [MAP_RESTARTED] = "RESTARTED",
    [MAP_LEAVE] = "LEAVE",
    [MAP_REMOVE] = "REMOVE",
    [MAP_SET] = "SET",
    [MAP_PLACE] = "PLACE",
    [MAP_ELECT] = "ELECT",
    [MAP_HANDOVER] = "HANDOVER",
    [MAP_ISR] = "ISR",
    [MAP_TIMEOUT_SETTLED] = "TIMEOUT-SETTLED",
    [MAP_SETTLED] = "SETTLED",
};

static void put_name(struct chain *to, const char *name, size_t fields)
{
    struct reply r = {.out = to, .protocol = 2};
    reply_array(&r, fields + 1);
    reply_bulk_str(&r, name);
}

/* FOUND <cluster> <member> <settings> */
static void put_found(struct chain *to, const struct map_entry *e)
{
    put_name(to, "FOUND", 1 + MEMBER_FIELDS + SETTING_FIELDS);
    wire_put_hex(to, e->found.cluster.b, sizeof(e->found.cluster.b));
    put_member(to, &e->found.first);
    put_settings(to, &e->found.settings);
}

static enum err get_found(struct wire_in *in, struct map_entry *e)
{
    TRY(wire_get_hex(in, e->found.cluster.b, sizeof(e->found.cluster.b)));
    TRY(get_member(in, &e->found.first));
    return get_settings(in, &e->found.settings);
}

/* SUSPECTED, DOWNED, CLEARED, LEAVE, REMOVE <base> <node> <incarnation> */
static void put_about(struct chain *to, const struct map_entry *e)
{
    put_name(to, entry_names[e->type], 3);
    wire_put_u64(to, e->base);
    wire_put_id(to, &e->about);
    wire_put_u64(to, e->incarnation);
}

static enum err get_about(struct wire_in *in, struct map_entry *e)
{
    TRY(wire_get_u64(in, &e->base));
    TRY(wire_get_id(in, &e->about));
    return wire_get_u32(in, &e->incarnation);
}

/* SET <name> <value> */
static void put_set(struct chain *to, const struct map_entry *e)
{
    put_name(to, "SET", 2);
    wire_put_word(to, e->set.name);
    wire_put_i64(to, e->set.value);
}

static enum err get_set(struct wire_in *in, struct map_entry *e)
{
    TRY(wire_get_text(in, e->set.name, sizeof(e->set.name)));
    return wire_get_i64(in, &e->set.value);
}

/* PLACE <base> <runs>; ELECT <base> <give up> <runs> */
static void put_place_elect(struct chain *to, const struct map_entry *e)
{
    put_name(to, entry_names[e->type], e->type == MAP_ELECT ? 3 : 2);
    wire_put_u64(to, e->base);
    if (e->type == MAP_ELECT)
        wire_put_bool(to, e->runs.give_up);
    put_runs(to, e->runs.run, e->runs.run_n);
}

static enum err get_place_elect(struct wire_in *in, struct map_entry *e)
{
    TRY(wire_get_u64(in, &e->base));
    if (e->type == MAP_ELECT)
        TRY(wire_get_bool(in, &e->runs.give_up));
    return get_runs(in, e);
}

/* HANDOVER <base> <proposer> <incarnation> <n> <to> <to incarnation> <empty> <slots> */
static void put_handover(struct chain *to, const struct map_entry *e)
{
    put_name(to, "HANDOVER", 8);
    wire_put_u64(to, e->base);
    wire_put_id(to, &e->about);
    wire_put_u64(to, e->incarnation);
    wire_put_u64(to, e->handover.n);
    wire_put_id(to, &e->handover.to);
    wire_put_u64(to, e->handover.to_incarnation);
    wire_put_bool(to, e->handover.empty);
    put_slots(to, &e->handover.slots);
}

static enum err get_handover(struct wire_in *in, struct map_entry *e)
{
    TRY(get_about(in, e));
    TRY(wire_get_u64(in, &e->handover.n));
    TRY(wire_get_id(in, &e->handover.to));
    TRY(wire_get_u32(in, &e->handover.to_incarnation));
    TRY(wire_get_bool(in, &e->handover.empty));
    return get_slots(in, &e->handover.slots);
}

/* ISR <base> <proposer> <incarnation> <n> <isr runs> */
static void put_isr(struct chain *to, const struct map_entry *e)
{
    put_name(to, "ISR", 5);
    wire_put_u64(to, e->base);
    wire_put_id(to, &e->about);
    wire_put_u64(to, e->incarnation);
    wire_put_u64(to, e->isr.n);
    put_isr_runs(to, e->isr.run, e->isr.run_n);
}

static enum err get_isr(struct wire_in *in, struct map_entry *e)
{
    TRY(get_about(in, e));
    TRY(wire_get_u64(in, &e->isr.n));
    return get_isr_runs(in, e);
}

/* SETTLED <base> <proposer> <incarnation> <slots> */
static void put_settled(struct chain *to, const struct map_entry *e)
{
    put_name(to, "SETTLED", 4);
    wire_put_u64(to, e->base);
    wire_put_id(to, &e->about);
    wire_put_u64(to, e->incarnation);
    put_slots(to, &e->settled);
}

static enum err get_settled(struct wire_in *in, struct map_entry *e)
{
    TRY(get_about(in, e));
    return get_slots(in, &e->settled);
}

/* TIMEOUT-SETTLED <base> */
static void put_timeout_settled(struct chain *to, const struct map_entry *e)
{
    put_name(to, entry_names[e->type], 1);
    wire_put_u64(to, e->base);
}

static void put_fields(struct chain *to, const struct map_entry *e)
{
    switch (e->type) {
    case MAP_FOUND: put_found(to, e); return;
    case MAP_JOIN:
    case MAP_ANNOUNCE:
    case MAP_RESTARTED:
        put_name(to, entry_names[e->type], MEMBER_FIELDS);
        put_member(to, &e->member);
        return;
    case MAP_SUSPECTED:
    case MAP_DOWNED:
    case MAP_CLEARED:
    case MAP_LEAVE:
    case MAP_REMOVE: put_about(to, e); return;
    case MAP_SET: put_set(to, e); return;
    case MAP_PLACE:
    case MAP_ELECT: put_place_elect(to, e); return;
    case MAP_HANDOVER: put_handover(to, e); return;
    case MAP_ISR: put_isr(to, e); return;
    case MAP_SETTLED: put_settled(to, e); return;
    case MAP_TIMEOUT_SETTLED: put_timeout_settled(to, e); return;
    case MAP_TYPES: break;
    }
    check(e->type < MAP_TYPES);
}

static enum err get_fields(struct wire_in *in, struct map_entry *e)
{
    switch (e->type) {
    case MAP_FOUND: return get_found(in, e);
    case MAP_JOIN:
    case MAP_ANNOUNCE:
    case MAP_RESTARTED: return get_member(in, &e->member);
    case MAP_SUSPECTED:
    case MAP_DOWNED:
    case MAP_CLEARED:
    case MAP_LEAVE:
    case MAP_REMOVE: return get_about(in, e);
    case MAP_SET: return get_set(in, e);
    case MAP_PLACE:
    case MAP_ELECT: return get_place_elect(in, e);
    case MAP_HANDOVER: return get_handover(in, e);
    case MAP_ISR: return get_isr(in, e);
    case MAP_SETTLED: return get_settled(in, e);
    case MAP_TIMEOUT_SETTLED: return wire_get_u64(in, &e->base);
    case MAP_TYPES: break;
    }
    return ERR_SYNTAX;
}

/* -- Frames ------------------------------------------------------------------------------------ */

/* One after another out of bytes that are all there. */
struct frames {
    struct slice left;
    struct request_parser parser;
    struct request_arena arena;
    struct request req;
};

static void frames_free(struct frames *f)
{
    request_free(&f->req);
    request_parser_free(&f->parser);
    request_arena_free(&f->arena);
}

static enum err frame_next(struct frames *f, struct wire_in *in)
{
    static const struct request_limits limits = {.bulk_max_bytes = RAFT_ENTRY_BYTES,
                                                 .args_max = 64};
    request_free(&f->req);
    request_arena_reset(&f->arena);
    size_t used = 0;
    *in = (struct wire_in){0};
    if (f->left.n == 0 || f->left.p[0] != '*') /* no inline line */
        return ERR_SYNTAX;
    if (request_next(&f->parser, &limits, f->left, &f->arena, &f->req, &used) != REQUEST_WHOLE)
        return ERR_SYNTAX;
    f->left = slice_from(f->left, used);
    *in = (struct wire_in){.argv = f->req.argv, .argc = f->req.argc, .at = 1};
    return ERR_OK;
}

/* A frame of this name. */
static enum err frame_named(struct frames *f, struct wire_in *in, const char *name)
{
    TRY(frame_next(f, in));
    in->at = slice_equal(in->argv[0], slice_str(name)) ? 1 : 0;
    return in->at == 1 ? ERR_OK : ERR_SYNTAX;
}

static enum err tell(enum err e, const struct wire_in *in, char *why)
{
    int n = in->argc > 0 && in->argv[0].n < 16 ? (int)in->argv[0].n : 0;
    if (e != ERR_OK)
        snprintf(why, WIRE_WHY_BYTES, "the map's %.*s, field %u: %s", n, n > 0 ? in->argv[0].p : "",
                 in->at, err_text(e));
    return e;
}

char *map_entry_flat(const struct map_entry *e, size_t *n)
{
    struct chain bytes = {0};
    put_fields(&bytes, e);
    return chain_flat(&bytes, NULL, n);
}

enum err get_map_entry(struct slice bytes, struct map_entry **to, char *why)
{
    struct frames f = {.left = bytes};
    struct wire_in in;
    struct map_entry *e = mem_zero(sizeof(*e));
    enum err err = frame_next(&f, &in);
    if (err == ERR_OK && f.left.n > 0)
        err = ERR_SYNTAX;
    if (err == ERR_OK) {
        e->type = MAP_FOUND;
        while (e->type < MAP_TYPES && !slice_equal(in.argv[0], slice_str(entry_names[e->type])))
            e->type++;
        err = get_fields(&in, e);
    }
    if (err == ERR_OK)
        err = wire_get_end(&in);
    tell(err, &in, why);
    frames_free(&f);
    if (err != ERR_OK)
        map_entry_free(e);
    else
        *to = e;
    return err;
}

/* -- The map ----------------------------------------------------------------------------------- */

/* NODE <place> <leaving> <health> <health index> <run index> <proposed n> <member> */
static void put_node(struct chain *to, const struct map_node *n, size_t place)
{
    put_name(to, "NODE", 6 + MEMBER_FIELDS);
    wire_put_u64(to, place);
    wire_put_bool(to, n->leaving);
    wire_put_u64(to, n->health);
    wire_put_u64(to, n->health_index);
    wire_put_u64(to, n->run_index);
    wire_put_u64(to, n->proposed_n);
    struct map_member who = {n->id, n->data, n->voter,  n->incarnation,
                             n->at, {0},     n->weight, n->home};
    memcpy(who.zone, n->zone, sizeof(who.zone));
    put_member(to, &who);
}

static enum err get_node(struct wire_in *in, struct map *m)
{
    struct map_member who = {0};
    uint64_t place, health;
    TRY(wire_get_max(in, m->nodes.n - 1, &place));
    struct map_node *n = &m->nodes.at[place];
    if (n->used)
        return ERR_RANGE;
    n->used = true;
    TRY(wire_get_bool(in, &n->leaving));
    TRY(wire_get_max(in, MAP_DOWN, &health));
    n->health = (uint8_t)health;
    TRY(wire_get_u64(in, &n->health_index));
    TRY(wire_get_u64(in, &n->run_index));
    TRY(wire_get_u64(in, &n->proposed_n));
    TRY(get_member(in, &who));
    n->id = who.id;
    n->data = who.data;
    n->voter = who.voter;
    n->incarnation = who.incarnation;
    n->at = who.at;
    n->weight = who.weight;
    n->home = who.home;
    memcpy(n->zone, who.zone, sizeof(n->zone));
    return wire_get_end(in);
}

/* SLOTS <from> <to> <ver> <epoch> <has a primary> <isr> <incarnations> <want> <formers> <anew>
 * The primary is the isr's first, the replicas follow from the isr and the wish (P3). */
static void put_alike(struct chain *to, unsigned from, unsigned end, const struct map_slot *s)
{
    put_name(to, "SLOTS", 10);
    wire_put_u64(to, from);
    wire_put_u64(to, end);
    wire_put_u64(to, s->ver);
    wire_put_u64(to, s->epoch);
    wire_put_bool(to, s->primary != MAP_NOBODY);
    struct text isr = {0}, runs = {0}, want = {0};
    text_list(&isr, s->isr, s->isr_n);
    put_text(to, &isr);
    for (unsigned i = 0; i < s->isr_n; i++) {
        if (i > 0)
            text_char(&runs, ',');
        text_u64(&runs, s->isr_incarnation[i]);
    }
    put_text(to, &runs);
    text_list(&want, s->want, s->want_n);
    put_text(to, &want);
    wire_put_u64(to, s->formers);
    wire_put_u64(to, s->anew);
}

static enum err get_list(struct wire_in *in, uint16_t *list, uint8_t *n)
{
    struct slice s;
    TRY(peek_text(in, &s));
    TRY(take_list(&s, list, n));
    if (s.n > 0)
        return ERR_SYNTAX;
    in->at++;
    return ERR_OK;
}

static enum err get_incarnations(struct wire_in *in, struct map_slot *s)
{
    struct slice text;
    TRY(peek_text(in, &text));
    for (unsigned i = 0; i < s->isr_n; i++) {
        uint64_t v;
        if (i > 0 && !take_char(&text, ','))
            return ERR_SYNTAX;
        TRY(take_u64(&text, UINT32_MAX, &v));
        s->isr_incarnation[i] = (uint32_t)v;
    }
    if (text.n > 0)
        return ERR_SYNTAX;
    in->at++;
    return ERR_OK;
}

static enum err get_alike(struct wire_in *in, struct map *m, unsigned *next)
{
    struct map_slot s = {0};
    uint64_t end;
    bool has_primary;
    struct wire_in at = *in;
    uint64_t from;
    TRY(wire_get_max(&at, SLOTS - 1, &from));
    if (from != *next)
        return ERR_RANGE; /* one behind the other, none left out */
    *in = at;
    TRY(wire_get_max(in, SLOTS - 1, &end));
    TRY(wire_get_u64(in, &s.ver));
    TRY(wire_get_u64(in, &s.epoch));
    TRY(wire_get_bool(in, &has_primary));
    TRY(get_list(in, s.isr, &s.isr_n));
    TRY(get_incarnations(in, &s));
    TRY(get_list(in, s.want, &s.want_n));
    uint64_t formers = 0;
    if (wire_get_end(in) != ERR_OK) /* older forms end here, or before `anew` */
        TRY(wire_get_max(in, UINT16_MAX, &formers));
    if (wire_get_end(in) != ERR_OK)
        TRY(wire_get_u64(in, &s.anew));
    TRY(wire_get_end(in));
    s.formers = (uint16_t)formers;
    if (end < from)
        return ERR_RANGE;
    s.primary = has_primary ? s.isr[0] : MAP_NOBODY;
    map_replicas_follow(&s);
    for (unsigned i = (unsigned)from; i <= end; i++)
        m->slots[i] = s;
    *next = (unsigned)end + 1;
    return ERR_OK;
}

static bool slots_alike(const struct map_slot *a, const struct map_slot *b)
{
    return a->ver == b->ver && a->epoch == b->epoch && a->primary == b->primary &&
           a->isr_n == b->isr_n && a->want_n == b->want_n &&
           memcmp(a->isr, b->isr, sizeof(a->isr)) == 0 &&
           memcmp(a->isr_incarnation, b->isr_incarnation, sizeof(a->isr_incarnation)) == 0 &&
           memcmp(a->want, b->want, sizeof(a->want)) == 0 && a->formers == b->formers &&
           a->anew == b->anew;
}

/* MAP <cluster> <index> <slots ver> <nodes ver> <want ver> <given up> <places> <settings> <T of
 * leases> <T of waits>
 *     <timeout ver> <quorum ver>
 * A map without the last four is of a time in which what was set was taken for settled. */
void put_map(struct chain *to, const struct map *m)
{
    put_name(to, "MAP", 11 + SETTING_FIELDS);
    wire_put_hex(to, m->cluster.b, sizeof(m->cluster.b));
    wire_put_u64(to, m->index);
    wire_put_u64(to, m->slots_ver);
    wire_put_u64(to, m->nodes_ver);
    wire_put_u64(to, m->want_ver);
    wire_put_u64(to, m->given_up_n);
    wire_put_u64(to, m->nodes.n);
    put_settings(to, &m->settings);
    wire_put_u64(to, m->timeout.lease_ms);
    wire_put_u64(to, m->timeout.wait_ms);
    wire_put_u64(to, m->timeout.ver);
    wire_put_u64(to, m->quorum_ver);
    for (size_t i = 0; i < m->nodes.n; i++)
        if (m->nodes.at[i].used)
            put_node(to, &m->nodes.at[i], i);
    for (unsigned from = 0, end; m->nodes.n > 0 && from < SLOTS; from = end) {
        end = from + 1;
        while (end < SLOTS && slots_alike(&m->slots[from], &m->slots[end]))
            end++;
        put_alike(to, from, end - 1, &m->slots[from]);
    }
}

static enum err get_map_head(struct frames *f, struct wire_in *in, struct map *m)
{
    TRY(frame_named(f, in, "MAP"));
    TRY(wire_get_hex(in, m->cluster.b, sizeof(m->cluster.b)));
    TRY(wire_get_u64(in, &m->index));
    TRY(wire_get_u64(in, &m->slots_ver));
    TRY(wire_get_u64(in, &m->nodes_ver));
    TRY(wire_get_u64(in, &m->want_ver));
    TRY(wire_get_u64(in, &m->given_up_n));
    uint64_t places;
    TRY(wire_get_max(in, MAP_NODES, &places));
    TRY(get_settings(in, &m->settings));
    map_timeout_settle(m);
    if (wire_get_end(in) != ERR_OK) {
        TRY(wire_get_u32(in, &m->timeout.lease_ms));
        TRY(wire_get_u32(in, &m->timeout.wait_ms));
        TRY(wire_get_u64(in, &m->timeout.ver));
        TRY(wire_get_u64(in, &m->quorum_ver));
        TRY(wire_get_end(in));
    }
    for (uint64_t i = 0; i < places; i++)
        *vec_add(&m->nodes) = (struct map_node){0};
    return ERR_OK;
}

static enum err get_map_all(struct frames *f, struct wire_in *in, struct map *m)
{
    TRY(get_map_head(f, in, m));
    unsigned next = m->nodes.n > 0 ? 0 : SLOTS;
    while (next < SLOTS) {
        TRY(frame_next(f, in));
        if (next == 0 && slice_equal(in->argv[0], SLICE("NODE"))) {
            TRY(get_node(in, m));
            continue;
        }
        in->at = slice_equal(in->argv[0], SLICE("SLOTS")) ? 1 : 0;
        if (in->at == 0)
            return ERR_SYNTAX;
        TRY(get_alike(in, m, &next));
    }
    return f->left.n == 0 ? ERR_OK : ERR_SYNTAX;
}

enum err get_map(struct slice bytes, uint64_t index, struct map *m, char *why)
{
    struct frames f = {.left = bytes};
    struct wire_in in = {0};
    struct map got;
    map_init(&got);
    enum err err = tell(get_map_all(&f, &in, &got), &in, why);
    frames_free(&f);
    const char *wrong = err == ERR_OK ? map_wrong(&got) : NULL;
    if (wrong != NULL) {
        snprintf(why, WIRE_WHY_BYTES, "a map that is not whole: %s", wrong);
        err = ERR_SYNTAX;
    } else if (err == ERR_OK && got.index != index) {
        snprintf(why, WIRE_WHY_BYTES, "a map of another index than was said");
        err = ERR_SYNTAX;
    }
    if (err != ERR_OK) {
        map_free(&got);
        return err;
    }
    for (uint16_t place = 0; place < got.nodes.n; place++)
        if (got.nodes.at[place].used)
            map_note(&got, place);
    map_free(m);
    *m = got;
    return ERR_OK;
}

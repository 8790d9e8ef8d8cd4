/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire/wire_repl.h"

/* The rows stand in the order of enum repl_message_type. */
static_assert((int)WIRE_REPL_LEAVING - (int)WIRE_REPL_FROM == (int)REPL_LEAVING - (int)REPL_FROM,
              "a row for each message");

static enum wire_type type_of(enum repl_message_type type)
{
    return (enum wire_type)(WIRE_REPL_FROM + (type - REPL_FROM));
}

/* ------------------------------------------------------------ <slot> <epoch> <round> */

static void put_round(struct chain *to, const struct repl_round *in)
{
    wire_put_u64(to, in->slot);
    wire_put_u64(to, in->epoch);
    wire_put_u64(to, in->round);
}

static enum err get_slot(struct wire_in *in, uint16_t *slot)
{
    uint64_t v;
    TRY(wire_get_max(in, SLOTS - 1, &v));
    *slot = (uint16_t)v;
    return ERR_OK;
}

static enum err get_round(struct wire_in *in, struct repl_round *r)
{
    TRY(get_slot(in, &r->slot));
    TRY(wire_get_max(in, INT64_MAX, &r->epoch));
    return wire_get_u32(in, &r->round);
}

static void put_rounds(struct chain *to, const struct repl_message *m)
{
    wire_put_u64(to, m->n);
    for (size_t i = 0; i < m->n; i++)
        put_round(to, &m->rounds[i]);
}

static enum err get_rounds(struct wire_in *in, struct repl_message *m, struct repl_read *read)
{
    TRY(wire_get_count(in, REPL_ITEMS, 3, &m->n));
    vec_clear(&read->rounds);
    for (size_t i = 0; i < m->n; i++)
        TRY(get_round(in, vec_add(&read->rounds)));
    m->rounds = read->rounds.at;
    return wire_get_end(in);
}

/* ------------------------------------------------------------------- <epoch> <seq> */

static void put_position(struct chain *to, struct position at)
{
    wire_put_u64(to, at.epoch);
    wire_put_u64(to, at.seq);
}

static enum err get_position(struct wire_in *in, struct position *at)
{
    TRY(wire_get_max(in, INT64_MAX, &at->epoch));
    return wire_get_max(in, INT64_MAX, &at->seq);
}

/* ------------------- VONG.REPL.APPEND <lsn> <slot> <epoch> <epoch before> <records> */

static void put_append(struct chain *to, const struct repl_append *m)
{
    wire_put_u64(to, m->lsn);
    wire_put_u64(to, m->slot);
    wire_put_u64(to, m->epoch);
    wire_put_u64(to, m->before_epoch);
    if (m->parts != NULL)
        wire_put_parts(to, m->parts);
    else
        wire_put_bytes(to, m->bytes);
}

static enum err get_append(struct wire_in *in, struct repl_append *m)
{
    TRY(wire_get_u64(in, &m->lsn));
    TRY(get_slot(in, &m->slot));
    TRY(wire_get_max(in, INT64_MAX, &m->epoch));
    TRY(wire_get_max(in, INT64_MAX, &m->before_epoch));
    TRY(wire_get_bytes(in, SIZE_MAX, &m->bytes));
    return wire_get_end(in);
}

/* ------------ VONG.REPL.JOINED <lsn> <map> <n> (<slot> <epoch> <round>)... */

static void put_joined(struct chain *to, const struct repl_message *m)
{
    wire_put_u64(to, m->lsn);
    wire_put_u64(to, m->map);
    put_rounds(to, m);
}

static enum err get_joined(struct wire_in *in, struct repl_message *m, struct repl_read *read)
{
    TRY(wire_get_u64(in, &m->lsn));
    TRY(wire_get_u64(in, &m->map));
    return get_rounds(in, m, read);
}

/* --------------------- VONG.REPL.DUMP <slot> <epoch> <round> <part> <commands> */

static void put_dump(struct chain *to, const struct repl_dump *m)
{
    put_round(to, &m->in);
    wire_put_u64(to, m->part);
    wire_put_bytes(to, m->bytes);
}

static enum err get_dump(struct wire_in *in, struct repl_dump *m)
{
    TRY(get_round(in, &m->in));
    TRY(wire_get_u32(in, &m->part));
    TRY(wire_get_bytes(in, SIZE_MAX, &m->bytes));
    return wire_get_end(in);
}

/* -- VONG.REPL.DUMPED <slot> <epoch> <round> <parts> <commands> <at epoch> <seq>
 *    <n> (<epoch> <first>)... */

static void put_dumped(struct chain *to, const struct repl_dumped *m)
{
    put_round(to, &m->in);
    wire_put_u64(to, m->parts);
    wire_put_bytes(to, m->bytes);
    put_position(to, m->at);
    wire_put_u64(to, m->starts_n);
    for (unsigned i = 0; i < m->starts_n; i++) {
        wire_put_u64(to, m->starts[i].epoch);
        wire_put_u64(to, m->starts[i].first);
    }
}

static enum err get_dumped(struct wire_in *in, struct repl_dumped *m, struct repl_read *read)
{
    size_t n;
    TRY(get_round(in, &m->in));
    TRY(wire_get_u32(in, &m->parts));
    TRY(wire_get_bytes(in, SIZE_MAX, &m->bytes));
    TRY(get_position(in, &m->at));
    TRY(wire_get_count(in, LINEAGE_EPOCHS, 2, &n));
    vec_clear(&read->starts);
    for (size_t i = 0; i < n; i++) {
        struct epoch_start *s = vec_add(&read->starts);
        TRY(wire_get_max(in, INT64_MAX, &s->epoch));
        TRY(wire_get_max(in, INT64_MAX, &s->first));
    }
    m->starts = read->starts.at;
    m->starts_n = (unsigned)n;
    return wire_get_end(in);
}

/* --- VONG.REPL.SYNC <n> (<slot> <epoch> <round> <at epoch> <seq>)... */

static void put_wheres(struct chain *to, const struct repl_message *m)
{
    wire_put_u64(to, m->n);
    for (size_t i = 0; i < m->n; i++) {
        put_round(to, &m->wheres[i].in);
        put_position(to, m->wheres[i].at);
    }
}

static enum err get_wheres(struct wire_in *in, struct repl_message *m, struct repl_read *read)
{
    TRY(wire_get_count(in, REPL_ITEMS, 5, &m->n));
    vec_clear(&read->wheres);
    for (size_t i = 0; i < m->n; i++) {
        struct repl_where *w = vec_add(&read->wheres);
        TRY(get_round(in, &w->in));
        TRY(get_position(in, &w->at));
    }
    m->wheres = read->wheres.at;
    return wire_get_end(in);
}

/* ------------------------------------- VONG.REPL.PULL <slot> <epoch> <round> <parts> */

static enum err get_pull(struct wire_in *in, struct repl_pull *p)
{
    TRY(get_round(in, &p->in));
    TRY(wire_get_u32(in, &p->parts));
    return wire_get_end(in);
}

/* -- VONG.REPL.DIGEST <slot> <epoch> <round> <number> <at epoch> <seq> <key> <key> */

static void put_digest(struct chain *to, const struct repl_digest *m)
{
    put_round(to, &m->in);
    wire_put_u64(to, m->number);
    put_position(to, m->at);
    wire_put_u64(to, m->key.k0);
    wire_put_u64(to, m->key.k1);
}

static enum err get_digest(struct wire_in *in, struct repl_digest *m)
{
    TRY(get_round(in, &m->in));
    TRY(wire_get_u64(in, &m->number));
    TRY(get_position(in, &m->at));
    TRY(wire_get_u64(in, &m->key.k0));
    TRY(wire_get_u64(in, &m->key.k1));
    return wire_get_end(in);
}

/* ------ VONG.REPL.DIGESTED <slot> <epoch> <round> <number> <has> <sum> <sum> */

static void put_digested(struct chain *to, const struct repl_digested *m)
{
    put_round(to, &m->in);
    wire_put_u64(to, m->number);
    wire_put_bool(to, m->has);
    wire_put_u64(to, m->sum[0]);
    wire_put_u64(to, m->sum[1]);
}

static enum err get_digested(struct wire_in *in, struct repl_digested *m)
{
    TRY(get_round(in, &m->in));
    TRY(wire_get_u64(in, &m->number));
    TRY(wire_get_bool(in, &m->has));
    TRY(wire_get_u64(in, &m->sum[0]));
    TRY(wire_get_u64(in, &m->sum[1]));
    return wire_get_end(in);
}

/* --------------------------------- VONG.REPL.BAD <slot> <epoch> <round> <map> */

static enum err get_bad(struct wire_in *in, struct repl_bad *m)
{
    TRY(get_round(in, &m->in));
    TRY(wire_get_u64(in, &m->map));
    return wire_get_end(in);
}

/* --- VONG.REPL.ACK <held> <synced> <no log> <leased> <grows> <full> <wants> <dumps> */

static void put_ack(struct chain *to, const struct repl_ack *a)
{
    wire_put_u64(to, a->held);
    wire_put_u64(to, a->synced);
    wire_put_bool(to, a->has_no_log);
    wire_put_bool(to, a->leased);
    wire_put_bool(to, a->grows);
    wire_put_bool(to, a->full);
    wire_put_u64(to, a->wants);
    wire_put_u64(to, a->dumps);
}

static enum err get_ack(struct wire_in *in, struct repl_ack *a)
{
    TRY(wire_get_u64(in, &a->held));
    TRY(wire_get_max(in, a->held, &a->synced));
    TRY(wire_get_bool(in, &a->has_no_log));
    TRY(wire_get_bool(in, &a->leased));
    TRY(wire_get_bool(in, &a->grows));
    TRY(wire_get_bool(in, &a->full));
    TRY(wire_get_u64(in, &a->wants));
    TRY(wire_get_u64(in, &a->dumps));
    return wire_get_end(in);
}

/* --------------------------------------------------------------------- all of them */

static size_t fields_of(const struct repl_message *m)
{
    switch (m->type) {
    case REPL_FROM:
    case REPL_OFFER:
    case REPL_COMPARE:
    case REPL_JOINS: return 1 + 3 * m->n;
    case REPL_JOINED: return 3 + 3 * m->n;
    case REPL_SYNC: return 1 + 5 * m->n;
    case REPL_DUMPED: return 8 + 2 * (size_t)m->dumped.starts_n;
    case REPL_APPEND:
    case REPL_DUMP: return 5;
    case REPL_DIGEST:
    case REPL_ACK: return 8;
    case REPL_DIGESTED: return 7;
    case REPL_BAD:
    case REPL_PULL: return 4;
    case REPL_ALIVE:
    case REPL_LEAVING: return 1;
    }
    check(!"a message of the slot protocol");
    return 0;
}

void put_repl(struct chain *to, const struct repl_message *m)
{
    wire_put_head(to, type_of(m->type), fields_of(m));
    switch (m->type) {
    case REPL_FROM:
    case REPL_OFFER:
    case REPL_COMPARE:
    case REPL_JOINS: put_rounds(to, m); break;
    case REPL_DIGEST: put_digest(to, &m->digest); break;
    case REPL_DIGESTED: put_digested(to, &m->digested); break;
    case REPL_BAD:
        put_round(to, &m->bad.in);
        wire_put_u64(to, m->bad.map);
        break;
    case REPL_APPEND: put_append(to, &m->append); break;
    case REPL_JOINED: put_joined(to, m); break;
    case REPL_ALIVE: wire_put_u64(to, m->lsn); break;
    case REPL_DUMP: put_dump(to, &m->dump); break;
    case REPL_DUMPED: put_dumped(to, &m->dumped); break;
    case REPL_SYNC: put_wheres(to, m); break;
    case REPL_PULL:
        put_round(to, &m->pull.in);
        wire_put_u64(to, m->pull.parts);
        break;
    case REPL_ACK: put_ack(to, &m->ack); break;
    case REPL_LEAVING: wire_put_bytes(to, m->text); break;
    }
}

enum err get_repl(struct wire_in *in, struct repl_message *m, struct repl_read *read)
{
    if (in->type < WIRE_REPL_FROM || in->type > WIRE_REPL_LEAVING)
        return ERR_SYNTAX;
    *m = (struct repl_message){
        .type = (enum repl_message_type)(REPL_FROM + (in->type - WIRE_REPL_FROM))};
    switch (m->type) {
    case REPL_FROM:
    case REPL_OFFER:
    case REPL_COMPARE:
    case REPL_JOINS: return get_rounds(in, m, read);
    case REPL_DIGEST: return get_digest(in, &m->digest);
    case REPL_DIGESTED: return get_digested(in, &m->digested);
    case REPL_BAD: return get_bad(in, &m->bad);
    case REPL_APPEND: return get_append(in, &m->append);
    case REPL_JOINED: return get_joined(in, m, read);
    case REPL_ALIVE: TRY(wire_get_u64(in, &m->lsn)); break;
    case REPL_DUMP: return get_dump(in, &m->dump);
    case REPL_DUMPED: return get_dumped(in, &m->dumped, read);
    case REPL_SYNC: return get_wheres(in, m, read);
    case REPL_PULL: return get_pull(in, &m->pull);
    case REPL_ACK: return get_ack(in, &m->ack);
    case REPL_LEAVING: TRY(wire_get_bytes(in, WIRE_WHY_BYTES, &m->text)); break;
    }
    return wire_get_end(in);
}

void repl_read_free(struct repl_read *read)
{
    vec_free(&read->rounds);
    vec_free(&read->wheres);
    vec_free(&read->starts);
}

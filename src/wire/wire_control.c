/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire/wire_control.h"

#include "base/mem.h"
#include "core/raft/raft.h"

/* ------------------------------------------------------ VONG.JOIN <entry> */

void put_join(struct chain *to, const struct wire_join *m)
{
    wire_put_head(to, WIRE_JOIN, 1);
    wire_put_bytes(to, m->entry);
}

enum err get_join(struct wire_in *in, struct wire_join *m)
{
    TRY(wire_get_bytes(in, RAFT_ENTRY_BYTES, &m->entry));
    return wire_get_end(in);
}

/* --------------------------------------- VONG.JOINED <cluster> <why not> */

void put_joined(struct chain *to, const struct wire_joined *m)
{
    wire_put_head(to, WIRE_JOINED, 2);
    wire_put_hex(to, m->cluster.b, sizeof(m->cluster.b));
    wire_put_word(to, m->why_not);
}

enum err get_joined(struct wire_in *in, struct wire_joined *m)
{
    TRY(wire_get_hex(in, m->cluster.b, sizeof(m->cluster.b)));
    TRY(wire_get_text(in, m->why_not, sizeof(m->why_not)));
    return wire_get_end(in);
}

/* ----------- VONG.MEET <cluster> <members> <has data> <ip> <cluster port> */

void put_meet(struct chain *to, const struct wire_meet *m)
{
    wire_put_head(to, WIRE_MEET, 5);
    wire_put_hex(to, m->cluster.b, sizeof(m->cluster.b));
    wire_put_u64(to, m->members_n);
    wire_put_bool(to, m->has_data);
    wire_put_word(to, m->ip);
    wire_put_u64(to, m->cluster_port);
}

enum err get_meet(struct wire_in *in, struct wire_meet *m)
{
    TRY(wire_get_hex(in, m->cluster.b, sizeof(m->cluster.b)));
    TRY(wire_get_u32(in, &m->members_n));
    TRY(wire_get_bool(in, &m->has_data));
    TRY(wire_get_text(in, m->ip, sizeof(m->ip)));
    TRY(wire_get_u16(in, &m->cluster_port));
    return wire_get_end(in);
}

/* --------------------------------------------------- VONG.MET <met> <why> */

void put_met(struct chain *to, const struct wire_met *m)
{
    wire_put_head(to, WIRE_MET, 2);
    wire_put_u64(to, m->met);
    wire_put_word(to, m->why);
}

enum err get_met(struct wire_in *in, struct wire_met *m)
{
    uint64_t met;
    TRY(wire_get_max(in, MET_NEITHER, &met));
    if (met == 0)
        return ERR_RANGE;
    m->met = (enum met)met;
    TRY(wire_get_text(in, m->why, sizeof(m->why)));
    return wire_get_end(in);
}

/* ------------------------------------------- VONG.PROPOSE <token> <entry> */

void put_propose(struct chain *to, const struct wire_propose *m)
{
    wire_put_head(to, WIRE_PROPOSE, 2);
    wire_put_u64(to, m->token);
    wire_put_bytes(to, m->entry);
}

enum err get_propose(struct wire_in *in, struct wire_propose *m)
{
    TRY(wire_get_u64(in, &m->token));
    TRY(wire_get_bytes(in, RAFT_ENTRY_BYTES, &m->entry));
    return wire_get_end(in);
}

/* -------------------- VONG.PROPOSED <token> <index> <term> <leader> <why> */

void put_proposed(struct chain *to, const struct wire_proposed *m)
{
    wire_put_head(to, WIRE_PROPOSED, 5);
    wire_put_u64(to, m->token);
    wire_put_u64(to, m->index);
    wire_put_u64(to, m->term);
    wire_put_id(to, &m->leader);
    wire_put_word(to, m->why);
}

enum err get_proposed(struct wire_in *in, struct wire_proposed *m)
{
    TRY(wire_get_u64(in, &m->token));
    TRY(wire_get_u64(in, &m->index));
    TRY(wire_get_u64(in, &m->term));
    TRY(wire_get_id(in, &m->leader));
    TRY(wire_get_text(in, m->why, sizeof(m->why)));
    return wire_get_end(in);
}

/* ------------------------------------------------------ VONG.FETCH <from> */

void put_fetch(struct chain *to, const struct wire_fetch *m)
{
    wire_put_head(to, WIRE_FETCH, 1);
    wire_put_u64(to, m->from);
}

enum err get_fetch(struct wire_in *in, struct wire_fetch *m)
{
    TRY(wire_get_u64(in, &m->from));
    return wire_get_end(in);
}

/* --------- VONG.ENTRIES <leader> <first> <n> (<term> <type> <bytes>) ... */

void put_entries(struct chain *to, const struct wire_entries *m)
{
    wire_put_head(to, WIRE_ENTRIES, 3 + 3 * m->n);
    wire_put_id(to, &m->leader);
    wire_put_u64(to, m->first);
    wire_put_u64(to, m->n);
    for (size_t i = 0; i < m->n; i++) {
        wire_put_u64(to, m->at[i].term);
        wire_put_u64(to, m->at[i].type);
        wire_put_bytes(to, m->at[i].bytes);
    }
}

enum err get_entries(struct wire_in *in, struct wire_entries *m)
{
    TRY(wire_get_id(in, &m->leader));
    TRY(wire_get_u64(in, &m->first));
    TRY(wire_get_count(in, FETCH_ENTRIES, 3, &m->n));
    for (size_t i = 0; i < m->n; i++) {
        uint64_t type;
        TRY(wire_get_u64(in, &m->at[i].term));
        TRY(wire_get_max(in, RAFT_ENTRY_TYPES - 1, &type));
        if (type == 0)
            return ERR_RANGE;
        m->at[i].type = (uint8_t)type;
        TRY(wire_get_bytes(in, RAFT_ENTRY_BYTES, &m->at[i].bytes));
    }
    return wire_get_end(in);
}

/* ------------------------------------ VONG.WHOLE <index> <voters> <map> */

void put_whole(struct chain *to, const struct wire_whole *m)
{
    wire_put_head(to, WIRE_WHOLE, 3);
    wire_put_u64(to, m->index);
    wire_put_bytes(to, m->voters);
    wire_put_bytes(to, m->map);
}

enum err get_whole(struct wire_in *in, struct wire_whole *m)
{
    TRY(wire_get_u64(in, &m->index));
    TRY(wire_get_bytes(in, RAFT_VOTERS_BYTES, &m->voters));
    TRY(wire_get_bytes(in, FETCH_MAP_BYTES, &m->map));
    return wire_get_end(in);
}

/* VONG.REPORT <base> <incarnation> <clean since> <data since> <n> (<slot> <epoch> <seq>) ... */

void put_report(struct chain *to, const struct wire_report *m)
{
    wire_put_head(to, WIRE_REPORT, 5 + 3 * m->n);
    wire_put_u64(to, m->base);
    wire_put_u64(to, m->incarnation);
    wire_put_u64(to, m->clean_since);
    wire_put_u64(to, m->data_since);
    wire_put_u64(to, m->n);
    for (size_t i = 0; i < m->n; i++) {
        wire_put_u64(to, m->at[i].slot);
        wire_put_u64(to, m->at[i].at.epoch);
        wire_put_u64(to, m->at[i].at.seq);
    }
}

static enum err get_position(struct wire_in *in, struct word_position *p)
{
    uint64_t slot;
    TRY(wire_get_max(in, SLOTS - 1, &slot));
    p->slot = (uint16_t)slot;
    TRY(wire_get_u64(in, &p->at.epoch));
    return wire_get_u64(in, &p->at.seq);
}

enum err get_report(struct wire_in *in, struct wire_report *m)
{
    enum err e = ERR_OK;
    TRY(wire_get_u64(in, &m->base));
    TRY(wire_get_u32(in, &m->incarnation));
    TRY(wire_get_u32(in, &m->clean_since));
    TRY(wire_get_u32(in, &m->data_since));
    TRY(wire_get_count(in, REPORT_SLOTS, 3, &m->n));
    m->at = mem_get((m->n + 1) * sizeof(*m->at));
    for (size_t i = 0; i < m->n && e == ERR_OK; i++)
        e = get_position(in, &m->at[i]);
    if (e == ERR_OK)
        e = wire_get_end(in);
    if (e != ERR_OK) {
        mem_free(m->at);
        m->at = NULL;
    }
    return e;
}

/* --------------------------------------- VONG.HERE <id> <ip> <cluster port> */

void put_here(struct chain *to, const struct wire_here *m)
{
    wire_put_head(to, WIRE_HERE, 3);
    wire_put_id(to, &m->id);
    wire_put_word(to, m->ip);
    wire_put_u64(to, m->cluster_port);
}

enum err get_here(struct wire_in *in, struct wire_here *m)
{
    TRY(wire_get_id(in, &m->id));
    TRY(wire_get_text(in, m->ip, sizeof(m->ip)));
    TRY(wire_get_u16(in, &m->cluster_port));
    return wire_get_end(in);
}

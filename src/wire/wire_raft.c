/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire/wire_raft.h"

#include "base/mem.h"

/* The rows stand in the order of enum raft_msg_type. */
static_assert((int)WIRE_RAFT_TIMEOUT_NOW - (int)WIRE_RAFT_PREVOTE ==
                  (int)RAFT_MSG_TIMEOUT_NOW - (int)RAFT_MSG_PREVOTE,
              "a row for each message");

enum { HEAD = 5 };           /* fields of every message */
enum { ENTRIES_MAX = 4096 }; /* of one APPEND: so many of the smallest fill RAFT_APPEND_BYTES */
static_assert((int)ENTRIES_MAX * (int)RAFT_ENTRY_COST >= (int)RAFT_APPEND_BYTES,
              "every APPEND fits");

/* ------------------------ <from> <its data-id> <to> <its data-id> <term>, and then by type */

static void put_peer(struct chain *to, const struct raft_peer *p)
{
    wire_put_id(to, &p->node);
    wire_put_hex(to, p->data.b, sizeof(p->data.b));
}

static enum err get_peer(struct wire_in *in, struct raft_peer *p)
{
    TRY(wire_get_id(in, &p->node));
    return wire_get_hex(in, p->data.b, sizeof(p->data.b));
}

static void put_head(struct chain *to, const struct raft_msg *m, size_t fields)
{
    wire_put_head(to, (enum wire_type)(WIRE_RAFT_PREVOTE + (m->type - RAFT_MSG_PREVOTE)),
                  HEAD + fields);
    put_peer(to, &m->from);
    put_peer(to, &m->to);
    wire_put_u64(to, m->term);
}

static enum err get_head(struct wire_in *in, struct raft_msg *m)
{
    *m = (struct raft_msg){
        .type = (enum raft_msg_type)(RAFT_MSG_PREVOTE + (in->type - WIRE_RAFT_PREVOTE))};
    TRY(get_peer(in, &m->from));
    TRY(get_peer(in, &m->to));
    return wire_get_u64(in, &m->term);
}

/* ------------------------ PREVOTE, VOTE: <campaign> <last index> <last term> <transfer> */

static void put_vote(struct chain *to, const struct raft_msg *m)
{
    put_head(to, m, 4);
    wire_put_u64(to, m->vote.campaign);
    wire_put_u64(to, m->vote.last_index);
    wire_put_u64(to, m->vote.last_term);
    wire_put_bool(to, m->vote.transfer);
}

static enum err get_vote(struct wire_in *in, struct raft_msg *m)
{
    TRY(wire_get_u64(in, &m->vote.campaign));
    TRY(wire_get_u64(in, &m->vote.last_index));
    TRY(wire_get_u64(in, &m->vote.last_term));
    return wire_get_bool(in, &m->vote.transfer);
}

/* ------------------------ PREVOTED, VOTED: <campaign> <granted> */

static void put_vote_answer(struct chain *to, const struct raft_msg *m)
{
    put_head(to, m, 2);
    wire_put_u64(to, m->vote_answer.campaign);
    wire_put_bool(to, m->vote_answer.granted);
}

static enum err get_vote_answer(struct wire_in *in, struct raft_msg *m)
{
    TRY(wire_get_u64(in, &m->vote_answer.campaign));
    return wire_get_bool(in, &m->vote_answer.granted);
}

/* -- APPEND: <prev index> <prev term> <commit> <n> (<term> <type> <bytes>) ... */

static void put_append(struct chain *to, const struct raft_msg *m)
{
    check(m->append.n <= ENTRIES_MAX);
    put_head(to, m, 4 + 3 * m->append.n);
    wire_put_u64(to, m->append.prev_index);
    wire_put_u64(to, m->append.prev_term);
    wire_put_u64(to, m->append.commit);
    wire_put_u64(to, m->append.n);
    for (size_t i = 0; i < m->append.n; i++) {
        wire_put_u64(to, m->append.entries[i].term);
        wire_put_u64(to, m->append.entries[i].type);
        wire_put_bytes(to, m->append.entries[i].bytes);
    }
}

static enum err get_entry(struct wire_in *in, struct raft_entry *e)
{
    uint64_t type;
    TRY(wire_get_u64(in, &e->term));
    TRY(wire_get_max(in, RAFT_ENTRY_TYPES - 1, &type));
    if (type == 0)
        return ERR_RANGE;
    e->type = (enum raft_entry_type)type;
    return wire_get_bytes(in, RAFT_ENTRY_BYTES, &e->bytes);
}

static enum err get_append(struct wire_in *in, struct raft_msg *m)
{
    size_t n;
    enum err e = ERR_OK;
    TRY(wire_get_u64(in, &m->append.prev_index));
    TRY(wire_get_u64(in, &m->append.prev_term));
    TRY(wire_get_u64(in, &m->append.commit));
    TRY(wire_get_count(in, ENTRIES_MAX, 3, &n));
    if (n == 0)
        return ERR_OK;
    struct raft_entry *entries = mem_get(n * sizeof(*entries));
    for (size_t i = 0; i < n && e == ERR_OK; i++)
        e = get_entry(in, &entries[i]);
    m->append.entries = entries;
    m->append.n = n;
    return e;
}

/* ------------------------ APPENDED: <refused> <match> <prev index> <hint index> <hint term> */

static void put_append_answer(struct chain *to, const struct raft_msg *m)
{
    put_head(to, m, 5);
    wire_put_bool(to, m->append_answer.refused);
    wire_put_u64(to, m->append_answer.match);
    wire_put_u64(to, m->append_answer.prev_index);
    wire_put_u64(to, m->append_answer.hint_index);
    wire_put_u64(to, m->append_answer.hint_term);
}

static enum err get_append_answer(struct wire_in *in, struct raft_msg *m)
{
    TRY(wire_get_bool(in, &m->append_answer.refused));
    TRY(wire_get_u64(in, &m->append_answer.match));
    TRY(wire_get_u64(in, &m->append_answer.prev_index));
    TRY(wire_get_u64(in, &m->append_answer.hint_index));
    return wire_get_u64(in, &m->append_answer.hint_term);
}

/* ------------------------ SNAPSHOT: <index> <term> <voters> <size> <crc> <offset> <bytes> */

static void put_snapshot(struct chain *to, const struct raft_msg *m)
{
    char voters[RAFT_VOTERS_BYTES];
    put_head(to, m, 7);
    wire_put_u64(to, m->snapshot.index);
    wire_put_u64(to, m->snapshot.term);
    wire_put_bytes(to, slice_of(voters, raft_voters_put(voters, &m->snapshot.voters)));
    wire_put_u64(to, m->snapshot.size);
    wire_put_u64(to, m->snapshot.crc);
    wire_put_u64(to, m->snapshot.offset);
    wire_put_bytes(to, m->snapshot.bytes);
}

static enum err get_snapshot(struct wire_in *in, struct raft_msg *m)
{
    struct slice voters;
    TRY(wire_get_u64(in, &m->snapshot.index));
    TRY(wire_get_u64(in, &m->snapshot.term));
    TRY(wire_get_bytes(in, RAFT_VOTERS_BYTES, &voters));
    TRY(raft_voters_get(&m->snapshot.voters, voters));
    TRY(wire_get_max(in, RAFT_SNAPSHOT_BYTES, &m->snapshot.size));
    TRY(wire_get_u32(in, &m->snapshot.crc));
    TRY(wire_get_max(in, m->snapshot.size, &m->snapshot.offset));
    return wire_get_bytes(in, RAFT_CHUNK_BYTES, &m->snapshot.bytes);
}

/* ------------------------ SNAPSHOTTED: <index> <offset> */

static void put_snapshot_answer(struct chain *to, const struct raft_msg *m)
{
    put_head(to, m, 2);
    wire_put_u64(to, m->snapshot_answer.index);
    wire_put_u64(to, m->snapshot_answer.offset);
}

static enum err get_snapshot_answer(struct wire_in *in, struct raft_msg *m)
{
    TRY(wire_get_u64(in, &m->snapshot_answer.index));
    return wire_get_u64(in, &m->snapshot_answer.offset);
}

/* ------------------------------------------------------------------------- by type */

void put_raft(struct chain *to, const struct raft_msg *m)
{
    switch (m->type) {
    case RAFT_MSG_PREVOTE:
    case RAFT_MSG_VOTE: put_vote(to, m); return;
    case RAFT_MSG_PREVOTE_ANSWER:
    case RAFT_MSG_VOTE_ANSWER: put_vote_answer(to, m); return;
    case RAFT_MSG_APPEND: put_append(to, m); return;
    case RAFT_MSG_APPEND_ANSWER: put_append_answer(to, m); return;
    case RAFT_MSG_SNAPSHOT: put_snapshot(to, m); return;
    case RAFT_MSG_SNAPSHOT_ANSWER: put_snapshot_answer(to, m); return;
    case RAFT_MSG_TIMEOUT_NOW: put_head(to, m, 0); return;
    case RAFT_MSG_TYPES: break;
    }
    check(m->type < RAFT_MSG_TYPES);
}

static enum err get_body(struct wire_in *in, struct raft_msg *m)
{
    switch (m->type) {
    case RAFT_MSG_PREVOTE:
    case RAFT_MSG_VOTE: return get_vote(in, m);
    case RAFT_MSG_PREVOTE_ANSWER:
    case RAFT_MSG_VOTE_ANSWER: return get_vote_answer(in, m);
    case RAFT_MSG_APPEND: return get_append(in, m);
    case RAFT_MSG_APPEND_ANSWER: return get_append_answer(in, m);
    case RAFT_MSG_SNAPSHOT: return get_snapshot(in, m);
    case RAFT_MSG_SNAPSHOT_ANSWER: return get_snapshot_answer(in, m);
    case RAFT_MSG_TIMEOUT_NOW:
    case RAFT_MSG_TYPES: break;
    }
    return ERR_OK;
}

enum err get_raft(struct wire_in *in, struct raft_msg *m)
{
    check(wire_is_raft(in->type));
    TRY(get_head(in, m));
    enum err e = get_body(in, m);
    if (e == ERR_OK)
        e = wire_get_end(in);
    if (e != ERR_OK)
        free_raft(m);
    return e;
}

void free_raft(struct raft_msg *m)
{
    if (m->type != RAFT_MSG_APPEND)
        return;
    mem_free((void *)m->append.entries);
    m->append.entries = NULL;
    m->append.n = 0;
}

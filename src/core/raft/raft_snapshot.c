/* SPDX-License-Identifier: BSD-3-Clause */

/* Snapshots: taken by the owner, sent in chunks, installed, and the log dropped behind them. */
#include "base/check.h"
#include "base/hash.h"
#include "core/raft/raft_parts.h"

enum { CHUNK_PATIENCE_BEATS = 4 }; /* a chunk not answered for so long is sent again */

enum err raft_kept_set(struct raft_kept *k, const struct raft_snapshot *s)
{
    buf_clear(&k->bytes);
    TRY(buf_add(&k->bytes, s->bytes));
    k->is = *s;
    k->is.bytes = buf_slice(&k->bytes);
    k->crc = crc32c(0, k->is.bytes);
    return ERR_OK;
}

static void kept_drop(struct raft_kept *k)
{
    buf_free(&k->bytes);
    k->is = (struct raft_snapshot){0};
    k->crc = 0;
}

static void ask_store(struct raft *r, bool is_reset)
{
    r->out.store.snapshot = &r->snapshot.is;
    r->out.store.is_reset = is_reset;
}

static size_t kept_bytes(const struct raft *r)
{
    size_t bytes = 0;
    for (uint64_t i = r->log.first; i <= r->snapshot.is.index; i++)
        bytes += raft_log_at(&r->log, i)->bytes.n + RAFT_ENTRY_COST;
    return bytes;
}

/* ------------------------------------------------------------------------- the own one */

void raft_snapshot_taken(struct raft *r, uint64_t index, struct slice bytes)
{
    check(index <= r->applied && bytes.n <= RAFT_SNAPSHOT_BYTES);
    if (index <= r->snapshot.is.index)
        return; /* another one came from the leader meanwhile */
    struct raft_snapshot s = {.index = index, .bytes = bytes};
    uint64_t at;
    check(raft_log_term(&r->log, index, &s.term));
    raft_voters_as_of(r, index, &s.voters, &at);
    struct raft_kept next = {.bytes.max = RAFT_SNAPSHOT_BYTES};
    if (raft_kept_set(&next, &s) != ERR_OK) {
        buf_free(&next.bytes); /* no memory: the log stays longer */
        return;
    }
    kept_drop(&r->snapshot);
    r->snapshot = next;
    r->kept_bytes = kept_bytes(r);
    raft_voters_refresh(r); /* the same ones; of the snapshot now, if no later entry names them */
    ask_store(r, false);
}

/* What lies behind it goes, but for a little that spares a follower the snapshot (F10). */
void raft_snapshot_stored(struct raft *r)
{
    r->taken_token = 0;
    size_t kept = 0;
    uint64_t from = r->snapshot.is.index + 1;
    while (from > r->log.first) {
        size_t n = raft_log_at(&r->log, from - 1)->bytes.n + RAFT_ENTRY_COST;
        if (kept + n > RAFT_KEEP_BYTES)
            break;
        kept += n;
        from--;
    }
    raft_log_drop_front(&r->log, from - 1);
    r->kept_bytes = kept;
}

/* ------------------------------------------------------------------------- the leader */

void raft_snapshot_say(struct raft *r, struct raft_member *m, struct mono now)
{
    struct raft_progress *p = &m->progress;
    if (p->snapshot_index != r->snapshot.is.index)
        raft_progress_snapshot(p, r->snapshot.is.index); /* a newer one: from its beginning */
    size_t at = (size_t)p->snapshot_offset;
    struct raft_msg *c = raft_say(r, RAFT_MSG_SNAPSHOT, &m->peer);
    c->snapshot.index = r->snapshot.is.index;
    c->snapshot.term = r->snapshot.is.term;
    c->snapshot.voters = r->snapshot.is.voters;
    c->snapshot.size = r->snapshot.is.bytes.n;
    c->snapshot.crc = r->snapshot.crc;
    c->snapshot.offset = at;
    if (!raft_progress_may_send(p))
        return; /* a heartbeat: the chunk is under way */
    c->snapshot.bytes = slice_head(slice_from(r->snapshot.is.bytes, at), RAFT_CHUNK_BYTES);
    p->waiting = true;
    p->chunk_sent = now;
}

enum err raft_snapshot_answered(struct raft *r, const struct raft_msg *m, struct mono now)
{
    struct raft_member *member = r->role == RAFT_LEADER ? raft_member_of(r, &m->from) : NULL;
    if (member == NULL)
        return ERR_OK;
    struct raft_progress *p = &member->progress;
    p->heard = now;
    if (p->state != RAFT_PROGRESS_SNAPSHOT || m->snapshot_answer.index != p->snapshot_index ||
        p->snapshot_index != r->snapshot.is.index)
        return ERR_OK; /* of an earlier one */
    if (m->snapshot_answer.offset > r->snapshot.is.bytes.n)
        return ERR_CORRUPT;
    raft_progress_wants(p, m->snapshot_answer.offset, now, CHUNK_PATIENCE_BEATS * raft_beat_us(r));
    return ERR_OK;
}

/* ------------------------------------------------------------------------- a follower */

static bool is_sound(const struct raft_msg *m)
{
    return m->snapshot.index > 0 && m->snapshot.term <= m->term && m->snapshot.voters.n > 0 &&
           m->snapshot.voters.n <= RAFT_VOTERS_MAX && m->snapshot.size <= RAFT_SNAPSHOT_BYTES &&
           m->snapshot.bytes.n <= RAFT_CHUNK_BYTES && m->snapshot.offset <= m->snapshot.size &&
           m->snapshot.bytes.n <= m->snapshot.size - m->snapshot.offset;
}

static bool is_incoming(const struct raft *r, const struct raft_msg *m)
{
    const struct raft_kept *k = &r->incoming;
    return k->is.index == m->snapshot.index && k->is.term == m->snapshot.term &&
           k->crc == m->snapshot.crc && r->incoming_size == m->snapshot.size;
}

char *raft_snapshot_whole(const struct raft *r, const struct raft_msg *m, size_t *n)
{
    size_t before = is_incoming(r, m) ? r->incoming.bytes.n : 0;
    if (!is_sound(m) || m->snapshot.offset != before ||
        m->snapshot.bytes.n != m->snapshot.size - before)
        return NULL;
    *n = (size_t)m->snapshot.size;
    char *whole = mem_get(*n + 1);
    if (before > 0)
        memcpy(whole, r->incoming.bytes.p, before);
    if (m->snapshot.bytes.n > 0)
        memcpy(whole + before, m->snapshot.bytes.p, m->snapshot.bytes.n);
    if (crc32c(0, slice_of(whole, *n)) == m->snapshot.crc)
        return whole;
    mem_free(whole); /* pieces of different ones */
    return NULL;
}

static void say_wanted(struct raft *r, const struct raft_msg *m)
{
    struct raft_msg *a = raft_say(r, RAFT_MSG_SNAPSHOT_ANSWER, &m->from);
    a->snapshot_answer.index = m->snapshot.index;
    a->snapshot_answer.offset = r->incoming.bytes.n;
}

/* It takes the place of the whole log: what we had does not reach it, or is of another history. */
static void install(struct raft *r, const struct raft_msg *m)
{
    struct raft_kept *k = &r->incoming;
    k->is.voters = m->snapshot.voters;
    k->is.bytes = buf_slice(&k->bytes);
    kept_drop(&r->snapshot);
    r->snapshot = *k;
    buf_init(&k->bytes, RAFT_SNAPSHOT_BYTES);
    kept_drop(k);
    raft_log_free(&r->log);
    raft_log_init(&r->log, r->snapshot.is.index, r->snapshot.is.term);
    r->commit = r->applied = r->verified = r->asked_last = r->snapshot.is.index;
    r->stored = 0;
    for (size_t i = 0; i < r->asked.n; i++)
        r->asked.at[i].last = 0; /* what those stored is no part of this log */
    r->kept_bytes = 0;
    r->taken_token = 0;
    raft_voters_refresh(r);
    r->out.restore = &r->snapshot.is;
    ask_store(r, true);
}

enum err raft_snapshot_recv(struct raft *r, const struct raft_msg *m)
{
    struct raft_kept *k = &r->incoming;
    if (!is_sound(m))
        return ERR_CORRUPT;
    if (m->snapshot.index <= r->commit ||
        raft_log_has(&r->log, m->snapshot.index, m->snapshot.term)) {
        if (m->snapshot.index > r->verified)
            r->verified = m->snapshot.index;
        if (m->snapshot.index > r->commit)
            raft_commit_to(r, m->snapshot.index); /* a snapshot holds what is committed */
        kept_drop(k);
        r->answer_due = true;
        return ERR_OK;
    }
    if (!is_incoming(r, m)) {
        buf_clear(&k->bytes);
        k->is = (struct raft_snapshot){.index = m->snapshot.index, .term = m->snapshot.term};
        k->crc = m->snapshot.crc;
        r->incoming_size = m->snapshot.size;
    }
    if (m->snapshot.offset == k->bytes.n)
        TRY(buf_add(&k->bytes, m->snapshot.bytes));
    if (k->bytes.n == m->snapshot.size) {
        if (crc32c(0, buf_slice(&k->bytes)) == k->crc) {
            install(r, m);
            r->answer_due = true;
            return ERR_OK;
        }
        buf_clear(&k->bytes); /* pieces of different ones after all: from the beginning */
    }
    say_wanted(r, m);
    return ERR_OK;
}

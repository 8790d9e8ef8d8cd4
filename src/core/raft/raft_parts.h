/* SPDX-License-Identifier: BSD-3-Clause */

/* What the files of this room ask of one another; nobody else includes it. */
#ifndef CORE_RAFT_RAFT_PARTS_H
#define CORE_RAFT_RAFT_PARTS_H

#include "core/raft/raft.h"

/* raft.c */
struct raft_msg *raft_say(struct raft *r, enum raft_msg_type type,
                          const struct raft_peer *to); /* filled by the caller at once */
void raft_state_set(struct raft *r, uint64_t term, const struct raft_peer *vote); /* to be stored */
bool raft_state_is_stored(const struct raft *r);
void raft_entry_add(struct raft *r, uint64_t term, enum raft_entry_type type, struct slice bytes);
void raft_entries_cut(struct raft *r, uint64_t from); /* from > commit */
void raft_commit_to(struct raft *r, uint64_t index);  /* nothing if it is there already */
void raft_voters_refresh(struct raft *r);             /* r->voters from the log as it is */
void raft_voters_as_of(const struct raft *r, uint64_t index, struct raft_voters *v,
                       uint64_t *at); /* at: of which entry */
struct raft_member *raft_member_of(struct raft *r, const struct raft_peer *p); /* NULL: none */
void raft_members_update(struct raft *r,
                         struct mono now); /* leader: after voters or learners changed */
void raft_election_reset(struct raft *r, struct mono now);

/* raft_vote.c */
void raft_become_follower(struct raft *r, uint64_t term, const struct raft_peer *leader,
                          struct mono now);
void raft_campaign(struct raft *r, struct mono now, bool transfer);
/* False: it was refused, or asks none. */
bool raft_vote_asked_again(struct raft *r, struct mono now);
void raft_vote_stored(struct raft *r, struct mono now); /* not leader: term and vote */
bool raft_vote_is_sticky(const struct raft *r, const struct raft_msg *m, struct mono now);
void raft_vote_recv(struct raft *r, const struct raft_msg *m, struct mono now); /* PREVOTE, VOTE */
void raft_vote_answer(struct raft *r, const struct raft_msg *m,
                      struct mono now); /* and their answers */
bool raft_vote_quorum_is_lost(const struct raft *r, struct mono now);
struct mono raft_vote_quorum_until(const struct raft *r,
                                   struct mono now); /* leader: as it stands */

/* raft_append.c */
enum err raft_append_recv(struct raft *r, const struct raft_msg *m) MUST_CHECK;
enum err raft_append_answered(struct raft *r, const struct raft_msg *m, struct mono now) MUST_CHECK;
void raft_append_count(
    struct raft *r); /* leader: what is on a majority's disks is committed (F4) */
void raft_append_send(struct raft *r,
                      struct mono now); /* leader: whatever may go to whomever, at a step's end */
void raft_append_say_answer(struct raft *r); /* follower: how far it is */

/* raft_snapshot.c */
enum err raft_snapshot_recv(struct raft *r, const struct raft_msg *m) MUST_CHECK;
enum err raft_snapshot_answered(struct raft *r, const struct raft_msg *m,
                                struct mono now) MUST_CHECK;
void raft_snapshot_say(struct raft *r, struct raft_member *m,
                       struct mono now); /* the next chunk, or a heartbeat */
void raft_snapshot_taken(struct raft *r, uint64_t index, struct slice bytes);
void raft_snapshot_stored(struct raft *r); /* the own one */
enum err raft_kept_set(struct raft_kept *k, const struct raft_snapshot *s) MUST_CHECK; /* a copy */

static inline int64_t raft_beat_us(const struct raft *r)
{
    return r->beat_t / 20;
}

static inline bool raft_is_self(const struct raft *r, const struct raft_peer *p)
{
    return raft_peer_equal(&r->self, p);
}

#endif

/* SPDX-License-Identifier: BSD-3-Clause */

/* Consensus and the disk: what raft wants stored, what it lets be applied, and who this node is.
 *
 * Two files' worth of operations, each one at a time: the node's own file (persist/node_file) and
 * the controller's log (persist/raft_file). A failure of either is final (replication 28): without
 * them a node could vote twice in a term, or begin a run twice. */
#include <stdio.h>

#include "base/check.h"
#include "base/mem.h"
#include "control/inside.h"
#include "control/recover.h"
#include "wire/wire_map.h"
#include "wire/wire_raft.h"

/* Of log that a snapshot makes superfluous: then one is taken. */
enum { SNAPSHOT_WASTE_BYTES = 1024 * 1024 };

/* ---------------------------------------------------------------- one step of raft */

static void send(struct control *c, const struct raft_out *out)
{
    for (size_t i = 0; i < out->msgs_n; i++) {
        struct chain *to = contact_to_id(c, &out->msgs[i].to.node);
        if (to != NULL)
            put_raft(to, &out->msgs[i]);
    }
}

static void restore(struct control *c, const struct raft_snapshot *s)
{
    struct map m;
    char why[WIRE_WHY_BYTES];
    map_init(&m);
    enum err bad = get_map(s->bytes, s->index, &m, why);
    check(bad == ERR_OK); /* C10 */
    follow_whole(c, s->index, &s->voters, &m);
    map_free(&m);
}

static enum err snapshot_readable(struct slice bytes, uint64_t index, char *why)
{
    struct map m;
    map_init(&m);
    enum err e = get_map(bytes, index, &m, why);
    map_free(&m);
    return e;
}

enum err keep_readable(const struct control *c, const struct raft_msg *m, char *why)
{
    if (m->type == RAFT_MSG_APPEND)
        for (size_t i = 0; i < m->append.n; i++)
            TRY(follow_readable((uint8_t)m->append.entries[i].type, m->append.entries[i].bytes,
                                why));
    size_t n;
    char *whole = m->type == RAFT_MSG_SNAPSHOT ? raft_snapshot_whole(&c->raft, m, &n) : NULL;
    if (whole == NULL)
        return ERR_OK;
    enum err e = snapshot_readable(slice_of(whole, n), m->snapshot.index, why);
    mem_free(whole);
    return e;
}

enum err control_log_wrong(const struct raft_saved *saved, char why[WIRE_WHY_BYTES])
{
    if (saved->snapshot.index > 0)
        TRY(snapshot_readable(saved->snapshot.bytes, saved->snapshot.index, why));
    for (size_t i = 0; i < saved->n; i++)
        TRY(follow_readable((uint8_t)saved->entries[i].type, saved->entries[i].bytes, why));
    return ERR_OK;
}

void keep_raft(struct control *c, struct raft_event *ev, struct keep_fate *fate)
{
    struct raft_out out;
    ev->now = c->now;
    if (c->forgetting) {
        c->raft_wake = MONO_NEVER;
        return;
    }
    if (raft_step(&c->raft, ev, &out) == ERR_CORRUPT)
        log_say(c->log, LOG_LEVEL_WARNING,
                "a message of consensus contradicts what is committed here: not taken");
    if (out.store.token != 0) {
        raft_file_store(&c->file, &out.store);
        c->log_changed = true;
    }
    c->log_changed |= out.voters_changed;
    c->raft_wake = out.wake;
    send(c, &out);
    if (out.restore != NULL)
        restore(c, out.restore);
    for (size_t i = 0; i < out.apply_n; i++)
        follow_entry(c, out.apply_first + i, out.apply[i].term, (uint8_t)out.apply[i].type,
                     out.apply[i].bytes);
    if (fate != NULL)
        *fate = (struct keep_fate){out.refused, out.proposed};
}

/* A leader may have told this node alone of entries, as whom it would have as a voter, and was lost
 * (C13). */
void keep_committed(struct control *c, uint64_t index, uint64_t term)
{
    uint64_t last = raft_log_last(&c->raft.log);
    if (index > last)
        return;
    keep_raft(c, &(struct raft_event){.type = RAFT_COMMITTED, .committed = {index, term}}, NULL);
    if (raft_log_last(&c->raft.log) == last)
        return;
    c->log_changed = true;
    log_say(c->log, LOG_LEVEL_NOTICE,
            "map %llu: what this node's own log has from there on was never committed, and is "
            "dropped",
            (unsigned long long)index);
}

/* ---------------------------------------------------------------- proposals of the leader */

bool keep_propose(struct control *c, struct slice entry, uint64_t *index, char *why)
{
    struct raft_event ev = {.type = RAFT_PROPOSE, .bytes = entry};
    struct keep_fate fate = {.refused = RAFT_NOT_LEADER};
    keep_raft(c, &ev, &fate);
    if (fate.refused != RAFT_ACCEPTED) {
        snprintf(why, WIRE_WHY_BYTES, "%s", raft_refusal_text(fate.refused));
        return false;
    }
    *index = fate.index;
    return true;
}

bool keep_propose_entry(struct control *c, const struct map_entry *e, uint64_t *index, char *why)
{
    size_t n;
    char *flat = map_entry_flat(e, &n);
    bool taken = keep_propose(c, slice_of(flat, n), index, why);
    mem_free(flat);
    return taken;
}

void keep_voters(struct control *c, const struct raft_voters *v)
{
    struct keep_fate fate = {.refused = RAFT_NOT_LEADER};
    keep_raft(c, &(struct raft_event){.type = RAFT_VOTERS, .voters = v}, &fate);
    if (fate.refused == RAFT_ACCEPTED)
        log_say(c->log, LOG_LEVEL_NOTICE, "the controller is to have %zu voters", v->n);
    else /* mostly RAFT_TOO_SOON: an earlier change is under way */
        c->steward.voters_due = mono_after(c->now, control_timeout_us(c) / 10);
}

void keep_learner(struct control *c, const struct raft_peer *p)
{
    if (raft_peer_equal(p, &c->steward.learner))
        return;
    c->steward.learner = *p;
    keep_raft(c,
              &(struct raft_event){.type = RAFT_LEARNERS,
                                   .learners = {p, raft_peer_is_nobody(p) ? 0 : 1}},
              NULL);
}

static void take_snapshot(struct control *c)
{
    struct chain bytes = {0};
    if (c->forgetting || c->raft.applied != c->map.index ||
        raft_log_waste(&c->raft) < SNAPSHOT_WASTE_BYTES)
        return;
    put_map(&bytes, &c->map);
    size_t n;
    char *flat = chain_flat(&bytes, NULL, &n);
    keep_raft(c,
              &(struct raft_event){.type = RAFT_TAKEN, .taken = {c->map.index, slice_of(flat, n)}},
              NULL);
    mem_free(flat);
}

/* ---------------------------------------------------------------- founding and forgetting */

void keep_found(struct control *c, const struct map_entry *e)
{
    keep_raft(c, &(struct raft_event){.type = RAFT_FOUND}, NULL);
    c->founding = map_entry_copy(e);
}

/* The first entry follows as soon as this node leads. */
static void found(struct control *c)
{
    char why[WIRE_WHY_BYTES];
    uint64_t index;
    if (c->founding == NULL || c->raft.role != RAFT_LEADER ||
        !keep_propose_entry(c, c->founding, &index, why))
        return;
    map_entry_free(c->founding);
    c->founding = NULL;
}

static void raft_anew(struct control *c, const struct raft_saved *saved)
{
    struct raft_peer self = {c->identity.node, c->identity.voter};
    enum err bad =
        raft_init(&c->raft, &self, rng_next(&c->rng), control_timeout_us(c), c->now, saved);
    check(bad == ERR_OK); /* raft_file_load has read it */
    c->raft_wake = c->now;
}

void keep_forget(struct control *c)
{
    c->forgetting = true;
    c->identity.in_cluster = false;
    c->identity_changed = true;
    vec_clear(&c->identity.peers);
    follow_forget(c);
    contacts_unfollowed(c);
    control_member_anew(c);
}

/* First the node's file says that it is in no cluster; a start that finds a log
 * nevertheless drops it. */
static void forget(struct control *c)
{
    if (!c->forgetting || c->identity_changed || !steps_idle(&c->steps) ||
        !raft_file_is_idle(&c->file))
        return;
    if (!raft_file_is_empty(&c->file)) {
        raft_file_forget(&c->file);
        return;
    }
    raft_free(&c->raft);
    raft_anew(c, NULL);
    c->forgetting = false;
}

/* An operator has begun a new group (replication 18): what this node's own log says, leads or votes
 * counts no more. */
void keep_leave_group(struct control *c)
{
    if (c->forgetting || c->raft.voters.n == 0 ||
        recover_group(raft_log_last(&c->raft.log)) == recover_group(c->map.index))
        return;
    log_say(c->log, LOG_LEVEL_WARNING,
            "map %llu: the controller was begun anew by an operator; the log of the former one is "
            "dropped here",
            (unsigned long long)c->map.index);
    raft_free(&c->raft);
    raft_anew(c, NULL);
    c->forgetting = true;
    forget(c);
}

/* ---------------------------------------------------------------- the disk */

void keep_begin(struct control *c, const struct raft_loaded *loaded)
{
    raft_file_init(&c->file, loaded);
    raft_anew(c, loaded->is_empty ? NULL : &loaded->saved);
    c->forgetting = !c->identity.in_cluster && !loaded->is_empty; /* a crash came between the two */
}

void keep_restore(struct control *c)
{
    if (c->raft.snapshot.is.index > 0)
        restore(c, &c->raft.snapshot.is);
}

void keep_peers(struct control *c)
{
    if (c->standing != STANDING_IN || c->map.index == 0)
        return;
    size_t n = 0;
    bool news = false;
    for (uint16_t i = 0; i < c->map.nodes.n && n < IDENTITY_PEERS; i++) {
        const struct map_node *m = &c->map.nodes.at[i];
        if (!m->used || m->at.ip[0] == '\0' || node_id_equal(&m->id, &c->identity.node))
            continue;
        if (n == c->identity.peers.n)
            *vec_add(&c->identity.peers) = (struct identity_peer){.cluster_port = 0};
        struct identity_peer *p = &c->identity.peers.at[n++];
        news |= strcmp(p->ip, m->at.ip) != 0 || p->cluster_port != m->at.cluster_port;
        memcpy(p->ip, m->at.ip, sizeof(p->ip));
        p->cluster_port = m->at.cluster_port;
    }
    news |= n < c->identity.peers.n;
    c->identity.peers.n = n;
    c->identity_changed |= news; /* in a large cluster most that come and go are none of these */
}

static void fail(struct control *c, const char *what, int system_errno)
{
    if (!c->out->failed)
        log_say(c->log, LOG_LEVEL_WARNING,
                "%s: %s (errno %d): this node can keep no promise to the others any more, and ends",
                what, strerror(system_errno), system_errno);
    c->out->failed = true;
}

void keep_stored(struct control *c, struct disk_done *done)
{
    char text[DISK_NAME_BYTES + 64];
    int system_errno;
    if (disk_asker(done->token) == ASKER_RAFT) {
        raft_file_done(&c->file, done);
        forget(c);
        if (raft_file_failed(&c->file, text, sizeof(text), &system_errno) != NULL) {
            fail(c, text, system_errno);
            return;
        }
        if (!c->forgetting)
            keep_raft(
                c, &(struct raft_event){.type = RAFT_STORED, .token = raft_file_stored(&c->file)},
                NULL);
        return;
    }
    steps_done(&c->steps, done);
    forget(c);
    check(c->standing != STANDING_JOINED || !c->forgetting); /* it asks seeds only then (C12) */
    if (c->steps.failed != NULL) {
        snprintf(text, sizeof(text), "%s of %s failed", c->steps.failed, c->steps.failed_name);
        fail(c, text, c->steps.system_errno);
    } else if (keep_is_ready(c)) {
        c->want_due = c->now; /* what is on disk may be said */
        form_joined_stored(c);
    }
}

bool keep_is_ready(const struct control *c)
{
    return !c->identity_changed && steps_idle(&c->steps) && !c->forgetting;
}

void keep_disk(struct control *c)
{
    found(c);
    take_snapshot(c);
    if (c->identity_changed && steps_idle(&c->steps)) {
        identity_store(&c->steps, c->config.node_file, &c->identity);
        c->identity_changed = false;
    }
    steps_run(&c->steps, &c->out->disk);
    raft_file_run(&c->file, &c->out->disk);
}

void keep_free(struct control *c)
{
    map_entry_free(c->founding);
    steps_free(&c->steps);
    raft_file_free(&c->file);
}

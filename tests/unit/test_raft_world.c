/* SPDX-License-Identifier: BSD-3-Clause */

/* A group of rafts in a bad world, under a seed: messages are lost, repeated, late and out of order, links
 * are cut, nodes crash and lose what was not synced, voters come and go, snapshots are taken. Messages
 * go through wire_raft, the log through raft_file and a false disk. After every step the safety of the
 * dissertation's figure 3.2 is checked; then trouble ends, and progress is asked for.
 *
 * It must be able to fail: each `break` switches off one rule at the border of the room, and some seed
 * must notice. */
#define FD_FILES 1024
#include <stdio.h>

#include "base/bounds.h"
#include "base/hash.h"
#include "core/raft/raft_parts.h"
#include "persist/raft_file.h"
#include "tests/lib/false_disk.h"
#include "tests/lib/unit.h"
#include "wire/wire_raft.h"

enum { NODES = 6, MS = 1000, T = 200 * MS, TROUBLE = 30 * T, CALM = 40 * T, ENTRIES = 1 << 14, TERMS = 1 << 12 };
enum { SEEDS = SPARE(200), BREAK_SEEDS = 1000 };

enum breakage {
    BREAK_NONE,
    BREAK_STORED_EARLY,   /* F3: what is asked to be stored counts at once, and a crash loses it */
    BREAK_VOTE_FORGOTTEN, /* F1: a node votes twice in a term */
    BREAK_LOG_NOT_COMPARED, /* 3.6.1: a candidate's log counts as the newest there is */
    BREAK_PREV_NOT_COMPARED, /* F2: what stands before an APPEND's entries is not looked at */
    BREAK_OLD_TERM_COUNTED, /* F4: entries of older terms are committed by counting */
    BREAK_VOTERS_AT_ONCE,   /* F6: a change of voters before the last one is committed */
    BREAKS
};

struct mail {
    int64_t due;
    unsigned to;
    char *p;
    size_t n;
};

struct asked_op {
    int64_t due;
    struct disk_op op;
};

struct world_node {
    bool is_up;
    struct raft_peer self;
    struct raft r;
    struct raft_file file;
    struct false_disk disk;
    VEC(struct asked_op) ops;
    int64_t wake;
    uint64_t told_token;
    uint64_t applied, state; /* the state machine: a hash over all it applied */
    uint8_t data;            /* how often its log was lost for good */
};

struct decided { /* what the group has agreed upon, as seen first */
    uint64_t term, state, seen_in;
    uint32_t crc;
};

struct world {
    struct rng rng;
    struct mono now;
    enum breakage broken;
    struct world_node node[NODES];
    bool cut[NODES][NODES];
    VEC(struct mail) mail;
    unsigned loss, twice, late; /* of 1000 messages; troubles of this seed */
    unsigned often;             /* a trouble after so many of 1000 pauses */
    int64_t disk_us;            /* an operation of a disk takes so long at most */
    bool only_first, pieces, crashes, changes, snapshots, hearsay, calm;
    const char *wrong;          /* the first violation */
    unsigned leaders[TERMS];    /* node + 1 */
    struct { unsigned to; } votes[NODES][TERMS]; /* node's vote per term: candidate + 1 */
    struct decided decided[ENTRIES];
    uint64_t decided_n;
    struct { uint64_t term, before; uint32_t crc; } made[ENTRIES][4]; /* entries by index and term: a few terms each */
    size_t steps, elections, restarts, restored, voter_changes, commands, heard, dropped;
};

static const char not_loaded[] = "what a crash left cannot be loaded";

static void violated(struct world *w, const char *what)
{
    if (w->wrong == NULL)
        w->wrong = what;
}

static bool chance(struct world *w, unsigned of_1000)
{
    return rng_below(&w->rng, 1000) < of_1000;
}

static uint64_t fold(uint64_t state, const struct raft_entry *e)
{
    char b[17];
    memcpy(b, &state, 8);
    memcpy(b + 8, &e->term, 8);
    b[16] = (char)e->type;
    return crc64(crc64(0, slice_of(b, sizeof(b))), e->bytes);
}

/* ------------------------------------------------------------------------- what must hold */

/* Equal index and term: equal entry, and an equal one before it. */
static void check_made(struct world *w, const struct raft *r, uint64_t index)
{
    const struct raft_entry *e = raft_log_at(&r->log, index);
    uint64_t before;
    check(raft_log_term(&r->log, index - 1, &before));
    uint32_t crc = crc32c((uint32_t)e->type, e->bytes);
    for (size_t i = 0; i < 4; i++) {
        if (w->made[index][i].term == 0) {
            w->made[index][i].term = e->term;
            w->made[index][i].before = before;
            w->made[index][i].crc = crc;
            return;
        }
        if (w->made[index][i].term != e->term)
            continue;
        if (w->made[index][i].crc != crc || w->made[index][i].before != before)
            violated(w, "log matching (F2)");
        return;
    }
}

static void check_applied(struct world *w, struct world_node *n, const struct raft_out *out)
{
    for (size_t i = 0; i < out->apply_n; i++) {
        const struct raft_entry *e = &out->apply[i];
        uint64_t index = out->apply_first + i;
        check(index == n->applied + 1 && index < ENTRIES);
        n->state = fold(n->state, e);
        n->applied = index;
        struct decided *d = &w->decided[index];
        if (index > w->decided_n) {
            *d = (struct decided){e->term, n->state, n->r.term, crc32c(0, e->bytes)};
            w->decided_n = index;
            w->commands += e->type == RAFT_ENTRY_OWNER;
        }
        if (d->term != e->term || d->crc != crc32c(0, e->bytes) || d->state != n->state)
            violated(w, "state machine safety");
    }
}

static void check_leader(struct world *w, unsigned i)
{
    const struct raft *r = &w->node[i].r;
    check(r->term < TERMS);
    if (w->leaders[r->term] != 0 && w->leaders[r->term] != i + 1)
        violated(w, "election safety (F1)");
    if (w->leaders[r->term] == i + 1)
        return;
    w->leaders[r->term] = i + 1;
    w->elections++;
    for (uint64_t at = r->log.first; at <= w->decided_n; at++) {
        if (w->decided[at].seen_in >= r->term)
            continue; /* a leader of an older term, late */
        if (at > raft_log_last(&r->log) || raft_log_at(&r->log, at)->term != w->decided[at].term)
            violated(w, "leader completeness");
    }
}

static void check_vote(struct world *w, unsigned i, const struct raft_msg *m)
{
    if (m->type != RAFT_MSG_VOTE_ANSWER || !m->vote_answer.granted)
        return;
    unsigned to = m->to.node.b[19] + 1u;
    check(m->term < TERMS);
    if (w->votes[i][m->term].to != 0 && w->votes[i][m->term].to != to)
        violated(w, "one vote a term (F1)");
    w->votes[i][m->term].to = to;
}

/* ------------------------------------------------------------------------- the net */

static void post(struct world *w, unsigned to, const struct raft_msg *m)
{
    struct chain c = {0};
    put_raft(&c, m);
    struct mail *mail = vec_add(&w->mail);
    int64_t delay = MS / 5 + (int64_t)rng_below(&w->rng, MS);
    if (!w->calm && chance(w, w->late))
        delay += (int64_t)rng_below(&w->rng, T);
    *mail = (struct mail){.due = w->now.us + delay, .to = to, .n = c.n, .p = malloc(c.n + 1)};
    chain_copy(&c, mail->p, c.n);
    chain_free(&c, NULL);
}

static void send(struct world *w, unsigned from, const struct raft_msg *m)
{
    unsigned to = m->to.node.b[19];
    check_vote(w, from, m);
    if (w->cut[from][to] || (!w->calm && chance(w, w->loss)))
        return;
    post(w, to, m);
    if (!w->calm && chance(w, w->twice))
        post(w, to, m);
}

/* ------------------------------------------------------------------------- a node */

static void ask_disk(struct world *w, unsigned i)
{
    struct world_node *n = &w->node[i];
    struct disk_ops ops = {0};
    raft_file_run(&n->file, &ops);
    for (size_t k = 0; k < ops.n; k++)
        *vec_add(&n->ops) = (struct asked_op){w->now.us + (int64_t)rng_below(&w->rng, (uint64_t)w->disk_us), ops.at[k]};
    vec_free(&ops);
}

static void step(struct world *w, unsigned i, struct raft_event ev);

/* Breaks are made here, at the border: the room itself has no switch. */
static void break_before(struct world *w, struct world_node *n, const struct raft_event *ev, struct raft_msg *m)
{
    uint64_t ours;
    if (ev->type == RAFT_VOTERS && w->broken == BREAK_VOTERS_AT_ONCE)
        n->r.voters_index = n->r.noop = 0;
    if (ev->type != RAFT_RECV)
        return;
    bool asks = m->type == RAFT_MSG_PREVOTE || m->type == RAFT_MSG_VOTE;
    if (asks && w->broken == BREAK_LOG_NOT_COMPARED)
        m->vote.last_term = UINT64_MAX;
    if (asks && w->broken == BREAK_VOTE_FORGOTTEN && n->r.role == RAFT_FOLLOWER)
        n->r.vote = (struct raft_peer){0};
    if (m->type == RAFT_MSG_APPEND && w->broken == BREAK_PREV_NOT_COMPARED && m->append.prev_index > n->r.commit &&
        raft_log_term(&n->r.log, m->append.prev_index, &ours) && ours <= m->append.prev_term)
        m->append.prev_term = ours;
}

static void break_after(struct world *w, struct world_node *n)
{
    if (w->broken != BREAK_OLD_TERM_COUNTED || n->r.role != RAFT_LEADER)
        return;
    int64_t match[RAFT_VOTERS_MAX];
    size_t voters = 0;
    if (raft_is_voter(&n->r))
        match[voters++] = (int64_t)n->r.stored;
    for (size_t k = 0; k < n->r.members.n; k++)
        if (n->r.members.at[k].is_voter)
            match[voters++] = (int64_t)n->r.members.at[k].progress.match;
    raft_commit_to(&n->r, (uint64_t)raft_quorum_reached(match, voters));
}

static void take_out(struct world *w, unsigned i, const struct raft_out *out)
{
    struct world_node *n = &w->node[i];
    if (out->store.token != 0)
        raft_file_store(&n->file, &out->store);
    for (size_t k = 0; k < out->store.n; k++)
        check_made(w, &n->r, out->store.first + k);
    if (out->restore != NULL) {
        check(out->restore->bytes.n >= 8);
        memcpy(&n->state, out->restore->bytes.p, 8);
        n->applied = out->restore->index;
        w->restored++;
        if (n->applied > w->decided_n || w->decided[n->applied].state != n->state)
            violated(w, "state machine safety, of a snapshot");
    }
    check_applied(w, n, out);
    for (size_t k = 0; k < out->msgs_n; k++)
        send(w, i, &out->msgs[k]);
    n->wake = out->wake.us;
}

static void step(struct world *w, unsigned i, struct raft_event ev)
{
    struct world_node *n = &w->node[i];
    struct raft_msg m;
    struct raft_out out;
    ev.now = w->now;
    if (ev.type == RAFT_RECV) {
        m = *ev.msg;
        ev.msg = &m;
    }
    break_before(w, n, &ev, &m);
    enum err e = raft_step(&n->r, &ev, &out);
    w->steps++;
    if (w->broken == BREAK_VOTERS_AT_ONCE)
        raft_voters_refresh(&n->r); /* what break_before took away, where nothing came of it */
    if (e != ERR_OK)
        violated(w, "a message contradicts what is committed (F5)");
    else
        raft_check(&n->r);
    take_out(w, i, &out);
    if (n->r.role == RAFT_LEADER)
        check_leader(w, i);
    break_after(w, n);
    ask_disk(w, i);
    if (w->broken == BREAK_STORED_EARLY && out.store.token != 0 && w->wrong == NULL)
        step(w, i, (struct raft_event){.type = RAFT_STORED, .token = out.store.token});
}

static struct raft_peer self_of(unsigned i, uint8_t data)
{
    struct raft_peer p = {0};
    p.node.b[0] = 1;
    p.node.b[19] = (uint8_t)i;
    p.data.b[0] = data;
    return p;
}

static void start(struct world *w, unsigned i)
{
    struct world_node *n = &w->node[i];
    struct raft_found found[FD_NAMES];
    for (size_t k = 0; k < n->disk.names.n; k++) {
        const char *name = n->disk.names.at[k].name;
        found[k] = (struct raft_found){slice_str(name + sizeof(RAFT_DIR)), fd_bytes(&n->disk, name)};
    }
    struct raft_loaded l;
    if (raft_file_load(&l, found, n->disk.names.n) != ERR_OK) {
        if (w->broken == BREAK_NONE)
            printf("# %s\n", l.text);
        violated(w, not_loaded);
    } else {
        n->self = self_of(i, n->data);
        check(raft_init(&n->r, &n->self, rng_next(&w->rng), T, w->now, &l.saved) == ERR_OK);
        raft_file_init(&n->file, &l);
        n->applied = l.saved.snapshot.index;
        n->state = 0;
        if (n->applied > 0)
            memcpy(&n->state, l.saved.snapshot.bytes.p, 8);
        n->told_token = 0;
        n->is_up = true;
        n->wake = w->now.us;
    }
    raft_loaded_free(&l);
    if (n->is_up)
        ask_disk(w, i);
}

static void stop(struct world *w, unsigned i)
{
    struct world_node *n = &w->node[i];
    raft_free(&n->r);
    raft_file_free(&n->file);
    for (size_t k = 0; k < n->ops.n; k++) {
        chain_free(&n->ops.at[k].op.bytes, NULL);
        mem_free(n->ops.at[k].op.names);
    }
    n->ops.n = 0;
    n->is_up = false;
}

static void crash(struct world *w, unsigned i)
{
    stop(w, i);
    fd_crash(&w->node[i].disk, &w->rng);
    w->restarts++;
}

static void perform(struct world *w, unsigned i)
{
    struct world_node *n = &w->node[i];
    struct disk_op op = n->ops.at[0].op;
    memmove(n->ops.at, n->ops.at + 1, --n->ops.n * sizeof(*n->ops.at));
    struct disk_done done = fd_perform(&n->disk, &op);
    raft_file_done(&n->file, &done);
    if (raft_file_stored(&n->file) > n->told_token && w->broken != BREAK_STORED_EARLY) {
        n->told_token = raft_file_stored(&n->file);
        step(w, i, (struct raft_event){.type = RAFT_STORED, .token = n->told_token});
    } else {
        ask_disk(w, i);
    }
}

static void deliver(struct world *w, struct mail mail)
{
    struct wire_reader reader = {.from = WIRE_ANSWERS, .open = true};
    struct wire_in in;
    struct raft_msg m;
    size_t used;
    check(wire_next(&reader, slice_of(mail.p, mail.n), &in, &used) == WIRE_FRAME && used == mail.n);
    check(get_raft(&in, &m) == ERR_OK);
    if (m.type == RAFT_MSG_APPEND && m.append.n > 1 && w->pieces && !w->calm)
        m.append.n = w->only_first ? 1 : 1 + rng_below(&w->rng, m.append.n); /* as of a leader with smaller messages */
    if (w->node[mail.to].is_up && !w->cut[m.from.node.b[19]][mail.to])
        step(w, mail.to, (struct raft_event){.type = RAFT_RECV, .msg = &m});
    free_raft(&m);
    wire_reader_free(&reader);
    free(mail.p);
}

/* ------------------------------------------------------------------------- trouble and work */

static int leader_of(const struct world *w)
{
    int best = -1;
    for (unsigned i = 0; i < NODES; i++)
        if (w->node[i].is_up && w->node[i].r.role == RAFT_LEADER &&
            (best < 0 || w->node[i].r.term > w->node[best].r.term))
            best = (int)i;
    return best;
}

static void propose(struct world *w)
{
    static char bytes[RAFT_KEEP_BYTES / 2];
    int i = leader_of(w);
    if (i < 0 || w->decided_n > ENTRIES - 1000)
        return;
    uint64_t id = rng_next(&w->rng);
    memcpy(bytes, &id, sizeof(id));
    size_t most = w->snapshots && chance(w, 30) ? sizeof(bytes) : 200; /* a few that make the log long */
    step(w, (unsigned)i, (struct raft_event){.type = RAFT_PROPOSE,
                                             .bytes = slice_of(bytes, 8 + rng_below(&w->rng, most - 8))});
}

static void learners(struct world *w)
{
    int i = leader_of(w);
    struct raft_peer all[NODES];
    if (i < 0)
        return;
    for (unsigned k = 0; k < NODES; k++)
        all[k] = self_of(k, w->node[k].data);
    step(w, (unsigned)i, (struct raft_event){.type = RAFT_LEARNERS, .learners = {all, NODES}});
}

static void change_voters(struct world *w)
{
    int i = leader_of(w);
    if (i < 0)
        return;
    struct raft_voters v = w->node[i].r.voters;
    unsigned k = (unsigned)rng_below(&w->rng, NODES);
    struct raft_peer p = self_of(k, w->node[k].data);
    size_t at = 0;
    while (at < v.n && !raft_peer_equal(&v.at[at], &p))
        at++;
    if (at < v.n && v.n > 1)
        v.at[at] = v.at[--v.n];
    else if (at == v.n && v.n < 5)
        v.at[v.n++] = p;
    else
        return;
    step(w, (unsigned)i, (struct raft_event){.type = RAFT_VOTERS, .voters = &v});
    w->voter_changes += w->node[i].r.out.refused == RAFT_ACCEPTED;
}

static void take_snapshot(struct world *w)
{
    unsigned i = (unsigned)rng_below(&w->rng, NODES);
    struct world_node *n = &w->node[i];
    if (!n->is_up || n->applied <= n->r.snapshot.is.index)
        return;
    static char bytes[100 * 1024];
    size_t size = 8 + rng_below(&w->rng, sizeof(bytes) - 8);
    memset(bytes, (int)rng_below(&w->rng, 256), size);
    memcpy(bytes, &n->state, 8);
    step(w, i, (struct raft_event){.type = RAFT_TAKEN, .taken = {n->applied, slice_of(bytes, size)}});
}

/* A node hears what is committed from another than its leader, or while it has none. */
static void hear(struct world *w)
{
    unsigned i = (unsigned)rng_below(&w->rng, NODES);
    const struct raft *r = &w->node[i].r;
    uint64_t last = w->node[i].is_up ? raft_log_last(&r->log) : 0;
    last = last < w->decided_n ? last : w->decided_n;
    if (!w->node[i].is_up || last <= r->commit)
        return;
    uint64_t index = r->commit + 1 + rng_below(&w->rng, last - r->commit), before = raft_log_last(&r->log);
    step(w, i, (struct raft_event){.type = RAFT_COMMITTED, .committed = {index, w->decided[index].term}});
    w->heard++;
    w->dropped += raft_log_last(&r->log) < before;
}

/* A node whose log is gone comes back as another one: only where no voter set anywhere names it. */
static void lose_log(struct world *w)
{
    unsigned i = (unsigned)rng_below(&w->rng, NODES);
    if (!w->node[i].is_up)
        return;
    for (unsigned k = 0; k < NODES; k++)
        if (!w->node[k].is_up || w->node[k].r.commit < w->node[k].r.voters_index || raft_voters_has(&w->node[k].r.voters, &w->node[i].self) ||
            raft_voters_has(&w->node[k].r.snapshot.is.voters, &w->node[i].self))
            return;
    stop(w, i);
    fd_free(&w->node[i].disk);
    w->node[i].disk = (struct false_disk){.space = SIZE_MAX};
    w->node[i].data++;
    memset(w->votes[i], 0, sizeof(w->votes[i]));
    start(w, i);
}

static void cut_links(struct world *w)
{
    bool heal = chance(w, 500), one_way = chance(w, 300);
    unsigned side = (unsigned)rng_below(&w->rng, 1u << NODES);
    for (unsigned a = 0; a < NODES; a++)
        for (unsigned b = 0; b < NODES; b++)
            w->cut[a][b] = !heal && (one_way ? (side >> a & 1) < (side >> b & 1) : (side >> a & 1) != (side >> b & 1));
}

static void trouble(struct world *w)
{
    unsigned i = (unsigned)rng_below(&w->rng, NODES);
    switch (rng_below(&w->rng, 7)) {
    case 0: cut_links(w); break;
    case 1:
        if (leader_of(w) >= 0 && chance(w, 500))
            i = (unsigned)leader_of(w);
        if (w->crashes && w->node[i].is_up)
            crash(w, i);
        break;
    case 2:
    case 3:
        if (!w->node[i].is_up)
            start(w, i);
        break;
    case 4:
        for (unsigned k = 0; w->crashes && k < NODES; k++) /* a power cut */
            if (w->node[k].is_up && chance(w, 800))
                crash(w, k);
        break;
    case 5:
        if (w->changes && leader_of(w) >= 0)
            step(w, (unsigned)leader_of(w), (struct raft_event){.type = RAFT_TRANSFER});
        break;
    default:
        if (w->changes)
            lose_log(w);
    }
}

static void work(struct world *w)
{
    for (uint64_t n = rng_below(&w->rng, 4); n > 0; n--)
        propose(w);
    if (chance(w, 200))
        learners(w);
    if (w->changes && chance(w, w->broken == BREAK_VOTERS_AT_ONCE ? 800 : 150))
        change_voters(w);
    if (w->hearsay)
        hear(w);
    if (w->snapshots && chance(w, 250))
        take_snapshot(w);
}

/* ------------------------------------------------------------------------- time */

/* The next thing that is due before `until`; false: nothing. */
static bool next(struct world *w, int64_t until)
{
    int64_t due = until;
    size_t mail = SIZE_MAX;
    int waking = -1, writing = -1;
    for (size_t i = 0; i < w->mail.n; i++)
        if (w->mail.at[i].due < due) {
            due = w->mail.at[i].due;
            mail = i;
        }
    for (unsigned i = 0; i < NODES; i++) {
        struct world_node *n = &w->node[i];
        if (n->is_up && n->wake < due) {
            due = n->wake;
            waking = (int)i;
        }
        if (n->is_up && n->ops.n > 0 && n->ops.at[0].due < due) {
            due = n->ops.at[0].due;
            writing = (int)i;
            waking = -1;
        }
    }
    if (due == until)
        return false;
    if (due > w->now.us)
        w->now.us = due;
    if (writing >= 0 && waking < 0) {
        perform(w, (unsigned)writing);
    } else if (waking >= 0) {
        step(w, (unsigned)waking, (struct raft_event){.type = RAFT_DUE});
    } else {
        struct mail m = w->mail.at[mail];
        w->mail.at[mail] = w->mail.at[--w->mail.n];
        deliver(w, m);
    }
    return true;
}

static void pass(struct world *w, int64_t us)
{
    int64_t until = w->now.us + us;
    while (w->wrong == NULL && next(w, until)) {
    }
    w->now.us = until;
}

static void found_group(struct world *w)
{
    for (unsigned i = 0; i < NODES; i++) {
        w->node[i].disk.space = SIZE_MAX;
        start(w, i);
    }
    step(w, 0, (struct raft_event){.type = RAFT_FOUND});
    pass(w, T);
    learners(w);
    for (unsigned n = 2; n <= 3 + rng_below(&w->rng, 2) * 2; n++) {
        struct raft_voters v = {0};
        for (unsigned k = 0; k < n; k++)
            v.at[v.n++] = self_of(k, 0);
        step(w, 0, (struct raft_event){.type = RAFT_VOTERS, .voters = &v});
        pass(w, T / 4);
    }
}

/* Trouble is over: a leader is found, what is proposed is applied by all, and all states are equal. */
static void ask_progress(struct world *w)
{
    w->calm = true;
    memset(w->cut, 0, sizeof(w->cut));
    for (unsigned i = 0; i < NODES; i++)
        if (!w->node[i].is_up && w->wrong == NULL)
            start(w, i);
    int64_t end = w->now.us + CALM;
    uint64_t want = 0;
    while (w->wrong == NULL && w->now.us < end) {
        pass(w, T / 4);
        learners(w);
        int l = leader_of(w);
        if (l >= 0 && want == 0 && w->now.us > end - CALM / 2) {
            propose(w);
            want = raft_log_last(&w->node[l].r.log);
        }
    }
    for (unsigned i = 0; w->wrong == NULL && i < NODES; i++)
        if (want == 0 || w->node[i].applied < want || w->node[i].state != w->decided[w->node[i].applied].state)
            violated(w, "progress: not everybody has applied what was proposed in calm");
}

static void world_free(struct world *w)
{
    for (unsigned i = 0; i < NODES; i++) {
        if (w->node[i].is_up)
            stop(w, i);
        vec_free(&w->node[i].ops);
        fd_free(&w->node[i].disk);
    }
    for (size_t i = 0; i < w->mail.n; i++)
        free(w->mail.at[i].p);
    vec_free(&w->mail);
    free(w);
}

static struct world *new_world(uint64_t seed, enum breakage broken)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->broken = broken;
    rng_seed(&w->rng, seed);
    w->now = (struct mono){T};
    w->disk_us = 2 * MS;
    return w;
}

static struct world *run(uint64_t seed, enum breakage broken)
{
    struct world *w = new_world(seed, broken);
    bool all = broken != BREAK_NONE;
    w->loss = chance(w, 600) ? 100 : 0;
    w->twice = chance(w, 500) ? 100 : 0;
    w->late = chance(w, 500) || all ? 200 : 0;
    w->pieces = chance(w, 500) || all;
    w->crashes = chance(w, 700) || all;
    w->changes = chance(w, 600) || all;
    w->snapshots = chance(w, 600);
    w->hearsay = !all && seed % 2 == 0;
    w->often = chance(w, 500) ? 150 : 500;
    found_group(w);
    int64_t end = w->now.us + TROUBLE;
    while (w->wrong == NULL && w->now.us < end) {
        pass(w, (int64_t)rng_below(&w->rng, T / 4));
        if (w->wrong == NULL)
            work(w);
        if (w->wrong == NULL && chance(w, w->often))
            trouble(w);
    }
    if (w->wrong == NULL && broken == BREAK_NONE)
        ask_progress(w);
    return w;
}

static void safe_and_live_under_every_seed(void **state)
{
    (void)state;
    size_t steps = 0, elections = 0, restarts = 0, restored = 0, changes = 0, commands = 0, heard = 0, dropped = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct world *w = run(seed, BREAK_NONE);
        if (w->wrong != NULL)
            fail_msg("seed %llu: %s", (unsigned long long)seed, w->wrong);
        steps += w->steps;
        elections += w->elections;
        restarts += w->restarts;
        restored += w->restored;
        changes += w->voter_changes;
        commands += w->commands;
        heard += w->heard;
        dropped += w->dropped;
        world_free(w);
    }
    printf("# %d seeds: %zu steps, %zu elections, %zu restarts, %zu snapshots installed, %zu changes of voters, %zu commands, "
           "%zu times hearsay, which cut %zu logs\n",
           SEEDS, steps, elections, restarts, restored, changes, commands, heard, dropped);
    assert_true(elections > 2 * SEEDS && restarts > 2 * SEEDS && restored > SEEDS / 8);
    assert_true(changes > 2 * SEEDS && commands > 50 * SEEDS); /* trouble there was, and work */
    assert_true(heard > 2 * SEEDS && dropped > 0);
}

/* The same seed, the same run. */
static void a_seed_repeats_itself(void **state)
{
    (void)state;
    struct world *a = run(7, BREAK_NONE), *b = run(7, BREAK_NONE);
    assert_int_equal(a->steps, b->steps);
    assert_int_equal(a->decided_n, b->decided_n);
    assert_true(a->decided[a->decided_n].state == b->decided[b->decided_n].state);
    world_free(a);
    world_free(b);
}

static void is_noticed(enum breakage broken)
{
    for (uint64_t seed = 1; seed <= BREAK_SEEDS; seed++) {
        struct world *w = run(seed, broken);
        const char *wrong = w->wrong;
        world_free(w);
        if (wrong != NULL && wrong != not_loaded) { /* which may follow, and is not the point */
            printf("# seed %llu: %s\n", (unsigned long long)seed, wrong);
            return;
        }
    }
    fail_msg("not noticed in %d seeds", BREAK_SEEDS);
}

/* ------------------------------------------------------------------------- figure 8 */

static void cut_off(struct world *w, unsigned side) /* a bit per node: those talk to one another alone */
{
    for (unsigned a = 0; a < NODES; a++)
        for (unsigned b = 0; b < NODES; b++)
            w->cut[a][b] = (side >> a & 1) != (side >> b & 1);
}

/* Until one of these leads, which is not `before`; NODES: none does in so long. */
static unsigned await_leader(struct world *w, unsigned among, unsigned before, int64_t us)
{
    int64_t end = w->now.us + us;
    while (w->wrong == NULL && next(w, end))
        for (unsigned i = 0; i < NODES; i++)
            if ((among >> i & 1) != 0 && i != before && w->node[i].is_up && w->node[i].r.role == RAFT_LEADER)
                return i;
    return NODES;
}

/* S1 leads and tells an entry to S2 alone; S5 leads and tells its own to nobody; S1 or S2 leads again and
 * brings the old entry to a majority, but not its own; S5 comes back, and leads if it may. */
static void figure_8(struct world *w)
{
    enum { S1 = 1, S2 = 2, REST = 4 + 8 + 16, ALL = 31 };
    for (unsigned i = 0; i < NODES; i++) {
        w->node[i].disk.space = SIZE_MAX;
        start(w, i);
    }
    step(w, 0, (struct raft_event){.type = RAFT_FOUND});
    pass(w, T);
    for (unsigned n = 2; n <= 5; n++) {
        struct raft_voters v = {0};
        for (unsigned k = 0; k < n; k++)
            v.at[v.n++] = self_of(k, 0);
        step(w, 0, (struct raft_event){.type = RAFT_VOTERS, .voters = &v});
        pass(w, T);
    }
    cut_off(w, S1 + S2);
    propose(w);
    uint64_t old = raft_log_last(&w->node[0].r.log);
    pass(w, T / 10);
    crash(w, 0);
    unsigned s5 = await_leader(w, REST, NODES, 20 * T);
    check(s5 != NODES);
    cut_off(w, 1u << s5);
    pass(w, T / 10);
    crash(w, s5);
    start(w, 0);
    cut_off(w, ALL);
    w->pieces = w->only_first = true;
    unsigned again = await_leader(w, S1 + S2, NODES, 20 * T);
    check(again != NODES);
    for (int i = 0; i < 1000 && w->decided_n < old && w->node[again].r.commit < old; i++)
        if (!next(w, w->now.us + T / 40)) /* sooner than anybody asks again */
            break;
    step(w, again, (struct raft_event){.type = RAFT_DUE}); /* what it takes for committed, it applies */
    crash(w, 0);
    crash(w, 1);
    w->only_first = false;
    start(w, s5);
    cut_off(w, ALL);
    if (await_leader(w, REST, NODES, 20 * T) != NODES)
        pass(w, T);
}

static void old_term_counted_is_noticed(void **state)
{
    (void)state;
    const char *wrong = NULL;
    unsigned noticed[2] = {0, 0}; /* not every seed's leaders come in the order of the figure */
    for (enum breakage broken = BREAK_NONE; broken <= BREAK_OLD_TERM_COUNTED; broken += BREAK_OLD_TERM_COUNTED)
        for (uint64_t seed = 1; seed <= 20; seed++) {
            struct world *w = new_world(seed, broken);
            figure_8(w);
            wrong = w->wrong != NULL ? w->wrong : wrong;
            noticed[broken != BREAK_NONE] += w->wrong != NULL;
            world_free(w);
        }
    printf("# figure 8, %u of 20: %s\n", noticed[1], wrong);
    assert_int_equal(noticed[0], 0);
    assert_true(noticed[1] >= 10);
}

/* ------------------------------------------------------------------------- a slow disk */

/* What a sync takes on a machine whose disk is not its own may be far beyond T. */
static void slow_disks_delay_an_election_and_prevent_none(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct world *w = new_world(seed, BREAK_NONE);
        w->calm = true;
        found_group(w);
        pass(w, T);
        w->disk_us = 6 * T;
        unsigned first = (unsigned)leader_of(w);
        crash(w, first);
        unsigned then = await_leader(w, (1u << NODES) - 1, first, 100 * T);
        if (then == NODES)
            fail_msg("seed %llu: nobody leads", (unsigned long long)seed);
        start(w, first);
        propose(w);
        uint64_t want = raft_log_last(&w->node[then].r.log);
        for (int64_t end = w->now.us + 100 * T; w->decided_n < want && next(w, end);) {
        }
        if (w->wrong != NULL || w->decided_n < want)
            fail_msg("seed %llu: %s", (unsigned long long)seed,
                     w->wrong != NULL ? w->wrong : "nothing is agreed upon");
        world_free(w);
    }
}

static void slow_disk_alone(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct world *w = new_world(seed, BREAK_NONE);
        w->disk_us = 6 * T;
        w->node[0].disk.space = SIZE_MAX;
        start(w, 0);
        step(w, 0, (struct raft_event){.type = RAFT_FOUND});
        if (await_leader(w, 1, NODES, 100 * T) == NODES)
            fail_msg("seed %llu: it does not lead", (unsigned long long)seed);
        world_free(w);
    }
}

#define BREAK_TEST(name, broken)  \
    static void name(void **state) \
    {                              \
        (void)state;               \
        is_noticed(broken);        \
    }
BREAK_TEST(stored_early_is_noticed, BREAK_STORED_EARLY)
BREAK_TEST(vote_forgotten_is_noticed, BREAK_VOTE_FORGOTTEN)
BREAK_TEST(log_not_compared_is_noticed, BREAK_LOG_NOT_COMPARED)
BREAK_TEST(prev_not_compared_is_noticed, BREAK_PREV_NOT_COMPARED)
BREAK_TEST(voters_at_once_is_noticed, BREAK_VOTERS_AT_ONCE)

UNIT_TESTS("raft_world",
           TEST(safe_and_live_under_every_seed, "under every seed it is safe in trouble and moves on after it (F1 to F11)"),
           TEST(a_seed_repeats_itself, "a seed repeats itself"),
           TEST(stored_early_is_noticed, "a vote or an entry told before it is on disk is noticed (F3)"),
           TEST(vote_forgotten_is_noticed, "two votes in a term are noticed (F1)"),
           TEST(log_not_compared_is_noticed, "a vote for an older log is noticed (3.6.1)"),
           TEST(prev_not_compared_is_noticed, "entries behind another history are noticed (F2)"),
           TEST(old_term_counted_is_noticed, "an older term's entries committed by counting are noticed (F4)"),
           TEST(voters_at_once_is_noticed, "changes of voters that overlap are noticed (F6)"),
           TEST(slow_disk_alone, "who is alone leads, however slow its disk (F11)"),
           TEST(slow_disks_delay_an_election_and_prevent_none,
                "disks that take longer than T delay an election, and prevent none (F11)"))

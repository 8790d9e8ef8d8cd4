/* SPDX-License-Identifier: BSD-3-Clause */

/* As primary: who follows, what each lacks, who holds what (replication 3 to 6, 23). */
#include "core/repl/repl_inside.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"

enum { ROUNDS_AT_ONCE = 1024 }; /* in one JOINED */
/* Over the log for one answer: records may come faster than they are read. */
enum { PASSES_MOST = 3 };
enum { BIG_BYTES = 1024 * 1024 };
enum { RUN_BYTES = 60 * 1024 }; /* of records that are sent together, unless one is longer (3) */
/* A record that is looked for in the backlog takes as long as so many that are copied. */
enum { FOUND_AS_BYTES = 64 };
/* Of a slot with more records who has nothing gets its content: to look for the first of them takes
 * long, and most often they are not there any more. */
enum { RECORDS_WORTH = 16 };
enum { EARLY_MOST = SLOTS }; /* of one node's questions */

struct copy *copy_at(const struct repl *r, unsigned slot, uint16_t place)
{
    const struct primary_slot *p = &r->primary[slot];
    for (unsigned k = 0; k < p->copies_n; k++)
        if (p->copies[k].place == place)
            return &p->copies[k];
    return NULL;
}

static void big_drop(struct copy *c)
{
    if (c->big != NULL)
        blob_drop(c->big, NULL);
    c->big = NULL;
}

static void todo_free(struct copy *c)
{
    vec_free(&c->todo);
    c->todo_at = 0;
    big_drop(c);
}

static void copy_free(struct copy *c)
{
    todo_free(c);
    buf_free(&c->run);
}

/* What W held was acknowledged, or may be at once: for those who read it, it stays so when a member
 * that held it is gone, which may be for long where the set cannot shrink (6, 14). */
static void note_acked(struct repl *r, unsigned slot)
{
    struct primary_slot *p = &r->primary[slot];
    if (repl_is_held(r, slot, p->newest, REPL_ASKS_NOTHING))
        p->acked = p->newest;
}

void copy_turns(struct repl *r, unsigned slot, struct copy *c, enum copy_state state)
{
    if (c->state == COPY_JOINED && state != COPY_JOINED)
        note_acked(r, slot);
    /* of others the time counts as one: a link that comes and goes is no progress (14) */
    if ((c->state == COPY_JOINED) != (state == COPY_JOINED)) {
        c->since = r->now;
        r->look |= c->state == COPY_JOINED;
        r->stirs = true;
    }
    c->state = (uint8_t)state;
    c->in_pass = false;
    if (state != COPY_BEHIND)
        todo_free(c);
    buf_free(&c->run);
}

static void needs_dump(struct repl *r, unsigned slot, struct copy *c)
{
    copy_turns(r, slot, c, COPY_DUMP);
    c->offered = false;
    *vec_add(&r->peers.at[c->place].dumps) = (uint16_t)slot;
}

static void say(struct repl *r, uint16_t place, const struct repl_message *m)
{
    r->peers.at[place].said = r->now;
    r->ops->say(r->ops, place, true, m);
}

/* ------------------------------------------------------------------- the map */

static void copies_free(struct repl *r, struct primary_slot *p)
{
    for (unsigned k = 0; k < p->copies_n; k++) {
        r->peers.at[p->copies[k].place].wanted--;
        copy_free(&p->copies[k]);
    }
    mem_free(p->copies);
}

void primary_end(struct repl *r, unsigned slot)
{
    struct primary_slot *p = &r->primary[slot];
    copies_free(r, p);
    r->proposed_slots -= p->proposed;
    r->doubt_n -= p->in_doubt;
    bits_remove(&r->doubt, slot);
    bits_remove(&r->copied, slot);
    bits_remove(&r->bad, slot);
    *p = (struct primary_slot){0};
}

static bool copies_are(const struct repl *r, const struct primary_slot *p, const struct map_slot *s)
{
    unsigned k = 0;
    for (unsigned i = 0; i < s->replicas_n; i++) {
        if (s->replicas[i] == r->self)
            continue;
        if (k == p->copies_n || p->copies[k].place != s->replicas[i] ||
            p->copies[k].incarnation != r->map->nodes.at[s->replicas[i]].incarnation)
            return false;
        k++;
    }
    return k == p->copies_n;
}

/* Who stays keeps its state; of who is gone, or runs anew, nothing is known but that its
 * copy was wrong. */
static void copies_follow(struct repl *r, unsigned slot, const struct map_slot *s)
{
    struct primary_slot *p = &r->primary[slot];
    struct copy *made = mem_get((s->replicas_n + 1u) * sizeof(*made));
    uint8_t n = 0;
    if (p->copies_n > 0) /* else nobody knows yet who holds what an election left (21) */
        note_acked(r, slot);
    for (unsigned i = 0; i < s->replicas_n; i++) {
        if (s->replicas[i] == r->self)
            continue;
        uint32_t incarnation = r->map->nodes.at[s->replicas[i]].incarnation;
        struct copy *old = copy_at(r, slot, s->replicas[i]);
        if (old != NULL && old->incarnation == incarnation) {
            made[n++] = *old;
            old->todo.at = NULL; /* moved, */
            old->run.p = NULL;
            old->big = NULL;
        } else {
            made[n++] = (struct copy){.place = s->replicas[i],
                                      .incarnation = incarnation,
                                      .since = r->now,
                                      /* 29: as far as is known */
                                      .bad = old != NULL && (old->bad || old->heals)};
        }
    }
    copies_free(r, p);
    p->copies = made;
    p->copies_n = n;
    for (unsigned k = 0; k < n; k++)
        peer_at(r, made[k].place)->wanted++;
    if (n > 0)
        bits_add(&r->copied, slot);
    else
        bits_remove(&r->copied, slot);
}

void primary_map(struct repl *r, unsigned slot, uint64_t epoch)
{
    struct primary_slot *p = &r->primary[slot];
    const struct map_slot *s = &r->map->slots[slot];
    bool is_new = p->epoch != epoch;
    if (is_new) {
        primary_end(r, slot);
        p->epoch = epoch;
        /* 11: everything up to here may have been acknowledged */
        p->newest = epoch == 0 ? 0 : r->appended;
        if (epoch != 0 && bits_has(&r->scrub.soon, slot))
            scrub_soon(r, slot); /* 29: as its former primary asked */
        if (epoch != 0 && r->unstored_upto > r->stored)
            bits_add(&r->unstored, slot); /* what is its newest, and from when, is not known */
    }
    if (epoch != 0 && !copies_are(r, p, s))
        copies_follow(r, slot, s);
    settle_map(r, slot, is_new);
}

/* ------------------------------------------------------------------- records */

static void sample(struct repl *r, struct repl_peer *peer, uint64_t lsn)
{
    if (peer->samples_n == REPL_SAMPLES)
        return;
    unsigned last = (peer->samples_from + peer->samples_n - 1) % REPL_SAMPLES;
    if (peer->samples_n > 0 &&
        !mono_reached(r->now, mono_after(peer->samples[last].at, repl_timeout_us(r) / 64)))
        return;
    peer->samples[(peer->samples_from + peer->samples_n++) % REPL_SAMPLES] =
        (struct lag_sample){lsn, r->now, r->ran};
}

static void keep(struct repl *r, unsigned slot, uint64_t before_epoch, struct slice bytes,
                 const struct chain *parts)
{
    r->places[slot] =
        backlog_put(&r->backlog, &(struct backlog_record){.at = r->slots[slot].at,
                                                          .before_epoch = before_epoch,
                                                          .before = r->places[slot],
                                                          .bytes = bytes,
                                                          .parts = parts});
}

void repl_keep(struct repl *r, unsigned slot, uint64_t before_epoch, struct slice bytes)
{
    keep(r, slot, before_epoch, bytes, NULL);
}

static void note_big(struct repl_peer *peer, uint64_t lsn, size_t bytes)
{
    if (bytes < BIG_BYTES)
        return;
    if (peer->bigs_n < REPL_BIGS)
        peer->bigs[(peer->bigs_from + peer->bigs_n++) % REPL_BIGS] = (struct big_sent){0};
    struct big_sent *last = &peer->bigs[(peer->bigs_from + peer->bigs_n - 1) % REPL_BIGS];
    last->lsn = lsn;
    last->mib += bytes / BIG_BYTES;
    peer->big_mib += bytes / BIG_BYTES;
}

static void bigs_held(struct repl_peer *peer)
{
    for (; peer->bigs_n > 0 && peer->bigs[peer->bigs_from].lsn <= peer->held; peer->bigs_n--) {
        peer->big_mib -= peer->bigs[peer->bigs_from].mib;
        peer->bigs_from = (peer->bigs_from + 1) % REPL_BIGS;
    }
}

void repl_record(struct repl *r, unsigned slot, uint64_t before_epoch, uint64_t lsn,
                 struct slice bytes, const struct chain *parts)
{
    struct primary_slot *p = &r->primary[slot];
    check(p->epoch != 0 && lsn > p->newest);
    keep(r, slot, before_epoch, bytes, parts);
    p->newest = r->appended = lsn;
    for (unsigned k = 0; k < p->copies_n; k++) {
        struct copy *c = &p->copies[k];
        if (c->state < COPY_LIVE)
            continue;
        struct repl_peer *peer = &r->peers.at[c->place];
        peer->sent = lsn;
        sample(r, peer, lsn);
        note_big(peer, lsn, parts != NULL ? parts->n : bytes.n);
        say(r, c->place,
            &(struct repl_message){.type = REPL_APPEND,
                                   .append = {.lsn = lsn,
                                              .slot = (uint16_t)slot,
                                              .epoch = p->epoch,
                                              .before_epoch = before_epoch,
                                              .bytes = bytes,
                                              .parts = parts}});
    }
}

/* ------------------------------------------------------------- what it lacks */

/* The places of the records from c->next on, oldest first. False: they are not all there. A record
 * that was not kept, or was made before what came by a dump, leaves a place whose record is of
 * another position (R10). */
static bool todo_find(struct repl *r, unsigned slot, struct copy *c)
{
    uint64_t place = r->places[slot];
    struct position at = r->slots[slot].at;
    vec_clear(&c->todo);
    c->todo_at = 0;
    while (at.seq >= c->next) {
        struct backlog_record rec;
        if (!backlog_get(&r->backlog, place, &rec) || rec.at.seq != at.seq ||
            rec.at.epoch != at.epoch)
            return false;
        *vec_add(&c->todo) = place;
        place = rec.before;
        at = (struct position){rec.before_epoch, at.seq - 1};
    }
    for (size_t i = 0, n = c->todo.n; i < n / 2; i++) {
        uint64_t was = c->todo.at[i];
        c->todo.at[i] = c->todo.at[n - 1 - i];
        c->todo.at[n - 1 - i] = was;
    }
    return true;
}

static struct repl_round round_of(const struct repl *r, unsigned slot, const struct copy *c)
{
    return (struct repl_round){
        .slot = (uint16_t)slot, .epoch = r->primary[slot].epoch, .round = c->round};
}

static void behind(struct repl *r, unsigned slot, struct copy *c, uint64_t next)
{
    struct repl_peer *peer = &r->peers.at[c->place];
    todo_free(c); /* of an earlier round */
    c->next = next;
    copy_turns(r, slot, c, COPY_BEHIND);
    if (map_isr_has(&r->map->slots[slot], c->place, c->incarnation))
        *vec_add(&peer->awaited) = (uint16_t)slot;
    else
        *vec_add(&peer->behind) = (uint16_t)slot;
}

/* A copy of this slot there that may be heard of: of the run the link goes to. */
static struct copy *copy_heard(struct repl *r, uint16_t place, const struct repl_round *in)
{
    const struct repl_peer *peer = peer_known(r, place);
    struct copy *c = in->slot < SLOTS ? copy_at(r, in->slot, place) : NULL;
    return peer != NULL && peer->open && c != NULL && c->incarnation == peer->incarnation ? c
                                                                                          : NULL;
}

/* It has applied more of the map than this node has. A question that is dropped comes again only
 * later, and replies wait for that copy meanwhile. */
static void keep_early(struct repl *r, uint16_t place, const struct repl_where *w)
{
    struct repl_peer *peer = place < r->peers.n ? &r->peers.at[place] : NULL;
    if (peer != NULL && peer->open && peer->early.n < EARLY_MOST && w->in.slot < SLOTS &&
        w->in.epoch > r->map->slots[w->in.slot].epoch)
        *vec_add(&peer->early) = *w;
}

/* True: it is answered from here on. */
static bool where(struct repl *r, uint16_t place, const struct repl_where *w)
{
    struct copy *c = copy_heard(r, place, &w->in);
    keep_early(r, place, w);
    if (c == NULL)
        return false;
    /* it asks again until both have one map; of an epoch before its own it takes nothing (4) */
    if (w->in.epoch != r->primary[w->in.slot].epoch) {
        if (w->in.epoch > r->primary[w->in.slot].epoch)
            copy_turns(r, w->in.slot, c, COPY_AWAY);
        return false;
    }
    if (c->state != COPY_AWAY && c->round == w->in.round)
        return false; /* it is being answered */
    c->round = w->in.round;
    c->logged = false;
    /* what has nothing needs the slot and not its past */
    c->passes = w->at.seq > 0 ? 0 : PASSES_MOST;
    if (c->bad && w->at.seq == 0) { /* 29: it has deleted what it had */
        c->bad = false;
        c->heals = true;
    }
    if (w->at.seq == 0 && r->slots[w->in.slot].at.seq > RECORDS_WORTH)
        needs_dump(r, w->in.slot, c);
    else if (lineage_has(&r->slots[w->in.slot], w->at))
        behind(r, w->in.slot, c, w->at.seq + 1);
    else
        needs_dump(r, w->in.slot, c); /* 23 */
    return true;
}

void repl_wheres(struct repl *r, uint16_t place, const struct repl_where *w, size_t n)
{
    struct repl_round rounds[ROUNDS_AT_ONCE];
    size_t from_n = 0;
    for (size_t i = 0; i < n; i++) {
        if (where(r, place, &w[i]))
            rounds[from_n++] = w[i].in;
        if (from_n == ROUNDS_AT_ONCE || (from_n > 0 && i == n - 1)) {
            say(r, place, &(struct repl_message){.type = REPL_FROM, .n = from_n, .rounds = rounds});
            from_n = 0;
        }
    }
}

/* Those that are early still are no news, and say nothing of what was asked since. */
void primary_mapped(struct repl *r)
{
    for (uint16_t place = 0; place < r->peers.n; place++) {
        struct repl_peer *peer = &r->peers.at[place];
        VEC(struct repl_where) now = {0};
        size_t kept = 0;
        for (size_t i = 0; i < peer->early.n; i++) {
            struct repl_where *w = &peer->early.at[i];
            if (w->in.epoch > r->map->slots[w->in.slot].epoch)
                peer->early.at[kept++] = *w;
            else if (w->in.epoch == r->primary[w->in.slot].epoch)
                *vec_add(&now) = *w;
        }
        peer->early.n = kept;
        if (kept == 0)
            vec_free(&peer->early);
        repl_wheres(r, place, now.at, now.n);
        vec_free(&now);
    }
}

unsigned repl_wants_dump(struct repl *r, uint16_t place)
{
    struct repl_peer *peer = &r->peers.at[place];
    for (; peer->dumps.n > 0; peer->dumps.n--) {
        unsigned slot = peer->dumps.at[peer->dumps.n - 1];
        const struct copy *c = copy_at(r, slot, place);
        if (c != NULL && c->state == COPY_DUMP && !c->offered)
            return slot;
    }
    vec_free(&peer->dumps);
    return SLOTS;
}

struct repl_round repl_round_of(const struct repl *r, uint16_t place, unsigned slot)
{
    return round_of(r, slot, copy_at(r, slot, place));
}

void repl_offer(struct repl *r, uint16_t place, unsigned slot)
{
    struct copy *c = copy_at(r, slot, place);
    struct repl_round in = round_of(r, slot, c);
    c->offered = true;
    say(r, place, &(struct repl_message){.type = REPL_OFFER, .n = 1, .rounds = &in});
}

bool repl_is_pulled(const struct repl *r, uint16_t place, const struct repl_round *in)
{
    const struct copy *c = in->slot < SLOTS ? copy_at(r, in->slot, place) : NULL;
    return c != NULL && c->state == COPY_DUMP && c->offered && c->round == in->round &&
           r->primary[in->slot].epoch == in->epoch;
}

static void rounds_say(struct repl *r, uint16_t place, const struct repl_round *rounds, size_t n)
{
    if (n == 0)
        return;
    r->peers.at[place].sent = r->appended;
    say(r, place,
        &(struct repl_message){.type = REPL_JOINED,
                               .lsn = r->appended,
                               .map = r->map->index,
                               .n = n,
                               .rounds = rounds});
}

/* It has been sent all there is. */
static void turns_live(struct repl *r, unsigned slot, struct copy *c)
{
    copy_turns(r, slot, c, COPY_LIVE);
    c->joined = r->appended;
}

void repl_dump_said(struct repl *r, uint16_t place, unsigned slot)
{
    struct copy *c = copy_at(r, slot, place);
    if (c == NULL || c->state != COPY_DUMP)
        return;
    turns_live(r, slot, c);
    struct repl_round round = round_of(r, slot, c);
    rounds_say(r, place, &round, 1);
}

/* The next records of its slot one behind the other, and the epoch before them. False: one
 * was overwritten meanwhile. */
static bool run_take(struct repl *r, struct copy *c, size_t most, struct buf *run,
                     uint64_t *before_epoch)
{
    struct backlog_record rec;
    for (*before_epoch = 0; c->todo_at < c->todo.n; c->todo_at++) {
        if (!backlog_get(&r->backlog, c->todo.at[c->todo_at], &rec))
            return false;
        if (run->n > 0 && run->n + rec.bytes.n > most)
            break;
        if (run->n == 0)
            *before_epoch = rec.before_epoch;
        check(buf_add(run, rec.bytes) == ERR_OK);
        c->next = rec.at.seq + 1;
    }
    return true;
}

/* parts: NULL, or in place of bytes. */
static void records_say(struct repl *r, unsigned slot, const struct copy *c, uint64_t before_epoch,
                        struct slice bytes, const struct chain *parts)
{
    r->partial_bytes += parts != NULL ? parts->n : bytes.n;
    say(r, c->place,
        &(struct repl_message){.type = REPL_APPEND,
                               .append = {.lsn = r->peers.at[c->place].sent,
                                          .slot = (uint16_t)slot,
                                          .epoch = r->primary[slot].epoch,
                                          .before_epoch = before_epoch,
                                          .bytes = bytes,
                                          .parts = parts}});
}

/* The next one, which is big: copied by pieces, and said once it is whole. False: there is no
 * memory for it, and less is needed for a dump. */
static bool big_say(struct repl *r, unsigned slot, struct copy *c, const struct backlog_record *rec,
                    size_t *bytes)
{
    if (c->big == NULL)
        c->big = blob_try(rec->bytes.n);
    if (c->big == NULL)
        return false;
    size_t left = rec->bytes.n - c->big->n, n = left < *bytes ? left : *bytes;
    memcpy(c->big->p + c->big->n, rec->bytes.p + c->big->n, n);
    c->big->n += n;
    *bytes -= n;
    if (n < left)
        return true;
    struct chain parts = {0};
    chain_put_blob(&parts, c->big, 0, rec->bytes.n);
    records_say(r, slot, c, rec->before_epoch, slice_of(NULL, 0), &parts);
    chain_free(&parts, NULL);
    big_drop(c);
    c->next = rec->at.seq + 1;
    c->todo_at++;
    return true;
}

static bool run_say(struct repl *r, unsigned slot, struct copy *c, size_t *bytes)
{
    struct buf run;
    uint64_t before_epoch;
    struct backlog_record rec;
    if (c->todo_at < c->todo.n && backlog_get(&r->backlog, c->todo.at[c->todo_at], &rec) &&
        rec.bytes.n >= BIG_BYTES)
        return big_say(r, slot, c, &rec, bytes);
    buf_init(&run, SIZE_MAX / 2);
    bool is_there = run_take(r, c, *bytes < RUN_BYTES ? *bytes : RUN_BYTES, &run, &before_epoch);
    if (is_there) {
        *bytes -= *bytes < run.n ? *bytes : run.n;
        records_say(r, slot, c, before_epoch, buf_slice(&run), NULL);
    }
    buf_free(&run);
    return is_there;
}

/* ------------------------------------------------------------ out of the log */

/* The backlog does not reach back to it. False: nor does the log, or it is not worth it. */
static bool needs_log(struct repl *r, unsigned slot, struct copy *c)
{
    const struct lineage *l = &r->slots[slot];
    if (c->passes >= PASSES_MOST || c->next <= l->logged ||
        !r->ops->may_log(r->ops, slot, l->at.seq + 1 - c->next))
        return false;
    c->passes++;
    copy_turns(r, slot, c, COPY_LOG);
    *vec_add(&r->peers.at[c->place].logs) = (uint16_t)slot;
    return true;
}

bool repl_wants_log(const struct repl *r, uint16_t place)
{
    return r->peers.at[place].logs.n > 0;
}

unsigned repl_log_begins(struct repl *r, uint16_t place)
{
    const struct repl_peer *peer = &r->peers.at[place];
    unsigned n = 0;
    for (size_t i = 0; i < peer->logs.n; i++) {
        struct copy *c = copy_at(r, peer->logs.at[i], place);
        if (c != NULL && c->state == COPY_LOG && !c->in_pass) {
            c->in_pass = true;
            n++;
        }
    }
    return n;
}

static struct copy *copy_in_pass(const struct repl *r, uint16_t place, unsigned slot)
{
    struct copy *c = copy_at(r, slot, place);
    return c != NULL && c->state == COPY_LOG && c->in_pass ? c : NULL;
}

/* What is on the slot's history is the record of its position, whoever made it (R14); where one is
 * missing before it, the log lost it. */
bool repl_log_takes(struct repl *r, uint16_t place, unsigned slot, struct position at)
{
    struct copy *c = copy_in_pass(r, place, slot);
    if (c == NULL || at.seq < c->next || !lineage_has(&r->slots[slot], at))
        return false;
    if (at.seq == c->next)
        return true;
    r->partial_failed_n++;
    needs_dump(r, slot, c);
    return false;
}

static void logged_say(struct repl *r, unsigned slot, struct copy *c)
{
    r->logged_bytes += c->run.n;
    c->logged = true;
    records_say(r, slot, c, lineage_epoch_of(&r->slots[slot], c->run_from - 1), buf_slice(&c->run),
                NULL);
    buf_free(&c->run);
}

void repl_log_record(struct repl *r, uint16_t place, unsigned slot, struct position at,
                     struct slice bytes)
{
    struct copy *c = copy_in_pass(r, place, slot);
    check(c != NULL && c->next == at.seq);
    if (c->run.n == 0) {
        buf_init(&c->run, SIZE_MAX / 2);
        c->run_from = at.seq;
    }
    check(buf_add(&c->run, bytes) == ERR_OK);
    c->next = at.seq + 1;
    if (c->run.n >= RUN_BYTES)
        logged_say(r, slot, c);
}

void repl_log_big(struct repl *r, uint16_t place, unsigned slot, struct position at,
                  const struct chain *parts)
{
    struct copy *c = copy_in_pass(r, place, slot);
    check(c != NULL && c->next == at.seq);
    if (c->run.n > 0)
        logged_say(r, slot, c);
    r->logged_bytes += parts->n;
    c->logged = true;
    records_say(r, slot, c, lineage_epoch_of(&r->slots[slot], at.seq - 1), slice_of(NULL, 0),
                parts);
    c->next = at.seq + 1;
}

bool repl_log_say(struct repl *r, uint16_t place, size_t bytes)
{
    struct repl_peer *peer = &r->peers.at[place];
    for (; peer->logs_at < peer->logs.n; peer->logs_at++) {
        unsigned slot = peer->logs.at[peer->logs_at];
        struct copy *c = copy_in_pass(r, place, slot);
        if (c == NULL || c->run.n == 0)
            continue;
        if (bytes == 0)
            return false;
        bytes -= c->run.n < bytes ? c->run.n : bytes;
        logged_say(r, slot, c);
    }
    peer->logs_at = 0;
    return true;
}

void repl_log_ends(struct repl *r, uint16_t place)
{
    struct repl_peer *peer = &r->peers.at[place];
    size_t kept = 0;
    for (size_t i = 0; i < peer->logs.n; i++) {
        uint16_t slot = peer->logs.at[i];
        struct copy *c = copy_at(r, slot, place);
        if (c == NULL || c->state != COPY_LOG)
            continue;
        if (!c->in_pass) {
            peer->logs.at[kept++] = slot;
            continue;
        }
        if (c->run.n > 0)
            logged_say(r, slot, c);
        behind(r, slot, c, c->next);
    }
    peer->logs.n = kept;
    peer->logs_at = 0;
    if (kept == 0)
        vec_free(&peer->logs);
}

/* One step of a copy that is behind. True: it is no more. */
static bool pump_one(struct repl *r, unsigned slot, struct copy *c, size_t *bytes)
{
    bool is_there = true;
    if (c->todo_at == c->todo.n) {
        if (c->next > r->slots[slot].at.seq) {
            r->partial_n += c->todo.n > 0 || c->logged;
            r->logged_n += c->logged;
            turns_live(r, slot, c);
            return true;
        }
        is_there = todo_find(r, slot, c);
        size_t cost = c->todo.n * FOUND_AS_BYTES;
        *bytes -= cost < *bytes ? cost : *bytes;
    }
    if (is_there && run_say(r, slot, c, bytes))
        return false;
    if (!needs_log(r, slot, c)) {
        r->partial_failed_n++;
        needs_dump(r, slot, c);
    }
    return true;
}

/* The copies there of these slots, from the last on; so many are left. */
static size_t pump_slots(struct repl *r, uint16_t place, const uint16_t *slots, size_t left,
                         size_t *bytes)
{
    struct repl_round rounds[ROUNDS_AT_ONCE];
    size_t n = 0;
    while (left > 0 && *bytes > 0 && n < ROUNDS_AT_ONCE) {
        unsigned slot = slots[left - 1];
        struct copy *c = copy_at(r, slot, place);
        if (c != NULL && c->state == COPY_BEHIND && !pump_one(r, slot, c, bytes))
            continue;
        left--;
        if (c != NULL && c->state == COPY_LIVE && c->joined == r->appended)
            rounds[n++] = round_of(r, slot, c);
    }
    rounds_say(r, place, rounds, n);
    return left;
}

bool repl_pump_awaited(struct repl *r, uint16_t place, size_t *bytes)
{
    struct repl_peer *peer = &r->peers.at[place];
    peer->awaited.n = pump_slots(r, place, peer->awaited.at, peer->awaited.n, bytes);
    if (peer->awaited.n == 0)
        vec_free(&peer->awaited);
    return peer->awaited.n == 0;
}

bool repl_pump(struct repl *r, uint16_t place, size_t *bytes)
{
    struct repl_peer *peer = &r->peers.at[place];
    if (repl_pump_awaited(r, place, bytes))
        peer->behind.n = pump_slots(r, place, peer->behind.at, peer->behind.n, bytes);
    if (peer->behind.n == 0)
        vec_free(&peer->behind);
    return repl_is_pumped(r, place);
}

/* What it was sent and has not acked is missed from now on, though no sample was made with it. */
static void sample_rest(struct repl *r, struct repl_peer *peer)
{
    if (peer->samples_n == 0 && peer->held < peer->sent)
        sample(r, peer, peer->sent);
}

void repl_joins(struct repl *r, uint16_t place, const struct repl_round *in)
{
    struct copy *c = copy_heard(r, place, in);
    if (c == NULL || c->state != COPY_LIVE || c->round != in->round ||
        r->primary[in->slot].epoch != in->epoch)
        return;
    copy_turns(r, in->slot, c, COPY_JOINED);
    if (c->heals) { /* 29: the proof of it is another comparison */
        c->heals = false;
        r->scrub.healed++;
        scrub_soon(r, in->slot);
    }
    struct repl_peer *peer = &r->peers.at[place];
    peer->join_last = c->joined > peer->join_last ? c->joined : peer->join_last;
    sample_rest(r, peer);
}

void repl_acked(struct repl *r, uint16_t place, const struct repl_ack *a)
{
    struct repl_peer *peer = &r->peers.at[place];
    if (!peer->open || a->held > peer->sent || a->synced > a->held)
        return;
    bool has_all = (a->has_no_log ? a->held : a->synced) >= peer->join_last;
    if ((peer->has_no_log ? peer->held : peer->synced) < peer->join_last && has_all)
        r->stirs = true;
    peer->has_no_log = a->has_no_log;
    peer->leased = a->leased;
    if (peer_lags(r, peer))
        peer->lagged = r->now;
    if (a->grows)
        peer->grew = r->ran;
    peer->held = a->held > peer->held ? a->held : peer->held;
    peer->synced = a->synced; /* which may fall (4) */
    while (peer->samples_n > 0 && peer->samples[peer->samples_from].lsn <= peer->held) {
        peer->samples_from = (peer->samples_from + 1) % REPL_SAMPLES;
        peer->samples_n--;
    }
    bigs_held(peer);
    sample_rest(r, peer);
    peer_wants(r, peer, a);
}

/* ------------------------------------------------------------ who holds what */

bool copy_holds(const struct repl *r, const struct copy *c, uint64_t lsn)
{
    if (c->state != COPY_JOINED) /* R6: one that joined has a peer */
        return false;
    const struct repl_peer *peer = &r->peers.at[c->place];
    return peer->held >= c->joined && peer->held >= lsn; /* 4 */
}

bool repl_holds(const struct repl *r, uint16_t place, unsigned slot, uint64_t lsn)
{
    if (place == r->self)
        return r->stored >= lsn;
    const struct copy *c = copy_at(r, slot, place);
    return c != NULL && copy_holds(r, c, lsn);
}

/* Of one that joined: what it caught up with is on its disk once it has synced that far (4). */
static bool copy_synced(const struct repl *r, const struct copy *c, uint64_t lsn)
{
    const struct repl_peer *peer = &r->peers.at[c->place];
    return peer->synced >= c->joined && peer->synced >= lsn;
}

unsigned repl_holders(const struct repl *r, unsigned slot, uint64_t lsn, bool synced)
{
    const struct primary_slot *p = &r->primary[slot];
    uint64_t upto = p->newest < lsn ? p->newest : lsn;
    unsigned n = 0;
    for (unsigned k = 0; k < p->copies_n; k++) {
        const struct copy *c = &p->copies[k];
        n += copy_holds(r, c, upto) && (!synced || copy_synced(r, c, upto));
    }
    return n;
}

unsigned isr_holders(const struct repl *r, unsigned slot, const struct isr *set, uint64_t lsn,
                     uint64_t own)
{
    unsigned n = 0;
    for (unsigned i = 0; i < set->n; i++) {
        if (set->node[i] == r->self) {
            n += own >= lsn;
            continue;
        }
        const struct copy *c = copy_at(r, slot, set->node[i]);
        /* 4. For a member that was restarted its later run does not count. Elections would be right
         * if it did: they take it for silent (21), and look for what it has where too few report
         * (22). But under everysec it counts as lost. */
        n += c != NULL && c->incarnation == set->incarnation[i] && copy_holds(r, c, lsn);
    }
    return n;
}

struct isr isr_of(const struct map_slot *s)
{
    struct isr set = {.n = s->isr_n};
    memcpy(set.node, s->isr, sizeof(set.node));
    memcpy(set.incarnation, s->isr_incarnation, sizeof(set.incarnation));
    return set;
}

struct repl_lag repl_lag_of(const struct repl *r, unsigned slot, uint16_t place)
{
    const struct copy *c = copy_at(r, slot, place);
    const struct repl_peer *peer = peer_known(r, place);
    struct repl_lag lag = {0};
    if (c == NULL || peer == NULL || copy_holds(r, c, r->primary[slot].newest))
        return lag;
    uint64_t seq = r->slots[slot].at.seq;
    lag.us = r->now.us - c->since.us;
    if (c->state >= COPY_LIVE)
        lag.records = peer->sent - peer->held;
    else
        lag.records = c->state == COPY_BEHIND || c->state == COPY_LOG ? seq + 1 - c->next : seq;
    if (c->state == COPY_JOINED) /* nobody noted when, of what was made a moment ago */
        lag.us = peer->samples_n > 0 ? r->now.us - peer->samples[peer->samples_from].at.us : 0;
    return lag;
}

static unsigned w_of(const struct repl *r, unsigned slot, uint32_t asked, unsigned isr_n)
{
    if (asked == REPL_ASKS_NOTHING)
        return map_w_strict(r->map, &r->map->slots[slot], isr_n);
    struct map_settings s = r->map->settings;
    s.write_quorum = asked == REPL_ASKS_ALL ? MAP_W_ALL : asked;
    return map_w(&s, isr_n);
}

bool repl_is_held(const struct repl *r, unsigned slot, uint64_t lsn, uint32_t asked)
{
    const struct primary_slot *p = &r->primary[slot];
    if (p->epoch == 0)
        return false;
    struct isr now = isr_of(&r->map->slots[slot]);
    /* 28: in sync alone, of what it has stored */
    bool reads_on = now.n == 1 && !p->in_doubt && !bits_has(&r->unstored, slot);
    uint64_t own = reads_on ? r->kept : r->stored;
    if (p->copies_n == 0 && !p->in_doubt && asked == REPL_ASKS_NOTHING)
        return own >= lsn;
    if (asked == REPL_ASKS_NOTHING && lsn <= p->acked)
        return true;
    return isr_holders(r, slot, &now, lsn, own) >= w_of(r, slot, asked, now.n) &&
           (!p->in_doubt ||
            isr_holders(r, slot, &p->next, lsn, own) >= w_of(r, slot, asked, p->next.n)); /* 12 */
}

bool repl_all_held(const struct repl *r, uint64_t lsn, uint32_t asked)
{
    struct bits asks = r->copied;
    for (size_t i = 0; i < SLOTS / 64; i++)
        asks.w[i] |= r->unstored.w[i];
    for (unsigned slot = bits_next(&asks, 0); slot < SLOTS; slot = bits_next(&asks, slot + 1)) {
        if (r->primary[slot].epoch == 0)
            continue;
        const struct primary_slot *p = &r->primary[slot];
        uint32_t here = repl_refuses_read(r, slot, asked) ? REPL_ASKS_NOTHING : asked;
        if (!repl_is_held(r, slot, p->newest < lsn ? p->newest : lsn, here))
            return false;
    }
    return true;
}

void repl_disk_failed(struct repl *r)
{
    for (unsigned slot = 0; slot < SLOTS; slot++)
        if (r->primary[slot].newest > r->stored)
            bits_add(&r->unstored, slot);
    r->unstored_upto = r->appended;
}

bool repl_disk_caught_up(struct repl *r)
{
    if (r->unstored_upto == 0 || r->stored < r->unstored_upto)
        return false;
    r->unstored = (struct bits){0};
    r->unstored_upto = 0;
    return true;
}

bool repl_is_unstored(const struct repl *r, unsigned slot)
{
    return bits_has(&r->unstored, slot) && r->map->slots[slot].isr_n == 1;
}

void repl_leaves(struct repl *r, uint16_t place)
{
    struct repl_peer *peer = &r->peers.at[place];
    peer->leaves = true;
    r->look = true;
}

bool repl_may_lead(const struct repl *r, uint16_t place)
{
    const struct repl_peer *peer = peer_known(r, place);
    return peer != NULL && peer->open && peer->leased &&
           peer->incarnation == r->map->nodes.at[place].incarnation;
}

bool repl_has_left(const struct repl *r, uint16_t place)
{
    const struct repl_peer *peer = peer_known(r, place);
    return peer != NULL && peer->leaves;
}

bool repl_refuses_read(const struct repl *r, unsigned slot, uint32_t asked)
{
    unsigned n = r->map->slots[slot].isr_n;
    return n < w_of(r, slot, asked, n);
}

bool repl_refuses(const struct repl *r, unsigned slot, uint32_t asked)
{
    const struct map_slot *s = &r->map->slots[slot];
    unsigned n = 0; /* members that are heard: where too few would be left the others stay (14) */
    for (unsigned i = 0; i < s->isr_n; i++)
        n += s->isr[i] == r->self || r->map->nodes.at[s->isr[i]].health == MAP_UP;
    return repl_refuses_read(r, slot, asked) || n < w_of(r, slot, asked, n) ||
           n < 1 + r->map->settings.min_replicas;
}

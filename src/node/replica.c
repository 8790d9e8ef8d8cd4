/* SPDX-License-Identifier: BSD-3-Clause */

/* As replica: what primaries' nodes bring (replication 2, 4, 23). A connection of theirs is
 * a session whose requests are the messages of the slot protocol, and whose output is what
 * is said back. */
#include "base/check.h"
#include "node/cluster.h"
#include "node/own.h"
#include "node/replay.h"
#include "node/replicate.h"

static struct replicas *of(const struct node *n)
{
    return n->cluster->replicas;
}

bool guest_open(struct node *n, struct session *s, const struct node_event *ev)
{
    uint16_t place =
        n->cluster->map.index > 0 ? map_find(&n->cluster->map, &ev->opened.from) : MAP_NOBODY;
    if (place == MAP_NOBODY)
        return false;
    struct replicas *r = of(n);
    struct repl_guest *g = mem_zero(sizeof(*g));
    *g = (struct repl_guest){.place = place,
                             .id = ev->opened.from,
                             .incarnation = ev->opened.incarnation,
                             .active = r->repl.ran};
    s->guest = g;
    while (r->guests.n <= place)
        *vec_add(&r->guests) = NULL;
    /* a reconnect supersedes (14); the older one is closed when it is next heard */
    if (r->guests.at[place] != NULL) {
        repl_guest_closed(&r->repl, place);
        r->guests.at[place]->closing = true;
    }
    r->guests.at[place] = s;
    return true;
}

void guest_close(struct node *n, struct session *s)
{
    struct repl_guest *g = s->guest;
    if (g == NULL)
        return;
    if (of(n)->guests.at[g->place] == s) {
        repl_guest_closed(&of(n)->repl, g->place);
        of(n)->guests.at[g->place] = NULL;
    }
    vec_free(&g->due);
    mem_free(g);
    s->guest = NULL;
}

static void guest_end(struct session *s, struct node_out *out)
{
    s->closing = true;
    *vec_add(&out->drop) = s->conn;
}

static void malformed(struct node *n, struct session *s, const char *why, struct node_out *out)
{
    log_say(n->log, LOG_LEVEL_WARNING,
            "A primary's node at %s says what cannot be read: %s. Its connection is closed",
            s->peer, why);
    guest_end(s, out);
}

/* Everything up to here was dealt with: it is acknowledged once what it brought is stored. */
static void got(struct node *n, struct repl_guest *g, uint64_t lsn)
{
    uint64_t mine = n->journal.appended.n;
    struct ack_due *last = g->due.n > g->held_n ? &g->due.at[g->due.n - 1] : NULL;
    if (last != NULL && last->mine == mine)
        last->theirs = lsn > last->theirs ? lsn : last->theirs;
    else
        *vec_add(&g->due) = (struct ack_due){lsn, lsn, mine};
}

/* ------------------------------------------------------------------- records */

/* What was applied did not do what it did at the primary: this copy is worth nothing. */
static void slot_is_bad(struct node *n, unsigned slot, const char *why)
{
    log_say(n->log, LOG_LEVEL_WARNING, "slot %u: %s. It is fetched anew", slot, why);
    n->slots[slot].frozen = true;
    repl_sync_again(&of(n)->repl, slot);
}

/* False: nor is what follows it taken; *malformed, if the link is to end, too. */
static bool append_one(struct node *n, struct repl_guest *g, const struct repl_append *m,
                       struct slice rest, const struct note *note, size_t used,
                       const char **malformed)
{
    const struct aof_command *failed;
    if (repl_may_append(&of(n)->repl, g->place, m, note->at) == REPL_DROP)
        return false;
    const char *why = replay_batch(n, &of(n)->batch, m->slot, &failed);
    if (why != NULL) {
        slot_is_bad(n, m->slot, why);
        *malformed = why == replay_foreign ? why : NULL;
        return false;
    }
    if (m->blob != NULL)
        journal_append_in(&n->journal, m->slot, note->at, slice_head(rest, used), m->blob);
    else
        journal_append_record(&n->journal, m->slot, note->at, slice_head(rest, used));
    repl_keep(&of(n)->repl, m->slot, m->before_epoch, slice_head(rest, used));
    return true;
}

static const char *take_append(struct node *n, struct repl_guest *g, const struct repl_append *m)
{
    struct repl_append one = *m;
    const char *malformed = NULL;
    for (size_t at = 0, used; at < m->bytes.n; at += used) {
        struct slice rest = slice_from(m->bytes, at);
        struct note note;
        aof_batch_clear(&of(n)->batch);
        enum err err = aof_record(rest, &note, &of(n)->batch, &used);
        if (err != ERR_OK || note.slot != m->slot)
            return err == ERR_CORRUPT ? "the checksum of a record does not hold"
                                      : "a record is none";
        if (!append_one(n, g, &one, rest, &note, used, &malformed))
            break;
        one.before_epoch = note.at.epoch;
    }
    got(n, g, m->lsn);
    return malformed;
}

/* -------------------------------------------------------------------- leaving */

static void say_leaving(struct node *n, struct session *s)
{
    const char *trouble = commit_trouble(n);
    put_repl(&s->out, &(struct repl_message){
                          .type = REPL_LEAVING,
                          .text = slice_str(trouble != NULL ? trouble : "it is being stopped")});
    session_produced(n, s);
}

void guests_told(struct node *n)
{
    for (size_t i = 0; i < of(n)->guests.n; i++) {
        struct session *s = of(n)->guests.at[i];
        if (s != NULL && !s->closing && s->guest->heard)
            say_leaving(n, s);
    }
}

void guests_end(struct node *n, struct node_out *out)
{
    for (size_t i = 0; i < of(n)->guests.n; i++) {
        struct session *s = of(n)->guests.at[i];
        if (s != NULL && !s->closing)
            guest_end(s, out);
    }
}

/* ------------------------------------------------------------------ messages */

static const char *take(struct node *n, struct repl_guest *g, const struct repl_message *m)
{
    struct repl *r = &of(n)->repl;
    switch (m->type) {
    case REPL_FROM:
        for (size_t i = 0; i < m->n; i++)
            repl_from(r, g->place, &m->rounds[i]);
        return NULL;
    case REPL_APPEND: return take_append(n, g, &m->append);
    case REPL_JOINED:
        for (size_t i = 0; i < m->n; i++)
            repl_joined(r, g->place, m->map, &m->rounds[i], n->journal.appended.n);
        got(n, g, m->lsn);
        journal_sync_soon(&n->journal); /* who joins an in-sync set has it on disk */
        return NULL;
    case REPL_ALIVE:
        g->asked = true;
        got(n, g, m->lsn);
        return NULL;
    case REPL_DUMP: return dump_part(n, g, &m->dump);
    case REPL_DUMPED: g->dumps += m->dumped.bytes.n; return dump_whole(n, g, &m->dumped);
    case REPL_OFFER:
        for (size_t i = 0; i < m->n; i++)
            repl_offered(r, g->place, &m->rounds[i]);
        return NULL;
    case REPL_DIGEST: compare_asked(n, g, &m->digest); return NULL;
    case REPL_BAD: compare_bad(n, g, &m->bad); return NULL;
    case REPL_COMPARE:
        for (size_t i = 0; i < m->n; i++)
            scrub_compare(r, g->place, &m->rounds[i]);
        return NULL;
    case REPL_SYNC:
    case REPL_JOINS:
    case REPL_ACK:
    case REPL_PULL:
    case REPL_DIGESTED:
    case REPL_LEAVING: break;
    }
    return "a message of the wrong end";
}

static void guest_begins(struct node *n, struct session *s)
{
    s->guest->heard = true;
    if (!n->cluster->takes_nothing)
        repl_guest_opened(&of(n)->repl, s->guest->place, s->guest->incarnation);
    if (n->cluster->leaves)
        say_leaving(n, s);
}

/* Records and dumps are not read on from their connection while the disk does not keep up: so what
 * waits for it is bounded here, and their primary, to whom they are not acknowledged, goes on
 * without this node (14). */
static bool is_too_much(struct node *n, struct session *s, const struct repl_message *m)
{
    if ((m->type != REPL_APPEND && m->type != REPL_DUMP && m->type != REPL_DUMPED) ||
        !commit_is_behind(n))
        return false;
    n->writers_held = true;
    session_hold(n, s, HELD_MEMORY, MONO_NEVER);
    return true;
}

/* The blob that these bytes of a request came in, if they did. */
static struct blob *blob_of(const struct request *q, struct slice bytes)
{
    for (uint32_t i = 0; q->blobs != NULL && i < q->argc; i++)
        if (q->blobs[i] != NULL && q->blobs[i]->p == bytes.p)
            return q->blobs[i];
    return NULL;
}

bool guest_first_key(const struct request *q, struct slice *key)
{
    enum { RECORDS_AT = 5, WORDS = 6 }; /* as of REPL_APPEND (wire_repl.c) */
    return q->argc == WORDS && aof_first_key(q->argv[RECORDS_AT], key);
}

bool guest_request(struct node *n, struct session *s, const struct request *q, struct node_out *out)
{
    struct wire_in in;
    struct repl_message m;
    char why[WIRE_WHY_BYTES];
    if (s->held != HELD_NOT || s->closing)
        return s->closing;
    s->active = n->now;
    s->guest->active = of(n)->repl.ran;
    s->guest->growing = false;
    if (of(n)->guests.at[s->guest->place] != s) {
        guest_end(s, out);
        return true;
    }
    if (!s->guest->heard)
        guest_begins(n, s);
    if (!wire_frame(q, WIRE_DIALS, &in, why)) {
        malformed(n, s, why, out);
        return true;
    }
    enum err err = get_repl(&in, &m, &of(n)->read);
    if (err != ERR_OK) {
        wire_why(&in, err, why);
        malformed(n, s, why, out);
        return true;
    }
    if (n->cluster->takes_nothing) { /* 28: nor is any of it acknowledged. It lives, that is all */
        s->guest->asked |= m.type == REPL_ALIVE;
        return true;
    }
    if (is_too_much(n, s, &m))
        return false;
    if (m.type == REPL_APPEND)
        m.append.blob = blob_of(q, m.append.bytes);
    const char *wrong = take(n, s->guest, &m);
    if (wrong != NULL)
        malformed(n, s, wrong, out);
    return true;
}

/* The primary knows then that its big record is taken in, and that its link is not silent (14). */
void guest_grows(struct node *n, struct session *s)
{
    if (s->guest == NULL || !s->guest->heard)
        return;
    s->guest->active = of(n)->repl.ran;
    s->guest->asked = true;
    s->guest->grows = !n->cluster->takes_nothing;
    s->guest->growing = true;
}

/* --------------------------------------------------------------------- slots */

enum { DROP_AT_ONCE = 1024 }; /* slots a look */

static unsigned live_n(const struct map *m)
{
    unsigned n = 0;
    for (size_t i = 0; i < m->nodes.n; i++)
        n += m->nodes.at[i].used && m->nodes.at[i].health == MAP_UP && m->nodes.at[i].weight > 0 &&
             !m->nodes.at[i].leaving;
    return n;
}

/* There is something here of a slot that is to be elsewhere. */
static bool is_unwanted(const struct node *n, unsigned slot)
{
    const struct cluster *c = n->cluster;
    const struct lineage *l = &n->slots[slot];
    bool any = l->starts_n > 0 || l->at.seq > 0 || store_slot_keys_n(&n->store, slot) > 0;
    return any && c->served[slot] == 0 && !map_replicas_have(&c->map.slots[slot], c->self.place);
}

/* It is there, with copies enough, and nothing of it is on its way to here (26). */
static bool is_droppable(const struct node *n, unsigned slot, unsigned copies)
{
    const struct cluster *c = n->cluster;
    const struct map_slot *s = &c->map.slots[slot];
    return s->primary != MAP_NOBODY && s->isr_n >= copies &&
           c->replicas->repl.replica[slot].state == REPLICA_NONE;
}

/* A run that has just begun applies the map of long ago: in it, slots that were given to this node
 * later are somebody else's. Who has a lease has applied all that was committed two timeouts ago
 * (16), so a run older than that by a margin knows what its forerunners knew. */
static bool knows_map(const struct node *n)
{
    int64_t run_us = 4 * map_wait_us(&n->cluster->map);
    return n->cluster->self.leased && mono_reached(n->now, mono_after(n->started, run_us));
}

void slots_drop(struct node *n)
{
    const struct map *m = &n->cluster->map;
    struct bits *drops = &of(n)->drops, slots = {0};
    if (bits_next(drops, 0) == SLOTS || !knows_map(n))
        return;
    unsigned live = live_n(m), dropped = 0;
    unsigned copies = live < m->settings.replication_factor ? live : m->settings.replication_factor;
    for (unsigned slot = bits_next(drops, 0); slot < SLOTS && dropped < DROP_AT_ONCE;
         slot = bits_next(drops, slot + 1)) {
        if (is_unwanted(n, slot) && !is_droppable(n, slot, copies))
            continue; /* later */
        bits_remove(drops, slot);
        if (!is_unwanted(n, slot))
            continue;
        bits_add(&slots, slot);
        dropped++;
    }
    own_drop(n, &slots);
    if (dropped > 0)
        log_say(n->log, LOG_LEVEL_VERBOSE, "%u slots that other nodes have now were deleted here",
                dropped);
}

/* ---------------------------------------------------------------------- acks */

static void ack(struct node *n, struct session *s)
{
    struct repl_guest *g = s->guest;
    struct repl_ack now = g->told;
    uint64_t stored = journal_stored(&n->journal).n, synced = n->journal.synced.n;
    size_t over = 0;
    if (n->cluster->takes_nothing) /* 28 */
        stored = synced = 0;
    for (; g->held_n < g->due.n && g->due.at[g->held_n].mine <= stored; g->held_n++)
        now.held = g->due.at[g->held_n].theirs;
    for (; over < g->held_n && g->due.at[over].mine <= synced; over++)
        now.synced = n->journal.state == JOURNAL_OFF ? 0 : g->due.at[over].theirs;
    if (over > 0) {
        g->due.n -= over;
        g->held_n -= over;
        memmove(g->due.at, g->due.at + over, g->due.n * sizeof(g->due.at[0]));
    }
    /* more came with an lsn up to which all was synced */
    if (g->due.n > 0 && g->due.at[0].first > 0 && g->due.at[0].first <= now.synced)
        now.synced = g->due.at[0].first - 1;
    now.has_no_log = n->journal.state == JOURNAL_OFF;
    now.leased = n->cluster->self.leased;
    now.grows = g->grows;
    now.dumps = g->dumps;
    memory_tell(n, g, &now);
    if (!g->asked && now.held == g->told.held && now.synced == g->told.synced &&
        now.has_no_log == g->told.has_no_log && now.leased == g->told.leased &&
        now.full == g->told.full && now.dumps == g->told.dumps &&
        (now.wants > 0) == (g->told.wants > 0))
        return;
    g->asked = g->grows = false;
    g->told = now;
    put_repl(&s->out, &(struct repl_message){.type = REPL_ACK, .ack = now});
    session_produced(n, s);
}

void guests_ack(struct node *n)
{
    for (size_t i = 0; i < of(n)->guests.n; i++)
        if (of(n)->guests.at[i] != NULL)
            ack(n, of(n)->guests.at[i]);
}

void guests_map(struct node *n, struct node_out *out)
{
    const struct map *m = &n->cluster->map;
    for (uint16_t place = 0; place < of(n)->guests.n; place++) {
        struct session *s = of(n)->guests.at[place];
        if (s == NULL || s->closing ||
            (place < m->nodes.n && m->nodes.at[place].used &&
             node_id_equal(&m->nodes.at[place].id, &s->guest->id)))
            continue;
        repl_guest_closed(&of(n)->repl, place);
        guest_end(s, out);
    }
}

/* In the midst of a record it has as long as the greatest takes: its link is not begun anew for a
 * moment in which it stood still. */
enum { RECORD_US = 4 * 1000 * 1000 };

void guests_look(struct node *n, struct node_out *out)
{
    int64_t most_us = map_wait_us(&n->cluster->map) / 2;
    for (size_t i = 0; i < of(n)->guests.n; i++) {
        struct session *s = of(n)->guests.at[i];
        if (s == NULL || s->closing)
            continue;
        if (s->held != HELD_NOT) { /* it is this node that does not listen: it lives, and says so */
            s->guest->active = of(n)->repl.ran;
            s->guest->asked = true;
        } else if (mono_reached(of(n)->repl.ran,
                                mono_after(s->guest->active,
                                           s->guest->growing ? RECORD_US + most_us : most_us))) {
            guest_end(s, out); /* 14 */
        }
    }
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* The map as this data plane has applied it, the lease, and the fate of replies when
 * either is lost. */
#include "node/cluster.h"

#include <math.h>
#include <stdio.h>

#include "base/check.h"
#include "node/migrate.h"
#include "node/own.h"
#include "node/waiting.h"

static const char lease_lost[] = "this node has lost contact with the cluster";
static const char slot_lost[] = "its slot has another primary";

struct cluster *cluster_new(const struct node_identity *id)
{
    struct cluster *c = mem_zero(sizeof(*c));
    map_init(&c->map);
    c->id = id->id;
    c->self =
        (struct route_self){.map = &c->map, .place = MAP_NOBODY, .incarnation = id->incarnation};
    c->clean_since = id->incarnation;
    c->data_since = 1;
    c->served = mem_zero(SLOTS * sizeof(c->served[0]));
    c->parked_at = c->gates_at = c->handing_until = c->lapsed_until = MONO_NEVER;
    c->preparing_for = MAP_NOBODY;
    c->preparing_until = MONO_NEVER;
    list_init(&c->links);
    list_init(&c->dirty);
    list_init(&c->parked);
    for (size_t i = 0; i < ORDER_BUCKETS; i++)
        list_init(&c->order[i]);
    return c;
}

void cluster_free(struct node *n) /* sessions are gone */
{
    struct cluster *c = n->cluster;
    if (c == NULL)
        return;
    while (!list_empty(&c->links))
        peer_link_free(CONTAINER_OF(c->links.next, struct peer_link, in_cluster));
    check(list_empty(&c->parked));
    replicas_free(n);
    mem_free(c->view.peers);
    mem_free(c->served);
    upstreams_free(&c->upstreams);
    map_free(&c->map);
    mem_free(c);
}

/* Of the run before this one nothing was lost if it was stopped in good order, or
 * acknowledged only what was synced; a run between the two that left no note was neither, for
 * all that is known (22). */
void cluster_run_begins(struct node *n, const struct run_note *before, bool clean, bool other)
{
    struct cluster *c = n->cluster;
    uint32_t own = c->self.incarnation;
    bool kept = before->incarnation + 1 == own && !other && (clean || before->always);
    c->clean_since = kept ? before->clean_since : own;
    c->data_since = other                                                  ? own
                    : before->incarnation > 0 && before->incarnation < own ? before->data_since
                                                                           : 1;
    journal_run(&n->journal, &(struct run_note){own, c->clean_since, c->data_since, false});
}

struct routing *routing_new(uint8_t forward)
{
    struct routing *r = mem_zero(sizeof(*r));
    r->forward = forward;
    r->asker = forward != 0 ? ROUTE_PEER : ROUTE_PLAIN;
    r->settled = forward != 0;
    list_init(&r->turns);
    return r;
}

void routing_free(struct node *n, struct session *s)
{
    struct routing *r = s->routing;
    if (r == NULL)
        return;
    flights_forget(n, s);
    peer_links_forsake(n, s);
    vec_free(&r->wrote);
    vec_free(&r->marks);
    vec_free(&r->refused);
    mem_free(r->seen);
    mem_free(r);
    s->routing = NULL;
}

/* ------------------------------------------------------------ fates of replies */

/* WAIT asks who holds it. */
static void note_slot(struct routing *r, unsigned slot)
{
    for (unsigned i = 0; i < r->wrote_here_n && i < WROTE_SLOTS; i++)
        if (r->wrote_here[i] == slot)
            return;
    if (slot >= SLOTS)
        r->wrote_here_n = WROTE_SLOTS + 1;
    else if (r->wrote_here_n < WROTE_SLOTS)
        r->wrote_here[r->wrote_here_n++] = (uint16_t)slot;
    else
        r->wrote_here_n = WROTE_SLOTS + 1;
}

void marks_put(struct node *n, struct session *s, uint64_t begin, unsigned slot,
               enum mark_kind kind, uint32_t asked, uint8_t client)
{
    if (s->routing != NULL && kind == MARK_WRITE && s->routing->wrote_here_n <= WROTE_SLOTS)
        note_slot(s->routing, slot);
    if (s->routing == NULL || kind == MARK_FREE || s->out.put == begin)
        return;
    const struct route_self *self = &n->cluster->self;
    /* what it tells may be undone, as at a replica: there is nobody who could confirm it */
    if (kind == MARK_READ && s->routing->readonly && self->reads_when_down && !self->leased)
        return;
    const struct repl *r = &n->cluster->replicas->repl;
    uint64_t need = slot == SLOT_ANY ? n->journal.appended.n : 0, newest = need;
    if (slot < SLOTS && own_has(n, slot)) {
        need = repl_newest(r, slot);
        newest = r->primary[slot].newest;
    }
    if (newest > s->routing->need.n)
        s->routing->need.n = newest;
    *vec_add(&s->routing->marks) =
        (struct reply_mark){begin, s->out.put, need, asked, (uint16_t)slot, (uint8_t)kind, client};
}

static bool mark_is_held(const struct repl *r, const struct reply_mark *m)
{
    return m->slot < SLOTS ? repl_is_held(r, m->slot, m->need, m->asked)
                           : repl_all_held(r, m->need, m->asked);
}

bool marks_held(const struct node *n, const struct session *s, size_t *from, uint64_t end)
{
    const struct routing *r = s->routing;
    size_t i = *from;
    for (; r != NULL && i < r->marks.n && r->marks.at[i].begin < end; i++) {
        const struct reply_mark *m = &r->marks.at[i];
        const struct repl *repl = &n->cluster->replicas->repl;
        if (m->kind == MARK_FREE)
            continue;
        if (n->cluster->lapsed_until.us != MONO_NEVER.us)
            return false; /* 7 */
        if (m->need == 0)
            continue;
        if (!mark_is_held(repl, m))
            return false;
    }
    *from = i > *from ? i - 1 : i;
    return true;
}

bool marks_wait_for_big(const struct node *n, const struct session *s, uint64_t end)
{
    const struct routing *r = s->routing;
    const struct repl *repl = &n->cluster->replicas->repl;
    for (size_t i = 0; i < r->marks.n && r->marks.at[i].begin < end; i++) {
        const struct reply_mark *m = &r->marks.at[i];
        if (m->kind != MARK_FREE && m->need > 0 && !mark_is_held(repl, m))
            return m->slot < SLOTS ? repl_takes_big(repl, m->slot) : repl_anyone_takes_big(repl);
    }
    return false;
}

void marks_left(struct session *s)
{
    struct routing *r = s->routing;
    size_t left = 0;
    while (left < r->marks.n && r->marks.at[left].end <= s->open_end)
        left++;
    if (left == 0)
        return;
    r->marks.n -= left;
    if (r->marks.n > 0)
        memmove(r->marks.at, r->marks.at + left, r->marks.n * sizeof(r->marks.at[0]));
    else
        vec_free(&r->marks); /* an idle session holds no buffers */
}

void reply_moved(struct node *n, struct reply *r, unsigned slot, uint16_t place)
{
    const struct endpoint *at = &n->cluster->map.nodes.at[place].at;
    const char *host = at->ip;
    if (n->options->cluster_preferred_endpoint_type == ENDPOINT_HOSTNAME && at->hostname[0] != '\0')
        host = at->hostname;
    if (n->options->cluster_preferred_endpoint_type == ENDPOINT_UNKNOWN)
        host = "";
    reply_errorf(r, "MOVED %u %s:%u", slot, host, at->port);
}

/* Which replies are closed. */
struct closing {
    const struct bits *slots; /* of these, which another has now; NULL: of all */
    const char *why;
    uint64_t from; /* and that end behind this place of the output */
    /* but not of these of them: they were handed over, with everything of theirs held (26) */
    const struct bits *settled;
    bool all_settled;
};

/* Its replies are true: what they tell is held by W, of its last in-sync set. By more, if their
 * connection asked for it? */
static bool is_settled(const struct node *n, unsigned slot, uint32_t asked)
{
    const struct repl *r = &n->cluster->replicas->repl;
    return asked == REPL_ASKS_NOTHING || n->slots[slot].at.seq == 0 ||
           repl_is_held(r, slot, repl_newest(r, slot), asked);
}

static bool is_closed(const struct node *n, const struct closing *as, uint16_t slot, uint32_t asked)
{
    if (as->slots == NULL)
        return true;
    if (slot < SLOTS)
        return bits_has(as->slots, slot) &&
               !(bits_has(as->settled, slot) && is_settled(n, slot, asked));
    if (slot != SLOT_ANY || !as->all_settled)
        return slot == SLOT_ANY;
    for (unsigned i = bits_next(as->slots, 0); i < SLOTS; i = bits_next(as->slots, i + 1))
        if (!is_settled(n, i, asked))
            return true;
    return false;
}

/* Nothing of its slot can be waited for any more: this node is not told who holds it. */
static bool is_gone(const struct closing *as, uint16_t slot)
{
    return as->slots != NULL && slot < SLOTS && bits_has(as->slots, slot);
}

/* What is said in a reply's place (replication 9). */
static void put_fate(struct node *n, struct session *s, struct chain *to, uint16_t slot,
                     uint8_t kind, bool is_overtaken, const struct closing *as)
{
    struct reply r = {.out = to, .protocol = s->protocol};
    uint16_t primary = slot < SLOTS ? n->cluster->map.slots[slot].primary : MAP_NOBODY;
    if (kind == MARK_WRITE) {
        n->cluster->uncertain++;
        reply_errorf(&r, "UNCERTAIN the write may or may not have been kept: %s", as->why);
    } else if (is_overtaken) { /* else it would be asked again, and find its client's later write */
        reply_errorf(&r, "UNSERVED %s", as->why);
        routed_refused(s, slot);
    } else {
        if (as->slots != NULL && primary != MAP_NOBODY && primary != n->cluster->self.place)
            reply_moved(n, &r, slot, primary);
        else
            reply_errorf(&r, "CLUSTERDOWN %s", as->why);
        routed_refused(s, slot);
    }
    stats_error(n, r.error_code);
}

/* Who wrote what, of what ran behind a reply on a forwarder's connection. */
struct writes {
    bool any, wide[UINT8_MAX + 1];  /* of all slots, by client */
    struct bits *of[UINT8_MAX + 1]; /* by client; owned */
};

static void writes_add(struct writes *w, uint8_t kind, uint16_t slot, uint8_t client)
{
    if (kind != MARK_WRITE)
        return;
    w->any = true;
    w->wide[client] |= slot >= SLOTS;
    if (slot >= SLOTS)
        return;
    if (w->of[client] == NULL)
        w->of[client] = mem_zero(sizeof(struct bits));
    bits_add(w->of[client], slot);
}

/* Would the read, asked again, be answered from after one of its client's (10)? What others wrote
 * it may see. */
static bool writes_overtake(const struct writes *w, uint16_t slot, uint8_t client)
{
    if (slot >= SLOTS)
        return w->any;
    return w->wide[client] || (w->of[client] != NULL && bits_has(w->of[client], slot));
}

static void writes_free(struct writes *w)
{
    for (size_t i = 0; i <= UINT8_MAX; i++)
        mem_free(w->of[i]);
}

/* By mark: is it a forwarder's read, and was overtaken? */
static bool *marks_overtaken(const struct routing *r)
{
    struct writes behind = {0};
    bool *is = mem_zero(r->marks.n + 1);
    if (r->forward == 0)
        return is;
    for (const struct list *l = r->turns.next; l != &r->turns; l = l->next) {
        const struct turn *t = CONTAINER_OF(l, struct turn, in_session);
        writes_add(&behind, t->kind, t->slot, t->client);
    }
    for (size_t i = r->marks.n; i-- > 0;) {
        const struct reply_mark *m = &r->marks.at[i];
        is[i] = m->kind == MARK_READ && writes_overtake(&behind, m->slot, m->client);
        writes_add(&behind, m->kind, m->slot, m->client);
    }
    writes_free(&behind);
    return is;
}

/* The bytes before place p of the output as it was, and the gates among them. */
struct recut {
    struct session *s;
    const char *flat; /* the output as it was, */
    uint64_t base;    /* which began here */
    uint64_t at;
    size_t gate;
};

static void recut_upto(struct recut *c, uint64_t p, bool keep)
{
    struct session *s = c->s;
    while (c->gate < s->gates.n && s->gates.at[c->gate].end <= p) {
        uint64_t end = s->gates.at[c->gate].end;
        if (keep && end > c->at)
            chain_put(&s->out, slice_of(c->flat + (c->at - c->base), (size_t)(end - c->at)));
        c->at = end > c->at ? end : c->at;
        s->gates.at[c->gate++].end = s->out.put;
    }
    if (keep && p > c->at)
        chain_put(&s->out, slice_of(c->flat + (c->at - c->base), (size_t)(p - c->at)));
    c->at = p > c->at ? p : c->at;
}

static bool mark_closes(const struct node *n, const struct reply_mark *m, const struct closing *as)
{
    return m->kind != MARK_FREE && m->end > as->from && is_closed(n, as, m->slot, m->asked);
}

static void output_close(struct node *n, struct session *s, const struct closing *as)
{
    struct routing *r = s->routing;
    size_t bytes = s->out.n;
    uint64_t end = s->out.put;
    char *flat = mem_get(bytes + 1);
    bool *overtaken = marks_overtaken(r);
    struct recut c = {
        .s = s, .flat = flat, .base = end - chain_copy(&s->out, flat, bytes), .at = s->open_end};
    chain_cut(&s->out, (size_t)(s->open_end - c.base), &n->store.graves);
    for (size_t i = 0; i < r->marks.n; i++) {
        struct reply_mark *m = &r->marks.at[i];
        bool closed = mark_closes(n, m, as);
        recut_upto(&c, m->begin, true);
        m->begin = s->out.put;
        if (closed) {
            put_fate(n, s, &s->out, m->slot, m->kind, overtaken[i], as);
            m->kind = MARK_FREE;
        }
        recut_upto(&c, m->end, !closed);
        m->end = s->out.put;
    }
    recut_upto(&c, end, true);
    mem_free(overtaken);
    mem_free(flat);
    session_produced(n, s);
}

static void marks_close(struct node *n, struct session *s, const struct closing *as)
{
    struct routing *r = s->routing;
    bool any = false;
    for (size_t i = 0; i < r->marks.n && !any; i++)
        any = mark_closes(n, &r->marks.at[i], as);
    if (any)
        output_close(n, s, as);
    for (size_t i = 0; i < r->marks.n; i++)
        if (is_gone(as, r->marks.at[i].slot))
            r->marks.at[i].kind = MARK_FREE;
}

static void turns_close(struct node *n, struct session *s, const struct closing *as)
{
    struct routing *r = s->routing;
    if (list_empty(&r->turns))
        return; /* as of nearly every session */
    struct writes behind = {0};
    for (struct list *l = r->turns.prev; l != &r->turns; l = l->prev) {
        struct turn *t = CONTAINER_OF(l, struct turn, in_session);
        bool waits = !t->done && t->gather != NULL && !t->lost;
        bool overtaken = r->forward != 0 && writes_overtake(&behind, t->slot, t->client);
        if (r->forward != 0)
            writes_add(&behind, t->kind, t->slot, t->client);
        if (t->kind == MARK_FREE || !(waits || (t->done && t->replies > 0)))
            continue;
        bool closed = is_closed(n, as, t->slot, t->asked);
        if (closed) {
            chain_free(&t->bytes, &n->store.graves);
            put_fate(n, s, &t->bytes, t->slot, t->kind, overtaken, as);
            t->lost = waits;
        }
        if (closed || is_gone(as, t->slot))
            t->kind = MARK_FREE;
    }
    writes_free(&behind);
}

/* Replies that have not left, to their end: their fate is told in their place. */
void replies_fail(struct node *n, struct session *s, uint64_t from, const char *why)
{
    marks_close(n, s, &(struct closing){.why = why, .from = from});
}

void replies_fail_owed(struct node *n, struct session *s, const char *why)
{
    turns_close(n, s, &(struct closing){.why = why});
}

/* Those that are owed for later, too. */
static void close_replies(struct node *n, const struct closing *as, struct node_out *out)
{
    for (struct list *l = n->sessions.next; l != &n->sessions; l = l->next) {
        struct session *s = CONTAINER_OF(l, struct session, in_all);
        marks_close(n, s, as);
        turns_close(n, s, as);
        if (s->held == HELD_MIGRATE && as->slots != NULL && bits_has(as->slots, migrate_slot(s)))
            migrate_lost(n, s, as->why, out);
    }
}

/* What was run keeps its replies back: they are as true as ever should the lease come back before
 * its slot has another epoch, as it does where the process, or the machine, stood still for a
 * moment. What would go on by itself ends. */
static void lease_lapses(struct node *n, struct node_out *out)
{
    struct cluster *c = n->cluster;
    c->unleased = n->now;
    c->lapsed_until = mono_after(n->now, map_lease_us(&c->map) / 2);
    for (struct list *l = n->sessions.next; l != &n->sessions; l = l->next) {
        struct session *s = CONTAINER_OF(l, struct session, in_all);
        if (s->waiting != NULL)
            waiting_lost(n, s, lease_lost, out);
        else if (s->held == HELD_MIGRATE)
            migrate_lost(n, s, lease_lost, out);
    }
}

/* It does not come back so soon. */
static void lease_is_over(struct node *n, struct node_out *out)
{
    n->cluster->lapsed_until = MONO_NEVER;
    close_replies(n, &(struct closing){.why = lease_lost}, out);
}

/* ------------------------------------------------------------------- the map */

/* The epoch in which this node serves a slot; 0: it does not. While it loads it serves none. */
static uint64_t serves(const struct node *n, unsigned slot)
{
    const struct cluster *c = n->cluster;
    bool mine = !n->loading && map_is_primary(&c->map, slot, c->self.place, c->self.incarnation);
    return mine ? c->map.slots[slot].epoch : 0;
}

/* Epochs that begin here among these, in runs of slots; and `served` follows. */
static void slots_begin(struct node *n, const struct bits *slots)
{
    struct cluster *c = n->cluster;
    for (unsigned slot = bits_next(slots, 0); slot < SLOTS; slot = bits_next(slots, slot + 1)) {
        uint64_t epoch = serves(n, slot);
        unsigned to = slot;
        bool begins = epoch != 0 && c->served[slot] != epoch;
        while (begins && to + 1 < SLOTS && serves(n, to + 1) == epoch && c->served[to + 1] != epoch)
            to++;
        if (begins)
            own_begin(n, slot, to, epoch);
        for (unsigned i = slot; i <= to; i++) {
            c->mine_n += epoch != 0;
            c->mine_n -= c->served[i] != 0;
            c->served[i] = epoch;
        }
        slot = to;
    }
}

/* It joined in this run, or founded: what its log says of slots that hold nothing was another
 * cluster's, or a lone server's. Positions of two clusters are alike by chance, and say nothing of
 * what the other lacks (23). */
static void forget_former_cluster(struct node *n)
{
    struct cluster *c = n->cluster;
    bool is_member = c->self.place != MAP_NOBODY;
    const struct map_node *me = is_member ? &c->map.nodes.at[c->self.place] : NULL;
    bool was = c->is_member && cluster_id_equal(&c->of, &c->map.cluster);
    if (n->loading)
        return;
    c->is_member = is_member;
    c->of = c->map.cluster;
    if (!is_member || was || me->incarnation != c->self.incarnation || me->health_index != 0)
        return; /* of a run before this one: its RESTART is newer than its JOIN */
    struct bits former = {0};
    for (unsigned slot = 0; slot < SLOTS; slot++)
        if (!own_has(n, slot) && n->slots[slot].starts_n > 0 &&
            store_slot_keys_n(&n->store, slot) == 0)
            bits_add(&former, slot);
    own_drop(n, &former);
}

/* Of slots handed over as empty (26, P15) what this node's log has of the epochs before was
 * acknowledged by fewer than all, and lost to an election: nobody is to read it again. */
static void drop_lost(struct node *n, const struct bits *slots)
{
    struct bits lost = {0};
    if (n->loading)
        return;
    for (unsigned slot = bits_next(slots, 0); slot < SLOTS; slot = bits_next(slots, slot + 1))
        if (n->slots[slot].at.seq > 0 && n->slots[slot].epoch < n->cluster->map.slots[slot].anew)
            bits_add(&lost, slot);
    own_drop(n, &lost);
}

/* It was proposed, after which nothing was run, and has come about: nothing else ends an epoch
 * while its lease is valid. What came from memory alone W need not hold (28). */
static bool is_handed_over(const struct cluster *c, unsigned slot)
{
    const struct map_slot *s = &c->map.slots[slot];
    return c->self.leased && bits_has(&c->proven, slot) && s->primary != MAP_NOBODY &&
           s->epoch == c->served[slot] + 1;
}

/* Which of these slots this node serves may have changed: replies of those it lost are closed, keys
 * of them that somebody watches are touched (replication 9, 10). */
static void slots_changed(struct node *n, const struct bits *slots, struct node_out *out)
{
    struct cluster *c = n->cluster;
    struct bits lost = {0}, settled = {0};
    unsigned lost_n = 0, settled_n = 0;
    for (unsigned slot = bits_next(slots, 0); slot < SLOTS; slot = bits_next(slots, slot + 1)) {
        uint64_t now = serves(n, slot);
        if (c->map.slots[slot].primary == MAP_NOBODY)
            bits_add(&c->electing, slot);
        else
            bits_remove(&c->electing, slot);
        if (c->served[slot] == now || c->served[slot] == 0)
            continue;
        bits_add(&lost, slot);
        lost_n++;
        if (is_handed_over(c, slot)) {
            bits_add(&settled, slot);
            settled_n++;
        }
        own_end(n, slot);
    }
    if (lost_n > 0)
        close_replies(n, &(struct closing){&lost, slot_lost, 0, &settled, lost_n == settled_n},
                      out);
    forget_former_cluster(n);
    drop_lost(n, slots);
    slots_begin(n, slots);
    c->slot_bits = c->mine_n > 0 ? log2((double)SLOTS / c->mine_n) : 0;
    if (lost_n == 0)
        return;
    watch_slots_lost(n, &lost);
    waiting_look(n, out);
}

static void tell(struct node_out *out, struct word w)
{
    *vec_add(&out->words) = w;
}

static bool has_copy(const struct cluster *c, unsigned slot)
{
    return map_replicas_have(&c->map.slots[slot], c->self.place);
}

/* Slots without a primary that this node has a copy of: from now on it takes nothing of their last
 * epoch, and tells where it stands as soon as that is on the disk (replication 20). */
static void report_begin(struct node *n)
{
    struct cluster *c = n->cluster;
    c->reports = false;
    for (unsigned slot = bits_next(&c->electing, 0); slot < SLOTS;
         slot = bits_next(&c->electing, slot + 1)) {
        const struct map_slot *s = &c->map.slots[slot];
        if (!has_copy(c, slot))
            continue;
        c->reports = true;
        unsigned to = slot;
        while (to + 1 < SLOTS && bits_has(&c->electing, to + 1) && has_copy(c, to + 1) &&
               c->map.slots[to + 1].epoch == s->epoch && n->slots[to + 1].fence < s->epoch)
            to++;
        if (n->slots[slot].fence < s->epoch) {
            c->report_at = own_fence(n, slot, to, s->epoch);
            slot = to;
        }
    }
}

static void report_look(struct node *n, struct node_out *out)
{
    struct cluster *c = n->cluster;
    if (!c->reports ||
        (n->journal.state != JOURNAL_OFF && !lsn_reached(n->journal.synced, c->report_at)))
        return;
    VEC(struct word_position) at = {0};
    for (unsigned slot = bits_next(&c->electing, 0); slot < SLOTS;
         slot = bits_next(&c->electing, slot + 1))
        if (has_copy(c, slot))
            *vec_add(&at) = (struct word_position){.slot = (uint16_t)slot, .at = n->slots[slot].at};
    c->reports = false;
    tell(out, (struct word){.type = WORD_REPORT,
                            .report = {.base = c->map.index,
                                       .incarnation = c->self.incarnation,
                                       .clean_since = c->clean_since,
                                       .data_since = c->data_since,
                                       .slots = at.at,
                                       .slots_n = at.n}});
}

/* Nothing of slots changed but in these: no others are looked at. */
static void map_changed(struct node *n, const struct bits *changed, struct node_out *out)
{
    struct cluster *c = n->cluster;
    const struct map *m = &c->map;
    c->self.place = m->index > 0 ? map_find(m, &c->id) : MAP_NOBODY;
    bool slots = c->seen_slots != m->slots_ver, nodes = c->seen_nodes != m->nodes_ver;
    c->seen_slots = m->slots_ver;
    c->seen_nodes = m->nodes_ver;
    if (slots || nodes)
        slots_changed(n, changed, out);
    settings_follow(n);
    if (c->self.place != MAP_NOBODY &&
        m->nodes.at[c->self.place].proposed_n >= c->replicas->repl.proposed_n)
        handover_fate_known(c); /* replication 12 */
    replicate_map(n, slots || nodes, changed, out);
    peer_look(n, out);
    c->parked_at = c->leave_at = n->now;
    tell(out, (struct word){.type = WORD_APPLIED, .applied = m->index});
    if ((slots || nodes) && !n->loading && c->self.place != MAP_NOBODY)
        report_begin(n);
}

static void ask_answered(struct node *n, uint64_t token, const char *error, struct node_out *out)
{
    for (struct list *l = n->sessions.next; l != &n->sessions; l = l->next) {
        struct session *s = CONTAINER_OF(l, struct session, in_all);
        if (s->held != HELD_ASK || s->routing->token != token)
            continue;
        struct chain silent = {0};
        struct reply r = session_owed_reply(s, &silent);
        if (error[0] == '\0') {
            reply_ok(&r);
        } else {
            reply_error(&r, slice_str(error));
            stats_error(n, r.error_code);
        }
        session_owed_done(n, s, &silent, out);
        return;
    }
}

void ask_due(struct node *n, struct session *s, struct node_out *out)
{
    ask_answered(
        n, s->routing->token,
        "TRYAGAIN the cluster did not answer in time; CLUSTER NODES tells whether it was done",
        out);
}

static void view_take(struct cluster *c, const struct word_view *v)
{
    mem_free(c->view.peers);
    c->view = *v;
    c->view.peers = NULL;
    if (v->peers_n == 0)
        return;
    c->view.peers = mem_get(v->peers_n * sizeof(v->peers[0]));
    memcpy(c->view.peers, v->peers, v->peers_n * sizeof(v->peers[0]));
}

/* This node is to join another cluster. With keys it stays where it is; else it serves nothing from
 * here on: what comes is refused as without a lease, until the next map. */
static void close_cluster(struct node *n, struct node_out *out)
{
    struct cluster *c = n->cluster;
    bool closes = !n->loading && store_keys_n(&n->store, 0) + store_aside_keys_n(&n->store) == 0;
    if (closes) {
        c->closed = true;
        c->self.leased = false;
        lease_lapses(n, out);
        lease_is_over(n, out);
    }
    tell(out, (struct word){.type = WORD_CLOSED, .closed = closes});
}

static void take_entry(struct node *n, uint64_t index, const struct map_entry *e,
                       struct node_out *out)
{
    struct cluster *c = n->cluster;
    struct map_applied done = {.is_void = true};
    struct bits changed = {0};
    if (e != NULL)
        done = map_apply(&c->map, index, e);
    c->map.index = index;
    if (!done.is_void && !map_entry_slots(e, &changed))
        bits_fill(&changed);
    map_changed(n, &changed, out);
}

static void take_map(struct node *n, const struct map *map, struct node_out *out)
{
    struct cluster *c = n->cluster;
    struct bits all;
    bits_fill(&all);
    map_copy(&c->map, map);
    c->closed = false;
    c->seen_slots = UINT64_MAX; /* whatever they were */
    repl_map_jumps(&c->replicas->repl);
    map_changed(n, &all, out);
}

void cluster_word(struct node *n, const struct word *w, struct node_out *out)
{
    struct cluster *c = n->cluster;
    check(c != NULL);
    switch (w->type) {
    case WORD_ENTRY: take_entry(n, w->entry.index, w->entry.entry, out); break;
    case WORD_MAP: take_map(n, w->map, out); break;
    case WORD_ANSWER: ask_answered(n, w->answer.token, w->answer.error, out); break;
    case WORD_VIEW: view_take(c, w->view); break;
    case WORD_CLOSE: close_cluster(n, out); break;
    case WORD_ASK:
    case WORD_APPLIED:
    case WORD_PROPOSE:
    case WORD_REPORT:
    case WORD_CLOSED: check_failed("a word for the data plane", __FILE__, __LINE__);
    }
}

static size_t list_n(const struct list *head)
{
    size_t n = 0;
    for (const struct list *l = head->next; l != head; l = l->next)
        n++;
    return n;
}

struct proxy_view cluster_proxy_view(const struct node *n)
{
    const struct cluster *c = n->cluster;
    struct proxy_view v = {.parked = list_n(&c->parked)};
    for (size_t i = 0; i < c->map.nodes.n; i++) {
        v.nodes += c->map.nodes.at[i].used;
        v.up += c->map.nodes.at[i].used && c->map.nodes.at[i].health == MAP_UP;
    }
    for (unsigned slot = 0; c->map.index > 0 && slot < SLOTS; slot++)
        v.slots_served += c->map.slots[slot].primary != MAP_NOBODY;
    for (const struct list *l = c->links.next; l != &c->links; l = l->next) {
        const struct peer_link *p = CONTAINER_OF(l, struct peer_link, in_cluster);
        v.links++;
        v.own_links += p->pooled;
        v.sent += list_n(&p->sent);
    }
    return v;
}

/* --------------------------------------------------------------------- steps */

/* Whether there is a lease is known before anything else is done, or leaves (replication 7): at
 * RELEASE, too, whose clock was read after the commands ran. */
void cluster_step_begin(struct node *n, const struct node_event *ev, struct node_out *out)
{
    struct cluster *c = n->cluster;
    c->lease = ev->lease;
    c->self.leased = n->now.us < c->lease.us && !c->closed;
    c->self.refuses =
        n->options->cluster_require_full_coverage && bits_next(&c->electing, 0) < SLOTS;
    c->self.reads_when_down = n->options->cluster_allow_reads_when_down;
    if (c->was_leased && !c->self.leased)
        lease_lapses(n, out);
    if (c->self.leased)
        c->lapsed_until = MONO_NEVER;
    else if (mono_reached(n->now, c->lapsed_until))
        lease_is_over(n, out);
    if (!c->was_leased && c->self.leased)
        c->parked_at = n->now;
    c->was_leased = c->self.leased;
}

/* No gate waits longer than 2 T (replication 9). A new one is seen within T. */
static void gates_look(struct node *n)
{
    struct cluster *c = n->cluster;
    int64_t node_timeout_us = map_timeout_us(&c->map.settings);
    if (n->gated.n == 0) {
        c->gates_at = MONO_NEVER;
    } else if (c->gates_at.us == MONO_NEVER.us) {
        c->gates_at = mono_after(n->now, node_timeout_us);
    } else if (mono_reached(n->now, c->gates_at)) {
        struct mono due = session_gates_old(n, 2 * node_timeout_us,
                                            "it waited too long for the disk, or for its replicas");
        c->gates_at = mono_earlier(due, mono_after(n->now, node_timeout_us));
    }
}

/* What the map said meanwhile. */
static void loaded(struct node *n, struct node_out *out)
{
    struct cluster *c = n->cluster;
    struct bits all;
    bits_fill(&all);
    c->loaded = true;
    slots_changed(n, &all, out);
    replicate_map(n, true, &all, out);
    if (c->self.place != MAP_NOBODY)
        report_begin(n);
}

void cluster_step_end(struct node *n, struct node_out *out)
{
    struct cluster *c = n->cluster;
    if (!c->loaded && !n->loading)
        loaded(n, out);
    report_look(n, out);
    cluster_leave_look(n, out);
    handover_go_on(n, out);
    replicate_look(n, out);
    gates_look(n);
    if (c->any_forsaken || mono_reached(n->now, peer_due(n)))
        peer_look(n, out);
    flights_look(n, out);
    peer_flush(n, out);
}

struct mono cluster_due(const struct node *n)
{
    const struct cluster *c = n->cluster;
    struct mono due = mono_earlier(mono_earlier(c->parked_at, c->gates_at), peer_due(n));
    due = mono_earlier(mono_earlier(due, c->preparing_until), replicate_due(n));
    due = mono_earlier(due, c->lapsed_until);
    if (c->leaves)
        due = mono_earlier(due, c->leave_at);
    return c->self.leased ? mono_earlier(due, c->lease) : due;
}

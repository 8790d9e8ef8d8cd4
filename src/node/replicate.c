/* SPDX-License-Identifier: BSD-3-Clause */

/* As primary: links to the nodes that have copies (replication 3, 4, 14, 23, 24). */
#include "node/replicate.h"

#include "base/check.h"
#include "node/cluster.h"

enum { RECORDS_FEW = 64 }; /* fewer than these are sent as they are, however few keys there are */
/* With more unsent on a link that takes in big records, writers wait: see replicate_holds. */
enum { LINK_BEHIND_BYTES = 64 * 1024 * 1024 };
/* In a turn, which has several steps, over all links: each under a millisecond. */
enum { TURN_RECORD_BYTES = 128 * 1024, TURN_DUMP_BYTES = 32 * 1024 };

static struct replicas *of(const struct node *n)
{
    return n->cluster->replicas;
}

static struct repl_link *link_at(const struct node *n, uint32_t id)
{
    for (size_t i = 0; n->cluster != NULL && i < of(n)->links.n; i++)
        if (of(n)->links.at[i] != NULL && of(n)->links.at[i]->id == id)
            return of(n)->links.at[i];
    return NULL;
}

static void say(struct repl_ops *ops, uint16_t place, bool to_replica, const struct repl_message *m)
{
    struct replicas *r = CONTAINER_OF(ops, struct replicas, ops);
    if (to_replica) {
        put_repl(&r->links.at[place]->out, m);
        return;
    }
    struct session *s = r->guests.at[place];
    put_repl(&s->out, m);
    session_produced(r->node, s);
}

/* A record sent stands for about one key of a dump; which is built and swapped in, and
 * is better avoided. */
static bool may_log(struct repl_ops *ops, unsigned slot, uint64_t records)
{
    const struct node *n = CONTAINER_OF(ops, struct replicas, ops)->node;
    return records <= 2 * store_slot_keys_n(&n->store, slot) + RECORDS_FEW && catch_up_may(n);
}

struct replicas *replicas_new(struct node *n)
{
    struct replicas *r = mem_zero(sizeof(*r));
    r->node = n;
    r->ops = (struct repl_ops){.say = say, .may_log = may_log};
    r->part_bytes = DUMP_PART_BYTES;
    r->records_left = TURN_RECORD_BYTES;
    r->dumps_left = TURN_DUMP_BYTES;
    buf_init(&r->record, SIZE_MAX / 2);
    memory_begin(r);
    repl_init(&r->repl, &r->ops, &n->cluster->map, n->slots,
              (uint64_t)n->options->repl_backlog_size);
    return r;
}

static void link_free(struct replicas *r, struct repl_link *l)
{
    r->links.at[l->place] = NULL;
    wire_reader_free(&l->reader);
    buf_free(&l->in);
    chain_free(&l->out, NULL);
    mem_free(l);
}

void replicas_free(struct node *n)
{
    struct replicas *r = of(n);
    dump_free(n);
    compare_free(n);
    for (size_t i = 0; i < r->links.n; i++)
        if (r->links.at[i] != NULL) {
            catch_up_drop(n, r->links.at[i]->id);
            link_free(r, r->links.at[i]);
        }
    vec_free(&r->links);
    vec_free(&r->guests);
    vec_free(&r->dial_at);
    vec_free(&r->wishes.at);
    evict_pool_free(&r->evict);
    buf_free(&r->record);
    repl_read_free(&r->read);
    aof_batch_free(&r->batch);
    aof_batch_free(&r->record_batch);
    repl_free(&r->repl);
    mem_free(r);
}

void replicate_options(struct node *n)
{
    struct backlog *b = &of(n)->repl.backlog;
    if (b->asked != (uint64_t)n->options->repl_backlog_size)
        backlog_resize(b, (uint64_t)n->options->repl_backlog_size);
}

/* ------------------------------------------------------------------ records */

/* Its big values are copied nowhere: the log and the links share them with the keyspace. */
static void record_parts(struct node *n, unsigned slot, struct position at, uint64_t before,
                         struct chain *bytes)
{
    struct chain record = {0};
    record_put(&record, slot, at, bytes);
    struct lsn lsn = journal_append_parts(&n->journal, slot, at, &record);
    repl_record(&of(n)->repl, slot, before, lsn.n, (struct slice){NULL, 0}, &record);
    if (dump_is_of(n, slot)) {
        size_t flat_n;
        char *flat = chain_flat(&record, &n->store.graves, &flat_n);
        dump_record(n, slot, slice_of(flat, flat_n));
        mem_free(flat);
    }
    chain_free(&record, &n->store.graves);
}

void replicate_record(struct node *n, unsigned slot, struct chain *bytes, unsigned db)
{
    struct replicas *r = of(n);
    const struct lineage *l = &n->slots[slot];
    struct position at = {l->epoch, l->at.seq + 1};
    uint64_t before = l->at.seq == 0 ? 0 : l->at.epoch;
    check(db == 0);
    if (bytes->n > CHAIN_REF_BYTES) {
        record_parts(n, slot, at, before, bytes);
        return;
    }
    buf_clear(&r->record);
    record_put_flat(&r->record, slot, at, bytes);
    struct lsn lsn = journal_append_record(&n->journal, slot, at, buf_slice(&r->record));
    repl_record(&r->repl, slot, before, lsn.n, buf_slice(&r->record), NULL);
    dump_record(n, slot, buf_slice(&r->record));
}

/* --------------------------------------------------------------------- links */

static void link_end(struct node *n, struct repl_link *l)
{
    uint16_t place = l->place;
    catch_up_drop(n, l->id);
    of(n)->dial_at.at[place] = mono_after(n->now, map_timeout_us(&n->cluster->map.settings) / 20);
    link_free(of(n), l);
    repl_peer_closed(&of(n)->repl, place);
}

/* Who is at a place that a link was dialed for: in another cluster's map there may be
 * no such place. */
static const struct map_node *node_at(const struct node *n, uint16_t place)
{
    static const struct map_node nobody = {.used = false};
    return place < n->cluster->map.nodes.n ? &n->cluster->map.nodes.at[place] : &nobody;
}

static void hang_up(struct node *n, struct repl_link *l, const char *why, struct node_out *out)
{
    const struct endpoint *to = &node_at(n, l->place)->at;
    log_say(n->log, LOG_LEVEL_VERBOSE, "the replication link to %s:%u is closed: %s", to->ip,
            (unsigned)to->cluster_port, why);
    *vec_add(&out->hang_up) = l->id;
    link_end(n, l);
}

static void dial(struct node *n, uint16_t place, struct node_out *out)
{
    struct replicas *r = of(n);
    const struct map_node *to = &n->cluster->map.nodes.at[place];
    struct repl_link *l = mem_zero(sizeof(*l));
    l->id = ++n->last_link;
    l->place = place;
    l->peer = to->id;
    l->incarnation = to->incarnation;
    l->reader = (struct wire_reader){.from = WIRE_ANSWERS, .open = true};
    buf_init(&l->in, SIZE_MAX / 2);
    r->links.at[place] = l;
    *vec_add(&out->dial) = (struct node_dial){.link = l->id,
                                              .host = slice_str(to->at.ip),
                                              .port = to->at.cluster_port,
                                              .use = USE_REPL,
                                              .peer = to->id};
}

/* What is made while it catches up is taken from the backlog later, or from a dump. */
static bool is_slow(const struct node *n, const struct repl_link *l)
{
    int64_t hard = n->options->client_output_buffer_limit.of[CLIENT_REPLICA].hard;
    return hard > 0 && link_unsent(l) > (size_t)hard + l->dump_left;
}

static const char *over_why(const struct node *n, const struct repl_link *l)
{
    const struct map_node *to = node_at(n, l->place);
    const struct repl_peer *peer = &of(n)->repl.peers.at[l->place];
    if (!to->used || !node_id_equal(&to->id, &l->peer))
        return "its node is no member of the cluster any more";
    if (to->incarnation != l->incarnation)
        return "its node was restarted";
    if (!peer->wanted)
        return "no slot has a copy there";
    if (to->health == MAP_DOWN)
        return "its node is down";
    if (is_slow(n, l))
        return "what it has not read is over the hard client-output-buffer-limit of replicas";
    if (dump_is_stuck(n, l->place)) /* a dump is anew once that node pulls it */
        return "its node takes nothing of a dump that writers wait for";
    return repl_is_silent(&of(n)->repl, l->place) ? "its node is silent" : NULL;
}

static void links_look(struct node *n, struct node_out *out)
{
    struct replicas *r = of(n);
    for (uint16_t place = 0; place < r->repl.peers.n; place++) {
        while (r->links.n <= place) {
            *vec_add(&r->links) = NULL;
            *vec_add(&r->dial_at) = (struct mono){0};
        }
        const struct map_node *to = node_at(n, place);
        struct repl_link *l = r->links.at[place];
        const char *why = l != NULL ? over_why(n, l) : NULL;
        if (why != NULL)
            hang_up(n, l, why, out);
        else if (l == NULL && r->repl.peers.at[place].wanted && to->health != MAP_DOWN &&
                 mono_reached(n->now, r->dial_at.at[place]))
            dial(n, place, out);
    }
}

bool replicate_dialed(struct node *n, uint32_t link, enum node_dialed how, uint32_t incarnation,
                      struct node_out *out)
{
    struct repl_link *l = link_at(n, link);
    if (l == NULL)
        return false;
    if (how != NODE_DIALED_OK) {
        link_end(n, l);
    } else if (incarnation != l->incarnation) { /* the map will tell of it */
        hang_up(n, l, "its node runs anew", out);
    } else {
        l->open = true;
        repl_peer_opened(&of(n)->repl, l->place, incarnation);
    }
    return true;
}

bool replicate_took(struct node *n, uint32_t link, size_t left)
{
    struct repl_link *l = link_at(n, link);
    if (l == NULL)
        return false;
    l->left = left;
    return true;
}

/* Else it would be closed for client-output-buffer-limit, and its copies begun anew. Each write
 * waits for the slowest in any case; who lags is waited for no longer (14). */
bool replicate_holds(const struct node *n)
{
    const struct replicas *r = of(n);
    bool holds = false;
    if (n->cluster->map.settings.write_quorum != MAP_W_ALL)
        return false;
    for (size_t i = 0; i < r->links.n && !holds; i++)
        holds = r->links.at[i] != NULL && link_unsent(r->links.at[i]) > LINK_BEHIND_BYTES &&
                repl_peer_takes_big(&r->repl, (uint16_t)i);
    return holds;
}

bool replicate_closed(struct node *n, uint32_t link)
{
    struct repl_link *l = link_at(n, link);
    if (l == NULL)
        return false;
    link_end(n, l);
    return true;
}

/* ------------------------------------------------------------------ answers */

static void left(struct node *n, uint16_t place, struct slice why)
{
    const struct endpoint *to = &node_at(n, place)->at;
    log_say(n->log, LOG_LEVEL_NOTICE, "the node at %s:%u follows no slots any more: %.*s", to->ip,
            (unsigned)to->cluster_port, (int)why.n, why.p);
    repl_leaves(&of(n)->repl, place);
}

static void heard(struct node *n, uint16_t place, const struct repl_message *m)
{
    struct repl *r = &of(n)->repl;
    switch (m->type) {
    case REPL_SYNC: repl_wheres(r, place, m->wheres, m->n); break;
    case REPL_JOINS:
        for (size_t i = 0; i < m->n; i++)
            repl_joins(r, place, &m->rounds[i]);
        break;
    case REPL_ACK:
        repl_acked(r, place, &m->ack);
        dump_taken(n, place, m->ack.dumps);
        break;
    case REPL_PULL: dump_pulled(n, place, &m->pull); break;
    case REPL_DIGESTED: scrub_digested(r, place, &m->digested); break;
    case REPL_LEAVING: left(n, place, m->text); break;
    case REPL_FROM:
    case REPL_APPEND:
    case REPL_JOINED:
    case REPL_ALIVE:
    case REPL_DUMP:
    case REPL_DUMPED:
    case REPL_OFFER:
    case REPL_DIGEST:
    case REPL_BAD:
    case REPL_COMPARE: break; /* the reader takes none of these from there */
    }
}

/* Frames from the front of what was read. NULL, or why it is no such. */
static const char *read_frames(struct node *n, struct repl_link *l, size_t *used)
{
    for (*used = 0;;) {
        struct wire_in in;
        struct repl_message m;
        size_t frame = 0;
        switch (wire_next(&l->reader, slice_from(buf_slice(&l->in), *used), &in, &frame)) {
        case WIRE_MORE: return NULL;
        case WIRE_BAD: return l->reader.why;
        case WIRE_FRAME: break;
        }
        enum err err = get_repl(&in, &m, &of(n)->read);
        if (err != ERR_OK) {
            wire_why(&in, err, l->reader.why);
            return l->reader.why;
        }
        heard(n, l->place, &m);
        *used += frame;
    }
}

bool replicate_bytes(struct node *n, uint32_t link, struct slice in, struct node_out *out)
{
    struct repl_link *l = link_at(n, link);
    size_t used = 0;
    if (l == NULL)
        return false;
    repl_heard(&of(n)->repl, l->place);
    const char *why =
        buf_add(&l->in, in) == ERR_OK ? read_frames(n, l, &used) : "what it says is too long";
    buf_drop_front(&l->in, used);
    if (why != NULL) {
        log_say(n->log, LOG_LEVEL_WARNING, "a replica's node says what cannot be read: %s", why);
        hang_up(n, l, why, out);
    }
    return true;
}

/* ------------------------------------------------------- the end of a step */

static void pump(struct node *n, struct repl_link *l, struct disk_ops *disk)
{
    if (link_unsent(l) < LINK_ROOM_BYTES)
        l->dump_left = 0;
    if (link_unsent(l) < LINK_ROOM_BYTES &&
        !repl_pump(&of(n)->repl, l->place, &of(n)->records_left))
        of(n)->pumps |= link_unsent(l) < LINK_ROOM_BYTES;
    /* what was read up to meets what the backlog has now, or never */
    while (catch_up_look(n, l, disk)) {
        size_t most = LINK_ROOM_BYTES;
        while (link_unsent(l) < LINK_ROOM_BYTES && !repl_pump(&of(n)->repl, l->place, &most))
            most = LINK_ROOM_BYTES;
    }
    dump_look(n, l);
}

void replicate_turns(struct node *n)
{
    of(n)->records_left = TURN_RECORD_BYTES;
    of(n)->dumps_left = TURN_DUMP_BYTES;
}

/* Else who follows anew would have it all, link by link, and replies wait for who is in sync. */
static void pump_awaited(struct node *n)
{
    for (size_t i = 0; i < of(n)->links.n; i++) {
        struct repl_link *l = of(n)->links.at[i];
        if (l != NULL && l->open && link_unsent(l) < LINK_ROOM_BYTES)
            (void)repl_pump_awaited(&of(n)->repl, l->place, &of(n)->records_left);
    }
}

static void links_flush(struct node *n, struct node_out *out)
{
    of(n)->pumps = false;
    pump_awaited(n);
    for (size_t i = 0; i < of(n)->links.n; i++) {
        struct repl_link *l = of(n)->links.at[i];
        if (l == NULL || !l->open)
            continue;
        pump(n, l, &out->disk);
        if (l->out.n == 0)
            continue;
        l->left += l->out.n;
        *vec_add(&out->send) = (struct node_send){.link = l->id, .bytes = l->out};
        l->out = (struct chain){0};
    }
}

static bool isr_is(const struct map_isr_run *run, const struct isr *set)
{
    bool same = run->n == set->n;
    for (unsigned i = 0; same && i < set->n; i++)
        same = run->node[i] == set->node[i] && run->incarnation[i] == set->incarnation[i];
    return same;
}

/* What was found due becomes one entry (12). */
static void propose(struct node *n, const struct repl_wishes *w, struct node_out *out)
{
    struct cluster *c = n->cluster;
    VEC(struct map_isr_run) runs = {0};
    struct map_entry e = {
        .type = MAP_ISR, .base = c->map.index, .about = c->id, .incarnation = c->self.incarnation};
    for (size_t i = 0; i < w->at.n; i++) {
        const struct repl_wish *wish = &w->at.at[i];
        struct map_isr_run *run = runs.n > 0 ? &runs.at[runs.n - 1] : NULL;
        if (run == NULL || run->to + 1U != wish->slot || !isr_is(run, &wish->next)) {
            /* the rest once the fate of these is known: they are as in doubt as if it were void for
             * them */
            if (runs.n == MAP_ISR_RUNS)
                break;
            run = vec_add(&runs);
            *run = (struct map_isr_run){.from = wish->slot, .n = wish->next.n};
            memcpy(run->node, wish->next.node, sizeof(run->node));
            memcpy(run->incarnation, wish->next.incarnation, sizeof(run->incarnation));
        }
        run->to = wish->slot;
    }
    e.isr.n = w->n;
    e.isr.run = runs.at;
    e.isr.run_n = runs.n;
    *vec_add(&out->words) =
        (struct word){.type = WORD_PROPOSE, .entry = {.entry = map_entry_copy(&e)}};
    vec_free(&runs);
}

/* In these slots the present W holds for all that was acknowledged ("Settings"). */
static void propose_settled(struct node *n, const struct bits *slots, struct node_out *out)
{
    struct cluster *c = n->cluster;
    struct map_entry e = {.type = MAP_SETTLED,
                          .base = c->map.index,
                          .about = c->id,
                          .incarnation = c->self.incarnation,
                          .settled = *slots};
    *vec_add(&out->words) =
        (struct word){.type = WORD_PROPOSE, .entry = {.entry = map_entry_copy(&e)}};
}

static void thin_look(struct node *n, const struct bits *slots)
{
    struct cluster *c = n->cluster;
    for (unsigned slot = bits_next(slots, 0); slot < SLOTS; slot = bits_next(slots, slot + 1))
        if (c->served[slot] != 0 &&
            (repl_refuses(&of(n)->repl, slot, REPL_ASKS_NOTHING) ||
             repl_is_unstored(&of(n)->repl, slot) || repl_is_full(&of(n)->repl, slot)))
            bits_add(&c->thin, slot);
        else
            bits_remove(&c->thin, slot);
}

static void thin_look_all(struct node *n)
{
    struct bits all;
    bits_fill(&all);
    thin_look(n, &all);
}

static void clock_tell(struct node *n)
{
    const struct journal *j = &n->journal;
    repl_clock(&of(n)->repl, n->now, j->appended.n, journal_stored(j).n, j->synced.n,
               n->gate_floor.n);
}

void replicate_disk_failed(struct node *n)
{
    clock_tell(n);
    repl_disk_failed(&of(n)->repl);
    thin_look_all(n);
}

void replicate_map(struct node *n, bool members, const struct bits *slots, struct node_out *out)
{
    struct cluster *c = n->cluster;
    if (n->loading)
        return;
    clock_tell(n);
    if (members)
        guests_map(n, out);
    repl_map(&of(n)->repl, c->self.place, c->self.incarnation, members ? c->served : NULL, slots);
    thin_look(n, slots);
    bits_add_all(&of(n)->drops, slots);
    if (members)
        links_look(n, out);
}

void replicate_look(struct node *n, struct node_out *out)
{
    struct replicas *r = of(n);
    struct cluster *c = n->cluster;
    if (n->loading || c->self.place == MAP_NOBODY)
        return;
    clock_tell(n);
    bool thinner = repl_full_turned(&r->repl);
    if (repl_disk_caught_up(&r->repl) || thinner)
        thin_look_all(n);
    if (r->repl.to_join.n > 0) {
        guests_ack(n); /* what of it is not synced is said before who joins is counted on (4) */
        repl_join(&r->repl);
    }
    if (mono_reached(n->now, r->look_at)) {
        r->look_at = mono_after(n->now, map_lease_us(&n->cluster->map) / 20);
        repl_alive(&r->repl);
        links_look(n, out);
        guests_look(n, out);
        slots_drop(n);
    }
    repl_look(&r->repl, &c->handing, c->handing_until.us == MONO_NEVER.us, &r->wishes);
    if (r->wishes.propose)
        propose(n, &r->wishes, out);
    if (r->wishes.settles)
        propose_settled(n, &r->wishes.settled, out);
    compare_look(n);
    links_flush(n, out);
    dump_in_look(n);
}

struct mono replicate_due(const struct node *n)
{
    if (n->loading || n->cluster->self.place == MAP_NOBODY)
        return MONO_NEVER;
    return of(n)->pumps || dump_is_due(n)
               ? n->now
               : mono_earlier(compare_due(n), mono_earlier(of(n)->look_at, repl_due(&of(n)->repl)));
}

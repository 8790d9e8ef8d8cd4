/* SPDX-License-Identifier: BSD-3-Clause */

/* One host's data plane: what the shell does for it, with delays drawn. */
#include <stdio.h>

#include "base/check.h"
#include "node/cluster.h"
#include "node/replicate.h"
#include "resp/frame.h"
#include "tests/lib/fed.h"
#include "tests/lib/still_world.h"
#include "tests/sim/hosts.h"

enum { FIRST_CLUSTER_PORT = 7000 };
enum { SCRUB_S = 5 }; /* cluster-scrub-period: so short that troubles come in between */
enum { HANDED_US = 10 * 1000 * 1000 }; /* so long may a reply of a slot that is another's now wait behind others */
static const int64_t for_ever = INT64_C(1) << 60;

static struct rng *draws(struct host *h)
{
    return &h->world->rng;
}

/* ------------------------------------------------------------------------------ steps */

static void take_disk(struct host *h)
{
    for (size_t i = 0; i < h->out.disk.n; i++) {
        struct disk_op *op = &h->out.disk.at[i];
        struct disk_done done;
        if (op->type == DISK_WRITE && op->lane == LANE_LOG)
            hosts_record(h->world, h, &op->bytes);
        h->disk.now = h->world->planes.now;
        if (sim_disk_take(&h->disk, op, &done))
            *vec_add(&h->done) = done;
    }
    h->out.disk.n = 0;
}

static void carry(struct host *h, struct carriage *c, struct word *word)
{
    struct mono due = mono_after(h->world->planes.now, 1 + (int64_t)rng_below(draws(h), (uint64_t)h->world->word_max_us));
    if (c->words.n > 0 && !mono_reached(due, c->words.at[c->words.n - 1].due))
        due = c->words.at[c->words.n - 1].due; /* they keep their order */
    *vec_add(&c->words) = (struct carried){*word, due};
    if (c->words.n == 1)
        planes_plan(&h->world->planes, &c->due, due);
}

/* BREAK_HANDS_MORE: more slots are given away than the node has stopped serving. */
static void give_more(struct host *h, struct map_entry *e)
{
    for (unsigned s = 0; s < SLOTS; s++)
        if (own_has(h->node, s) && store_slot_keys_n(&h->node->store, s) == 0)
            bits_add(&e->handover.slots, s);
}

static void say_word(struct host *h, struct word *w)
{
    struct cluster *c = h->node->cluster;
    if (h->proxy != NULL) { /* nobody hears it */
        word_free(w);
        return;
    }
    if (w->type == WORD_PROPOSE && h->world->broken == BREAK_HANDS_MORE && w->entry.entry->type == MAP_HANDOVER)
        give_more(h, w->entry.entry);
    if (w->type == WORD_PROPOSE && w->entry.entry->type == MAP_HANDOVER && bits_n(&w->entry.entry->handover.slots) > 0)
        h->handed_us = h->world->planes.now.us;
    if (w->type == WORD_PROPOSE && w->entry.entry->type == MAP_HANDOVER)
        hosts_say(h->world, "host %u proposes a handover of %u slots, n %llu", h->plane->number,
                  bits_n(&w->entry.entry->handover.slots), (unsigned long long)w->entry.entry->handover.n);
    if (w->type == WORD_PROPOSE && w->entry.entry->type == MAP_ISR) {
        hosts_say(h->world, "host %u proposes %zu in-sync sets, n %llu", h->plane->number, w->entry.entry->isr.run_n,
                  (unsigned long long)w->entry.entry->isr.n);
        copies_proposed(h->world, &c->map, w->entry.entry);
    }
    if (w->type == WORD_REPORT) {
        hosts_say(h->world, "host %u reports %zu slots of map %llu", h->plane->number, w->report.slots_n,
                  (unsigned long long)w->report.base);
        if (w->report.base != c->map.index)
            planes_wrong(&h->world->planes, "a report of a map that is not applied (20)", h->plane->number);
        for (size_t i = 0; i < w->report.slots_n; i++)
            h->fences[w->report.slots[i].slot] = h->node->slots[w->report.slots[i].slot].fence;
        if (h->world->broken == BREAK_CLEAN_LIES)
            w->report.clean_since = 1;
    }
    carry(h, &h->up, w);
}

static struct tie *tie_of(struct host *h, uint32_t link)
{
    for (size_t i = 0; i < h->ties.n; i++)
        if (!h->ties.at[i]->of_map && h->ties.at[i]->link == link)
            return h->ties.at[i];
    return NULL;
}

void tie_free(struct host *h, struct tie *t)
{
    size_t i = 0;
    while (h->ties.at[i] != t)
        i++;
    h->ties.at[i] = h->ties.at[--h->ties.n];
    if (t->hello != NULL)
        hello_free(t->hello);
    mem_free(t->hello);
    buf_free(&t->unread);
    mem_free(t);
}

void tie_dial(struct host *h, const struct tie *as, uint16_t port)
{
    struct tie *t = mem_zero(sizeof(*t));
    *t = *as;
    t->host = h;
    buf_init(&t->unread, HOST_TEXT_BYTES);
    *vec_add(&h->ties) = t;
    t->conn = planes_dial(&h->world->planes, h->plane->number, (uint32_t)(port - FIRST_CLUSTER_PORT), false, t);
}

static void take_links(struct host *h)
{
    struct planes *w = &h->world->planes;
    for (size_t i = 0; i < h->out.dial.n; i++) {
        struct node_dial *d = &h->out.dial.at[i];
        check(d->use != USE_NONE);
        tie_dial(h, &(struct tie){.link = d->link, .use = d->use, .peer = d->peer}, d->port);
    }
    for (size_t i = 0; i < h->out.send.n; i++) {
        struct tie *t = tie_of(h, h->out.send.at[i].link);
        check(t != NULL && t->hello == NULL);
        planes_send(w, t->conn, true, &h->out.send.at[i].bytes);
        t->forged = t->use == USE_REPL && h->world->broken == BREAK_ACKS_EARLY;
        if (h->world->broken != (h->proxy != NULL ? BREAK_PROXY_RESENDS : BREAK_SENT_DENIED))
            *vec_add(&h->took) = t->link;
    }
    for (size_t i = 0; i < h->out.hang_up.n; i++) {
        struct tie *t = tie_of(h, h->out.hang_up.at[i]);
        if (t == NULL)
            continue;
        planes_close(w, t->conn, true);
        tie_free(h, t);
    }
    h->out.dial.n = h->out.send.n = h->out.hang_up.n = 0;
}

static void take_out(struct host *h)
{
    struct node_out *o = &h->out;
    take_disk(h);
    for (size_t i = 0; i < o->drop.n; i++)
        h->doors.at[o->drop.at[i]]->gone = true;
    for (size_t i = 0; i < o->resume.n; i++)
        h->doors.at[o->resume.at[i]]->held = false;
    take_links(h);
    for (size_t i = 0; i < o->words.n; i++)
        say_word(h, &o->words.at[i]);
    o->words.n = 0;
    planes_plan(&h->world->planes, &h->wake,
                o->wake.us == MONO_NEVER.us ? MONO_NEVER : (struct mono){o->wake.us + 1 - h->plane->skew_us});
}

static void step(struct host *h, struct node_event *ev)
{
    struct hosts *w = h->world;
    bool release = ev->type == NODE_RELEASE;
    ev->now = plane_clock(h->plane);
    ev->wall = (struct wall){1700000000000 + w->planes.now.us / 1000 + h->wall_ms};
    ev->lease = h->plane->lease;
    if (w->broken == (release ? BREAK_RELEASE_UNLEASED : BREAK_RUN_UNLEASED) && h->plane->lease.us > 0)
        ev->lease.us = for_ever;
    node_step(h->node, ev, &h->out);
    graves_free(node_graves(h->node));
    take_out(h);
    if (!release && h->release.place == 0)
        planes_plan(&w->planes, &h->release,
                    mono_after(w->planes.now, 1 + (int64_t)rng_below(draws(h), (uint64_t)w->release_max_us)));
}

/* ------------------------------------------------------------------------ connections */

static struct door *door_new(struct host *h, size_t conn, uint8_t use)
{
    struct door *d = mem_zero(sizeof(*d));
    uint32_t i = 0;
    while (i < h->doors.n && h->doors.at[i] != NULL)
        i++;
    if (i == h->doors.n)
        *vec_add(&h->doors) = NULL;
    *d = (struct door){.host = h, .number = i, .conn = conn, .use = use};
    buf_init(&d->in, HOST_TEXT_BYTES);
    h->doors.at[i] = d;
    h->world->planes.conns.at[conn].b_owner = d;
    return d;
}

static void door_free(struct door *d)
{
    d->host->doors.at[d->number] = NULL;
    buf_free(&d->in);
    mem_free(d);
}

static void door_close(struct door *d)
{
    struct host *h = d->host;
    planes_close(&h->world->planes, d->conn, false);
    if (d->opened)
        step(h, &(struct node_event){.type = NODE_CLOSED, .closed = d->number});
    door_free(d);
}

/* What lies there goes in; what is not taken stays, and is read again. */
static bool feed(struct door *d)
{
    struct host *h = d->host;
    struct fed fed;
    fed_read(&fed, buf_slice(&d->in), d->number);
    if (fed.n > 0) {
        uint64_t before = h->node->journal.appended.n;
        step(h, &(struct node_event){.type = NODE_REQUESTS, .requests = {fed.batch, fed.n}});
        if (d->use != USE_REPL && !hosts_leased(h) && h->node->journal.appended.n != before)
            planes_wrong(&h->world->planes, "a record was made without a lease (7)", h->plane->number);
    }
    size_t taken = fed_end(&fed, &d->in);
    d->held = taken < fed.n;
    return taken > 0;
}

/* BREAK_ACKS_EARLY: all that was sent to that node is held there. */
static bool forge(struct host *h)
{
    struct tie *t = NULL;
    for (size_t i = 0; i < h->ties.n && t == NULL; i++)
        t = h->ties.at[i]->forged ? h->ties.at[i] : NULL;
    if (t == NULL)
        return false;
    t->forged = false;
    uint16_t place = map_find(&h->node->cluster->map, &t->peer);
    const struct repl *r = &h->node->cluster->replicas->repl;
    if (place >= r->peers.n)
        return true;
    struct chain bytes = {0};
    char text[128];
    put_repl(&bytes, &(struct repl_message){.type = REPL_ACK, .ack = {r->peers.at[place].sent, r->peers.at[place].sent}});
    check(bytes.n <= sizeof(text));
    struct slice in = slice_of(text, chain_copy(&bytes, text, sizeof(text)));
    chain_free(&bytes, NULL);
    step(h, &(struct node_event){.type = NODE_LINK_BYTES, .link = {.link = t->link, .in = in}});
    return true;
}

static bool move(struct host *h)
{
    if (forge(h))
        return true;
    if (h->done.n > 0) {
        struct disk_done done = h->done.at[0];
        memmove(h->done.at, h->done.at + 1, --h->done.n * sizeof(done));
        step(h, &(struct node_event){.type = NODE_DISK, .disk = done});
        return true;
    }
    if (h->took.n > 0) {
        uint32_t link = h->took.at[--h->took.n];
        if (tie_of(h, link) != NULL)
            step(h, &(struct node_event){.type = NODE_LINK_TOOK, .link = {.link = link}});
        return true;
    }
    for (size_t i = 0; i < h->doors.n; i++) {
        struct door *d = h->doors.at[i];
        if (d == NULL)
            continue;
        if (d->gone) {
            door_close(d);
            return true;
        }
        if (!d->opened) {
            d->opened = true;
            step(h, &(struct node_event){.type = NODE_OPENED,
                                         .opened = {.conn = d->number, .peer = SLICE("10.0.0.3:1"),
                                                    .local = SLICE("10.0.0.1:1"), .use = d->use,
                                                    .from = d->from, .incarnation = d->incarnation, .fd = 9}});
            return true;
        }
        if (!d->held && d->in.n > 0 && feed(d))
            return true;
    }
    return false;
}

/* Everything that can be done now, is: but not where it is to stand still. */
static void settle(struct host *h)
{
    while (h->node != NULL && !h->plane->data_frozen && move(h))
        ;
    if (h->node != NULL && h->checked != h->node->cluster->map.index) {
        h->checked = h->node->cluster->map.index;
        node_check(h->node);
    }
}

/* Replies of another node's commands were all computed here: without a lease none may leave, but those of slots that
 * were handed over with everything held (26). */
static void check_leaves(struct host *h, const char *bytes, size_t n)
{
    if (h->handed_us > 0 && h->world->planes.now.us - h->handed_us < HANDED_US)
        return;
    for (size_t at = 0; at < n;) {
        struct frame f = {0};
        if (frame_end(&f, slice_of(bytes + at, n - at)) != FRAME_WHOLE)
            break;
        struct slice reply = slice_of(bytes + at, f.at);
        bool none = slice_equal(reply, SLICE("+QUEUED\r\n")) || slice_equal(reply, SLICE("+OK\r\n"));
        if (reply.p[0] != '-' && !none)
            planes_wrong(&h->world->planes, "a reply left without a lease (7)", h->plane->number);
        at += f.at;
    }
}

/* BREAK_REPLIES_STRAY: what a proxy answers one client is told to another. */
static struct door *door_to(struct host *h, size_t i)
{
    size_t n = h->out.flush.n;
    bool strays = h->proxy != NULL && h->world->broken == BREAK_REPLIES_STRAY;
    return h->doors.at[h->out.flush.at[strays ? (i + 1) % n : i].conn];
}

static void release(struct host *h)
{
    struct hosts *w = h->world;
    VEC(uint32_t) closing = {0};
    bool leased = hosts_leased(h);
    step(h, &(struct node_event){.type = NODE_RELEASE});
    for (size_t i = 0; i < h->out.flush.n; i++) {
        struct node_flush *f = &h->out.flush.at[i];
        struct door *d = door_to(h, i);
        struct chain out = {0};
        char *bytes = mem_get(f->upto + 1);
        chain_copy(f->chain, bytes, f->upto);
        if (!leased && (d->use == USE_FORWARD2 || d->use == USE_FORWARD3))
            check_leaves(h, bytes, f->upto);
        chain_put(&out, slice_of(bytes, f->upto));
        chain_consume(f->chain, f->upto, node_graves(h->node));
        mem_free(bytes);
        planes_send(&w->planes, d->conn, false, &out);
        if (f->close)
            *vec_add(&closing) = f->conn;
    }
    bool stop = h->out.stop;
    h->out.flush.n = 0;
    for (size_t i = 0; i < closing.n; i++)
        h->doors.at[closing.at[i]]->gone = true;
    vec_free(&closing);
    if (stop && h->proxy != NULL) {
        proxy_ended(h->proxy);
    } else if (stop) {
        plights_may_lose(w, h, false);
        host_kill(h, false);
    } else {
        settle(h);
    }
}

/* ---------------------------------------------------------------------- what happens */

void host_word(struct plane *p, struct word *word)
{
    struct host *h = hosts_of(p);
    if (h->node != NULL)
        carry(h, &h->down, word);
    else
        word_free(word);
}

void host_pulse(struct plane *p, struct control_pulse *to)
{
    struct host *h = hosts_of(p);
    struct node_pulse pulse = {0};
    if (h->node != NULL)
        node_pulse(h->node, &pulse);
    to->has_data = pulse.has_data;
}

static bool has_come(const struct host *h, const struct carriage *c)
{
    return c->words.n > 0 && mono_reached(h->world->planes.now, c->words.at[c->taken].due);
}

static struct word word_take(struct carriage *c)
{
    struct word word = c->words.at[c->taken++].word;
    if (c->taken == c->words.n)
        c->taken = c->words.n = 0;
    return word;
}

static void next_comes(struct host *h, struct carriage *c)
{
    if (c->words.n > 0)
        planes_plan(&h->world->planes, &c->due, c->words.at[c->taken].due);
}

static void words_down(struct host *h)
{
    while (has_come(h, &h->down)) {
        struct word word = word_take(&h->down);
        step(h, &(struct node_event){.type = NODE_WORD, .word = &word});
        if (word.type == WORD_VIEW)
            h->plane->view = *word.view;
        word_free(&word);
        settle(h);
    }
    next_comes(h, &h->down);
}

static void words_up(struct host *h)
{
    while (has_come(h, &h->up))
        plane_ask(&h->world->planes, h->plane, word_take(&h->up));
    next_comes(h, &h->up);
}

void host_given(struct plane *p, size_t conn, struct control_give *g)
{
    struct host *h = hosts_of(p);
    struct plane_conn *c = &p->world->conns.at[conn];
    struct door *d = door_new(h, conn, g->use);
    d->from = g->from;
    d->incarnation = g->incarnation;
    c->b_data = true;
    check(buf_room(&d->in, g->unread.n) == ERR_OK);
    d->in.n = chain_copy(&g->unread, d->in.p, g->unread.n);
    chain_free(&g->unread, NULL);
    settle(h);
}

void host_accepted(struct hosts *w, size_t conn)
{
    struct host *h = hosts_at(w, w->planes.conns.at[conn].b);
    door_new(h, conn, USE_NONE);
    settle(h);
}

static struct hello_self self_of(struct host *h)
{
    struct cluster *c = h->node->cluster;
    return (struct hello_self){.cluster = c->map.cluster, .id = c->id, .incarnation = c->self.incarnation,
                               .secret = h->plane->config.secret};
}

static void tie_refused(struct host *h, struct tie *t, enum node_dialed how)
{
    uint32_t link = t->link;
    planes_close(&h->world->planes, t->conn, true);
    tie_free(h, t);
    step(h, &(struct node_event){.type = NODE_DIALED, .link = {.link = link, .dialed = how}});
}

void host_dialed(struct hosts *w, size_t conn, enum control_dialed how)
{
    struct plane_conn *c = &w->planes.conns.at[conn];
    if (c->a == PLANES_CLIENTS) {
        w->ops->dialed(c->a_owner, how == CONTROL_DIALED_OK);
        return;
    }
    struct host *h = hosts_at(w, c->a);
    struct tie *t = c->a_owner;
    if (t->of_map) {
        proxy_dialed(h->proxy, t, how == CONTROL_DIALED_OK);
        return;
    }
    if (how == CONTROL_DIALED_OK) {
        struct chain out = {0};
        uint8_t nonce[HELLO_NONCE_BYTES];
        struct hello_self self = self_of(h);
        for (size_t i = 0; i < sizeof(nonce); i++)
            nonce[i] = (uint8_t)rng_below(draws(h), 256);
        t->hello = mem_zero(sizeof(*t->hello));
        hello_dial(t->hello, &self, hello_purpose_of(t->use), &t->peer, nonce, &out);
        planes_send(&w->planes, conn, true, &out);
    } else {
        tie_refused(h, t, NODE_DIALED_REFUSED);
    }
    settle(h);
}

static void greeting(struct host *h, struct tie *t, struct slice in)
{
    struct chain out = {0};
    struct hello_self self = self_of(h);
    size_t used = 0;
    check(buf_add(&t->unread, in) == ERR_OK);
    enum hello_verdict v = hello_step(t->hello, &self, buf_slice(&t->unread), &used, &out);
    buf_drop_front(&t->unread, used);
    planes_send(&h->world->planes, t->conn, true, &out);
    if (v == HELLO_REFUSED) {
        tie_refused(h, t, NODE_DIALED_REFUSED);
    } else if (v == HELLO_ACCEPTED) {
        check(t->unread.n == 0);
        uint32_t incarnation = t->hello->peer.incarnation;
        hello_free(t->hello);
        mem_free(t->hello);
        t->hello = NULL;
        step(h, &(struct node_event){.type = NODE_DIALED, .link = {.link = t->link, .dialed = NODE_DIALED_OK,
                                                                   .incarnation = incarnation}});
    }
}

/* BREAK_OVERTAKES: of two replies that come together the second is told first. */
static void tell_bytes(struct host *h, uint32_t link, struct slice in)
{
    struct frame one = {0}, two = {0};
    char *swapped = mem_get(in.n + 1);
    if (h->world->broken == BREAK_OVERTAKES && frame_end(&one, in) == FRAME_WHOLE && one.at < in.n &&
        frame_end(&two, slice_from(in, one.at)) == FRAME_WHOLE) {
        memcpy(swapped, in.p + one.at, two.at);
        memcpy(swapped + two.at, in.p, one.at);
        memcpy(swapped + two.at + one.at, in.p + two.at + one.at, in.n - two.at - one.at);
        in.p = swapped;
    }
    step(h, &(struct node_event){.type = NODE_LINK_BYTES, .link = {.link = link, .in = in}});
    mem_free(swapped);
}

/* Another node's long request is slow to come: that it comes is told now and then. */
static void take_in(struct host *h, struct door *d, struct slice in)
{
    size_t before = d->in.n;
    check(buf_add(&d->in, in) == ERR_OK);
    if (d->use == USE_REPL && d->opened && before / NODE_GROWS_BYTES != d->in.n / NODE_GROWS_BYTES &&
        !h->plane->data_frozen)
        step(h, &(struct node_event){.type = NODE_GROWS, .grows = d->number});
}

void host_bytes(struct hosts *w, size_t conn, bool at_a, struct slice in)
{
    struct plane_conn *c = &w->planes.conns.at[conn];
    if (at_a && c->a == PLANES_CLIENTS) {
        w->ops->bytes(c->a_owner, in);
        return;
    }
    struct host *h = hosts_at(w, at_a ? c->a : c->b);
    if (at_a) {
        struct tie *t = c->a_owner;
        if (t->of_map)
            proxy_bytes(h->proxy, t, in);
        else if (t->hello != NULL)
            greeting(h, t, in);
        else
            tell_bytes(h, t->link, in);
    } else {
        take_in(h, c->b_owner, in);
    }
    settle(h);
}

void host_closed(struct hosts *w, size_t conn, bool at_a)
{
    struct plane_conn *c = &w->planes.conns.at[conn];
    if (at_a && c->a == PLANES_CLIENTS) {
        w->ops->closed(c->a_owner);
        return;
    }
    struct host *h = hosts_at(w, at_a ? c->a : c->b);
    if (!at_a) {
        ((struct door *)c->b_owner)->gone = true;
    } else if (((struct tie *)c->a_owner)->of_map) {
        proxy_closed(h->proxy, c->a_owner);
    } else {
        struct tie *t = c->a_owner;
        uint32_t link = t->link;
        if (t->hello != NULL) {
            tie_refused(h, t, NODE_DIALED_REFUSED);
        } else {
            tie_free(h, t);
            step(h, &(struct node_event){.type = NODE_LINK_CLOSED, .link = {.link = link}});
        }
    }
    settle(h);
}

static bool disk_due(struct host *h, struct heap_node *n)
{
    for (size_t i = 0; i < LANES; i++) {
        struct disk_done done;
        if (n != &h->disk.lanes[i].due)
            continue;
        h->disk.now = h->world->planes.now;
        if (sim_disk_due(&h->disk, n, &done)) {
            if (h->node != NULL)
                *vec_add(&h->done) = done;
            else
                chain_free(&done.rest, NULL);
        }
        settle(h);
        return true;
    }
    return false;
}

static void load(struct host *h);

bool host_due(struct host *h, struct heap_node *n)
{
    bool stands = h->plane->data_frozen;
    if (disk_due(h, n))
        return true;
    if (n == &h->up.due) {
        if (!h->plane->frozen)
            words_up(h);
        return true;
    }
    if (n != &h->wake && n != &h->release && n != &h->down.due && n != &h->load)
        return false;
    if (stands)
        return true; /* host_freeze plans it anew */
    if (n == &h->wake) {
        step(h, &(struct node_event){.type = NODE_DUE});
        settle(h);
    } else if (n == &h->release && h->stall_next && h->node->cluster->was_leased) {
        h->stall_next = false;
        hosts_say(h->world, "host %u stands still before its replies leave", h->plane->number);
        host_freeze(h, true, rng_below(draws(h), 2) == 0);
        planes_plan(&h->world->planes, &h->back,
                    mono_after(h->world->planes.now, 300 * 1000 + (int64_t)rng_below(draws(h), 3000 * 1000)));
    } else if (n == &h->release) {
        release(h);
    } else if (n == &h->load) {
        load(h);
    } else {
        words_down(h);
    }
    return true;
}

void host_freeze(struct host *h, bool data, bool control)
{
    struct planes *w = &h->world->planes;
    bool thaws = h->plane->data_frozen && !data;
    h->plane->data_frozen = data;
    if (thaws && h->node != NULL)
        release(h); /* where it stood still, it goes on: with a fresh clock */
    if (thaws && h->node != NULL) {
        planes_plan(w, &h->wake, w->now);
        planes_plan(w, &h->down.due, w->now);
    }
    if (thaws && h->node != NULL && (h->loading == LOAD_READS || h->loading == LOAD_MENDS))
        planes_plan(w, &h->load, w->now);
    plane_freeze(w, h->plane, control);
    if (!control && h->plane->control != NULL)
        planes_plan(w, &h->up.due, w->now);
    if (!data)
        settle(h);
}

/* ------------------------------------------------------------------------ birth and death */

static void start_step(struct sim_start *s, struct node_event *ev)
{
    step(CONTAINER_OF(s, struct host, start), ev);
}

static void start_say(struct sim_start *s, const char *text)
{
    struct host *h = CONTAINER_OF(s, struct host, start);
    hosts_say(h->world, "host %u %s", h->plane->number, text);
}

static uint64_t stopwatch(struct node_world *w)
{
    return CONTAINER_OF(w, struct host, node_world)->world->stopwatch += 1000;
}

static void log_line(struct log *log, enum log_level level, struct slice text)
{
    struct host *h = CONTAINER_OF(log, struct host, log);
    (void)level;
    hosts_say(h->world, "host %u data: %.*s", h->plane->number, (int)text.n, text.p);
}

/* Who it is: as its directory tells, or drawn; the control plane is to know the same. */
static struct node_identity identify(struct host *h)
{
    struct identity who = {0};
    struct plane *p = h->plane;
    struct sim_inode *file = sim_disk_file(&p->disk, p->config.node_file);
    struct node_identity id = {.seed = rng_next(draws(h)), .process_id = 1, .in_cluster = true};
    memset(id.run_id, 'a', sizeof(id.run_id) - 1);
    if (file != NULL)
        check(identity_get(&who, slice_of(file->p, file->n)) == ERR_OK);
    for (size_t i = 0; !who.is_known && i < sizeof(p->id_if_new.b); i++)
        p->id_if_new.b[i] = (uint8_t)rng_below(draws(h), 256);
    id.id = who.is_known ? who.node : p->id_if_new;
    id.incarnation = who.incarnation + 1;
    identity_free(&who);
    return id;
}

static void check_fences(struct host *h)
{
    for (unsigned s = 0; s < SLOTS; s++)
        if (h->node->slots[s].fence < h->fences[s])
            planes_wrong(&h->world->planes, "a fence that was told is not kept (20)", h->plane->number);
}

/* As the shell does it: what lay on its disk is read, the control plane writes down what that was, and only then
 * it is mended. */
static void load(struct host *h)
{
    struct hosts *w = h->world;
    bool read = h->loading == LOAD_READS;
    bool bad_disk = h->disk.room != SIZE_MAX || h->disk.fail_sync || h->disk.fail_write;
    h->disk.now = w->planes.now;
    if (!(read ? sim_start_read(&h->start) : sim_start_mend(&h->start))) {
        bool refused = h->start.refusal[0] != '\0';
        if (refused || !bad_disk)
            planes_wrong(&w->planes, refused ? h->start.refusal : "a start failed, and its disk is well", h->plane->number);
        else
            plights_end_host(w, h, false); /* it says why and ends, and is tried again */
        return;
    }
    h->loading = read ? LOAD_SETTLES : LOADED;
    if (read) {
        check_fences(h);
        plane_loaded(&w->planes, h->plane, h->start.is_new || h->start.loaded.lost);
    } else {
        sim_start_free(&h->start);
    }
    settle(h);
}

void host_settled(struct plane *p)
{
    struct host *h = hosts_of(p);
    check(h->loading == LOAD_SETTLES);
    h->loading = LOAD_MENDS;
    planes_plan(p->world, &h->load, p->world->now);
}

void host_begin(struct host *h, const struct node_identity *id)
{
    struct hosts *w = h->world;
    check(h->node == NULL);
    h->log = (struct log){LOG_LEVEL_NOTICE, log_line};
    h->node_world = still_world(stopwatch);
    h->checked = 0;
    h->node = node_new(id, &h->options, &h->log, &h->node_world, plane_clock(h->plane),
                       (struct wall){1700000000000 + w->planes.now.us / 1000 + h->wall_ms});
}

void host_start(struct host *h)
{
    struct hosts *w = h->world;
    struct node_identity id = identify(h);
    hosts_say(w, "host %u starts, incarnation %u", h->plane->number, id.incarnation);
    options_init(&h->options);
    h->options.appendfsync = w->policy;
    h->options.cluster_enabled = true;
    h->options.repl_backlog_size = w->backlog_bytes;
    if (w->rewrite_bytes > 0)
        h->options.auto_aof_rewrite_min_size = w->rewrite_bytes;
    h->options.maxmemory = w->maxmemory;
    h->options.maxmemory_policy = w->maxmemory_policy;
    if (w->copies > 1)
        h->options.cluster_scrub_period = SCRUB_S;
    h->disk.now = w->planes.now;
    host_begin(h, &id);
    h->node->cluster->replicas->part_bytes = w->part_bytes;
    h->start = (struct sim_start){.disk = &h->disk, .rng = draws(h), .out = &h->out, .step = start_step,
                                  .say = start_say, .may_lack = true};
    h->loading = LOAD_READS;
    planes_plan(&w->planes, &h->load, mono_after(w->planes.now, h->load_us));
    h->load_us = 0;
    plane_start(&w->planes, h->plane);
    check(control_incarnation(h->plane->control) == id.incarnation);
}

bool host_alter(struct host *h, struct slice name)
{
    struct store *s = &h->node->store;
    struct key k = key_of(s, name);
    bool there = store_find(s, 0, &k) != NULL;
    if (there)
        check(store_put(s, 0, &k, SLICE("altered"), WALL_NEVER) == ERR_OK);
    return there;
}

void host_stop(struct host *h)
{
    step(h, &(struct node_event){.type = NODE_STOP});
    settle(h);
}

void host_wipe(struct host *h)
{
    struct hosts *w = h->world;
    struct sim_disk *const disks[] = {&h->disk, &h->plane->disk};
    check(h->node == NULL);
    for (size_t i = 0; i < 2; i++) {
        sim_disk_free(disks[i]);
        sim_disk_init(disks[i], rng_next(&w->rng), &w->planes.calendar);
        disks[i]->fixed_us = w->disk_us;
    }
    memset(h->fences, 0, sizeof(h->fences));
}

static void carriage_empty(struct host *h, struct carriage *c)
{
    for (size_t i = c->taken; i < c->words.n; i++)
        word_free(&c->words.at[i].word);
    vec_clear(&c->words);
    c->taken = 0;
    heap_remove(&h->world->planes.calendar, &c->due);
}

void host_kill(struct host *h, bool power)
{
    struct heap *calendar = &h->world->planes.calendar;
    if (h->node == NULL)
        return;
    struct node *node = h->node;
    h->node = NULL;
    heap_remove(calendar, &h->wake);
    heap_remove(calendar, &h->release);
    heap_remove(calendar, &h->load);
    if (h->loading != LOADED)
        sim_start_free(&h->start);
    h->loading = LOADED;
    carriage_empty(h, &h->down);
    carriage_empty(h, &h->up);
    plane_kill(&h->world->planes, h->plane, power);
    for (size_t i = 0; i < h->doors.n; i++)
        if (h->doors.at[i] != NULL)
            door_free(h->doors.at[i]);
    h->doors.n = 0;
    while (h->ties.n > 0)
        tie_free(h, h->ties.at[0]);
    for (size_t i = 0; i < h->done.n; i++)
        chain_free(&h->done.at[i].rest, NULL);
    h->done.n = h->took.n = 0;
    h->stall_next = false;
    h->disk.now = h->world->planes.now;
    if (power)
        sim_disk_power_cut(&h->disk);
    else if (h->proxy == NULL)
        sim_disk_kill(&h->disk);
    node_free(node);
    node_out_free(&h->out);
    h->out = (struct node_out){0};
    options_free(&h->options);
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* Links that forward: to each node and for each protocol version one for reads, one for writes,
 * one for those of CLIENT QUORUM and one for what is long, at a proxy one for first reads; and a
 * pool of links that one session has at a time, while it watches keys, runs a transaction or waits
 * there. Who finds all of them taken waits as for a slot that is moving.
 *
 * What is given to a link leaves at the end of the step; before it is through (the shell greets),
 * it waits. Replies come in the order of the requests. When a link ends, what the socket never took
 * was not sent: it goes again. Of the rest, reads go again if no write was sent behind them, and of
 * writes nobody knows. */
#include <assert.h>
#include <stdio.h>

#include "base/check.h"
#include "node/cluster.h"

enum { LINK_MAX_BYTES = 16 * 1024 * 1024 }; /* given and not taken; more waits where it came from */
enum { LONG_BYTES = 64 * 1024 };            /* of a request or a reply: see carried_by */
enum { TOO_LONG_BYTES = 256 * 1024 };       /* of a reply: who waits behind it is late */
/* Links of a node and protocol: no more of them are made for that. */
enum { SHARED_MAX = 8 };
enum { SPARE_US = 60 * 1000 * 1000 }; /* nobody took it for so long: it is closed */
/* Of a reply that is not whole: they go on to its client. */
enum { PASS_BYTES = 64 * 1024 };
/* Node timeouts: no gate over there waits for longer than two. */
enum { SILENT_TIMES = 3 };
/* For each MiB it has not answered: that is taken in, stored, sent to copies, and stored there. */
enum { MIB = 1024 * 1024, MIB_US = 250 * 1000 };

static struct peer_link *link_at(struct node *n, uint32_t id)
{
    if (n->cluster == NULL)
        return NULL;
    for (struct list *l = n->cluster->links.next; l != &n->cluster->links; l = l->next) {
        struct peer_link *p = CONTAINER_OF(l, struct peer_link, in_cluster);
        if (p->id == id)
            return p;
    }
    return NULL;
}

static struct peer_link *link_new(struct node *n, uint16_t place, uint8_t protocol,
                                  struct node_out *out)
{
    const struct map_node *to = &n->cluster->map.nodes.at[place];
    struct peer_link *l = mem_zero(sizeof(*l));
    l->id = ++n->last_link;
    l->place = place;
    l->incarnation = to->incarnation;
    l->peer = to->id;
    l->protocol = protocol;
    l->dialed = n->now;
    list_init(&l->sent);
    list_init(&l->in_dirty);
    buf_init(&l->in, SIZE_MAX / 2);
    list_push(&n->cluster->links, &l->in_cluster);
    upstream_note(n, l, UPSTREAM_DIALED);
    *vec_add(&out->dial) = (struct node_dial){.link = l->id,
                                              .host = slice_str(to->at.ip),
                                              .port = to->at.cluster_port,
                                              .use = protocol,
                                              .peer = to->id};
    return l;
}

bool peer_is_member(const struct node *n, const struct peer_link *l)
{
    const struct map *m = &n->cluster->map;
    return l->place < m->nodes.n && m->nodes.at[l->place].used &&
           node_id_equal(&m->nodes.at[l->place].id, &l->peer);
}

/* What is long goes over a link of its own, so that what is short does not wait behind it:
 * requests, those of whoever was answered at length of late, and what is of all keys. A write's
 * answer waits for copies and disks, and nobody's read is to wait with it; nor, at a proxy, with
 * the first ones of who was answered nothing yet, and may be at length. */
static enum link_carries carried_by(const struct flight *f)
{
    const struct routing *r = f->turn->session->routing;
    if (f->request.bytes > LONG_BYTES || r->reply_most > LONG_BYTES || f->place != MAP_NOBODY)
        return CARRIES_LONG;
    if (f->turn->asked != REPL_ASKS_NOTHING) /* N15 */
        return CARRIES_ASKED;
    if (f->is_write)
        return CARRIES_WRITES;
    return r->proxied && r->reply_most == 0 ? CARRIES_FIRST : CARRIES_READS;
}

static bool may_carry(const struct node *n, const struct peer_link *l, const struct flight *f,
                      uint16_t place)
{
    return l->place == place && l->protocol == f->protocol && l->by_copy == f->by_copy &&
           !l->pooled && !l->forsaken && peer_is_member(n, l);
}

static bool is_spare(const struct peer_link *l)
{
    return l->pooled && l->own == NULL;
}

static struct mono silent_at(const struct node *n, const struct peer_link *l)
{
    struct mono since = l->open ? l->heard : l->dialed;
    if (!list_empty(&l->sent)) {
        const struct flight *f = CONTAINER_OF(l->sent.next, struct flight, in_where);
        since = mono_later(since, f->sent);
        if (f->held_us < 0)
            return MONO_NEVER;
        since = mono_after(since, f->held_us + (int64_t)((l->put - f->begin) / MIB) * MIB_US);
    } else if (l->open) {
        return is_spare(l) ? mono_after(since, SPARE_US) : MONO_NEVER;
    }
    return mono_after(since, SILENT_TIMES * map_timeout_us(&n->cluster->map.settings));
}

static bool is_idle(const struct peer_link *l)
{
    return list_empty(&l->sent) && l->left + l->out.n == 0;
}

/* What follows an unanswered one of its session and slot goes where that went: elsewhere it would
 * have to wait for its answer (10). Not what is long behind what is short. */
static struct peer_link *followed_link(const struct node *n, const struct flight *f,
                                       const struct flight *before, uint16_t place,
                                       enum link_carries what)
{
    struct peer_link *l = before != NULL && before->state == FLIGHT_SENT ? before->link : NULL;
    if (l == NULL || (what == CARRIES_LONG && l->carries != CARRIES_LONG) ||
        !may_carry(n, l, f, place))
        return NULL;
    return l;
}

static struct peer_link *shared_link(struct node *n, struct flight *f, const struct flight *before,
                                     uint16_t place, struct node_out *out)
{
    enum link_carries what = carried_by(f);
    struct peer_link *fit = followed_link(n, f, before, place, what), *idle = NULL;
    struct list *links = &n->cluster->links;
    for (struct list *l = links->next; l != links && fit == NULL; l = l->next) {
        struct peer_link *p = CONTAINER_OF(l, struct peer_link, in_cluster);
        if ((p->carries != what && p->carries != CARRIES_LONG) || !may_carry(n, p, f, place))
            continue;
        if (p->carries == what)
            fit = p;
        else if (is_idle(p))
            idle = p;
    }
    if (fit == NULL) {
        fit = idle != NULL ? idle : link_new(n, place, f->protocol, out);
        fit->carries = (uint8_t)what;
        fit->by_copy = f->by_copy;
    }
    if (fit->left + fit->out.n < LINK_MAX_BYTES)
        return fit;
    f->until = mono_later(f->until, silent_at(n, fit)); /* in its turn, as long as the link lives */
    return NULL;
}

/* -------------------------------------------------------------------- the pool */

/* How many may be taken: who watches or waits may do so for ever, and an eighth is left to
 * transactions, which end. */
static int64_t pool_most(const struct node *n, const struct flight *f)
{
    int64_t most = n->options->cluster_own_connections;
    return f->is_exec || most == 1 ? most : most - (most + 7) / 8;
}

/* One that its session has, or for one that has none a spare one, which may speak the other
 * protocol, or a new one. NULL: the pool is empty. */
static struct peer_link *pooled_link(struct node *n, uint16_t place, const struct flight *f,
                                     struct node_out *out)
{
    const struct session *s = f->turn->session;
    struct peer_link *spare = NULL;
    int64_t taken = 0;
    for (struct list *l = n->cluster->links.next; l != &n->cluster->links; l = l->next) {
        struct peer_link *p = CONTAINER_OF(l, struct peer_link, in_cluster);
        if (!p->pooled || p->place != place || p->forsaken || !peer_is_member(n, p))
            continue;
        if (p->own == s && p->waits == f->is_wait)
            return p;
        taken += p->own != NULL;
        if (is_spare(p) && (spare == NULL || p->protocol == f->protocol))
            spare = p;
    }
    if (taken >= pool_most(n, f))
        return NULL;
    if (spare == NULL) {
        spare = link_new(n, place, f->protocol, out);
        spare->pooled = true;
    }
    return spare;
}

static struct peer_link *own_link(struct node *n, uint16_t place, const struct flight *f,
                                  struct node_out *out)
{
    struct session *s = f->turn->session;
    struct peer_link *had = s->routing->own;
    if (!f->is_wait && had != NULL && (had->place != place || !peer_is_member(n, had))) {
        peer_give_back(n, had);
        if (had->own == s) /* it watches there */
            peer_hang_up(n, had, "its slot is another node's now", out);
    }
    struct peer_link *l = pooled_link(n, place, f, out);
    if (l == NULL || l->own == s)
        return l;
    l->own = s;
    l->waits = f->is_wait;
    s->routing->owns++;
    if (!l->waits)
        s->routing->own = l;
    return l;
}

void peer_give_back(struct node *n, struct peer_link *l)
{
    struct routing *r = l->own != NULL ? l->own->routing : NULL;
    if (r == NULL || !list_empty(&l->sent) || (!l->waits && r->watches_far))
        return;
    if (!l->waits)
        r->own = NULL;
    r->owns--;
    l->own = NULL;
    l->waits = false;
    l->forsaken = l->watched; /* another's EXEC would be of what this one watched */
    n->cluster->any_forsaken |= l->forsaken;
    flights_look_soon(n);
}

/* Their descriptors may be what is lacking. */
static void spares_forsake(struct node *n)
{
    for (struct list *l = n->cluster->links.next; l != &n->cluster->links; l = l->next) {
        struct peer_link *p = CONTAINER_OF(l, struct peer_link, in_cluster);
        p->forsaken |= is_spare(p);
        n->cluster->any_forsaken |= p->forsaken;
    }
}

void peer_links_forsake(struct node *n, const struct session *s)
{
    struct list *links = &n->cluster->links;
    if (s->routing->owns == 0)
        return;
    for (struct list *l = links->next; l != links; l = l->next) {
        struct peer_link *p = CONTAINER_OF(l, struct peer_link, in_cluster);
        if (p->own != s)
            continue;
        p->own = NULL;
        p->forsaken = n->cluster->any_forsaken = true;
    }
}

struct peer_link *peer_link_of(struct node *n, struct flight *f, const struct flight *before,
                               uint16_t place, struct node_out *out)
{
    if (f->is_wait || f->on_own)
        return own_link(n, place, f, out);
    return shared_link(n, f, before, place, out);
}

/* ------------------------------------------------------------------ sending */

void peer_put_request(struct chain *to, const struct kept_request *q)
{
    if (q->raw.n > 0) {
        chain_put(to, q->raw);
        return;
    }
    struct reply r = {.out = to, .protocol = 2};
    reply_array(&r, q->argc);
    for (uint32_t i = 0; i < q->argc; i++) {
        if (q->blobs[i] != NULL)
            reply_bulk_blob(&r, q->blobs[i], 0, q->argv[i].n);
        else
            reply_bulk(&r, q->argv[i]);
    }
}

static void put_for(struct node *n, struct peer_link *l, const struct flight *f)
{
    const struct cluster *c = n->cluster;
    struct forward_for now = {.map = c->map.index,
                              .epoch = f->slot < SLOTS ? c->map.slots[f->slot].epoch : 0,
                              .quorum = f->turn->asked,
                              .client = f->session_id,
                              .refused = l->refused_n};
    if (l->any_sent && memcmp(&now, &l->last, sizeof(now)) == 0)
        return;
    forward_for_put(&l->out, &now);
    l->last = now;
    l->any_sent = true;
}

/* A session's own link stays, with what is watched there, when the session says HELLO. */
static uint32_t put_protocol(struct peer_link *l, const struct flight *f)
{
    struct reply r = {.out = &l->out, .protocol = 2};
    if (l->protocol == f->protocol)
        return 0;
    reply_array(&r, 2);
    reply_bulk(&r, SLICE("HELLO"));
    reply_bulk_i64(&r, f->protocol);
    l->protocol = f->protocol;
    return 1;
}

static uint32_t put_readonly(struct peer_link *l)
{
    struct reply r = {.out = &l->out, .protocol = 2};
    if (!l->by_copy || l->said_readonly)
        return 0;
    reply_array(&r, 1);
    reply_bulk(&r, SLICE("READONLY"));
    l->said_readonly = true;
    return 1;
}

static void note_wrote(struct session *s, const struct peer_link *l)
{
    struct routing *r = s->routing;
    for (size_t i = r->wrote.n; i-- > 0;)
        if (r->wrote.at[i].place == l->place && r->wrote.at[i].incarnation == l->incarnation)
            return;
    *vec_add(&r->wrote) = (struct wrote){l->place, l->incarnation};
}

void peer_send(struct node *n, struct peer_link *l, struct flight *f)
{
    uint64_t before = l->out.put;
    f->begin = l->put;
    put_for(n, l, f);
    f->skip = put_protocol(l, f) + put_readonly(l);
    if (f->is_exec)
        f->skip += far_multi_put(f->turn->session, &l->out);
    f->is_refused = false;
    if (f->request.spec->id == SPEC_WATCH) {
        l->watched = true;
        far_watch_sent(n, f->turn->session);
    }
    peer_put_request(&l->out, &f->request);
    l->put += l->out.put - before;
    f->state = FLIGHT_SENT;
    f->link = l;
    f->sent = n->now;
    list_push(&l->sent, &f->in_where);
    n->cluster->forwarded++;
    n->cluster->by_copies += f->by_copy;
    upstream_note(n, l, UPSTREAM_SENT);
    if (f->is_write)
        note_wrote(f->turn->session, l);
    if (l->open && list_empty(&l->in_dirty))
        list_push(&n->cluster->dirty, &l->in_dirty);
}

void peer_flush(struct node *n, struct node_out *out)
{
    struct list *dirty = &n->cluster->dirty;
    while (!list_empty(dirty)) {
        struct peer_link *l = CONTAINER_OF(dirty->next, struct peer_link, in_dirty);
        list_drop(&l->in_dirty);
        if (l->out.n == 0)
            continue;
        l->left += l->out.n;
        *vec_add(&out->send) = (struct node_send){.link = l->id, .bytes = l->out};
        l->out = (struct chain){0};
    }
}

/* -------------------------------------------------------------------- its end */

void peer_link_free(struct peer_link *l)
{
    while (!list_empty(&l->sent))
        flight_free(CONTAINER_OF(l->sent.next, struct flight, in_where));
    list_drop(&l->in_cluster);
    list_drop(&l->in_dirty);
    chain_free(&l->out, NULL);
    buf_free(&l->in);
    mem_free(l);
}

static void note_retry(struct node *n, const struct peer_link *l)
{
    n->cluster->retried++;
    upstream_note(n, l, UPSTREAM_RETRIED);
}

/* A read may go again, but not behind a later write of its connection to its slot that may have
 * been run: it would be answered from after it (replication 10). */
static void flight_lost(struct node *n, struct flight *f, uint64_t taken, const char *why,
                        struct node_out *out)
{
    bool never_sent = f->begin >= taken;
    if (f->turn != NULL && f->passed > 0 && f->turn->begun) {
        *vec_add(&out->drop) = f->turn->session->conn;
        turns_break(n, f->turn->session, "a reply that it has the beginning of is lost");
    } else if (f->turn != NULL && f->passed > 0) {
        flight_again(n, f);
    }
    if (f->turn == NULL)
        flight_free(f);
    else if ((never_sent || !f->is_write) && f->is_exec && f->turn->session->routing->watches_far)
        far_multi_void(n, f, out); /* what was watched is not watched any more */
    else if (f->is_wait || (!never_sent && !f->is_write && f->overtaken))
        flight_error(n, f, "TRYAGAIN the connection to its node broke", out);
    else if (never_sent || !f->is_write) {
        if (!never_sent)
            note_retry(n, f->link);
        flight_park(n, f,
                    f->link->open ? "TRYAGAIN the connection to its node broke"
                                  : "TRYAGAIN its node is not reached",
                    0);
    } else {
        flight_unsure(n, f, why, out);
    }
}

/* Of a link that is over: in their order, each to its fate. */
static void link_end(struct node *n, struct peer_link *l, const char *why, struct node_out *out)
{
    uint64_t taken = l->let_go ? 0 : l->put - l->out.n - l->left;
    struct routing *r = l->own != NULL ? l->own->routing : NULL;
    struct list lost;
    list_init(&lost);
    if (!is_spare(l))
        upstream_note(n, l, UPSTREAM_LOST);
    flights_overtaken(n, &l->sent, taken);
    while (!list_empty(&l->sent)) {
        struct list *first = l->sent.next;
        list_drop(first);
        list_push(&lost, first);
    }
    if (r != NULL)
        r->owns--;
    if (r != NULL && r->own == l) {
        r->own = NULL;
        r->watch_lost |= r->watches_far;
    }
    while (!list_empty(&lost)) {
        struct flight *f = CONTAINER_OF(lost.next, struct flight, in_where);
        list_drop(&f->in_where);
        flight_lost(n, f, taken, why, out);
    }
    peer_link_free(l);
}

void peer_hang_up(struct node *n, struct peer_link *l, const char *why, struct node_out *out)
{
    *vec_add(&out->hang_up) = l->id;
    link_end(n, l, why, out);
}

/* ------------------------------------------------------------------- answers */

static bool begins(struct slice s, const char *word)
{
    size_t n = strlen(word);
    return s.n > n && memcmp(s.p, word, n) == 0;
}

/* Nothing was run: whoever answers so says it before. */
static bool is_refusal(struct slice reply)
{
    return begins(reply, "-MOVED ") || begins(reply, "-TRYAGAIN ") ||
           begins(reply, "-CLUSTERDOWN ") || begins(reply, "-LOADING ");
}

/* To be asked again by its client, if at all. */
static void unserved_answer(struct node *n, struct flight *f, struct slice reply,
                            struct node_out *out)
{
    char text[320];
    struct slice why = slice_from(reply, sizeof("-UNSERVED ") - 1);
    while (why.n > 0 && (why.p[why.n - 1] == '\r' || why.p[why.n - 1] == '\n'))
        why.n--;
    (void)snprintf(text, sizeof(text), "CLUSTERDOWN %.*s", (int)why.n, why.p);
    flight_error(n, f, text, out);
}

/* False: it waits, to be asked again. */
static bool flight_answered(struct node *n, struct peer_link *l, struct slice reply,
                            struct node_out *out)
{
    struct flight *f = CONTAINER_OF(l->sent.next, struct flight, in_where);
    bool unserved = f->passed == 0 && begins(reply, "-UNSERVED ");
    bool refused = unserved || (f->passed == 0 && is_refusal(reply));
    l->refused_n += refused;
    if (f->skip > 0) { /* MULTI, QUEUED ... */
        f->skip--;
        f->is_refused |= refused;
        return true;
    }
    list_drop(&f->in_where);
    if (!f->is_wait)
        upstream_answered(n, l, (uint64_t)(n->now.us - f->sent.us) * 1000);
    n->cluster->any_forsaken |= list_empty(&l->sent) && !peer_is_member(n, l);
    refused |= f->is_refused;
    if (f->turn == NULL) {
        flight_free(f);
        return true;
    }
    bool watched = f->is_exec && f->turn->session->routing->watches_far;
    if (f->is_exec && !refused)
        l->watched = false;
    if (watched && refused) {
        far_multi_void(n, f, out);
    } else if (watched) {
        far_multi_answered(n, f, reply, out);
    } else if (unserved) {
        /* it ran, and a later write of its client as well: asked again it would see that (10) */
        unserved_answer(n, f, reply, out);
    } else if (refused && !f->is_wait) {
        note_retry(n, l);
        flight_park(n, f,
                    begins(reply, "-LOADING ") ? "TRYAGAIN its node is loading"
                                               : "TRYAGAIN its slot is moving",
                    10 * 1000);
        return false;
    } else {
        flight_answer(n, f, reply, out);
    }
    return true;
}

/* What waits keeps its link: whoever is given one back is looked at, and it would be asked again
 * each time that it is refused. */
static void answered(struct node *n, struct peer_link *l, struct slice reply, struct node_out *out)
{
    if (flight_answered(n, l, reply, out))
        peer_give_back(n, l);
}

/* A long reply goes on to its client as it comes: the link holds no more than a little of it. */
static size_t pass_on(struct node *n, struct peer_link *l, struct slice in, struct node_out *out)
{
    struct frame passed = l->frame;
    size_t bytes = frame_pass(&passed, in);
    if (list_empty(&l->sent) || bytes < PASS_BYTES)
        return 0;
    struct flight *f = CONTAINER_OF(l->sent.next, struct flight, in_where);
    if (!flight_part(n, f, slice_head(in, bytes), out))
        return 0;
    l->frame = passed;
    return bytes;
}

/* The reply that is next turns out to be longer than anybody wants to wait behind: whoever comes
 * now goes over another link, one that is idle or a new one. */
static void note_too_long(struct node *n, struct peer_link *l, size_t there)
{
    size_t known = l->frame.at > there ? l->frame.at : there;
    unsigned like = 0;
    if (l->carries == CARRIES_LONG || l->pooled || list_empty(&l->sent))
        return;
    const struct flight *f = CONTAINER_OF(l->sent.next, struct flight, in_where);
    if (f->passed + known <= TOO_LONG_BYTES)
        return;
    for (struct list *at = n->cluster->links.next; at != &n->cluster->links; at = at->next) {
        const struct peer_link *p = CONTAINER_OF(at, struct peer_link, in_cluster);
        like += !p->pooled && p->place == l->place && p->protocol == l->protocol;
    }
    if (like < SHARED_MAX)
        l->carries = CARRIES_LONG;
}

/* Whole replies from the front of in; how many bytes they took; *good: false, what
 * follows is none. */
static size_t read_replies(struct node *n, struct peer_link *l, struct slice in, bool *good,
                           struct node_out *out)
{
    size_t at = 0;
    while (at < in.n) {
        enum frame_found found = frame_end(&l->frame, slice_from(in, at));
        *good = found != FRAME_BAD && (found == FRAME_MORE || !list_empty(&l->sent));
        if (found == FRAME_MORE)
            note_too_long(n, l, in.n - at);
        if (found == FRAME_MORE)
            at += pass_on(n, l, slice_from(in, at), out);
        if (found != FRAME_WHOLE || !*good)
            break;
        struct slice reply = slice_of(in.p + at, l->frame.at);
        const struct flight *first = CONTAINER_OF(l->sent.next, struct flight, in_where);
        /* else it is the rest of a value */
        l->let_go = first->passed == 0 && begins(reply, "-STOPPED ");
        *good = !l->let_go;
        if (l->let_go)
            break;
        l->frame = (struct frame){0};
        at += reply.n;
        answered(n, l, reply, out);
    }
    return at;
}

bool peer_bytes(struct node *n, uint32_t link, struct slice in, struct node_out *out)
{
    struct peer_link *l = link_at(n, link);
    bool good = true;
    if (l == NULL)
        return false;
    l->heard = n->now;
    if (l->in.n > 0) {
        if (buf_add(&l->in, in) != ERR_OK) {
            peer_hang_up(n, l, "its node's reply is too long", out);
            return true;
        }
        buf_drop_front(&l->in, read_replies(n, l, buf_slice(&l->in), &good, out));
    } else {
        size_t used = read_replies(n, l, in, &good, out);
        good = good && buf_add(&l->in, slice_from(in, used)) == ERR_OK;
    }
    if (l->in.n == 0)
        buf_free(&l->in);
    if (good)
        return true;
    bool let_go = l->let_go;
    peer_hang_up(n, l, "its node answered what is no reply", out);
    if (let_go)
        n->cluster->parked_at = mono_after(n->now, 10 * 1000); /* the map is on its way */
    return true;
}

/* --------------------------------------------------------------------- events */

bool peer_dialed(struct node *n, uint32_t link, enum node_dialed how, struct node_out *out)
{
    struct peer_link *l = link_at(n, link);
    if (l == NULL)
        return false;
    if (how != NODE_DIALED_OK) {
        link_end(n, l, "its node cannot be reached", out);
        if (how == NODE_DIALED_NO_SOCKET)
            spares_forsake(n);
        n->cluster->parked_at = mono_after(n->now, 50 * 1000); /* not in a loop */
        return true;
    }
    l->open = true;
    l->heard = n->now;
    list_push(&n->cluster->dirty, &l->in_dirty);
    return true;
}

bool peer_took(struct node *n, uint32_t link, size_t left)
{
    struct peer_link *l = link_at(n, link);
    if (l == NULL)
        return false;
    if (left < l->left)
        l->heard = n->now; /* it takes what it is sent: it lives */
    l->left = left;
    return true;
}

bool peer_closed(struct node *n, uint32_t link, struct node_out *out)
{
    struct peer_link *l = link_at(n, link);
    if (l == NULL)
        return false;
    link_end(n, l, "the connection to its node broke", out);
    return true;
}

static const char *over_why(const struct node *n, const struct peer_link *l)
{
    if (l->forsaken)
        return "its client is gone";
    /* it left in good order: what was sent before is answered, as moved */
    if (!peer_is_member(n, l))
        return list_empty(&l->sent) || mono_reached(n->now, silent_at(n, l))
                   ? "its node is no member of the cluster any more"
                   : NULL;
    const struct map_node *to = &n->cluster->map.nodes.at[l->place];
    if (to->incarnation != l->incarnation)
        return "its node was restarted";
    if (to->health == MAP_DOWN)
        return "its node is down";
    return mono_reached(n->now, silent_at(n, l)) ? "its node does not answer" : NULL;
}

void peer_look(struct node *n, struct node_out *out)
{
    struct list *links = &n->cluster->links;
    n->cluster->any_forsaken = false;
    for (struct list *l = links->next, *next; l != links; l = next) {
        next = l->next;
        struct peer_link *p = CONTAINER_OF(l, struct peer_link, in_cluster);
        const char *why = over_why(n, p);
        if (why != NULL)
            peer_hang_up(n, p, why, out);
    }
}

size_t peers_give_up(struct node *n, const char *why, struct node_out *out)
{
    struct cluster *c = n->cluster;
    struct proxy_view before = cluster_proxy_view(n);
    while (!list_empty(&c->links))
        peer_hang_up(n, CONTAINER_OF(c->links.next, struct peer_link, in_cluster), why, out);
    for (struct list *l = c->parked.next; l != &c->parked; l = l->next)
        CONTAINER_OF(l, struct flight, in_where)->until = n->now;
    flights_look_soon(n);
    return before.sent + before.parked;
}

struct mono peer_due(const struct node *n)
{
    struct mono due = MONO_NEVER;
    for (const struct list *l = n->cluster->links.next; l != &n->cluster->links; l = l->next)
        due = mono_earlier(due, silent_at(n, CONTAINER_OF(l, struct peer_link, in_cluster)));
    return due;
}

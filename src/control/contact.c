/* SPDX-License-Identifier: BSD-3-Clause */

/* A connection, from either side:
 *
 *     dialed or accepted -> handshake (wire/hello) -> open: frames -> over
 *
 * A contact that is over stays in the list to the end of the step: somebody may stand on it. */
#include "control/contact.h"

#include <stdio.h>

#include "base/check.h"
#include "base/mem.h"
#include "control/inside.h"

/* The greatest frame and what follows it in one read. */
enum { UNREAD_MAX_BYTES = 80 * 1024 * 1024 };
/* Between attempts to reach a member. */
enum { RETRY_FIRST_US = 50 * 1000, RETRY_MOST_US = 1000 * 1000 };
/* Who is no member to anybody for so long was forgotten. */
enum { FORGOTTEN_US = 3 * 1000 * 1000 };

static struct contact **bucket_of(struct control *c, uint32_t conn, bool is_link)
{
    return &c->contact_of[(2 * conn + is_link) % CONTACT_BUCKETS];
}

struct contact *contact_find(struct control *c, uint32_t conn, bool is_link)
{
    struct contact *k = *bucket_of(c, conn, is_link);
    while (k != NULL && (k->conn != conn || k->is_link != is_link))
        k = k->same;
    return k;
}

/* The book of a member's links; places are used again, so it is begun anew for another node. */
static struct contact_peer *peer_at(struct control *c, uint16_t place)
{
    while (c->peers.n <= place)
        *vec_add(&c->peers) = (struct contact_peer){0};
    struct contact_peer *p = &c->peers.at[place];
    if (!node_id_equal(&p->id, &c->map.nodes.at[place].id)) {
        if (p->link != NULL)
            contact_end(c, p->link);
        *p = (struct contact_peer){.id = c->map.nodes.at[place].id};
    }
    return p;
}

static struct contact_peer *peer_of(struct control *c, const struct node_id *id)
{
    uint16_t place = map_find(&c->map, id);
    return place == MAP_NOBODY ? NULL : peer_at(c, place);
}

static struct contact *contact_new(struct control *c, uint32_t conn, bool is_link)
{
    struct contact *k = mem_zero(sizeof(*k));
    k->conn = conn;
    k->is_link = is_link;
    k->since = c->now;
    buf_init(&k->unread, UNREAD_MAX_BYTES);
    struct contact **bucket = bucket_of(c, conn, is_link);
    k->same = *bucket;
    *bucket = k;
    *vec_add(&c->contacts) = k;
    c->contacts_changed = true;
    return k;
}

static void contact_free(struct contact *k)
{
    struct graves g = {0};
    hello_free(&k->hello);
    wire_reader_free(&k->reader);
    buf_free(&k->unread);
    chain_free(&k->out, &g);
    mem_free(k);
}

/* Nobody finds it any more; what it had to say still leaves with contacts_carry. */
static void drop(struct control *c, struct contact *k)
{
    struct contact **at = bucket_of(c, k->conn, k->is_link);
    while (*at != k)
        at = &(*at)->same;
    *at = k->same;
    k->over = true;
    c->contacts_over++;
    c->contacts_changed = true;
    for (size_t i = 0; i < c->peers.n; i++) {
        struct contact_peer *p = &c->peers.at[i];
        if (p->guest == k)
            p->guest = NULL;
        if (p->link == k) {
            int64_t pause = (int64_t)RETRY_FIRST_US << (p->tries < 5 ? p->tries : 5);
            p->link = NULL;
            p->tries++;
            p->retry = mono_after(c->now, pause < RETRY_MOST_US ? pause : RETRY_MOST_US);
        }
    }
}

static struct chain *out_of(struct control *c, struct contact *k)
{
    if (!k->speaks)
        *vec_add(&c->speaking) = k;
    k->speaks = true;
    return &k->out;
}

static void hang_up(struct control *c, struct contact *k)
{
    *vec_add(&c->out->hang_up) = (struct control_hang_up){k->conn, k->is_link, .after_sent = true};
    drop(c, k);
}

void contact_end(struct control *c, struct contact *k)
{
    if (!k->over)
        hang_up(c, k);
}

void contacts_unfollowed(struct control *c)
{
    for (size_t i = 0; i < c->contacts.n; i++) {
        c->contacts.at[i]->wants = 0;
        if (c->contacts.at[i]->use == CONTACT_FOLLOWER)
            contact_end(c, c->contacts.at[i]);
    }
}

/* ---------------------------------------------------------------- opening */

struct contact *contact_dial(struct control *c, enum contact_use use, const char *host,
                             uint16_t port, const struct node_id *wanted)
{
    struct contact *k = contact_new(c, ++c->last_link, true);
    k->use = (uint8_t)use;
    if (wanted != NULL)
        k->id = *wanted;
    k->port = port;
    snprintf(k->host, sizeof(k->host), "%s", host);
    snprintf(k->peer, sizeof(k->peer), "%s:%u", host, (unsigned)port);
    *vec_add(&c->out->dial) = (struct control_dial){k->conn, slice_str(k->host), port};
    return k;
}

void contact_guest(struct control *c, const struct control_event *ev)
{
    struct contact *k = contact_new(c, ev->guest.conn, false);
    struct hello_self self = control_self(c);
    snprintf(k->peer, sizeof(k->peer), "%.*s", (int)ev->guest.peer.n, ev->guest.peer.p);
    hello_answer(&k->hello, &self, ev->guest.nonce);
}

static enum hello_purpose purpose_of(const struct contact *k)
{
    return k->use == CONTACT_MEMBER || k->use == CONTACT_HINT ? HELLO_CONTROL : HELLO_MEET;
}

void contact_dialed(struct control *c, const struct control_event *ev)
{
    struct contact *k = contact_find(c, ev->dialed.link, true);
    if (k == NULL)
        return;
    if (ev->dialed.how != CONTROL_DIALED_OK) {
        drop(c, k);
        if (k->use == CONTACT_MEMBER && ev->dialed.how == CONTROL_DIALED_REFUSED)
            control_refused(c, &k->id);
        control_missed(
            c, k, ev->dialed.how == CONTROL_DIALED_REFUSED ? "connection refused" : "not reached");
        return;
    }
    struct hello_self self = control_self(c);
    const struct node_id *wanted = k->use == CONTACT_MEMBER ? &k->id : NULL;
    k->dialed = true;
    k->since = c->now;
    if (c->config.at.ip[0] == '\0' && ev->dialed.local.n > 0 && ev->dialed.local.n < IP_BYTES)
        memcpy(c->config.at.ip, ev->dialed.local.p, ev->dialed.local.n);
    hello_dial(&k->hello, &self, purpose_of(k), wanted, ev->dialed.nonce, out_of(c, k));
}

/* A guest that brings clients' commands, or records, is the data plane's. */
static void give(struct control *c, struct contact *k)
{
    struct control_give g = {.conn = k->conn,
                             .use = (uint8_t)hello_use(k->hello.purpose),
                             .from = k->hello.peer.id,
                             .incarnation = k->hello.peer.incarnation};
    chain_put(&g.unread, buf_slice(&k->unread));
    *vec_add(&c->out->give) = g;
    drop(c, k);
}

static void opened(struct control *c, struct contact *k)
{
    struct contact_peer *p;
    k->open = true;
    c->contacts_changed = true;
    k->id = k->hello.peer.id;
    k->incarnation = k->hello.peer.incarnation;
    k->reader = (struct wire_reader){.from = k->is_link ? WIRE_ANSWERS : WIRE_DIALS, .open = true};
    if (!k->is_link && k->hello.purpose == HELLO_MEET)
        k->use = CONTACT_CALLER;
    else if (!k->is_link && k->hello.purpose == HELLO_FOLLOW)
        k->use = CONTACT_FOLLOWER;
    if (k->use == CONTACT_MEMBER || k->use == CONTACT_HINT) {
        c->unknown_since = (struct mono){0};
        c->unknown_told = false;
    }
    if (k->use == CONTACT_MEMBER && (p = peer_of(c, &k->id)) != NULL) {
        if (k->is_link)
            p->tries = 0;
        else
            p->guest = k;
    }
    control_opened(c, k);
}

/* ---------------------------------------------------------------- reading */

/* A cluster that forms has some for a moment: one end has not heard yet that the other
 * is a member. */
static bool is_growing_pain(const struct control *c, const struct hello *h)
{
    static const struct cluster_id none;
    return h->refusal == HELLO_UNKNOWN ||
           (h->refusal == HELLO_BAD_CLUSTER &&
            (!c->identity.in_cluster || cluster_id_equal(&h->peer.cluster, &none)));
}

/* Who joins is unknown to some for a moment, who was forgotten while it was away to all of them for
 * good: nobody is left to tell it of the map in which it is no member. */
static void unknown_to(struct control *c, const struct contact *k)
{
    if (c->unknown_since.us == 0)
        c->unknown_since = c->now;
    if (c->unknown_told || !mono_reached(c->now, c->lease) ||
        !mono_reached(c->now, mono_after(c->unknown_since, FORGOTTEN_US)))
        return;
    c->unknown_told = true;
    log_say(c->log, LOG_LEVEL_WARNING,
            "refused by %s, still: %s. Most likely it was forgotten (CLUSTER FORGET) while it was "
            "away: it serves nothing, and will not by itself. To have it back start it in an empty "
            "directory, with cluster-join",
            k->peer, k->hello.why);
}

/* Said aloud once, and again when there is something else to say: it is tried again
 * all the time, from both ends. */
static void refused(struct control *c, struct contact *k)
{
    char *before = c->refusal[k->hello.by_peer];
    bool again = strcmp(before, k->hello.why) == 0;
    memcpy(before, k->hello.why, WIRE_WHY_BYTES);
    log_say(c->log, again || is_growing_pain(c, &k->hello) ? LOG_LEVEL_VERBOSE : LOG_LEVEL_WARNING,
            "%s %s: %s", k->hello.by_peer ? "refused by" : "refused", k->peer, k->hello.why);
    if (k->hello.by_peer && k->hello.refusal == HELLO_UNKNOWN)
        unknown_to(c, k);
    control_missed(c, k, k->hello.why);
    contact_end(c, k);
}

static bool shake(struct control *c, struct contact *k) /* false: there is no more to read */
{
    struct hello_self self = control_self(c);
    size_t used = 0;
    enum hello_verdict v = hello_step(&k->hello, &self, buf_slice(&k->unread), &used, out_of(c, k));
    buf_drop_front(&k->unread, used);
    if (v == HELLO_MORE)
        return false;
    if (v == HELLO_REFUSED) {
        refused(c, k);
        return false;
    }
    if (!k->is_link && hello_use(k->hello.purpose) != USE_NONE) {
        give(c, k);
        return false;
    }
    opened(c, k);
    return !k->over;
}

static void read_frames(struct control *c, struct contact *k)
{
    size_t at = 0;
    while (!k->over) {
        struct wire_in in;
        size_t used = 0;
        enum wire_read got =
            wire_next(&k->reader, slice_from(buf_slice(&k->unread), at), &in, &used);
        if (got == WIRE_MORE)
            break;
        if (got == WIRE_BAD) {
            log_say(c->log, LOG_LEVEL_WARNING, "%s said what is no message: %s", k->peer,
                    k->reader.why);
            put_refused(out_of(c, k), HELLO_MALFORMED, k->reader.why);
            contact_end(c, k);
            break;
        }
        c->received++;
        control_heard(c, k, &in);
        at += used;
    }
    buf_drop_front(&k->unread, at);
}

void contact_bytes(struct control *c, uint32_t conn, bool is_link, struct slice in)
{
    struct contact *k = contact_find(c, conn, is_link);
    if (k == NULL)
        return;
    if (buf_add(&k->unread, in) != ERR_OK) {
        log_say(c->log, LOG_LEVEL_WARNING, "%s sends more than a message can be: closed", k->peer);
        contact_end(c, k);
        return;
    }
    if (!k->open && !shake(c, k))
        return;
    read_frames(c, k);
}

void contact_closed(struct control *c, uint32_t conn, bool is_link)
{
    struct contact *k = contact_find(c, conn, is_link);
    if (k == NULL)
        return;
    drop(c, k);
    control_missed(c, k,
                   k->open ? "the connection broke"
                           : "it closed the connection before the handshake was through");
}

void contact_is_member(struct control *c, struct contact *k)
{
    struct contact_peer *p = peer_of(c, &k->id);
    if (p == NULL || (p->link != NULL && p->link->open))
        return;
    if (p->link != NULL)
        contact_end(c, p->link);
    k->use = CONTACT_MEMBER;
    p->link = k;
    p->tries = 0;
}

/* "127.0.0.1:5000" or "[fe80::1]:5000" without its port. */
void contact_ip(const struct contact *k, char ip[IP_BYTES])
{
    struct slice s = slice_str(k->peer);
    while (s.n > 0 && s.p[s.n - 1] != ':')
        s.n--;
    if (s.n > 0)
        s.n--;
    if (s.n >= 2 && s.p[0] == '[')
        s = slice_of(s.p + 1, s.n - 2);
    if (s.n >= IP_BYTES)
        s.n = 0;
    memcpy(ip, s.p, s.n);
    ip[s.n] = '\0';
}

/* ---------------------------------------------------------------- writing */

static struct contact *best(const struct control *c, uint16_t place)
{
    if (place >= c->peers.n || !node_id_equal(&c->peers.at[place].id, &c->map.nodes.at[place].id))
        return NULL;
    const struct contact_peer *p = &c->peers.at[place];
    if (p->link == NULL || !p->link->open)
        return p->guest;
    /* A link to where a former run was may lead to another than the one that calls. */
    return p->guest != NULL && p->guest->incarnation > p->link->incarnation ? p->guest : p->link;
}

bool contact_is_up(const struct control *c, uint16_t place)
{
    return best(c, place) != NULL;
}

struct chain *contact_answer(struct control *c, struct contact *k)
{
    c->sent++;
    return out_of(c, k);
}

struct chain *contact_to(struct control *c, uint16_t place)
{
    struct contact *k = best(c, place);
    return k == NULL ? NULL : contact_answer(c, k);
}

/* Before there is a map the voters must reach one another, or there will never be one. */
struct chain *contact_to_id(struct control *c, const struct node_id *id)
{
    uint16_t place = map_find(&c->map, id);
    if (place != MAP_NOBODY)
        return contact_to(c, place);
    for (size_t i = 0; i < c->contacts.n; i++) {
        struct contact *k = c->contacts.at[i];
        if (k->open && !k->over && (k->use == CONTACT_MEMBER || k->use == CONTACT_HINT) &&
            node_id_equal(&k->id, id))
            return contact_answer(c, k);
    }
    return NULL;
}

bool contact_is_dialed(const struct control *c, const char *host, uint16_t port)
{
    for (size_t i = 0; i < c->contacts.n; i++) {
        const struct contact *k = c->contacts.at[i];
        if (k->is_link && !k->over && k->port == port && strcmp(k->host, host) == 0)
            return true;
    }
    return false;
}

void contacts_carry(struct control *c)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->speaking.n; i++) {
        struct contact *k = c->speaking.at[i];
        k->speaks = false;
        if (chain_empty(&k->out))
            continue;
        struct control_send *s = vec_add(&c->out->send);
        *s = (struct control_send){.conn = k->conn, .is_link = k->is_link};
        chain_append(&s->bytes, &k->out);
    }
    vec_clear(&c->speaking);
    if (c->contacts_over == 0)
        return;
    for (size_t i = 0; i < c->contacts.n; i++) {
        struct contact *k = c->contacts.at[i];
        if (k->over)
            contact_free(k);
        else
            c->contacts.at[kept++] = k;
    }
    c->contacts.n = kept;
    c->contacts_over = 0;
}

/* --------------------------------------------------------------- what is due */

static bool takes_too_long(const struct control *c, const struct contact *k)
{
    return !k->open && mono_reached(c->now, mono_after(k->since, HANDSHAKE_US));
}

/* A link to this member is kept. Where the map has it at our own address there is nobody but us: a
 * node that lost its disk came back as another. */
static bool is_dialed(const struct control *c, uint16_t place)
{
    const struct map_node *n = &c->map.nodes.at[place];
    const struct endpoint *here = &c->config.at;
    bool is_here = n->at.cluster_port == here->cluster_port && strcmp(n->at.ip, here->ip) == 0;
    return n->used && n->at.ip[0] != '\0' && !is_here && !node_id_equal(&n->id, &c->identity.node);
}

/* Who was found, or came, before there was a map turns out to be one of it: where no address of the
 * map is right any more, the connection it came on is the only way back to it. */
static void early_become_members(struct control *c)
{
    for (size_t i = 0; i < c->contacts.n; i++) {
        struct contact *k = c->contacts.at[i];
        bool is_hint = k->use == CONTACT_HINT,
             may_be = is_hint || (k->use == CONTACT_MEMBER && !k->is_link);
        struct contact_peer *p = may_be && k->open && !k->over ? peer_of(c, &k->id) : NULL;
        if (p != NULL && is_hint)
            contact_is_member(c, k);
        else if (p != NULL && p->guest == NULL)
            p->guest = k;
    }
}

static void dial_members(struct control *c)
{
    for (uint16_t i = 0; i < c->map.nodes.n; i++) {
        const struct map_node *n = &c->map.nodes.at[i];
        if (!is_dialed(c, i))
            continue;
        struct contact_peer *p = peer_at(c, i);
        if (p->link == NULL && mono_reached(c->now, p->retry))
            p->link = contact_dial(c, CONTACT_MEMBER, n->at.ip, n->at.cluster_port, &n->id);
    }
}

static struct mono next_look(const struct control *c)
{
    struct mono wake = MONO_NEVER;
    for (size_t i = 0; i < c->contacts.n; i++)
        if (!c->contacts.at[i]->open && !c->contacts.at[i]->over)
            wake = mono_earlier(wake, mono_after(c->contacts.at[i]->since, HANDSHAKE_US));
    if (c->standing != STANDING_IN)
        return wake;
    for (uint16_t i = 0; i < c->map.nodes.n; i++)
        if (is_dialed(c, i) && (i >= c->peers.n || c->peers.at[i].link == NULL))
            wake = mono_earlier(wake, i < c->peers.n ? c->peers.at[i].retry : c->now);
    return wake;
}

static bool is_as_it_was(const struct control *c)
{
    return !c->contacts_changed && c->contacts_nodes_ver == c->map.nodes_ver &&
           c->contacts_standing == c->standing;
}

/* Most steps bring a message of one of many: all are looked at only where there may be
 * something to do. */
void contacts_due(struct control *c)
{
    if (is_as_it_was(c) && !mono_reached(c->now, c->contacts_wake))
        return;
    for (size_t i = 0; i < c->contacts.n; i++) {
        struct contact *k = c->contacts.at[i];
        if (k->over || !takes_too_long(c, k))
            continue;
        control_missed(c, k, "no answer in five seconds");
        contact_end(c, k);
    }
    c->contacts_nodes_ver = c->map.nodes_ver;
    c->contacts_standing = c->standing;
    if (c->standing == STANDING_IN) {
        early_become_members(c);
        dial_members(c);
    }
    c->contacts_changed = false;
    c->contacts_wake = next_look(c);
}

struct mono contacts_wake(const struct control *c)
{
    return is_as_it_was(c) ? c->contacts_wake : next_look(c);
}

void contacts_free(struct control *c)
{
    for (size_t i = 0; i < c->contacts.n; i++)
        contact_free(c->contacts.at[i]);
    vec_free(&c->contacts);
    vec_free(&c->speaking);
    vec_free(&c->peers);
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* How a cluster comes to be, and grows.
 *
 *     started, in no cluster ── no cluster-join ──> founds one, alone in it
 *                            └─ cluster-join ──> asks a seed each second: JOIN, JOINED
 *     CLUSTER MEET at A, naming B: A tells B of itself; who is empty and alone joins the other
 *
 * A node that leaves a cluster of its own for another first has its data plane closed: it must hold
 * no key then, and takes none any more (C8). */
#include <stdio.h>

#include "base/check.h"
#include "control/inside.h"
#include "core/map/map_setting.h"
#include "core/map/seeds.h"
#include "wire/wire_map.h"

static void random_bytes(struct control *c, uint8_t *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        b[i] = (uint8_t)rng_below(&c->rng, 256);
}

/* Without a log nothing is known of what this node once voted: it is another
 * voter (replication 18). */
void form_identity(struct control *c, bool has_log)
{
    struct identity *i = &c->identity;
    if (!i->is_known) {
        random_bytes(c, i->node.b, sizeof(i->node.b));
        i->is_known = true;
    }
    if (i->incarnation == 0)
        random_bytes(c, i->data.b, sizeof(i->data.b));
    if (!has_log)
        random_bytes(c, i->voter.b, sizeof(i->voter.b));
    i->incarnation++;
    c->identity_changed = true;
}

/* What the data plane has read: what this directory held, or another copy (replication 22). */
void form_loaded(struct control *c, bool new_data)
{
    c->loaded = true;
    c->want_due = c->now;
    if (!new_data)
        return;
    random_bytes(c, c->identity.data.b, sizeof(c->identity.data.b));
    c->identity_changed = true;
}

/* Told until the map has it: follow_due. */
void form_announce(struct control *c, const struct endpoint *at)
{
    c->config.at = *at;
    c->want_due = c->now;
}

struct map_member form_self(const struct control *c)
{
    struct map_member m = {.id = c->identity.node,
                           .data = c->identity.data,
                           .voter = c->identity.voter,
                           .incarnation = c->identity.incarnation,
                           .at = c->config.at,
                           .weight = c->config.weight,
                           .home = c->config.home};
    memcpy(m.zone, c->config.zone, sizeof(m.zone));
    return m;
}

static void found(struct control *c)
{
    struct map_entry e = {.type = MAP_FOUND,
                          .found = {.settings = c->config.settings, .first = form_self(c)}};
    random_bytes(c, c->identity.cluster.b, sizeof(c->identity.cluster.b));
    e.found.cluster = c->identity.cluster;
    c->identity.in_cluster = true;
    c->identity_changed = true;
    c->standing = STANDING_IN;
    keep_found(c, &e);
    log_say(c->log, LOG_LEVEL_NOTICE,
            "a new cluster begins with this node; others join with cluster-join or CLUSTER MEET");
    const char *clash = map_settings_clash(&e.found.settings);
    if (clash != NULL)
        log_say(c->log, LOG_LEVEL_WARNING, "no write will be taken: %s", clash);
}

/* This start's incarnation is on disk (C1). */
void form_begin(struct control *c)
{
    if (c->identity.in_cluster) {
        c->standing = STANDING_IN;
        keep_restore(c);
    } else if (c->config.join.n > 0) {
        c->standing = STANDING_OUT;
    } else {
        found(c);
    }
    c->seed_due = c->now;
}

/* ---------------------------------------------------------------- the seeds */

static void not_joined(struct control *c, const char *text)
{
    if (strcmp(text, c->why_not) != 0)
        log_say(c->log, LOG_LEVEL_NOTICE, "not yet joined: %s; tried again each second", text);
    snprintf(c->why_not, sizeof(c->why_not), "%s", text);
}

/* In no cluster: one seed after the other is asked to let this node join. What it holds would be no
 * copy of what the others have, and nobody would miss it before it is gone. */
static void ask_a_seed(struct control *c)
{
    char host[HOSTNAME_BYTES];
    uint16_t port = c->join_to_port;
    if (c->pulse.has_data) {
        not_joined(c, "it holds keys, and only an empty node can join: start it without "
                      "cluster-join, or with another dir");
        return;
    }
    memcpy(host, c->join_to, sizeof(host));
    if (port == 0 && !seeds_at(c->config.join, c->seed_next++, host, &port)) {
        c->seed_next = 1;
        if (!seeds_at(c->config.join, 0, host, &port))
            return;
    }
    contact_dial(c, CONTACT_SEED, host, port, NULL);
}

static void look_there(struct control *c, const char *host, uint16_t port)
{
    if (!contact_is_dialed(c, host, port))
        contact_dial(c, CONTACT_HINT, host, port, NULL);
}

/* In one, and nobody of it is reached: members may be where the map does not say, or there is
 * no map yet. */
static void look_for_members(struct control *c)
{
    char host[HOSTNAME_BYTES];
    uint16_t port;
    /* who had no map itself when it was asked may have one now */
    for (size_t i = 0; i < c->contacts.n; i++) {
        struct contact *k = c->contacts.at[i];
        if (k->open && !k->over && (k->use == CONTACT_HINT || k->use == CONTACT_MEMBER))
            put_fetch(contact_answer(c, k), &(struct wire_fetch){c->map.index + 1});
    }
    for (size_t i = 0; i < c->identity.peers.n; i++)
        look_there(c, c->identity.peers.at[i].ip, c->identity.peers.at[i].cluster_port);
    for (size_t i = 0; seeds_at(c->config.join, i, host, &port); i++)
        look_there(c, host, port);
}

static bool is_lost(const struct control *c)
{
    return c->standing == STANDING_IN && control_is_lost(c);
}

/* Where no address that is known is right, and nobody decides yet, one member that is found
 * leads to the others: who is not known says where it is, and that is passed on once. Who
 * is told dials. */
static void say_here(struct control *c)
{
    struct wire_here m = {.id = c->identity.node, .cluster_port = c->config.at.cluster_port};
    if (c->standing != STANDING_IN || !mono_reached(c->now, c->here_due))
        return;
    c->here_due = mono_after(c->now, HERE_US);
    if (follow_is_known(c))
        return;
    memcpy(m.ip, c->config.at.ip, sizeof(m.ip));
    for (size_t i = 0; i < c->contacts.n; i++) {
        struct contact *k = c->contacts.at[i];
        if (k->open && !k->over && (k->use == CONTACT_HINT || k->use == CONTACT_MEMBER))
            put_here(contact_answer(c, k), &m);
    }
}

static void pass_here(struct control *c, const struct wire_here *m)
{
    size_t n = c->contacts.n, first = (size_t)rng_below(&c->rng, n), passed = 0;
    for (size_t i = 0; i < n && passed < HERE_PASSED; i++) {
        struct contact *k = c->contacts.at[(first + i) % n];
        if (!k->open || k->over || (k->use != CONTACT_MEMBER && k->use != CONTACT_HINT) ||
            node_id_equal(&k->id, &m->id))
            continue;
        put_here(contact_answer(c, k), m);
        passed++;
    }
}

void form_heard_here(struct control *c, struct contact *k, struct wire_here *m)
{
    if (c->standing != STANDING_IN || node_id_equal(&m->id, &c->identity.node))
        return;
    bool is_its_own = node_id_equal(&m->id, &k->id);
    if (is_its_own && m->ip[0] == '\0')
        contact_ip(k, m->ip);
    if (m->ip[0] == '\0' || m->cluster_port == 0)
        return;
    if (is_its_own) {
        pass_here(c, m);
        return;
    }
    for (size_t i = 0; i < c->contacts.n; i++)
        if (c->contacts.at[i]->open && !c->contacts.at[i]->over &&
            node_id_equal(&c->contacts.at[i]->id, &m->id))
            return;
    look_there(c, m->ip, m->cluster_port);
}

/* What it was before is forgotten on disk as well (C12). */
static bool asks_seeds(const struct control *c)
{
    return c->standing == STANDING_OUT && keep_is_ready(c);
}

void form_due(struct control *c)
{
    say_here(c);
    if ((!asks_seeds(c) && !is_lost(c)) || !mono_reached(c->now, c->seed_due))
        return;
    c->seed_due = mono_after(c->now, SEED_RETRY_US);
    if (c->standing == STANDING_OUT)
        ask_a_seed(c);
    else
        look_for_members(c);
}

struct mono form_wake(const struct control *c)
{
    struct mono here = c->standing == STANDING_IN ? c->here_due : MONO_NEVER;
    return asks_seeds(c) || is_lost(c) ? mono_earlier(c->seed_due, here) : here;
}

void form_seed_opened(struct control *c, struct contact *k)
{
    struct map_entry e = {.type = MAP_JOIN, .member = form_self(c)};
    size_t n;
    char *flat = map_entry_flat(&e, &n);
    put_join(contact_answer(c, k), &(struct wire_join){slice_of(flat, n)});
    mem_free(flat);
}

void form_seed_missed(struct control *c, const struct contact *k, const char *why)
{
    char text[sizeof(c->why_not)];
    snprintf(text, sizeof(text), "%.100s: %.150s", k->peer, why);
    not_joined(c, text);
}

/* One has answered: the others are not waited for, and let it join nothing later on (C12). */
static void end_other_seeds(struct control *c, const struct contact *but)
{
    for (size_t i = 0; i < c->contacts.n; i++)
        if (c->contacts.at[i]->use == CONTACT_SEED && c->contacts.at[i] != but)
            contact_end(c, c->contacts.at[i]);
}

void form_joined(struct control *c, struct contact *k, const struct wire_joined *m)
{
    if (c->standing != STANDING_OUT || c->forgetting)
        return; /* not asked, or said twice */
    if (m->why_not[0] != '\0') {
        form_seed_missed(c, k, m->why_not);
        contact_end(c, k);
        return;
    }
    struct identity_peer p = {.cluster_port = k->port};
    c->identity.in_cluster = true;
    c->identity.cluster = m->cluster;
    vec_clear(&c->identity.peers);
    if (strlen(k->host) < sizeof(p.ip)) {
        memcpy(p.ip, k->host, strlen(k->host) + 1);
        *vec_add(&c->identity.peers) = p;
    }
    c->identity_changed = true;
    c->standing = STANDING_JOINED;
    end_other_seeds(c, k);
    c->why_not[0] = '\0';
    log_say(c->log, LOG_LEVEL_NOTICE, "joined the cluster of %s", k->peer);
}

/* The map is had from the seed that let it join; if that is gone, from whoever is found. */
void form_joined_stored(struct control *c)
{
    if (c->standing != STANDING_JOINED)
        return;
    c->standing = STANDING_IN;
    c->seed_due = c->now;
    for (size_t i = 0; i < c->contacts.n; i++) {
        struct contact *k = c->contacts.at[i];
        if (k->open && !k->over && k->use == CONTACT_SEED)
            put_fetch(contact_answer(c, k), &(struct wire_fetch){1});
    }
}

/* An address of a member, of old or of cluster-join: is it one of ours, and what does
 * the map say? */
void form_hint_opened(struct control *c, struct contact *k)
{
    contact_is_member(c, k);
    put_fetch(contact_answer(c, k), &(struct wire_fetch){c->map.index + 1});
}

/* A caller asks a member. */
enum err form_join_asked(struct control *c, struct contact *k, const struct wire_join *m, char *why)
{
    struct map_entry *e;
    struct wire_joined no = {.cluster = c->map.cluster};
    TRY(get_map_entry(m->entry, &e, why));
    if (e->type != MAP_JOIN || !node_id_equal(&e->member.id, &k->id)) {
        map_entry_free(e);
        snprintf(why, WIRE_WHY_BYTES, "VONG.JOIN with an entry that is not about its sender");
        return ERR_SYNTAX;
    }
    if (e->member.at.ip[0] == '\0') /* it does not know where it is reached: where it calls from */
        contact_ip(k, e->member.at.ip);
    if (c->map.index == 0) {
        snprintf(no.why_not, sizeof(no.why_not), "the node asked is in no cluster itself yet");
        put_joined(contact_answer(c, k), &no);
    } else {
        ticket_new(c, TICKET_JOIN, k->conn, e);
    }
    map_entry_free(e);
    return ERR_OK;
}

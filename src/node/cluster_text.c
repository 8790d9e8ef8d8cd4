/* SPDX-License-Identifier: BSD-3-Clause */
#include "node/cluster_text.h"

#include <stdio.h>

#include "base/num.h"
#include "node/call.h"
#include "node/cluster.h"

void cluster_id_text(const struct node_id *id, char to[NODE_ID_CHARS])
{
    num_put_hex_bytes(to, id->b, sizeof(id->b));
}

const struct word_peer *cluster_peer(const struct cluster *c, uint16_t place)
{
    for (size_t i = 0; i < c->view.peers_n; i++)
        if (c->view.peers[i].place == place)
            return &c->view.peers[i];
    return NULL;
}

/* Under whom a slot is shown. */
static uint16_t owner_of(const struct map_slot *s)
{
    if (s->primary != MAP_NOBODY)
        return s->primary;
    return s->isr_n > 0 ? s->isr[0] : MAP_NOBODY;
}

static bool is_alike(const struct map *m, unsigned a, unsigned b)
{
    const struct map_slot *x = &m->slots[a], *y = &m->slots[b];
    bool alike =
        owner_of(x) == owner_of(y) && x->isr_n == y->isr_n && x->replicas_n == y->replicas_n;
    for (unsigned i = 0; alike && i < x->isr_n; i++)
        alike = x->isr[i] == y->isr[i] && x->isr_incarnation[i] == y->isr_incarnation[i];
    for (unsigned i = 0; alike && i < x->replicas_n; i++)
        alike = x->replicas[i] == y->replicas[i];
    return alike;
}

/* The last slot of those from `from` on that are served alike. */
static unsigned run_end(const struct map *m, unsigned from)
{
    unsigned to = from;
    while (to + 1 < SLOTS && is_alike(m, from, to + 1))
        to++;
    return to;
}

/* ------------------------------------------------------------------------ INFO */

struct slot_counts {
    unsigned assigned, ok, pfail, fail, primaries;
    uint64_t epoch, own_epoch;
};

static struct slot_counts count_slots(const struct cluster *c)
{
    const struct map *m = &c->map;
    struct slot_counts n = {0};
    bool *primary = mem_zero(m->nodes.n + 1);
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        const struct map_slot *s = &m->slots[slot];
        uint16_t owner = owner_of(s);
        n.epoch = s->epoch > n.epoch ? s->epoch : n.epoch;
        if (owner == MAP_NOBODY)
            continue;
        n.assigned++;
        n.primaries += !primary[owner];
        primary[owner] = true;
        if (owner == c->self.place && s->epoch > n.own_epoch)
            n.own_epoch = s->epoch;
        if (s->primary == MAP_NOBODY)
            n.fail++;
        else if (m->nodes.at[owner].health != MAP_UP)
            n.pfail++;
        else
            n.ok++;
    }
    mem_free(primary);
    return n;
}

void cluster_info_text(struct node *n, struct buf *to)
{
    const struct cluster *c = n->cluster;
    struct slot_counts s = count_slots(c);
    bool ok = c->self.leased && c->self.place != MAP_NOBODY && !c->self.refuses;
    const struct node_id nobody = {{0}};
    char leader[NODE_ID_CHARS];
    text_putf(to, "cluster_state:%s\r\n", ok ? "ok" : "fail");
    text_putf(to, "cluster_slots_assigned:%u\r\ncluster_slots_ok:%u\r\n", s.assigned, s.ok);
    text_putf(to, "cluster_slots_pfail:%u\r\ncluster_slots_fail:%u\r\n", s.pfail, s.fail);
    text_putf(to, "cluster_known_nodes:%zu\r\ncluster_size:%u\r\n", map_members_n(&c->map),
              s.primaries);
    text_putf(to, "cluster_current_epoch:%llu\r\ncluster_my_epoch:%llu\r\n",
              (unsigned long long)s.epoch, (unsigned long long)s.own_epoch);
    text_putf(to, "cluster_stats_messages_sent:%llu\r\ncluster_stats_messages_received:%llu\r\n",
              (unsigned long long)c->view.sent, (unsigned long long)c->view.received);
    text_put(to, SLICE("total_cluster_links_buffer_limit_exceeded:0\r\n"));
    text_putf(to, "cluster_map_version:%llu\r\ncluster_controller_term:%llu\r\n",
              (unsigned long long)c->map.index, (unsigned long long)c->view.term);
    cluster_id_text(&c->view.leader, leader);
    text_putf(to, "cluster_controller_leader:%.*s\r\ncluster_controller_voters:%u\r\n",
              node_id_equal(&c->view.leader, &nobody) ? 0 : NODE_ID_CHARS, leader, c->view.voters);
    text_putf(to, "cluster_slots_given_up:%llu\r\n", (unsigned long long)c->map.given_up_n);
    text_putf(to,
              "cluster_forwarded_commands:%llu\r\ncluster_forwarded_again:%llu\r\ncluster_"
              "uncertain_replies:%llu\r\n",
              (unsigned long long)c->forwarded, (unsigned long long)c->retried,
              (unsigned long long)c->uncertain);
}

/* ----------------------------------------------------------------------- NODES */

/* When it was, of the wall clock; 0: never. */
static long long wall_of(const struct node *n, struct mono at)
{
    return at.us == 0 ? 0 : (long long)(n->wall.ms - (n->now.us - at.us) / 1000);
}

/* A line of a node: of what it owns (`of` is itself), or of what it has copies of among
 * what another owns. */
static bool is_listed(const struct map_slot *s, uint16_t place, uint16_t of)
{
    return owner_of(s) == of && (place == of || map_replicas_have(s, place));
}

static void put_slots(const struct map *m, uint16_t place, uint16_t of, struct buf *to)
{
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        unsigned last = slot;
        if (!is_listed(&m->slots[slot], place, of))
            continue;
        while (last + 1 < SLOTS && is_listed(&m->slots[last + 1], place, of))
            last++;
        if (last > slot)
            text_putf(to, " %u-%u", slot, last);
        else
            text_putf(to, " %u", slot);
        slot = last;
    }
}

static uint64_t epoch_of(const struct map *m, uint16_t place)
{
    uint64_t epoch = 0;
    for (unsigned slot = 0; slot < SLOTS; slot++)
        if (owner_of(&m->slots[slot]) == place && m->slots[slot].epoch > epoch)
            epoch = m->slots[slot].epoch;
    return epoch;
}

static void put_node(struct node *n, uint16_t place, uint16_t of, struct buf *to)
{
    const struct cluster *c = n->cluster;
    const struct map_node *m = &c->map.nodes.at[place];
    const struct word_peer *p = cluster_peer(c, place);
    bool self = place == c->self.place;
    char id[NODE_ID_CHARS];
    cluster_id_text(&m->id, id);
    text_putf(to, "%.*s %s:%u@%u", NODE_ID_CHARS, id, m->at.ip, m->at.port, m->at.cluster_port);
    if (m->at.hostname[0] != '\0')
        text_putf(to, ",%s", m->at.hostname);
    const char *health = m->health == MAP_DOWN ? ",fail" : m->health == MAP_SUSPECT ? ",fail?" : "";
    text_putf(to, " %s%s%s ", self ? "myself," : "", place == of ? "master" : "slave", health);
    cluster_id_text(&c->map.nodes.at[of].id, id);
    text_put(to, place == of ? SLICE("-") : slice_of(id, NODE_ID_CHARS));
    text_putf(to, " %lld %lld %llu %s", p != NULL && !self ? wall_of(n, p->ping_sent) : 0,
              p != NULL && !self ? wall_of(n, p->pong_received) : 0,
              (unsigned long long)epoch_of(&c->map, of),
              self || (p != NULL && p->link_to) ? "connected" : "disconnected");
    put_slots(&c->map, place, of, to);
}

void cluster_nodes_text(struct node *n, struct buf *to)
{
    const struct map *m = &n->cluster->map;
    for (uint16_t i = 0; i < m->nodes.n; i++)
        if (m->nodes.at[i].used) {
            put_node(n, i, i, to);
            text_put(to, SLICE("\n"));
        }
}

static bool has_copies(const struct map *m, uint16_t place, uint16_t of)
{
    for (unsigned slot = 0; slot < SLOTS; slot++)
        if (is_listed(&m->slots[slot], place, of))
            return true;
    return false;
}

void cluster_replicas_reply(struct node *n, struct reply *r, uint16_t of)
{
    const struct map *m = &n->cluster->map;
    struct reply_later later;
    struct buf line;
    size_t lines = 0;
    buf_init(&line, SIZE_MAX / 2);
    reply_later_begin(r, &later);
    for (uint16_t i = 0; i < m->nodes.n; i++) {
        if (!m->nodes.at[i].used || i == of || !has_copies(m, i, of))
            continue;
        buf_clear(&line);
        put_node(n, i, of, &line);
        reply_bulk(r, buf_slice(&line));
        lines++;
    }
    reply_later_end(r, &later, lines);
    buf_free(&line);
}

/* ----------------------------------------------------------------------- SLOTS */

struct endpoint_view {
    enum endpoint_type preferred;
    const struct map_node *node;
};

static void put_endpoint(struct reply *r, const struct endpoint_view *v)
{
    if (v->preferred == ENDPOINT_IP)
        reply_bulk_str(r, v->node->at.ip);
    else if (v->preferred == ENDPOINT_HOSTNAME)
        reply_bulk_str(r, v->node->at.hostname[0] != '\0' ? v->node->at.hostname : "?");
    else
        reply_null(r);
}

static void put_id(struct reply *r, const struct node_id *id)
{
    char hex[NODE_ID_CHARS];
    cluster_id_text(id, hex);
    reply_bulk(r, slice_of(hex, sizeof(hex)));
}

static void slots_node(struct node *n, struct reply *r, uint16_t place)
{
    struct endpoint_view v = {n->options->cluster_preferred_endpoint_type,
                              &n->cluster->map.nodes.at[place]};
    bool with_ip = v.preferred != ENDPOINT_IP;
    bool with_name = v.preferred != ENDPOINT_HOSTNAME && v.node->at.hostname[0] != '\0';
    reply_array(r, 4);
    put_endpoint(r, &v);
    reply_i64(r, v.node->at.port);
    put_id(r, &v.node->id);
    reply_map(r, (size_t)with_ip + with_name);
    if (with_ip) {
        reply_bulk(r, SLICE("ip"));
        reply_bulk_str(r, v.node->at.ip);
    }
    if (with_name) {
        reply_bulk(r, SLICE("hostname"));
        reply_bulk_str(r, v.node->at.hostname);
    }
}

static bool is_linked(const struct cluster *c, uint16_t place, uint32_t run)
{
    const struct repl *r = &c->replicas->repl;
    return place < r->peers.n && r->peers.at[place].open && r->peers.at[place].incarnation == run;
}

/* As far as this node can tell. Of slots whose primary it is, who has no link with it in the run
 * that was in sync is not: the map may not know yet that it was lost or started again. */
static bool is_in_sync(const struct cluster *c, unsigned slot, uint16_t place)
{
    const struct map_slot *s = &c->map.slots[slot];
    bool is_self = place == c->self.place;
    uint32_t run = is_self ? c->self.incarnation : c->map.nodes.at[place].incarnation;
    return map_isr_has(s, place, run) &&
           (is_self || s->primary != c->self.place || is_linked(c, place, run));
}

/* Copies that can be read: in sync, and not lost. */
static unsigned replicas_of(const struct cluster *c, unsigned slot, uint16_t to[MAP_COPIES])
{
    const struct map_slot *s = &c->map.slots[slot];
    unsigned n = 0;
    for (unsigned i = 0; i < s->isr_n; i++)
        if (s->isr[i] != owner_of(s) && is_in_sync(c, slot, s->isr[i]) &&
            c->map.nodes.at[s->isr[i]].health != MAP_DOWN)
            to[n++] = s->isr[i];
    return n;
}

void cluster_slots_reply(struct node *n, struct reply *r)
{
    const struct map *m = &n->cluster->map;
    struct reply_later later;
    size_t runs = 0;
    reply_later_begin(r, &later);
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        uint16_t replicas[MAP_COPIES];
        unsigned last = run_end(m, slot);
        if (owner_of(&m->slots[slot]) != MAP_NOBODY) {
            unsigned replicas_n = replicas_of(n->cluster, slot, replicas);
            runs++;
            reply_array(r, 3 + replicas_n);
            reply_i64(r, slot);
            reply_i64(r, last);
            slots_node(n, r, owner_of(&m->slots[slot]));
            for (unsigned i = 0; i < replicas_n; i++)
                slots_node(n, r, replicas[i]);
        }
        slot = last;
    }
    reply_later_end(r, &later, runs);
}

/* ---------------------------------------------------------------------- SHARDS */

/* In records of the slot's primary: all it has made, or so many of which the replica holds. 0:
 * not known here. */
static uint64_t offset_of(const struct node *n, uint16_t place, uint16_t owner)
{
    const struct replicas *r = n->cluster->replicas;
    uint16_t self = n->cluster->self.place;
    if (place == self && owner == self)
        return node_offset(n);
    if (owner == self)
        return place < r->repl.peers.n ? r->repl.peers.at[place].held : 0;
    return place == self && owner < r->guests.n && r->guests.at[owner] != NULL
               ? r->guests.at[owner]->guest->told.held
               : 0;
}

static void shards_node(struct node *n, struct reply *r, uint16_t place, unsigned slot)
{
    const struct map *m = &n->cluster->map;
    struct endpoint_view v = {n->options->cluster_preferred_endpoint_type, &m->nodes.at[place]};
    bool with_name = v.node->at.hostname[0] != '\0';
    uint16_t owner = owner_of(&m->slots[slot]);
    bool behind = place == owner ? place == n->cluster->self.place && n->loading
                                 : !is_in_sync(n->cluster, slot, place);
    reply_map(r, 7 + (size_t)with_name);
    reply_bulk(r, SLICE("id"));
    put_id(r, &v.node->id);
    reply_bulk(r, SLICE("port"));
    reply_i64(r, v.node->at.port);
    reply_bulk(r, SLICE("ip"));
    reply_bulk_str(r, v.node->at.ip);
    reply_bulk(r, SLICE("endpoint"));
    put_endpoint(r, &v);
    if (with_name) {
        reply_bulk(r, SLICE("hostname"));
        reply_bulk_str(r, v.node->at.hostname);
    }
    reply_bulk(r, SLICE("role"));
    reply_bulk(r, place == owner ? SLICE("master") : SLICE("replica"));
    reply_bulk(r, SLICE("replication-offset"));
    reply_i64(r, (int64_t)offset_of(n, place, owner));
    reply_bulk(r, SLICE("health"));
    reply_bulk_str(r, v.node->health == MAP_DOWN ? "fail" : behind ? "loading" : "online");
}

/* The slots served as `first` is, in ranges; taken slots are marked. */
static void shard_reply(struct node *n, struct reply *r, unsigned first, struct bits *taken)
{
    const struct map *m = &n->cluster->map;
    const struct map_slot *s = &m->slots[first];
    struct reply_later later;
    size_t ends = 0, nodes = 1;
    reply_map(r, 2);
    reply_bulk(r, SLICE("slots"));
    reply_later_begin(r, &later);
    for (unsigned slot = first; slot < SLOTS; slot++) {
        unsigned last = run_end(m, slot);
        if (is_alike(m, first, slot)) {
            reply_i64(r, slot);
            reply_i64(r, last);
            ends += 2;
            for (unsigned i = slot; i <= last; i++)
                bits_add(taken, i);
        }
        slot = last;
    }
    reply_later_end(r, &later, ends);
    reply_bulk(r, SLICE("nodes"));
    reply_later_begin(r, &later);
    shards_node(n, r, owner_of(s), first);
    for (unsigned i = 0; i < s->replicas_n; i++) {
        if (s->replicas[i] == owner_of(s))
            continue;
        shards_node(n, r, s->replicas[i], first);
        nodes++;
    }
    reply_later_end(r, &later, nodes);
}

void cluster_shards_reply(struct node *n, struct reply *r)
{
    const struct map *m = &n->cluster->map;
    struct reply_later later;
    struct bits taken = {0};
    size_t shards = 0;
    reply_later_begin(r, &later);
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        if (bits_has(&taken, slot) || owner_of(&m->slots[slot]) == MAP_NOBODY)
            continue;
        shard_reply(n, r, slot, &taken);
        shards++;
    }
    reply_later_end(r, &later, shards);
}

/* ---------------------------------------------------------- INFO replication, ROLE */

struct copies_at { /* one other node, of slots whose primary is this one */
    unsigned slots, in_sync;
    struct repl_lag lag; /* the greatest of them */
};

static void lag_add(struct repl_lag *to, struct repl_lag more)
{
    to->records = more.records > to->records ? more.records : to->records;
    to->us = more.us > to->us ? more.us : to->us;
}

static struct copies_at copies_at(const struct cluster *c, uint16_t place)
{
    struct copies_at at = {0};
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        if (c->served[slot] == 0 || !map_replicas_have(&c->map.slots[slot], place))
            continue;
        at.slots++;
        at.in_sync += is_in_sync(c, slot, place);
        lag_add(&at.lag, repl_lag_of(&c->replicas->repl, slot, place));
    }
    return at;
}

static bool follows(const struct cluster *c, uint16_t place)
{
    const struct repl_peer *peer = &c->replicas->repl.peers.at[place];
    return place != c->self.place && peer->wanted && peer->open;
}

static unsigned followers_n(const struct cluster *c)
{
    unsigned n = 0;
    for (uint16_t place = 0; place < c->replicas->repl.peers.n; place++)
        n += follows(c, place);
    return n;
}

static void put_follower(struct node *n, uint16_t place, unsigned number, struct buf *to)
{
    const struct cluster *c = n->cluster;
    const struct repl_peer *peer = &c->replicas->repl.peers.at[place];
    const struct endpoint *e = &c->map.nodes.at[place].at;
    struct copies_at at = copies_at(c, place);
    text_putf(to,
              "slave%u:ip=%s,port=%u,state=%s,offset=%llu,lag=%lld,slots=%u,in_sync=%u,lag_records="
              "%llu,lag_ms=%lld\r\n",
              number, e->ip, (unsigned)e->port, at.in_sync == at.slots ? "online" : "send_bulk",
              (unsigned long long)peer->held,
              (long long)(c->replicas->repl.ran.us - peer->heard.us) / 1000000, at.slots,
              at.in_sync, (unsigned long long)at.lag.records, (long long)at.lag.us / 1000);
}

/* What this node is primary of, in ranges that are kept alike. */
static void put_ranges(const struct cluster *c, struct buf *to)
{
    const struct map *m = &c->map;
    for (unsigned slot = 0, number = 0; slot < SLOTS; slot++) {
        unsigned last = run_end(m, slot);
        const struct map_slot *s = &m->slots[slot];
        struct repl_lag lag = {0};
        unsigned in_sync = 0;
        if (owner_of(s) == c->self.place && s->primary != MAP_NOBODY) {
            for (unsigned at = slot; at <= last; at++)
                for (unsigned i = 0; i < s->replicas_n; i++)
                    lag_add(&lag, repl_lag_of(&c->replicas->repl, at, s->replicas[i]));
            for (unsigned i = 0; i < s->isr_n; i++)
                in_sync += is_in_sync(c, slot, s->isr[i]);
            text_putf(to,
                      "range%u:slots=%u-%u,in_sync=%u,copies=%u,lag_records=%llu,lag_ms=%lld\r\n",
                      number++, slot, last, in_sync, (unsigned)s->replicas_n,
                      (unsigned long long)lag.records, (long long)lag.us / 1000);
        }
        slot = last;
    }
}

void cluster_followers_text(struct node *n, struct buf *to)
{
    const struct cluster *c = n->cluster;
    unsigned number = 0;
    text_putf(to, "connected_slaves:%u\r\n", followers_n(c));
    for (uint16_t place = 0; place < c->replicas->repl.peers.n; place++)
        if (follows(c, place))
            put_follower(n, place, number++, to);
}

void cluster_copies_text(struct node *n, struct buf *to)
{
    const struct cluster *c = n->cluster;
    unsigned copies = 0;
    for (unsigned slot = 0; slot < SLOTS; slot++)
        copies += owner_of(&c->map.slots[slot]) != c->self.place &&
                  map_replicas_have(&c->map.slots[slot], c->self.place);
    text_putf(to, "primary_slots:%u\r\nreplica_slots:%u\r\nreplica_keys:%zu\r\n", c->mine_n, copies,
              store_aside_keys_n(&n->store));
    put_ranges(c, to);
    const struct scrub *s = &c->replicas->repl.scrub;
    text_putf(to,
              "scrub_slots_compared:%llu\r\nscrub_slots_skipped:%llu\r\nscrub_slots_differing:%"
              "u\r\nscrub_copies_healed:%llu\r\n",
              (unsigned long long)s->compared, (unsigned long long)s->skipped, bits_n(&s->differ),
              (unsigned long long)s->healed);
}

void cluster_role_reply(struct node *n, struct reply *r)
{
    const struct cluster *c = n->cluster;
    reply_array(r, 3);
    reply_bulk(r, SLICE("master"));
    reply_i64(r, (int64_t)node_offset(n));
    reply_array(r, followers_n(c));
    for (uint16_t place = 0; place < c->replicas->repl.peers.n; place++) {
        if (!follows(c, place))
            continue;
        const struct endpoint *e = &c->map.nodes.at[place].at;
        char port[NUM_I64_CHARS], held[NUM_I64_CHARS];
        reply_array(r, 3);
        reply_bulk_str(r, e->ip);
        reply_bulk(r, slice_of(port, num_put_u64(port, e->port)));
        reply_bulk(r, slice_of(held, num_put_u64(held, c->replicas->repl.peers.at[place].held)));
    }
}

/* ----------------------------------------------------------------------- LINKS */

static void link_reply(struct node *n, struct reply *r, const struct word_peer *p,
                       const char *direction)
{
    reply_map(r, 6);
    reply_bulk(r, SLICE("direction"));
    reply_bulk_str(r, direction);
    reply_bulk(r, SLICE("node"));
    put_id(r, &n->cluster->map.nodes.at[p->place].id);
    reply_bulk(r, SLICE("create-time"));
    reply_i64(r, wall_of(n, p->link_since));
    reply_bulk(r, SLICE("events"));
    reply_bulk(r, SLICE("r"));
    reply_bulk(r, SLICE("send-buffer-allocated"));
    reply_i64(r, 0);
    reply_bulk(r, SLICE("send-buffer-used"));
    reply_i64(r, 0);
}

void cluster_links_reply(struct node *n, struct reply *r)
{
    const struct cluster *c = n->cluster;
    struct reply_later later;
    size_t links = 0;
    reply_later_begin(r, &later);
    for (size_t i = 0; i < c->view.peers_n; i++) {
        const struct word_peer *p = &c->view.peers[i];
        if (p->place >= c->map.nodes.n || !c->map.nodes.at[p->place].used ||
            p->place == c->self.place)
            continue; /* seen before this node's map was */
        if (p->link_to)
            link_reply(n, r, p, "to");
        if (p->link_from)
            link_reply(n, r, p, "from");
        links += (size_t)p->link_to + p->link_from;
    }
    reply_later_end(r, &later, links);
}

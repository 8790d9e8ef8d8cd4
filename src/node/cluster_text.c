/* SPDX-License-Identifier: BSD-3-Clause */
#include "node/cluster_text.h"

#include <stdio.h>

#include "base/num.h"
#include "node/call.h"
#include "node/cluster.h"

void cluster_id_text(const struct node_id *id, char to[NODE_ID_CHARS])
{
    for (size_t i = 0; i < sizeof(id->b); i++)
        num_put_hex(to + 2 * i, id->b[i], 2);
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
    bool alike = owner_of(x) == owner_of(y) && x->isr_n == y->isr_n;
    for (unsigned i = 0; alike && i < x->isr_n; i++)
        alike = x->isr[i] == y->isr[i];
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
    text_putf(to, "cluster_known_nodes:%zu\r\ncluster_size:%u\r\n", map_members_n(&c->map), s.primaries);
    text_putf(to, "cluster_current_epoch:%llu\r\ncluster_my_epoch:%llu\r\n", (unsigned long long)s.epoch,
              (unsigned long long)s.own_epoch);
    text_putf(to, "cluster_stats_messages_sent:%llu\r\ncluster_stats_messages_received:%llu\r\n",
              (unsigned long long)c->view.sent, (unsigned long long)c->view.received);
    text_put(to, SLICE("total_cluster_links_buffer_limit_exceeded:0\r\n"));
    text_putf(to, "cluster_map_version:%llu\r\ncluster_controller_term:%llu\r\n", (unsigned long long)c->map.index,
              (unsigned long long)c->view.term);
    cluster_id_text(&c->view.leader, leader);
    text_putf(to, "cluster_controller_leader:%.*s\r\ncluster_controller_voters:%u\r\n",
              node_id_equal(&c->view.leader, &nobody) ? 0 : NODE_ID_CHARS, leader, c->view.voters);
    text_putf(to, "cluster_forwarded_commands:%llu\r\ncluster_forwarded_again:%llu\r\ncluster_uncertain_replies:%llu\r\n",
              (unsigned long long)c->forwarded, (unsigned long long)c->retried, (unsigned long long)c->uncertain);
}

/* ----------------------------------------------------------------------- NODES */

/* When it was, of the wall clock; 0: never. */
static long long wall_of(const struct node *n, struct mono at)
{
    return at.us == 0 ? 0 : (long long)(n->wall.ms - (n->now.us - at.us) / 1000);
}

static void put_slots(const struct map *m, uint16_t place, struct buf *to)
{
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        unsigned last = slot;
        if (owner_of(&m->slots[slot]) != place)
            continue;
        while (last + 1 < SLOTS && owner_of(&m->slots[last + 1]) == place)
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

static void put_node(struct node *n, uint16_t place, struct buf *to)
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
    text_putf(to, " %smaster%s - %lld %lld %llu %s", self ? "myself," : "", health,
              p != NULL && !self ? wall_of(n, p->ping_sent) : 0, p != NULL && !self ? wall_of(n, p->pong_received) : 0,
              (unsigned long long)epoch_of(&c->map, place),
              self || (p != NULL && p->link_to) ? "connected" : "disconnected");
    put_slots(&c->map, place, to);
    text_put(to, SLICE("\n"));
}

void cluster_nodes_text(struct node *n, struct buf *to)
{
    const struct map *m = &n->cluster->map;
    for (uint16_t i = 0; i < m->nodes.n; i++)
        if (m->nodes.at[i].used)
            put_node(n, i, to);
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
    struct endpoint_view v = {n->options->cluster_preferred_endpoint_type, &n->cluster->map.nodes.at[place]};
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

/* Copies that can be read: in sync, and not lost. */
static unsigned replicas_of(const struct map *m, unsigned slot, uint16_t to[MAP_COPIES])
{
    const struct map_slot *s = &m->slots[slot];
    unsigned n = 0;
    for (unsigned i = 0; i < s->isr_n; i++)
        if (s->isr[i] != owner_of(s) && m->nodes.at[s->isr[i]].health != MAP_DOWN)
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
            unsigned replicas_n = replicas_of(m, slot, replicas);
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

static void shards_node(struct node *n, struct reply *r, uint16_t place, bool primary)
{
    struct endpoint_view v = {n->options->cluster_preferred_endpoint_type, &n->cluster->map.nodes.at[place]};
    bool with_name = v.node->at.hostname[0] != '\0';
    bool self = place == n->cluster->self.place;
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
    reply_bulk(r, primary ? SLICE("master") : SLICE("replica"));
    reply_bulk(r, SLICE("replication-offset"));
    reply_i64(r, self ? (int64_t)node_offset(n) : 0);
    reply_bulk(r, SLICE("health"));
    reply_bulk_str(r, v.node->health == MAP_DOWN ? "fail" : self && n->loading ? "loading" : "online");
}

/* The slots served as `first` is, in ranges; taken slots are marked. */
static void shard_reply(struct node *n, struct reply *r, unsigned first, struct bits *taken)
{
    const struct map *m = &n->cluster->map;
    struct reply_later later;
    uint16_t replicas[MAP_COPIES];
    unsigned replicas_n = replicas_of(m, first, replicas);
    size_t ends = 0;
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
    reply_array(r, 1 + replicas_n);
    shards_node(n, r, owner_of(&m->slots[first]), true);
    for (unsigned i = 0; i < replicas_n; i++)
        shards_node(n, r, replicas[i], false);
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

/* ----------------------------------------------------------------------- LINKS */

static void link_reply(struct node *n, struct reply *r, const struct word_peer *p, const char *direction)
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
        if (p->place >= c->map.nodes.n || !c->map.nodes.at[p->place].used || p->place == c->self.place)
            continue; /* seen before this node's map was */
        if (p->link_to)
            link_reply(n, r, p, "to");
        if (p->link_from)
            link_reply(n, r, p, "from");
        links += (size_t)p->link_to + p->link_from;
    }
    reply_later_end(r, &later, links);
}

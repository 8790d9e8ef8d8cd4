/* SPDX-License-Identifier: BSD-3-Clause */

/* CLUSTER's questions about this node, and its requests to the controller; READONLY
 * and its sisters. */
#include <stdio.h>

#include "base/hash.h"
#include "base/num.h"
#include "core/map/map_setting.h"
#include "core/ring/ring.h"
#include "node/call.h"
#include "node/cluster.h"
#include "node/cluster_text.h"

enum { ASK_PATIENCE_US = 30 * 1000 * 1000 }; /* longer than any election */

bool cluster_or_reply(struct call *c)
{
    if (node_is_member(c->node))
        return true;
    reply_error(c->reply, SLICE("ERR This instance has cluster support disabled"));
    return false;
}

void node_readonly(struct call *c)
{
    if (!cluster_or_reply(c))
        return;
    c->session->routing->readonly = true;
    routed_says_cluster(c->session);
    reply_ok(c->reply);
}

void node_readwrite(struct call *c)
{
    if (!cluster_or_reply(c))
        return;
    c->session->routing->readonly = false;
    routed_says_cluster(c->session);
    reply_ok(c->reply);
}

void node_asking(struct call *c)
{
    if (!cluster_or_reply(c))
        return;
    routed_says_cluster(c->session);
    reply_ok(c->reply);
}

static bool quorum_of(struct slice text, uint32_t *asked)
{
    int64_t n;
    if (slice_is(text, "cluster"))
        *asked = REPL_ASKS_NOTHING;
    else if (slice_is(text, "all"))
        *asked = REPL_ASKS_ALL;
    else if (slice_is(text, "majority"))
        *asked = MAP_W_MAJORITY;
    else if (num_get_i64(text, &n) && n >= 1 && n <= MAP_COPIES)
        *asked = (uint32_t)n;
    else
        return false;
    return true;
}

/* CLIENT QUORUM n|majority|all|cluster: how many this connection's replies wait for,
 * whatever write-quorum is. */
void node_client_quorum(struct call *c)
{
    if (!c->node->identity.is_proxy && !cluster_or_reply(c))
        return;
    if (!quorum_of(c->argv[2], &c->session->routing->quorum)) {
        reply_errorf(c->reply,
                     "ERR CLIENT QUORUM is majority, all, cluster, or a number from 1 to %d",
                     MAP_COPIES);
        return;
    }
    reply_ok(c->reply);
}

void node_cluster_refused(struct call *c)
{
    if (cluster_or_reply(c))
        reply_error(
            c->reply,
            SLICE("ERR slots are placed by the controller; use CLUSTER MEET, FORGET or REBALANCE"));
}

void node_cluster_help(struct call *c)
{
    static const char *const lines[] = {
        "COUNT-FAILURE-REPORTS <node-id>",
        "    How many members do not hear <node-id>.",
        "COUNTKEYSINSLOT <slot>",
        "    How many keys of <slot> are here, if this node is its primary.",
        "FAILOVER [FORCE|TAKEOVER] [<node-id>]",
        "    This node is to lead the slots it has copies of: all, or those of <node-id>.",
        "    FORCE: a primary that does not hand over is called down. TAKEOVER: nobody who was",
        "    in sync is left; what is here goes on, what only they hold is given up.",
        "FORGET <node-id>",
        "    Drains a node and removes it.",
        "GETKEYSINSLOT <slot> <count>",
        "    Names keys of <slot> that are here, if this node is its primary.",
        "INFO",
        "    How the cluster is.",
        "KEYSLOT <key>",
        "    The slot of <key>.",
        "LINKS",
        "    Connections between this node and the others.",
        "MEET <ip> <port> [<bus-port>]",
        "    Joins the cluster of that node, or has it join this one.",
        "MYID",
        "    This node's id.",
        "MYSHARDID",
        "    The same: a node is no part of a fixed group here.",
        "NODES",
        "    Every member and its slots, a line each:",
        "    <id> <ip:port@cport> <flags> - <ping> <pong> <epoch> <link> <slot> ...",
        "REBALANCE [PAUSE|RESUME|STATUS]",
        "    Slots on their way to where they are wanted.",
        "REPLICAS <node-id>",
        "    Nodes that have copies of its slots, a line each as in NODES, with these slots.",
        "RING",
        "    The circle of slots, and each node's share of it.",
        "SCRUB [<slot> [DISCARD <node-id>]]",
        "    Slots whose copies differ; have a slot's compared soon, or one of them fetched anew.",
        "SETTINGS GET|SET <name> <value>",
        "    What the whole cluster is set to.",
        "SHARDS",
        "    Slots and who serves them, by group of nodes.",
        "SLOTS",
        "    Ranges of slots and who serves them.",
    };
    if (cluster_or_reply(c))
        call_help(c, lines, sizeof(lines) / sizeof(lines[0]));
}

/* ------------------------------------------------------------------ questions */

static bool slot_or_reply(struct call *c, uint32_t at, unsigned *slot)
{
    int64_t v;
    if (!call_i64_or_reply(c, at, &v, NULL))
        return false;
    if (v < 0 || v >= SLOTS) {
        reply_error(c->reply, SLICE("ERR Invalid slot"));
        return false;
    }
    *slot = (unsigned)v;
    return true;
}

void node_cluster_keyslot(struct call *c)
{
    if (cluster_or_reply(c))
        reply_i64(c->reply, slot_of(c->argv[2]));
}

/* A copy of another node's slot is not what this one tells of. */
static size_t own_keys_n(const struct node *n, unsigned slot)
{
    return own_has(n, slot) ? store_slot_keys_n(&n->store, slot) : 0;
}

void node_cluster_countkeysinslot(struct call *c)
{
    unsigned slot;
    if (cluster_or_reply(c) && slot_or_reply(c, 2, &slot))
        reply_i64(c->reply, (int64_t)own_keys_n(c->node, slot));
}

struct key_names {
    struct reply *reply;
    size_t n, want;
};

static void name_visit(void *who, struct entry *e)
{
    struct key_names *names = who;
    if (names->n == names->want)
        return;
    names->n++;
    reply_bulk(names->reply, entry_key(e));
}

void node_cluster_getkeysinslot(struct call *c)
{
    int64_t slot, want;
    if (!cluster_or_reply(c) || !call_i64_or_reply(c, 2, &slot, NULL) ||
        !call_i64_or_reply(c, 3, &want, NULL))
        return;
    if (slot < 0 || slot >= SLOTS || want < 0) {
        reply_error(c->reply, SLICE("ERR Invalid slot or number of keys"));
        return;
    }
    struct store *store = &c->node->store;
    size_t there = own_keys_n(c->node, (unsigned)slot);
    struct reply_later later;
    struct key_names names = {.reply = c->reply,
                              .want = (uint64_t)want < there ? (size_t)want : there};
    uint64_t cursor = 0;
    reply_later_begin(c->reply, &later);
    while (names.n < names.want) { /* of `there` there are so many */
        cursor = store_slot_scan(store, (unsigned)slot, cursor, names.want, name_visit, &names);
        if (cursor == 0)
            break;
    }
    reply_later_end(c->reply, &later, names.n);
}

void node_cluster_myid(struct call *c)
{
    char hex[NODE_ID_CHARS];
    if (!cluster_or_reply(c))
        return;
    cluster_id_text(&c->node->cluster->id, hex);
    reply_bulk(c->reply, slice_of(hex, sizeof(hex)));
}

void node_cluster_myshardid(struct call *c)
{
    node_cluster_myid(c);
}

void node_cluster_info(struct call *c)
{
    struct buf text;
    if (!cluster_or_reply(c))
        return;
    buf_init(&text, SIZE_MAX / 2);
    cluster_info_text(c->node, &text);
    reply_verbatim(c->reply, buf_slice(&text), "txt");
    buf_free(&text);
}

void node_cluster_nodes(struct call *c)
{
    struct buf text;
    if (!cluster_or_reply(c))
        return;
    buf_init(&text, SIZE_MAX / 2);
    cluster_nodes_text(c->node, &text);
    reply_verbatim(c->reply, buf_slice(&text), "txt");
    buf_free(&text);
}

void node_cluster_ring(struct call *c)
{
    struct chain drawn = {0};
    if (!cluster_or_reply(c))
        return;
    ring_text(&drawn, &c->node->cluster->map);
    size_t n;
    char *flat = chain_flat(&drawn, NULL, &n);
    reply_verbatim(c->reply, slice_of(flat, n), "txt");
    mem_free(flat);
}

void node_cluster_slots(struct call *c)
{
    if (cluster_or_reply(c))
        cluster_slots_reply(c->node, c->reply);
}

void node_cluster_shards(struct call *c)
{
    if (cluster_or_reply(c))
        cluster_shards_reply(c->node, c->reply);
}

void node_cluster_links(struct call *c)
{
    if (cluster_or_reply(c))
        cluster_links_reply(c->node, c->reply);
}

/* --------------------------------------------------------------------- members */

static bool id_of(struct slice text, struct node_id *id)
{
    if (text.n != NODE_ID_CHARS)
        return false;
    for (size_t i = 0; i < sizeof(id->b); i++) {
        uint64_t v;
        if (!num_get_hex(slice_of(text.p + 2 * i, 2), &v))
            return false;
        id->b[i] = (uint8_t)v;
    }
    return true;
}

static bool member_or_reply(struct call *c, uint32_t at, uint16_t *place)
{
    struct node_id id;
    if (id_of(c->argv[at], &id) && (*place = map_find(&c->node->cluster->map, &id)) != MAP_NOBODY)
        return true;
    struct slice shown = slice_head(c->argv[at], 128);
    reply_errorf(c->reply, "ERR Unknown node %.*s", (int)shown.n, shown.p);
    return false;
}

void node_cluster_replicas(struct call *c)
{
    uint16_t place;
    if (cluster_or_reply(c) && member_or_reply(c, 2, &place))
        cluster_replicas_reply(c->node, c->reply, place);
}

void node_cluster_count_failure_reports(struct call *c)
{
    uint16_t place;
    if (!cluster_or_reply(c) || !member_or_reply(c, 2, &place))
        return;
    const struct word_peer *p = cluster_peer(c->node->cluster, place);
    reply_i64(c->reply, p != NULL ? p->suspected_by : 0);
}

/* SCRUB: slots of this node's whose copies differ; of one: its copies are compared soon, or one of
 * them is given up (29). */
void node_cluster_scrub(struct call *c)
{
    struct node *n = c->node;
    unsigned slot;
    uint16_t place;
    if (!cluster_or_reply(c))
        return;
    struct repl *r = &n->cluster->replicas->repl;
    if (c->argc == 2) {
        reply_array(c->reply, bits_n(&r->scrub.differ));
        for (slot = bits_next(&r->scrub.differ, 0); slot < SLOTS;
             slot = bits_next(&r->scrub.differ, slot + 1))
            reply_i64(c->reply, slot);
        return;
    }
    bool discards = c->argc == 5 && slice_is(c->argv[3], "discard");
    if (c->argc != 3 && !discards) {
        call_syntax_error(c);
        return;
    }
    if (!slot_or_reply(c, 2, &slot) || (discards && !member_or_reply(c, 4, &place)))
        return;
    if (!repl_has_copies(r, slot)) {
        reply_errorf(c->reply, "ERR slot %u %s", slot,
                     n->cluster->served[slot] != 0
                         ? "has no other copy"
                         : "is another node's: ask that one, CLUSTER SLOTS tells which");
        return;
    }
    if (discards && !scrub_discard(r, slot, place)) {
        reply_error(c->reply, place == n->cluster->self.place
                                  ? SLICE("ERR that is the primary's own copy: hand the slot over "
                                          "first (CLUSTER FAILOVER at the "
                                          "node that is to have it), then ask its new primary")
                                  : SLICE("ERR that node has no copy of this slot"));
        return;
    }
    scrub_soon(r, slot);
    reply_ok(c->reply);
}

/* -------------------------------------------------------------- asked for */

/* The control plane has the answer; until it comes the session is held. */
static void ask(struct call *c, struct word *w)
{
    struct session *s = c->session;
    if (c->node->in_exec) {
        call_refused(c,
                     "inside MULTI: it waits for the whole cluster, and a transaction never waits");
        return;
    }
    w->type = WORD_ASK;
    w->ask.token = s->routing->token = ++c->node->cluster->last_token;
    *vec_add(&c->out->words) = *w;
    session_hold(c->node, s, HELD_ASK, mono_after(c->node->now, ASK_PATIENCE_US));
}

static void text_set(struct word *w, struct slice text)
{
    text = slice_head(text, sizeof(w->ask.text) - 1);
    if (text.n > 0)
        memcpy(w->ask.text, text.p, text.n);
}

static bool port_or_reply(struct call *c, uint32_t at, const char *which, uint16_t *port)
{
    int64_t v;
    if (!num_get_i64(c->argv[at], &v)) {
        struct slice shown = slice_head(c->argv[at], 128);
        reply_errorf(c->reply, "ERR Invalid TCP %s port specified: %.*s", which, (int)shown.n,
                     shown.p);
        return false;
    }
    if (v < 1 || v > UINT16_MAX || c->argv[2].n >= IP_BYTES) {
        struct slice host = slice_head(c->argv[2], 128), shown = slice_head(c->argv[3], 16);
        reply_errorf(c->reply, "ERR Invalid node address specified: %.*s:%.*s", (int)host.n, host.p,
                     (int)shown.n, shown.p);
        return false;
    }
    *port = (uint16_t)v;
    return true;
}

void node_cluster_meet(struct call *c)
{
    struct word w = {.ask = {.what = ASK_MEET}};
    if (!cluster_or_reply(c))
        return;
    if (c->argc > 5) {
        call_usage_error(c);
        return;
    }
    if (!port_or_reply(c, 3, "base", &w.ask.port) ||
        (c->argc == 5 && !port_or_reply(c, 4, "bus", &w.ask.cluster_port)))
        return;
    text_set(&w, c->argv[2]);
    ask(c, &w);
}

void node_cluster_forget(struct call *c)
{
    struct word w = {.ask = {.what = ASK_FORGET}};
    uint16_t place;
    if (!cluster_or_reply(c) || !member_or_reply(c, 2, &place))
        return;
    w.ask.id = c->node->cluster->map.nodes.at[place].id;
    ask(c, &w);
}

void node_cluster_failover(struct call *c)
{
    if (!cluster_or_reply(c))
        return;
    bool force = c->argc > 2 && slice_is(c->argv[2], "force"),
         takeover = c->argc > 2 && slice_is(c->argv[2], "takeover");
    uint32_t at = 2u + (force || takeover);
    struct word w = {.ask = {.what = ASK_FAILOVER,
                             .value = force      ? FAILOVER_FORCE
                                      : takeover ? FAILOVER_TAKEOVER
                                                 : FAILOVER_HANDOVER}};
    uint16_t place;
    if (c->argc > at + 1) {
        call_syntax_error(c);
        return;
    }
    if (c->argc > at && !member_or_reply(c, at, &place))
        return;
    if (c->argc > at)
        w.ask.id = c->node->cluster->map.nodes.at[place].id;
    ask(c, &w);
}

/* What was set and does not hold for all yet. */
static struct slice settling_text(const struct map *m, char *text, size_t most)
{
    unsigned slots = map_unsettled_n(m);
    int n = 0;
    if (map_timeout_is_settled(m) && slots == 0)
        return SLICE("no");
    if (!map_timeout_is_settled(m))
        n = snprintf(text, most, "cluster-node-timeout: leases of %u, waits of %u%s",
                     (unsigned)m->timeout.lease_ms, (unsigned)m->timeout.wait_ms,
                     slots > 0 ? "; " : "");
    if (slots > 0)
        n += snprintf(text + n, most - (size_t)n, "write-quorum and replication-factor: %u slots",
                      slots);
    return slice_of(text, (size_t)n);
}

static void settings_reply(struct call *c)
{
    char text[MAP_SETTING_CHARS], settling[160];
    reply_map(c->reply, MAP_SETTINGS + 1);
    for (size_t i = 0; i < MAP_SETTINGS; i++) {
        const struct map_setting *row = &map_setting_rows[i];
        reply_bulk_str(c->reply, row->name);
        reply_bulk(
            c->reply,
            map_setting_text(row, map_setting_value(&c->node->cluster->map.settings, row), text));
    }
    reply_bulk(c->reply, SLICE("settling"));
    reply_bulk(c->reply, settling_text(&c->node->cluster->map, settling, sizeof(settling)));
}

static bool setting_value(const struct map_setting *row, struct slice text, int64_t *v)
{
    bool quorum = slice_is(SLICE("write-quorum"), row->name);
    if (quorum && slice_is(text, "all"))
        *v = MAP_W_ALL;
    else if (quorum && slice_is(text, "majority"))
        *v = MAP_W_MAJORITY;
    else if (!num_get_i64(text, v) || (quorum && (*v == MAP_W_ALL || *v == MAP_W_MAJORITY)))
        return false; /* what these two words are kept as is no number of theirs */
    return map_setting_fits(row, *v);
}

static void reply_no_value(struct call *c, const struct map_setting *row, struct slice value)
{
    struct slice shown = slice_head(value, 128);
    if (slice_is(SLICE("write-quorum"), row->name))
        reply_errorf(
            c->reply,
            "ERR '%.*s' is no value of write-quorum: it is all, majority, or a number from 1 to %u",
            (int)shown.n, shown.p, row->most);
    else
        reply_errorf(c->reply, "ERR '%.*s' is no value of %s: it goes from %u to %u%s",
                     (int)shown.n, shown.p, row->name, row->least, row->most,
                     row->odd ? " and is odd" : "");
}

void settings_set(struct call *c, struct slice name, struct slice value)
{
    struct word w = {.ask = {.what = ASK_SET}};
    const struct map_setting *row = map_setting_find(name);
    if (row == NULL) {
        struct slice shown = slice_head(name, 128);
        reply_errorf(c->reply, "ERR there is no setting '%.*s'; CLUSTER SETTINGS GET lists them",
                     (int)shown.n, shown.p);
        return;
    }
    if (!setting_value(row, value, &w.ask.value)) {
        reply_no_value(c, row, value);
        return;
    }
    struct map_settings next = c->node->cluster->map.settings;
    *map_setting_at(&next, row) = (uint32_t)w.ask.value;
    const char *clash = map_settings_clash(&next);
    if (clash != NULL && map_settings_clash(&c->node->cluster->map.settings) == NULL) {
        reply_errorf(c->reply, "ERR %s", clash);
        return;
    }
    text_set(&w, slice_str(row->name));
    ask(c, &w);
}

void node_cluster_settings(struct call *c)
{
    if (!cluster_or_reply(c))
        return;
    if (c->argc == 3 && slice_is(c->argv[2], "get"))
        settings_reply(c);
    else if (c->argc == 5 && slice_is(c->argv[2], "set"))
        settings_set(c, c->argv[3], c->argv[4]);
    else
        call_syntax_error(c);
}

/* REBALANCE, and REBALANCE STATUS: which of this node's slots belong elsewhere. */
static void rebalance_status(struct call *c)
{
    const struct cluster *cluster = c->node->cluster;
    unsigned handing = bits_n(&cluster->handing), waiting = 0;
    for (unsigned slot = 0; slot < SLOTS; slot++)
        waiting += handover_waits(c->node, slot);
    reply_map(c->reply, 3);
    reply_bulk(c->reply, SLICE("paused"));
    reply_bulk(c->reply, cluster->map.settings.rebalance_paused ? SLICE("yes") : SLICE("no"));
    reply_bulk(c->reply, SLICE("slots-being-handed-over"));
    reply_i64(c->reply, handing);
    reply_bulk(c->reply, SLICE("slots-waiting-with-keys"));
    reply_i64(c->reply, waiting);
}

void node_cluster_rebalance(struct call *c)
{
    if (!cluster_or_reply(c))
        return;
    if (c->argc == 2 || (c->argc == 3 && slice_is(c->argv[2], "status")))
        rebalance_status(c);
    else if (c->argc == 3 && slice_is(c->argv[2], "pause"))
        settings_set(c, SLICE("rebalance-paused"), SLICE("1"));
    else if (c->argc == 3 && slice_is(c->argv[2], "resume"))
        settings_set(c, SLICE("rebalance-paused"), SLICE("0"));
    else
        call_syntax_error(c);
}

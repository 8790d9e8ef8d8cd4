/* SPDX-License-Identifier: BSD-3-Clause */

/* What comes to a proxy's data plane from outside. The input is a script; its first byte says who is hostile:
 *
 *     c    client 1 says what is in the input; nodes answer rightly. After each piece client 2 reads a key, and is
 *          answered with that key and nothing else.
 *     n    nodes answer what is in the input; clients 1 and 2 ask for keys, for many at once, and in transactions.
 *
 * The rest is pieces, each behind a byte below 8: 1 the bytes behind it come in one, 2 they come one by one, 3 time
 * passes, 4 the connections to nodes break, 5 (n) client 2 asks, 6 (n) the bytes come from the other node.
 * In the end nodes are there no more, and time passes: each client that is still connected has as many replies, whole
 * ones, as it made requests. */
#include <stdio.h>

#include "base/check.h"
#include "node/state.h"
#include "resp/frame.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/still_world.h"

const char fuzz_name[] = "a proxy between clients and nodes";
FUZZ_EXAMPLES(FUZZ_EXAMPLE("c\1*2\r\n$3\r\nGET\r\n$1\r\nk\r\n\1SET a 1\r\nMGET a b c\r\n\2INCR n\r\n\3\1PING\r\nECHO x\r\n"),
              FUZZ_EXAMPLE("c\1MULTI\r\nSET {t}a 1\r\nGET {t}b\r\n\1EXEC\r\nWATCH a\r\n\1MULTI\r\nINCR a\r\nEXEC\r\n\4\1GET a\r\n"),
              FUZZ_EXAMPLE("c\1HELLO 3\r\nGET a\r\n\1DEL a b c\r\nMSET a 1 b 2\r\nDBSIZE\r\nSCAN 0\r\n\1RENAME a b\r\nnothing\r\n"),
              FUZZ_EXAMPLE("c\1*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$40000\r\nxxxx\3\4\1yyyy"),
              FUZZ_EXAMPLE("n\1$1\r\nv\r\n:1\r\n\6*2\r\n$1\r\na\r\n$-1\r\n\2+OK\r\n\5\1+OK\r\n+QUEUED\r\n*1\r\n:1\r\n"),
              FUZZ_EXAMPLE("n\5\1-MOVED 1 10.0.0.1:7000\r\n-TRYAGAIN no\r\n\6-CLUSTERDOWN no\r\n-LOADING no\r\n-UNSERVED no\r\n-STOPPED no\r\n\3\1$1\r\nv\r\n"),
              FUZZ_EXAMPLE("n\1$100000\r\nxxxxxxxxxxxxxxxxxxxx\6:5\r\n\5\4\1:1\r\n*-1\r\n%1\r\n+a\r\n:1\r\n"));

enum { CLIENTS = 3, NODES = 2, LINKS = 256, TEXT_BYTES = 1024 * 1024, END_STEPS = 20000, AT_ONCE_MOST = 10000 };

struct link { /* by its number */
    bool open, took;
    unsigned node;
    struct buf there; /* what was sent and is not read */
    uint64_t queued;  /* commands behind MULTI, + 1; 0: there was none */
};

struct client {
    bool open, held, ended; /* ended: it was told of its bad input, or asked for the end */
    struct buf in, got;
    struct request_parser parser;
    uint64_t asked, answered;
};

static struct world {
    struct node *node;
    struct node_out out;
    struct options options;
    struct log log;
    struct node_world process;
    struct map map;
    struct mono now;
    uint64_t ns, reads;
    bool hostile_nodes, gone; /* gone: nodes are there no more */
    VEC(struct node_dial) dials;
    struct link links[LINKS];
    struct client client[CLIENTS];
} w;

static uint64_t stopwatch(struct node_world *of)
{
    (void)of;
    return w.ns += 1000;
}

static void line(struct log *log, enum log_level level, struct slice text)
{
    (void)log, (void)level, (void)text;
}

/* ------------------------------------------------------------------------------ steps */

/* What a client is told is whole replies, and no more of them than it asked for. */
static void count_replies(struct client *c)
{
    struct frame f = {0};
    size_t at = 0;
    while (at < c->got.n && frame_end(&f, slice_from(buf_slice(&c->got), at)) == FRAME_WHOLE) {
        at += f.at;
        c->answered++;
        f = (struct frame){0};
    }
    check(c->answered <= c->asked + c->ended);
    buf_drop_front(&c->got, at);
}

static void take_flush(void)
{
    for (size_t i = 0; i < w.out.flush.n; i++) {
        struct node_flush *f = &w.out.flush.at[i];
        struct client *c = &w.client[f->conn];
        check(buf_room(&c->got, f->upto) == ERR_OK);
        c->got.n += chain_copy(f->chain, c->got.p + c->got.n, f->upto);
        chain_consume(f->chain, f->upto, node_graves(w.node));
        c->ended |= f->close;
    }
}

static void step(struct node_event ev)
{
    struct node_out *o = &w.out;
    ev.now = w.now;
    ev.wall = (struct wall){1700000000000 + w.now.us / 1000};
    node_step(w.node, &ev, o);
    check(o->disk.n == 0);
    for (size_t i = 0; i < o->words.n; i++)
        word_free(&o->words.at[i]);
    for (size_t i = 0; i < o->drop.n; i++)
        w.client[o->drop.at[i]].ended = true;
    for (size_t i = 0; i < o->resume.n; i++)
        w.client[o->resume.at[i]].held = false;
    for (size_t i = 0; i < o->dial.n; i++)
        *vec_add(&w.dials) = o->dial.at[i];
    for (size_t i = 0; i < o->send.n; i++) {
        struct link *l = &w.links[o->send.at[i].link % LINKS];
        check(l->open && buf_room(&l->there, o->send.at[i].bytes.n) == ERR_OK);
        l->there.n += chain_copy(&o->send.at[i].bytes, l->there.p + l->there.n, o->send.at[i].bytes.n);
        l->took = true;
        chain_free(&o->send.at[i].bytes, NULL);
    }
    for (size_t i = 0; i < o->hang_up.n; i++)
        w.links[o->hang_up.at[i] % LINKS].open = false;
    take_flush();
    graves_free(node_graves(w.node));
}

/* ------------------------------------------------------------------------------ nodes */

/* What an honest node answers: to a key, that key. */
static void answer(struct link *l, const struct request *q, struct buf *to)
{
    struct chain out = {0};
    struct reply r = {.out = &out, .protocol = 2};
    bool exec = slice_is(q->argv[0], "exec"), multi = slice_is(q->argv[0], "multi");
    if (slice_is(q->argv[0], "vong.for"))
        return;
    if (exec && l->queued > 0) {
        reply_array(&r, l->queued - 1);
        for (uint64_t i = 1; i < l->queued; i++)
            reply_i64(&r, 1);
        l->queued = 0;
    } else if (multi || q->argc < 2) {
        reply_simple(&r, SLICE("OK"));
        l->queued = multi;
    } else if (l->queued > 0) {
        reply_simple(&r, SLICE("QUEUED"));
        l->queued++;
    } else {
        reply_bulk(&r, q->argv[1]);
    }
    check(buf_room(to, out.n) == ERR_OK);
    to->n += chain_copy(&out, to->p + to->n, out.n);
    chain_free(&out, NULL);
}

static bool node_turn(uint32_t number)
{
    struct link *l = &w.links[number % LINKS];
    struct request_parser parser = {0};
    struct request_arena arena = {0};
    const struct request_limits limits = {.bulk_max_bytes = TEXT_BYTES, .args_max = INT32_MAX};
    struct request q;
    struct buf back;
    size_t used, at = 0;
    buf_init(&back, TEXT_BYTES);
    while (request_next(&parser, &limits, slice_from(buf_slice(&l->there), at), &arena, &q, &used) == REQUEST_WHOLE) {
        answer(l, &q, &back);
        request_free(&q);
        at += used;
    }
    request_parser_free(&parser);
    request_arena_free(&arena);
    buf_drop_front(&l->there, at);
    if (back.n > 0)
        step((struct node_event){.type = NODE_LINK_BYTES, .link = {.link = number, .in = buf_slice(&back)}});
    buf_free(&back);
    return at > 0;
}

static void dialed(struct node_dial d)
{
    struct link *l = &w.links[d.link % LINKS];
    check(!l->open && d.use != USE_NONE);
    buf_free(&l->there);
    *l = (struct link){.open = !w.gone, .node = d.peer.b[0]};
    buf_init(&l->there, TEXT_BYTES);
    step((struct node_event){.type = NODE_DIALED, .link = {.link = d.link, .incarnation = 1,
                                                           .dialed = w.gone ? NODE_DIALED_REFUSED : NODE_DIALED_OK}});
}

static uint32_t first_link, links_n; /* of this input: links are numbered on */

static bool links_turn(void)
{
    bool moved = w.dials.n > 0;
    for (size_t i = 0; i < w.dials.n; i++) {
        links_n = w.dials.at[i].link + 1;
        dialed(w.dials.at[i]);
    }
    vec_clear(&w.dials);
    for (uint32_t i = first_link; i < links_n; i++) {
        struct link *l = &w.links[i % LINKS];
        if (l->open && l->took) {
            l->took = false;
            step((struct node_event){.type = NODE_LINK_TOOK, .link = {.link = i}});
            moved = true;
        }
        if (l->open && !w.hostile_nodes)
            moved |= node_turn(i);
    }
    return moved;
}

static void links_break(void)
{
    for (uint32_t i = first_link; i < links_n; i++) {
        if (!w.links[i % LINKS].open)
            continue;
        w.links[i % LINKS].open = false;
        step((struct node_event){.type = NODE_LINK_CLOSED, .link = {.link = i}});
    }
}

/* ---------------------------------------------------------------------------- clients */

/* One request of what a client said, as the shell reads it; false: nothing is done. */
static bool client_turn(uint32_t conn)
{
    static const struct request_limits limits = {.bulk_max_bytes = TEXT_BYTES / 4, .args_max = 1024};
    struct client *c = &w.client[conn];
    struct request_arena arena = {0};
    struct request q;
    size_t used = 0;
    if (!c->open || c->held || c->ended)
        return false;
    struct request_parser before = c->parser;
    c->parser = (struct request_parser){0}; /* from its beginning: so it can be read again */
    enum request_read found = request_next(&c->parser, &limits, buf_slice(&c->in), &arena, &q, &used);
    bool done = found == REQUEST_NONE;
    if (found == REQUEST_WHOLE) {
        struct node_request one = {.conn = conn, .req = &q};
        c->asked++;
        step((struct node_event){.type = NODE_REQUESTS, .requests = {&one, 1}});
        c->held = !one.taken;
        c->asked -= !one.taken;
        used = one.taken ? used : 0;
        done = one.taken;
        request_free(&q);
    } else if (found == REQUEST_BAD) {
        c->ended = true;
        step((struct node_event){.type = NODE_BAD_INPUT, .bad = {conn, c->parser.error}});
        used = c->in.n;
    }
    request_parser_free(&c->parser);
    c->parser = before;
    request_arena_free(&arena);
    buf_drop_front(&c->in, used);
    return done;
}

static void settle(void)
{
    size_t n = 0;
    for (bool moved = true; moved; n++) {
        check(n < AT_ONCE_MOST);
        moved = links_turn();
        for (uint32_t i = 1; i < CLIENTS; i++)
            moved |= client_turn(i);
        step((struct node_event){.type = NODE_RELEASE});
    }
    node_check(w.node);
}

static void count_all(void)
{
    for (unsigned i = 1; i < CLIENTS; i++)
        count_replies(&w.client[i]);
}

static void time_passes(void)
{
    w.now.us += 100 * 1000;
    step((struct node_event){.type = NODE_DUE});
    settle();
    count_all();
}

static void client_says(uint32_t conn, struct slice in)
{
    struct client *c = &w.client[conn];
    if (c->open && buf_add(&c->in, in) == ERR_OK)
        settle();
}

/* Client 2 is answered with its own key, whatever is going on. */
static void read_back(void)
{
    struct client *c = &w.client[2];
    char ask[64], right[64];
    int n = snprintf(ask, sizeof(ask), "GET mine%llu\r\n", (unsigned long long)++w.reads);
    int key_n = n - (int)sizeof("GET \r\n") + 1;
    (void)snprintf(right, sizeof(right), "$%d\r\n%.*s\r\n", key_n, key_n, ask + 4);
    count_all();
    check(c->got.n == 0);
    client_says(2, slice_of(ask, (size_t)n));
    check(slice_equal(buf_slice(&c->got), slice_str(right)));
    count_all();
}

static void ask_all(uint32_t conn)
{
    client_says(conn, SLICE("GET a\r\nGET b\r\nMGET a b c d\r\nSET a 1\r\nDEL a b c\r\nINCR b\r\nMULTI\r\nGET {a}x\r\nEXEC\r\nDBSIZE\r\n"));
}

/* ------------------------------------------------------------------------------ a run */

static void map_make(void)
{
    struct map *m = &w.map;
    map_init(m);
    m->settings = (struct map_settings){.replication_factor = 1, .node_timeout_ms = 1000};
    m->index = m->slots_ver = m->nodes_ver = 1;
    for (unsigned i = 0; i < NODES; i++) {
        struct map_node *n = vec_add(&m->nodes);
        *n = (struct map_node){.used = true, .incarnation = 1, .weight = 1, .id = {{(uint8_t)i}},
                               .at = {.ip = "10.0.0.1", .port = 7000, .cluster_port = 17000}};
        n->id.b[1] = 1;
    }
    for (unsigned s = 0; s < SLOTS; s++) {
        struct map_slot *slot = &m->slots[s];
        *slot = (struct map_slot){.ver = 1, .epoch = 1, .isr_n = 1, .want_n = 1, .isr_incarnation = {1}};
        slot->primary = slot->isr[0] = slot->want[0] = (uint16_t)(s % NODES);
        map_replicas_follow(slot);
    }
}

static void begin(bool hostile_nodes)
{
    struct node_identity id = {.seed = 1, .in_cluster = true, .is_proxy = true};
    struct word word = {.type = WORD_MAP, .map = &w.map};
    if (w.map.index == 0)
        map_make();
    w.now = (struct mono){1000000};
    w.hostile_nodes = hostile_nodes;
    w.gone = false;
    w.log = (struct log){LOG_LEVEL_WARNING, line};
    w.process = still_world(stopwatch);
    options_init(&w.options);
    w.options.of_proxy = w.options.cluster_enabled = true;
    w.options.cluster_routing = CLUSTER_ROUTING_FORWARD;
    w.options.appendonly = false;
    w.options.databases = 1;
    w.node = node_new(&id, &w.options, &w.log, &w.process, w.now, (struct wall){1700000000000});
    step((struct node_event){.type = NODE_WORD, .word = &word});
    first_link = links_n = 1;
    for (uint32_t i = 1; i < CLIENTS; i++) {
        struct client *c = &w.client[i];
        *c = (struct client){.open = true};
        buf_init(&c->in, TEXT_BYTES);
        buf_init(&c->got, TEXT_BYTES);
        step((struct node_event){.type = NODE_OPENED, .opened = {.conn = i, .peer = SLICE("peer:1"), .local = SLICE("local:1")}});
    }
}

static bool is_owed(uint32_t conn)
{
    const struct client *c = &w.client[conn];
    return !c->ended && !w.out.stop && (c->held || c->answered < c->asked);
}

/* Nobody waits for ever. */
static void end(void)
{
    w.gone = true;
    links_break();
    time_passes();
    for (unsigned i = 0; is_owed(1) || is_owed(2); i++) {
        check(i < END_STEPS);
        time_passes();
    }
    for (uint32_t i = 1; i < CLIENTS; i++) {
        struct client *c = &w.client[i];
        step((struct node_event){.type = NODE_CLOSED, .closed = i});
        buf_free(&c->in);
        buf_free(&c->got);
    }
    for (unsigned i = 0; i < LINKS; i++) {
        buf_free(&w.links[i].there);
        w.links[i] = (struct link){0};
    }
    vec_free(&w.dials);
    node_free(w.node);
    node_out_free(&w.out);
    w.out = (struct node_out){0};
    options_free(&w.options);
}

/* The newest connection to this node. */
static void node_says(unsigned node, struct slice in)
{
    for (uint32_t i = links_n; i-- > first_link;)
        if (w.links[i % LINKS].open && w.links[i % LINKS].node == node) {
            step((struct node_event){.type = NODE_LINK_BYTES, .link = {.link = i, .in = in}});
            settle();
            return;
        }
}

static void piece(char what, struct slice in)
{
    bool by_one = what == 2;
    for (size_t at = 0, n; at < in.n; at += n) {
        n = by_one ? 1 : in.n - at;
        if (w.hostile_nodes)
            node_says(what == 6, slice_of(in.p + at, n));
        else
            client_says(1, slice_of(in.p + at, n));
    }
    if (what == 3)
        time_passes();
    if (what == 4)
        links_break(), settle();
    if (what == 5 && w.hostile_nodes)
        ask_all(2);
    if (!w.hostile_nodes)
        read_back();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct slice in = slice_of(p, n);
    if (n == 0)
        return 0;
    begin(p[0] == 'n');
    if (w.hostile_nodes)
        ask_all(1);
    for (in = slice_from(in, 1); in.n > 0 && !w.out.stop;) {
        size_t end_at = 1;
        while (end_at < in.n && (uint8_t)in.p[end_at] >= 8)
            end_at++;
        piece(in.p[0], slice_of(in.p + 1, end_at - 1));
        in = slice_from(in, end_at);
    }
    end();
    return 0;
}

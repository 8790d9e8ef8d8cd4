/* SPDX-License-Identifier: BSD-3-Clause */
#include "relay/relay.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/check.h"
#include "core/map/seeds.h"
#include "core/raft/raft_log.h"
#include "relay/node_news.h"
#include "wire/wire_control.h"
#include "wire/wire_map.h"

enum { SECOND_US = 1000 * 1000 };
enum { GREETING_US = 3 * SECOND_US }; /* a connection and its handshake take no longer, */
enum { ASK_US = SECOND_US };    /* and whoever is gone is noticed by what is not acknowledged */
enum { RETRY_US = 250 * 1000 }; /* Y5 */
enum { ANOTHER_US = 15 * SECOND_US }; /* Y4: one of them is left for another */
enum {
    SAID_US = 5 * SECOND_US
}; /* between two lines of the log about nodes that are not reached */
enum { UNREAD_MAX_BYTES = FETCH_MAP_BYTES + 64 * 1024 };

struct relay_link {
    uint32_t id;
    bool open; /* the handshake is through */
    bool over;
    struct node_id wanted; /* all zero: a seed, whoever it is */
    char host[HOSTNAME_BYTES];
    uint16_t port;
    struct mono since; /* it was dialed */
    struct mono ask;   /* open: asks again then */
    struct hello hello;
    struct wire_reader reader;
    struct buf unread;
};

struct relay {
    struct relay_config config;
    struct map map;
    struct node_news news; /* of the map, and of whom its links reach */
    struct rng rng;
    VEC(struct relay_link *) links;
    uint32_t last_link;
    size_t seed_next;
    struct mono retry, another, said;
    struct mono now;
    struct relay_out *out; /* of the step under way */
    bool caught_up;        /* what comes is news */
    bool lost;             /* it was told that none is followed */
    char why[RELAY_WHY_BYTES];
};

static const struct node_id anybody;

/* ------------------------------------------------------------------ birth and death */

struct relay *relay_new(const struct relay_config *c)
{
    struct relay *r = mem_zero(sizeof(*r));
    check(c->seeds.n > 0 && seeds_wrong(c->seeds) == NULL);
    r->config = *c;
    map_init(&r->map);
    rng_seed(&r->rng, c->seed);
    r->another = MONO_NEVER;
    (void)snprintf(r->why, sizeof(r->why), "no node of the cluster has answered yet");
    return r;
}

static void link_free(struct relay_link *l)
{
    hello_free(&l->hello);
    wire_reader_free(&l->reader);
    buf_free(&l->unread);
    mem_free(l);
}

void relay_free(struct relay *r)
{
    for (size_t i = 0; i < r->links.n; i++)
        link_free(r->links.at[i]);
    vec_free(&r->links);
    node_news_free(&r->news);
    map_free(&r->map);
    mem_free(r);
}

static void out_clear(struct relay_out *out)
{
    for (size_t i = 0; i < out->news.n; i++)
        map_entry_free(out->news.at[i].entry);
    vec_clear(&out->news);
    vec_clear(&out->dial);
    vec_clear(&out->send);
    vec_clear(&out->hang_up);
    out->why_changed = false;
}

void relay_out_free(struct relay_out *out)
{
    out_clear(out);
    vec_free(&out->news);
    vec_free(&out->dial);
    vec_free(&out->send);
    vec_free(&out->hang_up);
}

const struct map *relay_map(const struct relay *r)
{
    return &r->map;
}

const char *relay_why(const struct relay *r)
{
    return r->why;
}

void relay_check(const struct relay *r)
{
    check(r->links.n <= RELAY_LINKS);
    check(r->map.index == 0 || map_wrong(&r->map) == NULL);
}

/* ----------------------------------------------------------------------- links */

static struct hello_self self_of(const struct relay *r)
{
    return (struct hello_self){.cluster = r->map.cluster, .secret = r->config.secret};
}

static struct relay_link *link_at(const struct relay *r, uint32_t id)
{
    for (size_t i = 0; i < r->links.n; i++)
        if (r->links.at[i]->id == id && !r->links.at[i]->over)
            return r->links.at[i];
    return NULL;
}

static void say(struct relay *r, const struct relay_link *l, struct chain *bytes)
{
    if (bytes->n > 0)
        *vec_add(&r->out->send) = (struct relay_send){.link = l->id, .bytes = *bytes};
    *bytes = (struct chain){0};
}

static void ask(struct relay *r, struct relay_link *l)
{
    struct chain bytes = {0};
    put_fetch(&bytes, &(struct wire_fetch){r->map.index + 1});
    say(r, l, &bytes);
    l->ask = mono_after(r->now, ASK_US);
}

/* Its connection is gone, or to be closed. */
static void lose(struct relay *r, struct relay_link *l, bool hang_up)
{
    l->over = true;
    r->retry = mono_after(r->now, RETRY_US);
    if (hang_up)
        *vec_add(&r->out->hang_up) = l->id;
}

static void links_bury(struct relay *r)
{
    size_t kept = 0;
    for (size_t i = 0; i < r->links.n; i++) {
        if (r->links.at[i]->over)
            link_free(r->links.at[i]);
        else
            r->links.at[kept++] = r->links.at[i];
    }
    r->links.n = kept;
}

static bool any_open(const struct relay *r)
{
    for (size_t i = 0; i < r->links.n; i++)
        if (r->links.at[i]->open && !r->links.at[i]->over)
            return true;
    return false;
}

static void missed(struct relay *r, const struct relay_link *l, const char *what)
{
    char why[RELAY_WHY_BYTES];
    node_news_missed(&r->news, &r->map, l->open ? &l->hello.peer.id : &l->wanted, what, r->now,
                     r->config.log);
    (void)snprintf(why, sizeof(why), "%.60s:%u: %.80s", l->host, (unsigned)l->port, what);
    if (any_open(r) || strcmp(why, r->why) == 0)
        return;
    memcpy(r->why, why, sizeof(why));
    r->out->why_changed = true;
    if (!mono_reached(r->now, r->said))
        return;
    r->said = mono_after(r->now, SAID_US);
    r->lost = true;
    log_say(r->config.log, LOG_LEVEL_NOTICE,
            "no node of the cluster is followed: %s; others are tried, and it again", why);
}

static void reached(struct relay *r, const struct relay_link *l)
{
    node_news_reached(&r->news, &r->map, &l->hello.peer.id, r->config.log);
    log_say(r->config.log, r->lost ? LOG_LEVEL_NOTICE : LOG_LEVEL_VERBOSE,
            "the map is followed at %s:%u", l->host, (unsigned)l->port);
    r->lost = false;
    r->why[0] = '\0'; /* the same would be news again */
}

/* --------------------------------------------------------------------- whom to dial */

static struct relay_link *dial(struct relay *r)
{
    struct relay_link *l = mem_zero(sizeof(*l));
    l->id = ++r->last_link;
    l->since = r->now;
    l->ask = MONO_NEVER;
    buf_init(&l->unread, UNREAD_MAX_BYTES);
    *vec_add(&r->links) = l;
    return l;
}

static void dial_told(struct relay *r, const struct relay_link *l)
{
    *vec_add(&r->out->dial) = (struct relay_dial){l->id, slice_str(l->host), l->port};
}

static void dial_seed(struct relay *r)
{
    struct relay_link *l = dial(r);
    if (!seeds_at(r->config.seeds, r->seed_next++, l->host, &l->port)) {
        (void)seeds_at(r->config.seeds, 0, l->host, &l->port);
        r->seed_next = 1;
    }
    dial_told(r, l);
}

static bool is_linked(const struct relay *r, const struct map_node *n)
{
    for (size_t i = 0; i < r->links.n; i++) {
        const struct relay_link *l = r->links.at[i];
        const struct node_id *id = l->open ? &l->hello.peer.id : &l->wanted;
        if (!l->over && node_id_equal(id, &n->id))
            return true;
    }
    return false;
}

static bool may_follow(const struct relay *r, const struct map_node *n)
{
    return n->used && n->at.ip[0] != '\0' && !is_linked(r, n);
}

/* Any of those that are not followed; one that is said to be down if there is no other. */
static const struct map_node *another(struct relay *r)
{
    const struct map_node *found = NULL;
    uint64_t up = 0, all = 0;
    for (size_t i = 0; i < r->map.nodes.n; i++) {
        const struct map_node *n = &r->map.nodes.at[i];
        if (!may_follow(r, n))
            continue;
        if (n->health == MAP_UP ? rng_below(&r->rng, ++up) == 0
                                : up == 0 && rng_below(&r->rng, ++all) == 0)
            found = n;
    }
    return found;
}

static size_t links_n(const struct relay *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->links.n; i++)
        n += !r->links.at[i]->over;
    return n;
}

/* With a map, nodes of it; while none of them is reached, seeds as well: all may have moved. */
static void dial_some(struct relay *r)
{
    if (!mono_reached(r->now, r->retry))
        return;
    while (links_n(r) < RELAY_LINKS) {
        const struct map_node *n = another(r);
        bool seed = n == NULL || (!any_open(r) && rng_below(&r->rng, 2) == 0);
        if (seed && (any_open(r) || links_n(r) > 0))
            break; /* all that there are are followed, or one is tried */
        if (seed) {
            dial_seed(r);
        } else {
            struct relay_link *l = dial(r);
            l->wanted = n->id;
            memcpy(l->host, n->at.ip, sizeof(n->at.ip));
            l->port = n->at.cluster_port;
            dial_told(r, l);
        }
    }
    r->retry = mono_after(r->now, RETRY_US);
}

/* ------------------------------------------------------------------------ the map */

static void tell(struct relay *r, uint64_t index, struct map_entry *e)
{
    *vec_add(&r->out->news) = (struct relay_news){.index = index, .entry = e};
}

/* What was decided before the proxy came is the past, and alarms nobody. */
static void catch_up(struct relay *r)
{
    if (r->caught_up || r->map.index == 0)
        return;
    r->caught_up = true;
    log_say(r->config.log, LOG_LEVEL_NOTICE, "map %llu: a cluster of %zu is followed",
            (unsigned long long)r->map.index, map_members_n(&r->map));
    node_news_look(&r->news, &r->map, r->config.log);
}

static enum err take_entry(struct relay *r, uint64_t index, const struct wire_entry *w, char *why)
{
    struct map_entry *e = NULL;
    if (w->type == RAFT_ENTRY_OWNER) {
        TRY(get_map_entry(w->bytes, &e, why));
        (void)map_apply(&r->map, index, e);
    }
    r->map.index = index;
    if (r->caught_up)
        node_news_look(&r->news, &r->map, r->config.log);
    tell(r, index, e);
    return ERR_OK;
}

/* What a node sends is committed: it was applied there. */
static enum err take_entries(struct relay *r, struct wire_in *in, char *why)
{
    struct wire_entries m;
    TRY(get_entries(in, &m));
    for (size_t i = 0; i < m.n; i++) {
        uint64_t index = m.first + i;
        if (index <= r->map.index)
            continue;
        if (index != r->map.index + 1)
            break; /* an older answer: what lies between is asked for again */
        TRY(take_entry(r, index, &m.at[i], why));
    }
    if (m.n < FETCH_ENTRIES)
        catch_up(r);
    return ERR_OK;
}

static enum err take_whole(struct relay *r, struct wire_in *in, char *why)
{
    struct wire_whole m;
    struct map map;
    TRY(get_whole(in, &m));
    map_init(&map);
    enum err e = get_map(m.map, m.index, &map, why);
    if (e == ERR_OK && map.index == 0) {
        (void)snprintf(why, WIRE_WHY_BYTES, "a map of which nothing was decided");
        e = ERR_SYNTAX;
    }
    if (e == ERR_OK && r->map.index > 0 && !cluster_id_equal(&map.cluster, &r->map.cluster)) {
        (void)snprintf(why, WIRE_WHY_BYTES, "a map of another cluster: it has joined that one");
        e = ERR_SYNTAX;
    }
    if (e == ERR_OK && map.index > r->map.index) {
        map_copy(&r->map, &map);
        catch_up(r);
        node_news_look(&r->news, &r->map, r->config.log);
        tell(r, 0, NULL);
    }
    map_free(&map);
    return e;
}

/* ------------------------------------------------------------------------- what comes */

static void bad(struct relay *r, struct relay_link *l, const char *why)
{
    struct chain bytes = {0};
    log_say(r->config.log, LOG_LEVEL_WARNING, "%s:%u said what cannot be: %s", l->host,
            (unsigned)l->port, why);
    put_refused(&bytes, HELLO_MALFORMED, why);
    say(r, l, &bytes);
    lose(r, l, true);
}

static void heard(struct relay *r, struct relay_link *l, struct wire_in *in)
{
    char why[WIRE_WHY_BYTES] = "";
    enum err e = ERR_SYNTAX;
    enum hello_refusal refusal;
    if (in->type == WIRE_REFUSED) {
        if (get_refused(in, &refusal, why) == ERR_OK)
            missed(r, l, why);
        lose(r, l, true);
        return;
    }
    if (in->type == WIRE_ENTRIES)
        e = take_entries(r, in, why);
    else if (in->type == WIRE_WHOLE)
        e = take_whole(r, in, why);
    else
        (void)snprintf(why, sizeof(why), "%s is not for a proxy", wire_spec(in->type)->name);
    if (e != ERR_OK) {
        if (why[0] == '\0')
            wire_why(in, e, why);
        bad(r, l, why);
        return;
    }
    ask(r, l);
}

static bool shake(struct relay *r, struct relay_link *l) /* false: there is no more to read */
{
    struct chain out = {0};
    struct hello_self self = self_of(r);
    size_t used = 0;
    enum hello_verdict v = hello_step(&l->hello, &self, buf_slice(&l->unread), &used, &out);
    buf_drop_front(&l->unread, used);
    say(r, l, &out);
    if (v == HELLO_REFUSED) {
        missed(r, l, l->hello.why);
        lose(r, l, true);
    }
    if (v != HELLO_ACCEPTED)
        return false;
    l->open = true;
    l->reader = (struct wire_reader){.from = WIRE_ANSWERS, .open = true};
    reached(r, l);
    ask(r, l);
    return true;
}

static void bytes(struct relay *r, struct relay_link *l, struct slice in)
{
    size_t at = 0, used;
    if (buf_add(&l->unread, in) != ERR_OK) {
        bad(r, l, "more than a message can be");
        return;
    }
    if (!l->open && !shake(r, l))
        return;
    while (!l->over) {
        struct wire_in frame;
        enum wire_read got =
            wire_next(&l->reader, slice_from(buf_slice(&l->unread), at), &frame, &used);
        if (got == WIRE_MORE)
            break;
        if (got == WIRE_BAD) {
            bad(r, l, l->reader.why);
            break;
        }
        heard(r, l, &frame);
        at += used;
    }
    buf_drop_front(&l->unread, at);
}

static void dialed(struct relay *r, struct relay_link *l, const struct relay_event *ev)
{
    struct chain out = {0};
    struct hello_self self = self_of(r);
    const struct node_id *wanted = node_id_equal(&l->wanted, &anybody) ? NULL : &l->wanted;
    if (!ev->through) {
        missed(r, l, "nobody answers there");
        lose(r, l, false);
        return;
    }
    hello_dial(&l->hello, &self, HELLO_FOLLOW, wanted, ev->nonce, &out);
    say(r, l, &out);
}

/* -------------------------------------------------------------------------- what is due */

/* Y4: who is followed may be the one that is cut off from the others, and look well. */
static void leave_one(struct relay *r)
{
    if (!mono_reached(r->now, r->another))
        return;
    r->another = mono_after(r->now, ANOTHER_US);
    size_t i = (size_t)rng_below(&r->rng, RELAY_LINKS);
    if (links_n(r) == RELAY_LINKS && r->links.at[i]->open && another(r) != NULL) {
        lose(r, r->links.at[i], true);
        r->retry = r->now;
    }
}

static void due(struct relay *r)
{
    for (size_t i = 0; i < r->links.n; i++) {
        struct relay_link *l = r->links.at[i];
        if (l->over)
            continue;
        if (!l->open && mono_reached(r->now, mono_after(l->since, GREETING_US))) {
            missed(r, l, "it does not answer");
            lose(r, l, true);
        } else if (mono_reached(r->now, l->ask)) {
            ask(r, l);
        }
    }
    if (r->another.us == MONO_NEVER.us)
        r->another = mono_after(r->now, ANOTHER_US);
    leave_one(r);
}

static struct mono next(const struct relay *r)
{
    struct mono wake = mono_earlier(r->another, links_n(r) < RELAY_LINKS ? r->retry : MONO_NEVER);
    for (size_t i = 0; i < r->links.n; i++) {
        const struct relay_link *l = r->links.at[i];
        wake = mono_earlier(wake, l->open ? l->ask : mono_after(l->since, GREETING_US));
    }
    return wake;
}

void relay_step(struct relay *r, const struct relay_event *ev, struct relay_out *out)
{
    struct relay_link *l = ev->type == RELAY_DUE ? NULL : link_at(r, ev->link);
    check(mono_reached(ev->now, r->now)); /* time is never earlier than last time */
    r->now = ev->now;
    r->out = out;
    out_clear(out);
    if (l != NULL) {
        switch (ev->type) {
        case RELAY_DIALED: dialed(r, l, ev); break;
        case RELAY_BYTES: bytes(r, l, ev->in); break;
        case RELAY_CLOSED:
            missed(r, l, l->open ? "the connection broke" : "it closed the connection");
            lose(r, l, false);
            break;
        case RELAY_DUE: break;
        }
    }
    due(r);
    links_bury(r);
    dial_some(r);
    out->wake = next(r);
    r->out = NULL;
}

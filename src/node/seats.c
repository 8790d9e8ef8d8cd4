/* SPDX-License-Identifier: BSD-3-Clause */
#include "node/seats.h"

#include "base/check.h"
#include "base/num.h"
#include "node/call.h"
#include "node/cluster.h"
#include "node/info.h"
#include "node/slowlog.h"
#include "node/stats.h"

enum takes {
    TAKES_ANSWER = 1, /* it runs there, too: what it answers is added up */
    TAKES_STATS = 2,  /* what is told of a seat */
    TAKES_SLOWLOG = 4,
    TAKES_LATENCY = 8,
    TAKES_ORDER = 16 /* it runs at the first seat alone, whose answer is the answer */
};

/* What is answered by one thread alone would be wrong of these. */
static const struct {
    enum spec_id id;
    uint8_t takes;
} of_all[] = {
    {SPEC_INFO, TAKES_STATS},
    {SPEC_MEMORY_STATS, TAKES_STATS},
    {SPEC_LATENCY_HISTOGRAM, TAKES_STATS},
    {SPEC_LATENCY_LATEST, TAKES_LATENCY},
    {SPEC_LATENCY_HISTORY, TAKES_LATENCY},
    {SPEC_LATENCY_GRAPH, TAKES_LATENCY},
    {SPEC_LATENCY_DOCTOR, TAKES_LATENCY},
    {SPEC_LATENCY_RESET, TAKES_ANSWER | TAKES_LATENCY},
    {SPEC_SLOWLOG_GET, TAKES_SLOWLOG},
    {SPEC_SLOWLOG_LEN, TAKES_SLOWLOG},
    {SPEC_SLOWLOG_RESET, TAKES_ANSWER},
    {SPEC_CLIENT_LIST, TAKES_ANSWER},
    {SPEC_CLIENT_KILL, TAKES_ANSWER},
    {SPEC_CLIENT_UNBLOCK, TAKES_ANSWER},
    {SPEC_CLIENT_PAUSE, TAKES_ANSWER},
    {SPEC_CLIENT_UNPAUSE, TAKES_ANSWER},
    {SPEC_CONFIG_RESETSTAT, TAKES_ANSWER},
    {SPEC_CONFIG_SET, TAKES_ORDER},
};

struct seat_ask {
    struct list in_asks;
    uint64_t token;
    struct session *session; /* held for it */
    struct kept_request request;
    struct mono began;
    unsigned waits; /* answers that are not here */
    struct seat_share share;
};

struct seats_state {
    struct list asks;
    uint64_t last_token;
    const struct seat_share *others; /* of the command that runs now */
    uint64_t wanted_by;              /* seats with monitors, a bit each */
    bool wants;                      /* so this one told */
    struct buf lines;                /* for those */
};

static_assert((int)SEATS_MAX <= 64, "a bit for each seat");

struct seats_state *seats_new(void)
{
    struct seats_state *st = mem_zero(sizeof(*st));
    list_init(&st->asks);
    buf_init(&st->lines, SIZE_MAX / 2);
    return st;
}

const struct seat_share *seats_others(const struct node *n)
{
    return n->seats->others;
}

/* ------------------------------------------------------------------------ shares */

static void share_init(struct seat_share *s)
{
    *s = (struct seat_share){0};
    buf_init(&s->text, SIZE_MAX / 2);
}

static void share_free(struct seat_share *s)
{
    buf_free(&s->text);
    stats_copy_free(s->stats);
    slowlog_free(s->slowlog);
    latency_free(s->latency);
    upstreams_free(&s->upstreams);
}

static uint8_t takes_of(const struct spec *spec)
{
    for (size_t i = 0; i < sizeof(of_all) / sizeof(of_all[0]); i++)
        if (of_all[i].id == spec->id)
            return of_all[i].takes;
    return 0;
}

/* What a command answered at this seat: a number, an OK, or a text. */
static void share_answer(struct seat_share *to, struct slice reply)
{
    const char *end = memchr(reply.p, '\r', reply.n);
    struct slice head = slice_of(reply.p + 1, (size_t)(end - reply.p) - 1);
    int64_t v = 0;
    if (reply.p[0] == '+')
        to->n++;
    else if (reply.p[0] == ':' && num_get_i64(head, &v))
        to->n += v;
    else if (reply.p[0] == '$' && num_get_i64(head, &v) && v > 0)
        text_put(&to->text, slice_of(end + 2, (size_t)v));
}

/* What this seat has of what a command takes. */
static void share_mine(struct node *n, uint8_t takes, struct seat_share *to)
{
    if (takes & TAKES_STATS) {
        uint64_t mine[FIGURES_N];
        info_figures(n, mine);
        info_figures_add(to->figures, mine);
        upstreams_count(n);
        upstreams_add(&to->upstreams, &n->cluster->upstreams);
        stats_add(&to->stats, n->stats);
    }
    if (takes & TAKES_SLOWLOG)
        slowlog_add(&to->slowlog, n->slowlog);
    if (takes & TAKES_LATENCY)
        latency_add(&to->latency, n->latency);
}

static void share_add(struct seat_share *to, struct seat_share *more)
{
    to->n += more->n;
    text_put(&to->text, buf_slice(&more->text));
    info_figures_add(to->figures, more->figures);
    stats_add(&to->stats, more->stats);
    slowlog_add(&to->slowlog, more->slowlog);
    latency_add(&to->latency, more->latency);
    upstreams_add(&to->upstreams, &more->upstreams);
}

/* ------------------------------------------------------------------ words that go */

static struct seat_word *word_new(const struct node *n, enum seat_word_type type)
{
    struct seat_word *w = mem_zero(sizeof(*w));
    w->type = type;
    w->from = n->identity.seat;
    buf_init(&w->lines, SIZE_MAX / 2);
    share_init(&w->share);
    return w;
}

void seat_word_free(struct seat_word *w)
{
    if (w->request.argv != NULL)
        kept_request_free(&w->request);
    share_free(&w->share);
    buf_free(&w->lines);
    mem_free(w);
}

static void send(struct node_out *out, unsigned to, struct seat_word *w)
{
    *vec_add(&out->seats) = (struct seat_send){.to = to, .word = w};
}

static void send_ask(struct node *n, const struct seat_ask *a, unsigned to, struct node_out *out)
{
    struct seat_word *w = word_new(n, SEAT_ASK);
    w->token = a->token;
    w->is_loopback = a->session->is_loopback;
    kept_request_copy(&w->request, a->request.spec, a->request.argv, NULL, a->request.argc);
    send(out, to, w);
}

bool seats_are_asked(const struct node *n, const struct spec *spec)
{
    uint8_t takes = n->identity.seats_n > 1 && spec->handler == SPEC_NODE ? takes_of(spec) : 0;
    return takes != 0 && !(takes == TAKES_ORDER && n->identity.seat == 0);
}

void seats_ask(struct node *n, struct session *s, const struct spec *spec, const struct request *q,
               struct node_out *out)
{
    struct seat_ask *a = mem_zero(sizeof(*a));
    a->token = ++n->seats->last_token;
    a->session = s;
    a->began = n->now;
    kept_request_copy(&a->request, spec, q->argv, NULL, q->argc);
    share_init(&a->share);
    list_push(&n->seats->asks, &a->in_asks);
    s->last = spec;
    s->active = n->now;
    s->owed_silent = routed_silent(s);
    session_hold(n, s, HELD_SEATS, MONO_NEVER);
    if (node_is_monitored(n))
        monitor_feed(n, s, q->argv, q->argc);
    unsigned upto = takes_of(spec) == TAKES_ORDER ? 1 : n->identity.seats_n;
    for (unsigned to = 0; to < upto; to++) {
        if (to == n->identity.seat)
            continue;
        a->waits++;
        send_ask(n, a, to, out);
    }
}

void seats_tell_options(struct node *n, const struct option_trial *t, struct node_out *out)
{
    VEC(struct slice) argv = {0};
    struct options_got got;
    for (size_t id = 0; id < OPTION_N; id++)
        if (t->changed[id])
            *vec_add(&argv) = slice_str(options_name((enum option)id));
    options_get(n->options, argv.at, argv.n, &got);
    vec_clear(&argv);
    for (size_t i = 0; i < got.list.n; i++) {
        *vec_add(&argv) = got.list.at[i].name;
        *vec_add(&argv) = slice_of(got.text.p + got.list.at[i].at, got.list.at[i].n);
    }
    for (unsigned to = 1; to < n->identity.seats_n; to++) {
        struct seat_word *w = word_new(n, SEAT_FOLLOW);
        kept_request_copy(&w->request, NULL, argv.at, NULL, (uint32_t)argv.n);
        send(out, to, w);
    }
    options_got_free(&got);
    vec_free(&argv);
}

/* ------------------------------------------------------------------- words that come */

static void ask_free(struct seat_ask *a)
{
    list_drop(&a->in_asks);
    kept_request_free(&a->request);
    share_free(&a->share);
    mem_free(a);
}

/* Runs it as if it had just come, but for what was looked at before it was asked of others. */
static void run(struct node *n, struct session *s, const struct kept_request *k, struct reply *r,
                struct node_out *out)
{
    struct call c = call_kept(n, s, k, r, out);
    node_handler_of(k->spec)(&c);
}

/* Over the sum of all seats, this one included, which then has its own again. */
static void run_over_all(struct node *n, struct seat_ask *a, struct reply *r, struct node_out *out)
{
    struct stats *stats = n->stats;
    struct slowlog *slowlog = n->slowlog;
    struct latency *latency = n->latency;
    struct seat_share *sum = &a->share;
    uint8_t takes = takes_of(a->request.spec);
    if (!(takes & TAKES_ANSWER)) { /* else it runs for this seat, too, and the sum is the others' */
        share_mine(n, takes, sum);
        n->stats = takes & TAKES_STATS ? sum->stats : stats;
        n->slowlog = takes & TAKES_SLOWLOG ? sum->slowlog : slowlog;
        n->latency = takes & TAKES_LATENCY ? sum->latency : latency;
    }
    n->seats->others = sum;
    run(n, a->session, &a->request, r, out);
    n->seats->others = NULL;
    n->stats = stats;
    n->slowlog = slowlog;
    n->latency = latency;
}

static void ask_done(struct node *n, struct seat_ask *a, struct node_out *out)
{
    struct session *s = a->session;
    struct chain silent = {0};
    struct reply r = session_owed_reply(s, &silent);
    const struct kept_request *k = &a->request;
    uint32_t errors = r.errors;
    if (takes_of(k->spec) != TAKES_ORDER)
        run_over_all(n, a, &r, out);
    else if (a->share.text.n > 0)
        chain_put(r.out, buf_slice(&a->share.text));
    else
        reply_error(&r, SLICE("ERR this proxy is being stopped"));
    bool failed = r.errors > errors;
    if (failed)
        stats_error(n, r.error_code);
    run_noted(n, s, k->spec, k->argv, k->argc, (uint64_t)(n->now.us - a->began.us) * 1000, failed);
    session_owed_done(n, s, &silent, out);
    ask_free(a);
}

/* What this seat has to say to another's question. */
static void answer(struct node *n, struct seat_word *w, struct node_out *out)
{
    struct seat_word *told = word_new(n, SEAT_TOLD);
    struct seat_share *share = &told->share;
    uint8_t takes = takes_of(w->request.spec);
    told->token = w->token;
    share_mine(n, takes, share);
    if (takes & (TAKES_ANSWER | TAKES_ORDER)) {
        struct chain bytes = {0};
        struct reply r = {.out = &bytes, .protocol = 2};
        size_t flat_n;
        if (takes & TAKES_ORDER)
            config_set_for(n, &w->request, w->is_loopback, &r, out);
        else
            run(n, NULL, &w->request, &r, out);
        char *flat = chain_flat(&bytes, &n->store.graves, &flat_n);
        if (takes & TAKES_ORDER)
            text_put(&share->text, slice_of(flat, flat_n));
        else
            share_answer(share, slice_of(flat, flat_n));
        mem_free(flat);
    }
    send(out, w->from, told);
}

static void told(struct node *n, struct seat_word *w, struct node_out *out)
{
    for (struct list *l = n->seats->asks.next; l != &n->seats->asks; l = l->next) {
        struct seat_ask *a = CONTAINER_OF(l, struct seat_ask, in_asks);
        if (a->token != w->token)
            continue;
        share_add(&a->share, &w->share);
        if (--a->waits == 0)
            ask_done(n, a, out);
        return;
    }
}

static void follow(struct node *n, const struct kept_request *k, struct node_out *out)
{
    VEC(struct option_pair) pairs = {0};
    for (uint32_t i = 0; i + 1 < k->argc; i += 2)
        *vec_add(&pairs) = (struct option_pair){k->argv[i], k->argv[i + 1]};
    config_follow(n, pairs.at, pairs.n, out);
    vec_free(&pairs);
}

void seats_take(struct node *n, struct seat_word *w, struct node_out *out)
{
    uint64_t bit = UINT64_C(1) << w->from;
    switch (w->type) {
    case SEAT_ASK: answer(n, w, out); break;
    case SEAT_TOLD: told(n, w, out); break;
    case SEAT_FOLLOW: follow(n, &w->request, out); break;
    case SEAT_WANT:
        n->seats->wanted_by = w->wanted ? n->seats->wanted_by | bit : n->seats->wanted_by & ~bit;
        n->is_watched = n->seats->wanted_by != 0;
        break;
    case SEAT_LINES: monitors_show(n, buf_slice(&w->lines)); break;
    }
}

/* --------------------------------------------------------------------- the rest */

void seats_forget(struct node *n, const struct session *s)
{
    for (struct list *l = n->seats->asks.next, *next; l != &n->seats->asks; l = next) {
        next = l->next;
        struct seat_ask *a = CONTAINER_OF(l, struct seat_ask, in_asks);
        if (a->session == s)
            ask_free(a);
    }
}

void seats_give_up(struct node *n, struct node_out *out)
{
    while (!list_empty(&n->seats->asks))
        ask_done(n, CONTAINER_OF(n->seats->asks.next, struct seat_ask, in_asks), out);
}

void seats_show(struct node *n, struct slice line)
{
    if (n->seats->wanted_by == 0)
        return;
    text_put(&n->seats->lines, line);
}

void seats_step_end(struct node *n, struct node_out *out)
{
    struct seats_state *st = n->seats;
    bool wants = !list_empty(&n->monitors), differs = wants != st->wants;
    if (st->lines.n == 0 && !differs)
        return;
    for (unsigned to = 0; to < n->identity.seats_n; to++) {
        if (differs && to != n->identity.seat) {
            struct seat_word *w = word_new(n, SEAT_WANT);
            w->wanted = wants;
            send(out, to, w);
        }
        if (st->lines.n > 0 && (st->wanted_by >> to & 1) != 0) {
            struct seat_word *w = word_new(n, SEAT_LINES);
            text_put(&w->lines, buf_slice(&st->lines));
            send(out, to, w);
        }
    }
    st->wants = wants;
    buf_free(&st->lines);
}

void seats_free(struct seats_state *st)
{
    while (!list_empty(&st->asks))
        ask_free(CONTAINER_OF(st->asks.next, struct seat_ask, in_asks));
    buf_free(&st->lines);
    mem_free(st);
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* Clients: what they ask, what they must be answered, and what they may rely on afterwards.
 *
 * The shell knows in which order requests were executed; the model executes them in that order, and a
 * reply is looked at twice: when it was written into the session's output (was it refused? is it
 * right?), and when it leaves (is it still the same, in its place?). */
#include <stdio.h>

#include "base/check.h"
#include "node/state.h"
#include "tests/sim/sim.h"

enum { WIRE_US = 300, THINK_US = 200 * 1000, COME_US = 5000, VALUE_MAX_BYTES = 60 * 1000 };

/* ---------------------------------------------------------------------------- text */

static char *text_of(const struct answer *a)
{
    struct buf b;
    buf_init(&b, SIM_TEXT_BYTES);
    text_answer(&b, a);
    check(buf_add(&b, slice_of("", 1)) == ERR_OK);
    return b.p;
}

static void call_text(const struct sim_call *call, char *to, size_t to_n)
{
    size_t n = 0;
    to[0] = '\0';
    for (uint32_t i = 0; i < call->argc && n + 44 < to_n; i++)
        n += (size_t)snprintf(to + n, to_n - n, "%s%.*s", i > 0 ? " " : "",
                              (int)(call->argv[i].n < 40 ? call->argv[i].n : 40), call->argv[i].p);
    for (size_t i = 0; i < n; i++)
        to[i] = to[i] == '\n' ? '.' : to[i];
}

/* ------------------------------------------------------------------------- sending */

static struct sim_call *call_new(struct sim *s, struct sim_client *c, const struct slice *argv, uint32_t argc)
{
    size_t bytes = argc * sizeof(struct slice);
    for (uint32_t i = 0; i < argc; i++)
        bytes += argv[i].n;
    struct slice *own = mem_get(bytes);
    char *to = (char *)(own + argc);
    for (uint32_t i = 0; i < argc; i++) {
        if (argv[i].n > 0)
            memcpy(to, argv[i].p, argv[i].n);
        own[i] = slice_of(to, argv[i].n);
        to += argv[i].n;
    }
    struct sim_call *call = vec_add(&c->calls);
    *call = (struct sim_call){.argv = own, .argc = argc, .sent = s->now};
    return call;
}

void sim_client_say(struct sim *s, struct sim_client *c, const struct slice *argv, uint32_t argc)
{
    call_new(s, c, argv, argc);
    text_add(&c->wire, "*%u\r\n", argc);
    for (uint32_t i = 0; i < argc; i++) {
        text_add(&c->wire, "$%zu\r\n", argv[i].n);
        check(buf_add(&c->wire, argv[i]) == ERR_OK && buf_add(&c->wire, SLICE("\r\n")) == ERR_OK);
    }
    s->ops_n++;
    if (c->number != SIM_AUDITOR && c->wire_due.place == 0)
        sim_plan(s, &c->wire_due, sim_exponential(&s->load_rng, WIRE_US));
}

/* What is on its way arrives whole or cut anywhere. */
static void arrive(struct sim *s, struct sim_client *c)
{
    size_t n = c->wire.n;
    if (n > 1 && rng_below(&s->load_rng, 4) == 0)
        n = 1 + rng_below(&s->load_rng, n - 1);
    char *to;
    size_t wants = request_parser_wants(&c->parser, &to), direct = wants < n ? wants : n;
    if (direct > 0) { /* into the big value under way, as from a socket */
        memcpy(to, c->wire.p, direct);
        request_parser_filled(&c->parser, direct);
    }
    check(buf_add(&c->in, slice_of(c->wire.p + direct, n - direct)) == ERR_OK);
    buf_drop_front(&c->wire, n);
    if (c->wire.n > 0)
        sim_plan(s, &c->wire_due, sim_exponential(&s->load_rng, WIRE_US));
    sim_node_turn_soon(s);
}

/* ---------------------------------------------------------------------- what is said */

struct wish {
    struct slice argv[16];
    uint32_t argc;
    char text[16][64];
    char *value;
};

static uint64_t draw(struct sim *s, uint64_t n)
{
    return rng_below(&s->load_rng, n);
}

static void word(struct wish *w, const char *text)
{
    w->argv[w->argc++] = slice_str(text);
}

static void number(struct wish *w, uint64_t v)
{
    char *to = w->text[w->argc];
    snprintf(to, sizeof(w->text[0]), "%llu", (unsigned long long)v);
    word(w, to);
}

static void key(struct sim *s, struct wish *w)
{
    char *to = w->text[w->argc];
    unsigned n = (unsigned)draw(s, MODEL_KEYS);
    if (s->slotted)
        n += s->group - n % MODEL_GROUPS;
    model_key_name(n, s->slotted, to);
    word(w, to);
}

static void value(struct sim *s, struct wish *w)
{
    char *to = w->text[w->argc];
    uint64_t kind = draw(s, 300);
    if (kind > 25 || w->value != NULL) {
        if (kind % 3 == 0)
            number(w, draw(s, 1000));
        else {
            snprintf(to, sizeof(w->text[0]), "v%llu", (unsigned long long)s->ops_n);
            word(w, to);
        }
        return;
    }
    size_t n = 1 + draw(s, kind == 0 ? VALUE_MAX_BYTES : 1500);
    w->value = mem_get(n);
    char c = (char)('a' + draw(s, 26));
    for (size_t i = 0; i < n; i++)
        w->value[i] = i % 97 == 13 ? '\n' : c;
    w->argv[w->argc++] = slice_of(w->value, n);
}

static void wish_set(struct sim *s, struct wish *w)
{
    word(w, "SET");
    key(s, w);
    value(s, w);
    uint64_t kind = draw(s, 12);
    if (kind == 0)
        word(w, "NX");
    if (kind == 1)
        word(w, "XX");
    if (kind == 2)
        word(w, "GET");
    if (kind == 3)
        word(w, "KEEPTTL");
    if (kind == 4 || kind == 5) {
        word(w, "PX");
        number(w, 1 + draw(s, 5000));
    }
    if (kind == 6) {
        word(w, "EX");
        number(w, 1 + draw(s, 8));
    }
}

static void wish_several(struct sim *s, struct wish *w, const char *command, bool values)
{
    word(w, command);
    for (uint64_t n = 1 + draw(s, 4); n > 0; n--) {
        key(s, w);
        if (values)
            value(s, w);
    }
}

static void wish_read(struct sim *s, struct wish *w)
{
    static const char *const reads[] = {"GET", "GET", "GET", "STRLEN", "PTTL", "PEXPIRETIME", "EXISTS"};
    if (draw(s, 5) == 0) {
        wish_several(s, w, "MGET", false);
        return;
    }
    word(w, reads[draw(s, sizeof(reads) / sizeof(reads[0]))]);
    key(s, w);
}

static void wish_change(struct sim *s, struct wish *w)
{
    switch (draw(s, 10)) {
    case 0: word(w, "INCR"), key(s, w); break;
    case 1: word(w, "APPEND"), key(s, w), value(s, w); break;
    case 2: wish_several(s, w, "DEL", false); break;
    case 3: wish_several(s, w, "MSET", true); break;
    case 4: word(w, "SETRANGE"), key(s, w), number(w, draw(s, 200)), value(s, w); break;
    case 5: word(w, "PEXPIRE"), key(s, w), number(w, draw(s, 4000)); break;
    case 6: word(w, "PERSIST"), key(s, w); break;
    case 7: word(w, "INCRBY"), key(s, w), number(w, draw(s, 100)); break;
    case 8: word(w, "GETDEL"), key(s, w); break;
    case 9: word(w, "RENAME"), key(s, w), key(s, w); break;
    default: check(false);
    }
}

static void wish_data(struct sim *s, struct wish *w)
{
    uint64_t kind = draw(s, 1000);
    if (s->slotted && !s->in_transaction)
        s->group = (unsigned)draw(s, MODEL_GROUPS);
    if (kind < 350)
        wish_read(s, w);
    else if (kind < 650)
        wish_set(s, w);
    else if (kind < 980)
        wish_change(s, w);
    else if (kind < 998)
        word(w, "SELECT"), number(w, draw(s, s->slotted ? 1 : MODEL_DBS));
    else if (s->in_transaction && s->slotted) /* it would be of many slots */
        word(w, "PING");
    else
        word(w, draw(s, 2) == 0 ? "FLUSHDB" : "FLUSHALL");
}

/* What concerns the log, not the data. */
static bool wish_admin(struct sim *s, struct wish *w)
{
    static const char *const policies[] = {"always", "everysec", "no"};
    uint64_t kind = draw(s, 1000);
    if (kind < 3) {
        word(w, "BGREWRITEAOF");
    } else if (kind < 5) {
        word(w, "CONFIG"), word(w, "SET"), word(w, "appendfsync"), word(w, policies[draw(s, 3)]);
    } else if (kind < 15) {
        word(w, "WAITAOF"), word(w, "1"), word(w, "0"), number(w, 1 + draw(s, 1500));
    } else {
        return false;
    }
    return true;
}

static void say(struct sim *s, struct sim_client *c, struct wish *w)
{
    sim_client_say(s, c, w->argv, w->argc);
    mem_free(w->value);
    *w = (struct wish){0};
}

static void say_transaction(struct sim *s, struct sim_client *c)
{
    struct wish w = {0};
    word(&w, "MULTI");
    say(s, c, &w);
    s->in_transaction = true;
    if (s->slotted)
        s->group = (unsigned)draw(s, MODEL_GROUPS);
    for (uint64_t n = 1 + draw(s, 5); n > 0; n--) {
        wish_data(s, &w);
        say(s, c, &w);
    }
    s->in_transaction = false;
    word(&w, draw(s, 8) == 0 ? "DISCARD" : "EXEC");
    say(s, c, &w);
}

static void say_batch(struct sim *s, struct sim_client *c)
{
    struct wish w = {0};
    uint64_t n = draw(s, 2) == 0 ? 1 : 1 + draw(s, draw(s, 8) == 0 ? 40 : 8);
    for (; n > 0; n--) {
        if (draw(s, 15) == 0) {
            say_transaction(s, c);
            continue;
        }
        if (!wish_admin(s, &w))
            wish_data(s, &w);
        say(s, c, &w);
    }
}

/* ------------------------------------------------------------------------ connections */

static void call_free(struct sim_call *call)
{
    mem_free(call->argv);
    mem_free(call->text);
}

static void calls_forget(struct sim_client *c)
{
    for (size_t i = 0; i < c->calls.n; i++)
        call_free(&c->calls.at[i]);
    c->calls.n = c->calls_done = c->taken_n = c->peeked_n = 0;
    c->queued.n = 0;
}

void sim_client_gone(struct sim *s, struct sim_client *c)
{
    calls_forget(c);
    for (size_t i = 0; i < c->kept.n; i++)
        request_free(&c->kept.at[i]);
    vec_clear(&c->kept);
    request_parser_free(&c->parser);
    memset(&c->parser, 0, sizeof(c->parser));
    buf_clear(&c->wire);
    buf_clear(&c->in);
    c->in_at = 0;
    answer_reader_free(c->peek);
    answer_reader_free(c->got);
    c->peek = c->got = NULL;
    c->out = NULL;
    c->upto = 0;
    c->held = c->asleep = c->closing = c->in_multi = c->multi_failed = false;
    heap_remove(&s->calendar, &c->wire_due);
    heap_remove(&s->calendar, &c->due);
    if (c->number != SIM_AUDITOR && s->load_on)
        sim_plan(s, &c->due, sim_exponential(&s->load_rng, COME_US));
}

void sim_client_come(struct sim *s, struct sim_client *c)
{
    static const struct answer_limits limits = {.bytes_max = SIZE_MAX / 2, .elements_max = 100000};
    c->peek = answer_reader_new(&limits);
    c->got = answer_reader_new(&limits);
    c->peeked_put = 0;
    c->db = 0;
    c->own_write = 0;
    sim_node_open(s, c);
}

/* The client has something to do: wake up, come back, or ask. */
static void act(struct sim *s, struct sim_client *c)
{
    if (!s->load_on)
        return;
    if (s->process != PROCESS_UP) {
        sim_plan(s, &c->due, 20 * 1000 + sim_exponential(&s->load_rng, COME_US));
        return;
    }
    if (!c->open)
        sim_client_come(s, c);
    if (c->asleep) {
        c->asleep = false;
        sim_load_deliver(s, c);
    }
    if (c->calls_done == c->calls.n && c->due.place == 0)
        say_batch(s, c);
}

bool sim_load_due(struct sim *s, struct heap_node *due)
{
    for (size_t i = 0; i < SIM_CLIENTS; i++) {
        struct sim_client *c = &s->clients[i];
        if (due != &c->due && due != &c->wire_due)
            continue;
        heap_remove(&s->calendar, due);
        if (due == &c->due)
            act(s, c);
        else
            arrive(s, c);
        return true;
    }
    return false;
}

/* --------------------------------------------------------------------- written replies */

static void feed_chain(struct answer_reader *r, const struct chain *c, size_t from)
{
    char *bytes = mem_get(c->n + 1);
    chain_copy(c, bytes, c->n);
    check(answer_feed(r, slice_of(bytes + from, c->n - from)) == ERR_OK);
    mem_free(bytes);
}

/* A reply that is written again must be the same, or say that the write's fate is not known. */
static void note_text(struct sim *s, struct sim_client *c, size_t i, char *text)
{
    struct sim_call *call = &c->calls.at[i];
    bool uncertain = strncmp(text, "-UNCERTAIN ", 11) == 0;
    if (uncertain && !s->failed && !s->full_seen)
        sim_wrong(s, "client %u: %s, but the disk is well", c->number, text);
    else if (call->text != NULL && !uncertain && strcmp(call->text, text) != 0)
        sim_wrong(s, "client %u: the reply was %.200s, now it is %.200s", c->number, call->text, text);
    mem_free(call->text);
    call->text = text;
}

static void peek(struct sim *s, struct sim_client *c, bool again)
{
    const struct session *of = session_at(s->node, c->number);
    size_t from = of->out.n;
    if (again) {
        static const struct answer_limits limits = {.bytes_max = SIZE_MAX / 2, .elements_max = 100000};
        answer_reader_free(c->peek);
        c->peek = answer_reader_new(&limits);
        c->peeked_n = c->calls_done;
        from = 0;
    } else {
        from -= (size_t)(of->out.put - c->peeked_put);
    }
    if (from < of->out.n)
        feed_chain(c->peek, &of->out, from);
    c->peeked_put = of->out.put;
    struct answer *a;
    while (!s->wrong && answer_next(c->peek, &a) == ERR_OK && a != NULL) {
        if (c->peeked_n >= c->calls.n || !c->calls.at[c->peeked_n].taken)
            sim_wrong(s, "client %u: a reply to nothing", c->number);
        else
            note_text(s, c, c->peeked_n++, text_of(a));
        answer_free(a);
    }
}

void sim_load_peek(struct sim *s, bool again)
{
    for (size_t i = 0; i < SIM_CONNS && !s->wrong; i++)
        if (s->clients[i].open && (again || session_at(s->node, (uint32_t)i)->out.put != s->clients[i].peeked_put))
            peek(s, &s->clients[i], again);
}

/* ----------------------------------------------------------------------------- judging */

static bool starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* Refused for the disk's sake: only when there is something the matter with it. */
static bool is_refused(struct sim *s, struct sim_client *c, struct sim_call *call)
{
    bool misconf = starts(call->text, "-MISCONF ") || (starts(call->text, "-EXECABORT ") && !c->multi_failed);
    if (!misconf)
        return false;
    if (!s->failed && !s->full_seen)
        sim_wrong(s, "client %u: %s, but the disk is well", c->number, call->text);
    call->refused = true;
    c->refused_at = s->now;
    return true;
}

static void expect(struct sim *s, struct sim_client *c, const struct sim_call *call, const char *want)
{
    char text[256];
    if (strcmp(call->text, want) == 0)
        return;
    call_text(call, text, sizeof(text));
    sim_wrong(s, "client %u: %s: answered %.300s, should be %.300s", c->number, text, call->text, want);
}

static void run_model(struct sim *s, struct sim_client *c, const struct sim_call *call, struct buf *reply)
{
    struct model_call m = {.argv = call->argv, .argc = call->argc, .db = &c->db};
    model_run(&s->model, &m, sim_wall(s), reply);
}

static void judge_exec(struct sim *s, struct sim_client *c, struct sim_call *call)
{
    struct buf reply;
    buf_init(&reply, SIM_TEXT_BYTES);
    text_add(&reply, "[");
    model_begin(&s->model);
    for (size_t i = 0; i < c->queued.n; i++) {
        text_add(&reply, i > 0 ? " " : "");
        run_model(s, c, &c->calls.at[c->queued.at[i]], &reply);
    }
    model_end(&s->model);
    check(buf_add(&reply, slice_of("]", 2)) == ERR_OK);
    expect(s, c, call, reply.p);
    buf_free(&reply);
}

/* MULTI and what is in it. */
static void judge_multi(struct sim *s, struct sim_client *c, size_t i)
{
    struct sim_call *call = &c->calls.at[i];
    bool exec = slice_is(call->argv[0], "exec"), discard = slice_is(call->argv[0], "discard");
    if (!exec && !discard) {
        if (is_refused(s, c, call)) {
            c->multi_failed = true;
            return;
        }
        expect(s, c, call, "+QUEUED");
        *vec_add(&c->queued) = i;
        return;
    }
    if (discard)
        expect(s, c, call, "+OK");
    else if (c->multi_failed)
        expect(s, c, call, "-EXECABORT Transaction discarded because of previous errors.");
    else if (!is_refused(s, c, call))
        judge_exec(s, c, call);
    c->in_multi = c->multi_failed = false;
    c->queued.n = 0;
}

static enum appendfsync policy_of(struct slice word)
{
    return slice_is(word, "always") ? APPENDFSYNC_ALWAYS
           : slice_is(word, "no")   ? APPENDFSYNC_NO
                                    : APPENDFSYNC_EVERYSEC;
}

/* Commands that the model has no answer for. */
static void judge_other(struct sim *s, struct sim_client *c, struct sim_call *call)
{
    if (slice_is(call->argv[0], "multi")) {
        expect(s, c, call, "+OK");
        c->in_multi = true;
    } else if (slice_is(call->argv[0], "config")) {
        expect(s, c, call, "+OK");
        sim_policy(s, policy_of(call->argv[3]));
    } else if (slice_is(call->argv[0], "bgrewriteaof")) {
        if (call->text[0] != '+' && !starts(call->text, "-ERR "))
            sim_wrong(s, "client %u: BGREWRITEAOF: %s", c->number, call->text);
    } else if (slice_is(call->argv[0], "waitaof")) {
        call->own_write = c->own_write; /* its reply comes when it comes */
    } else if (s->trace_to == NULL && !starts(call->text, "-ERR")) { /* a scenario says itself what is right */
        sim_wrong(s, "client %u: %s", c->number, call->text);
    }
}

void sim_load_judge(struct sim *s, struct sim_client *c, size_t i)
{
    struct sim_call *call = &c->calls.at[i];
    bool waits = slice_is(call->argv[0], "waitaof") && !c->in_multi;
    if (s->wrong || c->number == SIM_AUDITOR)
        return;
    if (call->text == NULL && !waits) {
        sim_wrong(s, "client %u: no reply was written", c->number);
        return;
    }
    uint64_t before = s->model.writes_n;
    if (c->in_multi) {
        judge_multi(s, c, i);
    } else if (!model_knows(call->argv[0])) {
        judge_other(s, c, call);
    } else if (!is_refused(s, c, call)) {
        struct buf reply;
        buf_init(&reply, SIM_TEXT_BYTES);
        run_model(s, c, call, &reply);
        check(buf_add(&reply, slice_of("", 1)) == ERR_OK);
        expect(s, c, call, reply.p);
        buf_free(&reply);
    }
    call->judged = true;
    call->write = s->model.writes_n;
    if (s->model.writes_n > before)
        c->own_write = s->model.writes_n;
    if (s->trace_on || s->trace_to == NULL) {
        char text[160];
        call_text(call, text, sizeof(text));
        sim_trace(s, "client %u: %s -> %.60s (write %llu)", c->number, text, call->text != NULL ? call->text : "?",
                  (unsigned long long)call->write);
    }
}

/* --------------------------------------------------------------------------- delivery */

static void waited(struct sim *s, struct sim_client *c, const struct sim_call *call)
{
    if (starts(call->text, "[:1 ") && call->own_write > s->durable)
        s->durable = call->own_write;
    else if (call->text[0] != '[' && !starts(call->text, "-ERR ") && !starts(call->text, "-UNCERTAIN "))
        sim_wrong(s, "client %u: WAITAOF: %s", c->number, call->text);
}

/* What was answered UNCERTAIN is in memory and may come into the log yet: reads show it meanwhile, and
 * promise nothing about it. */
static void tell(struct sim *s, const struct sim_client *c, const struct sim_call *call)
{
    const struct node *n = s->node;
    bool always = c->policy == APPENDFSYNC_ALWAYS && lsn_reached(n->journal.synced, n->gate_floor);
    if (lsn_reached(n->journal.written, n->gate_floor))
        sim_tell(s, call->write, always || c->policy == APPENDFSYNC_NO ? c->policy : APPENDFSYNC_EVERYSEC);
}

/* The oldest call that is not answered gets this. */
static void answered(struct sim *s, struct sim_client *c, char *text)
{
    struct sim_call *call = &c->calls.at[c->calls_done];
    if (c->calls_done >= c->calls.n || call->text == NULL) {
        sim_wrong(s, "client %u: a reply to nothing", c->number);
    } else if (strcmp(call->text, text) != 0) {
        sim_wrong(s, "client %u: %.200s was written, %.200s has left", c->number, call->text, text);
    } else {
        c->calls_done++;
        if (s->trace_to != NULL)
            sim_trace(s, "client %u %.100s", c->number, text);
        if (slice_is(call->argv[0], "waitaof"))
            waited(s, c, call);
        if (!starts(text, "-UNCERTAIN ")) {
            s->acked_n++;
            c->answered_n++;
            tell(s, c, call);
        }
    }
    mem_free(text);
}

static void answers_read(struct sim *s, struct sim_client *c)
{
    struct answer *a, *b;
    while (!s->wrong && answer_next(c->got, &a) == ERR_OK && a != NULL) {
        bool swap = s->broken == BREAK_REPLY_SWAPPED && rng_below(&s->node_rng, 50) == 0;
        if (swap && answer_next(c->got, &b) == ERR_OK && b != NULL) {
            answered(s, c, text_of(b));
            answer_free(b);
        }
        answered(s, c, text_of(a));
        answer_free(a);
    }
}

void sim_load_deliver(struct sim *s, struct sim_client *c)
{
    for (size_t i = c->calls_done; s->broken == BREAK_REPLY_EARLY && i < c->peeked_n; i++)
        if (c->calls.at[i].judged)
            sim_tell(s, c->calls.at[i].write, s->policy); /* the client was shown what is behind the gate */
    if (c->upto == 0)
        return;
    check(c->upto <= c->out->n);
    char *bytes = mem_get(c->upto);
    chain_copy(c->out, bytes, c->upto);
    check(answer_feed(c->got, slice_of(bytes, c->upto)) == ERR_OK);
    mem_free(bytes);
    chain_consume(c->out, c->upto, node_graves(s->node));
    c->upto = 0;
    answers_read(s, c);
    if (c->calls_done < c->calls.n || c->calls.n == 0 || c->number == SIM_AUDITOR)
        return;
    if (c->due.place == 0 && s->load_on)
        sim_plan(s, &c->due, sim_exponential(&s->load_rng, THINK_US));
    if (!c->in_multi)
        calls_forget(c);
}

/* --------------------------------------------------------------------- birth and death */

void sim_load_init(struct sim *s)
{
    for (unsigned i = 0; i < SIM_CONNS; i++) {
        s->clients[i] = (struct sim_client){.number = i};
        buf_init(&s->clients[i].wire, SIM_TEXT_BYTES);
        buf_init(&s->clients[i].in, SIM_TEXT_BYTES);
    }
}

void sim_load_free(struct sim *s)
{
    s->load_on = false;
    for (unsigned i = 0; i < SIM_CONNS; i++) {
        struct sim_client *c = &s->clients[i];
        sim_client_gone(s, c);
        vec_free(&c->queued);
        vec_free(&c->kept);
        vec_free(&c->calls);
        buf_free(&c->wire);
        buf_free(&c->in);
    }
}

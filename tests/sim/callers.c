/* SPDX-License-Identifier: BSD-3-Clause */

/* Clients of the cluster: each asks any node for keys of any slot, a few commands at once, and writes down
 * when it asked, when it was answered, and what.
 *
 * A command is in its group's history from when it is sent, as one whose fate nobody knows; its answer
 * makes it sure, or void where the answer says that nothing was run. */
#include <stdio.h>

#include "base/check.h"
#include "base/num.h"
#include "node/cluster.h"
#include "resp/resp_write.h"
#include "tests/sim/hosts.h"

enum { THINK_US = 180 * 1000, AGAIN_US = 150 * 1000, PATIENCE_US = 8 * 1000 * 1000, PIPELINE = 3, ROAM = 12, BUSY = 10 };
enum { COUNT_KEY = 2, LIST_KEY = 3, APPEND_BYTES = 8 }; /* one only counts, to one is only appended */

static uint64_t draw(struct caller *c, uint64_t n)
{
    return rng_below(&c->world->load_rng, n);
}

static void plan(struct caller *c, int64_t us)
{
    planes_plan(&c->world->planes, &c->due, mono_after(c->world->planes.now, us));
}

/* ------------------------------------------------------------------------- asking */

static struct call_sent *sent_add(struct caller *c, enum call_what what)
{
    check(c->sent_n < sizeof(c->sent) / sizeof(c->sent[0]));
    struct call_sent *s = &c->sent[c->sent_n++];
    *s = (struct call_sent){.what = what};
    c->world->calls_n++;
    return s;
}

static struct history_op *op_add(struct caller *c, struct call_sent *s, unsigned group)
{
    struct history *h = &c->world->histories[group];
    struct history_op *op = vec_add(&h->ops);
    *op = (struct history_op){.call = c->world->planes.now.us, .answer = INT64_MAX, .unsure = true,
                              .after = (uint32_t)c->last[group]};
    s->parts[s->parts_n].group = group;
    s->parts[s->parts_n++].op = h->ops.n - 1;
    c->last[group] = h->ops.n;
    return op;
}

static void part_add(struct history_op *op, enum history_part_type type, unsigned key, int64_t value)
{
    op->parts[op->parts_n++] = (struct history_part){.type = (uint8_t)type, .key = (uint8_t)key, .value = value};
}

static void put_key(struct reply *r, unsigned group, unsigned key)
{
    char name[16];
    snprintf(name, sizeof(name), "{g%u}%c", group, (char)('a' + key));
    reply_bulk_str(r, name);
}

/* One command on one key; its part in op. */
static void put_one(struct caller *c, struct reply *r, struct history_op *op, unsigned group)
{
    unsigned key = (unsigned)draw(c, HISTORY_KEYS);
    uint64_t which = draw(c, 10);
    if (which < 4) {
        reply_array(r, 2);
        reply_bulk_str(r, "GET");
        put_key(r, group, key);
        part_add(op, HISTORY_GET, key, 0);
    } else if (which < 6) {
        reply_array(r, 2);
        reply_bulk_str(r, "DEL");
        put_key(r, group, key);
        part_add(op, HISTORY_DEL, key, 0);
    } else if (key == LIST_KEY) {
        char piece[24];
        snprintf(piece, sizeof(piece), "%0*lld", APPEND_BYTES, (long long)++c->world->values);
        reply_array(r, 3);
        reply_bulk_str(r, "APPEND");
        put_key(r, group, key);
        reply_bulk_str(r, piece);
        part_add(op, HISTORY_APPEND, key, c->world->values);
    } else if (key == COUNT_KEY) {
        reply_array(r, 2);
        reply_bulk_str(r, "INCR");
        put_key(r, group, key);
        part_add(op, HISTORY_INCR, key, 0);
    } else {
        reply_array(r, 3);
        reply_bulk_str(r, "SET");
        put_key(r, group, key);
        reply_bulk_i64(r, ++c->world->values);
        part_add(op, HISTORY_SET, key, c->world->values);
    }
}

static void put_many(struct caller *c, struct reply *r, bool write)
{
    struct call_sent *s = sent_add(c, write ? CALL_MSET : CALL_MGET);
    unsigned first = (unsigned)draw(c, GROUPS), n = 2 + (unsigned)draw(c, 2);
    reply_array(r, 1 + n * (write ? 2 : 1));
    reply_bulk_str(r, write ? "MSET" : "MGET");
    for (unsigned i = 0; i < n; i++) {
        unsigned group = (first + 5 * i) % GROUPS;
        struct history_op *op = op_add(c, s, group);
        put_key(r, group, i % 2);
        if (write)
            reply_bulk_i64(r, ++c->world->values);
        part_add(op, write ? HISTORY_SET : HISTORY_GET, i % 2, write ? c->world->values : 0);
    }
}

static void put_word(struct caller *c, struct reply *r, const char *word, enum call_what what)
{
    sent_add(c, what);
    reply_array(r, 1);
    reply_bulk_str(r, word);
}

static void put_transaction(struct caller *c, struct reply *r, unsigned group, bool watched)
{
    struct call_sent exec = {.what = CALL_EXEC};
    put_word(c, r, "MULTI", CALL_MULTI);
    struct history_op *op = op_add(c, &exec, group);
    unsigned n = 1 + (unsigned)draw(c, 3);
    if (watched)
        part_add(op, HISTORY_IS, 0, c->watch_value);
    for (unsigned i = 0; i < n; i++) {
        sent_add(c, CALL_QUEUED);
        put_one(c, r, op, group);
    }
    put_word(c, r, "EXEC", CALL_EXEC);
    c->sent[c->sent_n - 1] = exec;
}

static void put_watch(struct caller *c, struct reply *r)
{
    unsigned group = c->watch_group = (unsigned)draw(c, GROUPS);
    sent_add(c, CALL_WATCH);
    reply_array(r, 2);
    reply_bulk_str(r, "WATCH");
    put_key(r, group, 0);
    part_add(op_add(c, sent_add(c, CALL_ONE), group), HISTORY_GET, 0, 0);
    reply_array(r, 2);
    reply_bulk_str(r, "GET");
    put_key(r, group, 0);
    c->step = 1;
}

static bool is_of_member(const struct caller *c)
{
    const struct host *h = hosts_at(c->world, c->world->planes.conns.at[c->conn].b);
    return h->node != NULL && (h->proxy != NULL || h->node->cluster->self.place != MAP_NOBODY);
}

static void ask(struct caller *c)
{
    struct chain out = {0};
    struct reply r = {.out = &out, .protocol = 2};
    size_t n = 1 + (size_t)draw(c, PIPELINE);
    c->sent_n = c->answered_n = 0;
    if (c->step == 2) {
        put_transaction(c, &r, c->watch_group, true);
        c->step = 0;
        n = 0;
    }
    for (size_t i = 0; i < n; i++) {
        uint64_t which = draw(c, 20);
        unsigned group = (unsigned)draw(c, GROUPS);
        if (which == 0 && n == 1)
            put_watch(c, &r);
        else if (which == 1 && n == 1)
            put_transaction(c, &r, group, false);
        else if (which <= 3)
            put_many(c, &r, which == 3);
        else
            put_one(c, &r, op_add(c, sent_add(c, CALL_ONE), group), group);
    }
    if (c->world->planes.trace) {
        char text[600];
        size_t n_ = chain_copy(&out, text, sizeof(text));
        for (size_t i = 0; i < n_; i++)
            text[i] = text[i] == '\r' ? ' ' : text[i] == '\n' ? ' ' : text[i];
        hosts_say(c->world, "caller %u asks %.*s", c->number, (int)n_, text);
    }
    c->of_member = is_of_member(c);
    planes_send(&c->world->planes, c->conn, true, &out);
    c->patience = mono_after(c->world->planes.now, PATIENCE_US);
    plan(c, PATIENCE_US);
}

/* ------------------------------------------------------------------------ answers */

static bool begins(const struct answer *a, const char *word)
{
    size_t n = strlen(word);
    return a->kind == ANSWER_ERROR && a->text.n >= n && memcmp(a->text.p, word, n) == 0;
}

/* Nothing was run. */
static bool is_refusal(const struct answer *a)
{
    return begins(a, "CLUSTERDOWN ") || begins(a, "TRYAGAIN ") || begins(a, "MOVED ") || begins(a, "LOADING ") ||
           begins(a, "EXECABORT ") || begins(a, "MISCONF ") || begins(a, "NOREPLICAS ") || begins(a, "OOM ");
}

static void strange(struct caller *c, const struct answer *a)
{
    char text[120];
    snprintf(text, sizeof(text), "a strange answer, kind %d: %.*s", (int)a->kind, (int)(a->text.n < 80 ? a->text.n : 80),
             a->text.n > 0 ? a->text.p : "");
    planes_wrong(&c->world->planes, text, c->number);
}

static bool number_of(const struct answer *a, int64_t *v)
{
    *v = a->integer;
    if (a->kind == ANSWER_NIL)
        *v = 0;
    return a->kind == ANSWER_INTEGER || a->kind == ANSWER_NIL ||
           (a->kind == ANSWER_STRING && num_get_i64(a->text, v));
}

/* What was appended, each APPEND_BYTES long, or how many there are. */
static bool list_of(enum history_part_type type, const struct answer *a, int64_t *v)
{
    if (type != HISTORY_GET) {
        *v = type == HISTORY_APPEND ? a->integer / APPEND_BYTES : a->integer;
        return a->kind == ANSWER_INTEGER && (type != HISTORY_APPEND || a->integer % APPEND_BYTES == 0);
    }
    *v = 0;
    for (size_t at = 0; a->kind == ANSWER_STRING && at + APPEND_BYTES <= a->text.n; at += APPEND_BYTES) {
        struct slice digits = slice_of(a->text.p + at, APPEND_BYTES);
        int64_t value;
        while (digits.n > 1 && digits.p[0] == '0')
            digits = slice_from(digits, 1);
        if (!num_get_i64(digits, &value))
            return false;
        *v = history_appended(*v, value);
    }
    return a->kind == ANSWER_NIL || (a->kind == ANSWER_STRING && a->text.n % APPEND_BYTES == 0);
}

static struct history_op *op_of(struct caller *c, const struct call_sent *s, uint32_t i)
{
    return &c->world->histories[s->parts[i].group].ops.at[s->parts[i].op];
}

static void sure(struct caller *c, struct history_op *op)
{
    op->unsure = false;
    op->answer = c->world->planes.now.us;
}

/* What was answered to one part. */
static void take_part(struct caller *c, struct history_part *p, const struct answer *a)
{
    bool good = p->type == HISTORY_SET ? a->kind == ANSWER_STATUS
                : p->key == LIST_KEY   ? list_of(p->type, a, &p->answer)
                                       : number_of(a, &p->answer);
    if (!good)
        strange(c, a);
}

/* Nodes come and go and nothing else happens: whoever is a member has an answer (26, 27). */
static void refused_in_peace(struct caller *c, const struct answer *a)
{
    const struct host *h = hosts_at(c->world, c->world->planes.conns.at[c->conn].b);
    char text[120];
    if (!c->world->peace || !c->of_member || !is_of_member(c))
        return;
    snprintf(text, sizeof(text), "in peace a client is refused: %.*s", (int)(a->text.n < 80 ? a->text.n : 80), a->text.p);
    planes_wrong(&c->world->planes, text, h->plane->number);
}

static void refused(struct caller *c, const struct call_sent *s, const struct answer *a)
{
    refused_in_peace(c, a);
    bool void_ = is_refusal(a) && s->what != CALL_MSET; /* of a split one a part may have been run */
    c->world->refused_n += is_refusal(a);
    c->world->loading_n += begins(a, "LOADING ");
    c->world->unsure_n += !is_refusal(a);
    for (uint32_t i = 0; void_ && i < s->parts_n; i++)
        op_of(c, s, i)->parts_n = 0;
    bool reads = s->what == CALL_MGET || (s->what == CALL_ONE && op_of(c, s, 0)->parts[0].type == HISTORY_GET);
    bool through = c->world->planes.conns.at[c->conn].b >= FIRST_PROXY;
    if (!is_refusal(a) && (!begins(a, "UNCERTAIN ") || (through && reads)))
        strange(c, a); /* a proxy may ask for a read again */
}

static void executed(struct caller *c, const struct call_sent *s, const struct answer *a)
{
    struct history_op *op = op_of(c, s, 0);
    uint32_t first = op->parts[0].type == HISTORY_IS;
    if (a->kind == ANSWER_NIL) {
        op->parts_n = 0; /* what was watched had changed, or its node */
        return;
    }
    if (a->kind != ANSWER_ARRAY || a->n != op->parts_n - first) {
        strange(c, a);
        return;
    }
    for (size_t i = 0; i < a->n; i++)
        take_part(c, &op->parts[first + i], &a->elements[i]);
    sure(c, op);
}

static void say_answer(struct caller *c, const struct call_sent *s, const struct answer *a)
{
    static const char *const whats[] = {"one", "MULTI", "in MULTI", "EXEC", "WATCH", "MGET", "MSET"};
    static const char *const kinds[] = {"none", "status", "error", "integer", "string", "nil", "array"};
    hosts_say(c->world, "caller %u at %u: %s -> %s %lld %.*s", c->number, c->world->planes.conns.at[c->conn].b,
              whats[s->what], kinds[a->kind], (long long)a->integer, (int)a->text.n, a->text.n > 0 ? a->text.p : "");
}

static void answered(struct caller *c, const struct answer *a)
{
    if (c->answered_n == c->sent_n) {
        strange(c, a);
        return;
    }
    const struct call_sent *s = &c->sent[c->answered_n++];
    say_answer(c, s, a);
    bool error = a->kind == ANSWER_ERROR;
    c->world->answers_n++;
    c->good_n += !error;
    if (s->what == CALL_WATCH && error)
        c->step = 0;
    if (s->what == CALL_ONE && c->step == 1 && !error) {
        c->step = 2;
        number_of(a, &c->watch_value);
    }
    if (error) {
        refused(c, s, a);
        return;
    }
    switch (s->what) {
    case CALL_ONE:
        take_part(c, &op_of(c, s, 0)->parts[0], a);
        sure(c, op_of(c, s, 0));
        break;
    case CALL_EXEC: executed(c, s, a); break;
    case CALL_MGET:
    case CALL_MSET:
        for (uint32_t i = 0; i < s->parts_n; i++) {
            bool many = s->what == CALL_MGET;
            if (many && (a->kind != ANSWER_ARRAY || a->n != s->parts_n)) {
                strange(c, a);
                return;
            }
            take_part(c, &op_of(c, s, i)->parts[0], many ? &a->elements[i] : a);
            sure(c, op_of(c, s, i));
        }
        break;
    case CALL_MULTI:
    case CALL_QUEUED:
    case CALL_WATCH:
        if (a->kind != ANSWER_STATUS)
            strange(c, a);
        break;
    }
}

static void forget(struct caller *c)
{
    for (size_t i = c->answered_n; i < c->sent_n; i++)
        c->world->unsure_n++;
    c->conn = SIZE_MAX;
    c->open = false;
    c->sent_n = c->answered_n = 0;
    c->step = 0;
    memset(c->last, 0, sizeof(c->last));
    answer_reader_free(c->reader);
    c->reader = NULL;
    plan(c, hosts_draw(&c->world->load_rng, AGAIN_US));
}

static void caller_bytes(void *client, struct slice in)
{
    struct caller *c = client;
    struct answer *a;
    check(answer_feed(c->reader, in) == ERR_OK);
    while (answer_next(c->reader, &a) == ERR_OK && a != NULL) {
        answered(c, a);
        answer_free(a);
    }
    if (c->answered_n < c->sent_n)
        return;
    if (c->step == 1) { /* its GET was refused: so it ends the watch */
        planes_close(&c->world->planes, c->conn, true);
        forget(c);
        return;
    }
    bool busy = c->world->planes.now.us < c->world->busy_until_us;
    plan(c, c->step == 2 ? 1 + (int64_t)draw(c, 5000) : hosts_draw(&c->world->load_rng, busy ? THINK_US / BUSY : THINK_US));
}

/* -------------------------------------------------------------------- coming and going */

static void caller_closed(void *client)
{
    forget(client);
}

static void caller_dialed(void *client, bool good)
{
    struct caller *c = client;
    if (!good) {
        forget(c);
        return;
    }
    static const struct answer_limits limits = {.bytes_max = HOST_TEXT_BYTES, .elements_max = 64};
    c->reader = answer_reader_new(&limits);
    c->open = true;
    plan(c, 1);
}

static bool callers_due(struct hosts *w, struct heap_node *n)
{
    if ((char *)n < (char *)w->callers || (char *)n >= (char *)(w->callers + CALLERS))
        return false;
    struct caller *c = &w->callers[((char *)n - (char *)w->callers) / (ptrdiff_t)sizeof(*c)];
    if (c->conn == SIZE_MAX) {
        bool through = w->proxies_n > 0 && draw(c, 2) == 0;
        uint32_t to = (uint32_t)(through ? FIRST_PROXY + draw(c, w->proxies_n) : draw(c, w->planes.n));
        if (w->load_on)
            c->conn = planes_dial(&w->planes, PLANES_CLIENTS, to, true, c);
    } else if (c->open && c->answered_n == c->sent_n && c->step == 0 && draw(c, ROAM) == 0) {
        planes_close(&w->planes, c->conn, true); /* another node is as good */
        forget(c);
    } else if (c->open && c->answered_n == c->sent_n) {
        if (w->load_on)
            ask(c);
    } else if (c->open) { /* no answer for too long */
        planes_close(&w->planes, c->conn, true);
        forget(c);
    }
    return true;
}

const struct guests_ops callers_ops = {.dialed = caller_dialed, .bytes = caller_bytes, .closed = caller_closed,
                                       .due = callers_due};

void callers_begin(struct hosts *w)
{
    w->load_on = true;
    for (unsigned i = 0; i < CALLERS; i++) {
        w->callers[i] = (struct caller){.world = w, .number = i, .conn = SIZE_MAX};
        plan(&w->callers[i], 1 + hosts_draw(&w->load_rng, THINK_US));
    }
}

void callers_end(struct hosts *w)
{
    w->load_on = false;
}

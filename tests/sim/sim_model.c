/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/sim_model.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/num.h"

/* ----------------------------------------------------------------------- text */

void text_add(struct buf *b, const char *format, ...)
{
    char text[2048];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    check(n >= 0);
    size_t len = (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;
    check(buf_add(b, slice_of(text, len)) == ERR_OK);
}

/* Long runs stay as they are: equal bytes, equal text. */
void text_quote(struct buf *b, struct slice s)
{
    check(buf_room(b, 4 * s.n + 2) == ERR_OK);
    b->p[b->n++] = '"';
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '"' || c == '\\') {
            b->p[b->n++] = '\\';
            b->p[b->n++] = (char)c;
        } else if (c < ' ' || c > '~') {
            memcpy(b->p + b->n, "\\x", 2);
            num_put_hex(b->p + b->n + 2, c, 2);
            b->n += 4;
        } else {
            b->p[b->n++] = (char)c;
        }
    }
    b->p[b->n++] = '"';
}

void text_answer(struct buf *to, const struct answer *a)
{
    switch (a->kind) {
    case ANSWER_NONE:
    case ANSWER_NIL: text_add(to, "nil"); break;
    case ANSWER_STATUS: text_add(to, "+%s", a->text.p); break;
    case ANSWER_ERROR: text_add(to, "-%s", a->text.p); break;
    case ANSWER_INTEGER: text_add(to, ":%lld", (long long)a->integer); break;
    case ANSWER_STRING: text_quote(to, a->text); break;
    case ANSWER_ARRAY:
        text_add(to, "[");
        for (size_t i = 0; i < a->n; i++) {
            text_add(to, i > 0 ? " " : "");
            text_answer(to, &a->elements[i]);
        }
        text_add(to, "]");
        break;
    }
}

/* --------------------------------------------------------------------- values */

void model_key_name(unsigned key, bool tagged, char to[16])
{
    if (tagged)
        snprintf(to, 16, "key:%u{%u}", key % 1000, key % MODEL_GROUPS);
    else
        snprintf(to, 16, "key:%u", key % 1000);
}

static int key_number(struct slice name)
{
    uint64_t v;
    const char *tag = memchr(name.p, '{', name.n);
    if (tag != NULL)
        name.n = (size_t)(tag - name.p);
    if (name.n < 5 || memcmp(name.p, "key:", 4) != 0 || !num_get_u64(slice_from(name, 4), &v))
        return -1;
    return v < MODEL_KEYS ? (int)v : -1;
}

uint64_t model_digest_one(unsigned db, unsigned key, struct slice value, struct wall until)
{
    static const struct hash_key k = {0x5eed, 0xd19e57};
    uint64_t words[4] = {db, key, (uint64_t)until.ms, hash_keyed(&k, value)};
    return hash_keyed(&k, slice_of(words, sizeof(words)));
}

static bool is_live(const struct model_value *v, struct wall now)
{
    return v->p != NULL && v->until.ms >= now.ms; /* in its last millisecond it is still there */
}

static uint64_t seen_digest(const struct model_value *v, struct wall now)
{
    return is_live(v, now) ? v->hash : 0;
}

uint64_t model_digest(const struct model *m, struct wall now)
{
    uint64_t sum = 0;
    for (unsigned db = 0; db < MODEL_DBS; db++)
        for (unsigned key = 0; key < MODEL_KEYS; key++)
            sum += seen_digest(&m->at[db][key], now);
    return sum;
}

/* p is taken; NULL: the key is gone. */
static void put(struct model *m, unsigned db, int key, char *p, size_t n, struct wall until)
{
    struct model_value *v = &m->at[db][key];
    *vec_add(&m->log) = (struct model_change){m->writes_n + 1, db, (unsigned)key, *v};
    *v = (struct model_value){.p = p, .n = n, .until = until};
    if (p != NULL)
        v->hash = model_digest_one(db, (unsigned)key, slice_of(p, n), until);
    m->changed = true;
}

static char *copy_of(struct slice s)
{
    char *p = mem_get(s.n + 1);
    if (s.n > 0)
        memcpy(p, s.p, s.n);
    return p;
}

static void put_copy(struct model *m, unsigned db, int key, struct slice s, struct wall until)
{
    put(m, db, key, copy_of(s), s.n, until);
}

static void drop(struct model *m, unsigned db, int key)
{
    put(m, db, key, NULL, 0, WALL_NEVER);
}

/* -------------------------------------------------------------------- commands */

struct run {
    struct model *m;
    const struct slice *argv;
    uint32_t argc;
    unsigned *db_of_session;
    unsigned db;
    struct buf *reply;
};

static int key_at(const struct run *r, uint32_t i)
{
    int key = key_number(r->argv[i]);
    check(key >= 0); /* the load uses keys of the model only */
    return key;
}

static struct model_value *live(const struct run *r, int key)
{
    struct model_value *v = &r->m->at[r->db][key];
    return is_live(v, r->m->now) ? v : NULL;
}

static int64_t number_at(const struct run *r, uint32_t i)
{
    int64_t v;
    check(num_get_i64(r->argv[i], &v)); /* the load sends numbers where numbers belong */
    return v;
}

static void say_value(struct buf *b, const struct model_value *v)
{
    if (v == NULL)
        text_add(b, "nil");
    else
        text_quote(b, slice_of(v->p, v->n));
}

static void run_get(struct run *r)
{
    say_value(r->reply, live(r, key_at(r, 1)));
}

static void run_getdel(struct run *r)
{
    int key = key_at(r, 1);
    struct model_value *v = live(r, key);
    say_value(r->reply, v);
    if (v != NULL)
        drop(r->m, r->db, key);
}

static void run_mget(struct run *r)
{
    text_add(r->reply, "[");
    for (uint32_t i = 1; i < r->argc; i++) {
        text_add(r->reply, i > 1 ? " " : "");
        say_value(r->reply, live(r, key_at(r, i)));
    }
    text_add(r->reply, "]");
}

/* SET key value [NX|XX] [GET] [EX s|PX ms|KEEPTTL] */
static void run_set(struct run *r)
{
    int key = key_at(r, 1);
    struct model_value *old = live(r, key);
    struct wall until = WALL_NEVER;
    bool nx = false, xx = false, get = false;
    for (uint32_t i = 3; i < r->argc; i++) {
        if (slice_is(r->argv[i], "ex"))
            until.ms = r->m->now.ms + 1000 * number_at(r, ++i);
        else if (slice_is(r->argv[i], "px"))
            until.ms = r->m->now.ms + number_at(r, ++i);
        else if (slice_is(r->argv[i], "keepttl"))
            until = old != NULL ? old->until : until;
        nx = nx || slice_is(r->argv[i], "nx");
        xx = xx || slice_is(r->argv[i], "xx");
        get = get || slice_is(r->argv[i], "get");
    }
    bool refused = (nx && old != NULL) || (xx && old == NULL);
    if (get)
        say_value(r->reply, old);
    else
        text_add(r->reply, refused ? "nil" : "+OK");
    if (!refused)
        put_copy(r->m, r->db, key, r->argv[2], until);
}

static void run_mset(struct run *r)
{
    for (uint32_t i = 1; i + 1 < r->argc; i += 2)
        put_copy(r->m, r->db, key_at(r, i), r->argv[i + 1], WALL_NEVER);
    text_add(r->reply, "+OK");
}

static void run_incrby(struct run *r)
{
    int key = key_at(r, 1);
    struct model_value *old = live(r, key);
    int64_t v = 0, by = r->argc > 2 ? number_at(r, 2) : 1;
    if (old != NULL && !num_get_i64(slice_of(old->p, old->n), &v)) {
        text_add(r->reply, "-ERR value is not an integer or out of range");
        return;
    }
    char digits[NUM_I64_CHARS];
    size_t n = num_put_i64(digits, v + by);
    put_copy(r->m, r->db, key, slice_of(digits, n), old != NULL ? old->until : WALL_NEVER);
    text_add(r->reply, ":%lld", (long long)(v + by));
}

static void run_append(struct run *r)
{
    int key = key_at(r, 1);
    struct model_value *old = live(r, key);
    size_t n = old != NULL ? old->n : 0;
    char *p = mem_get(n + r->argv[2].n + 1);
    if (n > 0)
        memcpy(p, old->p, n);
    memcpy(p + n, r->argv[2].p, r->argv[2].n);
    n += r->argv[2].n;
    put(r->m, r->db, key, p, n, old != NULL ? old->until : WALL_NEVER);
    text_add(r->reply, ":%zu", n);
}

static void run_setrange(struct run *r)
{
    int key = key_at(r, 1);
    struct model_value *old = live(r, key);
    size_t at = (size_t)number_at(r, 2), have = old != NULL ? old->n : 0;
    size_t end = at + r->argv[3].n, n = end > have ? end : have;
    if (r->argv[3].n == 0) {
        text_add(r->reply, ":%zu", have);
        return;
    }
    char *p = mem_zero(n + 1);
    if (have > 0)
        memcpy(p, old->p, have);
    memcpy(p + at, r->argv[3].p, r->argv[3].n);
    put(r->m, r->db, key, p, n, old != NULL ? old->until : WALL_NEVER);
    text_add(r->reply, ":%zu", n);
}

static void run_strlen(struct run *r)
{
    struct model_value *v = live(r, key_at(r, 1));
    text_add(r->reply, ":%zu", v != NULL ? v->n : 0);
}

static void run_del(struct run *r)
{
    int n = 0;
    for (uint32_t i = 1; i < r->argc; i++) {
        int key = key_at(r, i);
        if (live(r, key) == NULL)
            continue;
        drop(r->m, r->db, key);
        n++;
    }
    text_add(r->reply, ":%d", n);
}

static void run_exists(struct run *r)
{
    int n = 0;
    for (uint32_t i = 1; i < r->argc; i++)
        n += live(r, key_at(r, i)) != NULL;
    text_add(r->reply, ":%d", n);
}

static void run_pexpire(struct run *r)
{
    int key = key_at(r, 1);
    struct model_value *v = live(r, key);
    int64_t ms = number_at(r, 2);
    text_add(r->reply, ":%d", v != NULL);
    if (v == NULL)
        return;
    if (ms <= 0)
        drop(r->m, r->db, key);
    else
        put_copy(r->m, r->db, key, slice_of(v->p, v->n), (struct wall){r->m->now.ms + ms});
}

static void run_persist(struct run *r)
{
    int key = key_at(r, 1);
    struct model_value *v = live(r, key);
    bool has = v != NULL && !wall_is_never(v->until);
    if (has)
        put_copy(r->m, r->db, key, slice_of(v->p, v->n), WALL_NEVER);
    text_add(r->reply, ":%d", has);
}

static void run_pttl(struct run *r)
{
    struct model_value *v = live(r, key_at(r, 1));
    int64_t ms = v == NULL ? -2 : wall_is_never(v->until) ? -1 : v->until.ms - r->m->now.ms;
    text_add(r->reply, ":%lld", (long long)ms);
}

static void run_pexpiretime(struct run *r)
{
    struct model_value *v = live(r, key_at(r, 1));
    int64_t ms = v == NULL ? -2 : wall_is_never(v->until) ? -1 : v->until.ms;
    text_add(r->reply, ":%lld", (long long)ms);
}

static void run_rename(struct run *r)
{
    int from = key_at(r, 1), to = key_at(r, 2);
    struct model_value *v = live(r, from);
    if (v == NULL) {
        text_add(r->reply, "-ERR no such key");
        return;
    }
    text_add(r->reply, "+OK");
    if (from == to)
        return;
    put_copy(r->m, r->db, to, slice_of(v->p, v->n), v->until);
    drop(r->m, r->db, from);
}

static void flush_db(struct run *r, unsigned db)
{
    for (int key = 0; key < MODEL_KEYS; key++)
        if (r->m->at[db][key].p != NULL)
            drop(r->m, db, key);
}

/* Slot by slot, in their order, each a write of its own. */
static void flush_slots(struct run *r)
{
    unsigned order[MODEL_GROUPS], slots[MODEL_GROUPS];
    char tag[2] = "0";
    for (unsigned g = 0; g < MODEL_GROUPS; g++) {
        tag[0] = (char)('0' + g);
        unsigned at = g, slot = slot_of(slice_of(tag, 1));
        for (; at > 0 && slots[at - 1] > slot; at--) {
            slots[at] = slots[at - 1];
            order[at] = order[at - 1];
        }
        slots[at] = slot;
        order[at] = g;
    }
    for (unsigned i = 0; i < MODEL_GROUPS; i++) {
        for (unsigned key = order[i]; key < MODEL_KEYS; key += MODEL_GROUPS)
            if (r->m->at[0][key].p != NULL)
                drop(r->m, 0, (int)key);
        model_end(r->m);
        model_begin(r->m);
    }
    text_add(r->reply, "+OK");
}

static void run_flushdb(struct run *r)
{
    if (r->m->slotted) {
        flush_slots(r);
        return;
    }
    flush_db(r, r->db);
    text_add(r->reply, "+OK");
}

static void run_flushall(struct run *r)
{
    if (r->m->slotted) {
        flush_slots(r);
        return;
    }
    for (unsigned db = 0; db < MODEL_DBS; db++)
        flush_db(r, db);
    text_add(r->reply, "+OK");
}

static void run_select(struct run *r)
{
    *r->db_of_session = (unsigned)number_at(r, 1);
    text_add(r->reply, "+OK");
}

static void run_ping(struct run *r)
{
    text_add(r->reply, "+PONG");
}

static const struct {
    const char *name;
    void (*run)(struct run *r);
} commands[] = {
    {"get", run_get},       {"set", run_set},         {"mset", run_mset},       {"mget", run_mget},
    {"getdel", run_getdel}, {"incr", run_incrby},     {"incrby", run_incrby},   {"append", run_append},
    {"del", run_del},       {"unlink", run_del},      {"exists", run_exists},   {"strlen", run_strlen},
    {"pttl", run_pttl},     {"pexpire", run_pexpire}, {"persist", run_persist}, {"setrange", run_setrange},
    {"select", run_select}, {"flushdb", run_flushdb}, {"flushall", run_flushall}, {"ping", run_ping},
    {"rename", run_rename}, {"pexpiretime", run_pexpiretime}};

static size_t command_at(struct slice name)
{
    size_t i = 0, n = sizeof(commands) / sizeof(commands[0]);
    while (i < n && !slice_is(name, commands[i].name))
        i++;
    return i;
}

bool model_knows(struct slice command)
{
    return command_at(command) < sizeof(commands) / sizeof(commands[0]);
}

void model_begin(struct model *m)
{
    check(!m->open);
    m->open = true;
    m->changed = false;
}

void model_end(struct model *m)
{
    check(m->open);
    m->open = false;
    m->writes_n += m->changed;
}

void model_run(struct model *m, const struct model_call *c, struct wall now, struct buf *reply)
{
    struct run r = {.m = m, .argv = c->argv, .argc = c->argc, .db_of_session = c->db, .db = *c->db, .reply = reply};
    m->now = now;
    bool alone = !m->open;
    if (alone)
        model_begin(m);
    commands[command_at(c->argv[0])].run(&r);
    if (alone)
        model_end(m);
}

/* ---------------------------------------------------------------------- rewind */

static void undo_write(struct model *m)
{
    while (m->log.n > 0 && m->log.at[m->log.n - 1].write == m->writes_n) {
        struct model_change *c = &m->log.at[--m->log.n];
        mem_free(m->at[c->db][c->key].p);
        m->at[c->db][c->key] = c->old;
    }
    m->writes_n--;
}

bool model_rewind(struct model *m, uint64_t digest, struct wall now, uint64_t lowest)
{
    while (model_digest(m, now) != digest) {
        if (m->writes_n <= lowest)
            return false;
        undo_write(m);
    }
    return true;
}

void model_free(struct model *m)
{
    for (size_t i = 0; i < m->log.n; i++)
        mem_free(m->log.at[i].old.p);
    for (unsigned db = 0; db < MODEL_DBS; db++)
        for (unsigned key = 0; key < MODEL_KEYS; key++)
            mem_free(m->at[db][key].p);
    vec_free(&m->log);
}

/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/exec.h"

#include <limits.h>

#include "base/check.h"
#include "base/num.h"
#include "cmd/handlers.h"

#define CONTAINER NULL
#define NODE(f) NULL
#define DATA(f) f
#define CMD(id, name, arity, handler, ...) [SPEC_##id] = handler,
#define SUB(container, id, name, sub, arity, handler, ...) [SPEC_##container##_##id] = handler,
static void (*const handlers[SPEC_N])(struct cmd *) = {
#include "cmd/commands.def"
};

void cmd_exec(struct cmd *c)
{
    void (*handler)(struct cmd *) = handlers[c->spec->id];
    uint32_t lasting = c->effects->n - c->effects->expired;
    size_t replied = c->reply->out->n;
    check(handler != NULL);

    if (c->first != NULL)
        effect_slot(c->effects, c->first->slot);
    handler(c);

    check(c->reply->out->n > replied); /* every command answers */
    if (!(c->spec->flags & CMD_WRITE))
        check(c->effects->n - c->effects->expired == lasting); /* who reads changes nothing */
}

bool is_due(const struct cmd *c, const struct entry *e)
{
    return e->has_expiry && store_is_due(e, c->now) && !c->replay;
}

bool drop_due(struct cmd *c, unsigned db, const struct key *k)
{
    if (c->config->keeps_due || store_slot_is_aside(c->store, k->slot))
        return false;
    effect_slot(c->effects, k->slot);
    effect_del(c->effects, db, k->s);
    if (!c->effects->off)
        c->effects->expired++;
    c->stats->expired++;
    check(store_drop(c->store, db, k));
    return true;
}

static inline __attribute__((always_inline)) struct entry *look(struct cmd *c, unsigned db,
                                                                const struct key *k)
{
    struct entry *e = store_find(c->store, db, k);
    if (e != NULL && __builtin_expect(is_due(c, e), 0)) {
        drop_due(c, db, k);
        return NULL;
    }
    return e;
}

struct entry *look_quiet(struct cmd *c, unsigned db, const struct key *k)
{
    struct entry *e = look(c, db, k);
    if (e == NULL)
        c->stats->misses++;
    else
        c->stats->hits++;
    return e;
}

struct entry *look_read(struct cmd *c, unsigned db, const struct key *k)
{
    struct entry *e = look(c, db, k);
    if (e == NULL) {
        c->stats->misses++;
        return NULL;
    }
    c->stats->hits++;
    if (!c->no_touch)
        store_used(c->store, e);
    return e;
}

struct entry *look_write(struct cmd *c, unsigned db, const struct key *k)
{
    struct entry *e = look(c, db, k);
    if (e != NULL && !c->no_touch)
        store_used(c->store, e);
    return e;
}

bool wrong_type(struct cmd *c)
{
    reply_error(c->reply,
                SLICE("WRONGTYPE Operation against a key holding the wrong kind of value"));
    return false;
}

bool arg_i64_or_reply(struct cmd *c, uint32_t i, int64_t *v, const char *text)
{
    if (num_get_i64(c->argv[i], v))
        return true;
    reply_error(c->reply, text != NULL ? slice_str(text)
                                       : SLICE("ERR value is not an integer or out of range"));
    return false;
}

bool arg_int_or_reply(struct cmd *c, uint32_t i, int *v, const char *text)
{
    int64_t wide;
    if (!arg_i64_or_reply(c, i, &wide, text))
        return false;
    if (wide < INT_MIN || wide > INT_MAX) {
        if (text != NULL)
            reply_error(c->reply, slice_str(text));
        else
            reply_errorf(c->reply, "ERR value is out of range, value must between %d and %d",
                         INT_MIN, INT_MAX);
        return false;
    }
    *v = (int)wide;
    return true;
}

void reply_syntax_error(struct cmd *c)
{
    reply_error(c->reply, SLICE("ERR syntax error"));
}

void reply_nomem(struct cmd *c)
{
    reply_error(c->reply,
                SLICE("OOM the system gives no memory for this value; nothing was changed"));
}

bool put_arg_or_reply(struct cmd *c, unsigned db, const struct key *k, uint32_t i,
                      struct wall until)
{
    enum err e;
    if (c->blobs != NULL && c->blobs[i] != NULL) {
        e = store_put_blob(c->store, db, k, blob_share(c->blobs[i]), until);
        if (e != ERR_OK)
            blob_drop(c->blobs[i], NULL);
    } else {
        e = store_put(c->store, db, k, c->argv[i], until);
    }
    if (e != ERR_OK)
        reply_nomem(c);
    return e == ERR_OK;
}

bool expire_or_reply(struct cmd *c, const struct key *k, struct wall until)
{
    if (store_set_expiry(c->store, c->db, k, until) != ERR_OK) {
        reply_nomem(c);
        return false;
    }
    effect_expire(c->effects, c->db, k->s, until);
    return true;
}

void effect_same(struct cmd *c)
{
    effect_argv(c->effects, c->db, c->argv, c->blobs, c->argc);
}

void reply_entry(struct cmd *c, const struct entry *e)
{
    if (e->storage == ENTRY_INLINE) {
        reply_bulk(c->reply, entry_inline_value(e));
        return;
    }
    struct blob *b = entry_blob(e);
    if (b != NULL) {
        reply_bulk_blob(c->reply, b, 0, b->n);
        return;
    }
    char scratch[NUM_I64_CHARS];
    reply_bulk(c->reply, entry_value(e, scratch));
}

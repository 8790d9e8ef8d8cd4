/* SPDX-License-Identifier: BSD-3-Clause */

/* DUMP and RESTORE: a value out of one server into another. */
#include "base/num.h"
#include "cmd/dump.h"
#include "cmd/handlers.h"
#include "store/evict.h"

void cmd_dump(struct cmd *c)
{
    struct key k = cmd_key(c, 1);
    struct entry *e = look_read(c, c->db, &k);
    if (e == NULL) {
        reply_null(c->reply);
        return;
    }
    char scratch[NUM_I64_CHARS], head[NUM_I64_CHARS + 3] = "$";
    struct slice value = entry_value(e, scratch);
    size_t n = 1 + num_put_u64(head + 1, dump_bytes(value));
    memcpy(head + n, "\r\n", 2);
    reply_raw(c->reply, slice_of(head, n + 2));
    dump_put(c->reply->out, value, entry_blob(e));
    reply_raw(c->reply, SLICE("\r\n"));
}

struct restore_options {
    bool replace, absolute;
    int64_t idle, frequency; /* -1: not given */
};

static bool restore_number_or_reply(struct cmd *c, uint32_t i, int64_t max, int64_t *v,
                                    const char *text)
{
    if (!arg_i64_or_reply(c, i, v, NULL))
        return false;
    if (*v >= 0 && *v <= max)
        return true;
    reply_error(c->reply, slice_str(text));
    return false;
}

static bool restore_options_or_reply(struct cmd *c, struct restore_options *o)
{
    *o = (struct restore_options){.idle = -1, .frequency = -1};
    for (uint32_t i = 4; i < c->argc; i++) {
        bool more = i + 1 < c->argc;
        if (slice_is(c->argv[i], "replace")) {
            o->replace = true;
        } else if (slice_is(c->argv[i], "absttl")) {
            o->absolute = true;
        } else if (more && o->frequency == -1 && slice_is(c->argv[i], "idletime")) {
            if (!restore_number_or_reply(c, ++i, INT64_MAX, &o->idle,
                                         "ERR Invalid IDLETIME value, must be >= 0"))
                return false;
        } else if (more && o->idle == -1 && slice_is(c->argv[i], "freq")) {
            if (!restore_number_or_reply(c, ++i, 255, &o->frequency,
                                         "ERR Invalid FREQ value, must be >= 0 and <= 255"))
                return false;
        } else {
            reply_syntax_error(c);
            return false;
        }
    }
    return true;
}

/* The string in argv[3], the caller's to drop. */
static struct blob *restored_or_reply(struct cmd *c)
{
    if (!dump_is_whole(c->argv[3])) {
        reply_error(c->reply, SLICE("ERR DUMP payload version or checksum are wrong"));
        return NULL;
    }
    struct blob *b = NULL;
    enum err err = dump_get(c->argv[3], &b);
    if (err == ERR_NOMEM)
        reply_nomem(c);
    else if (err != ERR_OK)
        reply_error(c->reply, SLICE("ERR Bad data format"));
    return b;
}

/* The payload and when it ends, wherever it is read. */
static void restore_effect(struct cmd *c, struct wall until)
{
    struct effects *e = c->effects;
    effect_begin(e, c->db, 6);
    effect_arg(e, SLICE("RESTORE"));
    effect_arg(e, c->argv[1]);
    effect_arg_i64(e, wall_is_never(until) ? 0 : until.ms);
    if (c->blobs != NULL && c->blobs[3] != NULL)
        effect_arg_blob(e, c->blobs[3]);
    else
        effect_arg(e, c->argv[3]);
    effect_arg(e, SLICE("REPLACE"));
    effect_arg(e, SLICE("ABSTTL"));
}

/* RESTORE key ttl payload [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency] */
void cmd_restore(struct cmd *c)
{
    struct restore_options o;
    if (!restore_options_or_reply(c, &o))
        return;
    struct key k = cmd_key(c, 1);
    if (!o.replace && look_write(c, c->db, &k) != NULL) {
        reply_error(c->reply, SLICE("BUSYKEY Target key name already exists."));
        return;
    }
    int64_t ttl;
    if (!restore_number_or_reply(c, 2, INT64_MAX, &ttl, "ERR Invalid TTL value, must be >= 0"))
        return;
    if (ttl > 0 && !o.absolute && __builtin_add_overflow(ttl, c->now.ms, &ttl))
        ttl = INT64_MAX;
    struct wall until = ttl > 0 ? until_at(ttl) : WALL_NEVER;
    struct blob *b = restored_or_reply(c);
    if (b == NULL)
        return;
    if (is_over(c, until)) {
        blob_drop(b, &c->store->graves);
        if (o.replace && store_drop(c->store, c->db, &k))
            effect_del(c->effects, c->db, k.s);
        reply_ok(c->reply);
        return;
    }
    if (store_put_blob(c->store, c->db, &k, b, until) != ERR_OK) {
        blob_drop(b, NULL);
        reply_nomem(c);
        return;
    }
    struct entry *e = store_find(c->store, c->db, &k);
    if (o.idle >= 0 && !c->config->lfu)
        evict_set_idle_seconds(c->store, e, (uint64_t)o.idle);
    if (o.frequency >= 0 && c->config->lfu)
        evict_set_frequency(c->store, e, (uint8_t)o.frequency);
    restore_effect(c, until);
    reply_ok(c->reply);
}

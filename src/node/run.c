/* SPDX-License-Identifier: BSD-3-Clause */

/* The path of a request: find the command, look whether it may run now, run it, commit, count.
 *
 * Requests come in batches over all connections that had some (hot-path.md 1, 2). Three passes go
 * ahead of the execution: they find each command and hash its first key, fetch its bucket, and
 * fetch its entry; so the cache misses of 32 requests overlap instead of queueing. */
#include <assert.h>

#include "base/check.h"
#include "base/num.h"
#include "node/cluster.h"

/* Commands ahead of which an entry is fetched into the first cache (hot-path.md 5). */
enum { NEAR = 3 };

struct planned {
    struct session *session;
    const struct spec *spec; /* NULL: no such command */
    bool is_plain;           /* as far as the command and its arguments tell */
    bool has_key, is_write;
    struct key key; /* the first one, hashed */
};

/* The place of the first key in argv, or 0. */
static inline uint32_t first_key_at(const struct spec *spec, uint32_t argc)
{
    return spec->first > 0 && (uint32_t)spec->first < argc ? (uint32_t)spec->first : 0;
}

/* Commands often are that of the request before them: it is known again by its
 * first eight bytes. */
struct spec_seen {
    const struct spec *spec; /* NULL: it is found in any case */
    uint64_t word;
    size_t n;
};

static inline const struct spec *spec_again(struct spec_seen *seen, const struct request *q)
{
    size_t n = q->argv[0].n;
    uint64_t word = slice_word(q->argv[0]);
    if (word != seen->word || n != seen->n || seen->spec == NULL) {
        const struct spec *spec = spec_find(q->argv, q->argc);
        bool by_name =
            spec != NULL && spec->container == SPEC_NONE && !spec_has_subs(spec) && n <= 8;
        *seen = (struct spec_seen){by_name ? spec : NULL, word, n};
        return spec;
    }
    return seen->spec;
}

/* Short, of the right number of arguments, and of the keyspace alone. */
static inline bool is_plain(const struct spec *spec, const struct request *q)
{
    return spec->handler == SPEC_DATA && spec_is_brief(spec, q->argc) &&
           spec_arity_fits(spec, q->argc) && q->blobs == NULL;
}

/* In a cluster each key has a slot of its own, which nothing has touched for long. Inlined by
 * force, as table_prefetch_bucket is. */
static inline __attribute__((always_inline)) void prefetch_slot(const struct node *n,
                                                                const struct planned *p)
{
    store_prefetch_table(&n->store, p->session->db, &p->key);
    __builtin_prefetch(&n->cluster->served[p->key.slot], 0, FETCH_FAR);
    repl_prefetch(&n->cluster->replicas->repl, p->key.slot);
    if (!p->is_write)
        return;
    __builtin_prefetch(&n->slots[p->key.slot].at, 1, FETCH_FAR);
    repl_prefetch_place(&n->cluster->replicas->repl, p->key.slot);
}

/* What those have pointers to. */
static inline __attribute__((always_inline)) void prefetch_slot_rest(const struct node *n,
                                                                     const struct planned *p)
{
    if (!p->is_write)
        return;
    lineage_prefetch_starts(&n->slots[p->key.slot]);
    repl_prefetch_copies(&n->cluster->replicas->repl, p->key.slot);
}

/* Of a slot that is another node's it is asked whose it is. */
static inline __attribute__((always_inline)) void prefetch_route(const struct cluster *c,
                                                                 unsigned slot)
{
    if (c->served[slot] == 0)
        __builtin_prefetch(&c->map.slots[slot], 0, FETCH_FAR);
}

/* A record that a primary's node brings: its slot's state, here and in the slot protocol,
 * and its key. */
static void plan_record(struct node *n, struct planned *p, const struct request *q)
{
    struct slice name;
    if (!guest_first_key(q, &name))
        return;
    p->has_key = true;
    key_set(&p->key, &n->store, name);
    store_prefetch_table(&n->store, 0, &p->key);
    __builtin_prefetch(&n->slots[p->key.slot], 1, FETCH_FAR);
    repl_prefetch_place(&n->cluster->replicas->repl, p->key.slot);
    p->is_write = true;
}

static void plan(struct node *n, const struct node_request *at, size_t count, struct planned *plans)
{
    struct spec_seen seen = {NULL, 0, 0};
    for (size_t i = 0; i < count; i++) {
        const struct request *q = at[i].req;
        struct planned *p = &plans[i];
        p->session = session_at(n, at[i].conn);
        check(p->session != NULL && q->argc > 0);
        p->is_plain = p->has_key = p->is_write = false;
        if (p->session->guest != NULL) {
            plan_record(n, p, q);
            continue;
        }
        p->spec = spec_again(&seen, q);
        if (p->spec == NULL)
            continue;
        p->is_plain = is_plain(p->spec, q);
        p->is_write = (p->spec->flags & CMD_WRITE) != 0;
        uint32_t first = first_key_at(p->spec, q->argc);
        p->has_key = first > 0;
        if (first > 0) {
            key_set(&p->key, &n->store, q->argv[first]);
            if (n->cluster != NULL)
                prefetch_slot(n, p);
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (!plans[i].has_key)
            continue;
        if (n->cluster != NULL) {
            prefetch_route(n->cluster, plans[i].key.slot);
            prefetch_slot_rest(n, &plans[i]);
        }
        store_prefetch_bucket(&n->store, plans[i].session->db, &plans[i].key);
    }
    for (size_t i = 0; i < count; i++)
        if (plans[i].has_key)
            store_prefetch_entry(&n->store, &plans[i].key);
}

/* ---------------------------------------------------------------- refusals */

/* "'a' 'b' ", at most 128 bytes of them: what was unknown, for whoever mistyped it. */
static void reply_unknown(struct reply *r, const struct request *q)
{
    const struct spec *top = spec_find_top(q->argv[0]);
    struct slice name = slice_head(q->argv[0], 128);
    if (top != NULL && q->argc > 1) {
        struct slice sub = slice_head(q->argv[1], 128);
        char upper[32];
        size_t upper_n = 0;
        for (; upper_n < top->name_n && upper_n < sizeof(upper); upper_n++) {
            char c = top->name[upper_n];
            upper[upper_n] = c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
        }
        reply_errorf(r, "ERR unknown subcommand '%.*s'. Try %.*s HELP.", (int)sub.n, sub.p,
                     (int)upper_n, upper);
        return;
    }
    char args[160];
    size_t args_n = 0;
    for (uint32_t i = 1; i < q->argc && args_n < 128; i++) {
        struct slice arg = slice_head(q->argv[i], 128 - args_n);
        const char *nul = arg.n > 0 ? memchr(arg.p, '\0', arg.n) : NULL;
        if (nul != NULL) /* shown as C shows it */
            arg.n = (size_t)(nul - arg.p);
        args[args_n++] = '\'';
        memcpy(args + args_n, arg.p, arg.n);
        args_n += arg.n;
        args[args_n++] = '\'';
        args[args_n++] = ' ';
    }
    reply_errorf(r, "ERR unknown command '%.*s', with args beginning with: %.*s", (int)name.n,
                 name.p, (int)args_n, args);
}

/* May it run now? If not, the answer was given. In Redis' order of checks. */
static bool admitted_or_reply(struct node *n, struct session *s, const struct spec *spec,
                              const struct request *q, struct reply *r)
{
    if (!spec_arity_fits(spec, q->argc) || (spec->handler == SPEC_CONTAINER && q->argc < 2)) {
        reply_errorf(r, "%s wrong number of arguments for '%s' command",
                     spec->id == SPEC_EXEC ? "EXECABORT Transaction discarded because of:" : "ERR",
                     spec->name);
        return false;
    }
    if (s->locked && !(spec->flags & CMD_NO_AUTH)) {
        reply_error(r, SLICE("NOAUTH Authentication required."));
        return false;
    }
    if (s->in_multi && (spec->flags & CMD_NO_MULTI)) {
        reply_error(r, SLICE("ERR Command not allowed inside a transaction"));
        return false;
    }
    if ((spec->flags & CMD_OF_DISK) && n->identity.is_proxy) {
        reply_errorf(
            r,
            "ERR %s is refused: this is a proxy, which keeps no data; ask the nodes of its cluster",
            spec->name);
        return false;
    }
    if ((spec->flags & CMD_DENYOOM) && memory_short(n)) {
        reply_error(r, SLICE("OOM command not allowed when used memory > 'maxmemory'."));
        return false;
    }
    if ((spec->flags & CMD_WRITE) && n->cluster != NULL &&
        commit_too_great_or_reply(n, "ERR ", commit_record_bytes(q->argv, q->argc), r))
        return false;
    if ((spec->flags & CMD_WRITE) && commit_refused_or_reply(n, "", r))
        return false;
    if (n->loading && !(spec->flags & CMD_LOADING)) {
        reply_error(r, SLICE("LOADING Redis is loading the dataset in memory"));
        return false;
    }
    return true;
}

static bool may_write(const struct session *s, const struct spec *spec)
{
    uint32_t flags = spec->id == SPEC_EXEC && s->in_multi ? s->multi->flags : spec->flags;
    return (flags & (CMD_WRITE | CMD_MAY_REPLICATE)) != 0;
}

static bool is_paused(const struct node *n, const struct session *s, const struct spec *spec)
{
    if (!pause_is_on(n))
        return false;
    if (spec->id == SPEC_CLIENT_UNPAUSE || spec->id == SPEC_CLIENT_PAUSE)
        return false;
    return !n->pause_writes_only || may_write(s, spec);
}

/* ------------------------------------------------------------------ running */

static struct cmd cmd_of(struct node *n, const struct session *s, struct reply *r)
{
    return (struct cmd){.db = s->db,
                        .now = n->wall,
                        .store = &n->store,
                        .reply = r,
                        .effects = &n->effects,
                        .config = &n->cmd_config,
                        .stats = &n->cmd_stats,
                        .rng = &n->rng};
}

static void run_data(struct node *n, struct session *s, const struct spec *spec,
                     const struct slice *argv, struct blob *const *blobs, uint32_t argc,
                     const struct key *first, struct reply *r)
{
    struct cmd c = cmd_of(n, s, r);
    struct key key;
    c.spec = spec;
    c.argv = argv;
    c.blobs = blobs;
    c.argc = argc;
    c.no_touch = s->no_touch && spec->id != SPEC_TOUCH;
    c.first = first;
    uint32_t at = first_key_at(spec, argc);
    if (first == NULL && at > 0) {
        key = key_of(&n->store, argv[at]);
        c.first = &key;
    }
    cmd_exec(&c);
}

/* A command too short to time. Several of one kind one behind the other are counted together. */
static inline void brief_add(struct node *n, const struct spec *spec, bool failed)
{
    if (n->brief_n == 0 || n->brief[n->brief_n - 1].spec != spec)
        n->brief[n->brief_n++] = (struct brief_run){.spec = spec};
    struct brief_run *run = &n->brief[n->brief_n - 1];
    run->calls++;
    run->failed += failed;
}

void run_noted(struct node *n, const struct session *s, const struct spec *spec,
               const struct slice *argv, uint32_t argc, uint64_t ns, bool failed)
{
    stats_calls(n, spec, 1, ns, failed);
    if (!(spec->flags & CMD_SKIP_SLOWLOG))
        slowlog_note(n, s, argv, argc, ns);
    latency_note(n, spec->flags & CMD_FAST ? LATENCY_FAST_COMMAND : LATENCY_COMMAND, ns);
}

/* Runs it with everything that belongs to a run: monitors, its record, its time, its count. */
static void run_counted(struct node *n, struct session *s, const struct spec *spec,
                        const struct slice *argv, struct blob *const *blobs, uint32_t argc,
                        const struct key *first, struct reply *r, struct node_out *out)
{
    bool brief =
        n->brief_n < NODE_BATCH && !n->in_exec && !n->time_all && spec_is_brief(spec, argc);
    uint64_t began = brief ? 0 : n->world->stopwatch_ns(n->world);
    uint32_t errors = r->errors;
    int64_t sleep_us = out->sleep_us;
    if (spec->handler == SPEC_DATA) {
        run_data(n, s, spec, argv, blobs, argc, first, r);
    } else {
        struct call c = {.node = n,
                         .session = s,
                         .spec = spec,
                         .argv = argv,
                         .blobs = blobs,
                         .argc = argc,
                         .reply = r,
                         .out = out};
        node_handler_of(spec)(&c);
    }
    if (n->effects.n > 0 && !n->in_exec) {
        commit_effects(n);
        s->written = n->journal.appended;
    }
    if (node_is_monitored(n))
        monitor_feed(n, s, argv, argc);
    bool failed = r->errors > errors;
    if (failed)
        stats_error(n, r->error_code);
    if (brief) {
        brief_add(n, spec, failed);
        return;
    }
    uint64_t ns = n->world->stopwatch_ns(n->world) - began;
    n->alone_ns += ns;
    /* DEBUG SLEEP counts as slow, though the shell sleeps */
    ns += (uint64_t)(out->sleep_us - sleep_us) * 1000;
    run_noted(n, s, spec, argv, argc, ns, failed);
}

void run_command(struct node *n, struct session *s, const struct spec *spec,
                 const struct slice *argv, struct blob *const *blobs, uint32_t argc,
                 struct reply *r, struct node_out *out)
{
    uint32_t errors = r->errors;
    run_counted(n, s, spec, argv, blobs, argc, NULL, r, out);
    r->errors = errors; /* its failure is its own, not that of the EXEC around it */
}

/* A browser that was led here by a page from elsewhere speaks HTTP, and the body of its request may
 * hold commands: it is cut off at the first word, as by Redis. */
static bool cut_off_http(struct node *n, struct session *s, const struct request *q,
                         struct node_out *out)
{
    if (!slice_is(q->argv[0], "post") && !slice_is(q->argv[0], "host:"))
        return false;
    log_say(
        n->log, LOG_LEVEL_WARNING,
        "A client at %s sent HTTP: somebody may be attacking this server through a browser. Closed",
        s->peer);
    s->closing = true;
    *vec_add(&out->drop) = s->conn;
    return true;
}

static bool queued(struct node *n, struct session *s, const struct request *q,
                   const struct spec *spec, struct reply *r, struct node_out *out)
{
    struct call c = {.node = n,
                     .session = s,
                     .spec = spec,
                     .argv = q->argv,
                     .blobs = q->blobs,
                     .argc = q->argc,
                     .reply = r,
                     .out = out};
    return multi_queues(&c);
}

/* --------------------------------------------------------------- plain requests */

/* Nearly every request is short, and there is nothing to refuse, queue, tell to others or keep
 * silent: then none of the questions of run_request needs to be asked one by one. What the requests
 * of a batch have in common is set up once for all of a session that stand one behind the other. */
struct plain {
    bool is_asked;           /* stops holds; false: something else ran since */
    struct session *session; /* NULL: none yet, or it may have changed */
    struct reply reply;
    struct cmd cmd;
    uint32_t stops; /* enum cmd_flag: commands with one of these are asked all questions now */
};

static_assert((int)SPEC_BRIEF_ARGS * (int)REQUEST_BIG_BYTES < 1024 * 1024,
              "a plain command's record is under the least max-record");

/* What there is to ask in the node's state. A plain command does not change it by more than bytes,
 * of which a batch makes few: it is looked at anew after any other. */
static uint32_t stops_of(const struct node *n)
{
    if (n->loading || n->time_all || pause_is_on(n) || node_is_monitored(n))
        return CMD_BRIEF; /* which all of them have */
    if (n->memory_limit > 0 || !commit_is_open(n) || commit_holds(n))
        return CMD_WRITE | CMD_DENYOOM | CMD_MAY_REPLICATE;
    return 0;
}

static void plain_begin(struct node *n, struct plain *b, struct session *s)
{
    b->session = s;
    b->reply = session_reply(s);
    b->cmd = cmd_of(n, s, &b->reply);
    s->active = n->now;
    session_produced(n, s);
}

/* Its effect is likely to be one short command, which is then written where its record stays. */
static inline void run_plain_write(struct node *n, struct cmd *c)
{
    struct effects *e = &n->effects;
    size_t room;
    char *at = journal_window(&n->journal, &room);
    effect_window(e, at, room);
    cmd_exec(c);
    if (e->window_n > 0) {
        check(own_has(n, e->slot)); /* N8 */
        journal_append_there(&n->journal, e->slot, e->window, e->window_n);
        if (n->cluster != NULL)
            repl_record_alone(&n->cluster->replicas->repl, e->slot, n->journal.appended.n);
        e->n = e->expired = 0;
    }
    effect_window(e, NULL, 0);
}

/* What its reply tells, should its slot be lost before it left (replication 9). */
static inline void mark_plain(struct node *n, struct session *s, const struct planned *p,
                              uint64_t begin)
{
    if (s->routing != NULL)
        marks_put(n, s, begin, p->key.slot,
                  (p->spec->flags & CMD_WRITE) != 0 ? MARK_WRITE : MARK_READ, REPL_ASKS_NOTHING,
                  routed_client(s));
}

static inline bool is_direct(const struct node *n, const struct planned *p)
{
    return n->cluster == NULL ||
           (p->has_key && routed_is_direct(n, p->session, p->spec, p->key.slot));
}

static void run_plain(struct node *n, struct plain *b, const struct planned *p,
                      const struct request *q)
{
    struct session *s = p->session;
    struct cmd *c = &b->cmd;
    if (b->session != s)
        plain_begin(n, b, s);
    uint32_t errors = b->reply.errors;
    uint64_t before = n->journal.appended.n, begin = s->out.put;
    c->spec = s->last = p->spec;
    c->argv = q->argv;
    c->argc = q->argc;
    c->first = p->has_key ? &p->key : NULL;
    if ((p->spec->flags & CMD_WRITE) && !commit_is_told(n, p->key.slot))
        run_plain_write(n, c);
    else
        cmd_exec(c);
    if (n->effects.n > 0) /* a key that was due is dropped by its reader, too */
        commit_effects(n);
    if (n->journal.appended.n != before)
        s->written = n->journal.appended;
    bool failed = b->reply.errors != errors;
    if (failed)
        stats_error(n, b->reply.error_code);
    brief_add(n, p->spec, failed);
    s->fresh_replies++;
    mark_plain(n, s, p, begin);
}

/* ------------------------------------------------------------------- any request */

/* One request of a session; false: it is not taken for now. */
static bool run_request(struct node *n, struct session *s, struct request *q,
                        const struct planned *p, struct node_out *out)
{
    if (s->held != HELD_NOT || s->closing)
        return s->closing; /* what comes behind a QUIT is dropped */
    if (p->spec != NULL && is_paused(n, s, p->spec)) {
        session_hold(n, s, HELD_PAUSE, n->pause_until);
        return false;
    }
    if (p->spec != NULL && may_write(s, p->spec) && commit_holds(n)) {
        n->writers_held = true;
        session_hold(n, s, HELD_MEMORY, MONO_NEVER);
        return false;
    }
    if (p->spec == NULL && cut_off_http(n, s, q, out))
        return true;
    struct chain dropped = {0};
    struct reply r = session_reply(s);
    if (s->reply_mode == REPLY_SKIP_NEXT)
        s->reply_mode = REPLY_SKIP;
    bool silent = s->reply_mode != REPLY_ON;
    if (silent)
        r.out = &dropped;
    s->active = n->now;
    if (p->spec == NULL) {
        reply_unknown(&r, q);
    } else if (admitted_or_reply(n, s, p->spec, q, &r)) {
        s->last = p->spec;
        if (!s->in_multi || !queued(n, s, q, p->spec, &r, out))
            run_counted(n, s, p->spec, q->argv, q->blobs, q->argc, p->has_key ? &p->key : NULL, &r,
                        out);
        goto out;
    } else {
        stats_rejected(n, p->spec);
    }
    stats_error(n, r.error_code);
    multi_refused(n, s, p->spec);
out:
    if (silent) {
        if (s->reply_mode == REPLY_SKIP)
            s->reply_mode = REPLY_ON;
        chain_free(&dropped, &n->store.graves);
    }
    if (s->held != HELD_NOT)
        s->owed_silent = silent;
    else if (!silent)
        s->fresh_replies++;
    session_produced(n, s);
    return true;
}

/* In a cluster it is asked first whose it is (routed.c). */
static bool run_routed(struct node *n, struct session *s, struct request *q,
                       const struct planned *p, struct node_out *out)
{
    struct routed_here here;
    switch (routed_begin(n, s, p->spec, q, &here, out)) {
    case ROUTED_TAKEN: return true;
    case ROUTED_HELD: return false;
    case ROUTED_RUN: break;
    }
    bool taken = run_request(n, s, q, p, out);
    routed_end(n, s, &here, out);
    return taken;
}

void run_kept(struct node *n, struct session *s, const struct kept_request *k, struct reply *r,
              struct node_out *out)
{
    struct request q = {.argv = k->argv, .blobs = k->blobs, .argc = k->argc};
    bool time_all = n->time_all;
    if (!admitted_or_reply(n, s, k->spec, &q, r)) {
        stats_rejected(n, k->spec);
        stats_error(n, r->error_code);
        return;
    }
    n->time_all = true; /* there is no batch that its time could be shared in */
    run_counted(n, s, k->spec, k->argv, k->blobs, k->argc, NULL, r, out);
    n->time_all = time_all;
}

/* The time of a batch, less what was timed alone, is shared by its brief commands: two clock
 * readings a command would cost more than the command (hot-path.md 4). */
static void settle_brief(struct node *n, uint64_t batch_ns)
{
    uint64_t calls = 0;
    for (size_t i = 0; i < n->brief_n; i++)
        calls += n->brief[i].calls;
    uint64_t share = batch_ns > n->alone_ns && calls > 0 ? (batch_ns - n->alone_ns) / calls : 0;
    for (size_t i = 0; i < n->brief_n; i++)
        stats_calls(n, n->brief[i].spec, n->brief[i].calls, share, n->brief[i].failed);
    n->brief_n = 0;
}

static void run_batch(struct node *n, struct node_request *at, size_t count, struct node_out *out)
{
    struct planned plans[NODE_BATCH];
    struct plain plain;
    plan(n, at, count, plans);
    n->alone_ns = 0;
    uint64_t began = n->world->stopwatch_ns(n->world);
    plain.is_asked = false;
    for (size_t i = 0; i < count; i++) {
        const struct planned *p = &plans[i];
        if (i + NEAR < count && p[NEAR].has_key)
            table_prefetch_near(&p[NEAR].key.hint);
        if (p->session->guest != NULL) {
            at[i].taken = guest_request(n, p->session, at[i].req, out);
            plain.is_asked = false;
            continue;
        }
        if (p->is_plain && !plain.is_asked) {
            plain.is_asked = true;
            plain.session = NULL;
            plain.stops = stops_of(n);
        }
        if (p->is_plain && p->session->unusual == 0 && !(p->spec->flags & plain.stops) &&
            is_direct(n, p)) {
            run_plain(n, &plain, p, at[i].req);
            at[i].taken = true;
            continue;
        }
        at[i].taken = n->cluster == NULL ? run_request(n, p->session, at[i].req, p, out)
                                         : run_routed(n, p->session, at[i].req, p, out);
        plain.is_asked = false;
    }
    journal_seal(&n->journal);
    settle_brief(n, n->world->stopwatch_ns(n->world) - began);
}

void run_requests(struct node *n, struct node_request *at, size_t count, struct node_out *out)
{
    stats_turn(n);
    for (size_t done = 0; done < count; done += NODE_BATCH)
        run_batch(n, at + done, count - done < NODE_BATCH ? count - done : NODE_BATCH, out);
}

bool call_i64_or_reply(struct call *c, uint32_t i, int64_t *v, const char *text)
{
    if (num_get_i64(c->argv[i], v))
        return true;
    reply_error(c->reply, text != NULL ? slice_str(text)
                                       : SLICE("ERR value is not an integer or out of range"));
    return false;
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* The path of a request: find the command, look whether it may run now, run it, commit, count.
 *
 * Requests come in batches over all connections that had some (hot-path.md 1, 2). Two passes go ahead
 * of the execution: the first hashes each command's first key and fetches its bucket, the second
 * fetches the entry; so the cache misses of 32 requests overlap instead of queueing. */
#include "base/check.h"
#include "base/num.h"
#include "node/state.h"

struct planned {
    struct session *session;
    const struct spec *spec; /* NULL: no such command */
    struct key key;          /* of the first key, hashed; n of no meaning without one */
};

/* The place of the first key in argv, or 0. */
static uint32_t first_key_at(const struct spec *spec, uint32_t argc)
{
    return spec != NULL && spec->first > 0 && (uint32_t)spec->first < argc ? (uint32_t)spec->first : 0;
}

/* The command of q, which often is that of the request before it. */
static inline const struct spec *spec_like(const struct planned *before, const struct request *was,
                                           const struct request *q)
{
    const struct spec *spec = before->spec;
    if (spec != NULL && spec->container == SPEC_NONE && !spec_has_subs(spec) && q->argc > 0 &&
        q->argv[0].n == was->argv[0].n) {
        const char *a = q->argv[0].p, *b = was->argv[0].p;
        size_t i = 0;
        while (i < q->argv[0].n && a[i] == b[i])
            i++;
        if (i == q->argv[0].n)
            return spec;
    }
    return spec_find(q->argv, q->argc);
}

static void plan(struct node *n, const struct node_request *at, size_t count, struct planned *plans)
{
    for (size_t i = 0; i < count; i++) {
        const struct request *q = at[i].req;
        struct planned *p = &plans[i];
        p->session = session_at(n, at[i].conn);
        check(p->session != NULL);
        p->spec = i > 0 ? spec_like(p - 1, at[i - 1].req, q) : spec_find(q->argv, q->argc);
        uint32_t first = first_key_at(p->spec, q->argc);
        p->key.s.p = NULL;
        if (first > 0) {
            p->key = key_of(&n->store, q->argv[first]);
            store_prefetch_bucket(&n->store, p->session->db, &p->key);
        }
    }
    for (size_t i = 0; i < count; i++)
        if (plans[i].key.s.p != NULL)
            store_prefetch_entry(&n->store, plans[i].session->db, &plans[i].key);
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
        reply_errorf(r, "ERR unknown subcommand '%.*s'. Try %.*s HELP.", (int)sub.n, sub.p, (int)upper_n, upper);
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
    reply_errorf(r, "ERR unknown command '%.*s', with args beginning with: %.*s", (int)name.n, name.p,
                 (int)args_n, args);
}

/* May it run now? If not, the answer was given. In Redis' order of checks. */
static bool admitted_or_reply(struct node *n, struct session *s, const struct spec *spec,
                              const struct request *q, struct reply *r)
{
    if (!spec_arity_fits(spec, q->argc) || (spec->handler == SPEC_CONTAINER && q->argc < 2)) {
        reply_errorf(r, "%s wrong number of arguments for '%s' command",
                     spec->id == SPEC_EXEC ? "EXECABORT Transaction discarded because of:" : "ERR", spec->name);
        return false;
    }
    if (!s->authenticated && !(spec->flags & CMD_NO_AUTH)) {
        reply_error(r, SLICE("NOAUTH Authentication required."));
        return false;
    }
    if (s->in_multi && (spec->flags & CMD_NO_MULTI)) {
        reply_error(r, SLICE("ERR Command not allowed inside a transaction"));
        return false;
    }
    if ((spec->flags & CMD_DENYOOM) && memory_short(n)) {
        reply_error(r, SLICE("OOM command not allowed when used memory > 'maxmemory'."));
        return false;
    }
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

static inline __attribute__((always_inline)) void run_data(struct node *n, struct session *s,
                                                           const struct spec *spec, const struct slice *argv,
                                                           struct blob *const *blobs, uint32_t argc,
                                                           const struct key *first, struct reply *r)
{
    struct cmd c = {.spec = spec, .argv = argv, .blobs = blobs, .argc = argc, .db = s->db, .now = n->wall,
                    .store = &n->store, .reply = r, .effects = &n->effects, .config = &n->cmd_config,
                    .stats = &n->cmd_stats, .rng = &n->rng,
                    .no_touch = s->no_touch && spec->id != SPEC_TOUCH};
    if (first != NULL) {
        c.first = *first;
    } else {
        uint32_t at = first_key_at(spec, argc);
        if (at > 0)
            c.first = key_of(&n->store, argv[at]);
    }
    cmd_exec(&c);
}

/* Runs it with everything that belongs to a run: monitors, its record, its time, its count. */
static void run_counted(struct node *n, struct session *s, const struct spec *spec, const struct slice *argv,
                        struct blob *const *blobs, uint32_t argc, const struct key *first, struct reply *r,
                        struct node_out *out)
{
    bool brief = n->brief_n < NODE_BATCH && !n->in_exec && !n->time_all && spec_is_brief(spec, argc);
    uint64_t began = brief ? 0 : n->world->stopwatch_ns(n->world);
    uint32_t errors = r->errors;
    int64_t sleep_us = out->sleep_us;
    if (spec->handler == SPEC_DATA) {
        run_data(n, s, spec, argv, blobs, argc, first, r);
    } else {
        struct call c = {.node = n, .session = s, .spec = spec, .argv = argv, .blobs = blobs, .argc = argc,
                         .reply = r, .out = out};
        node_handler_of(spec)(&c);
    }
    if (n->effects.n > 0 && !n->in_exec) {
        commit_effects(n);
        s->written = n->journal.appended;
    }
    if (!list_empty(&n->monitors))
        monitor_feed(n, s, argv, argc);
    bool failed = r->errors > errors;
    if (failed)
        stats_error(n, r->error_code);
    if (brief) {
        n->brief[n->brief_n++] = (struct brief_run){.spec = spec, .failed = failed};
        return;
    }
    uint64_t ns = n->world->stopwatch_ns(n->world) - began;
    n->alone_ns += ns;
    ns += (uint64_t)(out->sleep_us - sleep_us) * 1000; /* DEBUG SLEEP counts as slow, though the shell sleeps */
    stats_calls(n, spec, 1, ns, failed);
    if (!(spec->flags & CMD_SKIP_SLOWLOG))
        slowlog_note(n, s, argv, argc, ns);
    latency_note(n, spec->flags & CMD_FAST ? LATENCY_FAST_COMMAND : LATENCY_COMMAND, ns);
}

void run_command(struct node *n, struct session *s, const struct spec *spec, const struct slice *argv,
                 struct blob *const *blobs, uint32_t argc, struct reply *r, struct node_out *out)
{
    uint32_t errors = r->errors;
    run_counted(n, s, spec, argv, blobs, argc, NULL, r, out);
    r->errors = errors; /* its failure is its own, not that of the EXEC around it */
}

/* A browser that was led here by a page from elsewhere speaks HTTP, and the body of its request may
 * hold commands: it is cut off at the first word, as by Redis. */
static bool cut_off_http(struct node *n, struct session *s, const struct request *q, struct node_out *out)
{
    if (!slice_is(q->argv[0], "post") && !slice_is(q->argv[0], "host:"))
        return false;
    log_say(n->log, LOG_LEVEL_WARNING,
            "A client at %s sent HTTP: somebody may be attacking this server through a browser. Closed", s->peer);
    s->closing = true;
    *vec_add(&out->drop) = s->conn;
    return true;
}

static bool queued(struct node *n, struct session *s, const struct request *q, const struct spec *spec,
                   struct reply *r, struct node_out *out)
{
    struct call c = {.node = n, .session = s, .spec = spec, .argv = q->argv, .blobs = q->blobs,
                     .argc = q->argc, .reply = r, .out = out};
    return multi_queues(&c);
}

/* Nothing is to be refused, queued, told to others or kept silent: nearly every request is such a
 * one, and needs none of the questions that admitted_or_reply and run_counted ask one by one. */
static inline bool is_plain(const struct node *n, const struct session *s, const struct spec *spec, uint32_t argc)
{
    return spec != NULL && spec->handler == SPEC_DATA && spec_is_brief(spec, argc) && spec_arity_fits(spec, argc) &&
           s->authenticated && !s->in_multi && s->reply_mode == REPLY_ON && !n->loading && !n->time_all &&
           (!(spec->flags & (CMD_WRITE | CMD_DENYOOM)) || (n->memory_limit == 0 && commit_is_open(n))) &&
           list_empty(&n->monitors) && n->brief_n < NODE_BATCH;
}

static void run_plain(struct node *n, struct session *s, const struct planned *p, const struct request *q)
{
    struct reply r = session_reply(s);
    s->active = n->now;
    s->last = p->spec;
    run_data(n, s, p->spec, q->argv, q->blobs, q->argc, p->key.s.p != NULL ? &p->key : NULL, &r);
    if (n->effects.n > 0) { /* a key that was due is dropped by its reader, too */
        commit_effects(n);
        s->written = n->journal.appended;
    }
    if (r.errors > 0)
        stats_error(n, r.error_code);
    n->brief[n->brief_n++] = (struct brief_run){.spec = p->spec, .failed = r.errors > 0};
    s->fresh_replies++;
    session_produced(n, s);
}

/* One request of a session; false: it is not taken for now. */
static bool run_request(struct node *n, struct session *s, struct request *q, const struct planned *p,
                        struct node_out *out)
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
    if (is_plain(n, s, p->spec, q->argc)) {
        run_plain(n, s, p, q);
        return true;
    }
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
            run_counted(n, s, p->spec, q->argv, q->blobs, q->argc, p->key.s.p != NULL ? &p->key : NULL, &r,
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

/* The time of a batch, less what was timed alone, is shared by its brief commands: two clock readings
 * a command would cost more than the command (hot-path.md 4). */
static void settle_brief(struct node *n, uint64_t batch_ns)
{
    if (n->brief_n == 0)
        return;
    uint64_t share = batch_ns > n->alone_ns ? (batch_ns - n->alone_ns) / n->brief_n : 0;
    for (size_t i = 0, same; i < n->brief_n; i += same) {
        const struct spec *spec = n->brief[i].spec;
        uint64_t failed = 0;
        for (same = 0; i + same < n->brief_n && n->brief[i + same].spec == spec; same++)
            failed += n->brief[i + same].failed;
        stats_calls(n, spec, same, share, failed);
    }
    n->brief_n = 0;
}

static void run_batch(struct node *n, struct node_request *at, size_t count, struct node_out *out)
{
    struct planned plans[NODE_BATCH];
    plan(n, at, count, plans);
    n->alone_ns = 0;
    uint64_t began = n->world->stopwatch_ns(n->world);
    for (size_t i = 0; i < count; i++) {
        at[i].taken = run_request(n, plans[i].session, at[i].req, &plans[i], out);
    }
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
    reply_error(c->reply, text != NULL ? slice_str(text) : SLICE("ERR value is not an integer or out of range"));
    return false;
}

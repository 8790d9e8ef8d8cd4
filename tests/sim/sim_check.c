/* SPDX-License-Identifier: BSD-3-Clause */

/* What may be missing after a crash, and whether that is all (docs/internals/simulator.md, "What is asked").
 *
 *     kill -9      nothing that any reply knew of
 *     power cut    under `always` nothing that any reply knew of, nor what WAITAOF confirmed;
 *                  under `everysec` what replies knew of in the last second or so;
 *     any crash    what is there is the state after some write: a prefix of all writes
 */
#include "base/check.h"
#include "base/num.h"
#include "tests/sim/sim.h"

enum { EVERYSEC_US = 1300 * 1000, STALLS_US = 1300 * 1000 };

/* How old a write that replies knew of must be to outlast a power cut under everysec: a second, the
 * sync under way, the one that takes it along, and that of a file that was switched from. */
static int64_t age_us(const struct sim *s)
{
    return EVERYSEC_US + 3 * s->disk.longest_sync_us + (s->has_trouble[TROUBLE_STALL] ? STALLS_US : 0);
}

void sim_policy(struct sim *s, enum appendfsync policy)
{
    int64_t age = age_us(s);
    for (size_t i = 0; policy == APPENDFSYNC_NO && i < s->told.n; i++)
        if (s->told.at[i].at.us + age > s->now.us)
            s->told.at[i].policy = APPENDFSYNC_NO; /* whoever says `no` gives that up too */
    s->policy = policy;
}

void sim_tell(struct sim *s, uint64_t write, enum appendfsync policy)
{
    if (s->failed)
        return; /* reads go on from memory; nothing is promised any more */
    if (policy == APPENDFSYNC_ALWAYS && write > s->durable)
        s->durable = write;
    if (s->told.n == 0 || s->told.at[s->told.n - 1].write < write)
        *vec_add(&s->told) = (struct sim_told){s->now, write, policy};
}

static uint64_t lowest_after(const struct sim *s, bool power)
{
    if (!power)
        return s->told.n > 0 ? s->told.at[s->told.n - 1].write : s->durable;
    uint64_t lowest = s->durable;
    for (size_t i = 0; i < s->told.n; i++) {
        const struct sim_told *t = &s->told.at[i];
        if (t->policy != APPENDFSYNC_NO && t->at.us <= s->old_enough.us && t->write > lowest)
            lowest = t->write;
    }
    return lowest;
}

void sim_crash(struct sim *s, bool power)
{
    if (s->process == PROCESS_UP) {
        s->old_enough = s->failed && s->failed_at.us < s->now.us ? s->failed_at : s->now;
        s->old_enough.us -= age_us(s);
    }
    uint64_t lowest = lowest_after(s, power);
    if (lowest < s->lowest)
        s->lowest = lowest;
    sim_trace(s, "%s (of %llu writes %llu must be there)", power ? "power is cut" : "node is killed",
              (unsigned long long)s->model.writes_n, (unsigned long long)s->lowest);
    sim_node_crash(s, power);
}

/* ----------------------------------------------------------------------------- audit */

static void ask(struct sim *s, struct sim_client *c, const char *command, const char *argument)
{
    struct slice argv[2] = {slice_str(command), slice_str(argument)};
    sim_client_say(s, c, argv, 2);
}

static unsigned dbs_n(const struct sim *s)
{
    return s->slotted ? 1 : MODEL_DBS;
}

static size_t ask_all(struct sim *s, struct sim_client *c)
{
    for (unsigned db = 0; db < dbs_n(s); db++) {
        char number[2] = {(char)('0' + db), '\0'};
        ask(s, c, "SELECT", number);
        ask(s, c, "KEYS", "*");
        for (unsigned key = 0; key < MODEL_KEYS; key++) {
            char name[16];
            model_key_name(key, s->slotted, name);
            ask(s, c, "GET", name);
            ask(s, c, "PEXPIRETIME", name);
        }
    }
    return c->calls.n;
}

/* A quoted text back to its bytes, in place. */
static struct slice unquote(char *text)
{
    size_t n = 0;
    for (const char *p = text + 1; *p != '"'; p++) {
        uint64_t hex;
        if (*p == '\\' && p[1] == 'x' && num_get_hex(slice_of(p + 2, 2), &hex)) {
            text[n++] = (char)hex;
            p += 3;
        } else {
            p += *p == '\\';
            text[n++] = *p;
        }
    }
    return slice_of(text, n);
}

static size_t words_in(const char *text)
{
    size_t n = strcmp(text, "[]") != 0;
    for (; *text != '\0'; text++)
        n += *text == ' ';
    return n;
}

/* The digest of one database from the auditor's answers, beginning with that of its KEYS. */
static uint64_t digest_of(struct sim *s, struct sim_call *calls, unsigned db)
{
    uint64_t sum = 0;
    size_t keys = 0;
    for (unsigned key = 0; key < MODEL_KEYS; key++) {
        char *value = calls[1 + 2 * key].text, *until = calls[2 + 2 * key].text;
        int64_t ms;
        if (strcmp(value, "nil") == 0)
            continue;
        if (until[0] != ':' || !num_get_i64(slice_str(until + 1), &ms)) {
            sim_wrong(s, "audit: key %u of database %u: PEXPIRETIME %s", key, db, until);
            return 0;
        }
        sum += model_digest_one(db, key, unquote(value), ms < 0 ? WALL_NEVER : (struct wall){ms});
        keys++;
    }
    if (words_in(calls[0].text) != keys)
        sim_wrong(s, "audit: database %u has other keys: %.300s", db, calls[0].text);
    return sum;
}

static bool all_answered(struct sim *s, const struct sim_client *c)
{
    for (size_t i = 0; i < c->calls.n; i++)
        if (c->calls.at[i].text == NULL)
            sim_wrong(s, "audit: request %zu was not answered", i);
    return !s->wrong;
}

void sim_audit(struct sim *s, uint64_t lowest)
{
    struct sim_client *c = &s->clients[SIM_AUDITOR];
    uint64_t digest = 0, before = s->model.writes_n;
    s->audits_n++;
    sim_client_come(s, c);
    size_t n = ask_all(s, c) / dbs_n(s);
    struct buf in = c->in;
    c->in = c->wire;
    c->wire = in;
    sim_node_run_now(s, c);
    for (unsigned db = 0; db < dbs_n(s) && !s->wrong && all_answered(s, c); db++)
        digest += digest_of(s, &c->calls.at[db * n + 1], db);
    sim_node_close(s, c);
    sim_client_gone(s, c);
    if (s->wrong)
        return;
    if (!model_rewind(&s->model, digest, sim_wall(s), lowest)) {
        bool older = model_rewind(&s->model, digest, sim_wall(s), 0);
        sim_wrong(s, "audit: what is there is the state after %s%llu, not after one of the writes %llu to %llu",
                  older ? "write " : "no write down to ", (unsigned long long)s->model.writes_n,
                  (unsigned long long)lowest, (unsigned long long)before);
        return;
    }
    s->lost_n += before - s->model.writes_n;
    sim_trace(s, "audit: the state after write %llu of %llu", (unsigned long long)s->model.writes_n,
              (unsigned long long)before);
}

/* --------------------------------------------------------------------------- restart */

void sim_restart(struct sim *s)
{
    sim_node_start(s);
    if (s->process == PROCESS_STUCK && s->rot.there && s->broken != BREAK_ROT_UNSEEN) {
        sim_unrot(s);
        sim_node_start(s);
    }
    if (s->process == PROCESS_STUCK) {
        sim_wrong(s, "the start was refused: %s", s->last_refusal);
        return;
    }
    if (s->process == PROCESS_DOWN)
        return; /* it died on the way */
    if (s->rot.there && !s->rot.is_told)
        s->lowest = 0; /* in a tail that nothing says was durable rot cannot be told from tearing */
    s->rot.there = false;
    size_t room = s->disk.room;
    s->disk.room = SIZE_MAX; /* what has expired is recorded as deleted when it is asked for */
    sim_audit(s, s->lowest);
    s->disk.room = room;
    s->lowest = UINT64_MAX;
    s->durable = s->model.writes_n; /* the start has synced what it read */
    vec_clear(&s->told);
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* Running one command: exactly one reply, and the effects it left.
 *
 * A handler is five short movements: options, look, decide, change, say. It sees this context and
 * never the node: no session, no replica, no file. Whoever calls exec has checked that the command
 * exists, its arity, the user's right to it and that memory is not short. */
#ifndef CMD_EXEC_H
#define CMD_EXEC_H

#include "base/moment.h"
#include "cmd/effect.h"
#include "cmd/spec.h"
#include "resp/resp_write.h"
#include "store/store.h"

/* What the options say to handlers; the node keeps it true. */
struct cmd_config {
    int64_t string_max_bytes; /* proto-max-bulk-len */
    int lfu_log_factor, lfu_decay_minutes;
    bool lfu; /* maxmemory-policy: OBJECT FREQ and IDLETIME depend on it */
    /* CLIENT PAUSE, or no lease: what is due is not found, and dropped only after it */
    bool keeps_due;
};

struct cmd_stats {
    uint64_t hits, misses; /* keyspace_hits, keyspace_misses */
    uint64_t expired;      /* expired_keys */
};

struct cmd {
    const struct spec *spec;
    const struct slice *argv;
    struct blob *const *blobs; /* NULL, or argc: argv[i] is the whole of blobs[i], if not NULL */
    uint32_t argc;
    unsigned db;
    struct wall now;
    const struct key *first; /* the spec's first key, if it has one: hashed ahead by the batch */
    struct store *store;
    struct reply *reply;
    struct effects *effects;
    const struct cmd_config *config;
    struct cmd_stats *stats;
    struct rng *rng;
    bool no_touch; /* CLIENT NO-TOUCH: accesses leave no trace for LRU and LFU */
    bool replay;   /* a record is applied: nothing expires, nothing is refused for its age */
};

void cmd_exec(struct cmd *c); /* calls the spec's handler, which must be a DATA one */

/* ------------------------------------------------- what handlers share */

/* The key at argv[i], hashed. */
static inline struct key cmd_key(const struct cmd *c, uint32_t i)
{
    return (int)i == c->spec->first ? *c->first : key_of(c->store, c->argv[i]);
}

/* The entry to read or to change, or NULL. One that is due is dropped first, its DEL among the
 * effects (replication 8); on replay it is found nonetheless. look_read counts hits and misses and
 * the access for LRU/LFU, look_quiet hits and misses only, look_write the access only. */
struct entry *look_read(struct cmd *c, unsigned db, const struct key *k);
struct entry *look_write(struct cmd *c, unsigned db, const struct key *k);
struct entry *look_quiet(struct cmd *c, unsigned db, const struct key *k);

/* In each round of a loop as long as whoever asks likes: now and then it is told that
 * work goes on. */
static inline void cmd_goes_on(const struct cmd *c, uint32_t round)
{
    if ((round & 1023) == 1023)
        store_worked(c->store);
}

/* Past its expiry, and not on replay; such a key is dropped with its DEL, if not during a pause. */
bool is_due(const struct cmd *c, const struct entry *e);
/* k may be the entry's own. False: it stays, hidden: it is not for us to say that it is gone. */
bool drop_due(struct cmd *c, unsigned db, const struct key *k);

/* True if e may be used as a string (NULL may); else WRONGTYPE was answered. */
bool wrong_type(struct cmd *c); /* the latter */
static inline bool is_string_or_reply(struct cmd *c, const struct entry *e)
{
    return e == NULL || e->type == ENTRY_STRING || wrong_type(c);
}

/* The whole of argv[i] as a number; else the error was answered: text, or Redis' default one. */
bool arg_i64_or_reply(struct cmd *c, uint32_t i, int64_t *v, const char *text);
/* The same for numbers that fit an int, as databases are; text: NULL or for both mistakes. */
bool arg_int_or_reply(struct cmd *c, uint32_t i, int *v, const char *text);
void reply_syntax_error(struct cmd *c);
void reply_nomem(struct cmd *c); /* memory was refused: nothing changed */

/* argv[i] put under k: the blob itself where there is one. False: memory was refused, answered. */
bool put_arg_or_reply(struct cmd *c, unsigned db, const struct key *k, uint32_t i,
                      struct wall until);

/* Another expiry for k, which is there, with its effect. False: memory was refused and answered. */
bool expire_or_reply(struct cmd *c, const struct key *k, struct wall until);

/* The command itself is its effect. */
void effect_same(struct cmd *c);

/* The value of a string entry as a reply. */
void reply_entry(struct cmd *c, const struct entry *e);

/* A time from outside as an expiry: the very last millisecond there is means "never" here. */
static inline struct wall until_at(int64_t ms)
{
    return (struct wall){ms < INT64_MAX ? ms : INT64_MAX - 1};
}

/* An expiry that a command asks for and that is over already: the key is dropped instead. */
static inline bool is_over(const struct cmd *c, struct wall until)
{
    return until.ms <= c->now.ms && !c->replay;
}

#endif

/* SPDX-License-Identifier: BSD-3-Clause */

/* What the keyspace should be: a plain array, every change of it undoable.
 *
 * Writes are numbered as they are executed. After a crash the state that came back must equal what it
 * was after one of them: model_rewind looks for it from the newest backwards, and goes on from there.
 * Replies are text: +OK, -ERR ..., :5, "bytes", nil, [a b]. */
#ifndef SIM_MODEL_H
#define SIM_MODEL_H

#include <stdint.h>

#include "base/buf.h"
#include "base/moment.h"
#include "base/slice.h"
#include "base/vec.h"
#include "resp/reply.h"

enum { MODEL_DBS = 2, MODEL_KEYS = 24 };
enum { MODEL_GROUPS = 4 }; /* with tags, key i is in the slot of group i % MODEL_GROUPS */

struct model_value {
    char *p; /* owned; NULL: there is no such key */
    size_t n;
    struct wall until;
    uint64_t hash; /* of all that */
};

struct model_change {
    uint64_t write;
    unsigned db, key;
    struct model_value old;
};

struct model {
    struct model_value at[MODEL_DBS][MODEL_KEYS];
    uint64_t writes_n;              /* numbered from 1 */
    VEC(struct model_change) log;   /* what may still have to be undone */
    bool open;                      /* changes belong to write writes_n + 1 */
    bool changed;
    bool slotted; /* names have tags, there is one database, and a flush is a write for each slot */
    struct wall now;
};

/* One command of a session, as text goes: argv[0] in capitals. The reply is added to `reply`. */
struct model_call {
    const struct slice *argv;
    uint32_t argc;
    unsigned *db; /* SELECT sets it */
};

bool model_knows(struct slice command); /* false: model_run has no answer */
void model_run(struct model *m, const struct model_call *c, struct wall now, struct buf *reply);
void model_begin(struct model *m); /* several commands, one write */
void model_end(struct model *m);

/* The digest of what a client sees at this time; add up model_digest_one over all keys. */
uint64_t model_digest(const struct model *m, struct wall now);
uint64_t model_digest_one(unsigned db, unsigned key, struct slice value, struct wall until);

/* Back to the newest write >= lowest after which the digest was this; false: there is none. */
bool model_rewind(struct model *m, uint64_t digest, struct wall now, uint64_t lowest);
void model_free(struct model *m);

void model_key_name(unsigned key, bool tagged, char to[16]);
void text_add(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_quote(struct buf *b, struct slice s);
void text_answer(struct buf *b, const struct answer *a);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */

/* What a write did, as commands that do the same again anywhere (replication 8).
 *
 * A handler changes the store and says here what it changed: with absolute times, with results in
 * place of what was random or conditional. node/commit makes one record of all effects of one
 * request (or one MULTI/EXEC); the bytes are encoded once, here. */
#ifndef CMD_EFFECT_H
#define CMD_EFFECT_H

#include "base/chain.h"
#include "base/moment.h"
#include "base/slice.h"
#include "base/vec.h"

/* Effects on a slot other than the present one. */
struct effects_of_slot {
    struct chain bytes;
    uint32_t n;
    unsigned slot;
};

struct effects {
    struct chain bytes;                 /* RESP commands one behind the other */
    unsigned slot;                      /* that they are effects on; alone 0 */
    VEC(struct effects_of_slot) others; /* which are records of their own */
    uint32_t others_n;                  /* commands in them */
    uint32_t n;                         /* how many commands in all, SELECTs not counted */
    uint32_t expired; /* of which DELs of keys that were due: a read may leave those */
    unsigned db;      /* the database that the bytes end in; SELECTs are put in where it changes */
    bool off;         /* while a record is replayed: nothing is recorded again */
    /* Where a single short command may be written instead of into bytes: the owner's memory. Any
     * other effect after it takes it back into bytes. */
    char *window;
    size_t window_max, window_n; /* room, 0: no window; bytes written */
};

/* What follows is on this slot: a record has effects on one slot alone (replication, "record"). */
void effect_turn(struct effects *e, unsigned slot);
static inline void effect_slot(struct effects *e, unsigned slot)
{
    if (__builtin_expect(e->slot != slot, 0))
        effect_turn(e, slot);
}

/* Before a command whose effect is likely to be one short command; after it, whatever it left. */
static inline void effect_window(struct effects *e, char *at, size_t max)
{
    e->window = at;
    e->window_max = max;
    e->window_n = 0;
}

void effect_begin(struct effects *e, unsigned db, size_t argc); /* then argc times one of: */
void effect_arg(struct effects *e, struct slice s);
void effect_arg_i64(struct effects *e, int64_t v);
void effect_arg_blob(struct effects *e, struct blob *b); /* long ones are referenced */

/* The commands there are most of. blobs: NULL, or for each of argv the blob it is the whole of. */
void effect_argv(struct effects *e, unsigned db, const struct slice *argv,
                 struct blob *const *blobs, size_t argc); /* as it came */
void effect_del(struct effects *e, unsigned db, struct slice key);
void effect_set(struct effects *e, unsigned db, struct slice key, struct slice value,
                struct blob *blob,
                struct wall until); /* SET key value [PXAT until]; blob: the value's, or NULL */
void effect_expire(struct effects *e, unsigned db, struct slice key,
                   struct wall until); /* PEXPIREAT or PERSIST */

void effect_flush_slot(struct effects *e, unsigned slot); /* VONG.FLUSHSLOT slot */

/* Makes one body of what was left, for each slot: several commands are wrapped into MULTI and
 * EXEC. Then bytes may be taken, of `others` too, and effects_done (without others: n and expired
 * set to 0). */
void effect_wrap(struct effects *e);
void effects_done(struct effects *e);
void effects_free(struct effects *e);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */

/* A proxy's way to the map, as a function.
 *
 *     relay_step(relay, event, out)
 *
 *     seeds -> a node: VONG.HELLO ... follow -> VONG.FETCH -> VONG.WHOLE, VONG.ENTRIES ...
 *           -> the map tells of other nodes -> RELAY_LINKS of them are followed
 *
 * In an event everything is borrowed for the call. In an out everything belongs to the relay until
 * its next step, but the bytes of sends, which are taken. */
#ifndef RELAY_RELAY_H
#define RELAY_RELAY_H

#include "base/chain.h"
#include "base/log.h"
#include "base/moment.h"
#include "base/rng.h"
#include "base/vec.h"
#include "core/map/map_entry.h"
#include "wire/hello.h"

enum { RELAY_LINKS = 3 }; /* nodes that are followed at once: one may hang, another be cut off */
enum { RELAY_WHY_BYTES = 160 };

enum relay_event_type {
    RELAY_DUE = 1, /* out.wake has come; the first event of all */
    RELAY_DIALED,  /* the link is there, or not: then nothing more is told of it */
    RELAY_BYTES,
    RELAY_CLOSED
};

struct relay_event {
    enum relay_event_type type;
    struct mono now; /* never earlier than last time */
    uint32_t link;
    bool through;                     /* DIALED */
    uint8_t nonce[HELLO_NONCE_BYTES]; /* DIALED: from the system's randomness */
    struct slice in;                  /* BYTES */
};

struct relay_dial {
    uint32_t link; /* each number is used once */
    struct slice host;
    uint16_t port;
};
struct relay_send {
    uint32_t link;
    struct chain bytes; /* taken */
};

/* What the data planes are to be told. */
struct relay_news {
    uint64_t index;          /* of this entry; 0: the whole map in place of theirs: relay_map() */
    struct map_entry *entry; /* NULL: it is nothing to the map, which is at `index` now */
};

struct relay_out {
    VEC(struct relay_dial) dial;
    VEC(struct relay_send) send;
    VEC(uint32_t) hang_up; /* once what is to be sent is sent */
    VEC(struct relay_news) news;
    bool why_changed; /* relay_why() says something else */
    struct mono wake;
};

struct relay_config {
    struct slice
        seeds; /* core/map/seeds.h: right ones, at least one; borrowed for the relay's life, */
    struct slice secret; /* as is this: cluster-secret */
    uint64_t seed;       /* of every choice */
    struct log *log;
};

struct relay;
struct relay *relay_new(const struct relay_config *c);
void relay_step(struct relay *r, const struct relay_event *ev, struct relay_out *out);
const struct map *relay_map(const struct relay *r);
const char *relay_why(const struct relay *r); /* why there is no map yet */
void relay_check(const struct relay *r); /* every invariant that can be seen from outside of time */
void relay_free(struct relay *r);
void relay_out_free(struct relay_out *out);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */

/* The handshake that opens a connection between nodes: who is there, what for, and do both know
 * cluster-secret? Bytes in, bytes out, a verdict; both sides (docs/internals/wire.md).
 *
 *     dials: HELLO -> ........ CHALLENGE -> PROOF -> ........ WELCOME: accepted
 *     answers: ..... HELLO -> CHALLENGE -> ........ PROOF: accepted -> WELCOME
 *
 * Nonces come from outside. A refusal is in `out` for the other side and in `why` for our log; the
 * owner writes out what is there, then closes. How long it may take is the owner's to bound. */
#ifndef WIRE_HELLO_H
#define WIRE_HELLO_H

#include "core/map/map.h"
#include "wire/proof.h"
#include "wire/wire.h"

/* Of every message between nodes: another is refused. To be raised with any change of what they
 * say (unit/test_hello holds the rows of wire.def to it, unit/test_wire_map whole maps). */
enum { HELLO_VERSION = 3 };
enum { HELLO_NONCE_BYTES = 32 };

#define HELLO_PURPOSES(X)         \
    X(HELLO_CONTROL, "control")   \
    X(HELLO_FORWARD2, "forward2") \
    X(HELLO_FORWARD3, "forward3") \
    X(HELLO_REPL, "repl")         \
    X(HELLO_MEET, "meet")         \
    X(HELLO_FOLLOW, "follow")
#define X(id, word) id,
enum hello_purpose { HELLO_PURPOSES(X) HELLO_PURPOSES_N };
#undef X
/* Those of data planes; USE_NONE: another. */
enum peer_use hello_use(enum hello_purpose purpose);
enum hello_purpose hello_purpose_of(enum peer_use use); /* not USE_NONE */

#define HELLO_REFUSALS(X)           \
    X(HELLO_BAD_VERSION, "version") \
    X(HELLO_BAD_CLUSTER, "cluster") \
    X(HELLO_BAD_PROOF, "proof")     \
    X(HELLO_MYSELF, "myself")       \
    X(HELLO_UNKNOWN, "unknown")     \
    X(HELLO_OTHER, "other")         \
    X(HELLO_MALFORMED, "malformed")
#define X(id, word) id,
enum hello_refusal { HELLO_REFUSALS(X) HELLO_REFUSALS_N }; /* N: a reason we do not know */
#undef X

/* This end, as it is at this moment; borrowed for the call. */
struct hello_self {
    struct cluster_id cluster; /* all zero: none yet */
    struct node_id id;         /* all zero: a proxy */
    uint32_t incarnation;      /* 0: a proxy */
    struct slice secret;       /* empty: none, and then none is asked for */
    const struct map
        *map; /* who is a member; NULL or index 0: not known yet, so nobody is unknown */
};

struct hello_end { /* what an end said of itself */
    struct cluster_id cluster;
    struct node_id id;
    uint32_t incarnation;
    uint8_t nonce[HELLO_NONCE_BYTES];
};

enum hello_verdict {
    HELLO_MORE,     /* write out what is there, and read more */
    HELLO_ACCEPTED, /* write out what is there; the connection is open: h->peer, h->purpose */
    HELLO_REFUSED   /* write out what is there, then close: h->refusal, h->why */
};

struct hello {
    bool dials;
    bool by_peer; /* refused by the other side */
    enum hello_purpose purpose;
    enum hello_refusal refusal;
    struct hello_end me, peer; /* peer.id is not to be believed before ACCEPTED */
    char why[WIRE_WHY_BYTES];

    /* private */
    struct node_id wanted; /* dials: who should be there; all zero: whoever it is */
    enum wire_type awaited;
    struct wire_reader reader;
};

void hello_dial(struct hello *h, const struct hello_self *self, enum hello_purpose purpose,
                const struct node_id *wanted, const uint8_t nonce[HELLO_NONCE_BYTES],
                struct chain *out); /* wanted: NULL: whoever it is */
void hello_answer(struct hello *h, const struct hello_self *self,
                  const uint8_t nonce[HELLO_NONCE_BYTES]);

/* `bytes`: all that is unread of the connection; the first *used of them are done with, and what
 * is left comes again with what follows it; after ACCEPTED it is for the open connection. */
enum hello_verdict hello_step(struct hello *h, const struct hello_self *self, struct slice bytes,
                              size_t *used, struct chain *out);
void hello_free(struct hello *h);

/* Said before any close that the other side caused, also once the connection is open. */
void put_refused(struct chain *to, enum hello_refusal refusal, const char *text);
enum err get_refused(struct wire_in *in, enum hello_refusal *refusal,
                     char text[WIRE_WHY_BYTES]) MUST_CHECK;

#endif

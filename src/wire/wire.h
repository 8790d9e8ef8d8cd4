/* SPDX-License-Identifier: BSD-3-Clause */

/* Frames between nodes: a RESP array of bulks, the message's name first, in both directions of a
 * connection. Every message is a row of wire.def, a codec in a wire_x.c:
 *
 *     void put_beat(struct chain *to, const struct beat *m);
 *     enum err get_beat(struct wire_in *in, struct beat *m) MUST_CHECK;
 *
 * Writing cannot fail. Reading is strict: the getters take field after field, each in its range,
 * and wire_get_end() says that none is left. After an error `in` still stands at the field that
 * was wrong: wire_why() words it, for our log and for the other side (W3). */
#ifndef WIRE_WIRE_H
#define WIRE_WIRE_H

#include "base/chain.h"
#include "base/err.h"
#include "core/types.h"
#include "resp/request.h"

enum wire_side {
    WIRE_DIALS = 1,   /* who opened the connection */
    WIRE_ANSWERS = 2, /* who accepted it */
    WIRE_EITHER = 3
};

#define MSG(id, name, least, most, side, text) WIRE_##id,
enum wire_type {
#include "wire/wire.def"
    WIRE_TYPES
};
#undef MSG

struct wire_spec {
    const char *name;
    size_t name_n;
    uint32_t least, most; /* fields, the name not counted */
    enum wire_side side;
    const char *text;
};

const struct wire_spec *wire_spec(enum wire_type type);

/* ------------------------------------------------------------------- frames */

/* A frame being taken apart. argv[0] is the name; borrowed until the next wire_next. */
struct wire_in {
    enum wire_type type;
    const struct slice *argv;
    uint32_t argc, at; /* at: the next field */
};

enum { WIRE_WHY_BYTES = 160 };

/* One direction of one connection; begin with zeroes and `from`. */
struct wire_reader {
    enum wire_side from; /* whom we read: WIRE_DIALS or WIRE_ANSWERS */
    bool open;           /* the handshake is through: every message may come (W4) */
    struct request_parser parser;
    struct request_arena arena;
    struct request req;
    char why[WIRE_WHY_BYTES]; /* after WIRE_BAD, and for ever then */
};

enum wire_read {
    WIRE_MORE,  /* no whole frame: read more, behind what is there or as parser wants */
    WIRE_FRAME, /* *in is a message; the first `used` bytes may be dropped once it is done with */
    WIRE_BAD    /* r->why: say so, and close */
};

/* A request that came as a client's do, taken for a frame of an open connection: how a data plane
 * reads. `why` has WIRE_WHY_BYTES. */
bool wire_frame(const struct request *q, enum wire_side from, struct wire_in *in, char *why);

enum wire_read wire_next(struct wire_reader *r, struct slice bytes, struct wire_in *in,
                         size_t *used);
void wire_reader_free(struct wire_reader *r);

/* ------------------------------------------------------------------ writing */

void wire_put_head(struct chain *to, enum wire_type type,
                   size_t fields); /* exactly so many puts follow */
void wire_put_u64(struct chain *to, uint64_t v);
void wire_put_i64(struct chain *to, int64_t v);
void wire_put_bool(struct chain *to, bool v); /* 1 or 0 */
void wire_put_bytes(struct chain *to, struct slice s);
/* As wire_put_bytes; big values are shared. */
void wire_put_parts(struct chain *to, const struct chain *parts);
void wire_put_word(struct chain *to, const char *word);
void wire_put_hex(struct chain *to, const uint8_t *b,
                  size_t n); /* two lowercase digits a byte; n <= 64 */

static inline void wire_put_id(struct chain *to, const struct node_id *id)
{
    wire_put_hex(to, id->b, sizeof(id->b));
}

/* ------------------------------------------------------------------ reading */

/* ERR_SYNTAX: no such thing, or no field left; ERR_RANGE: beyond the greatest; ERR_LIMIT: too
 * long. */
enum err wire_get_max(struct wire_in *in, uint64_t max, uint64_t *v) MUST_CHECK;
enum err wire_get_u64(struct wire_in *in, uint64_t *v) MUST_CHECK;
enum err wire_get_u32(struct wire_in *in, uint32_t *v) MUST_CHECK;
enum err wire_get_u16(struct wire_in *in, uint16_t *v) MUST_CHECK;
enum err wire_get_i64(struct wire_in *in, int64_t *v) MUST_CHECK;
enum err wire_get_bool(struct wire_in *in, bool *v) MUST_CHECK;
enum err wire_get_bytes(struct wire_in *in, size_t max,
                        struct slice *s) MUST_CHECK; /* borrowed as argv is */
enum err wire_get_text(struct wire_in *in, char *to,
                       size_t room) MUST_CHECK; /* NUL-ended; none inside */
enum err wire_get_hex(struct wire_in *in, uint8_t *b, size_t n) MUST_CHECK; /* exactly n bytes */

/* How many items follow, at most max, each of at least `each` fields, which are there (W5). */
enum err wire_get_count(struct wire_in *in, size_t max, size_t each, size_t *n) MUST_CHECK;
enum err wire_get_end(struct wire_in *in) MUST_CHECK;

static inline enum err wire_get_id(struct wire_in *in, struct node_id *id)
{
    return wire_get_hex(in, id->b, sizeof(id->b));
}

/* "VONG.BEAT, field 3: a number is out of range"; at most WIRE_WHY_BYTES, ended. */
void wire_why(const struct wire_in *in, enum err e, char *to);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire/wire.h"

#include <stdio.h>

#include "base/num.h"
#include "resp/resp_write.h"

#define MSG(id, name, least, most, side, text) \
    [WIRE_##id] = {name, sizeof(name) - 1, least, most, side, text},
static const struct wire_spec specs[] = {
#include "wire/wire.def"
};
#undef MSG

const struct wire_spec *wire_spec(enum wire_type type)
{
    check(type < WIRE_TYPES);
    return &specs[type];
}

/* ------------------------------------------------------------------- frames */

static bool say_bad(char *why, const char *what, struct slice quote, const char *more)
{
    char shown[33];
    size_t n = 0;
    for (; n < quote.n && n < sizeof(shown) - 1; n++)
        shown[n] = quote.p[n] >= ' ' && quote.p[n] <= '~' ? quote.p[n] : '?';
    shown[n] = '\0';
    snprintf(why, WIRE_WHY_BYTES, "%s%s%s", what, shown, more);
    return false;
}

/* The handshake's messages are the table's first rows. */
static bool is_handshake(enum wire_type type)
{
    return type <= WIRE_REFUSED;
}

static bool frame_open(const struct request *q, enum wire_side from, bool open, struct wire_in *in,
                       char *why)
{
    struct slice name = q->argv[0];
    enum wire_type type = 0;
    while (type < WIRE_TYPES && (name.n != specs[type].name_n || !slice_is(name, specs[type].name)))
        type++;
    if (type == WIRE_TYPES)
        return say_bad(why, "no message between nodes is called '", name,
                       "'; is this the port for clients that was meant?");
    const struct wire_spec *spec = &specs[type];
    *in = (struct wire_in){.type = type, .argv = q->argv, .argc = q->argc, .at = 1};
    if ((spec->side & from) == 0)
        return say_bad(why, "", name, " comes from the other end of a connection");
    if (!open && !is_handshake(type))
        return say_bad(why, "", name, " before the handshake: begin with VONG.HELLO");
    if (open && is_handshake(type) && type != WIRE_REFUSED)
        return say_bad(why, "", name, " after the handshake");
    if (in->argc - 1 < spec->least || in->argc - 1 > spec->most)
        return say_bad(why, "", name, ": not so many fields");
    return true;
}

bool wire_frame(const struct request *q, enum wire_side from, struct wire_in *in, char *why)
{
    return frame_open(q, from, true, in, why);
}

static enum wire_read bad(struct wire_reader *r, const char *what)
{
    (void)say_bad(r->why, what, (struct slice){NULL, 0}, "");
    return WIRE_BAD;
}

enum wire_read wire_next(struct wire_reader *r, struct slice bytes, struct wire_in *in,
                         size_t *used)
{
    if (r->why[0] != '\0')
        return WIRE_BAD;
    request_free(&r->req);
    request_arena_reset(&r->arena);
    struct request_limits limits = {.bulk_max_bytes = WIRE_FIELD_MAX_BYTES,
                                    .args_max = WIRE_FIELDS_MAX};
    if (!r->open) /* W4 */
        limits = (struct request_limits){.bulk_max_bytes = WIRE_FIELD_MAX_BYTES,
                                         .args_max = WIRE_HELLO_FIELDS_MAX,
                                         .unauthenticated = true};
    switch (request_next(&r->parser, &limits, bytes, &r->arena, &r->req, used)) {
    case REQUEST_MORE: return WIRE_MORE;
    case REQUEST_WHOLE:
        return frame_open(&r->req, r->from, r->open, in, r->why) ? WIRE_FRAME : WIRE_BAD;
    case REQUEST_NONE: return bad(r, "an empty frame");
    case REQUEST_BAD: break;
    }
    return bad(r, r->parser.error);
}

void wire_reader_free(struct wire_reader *r)
{
    request_free(&r->req);
    request_parser_free(&r->parser);
    request_arena_free(&r->arena);
}

/* ------------------------------------------------------------------ writing */

void wire_put_head(struct chain *to, enum wire_type type, size_t fields)
{
    const struct wire_spec *spec = wire_spec(type);
    check(fields >= spec->least && fields <= spec->most); /* W1 */
    struct reply r = {.out = to, .protocol = 2};
    reply_array(&r, fields + 1);
    reply_bulk_str(&r, spec->name);
}

void wire_put_bytes(struct chain *to, struct slice s)
{
    check(s.n <= WIRE_FIELD_MAX_BYTES);
    struct reply r = {.out = to, .protocol = 2};
    reply_bulk(&r, s);
}

void wire_put_parts(struct chain *to, const struct chain *parts)
{
    check(parts->n <= WIRE_FIELD_MAX_BYTES);
    struct reply r = {.out = to, .protocol = 2};
    reply_bulk_parts(&r, parts);
}

void wire_put_u64(struct chain *to, uint64_t v)
{
    char text[NUM_I64_CHARS];
    wire_put_bytes(to, slice_of(text, num_put_u64(text, v)));
}

void wire_put_i64(struct chain *to, int64_t v)
{
    char text[NUM_I64_CHARS];
    wire_put_bytes(to, slice_of(text, num_put_i64(text, v)));
}

void wire_put_bool(struct chain *to, bool v)
{
    wire_put_bytes(to, v ? SLICE("1") : SLICE("0"));
}

void wire_put_word(struct chain *to, const char *word)
{
    wire_put_bytes(to, slice_str(word));
}

void wire_put_hex(struct chain *to, const uint8_t *b, size_t n)
{
    char text[2 * 64];
    check(n <= sizeof(text) / 2);
    num_put_hex_bytes(text, b, n);
    wire_put_bytes(to, slice_of(text, 2 * n));
}

/* ------------------------------------------------------------------ reading */

/* A field is left behind only once it was right: `at` names the wrong one. */
static enum err field(struct wire_in *in, struct slice *s)
{
    if (in->at >= in->argc)
        return ERR_SYNTAX;
    *s = in->argv[in->at];
    return ERR_OK;
}

enum err wire_get_max(struct wire_in *in, uint64_t max, uint64_t *v)
{
    struct slice s;
    uint64_t got;
    TRY(field(in, &s));
    if (!num_get_u64(s, &got))
        return ERR_SYNTAX;
    if (got > max)
        return ERR_RANGE;
    *v = got;
    in->at++;
    return ERR_OK;
}

enum err wire_get_u64(struct wire_in *in, uint64_t *v)
{
    return wire_get_max(in, UINT64_MAX, v);
}

enum err wire_get_u32(struct wire_in *in, uint32_t *v)
{
    uint64_t wide;
    TRY(wire_get_max(in, UINT32_MAX, &wide));
    *v = (uint32_t)wide;
    return ERR_OK;
}

enum err wire_get_u16(struct wire_in *in, uint16_t *v)
{
    uint64_t wide;
    TRY(wire_get_max(in, UINT16_MAX, &wide));
    *v = (uint16_t)wide;
    return ERR_OK;
}

enum err wire_get_i64(struct wire_in *in, int64_t *v)
{
    struct slice s;
    TRY(field(in, &s));
    if (!num_get_i64(s, v))
        return ERR_SYNTAX;
    in->at++;
    return ERR_OK;
}

enum err wire_get_bool(struct wire_in *in, bool *v)
{
    uint64_t wide;
    TRY(wire_get_max(in, 1, &wide));
    *v = wide == 1;
    return ERR_OK;
}

enum err wire_get_bytes(struct wire_in *in, size_t max, struct slice *s)
{
    struct slice got;
    TRY(field(in, &got));
    if (got.n > max)
        return ERR_LIMIT;
    *s = got;
    in->at++;
    return ERR_OK;
}

enum err wire_get_text(struct wire_in *in, char *to, size_t room)
{
    struct slice s;
    TRY(field(in, &s));
    if (s.n >= room)
        return ERR_LIMIT;
    if (s.n > 0 && memchr(s.p, '\0', s.n) != NULL)
        return ERR_SYNTAX;
    if (s.n > 0)
        memcpy(to, s.p, s.n);
    to[s.n] = '\0';
    in->at++;
    return ERR_OK;
}

enum err wire_get_hex(struct wire_in *in, uint8_t *b, size_t n)
{
    struct slice s;
    TRY(field(in, &s));
    if (s.n != 2 * n)
        return ERR_SYNTAX;
    for (size_t i = 0; i < n; i++) {
        uint64_t v;
        if (!num_get_hex(slice_of(s.p + 2 * i, 2), &v))
            return ERR_SYNTAX;
        b[i] = (uint8_t)v;
    }
    in->at++;
    return ERR_OK;
}

enum err wire_get_count(struct wire_in *in, size_t max, size_t each, size_t *n)
{
    struct wire_in before = *in;
    uint64_t wide;
    TRY(wire_get_max(in, max, &wide));
    if (wide * each > in->argc - in->at) {
        *in = before;
        return ERR_RANGE;
    }
    *n = (size_t)wide;
    return ERR_OK;
}

enum err wire_get_end(struct wire_in *in)
{
    return in->at == in->argc ? ERR_OK : ERR_SYNTAX;
}

void wire_why(const struct wire_in *in, enum err e, char *to)
{
    snprintf(to, WIRE_WHY_BYTES, "%s, field %u: %s", wire_spec(in->type)->name, in->at,
             err_text(e));
}

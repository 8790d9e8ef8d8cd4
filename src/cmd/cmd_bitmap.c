/* SPDX-License-Identifier: BSD-3-Clause */

/* Strings as arrays of bits: bit 0 is the highest of the first byte.
 *
 * Bits behind the end read as zero; writing there makes the string longer. Who would change nothing
 * does not write: a record says what was changed. */
#include "base/check.h"
#include "base/mem.h"
#include "base/num.h"
#include "cmd/handlers.h"

#define BAD_OFFSET "ERR bit offset is not an integer or out of range"

/* A position in bits; "#n" counts in fields of `width` bits where that is not 0. */
static bool offset_or_reply(struct cmd *c, uint32_t i, unsigned width, uint64_t *offset)
{
    struct slice s = c->argv[i];
    bool fields = width > 0 && s.n > 0 && s.p[0] == '#';
    int64_t v;
    bool good = num_get_i64(slice_from(s, fields), &v) && v >= 0 &&
                (!fields || !__builtin_mul_overflow(v, (int64_t)width, &v)) &&
                (c->replay || v >> 3 < c->config->string_max_bytes);
    if (!good) {
        reply_error(c->reply, SLICE(BAD_OFFSET));
        return false;
    }
    *offset = (uint64_t)v;
    return true;
}

static bool bit_of(struct slice s, uint64_t at)
{
    return at >> 3 < s.n && ((unsigned char)s.p[at >> 3] >> (7 - (at & 7)) & 1) != 0;
}

static struct slice value_or_empty(const struct entry *e, char *scratch)
{
    return e != NULL ? entry_value(e, scratch) : SLICE("");
}

/* The string at k at least n bytes long, for writing. */
static unsigned char *edit_or_reply(struct cmd *c, const struct key *k, size_t have, size_t need)
{
    char *to = store_edit(c->store, c->db, k, have > need ? have : need);
    if (to == NULL)
        reply_nomem(c);
    return (unsigned char *)to;
}

/* ---------------------------------------------------------- SETBIT, GETBIT */

/* SETBIT key offset 0|1 */
void cmd_setbit(struct cmd *c)
{
    static const char bad_bit[] = "ERR bit is not an integer or out of range";
    uint64_t at;
    int64_t on;
    if (!offset_or_reply(c, 2, 0, &at) || !arg_i64_or_reply(c, 3, &on, bad_bit))
        return;
    if (on != 0 && on != 1) {
        reply_error(c->reply, slice_str(bad_bit));
        return;
    }
    struct key k = cmd_key(c, 1);
    struct entry *e = look_write(c, c->db, &k);
    if (!is_string_or_reply(c, e))
        return;
    char scratch[NUM_I64_CHARS];
    struct slice s = value_or_empty(e, scratch);
    size_t byte = at >> 3;
    bool was = bit_of(s, at);
    if (e != NULL && byte < s.n && was == on) {
        e->encoding = ENTRY_ENC_RAW;
    } else {
        unsigned char *to = edit_or_reply(c, &k, s.n, byte + 1);
        if (to == NULL)
            return;
        unsigned mask = 0x80u >> (at & 7);
        to[byte] = (unsigned char)(on ? to[byte] | mask : to[byte] & ~mask);
        effect_same(c);
    }
    reply_i64(c->reply, was);
}

/* GETBIT key offset */
void cmd_getbit(struct cmd *c)
{
    uint64_t at;
    if (!offset_or_reply(c, 2, 0, &at))
        return;
    struct key k = cmd_key(c, 1);
    struct entry *e = look_read(c, c->db, &k);
    char scratch[NUM_I64_CHARS];
    if (is_string_or_reply(c, e))
        reply_i64(c->reply, bit_of(value_or_empty(e, scratch), at));
}

/* -------------------------------------------------------- counts, positions */

static uint64_t word_at(const char *p)
{
    uint64_t w;
    memcpy(&w, p, sizeof(w));
    return w;
}

/* By halves: pairs, nibbles, bytes, then all bytes added up by one multiplication. */
static uint64_t ones_of(uint64_t w)
{
    w -= w >> 1 & 0x5555555555555555;
    w = (w & 0x3333333333333333) + (w >> 2 & 0x3333333333333333);
    w = (w + (w >> 4)) & 0x0f0f0f0f0f0f0f0f;
    return w * 0x0101010101010101 >> 56;
}

static uint64_t count_ones(const char *p, size_t n)
{
    uint64_t sum = 0;
    for (; n >= 8; p += 8, n -= 8)
        sum += ones_of(word_at(p));
    for (; n > 0; p++, n--)
        sum += ones_of((unsigned char)*p);
    return sum;
}

/* Ones among the bits [from, to), all within s. */
static uint64_t count_between(struct slice s, uint64_t from, uint64_t to)
{
    uint64_t sum = 0;
    for (; from < to && (from & 7) != 0; from++)
        sum += bit_of(s, from);
    for (; from < to && (to & 7) != 0; to--)
        sum += bit_of(s, to - 1);
    return sum + count_ones(s.p + (from >> 3), (size_t)(to - from) >> 3);
}

/* The first bit of this value among [from, to), all within s; `to`: there is none. */
static uint64_t find_between(struct slice s, bool bit, uint64_t from, uint64_t to)
{
    for (; from < to && (from & 7) != 0; from++)
        if (bit_of(s, from) == bit)
            return from;
    unsigned char dull = bit ? 0x00 : 0xff;
    uint64_t dull_word = bit ? 0 : UINT64_MAX;
    while (to - from >= 64 && word_at(s.p + (from >> 3)) == dull_word)
        from += 64;
    while (to - from >= 8 && (unsigned char)s.p[from >> 3] == dull)
        from += 8;
    for (; from < to; from++)
        if (bit_of(s, from) == bit)
            return from;
    return to;
}

struct bit_range {
    int64_t start, end; /* as given, both belonging to it */
    bool in_bits;       /* else in bytes */
};

static bool unit_or_reply(struct cmd *c, uint32_t i, bool *in_bits)
{
    *in_bits = slice_is(c->argv[i], "bit");
    if (*in_bits || slice_is(c->argv[i], "byte"))
        return true;
    reply_syntax_error(c);
    return false;
}

/* The range as bits [*from, *to) within n bytes; false: it is empty. */
static bool range_bits(const struct bit_range *r, size_t n, uint64_t *from, uint64_t *to)
{
    int64_t total = (int64_t)(r->in_bits ? n * 8 : n);
    int64_t start = r->start, end = r->end;
    if (start < 0)
        start = start + total < 0 ? 0 : start + total;
    if (end < 0)
        end = end + total < 0 ? 0 : end + total;
    if (end >= total)
        end = total - 1;
    if (start > end)
        return false;
    unsigned unit = r->in_bits ? 1 : 8;
    *from = (uint64_t)start * unit;
    *to = ((uint64_t)end + 1) * unit;
    return true;
}

/* BITCOUNT key [start end [BYTE|BIT]] */
void cmd_bitcount(struct cmd *c)
{
    struct key k = cmd_key(c, 1);
    struct entry *e = look_read(c, c->db, &k);
    if (e == NULL) { /* before the range is even looked at, as Redis does */
        reply_i64(c->reply, 0);
        return;
    }
    if (!is_string_or_reply(c, e))
        return;
    struct bit_range r = {.start = 0, .end = -1};
    bool crossed = false;
    if (c->argc == 4 || c->argc == 5) {
        if (!arg_i64_or_reply(c, 2, &r.start, NULL) || !arg_i64_or_reply(c, 3, &r.end, NULL))
            return;
        crossed = r.start < 0 && r.end < 0 && r.start > r.end;
        if (!crossed && c->argc == 5 && !unit_or_reply(c, 4, &r.in_bits))
            return;
    } else if (c->argc != 2) {
        reply_syntax_error(c);
        return;
    }
    char scratch[NUM_I64_CHARS];
    struct slice s = entry_value(e, scratch);
    uint64_t from, to;
    if (crossed || !range_bits(&r, s.n, &from, &to))
        reply_i64(c->reply, 0);
    else
        reply_i64(c->reply, (int64_t)count_between(s, from, to));
}

/* BITPOS key bit [start [end [BYTE|BIT]]] */
void cmd_bitpos(struct cmd *c)
{
    int64_t bit;
    if (!arg_i64_or_reply(c, 2, &bit, NULL))
        return;
    if (bit != 0 && bit != 1) {
        reply_error(c->reply, SLICE("ERR The bit argument must be 1 or 0."));
        return;
    }
    struct key k = cmd_key(c, 1);
    struct entry *e = look_read(c, c->db, &k);
    if (e == NULL) { /* zeros without end */
        reply_i64(c->reply, bit == 1 ? -1 : 0);
        return;
    }
    if (!is_string_or_reply(c, e))
        return;
    struct bit_range r = {.start = 0, .end = -1};
    if (c->argc > 6) {
        reply_syntax_error(c);
        return;
    }
    if (c->argc > 3 && !arg_i64_or_reply(c, 3, &r.start, NULL))
        return;
    if (c->argc > 5 && !unit_or_reply(c, 5, &r.in_bits))
        return;
    if (c->argc > 4 && !arg_i64_or_reply(c, 4, &r.end, NULL))
        return;
    char scratch[NUM_I64_CHARS];
    struct slice s = entry_value(e, scratch);
    uint64_t from, to, at;
    if (!range_bits(&r, s.n, &from, &to)) {
        reply_i64(c->reply, -1);
        return;
    }
    at = find_between(s, bit == 1, from, to);
    /* Behind the string there are zeros, unless the range was said to end. */
    if (at == to && (bit == 1 || c->argc > 4))
        reply_i64(c->reply, -1);
    else
        reply_i64(c->reply, (int64_t)at);
}

/* ------------------------------------------------------------------ BITOP */

enum bit_op { BIT_AND, BIT_OR, BIT_XOR, BIT_NOT, BIT_OPS };

struct bit_source {
    struct slice s;
    char scratch[NUM_I64_CHARS];
};

/* One more source over what is in `to` so far: n bytes of which `s` has perhaps fewer. */
static void combine(enum bit_op op, char *to, size_t n, struct slice s)
{
    size_t i = 0;
    for (; i + 8 <= s.n; i += 8) {
        uint64_t a = word_at(to + i), b = word_at(s.p + i);
        a = op == BIT_AND ? a & b : op == BIT_OR ? a | b : a ^ b;
        memcpy(to + i, &a, sizeof(a));
    }
    for (; i < s.n; i++) {
        unsigned a = (unsigned char)to[i], b = (unsigned char)s.p[i];
        to[i] = (char)(op == BIT_AND ? a & b : op == BIT_OR ? a | b : a ^ b);
    }
    if (op == BIT_AND && s.n < n)
        memset(to + s.n, 0, n - s.n);
}

static struct blob *bitop_result(struct cmd *c, enum bit_op op, const struct bit_source *from,
                                 size_t n)
{
    struct blob *b = blob_try(n);
    if (b == NULL)
        return NULL;
    b->n = n;
    if (from[0].s.n > 0)
        memcpy(b->p, from[0].s.p, from[0].s.n);
    memset(b->p + from[0].s.n, 0, n - from[0].s.n);
    for (uint32_t i = 1; i < c->argc - 3; i++) {
        combine(op, b->p, n, from[i].s);
        store_worked(c->store);
    }
    for (size_t i = 0; op == BIT_NOT && i < n; i++)
        b->p[i] = (char)~b->p[i];
    return b;
}

/* The result under the target, or nothing there if it is empty. */
static void bitop_store(struct cmd *c, const struct key *target, enum bit_op op,
                        const struct bit_source *from, size_t n)
{
    if (n == 0) {
        if (store_drop(c->store, c->db, target))
            effect_del(c->effects, c->db, target->s);
        reply_i64(c->reply, 0);
        return;
    }
    struct blob *b = bitop_result(c, op, from, n);
    if (b == NULL) {
        reply_nomem(c);
        return;
    }
    if (store_put_blob(c->store, c->db, target, b, WALL_NEVER) != ERR_OK) {
        blob_drop(b, NULL);
        reply_nomem(c);
        return;
    }
    store_find(c->store, c->db, target)->encoding = ENTRY_ENC_RAW;
    effect_same(c);
    reply_i64(c->reply, (int64_t)n);
}

/* BITOP AND|OR|XOR|NOT target key [key ...] */
void cmd_bitop(struct cmd *c)
{
    static const char *const names[BIT_OPS] = {"and", "or", "xor", "not"};
    enum bit_op op = BIT_AND;
    while (op < BIT_OPS && !slice_is(c->argv[1], names[op]))
        op++;
    if (op == BIT_OPS) {
        reply_syntax_error(c);
        return;
    }
    if (op == BIT_NOT && c->argc != 4) {
        reply_error(c->reply, SLICE("ERR BITOP NOT must be called with a single source key."));
        return;
    }
    struct bit_source *from = mem_get((c->argc - 3) * sizeof(*from));
    size_t longest = 0;
    for (uint32_t i = 3; i < c->argc; i++) {
        struct key k = cmd_key(c, i);
        struct entry *e = look_read(c, c->db, &k);
        if (!is_string_or_reply(c, e)) {
            mem_free(from);
            return;
        }
        from[i - 3].s = value_or_empty(e, from[i - 3].scratch);
        if (from[i - 3].s.n > longest)
            longest = from[i - 3].s.n;
    }
    struct key target = cmd_key(c, 2);
    bitop_store(c, &target, op, from, longest);
    mem_free(from);
}

/* --------------------------------------------------------------- BITFIELD */

enum field_verb { FIELD_GET, FIELD_SET, FIELD_INCRBY };
enum field_overflow { FIELD_WRAP, FIELD_SAT, FIELD_FAIL };

struct field_op {
    uint64_t at;
    int64_t by; /* the value to set or to add */
    enum field_verb verb;
    enum field_overflow overflow;
    unsigned bits;
    bool is_signed;
};

struct field_ops {
    VEC(struct field_op) list;
    uint64_t last; /* the farthest bit that is written */
    bool writes;
};

static bool field_type_or_reply(struct cmd *c, struct slice s, struct field_op *op)
{
    int64_t bits;
    bool known = s.n > 0 && (s.p[0] == 'i' || s.p[0] == 'u');
    op->is_signed = known && s.p[0] == 'i';
    if (!known || !num_get_i64(slice_from(s, 1), &bits) || bits < 1 ||
        bits > (op->is_signed ? 64 : 63)) {
        reply_error(c->reply,
                    SLICE("ERR Invalid bitfield type. Use something like i16 u8. Note that "
                          "u64 is not supported but i64 is."));
        return false;
    }
    op->bits = (unsigned)bits;
    return true;
}

static bool overflow_or_reply(struct cmd *c, struct slice word, enum field_overflow *how)
{
    if (slice_is(word, "wrap")) {
        *how = FIELD_WRAP;
    } else if (slice_is(word, "sat")) {
        *how = FIELD_SAT;
    } else if (slice_is(word, "fail")) {
        *how = FIELD_FAIL;
    } else {
        reply_error(c->reply, SLICE("ERR Invalid OVERFLOW type specified"));
        return false;
    }
    return true;
}

static bool field_ops_or_reply(struct cmd *c, struct field_ops *ops)
{
    enum field_overflow how = FIELD_WRAP;
    for (uint32_t i = 2; i < c->argc; i++) {
        struct slice word = c->argv[i];
        uint32_t left = c->argc - i - 1;
        struct field_op op = {.overflow = how};
        if (slice_is(word, "get") && left >= 2) {
            op.verb = FIELD_GET;
        } else if (slice_is(word, "set") && left >= 3) {
            op.verb = FIELD_SET;
        } else if (slice_is(word, "incrby") && left >= 3) {
            op.verb = FIELD_INCRBY;
        } else if (slice_is(word, "overflow") && left >= 1) {
            if (!overflow_or_reply(c, c->argv[++i], &how))
                return false;
            continue;
        } else {
            reply_syntax_error(c);
            return false;
        }
        if (!field_type_or_reply(c, c->argv[i + 1], &op) ||
            !offset_or_reply(c, i + 2, op.bits, &op.at))
            return false;
        if (op.verb != FIELD_GET) {
            if (!arg_i64_or_reply(c, i + 3, &op.by, NULL))
                return false;
            ops->writes = true;
            if (op.at + op.bits - 1 > ops->last)
                ops->last = op.at + op.bits - 1;
        }
        *vec_add(&ops->list) = op;
        i += op.verb == FIELD_GET ? 2 : 3;
    }
    return true;
}

/* The field's bits, not yet understood as signed or not. */
static uint64_t field_load(struct slice s, const struct field_op *op)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < op->bits; i++)
        v = v << 1 | bit_of(s, op->at + i);
    return v;
}

static void field_store(unsigned char *to, const struct field_op *op, uint64_t v)
{
    for (unsigned i = 0; i < op->bits; i++) {
        uint64_t at = op->at + i;
        unsigned mask = 0x80u >> (at & 7);
        bool on = v >> (op->bits - 1 - i) & 1;
        to[at >> 3] = (unsigned char)(on ? to[at >> 3] | mask : to[at >> 3] & ~mask);
    }
}

/* The lowest `bits` of v as a number of this kind. */
static int64_t field_number(const struct field_op *op, uint64_t v)
{
    if (op->bits == 64)
        return (int64_t)v;
    uint64_t mask = ((uint64_t)1 << op->bits) - 1;
    v &= mask;
    if (op->is_signed && v >> (op->bits - 1))
        v |= ~mask;
    return (int64_t)v;
}

/* old + op->by (or op->by alone) as the field can have it; false: it does not fit and is to fail.
 * The arithmetic is done in 128 bits, where nothing overflows. An unsigned field understands what
 * is SET as an unsigned number. */
static bool field_result(const struct field_op *op, int64_t old, int64_t *result)
{
    __int128 max =
        op->is_signed ? ((__int128)1 << (op->bits - 1)) - 1 : ((__int128)1 << op->bits) - 1;
    __int128 min = op->is_signed ? -max - 1 : 0;
    __int128 v = op->verb == FIELD_INCRBY ? (__int128)old + op->by
                 : op->is_signed          ? (__int128)op->by
                                          : (__int128)(uint64_t)op->by;
    if (v >= min && v <= max) {
        *result = (int64_t)v;
        return true;
    }
    if (op->overflow == FIELD_SAT)
        *result = (int64_t)(v > max ? max : min);
    else
        *result = field_number(op, (uint64_t)v);
    return op->overflow != FIELD_FAIL;
}

/* One operation; *to is where the string may be written, NULL as long as nothing had to be. */
static bool field_run(struct cmd *c, const struct key *k, struct slice *s, unsigned char **to,
                      const struct field_op *op)
{
    int64_t old = field_number(op, field_load(*s, op)), v = old;
    if (op->verb == FIELD_GET) {
        reply_i64(c->reply, old);
        return true;
    }
    if (!field_result(op, old, &v)) {
        reply_null(c->reply);
        return true;
    }
    if (v != old && *to == NULL) {
        *to = edit_or_reply(c, k, s->n, s->n);
        if (*to == NULL)
            return false;
        s->p = (const char *)*to;
    }
    if (v != old)
        field_store(*to, op, (uint64_t)v);
    reply_i64(c->reply, op->verb == FIELD_SET ? old : v);
    return true;
}

/* All operations, their replies collected until it is sure that none is refused memory. */
static void field_run_all(struct cmd *c, const struct key *k, struct entry *e,
                          const struct field_ops *ops)
{
    char scratch[NUM_I64_CHARS];
    struct slice s = value_or_empty(e, scratch);
    size_t need = ops->writes ? (size_t)(ops->last >> 3) + 1 : 0;
    unsigned char *to = NULL;
    if (need > s.n) {
        to = edit_or_reply(c, k, s.n, need);
        if (to == NULL)
            return;
        s = slice_of(to, need);
    } else if (ops->writes) {
        e->encoding = ENTRY_ENC_RAW;
    }
    struct chain said = {0}, *out = c->reply->out;
    c->reply->out = &said;
    bool good = true;
    reply_array(c->reply, ops->list.n);
    for (size_t i = 0; good && i < ops->list.n; i++)
        good = field_run(c, k, &s, &to, &ops->list.at[i]);
    c->reply->out = out;
    if (to != NULL)
        effect_same(c);
    if (good) {
        chain_append(out, &said);
    } else {
        chain_free(&said, &c->store->graves);
        reply_nomem(c);
    }
}

static void bitfield(struct cmd *c, bool readonly)
{
    struct field_ops ops = {.writes = false};
    struct key k = cmd_key(c, 1);
    if (!field_ops_or_reply(c, &ops)) {
        vec_free(&ops.list);
        return;
    }
    if (ops.writes && readonly) {
        reply_error(c->reply, SLICE("ERR BITFIELD_RO only supports the GET subcommand"));
    } else {
        struct entry *e = ops.writes ? look_write(c, c->db, &k) : look_read(c, c->db, &k);
        if (is_string_or_reply(c, e))
            field_run_all(c, &k, e, &ops);
    }
    vec_free(&ops.list);
}

/* BITFIELD key [GET type at] [SET type at v] [INCRBY type at v] [OVERFLOW WRAP|SAT|FAIL] ... */
void cmd_bitfield(struct cmd *c)
{
    bitfield(c, false);
}

/* BITFIELD_RO key [GET type at] ... */
void cmd_bitfield_ro(struct cmd *c)
{
    bitfield(c, true);
}

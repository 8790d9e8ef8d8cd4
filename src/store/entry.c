/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/entry.h"

#include "base/check.h"
#include "base/mem.h"

static_assert(sizeof(size_t) == 8 && sizeof(struct blob *) == 8, "words of the fixed part");

static size_t entry_size(const struct entry *e)
{
    return entry_fixed_n(e) + entry_key(e).n + e->value_n;
}

/* The number or the blob, one word behind the expiry. */
static char *word_at(const struct entry *e)
{
    return (char *)(uintptr_t)e->body + 8 * (size_t)e->has_expiry;
}

static void word_set(struct entry *e, uint64_t word)
{
    memcpy(word_at(e), &word, sizeof(word));
}

static uint64_t word_of(const struct entry *e)
{
    uint64_t word;
    memcpy(&word, word_at(e), sizeof(word));
    return word;
}

static char *value_at(const struct entry *e)
{
    struct slice key = entry_key(e);
    return (char *)(uintptr_t)key.p + key.n;
}

static void expiry_write(struct entry *e, struct wall expiry)
{
    memcpy(e->body, &expiry, sizeof(expiry));
}

/* Everything but the value: an entry always has all bytes of its size class, so that a later value
 * of the same class can be written in place. */
static struct entry *entry_make(struct slice key, enum entry_storage storage, size_t value_n,
                                struct wall expiry)
{
    struct entry head = {
        .type = ENTRY_STRING,
        .storage = storage & 3,
        .has_expiry = !wall_is_never(expiry),
        .value_n = value_n & 0x3fff,
        .key_n = (key.n < ENTRY_KEY_LONG ? key.n : ENTRY_KEY_LONG) & 0xffff,
    };
    size_t fixed = entry_fixed_n(&head);
    size_t n = fixed + key.n + value_n, good = mem_good_size(n);
    if (n < key.n || good < n) /* beyond what any allocator has */
        return NULL;
    struct entry *e = mem_try(good);
    if (e == NULL)
        return NULL;
    *e = head;
    if (head.has_expiry)
        expiry_write(e, expiry);
    char *to = (char *)e + fixed;
    if (head.key_n == ENTRY_KEY_LONG)
        memcpy(to - sizeof(key.n), &key.n, sizeof(key.n));
    if (key.n > 0)
        memcpy(to, key.p, key.n);
    return e;
}

static struct blob *blob_with(struct slice value)
{
    struct blob *b = blob_try(value.n);
    if (b == NULL)
        return NULL;
    memcpy(b->p, value.p, value.n);
    b->n = value.n;
    return b;
}

/* A value, read once: what it is and how to keep it. */
struct content {
    struct slice bytes;
    int64_t number;
    enum entry_storage storage;
    enum entry_encoding encoding;
};

/* A number is kept as one where that needs no larger allocation than its digits, or where there is
 * a number already. `fixed` and key as for inline bytes. */
static struct content content_of(struct slice bytes, size_t fixed_and_key, bool number_before)
{
    struct content c = {.bytes = bytes, .storage = ENTRY_INLINE};
    if (num_get_i64(bytes, &c.number)) {
        c.encoding = ENTRY_ENC_INT;
        if (number_before || bytes.n >= 8 ||
            mem_good_size(fixed_and_key + 8) == mem_good_size(fixed_and_key + bytes.n))
            c.storage = ENTRY_NUMBER;
        return c;
    }
    c.encoding = bytes.n <= ENTRY_EMBSTR_MAX ? ENTRY_ENC_EMBSTR : ENTRY_ENC_RAW;
    if (bytes.n > ENTRY_INLINE_MAX)
        c.storage = ENTRY_BLOB;
    return c;
}

static size_t content_inline_n(const struct content *c)
{
    return c->storage == ENTRY_INLINE ? c->bytes.n : 0;
}

/* Into an entry of the right shape. A blob's word is written by who made the blob. */
static void content_write(struct entry *e, const struct content *c)
{
    if (c->storage == ENTRY_NUMBER)
        word_set(e, (uint64_t)c->number);
    else if (c->storage == ENTRY_INLINE && c->bytes.n > 0)
        memmove(value_at(e), c->bytes.p, c->bytes.n);
    e->value_n = content_inline_n(c) & 0x3fff;
    e->encoding = c->encoding & 3;
}

static size_t fixed_and_key_n(size_t key_n, bool has_expiry)
{
    return sizeof(struct entry) + 8 * ((size_t)has_expiry + (key_n >= ENTRY_KEY_LONG)) + key_n;
}

static struct entry *entry_with(struct slice key, const struct content *c, struct wall expiry)
{
    struct blob *b = NULL;
    if (c->storage == ENTRY_BLOB && (b = blob_with(c->bytes)) == NULL)
        return NULL;
    struct entry *e = entry_make(key, c->storage, content_inline_n(c), expiry);
    if (e == NULL) {
        if (b != NULL)
            blob_drop(b, NULL);
        return NULL;
    }
    content_write(e, c);
    if (b != NULL)
        word_set(e, (uintptr_t)b);
    return e;
}

struct entry *entry_new_string(struct slice key, struct slice value, struct wall expiry)
{
    struct content c = content_of(value, fixed_and_key_n(key.n, !wall_is_never(expiry)), false);
    return entry_with(key, &c, expiry);
}

struct entry *entry_new_blob(struct slice key, struct blob *value, struct wall expiry)
{
    struct entry *e = entry_make(key, ENTRY_BLOB, 0, expiry);
    if (e == NULL)
        return NULL;
    word_set(e, (uintptr_t)value);
    e->encoding = ENTRY_ENC_RAW;
    return e;
}

struct entry *entry_copy(const struct entry *e, struct slice key)
{
    struct entry *copy =
        entry_make(key, (enum entry_storage)e->storage, e->value_n, entry_expiry(e));
    if (copy == NULL)
        return NULL;
    if (e->storage == ENTRY_BLOB)
        blob_share(entry_blob(e));
    if (e->storage == ENTRY_INLINE)
        memcpy(value_at(copy), value_at(e), e->value_n);
    else
        word_set(copy, word_of(e));
    copy->type = e->type;
    copy->encoding = e->encoding;
    copy->clock = e->clock;
    copy->generation = e->generation;
    return copy;
}

/* The entry's own memory; its blob has gone elsewhere or has been dropped. */
static void entry_free_body(struct entry *e, struct graves *g)
{
    size_t n = entry_size(e);
    if (g != NULL && n >= GRAVE_MIN_BYTES)
        graves_bury(g, e);
    else
        mem_free_sized(e, mem_good_size(n));
}

void entry_free(struct entry *e, struct graves *g)
{
    if (e->storage == ENTRY_BLOB)
        blob_drop(entry_blob(e), g);
    entry_free_body(e, g);
}

struct blob *entry_blob(const struct entry *e)
{
    return e->storage == ENTRY_BLOB ? (struct blob *)(uintptr_t)word_of(e) : NULL;
}

bool entry_number(const struct entry *e, int64_t *v)
{
    if (e->storage == ENTRY_INLINE)
        return num_get_i64(slice_of(value_at(e), e->value_n), v);
    *v = (int64_t)word_of(e);
    return e->storage == ENTRY_NUMBER;
}

struct slice entry_value(const struct entry *e, char *scratch)
{
    if (e->storage == ENTRY_INLINE)
        return entry_inline_value(e);
    if (e->storage == ENTRY_BLOB)
        return blob_slice(entry_blob(e));
    return slice_of(scratch, num_put_i64(scratch, (int64_t)word_of(e)));
}

size_t entry_value_n(const struct entry *e)
{
    char scratch[NUM_I64_CHARS];
    return entry_value(e, scratch).n;
}

size_t entry_bytes(const struct entry *e)
{
    const struct blob *b = entry_blob(e);
    return mem_good_size(entry_size(e)) + (b != NULL ? blob_bytes(b) : 0);
}

/* `made` takes the place of *e, with all that is not its value. */
static void entry_succeed(struct entry **e, struct entry *made, struct graves *g)
{
    struct entry *old = *e;
    made->type = old->type;
    made->clock = old->clock;
    made->generation = old->generation;
    *e = made;
    entry_free(old, g);
}

/* Can the new value be written over the old one? */
static bool content_fits(const struct entry *e, const struct content *c)
{
    if (c->storage != (enum entry_storage)e->storage)
        return false;
    if (c->storage == ENTRY_INLINE)
        return mem_good_size(entry_size(e)) ==
               mem_good_size(entry_size(e) - e->value_n + c->bytes.n);
    if (c->storage == ENTRY_NUMBER)
        return true;
    const struct blob *b = entry_blob(e);
    return b->refs == 1 && c->bytes.n <= b->cap && c->bytes.n >= b->cap - b->cap / 8;
}

enum err entry_put(struct entry **at, struct slice value, struct wall expiry, struct graves *g)
{
    struct entry *e = *at;
    bool has_expiry = !wall_is_never(expiry);
    struct content c =
        content_of(value, fixed_and_key_n(entry_key(e).n, has_expiry), e->storage == ENTRY_NUMBER);
    if (has_expiry == e->has_expiry && content_fits(e, &c)) {
        if (c.storage == ENTRY_BLOB) {
            struct blob *b = entry_blob(e);
            memmove(b->p, value.p, value.n);
            b->n = value.n;
        }
        content_write(e, &c);
        if (has_expiry)
            expiry_write(e, expiry);
        return ERR_OK;
    }
    struct entry *made = entry_with(entry_key(e), &c, expiry);
    if (made == NULL)
        return ERR_NOMEM;
    entry_succeed(at, made, g);
    return ERR_OK;
}

enum err entry_put_blob(struct entry **at, struct blob *value, struct wall expiry, struct graves *g)
{
    struct entry *e = *at;
    bool has_expiry = !wall_is_never(expiry);
    if (has_expiry == e->has_expiry && e->storage == ENTRY_BLOB) {
        struct blob *old = entry_blob(e);
        word_set(e, (uintptr_t)value);
        e->encoding = ENTRY_ENC_RAW;
        if (has_expiry)
            expiry_write(e, expiry);
        blob_drop(old, g);
        return ERR_OK;
    }
    struct entry *made = entry_new_blob(entry_key(e), value, expiry);
    if (made == NULL)
        return ERR_NOMEM;
    entry_succeed(at, made, g);
    return ERR_OK;
}

enum err entry_put_number(struct entry **at, int64_t v, struct graves *g)
{
    struct entry *e = *at;
    if (e->storage == ENTRY_NUMBER) {
        word_set(e, (uint64_t)v);
        e->encoding = ENTRY_ENC_INT;
        return ERR_OK;
    }
    char text[NUM_I64_CHARS];
    return entry_put(at, slice_of(text, num_put_i64(text, v)), entry_expiry(e), g);
}

/* The blob of an entry alone with it, with room for n bytes; some to spare where it grows, so that
 * appending again and again copies each byte a bounded number of times. */
static struct blob *blob_own(struct entry *e, size_t n, struct graves *g)
{
    struct blob *b = entry_blob(e);
    size_t spare = n > SIZE_MAX - n / 4 ? 0 : n / 4;
    if (b->refs > 1) {
        struct blob *own = blob_try(n);
        if (own == NULL)
            return NULL;
        own->n = b->n < n ? b->n : n;
        memcpy(own->p, b->p, own->n);
        word_set(e, (uintptr_t)own);
        blob_drop(b, g);
        return own;
    }
    if (n > b->cap) {
        b = blob_try_grow(b, n + spare);
        if (b != NULL)
            word_set(e, (uintptr_t)b);
    }
    return b;
}

static char *edit_blob(struct entry *e, size_t n, struct graves *g)
{
    struct blob *b = blob_own(e, n, g);
    if (b == NULL)
        return NULL;
    if (n > b->n)
        memset(b->p + b->n, 0, n - b->n);
    b->n = n;
    e->encoding = ENTRY_ENC_RAW;
    return b->p;
}

/* A value in an entry of its own shape, where the old one has no room: inline or a blob by n. */
static struct entry *entry_widened(const struct entry *e, struct slice old, size_t n)
{
    if (n <= ENTRY_INLINE_MAX) {
        struct entry *made = entry_make(entry_key(e), ENTRY_INLINE, n, entry_expiry(e));
        if (made != NULL && old.n > 0)
            memcpy(value_at(made), old.p, old.n);
        return made;
    }
    struct blob *b = blob_try(n);
    if (b == NULL)
        return NULL;
    if (old.n > 0)
        memcpy(b->p, old.p, old.n);
    b->n = n;
    struct entry *made = entry_new_blob(entry_key(e), b, entry_expiry(e));
    if (made == NULL)
        blob_drop(b, NULL);
    return made;
}

char *entry_edit(struct entry **at, size_t n, struct graves *g)
{
    struct entry *e = *at;
    if (e->storage == ENTRY_BLOB)
        return edit_blob(e, n, g);
    char scratch[NUM_I64_CHARS];
    struct slice old = slice_head(entry_value(e, scratch), n);
    struct content c = {.bytes = {NULL, n}, .storage = ENTRY_INLINE};
    if (n <= ENTRY_INLINE_MAX && content_fits(e, &c)) {
        e->value_n = n & 0x3fff;
    } else {
        struct entry *made = entry_widened(e, old, n);
        if (made == NULL)
            return NULL;
        entry_succeed(at, made, g);
        e = made;
    }
    e->encoding = ENTRY_ENC_RAW;
    char *p = e->storage == ENTRY_BLOB ? entry_blob(e)->p : value_at(e);
    memset(p + old.n, 0, n - old.n);
    return p;
}

/* The same entry with or without room for an expiry. The expiry is the first thing behind the
 * header, so all the rest is one piece that shifts. NULL when memory is refused. */
static struct entry *entry_shifted(struct entry *e, bool has_expiry)
{
    size_t old_n = entry_size(e);
    size_t rest_n = old_n - sizeof(struct entry) - 8 * (size_t)e->has_expiry;
    size_t new_n = sizeof(struct entry) + 8 * (size_t)has_expiry + rest_n;
    struct entry *to = e;
    if (mem_good_size(new_n) != mem_good_size(old_n)) {
        to = mem_try(mem_good_size(new_n));
        if (to == NULL)
            return NULL;
    }
    memmove(to->body + 8 * (size_t)has_expiry, e->body + 8 * (size_t)e->has_expiry, rest_n);
    if (to != e) {
        *to = *e;
        entry_free_body(e, NULL);
    }
    to->has_expiry = has_expiry;
    return to;
}

enum err entry_set_expiry(struct entry **at, struct wall expiry)
{
    bool has_expiry = !wall_is_never(expiry);
    if (has_expiry != (*at)->has_expiry) {
        struct entry *shifted = entry_shifted(*at, has_expiry);
        if (shifted != NULL)
            *at = shifted;
        else if (has_expiry)
            return ERR_NOMEM;
    }
    if ((*at)->has_expiry)
        expiry_write(*at, expiry);
    return ERR_OK;
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* One key with its value: one allocation where the value is short.
 *
 *     8 B header | expiry 8 B | number or blob 8 B | long key's length 8 B | key | short value
 *                  \_________________ each only where needed __________________/
 *
 * A value is kept in one of three ways: its bytes behind the key, an int64 in place where that
 * takes no larger allocation, or a pointer to a blob where it is longer than ENTRY_INLINE_MAX.
 * Changing an entry may move it: whoever holds its address (a table's place) must then be told the
 * new one. A change that is refused for want of memory leaves the entry as it was.
 *
 * clock, generation and encoding are plain fields: they move with the entry, and mean what
 * evict.[ch], walker.[ch] and the commands say. */
#ifndef STORE_ENTRY_H
#define STORE_ENTRY_H

#include <assert.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/moment.h"
#include "base/num.h"

enum { ENTRY_INLINE_MAX = 1024 }; /* the entry stays in the allocator's small classes */
enum { ENTRY_EMBSTR_MAX = 44 };   /* Redis' border between embstr and raw in OBJECT ENCODING */
enum { ENTRY_KEY_LONG = 0xffff }; /* key_n says: the length stands in front of the key */
enum { ENTRY_CLOCK_MAX = (1 << 24) - 1 };

enum entry_type { ENTRY_STRING };
enum entry_storage { ENTRY_INLINE, ENTRY_NUMBER, ENTRY_BLOB };

/* What OBJECT ENCODING answers: a fact about how the value came to be, not about how it is kept. */
enum entry_encoding { ENTRY_ENC_INT, ENTRY_ENC_EMBSTR, ENTRY_ENC_RAW };

struct entry {
    uint64_t clock : 24;     /* LRU seconds, or LFU minutes and counter */
    uint64_t type : 3;       /* enum entry_type */
    uint64_t storage : 2;    /* enum entry_storage */
    uint64_t encoding : 2;   /* enum entry_encoding */
    uint64_t generation : 2; /* of the snapshot that has it */
    uint64_t has_expiry : 1; /* there is room for an expiry, which may be WALL_NEVER */
    uint64_t value_n : 14;   /* bytes of an inline value */
    uint64_t key_n : 16;     /* or ENTRY_KEY_LONG */
    char body[];
};
static_assert(sizeof(struct entry) == 8, "a header of one word");
static_assert(ENTRY_INLINE_MAX < 1 << 14, "an inline value's length fits its field");

/* A new entry, or NULL when memory is refused. entry_new_blob takes the caller's reference if it
 * succeeds. entry_copy has the value and expiry of e under another key, and shares its blob. */
struct entry *entry_new_string(struct slice key, struct slice value, struct wall expiry) MUST_CHECK;
struct entry *entry_new_blob(struct slice key, struct blob *value, struct wall expiry) MUST_CHECK;
struct entry *entry_copy(const struct entry *e, struct slice key) MUST_CHECK;
void entry_free(struct entry *e, struct graves *g); /* g may be NULL: freed at once */

/* The value; scratch has NUM_I64_CHARS, and must live as long as the slice. */
struct slice entry_value(const struct entry *e, char *scratch);
size_t entry_value_n(const struct entry *e);
bool entry_number(const struct entry *e, int64_t *v); /* is it an integer in canonical form? */
struct blob *entry_blob(const struct entry *e);       /* borrowed; NULL where there is none */

/* Memory it takes: what the allocator hands out, a blob included. */
size_t entry_bytes(const struct entry *e);

/* Another value and expiry; *e changes if it moves. In place where the allocation has the right
 * size already. The value may lie within the entry itself. entry_put_blob takes the caller's
 * reference if it succeeds. */
enum err entry_put(struct entry **e, struct slice value, struct wall expiry,
                   struct graves *g) MUST_CHECK;
enum err entry_put_blob(struct entry **e, struct blob *value, struct wall expiry,
                        struct graves *g) MUST_CHECK;
/* The expiry stays. */
enum err entry_put_number(struct entry **e, int64_t v, struct graves *g) MUST_CHECK;

/* The value made n bytes long for writing in it, new bytes zero, encoding raw, expiry as it was.
 * The bytes may be written until the entry is next changed. NULL: memory was refused. */
char *entry_edit(struct entry **e, size_t n, struct graves *g) MUST_CHECK;

/* Another expiry; WALL_NEVER takes it away, which is never refused. */
enum err entry_set_expiry(struct entry **e, struct wall expiry) MUST_CHECK;

static inline size_t entry_fixed_n(const struct entry *e) /* bytes in front of the key */
{
    return sizeof(struct entry) + 8 * ((size_t)e->has_expiry + (e->storage != ENTRY_INLINE) +
                                       (e->key_n == ENTRY_KEY_LONG));
}

static inline struct slice entry_key(const struct entry *e)
{
    if (__builtin_expect(!e->has_expiry && e->storage == ENTRY_INLINE && e->key_n < ENTRY_KEY_LONG,
                         1))
        return (struct slice){e->body, e->key_n};
    const char *key = (const char *)e + entry_fixed_n(e);
    size_t n = e->key_n;
    if (__builtin_expect(n == ENTRY_KEY_LONG, 0))
        memcpy(&n, key - sizeof(n), sizeof(n));
    return (struct slice){key, n};
}

static inline struct wall entry_expiry(const struct entry *e)
{
    struct wall expiry = WALL_NEVER;
    if (e->has_expiry)
        memcpy(&expiry, e->body, sizeof(expiry));
    return expiry;
}

/* Of an ENTRY_INLINE: its bytes, behind the key. */
static inline struct slice entry_inline_value(const struct entry *e)
{
    struct slice key = entry_key(e);
    return (struct slice){key.p + key.n, e->value_n};
}

static inline bool value_may_be_number(struct slice value)
{
    return value.n > 0 && value.n <= NUM_I64_CHARS &&
           (value.p[0] == '-' || (value.p[0] >= '0' && value.p[0] <= '9'));
}

/* The commonest put, without a question to the allocator: bytes over as many others, no expiry
 * before or after. False: it is another one, and nothing was changed. */
static inline bool entry_put_same(struct entry *e, struct slice value, struct wall expiry)
{
    if (e->storage != ENTRY_INLINE || e->value_n != value.n || e->has_expiry ||
        !wall_is_never(expiry) || value_may_be_number(value))
        return false;
    slice_copy((char *)(uintptr_t)entry_inline_value(e).p, value);
    e->encoding = value.n <= ENTRY_EMBSTR_MAX ? ENTRY_ENC_EMBSTR : ENTRY_ENC_RAW;
    return true;
}

#endif

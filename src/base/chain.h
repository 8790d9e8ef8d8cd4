/* SPDX-License-Identifier: BSD-3-Clause */

/* Output: a chain of chunks and of referenced blobs, made for writev.
 *
 *     head -> [chunk "+OK\r\n..."] -> [blob 0xabc, 20000 bytes] -> [chunk "\r\n"] <- tail
 *
 * Small bytes are copied into the tail chunk; a value of CHAIN_REF_BYTES or more is referenced. An
 * empty chain holds no memory. */
#ifndef BASE_CHAIN_H
#define BASE_CHAIN_H

#include <stdint.h>

#include "base/blob.h"
#include "base/check.h"
#include "base/slice.h"

enum { CHAIN_REF_BYTES = 16 * 1024 }; /* below this a copy is cheaper than an iovec */

struct chain_part {
    struct chain_part *next;
    struct blob *blob; /* referenced bytes; NULL: they are in own[] */
    const char *p;     /* first byte not consumed */
    uint32_t cap;      /* of own[] */
    uint32_t alloc;    /* what was asked of the allocator */
    size_t n;          /* bytes left from p */
    char own[];
};

/* the greatest chunk, of 16 KiB with its part: what allocators have a class for; the first
 * ones are smaller */
enum { CHAIN_CHUNK_BYTES = 16 * 1024 - sizeof(struct chain_part) };

struct chain {
    struct chain_part *head, *tail;
    char *at;     /* where the tail's next byte goes, */
    size_t left;  /* and how many it has room for */
    size_t n;     /* bytes in all */
    uint64_t put; /* bytes ever put in, since the chain was zeroed; put - n is what was consumed */
};

/* Bytes for an iovec. Same shape as struct iovec's fields, without its header. */
struct chain_piece {
    const char *p;
    size_t n;
};

void chain_free(struct chain *c, struct graves *g);
void chain_clear(struct chain *c); /* as chain_free, but a first chunk stays for what comes next */
void chain_put(struct chain *c, struct slice s); /* copies */
/* takes a reference of its own */
void chain_put_blob(struct chain *c, struct blob *b, size_t at, size_t n);
/* all of from, which stays as it is: small parts are copied, big values referenced */
void chain_share(struct chain *c, const struct chain *from);
/* moves all of from to the end; from is empty after */
void chain_append(struct chain *c, struct chain *from);
/* the first n bytes are done with */
void chain_consume(struct chain *c, size_t n, struct graves *g);
/* all but the first n bytes; put goes back too */
void chain_cut(struct chain *c, size_t n, struct graves *g);
/* of the first upto bytes */
size_t chain_pieces(const struct chain *c, struct chain_piece *to, size_t to_n, size_t upto);
/* the first n bytes; how many there were */
size_t chain_copy(const struct chain *c, char *to, size_t n);
/* all of it in one piece of n bytes, the caller's to free; the chain is freed */
char *chain_flat(struct chain *c, struct graves *g, size_t *n);
/* memory held, referenced blobs included */
size_t chain_bytes(const struct chain *c);

char *chain_room_more(struct chain *c, size_t n); /* chain_room's, where the tail has none */

/* n <= CHAIN_CHUNK_BYTES contiguous bytes to fill ... */
static inline char *chain_room(struct chain *c, size_t n)
{
    if (__builtin_expect(c->left < n, 0))
        return chain_room_more(c, n);
    return c->at;
}

static inline void chain_fill(struct chain *c, size_t n) /* ... of which n were */
{
    check(n <= c->left);
    c->at += n;
    c->left -= n;
    c->n += n;
    c->put += n;
    c->tail->n += n;
}

static inline bool chain_empty(const struct chain *c)
{
    return c->n == 0;
}

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/chain.h"

#include "base/check.h"
#include "base/mem.h"

/* an idle client's PONG costs no page */
enum { CHAIN_FIRST_BYTES = 512 - sizeof(struct chain_part) };

static struct chain_part *part_add(struct chain *c, uint32_t cap)
{
    uint32_t alloc = (uint32_t)(sizeof(struct chain_part) + cap);
    struct chain_part *part = mem_get(alloc);
    *part = (struct chain_part){.cap = cap, .alloc = alloc};
    part->p = part->own;
    if (c->tail != NULL)
        c->tail->next = part;
    else
        c->head = part;
    c->tail = part;
    c->at = part->own;
    c->left = cap;
    return part;
}

/* Another part is the last one now, or none. */
static void tail_set(struct chain *c, struct chain_part *part)
{
    bool has_room = part != NULL && part->blob == NULL;
    c->tail = part;
    c->at = has_room ? (char *)(uintptr_t)part->p + part->n : NULL;
    c->left = has_room ? (size_t)(part->own + part->cap - c->at) : 0;
}

static void part_free(struct chain_part *part, struct graves *g)
{
    if (part->blob != NULL)
        blob_drop(part->blob, g);
    mem_free_sized(part, part->alloc);
}

void chain_free(struct chain *c, struct graves *g)
{
    for (struct chain_part *part = c->head; part != NULL;) {
        struct chain_part *next = part->next;
        part_free(part, g);
        part = next;
    }
    *c = (struct chain){0};
}

void chain_clear(struct chain *c)
{
    struct chain_part *part = c->head;
    if (part == NULL || part->blob != NULL) {
        chain_free(c, NULL);
        return;
    }
    struct chain rest = {.head = part->next};
    chain_free(&rest, NULL);
    part->next = NULL;
    part->p = part->own;
    part->n = 0;
    *c = (struct chain){.head = part};
    tail_set(c, part);
}

char *chain_room_more(struct chain *c, size_t n)
{
    check(n <= CHAIN_CHUNK_BYTES);
    size_t cap = CHAIN_FIRST_BYTES;
    if (c->tail != NULL)
        cap = CHAIN_CHUNK_BYTES;
    part_add(c, (uint32_t)(cap < n ? n : cap));
    return c->at;
}

void chain_put(struct chain *c, struct slice s)
{
    while (s.n > 0) {
        if (c->left == 0)
            chain_room_more(c, s.n < CHAIN_CHUNK_BYTES ? s.n : CHAIN_CHUNK_BYTES);
        size_t fits = c->left < s.n ? c->left : s.n;
        memcpy(c->at, s.p, fits);
        chain_fill(c, fits);
        s = slice_from(s, fits);
    }
}

void chain_put_blob(struct chain *c, struct blob *b, size_t at, size_t n)
{
    check(at <= b->n && n <= b->n - at);
    if (n < CHAIN_REF_BYTES) {
        chain_put(c, slice_of(b->p + at, n));
        return;
    }
    struct chain_part *part = part_add(c, 0);
    part->blob = blob_share(b);
    part->p = b->p + at;
    part->n = n;
    c->n += n;
    c->put += n;
}

void chain_share(struct chain *c, const struct chain *from)
{
    for (const struct chain_part *part = from->head; part != NULL; part = part->next)
        if (part->blob != NULL)
            chain_put_blob(c, part->blob, (size_t)(part->p - part->blob->p), part->n);
        else
            chain_put(c, slice_of(part->p, part->n));
}

void chain_append(struct chain *c, struct chain *from)
{
    if (from->head == NULL)
        return;
    if (c->tail != NULL)
        c->tail->next = from->head;
    else
        c->head = from->head;
    c->tail = from->tail;
    c->at = from->at;
    c->left = from->left;
    c->n += from->n;
    c->put += from->n;
    *from = (struct chain){0};
}

void chain_consume(struct chain *c, size_t n, struct graves *g)
{
    check(n <= c->n);
    c->n -= n;
    while (c->head != NULL && n >= c->head->n) {
        struct chain_part *part = c->head;
        n -= part->n;
        c->head = part->next;
        part_free(part, g);
    }
    if (c->head == NULL) {
        tail_set(c, NULL);
        check(n == 0 && c->n == 0);
        return;
    }
    c->head->p += n;
    c->head->n -= n;
}

void chain_cut(struct chain *c, size_t n, struct graves *g)
{
    check(n <= c->n);
    uint64_t put = c->put - (c->n - n);
    struct chain kept = {0}, rest = *c;
    while (n > 0) {
        struct chain_part *part = rest.head;
        rest.head = part->next;
        part->next = NULL;
        if (part->n > n)
            part->n = n;
        n -= part->n;
        kept.n += part->n;
        if (kept.tail != NULL)
            kept.tail->next = part;
        else
            kept.head = part;
        kept.tail = part;
    }
    chain_free(&rest, g);
    tail_set(&kept, kept.tail);
    *c = kept;
    c->put = put;
}

size_t chain_pieces(const struct chain *c, struct chain_piece *to, size_t to_n, size_t upto)
{
    size_t got = 0;
    for (const struct chain_part *part = c->head; part != NULL && got < to_n && upto > 0;
         part = part->next) {
        size_t n = part->n < upto ? part->n : upto;
        if (n == 0)
            continue;
        to[got++] = (struct chain_piece){part->p, n};
        upto -= n;
    }
    return got;
}

size_t chain_copy(const struct chain *c, char *to, size_t n)
{
    size_t done = 0;
    for (const struct chain_part *part = c->head; part != NULL && done < n; part = part->next) {
        size_t take = part->n < n - done ? part->n : n - done;
        memcpy(to + done, part->p, take);
        done += take;
    }
    return done;
}

char *chain_flat(struct chain *c, struct graves *g, size_t *n)
{
    char *flat = mem_get(c->n + 1);
    *n = chain_copy(c, flat, c->n);
    chain_free(c, g);
    return flat;
}

size_t chain_bytes(const struct chain *c)
{
    size_t sum = 0;
    for (const struct chain_part *part = c->head; part != NULL; part = part->next)
        sum += part->alloc + (part->blob != NULL ? part->n : 0);
    return sum;
}

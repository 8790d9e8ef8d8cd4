/* SPDX-License-Identifier: BSD-3-Clause */
#include "resp/reply.h"

#include <hiredis/read.h>

#include "base/mem.h"

struct answer_reader {
    redisReader *hiredis;
    struct answer_limits limits;
    bool over; /* an array beyond its bound was announced */
};

/* ------------------------------------------------- what hiredis calls */

/* Where the object of this task belongs: in its array, or nowhere if it is the root. */
static struct answer *place_of(const redisReadTask *task, enum answer_kind kind)
{
    struct answer *a;
    if (task->parent != NULL)
        a = &((struct answer *)task->parent->obj)->elements[task->idx];
    else
        a = mem_get(sizeof(*a));
    *a = (struct answer){.kind = kind};
    return a;
}

static void *create_string(const redisReadTask *task, char *p, size_t n)
{
    enum answer_kind kind = task->type == REDIS_REPLY_ERROR    ? ANSWER_ERROR
                            : task->type == REDIS_REPLY_STATUS ? ANSWER_STATUS
                                                               : ANSWER_STRING;
    struct answer *a = place_of(task, kind);
    char *own = mem_get(n + 1);
    if (n > 0)
        memcpy(own, p, n);
    own[n] = '\0';
    a->text = slice_of(own, n);
    return a;
}

/* Called with the count before any element came: here is the place to refuse. */
static void *create_array(const redisReadTask *task, int n)
{
    struct answer_reader *r = task->privdata;
    if (n < 0 || (size_t)n > r->limits.elements_max) {
        r->over = true;
        return NULL;
    }
    struct answer *a = place_of(task, ANSWER_ARRAY);
    a->n = (size_t)n;
    a->elements = n > 0 ? mem_zero((size_t)n * sizeof(*a->elements)) : NULL;
    return a;
}

static void *create_integer(const redisReadTask *task, long long v)
{
    struct answer *a = place_of(task, ANSWER_INTEGER);
    a->integer = v;
    return a;
}

static void *create_nil(const redisReadTask *task)
{
    return place_of(task, ANSWER_NIL);
}

static void empty(struct answer *a)
{
    mem_free((char *)a->text.p);
    for (size_t i = 0; i < a->n; i++)
        empty(&a->elements[i]);
    mem_free(a->elements);
}

static void free_object(void *p)
{
    answer_free(p);
}

/* ----------------------------------------------------------------- ours */

struct answer_reader *answer_reader_new(const struct answer_limits *l)
{
    static const redisReplyObjectFunctions functions = {create_string, create_array, create_integer,
                                                        create_nil, free_object};
    struct answer_reader *r = mem_zero(sizeof(*r));
    r->limits = *l;
    r->hiredis = redisReaderCreateWithFunctions((redisReplyObjectFunctions *)&functions);
    if (r->hiredis == NULL) {
        mem_free(r);
        return NULL;
    }
    (void)redisReaderSetPrivdata(r->hiredis, r);
    return r;
}

void answer_reader_free(struct answer_reader *r)
{
    if (r == NULL)
        return;
    redisReaderFree(r->hiredis);
    mem_free(r);
}

enum err answer_feed(struct answer_reader *r, struct slice in)
{
    size_t waiting = r->hiredis->len - r->hiredis->pos;
    if (in.n > r->limits.bytes_max || waiting > r->limits.bytes_max - in.n)
        return ERR_LIMIT;
    if (in.n == 0 || redisReaderFeed(r->hiredis, in.p, in.n) == REDIS_OK)
        return ERR_OK;
    return r->hiredis->err == REDIS_ERR_OOM ? ERR_NOMEM : ERR_SYNTAX;
}

enum err answer_next(struct answer_reader *r, struct answer **a)
{
    void *got = NULL;
    *a = NULL;
    if (redisReaderGetReply(r->hiredis, &got) == REDIS_OK) {
        *a = got;
        return ERR_OK;
    }
    if (r->over)
        return ERR_LIMIT;
    return r->hiredis->err == REDIS_ERR_OOM ? ERR_NOMEM : ERR_SYNTAX;
}

void answer_free(struct answer *a)
{
    if (a == NULL)
        return;
    empty(a);
    mem_free(a);
}

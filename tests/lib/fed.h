/* SPDX-License-Identifier: BSD-3-Clause */

/* A batch of requests out of what came on a connection, as the shell reads them: what the node does not take stays.
 *
 *     struct fed fed;
 *     fed_read(&fed, buf_slice(&in), conn);     then, if fed.n > 0, a step with fed.batch
 *     size_t taken = fed_end(&fed, &in);        how many of fed.n it took
 */
#ifndef TESTS_LIB_FED_H
#define TESTS_LIB_FED_H

#include "node/node.h"

enum { FED_MOST = 32 };

struct fed {
    struct request_parser parser;
    struct request_arena arena;
    struct request requests[FED_MOST];
    struct node_request batch[FED_MOST];
    size_t ends[FED_MOST], n;
};

static inline void fed_read(struct fed *f, struct slice in, uint32_t conn)
{
    static const struct request_limits limits = {.bulk_max_bytes = INT32_MAX, .args_max = INT32_MAX};
    size_t at = 0, used;
    f->parser = (struct request_parser){0};
    f->arena = (struct request_arena){0};
    for (f->n = 0; f->n < FED_MOST; f->n++) {
        struct request *q = &f->requests[f->n];
        if (request_next(&f->parser, &limits, slice_from(in, at), &f->arena, q, &used) != REQUEST_WHOLE)
            return;
        at += used;
        f->ends[f->n] = at;
        f->batch[f->n] = (struct node_request){.conn = conn, .req = q};
    }
}

static inline size_t fed_end(struct fed *f, struct buf *in)
{
    size_t taken = 0;
    while (taken < f->n && f->batch[taken].taken)
        taken++;
    for (size_t i = 0; i < f->n; i++)
        request_free(&f->requests[i]);
    request_arena_free(&f->arena);
    request_parser_free(&f->parser);
    if (taken > 0)
        buf_drop_front(in, f->ends[taken - 1]);
    return taken;
}

#endif

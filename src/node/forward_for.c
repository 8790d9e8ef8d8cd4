/* SPDX-License-Identifier: BSD-3-Clause */

/* VONG.FOR <map version> <slot epoch> <quorum> <user> <client> <refused>: for whom the commands
 * behind it are run, and what whoever sends them knew. It has no reply. */
#include "base/num.h"
#include "node/cluster.h"

enum { FOR_ARGS = 7 };

/* The only one there is; who accepted the client asked for it. */
static const char for_user[] = "default";

void forward_for_put(struct chain *to, const struct forward_for *f)
{
    struct reply r = {.out = to, .protocol = 2};
    reply_array(&r, FOR_ARGS);
    reply_bulk(&r, SLICE("VONG.FOR"));
    reply_bulk_i64(&r, (int64_t)f->map);
    reply_bulk_i64(&r, (int64_t)f->epoch);
    reply_bulk_i64(&r, (int64_t)f->quorum);
    reply_bulk_str(&r, for_user);
    reply_bulk_i64(&r, (int64_t)f->client);
    reply_bulk_i64(&r, (int64_t)f->refused);
}

bool forward_for_get(const struct slice *argv, uint32_t argc, struct forward_for *f)
{
    return argc == FOR_ARGS && slice_is(argv[0], "vong.for") && num_get_u64(argv[1], &f->map) &&
           num_get_u64(argv[2], &f->epoch) && num_get_u64(argv[3], &f->quorum) &&
           f->quorum <= UINT32_MAX && num_get_u64(argv[5], &f->client) &&
           num_get_u64(argv[6], &f->refused);
}

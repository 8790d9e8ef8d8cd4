/* SPDX-License-Identifier: BSD-3-Clause */

/* The log's reader: an input as an increment behind an empty base, fed whole and in pieces. Both come
 * to the same verdict and the same commands; whatever it is, there is a verdict. Read by a lone server, and
 * by a cluster's node. */
#include <stdlib.h>

#include "base/buf.h"
#include "base/check.h"
#include "persist/aof.h"
#include "tests/fuzz/fuzz.h"

const char fuzz_name[] = "the log's reader";
FUZZ_EXAMPLES(FUZZ_EXAMPLE("#V 0 1 1 27 b6ff4b7b\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n"),
              FUZZ_EXAMPLE("*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n"),
              FUZZ_EXAMPLE("*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n*1\r\n$4\r\nEXEC\r\n"),
              FUZZ_EXAMPLE("#TS:1628217472\r\n*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n"),
              FUZZ_EXAMPLE("#V 0 0 0 43 da9b30b0\r\n*4\r\n$10\r\nVONG.EPOCH\r\n$1\r\n7\r\n$1\r\n0\r\n$2\r\n99\r\n"
                           "#V 5 7 1 27 46953ebe\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n"),
              FUZZ_EXAMPLE("#S 0 8a9136aa\r\n#V 0 1 1 4 00000000\r\nabcd"), FUZZ_EXAMPLE("REDIS0010\xfa\x09redis-ver"));

static enum aof_verdict read_as(struct slice in, size_t piece, struct lineage *slots, struct buf *seen)
{
    struct aof_reader r;
    struct aof_batch batch = {0};
    aof_open(&r, &(struct aof_options){.dbs_n = 16, .slots = slots, .cut_torn = true, .dir = "dir"});
    aof_file(&r, "x.1.incr.aof", false, in.n);
    size_t at = 0, have = 0;
    while (at < in.n || have == 0) {
        have = in.n - have > piece ? have + piece : in.n;
        char *exact = malloc(have - at + 1);
        memcpy(exact, in.p + at, have - at);
        aof_batch_clear(&batch);
        size_t used = aof_feed(&r, slice_of(exact, have - at), have == in.n, &batch, 8);
        check(used <= have - at);
        for (size_t i = 0; i < batch.commands.n; i++)
            for (uint32_t k = 0; k < batch.commands.at[i].argc; k++)
                check(buf_add(seen, aof_argv(&batch, i)[k]) == ERR_OK && buf_add(seen, SLICE("|")) == ERR_OK);
        free(exact);
        at += used;
        if (in.n == 0)
            break;
        check(used > 0 || have < in.n); /* all of it is used in the end */
    }
    enum aof_verdict verdict = aof_verdict(&r);
    check(verdict == AOF_WHOLE || r.text[0] != '\0');
    aof_batch_free(&batch);
    return verdict;
}

static enum aof_verdict read_in(struct slice in, size_t piece, bool in_cluster, struct buf *seen)
{
    struct lineage *slots = in_cluster ? lineages_new(SLOTS) : NULL;
    enum aof_verdict verdict = read_as(in, piece, slots, seen);
    for (unsigned slot = 0; in_cluster && slot < SLOTS; slot++)
        lineage_check(&slots[slot]);
    if (in_cluster)
        lineages_free(slots, SLOTS);
    return verdict;
}

static void read_both(struct slice in, bool in_cluster)
{
    struct buf whole, pieces;
    buf_init(&whole, SIZE_MAX / 2);
    buf_init(&pieces, SIZE_MAX / 2);
    enum aof_verdict a = read_in(in, in.n > 0 ? in.n : 1, in_cluster, &whole);
    enum aof_verdict b = read_in(in, 7, in_cluster, &pieces);
    check(a == b);
    check(slice_equal(buf_slice(&whole), buf_slice(&pieces)));
    buf_free(&whole);
    buf_free(&pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct slice in = slice_of(p, n);
    read_both(in, false);
    read_both(in, true);
    return 0;
}

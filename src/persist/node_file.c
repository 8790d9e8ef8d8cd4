/* SPDX-License-Identifier: BSD-3-Clause */
#include "persist/node_file.h"

#include <stdio.h>

#include "base/hash.h"
#include "base/num.h"
#include "base/words.h"

static const char opening[] =
    "# Who this node of a Vong cluster is. Kept by the server: do not edit, and never copy it.\n";

static void put_text(struct chain *to, const char *text)
{
    chain_put(to, slice_str(text));
}

static void put_hex_line(struct chain *to, const char *word, const uint8_t *b, size_t n)
{
    char hex[2 * 20];
    num_put_hex_bytes(hex, b, n);
    put_text(to, word);
    chain_put(to, slice_of(hex, 2 * n));
    put_text(to, "\n");
}

static uint32_t crc_of(const struct chain *c)
{
    struct chain_piece piece[8];
    size_t n = chain_pieces(c, piece, 8, c->n);
    uint32_t crc = 0;
    for (size_t i = 0; i < n; i++)
        crc = crc32c(crc, slice_of(piece[i].p, piece[i].n));
    return crc;
}

void identity_put(struct chain *to, const struct identity *i)
{
    char line[128], crc[8];
    check(i->peers.n <= IDENTITY_PEERS && to->n == 0);
    put_text(to, opening);
    if (i->in_cluster)
        put_hex_line(to, "cluster ", i->cluster.b, sizeof(i->cluster.b));
    else
        put_text(to, "cluster -\n");
    put_hex_line(to, "node ", i->node.b, sizeof(i->node.b));
    put_hex_line(to, "data ", i->data.b, sizeof(i->data.b));
    put_hex_line(to, "voter ", i->voter.b, sizeof(i->voter.b));
    snprintf(line, sizeof(line), "incarnation %u\n", (unsigned)i->incarnation);
    put_text(to, line);
    for (size_t p = 0; p < i->peers.n; p++) {
        snprintf(line, sizeof(line), "peer %s %u\n", i->peers.at[p].ip,
                 (unsigned)i->peers.at[p].cluster_port);
        put_text(to, line);
    }
    num_put_hex(crc, crc_of(to), sizeof(crc));
    put_text(to, "crc ");
    chain_put(to, slice_of(crc, sizeof(crc)));
    put_text(to, "\n");
}

/* ---------------------------------------------------------------- reading */

static bool get_hex(struct slice s, uint8_t *b, size_t n)
{
    if (s.n != 2 * n)
        return false;
    for (size_t i = 0; i < n; i++) {
        uint64_t v;
        if (!num_get_hex(slice_of(s.p + 2 * i, 2), &v))
            return false;
        b[i] = (uint8_t)v;
    }
    return true;
}

static bool get_peer(struct identity *i, const struct slice *w)
{
    uint64_t port;
    if (i->peers.n == IDENTITY_PEERS || w[1].n == 0 || w[1].n >= IP_BYTES ||
        !num_get_u64(w[2], &port) || port == 0 || port > UINT16_MAX)
        return false;
    struct identity_peer *p = vec_add(&i->peers);
    *p = (struct identity_peer){.cluster_port = (uint16_t)port};
    memcpy(p->ip, w[1].p, w[1].n);
    return true;
}

enum {
    HAS_CLUSTER = 1,
    HAS_NODE = 2,
    HAS_DATA = 4,
    HAS_INCARNATION = 8,
    HAS_VOTER = 16,
    HAS_ALL = 31
};

/* What the line brought, as HAS_x, or -1: it is not one of ours. */
static int get_line(struct identity *i, const struct slice *w, size_t n)
{
    uint64_t v;
    if (n == 2 && slice_is(w[0], "cluster")) {
        i->in_cluster = !slice_is(w[1], "-");
        return !i->in_cluster || get_hex(w[1], i->cluster.b, sizeof(i->cluster.b)) ? HAS_CLUSTER
                                                                                   : -1;
    }
    if (n == 2 && slice_is(w[0], "node"))
        return get_hex(w[1], i->node.b, sizeof(i->node.b)) ? HAS_NODE : -1;
    if (n == 2 && slice_is(w[0], "data"))
        return get_hex(w[1], i->data.b, sizeof(i->data.b)) ? HAS_DATA : -1;
    if (n == 2 && slice_is(w[0], "voter"))
        return get_hex(w[1], i->voter.b, sizeof(i->voter.b)) ? HAS_VOTER : -1;
    if (n == 2 && slice_is(w[0], "incarnation")) {
        if (!num_get_u64(w[1], &v) || v == 0 || v >= UINT32_MAX)
            return -1;
        i->incarnation = (uint32_t)v;
        return HAS_INCARNATION;
    }
    if (n == 3 && slice_is(w[0], "peer"))
        return get_peer(i, w) ? 0 : -1;
    return -1;
}

/* The bytes before the last line, whose crc they must have. */
static enum err take_crc(struct slice file, struct slice *body)
{
    static const size_t line_n = sizeof("crc 01234567\n") - 1;
    uint64_t crc;
    if (file.n < line_n || file.n > IDENTITY_BYTES)
        return ERR_SYNTAX;
    struct slice line = slice_from(file, file.n - line_n);
    if (memcmp(line.p, "crc ", 4) != 0 || line.p[line_n - 1] != '\n' ||
        !num_get_hex(slice_of(line.p + 4, 8), &crc))
        return ERR_SYNTAX;
    *body = slice_head(file, file.n - line_n);
    return crc32c(0, *body) == crc ? ERR_OK : ERR_CORRUPT;
}

enum err identity_get(struct identity *i, struct slice file)
{
    struct slice body;
    int has = 0;
    TRY(take_crc(file, &body));
    while (body.n > 0) {
        const char *end = memchr(body.p, '\n', body.n);
        if (end == NULL)
            return ERR_SYNTAX;
        struct slice line = slice_of(body.p, (size_t)(end - body.p));
        body = slice_from(body, line.n + 1);
        if (line.n == 0 || line.p[0] == '#')
            continue;
        struct words w = {0};
        int got = words_split(&w, line) == ERR_OK ? get_line(i, w.list.at, w.list.n) : -1;
        words_free(&w);
        if (got < 0)
            return ERR_SYNTAX;
        has |= got;
    }
    i->is_known = true;
    return has == HAS_ALL ? ERR_OK : ERR_SYNTAX;
}

void identity_free(struct identity *i)
{
    vec_free(&i->peers);
}

void identity_store(struct steps *s, const char *name, const struct identity *i)
{
    char aside[DISK_NAME_BYTES];
    struct chain bytes = {0};
    snprintf(aside, sizeof(aside), "%s.tmp", name);
    identity_put(&bytes, i);
    step_unlink(s, aside); /* what a crash left of the last one */
    step_open(s, IDENTITY_HANDLE, aside);
    step_write(s, IDENTITY_HANDLE, &bytes);
    step_sync(s, IDENTITY_HANDLE);
    step_close(s, IDENTITY_HANDLE);
    step_rename(s, aside, name);
    step_sync_dir(s, name);
}

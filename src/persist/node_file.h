/* SPDX-License-Identifier: BSD-3-Clause */

/* Who this node is: cluster-config-file, a small text in `dir`.
 *
 *     # Who this node of a Vong cluster is. Kept by the server: do not edit, and never copy it.
 *     cluster <40 hex, or ->
 *     node <40 hex>
 *     data <32 hex>                 of its appendonlydir
 *     voter <32 hex>                of its controllers' log
 *     incarnation <n>
 *     peer <ip> <cluster port>      any number: where members were reached last
 *     crc <8 hex>
 *
 * crc is CRC-32C over the bytes before its line. It is replaced whole: written aside, synced,
 * renamed, its directory synced. A node without one was never started. */
#ifndef PERSIST_NODE_FILE_H
#define PERSIST_NODE_FILE_H

#include "base/chain.h"
#include "base/vec.h"
#include "core/types.h"
#include "persist/steps.h"

enum { IDENTITY_PEERS = 64 };        /* enough to find one that lives */
enum { IDENTITY_BYTES = 16 * 1024 }; /* more is no file of ours */
/* Of the performer's files; raft_file has the first ones. */
enum { IDENTITY_HANDLE = 8 };

struct identity_peer {
    char ip[IP_BYTES];
    uint16_t cluster_port;
};

struct identity {
    bool is_known; /* false: never started */
    bool in_cluster;
    struct cluster_id cluster; /* if so */
    struct node_id node;
    struct data_id data, voter;
    uint32_t incarnation; /* of the newest start */
    VEC(struct identity_peer) peers;
};

void identity_put(struct chain *to, const struct identity *i);
/* ERR_SYNTAX, ERR_CORRUPT; i: zeroed. */
enum err identity_get(struct identity *i, struct slice file) MUST_CHECK;
void identity_free(struct identity *i);

/* The file `name` becomes i; until then it lies aside, as `name`.tmp with IDENTITY_HANDLE. */
void identity_store(struct steps *s, const char *name, const struct identity *i);

#endif

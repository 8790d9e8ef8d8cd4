/* SPDX-License-Identifier: BSD-3-Clause */

/* The cluster as CLUSTER INFO, NODES, SLOTS, SHARDS and LINKS show it: in the forms that
 * client libraries parse. A slot without a primary is shown under its last one, so that
 * all are covered. */
#ifndef NODE_CLUSTER_TEXT_H
#define NODE_CLUSTER_TEXT_H

#include "base/buf.h"
#include "core/map/plane_word.h"
#include "resp/resp_write.h"

enum { NODE_ID_CHARS = 40 };

struct cluster;
struct node;

void cluster_id_text(const struct node_id *id, char to[NODE_ID_CHARS]);
/* NULL: nothing is known. */
const struct word_peer *cluster_peer(const struct cluster *c, uint16_t place);
void cluster_info_text(struct node *n, struct buf *to);
void cluster_nodes_text(struct node *n, struct buf *to);
/* Who has copies of its slots. */
void cluster_replicas_reply(struct node *n, struct reply *r, uint16_t of);
void cluster_role_reply(struct node *n, struct reply *r);
/* INFO: connected_slaves, slave0 ... */
void cluster_followers_text(struct node *n, struct buf *to);
/* INFO: what this node has copies of, how its own are kept. */
void cluster_copies_text(struct node *n, struct buf *to);
void cluster_slots_reply(struct node *n, struct reply *r);
void cluster_shards_reply(struct node *n, struct reply *r);
void cluster_links_reply(struct node *n, struct reply *r);

#endif

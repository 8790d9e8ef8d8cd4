/* SPDX-License-Identifier: BSD-3-Clause */

/* Copies of the data on disk, as INFO tells of them. */
#ifndef NODE_SAVE_H
#define NODE_SAVE_H

#include "base/buf.h"

struct node;

void save_put_state(struct buf *b, struct node *n);   /* rdb_*: backups */
void save_put_rewrite(struct buf *b, struct node *n); /* aof_*: rewrites */
void save_put_sizes(struct buf *b, struct node *n);   /* aof_*_size */

#endif

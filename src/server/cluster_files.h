/* SPDX-License-Identifier: BSD-3-Clause */

/* What a start finds of this node's past in a cluster: cluster-config-file, the directory raft */
#ifndef SERVER_CLUSTER_FILES_H
#define SERVER_CLUSTER_FILES_H

#include <stddef.h>

#include "base/vec.h"
#include "persist/node_file.h"
#include "persist/raft_file.h"

struct cluster_files {
    struct identity identity;
    struct raft_loaded loaded;    /* its entries' bytes lie in */
    VEC(struct raft_found) found; /* whose names and bytes are owned */
};

/* f: zeroed. False: why says what is wrong, and what to do. */
bool cluster_files_read(struct cluster_files *f, const char *node_file, char *why, size_t why_n);
void cluster_files_free(struct cluster_files *f);

#endif

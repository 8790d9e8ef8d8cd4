/* SPDX-License-Identifier: BSD-3-Clause */

/* A member of a cluster, as its directives want it. */
#ifndef SERVER_CLUSTER_CONFIG_H
#define SERVER_CLUSTER_CONFIG_H

#include "conf/options.h"
#include "control/control.h"

/* Borrows from o. False: why names the directive, what is wrong and what to do. */
bool cluster_configure(struct control_config *c, const struct options *o, char *why, size_t why_n);
/* The part of it that says where this node is reached. */
bool cluster_endpoint(struct endpoint *at, const struct options *o, char *why, size_t why_n);
int cluster_port_of(const struct options *o);
/* Where the cluster port listens: at `bind`, but without cluster-secret at its loopback addresses
 * alone, or at loopback. The words are borrowed from o or static; to: its array is the caller's. */
void cluster_bind(const struct options *o, struct option_words *to);
/* What an operator is to know of this configuration, a line each. */
void cluster_config_notes(const struct options *o, struct log *log);

#endif

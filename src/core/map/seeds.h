/* SPDX-License-Identifier: BSD-3-Clause */

/* "host:port,host:port@cluster-port": where members of a cluster may be reached, as an operator
 * says it. Without a cluster port it is the port + 10000. */
#ifndef CORE_MAP_SEEDS_H
#define CORE_MAP_SEEDS_H

#include <stdbool.h>

#include "base/slice.h"
#include "core/types.h"

const char *seeds_wrong(
    struct slice seeds); /* what is wrong with them; NULL: nothing, or there are none */
/* The n-th of seeds that are not wrong; port: the cluster port. False: there are not so many. */
bool seeds_at(struct slice seeds, size_t n, char host[HOSTNAME_BYTES], uint16_t *port);

#endif

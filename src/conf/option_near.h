/* SPDX-License-Identifier: BSD-3-Clause */

/* The known name nearest to a mistyped one, if one is near enough to be worth saying. */
#ifndef CONF_OPTION_NEAR_H
#define CONF_OPTION_NEAR_H

#include "base/slice.h"

struct near {
    struct slice name; /* as typed */
    const char *best;  /* NULL: none is near */
    size_t distance;   /* of best */
};

void near_offer(struct near *near, const char *candidate);

#endif

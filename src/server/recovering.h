/* SPDX-License-Identifier: BSD-3-Clause */

/* vong-server --controller-log, and --recover-controller: the way back when a majority of the
 * voters is lost for ever (replication 18; control/recover.h). Both end the program. */
#ifndef SERVER_RECOVERING_H
#define SERVER_RECOVERING_H

#include "conf/options.h"

int recovering_run(const struct options *o, bool recovers); /* the exit code */

#endif

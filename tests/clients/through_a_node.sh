#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# Plain clients at one member of a cluster of three, which forwards what is not its own.
exec sh "$(dirname "$0")/clients.sh" --mode node "$@"

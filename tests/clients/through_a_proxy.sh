#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# Plain clients at a vong-proxy before a cluster of three.
exec sh "$(dirname "$0")/clients.sh" --mode proxy "$@"

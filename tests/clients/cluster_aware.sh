#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# Cluster libraries and tools in a cluster of three, while members come, die and return.
exec sh "$(dirname "$0")/clients.sh" --mode cluster "$@"

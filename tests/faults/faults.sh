#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# The claims that fit into make check.
exec "$(dirname "$0")/run" --check

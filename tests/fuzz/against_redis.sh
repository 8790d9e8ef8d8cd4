#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Random commands against vong-server and a live redis-server, as TAP.
exec "${PYTHON:-python3}" "${srcdir:-.}/tests/fuzz/differential.py" "$@"

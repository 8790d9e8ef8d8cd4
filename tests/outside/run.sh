#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# Runs outside tests with pytest and tells their results as TAP:  run.sh test_startup.py ...
here=$(cd "$(dirname "$0")" && pwd)
if [ "${PYTHON:-no}" = no ]; then
    for candidate in python3 /usr/bin/python3; do
        $candidate -c 'import redis, pytest' 2>/dev/null && PYTHON=$candidate && break
    done
fi
if [ "${PYTHON:-no}" = no ]; then
    echo "Bail out! No python3 with redis and pytest: deps/install --tests installs them."
    exit 99
fi
top_builddir=${top_builddir:-$here/../../build}
export top_builddir
PYTHONDONTWRITEBYTECODE=1 exec "$PYTHON" -m pytest -p no:cacheprovider --tap -q --rootdir "$here" "$@"

# SPDX-License-Identifier: BSD-3-Clause
#
# Claims about what a program says, as TAP. Sourced; what is tested comes from the environment (README.md), what the
# program says goes to $out, and $tmp is a directory that is deleted at the end.
host=${VONG_HOST:-127.0.0.1} port=${VONG_PORT:-6379}
tmp=$(mktemp -d "${TMPDIR:-/tmp}/vong-cli.XXXXXX") || exit 99
trap 'rm -rf "$tmp"' EXIT
out=$tmp/out
n=0

# claim TITLE EXPRESSION: true when the expression is; what was said last is shown when it is not.
claim() {
    n=$((n + 1))
    if eval "$2"; then
        echo "ok $n - $1"
    else
        echo "not ok $n - $1"
        echo "# not so: $2"
        tr '\r' '\n' <"$out" | tail -n 30 | cut -c 1-300 | sed 's/^/# /'
    fi
}

said() { grep -qE -- "$1" "$out"; }                   # a line of what was said matches
is() { [ "$(cat "$out")" = "$1" ]; }                  # all that was said
counts() { [ "$(grep -cE -- "$1" "$out")" = "$2" ]; } # so many lines of it match

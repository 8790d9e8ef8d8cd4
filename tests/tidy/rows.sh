#!/bin/sh
# A command is a row of commands.def: documented in the manual page and tried from outside. A message between
# nodes is a row of wire.def: documented in docs/internals/wire.md and read back by a unit test.
here=$(cd "$(dirname "$0")" && pwd)
. "$here/tap.sh"
root=${TIDY_ROOT:-${srcdir:-.}}
build=${TIDY_BUILD:-${top_builddir:-.}}
wrong=$tidy_tmp/wrong
cd "$root" || exit 99
page=$build/man/vong-commands.7
[ -f "$page" ] || page=$tidy_tmp/none

# CMD(ID, "name", ... and SUB(CONTAINER, ID, "container", "name", ...
awk -F'"' '/^CMD\(/ { print $2 } /^SUB\(/ { print $2 "|" $4 }' src/cmd/commands.def 2>/dev/null |
    sort >"$tidy_tmp/rows"
: >"$wrong"
seen "$(wc -l <"$tidy_tmp/rows")" "$wrong"
claim "there are rows of commands" "$wrong"

: >"$tidy_tmp/page"
[ -f "$page" ] && sed 's/\\-/-/g; s/\\&//g' "$page" | tr '[:upper:]' '[:lower:]' >"$tidy_tmp/page"
while read -r row; do
    grep -qF "$(echo "$row" | tr '|' ' ')" "$tidy_tmp/page" || echo "$row"
done <"$tidy_tmp/rows" >"$wrong"
[ -s "$tidy_tmp/rows" ] || echo "no rows" >"$wrong"
claim "every command is in vong-commands(7)" "$wrong"

find tests/outside tests/fuzz tests/clients -type f 2>/dev/null |
    xargs cat /dev/null 2>/dev/null | tr '[:upper:]' '[:lower:]' | tr -cs 'a-z0-9_\n-' ' ' >"$tidy_tmp/tests"
while read -r row; do
    grep -qE "(^| )$(echo "$row" | tr '|' ' ')( |\$)" "$tidy_tmp/tests" || echo "$row"
done <"$tidy_tmp/rows" >"$wrong"
[ -s "$tidy_tmp/rows" ] || echo "no rows" >"$wrong"
claim "every command is tried from outside" "$wrong"

# MSG(ID, "name", ...
sed -n 's/^MSG(\([A-Z0-9_]*\), *"\([^"]*\)".*/\1 \2/p' src/wire/wire.def 2>/dev/null >"$tidy_tmp/messages"
: >"$wrong"
seen "$(wc -l <"$tidy_tmp/messages")" "$wrong"
while read -r id name; do
    grep -qF "\`$name" docs/internals/wire.md 2>/dev/null || echo "$name"
done <"$tidy_tmp/messages" >>"$wrong"
claim "every message between nodes is in docs/internals/wire.md" "$wrong"

: >"$wrong"
seen "$(wc -l <"$tidy_tmp/messages")" "$wrong"
while read -r id name; do
    grep -qw "WIRE_$id" tests/unit/*.c 2>/dev/null || echo "$name"
done <"$tidy_tmp/messages" >>"$wrong"
claim "every message between nodes is written and read in tests/unit" "$wrong"
finish

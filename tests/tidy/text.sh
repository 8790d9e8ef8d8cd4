#!/bin/sh
# What can be said about the source text alone.
here=$(cd "$(dirname "$0")" && pwd)
. "$here/tap.sh"
root=${TIDY_ROOT:-${srcdir:-.}}
long=${TIDY_LONG:-$here/long}
wrong=$tidy_tmp/wrong
cd "$root" || exit 99

find src tests/unit tests/lib tests/sim tests/fuzz tests/bench -name '*.[ch]' 2>/dev/null | sort >"$tidy_tmp/all"
find src -name '*.[ch]' -o -name '*.def' | sort >"$tidy_tmp/src"
: >"$wrong"
seen "$(wc -l <"$tidy_tmp/src")" "$wrong"
sed 's|.*/||' "$tidy_tmp/src" | grep '\.[ch]$' | sort | uniq -d >"$tidy_tmp/twice"
sed 's/$/: twice in the tree/' "$tidy_tmp/twice" >>"$wrong"
claim "every base name is there once" "$wrong"

# A function's lines: from a line that begins at the margin and opens with "{" on a line of its own to
# the closing "}" at the margin.
xargs awk '
    FNR == 1 { name = ""; open = 0 }
    /^[A-Za-z_].*\(/ && !/;[ \t]*$/ { head = $0; sub(/\(.*/, "", head); sub(/.*[ *]/, "", head); name = head }
    /^{/ && name != "" { open = FNR }
    /^}/ { if (open > 0 && FNR - open - 1 > 70) print FILENAME ":" name; open = 0; name = "" }
    ' <"$tidy_tmp/all" | sort >"$tidy_tmp/over"
while read -r file; do
    [ "$(wc -l <"$file")" -le 1200 ] || echo "$file"
done <"$tidy_tmp/all" >>"$tidy_tmp/over"
sort -o "$tidy_tmp/over" "$tidy_tmp/over"
sed '/^#/d; s/ .*//; /^$/d' "$long" | sort >"$tidy_tmp/known"
comm -23 "$tidy_tmp/over" "$tidy_tmp/known" >"$wrong"
claim "no function is over 70 lines and no file over 1200, but those that say why" "$wrong"
comm -13 "$tidy_tmp/over" "$tidy_tmp/known" >"$wrong"
claim "the list of long ones names none that is short" "$wrong"
awk '!/^#/ && NF == 1' "$long" >"$wrong"
claim "the list of long ones gives each its reason" "$wrong"

xargs grep -nE '(TODO|FIXME|XXX:)|^[ 	]*#[ 	]*if[ 	]+0' /dev/null <"$tidy_tmp/all" >"$wrong"
claim "nothing is left to do later, and no code is switched off" "$wrong"

xargs grep -nE '^[ 	]*typedef[ 	]+(struct|union|enum)' /dev/null <"$tidy_tmp/src" >"$wrong"
claim "a struct is called struct: no typedef hides one" "$wrong"

xargs awk 'FNR == 1 && $0 !~ /^\/\* SPDX-License-Identifier: BSD-3-Clause \*\/$/ { print FILENAME }' \
    <"$tidy_tmp/all" >"$wrong"
claim "every file opens with its licence" "$wrong"

: >"$wrong"
for part in $(find src -name part.am); do
    [ -s "$(dirname "$part")/README.md" ] || echo "$(dirname "$part") has no README.md"
done >"$wrong"
claim "every room has a README" "$wrong"

find src -name '*.[ch]' | sort >"$tidy_tmp/sources"
: >"$wrong"
seen "$(wc -l <"$tidy_tmp/sources")" "$wrong"
xargs awk 'length($0) > 100 { print FILENAME ":" FNR }' /dev/null <"$tidy_tmp/sources" >>"$wrong"
claim "no line of a source is over 100 columns" "$wrong"

: >"$wrong"
seen "$(wc -l <"$tidy_tmp/sources")" "$wrong"
if clang-format --version 2>/dev/null | grep -q 'version 14\.'; then
    while read -r file; do
        clang-format "$file" | cmp -s - "$file" || echo "$file: clang-format -i mends it"
    done <"$tidy_tmp/sources" >>"$wrong"
    has_formatter=yes
fi
if [ -s "$wrong" ] || [ "${has_formatter:-no}" = yes ]; then
    claim "the sources are as .clang-format lays them out" "$wrong"
else
    skip "the sources are as .clang-format lays them out" "clang-format 14 is not installed"
fi
finish

#!/bin/sh
# What lies in the tree is also built, checked and in the tarball.
here=$(cd "$(dirname "$0")" && pwd)
. "$here/tap.sh"
root=${TIDY_ROOT:-${srcdir:-.}}
wrong=$tidy_tmp/wrong
cd "$root" || exit 99

find src tests -name part.am -exec cat {} + >"$tidy_tmp/parts"
find src tests -name '*.[ch]' -o -name '*.def' | grep -v '^tests/tidy/bad/' | sort >"$tidy_tmp/files"
while read -r file; do
    grep -qF "$file" "$tidy_tmp/parts" || echo "$file is in no part.am"
done <"$tidy_tmp/files" >"$wrong"
seen "$(wc -l <"$tidy_tmp/files")" "$wrong"
claim "every source is named by a part.am" "$wrong"

find src tests -name part.am | grep -v '^tests/tidy/bad/' | while read -r part; do
    grep -qxF "include $part" Makefile.am || echo "$part"
done >"$wrong"
claim "every part.am is included by Makefile.am" "$wrong"
finish

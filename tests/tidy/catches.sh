#!/bin/sh
# A test that cannot fail proves nothing: on a tree where everything is wrong (tests/tidy/bad), and on an
# empty one, every claim of the other scripts is refused.
here=$(cd "$(dirname "$0")" && pwd)
. "$here/tap.sh"
bad=$tidy_tmp/bad
empty=$tidy_tmp/empty
build=$tidy_tmp/build
mkdir -p "$empty/src" "$empty/tests" "$build" "$bad"
: >"$empty/Makefile.am"
(cd "$here/bad" && tar cf - .) | (cd "$bad" && tar xf -)
chmod -R u+w "$bad"
mkdir -p "$bad/tests/unit"
long=$bad/long

{ # One function of 71 lines, in a file of more than 1200.
    echo '/* SPDX-License-Identifier: BSD-3-Clause */'
    echo 'void store_lengthy(void);'
    echo 'void store_lengthy(void)'
    echo '{'
    awk 'BEGIN { for (i = 0; i < 71; i++) print "    ;"; }'
    echo '}'
    awk 'BEGIN { for (i = 0; i < 1200; i++) print ""; }'
} >"$bad/src/store/lengthy.c"

run() { # script, tree, build
    TIDY_ROOT=$2 TIDY_BUILD=$3 TIDY_LONG=$long sh "$here/$1" 2>&1
}

for script in includes.sh text.sh listed.sh objects.sh links.sh rows.sh; do
    run $script "$empty" "$empty"
    run $script "$bad" "$empty"
done >"$tidy_tmp/said"

# And once more with archives to look at.
(cd "$build" && ${CC:-cc} -c "$bad/src/store/upward.c" -I"$bad/src" -o upward.o && ar cr libstore.a upward.o &&
    ${CC:-cc} -c "$bad/src/store/lengthy.c" -o lengthy.o && ar cr libbase.a lengthy.o) || exit 99
for script in objects.sh links.sh; do
    run $script "$bad" "$build"
done >>"$tidy_tmp/said"

sed -n 's/^not ok [0-9]* - //p' "$tidy_tmp/said" | sort -u >"$tidy_tmp/refused"
for script in includes.sh text.sh listed.sh objects.sh links.sh rows.sh; do
    wrong=$tidy_tmp/wrong
    : >"$wrong"
    # The titles as the script writes them; a title with a variable counts by its constant ends.
    sed -n 's/^ *claim "\([^"]*\)".*/\1/p; s/^ *"\(.*\)"$/\1/p; s/^only .*"\([^"]*\)"$/\1/p' "$here/$script" |
        sort -u >"$tidy_tmp/titles"
    seen "$(wc -l <"$tidy_tmp/titles")" "$wrong"
    while read -r title; do
        case $title in
        '$3') continue ;; # a function's own claim: its callers give the title
        *'$room'*) pattern=$(printf '%s' "$title" | sed 's/\$room/[a-z\/]*/') ;;
        *) pattern=$title ;;
        esac
        grep -qx "$pattern" "$tidy_tmp/refused" || echo "$title" >>"$wrong"
    done <"$tidy_tmp/titles"
    claim "every claim of $script is refused where it is false" "$wrong"
done
finish

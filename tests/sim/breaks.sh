#!/bin/sh
# The simulator can fail: each promise that the false world breaks is noticed within its seeds.
here=$(cd "$(dirname "$0")" && pwd)
sim=${top_builddir:-.}/vong-sim-few
n=0
echo "1..$(($(grep -c '^[a-z]' "$here/breaks.list") + 1))"
"$sim" --help | sed -n 's/^  \([a-z-]*\)$/\1/p' | sort >"breaks-$$.tmp"
trap 'rm -f "breaks-$$.tmp"' EXIT
said=$(grep '^[a-z]' "$here/breaks.list" | cut -d' ' -f1 | sort | diff - "breaks-$$.tmp") && good=ok || good="not ok"
echo "$good 1 - tests/sim/breaks.list has a line for each way to break a promise"
[ -z "$said" ] || echo "$said" | sed 's/^/# /'
n=1
while read -r rule seeds what; do
    case $rule in '' | '#'*) continue ;; esac
    n=$((n + 1))
    said=$("$sim" --seeds "$seeds" --break "$rule" --until-wrong 2>&1)
    if [ $? -eq 0 ] || echo "$said" | grep -q 'a fact does not hold'; then # or a node's own check noticed it
        echo "ok $n - it is noticed when $what"
    else
        echo "not ok $n - it is noticed when $what"
    fi
    echo "$said" | cut -c1-300 | sed 's/^[^#]/# &/'
done <"$here/breaks.list"

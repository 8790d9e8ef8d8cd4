#!/bin/sh
# Seeds through the false world, VONG_SEEDS of them; for some two runs must give one trace.
sim=${top_builddir:-.}/vong-sim
[ -n "$SANITIZED" ] && seeds=30 || seeds=120
echo 1..2
tell() { # number, title, the run's output on standard input, its code in $code
    [ "$code" -eq 0 ] && echo "ok $1 - $2" || echo "not ok $1 - $2"
    cat "$said"
}
said=$(mktemp)
trap 'rm -f "$said"' EXIT
"$sim" --seed 1 --seeds "${VONG_SEEDS:-$seeds}" >"$said" 2>&1
code=$?
tell 1 "what is promised after crashes and on bad disks holds for every seed"
"$sim" --seed 1000 --seeds 5 --twice >"$said" 2>&1
code=$?
tell 2 "a seed gives the same trace in every run"

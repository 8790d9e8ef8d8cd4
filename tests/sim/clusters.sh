#!/bin/sh
# Seeds of clusters through the false world; for some of them two runs must give one trace. Most run with fewer slots,
# which makes them ten times as many in the same time; some with all of them. VONG_CLUSTER_SEEDS=100 is the long form, for
# by hand. Beside sanitizers there are two seeds, with all slots: that spares that build a program.
sim=${top_builddir:-.}/vong-sim
said=$(mktemp)
trap 'rm -f "$said"' EXIT
n=0
tell() { # title; then a simulator and what it is to run
    n=$((n + 1))
    title=$1
    shift
    "$@" >"$said" 2>&1 && echo "ok $n - $title" || echo "not ok $n - $title"
    cat "$said"
}
seeds() { # so many of a hundred
    echo $(((${VONG_CLUSTER_SEEDS:-25} * $1 + 99) / 100))
}
if [ -n "$SANITIZED" ]; then
    echo 1..2
    tell "with two copies no end of one node loses anything, and in the end all copies are equal" \
        "$sim" --nodes 3 --copies 2 --seed 3001
    tell "the same, and clients of proxies get their own answers" "$sim" --nodes 4 --copies 2 --proxies 2 --seed 8001
    exit
fi
echo 1..12
tell "what a cluster promises holds for every seed: one server a slot, histories in order, and progress in the end" \
    "$sim-few" --nodes 3 --seed 1 --seeds "$(seeds 100)"
tell "the same of five nodes" "$sim-few" --nodes 5 --seed 2001 --seeds "$(seeds 60)"
tell "with two copies no end of one node loses anything, and in the end all copies are equal" \
    "$sim-few" --nodes 3 --copies 2 --seed 3001 --seeds "$(seeds 300)"
tell "the same of three copies" "$sim-few" --nodes 4 --copies 3 --seed 4001 --seeds "$(seeds 150)"
tell "the same of three copies on five nodes" "$sim-few" --nodes 5 --copies 3 --seed 5001 --seeds "$(seeds 60)"
tell "clients of proxies get their own answers, in their order, whatever befalls proxies and nodes" \
    "$sim-few" --nodes 3 --proxies 2 --seed 7001 --seeds "$(seeds 40)"
tell "the same of two copies" "$sim-few" --nodes 4 --copies 2 --proxies 2 --seed 8001 --seeds "$(seeds 40)"
tell "what a cluster promises holds with all slots" "$sim" --nodes 3 --seed 1 --seeds "$(seeds 12)"
tell "the same of two copies" "$sim" --nodes 3 --copies 2 --seed 3001 --seeds "$(seeds 8)"
tell "a cluster's seed gives the same trace in every run" "$sim-few" --nodes 4 --seed 1000 --seeds 3 --twice
tell "the same of two copies" "$sim-few" --nodes 4 --copies 2 --seed 1000 --seeds 3 --twice
tell "where nodes join, leave and are forgotten, and nothing else happens, no client is refused anything" \
    "$sim" --nodes 3 --copies 2 --peace --seed 6001 --seeds "$(seeds 8)"

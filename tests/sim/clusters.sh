#!/bin/sh
# Seeds of clusters through the false world; for some of them two runs must give one trace.
sim=${top_builddir:-.}/vong-sim
said=$(mktemp)
trap 'rm -f "$said"' EXIT
tell() { # number, title, the run's code
    [ "$3" -eq 0 ] && echo "ok $1 - $2" || echo "not ok $1 - $2"
    cat "$said"
}
echo 1..6
"$sim" --nodes 3 --seed 1 --seeds "${VONG_CLUSTER_SEEDS:-150}" >"$said" 2>&1
tell 1 "what a cluster promises holds for every seed: one server a slot, histories in order, and progress in the end" $?
"$sim" --nodes 5 --seed 2001 --seeds "$((${VONG_CLUSTER_SEEDS:-150} / 5))" >"$said" 2>&1
tell 2 "the same of five nodes" $?
"$sim" --nodes 4 --seed 1000 --seeds 3 --twice >"$said" 2>&1
tell 3 "a cluster's seed gives the same trace in every run" $?
"$sim" --nodes 3 --copies 2 --seed 3001 --seeds "$((${VONG_CLUSTER_SEEDS:-150} / 20))" >"$said" 2>&1
tell 4 "with two copies no end of one node loses anything, and in the end all copies are equal" $?
"$sim" --nodes 4 --copies 3 --seed 4001 --seeds "$((${VONG_CLUSTER_SEEDS:-150} / 25))" >"$said" 2>&1
tell 5 "the same of three copies" $?
"$sim" --nodes 3 --copies 2 --peace --seed 6001 --seeds "$((${VONG_CLUSTER_SEEDS:-150} / 25))" >"$said" 2>&1
tell 6 "where nodes join, leave and are forgotten, and nothing else happens, no client is refused anything" $?

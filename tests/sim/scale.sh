#!/bin/sh
# Clusters of many whole control planes; beside sanitizers the largest would take too long.
sim=${top_builddir:-.}/vong-sim
many=20,60,200
[ -z "$SANITIZED" ] || many=20,60
echo 1..2
said=$(mktemp)
trap 'rm -f "$said"' EXIT
"$sim" --planes "${VONG_PLANES:-$many}" >"$said" 2>&1 && good=ok || good="not ok"
echo "$good 1 - of 20, 60 or 200 control planes all keep their leases and know a change in time, for the same words a second"
cat "$said"
"$sim" --planes 20 --seed 1000 --twice >"$said" 2>&1 && good=ok || good="not ok"
echo "$good 2 - many control planes give the same trace in every run"
cat "$said"

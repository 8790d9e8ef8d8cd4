#!/bin/sh
# Clusters of many whole control planes; beside sanitizers the larger would take too long. VONG_PLANES=20,60,200 is the
# long form, for by hand.
sim=${top_builddir:-.}/vong-sim
many=20,100 few=20
[ -z "$SANITIZED" ] || many=8,24 few=8
echo 1..2
said=$(mktemp)
trap 'rm -f "$said"' EXIT
"$sim" --planes "${VONG_PLANES:-$many}" >"$said" 2>&1 && good=ok || good="not ok"
echo "$good 1 - of few or many control planes all keep their leases and know a change in time, for the same words a second"
cat "$said"
"$sim" --planes $few --seed 1000 --twice >"$said" 2>&1 && good=ok || good="not ok"
echo "$good 2 - many control planes give the same trace in every run"
cat "$said"

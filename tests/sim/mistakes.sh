#!/bin/sh
# A scenario that cannot be read is refused, with the line and what is wrong there.
sim=${top_builddir:-.}/vong-sim
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
n=0
refused() { # what is to be said, then the scenario's lines
    n=$((n + 1))
    said=$1
    shift
    printf '%s\n' "$@" >"$dir/it.txt"
    got=$("$sim" "$dir/it.txt" 2>&1)
    if [ $? -ne 0 ] && echo "$got" | grep -qF "# $said"; then
        echo "ok $n - $said"
    else
        echo "not ok $n - $said"
        echo "$got" | sed 's/^/# /'
    fi
}
echo 1..17
refused "line 1: not a line of a scenario" "frobnicate"
refused "line 2: 'frobnicate' is no word of a cluster's scenario" "nodes 2" "frobnicate 1"
refused "line 1: nodes N [NAME=VALUE ...], once, at most 8" "nodes 9"
refused "line 2: nodes N [NAME=VALUE ...], once, at most 8" "nodes 2" "nodes 2"
refused "line 1: 'no-such-thing' is no setting of a cluster" "nodes 2 no-such-thing=1"
refused "line 1: cluster-node-timeout is not in its range" "nodes 2 cluster-node-timeout=1"
refused "line 2: there is no node 3" "nodes 2" "kill 3"
refused "line 3: node 1 is down" "nodes 2" "kill 1" "kill 1"
refused "line 2: node 1 runs" "nodes 2" "start 1"
refused "line 2: run T, as 10ms or 3s, or wait whole [T]" "nodes 2" "run fast"
refused "line 3: not every slot is served in time" "nodes 3" "kill 1" "wait whole 2s"
refused "line 2: cut SET | SET or cut SET > SET" "nodes 2" "cut 1 2"
refused "line 2: client C: WORDS or client C@N: WORDS, C below 8" "nodes 2" "client 9: GET k"
refused "line 3: client 1 is connected to 1: hang up first" "nodes 2" "client 1: GET k" "client 1@2: GET k"
refused "line 2: stop N [data | control] or continue N, of a node that runs" "nodes 2" "stop 1 nothing"
refused "line 2: disk N slow T [both], full, room, fail sync or fail write" "nodes 2" "disk 1 melts"
refused "line 2: quotes do not close" "nodes 2" "client 1: GET 'k"

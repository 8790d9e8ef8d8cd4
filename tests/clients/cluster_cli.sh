#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# redis-cli and redis-benchmark as operators of a cluster use them. What is tested comes from the environment
# (README.md); members are ended and started through VONG_NODES.
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/claims.sh"

cli() { timeout 200 redis-cli -c -h "$host" -p "$port" "$@"; }
nodes() { sh -c "$VONG_NODES $*"; }
cluster() { # verb: redis-cli --cluster's words, without colours
    verb=$1
    shift
    timeout 200 redis-cli --cluster "$verb" "$host:$port" "$@" 2>&1 | sed "s/$(printf '\033')\[[0-9;]*m//g" >"$out"
}
bench() { timeout 200 redis-benchmark --cluster -h "$host" -p "$port" -q "$@" >"$out" 2>&1; }

# Waits until the expression is true.
comes() {
    for _ in $(seq 600); do
        eval "$1" && return 0
        sleep 0.1
    done
    return 1
}

for_each_key() { # expression over $i
    for i in $(seq 60); do
        eval "$1" || return 1
    done
}

claim "any member takes any key, with -c and without" \
    'for_each_key "redis-cli -p $port set plain:\$i \$i >\"$out\" && is OK && cli get plain:\$i >\"$out\" && is \$i"'
claim "-c follows MOVED where members redirect" \
    'for p in $(nodes ports); do redis-cli -p $p config set cluster-routing redirect >"$out"; is OK || break; done &&
     for_each_key "cli set moved:\$i \$i >\"$out\" && is OK && cli get moved:\$i >\"$out\" && is \$i" &&
     seq 60 | sed "s/.*/get moved:&/" | redis-cli -p "$port" >"$out" 2>&1; said "^MOVED [0-9]+ 127.0.0.1:[0-9]+$" &&
     seq 60 | sed "s/.*/get moved:&/" | cli | grep -E "^[0-9]+$" >"$tmp/got" && seq 60 | cmp -s - "$tmp/got" &&
     for p in $(nodes ports); do redis-cli -p $p config set cluster-routing auto >"$out"; is OK || break; done'
claim "a transaction over one slot, and CROSSSLOT over two, through any member" \
    'for p in $(nodes ports); do
         printf "multi\nset {t}a 1\nincr {t}a\nexec\n" | redis-cli -p $p >"$out" && [ "$(tail -n 1 "$out")" = 2 ] || break
         redis-cli -p $p rename a b >"$out" 2>&1; said "^CROSSSLOT Keys in request" || break
         p=
     done; [ -z "$p" ]'
claim "--cluster info counts the keys of three masters" \
    'seq 3000 | sed "s/.*/SET info:& &/" | cli --pipe >"$out" 2>&1 && said "^errors: 0, replies: 3000$" &&
     cluster info && counts "^127.0.0.1:[0-9]+ [(][0-9a-f]{8}\.\.\.[)] -> [0-9]+ keys [|] [0-9]+ slots [|] 0 slaves" 3 &&
     said "^\[OK\] [0-9]+ keys in 3 masters" && ! said "OK. 0 keys"'
claim "--cluster check: all agree, all 16384 slots are covered" \
    'cluster check && said "^\[OK\] All nodes agree about slots configuration" &&
     said "^\[OK\] All 16384 slots covered" && counts "^M: [0-9a-f]{40} 127.0.0.1:[0-9]+" 3 && ! said "ERR|WARNING"'
claim "--cluster call asks every member" \
    'cluster call ping && counts "^127.0.0.1:[0-9]+: PONG$" 3'
claim "--cluster fix has nothing to mend; reshard is told who places slots" \
    'cluster fix </dev/null && said "All 16384 slots covered" &&
     cluster reshard --cluster-from all --cluster-to "$(cli cluster myid)" --cluster-slots 1 --cluster-yes;
     said "slots are placed by the controller"'
claim "redis-benchmark --cluster writes and reads over all slots" \
    'bench -t set,get,incr -n 30000 -r 100000 -P 8 && said "^Cluster has 3 master nodes:" &&
     said "SET: [0-9.]+ requests per second" && said "GET: [0-9.]+ requests per second" && ! said "ERR|MOVED|Could not"'
claim "a fourth member has slots, and all agree" \
    'nodes join >"$out" && comes "cluster check && counts \"^M: \" 4 && said \"^.OK. All nodes agree\" &&
         said \"^.OK. All 16384 slots covered\""'
claim "redis-benchmark --cluster finds four" \
    'bench -t set -n 10000 -r 100000 -P 8 && said "^Cluster has 4 master nodes:" && ! said "ERR|Could not"'
claim "a member that is killed is told as such, its slots with it, and the cluster goes on" \
    'nodes kill 1 >"$out" && comes "cli cluster nodes >\"$out\" && said \" master,fail \"" &&
     cli cluster info >"$out" && said "^cluster_state:ok" && said "^cluster_slots_fail:[1-9]" &&
     cli cluster slots >"$out" && cli --no-raw cluster slots >"$out" && said "16383$"'
claim "it returns, and every key is there" \
    'nodes start 1 >"$out" && comes "cluster check && said \"^.OK. All 16384 slots covered\"" &&
     ! cli cluster nodes | grep -q fail &&
     seq 3000 | sed "s/.*/get info:&/" | cli >"$tmp/got" 2>"$out" && seq 3000 | cmp -s - "$tmp/got"'
echo "1..$n"

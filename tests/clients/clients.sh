#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# Runs stock clients and tells all their claims as one TAP:  clients.sh [--mode MODE] [program ...]
#
# With VONG_PORT set it tests what is there (README.md has the other variables). Otherwise it starts servers
# of its own, each in a fresh directory and ended by its process id: two, the second with a password, or,
# with --mode node or cluster, a cluster of three; with --mode proxy, a vong-proxy before one. Clients call back through VONG_RESTART and VONG_NODES:
# "clients.sh --restart DIR" ends and starts the server of DIR, "clients.sh --nodes DIR VERB" does to a
# cluster what nodes() says.
set -u
here=$(cd "$(dirname "$0")" && pwd)
builddir=${top_builddir:-$here/../../build}
server=${VONG_SERVER:-$builddir/vong-server}
plain='redis_py node_redis ioredis hiredis_client handshakes redis_cli'
aware='redis_py node_redis ioredis cluster_py cluster_js cluster_cli cluster_shapes'

# ------------------------------------------------------------------------- servers

launch() { # directory, port
    read -r more <"$1/args"
    case $more in # a proxy has no cluster port
    *"--cluster "*) binary=$builddir/vong-proxy cluster_port= ;;
    *) binary=$server cluster_port="--cluster-port $(($2 + 4500))" ;;
    esac
    # shellcheck disable=SC2086  # words of ours, to be split
    "$binary" --port "$2" $cluster_port --bind 127.0.0.1 --dir "$1" $more </dev/null >>"$1/log" 2>&1 &
    echo $! >"$1/pid"
    echo "$2" >"$1/port"
}

password_of() { # directory: the option for redis-cli, or nothing
    sed -n 's/.*--requirepass \([^ ]*\).*/--no-auth-warning -a \1/p' "$1/args"
}

serves() { # directory: waits until it serves, and no other one; fails when the process has ended
    for _ in $(seq 1200); do
        # shellcheck disable=SC2046
        said=$(printf 'ping\ninfo server\n' | redis-cli $(password_of "$1") -p "$(cat "$1/port")" 2>&1 | tr -d '\r')
        echo "$said" | grep -qx PONG && echo "$said" | grep -qx "process_id:$(cat "$1/pid")" && return 0
        kill -0 "$(cat "$1/pid")" 2>/dev/null || return 1
        sleep 0.05
    done
    return 1
}

start() { # directory, further arguments: on the first port that can be had
    mkdir -p "$1"
    echo "$2" >"$1/args"
    port=$((11000 + $$ % 4000)) # below those of tests/outside, cluster ports too
    for _ in $(seq 20); do
        port=$((port + 1))
        if [ -z "$(redis-cli -p $port ping 2>/dev/null)" ]; then
            launch "$1" $port
            serves "$1" && return 0
        fi
    done
    return 1
}

stop() { # directory
    [ -s "$1/pid" ] || return 0
    pid=$(cat "$1/pid")
    kill "$pid" 2>/dev/null || return 0
    for _ in $(seq 1200); do
        kill -0 "$pid" 2>/dev/null || return 0
        sleep 0.05
    done
    kill -9 "$pid"
    return 1
}

if [ "${1:-}" = --restart ]; then
    stop "$2" && launch "$2" "$(cat "$2/port")" && serves "$2"
    exit
fi

# ------------------------------------------------------------------------- a cluster

# Long enough that no node of a busy machine is taken for dead.
member="--cluster-enabled yes --cluster-node-timeout 3000 --replication-factor 1"

each_says() { # directory, patterns: every member's CLUSTER INFO has a line for each of them
    members=$1
    shift
    for at in "$members"/[1-9]; do
        redis-cli -p "$(cat "$at/port")" cluster info 2>&1 | tr -d '\r' >"$members/info"
        for line in "$@"; do
            grep -qx "$line" "$members/info" || return 1
        done
    done
}

whole() { # directory: waits until all its members serve all slots, each some, by one map
    n_members=$(ls -d "$1"/[1-9] | wc -l)
    for _ in $(seq 1200); do
        version=$(redis-cli -p "$(cat "$1/1/port")" cluster info 2>&1 | grep -o 'cluster_map_version:[0-9]*')
        each_says "$1" cluster_state:ok cluster_slots_ok:16384 "cluster_known_nodes:$n_members" \
            "cluster_size:$n_members" "${version:-none}" && return 0
        sleep 0.05
    done
    return 1
}

join() { # directory: one member more
    seed=$(cat "$1/1/port")
    start "$1/$(($(ls -d "$1"/[1-9] | wc -l) + 1))" "$member --cluster-join 127.0.0.1:$seed@$((seed + 4500))"
}

cluster() { # directory: a cluster of three
    mkdir -p "$1"
    start "$1/1" "$member" && join "$1" && join "$1" && whole "$1"
}

nodes() { # directory, verb, number of a member (the first is 1)
    case $2 in
    ports) cat "$1"/[1-9]/port ;;
    join) join "$1" && whole "$1" && cat "$1/$(ls -d "$1"/[1-9] | wc -l)/port" ;;
    kill) kill -9 "$(cat "$1/$3/pid")" ;;
    start) launch "$1/$3" "$(cat "$1/$3/port")" && serves "$1/$3" && whole "$1" ;;
    restart) stop "$1/$3" && nodes "$1" start "$3" ;;
    *) return 1 ;;
    esac
}

if [ "${1:-}" = --nodes ]; then
    shift
    nodes "$@"
    exit
fi

# ------------------------------------------------------------------------- results

n=0
say() { # "ok" or "not ok", the title
    n=$((n + 1))
    echo "$1 $n - $2"
}

# Passes the claims of one program on, numbered anew, its name before each title. Whoever ends before
# its plan has failed, whatever it said until then.
pass_on() { # name, output, errors, exit status
    awk -v name="$1" -v n="$n" -v status="$4" '
        /^(not )?ok / {
            good = $1 == "ok" ? "ok" : "not ok"
            sub(/^(not )?ok [0-9]* *-? */, "")
            printf "%s %d - %s: %s\n", good, ++n, name, $0
            told++
            next
        }
        /^1\.\.[0-9]+$/ { plan = substr($0, 4) + 0; next }
        { sub(/^# ?/, ""); print "# " $0; fflush() }
        END {
            if (plan == 0 || plan != told) {
                printf "not ok %d - %s: tells all its claims\n", ++n, name
                printf "# %d of %d told, exit status %s\n", told, plan, status
            }
        }' "$2" >"$tmp/told"
    cat "$tmp/told"
    grep -q '^not ok' "$tmp/told" && tail -n 30 "$3" | sed 's/^/# /'
    n=$((n + $(grep -cE '^(not )?ok ' "$tmp/told")))
}

# ------------------------------------------------------------------------ programs

python=${PYTHON:-no}
[ "$python" != no ] || for python in python3 /usr/bin/python3 no; do
    [ "$python" = no ] || ! "$python" -c 'import redis' 2>/dev/null || break
done

# npm's modules lie beside this script; below a tree unpacked elsewhere, in the tree around it.
modules=$here
while [ ! -d "$modules/tests/clients/node_modules" ] && [ "$modules" != / ]; do
    modules=$(dirname "$modules")
done
modules=$modules/tests/clients/node_modules

missing() { # program: what it lacks, in words; nothing when it can run
    case $1 in
    redis_py | forward_py | handshakes | cluster_py | cluster_shapes)
        [ "$python" != no ] || echo "python3 with redis-py (Debian package python3-redis)"
        ;;
    ioredis | node_redis)
        command -v node >/dev/null || echo "node (Debian package nodejs)"
        [ -d "$modules/$(echo "$1" | sed s/node_//)" ] || echo "$(echo "$1" | sed s/node_//) from npm"
        ;;
    cluster_js)
        missing ioredis
        missing node_redis
        ;;
    hiredis_client)
        [ -x "$builddir/tests/clients/hiredis_client" ] || echo "tests/clients/hiredis_client (make check builds it)"
        ;;
    redis_cli | cluster_cli)
        command -v redis-benchmark >/dev/null || echo "redis-benchmark (Debian package redis-tools)"
        command -v script >/dev/null || echo "script (Debian package bsdutils)"
        ;;
    *) echo "a program of that name" ;;
    esac
}

run_program() {
    case $1 in
    redis_py | forward_py | handshakes | cluster_py | cluster_shapes) PYTHONDONTWRITEBYTECODE=1 timeout 900 "$python" "$here/$1.py" ;;
    ioredis | node_redis | cluster_js) NODE_PATH=$modules timeout 900 node "$here/$1.js" ;;
    hiredis_client) timeout 900 "$builddir/tests/clients/hiredis_client" ;;
    redis_cli | cluster_cli) timeout 900 sh "$here/$1.sh" ;;
    esac
}

# ---------------------------------------------------------------------------- main

mode=${VONG_MODE:-alone}
if [ "${1:-}" = --mode ]; then
    mode=$2
    shift 2
fi
tmp=$(mktemp -d "${TMPDIR:-/tmp}/vong-clients.XXXXXX") || exit 99
own=
finish() {
    for dir in $own; do
        stop "$dir"
    done
    rm -rf "$tmp"
}
trap finish EXIT
trap 'exit 1' INT TERM

cannot() { # why: nothing can be tested
    sed 's/^/# /' "$tmp"/*/log "$tmp"/*/*/log 2>/dev/null
    echo "Bail out! $1"
    exit 1
}

# Two servers that know nothing of one another.
serve_alone() {
    own="$tmp/open $tmp/locked"
    start "$tmp/open" "" && start "$tmp/locked" "--requirepass secret" || cannot "$server does not serve."
    VONG_PORT=$(cat "$tmp/open/port")
    VONG_AUTH_URL=redis://default:secret@127.0.0.1:$(cat "$tmp/locked/port")/2
    VONG_RESTART="sh '$here/clients.sh' --restart '$tmp/open'"
    export VONG_AUTH_URL VONG_RESTART
}

# A cluster of three; clients are given its second member, which did not found it.
serve_cluster() { # name
    own="$tmp/$1/1 $tmp/$1/2 $tmp/$1/3 $tmp/$1/4"
    cluster "$tmp/$1" || cannot "$server does not form a cluster."
    VONG_PORT=$(cat "$tmp/$1/2/port")
    VONG_NODES="sh '$here/clients.sh' --nodes '$tmp/$1'"
    VONG_RESTART="$VONG_NODES restart 2"
    export VONG_NODES VONG_RESTART
}

# A proxy before such a cluster, with two threads.
serve_proxy() {
    own="$tmp/proxy/p $tmp/proxy/1 $tmp/proxy/2 $tmp/proxy/3"
    cluster "$tmp/proxy" || cannot "$server does not form a cluster."
    seed=$(cat "$tmp/proxy/2/port")
    start "$tmp/proxy/p" "--cluster 127.0.0.1:$seed@$((seed + 4500)) --threads 2" || cannot "$builddir/vong-proxy does not serve."
    VONG_PORT=$(cat "$tmp/proxy/p/port")
    VONG_RESTART="sh '$here/clients.sh' --restart '$tmp/proxy/p'"
    until_answered "$VONG_PORT" || cannot "$builddir/vong-proxy does not find its cluster."
    export VONG_RESTART
}

until_answered() { # port: what has a key is
    for _ in $(seq 1200); do
        redis-cli -p "$1" exists a 2>/dev/null | grep -qx 0 && return 0
        sleep 0.05
    done
    return 1
}

# All servers there are end, and nothing went wrong inside them.
end_all() {
    for dir in $own; do
        [ -d "$dir" ] || continue
        title="server ${dir#"$tmp/"} ends in an orderly way after all that"
        if stop "$dir" && ! grep -qi 'check failed\|crashed' "$dir/log"; then
            say ok "$title"
        else
            say "not ok" "$title"
            tail -n 20 "$dir/log" | sed 's/^/# /'
        fi
    done
    own=
}

command -v redis-cli >/dev/null || cannot "No redis-cli: deps/install --tests installs it (Debian package redis-tools)."
given=${VONG_PORT:-}
VONG_MODE=$mode
VONG_SKIPS=$(sed -n "s/^\([a-z-]*\) *|[^|]*\<$mode\>[^|]*| */\1=/p" "$here/skips")
export VONG_MODE VONG_SKIPS

# What the next program is to be run against; a program that knows of clusters may change its own.
serve() { # program
    [ -z "$given" ] || return 0
    [ -x "$server" ] || cannot "No $server: make builds it."
    VONG_HOST=127.0.0.1
    VONG_SERVER=$server
    case $mode in
    cluster)
        end_all
        serve_cluster "$1"
        ;;
    node) [ -n "$own" ] || serve_cluster cluster ;;
    proxy)
        [ -n "$own" ] || serve_proxy
        redis-cli -p "$VONG_PORT" flushall >/dev/null
        ;;
    alone)
        [ -n "$own" ] || serve_alone
        redis-cli -p "$VONG_PORT" flushall >/dev/null
        ;;
    *) cannot "Mode $mode is for servers that are there: VONG_PORT says where." ;;
    esac
    export VONG_HOST VONG_PORT VONG_SERVER
}

programs=$plain
[ "$mode" != node ] || programs="$plain forward_py"
[ "$mode" != cluster ] || programs=$aware
for program in ${*:-$programs}; do
    lacks=$(missing "$program")
    if [ -n "$lacks" ]; then
        say "not ok" "$program: has what it needs"
        echo "$lacks" | sed 's/.*/# missing: &; deps\/install --tests installs what the tests need/'
        continue
    fi
    serve "$program"
    run_program "$program" >"$tmp/out" 2>"$tmp/err"
    pass_on "$program" "$tmp/out" "$tmp/err" $?
done
end_all
echo "1..$n"

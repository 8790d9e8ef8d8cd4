#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# Runs stock clients and tells all their claims as one TAP:  clients.sh [program ...]
#
# With VONG_PORT set it tests what is there (README.md has the other variables). Otherwise it starts two
# servers of its own, the second with a password, each in a fresh directory and ended by its process id.
# "clients.sh --restart DIR" ends and starts the server of DIR: clients call it through VONG_RESTART.
set -u
here=$(cd "$(dirname "$0")" && pwd)
builddir=${top_builddir:-$here/../../build}
server=${VONG_SERVER:-$builddir/vong-server}
programs='redis_py node_redis ioredis hiredis_client handshakes redis_cli'

# ------------------------------------------------------------------------- servers

launch() { # directory, port
    read -r more <"$1/args"
    # shellcheck disable=SC2086  # words of ours, to be split
    "$server" --port "$2" --bind 127.0.0.1 --dir "$1" $more </dev/null >>"$1/log" 2>&1 &
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
    port=$((11000 + $$ % 8000)) # below those of tests/outside
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
    redis_py | handshakes)
        [ "$python" != no ] || echo "python3 with redis-py (Debian package python3-redis)"
        ;;
    ioredis | node_redis)
        command -v node >/dev/null || echo "node (Debian package nodejs)"
        [ -d "$modules/$(echo "$1" | sed s/node_//)" ] || echo "$(echo "$1" | sed s/node_//) from npm"
        ;;
    hiredis_client)
        [ -x "$builddir/tests/clients/hiredis_client" ] || echo "tests/clients/hiredis_client (make check builds it)"
        ;;
    redis_cli)
        command -v redis-benchmark >/dev/null || echo "redis-benchmark (Debian package redis-tools)"
        command -v script >/dev/null || echo "script (Debian package bsdutils)"
        ;;
    *) echo "a program of that name" ;;
    esac
}

run_program() {
    case $1 in
    redis_py | handshakes) PYTHONDONTWRITEBYTECODE=1 timeout 900 "$python" "$here/$1.py" ;;
    ioredis | node_redis) NODE_PATH=$modules timeout 900 node "$here/$1.js" ;;
    hiredis_client) timeout 900 "$builddir/tests/clients/hiredis_client" ;;
    redis_cli) timeout 900 sh "$here/redis_cli.sh" ;;
    esac
}

# ---------------------------------------------------------------------------- main

tmp=$(mktemp -d "${TMPDIR:-/tmp}/vong-clients.XXXXXX") || exit 99
own=no
finish() {
    if [ $own = yes ]; then
        stop "$tmp/open"
        stop "$tmp/locked"
    fi
    rm -rf "$tmp"
}
trap finish EXIT
trap 'exit 1' INT TERM

if ! command -v redis-cli >/dev/null; then
    echo "Bail out! No redis-cli: deps/install --tests installs it (Debian package redis-tools)."
    exit 1
fi
if [ -z "${VONG_PORT:-}" ]; then
    own=yes
    if ! [ -x "$server" ]; then
        echo "Bail out! No $server: make builds it."
        exit 1
    fi
    if ! start "$tmp/open" "" || ! start "$tmp/locked" "--requirepass secret"; then
        sed 's/^/# /' "$tmp"/*/log
        echo "Bail out! $server does not serve."
        exit 1
    fi
    VONG_HOST=127.0.0.1
    VONG_PORT=$(cat "$tmp/open/port")
    VONG_MODE=alone
    VONG_AUTH_URL=redis://default:secret@127.0.0.1:$(cat "$tmp/locked/port")/2
    VONG_SERVER=$server
    VONG_RESTART="sh '$here/clients.sh' --restart '$tmp/open'"
    export VONG_HOST VONG_PORT VONG_MODE VONG_AUTH_URL VONG_SERVER VONG_RESTART
fi
export VONG_PORT

for program in ${*:-$programs}; do
    lacks=$(missing "$program")
    if [ -n "$lacks" ]; then
        say "not ok" "$program: has what it needs"
        echo "$lacks" | sed 's/.*/# missing: &; deps\/install --tests installs what the tests need/'
        continue
    fi
    [ $own = no ] || redis-cli -p "$VONG_PORT" flushall >/dev/null
    run_program "$program" >"$tmp/out" 2>"$tmp/err"
    pass_on "$program" "$tmp/out" "$tmp/err" $?
done
if [ $own = yes ]; then
    for dir in "$tmp/open" "$tmp/locked"; do
        if stop "$dir" && ! grep -qi 'check failed\|crashed' "$dir/log"; then
            say ok "the $(basename "$dir") server ends in an orderly way after all that"
        else
            say "not ok" "the $(basename "$dir") server ends in an orderly way after all that"
            tail -n 20 "$dir/log" | sed 's/^/# /'
        fi
    done
fi
echo "1..$n"

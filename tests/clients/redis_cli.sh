#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# redis-cli and redis-benchmark, as operators use them. What is tested comes from the environment (README.md).
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/claims.sh"
mode=${VONG_MODE:-alone}
pipe_keys=${VONG_PIPE_KEYS:-1000000}

cli() {
    if [ "$mode" = cluster ]; then
        timeout 200 redis-cli -c -h "$host" -p "$port" "$@"
    else
        timeout 200 redis-cli -h "$host" -p "$port" "$@"
    fi
}

bench() { timeout 200 redis-benchmark -h "$host" -p "$port" "$@"; }

# unless CAUSE TITLE EXPRESSION: a claim, skipped where the table (skips) has this cause.
unless() {
    why=$(printf '%s\n' "${VONG_SKIPS:-}" | sed -n "s/^$1=//p")
    shift
    if [ -z "$why" ]; then
        claim "$@"
    else
        n=$((n + 1))
        echo "ok $n - $1 # SKIP $why"
    fi
}

# patiently EXPRESSION: for what says what it has until it is ended after $seconds, with more of them in turn.
patiently() {
    for seconds in 2 6 20 60; do
        eval "$1" && return 0
    done
    return 1
}

# ----------------------------------------------------------------------- one command

claim "a command and its words on the command line" \
    'cli set {cli}a "two words" >"$out" && is OK && cli get {cli}a >"$out" && is "two words"'
claim "the shell's status and the text tell an error" \
    '! cli -e incr {cli}a >"$out" 2>&1 && said "ERR value is not an integer or out of range"'
claim "--no-raw shows types: strings quoted, nil, (integer)" \
    'printf "get {cli}a\nget {cli}none\nstrlen {cli}a\n" | cli --no-raw >"$out" &&
     said "^\"two words\"$" && said "^\(nil\)$" && said "^\(integer\) 9$"'
claim "-3 speaks RESP3: HELLO and CONFIG GET are maps" \
    'cli -3 --no-raw hello >"$out" && said "\"proto\" => \(integer\) 3" &&
     cli -3 --no-raw config get maxmemory-policy >"$out" &&
     said "^1# \"maxmemory-policy\" => \"noeviction\"$"'
claim "--csv and --json print replies for other programs" \
    'cli --csv mget {cli}a {cli}none >"$out" && is "\"two words\",NULL" &&
     cli -3 --json mget {cli}a {cli}none >"$out" && is "[\"two words\",null]"'
claim "-x takes the last word from standard input, byte for byte" \
    'head -c 100000 /dev/urandom >"$tmp/in" && cli -x set {cli}x <"$tmp/in" >"$out" && is OK &&
     cli get {cli}x >"$tmp/back" && printf "\n" >>"$tmp/in" && cmp -s "$tmp/in" "$tmp/back"'
claim "-r and -i repeat a command" \
    'cli del {cli}r >"$out" && cli -r 5 -i 0.01 incr {cli}r >"$out" && is "$(seq 5)"'
claim "MULTI, commands and EXEC from standard input" \
    'printf "multi\nset {cli}m 1\nincr {cli}m\nexec\n" | cli >"$out" && [ "$(tail -n 1 "$out")" = 2 ]'
unless databases "-n chooses a database, and databases are apart" \
    'cli -n 7 set onlyhere 1 >"$out" && is OK && cli -n 0 exists onlyhere >"$out" && is 0 &&
     cli -n 7 del onlyhere >"$out" && is 1'
claim "--quoted-input sends bytes written as escapes" \
    'cli --quoted-input set "\"{cli}q\\x00\\xff\"" "\"\\r\\n\"" >"$out" && is OK &&
     cli --quoted-input strlen "\"{cli}q\\x00\\xff\"" >"$out" && is 2'
if [ -n "${VONG_AUTH_URL:-}" ]; then
    claim "-u takes user, password and database from a URL; a wrong password is told" \
        'redis-cli --no-auth-warning -u "$VONG_AUTH_URL" client info >"$out" 2>&1 && said " db=2 " &&
         redis-cli --no-auth-warning -u "$(echo "$VONG_AUTH_URL" | sed s/@/x@/)" ping >"$out" 2>&1;
         said "AUTH failed: WRONGPASS" && said "NOAUTH Authentication required"'
else
    n=$((n + 1))
    echo "ok $n - -u takes user, password and database from a URL # SKIP VONG_AUTH_URL is not set"
fi

# ---------------------------------------------------------------------- interactive

on_terminal() { # seconds, redis-cli's words: output without colours, lines ended as everywhere
    timeout "$1" script -qec "redis-cli -h $host -p $port $2" /dev/null 2>&1 |
        sed "s/$(printf '\033')\[[0-9;]*[A-Za-z]//g" | tr '\r' '\n' >"$out"
}
interactive() { # a line typed on a terminal
    printf '%s\nquit\n' "$1" | TERM=dumb on_terminal 60 ""
}
claim "on a terminal, help comes from COMMAND DOCS: summary, arguments, since, group" \
    'interactive "help lcs" && said "summary: ." && said "LCS key1 key2 \[LEN\] \[IDX\] \[MINMATCHLEN " &&
     said "since: 7.0.0" && said "group: string"'
claim "help knows what only this server has" \
    'interactive "help waitaof" && said "WAITAOF numlocal numreplicas timeout" && said "since: 7.2.0"'
claim "on a terminal replies have types and times" \
    'interactive "ping" && said "PONG"'

# ----------------------------------------------------------------------- many keys

claim "--pipe sends $pipe_keys keys and counts their replies" \
    'awk -v n="$pipe_keys" "BEGIN { for (i = 0; i < n; i++)
         printf \"*3\r\n\$3\r\nSET\r\n\$%d\r\nkey:%d\r\n\$%d\r\nvalue-%d\r\n\",
             4 + length(i \"\"), i, 6 + length(i \"\"), i }" | cli --pipe >"$out" 2>&1 &&
     said "^errors: 0, replies: $pipe_keys$" &&
     cli get "key:$((pipe_keys - 1))" >"$out" && is "value-$((pipe_keys - 1))"'
claim "--pipe tells errors and goes on; lines may be inline commands" \
    'printf "SET {cli}p 1\r\nINCR {cli}p extra\r\nINCR {cli}p\r\n" | cli --pipe >"$out" 2>&1;
     said "errors: 1, replies: 3" && said "wrong number of arguments" &&
     cli get {cli}p >"$out" && is 2'
unless stream "DBSIZE knows them, and --scan finds each once" \
    'cli dbsize >"$out" && [ "$(cat "$out")" -ge "$pipe_keys" ] &&
     cli --scan --pattern "key:*" >"$tmp/keys" &&
     sort -u "$tmp/keys" | wc -l >"$out" && is "$pipe_keys"'
unless flushall "--bigkeys names the biggest string and the average" \
    'cli flushall >"$out" && seq 20000 | sed "s/.*/SET key:& value-&/" | cli --pipe >"$out" 2>&1 &&
     head -c 70000 /dev/zero | cli -x set {cli}biggest >"$out" && cli --bigkeys >"$out" &&
     said "Biggest string found .\"?\{cli\}biggest" && said "strings with [0-9]+ bytes .*avg size" &&
     said "Sampled [0-9]+ keys in the keyspace"'
unless stream "--memkeys names the key with most memory" \
    'cli del key:0 >"$out" && cli --memkeys --memkeys-samples 0 >"$out" &&
     said "Biggest string found .*has [0-9]+ bytes" && said "Sampled [0-9]+ keys in the keyspace"'
unless flushall "--hotkeys works under an LFU policy and says what to do under another" \
    'cli --hotkeys >"$out" 2>&1; said "LFU maxmemory policy is not selected" &&
     cli config set maxmemory-policy allkeys-lfu >"$out" && is OK && cli flushall >"$out" &&
     cli -r 300 incr {cli}hot >"$out" && cli --hotkeys >"$out" 2>&1; said "hot key found with counter: [0-9]+.*keyname: \"?\{cli\}hot" &&
     cli config set maxmemory-policy noeviction >"$out" && is OK'

# ------------------------------------------------------------------------- watching

claim "--stat shows keys, memory, clients and requests, line by line" \
    'patiently "on_terminal \$seconds \"--stat -i 0.3\" </dev/null; said \"^keys +mem +clients\" &&
     said \"^[0-9]+ +[0-9.]+[KMG] +[0-9]+ +[0-9]+ +[0-9]+ [(][+][0-9]+[)]\""'
claim "--latency measures PING" \
    'cli --latency --raw -i 1 >"$out" 2>&1; said "^[0-9]+ [0-9]+ [0-9.]+ [0-9]+$"'
claim "--latency-history goes on in windows" \
    'patiently "on_terminal \$seconds \"--latency-history -i 1\" </dev/null;
     said \"min: [0-9]+, max: [0-9]+, avg: [0-9.]+ [(][0-9]+ samples[)] -- [0-9.]+ seconds range\""'
monitored() {
    timeout "$seconds" redis-cli -h "$host" -p "$port" monitor >"$out" 2>&1 &
    listener=$!
    until cli client list | grep -q cmd=monitor || ! kill -0 $listener 2>/dev/null; do sleep 0.02; done
    cli set {cli}seen "a b" >/dev/null
    cli auth topsecret >/dev/null 2>&1
    cli -n 2 get {cli}seen >/dev/null
    wait $listener
    said "^OK$" && said "\[2 127.0.0.1:[0-9]+\] \"get\"" &&
        said "^[0-9]+\.[0-9]{6} \[0 127.0.0.1:[0-9]+\] \"set\" \"\{cli\}seen\" \"a b\"$"
}
unless slowlog "monitor shows what others send, the password never" 'patiently monitored && ! said topsecret'
claim "--rdb and --replica are refused, with what there is instead" \
    '! cli --rdb "$tmp/dump.rdb" >"$out" 2>&1 && said "SYNC is not supported.*BGSAVE" && [ ! -s "$tmp/dump.rdb" ] &&
     ! cli --replica >"$out" 2>&1 && said "SYNC is not supported.*BGSAVE"'
claim "--functions-rdb is refused as well" \
    '! cli --functions-rdb "$tmp/dump.rdb" >"$out" 2>&1 && said "[Uu]nknown|ERR"'

# ---------------------------------------------------------------------- redis-benchmark

claim "redis-benchmark -t get,set,incr,mset,ping -P 16 -r 1000000 -q measures each" \
    'bench -t get,set,incr,mset,ping -P 16 -r 1000000 -n 100000 -q >"$out" 2>&1 &&
     for what in PING_INLINE PING_MBULK SET GET INCR "MSET \(10 keys\)"; do
         tr "\r" "\n" <"$out" | grep -qE "^$what: [0-9]+[0-9.]* requests per second, p50=" || break
         what=
     done && [ -z "$what" ] && ! said "ERR|WARNING"'
claim "redis-benchmark --csv writes a line for each test" \
    'bench -t get,set,incr,mset,ping -n 2000 --csv >"$out" 2>/dev/null &&
     said "^\"test\",\"rps\",\"avg_latency_ms\"" && [ "$(grep -cE "^\"[A-Z_]+( \(10 keys\))?\",\"[0-9.]+\"" "$out")" = 6 ]'
claim "redis-benchmark with a command of one's own, -d 4096, -k 0 and 200 connections" \
    'bench -n 2000 -c 200 -d 4096 -q setrange {cli}:__rand_int__ 10 __data__ >"$out" 2>&1 && said "requests per second" &&
     bench -n 1000 -c 20 -k 0 -t set -q >"$out" 2>&1 && said "SET: [0-9.]+ requests per second"'
claim "redis-benchmark --threads 2 and -3" \
    'bench -n 20000 --threads 2 -3 -t set,get -q >"$out" 2>&1 && said "GET: [0-9]" && ! said "ERR|Could not"'
echo "1..$n"

#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# Asks Spin for what claims.list says of slot.pml and lease.pml; prints TAP.
#
#   model.sh               what make check has time for
#   model.sh --all         everything, and each mutation's bounds without the mutation
#   model.sh NAME...       these alone
#   model.sh --trace NAME  the shortest way to what this one finds, in words
here=$(cd "$(dirname "$0")" && pwd)
scope=check trace=no
case ${1:-} in
--all) scope=all ;;
--trace) trace=yes scope=named && shift ;;
-*) sed -n '4,/^[^#]/s/^# \{0,1\}//p' "$0" && exit 2 ;;
?*) scope=named ;;
esac
if [ $scope = named ]; then
    for name; do
        grep -q "^$name " "$here/claims.list" && continue
        echo "Bail out! no line of tests/model/claims.list is called '$name'"
        exit 2
    done
fi
if ! command -v spin >/dev/null; then
    printf '1..1\nnot ok 1 - the models of the slot protocol hold\n# spin is missing: deps/install --tests\n'
    exit 0
fi
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM
# A search that grows beyond this is a mistake in a claim's bounds, not a reason to swap.
ulimit -v 4000000
tests=0 asked=' '

# The model's C is compiled quickly where it then runs for a moment, and well where it runs for long.
level=-O0
[ $scope = check ] || level=-O2

# Leaves in $got: ok, the code of what was found, or why there is no answer.
ask() { # options...
    rm -rf "$tmp/ask" && mkdir "$tmp/ask" && cp "$here/$model.pml" "$tmp/ask" && cd "$tmp/ask" || exit 1
    order=-DBFS merge=
    [ $trace = yes ] || order= # breadth first finds the shortest way
    # A trace has to name the nodes throughout; otherwise those that play the same part are one.
    [ $trace = yes ] || [ "$model" != slot ] || merge=-DSYM
    states=0
    got="spin does not take $model.pml"
    spin "$@" $merge -a "$model.pml" >out 2>&1 || return
    got="what spin made of $model.pml does not compile"
    ${CC:-cc} $level -w -DSAFETY -DNOREDUCE -DHC4 $order -o pan pan.c >out 2>&1 || return
    timeout 900 ./pan -m10000 -w21 >out 2>&1
    got="no answer in 15 minutes and 4 GB: code $?"
    states=$(awk '/states, stored/ { print $1; exit }' out)
    grep -Eq 'too small|out of memory|truncated' out && return
    if grep -q 'assertion violated' out; then
        ./pan -r "$model.pml.trail" >found 2>&1
        [ "$model" = lease ] && got=v && return
        got=$(sed -n 's/^.*[[:space:]]bad[:=]*[[:space:]]*\([0-9][0-9]*\).*/\1/p; s/^bad = \([0-9]*\)$/\1/p' found | tail -n 1)
    elif grep -q 'errors: 0$' out && ! grep -q 'not completed' out; then
        got=ok
    fi
}

title() { # name, want, rules, what
    case $1 in *witness-*) echo "it happens that $4 (replication $3)" && return ;; esac
    case $2 in
    ok) effect="the promises are kept" ;;
    1) effect="an acknowledged write is lost when" ;;
    2) effect="two nodes acknowledge in one epoch when" ;;
    3) effect="an old epoch acknowledges after a newer one when" ;;
    4) effect="a read is stale when" ;;
    5) effect="copies differ unseen when" ;;
    6) effect="a slot stays without service when" ;;
    v) effect="a lease outlives its end when" ;;
    esac
    case $1 in lease | lease-voter-change | lease-clear* | lease-timeout-*) effect= ;; esac
    echo "${effect:+$effect }$4 (replication $3)"
}

claim() { # name, want, rules, what; the options stand in $options
    name=$1 want=$2
    shift 2
    tests=$((tests + 1))
    # shellcheck disable=SC2086
    ask $options
    case ",$want," in
    *",$got,"*)
        echo "ok $tests - $(title "$name" "$got" "$@")"
        echo "# $name: $states states"
        ;;
    *)
        echo "not ok $tests - $(title "$name" "${want%%,*}" "$@")"
        echo "# $name: wanted $want, got $got; asked with$options"
        tail -n 12 out | sed 's/^/#   /'
        ;;
    esac
    [ $trace = no ] || [ ! -f found ] || grep -E '^ *(node [0-9]|controller|proposal)' found | sed 's/^ */#   /'
}

page=$here/../../docs/internals/replication.md
if [ $scope != named ]; then
    tests=1
    unnamed=$(sed -nE 's/^(mut-r[0-9]+-|harmless-|lease-harmless-|(lease-mut-))([a-z0-9-]+).*/\2\3/p' "$here/claims.list" |
        sed 's/-w$//' | while read -r clause; do grep -qwe "$clause" "$page" || echo "# $clause"; done)
    [ -z "$unnamed" ] && good=ok || good="not ok"
    echo "$good 1 - the page of the rules names every clause that is taken away"
    [ -z "$unnamed" ] || echo "$unnamed"
fi

while read -r name want when rules rest; do
    case $name in '' | '#'*) continue ;; esac
    case $scope in
    check) [ "$when" = check ] || continue ;;
    named) case " $* " in *" $name "*) ;; *) continue ;; esac ;;
    esac
    model=slot options='' bare=''
    case $name in lease*) model=lease ;; esac
    for option in ${rest%%:*}; do
        options="$options -D$option"
        case $option in MUT_*) ;; *) bare="$bare -D$option" ;; esac
    done
    claim "$name" "$want" "$rules" "${rest#*: }"
    asked="$asked<$model$options> "
    case $scope-$name-$asked in
    *"<$model$bare>"*) ;;
    all-*mut-*)
        asked="$asked<$model$bare> "
        options=$bare
        claim "whole-$name" ok "$rules" "within the bounds of $name, with its clause in place"
        ;;
    esac
done <"$here/claims.list"
echo "1..$tests"

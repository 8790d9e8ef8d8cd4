#!/bin/sh
# Each clause of the slot protocol that mutants.list takes away, in a copy of one source file, is noticed by vong-sim-few's
# checks within its seeds. Those that need more than 60 seeds are tried with --all; names of lines may be given: then only
# those are tried.
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
build=${top_builddir:-.}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
lines() {
    grep '^m-' "$here/mutants.list" | while IFS='@' read -r name seeds rest; do
        if [ $# -eq 0 ]; then
            [ "$seeds" -le 60 ] || continue
        elif [ "$1" != --all ]; then
            case " $* " in *" ${name% } "*) ;; *) continue ;; esac
        fi
        printf '%s@%s@%s\n' "$name" "$seeds" "$rest"
    done
}
stale() { # names of lines whose edit finds nothing any more, whether they are tried or not
    lines --all | while IFS='@' read -r name seeds asked file edit what; do
        file=$top/$(echo "$file" | tr -d ' ')
        sed -e "$edit" "$file" | cmp -s "$file" - && echo "$name"
    done
}
made() { # file, edit: $dir/sim with it; else why not
    sed -e "$2" "$top/$1" >"$dir/mutant.c"
    cmp -s "$top/$1" "$dir/mutant.c" && echo "the edit changes nothing in $1" && return 1
    object=$(dirname "$1")/vong_sim_few-$(basename "$1" .c).o
    # shellcheck disable=SC2086
    $CC -DHAVE_CONFIG_H -DFEWER_SLOTS=256 -I"$build" -I"$top/src" -I"$top" -I"$build/src" -I"$top/$(dirname "$1")" \
        $VONG_CFLAGS -w -O2 -c -o "$dir/mutant.o" "$dir/mutant.c" 2>&1 || return 1
    # shellcheck disable=SC2046,SC2086
    $CC $VONG_CFLAGS -o "$dir/sim" "$dir/mutant.o" $(cd "$build" && find "$PWD/src" "$PWD/tests/sim" -name 'vong_sim_few-*.o' |
        grep -v "/$object\$") $HIREDIS_LIBS $CRYPTO_LIBS -lm 2>&1
}
lines "$@" >"$dir/lines"
echo "1..$(($(wc -l <"$dir/lines") + 1))"
n=1
stale=$(stale)
[ -z "$stale" ] && echo "ok 1 - each edit finds its place in the source" || echo "not ok 1 - edits find no place:" $stale
while IFS='@' read -r name seeds asked file edit what; do
    n=$((n + 1))
    title="it is noticed when$what"
    # shellcheck disable=SC2086
    if ! said=$(made $file "$edit"); then
        echo "not ok $n - $title"
    else
        said=$("$dir/sim" $asked --seeds $seeds --until-wrong 2>&1)
        if [ $? -eq 0 ] || echo "$said" | grep -q 'a fact does not hold'; then
            echo "ok $n - $title"
        else
            echo "not ok $n - $title"
        fi
    fi
    echo "$said" | cut -c1-200 | sed 's/^[^#]/# &/'
done <"$dir/lines"

#!/bin/sh
# Each clause of the slot protocol that mutants.list takes away, in a copy of one source file, is noticed: by the unit test
# that its line names, or within its seeds by vong-sim-few's checks. Lines with more than 60 seeds, and those of unit tests
# without a mark, are tried with --all; names of lines may be given: then only those are tried.
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
build=${top_builddir:-.}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
lines() {
    grep '^m-' "$here/mutants.list" | while IFS='@' read -r name seeds rest; do
        if [ $# -eq 0 ]; then
            case $seeds in *unit*) continue ;; *check*) ;; *) [ "$seeds" -le 60 ] || continue ;; esac
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
compiled() { # source, the directory that it is of: an object in $dir, for few slots; else why not
    # shellcheck disable=SC2086
    $CC -DHAVE_CONFIG_H -DFEWER_SLOTS=256 -I"$build" -I"$top/src" -I"$top" -I"$build/src" -I"$top/$2" \
        $VONG_CFLAGS -w -O1 -c -o "$dir/$(basename "$1" .c).o" "$1" 2>&1
}
few() { # where: vong-sim-few's objects there
    find "$@" -name 'vong_sim_few-*.o'
}
linked() { # program, objects
    program=$1
    shift
    # shellcheck disable=SC2086
    $CC $VONG_CFLAGS -o "$dir/$program" "$@" $HIREDIS_LIBS $CRYPTO_LIBS $CMOCKA_LIBS -lm 2>&1
}
few_of_tests=$(few "$build/src" "$build/tests/sim/vong_sim_few-planes.o" "$build/tests/sim/vong_sim_few-sim_disk.o")
# shellcheck disable=SC2086
unit_made() { # the test, with few slots, which holds of the code as it is; else why not
    [ -f "$dir/$1.o" ] && return
    compiled "$top/tests/unit/$1.c" tests/unit && linked "$1" "$dir/$1.o" $few_of_tests || return 1
    "$dir/$1" >/dev/null 2>&1 && return
    echo "tests/unit/$1 fails with few slots as it is"
    rm "$dir/$1.o"
    return 1
}
# shellcheck disable=SC2046,SC2086
made() { # file, edit, test or -: $dir/mutated with it; else why not
    object="/$(dirname "$1")/vong_sim_few-$(basename "$1" .c).o\$"
    sed -e "$2" "$top/$1" >"$dir/mutant.c"
    cmp -s "$top/$1" "$dir/mutant.c" && echo "the edit changes nothing in $1" && return 1
    compiled "$dir/mutant.c" "$(dirname "$1")" || return 1
    if [ "$3" = - ]; then
        linked mutated "$dir/mutant.o" $(few "$build/src" "$build/tests/sim" | grep -v "$object")
    else
        unit_made "$3" && linked mutated "$dir/mutant.o" "$dir/$3.o" $(echo "$few_of_tests" | grep -v "$object")
    fi
}
# shellcheck disable=SC2086
noticed() { # seeds or of which kind, asked, file, edit
    case $1 in
    *[a-z]*)
        said=$(made $3 "$4" $2) || return 1
        said=$(timeout 100 "$dir/mutated" 2>&1) && return 1
        said=$(echo "$said" | grep -m 1 '^not ok\|a fact does not hold')
        [ -n "$said" ]
        ;;
    *)
        said=$(made $3 "$4" -) || return 1
        said=$("$dir/mutated" $2 --seeds $1 --until-wrong 2>&1) || echo "$said" | grep -q 'a fact does not hold'
        ;;
    esac
}
lines "$@" >"$dir/lines"
echo "1..$(($(wc -l <"$dir/lines") + 1))"
n=1
stale=$(stale)
[ -z "$stale" ] && echo "ok 1 - each edit finds its place in the source" || echo "not ok 1 - edits find no place:" $stale
while IFS='@' read -r name seeds asked file edit what; do
    n=$((n + 1))
    noticed "$seeds" "$asked" "$file" "$edit" && good=ok || good="not ok"
    echo "$good $n - it is noticed when$what"
    echo "$said" | cut -c1-200 | sed 's/^[^#]/# &/'
done <"$dir/lines"

#!/bin/sh
# Each room's whole archive links with nothing but the archives its row permits: a call upward would be
# an undefined symbol.
here=$(cd "$(dirname "$0")" && pwd)
. "$here/tap.sh"
root=${TIDY_ROOT:-${srcdir:-.}}
build=${TIDY_BUILD:-${top_builddir:-.}}
wrong=$tidy_tmp/wrong
echo 'int main(void) { return 0; }' >"$tidy_tmp/main.c"

archives() { # of one room
    [ -f "$root/src/$1/part.am" ] || return 0
    sed -n 's/^noinst_LIBRARIES *+= *//p' "$root/src/$1/part.am" | tr ' ' '\n' | sed '/^$/d'
}

rooms=$(sed -n 's|^include src/\(.*\)/part.am|\1|p' "$root/Makefile.am" | sort)
for room in $rooms; do
    own=$(archives "$room")
    [ -n "$own" ] || continue
    : >"$wrong"
    # The row's folders, and the rooms that hold single permitted files.
    below=$(awk -v room="$room/" '$1 == room { for (i = 3; i <= NF; i++) print $i }' "$here/rooms" |
        sed 's|/[^/]*$||' | sort -u | grep -vx "$room")
    under=
    for other in $below; do
        for found in $(printf '%s\n' $rooms | grep -E "^$other(/|\$)"); do
            [ "$found" = "$room" ] || under="$under $(archives "$found")"
        done
    done
    case $room in
    resp | node) outside=${HIREDIS_LIBS--lhiredis} ;; # node: it reads replies with resp/reply
    io) outside="${EV_LIBS--lev} -lpthread" ;;
    wire) outside=${CRYPTO_LIBS--lcrypto} ;;
    control | relay) # what wire/ stands on
        under="$under libresp.a"
        outside="${CRYPTO_LIBS--lcrypto} ${HIREDIS_LIBS--lhiredis}"
        ;;
    *) outside= ;;
    esac
    (cd "$build" && ${CC:-cc} ${VONG_CFLAGS} "$tidy_tmp/main.c" -o "$tidy_tmp/linked" \
        -Wl,--whole-archive $own -Wl,--no-whole-archive -Wl,--start-group $under -Wl,--end-group \
        $outside -lm) >"$tidy_tmp/said" 2>&1 || grep -E 'undefined|error|cannot' "$tidy_tmp/said" | sort -u >"$wrong"
    claim "src/$room links with the rooms below it alone" "$wrong"
done
: >"$wrong"
seen "$tidy_n" "$wrong"
claim "there were rooms to link" "$wrong"
finish

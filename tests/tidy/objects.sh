#!/bin/sh
# What the compiled archives of pure rooms ask for and hold.
here=$(cd "$(dirname "$0")" && pwd)
. "$here/tap.sh"
root=${TIDY_ROOT:-${srcdir:-.}}
build=${TIDY_BUILD:-${top_builddir:-.}}
wrong=$tidy_tmp/wrong
pure=$tidy_tmp/pure

# The archives of pure rooms, as their part.am say: archive <blank> room.
for part in $(sed -n "s|^include src/|$root/src/|p" "$root/Makefile.am"); do
    room=${part#"$root/src/"}
    room=${room%/part.am}
    grep -qE "^${room%%/*}/[ 	]+yes" "$here/rooms" || continue
    sed -n 's/^noinst_LIBRARIES *+= *//p' "$part" | tr ' ' '\n' | sed '/^$/d; s/$/ '"$(echo "$room" | sed 's|/|\\/|g')"'/'
done >"$pure"
: >"$wrong"
seen "$(wc -l <"$pure")" "$wrong"
while read -r archive room; do
    [ -f "$build/$archive" ] || echo "$archive (src/$room) is not built" >>"$wrong"
done <"$pure"
claim "the archive of every pure room is there to look at" "$wrong"
[ -s "$wrong" ] && finish

# Every name defined by any of our archives is not "outside".
(cd "$build" && nm --defined-only lib*.a 2>/dev/null | awk 'NF == 3 { print $3 }' | sort -u) >"$tidy_tmp/ours"
sed '/^#/d' "$here/permitted" | tr ' ' '\n' | sed '/^$/d' | sort -u >"$tidy_tmp/permitted"
sanitizers='^(__asan_|__ubsan_|__tsan_|__sanitizer_|__odr_|__gcov_|_GLOBAL__)'

: >"$wrong"
while read -r archive room; do
    (cd "$build" && nm -A -u "$archive") | sed 's/^[^:]*:\([^:]*\): *[Uwv] \(.*\)$/\1 \2/' |
        grep -vE " ${sanitizers#^}" >"$tidy_tmp/outside"
    while read -r object name; do
        grep -qxF "$name" "$tidy_tmp/ours" && continue
        grep -qxF "$name" "$tidy_tmp/permitted" && continue
        case "$object $name" in
        # The documented exceptions: memory comes from base/mem; a failed check writes one line and
        # ends the process; hiredis is a pure reader; a proof is a function of its arguments.
        mem.o\ malloc | mem.o\ calloc | mem.o\ realloc | mem.o\ free | mem.o\ aligned_alloc) ;;
        mem.o\ sdallocx | mem.o\ nallocx | mem.o\ abort) ;;
        err.o\ write | err.o\ abort) ;;
        reply.o\ redisReader*) ;;
        proof.o\ HMAC | proof.o\ EVP_sha256 | proof.o\ CRYPTO_memcmp) ;;
        *) echo "src/$room: $object asks for $name" >>"$wrong" ;;
        esac
    done <"$tidy_tmp/outside"
done <"$pure"
claim "pure rooms ask nothing of the system" "$wrong"

: >"$wrong"
if grep -q '^__asan_\|^__tsan_' "$tidy_tmp/ours" ||
    (cd "$build" && nm -u libbase.a | grep -qE '__(asan|tsan)_'); then
    tidy_n=$((tidy_n + 1))
    echo "ok $tidy_n - no room keeps state in a global # SKIP sanitizers add globals of their own"
    finish
fi
while read -r archive room; do
    # Asked by section and not by letter: a const table of pointers lies in .data.rel.ro.
    (cd "$build" && objdump -t "$archive") | awk -v room="$room" '
        /file format/ { object = $1; sub(/:.*/, "", object) }
        $0 ~ /[ \t](\.data|\.bss|\.tdata|\.tbss|\*COM\*)(\.[^ \t]*)?[ \t]/ {
            if ($0 ~ /[ \t]\.data\.rel\.ro/ || $0 ~ / d  ?\./)
                next
            print "src/" room ": " object " keeps " $NF
        }' >>"$wrong"
done <"$pure"
claim "no room keeps state in a global" "$wrong"
finish

#!/bin/sh
# Arrows go down only: every #include "room/file" is permitted by the row of tests/tidy/rooms.
here=$(cd "$(dirname "$0")" && pwd)
. "$here/tap.sh"
root=${TIDY_ROOT:-${srcdir:-.}}
wrong=$tidy_tmp/wrong
: >"$wrong"

cd "$root/src" || exit 99
find . -name '*.[ch]' -o -name '*.def' | sed 's|^\./||' | sort >"$tidy_tmp/files"
seen "$(wc -l <"$tidy_tmp/files")" "$wrong"

# file <blank> included, for every include in quotes
xargs awk '/^[ \t]*#[ \t]*include[ \t]*"/ {
    split($0, part, "\""); print FILENAME, part[2], FNR }' <"$tidy_tmp/files" >"$tidy_tmp/arrows"
awk -v rooms="$here/rooms" '
    BEGIN {
        while ((getline line < rooms) > 0) {
            if (line ~ /^#/ || split(line, w, /[ \t]+/) < 3)
                continue
            row[w[1]] = line
        }
    }
    {
        best = ""
        for (prefix in row)
            if (index($1, prefix) == 1 && length(prefix) > length(best))
                best = prefix
        if (best == "") {
            print $1 ": no row of tests/tidy/rooms is about it"
            next
        }
        n = split(row[best], may, /[ \t]+/)
        permitted = 0
        for (i = 3; i <= n; i++)
            if (may[i] != "" && index($2, may[i]) == 1)
                permitted = 1
        if (!permitted)
            print $1 ":" $3 ": may not include \"" $2 "\""
    }' "$tidy_tmp/arrows" >>"$wrong"
seen "$(wc -l <"$tidy_tmp/arrows")" "$wrong"
claim "every include points down, as the rooms permit" "$wrong"

only() { # header, the files that may include it, title
    find . -name '*.[ch]' -exec grep -nE "^[ 	]*#[ 	]*include[ 	]*<$1" /dev/null {} + |
        sed 's|^\./||' | grep -vE "^($2)" >"$tidy_tmp/only"
    claim "$3" "$tidy_tmp/only"
}
only 'hiredis/' 'resp/reply\.c' "hiredis is included by resp/reply.c alone"
only 'ev\.h' 'io/' "libev is included by io/ alone"
only '(sys|netinet|arpa|unistd\.h|fcntl\.h|time\.h|pthread\.h|signal\.h|poll\.h|errno\.h)' \
    '(io|server|proxy)/|base/err\.c:[0-9]*:#include <unistd\.h>' \
    "headers of the system are included by io/, server/ and proxy/ alone, and for base/err's last words"
only 'openssl/' '(io|server|proxy)/|wire/proof\.c' "OpenSSL is included by the shell and wire/proof alone"
only 'jemalloc/' '(server|proxy)/|base/mem\.c' "jemalloc is named by the programs and base/mem alone"
finish

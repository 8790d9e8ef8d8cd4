# TAP for scripts: `claim TITLE FILE` passes when FILE, the list of what contradicts it, is empty.
# Sourced. A test that has nothing to look at fails: `seen N` tells how much there was.
tidy_n=0
tidy_tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tidy_tmp"' EXIT

claim() {
    tidy_n=$((tidy_n + 1))
    if [ -s "$2" ]; then
        echo "not ok $tidy_n - $1"
        sed 's/^/#   /' "$2"
    else
        echo "ok $tidy_n - $1"
    fi
}

skip() { # title, why
    tidy_n=$((tidy_n + 1))
    echo "ok $tidy_n - $1 # SKIP $2"
}

seen() {
    [ "$1" -gt 0 ] || echo "nothing was looked at" >>"$2"
}

finish() {
    echo "1..$tidy_n"
    exit 0 # the lines tell; a status would count once more
}

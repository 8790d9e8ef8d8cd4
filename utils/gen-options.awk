# SPDX-License-Identifier: BSD-3-Clause
#
# Makes man/vong.conf.5 from the rows of the directives.
#
#     awk -f gen-options.awk src/conf/options.c src/conf/options.def
#
# From options.c come the words of the enumerations, from options.def everything else: a row is a line
# OPT(...) whose strings hold no escaped quotes, a heading a comment of one line. POSIX awk.

FILENAME ~ /options\.c$/ {
    if (match($0, /choices_[a-z_]+\[\]/)) {
        tag = substr($0, RSTART + 8, RLENGTH - 10)
        words[tag] = ""
    }
    if (tag != "") {
        n = split($0, part, "\"")
        for (i = 2; i <= n; i += 2)
            words[tag] = words[tag] (words[tag] == "" ? "" : ", ") part[i]
        if ($0 ~ /;[ \t]*$/)
            tag = ""
    }
    next
}

!started { print_head(); started = 1 }
/^\/\* [A-Z].*\. \*\/$/ && !/SPDX/ {
    heading = substr($0, 4, length($0) - 7)
    print ".SH " toupper(heading)
}
/^OPT\(/ { print_row() }
/^BARE\(/ { bare[++bares] = $0 }
END { if (rows == 0) exit 1; print_tail() }

function quoted(s) {
    gsub(/\\/, "\\e", s)
    gsub(/-/, "\\-", s)
    return s
}

function print_head() {
    print ".\\\" Made from src/conf/options.def by utils/gen-options.awk."
    print ".TH VONG.CONF 5 \"\" Vong \"File formats\""
    print ".SH NAME"
    print "vong.conf \\- configuration of vong\\-server and vong\\-proxy"
    print ".SH DESCRIPTION"
    print "One directive per line: a name, in any case, and its values, with blanks between. Lines that"
    print "begin with # are comments. A value with blanks stands in double quotes, where \\en, \\er, \\et,"
    print "\\eb, \\ea, \\exHH and \\e\" are known, or in single quotes. Memory has units: k, m and g are powers of"
    print "1000, kb, mb and gb of 1024. The last line about a directive counts, but for save and"
    print "client\\-output\\-buffer\\-limit, whose lines add up."
    print ".PP"
    print ".B include"
    print "reads further files, whose name may be a pattern, where the line stands."
    print ".PP"
    print "Every directive may also be given on the command line, as \\-\\-name value. CONFIG SET changes those"
    print "marked"
    print ".I live"
    print "while the server runs, several at once if wanted; CONFIG REWRITE writes the changes into the file."
    print ".PP"
    print "The names are those of Redis 7.2, each of which either works, has"
    print ".I no effect here"
    print "(and the log says so at the start), or is"
    print ".I refused"
    print "when it asks for what this version cannot do."
}

function range(type, least, most,   kind) {
    kind = type
    if (type == "BOOL")
        return "yes or no"
    if (type ~ /^ENUM/) {
        kind = type
        sub(/^ENUM\(/, "", kind)
        sub(/\)$/, "", kind)
        if (words[kind] == "") {
            print "gen-options.awk: no words for " type > "/dev/stderr"
            exit 1
        }
        return words[kind]
    }
    if (type == "INT" || type == "OCTAL" || type == "MEM" || type == "MEMPCT") {
        kind = type == "MEM" ? "memory" : type == "MEMPCT" ? "memory or a percentage" : type == "OCTAL" ? "octal number" : "number"
        if (least ~ /MIN/ || type == "MEMPCT")
            return kind
        return most ~ /MAX/ ? kind ", at least " least : kind ", " least " to " most
    }
    return type == "STR" ? "text" : type == "EVENTS" ? "letters" : "list"
}

function print_row(   p, n, at, name, alias, head, flags, bounds, b, note, help, type, state) {
    n = split($0, p, "\"")
    name = p[2]
    alias = ""
    at = 3
    if (n == 11) {
        alias = p[4]
        at = 5
    } else if (n != 9) {
        print "gen-options.awk: not a row: " $0 > "/dev/stderr"
        exit 1
    }
    head = p[1]
    sub(/^OPT\(/, "", head)
    type = head
    sub(/,.*/, "", type)
    flags = p[at]
    split(p[at + 2], b, /, */)
    note = p[at + 3]
    help = p[at + 5]
    rows++
    if (flags ~ /HIDDEN/)
        return
    state = flags ~ /FIXED/ ? "at the start only" : "live"
    if (flags ~ /PROTECTED/)
        state = state ", protected"
    if (flags ~ /PROXY_ONLY/)
        state = state ", of vong\\-proxy alone"
    else if (flags ~ /PROXY$|PROXY[ ,]/)
        state = state ", of vong\\-proxy too"
    print ".TP"
    print "\\fB" quoted(name) "\\fR" (alias == "" ? "" : " (also \\fB" quoted(alias) "\\fR)")
    print quoted(help)
    print "Takes: " quoted(range(type, b[2], b[3])) ". Default: " \
        (p[at + 1] == "" ? "none" : quoted(p[at + 1])) ". \\fI" state "\\fR."
    if (flags ~ /IDLE/)
        print "\\fINo effect here\\fR: " quoted(note) "."
    if (flags ~ /REFUSED/)
        print "Anything but the default is \\fIrefused\\fR: " quoted(note) "."
}

function print_tail(   i, p) {
    print ".SH \"NO DIRECTIVES HERE\""
    for (i = 1; i <= bares; i++) {
        split(bare[i], p, "\"")
        if (p[2] == "include")
            continue
        print ".TP"
        print "\\fB" quoted(p[2]) "\\fR"
        print (bare[i] ~ /REFUSE/) ? "Refused: " quoted(p[4]) "." : "Ignored, as in Redis."
    }
    print ".SH \"SEE ALSO\""
    print ".BR vong\\-server (8),"
    print ".BR vong\\-proxy (8),"
    print ".BR vong\\-commands (7)"
}

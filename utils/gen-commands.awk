# SPDX-License-Identifier: BSD-3-Clause
#
# Reads src/cmd/commands.def and prints what is made from it.
#
#     awk -f gen-commands.awk -v make=man   commands.def    man/vong-commands.7
#     awk -f gen-commands.awk -v make=index commands.def    src/cmd/spec_index.h
#
# A row begins with CMD( or SUB( at the start of a line and ends with the line of its summary, which
# alone ends with `")`. POSIX awk, and mawk in particular: no arrays of arrays, no gensub.

/^(CMD|SUB)\(/ { row = ""; inside = 1 }
inside { row = row $0 "\n" }
inside && /"\)$/ {
    inside = 0
    take_row(row, $0)
}

END {
    if (inside || rows == 0) {
        print "gen-commands.awk: a row without end, or no rows at all" > "/dev/stderr"
        exit 1
    }
    if (make == "man")
        print_man()
    else if (make == "index")
        print_index()
    else {
        print "gen-commands.awk: -v make=man or -v make=index" > "/dev/stderr"
        exit 1
    }
}

# The n-th string of the row's text.
function quoted(text, n,    part)
{
    split(text, part, "\"")
    return part[2 * n]
}

function take_row(text, last_line,    ids, id)
{
    ids = text
    sub(/^(CMD|SUB)\(/, "", ids)
    rows++
    split(ids, id, /, */)
    if (text ~ /^SUB/) {
        name[rows] = quoted(text, 1) " " quoted(text, 2)
        is_sub[rows] = 1
    } else {
        name[rows] = quoted(text, 1)
        ident[rows] = "SPEC_" id[1]
        if (text ~ /, CONTAINER,/)
            is_container[rows] = 1
    }
    match(text, /GROUP_[A-Z]+/)
    group[rows] = tolower(substr(text, RSTART + 6, RLENGTH - 6))
    if (!(group[rows] in group_seen)) {
        group_seen[group[rows]] = 1
        groups[++groups_n] = group[rows]
    }
    match(text, /(SINCE|REPLACED)\("[0-9.]+"/)
    since[rows] = quoted(substr(text, RSTART, RLENGTH), 1)
    if (text ~ /REPLACED\(/) {
        match(text, /REPLACED\([^)]*/)
        instead[rows] = quoted(substr(text, RSTART, RLENGTH), 3)
    }
    sub(/^ *"/, "", last_line)
    sub(/"\)$/, "", last_line)
    summary[rows] = last_line
}

# roff reads a hyphen as a hyphen and a leading dot as a request.
function roff(text)
{
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    sub(/^\./, "\\\\\\&.", text)
    return text
}

function print_man(    g, i)
{
    print ".\\\" Made by utils/gen-commands.awk from src/cmd/commands.def."
    print ".TH VONG\\-COMMANDS 7 \"\" \"Vong\" \"Vong manual\""
    print ".SH NAME"
    print "vong\\-commands \\- the commands of vong\\-server"
    print ".SH DESCRIPTION"
    print "Every command, by group; the number is the version of Redis that first had it."
    print "Names are taken in any case."
    print ".B COMMAND DOCS"
    print "gives the arguments of each to programs."
    for (g = 1; g <= groups_n; g++) {
        print ".SH " toupper(groups[g])
        for (i = 1; i <= rows; i++)
            if (group[i] == groups[g] && !is_container[i])
                print_man_row(i)
    }
    print ".SH SEE ALSO"
    print ".BR vong\\-server (8),"
    print ".BR vong.conf (5)"
}

function print_man_row(i)
{
    print ".TP"
    print ".BR \"" roff(toupper(name[i])) "\" \" (" since[i] ")\""
    print roff(summary[i])
    if (i in instead)
        print roff("Better: " instead[i] ".")
}

# A hash table by open addressing over the top-level names. The formulas are those of spec.c:
# name_word, the first eight bytes as a little-endian processor reads them, and name_slot. awk
# counts in doubles, exact up to 2^53: hence halves of 32 and of 16 bits.
function print_index(    i, n, slots, at, taken, code, c, word, low, high)
{
    slots = 512
    for (i = 32; i < 127; i++)
        code[sprintf("%c", i)] = i
    print "/* SPDX-License-Identifier: BSD-3-Clause */"
    print "/* Made by utils/gen-commands.awk from commands.def. */"
    print "enum { SPEC_INDEX_SLOTS = " slots " };"
    print "static const struct name_slot spec_index[SPEC_INDEX_SLOTS] = {"
    for (i = 1; i <= rows; i++) {
        if (is_sub[i])
            continue
        n = length(name[i])
        word = ""
        low = high = 0
        for (c = n < 8 ? n : 8; c > 0; c--) {
            word = word sprintf("%02x", code[substr(name[i], c, 1)])
            if (c > 4)
                high = high * 256 + code[substr(name[i], c, 1)]
            else
                low = low * 256 + code[substr(name[i], c, 1)]
        }
        at = int(times_odd((low + high + n) % 4294967296) / 8388608)
        while (at in taken)
            at = (at + 1) % slots
        taken[at] = 1
        print "    [" at "] = {0x" word ", " n ", " ident[i] "},"
        if (++tops * 4 > slots) {
            print "gen-commands.awk: the index is over a quarter full" > "/dev/stderr"
            exit 1
        }
    }
    print "};"
}

# x * 0xb5a1f82b modulo 2^32.
function times_odd(x,    high)
{
    high = int(x / 65536)
    return ((high * 3047290923) % 65536 * 65536 + (x - high * 65536) * 3047290923) % 4294967296
}

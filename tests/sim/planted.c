/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/planted.h"

#include <string.h>

#include "base/check.h"
#include "tests/sim/history_text.h"

const struct planted planted_rows[PLANTED] = {
    {"a stale read", "1-2 set a 5; 3-4 set a 6; 5-6 get a 5", "1-2 set a 5; 3-6 set a 6; 4-5 get a 5"},
    {"a lost write", "1-2 set a 5; 3-4 get a 0", "1-3 set a 5; 2-4 get a 0"},
    {"a write that is seen, then unseen", "1-9 set a 5; 2-3 get a 5; 4-5 get a 0", "1-9 set a 5; 2-3 get a 0; 4-5 get a 5"},
    {"one client's writes in another order", "1-5 set a 5; 1-5 after 1 set a 6; 6-7 get a 5",
     "1-5 set a 5; 1-5 set a 6; 6-7 get a 5"},
    {"a write of unknown fate that is seen, then unseen", "1-? set a 5; 2-3 get a 5; 4-5 get a 0",
     "1-? set a 5; 2-3 get a 0; 4-5 get a 5"},
    {"a write of unknown fate that comes a second time",
     "1-? set a 5; 2-3 get a 5; 4-5 set a 6; 6-7 get a 6; 8-9 get a 5", "1-? set a 5; 4-5 set a 6; 6-7 get a 6; 8-9 get a 5"},
    {"an INCR that counts twice", "1-? incr c; 2-3 incr c 3", "1-? incr c; 1-? incr c; 2-3 incr c 3"},
    {"two INCRs that are told the same", "1-3 incr c 1; 2-4 incr c 1", "1-3 incr c 2; 2-4 incr c 1"},
    {"an INCR that is told and does not count", "1-2 incr c 1; 3-4 incr c 1", "1-2 incr c 1; 3-? del c; 4-5 incr c 1"},
    {"a read from the future", "1-2 get a 5; 3-? set a 5", "1-4 get a 5; 3-? set a 5"},
    {"two clients that see two orders",
     "1-30 set a 5; 1-30 set a 6; 2-10 get a 5; 2-10 get a 6; 11-20 get a 6; 11-20 get a 5",
     "1-30 set a 5; 1-30 set a 6; 2-10 get a 5; 2-11 get a 6; 11-20 get a 6; 11-20 get a 6"},
    {"two clients that see two orders of two keys", "1-9 set a 5; 1-9 set b 6; 2-3 get a 5 + get b 0; 2-3 get a 0 + get b 6",
     "1-9 set a 5; 1-9 set b 6; 2-3 get a 5 + get b 0; 2-4 get a 5 + get b 6"},
    {"half a transaction", "1-9 set a 5 + set b 6; 2-3 get a 5 + get b 0", "1-9 set a 5 + set b 6; 2-3 get a 0 + get b 0"},
    {"half a transaction of unknown fate", "1-? set a 5 + set b 6; 2-3 get b 6; 4-5 get a 0",
     "1-? set a 5 + set b 6; 2-3 set a 7; 4-5 get b 6 + get a 7"},
    {"a transaction that ran although a watched key had changed", "1-2 get a 0; 3-4 set a 5; 5-6 is a 0 + set b 6",
     "1-2 get a 0; 3-6 set a 5; 5-6 is a 0 + set b 6"},
    {"a DEL that is told of nothing", "1-2 set a 5; 3-4 del a 0", "1-2 set a 5; 2-? del a; 3-4 del a 0"},
    {"appended pieces in another order", "1-2 append d 7 1; 3-4 append d 8 2; 5-6 get d 8 7",
     "1-4 append d 7 2; 3-4 append d 8 1; 5-6 get d 8 7"},
    {"a piece of unknown fate that is appended twice", "1-? append d 7; 2-3 append d 8 2; 4-5 get d 7 8 7",
     "1-? append d 7; 2-3 append d 8 1; 4-5 get d 8; 6-7 get d 8 7"},
    {"a power cut that takes what had lasted", "1-2 set a 5; 10 loss 4; 11-12 get a 0", "1-5 set a 5; 10 loss 4; 11-12 get a 0"},
    {"a power cut that takes the older and leaves the newer", "1-2 set a 5; 5-6 set b 6; 10 loss 0; 11-12 get a 0 + get b 6",
     "1-2 set a 5; 5-6 set b 6; 10 loss 0; 11-12 get a 5 + get b 0"},
    {"a second power cut that takes what was read before it, and had lasted", "1-2 set a 5; 8 loss 0; 9-9 get a 5; 10 loss 9; 11-12 get a 0",
     "1-2 set a 5; 8 loss 0; 9-9 get a 5; 10 loss 1; 11-12 get a 0"},
    {"a second power cut that brings back what the first took", "1-2 set a 5; 8 loss 0; 9-9 get a 0; 10 loss 0; 11-12 get a 5",
     "1-2 set a 5; 8 loss 0; 9-9 get a 0; 10 loss 0; 11-12 get a 0"},
    {"an evicted value that comes back", "evicts; 1-2 set a 5; 3-4 get a 0; 5-6 get a 5", "evicts; 1-2 set a 5; 3-6 get a 0; 5-6 get a 5"},
    {"an eviction that leaves an older value", "evicts; 1-2 set a 5; 3-4 set a 6; 5-6 get a 5", "evicts; 1-2 set a 5; 3-4 set a 6; 5-6 get a 0"},
    {"a count that is evicted in part", "evicts; 1-2 incr c 1; 3-4 incr c 2; 5-6 incr c 2", "evicts; 1-2 incr c 1; 3-4 incr c 2; 5-6 incr c 1"},
    {"an unknown INCR behind an eviction that counts twice", "evicts; 1-2 incr c 1; 3-4 incr c 2; 5-? incr c; 6-7 incr c 2; 8-9 incr c 4",
     "evicts; 1-2 incr c 1; 3-4 incr c 2; 5-? incr c; 6-7 incr c 2; 8-9 incr c 3"},
    {"half a transaction's writes, one evicted, the other older", "evicts; 1-2 set b 4; 3-4 set a 5 + set b 6; 5-6 get a 0 + get b 4",
     "evicts; 1-2 set b 4; 3-4 set a 5 + set b 6; 5-6 get a 0 + get b 6"},
    {"an eviction in the midst of a transaction", "evicts; 1-2 set a 5; 3-4 get a 5 + get a 0", "evicts; 1-2 set a 5; 3-4 get a 0 + get a 0"},
    {"a piece that outlasts the eviction of the others", "evicts; 1-2 append d 7 1; 3-4 append d 8 2; 5-6 get d 7",
     "evicts; 1-2 append d 7 1; 3-4 append d 8 1; 5-6 get d 8"},
    {"what is left of a group given up, read as two values", "1-2 set a 5; 3-4 set a 6; 10 given up; 11-12 get a 5; 13-14 get a 6",
     "1-2 set a 5; 3-4 set a 6; 10 given up; 11-12 get a 5; 13-14 get a 5"},
    {"what was never there, left of a group given up", "1-2 set a 5; 10 given up; 11-12 get a 6; 13-14 set a 6",
     "1-2 set a 5; 3-? set a 6; 10 given up; 11-12 get a 6; 13-14 set a 7"},
    {"a write after a group was given up that is lost", "1-2 set a 5; 10 given up; 11-12 set a 6; 13-14 get a 5",
     "1-2 set a 5; 10 given up; 11-12 set a 6; 13-14 get a 6"},
    {"a count after a group was given up that goes back", "1-2 incr c 1; 3-4 incr c 2; 10 given up; 11-12 incr c 1; 13-14 incr c 3",
     "1-2 incr c 1; 3-4 incr c 2; 10 given up; 11-12 incr c 1; 13-14 incr c 2"},
    {"a power cut that brings back what was before a group was given up", "1-2 set a 5; 10 given up; 11-12 set a 6; 20 loss 15; 21-22 get a 5",
     "1-2 set a 5; 10 given up; 11-12 set a 6; 20 loss 11; 21-22 get a 5"},
};

void planted_read(struct history *to, const char *text)
{
    static const char evicts[] = "evicts;";
    to->evicts = strncmp(text, evicts, strlen(evicts)) == 0;
    text += to->evicts ? strlen(evicts) : 0;
    do
        check(history_op_read(&text, vec_add(&to->ops)));
    while (*text++ == ';');
    check(text[-1] == '\0');
}

static bool is_judged(const char *text, enum history_verdict verdict)
{
    struct history h = {0};
    planted_read(&h, text);
    bool good = history_judge(&h).verdict == verdict;
    vec_free(&h.ops);
    return good;
}

const char *planted_misjudged(void)
{
    for (size_t i = 0; i < PLANTED; i++)
        if (!is_judged(planted_rows[i].wrong, HISTORY_BAD) || !is_judged(planted_rows[i].right, HISTORY_GOOD))
            return planted_rows[i].what;
    return NULL;
}

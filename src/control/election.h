/* SPDX-License-Identifier: BSD-3-Clause */

/* Who is to be primary of a slot that has none, and who is in sync with it from then on:
 * replication 21 and 22, as a function of the map, of the reports that count, and of the time.
 * It keeps nothing. */
#ifndef CONTROL_ELECTION_H
#define CONTROL_ELECTION_H

#include "base/moment.h"
#include "core/map/map.h"

/* Where a replica stands. It counts only while its node is live and of its known
 * incarnation, and if it was made after whatever was last said of the node (20): what is
 * given to election_choose does. */
struct election_report {
    uint16_t place;
    /* it counts as the own one of who was in sync in this or a later run of the node (22) */
    uint32_t clean_since;
    /* of the runs before this one its data is other data: its data-id is another, or its log lost
     * more than a torn tail. Then it is data, and no member's (22) */
    uint32_t data_since;
    struct position at;
    struct mono heard;
};

struct election_view {
    const struct map *map;
    const struct map_slot *slot; /* without a primary */
    const struct election_report *report;
    unsigned report_n; /* at most one of each replica */
    struct mono now;
    struct mono began; /* reports were looked for since then */
    /* per place: when something was last said of the node, as known here (20) */
    const struct mono *said;
    int64_t timeout_us; /* T */
};

enum election_state {
    ELECTION_WAITS = 1, /* for time (`due`), or for a report */
    /* who was in sync is back without its data, all of them: an operator's word is needed (22) */
    ELECTION_LOST,
    ELECTION_MADE
};

struct election_choice {
    enum election_state state;
    bool give_up; /* MADE by an operator's word: a lost member's report was not waited for (22) */
    uint8_t n;    /* MADE: the new isr, */
    uint16_t node[MAP_COPIES]; /* its primary first */
    /* WAITS: for these, which have not reported within T: to be made SUSPECT (21) */
    uint8_t mute_n;
    uint16_t mute[MAP_COPIES];
    struct mono due; /* WAITS: looked at again then, if nothing new comes before */
};

void election_choose(const struct election_view *v, struct election_choice *c);

#endif

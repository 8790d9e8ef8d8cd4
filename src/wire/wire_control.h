/* SPDX-License-Identifier: BSD-3-Clause */

/* What control planes ask of one another beside heartbeats and consensus: joining, proposals, the
 * committed log, reports. Entries travel as in the controller's log, opaque here (wire_map.h). */
#ifndef WIRE_WIRE_CONTROL_H
#define WIRE_WIRE_CONTROL_H

#include "core/map/plane_word.h"
#include "wire/wire.h"

enum { FETCH_ENTRIES = 256 };                /* in one VONG.ENTRIES */
enum { FETCH_BYTES = 1024 * 1024 };          /* the same, when more than one */
enum { REPORT_SLOTS = 4096 };                /* in one VONG.REPORT: three fields each */
enum { FETCH_MAP_BYTES = 64 * 1024 * 1024 }; /* a map is far smaller: a bound for the reader */

/* A node that is in no cluster asks any member. */
struct wire_join {
    struct slice entry; /* MAP_JOIN about itself */
};

struct wire_joined {
    struct cluster_id cluster;
    char why_not[WIRE_WHY_BYTES]; /* empty: it is a member from now on */
};

/* CLUSTER MEET: the one asked tells the one named of itself. */
struct wire_meet {
    struct cluster_id cluster; /* its own */
    uint32_t members_n;
    bool has_data;
    char ip[IP_BYTES]; /* where it is reached; empty: where it calls from */
    uint16_t cluster_port;
};

enum met {                 /* who joins whom */
           MET_I_JOIN = 1, /* the one named joins the one asked */
           MET_YOU_JOIN,   /* the one asked may join the one named, being empty and alone */
           MET_SAME,       /* they are in one cluster already */
           MET_NEITHER     /* why */
};
struct wire_met {
    enum met met;
    char why[WIRE_WHY_BYTES];
};

/* To the leader. */
struct wire_propose {
    uint64_t token; /* the proposer's, comes back */
    struct slice entry;
};
struct wire_proposed {
    uint64_t token;
    /* it is decided when entry `index` is applied, if that one is of `term`; 0: it was not taken */
    uint64_t index, term;
    struct node_id leader;    /* as the answerer knows it; all zero: unknown */
    char why[WIRE_WHY_BYTES]; /* not taken: why */
};

/* A node that does not vote follows the log from whoever is ahead. */
struct wire_fetch {
    uint64_t from; /* the first index wanted */
};
struct wire_entry {
    uint64_t term;
    uint8_t type; /* enum raft_entry_type */
    struct slice bytes;
};
struct wire_entries {
    struct node_id leader; /* as the answerer knows it; all zero: unknown */
    uint64_t first;
    size_t n;
    struct wire_entry at[FETCH_ENTRIES];
};
struct wire_whole { /* in place of entries that are kept no more */
    uint64_t index;
    struct slice voters; /* raft_voters_put */
    struct slice map;
};

struct wire_report {
    uint64_t base;
    uint32_t incarnation;
    uint32_t clean_since; /* as in the word of the data plane */
    uint32_t data_since;
    size_t n;                 /* at most REPORT_SLOTS */
    struct word_position *at; /* of get: to be freed by mem_free */
};

/* Of the sender itself, or of somebody the sender has it from. */
struct wire_here {
    struct node_id id;
    char ip[IP_BYTES]; /* empty: where the sender calls from */
    uint16_t cluster_port;
};

void put_join(struct chain *to, const struct wire_join *m);
enum err get_join(struct wire_in *in, struct wire_join *m) MUST_CHECK;
void put_joined(struct chain *to, const struct wire_joined *m);
enum err get_joined(struct wire_in *in, struct wire_joined *m) MUST_CHECK;
void put_meet(struct chain *to, const struct wire_meet *m);
enum err get_meet(struct wire_in *in, struct wire_meet *m) MUST_CHECK;
void put_met(struct chain *to, const struct wire_met *m);
enum err get_met(struct wire_in *in, struct wire_met *m) MUST_CHECK;
void put_propose(struct chain *to, const struct wire_propose *m);
enum err get_propose(struct wire_in *in, struct wire_propose *m) MUST_CHECK;
void put_proposed(struct chain *to, const struct wire_proposed *m);
enum err get_proposed(struct wire_in *in, struct wire_proposed *m) MUST_CHECK;
void put_fetch(struct chain *to, const struct wire_fetch *m);
enum err get_fetch(struct wire_in *in, struct wire_fetch *m) MUST_CHECK;
void put_entries(struct chain *to, const struct wire_entries *m);
enum err get_entries(struct wire_in *in, struct wire_entries *m) MUST_CHECK;
void put_whole(struct chain *to, const struct wire_whole *m);
enum err get_whole(struct wire_in *in, struct wire_whole *m) MUST_CHECK;
void put_report(struct chain *to, const struct wire_report *m);
enum err get_report(struct wire_in *in, struct wire_report *m) MUST_CHECK;
void put_here(struct chain *to, const struct wire_here *m);
enum err get_here(struct wire_in *in, struct wire_here *m) MUST_CHECK;

#endif

/* SPDX-License-Identifier: BSD-3-Clause */

/* What is said of one member, and what this node believes of it.
 *
 * A rumor about X is X's own statement in its newest heartbeat that reached somebody, passed on
 * with its age. The greater t wins; of another than the known incarnation none is believed (M4). */
#ifndef CORE_MEMBER_RUMOR_H
#define CORE_MEMBER_RUMOR_H

#include "base/moment.h"
#include "base/rng.h"
#include "base/vec.h"
#include "core/map/map.h"
#include "core/types.h"

enum { DOUBTERS_MAX = 8 }; /* remembered per member: enough to see that it is not one bad link */
enum { RUMOR_NEVER = -1 }; /* an age: it never was */

struct member_load {
    uint64_t memory_bytes;
    uint64_t ops_per_s;
};

struct rumor {
    struct node_id about;
    uint32_t incarnation;
    int64_t t; /* its clock at that heartbeat; only its order has a meaning elsewhere */
    bool has_lease;
    uint64_t map_version; /* of its data plane */
    struct member_load load;
    int64_t age_us;     /* since that heartbeat came to whoever heard it */
    int64_t refused_us; /* since a connection to it was refused, if that was later; RUMOR_NEVER */
};

/* The newest of the entries SUSPECTED, DOWNED, CLEARED and RESTARTED about a member in this
 * node's own log or snapshot, committed or not (replication 16); one that was void when it was
 * applied does not count. */
enum member_about {
    MEMBER_ABOUT_NONE, /* none, or behind its JOIN none */
    MEMBER_STOPS,      /* SUSPECTED or DOWNED; or any that is not committed */
    MEMBER_ALLOWS      /* a committed CLEARED or RESTARTED */
};

struct member_known { /* what log and map say of a member */
    struct node_id id;
    uint32_t incarnation; /* the known one, as committed */
    enum member_about about;
    uint64_t about_index; /* of that entry; NONE: 0 */
    bool is_pending; /* that entry is not applied yet: it decides before another is asked for */
    enum map_health health; /* as committed */
    uint64_t health_index;  /* of the entry that made it so; 0: none */
};

struct member_doubt {
    struct node_id by; /* says that it has not heard for T/4 */
    struct mono at;
};

struct member_peer { /* what this node believes of a member */
    struct member_known known;
    struct rumor last;   /* ages unused; t 0: nothing was ever said */
    struct mono risen;   /* when its newest heartbeat came to whoever heard it, here or elsewhere */
    struct mono heard;   /* ... to this node itself */
    struct mono refused; /* the newest refusal known; {0}: none */
    struct mono no_lease; /* since when it says that it has none; MONO_NEVER: it has */
    struct mono well;     /* since when it is heard well (17); MONO_NEVER: it is not */
    struct mono suspect;  /* since when this node knows of the committed entry health_index (17) */
    struct mono asked, asked_first; /* others were asked; MONO_NEVER: not, in this silence */
    struct mono newer;              /* the newest heartbeat of a later incarnation; {0}: none */
    struct mono told;               /* news of it: not again before */
    uint32_t hot;                   /* so many messages more carry it first */
    struct member_doubt doubts[DOUBTERS_MAX];
};

struct rumors {
    VEC(struct member_peer) peers; /* ordered by id */
    size_t next;                   /* round and round: whose turn it is to be told of */
};

struct member_peer *rumors_find(struct rumors *r, const struct node_id *id); /* NULL: no member */

/* The members are these now; who stays in the same incarnation keeps what was said of it. */
void rumors_set(struct rumors *r, const struct member_known *known, size_t n, struct mono now);
void rumors_free(struct rumors *r);

/* Believes it or not; true: it was news. doubted_us: an age from which the teller doubts. */
bool rumor_take(struct rumors *r, const struct node_id *by, const struct rumor *said,
                struct mono now, int64_t doubted_us);
void rumor_refused(struct rumors *r, struct member_peer *p, struct mono at); /* and passes it on */
struct rumor rumor_of(const struct member_peer *p, struct mono now);         /* to be told now */

/* At most n to tell: what is hot first, then whose turn it is. How many. */
size_t rumors_pick(struct rumors *r, const struct node_id *self, struct rumor *to, size_t n,
                   struct mono now);
uint32_t rumor_doubters(const struct member_peer *p, struct mono now, int64_t within_us);

#endif

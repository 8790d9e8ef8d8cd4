/* SPDX-License-Identifier: BSD-3-Clause */

/* The insides of a control plane, for the files of this room alone. */
#ifndef CONTROL_INSIDE_H
#define CONTROL_INSIDE_H

#include "base/rng.h"
#include "control/contact.h"
#include "control/control.h"
#include "control/election.h"
#include "core/member/member.h"
#include "core/raft/raft.h"
#include "wire/wire_control.h"

/* Committed entries kept for who follows: minutes of the busiest map,. */
enum { TAIL_ENTRIES = 4096 };
enum { TAIL_BYTES = 4 * 1024 * 1024 }; /* and never more than this */
/* Proposals under way: more clients than that want no cluster changed. */
enum { TICKETS_MAX = 1024 };
/* Then whoever asked is told that there is no controller. */
enum { TICKET_US = 10 * 1000 * 1000 };
enum { HANDSHAKE_US = 5 * 1000 * 1000 }; /* a stranger may hold a descriptor no longer */
enum { SEED_RETRY_US = 1000 * 1000 };    /* cluster-join: a seed each second */
enum { HERE_US = 1000 * 1000 };          /* how often who is not known says where it is, */
/* And to how many that is passed on: it spreads as a rumor does. */
enum { HERE_PASSED = 8 };
enum { VIEW_US = 500 * 1000 };   /* how often the data plane is told how things look */
enum { CONTACT_BUCKETS = 1024 }; /* as many as members, nearly: each has two contacts */

/* What a node is on its way to. */
enum standing {
    /* this start's incarnation is not on disk yet, or it is in no cluster and its data plane loads:
     * nothing is said or heard (C1) */
    STANDING_NEW = 1,
    STANDING_OUT, /* in no cluster: cluster-join's seeds are asked */
    /* a member, as JOINED told; that is not on disk yet (C12) */
    STANDING_JOINED,
    STANDING_IN, /* in one; its map may not be there yet */
    /* alone in one, empty, about to join another: the data plane is asked to close (C8) */
    STANDING_LEAVING,
    /* removed from its cluster, or another runs in its name: it serves nothing and says so */
    STANDING_GONE
};

/* A committed entry, kept for who follows. */
struct tail_entry {
    uint64_t term;
    uint8_t type; /* enum raft_entry_type */
    char *bytes;  /* owned */
    size_t n;
};

/* Who waits for a proposal. What a node proposes for itself has no ticket: the map shows it. */
enum ticket_for {
    TICKET_ASK, /* a client, through the data plane: token is the ask's */
    TICKET_JOIN /* a caller that joins: token is the guest's number */
};

/* An entry on its way to being decided. */
struct ticket {
    uint64_t number;
    enum ticket_for who;
    uint64_t token;
    bool over;
    char *bytes; /* the entry, as in the log; owned */
    size_t n;
    uint64_t index, term; /* where it stands; 0: not accepted yet */
    struct mono retry;    /* passed on again then */
    struct mono until;    /* then given up */
};

/* The leader's knowledge of one member; by place. */
struct ward {
    struct node_id id;
    /* index of the newest entry about it that this leader appended; 0: none */
    uint64_t proposed;
    struct mono down_since;    /* it is DOWN, as this leader saw; MONO_NEVER: it is not */
    struct map_entry *restart; /* the RESTARTED it asked for; owned; NULL: none */
    uint64_t said_index;       /* of the newest entry about its health or its run */
    /* it was made SUSPECT for want of a report: it is not cleared before it reports (21) */
    bool mute;
    bool forced; /* ... or by an operator (22): not before it was DOWN */
    /* of its own proposals the newest that this leader appended, and in which run (12) */
    uint32_t counted_run;
    uint64_t counted;
};

/* The leader's knowledge of one slot without a primary. */
struct vote_of_slot {
    uint32_t incarnation; /* who reported, in this run, */
    uint64_t base;        /* answered this map index */
    struct election_report report;
};
struct election {
    uint64_t ver;      /* of the slot: a report from before counts no more */
    struct mono began; /* looked for since then */
    uint8_t n;
    struct vote_of_slot vote[MAP_REPLICAS];
};

struct steward {
    uint64_t term; /* it leads in; 0: it does not */
    /* its first applied index: who has that much of the log is up to date */
    uint64_t began;
    VEC(struct ward) wards; /* by place */
    uint64_t placed;        /* index of the newest PLACE appended */
    uint64_t placed_nodes_ver, placed_settings;
    struct mono evict_due;      /* somebody will have been DOWN for cluster-evict-after then (27) */
    struct election *elections; /* SLOTS of them, while any slot is open; owned */
    uint64_t elected;           /* index of the newest ELECT appended */
    uint64_t timeout_settled;   /* the place of the newest TIMEOUT_SETTLED that was proposed */
    /* slots_ver and so on, when all elections were looked at */
    uint64_t looked_slots, looked_nodes, looked_settings;
    struct bits reported; /* slots of which something new was said since then */
    bool any_reported;
    unsigned lost_n; /* slots whose copies came back without their data, as last told */
    struct mono elect_due;
    /* by place: when something was last said of it, as seen here (20) */
    struct mono said[MAP_NODES];
    uint64_t voters_map, voters_of; /* the map's index and the voters' when they were looked at, */
    struct mono voters_due;         /* and are again then */
    struct raft_peer learner;       /* who learns the log, to vote then */
    struct mono wake;
};

struct control {
    struct control_config config;
    struct log *log;
    struct mono now;
    struct control_pulse pulse;
    struct rng rng;
    struct control_out *out; /* of the step under way; NULL between steps */
    enum standing standing;
    bool stopping;
    struct mono stop_until, transfer_retry;

    /* keep.c */
    struct identity identity;
    bool identity_changed;
    bool loaded;        /* the data plane has; its data-id is known */
    struct steps steps; /* of the identity's file */
    struct raft_file file;
    struct raft raft;
    struct mono raft_wake;
    struct map_entry *founding; /* the cluster's first entry, until it is appended; owned */
    bool forgetting;            /* its former cluster's log is being deleted: consensus rests */

    /* what is committed: follow.c */
    struct map map;
    struct raft_voters voters;   /* of the newest applied entry that names them */
    uint64_t settings_seen;      /* counts applied entries that changed settings */
    bool members_changed;        /* nodes, voters or settings, since they were last told */
    bool log_changed;            /* raft's, committed or not, the same */
    bool was_member;             /* the map has named this node */
    VEC(struct tail_entry) tail; /* tail.at[i] is entry tail_first + i */
    uint64_t tail_first;
    size_t tail_bytes;
    struct mono fetch_due; /* not asked again before */
    uint64_t served_index; /* of the map, as those who follow it know it */
    struct mono want_due;  /* what this node wants for itself is looked at again */
    struct word report;    /* the data plane's newest; owned */

    struct member member;
    struct mono member_wake, lease;
    int64_t lease_us, wait_us; /* T, as member and raft know it */
    uint64_t told_index;       /* the map's, as member knows it */
    bool told_leads;

    VEC(struct contact *) contacts;
    struct contact *contact_of[CONTACT_BUCKETS]; /* those that are not over, by number */
    VEC(struct contact *) speaking;              /* in this step */
    size_t contacts_over;                        /* so many of them go at its end */
    VEC(struct contact_peer) peers;              /* by place in the map */
    /* one came, opened or went, since they were last looked at as a whole, */
    bool contacts_changed;
    uint64_t contacts_nodes_ver; /* with the map's nodes as of this, */
    enum standing contacts_standing;
    struct mono contacts_wake; /* and are not to be before this if nothing of that changes */
    uint32_t last_link;
    uint64_t sent, received;         /* messages */
    char refusal[2][WIRE_WHY_BYTES]; /* the newest text of its own, and of the others' */
    /* members say that this node is none, and none took it for one since; 0: not so */
    struct mono unknown_since;
    bool unknown_told;

    VEC(struct ticket) tickets;
    uint64_t last_ticket;
    uint16_t leader_hint; /* place; what a voter said of who leads */
    struct steward steward;

    /* form.c, meet.c */
    struct mono seed_due;
    struct mono here_due;         /* STANDING_IN: does the map tell where this node is reached? */
    size_t seed_next;             /* whose turn it is, of cluster-join's */
    char why_not[256];            /* of being in no cluster */
    char join_to[HOSTNAME_BYTES]; /* whom CLUSTER MEET lets it join, */
    uint16_t join_to_port;        /* 0: nobody */
    /* the guest that is answered once the data plane has closed; 0: none */
    uint32_t leaving_caller;

    const char *why_gone;

    struct word_view told; /* the newest view; without peers */
    struct mono view_due;
};

/* ---- control.c */
/* A frame of an open contact. */
void control_heard(struct control *c, struct contact *k, struct wire_in *in);
void control_opened(struct control *c, struct contact *k); /* its handshake is through */
/* It did not come about, or broke. */
void control_missed(struct control *c, struct contact *k, const char *why);
void control_member_anew(struct control *c);
void control_refused(struct control *c, const struct node_id *who);
struct hello_self control_self(const struct control *c);
void control_tell(struct control *c, struct word w); /* to the data plane */
/* An ask's; NULL: it was done. */
void control_answer(struct control *c, uint64_t token, const char *why);
int64_t control_timeout_us(const struct control *c); /* T */
/* This node's in the map, or MAP_NOBODY. */
uint16_t control_place(const struct control *c);
/* Who leads, or who knows; MAP_NOBODY: nobody is known. */
uint16_t control_leader(const struct control *c);
uint16_t control_passes_to(const struct control *c);
/* A voter said so. False: it is no other member. */
bool control_hear_leader(struct control *c, const struct node_id *id);
/* No map, or none of the others is reached. */
bool control_is_lost(const struct control *c);
void control_leads_or_not(struct control *c);

/* ---- contact.c */
void contact_guest(struct control *c, const struct control_event *ev);
void contact_dialed(struct control *c, const struct control_event *ev);
void contact_bytes(struct control *c, uint32_t conn, bool is_link, struct slice in);
void contact_closed(struct control *c, uint32_t conn, bool is_link);
/* A link to an address, for an errand. wanted: who is to be there, or NULL. */
struct contact *contact_dial(struct control *c, enum contact_use use, const char *host,
                             uint16_t port, const struct node_id *wanted);
struct contact *contact_find(struct control *c, uint32_t conn, bool is_link); /* NULL: gone */
void contact_end(struct control *c, struct contact *k);      /* closed once what was put has left */
void contact_ip(const struct contact *k, char ip[IP_BYTES]); /* where it is, without the port */
/* Where a message to the member at `place` is put; NULL: it is not reached now. Counts
 * as a message. */
struct chain *contact_to(struct control *c, uint16_t place);
struct chain *contact_to_id(struct control *c, const struct node_id *id);
/* There is a link, or will be. */
bool contact_is_dialed(const struct control *c, const char *host, uint16_t port);
struct chain *contact_answer(struct control *c, struct contact *k);
bool contact_is_up(const struct control *c, uint16_t place);
void contact_is_member(struct control *c, struct contact *k); /* a hint turned out to be one */
/* Dials who is to be dialed, ends what takes too long. */
void contacts_due(struct control *c);
struct mono contacts_wake(const struct control *c);
/* This node's cluster is another from here on: who follows its map begins anew. */
void contacts_unfollowed(struct control *c);
void contacts_carry(struct control *c); /* end of a step: what was put goes into the out */
void contacts_free(struct control *c);

/* ---- keep.c */
void keep_begin(struct control *c, const struct raft_loaded *loaded);
void keep_restore(struct control *c); /* the snapshot that was found: its map is told from now on */
/* A cluster of this node alone begins with it. */
void keep_found(struct control *c, const struct map_entry *e);
void keep_forget(struct control *c);      /* its cluster: log, map and id */
void keep_leave_group(struct control *c); /* if the map's has begun anew: the former one's log */
/* Members or their addresses changed. */
void keep_peers(struct control *c);
/* One step of raft and all that follows from it, but for member and steward:
 * they look afterwards. */
struct keep_fate {
    enum raft_refusal refused;
    uint64_t index;
};
/* Fate: NULL or filled. */
void keep_raft(struct control *c, struct raft_event *ev, struct keep_fate *fate);
/* Heard from a member, and about to be applied. */
void keep_committed(struct control *c, uint64_t index, uint64_t term);
/* Before it is stepped: could what the message brings to raft's log be read once it
 * is committed (C10)? */
enum err keep_readable(const struct control *c, const struct raft_msg *m, char *why) MUST_CHECK;
/* False: not accepted; why (WIRE_WHY_BYTES) says why. */
bool keep_propose(struct control *c, struct slice entry, uint64_t *index, char *why);
bool keep_propose_entry(struct control *c, const struct map_entry *e, uint64_t *index, char *why);
void keep_voters(struct control *c, const struct raft_voters *v);
void keep_learner(struct control *c, const struct raft_peer *p); /* nobody: none */
void keep_stored(struct control *c, struct disk_done *done);
bool keep_is_ready(const struct control *c); /* this start is on disk */
void keep_disk(struct control *c);           /* end of a step: what the disk is asked for */
void keep_free(struct control *c);

/* Of whatever data-id. */
static inline bool voters_have_node(const struct raft_voters *v, const struct node_id *id)
{
    for (size_t i = 0; i < v->n; i++)
        if (node_id_equal(&v->at[i].node, id))
            return true;
    return false;
}

/* ---- follow.c */
void follow_entry(struct control *c, uint64_t index, uint64_t term, uint8_t type,
                  struct slice bytes);
void follow_whole(struct control *c, uint64_t index, const struct raft_voters *voters,
                  struct map *m);
/* An entry of the log. */
enum err follow_readable(uint8_t type, struct slice bytes, char *why) MUST_CHECK;
/* The newest known here: in this node's own log, or of what is committed beyond that. */
const struct raft_voters *follow_voters(const struct control *c);
/* That member has this much. */
void follow_ahead(struct control *c, uint16_t place, uint64_t index);
void follow_fetch(struct control *c, struct contact *k, const struct wire_fetch *m);
void follow_serve(struct control *c); /* who follows the map gets what is new of it */
enum err follow_entries(struct control *c, struct contact *k, const struct wire_entries *m,
                        char *why) MUST_CHECK;
enum err follow_map(struct control *c, struct contact *k, const struct wire_whole *m,
                    char *why) MUST_CHECK;
void follow_propose(struct control *c, const struct map_entry *e); /* the data plane's */
void follow_report(struct control *c, struct word *w);             /* taken */
void follow_former_run(struct control *c, struct contact *k);      /* tells it, if it is one */
void follow_due(struct control *c);
bool follow_is_known(const struct control *c); /* the map tells where this run is reached */
void follow_forget(struct control *c);
void follow_free(struct control *c);

/* ---- ticket.c */
void ticket_new(struct control *c, enum ticket_for who, uint64_t token, const struct map_entry *e);
/* Why not; NULL: it is done. */
void ticket_end(struct control *c, struct ticket *t, const char *why);
/* The leader's. False: `why`. */
bool ticket_append(struct control *c, struct slice bytes, const struct map_entry *e,
                   uint64_t *index, char *why);
void ticket_proposed(struct control *c, const struct wire_proposed *m);
void ticket_from_peer(struct control *c, struct contact *k, const struct wire_propose *m);
void tickets_due(struct control *c);
struct mono tickets_wake(const struct control *c);

/* ---- form.c, meet.c */
void form_identity(struct control *c, bool has_log); /* this start's */
void form_loaded(struct control *c, bool new_data);
void form_announce(struct control *c, const struct endpoint *at);
void form_begin(struct control *c); /* it is on disk */
struct map_member form_self(const struct control *c);
void form_due(struct control *c);
struct mono form_wake(const struct control *c);
void form_heard_here(struct control *c, struct contact *k, struct wire_here *m);
void form_seed_opened(struct control *c, struct contact *k);
void form_hint_opened(struct control *c, struct contact *k);
void form_seed_missed(struct control *c, const struct contact *k, const char *why);
void form_joined(struct control *c, struct contact *k, const struct wire_joined *m);
void form_joined_stored(struct control *c); /* what JOINED told is on disk */
enum err form_join_asked(struct control *c, struct contact *k, const struct wire_join *m,
                         char *why) MUST_CHECK;
void meet_asked(struct control *c, const struct word *w);
void meet_opened(struct control *c, struct contact *k);
void meet_missed(struct control *c, const struct contact *k, const char *why);
void meet_met(struct control *c, struct contact *k, const struct wire_met *m);
void meet_called(struct control *c, struct contact *k, const struct wire_meet *m);
void meet_closed(struct control *c, bool closed);

/* ---- failover.c */
void failover_asked(struct control *c, const struct word *w);

/* ---- steward.c */
void steward_step(struct control *c);
void steward_news(struct control *c, const struct member_news *news);
/* SUSPECTED stands there, by an operator's word. */
void steward_forces(struct control *c, const struct node_id *who, uint64_t index);
/* What a primary proposes is said again while its fate is not known (12); what is under way here
 * already would be void. */
bool steward_has(struct control *c, const struct map_entry *e);
void steward_appended(struct control *c, const struct map_entry *e);
void steward_wants_restart(struct control *c, const struct map_entry *e, char *why);
void steward_report(struct control *c, uint16_t place, const struct wire_report *m);
void steward_free(struct control *c);

/* ---- say.c */
enum { SAY_BYTES = 256 };
void say_entry(const struct map *m, const struct map_entry *e, char text[SAY_BYTES]);

#endif

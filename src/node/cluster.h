/* SPDX-License-Identifier: BSD-3-Clause */

/* The data plane's side of a cluster: its map, its lease, and commands that are
 * under way elsewhere.
 *
 *     a command -> routed_begin: whose is it?
 *         here      -> run (run.c) -> routed_end: its reply is marked with its slot
 *         elsewhere -> a turn in the session's order, a flight over the link to that node
 *
 *     session   [turn: away][turn: done "+OK"][turn: away] ...    replies leave from the first on
 *                   |                            |
 *     flights    sent over link 7             parked: nobody serves its slot now; tried again
 *
 * A reply that was computed here while an earlier one is away is a turn, too, and waits in it. */
#ifndef NODE_CLUSTER_H
#define NODE_CLUSTER_H

#include "core/map/map_setting.h"
#include "node/replicate.h"
#include "node/route.h"
#include "node/state.h"
#include "node/upstream.h"
#include "resp/frame.h"

enum {
    SLOT_ANY = SLOTS, /* a reply computed from whatever slots there are: DBSIZE, KEYS */
    /* one that tells how well records are kept: true as long as the lease was: WAIT */
    SLOT_LEASE
};

/* What a reply tells, should its slot be lost before it left (replication 9). */
enum mark_kind { MARK_FREE, MARK_READ, MARK_WRITE };
struct reply_mark {
    uint64_t begin, end; /* places in out, as in gates */
    /* lsn of the slot's newest record when it was computed: W are to hold it (5, 6);
     * 0: no copies */
    uint64_t need;
    uint32_t asked; /* of how many, by its connection (repl.h) */
    uint16_t slot;
    uint8_t kind;
    /* whose it is, of those that a forwarder speaks for: others have another one, or
     * perhaps the same */
    uint8_t client;
};

/* What precedes a forwarded command: VONG.FOR <map> <epoch> <quorum> <user> <client> <refused>. */
struct forward_for {
    uint64_t map;     /* the forwarder's map index */
    uint64_t epoch;   /* of the slot, there */
    uint64_t quorum;  /* what CLIENT QUORUM asked for (repl.h) */
    uint64_t client;  /* whose command it is: a number of the forwarder's */
    uint64_t refused; /* refusals the forwarder had read on this connection when it sent this */
};

/* A slot some of whose commands were refused on a connection: what was sent behind them before the
 * forwarder knew is refused as well, else it would overtake them (replication 10). */
struct refused_slot {
    uint16_t slot;
    uint64_t at; /* the connection's count then */
};

/* A node that has writes of a session, in one run of it. */
struct wrote {
    uint16_t place;
    uint32_t incarnation;
};

enum { WROTE_SLOTS = 8 };

/* A session's place in the cluster. */
struct routing {
    uint8_t asker;      /* enum route_asker */
    bool settled;       /* asker does not change any more by what it asks for */
    bool readonly;      /* READONLY was said */
    uint32_t quorum;    /* what CLIENT QUORUM asked for */
    bool proxied;       /* this is a proxy: few bytes are asked for at once */
    bool drains;        /* held until every turn is over */
    uint8_t forward;    /* RESP version of a connection that forwards; 0: a client's */
    double chance_bits; /* sum over `seen` of log2(1 / this node's share) */
    struct bits *seen;  /* slots asked for until it was settled; NULL: none */
    struct list turns;
    size_t turns_n, turns_bytes;
    size_t reply_most;            /* of late, from other nodes; 0: none has come yet */
    VEC(struct reply_mark) marks; /* of what may not leave yet, oldest first */
    /* the newest record that anything of `out` tells of: this node's disk is to have it, too */
    struct lsn need;
    /* of a connection that forwards */
    struct forward_for for_now;
    uint64_t refused_n;
    VEC(struct refused_slot) refused;
    bool let_go; /* it was told that nothing more of it is run */
    /* transactions elsewhere */
    struct peer_link *own; /* for MULTI and WATCH, this session's alone for now; NULL: none */
    uint32_t owns;         /* links that are this session's alone for now, those for WAIT too */
    bool watches_far;      /* keys are watched over `own`, */
    bool watch_lost;       /* or were: EXEC answers nil */
    bool watch_held;       /* one of the WATCHes was answered OK */
    uint16_t watch_slot;
    uint64_t watch_epoch;
    uint64_t token;          /* of the ASK it waits for */
    VEC(struct wrote) wrote; /* other nodes that were sent writes of it: WAIT, WAITAOF (gather.c) */
    uint16_t wrote_here[WROTE_SLOTS]; /* slots it wrote to here; if there are more of them: any */
    uint16_t wrote_here_n;
};

/* One place in the order of a session's replies. */
struct turn {
    struct list in_session;
    struct session *session;
    bool done, silent;
    bool begun; /* some of its reply has become output, and more is to come */
    /* a gather's: a part ran here that may not be kept, which is its reply whatever
     * the others say */
    bool lost;
    uint8_t kind; /* of a reply that was computed here: enum mark_kind */
    uint16_t slot;
    uint32_t asked; /* as its session asked when it came, */
    uint8_t client; /* and for which of its clients (routed_client) */
    uint32_t replies;
    size_t held_bytes; /* as counted in turns_bytes */
    struct chain bytes;
    struct gather *gather; /* split over slots; NULL: it has one flight, or none */
};

enum flight_state { FLIGHT_PARKED, FLIGHT_SENT };

/* One request on its way. Its request is kept: it may have to be sent again. */
struct flight {
    struct list in_order;        /* bucket of (session, slot): unanswered ones, oldest first */
    struct list in_where;        /* link->sent or cluster->parked */
    struct turn *turn;           /* NULL: its client is gone, and the answer nobody's */
    struct peer_link *link;      /* SENT */
    struct kept_request request; /* its memory follows the flight, */
    size_t size;                 /* which is of so many bytes with it */
    uint64_t session_id;
    uint16_t slot;  /* or SLOT_ANY, */
    uint16_t place; /* and it is for all slots of this node; else MAP_NOBODY */
    uint8_t state;
    uint8_t protocol; /* of its reply */
    bool is_write, is_refused;
    bool on_own;  /* it goes over a link of its session's own, */
    bool is_wait; /* which is another one: WAIT, WAITAOF */
    /* the other node may keep its answer back for so long; -1: until it is done */
    int64_t held_us;
    bool is_exec;        /* request is EXEC: the session's queue goes before it */
    bool by_copy;        /* a read that is asked of whoever read-from names, */
    bool by_primary;     /* and of the primary alone, once that did not answer it */
    bool waits_handover; /* its slot is being handed over: a short patience */
    bool overtaken; /* a later write of its session and slot was sent over its link, lost now */
    uint32_t part;  /* of a gather */
    uint32_t skip;  /* replies before its own */
    size_t passed;  /* bytes of its reply that were passed on before it was whole */
    uint64_t begin; /* where it begins in what the link was given */
    struct mono born, until, sent;
    const char *why; /* it was parked; with its code */
};

enum link_carries {
    CARRIES_READS,
    CARRIES_WRITES,
    CARRIES_FIRST,
    CARRIES_ASKED, /* of who asked for another W: it may wait for more than others do */
    CARRIES_LONG
};

struct peer_link {
    struct list in_cluster, in_dirty;
    uint32_t id;
    uint16_t place;
    uint32_t incarnation;
    struct node_id peer;
    uint8_t protocol;
    bool open;
    struct mono dialed, heard;
    bool pooled;         /* one session's at a time; else shared */
    struct session *own; /* pooled: whose it is; NULL: nobody's */
    bool watched;        /* pooled: something may be watched there */
    uint8_t carries;     /* shared: enum link_carries */
    /* shared, for reads that read-from sends there; READONLY is said first */
    bool by_copy;
    bool said_readonly;
    bool waits;    /* pooled: for its session's WAIT alone */
    bool forsaken; /* pooled: its session left it as it was, or nobody wants it: it is hung up */
    /* its node is being stopped: nothing that it has not answered was run there, or will be */
    bool let_go;
    struct list sent; /* flights, oldest first */
    struct chain out; /* goes at the step's end */
    uint64_t put;     /* bytes ever given to the link, those in out included */
    size_t left;      /* bytes of out.send not taken by the socket yet */
    struct buf in;    /* a reply that is not whole */
    struct frame frame;
    struct forward_for last;
    bool any_sent;
    uint64_t refused_n; /* refusals read */
};

enum { ORDER_BUCKETS = 4096 };

struct cluster {
    struct map map;
    struct route_self self; /* its map is the one above */
    struct node_id id;
    struct mono lease;
    bool was_leased;
    struct mono unleased; /* since then it has none; 0: it had none in this run */
    /* so long what was run under it waits for the next; NEVER: nothing does */
    struct mono lapsed_until;
    bool closed; /* WORD_CLOSE: nothing is served until another map comes */
    /* of this one, as of the newest map that was looked at since the log is loaded */
    bool is_member;
    struct cluster_id of;
    bool loaded;                      /* this node's log */
    uint32_t clean_since, data_since; /* what its log has kept, for reports (22) */
    struct bits electing;             /* slots without a primary in the map */
    bool follows_settings;            /* the options show the map's */
    uint64_t seen_slots, seen_nodes;  /* slots_ver, nodes_ver as last looked at */
    uint64_t *served;                 /* per slot: the epoch it is served in; 0: it is not */
    unsigned mine_n;
    double slot_bits; /* log2(SLOTS / mine_n) */
    /* slots that go to another node (replication 12, 26; handover.c) */
    struct bits handing; /* nothing of them is run: the two below */
    struct bits doubted; /* proposed, fate not known; */
    /* and W held all of it when it was proposed: what was answered of it is true */
    struct bits proven;
    /* to be proposed, for this node (MAP_NOBODY: none are), when that is stored */
    struct bits preparing;
    uint16_t preparing_for;
    struct mono preparing_until; /* those with data: then they go on here */
    bool preparing_empty;        /* they hold nothing, and no copy is there */
    struct lsn prepared_at;
    struct mono handing_until; /* then another try */
    bool reports; /* its place in slots without a primary, once `report_at` is synced */
    struct lsn report_at;
    struct replicas *replicas;
    bool leaves;            /* it is being stopped, or its disk is in trouble, */
    bool takes_nothing;     /* in which case nothing that a primary sends is taken */
    struct mono leave_at;   /* it is looked at again what can be handed over; */
    struct mono leave_most; /* so long it waits to be let go (28) */
    /* too few copies are in sync: writes are refused (5), and reads if they are fewer than W; or it
     * is alone, and the newest record is not stored (28); or a copy's node is full: what needs
     * memory is refused (8) */
    struct bits thin;
    char misconf[128]; /* with a disk in trouble: what writes of such a slot are told */
    struct word_view view;
    uint64_t last_token;
    struct list links, dirty;
    bool any_forsaken; /* of links: or one to a former member has nothing to bring any more */
    struct list parked;
    struct mono parked_at; /* they are looked at again */
    struct mono gates_at;  /* so are gates that are shut for long */
    struct list order[ORDER_BUCKETS];
    uint64_t forwarded, uncertain, retried, by_copies; /* counts */
    struct upstreams upstreams;                        /* of a proxy */
};

/* What a proxy tells in INFO. */
struct proxy_view {
    unsigned nodes, up, slots_served, links, own_links;
    size_t sent, parked; /* requests */
};

/* ---- cluster.c */
struct proxy_view cluster_proxy_view(const struct node *n);
struct cluster *cluster_new(const struct node_identity *id);
void cluster_free(struct node *n);
/* This run's log begins, where the log of the run `before` ended; clean: with its end mark. other:
 * it is a new one, or has lost durable records. */
void cluster_run_begins(struct node *n, const struct run_note *before, bool clean, bool other);
void cluster_step_begin(struct node *n, const struct node_event *ev, struct node_out *out);
void cluster_step_end(struct node *n, struct node_out *out);
void cluster_word(struct node *n, const struct word *w, struct node_out *out);
struct mono cluster_due(const struct node *n);
struct routing *routing_new(uint8_t forward);
/* Its turns are forgotten, its own link is closed later. */
void routing_free(struct node *n, struct session *s);
/* From begin to the end of out. */
void marks_put(struct node *n, struct session *s, uint64_t begin, unsigned slot,
               enum mark_kind kind, uint32_t asked, uint8_t client);
/* Those of replies that begin before `end`, from the *from-th on, which then is the first that
 * may reach beyond. */
bool marks_held(const struct node *n, const struct session *s, size_t *from, uint64_t end);
/* Does the first that is not held wait for who takes in a big record (14)? */
bool marks_wait_for_big(const struct node *n, const struct session *s, uint64_t end);
void marks_left(struct session *s); /* up to open_end they left */
/* Replies that end behind this place of the output are not to be told: their fate is, in their
 * place; gates stay where they are among them. */
void replies_fail(struct node *n, struct session *s, uint64_t from, const char *why);
/* The same, of those that are not output yet. */
void replies_fail_owed(struct node *n, struct session *s, const char *why);
/* "MOVED 7 10.0.0.1:6379" */
void reply_moved(struct node *n, struct reply *r, unsigned slot, uint16_t place);

/* ---- do_cluster.c */
bool cluster_or_reply(struct call *c);
void ask_due(struct node *n, struct session *s, struct node_out *out);

/* Of the map: it is asked for. */
void settings_set(struct call *c, struct slice name, struct slice value);

/* ---- setting.c */
/* The setting's name; empty: it is this node's own. */
struct slice setting_of_option(struct slice option);
void settings_follow(struct node *n); /* options show what the map says */

/* ---- routed.c */
enum routed { ROUTED_RUN, ROUTED_TAKEN, ROUTED_HELD };
struct routed_here {
    struct turn *turn; /* its reply waits here; NULL: none is before it */
    uint64_t begin;
    uint32_t fresh;
    uint16_t slot;
    uint8_t kind;
};
enum routed routed_begin(struct node *n, struct session *s, const struct spec *spec,
                         struct request *q, struct routed_here *here, struct node_out *out);
bool routed_is_direct(const struct node *n, const struct session *s, const struct spec *spec,
                      unsigned slot);
void routed_end(struct node *n, struct session *s, struct routed_here *here, struct node_out *out);
/* A forwarded command of this slot was refused. */
void routed_refused(struct session *s, unsigned slot);
/* Who forwards is told to go elsewhere; true: nobody is left who does (27). */
bool routed_let_go(struct node *n);
enum route_asker routed_asker(const struct node *n, const struct session *s);
void routed_refuse(struct node *n, struct session *s, const char *text, struct node_out *out);
void routed_refuse_down(struct node *n, struct session *s, const char *why, struct node_out *out);
void routed_refuse_moved(struct node *n, struct session *s, unsigned slot, uint16_t place,
                         struct node_out *out);
/* What the session's commands ask for in place of the cluster's W: its own word,
 * or its forwarder's. */
static inline uint32_t routed_asked(const struct session *s)
{
    const struct routing *r = s->routing;
    return r->forward != 0 ? (uint32_t)r->for_now.quorum : r->quorum;
}
static inline uint8_t routed_client(const struct session *s) /* for whom it forwards now */
{
    return s->routing != NULL ? (uint8_t)s->routing->for_now.client : 0;
}
/* Why a command of these flags of this slot, or of all of this node's (SLOT_ANY), is refused now;
 * NULL: it is not (replication 5, 8, 28). */
const char *routed_thin(const struct node *n, unsigned slot, uint32_t flags, uint32_t asked);
enum routed routed_run(struct session *s, struct routed_here *here, unsigned slot,
                       const struct spec *spec);
void routed_says_cluster(struct session *s); /* READONLY, READWRITE, ASKING */
void routed_hold(struct node *n, struct session *s, bool drains);
bool routed_silent(struct session *s); /* CLIENT REPLY: is this command answered to nobody? */

/* ---- flight.c */
bool turns_are_full(const struct node *n, const struct session *s);
struct turn *turn_new(struct session *s, size_t held_bytes);
void turns_deliver(struct node *n, struct session *s, struct node_out *out);
struct flight *flight_new(struct node *n, struct turn *t, const struct spec *spec,
                          const struct request *q, unsigned slot);
bool flight_any(const struct node *n, const struct session *s, unsigned slot); /* unanswered ones */
void flight_go(struct node *n, struct flight *f, struct node_out *out);
void flight_park(struct node *n, struct flight *f, const char *why, int64_t again_us);
void flight_answer(struct node *n, struct flight *f, struct slice reply, struct node_out *out);
/* Of its reply; false: only whole. */
bool flight_part(struct node *n, struct flight *f, struct slice in, struct node_out *out);
void flight_again(struct node *n, struct flight *f); /* what came of its reply is forgotten */
void flight_error(struct node *n, struct flight *f, const char *text, struct node_out *out);
void flight_unsure(struct node *n, struct flight *f, const char *why, struct node_out *out);
void flights_look(struct node *n, struct node_out *out); /* parked ones */
void flights_look_soon(struct node *n);
/* Of a link's: a write was sent behind it over the link, which took so many bytes. */
void flights_overtaken(struct node *n, struct list *sent, uint64_t taken);
void flights_forget(struct node *n, struct session *s);
/* A reply cannot be told to its end: it is closed. */
void turns_break(struct node *n, struct session *s, const char *why);
bool turns_begun(const struct session *s);
void flight_free(struct flight *f);

/* ---- peer.c */
void peer_send(struct node *n, struct peer_link *l, struct flight *f);
void peer_flush(struct node *n, struct node_out *out);
/* The map changed, or time went on: which are over? */
void peer_look(struct node *n, struct node_out *out);
struct mono peer_due(const struct node *n);
/* What is away, or waits, is answered with what is known of it, and links are hung up. How many
 * requests that were. */
size_t peers_give_up(struct node *n, const char *why, struct node_out *out);
/* Another node may have its place by now. */
bool peer_is_member(const struct node *n, const struct peer_link *l);
/* before: the one of the same session and slot that is next before it, if any. NULL: it is full. */
struct peer_link *peer_link_of(struct node *n, struct flight *f, const struct flight *before,
                               uint16_t place, struct node_out *out);
/* It is gone, and its own links with it. */
void peer_links_forsake(struct node *n, const struct session *s);
/* False: not ours. */
bool peer_dialed(struct node *n, uint32_t link, enum node_dialed how, struct node_out *out);
bool peer_took(struct node *n, uint32_t link, size_t left);
bool peer_bytes(struct node *n, uint32_t link, struct slice in, struct node_out *out);
bool peer_closed(struct node *n, uint32_t link, struct node_out *out);
/* The next one's that wants it, if nothing of its session is left there. */
void peer_give_back(struct node *n, struct peer_link *l);
void peer_hang_up(struct node *n, struct peer_link *l, const char *why, struct node_out *out);
void peer_link_free(struct peer_link *l);
void peer_put_request(struct chain *to, const struct kept_request *q);

/* ---- gather.c */
void gather_begin(struct node *n, struct session *s, const struct spec *spec,
                  const struct request *q, struct node_out *out);
/* The record of one of its parts may be over max-record: nothing of it is to run. */
bool gather_is_too_great(const struct node *n, const struct spec *spec, const struct request *q);
bool gather_is_wide(const struct spec *spec); /* it tells of all keys, or touches them */
void gather_wide(struct node *n, struct session *s, const struct spec *spec,
                 const struct request *q,
                 struct node_out *out); /* nothing of the session is away */
void gather_part(struct turn *t, uint32_t part, struct slice reply);
void gather_free(struct gather *g);

/* WAIT and WAITAOF: the parts are asked of the nodes that have writes of the session. */
void gather_waits(struct node *n, struct session *s, const struct spec *spec,
                  const struct request *q, struct node_out *out);

/* ---- forward_for.c */
void forward_for_put(struct chain *to, const struct forward_for *f);
bool forward_for_get(const struct slice *argv, uint32_t argc, struct forward_for *f);

/* ---- handover.c */
void handover_look(struct node *n, struct node_out *out);  /* may one begin? */
void handover_go_on(struct node *n, struct node_out *out); /* after the disk got on */
void handover_fate_known(struct cluster *c);
/* Is this node being stopped, or its disk in trouble? Its slots are handed to who is in sync with
 * them, and who replicates to it is told (replication 27, 28). */
void cluster_leave_look(struct node *n, struct node_out *out);
bool cluster_is_left(const struct node *n);
/* It is another's by right, and has keys. */
bool handover_waits(const struct node *n, unsigned slot);

/* ---- far_multi.c */
enum routed far_multi_begin(struct node *n, struct session *s, const struct spec *spec,
                            struct request *q, struct routed_here *here, struct node_out *out);
/* MULTI and the queue; how many replies they have. */
uint32_t far_multi_put(struct session *s, struct chain *to);
void far_multi_answered(struct node *n, struct flight *f, struct slice reply, struct node_out *out);
void far_multi_void(struct node *n, struct flight *f, struct node_out *out); /* EXEC answers nil */
void far_watch_sent(const struct node *n, struct session *s);
void far_watch_answered(struct session *s, struct slice reply);        /* empty: it runs here */
bool far_watch_is_over(const struct node *n, const struct session *s); /* EXEC is to answer nil */
/* UNWATCH, DISCARD, RESET. */
void far_multi_end(struct node *n, struct session *s, struct node_out *out);

#endif

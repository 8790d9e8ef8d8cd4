/* SPDX-License-Identifier: BSD-3-Clause */

/* Records on their way between nodes: the data plane's side of core/repl.
 *
 *     commit.c -> replicate_record -> [link] -- VONG.REPL.APPEND -----------> [guest] -> log, store
 *     session.c <- repl_is_held <---- [link] <- ACK, once it is stored there - [guest]
 *
 * As primary this node dials one link to each node that has copies of its slots; as replica it has
 * a guest connection from each node whose slots it has copies of. */
#ifndef NODE_REPLICATE_H
#define NODE_REPLICATE_H

#include "core/repl/repl.h"
#include "node/catch_up.h"
#include "node/compare.h"
#include "node/slot_dump.h"
#include "node/node.h"
#include "persist/aof.h"
#include "store/evict.h"
#include "wire/wire_repl.h"

struct session;

enum { LINK_ROOM_BYTES = 1024 * 1024 }; /* so much unsent of what a replica lacks: the rest waits */

struct repl_link { /* from here to a replica's node */
    uint32_t id;
    uint16_t place;
    struct node_id peer;
    uint32_t incarnation; /* dialed for this run of it */
    bool open;
    size_t left; /* bytes of out.send not taken by the socket yet, */
    /* when a part of a dump was put behind them last: a long one is no sign of a slow reader */
    size_t dump_left;
    uint64_t dumps_said, dumps_taken; /* bytes with DUMPED, in this session; as it told */
    struct chain out;                 /* goes at the step's end */
    struct buf in;
    struct wire_reader reader;
};

/* What came with the primary's lsns from `first` to `theirs`, of which many messages may have one,
 * is here as this node's up to `mine`. */
struct ack_due {
    uint64_t first, theirs, mine;
};

struct repl_guest { /* a primary's node, of a session that is its link to here */
    uint16_t place;
    struct node_id id;
    uint32_t incarnation;
    VEC(struct ack_due) due; /* oldest first: not all synced; */
    size_t held_n;           /* of these so many are held */
    struct repl_ack told;
    struct mono active; /* it said something last: by repl's `ran` */
    bool heard;         /* it has said something: it may be spoken to */
    bool asked;         /* ALIVE came: it is answered even if nothing is new */
    bool grows;         /* more came of what is not whole yet: asked, too */
    bool growing;       /* what came last was of such */
    uint64_t dumps;     /* so many bytes came with DUMPED */
    /* so many of its keys here could be evicted, as memory.c counted last */
    uint64_t evictable;
};

struct replicas {
    struct node *node;
    struct repl repl;
    struct repl_ops ops;
    VEC(struct repl_link *) links; /* by place; NULL: none */
    VEC(struct session *) guests;  /* the same */
    VEC(struct mono) dial_at;      /* not before */
    struct buf record;             /* the one that is made now */
    struct mono look_at;
    struct bits drops; /* slots that changed: their copies may be unwanted */
    struct repl_read read;
    struct repl_wishes wishes;
    struct aof_batch batch;
    struct dump_out out[DUMPS_AT_ONCE];
    VEC(struct dump_pull) pulls; /* that wait for one of these */
    struct dump_in in[DUMPS_AT_ONCE];
    struct log_pass passes[PASSES_AT_ONCE];
    uint64_t pass_tokens;
    /* DUMP_PART_BYTES; less where much is to happen in little time */
    size_t part_bytes;
    struct aof_batch record_batch;
    uint64_t dumps_out, dumps_in; /* counts, */
    uint64_t dumps_bytes;         /* and what was sent of those that went out, */
    /* Bytes that may be sent until NODE_DUE comes next: of records that replicas lack, of dumps. */
    size_t records_left, dumps_left;
    bool pumps; /* more of what some replica lacks is to be sent at once */
    struct compare compare;
    struct evict_pool evict;      /* of what goes for those who have copies (memory.c), */
    struct evict_from evict_from; /* and from where */
};

struct replicas *replicas_new(struct node *n);
void replicas_free(struct node *n);

static inline size_t link_unsent(const struct repl_link *l)
{
    return l->left + l->out.n;
}

/* ---- replicate.c: as primary */
void replicate_options(struct node *n);
/* The commands of one record of a slot with copies: it is made, goes to the log, and is told. */
void replicate_record(struct node *n, unsigned slot, struct chain *bytes, unsigned db);
void replicate_disk_failed(struct node *n); /* behind session_fail_gates */
/* The applied map changed, of slots these at most; members: slots or nodes. */
void replicate_map(struct node *n, bool members, const struct bits *slots, struct node_out *out);
void replicate_turns(struct node *n); /* NODE_DUE: what may be sent is counted anew */
/* End of a step: what is due, what is to be sent. */
void replicate_look(struct node *n, struct node_out *out);
struct mono replicate_due(const struct node *n);
/* Under W all: so much of big records is not read by who is to hold them that writers wait. */
bool replicate_holds(const struct node *n);
/* False: not ours. */
bool replicate_dialed(struct node *n, uint32_t link, enum node_dialed how, uint32_t incarnation,
                      struct node_out *out);
bool replicate_took(struct node *n, uint32_t link, size_t left);
bool replicate_bytes(struct node *n, uint32_t link, struct slice in, struct node_out *out);
bool replicate_closed(struct node *n, uint32_t link);

/* ---- replica.c */
void guests_told(struct node *n); /* that this node will hold nothing more */
/* Their connections are closed: they come again. */
void guests_end(struct node *n, struct node_out *out);
/* False: it is no member. */
bool guest_open(struct node *n, struct session *s, const struct node_event *ev);
void guest_close(struct node *n, struct session *s);
/* Of what it brings, to fetch ahead: a guess. */
bool guest_first_key(const struct request *q, struct slice *key);
/* False: it is not taken for now, since the disk does not keep up; nor is what comes behind it. */
bool guest_request(struct node *n, struct session *s, const struct request *q,
                   struct node_out *out);
void guest_grows(struct node *n, struct session *s);    /* NODE_GROWS */
void guests_ack(struct node *n);                        /* before what is written leaves */
void slots_drop(struct node *n);                        /* copies that are not wanted any more */
void guests_look(struct node *n, struct node_out *out); /* those that are silent are closed */
void guests_map(struct node *n, struct node_out *out);  /* and those whose place is another's now */

#endif

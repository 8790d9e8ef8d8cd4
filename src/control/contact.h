/* SPDX-License-Identifier: BSD-3-Clause */

/* Connections of the control plane: who is reached, over what, and what was said.
 *
 * One link is kept to every member, since heartbeats, gossip and consensus go to any of them in
 * turn; a broken one is dialed again, at once and then after growing pauses. A message to a member
 * goes over the link to it, or while there is none over the newest connection that it made to us;
 * and is lost while there is neither: whoever said it says it again. */
#ifndef CONTROL_CONTACT_H
#define CONTROL_CONTACT_H

#include "base/buf.h"
#include "control/control.h"
#include "wire/wire.h"

enum contact_use {
    CONTACT_MEMBER,  /* to or from a member, for everything */
    CONTACT_SEED,    /* a link to an address: a seed we ask to let us join */
    CONTACT_HINT,    /* a link to an address where a member of our cluster may be */
    CONTACT_NAMED,   /* a link to whom CLUSTER MEET named */
    CONTACT_CALLER,  /* a guest that wants to meet or to join */
    CONTACT_FOLLOWER /* a guest that follows the map and is no member: a proxy */
};

struct contact {
    uint32_t conn;
    bool is_link;
    bool dialed;       /* a link that is there; else it is being dialed */
    bool open;         /* the handshake is through: id is believed */
    bool over;         /* to be dropped at the end of the step */
    uint8_t use;       /* enum contact_use */
    struct node_id id; /* open: who it is; a link to a member: who it is to be */
    uint32_t incarnation;
    uint64_t token; /* SEED, NAMED: whose errand it is (form.c) */
    /* FOLLOWER, MEMBER: is sent the entries from here on, once there are any; 0: has not asked */
    uint64_t wants;
    char peer[DISK_NAME_BYTES]; /* "127.0.0.1:16379", for logs */
    char host[HOSTNAME_BYTES];  /* a link: what was dialed */
    uint16_t port;
    struct hello hello;
    struct wire_reader reader;
    struct buf unread;
    struct chain out;     /* of this step; */
    bool speaks;          /* there may be something in it */
    struct contact *same; /* the next one whose number has the same bucket */
    struct mono since;    /* it is there, or was dialed */
};

/* What is remembered of a member's link across connections. */
struct contact_peer {
    struct contact *link, *guest; /* open or opening; NULL: none. guest: the newest open one */
    struct mono retry;            /* not dialed again before */
    unsigned tries;               /* since it was last open */
    struct node_id id;            /* whose this is: places are used again */
};

#endif

/* SPDX-License-Identifier: BSD-3-Clause */

/* Limits, each with its reason. */
#ifndef BASE_BOUNDS_H
#define BASE_BOUNDS_H

#include <assert.h>

enum { CLUSTER_PORT_OFFSET = 10000 }; /* the cluster port above the clients': Redis' convention */
#ifndef FEWER_SLOTS
enum { SLOTS = 16384 }; /* clients compute crc16 mod this: not ours to choose */
#else
enum { SLOTS = FEWER_SLOTS }; /* of vong-sim-few alone (docs/internals/simulator.md) */
#endif
static_assert((SLOTS & (SLOTS - 1)) == 0, "slot_of() masks instead of dividing");

/* The controller's Raft. */
/* 5 (replication 18), and on the way from one five to another. */
enum { RAFT_VOTERS_MAX = 7 };
/* One entry: a placement of all slots, run by run, fits. */
enum { RAFT_ENTRY_BYTES = 1024 * 1024 };
/* A message of several entries: a heartbeat is not held up long. */
enum { RAFT_APPEND_BYTES = 256 * 1024 };
/* Messages to one follower not yet answered ... */
enum { RAFT_FLIGHTS = 16 };
/* ... and their bytes: what a dead peer may hold in buffers. */
enum { RAFT_FLIGHT_BYTES = 4 * 1024 * 1024 };
/* More makes proposals wait: the majority does not follow. */
enum { RAFT_UNCOMMITTED_BYTES = 16 * 1024 * 1024 };
enum { RAFT_APPLY_ENTRIES = 1024 }; /* applied in one step: heartbeats go between */
/* Of log behind a snapshot: who is little behind needs no snapshot. */
enum { RAFT_KEEP_BYTES = 1024 * 1024 };
enum { RAFT_CHUNK_BYTES = 64 * 1024 }; /* of a snapshot: a link is never held longer */
/* A map of the most nodes and all slots is a tenth of it. */
enum { RAFT_SNAPSHOT_BYTES = 64 * 1024 * 1024 };
static_assert((int)RAFT_ENTRY_BYTES <= (int)RAFT_FLIGHT_BYTES, "the greatest entry can be sent");

/* Heartbeats and gossip. */
/* Exchanges begun per interval: everybody knows after about log4(N) of them. */
enum { GOSSIP_PEERS = 3 };
/* In one message: some 2 KiB, which a link carries beside everything else. */
enum { RUMORS_MAX = 16 };

/* Between nodes. */
/* A record of the greatest max-record (64 MiB) with its line. */
enum { WIRE_FIELD_MAX_BYTES = 65 * 1024 * 1024 };
/* Of one frame: 256 KiB of slices, which is what it may cost. */
enum { WIRE_FIELDS_MAX = 16 * 1024 };
/* Of one frame from somebody who has proved nothing, its name too. */
enum { WIRE_HELLO_FIELDS_MAX = 16 };

#endif

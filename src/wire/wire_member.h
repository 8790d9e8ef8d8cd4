/* SPDX-License-Identifier: BSD-3-Clause */

/* Heartbeats and gossip (core/member), as frames. */
#ifndef WIRE_WIRE_MEMBER_H
#define WIRE_WIRE_MEMBER_H

#include "core/member/member.h"
#include "wire/wire.h"

void put_member(struct chain *to, const struct member_msg *m);

/* Is it one of these? Then get_member reads it; m->to is left as it is. */
bool wire_is_member(enum wire_type type);
enum err get_member(struct wire_in *in, struct member_msg *m) MUST_CHECK;

#endif

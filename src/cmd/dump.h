/* SPDX-License-Identifier: BSD-3-Clause */

/* The payload of DUMP and RESTORE: one value as an RDB file has it, and a footer.
 *
 *     type | value | RDB version, 2 bytes | CRC-64 of all before it, 8 bytes, both little-endian
 *
 * A string's value is a length and its bytes, or a small integer in 1, 2 or 4 bytes, or its bytes
 * compressed with LZF. Nothing is compressed here; what others compressed is read. */
#ifndef CMD_DUMP_H
#define CMD_DUMP_H

#include "base/chain.h"
#include "base/err.h"

enum { DUMP_VERSION = 10 }; /* written; RESTORE takes it and what is older */

/* Appends the payload of a string; blob: the one it is the whole of, or NULL. Its length, as told
 * beforehand by dump_bytes. */
void dump_put(struct chain *to, struct slice value, struct blob *blob);
size_t dump_bytes(struct slice value);

bool dump_is_whole(struct slice payload); /* version and checksum are right */

/* The string in a payload that is whole, as a new blob; ERR_CORRUPT: it is no string, or damaged;
 * ERR_NOMEM. */
enum err dump_get(struct slice payload, struct blob **value) MUST_CHECK;

#endif

/* SPDX-License-Identifier: BSD-3-Clause */

/* Three hashes for three purposes.
 *
 * - hash_keyed: tables. SipHash-1-3 (Aumasson, Bernstein: "SipHash: a fast short-input PRF"), keyed
 *   anew in every process, so that nobody outside can choose keys that collide.
 * - crc16: slots. CRC-16/XMODEM, as Redis Cluster's specification fixes it.
 * - crc32c: records on disk and on the wire. Castagnoli's polynomial, with the processor's
 *   instruction where there is one. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stdint.h>

#include "base/slice.h"

struct hash_key {
    uint64_t k0, k1;
};

uint64_t hash_keyed(const struct hash_key *key, struct slice s);
uint16_t crc16(struct slice s);

/* Where a key lives: the CRC16 of its tag, or of all of it without one. A tag is what stands
 * between the first '{' and the first '}' behind it, if that is not empty. */
unsigned slot_of(struct slice key);

/* crc32c of the bytes so far and s; begin with 0. */
uint32_t crc32c(uint32_t crc, struct slice s);

/* CRC-64/Jones, reflected, as Redis' DUMP trailer has it; begin with 0. */
uint64_t crc64(uint64_t crc, struct slice s);

#endif

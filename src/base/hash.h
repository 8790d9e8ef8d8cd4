/* SPDX-License-Identifier: BSD-3-Clause */

/* Four hashes for four purposes.
 *
 * - hash_secret: tables. Keyed anew in every process, so that nobody outside can choose keys that
 *   collide, nor learn to from the hashes he is told (a SCAN cursor is a piece of one). With the
 *   processor's AES instruction: AES-128's ten rounds, with round keys that are all independent,
 *   over the last 16 bytes; over what comes before them a MAC that chains four rounds a piece
 *   (after Daemen, Rijmen: "The MAC function Pelican 2.0"). Without it: SipHash-1-3. So a hash
 *   means nothing outside of its process.
 * - hash_keyed: SipHash-1-3 (Aumasson, Bernstein: "SipHash: a fast short-input PRF"), the same
 *   everywhere: digests.
 * - crc16: slots. CRC-16/XMODEM, as Redis Cluster's specification fixes it.
 * - crc32c: records on disk and on the wire. Castagnoli's polynomial, with the processor's
 *   instruction where there is one. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stdint.h>

#include "base/rng.h"
#include "base/slice.h"

struct hash_key {
    uint64_t k0, k1;
};

uint64_t hash_keyed(const struct hash_key *key, struct slice s);

enum { HASH_ROUNDS = 10, HASH_CHAIN_ROUNDS = 4 };
enum { HASH_ROUND_KEYS = 1 + HASH_ROUNDS + HASH_CHAIN_ROUNDS };
struct hash_secret {
    _Alignas(16) uint64_t rounds[HASH_ROUND_KEYS][2];
    struct hash_key sip;
    bool by_instruction;
};
void hash_secret_draw(struct hash_secret *secret, struct rng *rng);
uint64_t hash_secret(const struct hash_secret *secret, struct slice s);
uint16_t crc16(struct slice s);

/* Where a key lives: the CRC16 of its tag, or of all of it without one. A tag is what stands
 * between the first '{' and the first '}' behind it, if that is not empty. */
unsigned slot_of(struct slice key);

/* crc32c of the bytes so far and s; begin with 0. */
uint32_t crc32c(uint32_t crc, struct slice s);

/* CRC-64/Jones, reflected, as Redis' DUMP trailer has it; begin with 0. */
uint64_t crc64(uint64_t crc, struct slice s);

#endif

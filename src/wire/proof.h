/* SPDX-License-Identifier: BSD-3-Clause */

/* Proofs that a secret is known: HMAC-SHA-256 (RFC 2104), by OpenSSL's libcrypto; the one place
 * that names it below the shell. A function of its arguments alone. */
#ifndef WIRE_PROOF_H
#define WIRE_PROOF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum { PROOF_BYTES = 32 };

void proof_make(struct slice secret, struct slice said, uint8_t proof[PROOF_BYTES]);
bool proof_equal(const uint8_t a[PROOF_BYTES],
                 const uint8_t b[PROOF_BYTES]); /* in the same time, whatever they hold */

#endif

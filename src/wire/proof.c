/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire/proof.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/check.h"

void proof_make(struct slice secret, struct slice said, uint8_t proof[PROOF_BYTES])
{
    unsigned n = 0;
    check(secret.n <= INT32_MAX);
    check(HMAC(EVP_sha256(), secret.p, (int)secret.n, (const uint8_t *)said.p, said.n, proof, &n) !=
          NULL);
    check(n == PROOF_BYTES);
}

bool proof_equal(const uint8_t a[PROOF_BYTES], const uint8_t b[PROOF_BYTES])
{
    return CRYPTO_memcmp(a, b, PROOF_BYTES) == 0;
}

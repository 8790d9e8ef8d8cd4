/* SPDX-License-Identifier: BSD-3-Clause */

/* The only randomness there is below the shell: xoshiro256** (Blackman, Vigna), seeded from
 * outside, so that a simulated run repeats exactly. Not for secrets. */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdint.h>

struct rng {
    uint64_t s[4];
};

void rng_seed(struct rng *r, uint64_t seed);
uint64_t rng_next(struct rng *r);
uint64_t rng_below(struct rng *r, uint64_t n); /* 0 .. n - 1, without bias; n > 0 */

#endif

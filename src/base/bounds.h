/* SPDX-License-Identifier: BSD-3-Clause */

/* Limits, each with its reason. */
#ifndef BASE_BOUNDS_H
#define BASE_BOUNDS_H

#include <assert.h>

enum { SLOTS = 16384 }; /* clients compute crc16 mod this: not ours to choose */
static_assert((SLOTS & (SLOTS - 1)) == 0, "slot_of() masks instead of dividing");

#endif

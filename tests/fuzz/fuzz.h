/* SPDX-License-Identifier: BSD-3-Clause */

/* A fuzz target: its name, examples to begin from, and what it does with an input. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdint.h>

#include "base/slice.h"

extern const char fuzz_name[];
extern const struct slice fuzz_examples[];
extern const size_t fuzz_examples_n;

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#define FUZZ_EXAMPLES(...)                              \
    const struct slice fuzz_examples[] = {__VA_ARGS__}; \
    const size_t fuzz_examples_n = sizeof(fuzz_examples) / sizeof(fuzz_examples[0])

#define FUZZ_EXAMPLE(literal) {"" literal, sizeof(literal) - 1}

#endif

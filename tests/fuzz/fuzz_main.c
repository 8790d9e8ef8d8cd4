/* SPDX-License-Identifier: BSD-3-Clause */

/* Runs a fuzz target without a fuzzer: seeded mutations of its examples, for a stated count.
 *
 * With clang, `make fuzz` builds the same targets on libFuzzer instead, for which `--examples DIR` writes the examples
 * as files to begin from; what that finds joins the target's examples. The target must not crash, leak or read beyond its input: a build with
 * --enable-sanitize is the judge. */
#include <stdio.h>
#include <stdlib.h>

#include "base/rng.h"
#include "tests/fuzz/fuzz.h"

#ifndef FUZZ_COUNT
#define FUZZ_COUNT 20000 /* mutations; a target whose inputs take long has fewer, and so has one beside sanitizers */
#endif
#ifdef __SANITIZE_ADDRESS__
enum { COUNT = FUZZ_COUNT / 5 };
#else
enum { COUNT = FUZZ_COUNT };
#endif
enum { INPUT_MAX_BYTES = 4096 };

/* One change: a byte, a piece moved, repeated or dropped, a number made odd, two examples joined. */
static size_t mutate(struct rng *rng, char *p, size_t n)
{
    static const char *const words[] = {"\r\n", "*", "$", "-1", "0", "9223372036854775807", "2147483648", "\"", "#V 0 1 ",
                                        "#S ", "MULTI", "EXEC", "\\x", "'", "\0", "%", "file "};
    size_t at = n > 0 ? rng_below(rng, n) : 0;
    switch (rng_below(rng, 6)) {
    case 0:
        if (n > 0)
            p[at] = (char)rng_below(rng, 256);
        return n;
    case 1:
        if (n > 0)
            p[at] ^= (char)(1 << rng_below(rng, 8));
        return n;
    case 2: { /* drop a piece */
        size_t cut = n > at ? rng_below(rng, n - at) + 1 : 0;
        if (cut > 16 && rng_below(rng, 4) != 0)
            cut = 1 + rng_below(rng, 16);
        if (cut > n - at)
            cut = n - at;
        memmove(p + at, p + at + cut, n - at - cut);
        return n - cut;
    }
    case 3: { /* repeat a piece */
        size_t piece = n > at ? 1 + rng_below(rng, n - at) : 0;
        if (n + piece > INPUT_MAX_BYTES)
            return n;
        memmove(p + at + piece, p + at, n - at);
        return n + piece;
    }
    case 4: { /* put a word in */
        const char *word = words[rng_below(rng, sizeof(words) / sizeof(words[0]))];
        size_t word_n = word[0] == '\0' ? 1 : strlen(word);
        if (n + word_n > INPUT_MAX_BYTES)
            return n;
        memmove(p + at + word_n, p + at, n - at);
        memcpy(p + at, word, word_n);
        return n + word_n;
    }
    default: return at; /* cut off */
    }
}

static void run_mutations(uint64_t seed, size_t count)
{
    struct rng rng;
    rng_seed(&rng, seed);
    for (size_t i = 0; i < count; i++) {
        char *p = malloc(INPUT_MAX_BYTES);
        const struct slice *example = &fuzz_examples[rng_below(&rng, fuzz_examples_n)];
        size_t n = example->n < INPUT_MAX_BYTES ? example->n : INPUT_MAX_BYTES;
        memcpy(p, example->p, n);
        for (uint64_t changes = rng_below(&rng, 8); changes > 0; changes--)
            n = mutate(&rng, p, n);
        char *exact = malloc(n > 0 ? n : 1); /* its own allocation: a read past the end is seen */
        memcpy(exact, p, n);
        LLVMFuzzerTestOneInput((const uint8_t *)exact, n);
        free(exact);
        free(p);
    }
}

static int write_examples(const char *directory)
{
    for (size_t i = 0; i < fuzz_examples_n; i++) {
        char path[1024];
        (void)snprintf(path, sizeof(path), "%s/example-%zu", directory, i);
        FILE *to = fopen(path, "wb");
        if (to == NULL || fwrite(fuzz_examples[i].p, 1, fuzz_examples[i].n, to) != fuzz_examples[i].n || fclose(to) != 0) {
            perror(path);
            return 1;
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--examples") == 0)
        return write_examples(argv[2]);
    size_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : COUNT;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    printf("1..2\n");
    for (size_t i = 0; i < fuzz_examples_n; i++)
        LLVMFuzzerTestOneInput((const uint8_t *)fuzz_examples[i].p, fuzz_examples[i].n);
    printf("ok 1 - %s takes its examples\n", fuzz_name);
    run_mutations(seed, count);
    printf("ok 2 - %s survives %zu mutations of seed %llu\n", fuzz_name, count, (unsigned long long)seed);
    return 0;
}

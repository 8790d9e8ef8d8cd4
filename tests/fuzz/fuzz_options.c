/* SPDX-License-Identifier: BSD-3-Clause */

/* Configuration lines, CONFIG SET, and CONFIG REWRITE of whatever file there was. What a rewrite wrote
 * reads back without a complaint. */
#include "base/check.h"
#include "conf/options.h"
#include "tests/fuzz/fuzz.h"

const char fuzz_name[] = "the configuration";
FUZZ_EXAMPLES(FUZZ_EXAMPLE("port 6380\nbind 127.0.0.1 -::1\n# comment\nsave 900 1\nsave 300 10\nmaxmemory 1gb\n"),
              FUZZ_EXAMPLE("client-output-buffer-limit normal 1mb 2kb 60\nrequirepass \"a b\\x41\"\nappendfsync always\n"),
              FUZZ_EXAMPLE("include /etc/x*.conf\nslave-read-only yes\nproto-max-bulk-len 512mb\nlogfile ''\n"),
              FUZZ_EXAMPLE("latency-tracking-info-percentiles 50 99 99.9\nunixsocketperm 700\nmaxmemory-policy allkeys-lru"));

static void each_line(struct options *o, struct slice file, bool must_hold)
{
    struct buf text;
    buf_init(&text, OPTIONS_TEXT_MAX);
    while (file.n > 0) {
        const char *end = memchr(file.p, '\n', file.n);
        size_t n = end != NULL ? (size_t)(end - file.p) : file.n;
        enum options_line_is is = options_line(o, slice_head(file, n), &text);
        check(!must_hold || is != OPTIONS_LINE_BAD);
        file = slice_from(file, n + 1);
    }
    buf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct slice in = slice_of(p, n);
    struct options o, back;
    options_init(&o);
    options_init(&back);
    each_line(&o, in, false);
    struct buf file;
    buf_init(&file, OPTIONS_TEXT_MAX);
    options_rewrite(&o, SLICE("# mine\nport 1\n"), &file);
    each_line(&back, buf_slice(&file), true);
    buf_free(&file);
    options_free(&o);
    options_free(&back);
    return 0;
}

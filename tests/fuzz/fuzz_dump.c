/* SPDX-License-Identifier: BSD-3-Clause */

/* RESTORE's payload: the input as it is, which its checksum refuses, and sealed with the right one, so
 * that what stands in it is read. A string that is accepted can be dumped and read again. */
#include "base/check.h"
#include "base/hash.h"
#include "cmd/dump.h"
#include "tests/fuzz/fuzz.h"

const char fuzz_name[] = "payloads of RESTORE";
FUZZ_EXAMPLES(FUZZ_EXAMPLE("\x00\x05hello"), FUZZ_EXAMPLE("\x00\x41\x02" "hello"), FUZZ_EXAMPLE("\x00\x80\x00\x00\x00\x03" "abc"),
              FUZZ_EXAMPLE("\x00\x81\x00\x00\x00\x00\x00\x00\x00\x03" "abc"), FUZZ_EXAMPLE("\x00\x81\xff\xff\xff\xff\xff\xff\xff\xff" "abc"),
              FUZZ_EXAMPLE("\x00\xc0\x85"), FUZZ_EXAMPLE("\x00\xc1\x00\x80"), FUZZ_EXAMPLE("\x00\xc2\xff\xff\xff\x7f"),
              FUZZ_EXAMPLE("\x00\xc3\x09\x41\x2c\x00" "A\xe0\xff\x00\xe0\x1a\x00\x00" "A"),
              FUZZ_EXAMPLE("\x00\xc3\x05\x81\x7f\xff\xff\xff\xff\xff\xff\xff" "\x01" "ab\x20\x00"));

enum { SEALED_MAX_BYTES = 1 << 16, FOOTER_BYTES = 10 };

static void read_back(const struct blob *value)
{
    struct chain dumped = {0};
    struct blob *again;
    dump_put(&dumped, blob_slice(value), NULL);
    check(dumped.n == dump_bytes(blob_slice(value)));
    size_t n = dumped.n;
    char *bytes = mem_get(n);
    chain_copy(&dumped, bytes, n);
    chain_free(&dumped, NULL);
    check(dump_is_whole(slice_of(bytes, n)));
    check(dump_get(slice_of(bytes, n), &again) == ERR_OK);
    check(slice_equal(blob_slice(again), blob_slice(value)));
    blob_drop(again, NULL);
    mem_free(bytes);
}

static void read_value(struct slice payload)
{
    struct blob *value;
    if (dump_get(payload, &value) != ERR_OK)
        return;
    read_back(value);
    blob_drop(value, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    if (n > SEALED_MAX_BYTES)
        return 0;
    if (dump_is_whole(slice_of(p, n)))
        read_value(slice_of(p, n));
    char *sealed = mem_get(n + FOOTER_BYTES); /* of the exact size: a step beyond it is seen */
    if (n > 0)
        memcpy(sealed, p, n);
    sealed[n] = DUMP_VERSION;
    sealed[n + 1] = 0;
    uint64_t crc = crc64(0, slice_of(sealed, n + 2));
    for (unsigned i = 0; i < 8; i++)
        sealed[n + 2 + i] = (char)(crc >> 8 * i);
    check(dump_is_whole(slice_of(sealed, n + FOOTER_BYTES)));
    read_value(slice_of(sealed, n + FOOTER_BYTES));
    mem_free(sealed);
    return 0;
}

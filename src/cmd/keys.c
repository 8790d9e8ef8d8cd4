/* SPDX-License-Identifier: BSD-3-Clause */

/* Keys, found by the specs of the row; five commands whose options decide have a finder each. */
#include "cmd/keys.h"

#include "base/bounds.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/num.h"

static void add_range(struct keys *keys, size_t first, size_t last, unsigned step, unsigned flags)
{
    check(keys->n < KEYS_RANGES_MAX);
    keys->ranges[keys->n++] = (struct key_range){
        .first = (uint32_t)first, .last = (uint32_t)last, .step = step, .flags = flags};
}

static bool find_one(struct keys *keys, size_t at, unsigned flags)
{
    add_range(keys, at, at, 1, flags);
    return true;
}

/* The argument behind the keyword; 0 if it is not there. */
static size_t behind_keyword(const struct key_spec *ks, const struct slice *argv, size_t argc)
{
    int64_t n = (int64_t)argc;
    int64_t direction = ks->at > 0 ? 1 : -1;

    for (int64_t i = ks->at > 0 ? ks->at : n + ks->at; i >= 1 && i < n; i += direction)
        if (slice_is(argv[i], ks->keyword))
            return (size_t)i + 1;
    return 0;
}

static bool find_range(const struct key_spec *ks, size_t argc, size_t first, struct keys *keys)
{
    int64_t n = (int64_t)argc, from = (int64_t)first, last;

    if (ks->last >= 0)
        last = from + ks->last;
    else if (ks->limit <= 1)
        last = n + ks->last;
    else
        last = from + (n - from) / ks->limit + ks->last;
    if (from >= n || last >= n || last < from)
        return false;
    add_range(keys, first, (size_t)last, (unsigned)ks->step, ks->flags);
    return true;
}

static bool find_counted(const struct key_spec *ks, const struct slice *argv, size_t argc,
                         size_t begin, struct keys *keys)
{
    size_t at = begin + (size_t)ks->count, first = begin + (size_t)ks->first;
    int64_t count;

    if (at >= argc || !num_get_i64(argv[at], &count) || count < 0)
        return false;
    if (count == 0)
        return true;
    size_t room = first < argc ? (argc - first - 1) / (size_t)ks->step + 1 : 0;
    if ((uint64_t)count > room)
        return false;
    size_t last = first + ((size_t)count - 1) * (size_t)ks->step;
    add_range(keys, first, last, (unsigned)ks->step, ks->flags);
    return true;
}

static bool find_by_specs(const struct spec *spec, const struct slice *argv, size_t argc,
                          struct keys *keys)
{
    for (size_t i = 0; i < spec->keys_n; i++) {
        const struct key_spec *ks = &spec->keys[i];
        size_t begin = ks->begin == BEGIN_INDEX ? (size_t)ks->at : behind_keyword(ks, argv, argc);
        if (begin == 0)
            continue;
        bool found = ks->extent == EXTENT_COUNTED ? find_counted(ks, argv, argc, begin, keys)
                                                  : find_range(ks, argc, begin, keys);
        if (!found)
            return false;
    }
    return true;
}

/* SET key value ... GET: the old value shows. */
static bool find_set(const struct slice *argv, size_t argc, struct keys *keys)
{
    for (size_t i = 3; i < argc; i++)
        if (slice_is(argv[i], "get"))
            return find_one(keys, 1, KEY_RW | KEY_ACCESS | KEY_UPDATE);
    return find_one(keys, 1, KEY_OW | KEY_UPDATE);
}

/* BITFIELD key (GET type offset | SET type offset value | INCRBY ... | OVERFLOW how)...: with GET
 * alone it only reads. */
static bool find_bitfield(const struct slice *argv, size_t argc, struct keys *keys)
{
    size_t i = 2;

    while (i < argc) {
        if (slice_is(argv[i], "get") && argc - i > 2)
            i += 3;
        else if (slice_is(argv[i], "overflow") && argc - i > 1)
            i += 2;
        else
            return find_one(keys, 1, KEY_RW | KEY_ACCESS | KEY_UPDATE);
    }
    return find_one(keys, 1, KEY_RO | KEY_ACCESS);
}

/* SORT key [BY p] [LIMIT n m] [GET p]... [ASC|DESC] [ALPHA] [STORE key]: the last STORE counts.
 * What BY and GET reach is made from elements, and is not in the request. A destination named
 * "store" is one, as when the command runs (Redis' GETKEYS takes it for the next option). */
static bool find_sort(const struct slice *argv, size_t argc, struct keys *keys)
{
    size_t destination = 0;

    find_one(keys, 1, KEY_RO | KEY_ACCESS);
    for (size_t i = 2; i < argc; i++) {
        if (slice_is(argv[i], "limit"))
            i += 2;
        else if (slice_is(argv[i], "by") || slice_is(argv[i], "get"))
            i += 1;
        else if (slice_is(argv[i], "store") && i + 1 < argc)
            destination = ++i;
    }
    if (destination != 0)
        find_one(keys, destination, KEY_OW | KEY_UPDATE);
    return true;
}

/* MIGRATE host port key|"" db timeout [COPY] [REPLACE] [AUTH p | AUTH2 u p] [KEYS key...] */
static bool find_migrate(const struct slice *argv, size_t argc, struct keys *keys)
{
    const unsigned flags = KEY_RW | KEY_ACCESS | KEY_DELETE;

    for (size_t i = 6; i < argc; i++) {
        if (slice_is(argv[i], "auth"))
            i += 1;
        else if (slice_is(argv[i], "auth2"))
            i += 2;
        else if (slice_is(argv[i], "keys") && i + 1 < argc) {
            if (argv[3].n > 0)
                return false;
            add_range(keys, i + 1, argc - 1, 1, flags);
            return true;
        }
    }
    return find_one(keys, 3, flags);
}

bool keys_of(const struct spec *spec, const struct slice *argv, size_t argc, struct keys *keys)
{
    keys->n = 0;
    switch ((enum key_finder)spec->finder) {
    case FIND_BY_SPECS: return find_by_specs(spec, argv, argc, keys);
    case FIND_SET: return find_set(argv, argc, keys);
    case FIND_BITFIELD: return find_bitfield(argv, argc, keys);
    case FIND_SORT: return find_sort(argv, argc, keys);
    case FIND_SORT_RO: return find_one(keys, 1, KEY_RO | KEY_ACCESS);
    case FIND_MIGRATE: return find_migrate(argv, argc, keys);
    }
    check_failed("a finder has its case", __FILE__, __LINE__);
}

bool keys_next(const struct keys *keys, struct key_at *key)
{
    if (key->range >= keys->n)
        return false;
    const struct key_range *r = &keys->ranges[key->range];
    if (key->at == 0) {
        key->at = r->first;
    } else if (r->last - key->at >= r->step) {
        key->at += r->step;
    } else {
        if (++key->range == keys->n)
            return false;
        r++;
        key->at = r->first;
    }
    key->flags = r->flags;
    return true;
}

size_t keys_n(const struct keys *keys)
{
    size_t n = 0;
    for (size_t i = 0; i < keys->n; i++)
        n += (keys->ranges[i].last - keys->ranges[i].first) / keys->ranges[i].step + 1;
    return n;
}

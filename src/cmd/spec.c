/* SPDX-License-Identifier: BSD-3-Clause */

/* The rows of commands.def as a constant table, and the way from a name to its row.
 *
 * Top-level names are found through spec_index, a hash table made at build time, since a table
 * filled at start would be a mutable global. Subcommands are few and stand behind their container:
 * they are looked through. */
#include "cmd/spec.h"

#include <assert.h>

struct name_slot {
    uint64_t word; /* the name's first eight bytes; 0: the slot is free */
    uint16_t n;
    uint16_t id;
};

#include "cmd/spec_index.h"

/* Categories that follow from the flags, as Redis derives them. */
#define ACL_IMPLIED(flags)                                                            \
    ((((flags)&CMD_WRITE) != 0 ? (uint32_t)ACL_WRITE : 0) |                           \
     (((flags)&CMD_READONLY) != 0 ? (uint32_t)ACL_READ : 0) |                         \
     (((flags)&CMD_ADMIN) != 0 ? (uint32_t)ACL_ADMIN | (uint32_t)ACL_DANGEROUS : 0) | \
     (((flags)&CMD_PUBSUB) != 0 ? (uint32_t)ACL_PUBSUB : 0) |                         \
     (((flags)&CMD_BLOCKING) != 0 ? (uint32_t)ACL_BLOCKING : 0) |                     \
     (((flags)&CMD_FAST) != 0 ? (uint32_t)ACL_FAST : (uint32_t)ACL_SLOW))

#define AT(index, last_, step_, flags_)                                                          \
    {                                                                                            \
        .begin = BEGIN_INDEX, .extent = EXTENT_RANGE, .at = index, .last = last_, .step = step_, \
        .flags = flags_                                                                          \
    }
#define AFTER(word, from, last_, step_, flags_)                                      \
    {                                                                                \
        .begin = BEGIN_KEYWORD, .extent = EXTENT_RANGE, .keyword = word, .at = from, \
        .last = last_, .step = step_, .flags = flags_                                \
    }
#define COUNTED(index, count_, first_, step_, flags_)                                 \
    {                                                                                 \
        .begin = BEGIN_INDEX, .extent = EXTENT_COUNTED, .at = index, .count = count_, \
        .first = first_, .step = step_, .flags = flags_                               \
    }
#define SOMEWHERE(flags_)                                                 \
    {                                                                     \
        .begin = BEGIN_UNKNOWN, .extent = EXTENT_UNKNOWN, .flags = flags_ \
    }
#define KEYS_BY(finder_, first_, last_, step_, ...)                                     \
    .first = first_, .last = last_, .step = step_, .finder = finder_,                   \
    .keys_n = sizeof((const struct key_spec[]){__VA_ARGS__}) / sizeof(struct key_spec), \
    .keys = (const struct key_spec[])                                                   \
    {                                                                                   \
        __VA_ARGS__                                                                     \
    }
#define KEYS(first_, last_, step_, flags_)       \
    KEYS_BY(FIND_BY_SPECS, first_, last_, step_, \
            AT(first_, (last_) < 0 ? (last_) : (last_) - (first_), step_, flags_))
#define NO_KEYS .keys_n = 0
#define SINCE(version) .since = version
#define REPLACED(version, deprecated, instead) \
    .since = version, .deprecated_since = deprecated, .replaced_by = instead
#define CONTAINER SPEC_CONTAINER
#define DATA(function) SPEC_DATA
#define NODE(function) SPEC_NODE

#define CMD(id_, name_, arity_, handler_, group_, flags_, categories_, keys_, since_, complexity_, \
            tips_, args_, summary_)                                                                \
    [SPEC_##id_] = {.name = name_,                                                                 \
                    .name_n = sizeof(name_) - 1,                                                   \
                    .id = SPEC_##id_,                                                              \
                    .container = SPEC_NONE,                                                        \
                    .arity = arity_,                                                               \
                    .handler = handler_,                                                           \
                    .group = group_,                                                               \
                    .flags = flags_,                                                               \
                    .categories = (categories_) | ACL_IMPLIED(flags_),                             \
                    keys_,                                                                         \
                    since_,                                                                        \
                    .complexity = complexity_,                                                     \
                    .tips = tips_,                                                                 \
                    .args = args_,                                                                 \
                    .summary = summary_},
#define SUB(container_, id_, name_, sub_, arity_, handler_, group_, flags_, categories_, keys_, \
            since_, complexity_, tips_, args_, summary_)                                        \
    [SPEC_##container_##_##id_] = {.name = name_ "|" sub_,                                      \
                                   .name_n = sizeof(name_ "|" sub_) - 1,                        \
                                   .sub_at = sizeof(name_ "|") - 1,                             \
                                   .id = SPEC_##container_##_##id_,                             \
                                   .container = SPEC_##container_,                              \
                                   .arity = arity_,                                             \
                                   .handler = handler_,                                         \
                                   .group = group_,                                             \
                                   .flags = flags_,                                             \
                                   .categories = (categories_) | ACL_IMPLIED(flags_),           \
                                   keys_,                                                       \
                                   since_,                                                      \
                                   .complexity = complexity_,                                   \
                                   .tips = tips_,                                               \
                                   .args = args_,                                               \
                                   .summary = summary_},

const struct spec specs[SPEC_N] = {
#include "cmd/commands.def"
};

#undef CMD
#undef SUB

/* Eight bytes to lowercase at once. With its top bit put aside, a byte plus (128 - c) has the top
 * bit set exactly if it is c or more; capitals are from 'A' but not from behind 'Z'. */
static uint64_t lower_word(uint64_t w)
{
    const uint64_t each = 0x0101010101010101u, top = each * 0x80;
    uint64_t low = w & ~top;
    uint64_t from_a = low + each * (0x80 - 'A'), behind_z = low + each * (0x80 - 'Z' - 1);
    uint64_t capital = (from_a ^ behind_z) & ~w & top;

    return w | capital >> 2;
}

/* The factor was searched for: it leaves today's names without a collision. More rows may collide,
 * and the neighbours take them. */
static size_t name_slot(uint64_t word, size_t n)
{
    uint32_t folded = (uint32_t)word + (uint32_t)(word >> 32) + (uint32_t)n;

    return folded * 0xb5a1f82bu >> 23;
}
static_assert(SPEC_INDEX_SLOTS == 1 << (32 - 23), "name_slot keeps the bits of one slot");

/* `word` is lowercase already. */
static bool same_word(struct slice s, const char *word)
{
    for (size_t i = 0; i < s.n; i++)
        if (lower_of(s.p[i]) != word[i])
            return false;
    return true;
}

const struct spec *spec_find_top(struct slice name)
{
    if (name.n == 0)
        return NULL;
    uint64_t word = lower_word(slice_word(name));
    for (size_t at = name_slot(word, name.n);; at = (at + 1) % SPEC_INDEX_SLOTS) {
        const struct name_slot *slot = &spec_index[at];
        if (slot->word == 0)
            return NULL;
        if (slot->word == word && slot->n == name.n &&
            (name.n <= 8 || same_word(slice_from(name, 8), specs[slot->id].name + 8)))
            return &specs[slot->id];
    }
}

const struct spec *spec_next_sub(const struct spec *sub)
{
    unsigned container = sub->container == SPEC_NONE ? sub->id : sub->container;
    unsigned next = sub->id + 1u;

    return next < SPEC_N && specs[next].container == container ? &specs[next] : NULL;
}

const struct spec *spec_find_sub(const struct spec *container, struct slice sub)
{
    for (const struct spec *s = spec_next_sub(container); s != NULL; s = spec_next_sub(s))
        if ((size_t)(s->name_n - s->sub_at) == sub.n && same_word(sub, s->name + s->sub_at))
            return s;
    return NULL;
}

const struct spec *spec_find(const struct slice *argv, size_t argc)
{
    if (argc == 0)
        return NULL;
    const struct spec *top = spec_find_top(argv[0]);
    if (top == NULL || argc == 1 || !spec_has_subs(top))
        return top;
    return spec_find_sub(top, argv[1]);
}

const struct spec *spec_find_name(struct slice name)
{
    const char *bar = name.n > 0 ? memchr(name.p, '|', name.n) : NULL;
    if (bar == NULL)
        return spec_find_top(name);

    size_t n = (size_t)(bar - name.p);
    const struct spec *top = spec_find_top(slice_head(name, n));
    return top != NULL ? spec_find_sub(top, slice_from(name, n + 1)) : NULL;
}

size_t spec_subs_n(const struct spec *container)
{
    size_t n = 0;
    for (const struct spec *s = spec_next_sub(container); s != NULL; s = spec_next_sub(s))
        n++;
    return n;
}

#define X(name, text) text,
static const char *const cmd_flag_names[] = {CMD_FLAG_ROWS(X)};
static const char *const category_names[] = {CMD_CATEGORY_ROWS(X)};
static const char *const key_flag_names[] = {KEY_FLAG_ROWS(X)};
static const char *const group_names[] = {SPEC_GROUP_ROWS(X)};
#undef X

const char *cmd_flag_name(unsigned bit)
{
    return cmd_flag_names[bit];
}

const char *acl_category_name(unsigned bit)
{
    return category_names[bit];
}

const char *key_flag_name(unsigned bit)
{
    return key_flag_names[bit];
}

const char *spec_group_name(unsigned group)
{
    return group_names[group];
}

uint32_t acl_category_find(struct slice name)
{
    for (unsigned bit = 0; bit < ACL_CATEGORY_N; bit++)
        if (slice_is(name, category_names[bit]))
            return 1u << bit;
    return 0;
}

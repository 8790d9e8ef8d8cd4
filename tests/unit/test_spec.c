/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/spec.h"

#include <stdio.h>

#include "base/bounds.h"
#include "base/hash.h"
#include "cmd/keys.h"
#include "cmd/spec_args.h"
#include "tests/lib/unit.h"

enum { WORDS_MAX = 32 };

/* "GET key" -> argv; an empty word is written as "". */
static size_t words(const char *text, struct slice argv[WORDS_MAX])
{
    size_t n = 0;
    while (*text != '\0') {
        size_t w = strcspn(text, " ");
        assert_true(n < WORDS_MAX);
        argv[n++] = w == 2 && memcmp(text, "\"\"", 2) == 0 ? slice_of(text, 0) : slice_of(text, w);
        text += w;
        text += *text == ' ' ? 1 : 0;
    }
    return n;
}

static const struct spec *find(const char *text)
{
    struct slice argv[WORDS_MAX];
    return spec_find(argv, words(text, argv));
}

static void rows_are_sorted(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SPEC_N; i++) {
        const struct spec *s = &specs[i];
        assert_int_equal(s->id, i);
        assert_int_equal(s->name_n, strlen(s->name));
        if (i > 0 && strcmp(specs[i - 1].name, s->name) >= 0)
            fail_msg("%s stands before %s", specs[i - 1].name, s->name);
    }
}

static void rows_are_sane(void **state)
{
    (void)state;
    for (const struct spec *s = specs; s < specs + SPEC_N; s++) {
        bool is_sub = strchr(s->name, '|') != NULL;
        print_message("# %s\n", s->name);
        assert_true(s->arity != 0);
        assert_true(s->group < SPEC_GROUP_N);
        assert_true(strlen(s->summary) > 8 && s->summary[strlen(s->summary) - 1] == '.');
        assert_true(strlen(s->since) >= 5);
        assert_int_equal(s->deprecated_since == NULL, s->replaced_by == NULL);
        assert_true(spec_args_are_well_formed(slice_str(s->args)));
        assert_null(strstr(s->tips, "  "));
        assert_int_equal((s->flags & CMD_WRITE) != 0 && (s->flags & CMD_READONLY) != 0, 0);
        assert_int_equal((s->categories & ACL_FAST) == 0, (s->categories & ACL_SLOW) != 0);
        assert_int_equal(is_sub, s->container != SPEC_NONE);
        assert_int_equal(is_sub, s->sub_at != 0);
        if (s->handler == SPEC_CONTAINER)
            assert_true(spec_has_subs(s));
        for (const char *c = s->name; *c != '\0'; c++)
            assert_true(*c == lower_of(*c));
    }
}

static void containers_know_their_subcommands(void **state)
{
    (void)state;
    size_t subs = 0, met = 0;
    for (const struct spec *s = specs; s < specs + SPEC_N; s++) {
        subs += s->container != SPEC_NONE;
        if (s->container != SPEC_NONE)
            continue;
        size_t n = 0;
        for (const struct spec *sub = spec_next_sub(s); sub != NULL; sub = spec_next_sub(sub)) {
            assert_int_equal(sub->container, s->id);
            assert_memory_equal(sub->name, s->name, s->name_n);
            assert_int_equal(sub->name[s->name_n], '|');
            assert_int_equal(sub->sub_at, s->name_n + 1);
            n++;
        }
        assert_int_equal(n, spec_subs_n(s));
        assert_int_equal(n > 0, spec_has_subs(s));
        met += n;
    }
    assert_int_equal(met, subs);
}

static void triples_agree_with_key_specs(void **state)
{
    (void)state;
    for (const struct spec *s = specs; s < specs + SPEC_N; s++) {
        assert_int_equal(s->keys_n > 0, s->first > 0);
        if (s->keys_n == 0)
            continue;
        print_message("# %s\n", s->name);
        const struct key_spec *first = &s->keys[0], *last = first;
        for (size_t i = 0; i < s->keys_n; i++)
            if (s->keys[i].begin == BEGIN_INDEX)
                last = &s->keys[i];
        assert_int_equal(first->begin, BEGIN_INDEX);
        assert_int_equal(first->at, s->first);
        assert_int_equal(first->step, s->step);
        assert_int_equal(last->last < 0 ? last->last : last->at + last->last, s->last);
        for (size_t i = 0; i < s->keys_n; i++) { /* exactly one of RO, RW, OW, RM */
            unsigned kind = s->keys[i].flags & (KEY_RO | KEY_RW | KEY_OW | KEY_RM);
            assert_true(kind != 0 && (kind & (kind - 1)) == 0);
        }
        bool moves = s->finder == FIND_SORT || s->finder == FIND_SORT_RO ||
                     s->finder == FIND_MIGRATE;
        assert_int_equal(moves, (s->flags & CMD_MOVABLEKEYS) != 0);
    }
}

static void names_are_found_in_any_case(void **state)
{
    (void)state;
    for (const struct spec *s = specs; s < specs + SPEC_N; s++) {
        char text[64];
        for (unsigned how = 0; how < 3; how++) {
            for (size_t i = 0; i < s->name_n; i++) {
                bool upper = how == 1 || (how == 2 && i % 2 == 0);
                char c = s->name[i];
                text[i] = (char)(upper && c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
            }
            assert_ptr_equal(spec_find_name(slice_of(text, s->name_n)), s);
            struct slice argv[2] = {slice_of(text, s->name_n), {0}};
            if (s->sub_at > 0) {
                argv[0].n = s->sub_at - 1u;
                argv[1] = slice_of(text + s->sub_at, (size_t)s->name_n - s->sub_at);
            }
            assert_ptr_equal(spec_find(argv, s->sub_at > 0 ? 2 : 1), s);
        }
    }
}

/* A near name may be another command's ("sort_ro" and "sort"), so the truth is a walk over all
 * rows. */
static const struct spec *find_slowly(struct slice name)
{
    for (const struct spec *s = specs; s < specs + SPEC_N; s++)
        if (slice_is(name, s->name))
            return s;
    return NULL;
}

static void near_names_are_not_found(void **state)
{
    (void)state;
    for (const struct spec *s = specs; s < specs + SPEC_N; s++) {
        char text[64];
        for (size_t i = 0; i <= s->name_n; i++) {
            for (int c = 1; c < 256; c += 3) { /* one byte changed or added */
                memcpy(text, s->name, s->name_n);
                text[i] = (char)c;
                struct slice near = slice_of(text, i == s->name_n ? i + 1 : s->name_n);
                assert_ptr_equal(spec_find_name(near), find_slowly(near));
            }
            memcpy(text, s->name, i); /* one byte gone */
            if (i < s->name_n)
                memcpy(text + i, s->name + i + 1, s->name_n - i - 1u);
            struct slice less = slice_of(text, s->name_n - 1u);
            assert_ptr_equal(spec_find_name(less), find_slowly(less));
        }
    }
    assert_null(spec_find(NULL, 0));
    assert_null(spec_find_name(SLICE("")));
    assert_null(spec_find_name(SLICE("|")));
    assert_null(spec_find_name(SLICE("client|")));
    assert_null(spec_find_name(SLICE("get|")));
    assert_null(spec_find_name(SLICE("get\0")));
    assert_null(spec_find_name(SLICE("g\0t")));
}

static void left_out_commands_are_unknown(void **state)
{
    (void)state;
    static const char *const rows[] = {"lpush", "sadd", "zadd", "hset", "xadd", "geoadd", "pfadd",
                                       "subscribe", "eval", "fcall", "function load", "acl list",
                                       "client tracking", "client caching", "client nope",
                                       "cluster nope", "script", "object nope"};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (find(rows[i]) != NULL)
            fail_msg("%s is found", rows[i]);
    assert_string_equal(find("client")->name, "client");
    assert_string_equal(find("client tracking") == NULL ? "none" : "some", "none");
    assert_string_equal(spec_find_top(SLICE("client"))->name, "client");
    assert_string_equal(find("command")->name, "command");
    assert_string_equal(find("get whatever")->name, "get");
}

static void arity_is_exact_or_at_least(void **state)
{
    (void)state;
    assert_false(spec_arity_fits(&specs[SPEC_GET], 1));
    assert_true(spec_arity_fits(&specs[SPEC_GET], 2));
    assert_false(spec_arity_fits(&specs[SPEC_GET], 3));
    assert_false(spec_arity_fits(&specs[SPEC_SET], 2));
    assert_true(spec_arity_fits(&specs[SPEC_SET], 3));
    assert_true(spec_arity_fits(&specs[SPEC_SET], 300));
    assert_false(spec_arity_fits(&specs[SPEC_CLIENT_KILL], 2));
    assert_true(spec_arity_fits(&specs[SPEC_CLIENT_KILL], 3));
}

static void brief_is_so_only_with_few_arguments(void **state)
{
    (void)state;
    assert_true(spec_is_brief(&specs[SPEC_MGET], SPEC_BRIEF_ARGS));
    assert_false(spec_is_brief(&specs[SPEC_MGET], SPEC_BRIEF_ARGS + 1));
    assert_false(spec_is_brief(&specs[SPEC_KEYS], 2));
    for (const struct spec *s = specs; s < specs + SPEC_N; s++)
        if ((s->flags & CMD_SPLITS) != 0)
            assert_int_equal(s->keys_n, 1);
}

static void bits_have_names(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ACL_CATEGORY_N; i++)
        assert_int_equal(acl_category_find(slice_str(acl_category_name(i))), 1u << i);
    assert_int_equal(acl_category_find(SLICE("STRING")), ACL_STRING);
    assert_int_equal(acl_category_find(SLICE("strin")), 0);
    assert_int_equal(acl_category_find(SLICE("")), 0);
    assert_string_equal(cmd_flag_name(CMD_WRITE_BIT), "write");
    assert_null(cmd_flag_name(CMD_BRIEF_BIT));
    assert_string_equal(key_flag_name(KEY_VARIABLE_BIT), "variable_flags");
    assert_string_equal(spec_group_name(GROUP_TRANSACTIONS), "transactions");
    assert_int_equal(specs[SPEC_GET].categories, ACL_READ | ACL_STRING | ACL_FAST);
    assert_int_equal(specs[SPEC_CONFIG_SET].categories, ACL_ADMIN | ACL_DANGEROUS | ACL_SLOW);
}

/* The keys as "place:flags" with single blanks, or "?" if they cannot be told. */
static void assert_keys(const char *request, const char *expected)
{
    struct slice argv[WORDS_MAX];
    size_t argc = words(request, argv);
    const struct spec *s = spec_find(argv, argc);
    assert_non_null(s);
    assert_true(spec_arity_fits(s, argc));

    char got[256] = "?";
    struct keys keys;
    if (keys_of(s, argv, argc, &keys)) {
        struct key_at key = {0};
        size_t at = 0, n = 0;
        got[0] = '\0';
        for (; keys_next(&keys, &key); n++) {
            at += (size_t)snprintf(got + at, sizeof(got) - at, "%s%.*s:", at > 0 ? " " : "",
                                   (int)argv[key.at].n, argv[key.at].p);
            for (unsigned bit = 0; bit < KEY_FLAG_N; bit++)
                if ((key.flags >> bit & 1) != 0)
                    got[at++] = key_flag_name(bit)[bit < KEY_ACCESS_BIT ? 1 : 0];
            got[at] = '\0';
        }
        assert_int_equal(n, keys_n(&keys));
    }
    if (strcmp(got, expected) != 0)
        fail_msg("%s\n  has    %s\n  wanted %s", request, got, expected);
}

/* Flags by letter: RO RW OW RM by the second (O W W M), access update, insert, ... by the first. */
static void keys_of_usual_commands(void **state)
{
    (void)state;
    assert_keys("PING", "");
    assert_keys("GET a", "a:Oa");
    assert_keys("MGET a b c", "a:Oa b:Oa c:Oa");
    assert_keys("MSET a 1 b 2", "a:Wu b:Wu");
    assert_keys("MSET a 1 b", "a:Wu b:Wu");
    assert_keys("MSETNX a 1", "a:Wi");
    assert_keys("DEL a b", "a:Md b:Md");
    assert_keys("RENAME a b", "a:Wad b:Wu");
    assert_keys("COPY a b DB 3", "a:Oa b:Wu");
    assert_keys("LCS a b IDX", "a:Oa b:Oa");
    assert_keys("BITOP AND d a b", "d:Wu a:Oa b:Oa");
    assert_keys("BITOP NOT d a", "d:Wu a:Oa");
    assert_keys("OBJECT ENCODING a", "a:O");
    assert_keys("MEMORY USAGE a SAMPLES 3", "a:O");
    assert_keys("WATCH a b", "a:O b:O");
    assert_keys("RESTORE a 0 x", "a:Wu");
    assert_keys("DEBUG OBJECT a", "");
    assert_keys("SCAN 0 MATCH a", "");
}

static void keys_that_options_decide(void **state)
{
    (void)state;
    assert_keys("SET a 1", "a:Wu");
    assert_keys("SET a get", "a:Wu");
    assert_keys("SET a 1 EX 3 gEt", "a:Wau");
    assert_keys("BITFIELD a", "a:Oa");
    assert_keys("BITFIELD a GET u8 0 OVERFLOW sat GET u8 8", "a:Oa");
    assert_keys("BITFIELD a GET u8 0 SET u8 0 1", "a:Wau");
    assert_keys("BITFIELD a GET u8", "a:Wau");
    assert_keys("BITFIELD a OVERFLOW", "a:Wau");
    assert_keys("BITFIELD_RO a GET u8 0", "a:Oa");
    assert_keys("SORT a", "a:Oa");
    assert_keys("SORT a BY store LIMIT 0 store GET store ALPHA", "a:Oa");
    assert_keys("SORT a STORE b GET x* store c", "a:Oa c:Wu");
    assert_keys("SORT a STORE", "a:Oa");
    assert_keys("SORT a STORE store ALPHA", "a:Oa store:Wu");
    assert_keys("SORT a BY", "a:Oa");
    assert_keys("SORT_RO a BY x GET y", "a:Oa");
    assert_keys("MIGRATE h 1 k 0 10", "k:Wad");
    assert_keys("MIGRATE h 1 \"\" 0 10 COPY KEYS a b", "a:Wad b:Wad");
    assert_keys("MIGRATE h 1 \"\" 0 10 AUTH keys KEYS a", "a:Wad");
    assert_keys("MIGRATE h 1 \"\" 0 10 AUTH2 keys keys KEYS a", "a:Wad");
    assert_keys("MIGRATE h 1 k 0 10 KEYS a", "?");
    assert_keys("MIGRATE h 1 k 0 10 KEYS", "k:Wad");
}

/* Forms that no row has yet: counted keys, keywords from the front, a part of the rest. */
static void keys_by_any_kind_of_spec(void **state)
{
    (void)state;
    const struct key_spec counted = {.begin = BEGIN_INDEX, .extent = EXTENT_COUNTED, .at = 2,
                                     .count = 0, .first = 1, .step = 2, .flags = KEY_RO};
    const struct key_spec half = {.begin = BEGIN_KEYWORD, .extent = EXTENT_RANGE, .at = 1,
                                  .keyword = "STREAMS", .last = -1, .limit = 2, .step = 1,
                                  .flags = KEY_RO};
    struct slice argv[WORDS_MAX];
    struct keys keys;

    struct spec s = {.keys = &counted, .keys_n = 1};
    static const struct {
        const char *request;
        bool ok;
        size_t n;
    } rows[] = {{"x y 0", true, 0},       {"x y 1 a", true, 1},   {"x y 1", false, 0},
                {"x y 2 a b", false, 0},  {"x y 2 a b c", true, 2}, {"x y -1 a", false, 0},
                {"x y one a", false, 0},  {"x y", false, 0},
                {"x y 9223372036854775807 a b c", false, 0}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool ok = keys_of(&s, argv, words(rows[i].request, argv), &keys);
        assert_int_equal(ok, rows[i].ok);
        assert_int_equal(keys_n(&keys), rows[i].n);
    }

    s.keys = &half;
    assert_true(keys_of(&s, argv, words("x COUNT 1 streams a b 1 2", argv), &keys));
    assert_int_equal(keys.n, 1);
    assert_int_equal(keys.ranges[0].first, 4);
    assert_int_equal(keys.ranges[0].last, 5);
    assert_true(keys_of(&s, argv, words("x COUNT 1", argv), &keys));
    assert_int_equal(keys.n, 0);
    assert_false(keys_of(&s, argv, words("x COUNT 1 STREAMS", argv), &keys));
}

static void slots_follow_the_tag(void **state)
{
    (void)state;
    assert_int_equal(slot_of(SLICE("user:42")), 15880);
    assert_int_equal(slot_of(SLICE("foo")), 12182);
    assert_int_equal(slot_of(SLICE("k")), 7629);
    assert_int_equal(slot_of(SLICE("")), 0);
    assert_int_equal(slot_of(SLICE("{foo}bar")), 12182);
    assert_int_equal(slot_of(SLICE("a{foo}{bar}")), 12182);
    assert_int_equal(slot_of(SLICE("a{foo")), slot_of(SLICE("a{foo")) & (SLOTS - 1));
    assert_int_not_equal(slot_of(SLICE("a{foo")), 12182);
    assert_int_not_equal(slot_of(SLICE("{}foo")), slot_of(SLICE("")));
    assert_int_equal(slot_of(SLICE("{{foo}}x")), slot_of(SLICE("{foo")));
    assert_int_not_equal(slot_of(SLICE("}a{")), 0);
}

static void arguments_are_read(void **state)
{
    (void)state;
    struct slice list = slice_str(specs[SPEC_SET].args);
    struct spec_arg arg;

    assert_int_equal(spec_args_n(list), 5);
    assert_true(spec_args_next(&list, &arg));
    assert_slice(arg.name, "key");
    assert_int_equal(arg.type, ARG_KEY);
    assert_int_equal(arg.key_spec, 0);
    assert_false(arg.optional);
    assert_null(arg.token.p);
    assert_true(spec_args_next(&list, &arg));
    assert_slice(arg.name, "value");
    assert_int_equal(arg.type, ARG_STRING);
    assert_int_equal(arg.key_spec, -1);
    assert_true(spec_args_next(&list, &arg));
    assert_slice(arg.name, "condition");
    assert_int_equal(arg.type, ARG_ONEOF);
    assert_slice(arg.since, "2.6.12");
    assert_true(arg.optional);
    struct slice children = arg.children;
    assert_int_equal(spec_args_n(children), 2);
    assert_true(spec_args_next(&children, &arg));
    assert_slice(arg.name, "nx");
    assert_int_equal(arg.type, ARG_PURE_TOKEN);
    assert_slice(arg.token, "NX");
    assert_true(spec_args_next(&list, &arg) && spec_args_next(&list, &arg));
    assert_slice(arg.name, "expiration");
    assert_false(spec_args_next(&list, &arg));
}

static void every_mark_is_read(void **state)
{
    (void)state;
    struct slice list = SLICE("ip:port:string='=~'?*+^1.2.3~4.5.6 b{c d(e=E f)}=LIMIT g='' h:i");
    struct spec_arg arg;

    assert_true(spec_args_are_well_formed(list));
    assert_true(spec_args_next(&list, &arg));
    assert_slice(arg.name, "ip:port");
    assert_slice(arg.token, "=~");
    assert_int_equal(arg.type, ARG_STRING);
    assert_true(arg.optional && arg.multiple && arg.multiple_token);
    assert_slice(arg.since, "1.2.3");
    assert_slice(arg.deprecated, "4.5.6");
    assert_true(spec_args_next(&list, &arg));
    assert_int_equal(arg.type, ARG_BLOCK);
    assert_slice(arg.token, "LIMIT");
    assert_slice(arg.children, "c d(e=E f)");
    assert_true(spec_args_next(&list, &arg));
    assert_non_null(arg.token.p);
    assert_int_equal(arg.token.n, 0);
    assert_true(spec_args_next(&list, &arg));
    assert_slice(arg.name, "h:i");
    assert_int_equal(list.n, 0);
}

static void crooked_arguments_are_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {" ",    "a ",   " a",  "a  b",     "a(", "a()", "a(b",
                                       "a(b}", "a{b)", "a@",  "a@x",      "a=", "a='x", "a^",
                                       "a~",   "=A",   "a)",  "a:key(b)", "(b)", "a?^1?",
                                       "a(b c=)"};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (spec_args_are_well_formed(slice_str(rows[i])))
            fail_msg("'%s' is taken", rows[i]);
    assert_true(spec_args_are_well_formed(SLICE("")));
}

UNIT_TESTS("spec",
           TEST(rows_are_sorted, "rows are sorted by name, and ids dense (C1, C2)"),
           TEST(rows_are_sane, "a row's columns agree, its notation reads to the end (C4)"),
           TEST(containers_know_their_subcommands, "subcommands stand behind their container (C1)"),
           TEST(triples_agree_with_key_specs, "the triple of keys agrees with the key specs (C3)"),
           TEST(names_are_found_in_any_case, "every name is found in any case"),
           TEST(near_names_are_not_found, "names one byte away are not taken for a command"),
           TEST(left_out_commands_are_unknown, "what is not offered is unknown"),
           TEST(arity_is_exact_or_at_least, "arity is exact, or a least number where negative"),
           TEST(brief_is_so_only_with_few_arguments, "with many arguments nothing is brief"),
           TEST(bits_have_names, "flags and categories have names, categories are found by them"),
           TEST(keys_of_usual_commands, "keys stand where the row says"),
           TEST(keys_that_options_decide, "options decide keys of SET, BITFIELD, SORT, MIGRATE"),
           TEST(keys_by_any_kind_of_spec, "counted keys and keywords stay within the request"),
           TEST(slots_follow_the_tag, "a slot is the CRC16 of the tag, or of the whole key"),
           TEST(arguments_are_read, "the arguments of SET read as COMMAND DOCS tells them"),
           TEST(every_mark_is_read, "every mark of the notation is read"),
           TEST(crooked_arguments_are_refused, "crooked notation is refused"))

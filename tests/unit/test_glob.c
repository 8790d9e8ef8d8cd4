/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/glob.h"
#include "tests/lib/unit.h"

struct claim {
    const char *pattern, *text;
    bool matches;
};

static void holds(const struct claim *claims, size_t n, bool any_case)
{
    for (size_t i = 0; i < n; i++)
        if (glob_match(slice_str(claims[i].pattern), slice_str(claims[i].text), any_case) !=
            claims[i].matches)
            fail_msg("'%s' on '%s' is not %d", claims[i].pattern, claims[i].text,
                     claims[i].matches);
}

#define HOLDS(claims, any_case) holds(claims, sizeof(claims) / sizeof((claims)[0]), any_case)

static void stars_and_marks(void **state)
{
    (void)state;
    static const struct claim claims[] = {
        {"*", "a", true},           {"**", "abc", true},     {"a*", "a", true},
        {"a*b", "ab", true},        {"a*b", "axxb", true},   {"a*b", "axxc", false},
        {"a*b*c", "aXbXbYc", true}, {"a*bc", "abbbc", true}, {"?", "a", true},
        {"?", "ab", false},         {"a?", "a", false},      {"*?", "a", true},
        {"abc", "abc", true},       {"abc", "abcd", false},  {"abcd", "abc", false},
        {"abc**", "abc", true},     {"a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false}};
    HOLDS(claims, false);
}

static void classes(void **state)
{
    (void)state;
    static const struct claim claims[] = {
        {"h[ae]llo", "hello", true},  {"h[ae]llo", "hillo", false}, {"h[^e]llo", "hallo", true},
        {"h[^e]llo", "hello", false}, {"h[a-c]llo", "hbllo", true}, {"h[c-a]llo", "hbllo", true},
        {"h[a-c]llo", "hdllo", false}, {"[\\]]", "]", true},        {"[a\\-z]", "-", true},
        {"[a\\-z]", "b", false},      {"[abc", "b", true},          {"[abc", "d", false},
        {"[", "[", false},            {"[^", "x", true},            {"[]", "]", false},
        {"[a-]", "a", true},          {"[\x80-\x82]", "\x81", true}};
    HOLDS(claims, false);
}

static void escapes(void **state)
{
    (void)state;
    static const struct claim claims[] = {{"\\*", "*", true},
                                          {"\\*", "a", false},
                                          {"a\\", "a\\", true},
                                          {"\\a", "a", true},
                                          {"*\\?", "ab?", true}};
    HOLDS(claims, false);
}

static void empty_text(void **state)
{
    (void)state;
    static const struct claim claims[] = {{"", "", true}, {"*", "", false}, {"", "a", false}};
    HOLDS(claims, false);
}

static void any_case(void **state)
{
    (void)state;
    static const struct claim folded[] = {
        {"HaSh*", "hash-MAX", true}, {"[A-C]", "b", true}, {"[\\A]", "a", false}, {"x", "X", true}};
    static const struct claim exact[] = {{"HaSh*", "hash", false}, {"[A-C]", "b", false}};
    HOLDS(folded, true);
    HOLDS(exact, false);
}

static void plain(void **state)
{
    (void)state;
    assert_true(glob_is_plain(SLICE("hash-max")));
    assert_true(glob_is_plain(SLICE("")));
    assert_false(glob_is_plain(SLICE("a*")));
    assert_false(glob_is_plain(SLICE("?")));
    assert_false(glob_is_plain(SLICE("[a]")));
}

UNIT_TESTS("glob", TEST(stars_and_marks, "a star eats any number of bytes, a mark exactly one"),
           TEST(classes, "a class has members, ranges, a negation and Redis' odd corners"),
           TEST(escapes, "a backslash takes the next byte for itself, at the end it is a byte"),
           TEST(empty_text, "an empty text matches an empty pattern alone, as in Redis"),
           TEST(any_case, "case is folded where asked, but not behind a backslash in a class"),
           TEST(plain, "a pattern without star, mark and bracket is plain"))

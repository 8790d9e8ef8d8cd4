/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire/wire_map.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/map/map_setting.h"
#include "resp/resp_write.h"
#include "tests/lib/random_map.h"
#include "tests/lib/unit.h"
#include "wire/hello.h"

struct bytes {
    char *p;
    size_t n;
};

static struct bytes entry_bytes(const struct map_entry *e)
{
    struct bytes b;
    b.p = map_entry_flat(e, &b.n);
    return b;
}

static struct bytes map_bytes(const struct map *m)
{
    struct chain c = {0};
    struct bytes b;
    put_map(&c, m);
    b.p = chain_flat(&c, NULL, &b.n);
    return b;
}

/* A map that 3000 random entries made, each of which went through its bytes. */
static void a_map_made_of_bytes(struct map *direct, struct map *through, unsigned entries)
{
    struct rng r;
    rng_seed(&r, 5);
    struct random_runs run;
    map_init(direct);
    map_init(through);
    struct map_entry e = founding();
    for (unsigned i = 0; i < entries; i++) {
        if (e.type < MAP_TYPES) {
            struct bytes b = entry_bytes(&e);
            struct map_entry *got;
            char why[WIRE_WHY_BYTES] = "";
            enum err err = get_map_entry(slice_of(b.p, b.n), &got, why);
            assert_string_equal(why, "");
            assert_int_equal(err, ERR_OK);
            struct bytes again = entry_bytes(got);
            assert_int_equal(again.n, b.n);
            assert_memory_equal(again.p, b.p, b.n);
            map_apply(direct, direct->index + 1, &e);
            map_apply(through, through->index + 1, got);
            map_entry_free(got);
            mem_free(b.p);
            mem_free(again.p);
        }
        random_entry(direct, &r, &e, &run);
    }
}

static void an_entry_is_read_as_it_was_written(void **state)
{
    (void)state;
    struct map direct, through;
    a_map_made_of_bytes(&direct, &through, 3000);
    assert_int_equal(digest(&direct), digest(&through));
    map_free(&direct);
    map_free(&through);
}

static void a_map_is_read_as_it_was_written(void **state)
{
    (void)state;
    struct map direct, through, empty;
    a_map_made_of_bytes(&direct, &through, 1500);
    struct bytes b = map_bytes(&direct);
    char why[WIRE_WHY_BYTES] = "";
    map_init(&empty);
    assert_int_equal(get_map(slice_of(b.p, b.n), direct.index + 1, &through, why), ERR_SYNTAX);
    assert_string_equal(why, "a map of another index than was said");
    assert_int_equal(get_map(slice_of(b.p, b.n), direct.index, &through, why), ERR_OK);
    assert_int_equal(digest(&direct), digest(&through));
    mem_free(b.p);
    b = map_bytes(&empty);
    assert_int_equal(get_map(slice_of(b.p, b.n), empty.index, &through, why), ERR_OK);
    assert_int_equal(digest(&empty), digest(&through));
    mem_free(b.p);
    map_free(&direct);
    map_free(&through);
    map_free(&empty);
}

static void put_array(struct chain *to, const char *name, size_t fields)
{
    struct reply r = {.out = to, .protocol = 2};
    reply_array(&r, 1 + fields);
    reply_bulk_str(&r, name);
}

/* What snapshots of earlier builds hold. */
static void a_map_of_an_older_form_is_read(void **state)
{
    (void)state;
    struct chain old = {0};
    struct map m, got;
    struct map_entry e = founding();
    const struct map_member *who = &e.found.first;
    char why[WIRE_WHY_BYTES] = "";
    put_array(&old, "MAP", 7 + 2 * MAP_SETTINGS);
    wire_put_hex(&old, e.found.cluster.b, sizeof(e.found.cluster.b));
    for (uint64_t i = 0; i < 6; i++)
        wire_put_u64(&old, (const uint64_t[]){7, 7, 7, 7, 0, 1}[i]);
    for (size_t i = 0; i < MAP_SETTINGS; i++) {
        wire_put_word(&old, map_setting_rows[i].name);
        wire_put_u64(&old, map_setting_rows[i].preset);
    }
    put_array(&old, "NODE", 17);
    for (uint64_t i = 0; i < 6; i++)
        wire_put_u64(&old, i == 4 ? 7 : 0);
    wire_put_id(&old, &who->id);
    wire_put_hex(&old, who->data.b, sizeof(who->data.b));
    wire_put_hex(&old, who->voter.b, sizeof(who->voter.b));
    wire_put_u64(&old, who->incarnation);
    wire_put_word(&old, who->at.ip);
    wire_put_word(&old, who->at.hostname);
    wire_put_u64(&old, who->at.port);
    wire_put_u64(&old, who->at.cluster_port);
    wire_put_word(&old, who->zone);
    wire_put_u64(&old, who->weight);
    wire_put_u64(&old, who->home);
    for (size_t fields = 8; fields <= 9; fields++) { /* without `formers`, and without `anew` alone */
        put_array(&old, "SLOTS", fields);
        wire_put_u64(&old, fields == 8 ? 0 : SLOTS / 2);
        wire_put_u64(&old, fields == 8 ? SLOTS / 2 - 1 : SLOTS - 1);
        for (size_t i = 2; i < fields; i++)
            wire_put_u64(&old, (const uint64_t[]){7, 1, 1, 0, 1, 0, 0}[i - 2]);
    }

    size_t n;
    char *flat = chain_flat(&old, NULL, &n);
    map_init(&m);
    map_init(&got);
    map_apply(&m, 7, &e);
    assert_int_equal(get_map(slice_of(flat, n), m.index, &got, why), ERR_OK);
    assert_int_equal(digest(&got), digest(&m));
    mem_free(flat);
    map_free(&m);
    map_free(&got);
}

/* How many fields each frame has: a build that reads fewer takes no map of this one. */
static void the_version_is_of_this_form(void **state)
{
    (void)state;
    struct map m;
    struct map_entry e = founding();
    char fields[64] = "";
    map_init(&m);
    map_apply(&m, 7, &e);
    struct bytes b = map_bytes(&m);
    for (size_t i = 0; i < b.n; i++)
        if (b.p[i] == '*' && (i == 0 || b.p[i - 1] == '\n'))
            (void)snprintf(fields + strlen(fields), sizeof(fields) - strlen(fields), "%d ", atoi(b.p + i + 1));
    assert_int_equal(HELLO_VERSION, 3); /* to be raised with what is below */
    assert_string_equal(fields, "28 18 11 ");
    mem_free(b.p);
    map_free(&m);
}

/* Of the greatest number of runs: it fits an entry of the log. */
static void the_greatest_placement_fits(void **state)
{
    (void)state;
    struct map_run *run = mem_zero(SLOTS * sizeof(*run));
    for (unsigned i = 0; i < SLOTS; i++)
        run[i] = (struct map_run){(uint16_t)i, (uint16_t)i, MAP_COPIES, {999, 998, 997, 996, (uint16_t)(i % 900)}};
    struct map_entry e = {.type = MAP_PLACE, .base = UINT64_MAX, .runs = {run, SLOTS, false}}, *got;
    struct bytes b = entry_bytes(&e);
    char why[WIRE_WHY_BYTES] = "";
    assert_true(b.n <= RAFT_ENTRY_BYTES);
    assert_int_equal(get_map_entry(slice_of(b.p, b.n), &got, why), ERR_OK);
    assert_int_equal(got->runs.run_n, SLOTS);
    assert_memory_equal(got->runs.run, run, SLOTS * sizeof(*run));
    map_entry_free(got);
    mem_free(b.p);
    mem_free(run);
}

static void the_greatest_proposal_fits(void **state)
{
    (void)state;
    struct map_isr_run *run = mem_zero(MAP_ISR_RUNS * sizeof(*run));
    for (unsigned i = 0; i < MAP_ISR_RUNS; i++) {
        run[i] = (struct map_isr_run){(uint16_t)(16380 - i % 2), 16381, MAP_COPIES, {999, 998, 997, 996, 995}, {0}};
        for (unsigned k = 0; k < MAP_COPIES; k++)
            run[i].incarnation[k] = UINT32_MAX - k;
    }
    struct map_entry e = {.type = MAP_ISR, .base = UINT64_MAX, .isr = {UINT64_MAX, run, MAP_ISR_RUNS}}, *got;
    struct bytes b = entry_bytes(&e);
    char why[WIRE_WHY_BYTES] = "";
    assert_true(b.n <= RAFT_ENTRY_BYTES);
    assert_int_equal(get_map_entry(slice_of(b.p, b.n), &got, why), ERR_OK);
    assert_int_equal(got->isr.run_n, MAP_ISR_RUNS);
    assert_memory_equal(got->isr.run, run, MAP_ISR_RUNS * sizeof(*run));
    map_entry_free(got);
    mem_free(b.p);
    mem_free(run);
}

/* ISR 7 <node 1> 1 8 <runs> */
static void what_is_no_in_sync_set_is_refused(void **state)
{
    (void)state;
    static const char *const runs[] = {"0-9", "0-9=", "0-9=1", "0-9=1/", "0-9=/1", "0-9=1/1,", "0-9=1000/1",
                                       "0-9=1/4294967296", "0-9=1/1 ", "0-9=1/1  0-9=1/1", "9-0=1/1",
                                       "0-9=1/1,2/1,3/1,4/1,5/1,6/1"};
    struct map_isr_run run = {0, 9, 1, {1}, {1}};
    struct map_entry e = {.type = MAP_ISR, .base = 7, .about = id_of(1), .incarnation = 1, .isr = {8, &run, 1}};
    struct bytes b = entry_bytes(&e);
    char *tail = strstr(b.p, "$7\r\n0-9=1/1\r\n"), why[WIRE_WHY_BYTES] = "";
    assert_non_null(tail);
    for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++) {
        char text[256];
        struct map_entry *got;
        int n = snprintf(text, sizeof(text), "%.*s$%zu\r\n%s\r\n", (int)(tail - b.p), b.p, strlen(runs[i]), runs[i]);
        assert_int_not_equal(get_map_entry(slice_of(text, (size_t)n), &got, why), ERR_OK);
        assert_non_null(strstr(why, "the map's ISR, field 5"));
    }
    mem_free(b.p);
}

static void refused(const char *text, const char *expected)
{
    struct map_entry *e;
    char why[WIRE_WHY_BYTES] = "";
    assert_int_not_equal(get_map_entry(slice_str(text), &e, why), ERR_OK);
    assert_string_equal(why, expected);
}

#define FRAME2(name_n, name, a, b) "*3\r\n$" name_n "\r\n" name "\r\n$1\r\n" a "\r\n" b "\r\n"

static void what_is_no_entry_is_refused(void **state)
{
    (void)state;
    refused("", "the map's , field 0: not well-formed");
    refused("SET a 1\r\n", "the map's , field 0: not well-formed");
    refused("*1\r\n$4\r\nJUMP\r\n", "the map's JUMP, field 1: not well-formed");
    refused("*1\r\n$4\r\nJOIN\r\n", "the map's JOIN, field 1: not well-formed");
    refused(FRAME2("3", "SET", "a", "$1\r\nx"), "the map's SET, field 2: not well-formed");
    refused(FRAME2("3", "SET", "a", "$1\r\n1") "*", "the map's SET, field 1: not well-formed");
    static const char *const runs[] = {"$3\r\n0-9", "$4\r\n0-9=", "$5\r\n9-0=1", "$9\r\n0-16384=1", "$6\r\n0-9=1,",
                                       "$8\r\n0-9=1000", "$6\r\n0-9=1 ", "$6\r\n0-9=01",
                                       "$15\r\n0-9=1,1,1,1,1,1", "$7\r\n0-9=1  "};
    for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++) {
        char text[80];
        snprintf(text, sizeof(text), FRAME2("5", "PLACE", "7", "%s"), runs[i]);
        struct map_entry *e;
        char why[WIRE_WHY_BYTES] = "";
        assert_int_not_equal(get_map_entry(slice_str(text), &e, why), ERR_OK);
        assert_true(why[0] != '\0');
    }
}

/* Cut anywhere, or with any byte another: it is refused, or it is another entry; never a crash. */
static void damage_is_survived(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 6);
    struct map m, other;
    a_map_made_of_bytes(&m, &other, 300);
    struct random_runs run;
    unsigned refusals = 0;
    for (unsigned i = 0; i < 10000; i++) {
        struct map_entry e;
        do
            random_entry(&m, &r, &e, &run);
        while (e.type == MAP_TYPES);
        struct bytes b = entry_bytes(&e);
        size_t n = rng_below(&r, 2) == 0 ? (size_t)rng_below(&r, b.n) : b.n;
        char *exact = mem_get(n + (n == 0)); /* the sanitizer sees a byte too far */
        memcpy(exact, b.p, n);
        for (uint64_t k = rng_below(&r, 3); n > 0 && k > 0; k--)
            exact[rng_below(&r, n)] = rng_below(&r, 2) == 0 ? (char)rng_below(&r, 256) : "0123456789-,= *$\r\n"[rng_below(&r, 18)];
        struct map_entry *got;
        char why[WIRE_WHY_BYTES] = "";
        if (get_map_entry(slice_of(exact, n), &got, why) == ERR_OK) {
            map_apply(&m, m.index + 1, got);
            map_entry_free(got);
        } else
            refusals++;
        mem_free(exact);
        mem_free(b.p);
    }
    assert_true(refusals > 5000);
    assert_null(map_wrong(&m));
    map_free(&m);
    map_free(&other);
}

static void a_damaged_map_is_refused_or_whole(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 7);
    struct map m, got;
    a_map_made_of_bytes(&m, &got, 300);
    struct bytes b = map_bytes(&m);
    unsigned refusals = 0;
    for (unsigned i = 0; i < 100; i++) {
        size_t n = rng_below(&r, 2) == 0 ? (size_t)rng_below(&r, b.n) : b.n;
        char *exact = mem_get(n + (n == 0));
        memcpy(exact, b.p, n);
        if (n > 0)
            exact[rng_below(&r, n)] = "0123456789-,= *$\r\n"[rng_below(&r, 18)];
        uint64_t before = digest(&got);
        char why[WIRE_WHY_BYTES] = "";
        if (get_map(slice_of(exact, n), m.index, &got, why) != ERR_OK) {
            refusals++;
            assert_true(why[0] != '\0');
            assert_int_equal(digest(&got), before);
        }
        assert_null(map_wrong(&got));
        mem_free(exact);
    }
    assert_true(refusals > 50);
    mem_free(b.p);
    map_free(&m);
    map_free(&got);
}

UNIT_TESTS("wire_map",
           TEST(an_entry_is_read_as_it_was_written, "an entry is read as it was written (W2)"),
           TEST(a_map_is_read_as_it_was_written, "a map is read as it was written (W2)"),
           TEST(a_map_of_an_older_form_is_read, "a map of an older form is read: what it was set to is settled"),
           TEST(the_version_is_of_this_form, "a map of another form is of another version of the messages (W2)"),
           TEST(the_greatest_placement_fits, "the greatest placement fits an entry of the log"),
           TEST(the_greatest_proposal_fits, "the greatest proposal of in-sync sets fits an entry of the log"),
           TEST(what_is_no_in_sync_set_is_refused, "what is no in-sync set is refused, with the field (W3)"),
           TEST(what_is_no_entry_is_refused, "what is no entry is refused, with the field that is wrong (W3)"),
           TEST(damage_is_survived, "a damaged entry is refused or another one"),
           TEST(a_damaged_map_is_refused_or_whole, "a damaged map is refused and nothing changed, or it is whole"))

/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire/hello.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "tests/lib/unit.h"

/* Two ends and the bytes between them. */
struct pair {
    struct hello_self a, b; /* a dials b */
    struct hello dials, answers;
    struct chain to_a, to_b;
    size_t piece; /* so many bytes at a time; 0: all */
};

static struct pair two(void)
{
    struct pair p = {.a = {.incarnation = 3, .secret = SLICE("s3cret")},
                     .b = {.incarnation = 7, .secret = SLICE("s3cret")}};
    memset(p.a.cluster.b, 0xC1, 20);
    p.b.cluster = p.a.cluster;
    memset(p.a.id.b, 0xAA, 20);
    memset(p.b.id.b, 0xBB, 20);
    return p;
}

static void begin(struct pair *p, enum hello_purpose purpose, const struct node_id *wanted)
{
    const uint8_t na[HELLO_NONCE_BYTES] = {1}, nb[HELLO_NONCE_BYTES] = {2};
    hello_dial(&p->dials, &p->a, purpose, wanted, na, &p->to_b);
    hello_answer(&p->answers, &p->b, nb);
}

static enum hello_verdict give(struct hello *h, const struct hello_self *self, struct chain *in,
                               size_t piece, struct chain *out)
{
    char bytes[1024];
    enum hello_verdict v = HELLO_MORE;
    size_t n = chain_copy(in, bytes, sizeof(bytes)), at = 0, have = 0, used;
    while (have < n && v == HELLO_MORE) {
        have = piece > 0 && have + piece < n ? have + piece : n;
        v = hello_step(h, self, slice_of(bytes + at, have - at), &used, out);
        at += used;
    }
    chain_consume(in, v == HELLO_MORE ? n : at, NULL);
    return v;
}

/* To and fro until both have a verdict or nothing is said any more. */
static void play(struct pair *p, enum hello_verdict *dials, enum hello_verdict *answers)
{
    *dials = *answers = HELLO_MORE;
    while (p->to_a.n + p->to_b.n > 0) {
        if (*answers == HELLO_MORE)
            *answers = give(&p->answers, &p->b, &p->to_b, p->piece, &p->to_a);
        else
            chain_consume(&p->to_b, p->to_b.n, NULL);
        if (*dials == HELLO_MORE)
            *dials = give(&p->dials, &p->a, &p->to_a, p->piece, &p->to_b);
        else
            chain_consume(&p->to_a, p->to_a.n, NULL);
    }
}

static void end(struct pair *p)
{
    hello_free(&p->dials);
    hello_free(&p->answers);
    chain_free(&p->to_a, NULL);
    chain_free(&p->to_b, NULL);
}

static void both_accept(struct pair *p, enum hello_purpose purpose)
{
    enum hello_verdict dials, answers;
    begin(p, purpose, NULL);
    play(p, &dials, &answers);
    assert_int_equal(dials, HELLO_ACCEPTED);
    assert_int_equal(answers, HELLO_ACCEPTED);
    assert_int_equal(p->answers.purpose, purpose);
    assert_memory_equal(&p->answers.peer.id, &p->a.id, sizeof(p->a.id));
    assert_memory_equal(&p->dials.peer.id, &p->b.id, sizeof(p->b.id));
    assert_int_equal(p->answers.peer.incarnation, p->a.incarnation);
    assert_int_equal(p->dials.peer.incarnation, p->b.incarnation);
    end(p);
}

/* Who refuses and why; the other side learns the same text. */
static void refused(struct pair *p, enum hello_purpose purpose, const struct node_id *wanted,
                    bool by_dialler, enum hello_refusal refusal, const char *why)
{
    enum hello_verdict dials, answers;
    begin(p, purpose, wanted);
    play(p, &dials, &answers);
    struct hello *first = by_dialler ? &p->dials : &p->answers;
    struct hello *told = by_dialler ? &p->answers : &p->dials;
    assert_int_equal(dials, HELLO_REFUSED);
    if (answers != HELLO_ACCEPTED || !by_dialler) { /* else it is told on the open connection */
        assert_int_equal(answers, HELLO_REFUSED);
        assert_true(told->by_peer);
        assert_int_equal(told->refusal, refusal);
        assert_string_equal(told->why, why);
    }
    assert_false(first->by_peer);
    assert_int_equal(first->refusal, refusal);
    assert_string_equal(first->why, why);
    end(p);
}

static void two_members_come_together(void **state)
{
    (void)state;
    for (enum hello_purpose purpose = 0; purpose < HELLO_PURPOSES_N; purpose++)
        for (size_t piece = 0; piece < 3; piece++) {
            struct pair p = two();
            p.piece = piece;
            both_accept(&p, purpose);
        }
    struct pair p = two(); /* without a secret at either end */
    p.a.secret = p.b.secret = (struct slice){NULL, 0};
    both_accept(&p, HELLO_CONTROL);
}

static void what_follows_belongs_to_the_open_connection(void **state)
{
    (void)state;
    struct pair p = two();
    begin(&p, HELLO_FORWARD2, &p.b.id);
    assert_int_equal(give(&p.answers, &p.b, &p.to_b, 0, &p.to_a), HELLO_MORE);
    assert_int_equal(give(&p.dials, &p.a, &p.to_a, 0, &p.to_b), HELLO_MORE);
    char bytes[256];
    size_t n = chain_copy(&p.to_b, bytes, sizeof(bytes)), used;
    memcpy(bytes + n, "PING\r\n", 6);
    assert_int_equal(hello_step(&p.answers, &p.b, slice_of(bytes, n + 6), &used, &p.to_a),
                     HELLO_ACCEPTED);
    assert_int_equal(used, n);
    end(&p);
}

static void secrets_that_differ_are_told_apart(void **state)
{
    (void)state;
    struct pair p = two();
    p.b.secret = SLICE("s3creT");
    refused(&p, HELLO_CONTROL, NULL, false, HELLO_BAD_PROOF,
            "cluster-secret is not the same at both ends");
    p = two();
    p.a.secret = (struct slice){NULL, 0};
    refused(&p, HELLO_CONTROL, NULL, false, HELLO_BAD_PROOF,
            "cluster-secret is set at one end of the connection only");
    p = two();
    p.b.secret = (struct slice){NULL, 0};
    refused(&p, HELLO_MEET, NULL, false, HELLO_BAD_PROOF,
            "cluster-secret is set at one end of the connection only");
}

/* The dialler's own doubts: an answerer that passes every proof and cannot give one. */
static void one_who_only_claims_to_know_is_refused(void **state)
{
    (void)state;
    static const char *const welcomes[] = {
        "*2\r\n$12\r\nVONG.WELCOME\r\n$0\r\n\r\n",
        "*2\r\n$12\r\nVONG.WELCOME\r\n$64\r\n"
        "0123456789012345678901234567890123456789012345678901234567890123\r\n"};
    for (size_t i = 0; i < 3; i++) {
        struct pair p = two();
        begin(&p, HELLO_CONTROL, NULL);
        assert_int_equal(give(&p.answers, &p.b, &p.to_b, 0, &p.to_a), HELLO_MORE);
        assert_int_equal(give(&p.dials, &p.a, &p.to_a, 0, &p.to_b), HELLO_MORE);
        char bytes[256];
        size_t n = chain_copy(&p.to_b, bytes, sizeof(bytes)), used;
        if (i == 2) { /* the dialler's own proof, sent back */
            struct slice proof_head = SLICE("*2\r\n$10\r\nVONG.PROOF\r\n"),
                         head = SLICE("*2\r\n$12\r\nVONG.WELCOME\r\n");
            memmove(bytes + head.n, bytes + proof_head.n, n - proof_head.n);
            memcpy(bytes, head.p, head.n);
            n += head.n - proof_head.n;
        } else {
            n = strlen(welcomes[i]);
            memcpy(bytes, welcomes[i], n);
        }
        assert_int_equal(hello_step(&p.dials, &p.a, slice_of(bytes, n), &used, &p.to_b),
                         HELLO_REFUSED);
        assert_int_equal(p.dials.refusal, HELLO_BAD_PROOF);
        end(&p);
    }
}

/* Every part of what was said is under the proof: with one byte of it changed on the way it fails. */
static void a_changed_word_breaks_the_proof(void **state)
{
    (void)state;
    enum hello_verdict dials, answers;
    struct pair p = two();
    begin(&p, HELLO_CONTROL, NULL);
    size_t n = p.to_b.n;
    end(&p);
    size_t accepted = 0;
    for (size_t i = 0; i < n; i++) {
        p = two();
        begin(&p, HELLO_CONTROL, NULL);
        char bytes[256];
        chain_copy(&p.to_b, bytes, sizeof(bytes));
        bytes[i] ^= 1;
        chain_consume(&p.to_b, n, NULL);
        chain_put(&p.to_b, slice_of(bytes, n));
        play(&p, &dials, &answers);
        bool line_end =
            bytes[i] == ('\n' ^ 1) || bytes[i] == ('\r' ^ 1); /* not looked at behind a bulk */
        accepted += dials == HELLO_ACCEPTED;
        assert_true(line_end || dials != HELLO_ACCEPTED);
        assert_true(line_end || answers != HELLO_ACCEPTED);
        end(&p);
    }
    assert_int_equal(
        accepted,
        1 + 7 * 3); /* line ends of the parser's leniency: two behind a bulk, one behind a length */
}

static void another_version_is_refused_first(void **state)
{
    (void)state;
    struct pair p = two();
    begin(&p, HELLO_CONTROL, NULL);
    chain_consume(&p.to_b, p.to_b.n, NULL);
    chain_put(&p.to_b, SLICE("*4\r\n$10\r\nVONG.HELLO\r\n$1\r\n9\r\n$3\r\nnew\r\n$5\r\nthing\r\n"));
    enum hello_verdict dials, answers;
    play(&p, &dials, &answers);
    assert_int_equal(answers, HELLO_REFUSED);
    assert_int_equal(dials, HELLO_REFUSED);
    assert_int_equal(p.dials.refusal, HELLO_BAD_VERSION);
    assert_string_equal(p.dials.why,
                        "version 9 of the messages between nodes is not spoken here, but 3");
    end(&p);
}

/* Nodes of two builds that claim the same version, and say other things, part after each message. */
static void the_version_is_of_these_rows(void **state)
{
    (void)state;
    static const struct hash_key key;
    struct chain rows = {0};
    for (unsigned t = 0; t < WIRE_TYPES; t++) {
        const struct wire_spec *s = wire_spec((enum wire_type)t);
        char row[128];
        int n = snprintf(row, sizeof(row), "%s %u %u %u\n", s->name, s->least, s->most, (unsigned)s->side);
        chain_put(&rows, slice_of(row, (size_t)n));
    }
    size_t n;
    char *flat = chain_flat(&rows, NULL, &n);
    const struct {
        int version;
        uint64_t rows;
    } of = {HELLO_VERSION, hash_keyed(&key, slice_of(flat, n))};
    mem_free(flat);
    if (of.rows != UINT64_C(0xee52bc69bd53978f))
        fail_msg("a message changed: raise HELLO_VERSION, and here 3 and the rows' hash, 0x%llx",
                 (unsigned long long)of.rows);
    assert_int_equal(of.version, 3);
}

static void clusters_do_not_mix(void **state)
{
    (void)state;
    struct pair p = two();
    p.b.cluster.b[19] ^= 1;
    refused(&p, HELLO_CONTROL, NULL, false, HELLO_BAD_CLUSTER,
            "the two nodes belong to different clusters");
    p = two();
    memset(&p.b.cluster, 0, sizeof(p.b.cluster));
    refused(&p, HELLO_FORWARD3, NULL, false, HELLO_BAD_CLUSTER,
            "one of the two nodes belongs to no cluster yet: CLUSTER MEET first");
    p = two();
    memset(&p.a.cluster, 0, sizeof(p.a.cluster));
    refused(&p, HELLO_CONTROL, NULL, false, HELLO_BAD_CLUSTER,
            "one of the two nodes belongs to no cluster yet: CLUSTER MEET first");
    p = two(); /* but to meet they may */
    memset(&p.a.cluster, 0, sizeof(p.a.cluster));
    both_accept(&p, HELLO_MEET);
}

static void a_proxy_is_no_node(void **state)
{
    (void)state;
    struct pair p = two();
    memset(&p.a.id, 0, sizeof(p.a.id));
    p.a.incarnation = 0;
    both_accept(&p, HELLO_FORWARD2);
    memset(&p.a.cluster, 0, sizeof(p.a.cluster)); /* at its first connection */
    struct pair q = p;
    q.to_a = q.to_b = (struct chain){0};
    both_accept(&q, HELLO_FORWARD3);
    q = p;
    q.to_a = q.to_b = (struct chain){0};
    both_accept(&q, HELLO_FOLLOW);
    q = p;
    q.to_a = q.to_b = (struct chain){0};
    refused(&q, HELLO_CONTROL, NULL, false, HELLO_MALFORMED,
            "VONG.HELLO, field 5: a number is out of range");
}

static void ids_are_judged(void **state)
{
    (void)state;
    static const char both[] = "node aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa is at both ends: it "
                               "dialled itself, or its directory was copied";
    struct pair p = two();
    p.b.id = p.a.id;
    refused(&p, HELLO_MEET, NULL, false, HELLO_MYSELF, both);
    p = two();
    struct node_id wanted = {{0xDD}};
    refused(&p, HELLO_CONTROL, &wanted, true, HELLO_OTHER,
            "another node was meant to be here: this is bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb");

    struct map map = {.index = 5};
    struct map_node *n = vec_add(&map.nodes);
    *n = (struct map_node){.used = true};
    p = two();
    n->id = p.b.id;
    p.b.map = &map;
    refused(&p, HELLO_CONTROL, NULL, false, HELLO_UNKNOWN,
            "node aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa is no member of this cluster");
    p = two();
    n->id = p.a.id;
    p.b.map = &map;
    both_accept(&p, HELLO_CONTROL);
    p = two();
    n->used = false;
    p.b.map = &map;
    both_accept(&p, HELLO_MEET);
    vec_free(&map.nodes);
}

static void words_out_of_turn_are_refused(void **state)
{
    (void)state;
    struct pair p = two();
    begin(&p, HELLO_CONTROL, NULL);
    chain_consume(&p.to_b, p.to_b.n, NULL);
    chain_put(&p.to_b, SLICE("*2\r\n$10\r\nVONG.PROOF\r\n$0\r\n\r\n"));
    assert_int_equal(give(&p.answers, &p.b, &p.to_b, 0, &p.to_a), HELLO_REFUSED);
    assert_string_equal(p.answers.why, "VONG.PROOF where VONG.HELLO belongs");
    chain_consume(&p.to_a, p.to_a.n, NULL);
    chain_put(&p.to_a, SLICE("*2\r\n$12\r\nVONG.WELCOME\r\n$0\r\n\r\n"));
    assert_int_equal(give(&p.dials, &p.a, &p.to_a, 0, &p.to_b), HELLO_REFUSED);
    assert_string_equal(p.dials.why, "VONG.WELCOME where VONG.CHALLENGE belongs");
    end(&p);
}

static void a_refusal_is_read_back(void **state)
{
    (void)state;
    for (enum hello_refusal refusal = 0; refusal < HELLO_REFUSALS_N; refusal++) {
        struct chain c = {0};
        char bytes[256], text[WIRE_WHY_BYTES];
        put_refused(&c, refusal, "why not\n");
        size_t used, n = chain_copy(&c, bytes, sizeof(bytes));
        struct wire_reader r = {.from = WIRE_ANSWERS, .open = true};
        struct wire_in in;
        enum hello_refusal got;
        assert_int_equal(wire_next(&r, slice_of(bytes, n), &in, &used), WIRE_FRAME);
        assert_int_equal(in.type, WIRE_REFUSED);
        assert_int_equal(get_refused(&in, &got, text), ERR_OK);
        assert_int_equal(got, refusal);
        assert_string_equal(text, "why not?");
        wire_reader_free(&r);
        chain_free(&c, NULL);
    }
}

UNIT_TESTS("hello",
           TEST(two_members_come_together,
                "two members come together, however the bytes are cut (W6)"),
           TEST(what_follows_belongs_to_the_open_connection,
                "what follows the handshake is left for the open connection"),
           TEST(secrets_that_differ_are_told_apart,
                "secrets that differ, or are missing at one end, are refused (W6)"),
           TEST(one_who_only_claims_to_know_is_refused,
                "one who cannot prove it, or sends our proof back, is refused (W6)"),
           TEST(a_changed_word_breaks_the_proof, "no byte of the HELLO can be changed on its way"),
           TEST(another_version_is_refused_first,
                "another version is refused before its fields are read"),
           TEST(the_version_is_of_these_rows, "a change of any message's row wants another version"),
           TEST(clusters_do_not_mix, "clusters do not mix, but to meet"),
           TEST(a_proxy_is_no_node, "a proxy is no node, and may forward and follow only"),
           TEST(ids_are_judged, "an id that is mine, not meant or no member's is refused"),
           TEST(words_out_of_turn_are_refused, "words out of turn are refused (W3)"),
           TEST(a_refusal_is_read_back, "a refusal is read back, fit for a log (W2)"))

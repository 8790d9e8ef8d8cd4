/* SPDX-License-Identifier: BSD-3-Clause */
#include "persist/node_file.h"

#include "base/hash.h"
#include "base/num.h"
#include "tests/lib/unit.h"

static struct identity sample(void)
{
    struct identity i = {.is_known = true, .in_cluster = true, .incarnation = 7};
    for (unsigned k = 0; k < 20; k++) {
        i.cluster.b[k] = (uint8_t)(k * 3);
        i.node.b[k] = (uint8_t)(255 - k);
    }
    for (unsigned k = 0; k < 16; k++) {
        i.data.b[k] = (uint8_t)(k + 100);
        i.voter.b[k] = (uint8_t)(k + 200);
    }
    *vec_add(&i.peers) = (struct identity_peer){.ip = "127.0.0.1", .cluster_port = 16379};
    *vec_add(&i.peers) = (struct identity_peer){.ip = "fe80::1", .cluster_port = 1};
    return i;
}

static size_t text_of(const struct identity *i, char *to, size_t room)
{
    struct chain c = {0};
    struct graves g = {0};
    identity_put(&c, i);
    size_t n = chain_copy(&c, to, room);
    chain_free(&c, &g);
    return n;
}

static void it_comes_back_as_it_went(void **state)
{
    (void)state;
    struct identity was = sample(), is = {0};
    char text[IDENTITY_BYTES];
    size_t n = text_of(&was, text, sizeof(text));
    assert_int_equal(identity_get(&is, slice_of(text, n)), ERR_OK);
    assert_true(is.is_known && is.in_cluster);
    assert_memory_equal(is.cluster.b, was.cluster.b, 20);
    assert_true(node_id_equal(&is.node, &was.node) && data_id_equal(&is.data, &was.data));
    assert_true(data_id_equal(&is.voter, &was.voter));
    assert_int_equal(is.incarnation, 7);
    assert_int_equal(is.peers.n, 2);
    assert_string_equal(is.peers.at[1].ip, "fe80::1");
    assert_int_equal(is.peers.at[0].cluster_port, 16379);
    identity_free(&is);
    identity_free(&was);
}

static void each_flipped_byte_and_each_cut_is_noticed(void **state)
{
    (void)state;
    struct identity was = sample();
    char text[IDENTITY_BYTES];
    size_t n = text_of(&was, text, sizeof(text));
    for (size_t k = 0; k < n; k++) {
        struct identity is = {0};
        text[k] ^= 0x04;
        assert_int_not_equal(identity_get(&is, slice_of(text, n)), ERR_OK);
        text[k] ^= 0x04;
        identity_free(&is);
        is = (struct identity){0};
        assert_int_not_equal(identity_get(&is, slice_of(text, k)), ERR_OK);
        identity_free(&is);
    }
    identity_free(&was);
}

/* With a right crc, so that the lines themselves are judged. */
static enum err read_lines(const char *lines)
{
    char text[1024];
    struct identity is = {0};
    size_t n = strlen(lines);
    memcpy(text, lines, n);
    uint32_t crc = crc32c(0, slice_of(text, n));
    memcpy(text + n, "crc ", 4);
    num_put_hex(text + n + 4, crc, 8);
    text[n + 12] = '\n';
    enum err e = identity_get(&is, slice_of(text, n + 13));
    identity_free(&is);
    return e;
}

#define NODE "node 000102030405060708090a0b0c0d0e0f10111213\n"
#define KEPT "data 000102030405060708090a0b0c0d0e0f\n"
#define VOTER "voter 000102030405060708090a0b0c0d0e0f\n"
#define DATA KEPT VOTER

static void lines_that_are_not_ours_are_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        NODE DATA "incarnation 1\n",
        "cluster -\n" DATA "incarnation 1\n",
        "cluster -\n" NODE KEPT "incarnation 1\n",
        "cluster -\n" NODE VOTER "incarnation 1\n",
        "cluster -\n" NODE KEPT "voter 00\nincarnation 1\n",
        "cluster -\n" NODE DATA "incarnation 0\n",
        "cluster -\n" NODE DATA "incarnation 4294967295\n",
        "cluster 00\n" NODE DATA "incarnation 1\n",
        "cluster -\n" NODE DATA "incarnation 1\npeer 127.0.0.1 0\n",
        "cluster -\n" NODE DATA "incarnation 1\npeer 127.0.0.1 65536\n",
        "cluster -\n" NODE DATA "incarnation 1\npeer 1111111111111111111111111111111111111111111111 1\n",
        "cluster -\n" NODE DATA "incarnation 1\nwho are you\n",
    };
    assert_int_equal(read_lines("cluster -\n" NODE DATA "incarnation 4294967294\n"), ERR_OK);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(read_lines(wrong[i]), ERR_SYNTAX);
}

UNIT_TESTS("node_file",
           TEST(it_comes_back_as_it_went, "who a node is comes back as it went"),
           TEST(each_flipped_byte_and_each_cut_is_noticed, "each flipped byte and each cut of the file is noticed"),
           TEST(lines_that_are_not_ours_are_refused, "lines that are not ours, or missing, are refused"))

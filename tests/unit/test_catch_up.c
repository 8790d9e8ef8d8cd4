/* SPDX-License-Identifier: BSD-3-Clause */

/* A node that was away longer than the backlog remembers, and what it is sent out of its primary's log (replication 23). */
#include "tests/lib/some_routes.h"

#include "persist/startup.h"
#include "tests/lib/false_disk.h"

enum { INCREMENT = 8 }; /* its handle is the one that one_loaded() gives */

static struct false_disk disk[SOME_NODES];
static const struct log_names names = {"appendonlydir", "appendonly.aof"};

/* The next that is asked of this one's disk is done. */
static bool disk_does(unsigned i)
{
    struct one *o = &w.node[i];
    if (o->asked.n == 0)
        return false;
    struct disk_op op = o->asked.at[0];
    memmove(o->asked.at, o->asked.at + 1, --o->asked.n * sizeof(op));
    one_step(o, (struct node_event){.type = NODE_DISK, .disk = fd_perform(&disk[i], &op)});
    return true;
}

/* What is asked of the disks is done; all that can move does. */
static void disks(void)
{
    for (bool moved = true; moved;) {
        moved = false;
        some_later(&w, 1);
        for (unsigned i = 0; i < SOME_NODES; i++)
            while (disk_does(i))
                moved = true;
    }
}

static void later(int ms)
{
    for (int i = 0; i < ms; i += 20) {
        some_later(&w, 20);
        disks();
    }
}

/* Records go to an increment that the manifest names. */
static void found(unsigned i)
{
    struct startup s = {.names = names};
    struct node *n = w.node[i].node;
    disk[i].space = SIZE_MAX;
    manifest_add_increment(&s.manifest, &names, INCREMENT);
    rewrite_found(&n->rewrite, &s);
    manifest_free(&s.manifest);
    log_increment_path(n->journal.file.name, &names, INCREMENT);
    disk[i].handles[increment_handle(INCREMENT)] = fd_create(&disk[i], n->journal.file.name) + 1;
}

static void begin(const char *lines)
{
    memset(disk, 0, sizeof(disk));
    some_start(&w, lines);
    for (unsigned i = 0; i < SOME_NODES; i++)
        found(i);
    disks();
    some_copied(&w);
    later(100);
}

static void end(void)
{
    disks();
    some_stop(&w);
    for (unsigned i = 0; i < SOME_NODES; i++)
        fd_free(&disk[i]);
}

static const struct replicas *of(unsigned node)
{
    return w.node[node].node->cluster->replicas;
}

/* Each of the first n keys of node 0 has this value now. */
static void set_all(unsigned n, const char *value)
{
    for (unsigned i = 0; i < n; i++)
        send_format(0, 1, "SET %s %s-%u", some_key(&w, 0, i), value, i);
    disks();
    buf_clear(&w.node[0].got[1]);
}

static void set_big(const char *key, char value, size_t n)
{
    char *text = malloc(n + 128), *to = text + sprintf(text, "*3\r\n$3\r\nSET\r\n$%zu\r\n%s\r\n$%zu\r\n", strlen(key), key, n);
    memset(to, value, n);
    memcpy(to + n, "\r", 2);
    some_send(&w, 0, 1, text);
    free(text);
    disks();
}

/* Node 1 is not reached any more, */
static void lose(void)
{
    w.cut = true;
    some_link_break(&w, only_link(0, 1));
}

static void come_back(void) /* and is again */
{
    w.cut = false;
    later(200);
}

static void assert_same(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        char a[NUM_I64_CHARS], b[NUM_I64_CHARS];
        struct slice name = slice_str(some_key(&w, 0, i));
        struct entry *e[2];
        for (unsigned k = 0; k < 2; k++) {
            struct store *s = &w.node[k].node->store;
            struct key key = key_of(s, name);
            e[k] = store_find(s, 0, &key);
            assert_non_null(e[k]);
        }
        assert_true(slice_equal(entry_value(e[0], a), entry_value(e[1], b)));
        unsigned slot = slot_of(name);
        assert_int_equal(w.node[0].node->slots[slot].at.seq, w.node[1].node->slots[slot].at.seq);
    }
}

static void a_node_is_sent_what_it_lacks_out_of_the_log(void **state)
{
    (void)state;
    enum { KEYS = 200 };
    begin("appendonly yes\nrepl-backlog-size 0");
    set_all(KEYS, "old");
    uint64_t size = w.node[0].node->journal.file.size, dumps = of(0)->dumps_out;
    lose();
    set_all(KEYS, "new");
    uint64_t missed = w.node[0].node->journal.file.size - size;
    come_back();
    assert_same(KEYS);
    const struct repl *r = &of(0)->repl;
    assert_int_equal(of(0)->dumps_out, dumps);
    assert_true(r->logged_n > KEYS / 2 && r->logged_n == r->partial_n && r->partial_failed_n == 0);
    assert_true(r->logged_bytes > 0 && r->logged_bytes <= missed); /* these records, and nothing else */
    assert_true(disk[0].read_bytes >= missed && disk[0].read_bytes <= size + 2 * missed);
    end();
}

/* The record is far longer than what is read at once, and so is one of a slot that nothing is missed of. */
static void big_records_are_read_if_wanted_and_else_passed_over(void **state)
{
    (void)state;
    enum { BIG = 3 * 1024 * 1024 };
    begin("appendonly yes\nrepl-backlog-size 0");
    set_all(3, "old");
    uint64_t dumps = of(0)->dumps_out;
    set_big(some_key(&w, 0, 0), 'x', BIG); /* node 1 has this one */
    lose();
    send_format(0, 1, "SET %s v", some_key(&w, 0, 1));
    set_big(some_key(&w, 0, 2), 'y', BIG);
    size_t reads = disk[0].read_bytes;
    come_back();
    assert_same(3);
    assert_true(of(0)->dumps_out == dumps && of(0)->repl.logged_n == 2);
    assert_true(of(0)->repl.logged_bytes > BIG && of(0)->repl.logged_bytes < BIG + BIG / 8);
    assert_true(disk[0].read_bytes - reads < 2 * BIG);
    end();
}

enum { LONG = 8 * 1024 * 1024, PIECE = LONG / 4 };

/* Node 1 misses two long records of a slot, and others; then its links are dialed again. */
static void miss_two_long(void)
{
    lose();
    set_big(some_key(&w, 0, 0), 'x', LONG);
    set_all(1, "new");
    set_big(some_key(&w, 0, 0), 'y', LONG);
    send_format(0, 1, "SET %s v", some_key(&w, 0, 1));
    w.copied_most = 0;
    w.cut = false;
}

/* N22: to copy 64 MB, or to look at them, takes a node a tenth of a second in which it serves nobody. */
static void a_big_record_is_never_copied_or_looked_at_as_a_whole(void **state)
{
    (void)state;
    begin("appendonly yes\nrepl-backlog-size 0");
    set_all(2, "old");
    miss_two_long();
    for (unsigned i = 0; i < 1000; i++) {
        some_later(&w, 1);
        for (unsigned k = 0; k < SOME_NODES; k++)
            (void)disk_does(k);
        const struct log_pass *p = of(0)->passes;
        assert_true(p->asked <= PIECE && p->in.cap <= PIECE);
    }
    assert_same(2);
    assert_true(of(0)->repl.logged_bytes > 2 * LONG);
    assert_true(w.copied_most < PIECE);
    end();
}

/* With a piece of it a turn, others are served in between. */
static void a_big_record_of_the_backlog_is_copied_by_pieces(void **state)
{
    (void)state;
    begin("appendonly no\nrepl-backlog-size 64mb");
    set_all(2, "old");
    uint64_t dumps = of(0)->dumps_out;
    miss_two_long();
    unsigned turns = 0;
    for (unsigned i = 0; i < 1000; i++) {
        some_later(&w, 1);
        turns += of(0)->pumps;
    }
    assert_same(2);
    assert_true(of(0)->dumps_out == dumps && of(0)->repl.partial_bytes > 2 * LONG);
    assert_true(turns > 2 * LONG / PIECE && w.copied_most < PIECE);
    end();
}

static void a_big_record_that_is_damaged_is_not_sent(void **state)
{
    (void)state;
    begin("appendonly yes\nrepl-backlog-size 0");
    set_all(1, "old");
    uint64_t dumps = of(0)->dumps_out;
    lose();
    size_t size = disk[0].inodes[0].n;
    set_big(some_key(&w, 0, 0), 'x', LONG);
    disk[0].inodes[0].p[size + LONG / 2] ^= 1;
    come_back();
    assert_same(1);
    assert_true(of(0)->dumps_out > dumps && of(0)->repl.logged_bytes == 0);
    end();
}

static void what_cannot_be_read_is_sent_whole(void **state)
{
    (void)state;
    enum { KEYS = 30 };
    begin("appendonly yes\nrepl-backlog-size 0");
    set_all(KEYS, "old");
    uint64_t dumps = of(0)->dumps_out;
    lose();
    size_t size = disk[0].inodes[0].n;
    set_all(KEYS, "new");
    disk[0].inodes[0].p[size + (disk[0].inodes[0].n - size) / 2] ^= 1;
    come_back();
    assert_same(KEYS);
    assert_true(of(0)->dumps_out > dumps);
    assert_true(of(0)->repl.logged_n > 0); /* what was before it */
    end();
}

static void rewrite_log_now(void)
{
    send_format(0, 2, "BGREWRITEAOF");
    buf_clear(&w.node[0].got[2]);
    for (unsigned i = 0; i < 1000 && (i == 0 || w.node[0].node->rewrite.phase != REWRITE_NONE); i++)
        later(20);
    assert_true(w.node[0].node->rewrite.past[REWRITE_LOG].ok);
}

/* All that a copy lacks may be behind a rewrite, or some of it before. */
static void a_rewrite_bounds_how_far_the_log_reaches(void **state)
{
    (void)state;
    enum { KEYS = 30 };
    begin("appendonly yes\nrepl-backlog-size 0");
    set_all(KEYS, "old");
    uint64_t dumps = of(0)->dumps_out;
    rewrite_log_now();
    lose();
    set_all(KEYS, "new");
    come_back();
    assert_same(KEYS);
    assert_int_equal(of(0)->dumps_out, dumps);
    lose();
    set_all(KEYS, "newer");
    rewrite_log_now();
    size_t reads = disk[0].reads;
    come_back();
    assert_same(KEYS);
    assert_true(of(0)->dumps_out > dumps);
    assert_int_equal(disk[0].reads, reads); /* it is known without a look */
    end();
}

/* Node 1 is reached again, and the first READ is under way. */
static void pass_begins(void)
{
    for (unsigned i = 0; i < 1000 && of(0)->passes[0].token == 0; i++)
        some_later(&w, 1);
    assert_true(of(0)->passes[0].used && of(0)->passes[0].token != 0);
}

/* The file is removed between two looks at it. */
static void a_rewrite_under_a_pass_ends_it(void **state)
{
    (void)state;
    enum { BIG = 3 * 1024 * 1024, KEYS = 30 };
    begin("appendonly yes\nrepl-backlog-size 0");
    set_all(KEYS, "old");
    lose();
    set_big(some_key(&w, 0, 0), 'y', BIG);
    set_big(some_key(&w, 0, 1), 'z', BIG);
    set_all(KEYS, "new");
    w.cut = false;
    pass_begins();
    w.stopped[1] = true; /* it takes nothing: the pass waits for room on the link */
    send_format(0, 2, "BGREWRITEAOF");
    for (unsigned i = 0; i < 1000 && (i == 0 || w.node[0].node->rewrite.phase != REWRITE_NONE); i++)
        disks();
    uint64_t sent = of(0)->repl.logged_bytes, dumps = of(0)->dumps_out;
    assert_true(w.node[0].node->rewrite.past[REWRITE_LOG].ok && !of(0)->passes[0].used);
    assert_true(sent > BIG);
    w.stopped[1] = false;
    come_back();
    assert_same(KEYS);
    assert_true(of(0)->repl.logged_bytes == sent && of(0)->dumps_out > dumps);
    end();
}

/* What was read for a link that is gone goes nowhere; the next one goes on where the copy stands. */
static void a_link_that_breaks_ends_its_pass(void **state)
{
    (void)state;
    enum { KEYS = 200 };
    begin("appendonly yes\nrepl-backlog-size 0");
    set_all(KEYS, "old");
    lose();
    set_all(KEYS, "new");
    w.cut = false;
    pass_begins();
    some_link_break(&w, only_link(0, 1));
    assert_false(of(0)->passes[0].used);
    come_back();
    assert_same(KEYS);
    assert_true(of(0)->repl.partial_failed_n == 0 && !of(0)->passes[0].used);
    end();
}

static void with_no_log_slots_are_sent_whole(void **state)
{
    (void)state;
    enum { KEYS = 5 };
    begin("appendonly no\nrepl-backlog-size 0");
    set_all(KEYS, "old");
    uint64_t dumps = of(0)->dumps_out;
    lose();
    set_all(KEYS, "new");
    come_back();
    assert_same(KEYS);
    assert_true(of(0)->dumps_out > dumps && disk[0].reads == 0);
    end();
}

/* A dump of one key is shorter than the hundreds of values that it had. */
static void what_was_overwritten_again_and_again_is_sent_whole(void **state)
{
    (void)state;
    begin("appendonly yes\nrepl-backlog-size 0");
    set_all(1, "old");
    uint64_t dumps = of(0)->dumps_out;
    lose();
    for (unsigned i = 0; i < 200; i++)
        set_all(1, "new");
    come_back();
    assert_same(1);
    assert_true(of(0)->dumps_out == dumps + 1 && disk[0].reads == 0);
    end();
}

UNIT_TESTS("catch_up",
           TEST(a_node_is_sent_what_it_lacks_out_of_the_log, "a node is sent what it lacks out of the log, and nothing else (23)"),
           TEST(big_records_are_read_if_wanted_and_else_passed_over, "big records are read if they are wanted, else passed over"),
           TEST(a_big_record_is_never_copied_or_looked_at_as_a_whole, "a big record is read and sent, and never copied or looked at as a whole (N22)"),
           TEST(a_big_record_of_the_backlog_is_copied_by_pieces, "a big record of the backlog is copied by pieces (N22)"),
           TEST(a_big_record_that_is_damaged_is_not_sent, "a big record that is damaged is not sent"),
           TEST(what_cannot_be_read_is_sent_whole, "what cannot be read is sent whole (23)"),
           TEST(a_rewrite_bounds_how_far_the_log_reaches, "a rewrite bounds how far the log reaches, which is known without a look (23)"),
           TEST(a_rewrite_under_a_pass_ends_it, "a rewrite may remove what is being read (23)"),
           TEST(a_link_that_breaks_ends_its_pass, "a link that breaks ends its pass, and the next one goes on (23)"),
           TEST(with_no_log_slots_are_sent_whole, "with no log slots are sent whole"),
           TEST(what_was_overwritten_again_and_again_is_sent_whole, "what was overwritten again and again is sent whole"))

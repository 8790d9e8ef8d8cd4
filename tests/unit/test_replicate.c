/* SPDX-License-Identifier: BSD-3-Clause */

/* Records between real nodes: what a client is told, and what its replica holds by then. */
#include "tests/lib/some_routes.h"

#include "base/rng.h"
#include "node/stats.h"
#include "tests/lib/load.h"

static void start_as(const char *lines)
{
    some_start(&w, lines);
    some_copied(&w);
}

static void start_copied(void)
{
    start_as("appendonly no");
}

/* What a node's memory holds of a key, or NULL; good until the next call. */
static const char *held(unsigned node, const char *name)
{
    static char text[64], scratch[NUM_I64_CHARS];
    struct store *s = &w.node[node].node->store;
    struct key key = key_of(s, slice_str(name));
    struct entry *e = store_find(s, 0, &key);
    if (e == NULL)
        return NULL;
    struct slice value = entry_value(e, scratch);
    assert_true(value.n < sizeof(text));
    memcpy(text, value.p, value.n);
    text[value.n] = '\0';
    return text;
}

static struct position at(unsigned node, unsigned slot)
{
    return w.node[node].node->slots[slot].at;
}

static struct some_link *records(unsigned from, unsigned to)
{
    for (unsigned i = 0; i < SOME_LINKS; i++)
        if (w.links[i].used && w.links[i].from == from && w.links[i].to == to && w.links[i].use == USE_REPL)
            return &w.links[i];
    return NULL;
}

static void later(int ms)
{
    for (int i = 0; i < ms; i += 50)
        some_later(&w, 50);
}

/* As a shell reads from a connection: until it is closed, or the bytes are no request. */
static void bring(struct one *o, uint32_t conn, struct slice in)
{
    struct request_limits limits = {.bulk_max_bytes = INT32_MAX, .args_max = INT32_MAX};
    struct request_parser parser = {0};
    struct request_arena arena = {0};
    for (size_t n = 0, used; n < 64 && !o->closed[conn]; n++) {
        struct request q = {0};
        struct node_request one = {.conn = conn, .req = &q};
        if (request_next(&parser, &limits, in, &arena, &q, &used) != REQUEST_WHOLE)
            break;
        in = slice_from(in, used);
        one_step(o, (struct node_event){.type = NODE_REQUESTS, .requests = {&one, 1}});
        request_free(&q);
        one_step(o, (struct node_event){.type = NODE_RELEASE});
    }
    request_arena_free(&arena);
    request_parser_free(&parser);
}

/* ------------------------------------------------------------------ replies */

static void a_reply_waits_for_the_replica(void **state)
{
    (void)state;
    start_copied();
    const char *key = some_key(&w, 0, 0), *other = some_key(&w, 0, 1);
    w.stopped[1] = true;
    send_format(0, 1, "SET %s v", key);
    some_carry(&w);
    some_expect(&w, 0, 1, "");
    send_format(0, 2, "GET %s", other); /* of a slot where nothing waits */
    some_expect(&w, 0, 2, "$-1\r\n");
    send_format(0, 2, "GET %s", key);
    some_carry(&w);
    some_expect(&w, 0, 2, "");
    assert_null(held(1, key));
    w.stopped[1] = false;
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n");
    some_expect(&w, 0, 2, "$1\r\nv\r\n");
    assert_string_equal(held(1, key), "v");
    some_stop(&w);
}

static void a_link_that_is_gone_shuts_the_gate(void **state)
{
    (void)state;
    start_copied();
    const char *key = some_key(&w, 0, 0);
    w.cut = true;
    some_link_break(&w, records(0, 1));
    send_format(0, 1, "SET %s v", key);
    later(200);
    some_expect(&w, 0, 1, "");
    w.cut = false;
    later(200);
    some_expect(&w, 0, 1, "+OK\r\n");
    assert_string_equal(held(1, key), "v");
    some_stop(&w);
}

static void too_few_members_refuse_a_write_before_it_runs(void **state)
{
    (void)state;
    start_copied();
    const char *key = some_key(&w, 0, 0);
    w.map.settings.min_replicas = 2;
    w.map.index++;
    w.map.slots_ver = w.map.index;
    for (unsigned i = 0; i < SOME_NODES; i++)
        some_map_to(&w, i);
    send_format(0, 1, "SET %s v", key);
    expect_begins(0, 1, "-NOREPLICAS");
    assert_null(held(0, key));
    send_format(0, 1, "GET %s", key);
    some_expect(&w, 0, 1, "$-1\r\n");
    some_stop(&w);
}

static void a_new_epoch_closes_the_gates_of_the_old(void **state)
{
    (void)state;
    start_copied();
    const char *key = some_key(&w, 0, 0);
    unsigned slot = slot_of(slice_str(key));
    w.stopped[1] = true;
    send_format(0, 1, "SET %s v", key);
    send_format(0, 2, "GET %s", key);
    some_carry(&w);
    w.owner[slot] = 1;
    some_map(&w);
    expect_begins(0, 1, "-UNCERTAIN");
    expect_begins(0, 2, "-MOVED");
    w.stopped[1] = false;
    some_carry(&w);
    assert_null(held(1, key)); /* it came too late */
    some_stop(&w);
}

static void no_gate_waits_longer_than_two_timeouts(void **state)
{
    (void)state;
    start_copied();
    const char *key = some_key(&w, 0, 0);
    w.stopped[1] = true;
    send_format(0, 1, "SET %s v", key);
    later(1900);
    some_expect(&w, 0, 1, "");
    later(1200);
    expect_begins(0, 1, "-UNCERTAIN");
    some_stop(&w);
}

/* ------------------------------------------------------------------ records */

static void a_transaction_is_one_record(void **state)
{
    (void)state;
    start_copied();
    const char *key = some_key(&w, 0, 0);
    unsigned slot = slot_of(slice_str(key));
    send_format(0, 1, "MULTI\nSET %s v\nAPPEND %s w\nSET {%s}2 x\nEXEC", key, key, key);
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n+OK\r\n:2\r\n+OK\r\n");
    assert_int_equal(at(0, slot).seq, 1);
    assert_int_equal(at(1, slot).seq, 1);
    assert_string_equal(held(1, key), "vw");
    some_stop(&w);
}

static void what_the_backlog_holds_is_told(void **state)
{
    (void)state;
    start_copied();
    char value[1001];
    memset(value, 'x', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    size_t before[] = {stats_backlog_held(w.node[0].node), stats_backlog_held(w.node[1].node)};
    send_format(0, 1, "SET %s %s", some_key(&w, 0, 0), value);
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n");
    for (unsigned node = 0; node < 2; node++)
        assert_in_range(stats_backlog_held(w.node[node].node) - before[node], 1000, 1300);
    some_stop(&w);
}

static void flushall_empties_the_copies(void **state)
{
    (void)state;
    start_copied();
    for (unsigned node = 0; node < SOME_NODES; node++)
        send_format(0, 1, "SET %s v", some_key(&w, node, 0));
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n+OK\r\n+OK\r\n");
    for (unsigned node = 0; node < SOME_NODES; node++) {
        send_format(node, 1, "FLUSHALL");
        some_carry(&w);
        some_expect(&w, node, 1, "+OK\r\n");
    }
    for (unsigned node = 0; node < SOME_NODES; node++)
        assert_int_equal(store_keys_n(&w.node[node].node->store, 0), 0);
    some_stop(&w);
}

static void expiry_is_the_primarys(void **state)
{
    (void)state;
    start_copied();
    const char *key = some_key(&w, 0, 0);
    unsigned slot = slot_of(slice_str(key));
    send_format(0, 1, "SET %s v PX 50", key);
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n");
    w.stopped[1] = true;
    later(400);
    assert_int_equal(store_slot_keys_n(&w.node[0].node->store, slot), 0);
    assert_int_equal(at(0, slot).seq, 2);
    assert_int_equal(store_slot_keys_n(&w.node[1].node->store, slot), 1);
    w.stopped[1] = false;
    some_carry(&w);
    assert_int_equal(store_slot_keys_n(&w.node[1].node->store, slot), 0);
    assert_int_equal(at(1, slot).seq, 2);
    some_stop(&w);
}

/* ------------------------------------------------------------------- dumps */

static void disks(void)
{
    for (int turn = 0; turn < 10; turn++) {
        for (unsigned i = 0; i < SOME_NODES; i++)
            one_disk(&w.node[i]);
        later(50);
    }
}

/* What it is sent after it was away is told with an lsn that it may have acknowledged before: that is no word for it. */
static void what_it_catches_up_with_counts_once_it_is_stored(void **state)
{
    (void)state;
    start_as("appendonly yes\nappendfsync always");
    const char *key = some_key(&w, 0, 0);
    disks();
    w.cut = true;
    some_link_break(&w, records(0, 1));
    send_format(0, 1, "SET %s v", key);
    later(50);
    one_disk(&w.node[0]);
    some_expect(&w, 0, 1, "");
    w.cut = false;
    for (int i = 0; i < 6; i++) {
        later(50);
        one_disk(&w.node[0]);
        some_carry(&w);
    }
    assert_string_equal(held(1, key), "v"); /* in memory alone */
    some_expect(&w, 0, 1, "");
    disks();
    some_expect(&w, 0, 1, "+OK\r\n");
    some_stop(&w);
}

/* What this node's log says after a start. */
static struct loaded read_log(unsigned node, struct lineage *slots)
{
    struct aof_options o = {.dbs_n = 1, .slots = slots, .cut_torn = true, .dir = "dir"};
    struct load_file file = {"log", false, buf_slice(&w.node[node].file)};
    return load_files_as(&o, &file, 1, 100, 10);
}

/* Its disk does all that was asked of it but syncs. */
static void disk_stores(struct one *o)
{
    one_step(o, (struct node_event){.type = NODE_RELEASE});
    for (size_t i = 0; i < o->asked.n;) {
        struct disk_op op = o->asked.at[i];
        if (op.type == DISK_SYNC) {
            i++;
            continue;
        }
        memmove(o->asked.at + 1, o->asked.at, i * sizeof(op));
        o->asked.at[0] = op;
        one_disk_next(o);
    }
}

/* So it is with what is synced: WAITAOF counts it, and whoever holds a slot alone may delete it next. */
static void what_it_catches_up_with_is_synced_once_it_is(void **state)
{
    (void)state;
    start_as("appendonly yes\nappendfsync everysec");
    disks();
    const char *key = some_key(&w, 0, 0);
    w.cut = true;
    some_link_break(&w, records(0, 1));
    send_format(0, 1, "SET %s v\nWAITAOF 0 1 0", key);
    for (int turn = 0; turn < 10; turn++) {
        one_disk(&w.node[0]);
        disk_stores(&w.node[1]);
        w.cut = turn < 4;
        later(50);
    }
    some_expect(&w, 0, 1, "+OK\r\n"); /* it is held */
    disks();
    some_expect(&w, 0, 1, "*2\r\n:1\r\n:1\r\n");
    some_stop(&w);
}

/* Its newest record is older than those of other slots that came meanwhile, up to whose lsn it joined. */
static void what_it_catches_up_with_is_synced_once_it_is_though_others_are_newer(void **state)
{
    (void)state;
    start_as("appendonly yes\nappendfsync everysec");
    disks();
    const char *key = some_key(&w, 0, 0), *other = some_key(&w, 0, 1);
    w.cut = true;
    some_link_break(&w, records(0, 1));
    send_format(0, 1, "SET %s v\nWAITAOF 0 1 0", key);
    send_format(0, 2, "SET %s v", other);
    for (int turn = 0; turn < 10; turn++) {
        one_disk(&w.node[0]);
        disk_stores(&w.node[1]);
        w.cut = turn < 4;
        later(50);
    }
    some_expect(&w, 0, 1, "+OK\r\n"); /* it is held */
    some_expect(&w, 0, 2, "+OK\r\n");
    disks();
    some_expect(&w, 0, 1, "*2\r\n:1\r\n:1\r\n");
    some_stop(&w);
}

static void take_over(unsigned slot, unsigned node)
{
    w.owner[slot] = (uint16_t)node;
    some_map_make(&w);
    struct map_slot *s = &w.map.slots[slot];
    s->want_n = 2;
    s->want[1] = (uint16_t)((node + 2) % SOME_NODES);
    map_replicas_follow(s);
    for (unsigned i = 0; i < SOME_NODES; i++)
        some_map_to(&w, i);
}

static void another_history_is_replaced_in_memory_and_in_the_log(void **state)
{
    (void)state;
    for (int empty = 0; empty < 2; empty++) {
        start_as("appendonly yes\nappendfsync everysec");
        const char *key = some_key(&w, 0, 0);
        unsigned slot = slot_of(slice_str(key));
        if (!empty) {
            send_format(0, 1, "SET %s a", key);
            disks();
            some_expect(&w, 0, 1, "+OK\r\n");
        }
        w.stopped[1] = true;
        w.cut = true;
        some_link_break(&w, records(0, 1));
        send_format(0, 1, "SET %s b", key);
        disks();
        take_over(slot, 1);
        w.stopped[1] = w.cut = false;
        if (!empty)
            send_format(1, 1, "SET %s c", key);
        disks();
        if (empty)
            assert_null(held(0, key));
        else
            assert_string_equal(held(0, key), "c");
        assert_true(at(0, slot).seq == at(1, slot).seq && at(0, slot).epoch == at(1, slot).epoch);
        struct lineage *slots = lineages_new(SLOTS);
        struct loaded l = read_log(0, slots);
        assert_int_equal(l.verdict, AOF_WHOLE);
        const struct lineage *a = &slots[slot], *b = &w.node[0].node->slots[slot];
        assert_true(a->at.seq == b->at.seq && a->at.epoch == b->at.epoch && a->starts_n == b->starts_n && !a->frozen);
        const char *flush = strstr(l.text, "VONG.FLUSHSLOT"), *b_set = strstr(l.text, " b\n");
        assert_true(b_set != NULL && flush != NULL && flush > b_set);
        assert_true(empty ? strstr(flush, "SET") == NULL : strstr(flush, " c\n") != NULL);
        loaded_free(&l);
        lineages_free(slots, SLOTS);
        some_stop(&w);
    }
}

static const struct map_entry *proposed(unsigned node)
{
    for (size_t i = w.words_n[node]; i-- > 0;)
        if (w.words[node][i].type == WORD_PROPOSE)
            return w.words[node][i].entry.entry;
    return NULL;
}

/* All slots are one node's, with a copy by turns here and there: each its own run. */
static void a_proposal_is_no_longer_than_can_be_read(void **state)
{
    (void)state;
    start();
    for (unsigned slot = 0; slot < SLOTS; slot++)
        w.owner[slot] = 0;
    some_map_make(&w);
    w.map.settings.replication_factor = 2;
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        struct map_slot *s = &w.map.slots[slot];
        s->want[s->want_n++] = (uint16_t)(1 + slot % 2);
        map_replicas_follow(s);
    }
    w.map.nodes.at[1].health = w.map.nodes.at[2].health = MAP_SUSPECT; /* not before both have joined */
    for (unsigned i = 0; i < SOME_NODES; i++)
        some_map_to(&w, i);
    later(300);
    w.map.nodes.at[1].health = w.map.nodes.at[2].health = MAP_UP;
    w.map.nodes_ver = ++w.map.index;
    some_map_to(&w, 0);
    later(100);
    const struct map_entry *e = proposed(0);
    assert_non_null(e);
    assert_int_equal(e->isr.run_n, MAP_ISR_RUNS);
    uint64_t n = e->isr.n;
    (void)map_apply(&w.map, w.map.index + 1, e);
    assert_int_equal(w.map.slots[MAP_ISR_RUNS - 1].isr_n, 2);
    some_map_to(&w, 0);
    later(200);
    e = proposed(0); /* the rest */
    assert_true(e->isr.n > n && e->isr.run[0].from == MAP_ISR_RUNS && e->isr.run_n == SLOTS - MAP_ISR_RUNS);
    some_stop(&w);
}

static void a_replica_that_reads_too_slowly_is_dialed_anew(void **state)
{
    (void)state;
    start_as("appendonly no\nclient-output-buffer-limit replica 8kb 0 0\nrepl-backlog-size 0");
    const char *key = some_key(&w, 0, 0);
    uint32_t id = records(0, 1)->link;
    w.stopped[1] = true;
    for (int i = 0; i < 20; i++)
        send_format(0, 1, "APPEND %s %0500d", key, i);
    later(100);
    assert_null(some_link_at(0, id));
    w.stopped[1] = false;
    later(300); /* again; and what it has not is a dump, beyond the limit */
    id = records(0, 1)->link;
    later(100);
    assert_int_equal(at(1, slot_of(slice_str(key))).seq, 20);
    assert_int_equal(records(0, 1)->link, id);
    some_stop(&w);
}

/* A node's former cluster, in which the slot had as many records as in the one that it joins. */
static void a_position_of_another_cluster_is_none(void **state)
{
    (void)state;
    start();
    const char *key = some_key(&w, 0, 0);
    unsigned slot = slot_of(slice_str(key));
    struct map former;
    map_init(&former);
    map_copy(&former, &w.map);
    former.cluster.b[0] = 1;
    former.slots_ver = former.nodes_ver = ++former.index;
    struct map_slot *s = &former.slots[slot];
    s->primary = s->isr[0] = s->want[0] = 1;
    map_replicas_follow(s);
    struct word word = {.type = WORD_MAP, .map = &former};
    one_step(&w.node[1], (struct node_event){.type = NODE_WORD, .word = &word});
    send_format(1, 1, "SET %s x\nDEL %s", key, key);
    some_expect(&w, 1, 1, "+OK\r\n:1\r\n");
    assert_int_equal(at(1, slot).seq, 2);
    send_format(0, 1, "SET %s v\nSET {%s}2 v", key, key);
    some_expect(&w, 0, 1, "+OK\r\n+OK\r\n");
    assert_true(at(0, slot).seq == at(1, slot).seq && at(0, slot).epoch == at(1, slot).epoch);
    w.map.cluster.b[0] = 2;
    w.map.index++;
    some_copied(&w);
    assert_string_equal(held(1, key), "v");
    assert_int_equal(at(1, slot).seq, 2);
    map_free(&former);
    some_stop(&w);
}

/* ------------------------------------------------------------- what is hostile */

static void a_broken_checksum_closes_the_link_and_nothing_else(void **state)
{
    (void)state;
    start_copied();
    const char *key = some_key(&w, 0, 0);
    unsigned slot = slot_of(slice_str(key));
    w.stopped[1] = true;
    send_format(0, 1, "SET %s before", key);
    struct some_link *l = records(0, 1);
    char *value = memmem(l->there.p, l->there.n, "before", 6);
    assert_non_null(value);
    *value = 'B';
    w.stopped[1] = false;
    uint32_t id = l->link;
    some_carry(&w);
    assert_int_equal(at(1, slot).seq, 0);
    assert_null(held(1, key));
    assert_null(some_link_at(0, id));
    some_expect(&w, 0, 1, "");
    later(300); /* dialed again */
    some_expect(&w, 0, 1, "+OK\r\n");
    assert_string_equal(held(1, key), "before");
    some_stop(&w);
}

/* Node 1 hears from its primary, node 0, a record of the slot that node 0 never made: this command. */
static void forge(unsigned slot, const char *format, ...)
{
    char line[256], text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    struct chain body = {0}, out = {0};
    struct buf record;
    buf_init(&record, SIZE_MAX / 2);
    struct position next = {at(0, slot).epoch, at(1, slot).seq + 1};
    size_t words = 1, n = 0;
    for (const char *c = line; *c != '\0'; c++)
        words += *c == ' ';
    n += (size_t)snprintf(text, sizeof(text), "*%zu\r\n", words);
    for (char *word = strtok(line, " "); word != NULL; word = strtok(NULL, " "))
        n += (size_t)snprintf(text + n, sizeof(text) - n, "$%zu\r\n%s\r\n", strlen(word), word);
    chain_put(&body, slice_of(text, n));
    record_put_flat(&record, slot, next, &body);
    put_repl(&out, &(struct repl_message){.type = REPL_APPEND,
                                          .append = {.lsn = w.node[0].node->journal.appended.n, .slot = (uint16_t)slot,
                                                     .epoch = next.epoch, .before_epoch = next.epoch, .bytes = buf_slice(&record)}});
    struct some_link *l = records(0, 1);
    assert_non_null(l);
    assert_int_equal(buf_room(&l->there, out.n), ERR_OK);
    l->there.n += chain_copy(&out, l->there.p + l->there.n, out.n);
    chain_free(&body, NULL);
    chain_free(&out, NULL);
    buf_free(&record);
}

/* It does not do here what it did at the primary: this copy is not what it should be. */
static void a_record_that_cannot_be_applied_has_its_slot_fetched_anew(void **state)
{
    (void)state;
    start_copied();
    const char *key = some_key(&w, 0, 0);
    unsigned slot = slot_of(slice_str(key));
    send_format(0, 1, "SET %s v", key);
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n");
    forge(slot, "LPUSH %s x", key);
    some_carry(&w);
    assert_int_equal(w.node[1].node->cluster->replicas->dumps_in, 1);
    assert_false(w.node[1].node->slots[slot].frozen);
    assert_int_equal(at(1, slot).seq, 1);
    send_format(0, 1, "APPEND %s w", key);
    some_carry(&w);
    some_expect(&w, 0, 1, ":2\r\n");
    assert_string_equal(held(1, key), "vw");
    some_stop(&w);
}

/* Whatever is wrong with a primary's node, it plants nothing in slots of others. */
static void a_record_of_another_slots_keys_is_refused(void **state)
{
    (void)state;
    start_copied();
    const char *key = some_key(&w, 0, 0), *other = some_key(&w, 1, 0);
    unsigned slot = slot_of(slice_str(key)), others = slot_of(slice_str(other));
    send_format(0, 1, "SET %s v", key);
    send_format(1, 2, "SET %s hers", other);
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n");
    some_expect(&w, 1, 2, "+OK\r\n");
    for (unsigned i = 0; i < 7; i++) {
        uint32_t id = records(0, 1)->link;
        switch (i) {
        case 0: forge(slot, "SET %s planted", other); break;
        case 1: forge(slot, "MSET %s a %s planted", key, other); break;
        case 2: forge(slot, "DEL %s %s", key, other); break;
        case 3: forge(slot, "VONG.FLUSHSLOT %u", others); break;
        case 4: forge(slot, "VONG.FLUSHSLOT 0 %u", SLOTS - 1); break;
        case 5: forge(slot, "VONG.BIG %s 100 x", other); break;
        default: forge(slot, "FLUSHALL"); break;
        }
        some_carry(&w);
        assert_null(some_link_at(0, id));
        assert_string_equal(held(1, other), "hers");
        later(300); /* dialed again, and the slot fetched anew */
        assert_false(w.node[1].node->slots[slot].frozen);
        assert_string_equal(held(1, key), "v");
    }
    some_stop(&w);
}

/* Its places are other nodes', or nobody's: links and guests of the old one are closed. */
static void another_cluster_has_other_places(void **state)
{
    (void)state;
    start_copied();
    struct one *o = &w.node[2];
    struct map other;
    map_init(&other);
    other.index = other.slots_ver = other.nodes_ver = w.map.index + 10;
    other.settings = w.map.settings;
    *vec_add(&other.nodes) = w.map.nodes.at[2];
    other.nodes.at[0].id = some_id(2);
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        struct map_slot *s = &other.slots[slot];
        *s = (struct map_slot){.ver = other.index, .epoch = 50, .primary = 0, .isr_n = 1, .want_n = 1, .isr_incarnation = {1}};
        map_replicas_follow(s);
    }
    assert_non_null(records(2, 0));
    uint32_t link = records(2, 0)->link, guest = records(1, 2)->conn;
    o->dropped[guest] = false;
    struct word word = {.type = WORD_MAP, .map = &other};
    one_step(o, (struct node_event){.type = NODE_WORD, .word = &word});
    node_check(o->node);
    assert_null(some_link_at(2, link));
    assert_true(o->dropped[guest]);
    w.cut = true;
    later(300);
    send_format(2, 1, "SET k v");
    some_expect(&w, 2, 1, "+OK\r\n");
    map_free(&other);
    some_stop(&w);
}

/* A piece of what node 0 sends came at node 1, which says so. */
static void grows(struct some_link *l)
{
    struct one *o = &w.node[1];
    one_step(o, (struct node_event){.type = NODE_GROWS, .grows = l->conn});
    one_step(o, (struct node_event){.type = NODE_RELEASE});
    struct buf *got = &o->got[l->conn];
    assert_non_null(memmem(got->p, got->n, "VONG.REPL.ACK", 13));
    one_step(&w.node[0], (struct node_event){.type = NODE_LINK_BYTES, .link = {.link = l->link, .in = buf_slice(got)}});
    buf_clear(got);
}

/* SET of key to so many bytes, which begin at *head. */
static char *big_set(const char *key, int bytes, int *head)
{
    char *request = malloc((size_t)bytes + 256);
    *head = sprintf(request, "*3\r\n$3\r\nSET\r\n$%zu\r\n%s\r\n$%d\r\n", strlen(key), key, bytes);
    memset(request + *head, 'x', (size_t)bytes);
    memcpy(request + *head + bytes, "\r\n", 2);
    return request;
}

static void a_big_record_arrives_in_the_sight_of_both(void **state)
{
    (void)state;
    enum { BIG = 3 * 1024 * 1024 };
    start_copied();
    const char *key = some_key(&w, 0, 0);
    int head;
    char *request = big_set(key, BIG, &head);
    w.stopped[1] = true; /* it has taken in no message whole */
    bring(&w.node[0], 1, slice_of(request, (size_t)head + BIG + 2));
    struct some_link *l = records(0, 1);
    uint32_t link = l->link;
    for (int i = 0; i < 7; i++) {
        later(250);
        grows(l);
        assert_true(records(0, 1) == l && l->link == link);
        assert_false(w.node[1].dropped[l->conn]);
        for (size_t k = 0; k < w.words_n[0]; k++)
            assert_int_not_equal(w.words[0][k].type, WORD_PROPOSE); /* nobody is to be removed (14) */
    }
    w.stopped[1] = false;
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n");
    char scratch[NUM_I64_CHARS];
    struct key k = key_of(&w.node[1].node->store, slice_str(key));
    assert_true(slice_equal(entry_value(store_find(&w.node[1].node->store, 0, &k), scratch), slice_of(request + head, BIG)));
    w.stopped[1] = true;
    later(600);
    assert_true(records(0, 1) == NULL || records(0, 1)->link != link);
    free(request);
    some_stop(&w);
}

/* What its link has not taken would close it at last, and its copies would begin anew. */
static void writers_wait_for_who_takes_in_big_records(void **state)
{
    (void)state;
    enum { BIG = 35 * 1024 * 1024 };
    start_copied();
    const char *key = some_key(&w, 0, 0);
    int head;
    char *request = big_set(key, BIG, &head);
    w.stopped[1] = true;
    struct node *n = w.node[0].node;
    for (int i = 0; i < 2; i++) {
        assert_false(replicate_holds(n));
        bring(&w.node[0], 1, slice_of(request, (size_t)head + BIG + 2));
    }
    assert_non_null(n->cluster->replicas->links.at[1]);
    size_t unsent = link_unsent(n->cluster->replicas->links.at[1]);
    n->cluster->replicas->links.at[1]->left = 2 * BIG; /* as by a socket that took nothing */
    assert_true(replicate_holds(n));
    uint32_t quorum = n->cluster->map.settings.write_quorum;
    n->cluster->map.settings.write_quorum = 1; /* then nobody waits for the slowest */
    assert_false(replicate_holds(n));
    n->cluster->map.settings.write_quorum = quorum;
    n->cluster->replicas->links.at[1]->left = unsent;
    w.stopped[1] = false;
    some_carry(&w);
    some_expect(&w, 0, 1, "+OK\r\n+OK\r\n");
    n->cluster->replicas->links.at[1]->left = 2 * BIG; /* of what is not big */
    assert_false(replicate_holds(n));
    n->cluster->replicas->links.at[1]->left = 0;
    free(request);
    some_stop(&w);
}

enum { HOSTILE = 50, ROUNDS = 1000 };

static void spoil(struct rng *rng, char *p, size_t n)
{
    static const char bytes[] = "0123456789-*$\r\n#VONG.";
    for (unsigned k = (unsigned)rng_below(rng, 4); n > 0 && k > 0; k--) {
        size_t i = (size_t)rng_below(rng, n);
        switch (rng_below(rng, 4)) {
        case 0: p[i] = (char)rng_below(rng, 256); break;
        case 1:
        case 2:
            if (p[i] >= '0' && p[i] <= '9')
                p[i] = (char)('0' + rng_below(rng, 10));
            break;
        default: p[i] = bytes[rng_below(rng, sizeof(bytes) - 1)]; break;
        }
    }
}

/* What a primary's node says to a replica: records, and with the history of `slot` another one, a dump. */
static struct buf capture(unsigned slot, const char *key)
{
    struct buf all;
    buf_init(&all, SIZE_MAX / 2);
    w.cut = true;
    some_link_break(&w, records(0, 1));
    w.cut = false;
    w.stopped[1] = true;
    send_format(0, 1, "SET %s v\nSET %s 17\nDEL %s\nSET %s w", key, key, key, key);
    later(100);
    struct some_link *l = records(0, 1);
    assert_non_null(l);
    assert_int_equal(buf_add(&all, buf_slice(&l->there)), ERR_OK);
    struct lineage *mine = &w.node[0].node->slots[slot];
    struct chain out = {0};
    struct repl_round round = {(uint16_t)slot, mine->epoch, 1};
    for (uint32_t k = 1; k < 6; k++) {
        round.round = k;
        put_repl(&out, &(struct repl_message){.type = REPL_FROM, .n = 1, .rounds = &round});
        char text[128];
        struct slice set = {text, (size_t)snprintf(text, sizeof(text), "*3\r\n$3\r\nSET\r\n$%zu\r\n%s\r\n$1\r\nv\r\n", strlen(key), key)};
        uint32_t parts = k % 2;
        if (parts > 0) {
            put_repl(&out, &(struct repl_message){.type = REPL_OFFER, .n = 1, .rounds = &round});
            put_repl(&out, &(struct repl_message){.type = REPL_DUMP, .dump = {round, 0, set}});
        }
        put_repl(&out, &(struct repl_message){.type = REPL_DUMPED, .dumped = {round, parts, set, mine->at, mine->starts_n, mine->starts}});
        put_repl(&out, &(struct repl_message){.type = REPL_JOINED, .lsn = 9, .map = 1, .n = 1, .rounds = &round});
    }
    assert_int_equal(buf_room(&all, out.n), ERR_OK);
    all.n += chain_copy(&out, all.p + all.n, out.n);
    chain_free(&out, NULL);
    return all;
}

static void hostile_frames_never_harm_a_replica(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 5);
    start_copied();
    const char *key = some_key(&w, 0, 0);
    struct buf all = capture(slot_of(slice_str(key)), key);
    struct one *o = &w.node[1];
    unsigned dumps = 0, closed = 0;
    for (unsigned i = 0; i < ROUNDS; i++) {
        o->closed[HOSTILE] = o->dropped[HOSTILE] = false;
        buf_clear(&o->got[HOSTILE]);
        one_step(o, (struct node_event){.type = NODE_OPENED,
                                        .opened = {.conn = HOSTILE, .peer = SLICE("peer:1"), .local = SLICE("local:1"),
                                                   .use = USE_REPL, .from = some_id(0), .incarnation = 1}});
        char *copy = malloc(all.n);
        memcpy(copy, all.p, all.n);
        spoil(&rng, copy, all.n);
        bring(o, HOSTILE, slice_of(copy, all.n));
        free(copy);
        closed += o->dropped[HOSTILE];
        one_step(o, (struct node_event){.type = NODE_CLOSED, .closed = HOSTILE});
        if (i % 100 == 0)
            node_check(o->node);
    }
    dumps = (unsigned)o->node->cluster->replicas->dumps_in;
    assert_true(dumps > 0 && closed > ROUNDS / 20);
    buf_free(&all);
    some_stop(&w);
}

static void hostile_answers_never_harm_a_primary(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 6);
    start_copied();
    unsigned slot = slot_of(slice_str(some_key(&w, 0, 0)));
    struct chain out = {0};
    struct repl_where where = {{(uint16_t)slot, w.map.slots[slot].epoch, 7}, {1, 0}};
    for (unsigned k = 0; k < 4; k++, where.in.round++, where.at.seq++) {
        put_repl(&out, &(struct repl_message){.type = REPL_SYNC, .n = 1, .wheres = &where});
        put_repl(&out, &(struct repl_message){.type = REPL_JOINS, .n = 1, .rounds = &where.in});
        put_repl(&out, &(struct repl_message){.type = REPL_PULL, .pull = {where.in, k / 2}});
        put_repl(&out, &(struct repl_message){.type = REPL_ACK, .ack = {k, k}});
    }
    put_repl(&out, &(struct repl_message){.type = REPL_LEAVING, .text = SLICE("disk")});
    size_t n = out.n;
    char *all = malloc(n), *copy = malloc(n);
    (void)chain_copy(&out, all, n);
    chain_free(&out, NULL);
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct some_link *l = records(0, 1);
        if (l == NULL) {
            later(100);
            l = records(0, 1);
        }
        assert_non_null(l);
        memcpy(copy, all, n);
        spoil(&rng, copy, n);
        size_t cut = (size_t)rng_below(&rng, n);
        struct node_event ev = {.type = NODE_LINK_BYTES, .link = {.link = l->link}};
        ev.link.in = slice_of(copy, cut);
        one_step(&w.node[0], ev);
        if (records(0, 1) == l) {
            ev.link.in = slice_of(copy + cut, n - cut);
            one_step(&w.node[0], ev);
        }
        if (i % 100 == 0)
            node_check(w.node[0].node);
    }
    free(all);
    free(copy);
    some_stop(&w);
}

UNIT_TESTS("replicate",
           TEST(a_reply_waits_for_the_replica, "a write's reply, and what is read of it, wait for the replica (replication 5, 6)"),
           TEST(a_link_that_is_gone_shuts_the_gate, "a link that is gone shuts the gate until it is back (4, 5)"),
           TEST(too_few_members_refuse_a_write_before_it_runs, "too few members refuse a write before it runs, not a read (5)"),
           TEST(a_new_epoch_closes_the_gates_of_the_old, "a new epoch closes gates: UNCERTAIN for writes, MOVED for reads (9)"),
           TEST(no_gate_waits_longer_than_two_timeouts, "no gate waits longer than 2 T (9)"),
           TEST(a_transaction_is_one_record, "MULTI and EXEC are one record at the replica (8)"),
           TEST(what_it_catches_up_with_counts_once_it_is_stored, "what a replica catches up with counts once it is stored there (4)"),
           TEST(what_it_catches_up_with_is_synced_once_it_is, "what a replica catches up with is called synced once it is (4, WAITAOF)"),
           TEST(what_it_catches_up_with_is_synced_once_it_is_though_others_are_newer,
                "what a replica catches up with is called synced once it is, though records of other slots are newer (4, WAITAOF)"),
           TEST(what_the_backlog_holds_is_told, "as primary and as replica a node tells how much its backlog holds (23)"),
           TEST(flushall_empties_the_copies, "FLUSHALL empties the copies as well (8)"),
           TEST(expiry_is_the_primarys, "a replica expires nothing by itself (8)"),
           TEST(another_history_is_replaced_in_memory_and_in_the_log,
                "a dump replaces another history in memory and in the replica's log, empty or not (23)"),
           TEST(a_broken_checksum_closes_the_link_and_nothing_else, "a record with a broken checksum closes the link, and is sent again (2)"),
           TEST(a_record_that_cannot_be_applied_has_its_slot_fetched_anew,
                "a record that cannot be applied has its slot fetched anew by a dump (R4, 23)"),
           TEST(a_big_record_arrives_in_the_sight_of_both,
                "while a big record arrives its replica is neither silent nor late (14)"),
           TEST(writers_wait_for_who_takes_in_big_records, "under W all writers wait for a link that 64 MiB of big records wait for"),
           TEST(a_record_of_another_slots_keys_is_refused, "a record that names keys of another slot ends its link, and touches nothing there (replication 3)"),
           TEST(a_proposal_is_no_longer_than_can_be_read, "a proposal has no more runs than one entry may (12)"),
           TEST(a_replica_that_reads_too_slowly_is_dialed_anew, "what a replica does not read is bounded, but for a dump (3, 23)"),
           TEST(a_position_of_another_cluster_is_none, "a position of another cluster is none here (23)"),
           TEST(another_cluster_has_other_places, "in another cluster links and guests of the old one are closed"),
           TEST(hostile_frames_never_harm_a_replica, "no frame harms a replica"),
           TEST(hostile_answers_never_harm_a_primary, "no answer harms a primary"))

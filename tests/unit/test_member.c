/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/member/member.h"

#include <string.h>

#include "tests/lib/unit.h"

/* T is a second; times in these tests are milliseconds. */
enum { T = 1000, NODES = 6, ME = 1 };

/* One member under test, node 1, with its time moved by hand. */
struct bench {
    struct member m;
    struct member_out out;
    struct mono now;
    uint64_t progress;
    struct member_known known[NODES];
    struct member_voter voters[NODES];
    struct member_view view;
    int64_t news[MEMBER_IS_NEW + 1]
                [NODES + 1]; /* ms of the first of each since it was cleared; 0: none */
    size_t sent[MEMBER_MSG_TYPES][NODES + 1];
};

static struct node_id id(unsigned n)
{
    return (struct node_id){{(uint8_t)n, 7}};
}

static void step(struct bench *b, struct member_event ev)
{
    ev.now = b->now;
    ev.progress = b->progress;
    member_step(&b->m, &ev, &b->out);
    member_check(&b->m);
    for (size_t i = 0; i < b->out.news_n; i++) {
        int64_t *at = &b->news[b->out.news[i].type][b->out.news[i].about.b[0]];
        if (*at == 0)
            *at = b->now.us / 1000;
        assert_non_null(b->out.news[i].why);
    }
    for (size_t i = 0; i < b->out.msgs_n; i++)
        b->sent[b->out.msgs[i].type][b->out.msgs[i].to.b[0]]++;
}

static void at(struct bench *b, int64_t ms)
{
    b->now.us = ms * 1000;
}

static void due(struct bench *b, int64_t ms)
{
    at(b, ms);
    b->progress++;
    step(b, (struct member_event){.type = MEMBER_DUE});
}

static void show(struct bench *b)
{
    step(b, (struct member_event){.type = MEMBER_VIEW, .view = &b->view});
}

/* `members` of them, the first `voters` of which vote; all in incarnation 3, up, no entry about any. */
static void begin(struct bench *b, size_t members, size_t voters)
{
    *b = (struct bench){.now = {1000 * 1000}};
    struct node_id self = id(ME);
    member_init(&b->m, &self, 3, 42, T * 1000, b->now);
    for (unsigned i = 0; i < NODES; i++) {
        b->known[i] = (struct member_known){.id = id(i + 1), .incarnation = 3};
        b->voters[i] = (struct member_voter){.node = id(i + 1)};
    }
    b->view = (struct member_view){b->known, members, b->voters, voters, true};
    show(b);
}

static void end(struct bench *b)
{
    member_free(&b->m);
}

static const struct member_msg *said(const struct bench *b, enum member_msg_type type, unsigned to)
{
    const struct node_id who = id(to);
    for (size_t i = 0; i < b->out.msgs_n; i++)
        if (b->out.msgs[i].type == type && node_id_equal(&b->out.msgs[i].to, &who))
            return &b->out.msgs[i];
    return NULL;
}

static void hear(struct bench *b, unsigned from, const struct member_msg *msg)
{
    step(b, (struct member_event){.type = MEMBER_RECV, .recv = {id(from), msg}});
}

static void echo(struct bench *b, unsigned from, int64_t t_us)
{
    hear(b, from, &(struct member_msg){.type = MEMBER_ECHO, .echo = {.incarnation = 3, .t = t_us}});
}

/* A heartbeat as a healthy node sends it now. */
static struct member_msg beat_of(const struct bench *b)
{
    struct member_msg beat = {.type = MEMBER_BEAT};
    beat.beat.incarnation = 3;
    beat.beat.voters = b->m.voters_name;
    beat.beat.map_version = 1000;
    beat.beat.has_lease = true;
    beat.beat.t = b->now.us;
    beat.beat.ages_n = b->view.voters_n;
    for (size_t i = 0; i < beat.beat.ages_n; i++)
        beat.beat.ages_us[i] = 100 * 1000;
    return beat;
}

static bool has_lease_at(const struct bench *b, int64_t ms)
{
    return ms * 1000 < b->out.lease.us;
}

/* ------------------------------------------------------------- 15: heartbeats and the lease */

static void heartbeats_go_to_each_voter(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, 5, 3);
    memset(b.sent, 0, sizeof(b.sent));
    step(&b, (struct member_event){.type = MEMBER_OWN, .own = {.applied = 17, .load = {5, 6}}});
    for (int64_t ms = 1010; ms <= 2000; ms += 10)
        due(&b, ms);
    assert_int_equal(b.sent[MEMBER_BEAT][2], 10);
    assert_int_equal(b.sent[MEMBER_BEAT][3], 10);
    assert_int_equal(b.sent[MEMBER_BEAT][4], 0);
    const struct member_msg *beat = said(&b, MEMBER_BEAT, 2);
    assert_non_null(beat);
    assert_int_equal(beat->beat.incarnation, 3);
    assert_true(beat->beat.voters == member_voters_name(b.voters, 3));
    assert_int_equal(beat->beat.map_version, 17);
    assert_false(beat->beat.has_lease);
    assert_int_equal(beat->beat.progress, b.progress);
    assert_int_equal(beat->beat.t, 2000 * 1000);
    assert_int_equal(beat->beat.load.ops_per_s, 6);
    assert_int_equal(beat->beat.ages_n, 3);
    assert_int_equal(beat->beat.ages_us[0], 100 * 1000); /* itself: the one before */
    assert_int_equal(beat->beat.ages_us[1], RUMOR_NEVER);
    end(&b);
}

static void a_lease_lasts_half_t_from_the_heartbeat(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, 3, 3);
    due(&b, 1100); /* beats; it echoes itself */
    assert_int_equal(b.out.lease.us, 0);
    at(&b, 1150);
    echo(&b, 2, 1100 * 1000); /* two of three, 50 ms later */
    assert_int_equal(b.out.lease.us, (1100 + T / 2) * 1000);
    assert_true(has_lease_at(&b, 1599));
    assert_false(has_lease_at(&b, 1600));
    due(&b, 1600); /* and so it says */
    const struct member_msg *beat = said(&b, MEMBER_BEAT, 2);
    assert_non_null(beat);
    assert_false(beat->beat.has_lease);
    assert_int_equal(beat->beat.ages_us[1], 500 * 1000);
    end(&b);
}

static void a_majority_of_five_is_three(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, 5, 5);
    due(&b, 1100);
    due(&b, 1200);
    due(&b, 1300);
    echo(&b, 2, 1200 * 1000);
    assert_int_equal(b.out.lease.us, 0);
    echo(&b, 3, 1100 * 1000); /* 1300 (itself), 1200, 1100 */
    assert_int_equal(b.out.lease.us, (1100 + T / 2) * 1000);
    echo(&b, 4, 1300 * 1000);
    assert_int_equal(b.out.lease.us, (1200 + T / 2) * 1000);
    echo(&b, 4, 1100 * 1000); /* late ones take nothing away */
    assert_int_equal(b.out.lease.us, (1200 + T / 2) * 1000);
    end(&b);
}

static void four_voters_want_three(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, 4, 4);
    due(&b, 1100);
    echo(&b, 2, 1100 * 1000);
    assert_int_equal(b.out.lease.us, 0);
    echo(&b, 3, 1100 * 1000);
    assert_int_equal(b.out.lease.us, (1100 + T / 2) * 1000);
    end(&b);
}

static void foreign_echoes_are_ignored(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, 4, 3);
    due(&b, 1100);
    for (uint32_t other = 2; other <= 4; other += 2)
        hear(&b, 2,
             &(struct member_msg){.type = MEMBER_ECHO,
                                  .echo = {.incarnation = other, .t = 1100 * 1000}});
    assert_int_equal(b.out.lease.us, 0);
    echo(&b, 2, 1100 * 1000 + 1); /* in the future */
    assert_int_equal(b.out.lease.us, 0);
    echo(&b, 4, 1100 * 1000); /* no voter */
    assert_int_equal(b.out.lease.us, 0);
    hear(&b, 2,
         &(struct member_msg){.type = MEMBER_SEEN,
                              .echo = {.incarnation = 3, .t = 1100 * 1000, .map_version = 9}});
    assert_int_equal(b.out.lease.us, 0);
    assert_int_equal(b.out.ahead, 9);
    assert_int_equal(b.out.ahead_at.b[0], 2);
    hear(&b, 3,
         &(struct member_msg){.type = MEMBER_SEEN,
                              .echo = {.incarnation = 3, .t = 1100 * 1000, .map_version = 8}});
    assert_int_equal(b.out.ahead, 9); /* that one is behind */
    echo(&b, 2, 1100 * 1000);
    assert_int_equal(b.out.lease.us, (1100 + T / 2) * 1000);
    end(&b);
}

static void heartbeats_stop_with_the_data_plane(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, 3, 3);
    due(&b, 1100); /* it moves for the last time */
    at(&b, 2099);
    step(&b, (struct member_event){.type = MEMBER_DUE});
    assert_non_null(said(&b, MEMBER_BEAT, 2));
    for (int64_t ms = 2100; ms <= 2500; ms += 50) {
        at(&b, ms);
        step(&b, (struct member_event){.type = MEMBER_DUE});
        assert_null(said(&b, MEMBER_BEAT, 2));
    }
    due(&b, 2610);
    assert_non_null(said(&b, MEMBER_BEAT, 2));
    end(&b);
}

static void unknown_incarnations_ask_for_restart(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, 3, 3);
    step(&b, (struct member_event){.type = MEMBER_LEADS, .leads = true});
    struct member_msg beat = beat_of(&b);
    due(&b, 1100);
    beat.beat.incarnation = 2; /* a ghost */
    hear(&b, 2, &beat);
    assert_int_equal(b.out.news_n, 0);
    step(&b, (struct member_event){.type = MEMBER_RECV, .recv = {{{99}}, &beat}}); /* no member */
    assert_int_equal(b.out.msgs_n, 0);
    beat.beat.incarnation = 4;
    hear(&b, 2, &beat);
    assert_null(said(&b, MEMBER_ECHO, 2));
    assert_null(said(&b, MEMBER_SEEN, 2));
    assert_int_equal(b.out.news_n, 1);
    assert_int_equal(b.out.news[0].type, MEMBER_IS_NEW);
    assert_int_equal(b.out.news[0].incarnation, 4);
    struct node_id two = id(2);
    assert_int_equal(rumors_find(&b.m.rumors, &two)->heard.us, 1000 * 1000); /* not heard */
    beat.beat.incarnation = 2;
    hear(&b, 2, &beat);
    assert_int_equal(b.out.news_n, 0);
    assert_null(said(&b, MEMBER_ECHO, 2));
    assert_null(said(&b, MEMBER_SEEN, 2));
    /* once RESTART is committed it is heard, and what the old one said is forgotten */
    b.known[1] = (struct member_known){.id = id(2),
                                       .incarnation = 4,
                                       .about = MEMBER_ALLOWS,
                                       .about_index = 50,
                                       .health_index = 50};
    show(&b);
    beat.beat.incarnation = 4;
    hear(&b, 2, &beat);
    assert_non_null(said(&b, MEMBER_ECHO, 2));
    end(&b);
}

static void another_voter_set_wants_echoes_of_its_own(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, 4, 3);
    due(&b, 1100);
    b.view.voters_n = 4;
    show(&b);
    echo(&b, 2, 1100 * 1000);
    echo(&b, 3, 1100 * 1000);
    echo(&b, 4, 1100 * 1000);
    assert_int_equal(b.out.lease.us, 0); /* of a heartbeat that named another set */
    due(&b, 1110);
    echo(&b, 2, 1110 * 1000);
    echo(&b, 3, 1110 * 1000);
    assert_int_equal(b.out.lease.us, (1110 + T / 2) * 1000);
    b.view.voters_n = 3; /* and what was granted holds until its end */
    show(&b);
    assert_int_equal(b.out.lease.us, (1110 + T / 2) * 1000);
    uint64_t name = b.m.voters_name;
    b.voters[2].data.b[3] = 1; /* another data-id, another voter */
    show(&b);
    assert_true(b.m.voters_name != name);
    struct member_voter turned[3] = {b.voters[2], b.voters[0], b.voters[1]};
    assert_true(member_voters_name(turned, 3) == b.m.voters_name);
    end(&b);
}

static void clocks_that_moved_apart_end_the_lease(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, 3, 3);
    due(&b, 1100);
    echo(&b, 2, 1100 * 1000);
    assert_true(has_lease_at(&b, 1200));
    at(&b, 1200);
    step(&b, (struct member_event){.type = MEMBER_CLOCK_APART});
    assert_int_equal(b.out.lease.us, 0);
    const struct member_msg *beat = said(&b, MEMBER_BEAT, 2); /* a fresh one is asked for at once */
    assert_non_null(beat);
    assert_false(beat->beat.has_lease);
    echo(&b, 2, 1100 * 1000); /* from before */
    assert_int_equal(b.out.lease.us, 0);
    echo(&b, 2, 1200 * 1000);
    assert_int_equal(b.out.lease.us, (1200 + T / 2) * 1000);
    end(&b);
}

static void t_changes_at_once(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, 3, 3);
    due(&b, 1100);
    echo(&b, 2, 1100 * 1000);
    step(&b, (struct member_event){.type = MEMBER_TIMEOUTS, .timeouts = {400 * 1000, T * 1000}});
    assert_int_equal(b.out.lease.us, (1100 + 200) * 1000);
    end(&b);
}

/* Whoever lets it lapse by the smaller one calls the node DOWN: it must not come back by itself. */
static void a_larger_t_lengthens_no_lease_that_is_there(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, 3, 3);
    due(&b, 1100);
    echo(&b, 2, 1100 * 1000);
    at(&b, 1150);
    step(&b, (struct member_event){.type = MEMBER_TIMEOUTS, .timeouts = {3 * T * 1000, 3 * T * 1000}});
    assert_int_equal(b.out.lease.us, (1100 + T / 2) * 1000);
    echo(&b, 2, 1100 * 1000); /* from before */
    assert_int_equal(b.out.lease.us, (1100 + T / 2) * 1000);
    echo(&b, 2, 1150 * 1000); /* of the one said at once */
    assert_int_equal(b.out.lease.us, (1150 + 3 * T / 2) * 1000);
    end(&b);
}

static void alone_it_has_a_lease(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, 1, 1);
    step(&b, (struct member_event){.type = MEMBER_LEADS, .leads = true});
    for (int64_t ms = 1010; ms < 5000; ms += 10) {
        due(&b, ms);
        assert_true(has_lease_at(&b, ms + 100));
        assert_int_equal(b.out.msgs_n, 0);
        assert_int_equal(b.out.news_n, 0);
    }
    end(&b);
}

/* ------------------------------------------------------------- 16: whom a voter echoes */

static bool echoed(struct bench *b, const struct member_msg *beat)
{
    hear(b, 2, beat);
    const struct member_msg *seen = said(b, MEMBER_SEEN, 2), *echo = said(b, MEMBER_ECHO, 2);
    assert_true((seen == NULL) != (echo == NULL));
    const struct member_msg *is = echo != NULL ? echo : seen;
    assert_int_equal(is->echo.incarnation, 3);
    assert_int_equal(is->echo.t, beat->beat.t);
    if (seen != NULL)
        assert_int_equal(seen->echo.map_version, b->m.committed);
    return echo != NULL;
}

static void a_voter_echoes_by_its_own_log(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, 3, 3);
    step(&b, (struct member_event){.type = MEMBER_COMMITTED, .committed = 40});
    due(&b, 1100);
    struct member_msg beat = beat_of(&b);
    beat.beat.map_version = 40;
    assert_true(echoed(&b, &beat)); /* no entry about it */
    beat.beat.voters++;
    assert_false(echoed(&b, &beat)); /* not the newest voter set */
    beat.beat.voters--;
    b.known[1].about = MEMBER_STOPS;
    b.known[1].about_index = 41;
    show(&b);
    beat.beat.map_version = 50;
    assert_false(echoed(&b, &beat));
    b.known[1].about = MEMBER_ALLOWS;
    b.known[1].about_index = 51;
    show(&b);
    assert_false(echoed(&b, &beat)); /* it has not applied that entry */
    beat.beat.map_version = 51;
    assert_true(echoed(&b, &beat));
    b.view.is_voter = false;
    show(&b);
    hear(&b, 2, &beat);
    assert_null(said(&b, MEMBER_ECHO, 2));
    assert_null(said(&b, MEMBER_SEEN, 2));
    end(&b);
}

static void a_voter_does_not_echo_an_old_map(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, 3, 3);
    step(&b, (struct member_event){.type = MEMBER_COMMITTED, .committed = 40});
    for (int64_t ms = 1010; ms <= 1500; ms += 10)
        due(&b, ms);
    step(&b, (struct member_event){.type = MEMBER_COMMITTED, .committed = 45});
    for (int64_t ms = 1510; ms < 1600 + 2 * T; ms += 10)
        due(&b, ms);
    struct member_msg beat = beat_of(&b);
    beat.beat.map_version = 44;
    assert_true(echoed(&b, &beat)); /* 45 was committed 2 T ago not quite */
    due(&b, 1600 + 2 * T);          /* noted with the heartbeat at 1600 */
    assert_false(echoed(&b, &beat));
    beat.beat.map_version = 45;
    assert_true(echoed(&b, &beat));
    for (int64_t ms = 1610 + 2 * T; ms <= 1000 + 20 * T; ms += 10) {
        step(&b, (struct member_event){.type = MEMBER_COMMITTED, .committed = (uint64_t)ms});
        due(&b, ms);
    }
    beat.beat.map_version = 1000 + 18 * T; /* more commits than are kept */
    assert_true(echoed(&b, &beat));
    beat.beat.map_version -= 220;
    assert_false(echoed(&b, &beat));
    for (int64_t ms = 1010 + 20 * T; ms <= 1000 + 24 * T; ms += 10) { /* whichever is the oldest that is kept */
        step(&b, (struct member_event){.type = MEMBER_COMMITTED, .committed = (uint64_t)ms});
        due(&b, ms);
        beat.beat.map_version = (uint64_t)ms - 2 * T - 220;
        assert_false(echoed(&b, &beat));
    }
    end(&b);
}

/* Heartbeats come faster then than commits need to be noted. */
static void a_smaller_t_for_leases_forgets_no_commit(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, 3, 3);
    step(&b, (struct member_event){.type = MEMBER_TIMEOUTS, .timeouts = {T * 400, T * 1000}});
    struct member_msg beat = beat_of(&b);
    for (int64_t ms = 1010; ms <= 1000 + 4 * T; ms += 10) {
        step(&b, (struct member_event){.type = MEMBER_COMMITTED, .committed = (uint64_t)ms});
        due(&b, ms);
    }
    beat.beat.map_version = 1000 + 2 * T;
    assert_true(echoed(&b, &beat));
    beat.beat.map_version -= 220;
    assert_false(echoed(&b, &beat));
    end(&b);
}

/* What was committed last is remembered however long ago that was. */
static void a_greater_t_forgets_no_commit(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, 3, 3);
    step(&b, (struct member_event){.type = MEMBER_COMMITTED, .committed = 40});
    for (int64_t ms = 1010; ms <= 1000 + 7 * T; ms += 10)
        due(&b, ms);
    step(&b, (struct member_event){.type = MEMBER_TIMEOUTS, .timeouts = {3 * T * 1000, 3 * T * 1000}});
    struct member_msg beat = beat_of(&b);
    beat.beat.map_version = 39;
    assert_false(echoed(&b, &beat));
    end(&b);
}

/* ------------------------------------------------------------- 16, 17: the leader's eye */

enum { N2 = 1 << 2, N3 = 1 << 3, N4 = 1 << 4, N5 = 1 << 5, N6 = 1 << 6 };

/* Time goes by, 10 ms a step; the nodes in `alive` beat each 50 ms as `beat` says (NULL: healthy). */
static void pass(struct bench *b, int64_t until_ms, unsigned alive, const struct member_msg *as)
{
    for (int64_t ms = b->now.us / 1000 + 10; ms <= until_ms; ms += 10) {
        due(b, ms);
        for (unsigned n = 2; n <= NODES; n++)
            if ((alive & 1u << n) != 0 && ms % 50 == 0) {
                struct member_msg beat = as != NULL ? *as : beat_of(b);
                beat.beat.t = b->now.us;
                hear(b, n, &beat);
            }
    }
}

/* Node 1 leads five members, three of them voters, and has heard all of them until 2000. */
static void lead(struct bench *b)
{
    begin(b, 5, 3);
    pass(b, 1100, N2 | N3 | N4 | N5, NULL);
    for (int64_t ms = 1100; ms < 2000; ms += 100) { /* its own lease is no matter here */
        pass(b, ms + 100, N2 | N3 | N4 | N5, NULL);
        echo(b, 2, b->m.beaten);
    }
    step(b, (struct member_event){.type = MEMBER_LEADS, .leads = true});
    memset(b->news, 0, sizeof(b->news));
    memset(b->sent, 0, sizeof(b->sent));
}

/* As pass, with the leader's own lease kept. */
static void watch(struct bench *b, int64_t until_ms, unsigned alive, const struct member_msg *as)
{
    while (b->now.us / 1000 < until_ms) {
        int64_t next = b->now.us / 1000 + 50;
        pass(b, next < until_ms ? next : until_ms, alive, as);
        echo(b, 2, b->m.beaten);
    }
}

static void half_t_of_silence_is_suspect(void **state)
{
    (void)state;
    struct bench b;
    lead(&b);
    watch(&b, 2370, N2 | N3 | N4, NULL);
    assert_int_equal(b.sent[MEMBER_PROBE][2] + b.sent[MEMBER_PROBE][3] + b.sent[MEMBER_PROBE][4],
                     0);
    watch(&b, 2380, N2 | N3 | N4, NULL); /* 3 T/8: the others are asked */
    assert_int_equal(b.sent[MEMBER_PROBE][2] + b.sent[MEMBER_PROBE][3] + b.sent[MEMBER_PROBE][4],
                     3);
    watch(&b, 2490, N2 | N3 | N4, NULL);
    assert_int_equal(b.news[MEMBER_IS_SILENT][5], 0);
    watch(&b, 2600, N2 | N3 | N4, NULL);
    assert_in_range(b.news[MEMBER_IS_SILENT][5], 2500, 2510); /* asked 10 ms late */
    for (unsigned n = 1; n < 5; n++)
        assert_int_equal(b.news[MEMBER_IS_SILENT][n], 0);
    memset(b.news, 0, sizeof(b.news)); /* said again while the log says nothing */
    watch(&b, 2900, N2 | N3 | N4, NULL);
    assert_in_range(b.news[MEMBER_IS_SILENT][5], 2750, 2770);
    memset(b.news, 0, sizeof(b.news)); /* but not while an entry is under way */
    b.known[4].about = MEMBER_STOPS;
    b.known[4].is_pending = true;
    show(&b);
    watch(&b, 4000, N2 | N3 | N4, NULL);
    assert_int_equal(b.news[MEMBER_IS_SILENT][5], 0);
    end(&b);
}

static void who_does_not_lead_says_nothing(void **state)
{
    (void)state;
    struct bench b;
    lead(&b);
    step(&b, (struct member_event){.type = MEMBER_LEADS, .leads = false});
    watch(&b, 5000, N2 | N3, NULL);
    for (unsigned n = 1; n <= NODES; n++)
        assert_int_equal(b.news[MEMBER_IS_SILENT][n], 0);
    /* a new leader counts silence from when it last heard, as a voter */
    step(&b, (struct member_event){.type = MEMBER_LEADS, .leads = true});
    watch(&b, 5050, N2 | N3, NULL);
    assert_in_range(b.news[MEMBER_IS_SILENT][5], 5000, 5050); /* the others were asked already */
    end(&b);
}

static void a_refused_connection_halves_the_wait(void **state)
{
    (void)state;
    struct bench b;
    lead(&b);
    due(&b, 2010);
    step(&b, (struct member_event){.type = MEMBER_REFUSED, .refused = id(5)});
    watch(&b, 2240, N2 | N3 | N4, NULL);
    assert_int_equal(b.news[MEMBER_IS_SILENT][5], 0);
    watch(&b, 2300, N2 | N3 | N4, NULL);
    assert_in_range(b.news[MEMBER_IS_SILENT][5], 2250, 2280);
    end(&b);
    lead(&b); /* heard again: it counts no more */
    due(&b, 2010);
    step(&b, (struct member_event){.type = MEMBER_REFUSED, .refused = id(5)});
    watch(&b, 2100, N2 | N3 | N4 | N5, NULL);
    watch(&b, 2540, N2 | N3 | N4, NULL);
    assert_int_equal(b.news[MEMBER_IS_SILENT][5], 0);
    end(&b);
}

static void who_is_refused_late_is_asked_about_first(void **state)
{
    (void)state;
    struct bench b;
    lead(&b);
    watch(&b, 2300, N2 | N3 | N4, NULL);
    step(&b, (struct member_event){.type = MEMBER_REFUSED, .refused = id(5)}); /* silent above T/4 already */
    watch(&b, 2410, N2 | N3 | N4, NULL);
    assert_int_equal(b.news[MEMBER_IS_SILENT][5], 0);
    watch(&b, 2450, N2 | N3 | N4, NULL);
    assert_in_range(b.news[MEMBER_IS_SILENT][5], 2425, 2440);
    end(&b);
}

/* Of six: 5 is silent, and so is 6, which is SUSPECT. */
static void three_that_are_up_are_asked_again_and_again(void **state)
{
    (void)state;
    struct bench b;
    const enum member_msg_type probe = MEMBER_PROBE;
    lead(&b);
    b.view.nodes_n = 4; /* three others, one of them silent */
    show(&b);
    watch(&b, 2490, N2 | N3, NULL);
    assert_int_equal(b.sent[probe][2], 1);
    assert_int_equal(b.sent[probe][3], 1);
    assert_int_equal(b.sent[probe][4], 0); /* itself */
    watch(&b, 2520, N2 | N3, NULL);        /* T/8 later */
    assert_int_equal(b.sent[probe][2], 2);
    end(&b);
    lead(&b);
    b.known[3].about = MEMBER_STOPS;
    b.known[3].health = MAP_SUSPECT;
    show(&b);
    watch(&b, 2490, N2 | N3, NULL);
    assert_int_equal(b.sent[probe][2] + b.sent[probe][3], 2);
    assert_int_equal(b.sent[probe][4], 0); /* who is SUSPECT is asked nothing */
    end(&b);
    lead(&b);
    b.view.nodes_n = 6;
    show(&b);
    pass(&b, 2370, N2 | N3 | N4 | N6, NULL);
    memset(b.sent, 0, sizeof(b.sent));
    watch(&b, 2490, N2 | N3 | N4 | N6, NULL);
    assert_int_equal(b.sent[probe][2] + b.sent[probe][3] + b.sent[probe][4] + b.sent[probe][6], 3);
    end(&b);
}

static void what_another_hears_is_heard(void **state)
{
    (void)state;
    struct bench b;
    lead(&b);
    watch(&b, 2450, N2 | N3 | N4, NULL);
    struct member_msg probed = {.type = MEMBER_PROBED};
    probed.probed = (struct rumor){.about = id(5),
                                   .incarnation = 3,
                                   .t = 2400 * 1000,
                                   .has_lease = true,
                                   .age_us = 50 * 1000,
                                   .refused_us = RUMOR_NEVER};
    hear(&b, 3, &probed);
    watch(&b, 2890, N2 | N3 | N4, NULL); /* heard 50 ms before 2450 */
    assert_int_equal(b.news[MEMBER_IS_SILENT][5], 0);
    hear(&b, 3, &probed); /* the same once more is nothing new */
    watch(&b, 2950, N2 | N3 | N4, NULL);
    assert_in_range(b.news[MEMBER_IS_SILENT][5], 2900, 2920);
    end(&b);
    lead(&b); /* heard so long ago that others are asked nevertheless: silence counts from there */
    watch(&b, 2450, N2 | N3 | N4, NULL);
    probed.probed.t = 2070 * 1000;
    probed.probed.age_us = 380 * 1000;
    hear(&b, 3, &probed);
    watch(&b, 2560, N2 | N3 | N4, NULL);
    assert_int_equal(b.news[MEMBER_IS_SILENT][5], 0);
    watch(&b, 2600, N2 | N3 | N4, NULL);
    assert_in_range(b.news[MEMBER_IS_SILENT][5], 2570, 2580);
    end(&b);
}

static void no_lease_for_half_t_is_suspect(void **state)
{
    (void)state;
    struct bench b;
    lead(&b);
    struct member_msg without = beat_of(&b);
    without.beat.has_lease = false;
    while (b.now.us < 2490 * 1000) {
        watch(&b, b.now.us / 1000 + 50, N2 | N3 | N4, NULL);
        without.beat.t = b.now.us;
        hear(&b, 5, &without); /* first at 2050 */
    }
    watch(&b, 2540, N2 | N3 | N4, NULL);
    assert_int_equal(b.news[MEMBER_IS_SILENT][5], 0);
    without.beat.t = b.now.us;
    hear(&b, 5, &without);
    watch(&b, 2550, N2 | N3 | N4, NULL);
    assert_in_range(b.news[MEMBER_IS_SILENT][5], 2550, 2550);
    end(&b);
}

/* Node 5 is SUSPECT by entry 70, committed and known here now. */
static void suspect(struct bench *b, uint64_t index)
{
    b->known[4].about = MEMBER_STOPS;
    b->known[4].about_index = b->known[4].health_index = index;
    b->known[4].health = MAP_SUSPECT;
    show(b);
}

static void down_waits_half_t_and_a_tenth(void **state)
{
    (void)state;
    struct bench b;
    lead(&b);
    suspect(&b, 70);
    watch(&b, 2540, N2 | N3 | N4, NULL);
    assert_int_equal(b.news[MEMBER_IS_OVER][5], 0);
    watch(&b, 2550, N2 | N3 | N4, NULL);
    assert_int_equal(b.news[MEMBER_IS_OVER][5], 2550);
    assert_int_equal(b.news[MEMBER_IS_SILENT][5], 0);
    end(&b);
}

static void down_waits_anew_for_another_suspect_and_another_leader(void **state)
{
    (void)state;
    struct bench b;
    lead(&b);
    suspect(&b, 70);
    watch(&b, 2300, N2 | N3 | N4, NULL);
    suspect(&b, 90);
    watch(&b, 2840, N2 | N3 | N4, NULL);
    assert_int_equal(b.news[MEMBER_IS_OVER][5], 0);
    step(&b, (struct member_event){.type = MEMBER_LEADS, .leads = false});
    step(&b, (struct member_event){.type = MEMBER_LEADS, .leads = true});
    watch(&b, 2840 + 540, N2 | N3 | N4, NULL);
    assert_int_equal(b.news[MEMBER_IS_OVER][5], 0);
    watch(&b, 2840 + 550, N2 | N3 | N4, NULL);
    assert_int_equal(b.news[MEMBER_IS_OVER][5], 2840 + 550);
    end(&b);
}

static void heard_well_for_a_quarter_is_clear(void **state)
{
    (void)state;
    struct bench b;
    lead(&b);
    suspect(&b, 70);
    b.known[4].health = MAP_DOWN; /* from DOWN as from SUSPECT */
    show(&b);
    struct member_msg beat = beat_of(&b);
    beat.beat.has_lease = false;
    beat.beat.ages_us[1] = beat.beat.ages_us[2] =
        T / 4 * 1000 + 1; /* one of three is no majority */
    pass(&b, 2500, N5, &beat);
    assert_int_equal(b.news[MEMBER_IS_WELL][5], 0);
    beat.beat.ages_us[1] = T / 4 * 1000;
    pass(&b, 2790, N5, &beat); /* first at 2550 */
    assert_int_equal(b.news[MEMBER_IS_WELL][5], 0);
    pass(&b, 2800, N5, &beat);
    assert_int_equal(b.news[MEMBER_IS_WELL][5], 2800);
    memset(b.news, 0, sizeof(b.news));
    pass(&b, 3060, 0, NULL); /* silent above T/4: it begins anew */
    memset(b.news, 0, sizeof(b.news));
    pass(&b, 3340, N5, &beat); /* first at 3100 */
    assert_int_equal(b.news[MEMBER_IS_WELL][5], 0);
    pass(&b, 3350, N5, &beat);
    assert_int_equal(b.news[MEMBER_IS_WELL][5], 3350);
    memset(b.news, 0, sizeof(b.news));
    beat.beat.voters++; /* of other voters than ours it says nothing */
    pass(&b, 4000, N5, &beat);
    assert_int_equal(b.news[MEMBER_IS_WELL][5], 0);
    end(&b);
}

/* Two runs of one node beat: the map knows the former. */
static void who_has_a_later_run_is_not_cleared(void **state)
{
    (void)state;
    struct bench b;
    lead(&b);
    suspect(&b, 70);
    struct member_msg later = beat_of(&b);
    later.beat.incarnation = 4;
    while (b.now.us < 3000 * 1000) {
        hear(&b, 5, &later);
        watch(&b, b.now.us / 1000 + 100, N2 | N3 | N4 | N5, NULL);
    }
    assert_int_equal(b.news[MEMBER_IS_WELL][5], 0);
    b.known[4].health = MAP_DOWN;
    show(&b);
    watch(&b, 2900 + T - 10, N2 | N3 | N4 | N5, NULL); /* it came last at 2900 */
    assert_int_equal(b.news[MEMBER_IS_WELL][5], 0);
    watch(&b, 2900 + T + 50, N2 | N3 | N4 | N5, NULL);
    assert_in_range(b.news[MEMBER_IS_WELL][5], 2900 + T, 2910 + T);
    end(&b);
    lead(&b); /* none ever came, however short the clock has run */
    step(&b, (struct member_event){.type = MEMBER_TIMEOUTS, .timeouts = {4 * T * 1000, 4 * T * 1000}});
    suspect(&b, 70);
    b.known[4].health = MAP_DOWN;
    show(&b);
    watch(&b, 3200, N2 | N3 | N4 | N5, NULL);
    assert_in_range(b.news[MEMBER_IS_WELL][5], 3000, 3100);
    end(&b);
}

static void a_gap_in_the_loop_restarts_every_timer(void **state)
{
    (void)state;
    for (int64_t gap = 100; gap <= 110; gap += 10) {
        bool restarts = gap > T / 10;
        struct bench b;
        lead(&b);
        suspect(&b, 70);
        b.known[3].about_index = b.known[3].health_index = 60;
        b.known[3].about = MEMBER_STOPS;
        b.known[3].health = MAP_DOWN;
        show(&b);
        pass(&b, 2200, N2, NULL); /* 3 is silent, 5 SUSPECT, 4 DOWN */
        for (int64_t end_ms = 2200 + gap; b.now.us < end_ms * 1000;)
            due(&b, end_ms);
        pass(&b, 2740, N2 | N4, NULL);
        assert_true((b.news[MEMBER_IS_SILENT][3] != 0) == !restarts); /* 2500, or 2810 */
        assert_true((b.news[MEMBER_IS_OVER][5] != 0) == !restarts);   /* 2550, or 2860 */
        pass(&b, 2900, N2 | N4, NULL);
        assert_true(b.news[MEMBER_IS_SILENT][3] != 0 && b.news[MEMBER_IS_OVER][5] != 0);
        if (restarts) {
            assert_in_range(b.news[MEMBER_IS_SILENT][3], 2810, 2820);
            assert_int_equal(b.news[MEMBER_IS_OVER][5], 2860);
        }
        end(&b);
    }
}

static void a_leader_whose_data_plane_stands_is_suspect(void **state)
{
    (void)state;
    struct bench b;
    lead(&b);
    int64_t moved = b.now.us / 1000;
    for (int64_t ms = moved + 10; ms < moved + T + T; ms += 10) {
        at(&b, ms);
        step(&b, (struct member_event){.type = MEMBER_DUE});
        struct member_msg beat = beat_of(&b);
        if (ms % 50 == 0)
            for (unsigned n = 2; n <= 5; n++)
                hear(&b, n, &beat);
        echo(&b, 2, b.m.beaten);
    }
    assert_in_range(b.news[MEMBER_IS_SILENT][ME], moved + T + T / 2 - 110, moved + T + T / 2 + 10);
    end(&b);
}

/* ------------------------------------------------------------- gossip and probes */

static void gossip_is_answered_and_spreads_what_is_newest(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, 5, 1);
    due(&b, 1100);
    struct member_msg tells = {.type = MEMBER_GOSSIP,
                               .gossip = {.ahead = 33, .who = id(4), .n = 2}};
    tells.gossip.rumors[0] = (struct rumor){.about = id(3),
                                            .incarnation = 3,
                                            .t = 5,
                                            .map_version = 30,
                                            .has_lease = true,
                                            .load = {1, 2},
                                            .age_us = 70 * 1000,
                                            .refused_us = 20 * 1000};
    tells.gossip.rumors[1] =
        (struct rumor){.about = id(4), .incarnation = 2, .t = 9, .refused_us = RUMOR_NEVER};
    hear(&b, 2, &tells);
    assert_int_equal(b.out.ahead, 33);
    assert_int_equal(b.out.ahead_at.b[0], 4);
    const struct member_msg *back = said(&b, MEMBER_GOSSIP, 2);
    assert_non_null(back);
    assert_true(back->gossip.answers);
    assert_int_equal(back->gossip.ahead, 33);
    assert_int_equal(back->gossip.n, 2); /* itself, and 3; 4 is of another incarnation (M4) */
    assert_int_equal(back->gossip.rumors[0].about.b[0], ME);
    const struct rumor *third = &back->gossip.rumors[1];
    assert_int_equal(third->about.b[0], 3);
    assert_int_equal(third->age_us, 70 * 1000); /* ages add up (M8) */
    assert_int_equal(third->refused_us, 20 * 1000);
    assert_int_equal(third->load.ops_per_s, 2);
    tells.gossip.answers = true;
    hear(&b, 2, &tells);
    assert_null(said(&b, MEMBER_GOSSIP, 2));
    tells.gossip.answers = false;
    step(&b, (struct member_event){.type = MEMBER_RECV, .recv = {{{99}}, &tells}}); /* no member */
    assert_int_equal(b.out.msgs_n, 0);
    end(&b);
}

static void doubters_are_counted_each_once(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, 5, 1);
    due(&b, 1100);
    struct member_msg tells = {.type = MEMBER_GOSSIP, .gossip = {.answers = true, .n = 1}};
    tells.gossip.rumors[0] = (struct rumor){.about = id(5),
                                            .incarnation = 3,
                                            .t = 5,
                                            .age_us = T / 4 * 1000,
                                            .refused_us = RUMOR_NEVER};
    for (unsigned n = 2; n <= 4; n++)
        for (int again = 0; again < 2; again++)
            hear(&b, n, &tells);
    struct node_id five = id(5);
    struct member_peer *p = rumors_find(&b.m.rumors, &five);
    assert_int_equal(rumor_doubters(p, b.now, T * 1000), 3);
    tells.gossip.rumors[0].age_us--;
    hear(&b, 3, &tells);
    assert_int_equal(rumor_doubters(p, b.now, T * 1000), 2);
    due(&b, 1100 + T + 1);
    assert_int_equal(rumor_doubters(p, b.now, T * 1000), 0);
    end(&b);
}

static void a_probe_is_passed_on_and_answered(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, 5, 1);
    due(&b, 1100);
    struct member_msg probe = {.type = MEMBER_PROBE, .about = id(5)};
    hear(&b, 2, &probe);
    assert_null(said(&b, MEMBER_PROBED, 2));
    assert_non_null(said(&b, MEMBER_PROBE, 5)); /* not heard lately: it is asked itself */
    struct member_msg probed = {.type = MEMBER_PROBED};
    probed.probed = (struct rumor){
        .about = id(5), .incarnation = 3, .t = 5, .age_us = 1000, .refused_us = RUMOR_NEVER};
    at(&b, 1105);
    hear(&b, 5, &probed);
    const struct member_msg *told = said(&b, MEMBER_PROBED, 2);
    assert_non_null(told);
    assert_int_equal(told->probed.age_us, 1000);
    hear(&b, 3, &probe); /* now it is known */
    assert_non_null(said(&b, MEMBER_PROBED, 3));
    assert_null(said(&b, MEMBER_PROBE, 5));
    probe.about = id(ME);
    hear(&b, 3, &probe);
    assert_non_null(said(&b, MEMBER_PROBED, 3));
    at(&b, 1105 + T); /* its heartbeats have stopped (M2) */
    step(&b, (struct member_event){.type = MEMBER_DUE});
    at(&b, 1105 + 2 * T);
    hear(&b, 3, &probe);
    assert_int_equal(b.sent[MEMBER_PROBED][3], 2);
    end(&b);
}

static void who_asked_is_told_of_that_one_and_for_a_while(void **state)
{
    (void)state;
    for (unsigned about = 4; about <= 5; about++)
        for (int64_t ms = T / 4 - 10; ms <= T / 4; ms += 10) {
            struct bench b;
            begin(&b, 5, 3);
            due(&b, 1200);
            hear(&b, 2, &(struct member_msg){.type = MEMBER_PROBE, .about = id(5)});
            due(&b, 1200 + ms);
            struct member_msg beat = beat_of(&b);
            hear(&b, about, &beat);
            assert_true((said(&b, MEMBER_PROBED, 2) != NULL) == (about == 5 && ms < T / 4));
            end(&b);
        }
}

UNIT_TESTS(
    "member",
    TEST(heartbeats_go_to_each_voter,
         "a heartbeat goes to each voter each T/10 and says all it should (15)"),
    TEST(a_lease_lasts_half_t_from_the_heartbeat,
         "a lease ends T/2 after the heartbeat, not after its echo (15, M1)"),
    TEST(a_majority_of_five_is_three,
         "t_m is the newest that a majority has echoed at or beyond (15, M1)"),
    TEST(four_voters_want_three, "two of four voters are no majority (15, M1)"),
    TEST(foreign_echoes_are_ignored,
         "echoes of another incarnation, of the future, of others, and SEEN, give no lease (15)"),
    TEST(heartbeats_stop_with_the_data_plane,
         "heartbeats stop when the data plane stood still for T (15, M2)"),
    TEST(unknown_incarnations_ask_for_restart,
         "an unknown incarnation only asks for RESTART (15, M4)"),
    TEST(another_voter_set_wants_echoes_of_its_own,
         "echoes count for the voter set their heartbeat named (15, 18, M1)"),
    TEST(clocks_that_moved_apart_end_the_lease,
         "a lease is void when the clocks moved apart, until a fresh echo (7)"),
    TEST(t_changes_at_once, "a smaller T shortens the lease there is"),
    TEST(a_larger_t_lengthens_no_lease_that_is_there, "a larger T lengthens no lease that is there (15, 17)"),
    TEST(alone_it_has_a_lease, "a cluster of one has its lease from itself (15)"),
    TEST(a_voter_echoes_by_its_own_log,
         "a voter echoes as the newest entry and voter set of its log let it (16, M3)"),
    TEST(a_voter_does_not_echo_an_old_map,
         "a voter does not echo a map older than what was committed 2 T before (16)"),
    TEST(a_smaller_t_for_leases_forgets_no_commit,
         "nor while a smaller T makes heartbeats more frequent (16)"),
    TEST(a_greater_t_forgets_no_commit, "nor once T is greater (16)"),
    TEST(half_t_of_silence_is_suspect,
         "T/2 of silence is SUSPECT, once others were asked (16, M6)"),
    TEST(who_does_not_lead_says_nothing,
         "who does not lead says nothing, and a new leader counts on (16, 17)"),
    TEST(a_refused_connection_halves_the_wait, "T/4 is enough where connections are refused (16)"),
    TEST(who_is_refused_late_is_asked_about_first,
         "who is refused after T/4 of silence is asked about all the same (16, M6)"),
    TEST(three_that_are_up_are_asked_again_and_again,
         "three others that are UP are asked about who is silent, each T/8 (16, M6)"),
    TEST(what_another_hears_is_heard,
         "what another has heard counts as heard, as old as it is (16, M8)"),
    TEST(no_lease_for_half_t_is_suspect, "no lease for T/2 is SUSPECT (16)"),
    TEST(down_waits_half_t_and_a_tenth,
         "DOWN waits T/2 and a tenth from the commit of SUSPECT (17)"),
    TEST(down_waits_anew_for_another_suspect_and_another_leader,
         "another SUSPECT and another leader wait anew (17, M5)"),
    TEST(heard_well_for_a_quarter_is_clear,
         "CLEAR wants T/4 of fresh answers from a majority (17)"),
    TEST(who_has_a_later_run_is_not_cleared,
         "who has a run that is not known yet is not cleared, for T (19)"),
    TEST(a_gap_in_the_loop_restarts_every_timer,
         "a gap above T/10 in the leader's loop restarts every timer (17, M5)"),
    TEST(a_leader_whose_data_plane_stands_is_suspect,
         "a leader suspects itself when its data plane stands (15, 16)"),
    TEST(gossip_is_answered_and_spreads_what_is_newest,
         "gossip is answered, and ages add up (M4, M8)"),
    TEST(doubters_are_counted_each_once, "doubters are counted each once, and forgotten"),
    TEST(a_probe_is_passed_on_and_answered,
         "a probe is passed on, and answered when there is an answer (16, M6)"),
    TEST(who_asked_is_told_of_that_one_and_for_a_while,
         "who asked is told of whom it asked about, for T/4 (16, M6)"))

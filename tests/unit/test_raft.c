/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/raft/raft.h"

#include "base/bounds.h"
#include "tests/lib/raft_lab.h"

static struct raft_msg vote_asked(unsigned from, uint64_t term, uint64_t last_index, uint64_t last_term)
{
    return (struct raft_msg){.type = RAFT_MSG_VOTE, .from = peer_of(from), .term = term,
                             .vote = {.campaign = term, .last_index = last_index, .last_term = last_term}};
}

static struct raft_msg prevote_asked(unsigned from, uint64_t term, uint64_t last_index, uint64_t last_term)
{
    struct raft_msg m = vote_asked(from, term, last_index, last_term);
    m.type = RAFT_MSG_PREVOTE;
    m.vote.campaign = term + 1;
    return m;
}

static struct raft_msg append_of(unsigned from, uint64_t term, uint64_t prev, uint64_t prev_term, uint64_t commit,
                                 const struct raft_entry *entries, size_t n)
{
    return (struct raft_msg){.type = RAFT_MSG_APPEND, .from = peer_of(from), .term = term,
                             .append = {.prev_index = prev, .prev_term = prev_term, .commit = commit,
                                        .entries = entries, .n = n}};
}

static bool is_granted(struct lab *l, unsigned i, enum raft_msg_type type)
{
    const struct raft_msg *a = lab_find(l, i, type);
    assert_non_null(a);
    return a->vote_answer.granted;
}

/* ------------------------------------------------------------------------- votes */

static void one_vote_a_term_and_it_is_on_disk_before_it_is_said(void **state)
{
    (void)state;
    struct lab l = {0};
    lab_start(&l, 1, voters_of(1, 3), "1 1", 1);
    l.node[1].holds = true;
    lab_recv(&l, 1, vote_asked(2, 2, 2, 1));
    assert_null(lab_find(&l, 1, RAFT_MSG_VOTE_ANSWER));
    assert_true(l.node[1].out.store.has_state && l.node[1].out.store.term == 2);
    lab_store(&l, 1);
    assert_true(is_granted(&l, 1, RAFT_MSG_VOTE_ANSWER));
    lab_drop_sent(&l, 1);
    lab_recv(&l, 1, vote_asked(3, 2, 2, 1));
    assert_false(is_granted(&l, 1, RAFT_MSG_VOTE_ANSWER));
    lab_recv(&l, 1, vote_asked(2, 2, 2, 1)); /* the same one again: the answer was lost */
    assert_true(is_granted(&l, 1, RAFT_MSG_VOTE_ANSWER));
    lab_recv(&l, 1, vote_asked(3, 1, 9, 9));
    assert_false(is_granted(&l, 1, RAFT_MSG_VOTE_ANSWER)); /* an older term */
    lab_free(&l);
}

static void a_vote_is_remembered_over_a_restart(void **state)
{
    (void)state;
    struct lab l = {0};
    struct raft_saved saved = {.term = 5, .vote = peer_of(2)};
    struct raft_peer self = peer_of(1);
    assert_int_equal(raft_init(&l.node[1].r, &self, 1, LAB_T, l.now, &saved), ERR_OK);
    l.node[1].is_there = true;
    lab_recv(&l, 1, vote_asked(3, 5, 9, 4));
    assert_false(is_granted(&l, 1, RAFT_MSG_VOTE_ANSWER));
    lab_recv(&l, 1, vote_asked(2, 5, 9, 4));
    assert_true(is_granted(&l, 1, RAFT_MSG_VOTE_ANSWER));
    lab_free(&l);
}

/* Figure 7 of the paper: who may lead in term 8 by whose vote. The leader's log and (a) to (f). */
static const char *const figure_7[] = {
    "1 1 1 4 4 5 5 6 6 6", "1 1 1 4 4 5 5 6 6", "1 1 1 4", "1 1 1 4 4 5 5 6 6 6 6", "1 1 1 4 4 5 5 6 6 6 7 7",
    "1 1 1 4 4 4 4", "1 1 1 2 2 2 3 3 3 3 3"};
enum { FIGURE_7 = 7 };

static void a_vote_goes_to_a_log_as_new_as_ones_own(void **state)
{
    (void)state;
    static const uint64_t last[FIGURE_7] = {10, 9, 4, 11, 12, 7, 11}, term[FIGURE_7] = {6, 6, 4, 6, 7, 4, 3};
    for (size_t a = 0; a < FIGURE_7; a++)
        for (size_t b = 0; b < FIGURE_7; b++) {
            struct lab l = {0};
            bool newer = term[b] > term[a] || (term[b] == term[a] && last[b] >= last[a]);
            lab_start(&l, 1, voters_of(1, 3), figure_7[a], 7);
            lab_recv(&l, 1, prevote_asked(2, 7, last[b], term[b]));
            assert_int_equal(is_granted(&l, 1, RAFT_MSG_PREVOTE_ANSWER), newer);
            lab_recv(&l, 1, vote_asked(2, 8, last[b], term[b]));
            assert_int_equal(is_granted(&l, 1, RAFT_MSG_VOTE_ANSWER), newer);
            lab_free(&l);
        }
}

static void a_prevote_changes_nothing(void **state)
{
    (void)state;
    struct lab l = {0};
    lab_start(&l, 1, voters_of(1, 3), "1 1", 1);
    lab_recv(&l, 1, prevote_asked(2, 7, 9, 7));
    assert_true(is_granted(&l, 1, RAFT_MSG_PREVOTE_ANSWER));
    assert_int_equal(l.node[1].r.term, 1);
    assert_int_equal(l.node[1].out.store.token, 0);
    lab_recv(&l, 1, prevote_asked(3, 7, 9, 7)); /* not a vote: it may be said to many */
    assert_true(is_granted(&l, 1, RAFT_MSG_PREVOTE_ANSWER));
    lab_free(&l);
}

static void who_hears_a_leader_helps_nobody_to_overthrow_it(void **state)
{
    (void)state;
    struct lab l = {0};
    lab_start(&l, 1, voters_of(1, 3), "1 1", 1);
    lab_recv(&l, 1, append_of(2, 1, 2, 1, 0, NULL, 0));
    lab_pass(&l, LAB_T / 2 - 1);
    lab_recv(&l, 1, prevote_asked(3, 1, 2, 1));
    assert_false(is_granted(&l, 1, RAFT_MSG_PREVOTE_ANSWER));
    lab_recv(&l, 1, vote_asked(3, 2, 2, 1));
    assert_null(lab_find(&l, 1, RAFT_MSG_VOTE_ANSWER));
    assert_int_equal(l.node[1].r.term, 1);
    struct raft_msg wish = vote_asked(3, 2, 2, 1);
    wish.vote.transfer = true;
    lab_recv(&l, 1, wish); /* the leader's own wish */
    assert_true(is_granted(&l, 1, RAFT_MSG_VOTE_ANSWER));
    lab_free(&l);
    l = (struct lab){0};
    lab_start(&l, 1, voters_of(1, 3), "1 1", 1);
    lab_recv(&l, 1, append_of(2, 1, 2, 1, 0, NULL, 0));
    lab_pass(&l, LAB_T / 2);
    lab_recv(&l, 1, vote_asked(3, 2, 2, 1));
    assert_true(is_granted(&l, 1, RAFT_MSG_VOTE_ANSWER));
    lab_free(&l);
}

static void a_candidate_counts_its_own_vote_once_it_is_on_disk(void **state)
{
    (void)state;
    struct lab l = {0};
    lab_start(&l, 1, voters_of(1, 3), "1 1", 1);
    l.node[1].holds = true;
    lab_pass(&l, LAB_T);
    lab_due(&l, 1);
    assert_int_equal(l.node[1].r.role, RAFT_PRECANDIDATE);
    assert_non_null(lab_find(&l, 1, RAFT_MSG_PREVOTE));
    struct raft_msg yes = {.type = RAFT_MSG_PREVOTE_ANSWER, .from = peer_of(2), .term = 1,
                           .vote_answer = {.campaign = 2, .granted = true}};
    lab_recv(&l, 1, yes);
    assert_int_equal(l.node[1].r.role, RAFT_CANDIDATE);
    assert_null(lab_find(&l, 1, RAFT_MSG_VOTE));
    lab_store(&l, 1);
    assert_non_null(lab_find(&l, 1, RAFT_MSG_VOTE));
    yes.type = RAFT_MSG_VOTE_ANSWER;
    yes.term = 2;
    lab_recv(&l, 1, yes);
    assert_int_equal(l.node[1].r.role, RAFT_LEADER);
    const struct raft_msg *m = lab_find(&l, 1, RAFT_MSG_APPEND);
    assert_int_equal(m->append.n, 1);
    assert_int_equal(m->append.entries[0].type, RAFT_ENTRY_NOOP);
    assert_int_equal(m->append.entries[0].term, 2);
    lab_free(&l);
}

static void who_votes_while_it_asks_for_prevotes_asks_no_more(void **state)
{
    (void)state;
    struct lab l = {0};
    lab_start(&l, 1, voters_of(1, 3), "1 1", 1);
    lab_pass(&l, LAB_T);
    lab_due(&l, 1);
    assert_int_equal(l.node[1].r.role, RAFT_PRECANDIDATE);
    l.node[1].holds = true;
    lab_recv(&l, 1, vote_asked(3, 1, 2, 1));
    lab_recv(&l, 1, (struct raft_msg){.type = RAFT_MSG_PREVOTE_ANSWER, .from = peer_of(2), .term = 1,
                                      .vote_answer = {.campaign = 2, .granted = true}});
    assert_int_equal(l.node[1].r.role, RAFT_FOLLOWER);
    lab_store(&l, 1);
    assert_true(is_granted(&l, 1, RAFT_MSG_VOTE_ANSWER));
    lab_free(&l);
}

/* A process that stood still is no disk that will take as long again. */
static void patience_with_slow_disks_has_an_end(void **state)
{
    (void)state;
    for (int64_t took = LAB_T; took <= 60 * LAB_T; took += 59 * LAB_T) {
        int64_t patience = took < 4 * LAB_T ? took : 4 * LAB_T;
        struct lab l = {0};
        lab_start(&l, 1, voters_of(1, 3), "1 1", 1);
        l.node[1].holds = true;
        lab_recv(&l, 1, vote_asked(3, 2, 2, 1));
        assert_true(l.node[1].out.wake.us == MONO_NEVER.us); /* nor does it campaign until then */
        lab_pass(&l, took);
        lab_store(&l, 1);
        int64_t due = l.node[1].out.wake.us - l.now.us;
        assert_in_range(due, patience + LAB_T / 2, patience + LAB_T * 6 / 10);
        lab_free(&l);
    }
}

static void the_election_timeout_is_drawn_from_its_range(void **state)
{
    (void)state;
    int64_t least = INT64_MAX, most = 0;
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct lab l = {0};
        lab_start(&l, 1, voters_of(1, 3), "1", 1);
        struct raft *r = &l.node[1].r;
        rng_seed(&r->rng, seed);
        raft_set_timeout(r, 2 * LAB_T, 2 * LAB_T); /* live: what is under way follows */
        lab_due(&l, 1);
        int64_t wake = l.node[1].out.wake.us;
        least = wake < least ? wake : least;
        most = wake > most ? wake : most;
        lab_free(&l);
    }
    assert_in_range(least, LAB_T, LAB_T + LAB_T / 50);
    assert_in_range(most, LAB_T * 12 / 10 - LAB_T / 50, LAB_T * 12 / 10);
}

/* ------------------------------------------------------------------------- the log */

static void all_logs_of_figure_7_become_the_leaders(void **state)
{
    (void)state;
    for (size_t f = 1; f < FIGURE_7; f++) {
        struct lab l = {0};
        char a[128], b[128];
        lab_start(&l, 1, voters_of(1, 3), figure_7[0], 7);
        lab_start(&l, 2, voters_of(1, 3), figure_7[f], 7);
        lab_start(&l, 3, voters_of(1, 3), "1 1 1", 7); /* its vote makes 1 the leader */
        lab_elect(&l, 1);
        assert_int_equal(l.node[1].r.role, RAFT_LEADER);
        assert_string_equal(lab_terms(&l.node[1].r, a, sizeof(a)), "1 1 1 4 4 5 5 6 6 6 8");
        assert_string_equal(lab_terms(&l.node[2].r, b, sizeof(b)), a);
        assert_string_equal(lab_terms(&l.node[3].r, b, sizeof(b)), a);
        assert_int_equal(l.node[2].r.commit, 11);
        lab_free(&l);
    }
}

/* Figure 8: S1 leads again, in term 4; its entry of term 2 is on a majority, and may yet be cut. */
static void an_entry_of_an_older_term_is_not_committed_by_counting(void **state)
{
    (void)state;
    struct lab l = {0};
    lab_start(&l, 1, voters_of(1, 5), "1 2", 3);
    lab_start(&l, 2, voters_of(1, 5), "1 2", 3);
    for (unsigned i = 3; i <= 4; i++)
        lab_start(&l, i, voters_of(1, 5), "1", 3);
    lab_start(&l, 5, voters_of(1, 5), "1 3", 3);
    lab_pass(&l, LAB_T);
    l.node[5].is_there = false; /* away */
    lab_due(&l, 1);
    lab_deliver(&l);
    struct raft *r = &l.node[1].r;
    assert_int_equal(r->role, RAFT_LEADER);
    assert_int_equal(r->commit, 3); /* with its own entry, committed by counting, the older ones are */
    l.node[5].is_there = true;
    lab_free(&l);

    l = (struct lab){0};
    lab_start(&l, 1, voters_of(1, 3), "1 2", 3);
    lab_pass(&l, LAB_T);
    lab_due(&l, 1);
    struct raft_msg yes = {.type = RAFT_MSG_PREVOTE_ANSWER, .from = peer_of(2), .term = 3,
                           .vote_answer = {.campaign = 4, .granted = true}};
    lab_recv(&l, 1, yes);
    yes.type = RAFT_MSG_VOTE_ANSWER;
    yes.term = 4;
    lab_recv(&l, 1, yes);
    struct raft_msg has = {.type = RAFT_MSG_APPEND_ANSWER, .from = peer_of(2), .term = 4,
                           .append_answer = {.match = 2}};
    lab_recv(&l, 1, has);
    assert_int_equal(l.node[1].r.commit, 0); /* (c): on a majority, and not committed */
    assert_false(raft_leads(&l.node[1].r));
    has.append_answer.match = 3;
    lab_recv(&l, 1, has);
    assert_int_equal(l.node[1].r.commit, 3); /* (e) */
    assert_true(raft_leads(&l.node[1].r));
    lab_free(&l);
}

static void an_answer_tells_only_what_is_on_disk(void **state)
{
    (void)state;
    struct lab l = {0};
    lab_start(&l, 1, voters_of(1, 3), "1", 2);
    l.node[1].holds = true;
    struct raft_entry e[] = {{2, RAFT_ENTRY_OWNER, SLICE("a")}, {2, RAFT_ENTRY_OWNER, SLICE("b")}};
    lab_recv(&l, 1, append_of(2, 2, 1, 1, 3, e, 2));
    assert_int_equal(lab_find(&l, 1, RAFT_MSG_APPEND_ANSWER)->append_answer.match, 1);
    assert_int_equal(l.node[1].r.commit, 3); /* committed it is, by others */
    assert_int_equal(l.node[1].applied, 3);
    lab_store(&l, 1);
    assert_int_equal(lab_find(&l, 1, RAFT_MSG_APPEND_ANSWER)->append_answer.match, 3);
    lab_free(&l);
}

static void a_leaders_own_share_counts_once_it_is_on_disk(void **state)
{
    (void)state;
    struct lab l = {0};
    lab_start(&l, 1, (struct raft_voters){0}, NULL, 0);
    lab_step(&l, 1, (struct raft_event){.type = RAFT_FOUND});
    struct raft *r = &l.node[1].r;
    assert_true(raft_leads(r));
    l.node[1].holds = true;
    lab_propose(&l, 1, SLICE("x"));
    assert_int_equal(l.node[1].out.proposed, raft_log_last(&r->log));
    assert_int_equal(l.node[1].commands, 0);
    lab_store(&l, 1);
    assert_int_equal(l.node[1].commands, 1);
    lab_free(&l);
}

static void what_a_cut_took_away_is_not_stored_by_an_old_token(void **state)
{
    (void)state;
    struct lab l = {0};
    lab_start(&l, 1, voters_of(1, 3), "1", 2);
    l.node[1].holds = true;
    struct raft_entry old[] = {{2, RAFT_ENTRY_OWNER, SLICE("a")}, {2, RAFT_ENTRY_OWNER, SLICE("b")}};
    lab_recv(&l, 1, append_of(2, 2, 1, 1, 0, old, 2));
    uint64_t first_token = l.node[1].token;
    struct raft_entry other[] = {{3, RAFT_ENTRY_OWNER, SLICE("c")}, {3, RAFT_ENTRY_OWNER, SLICE("d")}};
    lab_recv(&l, 1, append_of(3, 3, 1, 1, 0, other, 2));
    assert_int_equal(l.node[1].out.store.first, 2);
    lab_step(&l, 1, (struct raft_event){.type = RAFT_STORED, .token = first_token});
    assert_int_equal(l.node[1].r.stored, 1);
    lab_store(&l, 1);
    assert_int_equal(l.node[1].r.stored, 3);
    assert_int_equal(lab_find(&l, 1, RAFT_MSG_APPEND_ANSWER)->append_answer.match, 3);
    lab_free(&l);
}

static void a_late_shorter_append_takes_nothing_back(void **state)
{
    (void)state;
    struct lab l = {0};
    lab_start(&l, 1, voters_of(1, 3), "1", 2);
    struct raft_entry e[] = {{2, RAFT_ENTRY_OWNER, SLICE("a")}, {2, RAFT_ENTRY_OWNER, SLICE("b")}};
    lab_recv(&l, 1, append_of(2, 2, 1, 1, 0, e, 2));
    lab_recv(&l, 1, append_of(2, 2, 1, 1, 0, e, 1));
    lab_recv(&l, 1, append_of(2, 2, 1, 1, 0, NULL, 0));
    assert_int_equal(raft_log_last(&l.node[1].r.log), 3);
    assert_int_equal(lab_find(&l, 1, RAFT_MSG_APPEND_ANSWER)->append_answer.match, 3);
    lab_free(&l);
}

static void nothing_committed_is_contradicted(void **state)
{
    (void)state;
    struct lab l = {0};
    lab_start(&l, 1, voters_of(1, 3), "1 1 1", 2);
    lab_recv(&l, 1, append_of(2, 2, 3, 1, 3, NULL, 0));
    assert_int_equal(l.node[1].r.commit, 3);
    struct raft_entry e[] = {{2, RAFT_ENTRY_OWNER, SLICE("z")}};
    lab_recv(&l, 1, append_of(2, 2, 1, 1, 3, e, 1));
    assert_int_equal(l.node[1].err, ERR_CORRUPT);
    lab_recv(&l, 1, append_of(3, 2, 3, 1, 3, NULL, 0)); /* a second leader of one term */
    assert_int_equal(l.node[1].err, ERR_CORRUPT);
    assert_int_equal(raft_log_last(&l.node[1].r.log), 3);
    lab_free(&l);
}

static void a_window_bounds_what_is_in_flight(void **state)
{
    (void)state;
    struct lab l = {0};
    static const char big[100 * 1024];
    for (unsigned i = 1; i <= 2; i++)
        lab_start(&l, i, voters_of(1, 2), "1", 1);
    lab_elect(&l, 1);
    for (int i = 0; i < 100; i++)
        lab_propose(&l, 1, slice_of(big, sizeof(big)));
    size_t bytes = 0, n = l.node[1].sent_n;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < l.node[1].sent[i].m.append.n; k++)
            bytes += l.node[1].sent[i].m.append.entries[k].bytes.n;
    assert_true(n <= RAFT_FLIGHTS);
    assert_true(bytes <= RAFT_FLIGHT_BYTES + RAFT_APPEND_BYTES);
    lab_deliver(&l); /* and what waited follows the answers, several in one message */
    assert_int_equal(l.node[1].commands, 100);
    static const char more[RAFT_ENTRY_BYTES + 1];
    lab_propose(&l, 1, slice_of(more, sizeof(more)));
    assert_int_equal(l.node[1].out.refused, RAFT_TOO_BIG);
    for (size_t i = 0; i <= RAFT_UNCOMMITTED_BYTES / RAFT_ENTRY_BYTES; i++) {
        assert_int_equal(l.node[1].out.refused == RAFT_ACCEPTED || i == 0, true);
        lab_propose(&l, 1, slice_of(more, RAFT_ENTRY_BYTES));
    }
    assert_int_equal(l.node[1].out.refused, RAFT_BEHIND);
    lab_free(&l);
}

/* ------------------------------------------------------------------------- leading */

static void a_leader_that_hears_no_majority_steps_down_after_half_of_t(void **state)
{
    (void)state;
    struct lab l = {0};
    for (unsigned i = 1; i <= 3; i++)
        lab_start(&l, i, voters_of(1, 3), "1", 1);
    lab_elect(&l, 1);
    struct mono elected = l.now;
    l.node[2].is_there = l.node[3].is_there = false;
    while (l.node[1].r.role == RAFT_LEADER) {
        l.now = l.node[1].out.wake;
        lab_due(&l, 1);
        lab_deliver(&l);
    }
    assert_int_equal(l.now.us - elected.us, LAB_T / 2);
    l.node[2].is_there = l.node[3].is_there = true;
    lab_propose(&l, 1, SLICE("x"));
    assert_int_equal(l.node[1].out.refused, RAFT_NOT_LEADER);
    lab_free(&l);
}

static void one_follower_of_two_is_majority_enough(void **state)
{
    (void)state;
    struct lab l = {0};
    for (unsigned i = 1; i <= 3; i++)
        lab_start(&l, i, voters_of(1, 3), "1", 1);
    lab_elect(&l, 1);
    l.node[3].is_there = false;
    struct mono end = mono_after(l.now, 5 * LAB_T);
    while (!mono_reached(l.now, end)) {
        l.now = l.node[1].out.wake;
        lab_due(&l, 1);
        lab_deliver(&l);
    }
    assert_int_equal(l.node[1].r.role, RAFT_LEADER);
    assert_int_equal(l.node[2].r.role, RAFT_FOLLOWER);
    struct mono heard;
    struct raft_peer p = peer_of(3), q = peer_of(2);
    assert_true(raft_contact(&l.node[1].r, &p, &heard, NULL));
    assert_true(l.now.us - heard.us >= 5 * LAB_T - LAB_T / 20);
    assert_true(raft_contact(&l.node[1].r, &q, &heard, NULL));
    assert_true(l.now.us - heard.us <= LAB_T / 20);
    l.node[3].is_there = true;
    lab_free(&l);
}

static void leadership_is_handed_over_on_wish(void **state)
{
    (void)state;
    struct lab l = {0};
    for (unsigned i = 1; i <= 3; i++)
        lab_start(&l, i, voters_of(1, 3), "1", 1);
    lab_elect(&l, 1);
    lab_step(&l, 1, (struct raft_event){.type = RAFT_TRANSFER, .to = peer_of(3)});
    assert_int_equal(l.node[1].out.refused, RAFT_ACCEPTED);
    lab_propose(&l, 1, SLICE("x"));
    assert_int_equal(l.node[1].out.refused, RAFT_LEAVING);
    lab_deliver(&l); /* no time passes: nobody's timeout has a part in it */
    assert_int_equal(l.node[3].r.role, RAFT_LEADER);
    assert_int_equal(l.node[1].r.role, RAFT_FOLLOWER);
    assert_int_equal(l.node[3].r.term, 3);
    lab_step(&l, 3, (struct raft_event){.type = RAFT_TRANSFER, .to = peer_of(9)});
    assert_int_equal(l.node[3].out.refused, RAFT_NO_SUCH_VOTER);
    lab_free(&l);
}

static void a_transfer_nobody_takes_is_given_up(void **state)
{
    (void)state;
    struct lab l = {0};
    for (unsigned i = 1; i <= 3; i++)
        lab_start(&l, i, voters_of(1, 3), "1", 1);
    lab_elect(&l, 1);
    l.node[3].is_there = false;
    lab_step(&l, 1, (struct raft_event){.type = RAFT_TRANSFER, .to = peer_of(3)});
    struct mono end = mono_after(l.now, LAB_T / 2);
    while (!mono_reached(l.now, end)) {
        lab_propose(&l, 1, SLICE("x"));
        assert_int_equal(l.node[1].out.refused, RAFT_LEAVING);
        lab_due(&l, 1);
        lab_deliver(&l);
        l.now = l.node[1].out.wake;
    }
    lab_due(&l, 1);
    lab_propose(&l, 1, SLICE("x"));
    assert_int_equal(l.node[1].out.refused, RAFT_ACCEPTED);
    l.node[3].is_there = true;
    lab_free(&l);
}

/* ------------------------------------------------------------------------- voters */

static void propose_voters(struct lab *l, unsigned i, struct raft_voters v)
{
    lab_step(l, i, (struct raft_event){.type = RAFT_VOTERS, .voters = &v});
}

static void a_group_is_founded_by_one_and_grows_by_one(void **state)
{
    (void)state;
    struct lab l = {0};
    for (unsigned i = 1; i <= 4; i++)
        lab_start(&l, i, (struct raft_voters){0}, NULL, 0);
    lab_step(&l, 1, (struct raft_event){.type = RAFT_FOUND});
    assert_true(raft_leads(&l.node[1].r));
    propose_voters(&l, 1, voters_of(1, 3));
    assert_int_equal(l.node[1].out.refused, RAFT_NOT_ONE);
    propose_voters(&l, 1, (struct raft_voters){0});
    assert_int_equal(l.node[1].out.refused, RAFT_NOT_ONE);
    struct raft_peer learner = peer_of(2);
    lab_step(&l, 1, (struct raft_event){.type = RAFT_LEARNERS, .learners = {&learner, 1}});
    lab_deliver(&l);
    uint64_t match;
    struct mono heard;
    assert_true(raft_contact(&l.node[1].r, &learner, &heard, &match));
    assert_int_equal(match, raft_log_last(&l.node[1].r.log)); /* a learner has all, */
    assert_false(raft_is_voter(&l.node[2].r));                /* and no vote */
    assert_true(l.node[2].out.wake.us == INT64_MAX);
    for (unsigned n = 2; n <= 3; n++) {
        propose_voters(&l, 1, voters_of(1, n));
        assert_int_equal(l.node[1].out.refused, RAFT_ACCEPTED);
        lab_deliver(&l);
        assert_int_equal(l.node[n].r.voters.n, n);
        assert_int_equal(l.node[1].r.commit, raft_log_last(&l.node[1].r.log));
    }
    lab_free(&l);
}

static void a_change_waits_for_the_one_before_and_for_the_own_term(void **state)
{
    (void)state;
    struct lab l = {0};
    for (unsigned i = 1; i <= 3; i++)
        lab_start(&l, i, voters_of(1, 3), "1", 1);
    lab_pass(&l, LAB_T);
    l.node[1].holds = l.node[2].holds = true; /* its first entry is not on any disk */
    lab_due(&l, 1);
    for (int i = 0; i < 4; i++) {
        lab_deliver(&l);
        if (l.node[1].r.role == RAFT_LEADER)
            break;
        lab_store(&l, 1);
    }
    assert_int_equal(l.node[1].r.role, RAFT_LEADER);
    assert_false(raft_leads(&l.node[1].r));
    propose_voters(&l, 1, voters_of(1, 2));
    assert_int_equal(l.node[1].out.refused, RAFT_TOO_SOON);
    for (unsigned i = 1; i <= 2; i++) {
        l.node[i].holds = false;
        lab_store(&l, i);
    }
    lab_deliver(&l);
    lab_due(&l, 1);
    lab_deliver(&l);
    l.node[2].is_there = l.node[3].is_there = false;
    propose_voters(&l, 1, voters_of(1, 2));
    assert_int_equal(l.node[1].out.refused, RAFT_ACCEPTED);
    assert_int_equal(l.node[1].r.voters.n, 2); /* in force at once (F6) */
    propose_voters(&l, 1, voters_of(1, 3));
    assert_int_equal(l.node[1].out.refused, RAFT_TOO_SOON);
    l.node[2].is_there = l.node[3].is_there = true;
    lab_free(&l);
}

static void voters_that_are_cut_are_none_any_more(void **state)
{
    (void)state;
    struct lab l = {0};
    lab_start(&l, 1, voters_of(1, 3), "1 1", 2);
    struct raft_voters four = voters_of(1, 4);
    char bytes[RAFT_VOTERS_BYTES];
    struct raft_entry e = {2, RAFT_ENTRY_VOTERS, slice_of(bytes, raft_voters_put(bytes, &four))};
    lab_recv(&l, 1, append_of(2, 2, 2, 1, 0, &e, 1));
    assert_int_equal(l.node[1].r.voters.n, 4);
    struct raft_entry other = {3, RAFT_ENTRY_NOOP, {0}};
    lab_recv(&l, 1, append_of(3, 3, 2, 1, 0, &other, 1));
    assert_int_equal(l.node[1].r.voters.n, 3);
    assert_int_equal(l.node[1].r.voters_index, 1);
    e.bytes.n--;
    lab_recv(&l, 1, append_of(3, 3, 3, 3, 0, &e, 1)); /* no voter set: nothing of it is taken */
    assert_int_equal(l.node[1].err, ERR_CORRUPT);
    lab_free(&l);
}

/* 1 made 4 a voter and told nobody but 4 of it; 2 leads since. */
static void begin_half_told(struct lab *l, char bytes[RAFT_VOTERS_BYTES])
{
    struct raft_voters four = voters_of(1, 4);
    struct raft_entry e[] = {{2, RAFT_ENTRY_OWNER, SLICE("x")},
                             {2, RAFT_ENTRY_VOTERS, slice_of(bytes, raft_voters_put(bytes, &four))},
                             {2, RAFT_ENTRY_OWNER, SLICE("y")}};
    lab_start(l, 4, voters_of(1, 3), "1 1", 1);
    lab_recv(l, 4, append_of(1, 2, 2, 1, 2, e, 3));
    assert_int_equal(l->node[4].r.voters.n, 4);
    lab_drop_sent(l, 4);
}

static void lab_committed(struct lab *l, unsigned i, uint64_t index, uint64_t term)
{
    lab_step(l, i, (struct raft_event){.type = RAFT_COMMITTED, .committed = {index, term}});
}

static void what_is_committed_elsewhere_cuts_what_differs_from_it(void **state)
{
    (void)state;
    char bytes[RAFT_VOTERS_BYTES], terms[64];
    for (uint64_t at = 3; at <= 5; at++) { /* the first one that differs */
        struct lab l = {0};
        begin_half_told(&l, bytes);
        struct raft *r = &l.node[4].r;
        l.node[4].holds = true;
        for (uint64_t i = 1; i < at; i++) {
            lab_committed(&l, 4, i, i <= 2 ? 1 : 2); /* what is equal stays, */
            assert_int_equal(l.node[4].err, ERR_OK);
            assert_int_equal(l.node[4].out.store.token, 0);
        }
        lab_committed(&l, 4, 9, 3); /* and what is beyond its end says nothing */
        assert_int_equal(raft_log_last(&r->log), 5);
        assert_int_equal(r->term, 2);
        lab_committed(&l, 4, at, 3);
        assert_int_equal(l.node[4].err, ERR_OK);
        assert_string_equal(lab_terms(r, terms, sizeof(terms)), at == 3 ? "1 1" : at == 4 ? "1 1 2" : "1 1 2 2");
        assert_int_equal(l.node[4].out.store.term, 3);
        assert_int_equal(r->voters.n, at <= 4 ? 3 : 4);
        assert_int_equal(r->commit, 2); /* it is not in its own log */
        lab_store(&l, 4);
        lab_free(&l);
    }
}

/* Its messages may come late. */
static void who_was_cut_is_not_believed_again(void **state)
{
    (void)state;
    char bytes[RAFT_VOTERS_BYTES];
    struct lab l = {0};
    begin_half_told(&l, bytes);
    lab_committed(&l, 4, 3, 3);
    struct raft_entry e = {2, RAFT_ENTRY_OWNER, SLICE("x")};
    lab_recv(&l, 4, append_of(1, 2, 2, 1, 2, &e, 1));
    assert_int_equal(raft_log_last(&l.node[4].r.log), 2);
    lab_pass(&l, LAB_T);
    lab_drop_sent(&l, 4);
    lab_due(&l, 4); /* and it campaigns in no group that it is not in */
    assert_null(lab_find(&l, 4, RAFT_MSG_PREVOTE));
    lab_free(&l);
}

static void whoever_campaigns_or_leads_with_it_does_no_more(void **state)
{
    (void)state;
    struct lab l = {0};
    for (unsigned i = 1; i <= 3; i++)
        lab_start(&l, i, voters_of(1, 3), "1 1", 1);
    lab_elect(&l, 1);
    lab_propose(&l, 1, SLICE("never told"));
    lab_committed(&l, 1, 4, 2); /* its own: that is no news */
    assert_int_equal(l.node[1].r.role, RAFT_LEADER);
    lab_committed(&l, 1, 4, 1); /* it would have had it when it was elected */
    assert_int_equal(l.node[1].err, ERR_CORRUPT);
    assert_int_equal(raft_log_last(&l.node[1].r.log), 4);
    lab_committed(&l, 1, 4, 3);
    assert_int_equal(l.node[1].r.role, RAFT_FOLLOWER);
    assert_int_equal(l.node[1].r.term, 3);
    assert_int_equal(raft_log_last(&l.node[1].r.log), 3);
    lab_committed(&l, 1, 3, 3); /* what is committed here is cut by nobody (F5) */
    assert_int_equal(l.node[1].err, ERR_CORRUPT);
    assert_int_equal(raft_log_last(&l.node[1].r.log), 3);
    lab_free(&l);
    l = (struct lab){0};
    lab_start(&l, 1, voters_of(1, 3), "1 1 2", 2);
    lab_pass(&l, LAB_T);
    lab_due(&l, 1);
    assert_int_equal(l.node[1].r.role, RAFT_PRECANDIDATE);
    lab_committed(&l, 1, 3, 1);
    assert_int_equal(l.node[1].r.role, RAFT_FOLLOWER); /* it asked for votes with a log that is no more */
    assert_int_equal(l.node[1].r.term, 2);
    lab_free(&l);
}

static void a_leader_that_is_no_voter_any_more_leaves_when_that_is_committed(void **state)
{
    (void)state;
    struct lab l = {0};
    for (unsigned i = 1; i <= 3; i++)
        lab_start(&l, i, voters_of(1, 3), "1", 1);
    lab_elect(&l, 1);
    propose_voters(&l, 1, voters_of(2, 3));
    assert_int_equal(l.node[1].r.role, RAFT_LEADER);
    lab_deliver(&l);
    assert_int_equal(l.node[1].r.role, RAFT_FOLLOWER);
    assert_int_equal(l.node[2].r.commit, 3);
    assert_true(l.node[1].out.wake.us == INT64_MAX); /* it never campaigns */
    lab_elect(&l, 2);
    assert_int_equal(l.node[2].r.role, RAFT_LEADER);
    lab_free(&l);
}

/* Of two voters 1 took itself out, and ends before 2 has heard of it: 2's log is behind, and 1 is in no set that it
 * knows of. */
static void who_took_itself_out_is_needed_until_that_is_committed(void **state)
{
    (void)state;
    struct lab l = {0};
    for (unsigned i = 1; i <= 2; i++)
        lab_start(&l, i, voters_of(1, 2), "1", 1);
    lab_elect(&l, 1);
    propose_voters(&l, 1, voters_of(2, 2));
    lab_drop_sent(&l, 1);
    lab_pass(&l, LAB_T);
    lab_due(&l, 1);
    assert_int_equal(l.node[1].r.role, RAFT_FOLLOWER);
    lab_drop_sent(&l, 1);
    lab_elect(&l, 2);
    assert_int_equal(l.node[2].r.role, RAFT_FOLLOWER); /* without 1's vote it is no majority */
    lab_elect(&l, 1);
    assert_int_equal(l.node[2].r.commit, 4);
    assert_int_equal(l.node[2].r.voters.n, 1);
    assert_int_equal(l.node[1].r.role, RAFT_FOLLOWER);
    assert_true(l.node[1].out.wake.us == INT64_MAX);
    lab_elect(&l, 2);
    assert_int_equal(l.node[2].r.role, RAFT_LEADER);
    lab_free(&l);
}

static void who_lost_its_log_is_somebody_else(void **state)
{
    (void)state;
    struct lab l = {0};
    lab_start(&l, 1, voters_of(1, 3), "1", 1);
    struct raft_msg m = vote_asked(2, 2, 9, 1);
    m.to = peer_of(1);
    m.to.data.b[0] = 7; /* the data-id that was before */
    lab_step(&l, 1, (struct raft_event){.type = RAFT_RECV, .msg = &m});
    assert_int_equal(l.node[1].sent_n, 0);
    lab_pass(&l, LAB_T);
    lab_due(&l, 1);
    struct raft_msg yes = {.type = RAFT_MSG_PREVOTE_ANSWER, .from = peer_of(2), .term = 1,
                           .vote_answer = {.campaign = 2, .granted = true}};
    yes.from.data.b[0] = 7;
    lab_recv(&l, 1, yes);
    assert_int_equal(l.node[1].r.role, RAFT_PRECANDIDATE); /* it has no vote here */
    lab_free(&l);
}

/* ------------------------------------------------------------------------- snapshots */

static char snapshot_bytes[LAB_SNAPSHOT];

static void leader_with_snapshot(struct lab *l, const char *follower)
{
    for (size_t i = 0; i < sizeof(snapshot_bytes); i++)
        snapshot_bytes[i] = (char)(i * 7 + i / 251);
    for (unsigned i = 1; i <= 3; i++)
        lab_start(l, i, voters_of(1, 3), i == 3 ? follower : "1 1 1", i == 3 ? 2 : 1);
    l->node[3].is_there = false;
    lab_elect(l, 1);
    static const char big[RAFT_ENTRY_BYTES];
    for (int i = 0; i < 3; i++)
        lab_propose(l, 1, slice_of(big, sizeof(big)));
    lab_deliver(l);
    assert_int_equal(l->node[1].r.applied, 7);
    lab_step(l, 1, (struct raft_event){.type = RAFT_TAKEN,
                                       .taken = {7, slice_of(snapshot_bytes, sizeof(snapshot_bytes))}});
    assert_int_equal(l->node[1].r.snapshot.is.index, 7);
    l->node[3].is_there = true;
}

static void the_log_is_cut_behind_a_snapshot_once_that_is_on_disk(void **state)
{
    (void)state;
    struct lab l = {0};
    leader_with_snapshot(&l, "1");
    struct raft *r = &l.node[1].r;
    assert_int_equal(r->log.first, 8); /* the greatest entry and its cost are more than is kept */
    for (int i = 0; i < 8; i++)
        lab_propose(&l, 1, SLICE("small"));
    lab_deliver(&l);
    l.node[1].holds = true;
    size_t waste = raft_log_waste(r);
    assert_true(waste > 0);
    lab_step(&l, 1, (struct raft_event){.type = RAFT_TAKEN, .taken = {r->applied, SLICE("s")}});
    assert_non_null(l.node[1].out.store.snapshot);
    assert_int_equal(raft_log_waste(r), 0);
    assert_int_equal(r->log.first, 8);
    lab_store(&l, 1);
    assert_int_equal(r->log.first, 8); /* a little is kept: who is little behind needs no snapshot */
    lab_free(&l);
}

static void who_is_too_far_behind_gets_the_snapshot_in_chunks(void **state)
{
    (void)state;
    struct lab l = {0};
    leader_with_snapshot(&l, "1");
    lab_pass(&l, LAB_T / 20);
    lab_due(&l, 1);
    lab_deliver(&l);
    lab_pass(&l, LAB_T / 20);
    lab_due(&l, 1);
    lab_deliver(&l);
    struct raft *r = &l.node[3].r;
    assert_int_equal(l.node[3].restored, 7);
    assert_int_equal(r->snapshot.is.bytes.n, sizeof(snapshot_bytes));
    assert_memory_equal(r->snapshot.is.bytes.p, snapshot_bytes, sizeof(snapshot_bytes));
    assert_int_equal(r->voters.n, 3);
    lab_propose(&l, 1, SLICE("after"));
    lab_deliver(&l);
    assert_int_equal(l.node[3].commands, 1);
    assert_int_equal(r->log.first, 8);
    lab_free(&l);
}

static struct raft_msg chunk(struct lab *l, size_t offset, size_t n)
{
    const struct raft_kept *k = &l->node[1].r.snapshot;
    return (struct raft_msg){
        .type = RAFT_MSG_SNAPSHOT, .from = peer_of(1), .term = l->node[1].r.term,
        .snapshot = {.index = k->is.index, .term = k->is.term, .voters = k->is.voters, .size = k->is.bytes.n,
                     .crc = k->crc, .offset = offset, .bytes = slice_of(k->is.bytes.p + offset, n)}};
}

static uint64_t wanted(struct lab *l, unsigned i)
{
    const struct raft_msg *a = lab_find(l, i, RAFT_MSG_SNAPSHOT_ANSWER);
    assert_non_null(a);
    return a->snapshot_answer.offset;
}

static void a_broken_off_snapshot_goes_on_where_it_stood(void **state)
{
    (void)state;
    struct lab l = {0};
    leader_with_snapshot(&l, "1");
    l.node[3].holds = true;
    lab_recv(&l, 3, chunk(&l, 0, 50000));
    lab_store(&l, 3); /* the term */
    assert_int_equal(wanted(&l, 3), 50000);
    lab_recv(&l, 3, chunk(&l, 60000, 50000)); /* one was lost */
    assert_int_equal(wanted(&l, 3), 50000);
    lab_recv(&l, 3, chunk(&l, 0, 50000)); /* one came twice */
    assert_int_equal(wanted(&l, 3), 50000);
    struct raft_msg twisted = chunk(&l, 50000, 50000);
    twisted.snapshot.bytes.p -= 1;
    lab_recv(&l, 3, twisted);
    for (size_t at = 100000; at < sizeof(snapshot_bytes); at += 50000)
        lab_recv(&l, 3, chunk(&l, at, 50000));
    assert_int_equal(wanted(&l, 3), 0); /* the whole did not hold: once more */
    assert_int_equal(l.node[3].restored, 0);
    for (size_t at = 0; at < sizeof(snapshot_bytes); at += 50000)
        lab_recv(&l, 3, chunk(&l, at, 50000));
    assert_int_equal(l.node[3].restored, 7);
    assert_true(l.node[3].out.store.is_reset);
    assert_int_equal(lab_find(&l, 3, RAFT_MSG_APPEND_ANSWER)->append_answer.match, 0);
    lab_store(&l, 3);
    assert_int_equal(lab_find(&l, 3, RAFT_MSG_APPEND_ANSWER)->append_answer.match, 7);
    struct raft_msg wrong = chunk(&l, 0, 50000);
    wrong.snapshot.size = RAFT_SNAPSHOT_BYTES + 1;
    lab_recv(&l, 3, wrong);
    assert_int_equal(l.node[3].err, ERR_CORRUPT);
    lab_free(&l);
}

/* For who is to read it first. */
static void the_last_piece_shows_the_whole_snapshot(void **state)
{
    (void)state;
    struct lab l = {0};
    leader_with_snapshot(&l, "1");
    l.node[3].holds = true;
    struct raft *r = &l.node[3].r;
    size_t last = sizeof(snapshot_bytes) - 50000, n = 0;
    for (size_t at = 0; at < last; at += 50000) {
        struct raft_msg m = chunk(&l, at, at + 50000 < last ? 50000 : last - at);
        assert_null(raft_snapshot_whole(r, &m, &n));
        lab_recv(&l, 3, m);
    }
    struct raft_msg m = chunk(&l, last, 50000), twisted = m, early = chunk(&l, last - 1, 50000);
    twisted.snapshot.bytes.p -= 1;
    assert_null(raft_snapshot_whole(r, &twisted, &n));
    assert_null(raft_snapshot_whole(r, &early, &n));
    char *whole = raft_snapshot_whole(r, &m, &n);
    assert_non_null(whole);
    assert_int_equal(n, sizeof(snapshot_bytes));
    assert_memory_equal(whole, snapshot_bytes, n);
    assert_int_equal(l.node[3].restored, 0); /* nothing is taken yet */
    mem_free(whole);
    lab_free(&l);
}

static void a_snapshot_of_what_is_there_leaves_the_log_alone(void **state)
{
    (void)state;
    struct lab l = {0};
    leader_with_snapshot(&l, "1 1 1 2 2 2 2 2");
    lab_recv(&l, 3, chunk(&l, 0, 100));
    assert_int_equal(l.node[3].restored, 0);
    assert_int_equal(raft_log_last(&l.node[3].r.log), 8);
    assert_int_equal(l.node[3].r.commit, 7);
    assert_int_equal(lab_find(&l, 3, RAFT_MSG_APPEND_ANSWER)->append_answer.match, 7);
    lab_free(&l);
}

static void what_is_loaded_must_fit_together(void **state)
{
    (void)state;
    struct raft r;
    struct raft_peer self = peer_of(1);
    struct raft_entry e[] = {{3, RAFT_ENTRY_OWNER, SLICE("a")}, {4, RAFT_ENTRY_OWNER, SLICE("b")}};
    struct raft_saved good = {.term = 4, .snapshot = {.index = 7, .term = 3, .voters = voters_of(1, 3)},
                              .first = 7, .entries = e, .n = 2};
    struct mono now = {0};
    assert_int_equal(raft_init(&r, &self, 1, LAB_T, now, &good), ERR_OK);
    assert_int_equal(raft_log_last(&r.log), 8);
    assert_int_equal(r.log.first, 8);
    assert_int_equal(r.applied, 7);
    assert_int_equal(r.voters.n, 3);
    raft_check(&r);
    raft_free(&r);
    struct raft_saved bad[] = {good, good, good, good};
    bad[0].first = 9;               /* a gap behind the snapshot */
    bad[1].term = 3;                /* an entry newer than the term */
    bad[2].snapshot.term = 2;       /* entry 7 is another one */
    bad[3].snapshot.voters.n = 0;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(raft_init(&r, &self, 1, LAB_T, now, &bad[i]), ERR_CORRUPT);
}

UNIT_TESTS(
    "raft",
    TEST(one_vote_a_term_and_it_is_on_disk_before_it_is_said, "one vote a term, on disk before it is said (F1, F3)"),
    TEST(a_vote_is_remembered_over_a_restart, "a vote is remembered over a restart (F1)"),
    TEST(a_vote_goes_to_a_log_as_new_as_ones_own, "figure 7: a vote goes to a log as new as one's own (3.6.1)"),
    TEST(a_prevote_changes_nothing, "a pre-vote changes neither term nor vote (9.6)"),
    TEST(who_hears_a_leader_helps_nobody_to_overthrow_it, "who heard a leader within T/2 gives no vote, but at its wish (F7)"),
    TEST(a_candidate_counts_its_own_vote_once_it_is_on_disk, "a candidate counts its own vote once it is on disk (F3)"),
    TEST(who_votes_while_it_asks_for_prevotes_asks_no_more, "who votes while it asks for prevotes asks no more (F11)"),
    TEST(patience_with_slow_disks_has_an_end, "patience with slow disks has an end (F11)"),
    TEST(the_election_timeout_is_drawn_from_its_range, "the election timeout is drawn from T/2 to 0.6 T, with T as it is now"),
    TEST(all_logs_of_figure_7_become_the_leaders, "figure 7: every follower's log becomes the leader's (F2)"),
    TEST(an_entry_of_an_older_term_is_not_committed_by_counting, "figure 8: an entry of an older term is not committed by counting (F4)"),
    TEST(an_answer_tells_only_what_is_on_disk, "an answer to APPEND tells only what is on disk (F3)"),
    TEST(a_leaders_own_share_counts_once_it_is_on_disk, "a leader's own share counts once it is on disk (F3)"),
    TEST(what_a_cut_took_away_is_not_stored_by_an_old_token, "an old token says nothing of entries that a cut replaced (F3)"),
    TEST(a_late_shorter_append_takes_nothing_back, "a late, shorter APPEND takes nothing back"),
    TEST(nothing_committed_is_contradicted, "what contradicts the committed is an error and changes nothing (F5)"),
    TEST(a_window_bounds_what_is_in_flight, "what is in flight and what is uncommitted is bounded"),
    TEST(a_leader_that_hears_no_majority_steps_down_after_half_of_t, "a leader that hears no majority steps down after T/2, no sooner (F8)"),
    TEST(one_follower_of_two_is_majority_enough, "with one follower of two alive it leads on"),
    TEST(leadership_is_handed_over_on_wish, "leadership is handed over on wish, without a timeout (3.10)"),
    TEST(a_transfer_nobody_takes_is_given_up, "a transfer that nobody takes is given up after T/2"),
    TEST(a_group_is_founded_by_one_and_grows_by_one, "a group is founded by one and grows by one (F6)"),
    TEST(a_change_waits_for_the_one_before_and_for_the_own_term, "a change waits for the one before it and for the own term (F6)"),
    TEST(voters_that_are_cut_are_none_any_more, "voters that are cut are none any more (F6)"),
    TEST(what_is_committed_elsewhere_cuts_what_differs_from_it, "what is committed elsewhere cuts what differs from it, and what follows that (F5)"),
    TEST(who_was_cut_is_not_believed_again, "a leader whose entries were cut so is not believed again"),
    TEST(whoever_campaigns_or_leads_with_it_does_no_more, "who campaigns or leads with what was cut so does no more, and nothing committed is cut (F5)"),
    TEST(a_leader_that_is_no_voter_any_more_leaves_when_that_is_committed, "a leader that is no voter any more leaves when that is committed (4.2.2)"),
    TEST(who_took_itself_out_is_needed_until_that_is_committed, "who took itself out is needed until that is committed (F6, 4.2.2)"),
    TEST(who_lost_its_log_is_somebody_else, "who lost its log is somebody else (F9)"),
    TEST(the_log_is_cut_behind_a_snapshot_once_that_is_on_disk, "the log is cut behind a snapshot once that is on disk (F10)"),
    TEST(who_is_too_far_behind_gets_the_snapshot_in_chunks, "who is too far behind gets the snapshot in chunks, and goes on"),
    TEST(a_broken_off_snapshot_goes_on_where_it_stood, "a snapshot that broke off goes on where it stood; a twisted one starts over"),
    TEST(the_last_piece_shows_the_whole_snapshot, "the last piece of a snapshot shows it whole before it is taken"),
    TEST(a_snapshot_of_what_is_there_leaves_the_log_alone, "a snapshot of what is there already leaves the log alone"),
    TEST(what_is_loaded_must_fit_together, "what is loaded must fit together"))

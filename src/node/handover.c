/* SPDX-License-Identifier: BSD-3-Clause */

/* Slots go to the node that placement wishes, once it is in sync with them (replication 26); where
 * there was never a record nothing is to be copied.
 *
 *     begun: nothing of the slots is run any more   commands of theirs are parked
 *       -> all that was recorded until then is held no gate waits for a record of theirs, and the
 *                                                   successor has every one: else they go on here
 *                                                   after a moment
 *       -> proposed, its fate not known             in doubt: told by this node's own applied map
 *                                                   alone
 *
 * Until it is known the way out is another proposal of the same n (12).
 *
 * Who is being stopped (27), or whose disk is in trouble (28), hands all it can to others, and
 * tells who replicates to it that it will hold nothing more: it leaves. After a failed disk it ends
 * once it serves nothing. */
#include "base/check.h"
#include "node/cluster.h"

enum { LEAVE_LOOKS = 20 };         /* in a timeout, and when the map changed */
enum { PREPARING_US = 50 * 1000 }; /* 26: so long its clients wait for what is on its way */

/* Not who leaves: until its lease has run out the map has it as UP. */
static bool may_take(const struct cluster *c, uint16_t place)
{
    const struct map_node *to = place < c->map.nodes.n ? &c->map.nodes.at[place] : NULL;
    return to != NULL && to->used && to->health == MAP_UP && !to->leaving && to->weight > 0 &&
           !repl_has_left(&c->replicas->repl, place);
}

/* Who is in sync with it beside this node, which leaves; else MAP_NOBODY. */
static uint16_t heir(const struct cluster *c, const struct map_slot *s)
{
    for (unsigned i = 0; i < s->isr_n; i++) {
        uint16_t to = s->isr[i];
        if (to != c->self.place && may_take(c, to) &&
            s->isr_incarnation[i] == c->map.nodes.at[to].incarnation)
            return to;
    }
    return MAP_NOBODY;
}

/* Whom this slot is for, if that is another and can take it; else MAP_NOBODY. */
static uint16_t wanted(const struct cluster *c, unsigned slot)
{
    const struct map_slot *s = &c->map.slots[slot];
    if (c->served[slot] == 0)
        return MAP_NOBODY;
    if (c->leaves || scrub_is_mine_bad(&c->replicas->repl, slot)) /* 27, 28; 29 */
        return heir(c, s);
    if (s->want_n == 0 || s->want[0] == c->self.place || !may_take(c, s->want[0]) ||
        scrub_keeps(&c->replicas->repl, slot, s->want[0]))
        return MAP_NOBODY;
    return s->want[0];
}

/* What is not run for now: what is about to be proposed, and what is in doubt. */
static void handing_is(struct cluster *c)
{
    for (size_t i = 0; i < SLOTS / 64; i++)
        c->handing.w[i] = c->doubted.w[i] | c->preparing.w[i];
}

static bool is_held(const struct cluster *c, unsigned slot)
{
    const struct repl *r = &c->replicas->repl;
    return repl_is_held(r, slot, repl_newest(r, slot), REPL_ASKS_NOTHING);
}

static bool is_in_doubt(const struct cluster *c)
{
    return c->handing_until.us != MONO_NEVER.us;
}

static void propose(struct node *n, uint16_t to, const struct bits *slots, struct node_out *out)
{
    struct cluster *c = n->cluster;
    if (!is_in_doubt(c)) /* else the map takes one of them (12) */
        c->replicas->repl.proposed_n++;
    struct map_entry e = {.type = MAP_HANDOVER,
                          .base = c->map.index,
                          .about = c->id,
                          .incarnation = c->self.incarnation};
    e.handover.n = c->replicas->repl.proposed_n;
    e.handover.empty = c->preparing_empty;
    e.handover.to = c->map.nodes.at[to].id;
    e.handover.to_incarnation = c->map.nodes.at[to].incarnation;
    e.handover.slots = *slots;
    for (size_t i = 0; i < SLOTS / 64; i++)
        c->doubted.w[i] |= slots->w[i]; /* those of an earlier one still are */
    for (unsigned slot = bits_next(slots, 0); slot < SLOTS; slot = bits_next(slots, slot + 1))
        if (c->preparing_empty || is_held(c, slot))
            bits_add(&c->proven, slot);
    c->handing_until = mono_after(n->now, 2 * map_timeout_us(&c->map.settings));
    *vec_add(&out->words) =
        (struct word){.type = WORD_PROPOSE, .entry = {.entry = map_entry_copy(&e)}};
}

/* The wish is gone, or what was wished is not ready: of this and the one in doubt the map takes
 * the first (12). */
static void propose_nothing(struct node *n, struct node_out *out)
{
    propose(n, n->cluster->self.place, &(struct bits){0}, out);
}

bool handover_waits(const struct node *n, unsigned slot)
{
    return wanted(n->cluster, slot) != MAP_NOBODY && store_slot_keys_n(&n->store, slot) > 0;
}

/* Is the successor in sync? */
static bool is_copied(const struct cluster *c, unsigned slot, uint16_t to)
{
    return map_isr_has(&c->map.slots[slot], to, c->map.nodes.at[to].incarnation);
}

/* May it begin anew there? That it has no keys now is not enough: the successor may have an old
 * copy, with those that were deleted since. */
static bool is_empty(const struct node *n, unsigned slot)
{
    return n->cluster->map.slots[slot].isr_n == 1 && n->slots[slot].at.seq == 0;
}

void handover_fate_known(struct cluster *c)
{
    c->doubted = c->proven = (struct bits){0};
    c->handing_until = MONO_NEVER;
    handing_is(c);
}

/* Gates that were failed wait for nothing any more, nor does this. */
static bool all_stored(const struct node *n, struct lsn upto)
{
    return lsn_reached(journal_stored(&n->journal), upto) || lsn_reached(n->gate_floor, upto);
}

/* By an operator, but not while it leaves. */
static bool is_paused(const struct node *n)
{
    return n->cluster->map.settings.rebalance_paused != 0 && !n->cluster->leaves;
}

/* It is not to be any more: paused, wished otherwise, or the successor has no lease now. */
static void forget_unwished(struct node *n)
{
    struct cluster *c = n->cluster;
    bool all = is_paused(n) || !repl_may_lead(&c->replicas->repl, c->preparing_for);
    for (unsigned slot = bits_next(&c->preparing, 0); slot < SLOTS;
         slot = bits_next(&c->preparing, slot + 1))
        if (all || wanted(c, slot) != c->preparing_for)
            bits_remove(&c->preparing, slot);
    handing_is(c);
    c->parked_at = n->now;
}

/* Everything of it is held by who must, and by the successor. */
static bool is_ready(const struct node *n, unsigned slot)
{
    const struct cluster *c = n->cluster;
    const struct repl *r = &c->replicas->repl;
    if (c->preparing_empty)
        return true;
    bool held =
        commit_refuses(n) != NULL /* 28: from memory, and what W do not hold nobody is told */
        || is_held(c, slot);
    return held && repl_holds(r, c->preparing_for, slot, repl_newest(r, slot));
}

/* Those that are not ready go on here when the moment is over. False: it is not. */
static bool all_ready(struct node *n)
{
    struct cluster *c = n->cluster;
    bool over = mono_reached(n->now, c->preparing_until);
    for (unsigned slot = bits_next(&c->preparing, 0); slot < SLOTS;
         slot = bits_next(&c->preparing, slot + 1)) {
        if (is_ready(n, slot))
            continue;
        if (!over)
            return false;
        bits_remove(&c->preparing, slot);
    }
    return true;
}

void handover_go_on(struct node *n, struct node_out *out)
{
    struct cluster *c = n->cluster;
    bool may = c->self.leased && c->replicas->repl.proposed_slots == 0;
    if (c->preparing_for == MAP_NOBODY)
        return;
    if (!may && mono_reached(n->now, c->preparing_until))
        c->preparing = (struct bits){0};
    else if (!may || (c->preparing_empty ? !all_stored(n, c->prepared_at) : !all_ready(n)))
        return;
    c->preparing_until = MONO_NEVER;
    forget_unwished(n);
    if (bits_next(&c->preparing, 0) < SLOTS)
        propose(n, c->preparing_for, &c->preparing, out);
    else if (may && is_in_doubt(c))
        propose_nothing(n, out);
    c->preparing = (struct bits){0};
    c->preparing_for = MAP_NOBODY;
    handing_is(c);
}

/* Slots for one successor, all with data, or all without. A member that is gone is taken out of the
 * in-sync set first: W of it might never hold everything. */
static uint16_t choose(const struct node *n, struct bits *slots, bool *empty)
{
    const struct cluster *c = n->cluster;
    uint16_t to = MAP_NOBODY;
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        uint16_t w = wanted(c, slot);
        if (w == MAP_NOBODY || (to != MAP_NOBODY && w != to) ||
            !repl_may_lead(&c->replicas->repl, w))
            continue;
        bool copied = is_copied(c, slot, w);
        if ((!copied && !is_empty(n, slot)) || (to != MAP_NOBODY && *empty == copied) ||
            !repl_isr_rests(&c->replicas->repl, slot))
            continue;
        to = w;
        *empty = !copied;
        bits_add(slots, slot);
    }
    return to;
}

void handover_look(struct node *n, struct node_out *out)
{
    struct cluster *c = n->cluster;
    struct bits slots = {0};
    bool in_doubt = is_in_doubt(c);
    bool refused = is_paused(n) || c->replicas->repl.proposed_slots > 0;
    if (n->loading || !c->self.leased || c->self.place == MAP_NOBODY ||
        c->preparing_for != MAP_NOBODY ||
        (in_doubt ? !mono_reached(n->now, c->handing_until) : refused))
        return;
    bool empty = false;
    uint16_t to = refused ? MAP_NOBODY : choose(n, &slots, &empty);
    if (to != MAP_NOBODY) {
        c->preparing = slots;
        c->preparing_empty = empty;
        c->preparing_until = empty ? MONO_NEVER : mono_after(n->now, PREPARING_US);
        c->preparing_for = to;
        c->prepared_at = n->journal.appended;
        handing_is(c);
    } else if (in_doubt) {
        propose_nothing(n, out);
    }
}

/* ------------------------------------------------------------------- leaving */

/* Nobody counts on this node any more: it is primary of nothing that another could be, and in no
 * other's in-sync set. */
bool cluster_is_left(const struct node *n)
{
    const struct cluster *c = n->cluster;
    if (c->self.place == MAP_NOBODY || !c->self.leased)
        return true;
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        const struct map_slot *s = &c->map.slots[slot];
        if (c->served[slot] != 0
                ? heir(c, s) != MAP_NOBODY
                : s->primary != MAP_NOBODY && map_isr_has(s, c->self.place, c->self.incarnation))
            return false;
    }
    return true;
}

static void leave_begins(struct node *n, const char *trouble)
{
    struct cluster *c = n->cluster;
    c->leaves = true;
    c->leave_at = n->now;
    c->leave_most = mono_after(n->now, (int64_t)n->options->shutdown_timeout * 1000000);
    guests_told(n);
    if (trouble != NULL && c->self.place != MAP_NOBODY)
        log_say(n->log, LOG_LEVEL_WARNING,
                "this node's slots go to who is in sync with them, and it follows no others: %s",
                trouble);
}

/* Who stays, or takes records again, is dialed again, and begins anew: what came meanwhile
 * was not taken. */
static void leave_ends(struct node *n, struct node_out *out)
{
    n->cluster->leaves = n->stop_asked;
    guests_end(n, out);
    if (!n->stop_asked && n->cluster->self.place != MAP_NOBODY)
        log_say(n->log, LOG_LEVEL_NOTICE, "this node takes part in replication again");
}

/* 28: nothing is served here that could be told in memory only; whoever still counts on it has had
 * time to learn. */
static bool may_end(const struct node *n)
{
    const struct cluster *c = n->cluster;
    return n->journal.state == JOURNAL_FAILED && !n->stop_asked && c->self.place != MAP_NOBODY &&
           c->mine_n == 0 && (cluster_is_left(n) || mono_reached(n->now, c->leave_most));
}

void cluster_leave_look(struct node *n, struct node_out *out)
{
    struct cluster *c = n->cluster;
    const char *trouble = commit_trouble(n);
    bool took_nothing = c->takes_nothing, leaves = n->stop_asked || trouble != NULL;
    c->takes_nothing = trouble != NULL;
    if (c->leaves && (!leaves || (took_nothing && trouble == NULL)))
        leave_ends(n, out);
    if (!c->leaves && leaves)
        leave_begins(n, trouble);
    if (!c->leaves || !mono_reached(n->now, c->leave_at))
        return;
    c->leave_at = mono_after(n->now, map_timeout_us(&c->map.settings) / LEAVE_LOOKS);
    handover_look(n, out);
    if (may_end(n)) {
        log_say(n->log, LOG_LEVEL_WARNING,
                "the disk failed, and no slot is served here any more: this node ends");
        stop_begin(n, NULL, true);
        /* 27: what is on its way here goes elsewhere, as at a stop that was asked for */
        n->stop_until = mono_after(n->now, map_timeout_us(&c->map.settings));
    }
}

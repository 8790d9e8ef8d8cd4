/* SPDX-License-Identifier: BSD-3-Clause */

/* maxmemory: who evicts what when memory is short.
 *
 * Alone it is this node, at once. In a cluster a node's memory holds copies, too, which only
 * their primaries evict (replication 8, N8, N21). Of what it is over maxmemory by a node takes
 * the part upon itself that its own keys are of all that could go here, and says in its acks
 * what it wants of whom of the rest. So keys go as from one pool, and nobody's own go first
 * because they are nearer. Only what the others do not get on with, and is more than
 * EVICT_SLACK, it evicts itself. */
#include <assert.h>

#include "node/cluster.h"

static_assert((int)MAXMEMORY_VOLATILE_LRU == (int)EVICT_VOLATILE_LRU &&
                  (int)MAXMEMORY_NOEVICTION == (int)EVICT_NOEVICTION,
              "the option's policies are the store's");

enum { EVICT_BUDGET_KEYS = 64 }; /* for one command that needs memory, and in one step */
/* Writers wait while more than one part in so many of maxmemory is to go. */
enum { EVICT_SLACK = 32 };
enum { COUNT_US = 100 * 1000 }; /* whose keys fill it is counted so often, while it is over */
/* Counts in which it did not get less, until writers are refused, here and at primaries of copies:
 * two seconds, which others that are busy need to get on. */
enum { STUCK_MOST = 20 };

static size_t memory_over(const struct node *n)
{
    size_t used = store_bytes(&n->store) + n->memory_beside;
    return n->memory_limit > 0 && used > n->memory_limit ? used - n->memory_limit : 0;
}

static size_t slack_of(const struct node *n)
{
    return n->memory_limit / EVICT_SLACK;
}

static enum evict_policy policy_of(const struct node *n)
{
    return (enum evict_policy)n->options->maxmemory_policy;
}

/* ------------------------------------------------------------ whose memory it is */

static struct repl_guest *guest_of(const struct node *n, uint16_t place)
{
    const struct replicas *r = n->cluster->replicas;
    /* MAP_NOBODY is no place */
    struct session *s = place < r->guests.n ? r->guests.at[place] : NULL;
    return s != NULL && s->guest->heard ? s->guest : NULL;
}

static void count(struct node *n)
{
    struct shortage *sh = &n->shortage;
    const struct map *m = &n->cluster->map;
    sh->own = sh->others = 0;
    for (uint16_t place = 0; place < n->cluster->replicas->guests.n; place++)
        if (guest_of(n, place) != NULL)
            guest_of(n, place)->evictable = 0;
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        size_t some = evict_candidates_n(&n->store, policy_of(n), slot);
        struct repl_guest *g =
            some > 0 && !own_has(n, slot) ? guest_of(n, m->slots[slot].primary) : NULL;
        if (g != NULL) {
            g->evictable += some;
            sh->others += some;
        } else if (own_has(n, slot)) {
            sh->own += some;
        }
    }
}

/* Where they do not get on, this node does what it can itself: at once, if it can. */
static void progress_look(struct node *n)
{
    struct shortage *sh = &n->shortage;
    sh->stuck = sh->over >= sh->over_then ? sh->stuck + (sh->stuck < STUCK_MOST) : 0;
    if (sh->left > slack_of(n) && sh->stuck >= (sh->own > 0 ? 1 : STUCK_MOST))
        sh->left = slack_of(n);
    sh->over_then = sh->over;
    sh->count_at = mono_after(n->now, COUNT_US);
    count(n);
}

/* It has nothing that could go, perhaps since its slots are another's now: all of it is left to
 * others, for whom writers wait while these get on. False: there are none, or they do not. */
static bool leave_all(struct node *n)
{
    struct shortage *sh = &n->shortage;
    if (n->cluster == NULL)
        return false;
    if (sh->own > 0) /* they are not, any more */
        count(n);
    if (sh->others == 0 || sh->stuck >= STUCK_MOST)
        return false;
    sh->left = sh->over;
    return true;
}

/* What of the bytes that it is over by is left to others. */
static size_t left_to_others(struct node *n)
{
    struct shortage *sh = &n->shortage;
    size_t over = memory_over(n);
    if (n->cluster == NULL)
        return 0;
    if (over == 0)
        sh->stuck = 0;
    else if (mono_reached(n->now, sh->count_at))
        progress_look(n);
    if (over > sh->over && sh->others > 0)
        sh->left += (size_t)((double)(over - sh->over) * (double)sh->others /
                             (double)(sh->own + sh->others));
    if (sh->others == 0)
        sh->left = 0;
    sh->left = sh->left < over ? sh->left : over;
    sh->over = over;
    return sh->left;
}

/* Whoever could let something go does not, or it makes no room. What is within the slack while it
 * has keys of its own it leaves as it is. */
static bool is_stuck(const struct node *n)
{
    const struct shortage *sh = &n->shortage;
    return sh->stuck >= STUCK_MOST && (sh->own == 0 || sh->over > slack_of(n));
}

void memory_tell(struct node *n, const struct repl_guest *g, struct repl_ack *to)
{
    const struct shortage *sh = &n->shortage;
    size_t left = left_to_others(n);
    if (sh->over > 0 && sh->own + sh->others == 0 && !g->told.full)
        count(n); /* before anybody is refused for it: links and slots may have come since */
    double of_all = sh->others > 0 ? (double)g->evictable / (double)sh->others : 0;
    to->full = sh->over > 0 && (sh->own + sh->others == 0 || is_stuck(n));
    /* with no key of its own that could go, all of it is others' */
    to->wants = sh->over > 0 ? (uint64_t)((double)(sh->own > 0 ? left : sh->over) * of_all) : 0;
}

/* ----------------------------------------------------------------- eviction */

static bool others_want(const struct node *n)
{
    return n->cluster != NULL && repl_is_wanted(&n->cluster->replicas->repl);
}

static bool is_where_memory_is_wanted(const struct evict_from *from, unsigned slot)
{
    const struct replicas *r = CONTAINER_OF(from, struct replicas, evict_from);
    return repl_wants(&r->repl, slot);
}

void memory_begin(struct replicas *r)
{
    r->evict_from.has = is_where_memory_is_wanted;
    evict_pool_init(&r->evict);
}

/* The next to go: for this node's own sake, or from where others want it. NULL: there is none. */
static const struct entry *pick(struct node *n, bool own, unsigned *db)
{
    struct replicas *r = own ? NULL : n->cluster->replicas;
    unsigned samples = (unsigned)n->options->maxmemory_samples;
    return evict_pick(&n->store, policy_of(n), samples, own ? &n->evict : &r->evict,
                      own ? NULL : &r->evict_from, db);
}

static void evict_one(struct node *n, const struct entry *e, unsigned db)
{
    struct key k = key_of(&n->store, entry_key(e));
    uint64_t began = latency_begin(n);
    size_t before = store_bytes(&n->store);
    n->evicted += due_drop(n, db, &k);
    size_t after = store_bytes(&n->store);
    latency_end(n, LATENCY_EVICTION_DEL, began);
    if (n->cluster != NULL)
        repl_relieved(&n->cluster->replicas->repl, k.slot, before > after ? before - after : 0);
}

/* A piece of the way down to maxmemory; what is left over is done between requests. false: the
 * policy lets nothing more go. */
static bool evict_keys(struct node *n)
{
    n->evicting = false;
    for (int tries = 0; tries < EVICT_BUDGET_KEYS; tries++) {
        bool own = memory_over(n) > left_to_others(n);
        if (!own && !others_want(n))
            return true;
        unsigned db;
        const struct entry *e = pick(n, own, &db);
        if (e != NULL)
            evict_one(n, e, db);
        else if (own)
            return leave_all(n);
        else
            repl_unrelieved(&n->cluster->replicas->repl);
    }
    n->evicting = true;
    return true;
}

static bool evict_some(struct node *n)
{
    uint64_t began = latency_begin(n);
    bool more = evict_keys(n);
    latency_end(n, LATENCY_EVICTION_CYCLE, began);
    return more;
}

/* May keys go now, and are there to? */
static bool is_to_evict(struct node *n)
{
    return due_may_drop(n) && commit_refuses(n) == NULL &&
           (memory_over(n) > left_to_others(n) || others_want(n));
}

/* A writer who waits, or is refused for another reason, needs nothing to go. */
bool memory_short(struct node *n)
{
    return is_to_evict(n) && !evict_some(n);
}

/* Not for what others do not get on with: progress_look leaves no more than the slack
 * to them then. */
bool memory_holds(const struct node *n)
{
    return (n->evicting || n->shortage.left > slack_of(n)) && memory_over(n) > slack_of(n);
}

/* Copies come without a writer of this node's. What cannot be evicted is told to
 * the next writer. */
void memory_step(struct node *n)
{
    bool goes_on = n->evicting || (n->cluster != NULL && !n->loading);
    n->evicting = false;
    if (goes_on && is_to_evict(n))
        (void)evict_some(n);
}

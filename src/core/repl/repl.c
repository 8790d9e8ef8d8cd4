/* SPDX-License-Identifier: BSD-3-Clause */

/* Birth, the map, and the links: what is forgotten when one of them changes. */
#include "core/repl/repl_inside.h"

#include "base/check.h"
#include "base/mem.h"

void repl_init(struct repl *r, struct repl_ops *ops, const struct map *map, struct lineage *slots,
               uint64_t backlog_bytes)
{
    *r = (struct repl){.ops = ops,
                       .map = map,
                       .slots = slots,
                       .self = MAP_NOBODY,
                       .propose_again = MONO_NEVER,
                       .scrub.again = SLOTS};
    r->primary = mem_zero(SLOTS * sizeof(*r->primary));
    r->replica = mem_zero(SLOTS * sizeof(*r->replica));
    r->places = mem_zero(SLOTS * sizeof(*r->places));
    backlog_init(&r->backlog, backlog_bytes);
}

static void peer_forget(struct repl_peer *peer)
{
    vec_free(&peer->awaited);
    vec_free(&peer->behind);
    vec_free(&peer->logs);
    peer->logs_at = 0;
    vec_free(&peer->dumps);
    vec_free(&peer->early);
}

void repl_free(struct repl *r)
{
    for (unsigned slot = 0; slot < SLOTS; slot++)
        primary_end(r, slot);
    for (size_t i = 0; i < r->peers.n; i++)
        peer_forget(&r->peers.at[i]);
    vec_free(&r->peers);
    vec_free(&r->to_join);
    mem_free(r->primary);
    mem_free(r->replica);
    mem_free(r->places);
    backlog_free(&r->backlog);
}

int64_t repl_timeout_us(const struct repl *r)
{
    return map_timeout_us(&r->map->settings);
}

struct repl_peer *peer_at(struct repl *r, uint16_t place)
{
    while (r->peers.n <= place)
        *vec_add(&r->peers) = (struct repl_peer){0};
    return &r->peers.at[place];
}

const struct repl_peer *peer_known(const struct repl *r, uint16_t place)
{
    return place < r->peers.n ? &r->peers.at[place] : NULL;
}

/* ---------------------------------------------------------------------- time */

/* A process that stood still has what came meanwhile before it, unread: no more of that time counts
 * against others than a look takes (14). */
void repl_clock(struct repl *r, struct mono now, uint64_t appended, uint64_t stored,
                uint64_t synced, uint64_t kept)
{
    int64_t passed = now.us - r->now.us, most = map_lease_us(r->map) / 10;
    r->ran.us += passed < most ? passed : most;
    r->now = now;
    r->appended = appended;
    r->stored = stored;
    r->synced = synced;
    r->kept = kept > stored ? kept : stored;
}

/* ------------------------------------------------------------------ the map */

void repl_map(struct repl *r, uint16_t self, uint32_t incarnation, const uint64_t *served,
              const struct bits *slots)
{
    r->self = self;
    r->incarnation = incarnation;
    isr_map(r);
    bits_add_all(&r->restless, slots);
    r->stirs = true;
    if (served == NULL)
        return;
    for (unsigned slot = bits_next(slots, 0); slot < SLOTS; slot = bits_next(slots, slot + 1)) {
        primary_map(r, slot, served[slot]);
        replica_map(r, slot);
    }
    if (r->settle_ver != r->map->quorum_ver)
        r->settle_again = r->now;
    r->settle_ver = r->map->quorum_ver;
    scrub_map(r);
    primary_mapped(r);
    replica_mapped(r, slots);
}

/* ---------------------------------------------------------------- the links */

static void say_alive(struct repl *r, uint16_t place)
{
    struct repl_peer *peer = &r->peers.at[place];
    peer->said = r->now;
    peer->sent = r->appended;
    r->ops->say(r->ops, place, true,
                &(struct repl_message){.type = REPL_ALIVE, .lsn = r->appended});
}

/* It says something at once: who is called speaks only then. */
void repl_peer_opened(struct repl *r, uint16_t place, uint32_t incarnation)
{
    struct repl_peer *peer = peer_at(r, place);
    check(!peer->open);
    peer->open = true;
    peer->leaves = peer->has_no_log = peer->leased = false;
    peer->incarnation = incarnation;
    peer->sent = peer->held = peer->synced = 0;
    peer->wants = peer->relieved = 0;
    peer->heard = r->ran;
    peer->grew = (struct mono){0};
    peer->bigs_n = 0;
    peer->big_mib = 0;
    peer->samples_n = 0;
    say_alive(r, place);
}

void repl_peer_closed(struct repl *r, uint16_t place)
{
    struct repl_peer *peer = peer_at(r, place);
    if (!peer->open)
        return;
    peer->open = false;
    peer->samples_n = 0;
    peer_is_full(r, peer, false);
    peer_forget(peer);
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        struct copy *c = copy_at(r, slot, place);
        if (c != NULL)
            copy_turns(r, slot, c, COPY_AWAY); /* 4 */
    }
    r->look = true;
}

void repl_guest_opened(struct repl *r, uint16_t place, uint32_t incarnation)
{
    struct repl_peer *peer = peer_at(r, place);
    repl_guest_closed(r, place); /* a reconnect supersedes (14) */
    peer->guest = true;
    peer->guest_incarnation = incarnation;
    replica_ask(r, place);
}

void repl_guest_closed(struct repl *r, uint16_t place)
{
    struct repl_peer *peer = peer_at(r, place);
    if (!peer->guest)
        return;
    peer->guest = false;
    for (unsigned slot = 0; slot < SLOTS; slot++)
        if (r->replica[slot].primary == place)
            r->replica[slot].state = REPLICA_NONE;
}

/* --------------------------------------------------------------------- time */

void repl_alive(struct repl *r)
{
    for (uint16_t place = 0; place < r->peers.n; place++) {
        const struct repl_peer *peer = &r->peers.at[place];
        if (peer->open && mono_reached(r->now, mono_after(peer->said, map_lease_us(r->map) / 10)))
            say_alive(r, place);
    }
    if (mono_reached(r->now, r->ask_again)) {
        r->ask_again = mono_after(r->now, repl_timeout_us(r) / 10);
        replica_ask_again(r);
        scrub_tell_bad(r);
    }
}

bool repl_is_silent(const struct repl *r, uint16_t place)
{
    const struct repl_peer *peer = peer_known(r, place);
    return peer != NULL && peer->open &&
           mono_reached(r->ran,
                        mono_after(peer->heard, map_wait_us(r->map) / 2 + peer_big_us(peer)));
}

void repl_check(const struct repl *r)
{
    unsigned proposed = 0, doubt = 0, copies = 0, wanted = 0;
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        const struct primary_slot *p = &r->primary[slot];
        lineage_check(&r->slots[slot]);
        check(p->epoch != 0 || (p->copies_n == 0 && !p->in_doubt));
        check(p->newest <= r->appended);
        check(repl_has_copies(r, slot) == (p->copies_n > 0));
        check(!p->proposed || p->in_doubt);
        check(bits_has(&r->doubt, slot) == p->in_doubt);
        /* R15 */
        check(r->look || p->copies_n == 0 || bits_has(&r->restless, slot) ||
              isr_is_at_rest(r, slot));
        check(r->asked || r->replica[slot].state != REPLICA_ASKED);
        proposed += p->proposed;
        doubt += p->in_doubt;
        copies += p->copies_n;
        for (unsigned k = 0; k < p->copies_n; k++) {
            const struct copy *c = &p->copies[k];
            const struct repl_peer *peer = peer_known(r, c->place);
            /* R6 */
            check(c->state == COPY_AWAY ||
                  (peer != NULL && peer->open && peer->incarnation == c->incarnation));
            check(c->place != r->self);
        }
    }
    check(proposed == r->proposed_slots && doubt == r->doubt_n);
    for (size_t i = 0; i < r->peers.n; i++) {
        wanted += r->peers.at[i].wanted;
        check(r->peers.at[i].synced <= r->peers.at[i].held &&
              r->peers.at[i].held <= r->peers.at[i].sent); /* R7 */
    }
    check(copies == wanted);
}

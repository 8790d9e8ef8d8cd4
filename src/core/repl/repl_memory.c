/* SPDX-License-Identifier: BSD-3-Clause */

/* Memory of the nodes that have copies (R13): they evict none of them themselves (replication 8),
 * and ask the primary. */
#include "core/repl/repl_inside.h"

void peer_is_full(struct repl *r, struct repl_peer *peer, bool full)
{
    r->full_turned |= peer->full != full;
    peer->full = full;
}

/* It says so as of what it holds. Once it is full that stays so until it wants nothing: a little
 * that may go makes no room. */
void peer_wants(struct repl *r, struct repl_peer *peer, const struct repl_ack *a)
{
    if (peer->held >= peer->relieved)
        peer->wants = a->wants;
    if (a->full || a->wants == 0)
        peer_is_full(r, peer, a->full);
    r->wanted |= peer->wants > 0;
}

/* Of the slot's k-th copy, if there is a link to it. */
static struct repl_peer *peer_of(const struct repl *r, unsigned slot, unsigned k)
{
    uint16_t place = r->primary[slot].copies[k].place;
    return place < r->peers.n && r->peers.at[place].open ? &r->peers.at[place] : NULL;
}

bool repl_wants(const struct repl *r, unsigned slot)
{
    for (unsigned k = 0; k < r->primary[slot].copies_n; k++) {
        const struct repl_peer *peer = peer_of(r, slot, k);
        if (peer != NULL && peer->wants > 0)
            return true;
    }
    return false;
}

static void wanted_look(struct repl *r)
{
    r->wanted = false;
    for (size_t i = 0; i < r->peers.n && !r->wanted; i++)
        r->wanted = r->peers.at[i].open && r->peers.at[i].wants > 0;
}

void repl_relieved(struct repl *r, unsigned slot, uint64_t bytes)
{
    for (unsigned k = 0; k < r->primary[slot].copies_n; k++) {
        struct repl_peer *peer = peer_of(r, slot, k);
        if (peer == NULL || peer->wants == 0)
            continue;
        peer->wants -= bytes < peer->wants ? bytes : peer->wants;
        peer->relieved = r->appended;
        if (peer->wants == 0)
            peer_is_full(r, peer, false);
    }
    wanted_look(r);
}

void repl_unrelieved(struct repl *r)
{
    for (size_t i = 0; i < r->peers.n; i++)
        r->peers.at[i].wants = 0;
    r->wanted = false;
}

bool repl_is_full(const struct repl *r, unsigned slot)
{
    for (unsigned k = 0; k < r->primary[slot].copies_n; k++) {
        const struct repl_peer *peer = peer_of(r, slot, k);
        if (peer != NULL && peer->full)
            return true;
    }
    return false;
}

bool repl_full_turned(struct repl *r)
{
    bool turned = r->full_turned;
    r->full_turned = false;
    return turned;
}

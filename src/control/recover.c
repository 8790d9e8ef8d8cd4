/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/recover.h"

#include <stdio.h>

#include "base/check.h"
#include "base/mem.h"
#include "core/map/map_entry.h"
#include "wire/wire_map.h"

/* ---------------------------------------------------------------------- the look */

static enum err replay(struct recover *r, const struct raft_saved *saved, char *why)
{
    const struct raft_snapshot *s = &saved->snapshot;
    r->last = s->index;
    r->last_term = s->term;
    r->voters = s->voters;
    if (s->index > 0)
        TRY(get_map(s->bytes, s->index, &r->map, why));
    for (size_t i = 0; i < saved->n; i++) {
        const struct raft_entry *e = &saved->entries[i];
        uint64_t index = saved->first + i;
        struct map_entry *entry;
        if (index <= s->index)
            continue;
        if (e->type == RAFT_ENTRY_VOTERS)
            TRY(raft_voters_get(&r->voters, e->bytes));
        if (e->type == RAFT_ENTRY_OWNER) {
            TRY(get_map_entry(e->bytes, &entry, why));
            (void)map_apply(&r->map, index, entry);
            map_entry_free(entry);
        }
        r->map.index = r->last = index;
        r->last_term = e->term;
    }
    return ERR_OK;
}

/* A recovery was cut short: its log is the new group's, and this node votes as before. */
static bool is_half_done(const struct recover *r)
{
    struct raft_peer self = {r->identity.node, r->identity.voter};
    return r->last > 0 && r->last % RECOVER_INDEXES == 0 && r->voters.n == 1 &&
           node_id_equal(&r->voters.at[0].node, &self.node) &&
           !raft_peer_equal(&r->voters.at[0], &self);
}

static const char *unfit(const struct recover *r, const struct identity *id,
                         const struct raft_loaded *loaded)
{
    struct raft_peer self = {id->node, id->voter};
    if (!id->is_known || !id->in_cluster)
        return "the node of this directory is in no cluster";
    if (loaded->is_empty)
        return "the node of this directory has no log of the controllers: it did not vote. Take "
               "one that did";
    if (map_find(&r->map, &id->node) == MAP_NOBODY)
        return "the cluster has removed the node of this directory: take another voter";
    if (is_half_done(r))
        return NULL;
    if (!raft_voters_has(&r->voters, &self))
        return "the node of this directory did not vote any more when its log ended: take one that "
               "did";
    if (r->voters.n == 1)
        return "the node of this directory is the only voter there is: start it, nothing else is "
               "needed";
    return NULL;
}

enum err recover_look(struct recover *r, const struct identity *identity,
                      const struct raft_loaded *loaded, const char *node_file,
                      char why[WIRE_WHY_BYTES])
{
    *r = (struct recover){.identity = *identity, .node_file = node_file};
    map_init(&r->map);
    raft_file_init(&r->file, loaded);
    r->term = loaded->saved.term + RECOVER_TERMS;
    TRY(replay(r, &loaded->saved, why));
    const char *not = unfit(r, identity, loaded);
    if (not == NULL)
        return ERR_OK;
    snprintf(why, WIRE_WHY_BYTES, "%s", not );
    return ERR_NOT_FOUND;
}

/* ---------------------------------------------------------------------- what is to be */

/* Who was primary or in sync by entries that are lost is not known: every slot is electing, at an
 * epoch that nobody has records of. */
static void slots_without_primary(struct map *m)
{
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        struct map_slot *s = &m->slots[slot];
        if (s->epoch == 0)
            continue;
        s->epoch += RECOVER_EPOCHS;
        s->primary = MAP_NOBODY;
        s->ver = m->index;
    }
    m->slots_ver = m->index;
}

void recover_begin(struct recover *r, const struct data_id *voter)
{
    uint16_t self = map_find(&r->map, &r->identity.node);
    check(r->stage == RECOVER_LOOKS && self != MAP_NOBODY);
    if (is_half_done(r)) {
        r->identity.voter = r->voters.at[0].data;
        r->stage = RECOVER_SNAPSHOT;
        return;
    }
    r->map.index = (recover_group(r->last) + 1) * RECOVER_INDEXES;
    r->map.nodes_ver = r->map.index;
    r->map.nodes.at[self].voter = r->identity.voter = *voter;
    slots_without_primary(&r->map);
    r->stage = RECOVER_BEGUN;
}

/* First the term: a snapshot is never of a later one than the log (raft_init). */
static void store_term(struct recover *r)
{
    raft_file_store(&r->file, &(struct raft_store){.token = 1, .has_state = true, .term = r->term});
}

static void store_snapshot(struct recover *r)
{
    struct chain bytes = {0};
    put_map(&bytes, &r->map);
    size_t n;
    char *flat = chain_flat(&bytes, NULL, &n);
    struct raft_snapshot s = {.index = r->map.index,
                              .term = r->term,
                              .voters = {1, {{r->identity.node, r->identity.voter}}},
                              .bytes = slice_of(flat, n)};
    raft_file_store(&r->file, &(struct raft_store){.token = 2, .snapshot = &s, .is_reset = true});
    mem_free(flat);
}

void recover_step(struct recover *r, struct disk_done *done, struct disk_ops *out)
{
    char text[RECOVER_WHAT_BYTES];
    int ignored;
    if (done != NULL && disk_asker(done->token) == ASKER_RAFT)
        raft_file_done(&r->file, done);
    else if (done != NULL)
        steps_done(&r->steps, done);
    if (recover_failed(r, text, &ignored) != NULL)
        return;
    raft_file_run(&r->file, out); /* what was torn is cut before all else */
    steps_run(&r->steps, out);
    if (!raft_file_is_idle(&r->file) || !steps_idle(&r->steps))
        return;
    switch (r->stage) {
    case RECOVER_BEGUN:
        store_term(r);
        r->stage = RECOVER_TERM;
        break;
    case RECOVER_TERM:
        store_snapshot(r);
        r->stage = RECOVER_SNAPSHOT;
        break;
    case RECOVER_SNAPSHOT:
        /* the node's file last: the log tells what it is to say (is_half_done) */
        identity_store(&r->steps, r->node_file, &r->identity);
        r->stage = RECOVER_NODE_FILE;
        break;
    case RECOVER_NODE_FILE: r->stage = RECOVER_DONE; return;
    case RECOVER_LOOKS:
    case RECOVER_DONE: return;
    }
    raft_file_run(&r->file, out);
    steps_run(&r->steps, out);
}

const char *recover_failed(const struct recover *r, char to[RECOVER_WHAT_BYTES], int *system_errno)
{
    if (r->steps.failed == NULL)
        return raft_file_failed(&r->file, to, RECOVER_WHAT_BYTES, system_errno);
    snprintf(to, RECOVER_WHAT_BYTES, "%s of %s failed", r->steps.failed, r->steps.failed_name);
    *system_errno = r->steps.system_errno;
    return to;
}

void recover_free(struct recover *r)
{
    map_free(&r->map);
    raft_file_free(&r->file);
    steps_free(&r->steps);
}

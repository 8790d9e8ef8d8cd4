/* SPDX-License-Identifier: BSD-3-Clause */

/* The start: the log is read back, clients meanwhile get -LOADING.
 *
 * The shell (or the simulator) reads files, the node says what they hold. While it loads, nothing
 * expires and nothing is recorded. */
#include <assert.h>
#include <stdio.h>

#include "base/check.h"
#include "node/cluster.h"
#include "node/replay.h"
#include "node/state.h"

/* A few hundred microseconds: clients asking for INFO do not wait long. */
enum { LOAD_STEP_COMMANDS = 256 };

void load_begin(struct node *n)
{
    n->load = mem_zero(sizeof(*n->load));
    aof_open(&n->load->reader, &(struct aof_options){.dbs_n = n->store.dbs_n,
                                                     .slots = n->store.is_slotted ? n->slots : NULL,
                                                     .cut_torn = n->options->aof_load_truncated,
                                                     .dir = n->options->appenddirname});
    n->loading = true;
}

void load_free(struct node *n)
{
    if (n->load == NULL)
        return;
    aof_batch_free(&n->load->batch);
    mem_free(n->load);
    n->load = NULL;
}

void load_file(struct node *n, const struct node_event *ev)
{
    aof_file(&n->load->reader, ev->load_file.name, ev->load_file.is_base, ev->load_file.size);
    n->load->bytes_total = ev->load_file.bytes_total;
}

void load_bytes(struct node *n, const struct node_event *ev, struct node_out *out)
{
    struct load *l = n->load;
    aof_batch_clear(&l->batch);
    out->load_used = aof_feed(&l->reader, ev->load_bytes.in, ev->load_bytes.at_end, &l->batch,
                              LOAD_STEP_COMMANDS);
    out->load_want = aof_want(&l->reader);
    out->load_commands = l->batch.commands.n;
    l->bytes_done += out->load_used;
    const struct aof_command *failed;
    const char *why = replay_batch(n, &l->batch, REPLAY_ANY, &failed);
    if (why != NULL)
        aof_refuse(&l->reader, failed, why);
}

static unsigned frozen_n(const struct node *n)
{
    unsigned frozen = 0;
    for (unsigned slot = 0; slot < node_slots_n(n); slot++)
        frozen += n->slots[slot].frozen;
    return frozen;
}

void load_end(struct node *n, struct node_out *out)
{
    struct aof_reader *r = &n->load->reader;
    out->loaded.verdict = aof_verdict(r);
    out->loaded.bad_file = r->bad_file;
    out->loaded.bad_offset = r->bad_offset;
    static_assert(sizeof(out->loaded.text) == sizeof(r->text), "the reader's text fits");
    memcpy(out->loaded.text, r->text, sizeof(r->text));
    out->loaded.commands_n = r->commands_n;
    out->loaded.lost = r->lost_bytes > 0;
    out->loaded.clean = n->load->clean = r->is_clean && out->loaded.verdict == AOF_WHOLE;
    out->loaded.frozen_n = frozen_n(n);
    if (!n->store.is_slotted)
        n->slots[SLOT_ALONE] = r->alone;
    for (unsigned i = 0; n->store.is_slotted && i < STORE_SPARES; i++)
        store_spare_flush(&n->store, i); /* a dump without its end (replication 23) */
    journal_free(&n->journal);
    journal_init(&n->journal, n->journal.policy, false, n->slots, node_slots_n(n), r->db);
}

static void tell_frozen(const struct node *n)
{
    unsigned frozen = frozen_n(n);
    if (frozen > 0)
        log_say(
            n->log, LOG_LEVEL_WARNING,
            "the log lacks records of %u slots: they stand where the gap is until they have synced",
            frozen);
}

/* A lone log goes on as a cluster's: from its mark on nothing else can read it. */
static void convert(struct node *n)
{
    struct effects e = {0};
    effect_begin(&e, 0, 1);
    effect_arg(&e, SLICE("VONG.CLUSTER"));
    aof_convert(n->slots);
    journal_mark(&n->journal, &e.bytes);
    journal_sync_soon(&n->journal);
    effects_free(&e);
    log_say(n->log, LOG_LEVEL_NOTICE,
            "the log of a lone server becomes that of a cluster's node, for good");
}

/* The files are as the verdict wants them, and the newest increment is open: clients may come. */
void load_ready(struct node *n, const struct node_event *ev)
{
    if (ev->log_ready.startup != NULL)
        rewrite_found(&n->rewrite, ev->log_ready.startup);
    if (!n->loading)
        return; /* appendonly no: what lies there is only to be known, should it be switched on */
    journal_start(&n->journal, ev->log_ready.handle, ev->log_ready.name, ev->log_ready.size);
    tell_frozen(n);
    if (n->store.is_slotted && n->load->reader.form == AOF_FORM_LONE)
        convert(n);
    if (n->load->reader.lost_bytes > 0)
        journal_settle_loss(&n->journal);
    if (n->cluster != NULL) {
        bool is_new = ev->log_ready.startup != NULL && ev->log_ready.startup->reads.n == 0;
        cluster_run_begins(n, &n->load->reader.run, n->load->clean,
                           is_new || n->load->reader.lost_bytes > 0);
    }
    load_free(n);
    n->loading = false;
    options_applied(n); /* appendonly may have been switched off meanwhile */
}

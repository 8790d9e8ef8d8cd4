/* SPDX-License-Identifier: BSD-3-Clause */

/* What follows from the options for the data plane: the derived values that the hot path reads. */
#include "node/cluster.h"

enum { TIME_ALL_BELOW_US = 1000 }; /* a limit that a brief command could reach */

static enum journal_policy journal_policy_of(enum appendfsync a)
{
    switch (a) {
    case APPENDFSYNC_NO: return JOURNAL_NO;
    case APPENDFSYNC_EVERYSEC: return JOURNAL_EVERYSEC;
    case APPENDFSYNC_ALWAYS: return JOURNAL_ALWAYS;
    }
    return JOURNAL_EVERYSEC;
}

void options_applied(struct node *n)
{
    const struct options *o = n->options;
    bool lfu = o->maxmemory_policy == MAXMEMORY_VOLATILE_LFU ||
               o->maxmemory_policy == MAXMEMORY_ALLKEYS_LFU;
    n->cmd_config.string_max_bytes = o->proto_max_bulk_len;
    n->cmd_config.lfu_log_factor = n->store.lfu_log_factor = (int)o->lfu_log_factor;
    n->cmd_config.lfu_decay_minutes = n->store.lfu_decay_minutes = (int)o->lfu_decay_time;
    n->cmd_config.lfu = n->store.lfu = lfu;
    n->memory_limit = (size_t)o->maxmemory;
    (void)memory_short(n); /* down to a lower limit at once, not at the next write */
    n->time_all = o->slowlog_log_slower_than >= 0 && o->slowlog_log_slower_than < TIME_ALL_BELOW_US;
    journal_set_policy(&n->journal, journal_policy_of(o->appendfsync));
    if (n->cluster != NULL && n->cluster->replicas != NULL)
        replicate_options(n);
    bool is_on = n->rewrite.wants_on || (n->journal.state != JOURNAL_OFF && !n->journal.stopping);
    if (o->appendonly != is_on && !n->loading) /* else once what is there has been read */
        rewrite_turn(&n->rewrite, o->appendonly, n->now);
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* What the whole cluster is set to, as this node's options: once there is a cluster they show
 * what its map says, in CONFIG GET and REWRITE. What a configuration file says else seeds a
 * new cluster only. */
#include "base/num.h"
#include "node/cluster.h"

/* Settings that have a directive, and its field; text: as the word it is. */
#define SETTING_OPTIONS(number, text)                                          \
    number("replication-factor", replication_factor)                           \
        number("cluster-node-timeout", cluster_node_timeout)                   \
            number("min-replicas-to-write", min_replicas_to_write)             \
                number("cluster-voters", cluster_voters)                       \
                    number("cluster-evict-after", cluster_evict_after)         \
                        number("cluster-scatter-width", cluster_scatter_width) \
                            text("write-quorum", write_quorum)

struct slice setting_of_option(struct slice option)
{
    const struct map_setting *row = map_setting_find(option);
    bool has_option = row != NULL && !slice_is(option, "rebalance-paused");
    return has_option ? slice_str(row->name) : (struct slice){NULL, 0};
}

static void say_ignored(struct node *n, enum option id, const char *name, struct slice own,
                        struct slice cluster)
{
    if (!n->options->given[id] || n->cluster->follows_settings)
        return;
    log_say(n->log, LOG_LEVEL_NOTICE,
            "%s %.*s of the configuration is not followed: the cluster has %.*s, and CONFIG SET "
            "changes it",
            name, (int)own.n, own.p, (int)cluster.n, cluster.p);
}

static void number_follows(struct node *n, enum option id, const char *name, int64_t *to)
{
    char own[NUM_I64_CHARS], text[MAP_SETTING_CHARS];
    const struct map_setting *row = map_setting_find(slice_str(name));
    int64_t v = map_setting_value(&n->cluster->map.settings, row);
    if (*to == v)
        return;
    say_ignored(n, id, name, slice_of(own, num_put_i64(own, *to)), map_setting_text(row, v, text));
    *to = v;
}

static void text_follows(struct node *n, enum option id, const char *name, char **to)
{
    char text[MAP_SETTING_CHARS];
    const struct map_setting *row = map_setting_find(slice_str(name));
    struct slice v = map_setting_text(row, map_setting_value(&n->cluster->map.settings, row), text);
    if (slice_is(v, *to))
        return;
    say_ignored(n, id, name, slice_str(*to), v);
    mem_free(*to);
    *to = mem_text(v.p, v.n);
}

void settings_follow(struct node *n)
{
    if (n->cluster->map.nodes.n == 0) /* no cluster yet, though its log has begun perhaps */
        return;
#define NUMBER(name, field) number_follows(n, OPTION_##field, name, &n->options->field);
#define TEXT(name, field) text_follows(n, OPTION_##field, name, &n->options->field);
    SETTING_OPTIONS(NUMBER, TEXT)
#undef NUMBER
#undef TEXT
    n->cluster->follows_settings = true;
}

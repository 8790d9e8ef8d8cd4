/* SPDX-License-Identifier: BSD-3-Clause */

#include "core/map/map_setting.h"

#include <stddef.h>

#include "base/num.h"

#define AT(field) offsetof(struct map_settings, field)

const struct map_setting map_setting_rows[MAP_SETTINGS] = {
    /*  name                      least  most               also            preset odd */
    {"replication-factor", 1, MAP_COPIES, 0, 2, false, AT(replication_factor)},
    {"write-quorum", 0, MAP_COPIES, MAP_W_MAJORITY, 0, false, AT(write_quorum)},
    {"cluster-node-timeout", 100, 600000, 0, 1000, false, AT(node_timeout_ms)},
    {"min-replicas-to-write", 0, MAP_COPIES - 1, 0, 0, false, AT(min_replicas)},
    {"cluster-voters", 1, 5, 0, 5, true, AT(voters)},
    {"cluster-evict-after", 0, 31536000, 0, 600, false, AT(evict_after_s)},
    {"cluster-scatter-width", 2, MAP_NODES, 0, 8, false, AT(scatter_width)},
    {"rebalance-paused", 0, 1, 0, 0, false, AT(rebalance_paused)},
};

void map_settings_preset(struct map_settings *s)
{
    for (size_t i = 0; i < MAP_SETTINGS; i++)
        *map_setting_at(s, &map_setting_rows[i]) = map_setting_rows[i].preset;
}

const struct map_setting *map_setting_find(struct slice name)
{
    for (size_t i = 0; i < MAP_SETTINGS; i++)
        if (slice_is(name, map_setting_rows[i].name))
            return &map_setting_rows[i];
    return NULL;
}

bool map_setting_fits(const struct map_setting *row, int64_t value)
{
    if (row->also > row->most && value == row->also)
        return true;
    return value >= row->least && value <= row->most && !(row->odd && value % 2 == 0);
}

struct slice map_setting_text(const struct map_setting *row, int64_t value,
                              char to[MAP_SETTING_CHARS])
{
    bool quorum = row->offset == AT(write_quorum);
    if (quorum && value == MAP_W_ALL)
        return SLICE("all");
    if (quorum && value == MAP_W_MAJORITY)
        return SLICE("majority");
    return slice_of(to, num_put_i64(to, value));
}

const char *map_settings_clash(const struct map_settings *s)
{
    if (s->write_quorum != MAP_W_MAJORITY && s->write_quorum > s->replication_factor)
        return "write-quorum is more than replication-factor, so no write could ever be "
               "acknowledged: a greater replication-factor, or a smaller write-quorum, comes first";
    if (s->min_replicas >= s->replication_factor)
        return "min-replicas-to-write is not less than replication-factor, so every write would be "
               "refused: a greater replication-factor, or a smaller min-replicas-to-write, comes "
               "first";
    return NULL;
}

const struct map_setting *map_settings_unfit(const struct map_settings *s)
{
    for (size_t i = 0; i < MAP_SETTINGS; i++)
        if (!map_setting_fits(&map_setting_rows[i], map_setting_value(s, &map_setting_rows[i])))
            return &map_setting_rows[i];
    return NULL;
}

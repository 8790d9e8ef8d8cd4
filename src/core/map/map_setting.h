/* SPDX-License-Identifier: BSD-3-Clause */

/* The settings a cluster has in common, one row each: CLUSTER SETTINGS, CONFIG, SET entries and the
 * founding read the same rows. */
#ifndef CORE_MAP_MAP_SETTING_H
#define CORE_MAP_MAP_SETTING_H

#include "base/slice.h"
#include "core/map/map.h"

struct map_setting {
    const char *name;     /* as the directive is called */
    uint32_t least, most; /* both included */
    uint32_t also;        /* one value beyond the range, if it is greater than `most` */
    uint32_t preset;      /* what a cluster has whose founder says nothing else */
    bool odd;             /* even values are refused */
    size_t offset;        /* of its uint32_t in struct map_settings */
};

enum { MAP_SETTINGS = 8 };
extern const struct map_setting map_setting_rows[MAP_SETTINGS];

void map_settings_preset(struct map_settings *s);
/* NULL: there is none of this name. */
const struct map_setting *map_setting_find(struct slice name);
bool map_setting_fits(const struct map_setting *row, int64_t value);

static inline uint32_t *map_setting_at(struct map_settings *s, const struct map_setting *row)
{
    return (uint32_t *)(void *)((char *)s + row->offset);
}

static inline uint32_t map_setting_value(const struct map_settings *s,
                                         const struct map_setting *row)
{
    return *(const uint32_t *)(const void *)((const char *)s + row->offset);
}

enum { MAP_SETTING_CHARS = 24 };
/* As people write it: `all`, `majority`, or the number. Static, or in `to`. */
struct slice map_setting_text(const struct map_setting *row, int64_t value,
                              char to[MAP_SETTING_CHARS]);

/* What makes a cluster refuse every write: NULL, or why, with the remedy. Static. */
const char *map_settings_clash(const struct map_settings *s);

/* The first value out of its range; NULL: all fit. */
const struct map_setting *map_settings_unfit(const struct map_settings *s);

#endif

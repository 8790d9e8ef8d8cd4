/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "server/cluster_config.h"

#include <stdio.h>
#include <sys/random.h>

#include "base/check.h"
#include "base/num.h"
#include "core/map/map_setting.h"
#include "core/map/seeds.h"
#include "io/dial.h"
#include "server/why.h"

/* ------------------------------------------------------------------- addresses */

static bool is_wildcard(const char *address)
{
    return strcmp(address, "*") == 0 || strcmp(address, "::*") == 0 ||
           strcmp(address, "0.0.0.0") == 0 || strcmp(address, "::") == 0;
}

static bool is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0 ||
           strcmp(address, "localhost") == 0;
}

/* An address that others may be told. */
static bool is_address(const char *address)
{
    struct dial ignored;
    return !is_wildcard(address) && strlen(address) < IP_BYTES &&
           dial_numeric(&ignored, address, 0) == ERR_OK;
}

/* The first address of `bind` that is one; loopback or not. */
static const char *first_bound(const struct options *o, bool loopback)
{
    for (size_t i = 0; i < o->bind.n; i++) {
        const char *address = o->bind.at[i] + (o->bind.at[i][0] == '-');
        if (is_address(address) && is_loopback(address) == loopback)
            return address;
    }
    return NULL;
}

static bool any_wildcard(const struct options *o)
{
    for (size_t i = 0; i < o->bind.n; i++)
        if (is_wildcard(o->bind.at[i] + (o->bind.at[i][0] == '-')))
            return true;
    return false;
}

/* Empty: the connections to others will tell. */
static const char *own_ip(const struct options *o)
{
    const char *outside = first_bound(o, false), *inside = first_bound(o, true);
    if (o->cluster_announce_ip[0] != '\0')
        return o->cluster_announce_ip;
    if (o->cluster_secret[0] == '\0')
        return inside != NULL ? inside : "127.0.0.1";
    if (outside != NULL)
        return outside;
    return inside != NULL && !any_wildcard(o) ? inside : "";
}

void cluster_bind(const struct options *o, struct option_words *to)
{
    static char ip4[] = "127.0.0.1", ip6[] = "-::1";
    to->n = 0;
    to->at = mem_get((o->bind.n + 2) * sizeof(to->at[0]));
    for (size_t i = 0; i < o->bind.n; i++)
        if (o->cluster_secret[0] != '\0' || is_loopback(o->bind.at[i] + (o->bind.at[i][0] == '-')))
            to->at[to->n++] = o->bind.at[i];
    if (to->n == 0) {
        to->at[to->n++] = ip4;
        to->at[to->n++] = ip6;
    }
}

int cluster_port_of(const struct options *o)
{
    return (int)(o->cluster_port != 0 ? o->cluster_port : o->port + CLUSTER_PORT_OFFSET);
}

/* ------------------------------------------------------------------------ words */

/* Names and zones stand in lists and lines that others take apart. */
static bool is_plain(const char *text, size_t max)
{
    return strlen(text) < max && strpbrk(text, " ,:@\t\r\n\"'=") == NULL;
}

static bool configure_endpoint(struct endpoint *at, const struct options *o, struct why *why)
{
    const char *ip = own_ip(o);
    int port = cluster_port_of(o);
    if (o->port == 0)
        return why_say(why, "cluster-enabled yes needs a 'port': other members tell clients of it");
    if (port > UINT16_MAX)
        return why_say(
            why,
            "the cluster port would be %d (port + %d), and 65535 is the greatest: choose "
            "one with 'cluster-port'",
            port, (int)CLUSTER_PORT_OFFSET);
    if (port == o->port)
        return why_say(why, "cluster-port and port are both %d: choose another 'cluster-port'",
                       port);
    if (ip[0] != '\0' && !is_address(ip))
        return why_say(why, "cluster-announce-ip '%s' is no address: write it in digits", ip);
    if (!is_plain(o->cluster_announce_hostname, HOSTNAME_BYTES))
        return why_say(why, "cluster-announce-hostname '%s' is no host name",
                       o->cluster_announce_hostname);
    *at = (struct endpoint){0};
    memcpy(at->ip, ip, strlen(ip) + 1);
    memcpy(at->hostname, o->cluster_announce_hostname, strlen(o->cluster_announce_hostname) + 1);
    at->port = (uint16_t)(o->cluster_announce_port != 0 ? o->cluster_announce_port : o->port);
    at->cluster_port =
        (uint16_t)(o->cluster_announce_bus_port != 0 ? o->cluster_announce_bus_port : port);
    return true;
}

bool cluster_endpoint(struct endpoint *at, const struct options *o, char *text, size_t n)
{
    struct why why = {text, n};
    return configure_endpoint(at, o, &why);
}

/* "all", "majority" or a number. */
static bool get_quorum(const char *text, int64_t *to)
{
    uint64_t n;
    if (strcasecmp(text, "all") == 0)
        *to = MAP_W_ALL;
    else if (strcasecmp(text, "majority") == 0)
        *to = MAP_W_MAJORITY;
    else if (num_get_u64(slice_str(text), &n) && n > 0 && n < UINT32_MAX)
        *to = (int64_t)n;
    else
        return false;
    return true;
}

static bool set(struct control_config *c, const char *name, int64_t value, struct why *why)
{
    const struct map_setting *row = map_setting_find(slice_str(name));
    check(row != NULL);
    if (!map_setting_fits(row, value))
        return why_say(why, "%s %lld: it is %s number from %u to %u", name, (long long)value,
                       row->odd ? "an odd" : "a", (unsigned)row->least, (unsigned)row->most);
    *map_setting_at(&c->settings, row) = (uint32_t)value;
    return true;
}

/* What a cluster begins with that this node founds. */
static bool configure_settings(struct control_config *c, const struct options *o, struct why *why)
{
    int64_t quorum;
    map_settings_preset(&c->settings);
    if (!get_quorum(o->write_quorum, &quorum))
        return why_say(why, "write-quorum '%s': it is all, majority, or a number from 1 to %d",
                       o->write_quorum, MAP_COPIES);
    return set(c, "write-quorum", quorum, why) &&
           set(c, "replication-factor", o->replication_factor, why) &&
           set(c, "min-replicas-to-write", o->min_replicas_to_write, why) &&
           set(c, "cluster-node-timeout", o->cluster_node_timeout, why) &&
           set(c, "cluster-voters", o->cluster_voters, why) &&
           set(c, "cluster-evict-after", o->cluster_evict_after, why) &&
           set(c, "cluster-scatter-width", o->cluster_scatter_width, why);
}

bool cluster_configure(struct control_config *c, const struct options *o, char *text, size_t n)
{
    struct why why = {text, n};
    *c = (struct control_config){.weight = (uint32_t)o->cluster_weight,
                                 .node_file = o->cluster_config_file,
                                 .secret = slice_str(o->cluster_secret),
                                 .join = slice_str(o->cluster_join)};
    const char *wrong = seeds_wrong(c->join);
    if (wrong != NULL)
        return why_say(&why, "cluster-join '%s': %s", o->cluster_join, wrong);
    if (!is_plain(o->cluster_zone, ZONE_BYTES))
        return why_say(&why,
                       "cluster-zone '%s': a zone is a word of at most %d letters, without blank, "
                       "comma, colon or '@'",
                       o->cluster_zone, ZONE_BYTES - 1);
    if (o->cluster_config_file[0] == '\0' || strchr(o->cluster_config_file, '/') != NULL ||
        strlen(o->cluster_config_file) >= DISK_NAME_BYTES - sizeof(".tmp"))
        return why_say(&why, "cluster-config-file '%s': it is the name of a file in 'dir'",
                       o->cluster_config_file);
    memcpy(c->zone, o->cluster_zone, strlen(o->cluster_zone) + 1);
    check(getrandom(&c->seed, sizeof(c->seed), 0) == (ssize_t)sizeof(c->seed));
    return configure_endpoint(&c->at, o, &why) && configure_settings(c, o, &why);
}

void cluster_config_notes(const struct options *o, struct log *log)
{
    if (o->cluster_secret[0] == '\0')
        log_say(
            log, LOG_LEVEL_NOTICE,
            "no cluster-secret is set, so the cluster port %d listens on loopback only: nodes of "
            "other machines need the same secret on every node",
            cluster_port_of(o));
}

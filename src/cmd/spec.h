/* SPDX-License-Identifier: BSD-3-Clause */

/* What is known of a command without running it.
 *
 * Every row of commands.def becomes one struct spec in a constant table; spec->id is its dense
 * index, so that statistics are arrays. Rows stand in the order of their names, a container
 * ("client") directly before its subcommands ("client|list"). Server and proxy read the same table;
 * it names no handler, so it links without one data type. */
#ifndef CMD_SPEC_H
#define CMD_SPEC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* Redis' flags, in the order COMMAND prints them, then our own, which it does not print (NULL). */
#define CMD_FLAG_ROWS(X)                                                                 \
    X(CMD_WRITE, "write")                                                                \
    X(CMD_READONLY, "readonly")                                                          \
    X(CMD_DENYOOM, "denyoom")                                                            \
    X(CMD_ADMIN, "admin")                                                                \
    X(CMD_PUBSUB, "pubsub")                                                              \
    X(CMD_NOSCRIPT, "noscript")                                                          \
    X(CMD_BLOCKING, "blocking")                                                          \
    X(CMD_LOADING, "loading")                                                            \
    X(CMD_STALE, "stale")                                                                \
    X(CMD_SKIP_MONITOR, "skip_monitor")                                                  \
    X(CMD_SKIP_SLOWLOG, "skip_slowlog")                                                  \
    X(CMD_ASKING, "asking")                                                              \
    X(CMD_FAST, "fast")                                                                  \
    X(CMD_NO_AUTH, "no_auth")                                                            \
    X(CMD_MAY_REPLICATE, "may_replicate")                                                \
    X(CMD_NO_MANDATORY_KEYS, "no_mandatory_keys")                                        \
    X(CMD_NO_ASYNC_LOADING, "no_async_loading")                                          \
    X(CMD_NO_MULTI, "no_multi")                                                          \
    X(CMD_MOVABLEKEYS, "movablekeys")                                                    \
    X(CMD_ALLOW_BUSY, "allow_busy")                                                      \
    X(CMD_BRIEF, NULL)  /* tiny, bounded cost per argument: see spec_is_brief */         \
    X(CMD_SPLITS, NULL) /* equals the same command per key: may be split over slots */   \
    X(CMD_SUBS, NULL)   /* has subcommands: a container, or COMMAND */                   \
    X(CMD_SYSCMD, NULL) /* for servers and test harnesses; COMMAND DOCS says "syscmd" */ \
    X(CMD_OF_DISK,                                                                       \
      NULL) /* about files a server keeps its data in: a proxy has none, and refuses it */

#define CMD_CATEGORY_ROWS(X)          \
    X(ACL_KEYSPACE, "keyspace")       \
    X(ACL_READ, "read")               \
    X(ACL_WRITE, "write")             \
    X(ACL_SET, "set")                 \
    X(ACL_SORTEDSET, "sortedset")     \
    X(ACL_LIST, "list")               \
    X(ACL_HASH, "hash")               \
    X(ACL_STRING, "string")           \
    X(ACL_BITMAP, "bitmap")           \
    X(ACL_HYPERLOGLOG, "hyperloglog") \
    X(ACL_GEO, "geo")                 \
    X(ACL_STREAM, "stream")           \
    X(ACL_PUBSUB, "pubsub")           \
    X(ACL_ADMIN, "admin")             \
    X(ACL_FAST, "fast")               \
    X(ACL_SLOW, "slow")               \
    X(ACL_BLOCKING, "blocking")       \
    X(ACL_DANGEROUS, "dangerous")     \
    X(ACL_CONNECTION, "connection")   \
    X(ACL_TRANSACTION, "transaction") \
    X(ACL_SCRIPTING, "scripting")

/* What a command does with a key, in the order COMMAND prints it. */
#define KEY_FLAG_ROWS(X)                                                         \
    X(KEY_RO, "RO")         /* reads it, or data about it */                     \
    X(KEY_RW, "RW")         /* changes it, depending on what it was */           \
    X(KEY_OW, "OW")         /* overwrites it */                                  \
    X(KEY_RM, "RM")         /* deletes it without looking */                     \
    X(KEY_ACCESS, "access") /* the value may show in the reply or elsewhere */   \
    X(KEY_UPDATE, "update")                                                      \
    X(KEY_INSERT, "insert") /* adds, never alters what was there */              \
    X(KEY_DELETE, "delete")                                                      \
    X(KEY_NOT_KEY, "not_key")         /* routed like a key, but none */          \
    X(KEY_INCOMPLETE, "incomplete")   /* there may be keys this does not find */ \
    X(KEY_VARIABLE, "variable_flags") /* the flags depend on the options */

#define SPEC_GROUP_ROWS(X)                \
    X(GROUP_GENERIC, "generic")           \
    X(GROUP_STRING, "string")             \
    X(GROUP_BITMAP, "bitmap")             \
    X(GROUP_TRANSACTIONS, "transactions") \
    X(GROUP_CONNECTION, "connection")     \
    X(GROUP_SERVER, "server")             \
    X(GROUP_SCRIPTING, "scripting")       \
    X(GROUP_CLUSTER, "cluster")

#define X(name, text) name##_BIT,
enum { CMD_FLAG_ROWS(X) CMD_FLAG_N };
enum { CMD_CATEGORY_ROWS(X) ACL_CATEGORY_N };
enum { KEY_FLAG_ROWS(X) KEY_FLAG_N };
#undef X
#define X(name, text) name = 1u << name##_BIT,
enum cmd_flag { CMD_FLAG_ROWS(X) };
enum acl_category { CMD_CATEGORY_ROWS(X) };
enum key_flag { KEY_FLAG_ROWS(X) };
#undef X
#define X(name, text) name,
enum spec_group { SPEC_GROUP_ROWS(X) SPEC_GROUP_N };
#undef X

/* SPEC_GET, SPEC_CLIENT, SPEC_CLIENT_LIST, ... SPEC_N; SPEC_NONE is nobody's id. */
#define CMD(id, ...) SPEC_##id,
#define SUB(container, id, ...) SPEC_##container##_##id,
enum spec_id {
#include "cmd/commands.def"
    SPEC_N,
    SPEC_NONE = SPEC_N
};
#undef CMD
#undef SUB

enum spec_handler {
    SPEC_CONTAINER, /* no handler: answers only through its subcommands */
    SPEC_DATA,      /* touches the keyspace alone: cmd_x(struct cmd *) */
    SPEC_NODE       /* needs the session or the server: node_x(struct call *) */
};

/* Who looks for the keys. */
enum key_finder { FIND_BY_SPECS, FIND_SET, FIND_BITFIELD, FIND_SORT, FIND_SORT_RO, FIND_MIGRATE };

enum key_begin { BEGIN_UNKNOWN, BEGIN_INDEX, BEGIN_KEYWORD };
enum key_extent { EXTENT_UNKNOWN, EXTENT_RANGE, EXTENT_COUNTED };

/* Where some of the keys are: a place to begin, and from there a range or a counted list. */
struct key_spec {
    uint16_t flags;      /* enum key_flag */
    uint8_t begin;       /* enum key_begin */
    uint8_t extent;      /* enum key_extent */
    int8_t at;           /* INDEX: argument; KEYWORD: look from here, negative from the end */
    int8_t step;         /* RANGE, COUNTED: from key to key */
    int8_t last;         /* RANGE: relative to the first; negative from the end of the arguments */
    int8_t limit;        /* RANGE with last -1: look at 1/limit of the rest; 0 or 1: all of it */
    int8_t count, first; /* COUNTED: where the number and the first key are, from `at` on */
    const char *keyword; /* KEYWORD */
};

struct spec {
    const char *name; /* lowercase, "client|list" */
    uint8_t name_n;
    uint8_t sub_at;           /* where the subcommand's own name begins; 0: not a subcommand */
    uint16_t id;              /* enum spec_id: dense */
    uint16_t container;       /* enum spec_id, or SPEC_NONE */
    int8_t arity;             /* command name included; negative: at least so many */
    uint8_t handler;          /* enum spec_handler */
    uint32_t flags;           /* enum cmd_flag */
    uint32_t categories;      /* enum acl_category */
    int8_t first, last, step; /* the keys as the triple of COMMAND; 0, 0, 0 without */
    uint8_t finder;           /* enum key_finder */
    uint8_t keys_n;
    uint8_t group; /* enum spec_group */
    const struct key_spec *keys;
    const char *since;
    const char *deprecated_since; /* NULL: it is not */
    const char *replaced_by;
    const char *complexity; /* NULL: nothing useful to say */
    const char *summary;
    const char *tips; /* separated by single blanks; "" for none */
    const char *args; /* for spec_args.h; "" for none */
};

extern const struct spec specs[SPEC_N];

/* The command of a request, the subcommand where there is one; NULL if there is no such command, or
 * no such subcommand of one that has them (spec_find_top then tells which). Any case. A container
 * without further arguments is itself. */
const struct spec *spec_find(const struct slice *argv, size_t argc);
const struct spec *spec_find_top(struct slice name);
const struct spec *spec_find_sub(const struct spec *container, struct slice sub);
const struct spec *spec_find_name(struct slice name); /* "get", "client|list"; any case */

/* The container's row after `sub`; from the container itself, its first; NULL at the end. */
const struct spec *spec_next_sub(const struct spec *sub);
size_t spec_subs_n(const struct spec *container);

static inline bool spec_arity_fits(const struct spec *s, size_t argc)
{
    return s->arity >= 0 ? argc == (size_t)s->arity : argc >= (size_t)-s->arity;
}

/* So short that reading the clock for it would cost more than the command. */
enum { SPEC_BRIEF_ARGS = 16 };
static inline bool spec_is_brief(const struct spec *s, size_t argc)
{
    return (s->flags & CMD_BRIEF) != 0 && argc <= SPEC_BRIEF_ARGS;
}

static inline bool spec_has_subs(const struct spec *s)
{
    return (s->flags & CMD_SUBS) != 0;
}

/* Names of bits; NULL for a flag of our own. */
const char *cmd_flag_name(unsigned bit);
const char *acl_category_name(unsigned bit); /* without the '@' */
const char *key_flag_name(unsigned bit);
const char *spec_group_name(unsigned group);
uint32_t acl_category_find(struct slice name); /* its one bit, any case, without '@'; 0: unknown */

#endif

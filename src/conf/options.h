/* SPDX-License-Identifier: BSD-3-Clause */

/* Every directive of the configuration: parsed, printed, set, rewritten.
 *
 * options.def has a row for each; a value is a plain field of struct options, named like its
 * directive with '_' for '-':  o->maxmemory, o->appendfsync == APPENDFSYNC_ALWAYS, o->bind.at[0].
 * Files, their inclusion and what follows from a change are the caller's part. */
#ifndef CONF_OPTIONS_H
#define CONF_OPTIONS_H

#include <stdint.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/vec.h"

enum supervised { SUPERVISED_NO, SUPERVISED_UPSTART, SUPERVISED_SYSTEMD, SUPERVISED_AUTO };
/* who may: nobody, local, all */
enum protection { PROTECTION_NO, PROTECTION_LOCAL, PROTECTION_YES };
enum appendfsync { APPENDFSYNC_NO, APPENDFSYNC_EVERYSEC, APPENDFSYNC_ALWAYS };
enum maxmemory_policy {
    MAXMEMORY_VOLATILE_LRU,
    MAXMEMORY_VOLATILE_LFU,
    MAXMEMORY_VOLATILE_RANDOM,
    MAXMEMORY_VOLATILE_TTL,
    MAXMEMORY_ALLKEYS_LRU,
    MAXMEMORY_ALLKEYS_LFU,
    MAXMEMORY_ALLKEYS_RANDOM,
    MAXMEMORY_NOEVICTION
};

/* Enumerations of directives without effect here; only their words count. */
enum syslog_facility {
    SYSLOG_USER,
    SYSLOG_LOCAL0,
    SYSLOG_LOCAL1,
    SYSLOG_LOCAL2,
    SYSLOG_LOCAL3,
    SYSLOG_LOCAL4,
    SYSLOG_LOCAL5,
    SYSLOG_LOCAL6,
    SYSLOG_LOCAL7
};
enum oom_score_adj { OOM_SCORE_ADJ_NO, OOM_SCORE_ADJ_RELATIVE, OOM_SCORE_ADJ_ABSOLUTE };
enum pubsub_default { PUBSUB_DEFAULT_RESET, PUBSUB_DEFAULT_ALL };
enum sanitize { SANITIZE_NO, SANITIZE_YES, SANITIZE_CLIENTS };
enum propagation_error { PROPAGATION_IGNORE, PROPAGATION_PANIC, PROPAGATION_PANIC_REPLICAS };
enum diskless_load { DISKLESS_DISABLED, DISKLESS_WHEN_EMPTY, DISKLESS_SWAPDB };
enum endpoint_type { ENDPOINT_IP, ENDPOINT_HOSTNAME, ENDPOINT_UNKNOWN };
enum cluster_routing { CLUSTER_ROUTING_AUTO, CLUSTER_ROUTING_FORWARD, CLUSTER_ROUTING_REDIRECT };
enum read_from { READ_FROM_PRIMARY, READ_FROM_REPLICA, READ_FROM_NEAREST_ZONE };
enum tls_auth { TLS_AUTH_NO, TLS_AUTH_YES, TLS_AUTH_OPTIONAL };

struct option_words {
    char **at; /* owned, each a string */
    size_t n;
};

enum client_class { CLIENT_NORMAL, CLIENT_REPLICA, CLIENT_PUBSUB, CLIENT_CLASSES };

struct option_limits {
    struct option_limit {
        int64_t hard, soft; /* bytes; 0: none */
        int64_t soft_seconds;
    } of[CLIENT_CLASSES];
};

enum { OPTION_PERCENTILES_MAX = 32 }; /* a line of INFO per command carries them all */

struct option_percentiles {
    double at[OPTION_PERCENTILES_MAX];
    size_t n;
};

#define OPTION_FIELD_BOOL bool
#define OPTION_FIELD_INT int64_t
#define OPTION_FIELD_OCTAL int64_t
#define OPTION_FIELD_MEM int64_t
#define OPTION_FIELD_MEMPCT int64_t /* minus the percentage, if it is one */
#define OPTION_FIELD_ENUM(tag) enum tag
#define OPTION_FIELD_STR char * /* owned, never NULL */
#define OPTION_FIELD_WORDS struct option_words
#define OPTION_FIELD_SAVE struct option_words
#define OPTION_FIELD_PERCENTILES struct option_percentiles
#define OPTION_FIELD_LIMITS struct option_limits
#define OPTION_FIELD_EVENTS int64_t

enum option {
#define OPT(type, field, ...) OPTION_##field,
#define BARE(...)
#include "conf/options.def"
    OPTION_N
};

struct options {
#define OPT(type, field, ...) OPTION_FIELD_##type field;
#define BARE(...)
#include "conf/options.def"
    bool given[OPTION_N]; /* a file, the command line or CONFIG SET named it */
    bool of_proxy; /* vong-proxy's: servers' own directives are unknown; set before anything else */
};

/* A value is at most so long; what is printed or refused always fits a buf with the second maximum,
 * and so every buf given to this room must have it. */
enum { OPTIONS_VALUE_MAX = 64 * 1024, OPTIONS_TEXT_MAX = 64 * 1024 * 1024 };

void options_init(struct options *o); /* the defaults */
void options_free(struct options *o);
void options_copy(struct options *o,
                  const struct options *from); /* o: overwritten; from's strings stay its own */

enum options_line_is { OPTIONS_LINE_TAKEN, OPTIONS_LINE_BAD, OPTIONS_LINE_INCLUDE };

/* One line of a configuration file, without its end. `text` is replaced: of a bad line it says why;
 * of an include it is the pattern, and reading those files here and now is the caller's part. */
enum options_line_is options_line(struct options *o, struct slice line,
                                  struct buf *text) MUST_CHECK;

/* The command line's "--name value ..." as lines of a file. */
void options_args(char *const *args, size_t n, struct buf *lines);

struct option_pair {
    struct slice name, value;
};

/* What CONFIG SET would make of the options. */
struct option_trial {
    struct options options;
    bool changed[OPTION_N]; /* the value is another */
};

/* All of the pairs on a copy of o, or false with the error reply's text (without "ERR ") and t
 * empty. */
bool options_try(const struct options *o, const struct option_pair *pairs, size_t n, bool is_local,
                 struct option_trial *t, struct buf *error) MUST_CHECK;
/* CONFIG SET: what t changed is now so in o; the other values and strings of o stay where
 * they are. */
void options_take(struct options *o, struct option_trial *t);
void options_trial_free(struct option_trial *t);

/* CONFIG SET's error for an option whose value was well formed and could not be followed. */
bool options_set_failed(struct slice name, const char *why, struct buf *error); /* false */

/* Whether a CONFIG SET of this name must not be shown in logs. */
bool options_is_sensitive(struct slice name);
const char *options_name(enum option id);

struct option_got {
    struct slice name; /* borrowed from the patterns or static */
    size_t at, n;      /* its value: n bytes at text.p + at */
};

struct options_got {
    VEC(struct option_got) list;
    struct buf text;
};

/* CONFIG GET: names or patterns. got: freed by options_got_free. */
void options_get(const struct options *o, const struct slice *patterns, size_t n,
                 struct options_got *got);
void options_got_free(struct options_got *got);

/* CONFIG REWRITE: the file's new text from its old one (half of OPTIONS_TEXT_MAX at most). What
 * did not change stays as it was written. */
void options_rewrite(const struct options *o, struct slice old, struct buf *to);

/* Lines for the log about what was given and has no effect here: one for each value that differs
 * from the default, then all the others, each line short enough for a log. */
void options_notes(const struct options *o, struct buf *lines);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */

/* The arguments of a command, as the rows of commands.def write them and COMMAND DOCS tells them.
 *
 *     list = argument { " " argument }
 *     argument = name [ ":" type ] [ children ] [ "@" key spec ] [ "=" TOKEN ] marks
 *     children = "(" list ")"   one of these        "{" list "}"   these, in this order
 *     marks    = [ "?" ] optional   [ "*" ] repeated   [ "+" ] its token repeated with it
 *                [ "^" version ] since   [ "~" version ] deprecated since
 *
 * Type is integer, double, key, pattern, string, unix-time. A bare name is a string; with a token
 * and no type it is the token alone. A token that is no plain word stands in single quotes.
 *
 *     key:key@0 value condition(nx=NX xx=XX)? expiration(seconds:integer=EX keepttl=KEEPTTL^6.0.0)?
 *
 * The list is walked without building anything: children are text to be walked in turn. */
#ifndef CMD_SPEC_ARGS_H
#define CMD_SPEC_ARGS_H

#include <stdbool.h>

#include "base/slice.h"

#define ARG_TYPE_ROWS(X)            \
    X(ARG_STRING, "string")         \
    X(ARG_INTEGER, "integer")       \
    X(ARG_DOUBLE, "double")         \
    X(ARG_KEY, "key")               \
    X(ARG_PATTERN, "pattern")       \
    X(ARG_UNIX_TIME, "unix-time")   \
    X(ARG_PURE_TOKEN, "pure-token") \
    X(ARG_ONEOF, "oneof")           \
    X(ARG_BLOCK, "block")

#define X(type, text) type,
enum arg_type { ARG_TYPE_ROWS(X) ARG_TYPE_N };
#undef X

struct spec_arg {
    struct slice name;
    struct slice token;      /* p is NULL without one; it may be empty */
    struct slice children;   /* of ONEOF and BLOCK */
    struct slice since;      /* empty: as the command */
    struct slice deprecated; /* empty: it is not */
    enum arg_type type;
    int key_spec; /* -1: none */
    bool optional, multiple, multiple_token;
};

/* Takes the next argument off the front of *list. False at its end, and where the text is not well
 * formed: then the list is left as it is, not empty. */
bool spec_args_next(struct slice *list, struct spec_arg *arg);
size_t spec_args_n(struct slice list);
bool spec_args_are_well_formed(struct slice list); /* children included */
const char *arg_type_name(enum arg_type type);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */

/* What the world can do to us, one row each.
 *
 * Three kinds of trouble, three treatments: our own bug is a check() and stops the process; the
 * world's refusal is an enum err and is returned; a client's mistake is a reply and no err at
 * all. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#define ERR_ROWS(X)                                   \
    X(ERR_NOMEM, "out of memory")                     \
    X(ERR_LIMIT, "a limit was reached")               \
    X(ERR_CORRUPT, "stored data failed its checksum") \
    X(ERR_SYNTAX, "not well-formed")                  \
    X(ERR_RANGE, "a number is out of range")          \
    X(ERR_NOT_FOUND, "no such thing")                 \
    X(ERR_IO, "a file operation failed")              \
    X(ERR_FULL, "no space left on the device")

#define X(code, text) code,
enum err { ERR_OK, ERR_ROWS(X) ERR_N };
#undef X

/* The row's text; static. */
const char *err_text(enum err e);

#define MUST_CHECK __attribute__((warn_unused_result))

/* Returns the error to our caller. Only where nothing needs undoing. */
#define TRY(call)                   \
    do {                            \
        enum err try_err_ = (call); \
        if (try_err_ != ERR_OK)     \
            return try_err_;        \
    } while (0)

#endif

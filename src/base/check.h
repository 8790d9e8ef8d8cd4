/* SPDX-License-Identifier: BSD-3-Clause */

/* Facts that must hold, in production too.
 *
 * A failed check is our bug: the process prints the fact with its place and aborts, because going
 * on with broken state is how data is lost. What the world or a client can cause is an enum err or
 * a reply, never a check. */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

_Noreturn void check_failed(const char *fact, const char *file, int line);

#define check(fact) \
    (__builtin_expect(!(fact), 0) ? check_failed(#fact, __FILE__, __LINE__) : (void)0)

#endif

/* SPDX-License-Identifier: BSD-3-Clause */

/* The texts of the errors, and the end of a process whose facts do not hold.
 *
 * check_failed() is the one place below the shell that writes to the world: a last line on
 * standard error, without stdio, since nothing of the process can be trusted any more. */
#include "base/err.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/num.h"

const char *err_text(enum err e)
{
#define X(code, text) [code] = text,
    static const char *const texts[ERR_N] = {[ERR_OK] = "no error", ERR_ROWS(X)};
#undef X
    check(e < ERR_N);
    return texts[e];
}

static void say(const char *text)
{
    size_t n = strlen(text);
    while (n > 0) {
        ssize_t done = write(STDERR_FILENO, text, n);
        if (done <= 0)
            return;
        text += done;
        n -= (size_t)done;
    }
}

_Noreturn void check_failed(const char *fact, const char *file, int line)
{
    char digits[NUM_I64_CHARS + 1];
    digits[num_put_i64(digits, line)] = '\0';
    say("vong: a fact does not hold: ");
    say(fact);
    say(" (");
    say(file);
    say(":");
    say(digits);
    say(")\n");
    abort();
}

# SPDX-License-Identifier: BSD-3-Clause
"""Claims in Python: @claim("a sentence") registers a test, run() tells the results as TAP.

What is tested comes from the environment (README.md): HOST, PORT, MODE, SKIPS, AUTH_URL, RESTART, NODES."""

import os
import subprocess
import sys
import time
import traceback

HOST = os.environ.get("VONG_HOST", "127.0.0.1")
PORT = int(os.environ.get("VONG_PORT", "6379"))
MODE = os.environ.get("VONG_MODE", "alone")
AUTH_URL = os.environ.get("VONG_AUTH_URL", "")
RESTART = os.environ.get("VONG_RESTART", "")
NODES = os.environ.get("VONG_NODES", "")
SKIPS = dict(line.split("=", 1) for line in os.environ.get("VONG_SKIPS", "").splitlines())

_claims = []


class Skip(Exception):
    """Raised with the reason why a claim cannot be tried here."""


def claim(title):
    def note(function):
        _claims.append((title, function))
        return function
    return note


def may_skip(cause):
    """Skips the claim where the table (skips) has this cause."""
    if cause in SKIPS:
        raise Skip(SKIPS[cause])


def need(value, name, what):
    if not value:
        raise Skip(f"{name} is not set: {what}")
    return value


def restart_server():
    command = need(RESTART, "VONG_RESTART", "nobody can restart the server")
    subprocess.run(command, shell=True, check=True, timeout=400, stdout=subprocess.DEVNULL)


def nodes(*words):
    """Does this to the cluster under test (clients.sh: nodes()): what it said."""
    command = need(NODES, "VONG_NODES", "nobody can change the cluster")
    return subprocess.run(command + " " + " ".join(str(w) for w in words), shell=True, check=True, timeout=400,
                          stdout=subprocess.PIPE, text=True).stdout.split()


def until(condition, seconds=60, what="it did not happen in time"):
    end = time.monotonic() + seconds
    while True:
        got = condition()
        if got:
            return got
        assert time.monotonic() < end, what
        time.sleep(0.01)


def same(got, wanted):
    assert got == wanted, f"{got!r} instead of {wanted!r}"


def raises(kind, words, call, *args, **kw):
    """The call fails with an exception of the kind whose text has the words."""
    try:
        got = call(*args, **kw)
    except kind as e:
        assert words in str(e), f"{e!r} does not say {words!r}"
        return
    raise AssertionError(f"{got!r} instead of a {kind}: {words}")


def run():
    for n, (title, function) in enumerate(_claims, 1):
        try:
            function()
            line, detail = f"ok {n} - {title}", ""
        except Skip as why:
            line, detail = f"ok {n} - {title} # SKIP {why}", ""
        except Exception:
            line, detail = f"not ok {n} - {title}", traceback.format_exc()
        print(line)
        for text in detail[-3000:].splitlines():
            print("# " + text)
        sys.stdout.flush()
    print(f"1..{len(_claims)}")
